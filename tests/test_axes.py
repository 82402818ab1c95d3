"""Tests of telling the axes of a layer's output apart by shapes, and by what modules say."""

import re

import pytest
import torch
from torch import nn

from mdissect.axes import (
    Layout,
    Observation,
    UnsettledAxesError,
    channel_axis,
    given_layouts,
    prefix_tokens,
    settle,
    token_grid,
)

LARGE, SMALL = (64, 64), (32, 32)
PLAIN = nn.Sequential(nn.Sequential())


def two(first, second, n=(2, 3), sizes=(LARGE, SMALL), **neighbours):
    return [Observation(count, size, shape, **neighbours) for count, size, shape in zip(n, sizes, (first, second), strict=True)]


@pytest.mark.parametrize(
    ("first", "second", "letters"),
    [
        ((2, 8, 16, 16), (3, 8, 8, 8), "NCHW"),
        ((2, 16, 16, 8), (3, 8, 8, 8), "NHWC"),
        ((16, 16, 2, 8), (8, 8, 3, 8), "HWNC"),
        ((8, 2, 16, 16), (8, 3, 8, 8), "CNHW"),
        ((2, 512, 1, 1), (3, 512, 1, 1), "NCHW"),  # pooled: the long axis
        ((2, 1, 1, 512), (3, 1, 1, 512), "NHWC"),
        ((2, 1, 2, 2), (3, 1, 1, 1), "NCHW"),  # one channel
        ((2, 2, 2, 2), (3, 2, 1, 1), "NCHW"),  # all as long as the first batch
        ((2, 17, 24), (3, 5, 24), "NTC"),
        ((2, 24, 17), (3, 24, 5), "NCT"),
        ((17, 2, 24), (5, 3, 24), "TNC"),
        ((24, 2, 17), (24, 3, 5), "CNT"),
        ((2, 17, 17), (3, 5, 17), "NTC"),  # as many tokens as channels
        ((3, 2, 2), (3, 3, 1), "CNT"),
        ((2, 10), (3, 10), "NC"),
        ((10, 2), (10, 3), "CN"),
        ((2, 64), (3, 16), "NC"),  # a flattened map: all of it are neurons
    ],
)
def test_batch_and_image_size_tell_the_axes(first, second, letters):
    assert settle("0", two(first, second), PLAIN) == letters


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        ((128, 49, 32), (48, 49, 32), "no axis is as long as the batch"),  # windows
        ((34, 24), (15, 24), "no axis is as long as the batch"),  # tokens flattened into the batch
        ((1, 17, 24), (1, 5, 24), "no axis is as long as the batch"),  # positions, the same for all images
        ((2, 2), (3, 3), "more than one axis is as long as the batch"),
        ((2, 64, 64), (3, 32, 32), "it is ambiguous which axis holds the channels"),
        ((2, 4, 17, 24), (3, 4, 5, 24), "it is ambiguous which axis holds the channels"),  # heads, tokens, their channels
        ((2, 7, 7, 8), (3, 7, 7, 8), "it is ambiguous which axis holds the channels"),  # pooled to 7 x 7
        ((2,), (3,), "expected (n, c), tokens (n, t, c) or maps (n, c, h, w)"),
        ((2, 8, 3, 16, 16), (3, 8, 3, 8, 8), "expected (n, c), tokens (n, t, c) or maps (n, c, h, w)"),
        ((2, 8, 16, 16), (3, 8, 64), "expected (n, c), tokens (n, t, c) or maps (n, c, h, w)"),
    ],
)
def test_what_cannot_be_told_is_refused_with_layer_shape_and_batch(first, second, reason):
    message = f"layer '0' gives {second} for 3 images of 32 x 32: {reason}"
    with pytest.raises(UnsettledAxesError, match=re.escape(message)):
        settle("0", two(first, second), PLAIN)


def test_the_error_says_how_to_give_the_axes():
    with pytest.raises(
        UnsettledAxesError, match=r"say it with axes=\{'0': 'NTC'\} or the like \(N batch, C channels, H height, W"
    ):
        settle("0", two((2, 4, 4), (3, 4, 4), sizes=(LARGE, LARGE)), PLAIN)


class Block(nn.Module):
    """A block of a network of tokens, which could be of any kind inside."""

    def __init__(self, **parts):
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)


