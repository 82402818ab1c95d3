"""Train a detector of findings on a target's maps: torchvision's RetinaNet on a frozen or a tuned tower."""

import hashlib
import io
import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from mdissect.arguments import kind_of, number, strings, texts, true_or_false, whole_number
from mdissect.files import read_sealed, without_folders, write_sealed
from mdissect.localize import DetectionModel, detection_scores, load_detector, save_detector
from mdissect.localize.detect import MANIFEST, DetectorPlan, detected_in, in_image
from mdissect.localize.maps import mirrored
from mdissect.localize.pointing import of_finding
from mdissect.models import Target, load_target, resolve_device
from mdissect.models.detector import pyramid_layers
from mdissect.probes import Probe
from mdissect.signatures import validated
from mdissect.train.base import Progress, Schedule, Training, check_same, torch_bytes
from mdissect.train.boxed import BoxedImages
from mdissect.train.images import in_groups, seed_of
from mdissect.train.recipe import Augment, Running
from mdissect.train.saving import alone_in
from mdissect.train.splits import Split, split_patients

STATE, BEST = "state.pt", "best.pt"
ORDER, START, STEP = 1, 2, 3  # streams of random numbers
CHOSEN_AT = 0.25  # the IoU at which the best epoch is chosen
GENTLE = Augment(degrees=10.0, scale=(0.9, 1.1), shear=0.0, elastic_alpha=0.0)


@dataclass(frozen=True)
class DetectorRecipe:
    """Settings that decide the result of a detector's training.

    Attributes
    ----------
    layers : tuple of str
        Of the target, with maps from fine to coarse; empty: the last stage of each resolution from stride 8 on, at most three.
    frozen : bool
        Train pyramid and head alone; False: the tower too, at `tower_learning_rate`. Its batch norms keep their statistics.
    width : int
        Channels of pyramid and head.
    anchor_scale : float
        Sides of a level's smallest anchors in strides: 2 for stride 8 is 16 pixels of the prepared image.
    augment : Augment
        Flips, turns and shifts images and boxes together.
    """

    layers: tuple[str, ...] = ()
    frozen: bool = True
    width: int = 64
    anchor_scale: float = 2.0
    epochs: int = 12
    batch_size: int = 16
    learning_rate: float = 1e-3
    tower_learning_rate: float = 1e-4
    weight_decay: float = 1e-4
    warmup_steps: int = 50
    max_grad_norm: float = 1.0
    augment: Augment = GENTLE
    validation_fraction: float = 0.15
    test_fraction: float = 0.2
    seed: int = 0

    def __post_init__(self):
        object.__setattr__(self, "layers", strings("layers", self.layers))
        true_or_false("frozen", self.frozen)
        for name, least in (("width", 1), ("epochs", 1), ("batch_size", 1), ("warmup_steps", 0), ("seed", 0)):
            object.__setattr__(self, name, whole_number(name, getattr(self, name), least))
        for name in ("anchor_scale", "learning_rate", "tower_learning_rate"):
            number(name, getattr(self, name), above=0)
        for name in ("weight_decay", "max_grad_norm"):
            number(name, getattr(self, name), least=0)
        kind_of("augment", self.augment, Augment, "Augment(...), or for images as they are Augment.off(),")
        number("validation_fraction", self.validation_fraction, least=0.01, most=0.9)
        number("test_fraction", self.test_fraction, least=0, most=0.9)

    def changed(self, **settings) -> "DetectorRecipe":
        """The recipe with other settings, those of `augment` included by their own names; ValueError for an unknown one."""
        own, augmented = ({one.name for one in fields(part)} for part in (DetectorRecipe, Augment))
        if unknown := sorted(set(settings) - own - augmented):
            raise ValueError(f"no setting {', '.join(unknown)}; there are {', '.join(sorted((own | augmented) - {'augment'}))}")
        augment = settings.pop("augment", self.augment)
        if isinstance(augment, bool):
            augment = self.augment if augment else Augment.off()
        augment = replace(augment, **{name: value for name, value in settings.items() if name in augmented})
        return replace(self, augment=augment, **{name: value for name, value in settings.items() if name in own})


