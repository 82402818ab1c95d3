"""Filled boxes go on as their surrounding does, and nothing else changes."""

import numpy as np
import pytest

from mdissect.predictions import fill_boxes

pytestmark = pytest.mark.slow

BOX = (20, 24, 36, 44)  # xmin, ymin, xmax, ymax
INSIDE = (slice(24, 44), slice(20, 36))


def plane(noise: float = 0.0, slope: float = 0.0, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return 100 + slope * np.arange(64)[:, None] + np.zeros((64, 64)) + noise * rng.standard_normal((64, 64))


def with_bump(image: np.ndarray) -> np.ndarray:
    image = image.copy()
    image[INSIDE] += 80
    return image


def test_a_bump_on_even_ground_is_gone():
    np.testing.assert_allclose(fill_boxes(with_bump(plane()), [BOX]), 100)


def test_a_slope_goes_on_through_the_box():
    filled = fill_boxes(with_bump(plane(slope=1.0)), [BOX])
    assert np.abs(filled - plane(slope=1.0)).max() < 8  # of a rise of 64
    assert np.corrcoef(filled[INSIDE].mean(axis=1), np.arange(20))[0, 1] > 0.95


def test_texture_is_as_strong_inside_as_outside():
    shares = [fill_boxes(with_bump(plane(5.0, seed=seed)), [BOX])[INSIDE].std() / 5 for seed in range(12)]
    assert 0.8 < np.mean(shares) < 1.2
    assert min(shares) > 0.6
    assert max(shares) < 1.5


def test_nothing_outside_the_boxes_changes_and_nothing_is_random():
    image = np.random.default_rng(1).integers(0, 4096, (50, 40), dtype=np.uint16)
    boxes = [(3, 4, 9, 12), (30, 30, 60, 70)]  # the second one reaches beyond the image
    filled, known = fill_boxes(image, boxes), np.ones((50, 40), bool)
    known[4:12, 3:9] = known[30:, 30:] = False
    assert filled.dtype == np.uint16
    assert (filled == image)[known].all()
    assert np.array_equal(filled, fill_boxes(image, boxes))
    assert image.min() <= filled.min() <= filled.max() <= image.max()


@pytest.mark.parametrize("shape", [(16, 12), (17, 13), (16, 12, 3), (1, 9), (9, 1)])
def test_any_shape_and_a_box_at_any_edge(shape):
    image = np.random.default_rng(0).random(shape).astype(np.float32)
    for box in ((0, 0, 1, 1), (shape[1] - 1, shape[0] - 1, shape[1], shape[0]), (0, 0, shape[1], max(1, shape[0] - 1))):
        if box[2] * box[3] < shape[0] * shape[1]:
            filled = fill_boxes(image, [box])
            assert filled.shape == shape
            assert np.isfinite(filled).all()
    assert np.array_equal(fill_boxes(image, []), image)


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([(1, 2, 3)], r"boxes\[0\]=\(1, 2, 3\) must be xmin, ymin, xmax, ymax in pixels"),
        ([(0, 0, 2, 2), (50, 0, 60, 2)], r"boxes\[1\]=.* holds no pixel of the image, which has 8 x 8"),
        ([(0, 0, 8, 8)], "the boxes cover the whole image"),
    ],
)
def test_wrong_boxes(boxes, message):
    with pytest.raises(ValueError, match=message):
        fill_boxes(np.zeros((8, 8), np.uint8), boxes)


def test_an_image_without_rows_and_columns():
    with pytest.raises(ValueError, match=r"image has the shape \(8,\)"):
        fill_boxes(np.zeros(8), [(0, 0, 1, 1)])
