"""The calibrated labels' rule up to commit 5f112da, to compare the present one with: two regimes of one published score.

A concept is a candidate where its evidence is near the neuron's best or near the most that it can reach. Where neurons share
concepts, candidates compete by evidence and completeness; where they are one to one, by the published score (exclusiveness) and
completeness.
"""

import torch
from torch import Tensor

from mdissect.chance import TIE, Null
from mdissect.choice import sharing

RIVAL, ATTAINED, LEAST, CANDIDATE_LEVEL, FAINTEST = 0.8, 0.4, 1.0, 0.9, 1e-6


def former_scores(null: Null, likelihood: Tensor, evidence: Tensor, passing: Tensor) -> Tensor:
    """(n_neurons, n_concepts): what the former rule maximised."""
    usual = _score(null, likelihood, evidence, passing, 1.0)
    if not passing.any():
        return usual
    reachable = int((null.attainable >= LEAST - TIE).sum())
    shared = sharing(usual[passing].argmax(dim=1), evidence[passing].amax(dim=1), max(1, reachable))
    return _score(null, likelihood, evidence, passing, shared)


def _candidates(null: Null, evidence: Tensor, rival: float) -> Tensor:
    level = float(torch.quantile(null.maxima, CANDIDATE_LEVEL))
    against_rivals = (rival * evidence.amax(dim=1, keepdim=True)).clamp(min=level)
    by_its_own = (ATTAINED * null.attainable).clamp(min=LEAST)
    return evidence >= torch.minimum(against_rivals, by_its_own) - TIE


def _score(null: Null, likelihood: Tensor, evidence: Tensor, passing: Tensor, shared: float) -> Tensor:
    own = evidence >= LEAST - TIE if shared == 0 else _candidates(null, evidence, 0)
    chosen_from = own if shared == 0 else _candidates(null, evidence, RIVAL)
    total = torch.logsumexp(torch.where(own & passing[:, None], likelihood, -torch.inf), dim=0)
    exclusive = likelihood - null.options.lam * total.where(total.isfinite(), 0.0)
    weight = 1 / max(1.0, shared)
    complete = null.completeness(likelihood).clamp(min=FAINTEST)
    score = weight * exclusive + (1 - weight) * evidence.clamp(min=LEAST).log() + complete.log()
    return torch.where(chosen_from, score, score.amin() - 2 * TIE + evidence - evidence.amax())
