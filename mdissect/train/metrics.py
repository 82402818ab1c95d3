"""Metrics of a classifier by scikit-learn, with intervals that resample patients, not images."""

from collections.abc import Sequence

import numpy as np

from mdissect.metrics import auc

N_BOOTSTRAP = 1000
LEVEL = 0.95
RESAMPLED_AT_ONCE = 100
MOST_WEIGHTS = 5_000_000  # of images in resamples at a time, so that memory does not grow with the images


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Class probabilities (n, n_classes) from logits (n, 1), by the logistic function, or (n, n_classes), by softmax."""
    from scipy.special import expit, softmax

    logits = np.asarray(logits, dtype=np.float64)
    if logits.shape[1] == 1:
        return np.hstack([expit(-logits), expit(logits)])
    return softmax(logits, axis=1)


def classification_scores(y: np.ndarray, probability: np.ndarray, weights: np.ndarray | None = None) -> dict[str, float]:
    """auc, accuracy and macro_f1 of probabilities (n, n_classes) for true classes (n,), images counted `weights` (n,) times.

    The most probable class is the prediction (of two equal ones the first). auc is that of the positive class for two classes,
    else the mean of each class against all others, macro_f1 the mean F1, both over the classes that occur in `y`; auc is NaN
    where only one does.
    """
    from sklearn.metrics import accuracy_score, f1_score

    weights = np.ones(len(y)) if weights is None else weights
    used = weights > 0
    y, probability, weights = y[used], probability[used], weights[used]
    predicted, present = probability.argmax(axis=1), np.unique(y)
    positives = [1] if probability.shape[1] == 2 else present
    return {
        "auc": float(np.mean([auc(y == c, probability[:, c], weights) for c in positives])),
        "accuracy": float(accuracy_score(y, predicted, sample_weight=weights)),
        "macro_f1": float(f1_score(y, predicted, labels=present, average="macro", sample_weight=weights, zero_division=0)),
    }


def evaluation(
    y: np.ndarray, probability: np.ndarray, classes: Sequence[str], patients: Sequence[str], n_bootstrap: int = N_BOOTSTRAP
) -> dict:
    """Scores with bootstrap intervals, the confusion matrix, and the scores of always predicting the most frequent class.

    n_images, n_patients; auc, accuracy, macro_f1 as `classification_scores` has them, and <name>_interval [low, high] at 95 %;
    confusion (rows: true class, columns: predicted), classes; majority: accuracy and macro_f1 of the commonest class.

    Patients (n,), not images, are drawn with replacement: a patient's views are not independent. Resamples without two classes
    are left out of the interval of the AUC; `n_bootstrap` 0: no intervals. ValueError: lengths that differ, or probabilities
    that are not finite.
    """
    from sklearn.metrics import confusion_matrix

    y, patients = np.asarray(y), np.asarray(patients, dtype=object)
    if not len(y) == len(probability) == len(patients):
        raise ValueError(f"{len(y)} labels, {len(probability)} predictions and {len(patients)} patients do not match")
    if not np.isfinite(probability).all():
        raise ValueError(f"{(~np.isfinite(probability)).any(axis=1).sum()} of {len(y)} predictions are not finite")
    commonest = np.eye(len(classes))[np.full(len(y), np.bincount(y, minlength=len(classes)).argmax())]
    majority = classification_scores(y, commonest)
    return {
        "n_images": len(y),
        "n_patients": len(set(patients)),
        **classification_scores(y, probability),
        **_intervals(y, probability, patients, n_bootstrap),
        "classes": list(classes),
        "confusion": confusion_matrix(y, probability.argmax(axis=1), labels=range(len(classes))).tolist(),
        "majority": {name: majority[name] for name in ("accuracy", "macro_f1")},
    }


def _intervals(y: np.ndarray, probability: np.ndarray, patients: np.ndarray, n_bootstrap: int) -> dict:
    if not n_bootstrap:
        return {}
    _, member = np.unique(patients.astype(str), return_inverse=True)
    n_patients = member.max() + 1
    rng = np.random.default_rng(0)
    parts = []
    at_once = max(1, min(RESAMPLED_AT_ONCE, MOST_WEIGHTS // len(y)))
    for start in range(0, n_bootstrap, at_once):
        resamples = rng.integers(0, n_patients, (min(at_once, n_bootstrap - start), n_patients))
        times = np.stack([np.bincount(resample, minlength=n_patients) for resample in resamples])
        parts.append(resampled_scores(y, probability, times[:, member].astype(float)))
    tails, intervals = [(1 - LEVEL) / 2, (1 + LEVEL) / 2], {}
    for name in parts[0]:
        values = np.concatenate([part[name] for part in parts])
        values = values[np.isfinite(values)]
        intervals[f"{name}_interval"] = np.quantile(values, tails).tolist() if len(values) else [float("nan")] * 2
    return intervals


def resampled_scores(y: np.ndarray, probability: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    """`classification_scores` for weights (n_resamples, n), each (n_resamples,); a thousand times faster than one by one."""
    n_classes = probability.shape[1]
    cells = np.eye(n_classes**2)[y * n_classes + probability.argmax(axis=1)]
    confusion = (weights @ cells).reshape(-1, n_classes, n_classes)
    true, named, right = confusion.sum(axis=2), confusion.sum(axis=1), confusion.diagonal(axis1=1, axis2=2)
    f1 = np.where(true > 0, 2 * right / np.maximum(true + named, 1e-12), np.nan)
    positives = [1] if n_classes == 2 else range(n_classes)
    aucs = np.stack([_weighted_auc(y == c, probability[:, c], weights) for c in positives])
    return {
        "auc": _mean_of_known(aucs.T),
        "accuracy": right.sum(axis=1) / true.sum(axis=1),
        "macro_f1": _mean_of_known(f1),
    }


def _weighted_auc(positive: np.ndarray, score: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The share of pairs in the right order, ties counting half, for each row of weights; NaN without pairs."""
    order = np.argsort(score, kind="stable")
    ties = np.flatnonzero(np.diff(score[order], prepend=-np.inf))  # where each group of equal scores starts
    above, below = (np.add.reduceat((weights * side)[:, order], ties, axis=1) for side in (positive, ~positive))
    beaten = np.cumsum(below, axis=1) - below / 2
    pairs = above.sum(axis=1) * below.sum(axis=1)
    return np.where(pairs > 0, (above * beaten).sum(axis=1) / np.maximum(pairs, 1e-12), np.nan)


