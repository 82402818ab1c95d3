"""Sentences about evidence say what their tables say."""

import numpy as np
import pandas as pd

from mdissect.study import evidence_sentences as sentences
from mdissect.trust.held_out import BEST, IN_SAMPLE


def told(**ahead: tuple[float, float]) -> pd.DataFrame:
    """A table of indicators, "corrected" first, with how far that is ahead of others."""
    rows = [("corrected", 0.9, 0, 0, 0), *((name, 0.7, 0.2, low, high) for name, (low, high) in ahead.items())]
    table = pd.DataFrame(rows, columns=["indicator", "auc", "ahead", "ahead_low", "ahead_high"])
    return table.assign(low=table.auc - 0.1, high=table.auc + 0.05, neurons=40, right=10, layers=1)


def test_prediction_is_told_beside_floor_and_ceiling():
    values = {"predicts": 0.5, "predicts_low": [0.3, 0.3, 0.3, 0.05], "floor": 0.1, "ceiling": 0.6, "ridge": 0.7}
    words = sentences.predicted({"M": pd.DataFrame({"neuron": range(4), **values}), "G": pd.DataFrame({"predicts": [np.nan]})})
    assert "M: the median label correlates with its neuron at **0.50**" in words
    assert "labels of other neurons 0.10, the best single concept 0.60, all concepts together 0.70" in words
    assert "**75 %** of 4 labels" in words
    assert "G: no neuron has a label" in words


def test_the_first_indicator_is_recommended_where_it_is_ahead():
    words = sentences.indicator_words({"M": told(q=(0.1, 0.3), similarity=(0.05, 0.4))})
    assert "M: 10 of 40 labels of known presence are right (AUC 0.8 or more)" in words
    assert "q against chance **0.70** (0.60 to 0.75)" in words
    assert (
        "**What to trust: correlation with the label (corrected)** tells right labels better than q against chance and "
        "similarity S in M" in words
    )


def test_what_is_not_decided_everywhere_is_told():
    words = sentences.recommended({"M": told(q=(0.1, 0.3), p=(-0.1, 0.2)), "G": told(q=(0.1, 0.3), p=(0.1, 0.2))})
    assert "better than q against chance in each of these networks" in words
    assert "Against p against chance the intervals do not decide everywhere." in words
    worse = sentences.recommended({"M": told(predicts=(-0.2, -0.1))})
    assert worse == "Prediction of unseen patients is better still in M."
    nothing = sentences.indicator_words({"M": told(q=(0, 0)).assign(auc=np.nan)})
    assert "M: too few right or wrong labels" in nothing
    assert "too few labels is known" in nothing


def test_a_card_says_whether_the_words_mean_anything():
    card = pd.DataFrame({"layer": ["bn2"], "neurons": [256], "share": [0.5], "low": [0.43], "high": [0.56]})
    card = card.assign(random_share=0.09, p=0.005)
    words = sentences.dissector_words(
        {"M": card, "scrambled": card.assign(share=0.01, p=0.99), "flat": card.assign(share=np.nan)}
    )
    assert "M, bn2: **50 %** of 256 neurons (43 % to 56 %)" in words
    assert "random axes, more than random axes reach (95 % of the random sets stay below 9 %; p = 0.005)" in words
    assert "scrambled, bn2: **1 %**" in words
    assert "no more than random axes reach" in words
    assert "flat, bn2: no neuron varies" in words


def test_held_out_truth_names_both_ceilings():
    rules = ["calibrated", "published", BEST, IN_SAMPLE]
    table = pd.DataFrame({"layer": "bn2", "rule": rules, "auc": [0.81, 0.74, 0.88, 0.91], "low": 0.7, "high": 0.95})
    words = sentences.held_out({"M": table.assign(ahead=table.auc[0] - table.auc, ahead_low=0.05, ahead_high=0.09)})
    assert "M, bn2: calibrated **0.81** (0.70 to 0.95), published **0.74**" in words
    assert "calibrated ahead of published by 0.07 (0.05 to 0.09)" in words
    assert "reaches **0.88** on the other; chosen where it is measured, 0.91, which flatters" in words
