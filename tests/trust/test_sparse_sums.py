"""Sums of a few concepts: the best of all, by a literal search, and never of two words for one thing."""

from itertools import combinations

import numpy as np
import pytest

from mdissect.trust.sparse_sums import ALIKE, positive_sums


def world(seed: int, n_concepts: int = 9, n_neurons: int = 6, d: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Correlations of concepts that share `d` directions, and of neurons with them."""
    rng = np.random.default_rng(seed)
    sims = rng.standard_normal((80, d)) @ rng.standard_normal((d, n_concepts)) + 0.3 * rng.standard_normal((80, n_concepts))
    sims = (sims - sims.mean(0)) / sims.std(0)
    neurons = sims[:, :n_neurons] + sims[:, -n_neurons:] + rng.standard_normal((80, n_neurons))
    neurons = (neurons - neurons.mean(0)) / neurons.std(0)
    return sims.T @ sims / 80, sims.T @ neurons / 80


def explained(gram, target, members) -> float:
    """R2 of least squares on some concepts; 0 where a weight is not above 0 or a concept adds no word of its own."""
    inner = gram[np.ix_(members, members)]
    weights = np.linalg.solve(inner, target[members])
    own = 1 / np.diag(np.linalg.inv(inner))
    allowed = (weights > 0).all() and (own >= 1 - ALIKE**2).all() and (target[members] > 0).all()
    return float(weights @ target[members]) if allowed else 0.0


@pytest.mark.parametrize("seed", range(8))
def test_one_and_two_concepts_are_the_best_of_all(seed):
    gram, correlation = world(seed)
    chosen, weights = positive_sums(gram, correlation, most=2)
    for neuron, target in enumerate(correlation.T):
        assert chosen[neuron, 0].tolist() == [target.argmax(), -1]
        best = max(combinations(range(len(gram)), 2), key=lambda pair, target=target: explained(gram, target, list(pair)))
        if explained(gram, target, list(best)) > target.max() ** 2 + 1e-3:
            assert chosen[neuron, 1].tolist() == list(best)
            np.testing.assert_allclose(gram[np.ix_(best, best)] @ weights[neuron, 1], target[list(best)], atol=1e-9)


def test_three_concepts_are_nearly_always_the_best_of_all():
    """The exchange may stop before the best one; over 96 neurons it finds 0.99 of what the best sums explain."""
    found, best = [], []
    for seed in range(16):
        gram, correlation = world(seed)
        chosen, _ = positive_sums(gram, correlation, most=3)
        for target, members in zip(correlation.T, chosen[:, 2], strict=True):
            found.append(explained(gram, target, members[members >= 0].tolist()))
            best.append(max(explained(gram, target, list(three)) for three in combinations(range(len(gram)), 3)))
    assert np.sum(found) >= 0.97 * np.sum(best)


def test_weights_are_above_zero_and_each_sum_explains_more():
    gram, correlation = world(3, n_concepts=30, n_neurons=20)
    chosen, weights = positive_sums(gram, correlation, most=4)
    assert (weights[chosen >= 0] > 0).all()
    assert (weights[chosen < 0] == 0).all()
    r2 = (weights * np.take_along_axis(correlation.T[:, None], chosen.clip(0), axis=2)).sum(axis=2)
    assert (np.diff(r2) >= -1e-9).all()


def test_a_synonym_is_never_the_second_word():
    """Two columns of one thing: the first of them is named, and the next word is another thing."""
    gram = np.array([[1.0, 0.0, 0.97], [0.0, 1.0, 0.1], [0.97, 0.1, 1.0]])
    chosen, _ = positive_sums(gram, np.array([[0.7], [0.4], [0.7]]), most=3)
    assert chosen[0].tolist() == [[0, -1, -1], [0, 1, -1], [0, 1, -1]]


def test_forms_of_one_word_do_not_share_a_sum():
    chosen, _ = positive_sums(np.eye(3), np.array([[0.7], [0.6], [0.3]]), most=2, forms=np.array([4, 4, 1]))
    assert chosen[0, 1].tolist() == [0, 2]


def test_equal_columns_go_by_the_order_of_the_set_whatever_the_last_bits():
    for noise in (-1e-7, 1e-7):
        chosen, _ = positive_sums(np.ones((2, 2)), np.array([[0.5], [0.5 + noise]]), most=2)
        assert chosen[0].tolist() == [[0, -1], [0, -1]]


@pytest.mark.parametrize(
    ("gram", "target"),
    [(np.eye(2), [-0.3, -0.1]), (np.eye(2), [0.0, 0.0]), (np.zeros((2, 2)), [0.0, 0.0]), (np.zeros((0, 0)), [])],
)
def test_nothing_to_follow_is_no_sum(gram, target):
    chosen, weights = positive_sums(gram, np.array(target, dtype=float)[:, None], most=2)
    assert (chosen == -1).all()
    assert not weights.any()


@pytest.mark.parametrize("seed", [1, 4, 9, 17, 18, 25, 33, 58])
def test_a_second_word_that_adds_nothing_is_no_error(seed):
    """In the plane of two directions: the best pair of these adds too little to be told from concepts that are no pair."""
    rng = np.random.default_rng(seed)
    sims = rng.standard_normal((48, 2)) @ rng.standard_normal((2, 40))
    neurons = rng.standard_normal((48, 30)) + sims[:, :30]
    sims = sims.astype(np.float32).astype(float)
    sims, neurons = ((one - one.mean(0)) / one.std(0) for one in (sims, neurons))
    chosen, weights = positive_sums(sims.T @ sims / 48, sims.T @ neurons / 48, most=3)
    assert (chosen[:, 0, 0] >= 0).all()
    assert (weights >= 0).all()


def test_no_neurons():
    chosen, weights = positive_sums(np.eye(2), np.zeros((2, 0)), most=3)
    assert chosen.shape == weights.shape == (0, 3, 3)
