"""A table of metadata joined to images: one row per image, its patient, its boxes."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from mdissect.arguments import counted, kind_of, one_of
from mdissect.probes.matching import hints, match_rows, near_misses
from mdissect.tables import MISSING_WORDS, read_text_table, with_numbers

EDGES = ("xmin", "ymin", "xmax", "ymax")
_PATIENT = "patient"
# Columns that are taken for the patient, and those that may be one (letters and digits in lower case).
_PATIENTS = (
    "patient", "patientid", "patientnumber", "patientno", "patientkey", "patientcode", "patientname", "anonpatientid",
    "anonymizedpatientid", "patientanon", "empianon", "subject", "subjectid", "participant", "participantid", "clientid", "mrn",
)  # fmt: skip
_MAYBE_PATIENTS = ("case", "caseid", "study", "studyid", "studyinstanceuid", "exam", "examid", "accanon", "pid", "person")
_FINDING_NAMES = ("finding", "findings", "finding_categories", "class_name", "class", "label", "abnormality", "pathology")
_FLAGS = {"0": False, "1": True, "0.0": False, "1.0": True, "false": False, "true": True}


@dataclass
class Metadata:
    """A row per image in the order of the images; boxes by image id, if the table has some; notes on how it was read."""

    table: pd.DataFrame
    boxes: dict[str, list[dict]] | None = None
    notes: list[str] = field(default_factory=list)


def join_table(
    table: str | Path | pd.DataFrame,
    id_column: str | None,
    ids: Sequence[str],
    besides: Sequence[str] = (),
    patient_column: str | None = None,
    unmatched: str = "raise",
    patients_known: bool = False,
) -> Metadata:
    """Join a table's rows to images by id, as `mdissect.probes.folder.load_folder` describes.

    `ids` are relative paths; `besides` are images that were left out of the probe: rows that name them are no mistake.
    `patients_known`: the images say whose they are, so that a table without patients needs no note.
    """
    one_of("unmatched", unmatched, ("raise", "note"))
    rows, name, noun = _read(table, id_column)
    _check_columns(rows, id_column, patient_column, name)
    place = f"{name}, column {id_column!r}"
    matches = match_rows(rows[id_column], [*ids, *besides], lambda row: f"{place}: {noun} {row}")
    alone = [str(entry) for entry, image_id in zip(rows[id_column], matches, strict=True) if image_id is None]
    wanted = set(ids)
    found = pd.Series(matches, index=rows.index, dtype=object)
    rows, found = rows[found.isin(wanted)], found[found.isin(wanted)]
    notes = _partners(place, alone, len(matches), ids, set(found), unmatched)
    patient, said = _patient(rows.columns.drop(id_column), patient_column)
    notes += said if patient or not patients_known else []
    if patient:
        rows = rows.assign(**{_PATIENT: rows[patient].map(_as_text)})
    boxes = _boxes(rows, found, lambda row: f"{name}, {noun} {row}")
    if boxes is not None:
        rows = rows.drop(columns=_edges(rows))
        notes.append(f"{sum(map(len, boxes.values()))} boxes of {len(boxes)} images, from {', '.join(EDGES)}")
    merged = _one_each(rows, found, id_column, lambda labels: f"{name}, {noun}s {', '.join(map(str, labels))}")
    if len(merged) < len(rows):
        notes.append(f"{len(rows)} rows of {len(merged)} images are merged, one each")
    if not isinstance(table, pd.DataFrame):
        merged, nearly = with_numbers(merged, keep=[id_column, _PATIENT, patient])
        notes += nearly
    if patient:
        merged[_PATIENT] = merged[_PATIENT].where(merged[_PATIENT] != "")
        unknown = merged.index[merged[_PATIENT].isna()]
        notes += [f"no patient of {counted(unknown, 'image')}, each counts as its own"] if len(unknown) else []
        words = sorted(MISSING_WORDS & set(merged[_PATIENT]))
        notes += [f"{', '.join(map(repr, words))} counts as a patient; leave cells empty where none is known"] if words else []
    return Metadata(merged.reindex(list(ids)).rename_axis("image_id"), boxes, [f"{name}: {note}" for note in notes])


def _read(table: str | Path | pd.DataFrame, id_column: str | None) -> tuple[pd.DataFrame, str, str]:
    """The rows, indexed by where they stand; what to call the table in messages, and what a row of it."""
    if isinstance(table, pd.DataFrame):
        return table.set_axis(pd.RangeIndex(1, len(table) + 1), axis=0), "the table", "row"
    kind_of("table", table, (str, Path, pd.DataFrame), "pandas.DataFrame(...)")
    needed = [id_column] if id_column and "|" not in id_column else []
    return read_text_table(table, needed), Path(table).name, "line"


def _check_columns(rows: pd.DataFrame, id_column: str | None, patient_column: str | None, name: str) -> None:
    """Raise ValueError for a missing or ambiguous column."""
    known = f"its columns are {', '.join(map(str, rows.columns))}"
    if id_column is None:
        raise ValueError(f"{name}: which column names the image? pass id_column=; {known}")
    for column in filter(None, (id_column, patient_column)):
        if column not in rows:
            raise ValueError(f"{name} has no column {column!r}; {known}")
    if twice := rows.columns[rows.columns.duplicated()].tolist():
        raise ValueError(f"{name}: the column {twice[0]!r} stands there more than once; keep one")
    if patient_column not in (None, _PATIENT) and _PATIENT in rows:
        raise ValueError(f"{name} has a column {_PATIENT!r} beside patient_column={patient_column!r}; rename or remove it")
    if rows.empty:
        raise ValueError(f"{name} has no rows")


def _partners(place: str, alone: list[str], n_rows: int, ids: Sequence[str], named: set[str], unmatched: str) -> list[str]:
    """Notes on unmatched rows and images; ValueError if that looks like a mistake, unless it is allowed.

    A table of more images than the folder holds is no mistake as long as every image has its row. Else it is one when a row
    nearly names an image that has none, or when half of the rows or of the images find no partner.
    """
    bare = [image_id for image_id in ids if image_id not in named]
    missed = near_misses(alone, bare)
    if not named and not missed:
        such = f"entries such as {alone[0]!r}, images such as {ids[0]!r}" if alone else "they name images that were left out"
        raise ValueError(f"{place}: none of its {n_rows} rows names an image: {such}")
    lost = [f"{counted(alone, 'row')} (no such image)"] if alone else []
    lost += [f"no row for {counted(bare, 'image')}"] if bare else []
    lost += [f"near misses: {hints(missed)}"] if missed else []
    grave = bare and (missed or 2 * len(alone) >= n_rows or 2 * len(bare) >= len(ids))
    if not named or (grave and unmatched == "raise"):
        raise ValueError(
            f"{place}: {'; '.join(lost)}. Write the entries as the images are called (path in the folder, or name), or pass "
            "unmatched='note' to go on without them"
        )
    return lost


def _patient(columns: Sequence[str], chosen: str | None) -> tuple[str | None, list[str]]:
    """The column of the patient, and a note on the choice."""
    if chosen is not None or _PATIENT in columns:
        return chosen or _PATIENT, []
    keys = {re.sub(r"[^a-z0-9]", "", str(column).casefold()): column for column in columns}
    if alike := next((keys[key] for key in _PATIENTS if key in keys), None):
        return alike, [f"column {alike!r} is taken for the patient; patient_column= names another"]
    maybe = next((keys[key] for key in _MAYBE_PATIENTS if key in keys), None)
    advice = f"no column names the patient, so each image counts as its own; patient_column={maybe!r} may be it"
    return None, [advice] if maybe else []


def _boxes(rows: pd.DataFrame, found: pd.Series, place: Callable[[object], str]) -> dict[str, list[dict]] | None:
    """The boxes of each image, a row each; None if the table has no columns of boxes, ValueError for a box that is not one."""
    if not (edges := _edges(rows)):
        return None
    names = {str(column).casefold(): column for column in rows}
    naming = next((names[name] for name in _FINDING_NAMES if name in names), None)
    findings = [""] * len(rows) if naming is None else map(_as_text, rows[naming])
    boxes: dict[str, list[dict]] = {}
    for (row, image_id), finding, *cells in zip(
        found.items(), findings, *(rows[edge].map(_as_text) for edge in edges), strict=True
    ):
        if not any(cells):
            continue
        try:
            xmin, ymin, xmax, ymax = map(float, cells)
        except ValueError:
            xmin = ymin = xmax = ymax = math.nan
        if not (0 <= xmin < xmax < math.inf and 0 <= ymin < ymax < math.inf):
            raise ValueError(f"{place(row)}: {', '.join(edges)} = {', '.join(map(repr, cells))} is not a box in pixels")
        boxes.setdefault(image_id, []).append({"finding": finding, **dict(zip(EDGES, (xmin, ymin, xmax, ymax), strict=True))})
    return boxes


def _edges(rows: pd.DataFrame) -> list[str]:
    """The columns of the edges of boxes in their order; none where one is missing."""
    names = {str(column).casefold(): column for column in rows}
    return [names[edge] for edge in EDGES] if set(EDGES) <= set(names) else []


def _one_each(rows: pd.DataFrame, found: pd.Series, id_column: str, place: Callable[[Sequence], str]) -> pd.DataFrame:
    """The rows of each image as one, indexed by image id."""
    several = found.duplicated(keep=False)
    single = rows[~several].set_axis(found[~several], axis=0)
    if not several.any():
        return single
    flags = [column for column in rows if set(rows[column].map(_as_text).str.lower()) - {""} <= set(_FLAGS)]
    merged = {}
    for image_id, part in rows[several].groupby(found[several], sort=False):
        if _PATIENT in part and len({*part[_PATIENT]} - {""}) > 1:
            raise ValueError(f"{place(part.index)} name different patients for the image {image_id!r}")
        values = {column: _merged(part[column], column in flags) for column in part}
        merged[image_id] = values | {id_column: part[id_column].iloc[0]}
    joined = pd.concat([single.astype(object), pd.DataFrame.from_dict(merged, orient="index", dtype=object)])
    return joined.infer_objects()


def _merged(cells: pd.Series, flag: bool) -> object:
    """One value for several: the same, true where one is true, else all that differ, joined by "; "."""
    distinct = {text: cell for cell in cells if (text := _as_text(cell))}
    if len(distinct) <= 1:
        return next(iter(distinct.values()), cells.iloc[0])
    if flag:
        return next((cell for text, cell in distinct.items() if _FLAGS[text.lower()]), cells.iloc[0])
    return "; ".join(dict.fromkeys(part.strip() for text in distinct for part in text.split(";") if part.strip()))


def _as_text(cell: object) -> str:
    """A cell as text: "" where it is missing, whole numbers without a point, a list joined by "; "."""
    if isinstance(cell, (list, tuple, set, frozenset)):
        return "; ".join(map(_as_text, cell))
    if cell is None or cell is pd.NA or cell != cell:
        return ""
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    return str(cell).strip()
