"""How firmly a label sits: what becomes of it when other patients are asked, or when the method is set otherwise."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mdissect.calibrate import Kept, Null, choose, judge_neurons, random_rankings
from mdissect.concepts import ConceptSet, variant_key
from mdissect.dissection import Dissection
from mdissect.labels import check_calibratable, nulls_of
from mdissect.similarity import log_likelihood, nameable, soft_wpmi

KINDS = ("same_concept", "same_category", "same_broad_category", "same_keyword")
RULES = ("calibrated", "published")
GRID_NULL = 200  # random rankings at each point of the grid: enough for a gate


def stability(
    dissection: Dissection,
    layers: Sequence[str] | None = None,
    n_boot: int = 200,
    seed: int = 0,
    rule: str = "calibrated",
    store: Kept = None,
) -> pd.DataFrame:
    """How often a neuron's label comes back when the patients of the probe are drawn anew.

    Patients are drawn with replacement, each with all images; where the probe tells no patients, images are. Evidence is held
    against the whole probe's null throughout.

    Parameters
    ----------
    layers : sequence of str, optional
        All of the dissection's when None.
    n_boot : int
        Drawings.
    rule : {"calibrated", "published"}
        By which rule neurons are named.

    Returns
    -------
    DataFrame
        A row per neuron that can be named: layer, neuron, concept (by the rule, whatever q is), same_concept, same_category,
        same_broad_category, same_keyword (shares of the drawings whose label agrees with it in that; a keyword is the last
        word of a concept, "mass" of "oval mass"), score (their mean).

    Raises
    ------
    ValueError
        Unknown rule or layer, n_boot below 1, or a dissection that cannot be calibrated (see `trusted_labels`).
    """
    check_calibratable(dissection)
    if rule not in RULES:
        raise ValueError(f"rule={rule!r} is unknown; use one of {', '.join(RULES)}")
    if n_boot < 1:
        raise ValueError(f"n_boot={n_boot} must be at least 1; 200 resolve shares to half a percent")
    layers = dissection.layers if layers is None else list(layers)
    if strange := sorted(set(layers) - set(dissection.layers)):
        raise ValueError(f"no layer {', '.join(strange)}; there are {', '.join(dissection.layers)}")
    null = nulls_of(dissection, store=store)[0]
    samples = drawings(dissection, n_boot, seed)
    alike, names = _agreement(dissection.concepts), np.array(dissection.concepts.names, dtype=object)
    sims, lam, parts = torch.from_numpy(dissection.image_concept_sims), dissection.settings.get("lam", 1.0), []
    for layer in layers:
        activations = torch.from_numpy(dissection.activations[layer])
        finite, constant = nameable(activations)
        neurons = (finite & ~constant).nonzero().flatten()
        good = activations[:, neurons]
        passing = torch.from_numpy((judge_neurons(sims, good, [null], lam=lam).label >= 0).to_numpy(copy=True))
        label = _labels(null, sims, good, passing, lam, rule)
        again = [_labels(null, sims[drawn], good[drawn], passing, lam, rule) for drawn in samples]
        shares = {kind: np.mean([same[label, one] for one in again], axis=0) for kind, same in alike.items()}
        table = pd.DataFrame({"layer": layer, "neuron": neurons.numpy(), "concept": names[label], **shares})
        parts.append(table.assign(score=table[list(KINDS)].mean(axis=1)))
    return pd.concat(parts, ignore_index=True)


def sensitivity(
    dissection: Dissection,
    layer: str,
    top_k: Sequence[int] | None = None,
    a: Sequence[float] | None = None,
    lam: Sequence[float] | None = None,
    rule: str = "calibrated",
) -> pd.DataFrame:
    """How many labels stay when the method is set otherwise.

    Parameters
    ----------
    layer : str
    top_k, a, lam : sequences
        Half of, exactly, and twice the dissection's own setting when None.

    Returns
    -------
    DataFrame
        A row per combination: top_k, a, lam, own (bool: the dissection's own setting), then the shares of neurons whose label
        agrees with the one of the own setting: same_concept, same_category, same_broad_category, same_keyword.
    """
    check_calibratable(dissection)
    settings, n_images = dissection.settings, len(dissection.image_concept_sims)
    own = {"top_k": settings["top_k"], "a": settings.get("a", 10.0), "lam": settings.get("lam", 1.0)}
    around = {name: [value / 2, value, value * 2] for name, value in own.items()}
    top_k = top_k or sorted({min(max(1, int(k)), n_images) for k in around["top_k"]})
    points = [{"top_k": k, "a": s, "lam": w} for k in top_k for s in a or around["a"] for w in lam or around["lam"]]
    sims, activations = torch.from_numpy(dissection.image_concept_sims), torch.from_numpy(dissection.activations[layer])
    finite, constant = nameable(activations)
    good, alike = activations[:, finite & ~constant], _agreement(dissection.concepts)

    def null_at(k: int, sharpness: float) -> Null:
        options = {name: settings[name] for name in ("p_start", "p_end", "min_prob") if name in settings}
        return random_rankings(sims, k, GRID_NULL, patients=dissection.patients, a=sharpness, **options)

    nulls = {key: null_at(*key) for key in {(p["top_k"], p["a"]) for p in [own, *points]}}

    def labels_at(point: dict) -> np.ndarray:
        null = nulls[point["top_k"], point["a"]]
        named = judge_neurons(sims, good, [null], lam=point["lam"]).label >= 0
        return _labels(null, sims, good, torch.from_numpy(named.to_numpy(copy=True)), point["lam"], rule)

    reference = labels_at(own)
    rows = []
    for point in points:
        label = labels_at(point)
        rows.append({**point, "own": point == own} | {kind: same[reference, label].mean() for kind, same in alike.items()})
    return pd.DataFrame(rows)


def _labels(null: Null, sims: Tensor, activations: Tensor, passing: Tensor, lam: float, rule: str) -> np.ndarray:
    if rule == "published":
        return soft_wpmi(sims, activations, null.top_k, lam=lam, **null.options).argmax(dim=1).numpy()
    likelihood = log_likelihood(sims, activations, null.top_k, **null.options)
    return choose(null, likelihood, null.evidence(likelihood), passing, lam).numpy()


def drawings(dissection: Dissection, n_boot: int, seed: int) -> list[np.ndarray]:
    """Positions of the images of each drawing."""
    n_images, rng = len(dissection.image_concept_sims), np.random.default_rng(seed)
    code = pd.factorize(np.array(dissection.patients or range(n_images), dtype=object))[0]
    images = [np.flatnonzero(code == patient) for patient in range(code.max() + 1)]
    return [np.concatenate([images[i] for i in rng.integers(0, len(images), len(images))]) for _ in range(n_boot)]


def _agreement(concepts: ConceptSet) -> dict[str, np.ndarray]:
    """For each of `KINDS`, (n_concepts, n_concepts) bool: do two labels agree in that?"""
    names, result = list(concepts.names), {"same_concept": np.eye(len(concepts), dtype=bool)}
    groups = [concepts.table[["concept", column]] for column in ("category", "broad_category")]
    keywords = pd.DataFrame({"concept": names, "keyword": [variant_key(name.split()[-1]) for name in names]})
    for kind, pairs in zip(KINDS[1:], [*groups, keywords], strict=True):
        named = pairs[pairs.iloc[:, 1] != ""]
        member = pd.crosstab(named.iloc[:, 0], named.iloc[:, 1]).reindex(names, fill_value=0).to_numpy() > 0
        result[kind] = (member.astype(np.float32) @ member.T.astype(np.float32) > 0) | result["same_concept"]
    return result
