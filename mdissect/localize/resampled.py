"""Intervals of means over images that resample patients: a patient's images are not independent."""

from collections.abc import Iterator, Sequence

import numpy as np

N_BOOTSTRAP = 1000
AT_ONCE = 100
LEVEL = 0.95


def resampled_counts(patients: Sequence[str], n_bootstrap: int = N_BOOTSTRAP, seed: int = 0) -> Iterator[np.ndarray]:
    """How often each image counts (n_resamples, n_images) where patients are drawn with replacement, some at a time."""
    _, member = np.unique(np.asarray(patients, dtype=str), return_inverse=True)
    n_patients = int(member.max(initial=-1)) + 1
    rng = np.random.default_rng(seed)
    for start in range(0, n_bootstrap, AT_ONCE):
        drawn = rng.integers(0, n_patients, (min(AT_ONCE, n_bootstrap - start), n_patients))
        yield np.stack([np.bincount(one, minlength=n_patients) for one in drawn])[:, member]


def interval_of(values: np.ndarray, level: float = LEVEL) -> tuple[float, float]:
    """The middle share of resampled values (n_resamples,), those that are not known left out; NaN where none is."""
    known = values[np.isfinite(values)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def mean_interval(values: np.ndarray, patients: Sequence[str]) -> tuple[float, float, float]:
    """The mean of values (n_images,) and its interval at 95 %; NaN without images, an interval of NaN for one patient."""
    if not len(values):
        return (float("nan"),) * 3
    values = np.asarray(values, dtype=float)
    if len(set(patients)) < 2:
        return float(values.mean()), float("nan"), float("nan")
    means = [counts @ values / counts.sum(axis=1) for counts in resampled_counts(patients)]
    return float(values.mean()), *interval_of(np.concatenate(means))
