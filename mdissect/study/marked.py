"""Where findings are marked in a probe's images, and whether a neuron responds there: the pointing game of a case."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from mdissect.analysis import images_showing
from mdissect.arguments import AT_LEAST_ONE
from mdissect.localize import (
    activation_maps,
    box_region,
    of_finding,
    overlap_scores,
    pointing_game,
    pointing_summary,
)
from mdissect.models import Target
from mdissect.probes import Probe, finding_mask
from mdissect.signatures import validated
from mdissect.study.neuron_case import NeuronCase
from mdissect.wording import percent


@validated(limit=AT_LEAST_ONE)
def marked_regions(probe: Probe, finding: str, limit: int | None = None) -> tuple[list[int], list[np.ndarray]]:
    """The images in which a finding is marked.

    Parameters
    ----------
    finding : str
        A word of it, see `mdissect.localize.of_finding`.
    limit : int, optional
        Stop after so many images, in the order of the probe.

    Returns
    -------
    positions : list of int
    regions : list of bool arrays (height, width)
        What the boxes cover; empty lists when no boxes are marked.
    """
    shown = images_showing(probe.table, finding).fillna(True)  # where nothing is known, the boxes decide
    positions, regions = [], []
    for position in np.flatnonzero(shown):
        if limit is not None and len(positions) == limit:
            break
        if boxes := boxes_of(probe, int(position), finding):
            positions.append(int(position))
            regions.append(box_region(boxes, probe[int(position)].shape[:2]))
    return positions, regions


@dataclass(frozen=True)
class Pointing:
    """The pointing game of a neuron and its layer in the images where the finding is marked. Made by `pointing`.

    `positions` of these images; `hits` (n_images, n_neurons) bool; `scores` of the neuron by boxes and `pixels` by the exact
    pixels, None where these are not known (`mdissect.localize.overlap_scores`).
    """

    case: NeuronCase
    positions: list[int]
    hits: np.ndarray
    scores: pd.DataFrame
    pixels: pd.DataFrame | None

    def summary(self) -> str:
        """In words: how often the neuron's strongest place lies in the finding, by boxes and by pixels."""
        if not self.positions:
            why = "no boxes of it come with these images, or none that can be placed in them"
            return f"The place of the {self.case.word} is not known: {why}."
        text = pointing_summary(self.hits, self.scores, self.case.neuron, self.case.word)
        if self.pixels is None:
            return text
        hit, chance = (f"{100 * self.pixels[name].mean():.1f} %" for name in ("hit", "chance"))
        return f"{text} By the exact pixels: {hit} (a random place: {chance})."


@validated(limit=AT_LEAST_ONE)
def pointing(probe: Probe, target: Target, case: NeuronCase, limit: int | None = None) -> Pointing:
    """Play the pointing game with a case's layer, in at most `limit` images of its probe where its finding is marked."""
    positions, regions = marked_regions(probe, case.word, limit)
    maps = activation_maps(target, case.layer, (probe[position] for position in positions))
    masks = [mask_of(probe, position, case.word) for position in positions]
    known = bool(masks) and all(mask is not None for mask in masks)
    pixels = overlap_scores(maps, case.neuron, masks) if known else None
    return Pointing(case, positions, pointing_game(maps, regions), overlap_scores(maps, case.neuron, regions), pixels)


@validated()
def scores_by(probe: Probe, played: Pointing, column: str) -> pd.DataFrame:
    """Pointing scores by a column of the probe's table: images, hit, random place; all as one where it has no such column."""
    table, scores = probe.table, played.scores
    groups = table[column].iloc[played.positions].to_numpy() if column in table else ["all"] * len(scores)
    found = scores.groupby(groups).agg(images=("hit", "size"), hit=("hit", "mean"), chance=("chance", "mean"))
    found = found.sort_values("hit", ascending=False, kind="stable").rename(columns={"chance": "random place"})
    shares = ["hit", "random place"]
    found[shares] = found[shares].map(percent)
    return found


def mask_of(probe: Probe, position: int, finding: str) -> np.ndarray | None:
    """The pixels of a finding; None of images whose pixels are not known, or that do not show it."""
    try:
        mask = finding_mask(probe, position, finding)
    except ValueError:  # no phantom
        return None
    return mask if mask.any() else None


def boxes_of(probe: Probe, position: int, finding: str) -> list[dict]:
    try:
        return of_finding(probe.boxes(position), finding)
    except LookupError:  # these images have no marked boxes
        return []
