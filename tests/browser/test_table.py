"""Tests of the table's data, as they are sent; a browser test of the explorers drives it."""

import json

import numpy as np
import pandas as pd
import pytest

from mdissect.browser import Table, column
from mdissect.browser.table import plain


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.5, np.nan, np.inf], [1.5, None, None]),
        (np.array([1, 2], dtype=np.int32), [1, 2]),
        (np.array([0.5], dtype=np.float32), [0.5]),
        (["a", None, pd.NA, ""], ["a", None, None, ""]),
        ([True, False], [True, False]),
        ([], []),
    ],
)
def test_values_are_those_of_json(values, expected):
    assert plain(values) == expected
    assert json.loads(json.dumps(plain(values))) == expected


def test_choosing_and_opening_pass_the_row_and_showing_passes_none():
    table, taken = Table(label="neurons"), []
    table.on_choose(lambda i: taken.append(("choose", i)))
    table.on_open(lambda i: taken.append(("open", i)))
    table.show([column("neuron", kind="whole")], {"neuron": [3, 4]}, chosen=1)
    assert (taken, table.chosen) == ([], 1)
    table.take(choose=0)
    table.take(open=1)
    assert taken == [("choose", 0), ("open", 1)]
    assert table.chosen == 1


def test_what_the_reader_chooses_is_known_when_it_is_acted_on():
    table, seen = Table(), []
    table.on_choose(lambda i: seen.append(table.chosen))
    table.show([column("neuron", kind="whole")], {"neuron": [3, 4]})
    table.take(choose=1)
    assert seen == [1]
    table.chosen = -1
    table.take(choose=1)
    assert (seen, table.chosen) == ([1, 1], 1)


def test_an_unknown_kind_of_column_is_refused():
    with pytest.raises(ValueError, match="kind='date' is not one of text, choice"):
        column("x", kind="date")
