"""A table in the browser: sorted by any column, filtered, walked through by keyboard; thousands of rows are no burden."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import anywidget
import numpy as np
import pandas as pd
from traitlets import Bool, Dict, Int, List, Unicode

HERE = Path(__file__).parent
KINDS = ("text", "choice", "number", "whole", "small")


class Table(anywidget.AnyWidget):
    """Rows to look through; a click or the space bar chooses one, Enter or a double click opens it.

    >>> table = Table(label="neurons of bn2", things="neurons")
    >>> table.show([column("neuron", kind="whole"), column("label")], {"neuron": [0, 1], "label": ["mass", ""]})

    `chosen` is the number of the chosen row in the order given, -1 for none. `later` holds columns that are sent again by
    themselves when they change. `total` is told where not all rows were sent; 0: all were.
    """

    _esm = HERE / "table.js"
    _css = HERE / "table.css"

    columns = List().tag(sync=True)
    rows = Dict().tag(sync=True)
    later = Dict().tag(sync=True)
    chosen = Int(-1).tag(sync=True)
    label = Unicode().tag(sync=True)
    things = Unicode("rows").tag(sync=True)
    height = Int(7).tag(sync=True)  # rows in view
    total = Int().tag(sync=True)
    filters = Bool(True).tag(sync=True)
    sort = Unicode().tag(sync=True)  # the key of the column that the rows are sorted by at first, as a click on it sorts

    def __init__(self, **traits):
        super().__init__(**traits)
        for what in ("choose", "open"):
            self._on(what, partial(setattr, self, "chosen"))

    def show(self, columns: Sequence[Mapping], rows: Mapping[str, Sequence], total: int = 0, chosen: int = -1) -> None:
        """Show columns (see `column`) of other rows; NaN and None are missing values."""
        with self.hold_sync():
            self.total, self.columns = total, [dict(one) for one in columns]
            self.rows = {name: plain(values) for name, values in rows.items()}
            self.chosen = chosen

    def on_choose(self, act: Callable[[int], None]) -> None:
        """Call `act` with the number of a row that the reader chooses."""
        self._on("choose", act)

    def on_open(self, act: Callable[[int], None]) -> None:
        """Call `act` with the number of a row that the reader opens."""
        self._on("open", act)

    def take(self, **message: int) -> None:
        """Act as for a reader who does `choose=` or `open=` with a row."""
        self._handle_custom_msg(message, [])

    def _on(self, what: str, act: Callable[[int], None]) -> None:
        self.on_msg(lambda _, content, __: act(int(content[what])) if what in content else None)


def column(key: str, name: str = "", kind: str = "text", **more) -> dict:
    """A column of a `Table`: the key of its values, its name, and its kind.

    "text" and "choice" (offered as a filter too) are texts; "number" has two digits, "whole" none, "small" is a probability.
    Further: title (the name's tooltip), width and least (CSS and pixels), rising (numbers sorted from the least first), bar
    (the value of a full bar), colour (the key of the marks' colours), none (the filter's words for a missing value).
    """
    if kind not in KINDS:
        raise ValueError(f"kind={kind!r} is not one of {', '.join(KINDS)}")
    return {"key": key, "name": name or key, "kind": kind, **more}


def plain(values: Sequence) -> list:
    """Values as JSON has them: None for NaN, infinite and missing ones, Python's own numbers."""
    series = pd.Series(values)
    if series.dtype.kind == "f":
        series = series.where(np.isfinite(series))
    if series.dtype.kind in "iu":
        return series.tolist()
    return [None if value is None or value is pd.NA or value != value else value for value in series.astype(object)]
