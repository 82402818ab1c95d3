"""Values as JSON and bytes: what goes in comes out equal, in the types of every cell, and equal content has equal hashes."""

import datetime
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from equal import same, there_and_back

from mdissect.values import Packed, pack, unpack

WITH_GAPS = [1.5, float("nan"), -0.0]
RNG = np.random.default_rng(0)
FRAMES = {
    "empty": pd.DataFrame(),
    "no rows": pd.DataFrame({"a": pd.Series(dtype="float32"), "b": pd.Series(dtype=object)}),
    "no columns": pd.DataFrame(index=["x", "y"]),
    "numbers": pd.DataFrame({"i": np.array([1, 2], "int8"), "f": np.array([0.1, np.nan], "float32"), "b": [True, False]}),
    "text": pd.DataFrame({"t": ["a", None], "u": ["é", "\ud800"]}),
    "text of objects": pd.DataFrame({"t": ["a", "b"]}, dtype=object),
    "nothing in four ways": pd.DataFrame({"o": [None, float("nan"), pd.NA, pd.NaT, "NA", ""]}, dtype=object),
    "mixed cells": pd.DataFrame({"o": [1, 1.0, True, "1", np.int64(1), (1, [2]), {"a": 1}, 2**70]}, dtype=object),
    "categories": pd.DataFrame({"c": pd.Categorical(["b", None, "b"], ["z", "b"], ordered=True)}),
    "nullable": pd.DataFrame(
        {
            "i": pd.array([1, None], "Int16"),
            "u": pd.array([1, None], "UInt8"),
            "f": pd.array([0.5, None], "Float32"),
            "b": pd.array([True, None], "boolean"),
            "s": pd.array(["x", None], "string"),
        }
    ),
    "times": pd.DataFrame(
        {
            "naive": pd.to_datetime(["2020-01-01", None]),
            "seconds": pd.to_datetime(["2020-01-01", None]).astype("datetime64[s]"),
            "zone": pd.to_datetime(["2020-07-01", None]).tz_localize("Europe/Berlin"),
            "length": pd.to_timedelta([5, None], unit="min"),
        }
    ),
    "intervals": pd.DataFrame({"bin": pd.cut([1.0, 2.0, 9.0], 3), "plain": pd.cut([1.0, 2.0, 9.0], 3).astype(object)}),
    "index of text": pd.DataFrame({"a": [1, 2]}, index=pd.Index(["x", "y"], name="image_id")),
    "index of dates": pd.DataFrame({"a": [1, 2]}, index=pd.date_range("2020", periods=2, freq="D")),
    "index of categories": pd.DataFrame({"a": [1, 2]}, index=pd.CategoricalIndex(["x", "y"], ["y", "x"])),
    "several levels": pd.DataFrame(
        RNG.random((2, 4)),
        index=pd.MultiIndex.from_tuples([("a", 1), ("b", None)], names=["k", None]),
        columns=pd.MultiIndex.from_product([["p", "q"], [0, 1]], names=["m", "n"]),
    ),
    "odd columns": pd.DataFrame([[1, "a", None, 2.5]], columns=["same", "same", 3, ("t", 1)]),
    "a range": pd.DataFrame({"a": [1, 2]}, index=pd.RangeIndex(4, 0, -2, name="r")),
    "named columns": pd.DataFrame({"a": [1]}).rename_axis(columns="measure"),
    "told in attrs": pd.DataFrame({"a": [1]}),
}
FRAMES["told in attrs"].attrs = {"source": "table 2", "n": (1, 2)}


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
def test_tables_come_back_equal(frame):
    assert same(there_and_back(frame), frame)
    for column in frame:
        series = frame[column]
        if isinstance(series, pd.Series):
            assert same(there_and_back(series), series)


