"""Preprocess: how an image's pixels become a model's input tensor.

Every model states its contract once and every probe goes through it; nothing else in mdissect touches pixel values.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import lru_cache
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np
import torch

from mdissect.arguments import one_of, pixel_size, whole_number

if TYPE_CHECKING:
    from scipy.sparse import csr_array

SCALES = ("image", "dtype", None)
INTERPOLATIONS = ("area", "bilinear", "bicubic")
ORIENTATIONS = (None, "left")
LUMINANCE = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601

# Part of every key: raise it when the steps below change what comes out.
_VERSION = 1


@dataclass(frozen=True)
class Preprocess:
    """The steps from an image to a model's input, in this order.

    >>> preprocess = Preprocess(size=(256, 160), mean=0.3, std=0.25, channels=1)
    >>> preprocess(np.zeros((512, 320), dtype=np.uint8)).shape
    torch.Size([1, 256, 160])

    1. **float**: uint8, uint16 or float (height, width[, 1 or 3]) becomes float32; NaN and infinities are errors.
    2. **orient**: ``"left"`` mirrors an image whose right half is brighter than its left, so that the chest wall of a
       mammogram comes to lie on the left; ``None`` leaves all as they are. (Of an odd width, the middle column counts
       for neither half.)
    3. **channels**: colour becomes luminance (ITU-R BT.601) for a model of one channel, grey is repeated for one of 3.
    4. **resize** to ``size``, stretched, never cropped; an image that has the size already is left untouched.
       ``"area"`` averages exactly the area that each new pixel covers, ``"bilinear"`` and ``"bicubic"`` are antialiased
       when they shrink (and bicubic may overshoot the old range a little).
    5. **scale**: ``"image"`` brings the image's own minimum to 0 and maximum to 1, over all channels together (a
       constant image becomes 0 everywhere); ``"dtype"`` divides by 255 or 65535, and float images must lie in
       [0, 1]; ``None`` keeps the values.
    6. **normalise**: ``(x - mean) / std`` per channel.

    An array does not say how many bits of its type are in use: for ``"dtype"``, white is the type's maximum. Whoever
    reads 12-bit data into uint16 stretches it (`mdissect.probes.image_files.stretch`, ``load_probe("folder", bits=12)``).

    Parameters
    ----------
    size : (int, int)
        Height and width of the model's input, pixels.
    scale : {"image", "dtype", None}
    mean, std : float or one float per channel, optional
        In the units that step 5 leaves; by default 0 and 1.
    channels : {3, 1}
    interpolation : {"area", "bilinear", "bicubic"}
    orient : {None, "left"}

    Raises
    ------
    ValueError, TypeError
        When a field has a value that it cannot have.
    """

    size: tuple[int, int]
    scale: str | None = "image"
    mean: float | tuple[float, ...] | None = None
    std: float | tuple[float, ...] | None = None
    channels: int = 3
    interpolation: str = "area"
    orient: str | None = None

    def __post_init__(self):
        one_of("channels", self.channels, (1, 3))
        object.__setattr__(self, "channels", whole_number("channels", self.channels))
        one_of("scale", self.scale, SCALES)
        one_of("interpolation", self.interpolation, INTERPOLATIONS)
        one_of("orient", self.orient, ORIENTATIONS)
        object.__setattr__(self, "size", pixel_size(self.size))
        object.__setattr__(self, "mean", _per_channel("mean", self.mean, self.channels, default=0.0))
        object.__setattr__(self, "std", _per_channel("std", self.std, self.channels, default=1.0))
        if min(self.std) <= 0:
            raise ValueError(f"std={self.std} must be positive: pixels are divided by it")

    def __call__(self, image: np.ndarray) -> torch.Tensor:
        """Preprocess one image.

        Parameters
        ----------
        image : uint8, uint16 or float array (height, width), (height, width, 1) or (height, width, 3)

        Returns
        -------
        float32 tensor (channels, size[0], size[1])

        Raises
        ------
        ValueError
            Another shape or channel count (RGBA, channels first), an empty image, NaN or infinite pixels, or float
            pixels outside [0, 1] under ``scale="dtype"``.
        TypeError
            Another dtype.
        """
        image = np.asarray(image)
        white = _white(image.dtype)
        pixels = _to_float(image)
        if self.scale == "dtype" and white == 1:
            _check_unit_range(pixels)
        if self.orient == "left":
            pixels = _face_left(pixels)
        if self.channels == 1 and pixels.shape[2] == 3:
            pixels = (pixels @ LUMINANCE)[:, :, None]
        planes = _resize(pixels, self.size, self.interpolation)
        if self.scale == "image":
            planes = _stretch_to_unit(planes)
        elif self.scale == "dtype":
            planes = planes / np.float32(white)
        # Grey is repeated only here: the steps since "channels" treat a grey image and its three copies alike.
        mean, std = (np.array(values, dtype=np.float32)[:, None, None] for values in (self.mean, self.std))
        normalised = planes - mean
        normalised /= std
        return torch.from_numpy(normalised)

    def key(self) -> str:
        """All fields and the version of the steps as one stable line: equal keys, equal tensors.

        >>> Preprocess(size=(2, 1), channels=1).key()  # doctest: +ELLIPSIS
        'preprocess-1 {"channels": 1, "interpolation": "area", "mean": [0.0], ...}'
        """
        return f"preprocess-{_VERSION} {json.dumps(asdict(self), sort_keys=True)}"


def _per_channel(field: str, value: float | Iterable[float] | None, channels: int, default: float) -> tuple[float, ...]:
    """``value`` as one finite float per channel."""
    value = default if value is None else value
    values = [value] * channels if isinstance(value, Real) else value
    if not isinstance(values, Iterable) or any(isinstance(one, bool) or not isinstance(one, Real) for one in values):
        raise TypeError(f"{field}={value!r} must be a number or {channels} numbers, one per channel")
    values = tuple(float(one) for one in values)
    if len(values) != channels or not np.isfinite(values).all():
        raise ValueError(f"{field}={value!r} must be a finite number or {channels} of them, one per channel")
    return values


def _white(dtype: np.dtype) -> int:
    """The value of white in an array of this type."""
    if dtype in (np.uint8, np.uint16):
        return int(np.iinfo(dtype).max)
    if np.issubdtype(dtype, np.floating):
        return 1
    raise TypeError(f"an image of dtype {dtype} was given; expected uint8, uint16 or a float type: convert it first")


def _to_float(image: np.ndarray) -> np.ndarray:
    """A float32 copy (height, width, 1 or 3), checked for its shape and for values that are no numbers."""
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 3)):
        hint = ": flatten RGBA onto a background first" if image.ndim == 3 and image.shape[2] == 4 else ""
        raise ValueError(
            f"an image of shape {image.shape} was given; expected (height, width) or (height, width, 3), channels last{hint}"
        )
    if image.size == 0:
        raise ValueError(f"an image of shape {image.shape} has no pixels")
    with np.errstate(over="ignore"):  # what does not fit float32 becomes infinite and is reported as such
        pixels = image.astype(np.float32)
    if np.issubdtype(image.dtype, np.floating) and not (finite := np.isfinite(pixels)).all():
        row, column = np.argwhere(~finite)[0][:2]
        raise ValueError(
            f"{finite.size - finite.sum()} of {finite.size} pixel values are NaN or infinite, the first at row {row}, "
            f"column {column}; replace them before the image is used"
        )
    return pixels.reshape(*pixels.shape[:2], -1)


def _check_unit_range(pixels: np.ndarray) -> None:
    low, high = pixels.min(), pixels.max()
    if low < 0 or high > 1:
        raise ValueError(
            f"float pixels from {low:g} to {high:g} under scale='dtype', which takes floats in [0, 1]; "
            "divide them by their maximum, or use scale='image' or None"
        )


def _face_left(pixels: np.ndarray) -> np.ndarray:
    """``pixels`` (height, width, channels), mirrored when the right half is brighter."""
    half = pixels.shape[1] // 2
    if half and pixels[:, -half:].sum(dtype=np.float64) > pixels[:, :half].sum(dtype=np.float64):
        return np.ascontiguousarray(pixels[:, ::-1])
    return pixels


def _resize(pixels: np.ndarray, size: tuple[int, int], interpolation: str) -> np.ndarray:
    """Pixels (height, width, channels) to planes (channels, *size)."""
    if pixels.shape[:2] == size:
        return np.ascontiguousarray(pixels.transpose(2, 0, 1))
    if interpolation == "area":
        return resize_area(pixels, size)
    tensor = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    return torch.nn.functional.interpolate(tensor, size=size, mode=interpolation, antialias=True)[0].numpy()


def _stretch_to_unit(planes: np.ndarray) -> np.ndarray:
    """Minimum to 0, maximum to 1; a constant image to 0."""
    low, high = planes.min(), planes.max()
    return (planes - low) / (high - low) if high > low else np.zeros_like(planes)


def resize_area(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Pixels (height, width, channels) float32 as (channels, size[0], size[1]), each the mean of the area that it covers.

    Rows first and then columns; a size larger than the old one repeats pixels.
    """
    height, width, channels = pixels.shape
    rows = _coverage(height, size[0]) @ pixels.reshape(height, width * channels)
    columns = rows.reshape(size[0], width, channels).transpose(1, 0, 2).reshape(width, size[0] * channels)
    resized = (_coverage(width, size[1]) @ columns).reshape(size[1], size[0], channels)
    return np.ascontiguousarray(resized.transpose(2, 1, 0))


@lru_cache(maxsize=32)
def _coverage(n_old: int, n_new: int) -> csr_array:
    """Weights (n_new, n_old): the share of each old pixel in each new one; rows sum to 1."""
    from scipy.sparse import csr_array

    edges = np.linspace(0, n_old, n_new + 1)
    first, last = np.floor(edges[:-1]).astype(int), np.ceil(edges[1:]).astype(int)
    new = np.repeat(np.arange(n_new), last - first)
    old = np.concatenate([np.arange(start, stop) for start, stop in zip(first, last, strict=True)])
    shared = np.minimum(edges[new + 1], old + 1) - np.maximum(edges[new], old)
    keep = (shared > 0) & (old < n_old)
    weights = (shared * n_new / n_old)[keep].astype(np.float32)
    return csr_array((weights, (new[keep], old[keep])), shape=(n_new, n_old))
