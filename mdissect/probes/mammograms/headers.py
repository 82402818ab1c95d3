"""The description of pixels in a DICOM header, checked tag by tag; errors name the tag and its value."""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, NamedTuple

from mdissect.arguments import shown

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_MOST_PIXELS = 2**30  # in an image; a header that says more is broken


class Header(NamedTuple):
    """The storage of a grey image's pixels.

    `bits` of the `allocated` ones are in use; `signed`: two's complement; `inverted`: the lowest value is white; `padding`: the
    stored values, from the first to the second, that are no part of the image.
    """

    rows: int
    columns: int
    allocated: int
    bits: int
    signed: bool
    inverted: bool
    padding: tuple[int, int] | None


def read_header(dataset: Dataset) -> Header:
    """The header of a data set with one grey image; ValueError for another kind of image, or an inconsistent header."""
    frames, kind = value_of(dataset, "NumberOfFrames"), value_of(dataset, "PhotometricInterpretation")
    if frames is not None and whole(dataset, "NumberOfFrames", 0) > 1:
        raise ValueError(f"{frames} frames (tomosynthesis?); one image is expected")
    if kind not in ("MONOCHROME1", "MONOCHROME2"):
        found = "no PhotometricInterpretation in its header" if kind is None else f"photometric interpretation {kind}"
        raise ValueError(f"{found}; a grey image (MONOCHROME1 or MONOCHROME2) is expected")
    whole(dataset, "SamplesPerPixel", 1, 1)
    rows, columns = image_size(dataset)
    allocated = whole(dataset, "BitsAllocated", 1, 32)
    if allocated not in (1, 8, 16, 32):
        raise ValueError(f"its header says BitsAllocated={allocated}; 1, 8, 16 or 32 is expected")
    bits = whole(dataset, "BitsStored", 1, min(allocated, 16))
    if value_of(dataset, "HighBit") is not None:
        whole(dataset, "HighBit", bits - 1, bits - 1)
    signed = whole(dataset, "PixelRepresentation", 0, 1) == 1
    return Header(rows, columns, allocated, bits, signed, kind == "MONOCHROME1", _padding(dataset, allocated, signed))


def image_size(dataset: Dataset) -> tuple[int, int]:
    """Height and width."""
    rows, columns = whole(dataset, "Rows", 1), whole(dataset, "Columns", 1)
    if rows * columns > _MOST_PIXELS:
        raise ValueError(f"its header says Rows={rows} and Columns={columns}, more pixels than an image has")
    return rows, columns


def value_of(dataset: Dataset, keyword: str):
    """A tag's value, None where it is absent or empty; ValueError where it cannot be read."""
    try:
        value = dataset.get(keyword)
        length = len(value.strip() if isinstance(value, str) else value) if hasattr(value, "__len__") else 1
    except Exception as error:  # pydicom converts values only now, and junk raises almost anything
        raise ValueError(f"the {keyword} in its header cannot be read: {error}") from error
    return value if length else None


def whole(dataset: Dataset, keyword: str, least: int, most: int | None = None) -> int:
    """A tag's value as an int from `least` to `most`."""
    value = value_of(dataset, keyword)
    if value is None:
        raise ValueError(f"no {keyword} in its header")
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or number < least or (most is not None and number > most):
        allowed = f"{least}" if least == most else f"{least} or more" if most is None else f"{least} to {most}"
        raise ValueError(f"its header says {keyword}={_shown(value)}; {allowed} is expected")
    return number


def number(dataset: Dataset, keyword: str, first: bool = False) -> float | None:
    """A tag's value as a finite number, None where it is absent or empty; `first`: of several values the first."""
    value = value_of(dataset, keyword)
    if value is None:
        return None
    one = value[0] if first and not isinstance(value, str) and hasattr(value, "__len__") else value
    try:
        found = float(one)
    except (TypeError, ValueError):
        found = math.nan
    if not math.isfinite(found):
        raise ValueError(f"its header says {keyword}={_shown(value)}; a number is expected")
    return found


def _padding(dataset: Dataset, allocated: int, signed: bool) -> tuple[int, int] | None:
    """The range of stored values that pad the image; None where it has none."""
    if value_of(dataset, "PixelPaddingValue") is None:
        return None
    keywords = ["PixelPaddingValue"]
    keywords += ["PixelPaddingRangeLimit"] if value_of(dataset, "PixelPaddingRangeLimit") is not None else []
    ends = [whole(dataset, keyword, -(2 ** (allocated - 1)), 2**allocated - 1) for keyword in keywords]
    # Signed values are often written into a tag of unsigned type, and the other way round.
    ends = [
        (end + 2 ** (allocated - 1)) % 2**allocated - 2 ** (allocated - 1) if signed else end % 2**allocated for end in ends
    ]
    return min(ends), max(ends)


def _shown(value: object) -> str:
    """A value in a message; the wrappers that pydicom puts around numbers and lists are taken off."""
    several = hasattr(value, "__len__") and not isinstance(value, (str, bytes))
    return shown(list(value)) if several else shown(value) if isinstance(value, (str, bytes)) else str(value)
