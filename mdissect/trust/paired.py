"""The same channel before and after fine-tuning: how similar its activations, label and evidence remain."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from mdissect.analysis import UNGROUPED
from mdissect.arguments import AT_LEAST_ONE
from mdissect.dissection import Dissection
from mdissect.labels import Images, LayerData, check_calibratable, check_in_memory, layer_of, nulls_of
from mdissect.signatures import validated
from mdissect.trust.intervals import membership, recentred_interval
from mdissect.trust.stability import resamples

KEPT, CATEGORY, CHANGED, LOST, GAINED, NEITHER = "kept", "kept_category", "changed", "lost", "gained", "neither"
OUTCOMES = (KEPT, CATEGORY, CHANGED, LOST, GAINED, NEITHER)
MEASURES = ("similarity", "evidence")
MUST_AGREE = ("top_k", "pool", "a", "lam", "p_start", "p_end", "min_prob")
SAME_SIMS = 1e-3  # cosines of one dissector on two machines differ by less

Labels = tuple[pd.DataFrame | None, pd.DataFrame | None]


@validated(measure=MEASURES)
def paired(
    before: Dissection,
    after: Dissection,
    layer: str | None = None,
    labels: Labels = (None, None),
    measure: str = "similarity",
) -> pd.DataFrame:
    """Each neuron of a network and the same neuron after further training.

    >>> paired(found["M"], found["C1"], layer="bn2").outcome.value_counts()      # doctest: +SKIP

    Parameters
    ----------
    before, after : Dissection
        With the same layers, dissector, concepts and images (in any order).
    layer : str, optional
        All layers when None.
    labels : pair of DataFrame, optional
        What `Dissection.labels` gave for each, such as ``(before.labels(q=0.05), after.labels(q=0.05))``; when None the
        dissection's own: published labels, or calibrated ones where it was calibrated.
    measure : {"similarity", "evidence"}
        What is compared. The published similarity is relative to the layer's other neurons, so that it falls when they grow
        alike even where each responds to its concept as before; the evidence of `mdissect.calibrate`, in nats against random
        rankings of the probe, is not.

    Returns
    -------
    DataFrame
        A row per layer and neuron: layer, neuron; correlation (Spearman's, of its activations over the probe: the method
        sees their order alone); concept_before, concept_after ("" for none), outcome ("kept", "kept_category" where another
        concept shares a category with it, "changed", "lost", "gained" or "neither"); label_correlation (over the probe, of
        the dissector's similarities to the two concepts: 1 for the same, near 1 for two words of one thing; NaN without two
        labels); strength_before, strength_after and change (of the highest measure over all concepts, whatever the label);
        change_of_before, change_of_after (of the measure for the one and for the other label). NaN where a neuron cannot be
        named.

    Raises
    ------
    ValueError
        Dissections that cannot be compared (with what differs) or do not fit into memory, an unknown layer or measure, or
        labels that lack a neuron.
    """
    layers = _check(before, after, layer)
    rows = _rows(before, after)
    pairs = zip((before, after), labels, strict=True)
    tables = [dissection.labels() if given is None else given for dissection, given in pairs]
    names, member = before.concepts.names, _categories(before)
    correlation, parts = _label_correlation(before.image_concept_sims), []
    for name in layers:
        first, second = (_positions(table, name, before) for table in tables)
        old, new = (_strengths(dissection, name, measure) for dissection in (before, after))
        sides = {
            "correlation": _spearman(before.activations[name], after.activations[name][rows]),
            "concept_before": np.array([*names, ""], dtype=object)[first],
            "concept_after": np.array([*names, ""], dtype=object)[second],
            "outcome": _outcome(first, second, member),
            "label_correlation": np.where((first >= 0) & (second >= 0), correlation(first, second), np.nan),
            "strength_before": _top(old),
            "strength_after": _top(new),
            "change": _top(new) - _top(old),
            "change_of_before": _at(new, first) - _at(old, first),
            "change_of_after": _at(new, second) - _at(old, second),
        }
        parts.append(pd.DataFrame({"layer": name, "neuron": range(len(old)), **sides}))
    return pd.concat(parts, ignore_index=True)


@validated(measure=MEASURES, n_boot=AT_LEAST_ONE)
def paired_summary(
    before: Dissection,
    after: Dissection,
    layer: str | None = None,
    labels: Labels = (None, None),
    measure: str = "similarity",
    n_boot: int = 200,
    seed: int = 0,
) -> pd.DataFrame:
    """Mean effect of further training on a layer's neurons.

    The effect is Cohen's d for pairs (d_z, Statistical Power Analysis, 1988, section 2.3.5): the mean change over its standard
    deviation between channels. It needs changes spread evenly about their mean, as the demo's changes of similarity are (their
    skewness lies within 0.2 in the last layer); those of evidence are less so, and the share of channels that rise is
    given too. Channels of one layer are not independent, so there is no p-value: the
    intervals show how much depends on the probe's patients, resampled with all their images for both networks at once, and are
    recentred on the probe's own value as in `mdissect.trust.count_intervals`.

    Parameters
    ----------
    before, after, layer, labels, measure
        As in `paired`.
    n_boot, seed
        Resamples of patients with all their images; of images where the probe names no patients.

    Returns
    -------
    DataFrame
        A row per layer: layer, neurons, correlation (median), change (mean over the channels that can be named in both),
        low, high (its 95 % interval), effect, effect_low, effect_high, rising (share of these channels), then the shares of
        all the layer's neurons with each outcome: kept, kept_category, changed, lost, gained, neither.
    """
    table = paired(before, after, layer, labels, measure)
    samples, rows, summary = resamples(before, n_boot, seed), _rows(before, after), []
    for name, channels in table.groupby("layer", sort=False):
        change = _change_on(before, after, name, measure, rows)
        own, drawn = change(slice(None)), np.stack([change(images) for images in samples])
        low, high = recentred_interval(own, drawn)
        shares = {outcome: float((channels.outcome == outcome).mean()) for outcome in OUTCOMES}
        size = {"layer": name, "neurons": len(channels), "correlation": channels.correlation.median()}
        interval = {"change": own[0], "low": low[0], "high": high[0]}
        effect = {"effect": own[1], "effect_low": low[1], "effect_high": high[1]}
        effect["rising"] = float((channels.change.dropna() > 0).mean())
        summary.append(size | interval | effect | shares)
    return pd.DataFrame(summary)


def _change_on(
    before: Dissection, after: Dissection, layer: str, measure: str, rows: np.ndarray
) -> Callable[[Images], np.ndarray]:
    """What gives mean change and effect, over the channels that can be named in both, on chosen images of `before`."""
    (old, old_measure), (new, new_measure) = (_measuring(dissection, layer, measure) for dissection in (before, after))
    _, in_old, in_new = np.intersect1d(old.neurons, new.neurons, return_indices=True)

    def change(images: Images) -> np.ndarray:
        difference = new_measure(new.on(rows[images]))[in_new].max(axis=1) - old_measure(old.on(images))[in_old].max(axis=1)
        spread = difference.std(ddof=1) if len(difference) > 1 else np.nan
        mean = difference.mean() if len(difference) else np.nan
        return np.array([mean, mean / spread if spread > 0 else 0.0 if mean == 0 else np.nan])

    return change


def _measuring(dissection: Dissection, layer: str, measure: str) -> tuple[LayerData, Callable[[LayerData], np.ndarray]]:
    """The neurons that can be named, and what gives their measure (n_usable, n_concepts) on any of the images."""
    data = layer_of(dissection, layer)
    if measure == "similarity":
        return data, lambda part: part.similarity().double().numpy()
    null = nulls_of(dissection, n_null=1)[0]  # its moments are needed, its maxima are not
    return data, lambda part: null.evidence(part.likelihood(null)).double().numpy()


def _strengths(dissection: Dissection, layer: str, measure: str) -> np.ndarray:
    """(n_neurons, n_concepts), NaN for neurons that cannot be named."""
    if measure == "similarity":
        return dissection.similarity[layer].astype(np.float64)
    data, evidence = _measuring(dissection, layer, measure)
    whole = np.full(dissection.similarity[layer].shape, np.nan)
    whole[data.neurons] = evidence(data)
    return whole


def _check(before: Dissection, after: Dissection, layer: str | None) -> list[str]:
    """The layers to compare; an error names the differences between two dissections."""
    for dissection in (before, after):
        check_calibratable(dissection)
    check_in_memory(before, "a comparison of paired neurons", after)
    for key in MUST_AGREE:
        first, second = (dissection.settings.get(key) for dissection in (before, after))
        if first != second:
            raise ValueError(f"before was dissected with {key}={first}, after with {second}; dissect both alike")
    if list(before.concepts.names) != list(after.concepts.names):
        raise ValueError("before and after were dissected with different concepts; dissect both with one concept set")
    sizes = [{name: len(scores) for name, scores in dissection.similarity.items()} for dissection in (before, after)]
    layers = list(sizes[0] | sizes[1]) if layer is None else [layer]
    if different := [name for name in layers if name not in sizes[0] or sizes[0][name] != sizes[1].get(name)]:
        found = " and ".join(", ".join(f"{name} ({n} neurons)" for name, n in size.items()) for size in sizes)
        raise ValueError(f"layer {different[0]!r} is not the same in both, which have {found}: its channels cannot be paired")
    return layers


def _rows(before: Dissection, after: Dissection) -> np.ndarray:
    """The position in `after` of each image of `before`; an error for other images or another dissector."""
    rows = after.probe_table.index.get_indexer(before.probe_table.index)
    if (rows < 0).any() or len(before.probe_table) != len(after.probe_table):
        counts = f"{len(before.probe_table)} and {len(after.probe_table)} images, {(rows >= 0).sum()} of them the same"
        raise ValueError(f"before and after saw different images ({counts}); dissect both on one probe")
    if not np.allclose(before.image_concept_sims, after.image_concept_sims[rows], atol=SAME_SIMS):
        names = " and ".join(str(dissection.settings.get("dissector", "?")) for dissection in (before, after))
        raise ValueError(
            f"before and after give the same images other similarities to the concepts (dissectors: {names}); use one dissector"
        )
    return rows


def _positions(labels: pd.DataFrame, layer: str, dissection: Dissection) -> np.ndarray:
    """The label of every neuron of a layer as a position in the concept set, -1 for none."""
    own = labels[labels.layer == layer].drop_duplicates("neuron").set_index("neuron").concept
    expected = range(len(dissection.similarity[layer]))
    if missing := sorted(set(expected) - set(own.index)):
        raise ValueError(f"labels lack {len(missing)} neurons of {layer}, such as {missing[0]}; give what labels() returned")
    position = {name: i for i, name in enumerate(dissection.concepts.names)} | {"": -1}
    if unknown := sorted(set(own) - set(position)):
        raise ValueError(f"{len(unknown)} labels are not in the concept set, such as {', '.join(unknown[:3])}")
    return own[list(expected)].map(position).to_numpy()


def _categories(dissection: Dissection) -> np.ndarray:
    """(n_concepts, n_categories) bool, without concepts of no category."""
    member, names = membership(dissection.concepts, "category")
    return member[:, [name != UNGROUPED for name in names]]


def _outcome(first: np.ndarray, second: np.ndarray, member: np.ndarray) -> np.ndarray:
    """The outcome of each label: one of `OUTCOMES`."""
    named, again = first >= 0, second >= 0
    alike = (member[first] & member[second]).any(axis=1)
    cases = [named & again & (first == second), named & again & alike, named & again, named, again]
    return np.select(cases, [KEPT, CATEGORY, CHANGED, LOST, GAINED], NEITHER)


def _label_correlation(sims: np.ndarray) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """What gives the correlation over the images (n_images, n_concepts) of two concepts, given by their positions."""
    centred = sims.astype(np.float64) - sims.mean(axis=0, dtype=np.float64)
    unit = centred / np.maximum(np.linalg.norm(centred, axis=0), np.finfo(np.float64).tiny)
    return lambda first, second: (unit[:, first] * unit[:, second]).sum(axis=0)


def _spearman(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Spearman's correlation column by column, NaN where one does not vary or is not finite."""
    from scipy.stats import rankdata

    ranks = [rankdata(x, axis=0, nan_policy="propagate") for x in (first, second)]
    centred = [x - x.mean(axis=0) for x in ranks]
    norms = np.linalg.norm(centred[0], axis=0) * np.linalg.norm(centred[1], axis=0)
    return np.divide((centred[0] * centred[1]).sum(axis=0), norms, out=np.full(len(norms), np.nan), where=norms > 0)


def _top(strengths: np.ndarray) -> np.ndarray:
    """Each neuron's highest measure, NaN where it cannot be named."""
    best = np.where(np.isnan(strengths), -np.inf, strengths).max(axis=1)
    return np.where(np.isneginf(best), np.nan, best)


def _at(strengths: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Each neuron's measure for its label, NaN without one."""
    return np.where(label >= 0, strengths[np.arange(len(label)), label], np.nan)
