"""Concept sets and dissections made up of a few numbers, without any model."""

import numpy as np
import pandas as pd
import torch

from mdissect.concepts import ConceptSet
from mdissect.dissection import Dissection
from mdissect.similarity import soft_wpmi

COLUMNS = ["concept", "category", "broad_category", "domain", "tasks", "evidence"]


def concept_set(rows, *columns: str, **same) -> ConceptSet:
    """Rows under `columns` (all, if none is named); the other columns are empty or, by name, the same for all."""
    table = pd.DataFrame(rows, columns=columns or COLUMNS)
    return ConceptSet(table.assign(**{name: same.get(name, "") for name in COLUMNS if name not in table})[COLUMNS])


def labelled(concepts: ConceptSet, **layers) -> Dissection:
    """Layers of a label per neuron, of similarity 1 unless it is (concept, similarity); that of all other concepts is 0."""
    pairs = {name: [one if isinstance(one, tuple) else (one, 1) for one in labels] for name, labels in layers.items()}
    scores = {name: [[value * (c == label) for c in concepts.names] for label, value in some] for name, some in pairs.items()}
    return Dissection({name: np.array(values, np.float32) for name, values in scores.items()}, concepts, {})


def dissected(image_concept_sims, activations, concepts, top_k: int = 20, per_patient: int | None = None) -> Dissection:
    """A layer "deep" under SoftWPMI; a patient has `per_patient` images that follow each other, if told."""
    sims, neurons = torch.as_tensor(image_concept_sims), torch.as_tensor(activations)
    patients = {"patient": [f"P{i // per_patient}" for i in range(len(sims))]} if per_patient else {}
    return Dissection(
        similarity={"deep": soft_wpmi(sims, neurons, top_k).numpy()},
        concepts=concepts if isinstance(concepts, ConceptSet) else ConceptSet.from_list(concepts),
        settings={"similarity": "soft_wpmi", "top_k": top_k, "a": 10.0, "lam": 1.0},
        activations={"deep": neurons.numpy()},
        image_concept_sims=sims.numpy(),
        probe_table=pd.DataFrame(patients, index=[f"image {i}" for i in range(len(sims))]),
    )
