"""Checks of arguments, with errors that say what was found and what is expected, and formatting of values in messages.

Every check returns the value in its plain form (an int, a float, a tuple, a Path) or raises. A value outside its range is a
ValueError, a thing of another kind than expected a TypeError; both read ``name=value must be ...``. By these
`mdissect.signatures` checks all arguments of a public function.
"""

import difflib
import math
import operator
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from numbers import Real
from pathlib import Path
from reprlib import Repr
from typing import Any

import numpy as np

_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxother = 80
_SHORT.maxlist = _SHORT.maxtuple = 4
_SHORT.maxlevel = 2
MOST_SHOWN = 120  # letters of a value in a message


def shown(value: object) -> str:
    """A value for a message: short, on one line; large objects by their type only.

    >>> shown([1] * 100)
    '[1, 1, 1, 1, ...]'
    """
    if value is None or isinstance(value, (str, bytes, bool, int, float, list, tuple, dict, set, frozenset, Path, np.number)):
        with suppress(ValueError):  # a whole number of thousands of digits
            text = " ".join(_SHORT.repr(value).split())
            return text if len(text) <= MOST_SHOWN else f"{text[: MOST_SHOWN - 4]} ..."
    return f"<{type(value).__name__}>"


def one_of(name: str, value: object, known: Collection) -> None:
    """Raise ValueError unless an argument has one of its known values.

    >>> one_of("split", "all", ("train", "val"))
    Traceback (most recent call last):
    ValueError: split='all' is not one of 'train', 'val'
    """
    hashable = not isinstance(value, (bool, np.ndarray)) and getattr(type(value), "__hash__", None) is not None
    if not hashable or value not in list(known):
        raise ValueError(f"{name}={shown(value)} is not one of {', '.join(map(repr, known))}")


def known_option(name: str, given: Iterable[str], known: Collection[str]) -> None:
    """Raise ValueError for options with unknown names; the closest known names are listed.

    >>> known_option("soft_wpmi", {"topk": 5}, ("top_k", "lam"))
    Traceback (most recent call last):
    ValueError: soft_wpmi has no option topk; it has top_k, lam (closest: top_k)
    """
    if unknown := sorted(set(given) - set(known)):
        close = difflib.get_close_matches(unknown[0], list(known), n=1)
        hint = f" (closest: {close[0]})" if close else ""
        raise ValueError(f"{name} has no option {', '.join(unknown)}; it has {', '.join(known) or 'none'}{hint}")


def whole_number(name: str, value: int, least: int | None = None, most: int | None = None) -> int:
    """An argument as an int from `least` to `most`, else ValueError; True and False are no numbers.

    >>> whole_number("n_images", 0, least=1)
    Traceback (most recent call last):
    ValueError: n_images=0 must be a whole number, 1 or more
    """
    try:
        whole = None if isinstance(value, (bool, np.bool_)) else operator.index(value)
    except TypeError:
        whole = None
    if whole is None or (least is not None and whole < least) or (most is not None and whole > most):
        allowed = "" if least is None else f", {least} or more" if most is None else f" from {least} to {most}"
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
    try:
        real = float(value) if isinstance(value, Real) and not isinstance(value, (bool, np.bool_)) else math.nan
    except OverflowError:  # an int beyond all floats
        real = math.inf
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
    """A switch as a bool, else TypeError: "no", 0 and None are not accepted.

    >>> true_or_false("progress", "no")
    Traceback (most recent call last):
    TypeError: progress='no' must be True or False
    """
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name}={shown(value)} must be True or False")
    return bool(value)


def kind_of(name: str, value: object, kinds: type | tuple[type, ...], made_by: str = "") -> None:
    """Raise TypeError when an argument has another type; `made_by` says how to make the expected one.

    >>> kind_of("target", "demo/mammo", Path, "load_target(...)")
    Traceback (most recent call last):
    TypeError: target='demo/mammo' must be a Path: load_target(...) makes one
    """
    if not isinstance(value, kinds):
        names = " or ".join(kind.__name__ for kind in (kinds if isinstance(kinds, tuple) else (kinds,)))
        article = "an" if names[0] in "AEIOU" else "a"
        raise TypeError(f"{name}={shown(value)} must be {article} {names}" + (f": {made_by} makes one" if made_by else ""))


def texts(name: str, value: str | Sequence[str], *, one_is_many: bool = True) -> tuple[str, ...]:
    """Texts as a tuple of at least one non-empty str; with `one_is_many` a single str counts as one text.

    TypeError for what is not a sequence of str, ValueError for none or an empty one.

    >>> texts("layers", "layer4")
    ('layer4',)
    """
    expected = f"{name}={shown(value)} must be a list of str"
    if isinstance(value, str) and not one_is_many:
        raise TypeError(f"{expected}, not one str; [{value!r}] is a list of one")
    found = strings(name, value)
    if not found:
        raise ValueError(f"{expected}, at least one")
    if any(not one.strip() for one in found):
        raise ValueError(f"{expected}, none of them empty")
    return found


