"""The folder of a training: fine-tuned classifiers in the format that `load_target` reads, metrics with checksums, a lock."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from mdissect.files import DamagedFileError, checksum, without_folders, write_atomically
from mdissect.models import (
    Target,
    demo_folder,
    load_weights,
    read_config,
    read_state_dict,
    recognise,
    released_name,
    save_demo_classifier,
)
from mdissect.models.demo import CLASSIFIER, CONFIG, WEIGHTS
from mdissect.models.first_use import note_use
from mdissect.models.heads import Classifier
from mdissect.train.base import Training, check_same, torch_bytes
from mdissect.train.tasks import Task

METRICS = "metrics.json"
WHOLE_COPY = "take a whole copy of the folder, or delete it and train again"


@dataclass(frozen=True)
class CheckpointFormat:
    """The format of a classifier's weights."""

    folder: Path
    file: str
    renamed: Mapping[str, str]  # weight of the classifier's module -> its name in the file
    loading: str  # how to load the classifier, for the user
    config: Mapping  # stored beside the weights

    @property
    def path(self) -> Path:
        return self.folder / self.file

    @property
    def files(self) -> tuple[str, ...]:
        """The names of the files that `save` writes."""
        return (self.file,)

    def checksums(self, *further: str) -> dict[str, str]:
        """The checksums of the files on the disk, by name; those of other files too."""
        return {name: checksum((self.folder / name).read_bytes()) for name in (*self.files, *further)}

    def check(self, known: Mapping[str, str]) -> None:
        """Raise DamagedFileError when a file is not the one of these checksums."""
        check_files(self.folder, known)

    def save(self, classifier: Classifier) -> None:
        """Write the weights completely or not at all."""
        named = {self.renamed[name]: tensor.detach().cpu() for name, tensor in classifier.module.state_dict().items()}
        write_atomically(self.path, torch_bytes({"model": named, "config": dict(self.config)}))
        note_use(self.path, vouched=True)

    def load(self, classifier: Classifier) -> None:
        """Fill a classifier with the saved weights, in place."""
        own = {theirs: ours for ours, theirs in self.renamed.items()}
        state, _ = read_state_dict(self.path)
        load_weights(classifier.module, {own.get(name, name): tensor for name, tensor in state.items()})


class DemoFormat(CheckpointFormat):
    """A demo model: config.json, and weights in half precision."""

    @property
    def files(self) -> tuple[str, ...]:
        return (CONFIG, self.file)

    def save(self, classifier: Classifier) -> None:
        save_demo_classifier(classifier.module, self.folder, dict(self.config))


class SafetensorsFormat(CheckpointFormat):
    """safetensors, with the config as text in its header."""

    def save(self, classifier: Classifier) -> None:
        from safetensors.torch import save

        named = {name: tensor.detach().cpu().contiguous() for name, tensor in classifier.module.state_dict().items()}
        write_atomically(self.path, save(named, {"config": json.dumps(dict(self.config))}))
        note_use(self.path, vouched=True)


def format_of(target: Target, classifier: Classifier, task: Task, folder: Path) -> CheckpointFormat:
    """The format for a target's kind of network.

    "demo/...": config.json and model.safetensors. "mammo-clip", "mammo-classifier/...": classifier.pth with the names of the
    released checkpoints. Others: classifier.safetensors, the weights of the network with its layer. `load_target(folder)` reads
    them where they lie.
    """
    own = {name: name for name in classifier.module.state_dict()}
    config = {"base": target.name, "base_fingerprint": target.fingerprint, "task": task.name, "classes": list(task.classes)}
    config |= {"layers": list(classifier.layers), "preprocess": json.loads(json.dumps(asdict(target.preprocess)))}
    config = without_folders(config)
    kind, _, rest = target.name.partition("/")
    loading = f"load_target({folder.name!r}), by the path of this folder"
    if kind == "demo":
        base = read_config(demo_folder(rest))
        config = {"kind": CLASSIFIER, **config, **{key: base[key] for key in ("image", "preprocess", "layers")}}
        return DemoFormat(folder, WEIGHTS, own, loading, config)
    if kind in ("mammo-clip", "mammo-classifier"):
        return CheckpointFormat(folder, "classifier.pth", _released_names(classifier), loading, config)
    if kind != "timm":
        loading = f"load_target({folder.name!r}, base=<the target that was fine-tuned>)"
    return SafetensorsFormat(folder, "classifier.safetensors", own, loading, config)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Lock a folder against other trainings (ValueError when another holds it) and remove half-written files."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ValueError(f"another process trains into {folder}; wait for it, or choose another output folder") from None
    try:
        for litter in folder.glob(".*.part"):
            litter.unlink(missing_ok=True)
        yield
    finally:
        lock.release()


def finished_metrics(folder: Path, weights: str, what: dict) -> dict | None:
    """The metrics of a finished training, whose files are checked; None where there is none yet.

    ValueError for those of another training; DamagedFileError for files that are not the ones written.
    """
    path = folder / METRICS
    if not (path.is_file() and (folder / weights).is_file()):
        return None
    try:
        metrics = json.loads(path.read_bytes())
        if {"checksum", "files"} & metrics.keys() and metrics != marked(metrics):  # older ones have neither
            raise ValueError("it does not meet its checksum")
    except (ValueError, TypeError, AttributeError) as error:
        raise DamagedFileError(f"{path} is damaged ({error}); {WHOLE_COPY}") from error
    check_same(metrics.get("what", {}), what, path)
    check_files(folder, metrics.get("files", {}))
    return metrics


def write_metrics(training: Training, folder: Path, metrics: dict, files: Sequence[str]) -> dict:
    """Write a finished training's metrics, with the checksums of the files that belong to them; gives what was written."""
    named = {name: checksum((folder / name).read_bytes()) for name in files}
    metrics = marked(plain(without_folders({**metrics, "files": named})))
    training.write(folder / METRICS, json.dumps(metrics, indent=2).encode())
    return metrics


def marked(metrics: dict) -> dict:
    """Metrics with the checksum of all of them but the time that they took."""
    timeless = {name: value for name, value in metrics.items() if name not in ("checksum", "seconds", "loading")}
    return {**metrics, "checksum": checksum(json.dumps(timeless, sort_keys=True).encode())}


def check_files(folder: Path, known: Mapping[str, str]) -> None:
    """Raise DamagedFileError when a file in a folder is not the one of these checksums."""
    for name, expected in known.items():
        path = folder / name
        if not path.is_file() or checksum(path.read_bytes()) != expected:
            what = "is not the one that this training wrote" if path.exists() else "is missing"
            raise DamagedFileError(f"{path} {what}; {WHOLE_COPY}")


def plain(value: object) -> object:
    """A value with None in place of NaN, which JSON does not have."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _released_names(classifier: Classifier) -> dict[str, str]:
    """The weights' names in the published checkpoints of Mammo-CLIP's classifiers."""
    state = classifier.module.state_dict()
    variant = recognise({name: tensor.shape for name, tensor in state.items()})
    head = f"{classifier.head_path}."
    return {
        name: f"classifier.classification_head.{name.removeprefix(head)}"
        if name.startswith(head)
        else f"image_encoder.{released_name(name, variant)}"
        for name in state
    }
