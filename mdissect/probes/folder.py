"""Probes of image files: a folder's images, with a table of metadata joined to them by id."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from mdissect.arguments import one_of, some_path, texts, whole_number
from mdissect.probes.image_files import SUFFIXES, ImageFileError, file_fingerprint, read_image
from mdissect.probes.metadata import join_table
from mdissect.probes.probe import ImageSource, Probe


def load_folder(
    path: str | Path,
    table: str | Path | pd.DataFrame | None = None,
    id_column: str | None = None,
    on_error: str = "raise",
    bits: int | None = None,
    patient_column: str | None = None,
    unmatched: str = "raise",
    files: Sequence[str] | None = None,
) -> Probe:
    """A probe of all images below a folder; ids are their paths relative to it, with "/", sorted.

    >>> load_folder("images", table="labels.csv", id_column="file")  # doctest: +SKIP

    Hidden files and folders (".name") are passed over, links to folders are followed. Files with other suffixes than
    those of images are not read, and counted in ``probe.notes``. Images are taken as stored: EXIF orientation is not applied.

    Parameters
    ----------
    path : path
        The folder; PNG, JPEG, TIFF, PGM or PPM files at any depth.
    table : path or DataFrame, optional
        Metadata: a CSV file (separated by commas, semicolons, tabs or "|"), an .xlsx workbook, or a table. Of a file, a
        column of plain numbers becomes numbers (see `mdissect.tables.with_numbers`), all others stay text: 007 stays
        "007", None and NA are words, and empty cells are missing.

        Several rows of an image become one: what is the same in all of them stays, a column of yes and no (0 and 1,
        true and false) is yes where one of them is, and what differs is joined by "; ", as the oracle reads it. Columns
        xmin, ymin, xmax, ymax are the boxes of the image, one a row, in pixels (empty: no box): `Probe.boxes` has them,
        and the table no longer.
    id_column : str, optional
        The table's column that names the image. An entry may be the whole relative path ("a/b.png"), the path without
        its suffix ("a/b"), the file name ("b.png") or that without its suffix ("b"), tried in this order; an entry that
        fits several images is an error.
    on_error : {"raise", "skip"}
        What becomes of a file that cannot be read. "raise": reading it raises an error that names it. "skip": all files
        are decoded once now, in parallel, and the bad ones are left out and listed with the reason in
        ``probe.skipped``; folders that cannot be opened too.
    bits : int, optional
        Bits in use in 16-bit files, when the files do not say so: 12 for 12-bit data. See `read_image`.
    patient_column : str, optional
        The table's column that names the patient; it becomes the column "patient". Default: "patient", else a column
        with such a name ("patient_id", "PatientID", "empi_anon", ...), which ``probe.notes`` reports.
    unmatched : {"raise", "note"}
        What becomes of rows and images that find no partner. "raise": it is an error where images are left without a row
        and a row nearly names one of them (9.0 for 9, 7 for 007, "b.dcm" for "b.png", another case or folder), or half of
        the rows or of the images find no partner; otherwise, and always with "note", ``probe.notes`` counts them.
    files : sequence of str, optional
        Only these, by their paths relative to the folder, in this order.

    Raises
    ------
    FileNotFoundError, NotADirectoryError
        No such folder or table.
    ValueError
        No images, or a table that cannot be read or joined; the message names file, line and what was found.
    """
    root = some_path("path", path)
    one_of("on_error", on_error, ("raise", "skip"))
    if bits is not None:
        whole_number("bits", bits, 9, 16)
    closed: list[OSError] = []
    if files is None:
        ids, notes = _list_images(root, closed.append if on_error == "skip" else None)
    else:
        ids, notes = _chosen_images(root, files), []
    source, skipped = FileSource(root, ids, bits), []
    if on_error == "skip":
        ids, skipped = _readable(source, ids)
        skipped += [_told(root, error) for error in closed]
        source = FileSource(root, ids, bits)
    if table is None:
        for name, column in (("id_column", id_column), ("patient_column", patient_column)):
            if column is not None:
                raise ValueError(f"{name}={column!r} was given without a table")
        return Probe(root.resolve().name, ids, [source], skipped=skipped, notes=notes)
    besides = [image_id for image_id, _ in skipped]
    metadata = join_table(table, id_column, ids, besides, patient_column, unmatched)
    source = FileSource(root, ids, bits, metadata.boxes)
    return Probe(root.resolve().name, ids, [source], table=metadata.table, skipped=skipped, notes=notes + metadata.notes)


class FileSource(ImageSource):
    """Image files below a folder."""

    def __init__(
        self,
        root: Path,
        relative_paths: Sequence[str],
        bits: int | None = None,
        boxes: Mapping[str, list[dict]] | None = None,
    ):
        self._root, self._paths, self._bits, self._boxes = Path(root), list(relative_paths), bits, boxes

    def read(self, position: int) -> np.ndarray:
        return read_image(self._root / self._paths[position], self._bits)

    def fingerprint(self, position: int) -> str:
        return file_fingerprint(self._root, self._paths[position], self._bits)

    def boxes(self, position: int) -> list[dict]:
        if self._boxes is None:
            return super().boxes(position)
        return [dict(box) for box in self._boxes.get(self._paths[position], [])]


def _list_images(root: Path, on_closed: Callable[[OSError], None] | None) -> tuple[list[str], list[str]]:
    """Relative paths of the images below ``root``, sorted, and a note on other files."""
    if not root.exists():
        raise FileNotFoundError(f"no folder {root}; path= must name the folder that holds the images")
    if not root.is_dir():
        raise NotADirectoryError(f"{root} is a file; path= must name the folder that holds the images")
    images, others = [], Counter()
    for file in files_below(root, on_closed):
        if _is_image(file):
            images.append(file.relative_to(root).as_posix())
        else:
            others[file.suffix.lower() or "no suffix"] += 1
    listed = ", ".join(f"{suffix} ({count})" for suffix, count in others.most_common())
    if not images:
        held = f"only files of other kinds: {listed}" if others else "no files at all"
        raise ValueError(f"the folder {root} holds no image ({', '.join(SUFFIXES)}) but {held}")
    return sorted(images), [f"files that are not read for their suffix: {listed}"] if others else []


def _is_image(file: Path) -> bool:
    """Whether a file is read as an image."""
    return file.suffix.lower() in SUFFIXES


def _chosen_images(root: Path, files: Sequence[str]) -> list[str]:
    """Relative paths of chosen images; FileNotFoundError or ValueError for one that is none."""
    ids = [Path(file).as_posix() for file in texts("files", files)]
    for image_id in ids:
        if not (root / image_id).is_file():
            raise FileNotFoundError(f"no file {root / image_id}; files= names images by their paths in {root}")
        if not _is_image(root / image_id):
            raise ValueError(f"{root / image_id} is no image by its suffix; those of images are {', '.join(SUFFIXES)}")
    return ids


def files_below(root: Path, on_closed: Callable[[OSError], None] | None = None) -> Iterator[Path]:
    """All files below ``root`` that are not hidden; each folder once, also with circular links.

    A folder that cannot be opened is an OSError, raised or given to `on_closed`.
    """

    def stop(error: OSError) -> None:
        raise error

    seen = set()
    for folder, folders, files in os.walk(root, followlinks=True, onerror=on_closed or stop):
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(folder, name) for name in files if not name.startswith("."))


def _told(root: Path, error: OSError) -> tuple[str, str]:
    """A folder that cannot be opened and the reason, for ``Probe.skipped``."""
    place = Path(error.filename).relative_to(root).as_posix()
    return place, f"{place}: {error.strerror}"


def _readable(source: FileSource, ids: list[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """Decode every file: the ids of the good ones, and the bad ones with the reason."""
    from tqdm.auto import tqdm

    def problem(position: int) -> str | None:
        try:
            source.read(position)
        except ImageFileError as error:
            return str(error).removeprefix(f"{source._root}{os.sep}")
        return None

    with ThreadPoolExecutor() as pool:
        found = list(tqdm(pool.map(problem, range(len(ids))), "checking images", len(ids), unit="image", delay=2))
    skipped = [(image_id, reason) for image_id, reason in zip(ids, found, strict=True) if reason]
    good = [image_id for image_id, reason in zip(ids, found, strict=True) if not reason]
    if not good:
        raise ValueError(f"none of the {len(ids)} images can be read; the first: {skipped[0][1]}")
    return good, skipped
