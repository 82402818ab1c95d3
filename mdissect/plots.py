"""Drawings of the analysis tables: each takes an Axes and returns it; nothing is computed here.

One palette serves all figures: a colour (Okabe-Ito, safe for colour-blind readers) and a hatch for each broad category and
for each setup, and every group is also written out in words.
"""

import json
import os
from collections.abc import Collection, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mdissect.drawn import drawn_values, rounded_svg, same_drawing
from mdissect.vocabulary import OTHER, TAXONOMY

CATEGORY_COLOURS = dict(zip(TAXONOMY, ("#0072B2", "#56B4E9", "#D55E00", "#CC79A7", "#E69F00", "#009E73"), strict=True))
CATEGORY_HATCHES = dict(zip(TAXONOMY, ("//", "..", "", "xx", "--", "\\\\"), strict=True))
DOMAIN_COLOURS = {"mammography": "#0072B2", "other": CATEGORY_COLOURS[OTHER]}
DOMAIN_HATCHES = {"mammography": "", "other": "\\\\"}
SETUP_COLOURS = ("#444444", "#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00")
SETUP_MARKERS = ("o", "s", "^", "D", "v", "P")
SETUP_HATCHES = ("", "//", "..", "xx", "\\\\", "--")
UNGROUPED = "#888888"
MOST_LETTERS = 30  # of the setups' names side by side under a group of bars; longer ones stand upright


def layer_lines(ax: Axes, tables: Mapping[str, pd.DataFrame], value: str = "threshold", dashed: Collection[str] = ()) -> Axes:
    """A line per setup over the layers: `tables` maps setup to a table with columns layer and `value`.

    Those named in `dashed`, baselines, are thin and grey.
    Where a table has an interval (columns low and high, or <value>_low and <value>_high), it is drawn as a bar, and the setups
    stand a little beside each other. Setups of other layers meet at the same place in order of depth; a tick names all layers
    at its place.
    """
    names = [dict.fromkeys(at) for at in zip_longest(*(table.layer for table in tables.values()))]
    ranks = {
        name: i for group in (set(tables) - set(dashed), set(dashed)) for i, name in enumerate(n for n in tables if n in group)
    }
    for i, (name, table) in enumerate(tables.items()):
        rank, thin = ranks[name], name in dashed
        style = {"color": UNGROUPED if thin else SETUP_COLOURS[rank % len(SETUP_COLOURS)], "ls": "--" if thin else "-"}
        style |= {"marker": SETUP_MARKERS[rank % len(SETUP_MARKERS)], "lw": 1.2 if thin else 2, "ms": 5 if thin else 7}
        places, bounds = np.arange(len(table), dtype=float), interval_columns(table, value)
        if bounds:
            places += (i - (len(tables) - 1) / 2) * 0.06
            ax.vlines(places, table[bounds[0]], table[bounds[1]], color=style["color"], lw=3, alpha=0.45)
        ax.plot(places, table[value], label=name, **style)
    ax.set_xticks(range(len(names)), ["\n".join(name for name in at if name is not None) for at in names])
    ax.margins(x=0.12)
    ax.set(xlabel="layer, from shallow to deep")
    ax.legend(frameon=False)
    return _plain(ax)


def grouped_bars(
    ax: Axes,
    counts: Mapping[str, pd.DataFrame],
    group: str,
    value: str = "concepts",
    colours: Mapping[str, str] = DOMAIN_COLOURS,
    hatches: Mapping[str, str] = DOMAIN_HATCHES,
) -> Axes:
    """Bars of each setup side by side in every layer, stacked by group.

    `counts` maps setup to a table with columns layer, `group` and `value`, as `analysis.count_concepts` returns it.
    A table that lost its empty rows (`analysis.top_groups`) may lack layers that another has.
    """
    places, layers = bar_places(counts), _in_order([list(dict.fromkeys(table.layer)) for table in counts.values()])
    width, drawn = 0.8 / len(counts), set()
    for setup, table in counts.items():
        for layer in layers:
            x, bottom = places[setup, layer], 0.0
            for row in table[table.layer == layer].itertuples():
                name, height = getattr(row, group), getattr(row, value)
                if height == 0:
                    continue
                style = {"color": colours.get(name, UNGROUPED), "hatch": hatches.get(name, "")}
                label = None if name in drawn else name
                ax.bar(x, height, width * 0.92, bottom=bottom, edgecolor="white", lw=0.6, label=label, **style)
                ax.text(
                    x,
                    bottom + height / 2,
                    f"{height:g}" if value != "fraction" else f"{height:.0%}",
                    ha="center",
                    va="center",
                    fontsize=8,
                    color="black",
                    bbox=_LABEL,
                )
                drawn.add(name)
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
    return _plain(ax)


def bar_places(counts: Mapping[str, pd.DataFrame]) -> dict[tuple[str, str], float]:
    """Where `grouped_bars` puts the bar of each setup and layer."""
    layers = _in_order([list(dict.fromkeys(table.layer)) for table in counts.values()])
    middle = (len(counts) - 1) / 2
    return {
        (setup, layer): j + (i - middle) * 0.8 / len(counts) for i, setup in enumerate(counts) for j, layer in enumerate(layers)
    }


