"""The pictures' widgets of explorers: tiles that open when they are clicked, one image made large, rows with captions."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from html import escape

import ipywidgets as widgets
import pandas as pd

from mdissect.explorers.html import FAINT, TEXT, Bar, caption_html, facts_of, row_html
from mdissect.explorers.pictures import SHOWN_HEIGHT, Picture, Pictures
from mdissect.explorers.reading import OfImage

LARGE_SHOWN_HEIGHT = 500
# The button that enlarges lies over the whole picture, see-through but for its icon; unlike an image it can have the focus.
STYLE = """<style>
.mdissect-frame { position: relative; overflow: hidden; flex: none; }
.mdissect-frame img { display: block; margin: 0; max-width: none; }
.mdissect-frame button.mdissect-enlarge { position: absolute; top: 0; left: 0; width: 100%; height: 100%; margin: 0;
  padding: 0; background: transparent; box-shadow: none; border: none; cursor: zoom-in; }
.mdissect-frame button.mdissect-enlarge i { position: absolute; bottom: 4px; right: 4px; margin: 0; padding: 4px;
  line-height: 1; font-size: 12px; color: #fff; background: rgba(0, 0, 0, .55); border-radius: 3px; opacity: .6; }
.mdissect-frame button.mdissect-enlarge:hover i, .mdissect-frame button.mdissect-enlarge:focus-visible i { opacity: 1; }
.mdissect-frame button.mdissect-enlarge:hover, .mdissect-frame button.mdissect-enlarge:focus-visible {
  outline: 3px solid #0091D5; outline-offset: -3px; }
.mdissect-large button.mdissect-neuron { height: auto; min-height: 26px; padding: 3px 8px; white-space: normal;
  line-height: 1.3; text-align: left; }
</style>"""


class Tile(widgets.VBox):
    """A small picture with what is known of the image; a click, or Enter where it has the focus, asks for it large.

    Parameters
    ----------
    enlarge : callable
        Told the image's id.
    """

    def __init__(self, enlarge: Callable[[str], None]):
        self.image_id = ""
        self.picture, self.caption = widgets.Image(format="jpeg"), widgets.HTML()
        self.button = widgets.Button(icon="search-plus")
        self.button.add_class("mdissect-enlarge")
        self.button.on_click(lambda _: enlarge(self.image_id))
        self._frame = widgets.Box([self.picture, self.button])
        self._frame.add_class("mdissect-frame")
        super().__init__([self._frame, self.caption], layout=widgets.Layout(margin="0 8px 8px 0", display="none"))

    @property
    def in_view(self) -> bool:
        return self.layout.display != "none"

    def show(self, row: pd.Series, picture: Picture) -> None:
        """Show an image: a row of `Reading.images` and its picture."""
        self.image_id = row.image
        self.button.tooltip = f"enlarge {row.image}"
        _show_picture(self._frame, self.picture, picture, SHOWN_HEIGHT)
        self.caption.value = caption_html(row, picture)
        self.layout.display = None

    def hide(self) -> None:
        self.layout.display = "none"


class LargeImage(widgets.VBox):
    """One image made large, with its own strongest neurons, to go to, and the concepts that the dissector finds nearest.

    Parameters
    ----------
    close : callable
    step : callable
        Told 1 for the next image, -1 for the one before.
    choose : callable
        Told the neuron to go to.
    n_neurons : int
        How many neurons are offered at most.
    """

    def __init__(self, close: Callable, step: Callable[[int], None], choose: Callable[[int], None], n_neurons: int = 5):
        narrow = widgets.Layout(width="auto")
        self.back = widgets.Button(description="close", icon="times", tooltip="back to all images", layout=narrow)
        self.before = widgets.Button(icon="arrow-left", tooltip="previous image", layout=narrow)
        self.after = widgets.Button(icon="arrow-right", tooltip="next image", layout=narrow)
        self.back.on_click(lambda _: close())
        self.before.on_click(lambda _: step(-1))
        self.after.on_click(lambda _: step(1))
        self.picture, self.name, self.facts, self.concepts = widgets.Image(format="jpeg"), *(widgets.HTML() for _ in range(3))
        self.neurons = [widgets.Button(layout=widgets.Layout(width="auto", display="none")) for _ in range(n_neurons)]
        for button in self.neurons:
            button.on_click(lambda button: choose(button.neuron))
            button.add_class("mdissect-neuron")
        self._frame = widgets.Box([self.picture])
        self._frame.add_class("mdissect-frame")
        heading = widgets.HTML(f'<div style="{TEXT}"><b>Neurons it moves most</b></div>')
        told = widgets.VBox(
            [self.facts, heading, *self.neurons, self.concepts], layout=widgets.Layout(flex="1 1 240px", margin="0 0 0 12px")
        )
        bar = widgets.HBox([self.back, self.before, self.after, self.name])
        super().__init__([bar, widgets.HBox([self._frame, told])], layout=widgets.Layout(width="62%", display="none"))
        self.add_class("mdissect-large")

    def show(self, seen: OfImage, picture: Picture, position: str) -> None:
        """Show an image, and which one of those in view it is."""
        where = f' <span style="{FAINT}">{escape(position)}</span>'
        self.name.value = f'<div style="{TEXT}" class="mdissect-large-name"><b>{escape(seen.row.image)}</b>{where}</div>'
        _show_picture(self._frame, self.picture, picture, LARGE_SHOWN_HEIGHT)
        facts = "<br>".join(map(escape, facts_of(seen, picture)))
        self.facts.value = f'<div style="{TEXT};font-size:12px;overflow-wrap:anywhere">{facts}</div>'
        rows = list(seen.neurons.itertuples())
        for button, row in zip(self.neurons, [*rows, *[None] * len(self.neurons)], strict=False):
            button.layout.display = "none" if row is None else None
            if row is not None:
                button.neuron = int(row.neuron)
                button.description = f"{row.neuron}: {row.concept or 'cannot be named'} ({row.deviations:+.1f} sd)"
                button.tooltip = f"go to neuron {row.neuron}; among its strongest images this is number {row.rank}"
        self.concepts.value = _nearest_html(seen.concepts)
        self.layout.display = None

    def hide(self) -> None:
        self.layout.display = "none"


def _show_picture(frame: widgets.Box, image: widgets.Image, picture: Picture, height: int) -> None:
    width = picture.width_at(height)
    image.width, image.height = str(width), str(height)
    frame.layout.width, frame.layout.height = f"{width}px", f"{height}px"
    image.value = picture.jpeg


def _nearest_html(concepts: pd.DataFrame) -> str:
    """The concepts nearest to an image, as the dissector sees it."""
    if concepts.empty:
        return ""
    rows = "".join(
        f"<tr><td>{escape(row.concept)}</td><td>{row.likeness:.2f}</td>"
        f'<td style="white-space:nowrap">{row.deviations:+.1f} sd</td></tr>'
        for row in concepts.itertuples()
    )
    return (
        f'<div style="{TEXT}"><b>Concepts nearest to it by the dissector</b>'
        f'<table style="border-spacing:8px 0;margin-left:-8px;line-height:1.2">{rows}</table>'
        f'<span style="{FAINT};font-size:11px">sd: standard deviations from the mean over the probe</span></div>'
    )


TILE_HEIGHT = 145  # four mammograms beside each other in half a notebook


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


def _facts(row: pd.Series) -> list[str]:
    """What is known of an image, in lines: its id, view and density, findings."""
    known = {name: row[name] for name in ("laterality", "view", "density", "findings") if isinstance(row.get(name), str)}
    about = [" ".join(known[name] for name in ("laterality", "view") if known.get(name))]
    about += [f"density\N{NO-BREAK SPACE}{known['density']}"] if known.get("density") else []
    findings = [known["findings"] or "no finding"] if "findings" in known else []
    return [row.image, *filter(None, [", ".join(filter(None, about))]), *findings]
