"""The table of INbreast, and the outlines of its findings in the XML files of OsiriX."""

from __future__ import annotations

import plistlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mdissect.arguments import counted, shown
from mdissect.files import regular_file
from mdissect.probes.datasets import held_by
from mdissect.probes.mammograms.meanings import (
    as_integers,
    birads,
    density,
    laterality,
    parse_column,
    view,
    years,
)
from mdissect.probes.mammograms.outlines import Outline
from mdissect.tables import first_column, read_text_table

TABLES = ("INbreast.csv", "INbreast.xlsx", "INbreast.xls")
# Views in the table, and in the names of the files, where ML stands for MLO.
VIEWS = {"CC": "CC", "MLO": "MLO", "ML": "MLO"}
OTHER = "other"
# What the regions of interest are called, in lower case.
ROI_NAMES = {
    "mass": "mass", "calcification": "calcification", "calcifications": "calcification", "cluster": "calcification",
    "distortion": "architectural distortion", "asimmetry": "asymmetry", "assymetry": "asymmetry", "asymmetry": "asymmetry",
    "spiculated region": "spiculated region", "espiculated region": "spiculated region", "": OTHER, "unnamed": OTHER,
    "point 1": OTHER, "point 3": OTHER,
}  # fmt: skip

_NEEDED = ("Laterality", "View", "File Name", "ACR", "Bi-Rads")
_REMOVED = "removed"
# Rows of notes below the last image.
_TRAILING = 2
_OLD_WORKBOOK = b"\xd0\xcf\x11\xe0"
# An outline of 100 points takes 5 kB, an image has at most a few thousand of them.
_MOST_BYTES = 1 << 26
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_POINT = re.compile(rf"\(\s*({_NUMBER})\s*,\s*({_NUMBER})\s*\)")


def read_images(root: Path) -> tuple[pd.DataFrame, list[str]]:
    """The table, a row per image indexed by File Name: patient ("" where it was removed) to birads, age; and notes.

    FileNotFoundError without a table; ValueError for one that cannot be read, a missing column, a cell that is not what it
    should be, or an image that is named twice.
    """
    path = next((root / name for name in TABLES if (root / name).is_file()), None)
    if path is None:
        raise FileNotFoundError(f"{root} holds no table {' or '.join(TABLES[:2])}; it holds {held_by(root)}")
    _refuse_old(path)
    rows, notes = _of_images(read_text_table(path, _NEEDED), path)
    images = {
        "patient": ["" if cell == _REMOVED else cell for cell in first_column(rows, "Patient ID")],
        "laterality": parse_column(rows["Laterality"], _side, path.name),
        "view": parse_column(rows["View"], file_view, path.name),
        "density": parse_column(rows["ACR"], density, path.name),
        "birads": as_integers(parse_column(rows["Bi-Rads"], birads, path.name)),
        "age": as_integers(parse_column(first_column(rows, "Patient age").rename("Patient age"), _age, path.name)),
    }
    return pd.DataFrame(images, index=pd.Index(rows["File Name"], name="image_id")), notes


def file_view(cell: str) -> str:
    """A view of this data set.

    >>> file_view("ML"), file_view("CC")
    ('MLO', 'CC')
    """
    if view(cell) not in VIEWS:
        raise ValueError(f"a view ({', '.join(VIEWS)})")
    return VIEWS[view(cell)]


def read_outlines(path: Path, roi_names: Mapping[str, str]) -> list[Outline]:
    """The outlines in an XML file (a property list of Apple's).

    `roi_names`: findings by the name of their region, in lower case. ValueError, which names the file and the region: no
    property list, entities in it, another structure than that of INbreast, numbers of regions or points that are not those in
    it, or a name that is not known.
    """
    document = _property_list(path)
    images = _entry(document, "Images", list, path, "")
    if len(images) != 1:
        raise ValueError(f"{path}: Images has {len(images)} entries; expected one, for one mammogram")
    regions = _counted(images[0], "ROIs", "NumberOfROIs", path, "Images[0]")
    return [_outline(region, path, f"ROIs[{number}]", roi_names) for number, region in enumerate(regions)]


def _refuse_old(path: Path) -> None:
    """Raise ValueError for a workbook in the old format, whatever it is called."""
    with regular_file(path).open("rb") as file:
        if file.read(4) == _OLD_WORKBOOK:
            raise ValueError(
                f"{path} is an old workbook (.xls), which cannot be read here; open it in a spreadsheet and save it as "
                f"INbreast.xlsx (or run `soffice --headless --convert-to xlsx {path.name}`), or put the release's INbreast.csv "
                "beside it"
            )


