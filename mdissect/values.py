"""Values as JSON and plain bytes, and back: numbers, text, containers, arrays and tables, without pickle.

A value becomes a tree of JSON and a list of arrays. JSON's own values stay as they are; any other is an object with one
key, its kind: ``{"tuple": [1, 2]}``. Reading makes the kinds of a table and nothing else, whatever a file says.
"""

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from mdissect.kinds import COLUMNS, KINDS, Kind, type_name

_RAW = "?bhilqBHILQefdFDUSMm"  # dtypes by character: no objects, and no long doubles, whose padding may hold anything
_READ, _ARRAYS = "value.json", "arrays.bin"

Kinds = Mapping[type, Kind]
Other = Callable[[Any], tuple[str, Any]]


class Packed(NamedTuple):
    """A value as a tree of JSON, and the arrays to which it refers by number."""

    tree: Any
    arrays: list[np.ndarray]

    def digest(self) -> str:
        """A hash of the content; how an array lies in memory does not count."""
        found = hashlib.blake2b(_json(self.tree), digest_size=16)
        for array in self.arrays:
            found.update(f"{array.dtype.str} {array.shape} ".encode())
            found.update(array.tobytes())
        return found.hexdigest()

    def to_files(self) -> dict[str, bytes]:
        """The tree and the make of the arrays as JSON, and the bytes of the arrays, one after the other."""
        orders = ["F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C" for array in self.arrays]
        make = [[array.dtype.str, list(array.shape), order] for array, order in zip(self.arrays, orders, strict=True)]
        data = b"".join(array.tobytes(order) for array, order in zip(self.arrays, orders, strict=True))
        return {_READ: _json({"arrays": make, "value": self.tree}), _ARRAYS: data}

    @classmethod
    def from_files(cls, read: Callable[[str], bytes]) -> "Packed":
        """What `to_files` gave, by a function from a file's name to its bytes."""
        document, data = json.loads(read(_READ)), read(_ARRAYS)
        arrays, start = [], 0
        for name, shape, order in document["arrays"]:
            dtype, count = np.dtype(name), math.prod(shape)
            flat = np.frombuffer(data, dtype, count, start) if count else np.zeros(0, dtype)
            arrays.append(flat.reshape(shape, order=order).copy(order))
            start += flat.nbytes
        return cls(document["value"], arrays)


def pack(value: object, kinds: Kinds | None = None, other: Other | None = None) -> Packed:
    """A value split into JSON and arrays.

    Parameters
    ----------
    kinds : mapping of type to Kind
        Beside `KINDS`.
    other : callable
        For hashes only: replaces a value of no kind by a name and simpler values.

    Raises
    ------
    TypeError
        It holds a value of no kind, which the message names.
    ValueError
        It is nested too deep, or holds itself.
    """
    packing = _Packing({**KINDS, **(kinds or {})}, other or _refused)
    try:
        return Packed(packing.pack(value), packing.arrays)
    except RecursionError:
        raise ValueError(f"a {type_name(type(value))} that is nested too deep, or holds itself, cannot be written") from None


def unpack(packed: Packed, kinds: Kinds | None = None) -> Any:
    """The value rebuilt; a ValueError, TypeError or LookupError for a tree that `pack` did not make."""
    made = {kind.name: kind.made for kind in [*KINDS.values(), *COLUMNS.values(), *(kinds or {}).values()]}
    return _made(packed.tree, {**made, **_MADE, "array": packed.arrays.__getitem__})


class _Packing:
    """The arrays collected while a value is split."""

    def __init__(self, kinds: Kinds, other: Other):
        self.kinds, self.other, self.arrays = kinds, other, []

    def pack(self, value: Any) -> Any:
        cls = type(value)
        if _is_json(value):
            return value
        if cls is list:
            return value if all(map(_is_json, value)) else [self.pack(one) for one in value]
        if cls is np.ndarray:
            return self._array(value)
        if isinstance(value, np.generic) and value.dtype.char in _RAW:
            return {"scalar": [value.dtype.str, value.tobytes().hex()]}
        if cls in (set, frozenset):
            return {cls.__name__: sorted(map(self.pack, value), key=_json)}
        kind = self.kinds.get(cls)
        if kind is None and isinstance(value, pd.api.extensions.ExtensionArray):
            kind = COLUMNS.get(type(value.dtype))
        name, parts = (kind.name, kind.parts(value)) if kind else self.other(value)
        return {name: self.pack(parts)}

    def _array(self, array: np.ndarray) -> dict:
        if array.dtype == object:  # mostly text, which is JSON as it is
            flat = array.ravel().tolist()
            rest = [[place, self.pack(one)] for place, one in enumerate(flat) if not _is_json(one)]
            return {"objects": [list(array.shape), [one if _is_json(one) else None for one in flat], rest]}
        if array.dtype.char not in _RAW:
            raise TypeError(f"an array of {array.dtype} is of no kind that can be written")
        self.arrays.append(array)
        return {"array": len(self.arrays) - 1}


def _made(tree: Any, made: Mapping[str, Callable]) -> Any:
    if type(tree) is list:
        return [_made(one, made) if type(one) in (list, dict) else one for one in tree]
    if type(tree) is not dict:
        return tree
    ((name, parts),) = tree.items()
    return made[name](_made(parts, made))


def _objects(parts: list) -> np.ndarray:
    shape, values, rest = parts
    array = np.empty(len(values), dtype=object)
    array[:] = values
    for place, one in rest:
        array[place] = one
    return array.reshape(shape)


def _scalar(parts: list) -> np.generic:
    dtype, data = np.dtype(parts[0]), bytes.fromhex(parts[1])
    return np.frombuffer(data, dtype)[0] if dtype.itemsize else dtype.type()


_MADE = {"objects": _objects, "scalar": _scalar, "set": set, "frozenset": frozenset}


def _is_json(value: Any) -> bool:
    """Whether JSON preserves this value exactly."""
    cls = type(value)
    if cls is str or cls is bool or value is None:
        return True
    return (cls is int and -(2**63) <= value < 2**63) or (cls is float and math.isfinite(value))


def _refused(value: object) -> tuple[str, Any]:
    raise TypeError(f"a {type_name(type(value))} is of no kind that can be written")


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
