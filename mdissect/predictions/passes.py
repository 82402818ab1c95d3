"""Batches of a probe as a target sees them, and what its head gets of all images."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from mdissect.arguments import shown
from mdissect.dissection import Dissection
from mdissect.models import Target, dtype_of, resolve_device
from mdissect.passing import Group, PassOptions, prepared_batches, quick_target, running
from mdissect.predictions.head import CHECKED_IMAGES, EXACT, Head, find_head, logits_of
from mdissect.probes import Probe


def batches(target: Target, probe: Probe, options: PassOptions) -> Iterator[Tensor]:
    """The probe's images in order, prepared, on the device of the run; the target is moved there."""
    device = resolve_device()
    target.to(device)
    size = options.images_at_once(target.preprocess, device)
    positions = [range(len(probe))[start : start + size] for start in range(0, len(probe), size)]
    groups = [Group(0, part, (target.preprocess,)) for part in positions]
    for batch in prepared_batches(probe, groups, options.workers):
        yield batch[target.preprocess].to(device, dtype_of(target.module)).contiguous(memory_format=torch.channels_last)


def as_images(name: str, value: object) -> object:
    """The check of images: a Probe, a list of arrays, or an array."""
    if not isinstance(value, (Probe, np.ndarray, list, tuple)):
        raise TypeError(f"{name}={shown(value)} must be a Probe, a list of arrays (height, width[, 3]), or one such array")
    return value


def as_probe(images: "Probe | np.ndarray | Sequence[np.ndarray]") -> Probe:
    """Images as a probe; one image alone is a probe of one."""
    if isinstance(images, Probe):
        return images
    alone = isinstance(images, np.ndarray) and (images.ndim == 2 or (images.ndim == 3 and images.shape[-1] == 3))
    return Probe.from_arrays([images] if alone else images, name="images")


def head_of(target: Target, dissection: Dissection, probe: Probe, options: PassOptions, layer: str | None = None) -> Head:
    """The head of a target and the dissected layer (or the given one) that feeds it, checked on the first images."""
    device = resolve_device()
    prepared = [target.preprocess(probe[i]) for i in range(min(CHECKED_IMAGES, len(probe)))]
    x = torch.stack(prepared).to(device, dtype_of(target.module)).contiguous(memory_format=torch.channels_last)
    return find_head(target.to(device).module, x, dissection.layers if layer is None else [layer], options.axes)


def head_pass(target: Target, probe: Probe, head: Head, options: PassOptions) -> tuple[np.ndarray, np.ndarray]:
    """What the head gets, (n_images, n_inputs) float64, and the network's logits, (n_images, n_outputs) float64.

    ValueError where they are not finite, or weights times inputs are not the logits.
    """
    inputs, logits, device = [], [], resolve_device()
    quick = quick_target(target, [head.path], options.exact(), device)

    def keep(_module, args: tuple) -> None:
        inputs.append(args[0].detach().flatten(1).double().cpu())

    with running([target.module], device), torch.no_grad():
        for x in batches(quick, probe, options):
            handle = quick.module.get_submodule(head.path).register_forward_pre_hook(keep)
            try:
                logits.append(logits_of(quick.module(x)).double().cpu())
            finally:
                handle.remove()
    found, answers = torch.cat(inputs).numpy(), torch.cat(logits).numpy()
    check_finite(answers, target, probe)
    eps = torch.finfo(dtype_of(target.module)).eps
    if (error := additivity_error(head, found, answers)) > max(EXACT, 32 * eps):
        raise ValueError(
            f"weights times activations at head {head.path!r} differ from the output of target {target.name!r} by {error:.2g} "
            "of its scale: the network does not compute the same twice, or its head is not linear"
        )
    return found, answers


def additivity_error(head: Head, inputs: np.ndarray, logits: np.ndarray) -> float:
    """The largest difference between the sum of contributions and the logits, in parts of the largest logit."""
    summed = inputs @ head.weight.T + head.bias
    return float(np.abs(summed - logits).max() / max(np.abs(logits).max(), np.finfo(float).tiny))


def check_finite(logits: np.ndarray, target: Target, probe: Probe) -> None:
    """Raise ValueError for logits that are NaN or infinite."""
    if (bad := ~np.isfinite(logits).all(axis=1)).any():
        first = probe.ids[int(np.flatnonzero(bad)[0])]
        raise ValueError(
            f"target {target.name!r} gives outputs that are not finite for {bad.sum()} of {len(logits)} images of probe "
            f"{probe.name!r} (the first is {first!r}): look at those images and at the network's precision"
        )


def check_same_target(target: Target, dissection: Dissection) -> None:
    """Raise ValueError for a dissection of other weights."""
    known = dissection.settings.get("target_weights")
    if known is not None and known != target.fingerprint:
        raise ValueError(
            f"the dissection is of target {dissection.settings.get('target', '?')!r} with other weights than target "
            f"{target.name!r}: dissect this target, or give the one that was dissected"
        )


def patient_weights(patients: np.ndarray, n_boot: int, seed: int) -> np.ndarray:
    """How often each image counts in resamples of the patients, (n_boot, n_images); no rows where there is one patient."""
    _, member = np.unique(np.asarray(patients).astype(str), return_inverse=True)
    n_patients = member.max() + 1
    if n_patients < 2:
        return np.empty((0, len(member)))
    drawn = np.random.default_rng(seed).multinomial(n_patients, np.full(n_patients, 1 / n_patients), n_boot)
    return drawn[:, member].astype(float)


def interval(values: np.ndarray, level: float) -> np.ndarray:
    """Quantiles (2, ...) of resamples (n_boot, ...); NaN ones are left out, and without any the interval is NaN."""
    if not len(values) or not np.isfinite(values).any():
        return np.full((2, *values.shape[1:]), np.nan)
    return np.nanquantile(values, [(1 - level) / 2, (1 + level) / 2], axis=0)
