"""Reads and writes tables: separated text and workbooks (see `lines`), every cell as text.

No word is a missing value: "None" and "NA" are texts, an empty cell is "".
"""

from __future__ import annotations

import csv
import difflib
import re
from collections import Counter
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd

from mdissect import text_storage  # noqa: F401  # for what it sets
from mdissect.arguments import shown, some_path
from mdissect.files import write_atomically
from mdissect.lines import SEPARATORS, table_lines

_GUARDED = re.compile("'*\\s*[=+\\-@\t\r\uff1d\uff0b\uff0d\uff20]")
_UNDONE = re.compile("'(?='*\\s*[=+\\-@\t\r\uff1d\uff0b\uff0d\uff20])")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
# What a column of numbers does not hold: leading zeros, more digits than a float keeps of a whole number, letters.
_NO_NUMBERS = re.compile(r"^[+-]?(?:0[0-9]|[0-9]{16})|[^0-9+\-.eE\n]", re.MULTILINE)
_BOOL = {"true": True, "false": False}
MISSING_WORDS = {
    "NA", "N/A", "na", "n/a", "NaN", "nan", "None", "none", "NULL", "Null", "null", "-", "?", "unknown", "missing",
}  # fmt: skip


def read_text_table(
    path: str | Path,
    needed: Iterable[str] = (),
    wanted: Iterable[str] | None = None,
    own: bool = False,
    may_be_empty: bool = False,
    sheet: str | None = None,
) -> pd.DataFrame:
    """A table with every cell as text, indexed by the line of the file (or row of the sheet) in which each row begins.

    >>> read_text_table("labels.csv", needed=["image_id|file"]).loc[2, "class"]                 # doctest: +SKIP
    'mass'

    Blanks around cells and names, blank lines, and a last column without name and content (a comma at the end of every line)
    are no part of the table. A first column without a name is called "Unnamed: 0", as pandas does.

    Parameters
    ----------
    needed : iterable of str
        Columns that must be there ("a|b": one of these).
    wanted : iterable of str, optional
        Read only these beside the needed ones, where they are there. Default: all.
    own : bool
        A file of `write_table`: cells are exactly what was written.
    may_be_empty : bool
        Whether a header without rows is a table.
    sheet : str, optional
        Of several sheets of a workbook with the needed columns, the one that is read.

    Raises
    ------
    FileNotFoundError
        No such file.
    ValueError
        It cannot be read as a table, a row is longer or shorter than the header, a column is there twice or missing,
        or there are no rows; the message names file and line.
    """
    path, needed = some_path("path", path), [column.split("|") for column in needed]
    lines = table_lines(path, [name for names in needed for name in names], sheet)
    first, header = _header(lines, needed, path, own)
    chosen = set(header) if wanted is None else {"", *wanted, *(name for names in needed for name in names)}
    numbers, columns = _even_columns(lines, header, chosen, path, own)
    _check_nameless(header, numbers, columns, f"{path}, line {first}")
    if not numbers and not may_be_empty:
        raise ValueError(f"{path} has columns, but no rows")
    clean = _unguarded if own else str.strip
    table = {name: list(map(clean, cells)) for name, cells in zip(header, columns, strict=True) if name and name in chosen}
    return pd.DataFrame(table, index=pd.Index(numbers, dtype=int, name="line"), dtype=str)


def first_column(table: pd.DataFrame, *names: str) -> pd.Series:
    """The first of these columns in the table; empty texts if it has none of them."""
    for name in names:
        if name in table:
            return table[name]
    return pd.Series("", index=table.index)


def _header(lines: Iterable[tuple[int, list[str]]], needed: list[list[str]], path: Path, own: bool) -> tuple[int, list[str]]:
    """The header: the first line that is not blank, with all needed names and none twice."""
    first, header = next(((number, cells) for number, cells in lines if any(map(str.strip, cells))), (1, []))
    if not header:
        raise ValueError(f"{path} is empty; expected a table with a header")
    header = [_unguarded(name) if own else name.replace("\ufeff", "").strip() for name in header]
    header[0] = header[0] or "Unnamed: 0"
    if missing := [" or ".join(names) for names in needed if not set(names) & set(header)]:
        close = difflib.get_close_matches(missing[0].casefold(), [name.casefold() for name in header], n=1)
        hint = f" (closest: {next(name for name in header if name.casefold() == close[0])})" if close else ""
        raise ValueError(f"{path} has no column {', '.join(missing)}; it has {', '.join(filter(None, header))}{hint}")
    if twice := [name for name, count in Counter(filter(None, header)).items() if count > 1]:
        raise ValueError(f"{path}, line {first}: the column {twice[0]!r} stands there {header.count(twice[0])} times; keep one")
    return first, header


def _even_columns(
    lines: Iterable[tuple[int, list[str]]], header: list[str], chosen: set[str], path: Path, own: bool
) -> tuple[list[int], list[list[str]]]:
    """The lines of the rows, and the cells of each chosen column; ValueError for a row longer or shorter than the header."""
    width, numbers, columns = len(header), [], [[] for _ in header]
    kept = [position for position, name in enumerate(header) if name in chosen]
    first_longer, n_longer = None, 0
    while some := list(islice(lines, 1000)):
        rows = [(number, cells) for number, cells in some if cells and (own or any(map(str.strip, cells)))]
        for number, cells in rows:
            if len(cells) == width:
                continue
            if not own and not any(header[len(cells) : width]):
                cells += [""] * (width - len(cells))  # the comma at the end stands in the header alone
            if len(cells) < width or any(map(str.strip, cells[width:])):
                raise _uneven(path, number, cells, width)
            if len(cells) > width:
                first_longer, n_longer = first_longer or (number, cells), n_longer + 1
        numbers += [number for number, _ in rows]
        for position in kept:
            columns[position] += [cells[position] for _, cells in rows]
    if n_longer not in (0, len(numbers)):  # a comma at the end of some lines alone may be a cell that slipped
        raise _uneven(path, *first_longer, width)
    return numbers, columns


