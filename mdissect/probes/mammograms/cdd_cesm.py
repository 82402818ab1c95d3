"""The probe of CDD-CESM: contrast-enhanced mammograms, of each a low-energy image (like a mammogram) and a subtracted one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from mdissect.arguments import counted, listed, one_of
from mdissect.probes import Probe, dataset_folder
from mdissect.probes.datasets import FOLDERS, MISSING, held_by, on_disk
from mdissect.probes.image_files import SUFFIXES
from mdissect.probes.mammograms.cdd_cesm_regions import TABLE as REGIONS
from mdissect.probes.mammograms.cdd_cesm_regions import read_regions
from mdissect.probes.mammograms.embed_regions import REGION
from mdissect.probes.mammograms.meanings import (
    NO_FINDING,
    NOTHING,
    any_of,
    as_flags,
    as_integers,
    birads,
    cancer,
    density,
    joined,
    laterality,
    most_abnormal,
    parse_column,
    pathology,
    shared_first,
    view,
    years,
)
from mdissect.probes.mammograms.outlines import Outline, OutlinedFiles
from mdissect.probes.tree import files_below
from mdissect.tables import first_column, read_text_table

TABLES = tuple(f"Radiology{mark}manual{mark}annotations{suffix}" for suffix in (".xlsx", ".csv") for mark in ("-", " ", "_"))
SHEET = "all"
TYPES = {"DM": "low energy", "CESM": "subtracted"}
VIEWS = ("CC", "MLO")
# Separates several values in a cell.
SEPARATOR = "$"
# What the findings of a cell are called, in the words of the other data sets; all others keep their own name.
FINDINGS = {
    "mass": "mass", "masses": "mass", "calcification": "calcification", "calcifications": "calcification",
    "architectural distortion": "architectural distortion", "distortion": "architectural distortion",
    "asymmetry": "asymmetry", "focal asymmetry": "focal asymmetry", "global asymmetry": "global asymmetry",
}  # fmt: skip
# An asymmetry that is not described further may be a focal or a global one.
ANNOTATED = joined(finding for finding in FINDINGS.values() if not finding.endswith(" asymmetry"))

_NAME, _PATIENT, _DENSITY = "Image_name", "Patient_ID", "Breast density (ACR)"
_PATHOLOGY = ("Pathology Classification/ Follow up", "Pathology Classification/Follow up", "Pathology")
_NEEDED = (_NAME, _PATIENT, "Side", "Type", "Age", _DENSITY, "BIRADS", "Findings", "View", "|".join(_PATHOLOGY))
_EMPTY = ("", "_", "-")
_NONE = ("normal", "none", NO_FINDING)
# A patient, and where an image of hers is: rows of an image must agree on them.
_SAME = ("patient", "laterality", "view", "density", "age", "type")


def load_cdd_cesm(
    path: str | Path | None = None,
    images: str = "DM",
    missing: str = "raise",
    n_images: int | None = None,
    seed: int = 0,
) -> Probe:
    """A probe of CDD-CESM; ids are the names in the column Image_name, without blanks.

    >>> load_cdd_cesm("/data/cdd-cesm").table.groupby("pathology").size()  # doctest: +SKIP

    Beside the shared columns (patient, laterality, view, density, birads: the most abnormal of several, findings) the table has
    cancer (True: malignant), pathology ("malignant", "benign", "normal"; by biopsy or follow-up), age, tags, machine, type
    ("low energy", "subtracted") and annotated. The density of a subtracted image is that of the breast's low-energy images.

    Findings are those of the table, in lower case; what it calls otherwise than the other data sets keeps its name. Absence is
    known (``annotated``) where the cell says that there is none, or names nothing but a mass, calcification, architectural
    distortion or asymmetry.

    ``probe.boxes(i)`` and ``probe.masks(i)`` have the hand-drawn regions. They are called as the finding, where the table has
    only one, else "region of interest". Normal images without regions have none; of others nothing is known.

    Parameters
    ----------
    path : path, optional
        The folder with ``Radiology-manual-annotations.xlsx`` (its sheet "all", or that as .csv), the regions
        (``Radiology_hand_drawn_segmentations_v2.csv``, may be missing) and the images, in any folders below it; default:
        ``cdd-cesm`` in the data folder.
    images : {"DM", "CESM", "all"}
        Low-energy images, subtracted images, or both.
    missing : {"raise", "skip"}
        What becomes of images of the table that are not on disk; "skip" lists them in ``probe.skipped``.
    n_images, seed : int
        Draw so many at random.
    """
    one_of("images", images, (*TYPES, "all"))
    one_of("missing", missing, MISSING)
    root = dataset_folder(path, FOLDERS["cdd-cesm"])
    table, notes = read_images(_find_table(root))
    named = {_key(image) for image in table.index}
    if images != "all":
        table = table[table["type"] == TYPES[images]]
    if table.empty:
        raise ValueError(f"{_find_table(root)} has no image of the Type {images}")
    found = _find_images(root, table.index)
    files = pd.Series([found.get(_key(image), "") for image in table.index], index=table.index, dtype=object)
    chosen, skipped = on_disk(files, missing, f"<Image_name>.jpg below {root}", n_images, seed)
    table = table.loc[chosen]
    outlines, said, unknown = _outlines(root, table, named)
    source = OutlinedFiles(root, files[chosen].tolist(), None, outlines, unknown, whole=True)
    odd = sorted({name for cell in table["findings"] for name in cell.split("; ") if name} - set(FINDINGS.values()))
    notes += [f"findings that keep the table's words: {listed(odd)}"] if odd else []
    notes += said
    vague = (table["annotated"] == NOTHING).sum()
    notes += [f"what is not named in the findings of {vague} of {len(table)} images is not known"] if vague else []
    return Probe("cdd-cesm", chosen, [source], table=table, skipped=skipped, notes=notes)


def read_images(path: Path) -> tuple[pd.DataFrame, list[str]]:
    """The probe's table, a row per image of either type indexed by its name; and notes.

    ValueError for a missing column, a cell that is not what it should be, a type that the name contradicts, or rows of an image
    that contradict each other.
    """
    rows = read_text_table(path, _NEEDED, sheet=SHEET)
    if (nameless := rows[_NAME] == "").any():
        raise ValueError(f"{path}, line {nameless.idxmax()}: no {_NAME}")

    def parsed(column: str, parse: Callable[[str], Any]) -> list:
        return parse_column(rows[column], parse, path.name)

    verdict = next(name for name in _PATHOLOGY if name in rows)
    columns = {
        "patient": rows[_PATIENT].tolist(),
        "laterality": parsed("Side", _side),
        "view": parsed("View", _view),
        "density": parsed(_DENSITY, lambda cell: "" if cell in _EMPTY else density(cell)),
        "birads": parsed("BIRADS", lambda cell: most_abnormal(map(birads, _parts(cell)))),
        "findings": [_findings(cell) for cell in rows["Findings"]],
        "cancer": parsed(verdict, lambda cell: any_of(map(cancer, _parts(cell)))),
        "pathology": parsed(verdict, lambda cell: joined(map(pathology, _parts(cell)))),
        "age": parsed("Age", lambda cell: None if cell in _EMPTY else years(cell)),
        "annotated": [_annotated(cell) for cell in rows["Findings"]],
        "tags": [joined(_parts(cell)) for cell in first_column(rows, "Tags")],
        "machine": first_column(rows, "Machine").tolist(),
        "type": parsed("Type", _type),
    }
    names = ["".join(cell.split()) for cell in rows[_NAME]]
    _check_types(names, pd.Series(columns["type"], index=rows.index), path)
    by_key: dict[str, list[tuple]] = {}
    for name, line, *cells in zip(names, rows.index, *columns.values(), strict=True):
        by_key.setdefault(_key(name), []).append((name, line, dict(zip(columns, cells, strict=True))))
    images = {own[0][0]: _merged(own, path) for own in by_key.values()}
    several = f"{len(rows)} rows of {len(images)} images are merged, one each"
    return _table(images), [f"{path.name}: {several}"] if len(images) < len(rows) else []


def _table(images: dict[str, dict]) -> pd.DataFrame:
    """The probe's table; the densities of subtracted images are those of the breast, where it has one alone."""
    densities: dict[tuple[str, str], set[str]] = {}
    for row in images.values():
        densities.setdefault((row["patient"], row["laterality"]), set()).update(filter(None, [row["density"]]))
    table = {column: [row[column] for row in images.values()] for column in next(iter(images.values()))}
    of_breast = [densities[row["patient"], row["laterality"]] for row in images.values()]
    one_alone = ["".join(own) if len(own) == 1 else "" for own in of_breast]
    table["density"] = [cell or other for cell, other in zip(table["density"], one_alone, strict=True)]
    table |= {"birads": as_integers(table["birads"]), "age": as_integers(table["age"]), "cancer": as_flags(table["cancer"])}
    return shared_first(pd.DataFrame(table, index=pd.Index(images, name="image_id")))


