"""Pairs of prompts in all the forms in which they may be given."""

import pytest

from mdissect.predictions.prompts import PUBLISHED, PromptPair, as_prompts

pytestmark = pytest.mark.slow

MASS = PromptPair("mass", ("mass",), ("no mass",))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("mass|no mass", [MASS]),
        ("  mass  |  no mass  ", [MASS]),
        (["mass|no mass"], [MASS]),
        ({"mass": "mass|no mass"}, [MASS]),
        ({"mass": ("mass", "no mass")}, [MASS]),
        ([("mass", "no mass")], [MASS]),
        ((("mass", ["no mass"]),), [MASS]),
        ((MASS,), [MASS]),
        ("lump = mass; a mass; mass | no mass;", [PromptPair("lump", ("mass", "a mass"), ("no mass",))]),
        ({"a=b": "mass|no mass"}, [PromptPair("a=b", ("mass",), ("no mass",))]),
        ("mass|size = 0", [PromptPair("mass", ("mass",), ("size = 0",))]),
        ({"x": (("a|b",), "c")}, [PromptPair("x", ("a|b",), ("c",))]),
        (["mass|no mass", "clip|no clip"], [MASS, PromptPair("clip", ("clip",), ("no clip",))]),
    ],
)
def test_forms(given, expected):
    assert as_prompts("prompts", given) == tuple(expected)


def test_the_published_ones():
    pairs = as_prompts("prompts", None)
    assert {pair.name: (*pair.positive, *pair.negative) for pair in pairs} == PUBLISHED
    assert pairs[1].classes == ("no suspicious calcification", "suspicious calcification")
