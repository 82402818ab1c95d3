"""The rules of `mdissect.similarity` for activations and embeddings that are read in blocks.

Rules of top images need one pass over the activations, and the embeddings of these images. `cos_similarity`,
`cos_similarity_cubed` and `rising` are sums over images of what one image's numbers give, once means and spreads are known: two
or three passes. `following` ranks all images of a neuron and reads blocks of neurons. `rank_reorder` does so too, and holds as
much again as the square of a neuron's top images: beyond that it is an error.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from mdissect.following import FAINT, FLAT, LIMIT, TURN, top_weights
from mdissect.metrics import TopImages
from mdissect.rankings import nameable_between, top_images
from mdissect.signatures import validated
from mdissect.similarity import (
    DEFAULTS,
    SIMILARITIES,
    SoftWPMIOptions,
    likelihood_of,
    rank_agreement,
    reordered_images,
    subtract_prior,
    weighted_logs,
)
from mdissect.streaming.rows import Rows
from mdissect.streaming.scratch import column_blocks
from mdissect.streaming.sims import Sims
from mdissect.streaming.sums import Moments
from mdissect.streaming.top import RunningTop

NEURONS_AT_A_TIME = 256  # whose weights are computed together
RANKING_BYTES = 120  # that ranking the images of a neuron takes, for each
SMALLEST_NORM = 1e-12  # that a cosine divides by


@dataclass(frozen=True)
class Layer:
    """A layer's activations (n_images, n_neurons), and what one pass over them shows; made by `survey`.

    `finite`, `constant` (n_neurons,) bool are those of `mdissect.rankings.nameable`; `mean` (n_neurons,) float64; `top` the
    strongest images in the order of the probe, `mixed` in another order, None where not asked for.
    """

    activations: Rows
    finite: Tensor
    constant: Tensor
    mean: Tensor
    top: RunningTop | None
    mixed: RunningTop | None

    @property
    def neurons(self) -> np.ndarray:
        """Those that can be named."""
        return (self.finite & ~self.constant).nonzero().flatten().numpy()

    def top_images(self, keep: int) -> TopImages:
        """The strongest images of every neuron; the first of those without a number come last."""
        images, activations = self.top.images[:, :keep].copy(), self.top.activations[:, :keep].copy()
        known = images < len(self.activations)
        for neuron in np.flatnonzero(~known.all(axis=1)):
            own = known[neuron]
            others = np.setdiff1d(np.arange(min(len(self.activations), 2 * keep)), images[neuron, own])
            images[neuron, ~own], activations[neuron, ~own] = others[: (~own).sum()], np.nan
        return TopImages(images, activations)


@validated()
def survey(activations: Rows, size: int, top_k: int = 0, mixed_k: int = 0, places: np.ndarray | None = None) -> Layer:
    """Read all activations once, in blocks of `size` images.

    `top_k` images are found in the order of the probe, `mixed_k` in that of `places` (n_images,) int.
    """
    n_images, n_neurons = activations.shape
    low, high = torch.full((n_neurons,), torch.inf), torch.full((n_neurons,), -torch.inf)
    total = torch.zeros(n_neurons, dtype=torch.float64)
    top = RunningTop(n_neurons, top_k) if top_k else None
    mixed = RunningTop(n_neurons, mixed_k) if mixed_k else None
    for start, block in activations.blocks(size):
        values = torch.from_numpy(block)
        least, most = values.aminmax(dim=0)
        low, high = torch.minimum(low, least), torch.maximum(high, most)
        total += values.sum(dim=0, dtype=torch.float64)
        if top:
            top.add(block, np.arange(start, start + len(block)))
        if mixed:
            mixed.add(block, places[start : start + len(block)])
    return Layer(activations, *nameable_between(low, high), total / n_images, top, mixed)


@dataclass(frozen=True)
class Streamed:
    """Scores of layers from a probe's similarities.

    >>> Streamed(Sims(Rows(image_embeddings), text_embeddings, memory)).scores(Rows(activations), "rising")    # doctest: +SKIP
    """

    sims: Sims

    @validated(rule=SIMILARITIES)
    def scores(
        self, activations: Rows, rule: str = "soft_wpmi", options: Mapping | None = None, keep: int = 0
    ) -> tuple[np.ndarray, np.ndarray, TopImages | None]:
        """Similarity (n_neurons, n_concepts) float32, notes (n_neurons,), and the `keep` strongest images of each neuron.

        ValueError for a rule that cannot be computed within the memory.
        """
        options, n_images = dict(options or {}), len(self.sims)
        if rule == "rank_reorder":
            check_reordering(self.sims, options.get("top_fraction", 0.05))
        top_k = options.get("top_k", 0)
        found = min(max(top_k + 1 if top_k else 0, keep), n_images)  # one more tells whether the last place is tied
        layer = survey(activations, self.sims.rows_at_once(activations.shape[1]), found)
        neurons = layer.neurons
        scores = np.full((activations.shape[1], self.sims.shape[1]), np.nan, dtype=np.float32)
        notes = np.full(len(scores), "", dtype=object)
        notes[~layer.finite.numpy()], notes[layer.constant.numpy()] = "not finite", "constant"
        if len(neurons):
            values = self.of_layer(layer, rule, options)
            known = values.isfinite()
            tied = layer.top.tied(top_k)[neurons] if top_k else ~known.all(dim=1).numpy()
            scores[neurons] = values.where(known, torch.nan).float().numpy()
            notes[neurons[tied]] = "tied"
        return scores, notes, layer.top_images(min(keep, n_images)) if keep else None

    @validated(rule=SIMILARITIES)
    def of_layer(self, layer: Layer, rule: str, options: Mapping) -> Tensor:
        """(n_usable, n_concepts) float64 for the neurons of a layer that can be named, by `rule` and its options."""
        return RULES[rule](self.sims, layer, **options)


def _soft_wpmi(sims: Sims, layer: Layer, top_k: int = 100, lam: float = DEFAULTS.lam, **options: float) -> Tensor:
    likelihood = partial(likelihood_of, options=SoftWPMIOptions(lam=lam, **options))
    return subtract_prior(_of_top(sims, layer.top.order(layer.neurons, top_k), likelihood), lam)


def _wpmi(sims: Sims, layer: Layer, top_k: int = 28, lam: float = 0.6, **options: float) -> Tensor:
    return subtract_prior(_of_top(sims, layer.top.order(layer.neurons, top_k), partial(weighted_logs, **options)), lam)


def _contrastive(sims: Sims, layer: Layer, top_k: int = 100) -> Tensor:
    of_top = _of_top(sims, layer.top.order(layer.neurons, top_k), lambda known, rows: known.double()[rows].mean(dim=1))
    return of_top - sims.moments.mean


@validated()
def likelihoods(sims: Sims, order: Tensor, options: SoftWPMIOptions) -> Tensor:
    """`mdissect.similarity.log_likelihood` of neurons with these top images (n_neurons, top_k)."""
    return _of_top(sims, order, partial(likelihood_of, options=options))


def _of_top(sims: Sims, order: Tensor, compute: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """(n_neurons, n_concepts) float64, computed of the top images' similarities and which row is which image."""
    found = torch.empty(len(order), sims.shape[1], dtype=torch.float64)
    for place, known, rows in sims.of(order):
        found[place] = compute(known, rows)
    return found


