"""Scores of several sets of predictions on resampled patients, by the sums that they are linear in."""

import numpy as np

from mdissect.train.metrics import resampled_scores

METRICS = ("auc", "accuracy", "macro_f1")
TIE = 1e-6  # part of the spread of the untouched log odds below which they are equal: rounding must not rank the images


def log_odds(probability: np.ndarray) -> np.ndarray:
    """Finite log odds of probabilities, 0 and 1 too."""
    from scipy.special import logit

    return logit(probability.clip(np.finfo(float).tiny, 1 - np.finfo(float).epsneg))


def tie_of(probability: np.ndarray) -> float:
    """Log odds that differ by less are equal, for an untouched network's probabilities (n_images, n_classes).

    Where all that tells images apart was ablated, rounding alone is left.
    """
    return TIE * float(log_odds(probability).std())


def mean_scores(y: np.ndarray, probability: np.ndarray, weights: np.ndarray, metric: str, tie: float = 0.0) -> np.ndarray:
    """The mean over sets of a score for each row of weights, (n_resamples,).

    `y` (n_images,) classes, `probability` (n_sets, n_images, n_classes), `weights` (n_resamples, n_images): how often an image
    counts. Each is what `mdissect.train.metrics.resampled_scores` gives. AUC and accuracy are linear in the pairs, or images,
    that are right: their mean over the sets is that of one set of mean pairs, which costs no more than one.
    """
    if metric == "accuracy":
        right = (probability.argmax(axis=2) == y).mean(axis=0)
        return weights @ right / weights.sum(axis=1)
    if metric == "macro_f1":
        return np.mean([resampled_scores(y, one, weights)["macro_f1"] for one in probability], axis=0)
    n_classes, odds = probability.shape[2], log_odds(probability)
    aucs = [_auc(y == c, odds[:, :, c], weights, tie) for c in ([1] if n_classes == 2 else range(n_classes))]
    known = np.isfinite(aucs)
    return np.where(known.any(axis=0), np.where(known, aucs, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1), np.nan)


def _auc(positive: np.ndarray, scores: np.ndarray, weights: np.ndarray, tie: float) -> np.ndarray:
    """The mean over sets (n_sets, n_images) of the share of pairs in the right order, ties counting half; NaN without pairs."""
    pairs = np.zeros((positive.sum(), (~positive).sum()), dtype=np.float32)
    for score in scores:
        apart = score[positive][:, None] - score[~positive][None]
        pairs += np.sign(apart) * (np.abs(apart) > tie)
    right = (1 + pairs / len(scores)) / 2
    above, below = weights[:, positive], weights[:, ~positive]
    of_all = above.sum(axis=1) * below.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(of_all > 0, ((above @ right) * below).sum(axis=1) / of_all, np.nan)
