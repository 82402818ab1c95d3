"""A dissection as the tables that an explorer shows; only a search in free words needs a model."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import pandas as pd

from mdissect import analysis
from mdissect.dissection import Dissection, shown_id
from mdissect.explorers.checks import consistent
from mdissect.explorers.neuron_images import NeuronImages, image_rows
from mdissect.explorers.search import Match, WordSearch, name_embeddings
from mdissect.explorers.trust_table import Trust
from mdissect.facts import TableFacts, in_words, shared_facts
from mdissect.metrics import auc_of_ranks

EVERYTHING = "all images"
MOST_GROUPS = 6
BINS = 24


@dataclass(frozen=True)
class Found:
    """Neurons of a layer found by a search."""

    neurons: pd.DataFrame  # neuron, concept (the one that counted), similarity; the most similar first
    concepts: tuple[str, ...] = ()  # what was searched for, the best match first
    note: str = ""  # how the words were understood, or why nothing was found
    match: Match = field(default_factory=Match)
    total: int = 0  # neurons that there are, listed or not
    near: bool = True  # whether the first is labelled so, or reaches the threshold


@dataclass(frozen=True)
class Group:
    """A neuron's activations over some of the images."""

    name: str
    n_images: int
    shares: np.ndarray  # (n_bins,), of the group's images
    auc: float  # how well the activation separates these images from all others; NaN where there are no others


@dataclass(frozen=True)
class OfImage:
    """One image as a layer and the dissector see it; deviations are from the mean over the probe, in standard deviations.

    They are NaN, and `rank` 0, where too few activations were kept to know them.
    """

    row: pd.Series  # image (id), activation, deviations and rank (1: its strongest image) of the neuron, then metadata
    neurons: pd.DataFrame  # others, highest above their mean: neuron, deviations, rank, concept ("" when it has no name)
    concepts: pd.DataFrame  # the nearest by the dissector: concept, similarity, deviations; empty where that is not known


