"""A place in the browser to drop a file on."""

from collections.abc import Callable
from pathlib import Path

import anywidget
from traitlets import Bool, Unicode

HERE = Path(__file__).parent


class DroppedFile(anywidget.AnyWidget):
    """A place to drop a file on; `take` is called with its bytes and name. Nothing of it stays in the widget's state.

    >>> place = DroppedFile(lambda content, name: print(name, len(content)))
    """

    _esm = HERE / "dropped_file.js"
    _css = HERE / "dropped_file.css"

    words = Unicode("or drop a file here").tag(sync=True)
    disabled = Bool().tag(sync=True)

    def __init__(self, take: Callable[[bytes, str], None], **traits):
        super().__init__(**traits)
        self.on_msg(lambda _, content, buffers: take(bytes(buffers[0]), str(content.get("name", ""))) if buffers else None)
