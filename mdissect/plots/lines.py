"""Lines over the layers: takes an Axes and returns it; nothing is computed here."""

from collections.abc import Collection, Mapping
from itertools import zip_longest

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from mdissect.arguments import has_columns, tables_with
from mdissect.plots.bars import interval_columns
from mdissect.plots.style import UNGROUPED, setup_styles, styled
from mdissect.signatures import validated


@styled
@validated(tables=tables_with("layer", made_by="analysis.thresholds(...)"))
def layer_lines(ax: Axes, tables: Mapping[str, pd.DataFrame], value: str = "threshold", dashed: Collection[str] = ()) -> Axes:
    """A line per setup over the layers.

    >>> layer_lines(ax, {"G": thresholds(g), "M": thresholds(m)})  # doctest: +SKIP

    Parameters
    ----------
    tables : mapping of setup to DataFrame
        Columns layer and `value`. Intervals (columns low and high, or <value>_low and <value>_high) are drawn as bars, and the
        setups then stand a little beside each other. <value>_least and <value>_most, the spread over trainings, are drawn as
        thin lines with ends. Setups with other layers are aligned by depth; a tick names all layers at
        its place.
    dashed : collection of str
        Setups, the baselines, whose lines are thin, dashed and grey.
    """
    has_columns("tables", tables, value)
    names = [dict.fromkeys(at) for at in zip_longest(*(table.layer for table in tables.values()))]
    styles = setup_styles([name for group in (False, True) for name in tables if (name in dashed) is group])
    for i, (name, table) in enumerate(tables.items()):
        thin = name in dashed
        style = {part: styles[name][part] for part in ("color", "marker")} | (
            {"color": UNGROUPED, "ls": "--", "lw": 1.2, "ms": 5} if thin else {"lw": 2, "ms": 7}
        )
        places, bounds = np.arange(len(table), dtype=float), interval_columns(table, value)
        if bounds:
            places += (i - (len(tables) - 1) / 2) * 0.06
            ax.vlines(places, table[bounds[0]], table[bounds[1]], color=style["color"], lw=3, alpha=0.45)
        _spread(ax, places + 0.025, table, value, style["color"])
        ax.plot(places, table[value], label=name, **style)
    ax.set_xticks(range(len(names)), ["\n".join(name for name in at if name is not None) for at in names])
    ax.margins(x=0.12)
    ax.set(xlabel="layer, from shallow to deep")
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))  # beside the lines, wherever they run
    return ax


def _spread(ax: Axes, places: np.ndarray, table: pd.DataFrame, value: str, colour: str) -> None:
    """Thin lines with ends from the least to the most over trainings, where a table has them."""
    if {f"{value}_least", f"{value}_most"} <= set(table):
        low, high = table[f"{value}_least"].to_numpy(), table[f"{value}_most"].to_numpy()
        middle = (low + high) / 2
        ax.errorbar(places, middle, yerr=(high - low) / 2, fmt="none", ecolor=colour, elinewidth=1, capsize=3)
