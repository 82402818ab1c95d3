"""Labels against the truth of the phantoms: does a neuron answer to what its label says?"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from mdissect.dissection import Dissection
from mdissect.phantom.factors import truth_of_row
from mdissect.phantom.reports import concept_truth, true_keys


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
    """
    facts = [true_keys(truth_of_row(row)) for row in table.to_dict("records")]
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
    """
    labels = dissection.labels()
    presence = concept_presence(dissection.probe_table, list(dict.fromkeys(labels.concept)))
    labels = labels[labels.concept.isin(presence.columns)]
    strongest = {layer: np.argsort(-a, axis=0, kind="stable")[:top] for layer, a in dissection.activations.items()}
    precision = [presence[row.concept].to_numpy()[strongest[row.layer][:, row.neuron]].mean() for row in labels.itertuples()]
    prevalence = labels.concept.map(presence.mean())
    return labels[["layer", "neuron", "concept"]].assign(precision=precision, prevalence=prevalence).reset_index(drop=True)
