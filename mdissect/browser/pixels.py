"""The pixels of an image as a PNG that a browser reads value by value."""

import io

import numpy as np

from mdissect.signatures import validated


@validated()
def as_png(image: np.ndarray, size: tuple[int, int] | None = None, deep: bool = False) -> tuple[bytes, dict]:
    """An image as PNG, and how to read it.

    >>> png, facts = as_png(np.array([[0, 4000]], dtype=np.uint16), deep=True)
    >>> facts["low"], facts["high"], facts["deep"]
    (0.0, 4000.0, True)

    Parameters
    ----------
    image : array (height, width[, 3])
        uint8 pixels are sent as they are; other types as codes from their least to their largest value.
    size : (int, int), optional
        The largest width and height; a larger image is made smaller.
    deep : bool
        Whether codes have 16 bits (grey images of other types than uint8): red is their high byte, green the low one.

    Returns
    -------
    bytes
    dict
        width and height of the image; low and high, the values of the smallest and the largest code; deep; more: whether the
        PNG has less than the image, in pixels or in bits.
    """
    from PIL import Image

    height, width = image.shape[:2]
    low, high = _range(image)
    deep = deep and image.dtype != np.uint8 and image.ndim == 2
    codes = _codes(image, low, high, 65535 if deep else 255)
    if size is not None and (width > size[0] or height > size[1]):
        if deep:
            raise ValueError(f"size={size} cannot be combined with deep=True: 16 bits are sent of whole images alone")
        small = Image.fromarray(codes)
        small.thumbnail(size, Image.Resampling.BOX)
        codes = np.asarray(small)
    if deep:
        codes = np.stack([codes >> 8, codes & 255, np.zeros_like(codes)], axis=-1).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(codes).save(buffer, "PNG", compress_level=1)
    less = codes.shape[:2] != (height, width) or (image.dtype != np.uint8 and image.ndim == 2 and not deep)
    return buffer.getvalue(), {"width": width, "height": height, "low": low, "high": high, "deep": deep, "more": less}


def _range(image: np.ndarray) -> tuple[float, float]:
    if image.dtype == np.uint8:
        return 0.0, 255.0
    finite = image if image.dtype.kind in "iu" else image[np.isfinite(image)]
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)


def _codes(image: np.ndarray, low: float, high: float, most: int) -> np.ndarray:
    """Values as whole numbers from 0 to `most`; what is not a number is 0."""
    if image.dtype == np.uint8:
        return image
    with np.errstate(invalid="ignore"):
        shares = (image.astype(np.float64) - low) / (high - low) if high > low else np.zeros(image.shape)
    shares = np.clip(np.nan_to_num(shares, nan=0.0), 0, 1)
    return np.rint(shares * most).astype(np.uint16 if most > 255 else np.uint8)
