"""Pretrain an image-text model on a probe's images and reports, or on reports made of its labels."""

import copy
import hashlib
import json
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import pandas as pd

from mdissect.arguments import kind_of
from mdissect.files import without_folders, write_atomically
from mdissect.models import Dissector, ImageTextDissector, freeze, load_dissector
from mdissect.models.first_use import note_use
from mdissect.models.image_text import WEIGHTS, architecture_of, fingerprint_of, load_image_text, save_image_text, trained_copy
from mdissect.models.mammo_clip import released_state
from mdissect.probes import Probe
from mdissect.signatures import validated
from mdissect.tables import read_text_table, with_numbers
from mdissect.train.base import torch_bytes
from mdissect.train.contrastive import Contrastive, Material
from mdissect.train.images import SeededImages
from mdissect.train.matching import matching
from mdissect.train.processes import Processes, processes
from mdissect.train.recipe import ContrastiveRecipe, Running
from mdissect.train.saving import alone_in, check_files, finished_metrics, plain, write_metrics
from mdissect.train.splits import StudySplit, split_studies
from mdissect.train.studies import LABELS, Studies, read_studies

LOSSES, STATE = "losses.csv", "state.pt"


@dataclass(frozen=True)
class Pretrained:
    """A pretrained image-text model.

    Attributes
    ----------
    dissector : ImageTextDissector
        The model of the best epoch: `load_dissector(folder)` and `load_target(folder)` read it again.
    metrics : dict
        The content of metrics.json: scores on the validation and test studies, and how they came about.
    history : DataFrame
        A row per epoch: epoch, step, learning_rate, the training losses ("image-text", "image-image", "text-text"),
        "validation loss" and the retrieval of validation reports and images.
    """

    dissector: ImageTextDissector
    metrics: dict
    history: pd.DataFrame
    folder: Path


def _model(name: str, value: object) -> object:
    """The rule of an argument that names or is a dissector."""
    kind_of(name, value, (str, Path, Dissector), "new_model(...) or load_dissector(...)")
    return value


@validated(model=_model)
def pretrain(
    model: "str | Path | ImageTextDissector",
    probe: Probe,
    output: str | Path,
    texts: str | Sequence[str] = LABELS,
    recipe: ContrastiveRecipe | None = None,
    running: Running | None = None,
) -> Pretrained:
    """Pretrain a copy of an image-text model on the images and texts of a probe.

    >>> model = new_model("mammo-clip/b5", "data/weights/bio-clinical-bert")                          # doctest: +SKIP
    >>> done = pretrain(model, load_probe("vindr"), "out/mine", texts="labels")                       # doctest: +SKIP
    >>> dissect("demo/mammo", load_dissector("out/mine"), probe, "mammography")                       # doctest: +SKIP

    A study is a breast (images of one patient, side and, where there is such a column, study). Each step contrasts views and
    texts of several studies, no patient twice; texts that are true of other studies too are not negatives (see
    `mdissect.train.studies`). The model of the epoch with the least validation loss is kept. The folder also holds the state
    from which an interrupted call resumes, bit by bit on a CPU. A finished pretraining is read, not repeated. Started by
    `accelerate launch`, the processes share each batch.

    Parameters
    ----------
    model : str, path or ImageTextDissector
        Where to start: `mdissect.models.new_model`, "demo/mammo", "mammo-clip" or a folder of a pretraining; left unchanged.
    probe : Probe
        Its column "split" decides what is used for training, validation and test, if there is one; without validation studies,
        a share of the training patients is held out.
    output : path
        A folder of its own: config.json, model.safetensors, tokenizer.json, losses.csv and metrics.json.
    texts : str or list of str
        "labels": reports are made of findings, density, BI-RADS category and side; else columns of the table with reports, such
        as ["findings_text", "impression"].
    recipe, running
        By default what Mammo-CLIP states.

    Raises
    ------
    ValueError
        No texts, too few patients, or a folder of another training, finished or running.
    TrainingError
        The loss is no longer finite; the best model is intact.
    SavingError
        The disk is full, or the folder read-only; the best model is intact.
    DamagedFileError
        A file of an earlier or interrupted call is not what was written.
    """
    start = load_dissector(model)
    if not isinstance(start, ImageTextDissector):
        raise TypeError(f"dissector {start.name!r} has no towers to be trained; take new_model(...) or 'demo/mammo'")
    architecture_of(start)
    recipe, running = recipe or ContrastiveRecipe(), running or Running()
    job = _Job(
        start, probe, read_studies(probe, texts, recipe.shuffle), Path(output), recipe, running, processes(running.device)
    )
    what = job.what()
    with alone_in(job.output) if job.processes.first else nullcontext():
        metrics = finished_metrics(job.output, WEIGHTS, what)
        if metrics is None:
            metrics = job.train(what)
    losses, _ = with_numbers(read_text_table(job.output / LOSSES))
    return Pretrained(load_image_text(job.output), metrics, losses.reset_index(drop=True), job.output)


