"""Image files as arrays: PNG, JPEG, TIFF and PGM/PPM, 8 or 16 bit, grey or RGB, with every pixel value as stored.

Pillow reads most of it. What it would quietly lose is read here: the lower byte of 16-bit colour, the polarity of
16-bit TIFFs whose zero is white, and the depth of PGM and TIFF files that use fewer bits than their type has.
"""

from __future__ import annotations

import io
import math
import re
import struct
import sys
import zlib
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

from mdissect.files import content_sample, is_lfs_pointer, regular_file
from mdissect.probes.damage import check_jpeg, check_png, check_strips

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".pgm", ".ppm", ".pnm")

_PNG_START, _JPEG_START = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
_FORMATS = ("PNG", "JPEG", "TIFF", "PPM")
_BITS_PER_SAMPLE, _COMPRESSION, _PHOTOMETRIC, _JPEG_TABLES = 258, 259, 262, 347  # TIFF tags
_PARTS = ((273, 279), (324, 325))  # where strips or tiles lie, and how long they are
_MOST_BYTES = 2**31  # of a file; larger ones are no images, and would fill the memory
_ADVICE = "save it as plain 8- or 16-bit grey or RGB"
_PNM_HEADER = re.compile(rb"P([2356])" + rb"(?:\s|#[^\n]*\n)+(\d+)" * 3 + rb"\s")


class ImageFileError(ValueError):
    """A file that cannot be read as one grey or RGB image; the message names the file and the reason."""


def read_image(path: str | Path, bits: int | None = None) -> np.ndarray:
    """Read one image file, known by its content: uint8, uint16 or float32 (height, width) or (height, width, 3).

    White is the maximum of the array's type: PGM and TIFF files that declare another maximum are stretched, and so is 16-bit
    data when `bits` (9 to 16) says that only so many are in use. Palettes are looked up, an alpha channel is dropped where it
    is opaque everywhere, a TIFF whose zero is white is inverted; EXIF orientation and colour profiles are not applied: boxes
    are in pixels as stored.

    ImageFileError: the file is missing, no plain file, empty, truncated (also where it was filled up again), broken, of another
    format, transparent, of several pages or frames, of a colour model other than grey and RGB, not finite, or has values beyond
    `bits`. RuntimeError where Pillow is set to accept truncated files.
    """
    try:
        data = file_content(path)
    except (OSError, ValueError) as error:
        raise ImageFileError(f"{path}: {getattr(error, 'strerror', None) or error}") from error
    return decode_image(data, path, bits)


def decode_image(data: bytes, name: str | Path, bits: int | None = None) -> np.ndarray:
    """`read_image` of a file's content; errors call it by its name."""
    if ImageFile.LOAD_TRUNCATED_IMAGES:
        raise RuntimeError("PIL.ImageFile.LOAD_TRUNCATED_IMAGES is set and hides broken files: set it to False")
    try:
        pixels, white = _decode(data)
        if bits is not None and pixels.dtype == np.uint16:
            white = 2**bits - 1
        return pixels if white is None else stretch(pixels, white)
    except MemoryError:
        raise
    except Exception as error:  # broken bytes make decoders raise almost anything
        raise ImageFileError(f"{name}: {getattr(error, 'strerror', None) or error}") from error


def starts_as_image(start: bytes) -> bool:
    """Whether a file that begins with these bytes is a PNG or JPEG file, whatever its name."""
    return start.startswith((_PNG_START, _JPEG_START))


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


def file_fingerprint(root: Path, relative_path: str, how: object) -> str:
    """A text that changes with a file (place, size, time, content) or with `how` it is read, found without decoding."""
    path = root / relative_path
    try:
        status = regular_file(path).stat()
        return f"{relative_path} {status.st_size} {status.st_mtime_ns} {content_sample(path)} {how}"
    except OSError as error:
        raise ImageFileError(f"{path}: {error.strerror or error}") from error


