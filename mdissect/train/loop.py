"""The training loop of a classifier: it stops early, keeps the best checkpoint, and goes on where it was interrupted."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from mdissect.files import write_atomically
from mdissect.models import read_checkpoint
from mdissect.train.heads import Classifier
from mdissect.train.images import in_groups, seed_of
from mdissect.train.metrics import probabilities, scores
from mdissect.train.recipe import Recipe, Running
from mdissect.train.saving import Form, SavingError, save_state


@dataclass(frozen=True)
class Schedule:
    """Linear warm-up, then half a cosine down to `floor` of the peak rate."""

    peak: float
    total_steps: int
    warmup_steps: int = 100
    floor: float = 0.01

    def rate(self, step: int) -> float:
        """The learning rate of a step counted from 0."""
        if step < self.warmup_steps:
            return self.peak * (step + 1) / self.warmup_steps
        done = (step - self.warmup_steps) / max(1, self.total_steps - self.warmup_steps)
        return self.peak * (self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))


STATE, LOSSES = "state.pt", "losses.csv"
ORDER, STEP = 1, 2  # streams of random numbers; those of the images have their own (see `images`)

Inputs = Callable[[list[np.ndarray], int | None], Iterator[Tensor]]


class TrainingError(FloatingPointError):
    """The training came to numbers that are none."""


@dataclass(frozen=True)
class Material:
    """What a classifier learns from.

    Attributes
    ----------
    inputs : callable (groups of rows, epoch) -> iterator over batches
        Varied for the epoch; as they are where it is None.
    y : (n,) int
    training, validation : rows
    n_classes : int
    """

    inputs: Inputs
    y: np.ndarray
    training: np.ndarray
    validation: np.ndarray
    n_classes: int


@dataclass
class Progress:
    """How far a training has come."""

    step: int = 0
    loss_sum: float = 0.0
    best_score: float = -math.inf
    best_epoch: int = -1
    seconds: float = 0.0
    history: list[dict] = field(default_factory=list)


class Loop:
    """Trains a classifier in place.

    Parameters
    ----------
    classifier : Classifier
    model : nn.Module
        From a batch of the inputs to logits: the classifier's module, or its linear layer alone for features.
    material : Material
    form : Form
        Keeps the best checkpoint.
    what : dict
        All that the result depends on: an interrupted training is taken up by an equal one only.
    """

    def __init__(
        self,
        classifier: Classifier,
        model: nn.Module,
        material: Material,
        form: Form,
        what: dict,
        recipe: Recipe,
        running: Running,
    ):
        self.classifier, self.model, self.material, self.form, self.what = classifier, model, material, form, what
        self.recipe, self.running = recipe, running
        self.device = next(model.parameters()).device
        self.criterion = _criterion(material, recipe).to(self.device)
        self.steps_per_epoch = len(self._groups(0))
        self.rates = self._schedules()
        self.optimizer = torch.optim.AdamW(self._parameters(), weight_decay=recipe.weight_decay)
        self.precision = resolve_precision(recipe.precision, self.device)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision is torch.float16)
        self.progress = Progress()

    def run(self) -> None:
        """Train to the end, or until the validation score no longer rises; a state on the disk is taken up."""
        with torch.random.fork_rng([self.device] if self.device.type == "cuda" else []):
            self._resume()
            while not self.finished:
                self._epoch()

    def write(self, path: Path, data: bytes) -> None:
        """Write a file beside the checkpoint, whole or not at all."""
        with self._explained(path):
            write_atomically(path, data)

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
        self.model.eval()
        batches = self.material.inputs(in_groups(rows, self.recipe.batch_size), None)
        return np.concatenate([self._forward(x.to(self.device)).float().cpu().numpy() for x in batches])

    def _epoch(self) -> None:
        """The rest of an epoch, and its validation."""
        from tqdm.auto import tqdm

        started, progress = time.monotonic(), self.progress
        epoch, first = divmod(progress.step, self.steps_per_epoch)
        groups = self._groups(epoch)[first:]
        bar = tqdm(groups, desc=f"epoch {epoch + 1}/{self.recipe.epochs}", unit="batch", disable=not self.running.progress)
        self.model.train(not self.recipe.frozen)
        for group, x in zip(bar, self.material.inputs(groups, epoch), strict=True):
            progress.loss_sum += self._step(x.to(self.device, non_blocking=True), self.material.y[group])
            progress.step += 1
            if progress.step % self.running.save_every == 0 and progress.step % self.steps_per_epoch:
                progress.seconds, started = progress.seconds + time.monotonic() - started, time.monotonic()
                self._save()
        self._validate(epoch)
        progress.seconds += time.monotonic() - started
        self._save()

    def _step(self, x: Tensor, y: np.ndarray) -> float:
        """One step of the optimizer; its loss."""
        step = self.progress.step
        torch.manual_seed(seed_of(self.recipe.seed, STEP, step))
        for group, schedule in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = schedule.rate(step)
        loss = self._loss(self._forward(x), y)
        if not math.isfinite(value := loss.item()):
            raise TrainingError(self._not_finite(f"the loss is {value}"))
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        if self.recipe.max_grad_norm:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.max_grad_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return value

    def _forward(self, x: Tensor) -> Tensor:
        lower = self.precision is not torch.float32
        with torch.autocast(self.device.type, dtype=self.precision) if lower else nullcontext():
            return self.model(x)

    def _loss(self, logits: Tensor, y: np.ndarray) -> Tensor:
        wanted = torch.from_numpy(y).to(self.device)
        if logits.shape[1] == 1:
            return self.criterion(logits.float()[:, 0], wanted.float())
        return self.criterion(logits.float(), wanted)

    def _validate(self, epoch: int) -> None:
        """Score the validation images, keep the checkpoint when it is the best so far, and write the loss curves."""
        self._check_weights()
        progress, rows = self.progress, self.material.validation
        logits = self.predict(rows)
        loss = self._loss(torch.from_numpy(logits).to(self.device), self.material.y[rows]).item()
        found = scores(self.material.y[rows], probabilities(logits))
        score = found["auc" if self.material.n_classes == 2 else "macro_f1"]
        if score > progress.best_score:
            with self._explained(self.form.path):
                self.form.save(self.classifier)
            progress.best_score, progress.best_epoch = score, epoch
        progress.history.append(
            {
                "epoch": epoch + 1,
                "step": progress.step,
                "learning_rate": self.rates[-1].rate(progress.step - 1),
                "training_loss": progress.loss_sum / self.steps_per_epoch,
                "validation_loss": loss,
                **{f"validation_{name}": value for name, value in found.items()},
            }
        )
        progress.loss_sum = 0.0
        self.write(self.form.folder / LOSSES, pd.DataFrame(progress.history).to_csv(index=False).encode())

    def _groups(self, epoch: int) -> list[np.ndarray]:
        """The training rows of an epoch in its order, in batches; a last batch that is not full is left for another epoch."""
        order = np.random.default_rng([self.recipe.seed, ORDER, epoch]).permutation(self.material.training)
        groups = in_groups(order, self.recipe.batch_size)
        return groups if len(groups) == 1 or len(groups[-1]) == self.recipe.batch_size else groups[:-1]

    def _parameters(self) -> list[dict]:
        head = list(self.classifier.head.parameters())
        known = {id(parameter) for parameter in head}
        body = [parameter for parameter in self.model.parameters() if id(parameter) not in known]
        return [{"params": part} for part in (head, body) if part]

    def _schedules(self) -> list[Schedule]:
        """The learning rates of the new layer and of the rest. cos^2 from 1 to 0 is half a cosine."""
        rates = (self.recipe.head_learning_rate or self.recipe.learning_rate, self.recipe.learning_rate)
        total = self.recipe.epochs * self.steps_per_epoch
        schedules = [Schedule(rate, total, self.recipe.warmup_steps, floor=0.0) for rate in rates]
        return schedules[: len(self._parameters())]

    def _check_weights(self) -> None:
        """Raise when a weight is no number: nothing that is may be replaced by it."""
        strange = [name for name, value in self.classifier.module.state_dict().items() if not torch.isfinite(value).all()]
        if strange:
            raise TrainingError(self._not_finite(f"the weights {', '.join(strange[:3])} are no finite numbers"))

    def _not_finite(self, what: str) -> str:
        epoch, precision = self.progress.step // self.steps_per_epoch + 1, str(self.precision).removeprefix("torch.")
        return (
            f"{what} at step {self.progress.step} (epoch {epoch}); {self._kept()}. Train anew in another folder, with a lower "
            f"learning_rate (now {self.recipe.learning_rate:g}), max_grad_norm=1.0 or precision='float32' (now {precision})"
        )

    def _kept(self) -> str:
        if self.progress.best_epoch < 0:
            return "no checkpoint was written yet"
        return f"the best checkpoint, of epoch {self.progress.best_epoch + 1}, is intact in {self.form.path}"

    @contextmanager
    def _explained(self, path: Path) -> Iterator[None]:
        """Say of an error in writing what is intact and what to do."""
        try:
            yield
        except OSError as error:
            raise SavingError(
                error.errno,
                f"cannot write {path} ({error.strerror or error}); {self._kept()}. Free some space or make the folder "
                "writable, then run the same again: it goes on from the last saved step",
            ) from error

    def _save(self) -> None:
        self._check_weights()
        state = {
            "what": self.what,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "progress": vars(self.progress),
        }
        with self._explained(self.state_file):
            save_state(self.state_file, state)

    def _resume(self) -> None:
        if not self.state_file.is_file():
            return
        state = read_checkpoint(self.state_file)
        check_same(state["what"], self.what, self.state_file)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.progress = Progress(**state["progress"])


def check_same(found: dict, wanted: dict, path: Path) -> None:
    """Raise ValueError when what lies on the disk comes from another fine-tuning; says in what it differs."""
    differing = sorted(key for key in found.keys() | wanted.keys() if found.get(key) != wanted.get(key))
    if differing:
        shown = "; ".join(f"{key}: {found.get(key)!r} there, {wanted.get(key)!r} here" for key in differing[:4])
        raise ValueError(
            f"{path} is of another fine-tuning ({shown}); choose another output folder, or delete this one to train anew"
        )


def resolve_precision(precision: str, device: torch.device) -> torch.dtype:
    """ "auto" to what suits the device: mixed precision on CUDA, float32 elsewhere."""
    if precision != "auto":
        return getattr(torch, precision)
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


def _criterion(material: Material, recipe: Recipe) -> nn.Module:
    """The loss of the recipe: weighted binary cross entropy of one logit, or cross entropy."""
    counts = np.bincount(material.y[material.training], minlength=material.n_classes)
    if material.n_classes == 2:
        weight = None if recipe.balance == "none" else torch.tensor(counts[0] / counts[1], dtype=torch.float32)
        return nn.BCEWithLogitsLoss(pos_weight=weight)
    if recipe.balance != "all":
        return nn.CrossEntropyLoss()
    present = np.maximum(counts, 1)  # a class without images has no say anyway
    return nn.CrossEntropyLoss(torch.tensor(counts.sum() / (len(counts) * present), dtype=torch.float32))
