"""`explore_models`: a widget in which models are held against each other, channel by channel or concept by concept."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import ipywidgets as widgets
import pandas as pd
from traitlets import Enum, Int, TraitError, Unicode, validate

from mdissect.dissection import Dissection
from mdissect.explorers.changes import CHANGES, changes, labels_kept
from mdissect.explorers.figures import draw_models
from mdissect.explorers.gallery import Gallery, NeuronRows, captioned
from mdissect.explorers.html import bar_ends, bars_html, counts_html, heading_html, lines_html
from mdissect.explorers.panels import NEAREST, TILES, Panel, channel_panel, concept_panel
from mdissect.explorers.pictures import Pictures
from mdissect.explorers.sides import SideBySide
from mdissect.explorers.view import SideView, category_options, one_of, stretching

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mdissect.probes import Probe

CHANNEL, CONCEPT = MODES = ("same channel", "same concept")
ANY = "all"


def explore_models(
    dissections: Mapping[str, Dissection],
    *,
    probe: "Probe | None" = None,
    rule: str = "top",
    state: Mapping | None = None,
) -> "CompareExplorer":
    """Look at two or more models side by side: the same channel, the same concept, and what the one has gained on the other.

    The same channel means something only between a model and what was made from it, such as its fine-tuned copy.

    Parameters
    ----------
    dissections : mapping of model to Dissection
        Two at least; the first is what the others are held against. Their layers are compared by depth, at one threshold per
        depth: the largest of the models'.
    probe : Probe, optional
        Its images, found by their ids; without it grey tiles stand for them.
    rule : str
        Of the threshold, see `mdissect.analysis.thresholds`.
    state : mapping, optional
        `CompareExplorer.state` of a view to open again; a part of it will do.

    Returns
    -------
    CompareExplorer

    Raises
    ------
    ValueError
        Fewer than two dissections, or layers that cannot be compared by depth.
    TraitError
        A state that these dissections do not have, such as a neuron out of range.

    Examples
    --------
    >>> explorer = mdissect.explore_models({"M": study.dissect("M"), "C4": study.dissect("C4")})      # doctest: +SKIP
    >>> explorer.neuron = 73                                                                         # doctest: +SKIP
    """
    sides = SideBySide(dissections, rule=rule)
    if len(sides.models) < 2:
        raise ValueError("explore_models() compares two dissections at least; explore() shows one")
    explorer = CompareExplorer(sides, Pictures(probe))
    if state:
        explorer.state = state
    return explorer


class CompareExplorer(SideView):
    """Models side by side. Made by `explore_models`.

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
        A category or broad category, of which alone concepts are listed; "": all.
    """

    STATE = ("mode", "layer", "neuron", "concept", "first", "second", "change", "category")

    mode = Enum(MODES, CHANNEL)
    layer = Unicode()
    neuron = Int()
    concept = Unicode()
    first = Unicode()
    second = Unicode()
    change = Enum((ANY, *CHANGES), ANY)
    category = Unicode()

    def __init__(self, sides: SideBySide, pictures: Pictures):
        self.sides, self._pictures = sides, pictures
        super().__init__()
        self.layer = sides.layers[-1]
        self.first, self.second = sides.models[:2]
        self.concept = sides.concepts.names[int(sides.carried.argmax())]
        self._build()
        self._open()

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
        """What is told of each model."""
        if self.mode == CONCEPT:
            return {model: concept_panel(self.sides, model, self.layer, self.concept) for model in self.sides.models}
        return {model: channel_panel(self.sides, model, self.layer, self.neuron, self.first) for model in self.sides.models}

    @property
    def title(self) -> str:
        """What is in view."""
        return f"{self.concept} in {self.layer}" if self.mode == CONCEPT else f"{self.layer}, neuron {self.neuron}"

    def figure(self) -> "Figure":
        """The same view as a static picture."""
        return draw_models(
            title=self.title,
            panels=list(self.panels.values()),
            pictures=self._pictures,
            threshold=self.sides.threshold(self.layer),
            counts=self.counts,
            changes=self.changes[self.changes.layer == self.layer],
            told=f"{self._told()}; named: {self.layer}",
        )

    @validate("layer")
    def _check_layer(self, proposal) -> str:
        return one_of("layer", proposal.value, self.layers)

    @validate("neuron")
    def _check_neuron(self, proposal) -> int:
        if not 0 <= proposal.value < self._n_channels():
            raise TraitError(
                f"neuron {proposal.value} is not in layer {self.layer!r} of any model, whose neurons are 0 to "
                f"{self._n_channels() - 1}"
            )
        return proposal.value

    @validate("concept")
    def _check_concept(self, proposal) -> str:
        return one_of("concept", proposal.value, self.sides.concepts.names)

    @validate("first", "second")
    def _check_model(self, proposal) -> str:
        return one_of("model", proposal.value, self.sides.models)

    @validate("category")
    def _check_category(self, proposal) -> str:
        return one_of("category", proposal.value, [name for _, name in category_options(self.sides.groups)])

    def _changed(self, change) -> None:
        if change.name == "layer":
            self.neuron = min(self.neuron, self._n_channels() - 1)

    def _build(self) -> None:
        """Make the controls, tie them to the traits, and lay everything out."""
        short, models, sides = widgets.Layout(width="170px"), self.sides.models, self.sides
        self._controls = {
            "mode": widgets.ToggleButtons(options=MODES),
            "layer": widgets.Dropdown(options=self.layers, description="layer"),
            "neuron": widgets.IntSlider(description="neuron", continuous_update=False, readout=False, layout=stretching()),
            "concept": widgets.Combobox(options=sides.concepts.names, description="concept", layout=stretching()),
            "first": widgets.Dropdown(options=models, description="from", layout=short),
            "second": widgets.Dropdown(options=models, description="to", layout=short),
            "change": widgets.Dropdown(options=(ANY, *CHANGES), description="concepts", layout=short),
            "category": widgets.Dropdown(options=category_options(sides.groups), description="category", layout=stretching()),
        }
        self._controls["concept"].continuous_update = False
        self._number = widgets.BoundedIntText(layout=widgets.Layout(width="80px"))
        self._follow(self._controls)
        self._follow({"neuron": self._number})
        steps = [widgets.Button(description=word, layout=widgets.Layout(width="90px")) for word in ("previous", "next")]
        steps[0].on_click(lambda _: self._step(-1))
        steps[1].on_click(lambda _: self._step(1))
        self._message, self._heading, self._counts = (widgets.HTML() for _ in range(3))
        self._entries = widgets.Select(rows=12, layout=widgets.Layout(width="auto", flex="1 1 auto"))
        self._entries.observe(lambda change: self._go(change.new), "value")
        self._panels = [PanelView(self._see) for _ in models]
        c = self._controls
        self._channel = widgets.HBox([c["neuron"], self._number, *steps])
        self.children = [
            widgets.HBox([c["mode"], c["layer"]]),
            self._channel,
            c["concept"],
            self._message,
            self._heading,
            widgets.Box(self._panels, layout=widgets.Layout(flex_flow="row wrap")),
            widgets.HBox([c["first"], c["second"], c["change"], c["category"]]),
            widgets.HBox([self._counts, self._entries], layout=widgets.Layout(align_items="flex-start")),
        ]
        self.add_class("mdissect-compare-explorer")

    def _bound(self) -> None:
        """Let slider and number reach as far as the layer of the largest model."""
        self._controls["neuron"].max = self._number.max = self._n_channels() - 1

    def _n_channels(self) -> int:
        return max(self.sides.n_neurons(model, self.layer) for model in self.sides.models)

    def _step(self, by: int) -> None:
        self.neuron = min(max(self.neuron + by, 0), self._n_channels() - 1)

    def _go(self, entry: tuple[str, str] | None) -> None:
        """Turn to a listed concept."""
        if entry is not None and not self._syncing:
            self.state = {"mode": CONCEPT, "layer": entry[0], "concept": entry[1]}

    def _see(self, neuron: int) -> None:
        """Turn from a concept's neuron to that channel in all models."""
        self.state = {"mode": CHANNEL, "neuron": neuron}

    def _show(self) -> None:
        """Words and bars first, then pictures, each sent as soon as it is made."""
        self._bound()
        self._sync(self._controls)
        self._sync({"neuron": self._number})
        self._channel.layout.display = None if self.mode == CHANNEL else "none"
        self._controls["concept"].layout.display = None if self.mode == CONCEPT else "none"
        self._message.value = lines_html([self._refused, *self.sides.remarks], faint=not self._refused)
        self._heading.value = heading_html(self.title, self._broad_category())
        self._show_changes()
        panels, threshold = self.panels, self.sides.threshold(self.layer)
        ends = bar_ends([threshold, *(bar.value for panel in panels.values() for bar in panel.bars)])
        for view, panel in zip(self._panels, panels.values(), strict=True):
            view.show(panel, ends, threshold)
        for view, panel in zip(self._panels, panels.values(), strict=True):
            view.gallery.show(captioned(panel.images, self._pictures, "activation"))

    def _show_changes(self) -> None:
        table = self.changes
        entries = [(_told(row), (row.layer, row.concept)) for row in table.itertuples()]
        if self._entries.options != tuple(entries):
            self._entries.options = entries
        here = (self.layer, self.concept)
        shown = self.mode == CONCEPT and here in {place for _, place in entries}
        self._entries.value = here if shown else None
        self._counts.value = counts_html(self.counts, self._told())

    def _of_category(self) -> pd.DataFrame:
        table = changes(self.sides, self.first, self.second)
        if not self.category:
            return table
        return table[table.concept.isin(self.sides.names(self.sides.members(category=self.category)))].reset_index(drop=True)

    def _broad_category(self) -> str:
        return self.sides.categories_of(self.concept)[1] if self.mode == CONCEPT else ""

    def _told(self) -> str:
        """What the counts are of."""
        of = f" of {self.category}" if self.category else ""
        return f"Concepts{of} that neurons carry {self.sides.passing}, from {self.first} to {self.second}"


