"""``python -m mdissect store ls|verify|rm``: what the store keeps of earlier runs, whether it is whole, and removing it.

All that is kept is made again when it is needed. Only folders that the store wrote itself are ever removed: they have its names
and hold its files alone. Anything else in it is listed as unknown, and stays.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from mdissect.arguments import listed

WHOLE, UNFINISHED, OLD, UNKNOWN = "whole", "unfinished", "old", "unknown"
RESULTS = "results"
_ENTRY = re.compile(r"[\w.-]+-[0-9a-f]{20}", re.ASCII)
_CODE = re.compile(r"[0-9a-f]{20}")
_LEFT = re.compile(r"\.removed-\d+-.+", re.ASCII)  # of a removal that was interrupted
_OF_ENTRY = re.compile(r"key\.json|about\.json|array\.zarr|done|lock|\..*\.tmp.*|.*\.tmp")
_OF_RESULT = re.compile(r"\.?(result\.json|value|arrays|output)[\w.-]*|lock|\..*\.tmp.*|.*\.tmp")
_COLUMNS = ("kind", "layer", "model", "probe", "rows", "size", "date", "state")
_FILTERS = ("kind", "layer", "model", "probe")


@dataclass(frozen=True)
class Kept:
    """One folder of the store: an entry, or the results of one version of the code.

    `shown` are the words that patterns are compared with, `size` is in bytes, `date` the time of the last change (seconds).
    """

    path: Path
    shown: dict[str, str]
    size: int
    date: float
    state: str

    def row(self) -> list[str]:
        cells = {**self.shown, "size": size_text(self.size), "state": self.state}
        cells["date"] = time.strftime("%Y-%m-%d", time.localtime(self.date))
        return [cells.get(column, "") for column in _COLUMNS]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("action", choices=["ls", "verify", "rm"], help="list; compare all checksums; remove")
    parser.add_argument("--store", help="the folder (default: MDISSECT_STORE, else store/ of the data folder)")
    for name in _FILTERS:
        parser.add_argument(f"--{name}", metavar="PATTERN", help=f"only of this {name}: a name, with * for any text")
    parser.add_argument("--old", action="store_true", help="rm: of other versions of code or libraries, or unfinished")
    parser.add_argument("--all", action="store_true", help="rm: everything")
    parser.add_argument("--yes", action="store_true", help="rm: do not ask")


def run(options: argparse.Namespace) -> int:
    """List, verify or remove; returns 0, or 1 where something is damaged or could not be removed."""
    from mdissect.paths import store_dir

    if options.action != "rm" and (options.old or options.all or options.yes):
        raise ValueError(f"--old, --all and --yes are for rm, not for {options.action}")
    folder = store_dir() if options.store is None else Path(options.store).expanduser().absolute()
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"--store {folder} is a file; give the folder of a store")
    patterns = {name: value for name in _FILTERS if (value := getattr(options, name)) is not None}
    if options.action == "rm" and not (patterns or options.old or options.all):
        raise ValueError(f"rm removes what is asked for: --old, --all, or {', '.join('--' + name for name in _FILTERS)}")
    if options.action == "rm" and options.old and options.all:
        raise ValueError("--old and --all: give one of them")
    found = [one for one in kept_in(folder) if _matches(one, patterns)]
    if options.action == "rm":
        return _remove(folder, [one for one in found if not options.old or one.state in (OLD, UNFINISHED)], options.yes)
    print(table(found, folder))
    return _verify(found) if options.action == "verify" else 0


def kept_in(folder: Path) -> list[Kept]:
    """What a store keeps, the largest first; links are never followed."""
    found = [_result_of(one) if one.parent.name == RESULTS else _entry_of(one) for one in _folders(folder)]
    return sorted(found, key=lambda one: (-one.size, one.path.name))


def table(found: list[Kept], folder: Path) -> str:
    """A list of what is kept, in columns, with the sum."""
    if not found:
        return f"{folder}: nothing is kept there"
    rows = [list(_COLUMNS), *(one.row() for one in found)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_COLUMNS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*lines, f"{folder}: {_sum(found)}"])


def size_text(n_bytes: int) -> str:
    """Bytes for people.

    >>> size_text(2_500_000)
    '2.5 MB'
    """
    for unit, factor in (("GB", 10**9), ("MB", 10**6)):
        if n_bytes >= factor:
            return f"{n_bytes / factor:.1f} {unit}"
    return f"{n_bytes / 1000:.1f} kB"


def _folders(folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        return
    for one in sorted(folder.iterdir()):
        if one.name == RESULTS and one.is_dir() and not one.is_symlink():
            yield from sorted(one.iterdir())
        else:
            yield one


def _entry_of(path: Path) -> Kept:
    """An entry of the store as it is, without opening it."""
    key = _key_of(path)
    shown = {"kind": path.name.rpartition("-")[0] or path.name}
    if key is None:
        ours = _LEFT.fullmatch(path.name) or (_ENTRY.fullmatch(path.name) and not (path / "key.json").exists())
        return Kept(path, shown, *_measured(path), UNFINISHED if ours and _is_ours(path, _OF_ENTRY) else UNKNOWN)
    about = _json(path / "about.json")
    about = about if isinstance(about, dict) else {}
    shown |= {
        "kind": str(key.get("kind", "array")),
        "layer": str(key.get("layer", "")),
        "rows": str(key["n_rows"]),
        "model": str(about.get("model", str(key.get("weights", ""))[:8])),
        "probe": str(about.get("probe", str(key.get("probe", ""))[:8])),
    }
    return Kept(path, shown, *_measured(path), _state(path, key) if _is_ours(path, _OF_ENTRY) else UNKNOWN)


def _state(path: Path, key: dict) -> str:
    from mdissect.entries import LAYOUT, library_versions
    from mdissect.passing import FOLDING
    from mdissect.store import CHUNK_ROWS, FORMAT

    installed, made_with = library_versions(), key.get("versions", {})
    current = {"format": FORMAT, "folding": FOLDING} | ({"layout": LAYOUT} if key["kind"] == "activations" else {})
    changed = [name for name, value in current.items() if key.get(name, None if name != "folding" else FOLDING) != value]
    if changed or any(installed.get(name, version) != version for name, version in made_with.items()):
        return OLD
    done = len(list((path / "done").iterdir())) if (path / "done").is_dir() else 0
    return WHOLE if done >= -(-key["n_rows"] // CHUNK_ROWS) else UNFINISHED


def _result_of(path: Path) -> Kept:
    """The results that one version of the code left."""
    from mdissect.study.kept import code_digest

    ours = _CODE.fullmatch(path.name) and path.is_dir() and not path.is_symlink()
    parts = list(path.iterdir()) if ours else []
    ours = ours and all((_ENTRY.fullmatch(one.name) and _is_ours(one, _OF_RESULT)) or _is_former(one) for one in parts)
    ours = ours or (_LEFT.fullmatch(path.name) and path.is_dir() and not path.is_symlink())
    state = UNKNOWN if not ours else WHOLE if path.name == code_digest() else OLD
    shown = {"kind": RESULTS, "layer": f"code {path.name[:8]}", "rows": str(len(parts)) if parts else ""}
    return Kept(path, shown, *_measured(path), state)


def _is_former(path: Path) -> bool:
    """Whether results/<code>/ holds this of former versions, which kept results by joblib; its pickles are not opened."""
    if path.name == ".gitignore" and not path.is_symlink():
        return True
    if path.name != "mdissect" or path.is_symlink():
        return False
    names = {name for _, _, files in os.walk(path) for name in files}
    return names <= {"func_code.py", "metadata.json", "output.pkl"}


def _key_of(path: Path) -> dict | None:
    """The key of an entry whose folder has the name that belongs to it."""
    from mdissect.store import entry_name

    if path.is_symlink() or not path.is_dir() or not _ENTRY.fullmatch(path.name):
        return None
    key = _json(path / "key.json")
    if not isinstance(key, dict) or type(key.get("n_rows")) is not int or entry_name(key) != path.name:
        return None
    return key if key["n_rows"] >= 0 and isinstance(key.get("versions", {}), dict) else None


def _json(path: Path) -> object:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None


def _is_ours(path: Path, known: re.Pattern) -> bool:
    """Whether a folder is no link and holds, directly, nothing but what the store writes."""
    if path.is_symlink() or not path.is_dir():
        return False
    return all(known.fullmatch(one.name) and not one.is_symlink() for one in path.iterdir())


def _measured(path: Path) -> tuple[int, float]:
    """Bytes and the last change of a folder's files, links not followed."""
    is_folder = path.is_dir() and not path.is_symlink()
    files = [Path(at, name) for at, _, names in os.walk(path) for name in names] if is_folder else [path]
    stats = []
    for one in files:
        try:
            stats.append(one.lstat())
        except OSError:  # removed in the meantime
            continue
    return sum(one.st_size for one in stats), max((one.st_mtime for one in stats), default=path.lstat().st_mtime)


