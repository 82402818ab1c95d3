"""Plots of a pretraining and of what it reached: losses, scores, where findings are pointed at, labels that come back."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes

from mdissect.arguments import table_with, tables_with
from mdissect.plots.evidence import interval_rows
from mdissect.plots.style import UNGROUPED, percent_axis, styled
from mdissect.signatures import validated

NOT_LOSSES = ("epoch", "step", "learning_rate")
RECURRING = {  # column, words, colour, marker
    "same": ("same label", "#0072B2", "o"),
    "category": ("label of the same category", "#D55E00", "s"),
}


@styled
@validated(history=table_with("epoch", made_by="train.pretrain(...).history"))
def loss_lines(ax: Axes, history: pd.DataFrame) -> Axes:
    """A line over the epochs for each loss of a pretraining.

    >>> loss_lines(ax, pretrain(...).history)  # doctest: +SKIP

    Parameters
    ----------
    history : DataFrame
        `mdissect.train.Pretrained.history`: epoch, and a column per loss; retrieval and what is not known are left out.
    """
    losses = [name for name in history if name not in NOT_LOSSES and "R@" not in name and history[name].notna().any()]
    for name in losses:
        style = {"ls": "--"} if name.startswith("validation") else {"marker": "o", "ms": 4}
        ax.plot(history.epoch, history[name], label=name, lw=2, **style)
    ax.set(xlabel="epoch", ylabel="loss", xticks=history.epoch[:: max(1, len(history) // 8)])
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return ax


@styled
@validated(tables=tables_with("task", "value", "low", "high", made_by="evaluate.evaluate_dissector(...).table"))
def score_points(
    ax: Axes, tables: Mapping[str, pd.DataFrame], words: str = "zero-shot AUC", chance: float | None = 0.5
) -> Axes:
    """A mark with its interval for each task and model.

    >>> score_points(ax, {"demo/mammo": found.table.query("part == 'zero-shot'")})  # doctest: +SKIP

    Parameters
    ----------
    tables : mapping of model to DataFrame
        Columns task, value, low, high; rows in the order of the first.
    words : str
        What the values are.
    chance : float, optional
        Where a dashed line stands.
    """
    names = list(dict.fromkeys(one for table in tables.values() for one in table.task))
    interval_rows(ax, {name: t.assign(row=[names.index(one) for one in t.task]) for name, t in tables.items()}, "value")
    if chance is not None:
        ax.axvline(chance, color="black", lw=1, ls="--", zorder=0)
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set(xlabel=f"{words}, with 95 % interval" + (" (dashed: chance)" if chance is not None else ""))
    return ax


@styled
@validated(table=table_with("finding", "method", "pointing", "pointing_low", "pointing_high", "chance", "reachable",
                            made_by="localize.compare_localisation(...)"))  # fmt: skip
def pointing_points(ax: Axes, table: pd.DataFrame) -> Axes:
    """How often each method points into a finding's box: a mark with its interval, beside chance and the most that maps allow.

    >>> pointing_points(ax, localize.compare_localisation(factor, probe, labels))  # doctest: +SKIP

    Parameters
    ----------
    table : DataFrame
        Of `mdissect.localize.compare_localisation`. Black lines: a pixel drawn at random. Grey bars end at the share of images
        in which any place of the map lies in a box.
    """
    findings = list(dict.fromkeys(table.finding))
    first = table.drop_duplicates("finding").set_index("finding").loc[findings]
    ax.barh(range(len(findings)), first.reachable, height=0.86, color="#EEEEEE", label="the most that these maps allow")
    ax.vlines(first.chance, [i - 0.43 for i in range(len(findings))], [i + 0.43 for i in range(len(findings))], color="black",
              lw=1.4, label="a pixel at random")  # fmt: skip
    points = {
        method: rows.assign(
            row=[findings.index(one) for one in rows.finding], low=rows.pointing_low, high=rows.pointing_high
        ).dropna(subset="pointing")
        for method, rows in table.groupby("method", sort=False)
    }
    interval_rows(ax, points, "pointing")
    ax.set_yticks(
        range(len(findings)), [f"{name}\n({first.n_images[name]} images)" if "n_images" in first else name for name in findings]
    )
    ax.set_ylim(len(findings) - 0.5, -0.5)
    ax.set(xlim=(0, 1), xlabel="share of images in which the strongest place lies in a box, with 95 % interval")
    percent_axis(ax.xaxis)
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
    return ax


@styled
@validated(table=table_with("layer", *RECURRING, *(f"{name}_chance" for name in RECURRING), made_by="study.recurring(...)"))
def recurring_points(ax: Axes, table: pd.DataFrame) -> Axes:
    """How often a label returns in the matched neuron of another training: a mark for each two trainings, lines for chance.

    >>> recurring_points(ax, study.recurring(open_study(), further_trainings(open_study())))  # doctest: +SKIP

    Parameters
    ----------
    table : DataFrame
        Of `mdissect.study.recurring`.
    """
    layers = list(dict.fromkeys(table.layer))
    for shift, (name, (words, colour, marker)) in zip((-0.16, 0.16), RECURRING.items(), strict=True):
        places = table.layer.map(layers.index) + shift
        ax.plot(places, table[name], ls="", marker=marker, ms=7, mfc="none", color=colour, label=words)
        chance = table.groupby("layer", sort=False)[f"{name}_chance"].mean()
        ends = [layers.index(layer) + shift for layer in chance.index]
        ax.hlines(chance, [x - 0.12 for x in ends], [x + 0.12 for x in ends], color=colour, lw=2, ls=":")
    ax.plot([], [], color=UNGROUPED, lw=2, ls=":", label="random partners")
    ax.set_xticks(range(len(layers)), layers)
    ax.set(
        xlim=(-0.5, len(layers) - 0.5), ylim=(0, None), xlabel="layer, from shallow to deep", ylabel="share of matched neurons"
    )
    percent_axis(ax.yaxis)
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return ax
