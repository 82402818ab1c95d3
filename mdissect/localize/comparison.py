"""Which localises better: Mammo-FActOR, or the maps of the neurons that dissection labels with a finding; without training."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mdissect.arguments import AT_LEAST_ONE, RATE, listed, table_with
from mdissect.localize.factor import N_CHANNELS, FactorModel, best_channels, heat_of, stretched
from mdissect.localize.maps import mirrored, overlay, peaks, upsample
from mdissect.localize.pointing import box_region, iou, of_finding
from mdissect.localize.resampled import mean_interval
from mdissect.localize.stored import MapsWanted, stored_maps
from mdissect.probes import Probe
from mdissect.signatures import validated
from mdissect.store import StoreLike

N_NEURONS = 5
N_DRAWS = 5  # of neurons at random, the control
THRESHOLD = 0.5  # of a heatmap's range, from which on it counts as the region

Heats = Callable[[np.ndarray], Tensor]  # from images' rows to their heat (n, n_places)


@validated(labels=table_with("layer", "neuron", "concept", "similarity", made_by="dissection.labels()"), n_neurons=AT_LEAST_ONE,
           threshold=RATE)  # fmt: skip
def compare_localisation(
    factor: FactorModel,
    probe: Probe,
    labels: pd.DataFrame,
    findings: Sequence[str] | None = None,
    n_neurons: int = N_NEURONS,
    threshold: float = THRESHOLD,
    store: StoreLike = None,
) -> pd.DataFrame:
    """How well Mammo-FActOR and the neurons that dissection labels with a finding point at its boxes, side by side.

    >>> compare_localisation(model, probe, dissection.labels(), ["mass", "implant"])            # doctest: +SKIP

    Parameters
    ----------
    probe : Probe
        Images with boxes, of other patients than those of the training.
    labels : DataFrame
        `Dissection.labels()` of the same target: of the factor's layer, those whose concept names the finding (has its last
        word, and does not deny it). The maps of the `n_neurons` most similar, each divided by its spread over the probe, are
        averaged.
    findings : list of str, optional
        By default the factor's attributes.
    threshold : float
        Pixels above this share of a heatmap's range are its region.
    store : path, optional
        Where the layer's maps are kept.

    Returns
    -------
    DataFrame
        A row per finding and method: "FActOR", "FActOR, by cosine" and "FActOR, by image" (the maps of the channels that are
        chosen by "peak", "attribute" or "image", see `heatmaps`), "labelled neurons", and "neurons at random" (the mean of five
        draws), with read_as (the attribute, or the number of neurons), n_images and n_patients with such a box, and

        - pointing: share of images whose strongest place lies in a box, with pointing_low, pointing_high (95 %, patients
          resampled); chance: of a pixel drawn at random; reachable: share of images in which the middle of any place does;
        - iou: of the region with the boxes, with iou_low and iou_high; iou_chance: of as many pixels drawn at random.

        NaN where no neuron has such a label.

    Raises
    ------
    ValueError
        No labels of the factor's layer, or no image with a box of a finding.
    LookupError
        The probe has no boxes.
    """
    own = labels[labels["layer"] == factor.layer]
    if own.empty:
        there = listed(sorted(set(labels["layer"])))
        raise ValueError(
            f"labels has none of layer {factor.layer!r}, whose channels the factor reads; it has {there or 'none'}"
        )
    findings = list(factor.attributes) if findings is None else list(findings)
    boxes = [probe.boxes(position) for position in range(len(probe))]
    rows_of = {finding: [row for row, found in enumerate(boxes) if of_finding(found, finding)] for finding in findings}
    if absent := [finding for finding, rows in rows_of.items() if not rows]:
        raise ValueError(f"no image of probe {probe.name!r} has a box of {listed(absent)}; leave it out of the findings")
    needed = sorted({row for rows in rows_of.values() for row in rows})
    layer = _Layer.of(factor, probe.subset(needed), store)
    place = {row: i for i, row in enumerate(needed)}
    table = []
    for finding, rows in rows_of.items():
        at = np.array([place[row] for row in rows])
        regions = [box_region(of_finding(boxes[row], finding), layer.images[i].shape) for row, i in zip(rows, at, strict=True)]
        for name, read_as, sources in _methods(layer, own, finding, n_neurons):
            scores = _mean_scores(layer, sources, at, regions, threshold)
            patients = [layer.images[i].patient for i in at]
            table.append(
                {"finding": finding, "layer": factor.layer, "method": name, "read_as": read_as, **_summary(scores, patients)}
            )
    return pd.DataFrame(table)


def naming(labels: pd.DataFrame, finding: str, n_neurons: int) -> np.ndarray:
    """The neurons whose concept names a finding, the most similar first, at most so many."""
    word = finding.split()[-1].casefold()
    concepts = labels["concept"].astype(str).str.casefold()
    denied = concepts.str.startswith(("no ", "without ", "absence of "))
    named = labels[concepts.str.contains(word, regex=False) & ~denied]
    ordered = named.sort_values(["similarity", "neuron"], ascending=[False, True], kind="stable")
    return ordered["neuron"].drop_duplicates().to_numpy(dtype=int)[:n_neurons]


@dataclass(frozen=True)
class _Image:
    """What is known of an image without its pixels."""

    shape: tuple[int, int]
    mirrored: bool
    patient: str


@dataclass(frozen=True)
class _Layer:
    """The maps (n_images, n_neurons, n_places) of a layer, float16, with their grid and spreads."""

    factor: FactorModel
    maps: np.ndarray
    grid: tuple[int, int]
    images: list[_Image]
    spread: np.ndarray  # (n_neurons,) standard deviation of each neuron's maps

    @classmethod
    def of(cls, factor: FactorModel, probe: Probe, store: StoreLike) -> "_Layer":
        maps, (n_neurons, *grid) = stored_maps(MapsWanted(factor.target, factor.layer, factor.grid), probe, store, "cpu")
        maps = maps.reshape(len(maps), n_neurons, -1)
        images = []
        for position, patient in enumerate(probe.patients):
            image = probe[position]
            images.append(_Image(image.shape[:2], mirrored(image, factor.target.preprocess), patient))
        spread = np.array([maps[:, neuron].astype(np.float64).std() for neuron in range(n_neurons)])
        return cls(factor, maps, tuple(grid), images, np.where(spread > 0, spread, 1.0))

    def of_rows(self, rows: np.ndarray) -> Tensor:
        return torch.from_numpy(self.maps[rows]).float()

    def by_factor(self, attribute: str, chosen_by: str) -> Heats:
        number = list(self.factor.attributes).index(attribute)

        def heats(rows: np.ndarray) -> Tensor:
            maps = self.of_rows(rows)
            cosines = self.factor.mapper.cosines(maps)[:, number]
            return heat_of(self.factor.mapper, maps, best_channels(self.factor.mapper, number, cosines, N_CHANNELS, chosen_by))

        return heats

    def by_neurons(self, neurons: np.ndarray) -> Heats:
        scale = torch.from_numpy(self.spread[neurons]).float()[None, :, None]
        return lambda rows: stretched((torch.from_numpy(self.maps[rows][:, neurons]).float() / scale).mean(dim=1))

    def heatmaps(self, heats: Heats, rows: np.ndarray) -> Iterator[tuple[np.ndarray, tuple[int, int]]]:
        """Each image's heat (h, w), in the image's frame, with the image's height and width."""
        for start in range(0, len(rows), 32):
            some = rows[start : start + 32]
            for row, heat in zip(some, heats(some).unflatten(1, self.grid).numpy(), strict=True):
                image = self.images[row]
                yield (np.ascontiguousarray(heat[:, ::-1]) if image.mirrored else heat), image.shape


