"""`explore`: a widget that shows one neuron at a time; its view can be shared, and drawn as a static figure."""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import ipywidgets as widgets
import pandas as pd

from mdissect.analysis import RULES
from mdissect.dissection import Dissection, shown_id
from mdissect.explorers.bars import bars_html, bars_of
from mdissect.explorers.blind import BlindReading
from mdissect.explorers.checks import of_each
from mdissect.explorers.controls import NeuronPicker, choice, search_box, set_options
from mdissect.explorers.figures import draw_neuron
from mdissect.explorers.gallery import Gallery, LargeImage
from mdissect.explorers.html import heading_html, histogram_html, lines_html, pointing_words
from mdissect.explorers.neuron_state import NeuronState
from mdissect.explorers.pictures import Picture, Pictures
from mdissect.explorers.reader_panel import HIDDEN
from mdissect.explorers.reading import EVERYTHING, WHICH, OfImage, Reading
from mdissect.explorers.saving import LABELS, SavePanel, save_labels, save_view, view_name
from mdissect.explorers.verdicts import Notes
from mdissect.signatures import validated

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mdissect.models import Dissector, Target
    from mdissect.probes import Probe

TILE_HEIGHT = 165


@validated(rule=RULES)
def explore(
    dissection: Dissection | Mapping[str, Dissection],
    *,
    probe: "Probe | Mapping[str, Probe | None] | None" = None,
    dissector: "Dissector | Mapping[str, Dissector | None] | None" = None,
    target: "Target | Mapping[str, Target | None] | None" = None,
    rule: str = "top",
    notes: Notes | None = None,
    trust: pd.DataFrame | Mapping[str, pd.DataFrame | None] | None = None,
    export: str | Path = "exports",
    state: Mapping | None = None,
) -> "Explorer":
    """A widget that shows the neurons of a dissection one by one.

    >>> explorer = mdissect.explore(study.dissect("M"), probe=study.probe())                    # doctest: +SKIP
    >>> explorer.query = "implant"                                                              # doctest: +SKIP

    Readers' verdicts are kept in a CSV file, a row per neuron and reader, when it is given:

    >>> notes = mdissect.explorers.Notes("build/verdicts.csv", result="M")                      # doctest: +SKIP
    >>> mdissect.explore(study.dissect("M"), probe=study.probe(), notes=notes)                  # doctest: +SKIP
    >>> notes.table                                                                             # doctest: +SKIP

    Parameters
    ----------
    dissection : Dissection, or mapping of model to Dissection
        Of several, one is chosen at a time. What follows may be a mapping too; a target or a trust table, which belong to one
        model, must be one then.
    probe : Probe, optional
        Its images, found by their ids; without it grey tiles are shown.
    dissector : Dissector, optional
        Understands searches for words that no concept has.
    target : Target, optional
        Shows where in an image a neuron responds.
    rule : str
        Of the threshold, see `mdissect.analysis.thresholds`.
    notes : Notes, optional
        Where readers' verdicts are kept; adds the panel to give them in. Of several models, each has its own verdicts in the
        same file, under its name. `Notes(..., blind=True)` hides labels, and all that gives them away, from a reader until they
        have saved words of their own on the neuron.
    trust : DataFrame, optional
        How far the labels can be trusted, shown beside them: what `dissection.labels(q=0.05, ...)` returns; not needed for a
        dissection that `Dissection.calibrated` made.
    export : path
        The folder that "save view" and "save labels" write to.
    state : mapping, optional
        `Explorer.state` of a view to open again; a part of it will do.

    Raises
    ------
    TraitError
        A state that this dissection does not have, such as a neuron out of range.
    ValueError
        A trust table of other neurons, or without its columns; no dissection, or a part given for a model that has none; notes
        on neurons that the dissection does not have.
    """
    found = dict(dissection) if isinstance(dissection, Mapping) else {"": dissection}
    given = {"probe": probe, "dissector": dissector, "target": target, "trust": trust}
    parts = {name: of_each(found, name, part) for name, part in given.items()}
    explorer = Explorer(
        {model: Reading(one, parts["dissector"][model], rule, parts["trust"][model]) for model, one in found.items()},
        {model: Pictures(parts["probe"][model], parts["target"][model]) for model in found},
        notes,
        export,
    )
    if state:
        explorer.state = state
    return explorer


