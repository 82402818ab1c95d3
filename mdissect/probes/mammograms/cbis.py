"""The probe of CBIS-DDSM: digitised films, a mask for each mass and calcification."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from mdissect.arguments import counted, one_of, true_or_false
from mdissect.probes import Probe, dataset_folder
from mdissect.probes.datasets import FOLDERS, MISSING, on_disk
from mdissect.probes.image_files import SUFFIXES, ImageFileError, image_size, read_image
from mdissect.probes.mammograms.cbis_tables import Abnormality, Cases, read_cases, series_uid
from mdissect.probes.mammograms.dicom import decode_dicom, dicom_size, dicom_tags
from mdissect.probes.mammograms.files import is_dicom
from mdissect.probes.mammograms.headers import value_of
from mdissect.probes.mammograms.marked import MarkedFiles, resized_mask
from mdissect.probes.mammograms.preparation import RELEASED, Preparation, some_preparation
from mdissect.probes.tree import files_below

# Of the full range of grey levels, where a compressed mask may be neither black nor white, and in how many of its pixels.
_BETWEEN, _MOST_BETWEEN = (0.25, 0.75), 0.01
# How far the sides of a mask may be from the proportions of its image.
_PROPORTION = 0.01


def load_cbis(
    path: str | Path | None = None,
    split: str = "test",
    missing: str = "raise",
    n_images: int | None = None,
    seed: int = 0,
    masks: bool = True,
    preparation: Preparation | Mapping | None = RELEASED,
) -> Probe:
    """A probe of CBIS-DDSM; ids are the folders of the full images, such as "Mass-Training_P_00001_LEFT_CC".

    >>> load_cbis("/data/cbis-ddsm", split="all").table["pathology"].value_counts()  # doctest: +SKIP

    The tables have a row for each abnormality; here it is one for each image, several values joined by "; ". Beside the shared
    columns (patient, laterality, view, density, birads: the most abnormal assessment, findings) the table has cancer (True:
    one is malignant), pathology, abnormality, abnormalities (how many), subtlety, mass_shape, mass_margin,
    calcification_morphology, calcification_distribution and split.

    ``probe.masks(i)`` and ``probe.boxes(i)`` have the abnormalities in the image as it is given. The tables swap masks and
    crops in places: the mask is the file that has the size of the image, or, where neither or both have, the proportions and
    black and white alone; ``probe.notes`` counts the swaps.

    Parameters
    ----------
    path : path, optional
        The folder with the tables (there, or in ``csv/`` or ``tables/``) and the images; default: ``cbis-ddsm`` in the data
        folder. Images are found by the path in the tables, else by the folder called as the series UID, else by the series UID
        in their headers: downloads from TCIA are renamed.
    split : {"train", "test", "all"}
    missing : {"raise", "skip"}
        What becomes of images of the tables that are not on disk; "skip" lists them in ``probe.skipped``.
    n_images, seed : int
        Draw so many at random.
    masks : bool
        False: without masks and boxes, whose files are then not looked for.
    preparation : Preparation, mapping of its fields, or None
        Of DICOM files; default: the released one. None gives the whole image as the file has it. Image files of another kind
        (converted ones) are taken as they are, and must show the whole image.
    """
    one_of("split", split, ("train", "test", "all"))
    one_of("missing", missing, MISSING)
    true_or_false("masks", masks)
    preparation = some_preparation(preparation)
    root = dataset_folder(path, FOLDERS["cbis-ddsm"])
    cases = read_cases(root, split)
    told = [cases.paths[image] for image in cases.images.index]
    marks = [path for found in cases.abnormalities.values() for one in found for path in (one.mask, one.crop)] if masks else []
    series = Series(root, [*told, *marks])
    files = pd.Series([series.only(path) for path in told], index=cases.images.index)
    place = "their paths, or folders or headers with their series UIDs, below " + str(root)
    chosen, skipped = on_disk(files, missing, place, n_images, seed)
    regions, notes = _regions(root, cases, chosen, files, series) if masks else (None, [])
    source = CbisFiles(root, files[chosen].tolist(), preparation, regions)
    table = cases.images.loc[chosen]
    return Probe("cbis-ddsm", chosen, [source], table=table, skipped=skipped, notes=cases.notes + notes)


class Series:
    """The files of the series that are asked for, by the paths that the tables have: relative to the folder, sorted."""

    def __init__(self, root: Path, paths: Sequence[str]):
        self._root = root
        wanted = {uid for path in paths if (uid := series_uid(path))}
        self._there: dict[str, list[str]] = defaultdict(list)
        unplaced = []
        for file in files_below(root):
            if not is_dicom(file) and file.suffix.lower() not in SUFFIXES:
                continue
            relative = file.relative_to(root).as_posix()
            if file.parent.name in wanted:
                self._there[file.parent.name].append(relative)
            elif is_dicom(file):
                unplaced.append(relative)
        if unplaced and (sought := wanted - set(self._there)):
            for relative, uid in zip(unplaced, _in_threads(self._uid, unplaced), strict=True):
                if uid in sought:
                    self._there[uid].append(relative)

    def files(self, path: str) -> list[str]:
        """The files of the series of a path in the tables."""
        return sorted(self._there.get(series_uid(path), []))

    def only(self, path: str) -> str:
        """The one file of an image's series, "" where there is none; of several, the one with the path or name in the tables.

        ValueError where none of several has.
        """
        found = self.files(path)
        exact = [one for one in found if one.endswith(path)] or [
            one for one in found if PurePosixPath(one).name == PurePosixPath(path).name
        ]
        found = exact if len(found) > 1 and exact else found
        if len(found) > 1:
            raise ValueError(f"{self._root}: {path} may be any of {counted(found, 'file')}; keep one of them")
        return found[0] if found else ""

    def _uid(self, relative: str) -> str:
        """The series UID in a file's header; "" where it has none."""
        try:
            return str(value_of(dicom_tags(self._root / relative, ["SeriesInstanceUID"]), "SeriesInstanceUID") or "")
        except (ImageFileError, ValueError):
            return ""  # it may be any file; reading a needed one says what is wrong


