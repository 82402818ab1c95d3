"""Random rankings of a probe: the scale of evidence and its distribution under chance, computed once per probe.

`mdissect.calibrate` derives the evidence and says what it is for.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mdissect.arguments import AT_LEAST_ONE
from mdissect.signatures import validated
from mdissect.similarity import DEFAULTS, SoftWPMIOptions, concept_probabilities, log_likelihood
from mdissect.store import MemoryStore, Store, StoreLike, exclusive, open_store

TILTS = tuple(np.geomspace(0.2, 40, 18))  # t, in units of 1 / standard deviation of L; each gives a valid bound
FLATTEST = 1e-3  # nats: a concept whose L varies less over random rankings is lost in rounding
TIE = 1e-3  # nats: evidence that differs by less is equal, a factor of 1.001 in probability and far above rounding
RANK_NODES = 3  # of the quadrature over ranks: the weights fall linearly, so that the terms hardly bend
NULL_AT_A_TIME = 250  # random rankings held in memory together


@dataclass(frozen=True)
class Null:
    """The null distribution from random rankings; computed once per probe, dissector and top_k by `random_rankings`.

    `moments` (2 + n_tilts, n_concepts) float64 are of L over random rankings: mean, standard deviation, and K_m of the
    standardised L at `TILTS`; `maxima` (n_null,) float64 the largest evidence of each; `highest` (n_concepts,) float64 is L
    of a ranking that puts the concept's own images first. The lam of `options` changes nothing here, only which label is
    chosen.
    """

    top_k: int
    moments: Tensor
    maxima: Tensor
    highest: Tensor
    options: SoftWPMIOptions

    def likelihood(self, sims: Tensor, activations: Tensor) -> Tensor:
        """L of `soft_wpmi` (n_neurons, n_concepts) for the null's top_k and options."""
        return log_likelihood(sims, activations, self.top_k, self.options)

    def evidence(self, likelihood: Tensor) -> Tensor:
        """E (n_neurons, n_concepts) in nats of L (n_neurons, n_concepts)."""
        return _evidence(likelihood, self.moments)

    @property
    def attainable(self) -> Tensor:
        """(n_concepts,) the largest evidence that a concept can reach on this probe."""
        return self.evidence(self.highest[None])[0]

    def completeness(self, likelihood: Tensor) -> Tensor:
        """C (n_neurons, n_concepts): 0 at what random rankings reach on average, 1 at the most that a ranking can."""
        mean = self.moments[0]
        return ((likelihood - mean) / (self.highest - mean).clamp(min=FLATTEST)).clamp(0, 1)

    def p_values(self, statistic: Tensor) -> Tensor:
        """(n_neurons,) share of random rankings at or above the statistic, corrected by + 1."""
        return share_reaching(self.maxima, statistic, TIE)


@validated(top_k=AT_LEAST_ONE, n_null=AT_LEAST_ONE)
def random_rankings(
    sims: Tensor,
    top_k: int,
    n_null: int = 1000,
    seed: int = 0,
    store: StoreLike = None,
    patients: Sequence | None = None,
    options: SoftWPMIOptions = DEFAULTS,
) -> Null:
    """The null of a probe under a dissector, read from the store if it is there; parameters as in `calibrate`."""
    if top_k > len(sims):
        raise ValueError(f"top_k={top_k} exceeds the {len(sims)} probe images; lower top_k")
    groups = list(range(len(sims))) if patients is None else pd.factorize(np.asarray(patients, dtype=object))[0].tolist()
    if len(groups) != len(sims):
        raise ValueError(f"patients names {len(groups)} images, image_concept_sims has {len(sims)}")
    if patients is not None and max(groups) == 0 and len(groups) > 1:
        raise ValueError(
            f"all {len(groups)} images are of one patient, so that patients cannot be ranked at random; patients=None (a "
            "probe's table without the column patient) ranks images, which are then taken for independent"
        )
    p = concept_probabilities(sims, options.a)
    digest = hashlib.sha256(np.ascontiguousarray(sims.numpy()).tobytes()).hexdigest()
    own = {name: value for name, value in asdict(options).items() if name != "lam"}
    key = {"kind": "null", "sims": digest, "shape": list(sims.shape), "top_k": top_k, "options": own, "tilts": list(TILTS)}
    store = open_store(store)
    moments = _kept(store, {**key, "part": "moments"}, 2 + len(TILTS), lambda: _moments(p, top_k, options))
    key |= {"n_null": n_null, "seed": seed, "groups": hashlib.sha256(str(groups).encode()).hexdigest(), "part": "maxima"}
    maxima = _kept(store, key, n_null, lambda: _null_maxima(sims, moments, top_k, _rankings(groups, n_null, seed), options))
    highest = _log_terms(p.sort(dim=0, descending=True)[0][:top_k], top_k, options).sum(dim=0)
    return Null(top_k, moments, maxima[:, 0], highest, options)


