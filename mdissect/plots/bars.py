"""Bars of counts by setup and layer: each takes an Axes and returns it; nothing is computed here."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from mdissect.arguments import has_columns, tables_with
from mdissect.plots.overprint import NUMBER_SIZE, Segment, points_along, room_for, segment_numbers
from mdissect.plots.style import GROUP_COLOURS, GROUP_HATCHES, NUMBER_BOX, UNGROUPED, percent, percent_axis, styled
from mdissect.signatures import validated

MARK_HEIGHT = 150  # points, of the mark on bars that cannot be compared
MOST_LETTERS = 30  # of the setups' names side by side under a group of bars; longer ones stand upright


@styled
@validated(counts=tables_with("layer", made_by="analysis.count_concepts(...)"))
def grouped_bars(
    ax: Axes,
    counts: Mapping[str, pd.DataFrame],
    group: str,
    value: str = "concepts",
    colours: Mapping[str, str] = GROUP_COLOURS,
    hatches: Mapping[str, str] = GROUP_HATCHES,
) -> Axes:
    """Bars of each setup side by side in every layer, stacked by group.

    >>> grouped_bars(ax, {"G": count_concepts(g, tau), "M": count_concepts(m, tau)}, "domain")  # doctest: +SKIP

    Parameters
    ----------
    counts : mapping of setup to DataFrame
        Columns layer, `group` and `value` (`analysis.count_concepts`). Layers that only some of the tables have are drawn too.
    group, value : str
        "fraction" is written in per cent, other values as they are; a number that its part of the bar is too low for stands
        left of the bar.
    colours, hatches : mapping of group to str
        Those of categories and domains by default; a group without a colour is grey.
    """
    has_columns("counts", counts, group, value)
    places, bars = bar_places(counts), _bars(ax, counts, value)
    layers = list(dict.fromkeys(layer for _, layer in places))
    named, segments = set(), []
    for setup, table in counts.items():
        aside = 0.14 * bars.width if interval_columns(table, value) and group != "setup" else 0  # left of the intervals
        for layer in layers:
            x, bottom = places[setup, layer] + bars.shift, 0.0
            for row in _ordered(table[table.layer == layer], group, colours).itertuples():
                name, height = getattr(row, group), getattr(row, value)
                if height == 0:
                    continue
                style = {"color": colours.get(name, UNGROUPED), "hatch": hatches.get(name, "")}
                ax.bar(x, height, bars.width, bottom=bottom, label=None if name in named else name, **style)
                text, left = _written(height, value), x - bars.width / 2
                segments.append(Segment(x - aside, bottom, bottom + height, text, edge=left))
                named.add(name)
                bottom += height
            if bottom == 0:
                ax.annotate("0", (x, 0), (0, 2), textcoords="offset points", ha="center", va="bottom", fontsize=8)
    longest = max(len(setup) for setup in counts)
    upright = len(counts) * longest > MOST_LETTERS
    ax.set_xticks([x + bars.shift for x in places.values()], [setup for setup, _ in places], rotation=90 if upright else 0)
    ax.set_xlim(-0.5, len(layers) - 0.5)
    if ax.get_autoscaley_on():
        ax.set_ylim(0, bars.top)
    if value == "fraction":
        percent_axis(ax.yaxis)
    segment_numbers(ax, segments, upright=True)
    below = -(14 + 6.5 * longest) if upright else -28  # points
    for j, layer in enumerate(layers):
        at = {"xycoords": ax.get_xaxis_transform(), "textcoords": "offset points"}
        ax.annotate(layer, (j, 0), (0, below), ha="center", va="top", **at)
    return ax


@validated(counts=tables_with("layer", made_by="trust.count_intervals(...)"))
def interval_bars(ax: Axes, counts: Mapping[str, pd.DataFrame], group: str, value: str = "concepts", **styles) -> Axes:
    """`grouped_bars` with an interval for every part of a stack.

    >>> interval_bars(ax, {"M": trust.count_intervals(found, tau, n_boot=200)}, "domain")  # doctest: +SKIP

    The interval of a part starts at the part's lower edge and is drawn right of its number, the intervals of a stack side by
    side.

    Parameters
    ----------
    counts : mapping of setup to DataFrame
        As for `grouped_bars`; intervals in the columns <value>_low and <value>_high, or low and high, are optional.
    **styles
        colours and hatches of `grouped_bars`.
    """
    grouped_bars(ax, counts, group, value, **styles)
    bars = _bars(ax, counts, value)
    for (setup, layer), x in bar_places(counts).items():
        table = counts[setup]
        if not (bounds := interval_columns(table, value)):
            continue
        rows, (low, high) = table[(table.layer == layer) & (table[value] > 0)], bounds
        rows = _ordered(rows, group, styles.get("colours", GROUP_COLOURS))
        tops = rows[value].cumsum()
        right = np.linspace(0.22, 0.45, len(rows)) if len(rows) > 1 else np.full(len(rows), 0.33)
        lengths = (rows[value] - rows[low], rows[high] - rows[value])
        for colour, thick in (("white", 3.2), ("black", 1.2)):  # a white edge separates the line from colours and hatches
            ax.errorbar(
                x + bars.shift + bars.width * right, tops, lengths,
                fmt="none", ecolor=colour, elinewidth=thick, capsize=2.5, zorder=3,
            )  # fmt: skip
    return ax


@validated(counts=tables_with("layer", made_by="analysis.count_concepts(...)"))
def mark_incomparable(
    ax: Axes, counts: Mapping[str, pd.DataFrame], setups: Collection[str], own: Mapping[str, pd.Series], value: str = "concepts"
) -> Axes:
    """Mark the bars of setups whose similarities come from another dissector: they cannot be compared with the others.

    The mark stands above the bar; the axes are made higher where it needs room.

    >>> mark_incomparable(ax, counts, ["G"], {"G": own_counts_of_g})  # doctest: +SKIP

    Parameters
    ----------
    counts : mapping of setup to DataFrame
        What `grouped_bars` drew on `ax`.
    setups : collection of str
        The setups to be marked.
    own : mapping of setup to Series
        Per layer, the setup's count under its own threshold; written into the mark.
    """
    width, places = 0.8 / len(counts), {at: x for at, x in bar_places(counts).items() if at[0] in setups}
    tops = {at: _top(counts[at[0]].query("layer == @at[1]"), value) for at in places}
    room = ax.bbox.height * 72 / ax.figure.dpi  # points
    free = max(1 - MARK_HEIGHT / room, 0.2)  # part of the axes that a bar may fill below its mark
    ax.set_ylim(top=max([ax.get_ylim()[1], *(top / free for top in tops.values())]))
    for at, x in places.items():
        ax.axvspan(x - width * 0.46, x + width * 0.46, facecolor="none", edgecolor="#CCCCCC", hatch="////", lw=0, zorder=0)
        text = f"own dissector, not comparable;\n{_written(own[at[0]][at[1]], value)} at its own tau"
        look = {"rotation": 90, "ha": "center", "va": "bottom", "fontsize": 7.5, "bbox": NUMBER_BOX}
        above = (0, 4 if tops[at] else 15)  # a bar of nothing has its 0 there
        ax.annotate(text, (x, tops[at]), above, textcoords="offset points", **look)
    return ax


@validated()
def shown_groups(counts: Mapping[str, pd.DataFrame], group: str, value: str = "concepts") -> list[str]:
    """The groups that `grouped_bars` draws, in the order of the palette: for a legend without groups that no bar has."""
    there = {name for table in counts.values() for name in table.loc[table[value] > 0, group]}
    return [name for name in GROUP_COLOURS if name in there] + sorted(there - set(GROUP_COLOURS))


def bar_places(counts: Mapping[str, pd.DataFrame]) -> dict[tuple[str, str], float]:
    """The x of the bar of each setup and layer in `grouped_bars`."""
    layers = _in_order([list(dict.fromkeys(table.layer)) for table in counts.values()])
    middle = (len(counts) - 1) / 2
    return {
        (setup, layer): j + (i - middle) * 0.8 / len(counts) for i, setup in enumerate(counts) for j, layer in enumerate(layers)
    }


@dataclass(frozen=True)
class _Bars:
    """How the bars of an axes are drawn: their `width`, their `shift` to the right of their places, the `top` of the axis."""

    width: float
    shift: float
    top: float


def _bars(ax: Axes, counts: Mapping[str, pd.DataFrame], value: str) -> _Bars:
    """Bars that leave room for numbers on their left where some part of a bar is too low for its number."""
    cell = 0.8 / len(counts)
    stacks = [rows for table in counts.values() for _, rows in table.groupby("layer", sort=False)]
    top = max((_top(rows, value) for rows in stacks), default=0) * 1.12 or 1.0
    if not ax.get_autoscaley_on():
        top = ax.get_ylim()[1]
    heights = [(height, _written(height, value)) for rows in stacks for height in rows[value] if height > 0]
    unit = points_along(ax, upright=True) / top
    low = [text for height, text in heights if height * unit < room_for(text, upright=True)]
    if not low:
        return _Bars(cell * 0.92, 0.0, top)
    n_layers = len({layer for table in counts.values() for layer in table.layer})
    wanted = (NUMBER_SIZE * 0.6 * max(map(len, low)) + 7) / (points_along(ax, upright=False) / n_layers)
    strip = min(wanted, cell * 0.4)
    return _Bars(cell * 0.92 - strip, strip / 2, top)


def _top(rows: pd.DataFrame, value: str) -> float:
    """How high a stack reaches, its intervals included."""
    bounds = interval_columns(rows, value)
    above = (rows[bounds[1]] - rows[value]).max() if bounds and len(rows) else 0
    return rows[value].sum() + above


def _written(number: float, value: str) -> str:
    """A count, or a fraction in per cent."""
    return percent(number) if value == "fraction" else f"{number:g}"


def interval_columns(table: pd.DataFrame, value: str) -> tuple[str, str] | None:
    """The columns with the interval of a value: <value>_low and <value>_high, else low and high, else None."""
    pairs = ((f"{value}_low", f"{value}_high"), ("low", "high"))
    return next((pair for pair in pairs if set(pair) <= set(table.columns)), None)


def _ordered(table: pd.DataFrame, group: str, colours: Mapping[str, str]) -> pd.DataFrame:
    """The rows of a bar in the order of the palette, so that every bar is stacked alike."""
    order = {name: i for i, name in enumerate(colours)}
    return table.sort_values(group, key=lambda names: names.map(order).fillna(len(order)), kind="stable")


def _in_order(lists: Sequence[Sequence[str]]) -> list[str]:
    """The names of all lists, each once, in an order that every list agrees with."""
    merged: list[str] = []
    for names in lists:
        for i, name in enumerate(names):
            if name not in merged:
                later = [merged.index(other) for other in names[i + 1 :] if other in merged]
                merged.insert(min(later, default=len(merged)), name)
    return merged