class PanelView(widgets.VBox):
    """The panel of one model.

    Parameters
    ----------
    see : callable
        What to do with a neuron that is chosen.
    """

    def __init__(self, see: Callable[[int], None]):
        self._title, self._lines, self._bars, self._told = (widgets.HTML() for _ in range(4))
        self._neurons: Sequence[int] = ()
        self._rows = NeuronRows(NEAREST, lambda i: see(self._neurons[i]), button_width="70px")
        self.gallery = Gallery(TILES)
        layout = widgets.Layout(flex="1 1 340px", width="auto", margin="0 16px 10px 0")
        super().__init__([self._title, self._bars, self._rows, self._lines, self._told, self.gallery], layout=layout)

    def show(self, panel: Panel, ends: tuple[float, float], threshold: float | None) -> None:
        """Everything but the pictures."""
        self._neurons = panel.neurons
        self._title.value = lines_html([panel.title], bold=True)
        self._lines.value, self._told.value = lines_html(panel.lines), lines_html([panel.told], faint=True)
        rows = [(str(neuron), bar, threshold) for neuron, bar in zip(panel.neurons, panel.bars, strict=False)]
        self._bars.value = "" if panel.neurons else bars_html(panel.bars, ends, threshold)
        self._rows.show(rows, ends, None)


def _told(row) -> str:
    """An entry of the list of concepts."""
    return f"{row.change}: {row.concept} ({row.layer}, {row.neurons_first} → {row.neurons_second} neurons)"
