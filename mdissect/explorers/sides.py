"""Tables that compare several dissections: neurons with a concept, labels of a channel; no model is needed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from mdissect.concepts import ConceptSet, with_categories
from mdissect.dissection import Dissection
from mdissect.explorers.checks import of_each
from mdissect.explorers.neuron_images import image_rows
from mdissect.explorers.reading import Reading, thresholds_by_depth
from mdissect.explorers.search import WordSearch, name_embeddings


@dataclass(frozen=True)
class Neurons:
    """The neurons of a layer of a model."""

    scores: np.ndarray  # (n_neurons, n_concepts of the model)
    label: np.ndarray  # (n_neurons,) int: the label of each among all models' concepts, -1 for none
    passes: np.ndarray  # (n_neurons,) bool: the label reaches the threshold; if calibrated: there is one


class SideBySide:
    """Dissections to compare, with labels and thresholds computed once; layers are matched by depth.

    The threshold of a depth is the largest of all models', its name in `layers` the layer's own or the models' joined by " /
    ". `readings` is by model; `concepts` and `words` are of all models, `groups` maps broad categories to their categories.
    `carried` (n_concepts,) int counts the neurons of all models with a concept as their label, above the threshold (in words:
    `passing`). `remarks` are cautions for a comparison of these models.

    ValueError: no dissection, layers that differ in number or order, or calibrated models beside others.
    """

    def __init__(
        self, dissections: Mapping[str, Dissection] | Dissection, dissector=None, rule: str = "top",
        trust: Mapping[str, pd.DataFrame | None] | pd.DataFrame | None = None,
    ):  # fmt: skip
        found = _named(dissections)
        self.models, tables = list(found), of_each(found, "trust", trust)
        self.readings = {model: Reading(one, dissector, rule, tables[model]) for model, one in found.items()}
        self.layers = _depths(found)
        self._thresholds = dict(zip(self.layers, thresholds_by_depth(list(found.values()), rule), strict=True))
        for reading in self.readings.values():
            reading.take_thresholds(list(self._thresholds.values()))
        rows = pd.concat([dissection.concepts.table for dissection in found.values()])
        self.concepts = ConceptSet.from_table(rows.drop_duplicates(["concept", "category", "broad_category"]))
        self._names = np.array(self.concepts.names, dtype=object)
        self._place = {name: i for i, name in enumerate(self._names)}
        groups = with_categories(pd.DataFrame({"concept": self._names}), self.concepts)
        self._needs_of = dict(zip(groups.concept, groups.needs, strict=True))
        self._groups_of = dict(zip(groups.concept, zip(groups.category, groups.broad_category, strict=True), strict=True))
        table = self.concepts.table[lambda rows: rows.broad_category != ""]
        self.groups = {
            broad: [name for name in part.category.unique() if name]
            for broad, part in table.groupby("broad_category", sort=False)
        }
        self._own = {model: self._columns(dissection) for model, dissection in found.items()}
        self._neurons = {(model, depth): self._ready(model, depth) for model in self.models for depth in self.layers}
        self._nearest: tuple[bytes, dict[tuple[str, str], np.ndarray]] = (b"", {})
        self.carried = sum(np.bincount(n.label[n.passes], minlength=len(self._names)) for n in self._neurons.values())
        self.words = WordSearch(self._names, dissector, self.carried, self._embeddings(found, dissector))
        self.passing = _passing(found)
        self.remarks = _remarks(found, self)

    def _embeddings(self, found: Mapping[str, Dissection], dissector) -> np.ndarray | None:
        """The dissector's embeddings of all concepts, where one of the results holds them."""
        same = (one for one in found.values() if list(one.concepts.names) == self._names.tolist())
        return next((known for one in same if (known := name_embeddings(one, dissector)) is not None), None)

    def layer(self, model: str, depth: str) -> str:
        """A model's name of the layer at a depth (one of `layers`)."""
        return self.readings[model].dissection.layers[self.layers.index(depth)]

    def depth(self, model: str, layer: str) -> str:
        """The name in `layers` of a model's layer."""
        return self.layers[self.readings[model].dissection.layers.index(layer)]

    def n_neurons(self, model: str, depth: str) -> int:
        return len(self._neurons[model, depth].label)

    def at(self, model: str, depth: str) -> Neurons:
        """The neurons of a model at a depth."""
        return self._neurons[model, depth]

    def threshold(self, depth: str) -> float | None:
        """None if no neuron of any model could be named."""
        return self._thresholds[depth]

    def categories_of(self, concept: str) -> tuple[str, str]:
        """category and broad category of a concept, "" where there is none; several are joined by "; "."""
        return self._groups_of[concept]

    def label_similarity(self, model: str, depth: str, neuron: int) -> float:
        """The similarity of a neuron to its label; NaN where it has none."""
        here = self._neurons[model, depth]
        index = here.label[neuron]
        return float(here.scores[neuron, self._own[model][index]]) if index >= 0 else float("nan")

    def label(self, model: str, depth: str, neuron: int) -> str:
        """The label of a neuron; "" when it has none."""
        index = self._neurons[model, depth].label[neuron]
        return self._names[index] if index >= 0 else ""

    def needs(self, concept: str) -> str:
        """What it takes beyond one mammogram to see a concept; "" for nothing."""
        return self._needs_of[concept]

    def among(self, names: Iterable[str]) -> np.ndarray:
        """The concepts with these names, (n_concepts,) bool."""
        return np.isin(self._names, list(names))

    def members(self, concept: str = "", category: str = "") -> np.ndarray:
        """The chosen concepts, (n_concepts,) bool: one, those of a category or broad category, or all."""
        if concept:
            return self.among([concept])
        if not category:
            return np.ones(len(self._names), dtype=bool)
        table = self.concepts.table
        return self.among(table.concept[(table.category == category) | (table.broad_category == category)])

    def names(self, members: np.ndarray) -> list[str]:
        """The names of some concepts (n_concepts,), in the order of the concept set."""
        return self._names[members].tolist()

    def options(self, names: Iterable[str]) -> list[tuple[str, str]]:
        """Concepts for a drop-down: each with its number of neurons in all models, and its name."""
        counts = [(name, self.carried[self._place[name]]) for name in names]
        return [(f"{name} ({n} {'neuron' if n == 1 else 'neurons'})" if n else name, name) for name, n in counts]

    def summary(self, members: np.ndarray) -> pd.DataFrame:
        """Neurons with any of some concepts: model, layer, neurons (with such a label that passes), share (of the layer's
        neurons), best (the highest similarity of any neuron to any of them, NaN where none is known), threshold."""
        rows = []
        for (model, depth), near in self._near(members).items():
            neurons = int(self._carries(model, depth, members).sum())
            best = float(np.fmax.reduce(near, initial=np.nan))
            rows.append((model, depth, neurons, neurons / max(len(near), 1), best, self._thresholds[depth]))
        return pd.DataFrame(rows, columns=["model", "layer", "neurons", "share", "best", "threshold"])

    def neurons(
        self, members: np.ndarray, model: str = "", depth: str = "", start: int = 0, n: int = 10
    ) -> tuple[pd.DataFrame, int]:
        """A part of the list of the neurons nearest to some concepts (n_concepts,), and the length of the whole list.

        model, layer (the model's own name), depth, neuron, concept (the nearest of the members), similarity, label, called
        (whether the label is a member), carries (whether it also passes), threshold; those first, then by
        similarity. `model` and `depth` choose ("" for all). Neurons whose similarity to the members is unknown are not on it.
        """
        near = {
            place: values
            for place, values in self._near(members).items()
            if model in ("", place[0]) and depth in ("", place[1])
        }
        parts = [(place, np.flatnonzero(~np.isnan(values))) for place, values in near.items()]
        which = np.repeat(np.arange(len(parts)), [len(known) for _, known in parts])
        neuron = np.concatenate([known for _, known in parts])
        similarity = np.concatenate([near[place][known] for place, known in parts])
        carries = np.concatenate([self._carries(*place, members)[known] for place, known in parts])
        order = np.lexsort((-similarity, ~carries))
        rows = [self._described(parts[which[i]][0], int(neuron[i]), members) for i in order[start : start + n]]
        columns = ["model", "layer", "depth", "neuron", "concept", "similarity", "label", "called", "carries", "threshold"]
        return pd.DataFrame(rows, columns=columns), len(order)

    def images(self, concept: str, model: str = "", k: int = 8) -> tuple[pd.DataFrame, str]:
        """The images that a dissector finds most similar to a concept, and the model in whose dissection.

        image (id), similarity, then the probe's metadata; of the model asked for, or the first that has them ("" for none).
        """
        for name in [model] if model else self.models:
            dissection, column = self.readings[name].dissection, self._own[name][self._place[concept]]
            if dissection.image_concept_sims is None or column < 0:
                continue
            values = dissection.image_concept_sims[:, column]
            order = np.argsort(-values, kind="stable")[:k]
            return image_rows(dissection.probe_table, order, "similarity", values), name
        return pd.DataFrame(columns=["image", "similarity"]), ""

    def _columns(self, dissection: Dissection) -> np.ndarray:
        """In which column of a model's similarities each of all concepts stands (n_concepts,); -1 for nowhere."""
        columns = np.full(len(self._names), -1)
        names = dissection.concepts.names
        columns[[self._place[name] for name in names]] = np.arange(len(names))
        return columns

    def _ready(self, model: str, depth: str) -> Neurons:
        dissection, layer = self.readings[model].dissection, self.layer(model, depth)
        scores = dissection.similarity[layer]
        if dissection.trusted is not None:
            rows = dissection.trusted.query("layer == @layer").sort_values("neuron")
            label = np.array([self._place.get(concept, -1) for concept in rows.concept], dtype=int)
            return Neurons(scores, label, label >= 0)
        own = self._own[model]
        place = np.empty(scores.shape[1], dtype=int)
        place[own[own >= 0]] = np.flatnonzero(own >= 0)
        filled = np.where(np.isnan(scores), -np.inf, scores)
        best = filled.argmax(axis=1)
        top, tau = filled[np.arange(len(best)), best], self._thresholds[depth]
        return Neurons(scores, np.where(np.isfinite(top), place[best], -1), top >= (np.inf if tau is None else tau))

    def _carries(self, model: str, depth: str, members: np.ndarray) -> np.ndarray:
        neurons = self._neurons[model, depth]
        return neurons.passes & (neurons.label >= 0) & members[neurons.label]

    def _near(self, members: np.ndarray) -> dict[tuple[str, str], np.ndarray]:
        """Each neuron's highest similarity to some concepts; the last answer is kept."""
        key = members.tobytes()
        if self._nearest[0] != key:
            near = {}
            for (model, depth), neurons in self._neurons.items():
                columns = self._own[model][members]
                near[model, depth] = np.fmax.reduce(neurons.scores[:, columns[columns >= 0]], axis=1, initial=np.nan)
            self._nearest = key, near
        return self._nearest[1]

    def _described(self, place: tuple[str, str], neuron: int, members: np.ndarray) -> tuple:
        (model, depth), here = place, self._neurons[place]
        columns = np.where(members, self._own[model], -1)
        scores = np.where(columns >= 0, here.scores[neuron, columns], np.nan)
        best, label = int(np.nanargmax(scores)), here.label[neuron]
        called = bool(label >= 0 and members[label])
        name = self._names[label] if label >= 0 else ""
        passes = called and bool(here.passes[neuron])
        layer, tau = self.layer(model, depth), self._thresholds[depth]
        return model, layer, depth, neuron, self._names[best], float(scores[best]), name, called, passes, tau


