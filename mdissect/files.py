"""Writes files completely or not at all, alone or several under one manifest, and checks them on reading.

A file is written beside its place, synced to the disk and moved into place, so that a kill or a full disk leaves the old
one. Files that belong together (a saved result) have a part of their checksum in their names, and one manifest, written
last, says which they are: until it stands, the old manifest and its files are the result. A lock lets one process at a time
write a set; readers need none.
"""

import contextlib
import errno
import glob
import hashlib
import json
import os
import re
import stat
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePath
from typing import BinaryIO

PRIVATE_FILE, PRIVATE_FOLDER = 0o600, 0o700
_CHECKSUM, _FILES = "checksum", "files"
_SAMPLE = 4096  # bytes
_SEAL = b"mdissect "  # and the checksum of what follows, on a line of its own
_DIGITS = 32  # of a checksum
# The folders of an absolute path within a text: from a "/" (or "C:\\", "file://") that no word or other path leads up to, to
# its last "/". Folders may have spaces within, but do not end with one, nor hold what sets a path off in a sentence.
_FOLDER = r"""(?:(?:[^/\\\n:;"'<>|]|(?<=\w)'(?=\w))*[^/\\\s:;"'<>|(\[{,=][/\\]+)"""
_FOLDERS = re.compile(rf"(?<![\w.~/\\-])(?:file://)?(?:(?:[A-Za-z]:[/\\]|\\\\){_FOLDER}*|/(?![/\s]){_FOLDER}+)")


Content = bytes | Callable[[], Iterator[bytes]]  # of a file


class DamagedFileError(ValueError):
    """A file that is truncated, changed, swapped or missing; the message names it and says what to do."""


@contextmanager
def whole_file(path: str | Path, private: bool = False) -> Iterator[BinaryIO]:
    """A file that replaces the previous one when the block ends, completely or not at all.

    >>> with whole_file("table.csv") as file:                       # doctest: +SKIP
    ...     file.write(b"layer,unit")

    `private`: only its owner can read it. Where it cannot be written (OSError, which names it: disk full, folder read-only,
    ...) the old file is untouched, and no litter stays.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name[:60]}.{uuid.uuid4().hex}.part")
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        with open(os.open(unfinished, flags, PRIVATE_FILE if private else 0o666), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
        _sync_folder(path.parent)
    except OSError as error:  # of a full disk the system does not say which file
        if error.filename in (None, str(unfinished), unfinished):
            error.filename = str(path)
            del error.filename2
        raise
    finally:
        unfinished.unlink(missing_ok=True)


def write_atomically(path: str | Path, data: bytes | memoryview, private: bool = False) -> None:
    """Write a file as a whole; see `whole_file`."""
    with whole_file(path, private) as file:
        file.write(data)


def write_in_turn(files: Mapping[Path, bytes], private: bool = False) -> None:
    """Write files, all of which are on the disk before the first takes its place, then in their order; see `whole_file`."""
    with ExitStack() as stack:
        for path, data in reversed(files.items()):  # what was entered last is left first
            file = stack.enter_context(whole_file(path, private))
            file.write(data)
            file.flush()
            os.fsync(file.fileno())


def write_sealed(path: str | Path, data: bytes | memoryview) -> None:
    """Write a file that begins with its own checksum, for `read_sealed`."""
    with whole_file(path) as file:
        file.write(_SEAL + checksum(data).encode() + b"\n")
        file.write(data)


def read_sealed(path: str | Path, advice: str = "write it again") -> memoryview:
    """The content that `write_sealed` wrote; DamagedFileError if it has changed."""
    found, start = memoryview(Path(path).read_bytes()), len(_SEAL) + _DIGITS + 1
    if found[:start] != _SEAL + checksum(found[start:]).encode() + b"\n":
        raise DamagedFileError(f"{path} is damaged: it does not meet its checksum; {advice}")
    return found[start:]


def checksum(data: bytes | memoryview) -> str:
    """BLAKE2b of 16 bytes, in hexadecimal digits."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def write_together(manifest: str | Path, document: Mapping, files: Mapping[str, Content], private: bool = False) -> None:
    """Write a JSON document and the files that belong to it, as one: readers see the old set or the new one.

    Each file "arrays.safetensors" becomes ``arrays-<checksum>.safetensors`` in the manifest's folder; those of the set that
    was replaced, and of writers that were killed, are deleted at the end. Of several writers one writes after the other.
    `private`: for what holds patients; the folder too where it is made here.

    Parameters
    ----------
    manifest : path
        The JSON file that is written last: `document`, the files with size and checksum, and its own checksum.
    document : mapping
        JSON values; "files" and "checksum" are no keys of it.
    files : mapping of name to bytes, or to a function that gives them part by part
        What is too large for memory comes from such a function, which is called twice.
    """
    from filelock import FileLock

    manifest = Path(manifest)
    if taken := {_CHECKSUM, _FILES} & document.keys():
        raise ValueError(f"{manifest}: {', '.join(sorted(taken))} cannot be a key of the document")
    if not manifest.parent.exists():
        manifest.parent.mkdir(parents=True, exist_ok=True, mode=PRIVATE_FOLDER if private else 0o777)
    with FileLock(manifest.with_name(f".{manifest.name}.lock")):
        entries = {}
        for name, data in files.items():
            digest, size = _sum(data)
            entries[name] = {"file": _content_name(name, digest[:12]), "bytes": size, _CHECKSUM: digest}
            with whole_file(manifest.parent / entries[name]["file"], private) as file:
                for part in _parts(data):
                    file.write(part)
        write_atomically(manifest, _sealed({**document, _FILES: entries}).encode(), private)
        current = {entry["file"] for entry in entries.values()}
        of_set = [_content_name(glob.escape(name), "[0-9a-f]" * 12) for name in files]
        litter = [f".{name}.*.part" for name in (glob.escape(manifest.name), *of_set)]
        for old in (path for pattern in (*of_set, *litter) for path in manifest.parent.glob(pattern)):
            if old.name not in current:
                old.unlink(missing_ok=True)


