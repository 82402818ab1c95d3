"""timm's models as targets, from random weights and from local files."""

import pytest
import timm
import torch
from safetensors.torch import save_file

from mdissect.models import CheckpointError, load_target
from mdissect.models.timm_model import load_timm
from mdissect.preprocess import Preprocess

IMAGES = torch.rand(2, 3, 64, 64)
SMALL = "test_resnet"
VIT = "test_vit"


@pytest.fixture(scope="module")
def resnet():
    torch.manual_seed(3)
    return timm.create_model(SMALL, num_classes=2).eval()


def test_random_weights_are_seeded_and_said():
    state = torch.random.get_rng_state()
    first, again = load_target(f"timm/{SMALL}"), load_target(f"timm/{SMALL}")
    assert torch.equal(torch.random.get_rng_state(), state)
    assert first.fingerprint == again.fingerprint != load_target(f"timm/{SMALL}", seed=1).fingerprint
    assert first.name == f"timm/{SMALL}"
    assert first.notes[0].startswith("random weights (seed 0)")
    assert not first.module.training
    assert first.layers == ("layer1", "layer3", "layer4")
    assert set(first.layers) <= set(dict(first.module.named_modules()))


@pytest.mark.parametrize("ending", ["safetensors", "pth"])
def test_checkpoint_fixes_the_number_of_classes(tmp_path, resnet, ending):
    path = tmp_path / f"weights.{ending}"
    if ending == "pth":
        torch.save({"state_dict": {f"module.{name}": value for name, value in resnet.state_dict().items()}}, path)
    else:
        save_file(resnet.state_dict(), path)
    target = load_target(f"timm/{SMALL}", checkpoint=path)
    with torch.inference_mode():
        torch.testing.assert_close(target.module(IMAGES), resnet(IMAGES), atol=1e-5, rtol=1e-4)


def test_checkpoint_without_classifier_and_model_without_classifier(tmp_path, resnet):
    headless = {name: value for name, value in resnet.state_dict().items() if not name.startswith("fc.")}
    save_file(headless, tmp_path / "body.safetensors")
    assert load_target(f"timm/{SMALL}", checkpoint=tmp_path / "body.safetensors").module.num_classes == 0
    with pytest.raises(CheckpointError, match=r"body\.safetensors: .*2 weights missing in the file: fc\.bias, fc\.weight"):
        load_target(f"timm/{SMALL}", checkpoint=tmp_path / "body.safetensors", num_classes=2)

    save_file(resnet.state_dict(), tmp_path / "whole.safetensors")
    target = load_target(f"timm/{SMALL}", checkpoint=tmp_path / "whole.safetensors", num_classes=0)
    assert "2 weights of the checkpoint not used, of fc" in target.notes


def test_checkpoint_of_one_channel(tmp_path):
    model = timm.create_model(SMALL, num_classes=0, in_chans=1)
    torch.save(model.state_dict(), tmp_path / "grey.pth")
    target = load_target(f"timm/{SMALL}", checkpoint=tmp_path / "grey.pth")
    assert target.preprocess.channels == 1
    assert len(target.preprocess.mean) == 1
    assert target.module(torch.rand(1, 1, 64, 64)).shape[0] == 1


def test_checkpoint_of_another_architecture(tmp_path, resnet):
    torch.save(resnet.state_dict(), tmp_path / "resnet.pth")
    with pytest.raises(CheckpointError, match=r"resnet\.pth: the weights do not fit VisionTransformer .*another architecture"):
        load_target(f"timm/{VIT}", checkpoint=tmp_path / "resnet.pth")


def test_gaps_are_noted_when_not_strict(tmp_path, resnet):
    state = resnet.state_dict()
    del state["layer1.0.conv1.weight"]
    torch.save(state, tmp_path / "gap.pth")
    with pytest.raises(CheckpointError, match=r"1 weights missing in the file: layer1\.0\.conv1\.weight"):
        load_target(f"timm/{SMALL}", checkpoint=tmp_path / "gap.pth")
    target = load_target(f"timm/{SMALL}", checkpoint=tmp_path / "gap.pth", strict=False)
    assert "not loaded: 1 weights missing in the file: layer1.0.conv1.weight" in target.notes


def test_positions_are_resampled_to_another_image_size(tmp_path):
    model = timm.create_model(VIT, num_classes=0)
    save_file(model.state_dict(), tmp_path / "vit.safetensors")
    target = load_target(f"timm/{VIT}", checkpoint=tmp_path / "vit.safetensors", img_size=(64, 96))
    assert target.preprocess.size == (64, 96)
    assert any("converted" in note for note in target.notes)
    assert target.module(torch.rand(1, 3, 64, 96)).shape[0] == 1
    same = load_target(f"timm/{VIT}", checkpoint=tmp_path / "vit.safetensors")
    assert not any("converted" in note for note in same.notes)


