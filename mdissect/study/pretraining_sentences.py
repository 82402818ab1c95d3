"""Pretraining, localisation and trainings compared, in sentences: tables in, Markdown out; numbers come from the tables."""

from collections.abc import Mapping

import pandas as pd

from mdissect.arguments import table_with, tables_with
from mdissect.signatures import validated
from mdissect.study.sentences import bullets, percent

POINTED = table_with(
    "finding", "method", "pointing", "pointing_low", "pointing_high", "chance", made_by="localize.compare_localisation(...)"
)
RECURRED = table_with(
    *("layer", "neurons", "correlation", "same", "same_chance", "category", "category_chance"), made_by="study.recurring(...)"
)


@validated(history=table_with("epoch", made_by="train.pretrain(...).history"))
def losses_in_words(history: pd.DataFrame) -> str:
    """How far each loss of a pretraining fell from the first epoch to the last."""
    losses = [name for name in history if name in ("image-text", "image-image", "text-text", "validation loss")]
    said = [f"{name} {history[name].iloc[0]:.2f} to {history[name].iloc[-1]:.2f}" for name in losses]
    return f"From epoch 1 to {len(history)}: {', '.join(said)}."


@validated(tables=tables_with("task", "value", made_by="evaluate.evaluate_dissector(...).table"))
def models_in_words(tables: Mapping[str, pd.DataFrame], what: str = "zero-shot AUC") -> str:
    """Where one model is ahead of another beyond their intervals, and by how much on the mean of the tasks that both have."""
    (first, a), (second, b) = tables.items()
    both = a.merge(b, on="task", suffixes=("_a", "_b"))
    ahead = {first: both[both.low_a > both.high_b], second: both[both.low_b > both.high_a]}
    means = (
        f"Mean {what} over {len(both)} tasks: {first} **{both.value_a.mean():.3f}**, {second} **{both.value_b.mean():.3f}**."
    )
    lines = [
        f"{name} is ahead with intervals apart in {len(rows)}: "
        + (", ".join(f"{row.task} ({row.value_a:.3f} and {row.value_b:.3f})" for row in rows.itertuples()) or "none")
        for name, rows in ahead.items()
    ]
    return f"{means}\n\n{bullets(lines)}"


@validated(table=POINTED)
def pointing_in_words(table: pd.DataFrame) -> str:
    """How often each method points into the boxes of each finding, and which points best."""
    lines = []
    for finding, rows in table.groupby("finding", sort=False):
        known = rows.dropna(subset="pointing").sort_values("pointing", ascending=False, kind="stable")
        said = [
            f"{r.method} **{percent(r.pointing)}** ({percent(r.pointing_low)} to {percent(r.pointing_high)})"
            for r in known.itertuples()
        ]
        lines.append(f"{finding}: {', '.join(said)}; a pixel at random {percent(rows.chance.iloc[0])}")
    mean = table.groupby("method", sort=False).pointing.mean()
    best = mean.idxmax()
    return f"{bullets(lines)}\n\nOver the findings **{best}** points best ({percent(mean[best])} on average)."


@validated(table=RECURRED)
def recurring_in_words(table: pd.DataFrame) -> str:
    """Whether the same concepts come back in other trainings, by layer: means over pairs of trainings, and chance."""
    if table.empty:
        return "Only one training of this network is known."
    lines = []
    for layer, rows in table.groupby("layer", sort=False):
        mean = rows.drop(columns=["layer", "first", "second"], errors="ignore").mean()
        lines.append(
            f"{layer}: median correlation of matched neurons {mean.correlation:.2f}; the same label in "
            f"**{percent(mean.same)}** of them (random partners {percent(mean.same_chance)}), one of the same category in "
            f"**{percent(mean.category)}** ({percent(mean.category_chance)})"
        )
    pairs = len(table) // table.layer.nunique()
    return f"Over {pairs} pairs of trainings:\n\n{bullets(lines)}"
