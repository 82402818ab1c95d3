"""Whether the factor that a label names is the one that moves its neuron most."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from mdissect.arguments import AT_LEAST_ONE, table_with, tables_with
from mdissect.paths import data_dir
from mdissect.phantom.mammograms.factors import FACTORS, FINDING_NAMES
from mdissect.phantom.mammograms.facts import ANY_OF
from mdissect.phantom.mammograms.reports import concept_truth
from mdissect.predictions.causal import CausalEffects
from mdissect.predictions.changes import CHANGES, DENSER, DESCRIPTOR, FATTIER, FINDING, LEVELS
from mdissect.signatures import validated
from mdissect.tables import read_text_table
from mdissect.trust import recentred_interval

FEWEST_PATIENTS = 5  # of a factor's pairs: a mean over fewer is not compared with others
SOURCES = ("phantom", "vindr")
LABELS = ("layer", "neuron", "concept")
FACTOR_TABLE = table_with("concept", "factor", made_by="predictions.concept_factors(...)")
_DENSITY = {"density=A": FATTIER, "density=B": FATTIER, "density=C": DENSER, "density=D": DENSER}


@validated(level=LEVELS, source=SOURCES)
def concept_factors(concepts: Sequence[str], level: str = FINDING, source: str = "phantom") -> pd.DataFrame:
    """The factors that concepts name, as far as the mapping is clear.

    >>> concept_factors(["spiculated mass", "mass with calcification", "BI-RADS 4"])
                       concept         factor
    0          spiculated mass           mass
    1  mass with calcification           mass
    2  mass with calcification  calcification

    By the facts that reports state of phantoms (`mdissect.trust.concept_presence`): a mass of any kind belongs to "mass", a
    dense breast to "denser tissue". Concepts that say that something is absent, or that follow from several findings (BI-RADS
    categories, "suspicious finding"), laterality, view and anatomy name no factor and have no row.

    Parameters
    ----------
    level : {"finding", "descriptor"}
        "descriptor": only those that name a shape, margin, density, morphology, distribution or kind of implant, by that one.
    source : {"phantom", "vindr"}
        "vindr": the findings of VinDr-Mammo's boxes, in lower case, by the shipped mapping table; they have no descriptors.

    Returns
    -------
    DataFrame
        concept, factor: a row per pair, in the order of the concepts.
    """
    if source == "vindr":
        return _mapped_findings(concepts)
    named = _findings_of if level == FINDING else _descriptors_of
    rows = [
        (concept, factor)
        for concept, keys in concept_truth(dict.fromkeys(concepts)).items()
        for factor in dict.fromkeys(factor for key in keys for factor in named(key))
    ]
    return pd.DataFrame(rows, columns=["concept", "factor"])


@validated(
    labels=tables_with(*LABELS, made_by="Dissection.labels(...)"),
    level=LEVELS,
    factors=FACTOR_TABLE,
    n_boot=AT_LEAST_ONE,
)
def own_factor_shares(
    effects: CausalEffects,
    labels: Mapping[str, pd.DataFrame],
    level: str = FINDING,
    factors: pd.DataFrame | None = None,
    n_boot: int = 500,
    seed: int = 0,
) -> pd.DataFrame:
    """The share of labels whose own factor raises the neuron more than any other factor does, by rule and layer.

    >>> own_factor_shares(effects, {"published": found.labels(), "calibrated": found.labels(q=0.05)})      # doctest: +SKIP

    A label says that its neuron rises with the concept, so that effects count with their sign; a label of several findings
    ("mass with calcification") is right with any of them. Only factors of the level are compared, and of these those with pairs
    of 5 patients at least.

    Parameters
    ----------
    labels : mapping of rule to DataFrame
        Columns layer, neuron, concept: what `Dissection.labels` returned.
    level : {"finding", "descriptor"}
    factors : DataFrame, optional
        concept, factor: the factors that each concept names; `concept_factors` at that level when None.
    n_boot, seed
        Resamples of the patients of the pairs.

    Returns
    -------
    DataFrame
        A row per rule and layer: rule, layer, level, share, low and high (95 % interval over the patients of the pairs, for
        these neurons; recentred on the share as in `mdissect.trust.tau_intervals`), chance (the exact mean over all ways to
        shuffle these labels among their neurons: high where most labels name one factor), above_chance, above_low, above_high
        (share - chance), n_labels, n_without_factor (labels that name no factor, or none that was changed in enough patients),
        and difference, difference_low, difference_high: of above_chance from that of the first rule, over the same resamples
        (NaN there). Shares alone do not compare rules: where brightness moves all neurons, as in an untrained network, a rule
        that calls them all "implant" has a high share, and shuffled labels have the same.
    """
    names, resampled = _resampled_winners(effects, level, n_boot, seed)
    rows = []
    for layer, winners in resampled.items():
        first = None
        for rule, table in labels.items():
            table = table[(table.layer == layer) & (table.concept != "")]
            own, neurons = _own(table, names, factors, level)
            shares, chances = _shares(winners, own, neurons), _chances(winners, own, neurons)
            above = shares - chances
            difference = np.full_like(above, np.nan) if first is None else above - first
            first = above if first is None else first
            row = {"rule": rule, "layer": layer, "level": level, **_interval("share", "", shares, (0, 1)), "chance": chances[0]}
            row |= _interval("above_chance", "above_", above, (-1, 1))
            row |= {"n_labels": len(neurons), "n_without_factor": len(table) - len(neurons)}
            rows.append(row | _interval("difference", "difference_", difference, (-2, 2)))
    return pd.DataFrame(rows)


@validated(labels=table_with(*LABELS, made_by="Dissection.labels(...)"), level=LEVELS, factors=FACTOR_TABLE)
def effect_matrix(
    effects: CausalEffects, labels: pd.DataFrame, layer: str, level: str = FINDING, factors: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Mean effect of each factor on the neurons whose labels name each factor: what is changed by what is named.

    Parameters
    ----------
    labels, level, factors
        As for `own_factor_shares`; a neuron whose label names several factors counts in each.

    Returns
    -------
    DataFrame
        Indexed by the factor that is changed; a column per factor that labels name, called "mass (31)" with the number of
        neurons, in the same order; values in units of the neurons' spread.
    """
    table = effects.table[(effects.table.layer == layer) & (effects.table.level == level)]
    wide = table.pivot(index="factor", columns="neuron", values="effect").reindex(table.factor.unique())
    labels = labels[(labels.layer == layer) & (labels.concept != "")]
    own, neurons = _own(labels, list(wide.index), factors, level)
    columns = {
        f"{factor} ({own[:, i].sum()})": wide[neurons[own[:, i]]].mean(axis=1)
        for i, factor in enumerate(wide.index)
        if own[:, i].any()
    }
    return pd.DataFrame(columns, index=wide.index)


