"""Probes of image files: a folder's images, with a table of metadata joined to them by id."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from mdissect.arguments import counted, one_of, some_path, whole_number
from mdissect.probes.image_files import SUFFIXES, ImageFileError, file_fingerprint, read_image
from mdissect.probes.probe import ImageSource, Probe


def load_folder(
    path: str | Path,
    table: str | Path | pd.DataFrame | None = None,
    id_column: str | None = None,
    on_error: str = "raise",
    bits: int | None = None,
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
        Metadata: a CSV file (.tsv: separated by tabs) or a table, one row per image.
    id_column : str, optional
        The table's column that names the image. An entry may be the whole relative path ("a/b.png"), the path without
        its suffix ("a/b"), the file name ("b.png") or that without its suffix ("b"), tried in this order; an entry that
        fits several images is an error. Rows and images that find no partner are counted in ``probe.notes``.
    on_error : {"raise", "skip"}
        What becomes of a file that cannot be read. "raise": reading it raises an error that names it. "skip": all files
        are decoded once now, in parallel, and the bad ones are left out and listed with the reason in
        ``probe.skipped``; folders that cannot be opened too.
    bits : int, optional
        Bits in use in 16-bit files, when the files do not say so: 12 for 12-bit data. See `read_image`.
    """
    root = some_path("path", path)
    one_of("on_error", on_error, ("raise", "skip"))
    if bits is not None:
        whole_number("bits", bits, 9, 16)
    closed: list[OSError] = []
    ids, notes = _list_images(root, closed.append if on_error == "skip" else None)
    source, skipped = FileSource(root, ids, bits), []
    if on_error == "skip":
        ids, skipped = _readable(source, ids)
        skipped += [_told(root, error) for error in closed]
        source = FileSource(root, ids, bits)
    metadata = None
    if table is not None:
        metadata, unmatched = join_table(table, id_column, ids, besides=[image_id for image_id, _ in skipped])
        notes += unmatched
    elif id_column is not None:
        raise ValueError(f"id_column={id_column!r} was given without a table")
    return Probe(root.resolve().name, ids, [source], table=metadata, skipped=skipped, notes=notes)


class FileSource(ImageSource):
    """Image files below a folder."""

    def __init__(self, root: Path, relative_paths: Sequence[str], bits: int | None = None):
        self._root, self._paths, self._bits = Path(root), list(relative_paths), bits

    def read(self, position: int) -> np.ndarray:
        return read_image(self._root / self._paths[position], self._bits)

    def fingerprint(self, position: int) -> str:
        return file_fingerprint(self._root, self._paths[position], self._bits)


def _list_images(root: Path, on_closed: Callable[[OSError], None] | None) -> tuple[list[str], list[str]]:
    """Relative paths of the images below ``root``, sorted, and a note on files that are none."""
    if not root.exists():
        raise FileNotFoundError(f"no folder {root}; path= must name the folder that holds the images")
    if not root.is_dir():
        raise NotADirectoryError(f"{root} is a file; path= must name the folder that holds the images")
    images, others = [], Counter()
    for file in files_below(root, on_closed):
        if file.suffix.lower() in SUFFIXES:
            images.append(file.relative_to(root).as_posix())
        else:
            others[file.suffix.lower() or "no suffix"] += 1
    listed = ", ".join(f"{suffix} ({count})" for suffix, count in others.most_common())
    if not images:
        held = f"only files of other kinds: {listed}" if others else "no files at all"
        raise ValueError(f"the folder {root} holds no image ({', '.join(SUFFIXES)}) but {held}")
    return sorted(images), [f"files that are not read for their suffix: {listed}"] if others else []


