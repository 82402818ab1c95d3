"""Fine-tune a target for a task: its network with one linear layer, trained on a probe's labels."""

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from mdissect.files import without_folders
from mdissect.models import Target, freeze, load_target, resolve_device, weights_fingerprint
from mdissect.models.heads import Classifier, attach_head
from mdissect.probes import Probe
from mdissect.signatures import validated
from mdissect.tables import read_text_table, with_numbers
from mdissect.train.images import PreparedImages, in_groups
from mdissect.train.loop import LOSSES, Inputs, Loop, Material
from mdissect.train.metrics import evaluation, probabilities
from mdissect.train.recipe import Augment, Recipe, Running
from mdissect.train.saving import METRICS, CheckpointFormat, alone_in, finished_metrics, format_of, marked, plain
from mdissect.train.splits import Split, split_labels
from mdissect.train.tasks import Labels, Task, read_labels

PREDICTED_AT_ONCE = 32


@dataclass(frozen=True)
class Finetuned:
    """A fine-tuned classifier.

    Attributes
    ----------
    target : Target
        The network with its linear layer, of the best checkpoint, to be dissected or applied.
    metrics : dict
        The content of metrics.json: scores on the validation and test images, and how they came about.
    history : DataFrame
        A row per epoch: epoch, step, learning_rate, training_loss, validation_loss and the validation scores.
    """

    target: Target
    task: Task
    metrics: dict
    history: pd.DataFrame
    folder: Path


@validated()
def finetune(
    target: str | Target,
    probe: Probe,
    task: str | Task,
    output: str | Path,
    recipe: Recipe | None = None,
    running: Running | None = None,
) -> Finetuned:
    """Fine-tune a copy of a target's network with one linear layer.

    >>> tuned = finetune("demo/mammo", load_probe("phantom"), "mass", "out/mass")               # doctest: +SKIP
    >>> tuned.metrics["test"]["auc"], tuned.metrics["test"]["auc_interval"]                     # doctest: +SKIP

    The best checkpoint is chosen by the validation patients' AUC (binary task) or macro F1, never by the test's. During the
    training the folder holds the best checkpoint so far and the state that an interrupted call resumes from, bit by bit on a
    CPU. A finished fine-tuning is read, not repeated.

    Parameters
    ----------
    target : str or Target
        Where to start; left unchanged.
    probe : Probe
        Its table has the labels and, optionally, a column "split", see `mdissect.train.splits.split_labels`.
    task : str or Task
        "density", "birads", "mass", "calcification", or a column of the table, see `mdissect.train.tasks.read_labels`.
    output : path
        A folder of its own: losses.csv, metrics.json and the checkpoint.
    recipe, running
        By default the study's recipe.

    Raises
    ------
    ValueError
        Labels or a split with too few classes or patients, or a folder of another fine-tuning, finished or running.
    TrainingError
        The loss is no longer finite; the best checkpoint is intact.
    SavingError
        The disk is full, or the folder read-only; the best checkpoint is intact.
    DamagedFileError
        A file of an earlier or interrupted call is not what was written.
    """
    target, recipe, running = load_target(target), recipe or Recipe(), running or Running()
    job = _Job(target, probe, read_labels(probe, task, recipe.missing), Path(output), recipe, running)
    what = job.what()
    with alone_in(job.output):
        metrics = finished_metrics(job.output, job.form.file, what)
        job.classifier.module.to(resolve_device(running.device))
        if metrics is None:
            probe.warm(progress=running.progress)
            loop = job.loop(what)
            loop.run()
            job.form.load(job.classifier)
            metrics = marked(plain(without_folders(job.metrics(loop))))
            loop.write(job.output / METRICS, json.dumps(metrics, indent=2).encode())
            loop.state_file.unlink(missing_ok=True)
        else:
            job.form.load(job.classifier)
    tuned = _as_target(job.classifier, target, job.labels.task)
    losses, _ = with_numbers(read_text_table(job.output / LOSSES))
    return Finetuned(tuned, job.labels.task, metrics, losses.reset_index(drop=True), job.output)


@torch.inference_mode()
@validated()
def predict(target: Target, probe: Probe, device: str | torch.device = "auto") -> np.ndarray:
    """The outputs (n_images, n_outputs) of a classifier for a probe's images, float32."""
    where = resolve_device(device)
    module = target.to(where).module.eval()
    images = PreparedImages(probe, target.preprocess, Augment.off(), seed=0)
    probe.warm(progress=False)
    groups = in_groups(np.arange(len(probe)), PREDICTED_AT_ONCE)
    return np.concatenate([module(x.to(where)).float().cpu().numpy() for x in images.batches(groups)])


