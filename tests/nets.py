"""Toy classifiers whose neurons, heads and answers are known, for the tests of predictions."""

import numpy as np
import pandas as pd
import torch
from made_up import concept_set, labelled
from torch import nn

from mdissect.dissection import Dissection
from mdissect.embed import PassOptions
from mdissect.models import Target, load_target
from mdissect.preprocess import Preprocess
from mdissect.probes import Probe

SIDE = 8
QUIET = PassOptions(batch_size=16, workers=0, progress=False)
CONCEPTS = concept_set(
    [
        ("bright left", "sides", "places", "left"),
        ("bright right", "sides", "places", "right"),
        ("spot", "things", "findings", "left;right"),
        ("ladder", "objects", "natural", ""),
    ],
    *("concept", "category", "broad_category", "tasks"),
)


class AvgMax(nn.Module):
    """Half the sum of mean and maximum, as (n, c)."""

    def forward(self, x):
        return 0.5 * (x.mean(dim=(2, 3)) + x.amax(dim=(2, 3)))


class Transposed(nn.Module):
    def forward(self, x):
        return x.flatten(2).transpose(1, 2)


class MeanToken(nn.Module):
    def forward(self, x):
        return x.mean(dim=1)


class First(nn.Module):
    def forward(self, x):
        return x[:, 0]


def body(width: int = 6) -> list[nn.Module]:
    return [nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(4, width, 3, stride=2, padding=1)]


def net(*behind: nn.Module, width: int = 6, seed: int = 0) -> nn.Module:
    """The layers "0" to "2", then `behind`, with random weights and norms that are not at their start."""
    torch.manual_seed(seed)
    module = nn.Sequential(*body(width), *behind)
    for part in module.modules():
        if isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d)):
            for tensor in (part.running_mean, part.weight.data, part.bias.data):
                tensor.copy_(torch.randn_like(tensor))
            part.running_var.uniform_(0.5, 2)
    return module.eval()


def target(module: nn.Module, *layers: str) -> Target:
    preprocess = Preprocess(size=(SIDE, SIDE), scale="dtype", channels=1)
    return load_target(module, preprocess=preprocess, layers=list(layers), name="toy")


def dissection(of: Target, labels: tuple[str, ...] | None = None) -> Dissection:
    """A label for each neuron of the target's layers, in turn; "" for none."""
    found = labelled(CONCEPTS, **{layer: list(_names(of, layer, labels)) for layer in of.layers})
    for layer, similarity in found.similarity.items():
        similarity[[not name for name in _names(of, layer, labels)]] = np.nan
    found.settings.update(target=of.name, target_weights=of.fingerprint)
    return found


def _names(of: Target, layer: str, labels: tuple[str, ...] | None) -> tuple[str, ...]:
    n_neurons = getattr(of.module.get_submodule(layer), "out_channels", 6)
    return labels if labels and len(labels) == n_neurons else tuple(CONCEPTS.names[i % len(CONCEPTS)] for i in range(n_neurons))


def probe(n: int = 40, per_patient: int = 2, seed: int = 0) -> Probe:
    """Random images; "bright" says which half of them is brighter on the left."""
    rng = np.random.default_rng(seed)
    images, bright = rng.integers(0, 120, (n, SIDE, SIDE)).astype(np.uint8), rng.permutation(n) % 2 == 0
    images[bright, :, : SIDE // 2] += 100
    table = {"bright": bright, "three": rng.permutation(n) % 3, "patient": [f"P{i // per_patient}" for i in range(n)]}
    return Probe.from_arrays(images, table=pd.DataFrame(table), name="toy")
