"""What a search offers where it found no concept, and the images nearest to its words: to be chosen, never shown by itself."""

from collections.abc import Callable, Iterable

import ipywidgets as widgets
import pandas as pd

from mdissect.explorers.gallery import Gallery
from mdissect.explorers.html import lines_html
from mdissect.explorers.pictures import Picture
from mdissect.explorers.search import Match, shortened

N_IMAGES = 8
IMAGES_OF = "images nearest to these words"


class Offers(widgets.VBox):
    """Buttons for other words and near concepts, and a gallery of the images nearest to the words.

    `take` is called with the words or the concept of a button; `images` gives for words a table (image, similarity, ...) and
    the pictures of its images, or a ValueError in plain words; without it no images are offered.
    """

    def __init__(
        self,
        take: Callable[[str], None],
        images: Callable[[str], tuple[pd.DataFrame, Iterable[Picture]]] | None = None,
        enlarge: Callable[[str], None] | None = None,
    ):
        self._take, self._images, self._of = take, images, None
        self.buttons = widgets.HBox(layout=widgets.Layout(flex_flow="row wrap", align_items="center"))
        self.caption, self.gallery = widgets.HTML(), Gallery(N_IMAGES, enlarge=enlarge)
        self.of_images = widgets.Button(description=IMAGES_OF, icon="image", layout=_layout())
        self.of_images.on_click(lambda _: self._toggle())
        super().__init__([self.buttons, self.caption, self.gallery])
        self.add_class("mdissect-offers")
        self._clear()

    def show(self, match: Match, words: str, of: str = "") -> None:
        """What there is for a search in the result `of`; nothing changes while both are the same."""
        if self._of == (words, of):
            return
        self._of = (words, of)
        self._clear()
        concepts = [_button(text, self._take, "search for these words") for text in match.meant]
        concepts += [_button(text, self._take, "a concept that the dissector finds near") for text in match.nearest]
        self.buttons.children = [*concepts, *[self.of_images] * bool(self._images and words.strip())]

    def _toggle(self) -> None:
        """Show the images nearest to the words, or hide them again."""
        if self.of_images.icon == "times":
            return self._clear()
        words, _ = self._of
        try:
            rows, pictures = self._images(words)
        except ValueError as error:
            self.caption.value = lines_html([f"{str(error)[:1].upper()}{str(error)[1:]}."])
            return None
        self.of_images.description, self.of_images.icon = "hide these images", "times"
        self.caption.value = lines_html([f"Images that the dissector finds nearest to “{shortened(words)}”"])
        self.gallery.layout.display = None
        self.gallery.show(rows, pictures, "similarity")
        return None

    def _clear(self) -> None:
        self.of_images.description, self.of_images.icon = IMAGES_OF, "image"
        self.caption.value = ""
        self.gallery.layout.display = "none"


def _button(text: str, act: Callable[[str], None], tooltip: str) -> widgets.Button:
    button = widgets.Button(description=shortened(text), tooltip=tooltip, layout=_layout())
    button.on_click(lambda _: act(text))
    return button


def _layout() -> widgets.Layout:
    return widgets.Layout(width="auto", max_width="100%")
