"""The probe of CMMD, the Chinese mammography database: DICOM files, a table with a row for each breast with a finding."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd

from mdissect.arguments import counted, listed, one_of
from mdissect.probes import Probe, dataset_folder
from mdissect.probes.datasets import FOLDERS, MISSING, held_by, sampled
from mdissect.probes.mammograms.dicom import dicom_tags
from mdissect.probes.mammograms.files import MammogramFiles, is_dicom
from mdissect.probes.mammograms.headers import value_of
from mdissect.probes.mammograms.meanings import (
    NOTHING,
    any_of,
    as_flags,
    as_integers,
    cancer,
    joined,
    laterality,
    parse_column,
    pathology,
    shared_first,
    view,
    years,
)
from mdissect.probes.mammograms.preparation import RELEASED, Preparation, some_preparation
from mdissect.probes.tree import files_below
from mdissect.tables import first_column, read_text_table

TABLES = ("CMMD_clinicaldata_revision.csv", "CMMD_clinicaldata_revision.xlsx", "cmmd_raw_label.csv")
IMAGES = "CMMD"
ANNOTATED = "mass; calcification"
UNLISTED = ("unknown", "normal")
VIEWS = ("CC", "MLO")

_NEEDED = ("ID1", "LeftRight", "Age", "abnormality", "classification")
_FINDINGS = {"mass": "mass", "calcification": "calcification", "both": "mass; calcification"}
_TAGS = ("PatientID", "ImageLaterality", "Laterality", "ViewCodeSequence", "ViewPosition", "PatientAge", "Manufacturer")


def load_cmmd(
    path: str | Path | None = None,
    missing: str = "raise",
    unlisted: str = "unknown",
    n_images: int | None = None,
    seed: int = 0,
    preparation: Preparation | Mapping | None = RELEASED,
) -> Probe:
    """A probe of CMMD; ids are the paths of the files below ``CMMD/``, without suffix.

    >>> load_cmmd("/data/cmmd").table.groupby("laterality")["cancer"].mean()  # doctest: +SKIP

    Side and view of an image come from its header (ImageLaterality, ViewCodeSequence), the rest from the table's row of the
    patient and side. Beside the shared columns (patient, laterality, view, density and birads: not known, findings) the table
    has cancer, pathology ("malignant", "benign"), subtype, age and machine. There are no boxes.

    Parameters
    ----------
    path : path, optional
        The folder with ``CMMD_clinicaldata_revision.xlsx`` (or .csv) and ``CMMD/<ID1>/<study>/<series>/1-1.dcm``; default:
        ``cmmd`` in the data folder.
    missing : {"raise", "skip"}
        What becomes of patients of the table without a file; "skip" lists them in ``probe.skipped``.
    unlisted : {"unknown", "normal"}
        What a breast is of which the table has no row: nothing is known of it, or, as others have taken it, it is normal and
        has neither a mass nor a calcification.
    n_images, seed : int
        Draw so many at random.
    preparation : Preparation, mapping of its fields, or None
        Of the DICOM files; default: the released one. None gives the whole image as the file has it.
    """
    one_of("missing", missing, MISSING)
    one_of("unlisted", unlisted, UNLISTED)
    preparation = some_preparation(preparation)
    root = dataset_folder(path, FOLDERS["cmmd"])
    breasts, name = read_breasts(root)
    folder = root / IMAGES if (root / IMAGES).is_dir() else root
    files = _files(folder, {patient for patient, _ in breasts}, name)
    skipped = _absent(breasts, files, missing, folder)
    ids = sorted(files)
    ids = [ids[position] for position in sampled(ids, n_images, seed)]
    with ThreadPoolExecutor() as pool:
        shown = list(pool.map(lambda image: read_shown(folder / files[image]), ids))
    _check_patients(ids, shown, {patient for patient, _ in breasts}, name)
    table, notes = _table(ids, shown, breasts, unlisted, name)
    source = MammogramFiles(folder, [files[image] for image in ids], preparation)
    return Probe("cmmd", ids, [source], table=table, skipped=skipped, notes=notes)


def read_breasts(root: Path) -> tuple[dict[tuple[str, str], dict], str]:
    """What the table says of each breast, by patient and side, and the table's name.

    Several rows of a breast become one. FileNotFoundError without a table; ValueError for a missing column or a cell that
    cannot be read.
    """
    path = next((root / name for name in TABLES if (root / name).is_file()), None)
    if path is None:
        raise FileNotFoundError(f"{root} holds no table {' or '.join(TABLES)}; it holds {held_by(root)}")
    try:
        rows = read_text_table(path, _NEEDED)
    except ValueError as error:
        csv = "" if path.suffix == ".csv" else f"; where the workbook cannot be read, save its sheet as {TABLES[0]}"
        raise ValueError(f"{error}{csv}") from None
    if (empty := rows["ID1"] == "").any():
        raise ValueError(f"{path.name}, line {empty.idxmax()}: no ID1")
    columns = {
        "side": parse_column(rows["LeftRight"], _side, path.name),
        "age": parse_column(rows["Age"], years, path.name),
        "findings": parse_column(rows["abnormality"], _findings, path.name),
        "pathology": parse_column(rows["classification"], pathology, path.name),
        "cancer": parse_column(rows["classification"], cancer, path.name),
        "subtype": first_column(rows, "subtype").tolist(),
    }
    found: dict[tuple[str, str], list[dict]] = {}
    for patient, *cells in zip(rows["ID1"], *columns.values(), strict=True):
        row = dict(zip(columns, cells, strict=True))
        found.setdefault((patient, row["side"]), []).append(row)
    return {breast: _merged(breast, of_it, path.name) for breast, of_it in found.items()}, path.name


def _merged(breast: tuple[str, str], rows: list[dict], name: str) -> dict:
    """The rows of a breast as one."""
    ages = {row["age"] for row in rows} - {None}
    if len(ages) > 1:
        raise ValueError(f"{name}: {breast[0]} has {len(rows)} rows of side {breast[1]} with the ages {sorted(ages)}; keep one")
    return {
        "age": next(iter(ages), None),
        "findings": joined(part for row in rows for part in row["findings"].split("; ")),
        "pathology": joined(row["pathology"] for row in rows),
        "cancer": any_of(row["cancer"] for row in rows),
        "subtype": joined(row["subtype"] for row in rows),
    }


def read_shown(path: Path) -> dict:
    """Patient, side, view, age and machine from a file's header; "" or None where it does not say them.

    ValueError for a side or a view that is not one of this data set; ImageFileError for a file that cannot be read.
    """
    header = dicom_tags(path, _TAGS)
    try:
        side = str(value_of(header, "ImageLaterality") or value_of(header, "Laterality") or "").strip()
        codes = value_of(header, "ViewCodeSequence")
        code = str(value_of(codes[0], "CodeValue") or "").strip() if codes else ""
        code = code or str(value_of(header, "ViewPosition") or "").strip()
        if code and view(code) not in VIEWS:
            meaning = value_of(codes[0], "CodeMeaning") if codes else None
            said = f"{code}{f' ({meaning})' if meaning else ''}"
            raise ValueError(f"its view is {said}; expected 399162004 (CC) or 399368009 (MLO) in ViewCodeSequence")
        if side.upper() not in ("", "L", "R"):
            raise ValueError(f"its ImageLaterality is {side}; expected L or R")
        age = years(str(value_of(header, "PatientAge") or "").strip())
        return {
            "patient": str(value_of(header, "PatientID") or "").strip(),
            "side": laterality(side),
            "view": view(code),
            "age": age,
            "machine": str(value_of(header, "Manufacturer") or ""),
        }
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _side(cell: str) -> str:
    if not cell:
        raise ValueError("a side (L or R)")
    return laterality(cell)


def _findings(cell: str) -> str:
    if cell.lower() not in _FINDINGS:
        raise ValueError(f"an abnormality ({', '.join(_FINDINGS)})")
    return _FINDINGS[cell.lower()]


def _files(folder: Path, patients: set[str], name: str) -> dict[str, str]:
    """The DICOM files by id: their paths below the folder, with suffix. The first folder is the patient."""
    files = {}
    for file in files_below(folder):
        relative = file.relative_to(folder)
        if is_dicom(file) and len(relative.parts) > 1:
            files[relative.with_suffix("").as_posix()] = relative.as_posix()
    if not files:
        raise FileNotFoundError(f"{folder} holds no DICOM files <ID1>/<study>/<series>/1-1.dcm; it holds {held_by(folder)}")
    found = {image.split("/")[0] for image in files}
    if not found & patients:
        raise ValueError(
            f"none of the folders below {folder} ({listed(sorted(found), 3)}) is a patient of {name} "
            f"({listed(sorted(patients), 3)}); expected <ID1>/<study>/<series>/1-1.dcm"
        )
    return files


def _absent(breasts: dict, files: dict[str, str], missing: str, folder: Path) -> list[tuple[str, str]]:
    """The patients of the table without a file, for ``Probe.skipped``; FileNotFoundError if that is an error."""
    there, patients = {image.split("/")[0] for image in files}, dict.fromkeys(patient for patient, _ in breasts)
    absent = [patient for patient in patients if patient not in there]
    if absent and missing == "raise":
        raise FileNotFoundError(
            f"{len(absent)} of {len(patients)} patients have no files ({counted(absent, 'patient')}); looked for "
            f"{folder}/<ID1>/; fetch them, or pass missing='skip'"
        )
    return [(patient, f"not on disk: no {folder}/{patient}") for patient in absent]


def _check_patients(ids: list[str], shown: list[dict], patients: set[str], name: str) -> None:
    """Raise ValueError for a file whose header names another patient of the table than its folder."""
    for image, one in zip(ids, shown, strict=True):
        if one["patient"] in patients - {image.split("/")[0]}:
            raise ValueError(f"{image}: its header says PatientID={one['patient']}, another patient of {name} than its folder")


def _table(ids: list[str], shown: list[dict], breasts: dict, unlisted: str, name: str) -> tuple[pd.DataFrame, list[str]]:
    """The probe's table, and notes on images whose breast the table does not have."""
    normal = unlisted == "normal"
    without = {"findings": "", "pathology": "normal" if normal else "", "cancer": False if normal else None}
    without |= {"subtype": ""}
    unknown = without | {"pathology": "", "cancer": None}
    patients = [image.split("/")[0] for image in ids]
    keys = [(patient, one["side"]) for patient, one in zip(patients, shown, strict=True)]
    ages = {patient: row["age"] for (patient, _), row in breasts.items() if row["age"] is not None}
    rows = [breasts.get(key, without if key[1] else unknown) for key in keys]
    known = [key in breasts or (normal and key[1] != "") for key in keys]
    table = {
        "patient": patients,
        "laterality": [one["side"] for one in shown],
        "view": [one["view"] for one in shown],
        "findings": [row["findings"] for row in rows],
        "annotated": [ANNOTATED if one else NOTHING for one in known],
        "cancer": as_flags([row["cancer"] for row in rows]),
        "pathology": [row["pathology"] for row in rows],
        "subtype": [row["subtype"] for row in rows],
        "age": as_integers([ages.get(patient, one["age"]) for patient, one in zip(patients, shown, strict=True)]),
        "machine": [one["machine"] for one in shown],
    }
    sideless = [image for image, key in zip(ids, keys, strict=True) if not key[1]]
    bare = [image for image, key in zip(ids, keys, strict=True) if key[1] and key not in breasts]
    taken = (
        "taken as normal (unlisted='normal')" if normal else "nothing is known of them (unlisted='normal' takes them as normal)"
    )
    notes = [f"{name}: no row for the breast of {counted(bare, 'image')}; {taken}"] if bare else []
    notes += [f"no side in the header of {counted(sideless, 'image')}; nothing is known of them"] if sideless else []
    viewless = [image for image, one in zip(ids, shown, strict=True) if not one["view"]]
    notes += [f"no view in the header of {counted(viewless, 'image')}"] if viewless else []
    notes.append("density and BI-RADS are not in the table")
    return shared_first(pd.DataFrame(table, index=pd.Index(ids, name="image_id"))), notes
