"""The table of a layer's neurons, as columns and rows of `mdissect.browser.Table`."""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from mdissect.browser import Table, column
from mdissect.columns import ends_of
from mdissect.explorers.glossary import PREDICTS
from mdissect.explorers.html import colour_of
from mdissect.explorers.reading import Reading
from mdissect.explorers.saving import labels_table

NO_LABEL = "no label"
VISIBLE = "one mammogram shows it"
KNOWN = {"concept", "category", "broad_category", "similarity", "needs", "note", "threshold", "passes", "layer", "neuron"}
SMALL = {"q": "q", "p_label": "p of the label"}
VERDICT = column("verdict", kind="choice", title="verdicts of the readers so far")
FIRST = ("calibrated_concept", "q", "p_label", "stability", "flag")


def neuron_columns(labels: pd.DataFrame, meanings: Mapping[str, str]) -> list[dict]:
    """The columns that are shown of `labels_table`; those without any value are left out."""
    columns = [
        column("neuron", kind="whole", width="70px", least=70, rising=True),
        column("label", width="minmax(170px, 3fr)", least=170, colour="colour"),
    ]
    if "calibrated_concept" in labels:
        title = "the label by the calibrated rule, which was compared with chance; empty: none is better than chance"
        columns.append(column("calibrated_concept", "better than chance", title=title, width="minmax(150px, 2fr)", least=150))
    columns.append(column("similarity", kind="number", title=meanings["similarity"], width="100px", least=100))
    columns.append(column("passes", "threshold", "choice", title=meanings["threshold"], width="96px", least=96))
    for name, shown in SMALL.items():
        if name in labels and labels[name].notna().any():
            columns.append(column(name, shown, "small", title=meanings[shown], rising=True))
    if "stability" in labels and labels.stability.notna().any():
        columns.append(column("stability", kind="number", title=meanings["stability"]))
    left_out = {*KNOWN, *FIRST, "p", "rule", *ends_of(labels)}
    columns += [_attached(labels, name, meanings) for name in labels if name not in left_out]
    for name in ("broad_category", "needs", "flag"):
        if name in labels and (labels[name].fillna("") != "").any():
            none = {"none": VISIBLE} if name == "needs" else {}
            columns.append(column(name, name.replace("broad_", ""), "choice", title=meanings.get(name), **none))
    return [*columns, VERDICT]


def neuron_rows(labels: pd.DataFrame) -> dict[str, list]:
    """The values of `labels_table`, as they are shown."""
    rows = {name: labels[name].tolist() for name in labels if name not in ("layer", "concept", "passes", "category", "note")}
    rows["label"] = [name or NO_LABEL for name in labels.concept]
    rows["passes"] = np.where(labels.concept == "", "", np.where(labels.passes.astype(bool), "above", "below")).tolist()
    rows["colour"] = [colour_of(name) for name in labels.broad_category]
    return rows


class NeuronTable(Table):
    """All neurons of a layer; those of the layer shown last are not sent again."""

    def __init__(self):
        self._labels: dict[int, pd.DataFrame] = {}
        self._shown = None
        super().__init__(things="neurons", sort="similarity")
        self.layout.width = "100%"

    def show_layer(
        self,
        reading: Reading,
        layer: str,
        meanings: Mapping[str, str],
        hidden: bool = False,
        study: set[int] | None = None,
    ) -> None:
        """Show a layer's neurons; with `hidden`, nothing but numbers and verdicts; `study`: those to judge, if not all."""
        shown = id(reading), layer, hidden, study
        if self._shown == shown:
            return
        self._shown = shown
        if id(reading) not in self._labels:
            self._labels[id(reading)] = labels_table(reading)
        labels = self._labels[id(reading)]
        labels = labels[labels.layer == layer].sort_values("neuron")
        columns, rows = neuron_columns(labels, meanings), neuron_rows(labels)
        if hidden:
            columns, rows = [columns[0], columns[-1]], {"neuron": rows["neuron"]}
        if study is not None:
            columns.insert(1, column("study", kind="choice", title="to be judged", none="not in the study"))
            rows["study"] = ["in the study" if neuron in study else "" for neuron in rows["neuron"]]
        self.label = f"neurons of {layer}"
        self.show(columns, rows)

    def mark(self, neuron: int, verdicts: pd.DataFrame | None) -> None:
        """Choose the row of a neuron, and show the readers' verdicts: neuron, reader, verdict."""
        if verdicts is not None:
            self.later = {"verdict": _verdicts(verdicts, len(self.rows.get("neuron", ())))}
        self.chosen = neuron


class SimilarTable(Table):
    """The neurons that go together with one; `open` is called with the model, layer and number of one that is chosen."""

    def __init__(self, open: Callable[[str, str, int], None]):
        self._places: list[tuple[str, str, int]] = []
        super().__init__(label="neurons with similar activations", things="neurons", filters=False)
        self.on_open(lambda i: open(*self._places[i]))
        self.on_choose(lambda i: open(*self._places[i]))

    def show_similar(self, found: pd.DataFrame, several: bool, hidden: bool = False) -> None:
        """Show what `similar_neurons` found, the models' names where there are several; with `hidden`, no labels."""
        self._places = list(zip(found.model, found.layer, found.neuron, strict=True))
        columns = [column("model", width="minmax(60px, 1fr)", least=60)] if several else []
        columns += [column("layer", width="minmax(80px, 1fr)", least=80)]
        columns += [column("neuron", kind="whole", width="70px", least=70)]
        columns += [] if hidden else [column("label", width="minmax(150px, 3fr)", least=150)]
        title = "Pearson’s r of the activations over the images that both were shown"
        columns.append(column("correlation", kind="number", title=title, width="100px", least=100))
        rows = {name: found[name].tolist() for name in found}
        rows["label"] = [] if hidden else [label or NO_LABEL for label in found.label]
        self.height = max(len(found), 1)
        self.show(columns, rows)


def _attached(labels: pd.DataFrame, name: str, meanings: Mapping[str, str]) -> dict:
    """The column of what is attached to a dissection."""
    title = meanings.get(PREDICTS if name == "predicts" else name)
    values = labels[name].dropna()
    numbers = [isinstance(value, (int, float, np.number)) and not isinstance(value, bool) for value in values]
    return column(str(name), str(name).replace("_", " "), "number" if numbers and all(numbers) else "text", title=title)


def _verdicts(table: pd.DataFrame, n_neurons: int) -> list[str]:
    """For each neuron "agree", or "agree (AB), partly (CD)" where several readers gave one."""
    found = [""] * n_neurons
    for neuron, rows in table[table.verdict != ""].groupby("neuron"):
        each = [f"{row.verdict} ({row.reader})" for row in rows.itertuples()]
        if 0 <= neuron < n_neurons:
            found[neuron] = rows.verdict.iloc[0] if len(each) == 1 else ", ".join(each)
    return found
