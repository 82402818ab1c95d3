"""The sentences on predictions say what their tables hold, and no more."""

import numpy as np
import pandas as pd

from mdissect.study import prediction_sentences as sentences


def waterfall(*rows) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["kind", "group", "neurons", "contribution", "end"])


def ablated(**columns) -> pd.DataFrame:
    rows = {
        "setup": ["C1", "C3", "C3"],
        "task": ["density", "mass", "mass"],
        "group": ["density", "mass", "density"],
        "neurons": [5, 7, 2],
        "metric": "auc",
        "before": [0.99, 0.9, 0.9],
        "change": [-0.001, -0.05, 0.001],
        "low": [-0.004, -0.07, -0.001],
        "high": [0.002, -0.03, 0.004],
        "random": [-0.0005, -0.001, 0.0],
        "excess": [-0.0005, -0.049, 0.001],
        "excess_low": [-0.003, -0.07, -0.001],
        "excess_high": [0.002, -0.03, 0.003],
        "p": [0.4, 0.0099, 0.9],
        "own": [True, True, False],
    }
    return pd.DataFrame(rows | columns)


def test_a_waterfall_names_what_raised_and_lowered_the_logit_most():
    table = waterfall(
        ("start", "bias", 0, -0.5, -0.5),
        ("group", "mass", 3, 2.0, 1.5),
        ("group", "clip", 1, -0.4, 1.1),
        ("others", "5 others", 20, 0.1, 1.2),
        ("end", "logit", 0, 1.2, 1.2),
    )
    assert sentences.waterfall_in_words(table, "logit of mass") == (
        "The logit of mass is **1.20**: from bias -0.50 it is raised most by “mass” (+2.00, neurons: 3), and lowered most by "
        "“clip” (-0.40, neurons: 1); all other groups together +0.10."
    )
    alone = table[table.kind.isin(["start", "end"])]
    assert sentences.waterfall_in_words(alone) == "The logit is **1.20**: from bias -0.50 it is unchanged."


def test_ablations_say_what_costs_more_than_random_sets_or_that_nothing_does():
    text = sentences.ablations(ablated())
    assert "- C1, density: AUC 0.990; none of 1 groups costs more than random sets of as many neurons" in text
    assert "- C3, mass: AUC 0.900; more than random sets costs mass (7 neurons): **-0.0500** (-0.0700 to -0.0300)" in text
    assert "random sets -0.0010, p = 0.0099" in text
    assert "density (2 neurons)" not in text
    alone = sentences.ablations(ablated().drop(columns=["setup", "task", "own"]).tail(1))
    assert "- AUC 0.900; none of 1 groups" in alone
    assert "nan" not in sentences.ablations(ablated(excess_high=np.nan))
    assert sentences.ablations(ablated().head(0)) == "No group of neurons was ablated."


def test_classifiers_that_use_the_neurons_of_their_own_task_are_counted():
    assert sentences.own_task_used(ablated()) == (
        "**1 of 2** classifiers lose more without the neurons labelled with their own task than without random sets of as "
        "many: C3 (-0.0490, -0.0700 to -0.0300)."
    )
    assert "**0 of 2**" in sentences.own_task_used(ablated(p=0.06))
    none = sentences.own_task_used(ablated(excess_high=0.1))
    assert "**0 of 2**" in none
    assert none.endswith("as many.")
    left_out = sentences.own_task_used(ablated(own=[False, True, False]))
    assert left_out.endswith("Without neurons of their own task: C1.")
    assert "No classifier" in sentences.own_task_used(ablated(own=False))


def test_what_tells_images_apart_gives_differences_and_shares():
    table = pd.DataFrame(
        {"group": ["a", "b"], "difference": [3.0, -1.0], "low": [2.0, -2.0], "high": [4.0, 0.5], "share": [1.5, -0.5]}
    )
    text = sentences.what_tells_apart(table, "a mass", most=1)
    assert "with and without a mass the mean logit differs by +2.00" in text
    assert "- a: **+3.00** (+2.00 to +4.00), 150 % of the difference" in text
    assert "- b" not in text
