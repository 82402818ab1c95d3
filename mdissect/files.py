"""Files that are whole or not there: written beside their place, then moved into it."""

import os
import uuid
from pathlib import Path


def write_atomically(path: str | Path, data: bytes | memoryview) -> None:
    """Write a file as a whole; whatever stood there stays until the new content is safe on the disk.

    Raises
    ------
    OSError
        It cannot be written (disk full, folder read-only, ...); the old file is untouched, and no litter stays.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        with unfinished.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
