"""Drawings of how far labels can be trusted: each takes an Axes and a table, draws, and returns the Axes."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from mdissect.plots import SETUP_COLOURS, SETUP_MARKERS

PUBLISHED, CALIBRATED = "#888888", "#0072B2"
FLAGGED = "#D55E00"


def rule_curves(ax: Axes, table: pd.DataFrame, x: str, y: str, rules: Sequence[str]) -> Axes:
    """A line per rule of `mdissect.planted.curve`'s table."""
    for i, rule in enumerate(rules):
        rows = table[table.rule == rule].dropna(subset=[y])
        first = rule == rules[0]
        style = {"color": CALIBRATED if first else SETUP_COLOURS[i % len(SETUP_COLOURS)], "lw": 2.5 if first else 1.2}
        ax.plot(rows[x], rows[y], marker=SETUP_MARKERS[i % len(SETUP_MARKERS)], ms=5, label=rule.replace("_", " "), **style)
    ax.set(xlabel=x.replace("_", " "), ylabel=y.replace("_", " "), ylim=(-0.03, 1.03))
    return _plain(ax)


def share_bars(ax: Axes, table: pd.DataFrame) -> Axes:
    """Two bars for each setup and layer of `mdissect.trust.passing_share`'s table."""
    places = np.arange(len(table))
    ax.bar(places - 0.2, table.published, 0.38, color=PUBLISHED, label="reach tau")
    ax.bar(places + 0.2, table.calibrated, 0.38, color=CALIBRATED, hatch="//", edgecolor="white", label="better than chance")
    for shift, column in ((-0.2, "published"), (0.2, "calibrated")):
        for place, share in zip(places, table[column], strict=True):
            ax.annotate(f"{share:.0%}", (place + shift, share), (0, 2), textcoords="offset points", ha="center", fontsize=8)
    ax.set_xticks(places, [f"{row.setup}\n{row.layer}" for row in table.itertuples()], fontsize=8)
    ax.set(ylabel="share of the layer's neurons", ylim=(0, 1.1))
    ax.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, 1.16), ncols=2)
    return _plain(ax)


def card(ax: Axes, table: pd.DataFrame) -> Axes:
    """Concepts of a report card from best to worst, their intervals, and in another colour those with a flag."""
    known = table.dropna(subset=["auc"]).reset_index(drop=True)
    for flagged, colour, name in ((False, CALIBRATED, "told apart"), (True, FLAGGED, "flagged")):
        rows = known[(known.flag != "") == flagged]
        ax.vlines(rows.index, rows.low, rows.high, color=colour, alpha=0.35, lw=1.5)
        ax.scatter(rows.index, rows.auc, s=8, color=colour, marker="x" if flagged else "o", label=f"{name} ({len(rows)})")
    ax.axhline(0.5, color="#aaaaaa", lw=1)
    ax.set(xlabel="concepts with known presence", ylabel="AUC with 95 % interval", ylim=(0, 1.02))
    ax.legend(frameon=False, loc="lower left")
    return _plain(ax)


def score_histogram(ax: Axes, tables: Mapping[str, pd.DataFrame], column: str = "score") -> Axes:
    """How a score from 0 to 1 is spread over neurons, a line per table."""
    for (name, table), colour in zip(tables.items(), (CALIBRATED, PUBLISHED, *SETUP_COLOURS), strict=False):
        ax.hist(table[column], bins=np.linspace(0, 1, 21), histtype="step", lw=2, color=colour, label=name)
    ax.set(xlabel=column.replace("_", " "), ylabel="neurons", xlim=(0, 1))
    ax.legend(frameon=False)
    return _plain(ax)


def settings_grid(axes: Sequence[Axes], table: pd.DataFrame, value: str = "same_category") -> Sequence[Axes]:
    """`mdissect.stability.sensitivity`'s table: an Axes per top_k, a by lam, the share written into each cell."""
    for ax, (top_k, rows) in zip(axes, table.groupby("top_k"), strict=True):
        grid = rows.pivot(index="a", columns="lam", values=value)
        ax.imshow(grid, vmin=0, vmax=1, cmap="cividis", aspect="auto")
        for (i, j), share in np.ndenumerate(grid.to_numpy()):
            ax.text(j, i, f"{share:.0%}", ha="center", va="center", color="white" if share < 0.6 else "black")
        ax.set_xticks(range(grid.shape[1]), [f"{lam:g}" for lam in grid.columns])
        ax.set_yticks(range(grid.shape[0]), [f"{a:g}" for a in grid.index])
        ax.set(title=f"top_k {top_k}", xlabel="lam", ylabel="a")
    return axes


def _plain(ax: Axes) -> Axes:
    ax.spines[["top", "right"]].set_visible(False)
    return ax
