"""Tests of where on a mammogram the breast is."""

import numpy as np
import pytest

from mdissect.localize import air_level, breast_region


def mammogram(seed=0, mirrored=False, dtype=np.uint8, noise=1.0):
    """A half ellipse of tissue at one edge, in noisy air, with letters beside it; and where it is."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:300, 0:200]
    breast = ((rows - 150) / 120) ** 2 + (columns / 130) ** 2 < 1
    values = np.where(breast, rng.uniform(60, 200, breast.shape), np.abs(rng.normal(0, noise, breast.shape)))
    values[10:25, 170:190] = 250
    if mirrored:
        values, breast = values[:, ::-1], breast[:, ::-1]
    return (values * (1 if dtype == np.uint8 else 16)).astype(dtype), breast


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(("mirrored", "dtype"), [(False, np.uint8), (True, np.uint8), (False, np.uint16), (True, np.float32)])
def test_the_breast_is_found_and_the_letters_are_not(seed, mirrored, dtype):
    image, breast = mammogram(seed, mirrored, dtype)
    found = breast_region(image)
    assert found.shape == image.shape
    assert (found & breast).sum() / (found | breast).sum() > 0.95
    assert not found[10:25][:, slice(10, 30) if mirrored else slice(170, 190)].any()
    coarse = breast_region(image, (30, 20))
    assert coarse.shape == (30, 20)
    assert coarse.mean() == pytest.approx(breast.mean(), abs=0.05)
    assert 0 < air_level(image) < image[breast].min()


def test_a_dark_place_within_the_breast_belongs_to_it():
    image, _ = mammogram()
    image[140:160, 30:60] = 0
    assert breast_region(image)[145:155, 35:55].all()


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((40, 30), np.uint8),
        np.full((40, 30), 7.5),
        np.random.default_rng(0).integers(0, 255, (128, 128), dtype=np.uint8),
        np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8),
        np.full((40, 30), np.nan),
        np.arange(1, dtype=np.uint8).reshape(1, 1),
        np.arange(200, dtype=np.uint8).reshape(1, 200),
        np.tile(np.linspace(0, 255, 128).astype(np.uint8), (128, 1)),
    ],
    ids=["black", "constant", "noise", "coloured", "nan", "one pixel", "one row", "gradient"],
)
def test_other_images_have_no_air(image):
    assert breast_region(image) is None
    assert air_level(image) is None


def test_a_grey_image_of_three_channels_is_a_mammogram_too():
    image, _ = mammogram()
    assert (breast_region(np.repeat(image[..., None], 3, axis=2)) == breast_region(image)).all()
