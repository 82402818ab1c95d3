"""Plots of what a model reaches with few labels: takes an Axes or a Figure, draws, and returns it; nothing is computed here."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mdissect.arguments import table_with
from mdissect.plots.style import UNGROUPED, styled
from mdissect.signatures import validated

SCORED = table_with(
    *("part", "task", "prompts", "fraction", "metric", "value", "low", "high", "seeds_low", "seeds_high", "chance", "n"),
    made_by="evaluate.evaluate_dissector(...).table",
)
PARTS = {"linear probe": ("#0072B2", "o", -0.05), "fine-tune": ("#D55E00", "s", 0.05)}  # colour, marker, place beside the tick
SAME_QUESTION = {"mass": "mass", "calcification": "suspicious calcification", "cancer": "malignancy"}  # learnt: zero-shot
WORDS = {"auc": "AUC", "accuracy": "accuracy", "macro_f1": "macro F1"}


@styled
@validated(table=SCORED, metric=tuple(WORDS))
def data_efficiency(ax: Axes, table: pd.DataFrame, task: str, metric: str = "auc") -> Axes:
    """A score over the share of the training patients: a line for the linear probe and one for fine-tuning.

    >>> data_efficiency(ax, evaluate_dissector(...).table, "mass")  # doctest: +SKIP

    Thick bars are intervals over the patients of the test, thin ones reach from the least to the greatest of several draws of
    the training patients. Horizontal lines: the zero-shot score of the same question where it was asked (on all images, where
    the probe has no split), and what is reached without looking.

    Parameters
    ----------
    table : DataFrame
        `mdissect.evaluate.Evaluation.table`.
    task : str
        One of its tasks, such as "mass".
    metric : {"auc", "accuracy", "macro_f1"}

    Raises
    ------
    ValueError
        No such task among the linear probes and fine-tunings.
    """
    own = table[(table.task == task) & (table.metric == metric)]
    learnt = own[own.part.isin(PARTS)]
    if learnt.empty:
        known = ", ".join(dict.fromkeys(table[table.part.isin(PARTS)].task)) or "none"
        raise ValueError(f"task={task!r} has no linear probe or fine-tuning in the table; there are {known}")
    fractions = sorted(learnt.fraction.unique())
    for part, (colour, marker, shift) in PARTS.items():
        rows = learnt[learnt.part == part].sort_values("fraction")
        if rows.empty:
            continue
        places = np.array([fractions.index(one) for one in rows.fraction]) + shift
        ax.vlines(places, rows.low, rows.high, color=colour, lw=4, alpha=0.35)
        ax.vlines(places, rows.seeds_low, rows.seeds_high, color=colour, lw=1.2)
        ax.plot(places, rows.value, color=colour, marker=marker, lw=2, label=part)
    zero = table[(table.part == "zero-shot") & (table.task == SAME_QUESTION.get(task)) & (table.metric == metric)]
    if len(zero):
        label = f"zero-shot, no labels ({zero.n.iloc[0]} images)"
        ax.axhline(zero.value.iloc[0], color="#444444", ls="--", lw=1.4, label=label)
    ax.axhline(learnt.chance.iloc[0], color=UNGROUPED, ls=":", lw=1.4, label="without looking")
    ax.set_xticks(range(len(fractions)), [f"{100 * one:g} %" for one in fractions])
    ax.margins(x=0.15)
    ax.set(xlabel="share of the training patients", ylabel=WORDS[metric])
    return ax


@validated(table=SCORED, metric=tuple(WORDS))
def efficiency_panels(fig: Figure, table: pd.DataFrame, metric: str = "auc") -> Figure:
    """`data_efficiency` of every task that was learnt, a panel each, with one legend.

    >>> efficiency_panels(plt.figure(layout="constrained", figsize=(11, 4)), found.table)  # doctest: +SKIP

    Parameters
    ----------
    fig : Figure
        Empty, with a constrained layout.
    table, metric
        As for `data_efficiency`.
    """
    tasks = list(dict.fromkeys(table[table.part.isin(PARTS) & (table.metric == metric)].task))
    if not tasks:
        raise ValueError("table has no linear probe and no fine-tuning; evaluate with these parts")
    axes = fig.subplots(1, len(tasks), sharey=True, squeeze=False)[0]
    entries = {}
    for ax, task in zip(axes, tasks, strict=True):
        data_efficiency(ax, table, task, metric)
        ax.set_title(task)
        if ax is not axes[0]:
            ax.set_ylabel("")
        entries |= {label: handle for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    fig.legend(entries.values(), entries, loc="outside lower center", ncols=len(entries), frameon=False)
    return fig
