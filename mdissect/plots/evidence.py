"""Plots of how well labels predict, what tells right ones from wrong ones, and the dissector's card, from tables."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from mdissect.arguments import table_with, tables_with
from mdissect.plots.style import percent_axis, setup_styles, styled
from mdissect.signatures import validated

# Words, colour and marker of what is correlated with a neuron (`trust.predicts`).
PREDICTORS = {
    "floor": ("labels of other neurons (floor)", "#999999", "s"),
    "predicts": ("label", "#0072B2", "o"),
    "ceiling": ("best concept", "#009E73", "^"),
    "ridge": ("all concepts (ridge)", "#E69F00", "D"),
}
RANGE, MIDDLE = (0.1, 0.9), 0.5  # quantiles over neurons that are drawn
# Words of the columns that may tell right labels (`trust.indicators`).
INDICATORS = {
    "predicts": "prediction of unseen patients",
    "corrected": "correlation with the label (corrected)",
    "in_sample": "correlation with the label (in sample)",
    "p": "p against chance",
    "q": "q against chance",
    "p_label": "p of the label",
    "stability": "label stability",
    "score": "label stability",
    "similarity": "similarity S",
    "same": "same label by other halves",
}
SAME_COLOUR = "#444444"
HEIGHT = 0.8  # of a row's marks together


@styled
@validated(tables=tables_with("neuron", *PREDICTORS, made_by="trust.predicts(...)"))
def predicted_ranges(ax: Axes, tables: Mapping[str, pd.DataFrame]) -> Axes:
    """How well labels predict their neurons on unseen patients, beside floor and ceiling: 10, 50 and 90 % of the neurons.

    >>> predicted_ranges(ax, {"M": trust.predicts(found, ["bn2"])})  # doctest: +SKIP

    Parameters
    ----------
    tables : mapping of setup to DataFrame
        A row of marks for each; columns floor, predicts, ceiling and ridge, correlations (`trust.predicts`).
    """
    places = HEIGHT * (np.arange(len(PREDICTORS)) / (len(PREDICTORS) - 1) - 0.5)
    for place, (column, (words, colour, marker)) in zip(places, PREDICTORS.items(), strict=True):
        rows = [(i, table[column].dropna()) for i, table in enumerate(tables.values())]
        known = [(i + place, *values.quantile([*RANGE, MIDDLE])) for i, values in rows if len(values)]
        y, low, high, middle = zip(*known, strict=True) if known else ((), (), (), ())
        ax.hlines(y, low, high, color=colour, lw=2)
        ax.plot(middle, y, ls="", marker=marker, color=colour, ms=6, label=words)
    ax.axvline(0, color="#aaaaaa", lw=1, zorder=0)
    ax.set_yticks(range(len(tables)), list(tables))
    ax.set_ylim(len(tables) - 0.5, -0.5)
    ax.set(xlabel="correlation on patients that no label was chosen on\n(median; line: 10 to 90 % of the neurons)")
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    return ax


@styled
@validated(tables=tables_with("indicator", "auc", "low", "high", made_by="trust.indicators(...)"))
def indicator_points(ax: Axes, tables: Mapping[str, pd.DataFrame]) -> Axes:
    """How well each number tells right labels from wrong ones: AUC with its interval, a mark per setup.

    >>> indicator_points(ax, {"M": trust.indicators(labels, truth)})  # doctest: +SKIP

    Parameters
    ----------
    tables : mapping of setup to DataFrame
        Columns indicator, auc, low, high (`trust.indicators`); rows in the order of the first.
    """
    names = list(dict.fromkeys(one for table in tables.values() for one in table.indicator))
    points = {name: table.assign(row=[names.index(one) for one in table.indicator]) for name, table in tables.items()}
    interval_rows(ax, points, "auc")
    ax.axvline(0.5, color="black", lw=1, ls="--", zorder=0)
    ax.set_yticks(range(len(names)), [INDICATORS.get(name, name.replace("_", " ")) for name in names])
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set(xlabel="AUC for labels that are right, with 95 % interval\n(dashed: chance)")
    return ax


@styled
@validated(table=table_with("layer", "rule", "auc", "low", "high", made_by="trust.held_out_auc(...)"))
def held_out_points(ax: Axes, table: pd.DataFrame) -> Axes:
    """AUC of neurons for labels chosen on other patients, by layer, beside the best that the truth's own concepts reach.

    >>> held_out_points(ax, trust.held_out_auc(found))  # doctest: +SKIP

    Parameters
    ----------
    table : DataFrame
        Columns layer, rule, auc, low, high (`trust.held_out_auc`).
    """
    layers = list(dict.fromkeys(table.layer))
    points = {
        rule: rows.assign(row=[layers.index(one) for one in rows.layer]) for rule, rows in table.groupby("rule", sort=False)
    }
    interval_rows(ax, points, "auc")
    ax.set_yticks(range(len(layers)), layers)
    ax.set_ylim(len(layers) - 0.5, -0.5)
    ax.set(xlabel="AUC for the label on patients that it was not chosen on, with 95 % interval")
    return ax


@styled
@validated(tables=tables_with("layer", "share", "low", "high", "random_share", made_by="trust.dissector_card(...)"))
def dissector_cards(ax: Axes, tables: Mapping[str, pd.DataFrame]) -> Axes:
    """Share of neurons that follow a concept of the dissector more closely than random axes, with its interval, by layer.

    >>> dissector_cards(ax, {"M": trust.dissector_card(found)})  # doctest: +SKIP

    Parameters
    ----------
    tables : mapping of setup to DataFrame
        Columns layer, share, low, high, random_share (`trust.dissector_card`). A grey line ends at the share that 95 % of
        the sets of random axes stay below; the dashed line is their mean, 5 %.
    """
    layers = list(dict.fromkeys(layer for table in tables.values() for layer in table.layer))
    points = {name: table.assign(row=[layers.index(one) for one in table.layer]) for name, table in tables.items()}
    for i, table in enumerate(points.values()):
        at = table.row + _offset(i, len(points))
        ax.hlines(at, 0, table.random_share, color="#BBBBBB", lw=5, label="random axes, 95 %" if i == 0 else None, zorder=1)
    interval_rows(ax, points, "share")
    ax.axvline(0.05, color="black", lw=1, ls="--", zorder=0)
    ax.set_yticks(range(len(layers)), layers)
    ax.set_ylim(len(layers) - 0.5, -0.5)
    ax.set(xlabel="share of neurons that follow a concept\nmore closely than random axes", xlim=(0, 1))
    percent_axis(ax.xaxis)
    return ax


def interval_rows(ax: Axes, points: Mapping[str, pd.DataFrame], value: str) -> None:
    """A mark with its interval for each row of each table, at the height of its column row; a legend of the tables."""
    styles = setup_styles(list(points))
    for i, (name, table) in enumerate(points.items()):
        at, look = table.row + _offset(i, len(points)), {part: styles[name][part] for part in ("color", "marker")}
        look = look if len(points) > 1 else look | {"color": SAME_COLOUR}
        ax.hlines(at, table.low, table.high, color=look["color"], lw=2)
        ax.plot(table[value], at, ls="", ms=6, label=name, **look)
    if len(points) > 1:
        ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)


def _offset(i: int, n: int) -> float:
    """The height of table i of n within a row."""
    return (i - (n - 1) / 2) * HEIGHT / n