VALUES = [
    None,
    True,
    0,
    -(2**63),
    2**63,
    10**500,
    -0.0,
    1e-320,
    float("nan"),
    float("-inf"),
    0.1 + 0.2,
    1 - 2j,
    "",
    'a "quoted" \\ text\n\x00 with 微 and \udfff',
    b"",
    b"\x00\xff",
    (),
    ((1,), [1]),
    [],
    [[], [[None]]],
    {},
    {"b": 1, "a": 2, 3: {}, (1, 2): None, None: "x", 1.5: True},
    {"array": 0},
    {"tuple": [1]},
    {1, 2, "x"},
    frozenset({(1, 2), None}),
    range(2, 9, 3),
    slice(None, 4, -1),
    Path("a/b.csv"),
    datetime.date(2024, 2, 29),
    datetime.datetime(2024, 2, 29, 1, 2, 3, 4),
    datetime.timedelta(-1, 5, 7),
    pd.NA,
    pd.NaT,
    pd.Timestamp("2024-01-01 01:02:03.004"),
    pd.Timestamp("2024-07-01", tz="US/Eastern"),
    pd.Timedelta("1 day 1 ns"),
    pd.Interval(0, 1.5, closed="both"),
    np.float32(0.1),
    np.float64("nan"),
    np.int8(-3),
    np.bool_(True),
    np.str_("a"),
    np.str_(""),
    np.datetime64("2024-01"),
    np.complex64(1j),
    np.zeros(0),
    np.zeros((0, 3), np.float32),
    np.array(5),
    np.arange(6.0).reshape(2, 3),
    np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    np.arange(3, dtype=">i4"),
    np.array([True, False]),
    np.array(["a", "bcd", ""]),
    np.array([b"a", b"bc"]),
    np.array(["2024-01-01", "NaT"], "M8[D]"),
    np.array([np.nan, -np.nan, -0.0, np.inf], np.float16),
    np.array([], dtype=object),
    np.array([["", "tied"], ["constant", None]], dtype=object),
    np.array([1.5, [1, 2], float("nan"), (3,)], dtype=object),
    pd.Index([1, 2, 3]),
    pd.Index([1.5, None]),
    pd.Index(["a", 1, None], dtype=object),
    pd.Series(WITH_GAPS, index=["a", "b", "a"], name=("x", 1)),
    [pd.DataFrame({"a": [1]}), {"deep": (np.arange(3), "x")}],
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_values_come_back_equal(value):
    found = there_and_back(value)
    assert same(found, value)
    assert pack(found).digest() == pack(value).digest()


def test_different_values_have_different_hashes():
    values = [
        *VALUES,
        *FRAMES.values(),
        False,
        1,
        1.0,
        "0",
        "None",
        np.float64(0.1),
        np.arange(6.0),
        np.arange(6.0).reshape(3, 2),
    ]
    hashes = [pack(value).digest() for value in values]
    alike = {(i, j) for i in range(len(values)) for j in range(i) if hashes[i] == hashes[j]}
    fortran = next(i for i, value in enumerate(VALUES) if isinstance(value, np.ndarray) and value.flags.fnc)
    assert alike == {(fortran, fortran - 1)}  # how an array lies in memory is no content
    assert pack({"a": 1, "b": 2}).digest() != pack({"b": 2, "a": 1}).digest()
    assert pack({3, 1, 2}).digest() == pack({2, 3, 1}).digest()


def test_what_comes_back_can_be_changed():
    found = there_and_back([np.arange(3), pd.DataFrame({"a": [1.0, 2.0]})])
    found[0][0] = 9
    found[1].loc[0, "a"] = 9
    assert (found[0][0], found[1].a[0]) == (9, 9)


class Unknown:
    pass


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (Unknown(), f"a {__name__}.Unknown is"),
        ([{"a": (Unknown,)}], "a type is"),
        (pd.DataFrame({"a": [Unknown()]}), f"a {__name__}.Unknown is"),
        (len, "a builtin_function_or_method is"),
        (iter([1]), "a list_iterator is"),
        (np.ma.masked_array([1, 2], [True, False]), r"a numpy\.ma\.MaskedArray is"),
        (np.zeros(2, "i4,f8"), "an array of .* is"),
        (np.zeros(2, np.longdouble), "an array of .* is"),
        (pd.DataFrame({"p": pd.period_range("2020", periods=2, freq="M")}), "a pandas.*PeriodArray is"),
        (datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC), "a datetime with a time zone is"),
    ],
)
def test_other_things_are_refused_by_name(value, what):
    with pytest.raises(TypeError, match=rf"{what} of no kind that can be written"):
        pack(value)


def test_a_value_that_holds_itself_is_refused():
    value = []
    value.append(value)
    with pytest.raises(ValueError, match="a list that is nested too deep, or holds itself, cannot be written"):
        pack(value)


@pytest.mark.parametrize(
    "tree",
    [
        {"os.system": "true"},
        {"builtins.eval": "1"},
        {"array": 7},
        {"a": 1, "b": 2},
        {},
        {"int": "xyz"},
        {"Path": [1]},
        {"dict": 3},
    ],
    ids=json.dumps,
)
def test_what_was_not_written_here_makes_nothing(tree):
    with pytest.raises((LookupError, ValueError, TypeError)):
        unpack(Packed(tree, []))
