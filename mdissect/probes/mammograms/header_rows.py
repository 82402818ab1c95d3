"""The row of a probe's table that a DICOM header gives, and the ids in it that must not be shown."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mdissect.probes.image_files import ImageFileError
from mdissect.probes.mammograms.dicom import check_decoder, dicom_tags
from mdissect.probes.mammograms.headers import read_header, value_of
from mdissect.probes.mammograms.meanings import implant, laterality, view
from mdissect.probes.pseudonyms import ACCESSION, INSTANCE, PATIENT, SERIES, STUDY

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

#: The columns, in their order, with what stands for "not known".
COLUMNS = {
    "patient": np.nan, "study": np.nan, "laterality": "", "view": "", "density": "", "age": np.nan, "manufacturer": "",
    "machine": "", "implant": np.nan,
}  # fmt: skip

_UIDS = {"StudyInstanceUID": STUDY, "SeriesInstanceUID": SERIES, "SOPInstanceUID": INSTANCE}
_TAGS = (
    "SOPClassUID", "PatientID", "PatientName", "AccessionNumber", *_UIDS, "ImageLaterality", "Laterality", "ViewPosition",
    "ViewCodeSequence", "PatientAge", "Manufacturer", "ManufacturerModelName", "BreastImplantPresent",
    "AcquisitionContextSequence", "NumberOfFrames", "PhotometricInterpretation", "SamplesPerPixel", "Rows", "Columns",
    "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelPaddingValue", "PixelPaddingRangeLimit",
)  # fmt: skip
_DIRECTORY = "1.2.840.10008.1.3.10"
# Views by the SNOMED RT codes of older files (DICOM PS3.16, CID 4014); newer codes and words are known to `meanings.view`.
_VIEW_CODES = {"R-10242": "CC", "R-10226": "MLO", "R-10224": "ML", "R-10228": "LM", "R-10230": "LMO"}
_DENSITIES = {"almost entirely fat": "A", "scattered": "B", "heterogeneous": "C", "extremely dense": "D"}
_YEARS = {"Y": 1, "M": 12, "W": 52, "D": 365}
_SHORTEST_NAME = 2
_REMEMBERED = 50_000


class HeaderRow(NamedTuple):
    """What a header says.

    `row` has what is known of `COLUMNS`; `ids` what must not be shown (see `mdissect.probes.pseudonyms`); `odd` the tags whose
    value is not understood, with the value; `problem` why the file holds no image that can be read ("" if it does);
    `is_index`: it is no image but the index of a medium (DICOMDIR).
    """

    row: dict
    ids: dict[str, tuple[str, str]]
    odd: dict[str, str]
    problem: str = ""
    is_index: bool = False


def read_header_rows(paths: Sequence[Path], progress: bool = True) -> list[HeaderRow]:
    """The header of each file, read in parallel; of files that have not changed they are remembered."""
    from tqdm.auto import tqdm

    with warnings.catch_warnings(), ThreadPoolExecutor(min(32, 4 * (os.cpu_count() or 1))) as pool:
        warnings.filterwarnings("ignore", module=r"pydicom\.")  # a line for each odd value; `odd` has those that matter
        found = pool.map(read_header_row, paths)
        return list(tqdm(found, "reading headers", len(paths), unit="file", delay=2, disable=not progress))


def read_header_row(path: Path) -> HeaderRow:
    """The row of one file; a file that cannot be read gives one with its `problem`."""
    try:
        state = os.stat(path)
    except OSError as error:
        return HeaderRow({}, {}, {}, f"{path}: {error.strerror or error}")
    return _remembered(str(path), state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=_REMEMBERED)
def _remembered(path: str, size: int, changed: int) -> HeaderRow:
    try:
        header = dicom_tags(path, _TAGS)
        if str(header.file_meta.get("MediaStorageSOPClassUID", "")) == _DIRECTORY:
            return HeaderRow({}, {}, {}, is_index=True)
        row, odd = _row(header)
        return HeaderRow(row, _ids(header), odd, _problem(path, header))
    except ImageFileError as error:
        return HeaderRow({}, {}, {}, str(error))
    except MemoryError:
        raise
    except Exception as error:  # junk in a header makes pydicom raise almost anything
        return HeaderRow({}, {}, {}, f"{path}: no header that can be read: {' '.join(str(error).split())}")


def _problem(path: str, header: Dataset) -> str:
    """Why the header is not one of an image that can be read here."""
    try:
        kind = value_of(header, "SOPClassUID") or header.file_meta.get("MediaStorageSOPClassUID")
        name = getattr(kind, "name", "")
        if name.endswith("Storage") and "Image Storage" not in name:
            raise ValueError(f"no image but {name.removesuffix(' Storage')}")
        read_header(header)
        if "TransferSyntaxUID" in header.file_meta:
            check_decoder(header)
    except ValueError as error:
        return f"{path}: {' '.join(str(error).split())}"
    return ""


def _row(header: Dataset) -> tuple[dict, dict[str, str]]:
    """What is known of `COLUMNS`, and the tags that are not understood."""
    odd: dict[str, str] = {}

    def parsed(tag: str, parse: Callable[[str], object], *, cell: str | None = None) -> object:
        said = _text(header, tag) if cell is None else cell
        try:
            return parse(said) if said else None
        except ValueError:
            odd[tag] = said
            return None

    side = "ImageLaterality" if _text(header, "ImageLaterality") else "Laterality"
    found = {
        "patient": _text(header, "PatientID"),
        "study": _text(header, "StudyInstanceUID"),
        "laterality": parsed(side, laterality),
        "view": parsed("ViewPosition", view) or _view_of_code(header),
        "density": _density(header),
        "age": parsed("PatientAge", _age),
        "manufacturer": _text(header, "Manufacturer"),
        "machine": _text(header, "ManufacturerModelName"),
        "implant": parsed("BreastImplantPresent", implant),
    }
    # "" of an implant is known: there is none.
    return {name: value for name, value in found.items() if value or (value is not None and name in ("age", "implant"))}, odd


def _text(dataset: Dataset, tag: str) -> str:
    """A tag's value as text, "" where it is absent or cannot be read."""
    try:
        value = value_of(dataset, tag)
    except ValueError:
        return ""
    return "" if value is None else " ".join(str(value).split())


