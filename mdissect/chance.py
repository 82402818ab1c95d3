"""Random rankings of a probe: the scale of evidence and its distribution under chance, computed once per probe.

`mdissect.calibrate` derives the evidence and says what it is for; `mdissect.pvalues` compares neurons with the rankings.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mdissect.arguments import AT_LEAST_ONE
from mdissect.clustering import Clustering, clustering, shared
from mdissect.signatures import validated
from mdissect.similarity import DEFAULTS, SoftWPMIOptions, concept_probabilities, log_likelihood
from mdissect.store import MemoryStore, Store, StoreLike, exclusive, open_store

TILTS = tuple(np.geomspace(0.2, 40, 18))  # t, in units of 1 / standard deviation of L; each gives a valid bound
FLATTEST = 1e-3  # nats: a concept whose L varies less over random rankings is lost in rounding
TIE = 1e-3  # nats: evidence that differs by less is equal, a factor of 1.001 in probability and far above rounding
RANK_NODES = 3  # of the quadrature over ranks: the weights fall linearly, so that the terms hardly bend
NULL_AT_A_TIME = 250  # random rankings held in memory together
BETWEEN = 4  # times n_null rankings lie between those of independent images and those of patients with all their images
APART = 1e-6  # of the variance: what separates a patient's images in a ranking of whole patients


@dataclass(frozen=True)
class Null:
    """The null distribution from random rankings; computed once per probe, dissector and top_k by `random_rankings`.

    `moments` (2 + n_tilts, n_concepts) float64 are of L over random rankings: mean, standard deviation, and K_m of the
    standardised L at `TILTS`.
    `maxima` and `effects` (n_rankings,) float64 are the largest evidence of each ranking and the design effect of its top
    images (`mdissect.clustering`); a neuron is compared with the `n_null` of the nearest effects. `members` (n_images,) int64
    numbers the patients, `weights` (top_k,) float64 say how much a rank counts. The lam of `options` changes nothing here,
    only which label is chosen.
    """

    top_k: int
    moments: Tensor
    maxima: Tensor
    effects: Tensor
    n_null: int
    members: Tensor
    weights: Tensor
    options: SoftWPMIOptions

    def likelihood(self, sims: Tensor, activations: Tensor) -> Tensor:
        """L of `soft_wpmi` (n_neurons, n_concepts) for the null's top_k and options; tied images come in a random order.

        The same order for all neurons: the first images of a probe may have a concept in common, which a neuron that
        responds to fewer than top_k images would seem to follow.
        """
        order = in_any_order(len(sims)).to(sims.device)
        return log_likelihood(sims[order], activations[order], self.top_k, self.options)

    def evidence(self, likelihood: Tensor) -> Tensor:
        """E (n_neurons, n_concepts) in nats of L (n_neurons, n_concepts)."""
        return _evidence(likelihood, self.moments)

    def clustering(self, activations: Tensor, images: np.ndarray | None = None) -> Clustering:
        """How the neurons' top images spread over patients, on all images of the probe or on those at some positions.

        A patient drawn twice with all images counts as two.
        """
        members = self.members if images is None else _copies(self.members, images)
        if len(members) != len(activations):
            raise ValueError(f"activations of {len(activations)} images, the null is of a probe of {len(members)}")
        order = in_any_order(len(members)).to(members.device)
        return clustering(activations[order], members[order], self.weights)


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
    """The null of a probe under a dissector, read from the store if it is there; parameters as in `calibrate`.

    Computed, and returned, on the device of `sims`; the rankings are drawn on the processor, block by block.
    """
    if top_k > len(sims):
        raise ValueError(f"top_k={top_k} exceeds the {len(sims)} probe images; lower top_k")
    p = concept_probabilities(sims, options.a)
    members = numbered(patients, len(sims)).to(p.device)
    digest = hashlib.sha256(np.ascontiguousarray(sims.cpu().numpy()).tobytes()).hexdigest()
    own = {name: value for name, value in asdict(options).items() if name != "lam"}
    key = {"kind": "null", "sims": digest, "shape": list(sims.shape), "top_k": top_k, "options": own, "tilts": list(TILTS)}
    store = open_store(store)
    moments = kept(store, {**key, "part": "moments"}, 2 + len(TILTS), lambda: _moments(p, top_k, options)).to(p.device)
    nothing = p.new_empty(0, dtype=torch.float64)
    null = Null(top_k, moments, nothing, nothing, n_null, members, _rank_weights(p, top_k, options), options)
    groups = hashlib.sha256(str(members.tolist()).encode()).hexdigest()
    key |= {"n_null": n_null, "seed": seed, "groups": groups, "part": "maxima and effects of rankings"}
    common = common_shares(members, n_null)
    drawn = _rankings(members.cpu(), common, seed)
    found = kept(store, key, len(common), lambda: _maxima_and_effects(null, sims, drawn)).to(p.device)
    return replace(null, maxima=found[:, 0].contiguous(), effects=found[:, 1].contiguous())


@validated()
def numbered(patients: Sequence | None, n_images: int) -> Tensor:
    """The number of each image's patient (n_images,) int64; of images without patients, the image's own."""
    if patients is None:
        return torch.arange(n_images)
    numbers = pd.factorize(np.asarray(patients, dtype=object))[0]
    if len(numbers) != n_images:
        raise ValueError(f"patients names {len(numbers)} images, image_concept_sims has {n_images}")
    if max(numbers) == 0 and n_images > 1:
        raise ValueError(
            f"all {n_images} images are of one patient, so that patients cannot be ranked at random; patients=None (a "
            "probe's table without the column patient) ranks images, which are then taken for independent"
        )
    return torch.from_numpy(numbers.astype(np.int64))


def _copies(members: Tensor, images: np.ndarray) -> Tensor:
    """The patients of images drawn with replacement: the second draw of an image is of a second patient, and so on."""
    draw = pd.Series(images).groupby(images).cumcount()
    pairs = pd.MultiIndex.from_arrays([members.cpu().numpy()[images], draw])
    return torch.from_numpy(pd.factorize(pairs)[0].astype(np.int64)).to(members.device)


@validated(n_images=AT_LEAST_ONE)
def in_any_order(n_images: int) -> Tensor:
    """A fixed permutation of the images, the same on every machine."""
    return torch.from_numpy(np.random.default_rng(0).permutation(n_images))


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
    ranks, masses = quadrature(top_k)
    terms = [log_terms(p, top_k, options, rank=rank) for rank in ranks]
    mean = sum(mass * term.mean(dim=0) for mass, term in zip(masses, terms, strict=True))
    variance = sum(mass * term.var(dim=0, correction=0) for mass, term in zip(masses, terms, strict=True))
    spread = variance.sqrt().clamp(min=FLATTEST)
    cumulants = p.new_zeros(len(TILTS), p.shape[1], dtype=torch.float64)
    for mass, term in zip(masses, terms, strict=True):
        z = (term - term.mean(dim=0)) / spread
        for i, tilt in enumerate(TILTS):
            cumulants[i] += mass * (torch.logsumexp(tilt * z, dim=0) - np.log(len(p)))
    return torch.cat([mean[None], spread[None], cumulants])


@validated(top_k=AT_LEAST_ONE)
def quadrature(top_k: int) -> tuple[np.ndarray, np.ndarray]:
    """Ranks, and the weight of each, by Gauss and Legendre: sums over all top_k ranks are sums over these few."""
    nodes, masses = np.polynomial.legendre.leggauss(min(RANK_NODES, top_k))
    return (nodes + 1) / 2 * (top_k - 1), masses / 2 * top_k


@validated(top_k=AT_LEAST_ONE)
def log_terms(p: Tensor, top_k: int, options: SoftWPMIOptions, rank: float | None = None) -> Tensor:
    """``log(1 - w + w p + min_prob)`` of p (n, n_concepts), all at one rank, or row r at rank r."""
    ranks = torch.arange(len(p), dtype=p.dtype)[:, None] if rank is None else rank
    w = options.p_start - ranks / top_k * (options.p_start - options.p_end)
    return torch.log(1 + w * (p - 1) + options.min_prob)


def _rank_weights(p: Tensor, top_k: int, options: SoftWPMIOptions) -> Tensor:
    """(top_k,) float64: how far the terms of L spread over images at each rank."""
    at = weighed_ranks(top_k)
    return weights_between(at, [log_terms(p, top_k, options, rank=rank).var(dim=0, correction=0) for rank in at], top_k)


@validated(top_k=AT_LEAST_ONE)
def weighed_ranks(top_k: int) -> list[int]:
    """The ranks at which `Null.weights` are computed."""
    return sorted({0, (top_k - 1) // 2, top_k - 1})


@validated(top_k=AT_LEAST_ONE)
def weights_between(at: list[int], of_concepts: list[Tensor], top_k: int) -> Tensor:
    """`Null.weights` from the variances over images (n_concepts,) at some ranks."""
    variances = torch.stack([one.mean() for one in of_concepts])
    spreads = np.interp(np.arange(top_k), at, variances.sqrt().cpu().numpy())
    return torch.from_numpy(spreads).clamp(min=FLATTEST).to(variances.device)


@validated(n_null=AT_LEAST_ONE)
def common_shares(members: Tensor, n_null: int) -> np.ndarray:
    """Of each random ranking, the share of its variance that the images of a patient have in common (their icc)."""
    if not shared(members):
        return np.zeros(n_null)
    return np.concatenate([np.zeros(n_null), np.linspace(0, 1, BETWEEN * n_null), np.ones(n_null)])


def _rankings(members: Tensor, common: np.ndarray, seed: int) -> Iterator[Tensor]:
    """Activations (n_images, up to `NULL_AT_A_TIME`) at random, float32; numpy's are the same on every machine.

    Patients differ by the cube of a normal number, so that a few of them stand out: p of neurons for which a few do is then
    still valid. With normal numbers .07 of such noise (50 patients of 4 images) had p <= .05. Normal noise becomes a little
    conservative by it, .036 instead of .044 (150 patients, icc .6).
    """
    rng, n_patients = np.random.default_rng(seed), int(members.max()) + 1
    for start in range(0, len(common), NULL_AT_A_TIME):
        share = common[start : start + NULL_AT_A_TIME].clip(max=1 - APART)
        normal = rng.standard_normal((n_patients, len(share)))
        of_patient = normal * normal * normal / np.sqrt(15)  # of variance 1
        of_image = rng.standard_normal((len(members), len(share)))
        drawn = np.sqrt(share) * of_patient[members.numpy()] + np.sqrt(1 - share) * of_image
        yield torch.from_numpy(drawn.astype(np.float32))


def _maxima_and_effects(null: Null, sims: Tensor, rankings: Iterator[Tensor]) -> Tensor:
    """`Null.maxima` and `Null.effects` as columns, (n_rankings, 2)."""
    found = []
    for drawn in rankings:
        drawn = drawn.to(null.moments.device, sims.dtype)
        evidence = null.evidence(null.likelihood(sims, drawn)).amax(dim=1)
        found.append(torch.stack([evidence, null.clustering(drawn).effect], dim=1))
    return torch.cat(found)


@validated()
def kept(store: Store | MemoryStore, key: dict, n_rows: int, compute: Callable[[], Tensor]) -> Tensor:
    """An array (n_rows, n) of the store, computed when it is missing."""
    entry = store.entry(key, n_rows, "float64")
    if entry.missing():
        with exclusive([entry]):
            if missing := entry.missing():
                values = compute().cpu().numpy()
                for chunk in missing:
                    entry.write(chunk, values[entry.rows(chunk)])
    return torch.from_numpy(entry.read())
