"""How alike a neuron's top images are, whether they are of two kinds, and whether another neuron has the same ones."""

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import pandas as pd
import torch

from mdissect.arguments import AT_LEAST_ONE, RATE, texts, whole_number
from mdissect.dissection import Dissection
from mdissect.metrics import strongest
from mdissect.signatures import validated
from mdissect.similarity import nameable
from mdissect.trust.intervals import recentred_interval
from mdissect.trust.stability import resamples
from mdissect.trust.two_means import CLOSER, two_means

MEASURES = ("clarity", "polysemanticity", "redundancy")
BOUNDS = {"clarity": (-1, 1), "polysemanticity": (0, 2), "redundancy": (-1, 1)}
FIRST = 10  # strongest images that stand for a neuron whose images do not fall into two groups
TOP = partial(whole_number, least=3)


@validated(layers=texts, top=TOP, n_boot=AT_LEAST_ONE, level=RATE)
def clarity(
    dissection: Dissection,
    layers: Sequence[str] | None = None,
    top: int = 20,
    n_boot: int = 200,
    seed: int = 0,
    level: float = 0.95,
) -> pd.DataFrame:
    """Clarity, polysemanticity and redundancy of each neuron, by the dissector's embeddings of its top images.

    >>> found.with_columns(clarity(found)[["layer", "neuron", "clarity", "polysemanticity"]]).labels()      # doctest: +SKIP

    As SemanticLens defines them (Dreyer et al., Mechanistic understanding and validation of large AI models with SemanticLens,
    Nature Machine Intelligence 2025; scores.py of jim-berend/semanticlens), for embeddings of unit length:

    - clarity: mean cosine between two different of the top images;
    - polysemanticity: 1 minus the cosine between the centres of the two groups into which 2-means splits them; where one
      group is a single image, 1 minus the mean cosine of the ten strongest images with the mean of all;
    - redundancy: largest cosine between the neuron's mean embedding and that of another neuron of the layer.

    No concept and no label counts. Image-text models keep all images in a narrow cone: compare clarity with `probe_clarity`,
    and one network with another only on the same probe and dissector.

    Parameters
    ----------
    dissection : Dissection
        With activations and image embeddings.
    layers : sequence of str, optional
        All of the dissection's when None.
    top : int
        Strongest images of a neuron.
    n_boot, seed
        Resamples of patients with all their images; of images where the probe names no patients.
    level : float
        Of the intervals: the resamples' spread, recentred on the probe's own value as in
        `mdissect.trust.count_intervals`. In a resample the top images are chosen again, and no image is compared with itself.

    Returns
    -------
    DataFrame
        A row per neuron: layer, neuron; clarity, polysemanticity and redundancy, each beside <name>_low and <name>_high;
        nearest (the neuron that redundancy is about; -1 for none), top_patients (of how many patients the top images are; few
        make them alike), probe_clarity (mean cosine between two different images of the whole probe). NaN for a neuron that is
        constant or not finite, and for the redundancy of a layer's only neuron.

    Raises
    ------
    ValueError
        A dissection without activations or image embeddings, an unknown layer, `top` above the number of images, a single
        patient.
    """
    parts = []
    for layer, data, drawn in _resampled(dissection, layers, top, n_boot, seed):
        table = pd.DataFrame({"layer": layer, "neuron": range(data.n_neurons)})
        own = data.measures(np.ones(data.n_images, dtype=int))
        for name, value, of_resamples in zip(MEASURES, own, np.moveaxis(drawn, 1, 0), strict=True):
            low, high = recentred_interval(value, of_resamples, level).clip(*BOUNDS[name])
            for end, numbers in {"": value, "_low": low, "_high": high}.items():
                table[name + end] = data.of_all(numbers)
        who = _codes(dissection)[data.order[:top]]
        table["nearest"] = data.of_all(data.nearest(), -1).astype(int)
        table["top_patients"] = data.of_all(np.array([len(set(one)) for one in who.T]), 0).astype(int)
        parts.append(table.assign(probe_clarity=_mean_cosine(data.embeddings)))
    return pd.concat(parts, ignore_index=True)


@validated(layers=texts, top=TOP, n_boot=AT_LEAST_ONE, level=RATE)
def clarity_by_layer(
    dissection: Dissection,
    layers: Sequence[str] | None = None,
    top: int = 20,
    n_boot: int = 200,
    seed: int = 0,
    level: float = 0.95,
) -> pd.DataFrame:
    """The means of `clarity` over each layer's neurons, with intervals over resampled patients.

    >>> clarity_by_layer(found)[["layer", "clarity", "clarity_low", "clarity_high"]]      # doctest: +SKIP

    Returns
    -------
    DataFrame
        A row per layer: layer, neurons (that have values), clarity, polysemanticity and redundancy, each beside <name>_low and
        <name>_high, probe_clarity. Parameters and errors as for `clarity`.
    """
    rows = []
    for layer, data, drawn in _resampled(dissection, layers, top, n_boot, seed):
        row = {"layer": layer, "neurons": len(data.neurons)}
        own = data.measures(np.ones(data.n_images, dtype=int))
        for name, value, of_resamples in zip(MEASURES, own, np.moveaxis(drawn, 1, 0), strict=True):
            mean, means = (value.mean(), of_resamples.mean(axis=1)) if len(value) else (np.nan, np.full(n_boot, np.nan))
            low, high = recentred_interval(mean, means, level).clip(*BOUNDS[name])
            row |= {name: mean, f"{name}_low": low, f"{name}_high": high}
        rows.append(row | {"probe_clarity": _mean_cosine(data.embeddings)})
    return pd.DataFrame(rows)


