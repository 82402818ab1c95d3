"""Image files as arrays: PNG, JPEG, TIFF and PGM/PPM, 8 or 16 bit, grey or RGB, with every pixel value as stored.

Pillow reads most of it. What it would quietly lose is read here: the lower byte of 16-bit colour, the polarity of
16-bit TIFFs whose zero is white, and the depth of PGM and TIFF files that use fewer bits than their type has.
"""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

import numpy as np
from PIL import (
    Image,
    ImageFile,
    JpegImagePlugin,  # noqa: F401  (formats register themselves when they are imported)
    PngImagePlugin,  # noqa: F401
    PpmImagePlugin,  # noqa: F401
    TiffImagePlugin,  # noqa: F401
)

from mdissect.files import is_lfs_pointer

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".pgm", ".ppm", ".pnm")

_FORMATS = ("PNG", "JPEG", "TIFF", "PPM")
_BITS_PER_SAMPLE, _PHOTOMETRIC = 258, 262  # TIFF tags
_ADVICE = "save it as plain 8- or 16-bit grey or RGB"
_PNM_HEADER = re.compile(rb"P([2356])" + rb"(?:\s|#[^\n]*\n)+(\d+)" * 3 + rb"\s")


class ImageFileError(ValueError):
    """A file that cannot be read as one grey or RGB image; the message names the file and the reason."""


def read_image(path: str | Path, bits: int | None = None) -> np.ndarray:
    """Read one image file, known by its content: uint8, uint16 or float32 (height, width) or (height, width, 3).

    White is the maximum of the array's type: PGM and TIFF files that declare another maximum are stretched, and so is 16-bit
    data when `bits` (9 to 16) says that only so many are in use. Palettes are looked up, an alpha channel is dropped where it
    is opaque everywhere, a TIFF whose zero is white is inverted; EXIF orientation and colour profiles are not applied.

    ImageFileError: the file is missing, empty, truncated, broken, of another format, transparent, of several pages, of a colour
    model other than grey and RGB, or has values beyond `bits`. RuntimeError where Pillow is set to accept truncated files.
    """
    if ImageFile.LOAD_TRUNCATED_IMAGES:
        raise RuntimeError("PIL.ImageFile.LOAD_TRUNCATED_IMAGES is set and hides broken files: set it to False")
    try:
        pixels, white = _decode(Path(path).read_bytes())
        if bits is not None and pixels.dtype == np.uint16:
            white = 2**bits - 1
        return pixels if white is None else stretch(pixels, white)
    except MemoryError:
        raise
    except Exception as error:  # broken bytes make decoders raise almost anything
        raise ImageFileError(f"{path}: {getattr(error, 'strerror', None) or error}") from error


