"""Which labels are better than chance: evidence against random rankings, p- and q-values, and a label only where it is due.

The published score names every neuron. Its prior is nearly the maximum over the layer's neurons, so it tells which neuron is
best for a concept rather than how strong the evidence is: what nobody carries gives its luckiest neuron a high score, and
what several neurons carry gives all of them low ones. Three steps part the two questions.

**Evidence.** Were a neuron's ranking of the probe random, L of `soft_wpmi` (before its prior) would be a sum of terms
``log(1 - w_r + w_r p[i_r, m])`` over images i_r drawn at random, and by Chernoff's inequality, for any tilt t > 0::

    P(L[k, m] >= x) <= exp(-(t x - K_m(t))),     K_m(t) = sum_r log mean_i (1 - w_r + w_r p[i, m])^t

The evidence is the best such bound, ``E[k, m] = max_t (t L[k, m] - K_m(t))`` (Cramer's rate function) in nats. It puts common
and rare concepts, sharp and vague ones, on one scale, also far out in the tail where no simulation reaches.

**p and q.** A neuron's statistic is its largest evidence over all concepts. The null is the same maximum for random rankings of
the same probe; ``p = (1 + how many reach it) / (1 + n_null)`` is exact whatever the bound gives away, and the q-values are
Benjamini and Hochberg's over the layer.

**Label.** A concept is a candidate of a neuron when its evidence passes what the best concept of a random ranking reaches in
one case of ten, and `RIVAL` of the neuron's best concept; or when it has `ATTAINED` of the most that this concept can reach on
this probe (what one image shows can never pass the former). Among the candidates the published score decides, since it alone
tells similar concepts apart, with its prior taken over the neurons that pass and whose evidence for the concept is more than
chance: noise no longer competes. Each part earns its place on planted neurons, on classifiers with few images per class and on
trained neurons of known truth; `mdissect.planted` measures the rule.
"""

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mdissect.similarity import log_likelihood, nameable
from mdissect.store import MemoryStore, Store, exclusive, open_store

RIVAL = 0.8  # share of the neuron's best evidence that a candidate needs
ATTAINED = 0.4  # share of its attainable evidence that makes a concept a candidate as well
LEAST = 1.0  # nats that any candidate needs
CANDIDATE_LEVEL = 0.9  # of the null's maxima
TILTS = tuple(np.geomspace(0.2, 40, 18))  # t, in units of 1 / standard deviation of L; each gives a valid bound
FLATTEST = 1e-3  # nats: a concept whose L varies less over random rankings is lost in rounding
RANK_NODES = 3  # of the quadrature over ranks: the weights fall linearly, so that the terms hardly bend
NULL_AT_A_TIME = 250  # random rankings held in memory together
AUTO = (5, 10, 20, 50, 100, 200)  # what top_k="auto" tries, up to a sixth of the probe

Kept = Store | MemoryStore | str | os.PathLike | None


@dataclass(frozen=True)
class Null:
    """What random rankings of a probe reach; made once per probe, dissector and top_k by `random_rankings`.

    Attributes
    ----------
    top_k : int
    moments : (2 + n_tilts, n_concepts)
        Of L over random rankings: mean, standard deviation, and K_m of the standardised L at `TILTS`.
    maxima : (n_null,)
        The largest evidence of each random ranking.
    attainable : (n_concepts,)
        The evidence of a ranking that puts the concept's own images first.
    options : dict
        a, p_start, p_end, min_prob of `soft_wpmi`, where they were given.
    """

    top_k: int
    moments: Tensor
    maxima: Tensor
    attainable: Tensor
    options: dict

    def evidence(self, likelihood: Tensor) -> Tensor:
        """E (n_neurons, n_concepts) in nats of L (n_neurons, n_concepts)."""
        return _evidence(likelihood, self.moments)

    def candidates(self, evidence: Tensor, rival: float = RIVAL) -> Tensor:
        """(n_neurons, n_concepts) bool: the concepts that a neuron may be called by.

        With `rival` 0: those it may answer to, however much better it answers to others.
        """
        level = float(torch.quantile(self.maxima, CANDIDATE_LEVEL))
        against_rivals = (rival * evidence.amax(dim=1, keepdim=True)).clamp(min=level)
        by_its_own = (ATTAINED * self.attainable).clamp(min=LEAST)
        return evidence >= torch.minimum(against_rivals, by_its_own)

    def p_values(self, statistic: Tensor) -> Tensor:
        """(n_neurons,) share of random rankings that reach the statistic, with the correction of + 1."""
        return _share_reaching(self.maxima, statistic)


