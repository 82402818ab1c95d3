"""The probe of MIAS, in its version of 1024 x 1024 pixels: digitised films, a circle around each abnormality."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from mdissect.arguments import counted, one_of
from mdissect.lines import read_text
from mdissect.probes import Probe, dataset_folder
from mdissect.probes.datasets import FOLDERS, MISSING, held_by, on_disk
from mdissect.probes.image_files import SUFFIXES
from mdissect.probes.mammograms.marked import MarkedFiles
from mdissect.probes.mammograms.meanings import any_of, as_flags, cancer, joined, pathology, shared_first
from mdissect.probes.tree import files_below

TABLE = "Info.txt"
SIZE = 1024
TISSUES = {"F": "fatty", "G": "fatty-glandular", "D": "dense-glandular"}
NORMAL = "NORM"
# Findings and margins of masses by class of abnormality.
CLASSES = {
    "CALC": ("calcification", ""), "CIRC": ("mass", "circumscribed"), "SPIC": ("mass", "spiculated"),
    "MISC": ("mass", "ill-defined"), "ARCH": ("architectural distortion", ""), "ASYM": ("asymmetry", ""), NORMAL: ("", ""),
}  # fmt: skip
ANNOTATED = joined(finding for finding, _ in CLASSES.values())

_FILM = re.compile(r"mdb(\d{3})", re.IGNORECASE)
# A note in place of the circle, as some copies have it: "*NOTE 3*".
_NOTE = re.compile(r"\*\s*NOTE\s*\d\s*\*", re.IGNORECASE)
_HEADER = "REFNUM"


class Circle(NamedTuple):
    """Around an abnormality: column and row of its centre and radius in pixels, rows counted from the top."""

    x: float
    y: float
    radius: float


class Abnormality(NamedTuple):
    """A row of the table; no circle: a normal film, or calcifications spread over the breast."""

    line: int
    tissue: str
    kind: str
    severity: str
    circle: Circle | None


def load_mias(path: str | Path | None = None, missing: str = "raise", n_images: int | None = None, seed: int = 0) -> Probe:
    """A probe of MIAS; ids are the films, such as "mdb001".

    >>> load_mias("/data/mias").table["findings"].value_counts()  # doctest: +SKIP

    The table has a row for each abnormality; here it is one for each film, several values joined by "; ". Beside the shared
    columns (patient: a pair of films, laterality: even numbers are left, view, density and birads: not known, findings) the
    table has cancer (True: one is malignant), pathology, mass_margin, tissue ("fatty", "fatty-glandular", "dense-glandular":
    not the densities of BI-RADS), and annotated.

    ``probe.boxes(i)`` has the boxes around the circles. Calcifications that are spread over the breast have none: where a film
    shows nothing else, that is a LookupError.

    Parameters
    ----------
    path : path, optional
        The folder with ``Info.txt`` and the films (``mdb001.pgm``), in any folders below it; default: ``mias`` in the data
        folder. Other image files of the same names serve as well; the boxes need 1024 x 1024 pixels.
    missing : {"raise", "skip"}
        What becomes of films of the table that are not on disk; "skip" lists them in ``probe.skipped``.
    n_images, seed : int
        Draw so many at random.
    """
    one_of("missing", missing, MISSING)
    root = dataset_folder(path, FOLDERS["mias"])
    info, films = _find(root)
    rows, notes = read_films(info)
    if unlisted := sorted(set(films) - set(rows)):
        notes.append(f"{counted(unlisted, 'film')} that {info.name} does not name")
    files = pd.Series({film: films.get(film, "") for film in rows}, dtype=object)
    chosen, skipped = on_disk(files, missing, f"<film>.pgm below {root}", n_images, seed)
    spread = [film for film in chosen if any(row.kind != NORMAL and row.circle is None for row in rows[film])]
    notes += [f"abnormalities without a place in {counted(spread, 'film')}: they have no box"] if spread else []
    notes.append("views, densities (A to D) and BI-RADS categories are not in the table")
    source = MiasFiles(root, files[chosen].tolist(), [rows[film] for film in chosen])
    return Probe("mias", chosen, [source], table=_table({film: rows[film] for film in chosen}), skipped=skipped, notes=notes)


def read_films(path: Path) -> tuple[dict[str, list[Abnormality]], list[str]]:
    """The rows of each film, in the order of the table, and notes on lines before and after it.

    ValueError, which names the line: no films, a row that cannot be read, or rows that contradict each other about a film.
    """
    films: dict[str, list[Abnormality]] = {}
    others, first = [], 0
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        cells = _NOTE.sub("", line).split()
        if cells and _FILM.fullmatch(cells[0]):
            first = first or number
            if others and others[-1] > first:
                raise ValueError(f"{path}, line {others[-1]}: not a film such as 'mdb001 G CIRC B 535 425 197', amid the table")
            films.setdefault(cells[0].lower(), []).append(_abnormality(cells, f"{path}, line {number}", number))
        elif cells and re.match(r"md?b\d", cells[0], re.IGNORECASE):
            raise ValueError(f"{path}, line {number}: {cells[0]!r} is no film; expected mdb and three digits")
        elif cells and cells[0] != _HEADER:
            others.append(number)
    if not films:
        raise ValueError(f"{path} names no film; expected lines such as 'mdb001 G CIRC B 535 425 197' or 'mdb003 D NORM'")
    for film, rows in films.items():
        _check_rows(film, rows, path)
    lines = [f"line {number}" for number in others]
    return films, [f"{path.name}: text around the table ({counted(lines, 'line')}) is passed over"] if lines else []


class MiasFiles(MarkedFiles):
    """Films of MIAS with the circles around their abnormalities."""

    def __init__(self, root: Path, relative_paths: Sequence[str], abnormalities: Sequence[Sequence[Abnormality]]):
        super().__init__(root, relative_paths)
        self._abnormalities = abnormalities

    def original_size(self, position: int) -> tuple[int, int]:
        return SIZE, SIZE

    def original_boxes(self, position: int) -> list[dict]:
        rows = [row for row in self._abnormalities[position] if row.kind != NORMAL]
        boxes = [_box(CLASSES[row.kind][0], row.circle) for row in rows if row.circle]
        if rows and not boxes:
            kinds = joined(CLASSES[row.kind][0] for row in rows)
            raise LookupError(f"{self.path(position)}: the table gives no place of its findings ({kinds})")
        return boxes


def _find(root: Path) -> tuple[Path, dict[str, str]]:
    """The table, and the relative path of each film's file."""
    tables, films = [], {}
    for file in files_below(root):
        relative = file.relative_to(root).as_posix()
        if file.name.lower() == TABLE.lower():
            tables.append(relative)
        elif file.suffix.lower() in SUFFIXES and _FILM.fullmatch(file.stem):
            if (film := file.stem.lower()) in films:
                raise ValueError(f"{root}: the film {film} may be {films[film]} or {relative}; keep one of them")
            films[film] = relative
    if len(tables) != 1:
        found = f"several tables {TABLE} ({', '.join(sorted(tables))}); keep one of them" if tables else f"no table {TABLE}"
        raise FileNotFoundError(f"{root} holds {found}" + ("" if tables else f"; it holds {held_by(root)}"))
    return root / tables[0], films


