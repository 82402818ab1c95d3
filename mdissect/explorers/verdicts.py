"""Readers' verdicts on labels, saved in a CSV as they are given, and what a reader study is about."""

import copy
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from filelock import FileLock

from mdissect.dissection import Dissection
from mdissect.explorers.reading_list import Place, in_order, neurons_of_study, reading_list, result_digest
from mdissect.signatures import validated
from mdissect.tables import read_text_table, write_table
from mdissect.wording import VERDICTS

if TYPE_CHECKING:
    from mdissect.trust import Agreement

KEY = ["result", "digest", "layer", "neuron", "reader"]
GIVEN = ["label", "rule", "verdict", "words", "text"]
COLUMNS = [*KEY, *GIVEN]
LATER = ["digest", "rule", "words"]  # a file may lack these
NOTHING = dict.fromkeys(GIVEN, "")


class Notes:
    """The verdicts of one or more readers in a CSV file, a row per result, layer, neuron and reader.

    >>> notes = Notes("build/verdicts.csv", result="M")                                         # doctest: +SKIP
    >>> mdissect.explore(study.dissect("M"), notes=notes)  # has a panel to give verdicts in     # doctest: +SKIP
    >>> notes.record("bn2", 73, "AB", verdict="right", label="implant")                         # doctest: +SKIP
    >>> notes.recall("bn2", 73, "AB").verdict                                                   # doctest: +SKIP
    'right'

    A blind study of 32 neurons drawn from each layer; labels are hidden until the reader has saved words of their own:

    >>> study = Notes("build/study.csv", result="M", blind=True, neurons=32)                    # doctest: +SKIP
    >>> mdissect.explore(found, probe=probe, notes=study)                                       # doctest: +SKIP
    >>> study.agreement().layers                                                                # doctest: +SKIP

    Each `record` reads the file, changes one row and writes the file as a whole under a lock: several readers, in several
    processes, may share it, and a process that is killed leaves the previous file. Only the file's owner can read it. A verdict
    is stored with the label, the rule that chose it, and a digest of the result (`of`), so that verdicts on another result of
    the same name are kept apart.

    Parameters
    ----------
    path : path
        Made with the first verdict, with its folder.
    result : str
        Which result the verdicts are about, such as the setup "M"; those on other results stay in the file untouched.
    blind : bool
        Whether a reader has to save words of their own on a neuron before its label is shown. They stay as saved.
    neurons : int, list of (layer, neuron), or table with these columns, optional
        The study's neurons: so many drawn at random from each layer, or those listed. Default: all.
    named : bool
        Only those whose label counts: better than chance if the result is calibrated, else above the threshold.
    seed : int
        Of the draw, and of the order, which differs from reader to reader.

    Raises
    ------
    ValueError
        The file is there, but is not a table of verdicts.
    """

    @validated(neurons=neurons_of_study)
    def __init__(
        self,
        path: str | os.PathLike,
        result: str = "",
        *,
        blind: bool = False,
        neurons: int | Sequence[Place] | pd.DataFrame | None = None,
        named: bool = False,
        seed: int = 0,
    ):
        self.path, self.result = Path(path), result
        self.blind, self.neurons, self.named, self.seed = blind, neurons, named, seed
        self.digest, self.rule = "", ""  # of the result, and by which its labels were chosen, where that is known
        self._known: tuple = (None, None)  # the file's state, and its table then
        self._file()

    @validated()
    def of(self, dissection: Dissection, result: str | None = None) -> "Notes":
        """The same notes on one result only: rows are stored with its digest and its labels' rule, other digests kept apart.

        >>> notes.of(found).table                                                               # doctest: +SKIP

        `explore` and `write_atlas` do this. Rows without a digest count as the result's.
        """
        own = copy.copy(self)
        own.digest, own.rule = result_digest(dissection), label_rule(dissection)
        own.result = self.result if result is None else result
        return own

    @property
    def table(self) -> pd.DataFrame:
        """The verdicts on this result: layer, neuron, reader, label, rule, verdict, words (the reader's own), text, digest."""
        table = self._own(self._file())
        return table[[*KEY[2:], *GIVEN, "digest"]].reset_index(drop=True)

    @property
    def others(self) -> int:
        """How many rows of the file are on another result of the same name."""
        table = self._file()
        return int((table.result == self.result).sum()) - len(self._own(table))

    @validated()
    def recall(self, layer: str, neuron: int, reader: str) -> pd.Series:
        """A reader's row on a neuron; verdict, words and text are empty where there is none.

        ValueError where the file has it on two results of this name, and `of` has not said which is meant.
        """
        table = self.table
        rows = table[(table.layer == layer) & (table.neuron == neuron) & (table.reader == _initials(reader))]
        if len(rows) > 1:
            raise ValueError(f"{self.path} {_several(rows.digest, self.result)}")
        if len(rows):
            return rows.iloc[0]
        return pd.Series({"layer": layer, "neuron": neuron, "reader": reader, **NOTHING, "digest": self.digest})

    @validated(verdict=("", *VERDICTS))
    def record(
        self,
        layer: str,
        neuron: int,
        reader: str,
        *,
        verdict: str | None = None,
        text: str | None = None,
        label: str = "",
        words: str | None = None,
    ) -> None:
        """Save a reader's verdict, words, text, or several of these; None leaves the previous value.

        Parameters
        ----------
        reader : str
            Initials.
        verdict : str
            One of "right", "partly", "wrong", "cannot tell", or "" to take it back.
        text : str
            Why.
        label : str
            What the neuron was called when the verdict was given.
        words : str
            The reader's own, written before the label was seen; once saved, they cannot be changed.

        Raises
        ------
        ValueError
            No initials, or an unknown verdict; other words than those saved before; in a blind study a verdict without words.
        OSError
            The file cannot be written; the old one is untouched.
        """
        who = _initials(reader)
        key = (self.result, self.digest, layer, int(neuron), who)
        given = {name: value for name, value in (("verdict", verdict), ("words", words), ("text", text)) if value is not None}
        with self._changed() as rows:
            without = (self.result, "", *key[2:])
            old = rows.get(key) or rows.pop(without, None) or dict(zip(KEY, key, strict=True)) | NOTHING
            if words is not None and old["words"] not in ("", words):
                raise ValueError(f"{who} has saved words on neuron {neuron} of {layer} before the label was shown; they stay")
            new = {**old, "digest": self.digest, "label": label, "rule": self.rule, **given}
            if self.blind and new["verdict"] and not new["words"].strip():
                raise ValueError(f"a blind study: {who} has to save own words on neuron {neuron} of {layer} before a verdict")
            rows[key] = new

    @validated()
    def merge(self, path: str | os.PathLike) -> dict[str, int]:
        """Add the verdicts of another file, such as one that a reader saved in an atlas: counts of new, changed and same rows.

        >>> notes.merge("verdicts_AB.csv")                                                      # doctest: +SKIP
        {'new': 12, 'changed': 1, 'same': 30}

        Rows on all results are taken. Of a row in both files, which has the same result, digest, layer, neuron and reader, the
        other file's is kept.

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
        with self._changed() as rows:
            for row in others.to_dict("records"):
                key = tuple(row[name] for name in KEY)
                counts["new" if key not in rows else "same" if rows[key] == row else "changed"] += 1
                rows[key] = row
        return counts

    @validated()
    def agreement(self, n_boot: int = 2000, seed: int = 0, level: float = 0.95) -> "Agreement":
        """The agreement of this result's readers: see `mdissect.trust.reader_agreement`.

        ValueError where the file has verdicts on two results of this name: `notes.of(dissection)` says which is meant.
        """
        table = self.table
        digests = table.digest[table.verdict != ""]
        if not self.digest and digests.nunique() > 1:
            raise ValueError(f"{self.path} {_several(digests, self.result)}")
        from mdissect.trust import reader_agreement  # brings torch, which looking does without

        return reader_agreement(table, n_boot, seed, level)

    @validated()
    def places(self, dissection: Dissection, reader: str = "", counting: Sequence[Place] | None = None) -> list[Place]:
        """The study's neurons as (layer, neuron), in the order in which a reader sees them.

        `counting`: the neurons whose labels count, to which a study of named ones is restricted.
        """
        named = counting if self.named else None
        return in_order(reading_list(dissection, self.neurons, self.result, self.seed, named), self.result, reader, self.seed)

    def _file(self) -> pd.DataFrame:
        """The file's table, read again where the file has changed."""
        there = self.path.stat() if self.path.exists() else None
        state = there and (there.st_mtime_ns, there.st_size, there.st_ino)
        if state is None or state != self._known[0]:
            self._known = (state, _read(self.path))
        return self._known[1]

    def _own(self, table: pd.DataFrame) -> pd.DataFrame:
        """The rows on this result: of its digest, or of any if it is not known; a row without digest gives way to one with."""
        table = table[table.result == self.result]
        if not self.digest:
            return table
        table = table[table.digest.isin([self.digest, ""])].sort_values("digest", kind="stable", ascending=False)
        return table.drop_duplicates(["layer", "neuron", "reader"]).sort_index()

    @contextmanager
    def _changed(self) -> Iterator[dict[tuple, dict]]:
        """The file's rows by their key, to change; they are written, under the lock, when the block ends without an error."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self.path.with_name(f".{self.path.name}.lock")):
            rows = {tuple(row[name] for name in KEY): row for row in self._file().to_dict("records")}
            yield rows
            table = pd.DataFrame([rows[key] for key in sorted(rows)], columns=COLUMNS)
            write_table(self.path, table, private=True)


def label_rule(dissection: Dissection) -> str:
    """The rule that chose a result's labels, as it is stored beside a verdict."""
    if dissection.trusted is not None:
        return str(dissection.settings.get("calibrated", {}).get("rule", "calibrated"))
    return str(dissection.settings.get("similarity", "highest similarity"))


