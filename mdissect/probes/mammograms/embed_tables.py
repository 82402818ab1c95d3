"""The tables of EMBED: a row per file and a row per finding, joined by exam and side, their codes in words."""

from __future__ import annotations

import ast
import math
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import pandas as pd

from mdissect.arguments import counted
from mdissect.probes.mammograms.meanings import (
    IMPLANT,
    as_integers,
    density,
    laterality,
    most_abnormal,
    parse_column,
    view,
)
from mdissect.tables import first_column, read_text_table

METADATA = ("EMBED_OpenData_metadata.csv", "EMBED_OpenData_metadata_reduced.csv")
CLINICAL = ("EMBED_OpenData_clinical.csv", "EMBED_OpenData_clinical_reduced.csv")
TABLE_FOLDERS = (".", "tables")
# Columns of `read_files` that are for finding and marking, not for the probe's table.
UNSHOWN = ("paths", "regions", "dicom_regions", "original", "orientation")

_FILE_NEEDED = (
    "empi_anon", "acc_anon", "png_filename|anon_dicom_path", "FinalImageType", "ImageLateralityFinal", "ViewPosition",
)  # fmt: skip
_FILE_WANTED = (
    "png_filename", "anon_dicom_path", "png_path", "spot_mag", "ROI_coords", "PNG_ROI_coords", "DCM_ROI_coords", "Rows",
    "Columns", "BreastImplantPresent", "Manufacturer", "PatientOrientation",
)  # fmt: skip
_FINDING_NEEDED = ("acc_anon", "side", "tissueden", "asses")
_FINDING_WANTED = ("massshape", "massmargin", "massdens", "calcfind", "calcdistri", "implanfind", "otherfind")

# What the codes of the clinical table mean, by column; "" is a finding that is not described further.
MASS_SHAPES = {"R": "round", "O": "oval", "X": "irregular", "G": ""}
MASS_MARGINS = {"D": "circumscribed", "U": "obscured", "M": "microlobulated", "I": "indistinct", "S": "spiculated"}
MASS_DENSITIES = {"+": "high", "=": "equal", "-": "low", "0": "fat-containing"}
CALCIFICATIONS = {
    "A": "amorphous", "B": "fine linear branching", "C": "popcorn", "D": "dystrophic", "E": "rim", "F": "fine linear", "G": "",
    "H": "coarse heterogeneous", "I": "fine pleomorphic", "J": "oil cyst", "K": "pleomorphic", "L": "large rod-like",
    "M": "milk of calcium", "O": "lucent-centered", "P": "punctate", "Q": "coarse", "R": "round", "S": "skin", "U": "suture",
    "V": "vascular", "9": "",
}  # fmt: skip
DISTRIBUTIONS = {"G": "grouped", "S": "segmental", "R": "regional", "D": "diffuse", "L": "linear", "C": "clustered"}
# Findings that the table keeps among the shapes of masses.
SHAPES_OF_OTHERS = {
    "A": "architectural distortion", "Q": "questioned architectural distortion", "S": "asymmetry", "F": "focal asymmetry",
    "B": "global asymmetry", "V": "developing asymmetry", "N": "intramammary lymph node", "Y": "lymph node",
    "T": "dilated duct",
}  # fmt: skip
# Of the other findings, those that other sources of images have too.
OTHERS = {
    **dict.fromkeys("BFKMW", "biopsy clip"), **dict.fromkeys("SJ", "skin thickening"), "R": "skin retraction",
    "N": "nipple retraction", "D": "architectural distortion", **dict.fromkeys("4Y", "asymmetry"),
    **dict.fromkeys("IQ", "focal asymmetry"), **dict.fromkeys("2AVZ", "lymph node"), "X": "implant",
}  # fmt: skip

# BI-RADS categories by assessment.
ASSESSMENTS = {"N": 1, "B": 2, "P": 3, "K": 6, "A": 0, "S": 4, "M": 5}

DESCRIBED = ("mass_shape", "mass_margin", "mass_density", "calcification_morphology", "calcification_distribution")


def find_table(root: Path, names: Collection[str]) -> Path | None:
    """The first of the files in the folder or its ``tables/``."""
    paths = (root / folder / name for name in names for folder in TABLE_FOLDERS)
    return next((path for path in paths if path.is_file()), None)


