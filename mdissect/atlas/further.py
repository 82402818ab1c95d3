"""Further images of each neuron: spread over its activations, the weakest, those its label does not fit, some of each bin."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from mdissect.atlas.images import Images, top_images
from mdissect.dissection import Dissection
from mdissect.explorers.choosing import OF_LABEL, known_of, ordered

KINDS = ("quantiles", "weakest", "hard negatives", "misses")
OF_A_KIND, OF_A_BIN = 8, 4  # images at most
BINS = 24  # of the histogram of a neuron's activations


@dataclass
class Further:
    """Further images of a layer's neurons: those of each kind, then those of each bin of the histogram.

    `images` (n_neurons, 4 * 8 + 24 * 4) are numbers in the atlas, -1 where there is none; `activations` are theirs; `known`
    (n_neurons, 4) says whether it is known which images are of a kind. `shows` has for each neuron whether its strongest images
    show its label, a letter of "01?" for each, and the share of all images that do; None where nothing is known of the label.
    """

    images: np.ndarray
    activations: np.ndarray
    known: np.ndarray
    shows: list[tuple[str, float] | None]

    def row(self, neuron: int) -> list[str]:
        """How many of each kind and bin ("?": not known), their numbers (uint32) and activations (float32) in base64."""
        images = self.images[neuron]
        counts = [str((part >= 0).sum()) for part in np.split(images, _ENDS)]
        counts[: len(KINDS)] = [n if known else "?" for n, known in zip(counts, self.known[neuron], strict=False)]
        there = images >= 0
        parts = images[there].astype("<u4"), self.activations[neuron][there].astype("<f4")
        return ["".join(counts), *(base64.b64encode(part.tobytes()).decode() for part in parts)]


_SIZES = [OF_A_KIND] * len(KINDS) + [OF_A_BIN] * BINS
_ENDS = np.cumsum(_SIZES)[:-1]


def further_images(dissection: Dissection, images: Images, model: str, labels: dict[str, Sequence[str]]) -> list[Further]:
    """Those of each layer; `labels` are the names of each layer's neurons. None of a layer without activations."""
    known, found = known_of(dissection), []
    shown = {name: known[name].astype("boolean").to_numpy(dtype=float, na_value=np.nan) for name in known}
    nothing = np.full(len(dissection.probe_table), np.nan)
    for layer, scores in dissection.similarity.items():
        values = dissection.activations.get(layer)
        truths = [shown.get(name, nothing) for name in labels[layer]]
        best = top_images(dissection, layer)
        shows = [None] * len(scores) if best is None else [_shows(*one) for one in zip(best.images, truths, strict=True)]
        if values is None:
            found.append(Further(*(np.empty((len(scores), 0), dtype) for dtype in (int, np.float32, bool)), shows))
            continue
        columns = np.ascontiguousarray(values.T)
        at = np.array([_positions(*one) for one in zip(columns, truths, strict=True)], dtype=int).reshape(-1, sum(_SIZES))
        numbers = np.where(at >= 0, images.of(model, at), -1)
        sure = np.array([[kind not in OF_LABEL or np.isfinite(one).any() for kind in KINDS] for one in truths], dtype=bool)
        found.append(
            Further(numbers, np.take_along_axis(columns, np.maximum(at, 0), axis=1), sure.reshape(-1, len(KINDS)), shows)
        )
    return found


def _shows(top: np.ndarray, truth: np.ndarray) -> tuple[str, float] | None:
    """A row of `Further.shows` for the positions of the strongest images; `truth` (n_images,) is 1, 0 or NaN."""
    known = np.isfinite(truth)
    if not known.any():
        return None
    return "".join("?" if np.isnan(one) else str(int(one)) for one in truth[top]), float(truth[known].mean())


def binned(column: np.ndarray) -> tuple[float, float, np.ndarray] | None:
    """Least and largest of a neuron's activations, and the bin of each image (n_images,), -1: not finite; None: all of them."""
    there = np.isfinite(column)
    if not there.any():
        return None
    values = column[there].astype(np.float64)
    low, high = values.min(), values.max()
    share = (values - low) / (high - low) if high > low else np.zeros(len(values))  # np.histogram refuses a tiny range
    bins = np.full(len(column), -1)
    bins[there] = np.minimum((share * BINS).astype(int), BINS - 1)
    return low, high, bins


def _positions(column: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """Positions of a neuron's further images, in the places of a row of `Further.images`."""
    places = np.full(sum(_SIZES), -1)
    for i, kind in enumerate(KINDS):
        some = ordered(column, kind, OF_A_KIND, shown)
        some = some[np.isfinite(column[some])]
        places[i * OF_A_KIND : i * OF_A_KIND + len(some)] = some
    if (found := binned(column)) is not None:
        bins = found[2]
        order = np.lexsort((-column, bins))  # the strongest of a bin first
        order = order[bins[order] >= 0]
        starts = np.searchsorted(bins[order], np.arange(BINS + 1))
        for i, (start, end) in enumerate(pairwise(starts)):
            picked = np.unique(np.linspace(start, end - 1, min(OF_A_BIN, end - start)).round().astype(int))
            first = len(KINDS) * OF_A_KIND + i * OF_A_BIN
            places[first : first + len(picked)] = order[picked]
    return places