def calibrate(
    image_concept_sims: Tensor | np.ndarray,
    activations: Tensor | np.ndarray,
    top_k: int | str = 100,
    n_null: int = 1000,
    seed: int = 0,
    level: float = 0.05,
    store: Kept = None,
    patients: Sequence | None = None,
    **options: float,
) -> pd.DataFrame:
    """Labels that are better than chance.

    Parameters
    ----------
    image_concept_sims : (n_images, n_concepts)
    activations : (n_images, n_neurons)
        All neurons of one layer.
    top_k : int or "auto"
        Images that stand for a neuron. "auto" tries those of `AUTO` up to a sixth of the probe, takes each neuron's smallest
        p against the smallest p of random rankings, and labels with the top_k that names the most neurons.
    n_null : int
        Random rankings.
    seed : int
    level : float
        A neuron with q above it gets no label.
    store : path or store, optional
        Where the null is kept.
    patients : (n_images,) sequence, optional
        Whose image it is: random rankings then rank patients, with all images of one patient together. What holds of a
        patient's one image holds of the others mostly, and ten patients who agree with a concept are less than forty images.
    **options
        a, lam, p_start, p_end, min_prob as in `soft_wpmi`.

    Returns
    -------
    DataFrame
        A row per neuron: label (index of the concept, -1 for none), candidate (the label it would have, whatever q is; -1
        where the neuron cannot be named), statistic (largest evidence, in nats), p, q, top_k, note ("", "constant" or
        "not finite"; p and q are NaN there).

    Raises
    ------
    ValueError
        Shapes that do not fit, top_k, n_null or level out of range.

    Examples
    --------
    >>> table = calibrate(torch.randn(600, 120), torch.randn(600, 64), top_k=40)
    >>> (table.label >= 0).mean() < 0.05
    True
    """
    sims, activations = _tensor(image_concept_sims), _tensor(activations)
    _check(n_null, level)
    tried = auto_top_k(len(sims)) if top_k == "auto" else [top_k]
    drawn = {name: value for name, value in options.items() if name != "lam"}
    nulls = [random_rankings(sims, k, n_null, seed, store, patients, **drawn) for k in tried]
    return judge_neurons(sims, activations, nulls, level, options.get("lam", 1.0))


def judge_neurons(
    sims: Tensor, activations: Tensor, nulls: Sequence[Null], level: float = 0.05, lam: float = 1.0
) -> pd.DataFrame:
    """`calibrate` with nulls at hand, one for each top_k that is tried."""
    from scipy.stats import false_discovery_control

    finite, constant = nameable(activations)
    usable = finite & ~constant
    table = pd.DataFrame({"label": np.full(len(usable), -1), "candidate": -1, "statistic": np.nan, "p": np.nan, "q": np.nan})
    table["top_k"], table["note"] = nulls[0].top_k, np.select([~finite, constant], ["not finite", "constant"], "")
    if not usable.any():
        return table
    good = activations[:, usable]
    likelihoods = [log_likelihood(sims, good, null.top_k, **null.options) for null in nulls]
    evidences = [null.evidence(L) for null, L in zip(nulls, likelihoods, strict=True)]
    each = [null.p_values(E.amax(dim=1)) for null, E in zip(nulls, evidences, strict=True)]
    p = each[0] if len(nulls) == 1 else _smallest(each, nulls)
    named = [false_discovery_control(one.numpy()) <= level for one in each]
    best = int(np.argmax([n.sum() for n in named]))
    q = false_discovery_control(p.numpy())
    candidate = choose(nulls[best], likelihoods[best], evidences[best], torch.from_numpy(q <= level), lam).numpy()
    table.loc[usable.numpy(), ["candidate", "label"]] = np.stack([candidate, np.where(q <= level, candidate, -1)], axis=1)
    table.loc[usable.numpy(), ["statistic", "p", "q"]] = np.stack([evidences[best].amax(dim=1).numpy(), p, q], axis=1)
    return table.assign(top_k=nulls[best].top_k)


