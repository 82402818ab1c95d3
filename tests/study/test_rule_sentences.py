"""What notebook 10 says, from tables."""

import numpy as np
import pandas as pd

from mdissect.study import rule_sentences as sentences
from mdissect.trust.held_out import BEST, IN_SAMPLE


def truth(**auc: float) -> pd.DataFrame:
    """Of one layer; the first rule is ahead of the others by the difference, give or take 0.02."""
    first = next(iter(auc.values()))
    rows = [{"layer": "bn2", "rule": rule, "auc": value} for rule, value in {**auc, BEST: 0.9, IN_SAMPLE: 0.95}.items()]
    table = pd.DataFrame(rows).assign(low=lambda t: t.auc - 0.01, high=lambda t: t.auc + 0.01)
    ahead = first - table.auc
    return table.assign(ahead=ahead, ahead_low=ahead - 0.02, ahead_high=ahead + 0.02, neurons=4, concepts=9)


SHARES = pd.DataFrame(
    {
        "rule": ["calibrated", "published"],
        "layer": "bn2",
        "share": [0.7, 0.5],
        "low": [0.6, 0.4],
        "high": [0.8, 0.6],
        "chance": [0.1, 0.1],
    }
)
WORDS = pd.DataFrame(
    {"layer": ["bn2"], "several": [0.9], "sum_r2": [0.5], "one_word_r2": [0.4], "gain_low": [0.08], "gain_high": [0.12]}
)


def test_planted_neurons_name_the_first_rule_and_the_others_by_rank():
    table = pd.DataFrame(
        {
            "world": "rare",
            "rule": ["calibrated", "published", "top_auc"],
            "labelled": [0.5, 1, 1],
            "correct": [0.99, 0.6, 0.8],
            "low": [0.98, 0.5, 0.7],
            "high": [1.0, 0.7, 0.9],
        }
    )
    words = sentences.on_planted(table)
    assert (
        "rare: calibrated is correct for **99 %** (98 % to 100 %) of the 50 % that it labels; top auc 80 %, published 60 %"
        in words
    )
    assert "that it labels" not in sentences.on_planted(table.assign(labelled=1.0))


def test_truth_by_rule_beside_the_best_concept():
    words = sentences.on_truth({"M": truth(calibrated=0.85, published=0.7)})
    assert (
        "M, bn2: calibrated **0.85** (0.84 to 0.86), published **0.70** (0.69 to 0.71); the truth's own best concept 0.90"
        in words
    )
    assert sentences.on_truth({}) == sentences.NOTHING_KNOWN


def test_layers_where_the_first_rule_is_ahead_or_behind_are_counted():
    words = sentences.ahead_in_layers({"M": truth(calibrated=0.85, published=0.7), "C1": truth(calibrated=0.6, published=0.7)})
    assert "ahead in **1 of 2** layers, behind in 1" in words
    assert "on average +0.025, at worst -0.100" in words
    assert sentences.ahead_in_layers({}) == ""


def test_prediction_is_told_where_it_is_known():
    table = pd.DataFrame({"rule": ["calibrated"], "predicts": [0.5], "low": [0.4], "high": [0.6], "neurons": [7]})
    words = sentences.on_patients({"M": table, "none": table.assign(predicts=np.nan)})
    assert "M, 7 neurons: calibrated **0.50** (0.40 to 0.60)" in words
    assert "none: no neuron is known by all rules" in words


def test_the_neuron_that_gains_most_by_further_words():
    columns = ["neuron", "one_word", "one_word_r2", "explained_by", "sum_r2", "sum_low", "sum_high", "gain_low", "words"]
    rows = [(3, "a", 0.2, "0.5 a + 0.5 b", 0.6, 0.5, 0.7, 0.3, 2), (5, "c", 0.5, "1.0 c", 0.5, 0.4, 0.6, 0.0, 1)]
    table = pd.DataFrame(rows, columns=columns).assign(one_word_enough=[False, True])
    words = sentences.more_words(table, "M's bn2")
    assert words.startswith("**1 of the 2** neurons of M's bn2")
    assert "neuron 3: “a” explains 20 % of its variance on unseen patients, 0.5 a + 0.5 b 60 % (50 % to 70 %)" in words
    assert sentences.more_words(table.tail(1), "M's bn2").startswith("No neuron of M's bn2")


def test_the_opening_states_each_part_that_is_known():
    used = pd.DataFrame(
        {"setup": ["C3"], "own": [True], "excess": [-0.1], "excess_low": [-0.2], "excess_high": [-0.05], "p": [0.01]}
    )
    used = used.assign(
        by="task", group="mass", neurons=3, metric="auc", before=0.9, change=-0.1, low=-0.2, high=-0.05, random=0.0
    )
    latents = pd.DataFrame({"difference": [0.1, -0.1, 0.0], "low": [0.05, -0.2, -0.1], "high": [0.15, -0.05, 0.1]})
    rules = {"M": truth(calibrated=0.85, published=0.7)}
    words = sentences.in_short("M's bn2", rules, {"M": SHARES}, WORDS, used, latents)
    assert words.startswith("**In short.** **Rules**: of 2 rules the calibrated one")
    assert "(AUC **0.85**, 0.84 to 0.86, in M's bn2; published 0.70; the best of all concepts reaches 0.90)" in words
    assert "calibrated **70 %** (60 % to 80 %; shuffled 10 %), published **50 %**" in words
    assert "90 % of the neurons of M's bn2 need more than one word" in words
    assert "**1 of 1** classifiers lose more" in words
    assert "cleaner than the channels in 1 of 3 measures, less clean in 1." in words


def test_the_opening_leaves_out_what_is_not_known():
    words = sentences.in_short("M's bn2", {}, {}, WORDS, None, None)
    assert "**Rules**: of too few concepts" in words
    assert not any(part in words for part in ("Causes", "Use", "Latents"))


def test_own_tasks_are_told_where_neurons_are_grouped_by_task():
    rows = {
        "setup": ["C3"],
        "own": [False],
        "excess": [0.1],
        "excess_low": [0.0],
        "excess_high": [0.2],
        "p": [0.5],
        "by": "task",
    }
    used = pd.DataFrame(rows).assign(group="mass", neurons=3, metric="auc", before=0.9, change=0, low=0, high=0, random=0.0)
    assert "labelled with its own task" in sentences.uses(used)
    assert "own task" not in sentences.uses(used.assign(by="category"))
    assert sentences.uses(used.head(0)) == "No group of neurons was ablated."


def test_what_could_not_be_done_is_told():
    assert sentences.changed_or_not(None) == sentences.NOT_CHANGED
    assert sentences.why({}, {"C1": "density has 4 classes"}) == "- C1 is not explained here: density has 4 classes"
    assert sentences.tells_apart({}, 10) == "No classifier is explained here."
    assert "`training` names some" in sentences.of_latents(None, None, "M's bn2")
