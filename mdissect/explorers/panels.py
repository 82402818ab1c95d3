"""The panel of each model in a comparison: one channel, or one concept."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from mdissect.explorers.bars import Bar, bars_of
from mdissect.explorers.changes import correlation
from mdissect.explorers.sides import SideBySide

MOST_SIMILAR, NEAREST, TILES = 6, 5, 4


@dataclass(frozen=True)
class Panel:
    """What is shown of a model."""

    title: str
    lines: Sequence[str] = ()  # sentences below the bars
    bars: Sequence[Bar] = ()
    neurons: Sequence[int] = ()  # of a concept: the neuron that each bar stands for
    images: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=["image", "activation"]))
    caption: str = ""  # what the images are
    model: str = ""
    place: tuple[str, int] | None = None  # the layer and neuron whose images they are
    shared: str = ""  # what its top images share


def channel_panel(sides: SideBySide, model: str, depth: str, neuron: int, first: str) -> Panel:
    """One neuron in a model: its label there, and whether it is the label that it has in the `first` model."""
    layer, reading = sides.layer(model, depth), sides.readings[model]
    if neuron >= sides.n_neurons(model, depth):
        has = f"{layer} has neurons 0 to {sides.n_neurons(model, depth) - 1} here."
        return Panel(f"{model}: no neuron {neuron}", [has], model=model)
    concepts = reading.concepts(layer, neuron, MOST_SIMILAR)
    label = sides.label(model, depth, neuron)
    lines = [
        _against_threshold(sides, model, depth, neuron),
        _against_first(sides, model, depth, neuron, first),
        *map(_sentence, reading.trust.words(layer, neuron, label).splitlines()),
        reading.note(layer, neuron),
    ]
    return Panel(
        title=f"{model}: {label or 'no label'}",
        lines=[line for line in lines if line],
        bars=bars_of(concepts),
        images=reading.images(layer, neuron, "strongest", TILES),
        caption=f"Strongest images of {model}, {layer}, neuron {neuron}",
        model=model,
        place=(layer, neuron),
        shared=reading.shared(layer, neuron),
    )


def concept_panel(sides: SideBySide, model: str, depth: str, concept: str) -> Panel:
    """One concept in a model: its nearest neurons at a depth, and the strongest images of the nearest."""
    members, layer = sides.members(concept), sides.layer(model, depth)
    near, _ = sides.neurons(members, model, depth, 0, NEAREST)
    n_carriers = int(sides.summary(members).query("model == @model and layer == @depth").neurons.iloc[0])
    if near.empty:
        return Panel(f"{model}: the similarity of “{concept}” to {layer} is not known", model=model)
    bars = [
        Bar(
            row.label or "no label",
            row.similarity,
            sides.categories_of(concept)[1],
            "this label" if row.carries else "this label, below the threshold" if row.called else "other label",
            bold=row.carries,
        )
        for row in near.itertuples()
    ]
    carried = f"{n_carriers} of the {sides.n_neurons(model, depth)} neurons" if n_carriers else "no neuron"
    best = int(near.neuron.iloc[0])
    return Panel(
        title=f"{model}: label of {carried} of {layer}; the nearest:",
        bars=bars,
        neurons=[int(neuron) for neuron in near.neuron],
        images=sides.readings[model].images(layer, best, "strongest", TILES),
        caption=f"Strongest images of {model}, {layer}, neuron {best}",
        model=model,
        place=(layer, best),
        shared=sides.readings[model].shared(layer, best),
    )


def _sentence(words: str) -> str:
    return f"Evidence: {words}." if words.startswith(("q ", "p ")) else f"{words[0].upper()}{words[1:]}."


def _against_threshold(sides: SideBySide, model: str, depth: str, neuron: int) -> str:
    """A neuron's similarity to its label, compared with the threshold."""
    similarity, tau = sides.label_similarity(model, depth, neuron), sides.threshold(depth)
    if np.isnan(similarity):
        return ""
    reach = "above" if similarity >= tau else "below"
    calibrated = "; the label is better than chance" if sides.readings[model].dissection.trusted is not None else ""
    return f"Similarity {similarity:.2f} ({reach} threshold {tau:.2f}){calibrated}."


def _against_first(sides: SideBySide, model: str, depth: str, neuron: int, first: str) -> str:
    """How a neuron differs from what it is in the first model."""
    if model == first:
        return ""
    if neuron >= sides.n_neurons(first, depth):
        return f"{first} has no such neuron."
    before, now = (sides.label(which, depth, neuron) for which in (first, model))
    same = "label kept" if before == now and now else f"label changed from “{before or 'none'}”"
    if before != now and before and now:
        shared = set(sides.categories_of(before)[0].split("; ")) & set(sides.categories_of(now)[0].split("; ")) - {""}
        same += f" within {', '.join(sorted(shared))}" if shared else ""
    r, n_images = correlation(sides, first, model, depth, neuron)
    together = "" if np.isnan(r) else f"; its activations correlate with {first}’s by {r:.2f} over {n_images} images"
    return f"{same[0].upper()}{same[1:]}{together}."
