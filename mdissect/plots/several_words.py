"""Plots of labels of several words and of prompts: each takes an Axes and a table, draws, and returns the Axes."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from mdissect.arguments import table_with, tables_with
from mdissect.plots.style import percent, percent_axis, styled
from mdissect.signatures import validated

# Words, colour and hatch of the parts of a bar, by column of `trust.linear_by_layer`.
WORD_PARTS = {
    "one_word": ("one word is enough", "#0072B2", ""),
    "several": ("several words explain clearly more", "#E69F00", "//"),
    "nothing": ("no words explain it", "#DDDDDD", ".."),
}
LEAST_WRITTEN = 0.07  # share of a bar that has room for its number
BARE, PROMPT = "#444444", "#0072B2"


@styled
@validated(tables=tables_with("layer", *WORD_PARTS, made_by="trust.linear_by_layer(...)"))
def word_count_bars(ax: Axes, tables: Mapping[str, pd.DataFrame]) -> Axes:
    """A bar per setup and layer: the shares of the neurons that one word, only several words, or no words explain.

    >>> word_count_bars(ax, {"M": trust.linear_by_layer(found)})  # doctest: +SKIP

    Parameters
    ----------
    tables : mapping of setup to DataFrame
        Columns layer, one_word, several and nothing, which sum to 1 (`trust.linear_by_layer`).
    """
    rows = pd.concat([table.assign(setup=name) for name, table in tables.items()], ignore_index=True)
    left, places = np.zeros(len(rows)), np.arange(len(rows))
    for column, (words, colour, hatch) in WORD_PARTS.items():
        share = rows[column].fillna(0).to_numpy()
        ax.barh(places, share, 0.8, left=left, color=colour, hatch=hatch, edgecolor="white", lw=0, label=words)
        for y, (start, one) in enumerate(zip(left, share, strict=True)):
            if one >= LEAST_WRITTEN:
                box = {"boxstyle": "round,pad=0.15", "fc": "white", "ec": "none"}
                text = {"ha": "center", "va": "center", "fontsize": 8, "color": "black", "bbox": box}
                ax.text(start + one / 2, y, percent(one), **text)
        left = left + share
    ax.set_yticks(places, rows.setup + ", " + rows.layer)
    ax.set(xlim=(0, 1), ylim=(len(rows) - 0.5, -0.5), xlabel="share of the layer's neurons")
    percent_axis(ax.xaxis)
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, fontsize=8)
    return ax


@styled
@validated(card=table_with("prompts", "auc", "low", "high", "change", made_by="trust.prompt_cards(...)"))
def prompt_points(ax: Axes, card: pd.DataFrame) -> Axes:
    """Mean AUC with its interval by prompts; a dashed line at that of the bare phrases, which stand first.

    >>> prompt_points(ax, trust.prompt_cards(found, dissector))  # doctest: +SKIP

    Parameters
    ----------
    card : DataFrame
        Columns prompts, auc, low, high, change and, where known, change_low and change_high, the interval of the paired change,
        which is written beside the point (`trust.prompt_cards`).
    """
    places = np.arange(len(card))
    ax.axvline(card.auc.iloc[0], color=BARE, lw=1, ls="--")
    for y, row in enumerate(card.itertuples()):
        colour = BARE if pd.isna(row.change) else PROMPT
        ax.hlines(y, row.low, row.high, color=colour, lw=3, alpha=0.5)
        ax.plot(row.auc, y, "o", color=colour)
        if not pd.isna(row.change):
            ends = f" ({row.change_low:+.3f} to {row.change_high:+.3f})" if {"change_low", "change_high"} <= set(card) else ""
            at = {"textcoords": "offset points", "ha": "center", "va": "bottom", "fontsize": 8}
            at["bbox"] = {"boxstyle": "round,pad=0.1", "fc": "white", "ec": "none"}
            ax.annotate(f"{row.change:+.3f}{ends}", (row.auc, y), (0, 6), **at)
    ax.set_yticks(places, list(card.prompts))
    ax.set(ylim=(len(card) - 0.5, -0.7), xlabel="mean AUC of the concepts' presence, with 95 % interval")
    ax.margins(x=0.25)
    return ax
