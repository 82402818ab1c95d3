"""Contrastive pretraining of an image-text model: the objective of Mammo-CLIP over views and texts."""

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mdissect.arguments import kind_of, number, one_of, whole_number
from mdissect.models import ImageTextModel
from mdissect.train.base import Progress, Schedule, Training
from mdissect.train.feature_cache import backward
from mdissect.train.images import seed_of
from mdissect.train.loop import resolve_precision
from mdissect.train.objective import Balance, multi_view_losses, total
from mdissect.train.recipe import PRECISIONS, Augment, Running
from mdissect.train.studies import Studies
from mdissect.train.templates import Sentence

ORDER, STEP, DROPOUT = 11, 12, 13  # streams of random numbers
NOBODY = -1  # the study of a text that belongs to none


@dataclass(frozen=True)
class ContrastiveRecipe:
    """Settings that decide the result of a contrastive pretraining; the defaults are Mammo-CLIP's where it states them.

    Attributes
    ----------
    batch_size : int
        Studies that a step contrasts; no patient twice.
    chunk : int or None
        Studies that run through the model at a time (a feature cache); None: the whole batch.
    n_views, n_texts : int
        Images and texts of a study that a step sees.
    extra_texts : int
        Texts of further studies that join each batch.
    balance : Balance
        Weights of the image-image and text-text losses.
    temperature, max_scale : float
        The learnt temperature's start, and the largest factor (its inverse) on the similarities.
    learning_rate, weight_decay, warmup_steps, max_grad_norm
        Of AdamW with a linear warm-up and half a cosine down to 0; biases and norms have no decay; a norm of 0 leaves
        gradients as they are.
    precision : {"auto", "float32", "bfloat16", "float16"}
        Of the two towers.
    """

    epochs: int = 10
    batch_size: int = 64
    chunk: int | None = None
    n_views: int = 2
    n_texts: int = 2
    extra_texts: int = 0
    balance: Balance = field(default_factory=Balance)
    temperature: float = 0.07
    max_scale: float = 100.0
    learning_rate: float = 5e-5
    weight_decay: float = 1e-4
    warmup_steps: int = 100
    max_grad_norm: float = 1.0
    betas: tuple[float, float] = (0.9, 0.98)
    precision: str = "auto"
    augment: Augment = field(default_factory=Augment)
    validation_fraction: float = 0.1
    seed: int = 0

    def __post_init__(self):
        least = {"epochs": 1, "batch_size": 2, "n_views": 1, "n_texts": 0, "extra_texts": 0, "warmup_steps": 0, "seed": 0}
        for name, bound in least.items():
            object.__setattr__(self, name, whole_number(name, getattr(self, name), bound))
        if self.chunk is not None:
            object.__setattr__(self, "chunk", whole_number("chunk", self.chunk, 1))
        for name in ("temperature", "max_scale", "learning_rate"):
            number(name, getattr(self, name), above=0)
        for name in ("weight_decay", "max_grad_norm"):
            number(name, getattr(self, name), least=0)
        number("validation_fraction", self.validation_fraction, least=0, most=0.9)
        one_of("precision", self.precision, PRECISIONS)
        kind_of("balance", self.balance, Balance)
        kind_of("augment", self.augment, Augment)


@dataclass
class ContrastiveProgress(Progress):
    """Also the sums of the epoch's losses so far, and the best epoch."""

    sums: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Batch:
    """A step's studies: positions (n_views, n), and per text slot the texts, own ones first, with their studies (-1: none)."""

    studies: np.ndarray
    positions: np.ndarray
    texts: list[list[Sentence]]
    owners: list[np.ndarray]


# positions and a seed -> prepared, augmented images (n, channels, height, width), and what the side losses want to know of them
Images = Callable[[np.ndarray, int], tuple[Tensor, object]]
Tokens = Callable[[Sequence[str]], tuple[Tensor, Tensor]]
# The last maps, pooled features and what `Images` said of them, per view -> losses by name
Side = nn.Module


