"""The same study on further trainings of its networks: what depends on a training's seed, beside what depends on patients."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import pandas as pd

from mdissect import analysis
from mdissect.dissection import Dissection
from mdissect.signatures import validated
from mdissect.study.claims import NOT_TESTABLE, Claim
from mdissect.study.findings import Results, of_study
from mdissect.study.pairs import COUNTS
from mdissect.study.profiles import trained_again
from mdissect.study.study import Study
from mdissect.study.tuning_findings import REPORTED
from mdissect.trust import recurrence

INTERVAL = re.compile(r" \([^()]* to [^()]*\)")
QUESTIONS = ("training", "fine_tuning", "missed", "neurons", "appendix")  # of `Results`, in its order
NUMBER = re.compile(r"(?<![\w.])(?<!neuron )\d+(?:\.\d+)?(?: %)?(?!\w|\.\d)")
NAMED = re.compile(r"neuron \d+")


@validated()
def further_trainings(study: Study) -> dict[str, Study]:
    """A study for each further training of the networks of a study's profile.

    >>> list(further_trainings(open_study("demo")))            # doctest: +SKIP
    ['s0', 's1', 's3', 's4']

    Each has the same setups, with the networks and dissectors of that training in the place of those that are shipped; setups
    whose networks were not trained again from that seed are left out. {} for a profile without further trainings, and where
    their files are not there.
    """
    found = {}
    for name, networks in study.profile.trainings.items():
        setups = {setup: trained_again(own, networks) for setup, own in study.profile.setups.items()}
        setups = {setup: own for setup, own in setups.items() if own is not None}
        if any(own != study.profile.setups[setup] for setup, own in setups.items()):
            found[name] = study.with_setups(setups)
    return found


@validated()
def varied(study: Study, others: Mapping[str, Study], setup: str) -> list[Dissection]:
    """The dissections of a setup in the further trainings that change it; none where no training does."""
    own = study.profile.setups[setup]
    return [other.dissect(setup) for other in others.values() if other.profile.setups.get(setup, own) != own]


@validated(rule=analysis.RULES)
def thresholds_by_training(
    study: Study, others: Mapping[str, Study], tau: Mapping[str, pd.DataFrame], rule: str = "top"
) -> dict[str, pd.DataFrame]:
    """Thresholds with their spread over trainings: `Study.thresholds` with columns threshold_least and threshold_most.

    Both are over all trainings, the study's own included. A setup that no training changes has no such columns.
    """

    def thresholds(dissection: Dissection) -> pd.DataFrame:
        return analysis.thresholds(dissection, rule=rule)

    return {name: with_spread(table, map(thresholds, varied(study, others, name)), "threshold") for name, table in tau.items()}


@validated()
def with_spread(table: pd.DataFrame, others: Iterable[pd.DataFrame], *values: str) -> pd.DataFrame:
    """A table with the least and the most of its columns over itself and other tables with the same rows."""
    others = list(others)
    if not others:
        return table
    columns = {}
    for value in values:
        every = pd.concat([one[value].reset_index(drop=True) for one in (table, *others)], axis=1)
        columns |= {f"{value}_least": every.min(axis=1).to_numpy(), f"{value}_most": every.max(axis=1).to_numpy()}
    return table.assign(**columns)


@validated(rule=analysis.RULES, count=COUNTS)
def by_training(
    results: Results,
    others: Mapping[str, Study],
    rule: str = "top",
    count: str = "concepts",
    classifiers: Sequence[str] = tuple(REPORTED),
) -> Results:
    """Results whose claims tell in how many trainings each is seen, and how their numbers spread over trainings.

    >>> by_training(results, further_trainings(study)).training[0].trainings     # doctest: +SKIP
    '5 of 5'

    A claim counts in the trainings where it can be tested: those on fine-tuned networks in fewer. The numbers of a claim get
    their least and greatest value over trainings where the words around them are the same in all.

    Parameters
    ----------
    results : Results
        Of the study itself, made with the same rule, count and classifiers.
    others : mapping of name to Study
        As `further_trainings` gives it.
    """
    found = [_claims(other, rule, count, classifiers) for other in others.values()]
    by_claim = iter([_counted(own, [claims[i] for claims in found]) for i, own in enumerate(results.all())])
    return replace(results, **{part: [next(by_claim) for _ in getattr(results, part)] for part in QUESTIONS})


@validated()
def recurring(study: Study, others: Mapping[str, Study], setup: str = "M") -> pd.DataFrame:
    """Do the same concepts come back? Neurons of each two trainings matched by correlation, by layer.

    Returns
    -------
    DataFrame
        A row per layer and pair of trainings: layer, first, second, then what `mdissect.trust.recurrence` gives.
    """
    trainings = {"shipped": study, **{name: other for name, other in others.items() if setup in other.profile.setups}}
    names, rows = list(trainings), []
    keep = study.kept(recurrence)
    for layer in study.dissect(setup).layers:
        for i, first in enumerate(names):
            for second in names[i + 1 :]:
                row = keep(trainings[first].dissect(setup), trainings[second].dissect(setup), layer)
                rows.append({"layer": layer, "first": first, "second": second, **row})
    columns = ["layer", "first", "second", "neurons", "correlation", "same", "same_chance", "category", "category_chance"]
    return pd.DataFrame(rows, columns=columns)


def _claims(study: Study, rule: str, count: str, classifiers: Sequence[str]) -> list[Claim]:
    """All claims of a training, kept where its networks are known by their files."""
    chosen = [name for name in classifiers if name in study.profile.setups]
    key = study.identity()
    find = _found if key is None else study.kept(_found, ignore=["study"])
    return find(study, key, rule, count, chosen)


def _found(study: Study, key: object, rule: str, count: str, classifiers: list[str]) -> list[Claim]:
    return of_study(study, rule, count, 0, classifiers).all()


def _counted(own: Claim, others: Sequence[Claim]) -> Claim:
    """A claim with what other trainings say of it."""
    tested = [one for one in others if one.state != NOT_TESTABLE]
    if own.state == NOT_TESTABLE or not tested:
        return own
    n = sum(one.seen for one in (own, *tested))
    return replace(own, trainings=f"{n} of {len(tested) + 1}", here=spread_in(own.here, [one.here for one in tested]))


def spread_in(words: str, others: Sequence[str]) -> str:
    """Words with the spread of their numbers over other words that differ in their numbers alone; else unchanged.

    >>> spread_in("M 12 (9 to 16) of 30", ["M 15 of 30", "M 8 of 30"])
    'M 12 (9 to 16; trainings 8 to 15) of 30'
    """
    plain = [INTERVAL.sub("", one) for one in (words, *others)]
    if len({NUMBER.sub("#", NAMED.sub("neuron", one)) for one in plain}) > 1:
        return words
    spreads = [_spread(values) for values in zip(*map(NUMBER.findall, plain), strict=True)]
    parts, last = [], 0
    found = NUMBER.finditer(INTERVAL.sub(lambda hit: "\0" * len(hit[0]), words))
    for number, spread in zip(found, spreads, strict=True):
        if not spread:
            continue
        interval = INTERVAL.match(words, number.end())
        parts.append(words[last : interval.end() - 1 if interval else number.end()])
        parts.append(f"; trainings {spread})" if interval else f" (trainings {spread})")
        last = interval.end() if interval else number.end()
    return "".join([*parts, words[last:]])


def _spread(values: Sequence[str]) -> str:
    """The least and the greatest of numbers as they are written, or "" where all are the same."""
    ordered = sorted(set(values), key=lambda value: float(value.removesuffix(" %")))
    return f"{ordered[0]} to {ordered[-1]}" if len(ordered) > 1 else ""
