"""How neurons relate: those with correlated activations, and a map of their concept profiles."""

from collections.abc import Sequence

import numpy as np

N_SIMILAR = 5  # of its own model, and as many of the others
AT_A_TIME = 512
MOST_TSNE = 8000  # more neurons are drawn by principal components alone: t-SNE would take minutes


def similar_neurons(activations: Sequence[np.ndarray], models: Sequence[int]) -> list[list[tuple[int, float]]]:
    """The neurons whose activations over the same images correlate most with each neuron's, as (number, correlation).

    Up to five of its own model and five of the others. `activations` are (n_images, n_neurons) of layers one after the other,
    which number the neurons; `models` says whose layer each is.
    """
    if not activations:
        return []
    owner = np.repeat(models, [one.shape[1] for one in activations])
    z = np.concatenate([_standardised(one) for one in activations], axis=1)
    found = []
    for start in range(0, z.shape[1], AT_A_TIME):
        block = z[:, start : start + AT_A_TIME].T @ z
        for i, row in enumerate(block, start):
            row[i] = -np.inf
            own = owner == owner[i]
            found.append([*_highest(row, own), *_highest(row, ~own)])
    return found


def concept_map(profiles: np.ndarray) -> np.ndarray:
    """Places (n_neurons, 2) in 0 to 1 where neurons with similar concepts are near each other; NaN for unnamed neurons.

    t-SNE of their standardised similarities (n_neurons, n_concepts), started from the principal components; of more than 8,000
    neurons, or fewer than 10, the principal components themselves.
    """
    places = np.full((len(profiles), 2), np.nan)
    named = np.isfinite(profiles).all(axis=1)
    if profiles.shape[1] < 2 or named.sum() < 2:
        return places
    rows = profiles[named].astype(np.float32)
    rows = rows - rows.mean(axis=1, keepdims=True)
    rows /= np.maximum(rows.std(axis=1, keepdims=True), 1e-9)
    places[named] = _laid_out(rows)
    low, high = np.nanmin(places, axis=0), np.nanmax(places, axis=0)
    return (places - low) / np.maximum(high - low, 1e-9)


def _laid_out(rows: np.ndarray) -> np.ndarray:
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits  # of scikit-learn

    parts = PCA(min(30, *rows.shape), random_state=0).fit_transform(rows)
    if parts.shape[1] < 2:
        parts = np.column_stack([parts, np.zeros(len(parts))])
    if not 10 <= len(rows) <= MOST_TSNE:
        return parts[:, :2]
    start = parts[:, :2] / max(float(parts[:, 0].std()), 1e-9) * 1e-4
    nearest = min(30, (len(rows) - 1) / 3)
    with threadpool_limits(1):  # on a busy machine its threads wait for each other, ten times as long
        return TSNE(perplexity=nearest, init=start.astype(np.float32), max_iter=500, random_state=0).fit_transform(parts)


def _standardised(activations: np.ndarray) -> np.ndarray:
    """Columns of mean 0 and length 1; 0 throughout where a neuron is constant or not finite."""
    values = activations.astype(np.float32)
    values = np.where(np.isfinite(values).all(axis=0), values, 0)
    values = values - values.mean(axis=0)
    length = np.linalg.norm(values, axis=0)
    return np.where(length > 1e-6, values / np.maximum(length, 1e-6), 0).astype(np.float32)


def _highest(row: np.ndarray, which: np.ndarray) -> list[tuple[int, float]]:
    at = np.flatnonzero(which & (row > 0))
    if len(at) > N_SIMILAR:
        at = at[np.argpartition(-row[at], N_SIMILAR)[:N_SIMILAR]]
    at = at[np.argsort(-row[at], kind="stable")]
    return [(int(i), round(float(row[i]), 3)) for i in at]
