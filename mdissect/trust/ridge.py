"""Ridge regression of every neuron on all concepts: the most that a weighted sum of the concepts' similarities predicts."""

from collections.abc import Sequence

import numpy as np

from mdissect.trust.correlation import ROUNDING, standardised

PENALTIES = tuple(np.geomspace(1e-3, 10, 9))  # of the mean variance along a direction
NEGLIGIBLE = 1e-6  # variance along a direction, relative to the largest, below which it is rounding
NEURONS_AT_A_TIME = 512


def ridge_correlations(sims: np.ndarray, activations: np.ndarray, patient: np.ndarray, fit: np.ndarray, test: np.ndarray):
    """(n_neurons,) correlation on the images `test` of each neuron with its ridge regression on the images `fit`.

    `sims` (n_images, n_concepts), `activations` (n_images, n_neurons), `patient` (n_images,) int. Similarities are
    standardised. The penalty of each neuron is that of `PENALTIES` whose fit on one half of the fitted patients predicts the
    other half best, both ways. NaN where the neuron is constant.
    """
    activations = np.where(np.isfinite(activations).all(axis=0), activations, np.nan)
    who = np.unique(patient[fit])
    first = np.isin(patient[fit], who[::2])
    inner = [(fit[first], fit[~first]), (fit[~first], fit[first])] if len(who) > 1 else []
    scored = [_each_penalty(sims, activations, one, other) for one, other in inner]
    return best_penalty(scored, _each_penalty(sims, activations, fit, test))


def best_penalty(scored: Sequence[np.ndarray], found: np.ndarray) -> np.ndarray:
    """(n_neurons,) of what each penalty found (n_penalties, n_neurons), the one that scored best on other images."""
    total = sum((np.nan_to_num(one) for one in scored), start=np.zeros(found.shape))
    return np.take_along_axis(found, total.argmax(axis=0)[None], axis=0)[0]


def _each_penalty(sims: np.ndarray, activations: np.ndarray, fit: np.ndarray, test: np.ndarray) -> np.ndarray:
    """(n_penalties, n_neurons) correlations on `test` of the fits on `fit`."""
    mean, spread = sims[fit].mean(axis=0), sims[fit].std(axis=0)  # in float64; the products below are not, for speed
    varies = spread > ROUNDING * np.abs(sims[fit]).max(axis=0, initial=0)
    x, new = (_single((sims[some] - mean) / np.where(varies, spread, np.inf)) for some in (fit, test))
    directions, variances = _directions(x)
    found = np.full((len(PENALTIES), activations.shape[1]), np.nan)
    if not len(variances):
        return found
    x, new = x @ directions, (new - new.mean(axis=0)) @ directions
    among = new.T @ new
    for start in range(0, activations.shape[1], NEURONS_AT_A_TIME):
        some = slice(start, start + NEURONS_AT_A_TIME)
        y, truth = (_single(standardised(activations[images, some])) for images in (fit, test))
        shared, told, norm = x.T @ y / len(fit), new.T @ truth, np.linalg.norm(truth, axis=0)
        found[:, some] = with_penalties(variances, shared, among, told, norm)
    return found


def with_penalties(
    variances: np.ndarray, shared: np.ndarray, among: np.ndarray, told: np.ndarray, norm: np.ndarray
) -> np.ndarray:
    """(n_penalties, n_neurons): the correlation on new images of the ridge regression with each of `PENALTIES`.

    Along r directions with these `variances` (r,): `shared` (r, n_neurons), each neuron's covariances on the fitted images; on
    the new ones, `among` (r, r) and `told` (r, n_neurons) are the sums of products of the directions, and of these with the
    standardised neurons, whose lengths are `norm` (n_neurons,).
    """
    found = np.full((len(PENALTIES), len(norm)), np.nan)
    for i, penalty in enumerate(PENALTIES):
        weights = shared / (variances + penalty * variances.mean())[:, None]
        size = np.sqrt((weights * (among @ weights)).sum(axis=0).clip(min=0)) * norm
        found[i] = np.divide((weights * told).sum(axis=0), size, out=np.full(len(norm), np.nan), where=size > 0)
    return found


def _single(x: np.ndarray) -> np.ndarray:
    return x.astype(np.float32)


def _directions(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Principal directions (n_concepts, r) of centred x (n_images, n_concepts) and the variances (r,) along them."""
    n_images, n_concepts = x.shape
    wide = n_concepts > n_images
    variances, vectors = np.linalg.eigh((x @ x.T if wide else x.T @ x) / n_images)
    kept = variances > NEGLIGIBLE * max(variances[-1], 0)
    variances, vectors = variances[kept], vectors[:, kept]
    return (x.T @ vectors / np.sqrt(n_images * variances) if wide else vectors), variances