def _view_of_code(header: Dataset) -> str:
    item = _first_item(header, "ViewCodeSequence")
    if item is None:
        return ""
    code = _text(item, "CodeValue")
    known = _VIEW_CODES.get(code) or view(code)
    return known if known != code.upper() else view(_text(item, "CodeMeaning"))


def _density(header: Dataset) -> str:
    """ "A" to "D" where the context of the acquisition gives the breast's composition in words; else ""."""
    for item in _items(header, "AcquisitionContextSequence"):
        name, value = (_first_item(item, tag) for tag in ("ConceptNameCodeSequence", "ConceptCodeSequence"))
        if name is None or not re.search(r"breast (composition|density)", _text(name, "CodeMeaning").lower()):
            continue
        words = _text(value, "CodeMeaning").lower() if value is not None else ""
        return next((letter for start, letter in _DENSITIES.items() if start in words), "")
    return ""


def _items(dataset: Dataset, tag: str) -> list[Dataset]:
    try:
        items = value_of(dataset, tag) or ()
    except ValueError:
        return []
    return [item for item in items if hasattr(item, "walk")] if not isinstance(items, (str, bytes)) else []


def _first_item(dataset: Dataset, tag: str) -> Dataset | None:
    return next(iter(_items(dataset, tag)), None)


def _age(cell: str) -> int:
    """Whole years of "052Y", "018M", "52"."""
    match = re.fullmatch(r"(\d{1,3})([YMWD]?)", cell.upper())
    years = int(match[1]) // _YEARS[match[2] or "Y"] if match else None
    if years is None or years > 120:
        raise ValueError("an age")
    return years


def _ids(header: Dataset) -> dict[str, tuple[str, str]]:
    """The ids in a header, and the parts of the patient's name."""
    patient, name = _text(header, "PatientID"), _text(header, "PatientName")
    found = {}
    for part in re.split(r"[\^= ,]+", name):
        if len(part) >= _SHORTEST_NAME:
            found[part] = (PATIENT, patient or name)
    for tag, kind in (("AccessionNumber", ACCESSION), *_UIDS.items()):
        if value := _text(header, tag):
            found[value] = (kind, value)
    if patient:
        found[patient] = (PATIENT, patient)
    return found
