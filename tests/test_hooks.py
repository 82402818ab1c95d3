"""Tests of the activations that hooks collect."""

import pytest
import torch
import toys
from torch import nn

from mdissect.hooks import find_layer, pool_neurons, record


def batch(n=5):
    return torch.rand(n, 1, toys.SIDE, toys.SIDE, generator=torch.Generator().manual_seed(1))


def n_hooks(module):
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in module.modules())


def test_maps_are_pooled_over_their_pixels(cnn):
    x = batch()
    stem = cnn.module.stem(x)
    for pool, expected in (("mean", stem.mean(dim=(2, 3))), ("max", stem.amax(dim=(2, 3)))):
        with record(cnn.module, ["stem", "deep", "head"], pool) as activations:
            logits = cnn.module(x)
        torch.testing.assert_close(activations["stem"], expected)
        assert activations["deep"].shape == (5, 6)
        torch.testing.assert_close(activations["head"], logits)


def test_maps_with_their_channels_last_are_told_by_the_network():
    class Swinlike(nn.Module):
        output_fmt = "NHWC"

        def __init__(self):
            super().__init__()
            self.stage = nn.Identity()

        def forward(self, x):
            return self.stage(x.permute(0, 2, 3, 1))

    x = torch.rand(3, 7, 4, 2)
    for pool, expected in (("mean", x.mean(dim=(2, 3))), ("max", x.amax(dim=(2, 3)))):
        with record(module := Swinlike(), ["stage"], pool) as activations:
            module(x)
        torch.testing.assert_close(activations["stage"], expected)


def test_tokens_are_pooled_or_represented_by_the_first(vit):
    x = batch()
    outputs = []
    handle = vit.module.blocks[1].register_forward_hook(lambda _m, _i, output: outputs.append(output))
    vit.module(x)
    handle.remove()
    tokens = outputs[0]
    assert tokens.shape == (5, 5, 6)
    for pool, expected in (("mean", tokens.mean(dim=1)), ("max", tokens.amax(dim=1)), ("cls", tokens[:, 0])):
        with record(vit.module, ["blocks.1"], pool) as activations:
            vit.module(x)
        torch.testing.assert_close(activations["blocks.1"], expected)


@pytest.mark.parametrize("pool", ["mean", "max", "cls"])
def test_an_activation_in_place_behind_a_layer_does_not_change_what_was_recorded(mlp, vit, pool):
    x = batch()
    expected = mlp.module.first(x.flatten(1)).clone()
    assert (expected < 0).any()
    with record(mlp.module, ["first", "act"], pool) as activations:
        mlp.module(x)
    torch.testing.assert_close(activations["first"], expected)
    torch.testing.assert_close(activations["act"], expected.clamp(min=0))
    tokens = torch.full((2, 3, 4), -1.0)
    pooled = pool_neurons(tokens, pool)
    tokens.zero_()
    assert (pooled == -1).all()


def test_activations_are_single_precision_without_gradients(cnn):
    module = cnn.module.double()
    with record(module, ["stem", "head"]) as activations:
        module(batch().double())
    for layer in ("stem", "head"):
        assert activations[layer].dtype == torch.float32
        assert not activations[layer].requires_grad


def test_the_last_batch_counts_and_the_first_of_several_outputs():
    class Attention(nn.Module):
        def forward(self, x):
            return 2 * x, "weights"

    module = nn.Sequential(Attention())
    with record(module, ["0"]) as activations:
        module(torch.zeros(4, 3))
        module(torch.ones(2, 3))
    assert activations["0"].tolist() == [[2.0] * 3] * 2


def test_hooks_are_gone_afterwards_also_after_an_error(cnn):
    with record(cnn.module, ["stem", "deep"]) as activations:
        assert n_hooks(cnn.module) >= 2
        cnn.module(batch())
    assert n_hooks(cnn.module) == 0
    kept = activations["stem"].clone()
    cnn.module(2 * batch())
    assert torch.equal(activations["stem"], kept)
    with pytest.raises(RuntimeError), record(cnn.module, ["stem", "deep"]):
        cnn.module(torch.zeros(1, 2, 3, 4))
    assert n_hooks(cnn.module) == 0


def test_hooks_are_gone_after_an_error_inside_a_hook(cnn):
    message = r"pool='cls' needs tokens \(n, t, c\), but layer 'stem' gives maps \(5, 4, 8, 8\)"
    with pytest.raises(ValueError, match=message), record(cnn.module, ["stem"], "cls"):
        cnn.module(batch())
    assert n_hooks(cnn.module) == 0


def test_a_layer_that_did_not_run_is_named(cnn):
    with record(cnn.module, ["stem", "head"]) as activations:
        cnn.module.forward_features(batch())
    assert activations["stem"].shape == (5, 4)
    with pytest.raises(KeyError, match="layer 'head' gave nothing: the network did not run it"):
        activations["head"]


def test_an_unknown_layer_lists_the_closest(cnn, vit):
    with pytest.raises(ValueError, match="layer 'steem' is not in TinyCNN; closest: 'stem'"):
        record(cnn.module, ["stem", "steem"])
    with pytest.raises(ValueError, match=r"layer 'blocks.7' is not in TinyViT; closest: 'blocks"):
        find_layer(vit.module, "blocks.7")
    with pytest.raises(ValueError, match="layer '' is not in TinyCNN; closest: "):
        find_layer(cnn.module, "")
    assert n_hooks(cnn.module) == 0


def test_a_module_used_twice_is_found_under_both_paths():
    shared = nn.ReLU()
    module = nn.Sequential(nn.Linear(2, 2), shared, nn.Linear(2, 2), shared)
    assert find_layer(module, "1") is find_layer(module, "3") is shared


def test_an_unknown_pool_is_refused_before_anything_runs(cnn):
    with pytest.raises(ValueError, match="pool='median' is unknown; use one of mean, max, cls"):
        record(cnn.module, ["stem"], "median")


@pytest.mark.parametrize(
    ("output", "found"),
    [
        (torch.zeros(3), r"\(3,\)"),
        (torch.zeros(1, 2, 3, 4, 5), r"\(1, 2, 3, 4, 5\)"),
        ({}, "dict"),
        ((), "tuple"),
        (None, "None"),
    ],
)
def test_an_output_that_holds_no_neurons_is_refused(output, found):
    with pytest.raises(ValueError, match=f"layer 'neck' gives {found}.*; expected .n, c., tokens .n, t, c. or maps"):
        pool_neurons(output, "mean", "neck")
