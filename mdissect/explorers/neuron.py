"""The widget that shows one neuron at a time; its view can be shared, and drawn as a static figure."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import ipywidgets as widgets
import pandas as pd

from mdissect.browser import HistogramPlot
from mdissect.dissection import shown_id
from mdissect.explorers.bars import bars_html, bars_of, listed_html
from mdissect.explorers.beside import Beside
from mdissect.explorers.blind import BlindReading
from mdissect.explorers.controls import NeuronPicker, choice, pictures_layout, search_box, set_options, stretching, wrapping
from mdissect.explorers.gallery import Gallery, LargeImage
from mdissect.explorers.glossary import explained, terms
from mdissect.explorers.heads import Heads
from mdissect.explorers.html import heading_html, lines_html, spread_of
from mdissect.explorers.image_controls import ImageControls
from mdissect.explorers.neuron_pictures import NeuronPictures
from mdissect.explorers.neuron_state import MOST_HITS
from mdissect.explorers.neuron_table import NeuronTable
from mdissect.explorers.offers import N_IMAGES, Offers
from mdissect.explorers.own_image import Given, OwnImagePanel
from mdissect.explorers.pictures import Picture, Pictures
from mdissect.explorers.reader_panel import HIDDEN
from mdissect.explorers.reading import EVERYTHING, Reading, nearest_images
from mdissect.explorers.saving import LABELS, SavePanel, save_labels, save_view, view_name
from mdissect.explorers.verdicts import Notes

if TYPE_CHECKING:
    from matplotlib.figure import Figure


ELSEWHERE = -1  # in the list of hits: the neuron in view is none of them


class Explorer(BlindReading, NeuronPictures):
    """One neuron: its most similar concepts, its images, the spread of its activations. Made by `explore`.

    >>> explorer.layer, explorer.neuron, explorer.images = "bn2", 73, "weakest"                 # doctest: +SKIP

    Attributes
    ----------
    model, layer, neuron
        Which one; all can be set. The model of a single result is "".
    query : str
        Words; the neuron most similar to a concept that has them is chosen, the next ones are offered. "": no search.
    images : {"strongest", "quantiles", "weakest", "random", "hard negatives", "misses"}
        "quantiles" are spread over the range of activation; "hard negatives" are the strongest images without the label's
        concept, "misses" the weakest with it, where the probe's truth or findings know the concept.
    all_images : bool
        Whether to show as many images as the label rests on, not only the first 8.
    each_patient : bool
        Whether to show one image of each patient alone.
    span : list
        Two activations: the images between are shown instead, as when a bin of the histogram is clicked; [] for none.
    tile : int
        Height of the pictures, in pixels.
    overlay : bool
        Whether to show where in the images the neuron responds, on one scale per neuron; needs a target.
    overlay_of : {"neuron", "text"}
        "text": the overlay shows where the text searched for, or else the label, is seen by the factor given to `explore`, each
        image on its own scale.
    opacity, contour : int, bool
        Of the activation map: how much it covers, in per cent, and whether it is drawn as lines.
    boxes : bool
        Whether to show the boxes of findings; needs a probe.
    split : str
        A name of `splits`: into which groups of images the histogram is split.
    enlarged : str
        The id of an image shown large, with its own strongest neurons, in place of the tiles; "": none.
    own_image : OwnImagePanel
        Takes an image of one's own (`own_image.take(path)`), and holds what is found for it in its tables.
    every_hit : bool
        Whether to list all neurons of a search rather than the 50 most similar.
    """

    PARTS: ClassVar = {
        "verdict": "model layer neuron",  # first: it says what is hidden
        "message": "model layer neuron query every_hit refused",
        "offers": "model query",
        "own": "model",
        "heading": "model layer neuron",
        "bars": "model layer neuron query",
        "histogram": "model layer neuron split",
        "controls": "model layer neuron images all_images each_patient overlay text enlarged",
        "images": "model layer neuron images all_images each_patient span tile overlay text opacity contour boxes enlarged",
        "table": "model layer neuron",
        "beside": "model layer neuron",
    }

    def __init__(
        self,
        readings: dict[str, Reading],
        pictures: dict[str, Pictures],
        notes: Notes | None = None,
        export: str | Path = "exports",
        n_images: int = 8,
    ):
        self._n_images, self._export = n_images, Path(export)
        found = {model: reading.dissection for model, reading in readings.items()}
        self._heads = Heads(found, pictures)
        super().__init__(readings, pictures)
        self._take_notes(notes)
        self._begin_study()
        self._build()

    @property
    def title(self) -> str:
        """The neuron's label, and whether that reaches the threshold."""
        name = f"{self.model}, " * bool(self.model) + f"layer {self.layer}, neuron {self.neuron}"
        if self.hidden_label:
            return f"{name}: {HIDDEN}"
        best, threshold = self._concepts().head(1), self.reading.threshold(self.layer)
        if best.empty:
            return f"{name}: cannot be named"
        similarity = best.similarity[0]
        reach = "above" if similarity >= threshold else "below"
        return f"{name}: {best.concept[0]}, similarity {similarity:.2f} ({reach} threshold {threshold:.2f})"

    def figure(self) -> "Figure":
        """The same view as a static picture."""
        from mdissect.explorers.figures import draw_neuron  # matplotlib, which looking on a screen does without

        rows, large = self._rows(), self._large_view()
        pictures = [large[1]] if large else list(self._pictures_of(rows))
        rows, concepts = self._as_shown(rows), self._concepts()
        return draw_neuron(
            title="\n".join(filter(None, [self.title, self._trust(), self._pointing(pictures)])),
            concepts=HIDDEN if self.hidden_label else concepts.assign(has_word=concepts.concept.isin(self.found.concepts)),
            threshold=self.reading.threshold(self.layer),
            images=[] if large else [(row, picture) for (_, row), picture in zip(rows.iterrows(), pictures, strict=True)],
            histogram=(*self._histogram_groups(), self._split_shown()),
            large=large,
            images_title=self._images_title(),
        )

    def save_view(self, folder: str | Path | None = None) -> Path:
        """Write the view as PNG and SVG, its state and the result's settings beside them as JSON; returns the PNG's path.

        Only their owner can read them. Where an image's id holds that of its patient, "patient" stands in its place.

        Raises
        ------
        OSError
            The folder (`export` of `explore` when None) cannot be written.
        """
        dissection, state = self.reading.dissection, self.state
        if self.hidden_label:
            state |= {"enlarged": "an image" * bool(self.enlarged), "split": EVERYTHING, "boxes": False}
        elif "patient" in dissection.probe_table and self.enlarged:
            state["enlarged"] = shown_id(self.enlarged, dissection.probe_table.patient[self.enlarged])
        settings = {"view": state, "rule": self.reading.rule, "result": dissection.settings}
        return save_view(self.figure(), Path(folder or self._export), view_name(state), settings)

    def save_labels(self, path: str | Path | None = None) -> Path:
        """Write the labels of all neurons as CSV, see `mdissect.explorers.labels_table`; returns the path.

        Raises
        ------
        OSError
            The file ("labels.csv" in `export` of `explore` when None) cannot be written.
        ValueError
            The reading is blind.
        """
        if self.blind:
            raise ValueError("this reading is blind; labels can be saved when it is over")
        return save_labels(self._readings, Path(path or self._export / LABELS))

    def _build(self) -> None:
        """Make the controls, tie them to the traits, and lay everything out."""
        self._table, self._beside = NeuronTable(), Beside(self._go)
        one_model = "none" if len(self._readings) == 1 else None
        self._models = choice("model", self._readings, width="150px", display=one_model)
        self._layers, self._split = choice("layer", width="165px"), choice("split by", width="240px")
        self._search, self._hits, self._picker = search_box(), choice("found"), NeuronPicker(self._step)
        self._hits.layout = stretching("300px")
        self._image_controls = over = ImageControls(self.measure_scale)
        self._overlay, self._boxes = over.overlay, over.boxes
        controls = {"model": self._models, "layer": self._layers, "query": self._search, "split": self._split}
        controls |= {
            "images": over.which,
            "all_images": over.all,
            "each_patient": over.each,
            "tile": over.tile,
            "overlay": over.overlay,
        }
        controls |= {"overlay_of": over.overlay_of, "opacity": over.opacity, "contour": over.contour, "boxes": over.boxes}
        for trait, control in controls.items():
            self._follow(trait, control)
        go_to, enlarge = partial(self._take, "neuron"), partial(self._take, "enlarged")
        self._follow("neuron", self._picker.slider, self._picker.number)
        self._chosen(self._hits, lambda neuron: neuron == ELSEWHERE or go_to(neuron))
        self._search_by("query", self._search)
        self._every = widgets.Checkbox(description="all", indent=False, layout=widgets.Layout(width="auto"))
        self._follow("every_hit", self._every)
        self._offers = Offers(partial(self._take, "query"), self._images_of_words, enlarge)
        self.own_image = OwnImagePanel(self._go_to)
        self._message, self._heading, self._bars, self._below = (widgets.HTML() for _ in range(4))
        self._histogram = HistogramPlot()
        self._histogram.observe(self._take_bin, "chosen")
        self._bars.layout = widgets.Layout(flex="38 1 300px", min_width="0")
        self._heading.add_class("mdissect-live")
        self._table.on_choose(go_to)
        self._table.on_open(go_to)
        if self._verdict:
            self._verdict.kept = self._show_table
        self._gallery = Gallery(self._n_images, enlarge=lambda name: enlarge(self._aliases.get(name, name)))
        self._large = LargeImage(lambda: enlarge(""), self._step_image, go_to, enlarge)
        pictures = widgets.VBox([over, self._below, self._gallery, self._large], layout=pictures_layout())
        self._save = SavePanel(self.save_view, self.save_labels)
        saved = widgets.HBox([self._save, self._copy], layout=wrapping(align_items="center"))
        children = [
            widgets.HBox([self._models, self._layers, self._search, self._hits, self._every], layout=wrapping()),
            self._table,
            self._picker,
            self._message,
            self._offers,
            self._heading,
            widgets.HBox([self._bars, pictures], layout=wrapping()),
            widgets.HBox([self._split], layout=wrapping()),
            self._histogram,
            self._beside,
            self.own_image,
            *([self._verdict] if self._verdict else []),
            saved,
        ]
        self._open("mdissect-explorer", children)

    def _offer(self) -> None:
        trust, found = self.reading.trust, self.found.neurons
        hits = [
            (f"{n}: {concept} ({similarity:.2f}){trust.short(self.layer, n, concept)}", int(n))
            for n, concept, similarity in found.itertuples(index=False)
        ]
        set_options(self._layers, self.reading.dissection.layers)
        set_options(self._split, self.splits)
        here = self.neuron in set(found.neuron)
        elsewhere = [(f"neuron {self.neuron} is not among the {len(hits)} hits", ELSEWHERE)] if hits and not here else []
        set_options(self._hits, [*elsewhere, *hits])
        self._hits.value = self.neuron if here else ELSEWHERE if hits else None
        self._hits.disabled = not hits
        self._every.description = f"all {self.found.total}"
        self._every.layout.display = None if self.found.total > MOST_HITS and not self.blind else "none"
        self._picker.reach(self.reading.n_neurons(self.layer), self.neuron)
        self._image_controls.each.layout.display = None if self.reading.several else "none"
        self._overlay.disabled, self._boxes.disabled = self.pictures.target is None, self.pictures.probe is None
        self._image_controls.contour.disabled = not self.overlay
        self._image_controls.overlay_of.layout.display = "none" if self.pictures.factor is None else None

    def _go(self, model: str, layer: str, neuron: int) -> None:
        """Show a neuron of any model."""
        self.state = {"model": model, "layer": layer, "query": "", "neuron": neuron}

    def _step(self, by: int) -> None:
        self.neuron = min(max(self.neuron + by, 0), self.reading.n_neurons(self.layer) - 1)

    def _show_verdict(self) -> None:
        if self._verdict:
            self._verdict.show(self._notes[self.model], self.layer, self.neuron, self._label(), self._places)
            others = (self._search, self._hits, self._offers, self.own_image, self._save.labels)
            self._cover(of_others=others, of_this=(self._split, self._boxes))

    def _show_message(self) -> None:
        first, *rest = _remarks(self.reading, self.pictures, self.layer, self.neuron)
        self._message.value = lines_html([self.refused, self.found.note, "" if self.hidden_label else first, *rest])

    def _show_offers(self) -> None:
        self._offers.show(self.found.match, self.query, self.model)

    def _show_own(self) -> None:
        target, probe = self.pictures.target, self.pictures.probe
        self.own_image.use(Given(self.reading, target, self.reading.words.dissector, probe))

    def _images_of_words(self, words: str) -> tuple[pd.DataFrame, Iterator[Picture]]:
        """The images nearest to words by the dissector, and their pictures."""
        rows = nearest_images(self.reading.words, self.reading.dissection, words, N_IMAGES)
        return rows, self.pictures.gallery(rows.image)

    def _show_heading(self) -> None:
        explain = partial(explained, known=terms(self.reading))
        self._heading.value = heading_html(self.title, below=self._trust(), explain=explain)

    def _show_bars(self) -> None:
        bars = bars_of(self._concepts(), bold=self.found.concepts)
        shown = "" if self.hidden_label else bars_html(bars, self.reading.threshold(self.layer))
        none = f"{HIDDEN[0].upper()}{HIDDEN[1:]}." if self.hidden_label else "This neuron cannot be named."
        self._bars.value = shown or lines_html([none])

    def _still(self) -> str:
        bars = [] if self.hidden_label else bars_of(self._concepts())
        return super()._still() + listed_html(bars, self.reading.threshold(self.layer))

    def _show_table(self) -> None:
        self._table.show_layer(self.reading, self.layer, terms(self.reading), self.blind, self._study_here())
        self._table.mark(self.neuron, self._verdicts_here())

    def _show_beside(self) -> None:
        place = self.model, self.layer, self.neuron
        self._beside.show(self._readings, place, self.hidden_label, self.blind, self._heads.words(*place))

    def _show_histogram(self) -> None:
        self._histogram.spread = spread_of(*self._histogram_groups(), self._split_shown())

    def _concepts(self) -> pd.DataFrame:
        return self.reading.concepts(self.layer, self.neuron)

    def _label(self) -> str:
        return self.reading.label(self.layer, self.neuron)

    def _trust(self) -> str:
        return "" if self.hidden_label else self.reading.trust.words(self.layer, self.neuron, self._label())

    def _histogram_groups(self):
        return self.reading.histogram(self.layer, self.neuron, self._split_shown())


def _remarks(reading: Reading, pictures: Pictures, layer: str, neuron: int) -> list[str]:
    """Cautions about a neuron and the whole result."""
    dissection = reading.dissection
    remarks = [reading.note(layer, neuron), *reading.warnings]
    if absent := pictures.absent(dissection.probe_table.index):
        of = f"{absent} of the {len(dissection.probe_table)} images of this result"
        remarks.append(f"{of} are not in the probe {pictures.probe.name}: grey tiles stand for them.")
    if reading.strongest_alone(layer):
        kept = f'Of each neuron only the {reading.images_kept(layer)} strongest images were kept (keep="top")'
        remarks.append(f"{kept}: no others, no histogram, and no similar neurons can be shown.")
    elif layer not in dissection.activations:
        why = "it was read from a CSV" if "source" in dissection.settings else "none were kept"
        remarks.append(f"This result has no activations ({why}): neither images nor histogram can be shown.")
    return remarks
