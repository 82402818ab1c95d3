"""A network's outputs for all images of a probe, chunk by chunk into the store."""

from itertools import groupby

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from mdissect.entries import check_unchanged, library_versions
from mdissect.models import Target, dtype_of, resolve_device
from mdissect.outputs import evaluating
from mdissect.passing import PassOptions, image_groups, prepared_batches, quick_target, running
from mdissect.predictions.head import CHECKED_IMAGES, NoHeadError, check_linear_end, logits_of
from mdissect.predictions.passes import check_finite
from mdissect.probes import Probe
from mdissect.store import Entry, StoreLike, exclusive, open_store
from mdissect.train.metrics import probabilities

OUTPUTS = ("auto", "logits", "probabilities", "findings")
SEVERAL_LABELS = "multi_label_classification"  # as transformers call it
ROUNDING = 1e-3  # by which probabilities may miss 0, 1 or their sum


def first_outputs(target: Target, probe: Probe, device: str | torch.device, kind: str) -> np.ndarray:
    """Outputs (n, n_outputs) of the first few images: they show what is wrong with a target before all images are read.

    With `kind` "auto" they must be those of a linear layer: NoHeadError (a ValueError) says what the network ends in instead.
    """
    check_unchanged(target)
    device = resolve_device(device)
    target.to(device)
    prepared = [target.preprocess(probe[i]) for i in range(min(CHECKED_IMAGES, len(probe)))]
    x = _on_device(torch.stack(prepared), target, device)
    if kind == "auto":
        _check_head(target, x)
    with evaluating(target.module), torch.inference_mode():
        found = _logits(target, x).numpy()
    check_finite(found, target, probe.subset(slice(len(found))))
    return found


def probe_outputs(
    target: Target, probe: Probe, probe_key: str, store: StoreLike, device: str | torch.device, options: PassOptions
) -> np.ndarray:
    """Outputs (n_images, n_outputs) float32 in the order of the probe's ids; a run that was killed resumes."""
    key = {"kind": "outputs", "probe": probe_key, "weights": target.fingerprint, "versions": library_versions()}
    key |= {"preprocess": target.preprocess.key()} | options.exact().numerics(target.module, target.preprocess)
    entry = open_store(store).entry(key, len(probe))
    if entry.missing():
        with exclusive([entry]):
            _fill(target, probe, entry, resolve_device(device), options)
    return entry.read()


def class_probabilities(outputs: np.ndarray, kind: str, target: Target, probe: Probe) -> np.ndarray:
    """Class probabilities (n, n_classes) float64 of outputs (n, n_outputs); of one output p, those of two classes.

    Of findings, those of each (n, n_outputs).

    ValueError for outputs that are said to be probabilities and are none.
    """
    if kind == "findings":
        return np.stack([probabilities(column[:, None])[:, 1] for column in outputs.T], axis=1)
    if kind != "probabilities":
        return probabilities(outputs)
    found = outputs.astype(np.float64)
    total = found.sum(axis=1) if found.shape[1] > 1 else np.ones(len(found))
    wrong = (found.min(axis=1) < -ROUNDING) | (found.max(axis=1) > 1 + ROUNDING) | (np.abs(total - 1) > ROUNDING)
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            f"outputs='probabilities', but target {target.name!r} gives {found[first, :4].round(4).tolist()} for image "
            f"{probe.ids[first]!r}: those of an image lie between 0 and 1, and several add up to 1; use outputs='logits'"
        )
    return np.hstack([1 - found, found]) if found.shape[1] == 1 else found


def stated_kind(target: Target) -> str:
    """ "findings" where settings of transformers say that a network's classes do not exclude each other, else "logits"."""
    stated = (getattr(getattr(part, "config", None), "problem_type", None) for part in target.module.modules())
    return "findings" if SEVERAL_LABELS in stated else "logits"


def _check_head(target: Target, x: Tensor) -> None:
    try:
        check_linear_end(target.module, x)
    except NoHeadError as error:
        raise NoHeadError(
            f"target {target.name!r} gives no class scores: {error}; give a classifier, such as 'mammo-classifier/mass' or "
            "what finetune made of this network, or say what its outputs are: outputs='logits' or 'probabilities'"
        ) from None


@torch.inference_mode()
def _fill(target: Target, probe: Probe, entry: Entry, device: torch.device, options: PassOptions) -> None:
    """Compute the missing chunks. Runs under the entry's lock."""
    quick = quick_target(target, [], options.exact(), device)
    ways = dict.fromkeys(entry.missing(), (target.preprocess,))
    groups = image_groups(entry, ways, options.images_at_once(target.preprocess, device))
    batches = prepared_batches(probe, groups, options.workers)
    n_missing = sum(len(group.positions) for group in groups)
    bar = tqdm(
        total=len(probe), initial=len(probe) - n_missing, unit="image", desc=f"{target.name} on {probe.name}",
        disable=not (options.progress and n_missing),
    )  # fmt: skip
    with running([target.module], device), bar:
        for chunk, together in groupby(groups, key=lambda group: group.chunk):
            parts = []
            for group in together:
                x = next(batches)[target.preprocess]
                parts.append(_logits(quick, _on_device(x, quick, device)))
                bar.update(len(group.positions))
            found = torch.cat(parts).numpy()
            if not np.isfinite(found).all():
                check_finite(found, target, probe.subset(entry.rows(chunk)))
            entry.write(chunk, found)


def _logits(target: Target, x: Tensor) -> Tensor:
    """Outputs (n, n_outputs) of a batch; ValueError where they are not one number per class and image."""
    output = target.module(x)
    logits = logits_of(output)
    shape = tuple(getattr(output, "shape", logits.shape))
    if len(logits) != len(x) or sum(size > 1 for size in shape[1:]) > 1:
        raise ValueError(
            f"target {target.name!r} gives {shape} for {len(x)} images; expected a row of scores per image, (n, n_classes)"
        )
    return logits.float().cpu()


def _on_device(x: Tensor, target: Target, device: torch.device) -> Tensor:
    return x.to(device, dtype_of(target.module)).contiguous(memory_format=torch.channels_last)