def read_files(path: Path) -> tuple[pd.DataFrame, list[str]]:
    """The metadata table, a row per file, indexed by its name; and how many rows were repeated.

    Columns: patient, laterality, view, exam, kind ("2D", "C-view", ...), special (spot compression or magnification), implant
    ("implant", "" or NaN), manufacturer, and those of `UNSHOWN`: paths (tuple: what the table calls the file), regions and
    dicom_regions (lists; None where the table has no such column), original (height and width of the original, or None) and
    orientation (of the patient, as text).
    """
    table = read_text_table(path, _FILE_NEEDED, _FILE_WANTED)
    cells = {column: first_column(table, column) for column in (*_FILE_NEEDED, *_FILE_WANTED) if "|" not in column}
    files = pd.DataFrame(
        {
            "patient": _whole(cells["empi_anon"]),
            "laterality": parse_column(cells["ImageLateralityFinal"].rename("ImageLateralityFinal"), laterality, path.name),
            "view": [view(cell) for cell in cells["ViewPosition"]],
            "exam": _whole(cells["acc_anon"]),
            "kind": cells["FinalImageType"],
            "special": cells["spot_mag"].isin(("1", "1.0")),
            "implant": cells["BreastImplantPresent"].str.upper().map({"YES": IMPLANT, "NO": ""}),
            "manufacturer": cells["Manufacturer"],
        }
    )
    columns = (cells[column] for column in ("png_filename", "png_path", "anon_dicom_path"))
    files["paths"] = [tuple(filter(None, names)) for names in zip(*columns, strict=True)]
    of_images = "PNG_ROI_coords" if "PNG_ROI_coords" in table else "ROI_coords"
    for column, name in (("regions", of_images), ("dicom_regions", "DCM_ROI_coords")):
        files[column] = parse_column(cells[name].rename(name), regions, path.name) if name in table else None
    files["orientation"] = cells["PatientOrientation"]
    files["original"] = pd.Series(list(map(_pixels, cells["Rows"], cells["Columns"])), index=files.index, dtype=object)
    if not (named := files["paths"].map(bool)).all():
        raise ValueError(f"{path}, line {named.idxmin()}: neither png_filename nor anon_dicom_path names a file")
    files.index = pd.Index([PurePosixPath(names[0]).name for names in files["paths"]], name="image_id")
    files, repeated = _unrepeated(files, path)
    files, odd = _with_area(files, path)
    return files, repeated + odd


def read_list(path: Path) -> tuple[pd.DataFrame, list[str]]:
    """The study's list of images: "implant" or "" and paths, indexed by file name; and how many rows were repeated."""
    table = read_text_table(path, ("filename", "Implant_type"))
    kinds = parse_column(table["Implant_type"], _implant_type, path.name)
    listed = pd.DataFrame({"implant": kinds, "paths": [(name,) for name in table["filename"]]})
    listed.index = pd.Index(table["filename"], name="image_id")
    return _unrepeated(listed, path)


@dataclass
class Breast:
    """The clinical table's entries on one breast in one exam."""

    density: str = ""
    assessments: set[int] = field(default_factory=set)
    findings: dict[str, None] = field(default_factory=dict)
    described: dict[str, dict[str, None]] = field(default_factory=lambda: defaultdict(dict))

    @property
    def birads(self) -> int | None:
        """The most abnormal of the assessments."""
        return most_abnormal(self.assessments)


def read_breasts(path: Path, exams: Iterable[str]) -> dict[tuple[str, str], Breast]:
    """The clinical table: findings in each breast of some exams, by exam and side ("L", "R").

    A row for side B, or for no side, holds for both breasts; the density in any row is that of both.
    """
    table = read_text_table(path, _FINDING_NEEDED, _FINDING_WANTED)
    table = table.assign(acc_anon=_whole(table["acc_anon"]))
    table = table[table["acc_anon"].isin(set(exams))]
    densities = parse_column(table["tissueden"], _tissue_density, path.name)
    assessments = parse_column(table["asses"], _assessment, path.name)
    sides = parse_column(table["side"], _sides, path.name)
    breasts: dict[tuple[str, str], Breast] = defaultdict(Breast)
    columns = {column: first_column(table, column) for column in _FINDING_WANTED}
    codes = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    rows = zip(table["acc_anon"], sides, densities, assessments, codes, strict=True)
    for exam, affected, tissue, assessment, row in rows:
        for side in "LR":
            breast = breasts[exam, side]
            breast.density = breast.density or tissue
            if side in affected:
                breast.assessments |= set() if assessment is None else {assessment}
                _describe(breast, row)
    return dict(breasts)


def clinical_columns(files: pd.DataFrame, breasts: dict[tuple[str, str], Breast]) -> pd.DataFrame:
    """density, birads, findings and the descriptions of masses and calcifications for each file."""
    own = [breasts.get(key, Breast()) for key in zip(files["exam"], files["laterality"], strict=True)]
    columns = {
        "density": [breast.density for breast in own],
        "birads": as_integers([breast.birads for breast in own]),
        "findings": ["; ".join(breast.findings) for breast in own],
    }
    columns |= {name: ["; ".join(breast.described[name]) for breast in own] for name in DESCRIBED}
    return pd.DataFrame(columns, index=files.index)


