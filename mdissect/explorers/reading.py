"""A dissection as the tables that an explorer shows; only a search in free words needs a model."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import pandas as pd

from mdissect import analysis
from mdissect.dissection import Dissection, shown_id
from mdissect.explorers.checks import consistent
from mdissect.explorers.choosing import OF_LABEL, between, known_of, ordered, other_views, why_not
from mdissect.explorers.search import Match, WordSearch
from mdissect.explorers.trust_table import Trust
from mdissect.facts import in_words, shared_facts
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


@dataclass(frozen=True)
class Group:
    """A neuron's activations over some of the images."""

    name: str
    n_images: int
    shares: np.ndarray  # (n_bins,), of the group's images
    auc: float  # how well the activation separates these images from all others; NaN where there are no others


@dataclass(frozen=True)
class OfImage:
    """One image as a layer and the dissector see it; deviations are from the mean over the probe, in standard deviations."""

    row: pd.Series  # image (id), activation, deviations and rank (1: its strongest image) of the neuron, then metadata
    neurons: pd.DataFrame  # those highest above their mean: neuron, deviations, rank, concept ("" when it has no name)
    concepts: pd.DataFrame  # the nearest by the dissector: concept, similarity, deviations; empty where that is not known


class Reading:
    """Tables of a dissection, neuron by neuron; `warnings` lists its problems.

    The dissector understands searches for words that no concept has; `rule` is that of `mdissect.analysis.thresholds`;
    `trust` says how far the labels can be trusted (`Trust`), by default the dissection's own table, if it is calibrated.
    """

    def __init__(self, dissection: Dissection, dissector=None, rule: str = "top", trust: pd.DataFrame | None = None):
        dissection, self.warnings = consistent(dissection)
        self.dissection, self.rule = dissection, rule
        self.trust = Trust(dissection.trusted if trust is None else trust, dissection)
        self.names = np.array(dissection.concepts.names, dtype=object)
        self._thresholds = dict(zip(dissection.layers, thresholds_by_depth([dissection], rule), strict=True))
        self.compared = False  # whether the thresholds are those of a comparison
        table = dissection.concepts.table
        self._categories = table.drop_duplicates("concept").set_index("concept").broad_category.to_dict()
        self.words = WordSearch(self.names, dissector)
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

    def label(self, layer: str, neuron: int) -> str:
        """A neuron's most similar concept; "" when it cannot be named."""
        return "".join(self.concepts(layer, neuron, 1).concept)

    def shared(self, layer: str, neuron: int) -> str:
        """What a neuron's top images share, in words (`mdissect.analysis.shared_facts`); "" for nothing, or if unknown."""
        if layer not in self.dissection.activations or not len(self.dissection.probe_table.columns):
            return ""
        return in_words(shared_facts(self.dissection, layer, neuron))

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

    def images(self, layer: str, neuron: int, which: str = "strongest", k: int = 8, span: Sequence[float] = ()) -> pd.DataFrame:
        """Images with a neuron's activation: image (id), activation, then the probe's metadata.

        `which` is one of `choosing.WHICH` ("weakest" begins with the weakest, "random" are the same images for every neuron);
        `span`, if given, are two activations: the images between. Empty for a result without activations.
        """
        if layer not in self.dissection.activations:
            return pd.DataFrame(columns=["image", "activation"])
        column = self.dissection.activations[layer][:, neuron]
        shown = self.shown(layer, neuron) if which in OF_LABEL else None
        order = between(column, *span, k) if len(span) else ordered(column, which, k, shown)
        return image_rows(self.dissection.probe_table, order, "activation", column)

    def other_views(self, layer: str, neuron: int, image_id: str, k: int = 6) -> pd.DataFrame:
        """The other images of an image's patient, as `images`; empty where the patient is not known."""
        order = other_views(self.dissection.probe_table, image_id)[:k]
        return image_rows(self.dissection.probe_table, order, "activation", self.dissection.activations[layer][:, neuron])

    def shown(self, layer: str, neuron: int) -> np.ndarray | None:
        """Whether each image shows the neuron's label: 1, 0 or NaN (n_images,); None: nothing is known of the label."""
        label = self.label(layer, neuron)
        if not label or label not in self._presence:
            return None
        return self._presence[label].astype("boolean").to_numpy(dtype=float, na_value=np.nan)

    def why_not(self, layer: str, neuron: int, which: str) -> str:
        """Why a neuron has no such images (`choosing.WHICH`), or ""."""
        return why_not(which, self.label(layer, neuron), self.shown(layer, neuron))

    @cached_property
    def _presence(self) -> pd.DataFrame:
        return known_of(self.dissection)

    def of_image(self, layer: str, neuron: int, image_id: str, k: int = 5) -> OfImage:
        """An image's activations and similarities, compared with all other images; KeyError without activations."""
        table, activations = self.dissection.probe_table, self.dissection.activations[layer]
        at = table.index.get_loc(image_id)
        mean, spread = self.moments(layer)
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            deviations = np.where(spread > 0, (activations[at] - mean) / spread, np.nan)
        highest = np.argsort(-np.nan_to_num(deviations, nan=-np.inf), kind="stable")[:k]
        highest = highest[np.isfinite(deviations[highest])]
        rank = [1 + int((activations[:, n] > activations[at, n]).sum()) for n in (neuron, *highest)]
        patient = table.iloc[at].get("patient")
        row = {
            "image": shown_id(image_id, patient),
            "activation": activations[at, neuron],
            "deviations": deviations[neuron],
            "rank": rank[0],
        }
        rest = table.iloc[at].drop(list(row), errors="ignore")
        rest = rest.map(lambda value: shown_id(value, patient) if isinstance(value, str) else value)
        if "patient" in rest:
            rest["patient"] = self._pseudonyms.get(patient, "")
        named = [self.label(layer, int(n)) for n in highest]
        neurons = {"neuron": highest, "deviations": deviations[highest], "rank": rank[1:], "concept": named}
        return OfImage(pd.concat([pd.Series(row, dtype=object), rest]), pd.DataFrame(neurons), self._concepts_of(at, k))

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
        counted = f"; {len(listed)} of {len(table)} neurons are listed, the most similar first"
        if not len(table):
            counted = f", but their similarity to neurons of {layer} is not known"
        return Found(listed, match.concepts, match.note + counted, match, len(table))

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


def image_rows(table: pd.DataFrame, order: Iterable[int], name: str, values: np.ndarray) -> pd.DataFrame:
    """The images at some positions: image (id), the column `name` of `values` (n_images,), then the probe's metadata."""
    found = pd.DataFrame({"image": table.index[order].astype(str), name: values[order]})
    rest = table.iloc[order].drop(columns=["image", name], errors="ignore").reset_index(drop=True)
    return pd.concat([found, rest], axis=1)


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