def image_size(path: str | Path) -> tuple[int, int]:
    """Height and width of an image file as `read_image` gives it, from its header alone; ImageFileError where it has none."""
    try:
        with Image.open(regular_file(path), formats=_FORMATS) as image:
            return image.height, image.width
    except Exception as error:  # broken bytes make Pillow raise almost anything
        raise ImageFileError(f"{path}: {getattr(error, 'strerror', None) or error}") from error


def file_content(path: str | Path) -> bytes:
    """The bytes of an image file; OSError: no plain file; ValueError: empty, huge, or a git-lfs pointer."""
    size = regular_file(path).stat().st_size
    if size > _MOST_BYTES:
        raise ValueError(f"the file has {size:,} bytes, more than any image that is read here ({_MOST_BYTES:,})")
    data = Path(path).read_bytes()
    if not data:
        raise ValueError("the file is empty")
    if is_lfs_pointer(data):
        raise ValueError("a git-lfs pointer, not an image: run `git lfs pull`")
    return data


def _decode(data: bytes) -> tuple[np.ndarray, int | None]:
    """Pixels as stored, and the value that the file declares as white (None: floats)."""
    if header := _PNM_HEADER.match(data):
        return _decode_pnm(data, header)
    if data.startswith(_PNG_START):
        check_png(data)
    elif data.startswith(_JPEG_START):
        check_jpeg(data)
    try:
        image = Image.open(io.BytesIO(data), formats=_FORMATS)
    except Image.UnidentifiedImageError:
        start = f"starts with {data[:8]!r}"
        raise ValueError(f"not a PNG, JPEG, TIFF or PGM/PPM image that can be read ({start})") from None
    _check_whole(image, data)
    if (n_frames := getattr(image, "n_frames", 1)) > 1:
        kind = "pages" if image.format == "TIFF" else "frames"
        raise ValueError(f"{n_frames} {kind}; save each as a file of its own")
    if _stored_bits(image) > 8 and image.mode not in ("I;16", "I;16B", "I;16L", "I", "F"):
        pixels = _opaque(_decode_deep_colour(data))
        _refuse_key(pixels, image.info.get("transparency"))
        return pixels, 65535
    image.load()
    return _grey_or_rgb(image)


def _check_whole(image: Image.Image, data: bytes) -> None:
    """Raise ValueError for faults that Pillow ignores: damaged strips of a TIFF file, a second image after the first."""
    if image.format == "TIFF":
        tags = image.tag_v2
        for starts, lengths in _PARTS:
            places = zip(tags.get(starts, ()), tags.get(lengths, ()), strict=False)
            check_strips(data, places, tags.get(_COMPRESSION, 1), tags.get(_JPEG_TABLES, b""))
    elif image.format == "PPM" and image.tile and image.tile[0].codec_name == "raw" and image.mode in ("1", "F"):
        row = (image.width + 7) // 8 if image.mode == "1" else image.width * 4
        _refuse_more(data[image.tile[0].offset + row * image.height :].strip(), image.width, image.height)


def _refuse_more(more: bytes | list[bytes], width: int, height: int) -> None:
    """Raise ValueError if there is anything after the pixels."""
    if more:
        raise ValueError(f"more data than the {width} x {height} pixels of its header (several images in one file?)")


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
    key = image.info.get("transparency") if image.mode in ("1", "L", "RGB", "I;16") else None
    if isinstance(key, int) and image.format == "PNG":
        key *= {"L;2": 85, "L;4": 17}.get(_raw_mode(image.tile[0]) if image.tile else "", 1)
    if image.mode == "P":
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    if image.mode == "1":
        image = image.convert("L")
    if image.mode in ("L", "RGB", "LA", "RGBA"):
        pixels, white = np.array(image), 255
        pixels = _opaque(pixels) if "A" in image.mode else pixels
    elif image.mode == "F":
        pixels, white = np.array(image), None
        if not np.isfinite(pixels).all():
            raise ValueError("has pixels that are NaN or infinite")
    elif image.mode == "I" or image.mode.startswith("I;16"):
        pixels, white = _grey_16(image)
    else:
        raise ValueError(f"colour model {image.mode}; {_ADVICE}")
    _refuse_key(pixels, key)
    return pixels, white


