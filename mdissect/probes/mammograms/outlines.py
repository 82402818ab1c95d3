"""Mammograms whose findings are outlined by points: boxes around the outlines, and masks of what they enclose."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from mdissect.probes.mammograms.dicom import dicom_size
from mdissect.probes.mammograms.files import is_dicom
from mdissect.probes.mammograms.marked import MarkedFiles
from mdissect.probes.mammograms.preparation import Preparation


class Outline(NamedTuple):
    """A finding and the points (n, 2) around it: column and row in pixels of the original, whole numbers."""

    finding: str
    points: np.ndarray


class OutlinedFiles(MarkedFiles):
    """Images with outlines; None where those of an image are not known, for the reason `unknown`.

    `whole`: image files that are no DICOM files show the whole original, pixel by pixel.
    """

    def __init__(
        self,
        root: Path,
        relative_paths: Sequence[str],
        preparation: Preparation | None,
        outlines: Sequence[list[Outline] | None],
        unknown: str,
        whole: bool = False,
    ):
        super().__init__(root, relative_paths, preparation)
        self._outlines, self._unknown, self._whole = outlines, unknown, whole

    def original_size(self, position: int) -> tuple[int, int] | None:
        path = self.path(position)
        if is_dicom(path):
            return dicom_size(path)
        return self.size(position) if self._whole else None

    def original_boxes(self, position: int) -> list[dict]:
        return [{"finding": finding, **edges(points)} for finding, points in self._known(position)]

    def original_masks(self, position: int) -> list[dict]:
        if not (outlines := self._known(position)):
            return []
        # What lies beyond the crop is cut off anyway.
        size = self.original_size(position) or self.crop(position)[2:]
        findings = dict.fromkeys(outline.finding for outline in outlines)
        return [
            {"finding": finding, "mask": enclosed([points for own, points in outlines if own == finding], size)}
            for finding in findings
        ]

    def _known(self, position: int) -> list[Outline]:
        """The outlines of an image; LookupError where they are not known, or one lies outside the image."""
        outlines = self._outlines[position]
        if outlines is None:
            raise LookupError(f"{self.path(position)}: {self._unknown}")
        if not outlines or (size := self.original_size(position)) is None:
            return outlines
        for finding, points in outlines:
            (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
            if left >= size[1] or top >= size[0] or right < 0 or bottom < 0:
                raise LookupError(
                    f"{self.path(position)}: the outline of a finding ({finding}) from column {left} to {right} and row {top} "
                    f"to {bottom} lies outside the image of {size[0]} x {size[1]} pixels"
                )
        return outlines


def edges(points: np.ndarray) -> dict[str, int]:
    """The box around points (n, 2), half open.

    >>> edges(np.array([[3, 7], [5, 6]]))
    {'xmin': 3, 'ymin': 6, 'xmax': 6, 'ymax': 8}
    """
    (xmin, ymin), (xmax, ymax) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return {"xmin": xmin, "ymin": ymin, "xmax": xmax + 1, "ymax": ymax + 1}


def enclosed(outlines: Sequence[np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """What outlines (n, 2) enclose, with the points and the lines between them: bool array of the size (height, width)."""
    image = Image.new("1", size[::-1])
    canvas = ImageDraw.Draw(image)
    for points in outlines:
        corners = [tuple(point) for point in points.tolist()]
        if len(corners) > 2:
            canvas.polygon(corners, fill=1, outline=1)
        else:
            canvas.line([*corners, corners[-1]], fill=1)
            canvas.point(corners, fill=1)
    return np.array(image)