def _matches(one: Kept, patterns: dict[str, str]) -> bool:
    return all(fnmatchcase(one.shown.get(name, "").lower(), pattern.lower()) for name, pattern in patterns.items())


def _sum(found: list[Kept]) -> str:
    size = size_text(sum(one.size for one in found))
    return f"{len(found)} folder{'s' if len(found) != 1 else ''}, {size}"


def _verify(found: list[Kept]) -> int:
    """Compare all checksums; 1 where something is damaged."""
    damaged = 0
    for one in found:
        for problem in _problems(one):
            damaged += 1
            print(f"damaged: {one.path.name}: {problem}; it is computed again when it is needed")
    n_unknown = sum(one.state == UNKNOWN for one in found)
    n_ours = f"{len(found) - n_unknown} folders of the store verified"
    print(f"{n_ours}, {damaged} problems" + (f"; {n_unknown} not of the store" if n_unknown else ""))
    return 1 if damaged else 0


def _problems(one: Kept) -> Iterator[str]:
    from mdissect.files import DamagedFileError, read_whole_set
    from mdissect.store import Entry

    if one.path.parent.name == RESULTS and one.state != UNKNOWN:
        for manifest in sorted(one.path.glob("*/result.json")):
            try:
                read_whole_set(manifest, "it is computed again")
            except DamagedFileError as error:
                yield f"{manifest.parent.name}: {str(error).split('; ')[0].removeprefix(str(manifest.parent) + os.sep)}"
    elif key := _key_of(one.path):
        if chunks := Entry(one.path.parent, key).damaged():
            yield f"{len(chunks)} of its chunks ({listed(chunks)})"
    elif _ENTRY.fullmatch(one.path.name) and (one.path / "key.json").exists() and not one.path.is_symlink():
        yield "its key.json is not what was written"