@validated()
def train_detector(
    target: str | Target,
    probe: Probe,
    findings: Sequence[str],
    output: str | Path,
    recipe: DetectorRecipe | None = None,
    running: Running | None = None,
) -> DetectionModel:
    """Train a detector of findings with boxes on a target's maps.

    >>> model = train_detector("demo/mammo", load_probe("phantom", n_images=4000), ["mass", "calcification"], "out/boxes"
    ... )                                                                                       # doctest: +SKIP
    >>> model.metrics.query("part == 'test' and finding == 'mean'")                             # doctest: +SKIP

    The best epoch is chosen by the mean average precision at an IoU of 0.25 on the validation patients, never on the test's.

    Parameters
    ----------
    target : str or Target
        Left unchanged.
    probe : Probe
        Images with boxes; those without any are shown too. A column "split" is kept to.
    findings : list of str
        A box belongs to the finding whose words it has (`mdissect.localize.of_finding`).
    output : path
        A folder of its own: detector.json and the weights, and until the end the best epoch so far and the state from which the
        same call resumes, bit by bit on a CPU. A finished training is read, not repeated.
    recipe : DetectorRecipe, optional
    running : Running, optional

    Raises
    ------
    ValueError
        A finding without a box in the training or the validation images, or a folder of another training.
    LookupError
        The probe has no boxes.
    TrainingError
        The loss is no longer finite.
    SavingError
        The disk is full, or the folder read-only.
    DamagedFileError
        A file of an earlier or interrupted call is not what was written.
    """
    target, recipe, running, folder = load_target(target), recipe or DetectorRecipe(), running or Running(), Path(output)
    layers = recipe.layers or pyramid_layers(target)
    plan = DetectorPlan(layers, texts("findings", findings), recipe.width, recipe.anchor_scale, recipe.frozen)
    split = split_patients(probe, np.arange(len(probe)), recipe.validation_fraction, recipe.test_fraction, recipe.seed)
    boxes = [list(probe.boxes(position)) for position in range(len(probe))]  # once: phantoms are drawn for them
    _check_boxes(probe, boxes, plan.findings, split)
    what = _what(target, probe, boxes, plan, split, recipe)
    with alone_in(folder):
        if (folder / MANIFEST).is_file():
            found = load_detector(folder, target)
            check_same(found.settings, what, folder / MANIFEST)
            return found
        probe.warm(progress=running.progress)
        loop = DetectorLoop(target, probe, boxes, plan, split, what, recipe, running, folder)
        loop.run()
        model = DetectionModel(target, plan, loop.result(), what, loop.metrics(), pd.DataFrame(loop.progress.history))
        with loop.explained(folder / MANIFEST):
            save_detector(model, folder)
        for name in (STATE, BEST):
            (folder / name).unlink(missing_ok=True)
    return model


@dataclass
class DetectorProgress(Progress):
    """Also the sum of the epoch's losses so far, and the best epoch."""

    loss_sum: float = 0.0
    best_score: float = -math.inf
    best_epoch: int = -1


