"""Random sets have as many neurons as the chosen set, from the same strata where they are matched."""

import numpy as np
import pytest

from mdissect.predictions.random_sets import STRATA, random_sets

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("n_neurons", [1, 4, 7, 64])
@pytest.mark.parametrize("matched", [False, True])
def test_as_many_of_each_stratum(n_neurons, matched):
    rng = np.random.default_rng(n_neurons)
    size = rng.normal(size=n_neurons)
    for n_chosen in {1, n_neurons // 2 or 1, n_neurons}:
        chosen = rng.choice(n_neurons, n_chosen, replace=False)
        sets = random_sets(chosen, n_neurons, 30, 0, size if matched else None)
        assert (sets.sum(axis=1) == n_chosen).all()
        if matched:
            stratum = np.argsort(np.argsort(size)) * min(STRATA, n_neurons) // n_neurons
            own = np.bincount(stratum[chosen], minlength=STRATA)
            assert all((np.bincount(stratum[one], minlength=STRATA) == own).all() for one in sets)


def test_every_neuron_is_as_likely():
    sets = random_sets(np.arange(5), 20, 4000, 1)
    assert np.abs(sets.mean(axis=0) - 0.25).max() < 0.04
    assert not np.array_equal(sets[:10], random_sets(np.arange(5), 20, 10, 2))
    np.testing.assert_array_equal(sets[:10], random_sets(np.arange(5), 20, 10, 1))
