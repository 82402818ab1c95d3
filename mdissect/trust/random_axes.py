"""How closely neurons follow a dissector's concepts, and sets of as many random axes: on a probe, and on parts of it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from mdissect.dissection import Dissection
from mdissect.following import following, mean_ranks, top_weights
from mdissect.labels import check_in_memory
from mdissect.rankings import nameable

PASSES = 0.05  # p of a neuron that passes
SAME = 1e-5  # correlations that differ by less are equal
NEGLIGIBLE = 1e-4  # spread along a direction of the concepts, relative to the largest, that changes no correlation
TINY = 1e-30
SETTLED = 0.2  # of a part's neurons: from so many on that cannot pass any more, these are left out of what is computed
NEURONS_AT_A_TIME = 256  # whose weights are held together


@dataclass(frozen=True)
class Sets:
    """What each set of axes reaches: `reached` (1 + n_draws, n_neurons), the concepts first; `best` concept of each neuron.

    `neurons` (n_neurons,) are those of the layer that can be named; `shares_left_out` (n_parts,) that pass where some images
    are left out.
    """

    neurons: np.ndarray
    best: np.ndarray
    reached: np.ndarray
    shares_left_out: np.ndarray

    @property
    def n_neurons(self) -> int:
        return len(self.neurons)

    @property
    def p_values(self) -> np.ndarray:
        """(n_neurons,) share of the sets that reach what the concepts do."""
        return (self.reached >= self.reached[0] - SAME).mean(axis=0)

    @property
    def shares(self) -> np.ndarray:
        """(1 + n_draws,) of the neurons that pass by each set, compared with all sets."""
        if not self.n_neurons:
            return np.full(len(self.reached), np.nan)
        rising = np.sort(self.reached, axis=0)
        at_least = [len(rising) - np.searchsorted(one, own - SAME) for one, own in zip(rising.T, self.reached.T, strict=True)]
        return (np.array(at_least) <= _allowed(len(rising))).mean(axis=0)


def compared(dissection: Dissection, layer: str, n_draws: int, seed: int, left_out: Sequence[np.ndarray] = ()) -> Sets:
    """The concepts and `n_draws` sets of random axes, on all images and, the same sets, without some of them.

    `left_out` holds positions of images. There only who passes counts, so that a neuron is done with once as many sets have
    reached its concepts as may.
    """
    check_in_memory(dissection, "a comparison with random axes")
    if dissection.image_concept_sims.shape[1] < 2:
        raise ValueError("the dissection has one concept, and no other direction to compare it with; use two at least")
    sims, activations = (torch.from_numpy(x) for x in (dissection.image_concept_sims, dissection.activations[layer]))
    finite, constant = nameable(activations)
    neurons = (finite & ~constant).nonzero().flatten().numpy()
    activations, directions = activations[:, neurons], _directions(sims)
    own = following(sims, activations.to(sims)) if len(neurons) else sims.new_zeros(0, sims.shape[1])
    activations, ranks = _scaled(activations)
    everything = torch.arange(len(sims))
    whole = _Moments.of(sims, activations, ranks, everything, directions)
    reached = np.full((1 + n_draws, len(neurons)), own.amax(dim=1).numpy())
    parts = []
    for images in left_out:
        kept = torch.from_numpy(np.setdiff1d(everything.numpy(), images))
        parts.append(_Part.of(sims, activations, _ranks_without(ranks, torch.from_numpy(images), kept), kept, directions))
    rng = np.random.default_rng(seed)
    for draw in range(1, 1 + n_draws):
        axes = rng.standard_normal((directions.shape[1], sims.shape[1]), dtype=np.float32)
        reached[draw] = whole.best(axes)
        for part in parts:
            part.compare(axes, _allowed(1 + n_draws))
    shares = np.array([part.share(_allowed(1 + n_draws)) for part in parts])
    return Sets(neurons, own.argmax(dim=1).numpy(), reached, shares)


def _allowed(n_sets: int) -> float:
    """How many of the sets may reach a neuron's concepts, the concepts among them, where it passes."""
    return PASSES * n_sets + SAME


