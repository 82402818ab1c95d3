"""Latents as a layer: recorded, pooled, located and dissected like any other."""

import copy
import warnings

import numpy as np
import pytest
import torch
from autoencoders import random_sae
from torch import nn
from toys import PREPROCESS, RowDissector, TinyCNN, TinyMLP, TinyViT, seeded, toy_dissect, toy_probe, toy_target

from mdissect.hooks import record
from mdissect.localize import activation_maps, receptive_field
from mdissect.models import load_target
from mdissect.sae import SparseAutoencoder, attach


def sae_for(target, layer: str, width: int, inputs: str = "places", axes: str = "NCHW", seed: int = 0) -> SparseAutoencoder:
    sae = random_sae(seed, width=width, n_latents=10, k=3)
    sae.settings = {
        "layer": layer, "target_weights": target.fingerprint, "target_preprocess": target.preprocess.key(),
        "inputs": inputs, "axes": axes, "prefix": None, "probe": "rows",
    }  # fmt: skip
    return sae


def images(n: int = 5) -> torch.Tensor:
    return torch.rand(n, 1, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def cnn():
    return toy_target(TinyCNN, ("deep",))


@pytest.mark.parametrize("pool", ["mean", "max"])
def test_each_place_is_encoded_then_pooled(cnn, pool):
    sae = sae_for(cnn, "deep", 6)
    attached = attach(cnn, "deep", sae)
    assert attached.layers == ("deep", "deep:sae")
    x = images()
    with torch.inference_mode(), record(attached.module, ["deep:sae", "deep"], pool=pool) as activations:
        answer = attached.module(x)
    with torch.inference_mode():
        maps = cnn.module.deep(cnn.module.act(cnn.module.stem(x)))
        places = [[sae.encode(maps[i, :, r, c]) for r in range(3) for c in range(3)] for i in range(5)]
        assert torch.equal(answer, cnn.module(x))
    together = torch.stack([torch.stack(of_image) for of_image in places])
    expected = together.mean(dim=1) if pool == "mean" else together.amax(dim=1)
    assert torch.allclose(activations["deep:sae"], expected, atol=1e-5)
    assert activations["deep"].shape == (5, 6)


@pytest.mark.parametrize(
    ("network", "layer", "width", "inputs", "axes", "pool"),
    [
        (TinyViT, "blocks.1", 6, "places", "NTC", "mean"),
        (TinyViT, "blocks.1", 6, "places", "NTC", "cls"),
        (TinyViT, "blocks.1", 6, "cls", "NTC", "mean"),
        (TinyMLP, "first", 7, "places", "NC", "mean"),
        (TinyCNN, "deep", 6, "mean", "NCHW", "mean"),
        (TinyCNN, "deep.0", 6, "places", "NCHW", "mean"),
    ],
)
def test_tokens_plain_layers_pooled_vectors_and_parts_of_lists(network, layer, width, inputs, axes, pool):
    target = toy_target(network, (layer,))
    sae = sae_for(target, layer, width, inputs, axes)
    attached = attach(target, layer, sae)
    with torch.inference_mode(), record(attached.module, [f"{layer}:sae"], pool=pool) as found:
        attached.module(images())
    outputs = []
    handle = target.module.get_submodule(layer).register_forward_hook(lambda _m, _i, output: outputs.append(output.clone()))
    with torch.inference_mode():
        target.module(images())
    handle.remove()
    vectors = outputs[0].movedim(axes.index("C"), -1).reshape(5, -1, width)  # (n, places, channels)
    if inputs != "places":
        expected = sae.encode(vectors[:, 0] if inputs == "cls" else vectors.mean(dim=1))
    else:
        expected = sae.encode(vectors)[:, 0] if pool == "cls" else sae.encode(vectors).mean(dim=1)
    assert torch.allclose(found[f"{layer}:sae"], expected, atol=1e-5)


def test_the_network_itself_is_left_alone(cnn):
    before = cnn.fingerprint
    attached = attach(cnn, "deep", sae_for(cnn, "deep", 6))
    attached.module(images())
    assert not any(part._forward_hooks for part in cnn.module.modules())
    assert "deep:sae" not in dict(cnn.module.named_modules())
    assert load_target(cnn.module, preprocess=PREPROCESS).fingerprint == before
    assert attached.module.deep is cnn.module.deep  # shared


def test_the_fingerprint_holds_the_autoencoder(cnn):
    first, other = (attach(cnn, "deep", sae_for(cnn, "deep", 6, seed=seed)) for seed in (0, 1))
    fewer = sae_for(cnn, "deep", 6)
    fewer.k = 2
    prints = {cnn.fingerprint, first.fingerprint, other.fingerprint, attach(cnn, "deep", fewer).fingerprint}
    assert len(prints) == 4
    assert attach(cnn, "deep", sae_for(cnn, "deep", 6)).fingerprint == first.fingerprint


def test_a_network_that_is_itself_a_list():
    target = load_target(nn.Sequential(seeded(TinyCNN).stem, nn.ReLU()), preprocess=PREPROCESS, layers=["0"])
    attached = attach(target, "0", sae_for(target, "0", 4))
    with torch.inference_mode(), record(attached.module, ["0:sae"]) as found:
        assert torch.equal(attached.module(images()), target.module(images()))
    assert found["0:sae"].shape == (5, 10)


def test_an_activation_in_place_behind_the_layer_changes_nothing(cnn):
    sae = sae_for(cnn, "stem", 4)  # a ReLU in place follows
    attached = attach(cnn, "stem", sae)
    with torch.inference_mode(), record(attached.module, ["stem:sae"]) as found:
        attached.module(images())
    with torch.inference_mode():
        expected = sae.encode(cnn.module.stem(images()).movedim(1, -1)).mean(dim=(1, 2))
    assert torch.allclose(found["stem:sae"], expected, atol=1e-5)


def test_two_layers_and_copies(cnn):
    twice = attach(attach(cnn, "deep", sae_for(cnn, "deep", 6)), "stem", sae_for(cnn, "stem", 4, seed=1))
    module = copy.deepcopy(twice.module)
    for one in (twice.module, module):
        with torch.inference_mode(), record(one, ["deep:sae", "stem:sae", "deep"]) as found:
            one(images())
        assert [found[layer].shape[1] for layer in ("deep:sae", "stem:sae", "deep")] == [10, 10, 6]
    assert module.deep is not cnn.module.deep
    assert module.get_submodule("deep:sae.sae").k == 3
    assert not load_target(twice, untrained=1).module.training
    assert load_target(twice, untrained=1).fingerprint != twice.fingerprint


def test_its_mode_is_the_networks_mode(cnn):
    attached = attach(cnn, "deep", sae_for(cnn, "deep", 6))
    modes = []
    handle = cnn.module.register_forward_pre_hook(lambda module, _inputs: modes.append(module.training))
    cnn.module.training = True
    attached.module(images())
    handle.remove()
    assert modes == [False]


def test_what_was_trained_elsewhere_is_refused_unless_asked(cnn):
    other = toy_target(TinyCNN, ("deep",))
    with torch.no_grad():
        other.module.head.bias.add_(1)
    other = load_target(other.module, preprocess=PREPROCESS, layers=["deep"])
    sae = sae_for(cnn, "deep", 6)
    with pytest.raises(ValueError, match="trained on something else") as caught:
        attach(other, "deep", sae)
    assert cnn.fingerprint[:16] in str(caught.value)
    assert other.fingerprint[:16] in str(caught.value)
    taken = attach(other, "deep", sae, strict=False)
    assert any("not trained here" in note for note in taken.notes)
    with pytest.raises(ValueError, match=r"layer 'deep' there, 'deep\.0' here"):
        attach(cnn, "deep.0", sae)
    with pytest.raises(ValueError, match="gives \\(1, 4, 8, 8\\); its autoencoder was made for 6 channels in axes NCHW"):
        attach(cnn, "stem", sae, strict=False)
    with pytest.raises(ValueError, match="layer 'deep' has an autoencoder already, 'deep:sae'"):
        attach(attach(cnn, "deep", sae), "deep", sae)
    with pytest.raises(ValueError, match="layer 'dep' is not in TinyCNN"):
        attach(cnn, "dep", sae)


def test_latents_are_located(cnn):
    sae = sae_for(cnn, "deep", 6)
    attached = attach(cnn, "deep", sae)
    pictures = [toy_probe(3)[i] for i in range(3)]
    maps, own = (activation_maps(attached, layer, pictures) for layer in ("deep:sae", "deep"))
    for latent_maps, channel_maps in zip(maps, own, strict=True):
        expected = sae.encode(torch.from_numpy(channel_maps).movedim(0, -1)).movedim(-1, 0).numpy()
        assert np.allclose(latent_maps, expected, atol=1e-5)
    assert receptive_field(attached, "deep:sae").reach == receptive_field(attached, "deep").reach
    with pytest.raises(ValueError, match="which has no places in the image"):
        activation_maps(attach(cnn, "deep", sae_for(cnn, "deep", 6, inputs="mean")), "deep:sae", pictures)


def test_latents_are_dissected_and_kept(cnn, tmp_path):
    attached = attach(cnn, "deep", sae_for(cnn, "deep", 6))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = toy_dissect(attached, RowDissector(), layers=["deep", "deep:sae"], store=tmp_path / "store")
    assert found.similarity["deep:sae"].shape == (10, 8)
    labels = found.labels()
    assert set(labels.layer) == {"deep", "deep:sae"}
    found.save(tmp_path / "found")
    assert np.array_equal(type(found).load(tmp_path / "found").activations["deep:sae"], found.activations["deep:sae"])
    assert len(found.labels(q=0.05)) == 16
    other = attach(cnn, "deep", sae_for(cnn, "deep", 6, seed=5))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        again = toy_dissect(other, RowDissector(), layers=["deep:sae"], store=tmp_path / "store")
    assert not np.allclose(again.activations["deep:sae"], found.activations["deep:sae"])
