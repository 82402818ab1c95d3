"""Targets and dissectors by name, the demo models' files, own modules."""

import json

import pytest
import torch
from miniature_models import demo_models
from torch import nn

from mdissect.models import (
    CheckpointError,
    Dissector,
    Target,
    build_image_text,
    default_layers,
    load_dissector,
    load_target,
    save_demo,
    weights_fingerprint,
)
from mdissect.preprocess import Preprocess
from mdissect.registry import Registry

TEXTS = ["spiculated mass", "oval mass", "skin thickening"]


@pytest.fixture
def demo(tmp_path, monkeypatch):
    """A data folder with the demo model "toy"; gives its folder, the model and its config."""
    monkeypatch.setenv("MDISSECT_DATA", str(tmp_path))
    preprocess = {"size": [32, 24], "scale": "image", "mean": [0.3, 0.3, 0.3], "std": [0.25, 0.25, 0.25]}
    layers = ["blocks.0", "blocks.1", "bn2"]
    return tmp_path / "demo" / "toy", *demo_models(tmp_path / "demo", "toy", texts=TEXTS, preprocess=preprocess, layers=layers)


def test_demo_target_and_dissector_share_one_tower(demo):
    target, dissector = load_target("demo/toy"), load_dissector("demo/toy")
    assert target.name == dissector.name == "demo/toy"
    assert target.module is dissector.image_tower
    assert target.fingerprint == dissector.image_fingerprint == weights_fingerprint(target.module)
    assert target.preprocess == dissector.preprocess == Preprocess(size=(32, 24), mean=0.3, std=0.25)
    assert target.layers == ("blocks.0", "blocks.1", "bn2")
    assert not target.module.training
    assert not any(parameter.requires_grad for parameter in target.module.parameters())
    assert target.module.conv_stem.weight.is_contiguous(memory_format=torch.channels_last)
    assert load_target("demo/toy", layers="bn2").layers == ("bn2",)


def test_demo_embeddings_are_those_that_were_saved(demo):
    _, model, _ = demo
    dissector = load_dissector("demo/toy")
    images = torch.rand(5, 3, 32, 24)
    embedded = dissector.embed_images(images)
    assert embedded.is_inference()
    torch.testing.assert_close(embedded.norm(dim=1), torch.ones(5))
    torch.testing.assert_close(embedded, model.encode_images(images).detach(), atol=5e-3, rtol=0)
    texts = dissector.embed_texts(TEXTS)
    assert texts.shape == (3, 12)
    expected = model.encode_tokens(*dissector.tokenizer(TEXTS)).detach()
    torch.testing.assert_close(texts, expected, atol=5e-3, rtol=0)
    torch.testing.assert_close(texts.norm(dim=1), torch.ones(3))


def test_texts_come_in_parts(demo, monkeypatch):
    dissector = load_dissector("demo/toy")
    whole = dissector.embed_texts(TEXTS * 3)
    monkeypatch.setattr("mdissect.models.dissector.TEXTS_AT_A_TIME", 4)
    torch.testing.assert_close(dissector.embed_texts(TEXTS * 3), whole)


def test_demo_is_read_again_when_its_files_change(demo):
    folder, _, config = demo
    first = load_target("demo/toy")
    assert load_target("demo/toy").module is first.module
    torch.manual_seed(1)
    save_demo(build_image_text(config), folder, config | {"aligned": False})
    second = load_target("demo/toy")
    assert second.fingerprint != first.fingerprint
    dissector = load_dissector("demo/toy")
    assert not dissector.aligned
    assert "never aligned" in dissector.notes[0]


def test_fingerprints_tell_image_and_text_side_apart(demo):
    folder, model, config = demo
    before = load_dissector("demo/toy")
    with torch.no_grad():
        model.text_projection.bias += 1
    save_demo(model, folder, config)
    after = load_dissector("demo/toy")
    assert after.fingerprint == before.fingerprint
    assert after.text_fingerprint != before.text_fingerprint
    with torch.no_grad():
        model.image_projection.bias += 1
    save_demo(model, folder, config)
    last = load_dissector("demo/toy")
    assert last.image_fingerprint == before.image_fingerprint
    assert last.fingerprint != before.fingerprint


def test_saved_weights_are_small_and_the_same_each_time(demo):
    from safetensors.torch import load_file

    folder, model, config = demo
    content = (folder / "model.safetensors").read_bytes()
    assert {tensor.dtype for tensor in load_file(folder / "model.safetensors").values()} == {torch.float16, torch.int64}
    save_demo(model, folder, config)
    assert (folder / "model.safetensors").read_bytes() == content
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]


def test_what_cannot_be_saved(demo, tmp_path):
    _, model, config = demo
    with pytest.raises(CheckpointError, match="config has no layers"):
        save_demo(model, tmp_path / "other", {key: value for key, value in config.items() if key != "layers"})
    with pytest.raises(CheckpointError, match="of another shape"):
        save_demo(model, tmp_path / "other", config | {"embed_dim": 10})
    with torch.no_grad():
        model.image_projection.bias[0] = 1e6
    with pytest.raises(ValueError, match=r"weight image_projection\.bias is not finite as float16 \(largest value 1e\+06\)"):
        save_demo(model, tmp_path / "other", config)
    assert not (tmp_path / "other").exists()


