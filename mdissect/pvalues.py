"""p-values of neurons, and of their labels, from evidence and random rankings.

**A neuron's p.** Its statistic is its largest evidence over all concepts. It is compared with the `n_null` random rankings
whose top images spread over patients most nearly as its own do (`mdissect.clustering`): ``p = (1 + how many reach it) / (1 +
n_null)``. Where a neuron follows nothing but varies from patient to patient, which patients it ranks high is random while how
its top images are clustered is its own, so that p is valid whatever the distribution of its activations: no share of variance
between patients has to be estimated, which few patients, many zeros or heavy tails would mislead.

**Several top_k.** The statistic is then the largest of the evidences after each is standardised over its null. The neuron
itself counts in mean and standard deviation as the rankings do, so that all are exchangeable and p is as exact as with one.

**Below 1 / (1 + n_null).** Where no ranking reaches the statistic, Chernoff's bound does: over M concepts and T top_k,
``p = min(1 / (1 + n_null), T M exp(-max E / b))``, where b is the largest number of the neuron's top images that are of one
patient. p stays valid: above the smallest possible share it is that share, below it that of a bound. Why b: given which top
images belong together, L is a sum over patients drawn at random, and for the at most b terms of one of them Hoelder gives
``E exp(t sum f) <= prod (E exp(b t f))^(1/b)``; with K the sum of the logarithms, ``log E exp(t L) <= K(b t) / b``, thus
``P(L >= x) <= exp(-(t x - K(b t) / b)) = exp(-E / b)`` at the best t. It is exact for patients of equally many images; for
others it was simulated (tests/benchmark_pvalues.md).

**A label's p** is the same for the label's own evidence in place of the largest: how often the best of all concepts would reach
as much under a random ranking (Westfall and Young's adjustment for M concepts), times T where the label comes from one of T
top_k. It is p of the neuron where the label has the largest evidence, and larger otherwise.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from mdissect.arguments import AT_LEAST_ONE
from mdissect.chance import FLATTEST, TIE, Null
from mdissect.clustering import Clustering
from mdissect.signatures import validated

NEURONS_AT_A_TIME = 128  # whose rankings are held in memory together
SMALLEST = 1e-300  # no p is 0


@validated()
def p_values(nulls: Sequence[Null], evidences: Sequence[Tensor], clusterings: Sequence[Clustering]) -> Tensor:
    """p of each neuron (n_neurons,) float64, from its evidence (n_neurons, n_concepts) and clustering for each null's top_k.

    >>> null = random_rankings(torch.randn(300, 40), top_k=20)                  # doctest: +SKIP
    >>> p_values([null], [evidence], [null.clustering(activations)])            # doctest: +SKIP
    """
    statistic = torch.stack([evidence.amax(dim=1) for evidence in evidences], dim=1)
    return _p(nulls, statistic, clusterings, evidences[0].shape[1])


@validated(tried=AT_LEAST_ONE)
def label_p_values(null: Null, evidence: Tensor, labels: Tensor, found: Clustering, tried: int = 1) -> Tensor:
    """p of each neuron's label (n_neurons,): of the concept labels[k] among all, at most 1.

    >>> label_p_values(null, evidence, evidence.argmax(dim=1), null.clustering(activations))        # doctest: +SKIP

    `evidence` (n_neurons, n_concepts), `found` the neurons' clustering, `tried` how many top_k were looked at.
    """
    own = evidence.gather(1, labels[:, None])
    return (tried * _p([null], own, [found], evidence.shape[1])).clamp(max=1)


def _p(nulls: Sequence[Null], statistic: Tensor, clusterings: Sequence[Clustering], n_concepts: int) -> Tensor:
    """p (n_neurons,) of a statistic (n_neurons, n_nulls): the share of rankings that reach it; where none does, the bound."""
    effect, most = (torch.stack([getattr(found, name) for found in clusterings], dim=1).double() for name in ("effect", "most"))
    smallest = 1 / (1 + nulls[0].n_null)
    p = _share_reaching(nulls, statistic, effect.mean(dim=1))
    bound = _over_all((-statistic / most).amin(dim=1), len(nulls) * n_concepts)
    return torch.where(p <= smallest * 1.5, bound.clamp(max=smallest), p)


def _over_all(log_p: Tensor, n_tests: int) -> Tensor:
    """Bonferroni's bound of p from its logarithm."""
    return (log_p + math.log(n_tests)).exp().clamp(SMALLEST, 1)


def _share_reaching(nulls: Sequence[Null], statistic: Tensor, effect: Tensor) -> Tensor:
    """(n_neurons,) the share of the rankings clustered most alike that reach the statistic (n_neurons, n_nulls) up to `TIE`."""
    order = torch.stack([null.effects for null in nulls], dim=1).mean(dim=1)
    order, by_effect = order.sort(stable=True)
    maxima, n_null = torch.stack([null.maxima for null in nulls], dim=1)[by_effect], nulls[0].n_null
    middle = (torch.searchsorted(order, effect) + torch.searchsorted(order, effect, right=True)) // 2
    first = (middle - n_null // 2).clamp(0, len(order) - n_null)
    reaching, places = [], torch.arange(n_null, device=first.device)
    for own, start in zip(statistic.split(NEURONS_AT_A_TIME), first.split(NEURONS_AT_A_TIME), strict=True):
        window = maxima[start[:, None] + places]  # (neurons, n_null, n_nulls)
        together = torch.cat([window, own[:, None]], dim=1)
        mean, spread = together.mean(dim=1), together.std(dim=1, correction=0).clamp(min=FLATTEST)
        needed = ((own - TIE - mean) / spread).amax(dim=1)
        reaching.append((((window - mean[:, None]) / spread[:, None]).amax(dim=2) >= needed[:, None]).sum(dim=1))
    return (1.0 + torch.cat(reaching)).double() / (1 + n_null)