def _parts(cell: str) -> list[str]:
    """The values of a cell."""
    return [part for part in map(str.strip, cell.split(SEPARATOR)) if part not in _EMPTY]


def _names(cell: str) -> list[str]:
    """The findings of a cell in lower case, with single blanks."""
    return [" ".join(part.lower().replace("_", " ").split()) for part in _parts(cell)]


def _findings(cell: str) -> str:
    return joined(FINDINGS.get(name, name) for name in _names(cell) if name not in _NONE)


def _annotated(cell: str) -> str:
    """The findings of which absence is known."""
    names = _names(cell)
    return ANNOTATED if names and all(name in FINDINGS or name in _NONE for name in names) else NOTHING


def _side(cell: str) -> str:
    if not cell:
        raise ValueError("a side (L or R)")
    return laterality(cell)


def _view(cell: str) -> str:
    if view(cell) not in VIEWS:
        raise ValueError(f"a view ({', '.join(VIEWS)})")
    return view(cell)


def _type(cell: str) -> str:
    if cell.upper() not in TYPES:
        raise ValueError(f"a type ({', '.join(TYPES)})")
    return TYPES[cell.upper()]


def _check_types(names: Sequence[str], types: pd.Series, path: Path) -> None:
    """Raise ValueError where a name (P1_L_DM_MLO, P1_L_CM_MLO) is that of the other type."""
    marks = {"DM": TYPES["DM"], "CM": TYPES["CESM"], "CESM": TYPES["CESM"]}
    for name, (line, kind) in zip(names, types.items(), strict=True):
        told = next((marks[part] for part in name.upper().split("_") if part in marks), kind)
        if told != kind:
            raise ValueError(f"{path}, line {line}: {name} is {told} by its name, but {kind} by its Type; correct the table")


