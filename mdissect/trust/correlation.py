"""Correlations of neurons with concepts over images, and their intervals over patients."""

import numpy as np

LEVEL = 0.95  # of the intervals
ROUNDING = 4 * np.finfo(np.float32).eps  # a column that varies less, relative to its largest value, is constant
PERFECT = 1 - 1e-12  # the largest correlation whose Fisher transform is taken
MOST_LEVERAGE = 0.75  # of a patient on a correlation
NEURONS_AT_A_TIME = 512


def standardised(x: np.ndarray) -> np.ndarray:
    """Columns standardised over images; NaN for one that is constant up to rounding or not finite."""
    with np.errstate(invalid="ignore", over="ignore"):
        centred, size = x - x.mean(axis=0), np.abs(x).max(axis=0, initial=0)
        spread = np.sqrt((centred**2).mean(axis=0))
        return centred / np.where(spread > ROUNDING * size, spread, np.nan)


def correlations(activations: np.ndarray, sims: np.ndarray) -> np.ndarray:
    """Pearson's (n_neurons, n_concepts) of activations (n, n_neurons) and sims (n, n_concepts); NaN where one is constant."""
    z_sims, blocks = standardised(sims), []
    for start in range(0, activations.shape[1], NEURONS_AT_A_TIME):
        blocks.append(standardised(activations[:, start : start + NEURONS_AT_A_TIME]).T @ z_sims / len(sims))
    return np.clip(np.concatenate(blocks), -1, 1)


def interval(r: np.ndarray, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both ends of the intervals of correlations r (n,), from each patient's influence (n_patients, n) on them."""
    from scipy.special import stdtrit  # Student's quantiles

    n_patients, squares = len(shares), shares**2
    variance, left = squares.sum(axis=0), max(1, n_patients - 2)  # two means were estimated
    with np.errstate(divide="ignore", invalid="ignore"):
        freedom = 2 * variance**2 / ((squares**2).sum(axis=0) - variance**2 / n_patients)
        freedom = np.fmin(np.where(freedom > 0, freedom, np.inf), left).clip(min=1)
        error = np.sqrt(variance) / (1 - r**2)
        width = np.where(np.abs(r) < 1, stdtrit(freedom, (1 + LEVEL) / 2) * error, 0.0)
        centre = np.arctanh(np.clip(r, -PERFECT, PERFECT))
    return np.tanh(centre - width), np.tanh(centre + width)


def influence(
    activations: np.ndarray, sims: np.ndarray, label: np.ndarray, r: np.ndarray, patient: np.ndarray, n_patients: int
) -> np.ndarray:
    """(n_patients, n_neurons): of each patient, on the correlations r (n_neurons,) with the label's sims; 0 where r is NaN.

    `patient` (n,) int says whose each of these images is. What a patient does to r is enlarged as if it were left out: by
    1 / (1 - h) with its leverage h, its images' mean of 1 and of the squared standardised values.
    """
    from scipy.sparse import csr_array

    share = np.full(len(patient), 1 / len(patient))
    belongs = csr_array((share, (patient, np.arange(len(patient)))), (n_patients, len(patient)))
    found, known = np.zeros((n_patients, len(label))), np.flatnonzero(np.isfinite(r))
    for start in range(0, len(known), NEURONS_AT_A_TIME):
        some = known[start : start + NEURONS_AT_A_TIME]
        a, s = standardised(activations[:, some]), standardised(sims[:, label[some]])
        size = (a**2 + s**2) / 2
        found[:, some] = belongs @ (a * s - r[some] * size) / (1 - (belongs @ (1 + size)).clip(max=MOST_LEVERAGE))
    return found
