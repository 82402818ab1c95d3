"""Miniature data sets in the exact format of the real ones: VinDr-Mammo, EMBED, ImageNette and ImageWoof.

Everything is drawn here, from a seed; sizes, findings and file names follow from it. Each builder returns what it wrote,
so that tests need not read it back.
"""

from __future__ import annotations

import csv
import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

BITS = 12
JPEG_2000, JPEG_LS, RLE = "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.5"
UNCOMPRESSED = "1.2.840.10008.1.2.1"
SYNTAXES = (UNCOMPRESSED, JPEG_2000, JPEG_LS, RLE)

CATEGORIES = ("Mass", "Suspicious Calcification", "Architectural Distortion", "Focal Asymmetry", "Skin Thickening")
FLAGS = (*CATEGORIES, "Asymmetry", "Global Asymmetry", "Nipple Retraction", "Skin Retraction", "Suspicious Lymph Node")
IMAGENETTE = ("n01440764", "n02102040", "n02979186", "n03000684", "n03028079", "n03394916", "n03417042", "n03425413",
              "n03445777", "n03888257")  # fmt: skip
IMAGEWOOF = ("n02086240", "n02087394", "n02088364", "n02089973", "n02093754", "n02096294", "n02099601", "n02105641",
             "n02111889", "n02115641")  # fmt: skip


@dataclass(frozen=True)
class Mammogram:
    """One image of a miniature tree and all that its tables say about it."""

    study: str
    image: str
    laterality: str
    view: str
    birads: str
    density: str
    split: str
    pixels: np.ndarray  # uint16 (height, width), BITS in use, black at 0
    breast: tuple[int, int, int, int]  # top, left, bottom, right of what its preparation shows
    findings: list[tuple[str, str, tuple[float, float, float, float]]] = field(default_factory=list)


def digest(*parts: object) -> str:
    """32 hexadecimal digits, like the ids of the real data."""
    return hashlib.sha256(" ".join(map(str, parts)).encode()).hexdigest()[:32]


def draw_breast(seed: Sequence[int], laterality: str, height: int = 152, width: int = 120):
    """Textured tissue at the chest wall, a marker in the other corner.

    Returns
    -------
    uint16 array (height, width)
    tuple of int
        Top, left, bottom and right of the tissue without the outermost 5 pixels of the image: what its preparation shows.
    """
    rng = np.random.default_rng(list(seed))
    reach, top, bottom = int(width * rng.uniform(0.4, 0.6)), int(height * 0.14), int(height * 0.86)
    rows, columns = np.mgrid[:height, :width]
    off_middle = np.clip(np.abs(2 * rows - top - bottom + 1) / (bottom - top), 0, 1)
    inside = (rows >= top) & (rows < bottom) & (columns < np.rint(reach * (0.5 + 0.5 * np.sqrt(1 - off_middle**2))))
    tissue = 1500 + 900 * rng.random((height, width)) + 500 * np.sin(columns / 7 + rng.uniform(0, 6))
    pixels = np.where(inside, tissue, 20 + 10 * rng.random((height, width))).astype(np.uint16)
    pixels[6:10, -18:-8] = 2**BITS - 1
    box = (top, 5, bottom, int(inside.any(axis=0).sum()))
    if laterality == "R":
        pixels, box = pixels[:, ::-1].copy(), (box[0], width - box[3], box[2], width - box[1])
    return pixels, box


