"""Probes of phantoms whose truth is given, such as those of another probe with one thing changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mdissect.arguments import image_shape, same_length, whole_number
from mdissect.phantom.mammograms import Truth
from mdissect.probes.generated import GeneratedSource, digest, open_cache, source_digest
from mdissect.probes.probe import Probe
from mdissect.signatures import validated


@dataclass(frozen=True)
class Redrawn:
    """Phantoms of given truths and seeds, all of one size: a `mdissect.probes.generated.Generator`."""

    truths: tuple[Truth, ...]
    seeds: tuple[int, ...]
    height: int
    width: int

    @property
    def shape(self) -> tuple[int, int]:
        return self.height, self.width

    @property
    def key(self) -> str:
        shown = digest(repr([(seed, truth.as_row()) for seed, truth in zip(self.seeds, self.truths, strict=True)]))
        return f"redrawn-{source_digest('mammograms')}-{shown}-{self.height}x{self.width}"

    def row(self, index: int) -> dict:
        return self.truths[index].as_row()

    def draw(self, index: int) -> np.ndarray:
        from mdissect.phantom.mammograms import render

        return render(self.truths[index], self.seeds[index], self.height, self.width)

    def boxes(self, index: int) -> list[dict]:
        from mdissect.phantom.mammograms import render_with_truth

        return render_with_truth(self.truths[index], self.seeds[index], self.height, self.width)[1]


@validated(size=image_shape)
def redrawn_phantoms(
    truths: Sequence[Truth],
    seeds: Sequence[int],
    ids: Sequence[str],
    size: tuple[int, int] = (256, 160),
    cache: str | Path | bool = True,
) -> Probe:
    """A probe of the phantoms of given truths, in their order.

    >>> truth = sample_truth(seed=7, index=3)
    >>> redrawn_phantoms([replace(truth, mass=None)], [7], ["phantom-7-000003 without mass"])[0].shape    # doctest: +SKIP
    (256, 160)

    The same truth and seed give the image of `load_probe("phantom", seed=seed)`. Every part of a phantom has a random stream of
    its own, so that a truth with one factor changed differs from the original in that factor alone, as far as anatomy allows:
    see `mdissect.predictions.CHANGES`.

    Parameters
    ----------
    truths : sequence of Truth
    seeds : sequence of int, (n_images,)
    ids : sequence of str, (n_images,)
    size, cache
        As for `load_probe("phantom")`.

    Raises
    ------
    ValueError
        Other numbers of seeds or ids than of truths, a negative seed, or no truths.
    """
    same_length(truths=truths, seeds=seeds, ids=ids)
    if not len(truths):
        raise ValueError("truths=[] must hold the truth of one phantom at least")
    seeds = tuple(whole_number(f"seeds[{i}]", seed, 0) for i, seed in enumerate(seeds))
    generator = Redrawn(tuple(truths), seeds, *size)
    return Probe("redrawn phantoms", ids, [GeneratedSource(generator, 0, open_cache(cache, generator))])
