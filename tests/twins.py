"""Two small dissections whose labels are known, as of a network M and its fine-tuned copy C4, for the tests of comparisons."""

import made_up
import numpy as np
import pandas as pd

from mdissect.concepts import ConceptSet
from mdissect.dissection import Dissection
from mdissect.probes import Probe

N_IMAGES = 30
IDS = [f"image-{i:02d}" for i in range(N_IMAGES)]
CONCEPTS = [
    ("implant", "Breast implants", "Breast anatomy or structure"),
    ("silicone implant", "Breast implants", "Breast anatomy or structure"),
    ("benign mass", "Mass", "Findings and characterizations"),
    ("density <4>", "Breast density", "Findings and characterizations"),
    ("pumpkin", "Objects", "Environmental and Natural"),
    ("moss", "Natural", "Environmental and Natural"),
]
NAMES = [name for name, _, _ in CONCEPTS]
#: By layer and model: the concept and similarity of each neuron's label. Shared thresholds: stem 2.23, deep 1.35.
LABELS = {
    "stem": {"M": [(None, 0), (1, 2.1), (2, 2.2), (3, 2.4)], "C4": [(0, 2.0), (1, 2.1), (2, 2.2), (3, 2.4)]},
    "deep": {
        "M": [(0, 1.0), (1, 1.1), (2, 1.2), (3, 1.3), (4, 1.4), (0, 1.5)],
        "C4": [(1, 1.1), (2, 1.2), (3, 1.3), (3, 1.4), (4, 1.5), (1, 1.6)],
    },
}


def concept_set(rows=CONCEPTS) -> ConceptSet:
    return made_up.concept_set(rows, "concept", "category", "broad_category")


def twin(model, layers=("stem", "deep")) -> Dissection:
    """`layers` renames the layers."""
    rng = np.random.default_rng(5)  # the same for both: what is not a label is alike
    similarity, activations, notes = {}, {}, {}
    for own, layer in zip(layers, LABELS, strict=True):
        labels = LABELS[layer][model]
        scores = rng.uniform(0, 0.5, (len(labels), len(NAMES))).astype(np.float32)
        for neuron, (concept, value) in enumerate(labels):
            scores[neuron] = np.nan if concept is None else scores[neuron]
            if concept is not None:
                scores[neuron, concept] = value
        similarity[own], activations[own] = scores, rng.normal(size=(N_IMAGES, len(labels))).astype(np.float32)
        notes[own] = np.array(["constant" if concept is None else "" for concept, _ in labels], dtype=object)
    if model == "C4":
        activations[layers[1]][:, 2] *= -1  # so that it correlates by -1
        activations[layers[1]][:, 3] = 7.0
    sims = np.stack([np.cos(np.arange(N_IMAGES) - 4 * j) for j in range(len(NAMES))], axis=1).astype(np.float32)
    table = pd.DataFrame({"view": "MLO", "density": "B", "findings": "mass"}, index=pd.Index(IDS, name="image_id"))
    settings = {"target": f"toy/{model}", "dissector": "toy"}
    return Dissection(similarity, concept_set(), settings, activations, sims, notes, table)


def twins() -> dict[str, Dissection]:
    return {"M": twin("M"), "C4": twin("C4")}


def random_dissection(seed, n_neurons=(9, 14), n_concepts=6) -> Dissection:
    """Nothing but noise, some of it unnamed."""
    rng = np.random.default_rng(seed)
    sizes = dict(zip(("stem", "deep"), n_neurons, strict=True))
    similarity = {layer: rng.normal(1, 1, (n, n_concepts)).astype(np.float32) for layer, n in sizes.items()}
    for scores in similarity.values():
        scores[rng.integers(len(scores))] = np.nan
    return Dissection(similarity, concept_set(CONCEPTS[:n_concepts]), {})


def probe(n_images=N_IMAGES) -> Probe:
    """Images as dark as their number is low, 24 x 12."""
    return Probe.from_arrays([np.full((24, 12), 8 * i, dtype=np.uint8) for i in range(n_images)], ids=IDS[:n_images])


def captions(gallery) -> list[str]:
    """What stands below the pictures in view."""
    return [tile.caption.value for tile in gallery.tiles]


def ids(gallery) -> list[str]:
    return [tile.image_id for tile in gallery.tiles]
