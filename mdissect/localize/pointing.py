"""Whether a neuron points at a finding: its activation map against boxes or masks."""

from collections.abc import Iterable, Iterator, Mapping, Sized

import numpy as np
import pandas as pd

from mdissect.arguments import INTEGER, SHARE, has_keys, image_shape, same_length, table_with
from mdissect.localize.maps import check_neuron, peaks, upsample
from mdissect.signatures import validated

EDGES = ("xmin", "ymin", "xmax", "ymax")


@validated()
def of_finding(boxes: Iterable[Mapping], finding: str) -> list[Mapping]:
    """The boxes whose finding has the word in it, whatever its case: "calcification" takes "Suspicious Calcification"."""
    for position, box in enumerate(boxes := list(boxes)):
        has_keys(f"boxes[{position}]", box, "finding")
    return [box for box in boxes if finding.casefold() in str(box["finding"]).casefold()]


@validated(shape=image_shape)
def box_region(boxes: Iterable[Mapping], shape: tuple[int, int]) -> np.ndarray:
    """What boxes (xmin, ymin, xmax, ymax in pixels, half open) cover: bool array of the shape (height, width)."""
    region = np.zeros(shape, dtype=bool)
    for position, box in enumerate(boxes):
        has_keys(f"boxes[{position}]", box, *EDGES)
        ymin, xmin = (max(int(np.floor(box[edge])), 0) for edge in ("ymin", "xmin"))
        region[ymin : int(np.ceil(box["ymax"])), xmin : int(np.ceil(box["xmax"]))] = True
    return region


@validated(share=SHARE)
def top_region(heat: np.ndarray, share: float = 0.01) -> np.ndarray:
    """The strongest pixels of a map (height, width) as a bool array: a share of them all.

    Pixels equal to the weakest of these belong to it too, but those at the map's minimum never do: the region is smaller where
    a neuron is silent almost everywhere, and empty when the map is constant.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share={share} must lie above 0 and be no more than 1")
    n = max(round(share * heat.size), 1)
    least = np.partition(heat, -n, axis=None)[-n]
    return (heat >= least) & (heat > heat.min())


@validated()
def iou(first: np.ndarray, second: np.ndarray) -> float:
    """Intersection over union of two regions (bool arrays of one shape); 0 when both are empty."""
    if first.dtype != bool or second.dtype != bool or first.shape != second.shape:
        found = f"{first.dtype} {first.shape} and {second.dtype} {second.shape}"
        raise ValueError(f"first and second must be bool arrays of one shape, found {found}")
    union = np.count_nonzero(first | second)
    return np.count_nonzero(first & second) / union if union else 0.0


@validated()
def pointing_game(maps: Iterable[np.ndarray], regions: Iterable[np.ndarray]) -> np.ndarray:
    """Whether each neuron's strongest place lies in a given region of each image (Zhang et al., IJCV 2018).

    Parameters
    ----------
    maps : iterable of arrays (n_neurons, h, w)
        One per image: `mdissect.localize.activation_maps`.
    regions : iterable of bool arrays (height, width)
        One per image, of the image's size, none empty: `box_region` of a finding's boxes, or masks.

    Returns
    -------
    bool array (n_images, n_neurons)
        By chance, a pixel lies there as often as the mean of the regions says.

    Raises
    ------
    ValueError
        A region that is empty, or unequal numbers of both.
    """
    return np.array([_hits(of_image, region) for of_image, region in _checked(maps, regions)])


@validated(neuron=INTEGER, share=SHARE)
def overlap_scores(maps: Iterable[np.ndarray], neuron: int, regions: Iterable[np.ndarray], share: float = 0.01) -> pd.DataFrame:
    """How well a neuron points at given regions of images.

    Parameters
    ----------
    maps, regions
        As for `pointing_game`.
    share : float
        Of an image's pixels, the strongest that count as the neuron's own region.

    Returns
    -------
    DataFrame
        A row per image: hit (see `pointing_game`), chance (of a pixel drawn at random to lie in the region), iou (of the
        neuron's own region with the given one), inside (share of the neuron's own region that lies there; 0 when it has
        none).

    Raises
    ------
    ValueError
        As for `pointing_game`.
    IndexError
        No such neuron.
    """
    rows = []
    for of_image, region in _checked(maps, regions):
        check_neuron(neuron, len(of_image))
        own = top_region(upsample(of_image[neuron], region.shape), share)
        inside = np.count_nonzero(own & region) / max(np.count_nonzero(own), 1)
        rows.append((bool(_hits(of_image[neuron], region)), region.mean(), iou(own, region), inside))
    return pd.DataFrame(rows, columns=["hit", "chance", "iou", "inside"])


@validated(neuron=INTEGER, scores=table_with("chance", "inside", made_by="overlap_scores(...)"))
def pointing_summary(hits: np.ndarray, scores: pd.DataFrame, neuron: int, finding: str = "finding") -> str:
    """In words: how a neuron does at the pointing game beside chance and the rest of its layer.

    Parameters
    ----------
    hits : bool array (n_images, n_neurons)
        See `pointing_game`.
    scores : DataFrame
        The neuron's own `overlap_scores` in the same images.
    finding : str
        What the regions mark.
    """
    rates = hits.mean(axis=0)
    better = int((rates > rates[neuron]).sum())
    return (
        f"The strongest place of neuron {neuron} lies in an annotated {finding} in **{_percent(rates[neuron])}** of "
        f"{len(hits)} images (a random place: {_percent(scores.chance.mean())}; the median neuron of its layer: "
        f"{_percent(np.median(rates))}; neurons that do better: **{better}** of {len(rates)}). Of the strongest 1 % of its map "
        f"{_percent(scores.inside.mean())} lies in an annotated {finding}."
    )


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _checked(maps: Iterable[np.ndarray], regions: Iterable[np.ndarray]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The maps (n_neurons, h, w) of each image with its region."""
    if isinstance(maps, Sized) and isinstance(regions, Sized):  # a generator's length shows at its end
        same_length(maps=maps, regions=regions)
    for position, (of_image, region) in enumerate(zip(maps, regions, strict=True)):
        if region.ndim != 2 or not region.any():
            found = "is empty" if region.ndim == 2 else f"has the shape {region.shape}"
            raise ValueError(f"the region of image {position} {found}; expected some pixels of (height, width)")
        yield of_image, region


def _hits(maps: np.ndarray, region: np.ndarray) -> np.ndarray:
    """Whether the strongest place of each map (..., h, w) lies in the region; a constant map hits nothing."""
    at = peaks(maps, region.shape)
    return region[at[..., 0], at[..., 1]] & (at[..., 0] >= 0)
