"""Settings given on the command line as NAME=VALUE."""

import ast
import math
from collections.abc import Sequence

from mdissect.arguments import shown

MOST = 2**63 - 1  # of whole numbers: what tables, arrays and JSON readers hold
OPENING = "[{('\""  # how lists, mappings and quoted texts begin; a plain text never does


def parse_settings(settings: Sequence[str], option: str = "--set") -> dict:
    """["n_images=500", "probe=folder"] as {"n_images": 500, "probe": "folder"}: Python literals, else texts.

    ValueError: not NAME=VALUE, a name given twice, a list or mapping with a syntax error, or a value that JSON cannot represent
    (a set, bytes, an infinite number), as notebooks store their parameters as JSON.
    """
    parsed = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals or not name.isidentifier():
            raise ValueError(f"{option} {shown(setting)} is not NAME=VALUE, such as n_images=500")
        if name in parsed:
            raise ValueError(f"{option} gives {name} twice: {shown(parsed[name])} and {shown(text)}")
        parsed[name] = _value(text, f"{option} {name}={shown(text)}")
    return parsed


def _value(text: str, said: str) -> object:
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:  # of 50,000 minus signs: the last two
        if text.startswith(tuple(OPENING)):
            raise ValueError(
                f"{said} is not a Python list, mapping or text: texts need quotes and brackets must close, such as ['M', 'C1']"
            ) from error
        value = text
    if fault := _fault(value):
        raise ValueError(
            f"{said} holds {fault}; write numbers, texts, True, False, None, lists [...] and mappings {{'a': ...}}"
        )
    return value


def _fault(value: object) -> str:
    """The part of a literal that JSON cannot represent, in words; "" if there is none."""
    if isinstance(value, (list, tuple)):
        return next(filter(None, map(_fault, value)), "")
    if isinstance(value, dict):
        wrong = next((key for key in value if not isinstance(key, str)), None)
        keys = f"the key {shown(wrong)}, which is not text" if wrong is not None else ""
        return keys or next(filter(None, map(_fault, [*value, *value.values()])), "")
    if isinstance(value, str):
        return "bytes that are no UTF-8" if any("\ud800" <= letter <= "\udfff" for letter in value) else ""
    if isinstance(value, float):
        return "" if math.isfinite(value) else "a number that is not finite"
    if isinstance(value, int):
        return "" if abs(value) <= MOST else "a whole number of more than 64 bits"
    return "" if value is None else f"a {type(value).__name__}"
