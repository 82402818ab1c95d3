"""Tests of the activations that hooks collect."""

from collections import namedtuple

import pytest
import torch
import toys
from emitters import Emitter, images
from torch import nn

from mdissect.axes import UnsettledAxesError
from mdissect.hooks import edit, find_layer, pool_neurons, record


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
    with pytest.raises(ValueError, match="pool='median' is not one of 'mean', 'max', 'cls'"):
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


class Permute(nn.Module):
    def __init__(self, *order):
        super().__init__()
        self.order = order

    def forward(self, x):
        return x.permute(self.order)


def recorded(module, x, layer="out", pool="mean", **options):
    with torch.no_grad(), record(module.eval(), [layer], pool, **options) as found:
        module(x)
    return found[layer]


def test_a_map_with_its_channels_last_has_a_neuron_per_channel():
    module = nn.Sequential(nn.Conv2d(3, 8, 1), Permute(0, 2, 3, 1))
    assert recorded(module, torch.zeros(2, 3, 5, 4), "1").shape == (2, 8)


def test_tokens_before_the_batch_are_pooled_for_each_image():
    module, x = nn.Sequential(nn.Identity(), nn.Flatten(2), Permute(2, 0, 1)), torch.rand(4, 3, 2, 2)
    torch.testing.assert_close(recorded(module, x, "2"), x.mean(dim=(2, 3)))


def test_torchvisions_swin_has_a_neuron_per_channel():
    import torchvision

    module = torchvision.models.swin_t(weights=None).eval()
    layers = ["features.2", "features.5", "norm"]
    with torch.no_grad(), record(module, layers) as found:
        module(torch.zeros(1, 3, 64, 64))
    assert [found[layer].shape[1] for layer in layers] == [192, 384, 768]


@pytest.mark.parametrize("letters", ["NTC", "TNC", "NCT", "CNT", "TCN"])
@pytest.mark.parametrize(("n", "side"), [(17, 8), (16, 8), (5, 8), (1, 8), (2, 4)])
def test_pools_of_tokens_in_any_order(letters, n, side):
    module, x = Emitter(letters, channels=17, prefix=1), images(n, side)
    maps = module.patches(x).detach()
    n_patches = maps.shape[2] * maps.shape[3]
    torch.testing.assert_close(recorded(module, x, pool="patches"), maps.mean(dim=(2, 3)), rtol=1e-4, atol=1e-4)
    mean = (maps.sum(dim=(2, 3)) + 100) / (n_patches + 1)
    torch.testing.assert_close(recorded(module, x, pool="mean"), mean, rtol=1e-4, atol=1e-4)
    assert (recorded(module, x, pool="cls") == 100).all()
    assert (recorded(module, x, pool="max") == 100).all()


@pytest.mark.parametrize("batch_first", [True, False])
def test_torchs_encoders_of_as_many_tokens_as_images(batch_first):
    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.patches, self.cls = nn.Conv2d(3, 16, 2, stride=2), nn.Parameter(torch.zeros(1, 1, 16))
            self.out = nn.TransformerEncoderLayer(16, 2, 32, batch_first=batch_first)

        def forward(self, x):
            tokens = torch.cat([self.cls.expand(len(x), 1, 16), self.patches(x).flatten(2).transpose(1, 2)], dim=1)
            return self.out(tokens) if batch_first else self.out(tokens.transpose(0, 1)).transpose(0, 1)

    module, x = Encoder().eval(), images(17)
    with torch.no_grad():
        tokens = module(x)
    assert tokens.shape == (17, 17, 16)
    for pool, expected in {"mean": tokens.mean(1), "cls": tokens[:, 0], "patches": tokens[:, 1:].mean(1)}.items():
        torch.testing.assert_close(recorded(module, x, pool=pool), expected)


@pytest.mark.parametrize("letters", ["NHWC", "NCHW", "HWNC", "CNHW", "HWCN", "NHCW"])
@pytest.mark.parametrize("n", [4, 8, 1])
def test_pools_of_maps_in_any_order(letters, n):
    module, x = Emitter(letters, channels=4), images(n, 8, 16)
    maps = module.patches(x).detach()
    for pool, expected in {"mean": maps.mean((2, 3)), "patches": maps.mean((2, 3)), "max": maps.amax((2, 3))}.items():
        torch.testing.assert_close(recorded(module, x, pool=pool), expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="pool='cls' needs tokens"):
        recorded(module, x, pool="cls")


@pytest.mark.parametrize("pool", ["mean", "max", "cls", "patches"])
@pytest.mark.parametrize("letters", ["NC", "CN"])
def test_vectors_stay_as_they_are(letters, pool):
    module, x = Emitter(letters, channels=3), images(3)
    torch.testing.assert_close(recorded(module, x, pool=pool), module.expected(x))


