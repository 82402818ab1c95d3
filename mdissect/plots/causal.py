"""Plots of the causal test: effects of factors on neurons, and how often the factor that a label names is the strongest."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from mdissect.arguments import tables_with
from mdissect.plots.style import UNGROUPED, percent, percent_axis, styled
from mdissect.plots.trust import RULE_NAMES, RULE_STYLES
from mdissect.signatures import validated

LEAST_WRITTEN = 0.15  # of the effects in a grid, in spreads: smaller ones are colour alone
RULE_HATCHES = ("", "//", "..", "xx", "\\\\", "--")
OTHER_RULES = ("#009E73", "#E69F00", "#CC79A7", "#56B4E9")


@styled
@validated()
def effect_grid(ax: Axes, matrix: pd.DataFrame, highest: float | None = None) -> Axes:
    """Effects as a grid: a row per factor that is changed, a column per group of neurons; red where the factor raises them.

    >>> effect_grid(ax, predictions.effect_matrix(effects, labels, "bn2"))  # doctest: +SKIP

    Parameters
    ----------
    matrix : DataFrame
        Of `predictions.effect_matrix`, in units of the neurons' spread. A frame marks the factor that the labels of a column
        name, whose number of neurons follows in brackets.
    highest : float, optional
        The effect at the end of the colour scale; the largest one in the matrix when None.
    """
    if matrix.empty:
        ax.annotate("no label names a factor", (0.5, 0.5), xycoords="axes fraction", ha="center")
        return ax
    values = matrix.to_numpy(dtype=float)
    largest = np.nanmax(np.abs(values)) if np.isfinite(values).any() else 1.0
    highest = largest or 1.0 if highest is None else highest
    ax.imshow(values, cmap="RdBu_r", vmin=-highest, vmax=highest, aspect="auto")
    for (i, j), value in np.ndenumerate(values):
        if abs(value) >= LEAST_WRITTEN:
            colour = "white" if abs(value) > 0.65 * highest else "black"
            ax.annotate(f"{value:.1f}".replace("-", "−"), (j, i), ha="center", va="center", fontsize=7.5, color=colour)
    for j, column in enumerate(matrix.columns):
        for i, factor in enumerate(matrix.index):
            if column.rpartition(" (")[0] == factor:
                sides = [j - 0.5, j + 0.5, j + 0.5, j - 0.5, j - 0.5], [i - 0.5, i - 0.5, i + 0.5, i + 0.5, i - 0.5]
                ax.plot(*sides, color="black", lw=1.6, clip_on=False)
    ax.set_xticks(range(len(matrix.columns)), matrix.columns, rotation=90, fontsize=8)
    ax.set_yticks(range(len(matrix)), matrix.index, fontsize=8)
    ax.set(xlabel="what the labels name (neurons)", ylabel="what is changed in the image")
    return ax


@styled
@validated(shares=tables_with("rule", "share", "low", "high", "chance", made_by="predictions.own_factor_shares(...)"))
def own_factor_bars(ax: Axes, shares: Mapping[str, pd.DataFrame]) -> Axes:
    """Share of labels whose own factor moves the neuron most: bars of each rule side by side for every network.

    >>> own_factor_bars(ax, {"M": shares.query("layer == 'bn2'")})  # doctest: +SKIP

    Parameters
    ----------
    shares : mapping of setup to DataFrame
        Columns rule, share, low, high and chance, a row per rule (`predictions.own_factor_shares`, one layer). A black line
        across the bar is what shuffled labels reach; "?" stands where no label names a factor that was changed.
    """
    rules = list(dict.fromkeys(rule for table in shares.values() for rule in table.rule))
    width = 0.8 / len(rules)
    for i, rule in enumerate(rules):
        named = {"published": "soft_wpmi"}.get(rule, rule)
        colour = RULE_STYLES[named][0] if named in RULE_STYLES else OTHER_RULES[i % len(OTHER_RULES)]
        label, hatch = RULE_NAMES.get(named, rule.replace("_", " ")), RULE_HATCHES[i % len(RULE_HATCHES)]
        for place, table in enumerate(shares.values()):
            x = place + (i - (len(rules) - 1) / 2) * width
            for row in table[table.rule == rule].itertuples():
                if np.isnan(row.share):
                    ax.annotate("?", (x, 0), (0, 2), textcoords="offset points", ha="center", fontsize=8)
                    continue
                ax.bar(x, row.share, width * 0.92, color=colour, hatch=hatch, label=label)
                label = None
                ax.vlines(x, row.low, row.high, color=UNGROUPED, lw=2)
                ax.hlines(row.chance, x - width * 0.46, x + width * 0.46, color="black", lw=2)
                at = {"textcoords": "offset points", "ha": "center", "va": "bottom", "fontsize": 7.5}
                ax.annotate(percent(row.share), (x, max(row.high, row.share)), (0, 2), **at)
    ax.set_xticks(range(len(shares)), list(shares))
    ax.set(ylabel="labels whose own factor\nmoves the neuron most", ylim=(0, 1.08))
    percent_axis(ax.yaxis)
    handles, words = ax.get_legend_handles_labels()
    shuffled, at = Line2D([], [], color="black", lw=2), {"loc": "lower center", "bbox_to_anchor": (0.5, 1.0)}
    ax.legend([*handles, shuffled], [*words, "shuffled labels"], ncols=min(len(rules) + 1, 3), **at)
    return ax