def _uneven(path: Path, number: int, cells: list[str], width: int) -> ValueError:
    found = f"{len(cells)} cell{'s' if len(cells) != 1 else ''} under {width} column{'s' if width != 1 else ''}"
    advice = "fill the row up" if len(cells) < width else "put quotation marks around a cell that holds the separator"
    return ValueError(f"{path}, line {number}: {found}: {shown(cells)}; {advice}")


def _check_nameless(header: list[str], numbers: list[int], columns: list[list[str]], place: str) -> None:
    """Raise ValueError for a column with cells but no name."""
    for position, (name, cells) in enumerate(zip(header, columns, strict=True), start=1):
        for line, cell in zip(numbers, () if name else cells, strict=False):
            if cell.strip():
                raise ValueError(f"{place}: column {position} has no name, but cells (line {line}: {shown(cell)}); name it")


# Numbers


def with_numbers(table: pd.DataFrame, keep: Iterable[str] = ()) -> tuple[pd.DataFrame, list[str]]:
    """The table with columns of numbers as numbers and empty cells as missing; and notes on columns that nearly are.

    A column is one of numbers when every cell that is not empty is a plain decimal number, without leading zeros, of at most 15
    digits before the point: int64, or float64 with NaN where there are fractions or empty cells. It is one of bool when every
    cell is true or false. All others stay text, with NaN for empty cells; so do those of `keep`.
    """
    kept, notes, columns = set(keep), [], {}
    for name, column in table.items():
        cells = column.tolist()
        filled = [cell for cell in cells if cell]
        values = None if name in kept else _numbers(filled)
        if not filled:
            columns[name] = pd.Series(np.nan, index=column.index)
        elif values is None:
            columns[name] = column.where(column != "")
            if name not in kept and (nearly := _nearly_numbers(filled)):
                notes.append(f"column {name!r} holds numbers and {nearly}")
        elif len(filled) == len(cells):
            columns[name] = pd.Series(values, index=column.index)
        else:
            columns[name] = pd.Series(np.nan, index=column.index, dtype=object if values.dtype == bool else float)
            columns[name][np.array(cells, dtype=object) != ""] = values
    return pd.DataFrame(columns, index=table.index), notes


def _nearly_numbers(cells: list[str]) -> str:
    """Why a column is not numeric, if because of a word for missing, or commas; else nothing."""
    words = Counter(cell for cell in cells if cell in MISSING_WORDS)
    rest = [cell for cell in cells if cell not in words]
    if words and (numbers := _numbers(rest)) is not None and numbers.dtype != bool:
        said = ", ".join(f"{word!r} ({count})" for word, count in words.items())
        return f"{said}: kept as text; leave cells empty where nothing is known"
    if any("," in cell for cell in cells) and _numbers([cell.replace(",", ".", 1) for cell in cells]) is not None:
        return "commas in them: kept as text; write numbers with a point"
    return ""


def _numbers(cells: list[str]) -> np.ndarray | None:
    """Texts as int64, float64 or bool; None if there is none, or one is not a plain number."""
    if not cells:
        return None
    if cells[0].casefold() in _BOOL:
        found = [_BOOL.get(cell.casefold()) for cell in cells]
        return None if None in found else np.array(found)
    if _NO_NUMBERS.search("\n".join(cells)):
        return None
    for kind, dtype in ((int, np.int64), (float, np.float64)):
        try:
            values = np.array(list(map(kind, cells)), dtype=dtype)
        except ValueError:
            continue
        return values if np.isfinite(values).all() else None
    return None


# Writing


def write_table(path: str | Path, table: pd.DataFrame, private: bool = False) -> None:
    """Write a table as CSV (UTF-8, without its index), completely or not at all; `read_text_table(path, own=True)` reads it.

    No text is taken for a formula by a spreadsheet: one that begins with =, +, -, @, a tab or a carriage return (after any
    blanks and apostrophes) gets an apostrophe before it, unless it is a plain number. `private`: only its owner can read it.

    Raises
    ------
    ValueError
        A text that UTF-8 cannot hold, or one with a zero byte.
    """
    path, guarded = some_path("path", path), table.rename(columns=_guarded)
    for position, kind in enumerate(guarded.dtypes):
        if kind.kind == "O":
            guarded.isetitem(position, guarded.iloc[:, position].astype(object).map(_guarded))
    text = guarded.to_csv(index=False, lineterminator="\n")
    misleading = text.startswith(("sep=", "\ufeff")) or any(set(SEPARATORS) & set(str(name)) for name in guarded)
    if misleading or "\r" in text:  # which csv leaves without quotation marks
        text = guarded.to_csv(index=False, lineterminator="\n", quoting=csv.QUOTE_ALL)
    try:
        data = text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{path}: the table holds {error.object[error.start]!r}, which is not a character") from None
    if b"\0" in data:
        raise ValueError(f"{path}: the table holds a zero byte, which no CSV file can")
    write_atomically(path, data, private)


def _guarded(cell: object) -> object:
    return f"'{cell}" if isinstance(cell, str) and _GUARDED.match(cell) and not _NUMBER.fullmatch(cell) else cell


def _unguarded(cell: str) -> str:
    return cell[1:] if _UNDONE.match(cell) else cell
