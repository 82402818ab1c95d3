"""A widget whose view is a handful of traits: a small dict tells it, and opens it again."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import ClassVar

import ipywidgets as widgets
from traitlets import TraitError


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
