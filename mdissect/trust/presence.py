"""Known content of images: the truth of phantoms and the labels of data sets, and the precision of neurons' labels."""

import os
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mdissect.arguments import AT_LEAST_ONE, listed
from mdissect.concepts import ConceptSet, load_concepts, same_as
from mdissect.dissection import Dissection
from mdissect.metrics import strongest
from mdissect.paths import in_data
from mdissect.signatures import validated
from mdissect.tables import read_text_table

if TYPE_CHECKING:
    from mdissect.phantom.mammograms import Truth

VINDR_LABELS = "labels/vindr.csv"


class TooLittleKnownError(ValueError):
    """The truth of too few concepts, or of too few patients, is known to measure anything; the message says what is needed."""


@validated()
def is_phantom(table: pd.DataFrame) -> bool:
    """Whether a probe's table has the columns of phantoms, also if phantoms are only a part of it."""
    if "calcification_morphology" not in table:  # other images do without the phantoms' code, slow to import
        return False
    from mdissect.phantom.mammograms import sample_truth

    return set(sample_truth(0, 0).as_row()) <= set(table.columns)


@validated()
def concept_presence(table: pd.DataFrame, concepts: Sequence[str]) -> pd.DataFrame:
    """The phantoms of which each concept is true.

    Parameters
    ----------
    table : DataFrame
        A phantom probe's table, one row per image.

    Returns
    -------
    DataFrame of bool, (n_images, n_shown)
        A column for each concept that the phantoms can show or not; those true of every phantom ("breast") are left out.

    Raises
    ------
    ValueError
        A column of the phantoms is missing, or some images are no phantoms.
    """
    from mdissect.phantom.mammograms.reports import concept_truth, true_keys

    facts = [true_keys(truth) for truth in _truths(table)]
    shown = {concept: keys for concept, keys in concept_truth(concepts).items() if keys}
    columns = {concept: [held.issuperset(keys) for held in facts] for concept, keys in shown.items()}
    return pd.DataFrame(columns, index=table.index, dtype=bool)


