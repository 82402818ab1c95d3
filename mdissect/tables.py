"""The one reader of tables: CSV files as text."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd


def read_text_table(path: Path, needed: Iterable[str], wanted: Iterable[str] | None = None) -> pd.DataFrame:
    """A CSV file in UTF-8 with every cell as stripped text; empty cells are "".

    `needed` columns must be there ("a|b": one of these); `wanted`: read only these beside them, where they are there (default:
    all). FileNotFoundError or ValueError (no such text, no rows, a needed column missing) name the file.
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