@validated()
def write_published(folder: str | Path, path: str | Path) -> Path:
    """Write a pretrained model as a checkpoint in the layout that Mammo-CLIP was published in; gives its path.

    >>> write_published("out/mine", "b5-model-best-epoch-7.tar")                                      # doctest: +SKIP
    >>> load_target("mammo-clip", checkpoint="b5-model-best-epoch-7.tar")                             # doctest: +SKIP

    ValueError unless its towers are Mammo-CLIP's: "mammo-clip/b5" or "mammo-clip/b2" and a BERT, by the defaults of
    `new_model`.
    """
    path = Path(path)
    dissector = load_image_text(folder)
    content = {"model": released_state(dissector), "config": {"model": {"name": "clip_custom"}, "made_by": "mdissect"}}
    write_atomically(path, torch_bytes(content))
    note_use(path, vouched=True)
    return path


@dataclass(frozen=True)
class _Job:
    """One pretraining: its arguments and what follows from them."""

    start: ImageTextDissector
    probe: Probe
    studies: Studies
    output: Path
    recipe: ContrastiveRecipe
    running: Running
    processes: Processes

    @cached_property
    def split(self) -> StudySplit:
        return split_studies(self.probe, self.studies, self.recipe)

    def what(self) -> dict:
        """Everything that the result depends on, for JSON."""
        split = hashlib.sha256(repr([rows.tolist() for rows in vars(self.split).values()]).encode()).hexdigest()
        what = {
            "model": fingerprint_of(self.start),
            "preprocess": self.start.preprocess.key(),
            "images": self.probe.key(),
            "studies and texts": self.studies.digest(),
            "split": split,
            "processes": self.processes.count,
            **asdict(self.recipe),
        }
        return without_folders(json.loads(json.dumps(what)))

    def train(self, what: dict) -> dict:
        """Train, keep the best epoch, and write the metrics; gives them."""
        self.processes.written(lambda: self.probe.warm(progress=self.running.progress))
        model = copy.deepcopy(self.start.model).requires_grad_(True).to(self.processes.device)
        images = SeededImages(self.probe, self.start.preprocess, self.recipe.augment)
        tokens = partial(self.start.tokenizer, cut=True)  # the end of a long report is left out
        material = Material(self.studies, images, tokens, self.split.training)
        training = Contrastive(model, material, self.recipe, self.running, what, self.processes)
        training.run(self.output / STATE, lambda epoch: self._validated(training, epoch))
        check_files(self.output, training.progress.best_files)
        return self._finish(training)

    def _validated(self, training: Contrastive, epoch: int) -> dict:
        """Scores on the validation studies; the model is saved when its loss is the least so far."""
        training.check_weights()
        found = matching(training, self.split.validation) if len(self.split.validation) else {}
        progress = training.progress
        loss = found.get("loss", -float(epoch))  # without validation the last epoch counts
        training.check_loss(loss)
        if loss < progress.best_loss:
            files = self.processes.written(lambda: self._saved(training, epoch))
            progress.best_loss, progress.best_epoch, progress.best_files = loss, epoch, files or {}
        return {f"validation {name}": value for name, value in found.items()}

    def _saved(self, training: Contrastive, epoch: int) -> dict[str, str]:
        """Write the model; gives the checksums of its files."""
        model = freeze(copy.deepcopy(training.model).cpu())
        note = f"pretrained from {self.start.name} on {self.probe.name}, {len(self.split.training)} studies; epoch {epoch + 1}"
        done = trained_copy(self.start, model, self.output.name, (note,))
        with training.explained(self.output / WEIGHTS):
            return save_image_text(done, self.output, self.output.name, (note,))

    def _finish(self, training: Contrastive) -> dict:
        """Score the best model on the held-out studies and write what came of the training."""
        training.model.load_state_dict(load_image_text(self.output).model.state_dict())
        parts = {"validation": self.split.validation, "test": self.split.test}
        scores = {name: matching(training, rows) for name, rows in parts.items() if len(rows)}
        progress = training.progress
        metrics = {
            "model": self.start.name,
            "probe": self.probe.name,
            **scores,
            "studies": {name: len(rows) for name, rows in vars(self.split).items()},
            "images": {name: self._n_images(rows) for name, rows in vars(self.split).items()},
            "best epoch": progress.best_epoch + 1,
            "epochs": len(progress.history),
            "seconds": round(progress.seconds, 1),
            "precision": str(training.precision).removeprefix("torch."),
            "loading": f"load_dissector({self.output.name!r}) or load_target, by the path of this folder",
            "what": training.what,
        }

        def write() -> dict:
            training.write(self.output / LOSSES, pd.DataFrame(progress.history).to_csv(index=False).encode())
            done = write_metrics(training, self.output, plain(metrics), [LOSSES, *progress.best_files])
            (self.output / STATE).unlink(missing_ok=True)
            return done

        return self.processes.written(write) or plain(metrics)

    def _n_images(self, rows: np.ndarray) -> int:
        return sum(len(self.studies.images[row]) for row in rows)
