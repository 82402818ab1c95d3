"""Sentences on pretraining, localisation and trainings compared: their numbers are those of the tables."""

import numpy as np
import pandas as pd

from mdissect.study.pretraining_sentences import losses_in_words, models_in_words, pointing_in_words, recurring_in_words


def test_losses_are_told_from_the_first_epoch_to_the_last():
    history = pd.DataFrame({"epoch": [1, 2], "image-text": [3.0, 1.5], "validation loss": [4.0, 3.25], "step": [5, 10]})
    assert losses_in_words(history) == "From epoch 1 to 2: image-text 3.00 to 1.50, validation loss 4.00 to 3.25."


def scores(**values) -> pd.DataFrame:
    return pd.DataFrame([{"task": task, "value": v, "low": v - 0.04, "high": v + 0.04} for task, v in values.items()])


def test_models_are_compared_on_the_tasks_that_both_have():
    words = models_in_words({"a": scores(mass=0.9, clip=0.6, skin=0.5), "b": scores(mass=0.7, clip=0.62)})
    assert "Mean zero-shot AUC over 2 tasks: a **0.750**, b **0.660**." in words
    assert "- a is ahead with intervals apart in 1: mass (0.900 and 0.700)" in words
    assert "- b is ahead with intervals apart in 0: none" in words


def test_the_method_that_points_best_is_named():
    columns = ["finding", "method", "pointing", "pointing_low", "pointing_high", "chance"]
    rows = [
        ("mass", "FActOR", 0.4, 0.3, 0.5, 0.01),
        ("mass", "labelled neurons", np.nan, np.nan, np.nan, 0.01),
        ("implant", "FActOR", 0.6, 0.5, 0.7, 0.2),
        ("implant", "labelled neurons", 0.7, 0.6, 0.8, 0.2),
    ]
    words = pointing_in_words(pd.DataFrame(rows, columns=columns))
    assert "- mass: FActOR **40 %** (30 % to 50 %); a pixel at random 1 %" in words
    assert "- implant: labelled neurons **70 %** (60 % to 80 %), FActOR **60 %**" in words
    assert "**labelled neurons** points best (70 % on average)" in words


def test_labels_that_come_back_are_told_by_layer_with_chance():
    columns = ["layer", "first", "second", "neurons", "correlation", "same", "same_chance", "category", "category_chance"]
    rows = [("bn2", "s0", "s1", 200, 0.5, 0.1, 0.01, 0.6, 0.4), ("bn2", "s0", "s2", 200, 0.7, 0.3, 0.03, 0.4, 0.2)]
    words = recurring_in_words(pd.DataFrame(rows, columns=columns))
    assert words.startswith("Over 2 pairs of trainings:")
    assert (
        "- bn2: median correlation of matched neurons 0.60; the same label in **20 %** of them (random partners 2 %), one of "
        "the same category in **50 %** (30 %)"
    ) in words
    assert recurring_in_words(pd.DataFrame(columns=columns)) == "Only one training of this network is known."
