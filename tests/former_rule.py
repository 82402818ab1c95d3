"""The calibrated labels' rule up to commit 5f112da, to compare the present one with: two regimes of one published score.

A concept is a candidate where its evidence is near the neuron's best or near the most that it can reach. Where neurons share
concepts, candidates compete by evidence and completeness; where they are one to one, by the published score (exclusiveness) and
completeness.
"""

import torch
from torch import Tensor

from mdissect.chance import FLATTEST, TIE, Null
from mdissect.choice import sharing
from mdissect.similarity import concept_probabilities, log_likelihood

RIVAL, ATTAINED, LEAST, CANDIDATE_LEVEL, FAINTEST = 0.8, 0.4, 1.0, 0.9, 1e-6


def highest(null: Null, sims: Tensor) -> Tensor:
    """(n_concepts,): L of a ranking that puts the concept's own images first."""
    p = concept_probabilities(sims, null.options.a)
    return torch.stack([log_likelihood(sims, of[:, None].float(), null.top_k, null.options)[0, c] for c, of in enumerate(p.T)])


def former_scores(null: Null, sims: Tensor, likelihood: Tensor, evidence: Tensor, passing: Tensor) -> Tensor:
    """(n_neurons, n_concepts): what the former rule maximised."""
    most = highest(null, sims)
    attainable = null.evidence(most[None])[0]
    mean = null.moments[0]
    complete = ((likelihood - mean) / (most - mean).clamp(min=FLATTEST)).clamp(FAINTEST, 1)

    def score(shared: float) -> Tensor:
        own = evidence >= LEAST - TIE if shared == 0 else _candidates(null, attainable, evidence, 0)
        chosen_from = own if shared == 0 else _candidates(null, attainable, evidence, RIVAL)
        total = torch.logsumexp(torch.where(own & passing[:, None], likelihood, -torch.inf), dim=0)
        exclusive = likelihood - null.options.lam * total.where(total.isfinite(), 0.0)
        weight = 1 / max(1.0, shared)
        found = weight * exclusive + (1 - weight) * evidence.clamp(min=LEAST).log() + complete.log()
        return torch.where(chosen_from, found, found.amin() - 2 * TIE + evidence - evidence.amax())

    usual = score(1.0)
    if not passing.any():
        return usual
    reachable = int((attainable >= LEAST - TIE).sum())
    return score(sharing(usual[passing].argmax(dim=1), evidence[passing].amax(dim=1), max(1, reachable)))


def _candidates(null: Null, attainable: Tensor, evidence: Tensor, rival: float) -> Tensor:
    level = float(torch.quantile(null.maxima, CANDIDATE_LEVEL))
    against_rivals = (rival * evidence.amax(dim=1, keepdim=True)).clamp(min=level)
    by_its_own = (ATTAINED * attainable).clamp(min=LEAST)
    return evidence >= torch.minimum(against_rivals, by_its_own) - TIE
