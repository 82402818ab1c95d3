"""The oracle: a dissector made of a probe's own labels, without an image-text model."""

import difflib
import hashlib
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from mdissect.arguments import counted, listed, one_of, shown, texts
from mdissect.models.dissector import Dissector, same
from mdissect.models.label_columns import plain, read_labels
from mdissect.models.tokens import as_texts

if TYPE_CHECKING:
    from pandas import DataFrame

    from mdissect.probes import Probe


def load_labels(
    rest: str,
    *,
    probe: "Probe",
    column: str | Sequence[str],
    missing: str = "raise",
    categories: bool | str | Sequence[str] = False,
) -> "LabelDissector":
    """The oracle of a labelled probe.

    >>> load_dissector("labels", probe=probe, column="class").labels  # doctest: +SKIP
    >>> load_dissector("labels", probe=probe, column=["findings", "BIRADS"], categories="BIRADS")  # doctest: +SKIP

    Parameters
    ----------
    probe : Probe
        Its table holds the labels.
    column : str or sequence of str
        Columns of the table. A value may be a string ("oval"), several joined by "; ", a list, or a number; empty values are no
        label. A column that holds nothing but true and false (or 1 and 0) is itself the label; where it is empty, it is not
        known whether the image has it: see `LabelDissector`.
    missing : {"raise", "zero"}
        What becomes of a text that names no label: an error, or a zero vector (similar to no image).
    categories : bool, str or sequence of str
        Columns in which every value is a label, also if they contain only 0 and 1, such as BI-RADS categories in a
        subset. True: all columns.

    Raises
    ------
    ValueError
        Unknown column (the closest are listed), or columns without a single label.
    TypeError
        A probe without a table.
    """
    if rest:
        raise ValueError(f"the labels dissector is called 'labels', found 'labels/{rest}'; name the column with column=")
    if getattr(getattr(probe, "table", None), "columns", None) is None:
        raise TypeError(f"probe={shown(probe)} must be a probe with a table of labels: load_probe(...) makes one")
    columns = list(dict.fromkeys(texts("column", column)))
    name = f"labels of {probe.name} ({', '.join(columns)})"
    return LabelDissector(probe.table, columns, missing, name=name, categories=categories)


class LabelDissector(Dissector):
    """Images embedded as their labels, texts as the label they name.

    An image with labels {a, b} is the unit vector (a + b) / sqrt(2) over all labels. An image without labels points along one
    further axis that no text has. A text is the axis of its label. Their product is therefore 0 where the image is without the
    label, and 1 over the root of the image's number of labels where it has it. Where it is not known whether an image has the
    label of a true-or-false column, it counts as the part of the known images that have it: such an image speaks neither for
    the label nor against it. That holds for cosines; the softmax of SoftWPMI lets such images speak for the label a little, so
    where they are many, dissect ``probe.subset(dissector.known)``.

    Parameters
    ----------
    table : DataFrame
        One row per image, indexed by image id.
    columns, missing, categories
        As for `load_labels`.

    Attributes
    ----------
    labels : list of str
        In the order of the axes.
    notes : tuple of str
        How each column was taken.
    unknown : dict of str to list
        By true-or-false column, the ids of the images where it is empty.
    known : list
        The ids of the images where none of these columns is empty.
    """

    aligned = True
    needs_pixels = False
    reads_sentences = False

    def __init__(
        self,
        table: "DataFrame",
        columns: list[str],
        missing: str = "raise",
        name: str = "labels",
        categories: bool | str | Sequence[str] = False,
    ):
        one_of("missing", missing, ("raise", "zero"))
        _check_table(table, columns)
        forced = _forced(categories, columns)
        found = {column: read_labels(table[column], column in forced) for column in columns}
        pairs = sorted({(column, label) for column, one in found.items() for row in one.rows for label in row})
        if not pairs:
            raise ValueError(f"no labels in column {', '.join(map(repr, columns))}: all {len(table)} values are empty or false")
        self.name = name
        self.missing = missing
        self.labels = [label for _, label in pairs]
        self.notes = tuple(note for one in found.values() for note in one.notes)
        self.unknown = {column: list(table.index[one.unknown]) for column, one in found.items() if any(one.unknown)}
        unknown = {image for images in self.unknown.values() for image in images}
        self.known = [image for image in table.index if image not in unknown]
        self._axes = _names_of(pairs)
        self._rows = {image: row for row, image in enumerate(table.index)}
        hot = torch.zeros(len(table), len(pairs) + 1)
        axis = {pair: i for i, pair in enumerate(pairs)}
        for column, one in found.items():
            for i, row in enumerate(one.rows):
                for label in row:
                    hot[i, axis[column, label]] = 1.0
            if any(one.unknown) and (column, column) in axis:
                unknown = torch.tensor(one.unknown)
                hot[unknown, axis[column, column]] = hot[~unknown, axis[column, column]].mean()
        hot[:, -1] = (1 - hot.square().sum(dim=1)).clamp(min=0).sqrt()
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
        texts = as_texts(texts)
        named = [self._axes.get(plain(text), []) if text.strip() else [] for text in texts]
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

    def alike(self, texts: Sequence[str]) -> list[tuple[str, ...]]:
        """The groups of different texts that name the same label."""
        named = [(text, axes) for text in as_texts(texts) if (axes := self._axes.get(plain(text)))]
        return same([text for text, _ in named], [tuple(axes) for _, axes in named])


def _check_table(table: "DataFrame", columns: list[str]) -> None:
    for column in columns:
        if column not in table.columns:
            close = difflib.get_close_matches(str(column), map(str, table.columns), n=3)
            hint = f"; closest: {', '.join(close)}" if close else ""
            raise ValueError(f"no column {column!r} in the probe's table; it has {', '.join(map(str, table.columns))}{hint}")
        if (times := list(table.columns).count(column)) > 1:
            raise ValueError(f"the probe's table has {times} columns {column!r}; rename them, so that one can be meant")
    if not table.index.is_unique:
        repeated = table.index[table.index.duplicated()].unique()
        raise ValueError(f"the table has several rows for {counted(repeated, 'image id')}")


def _forced(categories: bool | str | Sequence[str], columns: list[str]) -> set[str]:
    """The columns whose every value is a label."""
    if isinstance(categories, bool):
        return set(columns) if categories else set()
    forced = texts("categories", categories)
    for one in forced:
        one_of("categories", one, columns)
    return set(forced)


def _names_of(pairs: list[tuple[str, str]]) -> dict[str, list[int]]:
    """The texts that name each axis: the label, and the label with its column before it."""
    axes: dict[str, list[int]] = {}
    for i, (column, label) in enumerate(pairs):
        for text in {plain(label), plain(f"{column}={label}")}:
            axes.setdefault(text, []).append(i)
    return axes


def _hash(described: list, content: bytes = b"") -> str:
    return hashlib.sha256(json.dumps(described).encode() + content).hexdigest()
