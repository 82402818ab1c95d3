"""Areas under the ROC curve with intervals, what is found among the most similar, and the positions of the largest values.

Pure functions: arrays in, arrays or numbers out.
"""

from dataclasses import dataclass

import numpy as np

from mdissect.arguments import AT_LEAST_ONE, INTEGER, RATE
from mdissect.mapped import is_on_disk
from mdissect.signatures import validated

TIE_DECIMALS = 6  # of cosines: differences beyond are rounding of float32


@validated(k=AT_LEAST_ONE, axis=INTEGER)
def strongest(values: np.ndarray, k: int, axis: int = 0) -> np.ndarray:
    """Positions of the k largest values along an axis, the largest first; ties: the earlier first, NaN last.

    >>> strongest(np.array([0.1, 0.9, np.nan, 0.9]), 3)
    array([1, 3, 0])
    """
    if is_on_disk(values) and values.ndim == 2 and axis == 0:  # a column at a time is in memory
        return np.stack([strongest(np.array(column), k) for column in values.T], axis=1)
    return np.argsort(-values, axis=axis, kind="stable").take(range(min(k, values.shape[axis])), axis=axis)


@dataclass(frozen=True)
class TopImages:
    """`images` (n_neurons, top_k) int64, positions in the probe, and their `activations` (n_neurons, top_k) float32.

    The strongest comes first, of tied ones the earlier image, NaN last. What a dissection keeps with ``keep="top"``.
    """

    images: np.ndarray
    activations: np.ndarray


