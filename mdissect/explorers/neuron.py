"""`explore`: a widget in which a neuron is looked in the eye; its view can be shared, and drawn as a static figure."""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import ipywidgets as widgets
import pandas as pd
from traitlets import link

from mdissect.dissection import Dissection
from mdissect.explorers.checks import of_each
from mdissect.explorers.figures import draw_view
from mdissect.explorers.gallery import STYLE, LargeImage, Tile
from mdissect.explorers.html import TEXT, concept_bars_html, histogram_html, neuron_heading_html, pointing_told, title_of
from mdissect.explorers.neuron_state import View
from mdissect.explorers.pictures import Picture, Pictures
from mdissect.explorers.reading import WHICH, OfImage, Reading
from mdissect.explorers.saving import LABELS, SavePanel, save_labels, save_view, view_name
from mdissect.explorers.verdicts import Notes, VerdictPanel

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mdissect.models import Dissector, Target
    from mdissect.probes import Probe

SHORT = {"description_width": "55px"}


def explore(
    dissection: Dissection | Mapping[str, Dissection],
    *,
    probe: "Probe | Mapping[str, Probe] | None" = None,
    dissector: "Dissector | Mapping[str, Dissector] | None" = None,
    target: "Target | Mapping[str, Target] | None" = None,
    rule: str = "top",
    notes: Notes | None = None,
    trust: pd.DataFrame | Mapping[str, pd.DataFrame] | None = None,
    export: str | Path = "exports",
    state: Mapping | None = None,
) -> "Explorer":
    """Look at the neurons of a dissection one by one.

    Parameters
    ----------
    dissection : Dissection, or mapping of model to Dissection
        Of several, one is chosen at a time. What follows may be a mapping too; a target or a trust table, which belong to one
        model, must be one then.
    probe : Probe, optional
        Its images, found by their ids; without it grey tiles stand for them.
    dissector : Dissector, optional
        Understands searches for words that no concept has.
    target : Target, optional
        Shows where in an image a neuron answers.
    rule : str
        Of the threshold, see `mdissect.analysis.thresholds`.
    notes : Notes, optional
        Where readers' verdicts are kept; adds the panel to give them in, see `mdissect.explorers.verdicts`. Of several
        models, each has its own verdicts in the same file, under its name.
    trust : DataFrame, optional
        What is known of the labels' worth, told beside them: what `dissection.labels(q=0.05, ...)` returns; that of a
        dissection that `Dissection.calibrated` made needs not be given.
    export : path
        The folder that "save view" and "save labels" write to.
    state : mapping, optional
        `Explorer.state` of a view to open again; a part of it will do.

    Returns
    -------
    Explorer

    Raises
    ------
    TraitError
        A state that this dissection does not have, such as a neuron out of range.
    ValueError
        A trust table of other neurons, or without its columns; no dissection, or a part given for a model that has none.

    Examples
    --------
    >>> explorer = mdissect.explore(study.dissect("M"), probe=study.probe())     # doctest: +SKIP
    >>> explorer.query = "implant"                                              # doctest: +SKIP
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


class Explorer(View):
    """One neuron: its foremost concepts, its images, the spread of its activations. Made by `explore`; its traits: `View`."""

    def __init__(
        self,
        readings: dict[str, Reading],
        pictures: dict[str, Pictures],
        notes: Notes | None = None,
        export: str | Path = "exports",
        n_images: int = 8,
    ):
        self._n_images, self._export = n_images, Path(export)
        self._verdict = None if notes is None else VerdictPanel(notes)
        each = len(readings) > 1 and notes is not None
        self._notes = {model: Notes(notes.path, model) if each else notes for model in readings}
        super().__init__(readings, pictures)
        self._build()
        self._lay_out()
        self._holds = 0
        self._refresh()

    def figure(self) -> "Figure":
        """The same view as a static picture."""
        edges, groups = self.reading.histogram(self.layer, self.neuron, self.split)
        table, large = self._images_in_view(), self._large_view()
        pictures = [] if large else list(self._gallery(table))
        shown = [large[1]] if large else pictures
        return draw_view(
            title="\n".join(filter(None, [self._title(), self._trust(), self._pointing(shown)])),
            concepts=self._concepts().assign(has_word=lambda concepts: concepts.concept.isin(self.found.concepts)),
            threshold=self.reading.threshold(self.layer),
            images=[(row, picture) for (_, row), picture in zip(table.iterrows(), pictures, strict=False)],
            histogram=(edges, groups, self.split),
            large=large,
        )

    def save_view(self, folder: str | Path | None = None) -> Path:
        """Write the view as PNG and SVG, its state and the result's settings beside them as JSON; returns the PNG's path.

        Raises
        ------
        OSError
            The folder (`export` of `explore` when None) cannot be written.
        """
        settings = {"view": self.state, "rule": self.reading.rule, "result": self.reading.dissection.settings}
        return save_view(self.figure(), Path(folder or self._export), view_name(self.state), settings)

    def save_labels(self, path: str | Path | None = None) -> Path:
        """Write the labels of all neurons as CSV, with what is known of their worth; returns the path.

        Raises
        ------
        OSError
            The file ("labels.csv" in `export` of `explore` when None) cannot be written.
        """
        return save_labels(self._readings, Path(path or self._export / LABELS))

    def _build(self) -> None:
        """Make the controls, and tie them to the traits."""
        wide, narrow = widgets.Layout(width="auto", flex="1 1 auto"), widgets.Layout(width="auto")
        several = None if len(self._readings) > 1 else "none"
        models, layers = list(self._readings), self.reading.dissection.layers
        self._models = _choice("model", models, self.model, width="150px", display=several)
        self._layers = _choice("layer", layers, self.layer, width="165px")
        self._search = widgets.Text(description="search", placeholder="implant", continuous_update=False, style=SHORT)
        self._search.layout.width = "200px"
        self._hits = widgets.Dropdown(description="found", style=SHORT, layout=widgets.Layout(flex="1 1 0", min_width="0"))
        self._slider = widgets.IntSlider(description="neuron", continuous_update=False, readout=False, style=SHORT, layout=wide)
        self._number = widgets.BoundedIntText(layout=widgets.Layout(width="80px"))
        self._steps = [widgets.Button(description=word, layout=widgets.Layout(width="90px")) for word in ("previous", "next")]
        self._images = _choice("images", WHICH, self.images, width="170px")
        self._overlay = widgets.Checkbox(description="where it answers", indent=False, layout=narrow)
        self._boxes = widgets.Checkbox(description="findings’ boxes", indent=False, layout=narrow)
        self._split = _choice("split by", self.splits, self.split, width="240px")
        self._message, self._heading, self._bars, self._below, self._histogram = (widgets.HTML() for _ in range(5))
        self._tiles = [Tile(self._enlarge) for _ in range(self._n_images)]
        self._large = LargeImage(lambda: self._enlarge(""), self._step_image, self._go_to)
        self._save = SavePanel(self.save_view, self.save_labels)
        self._bound()
        self._tie()

    def _lay_out(self) -> None:
        """Put everything in its place."""
        gallery = widgets.Layout(flex_flow="row wrap", align_content="flex-start", width="62%")
        self._gallery_box = widgets.Box(self._tiles, layout=gallery)
        self._bars.layout = widgets.Layout(width="38%", min_width="300px")
        self.children = [
            widgets.HTML(STYLE, layout=widgets.Layout(display="none")),
            widgets.HBox([self._models, self._layers, self._search, self._hits]),
            widgets.HBox([self._slider, self._number, *self._steps]),
            self._message,
            self._heading,
            widgets.HBox([self._bars, self._gallery_box, self._large]),
            widgets.HBox([self._images, self._overlay, self._boxes, self._split], layout=widgets.Layout(flex_flow="row wrap")),
            self._below,
            self._histogram,
            *([self._verdict] if self._verdict else []),
            self._save,
        ]
        self.add_class("mdissect-explorer")

    def _tie(self) -> None:
        """Let controls and traits follow each other."""
        for trait, control in (("model", self._models), ("neuron", self._slider), ("neuron", self._number)):
            link((self, trait), (control, "value"))
        for trait in ("images", "overlay", "boxes"):
            link((self, trait), (getattr(self, f"_{trait}"), "value"))
        link((self, "query"), (self._search, "value"))
        for trait, control in (("layer", self._layers), ("split", self._split), ("neuron", self._hits)):
            control.observe(lambda change, trait=trait: self._take(trait, change.new), "value")
        for button, by in zip(self._steps, (-1, 1), strict=True):
            button.on_click(lambda _, by=by: self._step(by))
        self.observe(self._changed, list(self.STATE))

    def _bound(self) -> None:
        """Let slider and number reach as far as the layer."""
        self._slider.max = self._number.max = self.reading.n_neurons(self.layer) - 1

    def _step(self, by: int) -> None:
        self.neuron = min(max(self.neuron + by, 0), self.reading.n_neurons(self.layer) - 1)

    def _go_to(self, neuron: int) -> None:
        self.neuron = neuron

    def _enlarge(self, image_id: str) -> None:
        self.enlarged = image_id

    def _step_image(self, by: int) -> None:
        """Enlarge the next or previous of the images in view, round and round."""
        shown = list(self._images_in_view().image)
        at = shown.index(self.enlarged) + by if self.enlarged in shown else 0
        self.enlarged = shown[at % len(shown)]

    def _take(self, trait: str, value: str | int | None) -> None:
        """Somebody chose from a list whose options change with the view."""
        if value is not None and not self._holds:
            setattr(self, trait, value)

    def _refresh(self) -> None:
        """Bring everything up to date: words and bars first, then pictures, each sent as soon as it is made."""
        self._offer()
        notes = [self.found.note, *remarks(self.reading, self.pictures, self.layer, self.neuron)]
        self._message.value = f'<div style="{TEXT}">{"<br>".join(escape(note) for note in notes if note)}</div>'
        for button, end in zip(self._steps, (0, self.reading.n_neurons(self.layer) - 1), strict=True):
            button.disabled = self.neuron == end
        self._heading.value = neuron_heading_html(self._title(), self._trust())
        self._bars.value = concept_bars_html(self._concepts(), self.reading.threshold(self.layer), self.found.concepts)
        if self._verdict:
            self._verdict.notes = self._notes[self.model]
            self._verdict.show(self.layer, self.neuron, "".join(self._concepts().concept[:1]))
        self._histogram.value = histogram_html(*self.reading.histogram(self.layer, self.neuron, self.split), self.split)
        told = self._pointing(self._show_pictures())
        self._below.value = f'<div class="mdissect-pointing" style="{TEXT}">{escape(told)}</div>'

    def _show_pictures(self) -> list[Picture]:
        """Show the tiles, or the enlarged image in their place; returns the pictures in view."""
        table, large = self._images_in_view(), self._large_view()
        self._gallery_box.layout.display = "none" if large else None
        if large:
            self._large.show(*large, self._position(table))
            return [large[1]]
        self._large.hide()
        shown = []
        for tile, (_, row), picture in zip(self._tiles, table.iterrows(), self._gallery(table), strict=False):
            tile.show(row, picture)
            shown.append(picture)
        for tile in self._tiles[len(shown) :]:
            tile.hide()
        return shown

    def _offer(self) -> None:
        """Let the lists offer what the view has, and show what it is."""
        found = self.found.neurons
        worth = {neuron: self.reading.trust.mark(self.layer, neuron) for neuron in found.neuron}
        hits = [(f"{n}: {concept} ({score:.2f}){worth[n]}", int(n)) for n, concept, score in found.itertuples(index=False)]
        hit = self.neuron if self.neuron in worth else None
        lists = ((self._layers, self.reading.dissection.layers, self.layer), (self._split, self.splits, self.split))
        self._holds += 1  # a list whose options change takes a value by itself, which nobody chose
        try:
            for control, options, value in (*lists, (self._hits, hits, hit)):
                if control.options != tuple(options):
                    control.options = options
                control.value = value
        finally:
            self._holds -= 1
        self._hits.disabled = not hits
        self._overlay.disabled, self._boxes.disabled = self.pictures.target is None, self.pictures.probe is None

    def _concepts(self) -> pd.DataFrame:
        return self.reading.concepts(self.layer, self.neuron)

    def _images_in_view(self) -> pd.DataFrame:
        return self.reading.images(self.layer, self.neuron, self.images, self._n_images)

    def _gallery(self, table: pd.DataFrame) -> Iterator[Picture]:
        """The pictures of the tiles, made one by one as they are asked for."""
        return self.pictures.gallery(table.image, self._place(), self.boxes)

    def _large_view(self) -> tuple[OfImage, Picture] | None:
        """The enlarged image, if there is one and this layer's activations are known."""
        if not self.enlarged or self.layer not in self.reading.dissection.activations:
            return None
        seen = self.reading.of_image(self.layer, self.neuron, self.enlarged)
        return seen, self.pictures.picture(self.enlarged, self._place(), boxes=self.boxes, large=True)

    def _place(self) -> tuple[str, int] | None:
        return (self.layer, self.neuron) if self.overlay else None

    def _position(self, table: pd.DataFrame) -> str:
        """Which of the images in view is enlarged."""
        shown = list(table.image)
        number = f"{shown.index(self.enlarged) + 1} of" if self.enlarged in shown else "none of"
        return f"{number} the {len(shown)} {self.images}"

    def _pointing(self, pictures: list[Picture]) -> str:
        return pointing_told(pictures) if self.boxes else ""

    def _trust(self) -> str:
        return self.reading.trust.told(self.layer, self.neuron, "".join(self._concepts().concept[:1]))

    def _title(self) -> str:
        layer = f"{self.model}, {self.layer}" if self.model else self.layer
        return title_of(layer, self.neuron, self._concepts(), self.reading.threshold(self.layer))


def _choice(description: str, options: Sequence[str], value: str, **layout) -> widgets.Dropdown:
    return widgets.Dropdown(options=options, value=value, description=description, style=SHORT, layout=widgets.Layout(**layout))


def remarks(reading: "Reading", pictures: "Pictures", layer: str, neuron: int) -> list[str]:
    """What must be said of a neuron and of the whole result before one looks at them."""
    dissection = reading.dissection
    told = [reading.note(layer, neuron), *reading.warnings]
    if absent := pictures.absent(dissection.probe_table.index):
        of = f"{absent} of the {len(dissection.probe_table)} images of this result"
        told.append(f"{of} are not in the probe {pictures.probe.name}: grey tiles stand for them.")
    if layer not in dissection.activations:
        why = "it was read from a CSV" if "source" in dissection.settings else "none were kept"
        told.append(f"This result has no activations ({why}): neither images nor histogram can be shown.")
    return told
