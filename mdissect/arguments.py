"""The one check of arguments, whose errors say what was found and what is expected; and names in the sentences of messages.

Every check returns the value in its plain form (an int, a float, a tuple, a Path) or raises. A value outside its range is a
ValueError, a thing of another kind than expected a TypeError; both read ``name=value must be ...``.
"""

import difflib
import math
import operator
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from numbers import Real
from pathlib import Path
from reprlib import Repr

import numpy as np

_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxother = 80
_SHORT.maxlist = _SHORT.maxtuple = 4


def shown(value: object) -> str:
    """A value as messages show it: short, on one line, and a big thing by its type alone.

    >>> shown([1] * 100)
    '[1, 1, 1, 1, ...]'
    """
    if value is None or isinstance(value, (str, bytes, bool, int, float, list, tuple, dict, set, frozenset, Path, np.number)):
        with suppress(ValueError):  # a whole number of thousands of digits
            return " ".join(_SHORT.repr(value).split())
    return f"<{type(value).__name__}>"


def one_of(name: str, value: object, known: Collection) -> None:
    """Raise ValueError when an argument has none of its known values.

    >>> one_of("split", "all", ("train", "val"))
    Traceback (most recent call last):
    ValueError: split='all' is not one of 'train', 'val'
    """
    hashable = not isinstance(value, (bool, np.ndarray)) and getattr(type(value), "__hash__", None) is not None
    if not hashable or value not in list(known):
        raise ValueError(f"{name}={shown(value)} is not one of {', '.join(map(repr, known))}")


def known_option(name: str, given: Iterable[str], known: Collection[str]) -> None:
    """Raise ValueError when options are given by names that are not known; the closest known names are listed.

    >>> known_option("soft_wpmi", {"topk": 5}, ("top_k", "lam"))
    Traceback (most recent call last):
    ValueError: soft_wpmi has no option topk; it has top_k, lam (closest: top_k)
    """
    if unknown := sorted(set(given) - set(known)):
        close = difflib.get_close_matches(unknown[0], list(known), n=1)
        hint = f" (closest: {close[0]})" if close else ""
        raise ValueError(f"{name} has no option {', '.join(unknown)}; it has {', '.join(known) or 'none'}{hint}")


def whole_number(name: str, value: int, least: int, most: int | None = None) -> int:
    """An argument as an int from `least` to `most`, else ValueError; True and False are no numbers.

    >>> whole_number("n_images", 0, least=1)
    Traceback (most recent call last):
    ValueError: n_images=0 must be a whole number, 1 or more
    """
    try:
        whole = None if isinstance(value, (bool, np.bool_)) else operator.index(value)
    except TypeError:
        whole = None
    if whole is None or whole < least or (most is not None and whole > most):
        allowed = f", {least} or more" if most is None else f" from {least} to {most}"
        raise ValueError(f"{name}={shown(value)} must be a whole number{allowed}")
    return whole


def number(
    name: str,
    value: float,
    least: float | None = None,
    most: float | None = None,
    *,
    above: float | None = None,
    below: float | None = None,
) -> float:
    """An argument as a finite float within its bounds (`above` and `below` are not reached), else ValueError.

    True, False, text, NaN and infinity are no numbers here.

    >>> number("q", 5, above=0, most=1)
    Traceback (most recent call last):
    ValueError: q=5 must be a number above 0 and at most 1
    """
    real = float(value) if isinstance(value, (Real, np.number)) and not isinstance(value, (bool, np.bool_)) else math.nan
    bounds = {
        f"at least {least:g}" if least is not None else "": least is None or real >= least,
        f"above {above:g}" if above is not None else "": above is None or real > above,
        f"at most {most:g}" if most is not None else "": most is None or real <= most,
        f"below {below:g}" if below is not None else "": below is None or real < below,
    }
    if not (math.isfinite(real) and all(bounds.values())):
        allowed = " and ".join(words for words in bounds if words)
        raise ValueError(f"{name}={shown(value)} must be a {'number ' + allowed if allowed else 'finite number'}")
    return real


