"""Kept values, drawn at random: what goes in comes out the same, and no byte of a file can change unnoticed."""

import os
import warnings

import numpy as np
import pandas as pd
import pytest
from equal import same, there_and_back
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from mdissect.study.kept import kept
from mdissect.values import pack

LONG = os.environ.get("MDISSECT_FUZZ") == "long"
some = settings(max_examples=3000 if LONG else 60, deadline=None, derandomize=not LONG)

TEXTS = st.text(st.characters(), max_size=8)
NUMBERS = st.one_of(st.integers(), st.floats(), st.complex_numbers(), st.booleans())
EMPTY = st.sampled_from([None, pd.NA, pd.NaT, float("nan"), ""])
TIMES = st.one_of(
    st.datetimes(),
    st.timedeltas(),
    st.dates(),
    st.datetimes(pd.Timestamp(1900, 1, 1), pd.Timestamp(2200, 1, 1)).map(pd.Timestamp),
)
LEAVES = st.one_of(TEXTS, NUMBERS, EMPTY, TIMES, st.binary(max_size=8))
KEYS = st.one_of(TEXTS, st.integers(), st.tuples(TEXTS, st.integers()))
DTYPES = st.one_of(
    arrays.boolean_dtypes(),
    arrays.integer_dtypes(),
    arrays.unsigned_integer_dtypes(),
    arrays.floating_dtypes(sizes=(16, 32, 64)),
    arrays.complex_number_dtypes(sizes=(64, 128)),
    arrays.unicode_string_dtypes(),
    arrays.datetime64_dtypes(),
)
KINDS = ["array", "object", "str", "category", "Int32", "Float64", "boolean", "string", "time", "zone"]
ARRAYS = arrays.arrays(DTYPES, arrays.array_shapes(min_dims=0, min_side=0, max_side=4))


@st.composite
def columns(draw, n: int) -> pd.api.extensions.ExtensionArray | np.ndarray:
    """A column of n cells of any type that tables have here."""

    def cells(of) -> list:
        return draw(st.lists(of, min_size=n, max_size=n))

    kind = draw(
        st.sampled_from(["array", "object", "str", "category", "Int32", "Float64", "boolean", "string", "time", "zone"])
    )
    if kind == "array":
        return draw(arrays.arrays(st.sampled_from(["f4", "f8", "i1", "u8", "?"]).map(np.dtype), n))
    if kind == "object":
        array = np.empty(n, object)
        array[:] = cells(LEAVES)
        return array
    if kind in ("time", "zone"):
        times = pd.to_datetime(pd.Series(cells(st.one_of(st.none(), st.integers(0, 2**40))), dtype="Int64"), unit="ms")
        return times.dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo").array if kind == "zone" else times.array
    of = {"Int32": st.integers(-5, 5), "Float64": st.floats(-1, 1), "boolean": st.booleans()}.get(kind, TEXTS)
    return pd.array(cells(st.one_of(st.none(), of)), dtype=kind)


@st.composite
def tables(draw) -> pd.DataFrame:
    n = draw(st.integers(0, 4))
    table = pd.DataFrame(dict(enumerate(draw(st.lists(columns(n), max_size=4)))), index=range(n))
    table.index = draw(st.sampled_from([table.index, pd.Index([f"image {i}" for i in range(n)], name="image_id")]))
    names = draw(st.lists(KEYS, min_size=table.shape[1], max_size=table.shape[1]))
    table.columns = pd.Index(names, dtype=object, tupleize_cols=False)
    return table


VALUES = st.recursive(
    st.one_of(LEAVES, ARRAYS, tables()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.lists(inner, max_size=3).map(tuple), st.dictionaries(KEYS, inner, max_size=3)
    ),
    max_leaves=6,
)


@some
@given(VALUES)
def test_any_value_comes_back_the_same(value):
    found = there_and_back(value)
    assert same(found, value)
    assert pack(found).digest() == pack(value).digest()


RAN = []


def result(n):
    RAN.append(n)
    return pd.DataFrame({"a": np.arange(n), "t": ["x"] * n}), {"array": np.arange(n) / 3}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A kept function and the files of its one result."""
    folder = tmp_path_factory.mktemp("store")
    again = kept(result, folder)
    again(5)
    return again, sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.endswith("lock"))


@some
@given(st.data())
def test_no_byte_of_a_kept_result_changes_unnoticed(written, data):
    again, files = written
    path = data.draw(st.sampled_from(files))
    before, times = path.read_bytes(), len(RAN)
    place, to = data.draw(st.integers(0, len(before) - 1)), data.draw(st.integers(1, 255))
    path.write_bytes(before[:place] + bytes([before[place] ^ to]) + before[place + 1 :])
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = again(5)
    assert len(RAN) == times + 1
    assert "computed again" in str(told[0].message)
    assert same(found, result(5))
    assert path.read_bytes() == before
    assert same(again(5), found)
    assert len(RAN) == times + 2