@dataclass(frozen=True)
class _Moments:
    """What the correlations of a layer's neurons with any axis need, over some images; float32.

    An axis is the concepts' mean similarity plus a sum of directions: `told` (n_neurons, 1 + r) are the neurons' products with
    these, the mean first, `variance`, `mixed` (r,) and `covariance` (r, r) the second moments of these themselves; `own`
    (n_neurons,) are the neurons' correlations with the concept that they follow best.
    """

    told: np.ndarray
    variance: np.ndarray
    mixed: np.ndarray
    covariance: np.ndarray
    own: np.ndarray

    @classmethod
    def of(cls, sims: Tensor, activations: Tensor, ranks: Tensor, images: Tensor, directions: Tensor) -> "_Moments":
        """On the images at some positions; `ranks` (n, n_neurons) are the activations' mean ranks among these."""
        sims, n = sims[images].double(), len(images)
        sims -= sims.mean(dim=0)
        sims /= sims.square().mean().sqrt().clamp(min=TINY)
        middle = sims.mean(dim=1, keepdim=True)
        along = torch.cat([middle, (sims - middle) @ directions], dim=1).float()
        spread = sims.square().mean(dim=0).sqrt()
        concepts = (sims / spread.where(spread > SAME, torch.inf)).float()
        told, own = [], []
        for part, its in zip(*(x.split(NEURONS_AT_A_TIME, dim=1) for x in (activations, ranks)), strict=True):
            weights = _standardised(top_weights(part[images], its)).T / n
            told.append(weights @ along)
            own.append((weights @ concepts).amax(dim=1))
        moments = along.T @ along / n
        parts = torch.cat(told), moments[0, 0], moments[0, 1:], moments[1:, 1:], torch.cat(own)
        return cls(*(part.numpy() for part in parts))

    def best(self, axes: np.ndarray) -> np.ndarray:
        """(n_neurons,) the largest correlation with any of the axes (r, n_axes)."""
        variance = self.variance + 2 * self.mixed @ axes + (axes * (self.covariance @ axes)).sum(axis=0)
        size = np.sqrt(np.maximum(variance, TINY))
        return (self.told @ (np.vstack([np.ones_like(size), axes]) / size)).max(axis=1, initial=-1)


@dataclass
class _Part:
    """Neurons on a part of the images: how many sets have `reached` (n_neurons,) their concepts; those `left` to compare."""

    moments: _Moments
    reached: np.ndarray
    left: np.ndarray

    @classmethod
    def of(cls, sims: Tensor, activations: Tensor, ranks: Tensor, images: Tensor, directions: Tensor) -> "_Part":
        finite, constant = nameable(activations[images])
        varies = finite & ~constant
        moments = _Moments.of(sims, activations[:, varies], ranks[:, varies], images, directions)
        n_neurons = int(varies.sum())
        return cls(moments, np.ones(n_neurons, dtype=int), np.arange(n_neurons))  # 1: the concepts themselves

    def compare(self, axes: np.ndarray, allowed: float) -> None:
        """Count the neurons whose concepts a set of axes reaches."""
        if not len(self.left):
            return
        self.reached[self.left] += self.moments.best(axes) >= self.moments.own - SAME
        passing = self.reached[self.left] <= allowed
        if passing.mean() <= 1 - SETTLED:
            self.left = self.left[passing]
            self.moments = replace(self.moments, told=self.moments.told[passing], own=self.moments.own[passing])

    def share(self, allowed: float) -> float:
        """Of the neurons that vary, those that pass."""
        return float((self.reached <= allowed).mean()) if len(self.reached) else float("nan")


def _directions(sims: Tensor) -> Tensor:
    """(n_concepts, r): along which the concepts differ from their mean, scaled to give their covariance."""
    deviations = sims.double() - sims.double().mean(dim=1, keepdim=True)
    size, directions = np.linalg.svd((deviations - deviations.mean(dim=0)).numpy(), full_matrices=False)[1:]
    return torch.from_numpy(directions[size > NEGLIGIBLE * size[0]].T / np.sqrt(sims.shape[1]))


def _scaled(activations: Tensor) -> tuple[Tensor, Tensor]:
    """Activations standardised, which changes no weight and suits float32, and their mean ranks."""
    parts = []
    for part in activations.double().split(NEURONS_AT_A_TIME, dim=1):
        parts.append((_standardised(part), mean_ranks(part).float() if part.numel() else part.float()))
    return tuple(torch.cat(each, dim=1) for each in zip(*parts, strict=True))


def _ranks_without(ranks: Tensor, left_out: Tensor, kept: Tensor) -> Tensor:
    """Mean ranks (n_kept, n_neurons) among the images that are kept, from those among all (n_images, n_neurons)."""
    places, parts = 2 * len(ranks), []
    for part in ranks.split(NEURONS_AT_A_TIME, dim=1):
        place = (2 * part.T - 2).long()  # mean ranks are multiples of a half, alike for ties alone
        gone = torch.zeros(len(place), places).scatter_add_(1, place[:, left_out], torch.ones(len(place), len(left_out)))
        below = gone.cumsum(dim=1) - gone / 2  # those of a tie count half
        parts.append(part[kept] - below.gather(1, place[:, kept]).T)
    return torch.cat(parts, dim=1) if parts else ranks[kept]


def _standardised(weights: Tensor) -> Tensor:
    weights = weights - weights.mean(dim=0)
    spread = weights.square().mean(dim=0).sqrt()
    return (weights / spread.where(spread > 0, torch.inf)).float()
