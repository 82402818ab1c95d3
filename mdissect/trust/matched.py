"""Neurons of two trainings of a network, matched by how they respond: does the same concept come back?"""

import numpy as np
import pandas as pd

from mdissect.dissection import Dissection
from mdissect.labels import check_in_memory, layer_of
from mdissect.signatures import validated


@validated()
def matched_neurons(first: Dissection, second: Dissection, layer: str) -> pd.DataFrame:
    """Each neuron of a layer and its partner in another training: pairs with the largest sum of correlations.

    >>> matched_neurons(found["M"], again["M"], "bn2").correlation.median()      # doctest: +SKIP

    Channels of two trainings have no common order. The correlation is Spearman's, of the activations over the images; each
    neuron has one partner, and of all ways to pair them the one with the largest sum is taken (the assignment problem; Li et
    al., Convergent Learning, 2016, match by correlation too).

    Parameters
    ----------
    first, second : Dissection
        Of the same images, in any order, with the same concepts.
    layer : str
        Of both.

    Returns
    -------
    DataFrame
        A row per pair, by the first one's neuron: neuron, partner, correlation, concept, partner_concept ("" for no label),
        same (both have the same label) and category (their labels share a category). Neurons that never vary, or that are
        left over where one layer is larger, have no row.

    Raises
    ------
    ValueError
        Other images or concepts, an unknown layer, or activations that do not fit into memory.
    """
    from scipy.optimize import linear_sum_assignment

    rows = _rows(first, second)
    own, others = layer_of(first, layer), layer_of(second, layer)
    correlation = _standardised(own.activations.numpy()).T @ _standardised(others.activations.numpy()[rows])
    left, right = linear_sum_assignment(correlation, maximize=True)
    labels = [_labels(one, layer) for one in (first, second)]
    table = pd.DataFrame(
        {"neuron": own.neurons[left], "partner": others.neurons[right], "correlation": correlation[left, right].clip(-1, 1)}
    )
    table["concept"], table["partner_concept"] = (
        labels[i].reindex(table[column]).fillna("").to_numpy() for i, column in enumerate(("neuron", "partner"))
    )
    named = (table.concept != "") & (table.partner_concept != "")
    table["same"] = named & (table.concept == table.partner_concept)
    table["category"] = named & _share_category(first, table.concept, table.partner_concept)
    return table.sort_values("neuron", ignore_index=True)


@validated()
def recurrence(first: Dissection, second: Dissection, layer: str) -> dict[str, float]:
    """How often a neuron's label returns in the partner that `matched_neurons` gives it, beside chance.

    Returns
    -------
    dict
        neurons (pairs with labels on both sides), correlation (their median), same and category (shares of these pairs with
        the same label, with labels of one category), same_chance and category_chance (what random partners would give).
        Shares are NaN without such a pair.
    """
    table = matched_neurons(first, second, layer)
    table = table[(table.concept != "") & (table.partner_concept != "")]
    every = np.repeat(table.concept.to_numpy(), len(table)), np.tile(table.partner_concept.to_numpy(), len(table))
    return {
        "neurons": len(table),
        "correlation": float(table.correlation.median()),
        "same": float(table.same.mean()),
        "same_chance": float((every[0] == every[1]).mean()) if len(table) else float("nan"),
        "category": float(table.category.mean()),
        "category_chance": float(_share_category(first, *every).mean()) if len(table) else float("nan"),
    }


def _rows(first: Dissection, second: Dissection) -> np.ndarray:
    """The rows of the second one's images in the order of the first one's; ValueError where the two cannot be compared."""
    check_in_memory(first, "a comparison of two trainings", second)
    if list(first.concepts.names) != list(second.concepts.names):
        raise ValueError("first and second were dissected with different concepts; dissect both with one concept set")
    rows = second.probe_table.index.get_indexer(first.probe_table.index)
    if (rows < 0).any() or len(rows) != len(second.probe_table):
        counts = f"{len(rows)} and {len(second.probe_table)} images, {(rows >= 0).sum()} of them the same"
        raise ValueError(f"first and second saw different images ({counts}); dissect both on one probe")
    return rows


def _labels(dissection: Dissection, layer: str) -> pd.Series:
    """The concept of each neuron of a layer that has a label."""
    table = dissection.labels()
    return table[table.layer == layer].set_index("neuron").concept


def _standardised(activations: np.ndarray) -> np.ndarray:
    """Ranks of each column, of mean 0 and length 1."""
    from scipy.stats import rankdata

    ranks = rankdata(activations, axis=0)
    centred = ranks - ranks.mean(axis=0)
    return centred / np.linalg.norm(centred, axis=0)


def _share_category(dissection: Dissection, left: object, right: object) -> np.ndarray:
    """Whether two columns of concepts share a category, row by row."""
    table = dissection.concepts.table
    of = {name: frozenset(rows) for name, rows in table.groupby("concept").category}
    return np.array(
        [bool(of.get(a, frozenset()) & of.get(b, frozenset())) for a, b in zip(left, right, strict=True)], dtype=bool
    )
