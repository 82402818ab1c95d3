"""Checks a public function's arguments against its annotations before it runs."""

import builtins
import inspect
import os
import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial, wraps
from pathlib import Path

from mdissect.arguments import (
    Check,
    kind_of,
    known_option,
    number,
    one_of,
    shown,
    some_path,
    strings,
    true_or_false,
    whole_number,
)

_MAKERS = {
    "Target": "load_target(...)", "Dissector": "load_dissector(...)", "Probe": "load_probe(...)", "Dissection": "dissect(...)",
    "ConceptSet": "load_concepts(...) or ConceptSet.from_list(...)", "Study": "open_study(...)", "DataFrame": "pandas",
    "Pair": "study.compare_pair(...)", "Null": "chance.random_rankings(...)", "ndarray": "numpy.asarray(...)",
    "PassOptions": "PassOptions(batch_size=...)", "Preprocess": "Preprocess(size=...)",
    "Tensor": "torch.as_tensor(...)", "Axes": "plt.subplots()", "Figure": "plt.figure()", "Module": "torch.nn",
}  # fmt: skip


def ANYTHING(_name: str, value: object) -> object:
    """The rule of an argument that the function checks itself, with a better message."""
    return value


def validated(**rules: Check | Collection) -> Callable:
    """Decorator of a public function: its arguments are checked and converted before it runs.

    >>> @validated(top=(1, 2, 3), rule=("top", "all"))
    ... def best(table: dict, top: int = 5, rule: str = "top"):
    ...     return top
    >>> best({}, 3)
    3
    >>> best({}, rule="best")
    Traceback (most recent call last):
    ValueError: rule='best' is not one of 'top', 'all'

    The annotations say what kind of thing each one is: an int is a whole number from 0 on, a float finite, a bool no text, a
    class that class, a list of str may be one str; whatever stands in a mapping or a list is checked too. A rule, which takes
    an annotation's place, is a `Check`, or the values that are known. None is taken where it is annotated or the default.
    `best.plain("top", 0)` checks one argument alone.
    """

    def decorate(function: Callable) -> Callable:
        signature, hints = inspect.signature(function), {}
        parameters = signature.parameters
        takes_others = any(one.kind is one.VAR_KEYWORD for one in parameters.values())
        known_option(function.__name__, rules, rules if takes_others else parameters)

        def plain(name: str, value: object) -> object:
            """An argument in its plain form, or an error."""
            if not hints:
                hints.update(typing.get_type_hints(function, localns=_Names(function.__globals__)))
            rule, hint = rules.get(name), hints.get(name)
            if value is None and name in parameters and parameters[name].default is None:
                return None
            if rule is None:
                return value if hint is None else _annotated(hint, name, value)
            if callable(rule):
                return rule(name, value)
            one_of(name, value, rule)
            return value

        @wraps(function)
        def checked(*args, **kwargs):
            try:
                given = signature.bind(*args, **kwargs)
            except TypeError:
                return function(*args, **kwargs)  # Python says what is missing or unknown, and of which function
            for name, value in given.arguments.items():
                kind = parameters[name].kind
                if kind is inspect.Parameter.VAR_POSITIONAL:
                    given.arguments[name] = tuple(plain(name, one) for one in value)
                elif kind is inspect.Parameter.VAR_KEYWORD:
                    given.arguments[name] = {key: plain(key, one) if key in rules else one for key, one in value.items()}
                else:
                    given.arguments[name] = plain(name, value)
            return function(*given.args, **given.kwargs)

        checked.plain = plain
        return checked

    return decorate


_PLAIN: dict[type, Check] = {int: partial(whole_number, least=0), float: number, bool: true_or_false}
_LISTS = (Sequence, Collection, Iterable, list)


def _annotated(hint: typing.Any, name: str, value: typing.Any) -> typing.Any:
    """A value in its plain form, where it is of a kind that an annotation names; else TypeError or ValueError."""
    several = typing.get_origin(hint) in (types.UnionType, typing.Union)
    kinds = [kind for kind in (typing.get_args(hint) if several else (hint,)) if kind is not types.NoneType]
    if value is None and several and types.NoneType in typing.get_args(hint):
        return None
    if len(kinds) == 1 and kinds[0] in _PLAIN:
        return _PLAIN[kinds[0]](name, value)
    classes = tuple(typing.get_origin(kind) or kind for kind in kinds)
    if not all(isinstance(its_class, type) for its_class in classes):  # Any
        return value
    if isinstance(value, (str, os.PathLike)) and {os.PathLike, Path} & set(classes):
        return some_path(name, value)
    for its_class, inner in zip(classes, map(typing.get_args, kinds), strict=True):
        if its_class in _LISTS and inner == (str,):
            return list(strings(name, value)) if isinstance(value, list) else strings(name, value)
        is_list = its_class in _LISTS or its_class is tuple
        if is_list and (isinstance(value, Iterable if its_class is Iterable else Sequence) or hasattr(value, "__array__")):
            if not isinstance(value, (str, bytes)):
                return _items(its_class, inner, name, value)
        elif isinstance(value, its_class):
            return _values(inner, name, value) if its_class in (Mapping, dict) else value
    if isinstance(value, (str, bytes)) and str not in classes and any(one in _LISTS for one in classes):
        raise TypeError(f"{name}={shown(value)} must be a list, not a text")
    kind_of(name, value, classes, " or ".join(_MAKERS[one.__name__] for one in classes if one.__name__ in _MAKERS))
    return value


def _items(its_class: type, inner: tuple, name: str, value: typing.Any) -> typing.Any:
    """A list whose items are checked where their kind is known; a tuple has a length of its own."""
    if its_class is tuple and inner and inner[-1] is not Ellipsis:
        if len(value) != len(inner):
            raise ValueError(f"{name}={shown(value)} must be {len(inner)} values, found {len(value)}")
        return tuple(_annotated(hint, f"{name}[{i}]", one) for i, (hint, one) in enumerate(zip(inner, value, strict=True)))
    if not inner or not isinstance(value, (list, tuple)):
        return value
    return type(value)(_annotated(inner[0], f"{name}[{i}]", one) for i, one in enumerate(value))


def _values(inner: tuple, name: str, value: Mapping) -> Mapping:
    """A mapping whose values are checked where their kind is known."""
    for key, one in value.items():
        if inner:
            _annotated(inner[0], f"a key of {name}", key)
            _annotated(inner[1], f"{name}[{key!r}]", one)
    return value


class _Named(type):
    """A stand-in for a class that is imported for type checkers alone: its instances are known by the name of their class."""

    def __instancecheck__(cls, value: object) -> bool:
        return any(one.__name__ == cls.__name__ for one in type(value).__mro__)


class _Names(dict):
    """The names that annotations of a module use; a stand-in for each that it does not import at run time."""

    def __init__(self, known: Mapping):
        super().__init__()
        self.known = known

    def __missing__(self, name: str) -> object:
        return self.known[name] if name in self.known else getattr(builtins, name, None) or _Named(name, (), {})
