"""The inputs of similarity functions: their check, which images a neuron ranks first, and which neurons can be named.

`mdissect.similarity` and `mdissect.following` are built on these.
"""

import numpy as np
import torch
from torch import Tensor

from mdissect.arguments import AT_LEAST_ONE
from mdissect.signatures import validated

NEURONS_AT_A_TIME = 256  # whose images are ranked together: bounds the memory that numpy's positions take


@validated(top_k=AT_LEAST_ONE)
def check_inputs(image_concept_sims: Tensor, activations: Tensor, top_k: int | None = None) -> None:
    """Raise for similarities and activations that do not fit together, hold no numbers, or have fewer images than top_k."""
    for name, x in (("image_concept_sims", image_concept_sims), ("activations", activations)):
        if x.ndim != 2 or 0 in x.shape:
            raise ValueError(f"{name} must be (n_images, n) and not empty, got shape {tuple(x.shape)}")
        if x.dtype not in (torch.float32, torch.float64) or x.dtype != activations.dtype:
            found = f"{image_concept_sims.dtype} and {activations.dtype}"
            raise TypeError(f"image_concept_sims and activations must both be float32 or both float64, got {found}")
        if not torch.stack(torch.aminmax(x)).isfinite().all():  # NaN is both minimum and maximum
            columns = (~torch.isfinite(x)).any(dim=0).nonzero().flatten().tolist()
            shown = ", ".join(map(str, columns[:5]))
            raise ValueError(f"{name} holds NaN or infinite values in {len(columns)} of {x.shape[1]} columns: {shown}")
    n_images = activations.shape[0]
    if image_concept_sims.shape[0] != n_images:
        raise ValueError(f"image_concept_sims has {image_concept_sims.shape[0]} images, activations {n_images}")
    if top_k is not None and top_k > n_images:
        raise ValueError(f"top_k={top_k} exceeds the {n_images} probe images; lower top_k")


@validated(top_k=AT_LEAST_ONE)
def top_images(activations: Tensor, top_k: int) -> Tensor:
    """Positions of each neuron's strongest images, (n_neurons, top_k), strongest first; of tied images the earlier one."""
    if top_k > len(activations):
        raise ValueError(f"top_k={top_k} exceeds the {len(activations)} probe images; lower top_k")
    by_neuron = activations.detach().T.contiguous()
    ranked = _partition if by_neuron.device.type == "cpu" else _select
    return torch.cat([ranked(part, top_k) for part in by_neuron.split(NEURONS_AT_A_TIME)])


@validated()
def nameable(activations: Tensor) -> tuple[Tensor, Tensor]:
    """(n_neurons,) bool, twice: whose activations are all finite; and which of these are constant up to rounding."""
    return nameable_between(*activations.aminmax(dim=0))


@validated()
def nameable_between(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """`nameable` of the neurons' smallest and largest activations (n_neurons,), NaN where one of them is."""
    finite = low.isfinite() & high.isfinite()
    rounding = 4 * torch.finfo(low.dtype).eps * torch.maximum(low.abs(), high.abs())
    return finite, finite & (high - low <= rounding)


@validated(top_k=AT_LEAST_ONE)
def tied_neurons(activations: Tensor, top_k: int) -> Tensor:
    """(n_neurons,) bool: the choice of this neuron's top images was arbitrary.

    True where the weakest top activation equals the strongest one left out, as with a rectified neuron that responds to
    fewer than top_k images.
    """
    weakest = activations.gather(0, top_images(activations, top_k)[:, -1:].T)
    return (activations >= weakest).sum(dim=0) > top_k


def _partition(by_neuron: Tensor, top_k: int) -> Tensor:
    """`top_images` of activations (n_neurons, n_images) on the processor; three times as fast as a sort."""
    part = np.argpartition(by_neuron.numpy(), -top_k, axis=1)[:, -top_k:]
    part.sort(axis=1)  # into image order, which the stable sort below keeps among equals
    strongest = torch.from_numpy(part)
    values = by_neuron.gather(1, strongest)
    order = strongest.gather(1, values.argsort(dim=1, descending=True, stable=True))
    unsettled = (by_neuron >= values.amin(dim=1, keepdim=True)).sum(dim=1) > top_k  # the last places are tied
    if unsettled.any():
        order[unsettled] = _sort(by_neuron[unsettled], top_k)
    return order


def _select(by_neuron: Tensor, top_k: int) -> Tensor:
    """The same on a GPU: no image that is not among the strongest is sorted, and nothing is fetched from the device."""
    weakest = by_neuron.topk(top_k, dim=1).values[:, -1:]
    above, equal = by_neuron > weakest, by_neuron == weakest
    room = top_k - above.sum(dim=1, keepdim=True)
    chosen = above | (equal & (equal.cumsum(dim=1) <= room))  # of tied images the earlier ones
    place = torch.arange(by_neuron.shape[1], device=by_neuron.device).where(chosen, by_neuron.shape[1])
    strongest = place.topk(top_k, dim=1, largest=False, sorted=True).values  # in image order, which the sort keeps among equals
    return strongest.gather(1, by_neuron.gather(1, strongest).argsort(dim=1, descending=True, stable=True))


def _sort(by_neuron: Tensor, top_k: int) -> Tensor:
    """The same by sorting everything."""
    return by_neuron.argsort(dim=1, descending=True, stable=True)[:, :top_k]
