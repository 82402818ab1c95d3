"""Bars of similarities as HTML in the colours of the theme: in a list, with buttons, and by layer and model."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape

import ipywidgets as widgets
import numpy as np
import pandas as pd

from mdissect.explorers.html import FAINT, MARK, TEXT, colour_of
from mdissect.plots import CATEGORY_COLOURS
from mdissect.wording import percent


@dataclass(frozen=True)
class Bar:
    """A bar, its name, words that go with it, and the broad category that gives its colour."""

    name: str
    value: float
    broad_category: str = ""
    words: str = ""
    bold: bool = False


def bars_of(concepts: pd.DataFrame, bold: Sequence[str] = ()) -> list[Bar]:
    """A bar for each row of `Reading.concepts`, its broad category in words; some concepts bold."""
    return [
        Bar(row.concept, row.similarity, row.broad_category, row.broad_category, row.concept in bold)
        for row in concepts.itertuples()
    ]


def bar_ends(values: Iterable[float | None]) -> tuple[float, float]:
    """The common range of several bars; None and NaN are ignored."""
    known = [0.0, *(float(value) for value in values if value is not None and np.isfinite(value))]
    return min(known), min(known) + ((max(known) - min(known)) * 1.02 or 1.0)


def bars_html(bars: Sequence[Bar], threshold: float | None, ends: tuple[float, float] | None = None) -> str:
    """Bars under each other: name with words below it, bar with a dashed line at the threshold, value; "" for none."""
    if not bars:
        return ""
    ends = ends or bar_ends([threshold, *(bar.value for bar in bars)])
    rows = [
        f'<span role="listitem" style="display:contents"><span>{_name(bar, "<br>")}</span>{_bar(bar, ends, threshold)}'
        f"<span>{_number(bar.value)}</span></span>"
        for bar in bars
    ]
    dashed = "" if threshold is None else f'<small style="{FAINT}">dashed: threshold {threshold:.2f}</small>'
    style = f"{TEXT};display:grid;grid-template-columns:minmax(120px,40%) 1fr 3em;{_GRID}"
    listed = f'<span role="list" aria-label="similarity to concepts" style="display:contents">{"".join(rows)}</span>'
    return f'<div class="mdissect-bars" style="{style}">{listed}<span></span><span>{dashed}</span></div>'


def summary_html(summary: pd.DataFrame, broad_category: str, passing: str) -> str:
    """A row per model and a column per layer: the number of neurons with a concept, and the best similarity.

    `summary` as `mdissect.explorers.sides.SideBySide.summary` returns it; `passing` says which labels count.
    """
    layers, most = list(dict.fromkeys(summary.layer)), summary.share.max() or 1.0
    ends = bar_ends([*summary.best, *summary.threshold])
    cells = ["<span></span>"]
    for layer in layers:
        tau = summary.threshold[summary.layer == layer].iloc[0]
        head = "nothing named" if pd.isna(tau) else f"threshold {tau:.2f}"
        cells.append(f'<span><b>{escape(layer)}</b> <small style="{FAINT}">{head}</small></span>')
    for model, rows in summary.groupby("model", sort=False):
        cells.append(f"<b>{escape(str(model))}</b>")
        for row in rows.itertuples():
            tau = None if pd.isna(row.threshold) else row.threshold
            share = _bar(Bar("", row.share, broad_category), (0.0, most), None)
            best = _bar(Bar("", row.best, broad_category), ends, tau)
            counted = f"{row.neurons} neuron{'s' * (row.neurons != 1)} ({percent(row.share, 1)})"
            highest = "not known" if np.isnan(row.best) else f"best {row.best:.2f}"
            cells.append(
                f'<span style="display:grid;grid-template-columns:1fr 9.5em;{_GRID}">'
                f"{share}<span>{counted}</span>{best}<span>{highest}</span></span>"
            )
    columns = f"grid-template-columns:auto repeat({len(layers)},minmax(220px,1fr))"
    style = f"{TEXT};display:grid;{columns};gap:8px 22px;align-items:center"
    key = (
        f"Upper bars: share of the layer’s neurons with such a label {passing}. Lower bars: highest similarity of any neuron; "
    )
    key += "dashed: the threshold."
    return (
        f'<div class="mdissect-summary" style="overflow-x:auto"><div style="{style}">{"".join(cells)}</div>'
        f'<div style="{TEXT};{FAINT};font-size:11px;margin-top:4px">{key}</div></div>'
    )


def legend_html(bars: Iterable[Bar]) -> str:
    """The broad categories of bars, each in words beside its colour."""
    shown = {bar.broad_category.partition("; ")[0] for bar in bars}
    marks = [
        f'<i style="{MARK};background:{colour}"></i>{escape(name)}'
        for name, colour in CATEGORY_COLOURS.items()
        if name in shown
    ]
    return f'<div class="mdissect-legend" style="{TEXT};font-size:11px">{"&emsp;".join(marks)}</div>'


class NeuronRows(widgets.VBox):
    """A list of at most `n_rows` neurons: a button to choose each by, and its bar; `take` is called with the row's number."""

    def __init__(self, n_rows: int, take: Callable[[int], None], button_width: str):
        short, wide = widgets.Layout(width=button_width, flex="0 0 auto"), widgets.Layout(flex="1 1 auto", width="auto")
        self.rows = [(widgets.Button(layout=short), widgets.HTML(layout=wide)) for _ in range(n_rows)]
        for i, (button, _) in enumerate(self.rows):
            button.on_click(lambda _, i=i: take(i))
        super().__init__([widgets.HBox(row, layout=widgets.Layout(align_items="center")) for row in self.rows])

    def show(self, shown: Sequence[tuple[str, Bar, float | None]], ends: tuple[float, float]) -> None:
        """The words on each button, its bar and threshold."""
        for i, (button, words) in enumerate(self.rows):
            button.layout.display = words.layout.display = None if i < len(shown) else "none"
            if i < len(shown):
                button.description, bar, threshold = shown[i]
                button.tooltip = button.description  # a long name is cut short on the button
                style = f"{TEXT};display:grid;grid-template-columns:minmax(60px,30%) 3em 1fr;{_GRID};min-height:28px"
                cells = f"{_bar(bar, ends, threshold)}<span>{_number(bar.value)}</span><span>{_name(bar, ' ')}</span>"
                words.value = f'<div style="{style}">{cells}</div>'

    def choose(self, chosen: int | None) -> None:
        """Mark a row, or none."""
        for i, (button, _) in enumerate(self.rows):
            button.button_style = "info" if i == chosen else ""


