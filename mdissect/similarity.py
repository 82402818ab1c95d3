"""How well a concept matches a neuron: SoftWPMI and other similarity measures.

Pure functions of two tensors: ``image_concept_sims`` (n_images, n_concepts), the dissector's cosine similarities (P in the
paper), and ``activations`` (n_images, n_neurons). Each returns ``similarity`` (n_neurons, n_concepts), higher = closer, on
the device and in the type of its inputs. `SIMILARITIES` names them all: those published with CLIP-Dissect stand here, the
others in `mdissect.following`. Sums of logarithms are taken in float64, and of tied activations the earlier image
counts as the stronger, so that the same inputs give the same labels on every processor. Sources: Oikarinen & Weng,
CLIP-Dissect, ICLR 2023 (section 4.2 and appendix); equation 1 of arXiv 2509.21102.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import partial

import torch
from torch import Tensor

from mdissect.arguments import AT_LEAST_ONE, NOT_NEGATIVE, POSITIVE, SHARE, number
from mdissect.following import contrastive, following, rising, top_auc
from mdissect.rankings import check_inputs, nameable, tied_neurons, top_images  # noqa: F401 (read from here)
from mdissect.signatures import validated

BLOCK_BYTES = 4 << 20  # what one block of neurons may gather: fits the processor's cache, which is what makes it fast
GPU_BLOCK_BYTES = 256 << 20
MOST_FOLDS = 5  # two to that power factors are multiplied before a logarithm is taken
SAME_SIMS = 1e-6  # cosines in float32 that differ by less are equal
FEW_IMAGES = 64


_PROBABILITY, _FLOOR = partial(number, least=0, most=1), partial(number, least=0, below=1)
_OPTIONS = {"a": POSITIVE, "lam": NOT_NEGATIVE, "p_start": _PROBABILITY, "p_end": _PROBABILITY, "min_prob": _FLOOR}


@dataclass(frozen=True)
class SoftWPMIOptions:
    """The options of `soft_wpmi` except top_k, with their defaults.

    >>> SoftWPMIOptions.of({"similarity": "soft_wpmi", "top_k": 50, "lam": 0.5})
    SoftWPMIOptions(a=10.0, lam=0.5, p_start=0.998, p_end=0.97, min_prob=1e-07)
    """

    a: float = 10.0
    lam: float = 1.0
    p_start: float = 0.998
    p_end: float = 0.97
    min_prob: float = 1e-7

    def __post_init__(self):
        for field in fields(self):
            object.__setattr__(self, field.name, _OPTIONS[field.name](field.name, getattr(self, field.name)))

    @classmethod
    def of(cls, settings: Mapping) -> "SoftWPMIOptions":
        """Those among a dissection's settings; the default where one is missing."""
        return cls(**{field.name: settings[field.name] for field in fields(cls) if field.name in settings})


DEFAULTS = SoftWPMIOptions()


