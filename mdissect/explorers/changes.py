"""Changes from one model to another, such as its fine-tuned copy: concepts gained and lost, labels of channels."""

import numpy as np
import pandas as pd

from mdissect.explorers.sides import SideBySide
from mdissect.signatures import validated

CHANGES = ("gained", "lost", "kept")


def changes(sides: SideBySide, first: str, second: str) -> pd.DataFrame:
    """Concepts gained, lost and kept, as `mdissect.analysis.compare` finds them, at the thresholds of all models.

    layer (one of `SideBySide.layers`), concept, neurons_first, neurons_second, change ("gained": learned by the second only,
    "lost": by the first only, "kept"), category, broad_category; by layer, then change, then the most neurons.
    """
    names = np.array(sides.concepts.names, dtype=object)
    parts = []
    for depth in sides.layers:
        ours, theirs = (_carriers(sides, model, depth) for model in (first, second))
        found = np.flatnonzero(ours + theirs)
        ours, theirs = ours[found], theirs[found]
        rank = np.select([ours == 0, theirs == 0], [0, 1], 2)
        change = np.array(CHANGES, dtype=object)[rank]
        order = np.lexsort((names[found].astype(str), -(ours + theirs), rank))
        columns = {"concept": names[found], "neurons_first": ours, "neurons_second": theirs, "change": change}
        parts.append(pd.DataFrame({"layer": depth, **columns}).iloc[order])
    table = pd.concat(parts, ignore_index=True)
    groups = [sides.categories_of(concept) for concept in table.concept]
    return table.assign(category=[group[0] for group in groups], broad_category=[group[1] for group in groups])


def labels_kept(sides: SideBySide, first: str, second: str, depth: str) -> tuple[int, int]:
    """How many channels at a depth have the same label in two models, and how many have one in both."""
    ours, theirs = (sides.at(model, depth).label for model in (first, second))
    n = min(len(ours), len(theirs))
    both = (ours[:n] >= 0) & (theirs[:n] >= 0)
    return int((ours[:n] == theirs[:n])[both].sum()), int(both.sum())


@validated()
def channels(sides: SideBySide, first: str, second: str, depth: str) -> pd.DataFrame:
    """Every channel at a depth in two models: its labels, and how its activations correlate.

    >>> channels(models.sides, "M", "C4", "bn2").query("not kept")                             # doctest: +SKIP

    Parameters
    ----------
    sides : SideBySide
        Of an explorer, `CompareExplorer.sides`.
    first, second : str
        Models.
    depth : str
        One of `SideBySide.layers`.

    Returns
    -------
    DataFrame
        neuron, label_first, label_second ("" for none), kept (the same label in both), correlation (of its activations, see
        `correlation`); a row for each neuron that both models have.
    """
    n = min(sides.n_neurons(model, depth) for model in (first, second))
    labels = [[sides.label(model, depth, neuron) for neuron in range(n)] for model in (first, second)]
    table = pd.DataFrame({"neuron": range(n), "label_first": labels[0], "label_second": labels[1]})
    correlations = [correlation(sides, first, second, depth, neuron)[0] for neuron in range(n)]
    return table.assign(kept=(table.label_first == table.label_second) & (table.label_first != ""), correlation=correlations)


def correlation(sides: SideBySide, first: str, second: str, depth: str, neuron: int) -> tuple[float, int]:
    """Pearson's r of a channel's activations in two models, and over how many images, found by their ids.

    Images count that have finite activations in both; r is NaN where a model has no such channel, or its activations are
    unknown or do not vary.
    """
    columns = []
    for model in (first, second):
        dissection, layer = sides.readings[model].dissection, sides.layer(model, depth)
        if layer not in dissection.activations or neuron >= sides.n_neurons(model, depth):
            return float("nan"), 0
        columns.append(pd.Series(dissection.activations[layer][:, neuron], dissection.probe_table.index, dtype=np.float64))
    if not columns[0].index.equals(columns[1].index):
        both = columns[0].index.intersection(columns[1].index)
        columns = [column.loc[both] for column in columns]
    pair = np.stack([column.to_numpy() for column in columns])
    pair = pair[:, np.isfinite(pair).all(axis=0)]
    if pair.shape[1] < 2 or (pair == pair[:, :1]).all(axis=1).any():
        return float("nan"), pair.shape[1]
    return float(np.corrcoef(pair)[0, 1]), pair.shape[1]


def _carriers(sides: SideBySide, model: str, depth: str) -> np.ndarray:
    """The number of neurons with each concept as their label (n_concepts,)."""
    neurons = sides.at(model, depth)
    return np.bincount(neurons.label[neurons.passes], minlength=len(sides.concepts))
