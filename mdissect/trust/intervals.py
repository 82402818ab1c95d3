"""Thresholds and counts with intervals over resampled patients."""

from collections.abc import Callable

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
from mdissect.signatures import validated
from mdissect.store import StoreLike
from mdissect.trust.stability import resamples


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

    **What the interval is about**: the count that other probes with as many patients would give on average. There is no count
    of concepts apart from that, since more patients separate more neurons from chance.

    **How it is made.** Patients are drawn with replacement, each with all images (the cluster bootstrap: Davison and Hinkley,
    Bootstrap Methods and their Application, 1997, section 3.8), the layer is labelled again, and the counts' quantiles are
    shifted so that their mean lies on the probe's own count, and rounded outwards. The shift is needed because a resample
    holds only two thirds of the patients, so that its labels are noisier and its counts lie elsewhere: unshifted quantiles
    need not even contain the probe's own, and reflecting them ("basic" intervals) doubles the error. The threshold moves along
    with each resample's mean top similarity; kept in place, it would let another share of the neurons pass. On planted
    neurons, 60 patients of four images, the average count of 500 other probes lay in 97 to 99 of 100 such 95 % intervals (with
    calibrated labels in all, so that these are wider than they had to be), and in 57 to 73 of the reflected ones.

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
    check_calibratable(dissection)
    if isinstance(thresholds, str):
        thresholds = analysis.thresholds(dissection, rule=thresholds)
    null = None
    if dissection.trusted is not None:
        calibrated = dissection.settings["calibrated"]
        given = {name: calibrated[name] for name in ("n_null", "seed") if name in calibrated}
        null = nulls_of(dissection, store=store, **given)[0]
    member, groups = membership(dissection.concepts, by)
    position = {name: i for i, name in enumerate(dissection.concepts.names)}
    samples, parts = resamples(dissection, n_boot, seed), []
    for layer, table in analysis.with_verdict(dissection, thresholds).groupby("layer", sort=False):
        data = layer_of(dissection, layer)
        if null is None:
            name_again = _by_threshold(data, float(thresholds.set_index("layer").threshold[layer]))
        else:
            name_again = _by_evidence(null, calibrated["q"], calibrated.get("rule", RULE))
        own = _counts(table.concept[table.passes].map(position).to_numpy(dtype=int), member)
        drawn = np.stack([_counts(name_again(data.on(images)), member) for images in samples])
        low, high = recentred_interval(own, drawn, level)
        most = np.stack([member.sum(axis=0), np.full(len(groups), len(table))])  # no group has more concepts, no layer neurons
        bounds = {"": own, "_low": np.floor(low).clip(0, most), "_high": np.ceil(high).clip(0, most)}
        columns = {f"concepts{end}": value[0] for end, value in bounds.items()}
        columns |= {f"neurons{end}": value[1] for end, value in bounds.items()}
        columns |= {f"fraction{end}": value[1] / len(table) for end, value in bounds.items()}
        parts.append(pd.DataFrame({"layer": layer, by: groups, **columns}))
    return pd.concat(parts, ignore_index=True)


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
        statistic = null.evidence(part.likelihood(null)).amax(dim=1)
        passing = q_values(null.p_values(statistic).numpy()) <= q
        return choose(part.scores(null, rule), statistic, torch.from_numpy(passing), rule).numpy()[passing]

    return name


def _counts(labels: np.ndarray, member: np.ndarray) -> np.ndarray:
    """(2, n_groups): the distinct concepts of each group among the labels, and the labels themselves."""
    return np.stack([member[np.unique(labels)].sum(axis=0), member[labels].sum(axis=0)])


def _mean_top(similarity: Tensor) -> float:
    return float(similarity.amax(dim=1).double().mean())
