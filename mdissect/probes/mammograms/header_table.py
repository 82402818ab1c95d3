"""The table of a folder of DICOM files: what the headers say, joined to a table of the user's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from mdissect.arguments import listed
from mdissect.probes.mammograms.header_rows import COLUMNS, HeaderRow
from mdissect.probes.mammograms.meanings import density, implant, laterality, view
from mdissect.probes.pseudonyms import PATIENT, STUDY, Pseudonyms, each_its_own

_MEANINGS: dict[str, Callable] = {"laterality": laterality, "view": view, "density": density, "implant": implant}
_IDS = {"patient": PATIENT, "study": STUDY}


def join_headers(
    own: pd.DataFrame | None, rows: Sequence[HeaderRow], paths: Sequence[str], pseudonyms: Pseudonyms | None
) -> tuple[pd.DataFrame, list[str]]:
    """The table of a probe, a row per image, and notes.

    Columns of the user's `own` table (indexed by path; None: there is none) stand before those of the headers and count where
    both have one; the notes say for how many images they differ. Columns of which no header says anything are left out.
    With `pseudonyms`, patients and exams are called by these, and ids of the header are replaced in `own` too. Images that
    are no DICOM files have an empty `HeaderRow`.
    """
    known = [name for name in COLUMNS if any(name in one.row for one in rows)]
    told = {name: [one.row.get(name, COLUMNS[name]) for one in rows] for name in known}
    notes = _odd_notes(rows, paths)
    table = pd.DataFrame(index=pd.Index(paths, name="image_id")) if own is None else own.copy()
    for name in known:
        if name in table:
            notes += _conflict(name, table[name], told[name])
    if pseudonyms is not None:
        for name in table:
            if not pd.api.types.is_numeric_dtype(table[name]):
                table[name] = _hidden(table[name], rows, pseudonyms)
        for name in _IDS.keys() & told.keys():
            told[name] = [pseudonyms.of(_IDS[name], one) if isinstance(one, str) else one for one in told[name]]
    for name in known:
        if name not in table:
            table[name] = pd.Series(told[name], index=table.index, dtype=_dtype(told[name]))
    return table, notes


def _dtype(values: list) -> type:
    """Whole numbers where all are known, else floats; texts are objects."""
    if all(isinstance(value, (int, float)) for value in values):
        return int if all(isinstance(value, int) for value in values) else float
    return object


def _hidden(cells: pd.Series, rows: Sequence[HeaderRow], pseudonyms: Pseudonyms) -> pd.Series:
    """Text cells with pseudonyms for the ids in the header of their image."""
    hidden = [
        pseudonyms.hidden(cell, one.ids) if isinstance(cell, str) else cell for cell, one in zip(cells, rows, strict=True)
    ]
    return pd.Series(hidden, index=cells.index, dtype=cells.dtype)


def _odd_notes(rows: Sequence[HeaderRow], paths: Sequence[str]) -> list[str]:
    """A note for each tag with values that are not understood."""
    odd: dict[str, list[tuple[str, str]]] = {}
    for path, one in zip(paths, rows, strict=True):
        for tag, value in one.odd.items():
            odd.setdefault(tag, []).append((path, value))
    return [
        f"headers: {tag} is not understood ({listed(sorted({repr(value) for _, value in found}), 3)}) and left out for "
        f"{len(found)} image{'s' if len(found) != 1 else ''}"
        for tag, found in odd.items()
    ]


def _conflict(name: str, own: pd.Series, told: list) -> list[str]:
    """A note where the user's column and the headers both know something, and differ."""
    pairs = [
        (path, _comparable(name, mine), _comparable(name, its)) for (path, mine), its in zip(own.items(), told, strict=True)
    ]
    both = [(path, mine, its) for path, mine, its in pairs if mine is not None and its is not None]
    differ = [path for path, mine, its in both if mine != its]
    if not differ:
        return []
    mine, its = next((mine, its) for _, mine, its in both if mine != its)
    example = "" if name in _IDS else f" ({mine!r} there, {its!r} in the header of the first)"
    counts = f"{len(differ)} of {len(both)} image{'s' if len(both) != 1 else ''}"
    return [f"headers: {name} differs from the table's column for {counts}{example}; the table counts"]


def _comparable(name: str, cell: object) -> object:
    """A cell in the form in which it is compared; None where nothing is known."""
    if cell is None or cell is pd.NA or cell != cell or (cell == "" and name != "implant"):
        return None
    if isinstance(cell, (int, float, np.number)) and not isinstance(cell, bool) and float(cell).is_integer():
        cell = int(cell)
    text = str(cell).strip()
    if name in _MEANINGS:
        try:
            return _MEANINGS[name](text) if text != "implant" and text else text
        except ValueError:
            return text
    return text.casefold()


def hidden_ids(paths: Sequence[str], rows: Sequence[HeaderRow], pseudonyms: Pseudonyms | None) -> list[str]:
    """The ids of images: their relative paths, with pseudonyms for the ids in their headers; each its own."""
    if pseudonyms is None:
        return list(paths)
    return each_its_own(pseudonyms.hidden(path, one.ids) for path, one in zip(paths, rows, strict=True))


def problems_in_words(problems: Sequence[tuple[str, str]], n_files: int) -> str:
    """One message for all files that cannot be read."""
    shown = "; ".join(reason for _, reason in problems[:3])
    reasons = f"{shown}; ... ({len(problems) - 3} more)" if len(problems) > 3 else shown
    return (
        f"{len(problems)} of {n_files} DICOM files hold no image that can be read: {reasons}; on_error='skip' leaves them out"
    )
