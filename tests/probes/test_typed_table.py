"""Tables of every kind of column come back from CSV files as they were."""

import numpy as np
import pandas as pd
import pytest

from mdissect.probes.typed_table import as_texts, from_texts
from mdissect.tables import read_text_table, write_table

TABLE = pd.DataFrame(
    {
        "numbers as text": ["007", "1e5", "", "3"],
        "with missing": ["a", np.nan, "b", np.nan],
        "empty is known": pd.Series(["", "implant", np.nan, ""], dtype=object),
        "ints": [1, -2, 3, 2**60],
        "small": np.array([1, 2, 3, 4], np.int16),
        "floats": [0.1 + 0.2, np.nan, 1e-300, 5.0],
        "flags": [True, False, True, False],
        "some flags": pd.Series([True, np.nan, False, True], dtype=object),
        "mixed": pd.Series([1, "1", 2.5, None], dtype=object),
        "lists": pd.Series([["a"], [], np.nan, ["b", "c"]], dtype=object),
        "formula": ["=1+1", "-x", "@a", "+3"],
        "nothing": [np.nan] * 4,
        "letters": ['a "quoted", b', "two\nlines", "ü; ß", "\t tab"],
    },
    index=["w", "x", "y", "z"],
)


@pytest.mark.parametrize("name", TABLE)
def test_a_column_comes_back(tmp_path, name):
    texts, columns = as_texts(TABLE[[name]])
    texts.insert(0, "row", list(TABLE.index))
    write_table(tmp_path / "a.csv", texts)
    found = from_texts(read_text_table(tmp_path / "a.csv", own=True).iloc[:, 1:], columns)
    pd.testing.assert_series_equal(found[name].set_axis(TABLE.index), TABLE[name], check_names=True)


def test_a_table_without_columns():
    texts, columns = as_texts(TABLE[[]])
    assert from_texts(texts, columns).equals(TABLE[[]])


@pytest.mark.parametrize(
    ("kind", "cell"), [("int", "1.5"), ("int", ""), ("float", "x"), ("bool", "yes"), ("json", "{"), ("other", "1")]
)
def test_cells_that_do_not_fit(kind, cell):
    with pytest.raises((ValueError, KeyError)):
        from_texts(pd.DataFrame({"a": [cell]}), [{"name": "a", "kind": kind, "dtype": "int64"}])
