"""Two concepts are the same in another form, or they are not: tables of pairs."""

import pandas as pd
import pytest

from mdissect.concepts import load_concepts, same_as
from mdissect.concepts.forms import form, forms

MASS, DENSITY, MORPHOLOGY, DISTRIBUTION = "Mass", "Breast density", "Calcifications morphology", "Calcifications distribution"
SUSPICIOUS, BENIGN = "Suspicious calcifications", "Benign calcifications"


@pytest.mark.parametrize(
    ("first", "second", "category"),
    [
        ("extremely", "extremely dense", DENSITY),
        ("extremely dense", "extremely dense breast", DENSITY),
        ("amorphous", "amorphous calcification", MORPHOLOGY),
        ("calcification", "calcifications", MORPHOLOGY),
        ("calcification", "Breast Calcification", MORPHOLOGY),
        ("mass", "masses", MASS),
        ("microcalcifications", "microcalcification", MORPHOLOGY),
        ("lucent-centred calcification", "lucent-centered calcifications", MORPHOLOGY),
        ("breast oedema", "breast edema", "Lymph node/other findings"),
        ("rod-like", "rod-like calcification", MORPHOLOGY),
        ("round mass", "mass with round shape", MASS),
        ("circumscribed margin", "mass with a circumscribed margin", MASS),
        ("regional calcifications", "calcification in a regional distribution", DISTRIBUTION),
        ("breast composition A", "BI-RADS density A", DENSITY),
        ("BI-RADS 4", "BI-RADS category 4", "Suspicious findings"),
        ("left CC", "left craniocaudal view", "Breast views and laterality"),
        ("MLO view", "mediolateral oblique projection", "Breast views and laterality"),
        ("axillary node", "axillary lymph nodes", "Lymph node"),
        ("distortion", "architectural distortion", "Architectural distortion"),
        ("saline", "saline implant", "Breast implants"),
        ("suspicious", "suspicious findings", "Suspicious findings"),
    ],
)
def test_the_same_in_another_form(first, second, category):
    assert form(first, category) == form(second, category)


@pytest.mark.parametrize(
    ("first", "second", "category"),
    [
        ("mass", "spiculated mass", MASS),
        ("mass", "mass margin", MASS),
        ("mass", "no mass", MASS),
        ("mass", "large mass", MASS),
        ("round mass", "oval mass", MASS),
        ("high density mass", "low density mass", MASS),
        ("calcification", "amorphous calcification", MORPHOLOGY),
        ("rod-like calcification", "large rod-like calcification", MORPHOLOGY),
        ("popcorn calcification", "benign popcorn calcification", MORPHOLOGY),
        ("punctate calcification", "round calcification", MORPHOLOGY),
        ("dense breast", "breast density", DENSITY),
        ("dense breast", "extremely dense breast", DENSITY),
        ("breast composition A", "breast composition B", DENSITY),
        ("breast composition A", "breast density", DENSITY),
        ("BI-RADS 4", "BI-RADS 5", "Suspicious findings"),
        ("left CC", "right CC", "Breast views and laterality"),
        ("lymph node with fatty hilum", "lymph node without fatty hilum", "Lymph node"),
        ("nipple retraction", "skin retraction", "Skin"),
        ("breast", "left breast", "Breast structures or anatomy"),
    ],
)
def test_a_different_finding(first, second, category):
    assert form(first, category) != form(second, category)


def test_what_is_said_depends_on_the_category():
    assert form("amorphous", MORPHOLOGY) == form("amorphous calcifications", SUSPICIOUS)
    assert form("round", MASS) != form("round calcification", MORPHOLOGY)
    assert form("round", MASS) != form("round", MORPHOLOGY)
    assert form("suspicious grouped calcification", SUSPICIOUS) != form("grouped calcification", DISTRIBUTION)
    assert form("amorphous") != form("amorphous calcification")  # no category says that it is a calcification


def test_words_that_say_nothing_are_kept_where_there_are_no_others():
    assert form("margin", MASS) == form("the margins", MASS) != form("mass", MASS)
    assert form("breast") == form("Breasts") != form("mammographic")
    assert form("there is") == form("there is") != form("of")
    assert form("BI-RADS", DENSITY) == form("BIRADS", DENSITY) or form("BI-RADS", DENSITY) != form("density", DENSITY)


def table(*pairs):
    return pd.DataFrame(pairs, columns=["concept", "category"])


def test_a_concept_has_a_form_for_each_category():
    found = forms(table(("round", MASS), ("round", MORPHOLOGY), ("round mass", MASS)))
    assert list(found.index) == ["round", "round mass"]
    assert found["round"] > found["round mass"]


def test_the_known_concept_that_is_the_same():
    concepts = table(
        ("amorphous calcification", SUSPICIOUS), ("amorphous", MORPHOLOGY), ("spiculated mass", MASS), ("mass", MASS),
        ("breast mass", MASS), ("round", MASS), ("round", MORPHOLOGY), ("round calcification", MORPHOLOGY),
    )  # fmt: skip
    found = same_as(concepts, ["amorphous calcification", "spiculated mass", "breast mass", "round"],
                    ["mass", "amorphous", "round calcification"])  # fmt: skip
    assert found.to_dict() == {
        "amorphous calcification": "amorphous",
        "spiculated mass": "",
        "breast mass": "mass",
        "round": "round calcification",
    }
    assert same_as(concepts, ["mass"], []).tolist() == [""]
    assert same_as(concepts, [], ["mass"]).empty


def test_the_shipped_concepts_that_are_the_same():
    shipped = load_concepts("mammography").subset(domain="mammography").table
    holders = {}
    for concept, own in forms(shipped).items():
        for one in own:
            holders.setdefault(one, []).append(concept)
    groups = sorted(names for names in holders.values() if len(names) > 1)
    assert all(len(names) == 2 for names in groups)
    assert 25 < len(groups) < 45
    assert ["mass", "breast mass"] in groups
    assert ["extremely dense", "extremely dense breast"] in groups
    assert not any("no" in name.split() for names in groups for name in names)
