"""Labelling rules side by side: on planted neurons, on patients that no label was chosen on, and where images are changed."""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd

from mdissect.arguments import AT_LEAST_ONE, one_of, table_with, tables_with, texts
from mdissect.choice import RULE
from mdissect.dissection import Dissection
from mdissect.models import Dissector, Target, load_target
from mdissect.predictions import (
    CHANGES,
    CausalEffects,
    NothingToChangeError,
    causal_effects,
    concept_factors,
    effect_matrix,
    own_factor_shares,
)
from mdissect.predictions.changes import FINDING
from mdissect.predictions.pairs import FILLED, REDRAWN
from mdissect.probes import Probe
from mdissect.signatures import validated
from mdissect.similarity import SIMILARITIES
from mdissect.store import StoreLike
from mdissect.study.study import Study
from mdissect.trust import TooLittleKnownError, held_out_auc, is_phantom, predicts, prompt_cards
from mdissect.trust.halves import CALIBRATED, PUBLISHED
from mdissect.trust.planted import few_images_per_class, plant, score_rules

# Planted neurons that a rule must name: each world differs from `trust.planted.plant` in one thing.
WORLDS = {
    "faint neurons (signal-to-noise ratio 1)": partial(plant, snr=1.0),
    "rare concepts (1.5 % of the images)": partial(plant, prevalence=0.015),
    "classes of 1 to 3 images": few_images_per_class,
}
NOTHING_KNOWN = "Of too few concepts it is known which images show them, so that no label's truth can be measured."
PREDICTED = tables_with("neuron", "concept", "predicts", made_by="trust.predicts(...)")


def _rules(name: str, value: Sequence[str]) -> list[str]:
    """The rules asked for, each once, all of them known; there may be none."""
    rules = list(dict.fromkeys(texts(name, value))) if len(value) else []
    for rule in rules:
        one_of(name, rule, (CALIBRATED, PUBLISHED, *SIMILARITIES))
    return rules


@validated(rules=_rules)
def labelling_rules(study: Study, rules: Sequence[str] = ()) -> list[str]:
    """Rules by name, each once: "calibrated", "published", and similarity functions; all when none are named.

    Then two do not come a second time: the study's own similarity, which is "published", and the one that calibrated labels go
    by.
    """
    own = study.profile.similarity_options.get("similarity", "soft_wpmi")
    return list(rules) or [rule for rule in (CALIBRATED, PUBLISHED, *SIMILARITIES) if rule not in (own, RULE)]


@validated(rules=texts, n_seeds=AT_LEAST_ONE, top_k=AT_LEAST_ONE)
def planted_rules(rules: Sequence[str], n_seeds: int = 8, top_k: int = 20) -> pd.DataFrame:
    """How many labels of planted neurons are correct, by rule and world.

    >>> planted_rules(["calibrated", "published"]).query("rule == 'calibrated'")      # doctest: +SKIP

    Returns
    -------
    DataFrame
        A row per world (`WORLDS`) and rule: world, rule, labelled (share of the neurons with a concept that get a label),
        correct (share of these whose label is correct; both means over n_seeds random draws), low, high (95 % interval of
        correct over draws; NaN for a single one).
    """
    named = {rule: "soft_wpmi" if rule == PUBLISHED else rule for rule in rules}
    similarities = list(dict.fromkeys(one for one in named.values() if one != CALIBRATED))
    rows = []
    for world, make in WORLDS.items():
        drawn = [score_rules(make(seed=seed), top_k, similarities=similarities).set_index("rule") for seed in range(n_seeds)]
        for rule, row in named.items():
            correct = np.array([one.right[row] for one in drawn])
            low, high = np.clip(_mean_interval(correct), 0, 1)
            labelled = float(np.mean([one.named[row] for one in drawn]))
            rows.append(
                {"world": world, "rule": rule, "labelled": labelled, "correct": correct.mean(), "low": low, "high": high}
            )
    return pd.DataFrame(rows)


@validated(rules=texts, n_splits=AT_LEAST_ONE)
def predicted_by(study: Study, name: str, rules: Sequence[str], n_splits: int = 8) -> dict[str, pd.DataFrame]:
    """`trust.predicts` of a setup's last layer by each rule, kept in the store; also the rules' labels of all neurons."""
    found = study.dissect(name).published
    return {rule: study.kept(predicts)(found, found.layers[-1:], rule=rule, n_splits=n_splits) for rule in rules}


@validated(tables=PREDICTED, n_boot=AT_LEAST_ONE)
def mean_predicts(tables: Mapping[str, pd.DataFrame], n_boot: int = 2000, seed: int = 0) -> pd.DataFrame:
    """The mean of `trust.predicts` over the same neurons, by rule, and how far each rule is from the first.

    Returns
    -------
    DataFrame
        A row per rule: rule, predicts, low, high, difference (from the first rule), difference_low, difference_high (NaN
        for the first), neurons (those for which it is known by every rule). Intervals (95 %) are about more neurons like these,
        a bootstrap over neurons, the same for all rules.
    """
    values = pd.DataFrame({rule: table.set_index("neuron").predicts for rule, table in tables.items()}).dropna().to_numpy()
    n, rows = len(values), []
    times = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), n_boot) / n if n else np.zeros((n_boot, 0))
    for i, rule in enumerate(tables):
        row = {"rule": rule, **_around("predicts", ("low", "high"), values[:, i], times)}
        apart = values[:, i] - values[:, 0] if i else np.full(n, np.nan)
        rows.append(row | _around("difference", ("difference_low", "difference_high"), apart, times) | {"neurons": n})
    return pd.DataFrame(rows)


