"""Contrastive pretraining of an image-text model: the objective of Mammo-CLIP over views and texts."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from mdissect.models import ImageTextModel
from mdissect.train.base import Progress, Schedule, Training
from mdissect.train.embedding import Tokens, embedded_images, embedded_texts
from mdissect.train.feature_cache import backward
from mdissect.train.images import Key, seed_of
from mdissect.train.loop import resolve_precision
from mdissect.train.objective import multi_view_losses, total
from mdissect.train.processes import Processes
from mdissect.train.recipe import ContrastiveRecipe, Running
from mdissect.train.studies import Studies
from mdissect.train.templates import Sentence

ORDER, VIEWS, TEXTS, DROPOUT, VARIATION = 11, 12, 13, 14, 15  # streams of random numbers


class Images(Protocol):
    """Images by position, prepared."""

    def batches(self, keys: Iterable[list[Key]], workers: int | None = 0) -> Iterator[tuple[Tensor, object]]:
        """A batch of images for each list of keys, augmented by their seeds, and what a side loss wants to know of them."""


@dataclass(frozen=True)
class Material:
    """What a model learns from: studies, of which those numbered in `training` are used, their images, and side losses.

    `side` maps the last maps, the pooled features and what `Images` says of the images to further losses by name. `tokens` are
    of the model.
    """

    studies: Studies
    images: Images
    tokens: Tokens
    training: np.ndarray
    side: nn.Module | None = None


@dataclass
class ContrastiveProgress(Progress):
    """Also the sums of the epoch's losses so far, and the best epoch."""

    sums: dict[str, float] = field(default_factory=dict)
    best_loss: float = math.inf
    best_epoch: int = -1
    best_files: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Batch:
    """Studies of a step: positions (n_views, n), seeds of the same shape (or None), and per slot the texts, own ones first."""

    studies: np.ndarray
    positions: np.ndarray
    seeds: np.ndarray | None
    texts: list[list[Sentence]]

    def keys(self, rows: range) -> list[Key]:
        """The images of some rows, view by view."""
        seeds = np.full(self.positions.shape, None) if self.seeds is None else self.seeds
        pairs = zip(self.positions[:, rows].ravel(), seeds[:, rows].ravel(), strict=True)
        return [(int(position), None if seed is None else int(seed)) for position, seed in pairs]


