"""The training loop of the demo models: on texts, facts and places, as the recipe says."""

import time
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mdissect.concepts import load_concepts
from mdissect.models import ImageTextModel, WordPieceTexts
from mdissect.preprocess import Preprocess
from mdissect.train.base import Progress, Schedule, Training
from mdissect.train.demo.contrastive import box_targets, compatibility, encode_by_length, multi_positive_loss
from mdissect.train.demo.world import World


@dataclass(frozen=True)
class DemoRecipe:
    """The recipe of a demo model.

    Weights are those of the losses. `foreign_texts` concepts of the concept set's domain `foreign_domain`, true of no image of
    the world, join each batch, always of the same half of them: without them the text tower would embed such words anywhere.
    """

    n_images: int
    epochs: int
    texts: bool = True  # contrastive image-text loss
    fact_weight: float = 1.0  # a linear layer names the facts of an image from its pooled features
    place_weight: float = 0.0  # a 1 x 1 convolution on the last map says where each boxed finding, and which kind, lies
    batch_size: int = 48
    extra_texts: int = 24  # of images outside the batch, added to each batch
    foreign_texts: int = 0
    foreign_domain: str = ""
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    max_scale: float = 6.0  # of the similarities' learnt factor, which would grow until they are flat
    shift: tuple[int, int] = (8, 5)  # pixels down and to the right, at most, either way
    seed: int = 0


@dataclass
class DemoProgress(Progress):
    """Also the state of the random numbers."""

    rng: dict = field(default_factory=dict)


