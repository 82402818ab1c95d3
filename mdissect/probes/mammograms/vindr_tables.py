"""The tables of VinDr-Mammo, joined by image: the original ones, and the one that Mammo-CLIP made of them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from mdissect.arguments import counted
from mdissect.probes.mammograms.meanings import (
    as_integers,
    birads,
    density,
    finding_names,
    laterality,
    number,
    parse_column,
    view,
)
from mdissect.tables import first_column, read_text_table

BREASTS, FINDINGS, FOLDS = "breast-level_annotations.csv", "finding_annotations.csv", "vindr_detection_v1_folds.csv"

# A column of the joined table, and what the files call it.
_COLUMNS = {
    "study_id": ("study_id", "patient_id"),
    "image_id": ("image_id",),
    "laterality": ("laterality",),
    "view": ("view_position", "view"),
    "density": ("breast_density", "density"),
    "birads": ("breast_birads",),
    "split": ("split",),
}
_NEEDED = tuple("|".join(names) for column, names in _COLUMNS.items() if column != "birads")
_ORIGINAL = ("xmin", "ymin", "xmax", "ymax")
_BOXED = ("finding_categories", *_ORIGINAL)
_RESIZED = tuple(f"resized_{edge}" for edge in _ORIGINAL)
_FLAGS = (
    "Mass", "Suspicious_Calcification", "Architectural_Distortion", "Asymmetry", "Focal_Asymmetry", "Global_Asymmetry",
    "Skin_Thickening", "Skin_Retraction", "Nipple_Retraction", "Suspicious_Lymph_Node",
)  # fmt: skip

Boxes = dict[str, list[dict]]


@dataclass
class Annotations:
    """The content of the tables.

    `images` has a row per image, indexed by image_id: patient, laterality, view, density, birads, findings (where a table has
    them), then study_id, split and whatever else the files hold. `boxes` and `resized` are lists of dict finding, xmin, ymin,
    xmax, ymax by image_id, in pixels of the original and of the published image of 1520 x 912; `marked`: whether a table has
    boxes at all. `rows`: by file, how many of its rows name each image.
    """

    images: pd.DataFrame
    boxes: Boxes = field(default_factory=dict)
    resized: Boxes = field(default_factory=dict)
    marked: bool = False
    rows: dict[str, pd.Series] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def read_annotations(root: Path, folds: str | Path | None = None) -> Annotations:
    """Read and join the tables of a VinDr-Mammo folder; `folds` is Mammo-CLIP's table when it lies elsewhere.

    Images, sides, views, densities, BI-RADS categories and splits come from the first of the breast-level, the finding-level
    and Mammo-CLIP's table that is there; findings and original boxes from the finding-level one, else from Mammo-CLIP's, which
    also has boxes in pixels of the published images. FileNotFoundError without any table; ValueError where a column is
    missing, a cell cannot be read, or two rows contradict each other about one image.
    """
    tables = _read(root, folds)
    base = next(iter(tables))
    notes: list[str] = []
    images = _images(tables[base], base)
    known = set(images.index)
    source = next((name for name in (FINDINGS, *reversed(tables)) if name in tables and _has_findings(tables[name])), None)
    annotations = Annotations(images, notes=notes)
    annotations.rows = {name: table["image_id"].value_counts() for name, table in tables.items()}
    for name, table in tables.items():
        unlisted = [image for image in table["image_id"].unique() if image not in known]
        notes += [f"{name}: {counted(unlisted, 'image')} not in {base}"] if unlisted else []
    if source is None:
        notes.append("no table of findings: the column 'findings' is missing, and there are no boxes")
    else:
        _add_findings(annotations, tables[source], source)
    for name, table in tables.items():
        _add_boxes(annotations, table, name, source)
    _add_extras(annotations, tables.values())
    return annotations


def _read(root: Path, folds: str | Path | None) -> dict[str, pd.DataFrame]:
    """The tables that are there, by file name, with image ids without suffix."""
    paths = [root / BREASTS, root / FINDINGS, root / FOLDS if folds is None else Path(folds)]
    there = [path for path in paths if path.is_file() or (folds is not None and path == Path(folds))]
    if not there:
        held = sorted(entry.name for entry in root.iterdir())
        raise FileNotFoundError(f"{root} holds none of the tables {BREASTS}, {FINDINGS}, {FOLDS}; it holds {', '.join(held)}")
    tables = {}
    for path in there:
        needed = ("image_id",) if tables else _NEEDED
        table = read_text_table(path, (*needed, *_BOXED) if path.name == FINDINGS else needed)
        if (nameless := table["image_id"] == "").any():
            raise ValueError(f"{path}, line {nameless.idxmax()}: no image_id")
        table["image_id"] = table["image_id"].str.replace(r"\.(png|dicom|dcm)$", "", regex=True, flags=re.IGNORECASE)
        tables[path.name] = table
    return tables


def _images(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """The shared columns, a row per image, in the table's order."""
    text = pd.DataFrame({column: first_column(table, *names) for column, names in _COLUMNS.items()}).drop_duplicates()
    twice = text["image_id"].duplicated(keep=False)
    if twice.any():
        image = text.loc[twice, "image_id"].iloc[0]
        rows = text[text["image_id"] == image]
        differing = [column for column in rows if rows[column].nunique() > 1]
        lines = ", ".join(map(str, rows.index))
        raise ValueError(f"{name}: lines {lines} contradict each other about image {image} in {', '.join(differing)}")
    if "breast_density" not in table:
        text["density"] = _class_numbers_to_letters(text["density"])
    cells = {column: text[column].rename(_own_name(table, column)) for column in text}
    images = {
        "patient": text["study_id"].tolist(),
        "laterality": parse_column(cells["laterality"], laterality, name),
        "view": parse_column(cells["view"], view, name),
        "density": parse_column(cells["density"], density, name),
        "birads": as_integers(parse_column(cells["birads"], birads, name)),
        "study_id": text["study_id"].tolist(),
        "split": text["split"].str.lower().tolist(),
    }
    return pd.DataFrame(images, index=pd.Index(text["image_id"], name="image_id"))


