"""Figures of several panels about trust: each takes an empty Figure and returns it; nothing is computed here."""

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.figure import Figure

from mdissect.arguments import has_columns, table_with, tables_with
from mdissect.plots.trust import baseline_bars, card, patients_curve, rule_curves, score_histogram, settings_grid
from mdissect.signatures import validated

BASELINES = {"better": "one label for all", "concepts": "one label for all", "precision": "presence unknown"}


@validated(tables=tables_with("rule", "right", "false_labels", made_by="trust.planted.curve(...)"))
def planted_panels(fig: Figure, tables: Mapping[str, pd.DataFrame], rules: Sequence[str]) -> Figure:
    """What each labelling rule does with planted neurons: labels that are correct, and labels of noise.

    >>> planted_panels(plt.figure(), {"snr": planted.curve("snr", [0.5, 1, 2])}, ["calibrated", "soft_wpmi"])  # doctest: +SKIP

    Parameters
    ----------
    tables : mapping of a column to DataFrame
        A column of panels for each: what is varied, which the table has as a column too (`trust.planted.curve`).
    rules : sequence of str
        The first is drawn bold.
    """
    axes = fig.subplots(2, len(tables), sharex="col", sharey="row", squeeze=False)
    for column, (x, table) in zip(axes.T, tables.items(), strict=True):
        for ax, y in zip(column, ("right", "false_labels"), strict=True):
            rule_curves(ax, table, x, y, rules).label_outer()
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False)
    return fig


@validated(table=table_with("setup", "kind", *BASELINES, made_by="trust.compare_baselines(...)"))
def baseline_panels(fig: Figure, table: pd.DataFrame) -> Figure:
    """`baseline_bars` of labels better than chance, of how many different ones these are, and of precision.

    >>> baseline_panels(plt.figure(), trust.compare_baselines(dissections, "bn2"))  # doctest: +SKIP
    """
    axes = fig.subplots(1, len(BASELINES), sharey=True)
    for ax, (value, nothing) in zip(axes, BASELINES.items(), strict=True):
        baseline_bars(ax, table, value, nothing=nothing)
    axes[-1].set_title("line: of all images, those that show it", fontsize=9)
    return fig


@validated(cards=tables_with("concept", "auc", "low", "high", "flag", made_by="trust.report_card(...)"))
def card_panels(fig: Figure, cards: Mapping[str, pd.DataFrame]) -> Figure:
    """`card`, a panel for each dissector.

    >>> card_panels(plt.figure(), {"M": trust.report_card(found)})  # doctest: +SKIP
    """
    axes = fig.subplots(1, len(cards), sharey=True, squeeze=False)[0]
    for ax, (name, table) in zip(axes, cards.items(), strict=True):
        card(ax, table).set_title(f"dissector of {name}", fontsize=10)
        ax.label_outer()
    return fig


@validated()
def score_panels(
    fig: Figure,
    panels: Mapping[str, Mapping[str, pd.DataFrame]],
    columns: Sequence[str],
    xlabel: str,
    chance: float | None = None,
) -> Figure:
    """`score_histogram`, a panel for each title.

    >>> score_panels(plt.figure(), {"M": {"calibrated": table}}, ["auc"], "AUC", chance=0.5)  # doctest: +SKIP

    Parameters
    ----------
    panels : mapping of title to mapping of name to DataFrame
    columns : sequence of str
        What each panel shows; one for all, or one per panel.
    xlabel : str
        Of all panels.
    chance : float, optional
        Drawn as a dashed line.
    """
    columns = list(columns) * (len(panels) if len(columns) == 1 else 1)
    axes = fig.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for ax, (title, tables), column in zip(axes, panels.items(), columns, strict=True):
        score_histogram(ax, tables, column, chance).set(xlabel=xlabel)
        ax.get_legend().set_title(title)
        ax.label_outer()
    return fig


@validated(table=table_with("own", made_by="trust.sensitivity(...)"))
def settings_panels(fig: Figure, table: pd.DataFrame, value: str = "same_category") -> Figure:
    """`settings_grid`, a panel for each number of top images; `patients_curve` of the calibrated rule, which has no settings.

    >>> settings_panels(plt.figure(), trust.sensitivity(found, "bn2"))  # doctest: +SKIP
    """
    if "patients" in table:
        patients_curve(fig.subplots(), table, value)
        return fig
    has_columns("table", table, "top_k", "a", "lam", value)
    axes = fig.subplots(1, table.top_k.nunique(), squeeze=False)[0]
    settings_grid(list(axes), table, value)
    for ax in axes[1:]:
        ax.set(ylabel="")
    kept = value.removeprefix("same_").replace("_", " ")
    fig.suptitle(f"neurons whose label keeps its {kept} compared with the reference", fontsize=10)
    return fig
