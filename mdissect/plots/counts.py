"""Plots of thresholds, counts and words: each takes an Axes and returns it; nothing is computed here."""

from collections.abc import Collection, Mapping, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mdissect.analysis import RULES
from mdissect.arguments import POSITIVE, has_columns, kind_of, tables_with
from mdissect.plots.style import (
    CATEGORY_COLOURS,
    DOMAIN_COLOURS,
    GROUP_COLOURS,
    GROUP_HATCHES,
    NUMBER_BOX,
    UNGROUPED,
    category_legend,
    group_style,
    setup_style,
    styled,
)
from mdissect.signatures import validated

if TYPE_CHECKING:
    from mdissect.study import Pair

MOST_LETTERS = 30  # of the setups' names side by side under a group of bars; longer ones stand upright


@styled
@validated(tables=tables_with("layer", made_by="analysis.thresholds(...)"))
def layer_lines(ax: Axes, tables: Mapping[str, pd.DataFrame], value: str = "threshold", dashed: Collection[str] = ()) -> Axes:
    """A line per setup over the layers.

    >>> layer_lines(ax, {"G": thresholds(g), "M": thresholds(m)})  # doctest: +SKIP

    Parameters
    ----------
    tables : mapping of setup to DataFrame
        Columns layer and `value`. Intervals (columns low and high, or <value>_low and <value>_high) are drawn as bars, and the
        setups then stand a little beside each other. Setups with other layers are aligned by depth; a tick names all layers at
        its place.
    dashed : collection of str
        Setups, the baselines, whose lines are thin, dashed and grey.
    """
    has_columns("tables", tables, value)
    names = [dict.fromkeys(at) for at in zip_longest(*(table.layer for table in tables.values()))]
    ranks = {
        name: i for group in (set(tables) - set(dashed), set(dashed)) for i, name in enumerate(n for n in tables if n in group)
    }
    for i, (name, table) in enumerate(tables.items()):
        rank, thin = ranks[name], name in dashed
        style = setup_style(rank) | ({"color": UNGROUPED, "ls": "--", "lw": 1.2, "ms": 5} if thin else {"lw": 2, "ms": 7})
        places, bounds = np.arange(len(table), dtype=float), interval_columns(table, value)
        if bounds:
            places += (i - (len(tables) - 1) / 2) * 0.06
            ax.vlines(places, table[bounds[0]], table[bounds[1]], color=style["color"], lw=3, alpha=0.45)
        ax.plot(places, table[value], label=name, **style)
    ax.set_xticks(range(len(names)), ["\n".join(name for name in at if name is not None) for at in names])
    ax.margins(x=0.12)
    ax.set(xlabel="layer, from shallow to deep")
    ax.legend()
    return ax


@styled
@validated(counts=tables_with("layer", made_by="analysis.count_concepts(...)"))
def grouped_bars(
    ax: Axes,
    counts: Mapping[str, pd.DataFrame],
    group: str,
    value: str = "concepts",
    colours: Mapping[str, str] = GROUP_COLOURS,
    hatches: Mapping[str, str] = GROUP_HATCHES,
) -> Axes:
    """Bars of each setup side by side in every layer, stacked by group.

    >>> grouped_bars(ax, {"G": count_concepts(g, tau), "M": count_concepts(m, tau)}, "domain")  # doctest: +SKIP

    Parameters
    ----------
    counts : mapping of setup to DataFrame
        Columns layer, `group` and `value` (`analysis.count_concepts`). Layers that only some of the tables have are drawn too.
    group, value : str
        "fraction" is written in per cent, other values as they are.
    colours, hatches : mapping of group to str
        Those of categories and domains by default; a group without a colour is grey.
    """
    has_columns("counts", counts, group, value)
    places = bar_places(counts)
    layers = list(dict.fromkeys(layer for _, layer in places))
    width, named = 0.8 / len(counts), set()
    for setup, table in counts.items():
        for layer in layers:
            x, bottom = places[setup, layer], 0.0
            for row in table[table.layer == layer].itertuples():
                name, height = getattr(row, group), getattr(row, value)
                if height == 0:
                    continue
                style = {"color": colours.get(name, UNGROUPED), "hatch": hatches.get(name, "")}
                bar = ax.bar(x, height, width * 0.92, bottom=bottom, label=None if name in named else name, **style)
                number = "{:.0%}" if value == "fraction" else "{:g}"
                ax.bar_label(bar, fmt=number, label_type="center", fontsize=8, bbox=NUMBER_BOX)
                named.add(name)
                bottom += height
            if bottom == 0:
                ax.annotate("0", (x, 0), (0, 2), textcoords="offset points", ha="center", va="bottom", fontsize=8)
    longest = max(len(setup) for setup in counts)
    upright = len(counts) * longest > MOST_LETTERS
    ax.set_xticks(list(places.values()), [setup for setup, _ in places], rotation=90 if upright else 0)
    ax.set_xlim(-0.5, len(layers) - 0.5)
    below = -(14 + 6.5 * longest) if upright else -28  # points
    for j, layer in enumerate(layers):
        at = {"xycoords": ax.get_xaxis_transform(), "textcoords": "offset points"}
        ax.annotate(layer, (j, 0), (0, below), ha="center", va="top", **at)
    ax.margins(y=0.12)
    return ax


