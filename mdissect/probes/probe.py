"""Probe: the images that are shown to a model, in a fixed order, with ids and a metadata table.

A probe draws its images from one or more sources (files of a folder, arrays in memory, generated phantoms). Parts of a
probe and joins of several are probes too, and read from the same sources.
"""

from __future__ import annotations

import hashlib
import json
import operator
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from mdissect import text_storage  # noqa: F401  # for what it sets
from mdissect.arguments import counted, shown, whole_number
from mdissect.signatures import ANYTHING, validated


class ImageSource:
    """A source of images. Positions count from 0 within the source.

    Sources can be pickled, for the worker processes of a data loader.
    """

    def read(self, position: int) -> np.ndarray:
        """The image (height, width[, 3]); uint8, uint16 or float. A new array each time."""
        raise NotImplementedError

    def fingerprint(self, position: int) -> str:
        """A text that changes when the image does, found without reading or drawing it where possible."""
        raise NotImplementedError

    def row(self, position: int) -> dict:
        """The source's own metadata of an image, for the probe's table."""
        return {}

    def boxes(self, position: int) -> list[dict]:
        """Boxes of the findings: dicts finding, xmin, ymin, xmax, ymax in pixels, half open."""
        raise LookupError("these images come without boxes")

    def masks(self, position: int) -> list[dict]:
        """Masks of the findings: dicts finding, mask (bool (height, width), as the image)."""
        raise LookupError("these images come without masks")

    def warm(self, positions: Sequence[int], workers: int | None, progress: bool) -> None:
        """Prepare these images in parallel, if reading them one by one is slow."""


