"""Neurons of two trainings, matched by how they respond."""

from dataclasses import replace

import numpy as np
import pytest
from made_up import concept_set, dissected

from mdissect.trust import matched_neurons, recurrence

N_IMAGES, N_NEURONS = 90, 6
NAMES = [("oval mass", "mass"), ("round mass", "mass"), ("clip", "devices"), ("implant", "devices"), ("nipple", "anatomy")]
CONCEPTS = concept_set(NAMES, "concept", "category")


def pair(seed: int = 0, noise: float = 0.3):
    """A dissection, and one of the same neurons in another order with noise; the order."""
    rng = np.random.default_rng(seed)
    sims = rng.standard_normal((N_IMAGES, len(NAMES))).astype(np.float32)
    shown = sims[:, np.arange(N_NEURONS) % len(NAMES)]
    first = shown + 0.2 * rng.standard_normal(shown.shape).astype(np.float32)
    order = rng.permutation(N_NEURONS)
    second = (first + noise * rng.standard_normal(shown.shape).astype(np.float32))[:, order]
    return dissected(sims, first, CONCEPTS), dissected(sims, np.exp(second), CONCEPTS), order


@pytest.mark.parametrize("seed", range(5))
def test_the_same_neurons_find_each_other_in_another_order_and_scale(seed):
    first, second, order = pair(seed)
    table = matched_neurons(first, second, "deep")
    named_by = np.arange(N_NEURONS) % len(NAMES)
    assert table.neuron.tolist() == list(range(N_NEURONS))
    assert (named_by[order[table.partner]] == named_by[table.neuron]).all()
    assert (table.correlation > 0.8).all()
    assert table.same.all()
    assert table.category.all()


def test_images_in_another_order_are_the_same_images():
    first, second, _ = pair()
    rows = np.random.default_rng(1).permutation(N_IMAGES)
    shuffled = replace(
        second,
        activations={"deep": second.activations["deep"][rows]},
        image_concept_sims=second.image_concept_sims[rows],
        probe_table=second.probe_table.iloc[rows],
    )
    assert matched_neurons(first, shuffled, "deep").equals(matched_neurons(first, second, "deep"))


def test_neurons_that_never_vary_and_those_left_over_have_no_row():
    first, second, _ = pair()
    still = first.activations["deep"].copy()
    still[:, 2] = 1
    table = matched_neurons(replace(first, activations={"deep": still}), second, "deep")
    assert sorted(table.neuron) == [0, 1, 3, 4, 5]
    assert table.partner.is_unique
    few = replace(
        second, activations={"deep": second.activations["deep"][:, :4]}, similarity={"deep": second.similarity["deep"][:4]}
    )
    assert len(matched_neurons(first, few, "deep")) == 4


def test_labels_return_more_often_than_with_random_partners():
    first, second, _ = pair()
    found = recurrence(first, second, "deep")
    assert (found["neurons"], found["same"], found["category"]) == (N_NEURONS, 1, 1)
    assert found["same_chance"] == pytest.approx((2 * 2 + 4) / 36)  # the first concept names two of the six
    assert found["category_chance"] == pytest.approx((3 * 3 + 2 * 2 + 1) / 36)


def test_nothing_returns_where_no_neuron_has_a_label():
    first, second, _ = pair()
    nothing = replace(first, similarity={"deep": np.full_like(first.similarity["deep"], np.nan)})
    found = recurrence(nothing, second, "deep")
    assert found["neurons"] == 0
    assert np.isnan(found["same"])
    assert np.isnan(found["category_chance"])


def test_what_cannot_be_compared_is_refused():
    first, second, _ = pair()
    others = replace(second, probe_table=second.probe_table.rename(index={"image 3": "image 999"}))
    with pytest.raises(ValueError, match="90 and 90 images, 89 of them the same"):
        matched_neurons(first, others, "deep")
    renamed = concept_set([(name.upper(), category) for name, category in NAMES], "concept", "category")
    with pytest.raises(ValueError, match="different concepts"):
        matched_neurons(first, replace(second, concepts=renamed), "deep")
    with pytest.raises(ValueError, match="no activations; there are deep"):
        matched_neurons(first, second, "shallow")
