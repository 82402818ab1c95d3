"""Arrays in files: written block by block, and mapped into memory instead of read.

The format is that of safetensors: the length of a header, the header (JSON), and the arrays' bytes.
"""

import json
import mmap
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from mdissect.signatures import validated

BLOCK_BYTES = 16 << 20  # of an array that are read at a time
_KINDS = {"float32": "F32", "float64": "F64", "int64": "I64", "int32": "I32", "bool": "BOOL", "uint8": "U8", "float16": "F16"}
_TYPES = {kind: name for name, kind in _KINDS.items()}
_MOST_HEADER = 100 << 20  # bytes, as in safetensors


@validated()
def is_on_disk(array: object) -> bool:
    """Whether an array is memory-mapped, so that it may be larger than memory; what was computed from one is not."""
    return isinstance(array, np.memmap) and array._mmap is not None


@validated()
def is_by_column(array: np.ndarray) -> bool:
    """Whether a table's columns, not its rows, are each in one piece."""
    return array.ndim == 2 and array.flags.f_contiguous and not array.flags.c_contiguous


@validated()
def release(array: np.ndarray) -> None:
    """Let the system take back the memory of what was read of a memory-mapped array; changes made to it are lost."""
    if is_on_disk(array) and hasattr(mmap, "MADV_DONTNEED"):
        array._mmap.madvise(mmap.MADV_DONTNEED)


@validated()
def array_bytes(arrays: Mapping[str, np.ndarray]) -> Callable[[], Iterator[bytes]]:
    """A function that gives the bytes of a safetensors file of arrays by name, part by part.

    >>> parts = array_bytes({"a": np.zeros(2, dtype=np.float32)})
    >>> sum(map(len, parts()))
    72
    """
    ordered = sorted(arrays.items(), key=lambda item: (-np.asarray(item[1]).itemsize, item[0]))  # so that all are aligned
    header, end = {}, 0
    for name, array in ordered:
        start, end = end, end + array.nbytes
        header[name] = {"dtype": _KINDS[str(array.dtype)], "shape": list(array.shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)

    def parts() -> Iterator[bytes]:
        yield len(text).to_bytes(8, "little") + text
        for _, array in ordered:
            yield from _blocks(array)

    return parts


@validated()
def mapped_arrays(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """The arrays of a safetensors file by name, memory-mapped; ValueError where it is no such file.

    What is written to such an array changes nothing in the file.
    """
    path = Path(path)
    size = path.stat().st_size
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 0 < length <= min(size - 8, _MOST_HEADER):
            raise ValueError("its header is longer than the file")
        header = json.loads(file.read(length))
    arrays = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        dtype, shape = np.dtype(_TYPES[entry["dtype"]]), tuple(entry["shape"])
        start, end = entry["data_offsets"]
        if end - start != dtype.itemsize * int(np.prod(shape)) or not 0 <= start <= end <= size - 8 - length:
            raise ValueError(f"{name} is said to be where the file has no room for it")
        empty = end == start  # which cannot be mapped
        arrays[name] = np.empty(shape, dtype) if empty else np.memmap(path, dtype, "c", 8 + length + start, shape)
    return arrays


def _blocks(array: np.ndarray) -> Iterator[bytes]:
    """The bytes of an array in row order."""
    if array.ndim == 0 or array.size == 0:
        yield np.ascontiguousarray(array).tobytes()
        return
    rows = max(1, BLOCK_BYTES // max(1, array[0].nbytes))
    for start in range(0, len(array), rows):
        yield np.ascontiguousarray(array[start : start + rows]).tobytes()
        release(array)
