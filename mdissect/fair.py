"""Comparisons that allow for chance: categories against the concept set's base rate, thresholds with intervals."""

import numpy as np
import pandas as pd
import torch

from mdissect.analysis import group_of
from mdissect.concepts import ConceptSet
from mdissect.dissection import Dissection
from mdissect.similarity import nameable, soft_wpmi
from mdissect.stability import drawings
from mdissect.trust import check_calibratable


def enrichment(labels: pd.DataFrame, concepts: ConceptSet, by: str = "broad_category") -> pd.DataFrame:
    """Which groups of concepts a layer carries more often than the concept set's make-up explains.

    A layer's distinct concepts are held against as many concepts drawn from the set without replacement (hypergeometric, upper
    tail); q-values are Benjamini and Hochberg's over all rows.

    Parameters
    ----------
    labels : DataFrame
        layer and concept, "" for none: `Dissection.labels` with or without q, or what passes of it.
    concepts : ConceptSet
    by : {"category", "broad_category", "domain", "task"}

    Returns
    -------
    DataFrame
        A row per layer and group: layer, the group, concepts (distinct ones of the layer in the group), of (all of the layer's
        distinct ones), base_rate (the group's share of the concept set), ratio (observed over expected share), p, q.

    Raises
    ------
    ValueError
        Unknown grouping, or labels that are not in the concept set.
    """
    from scipy.stats import false_discovery_control, hypergeom

    groups = group_of(concepts, by)
    if strange := sorted(set(labels.concept) - set(concepts.names) - {""}):
        raise ValueError(f"{len(strange)} labels are not in the concept set, such as {', '.join(strange[:3])}")
    sizes, rows = groups.groupby(by, sort=False).concept.nunique(), []
    for layer, table in labels.groupby("layer", sort=False):
        carried = set(table.concept) - {""}
        found = groups[groups.concept.isin(carried)].groupby(by).concept.nunique().reindex(sizes.index, fill_value=0)
        p = hypergeom.sf(found - 1, len(concepts), sizes, len(carried))
        base = sizes / len(concepts)
        ratio = found / max(len(carried), 1) / base
        counts = {"layer": layer, by: sizes.index, "concepts": found.to_numpy(), "of": len(carried)}
        rows.append(pd.DataFrame({**counts, "base_rate": base.to_numpy(), "ratio": ratio.to_numpy(), "p": p}))
    result = pd.concat(rows, ignore_index=True)
    return result.assign(q=false_discovery_control(result.p))


def tau_intervals(dissection: Dissection, n_boot: int = 200, seed: int = 0, level: float = 0.95) -> pd.DataFrame:
    """The threshold of each layer (mean top similarity) with an interval over patients drawn anew.

    Parameters
    ----------
    n_boot, seed
        Drawings of patients with all their images; of images where the probe tells no patients.
    level : float

    Returns
    -------
    DataFrame
        layer, threshold (of the probe itself), low, high. A drawing repeats images, which lifts similarities: the interval is
        the drawings' spread, moved to the probe's own threshold.

    Raises
    ------
    ValueError
        A dissection without activations, or by another similarity than soft_wpmi.
    """
    check_calibratable(dissection)
    sims, settings, rows = torch.from_numpy(dissection.image_concept_sims), dissection.settings, []
    options = {name: settings[name] for name in ("a", "lam", "p_start", "p_end", "min_prob") if name in settings}
    samples = drawings(dissection, n_boot, seed)
    for layer, values in dissection.activations.items():
        activations = torch.from_numpy(values)
        finite, constant = nameable(activations)
        good = activations[:, finite & ~constant]

        def tau(images, good=good) -> float:
            return float(soft_wpmi(sims[images], good[images], settings["top_k"], **options).amax(dim=1).double().mean())

        own, drawn = tau(slice(None)), np.array([tau(images) for images in samples])
        low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2]) - drawn.mean() + own
        rows.append({"layer": layer, "threshold": own, "low": low, "high": high})
    return pd.DataFrame(rows)
