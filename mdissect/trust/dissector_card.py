"""Do a dissector's words mean anything? Its concepts against random directions of the same space."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from scipy.stats import rankdata
from scipy.stats import t as student

from mdissect.arguments import texts, whole_number
from mdissect.dissection import Dissection
from mdissect.signatures import validated
from mdissect.trust.correlation import standardised
from mdissect.trust.halves import chosen_layers, patients_of

PASSES, LEVEL = 0.05, 0.95  # p of a neuron that passes; of the intervals
MOST_GROUPS = 20  # of patients, left out one after the other for the interval of the share
SAME = 1e-5  # correlations that differ by less are equal
NEGLIGIBLE = 1e-4  # spread along a direction of the concepts, relative to the largest, that changes no correlation
TINY = 1e-30


@validated(layers=texts, n_draws=partial(whole_number, least=19))
def dissector_card(
    dissection: Dissection, layers: Sequence[str] | None = None, n_draws: int = 200, seed: int = 0
) -> pd.DataFrame:
    """Share of neurons that follow one of the dissector's concepts more closely than any of as many random axes.

    >>> trust.dissector_card(found)[["layer", "share", "low", "high", "p"]]      # doctest: +SKIP

    A q-value says that a neuron follows some direction of the dissector's space. Were the words attached to the wrong
    directions, the neurons would follow them about as well: of a scrambled dissector most labels are better than chance. So the
    concepts are replaced by as many random axes: directions drawn from the normal distribution with the mean and the
    covariance of the concepts' own similarities over the probe. A neuron passes when its best concept correlates with it
    (`mdissect.similarity.following`) better than the best axis in all but 5 % of such sets. Random axes reach a share of 5 % on
    average; words that mean what networks of this kind learn reach more.

    Parameters
    ----------
    layers : sequence of str, optional
        All of the dissection's when None.
    n_draws : int
        Sets of random axes, at least 19.

    Returns
    -------
    DataFrame
        A row per layer: layer, neurons (that vary), share (that pass), low, high (95 % interval), random_share (the share that
        95 % of the random sets stay below, each of them judged like the concepts), p (of the share: how many of the sets,
        the concepts among them, reach it), following (median correlation with the best concept), random (with the best of the
        random axes).

    Raises
    ------
    ValueError
        Unknown layer, a dissection without activations, fewer than two concepts, or a single patient.

    Notes
    -----
    The interval is Wilson's for as many independent neurons as have the variance of the share when groups of patients are left
    out (delete-a-group jackknife; the effective sample size of Korn and Graubard, Survey Methodology 1998), with Student's t.
    Of one scrambled dissector the share may lie well off 5 %, since neurons are alike: p allows for that, the interval does
    not.
    """
    patient = patients_of(dissection)
    n_patients = patient.max() + 1
    group = np.random.default_rng(seed).permutation(n_patients)[patient] % min(MOST_GROUPS, n_patients)
    rows = []
    for layer in chosen_layers(dissection, layers):
        parts = [np.arange(len(patient)), *(np.flatnonzero(group != one) for one in np.unique(group))]
        sets, *left_out = _compared(dissection, layer, n_draws, seed, parts)
        share = sets.shares
        low, high = _wilson(share[0], sets.n_neurons, np.array([one.shares[0] for one in left_out]))
        rows.append(
            {
                "layer": layer,
                "neurons": sets.n_neurons,
                "share": share[0],
                "low": low,
                "high": high,
                "random_share": np.quantile(share[1:], LEVEL),
                "p": np.mean(share >= share[0] - SAME) if sets.n_neurons else np.nan,
                "following": np.median(sets.reached[0]) if sets.n_neurons else np.nan,
                "random": np.median(sets.reached[1:].mean(axis=0)) if sets.n_neurons else np.nan,
            }
        )
    return pd.DataFrame(rows)


@validated(layers=texts, n_draws=partial(whole_number, least=19))
def against_random_axes(
    dissection: Dissection, layers: Sequence[str] | None = None, n_draws: int = 200, seed: int = 0
) -> pd.DataFrame:
    """`dissector_card` neuron by neuron: layer, neuron, concept, following, random, p; NaN of one that does not vary.

    concept is the one that the neuron follows best, by correlation `following`; random is the mean over the sets of the best
    axis. This is about the dissector: as a sign of a single label that is right it is worse than `trust.predicts`.
    """
    patients_of(dissection)
    parts = []
    for layer in chosen_layers(dissection, layers):
        sets = _compared(dissection, layer, n_draws, seed, [np.arange(len(dissection.probe_table))])[0]
        table = pd.DataFrame({"layer": layer, "neuron": range(dissection.activations[layer].shape[1]), "concept": ""})
        values = {"following": sets.reached[0], "random": sets.reached[1:].mean(axis=0), "p": sets.p_values}
        for column, value in values.items():
            table[column] = np.nan
            table.loc[sets.neurons, column] = value
        table.loc[sets.neurons, "concept"] = np.array(dissection.concepts.names, dtype=object)[sets.best]
        parts.append(table)
    return pd.concat(parts, ignore_index=True)


@dataclass(frozen=True)
class _Sets:
    """What each set of axes reaches: `reached` (1 + n_draws, n_neurons), the concepts first; `best` concept of each neuron."""

    neurons: np.ndarray
    best: np.ndarray
    reached: np.ndarray

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
        return (np.array(at_least) <= PASSES * len(rising) + SAME).mean(axis=0)


@dataclass(frozen=True)
class _Moments:
    """What the correlations of a layer's neurons with any axis need, over some images.

    An axis is the concepts' mean similarity plus a sum of directions: `common` (n_neurons,) and `told` (n_neurons, r) are the
    neurons' products with these, `variance`, `mixed` (r,) and `covariance` (r, r) the second moments of these themselves.
    """

    common: np.ndarray
    told: np.ndarray
    variance: np.ndarray
    mixed: np.ndarray
    covariance: np.ndarray

    def best(self, axes: np.ndarray) -> np.ndarray:
        """(n_neurons,) the largest correlation with any of the axes (r, n_axes)."""
        spread = self.variance + 2 * self.mixed @ axes + (axes * (self.covariance @ axes)).sum(axis=0)
        return ((self.common[:, None] + self.told @ axes) / np.sqrt(np.maximum(spread, TINY))).max(axis=1, initial=-1)


def _compared(dissection: Dissection, layer: str, n_draws: int, seed: int, parts: Sequence[np.ndarray]) -> list[_Sets]:
    """The concepts and `n_draws` sets of random axes, the same for all, on each of several parts of the images."""
    sims, activations = dissection.image_concept_sims, dissection.activations[layer]
    if sims.shape[1] < 2:
        raise ValueError("the dissection has one concept, and no other direction to compare it with; use two at least")
    deviations = sims.astype(np.float64) - sims.mean(axis=1, dtype=np.float64, keepdims=True)
    size, directions = np.linalg.svd(deviations - deviations.mean(axis=0), full_matrices=False)[1:]
    directions = directions[size > NEGLIGIBLE * size[0]].T / np.sqrt(sims.shape[1])
    of_parts, moments = [], []
    for images in parts:
        neurons, own, its = _moments(sims[images].astype(np.float64), activations[images].astype(np.float64), directions)
        reached = np.full((1 + n_draws, len(neurons)), own.max(axis=1, initial=-1))
        of_parts.append(_Sets(neurons, own.argmax(axis=1), reached))
        moments.append(its)
    rng = np.random.default_rng(seed)
    for draw in range(1, 1 + n_draws):
        axes = rng.standard_normal((directions.shape[1], sims.shape[1]), dtype=np.float32)
        for sets, its in zip(of_parts, moments, strict=True):
            sets.reached[draw] = its.best(axes)
    return of_parts


def _moments(sims: np.ndarray, activations: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray, _Moments]:
    """Neurons that vary on these images, their correlations with the concepts, and what those with any axis need."""
    weights, n = top_weights(activations), len(sims)
    neurons = np.flatnonzero(np.isfinite(weights).all(axis=0))
    weights, sims = weights[:, neurons], sims - sims.mean(axis=0)
    scale = max(np.sqrt((sims**2).mean()), TINY)
    sims /= scale
    middle = sims.mean(axis=1)
    along, spread = (sims - middle[:, None]) @ directions, np.sqrt((sims**2).mean(axis=0))
    own = weights.T @ sims / n / np.where(spread > SAME, spread, np.inf)
    parts = weights.T @ middle / n, weights.T @ along / n, (middle**2).mean(), middle @ along / n, along.T @ along / n
    return neurons, own, _Moments(*(np.asarray(part, dtype=np.float32) for part in parts))


def top_weights(activations: np.ndarray) -> np.ndarray:
    """(n_images, n_neurons) standardised: how much an image counts for a neuron by `following`; NaN of a constant one."""
    n = len(activations)
    savage = np.log((n - rankdata(activations, axis=0, nan_policy="propagate") + 0.5) / n) ** 2
    return standardised(0.5 * (standardised(standardised(activations).clip(min=0) ** 2) + standardised(savage)))


def _wilson(share: float, n: int, left_out: np.ndarray) -> tuple[float, float]:
    """The interval of a share of n neurons, from what it is without each group of patients."""
    groups, variance = len(left_out), (len(left_out) - 1) * np.var(left_out)
    alone = share * (1 - share)
    effective = n if variance * n <= alone or alone == 0 else alone / variance
    t = student.ppf((1 + LEVEL) / 2, max(1, groups - 1))
    centre, width = share + t**2 / (2 * effective), t * np.sqrt(alone / effective + t**2 / (4 * effective**2))
    return (centre - width) / (1 + t**2 / effective), (centre + width) / (1 + t**2 / effective)
