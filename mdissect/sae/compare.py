"""Are latents cleaner than the channels they are made of? Two layers of one dissection, measured on the same patients."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import torch

from mdissect.arguments import AT_LEAST_ONE, RATE, one_of
from mdissect.calibrate import judge_neurons
from mdissect.chance import Null
from mdissect.choice import RULE
from mdissect.dissection import Dissection
from mdissect.labels import nulls_of
from mdissect.metrics import auc_matrix
from mdissect.sae.attach import SUFFIX
from mdissect.signatures import validated
from mdissect.store import StoreLike
from mdissect.trust import known_presence, without_concepts
from mdissect.trust.halves import RULES, Halves, Naming, halves_of, naming
from mdissect.trust.held_out import placed, well_known
from mdissect.trust.predicts import held_out_correlations

MEASURES = ("named", "predicts", "predicts_named", "auc", "auc_named", "best_auc")


@validated(rule=RULES, q=RATE, n_splits=AT_LEAST_ONE, n_boot=AT_LEAST_ONE, level=RATE)
def compare(
    dissection: Dissection,
    layer: str,
    latents: str | None = None,
    rule: str = RULE,
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
    are the same for both layers, so the difference is paired.

    Parameters
    ----------
    layer, latents : str
        Layers of the dissection; latents: by default "<layer>:sae".
    rule : str
        As in `trust.predicts`. By default the rule of the calibrated labels alone, which has no top images: of latents that are
        0 on most images many choices of top images are arbitrary.
    q : float
        False discovery rate at which neurons count as named.
    n_splits : int
        Of the patients into halves.
    n_boot : int
        Resamples of patients with all their images, of images where the probe names no patients, for the interval of `named`.
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

    Notes
    -----
    The other intervals come from each patient's influence on the figures, as in `trust.predicts` and `trust.held_out_auc`, with
    Student's t; labels stay as they were chosen on the halves.
    """
    pair = (layer, layer + SUFFIX if latents is None else latents)
    for one in pair:
        one_of("layer", one, list(dissection.activations))
    halves = halves_of(dissection, n_splits, seed)
    drawn, nulls = _draws(halves.patient, n_boot, seed), nulls_of(dissection, store=store)
    judged = [_named(dissection, one, q, nulls, drawn) for one in pair]
    truth = _Truth.of(dissection, halves, rule)
    measured = [
        _measured(dissection, one, halves, naming(dissection, rule), truth, named.own)
        for one, named in zip(pair, judged, strict=True)
    ]
    rows = [{"measure": "named", **_row(judged, level)}]
    rows += [{"measure": measure, **_row([found[measure] for found in measured], level)} for measure in MEASURES[1:]]
    return pd.DataFrame(rows)


@dataclass(frozen=True)
class Figure:
    """A figure of a layer: its value and of how many neurons it is.

    `own` (n_neurons,) says which are named; `drawn` (n_boot,) is the value in each resample, or `shares` (n_patients,) each
    patient's influence on the value.
    """

    value: float
    n: int
    own: np.ndarray | None = None
    drawn: np.ndarray | None = None
    shares: np.ndarray | None = None

    def interval(self, level: float, less: "Figure | None" = None) -> tuple[float, float]:
        """Both ends of the interval of the value, or of the value less another's of the same patients."""
        value = self.value - (less.value if less else 0)
        if not np.isfinite(value):
            return float("nan"), float("nan")
        if self.shares is not None:
            from scipy.special import stdtrit  # Student's quantiles

            shares = self.shares - (less.shares if less else 0)
            n = len(shares)
            width = stdtrit(n - 1, (1 + level) / 2) * np.sqrt((shares**2).sum() * n / (n - 1))
            return value - width, value + width
        drawn = self.drawn - (less.drawn if less else 0)
        low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2]) - drawn.mean() + value
        return float(min(low, value)), float(max(high, value))


@dataclass(frozen=True)
class _Truth:
    """Which images show the concepts whose presence is known of enough patients, (n_images, n_known), and labels by these."""

    shown: np.ndarray
    name: Naming | None

    @classmethod
    def of(cls, dissection: Dissection, halves: Halves, rule: str) -> "_Truth":
        presence = known_presence(dissection)
        known = well_known(presence, dissection, halves.patient)
        if not known:
            return cls(np.zeros((len(presence), 0), dtype=bool), None)
        among = without_concepts(dissection, sorted(set(dissection.concepts.names) - set(known)))
        return cls(presence[among.concepts.names].to_numpy(dtype=bool), naming(among, rule))


