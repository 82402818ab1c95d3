"""Training of a detector on toys: boxes through preparation and augmentation, what is learnt, how it resumes, its files."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from boxed import NAMES, spots
from torch import nn

from mdissect.localize import detect, load_detector
from mdissect.localize.detect import in_image, in_prepared
from mdissect.models import load_target
from mdissect.models.detector import pyramid_layers
from mdissect.preprocess import Preprocess
from mdissect.train import Augment, DetectorRecipe, Running, train_detector
from mdissect.train.boxed import BoxedImages
from mdissect.train.detector import DetectorLoop

QUIET = Running(device="cpu", workers=0, save_every=2, progress=False)
RECIPE = DetectorRecipe(width=8, epochs=2, batch_size=8, augment=Augment.off(), warmup_steps=2, anchor_scale=1.5)


class Stages(nn.Module):
    """Three stages of convolutions, each of half the resolution."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            widths = ((1, 8), (8, 12), (12, 16))
            self.blocks = nn.Sequential(*(
                nn.Sequential(nn.Conv2d(a, b, 3, stride=2, padding=1), nn.BatchNorm2d(b), nn.ReLU(inplace=True))
                for a, b in widths
            ))  # fmt: skip
            self.head = nn.Linear(16, 2)

    def forward(self, x):
        return self.head(self.blocks(x).mean(dim=(2, 3)))


def target(orient=None):
    return load_target(Stages(), preprocess=Preprocess((64, 48), "dtype", channels=1, orient=orient), layers=("blocks.2",))


def test_boxes_go_into_the_prepared_image_and_back():
    box = {"finding": "mass", "xmin": 10, "ymin": 20, "xmax": 30, "ymax": 60}
    there = in_prepared([box], (100, 50), (50, 100), flipped=True)
    assert there == [{"finding": "mass", "xmin": 40, "ymin": 10, "xmax": 80, "ymax": 30}]
    assert in_image(there, (100, 50), (50, 100), flipped=True) == [box]


@pytest.mark.parametrize("orient", [None, "left"])
@pytest.mark.parametrize("epoch", [None, 0, 1, 2])
def test_boxes_stay_on_their_spots_through_augmentation(orient, epoch):
    preprocess = Preprocess((64, 48), "dtype", channels=1, orient=orient)
    probe = spots(24)
    augment = Augment(degrees=0, shift=0.2, scale=(1, 1), shear=0, elastic_alpha=0)
    images = BoxedImages(probe, [probe.boxes(i) for i in range(24)], preprocess, (NAMES[0],), augment, seed=0)
    seen = 0
    for position in range(0, 24, 4):
        image, boxes, labels = images[epoch, position]
        assert len(boxes) == len(labels)
        for left, top, right, bottom in boxes.round().int().tolist():
            inside = image[0, top + 1 : bottom - 1, left + 1 : right - 1]
            seen += 1
            assert inside.numel() == 0 or inside.median() > 0.9  # bright
    assert seen >= 3


def test_the_layers_of_the_pyramid():
    assert pyramid_layers(target()) == ("blocks.2.2",)  # the one from a stride of 8 on
    with pytest.raises(ValueError, match="name them from fine to coarse"):
        train_detector(target(), spots(24), ["bright"], "unused", replace(RECIPE, layers=("blocks.2", "blocks.1")), QUIET)


@pytest.mark.slow
@pytest.mark.parametrize("frozen", [True, False])
def test_it_resumes_bit_by_bit_and_is_read_again(tmp_path, monkeypatch, frozen):
    probe = spots(40)
    recipe, base = replace(RECIPE, layers=("blocks.1", "blocks.2"), frozen=frozen), target(orient="left")
    before = {name: value.clone() for name, value in base.module.state_dict().items()}
    whole = train_detector(base, probe, ["bright", "dark"], tmp_path / "whole", recipe, QUIET)
    assert all(torch.equal(value, base.module.state_dict()[name]) for name, value in before.items())
    update = DetectorLoop.update

    def failing(self, loss):
        if self.progress.step == 5:
            raise KeyboardInterrupt
        return update(self, loss)

    monkeypatch.setattr(DetectorLoop, "update", failing)
    with pytest.raises(KeyboardInterrupt):
        train_detector(base, probe, ["bright", "dark"], tmp_path / "cut", recipe, QUIET)
    monkeypatch.setattr(DetectorLoop, "update", update)
    resumed = train_detector(base, probe, ["bright", "dark"], tmp_path / "cut", recipe, QUIET)
    assert resumed.history.to_dict() == whole.history.to_dict()
    again = load_detector(tmp_path / "cut", base)
    for name, value in whole.module.state_dict().items():
        assert torch.equal(again.module.state_dict()[name], value), name
    assert detect(again, [probe[0]]) == detect(whole, [probe[0]])
    tower = whole.module.backbone.tower.state_dict()
    assert all(torch.equal(value, before[name]) for name, value in tower.items()) == frozen
    with pytest.raises(ValueError, match="has other weights or another preprocessing"):
        load_detector(tmp_path / "cut", target())


@pytest.mark.slow
def test_it_finds_bright_spots(tmp_path):
    recipe = replace(RECIPE, layers=("blocks.1", "blocks.2"), frozen=False, epochs=12, width=16, learning_rate=5e-3,
                     tower_learning_rate=5e-3)  # fmt: skip
    model = train_detector(target(), spots(160), ["bright"], tmp_path, recipe, QUIET)
    scores = model.metrics[(model.metrics["part"] == "test") & (model.metrics["iou"] == 0.25)]
    assert (scores["average_precision"] > 0.5).all()
    found = detect(model, [spots(4, 50)[0]], least_score=0.2)
    (truth,) = (box for box in spots(4, 50).boxes(0) if box["finding"] == NAMES[0])
    best = found[0][0]
    assert np.hypot(best["xmin"] - truth["xmin"], best["ymin"] - truth["ymin"]) < 6


def test_a_finding_without_a_box(tmp_path):
    with pytest.raises(ValueError, match="images of probe 'spots0' have no box of 'mass'; they have bright spot, dark spot"):
        train_detector(target(), spots(24), ["mass"], tmp_path, RECIPE, QUIET)
