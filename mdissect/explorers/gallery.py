"""Pictures in an explorer: tiles in rows, which can be clicked, and one enlarged image."""

from collections.abc import Callable, Iterable
from html import escape

import ipywidgets as widgets
import pandas as pd

from mdissect.explorers.html import FAINT, TEXT, caption_html, facts_of, lines_html, nearest_html
from mdissect.explorers.pictures import Picture
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
.mdissect-view abbr { text-decoration: underline dotted; cursor: help; }
.mdissect-view, .mdissect-view .widget-hbox, .mdissect-view .widget-vbox { min-width: 0; }
.mdissect-view { container-type: inline-size; width: 100%; }
.mdissect-large button.mdissect-neuron { height: auto; min-height: 26px; padding: 3px 8px; white-space: normal;
  line-height: 1.3; text-align: left; }
</style>"""


class Frame(widgets.Box):
    """A picture in its true aspect; with `enlarge`, a click, or Enter where it has the focus, calls it."""

    def __init__(self, enlarge: Callable[[], None] | None = None):
        self.image, self.button = widgets.Image(format="jpeg"), widgets.Button(icon="search-plus")
        self.button.add_class("mdissect-enlarge")
        self.button.on_click(lambda _: enlarge())
        super().__init__([self.image, self.button] if enlarge else [self.image])
        self.add_class("mdissect-frame")

    def show(self, picture: Picture, height: int) -> None:
        width = picture.width_at(height)
        self.image.width, self.image.height = str(width), str(height)
        self.layout.width, self.layout.height = f"{width}px", f"{height}px"
        self.image.value = picture.jpeg


class Tile(widgets.VBox):
    """A small picture and the facts of its image; a click passes its id to `enlarge`."""

    def __init__(self, height: int, enlarge: Callable[[str], None] | None = None):
        self.image_id, self._height = "", height
        self.frame = Frame(enlarge and (lambda: enlarge(self.image_id)))
        self.caption = widgets.HTML()
        super().__init__([self.frame, self.caption], layout=widgets.Layout(margin="0 8px 8px 0", display="none"))

    def show(self, row: pd.Series, picture: Picture, value: str) -> None:
        """Show an image: its row, with the columns image and `value`, and its picture."""
        self.image_id = row.image
        self.frame.button.tooltip = f"enlarge {row.image}"
        self.frame.show(picture, self._height)
        self.caption.value = caption_html(row, picture, value, max(picture.width_at(self._height), round(0.62 * self._height)))
        self.layout.display = None


class Gallery(widgets.Box):
    """At most `n_tiles` pictures with captions, in rows; the ids of those that are clicked go to `enlarge`."""

    def __init__(self, n_tiles: int, height: int = 145, enlarge: Callable[[str], None] | None = None, **layout):
        self._tiles = [Tile(height, enlarge) for _ in range(n_tiles)]
        super().__init__(self._tiles, layout=widgets.Layout(flex_flow="row wrap", align_items="flex-start", **layout))

    @property
    def tiles(self) -> list[Tile]:
        """Those in view."""
        return [tile for tile in self._tiles if tile.layout.display != "none"]

    def show(self, rows: pd.DataFrame, pictures: Iterable[Picture], value: str = "activation") -> list[Picture]:
        """Show images (columns image, `value`, metadata), each sent as soon as its picture is made; returns the pictures."""
        shown = []
        for tile, (_, row), picture in zip(self._tiles, rows.iterrows(), pictures, strict=False):
            tile.show(row, picture, value)
            shown.append(picture)
        for tile in self._tiles[len(shown) :]:
            tile.layout.display = "none"
        return shown


class LargeImage(widgets.VBox):
    """One image made large, with its own strongest neurons, to go to, and the concepts that the dissector finds nearest.

    `step` is called with 1 for the next image, -1 for the one before; `choose` with one of at most `n_neurons` to go to.
    """

    def __init__(self, close: Callable, step: Callable[[int], None], choose: Callable[[int], None], n_neurons: int = 5):
        narrow = widgets.Layout(width="auto")
        self.back = widgets.Button(description="close", icon="times", tooltip="back to all images", layout=narrow)
        self.before = widgets.Button(icon="arrow-left", tooltip="previous image", layout=narrow)
        self.after = widgets.Button(icon="arrow-right", tooltip="next image", layout=narrow)
        for button, name in ((self.back, "close"), (self.before, "before"), (self.after, "after")):
            button.add_class(f"mdissect-{name}")
        self.back.on_click(lambda _: close())
        self.before.on_click(lambda _: step(-1))
        self.after.on_click(lambda _: step(1))
        self.frame, self.name, self.facts, self.concepts = Frame(), *(widgets.HTML() for _ in range(3))
        self.neurons = [widgets.Button(layout=widgets.Layout(width="auto", display="none")) for _ in range(n_neurons)]
        for button in self.neurons:
            button.on_click(lambda button: choose(button.neuron))
            button.add_class("mdissect-neuron")
        heading = widgets.HTML(lines_html(["Most activated neurons"], bold=True))
        facts = [self.facts, heading, *self.neurons, self.concepts]
        beside = widgets.VBox(facts, layout=widgets.Layout(flex="1 1 240px", margin="0 0 0 12px"))
        bar = widgets.HBox([self.back, self.before, self.after, self.name])
        super().__init__([bar, widgets.HBox([self.frame, beside])], layout=widgets.Layout(width="62%", display="none"))
        self.add_class("mdissect-large")

    def show(self, seen: OfImage, picture: Picture, position: str) -> None:
        """Show an image, and which one of those in view it is."""
        where = f' <span style="{FAINT}">{escape(position)}</span>'
        self.name.value = f'<div style="{TEXT}" class="mdissect-large-name"><b>{escape(seen.row.image)}</b>{where}</div>'
        self.frame.show(picture, LARGE_SHOWN_HEIGHT)
        facts = "<br>".join(map(escape, facts_of(seen, picture)))
        self.facts.value = f'<div style="{TEXT};font-size:12px;overflow-wrap:anywhere">{facts}</div>'
        rows = list(seen.neurons.itertuples())
        for button, row in zip(self.neurons, [*rows, *[None] * len(self.neurons)], strict=False):
            button.layout.display = "none" if row is None else None
            if row is not None:
                button.neuron = int(row.neuron)
                button.description = f"{row.neuron}: {row.concept or 'cannot be named'} ({row.deviations:+.1f} sd)"
                button.tooltip = f"go to neuron {row.neuron}; among its strongest images this is number {row.rank}"
        self.concepts.value = nearest_html(seen.concepts)
        self.layout.display = None
