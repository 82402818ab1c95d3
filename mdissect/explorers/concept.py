"""`explore_concepts`: a widget that shows the neurons, layers and models with a concept."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar

import ipywidgets as widgets
import numpy as np
import pandas as pd
from traitlets import List, TraitError, Unicode, validate

from mdissect.explorers.bars import Bar, summary_html
from mdissect.explorers.controls import (
    category_options,
    choice,
    pictures_layout,
    search_box,
    set_options,
    with_all,
    wrapping,
)
from mdissect.explorers.gallery import Gallery
from mdissect.explorers.html import heading_html, lines_html
from mdissect.explorers.listed import ListedTable
from mdissect.explorers.offers import N_IMAGES, Offers
from mdissect.explorers.opening import OPENED, Opening
from mdissect.explorers.pictures import Picture, Pictures
from mdissect.explorers.reading import nearest_images
from mdissect.explorers.search import Match
from mdissect.explorers.sides import SideBySide
from mdissect.explorers.view import checked, neuron_in, one_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mdissect.explorers.verdicts import Notes

ROWS, TILES = 10, 8  # neurons in a static picture, images
MOST_LISTED = 500
ALL = "all of them"


class ConceptExplorer(Opening):
    """A concept or a category: its share of each layer, nearest neurons and images. Made by `explore_concepts`.

    >>> explorer.category = "Breast implants"                                                   # doctest: +SKIP
    >>> explorer.neurons                                                                        # doctest: +SKIP

    Attributes
    ----------
    sides : SideBySide
        The tables that it is made of.
    query : str
        Words; what is found is in view, all of it or the one concept that is chosen of it. "": no search.
    category : str
        A category or broad category, whose concepts are offered; "": all. A category and a search replace each other.
    concept : str
        One concept; "": all those of the category, or all that the search found.
    model, layer : str
        Whose neurons are listed; "": all. `layer` is one of `layers`.
    neuron : list
        [model, layer, number]: the neuron whose strongest images are shown. []: the images most similar to the concept, or,
        of several concepts, the images of the first neuron in the list.
    overlay, opened
        Whether to show where in its images the neuron responds; the neuron explorer’s state while it is open (`open_neuron`).
    """

    STATE = ("query", "category", "concept", "model", "layer", "neuron", *OPENED)
    PARTS: ClassVar = {
        "opened": "opened",
        "message": "query refused",
        "offers": "query model",
        "heading": "query category concept",
        "summary": "query category concept",
        "list": "query category concept model layer",
        "chosen": "query category concept model layer neuron",
        "images": "query category concept model layer neuron overlay",
    }
    STILL: ClassVar = ("_heading", "_summary")
    BACK = "back to the concept"

    query = Unicode()
    category = Unicode()
    concept = Unicode()
    model = Unicode()
    layer = Unicode()
    neuron = List()

    def __init__(self, sides: SideBySide, pictures: Mapping[str, Pictures], notes: "Notes | None" = None):
        self._before = ("", Match())  # the last search that found something, shown on while another finds nothing
        super().__init__(sides, pictures, notes)
        self._build()

    @property
    def layers(self) -> list[str]:
        """What `layer` may be: a name for each depth."""
        return self.sides.layers

    @property
    def found(self) -> Match:
        """What the search found."""
        return self.sides.words(self.query)

    @property
    def _meant(self) -> Match:
        """What is shown of a search: what it found, or what the one before did."""
        return self._before[1] if self.query.strip() and not self.found.concepts else self.found

    @property
    def offered(self) -> list[str]:
        """The concepts to choose from: those found, or those of the category."""
        if self._meant.concepts:
            return list(self._meant.concepts)
        return self.sides.names(self.sides.members(category=self.category))

    @property
    def summary(self) -> pd.DataFrame:
        """model, layer, neurons, share, best, threshold: neurons with the concepts shown, see `SideBySide.summary`."""
        return self.sides.summary(self._members())

    @property
    def neurons(self) -> pd.DataFrame:
        """The neurons listed, 500 at most: the table of `SideBySide.neurons`."""
        return self._listed()[0]

    @property
    def title(self) -> str:
        """The concepts shown, and their numbers of neurons."""
        summary = self.summary
        n_neurons = sum(self.sides.n_neurons(row.model, row.layer) for row in summary.itertuples())
        searched = self.query.strip() if self.found.concepts else self._before[0]
        meant = f"“{searched}”" if self._meant.concepts else self.category or "all concepts"
        what = self.concept or f"{meant} ({int(self._members().sum())} concepts)"
        if not summary.neurons.any():
            return f"{what}: no neuron has such a label {self.sides.passing}"
        each = ", ".join(f"{model} {n}" for model, n in summary.groupby("model", sort=False).neurons.sum().items())
        return f"{what}: label of {summary.neurons.sum()} of {n_neurons} neurons ({each})"

    def figure(self) -> "Figure":
        """The same view as a static picture."""
        from mdissect.explorers.figures import draw_concept  # matplotlib, which looking on a screen does without

        rows, value, caption, _ = self._images()
        return draw_concept(
            title=self.title,
            summary=self.summary,
            passing=self.sides.passing,
            neurons=self._lines(self.neurons.head(ROWS)),
            images=[(row, picture) for (_, row), picture in zip(rows.iterrows(), self._shown_pictures(), strict=True)],
            value=value,
            images_title=caption,
        )

    _check_category = checked("category", lambda view: [name for _, name in category_options(view.sides.groups)])
    _check_concept = checked("concept", lambda view: ["", *view.sides.concepts.names])
    _check_model = checked("model", lambda view: ["", *view.sides.models])
    _check_layer = checked("layer", lambda view: ["", *view.layers])

    @validate("neuron")
    def _check_neuron(self, proposal) -> list:
        if not proposal.value:
            return []
        if len(proposal.value) != 3:
            raise TraitError(f"neuron={proposal.value} is not [model, layer, number], such as ['M', 'bn2', 7]")
        model, layer, number = proposal.value
        one_of("model", model, self.sides.models)
        one_of("layer", layer, self.sides.readings[model].dissection.layers)
        n_neurons = self.sides.n_neurons(model, self.sides.depth(model, layer))
        return [model, layer, int(neuron_in(number, n_neurons, layer, f" of {model}"))]

    def _settle(self, name: str) -> None:
        if name == "query" and self.query.strip():
            self.category = ""
            if self.found.concepts:
                self._before = (self.query.strip(), self.found)
                self.concept = self.found.concepts[0] if len(self.found.concepts) == 1 else ""
        if name == "query" and not self.query.strip():
            self._before = ("", Match())
        if name == "category" and self.category:
            self.query = ""
            self.concept = self.concept if self.concept in self.offered else ""
        if name == "concept" and self.concept and self.concept not in self.offered:
            self.query = self.category = ""
        if name in ("query", "category", "concept", "model", "layer"):
            self.neuron = []

    def _build(self) -> None:
        """Make the controls, tie them to the traits, and lay everything out."""
        self._concepts, self._search = choice("concept"), search_box()
        controls = {
            "query": self._search,
            "category": choice("category", category_options(self.sides.groups)),
            "concept": self._concepts,
            "model": choice("model", with_all("models", self.sides.models)),
            "layer": choice("layer", with_all("layers", self.layers)),
        }
        for trait, control in controls.items():
            self._follow(trait, control)
        self._search_by("query", self._search)
        self._offers = Offers(self._take_offer, self._images_of_words)
        self._heading, self._message, self._summary, self._caption = (widgets.HTML() for _ in range(4))
        self._heading.add_class("mdissect-live")
        self._list, self._gallery = ListedTable(), Gallery(TILES, enlarge=self._enlarge)
        self._list.on_choose(self._take_row)
        self._list.on_open(lambda i: self.open_neuron(*self._place_of(self.neurons.iloc[i])))
        self._show = widgets.Button(description="open neuron", icon="search", layout=widgets.Layout(width="auto"))
        self._similar = widgets.Button(description="images of the concept", layout=widgets.Layout(width="auto"))
        self._show.on_click(lambda _: self.open_neuron(*self._images()[3]))
        self._similar.on_click(lambda _: setattr(self, "neuron", []))
        over = widgets.HBox([self._overlay_box(), self._show, self._similar], layout=wrapping(align_items="center"))
        left = widgets.VBox([self._list], layout=widgets.Layout(flex="52 1 340px", min_width="0", margin="0 14px 0 0"))
        right = widgets.VBox([self._caption, over, self._gallery], layout=pictures_layout())
        above, beside = list(controls.values())[:3], list(controls.values())[3:]
        children = [widgets.HBox(above, layout=wrapping()), self._message, self._offers, self._heading, self._summary]
        children += [widgets.HBox(beside, layout=wrapping()), widgets.HBox([left, right], layout=wrapping())]
        self._lay_out("mdissect-concept-explorer", [*children, widgets.HBox([self._copy])])

    def _offer(self) -> None:
        set_options(self._concepts, [(f"{ALL} ({len(self.offered)})", ""), *self.sides.options(self.offered)])

    def _take_row(self, i: int) -> None:
        """Show the images of a row's neuron."""
        self.neuron = self._place_of(self.neurons.iloc[i])

    def _enlarge(self, image: str) -> None:
        """Open an image in the neuron explorer, with the neuron whose images are shown."""
        self.open_neuron(*self._images()[3], image)

    def _show_message(self) -> None:
        self._message.value = lines_html([self.refused, self.found.note, *self.sides.remarks], faint=not self.refused)

    def _show_offers(self) -> None:
        self._offers.show(self.found, self.query, self.model)

    def _take_offer(self, words: str) -> None:
        """Show a concept that the dissector finds near, or search for other words."""
        if words in self.found.nearest:
            self.state = {"query": "", "concept": words}
        else:
            self.query = words

    def _images_of_words(self, words: str) -> tuple[pd.DataFrame, Iterator[Picture]]:
        """The images nearest to words by the dissector, and their pictures."""
        model = self.model or self.sides.models[0]
        rows = nearest_images(self.sides.words, self.sides.readings[model].dissection, words, N_IMAGES)
        return rows, self._pictures[self.sides.models[0]].gallery(rows.image)

    def _show_heading(self) -> None:
        self._heading.value = heading_html(self.title, self._broad_category())

    def _show_summary(self) -> None:
        self._summary.value = summary_html(self.summary, self._broad_category(), self.sides.passing)

    def _show_list(self) -> None:
        table, n_known = self._listed()
        self._list.show_neurons(self.sides, table, n_known, [self._bar(row).words for row in table.itertuples()])

    def _show_chosen(self) -> None:
        _, value, _, shown = self._images()
        places = [self._place_of(row) for row in self.neurons.itertuples()] if value == "activation" else []
        self._list.chosen = places.index(shown) if shown in places else -1

    def _show_images(self) -> None:
        rows, value, caption, place = self._images()
        self._caption.value = lines_html([caption])
        self._show.disabled = not place
        what = "open" if value == "activation" else "open the nearest neuron:"
        self._show.description = f"{what} {place[0]}, {place[1]}, {place[2]}" if place else "open neuron"
        self._similar.layout.display = None if self.concept and self.neuron else "none"
        self._gallery.show(rows, self._shown_pictures(), value)

    def _shown_pictures(self) -> Iterator[Picture]:
        """The pictures of `_images`, made one by one as they are asked for."""
        rows, value, _, place = self._images()
        if not place:
            return self._pictures[self.sides.models[0]].gallery(rows.image)
        over = self._place(*place) if value == "activation" else None
        return self._pictures[place[0]].gallery(rows.image, over)

    def _place_of(self, row) -> list:
        return [row.model, row.layer, int(row.neuron)]

    def _lines(self, table: pd.DataFrame) -> list[tuple[str, Bar, float | None]]:
        """The lines of the list: which neuron, its bar, its threshold."""
        named = [" · ".join(map(str, self._place_of(row))) for row in table.itertuples()]
        taus = [None if pd.isna(tau) else float(tau) for tau in table.threshold]
        return list(zip(named, map(self._bar, table.itertuples()), taus, strict=True))

    def _bar(self, row) -> Bar:
        """The bar of a row of `neurons`: what the neuron is called, and what that means here."""
        words = "this label" if row.carries else "this label, but below the threshold" if row.called else "other label"
        near = "" if row.concept in (self.concept, row.label) else f", near {row.concept}"
        needs = self.sides.needs(row.label) if row.label else ""
        near += f", needs {needs}" * bool(needs)
        broad = self.sides.categories_of(row.concept)[1]
        return Bar(row.label or "no label", row.similarity, broad, words + near, bold=row.carries)

    def _members(self) -> np.ndarray:
        if self._meant.concepts and not self.concept:
            return self.sides.among(self._meant.concepts)
        return self.sides.members(self.concept, self.category)

    def _listed(self) -> tuple[pd.DataFrame, int]:
        return self.sides.neurons(self._members(), self.model, self.layer, 0, MOST_LISTED)

    def _broad_category(self) -> str:
        """The broad category of the concepts shown; "" for all concepts, or if unknown."""
        if self.concept:
            return self.sides.categories_of(self.concept)[1]
        broad = (name for name, categories in self.sides.groups.items() if self.category in (name, *categories))
        return next(broad, "")

    def _images(self) -> tuple[pd.DataFrame, str, str, list]:
        """The images shown, the column shown with them, a caption, and the neuron that they open with ([] for none)."""
        nearest = self.neurons
        if self.concept and not self.neuron:
            table, model = self.sides.images(self.concept, self.model, TILES)
            nearest = nearest[nearest.model == model] if model else nearest
            place = self._place_of(nearest.iloc[0]) if len(nearest) else []
            if not model:
                unknown = "The similarity of images to the concept is not known (the result was read from a CSV)."
                return table, "similarity", unknown, place
            dissector = self.sides.readings[model].dissection.settings.get("dissector", f"the dissector of {model}")
            caption = f"Images that {dissector} finds most similar to “{self.concept}”"
            return table, "similarity", caption, place
        place = self.neuron or (self._place_of(nearest.iloc[0]) if len(nearest) else [])
        if not place:
            return pd.DataFrame(columns=["image", "activation"]), "activation", "", place
        model, layer, number = place
        table = self.sides.readings[model].images(layer, number, "strongest", TILES)
        label = self.sides.label(model, self.sides.depth(model, layer), number) or "no label"
        return table, "activation", f"Strongest images of {model}, {layer}, neuron {number}: {label}", place
