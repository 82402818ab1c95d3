"""`explore_models`: a widget that compares models, channel by channel or concept by concept."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, ClassVar

import ipywidgets as widgets
import pandas as pd
from traitlets import Enum, Int, Unicode, validate

from mdissect.explorers.bars import NeuronRows, bar_ends, bars_html
from mdissect.explorers.changes import CHANGES, changes, labels_kept
from mdissect.explorers.controls import NeuronPicker, category_options, choice, stretching, wrapping
from mdissect.explorers.gallery import Gallery
from mdissect.explorers.html import counts_html, heading_html, lines_html
from mdissect.explorers.listed import ChangesTable
from mdissect.explorers.offers import Offers
from mdissect.explorers.opening import OPENED, Opening
from mdissect.explorers.panels import NEAREST, TILES, Panel, channel_panel, concept_panel
from mdissect.explorers.pictures import Picture, Pictures
from mdissect.explorers.search import Match
from mdissect.explorers.sides import SideBySide
from mdissect.explorers.view import checked, neuron_in

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mdissect.explorers.verdicts import Notes

CHANNEL, CONCEPT = MODES = ("same channel", "same concept")
ANY = "all"
MOST_OFFERED = 5  # other concepts that have the words typed


class CompareExplorer(Opening):
    """Models side by side. Made by `explore_models`.

    >>> explorer.state = {"mode": "same concept", "concept": "implant"}                         # doctest: +SKIP

    Attributes
    ----------
    sides : SideBySide
        The tables that it is made of.
    mode : {"same channel", "same concept"}
    layer : str
        One of `layers`.
    neuron : int
        The channel in view.
    concept : str
        The concept in view.
    first, second : str
        The models whose concepts are listed as gained, lost and kept.
    change : {"all", "gained", "lost", "kept"}
    category : str
        Only concepts of this category or broad category are listed; "": all.
    overlay, opened
        Whether to show where in the images the neurons respond; the neuron explorer’s state while it is open (`open_neuron`).
    """

    STATE = ("mode", "layer", "neuron", "concept", "first", "second", "change", "category", *OPENED)
    PARTS: ClassVar = {
        "opened": "opened",
        "message": "refused",
        "heading": "mode layer neuron concept",
        "entries": "first second change category",
        "entry": "first second change category mode layer concept",
        "counts": "first second category",
        "panels": "mode layer neuron concept first overlay",
    }
    STILL: ClassVar = ("_heading", "_counts")
    BACK = "back to the comparison"

    mode = Enum(MODES, CHANNEL)
    layer = Unicode()
    neuron = Int()
    concept = Unicode()
    first = Unicode()
    second = Unicode()
    change = Enum((ANY, *CHANGES), ANY)
    category = Unicode()

    def __init__(self, sides: SideBySide, pictures: Mapping[str, Pictures], notes: "Notes | None" = None):
        super().__init__(sides, pictures, notes)
        self.layer = sides.layers[-1]
        self.first, self.second = sides.models[:2]
        self.concept = sides.concepts.names[int(sides.carried.argmax())]
        self._build()

    @property
    def layers(self) -> list[str]:
        """What `layer` may be: a name for each depth."""
        return self.sides.layers

    @property
    def changes(self) -> pd.DataFrame:
        """The concepts listed: layer, concept, neurons_first, neurons_second, change, category, broad_category."""
        table = self._of_category()
        return table if self.change == ANY else table[table.change == self.change].reset_index(drop=True)

    @property
    def counts(self) -> pd.DataFrame:
        """layer, gained, lost, kept (concepts of the category), labels_kept, channels (that have a name in both)."""
        table, rows = self._of_category(), []
        for depth in self.layers:
            here = table.change[table.layer == depth]
            same, both = labels_kept(self.sides, self.first, self.second, depth)
            rows.append({"layer": depth, **{c: int((here == c).sum()) for c in CHANGES}, "labels_kept": same, "channels": both})
        return pd.DataFrame(rows)

    @property
    def panels(self) -> dict[str, Panel]:
        """The panel of each model."""
        if self.mode == CONCEPT:
            return {model: concept_panel(self.sides, model, self.layer, self.concept) for model in self.sides.models}
        return {model: channel_panel(self.sides, model, self.layer, self.neuron, self.first) for model in self.sides.models}

    @property
    def title(self) -> str:
        """The channel or concept shown."""
        return f"{self.concept} in {self.layer}" if self.mode == CONCEPT else f"{self.layer}, neuron {self.neuron}"

    def figure(self) -> "Figure":
        """The same view as a static picture."""
        from mdissect.explorers.figures import draw_models  # matplotlib, which looking on a screen does without

        return draw_models(
            title=self.title,
            panels=list(self.panels.values()),
            pictures=[list(self._shown_pictures(panel)) for panel in self.panels.values()],
            threshold=self.sides.threshold(self.layer),
            counts=self.counts,
            changes=self.changes[self.changes.layer == self.layer],
            counted=f"{self._counted()}. Listed to the right: layer {self.layer}",
        )

    _check_layer = checked("layer", lambda view: view.layers)
    _check_concept = checked("concept", lambda view: view.sides.concepts.names)
    _check_models = checked("model", lambda view: view.sides.models, "first", "second")
    _check_category = checked("category", lambda view: [name for _, name in category_options(view.sides.groups)])

    @validate("neuron")
    def _check_neuron(self, proposal) -> int:
        return neuron_in(proposal.value, self._n_channels(), self.layer, " of any model")

    def _settle(self, name: str) -> None:
        if name == "layer":
            self.neuron = min(self.neuron, self._n_channels() - 1)

    def _build(self) -> None:
        """Make the controls, tie them to the traits, and lay everything out."""
        models, short = self.sides.models, {"width": "170px"}
        mode, self._picker = widgets.ToggleButtons(options=MODES), NeuronPicker(self._step)
        layer, first, second = choice("layer", self.layers), choice("from", models, **short), choice("to", models, **short)
        change, category = choice("concepts", (ANY, *CHANGES), **short), choice("category", category_options(self.sides.groups))
        self._concept = widgets.Combobox(options=self.sides.concepts.names, description="concept", layout=stretching())
        self._concept.continuous_update = False
        self._offers = Offers(partial(self._take, "concept"))
        controls = {"mode": mode, "layer": layer, "concept": self._concept, "first": first, "second": second}
        for trait, control in (controls | {"change": change, "category": category}).items():
            self._follow(trait, control)
        self._follow("neuron", self._picker.slider, self._picker.number)
        self._message, self._heading, self._counts = (widgets.HTML() for _ in range(3))
        self._heading.add_class("mdissect-live")
        self._counts.layout = widgets.Layout(flex="0 1 auto", min_width="0", max_width="100%", margin="0 16px 0 0")
        self._entries = ChangesTable()
        self._entries.on_choose(self._go)
        self._entries.on_open(self._go)
        self._panels = [PanelView(self._see, partial(self._open_of, model)) for model in models]
        listed = widgets.VBox([self._entries], layout=widgets.Layout(flex="1 1 380px", min_width="0"))
        children = [
            widgets.HBox([mode, layer], layout=wrapping()),
            self._picker,
            widgets.HBox([self._concept], layout=wrapping()),  # in a row: in a column its width would be a height
            self._message,
            self._offers,
            self._heading,
            widgets.HBox([self._overlay_box()]),
            widgets.Box(self._panels, layout=wrapping()),
            widgets.HBox([first, second, change, category], layout=wrapping()),
            widgets.HBox([self._counts, listed], layout=wrapping(align_items="flex-start")),
            widgets.HBox([self._copy]),
        ]
        self._lay_out("mdissect-compare-explorer", children)

    def _offer(self) -> None:
        self._picker.reach(self._n_channels(), self.neuron)
        self._picker.layout.display = None if self.mode == CHANNEL else "none"
        self._concept.layout.display = None if self.mode == CONCEPT else "none"

    def _take(self, trait: str, value) -> None:
        """Set a trait; a concept also by words that it has, else words or concepts to choose from are offered."""
        words, match = value, Match()
        if trait == "concept" and value not in self.sides.concepts.names:
            match = self.sides.words(value)
            value = match.concepts[0] if match.concepts else value
        if match.note and not match.concepts:
            with self._held():
                self.refused = match.note
        else:
            super()._take(trait, value)
        if trait == "concept":
            self._offers.show(replace(match, nearest=(match.nearest or match.concepts[1 : MOST_OFFERED + 1])), words)

    def _n_channels(self) -> int:
        return max(self.sides.n_neurons(model, self.layer) for model in self.sides.models)

    def _step(self, by: int) -> None:
        self.neuron = min(max(self.neuron + by, 0), self._n_channels() - 1)

    def _go(self, row: int) -> None:
        """Show a listed concept."""
        layer, concept = self._entries.places[row]
        self.state = {"mode": CONCEPT, "layer": layer, "concept": concept}

    def _open_of(self, model: str, image: str = "") -> None:
        """Open the neuron of a model's panel, with one of its images."""
        panel = self.panels[model]
        if panel.place:
            self.open_neuron(model, *panel.place, image)

    def _see(self, neuron: int) -> None:
        """Show the channel of a concept's neuron in all models."""
        self.state = {"mode": CHANNEL, "neuron": neuron}

    def _show_message(self) -> None:
        self._message.value = lines_html([self.refused, *self.sides.remarks], faint=not self.refused)

    def _show_heading(self) -> None:
        broad = self.sides.categories_of(self.concept)[1] if self.mode == CONCEPT else ""
        self._heading.value = heading_html(self.title, broad)

    def _show_entries(self) -> None:
        self._entries.show_changes(self.changes, self.sides, (self.first, self.second))

    def _show_entry(self) -> None:
        """Mark the concept shown in the list."""
        here = (self.layer, self.concept)
        listed = self.mode == CONCEPT and here in self._entries.places
        self._entries.chosen = self._entries.places.index(here) if listed else -1

    def _show_counts(self) -> None:
        self._counts.value = counts_html(self.counts, self._counted())

    def _show_panels(self) -> None:
        """Words and bars of all models first, then their pictures."""
        panels, threshold = list(self.panels.values()), self.sides.threshold(self.layer)
        ends = bar_ends([threshold, *(bar.value for panel in panels for bar in panel.bars)])
        for view, panel in zip(self._panels, panels, strict=True):
            view.show(panel, threshold, ends)
        for view, panel in zip(self._panels, panels, strict=True):
            view.gallery.show(panel.images, self._shown_pictures(panel))

    def _shown_pictures(self, panel: Panel) -> Iterator[Picture]:
        """The pictures of a panel, made one by one as they are asked for."""
        over = self._place(panel.model, *panel.place) if panel.place else None
        return self._pictures[panel.model].gallery(panel.images.image, over)

    def _of_category(self) -> pd.DataFrame:
        table = changes(self.sides, self.first, self.second)
        if not self.category:
            return table
        return table[table.concept.isin(self.sides.names(self.sides.members(category=self.category)))].reset_index(drop=True)

    def _counted(self) -> str:
        """The caption of the counts."""
        of = f" of {self.category}" if self.category else ""
        return f"Concepts{of} that are labels {self.sides.passing}: what changes from {self.first} to {self.second}"


