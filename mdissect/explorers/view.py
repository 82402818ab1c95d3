"""A widget whose view is a handful of traits: a small dict tells it, and opens it again."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import ClassVar

import ipywidgets as widgets
from traitlets import TraitError

from mdissect.concepts import closest


class SharedView(widgets.VBox):
    """A view that can be shared.

    Who builds on it names its traits in `STATE`, in the order in which a view is set up again, sets `_holds` to 0 when all is
    made, and brings everything up to date in `_refresh`, which is called once for changes that belong together.
    """

    STATE: ClassVar[tuple[str, ...]] = ()

    def __init__(self):
        self._holds = 1
        super().__init__()

    @property
    def state(self) -> dict:
        """The view as a small dict (of JSON's types); setting it, or a part of it, opens that view."""
        return {name: getattr(self, name) for name in self.STATE}

    @state.setter
    def state(self, state: Mapping) -> None:
        if strange := sorted(set(state) - set(self.STATE)):
            raise TraitError(f"a view has no {', '.join(strange)}; it has {', '.join(self.STATE)}")
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

    @contextmanager
    def _held(self) -> Iterator[None]:
        """Several changes, shown once."""
        self._holds += 1
        try:
            yield
        finally:
            self._holds -= 1
        if not self._holds:
            self._refresh()

    def _refresh(self) -> None:
        """Bring everything up to date."""
        raise NotImplementedError


MOST_NAMED = 40


class SideView(SharedView):
    """A view whose controls follow its traits, and whose traits take what a reader chooses in the controls."""

    def __init__(self):
        self._syncing, self._refused = False, ""
        super().__init__()

    def _open(self) -> None:
        """Show the view for the first time, and from then on whenever a trait changes."""
        self._holds = 0
        self._refresh()
        self.observe(self._on_change, list(self.STATE))

    def _on_change(self, change) -> None:
        self._refused = ""
        with self._held():
            self._changed(change)

    def _changed(self, change) -> None:
        """Bring the other traits in line with one that changed."""

    def _show(self) -> None:
        """Bring controls and contents up to date with the traits."""
        raise NotImplementedError

    def _refresh(self) -> None:
        self._syncing = True  # controls that are set here are no one's choice
        try:
            self._show()
        finally:
            self._syncing = False

    def _sync(self, controls: Mapping[str, widgets.Widget]) -> None:
        """Let controls show what their traits are."""
        for trait, control in controls.items():
            control.value = getattr(self, trait)

    def _follow(self, controls: Mapping[str, widgets.Widget]) -> None:
        """Let traits take what a reader chooses in their controls; what cannot be is told in the view."""
        for trait, control in controls.items():
            control.observe(lambda change, trait=trait: self._take(trait, change.new), "value")

    def _take(self, trait: str, value) -> None:
        if self._syncing:
            return
        try:
            setattr(self, trait, value)
        except TraitError as error:
            self._refused = str(error)
            self._refresh()


def one_of(what: str, value: str, known: Iterable[str]) -> str:
    """A value that is among the known ones; else a TraitError that names the closest, or all where they are few."""
    known = list(known)
    if value not in known:
        named = [name for name in known if name]
        there = f"; there are {', '.join(named) or 'none'}" if len(named) <= MOST_NAMED else f" among {len(named)}"
        raise TraitError(f"no {what} {value!r}{closest(value, named)}{there}")
    return value


def stretching() -> widgets.Layout:
    """The layout of a control that takes what room there is in its row."""
    return widgets.Layout(width="auto", flex="1 1 0%", min_width="0")


def category_options(groups: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
    """Broad categories with their categories indented below them, for a drop-down that begins with all of them."""
    options = [("all categories", "")]
    for broad, categories in groups.items():
        options += [(broad, broad), *((f"\u2003{name}", name) for name in categories if name != broad)]
    return options
