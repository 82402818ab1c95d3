"""The controls above a neuron's pictures: which images, how many and how large, and what lies over them."""

from collections.abc import Callable, Mapping

import ipywidgets as widgets
from traitlets import Unicode

from mdissect.explorers.choosing import WHICH
from mdissect.explorers.html import FAINT, lines_html
from mdissect.explorers.html import TEXT as FONT
from mdissect.explorers.neuron_state import NEURON, TEXT

TITLES = {
    "strongest": "the images of highest activation",
    "quantiles": "images evenly over the range of activation",
    "weakest": "the images of lowest activation",
    "random": "the same images for every neuron",
    "hard negatives": "strong activation, but the label’s concept is absent",
    "misses": "weak activation, but the label’s concept is present",
}


CONTOURS_AT = "lines at a quarter, a half and three quarters of the scale"


class Which(widgets.HBox):
    """A button for each kind of images, of which one is pressed: `value`."""

    value = Unicode()

    def __init__(self):
        self.buttons = {name: widgets.Button(description=name, layout=widgets.Layout(width="auto")) for name in WHICH}
        for name, button in self.buttons.items():
            button.on_click(lambda _, name=name: setattr(self, "value", name))
        super().__init__([*self.buttons.values()], layout=widgets.Layout(flex_flow="row wrap"))
        self.observe(lambda _: self._press(), "value")
        self.add_class("mdissect-which")

    def allow(self, refused: Mapping[str, str]) -> None:
        """Disable the kinds that there are none of, saying why; the one that is chosen can always be left."""
        for name, button in self.buttons.items():
            why = refused.get(name, "")
            button.disabled = bool(why) and name != self.value
            button.tooltip = f"{TITLES[name]}: {why}" if why else TITLES[name]

    def _press(self) -> None:
        for name, button in self.buttons.items():
            button.button_style = "primary" if name == self.value else ""


class ImageControls(widgets.VBox):
    """All controls of a neuron's pictures; `measure` is called to make the scale of the activation maps exact."""

    def __init__(self, measure: Callable[[], None]):
        self.which, self.reason, self.scale = Which(), widgets.HTML(), widgets.HTML()
        self.all = widgets.ToggleButton(layout=widgets.Layout(width="auto"), tooltip="all images that the label rests on")
        self.each = widgets.Checkbox(description="one of each patient", indent=False, layout=_narrow())
        self.overlay = widgets.Checkbox(description="activation map", indent=False, layout=_narrow())
        self.overlay_of = widgets.Dropdown(
            options=[("of the neuron", NEURON), ("of the text searched, or the label (Mammo-FActOR)", TEXT)],
            layout=widgets.Layout(width="auto", display="none"),
        )
        self.overlay_of.add_class("mdissect-overlay-of")
        self.contour = widgets.Checkbox(description="contours", indent=False, layout=_narrow(), tooltip=CONTOURS_AT)
        self.boxes = widgets.Checkbox(description="annotations", indent=False, layout=_narrow())
        self.opacity = _slider("opacity", 5, 100)
        self.tile = _slider("size", 90, 480)
        self.measure = widgets.Button(icon="balance-scale", layout=widgets.Layout(width="auto", display="none"))
        self.measure.on_click(lambda _: measure())
        wrap = widgets.Layout(flex_flow="row wrap", align_items="center")
        over = widgets.HBox(
            [self.overlay, self.overlay_of, self.opacity, self.contour, self.boxes, self.scale, self.measure], layout=wrap
        )
        first = widgets.HBox([self.which, self.all, self.each, self.tile], layout=wrap)
        super().__init__([first, over, self.reason])

    def explain(self, refused: Mapping[str, str]) -> None:
        """Say which kinds of images there are none of, and why."""
        self.which.allow(refused)
        reasons: dict[str, list[str]] = {}
        for name, why in refused.items():
            reasons.setdefault(why, []).append(name)
        words = "; ".join(f"no {' or '.join(names)}: {why}" for why, names in reasons.items() if why)
        self.reason.value = lines_html([f"{words[0].upper()}{words[1:]}."], faint=True) if words else ""

    def show_scale(self, highest: float | None, of: str = "", measurable: str = "") -> None:
        """Show the colour bar of the activation maps (None: there is none), and the button `measurable`, if it has words."""
        self.scale.value = "" if highest is None else scale_html(highest, of)
        self.measure.layout.display = None if measurable else "none"
        self.measure.description = measurable


def _narrow() -> widgets.Layout:
    return widgets.Layout(width="auto", margin="2px 12px 2px 2px")


def scale_html(highest: float, of: str) -> str:
    """A colour bar from 0 to the end of a neuron's scale, and what that is."""
    bar = "display:inline-block;width:90px;height:11px;margin:0 6px;border:1px solid var(--jp-border-color1,#aaa)"
    gradient = "background:linear-gradient(90deg,#000,#00e5ff)"
    words = f'0<i style="{bar};{gradient}"></i>{highest:.3g} <span style="{FAINT}">({of})</span>'
    return f'<span class="mdissect-scale" style="{FONT};margin-right:8px">{words}</span>'


def _slider(name: str, least: int, most: int) -> widgets.IntSlider:
    layout, style = widgets.Layout(width="190px"), {"description_width": "55px"}
    return widgets.IntSlider(
        description=name, min=least, max=most, readout=False, continuous_update=False, layout=layout, style=style
    )
