"""The case of a neuron: its top concepts beside the images that it responds to, and where in them."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from mdissect.analysis import THRESHOLDS, find_neurons, has_word, images_showing, with_verdict
from mdissect.arguments import AT_LEAST_ONE
from mdissect.dissection import Dissection
from mdissect.localize import activation_map, box_region, of_finding
from mdissect.models import Target
from mdissect.probes import Probe
from mdissect.signatures import validated


@dataclass(frozen=True)
class NeuronCase:
    """Everything needed to inspect one neuron.

    Attributes
    ----------
    layer, neuron
    word : str
        What the case is about, such as "calcification".
    threshold : float
        The layer's.
    verdict : Series
        The neuron's row of `mdissect.analysis.with_verdict`: concept (its label; "" where a calibrated dissection gives it
        none), passes, and where calibrated q.
    concepts : DataFrame
        The top concepts, best first: rows of `Dissection.labels`, has_word and evidence (what it takes to see it:
        "single view", "prior exam", ...; "" when the concept set does not say).
    top : DataFrame
        The strongest images, strongest first: rows of `Dissection.top_images` and shows_word (boolean, <NA> if unknown).
    images : list of arrays (height, width[, 3])
    heats : list of float32 arrays (height, width)
        Where the neuron responds in each, see `mdissect.localize.activation_map`.
    boxes : list of list of dict
        Boxes of the findings that have the word, where they are marked.
    """

    layer: str
    neuron: int
    word: str
    threshold: float
    verdict: pd.Series
    concepts: pd.DataFrame
    top: pd.DataFrame
    images: list[np.ndarray]
    heats: list[np.ndarray]
    boxes: list[list[dict]]

    @property
    def beyond_one_view(self) -> pd.DataFrame:
        """The top concepts that a single mammogram cannot show, as the concept set has it: concept, evidence."""
        return self.concepts.loc[~self.concepts.evidence.isin(["", "single view"]), ["concept", "evidence"]]

    @property
    def passes(self) -> bool:
        """Whether the neuron's label reaches the threshold; of a calibrated dissection, whether it has one."""
        return bool(self.verdict.passes)

    @property
    def judged(self) -> str:
        """In words: what became of the label."""
        if "q" not in self.verdict:
            return f"its label {'reaches' if self.passes else 'does not reach'} the threshold"
        if not self.passes:
            return f"no label of it is better than chance (q = {self.verdict.q:.2g})"
        return f"it is called *{self.verdict.concept}*, which is better than chance (q = {self.verdict.q:.2g})"

    def summary(self) -> str:
        """In words: how many of the top concepts and of the strongest images are about the word."""
        concepts = f"**{self.concepts.has_word.sum()} of {len(self.concepts)}** top concepts have *{self.word}* in them"
        known = self.top.shows_word.dropna()
        images = (
            f"**{known.sum()} of {len(known)}** strongest images show it" if len(known) else "what the images show is not known"
        )
        beyond = "; ".join(f"*{row.concept}* ({row.evidence})" for row in self.beyond_one_view.itertuples())
        rest = f" A single mammogram cannot show {beyond}." if beyond else ""
        return f"Neuron {self.neuron} of {self.layer}: {concepts}, {images}; {self.judged}.{rest}"


@validated(thresholds=THRESHOLDS, top=AT_LEAST_ONE)
def choose_neuron(
    dissection: Dissection, word: str, thresholds: pd.DataFrame, layer: str = "", top: int = 5
) -> tuple[str, int]:
    """The neuron that responds most to a word: of those whose label reaches the threshold, if any, the first of `find_neurons`.

    Where no neuron has the word among its top concepts, it is the one most similar to any concept that has it.

    Parameters
    ----------
    layer : str
        Where to look; the last layer when empty.
    top : int
        See `find_neurons`.

    Returns
    -------
    layer, neuron

    Raises
    ------
    ValueError
        No such layer, no concept with the word, or no neuron of the layer could be named.
    """
    layer = layer or dissection.layers[-1]
    if layer not in dissection.layers:
        raise ValueError(f"layer {layer!r} was not dissected; there are {', '.join(dissection.layers)}")
    found = find_neurons(dissection, word, top, thresholds).query("layer == @layer")
    if len(found):
        return layer, int(found.sort_values("passes", ascending=False, kind="stable").neuron.iloc[0])
    about = [has_word(name, word) for name in dissection.concepts.names]
    scores = np.nan_to_num(dissection.similarity[layer][:, about], nan=-np.inf).max(axis=1)
    if np.isneginf(scores).all():
        raise ValueError(f"no neuron of layer {layer!r} could be named; choose another layer")
    return layer, int(scores.argmax())


@validated(thresholds=THRESHOLDS, top=AT_LEAST_ONE)
def neuron_case(
    dissection: Dissection,
    target: Target,
    probe: Probe,
    place: tuple[str, int],
    word: str,
    thresholds: pd.DataFrame,
    top: int = 5,
) -> NeuronCase:
    """Gather the case of a neuron.

    Parameters
    ----------
    dissection : Dissection
        Of that target and probe.
    place : (str, int)
        Layer and neuron.
    thresholds : DataFrame
        See `mdissect.analysis.thresholds`.
    top : int
        How many concepts and images.

    Raises
    ------
    KeyError
        An image of the dissection is not in the probe, or nothing was recorded of the layer.
    IndexError
        No such neuron.
    ValueError
        A layer without places, or without a threshold.
    """
    layer, neuron = place
    strongest = dissection.top_images(layer, neuron, top)
    verdict = with_verdict(dissection, thresholds).query("layer == @layer and neuron == @neuron").iloc[0]
    concepts = dissection.top_concepts(top).query("layer == @layer and neuron == @neuron")
    shown = images_showing(dissection.probe_table, word).loc[strongest.image]
    positions = [probe.position(image) for image in strongest.image]
    images = [probe[position] for position in positions]
    return NeuronCase(
        layer,
        neuron,
        word,
        threshold=float(verdict.threshold),
        verdict=verdict,
        concepts=concepts.assign(
            has_word=[has_word(name, word) for name in concepts.concept],
            evidence=concepts.concept.map(dissection.concepts.table.drop_duplicates("concept").set_index("concept").evidence),
        ),
        top=strongest.assign(shows_word=shown.array),
        images=images,
        heats=[activation_map(target, layer, neuron, image) for image in images],
        boxes=[_boxes(probe, position, word) for position in positions],
    )


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
        if boxes := _boxes(probe, int(position), finding):
            positions.append(int(position))
            regions.append(box_region(boxes, probe[int(position)].shape[:2]))
    return positions, regions


def _boxes(probe: Probe, position: int, finding: str) -> list[dict]:
    try:
        return of_finding(probe.boxes(position), finding)
    except LookupError:  # these images have no marked boxes
        return []