class PanelView(widgets.VBox):
    """The panel of one model; `see` is called with a neuron that is chosen, `open` with an image, or with nothing."""

    def __init__(self, see: Callable[[int], None], open: Callable[..., None]):
        self._title, self._lines, self._bars, self._caption = (widgets.HTML() for _ in range(4))
        self._neurons: Sequence[int] = ()
        self._rows = NeuronRows(NEAREST, lambda i: see(self._neurons[i]), button_width="70px")
        self.gallery = Gallery(TILES, enlarge=open)
        self.opener = widgets.Button(description="open neuron", icon="search", layout=widgets.Layout(width="auto"))
        self.opener.on_click(lambda _: open())
        layout = widgets.Layout(flex="1 1 320px", min_width="0", width="auto", margin="0 16px 10px 0")
        below = [self._lines, self._caption, widgets.HBox([self.opener]), self.gallery]
        super().__init__([self._title, self._bars, self._rows, *below], layout=layout)

    def show(self, panel: Panel, threshold: float | None, ends: tuple[float, float]) -> None:
        """Everything but the pictures."""
        self._neurons = panel.neurons
        self._title.value = lines_html([panel.title], bold=True)
        self._lines.value = lines_html([*panel.lines, f"The top images share: {panel.shared}." if panel.shared else ""])
        self._caption.value = lines_html([panel.caption], faint=True)
        self.opener.layout.display = None if panel.place else "none"
        self.opener.description = f"open {panel.place[0]}, neuron {panel.place[1]}" if panel.place else ""
        rows = [(str(neuron), bar, threshold) for neuron, bar in zip(panel.neurons, panel.bars, strict=False)]
        self._bars.value = "" if panel.neurons else bars_html(panel.bars, threshold, ends)
        self._rows.show(rows, ends)