def interval_columns(table: pd.DataFrame, value: str) -> tuple[str, str] | None:
    """The columns with the interval of a value: <value>_low and <value>_high, else low and high, else None."""
    pairs = ((f"{value}_low", f"{value}_high"), ("low", "high"))
    return next((pair for pair in pairs if set(pair) <= set(table.columns)), None)


def precision_points(ax: Axes, tables: Mapping[str, pd.DataFrame]) -> Axes:
    """A point per neuron: how common what its label says is among all images, and among its strongest ones.

    `tables` maps setup to a table with columns prevalence and precision; on the line a label is no better than chance.
    """
    for i, (name, table) in enumerate(tables.items()):
        style = {"color": SETUP_COLOURS[i % len(SETUP_COLOURS)], "marker": SETUP_MARKERS[i % len(SETUP_MARKERS)]}
        ax.scatter(table.prevalence, table.precision, s=18, alpha=0.6, label=f"{name} ({len(table)} neurons)", **style)
    ax.axline((0, 0), slope=1, color="#aaaaaa", lw=1)
    ax.set(xlim=(0, 1), ylim=(0, 1.03))
    ax.legend(frameon=False, loc="lower right")
    return _plain(ax)


def word_cloud(ax: Axes, words: Mapping[str, float], category_of: Mapping[str, str], seed: int = 0) -> Axes:
    """Words sized by a positive weight and coloured by broad category; nothing but a note when there are no words.

    `category_of` maps word to broad category; of several ("a; b", as `Dissection.labels` joins them) the first counts.
    """
    ax.set_axis_off()
    if not words:
        ax.text(0.5, 0.5, "no concept passes", ha="center", va="center", transform=ax.transAxes)
        return ax
    from wordcloud import WordCloud

    def colour(word: str, **_) -> str:
        return CATEGORY_COLOURS.get(category_of.get(word, "").partition("; ")[0], UNGROUPED)

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


def category_legend(ax: Axes, categories: list[str], **options) -> Axes:
    """A legend of broad categories (or domains) in the colours and hatches of all figures."""
    from matplotlib.patches import Patch

    colours, hatches = CATEGORY_COLOURS | DOMAIN_COLOURS, CATEGORY_HATCHES | DOMAIN_HATCHES
    patches = [
        Patch(facecolor=colours.get(c, UNGROUPED), hatch=hatches.get(c, ""), edgecolor="white", label=c) for c in categories
    ]
    ax.legend(handles=patches, frameon=False, **options)
    return ax


def mammogram(ax: Axes, image: np.ndarray, caption: str = "") -> Axes:
    """An image in its true aspect, grey or colour, its caption under it."""
    ax.imshow(image, cmap="gray" if image.ndim == 2 else None, interpolation="nearest")
    ax.set(xticks=[], yticks=[])
    ax.set_xlabel(caption, fontsize=8)
    for side in ax.spines.values():
        side.set_visible(False)
    return ax


def save_figure(fig: Figure, stem: str | os.PathLike, settings: Mapping) -> Path:
    """Write <stem>.png, .svg and .json: the settings stand in the metadata of both pictures and beside them.

    The JSON also holds what is drawn, as values (see `mdissect.drawn`). Where it already tells the same settings and, up to
    rounding, the same values, and both pictures are there, nothing is written.

    Returns the path of the PNG.
    """
    stem = Path(stem)
    png, svg, beside = (stem.with_name(stem.name + ending) for ending in (".png", ".svg", ".json"))
    text, drawn = json.dumps(settings, indent=1, sort_keys=True, default=str), drawn_values(fig)
    told = saved_settings(stem) or {}
    unchanged = same_drawing(told.pop("drawn", None), drawn) and told == json.loads(text)
    if unchanged and png.exists() and svg.exists():
        return png
    stem.parent.mkdir(parents=True, exist_ok=True)
    fig.savefig(png, dpi=150, bbox_inches="tight", metadata={"Description": text})
    fig.set_layout_engine("none")  # everything has its place now: finding it anew takes longer than drawing
    with _fixed_svg_ids():
        fig.savefig(svg, bbox_inches="tight", metadata={"Description": text, "Date": None})
    svg.write_text(rounded_svg(svg.read_text(encoding="utf-8")), encoding="utf-8")
    values = ",\n  ".join(json.dumps(artist, ensure_ascii=False) for artist in drawn)  # an artist a line
    beside.write_text(f'{text[:-2]},\n "drawn": [\n  {values}\n ]\n}}\n', encoding="utf-8")
    return png


def saved_settings(stem: str | os.PathLike) -> dict | None:
    """What the JSON beside a figure tells: its settings and, under "drawn", its values; None when there is none to be read."""
    beside = Path(stem).with_name(Path(stem).name + ".json")
    try:
        return json.loads(beside.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return None


_LABEL = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.8}


def _fixed_svg_ids():
    """The same drawing gives the same SVG, byte by byte."""
    import matplotlib

    return matplotlib.rc_context({"svg.hashsalt": "mdissect"})


def _in_order(lists: Sequence[Sequence[str]]) -> list[str]:
    """All names of several lists, each before those that follow it in its own list."""
    merged: list[str] = []
    for names in lists:
        for i, name in enumerate(names):
            if name not in merged:
                later = [merged.index(other) for other in names[i + 1 :] if other in merged]
                merged.insert(min(later, default=len(merged)), name)
    return merged


def _plain(ax: Axes) -> Axes:
    ax.spines[["top", "right"]].set_visible(False)
    return ax
