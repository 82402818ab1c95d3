"""Probes of ImageNette and ImageWoof, or of any folder with a subfolder of images per class: as many images of each class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from mdissect.arguments import counted, one_of, whole_number
from mdissect.files import regular_file
from mdissect.probes.datasets import FOLDERS, dataset_folder
from mdissect.probes.file_source import FileSource
from mdissect.probes.image_files import SUFFIXES, ImageFileError
from mdissect.probes.probe import Probe

# What the classes' folders mean (identifiers of WordNet); others are called as their folder is.
CLASSES = {
    "n01440764": "tench", "n02102040": "English springer", "n02979186": "cassette player", "n03000684": "chain saw",
    "n03028079": "church", "n03394916": "French horn", "n03417042": "garbage truck", "n03425413": "gas pump",
    "n03445777": "golf ball", "n03888257": "parachute",
    "n02086240": "Shih-Tzu", "n02087394": "Rhodesian ridgeback", "n02088364": "beagle", "n02089973": "English foxhound",
    "n02093754": "Border terrier", "n02096294": "Australian terrier", "n02099601": "golden retriever",
    "n02105641": "Old English sheepdog", "n02111889": "Samoyed", "n02115641": "dingo",
}  # fmt: skip
SPLITS = ("train", "val")
# Modes of Pillow that `read_image` reads as grey or RGB; a few files of ImageNet are CMYK.
_READABLE = ("L", "RGB", "P", "1")


def load_imagenette(path: str | Path | None = None, n_images: int | None = 3000, split: str = "all", seed: int = 0) -> Probe:
    """A stratified sample of ImageNette: as many images of each class, drawn at random.

    >>> load_imagenette("/data/imagenette2", n_images=3000, split="val")  # doctest: +SKIP

    Ids are the paths below the folder; the table has class ("tench", ...), folder and split.

    Parameters
    ----------
    path : path, optional
        The folder that holds ``train/`` and ``val/`` with a folder per class (or the folders of the classes themselves);
        default: ``imagenette2`` in the data folder.
    n_images : int or None
        3,000 as in the study; where the classes cannot have the same number, some have one more, and a class with fewer
        images gives all. None: all images.
    split : {"all", "train", "val"}
    """
    return _load("imagenette", dataset_folder(path, FOLDERS["imagenette"]), n_images, split, seed)


def load_imagewoof(path: str | Path | None = None, n_images: int | None = 2000, split: str = "all", seed: int = 0) -> Probe:
    """A stratified sample of ImageWoof; as `load_imagenette`, by default 2,000 images of ``imagewoof2`` in the data folder."""
    return _load("imagewoof", dataset_folder(path, FOLDERS["imagewoof"]), n_images, split, seed)


def quotas(available: Sequence[int], n_images: int, order: Sequence[int]) -> list[int]:
    """Images to take of each class: equal numbers if possible; `order`: which classes give one more first.

    >>> quotas([10, 2, 10], n_images=9, order=[2, 0, 1])
    [3, 2, 4]
    """
    taken = [0] * len(available)
    while (still := n_images - sum(taken)) > 0:
        open_classes = [one for one in order if taken[one] < available[one]]
        share = max(1, still // len(open_classes))
        for one in open_classes[:still]:
            taken[one] += min(share, available[one] - taken[one])
    return taken


def _load(name: str, root: Path, n_images: int | None, split: str, seed: int) -> Probe:
    one_of("split", split, ("all", *SPLITS))
    whole_number("seed", seed, 0)
    classes = _classes(root, split)
    if n_images is not None:
        whole_number("n_images", n_images, 1)
    chosen, refused = _draw(root, classes, n_images, np.random.default_rng(seed))
    folders = [Path(path).parent.name for path in chosen]
    table = pd.DataFrame(
        {
            "class": [CLASSES.get(folder, folder) for folder in folders],
            "folder": folders,
            "split": [path.split("/")[0] if path.count("/") > 1 else "" for path in chosen],
        },
        index=pd.Index(chosen, name="image_id"),
    )
    notes = [f"{root}: left out {counted(refused, 'file')}, neither grey nor RGB"] if refused else []
    return Probe(name, chosen, [FileSource(root, chosen)], table=table, notes=notes)


def _classes(root: Path, split: str) -> dict[str, list[str]]:
    """The images of each class's folder: paths below ``root``, sorted."""
    parents = [root / one for one in (SPLITS if split == "all" else [split]) if (root / one).is_dir()]
    if not parents and split == "all":
        parents = [root]
    classes: dict[str, list[str]] = {}
    for folder in sorted(
        (folder for parent in parents for folder in parent.iterdir() if folder.is_dir()), key=lambda f: f.name
    ):
        images = (file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES and not file.name.startswith("."))
        classes.setdefault(folder.name, []).extend(file.relative_to(root).as_posix() for file in images)
    classes = {name: sorted(paths) for name, paths in classes.items() if paths}
    if not classes:
        held = ", ".join(sorted(entry.name for entry in root.iterdir())[:10]) or "nothing"
        raise ValueError(f"{root} has no folders of images, one per class (split: {split}); it holds {held}")
    return classes


def _draw(
    root: Path, classes: dict[str, list[str]], n_images: int | None, rng: np.random.Generator
) -> tuple[list[str], list[str]]:
    """Paths drawn at random, class by class in order; and those left out because they cannot be read.

    Files are opened only when they are drawn; one that is refused gives its place to the next of its class.
    """
    order = rng.permutation(len(classes)).tolist()
    shuffled = [[paths[place] for place in rng.permutation(len(paths))] for paths in classes.values()]
    good: set[str] = set()
    refused: list[str] = []
    while True:
        available = [len(paths) for paths in shuffled]
        if n_images is not None and n_images > sum(available):
            raise ValueError(f"n_images={n_images} exceeds the {sum(available)} images of {root} that can be drawn")
        wanted = available if n_images is None else quotas(available, n_images, order)
        drawn = [paths[:count] for paths, count in zip(shuffled, wanted, strict=True)]
        bad = {path for paths in drawn for path in paths if path not in good and not _is_readable(root / path)}
        if not bad:
            return [path for paths in drawn for path in sorted(paths)], sorted(refused)
        good.update(path for paths in drawn for path in paths if path not in bad)
        refused += bad
        shuffled = [[path for path in paths if path not in bad] for paths in shuffled]


def _is_readable(path: Path) -> bool:
    """Whether a file is grey or RGB, from its header."""
    try:
        with Image.open(regular_file(path)) as image:
            return image.mode in _READABLE
    except Exception as error:  # broken bytes make Pillow raise almost anything
        raise ImageFileError(f"{path}: {getattr(error, 'strerror', None) or error}") from error
