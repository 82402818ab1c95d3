"""Image files as the source of a probe's images, with the options of reading DICOM files."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mdissect.arguments import number, shown, true_or_false
from mdissect.probes.image_files import ImageFileError, decode_image, file_fingerprint, read_image, stretch
from mdissect.probes.mammograms.dicom import decode_dicom, decode_dicom_content, starts_as_dicom
from mdissect.probes.mammograms.preparation import Crop, Preparation, Prepared, prepare, transfer_box
from mdissect.probes.probe import ImageSource


@dataclass(frozen=True)
class Reading:
    """What is done with an image beyond reading its pixels as stored; the default: nothing.

    Parameters
    ----------
    voi : bool
        Apply the display window or look-up table that a DICOM file brings along.
    window : (float, float), optional
        Centre and width of a window for DICOM files, in place of their own.
    preparation : Preparation, optional
        Cut out the breast and scale it, as `mdissect.probes.mammograms.preparation.prepare` does.
    """

    voi: bool = False
    window: tuple[float, float] | None = None
    preparation: Preparation | None = None

    def __post_init__(self):
        true_or_false("voi", self.voi)
        if self.window is None:
            return
        if not isinstance(self.window, (tuple, list)) or len(self.window) != 2:
            raise ValueError(f"window={shown(self.window)} must be two numbers, the centre and the width of the window")
        center, width = self.window
        object.__setattr__(self, "window", (number("window[0]", center), number("window[1]", width, least=1)))
        if self.voi or (self.preparation is not None and self.preparation.voi):
            raise ValueError(f"window={shown(self.window)} and voi=True were given; one of them can be applied")

    @property
    def displayed(self) -> bool:
        """Whether DICOM files are shown through a window or a table."""
        return self.voi or self.window is not None or (self.preparation is not None and self.preparation.voi)

    def key(self) -> str:
        """All options as one stable line: equal keys, equal images."""
        prepared = "as it is" if self.preparation is None else self.preparation.key()
        return f"voi {self.voi} window {self.window} {prepared}"


AS_STORED = Reading()


class FileSource(ImageSource):
    """Image files below a folder; those of `dicom` (relative paths) are DICOM files.

    `boxes` are by relative path, in pixels of the files; None: of this image they are not known.
    """

    def __init__(
        self,
        root: Path,
        relative_paths: Sequence[str],
        bits: int | None = None,
        boxes: Mapping[str, list[dict] | None] | None = None,
        reading: Reading = AS_STORED,
        dicom: Collection[str] = (),
    ):
        self._root, self._paths, self._bits, self._boxes = Path(root), list(relative_paths), bits, boxes
        self._reading, self._dicom = reading, frozenset(dicom)
        self._crops: dict[int, Crop] = {}

    def read(self, position: int) -> np.ndarray:
        if self._reading.preparation is not None:
            return self._prepared(position).image
        path = self._root / self._paths[position]
        if self._paths[position] in self._dicom:
            return stretch(*self._decoded(path))
        return read_image(path, self._bits)

    def read_like(self, data: bytes, name: str) -> np.ndarray:
        """The content of another file (PNG, JPEG, ..., DICOM) as an image, read and prepared as these are."""
        if starts_as_dicom(data[:132]):
            pixels, white = decode_dicom_content(
                data, name, self._reading.displayed and not self._reading.window, self._reading.window
            )
        else:
            pixels, white = decode_image(data, name, self._bits), None
        if self._reading.preparation is not None:
            return self._prepare(pixels, name).image
        return pixels if white is None else stretch(pixels, white)

    def fingerprint(self, position: int) -> str:
        relative = self._paths[position]
        how = self._bits
        if relative in self._dicom or self._reading.preparation is not None:
            how = f"{self._bits} {self._reading.key()}"
        return file_fingerprint(self._root, relative, how)

    def boxes(self, position: int) -> list[dict]:
        known = None if self._boxes is None else self._boxes.get(self._paths[position], [])
        if known is None:
            return super().boxes(position)
        found = [dict(box) for box in known]
        if not found or self._reading.preparation is None:
            return found
        if position not in self._crops:
            self._prepared(position)
        size = self._reading.preparation.size
        return [box for box in (transfer_box(box, self._crops[position], size) for box in found) if box]

    def _decoded(self, path: Path) -> tuple[np.ndarray, int]:
        preparation = self._reading.preparation
        return decode_dicom(path, self._reading.voi or (preparation is not None and preparation.voi), self._reading.window)

    def _prepared(self, position: int) -> Prepared:
        path = self._root / self._paths[position]
        pixels = self._decoded(path)[0] if self._paths[position] in self._dicom else read_image(path, self._bits)
        prepared = self._prepare(pixels, path)
        if self._boxes is not None:
            self._crops[position] = prepared.crop
        return prepared

    def _prepare(self, pixels: np.ndarray, name: str | Path) -> Prepared:
        try:
            return prepare(pixels, self._reading.preparation)
        except (ValueError, TypeError) as error:
            raise ImageFileError(f"{name}: {error}") from error
