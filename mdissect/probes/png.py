"""Writes PNG files of 8 or 16 bits, grey or RGB, quickly and without loss."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping

import numpy as np

_START = b"\x89PNG\r\n\x1a\n"
_COLOUR_TYPES = {1: 0, 3: 2}  # by the number of channels
_UP = 2  # the filter of a row: differences to the row above
_LEVEL = 1  # of compression: most of the gain at a fifth of the usual time


def encoded_png(image: np.ndarray, texts: Mapping[str, str]) -> bytes:
    """An image as a PNG file, with texts (ASCII) inside.

    ValueError: it is neither uint8 nor uint16, not (height, width) or (height, width, 3), or has no pixels.
    """
    channels = 1 if image.ndim == 2 else image.shape[-1]
    if image.dtype not in (np.uint8, np.uint16) or image.ndim not in (2, 3) or channels not in _COLOUR_TYPES or not image.size:
        raise ValueError(
            f"{image.dtype} pixels {image.shape} cannot be written as PNG: uint8 or uint16, grey or RGB, is expected"
        )
    height, width = image.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, 8 * image.itemsize, _COLOUR_TYPES[channels], 0, 0, 0)
    rows = np.ascontiguousarray(image, image.dtype.newbyteorder(">")).view(np.uint8).reshape(height, -1)
    filtered = np.empty((height, rows.shape[1] + 1), np.uint8)
    filtered[:, 0] = _UP
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])  # modulo 256
    comments = [_chunk(b"tEXt", f"{name}\0{text}".encode("ascii")) for name, text in texts.items()]
    pixels = _chunk(b"IDAT", zlib.compress(filtered, _LEVEL))
    return b"".join([_START, _chunk(b"IHDR", header), *comments, pixels, _chunk(b"IEND", b"")])


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(content, zlib.crc32(name)))
