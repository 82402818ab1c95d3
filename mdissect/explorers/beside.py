"""What stands beside a neuron: what its top images share, the neurons that go together with it, what the numbers mean."""

from collections.abc import Callable, Mapping

import ipywidgets as widgets

from mdissect.explorers.glossary import terms, terms_html
from mdissect.explorers.html import lines_html
from mdissect.explorers.neuron_table import SimilarTable
from mdissect.explorers.reading import Reading
from mdissect.explorers.similar import similar_neurons

NONE_SHARED = "Nothing in the probe’s table is more frequent among the top images than among all images."


class Beside(widgets.VBox):
    """Below the pictures of a neuron; `open` is called with the model, layer and number of another that is chosen."""

    def __init__(self, open: Callable[[str, str, int], None]):
        self.shared, self.title, self.terms = (widgets.HTML() for _ in range(3))
        self.similar = SimilarTable(open)
        super().__init__([self.shared, self.title, self.similar, self.terms])

    def show(
        self, readings: Mapping[str, Reading], place: tuple[str, str, int], hidden: bool, blind: bool, weights: str = ""
    ) -> None:
        """Show what is known of a neuron of a model and layer; `hidden`: nothing that tells its label; `blind`: no others'.

        `weights`: those of the neuron in a classifier's scores, in words.
        """
        model, layer, neuron = place
        shared, reading = "" if hidden else readings[model].shared(layer, neuron), readings[model]
        asked = reading.images_kept(layer) and len(reading.dissection.probe_table.columns) and not hidden
        scores = f"Weight in the class scores: {weights}." * bool(weights and not hidden)
        self.shared.value = lines_html([f"The top images share: {shared}." if shared else NONE_SHARED * bool(asked), scores])
        found = similar_neurons(readings, model, layer, neuron)
        known = layer in readings[model].dissection.activations
        none = "No other neuron’s activations go together with this one’s." if known else ""
        self.title.value = lines_html([none if found.empty else "Similar neurons (activations)"], bold=not found.empty)
        self.similar.layout.display = "none" if found.empty else None
        self.similar.show_similar(found, len(readings) > 1, blind)
        self.terms.value = "" if hidden else terms_html(terms(readings[model]))