def test_preprocess_and_layers(resnet):
    target = load_target(f"timm/{SMALL}")
    expected = timm.data.resolve_model_data_config(resnet)
    assert target.preprocess.size == tuple(expected["input_size"][1:])
    assert target.preprocess.mean == tuple(expected["mean"])
    assert target.preprocess.scale == "dtype"
    own = Preprocess(size=(64, 40))
    target = load_target(f"timm/{SMALL}", preprocess=own, layers="layer4")
    assert (target.preprocess, target.layers) == (own, ("layer4",))
    assert not any("preprocessing" in note for note in target.notes)


def test_options_pass_through_and_tell_models_apart():
    plain, padded = (load_target("timm/test_efficientnet", pad_type=pad) for pad in ("", "same"))
    assert plain.fingerprint != padded.fingerprint
    with pytest.raises(TypeError, match=r"timm/test_resnet does not take all of the options paint: "):
        load_target(f"timm/{SMALL}", paint=1)


def test_unknown_names_and_contradictions(tmp_path):
    with pytest.raises(ValueError, match=r"timm has no model 'resnet19'; closest: resnet\d"):
        load_target("timm/resnet19")
    with pytest.raises(ValueError, match="choose one source of weights"):
        load_target(f"timm/{SMALL}", checkpoint=tmp_path / "a.pth", pretrained=True)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"pretrained": "yes"}, TypeError, "pretrained='yes' must be True or False"),
        ({"seed": "0"}, ValueError, "seed='0' must be a whole number"),
        ({"seed": -1}, ValueError, "seed=-1 must be a whole number, 0 or more"),
        ({"checkpoint": ""}, ValueError, "checkpoint='' is empty"),
        ({"checkpoint": 5}, TypeError, "checkpoint=5 must be a"),
        ({"weights": "ema"}, ValueError, "give checkpoint= too"),
        ({"num_classes": -3}, ValueError, "num_classes=-3 must be a whole number, 0 or more"),
        ({"in_chans": "3"}, ValueError, "in_chans='3' must be a whole number, 1 or more"),
    ],
)
def test_wrong_options_are_named(options, error, message):
    with pytest.raises(error, match=message):
        load_target(f"timm/{SMALL}", **options)


def test_a_deeper_network_is_not_taken_for_its_first_layers(tmp_path, resnet):
    state = resnet.state_dict()
    deeper = state | {name.replace("layer4.0", "layer4.1"): value for name, value in state.items() if "layer4.0" in name}
    torch.save(deeper, tmp_path / "deeper.pth")
    with pytest.raises(CheckpointError, match=r"weights unexpected in the file: layer4\.1\."):
        load_target(f"timm/{SMALL}", checkpoint=tmp_path / "deeper.pth")


def test_a_weight_that_is_no_number_is_named_whether_strict_or_not(tmp_path, resnet):
    state = {name: value.clone() for name, value in resnet.state_dict().items()}
    state["layer1.0.conv1.weight"].flatten()[3] = float("nan")
    torch.save(state, tmp_path / "nan.pth")
    for strict in (True, False):
        with pytest.raises(CheckpointError, match=r"nan\.pth: weight 'layer1\.0\.conv1\.weight' is broken: 1 of \d+ values"):
            load_target(f"timm/{SMALL}", checkpoint=tmp_path / "nan.pth", strict=strict)


@pytest.mark.slow
def test_the_weights_of_a_training_are_chosen_by_entry_prefix_or_as_the_running_mean(tmp_path):
    with torch.random.fork_rng(devices=[]):
        one, mean = (timm.create_model("resnet10t", num_classes=2).state_dict() for _ in range(2))
    path = tmp_path / "training.pth"
    torch.save({"state_dict": {f"module.net.{k}": v for k, v in one.items()}, "state_dict_ema": mean, "epoch": 3}, path)

    def weight(**options):
        return load_timm("resnet10t", checkpoint=path, **options).module.state_dict()["fc.weight"]

    assert torch.equal(weight(key="state_dict"), one["fc.weight"])
    assert torch.equal(weight(key="state_dict", prefix="module.net"), one["fc.weight"])
    assert torch.equal(weight(prefix="module.net."), one["fc.weight"])
    assert torch.equal(weight(key="state_dict_ema"), mean["fc.weight"])
    assert torch.equal(weight(ema=True), mean["fc.weight"])
    torch.save({"state_dict": one}, path)
    with pytest.raises(CheckpointError, match=r"has no running mean of the weights \(state_dict_ema, model_ema"):
        weight(ema=True)
    with pytest.raises(CheckpointError, match="has no weights 'model'; it has"):
        weight(key="model")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"key": "model"}, "key='model' names the weights in a checkpoint; give checkpoint= too"),
        ({"prefix": "net"}, "prefix='net' names the weights in a checkpoint"),
        ({"ema": True}, "ema=True names the weights in a checkpoint"),
        ({"checkpoint": "x.pth", "key": "a", "ema": True}, "key= and ema= name the weights to take in two ways"),
        ({"checkpoint": "x.pth", "weights": "a", "prefix": "b"}, "weights= and prefix= name the weights to take in two ways"),
        ({"ema": "yes"}, "ema='yes'"),
    ],
)
def test_choices_of_weights_that_contradict(options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        load_timm("resnet10t", **options)
