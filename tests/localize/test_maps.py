"""Activation maps lie where the image has what the neuron answers to."""

import numpy as np
import pytest
import torch
from emitters import Emitter
from patches import spot, target
from torch import nn

from mdissect.axes import token_grid
from mdissect.hooks import record
from mdissect.localize import activation_map, activation_maps, overlay, peaks, receptive_field, top_patch, upsample
from mdissect.models import load_target
from mdissect.preprocess import Preprocess


def test_many_images_give_what_each_gives_alone():
    images = [spot(8 * (i % 7), 8 * (i % 5)) for i in range(37)]
    model = target(orient="left")  # mirrors some of them
    for alone, together in zip(images, activation_maps(model, "signs", images), strict=True):
        np.testing.assert_allclose(together, activation_maps(model, "signs", [alone])[0], atol=1e-6)
    assert activation_maps(model, "signs", []) == []


def test_a_map_is_coarse_and_lies_as_the_image_does():
    (maps,) = activation_maps(target(), "signs", [spot(16, 32)])
    assert maps.shape == (2, 8, 6)  # 32 x 24 prepared pixels in patches of 4 x 4
    assert np.argwhere(maps[0] == 1).tolist() == [[2, 4]]
    np.testing.assert_array_equal(maps[1], -maps[0])  # not what the activation in place made of it


@pytest.mark.parametrize("column", [0, 32])
def test_a_mirrored_image_gets_its_map_back_the_right_way_round(column):
    (plain,) = activation_maps(target(), "signs", [spot(16, column)])
    (facing_left,) = activation_maps(target(orient="left"), "signs", [spot(16, column)])
    np.testing.assert_array_equal(facing_left, plain)


def test_the_mean_of_a_map_is_the_recorded_activation(cnn):
    image = np.random.default_rng(0).integers(0, 255, (20, 20), dtype=np.uint8)
    with torch.inference_mode(), record(cnn.module, cnn.layers) as recorded:
        cnn.module(cnn.preprocess(image)[None])
    for layer in cnn.layers:
        (maps,) = activation_maps(cnn, layer, [image])
        np.testing.assert_allclose(maps.mean(axis=(1, 2)), recorded[layer][0], rtol=1e-5, atol=1e-6)


def test_a_neurons_map_has_the_size_of_its_image():
    heat = activation_map(target(), "signs", 0, spot(16, 32))
    assert heat.shape == (64, 48)
    assert heat[20, 36] == heat.max()
    assert (heat[:4] == 0).all()
    with pytest.raises(IndexError, match="neuron 2 is not in layer 'signs', whose neurons are 0 to 1"):
        activation_map(target(), "signs", 2, spot(0, 0))


def test_hooks_are_gone_afterwards():
    model = target()
    activation_maps(model, "signs", [spot(0, 0)])
    assert not any(module._forward_hooks for module in model.module.modules())


def test_tokens_are_laid_out_as_their_patches(vit):
    image = np.zeros((8, 8), np.uint8)
    image[:4, 4:] = 255
    (maps,) = activation_maps(vit, "blocks.1", [image])
    assert maps.shape == (6, 2, 2)
    same = np.isclose(maps[:, 0, 0], maps[:, 1, 0]) & np.isclose(maps[:, 0, 0], maps[:, 1, 1])
    assert same.all()  # three dark patches
    assert not np.isclose(maps[:, 0, 0], maps[:, 0, 1]).all()


@pytest.mark.parametrize(
    ("n_tokens", "size", "prefix", "grid"),
    [
        (197, (224, 224), None, (14, 14)),
        (197, (224, 224), 1, (14, 14)),
        (196, (224, 224), 1, (14, 14)),  # the prefix was dropped before this layer
        (14 * 7 + 5, (448, 224), 5, (14, 7)),
        (198, (224, 224), None, (14, 14)),
        (50, (224, 224), None, (7, 7)),
        (11, (224, 224), None, (3, 3)),
        (1, (224, 224), None, None),
        (211, (224, 224), None, None),
    ],
)
def test_the_grid_of_tokens(n_tokens, size, prefix, grid):
    assert token_grid(n_tokens, size, prefix) == grid


@pytest.mark.parametrize(("layer", "shape"), [("pool", r"\(1, 2, 1, 1\)"), ("head", r"\(1, 2\)")])
def test_layers_without_places_are_refused(layer, shape):
    with pytest.raises(ValueError, match=rf"layer '{layer}' gives {shape}, which has no places in the image"):
        activation_maps(target(), layer, [spot(0, 0)])


def test_an_overlay_lies_between_0_and_1():
    np.testing.assert_array_equal(overlay(np.array([[-2.0, 0.0], [1.0, 2.0]])), [[0, 0.5], [0.75, 1]])
    np.testing.assert_array_equal(overlay(np.full((2, 2), 3.0)), np.zeros((2, 2)))


def test_upsampling_interpolates_between_the_middles_of_places():
    np.testing.assert_allclose(upsample(np.array([[0.0, 4.0]], np.float32), (1, 4)), [[0, 1, 3, 4]])


