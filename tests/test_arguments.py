"""The checks of arguments one by one: what each takes, in which plain form, and what it says of everything else."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mdissect import arguments
from mdissect.arguments import AT_LEAST_ONE, NOT_NEGATIVE, POSITIVE, RATE, SHARE, texts
from mdissect.signatures import validated

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("check", "given", "plain"),
    [
        (AT_LEAST_ONE, 3, 3),
        (AT_LEAST_ONE, np.int64(3), 3),
        (AT_LEAST_ONE, np.uint8(3), 3),
        (arguments.INTEGER, -1, -1),
        (RATE, np.float32(0.5), 0.5),
        (SHARE, 1, 1.0),
        (NOT_NEGATIVE, 0, 0.0),
        (NOT_NEGATIVE, np.int16(2), 2.0),
        (arguments.number, -1e300, -1e300),
        (arguments.true_or_false, np.bool_(True), True),
        (texts, "bn2", ("bn2",)),
        (texts, ["bn1", "bn2"], ("bn1", "bn2")),
        (texts, np.array(["bn1", "bn2"]), ("bn1", "bn2")),
        (texts, pd.Series(["bn1"]), ("bn1",)),
        (arguments.strings, [], ()),
        (arguments.strings, "", ("",)),
        (arguments.some_path, "a/b", Path("a/b")),
        (arguments.some_path, "~", Path.home()),
        (arguments.image_shape, np.array([4, 3]), (4, 3)),
    ],
)
def test_what_fits_is_taken_in_its_plain_form(check, given, plain):
    found = check("name", given)
    assert found == plain
    assert type(found) is type(plain)


@pytest.mark.parametrize(
    ("check", "given", "expected"),
    [
        *((AT_LEAST_ONE, bad, "must be a whole number, 1 or more") for bad in (0, -3, 2.5, 2.0, NAN, "5", True, None, [1], 1j)),
        *((arguments.INTEGER, bad, "must be a whole number") for bad in (0.5, "a", False)),
        *((RATE, bad, "must be a number above 0 and below 1") for bad in (0, 1, 5, -1, NAN, INF, "0.1", True, None, [0.1])),
        *((SHARE, bad, "must be a number above 0 and at most 1") for bad in (0, 1.01, NAN, False)),
        *((POSITIVE, bad, "must be a number above 0") for bad in (0, -1e-9, INF, NAN, np.float32("nan"), 2j)),
        *((arguments.number, bad, "must be a finite number") for bad in (NAN, -INF, 10**400, "1", np.bool_(True), np.zeros(2))),
        *((arguments.true_or_false, bad, "must be True or False") for bad in ("no", 0, 1.0, None)),
        *((texts, bad, "must be a list of str") for bad in ([], [""], ["a", " "], [1], 5, None, {"a": 1}, b"ab")),
        *((arguments.some_path, bad, "is empty; give a folder or a file") for bad in ("", " ")),
        *((arguments.some_path, bad, "must be a path") for bad in (5, None, ["a"])),
        *(
            (arguments.image_shape, bad, "must be (height, width)")
            for bad in (5, (1,), (1, 2, 3), (0, 2), (1.5, 2), "12", (True, 2))
        ),
    ],
)
def test_what_does_not_fit_is_named(check, given, expected):
    with pytest.raises((TypeError, ValueError)) as caught:
        check("name", given)
    assert str(caught.value).startswith(f"name={arguments.shown(given)} ")
    assert expected in str(caught.value)


@pytest.mark.parametrize("value", ["x" * 5000, [[["deep"] * 50] * 50] * 50, {str(i): "y" * 100 for i in range(50)}, "a\nb"])
def test_a_long_value_is_shown_short_and_on_one_line(value):
    assert len(arguments.shown(value)) <= arguments.MOST_SHOWN
    assert "\n" not in arguments.shown(value)


class Cat:
    """A thing that functions below ask for."""


@validated(tail=POSITIVE, colour=("black", "white"), names=texts)
def describe(
    cat: Cat,
    *others: Cat,
    tail: float = 1.0,
    lives: int = 9,
    asleep: bool = False,
    colour: str = "black",
    names: list[str] | None = None,
    home: str | Path | None = None,
    by_name: dict[str, Cat] | None = None,
    size: tuple[int, int] = (1, 2),
    friend: "Unknown | None" = None,  # noqa: F821
    **further: float,
) -> dict:
    """All arguments as they arrive."""
    return locals()


class Unknown:
    """Stands for a class that the module of a function imports for type checkers alone."""


UNKNOWN = Unknown()
del Unknown


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        ({}, {"tail": 1.0, "lives": 9, "names": None, "home": None}),
        ({"tail": 2}, {"tail": 2.0}),
        ({"lives": np.int32(7)}, {"lives": 7}),
        ({"names": "Tom"}, {"names": ("Tom",)}),
        ({"home": "~/cats"}, {"home": Path.home() / "cats"}),
        ({"size": [3, 4]}, {"size": (3, 4)}),
        ({"friend": UNKNOWN}, {"friend": UNKNOWN}),
        ({"weight": "anything"}, {"further": {"weight": "anything"}}),
    ],
)
def test_annotations_and_rules_say_what_is_taken(given, plain):
    found = describe(Cat(), **given)
    assert {name: found[name] for name in plain} == plain


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"tail": 0}, ValueError, "tail=0 must be a number above 0"),
        ({"lives": -1}, ValueError, "lives=-1 must be a whole number, 0 or more"),
        ({"lives": None}, ValueError, "lives=None must be a whole number"),
        ({"asleep": 1}, TypeError, "asleep=1 must be True or False"),
        ({"colour": "blue"}, ValueError, "colour='blue' is not one of 'black', 'white'"),
        ({"colour": ["black"]}, ValueError, "colour=['black'] is not one of"),
        ({"names": []}, ValueError, "names=[] must be a list of str, at least one"),
        ({"home": ""}, ValueError, "home='' is empty"),
        ({"home": 3}, TypeError, "home=3 must be a str or Path"),
        ({"by_name": {"Tom": 3}}, TypeError, "by_name['Tom']=3 must be a Cat"),
        ({"by_name": [Cat()]}, TypeError, "must be a dict"),
        ({"size": (1, 2, 3)}, ValueError, "size=(1, 2, 3) must be 2 values, found 3"),
        ({"size": (1, -2)}, ValueError, "size[1]=-2 must be a whole number, 0 or more"),
        ({"friend": 3}, TypeError, "friend=3 must be an Unknown"),
    ],
)
def test_what_neither_allows_is_refused_before_the_function_runs(given, error, message):
    with pytest.raises(error) as caught:
        describe(Cat(), **given)
    assert message in str(caught.value)


def test_each_of_several_things_is_checked():
    with pytest.raises(TypeError, match="others=3 must be a Cat"):
        describe(Cat(), Cat(), 3)


def test_python_says_itself_what_is_missing():
    with pytest.raises(TypeError, match=r"describe\(\) missing 1 required positional argument: 'cat'"):
        describe()


def test_a_rule_for_no_argument_is_a_mistake_of_the_author():
    with pytest.raises(ValueError, match="stroke has no option tial; it has tail"):

        @validated(tial=POSITIVE)
        def stroke(tail):
            """A function."""


def test_a_table_names_the_columns_that_it_lacks():
    check = arguments.table_with("layer", "threshold", made_by="analysis.thresholds(...)")
    with pytest.raises(ValueError, match=r"thresholds has no column threshold; it has layer, tau"):
        check("thresholds", pd.DataFrame({"layer": ["bn2"], "tau": [1.0]}))
    several = arguments.tables_with("layer", made_by="analysis.thresholds(...)")
    with pytest.raises(ValueError, match=r"tables\['M'\] has no column layer; it has none"):
        several("tables", {"M": pd.DataFrame()})
    with pytest.raises(ValueError, match=r"tables=\{\} must hold one table at least"):
        several("tables", {})
