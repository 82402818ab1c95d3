"""How alike a neuron's top images are, whether they are of two kinds, and whether another neuron has the same ones."""

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import pandas as pd
import torch

from mdissect.arguments import AT_LEAST_ONE, RATE, texts, whole_number
from mdissect.dissection import Dissection
from mdissect.labels import check_in_memory
from mdissect.metrics import strongest
from mdissect.signatures import validated
from mdissect.similarity import nameable
from mdissect.trust.intervals import recentred_interval
from mdissect.trust.stability import resamples
from mdissect.trust.two_means import CLOSER, two_means

MEASURES = ("clarity", "polysemanticity", "redundancy")
BOUNDS = {"clarity": (-1, 1), "polysemanticity": (0, 2), "redundancy": (-1, 1)}
NEURONS_AT_A_TIME = 1024
FIRST = 10  # strongest images that are compared with the mean of all where there are no two groups
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
        own, nearest = data.measures(np.ones(data.n_images, dtype=int))
        for name, value, of_resamples in zip(MEASURES, own, np.moveaxis(drawn, 1, 0), strict=True):
            low, high = recentred_interval(value, of_resamples, level).clip(*BOUNDS[name])
            for end, numbers in {"": value, "_low": low, "_high": high}.items():
                table[name + end] = data.of_all(numbers)
        who = _codes(dissection)[data.order[:top]]
        table["nearest"] = data.of_all(nearest, -1).astype(int)
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
        own, _ = data.measures(np.ones(data.n_images, dtype=int))
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

    def measures(self, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """`MEASURES` (3, n_usable) where each image occurs `times` (n_images,) times, and the nearest neurons (n_usable,)."""
        found, means = np.empty((3, len(self.neurons))), np.empty((len(self.neurons), self.embeddings.shape[1]))
        for block in _blocks(len(self.neurons)):
            vectors, weights = self._top(times, block)
            gram = vectors @ vectors.transpose(0, 2, 1)
            total = weights.sum(axis=1)
            pulled = (gram @ weights[:, :, None])[:, :, 0]
            size = (pulled * weights).sum(axis=1)
            alone = (weights**2 * np.diagonal(gram, axis1=1, axis2=2)).sum(axis=1)
            found[0, block] = (size - alone) / np.maximum(total**2 - (weights**2).sum(axis=1), 1)
            found[1, block] = _polysemanticity(gram, weights, pulled, size)
            means[block] = (weights[:, None] @ vectors)[:, 0]
        found[2], nearest = _nearest(means)
        return found, np.where(nearest < 0, -1, self.neurons[nearest])

    def of_all(self, values: np.ndarray, missing: float = np.nan) -> np.ndarray:
        """Values of the usable neurons as one of each neuron; those that are not finite count as missing."""
        found = np.full(self.n_neurons, missing, dtype=float)
        found[self.neurons] = np.where(np.isfinite(values), values, missing)
        return found

    def _top(self, times: np.ndarray, block: slice) -> tuple[np.ndarray, np.ndarray]:
        """The top images' embeddings (n_neurons, top, d), and how often each counts (n_neurons, top), `top` in all."""
        order, rows = self.order[:, block], 2 * self.top
        while rows < len(order) and times[order[:rows]].sum(axis=0).min() < self.top:
            rows *= 2
        order = order[:rows]
        often = times[order]
        counted = np.clip(self.top - (often.cumsum(axis=0) - often), 0, often)
        places = np.argsort(counted == 0, axis=0, kind="stable")[: self.top]
        images, weights = (np.take_along_axis(one, places, axis=0).T for one in (order, counted))
        return self.embeddings[images], weights.astype(float)


def _polysemanticity(gram: np.ndarray, weights: np.ndarray, pulled: np.ndarray, size: np.ndarray) -> np.ndarray:
    """(n_neurons,) of Gram matrices (n_neurons, n, n) with weights (n_neurons, n); `pulled` is their product."""
    second = two_means(gram, weights)
    groups = weights * ~second, weights * second
    of_groups = [(gram @ group[:, :, None])[:, :, 0] for group in groups]
    sizes = [(of * group).sum(axis=1) for of, group in zip(of_groups, groups, strict=True)]
    between = (of_groups[0] * groups[1]).sum(axis=1) / np.sqrt(np.maximum(sizes[0] * sizes[1], 1e-30))
    first = weights * (np.arange(weights.shape[1]) < FIRST)
    with_mean = (pulled * first).sum(axis=1) / first.sum(axis=1) / np.sqrt(np.maximum(size, 1e-30))
    fewest = np.minimum(*(group.sum(axis=1) for group in groups))
    return 1 - np.where(fewest < 2, with_mean, between)


def _nearest(means: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The largest cosine between each mean embedding and another, (n_neurons,), and with which; NaN and -1 for a lone one."""
    unit = means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
    largest, which = np.full(len(means), np.nan), np.full(len(means), -1)
    for block in _blocks(len(means)) if len(means) > 1 else ():
        alike = unit[block] @ unit.T
        rows = np.arange(len(alike))
        alike[rows, rows + block.start] = -np.inf
        largest[block] = alike.max(axis=1)
        which[block] = (alike >= largest[block, None] - CLOSER).argmax(axis=1)
    return largest, which


def _blocks(n_neurons: int) -> list[slice]:
    return [slice(start, min(start + NEURONS_AT_A_TIME, n_neurons)) for start in range(0, n_neurons, NEURONS_AT_A_TIME)]


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
    check_in_memory(dissection, "clarity")
    layers = list(dissection.activations) if layers is None else list(layers)
    if unknown := [layer for layer in layers if layer not in dissection.activations]:
        raise ValueError(f"no layer {', '.join(unknown)} with activations; there are {', '.join(dissection.activations)}")
    embeddings = np.asarray(dissection.image_embeddings, dtype=float)
    if top > len(embeddings):
        raise ValueError(f"top={top} exceeds the {len(embeddings)} probe images; lower top")
    samples = [np.bincount(images, minlength=len(embeddings)) for images in resamples(dissection, n_boot, seed)]
    for layer in layers:
        data = _Layer(dissection.activations[layer], embeddings, top)
        yield layer, data, np.stack([data.measures(times)[0] for times in samples])