def _opaque(pixels: np.ndarray) -> np.ndarray:
    """Grey or RGB pixels of grey or RGB with alpha, all of them opaque; what has no alpha (3 channels) as it is."""
    if pixels.ndim == 2 or pixels.shape[2] == 3:
        return pixels
    if (pixels[:, :, -1] < np.iinfo(pixels.dtype).max).any():
        raise ValueError("has transparent pixels; flatten it onto a background first")
    return np.ascontiguousarray(pixels[:, :, 0] if pixels.shape[2] == 2 else pixels[:, :, :-1])


def _refuse_key(pixels: np.ndarray, key: int | tuple[int, ...] | None) -> None:
    """Raise ValueError where pixels have the value or colour that a PNG file declares transparent."""
    if key is not None:
        same = pixels == np.asarray(key)
        if (same.all(axis=2) if pixels.ndim == 3 else same).any():
            raise ValueError("has transparent pixels; flatten it onto a background first")


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
    """16-bit RGB or RGBA, or grey with alpha, as uint16 (height, width, 3, 4 or 2).

    Pillow keeps the upper byte of each sample only. Read once more with the byte order swapped, it keeps the lower one.
    """
    upper, lower = (Image.open(io.BytesIO(data), formats=_FORMATS) for _ in range(2))
    native = {"little": "L", "big": "B"}[sys.byteorder]
    swapped = []
    for tile in upper.tile:
        if upper.format == "PNG" and _raw_mode(tile) == "LA;16B":
            return _decode_deep_grey_alpha(data)
        layout = re.fullmatch(r"(RGBA?);16([LBN])", _raw_mode(tile))
        if not layout:
            raise ValueError(f"more than 8 bits per sample in an unusual layout ({_raw_mode(tile)}); {_ADVICE}")
        order = native if layout[2] == "N" else layout[2]
        layout = f"{layout[1]};16" + {"L": "B", "B": "L"}[order]
        swapped.append(tile._replace(args=(layout, *tile.args[1:]) if isinstance(tile.args, tuple) else layout))
    lower.tile = swapped
    upper.load()
    lower.load()
    return np.array(upper).astype(np.uint16) << 8 | np.array(lower)


def _decode_deep_grey_alpha(data: bytes) -> np.ndarray:
    """A PNG of 16-bit grey and alpha as uint16 (height, width, 2): its pixels have 4 bytes, and are read as those of RGBA."""
    header = data[12:24] + bytes([8, 6]) + data[26:29]  # the first chunk, with another depth and colour type
    image = Image.open(io.BytesIO(data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:]), formats=("PNG",))
    samples = np.array(image).astype(np.uint16)
    return samples[:, :, ::2] << 8 | samples[:, :, 1::2]


def _decode_pnm(data: bytes, header: re.Match) -> tuple[np.ndarray, int]:
    """PGM and PPM, plain (P2, P3) or raw (P5, P6), with their own maximum as white."""
    kind = header[1]
    width, height, white = (int(field) for field in header.groups()[1:])
    shape = (height, width) if kind in b"25" else (height, width, 3)
    if not 0 < white < 65536 or not height * width:
        raise ValueError(f"its header says {width} x {height} pixels and a maximum of {white}")
    dtype, n_values = np.dtype(np.uint8 if white < 256 else ">u2"), math.prod(shape)
    if kind in b"23":
        written = data[header.end() :].split()
        values, more = np.array(written[:n_values], dtype=np.int64), written[n_values:]
    else:
        whole = (len(data) - header.end()) // dtype.itemsize
        values = np.frombuffer(data, dtype, count=min(n_values, whole), offset=header.end())
        more = data[header.end() + values.nbytes :].strip()
    if len(values) < n_values:
        raise ValueError(f"image file is truncated: {len(values)} of {n_values} pixel values")
    _refuse_more(more, width, height)
    if values.min() < 0 or values.max() > white:
        raise ValueError(f"pixel values from {values.min()} to {values.max()} with a maximum of {white} in its header")
    return values.astype(dtype.newbyteorder("=")).reshape(shape), white