class Reading(NeuronImages):
    """Tables of a dissection, neuron by neuron; `warnings` lists its problems.

    The dissector understands searches for words that no concept has; `rule` is that of `mdissect.analysis.thresholds`;
    `trust` says how far the labels can be trusted (`Trust`), by default the dissection's own table, if it is calibrated;
    `kept` is that of `WordSearch`.
    """

    def __init__(self, dissection: Dissection, dissector=None, rule: str = "top", trust: pd.DataFrame | None = None, kept=None):
        dissection, self.warnings = consistent(dissection)
        super().__init__(dissection)
        self.rule = rule
        self.trust = Trust(dissection.trusted if trust is None else trust, dissection)
        self._thresholds = dict(zip(dissection.layers, thresholds_by_depth([dissection], rule), strict=True))
        self.compared = False  # whether the thresholds are those of a comparison
        table = dissection.concepts.table
        self._categories = table.drop_duplicates("concept").set_index("concept").broad_category.to_dict()
        self.words = WordSearch(self.names, dissector, embeddings=name_embeddings(dissection, dissector), kept=kept)
        self._found: dict[tuple[str, str, int | None], Found] = {}
        self._pseudonyms = dissection.pseudonyms
        self._moments: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    def n_neurons(self, layer: str) -> int:
        return len(self.dissection.similarity[layer])

    def threshold(self, layer: str) -> float | None:
        """The layer's threshold; None if no neuron could be named."""
        return self._thresholds[layer]

    def take_thresholds(self, thresholds: Sequence[float | None]) -> None:
        """Use the thresholds of a comparison, layer by layer, in place of the dissection's own."""
        self._thresholds, self.compared = dict(zip(self.dissection.layers, thresholds, strict=True)), True

    def note(self, layer: str, neuron: int) -> str:
        """Why a neuron cannot be named, or a problem with its label; else ""."""
        return str(self.dissection.notes[layer][neuron]) if layer in self.dissection.notes else ""

    @cached_property
    def counting(self) -> list[tuple[str, int]]:
        """The neurons (layer, neuron) whose label counts: better than chance if that is known, else above the threshold."""
        if self.dissection.trusted is not None:
            labels = self.dissection.labels()
            counts = labels.concept != ""
        else:
            labels = self.dissection.top_concepts(1)
            counts = labels.similarity >= labels.layer.map(self.threshold).astype(float)
        return [(layer, int(neuron)) for layer, neuron in labels.loc[counts, ["layer", "neuron"]].itertuples(index=False)]

    def shared(self, layer: str, neuron: int) -> str:
        """What a neuron's top images share, in words (`mdissect.analysis.shared_facts`); "" for nothing, or if unknown."""
        if not (kept := self.images_kept(layer)) or not len(self.dissection.probe_table.columns):
            return ""
        top = None if layer in self.dissection.activations else kept
        return in_words(shared_facts(self.dissection, layer, neuron, top, known=self._facts))

    @cached_property
    def _facts(self) -> TableFacts:
        return TableFacts.of(self.dissection)

    def concepts(self, layer: str, neuron: int, top: int = 10) -> pd.DataFrame:
        """A neuron's most similar concepts: concept, similarity, broad_category; empty when it cannot be named."""
        scores = self.dissection.similarity[layer][neuron]
        order = np.argsort(-np.where(np.isnan(scores), -np.inf, scores), kind="stable")[:top]
        order = order[~np.isnan(scores[order])]
        names = self.names[order]
        groups = [self._categories[name] or analysis.UNGROUPED for name in names]
        return pd.DataFrame({"concept": names, "similarity": scores[order], "broad_category": groups})

    def search(self, layer: str, words: str, top: int | None = 50) -> Found:
        """The neurons of a layer that are most similar to the concepts that `WordSearch` finds; `top` None: all of them."""
        if (layer, words, top) not in self._found:
            self._found[layer, words, top] = self._search(layer, self.words(words), top)
        return self._found[layer, words, top]

    def of_image(self, layer: str, neuron: int, image_id: str, k: int = 5) -> OfImage:
        """An image's activations and similarities, compared with all other images; KeyError without activations.

        `neurons` leaves out the one in view.
        """
        table = self.dissection.probe_table
        at = table.index.get_loc(image_id)
        standing = self._standing_of_kept if self.strongest_alone(layer) else self._standing
        activation, own, neurons = standing(layer, neuron, at, k)
        patient = table.iloc[at].get("patient")
        row = {"image": shown_id(image_id, patient), "activation": activation, **own}
        rest = table.iloc[at].drop(list(row), errors="ignore")
        rest = rest.map(lambda value: shown_id(value, patient) if isinstance(value, str) else value)
        if "patient" in rest:
            rest["patient"] = self._pseudonyms.get(patient, "")
        neurons = neurons.assign(concept=[self.label(layer, int(n)) for n in neurons.neuron])
        return OfImage(pd.concat([pd.Series(row, dtype=object), rest]), neurons, self._concepts_of(at, k))

    def _standing(self, layer: str, neuron: int, at: int, k: int) -> tuple[float, dict, pd.DataFrame]:
        """The activation of the image at a position, its deviations and rank for a neuron, and the k other highest neurons."""
        activations, (mean, spread) = self.dissection.activations[layer], self.moments(layer)
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            deviations = np.where(spread > 0, (activations[at] - mean) / spread, np.nan)
        highest = np.argsort(-np.nan_to_num(deviations, nan=-np.inf), kind="stable")[: k + 1]
        highest = highest[np.isfinite(deviations[highest]) & (highest != neuron)][:k]
        first, *ranks = [1 + int((activations[:, n] > activations[at, n]).sum()) for n in (neuron, *highest)]
        neurons = pd.DataFrame({"neuron": highest, "deviations": deviations[highest], "rank": ranks})
        return activations[at, neuron], {"deviations": deviations[neuron], "rank": first}, neurons

    def _standing_of_kept(self, layer: str, neuron: int, at: int, k: int) -> tuple[float, dict, pd.DataFrame]:
        """`_standing` where each neuron's strongest images alone were kept: those that have the image among these, by rank."""
        top = self.dissection.top_activations[layer]
        found = pd.DataFrame(np.argwhere(top.images == at), columns=["neuron", "rank"]).assign(deviations=np.nan)
        found["rank"] += 1
        own, others = found[found.neuron == neuron], found[found.neuron != neuron].sort_values("rank", kind="stable")
        first = 0 if own.empty else int(own["rank"].iloc[0])
        activation = top.activations[neuron, first - 1] if first else np.nan
        return activation, {"deviations": np.nan, "rank": first}, others.head(k).reset_index(drop=True)

    @cached_property
    def splits(self) -> dict[str, pd.Series]:
        """Ways to split the images: name to the group of each image (NaN: not known).

        Columns of the probe's table with 2 to 6 values, and "findings: mass" for each further finding of the column findings.
        """
        table, found = self.dissection.probe_table, {}
        for name in table.columns:
            if name in ("findings", "patient"):
                continue
            values = table[name].map(_name, na_action="ignore")
            if 2 <= values.nunique() <= MOST_GROUPS:
                found[str(name)] = values
        if "findings" in table:
            listed = table.findings.fillna("").astype(str).str.split("; ")
            counted = listed.explode().value_counts()
            for finding in counted.index:
                if not finding or finding.replace(" ", "_") in found:
                    continue
                shown = listed.map(lambda names, finding=finding: "with it" if finding in names else "without")
                found[f"findings: {finding}"] = shown.where(table.findings.notna())
        return found

    def histogram(self, layer: str, neuron: int, split: str = EVERYTHING) -> tuple[np.ndarray, list[Group]]:
        """Edges (n_bins + 1,) and a neuron's activations in each group of a split, by name; empty without finite ones."""
        if layer not in self.dissection.activations:
            return np.array([]), []
        column = self.dissection.activations[layer][:, neuron]
        finite = np.isfinite(column)
        if not finite.any():
            return np.array([]), []
        column = column.astype(np.float64)
        edges = _edges(column[finite])
        if split == EVERYTHING:
            return edges, [_group(EVERYTHING, column[finite], edges, float("nan"))]
        values = self.splits[split]
        known = finite & values.notna().to_numpy()
        column, values = column[known], values.to_numpy()[known]
        ranks = pd.Series(column).rank().to_numpy()
        parts = [(name, values == name) for name in sorted(set(values))]
        return edges, [_group(name, column[part], edges, float(auc_of_ranks(ranks, part))) for name, part in parts]

    def _search(self, layer: str, match: Match, top: int | None) -> Found:
        members = np.isin(self.names, match.concepts)
        if not members.any():
            return Found(pd.DataFrame({"neuron": [], "concept": [], "similarity": []}), note=match.note, match=match)
        scores = self.dissection.similarity[layer][:, members]
        named = np.flatnonzero(~np.isnan(scores).all(axis=1))
        scores = np.where(np.isnan(scores), -np.inf, scores)[named]
        best = scores.argmax(axis=1)
        table = pd.DataFrame({"neuron": named, "concept": self.names[members][best], "similarity": scores.max(axis=1)})
        shown = table.similarity.round(3)  # beyond these digits processors differ: alike means in the order of the neurons
        listed = table.iloc[np.argsort(-shown, kind="stable")[:top]].reset_index(drop=True)
        if not len(table):
            unknown = f"{match.note}, but their similarity to neurons of {layer} is not known"
            return Found(listed, match.concepts, unknown, match)
        first, tau = listed.iloc[0], self.threshold(layer)
        near = tau is None or first.similarity >= tau or self.label(layer, first.neuron) in match.concepts
        counted = f"; {len(listed)} of {len(table)} neurons are listed, the most similar first"
        none = f", but none is labelled so or reaches the threshold (neuron {first.neuron}: {first.similarity:.2f})"
        return Found(listed, match.concepts, match.note + counted + none * (not near), match, len(table), near)

    def _concepts_of(self, at: int, k: int) -> pd.DataFrame:
        """The concepts nearest to the image at a position: see `OfImage`."""
        sims = self.dissection.image_concept_sims
        if sims is None:
            return pd.DataFrame({"concept": [], "similarity": [], "deviations": []})
        nearest = np.argsort(-sims[at], kind="stable")[:k]
        mean, spread = sims[:, nearest].mean(axis=0), sims[:, nearest].std(axis=0)
        deviations = np.divide(sims[at, nearest] - mean, spread, out=np.zeros_like(mean), where=spread > 0)
        return pd.DataFrame({"concept": self.names[nearest], "similarity": sims[at, nearest], "deviations": deviations})

    def moments(self, layer: str) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation over the probe of each neuron's activation (n_neurons,)."""
        if layer not in self._moments:
            activations = self.dissection.activations[layer]
            with np.errstate(invalid="ignore", over="ignore"):
                self._moments[layer] = activations.mean(axis=0, dtype=np.float64), activations.std(axis=0)
        return self._moments[layer]