def read_together(manifest: str | Path, advice: str = "write it again") -> tuple[dict, Callable[[str], bytes] | None]:
    """What `write_together` wrote: the document, and a function that gives the bytes of one of its files, checked.

    The function is None where the JSON file is older than checksums: then nothing is known of its files.

    Raises
    ------
    FileNotFoundError
        There is no such manifest.
    DamagedFileError
        It is not what was written, or one of its files is not (raised when that is read).
    """
    document, entries = _parsed(Path(manifest), _bytes_of(Path(manifest), advice), advice)

    def read(name: str) -> bytes:
        return _checked(Path(manifest), entries, name, advice)

    return document, None if entries is None else read


def read_whole_set(manifest: str | Path, advice: str = "write it again") -> tuple[dict, dict[str, bytes] | None]:
    """All of what `write_together` wrote: the document, and its files' bytes by name (None where they cannot be checked).

    Where another process replaces the set in the meantime, the new one is read. Raises as `read_together`.
    """
    manifest = Path(manifest)
    while True:
        found = _bytes_of(manifest, advice)
        document, entries = _parsed(manifest, found, advice)
        if entries is None:
            return document, None
        try:
            return document, {name: _checked(manifest, entries, name, advice) for name in entries}
        except DamagedFileError:
            if _bytes_of(manifest, advice) == found:
                raise


def path_in_set(manifest: str | Path, name: str, advice: str = "write it again") -> Path:
    """Where one of the files is that `write_together` wrote; only its size is checked. Raises as `read_together`."""
    manifest = Path(manifest)
    _, entries = _parsed(manifest, _bytes_of(manifest, advice), advice)
    path, size = _listed(manifest, entries or {}, name, advice)
    if not path.is_file():
        raise DamagedFileError(f"{path} is missing, which {manifest.name} lists; {advice}")
    if path.stat().st_size != size:
        raise DamagedFileError(f"{path} is damaged: it has not the size that {manifest.name} lists; {advice}")
    return path


def without_folders(value: object) -> object:
    """A value for JSON without absolute paths: only the last part of each is kept.

    For everything that is written and may be handed on. Paths become texts, arrays lists, other things their text.

    >>> without_folders({"note": "/home/jane doe/x.png: cut off, see doc/format.md"})
    {'note': 'x.png: cut off, see doc/format.md'}
    """
    if isinstance(value, str):
        return _FOLDERS.sub("", value)
    if isinstance(value, Mapping):
        return {without_folders(str(name)): without_folders(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [without_folders(inner) for inner in value]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, PurePath):
        return value.name if value.is_absolute() else value.as_posix()
    if hasattr(value, "tolist"):  # of numpy or torch
        return without_folders(value.tolist())
    return without_folders(str(value))


def text_bytes(path: str | Path) -> bytes:
    """The bytes of a text file with lines that end in LF alone: the same in every checkout, for hashes."""
    return Path(path).read_bytes().replace(b"\r\n", b"\n")


def regular_file(path: str | Path) -> Path:
    """The path of a plain file; OSError for anything else, before it is opened.

    A named pipe would keep its reader waiting for ever, and /dev/zero has no end.

    >>> regular_file("/dev/null")                                   # doctest: +SKIP
    Traceback (most recent call last):
    OSError: [Errno 22] a device, not a file: '/dev/null'
    """
    mode = os.stat(path).st_mode  # follows links; one that leads nowhere or in a circle is an OSError
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "a folder, not a file", str(path))
    if not stat.S_ISREG(mode):
        kind = "a named pipe" if stat.S_ISFIFO(mode) else "a socket" if stat.S_ISSOCK(mode) else "a device"
        raise OSError(errno.EINVAL, f"{kind}, not a file", str(path))
    return Path(path)


