"""Area averages: how images are made smaller here."""

import operator
from collections.abc import Iterable
from functools import lru_cache

import numpy as np
from scipy import sparse


def pixel_size(size: Iterable[int]) -> tuple[int, int]:
    """``size``, a height and a width in pixels, as two positive ints.

    Raises
    ------
    TypeError, ValueError
        When it is anything else.
    """
    expected = f"size={size!r} must be (height, width) in pixels, two positive whole numbers"
    try:
        height, width = (operator.index(length) for length in size)
    except (TypeError, ValueError) as error:
        raise TypeError(expected) from error
    if min(height, width) < 1:
        raise ValueError(expected)
    return height, width


def resize_area(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Every new pixel is the mean of the area that it covers; rows first and then columns.

    Parameters
    ----------
    pixels : float32 array (height, width, channels)
    size : (int, int)
        New height and width, pixels; larger than the old ones repeats pixels.

    Returns
    -------
    float32 array (channels, size[0], size[1])
    """
    height, width, channels = pixels.shape
    rows = _coverage(height, size[0]) @ pixels.reshape(height, width * channels)
    columns = rows.reshape(size[0], width, channels).transpose(1, 0, 2).reshape(width, size[0] * channels)
    resized = (_coverage(width, size[1]) @ columns).reshape(size[1], size[0], channels)
    return np.ascontiguousarray(resized.transpose(2, 1, 0))


@lru_cache(maxsize=32)
def _coverage(n_old: int, n_new: int) -> sparse.csr_array:
    """Weights (n_new, n_old): the share of each old pixel in each new one; rows sum to 1."""
    edges = np.linspace(0, n_old, n_new + 1)
    first, last = np.floor(edges[:-1]).astype(int), np.ceil(edges[1:]).astype(int)
    new = np.repeat(np.arange(n_new), last - first)
    old = np.concatenate([np.arange(start, stop) for start, stop in zip(first, last, strict=True)])
    shared = np.minimum(edges[new + 1], old + 1) - np.maximum(edges[new], old)
    keep = (shared > 0) & (old < n_old)
    weights = (shared * n_new / n_old)[keep].astype(np.float32)
    return sparse.csr_array((weights, (new[keep], old[keep])), shape=(n_new, n_old))