@validated()
def evaluate(target: str | Target, probe: Probe, task: str | Task, device: str | torch.device = "auto") -> dict:
    """Metrics of a classifier on a probe that it was not trained on, see `mdissect.train.metrics.evaluation`.

    >>> evaluate("demo/C3", load_probe("phantom", seed=5), "mass")["auc"]                       # doctest: +SKIP

    Parameters
    ----------
    target : str or Target
        A classifier of the task, such as "demo/C3" for "mass": one output per class, or one for two classes.
    probe : Probe
        Images without a label are left out.

    Raises
    ------
    ValueError
        No usable labels, or a target with another number of outputs.
    """
    target = load_target(target)
    labels = read_labels(probe, task)
    logits = predict(target, probe.subset(labels.positions), device)
    if logits.ndim != 2 or logits.shape[1] != labels.task.n_outputs:
        raise ValueError(
            f"target {target.name!r} has outputs of shape {logits.shape[1:]}; a classifier of {labels.task.name} "
            f"({', '.join(labels.task.classes)}) has {labels.task.n_outputs}"
        )
    return evaluation(labels.y, probabilities(logits), labels.task.classes, labels.patients)


@dataclass(frozen=True)
class _Job:
    """One fine-tuning: its arguments and what follows from them."""

    target: Target
    probe: Probe
    labels: Labels
    output: Path
    recipe: Recipe
    running: Running

    @cached_property
    def split(self) -> Split:
        return split_labels(self.probe, self.labels, self.recipe)

    @cached_property
    def classifier(self) -> Classifier:
        return attach_head(self.target, self.labels.task.n_outputs, self.recipe.seed)

    @cached_property
    def form(self) -> CheckpointFormat:
        return format_of(self.target, self.classifier, self.labels.task, self.output)

    def what(self) -> dict:
        """Everything that the result depends on, for JSON."""
        labels, split = self.labels, self.split
        digest = hashlib.sha256(self.probe.subset(labels.positions).key().encode())
        for part in (labels.y, split.training, split.validation, split.test):
            digest.update(np.ascontiguousarray(part, dtype="<i8").tobytes())
        what = {
            "target": self.target.fingerprint,
            "preprocess": self.target.preprocess.key(),
            "task": labels.task.name,
            "classes": labels.task.classes,
            "column": labels.column,
            "images and labels": digest.hexdigest(),
            **asdict(self.recipe),
        }
        return without_folders(what)

    def loop(self, what: dict) -> Loop:
        """The training loop, ready to run."""
        inputs, model = (self._features, self.classifier.head) if self.recipe.frozen else (self._images, self.classifier.module)
        material = Material(inputs(), self.labels.y, self.split.training, self.split.validation, len(self.labels.task.classes))
        return Loop(self.classifier, model, material, self.form, what, self.recipe, self.running)

    def metrics(self, loop: Loop) -> dict:
        """Scores of the saved classifier, and its training record."""
        labels, parts, found = self.labels, {"validation": self.split.validation, "test": self.split.test}, {}
        for name, rows in parts.items():
            if len(rows):
                probability = probabilities(loop.predict(rows))
                found[name] = evaluation(labels.y[rows], probability, labels.task.classes, labels.patients[rows])
        return {
            "task": labels.task.name,
            "target": self.target.name,
            **found,
            "images": {name: labels.counts(rows) for name, rows in vars(self.split).items()},
            "without label": labels.n_missing,
            "best epoch": loop.progress.best_epoch + 1,
            "epochs": len(loop.progress.history),
            "seconds": round(loop.progress.seconds, 1),
            "precision": str(loop.precision).removeprefix("torch."),
            "notes": list(self.classifier.notes),
            "loading": self.form.loading,
            "files": self.form.checksums(LOSSES),
            "what": loop.what,
        }

    def _images(self) -> Inputs:
        """Batches of images, augmented in training."""
        augment = Augment.off() if self.recipe.frozen else self.recipe.augment
        images = PreparedImages(self.probe, self.target.preprocess, augment, self.recipe.seed)
        positions, workers = self.labels.positions, self.running.workers
        return lambda groups, epoch: images.batches([positions[group] for group in groups], epoch, workers)

    @torch.inference_mode()
    def _features(self) -> Inputs:
        """Batches of the linear layer's inputs, computed once."""
        device = self.classifier.head.weight.device
        batches = self._images()(in_groups(np.arange(len(self.labels)), PREDICTED_AT_ONCE), None)
        features = torch.cat([self.classifier.features(x.to(device)).float().cpu() for x in batches]).numpy()
        return lambda groups, epoch: (torch.from_numpy(features[group]) for group in groups)


def _as_target(classifier: Classifier, target: Target, task: Task) -> Target:
    module = freeze(classifier.module)
    notes = (f"{target.name} fine-tuned to tell {task.name}: {', '.join(task.classes)}", *classifier.notes)
    name = f"{target.name} ({task.name})"
    return Target(name, module, target.preprocess, classifier.layers, weights_fingerprint(module), notes, task.classes)
