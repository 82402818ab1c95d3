"""Tables: CSV files as text, and what their cells mean."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd

Meaning = TypeVar("Meaning")


def read_text_table(path: Path, needed: Iterable[str], wanted: Iterable[str] | None = None) -> pd.DataFrame:
    """A CSV file with every cell as stripped text; empty cells are "".

    Parameters
    ----------
    path : path
    needed : iterable of str
        Columns that must be there; "a|b": one of these.
    wanted : iterable of str, optional
        Read only these columns and the needed ones, as far as they are there; default: all.

    Raises
    ------
    FileNotFoundError
        No such file.
    ValueError
        No table of text in UTF-8, without rows, or a needed column is missing; those found are listed.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no table {path}")
    needed = [column.split("|") for column in needed]
    chosen = None if wanted is None else {*wanted, *(name for names in needed for name in names)}
    try:
        table = pd.read_csv(
            path,
            dtype=str,
            keep_default_na=False,
            encoding="utf-8-sig",
            usecols=None if chosen is None else lambda column: column.strip() in chosen,
        )
        found = list(pd.read_csv(path, nrows=0, encoding="utf-8-sig").columns.str.strip())
    except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise ValueError(f"{path} is not a UTF-8 table of comma-separated values: {error}") from error
    if missing := [" or ".join(names) for names in needed if not set(names) & set(found)]:
        raise ValueError(f"{path} has no column {', '.join(missing)}; it has {', '.join(found)}")
    if table.empty:
        raise ValueError(f"{path} has columns, but no rows")
    table = table.set_axis(table.columns.str.strip(), axis=1)
    return table.apply(lambda column: column.str.strip())


def first_column(table: pd.DataFrame, *names: str) -> pd.Series:
    """The first of the columns that the table has; empty text where it has none of them."""
    for name in names:
        if name in table:
            return table[name]
    return pd.Series("", index=table.index)


def understood(column: pd.Series, meaning: Callable[[str], Meaning], place: str) -> list[Meaning]:
    """What each cell means.

    Parameters
    ----------
    column : Series of str
        Indexed by the number of the row in its file, from 0.
    meaning : callable
        Raises ValueError, with what was expected, for a cell that it does not understand.
    place : str
        The file, for messages.

    Raises
    ------
    ValueError
        Names the file, the line, the column and the cell.
    """
    meanings = {}
    for row, cell in column.drop_duplicates().items():
        try:
            meanings[cell] = meaning(cell)
        except ValueError as error:
            raise ValueError(f"{place}, line {row + 2}, column {column.name!r}: {cell!r} is not {error}") from None
    return [meanings[cell] for cell in column]


def whole_numbers(values: Sequence[int | None]) -> np.ndarray:
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