@validated(n_boot=AT_LEAST_ONE)
def compare_evidence(redrawn: CausalEffects, filled: CausalEffects, n_boot: int = 500, seed: int = 0) -> pd.DataFrame:
    """How far effects of filled boxes agree with those of redrawn phantoms.

    Parameters
    ----------
    redrawn, filled : CausalEffects
        Of the same target and dissection.

    Returns
    -------
    DataFrame
        A row per layer and finding that both have, and one for "all" of them together: layer, factor, correlation (Pearson
        over neurons; of "all" over neurons and findings), low, high (95 % interval over resampled neurons, each with all its
        findings), slope (of the filled effect on the redrawn one, through the origin), same_sign (of the redrawn effects whose
        interval excludes 0, the share that filling moves the same way), n_neurons.
    """
    rng, rows = np.random.default_rng(seed), []
    both = redrawn.table.merge(filled.table, on=["layer", "neuron", "factor"], suffixes=("", "_filled"))
    both = both.dropna(subset=["effect", "effect_filled"])
    for layer, table in both.groupby("layer", sort=False):
        neurons = table.neuron.nunique()
        drawn = rng.multinomial(neurons, np.full(neurons, 1 / neurons), size=n_boot)
        for factor, part in [("all", table), *table.groupby("factor", sort=False)]:
            member = np.searchsorted(np.sort(table.neuron.unique()), part.neuron)
            x, y = part.effect.to_numpy(), part.effect_filled.to_numpy()
            again = [_correlation(x, y, weights[member]) for weights in drawn]
            found = _correlation(x, y, np.ones(len(x)))
            low, high = recentred_interval(found, np.array(again))
            clear = (part.low > 0) | (part.high < 0)
            same = (np.sign(x) == np.sign(y))[clear].mean() if clear.any() else np.nan
            slope = (x * y).sum() / (x**2).sum() if x.any() else np.nan
            row = {"layer": layer, "factor": factor, "correlation": found, "low": max(low, -1), "high": min(high, 1)}
            rows.append(row | {"slope": slope, "same_sign": same, "n_neurons": part.neuron.nunique()})
    columns = ["layer", "factor", "correlation", "low", "high", "slope", "same_sign", "n_neurons"]
    return pd.DataFrame(rows, columns=columns)


def _findings_of(key: str) -> list[str]:
    """The findings, or the step of density, that a fact about phantoms belongs to."""
    if key in ANY_OF:
        found = [_findings_of(source) for source in ANY_OF[key]]
        return [] if [] in found else list(dict.fromkeys(factor for factors in found for factor in factors))
    if key in _DENSITY:
        return [_DENSITY[key]]
    name = key.partition("=")[0]
    name = next((whole for whole in ("mass", "calcification") if name.startswith(f"{whole}_")), name)
    return [FINDING_NAMES[name]] if name in FACTORS else []


def _descriptors_of(key: str) -> list[str]:
    """The descriptor that a fact about phantoms states."""
    name = {"calcification_suspicious": "calcification: suspicious", "calcification_benign": "calcification: benign"}.get(key)
    name = name or key.replace("_", " ").replace("=", ": ")
    return [name] if name in CHANGES and CHANGES[name].level == DESCRIPTOR else []


