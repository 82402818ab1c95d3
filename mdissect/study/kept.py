"""Results that are kept from one run to the next: a folder of plain, checked files for each call of a function.

A result lies in ``results/<code>/<function>-<arguments>/``: result.json, which says what it is and the checksums of the two
files that hold it (JSON, and the bytes of arrays). Nothing in them can name code to be run. What is damaged, missing or belongs
to another call is reported and computed again. The results of former versions (output.pkl) are never opened.
"""

import hashlib
import inspect
import platform
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache, partial, wraps
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mdissect.arguments import known_option, texts
from mdissect.files import DamagedFileError, read_together, text_bytes, write_together
from mdissect.kinds import is_record, record, type_name
from mdissect.study.contents import OWN_KINDS, content_digest
from mdissect.values import Kinds, Packed, pack, unpack

FORMAT = 1
LIBRARIES = ("numpy", "pandas", "scipy", "timm", "torch", "transformers")


def kept(function: Callable, folder: Path, ignore: Sequence[str] = ()) -> Callable:
    """A function whose results are kept in a folder; see `mdissect.study.Study.kept`."""
    if not callable(function):
        raise TypeError(f"function={function!r} must be a function")
    call = _Call(function, texts("ignore", ignore) if ignore else ())

    @wraps(function)
    def known(*args, **options):
        place = _Place(folder / code_digest(), call.document(args, options), call.kinds)
        if (found := place.read(tell=False)) is None:  # or another process is just writing it
            with place.exclusive():
                found = place.read() or place.write(function(*args, **options))
        return found[0]

    return known


class _Call:
    """A function, what its results depend on and the kinds that they may be of."""

    def __init__(self, function: Callable, ignore: Sequence[str]):
        self.function, self.ignore = function, ignore
        while isinstance(function, partial):
            function = function.func
        self.name = f"{getattr(function, '__module__', None)}.{getattr(function, '__qualname__', type(function).__name__)}"
        try:
            self.signature = inspect.signature(self.function)
        except ValueError:  # some builtins have none
            self.signature = inspect.signature(lambda *args, **options: None)
        known_option(self.name, ignore, list(self.signature.parameters))
        found = getattr(inspect.unwrap(function), "__globals__", {}).values()
        records = {cls: record(cls) for cls in found if is_record(cls)}
        within = [one for cls in records for one in vars(sys.modules[cls.__module__]).values() if is_record(one)]
        self.kinds: Kinds = {**{cls: record(cls) for cls in within}, **records, **OWN_KINDS}

    def document(self, args: tuple, options: dict) -> dict:
        """The key of a call: the hashes of its arguments, given or default."""
        bound = self.signature.bind(*args, **options)
        bound.apply_defaults()
        hashes = {"": self._hash("the function", self.function)}
        for name, value in bound.arguments.items():
            if name not in self.ignore:
                keywords = self.signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD
                hashes[name] = self._hash(f"{name}=", dict(sorted(value.items())) if keywords else value)
        return {"function": self.name, "arguments": hashes, "format": FORMAT}

    def _hash(self, what: str, value: Any) -> str:
        try:
            return content_digest(value)
        except (TypeError, ValueError, RecursionError) as error:
            raise TypeError(
                f"the result of {self.name} cannot be kept, because {what} {error}: give what it is made of, name it in "
                "ignore=[...], or call the function without kept"
            ) from error


class _Place:
    """The place of one call's result."""

    def __init__(self, folder: Path, document: dict, kinds: Kinds):
        self.root, self.document, self.kinds, self.told = folder, document, kinds, False
        name = re.sub(r"[^\w.-]+", "_", document["function"], flags=re.ASCII)[-80:]
        self.folder = folder / f"{name}-{hashlib.sha256(repr(document).encode()).hexdigest()[:20]}"

    def read(self, tell: bool = True) -> tuple[Any] | None:
        """The result; None if there is none, or a damaged one, with a warning."""
        manifest = self.folder / "result.json"
        try:
            document, read = read_together(manifest, "it is computed again")
            if document != self.document or read is None:
                raise DamagedFileError(f"{manifest} belongs to another call; it is computed again")
            return (unpack(Packed.from_files(read), self.kinds),)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except DamagedFileError as error:
            problem = str(error)
        except Exception as error:  # what reading a planted file may raise
            problem = f"{manifest} cannot be read ({error}); it is computed again"
        if tell:
            warnings.warn(problem, stacklevel=3)
        return None

    def write(self, value: Any) -> tuple[Any]:
        """Keep a result and return it as it will be read; a warning if the disk is full or read-only."""
        try:
            packed = pack(value, self.kinds)
            files = packed.to_files()
            found = unpack(Packed.from_files(files.__getitem__), self.kinds)
            if pack(found, self.kinds).digest() != packed.digest():
                raise ValueError(f"a {type_name(type(value))} like this would not come back as it is")
        except (TypeError, ValueError, RecursionError) as error:
            name = self.document["function"]
            raise TypeError(
                f"the result of {name} cannot be kept: {error}. Return numbers, text, lists, dicts, arrays, "
                "tables or dataclasses of the function's module, or call it without kept"
            ) from error
        with self._or_warn():
            write_together(self.folder / "result.json", self.document, files)
        return (found,)

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Make other processes wait for the same result; without a lock they compute it too."""
        from filelock import FileLock

        lock = None
        with self._or_warn():
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.folder / "lock")
            lock.acquire()
        try:
            yield
        finally:
            if lock is not None:
                lock.release()

    @contextmanager
    def _or_warn(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if self.told:
                return
            self.told = True
            warnings.warn(
                f"results cannot be kept in {self.root.parent} ({error.strerror or error}): they are computed in every run. "
                "Free some space, make the folder writable, or choose another store with MDISSECT_STORE",
                stacklevel=6,
            )


@lru_cache
def code_digest() -> str:
    """A hash of all modules of mdissect and of the versions of the libraries used."""
    digest, folder = hashlib.sha256(), Path(__file__).parents[1]
    for path in sorted(folder.rglob("*.py")):
        digest.update(f"{path.relative_to(folder).as_posix()}\n".encode() + text_bytes(path))
    digest.update(", ".join(f"{name} {version(name)}" for name in LIBRARIES).encode())
    digest.update(f", python {'.'.join(platform.python_version_tuple()[:2])}".encode())
    return digest.hexdigest()[:20]
