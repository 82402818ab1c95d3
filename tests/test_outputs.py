"""Tests of what layers give: their tensor among other things, and the tiny passes that settle its axes."""

import warnings
from collections import OrderedDict

import pytest
import torch
from emitters import Emitter, images
from torch import nn
from transformers.modeling_outputs import BaseModelOutputWithPooling, ImageClassifierOutput

from mdissect.axes import Layout, UnsettledAxesError
from mdissect.outputs import evaluating, settle_axes, tensor_of

X = torch.arange(6.0).reshape(2, 3)
OTHER = -X


@pytest.mark.parametrize(
    "output",
    [
        X,
        (X, OTHER),
        (X, None),
        [X],
        ((X, OTHER), 4, 4),
        {"features": X},
        {"features": X, "size": (4, 4)},
        {"pooled": OTHER, "last_hidden_state": X},
        ({"last_hidden_state": X}, OTHER),
        BaseModelOutputWithPooling(last_hidden_state=X, pooler_output=OTHER),
        ImageClassifierOutput(logits=X),
    ],
)
def test_the_tensor_of_an_output(output):
    assert tensor_of(output, "neck") is X


@pytest.mark.parametrize(
    ("output", "found"),
    [
        (None, "None"),
        ((), "tuple"),
        ([], "list"),
        ({}, "dict"),
        ("features", "str"),
        ((None, X), "tuple"),
        (OrderedDict(low=X, high=OTHER), "OrderedDict with low, high"),
        (ImageClassifierOutput(logits=X, hidden_states=(OTHER,))["hidden_states"][:0], "tuple"),
        (X.numpy(), "ndarray"),
    ],
)
def test_an_output_without_one_tensor_is_refused_by_layer_and_type(output, found):
    with pytest.raises(ValueError, match=f"layer 'neck' gives {found}, which has no one tensor; expected"):
        tensor_of(output, "neck")


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.uint8, torch.complex64])
def test_an_output_of_other_numbers_is_refused(dtype):
    with pytest.raises(ValueError, match=f"layer 'neck' gives numbers of type {dtype}; expected activations"):
        tensor_of(X.to(dtype), "neck")


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
def test_quantised_outputs_are_read():
    quantised = torch.quantize_per_tensor(X, 0.5, 0, torch.qint8)
    torch.testing.assert_close(tensor_of(quantised), X)


def test_only_tiny_batches_of_one_image_are_run_and_never_larger_ones():
    seen = []
    module = Emitter("NTC", fixed=None)
    module.patches.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    x = images(9, 96)
    assert settle_axes(module, ["out"], x) == {"out": Layout("NTC")}
    assert [tuple(one.shape) for one in seen] == [(2, 3, 96, 96), (3, 3, 64, 64)]
    assert all(torch.equal(one, x[:1, :, : one.shape[2], : one.shape[3]].expand_as(one)) for one in seen)
    seen.clear()
    settle_axes(Emitter("NTC"), ["out"], x, axes={"out": "NTC"})
    assert seen == []


@pytest.mark.parametrize("n", [1, 2, 3, 17])
@pytest.mark.parametrize("size", [(8, 8), (33, 20), (4, 4), (130, 70)])
def test_any_number_and_size_of_images_will_do(n, size):
    assert settle_axes(Emitter("NHWC"), ["out"], images(n, *size), axes={}) == {"out": Layout("NHWC")}


def test_a_network_is_left_as_it_was():
    class Noisy(Emitter):
        def __init__(self):
            super().__init__("NHWC")
            self.norm, self.drop = nn.BatchNorm2d(3), nn.Dropout()

        def forward(self, x):
            return super().forward(self.drop(self.norm(x)) + 0 * torch.rand(()))

    module = Noisy().train()
    module.norm.eval()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    state = torch.random.get_rng_state()
    settle_axes(module, ["out"], images(4))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert [part.training for part in (module, module.norm, module.drop)] == [True, False, True]
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())


def test_modes_are_restored_after_an_error():
    module = nn.Sequential(nn.Dropout(), nn.BatchNorm1d(3)).train()
    module[1].eval()
    with pytest.raises(ValueError, match="expected 2D or 3D input"), evaluating(module):
        module(torch.zeros(3))
    assert [part.training for part in module.modules()] == [True, True, False]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("compile_", [torch.jit.script, lambda module: torch.jit.trace(module, images(2))])
def test_layers_of_a_program_cannot_be_watched(compile_):
    with pytest.raises(ValueError, match=r"layer '0' of a TorchScript program .* cannot be watched: give the nn.Module"):
        settle_axes(compile_(nn.Sequential(nn.Conv2d(3, 4, 1)).eval()), ["0"], images(2))


def test_layers_before_what_refuses_a_size_are_settled_all_the_same():
    module = nn.Sequential(Emitter("NHWC"), nn.Flatten(), nn.Linear(4 * 4 * 5, 2))
    assert settle_axes(module, ["0.out", "2"], images(4)) == {"0.out": Layout("NHWC"), "2": Layout("NC")}


def test_what_takes_or_makes_a_tensor_tells_its_channels():
    taken = Emitter("NTC", 16, fixed=8, behind=nn.LayerNorm(16))
    made = nn.Sequential(Emitter("NTC", 16, fixed=8), nn.Linear(16, 16))
    assert settle_axes(taken, ["out"], images(4)) == {"out": Layout("NTC")}  # 16 tokens too
    assert settle_axes(made, ["0"], images(4)) == {"0": Layout("NTC")}
    with pytest.raises(UnsettledAxesError, match=r"layer 'out' gives \(3, 16, 16\) for 3 images of 8 x 8: it is ambiguous"):
        settle_axes(Emitter("NTC", 16, fixed=8), ["out"], images(4))


def test_a_module_that_runs_twice_is_told_by_its_name():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.act, self.once = nn.Conv2d(3, 3, 1), nn.ReLU(), nn.ReLU()

        def forward(self, x):
            return self.once(self.act(self.conv(self.act(x))))

    with pytest.warns(UserWarning, match="layer 'act' runs 2 times in one pass of Twice; the last one counts") as told:
        settle_axes(Twice(), ["act", "once", "conv"], images(4))
    assert len(told) == 1


def test_a_list_of_maps_is_told():
    class Branches(Emitter):
        def forward(self, x):
            return [super().forward(x), x]

    with pytest.warns(UserWarning, match="layer '0' gives a list of 2; the first of them counts"):
        assert settle_axes(nn.Sequential(Branches("NHWC")), ["0"], images(4)) == {"0": Layout("NHWC")}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        settle_axes(nn.Sequential(Emitter("NHWC")), ["0"], images(4))


@pytest.mark.parametrize("axes", [{"outt": "NTC"}, {"out": "NTC", "0": "NC"}])
def test_axes_of_other_layers_are_refused(axes):
    with pytest.raises(ValueError, match=r"axes has '(outt|0)', but the layers are 'out'"):
        settle_axes(Emitter("NTC"), ["out"], images(4), axes=axes)


def test_wrong_axes_are_noticed():
    message = r"layer 'out' gives \(2, 16, 5\) for 2 images, but under axes='TNC' it has 16; correct it"
    with pytest.raises(UnsettledAxesError, match=message):
        settle_axes(Emitter("NTC", fixed=8), ["out"], images(4), "patches", {"out": "TNC"})
