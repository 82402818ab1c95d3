"""The training loop of a classifier: it stops early, keeps the best checkpoint, and resumes where it was interrupted."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from mdissect.models.heads import Classifier
from mdissect.train.base import Progress, Schedule, Training
from mdissect.train.images import in_groups, seed_of
from mdissect.train.metrics import classification_scores, probabilities
from mdissect.train.recipe import Recipe, Running
from mdissect.train.saving import CheckpointFormat

STATE, LOSSES = "state.pt", "losses.csv"
ORDER, STEP = 1, 2  # streams of random numbers; those of the images have their own (see `images`)

# (groups of rows, epoch) -> batches, augmented for the epoch; unchanged where it is None
Inputs = Callable[[list[np.ndarray], int | None], Iterator[Tensor]]


@dataclass(frozen=True)
class Material:
    """What a classifier learns from: `training` and `validation` are rows of `y` (n,) int."""

    inputs: Inputs
    y: np.ndarray
    training: np.ndarray
    validation: np.ndarray
    n_classes: int


@dataclass
class LoopProgress(Progress):
    """Also the sum of the epoch's losses so far, and the best epoch."""

    loss_sum: float = 0.0
    best_score: float = -math.inf
    best_epoch: int = -1
    best_files: dict[str, str] = field(default_factory=dict)  # the checkpoint's files and their checksums


