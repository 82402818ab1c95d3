"""The causal test: what a neuron does when one thing in the image changes and all else stays."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from mdissect.arguments import AT_LEAST_ONE, RATE, texts
from mdissect.dissection import Dissection
from mdissect.embed import PassOptions, record_probe
from mdissect.labels import why_none
from mdissect.models import Target
from mdissect.predictions.pairs import EVIDENCE, REDRAWN, Pairs, filled_pairs, redrawn_pairs
from mdissect.probes import Probe
from mdissect.signatures import validated
from mdissect.similarity import nameable
from mdissect.store import StoreLike

COLUMNS = ("layer", "neuron", "factor", "level", "evidence", "effect", "low", "high", "n_pairs", "n_patients")


@dataclass(frozen=True)
class CausalEffects:
    """What each factor does to each neuron.

    Attributes
    ----------
    table : DataFrame
        A row per layer, factor and neuron: layer, neuron, factor, level ("finding" or "descriptor"), evidence ("phantom
        redrawn" or "box filled"), effect (mean change of the activation that the factor brings, in units of the neuron's
        spread over the dissection's probe), low and high (95 % interval over patients; NaN with a single one), n_pairs,
        n_patients. NaN for a neuron without any spread.
    pairs : DataFrame
        A row per pair of images: factor, level, position (of the original in the probe), patient (a number).
    changes : dict of layer to (n_pairs, n_neurons) float32
        Of every pair, in units of the neuron's spread; above 0 where the factor makes the neuron rise.
    evidence : str
    """

    table: pd.DataFrame
    pairs: pd.DataFrame
    changes: dict[str, np.ndarray]
    evidence: str


def _factor_names(name: str, value: object) -> tuple[str, ...]:
    return tuple(dict.fromkeys(texts(name, value)))


@validated(factors=_factor_names, evidence=EVIDENCE, n_pairs=AT_LEAST_ONE)
def causal_effects(
    target: Target,
    dissection: Dissection,
    probe: Probe,
    factors: Sequence[str] | None = None,
    evidence: str = REDRAWN,
    n_pairs: int = 60,
    store: StoreLike = None,
    options: PassOptions | None = None,
    cache: Path | str | bool = True,
) -> CausalEffects:
    """The change of every neuron when one factor of the image changes and all else stays the same.

    >>> effects = causal_effects(target, found, load_probe("phantom", n_images=800, seed=7, start=800))    # doctest: +SKIP
    >>> effects.table.query("layer == 'bn2' and neuron == 7").nlargest(1, "effect").factor                 # doctest: +SKIP

    **Phantom redrawn**: a phantom that shows a factor is drawn again without it, from the same seed (`CHANGES` lists the
    factors, `mdissect.predictions.changes` says what else each moves). Both images go through the target as in `dissect`: the
    same preprocessing, layers and pooling.

    **Box filled**: for images with boxes, real ones too, the boxes of a finding are filled from what surrounds them
    (`fill_boxes`). That is weaker evidence: what lies under a finding is guessed, a box holds more than the finding and not
    always all of it, and the filling itself may move a neuron. Images whose boxes cover more than a quarter of them are left
    out. `compare_evidence` tells how far the two agree on phantoms.

    Parameters
    ----------
    target : Target
        The one that was dissected.
    dissection : Dissection
        Gives layers, pooling, and the spread (standard deviation over its probe) of each neuron.
    probe : Probe
        The images that are changed: the dissection's own, or of other patients, on which no label was chosen.
    factors : sequence of str, optional
        Of `CHANGES`, or findings as the boxes name them (in lower case); all that the probe shows when None.
    evidence : {"phantom redrawn", "box filled"}
    n_pairs : int
        At most so many pairs for a factor, over as many patients as possible: first one image of each patient, in the order
        of the probe, then a second one.
    store : path, optional
        Where activations are kept.
    cache : path or bool
        Where redrawn phantoms are kept, as for `load_probe("phantom")`.

    Raises
    ------
    ValueError
        The target is not the dissected one, the dissection holds no activations, an unknown factor, or no image that shows any
        factor (for "phantom redrawn": no phantoms).
    LookupError
        "box filled" for a probe without boxes.
    """
    _check_dissected(target, dissection)
    make = redrawn_pairs if evidence == REDRAWN else filled_pairs
    pairs = make(probe, factors, n_pairs, cache)
    changed = _record(target, pairs.changed, dissection, store, options)
    shown = pd.unique(pairs.table.position)
    original = _record(target, probe.subset(shown), dissection, store, options)
    row_of = {position: row for row, position in enumerate(shown)}
    rows = pairs.table.position.map(row_of).to_numpy()
    changes = {}
    for layer, after in changed.items():
        difference = original[layer][rows].astype(np.float64) - after[pairs.table.changed.to_numpy()]
        sign = np.where(pairs.table.adds, -1.0, 1.0)[:, None]
        changes[layer] = (sign * difference / spread(dissection.activations[layer])).astype(np.float32)
    return _summarised(pairs, changes, evidence)


def spread(activations: np.ndarray) -> np.ndarray:
    """Standard deviation (n_neurons,) of activations (n_images, n_neurons); NaN where constant or not finite."""
    finite, constant = nameable(torch.from_numpy(np.ascontiguousarray(activations)))
    usable = (finite & ~constant).numpy()
    return np.where(usable, np.where(usable, activations, 0).std(axis=0, dtype=np.float64), np.nan)


@validated(level=RATE)
def cluster_means(values: np.ndarray, clusters: np.ndarray, level: float = 0.95) -> np.ndarray:
    """(3, n): mean of values (n_pairs, n), low and high end of its interval; pairs of a cluster (n_pairs,) count as one.

    The variance of the mean is that of its linearised form with the sums over clusters, the interval Student's with one
    degree of freedom less than clusters; low and high are NaN for a single one.
    """
    from scipy.stats import t

    mean = values.mean(axis=0, dtype=np.float64)
    names, member = np.unique(clusters, return_inverse=True)
    if len(names) < 2:
        return np.stack([mean, np.full_like(mean, np.nan), np.full_like(mean, np.nan)])
    sums = np.zeros((len(names), *mean.shape))
    np.add.at(sums, member, values - mean)
    variance = len(names) / (len(names) - 1) * (sums**2).sum(axis=0) / len(values) ** 2
    width = t.ppf((1 + level) / 2, len(names) - 1) * np.sqrt(variance)
    return np.stack([mean, mean - width, mean + width])


def _check_dissected(target: Target, dissection: Dissection) -> None:
    if not dissection.activations:
        raise ValueError(f"the dissection has no activations ({why_none(dissection)}")
    made_with = dissection.settings.get("target_weights", target.fingerprint)
    if made_with != target.fingerprint:
        raise ValueError(
            f"target {target.name!r} is not the one that was dissected ({dissection.settings.get('target', '?')!r}: weights "
            f"{made_with[:10]}, not {target.fingerprint[:10]}); load that one"
        )


def _record(
    target: Target, probe: Probe, dissection: Dissection, store: StoreLike, options: PassOptions | None
) -> dict[str, np.ndarray]:
    """Activations of the dissection's layers, pooled as in it."""
    settings, options = dissection.settings, options or PassOptions()
    options = replace(options, axes=settings.get("axes"), prefix_tokens=settings.get("prefix_tokens"))
    probe.warm(progress=options.progress)
    return record_probe(target, probe, tuple(dissection.activations), settings.get("pool", "mean"), store, options=options)


def _summarised(pairs: Pairs, changes: dict[str, np.ndarray], evidence: str) -> CausalEffects:
    """Means with intervals by layer, factor and neuron."""
    parts, table = [], pairs.table
    for layer, values in changes.items():
        for (factor, level), rows in table.groupby(["factor", "level"], sort=False).indices.items():
            patients = table.patient.to_numpy()[rows]
            effect, low, high = cluster_means(values[rows], patients)
            part = pd.DataFrame({"layer": layer, "neuron": np.arange(len(effect)), "factor": factor, "level": level})
            part = part.assign(evidence=evidence, effect=effect, low=low, high=high, n_pairs=len(rows))
            parts.append(part.assign(n_patients=len(np.unique(patients))))
    kept = table[["factor", "level", "position", "patient"]].reset_index(drop=True)
    return CausalEffects(pd.concat(parts, ignore_index=True)[list(COLUMNS)], kept, changes, evidence)
