"""Thresholds and counts with intervals over resampled patients."""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mdissect import analysis
from mdissect.arguments import AT_LEAST_ONE, RATE, one_of
from mdissect.calibrate import q_values
from mdissect.chance import Null
from mdissect.choice import RULE, choose
from mdissect.concepts import ConceptSet
from mdissect.dissection import Dissection
from mdissect.labels import LayerData, check_calibratable, layer_of, nulls_of
from mdissect.metrics import strongest
from mdissect.pvalues import p_values
from mdissect.signatures import validated
from mdissect.store import StoreLike
from mdissect.trust.stability import resamples

ROUNDING = 1e-9  # of counts: what the last bits of a mean add


@validated(n_boot=AT_LEAST_ONE, level=RATE)
def tau_intervals(dissection: Dissection, n_boot: int = 200, seed: int = 0, level: float = 0.95) -> pd.DataFrame:
    """The threshold of each layer (mean top similarity) with an interval over resampled patients.

    Parameters
    ----------
    n_boot, seed
        Resamples of patients with all their images; of images where the probe names no patients.

    Returns
    -------
    DataFrame
        layer, threshold (of the probe itself), low, high. A resample repeats images, which moves similarities, mostly up: the
        interval is the resamples' spread, recentred on the probe's own threshold.

    Raises
    ------
    ValueError
        A dissection without activations, or by another similarity than soft_wpmi; a single patient.
    """
    check_calibratable(dissection)
    samples, rows = resamples(dissection, n_boot, seed), []
    for layer in dissection.activations:
        data = layer_of(dissection, layer)
        own, drawn = _mean_top(data.similarity()), np.array([_mean_top(data.on(images).similarity()) for images in samples])
        low, high = recentred_interval(own, drawn, level)
        rows.append({"layer": layer, "threshold": own, "low": low, "high": high})
    return pd.DataFrame(rows)


def _rule_or_table(name: str, value: pd.DataFrame | str) -> pd.DataFrame | str:
    if isinstance(value, str):
        one_of(name, value, analysis.RULES)
        return value
    return analysis.THRESHOLDS(name, value)


@validated(thresholds=_rule_or_table, by=analysis.GROUPINGS, n_boot=AT_LEAST_ONE, level=RATE)
def count_intervals(
    dissection: Dissection,
    thresholds: pd.DataFrame | str = "top",
    by: str = "broad_category",
    n_boot: int = 200,
    seed: int = 0,
    level: float = 0.95,
    store: StoreLike = None,
) -> pd.DataFrame:
    """`mdissect.analysis.count_concepts` with intervals over resampled patients.

    >>> count_intervals(found, by="domain")[["layer", "domain", "concepts", "concepts_low", "concepts_high"]]  # doctest: +SKIP

    **What the interval is about**: the count that other probes with as many patients would give on average. The count grows
    with the number of patients, since more patients separate more neurons from chance.

    **How it is made.** Patients are drawn with replacement, each with all images (the cluster bootstrap: Davison and Hinkley,
    Bootstrap Methods and their Application, 1997, section 3.8), the layer is labelled again, and the counts' quantiles are
    shifted so that their mean lies on the probe's own count, and rounded outwards. The shift is needed because a resample
    holds only two thirds of the patients: its labels are noisier and its counts differ on average. Quantiles without the shift
    may not even contain the probe's own count; reflected ones ("basic" intervals) double the error. The threshold moves along
    with each resample's mean top similarity; a fixed threshold would let another share of the neurons pass. Measured on
    planted neurons (60 patients of four images): the average count of 500 other probes lay in 97 to 99 of 100 such 95 %
    intervals (in all of 100 with calibrated labels: these are too wide), and in 57 to 73 of 100 reflected ones.

    Parameters
    ----------
    dissection : Dissection
        Of a calibrated one (`Dissection.calibrated`) the calibrated labels are counted, resample by resample.
    thresholds : DataFrame or {"top", "all"}
        As `mdissect.analysis.thresholds` gives them, or the rule by which the dissection's own are made.
    by : {"category", "broad_category", "domain", "task"}
    n_boot, seed
        Resamples of patients with all their images; of images where the probe names no patients.
    store : path, optional
        Where the null of a calibrated dissection is kept.

    Returns
    -------
    DataFrame
        A row for every layer and group: layer, the group, and each of concepts, neurons and fraction (see `count_concepts`)
        beside <name>_low and <name>_high.

    Raises
    ------
    ValueError
        A dissection without activations, or by another similarity than soft_wpmi; an unknown rule or grouping; a single
        patient.
    """
    resampled = resampled_labels(dissection, thresholds, n_boot, seed, store)
    return with_count_intervals(dissection, thresholds, by, resampled, level)