def content_sample(path: str | Path) -> str:
    """A checksum of a file's size, head, middle and tail, 4 kB each: cheap, in practice different for different content."""
    with open(regular_file(path), "rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        digest = hashlib.blake2b(str(size).encode(), digest_size=16)
        for start in (0, (size - _SAMPLE) // 2, size - _SAMPLE) if size > _SAMPLE else (0,):
            file.seek(max(0, start))
            digest.update(file.read(_SAMPLE))
    return digest.hexdigest()


def is_lfs_pointer(start: bytes) -> bool:
    """Whether a file that starts like this is a git-lfs pointer, which `git lfs pull` replaces by the file itself."""
    return start.startswith(b"version https://git-lfs")


def _bytes_of(manifest: Path, advice: str) -> bytes:
    if not manifest.is_file():
        raise FileNotFoundError(f"no file {manifest}; {advice}")
    return manifest.read_bytes()


def _parsed(manifest: Path, found: bytes, advice: str) -> tuple[dict, dict | None]:
    """The document of a manifest and its entries on files; None for a version without checksums."""
    try:
        document = json.loads(found)
    except (ValueError, RecursionError) as error:
        raise DamagedFileError(f"{manifest} is damaged ({error}); {advice}") from error
    if not isinstance(document, dict):
        raise DamagedFileError(f"{manifest} is damaged (it holds no object); {advice}")
    if not {_CHECKSUM, _FILES} & document.keys():
        return document, None
    document.pop(_CHECKSUM, None)
    if found != _sealed(document).encode():
        raise DamagedFileError(f"{manifest} is damaged: it does not meet its checksum; {advice}")
    return document, document.pop(_FILES, {})


def _checked(manifest: Path, entries: Mapping, name: str, advice: str) -> bytes:
    """The bytes of a file that a manifest lists."""
    path, size = _listed(manifest, entries, name, advice)
    entry = entries[name]
    try:
        there = stat.S_ISREG(path.stat().st_mode)
        data = path.read_bytes() if there and path.stat().st_size == size else b""
    except FileNotFoundError:  # perhaps just now, by a writer that replaced it
        there = False
    if not there:
        raise DamagedFileError(f"{path} is missing, which {manifest.name} lists; {advice}")
    if len(data) != entry["bytes"] or checksum(data) != entry[_CHECKSUM]:
        raise DamagedFileError(f"{path} is damaged: it does not meet its checksum in {manifest.name}; {advice}")
    return data


def _listed(manifest: Path, entries: Mapping, name: str, advice: str) -> tuple[Path, int]:
    """Where a file that a manifest lists should be, and its size."""
    if name not in entries:
        raise DamagedFileError(f"{manifest} lists no {name}; {advice}")
    return manifest.parent / PurePath(entries[name]["file"]).name, entries[name]["bytes"]


def _parts(data: Content) -> Iterator[bytes]:
    """The parts of a file's content."""
    return data() if callable(data) else iter((data,))


def _sum(data: Content) -> tuple[str, int]:
    """The checksum and the number of bytes of a file's content."""
    digest, size = hashlib.blake2b(digest_size=16), 0
    for part in _parts(data):
        digest.update(part)
        size += len(part)
    return digest.hexdigest(), size


def _content_name(name: str, digest: str) -> str:
    """The name of a file with these digits of its checksum: "arrays.safetensors" as "arrays-0123456789ab.safetensors"."""
    stem, dot, suffix = name.partition(".")
    return f"{stem}-{digest}{dot}{suffix}"


def _sealed(document: dict) -> str:
    """A document as JSON text that ends with the checksum of the rest."""
    text = json.dumps(document, indent=1)
    return json.dumps({**document, _CHECKSUM: checksum(text.encode())}, indent=1) + "\n"


def _sync_folder(folder: Path) -> None:
    """Make a move within a folder survive a power cut, if the system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