def _named(dissections: Mapping[str, Dissection] | Dissection) -> dict[str, Dissection]:
    if isinstance(dissections, Dissection):
        return {str(dissections.settings.get("target", "model")): dissections}
    if not dissections:
        raise ValueError('no dissection was given; expected {"M": dissection, ...}')
    return {str(model): found for model, found in dissections.items()}


def _depths(found: Mapping[str, Dissection]) -> list[str]:
    """A name for each depth."""
    listed = " and ".join(f"{model}: {', '.join(dissection.layers)}" for model, dissection in found.items())
    if len({len(dissection.layers) for dissection in found.values()}) > 1:
        raise ValueError(f"the models have different numbers of layers ({listed}); dissect as many of each, in the same order")
    names = [tuple(dict.fromkeys(at)) for at in zip(*(dissection.layers for dissection in found.values()), strict=True)]
    if len({name for at in names for name in at}) < sum(map(len, names)):
        raise ValueError(f"the models have the same layers in another order ({listed}); dissect them in one order")
    return [" / ".join(at) for at in names]


def _passing(found: Mapping[str, Dissection]) -> str:
    calibrated = [model for model, dissection in found.items() if dissection.trusted is not None]
    if 0 < len(calibrated) < len(found):
        raise ValueError(
            f"of {', '.join(found)} only {', '.join(calibrated)} are calibrated; give all calibrated(), or .published"
        )
    return "better than chance" if calibrated else "above the threshold"


