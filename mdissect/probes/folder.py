"""Probes of image files: a folder's images, with a table of metadata joined to them by id."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from mdissect.arguments import counted, one_of, some_path, texts, true_or_false, whole_number
from mdissect.files import regular_file
from mdissect.probes.file_source import FileSource, Reading
from mdissect.probes.image_files import SUFFIXES, ImageFileError, starts_as_image
from mdissect.probes.mammograms.dicom import SUFFIXES as DICOM_SUFFIXES
from mdissect.probes.mammograms.dicom import starts_as_dicom
from mdissect.probes.mammograms.header_rows import HeaderRow, read_header_rows
from mdissect.probes.mammograms.header_table import hidden_ids, join_headers, problems_in_words
from mdissect.probes.mammograms.preparation import Preparation, some_preparation
from mdissect.probes.metadata import Metadata, join_table
from mdissect.probes.prepared import is_prepared, read_prepared
from mdissect.probes.probe import Probe
from mdissect.probes.pseudonyms import own_pseudonyms
from mdissect.probes.tree import files_below


def load_folder(
    path: str | Path,
    table: str | Path | pd.DataFrame | None = None,
    id_column: str | None = None,
    on_error: str = "raise",
    bits: int | None = None,
    patient_column: str | None = None,
    unmatched: str = "raise",
    voi: bool = False,
    window: tuple[float, float] | None = None,
    preparation: Preparation | Mapping | str | None = None,
    keep_ids: bool = False,
    files: Sequence[str] | None = None,
) -> Probe:
    """A probe of all images below a folder; ids are their paths relative to it, with "/", sorted.

    >>> load_folder("images", table="labels.csv", id_column="file")  # doctest: +SKIP

    Hidden files and folders (".name") are passed over, links to folders are followed. Files with other suffixes than
    those of images are not read, and counted in ``probe.notes``; those without a suffix, or with a number for one (as in
    "1.2.840.5"), are images if they begin like a DICOM, PNG or JPEG file. Images are taken as stored: EXIF orientation is not
    applied, and DICOM files are not windowed; their black is 0 whatever their photometric interpretation.

    Headers of DICOM files give the table's columns patient, study, laterality, view, density, age, manufacturer, machine and
    implant, where one of them says something. Patients and exams have pseudonyms (`mdissect.probes.pseudonyms`), which also
    replace the patient's id and name, the accession number and the UIDs in ids and in your table's texts. What else a file
    name says of a patient stays.

    A folder that ``python -m mdissect prepare`` wrote is read with the ids and the table of its original.

    Parameters
    ----------
    path : path
        The folder; DICOM, PNG, JPEG, TIFF, PGM or PPM files at any depth.
    table : path or DataFrame, optional
        Metadata: a CSV file (separated by commas, semicolons, tabs or "|"), an .xlsx workbook, or a table. Of a file, a
        column of plain numbers becomes numbers (see `mdissect.tables.with_numbers`), all others stay text: 007 stays
        "007", None and NA are words, and empty cells are missing.

        Several rows of an image become one: what is the same in all of them stays, a column of yes and no (0 and 1,
        true and false) is yes where one of them is, and what differs is joined by "; ", as the oracle reads it. Columns
        xmin, ymin, xmax, ymax are the boxes of the image, one a row, in pixels (empty: no box): `Probe.boxes` has them,
        and the table no longer. Its columns go before those of the headers; ``probe.notes`` says where the two differ.
    id_column : str, optional
        The table's column that names the image. An entry may be the whole relative path ("a/b.png"), the path without
        its suffix ("a/b"), the file name ("b.png") or that without its suffix ("b"), tried in this order; an entry that
        fits several images is an error.
    on_error : {"raise", "skip"}
        What becomes of a file that cannot be read. "raise": reading it raises an error that names it; DICOM files whose header
        shows it (several frames, no image, a transfer syntax that nothing here decodes) are an error now. "skip": all files
        are decoded once now, in parallel, and the bad ones are left out and listed with the reason in
        ``probe.skipped``; folders that cannot be opened too.
    bits : int, optional
        Bits in use in 16-bit files, when the files do not say so: 12 for 12-bit data. See `read_image`. DICOM files say so.
    patient_column : str, optional
        The table's column that names the patient; it becomes the column "patient". Default: "patient", else a column
        with such a name ("patient_id", "PatientID", "empi_anon", ...), which ``probe.notes`` reports.
    unmatched : {"raise", "note"}
        What becomes of rows and images that find no partner. "raise": it is an error where images are left without a row
        and a row nearly names one of them (9.0 for 9, 7 for 007, "b.dcm" for "b.png", another case or folder), or half of
        the rows or of the images find no partner; otherwise, and always with "note", ``probe.notes`` counts them.
    voi : bool
        Show DICOM files through the display window or look-up table that they bring along.
    window : (float, float), optional
        Show DICOM files through this window instead: its centre and width, after rescale slope and intercept.
    preparation : "released", Preparation or mapping of its fields, optional
        Cut the breast out of every image and scale it, as Mammo-CLIP's released images are (1520 x 912, 8 bit). Default: whole
        images as stored.
    keep_ids : bool
        Call patients, exams and files of DICOM images as their headers and names do, without pseudonyms.
    files : sequence of str, optional
        Only these, by their paths relative to the folder, in this order.

    Raises
    ------
    FileNotFoundError, NotADirectoryError
        No such folder or table.
    ValueError
        No images, a DICOM file that holds none, or a table that cannot be read or joined; the message names file, line and
        what was found.
    """
    root = some_path("path", path)
    one_of("on_error", on_error, ("raise", "skip"))
    true_or_false("keep_ids", keep_ids)
    if bits is not None:
        whole_number("bits", bits, 9, 16)
    reading = Reading(voi, window, some_preparation(preparation))
    if table is None:
        for name, column in (("id_column", id_column), ("patient_column", patient_column)):
            if column is not None:
                raise ValueError(f"{name}={column!r} was given without a table")
    if is_prepared(root):
        if reading != Reading() or bits is not None or on_error != "raise":
            raise ValueError(f"{root} holds prepared images: voi, window, preparation, bits and on_error concern the originals")
        probe = _prepared(root, table, id_column, patient_column, unmatched)
        return probe if files is None else _chosen_prepared(probe, root, _chosen(root, files))
    found = _list_images(root, on_error == "skip", files)
    if reading.displayed and not found.headers:
        raise ValueError(f"voi= and window= concern DICOM files, and {root} holds none")
    found.refuse_or_skip(on_error)
    source = FileSource(root, found.ids, bits, reading=reading, dicom=found.headers)
    if on_error == "skip":
        found.leave_out(_unreadable(source, found.ids, root))
    patients = any("patient" in header.row for header in found.headers.values())
    metadata = Metadata(None)
    if table is not None:
        besides = [image_id for image_id, _ in found.skipped]
        metadata = join_table(table, id_column, found.ids, besides, patient_column, unmatched, patients)
    return found.probe(metadata, keep_ids, bits, reading)


def _prepared(
    root: Path, own: str | Path | pd.DataFrame | None, id_column: str | None, patient_column: str | None, unmatched: str
) -> Probe:
    """The probe of a prepared folder; the columns of the user's `own` table count where both have one."""
    held = read_prepared(root)
    table, boxes, notes = held.table, held.boxes, held.notes
    if own is not None:
        joined = join_table(own, id_column, held.ids, (), patient_column, unmatched, "patient" in table)
        table = pd.concat([joined.table, table.drop(columns=[name for name in table if name in joined.table])], axis=1)
        boxes = boxes if joined.boxes is None else joined.boxes
        notes = notes + joined.notes
    if boxes is not None:
        boxes = {file: boxes[image_id] for image_id, file in zip(held.ids, held.files, strict=True) if image_id in boxes}
    return Probe(
        held.name, held.ids, [FileSource(root, held.files, boxes=boxes)], table=table, skipped=held.skipped, notes=notes
    )


