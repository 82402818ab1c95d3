"""Tests of what is covered and missed: tables of expected values at toy sizes."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
from made_up import concept_set, labelled

from mdissect import analysis
from mdissect.concepts import EVIDENCE, ConceptSet, load_concepts
from mdissect.study.coverage import (
    MORE_MAMMOGRAMS,
    NO_MAMMOGRAM,
    NOT_KNOWN,
    ONE_MAMMOGRAM,
    SHOWN_BY,
    best_margin,
    covered,
    distinct_missed,
    missed_concepts,
    redundancy,
    task_counts,
    unique_concepts,
    with_evidence,
    with_tasks,
)

FINDINGS, INTERPRETATIONS, NATURAL = "Findings and characterizations", "Interpretations", "Environmental and Natural"
CALCIFICATION, SUSPICIOUS = "Calcifications morphology", "Suspicious calcifications"
ROWS = [
    ("mass", "Mass", FINDINGS, "mammography", "mass", "single view"),
    ("spiculated mass", "Mass", FINDINGS, "mammography", "mass", "single view"),
    ("anechoic mass", "Mass", FINDINGS, "mammography", "mass", "ultrasound"),
    ("masses", "Mass", FINDINGS, "mammography", "mass", "single view"),
    ("amorphous", CALCIFICATION, FINDINGS, "mammography", "calcification", "single view"),
    ("amorphous calcification", CALCIFICATION, FINDINGS, "mammography", "calcification", "single view"),
    ("amorphous calcification", SUSPICIOUS, INTERPRETATIONS, "mammography", "calcification", "single view"),
    ("rim calcification", CALCIFICATION, FINDINGS, "mammography", "calcification", "single view"),
    ("new mass", "Suspicious findings", INTERPRETATIONS, "mammography", "mass;calcification", "prior exam"),
    ("ladder", "Objects", NATURAL, "other", "", ""),
    ("bird", "Natural", NATURAL, "other", "", ""),
]
CONCEPTS = concept_set(ROWS)
dissection = partial(labelled, CONCEPTS)


@pytest.fixture
def first():
    return dissection(early=["mass", "mass", "ladder"], late=["amorphous", "rim calcification"])


@pytest.fixture
def second():
    return dissection(
        early=["mass", "bird"], late=["amorphous calcification", "mass", "rim calcification", "rim calcification"]
    )


def tau(*dissections, value=None):
    found = analysis.thresholds(*dissections)
    return found if value is None else found.assign(threshold=value)


def rows(table):
    return [tuple(row) for row in table.itertuples(index=False)]


def test_concepts_of_a_task_in_two_networks(first, second):
    found = task_counts({"M": first, "C4": second, "C3": first}, {"calcification": ("M", "C4"), "mass": ("M", "C3")})
    columns = ["task", "setup", "layer", "threshold", "concepts", "neurons", "fraction", "of"]
    assert list(found) == columns
    assert rows(found) == [
        ("calcification", "M", "early", 1.0, 0, 0, 0.0, 4),
        ("calcification", "M", "late", 1.0, 2, 2, 1.0, 4),
        ("calcification", "C4", "early", 1.0, 0, 0, 0.0, 4),
        ("calcification", "C4", "late", 1.0, 2, 3, 0.75, 4),
        ("mass", "M", "early", 1.0, 1, 2, 2 / 3, 5),
        ("mass", "M", "late", 1.0, 0, 0, 0.0, 5),
        ("mass", "C3", "early", 1.0, 1, 2, 2 / 3, 5),
        ("mass", "C3", "late", 1.0, 0, 0, 0.0, 5),
    ]


def test_a_pair_shares_the_larger_threshold(first, second):
    first.similarity["late"][1] *= 3
    found = task_counts({"M": first, "C4": second}, {"calcification": ("M", "C4")}, rule="top").set_index(["setup", "layer"])
    assert found.threshold["C4", "late"] == found.threshold["M", "late"] == 2.0
    assert found.concepts["M", "late"] == 1
    assert found.concepts["C4", "late"] == 0
    whole = task_counts({"M": first, "C4": second}, {"calcification": ("M", "C4")}, rule="all")
    assert whole.threshold.unique().tolist() == pytest.approx([0.1, 0.2])


def test_how_alike_neurons_are(first):
    up, even = np.arange(4.0), np.array([1.0, -1.0, -1.0, 1.0])
    first.activations = {
        "early": np.stack([up, -2 * up, even], axis=1).astype(np.float32),
        "late": np.stack([up, np.full(4, 0.3)], axis=1).astype(np.float32),  # one of them does not vary
    }
    found = redundancy(first)
    assert found.layer.tolist() == ["early", "late"]
    assert found.redundancy[0] == pytest.approx(1 / 3)  # of the three pairs one is perfectly correlated, two not at all
    assert np.isnan(found.redundancy[1])


def test_concepts_of_one_network_only(first, second):
    two, low = {"M": first, "C4": second}, tau(first, second)
    assert rows(unique_concepts(two, low)) == [
        ("early", "Objects", "ladder", "M", 1),
        ("early", "Natural", "bird", "C4", 1),
        ("late", "Mass", "mass", "C4", 1),
        ("late", CALCIFICATION, "amorphous", "M", 1),
        ("late", f"{CALCIFICATION}; {SUSPICIOUS}", "amorphous calcification", "C4", 1),
    ]
    assert unique_concepts(two, low, layer="late", task="calcification").concept.tolist() == [
        "amorphous", "amorphous calcification",
    ]  # fmt: skip
    assert unique_concepts(two, tau(first, second, value=9)).empty


def test_learned_and_missed_by_group(first):
    assert rows(covered(first, tau(first))) == [(FINDINGS, 3, 4, 7), (INTERPRETATIONS, 0, 2, 2), (NATURAL, 1, 1, 2)]
    assert rows(covered(first, tau(first), by="domain")) == [("mammography", 3, 5, 8), ("other", 1, 1, 2)]
    assert rows(covered(first, tau(first), by="task"))[1] == ("calcification", 2, 2, 4)
    nothing = covered(first, tau(first, value=9))
    assert nothing.learned.tolist() == [0, 0, 0]
    assert nothing.missed.tolist() == nothing.total.tolist()


def test_missed_in_this_form_and_in_every_form(first):
    found = missed_concepts(first, tau(first))
    assert found[["concept", "learned_as"]].values.tolist() == [
        ["spiculated mass", ""],
        ["anechoic mass", ""],
        ["masses", "mass"],
        ["amorphous calcification", "amorphous"],
        ["new mass", ""],
    ]
    assert found.set_index("concept").category["amorphous calcification"] == f"{CALCIFICATION}; {SUSPICIOUS}"
    assert missed_concepts(first, tau(first), domain=None).concept.tolist()[-1] == "bird"
    distinct = distinct_missed(first, tau(first))
    assert distinct[["concept", "evidence", "shown_by"]].values.tolist() == [
        ["spiculated mass", "single view", ONE_MAMMOGRAM],
        ["new mass", "prior exam", MORE_MAMMOGRAMS],
        ["anechoic mass", "ultrasound", NO_MAMMOGRAM],
    ]
    assert "learned_as" not in distinct
    assert distinct_missed(first, tau(first), domain="other").shown_by.tolist() == [NOT_KNOWN]


def test_nothing_is_missed():
    everything = dissection(layer=CONCEPTS.names)
    assert missed_concepts(everything, tau(everything)).empty
    assert distinct_missed(everything, tau(everything)).empty


def test_every_evidence_has_a_meaning():
    assert set(SHOWN_BY) == set(EVIDENCE)


def test_reach_is_that_of_the_best_neuron(first):
    first.similarity["late"][1, CONCEPTS.names.index("bird")] = 0.75
    found = best_margin(first, pd.DataFrame({"layer": ["late", "early"], "threshold": [0.5, 0.875]})).set_index("concept")
    assert found.index.tolist() == CONCEPTS.names
    assert found.loc["bird"].tolist() == ["late", 1, 0.25]
    assert found.loc["mass"].tolist() == ["early", 0, 0.125]
    assert found.margin["new mass"] == -0.5
    learned = set(analysis.learned(first, tau(first)).concept)
    assert learned <= set(best_margin(first, tau(first)).query("margin >= 0").concept)


def test_reach_of_what_is_not_known_is_none(first):
    first.similarity["early"][:], first.similarity["late"][1] = np.nan, np.nan
    first.similarity["late"][0, 1:] = np.nan
    found = best_margin(first, pd.DataFrame({"layer": ["early", "late"], "threshold": 0.0})).set_index("concept").margin
    assert found["mass"] == 0
    assert found.drop("mass").isna().all()


def test_evidence_is_lent_to_the_same_concept():
    poor = ConceptSet(CONCEPTS.table.assign(evidence=""))
    lent = with_evidence(poor, load_concepts("mammography")).table.drop_duplicates("concept").set_index("concept").evidence
    assert lent["masses"] == lent["amorphous"] == "single view"
    assert lent["anechoic mass"] == "ultrasound"
    assert lent["new mass"] == "prior exam"
    assert lent["ladder"] == ""
    assert with_evidence(CONCEPTS, load_concepts("mammography")).table.equals(CONCEPTS.table)
    own = ConceptSet(CONCEPTS.table.assign(evidence="MRI"))
    assert set(with_evidence(own, load_concepts("mammography")).table.evidence) == {"MRI"}


def test_tasks_by_category_and_word():
    named = with_tasks(ConceptSet(CONCEPTS.table.assign(tasks=""))).table.set_index("concept").tasks
    assert named["amorphous"] == "calcification"
    assert set(named["amorphous calcification"]) == {"calcification"}  # both of its rows
    assert named["mass"] == named["masses"] == named["new mass"] == "mass"
    assert named["ladder"] == ""
    dense = [("high density mass", "Mass"), ("dense", "Breast density"), ("mass and calcifications", ""), ("massive", "")]
    named = with_tasks(concept_set(dense, "concept", "category")).table.tasks
    assert named.tolist() == [
        "mass",
        "density",
        "mass;calcification",
        "",
    ]
    assert with_tasks(CONCEPTS).table.equals(CONCEPTS.table)


def test_mistakes_are_named(first, second):
    with pytest.raises(ValueError, match="the concept set has no task 'birads'; it has mass, calcification"):
        task_counts({"M": first}, {"birads": ("M", "M")})
    with pytest.raises(ValueError, match="compares two dissections; found 1: M"):
        unique_concepts({"M": first}, tau(first))
    with pytest.raises(ValueError, match="no layer 'deep'; there are early, late"):
        unique_concepts({"M": first, "C4": second}, tau(first), layer="deep")
    with pytest.raises(ValueError, match="unknown tasks 'birads'"):
        unique_concepts({"M": first, "C4": second}, tau(first), task="birads")
    with pytest.raises(ValueError, match="no threshold for layer late; there are early"):
        best_margin(first, tau(first).iloc[:1])
