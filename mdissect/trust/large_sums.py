"""What correlations and ridge regressions need of some images: sums that are added up block by block.

Sums of products are about the images' own means, and those of two sets of images together follow from either's (Chan, Golub and
LeVeque, 1979), so that no digits are lost.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mdissect.trust.correlation import ROUNDING
from mdissect.trust.ridge import NEGLIGIBLE, PENALTIES, best_penalty, with_penalties


@dataclass(frozen=True)
class SimsSums:
    """Of the similarities (n, n_concepts) of n images: means, sums of products about them, largest absolute values."""

    n: int
    mean: np.ndarray
    products: np.ndarray
    size: np.ndarray

    @classmethod
    def of(cls, sims: np.ndarray) -> "SimsSums":
        mean = sims.mean(axis=0)
        centred = sims - mean
        return cls(len(sims), mean, centred.T @ centred, np.abs(sims).max(axis=0))

    def __add__(self, more: "SimsSums") -> "SimsSums":
        n, apart = self.n + more.n, more.mean - self.mean
        products = self.products + more.products + self.n * more.n / n * np.multiply.outer(apart, apart)
        return SimsSums(n, self.mean + apart * (more.n / n), products, np.maximum(self.size, more.size))

    @cached_property
    def deviation(self) -> np.ndarray:
        """Standard deviations (n_concepts,)."""
        return _deviation(self.n, np.diagonal(self.products), self.size)

    @cached_property
    def directions(self) -> tuple[np.ndarray, np.ndarray]:
        """Principal directions (n_concepts, r) of the standardised similarities, and the variances (r,) along them.

        A concept that is constant, or whose similarities are not known, has no part in them.
        """
        varying = np.flatnonzero(np.isfinite(self.deviation))
        scale = self.deviation[varying]
        found = np.zeros((len(self.mean), 0)), np.zeros(0)
        if not len(varying):
            return found
        variances, vectors = np.linalg.eigh(self.products[np.ix_(varying, varying)] / self.n / np.multiply.outer(scale, scale))
        kept = variances > NEGLIGIBLE * max(variances[-1], 0)
        directions = np.zeros((len(self.mean), int(kept.sum())))
        directions[varying] = vectors[:, kept] / scale[:, None]
        return directions, variances[kept]


@dataclass(frozen=True)
class LayerSums:
    """Of the activations (n, n_neurons) of these images: means, squares, largest values; products (n_concepts, n_neurons)."""

    sims: SimsSums
    mean: np.ndarray
    squares: np.ndarray
    size: np.ndarray
    products: np.ndarray

    def with_more(self, more: "LayerSums", sims: SimsSums) -> "LayerSums":
        """Of both sets of images, whose similarities have the sums `sims`."""
        n, weight = self.sims.n + more.sims.n, self.sims.n * more.sims.n / (self.sims.n + more.sims.n)
        apart = more.mean - self.mean
        squares = self.squares + more.squares + weight * apart**2
        products = self.products + more.products + weight * np.multiply.outer(more.sims.mean - self.sims.mean, apart)
        return LayerSums(sims, self.mean + apart * (more.sims.n / n), squares, np.maximum(self.size, more.size), products)

    @cached_property
    def deviation(self) -> np.ndarray:
        """Standard deviations (n_neurons,)."""
        return _deviation(self.sims.n, self.squares, self.size)

    def correlations(self) -> np.ndarray:
        """As `mdissect.trust.correlation.correlations`, (n_neurons, n_concepts)."""
        return np.clip(self.products.T / self.sims.n / self.deviation[:, None] / self.sims.deviation, -1, 1)


def ridge_of_sums(inner: Sequence[LayerSums], fit: LayerSums, test: LayerSums) -> np.ndarray:
    """As `mdissect.trust.ridge.ridge_correlations`, (n_neurons,); `inner` are both halves of the fitted images, or one set."""
    ways = [(inner[0], inner[1]), (inner[1], inner[0])] if len(inner) > 1 else []
    return best_penalty([_each_penalty(one, other) for one, other in ways], _each_penalty(fit, test))


def _each_penalty(fit: LayerSums, test: LayerSums) -> np.ndarray:
    """(n_penalties, n_neurons) correlations on the images `test` of the fits on the images `fit`."""
    directions, variances = fit.sims.directions
    if not len(variances):
        return np.full((len(PENALTIES), len(fit.mean)), np.nan)
    used = np.flatnonzero(directions.any(axis=1))
    directions = directions[used]
    shared = directions.T @ (fit.products[used] / fit.deviation) / fit.sims.n
    among = directions.T @ test.sims.products[np.ix_(used, used)] @ directions
    told = directions.T @ (test.products[used] / test.deviation)
    norm = np.where(np.isfinite(test.deviation), np.sqrt(test.sims.n), np.nan)
    return with_penalties(variances, shared, among, told, norm)


def _deviation(n: int, squares: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Standard deviations of columns, NaN for one that is constant up to rounding or not finite."""
    with np.errstate(invalid="ignore"):
        deviation = np.sqrt(squares / n)
        return np.where(deviation > ROUNDING * size, deviation, np.nan)
