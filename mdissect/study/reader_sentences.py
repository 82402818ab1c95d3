"""The agreement of readers in sentences, for the notebook on explorers; every number is computed."""

import pandas as pd

from mdissect.study.sentences import bullets, percent
from mdissect.trust import Agreement
from mdissect.trust.readers import ALL_LAYERS, MAJORITY


def agreed(found: Agreement, level: str = "95 %") -> str:
    """How far readers agree and how many labels they find right (`mdissect.trust.reader_agreement`)."""
    if not found.readers:
        return "No verdict has been saved yet: enter initials in the explorer above, judge neurons, and run this cell again."
    row = found.layers.iloc[-1]
    lines = [_agreement(found, row, level)]
    lines += [f"{one.layer}: {_kappa(one)}" for one in found.layers.iloc[:-1].itertuples() if len(found.layers) > 2]
    overall = found.right[found.right.layer == ALL_LAYERS]
    lines += [_right(one) for one in overall.itertuples()]
    lines += [f"{note[0].upper()}{note[1:]}." for note in found.notes]
    return bullets(lines)


def _agreement(found: Agreement, row: pd.Series, level: str) -> str:
    who = f"{len(found.readers)} reader{'s' * (len(found.readers) > 1)} ({', '.join(found.readers)})"
    if len(found.readers) < 2:
        return f"{who}: agreement needs two."
    if not row.neurons:
        return f"{who}: {row.note}."
    share = f"{percent(row.share)}{_between(row.share_low, row.share_high, percent)}"
    pairs = "" if len(found.readers) == 2 else " of pairs"
    return (
        f"{who} on {row.neurons} neurons: the same verdict in {share}{pairs}, {_kappa(row)} ({level} intervals); they differ "
        f"on **{len(found.disagreements)}** neurons."
    )


def _kappa(row: pd.Series) -> str:
    """Such as "Cohen's kappa **0.61** (0.40 to 0.78)", or why there is none."""
    if row.kappa != row.kappa:
        return f"{row.note} ({row.neurons} neurons)"
    interval = _between(row.kappa_low, row.kappa_high, lambda bound: f"{bound:.2f}")
    return f"{row.method}{'’' if row.method.endswith('s') else '’s'} kappa **{row.kappa:.2f}**{interval or f' ({row.note})'}"


def _right(row: pd.Series) -> str:
    who = "Most of the readers" if row.reader == MAJORITY else row.reader
    finds = "find" if row.reader == MAJORITY else "finds"
    named = f"; own words name the label on {row.named} of {row.words}" if row.words else ""
    return f"{who} {finds} **{percent(row.share)}**{_between(row.low, row.high, percent)} of {row.judged} labels right{named}."


def _between(low: float, high: float, write) -> str:
    return f" ({write(low)} to {write(high)})" if low == low else ""
