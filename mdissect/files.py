"""The one writer of files: whole or not there, alone or several under one manifest; and the reader that checks them.

A file is written beside its place, synced to the disk and moved into place, so that a kill or a full disk leaves the old
one. Files that belong together (a saved result) carry a part of their checksum in their names, and one manifest, written
last, says which they are: until it stands, the old manifest and its files are the result.
"""

import contextlib
import errno
import hashlib
import json
import os
import stat
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

PRIVATE_FILE, PRIVATE_FOLDER = 0o600, 0o700
_CHECKSUM, _FILES = "checksum", "files"
_SAMPLE = 4096  # bytes


class DamagedFileError(ValueError):
    """A file that is not what was written: cut off, changed, swapped or gone; the message names it and says what to do."""


@contextmanager
def whole_file(path: str | Path, private: bool = False) -> Iterator[BinaryIO]:
    """A file to be written, which takes its place as a whole when the block ends; whatever stood there stays until then.

    >>> with whole_file("table.csv") as file:                       # doctest: +SKIP
    ...     file.write(b"layer,unit")

    `private`: only its owner can read it. Where it cannot be written (OSError: disk full, folder read-only, ...) the old file
    is untouched, and no litter stays.
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
    finally:
        unfinished.unlink(missing_ok=True)


def write_atomically(path: str | Path, data: bytes | memoryview, private: bool = False) -> None:
    """Write a file as a whole; see `whole_file`."""
    with whole_file(path, private) as file:
        file.write(data)


def checksum(data: bytes | memoryview) -> str:
    """BLAKE2b of 16 bytes, in hexadecimal digits."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def write_together(manifest: str | Path, document: Mapping, files: Mapping[str, bytes], private: bool = False) -> None:
    """Write a JSON document and the files that belong to it, as one: readers see the old set or the new one.

    Each file "arrays.safetensors" becomes ``arrays-<checksum>.safetensors`` in the manifest's folder; those of the set that
    was replaced are deleted at the end. `private`: for what holds patients; the folder too where it is made here.

    Parameters
    ----------
    manifest : path
        The JSON file that is written last: `document`, the files with size and checksum, and its own checksum.
    document : mapping
        JSON values; "files" and "checksum" are no keys of it.
    files : mapping of name to bytes
    """
    manifest = Path(manifest)
    if not manifest.parent.exists():
        manifest.parent.mkdir(parents=True, mode=PRIVATE_FOLDER if private else 0o777)
    entries = {}
    for name, data in files.items():
        stem, _, suffix = name.partition(".")
        digest = checksum(data)
        entries[name] = {"file": f"{stem}-{digest[:12]}.{suffix}", "bytes": len(data), _CHECKSUM: digest}
        write_atomically(manifest.parent / entries[name]["file"], data, private)
    write_atomically(manifest, _sealed({**document, _FILES: entries}).encode(), private)
    current = {entry["file"] for entry in entries.values()}
    for name in files:
        stem, _, suffix = name.partition(".")
        for old in manifest.parent.glob(f"{stem}-{'[0-9a-f]' * 12}.{suffix}"):
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
    manifest = Path(manifest)
    found = manifest.read_bytes()
    try:
        document = json.loads(found)
    except ValueError as error:
        raise DamagedFileError(f"{manifest} is damaged ({error}); {advice}") from error
    if not isinstance(document, dict):
        raise DamagedFileError(f"{manifest} is damaged (it holds no object); {advice}")
    if not {_CHECKSUM, _FILES} & document.keys():
        return document, None
    document.pop(_CHECKSUM, None)
    if found != _sealed(document).encode():
        raise DamagedFileError(f"{manifest} is damaged: it does not meet its checksum; {advice}")
    entries = document.pop(_FILES)

    def read(name: str) -> bytes:
        entry = entries[name]
        path = manifest.parent / entry["file"]
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise DamagedFileError(f"{path} is missing, which {manifest.name} lists; {advice}") from None
        if len(data) != entry["bytes"] or checksum(data) != entry[_CHECKSUM]:
            raise DamagedFileError(f"{path} is damaged: it does not meet its checksum in {manifest.name}; {advice}")
        return data

    return document, read


def text_bytes(path: str | Path) -> bytes:
    """The bytes of a text file with lines that end in LF alone: the same in every checkout, for hashes."""
    return Path(path).read_bytes().replace(b"\r\n", b"\n")


def regular_file(path: str | Path) -> Path:
    """The path of a plain file, or an OSError that says what stands there instead, found before anything is opened.

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
    """A checksum of a file's size, head, middle and tail, 4 kB each: cheap, and another one in practice for another content."""
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


def _sealed(document: dict) -> str:
    """A document as JSON text that ends with the checksum of the rest."""
    text = json.dumps(document, indent=1)
    return json.dumps({**document, _CHECKSUM: checksum(text.encode())}, indent=1) + "\n"


def _sync_folder(folder: Path) -> None:
    """Make a move within a folder outlive a power cut, where the system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
