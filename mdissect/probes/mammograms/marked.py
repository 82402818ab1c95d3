"""Mammograms with findings marked in pixels of the original, as they lie in the image that is given."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mdissect.probes.mammograms.files import MammogramFiles, is_dicom, prepare_dicom, record_of
from mdissect.probes.mammograms.preparation import Crop, Preparation, transfer_box


class MarkedFiles(MammogramFiles):
    """PNG and DICOM files of mammograms; a subclass knows the findings in pixels of the original.

    It gives `original_boxes` or `original_masks`, and `original_size` where an image file that does not record its crop is
    known to show the whole original.
    """

    def __init__(self, root: Path, relative_paths: Sequence[str], preparation: Preparation | None = None):
        super().__init__(root, relative_paths, preparation)
        self._crops: dict[int, Crop] = {}

    def original_boxes(self, position: int) -> list[dict]:
        """Boxes in pixels of the original; by default those around its masks."""
        return [_around(mask) for mask in self.original_masks(position)]

    def original_masks(self, position: int) -> list[dict]:
        """Masks of the size of the original; LookupError where there are none."""
        return super().masks(position)

    def original_size(self, position: int) -> tuple[int, int] | None:
        """Height and width of the original; None where they are not known."""
        return None

    def boxes(self, position: int) -> list[dict]:
        if not (marked := self.original_boxes(position)):
            return []
        crop, size = self.crop(position), self.size(position)
        return [box for box in (transfer_box(box, crop, size) for box in marked) if box]

    def masks(self, position: int) -> list[dict]:
        if not (marked := self.original_masks(position)):
            return []
        crop, size = self.crop(position), self.size(position)
        shown = ({**one, "mask": resized_mask(crop.cut(one["mask"]), size)} for one in marked)
        return [one for one in shown if one["mask"].any()]

    def crop(self, position: int) -> Crop:
        """The part of the original that an image shows; LookupError where it is not known."""
        if position not in self._crops:
            self._crops[position] = self._find_crop(position)
        return self._crops[position]

    def _find_crop(self, position: int) -> Crop:
        path = self.path(position)
        if is_dicom(path):
            if self._preparation is None:
                return Crop(0, 0, *self.size(position))
            return prepare_dicom(path, self._preparation).crop
        if record := record_of(path):
            return record["crop"]
        original = self.original_size(position)
        if original is None:
            raise LookupError(
                f"{path} does not say which part of the original it shows, so that its findings cannot be placed; give the "
                "DICOM files (images='dicom'), or PNG files that `python -m mdissect prepare` made of them"
            )
        if original != (size := self.size(position)):
            found = f"{size[0]} x {size[1]} pixels, its findings are marked on {original[0]} x {original[1]}"
            raise LookupError(f"{path} has {found}; which part of that it shows is not known")
        return Crop(0, 0, *original)


def _around(one: dict) -> dict:
    """The box around a mask that is not empty, half open."""
    rows, columns = (np.flatnonzero(one["mask"].any(axis=axis)).tolist() for axis in (1, 0))
    edges = {"xmin": columns[0], "ymin": rows[0], "xmax": columns[-1] + 1, "ymax": rows[-1] + 1}
    return {key: value for key, value in one.items() if key != "mask"} | edges


def resized_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A mask at another size (height, width): at each pixel what lies under its centre."""
    rows, columns = (
        np.minimum(((np.arange(new) + 0.5) * old / new).astype(int), old - 1) for new, old in zip(size, mask.shape, strict=True)
    )
    return mask[np.ix_(rows, columns)]