@dataclass(frozen=True)
class Region:
    """The mask of an abnormality: its file, or why there is none."""

    finding: str
    file: str
    problem: str = ""


class CbisFiles(MarkedFiles):
    """Images of CBIS-DDSM with the masks of their abnormalities; `regions` are None where these are not asked for."""

    def __init__(
        self,
        root: Path,
        relative_paths: Sequence[str],
        preparation: Preparation | None,
        regions: Sequence[Sequence[Region]] | None,
    ):
        super().__init__(root, relative_paths, preparation)
        self._regions = regions

    def original_size(self, position: int) -> tuple[int, int]:
        return file_size(self.path(position))

    def original_masks(self, position: int) -> list[dict]:
        if self._regions is None:
            raise LookupError("the masks were left out (masks=False)")
        size = self.original_size(position)
        return [{"finding": one.finding, "mask": self._mask(one, size, self.path(position))} for one in self._regions[position]]

    def _mask(self, region: Region, size: tuple[int, int], image: Path) -> np.ndarray:
        if region.problem:
            raise LookupError(f"{image}: {region.problem}")
        mask = read_mask(self._root / region.file)
        if mask is None:
            raise LookupError(f"{self._root / region.file}: not a mask, which is black and white; it has other grey levels")
        if not mask.any():
            raise LookupError(f"{self._root / region.file}: a mask that is black all over")
        return resized_mask(mask, size)


def file_size(path: Path) -> tuple[int, int]:
    """Height and width of an image, from its header alone."""
    return dicom_size(path) if is_dicom(path) else image_size(path)