def strings(name: str, value: str | Iterable[str]) -> tuple[str, ...]:
    """Any number of str, also empty ones, as a tuple, else TypeError; a single str counts as one text, not as letters.

    >>> strings("baselines", ())
    ()
    """
    expected = f"{name}={shown(value)} must be a list of str"
    if isinstance(value, (bytes, Mapping)) or not isinstance(value, Iterable) or getattr(value, "ndim", 1) != 1:
        raise TypeError(expected)
    found = (value,) if isinstance(value, str) else tuple(value)
    if wrong := [one for one in found if not isinstance(one, str)]:
        raise TypeError(f"{expected}; it holds {shown(wrong[0])}")
    return tuple(map(str, found))


def table_with(*columns: str, made_by: str) -> "Check":
    """The check of a table that needs some columns; `made_by` says what returns such a one.

    >>> table_with("layer", "threshold", made_by="analysis.thresholds(...)")("thresholds", {})
    Traceback (most recent call last):
    TypeError: thresholds={} must be a DataFrame: analysis.thresholds(...) makes one
    """

    def check(name: str, value: object) -> object:
        import pandas as pd

        kind_of(name, value, pd.DataFrame, made_by)
        has_columns(name, value, *columns)
        return value

    return check


def tables_with(*columns: str, made_by: str) -> "Check":
    """The check of a mapping of names, one at least, to tables that need some columns."""
    of_one = table_with(*columns, made_by=made_by)

    def check(name: str, value: Mapping) -> Mapping:
        kind_of(name, value, Mapping, "{name: table}")
        if not value:
            raise ValueError(f"{name}={{}} must hold one table at least, by its name")
        return {key: of_one(f"{name}[{key!r}]", one) for key, one in value.items()}

    return check


def has_columns(name: str, table: Any, *columns: str) -> None:
    """Raise ValueError for a table, or one of a mapping of tables, without such a column; its columns are listed."""
    if isinstance(table, Mapping):
        for key, one in table.items():
            has_columns(f"{name}[{key!r}]", one, *columns)
        return
    if missing := [str(column) for column in columns if column not in table]:
        raise ValueError(f"{name} has no column {', '.join(missing)}; it has {listed(list(table.columns), 12) or 'none'}")


def some_path(name: str, value: str | os.PathLike) -> Path:
    """A path with "~" resolved; an empty one is a ValueError, as it would mean the working folder.

    >>> some_path("path", "")
    Traceback (most recent call last):
    ValueError: path='' is empty; give a folder or a file ('.' is the working folder)
    """
    if not isinstance(value, (str, os.PathLike)):
        raise TypeError(f"{name}={shown(value)} must be a path (str or Path)")
    if not str(value).strip():
        raise ValueError(f"{name}={str(value)!r} is empty; give a folder or a file ('.' is the working folder)")
    return Path(os.path.expanduser(value))


def pixel_size(size: Iterable[int], name: str = "size") -> tuple[int, int]:
    """A height and a width in pixels as two positive ints, else TypeError or ValueError.

    >>> pixel_size([256, 160])
    (256, 160)
    """
    expected = f"{name}={shown(size)} must be (height, width) in pixels, two positive whole numbers"
    try:
        height, width = (operator.index(length) for length in size if not isinstance(length, (bool, np.bool_)))
    except (TypeError, ValueError) as error:
        raise TypeError(expected) from error
    if min(height, width) < 1:
        raise ValueError(expected)
    return height, width


def same_length(**values: Collection) -> None:
    """Raise ValueError unless all have the same number of values.

    >>> same_length(found=[0.5], chance=[])
    Traceback (most recent call last):
    ValueError: found has 1, chance 0; give as many of each
    """
    if len({len(value) for value in values.values()}) > 1:
        (first, many), *others = ((name, len(value)) for name, value in values.items())
        raise ValueError(f"{first} has {many}, {', '.join(f'{name} {n}' for name, n in others)}; give as many of each")


def has_keys(name: str, mapping: Mapping, *keys: str) -> None:
    """Raise ValueError when a mapping, such as a finding's box, has a missing key."""
    kind_of(name, mapping, Mapping)
    if missing := [key for key in keys if key not in mapping]:
        raise ValueError(f"{name}={shown(dict(mapping))} must have {', '.join(keys)}; it lacks {', '.join(missing)}")


def image_shape(name: str, value: Iterable[int]) -> tuple[int, int]:
    """`pixel_size` as a `Check`."""
    return pixel_size(value, name)


def listed(names: Sequence[object], shown: int = 5) -> str:
    """The first few names, and the number of the others.

    >>> listed(["a", "b", "c"], shown=2)
    'a, b, ... (1 more)'
    """
    more = f", ... ({len(names) - shown} more)" if len(names) > shown else ""
    return ", ".join(map(str, names[:shown])) + more


def counted(names: Sequence[object], noun: str) -> str:
    """The number of names, and the first few of them.

    >>> counted(["a", "b"], "duplicate id")
    '2 duplicate ids: a, b'
    """
    return f"{len(names)} {noun}{'s' if len(names) != 1 else ''}: {listed(names)}"


Check = Callable[[str, Any], Any]  # of an argument's name and value; returns the plain value, or raises
INTEGER = whole_number
AT_LEAST_ONE = partial(whole_number, least=1)
POSITIVE = partial(number, above=0)
NOT_NEGATIVE = partial(number, least=0)
SHARE = partial(number, above=0, most=1)
RATE = partial(number, above=0, below=1)  # of false discoveries, or the level of an interval
