"""A store of computed arrays in blocks of rows, keyed by everything that they depend on.

An entry is one zarr array (n_images, n) in a folder named after the hash of its key, with ``key.json`` (what produced it,
to be read by people) and one small record per finished chunk of rows: the checksum of its values and of where they belong.
A chunk counts only with its record, so a killed run resumes where it was; a chunk that does not meet its record (damaged,
or copied from elsewhere) counts as missing and is computed again. Only plain bytes and zstd are read: an array whose metadata
names another codec, which could be one that runs code, counts as missing too. One process at a time fills an entry; others
wait for its lock, which the system frees when its owner dies.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np

from mdissect.arguments import some_path
from mdissect.files import write_atomically

FORMAT = 1
CHUNK_ROWS = 64
READ_ROWS = 512  # that are read in one go: zarr reads their chunks side by side, and larger blocks cost it more
ABOUT = "about.json"  # names for people; nothing depends on them
PLAIN, PACKED = ["bytes"], ["bytes", "zstd"]  # the codecs of an array that we wrote
SPARSE = 0.75  # share of zeros in the first chunk from which on chunks are compressed


class StoreError(OSError):
    """The store cannot be written or read; what it already holds stays as it is."""


class Store:
    """A folder of entries, made when missing (StoreError where it cannot be).

    >>> store = Store("data/store")
    >>> entry = store.entry({"kind": "activations", "layer": "blocks.2", "weights": "4f…"}, n_rows=500)
    >>> entry.missing()
    [0, 1, 2, 3, 4, 5, 6, 7]
    """

    def __init__(self, folder: str | os.PathLike):
        self.folder = Path(folder)
        with _explained(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)

    def entry(self, key: dict, n_rows: int, dtype: str = "float32", about: dict | None = None) -> "Entry":
        """The entry of a key, opened or made. `key` holds, as plain JSON values, all that the values depend on.

        `about`: names for people, such as {"model": ..., "probe": ...}; those of the last use stay.
        """
        kind = {} if dtype == "float32" else {"dtype": dtype}
        return Entry(self.folder, {**key, **kind, "n_rows": n_rows, "format": FORMAT}, about)


class Entry:
    """One array (n_rows, n_columns), filled in chunks of rows; the first chunk sets n_columns."""

    keep = True  # in memory what was read or written; set to False where chunks are read one by one

    def __init__(self, folder: Path, key: dict, about: dict | None = None):
        text = key_text(key)
        self.key, self.n_rows, self.dtype = key, key["n_rows"], key.get("dtype", "float32")
        self.folder = folder / entry_name(key)
        self.n_chunks = -(-self.n_rows // CHUNK_ROWS)
        self._verified: dict[int, np.ndarray] = {}
        with _explained(self.folder):
            (self.folder / "done").mkdir(parents=True, exist_ok=True)
            if not _holds(self.folder / "key.json", text.encode()):
                write_atomically(self.folder / "key.json", text.encode())
            names = json.dumps(about or {}, sort_keys=True).encode()
            if about and not _holds(self.folder / ABOUT, names):
                write_atomically(self.folder / ABOUT, names)

    def rows(self, chunk: int) -> slice:
        """The rows of a chunk."""
        return slice(chunk * CHUNK_ROWS, min((chunk + 1) * CHUNK_ROWS, self.n_rows))

    def missing(self) -> list[int]:
        """The chunks still to be computed: without a record, unreadable, or different from their record."""
        with _explained(self.folder):
            array = self._array()
        return [chunk for chunk in range(self.n_chunks) if not self._verify(chunk, array)]

    def write(self, chunk: int, values: np.ndarray) -> None:
        """Keep one chunk, values (rows of the chunk, n_columns); its record is written last."""
        rows, values = self.rows(chunk), np.ascontiguousarray(values, dtype=self.dtype)
        if values.ndim != 2 or len(values) != rows.stop - rows.start:
            raise ValueError(f"chunk {chunk} of {self.folder.name} wants {rows.stop - rows.start} rows, got {values.shape}")
        with _explained(self.folder):
            array = self._array()
            if array is None or array.shape[1] != values.shape[1]:
                array = self._make_array(values)
            array[rows] = values
            write_atomically(self._record(chunk), self._checksum(chunk, values))
        if self.keep:
            self._verified[chunk] = values

    def read(self) -> np.ndarray:
        """The whole array; StoreError while chunks are missing."""
        if missing := self.missing():
            raise StoreError(f"{self.folder.name}: {len(missing)} of {self.n_chunks} chunks are not there yet")
        return np.concatenate(list(self.chunks()))

    def chunks(self) -> Iterator[np.ndarray]:
        """The array chunk by chunk, each (rows of the chunk, n_columns); StoreError where one is missing."""
        with _explained(self.folder):
            array = self._array() if self.folder else None
        for chunk in range(self.n_chunks):
            values = self._values(chunk, array)
            if values is None:
                raise StoreError(f"{self.folder.name}: chunk {chunk} of {self.n_chunks} is not there yet")
            yield values

    @property
    def shape(self) -> tuple[int, int]:
        """(n_rows, n_columns); StoreError where no chunk is there yet."""
        with _explained(self.folder):
            return self._opened().shape

    def block(self, start: int, stop: int) -> np.ndarray:
        """Rows start to stop, (n, n_columns), of an entry in which nothing is `missing`: chunks are not verified again."""
        with _explained(self.folder):
            array = self._opened()
            block = np.empty((stop - start, array.shape[1]), dtype=self.dtype)
            for first in range(start, stop, READ_ROWS):
                last = min(first + READ_ROWS, stop)
                block[first - start : last - start] = array[first:last]
        return block

    def _opened(self):
        """The array on disk, which must be there."""
        if (array := self._array()) is None:
            raise StoreError(f"{self.folder.name}: no chunk is there yet")
        return array

    def damaged(self) -> list[int]:
        """The chunks that have a record and do not meet it; one chunk at a time is in memory."""
        found = []
        with _explained(self.folder):
            array = self._array()
            for chunk in (chunk for chunk in range(self.n_chunks) if self._record(chunk).exists()):
                found += [] if self._verify(chunk, array) else [chunk]
                self._verified.pop(chunk, None)
        return found

    def _verify(self, chunk: int, array) -> bool:
        """Whether a chunk is there."""
        return self._values(chunk, array) is not None

    def _values(self, chunk: int, array) -> np.ndarray | None:
        """The values of a chunk, kept in memory where `keep` says so; None where it is missing."""
        if chunk in self._verified or array is None:
            return self._verified.get(chunk)
        try:
            record, values = self._record(chunk).read_bytes(), np.asarray(array[self.rows(chunk)])
        except Exception:  # whatever reading damaged bytes raises
            return None
        if record != self._checksum(chunk, values):
            return None
        if self.keep:
            self._verified[chunk] = values
        return values

    def _record(self, chunk: int) -> Path:
        return self.folder / "done" / str(chunk)

    def _checksum(self, chunk: int, values: np.ndarray) -> bytes:
        """A hash of the values and their place."""
        digest = hashlib.blake2b(f"{self.folder.name} {chunk} {values.shape}".encode(), digest_size=16)
        digest.update(np.ascontiguousarray(values))
        return digest.hexdigest().encode()

    def _array(self):
        """The zarr array on disk, or None where there is none or its metadata is damaged or not as we write it."""
        import zarr

        folder = self.folder / "array.zarr"
        try:
            if [codec["name"] for codec in json.loads((folder / "zarr.json").read_bytes())["codecs"]] not in (PLAIN, PACKED):
                return None
            array = zarr.open_array(str(folder), mode="r+", zarr_format=3)
            n_columns = array.shape[-1]
            layout = (array.shape, array.chunks, str(array.dtype))
            return array if layout == ((self.n_rows, n_columns), (CHUNK_ROWS, n_columns), self.dtype) else None
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None
        except OSError:
            raise
        except Exception:  # damaged metadata may raise anything
            return None

    def _make_array(self, values: np.ndarray):
        """The array on disk, as wide as its first chunk, and compressed where that is mostly zeros.

        Activations of the demo's networks shrink to 0.8 to 0.96 of their size, and take 1.4 to 2 times as long to read: they
        stay as they are. Of sparse latents with 0.75 zeros 0.31 is left, with 0.9 zeros 0.13 (tests/benchmark_codecs.py).
        """
        import zarr

        n_columns = values.shape[1]
        packed = np.count_nonzero(values) <= (1 - SPARSE) * values.size
        return zarr.create_array(
            str(self.folder / "array.zarr"),
            shape=(self.n_rows, n_columns),
            chunks=(CHUNK_ROWS, n_columns),
            dtype=self.dtype,
            compressors=zarr.codecs.ZstdCodec(level=1) if packed else None,
            overwrite=True,
        )


class MemoryStore:
    """The same in memory: nothing is kept when the process ends."""

    def entry(self, key: dict, n_rows: int, dtype: str = "float32", about: dict | None = None) -> "MemoryEntry":
        return MemoryEntry(key, n_rows, dtype)


class MemoryEntry(Entry):
    def __init__(self, key: dict, n_rows: int, dtype: str = "float32"):
        self.key, self.n_rows, self.folder, self.dtype = key, n_rows, None, dtype
        self.n_chunks = -(-n_rows // CHUNK_ROWS)
        self._verified = {}

    def write(self, chunk: int, values: np.ndarray) -> None:
        self._verified[chunk] = np.array(values, dtype=self.dtype)

    def missing(self) -> list[int]:
        return [chunk for chunk in range(self.n_chunks) if chunk not in self._verified]


StoreLike = Store | MemoryStore | str | os.PathLike | None


def open_store(store: "Store | MemoryStore | str | os.PathLike | None") -> "Store | MemoryStore":
    """A store as it is, the store of a folder, or one in memory for None."""
    if store is None:
        return MemoryStore()
    return store if isinstance(store, (Store, MemoryStore)) else Store(some_path("store", store))


def key_text(key: dict) -> str:
    """A key as it stands in key.json."""
    return json.dumps(key, sort_keys=True, indent=1)


def entry_name(key: dict) -> str:
    """The name of the folder of an entry."""
    return f"{key.get('kind', 'array')}-{hashlib.sha256(key_text(key).encode()).hexdigest()[:20]}"


@contextmanager
def exclusive(entries: list[Entry]) -> Iterator[None]:
    """Hold the locks of several entries, taken in one order everywhere so that two processes cannot block each other."""
    from filelock import FileLock

    with ExitStack() as stack:
        for entry in sorted((entry for entry in entries if entry.folder), key=lambda entry: entry.folder.name):
            with _explained(entry.folder):
                stack.enter_context(FileLock(entry.folder / "lock"))
        yield


def _holds(path: Path, content: bytes) -> bool:
    """Whether a file exists with exactly this content."""
    try:
        return path.read_bytes() == content
    except FileNotFoundError:
        return False


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    """Re-raise an OSError as a StoreError that names the folder and what to do."""
    try:
        yield
    except StoreError:
        raise
    except OSError as error:
        raise StoreError(
            error.errno,
            f"cannot use the store at {folder}: {error.strerror or error}. Free some space or make the folder "
            "writable, or give another one (store=..., MDISSECT_STORE); what it already holds is kept, and the next run goes "
            "on from there",
        ) from error
