"""ImageSource: where a probe's images come from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np


class ImageSource:
    """Where images come from. Positions count from 0 within the source.

    Sources can be pickled, for the worker processes of a data loader.
    """

    def read(self, position: int) -> np.ndarray:
        """The image (height, width[, 3]); uint8, uint16 or float. A new array each time."""
        raise NotImplementedError

    def fingerprint(self, position: int) -> str:
        """A text that changes when the image does, found without reading or drawing it where possible."""
        raise NotImplementedError

    def row(self, position: int) -> dict:
        """What the source itself knows about the image, for the metadata table."""
        return {}

    def boxes(self, position: int) -> list[dict]:
        """Boxes of the findings: dicts finding, xmin, ymin, xmax, ymax in pixels, half open."""
        raise LookupError("these images come without boxes")

    def warm(self, positions: Sequence[int], workers: int | None, progress: bool) -> None:
        """Do beforehand, in parallel, what reading these images one by one would do slowly."""


class ArraySource(ImageSource):
    """Images in memory; their fingerprint is a hash of the content."""

    def __init__(self, images: Iterable[np.ndarray]):
        self._images = [np.asarray(image) for image in images]

    def __len__(self) -> int:
        return len(self._images)

    def read(self, position: int) -> np.ndarray:
        return self._images[position].copy()

    def fingerprint(self, position: int) -> str:
        image = self._images[position]
        digest = hashlib.sha256(f"{image.dtype.str} {image.shape} ".encode())
        digest.update(np.ascontiguousarray(image))
        return digest.hexdigest()
