"""Tables from a dissection: thresholds, learned and missed concepts, counts, how two models differ, enrichment."""

import numpy as np
import pandas as pd

from mdissect.arguments import AT_LEAST_ONE, INTEGER, counted, has_columns, listed, table_with
from mdissect.concepts import ConceptSet, closest
from mdissect.dissection import Dissection
from mdissect.facts import shared_facts as shared_facts
from mdissect.groups import GROUPINGS, group_of
from mdissect.groups import UNGROUPED as UNGROUPED
from mdissect.groups import enrichment as enrichment
from mdissect.metrics import auc, strongest
from mdissect.signatures import validated

RULES = {
    "top": "mean over neurons of their top similarity",
    "all": "mean of the similarity over all neurons and concepts",
}
THRESHOLDS = table_with("layer", "threshold", made_by="analysis.thresholds(...)")


@validated(rule=RULES)
def thresholds(*dissections: Dissection, rule: str = "top") -> pd.DataFrame:
    """The similarity that a label must reach, layer by layer (tau).

    Parameters
    ----------
    *dissections : Dissection
        Several, as for a comparison: per layer the largest of their thresholds. Networks whose layers have other names are
        compared by depth, first layer with first layer: they need the same number of them.
    rule : {"top", "all"}
        "top": the mean over neurons of each neuron's top similarity, as in the published figures. "all": the mean of the
        whole similarity matrix, as in the published text.

    Returns
    -------
    DataFrame
        layer, threshold.

    Raises
    ------
    ValueError
        Unknown rule, no dissection, different numbers of layers (or the same layers in another order), a layer without a
        single named neuron, or rule "all" of a dissection read from a CSV (which knows top similarities only).
    """
    if not dissections:
        raise ValueError("thresholds() needs at least one dissection")
    table = pd.DataFrame(
        [(depth, layer, _threshold(d, layer, rule)) for d in dissections for depth, layer in enumerate(d.layers)],
        columns=["depth", "layer", "threshold"],
    )
    table["threshold"] = table.groupby("depth").threshold.transform("max")
    table = table.drop_duplicates(["depth", "layer"])
    if len({len(d.layers) for d in dissections}) > 1 or table.layer.duplicated().any():
        listed = " and ".join(str(layers) for layers in dict.fromkeys(tuple(d.layers) for d in dissections))
        raise ValueError(f"the dissections have different layers, {listed}; dissect as many of each, in the same order")
    return table.sort_values("depth", kind="stable")[["layer", "threshold"]].reset_index(drop=True)


@validated(thresholds=THRESHOLDS)
def with_verdict(dissection: Dissection, thresholds: pd.DataFrame) -> pd.DataFrame:
    """`dissection.labels()` with the layer's threshold and whether the label passes.

    It passes where its similarity reaches the threshold; in a dissection that was calibrated (`Dissection.calibrated`),
    wherever there is a label.
    """
    if twice := list(thresholds.layer[thresholds.layer.duplicated()]):
        raise ValueError(f"thresholds has several rows for layer {listed(twice)}; give one for each")
    if not pd.api.types.is_numeric_dtype(thresholds.threshold):
        raise ValueError(f"thresholds has the column threshold of type {thresholds.threshold.dtype}; expected numbers")
    table = dissection.labels().merge(thresholds, on="layer", how="left", validate="many_to_one")
    if missing := sorted(set(table.layer[table.threshold.isna()])):
        raise ValueError(f"no threshold for layer {', '.join(missing)}; there are {', '.join(thresholds.layer)}")
    reaches = table.similarity >= table.threshold
    return table.assign(passes=reaches if dissection.trusted is None else table.concept != "")


@validated(thresholds=THRESHOLDS)
def passing(dissection: Dissection, thresholds: pd.DataFrame) -> pd.DataFrame:
    """Share of each layer's neurons whose label passes: layer, neurons (all), passing, share."""
    table = with_verdict(dissection, thresholds).groupby("layer", sort=False).passes.agg(neurons="size", passing="sum")
    return table.assign(share=table.passing / table.neurons).reset_index()


@validated(thresholds=THRESHOLDS)
def count_labels(dissection: Dissection, thresholds: pd.DataFrame) -> pd.DataFrame:
    """Totals of each layer: layer, concepts (unique), neurons, fraction (of the layer's neurons)."""
    table = with_verdict(dissection, thresholds)
    concepts = table.concept.where(table.passes).groupby(table.layer, sort=False).nunique()
    totals = table.groupby("layer", sort=False).passes.agg(neurons="sum", fraction="mean")
    return totals.assign(concepts=concepts).reset_index()[["layer", "concepts", "neurons", "fraction"]]


