"""Train Mammo-FActOR on the labels of images: the network stays as it is, its maps are computed once."""

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mdissect.arguments import number, one_of, pixel_size, texts, whole_number
from mdissect.files import without_folders
from mdissect.localize import FactorModel, load_factor, save_factor
from mdissect.localize.factor import FactorMapper, attribute_sentences
from mdissect.localize.factor_files import MANIFEST
from mdissect.localize.stored import MapsWanted, stored_maps
from mdissect.metrics import auc_interval
from mdissect.models import Dissector, Target, load_dissector, load_target, resolve_device
from mdissect.probes import Probe
from mdissect.signatures import validated
from mdissect.store import StoreLike
from mdissect.train.base import Schedule, Training, check_same
from mdissect.train.images import in_groups, seed_of
from mdissect.train.presence import Presence, read_presence
from mdissect.train.recipe import Running
from mdissect.train.saving import alone_in
from mdissect.train.splits import Split, split_patients

STATE = "state.pt"
ORDER, START, RANK = 1, 2, 3  # streams of random numbers
RANKED_ON = 2000  # images
SCORED_AT_ONCE = 64
CHANNELS = ("own", "shared")


@dataclass(frozen=True)
class FactorRecipe:
    """Settings that decide the result of a training of Mammo-FActOR.

    Attributes
    ----------
    layer : str or None
        Whose channels are read; None: the target's last default layer.
    grid : (int, int) or None
        Larger maps are averaged to this height and width. All maps are in memory as float16: 16,000 images of 2,048 channels
        at 16 x 10 places take 10 GB.
    channels : {"own", "shared"}
        "shared": as published, one mapper for all channels, which knows a channel by its map alone. "own": each channel has its
        own bias in the first layer, and its own scale, so that a mapper can tell one channel from another.
    hidden : int
        Width of the mappers between their two linear layers.
    batch_size : int
        Images among which one with the attribute is told from those without: rare attributes need large batches.
    validation_fraction, test_fraction : float
        Shares of the patients, where the probe has no column "split".
    """

    layer: str | None = None
    grid: tuple[int, int] | None = (16, 10)
    channels: str = "own"
    hidden: int = 64
    epochs: int = 10
    batch_size: int = 128
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    warmup_steps: int = 20
    validation_fraction: float = 0.15
    test_fraction: float = 0.0
    seed: int = 0

    def __post_init__(self):
        for name, least in (("hidden", 1), ("epochs", 1), ("batch_size", 2), ("warmup_steps", 0), ("seed", 0)):
            object.__setattr__(self, name, whole_number(name, getattr(self, name), least))
        one_of("channels", self.channels, CHANNELS)
        number("learning_rate", self.learning_rate, above=0)
        number("weight_decay", self.weight_decay, least=0)
        number("validation_fraction", self.validation_fraction, least=0.01, most=0.9)
        number("test_fraction", self.test_fraction, least=0, most=0.9)
        if self.grid is not None:
            object.__setattr__(self, "grid", pixel_size(self.grid, "grid"))


@validated()
def train_factor(
    target: str | Target,
    dissector: str | Dissector,
    probe: Probe,
    output: str | Path,
    attributes: Sequence[str] | dict[str, str] | None = None,
    recipe: FactorRecipe | None = None,
    running: Running | None = None,
    store: StoreLike = None,
) -> FactorModel:
    """Train Mammo-FActOR on a frozen target: a mapper per attribute, from labels of whole images.

    >>> model = train_factor("demo/mammo", "demo/mammo", load_probe("phantom", n_images=4000), "out/factor")  # doctest: +SKIP
    >>> model.metrics, localize.heatmaps(model, [image], "mass").maps[0]                        # doctest: +SKIP

    Parameters
    ----------
    dissector : str or Dissector
        Its text tower embeds the attributes' sentences.
    probe : Probe
        Labelled images, see `mdissect.train.presence.read_presence`; a column "split" is kept to.
    output : path
        A folder of its own: factor.json, the mapper, and until the end the state from which the same call resumes, bit by bit
        on a CPU. A finished training is read, not repeated.
    attributes : list of str, or dict of str to str, optional
        Findings, or findings and their sentences; by default all that ten patients have and ten do not.
    recipe : FactorRecipe, optional
    running : Running, optional
        `save_every` is kept to; states are also saved after every epoch.
    store : path, optional
        Where the maps are kept.

    Returns
    -------
    FactorModel

    Raises
    ------
    ValueError
        Unknown findings, an attribute without a positive or a negative training image, or a folder of another training.
    TrainingError
        The loss is no longer finite.
    SavingError
        The disk is full, or the folder read-only.
    DamagedFileError
        A file of an earlier or interrupted call is not what was written.
    """
    target, dissector, recipe = load_target(target), load_dissector(dissector), recipe or FactorRecipe()
    running, folder = running or Running(), Path(output)
    presence = read_presence(probe, None if attributes is None else list(attribute_sentences(attributes)))
    sentences = attribute_sentences(presence.findings if attributes is None else attributes)
    texts("attributes", list(sentences.values()))
    split = split_patients(probe, presence.positions, recipe.validation_fraction, recipe.test_fraction, recipe.seed)
    _check_training(presence, split)
    wanted = MapsWanted(target, recipe.layer or target.layers[-1], recipe.grid)
    what = _what(wanted, dissector, probe, sentences, presence, split, recipe)
    with alone_in(folder):
        if (folder / MANIFEST).is_file():
            found = load_factor(folder, target, dissector)
            check_same(found.settings, what, folder / MANIFEST)
            return found
        probe.warm(progress=running.progress)
        maps, shape = stored_maps(wanted, probe.subset(presence.positions), store, running.device)
        loop = FactorLoop(
            maps.reshape(len(maps), shape[0], -1), presence, split, dissector, sentences, what, recipe, running, folder
        )
        loop.run()
        mapper, history = loop.ranked(), pd.DataFrame(loop.progress.history)
        model = FactorModel(target, dissector, wanted.layer, sentences, mapper, recipe.grid, what, loop.metrics(), history)
        with loop.explained(folder / MANIFEST):
            save_factor(model, folder)
        (folder / STATE).unlink(missing_ok=True)
    return model


