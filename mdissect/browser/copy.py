"""A button in the browser that copies a text."""

from pathlib import Path

import anywidget
from traitlets import Unicode

HERE = Path(__file__).parent


class CopyButton(anywidget.AnyWidget):
    """A button that copies `text`; where the browser refuses, the text is shown to be copied by hand."""

    _esm = HERE / "copy.js"
    _css = HERE / "copy.css"

    text = Unicode().tag(sync=True)
    name = Unicode("copy").tag(sync=True)
    title = Unicode().tag(sync=True)
