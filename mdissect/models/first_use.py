"""Weights files are recorded when they are first used, so that a file that changed since is noticed.

The record is ``weights.json`` in the user's folder for caches, readable by its owner alone: by absolute path the size, the
time of the last change, the SHA-256 and the day of the first use. A file whose size and time are the recorded ones is not
hashed again on use; ``python -m mdissect doctor --verify`` hashes all of them.
"""

import hashlib
import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import NamedTuple

from mdissect.files import write_atomically
from mdissect.paths import cache_dir
from mdissect.signatures import validated

RECORD = "weights.json"


class Checked(NamedTuple):
    """A recorded file: its path, and what is wrong with it ("" for nothing)."""

    path: Path
    problem: str


@validated()
def note_use(path: Path, vouched: bool = False) -> None:
    """Record a weights file that was read; warn, with both hashes, if it changed since it was first used.

    The changed file is recorded in place of the old one, so that it is told once. `vouched`: no warning, because mdissect
    wrote the file itself or knows its checksum. Where the record cannot be kept, a warning says so.
    """
    path = path.absolute()
    try:
        with _record() as entries:
            known, seen = entries.get(str(path)), _seen(path)
            if known and {name: known[name] for name in seen} == seen:
                return
            digest = _sha256(path)
            entries[str(path)] = {**seen, "sha256": digest, "first_used": date.today().isoformat()}
    except OSError as error:
        warnings.warn(f"which weights files were used is not recorded: {error}", stacklevel=3)
        return
    if known and known["sha256"] != digest and not vouched:
        warnings.warn(
            f"{path} is not the file that was first used on {known['first_used']}: its SHA-256 was {known['sha256']}, now it "
            f"is {digest}. If you did not replace it, get it again from its source",
            stacklevel=3,
        )


@validated()
def verify_used() -> list[Checked]:
    """Hash every recorded file and compare; a file that is gone is told too. OSError if the record cannot be read."""
    found = []
    for name, known in sorted(_read(record_file()).items()):
        path = Path(name)
        if not path.is_file():
            found.append(Checked(path, f"gone since it was first used on {known['first_used']}"))
            continue
        digest = _sha256(path)
        changed = f"changed: SHA-256 was {known['sha256']} on {known['first_used']}, now it is {digest}"
        found.append(Checked(path, "" if digest == known["sha256"] else changed))
    return found


def record_file() -> Path:
    """Where the record is."""
    return cache_dir() / RECORD


@contextmanager
def _record() -> Iterator[dict]:
    """The record, to be changed; written if it was. One process at a time."""
    from filelock import FileLock

    path = record_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f".{RECORD}.lock")):
        entries = _read(path)
        before = json.dumps(entries)
        yield entries
        if (after := json.dumps(entries, indent=1)) and json.dumps(entries) != before:
            write_atomically(path, after.encode(), private=True)


def _read(path: Path) -> dict[str, dict]:
    """The entries of a record; of a damaged one none, with a warning."""
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (ValueError, RecursionError):
        entries = None
    whole = isinstance(entries, dict) and all(
        isinstance(known, dict) and {"size", "changed", "sha256", "first_used"} <= known.keys() for known in entries.values()
    )
    if not whole:
        warnings.warn(f"{path} is damaged: which weights files were used is recorded anew", stacklevel=5)
        return {}
    return entries


def _seen(path: Path) -> dict[str, int]:
    state = path.stat()
    return {"size": state.st_size, "changed": state.st_mtime_ns}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