def _merged(rows: list[tuple[str, int, dict]], path: Path) -> dict:
    """The rows of an image (name, line, cells) as one."""
    name, _, first = rows[0]
    cells = {column: [row[column] for _, _, row in rows] for column in first}
    for column in _SAME:
        values = [cell for cell in dict.fromkeys(cells[column]) if cell not in (None, "")]
        if len(values) > 1:
            lines, found = ", ".join(str(line) for _, line, _ in rows), ", ".join(map(str, values))
            raise ValueError(f"{path}, lines {lines}: {name} has several values of {column}: {found}; correct the table")
    merged = {column: next((cell for cell in own if cell not in (None, "")), own[0]) for column, own in cells.items()}
    merged |= {column: joined("; ".join(cells[column]).split("; ")) for column in ("findings", "pathology", "tags")}
    merged |= {"birads": most_abnormal(cells["birads"]), "cancer": any_of(cells["cancer"])}
    return merged | {"annotated": NOTHING if NOTHING in cells["annotated"] else ANNOTATED}


def _outlines(root: Path, table: pd.DataFrame, named: set[str]) -> tuple[list[list[Outline] | None], list[str], str]:
    """The regions of each image (None: not known), notes, and why some are not known."""
    if not (root / REGIONS).is_file():
        return [None] * len(table), [f"no table {REGIONS}: there are no boxes"], f"without {REGIONS} there are no boxes"
    drawn: dict[str, list] = {}
    for name, regions in read_regions(root / REGIONS).items():
        drawn.setdefault(_key(name), []).extend(regions)
    outlines: list[list[Outline] | None] = []
    for name, findings, verdict in zip(table.index, table["findings"], table["pathology"], strict=True):
        finding = findings if findings and ";" not in findings else REGION
        own = [Outline(finding, points) for points in drawn.get(_key(name), [])]
        outlines.append(own if own or verdict == "normal" else None)
    bare = [name for name, own in zip(table.index, outlines, strict=True) if own is None]
    alone = sorted(name for name, regions in drawn.items() if regions and name not in named)
    notes = [f"{REGIONS}: no region of {counted(bare, 'image')} that the table does not call normal"] if bare else []
    notes += [f"{REGIONS}: regions of {counted(alone, 'image')} that the table does not name"] if alone else []
    return outlines, notes, f"{REGIONS} has no region of it"


def _find_table(root: Path) -> Path:
    """The table in the folder."""
    path = next((root / name for name in TABLES if (root / name).is_file()), None)
    if path is None:
        raise FileNotFoundError(
            f"{root} holds no table {TABLES[0]} (or with blanks, or its sheet as .csv); it holds {held_by(root)}"
        )
    return path


def _find_images(root: Path, names: pd.Index) -> dict[str, str]:
    """The relative path of each image by `_key` of its name."""
    wanted, found = {_key(name) for name in names}, {}
    for file in files_below(root):
        key = _key(file.stem)
        if file.suffix.lower() in SUFFIXES and key in wanted:
            relative = file.relative_to(root).as_posix()
            if key in found:
                raise ValueError(f"{root}: the image {key} may be {found[key]} or {relative}; keep one of them")
            found[key] = relative
    return found


def _key(name: str) -> str:
    """A name as it is compared: file names differ from the table's in blanks and case."""
    return "".join(name.split()).upper()