def thresholds_by_depth(dissections: Sequence[Dissection], rule: str) -> list[float | None]:
    """The largest threshold of the dissections at each depth (`analysis.thresholds`); None if no neuron could be named."""
    taus = []
    for scores in zip(*(dissection.similarity.values() for dissection in dissections), strict=True):
        at = [replace(d, similarity={"depth": s}) for d, s in zip(dissections, scores, strict=True) if not np.isnan(s).all()]
        taus.append(float(analysis.thresholds(*at, rule=rule).threshold.iloc[0]) if at else None)
    return taus


def nearest_images(words: WordSearch, dissection: Dissection, query: str, k: int) -> pd.DataFrame:
    """The images nearest to the words of a query: image (id), similarity, then metadata; ValueError as `WordSearch.images`."""
    near = words.images(dissection, query, k)
    values = np.full(len(dissection.probe_table), np.nan)
    values[near.position] = near.similarity
    return image_rows(dissection.probe_table, near.position.to_numpy(), "similarity", values)


def _group(name: str, values: np.ndarray, edges: np.ndarray, auc: float) -> Group:
    counts, _ = np.histogram(values, edges)
    return Group(name, len(values), counts / max(len(values), 1), auc)


def _edges(values: np.ndarray) -> np.ndarray:
    """The edges of `BINS` bins; one bin for values that are too alike to be told apart by as many."""
    low, high = float(values.min()), float(values.max())
    edges = np.linspace(low, high, BINS + 1)
    if (np.diff(edges) > 0).all() and np.isfinite(edges).all():
        return edges
    margin = max(abs(low), 1.0) * 1e-6
    return np.array([low - margin, high + margin]) if np.isfinite(high + margin) else np.array([low, high])


def _name(value) -> str:
    """A value of a metadata column as the name of a group: True and "" become "yes" and "none"."""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    return str(value) or "none"