@validated(top_k=AT_LEAST_ONE, **_OPTIONS)
def soft_wpmi(
    image_concept_sims: Tensor,
    activations: Tensor,
    top_k: int = 100,
    a: float = DEFAULTS.a,
    lam: float = DEFAULTS.lam,
    p_start: float = DEFAULTS.p_start,
    p_end: float = DEFAULTS.p_end,
    min_prob: float = DEFAULTS.min_prob,
) -> Tensor:
    """Soft weighted pointwise mutual information of every neuron with every concept.

    >>> sims, acts = torch.randn(300, 57), torch.randn(300, 41)
    >>> soft_wpmi(sims, acts).shape
    torch.Size([41, 57])

    With ``p = softmax(a * image_concept_sims)`` over concepts, the images i_0, i_1, ... of neuron k in falling activation
    and the rank weights ``w_r = p_start - (r / top_k) * (p_start - p_end)``::

        L[k, m] = sum_r log(1 + w_r * (p[i_r, m] - 1) + min_prob)        r < top_k
        prior[m] = logsumexp_k L[k, m] - log(n_neurons)
        similarity = L - lam * prior

    Parameters
    ----------
    image_concept_sims : (n_images, n_concepts) float32 or float64
    activations : (n_images, n_neurons), of the same type
        Must be finite. Of tied activations the earlier image counts as the stronger: an arbitrary choice, see `tied_neurons`.
    top_k : int
        Top images per neuron; at most n_images.
    a : float
        Sharpness of the softmax over concepts.
    lam : float
        Weight of the prior (lambda of equation 1).
    p_start, p_end : float
        Probability that the strongest, and the one after the last, of the top images belong to the neuron; in [0, 1].
    min_prob : float
        Keeps the logarithm finite.

    Returns
    -------
    (n_neurons, n_concepts) float

    Notes
    -----
    What bounds the time is memory traffic, in float32: p is read once for each of a neuron's top images, activations once for
    the choice of these, and the result is written in float64, read for the prior and written again::

        bytes = 4 n_neurons top_k n_concepts  +  4 n_images (n_neurons + 2 n_concepts)  +  28 n_neurons n_concepts

    2,048 neurons, top 100, 763 concepts and 4,096 images are 0.73 GB: 0.22 ms on a GPU of 3.35 TB/s (an H100's data sheet; not
    measured), 36 ms at 20 GB/s. Products are taken in place in blocks that fit the cache, so that nothing of size (n_neurons,
    top_k, n_concepts) is ever written to memory. tests/benchmark_stages.py measures the ratio to this floor.

    Raises
    ------
    ValueError
        Shapes that do not fit, NaN or infinite values, top_k or a probability out of range.
    TypeError
        Another type than float32 or float64, or one of each.
    """
    options = SoftWPMIOptions(a, lam, p_start, p_end, min_prob)
    return subtract_prior(log_likelihood(image_concept_sims, activations, top_k, options), lam).to(activations)


@validated(top_k=AT_LEAST_ONE)
def log_likelihood(
    image_concept_sims: Tensor, activations: Tensor, top_k: int = 100, options: SoftWPMIOptions = DEFAULTS
) -> Tensor:
    """L of `soft_wpmi`, (n_neurons, n_concepts) float64: the evidence before the prior over neurons is subtracted."""
    check_inputs(image_concept_sims, activations, top_k)
    return likelihood_of(image_concept_sims, top_images(activations, top_k), options)


@validated()
def likelihood_of(image_concept_sims: Tensor, order: Tensor, options: SoftWPMIOptions = DEFAULTS) -> Tensor:
    """`log_likelihood` of neurons whose top images (n_neurons, top_k) are known, positions in the rows of the similarities."""
    p_start, p_end, top_k = options.p_start, options.p_end, order.shape[1]
    p = concept_probabilities(image_concept_sims, options.a)
    w = p_start - torch.arange(top_k, device=p.device, dtype=p.dtype) / top_k * (p_start - p_end)
    single = image_concept_sims.dtype == torch.float32
    return _sum_of_logs(p, order, w, floor=1 - w + options.min_prob, single=single)


@validated(top_k=AT_LEAST_ONE, a=POSITIVE, lam=NOT_NEGATIVE, min_prob=_FLOOR)
def wpmi(
    image_concept_sims: Tensor,
    activations: Tensor,
    top_k: int = 28,
    a: float = 2.0,
    lam: float = 0.6,
    min_prob: float = DEFAULTS.min_prob,
) -> Tensor:
    """Weighted pointwise mutual information: `soft_wpmi` with every top image at full weight.

    ``L[k, m] = sum_r log(p[i_r, m] + min_prob)``; shapes, errors and prior as in `soft_wpmi`.
    """
    check_inputs(image_concept_sims, activations, top_k)
    likelihood = weighted_logs(image_concept_sims, top_images(activations, top_k), a, min_prob)
    return subtract_prior(likelihood, lam).to(activations)