class Contrastive(Training):
    """Trains an `ImageTextModel` on studies (all, or those `used`); `side` adds losses of its own from the last maps."""

    progress_type = ContrastiveProgress

    def __init__(
        self,
        model: ImageTextModel,
        tokens: Tokens,
        studies: Studies,
        images: Images,
        recipe: ContrastiveRecipe,
        running: Running,
        what: dict,
        side: Side | None = None,
        used: np.ndarray | None = None,
    ):
        self.model, self.tokens, self.studies, self.images = model, tokens, studies, images
        self.recipe, self.running, self.side = recipe, running, side
        self.used = np.arange(len(studies)) if used is None else used
        device = next(model.parameters()).device
        with torch.no_grad():
            model.logit_scale.fill_(-np.log(recipe.temperature))
        module = nn.ModuleDict({"model": model} | ({"side": side} if side is not None else {}))
        decayed = [p for p in module.parameters() if p.ndim > 1]
        others = [p for p in module.parameters() if p.ndim <= 1]
        groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
        optimizer = torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=recipe.betas)
        steps = len(self._groups(0))
        schedule = Schedule(recipe.learning_rate, recipe.epochs * steps, recipe.warmup_steps, floor=0.01)
        precision = resolve_precision(recipe.precision, device)
        super().__init__(module, optimizer, [schedule] * 2, what, steps, recipe.max_grad_norm, precision)

    def intact(self) -> str:
        return "the last saved state is kept"

    def run(self, state_file: Path, after_epoch: Callable[[int], dict] = lambda epoch: {}) -> None:
        """Train to the end; the state of an interrupted run of the same training is resumed.

        `after_epoch` gives further columns of the epoch's row in the history.
        """
        from tqdm.auto import tqdm

        self.resume(state_file)
        progress = self.progress
        while len(progress.history) < self.recipe.epochs:
            epoch, first = divmod(progress.step, self.steps_per_epoch)
            if first == 0 and len(progress.history) < epoch:  # stopped between the last step and the epoch's end
                epoch, first = epoch - 1, self.steps_per_epoch
            started = time.monotonic()
            groups = self._groups(epoch)[first:]
            bar = tqdm(groups, desc=f"epoch {epoch + 1}/{self.recipe.epochs}", unit="batch", disable=not self.running.progress)
            self.module.train()
            for group in bar:
                for name, value in self.step(group).items():
                    progress.sums[name] = progress.sums.get(name, 0.0) + value
                if progress.step % self.running.save_every == 0 and progress.step % self.steps_per_epoch:
                    progress.seconds, started = progress.seconds + time.monotonic() - started, time.monotonic()
                    self.save(state_file)
            losses = {name: value / self.steps_per_epoch for name, value in progress.sums.items()}
            progress.seconds += time.monotonic() - started
            progress.history.append({"epoch": epoch + 1, **losses, **after_epoch(epoch)})
            progress.sums = {}
            self.save(state_file)

    def step(self, studies: np.ndarray) -> dict[str, float]:
        """One step of the optimizer on a group of studies; returns its losses."""
        torch.manual_seed(seed_of(self.recipe.seed, DROPOUT, self.progress.step))
        batch = self.drawn(studies, np.random.default_rng([self.recipe.seed, STEP, self.progress.step]))
        found: dict[str, float] = {}
        chunks = self._chunks(len(studies))
        inputs: dict[int, list] = {}

        def embed(number: int) -> list[Tensor]:
            if number not in inputs:
                inputs[number] = self._inputs(batch, chunks[number], last=number == len(chunks) - 1)
            return self._embedded(inputs[number])

        def beside(number: int) -> Tensor:
            return self._side_loss(len(chunks[number]) / len(studies), found)

        def gradient(scaled: Callable[[Tensor], Tensor]) -> float:
            further = None if self.side is None else beside
            return backward(
                self.module, embed, len(chunks), lambda rows: self._loss(batch, rows, found), scaled, further
            ).item()

        self.update_by(gradient)
        return found

    def drawn(self, studies: np.ndarray, rng: np.random.Generator) -> Batch:
        """Views and texts of some studies, and further texts."""
        recipe = self.recipe
        positions = np.stack([self.studies.views(int(study), recipe.n_views, rng) for study in studies], axis=1)
        texts, owners = [], []
        for _ in range(recipe.n_texts):
            further, none = rng.choice(self.used, recipe.extra_texts), self.studies.others(rng)
            known = np.concatenate([studies, further]).astype(int)
            owners.append(np.concatenate([known, np.full(len(none), NOBODY)]))
            texts.append([self.studies.text(int(study), rng) for study in known] + none)
        return Batch(studies, positions, texts, owners)

    def _groups(self, epoch: int) -> list[np.ndarray]:
        """The studies of an epoch, in batches."""
        rng = np.random.default_rng([self.recipe.seed, ORDER, epoch])
        return self.studies.groups(self.recipe.batch_size, rng, self.used)

    def _chunks(self, n: int) -> list[range]:
        size = self.recipe.chunk or n
        return [range(start, min(start + size, n)) for start in range(0, n, size)]

    def _inputs(self, batch: Batch, rows: range, last: bool) -> list:
        """What the towers see of some rows of a batch: per view its images, per text slot its tokens; further texts last."""
        own = np.arange(rows.start, rows.stop)
        step = self.progress.step
        views = [self.images(positions[own], seed_of(self.recipe.seed, step, v)) for v, positions in enumerate(batch.positions)]
        texts = []
        for some in batch.texts:
            texts.append([text.text for text in some[rows.start : None if last else rows.stop]])
        return [views, texts]

    def _embedded(self, inputs: list) -> list[Tensor]:
        """Unit embeddings of views, then of texts."""
        views, texts = inputs
        with self._autocast():
            maps = self.model.image_features(torch.cat([x for x, _ in views]).to(self.device, non_blocking=True)).float()
        pooled = self.model.pool_image(maps)
        sizes = [len(x) for x, _ in views]
        if self.side is not None:
            parts = zip(maps.split(sizes), pooled.split(sizes), (about for _, about in views), strict=True)
            self._seen = list(parts)
        images = F.normalize(self.model.image_projection(pooled), dim=1)
        if not texts:
            return list(images.split(sizes))
        with self._autocast():
            words = encode_by_length(self.model, self.tokens, [text for some in texts for text in some])
        return [*images.split(sizes), *words.float().split([len(some) for some in texts])]

    def _loss(self, batch: Batch, rows: list[Tensor], found: dict[str, float]) -> Tensor:
        """The objective of a whole batch; its parts are added to `found`."""
        views, texts = rows[: self.recipe.n_views], rows[self.recipe.n_views :]
        scale = self.model.logit_scale.exp().clamp(max=self.recipe.max_scale)
        truth = [
            [
                self._on_device(self.studies.truth(at, batch.studies, *slot))
                for slot in zip(batch.texts, batch.owners, strict=True)
            ]
            for at in batch.positions
        ]
        n = len(batch.studies)
        alike = lambda a, b: self.studies.alike(batch.texts[a][:n], batch.texts[b][:n]).to(self.device)  # noqa: E731
        losses = multi_view_losses(views, texts, truth, alike, scale)
        found.update({name: loss.item() for name, loss in losses.items()})
        return total(losses, self.recipe.balance)

    def _on_device(self, pair: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        return pair[0].to(self.device), pair[1].to(self.device)

    def _side_loss(self, share: float, found: dict[str, float]) -> Tensor:
        """The side losses of the chunk that ran last, weighted by its share of the batch."""
        losses = self.side(self._seen)
        for name, loss in losses.items():
            found[name] = found.get(name, 0.0) + share * loss.item()
        return share * sum(losses.values())

    def _autocast(self, precision: torch.dtype | None = None):
        lower = (precision or self.precision) is not torch.float32
        return torch.autocast(self.device.type, dtype=precision or self.precision) if lower else nullcontext()


def stated_settings(recipe: ContrastiveRecipe) -> dict:
    """All settings of a recipe as one flat dict of plain values."""
    own = {name: value for name, value in asdict(recipe).items() if name not in ("balance", "augment")}
    return own | vars(recipe.balance) | ({} if recipe.augment == Augment.off() else asdict(recipe.augment))


def encode_by_length(model: ImageTextModel, tokens: Tokens, texts: Sequence[str], groups: int = 4) -> Tensor:
    """Text embeddings (n_texts, d) in the order given, computed in groups of similar length to save padding."""
    device = model.logit_scale.device
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    size = -(-len(order) // groups)
    parts = []
    for start in range(0, len(order), size):
        some = [tensor.to(device) for tensor in tokens([texts[i] for i in order[start : start + size]])]
        parts.append(model.encode_tokens(*some))
    back = torch.empty(len(order), dtype=torch.long, device=device)
    back[torch.tensor(order, device=device)] = torch.arange(len(order), device=device)
    return torch.cat(parts)[back]
