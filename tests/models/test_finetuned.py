"""Tests of targets that are read from the folder where a fine-tuning left them."""

import json

import numpy as np
import pytest
import torch
from miniature_models import demo_config, demo_models
from safetensors.torch import save_file
from torch import nn

from mdissect.models import CheckpointError, load_target
from mdissect.preprocess import Preprocess
from mdissect.probes import Probe
from mdissect.train import Recipe, Running, finetune

SMALL = Preprocess(size=(64, 48), scale="image", mean=0.2, std=0.25)
RECIPE = {"epochs": 1, "frozen": True, "validation_fraction": 0.3, "test_fraction": 0.3}


class Own(nn.Module):
    """A network of one's own without a head: maps."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 5, stride=4)

    def forward(self, x):
        return self.conv(x).relu()


@pytest.fixture(scope="module")
def probe():
    import pandas as pd

    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (30, 64, 48), dtype=np.uint8)
    table = pd.DataFrame({"kind": [["a", "b", "c"][i % 3] for i in range(30)], "patient": [f"p{i // 2}" for i in range(30)]})
    return Probe.from_arrays(images, table=table)


def tuned(target, probe, folder):
    return finetune(target, probe, "kind", folder, Recipe(**RECIPE), Running(progress=False, workers=0, device="cpu"))


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"num_classes": 0}, {"num_classes": 7}, {"num_classes": 0, "global_pool": ""}])
def test_a_network_of_timm_is_read_from_its_folder(options, probe, tmp_path):
    result = tuned(load_target("timm/resnet10t", preprocess=SMALL, layers=["layer2"], **options), probe, tmp_path / "out")
    found = load_target(tmp_path / "out")
    images = torch.randn(3, 3, 64, 48)
    with torch.inference_mode():
        torch.testing.assert_close(found.module(images), result.target.module(images), atol=1e-5, rtol=1e-5)
    assert (found.fingerprint == result.target.fingerprint) is ("global_pool" not in options)
    assert (found.name, found.preprocess, found.layers) == (result.target.name, SMALL, result.target.layers)
    assert found.classes == result.target.classes == ("a", "b", "c")
    assert load_target(str(tmp_path / "out"), layers=found.layers[0]).layers == found.layers
    other = Preprocess(size=(32, 32))
    assert load_target(tmp_path / "out", preprocess=other).preprocess == other


@pytest.mark.slow
def test_a_network_of_ones_own_needs_its_base(probe, tmp_path):
    base = load_target(Own(), preprocess=SMALL, layers=["conv"])
    result = tuned(base, probe, tmp_path / "out")
    with pytest.raises(CheckpointError, match=r"was fine-tuned from 'Own', which no name rebuilds: .*base=load_target"):
        load_target(tmp_path / "out")
    found = load_target(tmp_path / "out", base=base)
    assert (found.fingerprint, found.layers, found.classes) == (result.target.fingerprint, ("body.conv",), ("a", "b", "c"))
    with pytest.raises(CheckpointError, match="the weights do not fit ResNet"):
        load_target(tmp_path / "out", base=load_target("timm/resnet10t", preprocess=SMALL))


@pytest.fixture
def demo(tmp_path):
    """A folder with a demo model "toy" and its tokenizer."""
    demo_models(tmp_path / "models", "toy")
    return tmp_path / "models" / "toy"


def test_a_demo_model_is_read_from_anywhere(demo):
    found = load_target(demo)
    assert (found.name, found.layers, found.preprocess) == ("demo/toy", ("blocks.0", "bn2"), SMALL)


def test_a_name_goes_before_a_folder_of_the_same_name(tmp_path, monkeypatch):
    (tmp_path / "timm" / "nothing").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="timm has no model 'nothing'"):
        load_target("timm/nothing")


def saved(folder, config):
    folder.mkdir()
    save_file({"fc.weight": torch.zeros(1, 2)}, folder / "classifier.safetensors", metadata=config)
    return folder


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (None, "does not say what it was fine-tuned from"),
        ({"other": "x"}, "does not say what it was fine-tuned from"),
        ({"config": "{"}, "config in its header"),
        ({"config": "[1]"}, "does not say what it was fine-tuned from"),
        ({"config": "{}"}, "has no base, task, classes"),
        ({"config": json.dumps({"base": "timm/resnet10t", "task": "kind", "classes": []})}, "at least one str"),
        ({"config": json.dumps({"base": 3, "task": "kind", "classes": ["a"]})}, "base must be a str"),
        ({"config": json.dumps({"base": "timm/resnet10t", "task": "k", "classes": ["a"], "preprocess": 3})}, "preprocess must"),
        (
            {"config": json.dumps({"base": "timm/resnet10t", "task": "k", "classes": ["a"], "preprocess": {"size": 3}})},
            "no model can be built from these settings",
        ),
        ({"config": json.dumps({"base": "timm/no such", "task": "k", "classes": ["a"]})}, "timm has no model 'no such'"),
        ({"config": json.dumps({"base": "net", "task": "k", "classes": ["a"]})}, "from 'net', which no name rebuilds"),
    ],
)
def test_folders_of_something_else(tmp_path, config, message):
    with pytest.raises(ValueError, match=message):
        load_target(saved(tmp_path / "out", config))


def test_what_a_folder_must_hold(tmp_path, demo):
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(CheckpointError, match=r"no folder of a target: it holds nothing; expected classifier\.safetensors or"):
        load_target(empty)
    (empty / "open_clip_config.json").touch()
    with pytest.raises(CheckpointError, match=r"load_target.'open_clip', path=.* takes it: it holds open_clip_config"):
        load_target(empty)
    with pytest.raises(CheckpointError, match="base= belongs to a fine-tuned classifier"):
        load_target(demo, base=load_target(demo))
    with pytest.raises(FileNotFoundError, match="is not there; a folder is expected"):
        load_target(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="is a file; a folder is expected"):
        load_target(demo / "config.json")
    with pytest.raises(ValueError, match="unknown target"):
        load_target(str(tmp_path / "nowhere"))
    with pytest.raises(TypeError, match=r"options of the target in .*: unknown: depth"):
        load_target(demo, depth=3)
    (demo / "config.json").write_text(json.dumps(demo_config(60) | {"layers": 3}))
    with pytest.raises(CheckpointError, match="layers"):
        load_target(demo)