class Probe:
    """Images in order, each with an id and a row of metadata.

    Made by `load_probe` or `Probe.from_arrays`. ``probe[i]`` reads image i; ``a + b`` joins two probes.

    Parameters
    ----------
    ids : sequence of str
        Unique, one per image.
    where : int array (n_images, 2), optional
        The source of each image and its position there; default: all of one source, in its order.
    table : DataFrame, optional
        Metadata, one row per image, in the order of ``ids`` and indexed by them; default: what the sources know, asked
        for when it is first looked at.
    skipped : sequence of (str, str)
        Images that were left out: id and reason.
    notes : sequence of str
        What else is worth knowing about how the probe came together.

    Raises
    ------
    ValueError
        No images, or duplicate ids (they are named).
    """

    def __init__(
        self,
        name: str,
        ids: Sequence[str],
        sources: Sequence[ImageSource],
        where: np.ndarray | None = None,
        table: pd.DataFrame | None = None,
        skipped: Sequence[tuple[str, str]] = (),
        notes: Sequence[str] = (),
    ):
        self.name = name
        self.ids = _as_ids(ids)
        self.skipped = list(skipped)
        self.notes = list(notes)
        self._sources = tuple(sources)
        self._where = np.stack([np.zeros(len(self.ids), int), np.arange(len(self.ids))], axis=1) if where is None else where
        self._table = table
        if not self.ids:
            raise ValueError(f"probe {name!r} has no images")
        if duplicates := [image_id for image_id, count in Counter(self.ids).items() if count > 1]:
            raise ValueError(f"probe {name!r} has {counted(duplicates, 'duplicate id')}; every image needs its own")

    @classmethod
    @validated(images=ANYTHING, ids=ANYTHING)
    def from_arrays(
        cls,
        images: Iterable[np.ndarray],
        ids: Sequence[str] | None = None,
        table: pd.DataFrame | dict | None = None,
        name: str = "arrays",
    ) -> Probe:
        """A probe of images in memory.

        >>> probe = Probe.from_arrays(np.zeros((2, 8, 8), np.uint8), table={"class": ["cat", "dog"]})
        >>> probe.ids, probe.table.loc["arrays-000001", "class"]
        (['arrays-000000', 'arrays-000001'], 'dog')

        Parameters
        ----------
        images : list of arrays (height, width[, 3]), or one array (n_images, height, width[, 3])
        ids : sequence of str, optional
            Default: "<name>-000000" and so on.
        table : DataFrame or dict of columns, optional
            One row per image: in the images' order when its index is 0, 1, 2, ... or it is a dict, else indexed by id
            in any order.
        """
        source = ArraySource(images)
        ids = [f"{name}-{i:06d}" for i in range(len(source))] if ids is None else _as_ids(ids)
        if len(ids) != len(source):
            raise ValueError(f"{len(ids)} ids were given for {len(source)} images")
        return cls(name, ids, [source], table=None if table is None else _aligned(table, ids))

    @property
    def table(self) -> pd.DataFrame:
        """Metadata, one row per image, indexed by id in the order of `ids`."""
        if self._table is None:
            rows = [self._sources[source].row(position) for source, position in self._where.tolist()]
            self._table = pd.DataFrame(rows, index=pd.Index(self.ids, name="image_id"))
        return self._table

    @property
    def patients(self) -> list[str]:
        """The patient of each image: the table's column "patient", and the image's own id where that is missing."""
        if "patient" not in self.table:
            return list(self.ids)
        patients = self.table["patient"]
        return [i if pd.isna(patient) else str(patient) for i, patient in zip(self.ids, patients, strict=True)]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, position: int) -> np.ndarray:
        """Image (height, width[, 3]) at a position; uint8, uint16 or float."""
        source, position = self._at(position)
        return self._sources[source].read(position)

    def boxes(self, position: int) -> list[dict]:
        """An image's findings: dicts finding, xmin, ymin, xmax, ymax in pixels, half open; LookupError: no boxes are marked."""
        source, position = self._at(position)
        return self._sources[source].boxes(position)

    def masks(self, position: int) -> list[dict]:
        """An image's findings: dicts finding, mask (bool (height, width), as the image); LookupError: no masks are known."""
        source, position = self._at(position)
        return self._sources[source].masks(position)

    def source(self, position: int) -> tuple[ImageSource, int]:
        """The source of the image at a position, and its position there."""
        source, position = self._at(position)
        return self._sources[source], position

    def _at(self, position: int) -> tuple[int, int]:
        """The source of the image at a position, and the position there."""
        try:
            source, there = self._where[operator.index(position)].tolist()
        except TypeError as error:
            raise TypeError(
                f"position={shown(position)} must be a whole number; probe.position(id) finds an image by id"
            ) from error
        except IndexError as error:
            raise IndexError(f"position={position} is not in probe {self.name!r}, which has {len(self)} images") from error
        return source, there

    def position(self, image_id: str) -> int:
        """The position of an image; KeyError when the probe has no such id."""
        return int(self._positions([image_id])[0])

    def subset(self, which: Sequence[str] | Sequence[int] | np.ndarray | slice) -> Probe:
        """Some of the images, in the order given, as a probe.

        Parameters
        ----------
        which : ids, positions, a boolean mask (n_images,) or a slice

        Raises
        ------
        KeyError, IndexError
            Ids that the probe does not have; positions beyond it, or a mask of another length.
        """
        if isinstance(which, slice):
            chosen = np.arange(len(self))[which]
        elif (which := np.asarray([which] if isinstance(which, str) else which)).dtype.kind in "OUT" and which.ndim == 1:
            chosen = self._positions(which)
        elif which.ndim == 1 and (which.dtype.kind in "iub" or not len(which)):
            chosen = self._chosen(which if len(which) else slice(0))
        else:
            raise TypeError(f"expected ids, positions or a mask; got {which.ndim}-dimensional {which.dtype} data")
        ids = [self.ids[i] for i in chosen]
        table = None if self._table is None else self._table.iloc[chosen]
        return Probe(self.name, ids, self._sources, self._where[chosen], table, self.skipped, self.notes)

    def without_table(self) -> Probe:
        """The same images without their metadata: enough to read them in another process."""
        return Probe(self.name, self.ids, self._sources, self._where, pd.DataFrame(index=pd.RangeIndex(0)))

    def __add__(self, other: Probe) -> Probe:
        """Both probes' images, this one's first; a column that one of them does not have is empty for its images."""
        if not isinstance(other, Probe):
            return NotImplemented
        where = np.concatenate([self._where, np.add(other._where, [len(self._sources), 0])])
        drawn = self._table is not None or other._table is not None
        return Probe(
            name=f"{self.name} + {other.name}",
            ids=self.ids + other.ids,
            sources=self._sources + other._sources,
            where=where,
            table=pd.concat([self.table, other.table]) if drawn else None,
            skipped=self.skipped + other.skipped,
            notes=self.notes + other.notes,
        )

    def fingerprints(self) -> list[str]:
        """One text per image that changes when the image does. Files: path, size, time and a sample of the content."""
        return [self._sources[source].fingerprint(position) for source, position in self._where.tolist()]

    def key(self) -> str:
        """SHA-256 over ids and fingerprints in order: equal keys, equal images."""
        return hashlib.sha256(json.dumps([self.ids, self.fingerprints()]).encode()).hexdigest()

    @validated()
    def warm(self, workers: int | None = None, progress: bool = True) -> None:
        """Prepare slow images (phantoms not yet generated) in parallel, so that ``probe[i]`` is fast.

        Never needed for the result; does nothing for images that are quick to read.
        """
        for number, source in enumerate(self._sources):
            positions = self._where[self._where[:, 0] == number, 1]
            source.warm(positions.tolist(), workers, progress)

    def intensity_summary(self, n: int = 32) -> pd.DataFrame:
        """Pixel values of ``n`` images spread evenly over the probe, to reveal a wrong scale.

        Returns
        -------
        DataFrame
            A row per dtype; columns images, channels, min, p01, median, mean, p99, max, and bits (integers: how many
            the largest value needs; 12 under uint16 is a sign of 12-bit data that should be stretched).
        """
        whole_number("n", n, 1)
        chosen = np.unique(np.linspace(0, len(self) - 1, min(n, len(self))).round().astype(int))
        by_dtype: dict[str, list[np.ndarray]] = {}
        for position in chosen.tolist():
            image = self[position]
            by_dtype.setdefault(str(image.dtype), []).append(image)
        rows = [_intensities(images) for images in by_dtype.values()]
        return pd.DataFrame(rows, index=pd.Index(by_dtype, name="dtype"))

    def __repr__(self) -> str:
        skipped = f", {len(self.skipped)} skipped" if self.skipped else ""
        return f"Probe({self.name!r}, {len(self)} images{skipped})"

    def _chosen(self, which: np.ndarray | slice) -> np.ndarray:
        """Positions of chosen images, by positions or a mask."""
        try:
            return np.arange(len(self))[which]
        except IndexError as error:
            raise IndexError(f"probe {self.name!r} has {len(self)} images: {error}") from error

    def _positions(self, ids: Iterable[str]) -> np.ndarray:
        known = {image_id: position for position, image_id in enumerate(self.ids)}
        if unknown := [str(image_id) for image_id in ids if image_id not in known]:
            raise KeyError(f"probe {self.name!r} has no image of {counted(unknown, 'id')}")
        return np.array([known[image_id] for image_id in ids], dtype=int)


