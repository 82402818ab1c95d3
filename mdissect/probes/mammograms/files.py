"""Mammograms on disk: prepared PNG files with their crop stored inside, and DICOM files, prepared on reading."""

from __future__ import annotations

import json
import operator
import os
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin

from mdissect.files import regular_file, whole_file
from mdissect.probes import ImageSource
from mdissect.probes.image_files import ImageFileError, decode_image, file_fingerprint, image_size, read_image, stretch
from mdissect.probes.mammograms.dicom import SUFFIXES as DICOM_SUFFIXES
from mdissect.probes.mammograms.dicom import decode_dicom, decode_dicom_content, dicom_size, read_dicom, starts_as_dicom
from mdissect.probes.mammograms.preparation import Crop, Preparation, Prepared, prepare

# The text entry of a prepared PNG: what it was made from, how, and which part of it it shows.
_RECORD = "mdissect"
# Half the time of Pillow's usual level for a mammogram of the same size.
_COMPRESSION = 4


def is_dicom(path: str | Path) -> bool:
    """Whether a file has a suffix of DICOM."""
    return Path(path).suffix.lower() in DICOM_SUFFIXES


def prepare_dicom(path: str | Path, preparation: Preparation) -> Prepared:
    """Read a DICOM file and prepare it; ImageFileError if it cannot be read, or is blank."""
    return _prepared(decode_dicom(path, preparation.voi)[0], preparation, path)


def _prepared(pixels: np.ndarray, preparation: Preparation, name: str | Path) -> Prepared:
    try:
        return prepare(pixels, preparation)
    except ValueError as error:
        raise ImageFileError(f"{name}: {error}") from error


def prepare_file(original: Path, target: Path, preparation: Preparation) -> tuple[str, str]:
    """Prepare a DICOM file and write it, completely or not at all, as a PNG with its origin stored inside.

    Gives "made"; "kept" when the target was made from the same original in the same way before; or "failed" with the reason.
    FileExistsError where the target was not written by this function: it is left alone.
    """
    record = record_of(target)
    if record is None and target.exists():
        raise FileExistsError(f"{target} was not written by this command and would be replaced; name another output folder")
    try:
        made_from = {"made_from": file_fingerprint(original.parent, original.name, preparation.key())}
        if record is not None and record.get("made_from") == made_from["made_from"]:
            return "kept", ""
        prepared = prepare_dicom(original, preparation)
    except ImageFileError as error:
        return "failed", str(error)
    _write_png(target, prepared, made_from | {"crop": list(prepared.crop)})
    return "made", ""


def _write_png(path: Path, prepared: Prepared, record: dict) -> None:
    texts = PngImagePlugin.PngInfo()
    texts.add_text(_RECORD, json.dumps(record, sort_keys=True))
    with whole_file(path) as file:
        Image.fromarray(prepared.image).save(file, "PNG", pnginfo=texts, compress_level=_COMPRESSION)


def record_of(path: Path) -> dict | None:
    """The record of a PNG file that was written by `prepare_file`; None for others, and for none.

    Its entry "crop" is the part of the original that the image shows.
    """
    try:
        with Image.open(regular_file(path), formats=["PNG"]) as image:
            record = json.loads(image.info[_RECORD])
        return record | {"crop": Crop(*map(operator.index, record["crop"]))}
    except (OSError, KeyError, ValueError, TypeError, SyntaxError, Image.DecompressionBombError):
        return None


def files_by_place(folder: Path, suffixes: Collection[str]) -> dict[str, str]:
    """The files of a folder of folders by "folder/stem": their relative paths; hidden files are passed over."""
    files = {}
    for inner in sorted(os.scandir(folder), key=lambda entry: entry.name):
        for file in os.scandir(inner) if inner.is_dir() else ():
            stem, suffix = os.path.splitext(file.name)
            if suffix.lower() in suffixes and not stem.startswith("."):
                files[f"{inner.name}/{stem}"] = f"{inner.name}/{file.name}"
    return files


class MammogramFiles(ImageSource):
    """PNG and DICOM files of mammograms below a folder; `preparation` is for DICOM files (None: their pixels as they are)."""

    def __init__(self, root: Path, relative_paths: Sequence[str], preparation: Preparation | None = None):
        self._root, self._paths, self._preparation = Path(root), list(relative_paths), preparation

    def path(self, position: int) -> Path:
        """The file of an image."""
        return self._root / self._paths[position]

    def read(self, position: int) -> np.ndarray:
        path = self.path(position)
        if not is_dicom(path):
            image = read_image(path)
        elif self._preparation is None:
            image = read_dicom(path)
        else:
            return prepare_dicom(path, self._preparation).image
        return _with_content(image, path)

    def read_like(self, data: bytes, name: str) -> np.ndarray:
        """The content of another file (PNG, JPEG, ..., DICOM) as an image, read and prepared as these are."""
        if not starts_as_dicom(data[:132]):
            return _with_content(decode_image(data, name), name)
        pixels, white = decode_dicom_content(data, name, self._preparation is not None and self._preparation.voi)
        if self._preparation is None:
            return _with_content(stretch(pixels, white), name)
        return _prepared(pixels, self._preparation, name).image

    def fingerprint(self, position: int) -> str:
        relative = self._paths[position]
        return file_fingerprint(
            self._root, relative, self._preparation.key() if self._preparation and is_dicom(relative) else "as it is"
        )

    def size(self, position: int) -> tuple[int, int]:
        """Height and width of an image as `read` gives it, from its header alone; ImageFileError where that cannot be read."""
        path = self.path(position)
        if is_dicom(path):
            return dicom_size(path) if self._preparation is None else self._preparation.size
        return image_size(path)


def _with_content(image: np.ndarray, name: str | Path) -> np.ndarray:
    if image.min() == image.max():
        raise ImageFileError(f"{name}: all pixels are {image.min()}: an image without content")
    return image
