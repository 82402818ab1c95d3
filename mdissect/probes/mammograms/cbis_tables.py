"""The tables of CBIS-DDSM: a row per abnormality, grouped by image."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pandas as pd

from mdissect.arguments import counted, listed
from mdissect.probes.datasets import held_by
from mdissect.probes.mammograms.meanings import (
    any_of,
    as_flags,
    as_integers,
    birads,
    cancer,
    density,
    joined,
    laterality,
    most_abnormal,
    parse_column,
    pathology,
    shared_first,
    view,
)
from mdissect.tables import first_column, read_text_table

TABLES = {f"{kind}_case_description_{split}_set.csv": (kind, split) for kind in ("mass", "calc") for split in ("train", "test")}
TABLE_FOLDERS = (".", "csv", "tables")
FINDINGS = {"mass": "mass", "calc": "calcification"}
ANNOTATED = "mass; calcification"

_NEEDED = (
    "patient_id", "breast_density|breast density", "left or right breast", "image view", "abnormality id", "abnormality type",
    "assessment", "pathology", "image file path", "cropped image file path", "ROI mask file path",
)  # fmt: skip
# The columns that describe a mass or a calcification, and their names in the probe's table.
_DESCRIBED = {
    "mass": {"mass shape": "mass_shape", "mass margins": "mass_margin"},
    "calc": {"calc type": "calcification_morphology", "calc distribution": "calcification_distribution"},
}
_DESCRIPTIONS = tuple(name for names in _DESCRIBED.values() for name in names.values())
# Shapes of masses that name another finding.
_OTHER_FINDINGS = {
    "architectural distortion": "architectural distortion", "asymmetric breast tissue": "asymmetry",
    "focal asymmetric density": "focal asymmetry", "lymph node": "lymph node",
}  # fmt: skip
_NAMED = re.compile(r"(mass|calc)-(training|test)_(P_\d+)_(LEFT|RIGHT)_([A-Z]+)", re.IGNORECASE)
_UID = re.compile(r"\d+(?:\.\d+)+")
_PATH = "Mass-Training_P_00001_LEFT_CC/<study UID>/<series UID>/000000.dcm"


@dataclass(frozen=True)
class Abnormality:
    """An abnormality of an image: its finding and the paths, as the table has them, of its mask and its crop ("": none)."""

    finding: str
    place: str
    mask: str
    crop: str


@dataclass
class Cases:
    """The content of the tables.

    `images` is the probe's table, a row per image, indexed by the image's folder; `paths` is that of each image's file as the
    tables have it, `abnormalities` are those of each image.
    """

    images: pd.DataFrame
    paths: dict[str, str]
    abnormalities: dict[str, list[Abnormality]]
    notes: list[str]


def read_cases(root: Path, split: str) -> Cases:
    """The images of a split ("train", "test", "all") in the tables that are there.

    All tables are read, also those of the other split: a view may be there twice, in a case of masses and in one of
    calcifications, and its cancer is that of both.

    FileNotFoundError without any of the split; ValueError for a missing column, a cell that cannot be read, a path that is not
    one of this data set, or rows that contradict each other about an image.
    """
    wanted = [name for name, (_, of_split) in TABLES.items() if split in ("all", of_split)]
    paths = {name: path for name in TABLES if (path := _find(root, name))}
    if not set(wanted) & set(paths):
        places = f"{root} and its {', '.join(f'{folder}/' for folder in TABLE_FOLDERS[1:])}"
        raise FileNotFoundError(f"{places}: no table {' or '.join(wanted)}; the folder holds {held_by(root)}")
    absent = [name for name in TABLES if name not in paths]
    notes = [f"no table {name}: what it says of these images is not known" for name in absent]
    by_image: dict[str, list[dict]] = {}
    for path in paths.values():
        for row in _read(path, notes):
            by_image.setdefault(row["image"], []).append(row)
    table = _table({image: _merged(image, rows) for image, rows in by_image.items()})
    odd = [image for image, rows in by_image.items() if len({row["density"] for row in rows} - {""}) > 1]
    notes += [f"the density of {counted(odd, 'image')} is unknown: the rows contradict each other"] if odd else []
    table, doubled = _both_kinds(table, complete=not absent)
    table = table if split == "all" else table[table["split"] == split]
    abnormalities = {
        image: [Abnormality(row["finding"], row["place"], row["mask"], row["crop"]) for row in by_image[image]]
        for image in table.index
    }
    n_abnormalities = sum(map(len, abnormalities.values()))
    notes += [*doubled, f"{n_abnormalities} abnormalities of {len(table)} images, one row for each image"]
    return Cases(table, {image: by_image[image][0]["path"] for image in table.index}, abnormalities, notes)


def _find(root: Path, name: str) -> Path | None:
    return next((root / folder / name for folder in TABLE_FOLDERS if (root / folder / name).is_file()), None)


def _read(path: Path, notes: list[str]) -> list[dict]:
    """A row per abnormality of one table, in the shared words; adds notes on cells and rows that do not count."""
    kind, split = TABLES[path.name]
    described = _DESCRIBED[kind]
    rows = read_text_table(path, (*_NEEDED, *described))
    if (repeated := rows.duplicated()).any():
        notes.append(f"{path.name}: {repeated.sum()} rows are there before in the same words and are removed")
        rows = rows[~repeated]
    densities = first_column(rows, "breast_density", "breast density")
    if (zero := densities == "0").any():
        notes.append(f"{path.name}: the density of {int(zero.sum())} rows is 0, which counts as unknown")
    side, projection = rows["left or right breast"], rows["image view"]
    table = {
        "place": [f"{path.name}, line {line}" for line in rows.index],
        "path": rows["image file path"].tolist(),
        "mask": rows["ROI mask file path"].tolist(),
        "crop": rows["cropped image file path"].tolist(),
        "patient": rows["patient_id"].tolist(),
        "laterality": parse_column(side, laterality, path.name),
        "view": parse_column(projection, view, path.name),
        "density": parse_column(densities.mask(zero, ""), density, path.name),
        "birads": parse_column(rows["assessment"], birads, path.name),
        "cancer": parse_column(rows["pathology"], cancer, path.name),
        "pathology": parse_column(rows["pathology"], pathology, path.name),
        "finding": parse_column(rows["abnormality type"], _finding, path.name),
        "subtlety": first_column(rows, "subtlety").tolist(),
        "split": [split] * len(rows),
        **dict.fromkeys(_DESCRIPTIONS, [""] * len(rows)),
        **{name: [joined(_words(cell)) for cell in rows[column]] for column, name in described.items()},
    }
    found = [dict(zip(table, cells, strict=True)) for cells in zip(*table.values(), strict=True)]
    for row in found:
        if row["finding"] != FINDINGS[kind]:
            said = f"the abnormality type is {row['finding']}, but the table is that of {FINDINGS[kind]}s"
            raise ValueError(f"{row['place']}: {said}")
        row["image"] = _image(row, kind, split)
    return found


def _image(row: dict, kind: str, split: str) -> str:
    """The folder that names an image, checked against the columns."""
    parts = PurePosixPath(row["path"].replace("\\", "/")).parts
    match = _NAMED.fullmatch(parts[0]) if parts else None
    if not match or not series_uid(row["path"]):
        raise ValueError(f"{row['place']}, column 'image file path': {row['path']!r} is not a path such as {_PATH}")
    said = (kind, split, row["patient"].upper(), row["laterality"], row["view"])
    named = (match[1].lower(), {"training": "train"}.get(match[2].lower(), "test"), match[3].upper())
    named += (laterality(match[4]), view(match[5]))
    if differing := [f"{own} (the path says {other})" for own, other in zip(said, named, strict=True) if own != other]:
        raise ValueError(f"{row['place']}: the path {row['path']!r} contradicts the row: {', '.join(differing)}")
    return parts[0]


def series_uid(path: str) -> str:
    """The series UID of a path in the tables: the folder of its file; "" where there is none."""
    parts = PurePosixPath(path.replace("\\", "/")).parts
    return parts[-2] if len(parts) > 2 and _UID.fullmatch(parts[-2]) else ""


def _finding(cell: str) -> str:
    known = {"mass": "mass", "calcification": "calcification"}
    if cell.lower() not in known:
        raise ValueError("'mass' or 'calcification'")
    return known[cell.lower()]


def _words(cell: str) -> list[str]:
    """The parts of a description in lower case: "ROUND-LUCENT_CENTER" has two; "N/A" none."""
    parts = (" ".join(part.lower().replace("_", " ").split()) for part in cell.split("-"))
    return [part for part in parts if part not in ("", "n/a", "na", "nan")]


def _merged(image: str, rows: list[dict]) -> dict:
    """The abnormalities of an image as one row; ValueError where they contradict each other about its path."""
    cells = {column: [row[column] for row in rows] for column in rows[0]}
    if len(told := sorted(set(cells["path"]))) > 1:
        lines = listed(cells["place"])
        raise ValueError(f"{lines} contradict each other about the path of image {image}: {' and '.join(told)}")
    densities = set(cells["density"]) - {""}
    shapes = [word for cell in cells["mass_shape"] for word in cell.split("; ")]
    return {
        **{column: cells[column][0] for column in ("patient", "laterality", "view")},
        "density": densities.pop() if len(densities) == 1 else "",
        "birads": most_abnormal(cells["birads"]),
        "findings": joined([*cells["finding"], *(_OTHER_FINDINGS.get(shape, "") for shape in shapes)]),
        "annotated": "",
        "cancer": any_of(cells["cancer"]),
        "pathology": joined(cells["pathology"]),
        "abnormality": joined(cells["finding"]),
        "abnormalities": len(rows),
        "subtlety": joined(cells["subtlety"]),
        **{name: joined(word for cell in cells[name] for word in cell.split("; ")) for name in _DESCRIPTIONS},
        "split": cells["split"][0],
    }


def _table(images: dict[str, dict]) -> pd.DataFrame:
    table = pd.DataFrame(list(images.values()), index=pd.Index(list(images), name="image_id"))
    cells = {column: [image[column] for image in images.values()] for column in ("birads", "cancer")}
    return shared_first(table.assign(birads=as_integers(cells["birads"]), cancer=as_flags(cells["cancer"])))


def _both_kinds(table: pd.DataFrame, complete: bool) -> tuple[pd.DataFrame, list[str]]:
    """The table with what is known of both kinds of abnormalities, and notes on views that have both.

    The column annotated has both for a view that stands in the tables of one kind alone, if these are `complete`. A view with
    both has a cancer where one of its two images has.
    """
    notes, view_of = [], [table[column] for column in ("patient", "laterality", "view")]
    kinds = table.groupby(view_of, sort=False)["abnormality"].transform("nunique")
    annotated = table["abnormality"].where((kinds > 1) | (not complete), ANNOTATED)
    found = dict(list(table.groupby(view_of, sort=False)["cancer"]))
    keys = zip(*view_of, strict=True)
    cancers = as_flags([any_of([None if flag != flag else bool(flag) for flag in found[key]]) for key in keys])
    table = table.assign(annotated=annotated, cancer=cancers)
    if (both := kinds > 1).any():
        views = [" ".join(key) for key in dict.fromkeys(zip(*(column[both] for column in view_of), strict=True))]
        notes.append(
            f"{counted(views, 'view')}: there as two images, a case of masses and one of calcifications; cancer is that of "
            "both, all else that of the image's own case"
        )
    splits = table.groupby("patient", sort=False)["split"].nunique()
    if len(mixed := splits.index[splits > 1].tolist()):
        notes.append(f"{counted(mixed, 'patient')} in train (one kind of abnormality) and in test (the other)")
    return table, notes