def read_mask(path: Path) -> np.ndarray | None:
    """A mask as bool (height, width); None for an image that is not black and white."""
    pixels = decode_dicom(path)[0] if is_dicom(path) else read_image(path)
    if pixels.ndim == 3:
        if (pixels != pixels[:, :, :1]).any():
            return None
        pixels = pixels[:, :, 0]
    low, high = int(pixels.min()), int(pixels.max())
    if low == high:
        return pixels > 0
    levels = (pixels.astype(np.float32) - low) / (high - low)
    between = ((levels > _BETWEEN[0]) & (levels < _BETWEEN[1])).mean()
    return None if between > (0 if is_dicom(path) else _MOST_BETWEEN) else levels > 0.5


def _regions(
    root: Path, cases: Cases, chosen: Sequence[str], files: pd.Series, series: Series
) -> tuple[list[list[Region]], list[str]]:
    """The mask of each abnormality of the chosen images, and notes on those that are swapped, odd or not there."""
    jobs = [(image, one) for image in chosen for one in cases.abnormalities[image]]
    found = _in_threads(lambda job: _chosen_mask(root, files[job[0]], job[1], series), jobs)
    regions: dict[str, list[Region]] = {image: [] for image in chosen}
    swapped, bare = [], []
    for (image, _), (region, was_swapped) in zip(jobs, found, strict=True):
        regions[image].append(region)
        swapped += [image] if was_swapped else []
        bare += [image] if region.problem else []
    notes = []
    if swapped:
        some = counted(list(dict.fromkeys(swapped)), "image")
        notes.append(f"mask and crop are swapped in the tables for abnormalities of {some}: put right")
    if bare:
        some = counted(list(dict.fromkeys(bare)), "image")
        notes.append(f"no mask is known of abnormalities of {some}, whose boxes and masks are an error")
    return list(regions.values()), notes


def _chosen_mask(root: Path, image: str, one: Abnormality, series: Series) -> tuple[Region, bool]:
    """`_choose`; a file that cannot be read is a problem of the region."""
    try:
        return _choose(root, one, file_size(root / image), series)
    except ImageFileError as error:
        return Region(one.finding, "", f"its mask cannot be found: {error}"), False


def _choose(root: Path, one: Abnormality, size: tuple[int, int], series: Series) -> tuple[Region, bool]:
    """The mask of an abnormality among the files of its two series, and whether the tables have it as the crop.

    The only file of the image's size; else, of those with its proportions (or its size), the only black and white one.
    """
    files = sorted({*series.files(one.mask), *series.files(one.crop)})
    if not files:
        return Region(one.finding, "", f"no mask on disk ({one.place}: {one.mask or 'no path'})"), False
    sizes = {file: file_size(root / file) for file in files}
    fitting = [file for file in files if sizes[file] == size]
    if len(fitting) != 1:
        alike = fitting or [file for file in files if _proportional(sizes[file], size)]
        fitting = [file for file in alike if read_mask(root / file) is not None]
    if len(fitting) != 1:
        held = ", ".join(f"{file} ({height} x {width})" for file, (height, width) in sizes.items())
        why = "several files fit" if fitting else "no file fits"
        return Region(one.finding, "", f"{why} as a mask of {size[0]} x {size[1]} pixels ({one.place}): {held}"), False
    return Region(one.finding, fitting[0]), _is_swapped(fitting[0], one, series)


def _is_swapped(file: str, one: Abnormality, series: Series) -> bool:
    """Whether the tables name a file as the crop: by series, or, where both are of one series, by name."""
    own, other = series.files(one.mask), series.files(one.crop)
    if own == other:
        names = [PurePosixPath(path).name for path in (one.mask, one.crop)]
        return PurePosixPath(file).name == names[1] != names[0]
    return file not in own


def _proportional(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return abs(one[0] * other[1] / (one[1] * other[0]) - 1) < _PROPORTION


def _in_threads(function, values: Sequence) -> list:
    with ThreadPoolExecutor() as pool:
        return list(pool.map(function, values))