@validated(a=POSITIVE, min_prob=_FLOOR)
def weighted_logs(image_concept_sims: Tensor, order: Tensor, a: float = 2.0, min_prob: float = DEFAULTS.min_prob) -> Tensor:
    """L of `wpmi`, (n_neurons, n_concepts) float64, of top images (n_neurons, top_k) as in `likelihood_of`."""
    p = concept_probabilities(image_concept_sims, a)
    ones = torch.ones(order.shape[1], device=p.device, dtype=p.dtype)
    return _sum_of_logs(p, order, ones, ones * min_prob, image_concept_sims.dtype == torch.float32)


@validated()
def cos_similarity(image_concept_sims: Tensor, activations: Tensor) -> Tensor:
    """Cosine between a neuron's activations and a concept's similarities over the probe, without centring.

    Shapes and errors as in `soft_wpmi`; a neuron or concept that is zero throughout gets 0.
    """
    check_inputs(image_concept_sims, activations)
    return _unit(activations).T @ _unit(image_concept_sims)


@validated()
def cos_similarity_cubed(image_concept_sims: Tensor, activations: Tensor) -> Tensor:
    """Cosine after centring over the probe and cubing, which lets the strongest images decide.

    Shapes and errors as in `soft_wpmi`; a constant neuron or concept gets 0.
    """
    check_inputs(image_concept_sims, activations)
    return _unit(_centred(activations) ** 3).T @ _unit(_centred(image_concept_sims) ** 3)


@validated(top_fraction=SHARE, p=POSITIVE)
def rank_reorder(
    image_concept_sims: Tensor, activations: Tensor, top_fraction: float = 0.05, p: float = 3.0, scale_p: float = 0.5
) -> Tensor:
    """Rank agreement: the smaller the loss when a neuron's top activations are sorted by a concept's similarities, the higher.

    The error is the mean of |activation - reordered activation|^p over the neuron's top images, divided by what a random
    order would lose (its exact expectation; CLIP-Dissect draws five orders) and by the concept's mean similarity on those
    images to the power scale_p; the similarity is minus that. Shapes and errors as in `soft_wpmi`; a neuron whose top
    activations are all equal gets -inf.
    """
    check_inputs(image_concept_sims, activations)
    n_images, n_neurons = activations.shape
    top_k = reordered_images(n_images, top_fraction)
    order = top_images(activations, top_k)
    result = activations.new_empty(n_neurons, image_concept_sims.shape[1])
    for start in range(0, n_neurons, step := _block(image_concept_sims, 4 * top_k)):
        block = order[start : start + step]  # (block, top_k)
        target = activations.T[start : start + step].gather(1, block)  # (block, top_k), falling
        result[start : start + step] = rank_agreement(image_concept_sims[block], target, p, scale_p)
    return result


@validated(top_fraction=SHARE)
def reordered_images(n_images: int, top_fraction: float = 0.05) -> int:
    """How many top images `rank_reorder` reorders; ValueError where that is not at least two of the probe's."""
    if not 2 <= (top_k := max(2, int(n_images * top_fraction))) <= n_images:
        raise ValueError(f"top_fraction={top_fraction} of {n_images} probe images is not 2 to {n_images} images to reorder")
    return top_k


@validated(p=POSITIVE)
def rank_agreement(sims: Tensor, target: Tensor, p: float = 3.0, scale_p: float = 0.5) -> Tensor:
    """`rank_reorder` (n_neurons, n_concepts) of the similarities (n_neurons, top_k, n_concepts) and activations of top images.

    `target` (n_neurons, top_k) are the activations, falling.
    """
    rank = sims.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    reordered = target[:, :, None].expand_as(sims).gather(1, rank)
    error = (target[:, :, None] - reordered).abs().pow(p).mean(dim=1)
    chance = (target[:, :, None] - target[:, None, :]).abs().pow(p).mean(dim=(1, 2))
    scale = sims.mean(dim=1).clamp(min=1e-6).pow(scale_p)
    return torch.where(chance[:, None] > 0, -error / chance[:, None] / scale, -torch.inf)


PUBLISHED = (soft_wpmi, wpmi, cos_similarity, cos_similarity_cubed, rank_reorder)
SIMILARITIES: dict[str, Callable[..., Tensor]] = {f.__name__: f for f in (*PUBLISHED, contrastive, top_auc, following, rising)}