def _methods(layer: _Layer, labels: pd.DataFrame, finding: str, n_neurons: int) -> Iterator[tuple[str, str, list[Heats]]]:
    """Each method's name, what it reads, and its sources of heat, whose scores are averaged."""
    attribute = layer.factor.read(finding).attribute
    yield "FActOR", attribute, [layer.by_factor(attribute, "peak")]
    yield "FActOR, by cosine", attribute, [layer.by_factor(attribute, "attribute")]
    yield "FActOR, by image", attribute, [layer.by_factor(attribute, "image")]
    neurons, (_, n_all, _) = naming(labels, finding, n_neurons), layer.maps.shape
    yield "labelled neurons", f"{len(neurons)} neurons", [layer.by_neurons(neurons)] if len(neurons) else []
    rng, n_drawn = np.random.default_rng(0), min(n_neurons, n_all)
    drawn = [layer.by_neurons(rng.choice(n_all, n_drawn, replace=False)) for _ in range(N_DRAWS)]
    yield "neurons at random", f"{n_drawn} neurons", drawn


def _mean_scores(
    layer: _Layer, sources: list[Heats], rows: np.ndarray, regions: list[np.ndarray], threshold: float
) -> pd.DataFrame:
    """hit, chance, reachable, iou and iou_chance of each image, the means over several sources; NaN without one."""
    tables = []
    for source in sources:
        scores = [
            _scores(heat, region, threshold) for (heat, _), region in zip(layer.heatmaps(source, rows), regions, strict=True)
        ]
        tables.append(scores)
    names = ["hit", "chance", "reachable", "iou", "iou_chance"]
    values = np.mean(tables, axis=0) if tables else np.full((len(rows), len(names)), np.nan)
    return pd.DataFrame(values, columns=names)


def _scores(heat: np.ndarray, region: np.ndarray, threshold: float) -> tuple[float, ...]:
    """The scores of one heatmap (h, w) for the region (height, width) of the finding."""
    row, column = peaks(heat, region.shape)
    middles = [((np.arange(n) + 0.5) * size / n).astype(int) for n, size in zip(heat.shape, region.shape, strict=True)]
    own = overlay(upsample(heat, region.shape)) > threshold
    first, second = own.mean(), region.mean()
    at_random = first * second / (first + second - first * second)
    return float(row >= 0 and region[row, column]), second, float(region[np.ix_(*middles)].any()), iou(own, region), at_random


def _summary(scores: pd.DataFrame, patients: Sequence[str]) -> dict:
    """Means over the images, with intervals by patient."""
    row = {"n_images": len(scores), "n_patients": len(set(patients))}
    for name, values in (("pointing", scores["hit"]), ("iou", scores["iou"])):
        row[name], row[f"{name}_low"], row[f"{name}_high"] = mean_interval(values.to_numpy(), patients)
    return row | {name: float(scores[name].mean()) for name in ("chance", "reachable", "iou_chance")}
