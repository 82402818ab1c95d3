"""What explorers show as HTML in the theme's own colours: bars, histograms, headings, captions and tables."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
import pandas as pd

from mdissect.explorers.pictures import Picture
from mdissect.explorers.reading import EVERYTHING, Group, OfImage
from mdissect.plots import CATEGORY_COLOURS, UNGROUPED

GROUP_COLOURS = ("#E69F00", "#0091D5", "#009E73", "#D55E00", "#CC79A7", "#8C8C8C")
GROUP_DASHES = ("", "7 3", "2 3", "9 3 2 3", "4 2", "1 2")
TEXT = "color:var(--jp-ui-font-color1,#222);font:13px/1.35 var(--jp-ui-font-family,sans-serif)"
FAINT = "color:var(--jp-ui-font-color2,#666)"


def concept_bars_html(concepts: pd.DataFrame, threshold: float | None, searched: Sequence[str] = ()) -> str:
    """Bars of similarity in the colours of broad categories (written out too), a line at the threshold; HTML."""
    if concepts.empty:
        return f'<div style="{TEXT}">This neuron cannot be named.</div>'
    ends = [0.0, *concepts.similarity, *([] if threshold is None else [threshold])]
    low, span = min(ends), (max(ends) - min(ends)) * 1.02 or 1.0
    at = [100 * (value - low) / span for value in (0.0, threshold if threshold is not None else 0.0)]
    line = "" if threshold is None else f'<i style="{_CONCEPT_LINE}left:{at[1]:.1f}%"></i>'
    rows = []
    for row in concepts.itertuples():
        colour = CATEGORY_COLOURS.get(row.broad_category, UNGROUPED)
        end = 100 * (row.similarity - low) / span
        bar = f"left:{min(at[0], end):.1f}%;width:{abs(end - at[0]):.1f}%;background:{colour}"
        weight = "bold" if row.concept in searched else "normal"
        group = f'<small style="{FAINT};font-weight:normal">{escape(row.broad_category)}</small>'
        rows.append(
            f'<span style="font-weight:{weight}">{escape(row.concept)}<br>{group}</span>'
            f'<span style="position:relative;height:18px"><i style="{_CONCEPT_BAR}{bar}"></i>{line}</span>'
            f"<span>{row.similarity:.2f}</span>"
        )
    told = "" if threshold is None else f'<small style="{FAINT}">dashed: threshold {threshold:.2f}</small>'
    return f'<div class="mdissect-bars" style="{TEXT};{_CONCEPT_GRID}">{"".join(rows)}<span></span><span>{told}</span></div>'


def histogram_html(edges: np.ndarray, groups: Sequence[Group], split: str) -> str:
    """Lines of each group's share of images over the activation, and a table with their AUC; HTML with SVG."""
    if not groups:
        return ""
    width, height, top = 520, 120, max(group.shares.max() for group in groups) or 1.0
    lines, rows = [], []
    for group, colour, dash in zip(groups, GROUP_COLOURS, GROUP_DASHES, strict=False):
        steps = np.repeat(np.linspace(0, width, len(edges)), 2)[1:-1]
        level = height - np.repeat(group.shares, 2) / top * (height - 6)
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(steps, level, strict=True))
        stroke = f'stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"'
        lines.append(f'<polyline points="{points}" fill="none" {stroke}/>')
        key = f'<svg width="34" height="8"><line x1="0" y1="4" x2="34" y2="4" {stroke}/></svg>'
        auc = "" if np.isnan(group.auc) else f"AUC {group.auc:.2f}"
        rows.append(f"<tr><td>{key}</td><td>{escape(group.name)}</td><td>{group.n_images} images</td><td>{auc}</td></tr>")
    told = "" if split == EVERYTHING else "Share of each group’s images; AUC: these against all others."
    table = f'<div><div style="{FAINT}">{told}</div><table style="border-spacing:10px 0">{"".join(rows)}</table></div>'
    style = f"{TEXT};display:flex;flex-wrap:wrap;gap:18px;align-items:center"
    return f'<div class="mdissect-histogram" style="{style}">{_plot(lines, edges, width, height)}{table}</div>'


def _plot(lines: Sequence[str], edges: np.ndarray, width: int, height: int) -> str:
    """Lines over an axis of activations; SVG."""
    at, below = {"start": 0, "middle": width / 2, "end": width}, height + 15
    told = {"start": f"{edges[0]:.3g}", "middle": "activation", "end": f"{edges[-1]:.3g}"}
    texts = "".join(f'<text x="{at[end]}" y="{below}" text-anchor="{end}">{text}</text>' for end, text in told.items())
    axis = f'<line x1="0" y1="{height}" x2="{width}" y2="{height}" stroke="currentColor"/>'
    style = "fill:currentColor;font-size:12px"
    return f'<svg width="{width}" height="{height + 20}" style="{style}">{axis}{"".join(lines)}{texts}</svg>'