class Loop(Training):
    """Trains a classifier in place; `module` maps a batch of the inputs to logits.

    It is the classifier's module, or for features its linear layer alone. `form` writes the best checkpoint.
    """

    progress_type = LoopProgress

    def __init__(
        self,
        classifier: Classifier,
        module: nn.Module,
        material: Material,
        form: CheckpointFormat,
        what: dict,
        recipe: Recipe,
        running: Running,
    ):
        self.classifier, self.material, self.form, self.recipe, self.running = classifier, material, form, recipe, running
        device = next(module.parameters()).device
        self.criterion = weighted_loss(material, recipe).to(device)
        steps_per_epoch = len(self._groups(0))
        head = list(classifier.head.parameters())
        body = [p for p in module.parameters() if not any(p is own for own in head)]
        rates = (recipe.head_learning_rate or recipe.learning_rate, recipe.learning_rate)
        total = recipe.epochs * steps_per_epoch  # cos^2 from 1 to 0 is half a cosine
        groups = [
            ({"params": part}, Schedule(rate, total, recipe.warmup_steps, floor=0.0))
            for part, rate in zip((head, body), rates, strict=True)
            if part
        ]
        optimizer = torch.optim.AdamW([group for group, _ in groups], weight_decay=recipe.weight_decay)
        precision = resolve_precision(recipe.precision, device)
        schedules = [schedule for _, schedule in groups]
        super().__init__(module, optimizer, schedules, what, steps_per_epoch, recipe.max_grad_norm, precision)

    def run(self) -> None:
        """Train to the end, or until the validation score no longer rises; a state on the disk is resumed.

        DamagedFileError where the best checkpoint on the disk is not the one that was written.
        """
        with torch.random.fork_rng([self.device] if self.device.type == "cuda" else []):
            self.resume(self.state_file)
            while not self.finished:
                self._epoch()
        self.form.check(self.progress.best_files)

    @property
    def state_file(self) -> Path:
        return self.form.folder / STATE

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or the validation score did not rise for too long."""
        done = len(self.progress.history)
        waited = done - 1 - self.progress.best_epoch
        return done >= self.recipe.epochs or bool(self.recipe.patience and done and waited >= self.recipe.patience)

    @torch.inference_mode()
    def predict(self, rows: np.ndarray) -> np.ndarray:
        """Logits (n, n_outputs) of some rows, as float32, in eval mode."""
        self.module.eval()
        batches = self.material.inputs(in_groups(rows, self.recipe.batch_size), None)
        return np.concatenate([self._forward(x.to(self.device)).float().cpu().numpy() for x in batches])

    def _epoch(self) -> None:
        """The rest of an epoch, and its validation."""
        from tqdm.auto import tqdm

        started, progress = time.monotonic(), self.progress
        epoch, first = divmod(progress.step, self.steps_per_epoch)
        groups = self._groups(epoch)[first:]
        bar = tqdm(groups, desc=f"epoch {epoch + 1}/{self.recipe.epochs}", unit="batch", disable=not self.running.progress)
        self.module.train(not self.recipe.frozen)
        for group, x in zip(bar, self.material.inputs(groups, epoch), strict=True):
            progress.loss_sum += self._step(x.to(self.device, non_blocking=True), self.material.y[group])
            if progress.step % self.running.save_every == 0 and progress.step % self.steps_per_epoch:
                progress.seconds, started = progress.seconds + time.monotonic() - started, time.monotonic()
                self.save(self.state_file)
        self._validate(epoch)
        progress.seconds += time.monotonic() - started
        self.save(self.state_file)

    def _step(self, x: Tensor, y: np.ndarray) -> float:
        """One step of the optimizer; returns its loss."""
        torch.manual_seed(seed_of(self.recipe.seed, STEP, self.progress.step))
        return self.update(self._loss(self._forward(x), y))

    def _forward(self, x: Tensor) -> Tensor:
        lower = self.precision is not torch.float32
        with torch.autocast(self.device.type, dtype=self.precision) if lower else nullcontext():
            return self.module(x)

    def _loss(self, logits: Tensor, y: np.ndarray) -> Tensor:
        wanted = torch.from_numpy(y).to(self.device)
        if logits.shape[1] == 1:
            return self.criterion(logits.float()[:, 0], wanted.float())
        return self.criterion(logits.float(), wanted)

    def _validate(self, epoch: int) -> None:
        """Score the validation images, save the checkpoint when it is the best so far, and write the loss curves."""
        self.check_weights()
        progress, rows = self.progress, self.material.validation
        logits = self.predict(rows)
        loss = self._loss(torch.from_numpy(logits).to(self.device), self.material.y[rows]).item()
        found = classification_scores(self.material.y[rows], probabilities(logits))
        score = found["auc" if self.material.n_classes == 2 else "macro_f1"]
        if score > progress.best_score:
            with self.explained(self.form.path):
                self.form.save(self.classifier)
            progress.best_score, progress.best_epoch, progress.best_files = score, epoch, self.form.checksums()
        progress.history.append(
            {
                "epoch": epoch + 1,
                "step": progress.step,
                "learning_rate": self.schedules[-1].rate(progress.step - 1),
                "training_loss": progress.loss_sum / self.steps_per_epoch,
                "validation_loss": loss,
                **{f"validation_{name}": value for name, value in found.items()},
            }
        )
        progress.loss_sum = 0.0
        self.write(self.form.folder / LOSSES, pd.DataFrame(progress.history).to_csv(index=False).encode())

    def _groups(self, epoch: int) -> list[np.ndarray]:
        """The training rows of an epoch in its order, in batches; a last batch that is not full is left out."""
        order = np.random.default_rng([self.recipe.seed, ORDER, epoch]).permutation(self.material.training)
        groups = in_groups(order, self.recipe.batch_size)
        return groups if len(groups) == 1 or len(groups[-1]) == self.recipe.batch_size else groups[:-1]

    def intact(self) -> str:
        if self.progress.best_epoch < 0:
            return "no checkpoint was written yet"
        return f"the best checkpoint, of epoch {self.progress.best_epoch + 1}, is intact in {self.form.path}"

    @property
    def advice(self) -> str:
        return (
            f"Train again in another folder, with a lower learning_rate (now {self.recipe.learning_rate:g}), max_grad_norm=1.0 "
            f"or precision='float32' (now {str(self.precision).removeprefix('torch.')})"
        )


def resolve_precision(precision: str, device: torch.device) -> torch.dtype:
    """ "auto" to the best mode for the device: mixed precision on CUDA, float32 elsewhere."""
    if precision != "auto":
        return getattr(torch, precision)
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


def weighted_loss(material: Material, recipe: Recipe) -> nn.Module:
    """The loss of the recipe: weighted binary cross entropy of one logit, or cross entropy."""
    counts = np.bincount(material.y[material.training], minlength=material.n_classes)
    if material.n_classes == 2:
        weight = None if recipe.balance == "none" else torch.tensor(counts[0] / counts[1], dtype=torch.float32)
        return nn.BCEWithLogitsLoss(pos_weight=weight)
    if recipe.balance != "all":
        return nn.CrossEntropyLoss()
    present = np.maximum(counts, 1)  # a class without images does not count anyway
    return nn.CrossEntropyLoss(torch.tensor(counts.sum() / (len(counts) * present), dtype=torch.float32))
