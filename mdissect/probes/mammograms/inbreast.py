"""The probe of INbreast: full-field digital mammograms, the findings outlined."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from mdissect.arguments import counted, one_of
from mdissect.probes import Probe, dataset_folder
from mdissect.probes.datasets import FOLDERS, MISSING, held_by, on_disk
from mdissect.probes.mammograms.dicom import SUFFIXES as DICOM_SUFFIXES
from mdissect.probes.mammograms.inbreast_tables import OTHER, ROI_NAMES, file_view, read_images, read_outlines
from mdissect.probes.mammograms.meanings import NOTHING, joined, shared_first
from mdissect.probes.mammograms.outlines import Outline, OutlinedFiles
from mdissect.probes.mammograms.preparation import RELEASED, Preparation, some_preparation

RELEASE = "INbreast Release 1.0"
TREES = {"png": ("images_png", (".png",)), "dicom": ("AllDICOMs", DICOM_SUFFIXES)}
OUTLINES = "AllXML"
ANNOTATED = joined(finding for finding in ROI_NAMES.values() if finding != OTHER)

_NAMED = re.compile(r"(?P<image>\d+)(?:_(?P<patient>[0-9a-f]+)_MG_(?P<side>[LR])_(?P<view>[A-Z]+)_ANON)?", re.IGNORECASE)
_NEGATIVE = 1


def load_inbreast(
    path: str | Path | None = None,
    images: str = "auto",
    missing: str = "raise",
    n_images: int | None = None,
    seed: int = 0,
    roi_names: Mapping[str, str] | None = None,
    preparation: Preparation | Mapping | None = RELEASED,
) -> Probe:
    """A probe of INbreast; ids are the numbers in the column File Name.

    >>> load_inbreast("/data/inbreast", n_images=50).table[["density", "birads", "findings"]]  # doctest: +SKIP

    Beside the shared columns (patient: the code in the file's name, laterality, view, density, birads, findings) the table has
    annotated and age, where the table was published with it. BI-RADS 4a, 4b and 4c are 4. There is no pathology, and so no
    column cancer.

    Findings are the outlined regions: mass, calcification (also clusters), architectural distortion, asymmetry, spiculated
    region, and "other" for regions without a name. An image without a file of outlines has none where its BI-RADS category is
    1, else nothing is known of it, as of images with "other" nothing is known of findings that are not named (``annotated``).
    ``probe.boxes(i)`` has the boxes around the regions, ``probe.masks(i)`` a mask of each finding.

    Parameters
    ----------
    path : path, optional
        The release's folder, with ``INbreast.csv`` (or .xlsx), ``AllDICOMs/`` and ``AllXML/``, or the folder that it was
        unpacked in; default: ``inbreast`` in the data folder.
    images : {"auto", "png", "dicom"}
        PNG files ``images_png/<as the DICOM file>.png`` as they are, or the files of ``AllDICOMs/``, prepared as they are read.
        "auto" takes the PNG files where that folder is.
    missing : {"raise", "skip"}
        What becomes of images of the table that are not on disk, or whose file's name says another side or view than the
        table; "skip" lists them in ``probe.skipped``.
    n_images, seed : int
        Draw so many at random.
    roi_names : mapping of str to str, optional
        What a region is whose name is not known: {"Point 2": "other"}.
    preparation : Preparation, mapping of its fields, or None
        Of DICOM files; default: the released one. None gives the whole image as the file has it.
    """
    one_of("images", images, ("auto", *TREES))
    one_of("missing", missing, MISSING)
    preparation = some_preparation(preparation)
    root = _release(dataset_folder(path, FOLDERS["inbreast"]))
    table, notes = read_images(root)
    kind, folder = _tree(root, images)
    if kind == "png" and preparation != RELEASED:
        raise ValueError(f"preparation= concerns DICOM files, but the images are those of {folder}; pass images='dicom'")
    files, unlisted = _files(folder, TREES[kind][1], table.index)
    notes += [f"{folder}: {counted(unlisted, 'file')} that the table does not name"] if unlisted else []
    wrong = _contradictions(table, files)
    if wrong and missing == "raise":
        such = counted([image for image, _ in wrong], "such image")
        raise ValueError(f"{wrong[0][1]}; correct the table, or pass missing='skip' to leave out {such}")
    files = files.drop([image for image, _ in wrong])
    pattern = f"{folder}/<File Name>_<patient>_MG_<side>_<view>_ANON{TREES[kind][1][0]}"
    chosen, skipped = on_disk(files, missing, pattern, n_images, seed)
    outlines, annotated, said = _findings(root / OUTLINES, table.loc[chosen], roi_names)
    table, unknown = _table(table.loc[chosen], files[chosen], outlines, annotated)
    notes += [*said, *unknown, "no pathology: what is cancer is not known"]
    preparation = preparation if kind == "dicom" else RELEASED
    source = OutlinedFiles(
        folder, files[chosen].tolist(), preparation, outlines, f"there is no file of its outlines in {OUTLINES}/"
    )
    return Probe("inbreast", chosen, [source], table=table, skipped=wrong + skipped, notes=notes)


def _release(root: Path) -> Path:
    """The folder of the release: the given one, or the one in it."""
    within = root / RELEASE
    return within if within.is_dir() and not any((root / folder).is_dir() for folder, _ in TREES.values()) else root


def _tree(root: Path, images: str) -> tuple[str, Path]:
    """The kind of the images ("auto": the first there is), and their folder."""
    kinds = list(TREES) if images == "auto" else [images]
    kind = next((kind for kind in kinds if (root / TREES[kind][0]).is_dir()), None)
    if kind is None:
        wanted = " or ".join(f"{TREES[kind][0]}/" for kind in kinds)
        raise FileNotFoundError(f"{root} has no folder {wanted} with the images; it holds {held_by(root)}")
    return kind, root / TREES[kind][0]


def _files(folder: Path, suffixes: Sequence[str], images: pd.Index) -> tuple[pd.Series, list[str]]:
    """The file of each image, "" where there is none, and the files of no image."""
    found: dict[str, str] = {}
    unlisted = []
    for name in sorted(entry.name for entry in os.scandir(folder) if not entry.name.startswith(".")):
        stem, suffix = os.path.splitext(name)
        match = _NAMED.fullmatch(stem)
        if suffix.lower() not in suffixes or match is None or match["image"] not in images:
            unlisted.append(name)
        elif match["image"] in found:
            raise ValueError(f"{folder}: the image {match['image']} may be {found[match['image']]} or {name}; keep one of them")
        else:
            found[match["image"]] = name
    return pd.Series([found.get(image, "") for image in images], index=images, dtype=object), unlisted


def _contradictions(table: pd.DataFrame, files: pd.Series) -> list[tuple[str, str]]:
    """Images whose file's name says another side or view than the table, and what each says."""
    found = []
    for image, file in files.items():
        match = _NAMED.fullmatch(os.path.splitext(file)[0])
        if not match or not match["side"]:
            continue
        try:
            told = (match["side"].upper(), file_view(match["view"]))
        except ValueError:
            told = (match["side"].upper(), match["view"].upper())
        if told != (own := (table.at[image, "laterality"], table.at[image, "view"])):
            found.append((image, f"{file} is {' '.join(told)} by its name, but {' '.join(own)} in the table"))
    return found


def _findings(
    folder: Path, table: pd.DataFrame, roi_names: Mapping[str, str] | None
) -> tuple[list[list[Outline] | None], list[str], list[str]]:
    """The outlines of each image (None: not known), which findings are known of it, and notes."""
    from tqdm.auto import tqdm

    if not folder.is_dir():
        return [None] * len(table), [NOTHING] * len(table), [f"no folder {folder}: findings are not known, nor boxes and masks"]
    known = ROI_NAMES | {name.strip().lower(): finding for name, finding in (roi_names or {}).items()}
    files = {entry.name.lower(): entry.name for entry in os.scandir(folder) if entry.name.lower().endswith(".xml")}
    outlines: list[list[Outline] | None] = []
    for image, category in tqdm(table["birads"].items(), "reading outlines", len(table), unit="image", delay=2):
        file = files.get(f"{image}.xml")
        outlines.append(read_outlines(folder / file, known) if file else [] if category == _NEGATIVE else None)
    annotated = [_annotated(found) for found in outlines]
    bare = [image for image, found in zip(table.index, outlines, strict=True) if found is None]
    others = Counter(one.finding for found in outlines for one in found or ())[OTHER]
    negative = sum(f"{image}.xml" not in files for image in table.index) - len(bare)
    notes = (
        [f"images of BI-RADS 1 without a file in {OUTLINES}/: {negative}; they count as without findings"] if negative else []
    )
    if bare:
        notes.append(
            f"no file in {OUTLINES}/ of {counted(bare, 'image')} of other BI-RADS categories: nothing is known of them"
        )
    if others:
        notes.append(f"regions whose name does not say what they are: {others}, '{OTHER}' in findings")
    return outlines, annotated, notes


def _annotated(outlines: list[Outline] | None) -> str:
    """The findings of which absence is known: none where there are no outlines, or one may be anything."""
    return NOTHING if outlines is None or any(one.finding == OTHER for one in outlines) else ANNOTATED


def _table(
    images: pd.DataFrame, files: pd.Series, outlines: Sequence[list[Outline] | None], annotated: Sequence[str]
) -> tuple[pd.DataFrame, list[str]]:
    """The probe's table; and a note where no patient is known."""
    codes = [match["patient"] if (match := _NAMED.fullmatch(os.path.splitext(file)[0])) else None for file in files]
    patients = [code or own or np.nan for code, own in zip(codes, images["patient"], strict=True)]
    findings = [joined(one.finding for one in found or ()) for found in outlines]
    table = images.assign(patient=patients, findings=findings, annotated=annotated)
    unknown = [image for image, patient in zip(images.index, patients, strict=True) if patient is np.nan]
    notes = [f"no patient of {counted(unknown, 'image')}, each counts as its own"] if unknown else []
    return shared_first(table), notes
