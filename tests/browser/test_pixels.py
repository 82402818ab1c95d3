"""Tests of images as PNG for the viewer."""

import io

import numpy as np
import pytest
from PIL import Image

from mdissect.browser import as_png


def read(png):
    return np.asarray(Image.open(io.BytesIO(png)))


@pytest.mark.parametrize("shape", [(7, 5), (7, 5, 3), (1, 1)])
def test_bytes_are_sent_as_they_are(shape):
    image = np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)
    png, facts = as_png(image, deep=True)
    assert (read(png) == image).all()
    assert facts == {"width": shape[1], "height": shape[0], "low": 0.0, "high": 255.0, "deep": False, "more": False}


@pytest.mark.parametrize("dtype", [np.uint16, np.int16, np.float32])
def test_deep_codes_give_the_values_back(dtype):
    image = np.random.default_rng(1).integers(100, 4095, (9, 6)).astype(dtype)
    png, facts = as_png(image, deep=True)
    codes = read(png).astype(int)
    values = facts["low"] + (codes[..., 0] * 256 + codes[..., 1]) / 65535 * (facts["high"] - facts["low"])
    assert facts["deep"]
    assert not facts["more"]
    assert values == pytest.approx(image, abs=0.04)


def test_eight_bits_of_a_deep_image_span_its_range_and_say_that_there_is_more():
    image = np.array([[100, 2100, 4100]], dtype=np.uint16)
    png, facts = as_png(image)
    assert read(png).tolist() == [[0, 128, 255]]
    assert (facts["low"], facts["high"], facts["deep"], facts["more"]) == (100.0, 4100.0, False, True)


def test_a_preview_is_smaller_and_says_the_size_of_the_image():
    png, facts = as_png(np.zeros((1000, 400), np.uint8), size=(100, 100))
    assert read(png).shape == (100, 40)
    assert (facts["width"], facts["height"], facts["more"]) == (400, 1000, True)
    with pytest.raises(ValueError, match="16 bits are sent of whole images alone"):
        as_png(np.zeros((1000, 400), np.uint16), size=(100, 100), deep=True)


@pytest.mark.parametrize("value", [0.0, 3.5, np.nan, np.inf])
def test_images_without_a_range_do_not_hurt(value):
    png, facts = as_png(np.full((3, 2), value), deep=True)
    assert not read(png).any()
    assert np.isfinite([facts["low"], facts["high"]]).all()
