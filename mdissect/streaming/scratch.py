"""Arrays in scratch files that vanish with the process, mapped into memory: what does not fit into it, and is no result yet."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mdissect.arguments import AT_LEAST_ONE
from mdissect.signatures import validated
from mdissect.store import StoreError
from mdissect.streaming.rows import Rows

MOST_PASSES = 4  # over an entry's chunks, which hold all columns, to read its columns; from there on they are turned once


@validated(width=AT_LEAST_ONE, size=AT_LEAST_ONE)
def column_blocks(rows: Rows, chosen: np.ndarray, width: int, size: int) -> Iterator[tuple[slice, np.ndarray]]:
    """Chosen columns in blocks (n_rows, at most width), each with its place among `chosen` (n,) int.

    A block is a pass over all chunks of an entry, read in blocks of `size` rows; where that would be more than `MOST_PASSES`,
    the array is first turned in a scratch file beside the entry, which takes as much room as itself.
    """
    if not isinstance(rows.source, np.ndarray) and -(-len(chosen) // width) > MOST_PASSES:
        rows = Rows(on_disk_by_column(rows, rows.source.folder, size))
    for start in range(0, len(chosen), width):
        place = slice(start, min(start + width, len(chosen)))
        yield place, rows.columns(chosen[place], size)


@validated(size=AT_LEAST_ONE)
def on_disk_by_column(rows: Rows, folder: str | os.PathLike, size: int) -> np.memmap:
    """Rows (n_rows, n_columns) as a memory-mapped array of which each column is in one piece, written in a folder.

    Blocks of `size` rows are in memory. StoreError where the disk has no room. The file has no name: it is gone when the array
    is. What is written to the array changes nothing on disk, and may be lost.
    """
    n_rows, n_columns = rows.shape

    def parts() -> Iterator[tuple[int, np.ndarray]]:
        for start, block in rows.blocks(size):
            turned = np.ascontiguousarray(block.T)
            yield from (((column * n_rows + start) * 4, one) for column, one in enumerate(turned))

    return _mapped(parts(), (n_columns, n_rows), folder).T


@validated()
def on_disk_by_row(blocks: Iterator[np.ndarray], shape: tuple[int, int], folder: str | os.PathLike) -> np.memmap:
    """Blocks of rows, in order, as a memory-mapped array (n_rows, n_columns) float32; file and errors as above."""

    def parts() -> Iterator[tuple[int, np.ndarray]]:
        start = 0
        for block in blocks:
            yield start, np.ascontiguousarray(block, dtype=np.float32)
            start += block.size * 4

    return _mapped(parts(), shape, folder)


def _mapped(parts: Iterator[tuple[int, np.ndarray]], shape: tuple[int, int], folder: str | os.PathLike) -> np.memmap:
    """Parts, each with its place in bytes, as an array in a file without a name."""
    try:
        with tempfile.TemporaryFile(dir=Path(folder), prefix="scratch-") as file:
            for place, values in parts:
                file.seek(place)
                file.write(values.data)
            file.flush()
            return np.memmap(file, dtype=np.float32, mode="c", shape=shape)
    except StoreError:
        raise
    except OSError as error:
        needed = f"{4 * shape[0] * shape[1] / 1e9:.1f} GB"
        raise StoreError(
            error.errno,
            f"no scratch file of {needed} in {folder}: {error.strerror or error}. Free some space, or give another store "
            "(store=..., MDISSECT_STORE); what it already holds is kept",
        ) from error
