"""An explorer's view as a static figure, for pages and papermill runs; nothing is computed here."""

import io
import textwrap
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure, FigureBase, SubFigure

from mdissect.explorers.bars import Bar
from mdissect.explorers.changes import CHANGES
from mdissect.explorers.html import GROUP_COLOURS, OTHERS, facts_of, other_words
from mdissect.explorers.panels import Panel
from mdissect.explorers.pictures import HEAT_COLOUR, Picture
from mdissect.explorers.reading import EVERYTHING, Group, OfImage
from mdissect.explorers.scales import Scale
from mdissect.plots import (
    CAPTION_WIDTH,
    CATEGORY_COLOURS,
    SETUP_HATCHES,
    caption,
    category_legend,
    concept_bars,
    mammogram,
    plain_texts,
    setup_styles,
)
from mdissect.wording import percent

Pair = tuple[float, float]
COLUMNS = 4
PANEL, COUNTED, HEAD_LINE = (3.5, 3.9), 2.6, 0.19  # inches: bars and images of a panel, the counts, a line above the bars
LINE, LEAST_HEIGHT, MOST_HEIGHT = 0.137, 6.5, 9.0  # inches: a line of a caption, a figure
TITLE_WIDTH = 84  # letters of a line above images
LABEL_WIDTH = 32  # letters of a label beside a bar
USUAL_HEAD = 4  # lines above the bars of a panel
USUAL_LINES = 4  # under the images of a panel
MOST_NAMED = 9  # concepts of a kind by name
COUNTS = "this label"  # what `Bar.words` says of a label that counts
NONE_KNOWN = "the similarity of no neuron is known"
BAR_COLUMNS = ["concept", "similarity", "broad_category"]
VEIL = LinearSegmentedColormap.from_list("veil", ["black", tuple(part / 255 for part in HEAT_COLOUR)])
CHANGE_COLOURS = ("#009E73", "#D55E00", "#888888")


class ViewFigure(Figure):
    """A figure that notebooks show as a picture, whether or not pyplot was set up in them; its texts are as they are."""

    def draw(self, renderer) -> None:
        plain_texts(self)
        super().draw(renderer)

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=100)
        return buffer.getvalue()


def draw_neuron(
    title: str,
    concepts: pd.DataFrame | str,
    threshold: float | None,
    images: Sequence[tuple[pd.Series, Picture]],
    histogram: tuple[np.ndarray, Sequence[Group], str],
    large: tuple[OfImage, Picture] | None = None,
    images_title: str = "",
) -> Figure:
    """Concepts and histogram to the left, images in rows, or one of them large, to the right.

    `concepts` has the columns concept, similarity, broad_category and has_word, or says why there are none; each image is a row
    with image and activation, and its picture; `histogram` is edges, groups (`Reading.histogram`; without them it is left out)
    and the name of the split;
    `images_title` stands above the images.
    """
    above = LINE * title.count("\n") + 0.2
    fig = ViewFigure(figsize=(13, max(8, above + _gallery_height(images, "activation", width=13 / 1.8))), layout="constrained")
    left, right = fig.subfigures(1, 2, width_ratios=[1, 1.25])
    axes = left.subplots(2 if histogram[1] else 1, 1, squeeze=False, height_ratios=[1.7, 1][: 2 if histogram[1] else 1])
    if isinstance(concepts, str) or concepts.empty:
        axes[0, 0].set_axis_off()
        why = concepts if isinstance(concepts, str) else "cannot be named"
        axes[0, 0].text(0.5, 0.5, why, ha="center", transform=axes[0, 0].transAxes)
    else:
        bold = "; bold: has the words searched for" if concepts.has_word.any() else ""
        concept_bars(axes[0, 0], concepts, threshold).set_xlabel(f"similarity{bold}")
        _legend(axes[0, 0], concepts.broad_category, (-0.35, -0.16))
    if histogram[1]:
        group_lines(axes[1, 0], *histogram)
    if large:
        large_image(right, *large)
    else:
        gallery(right, images, "activation", images_title if images else "")
    first, *rest = title.splitlines()
    fig.suptitle("\n".join([first, *(textwrap.fill(line, 130) for line in rest)]), fontsize=11 if rest else 12)
    return fig


def large_image(fig: FigureBase, seen: OfImage, picture: Picture) -> FigureBase:
    """One image beside what is known of it, the neurons that it activates most and the closest concepts."""
    left, right = fig.subplots(1, 2, width_ratios=[1.35, 1])
    mammogram(left, picture.array)
    if picture.scale:
        scale_bar(fig, [left], picture.scale)
    right.set_axis_off()
    neurons = [other_words(row) for row in seen.neurons.itertuples()]
    concepts = [f"{row.concept}: {row.similarity:.2f} ({row.deviations:+.1f} sd)" for row in seen.concepts.itertuples()]
    parts = [("", [seen.row.image, *facts_of(seen, picture)]), *[(OTHERS, neurons)] * bool(neurons)]
    parts += [("Closest concepts (dissector)", concepts)] if concepts else []
    text = "\n\n".join("\n".join(textwrap.fill(line, 42) for line in [head, *lines] if line) for head, lines in parts)
    right.text(0, 1, text, va="top", fontsize=9, transform=right.transAxes)
    return fig


