"""What an explorer tells of a neuron, as tables: read from a saved result, no model needed but for a search in free words."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from mdissect import analysis
from mdissect.concepts import closest
from mdissect.dissection import Dissection
from mdissect.explorers.checks import sound
from mdissect.explorers.worth import Trust

WHICH = ("strongest", "weakest", "random")
EVERYTHING = "all images"
MOST_GROUPS = 6
BINS = 24


@dataclass(frozen=True)
class Found:
    """Neurons of a layer that a search found.

    Attributes
    ----------
    neurons : DataFrame
        neuron, concept (the one that counted), similarity; the most similar first.
    concepts : tuple of str
        What was searched for.
    note : str
        How the words were understood, or why nothing was found.
    """

    neurons: pd.DataFrame
    concepts: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Group:
    """How a neuron's activations are spread over some of the images.

    Attributes
    ----------
    name : str
    n_images : int
    shares : float array (n_bins,)
        Of the group's images.
    auc : float
        How well the activation tells these images from all others; NaN where there are no others.
    """

    name: str
    n_images: int
    shares: np.ndarray
    auc: float


@dataclass(frozen=True)
class OfImage:
    """One image as a layer and the dissector see it.

    Attributes
    ----------
    row : Series
        image (id), activation of the neuron in view, deviations (of that from the neuron's mean over the probe, in standard
        deviations), rank (1: its strongest image), then the probe's metadata.
    neurons : DataFrame
        The neurons that answer to it the most beyond what they are used to: neuron, deviations, rank, concept ("" when it
        cannot be named).
    concepts : DataFrame
        What the dissector finds nearest: concept, likeness, deviations (from the concept's mean over the probe); empty where
        that is not known.
    """

    row: pd.Series
    neurons: pd.DataFrame
    concepts: pd.DataFrame


class Reading:
    """A dissection, made ready to be looked at neuron by neuron.

    Parameters
    ----------
    dissection : Dissection
    dissector : Dissector, optional
        Understands searches for words that no concept has.
    rule : str
        Of the thresholds, see `mdissect.analysis.thresholds`.
    trust : DataFrame, optional
        What is known of the labels' worth, see `mdissect.explorers.worth.Trust`; default: the dissection's own, if calibrated.

    Attributes
    ----------
    dissection
        Without the parts that do not fit together.
    warnings : list of str
        What is wrong with the result, see `mdissect.explorers.checks.sound`.
    """

    def __init__(self, dissection: Dissection, dissector=None, rule: str = "top", trust: pd.DataFrame | None = None):
        dissection, self.warnings = sound(dissection)
        self.dissection, self.dissector, self.rule = dissection, dissector, rule
        self.trust = Trust(dissection.trusted if trust is None else trust, dissection)
        self.names = np.array(dissection.concepts.names, dtype=object)
        named = {layer: scores for layer, scores in dissection.similarity.items() if not np.isnan(scores).all()}
        taus = analysis.thresholds(replace(dissection, similarity=named), rule=rule) if named else pd.DataFrame()
        self._thresholds = dict(zip(taus.layer, taus.threshold, strict=True)) if named else {}
        table = dissection.concepts.table
        self._categories = table.drop_duplicates("concept").set_index("concept").broad_category.to_dict()
        self._searched: dict[tuple[str, str], Found] = {}
        self._usual: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    def n_neurons(self, layer: str) -> int:
        return len(self.dissection.similarity[layer])

    def threshold(self, layer: str) -> float | None:
        """The layer's threshold; None where no neuron could be named."""
        return self._thresholds.get(layer)

    def note(self, layer: str, neuron: int) -> str:
        """Why a neuron cannot be named, or what is wrong with its label; "" where nothing is."""
        return str(self.dissection.notes[layer][neuron]) if layer in self.dissection.notes else ""

    def concepts(self, layer: str, neuron: int, top: int = 10) -> pd.DataFrame:
        """A neuron's foremost concepts, best first: concept, similarity, broad_category; empty when it cannot be named."""
        scores = self.dissection.similarity[layer][neuron]
        order = np.argsort(-np.where(np.isnan(scores), -np.inf, scores), kind="stable")[:top]
        order = order[~np.isnan(scores[order])]
        names = self.names[order]
        groups = [self._categories[name] or analysis.UNGROUPED for name in names]
        return pd.DataFrame({"concept": names, "similarity": scores[order], "broad_category": groups})

    def search(self, layer: str, words: str, top: int = 50) -> Found:
        """The neurons of a layer that are most similar to the concepts that have some words in them.

        Words that no concept has stand for the five concepts that the dissector's text model finds nearest, if there is one.
        """
        key = (layer, " ".join(words.casefold().split()))
        if key not in self._searched:
            self._searched[key] = self._search(*key, top)
        return self._searched[key]

    def images(self, layer: str, neuron: int, which: str = "strongest", k: int = 8) -> pd.DataFrame:
        """Images with a neuron's activation: image (id), activation, then the probe's metadata.

        `which` is "strongest", "weakest" (weakest first) or "random" (the same images for every neuron, the strongest first).
        Empty for a result without activations.
        """
        if layer not in self.dissection.activations:
            return pd.DataFrame(columns=["image", "activation"])
        column = self.dissection.activations[layer][:, neuron]
        if which == "random":
            drawn = np.random.default_rng(0).permutation(len(column))[:k]
            order = drawn[np.argsort(-column[drawn], kind="stable")]
        else:
            order = np.argsort(column if which == "weakest" else -column, kind="stable")[:k]
        table = self.dissection.probe_table
        found = pd.DataFrame({"image": table.index[order].astype(str), "activation": column[order]})
        rest = table.iloc[order].drop(columns=["image", "activation"], errors="ignore").reset_index(drop=True)
        return pd.concat([found, rest], axis=1)

    def of_image(self, layer: str, neuron: int, image_id: str, k: int = 5) -> OfImage:
        """How a layer and the dissector see an image of the probe, told from what they see in all others.

        Raises
        ------
        KeyError
            The probe has no such image, or nothing was recorded of the layer.
        """
        table, activations = self.dissection.probe_table, self.dissection.activations[layer]
        at = table.index.get_loc(image_id)
        mean, spread = self._usual_of(layer)
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            deviations = np.where(spread > 0, (activations[at] - mean) / spread, np.nan)
        foremost = np.argsort(-np.nan_to_num(deviations, nan=-np.inf), kind="stable")[:k]
        foremost = foremost[np.isfinite(deviations[foremost])]
        rank = [1 + int((activations[:, n] > activations[at, n]).sum()) for n in (neuron, *foremost)]
        row = {"image": image_id, "activation": activations[at, neuron], "deviations": deviations[neuron], "rank": rank[0]}
        rest = table.iloc[at].drop(list(row), errors="ignore")
        named = ["".join(self.concepts(layer, int(n), 1).concept) for n in foremost]
        neurons = {"neuron": foremost, "deviations": deviations[foremost], "rank": rank[1:], "concept": named}
        return OfImage(pd.concat([pd.Series(row, dtype=object), rest]), pd.DataFrame(neurons), self._concepts_of(at, k))

    def _concepts_of(self, at: int, k: int) -> pd.DataFrame:
        """The concepts nearest to the image at a position: see `OfImage`."""
        sims = self.dissection.image_concept_sims
        if sims is None:
            return pd.DataFrame({"concept": [], "likeness": [], "deviations": []})
        nearest = np.argsort(-sims[at], kind="stable")[:k]
        mean, spread = sims[:, nearest].mean(axis=0), sims[:, nearest].std(axis=0)
        deviations = np.divide(sims[at, nearest] - mean, spread, out=np.zeros_like(mean), where=spread > 0)
        return pd.DataFrame({"concept": self.names[nearest], "likeness": sims[at, nearest], "deviations": deviations})

    def _usual_of(self, layer: str) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation over the probe of each neuron's activation (n_neurons,)."""
        if layer not in self._usual:
            activations = self.dissection.activations[layer]
            with np.errstate(invalid="ignore", over="ignore"):
                self._usual[layer] = activations.mean(axis=0, dtype=np.float64), activations.std(axis=0)
        return self._usual[layer]

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
        """How a neuron's activations are spread over each group of a split.

        Returns
        -------
        edges : float array (n_bins + 1,)
            Empty for a result without activations or a neuron without finite ones.
        groups : list of Group
            In the order of their names.
        """
        if layer not in self.dissection.activations:
            return np.array([]), []
        column = self.dissection.activations[layer][:, neuron]
        finite = np.isfinite(column)
        if not finite.any():
            return np.array([]), []
        edges = np.histogram_bin_edges(column[finite], BINS)
        if split == EVERYTHING:
            return edges, [_group(EVERYTHING, column[finite], edges, float("nan"))]
        values = self.splits[split]
        known = finite & values.notna().to_numpy()
        column, values = column[known], values.to_numpy()[known]
        ranks = _ranks(column)
        parts = [(name, values == name) for name in sorted(set(values))]
        return edges, [_group(name, column[part], edges, _auc(ranks, part)) for name, part in parts]

    @cached_property
    def _concept_embeddings(self) -> np.ndarray:
        """Unit vectors (n_concepts, d)."""
        return self.dissector.embed_texts(list(self.names)).float().cpu().numpy()

    def _search(self, layer: str, words: str, top: int) -> Found:
        nothing = pd.DataFrame({"neuron": [], "concept": [], "similarity": []})
        if not words:
            return Found(nothing)
        chosen = np.array([words in name.casefold() for name in self.names])
        note = f"{chosen.sum()} concepts have “{words}” in them" if chosen.sum() != 1 else f"one concept has “{words}” in it"
        if not chosen.any():
            chosen, note = self._nearest(words)
        if not chosen.any():
            return Found(nothing, note=note)
        scores = self.dissection.similarity[layer][:, chosen]
        named = np.flatnonzero(~np.isnan(scores).all(axis=1))
        scores = np.where(np.isnan(scores), -np.inf, scores)[named]
        best = scores.argmax(axis=1)
        table = pd.DataFrame({"neuron": named, "concept": self.names[chosen][best], "similarity": scores.max(axis=1)})
        shown = table.similarity.round(3)  # beyond these digits processors differ: alike means in the order of the neurons
        table = table.iloc[np.argsort(-shown, kind="stable")].head(top).reset_index(drop=True)
        note = note if len(table) else f"{note}, but nothing is known of their similarity to neurons of {layer}"
        return Found(table, tuple(self.names[chosen]), note)

    def _nearest(self, words: str, n: int = 5) -> tuple[np.ndarray, str]:
        """Which concepts a text model finds nearest to some words (n_concepts,), and how that is to be told."""
        nowhere = np.zeros(len(self.names), dtype=bool)
        none = f"None of the {len(self.names)} concepts has “{words}” in it"
        if self.dissector is None:
            known = {part for name in self.names for part in name.split()}
            return nowhere, f"{none}{closest(words, known)}; with dissector= given to explore(), any words are understood"
        try:
            (text,) = self.dissector.embed_texts([words]).float().cpu().numpy()
        except ValueError as error:  # a text of unknown words
            return nowhere, f"{none}, and the dissector cannot read it: {error}"
        likeness = self._concept_embeddings @ text
        order = np.argsort(-likeness, kind="stable")[:n]
        nearest = [f"{self.names[i]} ({likeness[i]:.2f})" for i in order]
        return np.isin(np.arange(len(self.names)), order), f"{none}; the dissector finds nearest: {', '.join(nearest)}"


def _group(name: str, values: np.ndarray, edges: np.ndarray, auc: float) -> Group:
    counts, _ = np.histogram(values, edges)
    return Group(name, len(values), counts / max(len(values), 1), auc)


def _ranks(values: np.ndarray) -> np.ndarray:
    """1 for the least of some values; equal ones share the mean of their ranks."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[place]


def _auc(ranks: np.ndarray, part: np.ndarray) -> float:
    """How often a value of the part is above one of the rest (ties count half); NaN when one of them is empty."""
    inside, outside = int(part.sum()), int((~part).sum())
    if not inside or not outside:
        return float("nan")
    return float((ranks[part].sum() - inside * (inside + 1) / 2) / (inside * outside))


def _name(value) -> str:
    """A value of a metadata column as the name of a group: True and "" become "yes" and "none"."""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    return str(value) or "none"
