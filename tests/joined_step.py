"""A training of toys in one of several processes: run as a script by tests/train/test_processes.py."""

from __future__ import annotations

import copy
import sys
from functools import partial
from pathlib import Path

import numpy as np
import torch
from pretraining import PREPROCESS, QUIET, RECIPE, striped, tiny_model

from mdissect.train import pretrain
from mdissect.train.contrastive import Contrastive, Material
from mdissect.train.images import SeededImages
from mdissect.train.matching import matching
from mdissect.train.processes import Processes, processes
from mdissect.train.studies import read_studies

LABELS = ["findings_text", "impression"]


class Sizes(torch.nn.Module):
    """A side loss with a weight of its own."""

    def __init__(self):
        super().__init__()
        self.factor = torch.nn.Parameter(torch.tensor(0.5))

    def forward(self, maps, pooled, about):
        return {"size": self.factor * pooled.square().mean()}


def first_step(chunk: int | None, shared: Processes) -> dict:
    """Gradients, losses and scores of the first step."""
    recipe = RECIPE.changed(chunk=chunk, extra_texts=3, max_grad_norm=0.0)
    probe, start = striped(24), tiny_model()
    studies = read_studies(probe)
    model = copy.deepcopy(start.model).requires_grad_(True)
    images = SeededImages(probe, PREPROCESS, recipe.augment)
    material = Material(studies, images, partial(start.tokenizer, cut=True), np.arange(len(studies)), Sizes())
    training = Contrastive(model, material, recipe, QUIET, {}, shared)
    found = {}
    training.optimizer.step = lambda: found.update({name: p.grad.clone() for name, p in training.module.named_parameters()})
    losses = training.step(*next(training._batches(0, 0)))
    return {"gradients": found, "losses": losses, "matching": matching(training, np.arange(11))}


if __name__ == "__main__":
    torch.set_num_threads(1)
    folder, chunk = Path(sys.argv[1]), int(sys.argv[2]) or None
    shared = processes("cpu")
    found = first_step(chunk, shared)
    torch.save(found, folder / f"step-{shared.rank}.pt")
    if chunk is None:
        pretrain(tiny_model(), striped(24), folder / "model", LABELS, RECIPE.changed(epochs=2), QUIET)
