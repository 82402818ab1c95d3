"""The running top images against sorting everything."""

import numpy as np
import pytest

from mdissect.streaming.top import RunningTop

pytestmark = pytest.mark.slow


def found(activations: np.ndarray, top_k: int, size: int, places: np.ndarray | None = None) -> RunningTop:
    top = RunningTop(activations.shape[1], top_k)
    places = np.arange(len(activations)) if places is None else places
    for start in range(0, len(activations), size):
        top.add(activations[start : start + size], places[start : start + size])
    return top


@pytest.mark.parametrize("size", [7, 256, 1000])
@pytest.mark.parametrize("top_k", [1, 5, 600])
@pytest.mark.parametrize("levels", [2, 5, None])
def test_the_order_is_that_of_a_stable_sort(levels, top_k, size):
    rng = np.random.default_rng(top_k)
    activations = rng.standard_normal((600, 6)).astype(np.float32)
    activations[:, 0], activations[:, 1] = np.arange(600), -np.arange(600)  # rising, falling
    if levels:
        activations = np.floor(activations * levels) / levels
    expected = np.argsort(-activations, axis=0, kind="stable")[:top_k].T
    np.testing.assert_array_equal(found(activations, top_k, size).images, expected)


@pytest.mark.parametrize("seed", range(8))
def test_ties_are_in_the_order_of_the_places(seed):
    rng = np.random.default_rng(seed)
    activations, places = rng.integers(0, 4, (500, 5)).astype(np.float32), rng.permutation(500)
    ordered = activations[np.argsort(places)]
    expected = np.argsort(-ordered, axis=0, kind="stable")[:40].T
    np.testing.assert_array_equal(found(activations, 40, 64, places).images, expected)


def test_the_last_place_is_tied_where_an_equal_image_is_left_out():
    activations = np.array([[3, 3], [2, 3], [1, 3], [1, 0]], dtype=np.float32)
    assert found(activations, 4, 2).tied(3).tolist() == [True, False]
    assert found(activations, 3, 2).tied(2).tolist() == [False, True]
    assert found(activations, 4, 2).tied(4).tolist() == [False, False]


def test_nan_is_never_among_the_top():
    activations = np.array([[np.nan], [1], [np.nan], [2]], dtype=np.float32)
    assert found(activations, 2, 1).images.tolist() == [[3, 1]]
