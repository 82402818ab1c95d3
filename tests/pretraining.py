"""Toys of pretraining: striped images with reports that say how they are striped, and a tiny model without batch norm."""

from __future__ import annotations

import numpy as np

from mdissect.models import ImageTextDissector, new_model
from mdissect.preprocess import Preprocess
from mdissect.probes import Probe
from mdissect.train import Augment, ContrastiveRecipe, Running

SIZE = (32, 32)
PREPROCESS = Preprocess(size=SIZE, scale="dtype", mean=0.3, std=0.25)
WORDS = {"standing": "Standing stripes are seen.", "lying": "Lying stripes are seen.", "none": "There are no stripes."}
BRIGHT = ("The image is dark.", "The image is bright.")
QUIET = Running(device="cpu", workers=0, save_every=2, progress=False)
RECIPE = ContrastiveRecipe(
    epochs=3,
    batch_size=8,
    learning_rate=2e-3,
    warmup_steps=2,
    augment=Augment(flips=(), degrees=5, shift=0.05, scale=(1, 1), shear=0, elastic_alpha=0),
    validation_fraction=0.2,
)


def striped(n_patients: int = 40, seed: int = 0, **columns) -> Probe:
    """Two images a patient, of one breast: standing or lying stripes or none, dark or bright; their reports and findings."""
    rng = np.random.default_rng(seed)
    kinds = np.repeat(rng.integers(3, size=n_patients), 2)
    bright = np.repeat(rng.integers(2, size=n_patients), 2)
    images = rng.uniform(0, 60, (2 * n_patients, *SIZE)) + 60 * bright[:, None, None]
    for kind, image in zip(kinds, images, strict=True):
        if kind == 0:
            image[:, ::8] += 120
        if kind == 1:
            image[::8] += 120
    names = np.array(list(WORDS))[kinds]
    table = {
        "patient": np.repeat([f"P{i}" for i in range(n_patients)], 2),
        "laterality": "L",
        "findings": ["" if name == "none" else f"{name} stripes" for name in names],
        "density": np.array(["A", "D"])[bright],
        "findings_text": [WORDS[name] for name in names],
        "impression": [BRIGHT[i] for i in bright],
        **columns,
    }
    return Probe.from_arrays(images.clip(0, 255).astype(np.uint8), table=table, name="striped")


def tiny_model(seed: int = 0, image: str = "timm/test_vit", **options) -> ImageTextDissector:
    """A vision transformer and a small text tower, neither with batch norm or dropout."""
    texts = [*WORDS.values(), *BRIGHT, "left breast density A B C D no lying standing stripes"]
    sized = {"img_size": SIZE[0]} if image == "timm/test_vit" else {}
    given = {"texts": texts, "embed_dim": 16, "preprocess": PREPROCESS, "seed": seed} | sized | options
    return new_model(image, "small", **given)