def _own_name(table: pd.DataFrame, column: str) -> str:
    """The name of one of `_COLUMNS` in the file."""
    return next((name for name in _COLUMNS[column] if name in table), column)


def _class_numbers_to_letters(column: pd.Series) -> pd.Series:
    """Mammo-CLIP's column "density" may hold class numbers, 0 to 3; a 4 in it says that it holds 1 to 4."""
    numbers = column.str.removesuffix(".0")
    return column if (numbers == "4").any() else numbers.replace(dict(zip("0123", "ABCD", strict=True)))


def _has_findings(table: pd.DataFrame) -> bool:
    return "finding_categories" in table or any(flag in table for flag in _FLAGS)


def _named(table: pd.DataFrame) -> list[tuple[str, ...]]:
    """The findings of each row."""
    if "finding_categories" in table:
        return [finding_names(cell) for cell in table["finding_categories"]]
    flags = [flag for flag in _FLAGS if flag in table]
    names = [flag.replace("_", " ").lower() for flag in flags]
    rows = table[flags].isin(("1", "1.0", "True")).to_numpy()
    return [tuple(name for name, present in zip(names, row, strict=True) if present) for row in rows]


def _add_findings(annotations: Annotations, table: pd.DataFrame, name: str) -> None:
    """The columns findings and finding_birads: all of an image's rows together, the highest category."""
    found: dict[str, dict[str, None]] = defaultdict(dict)
    worst: dict[str, int] = {}
    categories = parse_column(first_column(table, "finding_birads").rename("finding_birads"), birads, name)
    for image, names, category in zip(table["image_id"], _named(table), categories, strict=True):
        found[image] |= dict.fromkeys(names)
        if category is not None:
            worst[image] = max(category, worst.get(image, 0))
    images = annotations.images
    images.insert(5, "findings", ["; ".join(found[image]) for image in images.index])
    images["finding_birads"] = as_integers([worst.get(image) for image in images.index])


def _add_boxes(annotations: Annotations, table: pd.DataFrame, name: str, source: str | None) -> None:
    """The boxes that a table has, in the frame or frames that it has them in."""
    frames = [(_RESIZED, annotations.resized)]
    frames += [(_ORIGINAL, annotations.boxes)] if name == source else []
    for edges, boxes in frames:
        if not set(edges) <= set(table.columns) or not _has_findings(table):
            continue
        annotations.marked = True
        corners = np.array([parse_column(table[edge], number, name) for edge in edges]).T
        with_box = (corners[:, 0] < corners[:, 2]) & (corners[:, 1] < corners[:, 3])  # false where one is NaN
        for row, names in enumerate(_named(table)):
            if with_box[row]:
                box = dict(zip(_ORIGINAL, corners[row].tolist(), strict=True))
                boxes.setdefault(table["image_id"].iloc[row], []).extend({"finding": finding} | box for finding in names)
        odd = ~with_box & ~np.isnan(corners).all(axis=1)
        if odd.any():
            lines = [f"line {line}" for line in table.index[odd]]
            annotations.notes.append(f"{name}: {counted(lines, 'row')} with edges ({edges[0]} ...) that make no box")


def _add_extras(annotations: Annotations, tables: Iterable[pd.DataFrame]) -> None:
    """Columns that only some of the tables have, each from the first that has it."""
    for column in ("series_id", "height", "width", "fold", *_FLAGS):
        table = next((table for table in tables if column in table), None)
        if table is not None:
            annotations.images[column] = _by_image(table, column).reindex(annotations.images.index)


def _by_image(table: pd.DataFrame, column: str) -> pd.Series:
    """A value per image: the first text of its rows, or the largest number."""
    cells = table[column]
    numbers = pd.to_numeric(cells, errors="coerce")
    if numbers[cells != ""].isna().any():
        return cells.groupby(table["image_id"]).first()
    largest = numbers.groupby(table["image_id"]).max()
    return largest if largest.isna().any() or (largest % 1).any() else largest.astype(np.int64)