def test_what_cannot_be_told_is_asked_for_and_taken():
    module, x = Emitter("TNC", channels=16, prefix=1, fixed=8), images(17)
    with pytest.raises(
        UnsettledAxesError, match=r"layer 'out' gives \(17, 3, 16\) for 3 images of 8 x 8: .*axes=\{'out': 'NTC'\}"
    ):
        recorded(module, x)
    message = r"layer 'out' gives \(17, 2, 16\) for 2 images: how many of its 17 tokens are no patches .* give prefix_tokens="
    with pytest.raises(UnsettledAxesError, match=message):
        recorded(module, x, pool="patches", axes={"out": "TNC"})
    found = recorded(module, x, pool="patches", axes={"out": "TNC"}, prefix_tokens=1)
    torch.testing.assert_close(found, module.expected(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ("NHWC", r"layer 'out' gives \(4, 16, 5\) for 4 images: 3 axes, but axes='NHWC' names 4; correct it"),
        ("TNC", r"layer 'out' gives \(4, 16, 5\) for 4 images, but under axes='TNC' it has 16; correct it"),
    ],
)
def test_axes_that_do_not_fit_are_noticed(axes, message):
    with pytest.raises(UnsettledAxesError, match=message):
        recorded(Emitter("NTC"), images(4), axes={"out": axes})


def test_layers_with_rows_of_other_things_than_images_are_named():
    module = nn.Sequential(Emitter("NTC"), nn.Flatten(0, 1))
    with pytest.raises(
        UnsettledAxesError, match=r"layer '1' gives \(48, 5\) for 3 images of 8 x 8: no axis is as long as the batch"
    ):
        recorded(module, images(4), "1")


def test_a_part_that_runs_alone_goes_by_its_own_kind(cnn):
    with record(cnn.module, ["stem"]) as found:
        cnn.module.forward_features(batch(8))  # as many images as rows
    torch.testing.assert_close(found["stem"], cnn.module.stem(batch(8)).mean(dim=(2, 3)))


def test_a_network_of_one_batch_size_is_told_by_its_batch():
    class Fixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.out = nn.Linear(3, 7)

        def forward(self, x):
            return self.out(x.reshape(5, 3, 16).permute(2, 0, 1))

    module, x = Fixed(), images(5, 4)
    expected = module.out(x.flatten(2).transpose(1, 2)).mean(dim=1).detach()
    torch.testing.assert_close(recorded(module, x), expected)


def test_images_may_come_by_name():
    module, x = nn.Sequential(Emitter("NHWC")), images(5)
    module.forward = lambda *, pixel_values: module[0](pixel_values)
    with torch.no_grad(), record(module, ["0"]) as found:
        module(pixel_values=x)
    torch.testing.assert_close(found["0"], module[0].expected(x))


def given_out(module, x):
    """The tensor that "out" hands on."""
    kept = []
    handle = module.get_submodule("out").register_forward_hook(lambda _m, _i, output: kept.append(output))
    with torch.no_grad():
        module(x)
    handle.remove()
    return kept[0]


class Kept(nn.Module):
    """Keeps what it is handed, and hands it on."""

    def forward(self, x):
        self.seen = x
        return x


def edited(letters, change, x, dtype=torch.float32, **options):
    module = Emitter(letters, channels=5, behind=Kept(), **options).eval().to(dtype)
    before = given_out(module, x.to(dtype))
    with torch.no_grad(), edit(module, "out", change) as found:
        module(x.to(dtype))
    assert found.n_edits == 1
    assert n_hooks(module) == 0
    return before, module.behind.seen


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("letters", ["NCHW", "NHWC", "CNHW", "NTC", "TNC", "NCT", "NC", "CN"])
def test_chosen_neurons_are_set_and_the_others_keep_every_bit(letters, dtype):
    before, after = edited(letters, {(1, 3): (0.25, -2.0), 4: 1.5}, images(3), dtype)
    channels = letters.index("C")
    assert after.dtype == dtype
    for neuron, value in {1: 0.25, 3: -2.0, 4: 1.5}.items():
        assert (after.select(channels, neuron) == value).all()
    for neuron in (0, 2):
        assert torch.equal(after.select(channels, neuron), before.select(channels, neuron))


@pytest.mark.parametrize("letters", ["NCHW", "NHWC", "HWCN", "TNC", "NTC", "CN"])
def test_a_function_gets_images_first_and_neurons_last(letters):
    shapes, x = [], images(3)

    def double_the_second(activations):
        shapes.append(tuple(activations.shape))
        activations[..., 1] *= 2
        return activations

    before, after = edited(letters, double_the_second, x)
    assert [(shape[0], shape[-1]) for shape in shapes] == [(3, 5)]
    channels = letters.index("C")
    assert torch.equal(after.select(channels, 1), 2 * before.select(channels, 1))
    assert torch.equal(after.select(channels, 2), before.select(channels, 2))