def write_dicom(path: Path, pixels: np.ndarray, syntax: str = UNCOMPRESSED, inverted: bool = False, **elements) -> Path:
    """Write grey pixels (uint16, or int16 for signed data) as a DICOM file; ``elements`` are set on the data set."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.1.2", generate_uid(entropy_srcs=[path.name])
    dataset.Modality, dataset.SamplesPerPixel = "MG", 1
    dataset.PhotometricInterpretation = "MONOCHROME1" if inverted else "MONOCHROME2"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, BITS, BITS - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    for name, value in elements.items():
        setattr(dataset, name, value)
    dataset.PixelData = (2**BITS - 1 - pixels if inverted else pixels).astype(pixels.dtype).tobytes()
    dataset["PixelData"].VR = "OW"
    if syntax != UNCOMPRESSED:
        dataset.compress(UID(syntax), generate_instance_uid=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return path


def write_table(path: Path, rows: Sequence[dict]) -> Path:
    """A CSV file with the columns of the first row."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def vindr_tree(
    folder: Path, n_patients: int = 4, images: str = "png", png_size: tuple[int, int] = (76, 60), seed: int = 0
) -> list[Mammogram]:
    """A miniature VinDr-Mammo: four images a patient, every other patient of the split "test", the first one too.

    The tables are those of the original and Mammo-CLIP's. They have what the real ones have too: an image with two findings,
    one of two categories in one box, one box beyond the image's edge, an empty finding_birads.

    Parameters
    ----------
    folder : path
    n_patients : int
    images : {"png", "dicom", "both"}
        PNG files are written as the published ones are, without a record of their crop; DICOM files in four transfer syntaxes
        in turn, every third one as MONOCHROME1.
    png_size : (int, int)
        (1520, 912) in the real tree.
    seed : int
    """
    mammograms = [_mammogram(seed, patient, view) for patient in range(n_patients) for view in range(4)]
    for number, one in enumerate(mammograms):
        if images in ("dicom", "both"):
            path = folder / "images" / one.study / f"{one.image}.dicom"
            write_dicom(path, one.pixels, SYNTAXES[number % len(SYNTAXES)], inverted=number % 3 == 2)
        if images in ("png", "both"):
            _write_png(folder / "images_png" / one.study / f"{one.image}.png", one, png_size)
    write_table(folder / "breast-level_annotations.csv", [breast_row(one) for one in mammograms])
    write_table(folder / "finding_annotations.csv", [row for one in mammograms for row in finding_rows(one)])
    write_table(folder / "vindr_detection_v1_folds.csv", [row for one in mammograms for row in fold_rows(one)])
    return mammograms


def breast_row(one: Mammogram) -> dict:
    """A row of breast-level_annotations.csv."""
    height, width = one.pixels.shape
    return {
        "study_id": one.study, "series_id": digest(one.study, "series"), "image_id": one.image, "laterality": one.laterality,
        "view_position": one.view, "height": height, "width": width, "breast_birads": one.birads,
        "breast_density": one.density, "split": one.split,
    }  # fmt: skip


def finding_rows(one: Mammogram) -> list[dict]:
    """The rows of an image in finding_annotations.csv: one per box, or one that says 'No Finding'."""
    own = breast_row(one)
    split = own.pop("split")
    empty = {"finding_categories": "['No Finding']", "finding_birads": "", "xmin": "", "ymin": "", "xmax": "", "ymax": ""}
    edges = ("xmin", "ymin", "xmax", "ymax")
    marked = [
        {"finding_categories": categories, "finding_birads": birads, **dict(zip(edges, box, strict=True))}
        for categories, birads, box in one.findings
    ]
    return [own | row | {"split": split} for row in marked or [empty]]


def fold_rows(one: Mammogram) -> list[dict]:
    """The rows of an image in vindr_detection_v1_folds.csv, its boxes in pixels of a 1520 x 912 image."""
    top, left, bottom, right = one.breast
    rows = []
    for row in finding_rows(one):
        named = row["finding_categories"]
        flags = {flag.replace(" ", "_"): int(f"'{flag}'" in named) for flag in FLAGS}
        resized = dict.fromkeys(("resized_xmin", "resized_ymin", "resized_xmax", "resized_ymax"), "")
        if row["xmin"] != "":
            across, down = 912 / (right - left), 1520 / (bottom - top)
            resized = {f"resized_{edge}": (row[edge] - left) * across for edge in ("xmin", "xmax")}
            resized |= {f"resized_{edge}": (row[edge] - top) * down for edge in ("ymin", "ymax")}
        rows.append(
            {"patient_id": one.study, "image_id": f"{one.image}.png", "laterality": one.laterality, "view": one.view,
             "breast_birads": one.birads, "breast_density": one.density, "finding_categories": named,
             "finding_birads": row["finding_birads"], "split": one.split, **flags, "fold": 0, **resized}
        )  # fmt: skip
    return rows