def title_of(layer: str, neuron: int, concepts: pd.DataFrame, threshold: float | None) -> str:
    """What a neuron is called and whether that reaches the threshold, in a sentence."""
    name = f"{layer}, neuron {neuron}"
    if concepts.empty:
        return f"{name}: cannot be named"
    best = concepts.iloc[0]
    reach = "reaches" if best.similarity >= threshold else "does not reach"
    return f"{name}: {best.concept}, similarity {best.similarity:.2f}, which {reach} the threshold {threshold:.2f}"


def neuron_heading_html(title: str, trust: str) -> str:
    """The title of a view and, under it, what is known of the label's worth."""
    below = f'<div class="mdissect-trust" style="{FAINT};font-size:13px">{escape(trust)}</div>' if trust else ""
    return (
        f'<div style="{TEXT};font-size:16px;margin:2px 0 8px"><div class="mdissect-heading">{escape(title)}</div>{below}</div>'
    )


def pointing_told(pictures: Sequence[Picture]) -> str:
    """How often the neuron's strongest place lies in a finding's box, beside chance; why that is not known, or ""."""
    pointed = [picture.pointed for picture in pictures if picture.pointed]
    if pointed:
        hits, chance = sum(hit for hit, _ in pointed), sum(share for _, share in pointed)
        if len(pictures) == 1:
            does = "lies" if hits else "does not lie"
            return f"The strongest place {does} in a finding’s box (a place drawn at random would in {chance:.0%} of cases)."
        of = f"{hits} of {len(pointed)} images with boxes"
        return f"The strongest place lies in a finding’s box in {of} (a place drawn at random would in {chance:.1f})."
    if pictures and all(picture.boxes is None for picture in pictures):
        return "Nobody marked boxes in these images."
    return ""


def facts_of(seen: OfImage, picture: Picture) -> list[str]:
    """What is known of an image, line by line: what the neuron in view makes of it, boxes, and all its metadata."""
    row = seen.row
    usual = "" if np.isnan(row.deviations) else f" ({row.deviations:+.1f} sd)"
    lines = [f"activation {row.activation:.3g}{usual}, number {row['rank']} of this neuron’s images"]
    if picture.boxes:
        lines.append("boxes: " + ", ".join(f"{i} {box['finding']}" for i, box in enumerate(picture.boxes, start=1)))
    hidden = ("image", "activation", "deviations", "rank", "index")
    known = {str(name): _text(row, name) for name in row.index if name not in hidden}
    facts = [name if text == "True" else f"{name} {text}" for name, text in known.items() if text and text != "False"]
    return [*lines, "; ".join(facts), *([picture.problem] if picture.problem else [])]


def caption_html(row: pd.Series, picture: Picture) -> str:
    """What is known of an image: id, activation, view, density, findings, and what is wrong with its picture."""
    facts = [" ".join(_text(row, name) for name in ("laterality", "view") if _text(row, name))]
    facts += [f"density {_text(row, 'density')}"] if _text(row, "density") else []
    lines = [f"<b>{escape(row.image)}</b>", f"activation {row.activation:.3g}", escape(", ".join(f for f in facts if f))]
    lines += [escape(_text(row, "findings") or "no finding")] if "findings" in row.index else []
    lines += [f"<i>{escape(picture.problem)}</i>"] if picture.problem else []
    width = max(picture.shown_width, 103)
    inner = "<br>".join(line for line in lines if line)
    return f'<div class="mdissect-caption" style="{TEXT};font-size:11px;width:{width}px;overflow-wrap:anywhere">{inner}</div>'


def _text(row: pd.Series, name: str) -> str:
    value = row.get(name)
    return "" if value is None or value is pd.NA or value != value else str(value)


_CONCEPT_GRID = "display:grid;grid-template-columns:minmax(130px,38%) 1fr 3.2em;gap:3px 10px;align-items:center"
_CONCEPT_BAR = "position:absolute;top:0;height:18px;border-radius:2px;"
_CONCEPT_LINE = "position:absolute;top:-6px;height:30px;border-left:2px dashed var(--jp-ui-font-color1,#222);"


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

    `summary` as `mdissect.explorers.sides.SideBySide.summary` returns it; `passing` tells what it takes to carry something.
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
