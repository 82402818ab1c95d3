"""Similar neurons and the map."""

import numpy as np

from mdissect.atlas.relations import concept_map, similar_neurons


def test_correlated_neurons_of_the_own_model_and_of_others():
    rng = np.random.default_rng(0)
    a = rng.normal(size=(200, 3))
    b = np.column_stack([2 * a[:, 1] + 5, -a[:, 0], np.ones(200), np.full(200, np.nan)])
    near = similar_neurons([a, b], [0, 1])
    assert near[1][-1] == (3, 1.0) or (3, 1.0) in near[1]
    assert (1, 1.0) in near[3]
    assert all(other != 4 or value < 0.5 for other, value in near[0])  # the opposite is not similar
    assert near[5] == near[6] == []  # constant, not finite
    assert similar_neurons([], []) == []


def test_neurons_of_the_same_concepts_are_near_each_other():
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(3), 20)
    profiles = np.eye(8)[group] * 5 + rng.normal(size=(60, 8)) * 0.1
    profiles[7] = np.nan
    places = concept_map(profiles)
    assert np.isnan(places[7]).all()
    there = np.delete(places, 7, axis=0)
    assert there.min() >= 0
    assert there.max() <= 1
    distance = np.linalg.norm(there[:, None] - there[None], axis=-1)
    same = np.delete(group, 7)[:, None] == np.delete(group, 7)[None]
    assert distance[same].mean() < 0.5 * distance[~same].mean()


def test_few_neurons_or_concepts_have_a_map_too_or_none():
    assert np.isfinite(concept_map(np.random.default_rng(0).normal(size=(4, 3)))).all()
    assert np.isnan(concept_map(np.ones((5, 1)))).all()
    assert np.isnan(concept_map(np.full((5, 4), np.nan))).all()