def files_below(root: Path, on_closed: Callable[[OSError], None] | None = None) -> Iterator[Path]:
    """All files below ``root`` that are not hidden; each folder once, also where links lead in circles.

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


def join_table(
    table: str | Path | pd.DataFrame, id_column: str | None, ids: Sequence[str], besides: Sequence[str] = ()
) -> tuple[pd.DataFrame, list[str]]:
    """Join a table's rows to images by id: all its columns, one row per image; and how many rows and images found no partner.

    `ids` are relative paths; `besides` are images that were left out of the probe: rows that name them are no mistake.
    """
    table, name = _read_table(table, id_column)
    if id_column not in table:
        asked = "which column names the image? pass id_column=" if id_column is None else f"has no column {id_column!r}"
        raise ValueError(f"{name}: {asked}; its columns are {', '.join(map(str, table.columns))}")
    matches = _match_rows(table[id_column], [*ids, *besides], f"{name}, column {id_column!r}")
    wanted = set(ids)
    rows = {image_id: row for row, image_id in enumerate(matches) if image_id in wanted}
    if not rows:
        raise ValueError(
            f"{name}, column {id_column!r}: none of its {len(table)} rows names an image; it has entries such as "
            f"{str(table[id_column].iloc[0])!r}, the images are such as {ids[0]!r}"
            if len(table)
            else f"{name} has no rows"
        )
    joined = table.iloc[list(rows.values())].set_axis(pd.Index(rows, name="image_id"), axis=0).reindex(list(ids))
    alone = [str(entry) for entry, image_id in zip(table[id_column], matches, strict=True) if image_id is None]
    bare = [image_id for image_id in ids if image_id not in rows]
    notes = [f"{name}: {counted(alone, 'row')} (no such image)"] if alone else []
    notes += [f"{name}: no row for {counted(bare, 'image')}"] if bare else []
    return joined, notes


def _read_table(table: str | Path | pd.DataFrame, id_column: str | None) -> tuple[pd.DataFrame, str]:
    """The table with its ids as text ("007" stays "007"), and what to call it in messages."""
    if isinstance(table, pd.DataFrame):
        return table, "the table"
    path = Path(table)
    if not path.is_file():
        raise FileNotFoundError(f"no table {path}; table= must name a CSV file or be a DataFrame")
    separator = "\t" if path.suffix.lower() == ".tsv" else ","
    try:
        return pd.read_csv(path, sep=separator, dtype={id_column: str}, encoding="utf-8-sig"), path.name
    except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise ValueError(f"{path} is not a UTF-8 table of values separated by {separator!r}: {error}") from error


def _match_rows(entries: pd.Series, ids: Sequence[str], place: str) -> list[str | None]:
    """The image that each entry names, or None; ValueError for one that is empty or fits several images, or several for one."""
    forms = [_by_form(ids, form) for form in _FORMS]
    found: list[str | None] = []
    for number, entry in enumerate(entries, start=1):
        if pd.isna(entry) or not str(entry).strip():
            raise ValueError(f"{place}: row {number} is empty; every row must name its image")
        wanted = _plain(str(entry))
        fitting = next((form[wanted] for form in forms if wanted in form), [None])
        if len(fitting) > 1:
            named = f"row {number}, {str(entry)!r}, fits {counted(fitting, 'image')}"
            raise ValueError(f"{place}: {named}; give their paths")
        found.append(fitting[0])
    repeated = [image_id for image_id, count in Counter(found).items() if image_id is not None and count > 1]
    if repeated:
        raise ValueError(f"{place}: several rows for {counted(repeated, 'image')}; give one row per image")
    return found


# How a table may call an image, the most exact form first.
_FORMS = (
    lambda path: str(path),
    lambda path: str(path.with_suffix("")),
    lambda path: path.name,
    lambda path: path.stem,
)


def _by_form(ids: Sequence[str], form) -> dict[str, list[str]]:
    named: dict[str, list[str]] = {}
    for image_id in ids:
        named.setdefault(_plain(form(PurePosixPath(image_id))), []).append(image_id)
    return named


def _plain(entry: str) -> str:
    """A path as it is compared: "/" between its parts, no "./" before it, composed accents."""
    return unicodedata.normalize("NFC", entry.strip().replace("\\", "/").removeprefix("./"))