def share_reaching(null: Tensor, statistic: Tensor, tie: float) -> Tensor:
    """(n,) p-values: the share of the null at or above the statistic up to `tie`, corrected by + 1."""
    below = torch.searchsorted(null.sort().values, (statistic - tie).contiguous())
    return (1.0 + len(null) - below).double() / (1 + len(null))


def _evidence(likelihood: Tensor, moments: Tensor) -> Tensor:
    """The best of the bounds over `TILTS`, (n_neurons, n_concepts)."""
    mean, spread, *cumulants = moments
    z = (likelihood - mean) / spread
    best = torch.zeros_like(likelihood)
    for tilt, cumulant in zip(TILTS, cumulants, strict=True):
        torch.maximum(best, torch.sub(z * tilt, cumulant), out=best)
    return best


def _moments(p: Tensor, top_k: int, options: SoftWPMIOptions) -> Tensor:
    """`Null.moments`; sums over ranks by Gauss and Legendre's quadrature."""
    nodes, masses = np.polynomial.legendre.leggauss(min(RANK_NODES, top_k))
    masses = masses / 2 * top_k
    terms = [_log_terms(p, top_k, options, rank=(node + 1) / 2 * (top_k - 1)) for node in nodes]
    mean = sum(mass * term.mean(dim=0) for mass, term in zip(masses, terms, strict=True))
    variance = sum(mass * term.var(dim=0, correction=0) for mass, term in zip(masses, terms, strict=True))
    spread = variance.sqrt().clamp(min=FLATTEST)
    cumulants = p.new_zeros(len(TILTS), p.shape[1], dtype=torch.float64)
    for mass, term in zip(masses, terms, strict=True):
        z = (term - term.mean(dim=0)) / spread
        for i, tilt in enumerate(TILTS):
            cumulants[i] += mass * (torch.logsumexp(tilt * z, dim=0) - np.log(len(p)))
    return torch.cat([mean[None], spread[None], cumulants])


def _log_terms(p: Tensor, top_k: int, options: SoftWPMIOptions, rank: float | None = None) -> Tensor:
    """``log(1 - w + w p + min_prob)`` of p (n, n_concepts), all at one rank, or row r at rank r."""
    ranks = torch.arange(len(p), dtype=p.dtype)[:, None] if rank is None else rank
    w = options.p_start - ranks / top_k * (options.p_start - options.p_end)
    return torch.log(1 + w * (p - 1) + options.min_prob)


def _rankings(groups: list[int], n_null: int, seed: int) -> Iterator[Tensor]:
    """Activations (n_images, up to `NULL_AT_A_TIME`) at random, those of a group next to each other."""
    generator, member = torch.Generator().manual_seed(seed), torch.tensor(groups)
    for start in range(0, n_null, NULL_AT_A_TIME):
        size = min(NULL_AT_A_TIME, n_null - start)
        drawn = torch.rand(int(member.max()) + 1, size, generator=generator)
        order = drawn.argsort(dim=0, stable=True)  # whole numbers: no two alike
        yield order[member] + 0.5 * torch.rand(len(groups), size, generator=generator)


def _null_maxima(sims: Tensor, moments: Tensor, top_k: int, rankings: Iterator[Tensor], options: SoftWPMIOptions) -> Tensor:
    """`Null.maxima` as a column (n_null, 1)."""
    found = [_evidence(log_likelihood(sims, drawn, top_k, options), moments).amax(dim=1) for drawn in rankings]
    return torch.cat(found)[:, None]


def _kept(store: Store | MemoryStore, key: dict, n_rows: int, compute) -> Tensor:
    """An array (n_rows, n) of the store, computed when it is missing."""
    entry = store.entry(key, n_rows, "float64")
    if entry.missing():
        with exclusive([entry]):
            if missing := entry.missing():
                values = compute().numpy()
                for chunk in missing:
                    entry.write(chunk, values[entry.rows(chunk)])
    return torch.from_numpy(entry.read())
