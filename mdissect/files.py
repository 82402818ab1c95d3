"""Files that are whole or not there: written beside their place, then moved into it."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def whole_file(path: str | Path) -> Iterator[BinaryIO]:
    """A file to be written, which takes its place as a whole when the block ends; whatever stood there stays until then.

    >>> with whole_file("table.csv") as file:                       # doctest: +SKIP
    ...     file.write(b"layer,unit")

    Where it cannot be written (OSError: disk full, folder read-only, ...) the old file is untouched, and no litter stays.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        with unfinished.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def write_atomically(path: str | Path, data: bytes | memoryview) -> None:
    """Write a file as a whole; see `whole_file`."""
    with whole_file(path) as file:
        file.write(data)


def is_lfs_pointer(start: bytes) -> bool:
    """Whether a file that starts like this is a git-lfs pointer, which `git lfs pull` replaces by the file itself."""
    return start.startswith(b"version https://git-lfs")
