"""Where on a mammogram the breast is: all but the air around it."""

import numpy as np
from scipy import ndimage

from mdissect.arguments import image_shape
from mdissect.signatures import validated

SIDE = 128  # places a side, at most, at which the air is looked for
DARK, FLAT = 0.05, 0.02  # of the image's range of values: how far air lies above the darkest, and how much it varies
LEAST_AIR, LEAST_BREAST = 0.03, 0.05  # shares of the image
OFF_BREAST = 0.25  # of an activation map that is left in the air


@validated(shape=image_shape)
def breast_region(image: np.ndarray, shape: tuple[int, int] | None = None) -> np.ndarray | None:
    """The breast on a mammogram, without the air around it; None for an image that has no air, such as a natural one.

    >>> image = np.zeros((80, 60), dtype=np.uint8)
    >>> image[10:70, :40] = np.linspace(60, 200, 40)
    >>> breast_region(image).mean()
    0.5

    Air is what is dark, flat and touches the edge; the breast is the largest of what is left, with its holes filled: marks
    beside the breast belong to the air.

    Parameters
    ----------
    image : array (height, width[, 3])
        Black stands for air.
    shape : (int, int), optional
        Height and width of the result; the image's own when None.

    Returns
    -------
    bool array (height, width) or None
        None also for a coloured image.
    """
    found = _air(image)
    if found is None:
        return None
    air, _ = found
    parts, n = ndimage.label(~air)
    if not n:
        return None
    largest = 1 + int(np.argmax(np.bincount(parts.ravel(), minlength=n + 1)[1:]))
    breast = ndimage.binary_fill_holes(parts == largest)
    if breast.mean() < LEAST_BREAST:
        return None
    height, width = shape or image.shape[:2]
    rows = (np.arange(height) * breast.shape[0]) // height
    columns = (np.arange(width) * breast.shape[1]) // width
    return breast[np.ix_(rows, columns)]


@validated()
def air_level(image: np.ndarray) -> float | None:
    """The value up to which a pixel of a mammogram is dark enough for air; None where `breast_region` finds no air."""
    found = _air(image)
    return None if found is None else found[1]


def _air(image: np.ndarray) -> tuple[np.ndarray, float] | None:
    """The air around a breast, (h, w) of at most `SIDE` a side, and the largest value that counts as dark; None: no air."""
    grey = _grey(image)
    if grey is None:
        return None
    small = _reduced(grey)
    low, high = np.percentile(small, [1, 99.5])
    if not high > low:
        return None
    level = low + DARK * (high - low)
    parts, _ = ndimage.label(small <= level)
    touching = np.unique(np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]]))
    air = np.isin(parts, touching[touching > 0])
    if air.mean() < LEAST_AIR or np.subtract(*np.percentile(small[air], [75, 25])) > FLAT * (high - low):
        return None
    return air, float(level)


def _grey(image: np.ndarray) -> np.ndarray | None:
    """The grey values of an image (height, width); None where it has colours."""
    if image.ndim == 2:
        return np.nan_to_num(image.astype(np.float32))
    some = image[:: max(image.shape[0] // SIDE, 1), :: max(image.shape[1] // SIDE, 1)]
    return np.nan_to_num(image[..., 0].astype(np.float32)) if (some == some[..., :1]).all() else None


def _reduced(grey: np.ndarray) -> np.ndarray:
    """An image of at most `SIDE` places a side: means of blocks."""
    block = -(-max(grey.shape) // SIDE)
    height, width = (max(side // block, 1) for side in grey.shape)
    if block == 1:
        return grey
    cut = grey[: height * block, : width * block]
    if 0 in cut.shape or min(grey.shape) < block:
        return grey
    return cut.reshape(height, block, width, block).mean(axis=(1, 3))