@pytest.mark.parametrize(
    ("layer", "shape", "letters"),
    [
        (nn.Linear(5, 24), (2, 24, 24), "NTC"),
        (nn.LayerNorm(24), (2, 24, 24), "NTC"),
        (nn.Conv1d(3, 24, 1), (2, 24, 24), "NCT"),
        (nn.Conv2d(3, 24, 1), (2, 24, 24, 24), "NCHW"),
        (nn.Sequential(nn.Conv2d(3, 24, 1), nn.BatchNorm2d(24), nn.ReLU(), nn.Dropout()), (2, 24, 24, 24), "NCHW"),
        (nn.AdaptiveAvgPool2d(7), (2, 24, 7, 7), "NCHW"),
        (nn.GroupNorm(1, 24), (2, 24, 7, 7), "NCHW"),
        (Block(norm=nn.LayerNorm(24), mlp=nn.Linear(24, 96)), (2, 96, 24), "NTC"),  # as many tokens as hidden neurons
        (Block(mix=nn.Linear(17, 17), norm=nn.LayerNorm(24)), (2, 17, 24), "NTC"),  # a mixer of tokens
        (Block(first=nn.Linear(24, 96), second=nn.Linear(96, 24)), (2, 17, 24), "NTC"),
        (Block(conv=nn.Conv2d(8, 24, 1)), (2, 14, 14, 24), "NHWC"),
        (Block(act=nn.ReLU(), num_features=24), (2, 17, 24), "NTC"),
        (nn.TransformerEncoderLayer(24, 2, 48), (2, 17, 24), "NTC"),
        (nn.MultiheadAttention(24, 2), (2, 24, 17), "NCT"),
    ],
)
def test_where_the_size_must_not_change_the_modules_tell(layer, shape, letters):
    seen = two(shape, (3, *shape[1:]), sizes=(LARGE, LARGE))
    assert settle("0", seen, nn.Sequential(layer)) == letters
    assert settle("0.0", seen, nn.Sequential(nn.Sequential(layer))) == letters


def test_modules_that_contradict_each_other_tell_nothing():
    seen = two((2, 17, 24), (3, 17, 24), sizes=(LARGE, LARGE), neighbours=frozenset({1}))
    with pytest.raises(UnsettledAxesError, match="it is ambiguous which axis holds the channels"):
        settle("0", seen, nn.Sequential(nn.LayerNorm(24)))


def test_sizes_say_more_than_modules():
    class Turned(nn.Conv2d):
        """Its channels come last."""

    assert settle("0", two((2, 16, 16, 8), (3, 8, 8, 8)), nn.Sequential(Turned(3, 8, 1))) == "NHWC"


@pytest.mark.parametrize(
    ("says", "shape", "letters"),
    [
        ({"feature_info": [{"module": "0", "num_chs": 17, "reduction": 4}]}, (2, 17, 24), "NCT"),
        ({"config": Block(hidden_size=24)}, (2, 17, 24), "NTC"),
        ({"config": Block(hidden_sizes=[12, 24])}, (2, 17, 24), "NTC"),
        ({"embed_dim": 24}, (2, 24, 17), "NCT"),
        ({"output_fmt": "NHWC"}, (2, 7, 7, 7), "NHWC"),
    ],
)
def test_a_network_tells_its_widths(says, shape, letters):
    root = nn.Sequential(nn.Identity())
    for name, value in says.items():
        object.__setattr__(root, name, value)
    assert settle("0", two(shape, (3, *shape[1:]), sizes=(LARGE, LARGE)), root) == letters


def test_one_pass_is_enough_where_the_batch_stands_out():
    seen = [Observation(12, LARGE, (5, 12, 24))]
    assert settle("0", seen, nn.Sequential(nn.Linear(3, 24))) == "TNC"
    assert settle("0", [Observation(8, LARGE, (8, 4, 8, 8))], nn.Sequential(nn.Conv2d(3, 4, 1))) == "NCHW"
    with pytest.raises(UnsettledAxesError, match="more than one axis is as long as the batch"):
        settle("0", [Observation(17, LARGE, (17, 17, 24))], nn.Sequential(nn.Linear(3, 24)))