def _mapped_findings(concepts: Sequence[str]) -> pd.DataFrame:
    """The findings of VinDr-Mammo's boxes that concepts name."""
    table = read_text_table(data_dir() / "concepts" / "labels" / "vindr.csv", ("concept", "column", "values"))
    table = table[table.column == "findings"].set_index("concept")["values"]
    rows = [
        (concept, finding.strip().lower())
        for concept in dict.fromkeys(concepts)
        if concept in table.index
        for finding in table[concept].split(";")
    ]
    return pd.DataFrame(rows, columns=["concept", "factor"])


def _own(labels: pd.DataFrame, names: Sequence[str], factors: pd.DataFrame | None, level: str) -> tuple[np.ndarray, np.ndarray]:
    """Which of the factors each label names, (n_labels, n_factors) bool, and the neurons; of labels that name any."""
    factors = concept_factors(list(labels.concept), level) if factors is None else factors
    known = factors[factors.factor.isin(list(names))].drop_duplicates(["concept", "factor"])
    member = pd.crosstab(known.concept, known.factor).reindex(index=labels.concept, columns=list(names), fill_value=0)
    own = member.to_numpy() > 0
    named = own.any(axis=1)
    return own[named], labels.neuron.to_numpy()[named]


def _resampled_winners(effects: CausalEffects, level: str, n_boot: int, seed: int) -> tuple[list[str], dict[str, np.ndarray]]:
    """The factors compared, and by layer which of them raises each neuron most, (1 + n_boot, n_neurons) int, -1 for none.

    The first row is that of all patients.
    """
    pairs = effects.pairs
    member = np.unique(pairs.patient, return_inverse=True)[1]
    n = member.max() + 1
    drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=n_boot)
    weights = np.concatenate([np.ones((1, n)), drawn])[:, member]  # (1 + n_boot, n_pairs)
    rows_of = {
        factor: rows
        for factor, rows in pairs[pairs.level == level].groupby("factor", sort=False).groups.items()
        if pairs.patient[rows].nunique() >= FEWEST_PATIENTS
    }
    winners = {}
    for layer, values in effects.changes.items():
        if not rows_of:
            winners[layer] = np.full((len(weights), values.shape[1]), -1)
            continue
        winners[layer] = _strongest([_weighted_means(values[rows], weights[:, rows]) for rows in rows_of.values()])
    return list(rows_of), winners


def _weighted_means(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Means (n_boot, n_neurons) of values (n_pairs, n_neurons) under weights (n_boot, n_pairs); NaN without any weight."""
    total = weights.sum(axis=1, keepdims=True)
    return np.where(total > 0, weights @ values.astype(np.float64) / np.maximum(total, 1), np.nan)


def _strongest(means: Sequence[np.ndarray]) -> np.ndarray:
    """The position of the largest of several arrays, the first where equal; -1 where none is above 0."""
    largest, where = np.zeros_like(means[0]), np.full(means[0].shape, -1)
    for i, mean in enumerate(means):
        larger = mean > largest + 1e-9
        largest, where = np.where(larger, mean, largest), np.where(larger, i, where)
    return where


def _shares(winners: np.ndarray, own: np.ndarray, neurons: np.ndarray) -> np.ndarray:
    """The share of labels whose own factor wins, (1 + n_boot,); NaN without labels."""
    if not len(neurons):
        return np.full(len(winners), np.nan)
    padded = np.concatenate([own, np.zeros((len(own), 1), bool)], axis=1)  # -1: no factor raises the neuron
    return padded[np.arange(len(neurons)), winners[:, neurons]].mean(axis=1)


def _chances(winners: np.ndarray, own: np.ndarray, neurons: np.ndarray) -> np.ndarray:
    """The mean share over all permutations of the labels among their neurons, (1 + n_boot,)."""
    if not len(neurons):
        return np.full(len(winners), np.nan)
    won = np.stack([(winners[:, neurons] == i).mean(axis=1) for i in range(own.shape[1])], axis=1)
    return won @ own.mean(axis=0)


def _interval(name: str, prefix: str, values: np.ndarray, bounds: tuple[float, float]) -> dict[str, float]:
    """A value and its interval within its bounds: the first of the values, and the quantiles of the others."""
    low, high = np.clip(recentred_interval(values[0], values[1:]), *bounds)
    return {name: values[0], f"{prefix}low": low, f"{prefix}high": high}


def _correlation(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> float:
    """Pearson's correlation under weights; NaN where one of them is constant."""
    total = weights.sum()
    if total == 0:
        return np.nan
    x, y = x - (weights * x).sum() / total, y - (weights * y).sum() / total
    norm = np.sqrt((weights * x**2).sum() * (weights * y**2).sum())
    return float((weights * x * y).sum() / norm) if norm > 0 else np.nan
