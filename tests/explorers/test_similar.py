"""Tests of the neurons whose activations go together, and of the meanings beside a label."""

import numpy as np
import pytest
import twins

import mdissect
from mdissect.explorers.glossary import explained, terms
from mdissect.explorers.reading import Reading
from mdissect.explorers.similar import similar_neurons


def readings(**found):
    return {name: Reading(dissection) for name, dissection in (found or twins.twins()).items()}


@pytest.mark.parametrize("seed", range(4))
def test_correlations_are_those_of_numpy(seed):
    rng = np.random.default_rng(seed)
    one, two = twins.twin("M"), twins.twin("C4")
    for found in (one, two):
        base = rng.normal(size=(30, 1))
        found.activations = {layer: base + rng.normal(size=values.shape) for layer, values in found.activations.items()}
    order = rng.permutation(30)  # the other model saw the images in another order
    two.activations = {layer: values[order] for layer, values in two.activations.items()}
    two.probe_table = two.probe_table.iloc[order]
    table = similar_neurons(readings(M=one, C4=two), "M", "deep", 1, k=99)
    for row in table.itertuples():
        values = (one if row.model == "M" else two).activations[row.layer][:, row.neuron]
        values = values if row.model == "M" else values[np.argsort(order)]
        assert row.correlation == pytest.approx(np.corrcoef(one.activations["deep"][:, 1], values)[0, 1], abs=1e-5)
    own = table[table.model == "M"]
    assert (np.diff(own.correlation) <= 1e-3).all()
    assert not ((own.layer == "deep") & (own.neuron == 1)).any()


def test_the_same_channel_of_a_copy_comes_first_and_neurons_that_do_not_vary_are_left_out():
    table = similar_neurons(readings(), "M", "deep", 0)
    other = table[table.model == "C4"].iloc[0]
    assert (other.layer, other.neuron, other.correlation) == ("deep", 0, pytest.approx(1))
    assert not ((table.model == "C4") & (table.layer == "deep") & (table.neuron == 3)).any()  # it is 7 throughout
    assert similar_neurons(readings(), "C4", "deep", 3).empty


def test_a_spread_far_below_the_mean_and_values_that_are_not_finite():
    one = twins.twin("M")
    column = one.activations["deep"].astype(np.float32)
    column[:, 1] = 1e4 + column[:, 0]  # single precision alone would lose it
    column[:, 2] = np.nan
    one.activations["deep"] = column
    table = similar_neurons(readings(M=one), "M", "deep", 0)
    assert (table.layer[0], table.neuron[0]) == ("deep", 1)
    assert table.correlation[0] == pytest.approx(1, abs=2e-3)
    assert similar_neurons(readings(M=one), "M", "deep", 2).empty


def test_terms_before_a_value_are_explained_with_the_numbers_of_draws():
    found = twins.twin("M")
    trust = found.labels().assign(p=0.01, q=0.02, stability=0.9)
    trust.attrs = {"n_null": 1000, "n_boot": 30}
    known = terms(Reading(found, trust=trust))
    assert "1,000 random rankings" in known["q"]
    assert "30 bootstrap resamples" in known["stability"]
    html = explained("needs prior exam, q 0.020, p 0.01; the published rule says <b>", known)
    assert html.count("<abbr") == 3
    assert "published rule says &lt;b&gt;" in html
    assert "bootstrap resamples" in terms(Reading(found))["stability"]
    shared = mdissect.explore_concepts(twins.twins()).sides.readings["M"]
    assert "the largest of the models’" in terms(shared)["threshold"]
