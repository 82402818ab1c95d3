"""Pictures in an explorer: tiles in rows, which can be clicked, and one enlarged image."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from html import escape

import ipywidgets as widgets
import numpy as np
import pandas as pd

from mdissect.browser import Over, Viewer
from mdissect.dissection import shown_id
from mdissect.explorers.html import (
    FAINT,
    OTHERS,
    TEXT,
    activation_words,
    caption_html,
    facts_of,
    lines_html,
    nearest_html,
    other_words,
)
from mdissect.explorers.pictures import Picture
from mdissect.explorers.reading import OfImage

VIEW_HEIGHT = 170  # of the patient's other views
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
.mdissect-view, .mdissect-view .widget-hbox, .mdissect-view .widget-vbox, .mdissect-view .widget-html-content {
  min-width: 0; }
.mdissect-view { container-type: inline-size; width: 100%; }
.mdissect-upload { font-size: 0; }
.mdissect-upload i { font-size: var(--jp-widgets-font-size, 13px); margin-right: 4px; }
.mdissect-upload::after { content: "an image of your own"; font-size: var(--jp-widgets-font-size, 13px); }
.mdissect-own-image button.mdissect-neuron { text-align: left; }
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

    def __init__(self, enlarge: Callable[[str], None] | None = None):
        self.image_id = ""
        self.frame = Frame(enlarge and (lambda: enlarge(self.image_id)))
        self.caption = widgets.HTML()
        super().__init__([self.frame, self.caption], layout=widgets.Layout(margin="0 8px 8px 0", display="none"))

    def show(self, row: pd.Series, picture: Picture, value: str, height: int) -> None:
        """Show an image: its row, with the columns image and `value`, and its picture, at a height."""
        self.image_id = row.image
        row = row.copy()
        row["image"] = shown_id(row.image, row.get("patient"))
        self.frame.button.tooltip = f"enlarge {row.image}"
        self.frame.show(picture, height)
        self.caption.value = caption_html(row, picture, value, max(picture.width_at(height), round(0.62 * height)))
        self.layout.display = None


class Gallery(widgets.Box):
    """Pictures with captions, in rows; the ids of those that are clicked go to `enlarge`."""

    def __init__(self, n_tiles: int = 0, height: int = 145, enlarge: Callable[[str], None] | None = None, **layout):
        self.height, self._enlarge = height, enlarge
        self._tiles = [Tile(enlarge) for _ in range(n_tiles)]
        super().__init__(self._tiles, layout=widgets.Layout(flex_flow="row wrap", align_items="flex-start", **layout))

    @property
    def tiles(self) -> list[Tile]:
        """Those in view."""
        return [tile for tile in self._tiles if tile.layout.display != "none"]

    def show(self, rows: pd.DataFrame, pictures: Iterable[Picture], value: str = "activation") -> list[Picture]:
        """Show images (columns image, `value`, metadata), each sent as soon as its picture is made; returns the pictures."""
        if missing := len(rows) - len(self._tiles):
            self._tiles += [Tile(self._enlarge) for _ in range(max(missing, 0))]
            self.children = self._tiles
        shown = []
        for tile, (_, row), picture in zip(self._tiles, rows.iterrows(), pictures, strict=False):
            tile.show(row, picture, value, self.height)
            shown.append(picture)
        for tile in self._tiles[len(shown) :]:
            tile.layout.display = "none"
        return shown


@dataclass(frozen=True)
class Closely:
    """What the viewer needs to show an image closely."""

    image: Callable[[], np.ndarray]  # as the probe has it
    over: Over = field(default_factory=Over)
    settings: Mapping = field(default_factory=dict)  # of `Viewer`: overlay, opacity, contour, boxes
    views: pd.DataFrame | None = None  # the patient's other images: image, activation, metadata
    pictures: Iterable[Picture] = ()  # theirs


class LargeImage(widgets.VBox):
    """One image made large, with its own strongest neurons, to go to, and the concepts that the dissector finds nearest.

    `step` is called with 1 for the next image, -1 for the one before; `choose` with one of at most `n_neurons` to go to;
    `enlarge` with the id of another view of the patient. `viewer` shows the image itself.
    """

    def __init__(
        self,
        close: Callable,
        step: Callable[[int], None],
        choose: Callable[[int], None],
        enlarge: Callable[[str], None] | None = None,
        n_neurons: int = 5,
    ):
        narrow = widgets.Layout(width="auto", flex="0 0 auto")
        self.back = widgets.Button(description="close", icon="times", tooltip="back to all images", layout=narrow)
        self.before = widgets.Button(icon="arrow-left", tooltip="previous image", layout=narrow)
        self.after = widgets.Button(icon="arrow-right", tooltip="next image", layout=narrow)
        for button, name in ((self.back, "close"), (self.before, "before"), (self.after, "after")):
            button.add_class(f"mdissect-{name}")
        self.back.on_click(lambda _: close())
        self.before.on_click(lambda _: step(-1))
        self.after.on_click(lambda _: step(1))
        self.viewer, self.views = Viewer(), Gallery(height=VIEW_HEIGHT, enlarge=enlarge)
        self.name, self.facts, self.concepts, self.others = (widgets.HTML() for _ in range(4))
        self.neurons = [widgets.Button(layout=widgets.Layout(width="auto", display="none")) for _ in range(n_neurons)]
        for button in self.neurons:
            button.on_click(lambda button: choose(button.neuron))
            button.add_class("mdissect-neuron")
        self.heading = widgets.HTML(lines_html([OTHERS], bold=True))
        facts = [self.facts, self.heading, *self.neurons, self.concepts]
        beside = widgets.VBox(facts, layout=widgets.Layout(flex="1 1 230px", min_width="0", margin="0 0 0 12px"))
        self.viewer.layout = widgets.Layout(flex="3 1 380px", min_width="0")
        wrap = widgets.Layout(flex_flow="row wrap")
        bar = widgets.HBox([self.back, self.before, self.after, self.name], layout=wrap)
        parts = [bar, widgets.HBox([self.viewer, beside], layout=wrap), self.others, self.views]
        super().__init__(parts, layout=widgets.Layout(display="none"))
        self.add_class("mdissect-large")

    def show(self, seen: OfImage, picture: Picture, position: str, closely: Closely | None = None) -> None:
        """Show an image, and which one of those in view it is; its picture alone where nothing else is given."""
        where = f' <span style="{FAINT}">{escape(position)}</span>'
        self.name.value = f'<div style="{TEXT}" class="mdissect-large-name"><b>{escape(seen.row.image)}</b>{where}</div>'
        self._look(seen, closely or Closely(lambda: picture.array))
        facts = "<br>".join(map(escape, facts_of(seen, picture)))
        self.facts.value = f'<div style="{TEXT};font-size:12px;overflow-wrap:anywhere">{facts}</div>'
        rows = list(seen.neurons.itertuples())
        self.heading.layout.display = None if rows else "none"
        for button, row in zip(self.neurons, [*rows, *[None] * len(self.neurons)], strict=False):
            button.layout.display = "none" if row is None else None
            if row is not None:
                button.neuron = int(row.neuron)
                button.description = other_words(row)
                button.tooltip = f"go to neuron {row.neuron}; this is number {row.rank} of its strongest images"
        self.concepts.value = nearest_html(seen.concepts)
        self.layout.display = None

    def _look(self, seen: OfImage, closely: Closely) -> None:
        """The image in the viewer, and the patient's other views below it."""
        with self.viewer.hold_sync():
            for name, value in closely.settings.items():
                setattr(self.viewer, name, value)
            self.viewer.show(
                seen.row.image, f"Image {seen.row.image}, {activation_words(seen.row.activation)}", closely.image, closely.over
            )
        views = closely.views if closely.views is not None else seen.neurons.head(0)
        self.views.show(views, closely.pictures)
        self.others.value = (
            lines_html(["The patient’s other views, with this neuron’s activation"], bold=True) if len(views) else ""
        )
