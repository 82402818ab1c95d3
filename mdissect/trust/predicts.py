"""Does a label predict its neuron on patients that it was not chosen on?"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from mdissect.arguments import AT_LEAST_ONE, table_with, texts
from mdissect.dissection import Dissection
from mdissect.hardware import memory_bytes
from mdissect.labels import sims_beyond_memory
from mdissect.signatures import validated
from mdissect.trust.correlation import correlations, influence, interval, standardised
from mdissect.trust.halves import CALIBRATED, PUBLISHED, RULES, Halves, Naming, chosen_layers, given_labels, halves_of, naming
from mdissect.trust.large_halves import LargeHalves
from mdissect.trust.measured_sims import MeasuredSims
from mdissect.trust.reached import at, mean_of_known, reached
from mdissect.trust.ridge import ridge_correlations

LABELS = table_with("layer", "neuron", "concept", made_by="Dissection.labels(...)")


@validated(layers=texts, rule=RULES, labels=LABELS, n_splits=AT_LEAST_ONE, memory=memory_bytes)
def predicts(
    dissection: Dissection,
    layers: Sequence[str] | None = None,
    rule: str | None = None,
    labels: pd.DataFrame | None = None,
    dissector: Dissection | None = None,
    n_splits: int = 8,
    seed: int = 0,
    memory: int | str | None = None,
) -> pd.DataFrame:
    """How well labels predict their neurons on patients that they were not chosen on.

    >>> table = trust.predicts(found, ["bn2"])                                                  # doctest: +SKIP
    >>> found.with_columns(table).labels()[["neuron", "concept", "predicts", "predicts_low"]]   # doctest: +SKIP

    The patients are split into two halves at random. The rule names every neuron on one half, and on the other half the
    neuron's activations are correlated (Pearson) with the dissector's similarities to that label; then the other way round.
    ``predicts`` is the mean over both ways of all splits.

    **Which number belongs beside a label?** The label shown is the rule's on all patients; no patient is left that it was not
    chosen on. ``predicts`` is about the neuron and the rule: what a label chosen like this reaches on new patients, with half
    as many to choose it on. It has an interval; report it. ``in_sample`` is the correlation of the very label shown, on the
    patients it was chosen on, which flatters; ``corrected`` takes off what labels lose, on average over the halves, from the
    half they were chosen on to the other. To rank labels, or to tell right from wrong ones, use ``corrected``: where the
    halves choose various concepts (``same``, the share that chose the label shown, is low), ``predicts`` is the mean over all
    of these. On the demo's truth (`trust.indicators`) ``corrected`` tells the right labels of M, G and an untrained network,
    by both rules, from the wrong ones with an AUC of 0.87 to 0.98, ``predicts`` with 0.81 to 0.97, p with 0.61 to 0.78.

    The dissector that named a neuron also measures it here, so a dissector whose words are wrong passes: its card
    (`mdissect.trust.dissector_card`) is needed beside it, or a second dissector.

    Parameters
    ----------
    layers : sequence of str, optional
        All of the dissection's when None.
    rule : str, optional
        "calibrated" (the candidate, whatever q is), "published" (the dissection's own similarity), or the name of a similarity
        function. When None, the rule of the labels that `Dissection.labels` shows: calibrated for a calibrated dissection.
    labels : DataFrame, optional
        Labels to measure instead (layer, neuron, concept). They are not chosen anew on the halves: the result is honest only if
        they were chosen on other patients.
    dissector : Dissection, optional
        Of the same images by a second dissector (any target). Labels are chosen with the first one's similarities and measured
        with this one's, concept by concept of the same name; so are ceiling, ridge and floor.
    n_splits : int
        Random splits of the patients; of images where the probe names no patients.
    memory : int or str, optional
        As in `PassOptions`, for memory-mapped results: what does not fit into it is read in blocks of neurons and of images.

    Returns
    -------
    DataFrame
        A row per neuron: layer, neuron, concept (the label on all patients; "" for none), then correlations from -1 to 1:

        - predicts, predicts_low, predicts_high: see above, with a 95 % interval over patients;
        - in_sample, corrected: of the label shown, on all patients, and less what the choice flatters: see above;
        - ceiling: as predicts, of the concept whose similarities correlate best on the choosing half;
        - ridge: as predicts, of a ridge regression on all concepts fitted on the choosing half;
        - floor: as predicts, of the labels of the layer's other neurons (labels dealt out at random reach this on average);

        and same (see above) and halves (of 2 n_splits, those on which predicts is known: the neuron was named on one half and
        varies on the other). NaN where nothing is known.

    Raises
    ------
    ValueError
        A single patient; unknown layer, rule or label; a dissection without activations; a second dissection that lacks images;
        top_k that exceeds a half of the probe; a result that neither fits into memory nor can be read in blocks.

    Notes
    -----
    The interval is about the labels that were chosen: their mean correlation among all patients of this kind. Each patient's
    influence on every half's correlation is summed up (the infinitesimal jackknife; with z standardised activations and
    similarities, ``z_a z_s - r (z_a^2 + z_s^2) / 2`` per image) and squared over patients, on Fisher's scale (atanh), with
    Student's t whose degrees of freedom fall where few patients carry the sum (2 V^2 / Var V of the variance V itself): as with
    a rare concept; a patient's influence is enlarged as if the patient were left out. Measured on made-up neurons, 60 probes
    each (images of a patient alike or not, concepts common or shown by 4 %): 0.92 to 0.96 of the intervals covered with 50 and
    150 patients of four images, 0.91 to 0.98 with 15, 0.99 with 6 (too wide).
    """
    layers, rule = chosen_layers(dissection, layers), rule or (PUBLISHED if dissection.trusted is None else CALIBRATED)
    halves, others = halves_of(dissection, n_splits, seed), () if dissector is None else (dissector,)
    large = sims_beyond_memory(dissection, "a comparison of halves of the patients", memory, others)
    name = naming(dissection, rule, large) if labels is None else given_labels(dissection, labels)
    measured = MeasuredSims.of(dissection, dissector)
    sims = measured if large else measured.rows(slice(None))
    parts = [_layer(dissection, layer, sims, halves, name, large.memory if large else 0) for layer in layers]
    return pd.concat(parts, ignore_index=True)


@validated()
def held_out_correlations(
    activations: np.ndarray, sims: np.ndarray, halves: Halves, name: Callable[[np.ndarray], np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """`predicts` of a layer's neurons alone: (n_neurons,), and each patient's influence on it (n_patients, n_neurons).

    `name` gives the labels (n_neurons,) on chosen images, -1 for none. 0 is the influence on what is not known.
    """
    values, shares = [], np.zeros((halves.n_patients, activations.shape[1]))
    for choose, test in halves.both_ways:
        label = name(choose)
        r = np.full(len(label), np.nan)
        known = np.flatnonzero(label >= 0)
        z = standardised(activations[test][:, known]), standardised(sims[test][:, label[known]].astype(np.float64))
        r[known] = np.clip((z[0] * z[1]).mean(axis=0), -1, 1)
        shares += influence(activations[test], sims[test], label, r, halves.patient[test], halves.n_patients)
        values.append(r)
    counted = np.isfinite(values).sum(axis=0)
    return mean_of_known(np.array(values)), shares / np.maximum(counted, 1)


def _layer(
    dissection: Dissection, layer: str, sims: np.ndarray | MeasuredSims, halves: Halves, name: Naming, memory: int
) -> pd.DataFrame:
    """`predicts` of a layer, by sims (n_images, n_concepts), read in blocks within `memory` unless that is 0."""
    activations = dissection.activations[layer]
    label, names = name(layer, np.arange(len(activations))), np.array([*dissection.concepts.names, ""], dtype=object)
    chosen = np.array([name(layer, choose) for choose, _ in halves.both_ways])
    if memory:
        held = LargeHalves(activations, sims, halves, memory).held(label, chosen)
    else:
        held = _held(activations.astype(np.float64), sims, halves, label, chosen)
    found = {what: mean_of_known(held[what]) for what in ("predicts", "optimism", "ceiling", "ridge", "floor")}
    return pd.DataFrame(
        {
            "layer": layer,
            "neuron": range(len(label)),
            "concept": names[label],
            "predicts": found["predicts"],
            "predicts_low": held["low"],
            "predicts_high": held["high"],
            "in_sample": held["in_sample"],
            "corrected": np.clip(held["in_sample"] - found["optimism"], -1, 1),
            "ceiling": found["ceiling"],
            "ridge": found["ridge"],
            "floor": found["floor"],
            "same": np.where(label >= 0, (chosen == label).mean(axis=0), np.nan),
            "halves": np.isfinite(held["predicts"]).sum(axis=0),
        }
    )


def _held(
    activations: np.ndarray, sims: np.ndarray, halves: Halves, label: np.ndarray, chosen: np.ndarray
) -> dict[str, np.ndarray]:
    """By name, the numbers (n_ways, n_neurons) of each half, and in_sample, low and high (n_neurons,).

    `label` (n_neurons,) are the labels on all images, `chosen` (n_ways, n_neurons) those of each half.
    """
    known, ways = np.isfinite(sims).all(axis=0), []
    shares = np.zeros((halves.n_patients, len(label)))
    for (choose, test), its in zip(halves.both_ways, chosen, strict=True):
        on_test, on_choosing = (correlations(activations[half], sims[half]) for half in (test, choose))
        way = reached(on_test, on_choosing, its, its)
        way["ridge"] = ridge_correlations(sims[:, known], activations, halves.patient, choose, test)
        ways.append(way)
        who = halves.patient[test]
        shares += influence(activations[test], sims[test], its, way["predicts"], who, halves.n_patients)
    held = {what: np.array([way[what] for way in ways]) for what in ways[0]}
    shares /= np.maximum(np.isfinite(held["predicts"]).sum(axis=0), 1)
    low, high = interval(mean_of_known(held["predicts"]), shares)
    return held | {"in_sample": at(correlations(activations, sims), label), "low": low, "high": high}