@validated(thresholds=_rule_or_table, n_boot=AT_LEAST_ONE)
def resampled_labels(
    dissection: Dissection,
    thresholds: pd.DataFrame | str = "top",
    n_boot: int = 200,
    seed: int = 0,
    store: StoreLike = None,
) -> dict[str, np.ndarray]:
    """The labels that count on resampled patients: all counts and their intervals can be made from them.

    >>> resampled_labels(found, tau, n_boot=200)["deep"].shape  # doctest: +SKIP
    (200, 763)

    Parameters
    ----------
    dissection, thresholds, n_boot, seed, store
        As for `count_intervals`.

    Returns
    -------
    dict of layer to int array (n_boot, n_concepts)
        How many of the layer's neurons have each concept as a label that counts, for each resample.

    Raises
    ------
    ValueError
        As `count_intervals`.
    """
    check_calibratable(dissection)
    thresholds, null = _table(dissection, thresholds), None
    if dissection.trusted is not None:
        calibrated = dissection.settings["calibrated"]
        given = {name: calibrated[name] for name in ("n_null", "seed") if name in calibrated}
        null = nulls_of(dissection, store=store, **given)[0]
    samples, tau, n_concepts = (
        resamples(dissection, n_boot, seed),
        thresholds.set_index("layer").threshold,
        len(dissection.concepts),
    )
    found = {}
    for layer in dissection.layers:
        data = layer_of(dissection, layer)
        if null is None:
            name_again = _by_threshold(data, float(tau[layer]))
        else:
            name_again = _by_evidence(null, calibrated["q"], calibrated.get("rule", RULE))
        found[layer] = np.stack([np.bincount(name_again(data.on(images)), minlength=n_concepts) for images in samples])
    return found


@validated(thresholds=_rule_or_table, by=analysis.GROUPINGS, level=RATE)
def with_count_intervals(
    dissection: Dissection,
    thresholds: pd.DataFrame | str,
    by: str,
    resampled: Mapping[str, np.ndarray],
    level: float = 0.95,
) -> pd.DataFrame:
    """`count_intervals` from the labels of resamples that were made before (`resampled_labels`)."""
    member, groups = membership(dissection.concepts, by)
    position, parts = {name: i for i, name in enumerate(dissection.concepts.names)}, []
    for layer, table in analysis.with_verdict(dissection, _table(dissection, thresholds)).groupby("layer", sort=False):
        labels = table.concept[table.passes].map(position).to_numpy(dtype=int)
        own = _counts(np.bincount(labels, minlength=len(member)), member)
        drawn = np.stack([_counts(neurons, member) for neurons in resampled[layer]])
        most = np.stack([member.sum(axis=0), np.full(len(groups), len(table))])  # no group has more concepts, no layer neurons
        low, high = count_interval(own, drawn, most, level)
        bounds = {"": own, "_low": low, "_high": high}
        columns = {f"concepts{end}": value[0] for end, value in bounds.items()}
        columns |= {f"neurons{end}": value[1] for end, value in bounds.items()}
        columns |= {f"fraction{end}": value[1] / len(table) for end, value in bounds.items()}
        parts.append(pd.DataFrame({"layer": layer, by: groups, **columns}))
    return pd.concat(parts, ignore_index=True)