def test_broken_demo_folders(demo):
    folder, _, config = demo
    with pytest.raises(ValueError, match=r"no demo model 'mamo' in .*; there: demo/toy; `python -m mdissect pretrain` makes"):
        load_target("demo/mamo")
    (folder / "config.json").write_text(json.dumps(config | {"preprocess": {"size": [32, 24], "scale": "max"}}))
    with pytest.raises(CheckpointError, match=r"config\.json, preprocess: scale='max' is not one of"):
        load_target("demo/toy")
    (folder / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"config\.json is not valid JSON"):
        load_target("demo/toy")
    (folder / "config.json").write_text(json.dumps(config | {"text": config["text"] | {"vocab_size": 7}}))
    with pytest.raises(CheckpointError, match=r"was made for 7: they belong to different trainings"):
        load_dissector("demo/toy")
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"demo/toy is incomplete; missing: .*model\.safetensors"):
        load_dissector("demo/toy")


def test_unknown_names_list_the_known_and_the_closest():
    with pytest.raises(ValueError, match=r"unknown target 'tim/resnet18'; known: clip\[.*; did you mean timm/<name>\?"):
        load_target("tim/resnet18")
    with pytest.raises(ValueError, match=r"unknown dissector 'label'; known: clip.*, demo/<name>, .*did you mean labels\?"):
        load_dissector("label")
    with pytest.raises(TypeError, match="a dissector is named by a string, found int"):
        load_dissector(3)


def test_unknown_options_list_the_known():
    with pytest.raises(TypeError, match=r"options of the target 'demo/toy' \(layers\): unknown: layer"):
        load_target("demo/toy", layer="bn2")


def test_a_name_is_registered_once():
    registry = Registry("target", "or a module")
    registry.register("a", usage="a/<name>")(lambda rest: rest)
    with pytest.raises(ValueError, match="target 'a' is registered already, as a/<name>"):
        registry.register("a", usage="a")(lambda rest: rest)
    assert registry.load("a/b/c", {}) == "b/c"


def test_finished_models_pass_through(demo):
    target, dissector = load_target("demo/toy"), load_dissector("demo/toy")
    assert load_target(target) is target
    assert load_dissector(dissector) is dissector
    assert isinstance(target, Target)
    assert isinstance(dissector, Dissector)
    with pytest.raises(TypeError, match="a finished Target takes no options, found layers"):
        load_target(target, layers=["bn2"])


@pytest.fixture
def own() -> nn.Module:
    body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU())
    return nn.Sequential(body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)).train()


def test_own_module(own):
    preprocess = Preprocess(size=(16, 16))
    target = load_target(own, preprocess=preprocess, layers=["0.2"], name="mine")
    assert (target.name, target.module, target.preprocess, target.layers) == ("mine", own, preprocess, ("0.2",))
    assert not own.training
    assert own[3].weight.requires_grad
    assert target.fingerprint == load_target(own, preprocess=preprocess).fingerprint
    assert target.to("cpu") is target


def test_own_module_needs_a_preprocess(own):
    with pytest.raises(TypeError, match=r"needs preprocess=mdissect\.Preprocess\(size=\(height, width\).*none was given"):
        load_target(own)
    with pytest.raises(TypeError, match="preprocess=224 must be a Preprocess"):
        load_target(own, preprocess=224)


def test_default_layers_of_own_modules(own):
    target = load_target(own, preprocess=Preprocess(size=(16, 16)))
    assert target.layers == ("0.0", "0.2")
    assert target.notes == ("layers chosen by default: 0.0, 0.2",)
    stages = nn.ModuleDict({f"stage{i}": nn.Conv2d(2, 2, 1) for i in range(6)})
    assert default_layers(stages) == ("stage1", "stage3", "stage5")
    assert default_layers(nn.Sequential(stages)) == ("0.stage1", "0.stage3", "0.stage5")
    assert default_layers(nn.Sequential(nn.Conv2d(3, 4, 1))) == ("0",)
    with pytest.raises(ValueError, match=r"Identity has no layers to choose from; give layers="):
        default_layers(nn.Identity())


def test_programs_without_layers_are_refused():
    module = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.ReLU())
    example = torch.zeros(1, 1, 8, 8)
    program = torch.export.export(module, (example,))
    for one in (program, program.module(), torch.jit.trace(module, example), torch.jit.script(module)):
        with pytest.raises(TypeError, match="cannot be dissected: its layers do not run as modules"):
            load_target(one, preprocess=Preprocess(size=(8, 8), channels=1))


def test_files_of_programs_are_refused(tmp_path):
    module = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.ReLU())
    torch.export.save(torch.export.export(module, (torch.zeros(1, 1, 8, 8),)), tmp_path / "net.pt2")
    torch.jit.script(module).save(tmp_path / "net.pt")
    with pytest.raises(CheckpointError, match=r"is a program of torch\.export, which is code, .* save the module's state_dict"):
        load_target("timm/resnet10t", checkpoint=tmp_path / "net.pt2")
    with pytest.raises(CheckpointError, match="is a TorchScript program, which is code, and whose layers cannot be recorded"):
        load_target("timm/resnet10t", checkpoint=tmp_path / "net.pt")


def test_a_network_traced_with_its_modules_is_taken():
    traced = torch.fx.symbolic_trace(torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.ReLU()))
    assert load_target(traced, preprocess=Preprocess(size=(8, 8), channels=1), layers=["0"]).layers == ("0",)
