"""Neurons of a layer by the concept or category of their label."""

import numpy as np
import pandas as pd

from mdissect.analysis import group_of
from mdissect.arguments import has_columns, kind_of, listed
from mdissect.concepts import ConceptSet, with_categories
from mdissect.dissection import Dissection

BY = ("concept", "category", "broad_category")
NO_LABEL = "no label"


def labels_by(name: str, labels: pd.DataFrame, dissection: Dissection) -> pd.DataFrame:
    """A table of labels by any rule, with the categories of their concepts: layer, neuron, concept, category, broad_category.

    Its column rank, if there is one, chooses the best label; TypeError or ValueError for another table, or a neuron with two.
    """
    kind_of(name, labels, pd.DataFrame, "dissection.labels(...)")
    has_columns(name, labels, "layer", "neuron", "concept")
    table = labels[labels["rank"] == 0] if "rank" in labels else labels
    table = table.assign(concept=table.concept.fillna(""))
    if (twice := table.duplicated(["layer", "neuron"])).any():
        row = table[twice].iloc[0]
        raise ValueError(f"{name} has several labels for neuron {row.neuron} of layer {row.layer!r}; give one for each")
    table = table.drop(columns=[column for column in ("category", "broad_category", "needs") if column in table])
    return with_categories(table, dissection.concepts)[["layer", "neuron", *BY]].reset_index(drop=True)


def of_layer(labels: pd.DataFrame, layer: str, n_neurons: int) -> pd.DataFrame:
    """The labels of a layer, a row per neuron in order; "" for a neuron without one."""
    rows = labels[labels.layer == layer].set_index("neuron")
    if len(rows) and not rows.index.isin(range(n_neurons)).all():
        raise ValueError(f"the labels name neuron {rows.index.max()} of layer {layer!r}, which has {n_neurons}")
    table = rows.reindex(range(n_neurons))[list(BY)].fillna("")
    return table.rename_axis("neuron").reset_index()


def first_group(labels: pd.DataFrame, by: str) -> pd.Series:
    """The group of each neuron; of several ("a; b") the first counts, so that each neuron counts once."""
    names = labels[by] if by == "concept" else labels[by].str.partition("; ")[0]
    return names.mask(labels.concept == "", NO_LABEL).replace("", "ungrouped")


def members(labels: pd.DataFrame, by: str, concepts: ConceptSet) -> dict[str, np.ndarray]:
    """The neurons (m,) of each group of a layer's labels; a neuron whose concept stands in several groups is in each.

    `by`: one of `BY`, or "task".
    """
    named = labels[labels.concept != ""]
    if by == "concept":
        pairs = named.assign(group=named.concept)
    else:
        pairs = named[["neuron", "concept"]].merge(group_of(concepts, by).rename(columns={by: "group"}), on="concept")
    return {name: rows.neuron.to_numpy() for name, rows in pairs.groupby("group", sort=False)}


def chosen_neurons(
    labels: pd.DataFrame, layer: str, concepts: ConceptSet, category: str | None, names: list[str] | None
) -> np.ndarray:
    """The neurons of a layer whose label is of a category (or broad category), or one of some concepts; none is an error."""
    if category is not None:
        known = members(labels, "category", concepts) | members(labels, "broad_category", concepts)
        what, wanted = "category", [category]
    else:
        known, what, wanted = members(labels, "concept", concepts), "concept", list(names)
    if not (found := [known[name] for name in wanted if name in known]):
        there = listed(sorted(known, key=lambda name: -len(known[name])), 12) or "none: no neuron has a label"
        raise ValueError(
            f"no neuron of layer {layer!r} has a label of {what} {listed(list(map(repr, wanted)))}; its labels are of {there}"
        )
    return np.unique(np.concatenate(found))
