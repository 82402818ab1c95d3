"""Damage that decoders overlook: truncated image files filled with zeros, files with holes or wrong checksums.

Each check raises ValueError. What is stored without compression or a checksum (raw PGM, TIFF and DICOM) shows no such
damage: a hole in it is a black area.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable

# FF and a marker's code; in entropy-coded data FF is followed by 00, or by a restart marker (JPEG-LS: by less than 80).
_MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")
_MARKER_LS = re.compile(rb"\xff([\x80-\xfe])")
_ALONE = (0x01, 0xD8)  # markers without a segment
_FRAMES = (0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF, 0xF7)
_TABLES, _END, _SCAN, _JPEG_LS = 0xC4, 0xD9, 0xDA, 0xF7
_SEQUENTIAL, _PROGRESSIVE, _LOSSLESS = (0xC0, 0xC1), 0xC2, 0xC3
_HUFFMAN = (*_SEQUENTIAL, _PROGRESSIVE, _LOSSLESS)
_HOLE = bytes(256)
# In JPEG 2000 an empty packet is a zero byte: a few hundred may follow each other in an image of many layers.
_HOLE_2000 = bytes(1024)
_CUT_OFF = "image file is truncated: it has no end-of-image marker (cut off, or filled up with something else)"


def check_jpeg(data: bytes) -> tuple[int, int]:
    """Height and width of a complete JPEG or JPEG-LS stream."""
    if not data.startswith(b"\xff\xd8"):
        raise ValueError(f"no JPEG data (starts with {data[:4]!r})")
    place, frame, size, first_symbols = 2, 0, None, {}
    while True:
        found = (_MARKER_LS if frame == _JPEG_LS else _MARKER).search(data, place)
        if not found:
            raise ValueError(_CUT_OFF)
        marker, place = found[1][0], found.end()
        if marker == _END:
            break
        if marker in _ALONE:
            continue
        segment = data[place + 2 : place + int.from_bytes(data[place : place + 2])]
        place += 2 + len(segment)
        if marker in _FRAMES:
            frame, size = marker, (int.from_bytes(segment[1:3]), int.from_bytes(segment[3:5]))
        elif marker == _TABLES:
            first_symbols |= _first_symbols(segment)
        elif marker == _SCAN:
            after = (_MARKER_LS if frame == _JPEG_LS else _MARKER).search(data, place)
            hole = data.find(_HOLE, place, after.start()) if after else -1
            if hole >= 0 and not _zeros_are_flat(frame, segment, first_symbols):
                raise ValueError(f"image file is damaged: a hole of zeros at byte {hole:,}")
    if size is None:
        raise ValueError("JPEG data without a frame")
    return size


def _first_symbols(segment: bytes) -> dict[int, int]:
    """Per Huffman table (class and number), the symbol whose code is all zeros: the first of the shortest ones."""
    found = {}
    while len(segment) > 17:
        found[segment[0]], n_symbols = segment[17], sum(segment[1:17])
        segment = segment[17 + n_symbols :]
    return found


def _zeros_are_flat(frame: int, scan: bytes, first_symbols: dict[int, int]) -> bool:
    """Whether zero bits in a scan may be a flat area, as the codes of optimised tables allow it, and no hole."""
    n_components = scan[0]
    tables, (first, _, approximation) = scan[2 : 2 + 2 * n_components : 2], scan[1 + 2 * n_components : 4 + 2 * n_components]
    if frame == _JPEG_LS or (frame == _PROGRESSIVE and first > 0):
        return False  # a code has 64 zeros at most; blocks without coefficients are counted, not coded one by one
    if frame not in _HUFFMAN or approximation >> 4:
        return True  # arithmetic codes, and single bits: nothing is known of them
    no_difference = all(first_symbols.get(table >> 4, 0) == 0 for table in tables)
    no_coefficient = frame not in _SEQUENTIAL or all(first_symbols.get(0x10 | table & 15, 0) == 0 for table in tables)
    return no_difference and no_coefficient


def check_jpeg_2000(data: bytes) -> tuple[int, int]:
    """Height and width of a complete JPEG 2000 codestream."""
    start = data.find(b"\xff\x4f\xff\x51")
    if start < 0:
        raise ValueError(f"no JPEG 2000 data (starts with {data[:4]!r})")
    if not data.rstrip(b"\0").endswith(b"\xff\xd9"):
        raise ValueError(_CUT_OFF)
    if (hole := data.find(_HOLE_2000, start, len(data.rstrip(b"\0")))) >= 0:
        raise ValueError(f"image file is damaged: a hole of zeros at byte {hole:,}")
    right, bottom, left, top = (int.from_bytes(data[start + 8 + 4 * i : start + 12 + 4 * i]) for i in range(4))
    return bottom - top, right - left


def packed_length(data: bytes, most: int) -> int:
    """How many bytes run-length encoded data (PackBits) hold, counted up to a little more than `most`."""
    place = length = 0
    while place < len(data) and length <= most:
        count = data[place]
        if count < 128 and place + count + 2 > len(data):
            break  # a byte that only makes the length even
        length += count + 1 if count < 128 else 257 - count if count > 128 else 0
        place += count + 2 if count < 128 else 2 if count > 128 else 1
    return length


def check_png(data: bytes) -> None:
    """Check that the chunks of a PNG file are complete, match their checksums, and end with the final one."""
    place, name = 8, b""
    while name != b"IEND":
        length = int.from_bytes(data[place : place + 4])
        name, end = data[place + 4 : place + 8], place + 8 + length
        if len(data) < end + 4:
            raise ValueError("image file is truncated: it ends within a chunk")
        if zlib.crc32(memoryview(data)[place + 4 : end]) != int.from_bytes(data[end : end + 4]):
            raise ValueError(f"image file is damaged: chunk {name!r} at byte {place:,} does not meet its checksum")
        place = end + 4


def check_strips(data: bytes, places: Iterable[tuple[int, int]], compression: int, jpeg_tables: bytes = b"") -> None:
    """The strips or tiles of a TIFF file, by start and length, are there, and whole as far as their compression shows it."""
    for start, length in places:
        strip = data[start : start + length]
        if compression != 1 and len(strip) < length:
            raise ValueError("image file is truncated: a strip or tile lies beyond its end")
        if compression in (8, 32946):  # Deflate: the stream ends with a checksum
            _check_deflated(strip)
        elif compression == 7:  # JPEG; what the strips share is a stream without image, from its start to its end
            check_jpeg(jpeg_tables[:-2] + strip[2:] if jpeg_tables else strip)
        elif compression in (5, 32773) and (hole := strip.find(_HOLE)) >= 0:  # LZW and PackBits shorten such runs
            raise ValueError(f"image file is damaged: a hole of zeros at byte {start + hole:,}")


def _check_deflated(strip: bytes) -> None:
    stream = zlib.decompressobj()
    try:
        rest = strip
        while rest and not stream.eof:
            stream.decompress(rest, 2**24)
            rest = stream.unconsumed_tail
    except zlib.error as error:
        raise ValueError(f"image file is damaged: {error}") from error
    if not stream.eof:
        raise ValueError("image file is truncated: a compressed strip or tile has no end")