class Contrastive(Training):
    """Trains an `ImageTextModel` in place; its state is saved and resumed, bit by bit on a CPU."""

    progress_type = ContrastiveProgress
    advice = "Train again with a lower learning rate, or precision='float32'"

    def __init__(
        self,
        model: ImageTextModel,
        material: Material,
        recipe: ContrastiveRecipe,
        running: Running,
        what: dict,
        processes: Processes | None = None,
    ):
        self.model, self.material, self.recipe, self.running = model, material, recipe, running
        self.processes = processes or Processes(next(model.parameters()).device)
        if recipe.batch_size % self.processes.count:
            raise ValueError(f"batch_size={recipe.batch_size} must be a multiple of the {self.processes.count} processes")
        most = math.log(recipe.max_scale)
        with torch.no_grad():
            start = model.logit_scale if recipe.temperature is None else torch.tensor(-math.log(recipe.temperature))
            model.logit_scale.copy_(start).clamp_(max=most)
        module = nn.ModuleDict({"model": model} | ({} if material.side is None else {"side": material.side}))
        learnt = [p for p in module.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in learnt if p.ndim > 1], "weight_decay": recipe.weight_decay},
            {"params": [p for p in learnt if p.ndim <= 1], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=recipe.betas)
        steps = min(len(self._groups(epoch)) for epoch in range(recipe.epochs))  # a few studies more or less are left over
        schedule = Schedule(recipe.learning_rate, recipe.epochs * steps, recipe.warmup_steps)
        device = next(model.parameters()).device
        precision = resolve_precision(recipe.precision, device)
        super().__init__(module, optimizer, [schedule] * 2, what, steps, recipe.max_grad_norm, precision)
        self._largest = most

    def intact(self) -> str:
        if self.progress.best_epoch < 0:
            return "the last saved state is kept"
        return f"the best model, of epoch {self.progress.best_epoch + 1}, and the last saved state are kept"

    def run(self, state_file: Path, after_epoch: Callable[[int], dict] = lambda epoch: {}) -> None:
        """Train to the end; the state of an interrupted run of the same training is resumed.

        `after_epoch` gives further columns of the epoch's row in the history.
        """
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            self.resume(state_file)
            while len(self.progress.history) < self.recipe.epochs:
                self._epoch(state_file, after_epoch)

    def _epoch(self, state_file: Path, after_epoch: Callable[[int], dict]) -> None:
        """The rest of an epoch, and what follows it."""
        from tqdm.auto import tqdm

        progress, started = self.progress, time.monotonic()
        epoch, first = divmod(progress.step, self.steps_per_epoch)
        shown = self.running.progress and self.processes.first
        title = f"epoch {epoch + 1}/{self.recipe.epochs}"
        with tqdm(total=self.steps_per_epoch, initial=first, desc=title, unit="batch", disable=not shown) as bar:
            self.module.train()
            for batch, images in self._batches(epoch, first):
                for name, value in self.step(batch, images).items():
                    progress.sums[name] = progress.sums.get(name, 0.0) + value
                bar.update()
                if progress.step % self.running.save_every == 0 and progress.step % self.steps_per_epoch:
                    progress.seconds, started = progress.seconds + time.monotonic() - started, time.monotonic()
                    self.processes.written(lambda: self.save(state_file))
        losses = {name: value / self.steps_per_epoch for name, value in progress.sums.items()}
        rate = self.schedules[0].rate(progress.step - 1)
        row = {"epoch": epoch + 1, "step": progress.step, "learning_rate": rate, **losses, **after_epoch(epoch)}
        progress.seconds += time.monotonic() - started
        progress.history.append(row)
        progress.sums = {}
        self.processes.written(lambda: self.save(state_file))

    def step(self, batch: Batch, images: Iterable[tuple[Tensor, object]]) -> dict[str, float]:
        """One step of the optimizer on a batch, given this process's images chunk by chunk; returns its losses."""
        torch.manual_seed(seed_of(self.recipe.seed, DROPOUT, self.progress.step, self.processes.rank))
        found: dict[str, float] = {}
        chunks, images, seen = self._chunks(len(batch.studies)), list(images), []

        def embed(number: int) -> list[Tensor]:
            rows, (x, about) = chunks[number], images[number]
            embeddings, maps, pooled = embedded_images(self.model, self._moved(x), self.precision)
            if self.material.side is not None:
                seen[:] = maps, pooled, about
            return [*embeddings.split(len(rows)), *self._texts(batch, rows)]

        def beside(number: int) -> Tensor:
            share = len(chunks[number]) / len(batch.studies)  # over all processes, whose gradients are summed
            losses = self.material.side(*seen)
            for name, loss in losses.items():
                found[name] = found.get(name, 0.0) + share * self.processes.count * loss.item()
            return share * sum(losses.values())

        def gradient(scaled: Callable[[Tensor], Tensor]) -> float:
            joined = self.processes.joined if self.processes.count > 1 else None
            further = None if self.material.side is None else beside
            loss_of = lambda rows: self.loss(batch, rows, found)  # noqa: E731
            backward(self.module, embed, len(chunks), loss_of, scaled, further, joined)
            self.processes.sum_gradients(self.module.parameters())
            found.update(self.processes.mean(found))
            return sum(found.values())

        self.update_by(gradient)
        self.processes.mean_statistics(self.module)
        with torch.no_grad():
            self.model.logit_scale.clamp_(max=self._largest)
        return found

    def loss(self, batch: Batch, rows: Sequence[Tensor], found: dict[str, float]) -> Tensor:
        """The objective of a whole batch, from its embeddings view by view and slot by slot; its parts go into `found`."""
        n_views, n = len(batch.positions), len(batch.studies)
        studies, own = self.material.studies, [slot[:n] for slot in batch.texts]
        log_scale = self.model.logit_scale
        if self.processes.count > 1:  # every process computes this loss, and their gradients are summed
            log_scale = log_scale.detach() + (log_scale - log_scale.detach()) / self.processes.count
        truth = [
            [tuple(part.to(self.device) for part in studies.truth(at, batch.studies, slot)) for slot in batch.texts]
            for at in batch.positions
        ]
        losses = multi_view_losses(
            rows[:n_views],
            rows[n_views:],
            truth,
            lambda a, b: studies.alike(own[a], own[b]).to(self.device),
            log_scale.exp(),
        )
        found.update({name: loss.item() for name, loss in losses.items()})
        return total(losses, self.recipe.balance)

    def drawn(self, studies: np.ndarray, step: int) -> Batch:
        """Views and texts of some studies for a step, and further texts."""
        recipe, all_studies = self.recipe, self.material.studies
        positions, seeds = self._views(studies, step)
        rng = np.random.default_rng([recipe.seed, TEXTS, step])
        shown = zip(studies, positions.T, strict=True)
        own = [all_studies.texts(int(study), recipe.n_texts, rng, views) for study, views in shown]
        slots = [list(slot) for slot in zip(*own, strict=True)]
        for slot in slots:
            further = rng.choice(self.material.training, recipe.extra_texts)
            slot += [all_studies.text(int(study), rng) for study in further] + all_studies.others(rng)
        return Batch(studies, positions, seeds, slots)

    def _views(self, studies: np.ndarray, step: int) -> tuple[np.ndarray, np.ndarray]:
        """The images of some studies for a step and the seeds of their augmentation, both (n_views, n)."""
        rng = np.random.default_rng([self.recipe.seed, VIEWS, step])
        n = self.recipe.n_views
        positions = np.stack([self.material.studies.views(int(study), n, rng) for study in studies], axis=1)
        seeds = np.random.default_rng([self.recipe.seed, VARIATION, step]).integers(2**63, size=positions.shape)
        return positions, seeds

    def _batches(self, epoch: int, first: int) -> Iterator[tuple[Batch, list[tuple[Tensor, object]]]]:
        """The batches of an epoch from a step on, with this process's images, read ahead."""
        groups = list(enumerate(self._groups(epoch)))[first : self.steps_per_epoch]
        start = epoch * self.steps_per_epoch

        def keys() -> Iterator[list[Key]]:
            for number, studies in groups:
                views = Batch(studies, *self._views(studies, start + number), [])
                yield from (views.keys(rows) for rows in self._chunks(len(studies)))

        images = self.material.images.batches(keys(), self.running.workers)
        for number, studies in groups:
            chunks = [next(images) for _ in self._chunks(len(studies))]
            yield self.drawn(studies, start + number), chunks

    def _groups(self, epoch: int) -> list[np.ndarray]:
        """The studies of an epoch, in batches."""
        rng = np.random.default_rng([self.recipe.seed, ORDER, epoch])
        return self.material.studies.groups(self.recipe.batch_size, rng, self.material.training)

    def _chunks(self, n: int) -> list[range]:
        """The rows of this process among n, some at a time."""
        own = self.processes.share(range(n))
        size = self.recipe.chunk or len(own)
        return [own[start : start + size] for start in range(0, len(own), size)]

    def _texts(self, batch: Batch, rows: range) -> list[Tensor]:
        """Unit embeddings of the texts of some rows, slot by slot; further texts go with the last."""
        stop = None if rows.stop == len(batch.studies) else rows.stop
        slots = [[text.text for text in slot[rows.start : stop]] for slot in batch.texts]
        words = embedded_texts(self.model, self.material.tokens, [text for slot in slots for text in slot], self.precision)
        return list(words.split([len(slot) for slot in slots])) if slots else []

    def _moved(self, x: Tensor) -> Tensor:
        return x.to(self.device, non_blocking=True)
