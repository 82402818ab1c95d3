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
from mdissect.signatures import validated
from mdissect.similarity import SIMILARITIES, SoftWPMIOptions, nameable
from mdissect.store import StoreLike

if TYPE_CHECKING:
    from mdissect.dissection import Dissection

COLUMNS = [
    "layer", "neuron", "rank", "concept", "category", "broad_category", "similarity", "p", "q", "p_label", "stability",
    "flag", "needs", "rule", "note",
]  # fmt: skip
STABILITY = table_with("layer", "neuron", "score", made_by="trust.stability(...)")
REPORT_CARD = table_with("concept", "flag", made_by="trust.report_card(...)")
Images = np.ndarray | slice  # positions of chosen images, an image as often as it was drawn


@validated(q=RATE, n_null=AT_LEAST_ONE, rule=SIMILARITIES, stability=STABILITY, report_card=REPORT_CARD)
def trusted_labels(
    dissection: "Dissection",
    q: float = 0.05,
    n_null: int = 1000,
    seed: int = 0,
    store: StoreLike = None,
    stability: pd.DataFrame | None = None,
    report_card: pd.DataFrame | None = None,
    rule: str = RULE,
) -> pd.DataFrame:
    """The calibrated label of every neuron; what `Dissection.labels(q=...)` returns.

    Columns: layer, neuron, rank (0), concept ("" for none: those above `q`), category, broad_category, similarity (S of the
    dissection), p and q (of the neuron), p_label (of the label; NaN for none), stability (NaN where unknown), flag ("" or the
    report card's warning), needs and note as in `Dissection.labels`, rule (by which similarity function labels were chosen).
    `mdissect.calibrate` says what p, q and p_label mean. `n_null`, `seed`, `store` and `rule` as in `calibrate`; `stability`
    and `report_card` are the tables of `mdissect.trust` for this dissection and its dissector. ValueError without activations
    (read from a CSV), or where labels are by no rule of `mdissect.similarity`.

    The dissection's own similarity does not count: p, q and labels come from its activations and image_concept_sims. Where it
    has no top_k, evidence is of the 100 top images, of a tenth of the probe at most (`top_k_of`).
    """
    nulls = nulls_of(dissection, n_null=n_null, seed=seed, store=store)
    sims, names = torch.from_numpy(dissection.image_concept_sims), np.array([*dissection.concepts.names, ""], dtype=object)
    parts = []
    for layer, activations in dissection.activations.items():
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
    if layer not in dissection.activations:
        raise ValueError(f"layer={layer!r} has no activations; there are {', '.join(dissection.activations) or 'none'}")
    activations = torch.from_numpy(dissection.activations[layer])
    finite, constant = nameable(activations)
    neurons = (finite & ~constant).nonzero().flatten()
    sims = torch.from_numpy(dissection.image_concept_sims)
    rule, images = own_rule(dissection), np.arange(len(sims))
    of_evidence = top_k_of(dissection), evidence_options(dissection)
    return LayerData(neurons.numpy(), activations[:, neurons], sims, *of_evidence, images, rule, own_options(dissection))


@validated(top_k=top_k_or_auto, n_null=AT_LEAST_ONE)
def nulls_of(
    dissection: "Dissection",
    top_k: int | str | None = None,
    n_null: int = 1000,
    seed: int = 0,
    store: StoreLike = None,
    by_patient: bool = True,
) -> list[Null]:
    """The nulls of a dissection's probe and dissector, for its own top_k or another one ("auto": several).

    Where the probe's table names patients, their images are ranked together, unless `by_patient` is False.
    """
    check_calibratable(dissection)
    sims, options = torch.from_numpy(dissection.image_concept_sims), evidence_options(dissection)
    top_k = top_k or top_k_of(dissection)
    patients = dissection.patients if by_patient else None
    return [
        random_rankings(sims, k, n_null, seed, store, patients, options)
        for k in (auto_top_k(len(sims)) if top_k == "auto" else [top_k])
    ]


@validated()
def check_calibratable(dissection: "Dissection") -> None:
    """Raise ValueError for a dissection that cannot be compared with random rankings."""
    if not dissection.activations or dissection.image_concept_sims is None:
        raise ValueError("the dissection has no activations or image_concept_sims (was it read from a CSV?); dissect again")
    if (found := own_rule(dissection)) not in SIMILARITIES:
        raise ValueError(
            f"calibration compares labels by a rule of mdissect.similarity with chance, these are by {found!r}; dissect(...) "
            "makes such a dissection"
        )


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
