"""What the cells of mammogram tables mean.

The probes of mammograms share their first columns, whatever their source calls them: patient, laterality (L, R), view (CC,
MLO, ...), density (A to D), birads (a whole number) and findings (joined by "; "). What is not known is empty, or NaN.
"""

import re
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import pandas as pd

Parsed = TypeVar("Parsed")

SHARED = ("patient", "laterality", "view", "density", "birads", "findings")
NO_FINDING = "no finding"


def laterality(cell: str) -> str:
    """ "L" or "R" from any spelling; "" if unknown.

    >>> laterality("left"), laterality("R"), laterality("")
    ('L', 'R', '')
    """
    return _looked_up(cell, {"": "", "L": "L", "LEFT": "L", "R": "R", "RIGHT": "R"}, "a side (L or R)")


def view(cell: str) -> str:
    """A view's code in capitals, such as "CC" or "MLO"."""
    return cell.upper()


def density(cell: str) -> str:
    """ "A" to "D" from "DENSITY C", "Density c", "C", "3" or "3.0"; "" where it is not known.

    >>> density("DENSITY C"), density("b"), density("4"), density("")
    ('C', 'B', 'D', '')
    """
    match = re.fullmatch(r"(?:.*\s|)(?:([A-D])|([1-4])(?:\.0)?)", cell.upper()) if cell else None
    if cell and not match:
        raise ValueError("a density (A to D, or 1 to 4)")
    return "" if not match else match[1] or "ABCD"[int(match[2]) - 1]


def birads(cell: str) -> int | None:
    """The category's number from "BI-RADS 4", "BIRADS 4", "Bi-Rads 4A", "4" or "4.0"; None where it is not known.

    >>> birads("BI-RADS 4"), birads("bi rads 4b"), birads("2.0"), birads("")
    (4, 4, 2, None)
    """
    match = re.fullmatch(r"(?:BI[- ]?RADS[ :]*)?(?:([0-6])(?:\.0)?|4[ABC])", cell.upper()) if cell else None
    if cell and not match:
        raise ValueError("a BI-RADS category (0 to 6)")
    return None if not match else int(match[1] or 4)


def finding_names(cell: str) -> tuple[str, ...]:
    """Findings in lower case, in order, from a list as text; none for "no finding".

    >>> finding_names("['Suspicious Calcification', 'Mass']"), finding_names("['No Finding']"), finding_names("Mass")
    (('suspicious calcification', 'mass'), (), ('mass',))
    """
    parts = (part.strip(" \t'\"").lower() for part in cell.strip("[]() ").split(","))
    return tuple(dict.fromkeys(part for part in parts if part not in ("", NO_FINDING)))


def parse_column(column: pd.Series, parse: Callable[[str], Parsed], place: str) -> list[Parsed]:
    """What each cell of a text column means; ValueError with file, line, column and cell where `parse` raises one.

    `column` is indexed by the line of its file; `parse` raises ValueError with what was expected.
    """
    parsed = {}
    for line, cell in column.drop_duplicates().items():
        try:
            parsed[cell] = parse(cell)
        except ValueError as error:
            raise ValueError(f"{place}, line {line}, column {column.name!r}: {cell!r} is not {error}") from None
    return [parsed[cell] for cell in column]


def as_integers(values: Sequence[int | None]) -> np.ndarray:
    """int64 where all are known, else float64 with NaN for the others."""
    known = all(value is not None for value in values)
    return np.array([np.nan if value is None else value for value in values], dtype=np.int64 if known else np.float64)


def number(cell: str) -> float:
    """A finite number; NaN for an empty cell."""
    try:
        value = float(cell or "nan")
    except ValueError:
        value = np.inf
    if np.isinf(value):
        raise ValueError("a number")
    return value


def _looked_up(cell: str, known: dict[str, str], expected: str) -> str:
    if cell.upper() not in known:
        raise ValueError(expected)
    return known[cell.upper()]
