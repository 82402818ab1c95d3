"""Display of a DICOM file's grey values: its modality transformation, then its look-up table or window (PS3.3, C.11)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mdissect.probes.mammograms.headers import number, value_of

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


class LookUpTable(NamedTuple):
    """Entries (n,) for the values from `first` on; what lies below or above gets the first or the last one."""

    first: int
    entries: np.ndarray
    white: int

    def __call__(self, values: np.ndarray) -> np.ndarray:
        return self.entries[np.clip(np.rint(values) - self.first, 0, len(self.entries) - 1).astype(int)]


def displayed(
    dataset: Dataset, values: np.ndarray, ends: tuple[int, int], window: tuple[float, float] | None = None
) -> np.ndarray:
    """Stored values (n,) as float64 from 0 to 1, before any inversion.

    A look-up table goes before a window; of several tables or windows the first counts. Without any, the range that is
    declared, `ends`, is shown. `window`, a centre and a width, stands in place of all of these.
    """
    x, (low, high) = _modality(dataset, values, ends)
    if window:
        return _windowed(x, *window, "LINEAR")
    tables, incomplete = _tables(dataset, "VOILUTSequence", signed=low < 0)
    if tables:
        return tables[0](x) / tables[0].white
    if window := _window(dataset):
        return _windowed(x, *window)
    if incomplete:
        raise ValueError("VOILUTSequence in its header lacks LUTDescriptor or LUTData, and no window stands beside it")
    return np.clip((x - low) / (high - low), 0, 1)


def _modality(dataset: Dataset, values: np.ndarray, ends: tuple[int, int]) -> tuple[np.ndarray, tuple[float, float]]:
    """Values, and the ends of their range, after the modality's table, or its slope and intercept."""
    tables, incomplete = _tables(dataset, "ModalityLUTSequence", signed=ends[0] < 0)
    if tables:
        return tables[0](values).astype(float), (0.0, float(tables[0].white))
    slope, intercept = number(dataset, "RescaleSlope"), number(dataset, "RescaleIntercept")
    if incomplete and slope is None:
        raise ValueError("ModalityLUTSequence in its header lacks LUTDescriptor or LUTData")
    if slope == 0:
        raise ValueError("its header says RescaleSlope=0, which makes all pixels the same")
    slope, intercept = 1.0 if slope is None else slope, intercept or 0.0
    low, high = sorted(end * slope + intercept for end in ends)
    return values * slope + intercept, (low, high)


def _window(dataset: Dataset) -> tuple[float, float, str] | None:
    """Centre, width and function of the first window; None where there is none."""
    center, width = number(dataset, "WindowCenter", first=True), number(dataset, "WindowWidth", first=True)
    if center is None and width is None:
        return None
    if center is None or width is None:
        there, gone = ("WindowCenter", "WindowWidth") if width is None else ("WindowWidth", "WindowCenter")
        raise ValueError(f"its header has a {there} without a {gone}")
    function = str(value_of(dataset, "VOILUTFunction") or "LINEAR").strip().upper()
    if function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        raise ValueError(f"its header says VOILUTFunction={function}; LINEAR, LINEAR_EXACT or SIGMOID is expected")
    if width <= 0 or (function == "LINEAR" and width < 1):
        allowed = "1 or more" if function == "LINEAR" else "a number above 0"
        raise ValueError(f"its header says WindowWidth={width:g}; {allowed} is expected")
    return center, width, function


def _windowed(x: np.ndarray, center: float, width: float, function: str) -> np.ndarray:
    """PS3.3, C.11.2.1.2 (LINEAR), C.11.2.1.3.1 (SIGMOID) and C.11.2.1.3.2 (LINEAR_EXACT)."""
    if function == "SIGMOID":
        return 1 / (1 + np.exp(np.clip(-4 * (x - center) / width, -700, 700)))
    if function == "LINEAR_EXACT":
        return np.clip((x - center) / width + 0.5, 0, 1)
    if width == 1:
        return (x > center - 0.5).astype(float)
    return np.clip((x - (center - 0.5)) / (width - 1) + 0.5, 0, 1)


def _tables(dataset: Dataset, keyword: str, signed: bool) -> tuple[list[LookUpTable], bool]:
    """The complete look-up tables of a sequence, and whether there are others."""
    items = value_of(dataset, keyword) or ()
    if not all(hasattr(item, "walk") for item in items):
        raise ValueError(f"{keyword} in its header is not a sequence of data sets")
    needed = ("LUTDescriptor", "LUTData")
    complete = [item for item in items if all(value_of(item, one) is not None for one in needed)]
    little_endian = dataset.file_meta.TransferSyntaxUID.is_little_endian
    return [_table(item, keyword, signed, little_endian) for item in complete[:1]], len(complete) < len(items)


def _table(item: Dataset, keyword: str, signed: bool, little_endian: bool) -> LookUpTable:
    """The look-up table of an item. Its descriptor: how many entries (0: 65,536), the first value mapped, bits per entry."""
    descriptor, data = value_of(item, "LUTDescriptor"), value_of(item, "LUTData")
    try:
        n_entries, first, bits = map(int, descriptor)
    except (TypeError, ValueError):
        n_entries = first = bits = 0
    if not 1 <= bits <= 16:
        raise ValueError(f"{keyword}: LUTDescriptor {descriptor} must be (number of entries, first value, 1 to 16 bits)")
    n_entries = n_entries % 65536 or 65536  # a large number is negative where the tag's type is signed
    first -= 65536 if signed and first >= 32768 else 0
    entries = _entries(data, n_entries, bits, little_endian)
    if len(entries) != n_entries:
        raise ValueError(f"{keyword}: LUTData has {len(entries)} entries, its LUTDescriptor says {n_entries}")
    white = 2 ** max(bits, int(entries.max()).bit_length()) - 1
    return LookUpTable(first, entries, white)


def _entries(data: bytes | list[int] | int, n_entries: int, bits: int, little_endian: bool) -> np.ndarray:
    """Entries as int64: words of 16 bits, or bytes (two to a word, with one to spare where their number is odd)."""
    word = "<u2" if little_endian else ">u2"
    if isinstance(data, bytes):
        words = np.frombuffer(data[: len(data) // 2 * 2], word)
    else:
        words = (np.atleast_1d(np.asarray(data, dtype=np.int64)) % 65536).astype(word)
    if bits <= 8 and len(words) == (n_entries + 1) // 2 < n_entries:
        return words.astype("<u2").view(np.uint8)[:n_entries].astype(np.int64)
    return words.astype(np.int64)
