"""Plots of learned and missed concepts: each takes an Axes and returns it; nothing is computed here."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from mdissect.arguments import same_length, table_with
from mdissect.plots.overprint import Segment, segment_numbers
from mdissect.plots.style import SETUP_COLOURS, group_style, percent, percent_axis, styled
from mdissect.signatures import validated

BAR = 0.7  # height of a lying bar
SHOWN_STYLES = (("#0072B2", ""), ("#E69F00", "//"), ("#999999", "xx"), ("#E5E5E5", ".."))  # by what shows a concept


@styled
@validated(table=table_with("broad_category", "learned", "total", made_by="study.coverage.covered(...)"))
def learned_shares(ax: Axes, table: pd.DataFrame) -> Axes:
    """A bar per broad category: the share of its concepts that is learned (filled), of all (outlined), with the numbers.

    >>> learned_shares(ax, coverage.covered(found, tau))  # doctest: +SKIP

    Parameters
    ----------
    table : DataFrame
        Columns broad_category, learned, missed, total (`study.coverage.covered`), learned_low and learned_high for intervals,
        and learned_least and learned_most for the spread over trainings; the first row is drawn at the top.
    """
    for place, row in enumerate(table.itertuples()):
        style = group_style(row.broad_category)
        ax.barh(place, 1, height=0.7, facecolor="none", edgecolor=style["facecolor"], ls="--", lw=1.2, clip_on=False)
        ax.barh(place, row.learned / row.total, height=0.7, **style)
        words = f"{row.learned} of {row.total} learned"
        if {"learned_low", "learned_high"} <= set(table):
            ends = [[(row.learned - row.learned_low) / row.total], [(row.learned_high - row.learned) / row.total]]
            _whisker(ax, row.learned / row.total, place, ends)
            words += f" ({row.learned_low:g} to {row.learned_high:g})"
        if {"learned_least", "learned_most"} <= set(table):
            ends = [row.learned_least / row.total, row.learned_most / row.total]
            ax.plot(ends, [place + 0.22] * 2, color="#444444", lw=1, marker="d", ms=3)
            words += f"\ntrainings {row.learned_least:g} to {row.learned_most:g}"
        ax.annotate(words, (1.02, place), va="center", fontsize=9, annotation_clip=False)
    ax.axvline(0.5, color="#777777", lw=1, ls=":")
    ax.annotate("right of the line: more learned than missed", (0.51, -0.62), fontsize=8, color="#555555")
    ax.set_yticks(range(len(table)), table.broad_category)
    ax.set(xlim=(0, 1), ylim=(len(table) - 0.4, -0.9), xticks=[0, 0.25, 0.5, 0.75, 1])
    percent_axis(ax.xaxis)
    return ax


@styled
@validated(table=table_with("broad_category", "shown_by", "n", made_by="study.coverage.distinct_counts(...)"))
def missed_bars(ax: Axes, table: pd.DataFrame) -> Axes:
    """A bar per broad category: its missed concepts by what it takes to see them, with the numbers.

    >>> missed_bars(ax, coverage.distinct_counts(found, tau))  # doctest: +SKIP

    Parameters
    ----------
    table : DataFrame
        Columns broad_category, shown_by and n, and low and high for intervals (NaN: none); an interval starts at the left
        edge of its part of the bar.
    """
    categories = list(dict.fromkeys(table.broad_category))
    left, segments = dict.fromkeys(categories, 0), []
    kinds = list(dict.fromkeys(table.shown_by))
    for k, (what, (colour, hatch)) in enumerate(zip(kinds, SHOWN_STYLES, strict=False)):
        rows = table[table.shown_by == what].set_index("broad_category").reindex(categories)
        values = rows.n.fillna(0).to_numpy()
        starts = np.array([left[name] for name in categories])
        label = f"{what} ({values.sum():g})"
        ax.barh(range(len(categories)), values, BAR, left=starts, color=colour, hatch=hatch, label=label)
        for i, row in enumerate(rows.itertuples()):
            if not row.n > 0:
                continue
            segments.append(Segment(i, starts[i], starts[i] + row.n, f"{row.n:g}", edge=i - BAR / 2))
            if "low" in rows and row.low == row.low:
                y = i + BAR * (0.2 + 0.22 * k / max(len(kinds) - 1, 1))
                _whisker(ax, starts[i] + row.n, y, [[row.n - row.low], [row.high - row.n]])
            left[row.Index] += row.n
    ax.set_yticks(range(len(categories)), categories)
    ax.set_ylim(len(categories) - 0.4, -0.6)
    ax.set(xlabel="distinct missed concepts of mammography")
    segment_numbers(ax, segments, upright=False)
    ax.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=4, fontsize=8)
    return ax


@styled
@validated()
def against_chance(
    ax: Axes,
    names: Sequence[str],
    found: Sequence[float],
    chance: Sequence[float],
    intervals: Sequence[tuple[float, float]] | None = None,
) -> Axes:
    """Per name a filled mark for the share found and a hollow one for the share expected by chance.

    >>> against_chance(ax, ["distinct", "all"], [0.4, 0.9], [0.25, 0.95])  # doctest: +SKIP

    Parameters
    ----------
    names : sequence of str
        The first is drawn at the top.
    found, chance : sequence of float
        Shares from 0 to 1, one per name.
    intervals : sequence of (float, float), optional
        Of the shares found.

    Raises
    ------
    ValueError
        `found` and `chance` differ in length.
    """
    same_length(names=names, found=found, chance=chance)
    places = range(len(names))
    ax.hlines(places, chance, found, color="#999999", lw=1.5, zorder=1)
    ax.plot(chance, places, "o", mfc="white", mec="#444444", ms=8, label="as many at random")
    ax.plot(found, places, "o", color="#0072B2", ms=8, label="found")
    for y, (low, high) in enumerate(intervals or ()):
        ax.plot([low, high], [y + 0.1, y + 0.1], color="black", lw=1.2, marker="|", ms=5)
    for y, (value, by_chance) in enumerate(zip(found, chance, strict=True)):
        ax.annotate(percent(value), (value, y), (0, 7), textcoords="offset points", ha="center", fontsize=8)
        ax.annotate(percent(by_chance), (by_chance, y), (0, -15), textcoords="offset points", ha="center", fontsize=8)
    ax.set_yticks(places, names)
    ax.set(xlim=(0, 1.04), ylim=(len(names) - 0.4, -0.6))
    percent_axis(ax.xaxis)
    return ax


@styled
@validated()
def margin_curves(ax: Axes, margins: Mapping[str, Sequence[float]]) -> Axes:
    """For each group of concepts, the share whose best neuron has a margin of x or more.

    >>> margin_curves(ax, {"said": [0.5, -1.0], "never said": [-1.0]})  # doctest: +SKIP

    Parameters
    ----------
    margins : mapping of group to sequence of float
        Of each concept: similarity to its best neuron less tau (`study.against_texts`). Tau is the line at 0.
    """
    for (name, values), colour, style in zip(margins.items(), SETUP_COLOURS, ("-", "--", "-.", ":"), strict=False):
        if not len(values):
            raise ValueError(f"margins[{name!r}] holds no concept; leave the group out")
        steps = sorted(values)
        shares = [1 - i / len(steps) for i in range(len(steps))]
        ax.step([*steps, steps[-1]], [*shares, 0], where="pre", color=colour, ls=style, lw=2, label=f"{name} ({len(steps)})")
    ax.axvline(0, color="#999999", lw=1)
    ax.annotate("tau", (0, 1), (3, -2), xycoords=("data", "axes fraction"), textcoords="offset points", va="top", fontsize=8)
    ax.set(ylim=(0, 1.03))
    percent_axis(ax.yaxis)
    ax.legend(loc="upper right")
    return ax


def _whisker(ax: Axes, x: float, y: float, ends: Sequence[Sequence[float]]) -> None:
    """An interval on a lying bar, with a white edge that separates it from colours and hatches."""
    for colour, thick in (("white", 3.2), ("black", 1.2)):
        ax.errorbar(x, y, xerr=ends, fmt="none", ecolor=colour, elinewidth=thick, capsize=2.5, zorder=3)