@validated(top=AT_LEAST_ONE)
def label_precision(dissection: Dissection, top: int = 20, presence: pd.DataFrame | None = None) -> pd.DataFrame:
    """Precision of labels: how often a neuron's top images show its label.

    Parameters
    ----------
    top : int
        Strongest images of a neuron.
    presence : DataFrame (n_images, n_shown), optional
        True, False or missing; the truth of phantoms when None.

    Returns
    -------
    DataFrame
        A row for each neuron whose label has known presence: layer, neuron, concept, precision (share of the neuron's
        `top` strongest images that show it), prevalence (share of all images); of the images of which it is known.

    Raises
    ------
    ValueError
        The dissection has no activations (it was read from a CSV), or its probe is not one of phantoms.
    """
    if not dissection.activations:
        raise ValueError("the dissection has no activations, so its neurons' strongest images are unknown; dissect again")
    labels = dissection.labels()
    if presence is None:
        presence = concept_presence(dissection.probe_table, list(dict.fromkeys(labels.concept)))
    presence = of_images(presence, dissection)
    labels = labels[labels.concept.isin(presence.columns)]
    shown = presence.astype("boolean").to_numpy(dtype=float, na_value=np.nan)  # (n_images, n_shown)
    column = presence.columns.get_indexer(labels.concept)
    best = {layer: strongest(activations, top) for layer, activations in dissection.activations.items()}
    among = [shown[best[row.layer][:, row.neuron], i] for row, i in zip(labels.itertuples(), column, strict=True)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # nothing may be known of the strongest images
        precision = [np.nanmean(one) for one in among]
        prevalence = np.nanmean(shown[:, column], axis=0)
    return labels[["layer", "neuron", "concept"]].assign(precision=precision, prevalence=prevalence).reset_index(drop=True)


def _truths(table: pd.DataFrame) -> "list[Truth]":
    """The truths of a phantom probe's table; a join with another probe turned its integers into floats."""
    from mdissect.phantom.mammograms import sample_truth, truth_of_row

    if missing := [column for column in sample_truth(0, 0).as_row() if column not in table]:
        raise ValueError(f"the table lacks {', '.join(missing)}: it is not that of load_probe('phantom')")
    if others := [str(image) for image in table.index[table.birads.isna()]]:
        raise ValueError(
            f"{len(others)} of {len(table)} images are no phantoms and have no truth, such as {', '.join(others[:3])}; give "
            "the phantoms alone (Probe.subset)"
        )
    return [truth_of_row(row) for row in table.astype({"index": int, "birads": int}).to_dict("records")]


@validated()
def known_presence(dissection: Dissection) -> pd.DataFrame:
    """Which concepts are present in which images: the phantoms' truth, else by the mapping table of VinDr-Mammo's labels.

    A concept that the mapping table has in another form alone ("BI-RADS density A" as "breast composition a", see
    `mdissect.concepts.forms`) is present where that one is.
    """
    table, names = dissection.probe_table, dissection.concepts.names
    if is_phantom(table):
        phantoms = table.birads.notna()  # a join with natural scenes leaves their columns empty
        return concept_presence(table[phantoms], names).reindex(table.index)
    return _in_words_of(dissection.concepts, mapped_presence(table))


@validated()
def mapped_presence(table: pd.DataFrame, mapping: str | os.PathLike | None = None) -> pd.DataFrame:
    """Presence of concepts by a table that maps them to the columns of a probe.

    Parameters
    ----------
    table : DataFrame
        The probe's, indexed by image id.
    mapping : path, optional
        A table with concept, column and values (joined by "; "): the concept is present where the cell, of which each may hold
        several values joined by "; ", has one of them. When None: the shipped table for the findings, density, BI-RADS
        category, view and side of VinDr-Mammo, and for cancer and implants, where the probe has these columns. An empty cell
        of ``findings`` says that nothing was found; of any other column, that nothing is known. Where the probe has the column
        ``annotated``, nothing is known of findings that are not named in it; where ``implant`` is "", there is none.

    Returns
    -------
    DataFrame (n_images, n_shown)
        True, False or missing; a column for each concept whose column the probe has.

    Raises
    ------
    ValueError
        A column of the mapping is missing.
    """
    path = in_data("concepts", VINDR_LABELS) if mapping is None else mapping
    rows = read_text_table(path, ("concept", "column", "values"))
    cells = {column: _Cells(table[column]) for column in {*rows.column, "annotated"} & set(table.columns)}
    presence = {}
    for row in rows[rows.column.isin(cells)].itertuples():
        wanted = _values(row.values)
        present = cells[row.column].hold(wanted)
        known = present | _is_known(cells, row.column, wanted)
        presence[row.concept] = np.where(known, present.astype(object), None)
    return pd.DataFrame(presence, index=table.index)


class _Cells:
    """The cells of a column, each as its values."""

    def __init__(self, column: pd.Series):
        self.there = column.notna().to_numpy()
        self._codes, self._distinct = pd.factorize(column.map(_values), use_na_sentinel=False)

    def hold(self, wanted: frozenset[str]) -> np.ndarray:
        """Which cells hold one of the values, (n_images,) bool."""
        return np.array([bool(values & wanted) for values in self._distinct], dtype=bool)[self._codes]

    def filled(self) -> np.ndarray:
        """Which cells hold any value, (n_images,) bool."""
        return np.array([bool(values) for values in self._distinct], dtype=bool)[self._codes]


def _is_known(cells: dict[str, _Cells], column: str, wanted: frozenset[str]) -> np.ndarray:
    """Of which images it is known that the wanted values are absent, if they do not stand in the cell: (n_images,) bool."""
    if column == "implant":
        return cells[column].there
    if column != "findings":
        return cells[column].filled()
    if "annotated" not in cells:
        return np.ones(len(cells[column].there), dtype=bool)
    return ~cells["annotated"].there | cells["annotated"].hold(wanted)


def of_images(presence: pd.DataFrame, dissection: Dissection) -> pd.DataFrame:
    """Presence in the order of a dissection's images, missing if unknown; ValueError for the presence of other images."""
    images = dissection.probe_table.index
    if not presence.index.isin(images).any():
        found, expected = (listed(list(index), 2) for index in (presence.index, images))
        raise ValueError(f"presence has the rows {found}, none of which is an image of the dissection, such as {expected}")
    return presence.reindex(images)


def _in_words_of(concepts: ConceptSet, presence: pd.DataFrame) -> pd.DataFrame:
    """The presence, with a column too for each concept of the set that is the same as one of its columns in another form."""
    pairs, shipped = ["concept", "category"], load_concepts("mammography").table
    rows = pd.concat([concepts.table[pairs], shipped.loc[shipped.concept.isin(presence.columns), pairs]])
    same = same_as(rows, [name for name in concepts.names if name not in presence], presence.columns)
    return presence.assign(**{own: presence[other] for own, other in same.items() if other})


def _values(cell) -> frozenset[str]:
    """The values of a cell: lower case, whole numbers without a point."""
    if cell is None or cell != cell:
        return frozenset()
    text = f"{cell:g}" if isinstance(cell, float) else str(cell)
    return frozenset(part.strip().lower() for part in text.split(";") if part.strip())