class DetectorLoop(Training):
    """Trains a detector; the weights of the best epoch are kept in a file."""

    progress_type = DetectorProgress

    def __init__(self, target: Target, probe: Probe, boxes: list[list[dict]], plan: DetectorPlan, split: Split, what: dict,
                 recipe: DetectorRecipe, running: Running, folder: Path):  # fmt: skip
        self.target, self.probe, self.boxes, self.plan, self.split = target, probe, boxes, plan, split
        self.recipe, self.running, self.folder = recipe, running, folder
        self.images = BoxedImages(probe, boxes, target.preprocess, plan.findings, recipe.augment, recipe.seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(recipe.seed, START))
            module = plan.build(target).float().to(resolve_device(running.device))
        tower = {id(parameter) for parameter in module.backbone.tower.parameters()}
        own = [parameter for parameter in module.parameters() if id(parameter) not in tower]
        groups = [(own, recipe.learning_rate)]
        groups += [] if plan.frozen else [(list(module.backbone.tower.parameters()), recipe.tower_learning_rate)]
        steps = len(self._groups(0))
        schedules = [Schedule(rate, recipe.epochs * steps, recipe.warmup_steps) for _, rate in groups]
        optimizer = torch.optim.AdamW([{"params": part} for part, _ in groups], weight_decay=recipe.weight_decay)
        super().__init__(module, optimizer, schedules, what, steps, recipe.max_grad_norm)

    def run(self) -> None:
        """Train to the end, and take the best epoch's weights; a state on the disk is resumed."""
        with torch.random.fork_rng([self.device] if self.device.type == "cuda" else []):
            self.resume(self.folder / STATE)
            while len(self.progress.history) < self.recipe.epochs:
                self._epoch()
        data = read_sealed(self.folder / BEST, "delete the folder and train again")
        self.module.load_state_dict(torch.load(io.BytesIO(data), map_location="cpu", weights_only=True))

    def result(self) -> torch.nn.Module:
        """The detector as it is, on the CPU and without gradients."""
        return self.module.to("cpu").eval().requires_grad_(False)

    def metrics(self) -> pd.DataFrame:
        """Average precision on the validation and the test images."""
        parts = []
        for part in ("validation", "test"):
            if len(rows := getattr(self.split, part)):
                parts.append(self._scores(rows).assign(part=part))
        return pd.concat(parts, ignore_index=True)

    def intact(self) -> str:
        if self.progress.best_epoch < 0:
            return "no weights were written yet"
        return f"the weights of the best epoch, {self.progress.best_epoch + 1}, are intact in {self.folder / BEST}"

    def _epoch(self) -> None:
        """The rest of an epoch, and its validation."""
        started, progress = time.monotonic(), self.progress
        epoch, first = divmod(progress.step, self.steps_per_epoch)
        groups = self._groups(epoch)[first:]
        self.module.train()
        for images, boxes in self.images.batches(groups, epoch, self.running.workers):
            torch.manual_seed(seed_of(self.recipe.seed, STEP, progress.step))
            moved = [{name: one.to(self.device) for name, one in of_image.items()} for of_image in boxes]
            losses = self.module(images.to(self.device), moved)
            progress.loss_sum += self.update(sum(losses.values()))
            if progress.step % self.running.save_every == 0 and progress.step % self.steps_per_epoch:
                progress.seconds, started = progress.seconds + time.monotonic() - started, time.monotonic()
                self.save(self.folder / STATE)
        self._validate(epoch)
        progress.seconds += time.monotonic() - started
        self.save(self.folder / STATE)

    def _validate(self, epoch: int) -> None:
        """Score the validation images, and keep the weights when they are the best so far."""
        self.check_weights()
        found, progress = self._scores(self.split.validation, ious=(CHOSEN_AT,)), self.progress
        precision = dict(zip(found["finding"], found["average_precision"].tolist(), strict=True))
        if precision["mean"] > progress.best_score:
            with self.explained(self.folder / BEST):
                write_sealed(self.folder / BEST, torch_bytes(self.module.state_dict()))
            progress.best_score, progress.best_epoch = precision["mean"], epoch
        row = {"epoch": epoch + 1, "step": progress.step, "training_loss": progress.loss_sum / self.steps_per_epoch}
        progress.history.append(row | {f"validation_{name}": value for name, value in precision.items()})
        progress.loss_sum = 0.0
        if self.running.progress:
            print(
                f"epoch {epoch + 1}/{self.recipe.epochs}: loss {row['training_loss']:.3f}, validation mAP@{CHOSEN_AT:g} "
                f"{precision['mean']:.3f}", flush=True
            )  # fmt: skip

    def _scores(self, rows: np.ndarray, **options) -> pd.DataFrame:
        """Average precision on some images, of boxes in their own pixels."""
        detected, marked, size = [], [], self.target.preprocess.size
        plain = BoxedImages(self.probe, self.boxes, self.target.preprocess, self.plan.findings, Augment.off(), seed=0)
        groups = in_groups(rows, self.recipe.batch_size)
        for group, (images, _) in zip(groups, plain.batches(groups, None, self.running.workers), strict=True):
            for row, boxes in zip(group, detected_in(self.module, images.to(self.device), self.plan.findings), strict=True):
                image = self.probe[int(row)]
                flipped = mirrored(image, self.target.preprocess)
                detected.append(in_image(boxes, image.shape[:2], size, flipped))
                marked.append(self.boxes[row])
        patients = np.array(self.probe.patients, dtype=object)[rows]
        return detection_scores(detected, marked, list(self.plan.findings), list(patients), **options)

    def _groups(self, epoch: int) -> list[np.ndarray]:
        """The training images of an epoch in its order, in batches; a last batch that is not full is left out."""
        order = np.random.default_rng([self.recipe.seed, ORDER, epoch]).permutation(self.split.training)
        groups = in_groups(order, self.recipe.batch_size)
        return groups if len(groups) == 1 or len(groups[-1]) == self.recipe.batch_size else groups[:-1]


def _check_boxes(probe: Probe, boxes: list[list[dict]], findings: tuple[str, ...], split: Split) -> None:
    """Raise where the training or the validation images have no box of a finding."""
    for part in ("training", "validation"):
        of_part = [box for row in getattr(split, part) for box in boxes[row]]
        for finding in findings:
            if not of_finding(of_part, finding):
                there = sorted({str(box["finding"]) for box in of_part})
                raise ValueError(
                    f"the {part} images of probe {probe.name!r} have no box of {finding!r}; they have "
                    f"{', '.join(there) or 'none'}"
                )


def _what(
    target: Target, probe: Probe, boxes: list[list[dict]], plan: DetectorPlan, split: Split, recipe: DetectorRecipe
) -> dict:
    """Everything that the result depends on, for JSON."""
    digest = hashlib.sha256(
        probe.key().encode() + json.dumps([list(map(dict, own)) for own in boxes], sort_keys=True, default=float).encode()
    )
    for part in (split.training, split.validation, split.test):
        digest.update(np.ascontiguousarray(part, dtype="<i8").tobytes())
    what = {
        "target": target.fingerprint,
        "preprocess": target.preprocess.key(),
        "findings": plan.findings,
        "images and boxes": digest.hexdigest(),
        **asdict(recipe),
        "layers": plan.layers,
    }
    return json.loads(json.dumps(without_folders(what)))
