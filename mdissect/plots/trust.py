"""Drawings of how far labels can be trusted: each takes an Axes and a table, draws, and returns the Axes."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from mdissect.plots.counts import bar_places, grouped_bars, interval_columns
from mdissect.plots.style import SETUP_COLOURS, SETUP_MARKERS, plain

PUBLISHED, CALIBRATED = "#888888", "#0072B2"
FLAGGED = "#D55E00"
# Colour and hatch of models and baselines (`trust.baselines`), and of what became of a label (`trust.paired`).
KIND_STYLES = {
    "model": ("#0072B2", ""),
    "untrained": ("#999999", "//"),
    "random dissector": ("#CCCCCC", "xx"),
    "constant": ("#E5E5E5", ".."),
}
OUTCOME_STYLES = {
    "kept": ("#0072B2", ""),
    "kept_category": ("#56B4E9", ".."),
    "changed": ("#E69F00", "//"),
    "lost": ("#999999", "xx"),
    "gained": ("#009E73", "\\\\"),
    "neither": ("#E5E5E5", ""),
}


def rule_curves(ax: Axes, table: pd.DataFrame, x: str, y: str, rules: Sequence[str]) -> Axes:
    """A line per rule of `mdissect.trust.planted.curve`'s table."""
    for i, rule in enumerate(rules):
        rows = table[table.rule == rule].dropna(subset=[y])
        first = rule == rules[0]
        style = {"color": CALIBRATED if first else SETUP_COLOURS[i % len(SETUP_COLOURS)], "lw": 2.5 if first else 1.2}
        ax.plot(rows[x], rows[y], marker=SETUP_MARKERS[i % len(SETUP_MARKERS)], ms=5, label=rule.replace("_", " "), **style)
    ax.set(xlabel=x.replace("_", " "), ylabel=y.replace("_", " "), ylim=(-0.03, 1.03))
    return plain(ax)


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
    return plain(ax)


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
    return plain(ax)


def score_histogram(ax: Axes, tables: Mapping[str, pd.DataFrame], column: str = "score") -> Axes:
    """How a score from 0 to 1 is spread over neurons, a line per table."""
    for (name, table), colour in zip(tables.items(), (CALIBRATED, PUBLISHED, *SETUP_COLOURS), strict=False):
        ax.hist(table[column], bins=np.linspace(0, 1, 21), histtype="step", lw=2, color=colour, label=name)
    ax.set(xlabel=column.replace("_", " "), ylabel="neurons", xlim=(0, 1))
    ax.legend(frameon=False)
    return plain(ax)


def settings_grid(axes: Sequence[Axes], table: pd.DataFrame, value: str = "same_category") -> Sequence[Axes]:
    """`mdissect.trust.sensitivity`'s table: an Axes per top_k, a by lam, the share written into each cell."""
    for ax, (top_k, rows) in zip(axes, table.groupby("top_k"), strict=True):
        grid = rows.pivot(index="a", columns="lam", values=value)
        ax.imshow(grid, vmin=0, vmax=1, cmap="cividis", aspect="auto")
        for (i, j), share in np.ndenumerate(grid.to_numpy()):
            ax.text(j, i, f"{share:.0%}", ha="center", va="center", color="white" if share < 0.6 else "black")
        ax.set_xticks(range(grid.shape[1]), [f"{lam:g}" for lam in grid.columns])
        ax.set_yticks(range(grid.shape[0]), [f"{a:g}" for a in grid.index])
        ax.set(title=f"top_k {top_k}", xlabel="lam", ylabel="a")
    return axes


def interval_bars(ax: Axes, counts: Mapping[str, pd.DataFrame], group: str, value: str = "concepts", **styles) -> Axes:
    """`mdissect.plots.grouped_bars` with the interval of every part of a stack, as `mdissect.trust.count_intervals` tells it.

    An interval is that of its own part: it stands on the part's lower edge, right of its number, the intervals of a stack side
    by side. A setup whose table tells none is drawn without.
    """
    grouped_bars(ax, counts, group, value, **styles)
    width = 0.8 / len(counts)
    for (setup, layer), x in bar_places(counts).items():
        table = counts[setup]
        if not (bounds := interval_columns(table, value)):
            continue
        rows, (low, high) = table[(table.layer == layer) & (table[value] > 0)], bounds
        bottoms = rows[value].cumsum() - rows[value]
        places = x + width * (np.linspace(0.2, 0.42, len(rows)) if len(rows) > 1 else np.full(len(rows), 0.3))
        reach, tops = (rows[value] - rows[low], rows[high] - rows[value]), bottoms + rows[value]
        for colour, thick in (("white", 3.2), ("black", 1.2)):  # a halo parts the line from colours and hatches
            ax.errorbar(places, tops, reach, fmt="none", ecolor=colour, elinewidth=thick, capsize=2.5, zorder=3)
    return ax