def _remarks(found: Mapping[str, Dissection], sides: SideBySide) -> list[str]:
    remarks = []
    if len({(d.settings.get("dissector"), d.settings.get("dissector_weights")) for d in found.values()}) > 1:
        each = ", ".join(f"{model} by {d.settings.get('dissector', '?')}" for model, d in found.items())
        remarks.append(f"Seen by different dissectors ({each}): similarities are not on one scale.")
    if len({tuple(d.probe_table.index) for d in found.values() if d.activations}) > 1:
        remarks.append("The models were not shown the same images.")
    if any(set(one.concepts.names) != set(two.concepts.names) for one, two in combinations(found.values(), 2)):
        known = set.intersection(*(set(d.concepts.names) for d in found.values()))
        remarks.append(
            f"{len(sides.concepts) - len(known)} of {len(sides.concepts)} concepts are not in every model's concept set."
        )
    if any(" / " in depth for depth in sides.layers):
        remarks.append("Layers are compared by depth, as their names differ.")
    for depth in sides.layers:
        sizes = {model: sides.n_neurons(model, depth) for model in sides.models}
        if len(set(sizes.values())) > 1:
            each = ", ".join(f"{n} in {model}" for model, n in sizes.items())
            remarks.append(f"Numbers of neurons differ in {depth} ({each}): channels of one number need not belong together.")
    if bare := ", ".join(model for model, d in found.items() if not d.activations and not d.top_activations):
        remarks.append(f"{bare}: no activations (read from a CSV), so that neither their images nor correlations can be shown.")
    return remarks
