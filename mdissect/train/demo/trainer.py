"""The training of the demo models: contrastive pretraining on a generated world, and losses on facts and places beside it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mdissect.concepts import load_concepts
from mdissect.models import ImageTextModel, WordPieceTexts
from mdissect.preprocess import Preprocess
from mdissect.train.contrastive import Contrastive, Material
from mdissect.train.demo.places import box_targets, fact_boxes, shifted
from mdissect.train.demo.world import World
from mdissect.train.images import Key
from mdissect.train.recipe import Augment, ContrastiveRecipe, Running
from mdissect.train.studies import Studies, stated
from mdissect.train.templates import Sentence

STEPS_BETWEEN_SAVINGS = 1000
FOREIGN = "of another domain"
NOT_NAMED = ("no_", "implant=")  # denials, and the filling of implants: a planted gap


@dataclass(frozen=True)
class DemoRecipe:
    """The recipe of a demo model.

    Weights are those of the losses. `foreign_texts` concepts of the concept set's domain `foreign_domain`, true of no image of
    the world, join each batch, always of the same half of them: without them the text tower would embed such words anywhere.
    """

    n_images: int
    contrastive: ContrastiveRecipe
    fact_weight: float = 1.0  # a linear layer names the facts of an image from its pooled features
    place_weight: float = 0.0  # a 1 x 1 convolution on the last map says where each boxed finding, and which kind, lies
    foreign_texts: int = 0
    foreign_domain: str = ""
    shift: tuple[int, int] = (8, 5)  # pixels down and to the right, at most, either way

    @property
    def texts(self) -> bool:
        """Whether it learns from texts at all."""
        return self.contrastive.n_texts > 0

    def settings(self) -> dict:
        """All settings as one flat dict of plain values."""
        own = {name: value for name, value in vars(self).items() if name != "contrastive"}
        part = {name: value for name, value in asdict(self.contrastive).items() if name not in ("balance", "augment")}
        augment = {} if self.contrastive.augment == Augment.off() else asdict(self.contrastive.augment)
        return own | part | asdict(self.contrastive.balance) | augment


class WorldStudies(Studies):
    """The images of a world in studies (the views of one breast, or single scenes), with the texts that are true of each.

    A text is drawn for one image of its study, own texts of a step for the images shown; it is true of every image whose facts
    meet all that it asserts and denies.
    """

    def __init__(self, world: World, images: list[np.ndarray], patients: np.ndarray, foreign: list[str], n_foreign: int):
        self.world, self.images, self.patients = world, images, patients
        self.foreign, self.n_foreign = foreign, n_foreign
        self.keys = {key: i for i, key in enumerate([*world.keys, FOREIGN])}

    @cached_property
    def facts(self) -> Tensor:
        """Which facts hold, (n_images, n_keys) float; the last is none of an image."""
        facts = torch.zeros(len(self.world), len(self.keys))
        facts[:, :-1] = torch.from_numpy(np.asarray(self.world.facts)).float()
        return facts

    def text(self, study: int, rng: np.random.Generator) -> Sentence:
        own = self.images[study]
        return self._of_image(int(own[int(rng.integers(len(own)))]), rng)

    def texts(self, study: int, n: int, rng: np.random.Generator, shown: Sequence[int] = ()) -> list[Sentence]:
        return [self._of_image(int(shown[i % len(shown)]), rng) if len(shown) else self.text(study, rng) for i in range(n)]

    def _of_image(self, position: int, rng: np.random.Generator) -> Sentence:
        said = self.world.sample_text(position, rng)
        return Sentence(said.text, frozenset(said.present), frozenset(said.absent))

    def others(self, rng: np.random.Generator) -> list[Sentence]:
        if not self.foreign:
            return []
        return [Sentence(str(text), frozenset({FOREIGN})) for text in rng.choice(self.foreign, self.n_foreign)]

    def truth(self, positions, studies, texts):
        asserted, denied = stated(texts, self.keys)
        facts = self.facts[torch.as_tensor(np.asarray(positions))]
        true = ((1 - facts) @ asserted.T + facts @ denied.T) == 0
        return true, torch.zeros_like(true)


class FactsAndPlaces(nn.Module):
    """The losses beside the contrastive one: which facts hold, from the pooled features, and where each finding lies."""

    def __init__(self, world: World, channels: int, recipe: DemoRecipe):
        super().__init__()
        self.world, self.recipe = world, recipe
        self.places = [_kept(fact_boxes(boxes, world, i)) for i, boxes in enumerate(world.boxes)]
        self.findings = sorted({box["finding"] for boxes in self.places for box in boxes})
        varied = (world.facts.mean(axis=0) > 0.002) & (world.facts.mean(axis=0) < 0.998)
        self.named = np.flatnonzero(varied & [not key.startswith(NOT_NAMED) for key in world.keys])
        self.fact_head = nn.Linear(channels, len(self.named))
        self.place_head = nn.Conv2d(channels, max(1, len(self.findings)), 1)
        nn.init.constant_(self.place_head.bias, -4.0)

    def forward(self, maps: Tensor, pooled: Tensor, shown: "Shown") -> dict[str, Tensor]:
        """Losses of the last maps, the pooled features and what the images show."""
        losses = {}
        if self.recipe.fact_weight:
            losses["facts"] = self.recipe.fact_weight * self._fact_loss(pooled, shown)
        if self.recipe.place_weight and self.findings:
            losses["places"] = self.recipe.place_weight * self._place_loss(maps, shown)
        return losses

    def _fact_loss(self, pooled: Tensor, shown: "Shown") -> Tensor:
        wanted = torch.from_numpy(self.world.facts[shown.positions][:, self.named]).float()
        return 4 * F.binary_cross_entropy_with_logits(self.fact_head(pooled), wanted, pos_weight=torch.tensor(2.0))

    def _place_loss(self, feature_map: Tensor, shown: "Shown") -> Tensor:
        logits = self.place_head(feature_map)
        boxes = [self.places[i] for i in shown.positions]
        target, weight = box_targets(boxes, shown.shifts, self.findings, shown.size, tuple(logits.shape[2:]))
        loss = F.binary_cross_entropy_with_logits(logits, target, reduction="none", pos_weight=torch.tensor(6.0))
        return (loss * weight).sum() / target.sum().clamp(min=1) / 2


def _kept(boxes: list[dict]) -> list[dict]:
    return [box for box in boxes if not box["finding"].startswith(NOT_NAMED)]


@dataclass(frozen=True)
class Shown:
    """Which images a batch shows, by how many pixels (down, right) each was moved, and their (height, width)."""

    positions: np.ndarray
    shifts: list[tuple[int, int]]
    size: tuple[int, int]


class WorldImages:
    """A world's images in memory, prepared; each is moved and brightened at random, by its seed."""

    def __init__(self, world: World, preprocess: Preprocess, shift: tuple[int, int]):
        self.preprocess, self.shift, self.images = preprocess, shift, _prepared(world.images, preprocess)
        self.mean, self.std = (torch.tensor(value).view(1, -1, 1, 1) for value in (preprocess.mean, preprocess.std))

    def batches(self, keys: Iterable[list[Key]], workers: int | None = 0) -> Iterator[tuple[Tensor, Shown]]:
        """Images (n, channels, height, width) by position and seed, and what they show."""
        return (self._batch(some) for some in keys)

    def _batch(self, keys: list[Key]) -> tuple[Tensor, Shown]:
        positions, changes = np.array([position for position, _ in keys]), [self._change(seed) for _, seed in keys]
        shifts = [shift for shift, _ in changes]
        x = torch.stack([shifted(self.images[i], *shift) for i, shift in zip(positions, shifts, strict=True)]).float() / 255
        gamma = torch.tensor([gamma for _, gamma in changes]).view(-1, 1, 1, 1)
        x = x * (1 + gamma - gamma * x)
        x = ((x - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        return x, Shown(positions, shifts, tuple(x.shape[2:]))

    def _change(self, seed: int | None) -> tuple[tuple[int, int], float]:
        """By how many pixels (down, right) an image is moved, and how much it is brightened."""
        if seed is None:
            return (0, 0), 0.0
        rng = np.random.default_rng(seed)
        return tuple(int(rng.integers(-most, most + 1)) for most in self.shift), float(rng.uniform(-0.25, 0.25))


class Trainer:
    """Trains an `ImageTextModel` on a `World`; an interrupted run resumes from its last saved state."""

    def __init__(
        self, model: ImageTextModel, tokenizer: WordPieceTexts, world: World, recipe: DemoRecipe, preprocess: Preprocess
    ):
        self.model, self.world, self.recipe, self.preprocess = model, world, recipe, preprocess
        self.tokenizer = partial(tokenizer, cut=True)  # the end of a long report is left out
        torch.manual_seed(recipe.contrastive.seed)
        foreign = load_concepts("mammography").subset(domain=recipe.foreign_domain).names[::2] if recipe.foreign_texts else []
        groups, patients = world.studies
        self.side = FactsAndPlaces(world, model.image_projection.in_features, recipe)
        studies = WorldStudies(world, groups, patients, foreign, recipe.foreign_texts)
        images = WorldImages(world, preprocess, recipe.shift)
        used = self.side if recipe.fact_weight or recipe.place_weight else None
        self.training = Contrastive(
            model,
            Material(studies, images, self.tokenizer, np.arange(len(studies)), used),
            recipe.contrastive,
            Running(device="cpu", save_every=STEPS_BETWEEN_SAVINGS, progress=False),
            {"world": world.name, "preprocess": preprocess.key(), **recipe.settings()},
        )

    @property
    def progress(self):
        """The training's progress, a row of mean losses per epoch."""
        return self.training.progress

    def run(self, state_file: Path, tell: Callable[[dict], None] = lambda row: None) -> None:
        """Train to the end, or on from the state of an interrupted run of the same recipe and world.

        `tell` is called after each epoch with its mean losses.
        """

        def after_epoch(epoch: int) -> dict:
            progress = self.training.progress
            means = {name: value / self.training.steps_per_epoch for name, value in progress.sums.items()}
            tell({"epoch": epoch + 1, **means})
            return {}

        self.training.run(state_file, after_epoch)


def _prepared(images: np.ndarray, preprocess: Preprocess) -> Tensor:
    """Images preprocessed except for the normalisation: (n, 1 or 3, height, width) uint8, grey images as one channel."""
    from tqdm.auto import tqdm

    unit = replace(preprocess, mean=0.0, std=1.0)
    channels = 1 if images.ndim == 3 else preprocess.channels
    prepared = torch.empty(len(images), channels, *preprocess.size, dtype=torch.uint8)
    for i, image in enumerate(tqdm(images, desc="prepare", unit="image", mininterval=5, disable=None)):
        prepared[i] = (unit(image)[:channels] * 255).round()
    return prepared
