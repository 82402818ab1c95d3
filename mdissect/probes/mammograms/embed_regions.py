"""EMBED's regions of interest on their images: the columns of the tables, and whether they are mirrored."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from mdissect.probes.image_files import ImageFileError
from mdissect.probes.mammograms.dicom import dicom_tags
from mdissect.probes.mammograms.files import MammogramFiles, is_dicom
from mdissect.probes.mammograms.headers import value_of
from mdissect.probes.mammograms.meanings import view
from mdissect.probes.mammograms.preparation import Crop, transfer_box

REGION = "region of interest"
MIRROR = ("auto", "yes", "no")
# Views that Emory's converter mirrors, of right breasts whose header does not say the orientation.
_MIRRORED_VIEWS = ("CC", "ML", "MLO")
_TAGS = ("PatientOrientation", "ImageLaterality", "Laterality", "ViewPosition")


class Regions(NamedTuple):
    """Regions (ymin, xmin, ymax, xmax) of an image in pixels of the original, height and width of which may be unknown (None).

    `marked` is None where the tables have no regions; `mirrored`: left and right must be swapped.
    """

    marked: list[tuple] | None
    original: tuple[int, int] | None
    mirrored: bool


class EmbedFiles(MammogramFiles):
    """Images of EMBED with the regions that a radiologist marked."""

    def __init__(self, root: Path, relative_paths: Sequence[str], regions: Sequence[Regions]):
        super().__init__(root, relative_paths)
        self._regions = regions

    def boxes(self, position: int) -> list[dict]:
        (marked, original, mirrored), path = self._regions[position], self.path(position)
        if marked is None:
            return super().boxes(position)
        if not marked:
            return []
        size = self.size(position)
        if is_dicom(path):
            original = size
        elif original is None:
            raise LookupError(f"{path}: regions are in pixels of the original; its size (Rows, Columns) is not in the metadata")
        boxes = []
        for ymin, xmin, ymax, xmax in marked:
            left, right = (original[1] - xmax, original[1] - xmin) if mirrored else (xmin, xmax)
            found = {"finding": REGION, "xmin": left, "ymin": ymin, "xmax": right, "ymax": ymax}
            boxes.append(transfer_box(found, Crop(0, 0, *original), size))
            if boxes[-1] is None:
                there = f"[{ymin:g}, {xmin:g}, {ymax:g}, {xmax:g}]"
                raise LookupError(f"{path}: region {there} lies outside the image of {original[0]} x {original[1]} pixels")
        return boxes


def place_regions(root: Path, files: pd.DataFrame, mirror: str) -> tuple[list[Regions], list[str]]:
    """The regions of each file, and a note where they were marked on the other kind of file.

    `files` has the columns file, regions (marked on image files), dicom_regions, original, orientation, laterality and view.
    """
    placed, reasons = [], []
    missing = pd.Series("", index=files.index)
    columns = (files["file"], files["regions"], files["dicom_regions"], files["original"])
    known = (files.get(column, missing).fillna("") for column in ("orientation", "laterality", "view"))
    for file, on_image, on_dicom, original, *told in zip(*columns, *known, strict=True):
        own, other = (on_dicom, on_image) if is_dicom(file) else (on_image, on_dicom)
        reason = ""
        if own is None and other:
            reason = mirror if mirror != "auto" else _why_mirrored(root / file, *told)
            reasons.append(reason)
        placed.append(Regions(other if own is None else own, original, reason not in ("", "no")))
    return placed, [_note(reasons, mirror)] if reasons else []


def _why_mirrored(path: Path, orientation: str, side: str, projection: str) -> str:
    """Why the converter mirrors an image, from its header and the tables; "" if it does not."""
    header = {}
    if is_dicom(path):
        try:
            tags = dicom_tags(path, _TAGS)
            header = {keyword: value_of(tags, keyword) for keyword in _TAGS}
        except (ImageFileError, ValueError):
            pass  # reading the image says so
    towards = header.get("PatientOrientation") or orientation
    if found := re.search("[A-Za-z]", towards if isinstance(towards, str) else "".join(towards)):
        return "PatientOrientation begins with P" if found[0].upper() == "P" else ""
    side = side or str(header.get("ImageLaterality") or header.get("Laterality") or "")
    projection = projection or str(header.get("ViewPosition") or "")
    is_mirrored = side.upper()[:1] == "R" and view(projection) in _MIRRORED_VIEWS
    return "right CC, ML or MLO without PatientOrientation" if is_mirrored else ""


def _note(reasons: list[str], mirror: str) -> str:
    """A note on the number of mirrored images, and the reason."""
    n_images = len(reasons)
    if mirror != "auto":
        done = "mirrored left to right" if mirror == "yes" else "taken as they are"
        return f"mirror_boxes={mirror!r}: regions of {n_images} images, marked on another kind of file, were {done}"
    counts = [f"{reasons.count(reason)} {reason}" for reason in dict.fromkeys(reasons) if reason]
    why = f" ({'; '.join(counts)})" if counts else ""
    mirrored = sum(map(bool, reasons))
    return (
        f"regions of {mirrored} of {n_images} images, marked on another kind of file, were mirrored left to right{why}, as "
        "Emory's converter to PNG mirrors images; it is not proved that they belong to the mirrored ones: look at some, "
        "mirror_boxes='yes' or 'no' overrides it"
    )
