"""The case of a neuron: its top concepts beside the images that it responds to, and where in them."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from mdissect.localize import Patch, ReceptiveField


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
        The top concepts, best first: rows of `Dissection.labels` (needs: what it takes beyond one mammogram) and has_word.
    top : DataFrame
        The strongest images, strongest first: rows of `Dissection.top_images` and shows_word (boolean, <NA> if unknown).
    images : list of arrays (height, width[, 3])
    heats : list of float32 arrays (height, width)
        Where the neuron responds in each, see `mdissect.localize.activation_map`.
    boxes : list of list of dict
        Boxes of the findings that have the word, where they are marked.
    masks : list of bool arrays (height, width), or None
        The pixels of the finding in each image, where they are known (phantoms).
    field : ReceptiveField
        Of the layer.
    patches : list of Patch
        Of each image the part around the neuron's strongest place, as large as what a place of the layer sees.
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
    masks: list[np.ndarray | None]
    field: ReceptiveField
    patches: list[Patch]

    @property
    def label(self) -> str:
        """The neuron's label; where a calibrated dissection gives it none, its most similar concept."""
        return self.verdict.concept or self.concepts.concept.iloc[0]

    @property
    def highest(self) -> float:
        """The neuron's strongest place in the images shown: the end of the scale on which they are drawn."""
        return float(max(heat.max() for heat in self.heats))

    @property
    def beyond_one_view(self) -> pd.DataFrame:
        """The top concepts that a single mammogram cannot show, as the concept set has it: concept, needs."""
        return self.concepts.loc[self.concepts.needs != "", ["concept", "needs"]]

    @property
    def passes(self) -> bool:
        """Whether the neuron's label reaches the threshold; of a calibrated dissection, whether it has one."""
        return bool(self.verdict.passes)

    @property
    def judged(self) -> str:
        """In words: what became of the label."""
        if "q" not in self.verdict:
            reach = "above" if self.passes else "below"
            scores = f"(similarity {self.verdict.similarity:.2f}, {reach} this probe's threshold {self.threshold:.2f})"
            return f"its label is *{self.label}* {scores}"
        if not self.passes:
            return f"no label of it is better than chance (q = {self.verdict.q:.2g})"
        return f"its label is *{self.label}*, which is better than chance (q = {self.verdict.q:.2g})"

    def summary(self) -> str:
        """In words: how many of the top concepts and of the strongest images are about the word."""
        concepts = f"**{self.concepts.has_word.sum()} of {len(self.concepts)}** top concepts have *{self.word}* in them"
        known = self.top.shows_word.dropna()
        images = (
            f"**{known.sum()} of {len(known)}** strongest images show it" if len(known) else "what the images show is not known"
        )
        beyond = "; ".join(f"*{row.concept}* (needs {row.needs})" for row in self.beyond_one_view.itertuples())
        rest = f" A single mammogram cannot show {beyond}." if beyond else ""
        return f"Neuron {self.neuron} of {self.layer}: {self.judged}; {concepts}, {images}.{rest}"