def stretch(pixels: np.ndarray, white: int) -> np.ndarray:
    """Integer pixels whose white is ``white`` at the full range of their type, rounded; ValueError for a pixel above white.

    >>> stretch(np.array([0, 2048, 4095], dtype=np.uint16), white=4095)
    array([    0, 32776, 65535], dtype=uint16)
    """
    full = np.iinfo(pixels.dtype).max
    if white == full:
        return pixels
    if (highest := pixels.max(initial=0)) > white:
        raise ValueError(f"pixel values reach {highest}, above the white of {white} ({white.bit_length()} bits)")
    return ((pixels.astype(np.uint64) * full + white // 2) // white).astype(pixels.dtype)


def check_content(data: bytes) -> None:
    """Raise ValueError where an image file is empty or a git-lfs pointer."""
    if not data:
        raise ValueError("the file is empty")
    if is_lfs_pointer(data):
        raise ValueError("a git-lfs pointer, not an image: run `git lfs pull`")


def _decode(data: bytes) -> tuple[np.ndarray, int | None]:
    """Pixels as stored, and the value that the file declares as white (None: floats)."""
    check_content(data)
    if header := _PNM_HEADER.match(data):
        return _decode_pnm(data, header)
    try:
        image = Image.open(io.BytesIO(data), formats=_FORMATS)
    except Image.UnidentifiedImageError:
        start = f"starts with {data[:8]!r}"
        raise ValueError(f"not a PNG, JPEG, TIFF or PGM/PPM image that can be read ({start})") from None
    if image.format == "TIFF" and image.n_frames > 1:
        raise ValueError(f"{image.n_frames} pages; save each as a file of its own")
    if _stored_bits(image) > 8 and image.mode not in ("I;16", "I;16B", "I;16L", "I", "F"):
        return _decode_deep_colour(data), 65535
    image.load()
    return _grey_or_rgb(image)


def _stored_bits(image: Image.Image) -> int:
    """Bits per sample in the file, which a Pillow mode such as "RGB" does not show."""
    if image.format == "TIFF":
        return max(image.tag_v2.get(_BITS_PER_SAMPLE, (1,)))
    return 16 if any(";16" in _raw_mode(tile) for tile in image.tile) else 8


def _raw_mode(tile: tuple) -> str:
    """The layout of a tile's bytes, such as "RGB;16B"; "" where the decoder has none."""
    arguments = tile.args
    first = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return first if isinstance(first, str) else ""


def _grey_or_rgb(image: Image.Image) -> tuple[np.ndarray, int | None]:
    """A loaded Pillow image as an array and its white."""
    if image.mode == "P":
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    if image.mode in ("LA", "RGBA"):
        if image.getchannel("A").getextrema()[0] < 255:
            raise ValueError("has transparent pixels; flatten it onto a background first")
        image = image.convert(image.mode[:-1])
    if image.mode == "1":
        image = image.convert("L")
    if image.mode in ("L", "RGB"):
        return np.array(image), 255
    if image.mode == "F":
        return np.array(image), None
    if image.mode == "I" or image.mode.startswith("I;16"):
        return _grey_16(image)
    raise ValueError(f"colour model {image.mode}; {_ADVICE}")


def _grey_16(image: Image.Image) -> tuple[np.ndarray, int]:
    """Grey of more than 8 bits as uint16, and its white."""
    pixels = np.array(image)
    low, high = int(pixels.min()), int(pixels.max())
    if low < 0 or high > 65535:
        raise ValueError(f"pixel values from {low} to {high} do not fit into 16 bits; {_ADVICE}")
    pixels, white = pixels.astype(np.uint16), 65535
    if image.format == "TIFF":
        white = 2 ** min(_stored_bits(image), 16) - 1
        if image.tag_v2.get(_PHOTOMETRIC) == 0:
            pixels = white - pixels
    return pixels, white


def _decode_deep_colour(data: bytes) -> np.ndarray:
    """16-bit RGB as uint16 (height, width, 3).

    Pillow keeps the upper byte of each sample only. Read once more with the byte order swapped, it keeps the lower one.
    """
    upper, lower = (Image.open(io.BytesIO(data), formats=_FORMATS) for _ in range(2))
    native = {"little": "L", "big": "B"}[sys.byteorder]
    swapped = []
    for tile in upper.tile:
        layout = re.fullmatch(r"RGB;16([LBN])", _raw_mode(tile))
        if not layout:
            raise ValueError(f"more than 8 bits per sample in an unusual layout ({_raw_mode(tile)}); {_ADVICE}")
        order = native if layout[1] == "N" else layout[1]
        layout = "RGB;16" + {"L": "B", "B": "L"}[order]
        swapped.append(tile._replace(args=(layout, *tile.args[1:]) if isinstance(tile.args, tuple) else layout))
    lower.tile = swapped
    upper.load()
    lower.load()
    return np.array(upper).astype(np.uint16) << 8 | np.array(lower)


def _decode_pnm(data: bytes, header: re.Match) -> tuple[np.ndarray, int]:
    """PGM and PPM, plain (P2, P3) or raw (P5, P6), with their own maximum as white."""
    kind = header[1]
    width, height, white = (int(field) for field in header.groups()[1:])
    shape = (height, width) if kind in b"25" else (height, width, 3)
    if not 0 < white < 65536 or not height * width:
        raise ValueError(f"its header says {width} x {height} pixels and a maximum of {white}")
    dtype, n_values = np.dtype(np.uint8 if white < 256 else ">u2"), int(np.prod(shape))
    if kind in b"23":
        values = np.array(data[header.end() :].split()[:n_values], dtype=np.int64)
    else:
        whole = (len(data) - header.end()) // dtype.itemsize
        values = np.frombuffer(data, dtype, count=min(n_values, whole), offset=header.end())
    if len(values) < n_values:
        raise ValueError(f"image file is truncated: {len(values)} of {n_values} pixel values")
    if values.min() < 0 or values.max() > white:
        raise ValueError(f"pixel values from {values.min()} to {values.max()} with a maximum of {white} in its header")
    return values.astype(dtype.newbyteorder("=")).reshape(shape), white