def _remove(folder: Path, found: list[Kept], yes: bool) -> int:
    """Remove folders of the store, after asking; 1 where one is in use or cannot be removed."""
    unknown, found = [one for one in found if one.state == UNKNOWN], [one for one in found if one.state != UNKNOWN]
    for one in unknown:
        print(f"left: {one.path.name} is not a folder that the store wrote, or holds other files; remove it yourself")
    if not found:
        print(f"{folder}: nothing to remove")
        return 0
    print(table(found, folder))
    if not yes and not _agreed(found):
        print("nothing was removed")
        return 1
    left = [(one, problem) for one in found if (problem := _removed(one.path))]
    for one, problem in left:
        print(f"left: {one.path.name}: {problem}")
    gone = [one for one in found if one not in [kept for kept, _ in left]]
    print(f"removed {_sum(gone)}")
    return 1 if left else 0


def _agreed(found: list[Kept]) -> bool:
    """The user's answer; an error where there is nobody to ask."""
    try:
        return input(f"Remove {_sum(found)}? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        raise ValueError("nobody is there to be asked: --yes removes without asking") from None


def _removed(path: Path) -> str | None:
    """Remove a folder whose locks nobody holds; else why not. It is renamed first, so that nothing half removed is read."""
    from filelock import FileLock, Timeout

    held: list[FileLock] = []
    try:
        for lock in [*path.glob("lock"), *path.glob("*/lock")]:
            held.append(FileLock(lock))
            held[-1].acquire(timeout=0)
        away = path if _LEFT.fullmatch(path.name) else path.with_name(f".removed-{os.getpid()}-{path.name}")
        path.rename(away)
        shutil.rmtree(away)
    except Timeout:
        return "in use by a running process"
    except OSError as error:
        return f"cannot be removed ({error.strerror or error})"
    finally:
        for lock in held:
            lock.release()
    return None
