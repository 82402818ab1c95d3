"""Plots of how far labels can be trusted: each takes an Axes and a table, draws, and returns the Axes."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes

from mdissect.arguments import has_columns, same_length, table_with, tables_with
from mdissect.plots.bars import interval_columns
from mdissect.plots.overprint import segment_numbers
from mdissect.plots.style import SETUP_COLOURS, UNGROUPED, percent, percent_axis, setup_styles, styled
from mdissect.signatures import validated

PUBLISHED, CALIBRATED = "#888888", "#0072B2"
FLAGGED = "#D55E00"
# Colour, marker and line of the labelling rules (`trust.planted`).
RULE_STYLES = {
    "calibrated": (CALIBRATED, "o", "-"),
    "soft_wpmi": ("#444444", "s", "-"),
    "wpmi": ("#CC79A7", "^", "--"),
    "cos_similarity": ("#E69F00", "D", "--"),
    "cos_similarity_cubed": ("#009E73", "v", "-."),
    "rank_reorder": ("#D55E00", "P", ":"),
}
RULE_NAMES = {"soft_wpmi": "SoftWPMI (published)"}
# Colour and hatch of models and baselines (`trust.baselines`), and of the outcomes of a label (`trust.paired`).
KIND_STYLES = {
    "model": ("#0072B2", ""),
    "untrained": ("#999999", "//"),
    "random dissector": ("#CCCCCC", "xx"),
    "constant": ("#E5E5E5", ".."),
}
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
@validated(table=table_with("rule", made_by="trust.planted.curve(...)"))
def rule_curves(ax: Axes, table: pd.DataFrame, x: str, y: str, rules: Sequence[str]) -> Axes:
    """A line per labelling rule; the first is drawn bold.

    >>> rule_curves(ax, planted.curve("snr", [0.5, 1, 2]), "snr", "right", ["calibrated", "soft_wpmi"])  # doctest: +SKIP

    Parameters
    ----------
    table : DataFrame
        Columns rule, `x` and `y`, a share (`trust.planted.curve`).
    """
    has_columns("table", table, x, y)
    for rule in rules:
        rows = table[table.rule == rule].dropna(subset=[y])
        colour, marker, line = RULE_STYLES.get(rule, (UNGROUPED, "o", ":"))
        style = {"color": colour, "marker": marker, "ls": line, "lw": 2.5 if rule == rules[0] else 1.4}
        ax.plot(rows[x], rows[y], ms=5, label=RULE_NAMES.get(rule, rule.replace("_", " ")), **style)
    ax.set(xlabel=x.replace("_", " "), ylabel=y.replace("_", " "), ylim=(-0.03, 1.03))
    return ax


@styled
@validated(table=table_with("setup", "layer", "published", "calibrated", made_by="trust.passing_share(...)"))
def share_bars(ax: Axes, table: pd.DataFrame) -> Axes:
    """Two bars for each setup and layer: the neurons that reach tau and those better than chance.

    >>> share_bars(ax, trust.passing_share({"M": found}))  # doctest: +SKIP

    Parameters
    ----------
    table : DataFrame
        Columns setup, layer, published, calibrated (shares; `trust.passing_share`).
    """
    places = np.arange(len(table))
    published = ax.bar(places - 0.2, table.published, 0.38, color=PUBLISHED, label="reach tau")
    calibrated = ax.bar(places + 0.2, table.calibrated, 0.38, color=CALIBRATED, hatch="//", label="better than chance")
    for bars in (published, calibrated):
        ax.bar_label(bars, fmt="{:.0%}", padding=2, fontsize=8)
    ax.set_xticks(places, table.setup + "\n" + table.layer, fontsize=8)
    ax.set(ylabel="share of the layer's neurons", ylim=(0, 1.1))
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, 1.16), ncols=2)
    return ax


@styled
@validated(tables=tables_with("prevalence", "precision", made_by="trust.label_precision(...)"))
def precision_points(ax: Axes, tables: Mapping[str, pd.DataFrame]) -> Axes:
    """A point per neuron: how many of all images, and of the neuron's strongest images, show its label.

    >>> precision_points(ax, {"M": trust.label_precision(found)})  # doctest: +SKIP

    Parameters
    ----------
    tables : mapping of setup to DataFrame
        Columns prevalence (x) and precision (y), both shares. On the diagonal a label is no better than chance.
    """
    styles = setup_styles(list(tables))
    for name, table in tables.items():
        look = {part: styles[name][part] for part in ("color", "marker")}
        points = {"s": 18, "alpha": 0.6, "label": f"{name} ({len(table)} neurons)"} | look
        ax.scatter(table.prevalence, table.precision, **points)
    ax.axline((0, 0), slope=1, color="#aaaaaa", lw=1)
    ax.set(xlim=(0, 1), ylim=(0, 1.03))
    ax.legend(loc="lower right")
    return ax


@styled
@validated(table=table_with("auc", "low", "high", "flag", made_by="trust.report_card(...)"))
def card(ax: Axes, table: pd.DataFrame) -> Axes:
    """Concepts of a report card from best to worst, with intervals; flagged ones in another colour.

    >>> card(ax, trust.report_card(found))  # doctest: +SKIP

    Parameters
    ----------
    table : DataFrame
        Columns auc, low, high, flag (`trust.report_card`); concepts without an AUC are left out.
    """
    known = table.dropna(subset=["auc"]).reset_index(drop=True)
    for flagged, colour, name in ((False, CALIBRATED, "not flagged"), (True, FLAGGED, "flagged")):
        rows = known[(known.flag != "") == flagged]
        ax.vlines(rows.index, rows.low, rows.high, color=colour, alpha=0.35, lw=1.5)
        ax.scatter(rows.index, rows.auc, s=8, color=colour, marker="x" if flagged else "o", label=f"{name} ({len(rows)})")
    ax.axhline(0.5, color="#aaaaaa", lw=1)
    ax.set(xlabel="concepts with known presence", ylabel="AUC with 95 % interval", ylim=(0, 1.02))
    ax.legend(loc="lower left")
    return ax


@styled
@validated()
def score_histogram(ax: Axes, tables: Mapping[str, pd.DataFrame], column: str = "score") -> Axes:
    """The distribution of a score over neurons, a line per table.

    >>> score_histogram(ax, {"calibrated": trust.stability(found)}, "same_concept")  # doctest: +SKIP

    Parameters
    ----------
    tables : mapping of name to DataFrame
    column : str
        Of values from 0 to 1, one per neuron.
    """
    has_columns("tables", tables, column)
    colours = [CALIBRATED, PUBLISHED, *SETUP_COLOURS]
    for (name, table), colour in zip(tables.items(), colours, strict=False):
        style = {"element": "step", "fill": False, "lw": 2, "color": colour}
        seaborn.histplot(table[column], bins=20, binrange=(0, 1), label=name, ax=ax, **style)
    ax.set(xlabel=column.replace("_", " "), ylabel="neurons", xlim=(0, 1))
    ax.legend()
    return ax


@validated(table=table_with("top_k", "a", "lam", made_by="trust.sensitivity(...)"))
def settings_grid(axes: Sequence[Axes], table: pd.DataFrame, value: str = "same_category") -> Sequence[Axes]:
    """A heat map per top_k: a by lam, the share written into each cell.

    >>> settings_grid(axes, trust.sensitivity(found, "bn2"))  # doctest: +SKIP

    Parameters
    ----------
    axes : sequence of Axes
        As many as the table has values of top_k.
    table : DataFrame
        Columns top_k, a, lam and `value`, a share (`trust.sensitivity`).

    Raises
    ------
    ValueError
        `axes` are more or fewer than the values of top_k.
    """
    has_columns("table", table, value)
    same_length(axes=axes, top_k=table.top_k.unique())
    for ax, (top_k, rows) in zip(axes, table.groupby("top_k"), strict=True):
        grid = rows.pivot(index="a", columns="lam", values=value).rename(index="{:g}".format, columns="{:g}".format)
        seaborn.heatmap(grid, vmin=0, vmax=1, cmap="cividis", annot=True, fmt=".0%", cbar=False, ax=ax)
        for text, share in zip(ax.texts, grid.to_numpy().ravel(), strict=True):
            text.set_color("white" if share < 0.6 else "black")
        ax.tick_params(axis="y", rotation=0)
        ax.set_title(f"top_k {top_k}")
    return axes


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
        ax.barh(range(len(rows)), share, left=left, color=colour, hatch=hatch, label=OUTCOME_NAMES[outcome])
        segments += [(i, left[i], left[i] + share[i], percent(share[i])) for i in np.flatnonzero(share)]
        left = left + share
    ax.set_yticks(range(len(rows)), rows.layer + "  " + rows.setup if len(set(first)) > 1 else rows.setup)
    ax.invert_yaxis()
    ax.set(xlabel="share of the layer's neurons", xlim=(0, 1))
    percent_axis(ax.xaxis)
    segment_numbers(ax, segments, upright=False)
    ax.legend(ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return ax


@styled
@validated(table=table_with("setup", "kind", made_by="trust.compare_baselines(...)"))
def baseline_bars(ax: Axes, table: pd.DataFrame, value: str, chance: float | None = None) -> Axes:
    """A bar per setup; control baselines are grey and hatched.

    >>> baseline_bars(ax, trust.compare_baselines(dissections, "bn2"), "precision", chance=0.05)  # doctest: +SKIP

    Parameters
    ----------
    table : DataFrame
        Columns setup, kind ("model" or a kind of baseline) and `value`, which may be missing (`trust.compare_baselines`).
    chance : float, optional
        Drawn as a dashed line.
    """
    has_columns("table", table, value)
    for i, row in enumerate(table.itertuples()):
        length, (colour, hatch) = getattr(row, value), KIND_STYLES[row.kind]
        if np.isnan(length):
            ax.annotate("none", (0, i), (3, 0), textcoords="offset points", va="center", fontsize=9, color="#666666")
            continue
        bar = ax.barh(i, length, 0.75, color=colour, hatch=hatch)
        ax.bar_label(bar, fmt="{:.0f}" if float(length).is_integer() else "{:.2f}", padding=3, fontsize=9)
    if chance is not None:
        ax.axvline(chance, color="black", lw=1, ls="--")
        ax.annotate(" chance", (chance, 1), xycoords=("data", "axes fraction"), va="bottom", fontsize=9)
    ax.set_yticks(range(len(table)), list(table.setup))
    ax.set_ylim(len(table) - 0.5, -0.5)
    ax.margins(x=0.2)
    ax.set(xlabel=value.replace("_", " "))
    return ax
