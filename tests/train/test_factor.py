"""Training of Mammo-FActOR: its loss by hand, what is learnt of toys, how it resumes, and what goes wrong."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from boxed import NAMES, Words, spots
from patches import target

from mdissect.localize import heatmaps
from mdissect.train import FactorRecipe, Running, train_factor
from mdissect.train.factor import FactorLoop, contrastive_loss
from mdissect.train.presence import read_presence

RECIPE = FactorRecipe(layer="signs", grid=None, hidden=8, epochs=6, batch_size=32, learning_rate=0.02, warmup_steps=2)
QUIET = Running(device="cpu", workers=0, save_every=2, progress=False)


def test_the_loss_by_hand():
    scores = torch.tensor([[2.0, 0.0], [1.0, 5.0], [0.0, -1.0]])
    present = torch.tensor([[True, True], [False, True], [False, True]])
    expected = -np.log(np.exp(2) / (np.exp(2) + np.exp(1) + 1))  # the second attribute has no negative
    assert contrastive_loss(scores, present).item() == pytest.approx(expected, rel=1e-5)
    assert contrastive_loss(scores, ~present & False).item() == 0
    two = torch.tensor([[True, False], [True, False], [False, False]])
    each = [np.log(1 + np.exp(0 - s)) for s in (2.0, 1.0)]
    assert contrastive_loss(scores, two).item() == pytest.approx(np.mean(each), rel=1e-5)


def test_the_loss_is_the_same_in_any_order_and_has_a_finite_gradient():
    scores = torch.randn(9, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    present = torch.rand(9, 3, generator=torch.Generator().manual_seed(1)) < 0.5
    present[:, 2] = True
    loss, order = contrastive_loss(scores, present), torch.randperm(9)
    torch.testing.assert_close(contrastive_loss(scores[order], present[order]), loss)
    loss.backward()
    assert torch.isfinite(scores.grad).all()
    assert (scores.grad[:, 2] == 0).all()


def test_presence_of_findings():
    probe = spots(12)
    found = read_presence(probe, ["Bright", "bright_flag"])
    np.testing.assert_array_equal(found.present[:, 0], found.present[:, 1])
    assert found.present[:, 0].tolist() == [True, True, False, False] * 3
    with pytest.raises(
        ValueError, match="has no finding 'implant' and no column of that name; its findings: bright spot, dark"
    ):
        read_presence(probe, ["implant"])
    with pytest.raises(ValueError, match="no finding of probe 'spots0' is present in 10 patients"):
        read_presence(probe)
    with pytest.raises(ValueError, match="all of 2 images of probe 'spots0' have 'bright'"):
        read_presence(probe.subset([0, 1]), ["bright"])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_it_points_at_what_it_learnt_from_labels_of_whole_images(tmp_path, seed):
    """One channel is the brightness, the other its negative: both hold what is dark, so that only "bright" has one channel."""
    probe, held_out = spots(960, seed), spots(40, 100 + seed)
    model = train_factor(target(), Words(), probe, tmp_path, list(NAMES), replace(RECIPE, seed=seed, epochs=12), QUIET)
    assert (model.metrics["auc"] > 0.9).all()
    name = NAMES[0]
    assert model.mapper.ranking[0, 0] == 0
    rows = [i for i in range(40) if any(box["finding"] == name for box in held_out.boxes(i))]
    heat = heatmaps(model, [held_out[i] for i in rows], name, n_channels=1).maps
    hits = []
    for row, of_image in zip(rows, heat, strict=True):
        at = np.unravel_index(of_image.argmax(), of_image.shape)
        (box,) = (box for box in held_out.boxes(row) if box["finding"] == name)
        hits.append(box["ymin"] <= at[0] < box["ymax"] and box["xmin"] <= at[1] < box["xmax"])
    assert np.mean(hits) > 0.8


@pytest.mark.slow
def test_an_interrupted_training_resumes_bit_by_bit_and_a_finished_one_is_read(tmp_path, monkeypatch):
    probe, names, base = spots(80), list(NAMES), target()  # its unused layers are random: one for all
    whole = train_factor(base, Words(), probe, tmp_path / "whole", names, RECIPE, QUIET)
    update = FactorLoop.update

    def failing(self, loss):
        if self.progress.step == 5:
            raise KeyboardInterrupt
        return update(self, loss)

    monkeypatch.setattr(FactorLoop, "update", failing)
    with pytest.raises(KeyboardInterrupt):
        train_factor(base, Words(), probe, tmp_path / "cut", names, RECIPE, QUIET)
    monkeypatch.setattr(FactorLoop, "update", update)
    resumed = train_factor(base, Words(), probe, tmp_path / "cut", names, RECIPE, QUIET)
    assert resumed.history["validation_loss"].tolist() == whole.history["validation_loss"].tolist()
    for name, value in whole.mapper.state_dict().items():
        assert torch.equal(resumed.mapper.state_dict()[name], value), name
    monkeypatch.setattr(FactorLoop, "update", None)
    assert train_factor(base, Words(), probe, tmp_path / "cut", names, RECIPE, QUIET).settings == whole.settings
    with pytest.raises(ValueError, match=r"is of another training \(epochs: 6 there, 7 here"):
        train_factor(base, Words(), probe, tmp_path / "cut", names, replace(RECIPE, epochs=7), QUIET)


def test_an_attribute_that_no_training_image_has(tmp_path):
    probe = spots(12)
    probe.table["split"] = ["training"] * 8 + ["validation"] * 4
    probe.table["rare"] = [False] * 8 + [True] * 4
    with pytest.raises(ValueError, match="0 of 8 training images have 'rare'"):
        train_factor(target(), Words(), probe, tmp_path, ["rare"], RECIPE, QUIET)