def _abnormality(cells: list[str], place: str, number: int) -> Abnormality:
    """A row of the table from its cells: film, tissue, class, severity, x, y, radius."""

    def known(position: int, what: str, values: Sequence[str]) -> str:
        cell = cells[position].upper() if position < len(cells) else ""
        if cell not in values:
            raise ValueError(f"{place}: {what} is {cell or 'missing'!r}; expected {', '.join(values)}")
        return cell

    tissue, kind = known(1, "the tissue", tuple(TISSUES)), known(2, "the class of the abnormality", tuple(CLASSES))
    if kind == NORMAL:
        if len(cells) > 3:
            raise ValueError(f"{place}: a normal film ({NORMAL}) has more: {' '.join(cells[3:])}")
        return Abnormality(number, tissue, kind, "", None)
    severity = known(3, "the severity", ("B", "M"))
    if len(cells) == 4:
        return Abnormality(number, tissue, kind, severity, None)
    if len(cells) != 7 or not all(re.fullmatch(r"\d+(\.\d+)?", cell) for cell in cells[4:]):
        raise ValueError(f"{place}: the circle is {' '.join(cells[4:])!r}; expected x, y and radius in pixels, or nothing")
    x, y, radius = map(float, cells[4:])
    if x > SIZE or y > SIZE or not 0 < radius <= SIZE:
        raise ValueError(f"{place}: the circle (x, y, radius) {' '.join(cells[4:])} lies in no image of {SIZE} x {SIZE} pixels")
    return Abnormality(number, tissue, kind, severity, Circle(x, SIZE - y, radius))  # y is counted from the bottom


def _check_rows(film: str, rows: list[Abnormality], path: Path) -> None:
    """Raise ValueError where the rows of a film contradict each other."""
    kinds, tissues = {row.kind for row in rows}, {row.tissue for row in rows}
    lines = ", ".join(str(row.line) for row in rows)
    if len(tissues) > 1:
        raise ValueError(f"{path}, lines {lines}: {film} has the tissues {', '.join(sorted(tissues))}; it can have one")
    if NORMAL in kinds and len(rows) > 1:
        raise ValueError(f"{path}, lines {lines}: {film} is {NORMAL}, and has {len(rows)} rows; a normal film has one")


def _box(finding: str, circle: Circle) -> dict:
    x, y, radius = circle
    return {"finding": finding, "xmin": x - radius, "ymin": y - radius, "xmax": x + radius, "ymax": y + radius}


def _table(films: dict[str, list[Abnormality]]) -> pd.DataFrame:
    """The probe's table."""
    numbers = [int(_FILM.fullmatch(film)[1]) for film in films]
    severities = [["N" if row.kind == NORMAL else row.severity for row in rows] for rows in films.values()]
    table = {
        "patient": [f"mdb{number - (number % 2 == 0):03d}-{number + number % 2:03d}" for number in numbers],
        "laterality": ["RL"[number % 2 == 0] for number in numbers],
        "findings": [joined(CLASSES[row.kind][0] for row in rows) for rows in films.values()],
        "annotated": ANNOTATED,
        "cancer": as_flags([any_of(map(cancer, own)) for own in severities]),
        "pathology": [joined(map(pathology, own)) for own in severities],
        "mass_margin": [joined(CLASSES[row.kind][1] for row in rows) for rows in films.values()],
        "tissue": [TISSUES[rows[0].tissue] for rows in films.values()],
    }
    return shared_first(pd.DataFrame(table, index=pd.Index(films, name="image_id")))
