"""A dissection's labels with the evidence for them: q-values, stability, and whether the dissector knows the concept."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mdissect.arguments import AT_LEAST_ONE, RATE, table_with
from mdissect.calibrate import auto_top_k, judge_neurons, top_k_or_auto
from mdissect.chance import Null, random_rankings
from mdissect.choice import RULE, concept_scores
from mdissect.clustering import Clustering
from mdissect.concepts import with_categories
from mdissect.hardware import free_memory, memory_bytes
from mdissect.mapped import is_on_disk
from mdissect.signatures import validated
from mdissect.similarity import SIMILARITIES, SoftWPMIOptions, nameable
from mdissect.store import StoreLike
from mdissect.streaming import Rows, Sims, judge_large, large_null

if TYPE_CHECKING:
    from mdissect.dissection import Dissection

IN_FLOAT64 = 3  # times the size in float32: what is computed in float64 beside it
COLUMNS = [
    "layer", "neuron", "rank", "concept", "category", "broad_category", "similarity", "p", "q", "p_label", "stability",
    "flag", "needs", "rule", "note",
]  # fmt: skip
STABILITY = table_with("layer", "neuron", "score", made_by="trust.stability(...)")
REPORT_CARD = table_with("concept", "flag", made_by="trust.report_card(...)")
Images = np.ndarray | slice  # positions of chosen images, an image as often as it was drawn


@validated(q=RATE, n_null=AT_LEAST_ONE, rule=SIMILARITIES, stability=STABILITY, report_card=REPORT_CARD, memory=memory_bytes)
def trusted_labels(
    dissection: "Dissection",
    q: float = 0.05,
    n_null: int = 1000,
    seed: int = 0,
    store: StoreLike = None,
    stability: pd.DataFrame | None = None,
    report_card: pd.DataFrame | None = None,
    rule: str = RULE,
    memory: int | str | None = None,
) -> pd.DataFrame:
    """The calibrated label of every neuron; what `Dissection.labels(q=...)` returns.

    Columns: layer, neuron, rank (0), concept ("" for none: those above `q`), category, broad_category, similarity (S of the
    dissection), p and q (of the neuron), p_label (of the label; NaN for none), stability (NaN where unknown), flag ("" or the
    report card's warning), needs and note as in `Dissection.labels`, rule (by which similarity function labels were chosen).
    `mdissect.calibrate` says what p, q and p_label mean. `n_null`, `seed`, `store` and `rule` as in `calibrate`; `stability`
    and `report_card` are the tables of `mdissect.trust` for this dissection and its dissector. ValueError without activations
    (read from a CSV), or where labels are by no rule of `mdissect.similarity`.

    Of a result whose arrays are memory-mapped (`large_sims`), blocks are read that fit into `memory`, as in `PassOptions`.

    The dissection's own similarity does not count: p, q and labels come from its activations and image_concept_sims. Where it
    has no top_k, evidence is of the 100 top images, of a tenth of the probe at most (`top_k_of`).
    """
    nulls = nulls_of(dissection, n_null=n_null, seed=seed, store=store, memory=memory)
    names = np.array([*dissection.concepts.names, ""], dtype=object)
    large = large_sims(dissection, memory)
    parts = []
    for layer, activations in dissection.activations.items():
        if large:
            table = judge_large(large, Rows(activations), nulls, q, rule=rule)
        else:
            sims = torch.from_numpy(dissection.image_concept_sims)
            table = judge_neurons(sims, torch.from_numpy(activations), nulls, q, rule=rule)
        scores, label = dissection.similarity[layer], table.label.to_numpy()  # -1, for none, is the last of the names
        own = np.where(label >= 0, scores[np.arange(len(label)), label], np.nan)
        notes = dissection.notes.get(layer, table.note.to_numpy())
        shown = {"concept": names[label], "similarity": own, "rule": rule, "note": notes}
        shown["p_label"] = table.p_label.where(label >= 0)
        parts.append(table[["p", "q"]].assign(layer=layer, neuron=range(len(label)), rank=0, **shown))
    found = with_categories(pd.concat(parts, ignore_index=True), dissection.concepts)
    found["stability"], found["flag"] = np.nan, ""
    if stability is not None:
        score = stability.set_index(["layer", "neuron"]).score
        found["stability"] = score.reindex(pd.MultiIndex.from_frame(found[["layer", "neuron"]])).to_numpy()
    if report_card is not None:
        found["flag"] = found.concept.map(report_card.set_index("concept").flag).fillna("")
    found = found[COLUMNS]
    found.attrs = {"n_null": n_null} | ({} if stability is None else stability.attrs)
    return found


@dataclass(frozen=True)
class LayerData:
    """The neurons of a layer that can be named, on all images of a probe or on chosen ones. Made by `layer_of`.

    `neurons` (n_usable,) int are their numbers in the layer; `activations` (n_images, n_usable), `sims` (n_images,
    n_concepts), `images` (n_images,) int the positions in the probe. `rule` is the dissection's own similarity and `given` its
    options; `top_k` and `options` are those of the evidence.
    """

    neurons: np.ndarray
    activations: Tensor
    sims: Tensor
    top_k: int
    options: SoftWPMIOptions
    images: np.ndarray
    rule: str = "soft_wpmi"
    given: Mapping[str, float] = field(default_factory=dict)

    def on(self, images: Images) -> "LayerData":
        """The same neurons on chosen images."""
        return replace(self, activations=self.activations[images], sims=self.sims[images], images=self.images[images])

    def similarity(self) -> Tensor:
        """The dissection's own score, (n_usable, n_concepts); -inf where it is not known."""
        scores = SIMILARITIES[self.rule](self.sims, self.activations, **self.given)
        return scores.nan_to_num(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf)

    def scores(self, null: Null, rule: str = RULE) -> Tensor:
        """What labels are chosen by, (n_usable, n_concepts): `concept_scores` for the top_k and options of a null."""
        return concept_scores(self.sims, self.activations, rule, null.top_k, null.options)

    def likelihood(self, null: Null) -> Tensor:
        """L under the options of a null, (n_usable, n_concepts)."""
        return null.likelihood(self.sims, self.activations)

    def clustering(self, null: Null) -> Clustering:
        """How their top images spread over patients."""
        return null.clustering(self.activations, self.images)


@validated()
def layer_of(dissection: "Dissection", layer: str) -> LayerData:
    """Data from which a layer is labelled: neurons that can be named, activations, similarities and options."""
    check_in_memory(dissection, "a resample of the probe")
    if layer not in dissection.activations:
        raise ValueError(f"layer={layer!r} has no activations; there are {', '.join(dissection.activations) or 'none'}")
    activations = torch.from_numpy(dissection.activations[layer])
    finite, constant = nameable(activations)
    neurons = (finite & ~constant).nonzero().flatten()
    sims = torch.from_numpy(dissection.image_concept_sims)
    rule, images = own_rule(dissection), np.arange(len(sims))
    of_evidence = top_k_of(dissection), evidence_options(dissection)
    return LayerData(neurons.numpy(), activations[:, neurons], sims, *of_evidence, images, rule, own_options(dissection))


@validated(top_k=top_k_or_auto, n_null=AT_LEAST_ONE, memory=memory_bytes)
def nulls_of(
    dissection: "Dissection",
    top_k: int | str | None = None,
    n_null: int = 1000,
    seed: int = 0,
    store: StoreLike = None,
    by_patient: bool = True,
    memory: int | str | None = None,
) -> list[Null]:
    """The nulls of a dissection's probe and dissector, for its own top_k or another one ("auto": several).

    Where the probe's table names patients, their images are ranked together, unless `by_patient` is False.
    """
    check_calibratable(dissection)
    large, options = large_sims(dissection, memory), evidence_options(dissection)
    top_k = top_k or top_k_of(dissection)
    draw, sims = (large_null, large) if large else (random_rankings, torch.from_numpy(dissection.image_concept_sims))
    patients = dissection.patients if by_patient else None
    tried = auto_top_k(len(sims)) if top_k == "auto" else [top_k]
    return [draw(sims, k, n_null, seed, store, patients, options) for k in tried]


@validated(memory=memory_bytes)
def large_sims(dissection: "Dissection", memory: int | str | None = None) -> Sims | None:
    """The similarities of a dissection whose arrays are memory-mapped, computed in blocks; None where they are in memory."""
    embeddings, texts = dissection.image_embeddings, dissection.text_embeddings
    if texts is None or not is_on_disk(embeddings) or not all(map(is_on_disk, dissection.activations.values())):
        return None
    return Sims(Rows(embeddings), texts, memory_bytes("memory", memory))


@validated()
def check_in_memory(dissection: "Dissection", what: str) -> None:
    """Raise ValueError where memory-mapped activations and similarities would not fit into memory.

    For what reads all of them at once, named by `what`.
    """
    arrays = [*dissection.activations.values(), dissection.image_concept_sims]
    needed = IN_FLOAT64 * sum(array.nbytes for array in arrays if is_on_disk(array))
    if needed > (free := free_memory()):
        raise ValueError(
            f"{what} reads all activations and similarities, of {len(dissection.probe_table)} images: {needed / 1e9:.1f} GB "
            f"where {free / 1e9:.1f} GB are free; dissect a part of the probe for it, such as probe.subset(slice(0, None, 10))"
        )


@validated()
def check_calibratable(dissection: "Dissection") -> None:
    """Raise ValueError for a dissection that cannot be compared with random rankings."""
    if not dissection.activations or dissection.image_concept_sims is None:
        raise ValueError(f"the dissection has no activations or image_concept_sims ({why_none(dissection)}")
    if (found := own_rule(dissection)) not in SIMILARITIES:
        raise ValueError(
            f"calibration compares labels by a rule of mdissect.similarity with chance, these are by {found!r}; dissect(...) "
            "makes such a dissection"
        )


@validated()
def why_none(dissection: "Dissection") -> str:
    """Why a dissection may have no activations, and what to do: the end of a sentence in brackets."""
    if kept := dissection.settings.get("keep"):
        return f'it keeps {kept!r} of them); dissect with keep="all" and a store, which may be larger than memory'
    return "was it read from a CSV?); dissect again"


@validated()
def own_rule(dissection: "Dissection") -> str:
    """The name of a dissection's similarity."""
    return dissection.settings.get("similarity", "soft_wpmi")


@validated()
def own_options(dissection: "Dissection") -> dict[str, float]:
    """The options of a dissection's similarity among its settings, top_k included."""
    known = list(inspect.signature(SIMILARITIES[own_rule(dissection)]).parameters)[2:]
    return {name: dissection.settings[name] for name in known if name in dissection.settings}


@validated()
def evidence_options(dissection: "Dissection") -> SoftWPMIOptions:
    """Of the evidence that is compared with chance: soft_wpmi's own, the defaults where labels are by another similarity."""
    return SoftWPMIOptions.of(dissection.settings) if own_rule(dissection) == "soft_wpmi" else SoftWPMIOptions()


@validated()
def top_k_of(dissection: "Dissection") -> int:
    """A dissection's own number of top images; 100, or a tenth of the probe, where its similarity has none."""
    return dissection.settings.get("top_k") or max(1, min(100, len(dissection.probe_table) // 10))