class FactorLoop(Training):
    """Trains the mappers on maps (n_images, n_channels, n_places), float16."""

    def __init__(self, maps: np.ndarray, presence: Presence, split: Split, dissector: Dissector, sentences: dict[str, str],
                 what: dict, recipe: FactorRecipe, running: Running, folder: Path):  # fmt: skip
        self.maps, self.presence, self.split, self.recipe, self.running, self.folder = (
            maps, presence, split, recipe, running, folder,
        )  # fmt: skip
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(recipe.seed, START))
            embedded = dissector.embed_texts(list(sentences.values())).float().cpu()
            scale = _scale(maps, split.training, recipe.channels == "own")
            mapper = FactorMapper(
                embedded, maps.shape[2], recipe.hidden, scale, maps.shape[1] if recipe.channels == "own" else None
            )
        mapper = mapper.to(resolve_device(running.device))
        steps = len(self._groups(0))
        schedule = Schedule(recipe.learning_rate, recipe.epochs * steps, recipe.warmup_steps)
        optimizer = torch.optim.AdamW(mapper.parameters(), weight_decay=recipe.weight_decay)
        super().__init__(mapper, optimizer, [schedule], what, steps, max_grad_norm=1.0)

    def run(self) -> None:
        """Train to the end; a state on the disk is resumed."""
        self.resume(self.folder / STATE)
        while len(self.progress.history) < self.recipe.epochs:
            self._epoch()

    def ranked(self) -> FactorMapper:
        """The mapper with its ranking of channels by the training images, on the CPU and without gradients."""
        mapper, rows = self.module.to("cpu").eval().requires_grad_(False), self.split.training
        self.device = torch.device("cpu")
        if len(rows) > RANKED_ON:
            rows = np.sort(np.random.default_rng([self.recipe.seed, RANK]).choice(rows, RANKED_ON, replace=False))
        present = self.presence.present[rows]
        if (present.all(axis=0) | ~present.any(axis=0)).any():  # a rare attribute that was not drawn
            rows, present = self.split.training, self.presence.present[self.split.training]
        mapper.rank(torch.from_numpy(self.maps[rows]), present)
        return mapper

    def metrics(self) -> pd.DataFrame:
        """The AUC of the images' scores for each attribute on the validation and the test images, with its interval."""
        rows = []
        for part in ("validation", "test"):
            positions = getattr(self.split, part)
            if len(positions):
                scores = self._scores(positions)
                for i, finding in enumerate(self.presence.findings):
                    present, patients = self.presence.present[positions, i], self.presence.patients[positions]
                    rows.append({"part": part, "attribute": finding, **_auc(present, scores[:, i], patients)})
        return pd.DataFrame(rows)

    def intact(self) -> str:
        return f"the last saved state is intact in {self.folder / STATE}"

    def _epoch(self) -> None:
        """The rest of an epoch."""
        started, progress = time.monotonic(), self.progress
        epoch, first = divmod(progress.step, self.steps_per_epoch)
        losses = []
        for rows in self._groups(epoch)[first:]:
            losses.append(self.update(self._loss(rows)))
            if progress.step % self.running.save_every == 0 and progress.step % self.steps_per_epoch:
                self.save(self.folder / STATE)
        seconds = time.monotonic() - started
        progress.seconds += seconds
        found = self._scores(self.split.validation)
        present = torch.from_numpy(self.presence.present[self.split.validation])
        loss = contrastive_loss(torch.from_numpy(found), present)
        row = {"epoch": epoch + 1, "step": progress.step, "validation_loss": float(loss)}
        progress.history.append(row)
        self.save(self.folder / STATE)
        if self.running.progress:
            print(
                f"epoch {epoch + 1}/{self.recipe.epochs}: validation loss {row['validation_loss']:.3f}, {seconds:.0f} s",
                flush=True,
            )

    def _loss(self, rows: np.ndarray) -> Tensor:
        scores = self.module.scores(self._batch(rows))
        return contrastive_loss(scores, torch.from_numpy(self.presence.present[rows]).to(self.device))

    @torch.no_grad()
    def _scores(self, rows: np.ndarray) -> np.ndarray:
        """Scores (n, n_attributes) of some rows, float32."""
        parts = [self.module.scores(self._batch(group)).float().cpu().numpy() for group in in_groups(rows, SCORED_AT_ONCE)]
        return np.concatenate(parts)

    def _batch(self, rows: np.ndarray) -> Tensor:
        return torch.from_numpy(self.maps[rows]).to(self.device).float()

    def _groups(self, epoch: int) -> list[np.ndarray]:
        """The training rows of an epoch in its order, in batches; a last one that is less than half full is left out."""
        order = np.random.default_rng([self.recipe.seed, ORDER, epoch]).permutation(self.split.training)
        groups = in_groups(order, self.recipe.batch_size)
        return groups if len(groups) == 1 or 2 * len(groups[-1]) >= self.recipe.batch_size else groups[:-1]


