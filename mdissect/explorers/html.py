"""Words, tables and lines of an explorer as HTML in the colours of the theme."""

from collections.abc import Callable, Iterable, Sequence
from html import escape

import numpy as np
import pandas as pd

from mdissect.explorers.pictures import Picture
from mdissect.explorers.reading import Group, OfImage
from mdissect.plots import CATEGORY_COLOURS, UNGROUPED
from mdissect.wording import percent

GROUP_COLOURS = ("#E69F00", "#0091D5", "#009E73", "#D55E00", "#CC79A7", "#8C8C8C")
GROUP_DASHES = ("", "7 3", "2 3", "9 3 2 3", "4 2", "1 2")
TEXT = "color:var(--jp-ui-font-color1,#222);font:13px/1.35 var(--jp-ui-font-family,sans-serif)"
OTHERS = "Most activated other neurons"
FAINT = "color:var(--jp-ui-font-color2,#666)"
MARK = "display:inline-block;width:14px;height:14px;border-radius:3px;margin-right:8px;vertical-align:-1px"


def colour_of(broad_category: str) -> str:
    """The colour of a broad category; of several ("a; b") the first counts."""
    return CATEGORY_COLOURS.get(broad_category.partition("; ")[0], UNGROUPED)


def heading_html(title: str, broad_category: str = "", below: str = "", explain: Callable[[str], str] = escape) -> str:
    """A heading, before it the colour of a broad category, and small words below it, in lines, where there are any.

    `explain` makes HTML of a line below.
    """
    colour = f"background:{colour_of(broad_category)}"
    mark = f'<i style="{MARK};{colour}"></i>' if broad_category else ""
    lines = "<br>".join(map(explain, below.splitlines()))
    small = f'<div class="mdissect-trust" style="{FAINT};font-size:13px">{lines}</div>' if below else ""
    head = f'<div class="mdissect-heading" role="heading" aria-level="3">{mark}{escape(title)}</div>'
    return f'<div style="{TEXT};font-size:16px;margin:2px 0 6px;overflow-wrap:anywhere">{head}{small}</div>'


def lines_html(lines: Iterable[str], faint: bool = False, bold: bool = False) -> str:
    """Sentences, each on its own line; empty ones are left out."""
    style = ";".join([TEXT, "overflow-wrap:anywhere", *[FAINT] * faint, *["font-weight:bold"] * bold])
    return f'<div style="{style}">{"<br>".join(escape(line) for line in lines if line)}</div>'


def caption_html(row: pd.Series, picture: Picture, value: str, width: int) -> str:
    """An image's id, the column `value`, view, density, findings, and what is wrong with its picture."""
    facts = [" ".join(_text(row, name) for name in ("laterality", "view") if _text(row, name))]
    facts += [f"density\N{NO-BREAK SPACE}{_text(row, 'density')}"] if _text(row, "density") else []
    lines = [f"<b>{escape(row.image)}</b>", activation_words(row[value], value), escape(", ".join(filter(None, facts)))]
    lines += [escape(row.findings or "no finding")] if isinstance(row.get("findings"), str) else []
    lines += [f"<i>{escape(picture.problem)}</i>"] if picture.problem else []
    style = f"{TEXT};font-size:11px;width:{width}px;overflow-wrap:anywhere"
    return f'<div class="mdissect-caption" style="{style}">{"<br>".join(filter(None, lines))}</div>'


def facts_of(seen: OfImage, picture: Picture) -> list[str]:
    """The facts of an image, line by line: the activation of the neuron in view, boxes, and all its metadata."""
    row = seen.row
    deviations = "" if np.isnan(row.deviations) else f" ({row.deviations:+.1f} sd)"
    rank = f", number {row['rank']} of this neuron’s images" if row["rank"] else ""
    lines = [f"{activation_words(row.activation)}{deviations}{rank}"]
    if picture.boxes:
        lines.append("boxes: " + ", ".join(f"{i} {box['finding']}" for i, box in enumerate(picture.boxes, start=1)))
    hidden = ("image", "activation", "deviations", "rank", "index")
    known = {str(name): _text(row, name) for name in row.index if name not in hidden}
    facts = [name if text == "True" else f"{name} {text}" for name, text in known.items() if text and text != "False"]
    return [*lines, "; ".join(facts), *([picture.problem] if picture.problem else [])]


