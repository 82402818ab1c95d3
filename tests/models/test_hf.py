"""Tests of image models of transformers as targets: equal to the library's own output, offline, from a folder or the cache."""

import json

import pytest
import torch
from transformers import (
    ConvNextConfig,
    ConvNextForImageClassification,
    Dinov2Config,
    Dinov2Model,
    ResNetConfig,
    ResNetForImageClassification,
    ViTConfig,
    ViTForImageClassification,
)

from mdissect.hooks import record
from mdissect.models import CheckpointError, load_target
from mdissect.preprocess import Preprocess

pytestmark = [pytest.mark.usefixtures("no_network"), pytest.mark.slow]
SIDE = 32
LABELS = {0: "no mass", 1: "mass"}
TRANSFORMER = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32}
MODELS = {
    "vit": lambda: ViTForImageClassification(ViTConfig(image_size=SIDE, patch_size=8, id2label=LABELS, **TRANSFORMER)),
    "resnet": lambda: ResNetForImageClassification(
        ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", id2label=LABELS)
    ),
    "convnext": lambda: ConvNextForImageClassification(
        ConvNextConfig(hidden_sizes=[8, 16], depths=[1, 1], num_stages=2, id2label=LABELS)
    ),
    "dinov2": lambda: Dinov2Model(Dinov2Config(image_size=SIDE, patch_size=8, **TRANSFORMER)),
}
PREPARED = {
    "do_resize": True, "size": {"height": SIDE, "width": SIDE}, "resample": 3, "do_rescale": True, "rescale_factor": 1 / 255,
    "do_normalize": True, "image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4],
}  # fmt: skip


def saved(folder, kind="vit", safe=True, **changes):
    """A folder of a small model with random weights."""
    torch.manual_seed(0)
    model = MODELS[kind]().eval()
    model.save_pretrained(folder)
    if not safe:
        torch.save(model.state_dict(), folder / "pytorch_model.bin")
        (folder / "model.safetensors").unlink()
    (folder / "preprocessor_config.json").write_text(json.dumps(PREPARED | changes))
    return model


@pytest.mark.parametrize("safe", [True, False], ids=["safetensors", "bin"])
@pytest.mark.parametrize("kind", MODELS)
def test_the_output_is_the_librarys(tmp_path, kind, safe):
    model = saved(tmp_path, kind, safe)
    target = load_target("hf", path=tmp_path)
    images = torch.randn(3, 3, SIDE, SIDE)
    with torch.inference_mode():
        expected, found = model(images), target.module(images)
    torch.testing.assert_close(found[0], expected[0], atol=1e-5, rtol=1e-5)
    assert target.classes == (() if kind == "dinov2" else ("no mass", "mass"))
    assert target.name == f"hf/{tmp_path.name}"
    assert target.preprocess == Preprocess(
        size=(SIDE, SIDE), scale="dtype", mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4), interpolation="bicubic"
    )
    with torch.inference_mode(), record(target.module, target.layers) as activations:
        target.module(images)
    assert all(len(values) == 3 for values in activations.activations.values())
    assert load_target(tmp_path).fingerprint == target.fingerprint
    assert load_target("hf", path=tmp_path, layers=target.layers[0]).layers == target.layers[:1]


def test_a_repository_is_read_from_the_hubs_cache(tmp_path, monkeypatch):
    snapshot = tmp_path / "models--lab--net" / "snapshots" / "0123"
    snapshot.mkdir(parents=True)
    saved(snapshot)
    (tmp_path / "models--lab--net" / "refs").mkdir()
    (tmp_path / "models--lab--net" / "refs" / "main").write_text("0123")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert load_target("hf/lab/net").name == load_target("hf:lab/net").name == "hf/lab/net"
    with pytest.raises(CheckpointError, match=r"'lab/other' is not in the hub's cache on this machine: fetch it"):
        load_target("hf/lab/other")


@pytest.mark.parametrize(
    ("changes", "size"),
    [
        ({"size": 24}, (24, 24)),
        ({"size": {"shortest_edge": 40}, "do_center_crop": True, "crop_size": {"height": 32, "width": 24}}, (32, 24)),
        ({"size": {"shortest_edge": 40}}, (40, 40)),
        ({"size": {"height": 48, "width": 32}, "crop_size": 16}, (48, 32)),
    ],
)
def test_sizes(tmp_path, changes, size):
    saved(tmp_path, "resnet", **changes)
    assert load_target(tmp_path).preprocess.size == size


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": None}, "has size=None; expected height and width, or shortest_edge"),
        ({"size": {"longest_edge": 3}}, "expected height and width, or shortest_edge"),
        ({"size": {"height": -3, "width": 3}}, "no model can be built|size"),
        ({"resample": 0}, "resample=0; known: 2"),
        ({"rescale_factor": 1 / 127.5}, "scales pixel values by .*, not by 1 / 255"),
        ({"do_rescale": False}, "scales pixel values by 1, not by 1 / 255"),
        ({"image_mean": None}, "image_mean"),
        ({"image_std": [1, 2]}, "must be 3 numbers"),
    ],
)
def test_preparations_that_cannot_be_expressed(tmp_path, changes, message):
    saved(tmp_path, "resnet", **changes)
    with pytest.raises(ValueError, match=message):
        load_target(tmp_path)
    given = Preprocess(size=(SIDE, SIDE))
    assert load_target(tmp_path, preprocess=given).preprocess == given


def rewritten(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "clip"}, r"describes 'clip', an image-text model: load_target\('clip', path="),
        ({"model_type": "siglip"}, r"load_target\('siglip', path="),
        ({"model_type": "siglip2"}, r"variable resolution \(NaFlex\)"),
        ({"model_type": "bert"}, "describes 'bert', which is no image classifier"),
        ({"model_type": "my_net"}, "describes 'my_net', which this version of transformers does not know"),
        ({"model_type": "my_net", "auto_map": {"AutoModel": "x.Y"}}, "code that lies in the repository is not run"),
        ({"model_type": 3}, "describes 3, which this version"),
        ({"model_type": ["clip"]}, r"describes \['clip'\], which this version"),
        ({"hidden_size": 10**9}, "hidden_size"),
        ({"hidden_size": 32}, "of another shape"),
        ({"num_attention_heads": 3}, "of another shape|no model can be built"),
    ],
)
def test_configurations_of_something_else(tmp_path, changes, message):
    saved(tmp_path)
    rewritten(tmp_path, **changes)
    with pytest.raises(CheckpointError, match=message):
        load_target("hf", path=tmp_path)


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"none is no folder; one with config\.json"):
        load_target("hf", path=tmp_path / "none")
    with pytest.raises(ValueError, match="'hf' needs path="):
        load_target("hf")
    with pytest.raises(ValueError, match="are both given"):
        load_target("hf/lab/net", path=tmp_path)
    saved(tmp_path)
    (tmp_path / "preprocessor_config.json").unlink()
    with pytest.raises(CheckpointError, match=r"preprocessor_config\.json cannot be read .*; give preprocess=Preprocess"):
        load_target(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"holds none of model\.safetensors, pytorch_model\.bin"):
        load_target(tmp_path)