@validated(thresholds=THRESHOLDS)
def learned(dissection: Dissection, thresholds: pd.DataFrame) -> pd.DataFrame:
    """The learned concepts: labels of at least one neuron above the threshold.

    Returns
    -------
    DataFrame
        layer, concept, neurons (how many have it as their label), similarity (the best of them); a row per layer and
        concept, the best first within a layer.
    """
    passing = with_verdict(dissection, thresholds).query("passes")
    counted = passing.groupby(["layer", "concept"], sort=False).agg(
        neurons=("neuron", "size"), similarity=("similarity", "max")
    )
    order = {layer: i for i, layer in enumerate(dissection.layers)}
    return (
        counted.reset_index()
        .sort_values(["layer", "similarity"], key=lambda c: c.map(order) if c.name == "layer" else -c, kind="stable")
        .reset_index(drop=True)
    )


@validated(thresholds=THRESHOLDS)
def missed(dissection: Dissection, thresholds: pd.DataFrame) -> pd.DataFrame:
    """The missed concepts, above the threshold in no neuron of any layer: rows of the concept set's table."""
    found = set(learned(dissection, thresholds).concept)
    table = dissection.concepts.table
    return table[~table.concept.isin(found)].reset_index(drop=True)


@validated(thresholds=THRESHOLDS, by=GROUPINGS)
def count_concepts(dissection: Dissection, thresholds: pd.DataFrame, by: str = "broad_category") -> pd.DataFrame:
    """Counts of each layer by group of concepts.

    Parameters
    ----------
    by : {"category", "broad_category", "domain", "task"}
        A concept that stands in several groups counts in each of them.

    Returns
    -------
    DataFrame
        layer, the group, concepts (unique concepts of passing neurons: the published text's count), neurons (passing
        neurons: the published figures' count), fraction (neurons over all neurons of the layer, named or not). Every
        layer has a row for every group, also where nothing passes.
    """
    groups = group_of(dissection.concepts, by)
    passing = with_verdict(dissection, thresholds).query("passes")[["layer", "neuron", "concept"]].merge(groups, on="concept")
    counted = passing.groupby(["layer", by]).agg(concepts=("concept", "nunique"), neurons=("neuron", "size"))
    names = list(dict.fromkeys(groups[by]))
    index = pd.MultiIndex.from_product([dissection.layers, names], names=["layer", by])
    counted = counted.reindex(index, fill_value=0).reset_index()
    sizes = {layer: len(scores) for layer, scores in dissection.similarity.items()}
    return counted.assign(fraction=counted.neurons / counted.layer.map(sizes))


@validated(counts=table_with("layer", made_by="count_concepts(...)"), n=AT_LEAST_ONE)
def top_groups(counts: pd.DataFrame, value: str = "concepts", n: int = 3) -> pd.DataFrame:
    """The n groups with the highest count in each layer, highest first, layers in their order; empty groups are dropped."""
    has_columns("counts", counts, value)
    order = {layer: i for i, layer in enumerate(dict.fromkeys(counts.layer))}
    ranked = counts[counts[value] > 0].assign(_layer=counts.layer.map(order))
    ranked = ranked.sort_values(["_layer", value], ascending=[True, False], kind="stable").drop(columns="_layer")
    return ranked.groupby("layer", sort=False).head(n).reset_index(drop=True)


@validated(thresholds=THRESHOLDS)
def compare(first: Dissection, second: Dissection, thresholds: pd.DataFrame) -> pd.DataFrame:
    """Concepts that two models have above the same thresholds, layer by layer.

    Returns
    -------
    DataFrame
        layer, concept, neurons_first, neurons_second, in ("both", "first" or "second"); layers in their order, the concepts
        of a layer by name.
    """
    merged = learned(first, thresholds).merge(
        learned(second, thresholds), on=["layer", "concept"], how="outer", suffixes=("_first", "_second")
    )
    order = {layer: i for i, layer in enumerate(dict.fromkeys(first.layers + second.layers))}
    merged = merged.sort_values(["layer", "concept"], key=lambda c: c.map(order) if c.name == "layer" else c, ignore_index=True)
    counts = {f"neurons_{which}": merged[f"neurons_{which}"].fillna(0).astype(int) for which in ("first", "second")}
    where = np.select(
        [(counts["neurons_first"] > 0) & (counts["neurons_second"] > 0), counts["neurons_first"] > 0],
        ["both", "first"],
        "second",
    )
    return merged[["layer", "concept"]].assign(**counts, **{"in": where})


