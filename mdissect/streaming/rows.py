"""An array on disk, or in memory, that is read in blocks of rows or of columns."""

from collections.abc import Iterator

import numpy as np

from mdissect.arguments import AT_LEAST_ONE
from mdissect.mapped import release
from mdissect.signatures import validated
from mdissect.store import CHUNK_ROWS, Entry

OF_MEMORY = 8  # a block of rows takes this part of the memory: what is computed from it takes the rest


class Rows:
    """An array (n_rows, n_columns) float32: an entry of the store in which nothing is missing, or an array.

    >>> rows = Rows(np.arange(6, dtype=np.float32).reshape(3, 2))
    >>> [(start, block.tolist()) for start, block in rows.blocks(2)]
    [(0, [[0.0, 1.0], [2.0, 3.0]]), (2, [[4.0, 5.0]])]
    """

    def __init__(self, source: Entry | np.ndarray):
        self.source = source
        self.shape = source.shape

    def __len__(self) -> int:
        return self.shape[0]

    def blocks(self, size: int) -> Iterator[tuple[int, np.ndarray]]:
        """The array in blocks of rows (at most size, n_columns), each with the number of its first row."""
        for start in range(0, len(self), size):
            yield start, self._block(start, min(start + size, len(self)))

    @validated()
    def take(self, positions: np.ndarray, size: int = 16 * CHUNK_ROWS) -> np.ndarray:
        """Some rows (n_positions, n_columns), of positions (n_positions,) int that rise; only blocks of these are read."""
        found = np.empty((len(positions), self.shape[1]), dtype=np.float32)
        first = 0
        while first < len(positions):
            start = int(positions[first]) // size * size
            last = int(np.searchsorted(positions, start + size))
            found[first:last] = self._block(start, min(start + size, len(self)))[positions[first:last] - start]
            first = last
        return found

    @validated(size=AT_LEAST_ONE)
    def columns(self, chosen: np.ndarray, size: int) -> np.ndarray:
        """Some columns (n_rows, n_chosen), each in one piece in memory; of an entry, all is read in blocks of `size` rows."""
        found = np.empty((len(chosen), len(self)), dtype=np.float32)
        if isinstance(self.source, np.ndarray):
            for place, column in enumerate(chosen):
                found[place] = self.source[:, column]
                if place % 16 == 15:
                    release(self.source)
        else:
            for start, block in self.blocks(size):
                found[:, start : start + len(block)] = block[:, chosen].T
        return found.T

    def _block(self, start: int, stop: int) -> np.ndarray:
        if not isinstance(self.source, np.ndarray):
            return self.source.block(start, stop)
        block = np.array(self.source[start:stop], dtype=np.float32, order="C")
        release(self.source)
        return block


@validated(memory=AT_LEAST_ONE, row_bytes=AT_LEAST_ONE)
def rows_at_once(memory: int, row_bytes: int) -> int:
    """Rows of a block, a multiple of a chunk's, where each takes row_bytes with all that is computed from it.

    >>> rows_at_once(2**30, 2**15)
    4096
    """
    return max(1, memory // OF_MEMORY // row_bytes // CHUNK_ROWS) * CHUNK_ROWS