def _mean_of_known(values: np.ndarray) -> np.ndarray:
    """Mean of each row without its NaN; NaN where nothing is left."""
    known = np.isfinite(values)
    total = np.where(known, values, 0).sum(axis=1)
    return np.where(known.any(axis=1), total / np.maximum(known.sum(axis=1), 1), np.nan)


def summary(metrics: dict) -> Sequence[str]:
    """A fine-tuning's result in lines of text."""
    chosen = f"best of {metrics['epochs']} epochs: {metrics['best epoch']}"
    lines = [f"{metrics['target']} fine-tuned to tell {metrics['task']} ({chosen})"]
    if metrics["without label"]:
        lines.append(f"left out, without label: {metrics['without label']} images")
    for part in ("validation", "test", "held-out"):
        if part in metrics:
            lines += _scores(part, metrics[part])
    return [*lines, f"to load it: {metrics['loading']}"]


def _scores(part: str, found: dict) -> list[str]:
    values = []
    for name in ("auc", "accuracy", "macro_f1"):
        if found[name] is not None:
            low, high = found[f"{name}_interval"]
            values.append(f"{name.replace('_', ' ')} {found[name]:.3f} (95 % {low:.3f} to {high:.3f})")
    lines = [f"{part}: {found['n_images']} images of {found['n_patients']} patients; {'; '.join(values)}"]
    width = max(map(len, found["classes"]))
    lines += [
        f"  {name:>{width}} " + " ".join(f"{n:5d}" for n in row)
        for name, row in zip(found["classes"], found["confusion"], strict=True)
    ]
    return [*lines, f"  (rows: true class; columns: predicted, in the same order; always the commonest: accuracy "
            f"{found['majority']['accuracy']:.3f}, macro F1 {found['majority']['macro_f1']:.3f})"]  # fmt: skip
