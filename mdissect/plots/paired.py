"""Plots of a network before and after fine-tuning, channel by channel: each takes an Axes, draws, and returns it."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from mdissect.arguments import has_columns, tables_with
from mdissect.plots.bars import interval_columns
from mdissect.plots.overprint import Segment, segment_numbers
from mdissect.plots.style import percent, percent_axis, setup_styles, styled
from mdissect.signatures import validated

# Words, colour and hatch of the outcomes of a label (`trust.paired`).
OUTCOME_NAMES = {
    "kept": "same concept",
    "kept_category": "another concept of the same category",
    "changed": "another category",
    "lost": "label no longer counts",
    "gained": "label counts now",
    "neither": "counts in neither",
}
OUTCOME_STYLES = {
    "kept": ("#0072B2", ""),
    "kept_category": ("#56B4E9", ".."),
    "changed": ("#E69F00", "//"),
    "lost": ("#999999", "xx"),
    "gained": ("#009E73", "\\\\"),
    "neither": ("#E5E5E5", ""),
}


@styled
@validated(summaries=tables_with("layer", made_by="trust.paired_summary(...)"))
def paired_effects(ax: Axes, summaries: Mapping[str, pd.DataFrame], value: str = "change") -> Axes:
    """Mean change, or effect, of each layer with its interval: a row per layer, a mark per setup.

    >>> paired_effects(ax, {"C1": trust.paired_summary(before, after)})  # doctest: +SKIP

    Parameters
    ----------
    summaries : mapping of setup to DataFrame
        Columns layer, `value` and its interval: <value>_low and <value>_high, or low and high (`trust.paired_summary`).
    value : str
        "change" or "effect".
    """
    has_columns("summaries", summaries, value, "low" if value == "change" else f"{value}_low")
    layers = list(dict.fromkeys(layer for table in summaries.values() for layer in table.layer))
    styles = setup_styles(list(summaries))
    for i, (name, table) in enumerate(summaries.items()):
        low, high = interval_columns(table, value)
        places = [layers.index(layer) + (i - (len(summaries) - 1) / 2) * 0.7 / len(summaries) for layer in table.layer]
        style = {part: styles[name][part] for part in ("color", "marker")}
        ax.hlines(places, table[low], table[high], color=style["color"], lw=2)
        ax.plot(table[value], places, ls="", ms=7, label=name, **style)
    ax.axvline(0, color="#aaaaaa", lw=1, zorder=0)
    if len(layers) > 1:
        ax.set_yticks(range(len(layers)), layers)
    else:  # a row for each setup
        places = (np.arange(len(summaries)) - (len(summaries) - 1) / 2) * 0.7 / len(summaries)
        ax.set_yticks(places, list(summaries))
    ax.set_ylim(len(layers) - 0.5, -0.5)
    ax.set(xlabel="mean change with 95 % interval" if value == "change" else f"{value} with 95 % interval")
    if len(layers) > 1:
        ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1))
    return ax


@styled
@validated(summaries=tables_with("layer", *OUTCOME_STYLES, made_by="trust.paired_summary(...)"))
def paired_outcomes(ax: Axes, summaries: Mapping[str, pd.DataFrame]) -> Axes:
    """What became of the labels: a bar per setup and layer, split by outcome.

    >>> paired_outcomes(ax, {"C1": trust.paired_summary(before, after)})  # doctest: +SKIP

    Parameters
    ----------
    summaries : mapping of setup to DataFrame
        Columns layer and the outcomes as shares (`trust.paired_summary`); shares are written into the bar where they fit.
    """
    rows = pd.concat(summaries, names=["setup"]).reset_index("setup")
    first = next(iter(summaries.values())).layer.tolist()
    rows = rows.sort_values("layer", key=lambda layers: layers.map(first.index), kind="stable")
    left, segments = np.zeros(len(rows)), []
    for outcome, (colour, hatch) in OUTCOME_STYLES.items():
        share = rows[outcome].to_numpy()
        if not share.any():
            continue
        ax.barh(range(len(rows)), share, 0.66, left=left, color=colour, hatch=hatch, label=OUTCOME_NAMES[outcome])
        segments += [Segment(i, left[i], left[i] + share[i], percent(share[i]), edge=i - 0.33) for i in np.flatnonzero(share)]
        left = left + share
    ax.set_yticks(range(len(rows)), rows.layer + "  " + rows.setup if len(set(first)) > 1 else rows.setup)
    ax.invert_yaxis()
    ax.set(xlabel="share of the layer's neurons", xlim=(0, 1))
    percent_axis(ax.xaxis)
    segment_numbers(ax, segments, upright=False)
    ax.legend(ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return ax
