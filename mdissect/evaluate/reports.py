"""The reports of a probe's images: a column of its table, or those of generated images."""

import numpy as np
import pandas as pd

from mdissect.evaluate.known import PHANTOMS, generated_kind, mammogram_truths, scene_truths, seeds_of
from mdissect.phantom.mammograms import reports
from mdissect.phantom.scenes import captions
from mdissect.probes import Probe

COLUMN = "report"
WORDING = 17  # a stream of random numbers of its own: the wording of the reports


class NoReportsError(ValueError):
    """A probe has no reports; the message says what was looked for."""


def reports_of(probe: Probe, column: str | None) -> tuple[list[str], str]:
    """The report of each image ("" where it has none), and where they come from.

    NoReportsError: no such column, or no default for this probe.
    """
    if column is None and COLUMN in probe.table:
        column = COLUMN
    if column is not None:
        if column not in probe.table:
            known = ", ".join(map(str, probe.table.columns)) or "none"
            raise NoReportsError(f"reports={column!r} is no column of probe {probe.name!r}; it has {known}")
        texts = ["" if pd.isna(cell) else str(cell).strip() for cell in probe.table[column]]
        if not any(texts):
            raise NoReportsError(f"column {column!r} of probe {probe.name!r} is empty: there are no reports")
        return texts, f"column {column!r}"
    if not (kind := generated_kind(probe)):
        raise NoReportsError(f"probe {probe.name!r} has no column {COLUMN!r}: name the column of its reports with reports=")
    streams = [np.random.default_rng([seed, index, WORDING]) for seed, index in seeds_of(probe)]
    if kind == PHANTOMS:
        pairs = zip(mammogram_truths(probe), streams, strict=True)
        return [reports.full_report(truth, rng) for truth, rng in pairs], "made of what the phantoms show"
    pairs = zip(scene_truths(probe), streams, strict=True)
    return [captions.sample_caption(truth, rng).text for truth, rng in pairs], "made of what the scenes show"
