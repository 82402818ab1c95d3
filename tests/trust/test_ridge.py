"""Ridge regression of neurons on all concepts against scikit-learn's."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from mdissect.trust.ridge import PENALTIES, _each_penalty, ridge_correlations


def sums(seed: int = 0, n: int = 200, n_concepts: int = 12) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    sims = rng.standard_normal((n, n_concepts)) @ rng.standard_normal((n_concepts, n_concepts))
    return sims, sims @ rng.standard_normal((n_concepts, 3)) / 4 + rng.standard_normal((n, 3))


@pytest.mark.parametrize("n_concepts", [12, 150])  # more concepts than images too
def test_it_is_scikit_learns(n_concepts):
    sims, activations = sums(n_concepts=n_concepts)
    fit, test = np.arange(100), np.arange(100, 200)
    found = _each_penalty(sims, activations, fit, test)
    x = (sims - sims[fit].mean(axis=0)) / sims[fit].std(axis=0)
    variances = np.linalg.eigvalsh(x[fit].T @ x[fit] / 100)
    scale = variances[variances > 1e-6 * variances.max()].mean()
    for i in (0, 4, 8):
        model = Ridge(alpha=100 * PENALTIES[i] * scale).fit(x[fit], activations[fit])
        expected = [np.corrcoef(a, b)[0, 1] for a, b in zip(model.predict(x[test]).T, activations[test].T, strict=True)]
        assert found[i] == pytest.approx(expected, abs=1e-3)


def test_sums_of_concepts_are_predicted_and_noise_is_not():
    patient = np.repeat(np.arange(50), 4)
    for seed in range(8):
        sims, activations = sums(seed)
        activations[:, 2] = np.random.default_rng(seed + 100).standard_normal(200)
        first = patient % 2 == 0
        found = ridge_correlations(sims, activations, patient, np.flatnonzero(first), np.flatnonzero(~first))
        assert (found[:2] > 0.7).all()
        assert abs(found[2]) < 0.45


def test_what_does_not_vary_is_unknown():
    sims, activations = sums()
    sims[:, 0], activations[:, 0], activations[3, 1] = 1, 2, np.inf
    found = ridge_correlations(sims, activations, np.arange(200), np.arange(100), np.arange(100, 200))
    assert np.isnan(found).tolist() == [True, True, False]
    nothing = ridge_correlations(np.ones((200, 4)), activations, np.arange(200), np.arange(100), np.arange(100, 200))
    assert np.isnan(nothing).all()