def test_an_edit_changes_what_runs_behind_it_and_nothing_once_it_is_over(cnn):
    x = batch()
    untouched = cnn.module(x)
    with edit(cnn.module, "deep", {tuple(range(6)): 0.0}):
        logits = cnn.module(x)
    torch.testing.assert_close(logits, cnn.module.head.bias.expand(5, 5))
    assert torch.equal(cnn.module(x), untouched)


def test_an_edit_and_a_record_of_one_layer_take_turns(cnn):
    axes = {"stem": "NCHW"}
    with edit(cnn.module, "stem", {2: 7.0}, axes), record(cnn.module, ["stem"], axes=axes) as after:
        cnn.module(batch())
    assert (after["stem"][:, 2] == 7).all()


class Wrapping(nn.Module):
    def __init__(self, wrap):
        super().__init__()
        self.wrap = wrap

    def forward(self, x):
        return self.wrap(x)


Pair = namedtuple("Pair", ["states", "weights"])


@pytest.mark.parametrize(
    ("wrap", "states"),
    [
        (lambda x: (x, "weights"), lambda y: y[0]),
        (lambda x: [x, None], lambda y: y[0]),
        (lambda x: ((x,), 1), lambda y: y[0][0]),
        (lambda x: Pair(x, "weights"), lambda y: y.states),
        (lambda x: {"out": x, "aux": None}, lambda y: y["out"]),
        (lambda x: {"last_hidden_state": x, "pooled": x}, lambda y: y["last_hidden_state"]),
    ],
)
def test_outputs_of_several_things_keep_the_others(wrap, states):
    module, x = nn.Sequential(nn.Linear(3, 4), Wrapping(wrap)), torch.rand(2, 3)
    before = module(x)
    with edit(module, "1", {2: 9.0}):
        after = module(x)
    assert type(after) is type(before)
    assert (states(after)[:, 2] == 9).all()
    assert torch.equal(states(after)[:, :2], states(before)[:, :2])
    assert len(after) == len(before)


def test_outputs_of_transformers_keep_their_kind():
    from transformers.modeling_outputs import BaseModelOutputWithPooling

    module = nn.Sequential(
        nn.Linear(3, 4), Wrapping(lambda x: BaseModelOutputWithPooling(last_hidden_state=x, pooler_output=x[:, 0]))
    )
    x = torch.rand(2, 5, 3)
    before = module(x)
    with edit(module, "1", {1: 9.0}, axes={"1": "NTC"}):
        after = module(x)
    assert (after.last_hidden_state[..., 1] == 9).all()
    assert (after["last_hidden_state"][..., 1] == 9).all()
    assert torch.equal(after.pooler_output, before.pooler_output)
    assert (before.last_hidden_state[..., 1] != 9).all()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({-1: 0.0}, ValueError, "a neuron of change=-1 must be a whole number, 0 or more"),
        ({True: 0.0}, ValueError, "a neuron of change=True"),
        ({2: float("nan")}, ValueError, r"change\[2\]=nan"),
        ({(1, 2): (0.0, 1.0, 2.0)}, ValueError, r"change\[\(1, 2\)\] has 3 values for 2 neurons"),
        ({(1, 2): 0.0, 2: 1.0}, ValueError, "change names neuron 2 twice"),
        ({(1, 1): 0.0}, ValueError, "change names neuron 1 twice"),
        ([1, 2], TypeError, "must be a mapping of neurons to values"),
        ({1: "x"}, ValueError, r"change\[1\]='x' must be a finite number"),
    ],
)
def test_a_change_that_means_nothing_is_refused_before_anything_runs(cnn, change, error, message):
    with pytest.raises(error, match=message):
        edit(cnn.module, "deep", change)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({6: 0.0}, IndexError, "neuron 6 is not in layer 'deep', whose neurons are 0 to 5"),
        (
            lambda a: a[..., :2],
            ValueError,
            r"change returned \(5, 3, 3, 2\) for layer 'deep'; expected a tensor \(5, 3, 3, 6\)",
        ),
        (lambda _: None, ValueError, "change returned NoneType for layer 'deep'"),
        (lambda _: 1 / 0, ZeroDivisionError, "division"),
    ],
)
def test_nothing_is_left_behind_after_an_error(cnn, change, error, message):
    untouched = cnn.module(batch())
    with pytest.raises(error, match=message), edit(cnn.module, "deep", change):
        cnn.module(batch())
    assert n_hooks(cnn.module) == 0
    assert torch.equal(cnn.module(batch()), untouched)


def test_a_layer_that_the_network_does_not_use_is_never_edited(cnn):
    with edit(cnn.module, "head", {0: 1.0}) as found:
        cnn.module.forward_features(batch())
    assert found.n_edits == 0
