"""Fixtures of the explorers' tests: a small result of two layers, its images, and the neuron explorer of both."""

import numpy as np
import pandas as pd
import pytest
from explored import N_IMAGES, NAMES, similarity

import mdissect
from mdissect.concepts import ConceptSet
from mdissect.dissection import Dissection
from mdissect.probes import Probe


@pytest.fixture
def dissection():
    """Two layers, of 6 and 12 neurons; neuron 2 of "stem" cannot be named, 4 responds to implants."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "implant": np.arange(N_IMAGES) % 3 == 0,
            "density": np.array(list("ABCD"))[np.arange(N_IMAGES) % 4],
            "view": "MLO",
            "findings": ["mass; skin thickening" if i % 5 == 0 else "" for i in range(N_IMAGES)],
        },
        index=pd.Index([f"image-{i:02d}" for i in range(N_IMAGES)], name="image_id"),
    )
    found = Dissection(
        similarity={"stem": similarity(6, 1), "deep": similarity(12, 2)},
        activations={"stem": rng.normal(size=(N_IMAGES, 6)), "deep": rng.normal(size=(N_IMAGES, 12))},
        concepts=ConceptSet.from_list(NAMES),
        settings={"target": "toy", "dissector": "toy"},
        notes={"stem": np.array(["", "", "constant", "", "", ""], dtype=object)},
        probe_table=table,
    )
    found.similarity["stem"][2] = np.nan
    found.activations["stem"][:, 4] = table.implant + np.linspace(0, 0.1, N_IMAGES)
    return found


@pytest.fixture
def probe(dissection):
    """Images as dark as their number is low, 24 x 12."""
    images = [np.full((24, 12), 8 * i, dtype=np.uint8) for i in range(N_IMAGES)]
    return Probe.from_arrays(images, ids=list(dissection.probe_table.index))


@pytest.fixture
def explorer(dissection, probe):
    return mdissect.explore(dissection, probe=probe)


@pytest.fixture
def trust():
    rows = [("deep", 0, "implant", 0.004, 0.02, 0.91, ""), ("deep", 1, "", 0.6, 0.8, np.nan, "")]
    rows += [("deep", 11, "implant", 0.0001, 0.0002, 0.5, "not better than chance")]
    return pd.DataFrame(rows, columns=["layer", "neuron", "concept", "p", "q", "stability", "flag"])