def _mammogram(seed: int, patient: int, view: int) -> Mammogram:
    rng = np.random.default_rng([seed, patient, view])
    laterality = "LR"[view % 2]
    pixels, breast = draw_breast((seed, patient, view), laterality)
    top, left, bottom, right = breast
    findings = []
    for number in range((0, 1, 2, 1)[(patient + view) % 4]):
        categories = [CATEGORIES[(patient + view + number) % len(CATEGORIES)]]
        categories += ["Mass"] if (patient + view) % 4 == 3 and "Mass" not in categories else []
        x, y = rng.uniform(left, right - 12), rng.uniform(top + 20, bottom - 32)
        box = (-6.25 if (laterality, number) == ("L", 0) else x, y, x + 12, y + 10.5)
        findings.append((str(categories), "" if number else f"BI-RADS {4 - number}", tuple(round(edge, 4) for edge in box)))
    return Mammogram(
        study=digest(seed, patient), image=digest(seed, patient, view), laterality=laterality, view=("CC", "MLO")[view // 2],
        birads=f"BI-RADS {4 if findings else 1 + patient % 2}", density=f"DENSITY {'ABCD'[patient % 4]}",
        split=("test", "training")[patient % 2], pixels=pixels, breast=breast, findings=findings,
    )  # fmt: skip


def _write_png(path: Path, one: Mammogram, size: tuple[int, int]) -> None:
    top, left, bottom, right = one.breast
    eight_bits = (one.pixels[top:bottom, left:right] / one.pixels.max() * 255).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(eight_bits).resize(size[::-1], Image.Resampling.BOX).save(path)


def embed_tree(
    folder: Path, n_patients: int = 6, images: str = "png", image_list: bool = True, seed: int = 0
) -> tuple[list[dict], list[dict]]:
    """A miniature EMBED: two exams a patient, two breasts and two views each; every other patient has implants.

    Tables lie in ``tables/``, images in ``images/cohort_1/<patient>/<exam>/``. Besides full 2D views there is a C-view and a
    spot view per exam. ``image_list`` adds ``implants.csv``, the study's own list with an image per patient.

    Returns
    -------
    list of dict, list of dict
        The rows of the metadata and of the clinical table.
    """
    metadata, clinical = [], []
    for patient, exam in itertools.product(range(n_patients), range(2)):
        empi, acc = str(10_000_000 + patient), str(20_000_000 + 10 * patient + exam)
        views = [(s, v, "2D", "") for s in "LR" for v in ("CC", "MLO")] + [("L", "CC", "C-view", ""), ("R", "CC", "2D", "1")]
        for number, (side, view, kind, spot) in enumerate(views):
            stem, stored = digest(seed, acc, number), f"cohort_1/{empi}/{acc}"
            pixels, (top, left, bottom, right) = draw_breast((seed, int(acc), number), side)
            height, width = pixels.shape
            roi = [[top + 4, left, bottom - 4, right - 4]] if number == 0 else []
            metadata.append({
                "empi_anon": empi, "acc_anon": acc, "anon_dicom_path": f"/mnt/store/images/{stored}/{stem}.dcm",
                "png_path": f"/mnt/png/{stored}/{stem}_png.png", "png_filename": f"{stem}_png.png", "FinalImageType": kind,
                "ImageLateralityFinal": side, "ViewPosition": view, "spot_mag": spot, "num_roi": len(roi),
                "ROI_coords": str(roi), "Rows": height, "Columns": width, "Manufacturer": "HOLOGIC, Inc.",
                "BreastImplantPresent": "YES" if patient % 2 else "NO",
            })  # fmt: skip
            if images in ("png", "both"):
                path = folder / "images" / stored / f"{stem}_png.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels * 16).resize((width // 2, height // 2), Image.Resampling.NEAREST).save(path)
            if images in ("dicom", "both"):
                write_dicom(folder / "images" / stored / f"{stem}.dcm", pixels, JPEG_2000, inverted=number == 1)
        clinical += _clinical_rows(empi, acc, patient, exam)
    write_table(folder / "tables" / "EMBED_OpenData_metadata.csv", metadata)
    write_table(folder / "tables" / "EMBED_OpenData_clinical.csv", clinical)
    if image_list:
        firsts = [row for row in metadata if row["acc_anon"].endswith("0")][::6]
        words = {"YES": "implant", "NO": "non-implant"}
        rows = [{"filename": row["png_filename"], "Implant_type": words[row["BreastImplantPresent"]]} for row in firsts]
        write_table(folder / "implants.csv", rows)
    return metadata, clinical


def _clinical_rows(empi: str, acc: str, patient: int, exam: int) -> list[dict]:
    """An exam's findings: the first one left, the second one right and only in the second exam, then one for both sides."""
    described = ["massshape", "massmargin", "massdens", "calcfind", "calcdistri", "implanfind", "otherfind"]
    empty = {"empi_anon": empi, "acc_anon": acc, "side": "", "tissueden": f"{1 + patient % 4}.0", "asses": "N"}
    empty |= dict.fromkeys(described, "")
    rows = [
        empty | {"side": "L", "asses": "A", "massshape": "OXAF"[patient % 4], "massmargin": "S" if patient % 4 == 1 else ""}
    ]
    if exam:
        rows.append(empty | {"side": "R", "asses": "B", "calcfind": "V", "calcdistri": "R"})
        rows.append(empty | {"side": "R", "asses": "S", "calcfind": "A", "calcdistri": "G"})
    if patient % 2:
        rows.append(empty | {"side": "B", "asses": "B", "implanfind": "N"})
    return rows


def imagenette_tree(folder: Path, per_class: int = 3, classes: Sequence[str] = IMAGENETTE, seed: int = 0) -> list[str]:
    """A miniature ImageNette (``classes=IMAGEWOOF``: ImageWoof), as unpacked: train/ and val/, a folder per class.

    There are ``per_class`` colour images of a class in train/ and one in val/, one grey one among them.

    Returns
    -------
    list of str
        The relative paths.
    """
    written = []
    for number, name in enumerate(classes):
        for split, count in (("train", per_class), ("val", 1)):
            for one in range(count):
                rng = np.random.default_rng([seed, number, one, len(split)])
                shape = (40 + one, 48) if (number, one) == (0, 0) else (40 + one, 48, 3)
                path = folder / split / name / f"{'ILSVRC2012_val' if split == 'val' else name}_{number:02d}{one:05d}.JPEG"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(rng.integers(0, 256, shape).astype(np.uint8)).save(path)
                written.append(path.relative_to(folder).as_posix())
    write_table(folder / "noisy_imagenette.csv", [{"path": path, "noisy_labels_0": path.split("/")[1]} for path in written])
    return written


def published_concepts(folder: Path, per_category: int = 2) -> Path:
    """A miniature of the published concept files: a workbook with a sheet per broad category, and the list of its concepts.

    Words are the shipped set's: a few of each category, and what a label of VinDr-Mammo tells, as the published set spells it.
    """
    import openpyxl

    from mdissect.concepts import load_concepts
    from mdissect.concepts.concept_set import PUBLISHED_FILES

    folder.mkdir(parents=True)
    table = load_concepts("mammography").table
    extra = {"Breast density": [f"BI-RADS density {letter}" for letter in "ABCD"], "Mass": ["mass"],
             "Breast implants": ["Breast Implants"], "Suspicious calcifications": ["suspicious calcification "]}  # fmt: skip
    book = openpyxl.Workbook()
    book.remove(book.active)
    words = []
    for broad, rows in table.groupby("broad_category", sort=False):
        columns = []
        for category, of_category in rows.groupby("category", sort=False):
            own = [name for name in of_category.concept if name not in words][:per_category]
            columns.append([category, *own, *extra.get(category, ())])
            words += columns[-1][1:]
        sheet = book.create_sheet(broad)
        for line in itertools.zip_longest(*columns):
            sheet.append(line)
    workbook, text = PUBLISHED_FILES
    book.save(folder / workbook)
    (folder / text).write_text("".join(f"{word.strip()}\n" for word in sorted(set(words))))
    return folder
