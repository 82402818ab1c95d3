"""The oracle: a dissector made of a probe's own labels, with no image-text model in it."""

import difflib
import hashlib
import json
import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from mdissect.arguments import counted, listed, one_of
from mdissect.models.dissector import Dissector

if TYPE_CHECKING:
    from pandas import DataFrame, Series

    from mdissect.probes import Probe


def load_labels(rest: str, *, probe: "Probe", column: str | Sequence[str], missing: str = "raise") -> "LabelDissector":
    """The oracle of a labelled probe.

    >>> load_dissector("labels", probe=probe, column="class").labels  # doctest: +SKIP

    Parameters
    ----------
    probe : Probe
        Its table holds the labels.
    column : str or sequence of str
        Columns of the table. A value may be a string ("oval"), several joined by "; ", a list, or a number; a column of
        true and false (or 1 and 0) is itself the label. Empty values are no label.
    missing : {"raise", "zero"}
        What becomes of a text that names no label: an error, or a zero vector (similar to no image).

    Raises
    ------
    ValueError
        Unknown column (the closest are listed), or columns without a single label.
    """
    if rest:
        raise ValueError(f"the labels dissector is called 'labels', found 'labels/{rest}'; name the column with column=")
    columns = [column] if isinstance(column, str) else list(column)
    return LabelDissector(probe.table, columns, missing, name=f"labels of {probe.name} ({', '.join(columns)})")


class LabelDissector(Dissector):
    """Images embedded as their labels, texts as the label they name.

    An image with labels {a, b} is the unit vector (a + b) / sqrt(2) over all labels. An image without labels points along one
    further axis that no text has. A text is the axis of its label. Their product is therefore 0 where the image is without the
    label, and 1 over the root of the image's number of labels where it has it.

    Parameters
    ----------
    table : DataFrame
        One row per image, indexed by image id.
    columns, missing
        As for `load_labels`.

    Attributes
    ----------
    labels : list of str
        In the order of the axes.
    """

    aligned = True
    needs_pixels = False

    def __init__(self, table: "DataFrame", columns: list[str], missing: str = "raise", name: str = "labels"):
        one_of("missing", missing, ("raise", "zero"))
        _check_table(table, columns)
        found = [_labels_of(table[column]) for column in columns]
        pairs = sorted({(column, label) for column, rows in zip(columns, found, strict=True) for row in rows for label in row})
        if not pairs:
            raise ValueError(f"no labels in column {', '.join(map(repr, columns))}: all {len(table)} values are empty or false")
        self.name = name
        self.missing = missing
        self.labels = [label for _, label in pairs]
        self._axes = _names_of(pairs)
        self._rows = {image: row for row, image in enumerate(table.index)}
        hot = torch.zeros(len(table), len(pairs) + 1)
        axis = {pair: i for i, pair in enumerate(pairs)}
        for column, rows in zip(columns, found, strict=True):
            for i, row in enumerate(rows):
                for label in row:
                    hot[i, axis[column, label]] = 1.0
        hot[:, -1] = (hot.sum(dim=1) == 0).float()
        self._images = F.normalize(hot, dim=1)
        self.fingerprint = _hash([list(map(str, table.index)), pairs], hot.numpy().tobytes())
        self.text_fingerprint = _hash([pairs, missing])

    def encode_ids(self, ids: Sequence[str]) -> Tensor:
        """Embed images as unit vectors (n, n_labels + 1); ValueError for an id that is not in the table."""
        unknown = [str(image) for image in ids if image not in self._rows]
        if unknown:
            raise ValueError(
                f"{len(unknown)} of {len(ids)} image ids are not in the table of {self.name}: {listed(unknown)}; make "
                "the dissector from the probe that is dissected"
            )
        return self._images[[self._rows[image] for image in ids]]

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """Embed texts as the axis of the label they name (n, n_labels + 1).

        Case, underscores and hyphens do not matter, and "column=label" or "column label" are accepted as well.

        Raises
        ------
        ValueError
            A text that names no label (unless missing="zero"), or labels of several columns.
        """
        named = [self._axes.get(_plain(text), []) for text in texts]
        several = [text for text, axes in zip(texts, named, strict=True) if len(axes) > 1]
        if several:
            raise ValueError(f"labels of several columns are called {listed(several)}: write 'column=label'")
        nameless = [text for text, axes in zip(texts, named, strict=True) if not axes]
        if nameless and self.missing == "raise":
            raise ValueError(
                f"{len(nameless)} of {len(texts)} concepts name no label of {self.name}: {listed(list(map(repr, nameless)))}; "
                f"its labels: {listed(self.labels, 50)}. Use these as concepts, or missing='zero'"
            )
        embedded = torch.zeros(len(texts), self._images.shape[1])
        for i, axes in enumerate(named):
            embedded[i, axes] = 1.0
        return embedded


def _check_table(table: "DataFrame", columns: list[str]) -> None:
    for column in columns:
        if column not in table.columns:
            close = difflib.get_close_matches(str(column), map(str, table.columns), n=3)
            hint = f"; closest: {', '.join(close)}" if close else ""
            raise ValueError(f"no column {column!r} in the probe's table; it has {', '.join(map(str, table.columns))}{hint}")
    if not table.index.is_unique:
        repeated = table.index[table.index.duplicated()].unique()
        raise ValueError(f"the table has several rows for {counted(repeated, 'image id')}")


def _labels_of(column: "Series") -> list[list[str]]:
    """Per image, its labels in one column."""
    cells = [_cell(value) for value in column]
    if {text.lower() for texts in cells for text in texts} <= {"true", "false", "1", "0"}:
        return [[str(column.name)] if texts and texts[0].lower() in ("true", "1") else [] for texts in cells]
    return cells


def _cell(value: object) -> list[str]:
    """A table's value as a list of strings without blanks."""
    if isinstance(value, (list, tuple, set, frozenset)):
        return sorted({text for part in value for text in _cell(part)})
    if isinstance(value, str):
        return sorted({part.strip() for part in value.split(";")} - {""})
    if value is None or value != value:  # NaN and NaT differ from themselves
        return []
    if isinstance(value, float) and math.isfinite(value) and value == int(value):
        value = int(value)
    return [str(value)]


def _names_of(pairs: list[tuple[str, str]]) -> dict[str, list[int]]:
    """The texts that name each axis: the label, and the label with its column before it."""
    axes: dict[str, list[int]] = {}
    for i, (column, label) in enumerate(pairs):
        for text in {_plain(label), _plain(f"{column} {label}")}:
            axes.setdefault(text, []).append(i)
    return axes


def _plain(text: str) -> str:
    """Lower case, with single blanks for underscores, hyphens and equals signs."""
    return " ".join(re.split(r"[\s_=-]+", text.lower().strip()))


def _hash(described: list, content: bytes = b"") -> str:
    return hashlib.sha256(json.dumps(described).encode() + content).hexdigest()
