"""A disk cache for images that are slow to make: blocks of images in memory-mapped files.

The cache may be damaged, incomplete or deleted at any time without harm: what it holds is checked, what is missing is
made again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from zlib import crc32

import numpy as np

from mdissect.files import whole_file

_BLOCK_BYTES = 2**25
_BLOCK_IMAGES = 256


class ImageCache:
    """uint8 images of one `shape` by index, kept in a folder whose name must contain everything that they depend on.

    A file ``block-00003.npy`` holds the images of one block of indices (256 of them, fewer when images are large). It
    is replaced as a whole, so that no reader ever sees half of it, and each image has a checksum. Of two processes
    that write one block at the same time the later wins, and what the other had added is made again.
    """

    def __init__(self, folder: str | Path, shape: tuple[int, ...]):
        self.folder = Path(folder)
        self.per_block = int(np.clip(_BLOCK_BYTES // np.prod(shape), 1, _BLOCK_IMAGES))
        self._dtype = np.dtype([("made", "?"), ("checksum", "<u4"), ("pixels", "u1", shape)])
        self._open: dict[int, np.ndarray] = {}

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_open": {}}  # maps are opened again in other processes, not copied

    def get(self, index: int) -> np.ndarray | None:
        """A copy of an image, or None where the cache has none (or a damaged one)."""
        block = index // self.per_block
        image = self._checked(self._open.get(block), index)
        if image is None:  # since the file was opened, a newer one may have taken its place
            self._open[block] = self._load(block)
            image = self._checked(self._open[block], index)
        return image

    def put(self, images: dict[int, np.ndarray]) -> None:
        """Add images by index; those of a block are written together. OSError where the folder cannot be written."""
        for block in sorted({index // self.per_block for index in images}):
            held = self._load(block)
            records = np.zeros(self.per_block, self._dtype) if held is None else np.array(held)
            for index, image in images.items():
                if index // self.per_block == block:
                    records[index % self.per_block] = (True, self._checksum(index, image), image)
            with whole_file(self._path(block)) as file:
                np.save(file, records, allow_pickle=False)
            self._open.pop(block, None)

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Make other processes wait that would generate the same images. OSError where the folder cannot be written."""
        from filelock import FileLock

        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / "lock"):
            yield

    def _path(self, block: int) -> Path:
        return self.folder / f"block-{block:05d}.npy"

    def _load(self, block: int) -> np.ndarray | None:
        """The records of a block, mapped; None when there is no such file, or one of another make."""
        try:
            records = np.load(self._path(block), mmap_mode="r", allow_pickle=False)
        except Exception:  # the header is text that numpy takes apart: a damaged one may raise anything
            return None
        return records if records.dtype == self._dtype and records.shape == (self.per_block,) else None

    def _checked(self, records: np.ndarray | None, index: int) -> np.ndarray | None:
        place = index % self.per_block
        if records is None or not records["made"][place]:
            return None
        pixels = np.array(records["pixels"][place])
        return pixels if self._checksum(index, pixels) == records["checksum"][place] else None

    def _checksum(self, index: int, image: np.ndarray) -> int:
        """A checksum of the pixels and their place, so that swapped images are detected."""
        return crc32(np.ascontiguousarray(image), crc32(f"{self.folder.name} {index}".encode()))
