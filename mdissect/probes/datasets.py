"""What the readers of the real data sets share: where they look, what they do about missing files, how they sample."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mdissect.arguments import counted, whole_number
from mdissect.paths import data_dir

MISSING = ("raise", "skip")


def dataset_folder(path: str | Path | None, usual: str) -> Path:
    """The folder of a data set: ``path``, or ``usual`` in the data folder.

    Raises
    ------
    FileNotFoundError, NotADirectoryError
        It is not there; data/README.md tells how to get it.
    """
    folder = data_dir() / usual if path is None else Path(path)
    if not folder.exists():
        where = "path= must name the folder" if path is not None else "give path="
        raise FileNotFoundError(f"no folder {folder}; {where} (data/README.md: how to get the data, and the tree it comes in)")
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is a file; path= must name the data set's folder")
    return folder


def handle_missing(lacking: Sequence[str], n_images: int, missing: str, place: str) -> list[tuple[str, str]]:
    """What becomes of images that the tables name and the disk lacks.

    Parameters
    ----------
    lacking : sequence of str
        Their ids.
    n_images : int
        How many images the tables name.
    missing : {"raise", "skip"}
    place : str
        Where they were looked for, for messages.

    Returns
    -------
    list of (str, str)
        The id and the reason, for ``Probe.skipped``.

    Raises
    ------
    FileNotFoundError
        When images are lacking and not to be skipped, or all of them are; the first five are named.
    """
    if not lacking:
        return []
    if len(lacking) == n_images or missing == "raise":
        advice = "" if len(lacking) == n_images else "; fetch them, or pass missing='skip'"
        raise FileNotFoundError(
            f"{len(lacking)} of {n_images} images are not on disk ({counted(lacking, 'image')}); looked for {place}{advice}"
        )
    return [(image_id, f"not on disk: no {place}") for image_id in lacking]


def sampled(ids: Sequence[str], n_images: int | None, seed: int) -> list[int]:
    """Positions of ``n_images`` drawn at random without repetition, in the order of ``ids``; None: all.

    Which ones they are depends on the ids and the seed, not on the order of the ids.

    Raises
    ------
    ValueError
        When there are not as many, or a number is none.
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
