"""PNG files as they are written here, read by Pillow and by `read_image`."""

import io

import numpy as np
import pytest
from PIL import Image

from mdissect.probes.image_files import read_image
from mdissect.probes.png import encoded_png

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (9, 1), (13, 8), (13, 8, 3), (1, 1, 3)])
def test_pixels_are_kept(tmp_path, dtype, shape):
    image = RNG.integers(0, np.iinfo(dtype).max, shape, endpoint=True).astype(dtype)
    (tmp_path / "a.png").write_bytes(encoded_png(image, {"about": "x"}))
    found = read_image(tmp_path / "a.png")
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, image)


def test_arrays_of_any_layout_are_written_alike():
    image = RNG.integers(0, 65535, (20, 30)).astype(np.uint16)
    expected = encoded_png(image, {})
    for other in (np.asfortranarray(image), image[:, ::-1][:, ::-1]):
        assert encoded_png(other, {}) == expected


def test_texts_are_read_without_the_pixels():
    with Image.open(io.BytesIO(encoded_png(np.zeros((4, 4), np.uint8), {"mdissect-prepared": '{"a": 1}'}))) as image:
        assert image.info["mdissect-prepared"] == '{"a": 1}'


def test_smooth_images_become_small():
    smooth = (np.add.outer(np.arange(200), np.arange(200)) * 50).astype(np.uint16)
    assert len(encoded_png(smooth, {})) < smooth.nbytes / 20


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4), np.float32), np.zeros((4, 4), np.int16), np.zeros((4, 4), bool), np.zeros(4, np.uint8),
        np.zeros((4, 4, 2), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((0, 4), np.uint8),
        np.zeros((2, 2, 3, 1), np.uint8),
    ],
    ids=lambda image: f"{image.dtype}-{image.shape}",
)  # fmt: skip
def test_what_a_png_cannot_hold(image):
    with pytest.raises(ValueError, match="cannot be written as PNG: uint8 or uint16, grey or RGB, is expected"):
        encoded_png(image, {})
