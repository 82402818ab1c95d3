"""The tables of an atlas: what it says is what the dissection has."""

import json

import numpy as np
import pandas as pd
import pytest
from made_up import labelled

from mdissect.atlas.data import tables
from mdissect.atlas.images import Images
from mdissect.atlas.page import as_json
from mdissect.concepts import ConceptSet
from mdissect.dissection import Dissection

pytestmark = pytest.mark.slow


def plain(found: dict, trust=None, heads=None) -> dict:
    data = tables(found, Images(found, dict.fromkeys(found)), trust or {}, heads or {}).plain
    return json.loads(as_json(data))


def test_labels_similarities_and_thresholds_are_those_of_the_dissection(found):
    data = plain({"M": found})
    neurons, labels = data["neurons"], found.labels()
    assert [data["concepts"]["name"][i] if i >= 0 else "" for i in neurons["label"]] == labels.concept.tolist()
    np.testing.assert_allclose(np.array(neurons["similarity"], float), labels.similarity, rtol=1e-3)
    assert neurons["note"] == labels.note.tolist()
    tau = [layer["threshold"] for layer in data["models"][0]["layers"]]
    assert tau == pytest.approx([1 + np.mean([0, 2, 3, 4, 5]) / 10, 1 + np.mean([0, *range(2, 12)]) / 10], rel=1e-3)
    assert [neurons["passes"][i] for i in (0, 1, 5)] == [0, 0, 1]
    assert [(layer["start"], layer["n"]) for layer in data["models"][0]["layers"]] == [(0, 6), (6, 12)]


def test_strongest_images_histograms_and_facts(found):
    neurons, images = (plain({"M": found})[part] for part in ("neurons", "images"))
    top = found.top_images("stem", 3, 10)
    assert len(neurons["images"][3]) == 10
    np.testing.assert_allclose(neurons["activations"][3], top.activation, rtol=1e-3)
    assert images["id"][neurons["images"][3][0]] == f"patient_{top.image[0].rpartition('_')[2]}"
    assert sum(neurons["bins"][3][2]) == len(found.probe_table)
    assert neurons["facts"][0][0] == ["mass", 8, 10, 0.2]


def test_no_patient_is_named(found):
    text = as_json(plain({"M": found}))
    assert "Quux" not in text
    assert "study" not in text
    assert "patient_0.png" in text


def test_concepts_list_their_neurons_and_images_in_every_model(found, tuned):
    data = plain({"M": found, "C": tuned})
    neurons = [g for g, _ in data["concepts"]["neurons"][0]]
    assert {0, 6, 12, 18, 24} <= set(neurons)  # neurons 0 and 6 of the layers of both
    best = np.argsort(-found.image_concept_sims[:, 0], kind="stable")[:8]
    assert data["concepts"]["images"][0] == best.tolist()
    assert len(data["images"]["id"]) == 40  # one probe: each image once


def test_similar_neurons_are_those_that_correlate(found, tuned):
    tuned.activations["stem"][:, 2] = 3 * found.activations["stem"][:, 4] + 1
    similar = plain({"M": found, "C": tuned})["neurons"]["similar"]
    assert [20, 1.0] in similar[4]
    assert [4, 1.0] in similar[20]
    assert all(g != other for g, rows in enumerate(similar) for other, _ in rows)


def test_trust_and_attached_columns_are_shown(found):
    trust = pd.DataFrame({"layer": "stem", "neuron": [0, 2], "q": [0.001, 0.4], "concept": ["implant", ""]})
    with_more = found.with_columns(pd.DataFrame({"layer": ["stem"], "neuron": [0], "predicts": [0.58]}))
    neurons = plain({"M": with_more, "C": found}, {"M": trust})["neurons"]
    assert neurons["q"][:4] == [0.001, None, 0.4, None]
    assert neurons["calibrated"][:3] == [0, -1, -1]
    assert neurons["attached"] == {"predicts": [0.58] + [None] * 35}


def test_labels_of_a_calibrated_result_count_without_a_threshold(found):
    trusted = found.top_concepts(1).assign(q=0.01, p=0.001)
    trusted.loc[trusted.neuron > 2, "concept"] = ""
    calibrated = Dissection(**{**vars(found), "trusted": trusted})
    assert plain({"M": calibrated})["neurons"]["passes"][:6] == [1, 0, 1, 0, 0, 0]


def test_models_of_other_depths_have_their_own_thresholds(found):
    shallow = labelled(ConceptSet.from_list(["implant", "mass"]), only=["implant", ("mass", 3)])
    data = plain({"M": found, "S": shallow})
    assert data["models"][1]["layers"][0]["threshold"] == 2
    assert "different numbers of layers" in data["remarks"][0]


def test_a_result_without_activations_has_no_images(found):
    bare = Dissection(found.similarity, found.concepts, {})
    neurons = plain({"": bare})["neurons"]
    assert neurons["images"] == neurons["bins"] == [[]] * 18


def test_weights_stand_at_the_layer_that_feeds_the_head(found):
    heads = {"M": {"layer": "stem", "classes": ["no", "yes"], "weights": [[[1, 0.5]]] * 6}}
    data = plain({"M": found}, heads=heads)
    assert data["neurons"]["weights"] == [[[1, 0.5]]] * 6 + [[]] * 12
    assert data["models"][0]["head"] == {"layer": "stem", "classes": ["no", "yes"]}
