"""Labels against the truth of the phantoms: does a neuron answer to what its label says?"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from mdissect.dissection import Dissection
from mdissect.phantom.mammograms import Truth, sample_truth, truth_of_row
from mdissect.phantom.mammograms.reports import concept_truth, true_keys


def concept_presence(table: pd.DataFrame, concepts: Sequence[str]) -> pd.DataFrame:
    """Which concepts are true of which phantoms.

    Parameters
    ----------
    table : DataFrame
        A phantom probe's table, one row per image.
    concepts : sequence of str

    Returns
    -------
    DataFrame of bool, (n_images, n_shown)
        A column for each concept that the phantoms can show or lack; those true of every phantom ("breast") are left out.

    Raises
    ------
    ValueError
        A column of the phantoms is missing, or some images are no phantoms.
    """
    facts = [true_keys(truth) for truth in _truths(table)]
    shown = {concept: keys for concept, keys in concept_truth(concepts).items() if keys}
    columns = {concept: [held.issuperset(keys) for held in facts] for concept, keys in shown.items()}
    return pd.DataFrame(columns, index=table.index, dtype=bool)


def label_precision(dissection: Dissection, top: int = 20) -> pd.DataFrame:
    """How often a neuron's strongest images show what its label says.

    Returns
    -------
    DataFrame
        A row for each neuron whose label the phantoms can show: layer, neuron, concept, precision (share of the neuron's
        `top` strongest images that show it), prevalence (share of all images).

    Raises
    ------
    ValueError
        The dissection has no activations (it was read from a CSV), or its probe is not one of phantoms.
    """
    if not dissection.activations:
        raise ValueError("the dissection has no activations, so its neurons' strongest images are unknown; dissect anew")
    labels = dissection.labels()
    presence = concept_presence(dissection.probe_table, list(dict.fromkeys(labels.concept)))
    labels = labels[labels.concept.isin(presence.columns)]
    strongest = {layer: np.argsort(-a, axis=0, kind="stable")[:top] for layer, a in dissection.activations.items()}
    precision = [presence[row.concept].to_numpy()[strongest[row.layer][:, row.neuron]].mean() for row in labels.itertuples()]
    prevalence = labels.concept.map(presence.mean())
    return labels[["layer", "neuron", "concept"]].assign(precision=precision, prevalence=prevalence).reset_index(drop=True)


def _truths(table: pd.DataFrame) -> list[Truth]:
    """The truths of a phantom probe's table; a join with another probe turned its integers into floats."""
    if missing := [column for column in sample_truth(0, 0).as_row() if column not in table]:
        raise ValueError(f"the table lacks {', '.join(missing)}: it is not that of load_probe('phantom')")
    if others := [str(image) for image in table.index[table.birads.isna()]]:
        raise ValueError(
            f"{len(others)} of {len(table)} images are no phantoms and have no truth, such as {', '.join(others[:3])}; give "
            "the phantoms alone (Probe.subset)"
        )
    return [truth_of_row(row) for row in table.astype({"index": int, "birads": int}).to_dict("records")]
