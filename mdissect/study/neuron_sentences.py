"""Findings about single neurons in sentences, for the notebooks on cases and explorers; every number is computed."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pandas as pd

from mdissect.analysis import activation_auc, images_showing
from mdissect.dissection import Dissection
from mdissect.facts import in_words, shared_facts
from mdissect.store import StoreLike
from mdissect.study.sentences import bullets, percent
from mdissect.wording import which_label

if TYPE_CHECKING:
    from mdissect.localize import ReceptiveField
    from mdissect.study.marked import Pointing
    from mdissect.study.neuron_case import NeuronCase


def cases_in_short(cases: Iterable["NeuronCase | Pointing"]) -> str:
    """Each neuron looked at in a line: its case, or its pointing game."""
    return bullets([one.summary() for one in cases])


def of_case(case: "NeuronCase", dissection: Dissection) -> str:
    """A neuron's case, and how well its activation separates the images with the finding from those without."""
    shown = images_showing(dissection.probe_table, case.word)
    auc = activation_auc(dissection, case.layer, case.neuron, shown)
    return (
        f"{case.summary()} Over all {len(shown)} images ({int(shown.sum())} with {case.word}) its activation separates those "
        f"with the finding from those without with an AUC of **{auc:.2f}** (1 is perfect, 0.5 is chance)."
    )


def facts_of_case(case: "NeuronCase", dissection: Dissection) -> str:
    """What a neuron's top images share, in a sentence (`analysis.shared_facts`)."""
    every = shared_facts(dissection, case.layer, case.neuron, q=None)
    shared, who = every[every.q <= 0.05], f"The top images of neuron {case.neuron}"
    if len(shared):
        return f"{who} have facts in common (q <= 0.05). {_capital(in_words(shared, 3))}."
    nearest = f" The nearest is {in_words(every, 1)} (q = {every.q.iloc[0]:.2g})." if len(every) else ""
    patients = f" (of {every.patients.iloc[0]} patients)" if len(every) else ""
    return f"{who}{patients} share no fact that is surely more frequent than among all images (q <= 0.05).{nearest}"


def label_to_trust(case: "NeuronCase", dissection: Dissection, store: StoreLike = None, q: float = 0.05) -> str:
    """Which label of a neuron to trust, the published or the calibrated one, at a false discovery rate `q`."""
    judged = dissection.published.labels(q=q, store=store).query("layer == @case.layer and neuron == @case.neuron").iloc[0]
    labels = dissection.published.labels().query("layer == @case.layer and neuron == @case.neuron")
    words = which_label(labels.concept.iloc[0], judged.concept, bool(labels.similarity.iloc[0] >= case.threshold))
    return f"{_capital(words)} (q = {judged.q:.2g})."


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]


def receptive_field(layer: str, field: "ReceptiveField") -> str:
    """How much of an image a place of a layer sees (`localize.receptive_field`)."""
    (height, width), (rows, columns) = field.reach, field.core
    return (
        f"A place of {layer} sees {height} x {width} pixels of the prepared image, whose size is {field.size[0]} x "
        f"{field.size[1]}; {percent(field.share)} of the influence comes from {rows} x {columns} of them."
    )


def explored(dissection: Dissection, trust: pd.DataFrame, name: str, layer: str) -> str:
    """What there is to explore in a layer, and how much of it can be trusted (`Dissection.labels` with q)."""
    rows = trust[trust.layer == layer]
    named = rows[rows.concept != ""]
    steady = f", **{int((named.stability >= 0.5).sum())}** of these return in at least half of the resamples"
    return (
        f"**In short.** {len(dissection.layers)} layers of {name} on {len(dissection.probe_table)} images; in {layer} "
        f"**{len(named)} of {len(rows)}** neurons have a label better than chance"
        f"{steady if named.stability.notna().any() else ''}. **{int((named.needs != '').sum())}** of the labels need more than "
        "one mammogram, so the images cannot confirm them."
    )


def shares_by_layer(title: str, summary: pd.DataFrame) -> str:
    """The share of each layer's neurons with a label, by network (`ConceptExplorer.summary`)."""
    lines = []
    for layer, rows in summary.groupby("layer", sort=False):
        lines.append(f"{layer}: " + ", ".join(f"{row.model} **{percent(row.share, 1)}**" for row in rows.itertuples()))
    return f"{title}. Share of the layer's neurons:\n\n{bullets(lines)}"


def gains(first: str, second: str, counts: pd.DataFrame, pairs: pd.DataFrame | None = None) -> str:
    """What a network gains and loses in the last layer (`CompareExplorer.counts`, `explorers.channels`)."""
    last = counts.iloc[-1]
    text = (
        f"From {first} to {second}, {last.layer} gains **{last.gained}** concepts, loses **{last.lost}** and keeps "
        f"**{last.kept}**; **{last.labels_kept} of {last.channels}** neurons keep their label."
    )
    if pairs is None:
        return text
    alike = pairs.groupby("kept").correlation.median().reindex([True, False])
    return (
        f"{text} Their activations in the two networks correlate by **{alike[True]:.2f}**, those of neurons with another label "
        f"by **{alike[False]:.2f}** (medians)."
    )