@validated()
def auc(present: np.ndarray, score: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Area under the ROC curve of scores (n,) for presence (n,) bool, with weights (n,).

    NaN where the finding is present in all or none of the images that count.

    >>> auc(np.array([True, True, False, False]), np.array([0.9, 0.1, 0.4, 0.5]))
    0.5
    """
    from sklearn.metrics import roc_auc_score

    counted = present if weights is None else present[weights > 0]
    both = 0 < np.count_nonzero(counted) < len(counted)
    return float(roc_auc_score(present, score, sample_weight=weights)) if both else float("nan")


@validated()
def auc_matrix(activations: np.ndarray, presence: np.ndarray) -> np.ndarray:
    """AUC (n_neurons, n_concepts) of activations (n_images, n_neurons) for presence (n_images, n_concepts) bool.

    Ties count half; each concept must be present in some images and absent from others.
    """
    from scipy.stats import rankdata

    return auc_of_ranks(rankdata(activations, axis=0), presence)


@validated()
def auc_of_ranks(ranks: np.ndarray, presence: np.ndarray) -> np.ndarray:
    """`auc_matrix` of ranks (n_images[, n_neurons]), 1 for the weakest, ties averaged; NaN where all or none are present."""
    present = presence.sum(axis=0)
    with np.errstate(invalid="ignore"):  # 0 / 0 where there is no pair
        return (ranks.T @ presence - present * (present + 1) / 2) / (present * (len(presence) - present))


@validated(level=RATE)
def auc_interval(y: np.ndarray, score: np.ndarray, clusters: np.ndarray, level: float = 0.95) -> tuple[float, float, float]:
    """AUC (ties count half), low and high end of its interval, of score (n,) for y (n,) bool; images of a cluster count as one.

    The variance is DeLong's (Biometrics 1988) with the sums over `clusters` (n,) int of Obuchowski (Biometrics 1997), the
    same where every cluster is one image. The interval is symmetric on the logit scale, its quantile that of Student's t with
    one degree of freedom less than there are clusters of the scarcer class: the normal quantile leaves out an AUC of 0.5 in
    .05 of the cases on each side instead of .025 with 5 clusters, this one in .02 (tests/benchmark_pvalues.md). The interval
    has no width where every pair is in the right order.
    """
    from scipy.stats import t

    area, error, freedom = _area_and_error(y, score, clusters)
    if error == 0:
        return area, area, area
    centre, width = np.log(area / (1 - area)), t.ppf((1 + level) / 2, freedom) * error
    low, high = 1 / (1 + np.exp(-(centre - width))), 1 / (1 + np.exp(-(centre + width)))
    return area, float(low), float(high)


@validated()
def auc_p_value(y: np.ndarray, score: np.ndarray, clusters: np.ndarray) -> float:
    """Two-sided p of an AUC of 0.5, by the test that `auc_interval` inverts; arguments as there.

    Where every pair is in the right order, or in the wrong one: twice the share of such orders among all orders of the
    clusters with and without.
    """
    from scipy.special import binom
    from scipy.stats import t

    area, error, freedom = _area_and_error(y, score, clusters)
    if error > 0:
        return float(2 * t.sf(abs(np.log(area / (1 - area))) / error, freedom))
    with_y, without = (len(np.unique(clusters[side])) for side in (y, ~y))
    return float(min(1, 2 / binom(with_y + without, with_y))) if area in (0.0, 1.0) else 1.0


def _area_and_error(y: np.ndarray, score: np.ndarray, clusters: np.ndarray) -> tuple[float, float, int]:
    """The AUC, the standard error of its logit (0 where it has none), and the degrees of freedom of that."""
    from scipy.stats import rankdata

    m, n = int(y.sum()), int((~y).sum())
    ranks = rankdata(score)
    place = np.empty(len(y))  # the share of the other class that an image is on the right side of
    place[y] = (ranks[y] - rankdata(score[y])) / n
    place[~y] = 1 - (ranks[~y] - rankdata(score[~y])) / m
    area = float(place[y].mean())
    _, member = np.unique(clusters, return_inverse=True)
    above, below = (np.bincount(member, weights=side * (place - area)) for side in (y, ~y))
    with_y, without = (len(np.unique(member[side])) for side in (y, ~y))
    variance = _inflated(with_y) * (above**2).sum() / m**2 + _inflated(without) * (below**2).sum() / n**2
    variance += 2 * _inflated(member.max() + 1) * (above * below).sum() / (m * n)
    known = area not in (0.0, 1.0) and variance > 0
    return area, float(np.sqrt(variance) / (area * (1 - area))) if known else 0.0, min(with_y, without) - 1


def _inflated(n_clusters: int) -> float:
    """The factor that makes a variance between clusters unbiased."""
    return n_clusters / (n_clusters - 1)


@validated(k=AT_LEAST_ONE)
def found_within(sims: np.ndarray, relevant: np.ndarray, k: int) -> np.ndarray:
    """The probability (n_queries,) that a relevant candidate is among the k most similar, ties in random order.

    >>> found_within(np.array([[0.9, 0.5, 0.5], [0.2, 0.2, 0.2]]), np.eye(3, dtype=bool)[1:], 1).round(3)
    array([0.   , 0.333])

    Similarities that differ by less than 1e-6 are tied: a model that embeds everything alike finds what chance finds. NaN for
    a query without a relevant candidate.

    Parameters
    ----------
    sims : array (n_queries, n_candidates)
    relevant : bool array (n_queries, n_candidates)
        Several candidates may be right; one of them is enough.
    k : int

    Raises
    ------
    ValueError
        Shapes that differ, or similarities that are not finite.
    """
    if sims.shape != relevant.shape or sims.ndim != 2:
        raise ValueError(f"sims {sims.shape} and relevant {relevant.shape} must be two arrays (n_queries, n_candidates)")
    if not np.isfinite(sims).all():
        raise ValueError(f"sims has {(~np.isfinite(sims)).sum()} similarities that are not finite")
    best = np.where(relevant, sims, -np.inf).max(axis=1, initial=-np.inf)
    tied = np.abs(sims - best[:, None]) <= 10.0**-TIE_DECIMALS
    before = ((sims > best[:, None]) & ~tied).sum(axis=1)
    missed = _none_of(tied.sum(axis=1), (tied & relevant).sum(axis=1), np.maximum(k - before, 0))
    return np.where(relevant.any(axis=1), 1 - missed, np.nan)


def _none_of(n: np.ndarray, right: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """The probability that none of `drawn` out of `n` is one of the `right` ones, each (n_queries,)."""
    from scipy.special import gammaln

    drawn = np.minimum(drawn, n)
    possible = n - right >= drawn
    left = np.where(possible, n - right - drawn, 0)
    log = gammaln(n - right + 1.0) + gammaln(n - drawn + 1.0) - gammaln(left + 1.0) - gammaln(n + 1.0)
    return np.where(possible, np.exp(log), 0.0)
