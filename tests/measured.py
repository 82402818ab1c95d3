"""Small phantoms and a network whose activations can be worked out by hand."""

import numpy as np
import pandas as pd
import torch
from torch import nn
from toys import SMALL, toy_target

from mdissect.concepts import ConceptSet
from mdissect.dissection import Dissection
from mdissect.embed import record_probe
from mdissect.preprocess import Preprocess
from mdissect.probes import Probe, load_probe

SIZE = (64, 40)
PREPROCESS = Preprocess(size=SIZE, scale="dtype", channels=1)


class Measures(nn.Module):
    """A layer "measured" of four neurons: mean, minus mean, brightest pixel, and 1 whatever is shown."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))
        self.measured = nn.Identity()

    def forward(self, x):
        mean, brightest = x.mean(dim=(1, 2, 3)), x.amax(dim=(1, 2, 3))
        return self.measured(torch.stack([mean, -mean, brightest, torch.ones_like(mean)], dim=1) * self.scale)


def measure(image: np.ndarray) -> np.ndarray:
    """What `Measures` says of an image."""
    x = image / 255
    return np.array([x.mean(), -x.mean(), x.max(), 1])


def phantoms(n_images: int = 80, seed: int = 3, **options) -> Probe:
    return load_probe("phantom", n_images=n_images, seed=seed, size=SIZE, cache=False, **options)


def measuring():
    """The target."""
    return toy_target(Measures, layers=("measured",), preprocess=PREPROCESS)


def measured(probe: Probe, target=None) -> Dissection:
    """A dissection of the target on a probe, of which only activations are known."""
    target = target or measuring()
    activations = record_probe(target, probe, target.layers, options=SMALL)
    return Dissection(
        similarity={layer: np.zeros((values.shape[1], 1), np.float32) for layer, values in activations.items()},
        concepts=ConceptSet.from_list(["mass"]),
        settings={"pool": "mean", "target": target.name, "target_weights": target.fingerprint},
        activations=activations,
        probe_table=probe.table,
    )


def labelled(*concepts: str, layer: str = "deep") -> pd.DataFrame:
    return pd.DataFrame({"layer": layer, "neuron": range(len(concepts)), "concept": concepts})
