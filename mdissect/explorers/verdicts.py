"""Readers' verdicts on labels, saved in a CSV as they are given, and the agreement of readers."""

import os
from dataclasses import dataclass
from pathlib import Path

import ipywidgets as widgets
import numpy as np
import pandas as pd
from filelock import FileLock

from mdissect.explorers.html import lines_html
from mdissect.signatures import validated
from mdissect.tables import read_text_table, write_table

VERDICTS = ("agree", "partly", "disagree", "can't tell")
KEY = ["result", "layer", "neuron", "reader"]
COLUMNS = [*KEY, "label", "verdict", "text"]


class Notes:
    """The verdicts of one or more readers in a CSV file, a row per result, layer, neuron and reader.

    >>> notes = Notes("build/verdicts.csv", result="M")                                         # doctest: +SKIP
    >>> mdissect.explore(study.dissect("M"), notes=notes)  # has a panel to give verdicts in     # doctest: +SKIP
    >>> notes.record("bn2", 73, "AB", verdict="agree", label="implant")                         # doctest: +SKIP
    >>> notes.recall("bn2", 73, "AB").verdict                                                   # doctest: +SKIP
    'agree'

    Each `record` reads the file, changes one row and writes the file atomically under a lock, so several readers may share it.
    Earlier verdicts are there when the file is opened. Only the file's owner can read it.

    Parameters
    ----------
    path : path
        Made with the first verdict, with its folder.
    result : str
        Which result the verdicts are about, such as the setup "M"; those on other results stay in the file untouched.

    Raises
    ------
    ValueError
        The file is there, but is not a table of verdicts.
    """

    @validated()
    def __init__(self, path: str | os.PathLike, result: str = ""):
        self.path, self.result = Path(path), result
        _read(self.path)

    @property
    def table(self) -> pd.DataFrame:
        """The verdicts on this result: layer, neuron, reader, label, verdict, text."""
        table = _read(self.path)
        return table[table.result == self.result].drop(columns="result").reset_index(drop=True)

    @validated()
    def recall(self, layer: str, neuron: int, reader: str) -> pd.Series:
        """A reader's row on a neuron; verdict and text are empty where there is none."""
        table = self.table
        row = table[(table.layer == layer) & (table.neuron == neuron) & (table.reader == _initials(reader))]
        if len(row):
            return row.iloc[0]
        return pd.Series({"layer": layer, "neuron": neuron, "reader": reader, "label": "", "verdict": "", "text": ""})

    @validated(verdict=("", *VERDICTS))
    def record(
        self, layer: str, neuron: int, reader: str, *, verdict: str | None = None, text: str | None = None, label: str = ""
    ) -> None:
        """Save a reader's verdict, text or both; None leaves the previous value.

        Parameters
        ----------
        reader : str
            Initials.
        verdict : str
            One of `VERDICTS`, or "" to take it back.
        label : str
            What the neuron was called when the verdict was given.

        Raises
        ------
        ValueError
            No initials, or an unknown verdict.
        OSError
            The file cannot be written; the old one is untouched.
        """
        key = (self.result, layer, int(neuron), _initials(reader))
        given = {name: value for name, value in (("verdict", verdict), ("text", text)) if value is not None}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self.path.with_name(f".{self.path.name}.lock")):
            rows = {tuple(row[name] for name in KEY): row for row in _read(self.path).to_dict("records")}
            old = rows.get(key, {**dict(zip(KEY, key, strict=True)), "verdict": "", "text": ""})
            rows[key] = {**old, "label": label, **given}
            table = pd.DataFrame([rows[key] for key in sorted(rows)], columns=COLUMNS)
            write_table(self.path, table, private=True)

    @validated()
    def merge(self, path: str | os.PathLike) -> dict[str, int]:
        """Add the verdicts of another file, such as one that a reader saved in an atlas: counts of new, changed and same rows.

        >>> notes.merge("verdicts_AB.csv")                                                      # doctest: +SKIP
        {'new': 12, 'changed': 1, 'same': 30}

        Rows on all results are taken. Of a row in both files, which has the same result, layer, neuron and reader, the other
        file's is kept.

        Raises
        ------
        FileNotFoundError
            There is no such file.
        ValueError
            It is not a table of verdicts, or a row has no reader; this file is untouched.
        """
        if not Path(path).is_file():
            raise FileNotFoundError(f"no verdicts at {path}; the atlas saves them by its button into the browser's downloads")
        others = _read(Path(path))
        if (nameless := others.reader.str.strip() == "").any():
            raise ValueError(f"{path}: row {int(nameless.to_numpy().argmax()) + 1} has no reader; enter the initials")
        counts = {"new": 0, "changed": 0, "same": 0}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self.path.with_name(f".{self.path.name}.lock")):
            rows = {tuple(row[name] for name in KEY): row for row in _read(self.path).to_dict("records")}
            for row in others.to_dict("records"):
                key = tuple(row[name] for name in KEY)
                counts["new" if key not in rows else "same" if rows[key] == row else "changed"] += 1
                rows[key] = row
            table = pd.DataFrame([rows[key] for key in sorted(rows)], columns=COLUMNS)
            write_table(self.path, table, private=True)
        return counts

    def agreement(self) -> "Agreement":
        """The agreement of this result's readers, see `reader_agreement`."""
        return reader_agreement(self.table)


@dataclass(frozen=True)
class Agreement:
    """Agreement beyond chance over the neurons on which all readers gave a verdict."""

    readers: tuple[str, ...]
    neurons: int
    share: float  # of pairs of verdicts on a neuron that are the same; NaN without a neuron
    kappa: float  # Cohen's of two readers, Fleiss' of more; NaN without a neuron, or with the same verdict throughout
    method: str  # "Cohen" or "Fleiss"


