"""The pictures of the neuron explorer: its tiles, an enlarged image, what lies over them, and what is said of them."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd

from mdissect.explorers.choosing import OF_LABEL, WHICH, listed_images
from mdissect.explorers.gallery import Closely
from mdissect.explorers.html import lines_html, pointing_words
from mdissect.explorers.image_controls import TITLES
from mdissect.explorers.neuron_state import TEXT, NeuronState
from mdissect.explorers.pictures import PICTURE_HEIGHT, Look, Picture
from mdissect.explorers.reading import OfImage


class NeuronPictures(NeuronState):
    """What `Explorer` shows of images, by the controls and widgets that it makes."""

    def measure_scale(self) -> None:
        """Make the scale of this layer's activation maps exact: one pass over the probe, which may take long."""
        self.pictures.measure(self.layer)
        with self._held():
            self._shown = {name: value for name, value in self._shown.items() if name != "overlay"}

    def _show_controls(self) -> None:
        """Which kinds of images there are, how many, and the scale of the activation maps."""
        layer, neuron = self.layer, self.neuron
        refused = {which: self.reading.why_not(layer, neuron, which) for which in WHICH if not self.hidden_label}
        refused = refused or dict.fromkeys(OF_LABEL, "the label is hidden")
        self._image_controls.explain(refused)
        most = self._listed
        self._image_controls.all.description = f"show {self._n_images}" if self.all_images else f"show all {most}"
        self._image_controls.all.layout.display = None if most > self._n_images else "none"
        scale = self.pictures.scale(self._place()) if self.overlay else None
        inexact = scale is not None and not scale.exact
        again = f"scale over all {len(self.reading.dissection.probe_table)} images" if inexact else ""
        shown = scale and not self.enlarged  # an enlarged image has its own colour bar
        self._image_controls.show_scale(scale.highest if shown else None, scale.of if scale else "", again)

    def _show_images(self) -> None:
        """The tiles, or the enlarged image in their place, and how often the strongest place lies in a box."""
        rows, large = self._rows(), self._large_view(large=False)
        self._gallery.layout.display = "none" if large else None
        self._large.layout.display = None if large else "none"
        if large:
            self._large.show(*large, self._position(rows), self._closely())
            pictures = [large[1]]
        else:
            self._gallery.height = self.tile
            pictures = self._gallery.show(self._as_shown(rows), self._pictures_of(rows))
        self._below.value = lines_html(
            [self._pointing(pictures), self._boxes_note(pictures), self._shown_note(len(rows)), self._known_note()]
        )
        self._histogram.marks = [float(value) for value in rows.activation if np.isfinite(value)]
        self._histogram.chosen = list(self.span)

    def _closely(self) -> Closely:
        """The enlarged image as the viewer shows it, and the patient's other views."""
        place, label = self._place(), self._picture_label()
        views = self.reading.other_views(self.layer, self.neuron, self.enlarged)
        views = views.iloc[:0] if self.hidden_label else views
        boxes = self._boxes_shown()
        settings = {"overlay": self.overlay, "opacity": self.opacity, "contour": self.contour, "boxes": boxes}
        over = self.pictures.over(self.enlarged, place, label)
        over = replace(over, boxes=[]) if self.hidden_label else over
        pictures = self.pictures.gallery(views.image, place, boxes, label, self._look())
        return Closely(partial(self.pictures.original, self.enlarged), over, settings, views, pictures)

    def _shown_note(self, n: int) -> str:
        """What the images are, where that is not clear from the buttons."""
        if self.span:
            return f"{n} of the images with an activation from {self.span[0]:.3g} to {self.span[1]:.3g}, the strongest first."
        if self._kind != self.images:
            return f"The strongest images; {self.images} are those of the label, which is hidden."
        why = self.reading.why_not(self.layer, self.neuron, self.images)
        named = f"{self.images.capitalize()}: {TITLES[self.images]}." if self.images in OF_LABEL else ""
        return f"None to show: {why}." if why else named

    def _boxes_note(self, pictures: list[Picture]) -> str:
        """What the colours of the boxes say."""
        shown = self._boxes_shown() and self._label() and any(picture.boxes for picture in pictures)
        return "Red boxes: what the label names; pale ones: other findings." if shown else ""

    def _known_note(self) -> str:
        """Of how many patients the images are that the label rests on, and how many show the label."""
        if self._kind != "strongest" or self.span or self.enlarged or self.hidden_label:
            return ""
        return self.reading.rests_on(self.layer, self.neuron, self._listed)

    def _step_image(self, by: int) -> None:
        """Enlarge the next or previous of the images shown, in a circle."""
        if not (shown := list(self._rows().image)):
            return
        at = shown.index(self.enlarged) + by if self.enlarged in shown else 0
        self.enlarged = shown[at % len(shown)]

    def _take_bin(self, change) -> None:
        """Show the images of a bin that the reader chose in the histogram."""
        if not self._syncing and list(change.new) != self.span:
            with self._held():
                self.enlarged = ""
                self.span = [float(edge) for edge in change.new]

    def _pointing(self, pictures: list[Picture]) -> str:
        return pointing_words(pictures, self.overlay) if self._boxes_shown() else ""

    def _images_title(self) -> str:
        """What a static picture's images are, and what is drawn over them."""
        place, over = self._place(), []
        if place is not None:
            over = [f"where “{place}” is seen, in cyan" if isinstance(place, str) else "activation in cyan (one scale)"]
        over += ["annotations in red, pink: not named by the label"] if self._boxes_shown() else []
        which = f"images of activation {self.span[0]:.3g} to {self.span[1]:.3g}" if self.span else f"{self._kind} images"
        return "; ".join([which, *over]).capitalize()

    @property
    def _kind(self) -> str:
        """Which images are shown: `images`, but none that tell a hidden label."""
        return "strongest" if self.hidden_label and self.images in OF_LABEL else self.images

    @property
    def _listed(self) -> int:
        """How many images "show all" shows."""
        return min(listed_images(self.reading.dissection), self.reading.images_kept(self.layer))

    def _rows(self) -> pd.DataFrame:
        """The images in view: `Reading.images`."""
        n = self._listed if self.all_images else self._n_images
        return self.reading.images(self.layer, self.neuron, self._kind, n, self.span, self.each_patient)

    def _place(self) -> tuple[str, int] | str | None:
        """What lies over the images: where the neuron responds, or where a text is seen; None for nothing."""
        return (self._text() or (self.layer, self.neuron)) if self.overlay else None

    def _text(self) -> str:
        """The text whose places lie over the images; "" where those of the neuron do."""
        return "" if self.overlay_of != TEXT or self.hidden_label else self.query.strip() or self._label()

    def _derived(self) -> dict:
        return {"text": self._text()}

    def _look(self) -> Look:
        return Look(self.opacity, self.contour, PICTURE_HEIGHT * (1 + (self.tile > PICTURE_HEIGHT)))

    def _boxes_shown(self) -> bool:
        return self.boxes and not self.hidden_label

    def _picture_label(self) -> str:
        """The label by whose findings the boxes are told apart; "" where it is hidden."""
        return "" if self.hidden_label else self._label()

    def _pictures_of(self, rows: pd.DataFrame) -> Iterator[Picture]:
        """The pictures of the tiles, made one by one as they are asked for."""
        return self.pictures.gallery(rows.image, self._place(), self._boxes_shown(), self._picture_label(), self._look())

    def _large_view(self, large: bool = True) -> tuple[OfImage, Picture] | None:
        """The enlarged image, if there is one and activations of this layer are known."""
        if not self.enlarged or not self.reading.images_kept(self.layer):
            return None
        seen, label = self.reading.of_image(self.layer, self.neuron, self.enlarged), self._picture_label()
        boxes = self._boxes_shown()
        picture = self.pictures.picture(self.enlarged, self._place(), boxes=boxes, large=large, label=label, look=self._look())
        return self._large_as_shown(seen), picture

    def _position(self, rows: pd.DataFrame) -> str:
        """Which of the images in view is enlarged."""
        shown = list(rows.image)
        number = f"{shown.index(self.enlarged) + 1} of" if self.enlarged in shown else "not among"
        return f"{number} the {len(shown)} {'chosen' if self.span else self._kind}"