@validated(rules=texts, n_splits=AT_LEAST_ONE)
def known_held_out(
    study: Study, names: Sequence[str], rules: Sequence[str], layers: Sequence[str] | None = None, n_splits: int = 8
) -> dict[str, pd.DataFrame]:
    """`trust.held_out_auc` by setup, kept in the study's store; without setups of which too little is known.

    layers : as for `trust.held_out_auc`; ["last"]: each setup's last layer.
    """
    tables, kept = {}, study.kept(_held_out_auc)
    for name in names:
        found = study.dissect(name).published
        own = found.layers[-1:] if layers == ["last"] else layers
        if (table := kept(found, own, list(rules), n_splits)) is not None:
            tables[name] = table
    return tables


def _held_out_auc(
    dissection: Dissection, layers: Sequence[str] | None, rules: Sequence[str], n_splits: int
) -> pd.DataFrame | None:
    try:
        return held_out_auc(dissection, layers, rules, n_splits=n_splits)
    except TooLittleKnownError:
        return None


@validated()
def known_prompts(study: Study, name: str) -> pd.DataFrame | None:
    """`trust.prompt_cards` of a setup's dissector, kept in the store; None where too little is known of its concepts."""
    return study.kept(_prompt_cards, ["store"])(study.dissect(name).published, study.dissector(name), study.store)


def _prompt_cards(dissection: Dissection, dissector: Dissector, store: StoreLike) -> pd.DataFrame | None:
    try:
        return prompt_cards(dissection, dissector, store=store)
    except TooLittleKnownError:
        return None


@validated(n_pairs=AT_LEAST_ONE)
def changed(study: Study, name: str, n_pairs: int = 40) -> CausalEffects | None:
    """The causal test of a setup, kept in the study's store: phantoms drawn again, elsewhere the boxes of findings filled.

    None where neither can be done: images that are no phantoms and have no boxes.
    """
    setup = study.profile.setups[name]
    target = load_target(setup.target, **setup.target_options)
    return effects_of(study, target, study.dissect(name).published, study.probe(setup.probe), n_pairs)


def effects_of(study: Study, target: Target, found: Dissection, probe: Probe, n_pairs: int) -> CausalEffects | None:
    """`predictions.causal_effects` of findings, kept in the study's store; None where no image can be changed."""
    phantoms = is_phantom(probe.table)
    factors = [name for name, change in CHANGES.items() if change.level == FINDING] if phantoms else None
    evidence, kept = REDRAWN if phantoms else FILLED, study.kept(causal_effects, ignore=["store", "options"])
    try:
        return kept(target, found, probe, factors, evidence, n_pairs, study.store, study.pass_options)
    except (LookupError, NothingToChangeError):
        return None


@validated(labels=tables_with("layer", "neuron", "concept", made_by="trust.predicts(...)"), n_boot=AT_LEAST_ONE)
def own_factors_by(effects: CausalEffects, labels: Mapping[str, pd.DataFrame], n_boot: int = 500) -> pd.DataFrame:
    """`predictions.own_factor_shares` of labels by rule, with the factors that concepts name for this kind of images."""
    names = list(dict.fromkeys(concept for table in labels.values() for concept in table.concept if concept))
    factors = concept_factors(names, source="phantom" if effects.evidence == REDRAWN else "vindr")
    return own_factor_shares(effects, labels, factors=factors, n_boot=n_boot)


@validated(labels=table_with("layer", "neuron", "concept", made_by="trust.predicts(...)"))
def effects_by_factor(effects: CausalEffects, labels: pd.DataFrame, layer: str) -> pd.DataFrame:
    """`predictions.effect_matrix`, with the factors that concepts name for this kind of images."""
    names = [concept for concept in labels.concept.unique() if concept]
    factors = concept_factors(names, source="phantom" if effects.evidence == REDRAWN else "vindr")
    return effect_matrix(effects, labels, layer, factors=factors)


def _mean_interval(values: np.ndarray) -> np.ndarray:
    """The 95 % interval of a mean over random draws (n,), Student's; NaN for a single one."""
    if len(values) < 2:
        return np.full(2, np.nan)
    from scipy.special import stdtrit  # Student's quantiles

    return values.mean() + stdtrit(len(values) - 1, [0.025, 0.975]) * values.std(ddof=1) / np.sqrt(len(values))


def _around(name: str, ends: tuple[str, str], values: np.ndarray, times: np.ndarray) -> dict[str, float]:
    """A mean over neurons (n,) with its interval over resamples of them, `times` (n_boot, n)."""
    if not len(values) or np.isnan(values).any():
        return dict.fromkeys((name, *ends), np.nan)
    low, high = np.quantile(times @ values, [0.025, 0.975])
    return {name: values.mean(), ends[0]: low, ends[1]: high}
