"""Tests of the contract from pixels to tensors."""

import re
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mdissect.preprocess import LUMINANCE, Preprocess

GREY = np.array([[0, 50], [100, 200]], dtype=np.uint8)
RAW = Preprocess(size=(2, 2), scale=None, channels=1)


def random_image(*shape, dtype=np.uint8):
    top = np.iinfo(dtype).max + 1
    return np.random.default_rng(0).integers(0, top, shape).astype(dtype)


def literal_area(image, size):
    """Each new pixel's average over the area that it covers, one pixel pair at a time."""
    steps = [old / new for old, new in zip(image.shape, size, strict=True)]
    result = np.zeros(size)
    for r, c in np.ndindex(size):
        for i, j in np.ndindex(image.shape):
            tall = min((r + 1) * steps[0], i + 1) - max(r * steps[0], i)
            wide = min((c + 1) * steps[1], j + 1) - max(c * steps[1], j)
            result[r, c] += max(tall, 0) * max(wide, 0) * image[i, j]
    return result / (steps[0] * steps[1])


@pytest.mark.parametrize(
    ("scale", "image", "expected"),
    [
        ("image", GREY, GREY / 200),
        ("image", GREY + np.uint8(20), GREY / 200),
        ("image", GREY.astype(np.float64) - 1000, GREY / 200),
        ("dtype", GREY, GREY / 255),
        ("dtype", GREY.astype(np.uint16), GREY / 65535),
        ("dtype", GREY / 255, GREY / 255),
        (None, GREY.astype(np.uint16) * 300, GREY * 300.0),
        (None, GREY.astype(np.float16), GREY),
    ],
)
def test_scale(scale, image, expected):
    tensor = Preprocess(size=(2, 2), scale=scale, channels=1)(image)
    assert tensor.dtype == torch.float32
    np.testing.assert_allclose(tensor[0], expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("value", [0, 7, 255])
def test_a_constant_image_becomes_zero_and_then_minus_mean(value):
    tensor = Preprocess(size=(3, 2), mean=0.5, std=0.25)(np.full((3, 2), value, np.uint8))
    assert tensor.tolist() == [[[-2.0] * 2] * 3] * 3


def test_equals_the_released_pipeline():
    image = random_image(6, 4, dtype=np.uint16).astype(np.float64)
    mean, std = 0.3089279, 0.25053555408335154
    tensor = Preprocess(size=(6, 4), mean=mean, std=std)(image)
    shifted = image - image.min()
    np.testing.assert_allclose(tensor[1], (shifted / shifted.max() - mean) / std, atol=1e-5)


def test_grey_is_repeated_and_colour_keeps_its_order():
    tensor = Preprocess(size=(2, 2), scale=None)(GREY)
    assert tensor.shape == (3, 2, 2)
    assert tensor.is_contiguous()
    assert all(torch.equal(tensor[0], channel) for channel in tensor)
    colour = random_image(5, 4, 3)
    np.testing.assert_array_equal(Preprocess(size=(5, 4), scale=None)(colour), colour.transpose(2, 0, 1))
    np.testing.assert_array_equal(RAW(GREY[:, :, None]), RAW(GREY))


def test_colour_becomes_luminance():
    colour = random_image(2, 2, 3)
    np.testing.assert_allclose(RAW(colour)[0], colour @ LUMINANCE, rtol=1e-6)
    np.testing.assert_allclose(RAW(np.repeat(GREY[:, :, None], 3, axis=2))[0], GREY, rtol=1e-6)


def test_channels_share_one_range():
    image = np.zeros((1, 2, 3), np.uint8)
    image[0, 1] = (50, 100, 200)
    assert Preprocess(size=(1, 2))(image)[:, 0, 1].tolist() == [0.25, 0.5, 1.0]


def test_mean_and_std_per_channel():
    tensor = Preprocess(size=(2, 2), scale="dtype", mean=(0.0, 0.5, 1.0), std=(1.0, 0.5, 0.25))(GREY)
    for channel, mean, std in zip(tensor, (0.0, 0.5, 1.0), (1.0, 0.5, 0.25), strict=True):
        np.testing.assert_allclose(channel, (GREY / 255 - mean) / std, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", [(2, 2), (3, 5), (4, 6), (7, 3), (9, 11), (1, 1)])
def test_area_is_the_exact_average(size):
    image = random_image(7, 6)
    resized = Preprocess(size=size, scale=None, channels=1)(image)
    np.testing.assert_allclose(resized[0], literal_area(image, size), rtol=1e-5)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 40), st.integers(1, 40))