@pytest.mark.parametrize(
    ("module", "axis"),
    [
        (nn.BatchNorm1d(3), 1),
        (nn.ConvTranspose2d(3, 3, 1), 1),
        (nn.MaxPool2d(2), 1),
        (nn.Linear(3, 3), -1),
        (nn.Sequential(nn.Linear(3, 3), nn.GELU(), nn.Dropout()), -1),
        (nn.Sequential(nn.Linear(3, 3), nn.Flatten()), None),
        (nn.Sequential(nn.ReLU()), None),
        (nn.ReLU(), None),
        (nn.Identity(), None),
        (type("LayerNorm2d", (nn.LayerNorm,), {})(3), None),  # as torchvision and timm have it, of maps
    ],
)
def test_torchs_own_modules_have_their_channels_in_one_place(module, axis):
    assert channel_axis(module) == axis


@pytest.mark.parametrize(
    "axes", [{"a": "NHW"}, {"a": "CHW"}, {"a": "NCHH"}, {"a": "NCX"}, {"a": ""}, {"a": "nchw"}, {"a": None}, {"a": ("N", "C")}]
)
def test_axes_that_say_nothing_are_refused(axes):
    with pytest.raises(
        ValueError, match=re.escape(f"axes={axes!r} must be a letter per axis, N and C among them, such as 'NHWC'")
    ):
        given_layouts(axes)


@pytest.mark.parametrize("axes", ["NCHW", 3, [("a", "NC")]])
def test_axes_come_by_layer(axes):
    with pytest.raises(TypeError, match="must be a dict from layers to letters"):
        given_layouts(axes)


def test_given_axes_are_read():
    assert given_layouts({"a": "TNC", "b": "NCTHW"}, 2) == {"a": Layout("TNC", 2), "b": Layout("NCTHW", 2)}
    assert Layout("NCTHW").places == (2, 3, 4)


def parameters(**shapes):
    root = nn.Module()
    for name, shape in shapes.items():
        root.register_parameter(name, nn.Parameter(torch.zeros(shape)))
    return root


@pytest.mark.parametrize(
    ("tokens", "sizes", "says", "prefix"),
    [
        ((65, 17), (LARGE, SMALL), {}, 1),
        ((64, 16), (LARGE, SMALL), {}, 0),
        ((69, 21), (LARGE, SMALL), {}, 5),
        ((35, 19), ((64, 32), (32, 32)), {}, 3),
        ((65, 65), (LARGE, LARGE), {}, None),
        ((65, 65), (LARGE, LARGE), {"cls_token": (1, 1, 8)}, 1),
        ((65, 65), (LARGE, LARGE), {"class_embedding": (8,)}, 1),
        ((66, 66), (LARGE, LARGE), {"cls_token": (1, 1, 8), "distillation_token": (1, 1, 8)}, 2),
        ((69, 69), (LARGE, LARGE), {"cls_token": (1, 1, 8), "register_tokens": (1, 4, 8)}, 5),
        ((64, 64), (LARGE, LARGE), {"cls_token": (1, 1, 8)}, 0),  # it joins later
        ((67, 67), (LARGE, LARGE), {"cls_token": (1, 1, 8)}, None),
        ((70, 22), (LARGE, SMALL), {"cls_token": (1, 1, 8), "detection_tokens": (1, 5, 8)}, None),  # those stand at the end
    ],
)
def test_tokens_before_the_patches(tokens, sizes, says, prefix):
    seen = two(*((n, count, 8) for n, count in zip((2, 3), tokens, strict=True)), sizes=sizes)
    assert prefix_tokens(seen, "NTC", parameters(**says)) == prefix


@pytest.mark.parametrize(
    ("says", "prefix"), [({"num_prefix_tokens": 3}, 3), ({"num_patches": 64}, 3), ({"num_patches": 16}, None)]
)
def test_networks_that_count_their_tokens(says, prefix):
    root = nn.Module()
    vars(root).update(says)
    assert prefix_tokens(two((2, 67, 8), (3, 67, 8), sizes=(LARGE, LARGE)), "NTC", root) == prefix


def test_a_grid_of_tokens_has_the_shape_of_the_image():
    assert token_grid(12, (30, 40), 0) == (3, 4)
    assert token_grid(13, (30, 40), 0, most=0) is None
