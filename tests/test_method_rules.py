"""Dissections by the other rules: labels, notes, counts, calibration and figures, from end to end on toys."""

import inspect
import json

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import toys

from mdissect import analysis, trust
from mdissect.dissection import Dissection
from mdissect.plots import save_figure
from mdissect.similarity import SIMILARITIES

OTHERS = ("following", "rising", "contrastive", "top_auc")
EVERY = tuple(SIMILARITIES)


@pytest.fixture(scope="module")
def by_rule():
    probe = toys.toy_probe(80)
    return {rule: toys.toy_dissect(toys.toy_target(), probe=probe, similarity=rule, top_k=8) for rule in EVERY}


@pytest.mark.parametrize("rule", OTHERS)
def test_planted_neurons_are_named(by_rule, rule):
    labels = by_rule[rule].labels()
    named = labels.set_index("neuron").concept
    assert [named[neuron] for neuron in range(8)] == [f"row {row}" for row in toys.PLANTED]
    unnamed = labels[labels.neuron.isin([toys.CONSTANT, toys.NOT_FINITE])]
    assert unnamed.concept.eq("").all()
    assert unnamed.note.tolist() == ["constant", "not finite"]


@pytest.mark.parametrize("rule", EVERY)
def test_ties_are_noted_only_where_top_images_count(by_rule, rule):
    counts = "top_k" in inspect.signature(SIMILARITIES[rule]).parameters
    assert (by_rule[rule].notes["neurons"][toys.TIED] == "tied") == counts
    assert by_rule[rule].settings["similarity"] == rule
    assert ("top_k" in by_rule[rule].settings) == counts


@pytest.mark.parametrize("rule", OTHERS)
def test_thresholds_and_counts_are_made_of_the_scores(by_rule, rule):
    found = by_rule[rule]
    scores = found.similarity["neurons"]
    assert analysis.thresholds(found, rule="all").threshold[0] == pytest.approx(np.nanmean(scores), abs=1e-6)
    best = scores[np.isfinite(scores).any(axis=1)].max(axis=1)
    tau = analysis.thresholds(found)
    assert tau.threshold[0] == pytest.approx(best.mean(), abs=1e-6)
    learned = analysis.learned(found, tau)
    assert set(learned.concept) <= set(toys.CONCEPTS)
    assert len(learned) + len(analysis.missed(found, tau)) == len(toys.CONCEPTS)
    assert analysis.count_concepts(found, tau).concepts.sum() == learned.concept.nunique()


@pytest.mark.parametrize("rule", EVERY)
def test_calibration_needs_activations_and_similarities_alone(by_rule, rule):
    own, reference = by_rule[rule], by_rule["soft_wpmi"]
    labels, expected = (found.labels(q=0.05, n_null=100) for found in (own, reference))
    assert labels.rule.eq("rising").all()
    if "top_k" in own.settings or len(own.probe_table) // 10 == reference.settings["top_k"]:
        columns = ["layer", "neuron", "concept", "p", "q", "p_label"]
        pd.testing.assert_frame_equal(labels[columns], expected[columns])
    label = {name: i for i, name in enumerate(own.concepts.names)}
    for row in labels[labels.concept != ""].itertuples():
        assert row.similarity == own.similarity["neurons"][row.neuron, label[row.concept]]


@pytest.mark.parametrize("rule", OTHERS)
def test_trust_measures_the_labels_of_the_own_rule(by_rule, rule, tmp_path):
    found = by_rule[rule]
    published = found.labels().query("concept != ''").set_index("neuron").concept
    steady = trust.stability(found, n_boot=3, rule="published").set_index("neuron").concept
    assert steady.to_dict() == published.to_dict()
    predicts = trust.predicts(found, rule="published", n_splits=2).set_index("neuron")
    assert predicts.concept[list(range(8))].to_dict() == published[list(range(8))].to_dict()
    assert (predicts.predicts[list(range(8))] > 0.5).all()
    tau = trust.tau_intervals(found, n_boot=5)
    assert tau.threshold[0] == pytest.approx(analysis.thresholds(found).threshold[0], abs=1e-5)
    with pytest.raises(ValueError, match=f"the similarity {rule} of this dissection has no "):
        trust.sensitivity(found, "neurons")
    found.save(tmp_path)
    assert Dissection.load(tmp_path).settings == found.settings


@pytest.mark.parametrize("rule", OTHERS)
def test_figures_tell_the_rule(by_rule, rule, tmp_path):
    fig, ax = plt.subplots(figsize=(2, 2))
    ax.plot([0, 1])
    save_figure(fig, tmp_path / "one", by_rule[rule].settings)
    told = json.loads((tmp_path / "one.json").read_text())
    assert told["similarity"] == rule
    plt.close(fig)


def test_a_class_accuracy_has_both_rules(by_rule):
    names = [f"row {row}" for row in toys.PLANTED] + ["row 0"] * 4
    table = trust.class_accuracy(by_rule["following"], names)
    assert list(table.index) == ["published", "calibrated"]


def test_options_of_a_rule_are_its_own():
    probe = toys.toy_probe(40)
    with pytest.raises(ValueError, match="following has no option a"):
        toys.toy_dissect(toys.toy_target(), probe=probe, similarity="following", a=5.0)
    with (
        pytest.raises(ValueError, match="top_k=40 leaves none of the 40 probe images"),
        pytest.warns(UserWarning, match="half or more"),
    ):
        toys.toy_dissect(toys.toy_target(), probe=probe, similarity="top_auc", top_k=40)
