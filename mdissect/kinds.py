"""Kinds of value that can be written without pickle, and how each is split into simpler values and rebuilt."""

import datetime
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from mdissect import text_storage  # noqa: F401  # for what it sets


class Kind(NamedTuple):
    """How values of a type are split into simpler values and rebuilt."""

    name: str
    parts: Callable[[Any], Any]
    made: Callable[[Any], Any]


def record(cls: type) -> Kind:
    """The kind of a dataclass or a named tuple: its fields. No code of the class runs when one is rebuilt."""
    if not is_dataclass(cls):
        return Kind(type_name(cls), list, lambda values: tuple.__new__(cls, values))

    def made(values: dict) -> Any:
        one = object.__new__(cls)
        for field in fields(cls):
            object.__setattr__(one, field.name, values[field.name])
        return one

    return Kind(type_name(cls), lambda one: {field.name: getattr(one, field.name) for field in fields(cls)}, made)


def is_record(cls: object) -> bool:
    """Whether this is the class of a dataclass or of a named tuple."""
    return isinstance(cls, type) and (is_dataclass(cls) or (issubclass(cls, tuple) and hasattr(cls, "_fields")))


def type_name(cls: type) -> str:
    """A type by module and name, such as "pandas.DataFrame"; a builtin by its name."""
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def cells(one: pd.Series | pd.Index) -> np.ndarray | pd.api.extensions.ExtensionArray:
    """The values of a column or an index: of numpy where its type is numpy's."""
    return one.to_numpy() if isinstance(one.dtype, np.dtype) else one.array


def _column(values, index: pd.Index | None = None) -> pd.Series:
    return pd.Series(values, index=index, dtype=values.dtype, copy=False)  # with its dtype: objects would become str


def _table(parts: list) -> pd.DataFrame:
    index, columns, values, attrs = parts
    table = pd.DataFrame({i: _column(one, index) for i, one in enumerate(values)}, index=index)
    table.columns = columns
    table.attrs = attrs
    return table


def _series(parts: list) -> pd.Series:
    index, name, values, attrs = parts
    series = _column(values, index).rename(name)
    series.attrs = attrs
    return series


def _index(parts: list) -> pd.Index:
    values, name, freq = parts
    index = pd.Index(values, dtype=values.dtype, name=name)
    if freq is not None:
        index.freq = freq
    return index


def _zoned(parts: list) -> pd.api.extensions.ExtensionArray:
    values, zone = parts
    return pd.DatetimeIndex(values).tz_localize("UTC").tz_convert(zone).array


def _strings(parts: list) -> pd.api.extensions.ExtensionArray:
    _, na_value, values = parts
    own = {} if na_value is pd.NA else {"na_value": na_value}  # an option that pandas 2.2 does not have
    return pd.array(values, dtype=pd.StringDtype(**own))  # stored as this process stores text


def _naive(one: datetime.datetime) -> str:
    if one.tzinfo is not None:
        raise TypeError("a datetime with a time zone is of no kind that can be written; pandas.Timestamp is")
    return one.isoformat()


_INDEX = Kind("Index", lambda one: [cells(one), one.name, getattr(one, "freqstr", None)], _index)

#: By type; JSON's own values, lists, sets and numpy's arrays are packed by `mdissect.values` itself.
KINDS: Mapping[type, Kind] = {
    tuple: Kind("tuple", list, tuple),
    dict: Kind("dict", lambda one: [list(pair) for pair in one.items()], lambda pairs: dict(map(tuple, pairs))),
    int: Kind("int", hex, lambda text: int(text, 16)),
    float: Kind("float", float.hex, float.fromhex),
    complex: Kind("complex", lambda one: [one.real, one.imag], lambda parts: complex(*parts)),
    bytes: Kind("bytes", lambda one: np.frombuffer(one, np.uint8), lambda array: array.tobytes()),
    range: Kind("range", lambda one: [one.start, one.stop, one.step], lambda parts: range(*parts)),
    slice: Kind("slice", lambda one: [one.start, one.stop, one.step], lambda parts: slice(*parts)),
    type(Path()): Kind("Path", str, Path),
    datetime.datetime: Kind("datetime", _naive, datetime.datetime.fromisoformat),
    datetime.timedelta: Kind(
        "timedelta", lambda one: [one.days, one.seconds, one.microseconds], lambda parts: datetime.timedelta(*parts)
    ),
    datetime.date: Kind("date", datetime.date.isoformat, datetime.date.fromisoformat),
    type(pd.NA): Kind("NA", lambda _: None, lambda _: pd.NA),
    type(pd.NaT): Kind("NaT", lambda _: None, lambda _: pd.NaT),
    pd.Timestamp: Kind(
        "Timestamp",
        lambda one: [one.asm8, None if one.tz is None else str(one.tz)],
        lambda parts: pd.Timestamp(parts[0]) if parts[1] is None else pd.Timestamp(parts[0], tz="UTC").tz_convert(parts[1]),
    ),
    pd.Timedelta: Kind("Timedelta", lambda one: one.asm8, pd.Timedelta),
    pd.Interval: Kind(
        "Interval", lambda one: [one.left, one.right, one.closed], lambda parts: pd.Interval(*parts[:2], closed=parts[2])
    ),
    pd.DataFrame: Kind(
        "DataFrame", lambda one: [one.index, one.columns, [cells(column) for _, column in one.items()], one.attrs], _table
    ),
    pd.Series: Kind("Series", lambda one: [one.index, one.name, cells(one), one.attrs], _series),
    pd.RangeIndex: Kind(
        "RangeIndex",
        lambda one: [one.start, one.stop, one.step, one.name],
        lambda parts: pd.RangeIndex(*parts[:3], name=parts[3]),
    ),
    pd.MultiIndex: Kind(
        "MultiIndex",
        lambda one: [list(one.levels), [np.asarray(codes) for codes in one.codes], list(one.names)],
        lambda parts: pd.MultiIndex(levels=parts[0], codes=parts[1], names=parts[2]),
    ),
    **dict.fromkeys((pd.Index, pd.DatetimeIndex, pd.TimedeltaIndex, pd.CategoricalIndex, pd.IntervalIndex), _INDEX),
}

_NUMBERS = [f"{sign}Int{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)]
_MASKED = [getattr(pd, f"{name}Dtype") for name in ("Boolean", "Float32", "Float64", *_NUMBERS)]


def _masked(made: type) -> Kind:
    return Kind(
        made.__name__,
        lambda one: [one.to_numpy(one.dtype.numpy_dtype, na_value=0), one.isna()],
        lambda parts: made(parts[0], parts[1]),
    )


#: Columns of pandas' own types, by the class of their dtype.
COLUMNS: Mapping[type, Kind] = {
    pd.StringDtype: Kind(
        "strings",
        lambda one: ["python", one.dtype.na_value, one.to_numpy(object, na_value=None)],  # where text lies does not count
        _strings,
    ),
    pd.CategoricalDtype: Kind(
        "categories",
        lambda one: [one.codes, one.categories, one.ordered],
        lambda parts: pd.Categorical.from_codes(parts[0], dtype=pd.CategoricalDtype(parts[1], parts[2])),
    ),
    pd.DatetimeTZDtype: Kind("times", lambda one: [one.tz_convert(None).to_numpy(), str(one.dtype.tz)], _zoned),
    pd.IntervalDtype: Kind(
        "intervals",
        lambda one: [one.left, one.right, one.closed],
        lambda parts: pd.arrays.IntervalArray.from_arrays(*parts),
    ),
    **{dtype: _masked(dtype().construct_array_type()) for dtype in _MASKED},
}