def _top_auc(sims: Sims, layer: Layer, top_k: int = 100) -> Tensor:
    """All images of a block of concepts are sorted; the ranks of top images are looked up."""
    n = len(sims)
    if top_k >= n:
        raise ValueError(f"top_k={top_k} leaves none of the {n} probe images to compare the top images with; lower top_k")
    order = layer.top.order(layer.neurons, top_k).numpy()
    mean_rank = torch.empty(len(order), sims.shape[1], dtype=torch.float64)
    width = max(1, sims.memory // 4 // (12 * n))
    for first in range(0, sims.shape[1], width):
        known = np.empty((min(width, sims.shape[1] - first), n), dtype=np.float32)
        texts = sims.texts[first : first + width]
        for start, embeddings in sims.embeddings.blocks(sims.rows_at_once()):
            known[:, start : start + len(embeddings)] = (torch.from_numpy(embeddings) @ texts.T).T.numpy()
        for concept, values in enumerate(known, start=first):
            ranked, own = np.sort(values), values[order]
            ranks = np.searchsorted(ranked, own) + np.searchsorted(ranked, own, side="right") + 1
            mean_rank[:, concept] = torch.from_numpy(ranks.mean(axis=1) / 2)
    return (mean_rank - (top_k + 1) / 2) / (n - top_k)


def _cosine(sims: Sims, layer: Layer) -> Tensor:
    neurons = layer.neurons
    products = torch.zeros(len(neurons), sims.embeddings.shape[1], dtype=torch.float64)
    of_neurons, of_concepts = torch.zeros(len(neurons)).double(), torch.zeros(sims.shape[1]).double()
    for block, embeddings, known in _together(sims, layer):
        of_concepts += known.double().square_().sum(dim=0)
        for place, part in _parts(block, neurons):
            products[place] += part.T @ embeddings.double()
            of_neurons[place] += part.square().sum(dim=0)
    return products @ sims.texts.double().T / _norms(of_neurons)[:, None] / _norms(of_concepts)


def _cosine_cubed(sims: Sims, layer: Layer) -> Tensor:
    neurons, mean = layer.neurons, layer.mean
    products = torch.zeros(len(neurons), sims.shape[1], dtype=torch.float64)
    of_neurons, of_concepts = torch.zeros(len(neurons)).double(), torch.zeros(sims.shape[1]).double()
    for block, _, known in _together(sims, layer):
        cubed = (known.double() - sims.moments.mean) ** 3
        of_concepts += cubed.square().sum(dim=0)
        for place, part in _parts(block, neurons):
            part = (part - mean[neurons[place]]) ** 3
            products[place] += part.T @ cubed
            of_neurons[place] += part.square().sum(dim=0)
    return products / _norms(of_neurons)[:, None] / _norms(of_concepts)


def _rising(sims: Sims, layer: Layer) -> Tensor:
    neurons, mean = layer.neurons, layer.mean
    centre, spread = sims.moments.mean, sims.moments.spread
    deviation = torch.zeros(len(neurons), dtype=torch.float64)
    for _, block in layer.activations.blocks(sims.rows_at_once(layer.activations.shape[1])):
        for place, part in _parts(block, neurons):
            deviation[place] += (part - mean[neurons[place]]).abs_().sum(dim=0)
    deviation /= len(sims)
    deviation = deviation.where(deviation > 0, 1.0)
    products = torch.zeros(len(neurons), sims.shape[1], dtype=torch.float64)
    of_concepts, of_neurons = Moments(), [Moments() for _ in range(0, len(neurons), NEURONS_AT_A_TIME)]
    for block, _, known in _together(sims, layer):
        rises = known.double().sub_(centre).div_(spread.where(spread > 0, 1.0)).clamp_(min=0, max=LIMIT).square_()
        of_concepts.add(rises)
        for moments, (place, part) in zip(of_neurons, _parts(block, neurons), strict=True):
            weights = (part - mean[neurons[place]]).clamp_(min=0).div_(deviation[place]).square_().div_(TURN).log1p_()
            moments.add(weights)
            products[place] += weights.T @ rises
    known = spread > FLAT
    doubt = spread / (spread + FAINT * spread[known].median()) if known.any() else spread
    weight_mean, weight_spread = (torch.cat([getattr(one, name) for one in of_neurons]) for name in ("mean", "spread"))
    together = products / len(sims) - weight_mean[:, None] * of_concepts.mean
    return together / _one_for_none(weight_spread)[:, None] / _one_for_none(of_concepts.spread) * known * doubt


def _following(sims: Sims, layer: Layer) -> Tensor:
    n, neurons = len(sims), layer.neurons
    centre, spread = sims.moments.mean, sims.moments.spread
    known = spread > FLAT
    found = torch.empty(len(neurons), sims.shape[1], dtype=torch.float64)
    size, width = sims.rows_at_once(layer.activations.shape[1]), max(1, sims.memory // 2 // (4 * n))
    ranked = max(1, sims.memory // 4 // (RANKING_BYTES * n))  # neurons whose images are ranked together
    for place, block in column_blocks(layer.activations, neurons, width, size):
        weights = torch.from_numpy(block.T)  # (neurons, images), each in turn replaced by its weights
        for part in weights.split(ranked):
            part[:] = _standardised(top_weights(part.T.double())).T
        products = torch.zeros(len(weights), sims.embeddings.shape[1], dtype=torch.float64)
        total = torch.zeros(len(weights), 1, dtype=torch.float64)
        for start, embeddings in sims.embeddings.blocks(size):
            part = weights[:, start : start + len(embeddings)].double()
            total += part.sum(dim=1, keepdim=True)
            products += part @ torch.from_numpy(embeddings).double()
        together = products @ sims.texts.double().T - total * centre
        found[place] = together / n / _one_for_none(spread) * known
    return found


def _rank_reorder(sims: Sims, layer: Layer, top_fraction: float = 0.05, p: float = 3.0, scale_p: float = 0.5) -> Tensor:
    n, neurons = len(sims), layer.neurons
    top_k = reordered_images(n, top_fraction)
    embeddings = torch.from_numpy(sims.embeddings.take(np.arange(n)))
    found = torch.empty(len(neurons), sims.shape[1], dtype=torch.float64)
    size, width = sims.rows_at_once(layer.activations.shape[1]), max(1, sims.memory // 4 // (8 * n))
    for place, block in column_blocks(layer.activations, neurons, width, size):
        values = torch.from_numpy(block)
        order = top_images(values, top_k)
        for row, (images, own) in enumerate(zip(order, values.T, strict=True), start=place.start):
            known = (embeddings[images] @ sims.texts.T)[None]
            found[row] = rank_agreement(known, own[images][None], p, scale_p)[0]
    return found


@validated()
def check_reordering(sims: Sims, top_fraction: float) -> None:
    """Raise ValueError where `rank_reorder` cannot be computed within the memory."""
    n, n_concepts = sims.shape
    top_k = reordered_images(n, top_fraction)
    needed = max(4 * n * sims.embeddings.shape[1], 16 * top_k**2, 48 * top_k * n_concepts)
    if needed > sims.memory // 2:
        raise ValueError(
            f"rank_reorder compares each of a neuron's {top_k} top images with all others, which takes {needed / 1e9:.1f} GB, "
            f"more than half of the {sims.memory / 1e9:.1f} GB of memory that are allowed; lower top_fraction={top_fraction}, "
            "raise PassOptions(memory=...), or use another rule"
        )


RULES: dict[str, Callable[..., Tensor]] = {
    "soft_wpmi": _soft_wpmi, "wpmi": _wpmi, "cos_similarity": _cosine, "cos_similarity_cubed": _cosine_cubed,
    "rank_reorder": _rank_reorder, "contrastive": _contrastive, "top_auc": _top_auc, "following": _following, "rising": _rising,
}  # fmt: skip


def _together(sims: Sims, layer: Layer):
    """Activations (array), embeddings and similarities of each block of images."""
    size = sims.rows_at_once(layer.activations.shape[1])
    for (_, block), (_, embeddings, known) in zip(layer.activations.blocks(size), sims.blocks(size), strict=True):
        yield block, embeddings, known


def _parts(block: np.ndarray, neurons: np.ndarray):
    """Groups of neurons: their place among the given ones, and their activations (n_rows, n_group) float64."""
    for start in range(0, len(neurons), NEURONS_AT_A_TIME):
        place = slice(start, min(start + NEURONS_AT_A_TIME, len(neurons)))
        yield place, torch.from_numpy(block[:, neurons[place]]).double()


def _standardised(x: Tensor) -> Tensor:
    """Mean 0 and standard deviation 1 over images (dim 0); 0 where constant."""
    x = x - x.mean(dim=0)
    return x.div_(_one_for_none(x.square().mean(dim=0).sqrt()))


def _one_for_none(x: Tensor) -> Tensor:
    return x.where(x > 0, 1.0)


def _norms(squares: Tensor) -> Tensor:
    return squares.sqrt().clamp(min=SMALLEST_NORM)
