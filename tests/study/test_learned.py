"""Learned and missed concepts with intervals: counts of sets, compared with literal loops."""

import numpy as np
import pandas as pd
import pytest
from made_up import concept_set, labelled

from mdissect import analysis
from mdissect.concepts import same_as
from mdissect.study import coverage
from mdissect.study.coverage import MORE_MAMMOGRAMS, ONE_MAMMOGRAM
from mdissect.study.learned import learned_of
from mdissect.study.numbers import with_interval
from mdissect.study.totals import ahead, distinct_counts, missed_summary, totals

FINDINGS, INTERPRETATIONS, NATURAL = "Findings and characterizations", "Interpretations", "Environmental and Natural"
ROWS = [
    ("mass", "Mass", FINDINGS, "mammography", "mass", "single view"),
    ("masses", "Mass", FINDINGS, "mammography", "mass", "single view"),
    ("spiculated mass", "Mass", FINDINGS, "mammography", "mass", "single view"),
    ("anechoic mass", "Mass", FINDINGS, "mammography", "mass", "ultrasound"),
    ("new mass", "Suspicious findings", INTERPRETATIONS, "mammography", "mass", "prior exam"),
    ("architectural distortion", "Distortion", INTERPRETATIONS, "mammography", "", "single view"),
    ("ladder", "Objects", NATURAL, "other", "", ""),
]
CONCEPTS = concept_set(ROWS)
NAMES = list(CONCEPTS.names)


@pytest.fixture
def found():
    return labelled(CONCEPTS, early=["mass", "ladder"], late=["spiculated mass", "mass"])


@pytest.fixture
def tau(found):
    return analysis.thresholds(found)


def resampled(seed: int, n_boot: int = 40) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {layer: rng.poisson(0.4, (n_boot, len(NAMES))) for layer in ("early", "late")}


def test_learned_is_any_layer(found, tau):
    drawn = resampled(0)
    learned = learned_of(found, tau, drawn)
    assert [name for name, is_learned in zip(NAMES, learned.own, strict=True) if is_learned] == [
        "mass",
        "spiculated mass",
        "ladder",
    ]
    np.testing.assert_array_equal(learned.drawn, (drawn["early"] > 0) | (drawn["late"] > 0))
    late = learned_of(found, tau, drawn, "late")
    assert late.own.sum() == 2
    np.testing.assert_array_equal(late.drawn, drawn["late"] > 0)
    assert learned_of(found, tau).drawn is None


@pytest.mark.parametrize("seed", range(8))
def test_distinct_missed_as_one_by_one(found, tau, seed):
    learned = learned_of(found, tau, resampled(seed))
    own, drawn = learned.distinct(CONCEPTS.table)
    for is_learned, is_gap in [(learned.own, own), *zip(learned.drawn, drawn, strict=True)]:
        known = [name for name, yes in zip(NAMES, is_learned, strict=True) if yes]
        missed = [name for name in NAMES if name not in known]
        other_form = same_as(CONCEPTS.table, missed, known)
        assert [name for name, yes in zip(NAMES, is_gap, strict=True) if yes] == [n for n in missed if not other_form[n]]


@pytest.mark.parametrize("seed", range(8))
def test_intervals_hold_the_counts_and_stay_possible(found, tau, seed):
    table = totals(found, tau, resampled(seed))
    assert ((table.low <= table.n) & (table.n <= table.high)).all()
    assert ((table.low >= 0) & (table.high <= table.of)).all()
    assert (table[["low", "high"]] % 1 == 0).all(axis=None)
    covered = coverage.covered(found, tau, "domain", resampled(seed))
    assert (covered.learned_low + covered.missed_high == covered.total).all()
    assert covered.learned.sum() == table.n["learned"]
    assert table.high["learned"] > table.low["learned"]


def test_totals_are_those_of_the_tables(found, tau):
    table, distinct = totals(found, tau), coverage.distinct_missed(found, tau)
    expected = {
        "learned": (3, 7), "missed": (4, 7), "missed, mammography": (4, 6), "in another form": (1, 6), "distinct": (3, 6),
        f"distinct: {ONE_MAMMOGRAM}": (1, 4), f"distinct: {MORE_MAMMOGRAMS}": (1, 1), "distinct: ultrasound or MRI": (1, 1),
        "distinct: distortion": (1, 1), "categories ahead": (0, 2),
    }  # fmt: skip
    assert {what: (table.n[what], table.of[what]) for what in expected} == expected
    assert table.n["distinct"] == len(distinct)
    assert table.low.isna().all()
    counts = distinct_counts(found, tau)
    assert counts.n.sum() == len(distinct)
    assert list(counts.broad_category.unique()) == [FINDINGS, INTERPRETATIONS]
    assert missed_summary({"M": table}).iloc[0].tolist() == ["3", "4", "1", "3"]


def test_every_category_has_a_row_for_all_that_shows_concepts(found, tau):
    counts = distinct_counts(found, tau)
    assert counts.groupby("broad_category").shown_by.agg(tuple).nunique() == 1


def test_categories_ahead_are_counted_on_resamples(found, tau):
    everything = {"early": np.ones((20, len(NAMES)), dtype=int), "late": np.zeros((20, len(NAMES)), dtype=int)}
    assert ahead(found, tau, everything) == (0, (0, 0), 2)  # no spread: the interval is the count
    assert ahead(found, tau) == (0, None, 2)


def test_numbers_in_words():
    assert with_interval(3, (1.0, 4.0)) == "3 (1 to 4)"
    assert with_interval(0.5) == "0.5"
    summary = missed_summary({"M": pd.DataFrame({"n": 3, "of": 7, "low": 1, "high": 4}, index=[
        "learned", "missed, mammography", "in another form", "distinct"])})  # fmt: skip
    assert summary.learned["M"] == "3 (1 to 4)"
