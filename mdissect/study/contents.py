"""Hashes of arguments by their content, never by names or addresses in memory, as keys of kept results."""

import dis
import inspect
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from functools import partial
from types import CodeType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import nn

from mdissect.concepts import ConceptSet, Prompts
from mdissect.dissection import Dissection
from mdissect.kinds import Kind, is_record, record, type_name
from mdissect.models import Dissector, Target, weights_fingerprint
from mdissect.probes import Probe
from mdissect.values import pack

PACKAGE = __name__.partition(".")[0]

#: The kinds of mdissect's own that can be kept.
OWN_KINDS: Mapping[type, Kind] = {
    Dissection: record(Dissection),
    ConceptSet: Kind(
        "ConceptSet",
        lambda one: [one.table, list(one.notes), one.prompts.stated()],
        lambda parts: ConceptSet(parts[0], parts[1], Prompts(**parts[2])),
    ),
}

#: Replacements for things that cannot be kept but are known by their content.
_KNOWN_BY: tuple[tuple[type | tuple[type, ...], Callable[[Any], Any]], ...] = (
    (Probe, lambda one: [one.name, one.key(), one.table]),
    (Target, lambda one: [one.name, one.present_fingerprint(), one.preprocess.key(), list(one.layers)]),
    (Dissector, lambda one: [one.name, one.fingerprint, one.text_fingerprint, one.preprocess and one.preprocess.key()]),
    (nn.Module, weights_fingerprint),
    (torch.Tensor, lambda one: [str(one.dtype), list(one.shape), _tensor_bytes(one)]),
    ((torch.dtype, torch.device, np.dtype), str),
    (np.memmap, np.asarray),
    (Enum, lambda one: one.name),
    (ModuleType, lambda one: one.__name__),
    (MethodType, lambda one: [one.__func__, one.__self__]),
    (partial, lambda one: [one.func, one.args, one.keywords]),
    (CodeType, lambda one: [one.co_code, one.co_names, one.co_varnames, one.co_consts]),
    (type(...), lambda _: None),
    (Mapping, lambda one: [list(pair) for pair in one.items()]),
)


def content_digest(value: object) -> str:
    """A hash of an argument: equal content, equal hash, in every process.

    The order of a dict counts: a result may depend on it. A function of mdissect is known by its name,
    any other by its code, its defaults and what it encloses; one of a notebook or script also by the globals that it reads.

    Raises
    ------
    TypeError
        It holds a thing that is not known by its content.
    """
    return pack(value, OWN_KINDS, _Contents().of).digest()


class _Contents:
    """The hashed form of a thing; a recursive function is visited once."""

    def __init__(self):
        self.met: list[Callable] = []

    def of(self, value: Any) -> tuple[str, Any]:
        cls = type(value)
        for known, parts in _KNOWN_BY:
            if isinstance(value, known):
                return type_name(cls), parts(value)
        if is_record(cls):
            return type_name(cls), record(cls).parts(value)
        if callable(value) and (name := getattr(value, "__qualname__", getattr(value, "__name__", ""))):
            return f"{getattr(value, '__module__', '')}.{name}", self._code(value)
        raise TypeError(f"a {type_name(cls)} is not known by its content")

    def _code(self, function: Any) -> Any:
        """Of a function or class: what it does, as far as it is not mdissect's own."""
        module = getattr(function, "__module__", None) or ""
        if module.partition(".")[0] == PACKAGE:
            return None
        if (place := next((i for i, one in enumerate(self.met) if one is function), None)) is not None:
            return place
        self.met.append(function)
        if isinstance(function, type):
            inner = vars(function).items() if module == "__main__" else ()
            return [[name, one] for name, one in inner if hasattr(inspect.unwrap(one), "__code__")]
        code = getattr(function, "__code__", None)
        cells = [cell.cell_contents for cell in getattr(function, "__closure__", None) or ()]
        read = _globals_read(function) if code and module == "__main__" else {}
        defaults = getattr(function, "__defaults__", None), getattr(function, "__kwdefaults__", None)
        return [code, cells, list(defaults), read, getattr(function, "__wrapped__", None)]


def _globals_read(function: Callable) -> dict[str, Any]:
    names = {
        step.argval for code in _codes(function.__code__) for step in dis.get_instructions(code) if step.opname == "LOAD_GLOBAL"
    }
    return {name: function.__globals__[name] for name in sorted(names & function.__globals__.keys())}


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _tensor_bytes(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