def paired_points(ax: Axes, tables: Mapping[str, pd.DataFrame], summaries: Mapping[str, pd.DataFrame]) -> Axes:
    """Every channel's change from before to after, a column of points per setup, with the mean and Cohen's d.

    `tables` maps setup to `mdissect.trust.paired`'s table of one layer, `summaries` to the summary of the same.
    """
    rng = np.random.default_rng(0)  # of the sideways shift alone
    for i, (name, table) in enumerate(tables.items()):
        change, summary = table.change.dropna(), summaries[name].iloc[0]
        ax.scatter(i + rng.uniform(-0.24, 0.24, len(change)), change, s=9, alpha=0.35, color=CALIBRATED, lw=0)
        ax.hlines(summary.change, i - 0.33, i + 0.33, color="black", lw=2.5)
        words = f"mean {summary.change:+.2f}\nd {summary.effect:+.2f}\n{summary.rising:.0%} rise"
        ax.annotate(words, (i, 1), xycoords=("data", "axes fraction"), ha="center", va="bottom", fontsize=9)
    ax.axhline(0, color="#aaaaaa", lw=1, zorder=0)
    ax.set_xticks(range(len(tables)), list(tables))
    ax.set(ylabel="change of a channel, after - before")
    return plain(ax)


def paired_effects(ax: Axes, summaries: Mapping[str, pd.DataFrame], value: str = "change") -> Axes:
    """Mean change, or the effect, of each layer with its interval: a row per layer, in it a mark per setup."""
    layers = list(dict.fromkeys(layer for table in summaries.values() for layer in table.layer))
    for i, (name, table) in enumerate(summaries.items()):
        low, high = interval_columns(table, value)
        places = [layers.index(layer) + (i - (len(summaries) - 1) / 2) * 0.7 / len(summaries) for layer in table.layer]
        colour, marker = SETUP_COLOURS[i % len(SETUP_COLOURS)], SETUP_MARKERS[i % len(SETUP_MARKERS)]
        ax.hlines(places, table[low], table[high], color=colour, lw=2)
        ax.plot(table[value], places, marker, color=colour, ms=7, label=name)
    ax.axvline(0, color="#aaaaaa", lw=1, zorder=0)
    ax.set_yticks(range(len(layers)), layers)
    ax.set_ylim(len(layers) - 0.5, -0.5)
    ax.set(xlabel="mean change with 95 % interval" if value == "change" else f"{value} with 95 % interval")
    ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.01, 1))
    return plain(ax)


def paired_outcomes(ax: Axes, summaries: Mapping[str, pd.DataFrame]) -> Axes:
    """What became of the labels: a bar per setup and layer, split by outcome, shares of 6 % and more written into it."""
    rows = [(f"{row.layer}  {name}", row) for name, table in summaries.items() for row in table.itertuples()]
    rows.sort(key=lambda pair: [row.layer for row in next(iter(summaries.values())).itertuples()].index(pair[1].layer))
    left = np.zeros(len(rows))
    for outcome, (colour, hatch) in OUTCOME_STYLES.items():
        share = np.array([getattr(row, outcome) for _, row in rows])
        if not share.any():
            continue
        label = outcome.replace("_", " ")
        ax.barh(range(len(rows)), share, left=left, color=colour, hatch=hatch, edgecolor="white", lw=0.6, label=label)
        for i in np.flatnonzero(share >= 0.06):
            box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.8}
            ax.text(left[i] + share[i] / 2, i, f"{share[i]:.0%}", ha="center", va="center", fontsize=8, bbox=box)
        left += share
    ax.set_yticks(range(len(rows)), [name for name, _ in rows])
    ax.invert_yaxis()
    ax.set(xlabel="share of the layer's neurons", xlim=(0, 1))
    ax.legend(frameon=False, ncols=6, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return plain(ax)


def baseline_bars(ax: Axes, table: pd.DataFrame, value: str, chance: float | None = None) -> Axes:
    """A bar per setup of `mdissect.trust.baselines.scores`' table, baselines grey and hatched; `chance` as a line."""
    for i, row in enumerate(table.itertuples()):
        height, (colour, hatch) = getattr(row, value), KIND_STYLES[row.kind]
        if np.isnan(height):
            ax.annotate("none", (0, i), (3, 0), textcoords="offset points", va="center", fontsize=9, color="#666666")
            continue
        ax.barh(i, height, 0.75, color=colour, hatch=hatch, edgecolor="white")
        ax.annotate(
            f" {height:.0f} " if float(height).is_integer() else f" {height:.2f} ",
            (height, i),
            ha="left" if height >= 0 else "right",
            va="center",
            fontsize=9,
        )
    if chance is not None:
        ax.axvline(chance, color="black", lw=1, ls="--")
        ax.annotate(" chance", (chance, 1), xycoords=("data", "axes fraction"), va="bottom", fontsize=9)
    ax.set_yticks(range(len(table)), list(table.setup))
    ax.set_ylim(len(table) - 0.5, -0.5)
    ax.margins(x=0.2)
    ax.set(xlabel=value.replace("_", " "))
    return plain(ax)


def mark_note(ax: Axes, note: str) -> Axes:
    """Say under a drawing what the mark behind a name means, such as `mdissect.trust.report_card.MARK_NOTE`."""
    ax.annotate(note, (0, 0), (0, -48), xycoords="axes fraction", textcoords="offset points", fontsize=8, color="#444444")
    return ax
