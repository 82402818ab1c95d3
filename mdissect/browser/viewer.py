"""The viewer as a widget: one picture with zoom, window and level, an activation map and findings' boxes over it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import anywidget
import numpy as np
from traitlets import Bool, Bytes, Dict, Int, List

from mdissect.browser.assets import VIEWER, scripts, styles
from mdissect.browser.pixels import as_png

PREVIEW = 1280, 1040  # width and height that are sent at first
COARSE = 128  # places a side of a map or a mask, at most


@dataclass(frozen=True)
class Over:
    """What lies over a picture."""

    heat: np.ndarray | None = None  # uint8 (h, w), 255 at `highest`
    highest: float = 0.0
    scale: str = ""  # what `highest` is the largest value of
    breast: np.ndarray | None = None  # uint8 (h, w), 255 on the breast; None: the map is dimmed nowhere
    boxes: Sequence[dict] = ()  # finding, x, y, width, height in pixels of the image, named (by the label)


class Viewer(anywidget.AnyWidget):
    """A picture to zoom and pan; `overlay`, `opacity`, `contour` and `boxes` can be set.

    >>> viewer = Viewer()
    >>> viewer.show("image 7", "Mammogram of image 7", lambda: np.zeros((1520, 912), dtype=np.uint8))

    At first 8 bits and at most 1280 x 1040 pixels are sent; all pixels and bits when the reader zooms in or asks for them.
    """

    _esm = scripts(*VIEWER, "viewer_widget")
    _css = styles("viewer")

    picture = Bytes().tag(sync=True)
    facts = Dict().tag(sync=True)
    heat = Bytes().tag(sync=True)
    heat_facts = Dict().tag(sync=True)
    breast = Bytes().tag(sync=True)
    breast_facts = Dict().tag(sync=True)
    marked = List().tag(sync=True)
    overlay = Bool(True).tag(sync=True)
    opacity = Int(60).tag(sync=True)
    contour = Bool().tag(sync=True)
    boxes = Bool().tag(sync=True)
    shown = Int().tag(sync=True)  # grows with whatever is shown anew

    def __init__(self):
        super().__init__()
        self._image: tuple[str, str, Callable[[], np.ndarray]] = ("", "", lambda: np.zeros((1, 1), dtype=np.uint8))
        self.on_msg(self._asked)

    def show(self, key: str, alt: str, image: Callable[[], np.ndarray], over: Over | None = None) -> None:
        """Show an image under a key; the reader's zoom and window stay while the key is the same."""
        over = over or Over()
        new = key != self._image[0]
        self._image = key, alt, image
        with self.hold_sync():
            if new:
                self._put(False)
            else:
                self.facts = self.facts | {"alt": alt}
            self.heat, self.heat_facts = _packed(over.heat)
            self.heat_facts = self.heat_facts | {"highest": over.highest, "of": over.scale}
            self.breast, self.breast_facts = _packed(over.breast)
            self.marked = list(over.boxes)
            self.shown += 1

    def detail(self) -> None:
        """Send all pixels and bits of the image."""
        with self.hold_sync():
            self._put(True)
            self.shown += 1

    def _put(self, whole: bool) -> None:
        key, alt, image = self._image
        self.picture, facts = as_png(image(), None if whole else PREVIEW, deep=whole)
        self.facts = facts | {"key": key, "alt": alt}

    def _asked(self, _widget, content, _buffers) -> None:
        if isinstance(content, dict) and content.get("kind") == "detail":
            self.detail()


def _packed(values: np.ndarray | None) -> tuple[bytes, dict]:
    """A map as bytes, and its size."""
    if values is None:
        return b"", {}
    return np.ascontiguousarray(values, dtype=np.uint8).tobytes(), {"width": values.shape[1], "height": values.shape[0]}