@validated(a=POSITIVE)
def concept_probabilities(image_concept_sims: Tensor, a: float) -> Tensor:
    """``softmax(a * image_concept_sims)`` over concepts, (n_images, n_concepts) float64."""
    exact = image_concept_sims.cpu() if image_concept_sims.device.type == "mps" else image_concept_sims  # has no float64
    return torch.softmax(a * exact.double(), dim=1)


@validated(lam=NOT_NEGATIVE)
def subtract_prior(likelihood: Tensor, lam: float) -> Tensor:
    """``L - lam * (logsumexp over neurons of L - log n_neurons)``, (n_neurons, n_concepts) as the input."""
    prior = torch.logsumexp(likelihood, dim=0) - torch.log(likelihood.new_tensor(likelihood.shape[0]))
    return likelihood - lam * prior


@validated()
def has_contrast(image_concept_sims: Tensor) -> bool:
    """Whether the similarities (n_images, n_concepts) of any concept rise and fall over the images unlike those of others.

    Where each is the sum of one number per image and one per concept, up to rounding, the images say nothing about concepts:
    `concept_probabilities` are the same for every image, and which concept names a neuron is settled by rounding.
    """
    if min(image_concept_sims.shape) == 1:  # a single concept has no other to compare with
        return True
    if len(image_concept_sims) > FEW_IMAGES and has_contrast(image_concept_sims[:FEW_IMAGES]):
        return True  # as a rule: spares the copies of a large table
    sims = image_concept_sims.double() if image_concept_sims.device.type != "mps" else image_concept_sims
    over_images = sims - sims.mean(dim=0)
    return bool((over_images - over_images.mean(dim=1, keepdim=True)).abs().max() > SAME_SIMS)


def _sum_of_logs(p: Tensor, order: Tensor, w: Tensor, floor: Tensor, single: bool) -> Tensor:
    """``sum_r log(floor_r + w_r * p[order[k, r], m])``, (n_neurons, n_concepts).

    Logarithms are dear, so as many factors as cannot underflow are multiplied first (8 with the default weights), block by
    block of neurons so that what is gathered stays in the cache. `single`: these few factors are multiplied in float32, twice
    as fast and within 1e-6 of the sum; their logarithms are added in float64 all the same.
    """
    if single:
        p, w, floor = p.float(), w.float(), floor.float()
    order = order.to(p.device)
    n_neurons, top_k = order.shape
    folds, smallest = 0, float(floor.min())
    while folds < MOST_FOLDS and smallest ** (2 ** (folds + 1)) > torch.finfo(p.dtype).tiny * 1e4:
        folds += 1
    spare = -top_k % 2**folds  # ranks of weight 0, factor 1, so that the factors pair up
    order = torch.nn.functional.pad(order, (0, spare))
    w = torch.nn.functional.pad(w, (0, spare))[:, None]
    floor = torch.nn.functional.pad(floor, (0, spare), value=1.0)[:, None]
    result = p.new_empty(n_neurons, p.shape[1], dtype=torch.float64)
    for start in range(0, n_neurons, step := _block(p, top_k)):
        block = order[start : start + step]
        x = p.index_select(0, block.reshape(-1)).view(*block.shape, -1)
        x.mul_(w).add_(floor)
        for _ in range(folds):
            half = x.shape[1] // 2
            x = x[:, :half].mul_(x[:, half:])
        torch.sum(x.double().log_(), dim=1, out=result[start : start + step])
    return result


def _block(p: Tensor, rows: int) -> int:
    """How many neurons' gathered (rows, n_concepts) similarities fit one block."""
    allowed = BLOCK_BYTES if p.device.type == "cpu" else GPU_BLOCK_BYTES
    return max(1, allowed // (rows * p.shape[1] * p.element_size()))


def _unit(x: Tensor) -> Tensor:
    return torch.nn.functional.normalize(x, dim=0)


def _centred(x: Tensor) -> Tensor:
    return x - x.mean(dim=0, keepdim=True)
