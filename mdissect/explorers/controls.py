"""Controls that the explorers share."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import ipywidgets as widgets

from mdissect.browser import SearchBox


class NeuronPicker(widgets.HBox):
    """Slider, number and the buttons "previous" and "next", which call `step` with -1 and 1."""

    def __init__(self, step: Callable[[int], None]):
        self.slider = widgets.IntSlider(
            description="neuron", continuous_update=False, readout=False, style=_SHORT, layout=stretching("160px")
        )
        self.number = widgets.BoundedIntText(tooltip="number of the neuron", layout=widgets.Layout(width="80px"))
        self.steps = step_buttons(step)
        self.steps[0].add_class("mdissect-step-before")
        self.steps[1].add_class("mdissect-step-after")
        super().__init__([self.slider, self.number, *self.steps], layout=wrapping())

    def reach(self, n_neurons: int, neuron: int) -> None:
        """Set the range to the layer's neurons, and the value to the neuron shown."""
        self.slider.max = self.number.max = n_neurons - 1
        for button, end in zip(self.steps, (0, n_neurons - 1), strict=True):
            button.disabled = neuron == end


def step_buttons(step: Callable[[int], None]) -> list[widgets.Button]:
    """The buttons "previous" and "next", which call `step` with -1 and 1."""
    buttons = [widgets.Button(description=word, layout=widgets.Layout(width="90px")) for word in ("previous", "next")]
    for button, by in zip(buttons, (-1, 1), strict=True):
        button.on_click(lambda _, by=by: step(by))
    return buttons


def choice(description: str, options: Iterable = (), **layout) -> widgets.Dropdown:
    """A drop-down that fills its row unless the layout says otherwise."""
    layout = widgets.Layout(**layout) if layout else stretching()
    return widgets.Dropdown(options=list(options), description=description, style=_SHORT, layout=layout)


def search_box() -> SearchBox:
    box = SearchBox()
    box.add_class("mdissect-search")
    return box


def set_options(control: widgets.Widget, options: Iterable) -> None:
    """Replace the options, if they differ."""
    if control.options != (options := tuple(options)):
        control.options = options


def with_all(what: str, names: Iterable[str]) -> list[tuple[str, str]]:
    """Options that begin with all of them, whose value is ""."""
    return [(f"all {what}", ""), *((name, name) for name in names)]


def category_options(groups: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
    """Broad categories with their categories indented below them, beginning with all of them."""
    options = with_all("categories", ())
    for broad, categories in groups.items():
        options += [(broad, broad), *((f"\u2003{name}", name) for name in categories if name != broad)]
    return options


def stretching(least: str = "150px") -> widgets.Layout:
    """The layout of a control that fills the remaining width of its row, and goes into the next one where less is left."""
    return widgets.Layout(width="auto", flex=f"1 1 {least}", min_width="0")


def pictures_layout() -> widgets.Layout:
    """The layout of pictures beside bars or a table, or below where the view is narrow."""
    return widgets.Layout(flex="62 1 340px", min_width="0")


def wrapping(**layout) -> widgets.Layout:
    """The layout of a row whose widgets go on in the next line where it is too narrow."""
    return widgets.Layout(flex_flow="row wrap", **layout)


_SHORT = {"description_width": "65px"}
