"""DICOM files as arrays: one grey image, black at 0, in any transfer syntax that an installed package decodes."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mdissect.files import regular_file
from mdissect.probes.damage import check_jpeg, check_jpeg_2000, packed_length
from mdissect.probes.image_files import ImageFileError, file_content, stretch
from mdissect.probes.mammograms.display import displayed
from mdissect.probes.mammograms.headers import Header, image_size, read_header

if TYPE_CHECKING:
    from pydicom.dataset import Dataset, FileDataset

SUFFIXES = (".dcm", ".dicom", ".dic")

# What decodes the transfer syntaxes that need a package of their own, by the end of their UID.
_JPEG_2000 = "pylibjpeg pylibjpeg-openjpeg"
_PACKAGES = {
    **dict.fromkeys(("4.50", "4.51", "4.57", "4.70"), "pylibjpeg pylibjpeg-libjpeg (GPL) or python-gdcm"),
    **dict.fromkeys(("4.80", "4.81"), "pyjpegls"),
    **dict.fromkeys(("4.90", "4.91", "4.92", "4.93", "4.201", "4.202", "4.203"), _JPEG_2000),
}
_RLE = "5"
_UID_ROOT = "1.2.840.10008.1.2."


def starts_as_dicom(start: bytes) -> bool:
    """Whether a file that begins with these bytes, 132 or more, is a DICOM file."""
    return start[128:132] == b"DICM"


def read_dicom(path: str | Path, voi: bool = False) -> np.ndarray:
    """A DICOM file as uint8 or uint16 (height, width); white is the type's maximum, also where the file uses 12 of 16 bits.

    `voi` and errors: see `decode_dicom`.
    """
    pixels, white = decode_dicom(path, voi)
    return stretch(pixels, white)


def decode_dicom(path: str | Path, voi: bool = False, window: tuple[float, float] | None = None) -> tuple[np.ndarray, int]:
    """The pixel values of a DICOM file as it stores them, and its white: uint8 or uint16 (height, width), int.

    MONOCHROME1 (zero is white) is inverted, once; signed values are shifted so that the lowest that fits is 0; what the header
    declares as padding is 0 (black) in either. White is 4095 for 12-bit data; where values go beyond what the file declares,
    the largest of as many bits as they need. 32 bits may be allocated, but not more than 16 in use. `voi` applies the window
    or look-up table that the file brings along for display (the first, where it has several; a table without its data does
    not count), `window` another one (centre and width; DICOM's function LINEAR) in its place; rescale slope and intercept are
    applied only on the way to it.

    ImageFileError: the file is missing, no DICOM file, truncated, without pixels, of several frames or in colour, has a tag
    that makes no sense (it is named), or is in a transfer syntax that nothing here decodes (the message names the package to
    install).
    """
    try:
        data = file_content(path)
    except (OSError, ValueError) as error:
        raise _named(path, error) from error
    return decode_dicom_content(data, path, voi, window)


def decode_dicom_content(
    data: bytes, name: str | Path, voi: bool = False, window: tuple[float, float] | None = None
) -> tuple[np.ndarray, int]:
    """`decode_dicom` of a file's content; errors call it by its name."""
    try:
        dataset = _parse(data)
        return _grey(dataset, voi, window)
    except MemoryError:
        raise
    except Exception as error:  # broken bytes make parsers and decoders raise almost anything
        raise _named(name, error) from error


def dicom_size(path: str | Path) -> tuple[int, int]:
    """Height and width of a DICOM image, from its header alone; ImageFileError where it has none."""
    header = dicom_tags(path, ("Rows", "Columns"))
    try:
        return image_size(header)
    except ValueError as error:
        raise _named(path, error) from error


def dicom_tags(path: str | Path, keywords: Sequence[str]) -> Dataset:
    """Some tags of a DICOM file, from its header alone; ImageFileError where it cannot be read."""
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    try:
        return dcmread(regular_file(path), stop_before_pixels=True, specific_tags=list(keywords))
    except InvalidDicomError:
        raise _named(path, "no header that can be read: no DICM at byte 128, so it is not a DICOM file") from None
    except Exception as error:
        raise _named(path, f"no header that can be read: {getattr(error, 'strerror', None) or error}") from error


def _named(path: str | Path, error: Exception | str) -> ImageFileError:
    """An error that names the file, its reason on one line."""
    reason = str(getattr(error, "strerror", None) or error)
    return ImageFileError(f"{path}: {' '.join(reason.split())}")


def _parse(data: bytes) -> FileDataset:
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    try:
        dataset = dcmread(io.BytesIO(data))
    except InvalidDicomError:
        raise ValueError(f"not a DICOM file (starts with {data[:8]!r})") from None
    if "FloatPixelData" in dataset or "DoubleFloatPixelData" in dataset:
        raise ValueError("floating-point pixels; whole numbers of 8 or 16 bits are expected")
    if "TransferSyntaxUID" not in dataset.file_meta or "PixelData" not in dataset:
        raise ValueError("the file ends before its pixels: it is truncated, or holds no image")
    return dataset


def _grey(dataset: FileDataset, voi: bool, window: tuple[float, float] | None) -> tuple[np.ndarray, int]:
    """Pixels and white of a parsed file."""
    header = read_header(dataset)
    values = _stored(dataset, header)
    padded = None
    if header.padding is not None:
        padded = (values >= header.padding[0]) & (values <= header.padding[1])
        values[padded] = 0
    low, high = int(values.min()), int(values.max())
    if header.signed:
        bits = max(header.bits, high.bit_length() + 1, (-low - 1).bit_length() + 1 if low < 0 else 1)
        ends = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    else:
        bits = max(header.bits, high.bit_length())
        ends = (0, 2**bits - 1)
    if bits > 16:
        raise ValueError(f"pixel values from {low} to {high} do not fit into 16 bits")
    if voi or window:
        white, dtype = 65535, np.uint16
        levels = np.rint(displayed(dataset, np.arange(low, high + 1), ends, window) * white).astype(np.int32)
        pixels = levels[values - low]
    else:
        white, dtype = 2**bits - 1, np.uint8 if header.allocated <= 8 else np.uint16
        pixels = values - ends[0]
    pixels = white - pixels if header.inverted else pixels
    if padded is not None:
        pixels[padded] = 0
    return pixels.astype(dtype), white


def _stored(dataset: FileDataset, header: Header) -> np.ndarray:
    """The stored values (height, width) as int32 or int64."""
    from pydicom.pixels import get_decoder

    check_decoder(dataset)
    _check_pixel_data(dataset, header)
    decoder = get_decoder(dataset.file_meta.TransferSyntaxUID)
    # Bits above those in use are kept, but for a drawing: they show that more are in use than the header says.
    try:
        pixels, _ = decoder.as_array(dataset, allow_excess_frames=False, correct_unused_bits=_has_overlay(dataset))
    except RuntimeError as error:
        packages = _PACKAGES.get(dataset.file_meta.TransferSyntaxUID.removeprefix(_UID_ROOT))
        raise ValueError(f"{error}; unless it is damaged, pip install {packages} helps" if packages else error) from error
    values = pixels.astype(np.int64 if pixels.itemsize > 2 else np.int32)
    half = 2 ** (header.bits - 1)
    if header.signed and values.min() >= 0 and values.max() < 2 * half:
        values = (values ^ half) - half  # two's complement of the bits in use alone
    return values


def _has_overlay(dataset: FileDataset) -> bool:
    """Whether the unused upper bits hold an overlay (a retired way to store it)."""
    positions = (dataset.get((group, 0x0102)) for group in range(0x6000, 0x6020, 2))
    return any(position is not None and position.value for position in positions)


def _check_pixel_data(dataset: FileDataset, header: Header) -> None:
    """Raise ValueError where the pixel data are not those of one whole image of the size in the header."""
    said = f"Rows x Columns = {header.rows} x {header.columns}"
    if not dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        needed, found = -(-header.rows * header.columns * header.allocated // 8), len(dataset.PixelData)
        # Some writers fill up the end; a whole row or column too many means another size.
        spare = max(2, min(header.rows, header.columns) * header.allocated // 8)
        if not needed <= found < needed + spare:
            raise ValueError(f"its PixelData have {found} bytes, but {said} of {header.allocated} bits are {needed}")
        return
    frame = _single_frame(dataset)
    syntax = dataset.file_meta.TransferSyntaxUID.removeprefix(_UID_ROOT)
    if syntax == _RLE:
        needed, spare = header.rows * header.columns, min(header.rows, header.columns)
        if any(not needed <= packed_length(part, needed + spare) < needed + spare for part in _rle_segments(frame)):
            raise ValueError(f"its pixels are not as many as {said}")
    check = check_jpeg_2000 if _PACKAGES.get(syntax) == _JPEG_2000 else check_jpeg if syntax.startswith("4.") else None
    if check and (size := check(frame)) != (header.rows, header.columns):
        raise ValueError(f"its pixels are an image of {size[0]} x {size[1]}, but {said}")


def _rle_segments(frame: bytes) -> list[bytes]:
    """The parts of a run-length encoded image: the upper bytes of all pixels, then the lower ones."""
    count, *starts = (int.from_bytes(frame[place : place + 4], "little") for place in range(0, 64, 4))
    ends = [*starts[1:count], len(frame)]
    return [frame[start:end] for start, end in zip(starts[:count], ends, strict=False)]


def _single_frame(dataset: FileDataset) -> bytes:
    """The compressed image."""
    from pydicom.encaps import get_frame, parse_basic_offsets

    if len(parse_basic_offsets(dataset.PixelData)) > 1:
        raise ValueError("PixelData holds several frames, its header says one; one image is expected")
    return get_frame(dataset.PixelData, 0, number_of_frames=1)


def check_decoder(dataset: FileDataset) -> None:
    """Raise ValueError that names the package to install, if no decoder is installed."""
    from pydicom.pixels import get_decoder

    syntax = dataset.file_meta.TransferSyntaxUID
    try:
        available = get_decoder(syntax).is_available
    except NotImplementedError:
        raise ValueError(f"transfer syntax {syntax.name} ({syntax}) is not supported; convert the file") from None
    if not available:
        packages = _PACKAGES.get(syntax.removeprefix(_UID_ROOT), "python-gdcm")
        raise ValueError(f"transfer syntax {syntax.name} ({syntax}) needs a package to decode it: pip install {packages}")
