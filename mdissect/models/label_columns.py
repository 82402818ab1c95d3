"""Columns of a table as labels of its images: the meaning of each value, and notes on the interpretation."""

import math
import re
import warnings
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pandas import Series

YES, NO = ("true", "1"), ("false", "0")
# A column with a label of its own for this part of its images, or more, is taken for an id.
ID_LIKE, FEWEST_IMAGES = 0.9, 10
_WHOLE = re.compile(r"(?<![\w.])([+-]?\d+)\.0+(?![\w.])")
_BETWEEN = re.compile(r"(?:[\s_=]|(?<=\w)-(?=\w)|(?<=\s)-(?=\s))+")


@dataclass(frozen=True)
class ColumnLabels:
    """Labels of each image, images whose true-or-false label is unknown, and notes."""

    rows: list[list[str]]
    unknown: list[bool]
    notes: tuple[str, ...]


def read_labels(column: "Series", category: bool = False) -> ColumnLabels:
    """The labels of a column; with `category` each value is a label, also 0 and 1.

    Otherwise a column that holds nothing but true and false, or 1 and 0, is itself the label.
    """
    cells = [_cell(value) for value in column]
    values = {text.lower() for texts in cells for text in texts}
    single = all(len(texts) <= 1 for texts in cells)
    if values and values <= {*YES, *NO} and single and not category:
        return _flags(str(column.name), cells, values)
    return _categories(str(column.name), cells)


def plain(text: str) -> str:
    """A label for comparison: lower case, single blanks for underscores, hyphens and equals signs, 1 for 1.0.

    >>> plain("BI-RADS_1.0")
    'bi rads 1'
    """
    lower = _WHOLE.sub(r"\1", text.lower().strip())
    return " ".join(_BETWEEN.split(lower)).strip() or lower


def _flags(name: str, cells: list[list[str]], values: set[str]) -> ColumnLabels:
    """A column that is itself the label."""
    rows = [[name] if texts and texts[0].lower() in YES else [] for texts in cells]
    unknown = [not texts for texts in cells]
    note = f"column {name!r} holds {' and '.join(sorted(values))} alone: taken as one label, which an image has or not"
    if values & {"0", "1"}:
        note += f" (categories={name!r} makes a label of each value)"
    notes = [note]
    if any(unknown):
        notes.append(
            f"column {name!r} is empty for {sum(unknown)} of {len(cells)} images: they may have the label or not, and count as "
            "the part of the others that have it; probe.subset(dissector.known) leaves them out, which is fairer"
        )
        warnings.warn(notes[-1], stacklevel=5)
    return ColumnLabels(rows, unknown, tuple(notes + _contrast(name, rows, len(cells) - sum(unknown))))


def _categories(name: str, cells: list[list[str]]) -> ColumnLabels:
    """A column whose values are labels; different spellings are merged."""
    counts = Counter(text for texts in cells for text in texts)
    spellings: dict[str, list[str]] = {}
    for text in sorted(counts, key=lambda text: (-counts[text], text)):
        spellings.setdefault(plain(text), []).append(text)
    known = {text: together[0] for together in spellings.values() for text in together}
    rows = [sorted({known[text] for text in texts}) for texts in cells]
    labelled = sum(map(bool, rows))
    without = f"; {len(rows) - labelled} of {len(rows)} images without one" if labelled < len(rows) else ""
    notes = [f"column {name!r}: {len(spellings)} labels{without}"]
    merged = [" = ".join(map(repr, together)) for together in spellings.values() if len(together) > 1]
    notes += [f"column {name!r}: one label in several spellings: {'; '.join(merged)}"] * bool(merged)
    if labelled >= FEWEST_IMAGES and len(spellings) >= ID_LIKE * labelled:
        notes.append(f"column {name!r} has {len(spellings)} labels for {labelled} images, as ids and measurements have")
        warnings.warn(f"{notes[-1]}: with hardly two images of a label there is nothing to respond to", stacklevel=5)
    return ColumnLabels(rows, [False] * len(rows), tuple(notes + _contrast(name, rows, len(rows))))


def _contrast(name: str, rows: list[list[str]], n_known: int) -> list[str]:
    """A note on labels that every image has."""
    counts = Counter(label for row in rows for label in row)
    everywhere = [label for label, count in counts.items() if count == n_known]
    return [f"column {name!r}: every image has {', '.join(map(repr, everywhere))}: no contrast"] if everywhere else []


def _cell(value: object) -> list[str]:
    """A table's value as a list of strings without blanks."""
    if isinstance(value, (list, tuple, set, frozenset, np.ndarray)):
        return sorted({text for part in value for text in _cell(part)})
    if isinstance(value, str):
        return sorted(_texts(value.split(";")))
    if not _known(value):
        return []
    whole = isinstance(value, (float, np.floating)) and math.isfinite(value) and value == int(value)
    return [str(int(value) if whole else value)]


def _texts(parts: Iterable[str]) -> set[str]:
    """Parts without blanks around them, whole numbers without a fraction of 0."""
    stripped = (part.strip() for part in parts)
    return {number[1] if (number := _WHOLE.fullmatch(part)) else part for part in stripped} - {""}


def _known(value: object) -> bool:
    """Whether a value is present, unlike NaN, NaT and pandas' NA."""
    from pandas import isna

    return not isna(value)
