"""The probe of VinDr-Mammo: the published PNG tree, one made by `prepare`, or the original DICOM files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from mdissect.arguments import counted, one_of
from mdissect.probes import Probe, dataset_folder
from mdissect.probes.datasets import FOLDERS, MISSING, handle_missing, sampled
from mdissect.probes.mammograms.dicom import SUFFIXES as DICOM_SUFFIXES
from mdissect.probes.mammograms.files import (
    MammogramFiles,
    files_by_place,
    is_dicom,
    prepare_dicom,
    record_of,
)
from mdissect.probes.mammograms.preparation import RELEASED, Crop, Preparation, some_preparation, transfer_box
from mdissect.probes.mammograms.vindr_tables import FOLDS, Annotations, read_annotations

FOLDER = FOLDERS["vindr"]
TREES = {"png": ("images_png", (".png",)), "dicom": ("images", DICOM_SUFFIXES)}


def load_vindr(
    path: str | Path | None = None,
    images: str = "auto",
    split: str = "test",
    missing: str = "raise",
    n_images: int | None = None,
    seed: int = 0,
    folds: str | Path | None = None,
    preparation: Preparation | Mapping | None = RELEASED,
) -> Probe:
    """A probe of VinDr-Mammo; ids are its image ids.

    >>> load_vindr("/data/vindr-mammo", split="test", n_images=500).table["birads"]  # doctest: +SKIP

    Beside the shared columns (patient, laterality, view, density, birads, findings) the table has study_id, split,
    finding_birads (the highest of an image's findings), and series_id, height, width, fold and Mammo-CLIP's flags where the
    files have them. A study is a patient: there is one exam of each.

    ``probe.boxes(i)`` has the boxes of the findings in pixels of the image as it is given, where this can be known: from the
    crop that a PNG of `mdissect prepare` remembers, from Mammo-CLIP's table for the published PNG files, or from the
    DICOM file beside them, by cutting out the breast once more (slow: the file is decoded). Else it is an error: the published
    files do not say which part of the original they show, and a box that is merely scaled would lie beside its finding.

    Parameters
    ----------
    path : path, optional
        The folder with the tables and images; default: ``vindr-mammo`` in the data folder.
    images : {"auto", "png", "dicom"}
        ``images_png/<study_id>/<image_id>.png`` as they are, or ``images/<study_id>/<image_id>.dicom``, prepared as they are
        read, every time (`python -m mdissect prepare vindr` does it once). "auto" takes the PNG files where that folder is.
    split : {"test", "training", "all"}
    missing : {"raise", "skip"}
        What becomes of images of the tables that are not on disk; "skip" lists them in ``probe.skipped``.
    n_images, seed : int
        Draw so many at random.
    folds : path, optional
        Mammo-CLIP's ``vindr_detection_v1_folds.csv``, when it lies elsewhere.
    preparation : Preparation, mapping of its fields, or None
        Of DICOM files; default: the released one. None gives the whole image as the file has it.
    """
    one_of("images", images, ("auto", *TREES))
    one_of("missing", missing, MISSING)
    preparation = some_preparation(preparation)
    root = dataset_folder(path, FOLDER)
    annotations = read_annotations(root, folds)
    table = of_split(annotations.images, split)
    tree = find_tree(root, images)
    if tree.kind == "png" and preparation != RELEASED:
        raise ValueError(f"preparation= concerns DICOM files, but the images are those of {tree.folder}; pass images='dicom'")
    there = _places(table).isin(tree.files)
    skipped = handle_missing(table.index[~there].tolist(), len(table), missing, tree.pattern)
    table = table[there]
    table = table.iloc[sampled(table.index.tolist(), n_images, seed)]
    notes = annotations.notes + _row_notes(annotations, table.index, split) + _unlisted_notes(annotations.images, tree)
    source = _source(table, annotations, tree, find_tree(root, "dicom", need=False), preparation)
    return Probe("vindr", table.index.tolist(), [source], table=table, skipped=skipped, notes=notes)


@dataclass(frozen=True)
class Tree:
    """The image files of one kind ("png" or "dicom"): a folder per study, relative paths by "study_id/image_id"."""

    kind: str
    folder: Path
    files: dict[str, str]

    @property
    def pattern(self) -> str:
        """Where an image is looked for, for messages."""
        return f"{self.folder}/<study_id>/<image_id>{'.png' if self.kind == 'png' else '.dicom'}"

    def relative_path(self, place: str) -> str:
        """The path of "study_id/image_id" below the folder."""
        return self.files[place]


def find_tree(root: Path, images: str, need: bool = True) -> Tree | None:
    """The image files ("png", "dicom", "auto": the first there is) of a VinDr-Mammo folder; None only if not `need`."""
    kinds = list(TREES) if images == "auto" else [images]
    kind = next((kind for kind in kinds if (root / TREES[kind][0]).is_dir()), None)
    if kind is None:
        if not need:
            return None
        wanted = " or ".join(f"{TREES[kind][0]}/" for kind in kinds)
        held = ", ".join(sorted(entry.name for entry in root.iterdir()))
        raise FileNotFoundError(f"{root} has no folder {wanted} with the images; it holds {held}")
    folder, suffixes = root / TREES[kind][0], TREES[kind][1]
    return Tree(kind, folder, files_by_place(folder, suffixes))


class VindrFiles(MammogramFiles):
    """Images of VinDr-Mammo with the boxes of their findings.

    Per image, `boxes` are in pixels of the original and `resized` in those of the published 1520 x 912 image; `originals` are
    its DICOM file or None; `marked` says whether any boxes are marked.
    """

    def __init__(
        self,
        root: Path,
        relative_paths: Sequence[str],
        preparation: Preparation | None,
        boxes: Sequence[list[dict]],
        resized: Sequence[list[dict]],
        originals: Sequence[Path | None],
        marked: bool,
    ):
        super().__init__(root, relative_paths, preparation)
        self._boxes, self._resized, self._originals, self._marked = boxes, resized, originals, marked
        self._crops: dict[int, Crop] = {}

    def boxes(self, position: int) -> list[dict]:
        original, resized = self._boxes[position], self._resized[position]
        if not self._marked:
            return super().boxes(position)
        if not original and not resized:
            return []
        size = self.size(position)
        if self._preparation is None:
            marked, crop = original, Crop(0, 0, *size)
        elif original and (crop := self._own_crop(position)):
            marked = original
        elif resized and self._cuts_as_released():
            marked, crop = resized, Crop(0, 0, *RELEASED.size)
        else:
            marked, crop = original, self._crop_beside(position)
        if not marked:
            raise LookupError(f"{self.path(position)}: its boxes are known for the published images only ({FOLDS})")
        return [box for box in (transfer_box(box, crop, size) for box in marked) if box]

    def _own_crop(self, position: int) -> Crop | None:
        """The crop that the image itself records; None for the published PNG files."""
        if position not in self._crops:
            path = self.path(position)
            if is_dicom(path):
                self._crops[position] = prepare_dicom(path, self._preparation).crop
            elif record := record_of(path):
                self._crops[position] = record["crop"]
        return self._crops.get(position)

    def _crop_beside(self, position: int) -> Crop:
        """The crop of a published PNG file, computed again from the original if it is there."""
        if position not in self._crops:
            if self._originals[position] is None:
                raise LookupError(
                    f"{self.path(position)} does not say which part of the original it shows, so that its boxes cannot be "
                    f"placed; give folds= (Mammo-CLIP's {FOLDS}), put the DICOM files into images/, or prepare them with "
                    "`python -m mdissect prepare vindr`"
                )
            self._crops[position] = prepare_dicom(self._originals[position], self._preparation).crop
        return self._crops[position]

    def _cuts_as_released(self) -> bool:
        own, released = self._preparation, RELEASED
        return (own.voi, own.border, own.background) == (released.voi, released.border, released.background)


def of_split(images: pd.DataFrame, split: str) -> pd.DataFrame:
    """The rows of a split; "all": all. An unknown one is a ValueError that lists those there are."""
    if split == "all":
        return images
    known = sorted(images["split"].unique())
    one_of("split", split, (*known, "all"))
    return images[images["split"] == split]


def _places(images: pd.DataFrame) -> pd.Series:
    """ "study_id/image_id" of each image."""
    return images["study_id"] + "/" + images.index


def _row_notes(annotations: Annotations, images: pd.Index, split: str) -> list[str]:
    """How many rows the images take in each file, where that is more than one each."""
    notes = []
    for name, rows in annotations.rows.items():
        counts = rows.reindex(images).dropna().astype(int)
        if repeated := int(counts.sum()) - len(counts):
            removed = f"{repeated} duplicate{'s' if repeated != 1 else ''} removed"
            notes.append(f"{name}: {counts.sum()} rows (split: {split}) name {len(counts)} images, {removed}")
    return notes


def _unlisted_notes(images: pd.DataFrame, tree: Tree) -> list[str]:
    """Files that no row names."""
    named = set(_places(images))
    unlisted = sorted(place for place in tree.files if place not in named)
    return [f"{tree.folder}: {counted(unlisted, 'file')} that no table names"] if unlisted else []


def _source(
    table: pd.DataFrame, annotations: Annotations, tree: Tree, originals: Tree | None, preparation: Preparation | None
) -> VindrFiles:
    places = _places(table)
    beside = {}
    if originals is not None:
        beside = {place: originals.folder / originals.relative_path(place) for place in places if place in originals.files}
    return VindrFiles(
        tree.folder,
        [tree.relative_path(place) for place in places],
        preparation if tree.kind == "dicom" else RELEASED,
        boxes=[annotations.boxes.get(image, []) for image in table.index],
        resized=[annotations.resized.get(image, []) for image in table.index],
        originals=[beside.get(place) for place in places],
        marked=annotations.marked,
    )
