"""Common to the loaders of public data sets: their folders, missing files and sampling."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from mdissect.arguments import counted, listed, some_path, whole_number
from mdissect.paths import data_dir

MISSING = ("raise", "skip")
# The usual folder of each data set in the data folder.
FOLDERS = {
    "vindr": "vindr-mammo", "embed": "embed", "rsna": "rsna", "cbis-ddsm": "cbis-ddsm", "cmmd": "cmmd",
    "inbreast": "inbreast", "mias": "mias", "cdd-cesm": "cdd-cesm",
    "imagenette": "imagenette2", "imagewoof": "imagewoof2",
}  # fmt: skip


def dataset_folder(path: str | Path | None, usual: str) -> Path:
    """The folder of a data set: ``path``, or ``usual`` in the data folder; FileNotFoundError or NotADirectoryError."""
    folder = data_dir() / usual if path is None else some_path("path", path)
    if not folder.exists():
        where = "path= (--path) must name the folder" if path is not None else "give path= (of a command: --path)"
        raise FileNotFoundError(f"no folder {folder}; {where} (data/README.md: how to get the data, and the tree it comes in)")
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is a file; path= must name the data set's folder")
    return folder


def handle_missing(absent: Sequence[str], n_images: int, missing: str, place: str) -> list[tuple[str, str]]:
    """The images of the tables that are not on disk, as id and reason for ``Probe.skipped``.

    FileNotFoundError when there are any and `missing` is "raise", or when all `n_images` of the tables are absent.
    """
    if not absent:
        return []
    if len(absent) == n_images or missing == "raise":
        advice = "" if len(absent) == n_images else "; fetch them, or pass missing='skip'"
        raise FileNotFoundError(
            f"{len(absent)} of {n_images} images are not on disk ({counted(absent, 'image')}); looked for {place}{advice}"
        )
    return [(image_id, f"not on disk: no {place}") for image_id in absent]


def held_by(folder: Path) -> str:
    """What a folder holds, for messages: its first entries by name."""
    return listed(sorted(entry.name for entry in folder.iterdir()), 8) or "nothing"


def on_disk(
    files: pd.Series, missing: str, place: str, n_images: int | None = None, seed: int = 0
) -> tuple[list[str], list[tuple[str, str]]]:
    """The ids of images whose file is known, or ``n_images`` drawn of them; and the others for ``Probe.skipped``.

    `files` has the relative path of each image's file, "" where there is none. Errors: `handle_missing` and `sampled`.
    """
    skipped = handle_missing(files.index[files == ""].tolist(), len(files), missing, place)
    there = files.index[files != ""].tolist()
    return [there[position] for position in sampled(there, n_images, seed)], skipped


def sampled(ids: Sequence[str], n_images: int | None, seed: int) -> list[int]:
    """Positions of ``n_images`` drawn at random without repetition, in the order of ``ids``; None: all.

    Which ones they are depends on the ids and the seed, not on the order of the ids.
    """
    if n_images is None:
        return list(range(len(ids)))
    whole_number("n_images", n_images, 1)
    whole_number("seed", seed, 0)
    if n_images > len(ids):
        raise ValueError(f"n_images={n_images} exceeds the {len(ids)} images that there are")
    by_id = sorted(range(len(ids)), key=ids.__getitem__)
    drawn = np.random.default_rng(seed).choice(len(ids), n_images, replace=False)
    return sorted(by_id[place] for place in drawn)