def _chosen_prepared(probe: Probe, root: Path, files: Sequence[Path]) -> Probe:
    """Those images of a prepared folder's probe that are in these files."""
    by_file = {file: image_id for image_id, file in zip(probe.ids, read_prepared(root).files, strict=True)}
    names = [file.relative_to(root).as_posix() for file in files]
    if others := [name for name in names if name not in by_file]:
        raise ValueError(f"files= names {counted(others, 'file')} that {root / 'table.csv'} does not have")
    return probe.subset([by_file[name] for name in names])


@dataclass
class Found:
    """The images below a folder: relative paths, sorted; the headers of those that are DICOM; what was left out; notes."""

    root: Path
    ids: list[str]
    headers: dict[str, HeaderRow]
    skipped: list[tuple[str, str]]
    notes: list[str]

    def leave_out(self, problems: Sequence[tuple[str, str]]) -> None:
        """Move images to the skipped ones, with the reason; ValueError where none is left."""
        bad = {image_id for image_id, _ in problems}
        if len(bad) == len(self.ids):
            raise ValueError(f"none of the {len(self.ids)} images can be read; the first: {problems[0][1]}")
        self.skipped = [*problems, *self.skipped]
        self.ids = [image_id for image_id in self.ids if image_id not in bad]
        self.headers = {image_id: header for image_id, header in self.headers.items() if image_id not in bad}

    def refuse_or_skip(self, on_error: str) -> None:
        """Raise ValueError for DICOM files whose header shows that they cannot be read, or leave them out."""
        problems = [(path, _below(self.root, header.problem)) for path, header in self.headers.items() if header.problem]
        if problems and on_error == "raise":
            raise ValueError(f"{self.root}: {problems_in_words(problems, len(self.headers))}")
        if problems:
            self.leave_out(problems)

    def probe(self, metadata: Metadata, keep_ids: bool, bits: int | None, reading: Reading) -> Probe:
        """The probe of these images, with a table joined to them."""
        source = FileSource(self.root, self.ids, bits, metadata.boxes, reading, self.headers)
        name, ids, table, notes = self.root.resolve().name, self.ids, metadata.table, self.notes + metadata.notes
        if self.headers:
            rows = [self.headers.get(path, _NO_HEADER) for path in self.ids]
            pseudonyms = None if keep_ids else own_pseudonyms()
            table, told = join_headers(table, rows, self.ids, pseudonyms)
            ids, notes = hidden_ids(self.ids, rows, pseudonyms), notes + told
            if pseudonyms is not None:
                for ids_of_one in {tuple(sorted(one.ids.items())) for one in rows}:
                    name = pseudonyms.hidden(name, dict(ids_of_one))
            table = table.set_axis(pd.Index(ids, name="image_id"), axis=0)
        return Probe(name, ids, [source], table=table, skipped=self.skipped, notes=notes)