def _name(bar: Bar, between: str) -> str:
    name = f'<span style="font-weight:{"bold" if bar.bold else "normal"}">{escape(bar.name)}</span>'
    return name + (f'{between}<small style="{FAINT}">{escape(bar.words)}</small>' if bar.words else "")


def _number(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.2f}"


def _bar(bar: Bar, ends: tuple[float, float], threshold: float | None) -> str:
    low, span = ends[0], ends[1] - ends[0]
    zero, value = -100 * low / span, 100 * ((0.0 if np.isnan(bar.value) else bar.value) - low) / span
    extent = f"left:{min(zero, value):.1f}%;width:{abs(value - zero):.1f}%;background:{colour_of(bar.broad_category)}"
    line = "" if threshold is None else f'<i style="{_LINE};left:{100 * (threshold - low) / span:.1f}%"></i>'
    return f'<span aria-hidden="true" style="{_TRACK}"><i style="{_BAR};{extent}"></i>{line}</span>'


_GRID = "gap:3px 10px;align-items:center"
_TRACK = "position:relative;height:14px;background:var(--jp-layout-color2,#eee);border-radius:2px"
_BAR = "position:absolute;top:0;height:14px;border-radius:2px"
_LINE = "position:absolute;top:-3px;height:20px;border-left:2px dashed var(--jp-ui-font-color1,#222)"
