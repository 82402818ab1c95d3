"""How well labels predict, what tells right ones, and what the dissector's words mean: tables in, Markdown out."""

import pandas as pd

from mdissect.plots.evidence import INDICATORS
from mdissect.study.sentences import Tables, bullets, percent
from mdissect.trust.held_out import BEST, IN_SAMPLE
from mdissect.trust.indicators import RIGHT

SURE = 0.05  # p of a dissector's card from which on its words are better than random axes


def predicted(tables: Tables) -> str:
    """How well labels predict their neurons on unseen patients, beside floor and ceiling (`trust.predicts` by setup)."""
    lines = []
    for name, table in tables.items():
        known = table.dropna(subset=["predicts"])
        if known.empty:
            lines.append(f"{name}: no neuron has a label whose prediction is known")
            continue
        above = (known.predicts_low > known.floor).mean()
        lines.append(
            f"{name}: the median label correlates with its neuron at **{known.predicts.median():.2f}** on patients that it was "
            f"not chosen on (10 to 90 % of the neurons: {known.predicts.quantile(0.1):.2f} to "
            f"{known.predicts.quantile(0.9):.2f}); labels of other neurons {known.floor.median():.2f}, the best single concept "
            f"{known.ceiling.median():.2f}, all concepts together {known.ridge.median():.2f}. **{percent(above)}** of "
            f"{len(known)} labels predict better than those of other neurons (95 % interval above their mean)."
        )
    return bullets(lines)


def indicator_words(tables: Tables) -> str:
    """Which number tells right labels from wrong ones, and what to trust (`trust.indicators` by setup)."""
    lines = []
    for name, table in tables.items():
        known = table.dropna(subset=["auc"])
        if known.empty:
            lines.append(f"{name}: too few right or wrong labels of known presence")
            continue
        said = [f"{_means(row.indicator)} {_with_interval(row.auc, row.low, row.high)}" for row in known.itertuples()]
        right = f"{known.right.iloc[0]} of {known.neurons.iloc[0]} labels of known presence are right (AUC {RIGHT:g} or more)"
        lines.append(f"{name}: {right}; told from the others with an AUC of {', '.join(said)}")
    return f"{bullets(lines)}\n\n{recommended(tables)}"


def recommended(tables: Tables) -> str:
    """The number to trust: the first indicator, where it is ahead of others by an interval that excludes 0 in every setup."""
    known = {name: table.dropna(subset=["auc"]) for name, table in tables.items()}
    known = {name: table.set_index("indicator") for name, table in known.items() if len(table) > 1}
    if not known:
        return "The truth of too few labels is known to say which number to trust."
    first, *others = next(iter(known.values())).index
    others = [one for one in others if all(one in table.index for table in known.values())]
    beaten = [one for one in others if all(table.ahead_low[one] > 0 for table in known.values())]
    better = [one for one in others if all(table.ahead_high[one] < 0 for table in known.values())]
    open_ones = [one for one in others if one not in beaten and one not in better]
    where = "in each of these networks" if len(known) > 1 else f"in {next(iter(known))}"
    said = []
    if beaten:
        said.append(
            f"**What to trust: {_means(first)}** tells right labels better than {_listed(beaten)} {where} (the 95 % interval "
            "of each difference excludes 0)."
        )
    if better:
        words = _listed(better)
        said.append(f"{words[0].upper()}{words[1:]} {'is' if len(better) == 1 else 'are'} better still {where}.")
    if open_ones:
        said.append(f"Against {_listed(open_ones)} the intervals do not decide everywhere.")
    return " ".join(said)


def dissector_words(cards: Tables) -> str:
    """Whether the dissectors' words mean more than random axes (`trust.dissector_card` by setup)."""
    lines = []
    for name, card in cards.items():
        last = card.iloc[-1]
        if pd.isna(last.share):
            lines.append(f"{name}, {last.layer}: no neuron varies")
            continue
        verdict = "more than random axes reach" if last.p <= SURE else "no more than random axes reach"
        lines.append(
            f"{name}, {last.layer}: **{percent(last.share)}** of {last.neurons} neurons ({percent(last.low)} to "
            f"{percent(last.high)}) follow a concept more closely than the best of as many random axes, {verdict} (95 % of "
            f"the random sets stay below {percent(last.random_share)}; p = {last.p:.3f})."
        )
    return bullets(lines)


def held_out(tables: Tables) -> str:
    """AUC of neurons for labels chosen on other patients, and the ceiling by split (`trust.held_out_auc` by setup)."""
    lines = []
    for name, table in tables.items():
        rows = table[table.layer == table.layer.iloc[-1]].set_index("rule")
        rules = [rule for rule in rows.index if rule not in (BEST, IN_SAMPLE)]
        said = [f"{rule} **{row.auc:.2f}** ({row.low:.2f} to {row.high:.2f})" for rule, row in rows.loc[rules].iterrows()]
        ahead = [
            f"{rules[0]} ahead of {rule} by {row.ahead:.2f} ({row.ahead_low:.2f} to {row.ahead_high:.2f})"
            for rule, row in rows.loc[rules[1:]].iterrows()
        ]
        lines.append(
            f"{name}, {table.layer.iloc[-1]}: {', '.join([*said, *ahead])}. The truth's own best concept, chosen on the same "
            f"half, reaches **{rows.auc[BEST]:.2f}** on the other; chosen where it is measured, {rows.auc[IN_SAMPLE]:.2f}, "
            "which flatters."
        )
    return f"Mean AUC on patients that the labels were not chosen on:\n\n{bullets(lines)}"


def _means(indicator: str) -> str:
    return INDICATORS.get(indicator, indicator.replace("_", " "))


def _listed(indicators: list[str]) -> str:
    words = [_means(one) for one in indicators]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _with_interval(value: float, low: float, high: float) -> str:
    return f"**{value:.2f}** ({low:.2f} to {high:.2f})"
