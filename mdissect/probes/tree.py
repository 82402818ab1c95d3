"""The files below a folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path


def files_below(root: Path, on_closed: Callable[[OSError], None] | None = None) -> Iterator[Path]:
    """All files below ``root`` that are not hidden; each folder once, also with circular links.

    A folder that cannot be opened is an OSError, raised or given to `on_closed`.
    """

    def stop(error: OSError) -> None:
        raise error

    seen = set()
    for folder, folders, files in os.walk(root, followlinks=True, onerror=on_closed or stop):
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(folder, name) for name in files if not name.startswith("."))
