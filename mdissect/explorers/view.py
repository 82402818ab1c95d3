"""The base of the three explorers: traits that are checked and shared, each redrawing only its own parts."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import ClassVar

import ipywidgets as widgets
from traitlets import TraitError, Unicode, validate

from mdissect.browser import CopyButton, Keys, SearchBox
from mdissect.concepts import closest
from mdissect.explorers.gallery import STYLE
from mdissect.explorers.html import lines_html

MOST_NAMED = 40


class View(widgets.VBox):
    """A widget whose view is a few traits, tied to its controls in both directions.

    A subclass names its traits in `STATE`, in the order in which a view is set up again, and its parts in `PARTS`, with the
    traits that each depends on: `_show_<part>` draws it when one of these changed, in the order of `PARTS`. It makes its
    controls, ties them to traits by `_follow`, sets their options and bounds in `_offer`, and calls `_open` last. Its widgets
    named in `STILL`, which hold HTML, are what a page without a kernel shows of it.

    `refused`: why the reader's last choice cannot be shown; "" when it is shown.
    """

    STATE: ClassVar[tuple[str, ...]] = ()
    PARTS: ClassVar[dict[str, str]] = {}
    STILL: ClassVar[tuple[str, ...]] = ("_heading",)

    refused = Unicode()

    def __init__(self):
        self._holds, self._syncing, self._shown = 1, False, {}
        self._controls: dict[str, tuple[widgets.Widget, ...]] = {}
        self._copy = CopyButton(name="copy state", title="copy this view, to open it again by explore(..., state=...)")
        self.copied: Callable[[], dict] = lambda: self.state  # what "copy state" copies
        super().__init__()

    def __repr__(self) -> str:
        return f"{type(self).__name__}: run this cell in JupyterLab to use it; a static view follows (.figure())"

    def _repr_mimebundle_(self, **options) -> dict:
        """The widget, and for pages without a kernel what it shows, as HTML."""
        still = f"{lines_html([repr(self)], faint=True)}{self._still()}"
        return super()._repr_mimebundle_(**options) | {"text/html": still}

    def _still(self) -> str:
        """What a page without a kernel shows of the view, as HTML."""
        return "".join(getattr(self, name).value for name in self.STILL)

    @property
    def blind(self) -> bool:
        """Whether labels are hidden from the reader, each until the neuron is judged."""
        return False

    @property
    def hidden_label(self) -> bool:
        """Whether the label in view, with all that gives it away, is hidden now."""
        return False

    @property
    def state(self) -> dict:
        """The view as a small dict (of JSON's types); setting it, or a part of it, or the same as JSON, opens that view."""
        return {name: getattr(self, name) for name in self.STATE}

    @state.setter
    def state(self, state: Mapping | str) -> None:
        state = _stated(state)
        if unknown := sorted(set(state) - set(self.STATE)):
            raise TraitError(f"a view has no {', '.join(unknown)}; it has {', '.join(self.STATE)}")
        before = self.state
        with self._held():
            try:
                for name in self.STATE:
                    if name in state:
                        setattr(self, name, state[name])
            except TraitError:
                for name in self.STATE:
                    setattr(self, name, before[name])
                raise

    def _open(self, name: str, children: Sequence[widgets.Widget]) -> None:
        """Lay out the children under a CSS name, draw everything, then redraw whatever depends on a changed trait."""
        self.children = [widgets.HTML(STYLE, layout=widgets.Layout(display="none")), Keys(), *children]
        self.add_class("mdissect-view")
        self.add_class(name)
        self._holds = 0
        self.observe(self._on_change, [*self.STATE, "refused"])
        self._redraw()

    def _on_change(self, change) -> None:
        with self._held():
            if change.name != "refused":
                self.refused = ""
                self._settle(change.name)

    @contextmanager
    def _held(self) -> Iterator[None]:
        """Several changes, drawn once."""
        self._holds += 1
        try:
            yield
        finally:
            self._holds -= 1
        if not self._holds:
            self._redraw()

    def _redraw(self) -> None:
        """Set the controls to the traits, and draw the parts whose traits differ from those drawn last."""
        now = self.state | {"refused": self.refused} | self._derived()
        changed = {name for name, value in now.items() if name not in self._shown or self._shown[name] != value}
        self._syncing = True  # what is set in a control here is no reader's choice
        try:
            self._offer()
            for trait, controls in self._controls.items():
                for control in controls:
                    control.value = now[trait]
            for part, traits in self.PARTS.items():
                if changed.intersection(traits.split()):
                    getattr(self, f"_show_{part}")()
        finally:
            self._syncing = False
        self._copy.text = json.dumps(self.copied())
        self._shown = now

    def _settle(self, name: str) -> None:
        """Adapt the other traits to one that changed."""

    def _derived(self) -> dict:
        """What follows from the traits and parts depend on, beside the traits themselves."""
        return {}

    def _offer(self) -> None:
        """Set the controls' options and bounds."""

    def _follow(self, trait: str, *controls: widgets.Widget) -> None:
        """Tie controls to a trait, both ways."""
        self._controls[trait] = controls
        for control in controls:
            self._chosen(control, partial(self._take, trait))

    def _search_by(self, trait: str, box: SearchBox) -> None:
        """Search for a box's words whenever they are entered, also for the same again, to go back to what was found first."""

        def enter(_change) -> None:
            with self._held():
                self._take(trait, box.value)
                self._settle(trait)

        box.observe(enter, "entered")

    def _chosen(self, control: widgets.Widget, act: Callable) -> None:
        """Call `act` with a reader's choice in a control."""
        control.observe(lambda change: None if self._syncing or change.new is None else act(change.new), "value")

    def _take(self, trait: str, value) -> None:
        """Set a trait to a reader's choice; an invalid one is reported in the view, and the control is reset."""
        try:
            setattr(self, trait, value)
        except TraitError as error:
            with self._held():
                self.refused = str(error)


def _stated(state: Mapping | str) -> Mapping:
    """A state, read where it is JSON, as "copy state" gives it."""
    if isinstance(state, str):
        try:
            state = json.loads(state)
        except ValueError as error:
            raise TraitError(f'state is not JSON ({error}); give what the button "copy state" copied, or a dict') from None
    if not isinstance(state, Mapping):
        raise TraitError(f"state={state!r} is not a mapping of traits to values, such as {{'neuron': 73}}")
    return state


def one_of(what: str, value: str, known: Iterable[str]) -> str:
    """A value that is among the known ones; else a TraitError that names the closest, or all where they are few."""
    known = list(known)
    if value not in known:
        named = [name for name in known if name]
        there = f"; there are {', '.join(named) or 'none'}" if len(named) <= MOST_NAMED else f" among {len(named)}"
        raise TraitError(f"no {what} {value!r}{closest(value, named)}{there}")
    return value


def checked(what: str, known: Callable[[View], Iterable[str]], *traits: str):
    """The check of a View's traits (of the one called `what`, if none are named) by `one_of`, against what is known then."""
    return validate(*(traits or (what,)))(lambda view, proposal: one_of(what, proposal.value, known(view)))


def neuron_in(neuron: int, n_neurons: int, layer: str, of: str = "") -> int:
    """A neuron that a layer (`of` a model) has; else a TraitError."""
    if neuron not in range(n_neurons):
        raise TraitError(f"neuron {neuron} is not in layer {layer!r}{of}, whose neurons are 0 to {n_neurons - 1}")
    return neuron
