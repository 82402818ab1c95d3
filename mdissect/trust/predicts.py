"""Does a label predict its neuron on patients that it was not chosen on?"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from mdissect.arguments import AT_LEAST_ONE, listed, table_with, texts
from mdissect.dissection import Dissection
from mdissect.labels import why_none
from mdissect.signatures import validated
from mdissect.trust.correlation import correlations, influence, interval, standardised
from mdissect.trust.halves import CALIBRATED, PUBLISHED, RULES, Halves, Naming, chosen_layers, given_labels, halves_of, naming
from mdissect.trust.ridge import ridge_correlations

LABELS = table_with("layer", "neuron", "concept", made_by="Dissection.labels(...)")


@validated(layers=texts, rule=RULES, labels=LABELS, n_splits=AT_LEAST_ONE)
def predicts(
    dissection: Dissection,
    layers: Sequence[str] | None = None,
    rule: str | None = None,
    labels: pd.DataFrame | None = None,
    dissector: Dissection | None = None,
    n_splits: int = 8,
    seed: int = 0,
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
        top_k that exceeds a half of the probe.

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
    halves = halves_of(dissection, n_splits, seed)
    name = naming(dissection, rule) if labels is None else given_labels(dissection, labels)
    sims = dissection.image_concept_sims if dissector is None else similarities_of(dissector, dissection)
    parts = [_layer(dissection, layer, np.asarray(sims, dtype=np.float64), halves, name) for layer in layers]
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
    return _mean(np.array(values)), shares / np.maximum(counted, 1)


def similarities_of(other: Dissection, dissection: Dissection) -> np.ndarray:
    """A second dissection's similarities in the order of the first one's images and concepts; NaN for concepts it lacks."""
    if other.image_concept_sims is None:
        raise ValueError(f"dissector= has no image_concept_sims ({why_none(other)}")
    images = other.probe_table.index.get_indexer(dissection.probe_table.index)
    if (images < 0).any():
        missing = [str(image) for image in dissection.probe_table.index[images < 0]]
        raise ValueError(f"dissector= lacks {len(missing)} of the images, such as {listed(missing, 2)}; use the same probe")
    concepts = pd.Index(other.concepts.names).get_indexer(dissection.concepts.names)
    if (concepts < 0).all():
        raise ValueError("dissector= has none of the dissection's concepts; dissect with the same concepts")
    return np.where(concepts >= 0, other.image_concept_sims[images][:, concepts], np.nan)


def _layer(dissection: Dissection, layer: str, sims: np.ndarray, halves: Halves, name: Naming) -> pd.DataFrame:
    """`predicts` of a layer, by sims (n_images, n_concepts)."""
    activations = dissection.activations[layer].astype(np.float64)
    everything = np.arange(len(activations))
    label, names = name(layer, everything), np.array([*dissection.concepts.names, ""], dtype=object)
    known = np.isfinite(sims).all(axis=0)
    held = {what: [] for what in ("predicts", "optimism", "ceiling", "ridge", "floor")}
    chosen, shares = [], np.zeros((halves.n_patients, len(label)))
    for choose, test in halves.both_ways:
        its = name(layer, choose)
        reached = correlations(activations[test], sims[test])
        held["predicts"].append(_at(reached, its))
        held["floor"].append(_of_others(reached, its))
        chosen_on = correlations(activations[choose], sims[choose])
        held["optimism"].append(_at(chosen_on, its) - held["predicts"][-1])
        held["ceiling"].append(_at(reached, _best(chosen_on)))
        held["ridge"].append(ridge_correlations(sims[:, known], activations, halves.patient, choose, test))
        chosen.append(its)
        r, who = held["predicts"][-1], halves.patient[test]
        shares += influence(activations[test], sims[test], its, r, who, halves.n_patients)
    values, chosen = {what: np.array(each) for what, each in held.items()}, np.array(chosen)
    found = {what: _mean(each) for what, each in values.items()}
    counted = np.isfinite(values["predicts"]).sum(axis=0)
    in_sample = _at(correlations(activations, sims), label)
    low, high = interval(found["predicts"], shares / np.maximum(counted, 1))
    return pd.DataFrame(
        {
            "layer": layer,
            "neuron": range(len(label)),
            "concept": names[label],
            "predicts": found["predicts"],
            "predicts_low": low,
            "predicts_high": high,
            "in_sample": in_sample,
            "corrected": np.clip(in_sample - found["optimism"], -1, 1),
            "ceiling": found["ceiling"],
            "ridge": found["ridge"],
            "floor": found["floor"],
            "same": np.where(label >= 0, (chosen == label).mean(axis=0), np.nan),
            "halves": counted,
        }
    )


def _at(values: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Each neuron's value (n_neurons, n_concepts) at its label, NaN without one."""
    return np.where(label >= 0, values[np.arange(len(label)), label], np.nan)


def _best(values: np.ndarray) -> np.ndarray:
    """The concept of each neuron's largest value, -1 where none is known."""
    return np.where(np.isfinite(values).any(axis=1), np.where(np.isnan(values), -np.inf, values).argmax(axis=1), -1)


def _of_others(values: np.ndarray, label: np.ndarray) -> np.ndarray:
    """The mean of each neuron's values (n_neurons, n_concepts) at the labels of the layer's other neurons."""
    worn = np.bincount(label[label >= 0], minlength=values.shape[1])
    others = worn - (np.arange(len(worn)) == label[:, None])  # -1 is no concept's place
    others = np.where(np.isfinite(values), others, 0)
    count = others.sum(axis=1)
    return np.divide(np.nansum(values * others, axis=1), count, out=np.full(len(count), np.nan), where=count > 0)


def _mean(values: np.ndarray) -> np.ndarray:
    """The mean over halves (n_halves, n_neurons) of what is known."""
    known = np.isfinite(values)
    count = known.sum(axis=0)
    return np.divide(np.where(known, values, 0).sum(axis=0), count, out=np.full(len(count), np.nan), where=count > 0)
