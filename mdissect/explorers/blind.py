"""A blind reading in the neuron explorer: the label and what gives it away are hidden until the reader has saved own words."""

from collections.abc import Iterable
from dataclasses import replace

import ipywidgets as widgets
import pandas as pd
from traitlets import TraitError

from mdissect.explorers.reader_panel import VerdictPanel
from mdissect.explorers.reading import EVERYTHING, OfImage
from mdissect.explorers.reading_list import Place
from mdissect.explorers.verdicts import Notes

NO_SEARCH = "This reading is blind: a search would tell labels."


class BlindReading:
    """What `Explorer` does for readers; stands before `NeuronPictures` among its bases.

    Whatever a part shows of the label in view (its words, its similarity, facts of the images) is left out while
    `hidden_label`, the labels of other neurons while `blind`.
    """

    def _take_notes(self, notes: Notes | None) -> None:
        """Make the panel, and each model's notes; ValueError for neurons that a model does not have."""
        self._verdict = None if notes is None else VerdictPanel(self._go_to, self._redraw_all)
        self._notes, self._aliases, self._orders = {}, {}, {}
        for model, reading in self._readings.items() if notes is not None else ():
            name = model if len(self._readings) > 1 else notes.result
            self._notes[model] = notes.of(reading.dissection.published, name)
            self._places_of(model)

    def _begin_study(self) -> None:
        """Begin with a neuron of the study, where that has not all of them."""
        places = self._places_of(self.model) if self._verdict else []
        if places and (self.layer, self.neuron) not in places:
            self.layer, self.neuron = next((place for place in places if place[0] == self.layer), places[0])

    def _study_here(self) -> set[int] | None:
        """The layer's neurons that are in the study; None: all are, or there is none."""
        if self._verdict is None:
            return None
        here = {neuron for layer, neuron in self._places_of(self.model) if layer == self.layer}
        return None if len(here) == self.reading.n_neurons(self.layer) else here

    @property
    def blind(self) -> bool:
        """Whether labels are hidden from the reader until they are judged; can be set where there are notes."""
        return self._verdict is not None and self._verdict.blind

    @blind.setter
    def blind(self, blind: bool) -> None:
        if self._verdict is None:
            raise TraitError("a blind reading needs notes to keep the reader's words in: give explore() its notes")
        self._verdict.blind_box.value = bool(blind)

    @property
    def hidden_label(self) -> bool:
        """Whether the label in view, and what gives it away, is hidden now."""
        return self._verdict is not None and self._verdict.hidden

    def _redraw_all(self) -> None:
        """Draw the view again after labels were hidden or shown."""
        self._shown = {}
        if self.blind and self.query:
            self.query = ""  # its hits are neurons by their labels; the change draws the view
        else:
            self._redraw()

    def _settle(self, name: str) -> None:
        if name == "query" and self.blind and self.query:
            self.query = ""
            self.refused = NO_SEARCH
        else:
            super()._settle(name)

    def _cover(self, of_others: Iterable[widgets.Widget], of_this: Iterable[widgets.Widget]) -> None:
        """Hide controls that tell the labels of other neurons, and of this one."""
        for control in of_others:
            control.layout.display = "none" if self.blind else None
        for control in of_this:
            control.layout.display = "none" if self.hidden_label else None

    def _verdicts_here(self) -> pd.DataFrame | None:
        """The verdicts on the layer in view: the reader's own and, of neurons that these are about, others' (blind: none).

        None without notes, or where they cannot be read.
        """
        if self._verdict is None:
            return None
        try:
            table = self._notes[self.model].table
        except (OSError, ValueError):  # the panel says so
            return None
        reader, table = self._verdict.reader.value.strip(), table[table.layer == self.layer]
        own = table.reader == reader
        judged = table.neuron.isin(table.neuron[own & (table.verdict != "")]) | (reader == "")
        return table[own if self.blind else own | judged]

    def _split_shown(self) -> str:
        return EVERYTHING if self.hidden_label else self.split

    def _places(self, reader: str) -> list[Place]:
        """The study's neurons in a reader's order."""
        return self._places_of(self.model, reader)

    def _places_of(self, model: str, reader: str = "") -> list[Place]:
        if (model, reader) not in self._orders:
            self._orders[model, reader] = self._ordered(model, reader)
        return self._orders[model, reader]

    def _ordered(self, model: str, reader: str) -> list[Place]:
        reading, notes = self._readings[model], self._notes[model]
        return notes.places(reading.dissection, reader, reading.counting if notes.named else None)

    def _go_to(self, layer: str, neuron: int) -> None:
        with self._held():
            self.layer = layer
            self.neuron, self.enlarged = neuron, ""

    def _as_shown(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Images as they are captioned: while the label is hidden, only by number, for their facts may tell it."""
        if not self.hidden_label:
            self._aliases = {}
            return rows
        numbered = rows[["image", "activation"]].assign(image=[f"image {i}" for i in range(1, len(rows) + 1)])
        self._aliases = dict(zip(numbered.image, rows.image, strict=True))
        return numbered

    def _large_as_shown(self, seen: OfImage) -> OfImage:
        """An enlarged image without what tells a label."""
        if self.blind:
            seen = replace(seen, neurons=seen.neurons.iloc[:0])
        if self.hidden_label:
            row = pd.concat([pd.Series({"image": "an image"}, dtype=object), seen.row[["activation", "deviations", "rank"]]])
            seen = replace(seen, row=row, concepts=seen.concepts.iloc[:0])
        return seen