def _as_ids(ids: Iterable[str]) -> list[str]:
    """Image ids as texts; one str is one id."""
    if isinstance(ids, (bytes, Mapping)) or not isinstance(ids, Iterable):
        raise TypeError(f"ids={shown(ids)} must be a list of str, one per image")
    ids = [ids] if isinstance(ids, str) else list(ids)
    if missing := [position for position, image_id in enumerate(ids) if image_id is None or image_id != image_id]:
        raise ValueError(f"ids[{missing[0]}]={ids[missing[0]]} is not an id; every image needs its own")
    return [str(image_id) for image_id in ids]


def _aligned(table: pd.DataFrame | dict, ids: list[str]) -> pd.DataFrame:
    """A copy of ``table`` with the rows of ``ids`` in their order."""
    table = pd.DataFrame(table)
    if len(table) != len(ids):
        raise ValueError(f"the table has {len(table)} rows for {len(ids)} images; give one row per image")
    if table.index.equals(pd.RangeIndex(len(ids))):
        return table.set_axis(pd.Index(ids, name="image_id"), axis=0)
    table = table.set_axis(pd.Index(table.index.astype(str), name="image_id"), axis=0)
    if unknown := sorted(set(table.index) - set(ids)):
        raise ValueError(f"the table's index is not that of the images: it has {counted(unknown, 'unknown id')}")
    if table.index.has_duplicates:
        duplicates = table.index[table.index.duplicated()].unique().tolist()
        raise ValueError(f"the table has several rows for {counted(duplicates, 'id')}")
    return table.loc[ids]


def _intensities(images: list[np.ndarray]) -> dict:
    """The row of `Probe.intensity_summary` for images of one dtype; every image counts the same."""
    # Percentiles of a sorted sample: at most 4,096 pixels of each image, evenly spread over its brightness.
    ranks = np.linspace(0, 1, 4096)
    sample = np.concatenate([np.quantile(image.astype(np.float64), ranks) for image in images])
    channels = sorted({1 if image.ndim == 2 else image.shape[2] for image in images})
    low, high = sample.min(), sample.max()
    return {
        "images": len(images),
        "channels": ", ".join(map(str, channels)),
        "min": low,
        "p01": np.quantile(sample, 0.01),
        "median": np.median(sample),
        "mean": np.mean([image.mean(dtype=np.float64) for image in images]),
        "p99": np.quantile(sample, 0.99),
        "max": high,
        "bits": int(high).bit_length() if images[0].dtype.kind in "ui" else pd.NA,
    }


class ArraySource(ImageSource):
    """Images in memory; their fingerprint is a hash of the content."""

    def __init__(self, images: Iterable[np.ndarray]):
        if isinstance(images, (str, bytes, Mapping)) or not isinstance(images, Iterable):
            raise TypeError(f"images={shown(images)} must be a list of arrays (height, width[, 3]), or one array of several")
        self._images = [np.asarray(image) for image in images]
        if scalars := [position for position, image in enumerate(self._images) if image.ndim == 0]:
            one = shown(self._images[scalars[0]].item())
            raise TypeError(f"images[{scalars[0]}]={one} must be an array (height, width) or (height, width, 3)")

    def __len__(self) -> int:
        return len(self._images)

    def read(self, position: int) -> np.ndarray:
        return self._images[position].copy()

    def fingerprint(self, position: int) -> str:
        image = self._images[position]
        digest = hashlib.sha256(f"{image.dtype.str} {image.shape} ".encode())
        digest.update(np.ascontiguousarray(image))
        return digest.hexdigest()
