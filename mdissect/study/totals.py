"""How many concepts a network learned and missed over all layers, with intervals over resampled patients."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from mdissect import analysis
from mdissect.concepts import OTHER, one_row_each
from mdissect.dissection import Dissection
from mdissect.signatures import validated
from mdissect.study.counting import Resampled
from mdissect.study.learned import count_of, learned_of
from mdissect.study.numbers import Interval, interval_of, with_interval
from mdissect.study.shown_by import NOT_KNOWN, SHOWN_BY

ELSEWHERE = ("ultrasound", "MRI")
DISTORTION = r"architectur|distort"  # what the paper counts among the missed


@validated(thresholds=analysis.THRESHOLDS)
def totals(dissection: Dissection, thresholds: pd.DataFrame, resampled: Resampled = None) -> pd.DataFrame:
    """How many concepts are learned and missed over all layers, and what the missed ones need to be seen.

    >>> totals(found, tau).loc["learned", ["n", "of"]].tolist()  # doctest: +SKIP
    [120, 791]

    Parameters
    ----------
    resampled : mapping, optional
        `mdissect.trust.resampled_labels` of the same dissection and thresholds, for intervals.

    Returns
    -------
    DataFrame
        n and of (how many there could be), low and high (95 % interval over resampled patients; NaN without resamples),
        indexed by what is counted: "learned", "missed", "missed, mammography", "in another form" (missed concepts of
        mammography that are learned in another form), "distinct" (the other missed ones), "distinct: " and what shows them,
        "distinct: ultrasound or MRI", "distinct: distortion", and "categories ahead" (broad categories of mammography of
        which more is learned than missed).
    """
    learned = learned_of(dissection, thresholds, resampled)
    every = np.ones(len(learned.names), dtype=bool)
    table = one_row_each(dissection.concepts.subset(domain="mammography"))
    of_mammography = learned.among(table.concept)
    missed, distinct = learned.missed, learned.distinct(dissection.concepts.table)
    in_another_form = tuple(None if all_ is None else all_ & ~gaps for all_, gaps in zip(missed, distinct, strict=True))
    shown_by = table.evidence.map(SHOWN_BY).fillna(NOT_KNOWN)
    of_distinct = {f"distinct: {what}": learned.among(rows.concept) for what, rows in table.groupby(shown_by, sort=False)}
    of_distinct["distinct: ultrasound or MRI"] = learned.among(table.concept[table.evidence.isin(ELSEWHERE)])
    of_distinct["distinct: distortion"] = learned.among(table.concept[table.concept.str.contains(DISTORTION)])
    asked = {
        "learned": (learned.own, learned.drawn, every),
        "missed": (*missed, every),
        "missed, mammography": (*missed, of_mammography),
        "in another form": (*in_another_form, of_mammography),
        "distinct": (*distinct, of_mammography),
        **{what: (*distinct, member) for what, member in of_distinct.items()},
    }
    rows = {what: (*count_of(own, drawn, member), int(member.sum())) for what, (own, drawn, member) in asked.items()}
    rows["categories ahead"] = ahead(dissection, thresholds, resampled)
    found = {what: {"n": n, "of": of, **_bounds(interval)} for what, (n, interval, of) in rows.items()}
    return pd.DataFrame.from_dict(found, orient="index")


def ahead(dissection: Dissection, thresholds: pd.DataFrame, resampled: Resampled = None) -> tuple[int, Interval, int]:
    """In how many of the broad categories of mammography more is learned than missed, the interval, and how many there are."""
    learned, groups = learned_of(dissection, thresholds, resampled), analysis.group_of(dissection.concepts, "broad_category")
    groups = groups[groups.broad_category != OTHER]
    members = [learned.among(rows.concept) for _, rows in groups.groupby("broad_category", sort=False)]
    n = sum(2 * int((learned.own & member).sum()) > member.sum() for member in members)
    if learned.drawn is None or not members:
        return n, None, len(members)
    drawn = np.sum([2 * (learned.drawn & member).sum(axis=1) > member.sum() for member in members], axis=0)
    return n, interval_of(n, drawn, len(members)), len(members)


@validated(thresholds=analysis.THRESHOLDS)
def distinct_counts(dissection: Dissection, thresholds: pd.DataFrame, resampled: Resampled = None) -> pd.DataFrame:
    """The distinct missed concepts of mammography by category and by what shows them, with intervals (paper Fig. 11).

    Parameters
    ----------
    resampled : mapping, optional
        As for `totals`.

    Returns
    -------
    DataFrame
        broad_category (of several the first), shown_by, n, low and high (95 % intervals; NaN without resamples), both in the
        order of the concept set and of `SHOWN_BY`; each category has a row for all of these that occur.
    """
    learned, table = (
        learned_of(dissection, thresholds, resampled),
        one_row_each(dissection.concepts.subset(domain="mammography")),
    )
    table = table.assign(
        broad_category=table.broad_category.str.partition("; ")[0], shown_by=table.evidence.map(SHOWN_BY).fillna(NOT_KNOWN)
    )
    order = {what: i for i, what in enumerate(dict.fromkeys([*SHOWN_BY.values(), NOT_KNOWN]))}
    gaps, rows = learned.distinct(dissection.concepts.table), []
    for category, part in table.groupby("broad_category", sort=False):
        for what in sorted(table.shown_by.unique(), key=order.get):
            n, interval = count_of(*gaps, learned.among(part.concept[part.shown_by == what]))
            rows.append({"broad_category": category, "shown_by": what, "n": n, **_bounds(interval)})
    return pd.DataFrame(rows)


@validated()
def missed_summary(found: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """`totals` of each setup in a row: learned, missed of mammography, of those in another form, distinct; with intervals."""
    heads = {
        "learned": "learned",
        "missed, mammography": "missed, mammography",
        "in another form": "of those in another form",
        "distinct": "distinct",
    }
    rows = {name: {head: in_words(table, what) for what, head in heads.items()} for name, table in found.items()}
    return pd.DataFrame.from_dict(rows, orient="index")


def in_words(table: pd.DataFrame, what: str) -> str:
    """A row of `totals`, such as "120 (111 to 131)"."""
    row = table.loc[what]
    return with_interval(row.n, None if np.isnan(row.low) else (row.low, row.high))


def _bounds(interval: Interval) -> dict[str, float]:
    low, high = interval or (np.nan, np.nan)
    return {"low": low, "high": high}