@validated(top=AT_LEAST_ONE, n_boot=AT_LEAST_ONE)
def resampled_neuron(
    dissection: Dissection, layer: str, neuron: int, top: int = 5, n_boot: int = 200, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """The top concepts and images of one neuron on resampled patients.

    >>> concepts, images = resampled_neuron(found, "deep", 3, top=5, n_boot=200)  # doctest: +SKIP

    Returns
    -------
    concepts, images : int arrays (n_boot, top)
        Positions in the concept set and in the probe, best first; an image that a resample holds twice counts twice.

    Raises
    ------
    ValueError
        As `count_intervals`; a neuron that cannot be named.
    """
    check_calibratable(dissection)
    data = layer_of(dissection, layer)
    at = np.flatnonzero(data.neurons == neuron)
    if not len(at):
        raise ValueError(f"neuron={neuron} of layer {layer!r} cannot be named; choose one that has a label")
    concepts, images = [], []
    for drawn in resamples(dissection, n_boot, seed):
        part = data.on(drawn)
        concepts.append(part.similarity()[at[0]].sort(descending=True, stable=True).indices[:top].numpy())
        images.append(drawn[strongest(part.activations[:, at].numpy(), min(top, len(drawn)))[:, 0]])
    return np.stack(concepts), np.stack(images)


@validated(thresholds=_rule_or_table, n_boot=AT_LEAST_ONE)
def resampled_margins(
    dissection: Dissection, thresholds: pd.DataFrame | str = "top", n_boot: int = 200, seed: int = 0
) -> np.ndarray:
    """How far the neuron most similar to each concept lies above its layer's threshold, on resampled patients.

    >>> resampled_margins(found, tau, n_boot=200).shape  # doctest: +SKIP
    (200, 763)

    As in `count_intervals`, the threshold moves along with each resample's mean top similarity.

    Parameters
    ----------
    dissection, thresholds, n_boot, seed
        As for `count_intervals`.

    Returns
    -------
    array (n_boot, n_concepts)
        Similarity less threshold, the largest over all neurons and layers.

    Raises
    ------
    ValueError
        As `count_intervals`.
    """
    check_calibratable(dissection)
    tau, samples = _table(dissection, thresholds).set_index("layer").threshold, resamples(dissection, n_boot, seed)
    best = np.full((n_boot, len(dissection.concepts)), -np.inf)
    for layer in dissection.layers:
        data = layer_of(dissection, layer)
        above_mean = float(tau[layer]) - _mean_top(data.similarity())
        for i, images in enumerate(samples):
            similarity = data.on(images).similarity()
            margin = similarity.amax(dim=0).double() - _mean_top(similarity) - above_mean
            best[i] = np.maximum(best[i], margin.numpy())
    return best


@validated(level=RATE)
def count_interval(
    own: np.ndarray | float, drawn: np.ndarray, most: np.ndarray | float, level: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """`recentred_interval` of counts: rounded outwards, from 0 to the `most` there can be."""
    low, high = recentred_interval(own, drawn, level)
    return np.floor(low + ROUNDING).clip(0, most), np.ceil(high - ROUNDING).clip(0, most)


@validated(level=RATE)
def recentred_interval(own: np.ndarray | float, drawn: np.ndarray, level: float = 0.95) -> np.ndarray:
    """Quantiles of the resamples (n_boot, ...), shifted so that their mean lies on `own`; (2, ...), never without `own`."""
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0) - drawn.mean(axis=0) + own
    return np.stack([np.minimum(low, own), np.maximum(high, own)])


def membership(concepts: ConceptSet, by: str) -> tuple[np.ndarray, list[str]]:
    """The groups of each concept, (n_concepts, n_groups) bool, and the groups' names in order."""
    pairs = analysis.group_of(concepts, by)
    table = pd.crosstab(pairs.concept, pairs[by]).reindex(index=concepts.names, columns=pairs[by].unique(), fill_value=0)
    return table.to_numpy() > 0, list(table.columns)


def _by_threshold(data: LayerData, threshold: float) -> Callable[[LayerData], np.ndarray]:
    """Gives the concepts of the neurons that reach a layer's threshold on any of its images."""
    above_mean = threshold - _mean_top(data.similarity())

    def name(part: LayerData) -> np.ndarray:
        top, label = part.similarity().max(dim=1)
        return label[top.double() >= top.double().mean() + above_mean].numpy()

    return name


def _by_evidence(null: Null, q: float, rule: str) -> Callable[[LayerData], np.ndarray]:
    """Returns the calibrated labels on any images of a layer, compared with the whole probe's null."""

    def name(part: LayerData) -> np.ndarray:
        evidence = null.evidence(part.likelihood(null))
        passing = q_values(p_values([null], [evidence], [part.clustering(null)]).numpy()) <= q
        scores = part.scores(null, rule)
        return choose(scores, evidence.amax(dim=1), torch.from_numpy(passing), rule).numpy()[passing]

    return name


def _counts(neurons: np.ndarray, member: np.ndarray) -> np.ndarray:
    """(2, n_groups): the distinct concepts of each group among labels, and the labels; `neurons` (n_concepts,) of each."""
    return np.stack([(neurons > 0) @ member.astype(int), neurons @ member.astype(int)])


def _table(dissection: Dissection, thresholds: pd.DataFrame | str) -> pd.DataFrame:
    """Thresholds as a table: those given, or the dissection's own by a rule."""
    return analysis.thresholds(dissection, rule=thresholds) if isinstance(thresholds, str) else thresholds


def _mean_top(similarity: Tensor) -> float:
    return float(similarity.amax(dim=1).double().mean())