def _gallery_height(images: Sequence[tuple[pd.Series, Picture]], value: str, width: float) -> float:
    """The height in inches that a gallery of a width fills, title and note included; room for the bars beside it at least."""
    wide, height = width / COLUMNS - 0.1, 1.0
    for start in range(0, len(images), COLUMNS):
        row = images[start : start + COLUMNS]
        tallest = max(picture.array.shape[0] / picture.array.shape[1] for _, picture in row) * wide
        height += tallest + LINE * max(_words_of(*one, value).count("\n") + 1 for one in row) + 0.2
    return min(max(height, LEAST_HEIGHT), MOST_HEIGHT)


def _words_of(row: pd.Series, picture: Picture, value: str) -> str:
    """What stands under an image of a gallery."""
    lines = [f"{value} {row[value]:.2f}", caption(row), textwrap.fill(picture.problem, CAPTION_WIDTH)]
    return "\n".join(line for line in lines if line)


def gallery(part: FigureBase, images: Sequence[tuple[pd.Series, Picture]], value: str, title: str = "") -> None:
    """Images in rows of `COLUMNS`, each with its `value`, what is known of it and what is wrong with it, under a title."""
    if title:
        part.suptitle(textwrap.fill(title, TITLE_WIDTH), fontsize=10)
    if not images:
        return
    grid = part.subplots(-(-len(images) // COLUMNS), COLUMNS, squeeze=False).ravel()
    for ax in grid[len(images) :]:
        ax.set_axis_off()
    for ax, (row, picture) in zip(grid, images, strict=False):
        mammogram(ax, picture.array, _words_of(row, picture, value)).set_anchor("N")  # no gap below the title
    if scale := next((picture.scale for _, picture in images if picture.scale), None):
        scale_bar(part, list(grid), scale)


def scale_bar(fig: FigureBase, axes: Sequence[Axes], scale: Scale) -> None:
    """The colour bar of activation maps below some axes, and what its end is."""
    shades = ScalarMappable(Normalize(0, scale.highest or 1), VEIL)
    bar = fig.colorbar(shades, ax=axes, orientation="horizontal", shrink=0.6, aspect=40, pad=0.02)
    bar.set_label(f"activation, 0 to {scale.highest:.3g} ({scale.of}); dimmed off the breast", fontsize=8)
    bar.ax.tick_params(labelsize=8)


def group_lines(ax: Axes, edges: np.ndarray, groups: Sequence[Group], split: str) -> Axes:
    """The share of each group's images over the activation, a row for each group, all rows on one scale."""
    highest, names = max((group.shares.max() for group in groups), default=0) or 1, []
    for row, (group, colour) in enumerate(zip(groups, GROUP_COLOURS, strict=False)):
        ax.stairs(group.shares / highest * 0.85 - row, edges, baseline=-row, color=colour, fill=True)
        auc = "" if np.isnan(group.auc) else f"\nAUC {group.auc:.2f}"
        names.append(textwrap.fill(group.name, 20) + f"\n{group.n_images} images{auc}")
    ax.set_yticks([-row for row in range(len(names))], names, fontsize=8, va="bottom")
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(-len(names) + 0.95, 0.9)
    ax.set_xlabel("activation")
    ax.set_title(f"distribution of activations (bars up to {percent(highest)} of a group)", fontsize=9, loc="left")
    if split != EVERYTHING:
        ax.set_ylabel(split, fontsize=9)
    return _plain(ax)


def draw_concept(
    title: str,
    summary: pd.DataFrame,
    passing: str,
    neurons: Sequence[tuple[str, Bar, float | None]],
    images: Sequence[tuple[pd.Series, Picture]],
    value: str,
    images_title: str,
) -> Figure:
    """Which neurons have a concept for a label: by layer and model above, the nearest ones below, images to the right.

    `summary` is that of `SideBySide.summary`, `passing` says which labels count; each neuron is its name, bar and threshold;
    each image a row with image and `value`, and its picture.
    """
    fig = ViewFigure(figsize=(14, _gallery_height(images, value, width=14 / 2.25)), layout="constrained")
    left, right = fig.subfigures(1, 2, width_ratios=[1.25, 1])
    above, below = left.subfigures(2, 1, height_ratios=[1, 1.6])
    shares, best = above.subplots(1, 2)
    layer_bars(shares, summary, "share").set(ylabel="share of the layer's neurons")
    shares.set_title(f"numbers: neurons with such a label {passing}", fontsize=8)
    layer_bars(best, summary, "best").set(ylabel="highest similarity")
    shares.legend(frameon=False, fontsize=8)
    neuron_bars(below.subplots(), neurons)
    gallery(right, images, value, images_title)
    fig.suptitle(title)
    return fig


def draw_models(
    title: str,
    panels: Sequence[Panel],
    pictures: Sequence[Sequence[Picture]],
    threshold: float | None,
    counts: pd.DataFrame,
    changes: pd.DataFrame,
    counted: str,
) -> Figure:
    """Each model's bars and images side by side, below them how many concepts were gained, lost and kept.

    `counts` and `changes` are those of `CompareExplorer`, of the changes some are named; `counted` says what the counts are of.
    """
    lines = max((_rows_of_words(panel) for panel in panels), default=0)
    words = max((_head(panel).count("\n") + 1 for panel in panels), default=0)
    heights = PANEL[0] + HEAD_LINE * max(0, words - USUAL_HEAD), PANEL[1] + LINE * max(0, lines - USUAL_LINES)
    fig = ViewFigure(figsize=(6.5 * len(panels), sum(heights) + COUNTED), layout="constrained")
    above, below = fig.subfigures(2, 1, height_ratios=[sum(heights), COUNTED])
    values = [bar.value for panel in panels for bar in panel.bars] + ([] if threshold is None else [threshold])
    parts = above.subfigures(1, len(panels), squeeze=False)[0]
    for part, panel, shown in zip(parts, panels, pictures, strict=True):
        _panel(part, panel, shown, threshold, (min([0, *values]), max([0, *values]) * 1.06 or 1), words, heights)
    bars, listed = below.subplots(1, 2, width_ratios=[1.2, 1])
    change_bars(bars, counts)
    listed.set_axis_off()
    listed.text(0, 1, _named(changes), va="top", fontsize=9, transform=listed.transAxes)
    below.suptitle(counted, fontsize=10)
    fig.suptitle(title)
    return fig


def layer_bars(ax: Axes, summary: pd.DataFrame, value: str) -> Axes:
    """A bar for each model in every layer; for value "best" with the layer's threshold dashed, else with the count."""
    words = summary.neurons.astype(str) if value == "share" else summary.best.map("{:.2f}".format)
    rows, layers = summary.assign(words=words).groupby("model", sort=False), list(dict.fromkeys(summary.layer))
    groups = [(model, part[value], part.words) for model, part in rows]
    _bars(ax, groups, setup_styles([model for model, *_ in groups]), fontsize=8)
    if value == "best":
        taus = summary.drop_duplicates("layer").threshold.astype(float)
        ax.hlines(taus, np.arange(len(layers)) - 0.45, np.arange(len(layers)) + 0.45, color="black", ls="--", lw=1.2)
        ax.set_title("dashed: threshold", fontsize=8)
    else:
        ax.yaxis.set_major_formatter(lambda share, _: percent(share, 1))
    ax.set_xticks(range(len(layers)), [textwrap.fill(layer, 16) for layer in layers])
    ax.margins(y=0.15)
    ax.set_yticks([tick for tick in ax.get_yticks() if tick <= ax.get_ylim()[1]])  # none that would lie above the axis
    return _plain(ax)


def neuron_bars(ax: Axes, neurons: Sequence[tuple[str, Bar, float | None]]) -> Axes:
    """Neurons as bars of similarity, their labels beside them, each with its threshold."""
    if not neurons:
        ax.set_axis_off()
        ax.text(0.5, 0.5, NONE_KNOWN, ha="center", transform=ax.transAxes)
        return ax
    table = pd.DataFrame([(name, bar.value, bar.broad_category) for name, bar, _ in neurons], columns=BAR_COLUMNS)
    concept_bars(ax, table)
    longest, right = 0, max(value for _, bar, tau in neurons for value in (bar.value, tau or 0)) * 1.03
    for row, (_, bar, tau) in enumerate(neurons):
        if tau is not None:
            ax.vlines(tau, row - 0.4, row + 0.4, color="black", ls="--", lw=1.2)
        weight = "bold" if bar.bold else "normal"
        words = f"{bar.name} ({bar.words})" if bar.words != COUNTS else bar.name
        ax.text(right, row, textwrap.fill(words, LABEL_WIDTH), va="center", fontsize=8, weight=weight)
        longest = max(longest, *map(len, textwrap.fill(words, LABEL_WIDTH).split("\n")))
    _legend(ax, (bar.broad_category for _, bar, _ in neurons))
    ax.set_xlabel("similarity; dashed: threshold; bold: the label counts", loc="left")
    ax.set_xlim(right=right * (1 + 0.026 * longest))  # as much as the longest label needs
    ticks = [tick for tick in ax.get_xticks() if 0 <= tick <= right]
    ax.set_xticks(ticks)
    ax.spines["bottom"].set_bounds(min(0, *(bar.value for _, bar, _ in neurons)), right)
    return ax


def change_bars(ax: Axes, counts: pd.DataFrame) -> Axes:
    """How many concepts were gained, lost and kept in each layer, and how many neurons kept their label."""
    styles = {change: {"color": CHANGE_COLOURS[i], "hatch": SETUP_HATCHES[i]} for i, change in enumerate(CHANGES)}
    _bars(ax, [(change, counts[change], counts[change].astype(str)) for change in CHANGES], styles, fontsize=9)
    labels = [f"{row.layer}\nlabel kept by\n{row.labels_kept} of {row.channels} neurons" for row in counts.itertuples()]
    ax.set_xticks(range(len(counts)), labels)
    ax.set_ylabel("concepts")
    ax.margins(y=0.4)  # room for the legend above the highest bar
    ax.legend(frameon=False, ncols=3, loc="upper left")
    return _plain(ax)


def _bars(
    ax: Axes, groups: Sequence[tuple[str, pd.Series, pd.Series]], styles: Mapping[str, Mapping[str, str]], fontsize: int
) -> None:
    """Bars side by side: for each group its label, its heights and the words above them."""
    width = 0.8 / len(groups)
    for i, (label, heights, words) in enumerate(groups):
        x = np.arange(len(heights)) + (i - (len(groups) - 1) / 2) * width
        style = {"color": styles[label]["color"], "hatch": styles[label]["hatch"], "edgecolor": "white"}
        ax.bar(x, heights, width * 0.94, label=label, **style)
        for at, height, word in zip(x, heights.fillna(0), words, strict=True):
            ax.annotate(word, (at, max(height, 0)), (0, 2), textcoords="offset points", ha="center", fontsize=fontsize)


def _named(changes: pd.DataFrame) -> str:
    """The concepts of each kind, as many as there is room for."""
    lines = []
    for change, concepts in changes.groupby("change").concept:
        more = [f"and {len(concepts) - MOST_NAMED} more"] if len(concepts) > MOST_NAMED else []
        lines.append(textwrap.fill(f"{change}: {', '.join([*concepts[:MOST_NAMED], *more])}", 84, subsequent_indent="    "))
    return "\n".join(lines)


def _rows_of_words(panel: Panel) -> int:
    """Lines under the images of a panel, of all of its rows together."""
    lines = [caption(row).count("\n") + 2 for _, row in panel.images.iterrows()]
    return sum(max(lines[start : start + COLUMNS]) for start in range(0, len(lines), COLUMNS))


def _panel(
    part: SubFigure, panel: Panel, pictures: Sequence[Picture], threshold: float | None, ends: Pair, words: int, heights: Pair
) -> None:
    """A model's bars, under `words` lines of words, above its images; `heights` of both in inches."""
    bars, tiles = part.subfigures(2, 1, height_ratios=heights)
    ax = bars.subplots()
    if panel.bars:
        numbers = [f"{neuron}: " for neuron in panel.neurons] or [""] * len(panel.bars)
        rows = [(f"{n}{bar.name}", bar.value, bar.broad_category, bar.bold) for n, bar in zip(numbers, panel.bars, strict=True)]
        concept_bars(ax, pd.DataFrame(rows, columns=[*BAR_COLUMNS, "has_word"]), threshold).set_xlim(*ends)
        _legend(ax, (bar.broad_category for bar in panel.bars), at=(0, -0.24))
    else:
        ax.set_axis_off()
    head = _head(panel)
    bars.suptitle(head + "\n" * (words - 1 - head.count("\n")), fontsize=10)
    images = [(row, picture) for (_, row), picture in zip(panel.images.iterrows(), pictures, strict=True)]
    gallery(tiles, images, "activation", panel.caption)


def _head(panel: Panel) -> str:
    """The words above a panel's bars."""
    return "\n".join([panel.title, *(textwrap.fill(line, 90) for line in panel.lines)])


def _legend(ax: Axes, broad_categories: Iterable[str], at: tuple[float, float] = (0, -0.22)) -> None:
    """The broad categories of bars below them, in words."""
    shown = {name.partition("; ")[0] for name in broad_categories}
    if named := [name for name in CATEGORY_COLOURS if name in shown]:
        category_legend(ax, named, loc="upper left", bbox_to_anchor=at, fontsize=8, ncols=2)


def _plain(ax: Axes) -> Axes:
    ax.spines[["top", "right"]].set_visible(False)
    return ax