def _of_images(rows: pd.DataFrame, path: Path) -> tuple[pd.DataFrame, list[str]]:
    """The rows that name an image, and a note on those below the last one."""
    rows = rows.assign(**{"File Name": rows["File Name"].str.removesuffix(".0")})
    named = rows["File Name"].str.fullmatch(r"\d+")
    kept = rows[named]
    if kept.empty:
        raise ValueError(f"{path}: no row has the number of a file in the column 'File Name', such as 22678622")
    others = rows[~named]
    if len(others) > _TRAILING or (others.index < kept.index[-1]).any():
        line = others.index[0]
        raise ValueError(
            f"{path}, line {line}, column 'File Name': {rows.loc[line, 'File Name']!r} is not the number of a file; only the "
            f"last {_TRAILING} rows of the release name none"
        )
    if (twice := kept["File Name"].duplicated(keep=False)).any():
        image = kept.loc[twice, "File Name"].iloc[0]
        lines = ", ".join(map(str, kept.index[kept["File Name"] == image]))
        raise ValueError(f"{path}, lines {lines}: the image {image} stands there several times; keep one row")
    lines = [f"line {line}" for line in others.index]
    return kept, [f"{path.name}: {counted(lines, 'row')} below the last image, which name none"] if lines else []


def _side(cell: str) -> str:
    if not cell:
        raise ValueError("a side (L or R)")
    return laterality(cell)


def _age(cell: str) -> int | None:
    return None if cell == _REMOVED else years(cell)


def _property_list(path: Path) -> dict:
    """A property list in XML; entities are refused by its parser."""
    size = regular_file(path).stat().st_size
    if size > _MOST_BYTES:
        raise ValueError(f"{path} has {size:,} bytes; the outlines of a mammogram take at most {_MOST_BYTES:,}")
    try:
        document = plistlib.loads(path.read_bytes(), fmt=plistlib.FMT_XML)
    except MemoryError:
        raise
    except Exception as error:  # of broken XML, and of broken numbers and dates in it, the parser raises almost anything
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise ValueError(f"{path} is no property list in XML that can be read ({reason}); take the release's file") from error
    if not isinstance(document, dict):
        raise ValueError(f"{path} holds a {type(document).__name__}; expected a dict with Images")
    return document


def _entry(held: Any, key: str, kind: type, path: Path, place: str) -> Any:
    """An entry of a dict, of the kind that it should be."""
    where = f"{path}: {place or 'the file'}"
    if not isinstance(held, dict):
        raise ValueError(f"{where} is a {type(held).__name__}; expected a dict with {key}")
    if key not in held:
        raise ValueError(f"{where} has no {key}; it has {', '.join(map(str, sorted(held))) or 'nothing'}")
    if not isinstance(held[key], kind) or isinstance(held[key], bool):
        raise ValueError(f"{where}: {key}={shown(held[key])} is a {type(held[key]).__name__}; expected a {kind.__name__}")
    return held[key]


def _counted(held: Any, key: str, count: str, path: Path, place: str) -> list:
    """A list of a dict, which also says how many entries it has."""
    found, said = _entry(held, key, list, path, place), _entry(held, count, int, path, place)
    if len(found) != said:
        raise ValueError(f"{path}: {place} has {len(found)} {key}, but {count} is {said}; the file is damaged")
    return found


def _outline(region: Any, path: Path, place: str, roi_names: Mapping[str, str]) -> Outline:
    name = _entry(region, "Name", str, path, place).strip()
    if (finding := roi_names.get(name.lower())) is None:
        raise ValueError(
            f"{path}: {place} is called {name!r}; known: {', '.join(filter(None, roi_names))}. Say what it is with "
            f"roi_names={{{name!r}: '{OTHER}'}}"
        )
    points = _counted(region, "Point_px", "NumberOfPoints", path, place)
    if not points:
        raise ValueError(f"{path}: {place} ({name!r}) has no points")
    matches = [_POINT.fullmatch(point.strip()) if isinstance(point, str) else None for point in points]
    if None in matches:
        wrong = points[matches.index(None)]
        raise ValueError(f"{path}: {place}: the point {shown(wrong)} is not '(x, y)' in pixels")
    whole = np.rint(np.array([match.groups() for match in matches], dtype=np.float64))
    if np.abs(whole).max() > 1e6:
        raise ValueError(f"{path}: {place}: a point at {np.abs(whole).max():g} pixels lies in no mammogram")
    return Outline(finding, whole.astype(np.int64))
