"""The state of the neuron explorer, as traits that are checked and kept consistent."""

from traitlets import Bool, Enum, Float, Int, List, TraitError, Unicode, validate

from mdissect.explorers.choosing import WHICH
from mdissect.explorers.pictures import Pictures
from mdissect.explorers.reading import EVERYTHING, Found, Reading
from mdissect.explorers.view import View, checked, neuron_in

TILE_HEIGHT = 230  # of a picture, in pixels: two rows of four beside the bars on a usual screen
NEURON, TEXT = OVERLAYS = ("neuron", "text")  # what an activation map shows: where it responds, or where the text is seen
MOST_HITS = 50  # neurons listed of a search, unless all are asked for


class NeuronState(View):
    """The traits of `Explorer`, which describes them."""

    STATE = (
        "model", "layer", "query", "neuron", "images", "all_images", "each_patient", "span", "tile", "overlay", "overlay_of",
        "opacity", "contour", "boxes", "split", "enlarged", "every_hit",
    )  # fmt: skip

    model = Unicode()
    layer = Unicode()
    neuron = Int()
    query = Unicode()
    images = Enum(WHICH, "strongest")
    all_images = Bool()
    each_patient = Bool()
    span = List(Float())
    tile = Int(TILE_HEIGHT, min=90, max=480)
    overlay = Bool()
    overlay_of = Enum(OVERLAYS, NEURON)
    opacity = Int(60, min=5, max=100)
    contour = Bool()
    boxes = Bool()
    split = Unicode(EVERYTHING)
    enlarged = Unicode()
    every_hit = Bool()

    def __init__(self, readings: dict[str, Reading], pictures: dict[str, Pictures]):
        self._readings, self._pictures = readings, pictures
        super().__init__()
        self.model = next(iter(readings))
        self.layer = self.reading.dissection.layers[-1]

    @property
    def reading(self) -> Reading:
        """The tables of the model in view."""
        return self._readings[self.model]

    @property
    def pictures(self) -> Pictures:
        """The pictures of the model in view."""
        return self._pictures[self.model]

    @property
    def splits(self) -> list[str]:
        """What `split` may be."""
        return [EVERYTHING, *self.reading.splits]

    @property
    def found(self) -> Found:
        """What the search found in this layer."""
        return self.reading.search(self.layer, self.query, None if self.every_hit else MOST_HITS)

    _check_model = checked("model", lambda view: view._readings)
    _check_layer = checked("layer", lambda view: view.reading.dissection.layers)
    _check_split = checked("split", lambda view: view.splits)

    @validate("neuron")
    def _check_neuron(self, proposal) -> int:
        return neuron_in(proposal.value, self.reading.n_neurons(self.layer), self.layer)

    @validate("span")
    def _check_span(self, proposal) -> list[float]:
        if proposal.value and (len(proposal.value) != 2 or not proposal.value[0] <= proposal.value[1]):
            raise TraitError(f"span={proposal.value}: give two activations, the smaller first, or [] for none")
        return proposal.value

    @validate("overlay")
    def _check_overlay(self, proposal) -> bool:
        if proposal.value and self.pictures.target is None:
            raise TraitError("overlay needs the network itself: give explore() its target, such as load_target('demo/mammo')")
        return proposal.value

    @validate("overlay_of")
    def _check_overlay_of(self, proposal) -> str:
        if proposal.value == TEXT and self.pictures.factor is None:
            raise TraitError(
                "overlay_of='text' needs a trained Mammo-FActOR: give explore() its factor, see train.train_factor"
            )
        return proposal.value

    @validate("boxes")
    def _check_boxes(self, proposal) -> bool:
        if proposal.value and self.pictures.probe is None:
            raise TraitError("boxes need the images they are in: give explore() its probe")
        return proposal.value

    @validate("each_patient")
    def _check_each_patient(self, proposal) -> bool:
        if proposal.value and not self.reading.several:
            raise TraitError(
                "each_patient: no patient is known to have several images; the probe's table needs the column patient"
            )
        return proposal.value

    @validate("enlarged")
    def _check_enlarged(self, proposal) -> str:
        if proposal.value and proposal.value not in self.reading.dissection.probe_table.index:
            raise TraitError(f"image {proposal.value!r} cannot be enlarged: it is not among the images of this dissection")
        return proposal.value

    def _settle(self, name: str) -> None:
        if name == "model":  # leave what it does not have
            layers = self.reading.dissection.layers
            self.layer = self.layer if self.layer in layers else layers[-1]
            self.split = self.split if self.split in self.splits else EVERYTHING
            self.overlay = self.overlay and self.pictures.target is not None
            self.overlay_of = self.overlay_of if self.pictures.factor is not None else NEURON
            self.boxes = self.boxes and self.pictures.probe is not None
            self.each_patient = self.each_patient and self.reading.several
            self.enlarged = self.enlarged if self.enlarged in self.reading.dissection.probe_table.index else ""
        if name in ("model", "layer", "neuron", "images"):
            self.span = []  # the bin of another histogram
        if name in ("model", "layer"):
            self.neuron = min(self.neuron, self.reading.n_neurons(self.layer) - 1)
        if name in ("model", "layer", "query") and len(found := self.found.neurons) and self.found.near:
            self.neuron = int(found.neuron.iloc[0])
