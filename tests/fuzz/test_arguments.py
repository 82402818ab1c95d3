"""Values of many kinds as arguments: each check gives the plain value that is meant, or an error that names the argument."""

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdissect import arguments

numpy_scalars = st.one_of(
    st.integers(-100, 100).map(np.int64),
    st.integers(0, 100).map(np.uint8),
    st.floats(width=32).map(np.float32),
    st.floats().map(np.float64),
    st.booleans().map(np.bool_),
    st.text(max_size=5).map(np.str_),
)
plain = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.complex_numbers(),
    st.text(max_size=8),
    st.binary(max_size=8),
    st.dates(),
    st.decimals(),
    st.fractions(),
    numpy_scalars,
    st.sampled_from([object(), int, np.zeros(3), np.zeros(()), np.array(["a", "b"]), Path("a"), range(3), len, "--1"]),
)
values = st.recursive(
    plain, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
)


def is_number(value) -> bool:
    """Whether a value is a real number, as Python and numpy have them."""
    return isinstance(value, (int, float, Fraction, np.integer, np.floating)) and not isinstance(value, (bool, np.bool_))


def outcome(check, value):
    """What a check of the argument "name" returns; None where it refuses the value, which must name the argument."""
    try:
        return check("name", value)
    except (TypeError, ValueError) as error:
        message = str(error)
        assert message.startswith("name=")
        assert len(message) < 400
        assert "\n" not in message
        return None


@given(values)
def test_a_whole_number_is_an_int_within_bounds(value):
    found = outcome(lambda name, v: arguments.whole_number(name, v, 1, 50), value)
    meant = isinstance(value, (int, np.integer)) and not isinstance(value, (bool, np.bool_)) and 1 <= value <= 50
    assert (type(found) is int and found == value) if meant else found is None


@given(values)
def test_a_number_is_a_finite_float_within_bounds(value):
    found = outcome(lambda name, v: arguments.number(name, v, above=0, most=1), value)
    if found is None:
        assert not (is_number(value) and 0 < value <= 1)
    else:
        assert type(found) is float
        assert 0 < found <= 1
        assert found == pytest.approx(float(value))


@given(values)
def test_a_rate_excludes_both_ends(value):
    found = outcome(arguments.RATE, value)
    assert found is None or 0 < found < 1
    assert found is not None or not (is_number(value) and math.isfinite(value) and 0 < value < 1)


@given(values)
def test_a_switch_is_a_bool(value):
    found = outcome(arguments.true_or_false, value)
    assert found is (bool(value) if isinstance(value, (bool, np.bool_)) else None)


@given(values)
def test_texts_are_never_split_into_letters(value):
    found = outcome(arguments.texts, value)
    if isinstance(value, str):
        assert found == ((str(value),) if value.strip() else None)
    elif found is not None:
        assert found == tuple(value)
        assert all(type(one) is str and one.strip() for one in found)


@given(values)
def test_a_path_is_never_the_working_folder_by_mistake(value):
    found = outcome(arguments.some_path, value)
    assert found is None or isinstance(found, Path)
    assert (found is not None) == (isinstance(value, Path) or (isinstance(value, str) and bool(value.strip())))


@given(values, st.lists(st.text(max_size=4), min_size=1, max_size=4))
def test_one_of_takes_the_known_values_alone(value, known):
    refused = outcome(lambda name, v: arguments.one_of(name, v, known) or "taken", value) is None
    assert refused != (isinstance(value, str) and value in known)


@given(values)
def test_a_size_is_two_positive_whole_numbers(value):
    found = outcome(arguments.image_shape, value)
    assert found is None or (len(found) == 2 and all(type(one) is int and one > 0 for one in found))
