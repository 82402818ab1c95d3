"""What explorers of several models are made of: HTML in the theme's own colours, a gallery, a view whose state is shared."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

import ipywidgets as widgets
import numpy as np
import pandas as pd
from traitlets import TraitError

from mdissect.concepts import closest
from mdissect.explorer_pictures import Picture, Pictures
from mdissect.explorer_views import FAINT, TEXT
from mdissect.plots import CATEGORY_COLOURS, UNGROUPED
from mdissect.shared_view import SharedView

MOST_NAMED = 40
TILE_HEIGHT = 145  # four mammograms beside each other in half a notebook


class SideView(SharedView):
    """A view whose controls follow its traits, and whose traits take what a reader chooses in the controls."""

    def __init__(self):
        self._syncing, self._refused = False, ""
        super().__init__()

    def _open(self) -> None:
        """Show the view for the first time, and from then on whenever a trait changes."""
        self._holds = 0
        self._refresh()
        self.observe(self._on_change, list(self.STATE))

    def _on_change(self, change) -> None:
        self._refused = ""
        with self._held():
            self._changed(change)

    def _changed(self, change) -> None:
        """Bring the other traits in line with one that changed."""

    def _show(self) -> None:
        """Bring controls and contents up to date with the traits."""
        raise NotImplementedError

    def _refresh(self) -> None:
        self._syncing = True  # controls that are set here are no one's choice
        try:
            self._show()
        finally:
            self._syncing = False

    def _sync(self, controls: Mapping[str, widgets.Widget]) -> None:
        """Let controls show what their traits are."""
        for trait, control in controls.items():
            control.value = getattr(self, trait)

    def _follow(self, controls: Mapping[str, widgets.Widget]) -> None:
        """Let traits take what a reader chooses in their controls; what cannot be is told in the view."""
        for trait, control in controls.items():
            control.observe(lambda change, trait=trait: self._take(trait, change.new), "value")

    def _take(self, trait: str, value) -> None:
        if self._syncing:
            return
        try:
            setattr(self, trait, value)
        except TraitError as error:
            self._refused = str(error)
            self._refresh()


class Gallery(widgets.Box):
    """Pictures with captions, in rows."""

    def __init__(self, n_tiles: int):
        self.tiles = [(widgets.Image(format="jpeg"), widgets.HTML()) for _ in range(n_tiles)]
        boxes = [widgets.VBox(tile, layout=widgets.Layout(margin="0 6px 6px 0")) for tile in self.tiles]
        super().__init__(boxes, layout=widgets.Layout(flex_flow="row wrap", align_items="flex-start"))

    def show(self, shown: Iterable[tuple[Picture, str]]) -> None:
        """Pictures with captions (HTML), each sent as soon as it is made."""
        shown = iter(shown)
        for image, words in self.tiles:
            picture, told = next(shown, (None, ""))
            image.layout.display = words.layout.display = "none" if picture is None else None
            if picture is not None:
                image.width, image.height = str(picture.width_at(TILE_HEIGHT)), str(TILE_HEIGHT)
                image.value, words.value = picture.jpeg, told


class NeuronRows(widgets.VBox):
    """A list of neurons: a button to choose each by, and its bar.

    Parameters
    ----------
    n_rows : int
    take : callable
        What to do with the number of a row that is chosen.
    button_width : str
    """

    def __init__(self, n_rows: int, take: Callable[[int], None], button_width: str):
        short, wide = widgets.Layout(width=button_width, flex="0 0 auto"), widgets.Layout(flex="1 1 auto", width="auto")
        self.rows = [(widgets.Button(layout=short), widgets.HTML(layout=wide)) for _ in range(n_rows)]
        for i, (button, _) in enumerate(self.rows):
            button.on_click(lambda _, i=i: take(i))
        super().__init__([widgets.HBox(row, layout=widgets.Layout(align_items="center")) for row in self.rows])

    def show(self, shown: Sequence[tuple[str, "Bar", float | None]], ends: tuple[float, float], chosen: int | None) -> None:
        """What stands on each button, its bar and threshold; which row is the chosen one."""
        for i, (button, words) in enumerate(self.rows):
            button.layout.display = words.layout.display = None if i < len(shown) else "none"
            if i < len(shown):
                button.description, bar, threshold = shown[i]
                button.tooltip = button.description  # a long name is cut short on the button
                button.button_style = "info" if i == chosen else ""
                words.value = row_html(bar, ends, threshold)


def captioned(table: pd.DataFrame, pictures: Pictures, value: str) -> Iterator[tuple[Picture, str]]:
    """Picture and caption of each image of a table with the columns image and `value`, made one by one."""
    for (_, row), picture in zip(table.iterrows(), pictures.gallery(table.image), strict=True):
        lines = [f"{value} {row[value]:.2f}", *map(escape, _facts(row))]
        lines += [f"<i>{escape(picture.problem)}</i>"] if picture.problem else []
        style = f"{TEXT};font-size:11px;width:{max(picture.width_at(TILE_HEIGHT), 88)}px;overflow-wrap:anywhere"
        yield picture, f'<div class="mdissect-caption" title="{escape(row.image)}" style="{style}">{"<br>".join(lines)}</div>'


@dataclass(frozen=True)
class Bar:
    """A bar, its name, words that go with it, and the broad category that gives its colour."""

    name: str
    value: float
    broad_category: str = ""
    words: str = ""
    bold: bool = False


def bar_ends(values: Iterable[float | None]) -> tuple[float, float]:
    """From where to where bars of these values reach, for several drawings on one scale; None and NaN do not count."""
    known = [0.0, *(float(value) for value in values if value is not None and np.isfinite(value))]
    return min(known), max(known) * 1.02 or 1.0


def colour_of(broad_category: str) -> str:
    """The colour of a broad category; of several ("a; b") the first counts."""
    return CATEGORY_COLOURS.get(broad_category.partition("; ")[0], UNGROUPED)


def bars_html(bars: Sequence[Bar], ends: tuple[float, float], threshold: float | None) -> str:
    """Bars under each other: name with words below it, bar with a dashed line at the threshold, value; HTML."""
    rows = []
    for bar in bars:
        name = f'<span style="font-weight:{"bold" if bar.bold else "normal"}">{escape(bar.name)}</span>'
        words = f'<br><small style="{FAINT}">{escape(bar.words)}</small>' if bar.words else ""
        rows.append(f"<span>{name}{words}</span>{_bar(bar, ends, threshold)}<span>{_number(bar.value)}</span>")
    style = f"{TEXT};display:grid;grid-template-columns:minmax(120px,42%) 1fr 2.6em;{_GRID}"
    return f'<div class="mdissect-bars" style="{style}">{"".join(rows)}</div>'


def row_html(bar: Bar, ends: tuple[float, float], threshold: float | None) -> str:
    """One bar in a row behind a button: bar, value, what it is called; HTML."""
    name = f'<span style="font-weight:{"bold" if bar.bold else "normal"}">{escape(bar.name)}</span>'
    words = f' <small style="{FAINT}">{escape(bar.words)}</small>' if bar.words else ""
    style = f"{TEXT};display:grid;grid-template-columns:minmax(60px,30%) 2.6em 1fr;{_GRID};min-height:28px"
    return f'<div style="{style}">{_bar(bar, ends, threshold)}<span>{_number(bar.value)}</span><span>{name}{words}</span></div>'


def summary_html(summary: pd.DataFrame, broad_category: str, passing: str) -> str:
    """A row per model and a column per layer: how many neurons carry something, how similar the best is; HTML.

    `summary` as `mdissect.side_by_side.SideBySide.summary` returns it; `passing` tells what it takes to carry something.
    """
    layers, most = list(dict.fromkeys(summary.layer)), summary.share.max() or 1.0
    ends = bar_ends([*summary.best, *summary.threshold])
    cells = ["<span></span>"]
    for layer in layers:
        tau = summary.threshold[summary.layer == layer].iloc[0]
        told = "nothing named" if pd.isna(tau) else f"threshold {tau:.2f}"
        cells.append(f'<span><b>{escape(layer)}</b> <small style="{FAINT}">{told}</small></span>')
    for model, rows in summary.groupby("model", sort=False):
        cells.append(f"<b>{escape(str(model))}</b>")
        for row in rows.itertuples():
            tau = None if pd.isna(row.threshold) else row.threshold
            share = _bar(Bar("", row.share, broad_category), (0.0, most), None)
            best = _bar(Bar("", row.best, broad_category), ends, tau)
            counted = f"{row.neurons} neuron{'s' * (row.neurons != 1)} ({row.share:.1%})"
            likest = "not known" if np.isnan(row.best) else f"best {row.best:.2f}"
            cells.append(
                f'<span style="display:grid;grid-template-columns:1fr 9.5em;{_GRID}">'
                f"{share}<span>{counted}</span>{best}<span>{likest}</span></span>"
            )
    columns = f"grid-template-columns:auto repeat({len(layers)},minmax(220px,1fr))"
    style = f"{TEXT};display:grid;{columns};gap:8px 22px;align-items:center"
    told = f"Upper bars: share of the layer’s neurons called so {passing}. Lower bars: highest similarity of any neuron; "
    told += "dashed: the threshold."
    return (
        f'<div class="mdissect-summary" style="overflow-x:auto"><div style="{style}">{"".join(cells)}</div>'
        f'<div style="{TEXT};{FAINT};font-size:11px;margin-top:4px">{told}</div></div>'
    )


def heading_html(title: str, broad_category: str = "") -> str:
    """A heading, and before it the colour of a broad category where one is told; HTML."""
    mark = f'<i style="{_MARK};background:{colour_of(broad_category)}"></i>' if broad_category else ""
    return f'<div class="mdissect-heading" style="{TEXT};font-size:16px;margin:2px 0 6px">{mark}{escape(title)}</div>'


def legend_html(bars: Iterable[Bar]) -> str:
    """The broad categories of bars, each in words beside its colour; HTML."""
    shown = {bar.broad_category.partition("; ")[0] for bar in bars}
    named = {name: colour for name, colour in CATEGORY_COLOURS.items() if name in shown}
    marks = [f'<i style="{_MARK};background:{colour}"></i>{escape(name)}' for name, colour in named.items()]
    return f'<div class="mdissect-legend" style="{TEXT};font-size:11px">{"&emsp;".join(marks)}</div>'


def lines_html(lines: Iterable[str], faint: bool = False, bold: bool = False) -> str:
    """Sentences, each on its own line; HTML."""
    style = f"{TEXT};{FAINT if faint else ''};{'font-weight:bold' if bold else ''}"
    return f'<div style="{style}">{"<br>".join(escape(line) for line in lines if line)}</div>'


def counts_html(counts: pd.DataFrame, told: str) -> str:
    """A table of concepts gained, lost and kept, and of labels kept, by layer; HTML.

    `counts` has the columns layer, gained, lost, kept, labels_kept, channels.
    """
    names = ("layer", "gained", "lost", "kept", "channels whose label is kept")
    head = "".join(f'<th style="{_CELL}">{name}</th>' for name in names)
    rows = []
    for row in counts.itertuples():
        share = f"{row.labels_kept} of {row.channels}" + (f" ({row.labels_kept / row.channels:.0%})" if row.channels else "")
        cells = [escape(row.layer), row.gained, row.lost, row.kept, share]
        rows.append("<tr>" + "".join(f'<td style="{_CELL}">{cell}</td>' for cell in cells) + "</tr>")
    table = f'<table style="border-collapse:collapse"><tr>{head}</tr>{"".join(rows)}</table>'
    return f'<div class="mdissect-counts" style="{TEXT};margin-right:16px"><b>{escape(told)}</b>{table}</div>'


def one_of(what: str, value: str, known: Iterable[str]) -> str:
    """A value that is among the known ones; else a TraitError that names the closest, or all where they are few."""
    known = list(known)
    if value not in known:
        named = [name for name in known if name]
        there = f"; there are {', '.join(named) or 'none'}" if len(named) <= MOST_NAMED else f" among {len(named)}"
        raise TraitError(f"no {what} {value!r}{closest(value, named)}{there}")
    return value


def stretching() -> widgets.Layout:
    """The layout of a control that takes what room there is in its row."""
    return widgets.Layout(width="auto", flex="1 1 0%", min_width="0")


def category_options(groups: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
    """Broad categories with their categories indented below them, for a drop-down that begins with all of them."""
    options = [("all categories", "")]
    for broad, categories in groups.items():
        options += [(broad, broad), *((f"\u2003{name}", name) for name in categories if name != broad)]
    return options


def _facts(row: pd.Series) -> list[str]:
    """What is known of an image, in lines: its id, view and density, findings."""
    known = {name: row[name] for name in ("laterality", "view", "density", "findings") if isinstance(row.get(name), str)}
    about = [" ".join(known[name] for name in ("laterality", "view") if known.get(name))]
    about += [f"density\N{NO-BREAK SPACE}{known['density']}"] if known.get("density") else []
    findings = [known["findings"] or "no finding"] if "findings" in known else []
    return [row.image, *filter(None, [", ".join(filter(None, about))]), *findings]


def _number(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.2f}"


def _bar(bar: Bar, ends: tuple[float, float], threshold: float | None) -> str:
    low, span = ends[0], ends[1] - ends[0]
    zero, value = -100 * low / span, 100 * ((0.0 if np.isnan(bar.value) else bar.value) - low) / span
    drawn = f"left:{min(zero, value):.1f}%;width:{abs(value - zero):.1f}%;background:{colour_of(bar.broad_category)}"
    line = "" if threshold is None else f'<i style="{_LINE};left:{100 * (threshold - low) / span:.1f}%"></i>'
    return f'<span style="{_TRACK}"><i style="{_BAR};{drawn}"></i>{line}</span>'


_GRID = "gap:3px 10px;align-items:center"
_TRACK = "position:relative;height:14px;background:var(--jp-layout-color2,#eee);border-radius:2px"
_BAR = "position:absolute;top:0;height:14px;border-radius:2px"
_LINE = "position:absolute;top:-3px;height:20px;border-left:2px dashed var(--jp-ui-font-color1,#222)"
_CELL = "text-align:left;padding:2px 14px 2px 0;border-bottom:1px solid var(--jp-border-color2,#ccc)"
_MARK = "display:inline-block;width:14px;height:14px;border-radius:3px;margin-right:8px;vertical-align:-1px"