def test_peaks_are_the_middles_of_the_strongest_places():
    maps = np.zeros((3, 4, 2))
    maps[0, 3, 0] = maps[1, 0, 1] = 1
    assert peaks(maps, (16, 16)).tolist() == [[14, 4], [2, 12], [-1, -1]]  # a constant map points nowhere
    assert peaks(maps[0], (4, 2)).tolist() == [3, 0]


def test_a_patch_is_cut_out_around_the_peak():
    image = spot(16, 32)
    (maps,) = activation_maps(target(), "signs", [image])
    patch = top_patch(image, maps[0], (12, 10))
    assert (patch.ymin, patch.ymax, patch.xmin, patch.xmax) == (14, 26, 31, 41)
    np.testing.assert_array_equal(patch.pixels, image[14:26, 31:41])
    assert (patch.pixels == 255).sum() == 64


@pytest.mark.parametrize(
    ("heat", "size", "expected"),
    [
        (np.eye(4)[:, :3], (20, 20), (0, 0)),  # in the corner: moved into the image
        (np.zeros((4, 3)), (20, 20), (22, 14)),  # nowhere: the middle
        (np.eye(4)[:, :3], (100, 100), (0, 0)),  # larger than the image: all of it
    ],
)
def test_a_patch_lies_within_the_image(heat, size, expected):
    patch = top_patch(spot(0, 0), heat, size)
    assert (patch.ymin, patch.xmin) == expected
    assert patch.pixels.shape == tuple(np.minimum(size, (64, 48)))


def test_receptive_fields_of_convolutions_are_as_worked_out():
    module = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, stride=2, padding=1), nn.Conv2d(4, 2, 3, padding=1)
    )
    model = target(module, size=(40, 32), layers=("0", "2", "3"))
    assert [receptive_field(model, layer).reach for layer in model.layers] == [(3, 3), (5, 5), (9, 9)]


def test_the_core_holds_its_share_and_scales_with_the_image():
    field = receptive_field(target(), "signs", share=0.5)
    assert field.reach == (4, 4)
    assert field.core[0] <= 4
    whole = receptive_field(target(), "signs", share=1.0)
    assert 4 <= whole.core[0] <= 5
    assert whole.in_image(np.zeros((64, 48))) == tuple(2 * side for side in whole.core)


def test_behind_global_pooling_a_neuron_sees_the_whole_image():
    class Gated(nn.Module):
        def __init__(self):
            super().__init__()
            self.gated = nn.Identity()

        def forward(self, x):
            return self.gated(x * x.mean(dim=(2, 3), keepdim=True))

    assert receptive_field(target(Gated(), layers=("gated",)), "gated").reach == (32, 24)


def test_a_layer_that_sees_nothing_is_refused():
    class Blind(nn.Module):
        def __init__(self):
            super().__init__()
            self.dark = nn.Identity()

        def forward(self, x):
            return self.dark(0 * x)

    with pytest.raises(ValueError, match="no pixel bears upon the middle of layer 'dark'"):
        receptive_field(target(Blind(), layers=("dark",)), "dark")


def emitter(letters, **options):
    return load_target(Emitter(letters, **options), preprocess=Preprocess(size=(16, 8), scale="dtype"), layers=["out"])


@pytest.mark.parametrize("letters", ["NCHW", "NHWC", "HWNC", "NTC", "TNC", "NCT", "CTN"])
@pytest.mark.parametrize("prefix", [0, 2])
def test_maps_of_any_order_of_axes_lie_as_the_image_does(letters, prefix):
    model = emitter(letters, channels=4, prefix=prefix)
    images = np.random.default_rng(0).integers(0, 255, (8, 16, 8), dtype=np.uint8)
    with torch.inference_mode():
        expected = model.module.patches(torch.stack([model.preprocess(image) for image in images]))
    np.testing.assert_allclose(activation_maps(model, "out", images), expected, rtol=1e-4, atol=1e-5)


def test_axes_that_cannot_be_told_are_asked_for_and_taken():
    model = load_target(Emitter("NCT", channels=16, fixed=8), preprocess=Preprocess(size=(8, 8)), layers=["out"])
    image = np.random.default_rng(0).integers(0, 255, (8, 8), dtype=np.uint8)
    with pytest.raises(ValueError, match=r"layer 'out' gives \(3, 16, 16\) for 3 images of 8 x 8: it is ambiguous which axis"):
        activation_map(model, "out", 0, image)
    right, turned = (activation_maps(model, "out", [image], axes=axes)[0] for axes in ("NCT", "NTC"))
    np.testing.assert_array_equal(right.reshape(16, 16), turned.reshape(16, 16).T)
    assert receptive_field(model, "out", axes="NCT").reach == (2, 2)
    with pytest.raises(ValueError, match=r"layer 'out' gives \(1, 16, 16\) for 1 images: 3 axes, but axes='NCHW' names 4"):
        activation_maps(model, "out", [image], axes="NCHW")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_maps_of_any_precision_and_mode(dtype):
    model = emitter("NHWC")
    other = load_target(emitter("NHWC").module.to(dtype), preprocess=model.preprocess, layers=["out"])
    other.module.train()
    image = np.random.default_rng(0).integers(0, 255, (16, 8), dtype=np.uint8)
    expected, found = (activation_maps(one, "out", [image])[0] for one in (model, other))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=0.05)
    assert other.module.training
    assert receptive_field(other, "out").reach == (2, 2)