@validated(thresholds=THRESHOLDS, top=AT_LEAST_ONE)
def find_neurons(dissection: Dissection, word: str, top: int = 5, thresholds: pd.DataFrame | None = None) -> pd.DataFrame:
    """Neurons with a word in one of their top concepts.

    Parameters
    ----------
    word : str
        Or a part of one, or several, whatever their case: "calcification" is in "benign calcifications".
    top : int
        How many concepts of each neuron count as its top ones.
    thresholds : DataFrame, optional
        See `thresholds`; adds the column passes.

    Returns
    -------
    DataFrame
        layer, neuron, matches (how many of its top concepts have the word), similarity (of the best of these), label,
        label_similarity and, with thresholds, passes (whether the label reaches its layer's). Most matches first, then the
        highest similarity; neurons without a match are left out.

    Raises
    ------
    ValueError
        No word, or one that no concept has.
    """
    _check_word(dissection.concepts, word)
    concepts = dissection.top_concepts(top)
    having = concepts[[has_word(name, word) for name in concepts.concept]]
    found = having.groupby(["layer", "neuron"], sort=False).agg(matches=("rank", "size"), similarity=("similarity", "max"))
    own = dissection.labels() if thresholds is None else with_verdict(dissection, thresholds)
    own = own.rename(columns={"concept": "label"}).assign(label_similarity=own.similarity)
    columns = ["layer", "neuron", "label", "label_similarity", *(["passes"] if thresholds is not None else [])]
    found = found.reset_index().merge(own[columns], on=["layer", "neuron"])
    return found.sort_values(["matches", "similarity"], ascending=False, kind="stable", ignore_index=True)


@validated()
def images_showing(table: pd.DataFrame, word: str) -> pd.Series:
    """The images of a probe that show the meaning of a word, by its table.

    Parameters
    ----------
    table : DataFrame
        `Probe.table`. What counts is a column of that name ("implant": anything but empty or false), else whether the column
        findings has the word in it, whatever its case.

    Returns
    -------
    Series of boolean, indexed as the table
        <NA> for images of which nothing is known.
    """
    column = next((name for name in table if str(name).casefold() == word.casefold()), None)
    if column is not None:
        shown = table[column].map(bool)
    elif (column := "findings") in table:
        shown = table[column].fillna("").map(lambda findings: has_word(findings, word))
    else:
        return pd.Series(pd.NA, index=table.index, dtype="boolean")
    return shown.astype("boolean").mask(table[column].isna())


@validated(top=AT_LEAST_ONE)
def share_among_strongest(dissection: Dissection, marked: pd.Series, top: int = 20) -> pd.DataFrame:
    """The number of marked images among each neuron's top images.

    Parameters
    ----------
    marked : Series of bool, indexed by image id
        All images of the probe, in any order.
    top : int
        How many images count as the strongest.

    Returns
    -------
    DataFrame
        A row per neuron with activations: layer, neuron, share.
    """
    if missing := [str(image) for image in dissection.probe_table.index if image not in marked.index]:
        raise ValueError(f"marked lacks {counted(missing, 'image')} of the probe; its index are the image ids")
    flags = marked.loc[dissection.probe_table.index].to_numpy(dtype=bool)
    parts = []
    for layer, activations in dissection.activations.items():
        share = flags[strongest(activations, top)].mean(axis=0)
        parts.append(pd.DataFrame({"layer": layer, "neuron": range(len(share)), "share": share}))
    return pd.concat(parts, ignore_index=True)


@validated(neuron=INTEGER)
def activation_auc(dissection: Dissection, layer: str, neuron: int, shown: pd.Series) -> float:
    """How well a neuron's activation separates images that show something from those that do not: the area under the ROC curve.

    `shown` as `images_showing` gives it; images of which nothing is known are left out. NaN when all are alike.
    """
    activations = dissection.activations_of(layer, neuron)
    if len(shown) != len(activations):
        raise ValueError(f"shown has {len(shown)} images, the dissection {len(activations)}; give one value per image")
    known = shown.notna().to_numpy()
    return auc(shown[known].to_numpy(dtype=bool), activations[known])


def has_word(text: str, word: str) -> bool:
    """Whether a text contains a word, or part of one, in upper or lower case: "calcification" in "Benign calcifications"."""
    return word.strip().casefold() in text.casefold()


def _check_word(concepts: ConceptSet, word: str) -> None:
    if not word.strip():
        raise ValueError("word is empty; give a word or a part of one, such as 'calcification'")
    if not any(has_word(name, word) for name in concepts.names):
        words = {part for name in concepts.names for part in name.split()}
        raise ValueError(f"none of the {len(concepts)} concepts has {word!r} in it{closest(word, words)}")


def _threshold(dissection: Dissection, layer: str, rule: str) -> float:
    scores = dissection.similarity[layer]
    named = scores[~np.isnan(scores).all(axis=1)]
    if len(named) == 0:
        raise ValueError(f"no neuron of layer {layer!r} could be named; leave the layer out")
    if rule == "all" and np.isnan(named).any():
        raise ValueError("rule='all' needs the whole similarity matrix; a dissection read from a CSV knows rule='top' only")
    values = np.nanmax(named, axis=1) if rule == "top" else named
    return float(values.mean(dtype=np.float64))  # rounded to single precision, the mean of equals may exceed them all
