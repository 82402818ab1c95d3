"""Every label of a layer with what speaks for and against it; which setups share a dissector."""

from dataclasses import replace

import made_up
import numpy as np
import pandas as pd
import pytest

from mdissect import trust
from mdissect.phantom.mammograms import sample_truth
from mdissect.study import by_dissector, checked_labels, label_numbers, with_evidence
from mdissect.trust.baselines import passing_share

N = 200
MASS, COMPARED, NOISE = 0, 1, 2  # neurons: follows masses, is named by what needs a prior exam, follows nothing


@pytest.fixture(scope="module")
def found():
    """Three neurons on phantoms: one label is right, one cannot be seen on an image, one neuron is noise."""
    rng = np.random.default_rng(0)
    truths = [sample_truth(5, i) for i in range(N)]
    table = pd.DataFrame([one.as_row() for one in truths], index=[f"image {i}" for i in range(N)])
    mass = table.findings.str.contains("mass").to_numpy()
    skin = table.findings.str.contains("skin thickening").to_numpy()
    others = rng.normal(0, 0.05, (N, 6))
    sims = np.concatenate([np.stack([mass, skin], axis=1) * 0.4 + rng.normal(0, 0.05, (N, 2)), others], axis=1)
    neurons = np.stack([mass * 3, skin * 3, mass * 0], axis=1) + rng.random((N, 3))
    rows = [("mass", "")] + [("no interval change", "prior exam")] + [(f"else {i}", "") for i in range(6)]
    concepts = made_up.concept_set(rows, "concept", "evidence")
    return replace(made_up.dissected(sims.astype(np.float32), neurons.astype(np.float32), concepts), probe_table=table)


@pytest.fixture(scope="module")
def checked(found):
    steady = pd.DataFrame({"layer": "deep", "neuron": range(3), "same_concept": [0.9, 0.4, 0.1], "score": [0.8, 0.95, 0.1]})
    card = pd.DataFrame({"concept": ["mass"], "flag": ["not told from chance"]})
    return checked_labels(found, "deep", steady, card, top=10).set_index("neuron")


def test_labels_have_what_speaks_for_and_against_them(checked):
    assert checked.index.tolist() == [COMPARED, MASS]  # the most stable first; noise has no label
    assert checked.concept.tolist() == ["no interval change", "mass"]
    assert checked.needs.tolist() == ["prior exam", ""]
    assert checked.flag.tolist() == ["", "not told from chance"]
    assert checked.stability.tolist() == [0.95, 0.8]
    assert checked.stable.tolist() == [False, True]


def test_a_label_is_right_by_its_top_images_where_presence_is_known(checked, found):
    assert checked.precision[MASS] == 1
    assert checked.prevalence[MASS] == found.probe_table.findings.str.contains("mass").mean()
    assert np.isnan(checked.precision[COMPARED])
    assert checked.right.to_dict() == {COMPARED: False, MASS: True}


def test_what_the_top_images_share_shows_a_wrong_label(checked):
    assert checked.shared[COMPARED].startswith("skin thickening: 10 of 10 top images, ")


def test_the_share_that_is_better_than_chance_comes_with_its_precision(found):
    row = passing_share({"M": found}, top=10).iloc[0]
    assert (row.calibrated, row.known, row.precision) == (pytest.approx(2 / 3), 1, 1)
    assert row.prevalence == found.probe_table.findings.str.contains("mass").mean()


def test_the_precision_of_unknown_presence_is_missing(found):
    nothing_known = replace(found, probe_table=found.probe_table[["patient"]])
    row = passing_share({"M": nothing_known}).iloc[0]
    assert row.known == 0
    assert np.isnan([row.precision, row.prevalence]).all()
    card = pd.DataFrame({"concept": ["mass"], "flag": [""]})
    steady = trust.stability(nothing_known, n_boot=3)
    table = checked_labels(nothing_known, "deep", steady, card)
    assert table.precision.isna().all()
    assert not table.right.any()


def test_attached_columns_stand_beside_the_labels(found):
    steady = pd.DataFrame({"layer": "deep", "neuron": range(3), "same_concept": [0.9, 0.4, 0.1], "score": [0.8, 0.95, 0.1]})
    told = pd.DataFrame({"layer": "deep", "neuron": [MASS, COMPARED], "concept": ["mass", "mass"], "predicts": [0.7, 0.1]})
    attached = found.with_columns(told).with_columns(steady.drop(columns="score"))
    card = pd.DataFrame({"concept": ["mass"], "flag": [""]})
    table = checked_labels(attached, "deep", steady, card, top=10).set_index("neuron")
    assert table.predicts[MASS] == 0.7
    assert np.isnan(table.predicts[COMPARED])  # it belongs to another label
    assert table.same_concept.to_dict() == {COMPARED: 0.4, MASS: 0.9}


def test_setups_that_share_a_dissector_stand_together(found):
    def by(weights, probe="p"):
        return replace(found, settings={**found.settings, "dissector_weights": weights, "probe_key": probe})

    dissections = {"G": by("1"), "G by M": by("2"), "M": by("2"), "C": by("2", "other")}
    assert by_dissector(dissections) == {"G": ["G"], "G by M, M": ["G by M", "M"], "C": ["C"]}


@pytest.fixture(scope="module")
def predicted():
    """Of the three neurons, the last of which has no label."""
    names = ["mass", "no interval change", ""]
    rows = pd.DataFrame({"layer": "deep", "neuron": range(3), "concept": names, "corrected": [0.9, 0.7, np.nan]})
    return rows.assign(predicts=[0.8, 0.6, np.nan], predicts_low=[0.7, 0.5, np.nan], predicts_high=[0.85, 0.65, np.nan])


def test_numbers_that_may_tell_right_labels_stand_beside_each_label(found, predicted):
    steady = pd.DataFrame({"layer": "deep", "neuron": range(3), "score": [0.8, 0.95, 0.1]})
    numbers = label_numbers(found, predicted, steady)
    assert numbers.concept.tolist() == ["mass", "no interval change"]
    assert numbers.stability.tolist() == [0.8, 0.95]
    assert numbers.similarity.tolist() == [float(found.similarity["deep"][n, n]) for n in range(2)]
    assert (numbers[["p", "q", "p_label"]] < 0.05).all(axis=None)


def test_evidence_is_written_beside_labels_the_best_correlated_first(checked, predicted):
    sums = pd.DataFrame({"layer": "deep", "neuron": range(3), "explained_by": ["1.0 mass", "", ""]})
    rows = with_evidence(checked.reset_index(), predicted, sums)
    assert rows.neuron.tolist() == [MASS, COMPARED]
    assert rows.predicts.tolist() == ["0.80 (0.70 to 0.85)", "0.60 (0.50 to 0.65)"]
    assert rows.explained_by.tolist() == ["1.0 mass", ""]
    unknown = predicted.assign(predicts=np.nan)
    assert with_evidence(checked.reset_index(), unknown, sums).predicts.tolist() == ["unknown"] * 2
