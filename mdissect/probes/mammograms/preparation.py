"""The released preparation of mammograms, from a DICOM image's pixels to the PNG that Mammo-CLIP was trained on.

Pure functions: an image goes in, the prepared image and the crop it was cut from come out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import NamedTuple

import numpy as np

from mdissect.arguments import kind_of, known_option, one_of, pixel_size, true_or_false, whole_number

# Part of every key: raise it when the steps below change what comes out.
_VERSION = 1


class Crop(NamedTuple):
    """A part of an image, in pixels of the whole; half open: rows top to bottom - 1, columns left to right - 1."""

    top: int
    left: int
    bottom: int
    right: int

    def cut(self, image: np.ndarray) -> np.ndarray:
        """The part of ``image`` (height, width)."""
        return image[self.top : self.bottom, self.left : self.right]


class Prepared(NamedTuple):
    """A prepared image (height, width), uint8 or uint16, and the part of the original that it shows."""

    image: np.ndarray
    crop: Crop


@dataclass(frozen=True)
class Preparation:
    """The steps of preparing a mammogram, in this order; the defaults are those of the released pipeline.

    1. ``border`` pixels are cut off on every side.
    2. The image's minimum becomes 0 and its maximum the white of ``bits`` bits, fractions are cut off.
    3. The breast is cut out: `breast_crop` with ``background``, judged on 8 bits whatever ``bits`` is.
    4. The area is averaged to ``size``, stretched, rounded to the nearest.

    ``voi`` (the display window of a DICOM file) comes before all of them, in `mdissect.probes.mammograms.dicom.decode_dicom`.

    Parameters
    ----------
    size : (int, int)
        Height and width in pixels.
    bits : {8, 16}
    background : int
        The largest of the 256 grey levels that counts as background.

    Raises
    ------
    ValueError, TypeError
        When a field has a value that it cannot have.
    """

    size: tuple[int, int] = (1520, 912)
    bits: int = 8
    border: int = 5
    background: int = 40
    voi: bool = False

    def __post_init__(self):
        object.__setattr__(self, "size", pixel_size(self.size))
        one_of("bits", self.bits, (8, 16))
        whole_number("border", self.border, 0)
        whole_number("background", self.background, 0, 254)
        true_or_false("voi", self.voi)

    def key(self) -> str:
        """All fields and the version of the steps as one stable line: equal keys, equal images."""
        return f"prepare-{_VERSION} {json.dumps(asdict(self), sort_keys=True)}"


RELEASED = Preparation()


def some_preparation(value: Preparation | Mapping | str | None) -> Preparation | None:
    """The argument ``preparation`` of a loader ("released": the defaults); ValueError or TypeError for what is none.

    >>> some_preparation({"bits": 16}).bits
    16
    """
    if isinstance(value, str):
        one_of("preparation", value, ("released",))
        return RELEASED
    if isinstance(value, Mapping):
        known_option("preparation", value, [field.name for field in fields(Preparation)])
        return Preparation(**value)
    if value is not None:
        kind_of("preparation", value, Preparation, "a mapping of its fields")
    return value


def prepare(pixels: np.ndarray, preparation: Preparation = RELEASED) -> Prepared:
    """Prepare one mammogram, uint8 or uint16 (height, width) with black at the bottom of the scale; only its own range counts.

    >>> mammogram = np.zeros((120, 100), np.uint16)
    >>> mammogram[20:90, 5:50] = np.arange(45) + 1000
    >>> image, crop = prepare(mammogram, Preparation(size=(8, 5)))
    >>> image.shape, image.dtype, crop
    ((8, 5), dtype('uint8'), Crop(top=20, left=5, bottom=90, right=50))

    ValueError when it is not larger than its border, or the same everywhere (all black); TypeError: another shape or dtype.
    """
    from mdissect.preprocess import resize_area  # needs torch, which looking at images as they are does without

    if pixels.ndim != 2 or pixels.dtype not in (np.uint8, np.uint16):
        raise TypeError(
            f"{pixels.ndim}-dimensional {pixels.dtype} pixels were given; expected (height, width), uint8 or uint16"
        )
    border, (height, width) = preparation.border, pixels.shape
    if min(height, width) <= 2 * border:
        raise ValueError(f"the image has {height} x {width} pixels and would lose {border} on every side")
    inner = pixels[border : height - border, border : width - border]
    judged = stretch_to_range(inner, bits=8)
    found = breast_crop(judged, preparation.background)
    breast = found.cut(judged if preparation.bits == 8 else stretch_to_range(inner, preparation.bits))
    resized = resize_area(breast[:, :, None].astype(np.float32), preparation.size)[0]
    white = np.float32(2**preparation.bits - 1)
    image = np.rint(np.clip(resized, 0, white)).astype(breast.dtype)
    return Prepared(image, Crop(*(edge + border for edge in found)))


def stretch_to_range(pixels: np.ndarray, bits: int) -> np.ndarray:
    """uint8 or uint16 pixels, minimum to 0 and maximum to the white of 8 or 16 `bits`, fractions cut off.

    ValueError when all pixels are the same.
    """
    low, high = int(pixels.min()), int(pixels.max())
    if low == high:
        raise ValueError(f"all pixels are {low}: an image without content")
    # In this order and in double precision, as the released pipeline computes it: the last grey level depends on it.
    levels = (np.arange(high - low + 1) / (high - low) * (2**bits - 1)).astype(f"uint{bits}")
    return levels[pixels - low]


def breast_crop(image: np.ndarray, background: int = 40) -> Crop:
    """The place of the breast in a uint8 image (height, width): the longest run of columns that are not constant, then of rows.

    Grey levels up to ``background`` count as one; columns and rows are judged on their middle 80 %, so that markers in the
    corners do not count. Of runs of equal length the first is taken; where nothing stands out, the whole image.
    """
    flat = np.where(image <= background, 0, image)
    middle = _middle(image.shape[0])
    left, right = _longest_run(flat[middle].min(axis=0) != flat[middle].max(axis=0))
    judged = flat[:, left:right][:, _middle(right - left)]
    top, bottom = _longest_run(judged.min(axis=1) != judged.max(axis=1))
    return Crop(top, left, bottom, right)


def transfer_box(box: dict, crop: Crop, size: tuple[int, int]) -> dict | None:
    """A box in pixels of the original as it lies in the prepared image of this size (height, width) that shows the crop.

    `box` holds xmin, ymin, xmax, ymax, and whatever else, which is kept. Gives whole pixels, half open, cut at the edges of
    the image; None where nothing of the box is left.
    """
    down, across = size[0] / (crop.bottom - crop.top), size[1] / (crop.right - crop.left)
    xmin, xmax = ((box[edge] - crop.left) * across for edge in ("xmin", "xmax"))
    ymin, ymax = ((box[edge] - crop.top) * down for edge in ("ymin", "ymax"))
    xmin, ymin = max(0, int(np.floor(xmin))), max(0, int(np.floor(ymin)))
    xmax, ymax = min(size[1], int(np.ceil(xmax))), min(size[0], int(np.ceil(ymax)))
    if xmin >= xmax or ymin >= ymax:
        return None
    return box | {"xmin": xmin, "ymin": ymin, "xmax": xmax, "ymax": ymax}


def _middle(length: int) -> slice:
    """The middle 80 %; everything if it is too short."""
    half = int(length * 0.4)
    return slice(length // 2 - half, length // 2 + half) if half else slice(0, length)


def _longest_run(flags: np.ndarray) -> tuple[int, int]:
    """Start and stop of the first of the longest runs of True; of everything when there is none."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    if not len(edges):
        return 0, len(flags)
    starts, stops = edges[::2], edges[1::2]
    longest = int(np.argmax(stops - starts))
    return int(starts[longest]), int(stops[longest])
