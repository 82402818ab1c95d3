"""Networks that are built when they are first needed; what was found when they were built before is on record.

The record of a network is a small file in the user's folder for caches, named after a hash of all that it was built from.
"""

import hashlib
import json
import platform
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import lru_cache, partial
from importlib.metadata import version
from pathlib import Path

import torch
from torch import nn

from mdissect.files import text_bytes, write_atomically
from mdissect.models.checkpoints import CheckpointError
from mdissect.paths import cache_dir

LIBRARIES = ("timm", "tokenizers", "torch", "transformers")  # that networks are built with
FOLDER = "networks"


class Later:
    """A network that is built by a function when it is first asked for; until then it is not there.

    >>> network = Later(lambda: nn.Linear(2, 1))
    >>> network.built, network().in_features, network.built
    (False, 2, True)
    """

    def __init__(self, build: Callable[[], nn.Module], whole: "Later | None" = None):
        self._build, self._whole = build, whole
        self._module: nn.Module | None = None
        self._device: torch.device | None = None

    @property
    def built(self) -> bool:
        """Whether the network is there."""
        return self._module is not None or (self._whole is not None and self._whole.built)

    def __call__(self) -> nn.Module:
        """The network, always the same one."""
        if self._module is None:
            with torch.inference_mode(False):  # weights that are made within could never be part of a gradient
                module = self._build()
                self._module = module if self._device is None else module.to(self._device)
        return self._module

    def to(self, device: torch.device | str) -> "Later":
        """Move the network to a device, in place; where it is not built, once it is."""
        self._device = torch.device(device)
        if self._module is not None:
            with torch.inference_mode(False):
                self._module.to(device)
        return self

    def part(self, name: str) -> "Later":
        """One of the network's modules, by its name; it is built with the network."""
        return Later(partial(_part_of, self, name), self)


def _part_of(whole: Later, name: str) -> nn.Module:
    return whole().get_submodule(name)


def record_key(*parts: str) -> str:
    """The name of a record: a hash of these texts, of the code in this folder and of the libraries that it builds with."""
    return hashlib.sha256("\n".join((*parts, _builders())).encode()).hexdigest()


def on_record(key: str, names: Mapping[str, type]) -> dict | None:
    """What is on record under a key; None if nothing is, or it has not these names with values of these types."""
    try:
        found = json.loads(_file(key).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    whole = isinstance(found, dict) and all(isinstance(found.get(name), kind) for name, kind in names.items())
    return found if whole else None


def put_on_record(key: str, found: Mapping[str, object]) -> None:
    """Record what a network that was built is. CheckpointError, and the record is gone, if it told another thing.

    Where it cannot be written, the network is built and looked at each time.
    """
    before = on_record(key, {})
    with suppress(OSError):
        if before is None:
            _file(key).parent.mkdir(parents=True, exist_ok=True)
            write_atomically(_file(key), json.dumps(found).encode())
        elif before != found:
            _file(key).unlink(missing_ok=True)
    if before not in (None, found):
        raise CheckpointError(f"{_file(key)} told another network than the one that is built; it was removed: run this again")


def _file(key: str) -> Path:
    return cache_dir() / FOLDER / f"{key}.json"


@lru_cache
def _builders() -> str:
    """A hash of the code that networks are built by, and of the versions of its libraries."""
    digest = hashlib.sha256(", ".join(f"{name} {version(name)}" for name in LIBRARIES).encode())
    digest.update(platform.python_version().encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + text_bytes(path))
    return digest.hexdigest()
