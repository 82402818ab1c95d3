"""DICOM files as arrays: one grey image, black at 0, in any transfer syntax that an installed package decodes."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mdissect.probes.image_files import ImageFileError, check_content, stretch

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset

SUFFIXES = (".dcm", ".dicom", ".dic")

# What decodes the transfer syntaxes that need a package of their own, by the end of their UID.
_JPEG_2000 = "pylibjpeg pylibjpeg-openjpeg"
_PACKAGES = {
    **dict.fromkeys(("4.50", "4.51", "4.57", "4.70"), "pylibjpeg pylibjpeg-libjpeg (GPL) or python-gdcm"),
    **dict.fromkeys(("4.80", "4.81"), "pyjpegls"),
    **dict.fromkeys(("4.90", "4.91", "4.92", "4.93", "4.201", "4.202", "4.203"), _JPEG_2000),
}
_UID_ROOT = "1.2.840.10008.1.2."


def read_dicom(path: str | Path, voi: bool = False) -> np.ndarray:
    """A DICOM file as uint8 or uint16 (height, width); white is the type's maximum, also where the file uses 12 of 16 bits.

    `voi` and errors: see `decode_dicom`.
    """
    pixels, white = decode_dicom(path, voi)
    return stretch(pixels, white)


def decode_dicom(path: str | Path, voi: bool = False) -> tuple[np.ndarray, int]:
    """The pixel values of a DICOM file as it stores them, and its white: uint8 or uint16 (height, width), int.

    MONOCHROME1 (zero is white) is inverted, once; signed values are shifted so that the lowest that fits is 0. White is 4095
    for 12-bit data; where values go beyond what the file declares, the largest of as many bits as they need. `voi` applies the
    window or look-up table that the file brings along for display (the first, where it has several); rescale slope and
    intercept are applied only on the way to it.

    ImageFileError: the file is missing, no DICOM file, truncated, without pixels, of several frames or in colour, or in a
    transfer syntax that nothing here decodes (the message names the package to install).
    """
    try:
        dataset = _parse(Path(path).read_bytes())
        return _grey(dataset, voi)
    except MemoryError:
        raise
    except Exception as error:  # broken bytes make parsers and decoders raise almost anything
        reason = " ".join(str(getattr(error, "strerror", None) or error).split())
        raise ImageFileError(f"{path}: {reason}") from error


def dicom_size(path: str | Path) -> tuple[int, int]:
    """Height and width of a DICOM image, from its header alone; ImageFileError where it has none."""
    from pydicom import dcmread

    try:
        header = dcmread(path, stop_before_pixels=True, specific_tags=["Rows", "Columns"])
        return int(header.Rows), int(header.Columns)
    except Exception as error:
        raise ImageFileError(f"{path}: no size in its header: {error}") from error


def _parse(data: bytes) -> FileDataset:
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    check_content(data)
    try:
        dataset = dcmread(io.BytesIO(data))
    except InvalidDicomError:
        raise ValueError(f"not a DICOM file (starts with {data[:8]!r})") from None
    if "TransferSyntaxUID" not in dataset.file_meta or "PixelData" not in dataset:
        raise ValueError("the file ends before its pixels: it is truncated, or holds no image")
    return dataset


def _grey(dataset: FileDataset, voi: bool) -> tuple[np.ndarray, int]:
    """Pixels and white of a parsed file."""
    frames, kind = int(dataset.get("NumberOfFrames") or 1), dataset.get("PhotometricInterpretation", "none")
    if frames != 1:
        raise ValueError(f"{frames} frames (tomosynthesis?); one image is expected")
    if kind not in ("MONOCHROME1", "MONOCHROME2"):
        raise ValueError(f"photometric interpretation {kind}; a grey image (MONOCHROME1 or MONOCHROME2) is expected")
    _check_decoder(dataset)
    stored = dataset.pixel_array
    bits = int(dataset.BitsStored)
    if voi:
        pixels, white = _windowed(dataset, stored, bits), 65535
    else:
        signed = stored.dtype.kind == "i"
        pixels = (stored.astype(np.int32) + 2 ** (bits - 1) if signed else stored).astype(f"uint{stored.itemsize * 8}")
        white = 2 ** max(bits, int(pixels.max()).bit_length()) - 1
    return (white - pixels if kind == "MONOCHROME1" else pixels), white


def _check_decoder(dataset: FileDataset) -> None:
    """Raise ValueError that names the package to install, where no decoder is installed."""
    from pydicom.pixels import get_decoder

    syntax = dataset.file_meta.TransferSyntaxUID
    try:
        available = get_decoder(syntax).is_available
    except NotImplementedError:
        raise ValueError(f"transfer syntax {syntax.name} ({syntax}) is not supported; convert the file") from None
    if not available:
        packages = _PACKAGES.get(syntax.removeprefix(_UID_ROOT), "python-gdcm")
        raise ValueError(f"transfer syntax {syntax.name} ({syntax}) needs a package to decode it: pip install {packages}")


def _windowed(dataset: FileDataset, stored: np.ndarray, bits: int) -> np.ndarray:
    """Stored values as the file wants them shown, before inversion: uint16, the window's ends at 0 and 65535."""
    from pydicom.pixels import apply_modality_lut, apply_voi_lut

    signed = stored.dtype.kind == "i"
    ends = np.array([-(2 ** (bits - 1)), 2 ** (bits - 1) - 1] if signed else [0, 2**bits - 1])
    low, high = np.sort(apply_modality_lut(ends, dataset).astype(float))
    shown = apply_voi_lut(apply_modality_lut(stored, dataset), dataset)
    if "VOILUTSequence" in dataset:
        low, high = 0.0, 2.0 ** int(dataset.VOILUTSequence[0].LUTDescriptor[2]) - 1
    unit = np.clip((shown.astype(np.float64) - low) / (high - low), 0, 1)
    return np.rint(unit * 65535).astype(np.uint16)
