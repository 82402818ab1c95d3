"""Rules side by side: which there are, means with intervals, what is left out where nothing is known or can be changed."""

from functools import partial
from types import SimpleNamespace

import made_up
import numpy as np
import pandas as pd
import pytest

from mdissect.choice import RULE
from mdissect.predictions import CausalEffects
from mdissect.similarity import SIMILARITIES
from mdissect.study import Study, rules
from mdissect.trust.planted import plant


@pytest.fixture
def study(tmp_path):
    """One setup, two concepts of unknown presence that two neurons follow."""
    rng = np.random.default_rng(0)
    sims = rng.normal(0, 1, (120, 2)).astype(np.float32)
    concepts = made_up.concept_set([("a", "x"), ("b", "x")], "concept", "category")
    found = made_up.dissected(sims, sims + rng.normal(0, 0.3, sims.shape).astype(np.float32), concepts, per_patient=2)
    stub = Study.__new__(Study)
    vars(stub).update(
        profile=SimpleNamespace(setups={"M": None}, similarity_options={}), store=tmp_path,
        kept=partial(Study.kept, SimpleNamespace(store=tmp_path)), dissect=lambda name: found,
    )  # fmt: skip
    return stub


def test_all_rules_but_those_that_others_stand_for(study):
    assert rules.labelling_rules(study) == [
        "calibrated",
        "published",
        *(s for s in SIMILARITIES if s not in ("soft_wpmi", RULE)),
    ]
    assert rules.labelling_rules(study, ["following", "published", "following"]) == ["following", "published"]
    with pytest.raises(ValueError, match="rules='best' is not one of"):
        rules.labelling_rules(study, ["best"])


def test_planted_neurons_have_a_row_for_each_world_and_rule(monkeypatch):
    monkeypatch.setattr(rules, "WORLDS", {"clear": partial(plant, snr=4.0, n_images=200, n_neurons=20, n_concepts=20)})
    table = rules.planted_rules(["calibrated", "published", "cos_similarity"], 3).set_index("rule")
    assert table.index.tolist() == ["calibrated", "published", "cos_similarity"]
    assert table.labelled["published"] == 1
    assert table.correct["cos_similarity"] > 0.9
    assert ((table.low <= table.correct) & (table.correct <= table.high) & (table.high <= 1)).all()
    single = rules.planted_rules(["published"], 1)
    assert single[["low", "high"]].isna().all(axis=None)


def test_labels_of_each_rule_predict_the_neurons(study):
    tables = rules.predicted_by(study, "M", ["published", "cos_similarity"], 2)
    assert [table.concept.tolist() for table in tables.values()] == [["a", "b"], ["a", "b"]]
    assert all((table.predicts > 0.8).all() for table in tables.values())


def test_means_are_over_the_neurons_that_all_rules_know():
    def table(*values):
        return pd.DataFrame({"neuron": range(len(values)), "concept": "a", "predicts": values})

    found = rules.mean_predicts({"one": table(0.2, 0.4, 0.9), "two": table(0.4, 0.6, np.nan)}, 200).set_index("rule")
    assert found.neurons.tolist() == [2, 2]
    assert found.predicts.to_dict() == pytest.approx({"one": 0.3, "two": 0.5})
    assert found.difference["two"] == pytest.approx(0.2)
    assert (found.difference_low["two"], found.difference_high["two"]) == pytest.approx((0.2, 0.2))
    assert np.isnan(found.difference["one"])
    assert 0.2 <= found.low["one"] <= 0.3 <= found.high["one"] <= 0.4


def test_means_of_no_neuron_are_unknown():
    nothing = pd.DataFrame({"neuron": [0], "concept": [""], "predicts": [np.nan]})
    found = rules.mean_predicts({"one": nothing, "two": nothing}, 10)
    assert found[["predicts", "low", "high", "difference"]].isna().all(axis=None)


def test_setups_of_unknown_truth_are_left_out(study):
    assert rules.known_held_out(study, ["M"], ["published"], ["last"], 2) == {}


def effects(evidence: str, factors: tuple[str, str]) -> CausalEffects:
    """The first factor raises neuron 0, the second neuron 1."""
    pairs = pd.DataFrame({"factor": np.repeat(factors, 8), "level": "finding", "position": range(16)})
    pairs["patient"] = [*range(8), *range(8)]
    changes = np.repeat([[2.0, 0.0], [0.0, 2.0]], 8, axis=0) + np.random.default_rng(0).normal(0, 0.1, (16, 2))
    rows = [
        {"layer": "deep", "neuron": neuron, "factor": factor, "level": "finding", "effect": part[:, neuron].mean()}
        for factor, part in zip(factors, np.split(changes, 2), strict=True)
        for neuron in range(2)
    ]
    return CausalEffects(pd.DataFrame(rows), pairs, {"deep": changes.astype(np.float32)}, evidence)


@pytest.mark.parametrize(
    ("evidence", "factors", "names"),
    [
        ("phantom redrawn", ("mass", "calcification"), ("oval mass", "round calcification")),
        ("box filled", ("mass", "suspicious calcification"), ("mass", "suspicious calcification")),
    ],
)
def test_labels_are_borne_out_by_their_own_factor(evidence, factors, names):
    labels = pd.DataFrame({"layer": "deep", "neuron": [0, 1], "concept": names})
    wrong, made = labels.assign(concept=names[::-1]), effects(evidence, factors)
    found = rules.own_factors_by(made, {"right": labels, "wrong": wrong}, 20).set_index("rule")
    assert found.n_labels.tolist() == [2, 2]
    assert found.share.tolist() == [1, 0]
    matrix = rules.effects_by_factor(made, labels, "deep")
    assert matrix.loc["mass", "mass (1)"] == pytest.approx(2, abs=0.2)
