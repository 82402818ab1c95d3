"""Plots of learned and missed concepts: each takes an Axes and returns it; nothing is computed here."""

from collections.abc import Collection, Mapping, Sequence
from textwrap import wrap
from typing import NamedTuple

import pandas as pd
from matplotlib.axes import Axes

from mdissect.plots.style import SETUP_COLOURS, group_style, plain_texts, styled

HEADING, SUBHEADING, WORD = "heading", "subheading", "word"
_STYLES = {
    HEADING: {"fontsize": 10, "fontweight": "bold", "color": "black"},
    SUBHEADING: {"fontsize": 9, "fontweight": "bold"},
    WORD: {"fontsize": 8.5, "color": "black"},
}
WIDTHS = {HEADING: 36, WORD: 46}  # of a column, in characters
_INDENTS = {HEADING: 0.0, SUBHEADING: 0.02, WORD: 0.045}  # in columns


class Line(NamedTuple):
    """A line of a list of words, and the group whose colour it has."""

    kind: str
    text: str
    group: str = ""


@styled
def coverage_bars(ax: Axes, table: pd.DataFrame) -> Axes:
    """Two bars per broad category, one under the other: concepts learned (filled) and missed (outlined).

    >>> coverage_bars(ax, coverage.covered(found, tau))  # doctest: +SKIP

    Parameters
    ----------
    table : DataFrame
        Columns broad_category, learned, missed (`study.coverage.covered`); the first row is drawn at the top.
    """
    for place, row in enumerate(table.itertuples()):
        learned = group_style(row.broad_category)
        missed = {"facecolor": "none", "edgecolor": learned["facecolor"], "ls": "--"}
        for what, y, style in (("learned", place - 0.2, learned), ("missed", place + 0.2, missed)):
            bar = ax.barh(y, getattr(row, what), height=0.36, lw=1.4, **style)
            ax.bar_label(bar, fmt=f"{{:g}} {what}", padding=4, fontsize=8)
    ax.set_yticks(range(len(table)), table.broad_category)
    ax.invert_yaxis()
    ax.margins(x=0.14)
    return ax


def word_columns(
    ax: Axes,
    words: pd.DataFrame,
    headings: tuple[str, str] = ("shown_by", "broad_category"),
    n_columns: int = 4,
    marked: Collection[str] = (),
) -> Axes:
    """Words in columns, under headings and coloured subheadings with the number of words that follow.

    >>> word_columns(ax, coverage.distinct_missed(found, tau), ("shown_by", "broad_category"))  # doctest: +SKIP

    Parameters
    ----------
    words : DataFrame
        Column concept and the two of `headings`; rows of one heading stand together. Without rows a note is drawn.
    headings : (str, str)
        Columns of the headings and of the subheadings: broad categories or domains; of several ("a; b") the first counts.
    marked : collection of str
        Concepts that get an asterisk.
    """
    ax.set_axis_off()
    lines = _lines(words, headings, marked)
    if not lines:
        ax.text(0.5, 0.5, "no concept is left", ha="center", va="center", transform=ax.transAxes)
        return ax
    columns = _columns(lines, n_columns)
    height = max(map(len, columns))
    for i, column in enumerate(columns):
        for j, (kind, text, group) in enumerate(column):
            style = _STYLES[kind] | ({"color": group_style(group)["facecolor"]} if kind == SUBHEADING else {})
            x, y = (i + _INDENTS[kind]) / n_columns, 1 - (j + 0.5) / height
            ax.text(x, y, text, va="center", transform=ax.transAxes, **style)
    plain_texts(ax)
    return ax


@styled
def against_chance(ax: Axes, names: Sequence[str], found: Sequence[float], chance: Sequence[float]) -> Axes:
    """Per name a filled mark for the share found and a hollow one for the share expected by chance.

    >>> against_chance(ax, ["distinct", "all"], [0.4, 0.9], [0.25, 0.95])  # doctest: +SKIP

    Parameters
    ----------
    names : sequence of str
        The first is drawn at the top.
    found, chance : sequence of float
        Shares from 0 to 1, one per name.

    Raises
    ------
    ValueError
        `found` and `chance` differ in length.
    """
    places = range(len(names))
    ax.hlines(places, chance, found, color="#999999", lw=1.5, zorder=1)
    ax.plot(chance, places, "o", mfc="white", mec="#444444", ms=8, label="as many at random")
    ax.plot(found, places, "o", color="#0072B2", ms=8, label="found")
    for y, (value, by_chance) in enumerate(zip(found, chance, strict=True)):
        ax.annotate(f"{value:.0%}", (value, y), (0, 7), textcoords="offset points", ha="center", fontsize=8)
        ax.annotate(f"{by_chance:.0%}", (by_chance, y), (0, -15), textcoords="offset points", ha="center", fontsize=8)
    ax.set_yticks(places, names)
    ax.set(xlim=(0, 1.04), ylim=(len(names) - 0.4, -0.6))
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    return ax


@styled
def margin_curves(ax: Axes, margins: Mapping[str, Sequence[float]]) -> Axes:
    """For each group of concepts, the share whose best neuron has a margin of x or more.

    >>> margin_curves(ax, {"said": [0.5, -1.0], "never said": [-1.0]})  # doctest: +SKIP

    Parameters
    ----------
    margins : mapping of group to sequence of float
        Of each concept: similarity to its best neuron less tau (`study.against_texts`). Tau is the line at 0.
    """
    for (name, values), colour, style in zip(margins.items(), SETUP_COLOURS, ("-", "--", "-.", ":"), strict=False):
        steps = sorted(values)
        shares = [1 - i / len(steps) for i in range(len(steps))]
        ax.step([*steps, steps[-1]], [*shares, 0], where="pre", color=colour, ls=style, lw=2, label=f"{name} ({len(steps)})")
    ax.axvline(0, color="#999999", lw=1)
    ax.annotate("tau", (0, 1), (3, -2), xycoords=("data", "axes fraction"), textcoords="offset points", va="top", fontsize=8)
    ax.set(ylim=(0, 1.03))
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    ax.legend(loc="upper right")
    return ax


def _lines(words: pd.DataFrame, headings: tuple[str, str], marked: Collection[str]) -> list[Line]:
    """Every line, top to bottom."""
    over, under = headings
    words = words.assign(_group=words[under].str.split("; ").str[0])
    lines = []
    for heading, rows in words.groupby(over, sort=False):
        lines += [Line(HEADING, part) for part in wrap(f"{heading} ({len(rows)})", WIDTHS[HEADING])]
        for group, inner in rows.groupby("_group", sort=False):
            lines.append(Line(SUBHEADING, f"{group or 'ungrouped'} ({len(inner)})", group))
            for word in inner.concept:
                first, *rest = wrap(f"{word} *" if word in marked else word, WIDTHS[WORD])
                lines += [Line(WORD, first, group), *(Line(WORD, f"   {part}", group) for part in rest)]
    return lines


def _columns(lines: list[Line], n_columns: int) -> list[list[Line]]:
    """The lines in columns of about equal height; none ends with a heading, and each part of a group has its name on top."""
    height, columns = -(-len(lines) // n_columns), [[]]
    for i, line in enumerate(lines):
        left = lines[i : i + height - len(columns[-1])]
        full = not left or (line.kind != WORD and all(other.kind != WORD for other in left))
        if full and columns[-1] and len(columns) < n_columns:
            over = [Line(SUBHEADING, f"{line.group or 'ungrouped'}, continued", line.group)] if line.kind == WORD else []
            columns.append(over)
        columns[-1].append(line)
    return columns