@pytest.mark.slow
def test_area_keeps_the_mean(height, width, new_height, new_width):
    image = random_image(height, width)
    resized = Preprocess(size=(new_height, new_width), scale=None, channels=1)(image)
    assert resized.mean().item() == pytest.approx(image.mean(), rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("interpolation", ["area", "bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(8, 6), (5, 9), (40, 30)])
def test_every_interpolation_treats_channels_alike_and_keeps_constants(interpolation, size):
    preprocess = Preprocess(size=size, scale=None, interpolation=interpolation)
    grey = random_image(16, 12)
    assert torch.equal(preprocess(grey), preprocess(np.repeat(grey[:, :, None], 3, axis=2)))
    np.testing.assert_allclose(preprocess(np.full((16, 12), 77, np.uint8)), 77, rtol=1e-5)


def test_the_named_interpolation_is_used_and_antialiased():
    image = random_image(32, 32)
    results = [
        Preprocess(size=(8, 8), scale=None, channels=1, interpolation=name)(image) for name in ("area", "bilinear", "bicubic")
    ]
    assert len({tuple(result.flatten().tolist()) for result in results}) == 3
    stripes = np.tile(np.array([0, 255], np.uint8), (32, 16))
    assert Preprocess(size=(8, 8), scale=None, interpolation="bilinear")(stripes)[:, :, 2:-2].std() < 8


def test_no_resize_when_the_size_fits():
    image = random_image(16, 12)
    bicubic = Preprocess(size=(16, 12), scale=None, channels=1, interpolation="bicubic")(image)
    np.testing.assert_array_equal(bicubic[0], image)


def test_orient_left_mirrors_only_what_is_brighter_on_the_right():
    preprocess = Preprocess(size=(1, 3), scale=None, channels=1, orient="left")
    assert preprocess(np.array([[1, 9, 5]], np.uint8)).tolist() == [[[5, 9, 1]]]
    assert preprocess(np.array([[5, 9, 1]], np.uint8)).tolist() == [[[5, 9, 1]]]
    assert preprocess(np.array([[5, 0, 5]], np.uint8)).tolist() == [[[5, 0, 5]]]
    assert Preprocess(size=(1, 1), scale=None, orient="left")(np.array([[3]], np.uint8)).tolist() == [[[3]]] * 3


def test_the_image_given_is_not_changed():
    image = random_image(4, 4).astype(np.float32)
    image.setflags(write=False)
    before = image.copy()
    Preprocess(size=(4, 4), mean=1.0, orient="left")(image)
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize(
    ("image", "error", "text"),
    [
        (np.zeros((4, 4, 4), np.uint8), ValueError, "shape (4, 4, 4)"),
        (np.zeros((4, 4, 4), np.uint8), ValueError, "flatten RGBA"),
        (np.zeros((3, 8, 8), np.uint8), ValueError, "channels last"),
        (np.zeros((4, 4, 2), np.uint8), ValueError, "(height, width, 3)"),
        (np.zeros(4, np.uint8), ValueError, "shape (4,)"),
        (np.zeros((0, 4), np.uint8), ValueError, "no pixels"),
        (np.zeros((4, 4), np.int16), TypeError, "dtype int16"),
        (np.zeros((4, 4), bool), TypeError, "dtype bool"),
        (np.array([[0, 1], [np.nan, np.inf]]), ValueError, "the first at row 1, column 0"),
        (np.array([[1e300]]), ValueError, "1 of 1 pixel values are NaN or infinite"),
        (np.array([[0, 255.0]]), ValueError, "from 0 to 255 under scale='dtype'"),
        (np.array([[-0.5, 1.0]]), ValueError, "from -0.5 to 1"),
    ],
)
def test_images_that_cannot_be_used(image, error, text):
    with pytest.raises(error, match=re.escape(text)):
        Preprocess(size=(2, 2), scale="dtype")(image)


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"size": 256}, TypeError, "size=256 must be (height, width)"),
        ({"size": (256,)}, TypeError, "size=(256,) must be"),
        ({"size": (256, 1.5)}, TypeError, "two positive whole numbers"),
        ({"size": (0, 4)}, ValueError, "size=(0, 4)"),
        ({"scale": "max"}, ValueError, "scale='max' is not one of 'image', 'dtype', None"),
        ({"channels": 4}, ValueError, "channels=4 is not one of 1, 3"),
        ({"channels": True}, ValueError, "channels=True"),
        ({"interpolation": "nearest"}, ValueError, "is not one of 'area', 'bilinear', 'bicubic'"),
        ({"orient": "right"}, ValueError, "orient='right'"),
        ({"mean": (0.1, 0.2)}, ValueError, "mean=(0.1, 0.2) must be a finite number or 3 of them"),
        ({"mean": "grey"}, TypeError, "mean='grey'"),
        ({"mean": float("nan")}, ValueError, "mean=nan"),
        ({"std": 0}, ValueError, "std=(0.0, 0.0, 0.0) must be positive"),
        ({"std": (1, 1, -1)}, ValueError, "must be positive"),
    ],
)
def test_options_that_cannot_be(options, error, text):
    with pytest.raises(error, match=re.escape(text)):
        Preprocess(**{"size": (2, 2)} | options)


def test_key_names_every_field():
    base = {"size": (4, 2)}
    changes = [
        {"size": (2, 4)}, {"scale": "dtype"}, {"scale": None}, {"mean": 0.5}, {"std": (1, 1, 2)}, {"channels": 1},
        {"interpolation": "bicubic"}, {"orient": "left"},
    ]  # fmt: skip
    keys = [Preprocess(**base | change).key() for change in [{}, *changes]]
    assert len(set(keys)) == len(keys)
    assert Preprocess(size=[4, 2], mean=(0, 0, 0), std=np.ones(3)).key() == keys[0]
    assert Preprocess(size=np.array([4, 2])).key() == keys[0]


def test_is_frozen():
    with pytest.raises(FrozenInstanceError):
        RAW.scale = "dtype"


@pytest.mark.benchmark
def test_speed():
    from time import perf_counter

    image = random_image(256, 160)
    preprocess = Preprocess(size=(256, 160), mean=0.3, std=0.25, orient="left")
    seconds = []
    for _ in range(500):
        start = perf_counter()
        preprocess(image)
        seconds.append(perf_counter() - start)
    assert np.median(seconds) <= 1 / 500