def _several(digests: Iterable[str], result: str) -> str:
    found = ", ".join(sorted({digest or "none" for digest in digests}))
    return f"has verdicts on different results called {result!r} (digests {found}); take those of one by notes.of(dissection)"


def _initials(reader: str) -> str:
    if not reader.strip():
        raise ValueError("whose verdict is it? give the reader's initials")
    return reader.strip()


def _read(path: Path) -> pd.DataFrame:
    """The file's table, empty where there is no file."""
    if not path.exists():
        return pd.DataFrame({name: pd.Series(dtype=int if name == "neuron" else object) for name in COLUMNS})
    table = read_text_table(path, [name for name in COLUMNS if name not in LATER], own=True, may_be_empty=True)
    if others := [name for name in table if name not in COLUMNS]:  # they would be lost with the next verdict
        raise ValueError(f"{path}: expected the columns {', '.join(COLUMNS)}; found {', '.join(others)} too; give another file")
    table = table.assign(**{name: "" for name in LATER if name not in table})
    _check(path, table, "neuron", table.neuron.str.fullmatch("[0-9]{1,18}").astype(bool), "is not a whole number")
    known = ["", *VERDICTS]
    _check(path, table, "verdict", table.verdict.isin(known), f"is not one of {', '.join(VERDICTS)}")
    if (twice := table.duplicated(KEY)).any():
        row = [one for one in table.loc[twice.idxmax(), KEY] if one]
        raise ValueError(f"{path}, line {twice.idxmax()}: a second row of {', '.join(row)}; keep one")
    return table[COLUMNS].astype(object).assign(neuron=table.neuron.astype(int)).reset_index(drop=True)


def _check(path: Path, table: pd.DataFrame, column: str, good: pd.Series, wrong: str) -> None:
    if not good.all():
        line = good.idxmin()
        raise ValueError(f"{path}, line {line}, column {column}: {table[column][line]!r} {wrong}")
