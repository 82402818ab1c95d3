"""Plots of speed and memory: each takes Axes and a table of `make bench`, draws, and returns the Axes."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator

from mdissect.arguments import same_length, table_with
from mdissect.plots.style import SETUP_COLOURS, SETUP_MARKERS, styled
from mdissect.signatures import validated

BAR, FLOOR = SETUP_COLOURS[0], "black"
NUMBERS = {"N": "images N", "K": "neurons K", "M": "concepts M"}
VALUES = {"seconds": "seconds", "megabytes": "MB beside the inputs"}


@styled
@validated(table=table_with("stage", "ms an image", "times its floor", made_by="speed.benches()"))
def stage_bars(ax: Axes, table: pd.DataFrame) -> Axes:
    """A bar per stage: milliseconds an image, on a logarithmic axis; a line marks the floor where it is known.

    >>> stage_bars(ax, benches()["stages"].tables["By stage"])  # doctest: +SKIP

    Parameters
    ----------
    table : DataFrame
        Columns stage, "ms an image" and "times its floor" (NaN where there is none).
    """
    values = table["ms an image"].to_numpy(dtype=float)
    floors = values / table["times its floor"].to_numpy(dtype=float)
    ax.barh(table.stage, values, color=BAR)
    for y, (value, floor) in enumerate(zip(values, floors, strict=True)):
        ax.annotate(
            f"{value:,.0f}" if value >= 100 else f"{value:.3g}",
            (value, y),
            (4, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
        )
        if floor == floor:
            ax.vlines(floor, y - 0.4, y + 0.4, color=FLOOR, lw=2, label=None if ax.get_legend_handles_labels()[1] else "floor")
    ax.set(xscale="log", xlabel="milliseconds an image (logarithmic)")
    ax.xaxis.set_major_formatter(_plain)
    ax.margins(x=0.25)
    ax.invert_yaxis()
    if ax.get_legend_handles_labels()[1]:
        ax.legend(loc="lower right")
    return ax


@validated(table=table_with("rule", "varied", "N", "K", "M", "seconds", "megabytes", made_by="speed.benches()"))
def growth_panels(axes: Sequence[Axes], table: pd.DataFrame) -> Sequence[Axes]:
    """Time, then memory, against the numbers of images, neurons and concepts: six panels, a line per rule.

    >>> growth_panels(axes.flat, benches()["stages"].tables["Against N, K and M"])  # doctest: +SKIP

    Parameters
    ----------
    axes : six Axes
        Time against N, K, M, then memory against them.
    table : DataFrame
        Columns rule, varied (N, K, M, or "all" for the common point), N, K, M, seconds, megabytes.

    Raises
    ------
    ValueError
        More or fewer than six Axes.
    """
    axes, panels = list(axes), [(value, number) for value in VALUES for number in NUMBERS]
    same_length(axes=axes, panels=panels)
    for ax, (value, number) in zip(axes, panels, strict=True):
        _growth(ax, table, value, number)
    axes[2].legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return axes


@styled
def _growth(ax: Axes, table: pd.DataFrame, value: str, number: str) -> Axes:
    for i, (rule, rows) in enumerate(table.groupby("rule", sort=False)):
        some = rows[rows.varied.isin([number, "all"])].sort_values(number)
        ax.plot(some[number], some[value], color=SETUP_COLOURS[i], marker=SETUP_MARKERS[i], label=rule)
    points = sorted(set(table[table.varied.isin([number, "all"])][number]))
    ax.set(xscale="log", yscale="log", xlabel=NUMBERS[number], ylabel=VALUES[value])
    ax.set_xticks(points, [f"{point:,}" for point in points], fontsize=8, rotation=30)
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter(_plain)
    ax.minorticks_off()
    return ax


def _plain(value: float, _: int) -> str:
    """The label of a tick on a logarithmic axis."""
    return f"{value:,g}"
