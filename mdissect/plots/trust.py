"""Plots of how far labels can be trusted: each takes an Axes and a table, draws, and returns the Axes."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle
from matplotlib.ticker import PercentFormatter

from mdissect.arguments import has_columns, same_length, table_with, tables_with
from mdissect.plots.style import (
    READABLE,
    SETUP_COLOURS,
    SETUP_HATCHES,
    UNGROUPED,
    contrast,
    percent,
    percent_axis,
    setup_styles,
    styled,
    text_colour,
)
from mdissect.signatures import validated

PUBLISHED, CALIBRATED = "#888888", "#0072B2"
FLAGGED = "#D55E00"
PRECISION = "#009E73"
SHARES = ("better", "precision", "prevalence")  # columns of `trust.compare_baselines`
SHARE_MAP, SHARE_TICKS = "Blues", (0, 0.25, 0.5, 0.75, 1)
MOST_NAMED = 10  # flagged concepts that are written into a report card
EDGE = 1e-9  # a value at the edge of two bins is in the upper one, whatever its last bits
# Colour, marker and line of the labelling rules (`trust.planted`).
RULE_STYLES = {
    "calibrated": (CALIBRATED, "o", "-"),
    "soft_wpmi": ("#444444", "s", "-"),
    "wpmi": ("#CC79A7", "^", "--"),
    "cos_similarity": ("#E69F00", "D", "--"),
    "cos_similarity_cubed": ("#009E73", "v", "-."),
    "rank_reorder": ("#D55E00", "P", ":"),
}
RULE_NAMES = {"soft_wpmi": "SoftWPMI (published)", "calibrated": "calibrated (this project)"}
AXIS_WORDS = {
    "snr": "signal-to-noise ratio",
    "n_images": "images in the probe",
    "top_k": "top images per neuron",
    "right": "share labelled correctly",
    "right_in_category": "share labelled with\nthe right category",
    "false_labels": "share of noise neurons\nwith a label",
    "better": "neurons better than chance",
    "concepts": "different labels among these",
    "precision": "precision: share of top images\nthat show the neuron's label",
}
# Colour and hatch of models and baselines (`trust.baselines`).
KIND_STYLES = {
    "model": ("#444444", ""),  # of M; other networks have their own colour
    "untrained": ("#999999", "//"),
    "random dissector": ("#CCCCCC", "xx"),
    "constant": ("#E5E5E5", ".."),
}
# Words, colour and hatch of the bars of `share_bars`, by column.
SHARE_BARS = {
    "published": ("neurons that reach tau", PUBLISHED, ""),
    "calibrated": ("neurons better than chance", CALIBRATED, "//"),
    "precision": ("of their top images, those that show the label", PRECISION, ".."),
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
        style = {"color": colour, "marker": marker, "ls": line, "lw": 1.4, "ms": 5}
        if rule == rules[0]:  # seen where others lie on it
            style |= {"lw": 4, "ms": 10, "mfc": "white", "mew": 2}
        ax.plot(rows[x], rows[y], label=RULE_NAMES.get(rule, rule.replace("_", " ")), **style)
    ax.set(xlabel=AXIS_WORDS.get(x, x), ylabel=AXIS_WORDS.get(y, y), ylim=(-0.03, 1.05))
    ax.set(xticks=_apart(table[x]), yticks=SHARE_TICKS)
    percent_axis(ax.yaxis)
    return ax


@styled
@validated(table=table_with("setup", "layer", *SHARE_BARS, "prevalence", made_by="trust.passing_share(...)"))
def share_bars(ax: Axes, table: pd.DataFrame) -> Axes:
    """Three bars for each setup and layer: neurons that reach tau, those better than chance, and how often these are right.

    >>> share_bars(ax, trust.passing_share({"M": found}))  # doctest: +SKIP

    Parameters
    ----------
    table : DataFrame
        Columns setup, layer, published, calibrated, precision and prevalence (shares; `trust.passing_share`). Prevalence, the
        precision of labels given at random, is a line across the bar of precision; "?" where both are unknown.
    """
    places = np.arange(len(table))
    for i, (column, (words, colour, hatch)) in enumerate(SHARE_BARS.items()):
        at = places + (i - 1) * 0.29
        ax.bar(at, table[column].fillna(0), 0.27, color=colour, hatch=hatch, label=words)
        for x, share in zip(at, table[column], strict=True):
            text = "?" if np.isnan(share) else percent(share)
            place = (x, 0 if np.isnan(share) else share)
            ax.annotate(text, place, (0, 2), textcoords="offset points", ha="center", fontsize=7.5)
    prevalence = ax.hlines(table.prevalence, places + 0.15, places + 0.43, color="black", lw=2)
    ax.set_xticks(places, table.setup + "\n" + table.layer, fontsize=8)
    ax.set(ylabel="share", ylim=(0, 1.1), yticks=SHARE_TICKS)
    percent_axis(ax.yaxis)
    handles, words = ax.get_legend_handles_labels()
    at = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.0), "ncols": 2}
    ax.legend([*handles, prevalence], [*words, "of all images, those that show it"], **at)
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
@validated(table=table_with("concept", "auc", "low", "high", "flag", made_by="trust.report_card(...)"))
def card(ax: Axes, table: pd.DataFrame) -> Axes:
    """Concepts of a report card from best to worst, with intervals; flagged ones in another colour, and named if they are few.

    >>> card(ax, trust.report_card(found))  # doctest: +SKIP

    Parameters
    ----------
    table : DataFrame
        Columns concept, auc, low, high, flag (`trust.report_card`); concepts without an AUC are left out.
    """
    known = table.dropna(subset=["auc"]).reset_index(drop=True)
    for flagged, colour, name in ((False, CALIBRATED, "better than chance"), (True, FLAGGED, "not better than chance")):
        rows = known[(known.flag != "") == flagged]
        ax.vlines(rows.index, rows.low, rows.high, color=colour, alpha=0.35, lw=1.5)
        ax.scatter(rows.index, rows.auc, s=8, color=colour, marker="x" if flagged else "o", label=f"{name} ({len(rows)})")
    ax.axhline(0.5, color="#777777", lw=1)
    flagged = known.concept[known.flag != ""].tolist()
    if 0 < len(flagged) <= MOST_NAMED:
        words = "\n".join(["not better than chance:", *flagged])
        ax.text(0.02, 0.02, words, transform=ax.transAxes, fontsize=8, color=text_colour(FLAGGED), va="bottom")
    ax.set(xlabel="concepts, best to worst", ylabel="AUC with 95 % interval (0.5: chance)", ylim=(0, 1.25))
    ax.set_yticks(SHARE_TICKS)
    _only_ticks_in_view(ax)
    ax.legend(loc="upper right", ncols=2)
    return ax


@styled
@validated()
def score_histogram(
    ax: Axes, tables: Mapping[str, pd.DataFrame], column: str = "score", chance: float | None = None, bins: int = 10
) -> Axes:
    """How many neurons have which score: the bars of each table side by side, its mean in the legend.

    >>> score_histogram(ax, {"calibrated": trust.stability(found)}, "same_concept")  # doctest: +SKIP

    Parameters
    ----------
    tables : mapping of name to DataFrame
    column : str
        Of values from 0 to 1, one per neuron.
    chance : float, optional
        Drawn as a dashed line.
    """
    has_columns("tables", tables, column)
    looks = [(CALIBRATED, ""), ("#BBBBBB", "//"), *zip(SETUP_COLOURS, SETUP_HATCHES, strict=True)]
    edges, width = np.linspace(0, 1, bins + 1), 0.84 / bins / len(tables)
    for i, ((name, table), (colour, hatch)) in enumerate(zip(tables.items(), looks, strict=False)):
        values = table[column].dropna().to_numpy()
        heights = np.histogram(np.minimum(values + EDGE, 1), edges)[0]
        mean = f"mean {values.mean():.2f}, {len(values)} neurons" if len(values) else "0 neurons"
        places = edges[:-1] + 0.08 / bins + (i + 0.5) * width
        ax.bar(places, heights, width, color=colour, hatch=hatch, label=f"{name} ({mean})")
    if chance is not None:
        ax.axvline(chance, color="black", lw=1, ls="--", label="chance")
    ax.set(xlabel=column.replace("_", " "), ylabel="neurons", xlim=(0, 1))
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), fontsize=8)
    return ax


@validated(table=table_with("patients", "own", made_by="trust.fewer_patients(...)"))
def patients_curve(ax: Axes, table: pd.DataFrame, value: str = "same_category") -> Axes:
    """Share of labels that stay the same, by how many patients they are chosen on.

    >>> patients_curve(ax, trust.fewer_patients(found, "bn2"))  # doctest: +SKIP

    Parameters
    ----------
    table : DataFrame
        Columns patients, own (bool: all of them, the reference, where the share is 1) and `value`, a share.
    """
    has_columns("table", table, value)
    rows = table.sort_values("patients")
    ax.plot(rows.patients, rows[value], color="#444444", marker="o")
    for row in rows[~rows.own.astype(bool)].to_dict(orient="records"):
        near = {"textcoords": "offset points", "xytext": (0, 7), "ha": "center", "fontsize": 9}
        ax.annotate(percent(row[value]), (row["patients"], row[value]), **near)
    kept = value.removeprefix("same_").replace("_", " ")
    ax.set(xlabel="patients that labels are chosen on", ylabel=f"neurons whose label keeps its {kept}", ylim=(0, 1.1))
    ax.set_xlim(0, None)
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    return ax


@validated(table=table_with("top_k", "a", "lam", "own", made_by="trust.sensitivity(...)"))
def settings_grid(axes: Sequence[Axes], table: pd.DataFrame, value: str = "same_category") -> Sequence[Axes]:
    """A heat map per top_k: a by lambda, the share written into each cell; the setting that it is compared with is framed.

    >>> settings_grid(axes, trust.sensitivity(found, "bn2"))  # doctest: +SKIP

    Parameters
    ----------
    axes : sequence of Axes
        As many as the table has values of top_k.
    table : DataFrame
        Columns top_k, a, lam, own (bool: the reference) and `value`, a share (`trust.sensitivity`).

    Raises
    ------
    ValueError
        `axes` are more or fewer than the values of top_k.
    """
    has_columns("table", table, value)
    same_length(axes=axes, top_k=table.top_k.unique())
    import seaborn

    for ax, (top_k, rows) in zip(axes, table.groupby("top_k"), strict=True):
        grid, own = (
            rows.pivot(index="a", columns="lam", values=what).rename(index="{:g}".format, columns="{:g}".format)
            for what in (value, "own")
        )
        own = own.to_numpy(dtype=bool)
        seaborn.heatmap(grid, vmin=0, vmax=1, cmap=SHARE_MAP, annot=grid.map(percent), fmt="", cbar=False, mask=own, ax=ax)
        for text, share in zip(ax.texts, grid.to_numpy()[~own], strict=True):
            text.set_color("white" if contrast(to_hex(colormaps[SHARE_MAP](share))) >= READABLE else "black")
        for row, column in np.argwhere(own):
            ax.add_patch(Rectangle((column, row), 1, 1, fill=False, ec="black", lw=2, clip_on=False))
            ax.text(column + 0.5, row + 0.5, "reference", ha="center", va="center", fontsize=9)
        ax.tick_params(axis="y", rotation=0)
        ax.set(xlabel="lambda: weight of the prior", ylabel="a: sharpness of the softmax")
        ax.set_title(f"top {top_k} images per neuron", fontsize=10)
    return axes


@styled
@validated(table=table_with("setup", "kind", made_by="trust.compare_baselines(...)"))
def baseline_bars(ax: Axes, table: pd.DataFrame, value: str, chance: float | None = None, nothing: str = "none") -> Axes:
    """A bar per setup; control baselines are grey and hatched.

    >>> baseline_bars(ax, trust.compare_baselines(dissections, "bn2"), "precision", chance=0.05)  # doctest: +SKIP

    Parameters
    ----------
    table : DataFrame
        Columns setup, kind ("model" or a kind of baseline) and `value`, which may be missing (`trust.compare_baselines`).
        Across a bar of precision a line shows the prevalence, where the table has it: the precision of random labels.
    chance : float, optional
        Drawn as a dashed line.
    nothing : str
        Written where a value is missing.
    """
    has_columns("table", table, value)
    for i, row in enumerate(table.itertuples()):
        length, (colour, hatch) = getattr(row, value), KIND_STYLES[row.kind]
        colour = setup_styles([row.setup])[row.setup]["color"] if row.kind == "model" else colour
        at = {"textcoords": "offset points", "va": "center", "fontsize": 9}
        if np.isnan(length):
            ax.annotate(nothing, (0, i), (3, 0), color="#555555", **at)
            continue
        ax.barh(i, length, 0.75, color=colour, hatch=hatch)
        end = length
        if value == "precision" and "prevalence" in table:
            ax.vlines(row.prevalence, i - 0.42, i + 0.42, color="black", lw=2)
            end = max(length, row.prevalence)
        ax.annotate(percent(length) if value in SHARES else f"{length:g}", (end, i), (4, 0), **at)
    if chance is not None:
        ax.axvline(chance, color="black", lw=1, ls="--")
        ax.annotate(" chance", (chance, 1), xycoords=("data", "axes fraction"), va="bottom", fontsize=9)
    ax.set_yticks(range(len(table)), list(table.setup))
    ax.set_ylim(len(table) - 0.5, -0.5)
    if value in SHARES:
        ax.set(xlim=(0, 1.15), xticks=SHARE_TICKS)
        percent_axis(ax.xaxis)
    else:
        ax.margins(x=0.2)
        _only_ticks_in_view(ax)
    ax.set(xlabel=AXIS_WORDS.get(value, value))
    return ax


def _apart(values: pd.Series) -> list[float]:
    """The values that an axis has room to name: each a twelfth of the range from the one before."""
    known = sorted(values.unique())
    ticks = known[:1]
    for value in known[1:]:
        if value - ticks[-1] >= (known[-1] - known[0]) / 12:
            ticks.append(value)
    return ticks


def _only_ticks_in_view(ax: Axes) -> None:
    low, high = ax.get_xlim()
    ax.set_xticks([place for place in ax.get_xticks() if low <= place <= high])