def regions(cell: str) -> list[tuple[float, float, float, float]]:
    """Regions of interest (ymin, xmin, ymax, xmax) from a list as text.

    >>> regions("[[10, 20, 30, 40]]"), regions("[]")
    ([(10.0, 20.0, 30.0, 40.0)], [])
    """
    expected = "a list of [ymin, xmin, ymax, xmax]"
    try:
        boxes = [tuple(map(float, box)) if not isinstance(box, str) else () for box in ast.literal_eval(cell or "[]")]
    except (ValueError, SyntaxError, TypeError, OverflowError, MemoryError, RecursionError) as error:
        raise ValueError(expected) from error
    if not all(len(box) == 4 and all(map(math.isfinite, box)) for box in boxes):
        raise ValueError(expected)
    return boxes


def _with_area(files: pd.DataFrame, path: Path) -> tuple[pd.DataFrame, list[str]]:
    """The files without invalid regions, and a note on those that had some."""
    odd: dict[str, None] = {}

    def kept(name: str, boxes: list[tuple] | None) -> list[tuple] | None:
        good = None if boxes is None else [box for box in boxes if box[0] < box[2] and box[1] < box[3]]
        if good != boxes:
            odd[name] = None
        return good

    columns = {column: list(map(kept, files.index, files[column])) for column in ("regions", "dicom_regions")}
    files = files.assign(**{name: pd.Series(cells, index=files.index, dtype=object) for name, cells in columns.items()})
    return files, [f"{path.name}: regions without area of {counted(list(odd), 'image')} are left out"] if odd else []


def _describe(breast: Breast, row: dict[str, str]) -> None:
    """Add the findings of a row; unknown codes are ignored."""

    def codes(column: str, meanings: dict[str, str], becomes: str) -> bool:
        words = [meanings[code] for code in row[column] if code in meanings]
        breast.described[becomes] |= dict.fromkeys(word for word in words if word)
        return bool(words)

    is_mass = [
        codes("massshape", MASS_SHAPES, "mass_shape"),
        codes("massmargin", MASS_MARGINS, "mass_margin"),
        codes("massdens", MASS_DENSITIES, "mass_density"),
    ]
    named = [SHAPES_OF_OTHERS[code] for code in row["massshape"] if code in SHAPES_OF_OTHERS]
    if any(is_mass) and not named:
        named.append("mass")
    is_calcification = [
        codes("calcfind", CALCIFICATIONS, "calcification_morphology"),
        codes("calcdistri", DISTRIBUTIONS, "calcification_distribution"),
    ]
    named += ["calcification"] if any(is_calcification) else []
    named += [IMPLANT] if row["implanfind"] else []
    named += [OTHERS[code] for code in row["otherfind"] if code in OTHERS]
    breast.findings |= dict.fromkeys(named)


def _unrepeated(files: pd.DataFrame, path: Path) -> tuple[pd.DataFrame, list[str]]:
    """The first row of each file, and a note on the others."""
    repeated = files.index.duplicated()
    return files[~repeated], [f"{path.name}: {repeated.sum()} rows repeat a file and are removed"] if repeated.any() else []


def _pixels(rows: str, columns: str) -> tuple[int, int] | None:
    try:
        return int(float(rows)), int(float(columns))
    except ValueError:
        return None


def _whole(column: pd.Series) -> pd.Series:
    """Ids as text, also where a spreadsheet made floats of them."""
    return column.str.removesuffix(".0")


def _sides(cell: str) -> str:
    if cell.upper() not in ("", "L", "R", "B"):
        raise ValueError("a side (L, R, B or empty)")
    return cell.upper() if cell.upper() in ("L", "R") else "LR"


def _tissue_density(cell: str) -> str:
    return "" if cell in ("5", "5.0") else density(cell)


def _assessment(cell: str) -> int | None:
    if cell.upper() not in ("", "X", *ASSESSMENTS):
        raise ValueError(f"an assessment ({', '.join(ASSESSMENTS)}, or X for none)")
    return ASSESSMENTS.get(cell.upper())


def _implant_type(cell: str) -> str:
    known = {"implant": IMPLANT, "non-implant": "", "non implant": "", "nonimplant": ""}
    if cell.lower() not in known:
        raise ValueError("'implant' or 'non-implant'")
    return known[cell.lower()]