_NO_HEADER = HeaderRow({}, {}, {})


def _list_images(root: Path, skip: bool, chosen: Sequence[str] | None) -> Found:
    """The images below ``root``, or those chosen of them; with `skip`, folders that cannot be opened are left out."""
    if not root.exists():
        raise FileNotFoundError(f"no folder {root}; path= must name the folder that holds the images")
    if not root.is_dir():
        raise NotADirectoryError(f"{root} is a file; path= must name the folder that holds the images")
    closed: list[OSError] = []
    kinds, others = {}, Counter()
    for file in files_below(root, closed.append if skip else None) if chosen is None else _chosen(root, chosen):
        if kind := _kind(file):
            kinds[file.relative_to(root).as_posix()] = kind
        elif chosen is not None:
            raise ValueError(f"{file} is no image by its suffix; those of images are {', '.join((*SUFFIXES, *DICOM_SUFFIXES))}")
        else:
            others[file.suffix.lower() or "no suffix"] += 1
    dicom = sorted(path for path, kind in kinds.items() if kind == "dicom")
    headers = dict(zip(dicom, read_header_rows([root / path for path in dicom]), strict=True))
    indexes = [path for path, header in headers.items() if header.is_index]
    headers = {path: header for path, header in headers.items() if not header.is_index}
    ids = [path for path in (kinds if chosen else sorted(kinds)) if path not in indexes]
    listed = ", ".join(f"{suffix} ({count})" for suffix, count in others.most_common())
    if not ids:
        held = f"only files of other kinds: {listed}" if others else "no files at all"
        held = f"only an index of DICOM files ({indexes[0]}), not the files" if indexes and not others else held
        raise ValueError(f"the folder {root} holds no image ({', '.join((*SUFFIXES, *DICOM_SUFFIXES))}) but {held}")
    notes = [f"files that are not read for their suffix: {listed}"] if others else []
    notes += [f"{len(indexes)} index of DICOM files (DICOMDIR) that is no image"] if indexes else []
    return Found(root, ids, headers, [_told(root, error) for error in closed], notes)


def _chosen(root: Path, files: Sequence[str]) -> list[Path]:
    """The paths of chosen images; FileNotFoundError for one that is not there, ValueError for one that is chosen twice."""
    names = [Path(file).as_posix() for file in texts("files", files)]
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise ValueError(f"files= has {counted(twice, 'duplicate id')}; name each image once")
    for name in names:
        if not (root / name).is_file():
            raise FileNotFoundError(f"no file {root / name}; files= names images by their paths in {root}")
    return [root / name for name in names]


def _kind(file: Path) -> str | None:
    """ "dicom" or "image"; None for a file that is not read. A suffix is trusted, other files are looked into."""
    suffix = file.suffix.lower()
    if suffix in SUFFIXES:
        return "image"
    bare = suffix in ("", ".") or suffix[1:].isdecimal()
    if not bare and suffix not in DICOM_SUFFIXES:
        return None
    try:
        with open(regular_file(file), "rb") as content:
            start = content.read(132)
    except OSError:
        return "dicom" if suffix in DICOM_SUFFIXES else None
    if starts_as_dicom(start):
        return "dicom"
    return "image" if starts_as_image(start) else "dicom" if suffix in DICOM_SUFFIXES else None


def _told(root: Path, error: OSError) -> tuple[str, str]:
    """A folder that cannot be opened and the reason, for ``Probe.skipped``."""
    place = Path(error.filename).relative_to(root).as_posix()
    return place, f"{place}: {error.strerror}"


def _unreadable(source: FileSource, ids: Sequence[str], root: Path) -> list[tuple[str, str]]:
    """Decode every file: the bad ones, with the reason."""
    from tqdm.auto import tqdm

    def problem(position: int) -> str | None:
        try:
            source.read(position)
        except ImageFileError as error:
            return _below(root, str(error))
        return None

    with ThreadPoolExecutor() as pool:
        found = list(tqdm(pool.map(problem, range(len(ids))), "checking images", len(ids), unit="image", delay=2))
    return [(image_id, reason) for image_id, reason in zip(ids, found, strict=True) if reason]


def _below(root: Path, reason: str) -> str:
    """A reason that begins with a file's path, with the path relative to the folder."""
    return reason.removeprefix(f"{root}{os.sep}")