def choose(null: Null, likelihood: Tensor, evidence: Tensor, passing: Tensor, lam: float = 1.0) -> Tensor:
    """The label of every neuron (n_neurons,): among its candidates, the highest score.

    The score is L - lam * prior with the prior over the neurons that pass and may answer to the concept. A neuron without
    candidates gets the concept of its largest evidence.
    """
    candidates, competing = null.candidates(evidence), null.candidates(evidence, rival=0) & passing[:, None]
    prior = torch.logsumexp(torch.where(competing, likelihood, -torch.inf), dim=0)
    prior = prior.where(prior.isfinite(), 0.0) - torch.log(passing.sum().clamp(min=1).to(prior.dtype))
    score = torch.where(candidates, likelihood - lam * prior, -torch.inf)
    return torch.where(candidates.any(dim=1), score.argmax(dim=1), evidence.argmax(dim=1))


def random_rankings(
    sims: Tensor,
    top_k: int,
    n_null: int = 1000,
    seed: int = 0,
    store: Kept = None,
    patients: Sequence | None = None,
    **options: float,
) -> Null:
    """The null of a probe under a dissector, from the store where it was made before; parameters as in `calibrate`."""
    if not 1 <= top_k <= len(sims):
        bound = f"exceeds the {len(sims)} probe images; lower top_k" if top_k > 1 else "must be at least 1"
        raise ValueError(f"top_k={top_k} {bound}")
    groups = list(range(len(sims))) if patients is None else pd.factorize(np.asarray(patients, dtype=object))[0].tolist()
    if len(groups) != len(sims):
        raise ValueError(f"patients names {len(groups)} images, image_concept_sims has {len(sims)}")
    p = torch.softmax(options.get("a", 10.0) * sims, dim=1)
    digest = hashlib.sha256(np.ascontiguousarray(sims.numpy()).tobytes()).hexdigest()
    key = {"kind": "null", "sims": digest, "shape": list(sims.shape), "top_k": top_k, "options": options, "tilts": list(TILTS)}
    store = open_store(store)
    moments = _kept(store, {**key, "part": "moments"}, 2 + len(TILTS), lambda: _moments(p, top_k, options))
    key |= {"n_null": n_null, "seed": seed, "groups": hashlib.sha256(str(groups).encode()).hexdigest(), "part": "maxima"}
    maxima = _kept(store, key, n_null, lambda: _null_maxima(sims, moments, top_k, _rankings(groups, n_null, seed), options))
    attainable = _evidence(_log_terms(p.sort(dim=0, descending=True)[0][:top_k], top_k, options).sum(dim=0)[None], moments)[0]
    return Null(top_k, moments, maxima[:, 0], attainable, options)