class Explorer(BlindReading, NeuronState):
    """One neuron: its most similar concepts, its images, the spread of its activations. Made by `explore`.

    >>> explorer.layer, explorer.neuron, explorer.images = "bn2", 73, "weakest"                 # doctest: +SKIP

    Attributes
    ----------
    model, layer, neuron
        Which one; all can be set. The model of a single result is "".
    query : str
        Words; the neuron most similar to a concept that has them is chosen, the next ones are offered. "": no search.
    images : {"strongest", "weakest", "random"}
    overlay : bool
        Whether to show where in the images the neuron responds; needs a target.
    boxes : bool
        Whether to show the boxes of findings; needs a probe.
    split : str
        A name of `splits`: into which groups of images the histogram is split.
    enlarged : str
        The id of an image shown large, with its own strongest neurons, in place of the tiles; "": none.
    """

    PARTS: ClassVar = {
        "verdict": "model layer neuron",  # first: it says what is hidden
        "message": "model layer neuron query refused",
        "heading": "model layer neuron",
        "bars": "model layer neuron query",
        "histogram": "model layer neuron split",
        "images": "model layer neuron images overlay boxes enlarged",
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
        super().__init__(readings, pictures)
        self._take_notes(notes)
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
        narrow, one_model = widgets.Layout(width="auto"), "none" if len(self._readings) == 1 else None
        self._models = choice("model", self._readings, width="150px", display=one_model)
        self._layers, self._split = choice("layer", width="165px"), choice("split by", width="240px")
        self._search, self._hits, self._picker = search_box(), choice("found"), NeuronPicker(self._step)
        which = choice("images", WHICH, width="170px")
        self._overlay = widgets.Checkbox(description="activation map", indent=False, layout=narrow)
        self._boxes = widgets.Checkbox(description="annotations", indent=False, layout=widgets.Layout(width="auto"))
        controls = {"model": self._models, "layer": self._layers, "query": self._search, "images": which}
        controls |= {"overlay": self._overlay, "boxes": self._boxes, "split": self._split}
        for trait, control in controls.items():
            self._follow(trait, control)
        go_to, enlarge = partial(self._take, "neuron"), partial(self._take, "enlarged")
        self._follow("neuron", self._picker.slider, self._picker.number)
        self._chosen(self._hits, go_to)
        self._message, self._heading, self._bars, self._below, self._histogram = (widgets.HTML() for _ in range(5))
        self._bars.layout = widgets.Layout(width="38%", min_width="300px")
        self._gallery = Gallery(self._n_images, TILE_HEIGHT, lambda name: enlarge(self._aliases.get(name, name)), width="62%")
        self._large = LargeImage(lambda: enlarge(""), self._step_image, go_to)
        self._save = SavePanel(self.save_view, self.save_labels)
        children = [
            widgets.HBox([self._models, self._layers, self._search, self._hits]),
            self._picker,
            self._message,
            self._heading,
            widgets.HBox([self._bars, self._gallery, self._large]),
            widgets.HBox([which, self._overlay, self._boxes, self._split], layout=widgets.Layout(flex_flow="row wrap")),
            self._below,
            self._histogram,
            *([self._verdict] if self._verdict else []),
            self._save,
        ]
        self._open("mdissect-explorer", children)

    def _offer(self) -> None:
        trust, found = self.reading.trust, self.found.neurons
        hits = [
            (f"{n}: {concept} ({similarity:.2f}){trust.short(self.layer, n)}", int(n))
            for n, concept, similarity in found.itertuples(index=False)
        ]
        set_options(self._layers, self.reading.dissection.layers)
        set_options(self._split, self.splits)
        set_options(self._hits, hits)
        self._hits.value = self.neuron if self.neuron in set(found.neuron) else None
        self._hits.disabled = not hits
        self._picker.reach(self.reading.n_neurons(self.layer), self.neuron)
        self._overlay.disabled, self._boxes.disabled = self.pictures.target is None, self.pictures.probe is None

    def _step(self, by: int) -> None:
        self.neuron = min(max(self.neuron + by, 0), self.reading.n_neurons(self.layer) - 1)

    def _step_image(self, by: int) -> None:
        """Enlarge the next or previous of the images shown, in a circle."""
        shown = list(self._rows().image)
        at = shown.index(self.enlarged) + by if self.enlarged in shown else 0
        self.enlarged = shown[at % len(shown)]

    def _show_verdict(self) -> None:
        if self._verdict:
            self._verdict.show(self._notes[self.model], self.layer, self.neuron, self._label(), self._places)
            self._cover(of_others=(self._search, self._hits, self._save.labels), of_this=(self._split, self._boxes))

    def _show_message(self) -> None:
        first, *rest = _remarks(self.reading, self.pictures, self.layer, self.neuron)
        self._message.value = lines_html([self.refused, self.found.note, "" if self.hidden_label else first, *rest])

    def _show_heading(self) -> None:
        self._heading.value = heading_html(self.title, below=self._trust())

    def _show_bars(self) -> None:
        bars = bars_of(self._concepts(), bold=self.found.concepts)
        shown = "" if self.hidden_label else bars_html(bars, self.reading.threshold(self.layer))
        none = f"{HIDDEN[0].upper()}{HIDDEN[1:]}." if self.hidden_label else "This neuron cannot be named."
        self._bars.value = shown or lines_html([none])

    def _show_histogram(self) -> None:
        self._histogram.value = histogram_html(*self._histogram_groups(), self._split_shown())

    def _show_images(self) -> None:
        """The tiles, or the enlarged image in their place, and how often the strongest place lies in a box."""
        rows, large = self._rows(), self._large_view()
        self._gallery.layout.display = "none" if large else None
        self._large.layout.display = None if large else "none"
        if large:
            self._large.show(*large, self._position(rows))
            pictures = [large[1]]
        else:
            pictures = self._gallery.show(self._as_shown(rows), self._pictures_of(rows))
        self._below.value = lines_html([self._pointing(pictures)])

    def _concepts(self) -> pd.DataFrame:
        return self.reading.concepts(self.layer, self.neuron)

    def _label(self) -> str:
        return self.reading.label(self.layer, self.neuron)

    def _trust(self) -> str:
        return "" if self.hidden_label else self.reading.trust.words(self.layer, self.neuron, self._label())

    def _histogram_groups(self):
        return self.reading.histogram(self.layer, self.neuron, self._split_shown())

    def _pointing(self, pictures: list[Picture]) -> str:
        return pointing_words(pictures, self.overlay) if self.boxes and not self.hidden_label else ""

    def _images_title(self) -> str:
        """What a static picture's images are, and what is drawn over them."""
        over = ["activation in cyan (each image on its own scale)"] if self.overlay else []
        over += ["annotations in red"] if self.boxes and not self.hidden_label else []
        return "; ".join([f"{self.images} images", *over]).capitalize()

    def _rows(self) -> pd.DataFrame:
        """The images in view: `Reading.images`."""
        return self.reading.images(self.layer, self.neuron, self.images, self._n_images)

    def _place(self) -> tuple[str, int] | None:
        return (self.layer, self.neuron) if self.overlay else None

    def _pictures_of(self, rows: pd.DataFrame) -> Iterator[Picture]:
        """The pictures of the tiles, made one by one as they are asked for."""
        return self.pictures.gallery(rows.image, self._place(), self.boxes and not self.hidden_label, self._label())

    def _large_view(self) -> tuple[OfImage, Picture] | None:
        """The enlarged image, if there is one and this layer's activations are known."""
        if not self.enlarged or self.layer not in self.reading.dissection.activations:
            return None
        seen = self.reading.of_image(self.layer, self.neuron, self.enlarged)
        boxes, label = self.boxes and not self.hidden_label, self._label()
        picture = self.pictures.picture(self.enlarged, self._place(), boxes=boxes, large=True, label=label)
        return self._large_as_shown(seen), picture

    def _position(self, rows: pd.DataFrame) -> str:
        """Which of the images in view is enlarged."""
        shown = list(rows.image)
        number = f"{shown.index(self.enlarged) + 1} of" if self.enlarged in shown else "none of"
        return f"{number} the {len(shown)} {self.images}"


def _remarks(reading: Reading, pictures: Pictures, layer: str, neuron: int) -> list[str]:
    """Cautions about a neuron and the whole result."""
    dissection = reading.dissection
    remarks = [reading.note(layer, neuron), *reading.warnings]
    if absent := pictures.absent(dissection.probe_table.index):
        of = f"{absent} of the {len(dissection.probe_table)} images of this result"
        remarks.append(f"{of} are not in the probe {pictures.probe.name}: grey tiles stand for them.")
    if layer not in dissection.activations:
        why = "it was read from a CSV" if "source" in dissection.settings else "none were kept"
        remarks.append(f"This result has no activations ({why}): neither images nor histogram can be shown.")
    return remarks