def bar_places(counts: Mapping[str, pd.DataFrame]) -> dict[tuple[str, str], float]:
    """The x of the bar of each setup and layer in `grouped_bars`."""
    layers = _in_order([list(dict.fromkeys(table.layer)) for table in counts.values()])
    middle = (len(counts) - 1) / 2
    return {
        (setup, layer): j + (i - middle) * 0.8 / len(counts) for i, setup in enumerate(counts) for j, layer in enumerate(layers)
    }


def interval_columns(table: pd.DataFrame, value: str) -> tuple[str, str] | None:
    """The columns with the interval of a value: <value>_low and <value>_high, else low and high, else None."""
    pairs = ((f"{value}_low", f"{value}_high"), ("low", "high"))
    return next((pair for pair in pairs if set(pair) <= set(table.columns)), None)


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
    for i, (name, table) in enumerate(tables.items()):
        points = {"s": 18, "alpha": 0.6, "label": f"{name} ({len(table)} neurons)"} | setup_style(i)
        ax.scatter(table.prevalence, table.precision, **points)
    ax.axline((0, 0), slope=1, color="#aaaaaa", lw=1)
    ax.set(xlim=(0, 1), ylim=(0, 1.03))
    ax.legend(loc="lower right")
    return ax


def _weights(name: str, value: Mapping[str, float]) -> dict[str, float]:
    kind_of(name, value, Mapping, "{word: weight}")
    return {word: POSITIVE(f"{name}[{word!r}]", weight) for word, weight in value.items()}


@validated(words=_weights)
def word_cloud(ax: Axes, words: Mapping[str, float], category_of: Mapping[str, str], seed: int = 0) -> Axes:
    """Words sized by weight and coloured by broad category.

    >>> word_cloud(ax, {"mass": 3.1, "implant": 2.4}, {"mass": "Findings and characterizations"})  # doctest: +SKIP

    Parameters
    ----------
    words : mapping of word to positive weight
        Without words a note is drawn.
    category_of : mapping of word to broad category
        Of several ("a; b", as in `Dissection.labels`) the first counts; a word without one is grey.
    seed : int
        Of the words' places.
    """
    ax.set_axis_off()
    if not words:
        ax.text(0.5, 0.5, "no concept passes", ha="center", va="center", transform=ax.transAxes)
        return ax
    from wordcloud import WordCloud

    def colour(word: str, **_) -> str:
        return group_style(category_of.get(word, ""))["facecolor"]

    cloud = WordCloud(
        width=1000,
        height=620,
        background_color="white",
        color_func=colour,
        random_state=seed,
        prefer_horizontal=1.0,
        relative_scaling=0.5,
        min_font_size=10,
        max_words=45,
    ).generate_from_frequencies(dict(words))
    ax.imshow(cloud.to_array(), interpolation="bilinear")
    return ax


def _in_order(lists: Sequence[Sequence[str]]) -> list[str]:
    """The names of all lists, each once, in an order that every list agrees with."""
    merged: list[str] = []
    for names in lists:
        for i, name in enumerate(names):
            if name not in merged:
                later = [merged.index(other) for other in names[i + 1 :] if other in merged]
                merged.insert(min(later, default=len(merged)), name)
    return merged


@validated()
def draw_pair(fig: Figure, pair: "Pair") -> Figure:
    """Thresholds by layer, mammography and other concepts, the top three categories: the paper's figures 12 and 13.

    >>> draw_pair(plt.figure(layout="constrained"), claims.compare_pair({"A": a, "B": b}))  # doctest: +SKIP

    Parameters
    ----------
    fig : Figure
        Empty, about 15 x 5 inches.
    pair : study.Pair
        As `study.claims.compare_pair` returns it.
    """
    lines, domains, broad = fig.subplots(1, 3, width_ratios=[1, 1.35, 1.35])
    layer_lines(lines, pair.tau)
    lines.set(title="(a) thresholds", ylabel=f"tau: {RULES[pair.rule]}".replace(" of ", "\nof "))
    grouped_bars(domains, pair.domains, "domain", pair.count)
    category_legend(domains, list(DOMAIN_COLOURS), loc="upper left")
    domains.set(title="(b) domains", ylabel=f"{pair.count} with labels that count")
    domains.set_ylim(top=1.15 * domains.get_ylim()[1])  # room for the legend
    grouped_bars(broad, pair.top, "broad_category", pair.count)
    category_legend(
        fig, list(CATEGORY_COLOURS), loc="outside lower right", ncols=6, fontsize=8, title="categories of (c)", title_fontsize=8
    )
    broad.set(title="(c) top three categories", ylabel=f"{pair.count} with labels that count")
    return fig
