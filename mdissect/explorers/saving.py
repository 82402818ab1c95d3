"""Files of an explorer: its view as PNG and SVG, and a table of all labels."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import ipywidgets as widgets
import pandas as pd

from mdissect.explorers.html import lines_html
from mdissect.explorers.reading import EVERYTHING, Reading
from mdissect.signatures import validated
from mdissect.tables import write_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LABELS = "labels.csv"


def view_name(state: Mapping) -> str:
    """The name of a view's files, "bn2-73-strongest": then the options that differ from the defaults.

    >>> view_name({"layer": "blocks.1", "neuron": 7, "images": "weakest", "overlay": True, "boxes": False, "split": "density"})
    'blocks.1-7-weakest-overlay-by-density'
    """
    parts = [state.get("model", ""), state["layer"], state["neuron"], state["images"]]
    parts += [name for name in ("overlay", "boxes") if state.get(name)]
    parts += [f"by-{state['split']}"] if state.get("split", EVERYTHING) != EVERYTHING else []
    parts += [f"image-{state['enlarged']}"] if state.get("enlarged") else []
    return re.sub(r"[^A-Za-z0-9._]+", "-", "-".join(map(str, parts))).strip("-.")[:150]


def save_view(fig: "Figure", folder: Path, name: str, settings: Mapping) -> Path:
    """Write <folder>/<name>.png, .svg and .json by `mdissect.plots.save_figure`, readable only by their owner."""
    from mdissect.plots import save_figure  # matplotlib

    return save_figure(fig, folder / name, settings, private=True)


@validated()
def labels_table(reading: Reading) -> pd.DataFrame:
    """Every neuron's label and the evidence for it: the table of an explorer's "save labels".

    >>> labels_table(explorer.reading).query("passes")                                          # doctest: +SKIP

    Parameters
    ----------
    reading : Reading
        Of an explorer, `Explorer.reading`.

    Returns
    -------
    DataFrame
        The columns of `Dissection.labels`, threshold, passes and, where they are known, calibrated_concept, p, q, p_label,
        stability, flag and rule, and the attached columns (of the calibrated label where there is one); a row per neuron.
    """
    labels = reading.dissection.top_concepts(1).drop(columns="rank")
    threshold = labels.layer.map(reading.threshold).astype(float)
    return reading.trust.columns(labels.assign(threshold=threshold, passes=labels.similarity >= threshold))


def save_labels(readings: Mapping[str, Reading], path: Path) -> Path:
    """Write `labels_table` as CSV; several models one after the other, with the column model."""
    tables = {model: labels_table(reading) for model, reading in readings.items()}
    table = pd.concat(tables, names=["model"]).reset_index(level=0) if len(tables) > 1 else next(iter(tables.values()))
    write_table(path, table)
    return path


class SavePanel(widgets.HBox):
    """Buttons that write the view and the labels by functions that return the path; says where they went, or why not."""

    def __init__(self, save_view: Callable[[], Path], save_labels: Callable[[], Path]):
        self.view, self.labels = (
            widgets.Button(
                description=name, icon="download", tooltip=tooltip, layout=widgets.Layout(width="auto", flex="0 0 auto")
            )
            for name, tooltip in (("save view", "as PNG and SVG"), ("save labels", "of all neurons, as CSV"))
        )
        self.message = widgets.HTML()
        self.view.on_click(lambda _: self._save("view", save_view))
        self.labels.on_click(lambda _: self._save("labels", save_labels))
        super().__init__([self.view, self.labels, self.message], layout=widgets.Layout(flex_flow="row wrap"))

    def _save(self, what: str, save: Callable[[], Path]) -> None:
        try:
            message = f"saved as {save()}"
        except (OSError, ValueError) as error:
            message = f"The {what} could not be saved: {error}"
        self.message.value = lines_html([message])
