"""Plots of what named neurons do to an answer: each takes an Axes and a table, draws, and returns the Axes."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mdissect.arguments import table_with
from mdissect.plots.style import mammogram, setup_styles, styled
from mdissect.signatures import validated

if TYPE_CHECKING:
    from mdissect.study.answers import Answer

RAISES, LOWERS, TOTAL = ("#0072B2", ""), ("#D55E00", "//"), ("#777777", "..")  # colour and hatch
BAND = "#CCCCCC"
WATERFALL = ("kind", "group", "neurons", "contribution", "start", "end")
FOREST = ("group", "neurons", "metric", "change", "low", "high", "random", "random_low", "random_high")
SCORES = {"auc": "AUC", "accuracy": "accuracy", "macro_f1": "macro F1"}


@styled
@validated(table=table_with(*WATERFALL, made_by="contributions(...).waterfall(...)"))
def waterfall(ax: Axes, table: pd.DataFrame, logit: str = "logit") -> Axes:
    """From the bias to an image's logit, a bar per group of neurons: what raises it and what lowers it.

    >>> waterfall(ax, contributions(target, found, probe).waterfall(0))  # doctest: +SKIP

    Parameters
    ----------
    table : DataFrame
        Columns kind, group, neurons, contribution, start and end (`mdissect.predictions.Contributions.waterfall`).
    logit : str
        What the logit is called on the axis, such as "logit of mass".
    """
    low, high = min(0.0, table[["start", "end"]].min().min()), max(0.0, table[["start", "end"]].max().max())
    room = (high - low) or 1.0
    for i, row in enumerate(table.itertuples()):
        ends = row.kind in ("start", "end")
        colour, hatch = TOTAL if ends else RAISES if row.contribution >= 0 else LOWERS
        left, right = sorted((row.start, row.end))
        ax.barh(i, right - left, 0.7, left=left, color=colour, hatch=hatch)
        words = f"{row.end:.2f}" if ends else f"{row.contribution:+.2f}"
        ax.annotate(words, (right, i), (3, 0), textcoords="offset points", va="center", fontsize=8)
        if i + 1 < len(table):
            ax.plot([row.end, row.end], [i + 0.35, i + 0.65], color="#777777", lw=0.8)
    ax.axvline(0, color="#777777", lw=0.8, zorder=0)
    ax.set_yticks(range(len(table)), [_named(row.group, row.neurons) for row in table.itertuples()], fontsize=8)
    ax.set_ylim(len(table) - 0.4, -0.6)
    ax.set_xlim(low - 0.03 * room, high + 0.16 * room)
    ax.set_xlabel(f"{logit}: sum of weight times activation")
    return ax


@styled
@validated(table=table_with(*FOREST, made_by="predictions.ablate_groups(...)"))
def ablation_forest(ax: Axes, table: pd.DataFrame) -> Axes:
    """The change of a score by the neurons set to their mean, with its interval, over the band of random sets.

    >>> ablation_forest(ax, ablate_groups(target, found, probe, "mass"))  # doctest: +SKIP

    Parameters
    ----------
    table : DataFrame
        Columns group, neurons, metric, change, low, high, random, random_low and random_high, and setup where there are several
        (`mdissect.predictions.ablate_groups`, `mdissect.study.used_categories`).
    """
    setups = list(dict.fromkeys(table.setup)) if "setup" in table else []
    styles = setup_styles(setups)
    for i, row in enumerate(table.itertuples()):
        look = {k: styles[row.setup][k] for k in ("color", "marker")} if setups else {"color": RAISES[0], "marker": "o"}
        width = max(row.random_high - row.random_low, 0)
        ax.barh(
            i,
            width,
            0.62,
            left=row.random_low,
            color=BAND,
            edgecolor="none",
            zorder=1,
            label=None if i else "95 % of the random sets",
        )
        ax.plot([row.random] * 2, [i - 0.31, i + 0.31], color="#777777", lw=1, zorder=2)
        if np.isfinite(row.low):
            ax.hlines(i, row.low, row.high, color=look["color"], lw=2, zorder=3)
        named = row.setup if setups and row.setup != (table.setup.iloc[i - 1] if i else None) else None
        ax.plot(row.change, i, ls="", ms=6, zorder=4, label=named, **look)
    ax.axvline(0, color="#777777", lw=0.8, zorder=0)
    names = [f"{row.setup}, {row.task}: " if setups and "task" in table else "" for row in table.itertuples()]
    words = [name + _named(row.group, row.neurons) for name, row in zip(names, table.itertuples(), strict=True)]
    ax.set_yticks(range(len(table)), words, fontsize=8)
    ax.set_ylim(len(table) - 0.4, -0.6)
    ax.set_xlabel(f"change of the {SCORES.get(table.metric.iloc[0], table.metric.iloc[0])} without the neurons of a label")
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=min(5, 1 + len(setups)), fontsize=8)
    return ax


@validated()
def answer_panels(fig: Figure, answers: Mapping[str, "Answer"]) -> Figure:
    """For each classifier the image looked at and the `waterfall` of its logit.

    >>> answer_panels(plt.figure(), study.explained(one, {"C3": "mass"})[0])  # doctest: +SKIP

    Parameters
    ----------
    fig : Figure
        Empty.
    answers : mapping of setup to mdissect.study.Answer
    """
    axes = fig.subplots(len(answers), 2, squeeze=False, width_ratios=[1, 3])
    for (left, right), (name, answer) in zip(axes, answers.items(), strict=True):
        mammogram(left, answer.pixels, answer.found.ids[answer.image])
        waterfall(right, answer.waterfall(), answer.logit)
        right.set_title(f"{name}: {answer.task}, neurons of {answer.found.head.layer} by their label", fontsize=10)
    return fig


def _named(group: str, neurons: int) -> str:
    return f"{group} ({neurons})" if neurons else str(group)
