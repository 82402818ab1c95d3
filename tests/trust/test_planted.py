"""Planted neurons, the rules' scores on them, and its plots."""

import numpy as np
import pandas as pd
import pytest
import torch

from mdissect.calibrate import calibrate
from mdissect.metrics import auc_matrix
from mdissect.similarity import SIMILARITIES
from mdissect.trust.planted import (
    ALL_KINDS,
    NEGATIVE,
    NOISE,
    ONE,
    TWO,
    Planted,
    curve,
    few_images_per_class,
    few_images_scores,
    plant,
    score_rules,
)


def test_neurons_follow_what_was_planted():
    planted = plant(snr=3, n_neurons=80, kinds=ALL_KINDS)
    assert planted.kinds.tolist() == [ONE] * 20 + [TWO] * 20 + [NEGATIVE] * 20 + [NOISE] * 20
    assert planted.carries[:20].sum(axis=1).tolist() == [1] * 20
    assert set(planted.carries[20:40].sum(axis=1)) <= {1, 2}
    assert not planted.carries[40:].any()
    areas = auc_matrix(planted.activations.numpy(), planted.presence)
    carried = [areas[i][planted.carries[i]].min() for i in range(40)]
    assert min(carried) > 0.85
    assert (areas[40:60].min(axis=1) < 0.05).all()  # silent where their concept is
    assert (abs(areas[60:] - 0.5) < 0.3).all()


def test_the_same_seed_plants_the_same():
    first, again, other = plant(seed=4), plant(seed=4), plant(seed=5)
    assert first.activations.equal(again.activations)
    assert not first.activations.equal(other.activations)


@pytest.mark.parametrize(
    ("kinds", "message"),
    [({"odd": 1.0}, "unknown kinds of neurons"), ({ONE: 0.5, NOISE: 0.2}, r"the shares of kinds sum to 0\.7, not to 1")],
)
def test_wrong_kinds_are_named(kinds, message):
    with pytest.raises(ValueError, match=message):
        plant(kinds=kinds)


def test_scores_of_few_images_are_those_of_the_rules():
    options = {"n_classes": 60, "n_families": 6, "seed": 3}
    expected = score_rules(few_images_per_class(**options), 5, similarities=["soft_wpmi"])
    pd.testing.assert_frame_equal(few_images_scores(5, **options), expected)


def test_every_class_has_few_images():
    planted = few_images_per_class(n_classes=60, n_families=6)
    per_class = planted.presence.sum(axis=0)
    assert set(per_class) == {1, 2, 3}
    np.testing.assert_array_equal(planted.image_concept_sims.numpy() > 0, planted.presence)


def test_scores_of_the_rules():
    table = score_rules(plant(kinds=ALL_KINDS, snr=3), 40).set_index("rule")
    assert table.index.tolist()[0] == "calibrated"
    assert set(SIMILARITIES) < set(table.index)
    assert (table.loc["calibrated", ["right", "right_of_two"]] >= 0.95).all()
    assert table.false_labels["calibrated"] <= 0.05  # negative neurons have nothing to be called by either
    assert table.negative_labels["calibrated"] <= 0.1 < table.negative_labels["soft_wpmi"]
    assert table.noise_labels["calibrated"] <= 0.05 < table.noise_labels["soft_wpmi"]
    assert (table.right_in_5 >= table.right).all()
    assert (table.right_in_category >= table.right).all()
    assert table.stack().dropna().between(0, 1).all()
    assert table.false_labels.isna().tolist() == [rule == "soft_wpmi, same neurons" for rule in table.index]


def test_shares_of_the_rules_by_hand():
    """Two images, each the strongest of a neuron: one names its concept, one that of its category, the third carries none."""
    sims = torch.zeros(12, 4)
    sims[0, 0], sims[1, 1], sims[2, 3] = 1, 1, 1
    activations = torch.zeros(12, 3)
    activations[0, 0], activations[1, 1], activations[2, 2] = 1, 1, 1
    carries = np.zeros((3, 4), dtype=bool)
    carries[0, 0] = carries[1, 0] = True  # the second is called by concept 1, of the same category
    kinds = np.array([ONE, TWO, NEGATIVE], dtype=object)
    toy = Planted(sims, activations, sims.numpy() > 0, carries, kinds, np.array([0, 0, 1, 1]))
    row = score_rules(toy, 1, similarities=["cos_similarity"]).set_index("rule").loc["cos_similarity"]
    assert row[["named", "right", "right_in_category", "right_of_two"]].tolist() == [1, 0.5, 1, 0]
    assert row[["false_labels", "negative_labels"]].tolist() == [1, 1]  # all similarities are 1, and so is tau
    assert np.isnan(row.noise_labels)


def test_the_calibrated_ranking_starts_with_the_label():
    planted = few_images_per_class(n_classes=80, n_families=8, noise=1.5)
    table = score_rules(planted, 20, similarities=["soft_wpmi"]).set_index("rule")
    label = calibrate(planted.image_concept_sims, planted.activations, 20).label.to_numpy()
    assert table.right["calibrated"] == (label == np.arange(80))[label >= 0].mean()
    assert table.right_in_5["calibrated"] > table.right["calibrated"]
    assert table.right_in_category["calibrated"] == 1 > table.right["calibrated"]


@pytest.mark.slow
def test_curves_rise_with_the_signal():
    table = curve("snr", [0.5, 3], seeds=[0], n_neurons=64).query("rule == 'calibrated'")
    assert table.snr.tolist() == [0.5, 3]
    assert table.named.iloc[0] < 0.7 < table.named.iloc[1]
    by_size = curve("top_k", [10, 40], seeds=[0], n_neurons=32, snr=2)
    assert set(by_size.top_k) == {10, 40}


@pytest.mark.slow
def test_drawings_show_the_tables():
    import matplotlib.pyplot as plt

    from mdissect import plots

    _, axes = plt.subplots(1, 6)
    table = curve("snr", [1, 2], seeds=[0], n_neurons=16)
    drawn = plots.rule_curves(axes[0], table, "snr", "right", ["calibrated", "soft_wpmi"])
    assert [line.get_label() for line in drawn.get_lines()] == ["calibrated (this project)", "SoftWPMI (published)"]
    shares = pd.DataFrame({"setup": ["M"], "layer": ["deep"], "published": [0.5], "calibrated": [0.25]})
    shares = shares.assign(precision=0.75, prevalence=0.1)
    assert [bar.get_height() for bar in plots.share_bars(axes[1], shares).patches] == [0.5, 0.25, 0.75]
    card = pd.DataFrame(
        {"concept": ["a", "b", "c"], "auc": [0.9, 0.5, np.nan], "low": 0.4, "high": 0.95, "flag": ["", "not told", "few"]}
    )
    legend = plots.card(axes[2], card).get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["better than chance (1)", "not better than chance (1)"]
    plots.score_histogram(axes[3], {"a": pd.DataFrame({"score": [0.1, 0.9]})})
    grid = pd.DataFrame(
        {"top_k": [5, 5, 9, 9], "a": 1.0, "lam": [1, 2, 1, 2], "own": False, "same_category": [0.2, 0.4, 0.6, 1.0]}
    )
    plots.settings_grid(axes[4:], grid)
    assert [text.get_text() for text in axes[5].texts] == ["60 %", "100 %"]
    plt.close("all")
