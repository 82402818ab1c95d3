"""Plots of labelling rules and of layers side by side: a row each, with marks and intervals; each draws on an Axes."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from mdissect.arguments import has_columns, table_with, tables_with
from mdissect.plots.style import SETUP_COLOURS, SETUP_MARKERS, SETUPS, setup_styles, styled
from mdissect.signatures import validated

HEIGHT = 0.7  # of a row's marks together
SIDES = {"channels": ("#444444", "o"), "latents": ("#0072B2", "D")}
# Words of the measures of `sae.compare`.
MEASURES = {
    "named": "share named (better than chance)",
    "predicts": "correlation with the label,\nother patients",
    "predicts_named": "the same, of those named",
    "auc": "AUC for the label's truth,\nother patients",
    "auc_named": "the same, of those named",
    "best_auc": "AUC of the best one for a concept,\nother patients",
}


@styled
@validated(tables=tables_with("rule", made_by="study.rules"))
def rule_points(
    ax: Axes, tables: Mapping[str, pd.DataFrame], value: str, low: str = "low", high: str = "high", zero: float | None = None
) -> Axes:
    """A row per labelling rule, and in it a mark with an interval for each table.

    >>> rule_points(ax, {"M": rules.mean_predicts(tables)}, "predicts")  # doctest: +SKIP

    Parameters
    ----------
    tables : mapping of name to DataFrame
        Columns rule and those named by `value`, `low` and `high`; setups of the paper look as in every figure.
    zero : float, optional
        Where a dashed line stands, such as what no rule would do better than.
    """
    rules = list(dict.fromkeys(rule for table in tables.values() for rule in table.rule))
    for i, (name, look) in enumerate(_looks(tables).items()):
        has_columns("tables", tables[name], value, low, high)
        at = np.array([rules.index(rule) for rule in tables[name].rule]) + HEIGHT * ((i + 0.5) / len(tables) - 0.5)
        ax.hlines(at, tables[name][low], tables[name][high], color=look["color"], lw=2)
        ax.plot(tables[name][value], at, ls="", ms=5.5, label=name, **look)
    if zero is not None:
        ax.axvline(zero, color="black", lw=1, ls="--", zorder=0)
    ax.set_yticks(range(len(rules)), [rule.replace("_", " ") for rule in rules])
    ax.set_ylim(len(rules) - 0.5, -0.5)
    for edge in np.arange(0.5, len(rules) - 1):
        ax.axhline(edge, color="#EEEEEE", lw=0.8, zorder=0)
    if len(tables) > 1:
        ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, fontsize=8)
    return ax


@styled
@validated(table=table_with("measure", *SIDES, "channels_low", "latents_high", made_by="sae.compare(...)"))
def latent_points(ax: Axes, table: pd.DataFrame) -> Axes:
    """A row per measure: a layer's channels and the latents of its autoencoder, each with its interval.

    >>> latent_points(ax, sae.compare(found, "bn2"))  # doctest: +SKIP

    Parameters
    ----------
    table : DataFrame
        Columns measure, channels, channels_low, channels_high, and the same of latents (`mdissect.sae.compare`).
    """
    rows = np.arange(len(table))
    for shift, (side, (colour, marker)) in zip((-0.15, 0.15), SIDES.items(), strict=True):
        ax.hlines(rows + shift, table[f"{side}_low"], table[f"{side}_high"], color=colour, lw=2)
        ax.plot(table[side], rows + shift, ls="", ms=6, color=colour, marker=marker, label=side)
    ax.set_yticks(rows, [MEASURES.get(one, one) for one in table.measure], fontsize=8)
    ax.set_ylim(len(table) - 0.5, -0.5)
    ax.set(xlabel="value, with 95 % interval")
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    return ax


def _looks(names: Mapping) -> dict[str, dict[str, str]]:
    """Colour and marker by name: the paper's setups their own, others in turn."""
    if any(name in SETUPS for name in names):
        return {name: {part: look[part] for part in ("color", "marker")} for name, look in setup_styles(list(names)).items()}
    cycle = zip(names, SETUP_COLOURS * len(names), SETUP_MARKERS * len(names), strict=False)
    return {name: {"color": colour, "marker": marker} for name, colour, marker in cycle}
