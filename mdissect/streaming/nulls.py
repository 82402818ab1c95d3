"""Random rankings of a probe whose similarities do not fit into memory: the same null as `mdissect.chance.random_rankings`."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace

import numpy as np
import torch
from torch import Tensor

from mdissect.arguments import AT_LEAST_ONE
from mdissect.chance import (
    APART,
    FLATTEST,
    NULL_AT_A_TIME,
    TILTS,
    Null,
    common_shares,
    in_any_order,
    kept,
    log_terms,
    numbered,
    quadrature,
    weighed_ranks,
    weights_between,
)
from mdissect.clustering import Clustering, clustering_of, shared, unshared
from mdissect.signatures import validated
from mdissect.similarity import DEFAULTS, SoftWPMIOptions, concept_probabilities
from mdissect.store import CHUNK_ROWS, StoreLike, open_store
from mdissect.streaming.rules import likelihoods
from mdissect.streaming.sims import Sims
from mdissect.streaming.sums import Moments
from mdissect.streaming.top import RunningTop

DRAWN_BYTES = 8  # of a random number


@validated(top_k=AT_LEAST_ONE, n_null=AT_LEAST_ONE)
def large_null(
    sims: Sims,
    top_k: int,
    n_null: int = 1000,
    seed: int = 0,
    store: StoreLike = None,
    patients: Sequence | None = None,
    options: SoftWPMIOptions = DEFAULTS,
) -> Null:
    """The null of a probe under a dissector, kept in the store; parameters as in `random_rankings`.

    The rankings are the same, so that p-values are, up to rounding. Memory besides blocks: the patients' part of a block of
    rankings.
    """
    if top_k > len(sims):
        raise ValueError(f"top_k={top_k} exceeds the {len(sims)} probe images; lower top_k")
    members = numbered(patients, len(sims))
    own = {name: value for name, value in asdict(options).items() if name != "lam"}
    key = {"kind": "null", "sims of": _digest(sims), "shape": list(sims.shape), "top_k": top_k, "options": own}
    key, store = key | {"tilts": list(TILTS)}, open_store(store)
    moments = kept(store, {**key, "part": "moments"}, 2 + len(TILTS), lambda: _moments(sims, top_k, options))
    weights = kept(store, {**key, "part": "weights of ranks"}, 1, lambda: _rank_weights(sims, top_k, options)[None])[0]
    nothing = torch.empty(0, dtype=torch.float64)
    null = Null(top_k, moments, nothing, nothing, n_null, members, weights, options)
    groups = hashlib.sha256(members.numpy().tobytes()).hexdigest()
    key |= {"n_null": n_null, "seed": seed, "patients": groups, "part": "maxima and effects of rankings"}
    common = common_shares(members, n_null)
    found = kept(store, key, len(common), lambda: _maxima_and_effects(null, sims, common, seed))
    return replace(null, maxima=found[:, 0].contiguous(), effects=found[:, 1].contiguous())


@validated()
def mixed_places(n_images: int) -> np.ndarray:
    """The place of each image in the order in which tied images are ranked by a null."""
    return np.argsort(in_any_order(n_images).numpy())


@validated()
def clustered(null: Null, order: Tensor) -> Clustering:
    """How the top images (n_neurons, top_k), positions in the probe, spread over patients."""
    return clustering_of(null.members[order], null.weights) if shared(null.members) else unshared(len(order))


def _digest(sims: Sims) -> str:
    """Of what the similarities are computed from."""
    digest = hashlib.blake2b(sims.texts.numpy().tobytes(), digest_size=32)
    for _, block in sims.embeddings.blocks(sims.rows_at_once()):
        digest.update(np.ascontiguousarray(block))
    return digest.hexdigest()


def _terms(sims: Sims, top_k: int, options: SoftWPMIOptions, ranks: Sequence[float]) -> Iterator[Iterator[Tensor]]:
    """For each block of images, the `log_terms` (n_rows, n_concepts) at each rank."""
    for _, _, known in sims.blocks(sims.rows_at_once()):
        p = concept_probabilities(known, options.a)
        yield (log_terms(p, top_k, options, rank=float(rank)) for rank in ranks)


def _spreads(sims: Sims, top_k: int, options: SoftWPMIOptions, ranks: Sequence[float]) -> list[Moments]:
    """Mean and variance of the terms over images, at each rank."""
    moments = [Moments() for _ in ranks]
    for terms in _terms(sims, top_k, options, ranks):
        for one, term in zip(moments, terms, strict=True):
            one.add(term)
    return moments


def _rank_weights(sims: Sims, top_k: int, options: SoftWPMIOptions) -> Tensor:
    """`Null.weights`."""
    at = weighed_ranks(top_k)
    return weights_between(at, [one.variance for one in _spreads(sims, top_k, options, at)], top_k)


def _moments(sims: Sims, top_k: int, options: SoftWPMIOptions) -> Tensor:
    """`Null.moments`, in two passes over the embeddings."""
    ranks, masses = quadrature(top_k)
    of_terms = _spreads(sims, top_k, options, ranks)
    mean = sum(mass * one.mean for mass, one in zip(masses, of_terms, strict=True))
    spread = sum(mass * one.variance for mass, one in zip(masses, of_terms, strict=True)).sqrt().clamp(min=FLATTEST)
    logs = torch.full((len(ranks), len(TILTS), sims.shape[1]), -torch.inf, dtype=torch.float64)
    for terms in _terms(sims, top_k, options, ranks):
        for of_rank, one, term in zip(logs, of_terms, terms, strict=True):
            z = term.sub_(one.mean).div_(spread)
            highest = z.amax(dim=0)
            z.sub_(highest)
            for i, tilt in enumerate(TILTS):
                own = (tilt * z).exp_().sum(dim=0).log_().add_(tilt * highest)
                of_rank[i] = torch.logaddexp(of_rank[i], own)
    weighed = torch.from_numpy(masses)[:, None, None] * (logs - np.log(len(sims)))
    return torch.cat([mean[None], spread[None], weighed.sum(dim=0)])


def _maxima_and_effects(null: Null, sims: Sims, common: np.ndarray, seed: int) -> Tensor:
    """`Null.maxima` and `Null.effects` as columns, (n_rankings, 2)."""
    order = torch.cat(list(_top_of_rankings(null, sims, common, seed)))
    evidence = [null.evidence(likelihoods(sims, part, null.options)).amax(dim=1) for part in order.split(NULL_AT_A_TIME)]
    return torch.stack([torch.cat(evidence), clustered(null, order).effect], dim=1)


def _top_of_rankings(null: Null, sims: Sims, common: np.ndarray, seed: int) -> Iterator[Tensor]:
    """The top images (n, top_k) of the random rankings of `mdissect.chance`, whose numbers are drawn again in small parts.

    The generator gives a block of rankings the patients' numbers first, row by row, then the images'. Of the former, only some
    columns fit into memory: for each further set of columns the same numbers are drawn once more.
    """
    members, n_images = null.members.numpy(), len(sims)
    n_patients, images, places = int(members.max()) + 1, in_any_order(n_images), mixed_places(n_images)
    rng = np.random.default_rng(seed)
    for start in range(0, len(common), NULL_AT_A_TIME):
        share = common[start : start + NULL_AT_A_TIME].clip(max=1 - APART)
        width = len(share) if not share.any() else max(1, sims.memory // 4 // (DRAWN_BYTES * n_patients))
        before = rng.bit_generator.state
        for first in range(0, len(share), width):
            rng.bit_generator.state = before
            chosen = slice(first, min(first + width, len(share)))
            yield images[_top_of_drawn(rng, share, chosen, members, n_patients, places, null.top_k, sims.memory)]


def _top_of_drawn(
    rng: np.random.Generator,
    share: np.ndarray,
    chosen: slice,
    members: np.ndarray,
    n_patients: int,
    places: np.ndarray,
    top_k: int,
    memory: int,
) -> Tensor:
    """The places (n_chosen, top_k) of the top images of some of the rankings that are drawn together."""
    size = max(CHUNK_ROWS, memory // 16 // (DRAWN_BYTES * len(share)))  # rows of a draw
    part, independent = share[chosen], not share.any()
    of_patient = np.empty((0 if independent else n_patients, len(part)))
    for start in range(0, n_patients, size):
        normal = rng.standard_normal((min(size, n_patients - start), len(share)))
        if not independent:
            normal = normal[:, chosen]
            of_patient[start : start + size] = normal * normal * normal / np.sqrt(15)
    top = RunningTop(len(part), top_k)
    for start in range(0, len(members), size):
        own = members[start : start + size]
        of_image = np.sqrt(1 - part) * rng.standard_normal((len(own), len(share)))[:, chosen]
        drawn = of_image if independent else np.sqrt(part) * of_patient[own] + of_image
        top.add(drawn.astype(np.float32), places[start : start + size])
    return torch.from_numpy(top.images)
