"""Findings about labels of several words, clarity and prompts in sentences: tables in, Markdown out."""

import pandas as pd

from mdissect.study.sentences import Tables, bullets, percent


def several_words(tables: Tables, most: int = 3) -> str:
    """How many neurons of the last layers need more than one word (`trust.linear_by_layer` by setup)."""
    lines = []
    for name, table in tables.items():
        last = table.iloc[-1]
        if not last.neurons:
            lines.append(f"{name}, {last.layer}: no neuron can be explained")
            continue
        lines.append(
            f"{name}, {last.layer}: **{percent(last.several)}** of the {last.neurons:.0f} neurons need more than one word, "
            f"{percent(last.one_word)} do with one, {percent(last.nothing)} follow no words; up to {most} words explain "
            f"{percent(last.sum_r2)} of the variance on unseen patients, one explains {percent(last.one_word_r2)} (gain "
            f"**{_points(last.gain)}**, {_range(last.gain_low, last.gain_high)})"
        )
    return bullets(lines)


def clear_neurons(tables: Tables) -> str:
    """How alike the top images of the last layers' neurons are (`trust.clarity_by_layer` by setup)."""
    lines = []
    for name, table in tables.items():
        last = table.iloc[-1]
        lines.append(
            f"{name}, {last.layer}: clarity **{last.clarity:.2f}** ({last.clarity_low:.2f} to {last.clarity_high:.2f}; any two "
            f"images of the probe: {last.probe_clarity:.2f}), polysemanticity {last.polysemanticity:.2f} "
            f"({last.polysemanticity_low:.2f} to {last.polysemanticity_high:.2f}), redundancy "
            + ("unknown" if pd.isna(last.redundancy) else
               f"{last.redundancy:.2f} ({last.redundancy_low:.2f} to {last.redundancy_high:.2f})")
        )  # fmt: skip
    return bullets(lines)


def prompt_effects(card: pd.DataFrame) -> str:
    """What sentences around the concepts change on a dissector's report card (`trust.prompt_cards`)."""
    bare, others = card.iloc[0], card.iloc[1:]
    head = (
        f"Mean AUC of {bare.concepts} concepts of known presence as bare phrases: **{bare.auc:.3f}** ({bare.low:.3f} to "
        f"{bare.high:.3f})."
    )
    lines = []
    for row in others.itertuples():
        verdict = "better" if row.change_low > 0 else "worse" if row.change_high < 0 else "no clear change"
        lines.append(
            f"{row.prompts}: {row.auc:.3f}, change **{row.change:+.3f}** ({row.change_low:+.3f} to {row.change_high:+.3f}): "
            f"{verdict}; {percent(row.better)} of the concepts gain"
        )
    return f"{head}\n\n{bullets(lines)}" if lines else head


def _points(share: float) -> str:
    """A difference of shares, in points of a hundred."""
    return f"{100 * share:+.0f} points"


def _range(low: float, high: float) -> str:
    return f"{100 * low:+.1f} to {100 * high:+.1f}"