def true_or_false(name: str, value: bool) -> bool:
    """A switch as a bool, else TypeError: "no", 0 and None are no switches.

    >>> true_or_false("progress", "no")
    Traceback (most recent call last):
    TypeError: progress='no' must be True or False
    """
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name}={shown(value)} must be True or False")
    return bool(value)


def kind_of(name: str, value: object, kinds: type | tuple[type, ...], made_by: str) -> None:
    """Raise TypeError when an argument is another kind of thing; `made_by` says how to make the expected one.

    >>> kind_of("target", "demo/mammo", Path, "load_target(...)")
    Traceback (most recent call last):
    TypeError: target='demo/mammo' must be a Path: load_target(...) makes one
    """
    if not isinstance(value, kinds):
        names = " or ".join(kind.__name__ for kind in (kinds if isinstance(kinds, tuple) else (kinds,)))
        raise TypeError(f"{name}={shown(value)} must be a {names}: {made_by} makes one")


def texts(name: str, value: str | Sequence[str], *, one_is_many: bool = True) -> tuple[str, ...]:
    """Some texts as a tuple of at least one str, none of them empty; one str alone stands for itself where `one_is_many`.

    TypeError for what is no sequence of str, ValueError for none or an empty one.

    >>> texts("layers", "layer4")
    ('layer4',)
    """
    expected = f"{name}={shown(value)} must be a list of str"
    if isinstance(value, str):
        if not one_is_many:
            raise TypeError(f"{expected}, not one str; [{value!r}] is a list of one")
        value = (value,)
    if isinstance(value, (bytes, Mapping)) or not isinstance(value, Iterable) or getattr(value, "ndim", 1) != 1:
        raise TypeError(expected)
    found = tuple(value)
    if wrong := [one for one in found if not isinstance(one, str)]:
        raise TypeError(f"{expected}; it holds {shown(wrong[0])}")
    if not found:
        raise ValueError(f"{expected}, at least one")
    if any(not one.strip() for one in found):
        raise ValueError(f"{expected}, none of them empty")
    return tuple(map(str, found))


def some_path(name: str, value: str | os.PathLike) -> Path:
    """A path with "~" resolved; an empty one is a ValueError, for it would mean the working folder.

    >>> some_path("path", "")
    Traceback (most recent call last):
    ValueError: path='' is empty; give a folder or a file ('.' is the working folder)
    """
    if not isinstance(value, (str, os.PathLike)):
        raise TypeError(f"{name}={shown(value)} must be a path (str or Path)")
    if not str(value).strip():
        raise ValueError(f"{name}={str(value)!r} is empty; give a folder or a file ('.' is the working folder)")
    return Path(os.path.expanduser(value))


def pixel_size(size: Iterable[int]) -> tuple[int, int]:
    """A height and a width in pixels as two positive ints, else TypeError or ValueError.

    >>> pixel_size([256, 160])
    (256, 160)
    """
    expected = f"size={shown(size)} must be (height, width) in pixels, two positive whole numbers"
    try:
        height, width = (operator.index(length) for length in size)
    except (TypeError, ValueError) as error:
        raise TypeError(expected) from error
    if min(height, width) < 1:
        raise ValueError(expected)
    return height, width


def listed(names: Sequence[object], shown: int = 5) -> str:
    """The first few names, and how many more there are.

    >>> listed(["a", "b", "c"], shown=2)
    'a, b, ... (1 more)'
    """
    more = f", ... ({len(names) - shown} more)" if len(names) > shown else ""
    return ", ".join(map(str, names[:shown])) + more


def counted(names: Sequence[object], noun: str) -> str:
    """How many there are, and the first few of them.

    >>> counted(["a", "b"], "duplicate id")
    '2 duplicate ids: a, b'
    """
    return f"{len(names)} {noun}{'s' if len(names) != 1 else ''}: {listed(names)}"
