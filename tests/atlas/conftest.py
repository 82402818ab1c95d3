"""Fixtures of the atlas's tests: results with hostile names, and the images that they are about."""

import numpy as np
import pandas as pd
import pytest
from atlas_page import watched

from mdissect.atlas import write_atlas
from mdissect.concepts import ConceptSet
from mdissect.dissection import Dissection
from mdissect.probes import Probe

NAMES = [
    "implant",
    "</script><script>alert(1)</script>",
    'mass "of" <b>fat</b> & more',
    "masse étrange ☃",
    "calcification",
    "bi-rads 4",
]
HOSTILE = "<img src=x onerror=alert(1)>"
N_IMAGES = 40


def made(seed: int, layers: dict[str, int]) -> Dissection:
    """Neuron i is labelled by concept i % 6; neuron 1 of each layer has no label."""
    rng = np.random.default_rng(seed)
    patients = [f"Quux{i // 4:03d}" for i in range(N_IMAGES)]
    table = pd.DataFrame(
        {
            "patient": patients,
            "view": np.array(["CC", "MLO"])[np.arange(N_IMAGES) % 2],
            "findings": ["mass" if i % 5 == 0 else HOSTILE if i % 7 == 0 else "" for i in range(N_IMAGES)],
            "owner": patients,
            "study_id": [f"S{i // 4}" for i in range(N_IMAGES)],
        },
        index=pd.Index([f"{patient}_{i}.png" for i, patient in enumerate(patients)], name="image_id"),
    )
    similarity, activations = {}, {}
    for layer, n in layers.items():
        scores = rng.uniform(0, 0.5, (n, len(NAMES))).astype(np.float32)
        scores[np.arange(n), np.arange(n) % len(NAMES)] = 1 + np.arange(n) / 10
        scores[1] = np.nan
        similarity[layer], activations[layer] = scores, rng.normal(size=(N_IMAGES, n)).astype(np.float32)
        activations[layer][:, 0] = (table.findings == "mass") + np.linspace(0, 0.1, N_IMAGES)
    return Dissection(
        similarity=similarity,
        concepts=ConceptSet.from_list(NAMES),
        settings={"target": "toy", "dissector": "toy", "probe": "toy", "top_k": 10, "n_images": N_IMAGES},
        activations=activations,
        image_concept_sims=rng.normal(size=(N_IMAGES, len(NAMES))).astype(np.float32),
        notes={layer: np.array(["", "constant", *[""] * (n - 2)], dtype=object) for layer, n in layers.items()},
        probe_table=table,
    )


@pytest.fixture(scope="session")
def found():
    return made(0, {"stem": 6, "deep/2": 12})


@pytest.fixture(scope="session")
def tuned():
    return made(1, {"stem": 6, "deep/2": 12})


@pytest.fixture(scope="session")
def probe(found):
    """Noise 60 x 40, with a box of a mass in every fifth image."""
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (60, 40), dtype=np.uint8) for _ in range(N_IMAGES)]
    made = Probe.from_arrays(images, ids=list(found.probe_table.index))
    made.boxes = lambda i: [{"finding": HOSTILE, "xmin": 10, "ymin": 15, "xmax": 30, "ymax": 45}] if i % 5 == 0 else []
    return made


@pytest.fixture(scope="module")
def atlas(found, tuned, probe, tmp_path_factory):
    path = tmp_path_factory.mktemp("atlas") / "atlas.html"
    write_atlas({"M": found, "C": tuned}, probe, path=path, title="<b>toy</b>")
    return path.as_uri()


@pytest.fixture
def page(browser, atlas):
    """The atlas, opened; errors of the page and requests for anything but itself fail the test."""
    yield from watched(browser, atlas)