class Trainer(Training):
    """Trains an `ImageTextModel` on a `World`; its state is saved after every epoch."""

    progress_type = DemoProgress

    def __init__(
        self, model: ImageTextModel, tokenizer: WordPieceTexts, world: World, recipe: DemoRecipe, preprocess: Preprocess
    ):
        self.model, self.world, self.recipe, self.preprocess = model, world, recipe, preprocess
        self.tokenizer = partial(tokenizer, cut=True)  # the end of a long report is left out
        torch.manual_seed(recipe.seed)
        self.rng = np.random.default_rng(recipe.seed)
        self.foreign = (
            load_concepts("mammography").subset(domain=recipe.foreign_domain).names[::2] if recipe.foreign_texts else []
        )
        self.images = _prepared(world.images, preprocess)
        self.places = [fact_boxes(boxes, world, i) for i, boxes in enumerate(world.boxes)]
        self.findings = sorted({box["finding"] for boxes in self.places for box in boxes})
        varied = (world.facts.mean(axis=0) > 0.002) & (world.facts.mean(axis=0) < 0.998)
        self.named = np.flatnonzero(varied & [not key.startswith("no_") for key in world.keys])
        channels = model.image_projection.in_features
        self.fact_head = nn.Linear(channels, len(self.named))
        self.place_head = nn.Conv2d(channels, max(1, len(self.findings)), 1)
        nn.init.constant_(self.place_head.bias, -4.0)
        module = nn.ModuleDict({"model": model, "facts": self.fact_head, "places": self.place_head})
        weights = [p for p in module.parameters() if p.ndim > 1]
        others = [p for p in module.parameters() if p.ndim <= 1]
        groups = [{"params": weights, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
        optimizer = torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(0.9, 0.98))
        steps_per_epoch = len(world) // recipe.batch_size
        schedule = Schedule(recipe.learning_rate, recipe.epochs * steps_per_epoch)
        what = {"world": world.name, "preprocess": preprocess.key(), **asdict(recipe)}
        super().__init__(module, optimizer, [schedule] * 2, what, steps_per_epoch, max_grad_norm=1.0)

    def intact(self) -> str:
        return "the last finished epoch is kept"

    def run(self, state_file: Path) -> None:
        """Train to the end; the state of an interrupted run of the same recipe and world is resumed."""
        from tqdm.auto import tqdm

        self.resume(state_file)
        progress, size = self.progress, self.recipe.batch_size
        self.rng.bit_generator.state = progress.rng or self.rng.bit_generator.state
        for epoch in range(len(progress.history), self.recipe.epochs):
            started, sums = time.monotonic(), {}
            order = self.rng.permutation(len(self.world))
            starts = range(0, self.steps_per_epoch * size, size)
            bar = tqdm(starts, desc=f"epoch {epoch + 1}/{self.recipe.epochs}", unit="batch", mininterval=5)
            self.module.train()
            for i, start in enumerate(bar):
                parts = self._step(order[start : start + size])
                sums = {name: sums.get(name, 0.0) + value for name, value in parts.items()}
                bar.set_postfix({name: f"{value / (i + 1):.3f}" for name, value in sums.items()}, refresh=False)
            progress.seconds += time.monotonic() - started
            progress.history.append({name: round(value / self.steps_per_epoch, 4) for name, value in sums.items()})
            progress.rng = self.rng.bit_generator.state
            self.save(state_file)

    def _step(self, positions: np.ndarray) -> dict[str, float]:
        """One step of the optimizer; returns its losses."""
        recipe, model = self.recipe, self.model
        x, shifts = self._images(positions)
        facts = torch.from_numpy(self.world.facts[positions]).float()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            feature_map = model.image_features(x)
        feature_map = feature_map.float()
        pooled = model.pool_image(feature_map)
        losses = {}
        if recipe.texts:
            losses["texts"] = self._text_loss(pooled, facts, positions)
        if recipe.fact_weight:
            losses["facts"] = recipe.fact_weight * self._fact_loss(pooled, facts)
        if recipe.place_weight and self.findings:
            losses["places"] = recipe.place_weight * self._place_loss(feature_map, positions, shifts, x.shape[2:])
        self.update(sum(losses.values()))
        return {name: value.item() for name, value in losses.items()}

    def _text_loss(self, pooled: Tensor, facts: Tensor, positions: np.ndarray) -> Tensor:
        others = self.rng.integers(0, len(self.world), self.recipe.extra_texts)
        texts = [self.world.sample_text(int(i), self.rng) for i in (*positions, *others)]
        foreign = list(self.rng.choice(self.foreign, self.recipe.foreign_texts)) if self.foreign else []
        asserted, denied = torch.zeros(2, len(texts), len(self.world.keys))
        column = {key: i for i, key in enumerate(self.world.keys)}
        for row, text in enumerate(texts):
            asserted[row, [column[key] for key in text.present]] = 1
            denied[row, [column[key] for key in text.absent]] = 1
        images = F.normalize(self.model.image_projection(pooled), dim=1)
        words = encode_by_length(self.model, self.tokenizer, [text.text for text in texts] + foreign)
        scale = self.model.logit_scale.exp().clamp(max=self.recipe.max_scale)
        compatible = F.pad(compatibility(facts, asserted, denied), (0, len(foreign)))
        return multi_positive_loss(images, words, compatible, scale)

    def _fact_loss(self, pooled: Tensor, facts: Tensor) -> Tensor:
        wanted = facts[:, self.named]
        return 4 * F.binary_cross_entropy_with_logits(self.fact_head(pooled), wanted, pos_weight=torch.tensor(2.0))

    def _place_loss(self, feature_map: Tensor, positions: np.ndarray, shifts: list, image_size: tuple[int, int]) -> Tensor:
        logits = self.place_head(feature_map)
        boxes = [self.places[i] for i in positions]
        target, weight = box_targets(boxes, shifts, self.findings, tuple(image_size), tuple(logits.shape[2:]))
        loss = F.binary_cross_entropy_with_logits(logits, target, reduction="none", pos_weight=torch.tensor(6.0))
        return (loss * weight).sum() / target.sum().clamp(min=1) / 2

    def _images(self, positions: np.ndarray) -> tuple[Tensor, list[tuple[int, int]]]:
        """Preprocessed images with a random shift and gamma, and the shifts (down, right) in pixels."""
        shifts = [tuple(int(self.rng.integers(-most, most + 1)) for most in self.recipe.shift) for _ in positions]
        x = torch.stack([shifted(self.images[i], *shift) for i, shift in zip(positions, shifts, strict=True)]).float() / 255
        gamma = torch.from_numpy(self.rng.uniform(-0.25, 0.25, (len(x), 1, 1, 1)).astype(np.float32))
        x = x * (1 + gamma - gamma * x)
        mean, std = (torch.tensor(value).view(1, -1, 1, 1) for value in (self.preprocess.mean, self.preprocess.std))
        return ((x - mean) / std).contiguous(memory_format=torch.channels_last), shifts


def _prepared(images: np.ndarray, preprocess: Preprocess) -> Tensor:
    """Images preprocessed except for the normalisation: (n, 1 or 3, height, width) uint8, grey images as one channel."""
    from tqdm.auto import tqdm

    unit = replace(preprocess, mean=0.0, std=1.0)
    channels = 1 if images.ndim == 3 else preprocess.channels
    prepared = torch.empty(len(images), channels, *preprocess.size, dtype=torch.uint8)
    for i, image in enumerate(tqdm(images, desc="prepare", unit="image", mininterval=5)):
        prepared[i] = (unit(image)[:channels] * 255).round()
    return prepared


def fact_boxes(boxes: list[dict], world: World, position: int) -> list[dict]:
    """An image's boxes, once for each fact that is true of their finding: a mass also as mass_margin=spiculated."""
    held = [key for key, holds in zip(world.keys, world.facts[position], strict=True) if holds]
    names = [(box, box["finding"].replace(" ", "_")) for box in boxes]
    return [{**box, "finding": key} for box, name in names for key in held if key.startswith(name)]


def shifted(x: Tensor, down: int, right: int) -> Tensor:
    """An image (channels, height, width) shifted by whole pixels; the edge is repeated, so that the chest wall continues."""
    height, width = x.shape[1:]
    rows = (torch.arange(height) - down).clamp(0, height - 1)
    columns = (torch.arange(width) - right).clamp(0, width - 1)
    return x[:, rows][:, :, columns]
