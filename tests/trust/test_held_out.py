"""The truth of labels on other patients: against scikit-learn, planted neurons, and the flattery of the best in sample."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from made_up import dissected
from sklearn.metrics import roc_auc_score

from mdissect.dissection import Dissection
from mdissect.trust import held_out_auc
from mdissect.trust.halves import halves_of, naming
from mdissect.trust.held_out import BEST, IN_SAMPLE
from mdissect.trust.planted import NOISE, ONE, plant

pytestmark = pytest.mark.slow

RULE = "cos_similarity_cubed"
NAMES = [f"concept {i}" for i in range(10)]


def planted(seed: int = 0, noise: float = 0.0, n_neurons: int = 24) -> tuple[Dissection, pd.DataFrame]:
    """Neurons, and what the images show; `noise` is the share of neurons that follow nothing."""
    kinds = {ONE: 1 - noise, NOISE: noise} if noise else {ONE: 1.0}
    made = plant(2, 320, n_concepts=10, n_neurons=n_neurons, prevalence=0.2, seed=seed, kinds=kinds)
    found = dissected(made.image_concept_sims, made.activations, NAMES, 20, per_patient=4)
    return found, pd.DataFrame(made.presence, columns=NAMES, index=found.probe_table.index)


def test_it_is_scikit_learns_auc_on_the_other_half():
    found, presence = planted(n_neurons=4)
    table = held_out_auc(found, rules=[RULE], presence=presence, n_splits=1, seed=1).set_index("rule")
    name, expected, best, flattering = naming(found, RULE), [], [], []
    for choose, test in halves_of(found, 1, 1).both_ways:
        there, here = (
            [[roc_auc_score(presence[c].iloc[some], found.activations["deep"][some, k]) for c in NAMES] for k in range(4)]
            for some in (test, choose)
        )
        expected += [there[k][label] for k, label in enumerate(name("deep", choose))]
        best += [there[k][np.argmax(here[k])] for k in range(4)]
        flattering += [max(one) for one in there]
    assert table.auc[RULE] == pytest.approx(np.mean(expected))
    assert table.auc[BEST] == pytest.approx(np.mean(best))
    assert table.auc[IN_SAMPLE] == pytest.approx(np.mean(flattering))
    assert (table.low < table.auc).all()
    assert (table.auc < table.high).all()


@pytest.mark.slow
def test_the_best_of_noise_is_chance_by_split_and_flatters_in_sample():
    tables = []
    for seed in range(8):
        found, presence = planted(seed, noise=0.999)
        tables.append(held_out_auc(found, rules=["published"], presence=presence, n_splits=2).set_index("rule").auc)
    mean = pd.concat(tables, axis=1).mean(axis=1)
    assert mean["published"] == pytest.approx(0.5, abs=0.02)
    assert mean[BEST] == pytest.approx(0.5, abs=0.02)
    assert mean[IN_SAMPLE] > 0.55


def test_a_rule_is_ahead_by_an_interval_over_patients():
    found, presence = planted()
    worse = replace(found, similarity={"deep": np.zeros_like(found.similarity["deep"])})
    table = held_out_auc(worse, rules=[RULE, "rank_reorder"], presence=presence, n_splits=2).set_index("rule")
    row = table.loc["rank_reorder"]
    assert row.ahead == pytest.approx(table.auc[RULE] - row.auc)
    assert row.ahead_low < row.ahead < row.ahead_high
    assert table.loc[RULE, ["ahead", "ahead_low", "ahead_high"]].tolist() == [0, 0, 0]


def test_only_concepts_that_enough_patients_show_are_chosen_from():
    found, presence = planted()
    presence["concept 0"], presence["concept 1"] = False, True
    presence = presence.astype(object)
    presence.loc["image 5", "concept 2"] = None
    table = held_out_auc(found, rules=["published"], presence=presence.drop(columns="concept 3"), n_splits=1)
    assert (table.concepts == 6).all()


def test_neurons_that_do_not_vary_are_left_out():
    found, presence = planted()
    activations = found.activations["deep"].copy()
    activations[:, 0], activations[0, 1] = 2, np.nan
    table = held_out_auc(replace(found, activations={"deep": activations}), rules=["published"], presence=presence, n_splits=1)
    assert (table.neurons == 22).all()
    assert table.auc.notna().all()


def test_mistakes_are_named():
    found, presence = planted()
    with pytest.raises(ValueError, match="rules has no rule 'best'; there are calibrated, published, soft_wpmi"):
        held_out_auc(found, rules="best", presence=presence)
    with pytest.raises(ValueError, match="no concept of the dissection is known to be shown by"):
        held_out_auc(found, presence=presence.iloc[:, :2] & False)
