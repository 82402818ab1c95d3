"""The probe of RSNA 2022 (the screening mammography competition on Kaggle): DICOM files, or Mammo-CLIP's PNG files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd

from mdissect.arguments import counted, listed, one_of, whole_number
from mdissect.probes import Probe, dataset_folder
from mdissect.probes.datasets import FOLDERS, MISSING, held_by, on_disk
from mdissect.probes.mammograms.dicom import SUFFIXES as DICOM_SUFFIXES
from mdissect.probes.mammograms.files import MammogramFiles, files_by_place
from mdissect.probes.mammograms.meanings import (
    NOTHING,
    as_flags,
    as_integers,
    birads,
    density,
    flag,
    implant,
    laterality,
    parse_column,
    shared_first,
    view,
    years,
)
from mdissect.probes.mammograms.preparation import RELEASED, Preparation, some_preparation
from mdissect.tables import read_text_table

TABLES = {"train": ("train.csv", "train_folds.csv"), "test": ("test.csv",)}
TREES = {"png": ("images_png", (".png",)), "dicom": ("images", DICOM_SUFFIXES)}
VIEWS = ("CC", "MLO", "AT", "LM", "ML", "LMO")

_NEEDED = ("site_id", "patient_id", "image_id", "laterality", "view", "age", "implant", "machine_id")
_NEEDED_TO_TRAIN = ("cancer", "biopsy", "invasive", "BIRADS", "density", "difficult_negative_case")
_FLAGS = ("cancer", "biopsy", "invasive", "difficult_negative_case")
_KNOWN = (*_NEEDED, *_NEEDED_TO_TRAIN, "fold", "prediction_id")


def load_rsna(
    path: str | Path | None = None,
    images: str = "auto",
    split: str = "train",
    fold: int | None = None,
    missing: str = "raise",
    n_images: int | None = None,
    seed: int = 0,
    folds: str | Path | None = None,
    preparation: Preparation | Mapping | None = RELEASED,
) -> Probe:
    """A probe of RSNA 2022; ids are its image ids.

    >>> load_rsna("/data/rsna", fold=0).table["cancer"].sum()  # doctest: +SKIP

    Beside the shared columns (patient, laterality, view, density, birads, findings) the table has cancer, biopsy, invasive and
    difficult_negative_case (True, False), age, implant ("implant" or ""; of the patient, not of the breast), machine, site,
    split, and fold where a table has it. BI-RADS 0: needed follow-up, 1: rated negative, 2: rated normal. Findings are not
    annotated (``annotated`` says "nothing"), and there are no boxes. Of the images in "test" the labels are not published.

    Parameters
    ----------
    path : path, optional
        The folder with ``train.csv`` or Mammo-CLIP's ``train_folds.csv``, and the images; default: ``rsna`` in the data folder.
    images : {"auto", "png", "dicom"}
        ``train_images_png/<patient_id>/<image_id>.png`` as they are, or ``train_images/<patient_id>/<image_id>.dcm``, prepared
        as they are read. "auto" takes the PNG files where that folder is.
    split : {"train", "test"}
    fold : int, optional
        Only the images of this fold (Mammo-CLIP tests on fold 0, and trains on 1 and 2); needs ``train_folds.csv``.
    missing : {"raise", "skip"}
        What becomes of images of the table that are not on disk; "skip" lists them in ``probe.skipped``.
    n_images, seed : int
        Draw so many at random.
    folds : path, optional
        ``train_folds.csv``, when it lies elsewhere.
    preparation : Preparation, mapping of its fields, or None
        Of DICOM files; default: the released one. None gives the whole image as the file has it.
    """
    one_of("images", images, ("auto", *TREES))
    one_of("split", split, tuple(TABLES))
    one_of("missing", missing, MISSING)
    preparation = some_preparation(preparation)
    root = dataset_folder(path, FOLDERS["rsna"])
    table, notes = read_images(root, split, folds)
    table = _of_fold(table, fold)
    kind, folder, files = _find_images(root, split, images)
    if kind == "png" and preparation != RELEASED:
        raise ValueError(f"preparation= concerns DICOM files, but the images are those of {folder}; pass images='dicom'")
    places = table["patient"] + "/" + table.index
    found = pd.Series([files.get(place, "") for place in places], index=table.index)
    pattern = f"{folder}/<patient_id>/<image_id>{TREES[kind][1][0]}"
    chosen, skipped = on_disk(found, missing, pattern, n_images, seed)
    if fold is None and (unlisted := sorted(set(files) - set(places))):
        notes.append(f"{folder}: {counted(unlisted, 'file')} that the table does not name")
    source = MammogramFiles(folder, found[chosen].tolist(), preparation if kind == "dicom" else RELEASED)
    return Probe("rsna", chosen, [source], table=table.loc[chosen], skipped=skipped, notes=notes)


def read_images(root: Path, split: str, folds: str | Path | None = None) -> tuple[pd.DataFrame, list[str]]:
    """The probe's table, a row per image indexed by image_id, and notes.

    FileNotFoundError without a table; ValueError for a missing column, a cell that cannot be read, an image that is named
    twice, or tables that contradict each other.
    """
    paths = [root / name for name in TABLES[split]]
    if folds is not None:
        if split == "test":
            raise ValueError("folds= was given with split='test'; the folds are those of the training images")
        paths[1] = Path(folds)
    there = [path for path in paths if path.is_file() or (folds is not None and path == Path(folds))]
    if not there:
        raise FileNotFoundError(f"{root} holds no table {' or '.join(TABLES[split])}; it holds {held_by(root)}")
    notes: list[str] = []
    (base, images), *others = [(path, _read(path, split, notes)) for path in there]
    for path, other in others:
        _compare(images, base, other, path)
        if alone := images.index.difference(other.index).tolist():
            notes.append(f"{path.name}: no row for {counted(alone, 'image')} of {base.name}")
        if "fold" in other and "fold" not in images:
            images = images.assign(fold=other["fold"].reindex(images.index))
    notes.append("the table says nothing of findings, and there are no boxes")
    return images, notes


def _read(path: Path, split: str, notes: list[str]) -> pd.DataFrame:
    """One table in the shared words; adds a note on columns that are not known."""
    needed = _NEEDED + (_NEEDED_TO_TRAIN if split == "train" else ())
    rows = read_text_table(path, needed)
    if unused := [column for column in rows if column not in _KNOWN]:
        notes.append(f"{path.name}: columns that are not used: {listed(unused)}")
    for column in ("image_id", "patient_id"):
        if (empty := rows[column] == "").any():
            raise ValueError(f"{path}, line {empty.idxmax()}: no {column}")
    if (twice := rows["image_id"].duplicated(keep=False)).any():
        image = rows.loc[twice, "image_id"].iloc[0]
        lines = ", ".join(map(str, rows.index[rows["image_id"] == image][:5]))
        raise ValueError(f"{path}, lines {lines}: the image {image} stands there several times; keep one row")

    def parsed(column: str, parse: Callable) -> list:
        return parse_column(rows[column], parse, path.name) if column in rows else [None] * len(rows)

    table = {
        "patient": rows["patient_id"].tolist(),
        "laterality": parsed("laterality", laterality),
        "view": parsed("view", _view),
        "density": parsed("density", density) if "density" in rows else "",
        "birads": as_integers(parsed("BIRADS", _birads)),
        "annotated": NOTHING,
        **{name: as_flags(parsed(name, flag)) for name in _FLAGS if name in rows},
        "age": as_integers(parsed("age", years)),
        "implant": parsed("implant", implant),
        "machine": rows["machine_id"].tolist(),
        "site": rows["site_id"].tolist(),
        "split": split,
    }
    if "fold" in rows:
        table["fold"] = as_integers(parsed("fold", _fold))
    return shared_first(pd.DataFrame(table, index=pd.Index(rows["image_id"], name="image_id")))


def _view(cell: str) -> str:
    if view(cell) not in VIEWS:
        raise ValueError(f"a view ({', '.join(VIEWS)})")
    return view(cell)


def _birads(cell: str) -> int | None:
    category = birads(cell)
    if category not in (None, 0, 1, 2):
        raise ValueError("a BI-RADS category of this data set (0, 1, 2, or empty)")
    return category


def _fold(cell: str) -> int | None:
    if cell and not cell.removesuffix(".0").isdecimal():
        raise ValueError("a fold (0, 1, 2, 3)")
    return int(cell.removesuffix(".0")) if cell else None


def _compare(images: pd.DataFrame, base: Path, other: pd.DataFrame, path: Path) -> None:
    """Raise ValueError where two tables say different things of an image, or have none in common."""
    common = images.index.intersection(other.index)
    if common.empty:
        raise ValueError(f"{path} names none of the {len(images)} images of {base}; is it the table of another data set?")
    for column in ("patient", "laterality", "view", "density", "birads", "cancer"):
        own, its = images.loc[common, column], other.loc[common, column]
        if (differ := (own != its) & ~(own.isna() & its.isna())).any():
            image = common[differ.to_numpy()][0]
            raise ValueError(
                f"{path.name} and {base.name} contradict each other about image {image}: {column} is {its[image]!r} in the "
                f"first, {own[image]!r} in the second; keep the right table"
            )


def _of_fold(table: pd.DataFrame, fold: int | None) -> pd.DataFrame:
    if fold is None:
        return table
    whole_number("fold", fold, 0)
    if "fold" not in table:
        raise ValueError(f"fold={fold}: no table has the column fold; give Mammo-CLIP's {TABLES['train'][1]} (folds=)")
    known = sorted(table["fold"].dropna().astype(int).unique().tolist())
    one_of("fold", fold, known)
    return table[table["fold"] == fold]


def _find_images(root: Path, split: str, images: str) -> tuple[str, Path, dict[str, str]]:
    """The kind of the images, their folder, and the relative path of each by "patient_id/image_id"."""
    kinds = list(TREES) if images == "auto" else [images]
    folders = {kind: root / f"{split}_{TREES[kind][0]}" for kind in kinds}
    kind = next((kind for kind in kinds if folders[kind].is_dir()), None)
    if kind is None:
        wanted = " or ".join(f"{folder.name}/" for folder in folders.values())
        raise FileNotFoundError(f"{root} has no folder {wanted} with the images; it holds {held_by(root)}")
    return kind, folders[kind], files_by_place(folders[kind], TREES[kind][1])
