"""Tables as CSV files for people, with their types beside them, so that they are read as they were written."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pandas as pd

#: How the cells of a column are written: as they are ("text"), as numbers, or each as JSON, where an empty cell is missing.
KINDS = ("text", "int", "float", "bool", "json")


def as_texts(table: pd.DataFrame) -> tuple[pd.DataFrame, list[dict]]:
    """The table with every cell as text, and a description of each column: its kind, dtype, and what is missing in it."""
    columns = [_as_texts(column) for _, column in table.items()]
    texts = {name: pd.Series(cells, table.index, dtype=object) for name, (cells, _) in zip(table, columns, strict=True)}
    return pd.DataFrame(texts, index=table.index), [
        {"name": str(name), **described} for name, (_, described) in zip(table, columns, strict=True)
    ]


def from_texts(texts: pd.DataFrame, columns: Sequence[dict]) -> pd.DataFrame:
    """The table that `as_texts` was given; ValueError or KeyError where cells and description do not fit each other."""
    found = [_from_texts(texts.iloc[:, i].tolist(), described).set_axis(texts.index) for i, described in enumerate(columns)]
    table = pd.concat(found, axis=1) if found else pd.DataFrame(index=texts.index)
    return table.set_axis([described["name"] for described in columns], axis=1)


def _as_texts(column: pd.Series) -> tuple[list[str], dict]:
    dtype, missing = column.dtype, column.isna().tolist()
    kind = _kind(column, missing)
    if kind == "text":
        return ["" if gone else cell for cell, gone in zip(column, missing, strict=True)], {
            "kind": kind, "dtype": "str" if isinstance(dtype, pd.StringDtype) else "object", "missing": any(missing)
        }  # fmt: skip
    if kind == "json":
        cells = ["" if gone else json.dumps(cell, default=plain) for cell, gone in zip(column, missing, strict=True)]
        return cells, {"kind": kind, "dtype": "object"}
    write = float.__repr__ if kind == "float" else str
    return ["" if gone else write(cell) for cell, gone in zip(column.tolist(), missing, strict=True)], {
        "kind": kind, "dtype": str(dtype)
    }  # fmt: skip


def _kind(column: pd.Series, missing: list[bool]) -> str:
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "iufb":
        return {"i": "int", "u": "int", "f": "float", "b": "bool"}[column.dtype.kind]
    texts = [cell for cell, gone in zip(column, missing, strict=True) if not gone]
    mixed = any(missing) and "" in texts
    return "text" if all(isinstance(cell, str) for cell in texts) and not mixed else "json"


def plain(value: object) -> object:
    """What JSON has no word for as something that it has: numbers and arrays of numpy, sets; else its text."""
    return value.tolist() if hasattr(value, "tolist") else list(value) if isinstance(value, (set, frozenset)) else str(value)


_READ = {"int": int, "float": lambda cell: float(cell) if cell else np.nan, "bool": {"True": True, "False": False}.__getitem__}


def _from_texts(cells: list[str], described: dict) -> pd.Series:
    kind, dtype = described["kind"], described["dtype"]
    if kind == "text":
        values = [np.nan if cell == "" and described["missing"] else cell for cell in cells]
    elif kind == "json":
        values = [json.loads(cell) if cell else np.nan for cell in cells]
    else:
        values = list(map(_READ[kind], cells))
    array = np.empty(len(values), object)
    for place, value in enumerate(values):  # lists in cells stay whole
        array[place] = value
    return pd.Series(array, dtype=object).astype(dtype)
