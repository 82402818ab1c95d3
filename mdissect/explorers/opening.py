"""A view of several models from which any neuron opens in the neuron explorer, in the same place, and back."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import ipywidgets as widgets
from traitlets import Bool, Dict, TraitError, validate

from mdissect.explorers.checks import of_each
from mdissect.explorers.neuron import Explorer
from mdissect.explorers.pictures import Pictures
from mdissect.explorers.sides import SideBySide
from mdissect.explorers.view import View

if TYPE_CHECKING:
    from mdissect.explorers.verdicts import Notes
    from mdissect.models import Target
    from mdissect.probes import Probe

OPENED = ("overlay", "opened")


class Opening(View):
    """A `View` whose neurons and images open in the neuron explorer, which takes its place until the reader goes back.

    `overlay`: whether to show where in the images the neurons respond; `opened`: the state of the neuron explorer, {} while it
    is closed. A subclass has both last in `STATE`, the part "opened" in `PARTS`, and calls `_lay_out` in place of `_open`.
    """

    BACK = "back"

    overlay = Bool()
    opened = Dict()

    def __init__(self, sides: SideBySide, pictures: Mapping[str, Pictures], notes: "Notes | None" = None):
        self.sides, self._pictures, self._notes, self._explorer = sides, pictures, notes, None
        super().__init__()

    @View.state.getter
    def state(self) -> dict:
        """The view as a small dict (of JSON's types); setting it, or a part of it, or the same as JSON, opens that view."""
        shown = {name: getattr(self, name) for name in self.STATE}
        return shown | {"opened": self._explorer.state if self.opened else {}}

    def open_neuron(self, model: str, layer: str, neuron: int, image: str = "") -> None:
        """Open a neuron, with one of its images made large, in the neuron explorer.

        >>> concepts.open_neuron("M", "bn2", 73)                                                # doctest: +SKIP
        """
        place = {"model": model, "layer": layer, "query": "", "neuron": neuron}
        self.opened = place | {"enlarged": image, "overlay": self._place(model, layer, neuron) is not None}

    @validate("opened")
    def _check_opened(self, proposal) -> dict:
        if not proposal.value:
            return {}
        if self._explorer is None:
            self._explorer = Explorer(self.sides.readings, dict(self._pictures), self._notes)
            self._explorer.copied = lambda: self.state
        self._explorer.state = proposal.value
        return self._explorer.state

    @validate("overlay")
    def _check_overlay(self, proposal) -> bool:
        if proposal.value and not self._has_targets():
            raise TraitError("overlay needs the networks themselves: give target={model: load_target(...), ...}")
        return proposal.value

    def _has_targets(self) -> bool:
        return any(pictures.target is not None for pictures in self._pictures.values())

    def _lay_out(self, name: str, children: Sequence[widgets.Widget]) -> None:
        """`_open`, with the neuron explorer's place beside the children."""
        self._main = widgets.VBox(list(children))
        self._back = widgets.Button(
            description=self.BACK, icon="arrow-left", layout=widgets.Layout(width="auto", align_self="flex-start")
        )
        self._back.add_class("mdissect-back")
        self._back.on_click(lambda _: setattr(self, "opened", {}))
        self._detail = widgets.VBox([self._back], layout=widgets.Layout(display="none"))
        self._detail.add_class("mdissect-detail")
        self._open(name, [self._main, self._detail])

    def _overlay_box(self) -> widgets.Checkbox:
        """The control of `overlay`."""
        layout, disabled = widgets.Layout(width="auto"), not self._has_targets()
        box = widgets.Checkbox(description="activation map", indent=False, layout=layout, disabled=disabled)
        self._follow("overlay", box)
        return box

    def _show_opened(self) -> None:
        if self.opened and len(self._detail.children) == 1:
            self._detail.children = [self._back, self._explorer]
        self._main.layout.display = "none" if self.opened else None
        self._detail.layout.display = None if self.opened else "none"

    def _place(self, model: str, layer: str, neuron: int) -> tuple[str, int] | None:
        """Where `Pictures` show a neuron's activation; None for nowhere."""
        return (layer, neuron) if self.overlay and self._pictures[model].target is not None else None


def pictures_of(
    sides: SideBySide, probe: "Probe | None", target: "Mapping[str, Target | None] | Target | None"
) -> dict[str, Pictures]:
    """The pictures of each model; models without a target share theirs."""
    targets, shared = of_each(dict.fromkeys(sides.models), "target", target), Pictures(probe)
    found = {model: reading.dissection for model, reading in sides.readings.items()}
    return {model: shared if one is None else Pictures(probe, one, found[model]) for model, one in targets.items()}
