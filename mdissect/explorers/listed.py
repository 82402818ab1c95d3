"""The tables of the concept and compare explorers: neurons nearest to concepts, and concepts gained and lost."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from mdissect.browser import Table, column
from mdissect.explorers.glossary import PREDICTS, terms
from mdissect.explorers.html import colour_of
from mdissect.explorers.neuron_table import NO_LABEL, VISIBLE
from mdissect.explorers.sides import SideBySide

# Numbers that are shown of a label where they are attached (`mdissect.trust.evidence`): their terms in the glossary.
MEASURED = {"predicts": PREDICTS, "clarity": "clarity"}


class ListedTable(Table):
    """The neurons nearest to some concepts, those with one of them as their label first."""

    def __init__(self):
        super().__init__(label="neurons by similarity to the concept", things="neurons", height=10)

    def show_neurons(self, sides: SideBySide, table: pd.DataFrame, total: int, words: Sequence[str]) -> None:
        """Show a table of `SideBySide.neurons`, of `total` neurons, with words on the label of each."""
        needs = [sides.needs(row.label) if row.label else "" for row in table.itertuples()]
        count = [
            "this label" if row.carries else "this label, below the threshold" if row.called else "other label"
            for row in table.itertuples()
        ]
        values = [float(value) for values in (table.similarity, table.threshold) for value in values if value == value]
        most = max(values, default=0) or 1  # a full bar reaches the threshold at least
        numbers = {name: _numbers(sides, table, name) for name in MEASURED}
        numbers = {name: column for name, column in numbers.items() if any(one is not None for one in column)}
        meant = terms(next(iter(sides.readings.values())))
        known = [column(name, kind="number", title=meant[MEASURED[name]], least=70) for name in numbers]
        columns = [
            *([column("model", kind="choice", width="64px", least=64)] if len(sides.models) > 1 else []),
            column("layer", kind="choice", width="minmax(80px, 1fr)", least=80),
            column("neuron", kind="whole", width="70px", least=70, rising=True),
            column("label", width="minmax(140px, 3fr)", least=140, colour="colour"),
            column("similarity", kind="number", bar=most, title="to the concept, or to the nearest of several", width="88px"),
            column("count", "counts", "choice", title="whether the concept is the neuron’s label", least=110),
            *known,
            column(
                "needs",
                kind="choice",
                title="what it takes beyond one mammogram to see the label",
                none=VISIBLE,
            ),
            column("words", "more", title="the nearest concept, and how far the label can be trusted", least=150),
        ]
        rows = {name: table[name].tolist() for name in ("model", "layer", "neuron", "similarity")} | numbers
        rows |= {"label": [name or NO_LABEL for name in table.label], "count": count, "needs": needs, "words": list(words)}
        rows["colour"] = [colour_of(sides.categories_of(name)[1] if name else "") for name in table.label]
        self.show(columns, rows, total if total > len(table) else 0)


def _numbers(sides: SideBySide, table: pd.DataFrame, name: str) -> list[float | None]:
    """An attached number of each row's neuron."""
    return [sides.readings[row.model].trust.number(name, row.layer, int(row.neuron), row.label) for row in table.itertuples()]


class ChangesTable(Table):
    """Concepts gained, lost and kept from one model to another: the last layer first, in it the most neurons."""

    def __init__(self):
        super().__init__(label="concepts gained, lost and kept", things="concepts", height=9)
        self.places: list[tuple[str, str]] = []

    def show_changes(self, changes: pd.DataFrame, sides: SideBySide, names: tuple[str, str]) -> None:
        """Show `CompareExplorer.changes` between the models of these names."""
        changes = in_order(changes, sides.layers)
        self.places = list(zip(changes.layer, changes.concept, strict=True))
        numbers = {"width": "96px", "least": 96}
        columns = [
            column("change", kind="choice", width="80px", least=80),
            column("concept", width="minmax(150px, 3fr)", least=150, colour="colour"),
            column("layer", kind="choice", width="minmax(80px, 1fr)", least=80),
            column("first", f"in {names[0]}", "whole", title="neurons with this label", **numbers),
            column("second", f"in {names[1]}", "whole", title="neurons with this label", **numbers),
            column("broad", "category", "choice", least=120),
            column("needs", kind="choice", title="what it takes beyond one mammogram to see it", none=VISIBLE, least=110),
        ]
        rows = {"change": changes.change, "concept": changes.concept, "layer": changes.layer, "broad": changes.broad_category}
        rows |= {"first": changes.neurons_first, "second": changes.neurons_second}
        rows["needs"] = [sides.needs(name) for name in changes.concept]
        rows["colour"] = [colour_of(name) for name in changes.broad_category]
        self.show(columns, {name: list(values) for name, values in rows.items()})


def in_order(changes: pd.DataFrame, layers: Sequence[str]) -> pd.DataFrame:
    """`CompareExplorer.changes` with the last layer first, in it those of the most neurons in both models together."""
    depth = changes.layer.map({layer: i for i, layer in enumerate(layers)})
    total = changes.neurons_first + changes.neurons_second
    return changes.iloc[np.lexsort((-total, -depth))].reset_index(drop=True)
