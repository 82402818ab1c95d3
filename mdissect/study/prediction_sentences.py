"""What named neurons do to a network's answer, in sentences: tables in, Markdown out; every number comes from the tables."""

import numpy as np
import pandas as pd

from mdissect.arguments import listed, table_with
from mdissect.plots.predictions import SCORES
from mdissect.predictions import Contributions
from mdissect.signatures import validated
from mdissect.study.sentences import bullets

ABLATED = table_with(
    *("group", "neurons", "metric", "before", "change", "low", "high", "random", "excess", "excess_low", "excess_high", "p"),
    made_by="predictions.ablate_groups(...)",
)

LEVEL = 0.05  # of p among random sets


def _costly(table: pd.DataFrame) -> pd.DataFrame:
    """Groups that cost more than random sets: over patients (interval of the excess below 0) and among the sets (p)."""
    return table[(table.excess_high < 0) & (table.p <= LEVEL)]


@validated()
def additivity(found: Contributions) -> str:
    """How exactly contributions sum to the logits (`predictions.contributions`)."""
    return (
        f"Over {len(found)} images the contributions of the {found.head.n_neurons} neurons of {found.head.layer} and the bias "
        f"sum to the network's logits up to **{found.error:.1g}** of the largest logit."
    )


@validated(table=table_with("kind", "group", "neurons", "contribution", "end", made_by="contributions(...).waterfall(...)"))
def waterfall_in_words(table: pd.DataFrame, logit: str = "logit") -> str:
    """What raises and what lowers an image's logit (`Contributions.waterfall`); also the picture's alternative text."""
    first, steps, last = table.iloc[0], table.iloc[1:-1], table.iloc[-1]
    named, rest = steps[steps.kind == "group"], steps[steps.kind == "others"]
    said = []
    for words, rows in (("raised", named[named.contribution > 0]), ("lowered", named[named.contribution < 0])):
        most = rows.sort_values("contribution", key=lambda c: -c.abs(), kind="stable").head(3)
        parts = [f"“{row.group}” ({row.contribution:+.2f}, neurons: {row.neurons})" for row in most.itertuples()]
        said += [f"{words} most by {listed(parts)}"] if parts else []
    others = f"; all other groups together {rest.contribution.iloc[0]:+.2f}" if len(rest) else ""
    steps_said = ", and ".join(said) or "unchanged"
    return f"The {logit} is **{last.end:.2f}**: from {first.group} {first.end:.2f} it is {steps_said}{others}."


@validated(table=table_with("group", "difference", "low", "high", "share", made_by="contributions(...).compared(...)"))
def what_tells_apart(table: pd.DataFrame, what: str, most: int = 3) -> str:
    """Which groups tell images with something from those without (`Contributions.compared`)."""
    lines = [
        f"{row.group}: **{row.difference:+.2f}** ({row.low:+.2f} to {row.high:+.2f}), {100 * row.share:.0f} % of the difference"
        for row in table.head(most).itertuples()
    ]
    return (
        f"Between images with and without {what} the mean logit differs by {table.difference.sum():+.2f}:\n\n{bullets(lines)}"
    )


@validated(table=ABLATED)
def ablations(table: pd.DataFrame) -> str:
    """Which neurons a classifier uses more than others (`predictions.ablate_groups`, `study.used_categories`).

    A group costs more than random sets where the interval of its excess lies below 0 and p is 0.05 or less; also the picture's
    alternative text.
    """
    if table.empty:
        return "No group of neurons was ablated."
    score, lines = SCORES.get(table.metric.iloc[0], table.metric.iloc[0]), []
    several = table.groupby("setup", sort=False) if "setup" in table else [("", table)]
    for name, rows in several:
        costly = _costly(rows).sort_values("change", kind="stable")
        said = [
            f"{row.group} ({row.neurons} neurons): **{row.change:+.4f}** ({row.low:+.4f} to {row.high:+.4f}), random sets "
            f"{row.random:+.4f}, p = {row.p:.2g}"
            for row in costly.itertuples()
        ]
        head = f"{name}, {rows.task.iloc[0]}: " if name and "task" in rows else f"{name}: " if name else ""
        nothing = f"none of {len(rows)} groups costs more than random sets of as many neurons"
        before = f"{score} {rows.before.iloc[0]:.3f}"
        lines.append(f"{head}{before}; " + (f"more than random sets costs {'; '.join(said)}" if said else nothing))
    return (
        f"Neurons set to their mean, and what the {score} loses (95 % interval over patients), beside random sets of as many "
        f"neurons of the same layer:\n\n{bullets(lines)}"
    )


@validated(table=ABLATED)
def own_task_used(table: pd.DataFrame) -> str:
    """For how many classifiers the neurons of their own task cost more than random sets (`study.used_categories` by task)."""
    if "own" not in table or not np.any(table.own):
        return "No classifier has neurons that are labelled with its own task."
    own = table[table.own.astype(bool)]
    used = _costly(own)
    said = [f"{row.setup} ({row.excess:+.4f}, {row.excess_low:+.4f} to {row.excess_high:+.4f})" for row in used.itertuples()]
    without = [name for name in dict.fromkeys(table.setup) if name not in set(own.setup)]
    left_out = f" Without neurons of their own task: {listed(without, 8)}." if without else ""
    return (
        f"**{len(used)} of {len(own)}** classifiers lose more without the neurons labelled with their own task than without "
        f"random sets of as many{': ' if said else ''}{listed(said, 8)}.{left_out}"
    )
