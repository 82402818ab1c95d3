"""Which findings each image of a probe has, for trainings on several of them at once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mdissect.arguments import listed
from mdissect.probes import Probe
from mdissect.train.tasks import _NO, _YES

FINDINGS = "findings"
LEAST_PATIENTS = 10  # with a finding, and without it, for one that is taken by default


@dataclass(frozen=True)
class Presence:
    """Findings of images; `positions` are those of the probe whose findings are known."""

    findings: tuple[str, ...]
    positions: np.ndarray  # (n,)
    present: np.ndarray  # (n, n_findings) bool
    patients: np.ndarray  # (n,) str


def read_presence(probe: Probe, findings: Sequence[str] | None = None) -> Presence:
    """The presence of findings, by default all that ten patients have and ten do not.

    By the probe's column "findings", names joined by "; ": one that contains the words, whatever its case, is the finding, as
    for boxes (`mdissect.localize.of_finding`). Else a column of the finding's name (spaces as "_") of yes and no. Images
    without an entry are left out. ValueError: neither of them, or a finding that all or none of the images have.
    """
    patients = np.array(probe.patients, dtype=object)
    if findings is None:
        findings = _common(probe, patients)
    columns = [_column(probe, finding) for finding in findings]
    known = np.all([[value is not None for value in column] for column in columns], axis=0)
    positions = np.flatnonzero(known)
    present = np.array([[bool(column[i]) for column in columns] for i in positions], dtype=bool).reshape(len(positions), -1)
    for finding, of_finding in zip(findings, present.T, strict=True):
        if of_finding.all() or not of_finding.any():
            raise ValueError(
                f"{'all' if of_finding.any() else 'none'} of {len(positions)} images of probe {probe.name!r} have {finding!r}: "
                f"it takes images with and without it (findings: {listed(_named(probe), 20) or 'none'})"
            )
    return Presence(tuple(findings), positions, present, patients[positions])


def _common(probe: Probe, patients: np.ndarray) -> list[str]:
    """The findings of the table that enough patients have, and enough do not."""
    if FINDINGS not in probe.table:
        raise ValueError(
            f"probe {probe.name!r} has no column {FINDINGS!r} to take the attributes from; name them, each a column of yes and "
            f"no (it has {listed(list(probe.table.columns), 12) or 'none'})"
        )
    found = []
    for name in _named(probe):
        column = np.array([value is True for value in _column(probe, name)])
        counts = len(set(patients[column])), len(set(patients[~column]))
        found += [name] if min(counts) >= LEAST_PATIENTS else []
    if not found:
        raise ValueError(f"no finding of probe {probe.name!r} is present in {LEAST_PATIENTS} patients and absent from as many")
    return found


def _named(probe: Probe) -> list[str]:
    """The findings that the table names, in order of the alphabet."""
    if FINDINGS not in probe.table:
        return []
    cells = (str(cell) for cell in probe.table[FINDINGS].dropna())
    names = {name.strip() for cell in cells for name in cell.split(";")}
    return sorted(name for name in names if name.casefold() not in ("", "no finding"))


def _column(probe: Probe, finding: str) -> list[bool | None]:
    """Whether each image has a finding; None where nothing is known of it."""
    if FINDINGS in probe.table and any(finding.casefold() in name.casefold() for name in _named(probe)):
        cells = probe.table[FINDINGS]
        return [None if pd.isna(cell) else finding.casefold() in str(cell).casefold() for cell in cells]
    column = next((name for name in (finding, finding.replace(" ", "_")) if name in probe.table), None)
    if column is None:
        raise ValueError(
            f"probe {probe.name!r} has no finding {finding!r} and no column of that name; its findings: "
            f"{listed(_named(probe), 20) or 'none'}"
        )
    return [_yes_or_no(cell, image_id, column, probe) for image_id, cell in probe.table[column].items()]


def _yes_or_no(cell: object, image_id: str, column: str, probe: Probe) -> bool | None:
    """A cell as presence; None where it is empty."""
    if pd.isna(cell) or not str(cell).strip():
        return None
    text = str(cell).strip().lower()
    if text not in _YES + _NO:
        raise ValueError(
            f"probe {probe.name!r}, image {image_id}, column {column!r}: {cell!r} is not yes or no (True/False, 1/0, yes/no, "
            "present/absent)"
        )
    return text in _YES
