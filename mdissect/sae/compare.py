"""Are latents cleaner than the channels they are made of? Two layers of one dissection, measured on the same patients."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from mdissect.arguments import AT_LEAST_ONE, RATE, one_of
from mdissect.calibrate import judge_neurons
from mdissect.chance import Null
from mdissect.dissection import Dissection
from mdissect.labels import nulls_of
from mdissect.metrics import auc_matrix
from mdissect.sae.attach import SUFFIX
from mdissect.signatures import validated
from mdissect.similarity import SIMILARITIES, nameable
from mdissect.store import StoreLike
from mdissect.trust import known_presence

MEASURES = ("named", "predicts", "predicts_named", "auc", "auc_named", "best_auc")
STILL = 1e-12  # relative to the whole, the variance of a column that counts as constant


def _known_rule(name: str, value: str) -> str:
    one_of(name, value, SIMILARITIES)
    return value


@validated(rule=_known_rule, q=RATE, n_splits=AT_LEAST_ONE, n_boot=AT_LEAST_ONE, level=RATE)
def compare(
    dissection: Dissection,
    layer: str,
    latents: str | None = None,
    rule: str | None = None,
    q: float = 0.05,
    n_splits: int = 4,
    n_boot: int = 200,
    seed: int = 0,
    level: float = 0.95,
    store: StoreLike = None,
) -> pd.DataFrame:
    """How clean a layer's channels and its latents are, and the difference, each with an interval over patients.

    >>> found = dissect(attach(target, "bn2", sae), dissector, probe, concepts, layers=["bn2", "bn2:sae"])
    >>> compare(found, "bn2")[["measure", "channels", "latents", "difference", "low", "high"]]   # doctest: +SKIP

    Labels are chosen on one half of the patients and measured on the other, both ways, in several random splits. The patients
    of a resample are the same for both layers, so the difference is paired. Its labels stay those that were chosen on the
    halves.

    Parameters
    ----------
    layer, latents : str
        Layers of the dissection; latents: by default "<layer>:sae".
    rule : str, optional
        The similarity whose largest value labels a neuron; the dissection's own when None.
    q : float
        False discovery rate at which neurons count as named.
    n_splits : int
        Of the patients into halves.
    n_boot, seed, level
        Resamples of patients with all their images; of images where the probe names no patients.
    store : path, optional
        Where the null is kept.

    Returns
    -------
    DataFrame
        A row per measure: measure; channels, channels_low, channels_high; the same of latents; difference (latents less
        channels), low, high; n_channels, n_latents (how many neurons it was measured for).

        - named: the share of the layer's neurons that are better than chance, silent ones included. Its interval comes from
          the resamples labelled again, recentred as in `mdissect.trust.count_intervals`;
        - predicts: the correlation of a neuron with its label's similarities on the half it was not chosen on, the mean over
          neurons that vary on both halves;
        - auc: of the neuron as a predictor of its label's known presence there, labels being chosen among the concepts whose
          presence is known; NaN where none is;
        - predicts_named, auc_named: of the named neurons alone;
        - best_auc: the other way round, how well the layer's best neuron for a concept shows it: the neuron with the highest
          AUC on the one half, measured on the other, the mean over concepts whose presence is known (n: concepts).

    Raises
    ------
    ValueError
        A layer that the dissection lacks, a single patient, or a dissection that cannot be calibrated.
    """
    pair = (layer, layer + SUFFIX if latents is None else latents)
    for one in pair:
        one_of("layer", one, list(dissection.activations))
    patient = pd.factorize(np.array(dissection.patients or range(len(dissection.probe_table)), dtype=object))[0]
    if patient.max(initial=0) == 0:
        raise ValueError("all images are of one patient, so that no half is left to measure on; use a probe of more patients")
    drawn = _draws(patient, n_boot, seed)
    nulls = nulls_of(dissection, store=store)
    judged = [_named(dissection, one, q, nulls, drawn) for one in pair]
    halves = _halves(patient, n_splits, seed)
    choose, shown = _rule(dissection, rule), _shown(dissection)
    measured = [
        _measure(dissection, one, choose, shown, named.own, halves, drawn) for one, named in zip(pair, judged, strict=True)
    ]
    rows = []
    for measure in MEASURES:
        of_pair = [named if measure == "named" else found[measure] for named, found in zip(judged, measured, strict=True)]
        rows.append({"measure": measure, **_row(*of_pair, level)})
    return pd.DataFrame(rows)


@dataclass(frozen=True)
class Figure:
    """A figure of a layer: its value, that of each resample (n_boot,), how many neurons it is of; `own`, which are named."""

    value: float
    drawn: np.ndarray
    n: int
    own: np.ndarray | None = None


def _draws(patient: np.ndarray, n_boot: int, seed: int) -> np.ndarray:
    """How often each image is in each resample, (n_images, n_boot)."""
    n, rng = patient.max() + 1, np.random.default_rng(seed)
    counts = np.stack([np.bincount(rng.integers(0, n, n), minlength=n) for _ in range(n_boot)], axis=1)
    return counts[patient]


def _halves(patient: np.ndarray, n_splits: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Positions of the images to choose on, and of those to measure on."""
    n, rng, halves = patient.max() + 1, np.random.default_rng([seed, 1]), []
    for _ in range(n_splits):
        first = np.isin(patient, rng.permutation(n)[: n // 2])
        parts = np.flatnonzero(first), np.flatnonzero(~first)
        halves += [parts, parts[::-1]]
    return halves


def _named(dissection: Dissection, layer: str, q: float, nulls: list[Null], drawn: np.ndarray) -> Figure:
    """The share of a layer's neurons that are better than chance."""
    sims, activations = (torch.from_numpy(x) for x in (dissection.image_concept_sims, dissection.activations[layer]))

    def better(images: np.ndarray) -> np.ndarray:
        return judge_neurons(sims[images], activations[images], nulls, q, images=images).q.to_numpy() <= q

    own = better(np.arange(len(sims)))
    again = np.array([better(np.repeat(np.arange(len(times)), times)).mean() for times in drawn.T])
    return Figure(float(own.mean()), again, len(own), own)


def _shown(dissection: Dissection) -> pd.DataFrame:
    """Which images show which concepts, (n_images, n_known) bool: those whose presence is known of every image."""
    presence = known_presence(dissection)
    return presence.loc[:, presence.notna().all()].astype(bool)


def _measure(
    dissection: Dissection,
    layer: str,
    choose: Callable[[np.ndarray, np.ndarray], np.ndarray],
    presence: pd.DataFrame,
    named: np.ndarray,
    halves: list[tuple[np.ndarray, np.ndarray]],
    drawn: np.ndarray,
) -> dict[str, Figure]:
    """Held-out figures of a layer: each the mean over halves of the mean over neurons."""
    sims, activations, truth = dissection.image_concept_sims, dissection.activations[layer], presence.to_numpy()
    columns = np.array([dissection.concepts.names.index(concept) for concept in presence.columns], dtype=int)
    parts: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {measure: [] for measure in MEASURES[1:]}
    for of_choice, of_test in halves:
        usable = _usable(activations[of_choice]) & _usable(activations[of_test])
        if not usable.any():
            continue
        chosen, test = activations[of_choice][:, usable], activations[of_test][:, usable].astype(np.float64)
        weights = np.concatenate([np.ones((len(of_test), 1)), drawn[of_test]], axis=1)
        label = choose(sims[of_choice], chosen)
        found = {"predicts": _correlations(test, sims[of_test][:, label], weights)}
        shown = truth[of_test]
        told = np.flatnonzero(_differs(shown) & _differs(truth[of_choice]))
        if len(told):
            label = told[choose(sims[of_choice][:, columns[told]], chosen)]
            found["auc"] = _areas(test, shown[:, label], weights)
            best = _best_neurons(chosen, truth[of_choice], told)
            areas = _areas(test[:, best], shown[:, told], weights)
            parts["best_auc"].append((areas, np.ones(len(told), dtype=bool)))
        for measure, values in found.items():
            parts[measure].append((values, np.ones(len(values), dtype=bool)))
            parts[f"{measure}_named"].append((values, named[usable]))
    return {measure: _mean(halves_, drawn.shape[1]) for measure, halves_ in parts.items()}


def _differs(shown: np.ndarray) -> np.ndarray:
    return shown.any(axis=0) & ~shown.all(axis=0)


def _best_neurons(activations: np.ndarray, shown: np.ndarray, told: np.ndarray) -> np.ndarray:
    """The neuron with the highest AUC for each concept of `told`, whose presence is in columns of shown."""
    areas = auc_matrix(activations.astype(np.float64), shown[:, told])
    return np.where(np.isnan(areas), -np.inf, areas).argmax(axis=0)


def _mean(parts: list[tuple[np.ndarray, np.ndarray]], n_boot: int) -> Figure:
    """The mean over halves of values (n_neurons, 1 + n_boot) of the neurons that count; NaN where there are none."""
    means, n = [], []
    for values, counted in parts:
        values = values[counted & np.isfinite(values[:, 0])]
        n.append(len(values))
        if len(values):
            known = np.isfinite(values)
            means.append(np.where(known, values, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1))
    mean = np.mean(means, axis=0) if means else np.full(1 + n_boot, np.nan)
    return Figure(float(mean[0]), mean[1:], round(float(np.mean(n))) if n else 0)


def _row(channels: Figure, latents: Figure, level: float) -> dict:
    """Both figures and their difference, with intervals."""
    row = {}
    for name, figure in (("channels", channels), ("latents", latents)):
        low, high = np.clip(_interval(figure.value, figure.drawn, level), -1, 1)
        row |= {name: figure.value, f"{name}_low": low, f"{name}_high": high}
    difference = latents.value - channels.value
    low, high = _interval(difference, latents.drawn - channels.drawn, level)
    return row | {"difference": difference, "low": low, "high": high, "n_channels": channels.n, "n_latents": latents.n}


def _interval(own: float, drawn: np.ndarray, level: float) -> tuple[float, float]:
    """Quantiles of the resamples, moved so that their mean lies on the own value."""
    if not np.isfinite(own) or not np.isfinite(drawn).any():
        return float("nan"), float("nan")
    low, high = np.nanquantile(drawn, [(1 - level) / 2, (1 + level) / 2]) - np.nanmean(drawn) + own
    return float(min(low, own)), float(max(high, own))


def _rule(dissection: Dissection, rule: str | None) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Names neurons (n, n_neurons) by similarities (n, n_concepts): the position of each one's best concept."""
    own = dissection.settings.get("similarity", "soft_wpmi")
    similarity = SIMILARITIES[rule or own]
    known = list(inspect.signature(similarity).parameters)[2:]
    told = {name: dissection.settings[name] for name in known if (rule or own) == own and name in dissection.settings}
    share = dissection.settings.get("top_k", 100) / len(dissection.probe_table)  # of the images of a half, too

    def name(sims: np.ndarray, activations: np.ndarray) -> np.ndarray:
        options = told | ({"top_k": max(1, round(share * len(sims)))} if "top_k" in known else {})
        scores = similarity(torch.from_numpy(sims), torch.from_numpy(activations), **options)
        return scores.nan_to_num(nan=-torch.inf).argmax(dim=1).numpy()

    return name


def _usable(activations: np.ndarray) -> np.ndarray:
    finite, constant = nameable(torch.from_numpy(activations))
    return (finite & ~constant).numpy()


def _correlations(activations: np.ndarray, sims: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Pearson's, column by column of both (n, n_neurons), under each column of weights (n, B): (n_neurons, B)."""
    total = weights.sum(axis=0)
    a, s = (_standardised(x) for x in (activations, sims))
    mean_a, mean_s = a.T @ weights / total, s.T @ weights / total
    variance_a, variance_s = (a**2).T @ weights / total - mean_a**2, (s**2).T @ weights / total - mean_s**2
    with np.errstate(invalid="ignore", divide="ignore"):
        r = ((a * s).T @ weights / total - mean_a * mean_s) / np.sqrt(variance_a * variance_s)
    return np.where((variance_a > STILL) & (variance_s > STILL), r.clip(-1, 1), np.nan)


def _standardised(x: np.ndarray) -> np.ndarray:
    """Columns of mean 0 and variance 1; a constant one is 0."""
    x = x.astype(np.float64)
    spread = x.std(axis=0)
    return (x - x.mean(axis=0)) / np.where(spread > 0, spread, 1)


def _areas(activations: np.ndarray, shown: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """AUC of each column of activations (n, n_neurons) for that of shown, ties half, under weights (n, B): (n_neurons, B)."""
    areas = np.empty((activations.shape[1], weights.shape[1]))
    for i, (values, present) in enumerate(zip(activations.T, shown.T, strict=True)):
        order = np.argsort(values, kind="stable")
        ordered, w = values[order], weights[order]
        absent = np.concatenate([np.zeros((1, w.shape[1])), np.cumsum(w * ~present[order, None], axis=0)])
        lower, upper = (absent[np.searchsorted(ordered, ordered, side)] for side in ("left", "right"))
        positives = w * present[order, None]
        pairs = positives.sum(axis=0) * absent[-1]
        with np.errstate(invalid="ignore", divide="ignore"):
            areas[i] = (positives * (lower + upper)).sum(axis=0) / (2 * pairs)
    return areas
