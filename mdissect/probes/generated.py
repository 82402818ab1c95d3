"""Probes of generated images: mammogram phantoms and natural scenes, generated on first use.

Ids, metadata and fingerprints need no drawing. `Probe.warm` draws what is missing in parallel and keeps it on disk.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
import warnings
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np

from mdissect.arguments import AT_LEAST_ONE, image_shape, texts
from mdissect.files import text_bytes
from mdissect.paths import image_cache_dir
from mdissect.phantom.mammograms import masks, truth_of_row
from mdissect.probes.image_cache import ImageCache
from mdissect.probes.probe import ImageSource, Probe
from mdissect.signatures import validated

_DRAWN_AT_ONCE = 16


@validated(n_images=AT_LEAST_ONE, size=image_shape)
def load_phantom(
    n_images: int = 1000,
    seed: int = 0,
    start: int = 0,
    size: tuple[int, int] = (256, 160),
    exclude: Collection[str] = (),
    cache: str | Path | bool = True,
) -> Probe:
    """A probe of mammogram phantoms; ids such as "phantom-0-000012" (seed, index).

    >>> load_phantom(n_images=4).ids[0], load_phantom(n_images=4)[0].shape
    ('phantom-0-000000', (256, 160))

    The metadata are `mdissect.phantom.mammograms.factors.Truth.as_row`; ``probe.boxes(i)`` has the boxes of the findings.

    Parameters
    ----------
    n_images, start : int
        Indices ``start`` to ``start + n_images - 1``. Patients have four images each: two probes share no patient when
        their ranges meet at a multiple of 4.
    size : (int, int)
        Height and width in pixels.
    exclude : collection of str
        Factors that are never shown: `mdissect.phantom.mammograms.factors.FACTORS`.
    cache : path or bool
        Where drawn images are kept: a folder; True: ``demo/cache`` in the data folder; False: nowhere.
    """
    return _generated("phantom", Phantoms(seed, *size, _names(exclude)), n_images, start, cache)


@validated(n_images=AT_LEAST_ONE, size=AT_LEAST_ONE, classes=texts)
def load_natural(
    n_images: int = 1000,
    seed: int = 0,
    start: int = 0,
    size: int = 128,
    classes: Sequence[str] | None = None,
    cache: str | Path | bool = True,
) -> Probe:
    """A probe of natural scenes; ids such as "natural-0-000012" (seed, index).

    >>> load_natural(n_images=4)[0].shape
    (128, 128, 3)

    The metadata are `mdissect.phantom.scenes.scenes.SceneTruth.as_row`.

    Parameters
    ----------
    n_images, seed, start, cache
        As for `load_phantom`.
    size : int
        Height and width in pixels.
    classes : sequence of str, optional
        Show only these things, for a probe with class labels (the column "object"); default: anything.
    """
    classes = None if classes is None else _names(classes)
    return _generated("natural", Scenes(seed, size, classes), n_images, start, cache)


class Generator(Protocol):
    """Draws images from (seed, index): hashable, picklable, and the same everywhere."""

    seed: int

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def key(self) -> str:
        """Everything that an image depends on except its index, as a folder name."""

    def row(self, index: int) -> dict: ...

    def draw(self, index: int) -> np.ndarray: ...

    def boxes(self, index: int) -> list[dict]: ...


@dataclass(frozen=True)
class Phantoms:
    """Mammogram phantoms of one seed and size."""

    seed: int
    height: int
    width: int
    exclude: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, int]:
        return self.height, self.width

    @property
    def key(self) -> str:
        without = f"-without-{'+'.join(self.exclude)}" if self.exclude else ""
        return f"phantom-{source_digest('mammograms')}-seed{self.seed}-{self.height}x{self.width}{without}"

    def row(self, index: int) -> dict:
        return self._truth(index).as_row()

    def draw(self, index: int) -> np.ndarray:
        from mdissect.phantom.mammograms import render

        return render(self._truth(index), self.seed, self.height, self.width)

    def boxes(self, index: int) -> list[dict]:
        from mdissect.phantom.mammograms import render_with_truth

        return render_with_truth(self._truth(index), self.seed, self.height, self.width)[1]

    def _truth(self, index: int):
        from mdissect.phantom.mammograms import sample_truth

        return sample_truth(self.seed, index, self.exclude)


@dataclass(frozen=True)
class Scenes:
    """Natural scenes of one seed and size."""

    seed: int
    size: int
    classes: tuple[str, ...] | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.size, self.size, 3

    @property
    def key(self) -> str:
        only = "" if self.classes is None else f"-only-{digest('+'.join(self.classes))}"
        return f"natural-{source_digest('scenes')}-seed{self.seed}-{self.size}{only}"

    def row(self, index: int) -> dict:
        return self._truth(index).as_row()

    def draw(self, index: int) -> np.ndarray:
        from mdissect.phantom.scenes import render_scene

        return render_scene(self._truth(index), self.seed, self.size)

    def boxes(self, index: int) -> list[dict]:
        raise LookupError("natural scenes come without boxes")

    def _truth(self, index: int):
        from mdissect.phantom.scenes import sample_scene

        return sample_scene(self.seed, index, self.classes)


class GeneratedSource(ImageSource):
    """Images ``start`` to ``start + n_images - 1`` of a generator, looked up in a cache first."""

    def __init__(self, generator: Generator, start: int = 0, cache: ImageCache | None = None):
        self._generator, self._start, self._cache = generator, start, cache

    def read(self, position: int) -> np.ndarray:
        index = self._start + position
        kept = None if self._cache is None else self._cache.get(index)
        return self._generator.draw(index) if kept is None else kept

    def fingerprint(self, position: int) -> str:
        return f"{self._generator.key}-{self._start + position}"

    def row(self, position: int) -> dict:
        return self._generator.row(self._start + position)

    def boxes(self, position: int) -> list[dict]:
        return self._generator.boxes(self._start + position)

    def warm(self, positions: Sequence[int], workers: int | None, progress: bool) -> None:
        """Draw the images that are not in the cache, in worker processes, and keep them block by block."""
        if self._cache is None or not self._missing(positions):
            return
        try:
            with self._cache.exclusive():
                if missing := self._missing(positions):  # while this waited, another process may have drawn them
                    self._cache.put({missing[0]: self._generator.draw(missing[0])})  # fails at once where nothing can be kept
                    self._draw_all(missing[1:], workers, progress)
        except OSError as error:
            warnings.warn(
                f"the image cache {self._cache.folder} cannot be written ({error.strerror or error}): images are drawn "
                "again each time; give cache= a folder with room, or False",
                stacklevel=4,
            )

    def _missing(self, positions: Sequence[int]) -> list[int]:
        return [i for i in sorted(self._start + position for position in positions) if self._cache.get(i) is None]

    def _draw_all(self, indices: list[int], workers: int | None, progress: bool) -> None:
        import joblib
        from tqdm.auto import tqdm

        blocks: dict[int, list[int]] = {}
        for index in indices:
            blocks.setdefault(index // self._cache.per_block, []).append(index)
        few = len(indices) <= 2 * _DRAWN_AT_ONCE  # not worth starting processes
        pool = joblib.Parallel(n_jobs=1 if few else workers or joblib.cpu_count(), return_as="generator")
        name = f"drawing {self._generator.key.partition('-')[0]} images"
        with pool, tqdm(total=len(indices), desc=name, unit="image", delay=2, disable=not progress) as bar:
            for members in blocks.values():
                parts = [members[i : i + _DRAWN_AT_ONCE] for i in range(0, len(members), _DRAWN_AT_ONCE)]
                drawn = {}
                for images in pool(joblib.delayed(_draw_some)(self._generator, part) for part in parts):
                    drawn |= images
                    bar.update(len(images))
                self._cache.put(drawn)


def _draw_some(generator: Generator, indices: list[int]) -> dict[int, np.ndarray]:
    return {index: generator.draw(index) for index in indices}


def _generated(name: str, generator: Generator, n_images: int, start: int, cache: str | Path | bool) -> Probe:
    generator.row(start)  # complains now about whatever else it cannot draw
    ids = [f"{name}-{generator.seed}-{index:06d}" for index in range(start, start + n_images)]
    return Probe(name, ids, [GeneratedSource(generator, start, open_cache(cache, generator))])


def open_cache(cache: str | Path | bool, generator: Generator) -> ImageCache | None:
    """The cache of one generator; None if it is switched off, or there is no data folder."""
    if cache is False:
        return None
    if cache is True:
        try:
            cache = image_cache_dir()
        except FileNotFoundError:
            return None
    return ImageCache(Path(cache) / generator.key, generator.shape)


def _names(names: Collection[str]) -> tuple[str, ...]:
    return tuple(sorted(set(names)))


def digest(text: str | bytes) -> str:
    return hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()[:10]


@lru_cache
def source_digest(kind: str) -> str:
    """The generator's version: a hash of the files of a folder of `mdissect.phantom`, and of those that stand above it.

    A number kept by hand would be forgotten one day, and stale images be read from the cache and the store ever after.
    """
    phantom = Path(importlib.util.find_spec("mdissect.phantom").origin).parent
    files = sorted([*phantom.glob("*.py"), *(phantom / kind).rglob("*.py")])
    return digest(b"\0".join(file.relative_to(phantom).as_posix().encode() + b"\0" + text_bytes(file) for file in files))


@validated()
def finding_mask(probe: Probe, position: int, finding: str) -> np.ndarray:
    """The pixels of a finding in a phantom of a probe; tighter than its boxes.

    Parameters
    ----------
    probe : Probe
        Of `load_probe("phantom")`, or a part of one.
    finding : str
        As boxes call it: "calcification", "lymph node".

    Returns
    -------
    bool array (height, width)
        False everywhere when the phantom does not show it.

    Raises
    ------
    ValueError
        The image is no phantom.
    """
    name = re.fullmatch(r"phantom-(\d+)-\d+", probe.ids[position])
    if not name:
        raise ValueError(f"image {probe.ids[position]!r} is no phantom, whose ids are phantom-<seed>-<index>")
    shape = probe[position].shape
    row = probe.table.iloc[position].to_dict()
    truth = truth_of_row(row | {"index": int(row["index"]), "birads": int(row["birads"])})
    return masks(truth, int(name[1]), *shape).get(finding, np.zeros(shape, dtype=bool))