def contrastive_loss(scores: Tensor, present: Tensor) -> Tensor:
    """Each image with an attribute against the images without it, by scores (n, n_attributes) for presence of the same shape.

    The mean over attributes of the mean over their positives p of -log(exp(s_p) / (exp(s_p) + sum over negatives exp(s_n)));
    attributes that all or none of the images have do not count, and the loss is 0 where none is left.
    """
    negatives = torch.where(present, -torch.inf, scores).logsumexp(dim=0)
    usable = present.any(dim=0) & ~present.all(dim=0)
    each = torch.logaddexp(scores, negatives[None]) - scores
    of_attribute = torch.where(present, each, 0).sum(dim=0) / present.sum(dim=0).clamp(min=1)
    return torch.where(usable, of_attribute, 0).sum() / usable.sum().clamp(min=1)


def _check_training(presence: Presence, split: Split) -> None:
    """Raise where the training images all have an attribute, or none has."""
    counts = presence.present[split.training].sum(axis=0)
    for finding, n in zip(presence.findings, counts.tolist(), strict=True):
        if n in (0, len(split.training)):
            raise ValueError(
                f"{n} of {len(split.training)} training images have {finding!r}: it takes images with and without it; leave it "
                "out of the attributes, or add images"
            )


def _scale(maps: np.ndarray, rows: np.ndarray, each: bool) -> Tensor:
    """Mean and standard deviation (2, n_channels), or of all channels (2, 1), of the maps of some rows; 1 for constant ones."""
    sums = np.zeros((2, maps.shape[1]))
    for row in rows:
        own = maps[row].astype(np.float64)
        sums += own.sum(axis=1), (own**2).sum(axis=1)
    sums = sums / (len(rows) * maps.shape[2])
    mean, square = sums if each else sums.mean(axis=1, keepdims=True)
    spread = np.sqrt(np.maximum(square - mean**2, 0))
    return torch.from_numpy(np.stack([mean, np.where(spread > 1e-6 * (1 + np.abs(mean)), spread, 1.0)]))


def _auc(present: np.ndarray, score: np.ndarray, patients: np.ndarray) -> dict:
    """AUC with its interval by patient; NaN where it cannot be known."""
    row = {"n_images": len(present), "n_present": int(present.sum()), "auc": np.nan, "auc_low": np.nan, "auc_high": np.nan}
    clusters = np.unique(patients.astype(str), return_inverse=True)[1]
    if min(len(set(clusters[present])), len(set(clusters[~present]))) >= 2:
        row["auc"], row["auc_low"], row["auc_high"] = auc_interval(present, score.astype(np.float64), clusters)
    return row


def _what(
    wanted: MapsWanted,
    dissector: Dissector,
    probe: Probe,
    sentences: dict,
    presence: Presence,
    split: Split,
    recipe: FactorRecipe,
) -> dict:
    """Everything that the result depends on, for JSON."""
    digest = hashlib.sha256(probe.subset(presence.positions).key().encode())
    for part in (presence.present, split.training, split.validation, split.test):
        digest.update(np.ascontiguousarray(part, dtype="<i8").tobytes())
    what = {
        "target": wanted.target.fingerprint,
        "preprocess": wanted.target.preprocess.key(),
        "texts": dissector.text_fingerprint,
        "sentences": sentences,
        "images and labels": digest.hexdigest(),
        **asdict(recipe),
        "layer": wanted.layer,
    }
    return json.loads(json.dumps(without_folders(what)))