def activation_words(value: float, name: str = "activation") -> str:
    """An activation, or another value, in words.

    >>> activation_words(float("nan"))
    'activation not known'
    """
    return f"{name} not known" if np.isnan(value) else f"{name} {value:.3g}"


def other_words(row) -> str:
    """Another neuron of an enlarged image in words: a row of `OfImage.neurons`."""
    standing = f"number {row.rank}" if np.isnan(row.deviations) else f"{row.deviations:+.1f} sd"
    return f"{row.neuron}: {row.concept or 'cannot be named'} ({standing})"


def nearest_html(concepts: pd.DataFrame) -> str:
    """The concepts nearest to an image, as the dissector sees it: `OfImage.concepts`."""
    if concepts.empty:
        return ""
    rows = "".join(
        f"<tr><td>{escape(row.concept)}</td><td>{row.similarity:.2f}</td>"
        f'<td style="white-space:nowrap">{row.deviations:+.1f} sd</td></tr>'
        for row in concepts.itertuples()
    )
    return (
        f'<div style="{TEXT}"><b>Closest concepts (dissector)</b>'
        f'<table style="border-spacing:8px 0;margin-left:-8px;line-height:1.2">{rows}</table>'
        f'<span style="{FAINT};font-size:11px">sd: standard deviations from the mean over the probe</span></div>'
    )


def pointing_words(pictures: Sequence[Picture], overlaid: bool = False) -> str:
    """How often the strongest place lies inside a finding that the label names, beside chance; why that is not known, or ""."""
    pointed = [picture for picture in pictures if picture.pointed]
    if pointed:
        hits, chance = sum(picture.pointed[0] for picture in pointed), sum(picture.pointed[1] for picture in pointed)
        names = dict.fromkeys(name for picture in pointed for name in picture.findings)
        what = f"the label’s finding{' ' * bool(names)}{' or '.join(f'“{name}”' for name in names)}"
        if len(pictures) == 1:
            does = "inside" if hits else "outside"
            return f"The strongest place lies {does} {what} (a random place: inside in {100 * chance:.0f} %)."
        of = f"{hits} of {len(pointed)} images where it is annotated"
        return f"The strongest place lies inside {what} in {of} (a random place: in {chance:.1f})."
    if pictures and all(picture.boxes is None for picture in pictures):
        return "These images have no annotations."
    if overlaid and any(picture.boxes for picture in pictures):
        return "No annotation of these images is of a finding that the label names, so nothing is counted."
    return ""


def spread_of(edges: np.ndarray, groups: Sequence[Group], split: str) -> dict:
    """A histogram as `mdissect.browser.HistogramPlot` takes it."""
    rows = [
        {
            "name": group.name,
            "n": group.n_images,
            "shares": group.shares.tolist(),
            "colour": colour,
            "dash": dash,
            "auc": None if np.isnan(group.auc) else group.auc,
        }
        for group, colour, dash in zip(groups, GROUP_COLOURS, GROUP_DASHES, strict=False)
    ]
    return {"edges": edges.tolist(), "groups": rows, "split": split}


def counts_html(counts: pd.DataFrame, title: str) -> str:
    """A table of concepts gained, lost and kept, and of labels kept, by layer: the columns of `CompareExplorer.counts`."""
    names = ("layer", "gained", "lost", "kept", "channels whose label is kept")
    head = "".join(f'<th style="{_CELL}">{name}</th>' for name in names)
    rows = []
    for row in counts.itertuples():
        share = f"{row.labels_kept} of {row.channels}" + (
            f" ({percent(row.labels_kept / row.channels)})" if row.channels else ""
        )
        cells = [escape(row.layer), row.gained, row.lost, row.kept, share]
        rows.append("<tr>" + "".join(f'<td style="{_CELL}">{cell}</td>' for cell in cells) + "</tr>")
    table = f'<table style="border-collapse:collapse"><tr>{head}</tr>{"".join(rows)}</table>'
    region = 'class="mdissect-counts" tabindex="0" role="region" aria-label="counts"'
    return f'<div {region} style="{TEXT};overflow-x:auto"><b>{escape(title)}</b>{table}</div>'


def _text(row: pd.Series, name: str) -> str:
    value = row.get(name)
    return "" if value is None or value is pd.NA or value != value else str(value)


_CELL = "text-align:left;padding:2px 14px 2px 0;border-bottom:1px solid var(--jp-border-color2,#ccc)"
