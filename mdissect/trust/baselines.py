"""Control baselines: an untrained target, a scrambled dissector, one label for all neurons."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from mdissect.analysis import thresholds, with_verdict
from mdissect.arguments import AT_LEAST_ONE, RATE
from mdissect.concepts import closest
from mdissect.dissection import Dissection
from mdissect.signatures import validated
from mdissect.trust.presence import known_presence, label_precision

UNTRAINED, RANDOM, CONSTANT = "untrained", "random dissector", "constant"
KINDS = (UNTRAINED, RANDOM, CONSTANT)


@validated()
def constant_label(dissection: Dissection, concept: str | None = None) -> Dissection:
    """The same label for every neuron: the score of a rule that ignores the neurons.

    Parameters
    ----------
    concept : str, optional
        By default the most common label that reaches its layer's threshold (`mdissect.analysis.thresholds`), over all layers.

    Returns
    -------
    Dissection
        With the similarity of all other concepts NaN; everything in `mdissect.analysis` takes it, save the threshold rule
        "all". What needs random rankings or resamples refuses it (its settings say similarity "constant label"): a constant
        responds to nothing.

    Raises
    ------
    ValueError
        The concept is not in the concept set.
    """
    dissection, names = dissection.published, list(dissection.concepts.names)
    if concept is None:
        concept = with_verdict(dissection, thresholds(dissection)).query("passes").concept.mode().iloc[0]
    if concept not in names:
        raise ValueError(f"the concept set has no {concept!r}{closest(concept, names)}")
    others = np.arange(len(names)) != names.index(concept)
    similarity = {layer: np.where(others, np.float32(np.nan), scores) for layer, scores in dissection.similarity.items()}
    settings = {**dissection.settings, "similarity": "constant label", "constant_label": concept}
    return replace(dissection, similarity=similarity, settings=settings)


@validated(q=RATE, top=AT_LEAST_ONE, n_null=AT_LEAST_ONE)
def compare_baselines(
    dissections: Mapping[str, Dissection], layer: str, q: float = 0.05, top: int = 20, **calibration
) -> pd.DataFrame:
    """A layer under several dissections, baselines among them, side by side.

    Parameters
    ----------
    dissections : mapping of setup to Dissection
    layer : str
        All of them have it.
    q : float
        False discovery rate of the labels that count as better than chance.
    top : int
        Top images of a neuron with which its label is compared.
    **calibration
        n_null, seed, store, as `Dissection.labels` takes them with q.

    Returns
    -------
    DataFrame
        setup, kind ("model", or which of `KINDS` its name ends with), threshold (tau), better (share of neurons with a label
        better than chance), concepts (how many different ones these are: an untrained network responds to a few
        conspicuous things, well enough, with many neurons), precision (mean share of a neuron's strongest images that show its
        published label), prevalence (mean share of all images that do), lift (precision over prevalence). better and concepts
        are NaN for a constant label, the last three where nothing is known of what images show (see `known_presence`).
    """
    if not dissections:
        raise ValueError("dissections={} must hold one Dissection at least, by its setup")
    rows = []
    for setup, dissection in dissections.items():
        kind = next((kind for kind in KINDS if setup.endswith(f" {kind}")), "model")
        alone = _only(dissection, layer)
        row = {"setup": setup, "kind": kind, "threshold": thresholds(alone).threshold[0], "better": np.nan, "concepts": np.nan}
        if alone.settings.get("similarity") != "constant label":
            named = alone.labels(q=q, **calibration).concept
            row |= {"better": (named != "").mean(), "concepts": named[named != ""].nunique()}
        rows.append(row | _precision(alone, top))
    table = pd.DataFrame(rows)
    return table.assign(lift=table.precision / table.prevalence)


def _precision(dissection: Dissection, top: int) -> dict[str, float]:
    """Mean precision and prevalence of the labels whose presence is known; NaN where that of none is."""
    return label_precision(dissection, top, known_presence(dissection))[["precision", "prevalence"]].mean().to_dict()


def _only(dissection: Dissection, layer: str) -> Dissection:
    """The dissection with one layer alone, under the published rule."""
    if layer not in dissection.similarity:
        raise ValueError(f"no layer {layer!r}; there are {', '.join(dissection.layers)}")
    parts = {name: getattr(dissection, name) for name in ("similarity", "activations", "notes")}
    parts = {name: {layer: arrays[layer]} if layer in arrays else {} for name, arrays in parts.items()}
    return replace(dissection.published, **parts)


@validated(q=RATE, top=AT_LEAST_ONE, n_null=AT_LEAST_ONE)
def passing_share(dissections: Mapping[str, Dissection], q: float = 0.05, top: int = 20, **calibration) -> pd.DataFrame:
    """How many neurons pass the published rule, how many the calibrated one, and how often the labels of these are right.

    Parameters
    ----------
    dissections : mapping of setup to Dissection
    q : float
        False discovery rate of the labels that count as better than chance.
    top : int
        Strongest images of a neuron that its label is compared with.
    **calibration
        n_null, seed, store, as `Dissection.labels` takes them with q.

    Returns
    -------
    DataFrame
        setup, layer, neurons, published (share whose top similarity reaches the layer's tau), calibrated (share with a q-value
        of at most q), agree (share of the calibrated whose two labels are the same); of the calibrated labels whose presence is
        known: known (how many), precision (mean share of a neuron's strongest images that show its label), prevalence (mean
        share of all images that do). The last two are NaN where nothing is known (see `known_presence`).
    """
    if not dissections:
        raise ValueError("dissections={} must hold one Dissection at least, by its setup")
    rows = []
    for setup, dissection in dissections.items():
        published = with_verdict(dissection.published, thresholds(dissection))
        judged = dissection.calibrated(q, **calibration)
        right = label_precision(judged, top, known_presence(dissection))
        both = published.merge(judged.labels(), on=["layer", "neuron"], suffixes=("", "_calibrated"))
        for layer, table in both.groupby("layer", sort=False):
            named = table[table.concept_calibrated != ""]
            same = (named.concept == named.concept_calibrated).mean() if len(named) else np.nan
            shares = {"published": table.passes.mean(), "calibrated": len(named) / len(table), "agree": same}
            known = right[right.layer == layer]
            shares |= {"known": len(known), **known[["precision", "prevalence"]].mean()}
            rows.append({"setup": setup, "layer": layer, "neurons": len(table), **shares})
    return pd.DataFrame(rows)