class _Layer:
    """The neurons of a layer that have values, and their strongest images."""

    def __init__(self, activations: np.ndarray, embeddings: np.ndarray, top: int):
        finite, constant = nameable(torch.from_numpy(np.ascontiguousarray(activations)))
        self.n_images, self.n_neurons = activations.shape
        self.neurons = np.flatnonzero((finite & ~constant).numpy())
        self.embeddings, self.top = embeddings, top
        self.order = strongest(activations[:, self.neurons], self.n_images)  # (n_images, n_usable)

    def measures(self, times: np.ndarray) -> np.ndarray:
        """`MEASURES` (3, n_usable) where each image occurs `times` (n_images,) times; at least `top` images in all."""
        vectors, weights = self._top(times)
        gram = vectors @ vectors.transpose(0, 2, 1)
        pulled = np.einsum("kij,kj->ki", gram, weights)
        size = (pulled * weights).sum(axis=1)
        alone = (weights**2 * np.diagonal(gram, axis1=1, axis2=2)).sum(axis=1)
        clear = (size - alone) / np.maximum(self.top**2 - (weights**2).sum(axis=1), 1)
        means = np.einsum("kt,ktd->kd", weights, vectors)
        return np.stack([clear, _polysemanticity(gram, weights, pulled, size), _likeness(means).max(axis=1, initial=-np.inf)])

    def nearest(self) -> np.ndarray:
        """The neuron whose mean embedding is nearest to each one's, (n_usable,) numbers in the layer; -1 for none."""
        if len(self.neurons) < 2:
            return np.full(len(self.neurons), -1)
        vectors, weights = self._top(np.ones(self.n_images, dtype=int))
        alike = _likeness(np.einsum("kt,ktd->kd", weights, vectors))
        return self.neurons[(alike >= alike.max(axis=1, keepdims=True) - CLOSER).argmax(axis=1)]

    def of_all(self, values: np.ndarray, missing: float = np.nan) -> np.ndarray:
        """Values of the usable neurons as one of each neuron; those that are not finite count as missing."""
        found = np.full(self.n_neurons, missing, dtype=float)
        found[self.neurons] = np.where(np.isfinite(values), values, missing)
        return found

    def _top(self, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The top images' embeddings (n_usable, top, d), and how often each counts (n_usable, top), `top` in all."""
        before = np.zeros((1, self.order.shape[1]), dtype=int)
        often = times[self.order]
        counted = np.clip(self.top - np.concatenate([before, often.cumsum(axis=0)[:-1]]), 0, often)
        places = np.argsort(counted == 0, axis=0, kind="stable")[: self.top]
        images, weights = (np.take_along_axis(one, places, axis=0).T for one in (self.order, counted))
        return self.embeddings[images], weights.astype(float)


def _polysemanticity(gram: np.ndarray, weights: np.ndarray, pulled: np.ndarray, size: np.ndarray) -> np.ndarray:
    """(n_neurons,) of Gram matrices (n_neurons, n, n) with weights (n_neurons, n); `pulled` is their product."""
    second = two_means(gram, weights)
    groups = weights * ~second, weights * second
    of_groups = [np.einsum("kij,kj->ki", gram, group) for group in groups]
    sizes = [(of * group).sum(axis=1) for of, group in zip(of_groups, groups, strict=True)]
    between = (of_groups[0] * groups[1]).sum(axis=1) / np.sqrt(np.maximum(sizes[0] * sizes[1], 1e-30))
    first = weights * (np.arange(weights.shape[1]) < FIRST)
    with_mean = (pulled * first).sum(axis=1) / first.sum(axis=1) / np.sqrt(np.maximum(size, 1e-30))
    fewest = np.minimum(*(group.sum(axis=1) for group in groups))
    return 1 - np.where(fewest < 2, with_mean, between)


def _likeness(means: np.ndarray) -> np.ndarray:
    """Cosines (n_neurons, n_neurons) between mean embeddings; -inf of one with itself."""
    unit = means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
    alike = unit @ unit.T
    np.fill_diagonal(alike, -np.inf)
    return alike


def _mean_cosine(embeddings: np.ndarray) -> float:
    """Between two different rows of unit length."""
    n = len(embeddings)
    return float((np.square(embeddings.sum(axis=0)).sum() - np.square(embeddings).sum()) / (n * (n - 1)))


def _codes(dissection: Dissection) -> np.ndarray:
    n_images = len(dissection.image_embeddings)
    return pd.factorize(np.array(dissection.patients or range(n_images), dtype=object))[0]


def _resampled(
    dissection: Dissection, layers: Sequence[str] | None, top: int, n_boot: int, seed: int
) -> Iterator[tuple[str, _Layer, np.ndarray]]:
    """Each layer with its name and the measures (n_boot, 3, n_usable) of its resamples."""
    if not dissection.activations or dissection.image_embeddings is None:
        raise ValueError(
            "the dissection has no activations or image_embeddings (older than these, or read from a CSV); dissect again"
        )
    layers = list(dissection.activations) if layers is None else list(layers)
    if unknown := [layer for layer in layers if layer not in dissection.activations]:
        raise ValueError(f"no layer {', '.join(unknown)} with activations; there are {', '.join(dissection.activations)}")
    embeddings = np.asarray(dissection.image_embeddings, dtype=float)
    if top > len(embeddings):
        raise ValueError(f"top={top} exceeds the {len(embeddings)} probe images; lower top")
    samples = [np.bincount(images, minlength=len(embeddings)) for images in resamples(dissection, n_boot, seed)]
    for layer in layers:
        data = _Layer(dissection.activations[layer], embeddings, top)
        yield layer, data, np.stack([data.measures(times) for times in samples])
