"""A trained detector of findings: the boxes that it sees in images, and its files."""

import copy
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from mdissect.arguments import NOT_NEGATIVE
from mdissect.files import DamagedFileError, read_whole_set, without_folders, write_together
from mdissect.localize.maps import device_of, mirrored
from mdissect.models import Target, dtype_of, load_target
from mdissect.models.detector import build_detector
from mdissect.signatures import validated

MANIFEST, WEIGHTS = "detector.json", "detector.safetensors"
ADVICE = "take a whole copy of the folder, or train again"
TOWER = "backbone.tower."
IMAGES_AT_A_TIME = 16


@dataclass(frozen=True)
class DetectorPlan:
    """What a detector is built of: layers from fine to coarse, the head's width, the anchors' size in strides."""

    layers: tuple[str, ...]
    findings: tuple[str, ...]
    width: int
    anchor_scale: float
    frozen: bool

    def build(self, target: Target) -> nn.Module:
        """The detector on a copy of a target's network, with random weights in its pyramid and head."""
        tower = copy.deepcopy(target.module)
        return build_detector(target, tower, self.layers, len(self.findings), self.width, self.anchor_scale, self.frozen)


@dataclass(frozen=True)
class DetectionModel:
    """A trained detector.

    Attributes
    ----------
    target : Target
        Whose network it stands on; its preprocessing holds.
    plan : DetectorPlan
    module : nn.Module
        torchvision's RetinaNet, in eval mode.
    settings : dict
        All that the training depended on.
    metrics : DataFrame
        Average precision on the validation and test images: `mdissect.localize.detection_scores` with a column part.
    history : DataFrame
        A row per epoch.
    """

    target: Target
    plan: DetectorPlan
    module: nn.Module
    settings: dict = field(default_factory=dict)
    metrics: pd.DataFrame = field(default_factory=pd.DataFrame)
    history: pd.DataFrame = field(default_factory=pd.DataFrame)


@validated(least_score=NOT_NEGATIVE)
def detect(model: DetectionModel, images: Iterable[np.ndarray], least_score: float = 0.05) -> list[list[dict]]:
    """The boxes that a detector sees in images.

    >>> detect(load_detector("out/detector"), [probe[0]])                                       # doctest: +SKIP
    [[{'finding': 'mass', 'xmin': 71.3, 'ymin': 98.2, 'xmax': 92.0, 'ymax': 126.1, 'score': 0.83}]]

    Parameters
    ----------
    images : iterable of arrays (height, width[, 3])
        As a probe gives them.
    least_score : float
        Boxes of a lower score are left out; those below 0.05 are never kept.

    Returns
    -------
    list of lists of dicts
        Per image its boxes, in its own pixels, the highest score first; half open, as a probe's boxes.
    """
    found, images = [], iter(images)
    device = device_of(model.module)
    while some := list(islice(images, IMAGES_AT_A_TIME)):
        prepared = torch.stack([model.target.preprocess(image) for image in some])
        boxes = detected_in(model.module, prepared.to(device, dtype_of(model.module)), model.plan.findings)
        for image, own in zip(some, boxes, strict=True):
            kept = [box for box in own if box["score"] >= least_score]
            flipped = mirrored(image, model.target.preprocess)
            found.append(in_image(kept, image.shape[:2], model.target.preprocess.size, flipped))
    return found


@torch.inference_mode()
def detected_in(module: nn.Module, prepared: Tensor, findings: tuple[str, ...]) -> list[list[dict]]:
    """The boxes in prepared images (n, channels, height, width), in their pixels."""
    module.eval()
    found = []
    for one in module(prepared.contiguous()):
        parts = (one["boxes"].float().tolist(), one["labels"].tolist(), one["scores"].float().tolist())
        found.append([
            {"finding": findings[label], "xmin": box[0], "ymin": box[1], "xmax": box[2], "ymax": box[3], "score": score}
            for box, label, score in zip(*parts, strict=True)
        ])  # fmt: skip
    return found


