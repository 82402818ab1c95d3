"""The sentences of the causal test say what their tables hold."""

import numpy as np
import pandas as pd

from mdissect.predictions import CausalEffects
from mdissect.study import causal_sentences as sentences


def shares(**columns) -> pd.DataFrame:
    rows = {
        "rule": ["published", "calibrated"],
        "layer": "bn2",
        "share": [0.5, 0.75],
        "low": [0.4, 0.7],
        "high": [0.6, 0.8],
        "chance": [0.2, 0.3],
        "above_low": [0.1, 0.35],
        "n_labels": [40, 50],
        "n_without_factor": [60, 50],
        "difference": [np.nan, 0.25],
        "difference_low": [np.nan, 0.1],
        "difference_high": [np.nan, 0.4],
    }
    return pd.DataFrame(rows | columns)


def test_the_pairs_are_counted():
    table = pd.DataFrame(
        {"factor": ["mass", "mass", "implant"], "n_pairs": [60, 60, 21], "n_patients": [60, 60, 9], "neuron": [0, 1, 0]}
    )
    pairs = pd.DataFrame({"patient": [1, 1, 2]})
    text = sentences.changed_images(CausalEffects(table, pairs, {}, "phantom redrawn"))
    for part in ("**3** pairs of images of 2 patients", "2 factors, 21 to 60 pairs each", "Fewest patients, 9, show “implant”"):
        assert part in text
    assert "weaker evidence" not in text
    assert "weaker evidence" in sentences.changed_images(CausalEffects(table, pairs, {}, "box filled"))


def test_shares_are_told_with_interval_and_chance():
    text = sentences.own_factors({"M": shares(), "U": shares(above_low=[-0.1, 0.2], share=[0.5, np.nan])})
    first, second = text.splitlines()[-2:]
    assert "M, bn2: published **50 %** (40 % to 60 %; shuffled labels 20 %) of 40 labels, 60 more name no such factor" in first
    assert "calibrated **75 %** (70 % to 80 %; shuffled labels 30 %)" in first
    assert "shuffled labels 20 %, not clearly below it)" in second
    assert "calibrated: no label names a factor that was changed (50 name another thing)" in second


def test_rules_are_compared():
    tables = {"M": shares(), "C1": shares(difference_low=[np.nan, -0.1]), "U": shares(difference=np.nan)}
    text = sentences.rules_compared(tables)
    assert "calibrated: better in **1 of 2** networks (M), worse in 0; mean difference +25 points" in text
    assert "beside the published rule" in text


def test_one_rule_is_compared_with_none():
    assert "None." in sentences.rules_compared({"M": shares().head(1)})


def test_groups_that_follow_their_own_factor_or_another():
    matrix = pd.DataFrame(
        {"mass (3)": [1.25, 0.5], "implant (5)": [0.8, 0.5], "x (1)": [np.nan, np.nan]}, index=["mass", "implant"]
    )
    text = sentences.strongest_factors(matrix)
    assert "**1 of 2** groups" in text
    assert "(in spreads: mass (3) 1.2); others with another factor (implant (5): mass 0.8)" in text


def test_agreement_of_filled_boxes():
    rows = [
        ("bn2", "all", 0.8, 0.7, 0.9, 0.6, 0.95),
        ("bn2", "mass", 0.9, 0.8, 1, 1, 1),
        ("bn2", "implant", 0.2, 0, 0.4, 0.1, 0.5),
    ]
    table = pd.DataFrame(rows, columns=["layer", "factor", "correlation", "low", "high", "slope", "same_sign"])
    text = sentences.filled_or_redrawn(table)
    assert "bn2: correlation **0.80** (0.70 to 0.90), slope 0.60, the same direction for 95 %" in text
    assert "below 0.5 for implant (0.20)" in text
    assert "below" not in sentences.filled_or_redrawn(table.iloc[:2])
