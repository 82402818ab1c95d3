"""Bars of similarities as HTML in the colours of the theme: in a list, with buttons, and by layer and model."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape

import ipywidgets as widgets
import numpy as np
import pandas as pd

from mdissect.explorers.html import FAINT, TEXT, colour_of
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


def listed_html(bars: Sequence[Bar], threshold: float | None) -> str:
    """Bars as a plain table, for pages that take all styles out of HTML, such as a notebook that is not trusted."""
    most = max((bar.value for bar in bars), default=0)
    rows = [
        f"<td>{escape(bar.name)}</td><td>{_number(bar.value)}</td><td>{'█' * round(20 * max(bar.value, 0) / most)}</td>"
        for bar in bars
        if most > 0
    ]
    tau = "" if threshold is None else f"<caption>similarity; threshold {threshold:.2f}</caption>"
    return f"<table>{tau}{''.join(f'<tr>{row}</tr>' for row in rows)}</table>" if rows else ""


def summary_html(summary: pd.DataFrame, broad_category: str, passing: str) -> str:
    """A row per model and layer: the number of neurons with a concept, and the highest similarity, each with its bar.

    `summary` as `mdissect.explorers.sides.SideBySide.summary` returns it; `passing` says which labels count.
    """
    most, ends = summary.share.max() or 1.0, bar_ends([*summary.best, *summary.threshold])
    heads = ("model", "layer", f"neurons with such a label {passing}", "highest similarity of any neuron (dashed: threshold)")
    styles = (f"{_CELL};min-width:3em", f"{_CELL};min-width:4em", _CELL, _CELL)
    rows = ["".join(f'<th scope="col" style="{one}">{escape(head)}</th>' for one, head in zip(styles, heads, strict=True))]
    for i, row in enumerate(summary.itertuples()):
        tau = None if pd.isna(row.threshold) else float(row.threshold)
        counted = f"{percent(row.share, 1)} ({row.neurons} neuron{'s' * (row.neurons != 1)})"
        of = "nothing named" if tau is None else f"threshold {tau:.2f}"
        highest = f"{'not known' if np.isnan(row.best) else f'best {row.best:.2f}'} ({of})"
        share, best = Bar("", row.share, broad_category), Bar("", row.best, broad_category)
        model = escape(str(row.model)) if i == 0 or summary.model.iloc[i - 1] != row.model else ""
        cells = [f"<b>{model}</b>", escape(row.layer), _measured(share, (0.0, most), None, counted)]
        cells.append(_measured(best, ends, tau, highest))
        rows.append("".join(f'<td style="{one}">{cell}</td>' for one, cell in zip(styles, cells, strict=True)))
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    style = f"{TEXT};max-height:min(70vh,420px);overflow:auto"
    return (
        f'<div class="mdissect-summary" tabindex="0" role="region" aria-label="by model and layer" style="{style}">'
        f'<table style="width:100%;border-collapse:collapse">{body}</table></div>'
    )


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


def _measured(bar: Bar, ends: tuple[float, float], threshold: float | None, words: str) -> str:
    """A bar with words beside it, or below it where there is no room."""
    style = f"display:flex;flex-wrap:wrap;{_GRID}"
    return f'<span style="{style}"><span style="flex:1 1 70px">{_bar(bar, ends, threshold)}</span><span>{words}</span></span>'


def _name(bar: Bar, between: str) -> str:
    name = f'<span style="overflow-wrap:anywhere;font-weight:{"bold" if bar.bold else "normal"}">{escape(bar.name)}</span>'
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
_TRACK = "display:block;position:relative;height:14px;background:var(--jp-layout-color2,#eee);border-radius:2px"
_CELL = "text-align:left;vertical-align:top;padding:2px 12px 2px 0;overflow-wrap:anywhere"
_BAR = "position:absolute;top:0;height:14px;border-radius:2px"
_LINE = "position:absolute;top:-3px;height:20px;border-left:2px dashed var(--jp-ui-font-color1,#222)"