def reader_agreement(table: pd.DataFrame) -> Agreement:
    """The readers' agreement, from columns layer, neuron, reader, verdict; rows without a verdict are ignored.

    Verdicts are taken as names without an order (Cohen 1960; Fleiss 1971). ValueError of fewer than two readers, or of a
    reader with two verdicts on a neuron.
    """
    given = table[table.verdict != ""]
    readers = tuple(sorted(given.reader.unique()))
    if len(readers) < 2:
        raise ValueError(f"agreement needs verdicts of two readers at least; there are those of {', '.join(readers) or 'none'}")
    if (twice := given.duplicated(["layer", "neuron", "reader"])).any():
        row = given[twice].iloc[0]
        raise ValueError(f"{row.reader} has two verdicts on neuron {row.neuron} of {row.layer}; keep one")
    verdicts = given.pivot(index=["layer", "neuron"], columns="reader", values="verdict").dropna()
    method = "Cohen" if len(readers) == 2 else "Fleiss"
    if verdicts.empty:
        return Agreement(readers, 0, float("nan"), float("nan"), method)
    counts = np.stack([(verdicts == verdict).sum(axis=1) for verdict in VERDICTS], axis=1)  # (n_neurons, n_verdicts)
    share = float((counts * (counts - 1)).sum(axis=1).mean() / (len(readers) * (len(readers) - 1)))
    margins = np.stack([(verdicts == verdict).mean() for verdict in VERDICTS])  # (n_verdicts, n_readers)
    by_chance = float((margins.prod(axis=1) if method == "Cohen" else margins.mean(axis=1) ** 2).sum())
    kappa = (share - by_chance) / (1 - by_chance) if by_chance < 1 else float("nan")
    return Agreement(readers, len(verdicts), share, kappa, method)


def _initials(reader: str) -> str:
    if not reader.strip():
        raise ValueError("whose verdict is it? give the reader's initials")
    return reader.strip()


def _read(path: Path) -> pd.DataFrame:
    """The file's table, empty where there is no file."""
    if not path.exists():
        return pd.DataFrame({name: pd.Series(dtype=int if name == "neuron" else object) for name in COLUMNS})
    table = read_text_table(path, COLUMNS, own=True, may_be_empty=True)
    if others := [name for name in table if name not in COLUMNS]:  # they would be lost with the next verdict
        raise ValueError(f"{path}: expected the columns {', '.join(COLUMNS)}; found {', '.join(others)} too; give another file")
    if not (whole := table.neuron.str.fullmatch("[0-9]{1,18}").astype(bool)).all():
        line = whole.idxmin()
        raise ValueError(f"{path}, line {line}, column neuron: {table.neuron[line]!r} is not a whole number")
    if not (known := table.verdict.isin(["", *VERDICTS])).all():
        line = known.idxmin()
        raise ValueError(f"{path}, line {line}, column verdict: {table.verdict[line]!r} is not one of {', '.join(VERDICTS)}")
    if (twice := table.duplicated(KEY)).any():
        raise ValueError(
            f"{path}, line {twice.idxmax()}: a second row of {', '.join(table.loc[twice.idxmax(), KEY])}; keep one"
        )
    return table[COLUMNS].astype(object).assign(neuron=table.neuron.astype(int)).reset_index(drop=True)


NONE = "no verdict"


class VerdictPanel(widgets.VBox):
    """Initials, verdict and free text on one neuron; each change is saved at once, earlier entries are shown."""

    def __init__(self):
        self._notes, self._place, self._label, self._showing = None, None, "", False
        self.reader = widgets.Text(description="reader", placeholder="initials", layout=widgets.Layout(width="170px"))
        self.verdict = widgets.ToggleButtons(options=[NONE, *VERDICTS], style={"button_width": "95px"})
        self.text = widgets.Textarea(placeholder="why", rows=2, layout=widgets.Layout(flex="1 1 auto", width="auto"))
        self.message = widgets.HTML()
        super().__init__([widgets.HBox([self.reader, self.verdict]), widgets.HBox([self.text]), self.message])
        self.reader.observe(lambda _: self._recall(), "value")
        self.verdict.observe(lambda change: self._keep(verdict="" if change.new == NONE else change.new), "value")
        self.text.observe(lambda change: self._keep(text=change.new), "value")

    def show(self, notes: Notes, layer: str, neuron: int, label: str) -> None:
        """Show a neuron and its label."""
        self._notes, self._place, self._label = notes, (layer, neuron), label
        self._recall()

    def _recall(self) -> None:
        """Show this reader's earlier entries on this neuron."""
        self._showing = True
        try:
            known = bool(self.reader.value.strip())
            before = self._notes.recall(*self._place, self.reader.value) if known else {"verdict": "", "text": ""}
            self.verdict.value, self.text.value = before["verdict"] or NONE, before["text"]
            self.verdict.disabled = self.text.disabled = not known
            self._say("" if known else "Enter your initials to save a verdict.")
        except (OSError, ValueError) as error:
            self._say(f"The verdicts cannot be read: {error}")
        finally:
            self._showing = False

    def _keep(self, **given: str) -> None:
        if self._showing:
            return
        try:
            self._notes.record(*self._place, self.reader.value, label=self._label, **given)
            self._say(f"kept in {self._notes.path.name}")
        except (OSError, ValueError) as error:
            self._say(f"The verdict could not be kept: {error}")

    def _say(self, message: str) -> None:
        self.message.value = lines_html([message])