def _draws(patient: np.ndarray, n_boot: int, seed: int) -> np.ndarray:
    """How often each image is in each resample, (n_images, n_boot)."""
    n, rng = patient.max() + 1, np.random.default_rng(seed)
    counts = np.stack([np.bincount(rng.integers(0, n, n), minlength=n) for _ in range(n_boot)], axis=1)
    return counts[patient]


def _named(dissection: Dissection, layer: str, q: float, nulls: list[Null], drawn: np.ndarray) -> Figure:
    """The share of a layer's neurons that are better than chance."""
    sims, activations = (torch.from_numpy(x) for x in (dissection.image_concept_sims, dissection.activations[layer]))

    def better(images: np.ndarray) -> np.ndarray:
        return judge_neurons(sims[images], activations[images], nulls, q, images=images).q.to_numpy() <= q

    own = better(np.arange(len(sims)))
    again = np.array([better(np.repeat(np.arange(len(times)), times)).mean() for times in drawn.T])
    return Figure(float(own.mean()), len(own), own, drawn=again)


def _measured(
    dissection: Dissection, layer: str, halves: Halves, name: Naming, truth: _Truth, named: np.ndarray
) -> dict[str, Figure]:
    """Held-out figures of a layer by measure; `named` (n_neurons,) bool."""
    activations = dissection.activations[layer].astype(np.float64)
    predicts, shares = held_out_correlations(activations, dissection.image_concept_sims, halves, partial(name, layer))
    found = {"predicts": _mean(predicts, shares), "predicts_named": _mean(predicts[named], shares[:, named])}
    parts = {measure: [] for measure in ("auc", "auc_named", "best_auc")}
    for choose, test in halves.both_ways if truth.name else ():
        differs = [truth.shown[half].any(axis=0) & ~truth.shown[half].all(axis=0) for half in (choose, test)]
        label = truth.name(layer, choose)
        known = (label >= 0) & differs[1][label] & (np.ptp(activations[test], axis=0) > 0)
        told = np.flatnonzero(differs[0] & differs[1])
        areas = auc_matrix(activations[choose], truth.shown[choose][:, told])
        best = np.where(np.isnan(areas), -np.inf, areas).argmax(axis=0)
        pairs = {"auc": (known, label[known]), "auc_named": (known & named, label[known & named]), "best_auc": (best, told)}
        for measure, (neurons, concepts) in pairs.items():
            parts[measure].append(placed(activations[test][:, neurons], truth.shown[test][:, concepts], test))
    return found | {measure: _pooled(each, halves) for measure, each in parts.items()}


def _mean(values: np.ndarray, shares: np.ndarray) -> Figure:
    """Over the neurons whose value is known: values (n_neurons,), each patient's influence on them (n_patients, n_neurons)."""
    known = np.isfinite(values)
    if not known.any():
        return Figure(float("nan"), 0, shares=shares.sum(axis=1))
    return Figure(float(values[known].mean()), int(known.sum()), shares=shares[:, known].mean(axis=1))


def _pooled(parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]], halves: Halves) -> Figure:
    """The mean of the AUCs of all halves, from what `placed` found on each."""
    n = sum(len(areas) for areas, _, _ in parts)
    shares = sum(
        (np.bincount(halves.patient[images], weights=places, minlength=halves.n_patients) for _, places, images in parts),
        start=np.zeros(halves.n_patients),
    )
    mean = sum(areas.sum() for areas, _, _ in parts) / n if n else float("nan")
    return Figure(float(mean), round(n / len(parts)) if parts else 0, shares=shares / max(n, 1))


def _row(pair: list[Figure], level: float) -> dict:
    """Both figures, of channels and of latents, and their difference, with intervals."""
    (channels, latents), row = pair, {}
    for name, figure in (("channels", channels), ("latents", latents)):
        low, high = np.clip(figure.interval(level), -1, 1)
        row |= {name: figure.value, f"{name}_low": low, f"{name}_high": high}
    low, high = latents.interval(level, less=channels)
    row |= {"difference": latents.value - channels.value, "low": low, "high": high}
    return row | {"n_channels": channels.n, "n_latents": latents.n}
