"""`explore`: a widget in which a neuron is looked in the eye; its view can be shared, and drawn as a static figure."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from html import escape
from typing import TYPE_CHECKING

import ipywidgets as widgets
import pandas as pd
from traitlets import Bool, Enum, Int, TraitError, Unicode, link, validate

from mdissect.dissection import Dissection
from mdissect.explorer_data import EVERYTHING, WHICH, Found, Reading
from mdissect.explorer_notes import VerdictPanel
from mdissect.explorer_views import SHOWN_HEIGHT, TEXT, Picture, Pictures, caption_html, concept_bars_html, histogram_html

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mdissect.models import Dissector, Target
    from mdissect.notes import Notes
    from mdissect.probes import Probe

STATE = ("layer", "query", "neuron", "images", "overlay", "split")  # in the order in which a view is set up again


def explore(
    dissection: Dissection,
    *,
    probe: "Probe | None" = None,
    dissector: "Dissector | None" = None,
    target: "Target | None" = None,
    rule: str = "top",
    notes: "Notes | None" = None,
    state: Mapping | None = None,
) -> "Explorer":
    """Look at the neurons of a dissection one by one.

    Parameters
    ----------
    dissection : Dissection
    probe : Probe, optional
        Its images, found by their ids; without it grey tiles stand for them.
    dissector : Dissector, optional
        Understands searches for words that no concept has.
    target : Target, optional
        Shows where in an image a neuron answers.
    rule : str
        Of the threshold, see `mdissect.analysis.thresholds`.
    notes : Notes, optional
        Where readers' verdicts are kept; adds the panel to give them in, see `mdissect.notes`.
    state : mapping, optional
        `Explorer.state` of a view to open again; a part of it will do.

    Returns
    -------
    Explorer

    Raises
    ------
    TraitError
        A state that this dissection does not have, such as a neuron out of range.

    Examples
    --------
    >>> explorer = mdissect.explore(study.dissect("M"), probe=study.probe())     # doctest: +SKIP
    >>> explorer.query = "implant"                                              # doctest: +SKIP
    """
    explorer = Explorer(Reading(dissection, dissector, rule), Pictures(probe, target), notes)
    if state:
        explorer.state = state
    return explorer


class Explorer(widgets.VBox):
    """One neuron: its foremost concepts, its images, the spread of its activations. Made by `explore`.

    Attributes
    ----------
    layer, neuron
        Which one; both can be set.
    query : str
        Words; the neuron most similar to a concept that has them is chosen, the next ones are offered. "": no search.
    images : {"strongest", "weakest", "random"}
    overlay : bool
        Whether to show where in the images the neuron answers; needs a target.
    split : str
        A name of `splits`: into which groups of images the histogram is split.
    """

    layer = Unicode()
    neuron = Int()
    query = Unicode()
    images = Enum(WHICH, "strongest")
    overlay = Bool()
    split = Unicode(EVERYTHING)

    def __init__(self, reading: Reading, pictures: Pictures, notes: "Notes | None" = None, n_images: int = 8):
        self._reading, self._pictures, self._n_images, self._holds = reading, pictures, n_images, 1
        self._verdict = None if notes is None else VerdictPanel(notes)
        super().__init__()
        self.layer = reading.dissection.layers[-1]
        self._build()
        self._holds = 0
        self._show()

    @property
    def splits(self) -> list[str]:
        """What `split` may be."""
        return [EVERYTHING, *self._reading.splits]

    @property
    def found(self) -> Found:
        """What the search found in this layer."""
        return self._reading.search(self.layer, self.query)

    @property
    def state(self) -> dict:
        """The view as a small dict (of JSON's types); setting it, or a part of it, opens that view."""
        return {name: getattr(self, name) for name in STATE}

    @state.setter
    def state(self, state: Mapping) -> None:
        if strange := sorted(set(state) - set(STATE)):
            raise TraitError(f"a view has no {', '.join(strange)}; it has {', '.join(STATE)}")
        before = self.state
        with self._held():
            try:
                for name in STATE:
                    if name in state:
                        setattr(self, name, state[name])
            except TraitError:
                for name in STATE:
                    setattr(self, name, before[name])
                raise

    def figure(self) -> "Figure":
        """The same view as a static picture."""
        from mdissect.explorer_figure import draw_view

        edges, groups = self._reading.histogram(self.layer, self.neuron, self.split)
        table, pictures = self._seen()
        return draw_view(
            title=self._title(),
            concepts=self._concepts().assign(has_word=lambda concepts: concepts.concept.isin(self.found.concepts)),
            threshold=self._reading.threshold(self.layer),
            images=[(row, picture) for (_, row), picture in zip(table.iterrows(), pictures, strict=True)],
            histogram=(edges, groups, self.split),
        )

    @validate("layer")
    def _check_layer(self, proposal) -> str:
        layers = self._reading.dissection.layers
        if proposal.value not in layers:
            raise TraitError(f"layer {proposal.value!r} was not dissected; there are {', '.join(layers)}")
        return proposal.value

    @validate("neuron")
    def _check_neuron(self, proposal) -> int:
        n_neurons = self._reading.n_neurons(self.layer)
        if not 0 <= proposal.value < n_neurons:
            raise TraitError(f"neuron {proposal.value} is not in layer {self.layer!r}, whose neurons are 0 to {n_neurons - 1}")
        return proposal.value

    @validate("split")
    def _check_split(self, proposal) -> str:
        if proposal.value not in self.splits:
            raise TraitError(f"the images cannot be split by {proposal.value!r}; there are {', '.join(self.splits)}")
        return proposal.value

    @validate("overlay")
    def _check_overlay(self, proposal) -> bool:
        if proposal.value and self._pictures.target is None:
            raise TraitError("overlay needs the network itself: give explore() its target, such as load_target('demo/mammo')")
        return proposal.value

    def _build(self) -> None:
        """Make the controls, tie them to the traits, and lay everything out."""
        wide = widgets.Layout(width="auto", flex="1 1 auto")
        layers = self._reading.dissection.layers
        self._layers = widgets.Dropdown(options=layers, value=self.layer, description="layer")
        self._slider = widgets.IntSlider(description="neuron", continuous_update=False, readout=False, layout=wide)
        self._number = widgets.BoundedIntText(layout=widgets.Layout(width="80px"))
        steps = [widgets.Button(description=word, layout=widgets.Layout(width="90px")) for word in ("previous", "next")]
        self._search = widgets.Text(description="search", placeholder="implant", continuous_update=False)
        self._hits = widgets.Dropdown(description="found", layout=wide)
        self._images = widgets.Dropdown(options=WHICH, description="images")
        self._overlay = widgets.Checkbox(description="where it answers", disabled=self._pictures.target is None, indent=False)
        self._split = widgets.Dropdown(options=self.splits, description="split by")
        self._message, self._heading, self._bars, self._histogram = (widgets.HTML() for _ in range(4))
        self._tiles = [(widgets.Image(format="jpeg"), widgets.HTML()) for _ in range(self._n_images)]
        self._bound()
        for trait, control in (("layer", self._layers), ("neuron", self._slider), ("neuron", self._number)):
            link((self, trait), (control, "value"))
        for trait in ("images", "overlay", "split"):
            link((self, trait), (getattr(self, f"_{trait}"), "value"))
        link((self, "query"), (self._search, "value"))
        steps[0].on_click(lambda _: self._step(-1))
        steps[1].on_click(lambda _: self._step(1))
        self._hits.observe(lambda change: self._take_hit(change.new), "value")
        self.observe(self._changed, list(STATE))
        gallery = widgets.Box(
            [widgets.VBox(tile, layout=widgets.Layout(margin="0 8px 8px 0")) for tile in self._tiles],
            layout=widgets.Layout(flex_flow="row wrap", flex="1 1 auto", width="62%"),
        )
        self._bars.layout = widgets.Layout(width="38%", min_width="300px")
        self.children = [
            widgets.HBox([self._layers, self._slider, self._number, *steps]),
            widgets.HBox([self._search, self._hits]),
            self._message,
            self._heading,
            widgets.HBox([self._bars, gallery]),
            widgets.HBox([self._images, self._overlay, self._split]),
            self._histogram,
            *([self._verdict] if self._verdict else []),
        ]
        self.add_class("mdissect-explorer")

    def _bound(self) -> None:
        """Let slider and number reach as far as the layer."""
        self._slider.max = self._number.max = self._reading.n_neurons(self.layer) - 1

    def _changed(self, change) -> None:
        with self._held():
            if change.name == "layer":
                self.neuron = min(self.neuron, self._reading.n_neurons(self.layer) - 1)
                self._bound()
            if change.name in ("layer", "query") and len(found := self.found.neurons):
                self.neuron = int(found.neuron.iloc[0])

    def _step(self, by: int) -> None:
        self.neuron = min(max(self.neuron + by, 0), self._reading.n_neurons(self.layer) - 1)

    def _take_hit(self, neuron: int | None) -> None:
        if neuron is not None and not self._holds:
            self.neuron = neuron

    @contextmanager
    def _held(self) -> Iterator[None]:
        """Several changes, shown once."""
        self._holds += 1
        try:
            yield
        finally:
            self._holds -= 1
        if not self._holds:
            self._show()

    def _show(self) -> None:
        """Bring everything up to date: words and bars first, then pictures, each sent as soon as it is made."""
        self._show_found()
        self._heading.value = (
            f'<div class="mdissect-heading" style="{TEXT};font-size:16px;margin:2px 0 8px">{escape(self._title())}</div>'
        )
        self._bars.value = concept_bars_html(self._concepts(), self._reading.threshold(self.layer), self.found.concepts)
        if self._verdict:
            self._verdict.show(self.layer, self.neuron, "".join(self._concepts().concept[:1]))
        self._histogram.value = histogram_html(*self._reading.histogram(self.layer, self.neuron, self.split), self.split)
        table, pictures = self._seen()
        shown = zip(table.iterrows(), pictures, strict=True)
        for image, caption in self._tiles:
            row, picture = next(shown, (None, None))
            image.layout.display = caption.layout.display = "none" if row is None else None
            if row is not None:
                image.width, image.height = str(picture.shown_width), str(SHOWN_HEIGHT)
                image.value, caption.value = picture.jpeg, caption_html(row[1], picture)

    def _show_found(self) -> None:
        found = self.found
        hits = [(f"{row.neuron}: {row.concept} ({row.similarity:.2f})", int(row.neuron)) for row in found.neurons.itertuples()]
        self._holds += 1  # the list changes its value by itself, which nobody chose
        try:
            if self._hits.options != tuple(hits):
                self._hits.options = hits
            self._hits.value = self.neuron if self.neuron in [neuron for _, neuron in hits] else None
        finally:
            self._holds -= 1
        self._hits.disabled = not hits
        notes = [found.note, self._reading.note(self.layer, self.neuron)]
        if self.layer not in self._reading.dissection.activations:
            notes.append("This result has no activations (it was read from a CSV): neither images nor histogram can be shown.")
        self._message.value = f'<div style="{TEXT}">{"<br>".join(escape(note) for note in notes if note)}</div>'

    def _concepts(self) -> pd.DataFrame:
        return self._reading.concepts(self.layer, self.neuron)

    def _seen(self) -> tuple[pd.DataFrame, Iterator[Picture]]:
        """The images of the view, and their pictures, made one by one as they are asked for."""
        table = self._reading.images(self.layer, self.neuron, self.images, self._n_images)
        place = (self.layer, self.neuron) if self.overlay else None
        return table, (self._pictures.picture(image, place) for image in table.image)

    def _title(self) -> str:
        concepts, threshold = self._concepts(), self._reading.threshold(self.layer)
        name = f"{self.layer}, neuron {self.neuron}"
        if concepts.empty:
            return f"{name}: cannot be named"
        best = concepts.iloc[0]
        reach = "reaches" if best.similarity >= threshold else "does not reach"
        return f"{name}: {best.concept}, similarity {best.similarity:.2f}, which {reach} the threshold {threshold:.2f}"