def auto_top_k(n_images: int) -> list[int]:
    """What top_k="auto" tries."""
    return [k for k in AUTO if k <= n_images // 6] or [max(1, n_images // 6)]


def _evidence(likelihood: Tensor, moments: Tensor) -> Tensor:
    mean, spread, *cumulants = moments
    z = (likelihood - mean) / spread
    best = torch.zeros_like(likelihood)
    for tilt, cumulant in zip(TILTS, cumulants, strict=True):
        torch.maximum(best, torch.sub(z * tilt, cumulant), out=best)
    return best


def _moments(p: Tensor, top_k: int, options: dict) -> Tensor:
    """`Null.moments`; sums over ranks by Gauss and Legendre's quadrature."""
    nodes, masses = np.polynomial.legendre.leggauss(min(RANK_NODES, top_k))
    masses = masses / 2 * top_k
    terms = [_log_terms(p.double(), top_k, options, rank=(node + 1) / 2 * (top_k - 1)) for node in nodes]
    mean = sum(mass * term.mean(dim=0) for mass, term in zip(masses, terms, strict=True))
    variance = sum(mass * term.var(dim=0, correction=0) for mass, term in zip(masses, terms, strict=True))
    spread = variance.sqrt().clamp(min=FLATTEST)
    cumulants = p.new_zeros(len(TILTS), p.shape[1], dtype=torch.float64)
    for mass, term in zip(masses, terms, strict=True):
        z = (term - term.mean(dim=0)) / spread
        for i, tilt in enumerate(TILTS):
            cumulants[i] += mass * (torch.logsumexp(tilt * z, dim=0) - np.log(len(p)))
    return torch.cat([mean[None], spread[None], cumulants])


def _log_terms(p: Tensor, top_k: int, options: dict, rank: float | None = None) -> Tensor:
    """``log(1 - w + w p + min_prob)`` of p (n, n_concepts), all at one rank, or row r at rank r."""
    start, end = options.get("p_start", 0.998), options.get("p_end", 0.97)
    ranks = torch.arange(len(p), dtype=p.dtype)[:, None] if rank is None else rank
    w = start - ranks / top_k * (start - end)
    return torch.log(1 + w * (p - 1) + options.get("min_prob", 1e-7))


def _rankings(groups: list[int], n_null: int, seed: int) -> Iterator[Tensor]:
    """Activations (n_images, up to `NULL_AT_A_TIME`) at random, those of a group next to each other."""
    generator, member = torch.Generator().manual_seed(seed), torch.tensor(groups)
    for start in range(0, n_null, NULL_AT_A_TIME):
        size = min(NULL_AT_A_TIME, n_null - start)
        order = torch.rand(int(member.max()) + 1, size, generator=generator).argsort(dim=0)  # whole numbers: no two alike
        yield order[member] + 0.5 * torch.rand(len(groups), size, generator=generator)


def _null_maxima(sims: Tensor, moments: Tensor, top_k: int, rankings: Iterator[Tensor], options: dict) -> Tensor:
    """(n_null, 1)."""
    found = [_evidence(log_likelihood(sims, drawn, top_k, **options), moments).amax(dim=1) for drawn in rankings]
    return torch.cat(found)[:, None]


def _smallest(each: list[Tensor], nulls: Sequence[Null]) -> Tensor:
    """p of the smallest p over several top_k: random rankings get their smallest p from each other."""
    reached = torch.stack([_share_reaching(null.maxima, null.maxima) for null in nulls]).amin(dim=0)
    return _share_reaching(-reached, -torch.stack(each).amin(dim=0))


def _share_reaching(null: Tensor, statistic: Tensor) -> Tensor:
    below = torch.searchsorted(null.sort().values, statistic.contiguous())
    return (1.0 + len(null) - below).double() / (1 + len(null))


def _kept(store: Store | MemoryStore, key: dict, n_rows: int, compute) -> Tensor:
    """An array of the store, computed when it is not there."""
    entry = store.entry(key, n_rows)
    if entry.missing():
        with exclusive([entry]):
            if missing := entry.missing():
                values = compute().float().numpy()
                for chunk in missing:
                    entry.write(chunk, values[entry.rows(chunk)])
    return torch.from_numpy(entry.read())


def _tensor(x: Tensor | np.ndarray) -> Tensor:
    return torch.as_tensor(np.array(x) if isinstance(x, np.ndarray) else x).detach().cpu().float()


def _check(n_null: int, level: float) -> None:
    if n_null < 1:
        raise ValueError(f"n_null={n_null} must be at least 1; 1,000 resolve p-values to 0.001")
    if not 0 < level < 1:
        raise ValueError(f"level={level} must lie between 0 and 1, such as 0.05")
