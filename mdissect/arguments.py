"""The one check of arguments, whose errors say what was found and what is expected; and names in the sentences of messages."""

import operator
from collections.abc import Collection, Iterable, Sequence


def one_of(name: str, value: object, known: Collection) -> None:
    """Raise ValueError when an argument has none of its known values.

    >>> one_of("split", "all", ("train", "val"))
    Traceback (most recent call last):
    ValueError: split='all' is not one of 'train', 'val'
    """
    if isinstance(value, bool) or value not in known:
        raise ValueError(f"{name}={value!r} is not one of {', '.join(map(repr, known))}")


def whole_number(name: str, value: int, least: int, most: int | None = None) -> int:
    """An argument as an int from `least` to `most`, else ValueError; True and False are no numbers.

    >>> whole_number("n_images", 0, least=1)
    Traceback (most recent call last):
    ValueError: n_images=0 must be a whole number, 1 or more
    """
    try:
        whole = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        whole = None
    if whole is None or whole < least or (most is not None and whole > most):
        allowed = f", {least} or more" if most is None else f" from {least} to {most}"
        raise ValueError(f"{name}={value!r} must be a whole number{allowed}")
    return whole


def pixel_size(size: Iterable[int]) -> tuple[int, int]:
    """A height and a width in pixels as two positive ints, else TypeError or ValueError.

    >>> pixel_size([256, 160])
    (256, 160)
    """
    expected = f"size={size!r} must be (height, width) in pixels, two positive whole numbers"
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
