"""Classifiers of the toy images whose answers are known, for the tests of predict and its commands.

Run as a script it predicts slowly into a store, for the tests that kill it: `python tests/predicted.py STORE LOG N_IMAGES`.
"""

import sys
import time

import numpy as np
import pandas as pd
import torch
import toys
from torch import Tensor, nn

from mdissect.models import Target, load_target
from mdissect.predictions import predict
from mdissect.probes import Probe


class RowClassifier(nn.Module):
    """Scores of the brightness of the first rows, one per class; of one output that of the first row."""

    def __init__(self, n_outputs: int):
        super().__init__()
        self.rows = nn.AdaptiveAvgPool2d((toys.SIDE, 1))
        self.fc = nn.Linear(toys.SIDE, n_outputs)
        with torch.no_grad():
            self.fc.weight.copy_(8 * torch.eye(toys.SIDE)[:n_outputs])
            self.fc.bias.fill_(-2.0 if n_outputs == 1 else 0.0)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.rows(x).flatten(1))


class Ends(nn.Module):
    """A classifier with something behind its last layer."""

    def __init__(self, network: nn.Module, end: nn.Module):
        super().__init__()
        self.network, self.end = network, end

    def forward(self, x: Tensor) -> Tensor:
        return self.end(self.network(x))


def classifier(n_outputs: int = 1, *ends: nn.Module, classes: tuple[str, ...] = ()) -> Target:
    module = Ends(RowClassifier(n_outputs), *ends) if ends else RowClassifier(n_outputs)
    target = load_target(module, preprocess=toys.PREPROCESS, layers=["network.rows" if ends else "rows"], name="rows")
    object.__setattr__(target, "classes", classes)
    return target


def expected(target: Target, probe: Probe) -> np.ndarray:
    """The module's outputs for each image alone, (n, n_outputs) float64."""
    with torch.no_grad():
        return np.concatenate([target.module(target.preprocess(probe[i])[None]).double().numpy() for i in range(len(probe))])


def breasts(n_images: int = 40, **columns) -> Probe:
    """Toy images of patients with four images each, two of each side; the truth is whether the first row is bright."""
    number = np.arange(n_images)
    table = {
        "patient": [f"DOE-{i // 4:03d}" for i in number],
        "laterality": np.array(["L", "L", "R", "R"])[number % 4],
        "view": np.array(["CC", "MLO"])[number % 2],
        "first": number % toys.SIDE == 0,
        "row": number % toys.SIDE,
    }
    ids = [f"DOE-{i // 4:03d}_{i % 4}.png" for i in number]
    table = {name: column for name, column in (table | columns).items() if column is not None}
    return Probe.from_arrays(toys.toy_images(n_images), ids, pd.DataFrame(table, index=ids), name="breasts")


def slowly(store: str, log: str, n_images: int) -> None:
    target = classifier(3)

    def told(numbers: list[int]) -> None:
        with open(log, "a") as file:
            file.write(f"{' '.join(map(str, numbers))}\n")
        time.sleep(0.03)

    toys.Seen(target.module, told)
    predict(target, toys.toy_probe(n_images), store=store, options=toys.SMALL)


if __name__ == "__main__":
    slowly(sys.argv[1], sys.argv[2], int(sys.argv[3]))
