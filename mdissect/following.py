"""Labelling rules of the whole probe: which concept's similarities rise where the neuron's activations do.

Beside them two rules of the top images, `contrastive` and `top_auc`. All are pure functions as in `mdissect.similarity`, which
hands them on: ``image_concept_sims`` (n_images, n_concepts) and ``activations`` (n_images, n_neurons) give (n_neurons,
n_concepts), higher = closer, on the device and in the type of the inputs. They compute in float64; the first two hang on no
order of the images and count activations that are equal up to rounding as tied. `tests/benchmark_labels.py` compares them with
the published ones.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from mdissect.arguments import AT_LEAST_ONE
from mdissect.rankings import check_inputs, nameable, top_images
from mdissect.signatures import validated

SAME = 4e-6  # of the spread and of their size: activations that differ by less are tied, as rounding may part them
FLAT = 1e-6  # cosines in float32 that vary by less over the probe are constant
LIMIT = 5.0  # standard deviations above which a concept's rise counts no more: stray similarities have long tails
TURN = 6.0  # squared mean absolute deviations, four variances of a normal distribution: from there on weights grow slowly
FAINT = 1 / 3  # of the median spread of a concept: see `rising`
NEURONS_AT_A_TIME = 256  # whose weights are held together


@validated()
def rising(image_concept_sims: Tensor, activations: Tensor) -> Tensor:
    """How closely a concept's rises over the probe go with the neuron's: the rule of the calibrated labels.

    >>> sims, acts = torch.randn(300, 57), torch.randn(300, 41)
    >>> rising(sims, acts).shape
    torch.Size([41, 57])

    With ``rise(x) = max(x - mean(x), 0)`` over images, z the standardisation, sd_c the spread of a concept's similarities and
    m_k the mean absolute deviation of a neuron's activations::

        s[i, k] = z( log(1 + (rise(A[i, k]) / m_k)^2 / 6) )        h[i, c] = z( min(rise(P[i, c]) / sd_c, 5)^2 )
        similarity[k, c] = mean_i s[i, k] h[i, c] * sd_c / (sd_c + median(sd) / 3)

    A correlation, so in [-1, 1]; no image is cut off and there is no top_k. What lies below the mean counts alike: how little a
    neuron or a concept is there says nothing about what it is there for. The weight of an activation is that of Student's t, a
    square of its rise that turns into a logarithm from about twice the spread on: neurons have long tails. So have
    similarities that stray, hence their limit. The last factor doubts concepts whose similarities hardly vary beside the
    others', about which the dissector has little to say (after the fudge factor for genes of Tusher et al., PNAS 98, 2001).

    Returns
    -------
    (n_neurons, n_concepts) float
        0 for a neuron or concept that is constant.

    Raises
    ------
    ValueError, TypeError
        As `mdissect.similarity.soft_wpmi`.
    """
    check_inputs(image_concept_sims, activations)
    sims = _exact(image_concept_sims)
    spread = sims.std(dim=0, correction=0)
    known = spread > FLAT
    doubt = spread / (spread + FAINT * spread[known].median()) if known.any() else spread
    rises = _standardised(_rise(sims).clamp(max=LIMIT) ** 2, known) * doubt
    return _correlated(rises, activations, _long_tailed)


@validated()
def following(image_concept_sims: Tensor, activations: Tensor) -> Tensor:
    """Correlation of a concept's similarities with the neuron's top-weighted activations over the whole probe.

    >>> sims, acts = torch.randn(300, 57), torch.randn(300, 41)
    >>> following(sims, acts).abs().max() <= 1
    tensor(True)

    With z the standardisation over images and u the share of images at or above one, ``u = (n - rank + 1/2) / n`` for rank 1
    the weakest::

        s[i, k] = z( z(max(z(A[i, k]), 0)^2) / 2 + z(log(u[i, k])^2) / 2 )
        similarity[k, c] = mean_i s[i, k] z(P[i, c])

    Half the weight of an image is the square of its rise above the mean, half the square of Savage's score of its rank, so that
    strong images count most and none is cut off: no top_k. Ties share their mean rank, so that a rectified neuron's zeros count
    alike. (The trial beside issue 14 calls it "rs x z".)

    Returns
    -------
    (n_neurons, n_concepts) float
        In [-1, 1]; 0 for a neuron or concept that is constant.

    Raises
    ------
    ValueError, TypeError
        As `mdissect.similarity.soft_wpmi`.
    """
    check_inputs(image_concept_sims, activations)
    sims = _exact(image_concept_sims)
    z = _standardised(sims, sims.std(dim=0, correction=0) > FLAT)
    return _correlated(z, activations, top_weights)


@validated()
def top_weights(activations: Tensor, ranks: Tensor | None = None) -> Tensor:
    """How much an image counts for a neuron by `following`, (n_images, n_neurons), not yet standardised.

    `ranks` (n_images, n_neurons) are the activations' `mean_ranks`, where they are known.
    """
    n, ranks = len(activations), mean_ranks(activations) if ranks is None else ranks
    return _standardised(_rise(activations) ** 2) + _standardised(torch.log((n - ranks + 0.5) / n) ** 2)


@validated(top_k=AT_LEAST_ONE)
def contrastive(image_concept_sims: Tensor, activations: Tensor, top_k: int = 100) -> Tensor:
    """By how much a concept's similarity is higher on the neuron's top images than on the probe, in units of cosine.

    ``mean_{i in top} P[i, c] - mean_i P[i, c]``: the scalar product of the concept's embedding with the mean embedding of the
    top images minus the mean embedding of the probe. (Divided by the length of that difference, one number per neuron, it
    would be the cosine, with the same labels.) The contrastive form of SemanticLens' score (Dreyer et al., 2025), which is the
    cosine with the mean embedding of the top images.
    Shapes and errors as in `mdissect.similarity.soft_wpmi`.
    """
    check_inputs(image_concept_sims, activations, top_k)
    sims = _exact(image_concept_sims)
    of_top = torch.cat([part @ sims for part in _shares_of_top(sims, activations, top_k)])
    return (of_top - sims.mean(dim=0)).to(activations)


@validated(top_k=AT_LEAST_ONE)
def top_auc(image_concept_sims: Tensor, activations: Tensor, top_k: int = 100) -> Tensor:
    """Area under the ROC curve of a concept's similarities for the neuron's top images against all others; ties count half.

    How surely a top image is more similar to the concept than another image is; 0.5 by chance. As INVERT (Bykov et al., NeurIPS
    2023) with the roles exchanged. Shapes and errors as in `mdissect.similarity.soft_wpmi`; ValueError too where no other
    image is left.
    """
    check_inputs(image_concept_sims, activations, top_k)
    if top_k >= (n := len(activations)):
        raise ValueError(f"top_k={top_k} leaves none of the {n} probe images to compare the top images with; lower top_k")
    ranks = mean_ranks(_exact(image_concept_sims), exact=True)
    mean_rank = torch.cat([part @ ranks for part in _shares_of_top(ranks, activations, top_k)])
    return ((mean_rank - (top_k + 1) / 2) / (n - top_k)).to(activations)


def _correlated(concepts: Tensor, activations: Tensor, weigh: Callable[[Tensor], Tensor]) -> Tensor:
    """(n_neurons, n_concepts): mean over images of the standardised weights of activations times concepts, block by block."""
    finite, constant = nameable(activations)
    usable = (finite & ~constant).to(concepts.device)
    parts = []
    for part, alive in zip(activations.split(NEURONS_AT_A_TIME, dim=1), usable.split(NEURONS_AT_A_TIME), strict=True):
        weights = _standardised(weigh(_exact(part.detach())), alive)
        parts.append((weights.T @ concepts / len(concepts)).to(activations))
    return torch.cat(parts)


def _exact(x: Tensor) -> Tensor:
    """In float64; on the processor where the device has none."""
    return (x.cpu() if x.device.type == "mps" else x).detach().double()


def _standardised(x: Tensor, known: Tensor | None = None) -> Tensor:
    """Mean 0 and standard deviation 1 over images; 0 where a column is constant or not among the `known` (n,) bool."""
    x = x - x.mean(dim=0)
    spread = x.square().mean(dim=0).sqrt()
    x /= spread.where(spread > 0, 1.0)
    return x if known is None else x * known


def _rise(x: Tensor) -> Tensor:
    """How many standard deviations above the mean, 0 below."""
    return _standardised(x).clamp_(min=0)


def _long_tailed(activations: Tensor) -> Tensor:
    """The weights of `rising`, (n_images, n_neurons), not yet standardised."""
    rise = activations - activations.mean(dim=0)
    spread = rise.abs().mean(dim=0)
    rise = rise.clamp_(min=0) / spread.where(spread > 0, 1.0)
    return torch.log1p(rise.square_() / TURN)


@validated()
def mean_ranks(x: Tensor, exact: bool = False) -> Tensor:
    """Ranks over images (n_images, n), 1 = weakest; ties, up to rounding unless `exact`, share their mean rank."""
    rows = x.T.contiguous()
    sorts_faster = rows.device.type == "cpu"
    order = torch.from_numpy(np.argsort(rows.numpy(), axis=1)) if sorts_faster else rows.argsort(dim=1)
    ordered = rows.gather(1, order)
    allowed = 0.0 if exact else SAME * (x.std(dim=0, correction=0)[:, None] + ordered[:, 1:].abs())
    apart = torch.ones_like(order, dtype=torch.bool)
    torch.gt(ordered[:, 1:] - ordered[:, :-1], allowed, out=apart[:, 1:])
    place = torch.arange(len(x), device=x.device).expand_as(order)
    first = place.where(apart, 0).cummax(dim=1).values
    last = place.where(apart.roll(-1, dims=1), len(x) - 1).flip(1).cummin(dim=1).values.flip(1)  # before the next group
    return torch.empty_like(rows).scatter_(1, order, (first + last).to(rows.dtype) / 2 + 1).T


def _shares_of_top(sims: Tensor, activations: Tensor, top_k: int) -> Iterator[Tensor]:
    """Blocks of (n_neurons, n_images): 1 / top_k for a neuron's top images, 0 for others."""
    for order in top_images(activations, top_k).to(sims.device).split(NEURONS_AT_A_TIME):
        yield sims.new_zeros(len(order), len(sims)).scatter_(1, order, 1 / top_k)
