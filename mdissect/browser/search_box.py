"""A box for words to search for."""

from pathlib import Path

import anywidget
from traitlets import Int, Unicode

HERE = Path(__file__).parent


class SearchBox(anywidget.AnyWidget):
    """A text field; `value` are its words when they are entered or the field is left, `entered` counts how often Enter was hit.

    >>> box = SearchBox(placeholder="implant")
    >>> box.observe(lambda change: print(change.owner.value), "entered")
    """

    _esm = HERE / "search_box.js"
    _css = HERE / "search_box.css"

    value = Unicode().tag(sync=True)
    entered = Int().tag(sync=True)
    description = Unicode("search").tag(sync=True)
    placeholder = Unicode("implant").tag(sync=True)
