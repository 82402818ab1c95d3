"""The labels of a layer with all that is known of each of them."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from mdissect.arguments import AT_LEAST_ONE, RATE, table_with
from mdissect.dissection import Dissection
from mdissect.facts import in_words, shared_facts
from mdissect.signatures import validated
from mdissect.store import StoreLike
from mdissect.trust import known_presence, label_precision

RIGHT, STABLE = 0.8, 0.5  # of a neuron's top images, and of the resamples: from here on a label counts as right, and as stable


@validated(
    q=RATE,
    top=AT_LEAST_ONE,
    stability=table_with("layer", "neuron", "same_concept", "score", made_by="trust.stability(...)"),
    report_card=table_with("concept", "flag", made_by="trust.report_card(...)"),
)
def checked_labels(
    dissection: Dissection,
    layer: str,
    stability: pd.DataFrame,
    report_card: pd.DataFrame,
    q: float = 0.05,
    top: int = 20,
    store: StoreLike = None,
) -> pd.DataFrame:
    """Labels of a layer that are better than chance, with what speaks for and against each.

    >>> checked_labels(found, "bn2", trust.stability(found), trust.report_card(found))    # doctest: +SKIP

    Parameters
    ----------
    stability, report_card : DataFrame
        Of this dissection (`trust.stability`, `trust.report_card`).
    q : float
        False discovery rate of the labels.
    top : int
        Strongest images of a neuron that its label is compared with.

    Returns
    -------
    DataFrame
        The columns of `Dissection.labels` with q, those attached included, a row per label, the most stable first;
        same_concept (share of the resamples
        with the same label), precision and prevalence (shares of the top images and of all images that show it; NaN where its
        presence is not known), right, stable (bool: precision is `RIGHT` or more, same_concept `STABLE` or more), shared (what
        the top images have in common, in words).
    """
    judged = dissection.calibrated(q, store=store, stability=stability, report_card=report_card)
    labels = judged.labels().query("layer == @layer and concept != ''")
    labels = labels.drop(columns=["same_concept", "precision", "prevalence"], errors="ignore")  # attached, perhaps: made anew
    keys = ["layer", "neuron"]
    shown = label_precision(judged, top, known_presence(dissection))[[*keys, "precision", "prevalence"]]
    facts = shared_facts(dissection, layer, top=top)
    words = {neuron: in_words(rows) for neuron, rows in facts.groupby("neuron")}
    found = labels.merge(stability[[*keys, "same_concept"]], on=keys, how="left").merge(shown, on=keys, how="left")
    found["right"], found["stable"] = found.precision >= RIGHT, found.same_concept >= STABLE
    found["shared"] = [words.get(neuron, "") for neuron in found.neuron]
    return found.sort_values(["stability", "neuron"], ascending=[False, True], ignore_index=True)


@validated(
    q=RATE,
    predicted=table_with("layer", "neuron", "concept", "predicts", "corrected", made_by="trust.predicts(...)"),
    stability=table_with("layer", "neuron", "score", made_by="trust.stability(...)"),
)
def label_numbers(
    dissection: Dissection, predicted: pd.DataFrame, stability: pd.DataFrame, q: float = 0.05, store: StoreLike = None
) -> pd.DataFrame:
    """The numbers that may tell right labels from wrong ones, whatever q is, for `trust.indicators`.

    >>> numbers = label_numbers(found, trust.predicts(found), trust.stability(found))      # doctest: +SKIP
    >>> trust.indicators(numbers, trust.agreement(found, numbers), ["corrected", "q", "stability"])      # doctest: +SKIP

    Parameters
    ----------
    predicted, stability : DataFrame
        Of the same labels of this dissection (`trust.predicts`, `trust.stability`).

    Returns
    -------
    DataFrame
        A row per label of `predicted`: layer, neuron, concept, predicts, corrected, p, q, p_label, stability, similarity (S).
    """
    keys, column = ["layer", "neuron"], {name: i for i, name in enumerate(dissection.concepts.names)}
    rows = predicted.loc[predicted.concept != "", [*keys, "concept", "predicts", "corrected"]]
    known = dissection.published.labels(q=q, store=store)
    rows = rows.merge(known[[*keys, "p", "q", "p_label"]], on=keys, how="left")
    rows = rows.merge(stability[[*keys, "score"]].rename(columns={"score": "stability"}), on=keys, how="left")
    similarity = [dissection.similarity[row.layer][row.neuron, column[row.concept]] for row in rows.itertuples()]
    return rows.assign(similarity=np.array(similarity, dtype=float))


@validated(
    checked=table_with("layer", "neuron", made_by="study.checked_labels(...)"),
    predicted=table_with("neuron", "corrected", "predicts", "predicts_low", "predicts_high", made_by="trust.predicts(...)"),
    sums=table_with("neuron", "explained_by", made_by="trust.linear_labels(...)"),
)
def with_evidence(checked: pd.DataFrame, predicted: pd.DataFrame, sums: pd.DataFrame) -> pd.DataFrame:
    """`checked_labels` with corrected, predicts (in words, with its interval) and explained_by; the highest corrected first."""
    said = predicted.assign(
        predicts=[
            "unknown" if pd.isna(row.predicts) else f"{row.predicts:.2f} ({row.predicts_low:.2f} to {row.predicts_high:.2f})"
            for row in predicted.itertuples()
        ]
    )
    keys = ["layer", "neuron"]
    found = checked.merge(said[[*keys, "corrected", "predicts"]], on=keys, how="left")
    found = found.merge(sums[[*keys, "explained_by"]], on=keys, how="left")
    return found.sort_values(["corrected", "neuron"], ascending=[False, True], ignore_index=True)


@validated()
def by_dissector(dissections: Mapping[str, Dissection]) -> dict[str, list[str]]:
    """The setups that share a dissector and a probe, by their names joined: "G by M, M"."""
    groups: dict[tuple, list[str]] = {}
    for name, found in dissections.items():
        key = found.settings.get("dissector_weights"), found.settings.get("probe_key")
        groups.setdefault(key, []).append(name)
    return {", ".join(names): names for names in groups.values()}
