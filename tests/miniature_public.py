"""Miniature trees of RSNA 2022, CBIS-DDSM and CMMD in the exact format of the real ones, drawn from a seed."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
from miniature import JPEG_2000, UNCOMPRESSED, draw_breast, write_dicom, write_table
from PIL import Image

from mdissect.probes.mammograms import Preparation
from mdissect.probes.mammograms.preparation import prepare

VIEWS = tuple(itertools.product("LR", ("CC", "MLO")))


def rsna_tree(folder: Path, n_patients: int = 4, images: str = "dicom", folds: bool = False) -> list[dict]:
    """A miniature RSNA 2022: four images a patient; odd patients are of site 2, without density. Returns the rows of its table.

    `images`: "dicom", "png" or "both"; `folds`: write Mammo-CLIP's train_folds.csv beside train.csv, four folds in turn.
    """
    rows = []
    for patient, (number, (side, view)) in itertools.product(range(n_patients), enumerate(VIEWS)):
        image, owner = f"{736471439 + 1000 * patient + number}", str(10006 + patient)
        pixels, _ = draw_breast((5, patient, number), side)
        if images in ("dicom", "both"):
            path = folder / "train_images" / owner / f"{image}.dcm"
            write_dicom(path, pixels, (JPEG_2000, UNCOMPRESSED)[number % 2], inverted=patient % 2 == 0)
        if images in ("png", "both"):
            path = folder / "train_images_png" / owner / f"{image}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(prepare(pixels, Preparation(size=(76, 60))).image).save(path)
        first = patient % 2 == 0
        rows.append({
            "site_id": 1 if first else 2, "patient_id": owner, "image_id": image, "laterality": side, "view": view,
            "age": "" if patient == 3 else f"{50 + patient}.0", "cancer": int(patient == 1 and side == "L"),
            "biopsy": int(patient == 1), "invasive": int(patient == 1 and side == "L"),
            "BIRADS": ("2.0" if patient else "1.0") if first else ("0.0" if side == "L" else ""),
            "implant": int(patient == 2), "density": "ABCD"[patient % 4] if first else "",
            "machine_id": 49 if first else 48, "difficult_negative_case": str(patient == 2),
        })  # fmt: skip
    write_table(folder / "train.csv", rows)
    if folds:
        write_table(folder / "train_folds.csv", [row | {"fold": (int(row["patient_id"]) - 10006) % 4} for row in rows])
    return rows


# Abnormalities of CBIS-DDSM: kind, split, patient, side, view, number, words of the columns, box (top, left, bottom, right).
CBIS = (
    ("Mass", "Training", 1, "LEFT", "CC", 1, ("3", "IRREGULAR-ARCHITECTURAL_DISTORTION", "SPICULATED", "4", "MALIGNANT"),
     (30, 10, 60, 40)),
    ("Mass", "Training", 1, "LEFT", "MLO", 1, ("3", "OVAL", "CIRCUMSCRIBED-OBSCURED", "2", "BENIGN"), (40, 12, 70, 44)),
    ("Mass", "Training", 1, "LEFT", "MLO", 2, ("3", "N/A", "", "0", "BENIGN_WITHOUT_CALLBACK"), (80, 8, 92, 20)),
    ("Mass", "Test", 2, "RIGHT", "CC", 1, ("2", "LOBULATED", "OBSCURED", "3", "BENIGN"), (50, 70, 80, 110)),
    ("Calc", "Training", 3, "RIGHT", "MLO", 1, ("1", "PUNCTATE-LUCENT_CENTER", "CLUSTERED", "4", "BENIGN"), (60, 80, 90, 112)),
    ("Calc", "Test", 2, "RIGHT", "CC", 1, ("2", "PLEOMORPHIC", "SEGMENTAL", "5", "MALIGNANT"), (52, 66, 88, 112)),
)  # fmt: skip
SIZE = (152, 120)


def cbis_tree(folder: Path, names: str = "paths", swapped: tuple[int, ...] = (1,), together: bool = False) -> list[dict]:
    """A miniature CBIS-DDSM: six abnormalities of five images, patient 2 with a mass in test and a calcification in test.

    Parameters
    ----------
    names : {"paths", "tcia", "classic", "jpeg"}
        How the files are called: as in the tables; 1-1.dcm in folders called as the series; 1-1.dcm in folders with a date, the
        series in the header alone; JPEG files in folders called as the series.
    swapped : tuple of int
        Numbers of abnormalities for which the tables have the mask as crop.
    together : bool
        Mask and crop of an abnormality are files of one series, as TCIA has them now.

    Returns
    -------
    list of dict
        For each abnormality image, finding, box (xmin, ymin, xmax, ymax), path and mask (the files).
    """
    written, tables = [], {}
    for number, (kind, split, patient, side, view, abnormality, words, box) in enumerate(CBIS):
        image = f"{kind}-{split}_P_{patient:05d}_{side}_{view}"
        pixels, _ = draw_breast((9, patient, len(view)), side[0], *SIZE)
        mask = np.zeros(SIZE, np.uint8)
        top, left, bottom, right = box
        mask[top:bottom, left:right] = 255
        mask[top, left] = 0  # not a rectangle
        crop = np.pad(pixels[top:bottom, left:right], 3) // 16
        full_path = f"{image}/{_uid(image, 'study')}/{_uid(image, 'full')}/000000.dcm"
        own = f"{image}_{abnormality}"
        series = ["roi", "roi"] if together else ["mask", "crop"]
        mask_path, crop_path = (
            f"{own}/{_uid(own, 'study')}/{_uid(own, one)}/00000{place}.dcm" for place, one in zip((1, 0), series, strict=True)
        )
        full_file = _write(folder, full_path, pixels, names)
        mask_file = _write(folder, mask_path, mask, names)
        _write(folder, crop_path, crop.astype(np.uint8), names)
        given = (crop_path, mask_path) if number in swapped else (mask_path, crop_path)
        density, first, second, assessment, pathology = words
        named = {"mass shape": first, "mass margins": second}
        if kind == "Calc":
            named = {"calc type": first, "calc distribution": second}
        row = {
            "patient_id": f"P_{patient:05d}", "breast_density" if kind == "Mass" else "breast density": density,
            "left or right breast": side, "image view": view, "abnormality id": abnormality,
            "abnormality type": "mass" if kind == "Mass" else "calcification", **named, "assessment": assessment,
            "pathology": pathology, "subtlety": 1 + number % 5, "image file path": full_path,
            "cropped image file path": given[1], "ROI mask file path": f"{given[0]}\n",
        }  # fmt: skip
        table = f"{kind.lower()}_case_description_{split.replace('ing', '').lower()}_set.csv"
        tables.setdefault(table, []).append(row)
        finding = "mass" if kind == "Mass" else "calcification"
        written.append(
            {"image": image, "finding": finding, "box": (left, top, right, bottom), "path": full_file, "mask": mask_file}
        )
    for name, rows in tables.items():
        write_table(folder / name, rows)
    return written


def _uid(*parts: str) -> str:
    """A UID that follows from texts."""
    from pydicom.uid import generate_uid

    return generate_uid(prefix="1.3.6.1.4.1.9590.100.1.2.", entropy_srcs=list(parts))


def _write(folder: Path, path: str, pixels: np.ndarray, names: str) -> Path:
    """A file of CBIS-DDSM, called as one of the downloads has it."""
    owner, study, series, name = path.split("/")
    renamed = f"1-{int(name[5]) + 1}.dcm"
    place = {
        "paths": folder / "CBIS-DDSM" / path,
        "tcia": folder / "CBIS-DDSM" / owner / study / series / renamed,
        "classic": folder / "CBIS-DDSM" / owner / "07-20-2016-DDSM-12345" / f"1.000000-{series[-5:]}" / renamed,
        "jpeg": folder / "jpeg" / series / f"{renamed[:3]}.jpg",
    }[names]
    if names == "jpeg":
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels if pixels.dtype == np.uint8 else (pixels // 16).astype(np.uint8)).save(place, quality=95)
        return place
    bits = {"BitsStored": 8, "HighBit": 7} if pixels.dtype == np.uint8 else {}
    return write_dicom(place, pixels.astype(np.uint16), SeriesInstanceUID=series, PatientID=owner, **bits)


CMMD_ROWS = (
    {"ID1": "D1-0001", "LeftRight": "R", "Age": 44, "number": 2, "abnormality": "calcification", "classification": "Benign",
     "subtype": ""},
    {"ID1": "D1-0002", "LeftRight": "L", "Age": 40, "number": 2, "abnormality": "both", "classification": "Malignant",
     "subtype": "Luminal A"},
    {"ID1": "D2-0003", "LeftRight": "L", "Age": 61, "number": 2, "abnormality": "mass", "classification": "Malignant",
     "subtype": "HER2-enriched"},
    {"ID1": "D2-0003", "LeftRight": "R", "Age": 61, "number": 2, "abnormality": "mass", "classification": "Benign",
     "subtype": ""},
)  # fmt: skip
CODES = {"CC": ("399162004", "cranio-caudal"), "MLO": ("399368009", "medio-lateral oblique")}


def cmmd_tree(folder: Path, workbook: bool = True) -> list[tuple[str, str, str]]:
    """A miniature CMMD: three patients with four images each. Returns id, side and view of each image, sorted."""
    written = []
    for patient in sorted({row["ID1"] for row in CMMD_ROWS}):
        for number, (side, view) in enumerate(VIEWS, start=1):
            image = f"{patient}/{_uid(patient, 'study')}/{_uid(patient, 'series')}/1-{number}"
            cmmd_file(folder / "CMMD" / f"{image}.dcm", patient, side, view)
            written.append((image, side, view))
    if workbook:
        import openpyxl

        book = openpyxl.Workbook()
        for row in [tuple(CMMD_ROWS[0]), *(tuple(row.values()) for row in CMMD_ROWS)]:
            book.active.append(row)
        book.save(folder / "CMMD_clinicaldata_revision.xlsx")
    else:
        write_table(folder / "CMMD_clinicaldata_revision.csv", CMMD_ROWS)
    return sorted(written)


def cmmd_file(path: Path, patient: str, side: str, view: str, **tags) -> Path:
    """A DICOM file with the tags that CMMD has its side and view in."""
    from pydicom.dataset import Dataset

    code = Dataset()
    code.CodeValue, code.CodeMeaning = CODES.get(view, (view, "another view"))
    code.CodingSchemeDesignator = "SCT"
    pixels, _ = draw_breast((11, len(path.name), ord(side[0])), side)
    own = {"PatientID": patient, "PatientAge": "047Y", "ImageLaterality": side, "Manufacturer": "GE"} | tags
    sequence = {} if view == "" else {"ViewCodeSequence": [code]}
    return write_dicom(path, pixels, **sequence, **own)
