"""Heatmaps scored against boxes: a network that sees the spots, one that does not, and what cannot be compared."""

import numpy as np
import pandas as pd
import pytest
import torch
from boxed import Words, spots
from patches import target

from mdissect.localize import FactorModel, compare_localisation
from mdissect.localize.comparison import _scores, naming
from mdissect.localize.factor import FactorMapper

LABELS = pd.DataFrame({
    "layer": "signs", "neuron": [0, 1], "concept": ["a bright spot", "no bright spot"], "similarity": [1.0, 2.0],
})  # fmt: skip


def factor(channel: int) -> FactorModel:
    module = FactorMapper(Words().embed_texts(["bright spot"]), 48, 2)
    module.ranking, module.peaks = torch.tensor([[channel]]), torch.tensor([[channel]])
    module.spread = torch.ones(2)
    return FactorModel(target(), Words(), "signs", {"bright spot": "bright spot"}, module.eval().requires_grad_(False))


@pytest.mark.parametrize("seed", range(8))
def test_the_channel_that_sees_the_spots_points_at_them(seed):
    found = compare_localisation(factor(0), spots(48, seed), LABELS).set_index("method")
    assert found.loc["FActOR", "pointing"] == found.loc["labelled neurons", "pointing"] >= 0.8  # a dark spot may cover it
    assert found.loc["labelled neurons", "read_as"] == "1 neurons"  # the other one denies it
    assert found["chance"].to_numpy() == pytest.approx(64 / (64 * 48))
    assert (found.loc["FActOR", ["n_images", "n_patients"]] == [24, 12]).all()
    assert found.loc["FActOR", "iou"] > 10 * found.loc["FActOR", "iou_chance"]
    wrong = compare_localisation(factor(1), spots(48, seed), LABELS).set_index("method")
    assert wrong.loc["FActOR", "pointing"] <= 0.4


def test_without_a_labelled_neuron_nothing_is_known_of_them():
    found = compare_localisation(factor(0), spots(24), LABELS.assign(concept="implant")).set_index("method")
    assert found.loc["labelled neurons", ["pointing", "iou", "pointing_low"]].isna().all()
    assert found.loc["FActOR", "pointing"] == 1


def test_one_heatmap_by_hand():
    heat, region = np.zeros((2, 2), np.float32), np.zeros((4, 4), bool)
    heat[0, 0], region[:2, :2] = 1, True
    hit, chance, reachable, overlap, at_random = _scores(heat, region, 0.6)
    assert (hit, chance, reachable) == (1, 0.25, 1)
    assert overlap == pytest.approx(3 / 4)  # bilinear: 1, 0.75, 0.75 and 0.5625, then 0.25 and less
    assert at_random == pytest.approx(3 / 16 * 0.25 / (3 / 16 + 0.25 - 3 / 16 * 0.25))


def test_labels_that_name_a_finding():
    labels = pd.DataFrame({
        "neuron": [4, 2, 3, 1, 2], "similarity": [1.0, 3.0, 3.0, 2.0, 9.0],
        "concept": ["spiculated mass", "Masses", "oval mass", "without a mass", "implant"],
    })  # fmt: skip
    assert naming(labels, "mass", 5).tolist() == [2, 3, 4]
    assert naming(labels, "mass", 1).tolist() == [2]
    assert naming(labels, "architectural distortion", 5).tolist() == []


@pytest.mark.parametrize(
    ("labels", "findings", "message"),
    [
        (LABELS.assign(layer="other"), None, "labels has none of layer 'signs', whose channels the factor reads; it has other"),
        (LABELS, ["pacemaker"], "no image of probe 'spots0' has a box of pacemaker"),
        (LABELS.drop(columns="concept"), None, "labels has no column concept"),
    ],
)
def test_what_cannot_be_compared(labels, findings, message):
    with pytest.raises(ValueError, match=message):
        compare_localisation(factor(0), spots(12), labels, findings)
