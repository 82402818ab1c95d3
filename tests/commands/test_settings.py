"""NAME=VALUE on the command line."""

import pytest

from mdissect.commands.settings import parse_settings


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ("n=500", 500),
        ("n=-3", -3),
        ("n=1_000", 1000),
        ("n=0x10", 16),
        ("lam=0.5", 0.5),
        ("lam=1e-3", 0.001),
        ("probe=folder", "folder"),
        ("probe='folder'", "folder"),
        ("names=['a', 'b']", ["a", "b"]),
        ("size=(256, 160)", (256, 160)),
        ("options={'path': 'x', 'deep': {'n': [1, None]}}", {"path": "x", "deep": {"n": [1, None]}}),
        ("layers=None", None),
        ("known_only=True", True),
        ("path=a=b", "a=b"),
        ("path=C:\\data\\x", "C:\\data\\x"),
        ("path=/data/ä ö", "/data/ä ö"),
        ("empty=", ""),
        ("word=---", "---"),
        ("word=1 + 2", "1 + 2"),
        ("word=10**9", "10**9"),
        ("word=__import__('os')", "__import__('os')"),
        ("word=a, b", "a, b"),
        ("word=1e", "1e"),
        ("word=0123", "0123"),
    ],
)
def test_values_are_literals_or_text(given, value):
    found = parse_settings([given])[given.partition("=")[0]]
    assert found == value
    assert type(found) is type(value)


def test_several_settings():
    assert parse_settings([]) == {}
    assert parse_settings(["a=1", "b=x"]) == {"a": 1, "b": "x"}


@pytest.mark.parametrize("setting", ["n_images", "=5", "n images=5", "2n=5", "", "-n=5", "a.b=1", "a-b=1", "n =5", "[n]=5"])
def test_what_is_no_setting(setting):
    with pytest.raises(ValueError, match=r"--set .* is not NAME=VALUE, such as n_images=500"):
        parse_settings([setting])


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("{1, 2}", "holds a set; write numbers, texts"),
        ("[1, {2}]", "holds a set"),
        ("{'a': {2}}", "holds a set"),
        ("b'x'", "holds a bytes"),
        ("3j", "holds a complex"),
        ("...", "holds a ellipsis"),
        ("{1: 'a'}", "holds the key 1, which is not text"),
        ("{(1, 2): 'a'}", r"holds the key \(1, 2\), which is not text"),
        ("1e999", "holds a number that is not finite"),
        ("[0, -1e999]", "holds a number that is not finite"),
        (str(2**63), "holds a whole number of more than 64 bits"),
        ("-" + "9" * 100, "holds a whole number of more than 64 bits"),
        ("0x" + "f" * 5000, "holds a whole number of more than 64 bits"),
        ("'\\ud800'", "holds bytes that are no UTF-8"),
        ("caf\udce9", "holds bytes that are no UTF-8"),
        ("[M, C1]", r"is not a Python list, mapping or text: texts need quotes .* such as \['M', 'C1'\]"),
        ("['M', 'C1'", "is not a Python list, mapping or text"),
        ("{'path': x}", "is not a Python list, mapping or text"),
        ("{[1]: 2}", "is not a Python list, mapping or text"),
        ("'unfinished", "is not a Python list, mapping or text"),
        ("[" * 50_000, "is not a Python list, mapping or text"),
        ("(" + "-" * 50_000 + "1)", "is not a Python list, mapping or text"),
    ],
)
def test_values_that_no_notebook_can_hold(value, message):
    with pytest.raises(ValueError, match=f"--probe-set x=.* {message}") as found:
        parse_settings([f"x={value}"], "--probe-set")
    assert len(str(found.value)) < 400


@pytest.mark.parametrize("value", ["-" * 50_000, "-" * 50_000 + "1", "9" * 50_000, "~" * 50_000, "1+" * 50_000 + "1"])
def test_texts_that_overtax_the_parser_stay_texts(value):
    assert parse_settings([f"x={value}"]) == {"x": value}


def test_a_name_that_is_given_twice():
    with pytest.raises(ValueError, match="--set gives n twice: 1 and '2'"):
        parse_settings(["n=1", "m=1", "n=2"])
