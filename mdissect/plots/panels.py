"""Figures of several panels: each takes an empty Figure and returns it; nothing is computed here."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd
from matplotlib.figure import Figure

from mdissect.analysis import RULES
from mdissect.arguments import AT_LEAST_ONE, table_with
from mdissect.plots.bars import interval_bars, mark_incomparable, shown_groups
from mdissect.plots.coverage import against_chance, learned_shares
from mdissect.plots.lines import layer_lines
from mdissect.plots.style import DOMAIN_COLOURS, category_legend, percent_axis, setup_styles
from mdissect.plots.trust import precision_points

if TYPE_CHECKING:
    from mdissect.study import Pair
from mdissect.signatures import validated


@validated()
def draw_pair(fig: Figure, pair: "Pair") -> Figure:
    """Thresholds by layer, mammography and other concepts, the top three categories: the paper's figures 12 and 13.

    >>> draw_pair(plt.figure(layout="constrained"), compare_pair({"A": a, "B": b}))  # doctest: +SKIP

    Parameters
    ----------
    fig : Figure
        Empty, about 15 x 5 inches.
    pair : study.Pair
        As `study.compare_pair` returns it.
    """
    lines, domains, broad = fig.subplots(1, 3, width_ratios=[1, 1.35, 1.35])
    layer_lines(lines, pair.tau)
    lines.set(ylabel=f"tau: {RULES[pair.rule]}".replace(" of ", "\nof "))
    interval_bars(domains, pair.domains, "domain", pair.count)
    interval_bars(broad, pair.top, "broad_category", pair.count)
    shown = shown_groups(pair.top, "broad_category", pair.count)
    for ax, names in ((domains, list(DOMAIN_COLOURS)), (broad, shown)):
        category_legend(ax, names, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, fontsize=8)
        ax.set(ylabel=f"{pair.count} with labels that count")
    for ax, title in zip((lines, domains, broad), ("(a) thresholds", "(b) domains", "(c) top three categories"), strict=True):
        ax.set_title(title, pad=6 + 15 * -(-len(shown) // 2))  # above the legends
    if not pair.comparable:
        for ax, tables in ((domains, pair.domains), (broad, pair.top)):
            mark_incomparable(ax, tables, pair.names[:1], pair.own_labels, pair.count)
    return fig


@validated(captured=table_with("task", "setup", "layer", made_by="study.coverage.task_counts(...)"))
def task_panels(fig: Figure, captured: pd.DataFrame, value: str = "concepts") -> Figure:
    """Concepts of each task by layer and setup, a panel for each task: the paper's figure 9.

    >>> task_panels(plt.figure(), coverage.task_counts(found, {"mass": ("M", "C3")}))  # doctest: +SKIP
    """
    tasks = list(captured.groupby("task", sort=False))
    axes = fig.subplots(1, len(tasks), sharey=True, squeeze=False)[0]
    styles = setup_styles(list(captured.setup))
    colours, hatches = ({name: style[part] for name, style in styles.items()} for part in ("color", "hatch"))
    top = captured[[name for name in (value, f"{value}_high") if name in captured]].max().max()
    axes[0].set_ylim(0, top * 1.12 if top > 0 else 1)  # of all panels: numbers then find the room that there is
    for ax, (task, table) in zip(axes, tasks, strict=True):
        counts = dict(iter(table.groupby("setup", sort=False)))
        interval_bars(ax, counts, "setup", value, colours=colours, hatches=hatches)
        ax.set_title(f"{task}: {table['of'].iloc[0]} concepts in the set", fontsize=10)
    axes[0].set(ylabel=f"{value} of the task\nwith a label that counts")
    return fig


@validated(top=AT_LEAST_ONE)
def precision_panels(fig: Figure, tables: Mapping[str, pd.DataFrame], top: int = 20) -> Figure:
    """`precision_points`, a panel for each setup.

    >>> precision_panels(plt.figure(), {"M": trust.label_precision(found)})  # doctest: +SKIP
    """
    axes = fig.subplots(1, len(tables), sharex=True, sharey=True, squeeze=False)[0]
    for ax, (name, table) in zip(axes, tables.items(), strict=True):
        precision_points(ax, {name: table})
        ax.get_legend().remove()
        ax.set(title=f"{name}: {len(table)} neurons", xlabel="share of all images that show the label")
        percent_axis(ax.xaxis)
        percent_axis(ax.yaxis)
    axes[0].set(ylabel=f"share of the neuron's top {top} images\nthat show its label")
    axes[0].annotate("above the line: better\nthan a random image", (0.97, 0.05), ha="right", fontsize=8)
    return fig


@validated()
def coverage_panels(fig: Figure, tables: Mapping[str, pd.DataFrame]) -> Figure:
    """The share of each broad category's concepts that is learned, a panel for each setup, with the numbers beside.

    >>> coverage_panels(plt.figure(), {"M": coverage.covered(found, tau)})  # doctest: +SKIP
    """
    axes = fig.subplots(len(tables), 1, squeeze=False)[:, 0]
    for ax, (name, table) in zip(axes, tables.items(), strict=True):
        learned_shares(ax, table)
        ax.set(xlabel=f"share of the category's concepts that {name} has learned")
    return fig


@validated(check=table_with("among", "counted", made_by="study.missed_against_texts(...)"))
def text_panels(fig: Figure, check: pd.DataFrame) -> Figure:
    """Precision and recall of "missed" as a sign of "never mentioned", beside those of as many concepts drawn at random.

    >>> text_panels(plt.figure(), study.missed_against_texts(found, tau))  # doctest: +SKIP
    """
    rows = [f"{row.among}:\n{row.counted}" for row in check.itertuples()]
    axes = fig.subplots(1, 2, sharey=True)
    titles = {
        "precision": "share of the missed concepts\nthat no report mentions",
        "recall": "share of the never mentioned\nconcepts that are missed",
    }
    for ax, (measure, words) in zip(axes, titles.items(), strict=True):
        bounds = None
        if f"{measure}_low" in check:
            bounds = list(zip(check[f"{measure}_low"], check[f"{measure}_high"], strict=True))
        against_chance(ax, rows, check[measure], check[f"{measure}_by_chance"], bounds)
        ax.set(xlabel=words)
    for place, p in enumerate(check.p):
        at = {"xycoords": axes[1].get_yaxis_transform(), "textcoords": "offset points"}
        words = f"p = {p:.2g}" if p >= 0.001 else "p < 0.001"
        axes[1].annotate(words, (1, place), (6, 0), va="center", fontsize=9, annotation_clip=False, **at)
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside upper right", ncols=2, frameon=False)
    return fig