def in_image(boxes: list[dict], shape: tuple[int, int], prepared: tuple[int, int], flipped: bool) -> list[dict]:
    """Boxes in a prepared image brought into the image (height, width) that it was made of."""
    return [_scaled(box, prepared, shape, flipped) for box in boxes]


def in_prepared(boxes: list[dict], shape: tuple[int, int], prepared: tuple[int, int], flipped: bool) -> list[dict]:
    """Boxes in an image (height, width) brought into the prepared one."""
    return [_scaled(box, shape, prepared, flipped) for box in boxes]


def _scaled(box: dict, shape: tuple[int, int], wanted: tuple[int, int], flipped: bool) -> dict:
    """A box in an image of a shape, in one of another that is stretched from it and perhaps mirrored."""
    up, along = wanted[0] / shape[0], wanted[1] / shape[1]
    left, right = box["xmin"] * along, box["xmax"] * along
    if flipped:
        left, right = wanted[1] - right, wanted[1] - left
    return {**box, "xmin": left, "ymin": box["ymin"] * up, "xmax": right, "ymax": box["ymax"] * up}


@validated()
def save_detector(model: DetectionModel, path: str | Path) -> None:
    """Write a detector into a folder, for `load_detector`; of a frozen tower the weights are the target's and not written."""
    from safetensors.torch import save

    document = {
        "target": model.target.name,
        "fingerprint": model.target.fingerprint,
        "preprocess": model.target.preprocess.key(),
        "plan": {**vars(model.plan)},
        "settings": model.settings,
        "metrics": _rows(model.metrics),
        "history": _rows(model.history),
    }
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.module.state_dict().items()}
    kept = {name: tensor for name, tensor in state.items() if not (model.plan.frozen and name.startswith(TOWER))}
    write_together(Path(path) / MANIFEST, without_folders(document), {WEIGHTS: save(kept)})


@validated()
def load_detector(path: str | Path, target: str | Target | None = None) -> DetectionModel:
    """The detector in a folder, as `mdissect.train.train_detector` wrote it.

    >>> model = load_detector("out/detector")                                                   # doctest: +SKIP

    Parameters
    ----------
    target : str or Target, optional
        Needed where it cannot be loaded by the name that it had in the training.

    Raises
    ------
    FileNotFoundError
        There is none.
    ValueError
        A target with other weights than that of the training.
    DamagedFileError
        A file is not what was written.
    """
    from safetensors.torch import load

    manifest = Path(path) / MANIFEST
    if not manifest.is_file():
        raise FileNotFoundError(f"{manifest.parent} holds no detector (no {MANIFEST}); mdissect.train.train_detector makes one")
    document, files = read_whole_set(manifest, ADVICE)
    try:
        named, known = document["target"], (document["fingerprint"], document["preprocess"])
        plan = DetectorPlan(
            **{key: tuple(value) if isinstance(value, list) else value for key, value in document["plan"].items()}
        )
        tensors = load(bytes(files[WEIGHTS]))
        settings, metrics, history = document["settings"], pd.DataFrame(document["metrics"]), pd.DataFrame(document["history"])
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedFileError(f"{manifest} does not describe the weights beside it ({error}); {ADVICE}") from error
    target = load_target(named if target is None else target)
    if (target.fingerprint, target.preprocess.key()) != known:
        raise ValueError(
            f"target {target.name!r} has other weights or another preprocessing than {named!r}, on which {manifest} stands; "
            "pass that one"
        )
    module = plan.build(target)
    own = {name: tensor for name, tensor in module.state_dict().items() if plan.frozen and name.startswith(TOWER)}
    try:
        module.load_state_dict({**own, **tensors})
    except RuntimeError as error:
        raise DamagedFileError(f"{manifest} does not describe the weights beside it ({error}); {ADVICE}") from error
    return DetectionModel(target, plan, module.eval().requires_grad_(False), settings, metrics, history)


def _rows(table: pd.DataFrame) -> list[dict]:
    """A table's rows for JSON: None in place of NaN."""
    return [{key: None if pd.isna(value) else value for key, value in row.items()} for row in table.to_dict("records")]
