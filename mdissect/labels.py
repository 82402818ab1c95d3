"""A dissection's labels with what is known of their worth: q-values, stability, and whether the dissector knows the concept."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mdissect.concepts import ConceptSet

# torch, and what needs it, is imported where neurons are judged: a saved result is read and explored without.
if TYPE_CHECKING:
    from mdissect.calibrate import Kept, Null
    from mdissect.dissection import Dissection

COLUMNS = [
    "layer", "neuron", "rank", "concept", "category", "broad_category", "similarity", "p", "q", "stability", "flag", "note",
]  # fmt: skip
NULL_OPTIONS = ("a", "p_start", "p_end", "min_prob")


def trusted_labels(
    dissection: "Dissection",
    q: float = 0.05,
    n_null: int = 1000,
    seed: int = 0,
    store: "Kept" = None,
    stability: pd.DataFrame | None = None,
    report_card: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """The calibrated label of every neuron; what `Dissection.labels(q=...)` returns.

    Parameters
    ----------
    q : float
        Neurons above this q-value get no label.
    n_null, seed, store
        As in `calibrate`.
    stability : DataFrame, optional
        What `mdissect.trust.stability` returned for this dissection.
    report_card : DataFrame, optional
        What `mdissect.trust.report_card` returned for this dissector.

    Returns
    -------
    DataFrame
        A row per layer and neuron: layer, neuron, rank (0), concept ("" for none), category, broad_category, similarity (S of
        the dissection), p, q, stability (NaN where unknown), flag ("" or the report card's warning), note.

    Raises
    ------
    ValueError
        The dissection has no activations (it was read from a CSV), or another similarity than soft_wpmi.
    """
    nulls = nulls_of(dissection, n_null=n_null, seed=seed, store=store)
    tables = calibrated(dissection, nulls, level=q)
    names = np.array([*dissection.concepts.names, ""], dtype=object)  # the last for label -1
    parts = []
    for layer, table in tables.items():
        scores, label = dissection.similarity[layer], table.label.to_numpy()
        own = np.where(label >= 0, scores[np.arange(len(label)), label], np.nan)
        notes = dissection.notes.get(layer, table.note.to_numpy())
        shown = {"concept": names[label], "similarity": own, "note": notes}
        parts.append(table[["p", "q"]].assign(layer=layer, neuron=range(len(label)), rank=0, **shown))
    found = with_categories(pd.concat(parts, ignore_index=True), dissection.concepts)
    found["stability"], found["flag"] = np.nan, ""
    if stability is not None:
        score = stability.set_index(["layer", "neuron"]).score
        found["stability"] = score.reindex(pd.MultiIndex.from_frame(found[["layer", "neuron"]])).to_numpy()
    if report_card is not None:
        found["flag"] = found.concept.map(report_card.set_index("concept").flag).fillna("")
    return found[COLUMNS]


def calibrated(dissection: "Dissection", nulls: "list[Null]", level: float = 0.05) -> dict[str, pd.DataFrame]:
    """`calibrate` for every layer, by nulls at hand."""
    import torch

    from mdissect.calibrate import judge_neurons

    sims, lam = torch.from_numpy(dissection.image_concept_sims), dissection.settings.get("lam", 1.0)
    return {
        layer: judge_neurons(sims, torch.from_numpy(activations), nulls, level, lam)
        for layer, activations in dissection.activations.items()
    }


def nulls_of(
    dissection: "Dissection",
    top_k: int | str | None = None,
    n_null: int = 1000,
    seed: int = 0,
    store: "Kept" = None,
    by_patient: bool = True,
) -> "list[Null]":
    """The nulls of a dissection's probe and dissector, for its own top_k unless told otherwise ("auto": several).

    Where the probe's table tells patients, patients are ranked at random, unless `by_patient` is False.
    """
    import torch

    from mdissect.calibrate import auto_top_k, random_rankings

    check_calibratable(dissection)
    settings, sims = dissection.settings, torch.from_numpy(dissection.image_concept_sims)
    top_k = top_k or settings["top_k"]
    options = {name: settings[name] for name in NULL_OPTIONS if name in settings}
    patients = dissection.patients if by_patient else None
    return [
        random_rankings(sims, k, n_null, seed, store, patients, **options)
        for k in (auto_top_k(len(sims)) if top_k == "auto" else [top_k])
    ]


def check_calibratable(dissection: "Dissection") -> None:
    """Raise ValueError for a dissection that random rankings cannot be held against."""
    if not dissection.activations or dissection.image_concept_sims is None:
        raise ValueError("the dissection has no activations or image_concept_sims (was it read from a CSV?); dissect anew")
    if (found := dissection.settings.get("similarity", "soft_wpmi")) != "soft_wpmi":
        raise ValueError(f"calibration rests on soft_wpmi, this dissection on {found}; dissect(similarity='soft_wpmi')")


def with_categories(table: pd.DataFrame, concepts: ConceptSet) -> pd.DataFrame:
    """A table of concepts with their category and broad_category, "" where there are none."""
    joined = table.merge(_one_row_each(concepts), on="concept", how="left")
    return joined.fillna({"category": "", "broad_category": ""})


def _one_row_each(concepts: ConceptSet) -> pd.DataFrame:
    """concept, category, broad_category with the categories of one concept joined by "; "."""

    def join(values: pd.Series) -> str:
        return "; ".join(dict.fromkeys(v for v in values if v))

    return concepts.table.groupby("concept", sort=False)[["category", "broad_category"]].agg(join).reset_index()
