"""Boxes of an image filled from what surrounds them: the finding is gone, its surrounding goes on."""

from collections.abc import Sequence

import numpy as np

from mdissect.arguments import shown
from mdissect.signatures import validated

#: To be raised whenever the same image and boxes are filled otherwise.
FILLING_VERSION = 1
_TEXTURE_SCALE = 0.02  # of the image's height: what is finer is texture, what is coarser is interpolated
_REACH = 4  # scales: the texture is that of the surrounding so near to the box


def _checked(name: str, boxes: Sequence[Sequence[int]], height: int, width: int) -> list[tuple[int, int, int, int]]:
    """Boxes cut to the image; ValueError for one that is none."""
    found = []
    for i, box in enumerate(boxes):
        try:
            x0, y0, x1, y1 = (int(side) for side in box)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{name}[{i}]={shown(box)} must be xmin, ymin, xmax, ymax in pixels") from error
        x0, y0, x1, y1 = max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)
        if x0 >= x1 or y0 >= y1:
            raise ValueError(f"{name}[{i}]={shown(box)} holds no pixel of the image, which has {height} x {width}")
        found.append((x0, y0, x1, y1))
    return found


@validated()
def fill_boxes(image: np.ndarray, boxes: Sequence[Sequence]) -> np.ndarray:
    """A copy of an image with its boxes filled from their surrounding.

    >>> image = np.full((40, 30), 100, np.uint8); image[10:20, 10:20] = 255
    >>> int(fill_boxes(image, [(8, 8, 22, 22)]).max())
    100

    The coarse part is interpolated smoothly from the pixels around the box ("push-pull": means of the known pixels at ever
    coarser scales, filled in from coarse to fine; Gortler et al., SIGGRAPH 1996, section 3.4). The fine part, the texture, is
    what lies close beyond the nearest edge, mirrored. Nothing is random, and nothing outside the boxes changes.

    Parameters
    ----------
    image : array (height, width[, 3])
        Of any type of numbers.
    boxes : sequence of (xmin, ymin, xmax, ymax)
        In pixels, half open; what lies outside the image is cut off.

    Raises
    ------
    ValueError
        A box without any pixel of the image, or boxes that leave nothing of the image to fill them from.
    """
    if image.ndim not in (2, 3):
        raise ValueError(f"image has the shape {image.shape}; expected (height, width) or (height, width, 3)")
    known = np.ones(image.shape[:2], bool)
    for x0, y0, x1, y1 in _checked("boxes", boxes, *known.shape):
        known[y0:y1, x0:x1] = False
    if not known.any():
        raise ValueError("the boxes cover the whole image: nothing is left to fill them from")
    if known.all():
        return image.copy()
    scale, around = max(_TEXTURE_SCALE * len(image), 1.0), _around(known)
    planes, unknown = image[around].reshape(*known[around].shape, -1), ~known[around]
    filled = np.stack([_filled(plane, ~unknown, scale) for plane in np.moveaxis(planes.astype(np.float64), -1, 0)], axis=-1)
    filled = np.clip(filled, planes.min(), planes.max())
    result = image.copy()
    result.reshape(*known.shape, -1)[around][unknown] = (np.round(filled) if image.dtype.kind in "ui" else filled)[unknown]
    return result


def _around(known: np.ndarray) -> tuple[slice, slice]:
    """The part of the image that is filled, and as much around it on every side."""
    sides = []
    for axis, length in ((1, known.shape[0]), (0, known.shape[1])):
        unknown = np.flatnonzero(~known.all(axis=axis))
        first, last = int(unknown[0]), int(unknown[-1]) + 1
        sides.append(slice(max(first - (last - first), 0), min(last + (last - first), length)))
    return sides[0], sides[1]


def _filled(plane: np.ndarray, known: np.ndarray, scale: float) -> np.ndarray:
    """A plane (height, width) with its unknown pixels filled: interpolated, and with the texture of the nearest known ones."""
    from scipy import ndimage

    weight = ndimage.gaussian_filter(known.astype(np.float64), scale)
    coarse = ndimage.gaussian_filter(np.where(known, plane, 0), scale) / np.maximum(weight, 1e-6)
    smooth = _push_pull(np.where(known, coarse, 0), known.astype(np.float64))
    texture = np.where(known, plane - coarse, 0)
    rows, columns = _mirrored(known, _REACH * scale)
    return np.where(known, plane, smooth + texture[rows, columns])


def _mirrored(known: np.ndarray, reach: float) -> tuple[np.ndarray, np.ndarray]:
    """For each pixel, the row and column of a known one: mirrored at the nearest edge, to and fro within `reach` of it.

    Where that is not known either, the edge itself.
    """
    from scipy import ndimage

    distance, edge = ndimage.distance_transform_edt(~known, return_indices=True)
    beyond = reach - np.abs(reach - distance % (2 * reach))
    step = beyond / np.maximum(distance, 1)
    there = [
        np.clip(np.round(near + (near - own) * step).astype(int), 0, length - 1)
        for near, own, length in zip(edge, np.indices(known.shape), known.shape, strict=True)
    ]
    usable = known[there[0], there[1]]
    return np.where(usable, there[0], edge[0]), np.where(usable, there[1], edge[1])


def _push_pull(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Values where the weight is 1; elsewhere interpolated from ever coarser means."""
    from scipy import ndimage

    if (weight >= 1).all() or max(values.shape) == 1:
        return values
    height, width = values.shape
    pad = [(0, height % 2), (0, width % 2)]
    halves = (height + 1) // 2, 2, (width + 1) // 2, 2
    total, counted = (np.pad(one, pad).reshape(halves).sum((1, 3)) for one in (values * weight, weight))
    coarse = _push_pull(total / np.maximum(counted, 1.0), np.minimum(counted, 1.0))
    rows, columns = ((np.arange(length) - 0.5) / 2 for length in (height, width))
    up = ndimage.map_coordinates(coarse, np.meshgrid(rows, columns, indexing="ij"), order=1, mode="nearest")
    return weight * values + (1 - weight) * up
