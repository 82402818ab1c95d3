"""Which concept a neuron is labelled with: the calibrated labels' rule, and competition in layers that are one to one.

The published score names a neuron by the concept whose similarities fit its strongest images, less a prior that is nearly the
maximum over the layer's neurons. It depends on how many images count as strongest (top_k), and a concept that several neurons
respond to gives all of them low scores. The calibrated labels go by `RULE`, a correlation over the whole probe, instead:
`mdissect.similarity.rising`. `tests/labels_bench.md` compares the rules on networks, probes and planted neurons that no choice
was made on.

Between neurons there is competition in one case. A classifier's outputs are one to a class: a class that another neuron shows
far better is not this neuron's, and nothing else separates similar classes. In a trunk many neurons share one concept, and the
same competition would pick among synonyms by luck. To compete, a concept's scores are standardised over the neurons, and the
layer itself shows whether it is right: by how many pairs of its neurons with the strongest evidence get the same label so. Were
n labels drawn independently among M concepts, there would be ``n (n - 1) / 2M`` pairs on average, and more if some concepts
were more popular than others. Where there are significantly fewer than half of that (`sharing` is 0), the layer is one to one,
and its labels are those of the competition. (Observed over expected: 0 to 0.2 for classifiers with few images a class, 0.65 to
0.95 for neurons of two concepts each, 1.6 and more in all layers of the demo's networks.)

Scores that differ by less than `SAME` of what lies between a neuron's best and its median are equal, and of equal concepts the
first one in the set is taken: which of two exact ties rounding puts first differs from processor to processor.
"""

import inspect

import numpy as np
import torch
from torch import Tensor

from mdissect.arguments import AT_LEAST_ONE
from mdissect.chance import TIE
from mdissect.signatures import validated
from mdissect.similarity import DEFAULTS, SIMILARITIES, SoftWPMIOptions

RULE = "rising"
COMPETING = ("rising", "following")  # the rules that compare a concept's neurons only where the layer is one to one
SAME = 1e-5  # of what lies between the best of a neuron's scores and their median: a hundred times the rounding
SUREST = (0.5, 0.75, 1.0)  # shares of the named neurons, those of the largest evidence, whose labels are compared
FEWER = 0.5  # of the expected pairs: competition parts neurons of two concepts, which may cost up to a third of them
RARELY = 0.01  # how seldom independent labels make so few pairs where a layer is taken for one to one


@validated(rule=SIMILARITIES, top_k=AT_LEAST_ONE)
def concept_scores(
    sims: Tensor, activations: Tensor, rule: str = RULE, top_k: int = 100, options: SoftWPMIOptions = DEFAULTS
) -> Tensor:
    """How well each concept labels each neuron, (n_neurons, n_concepts) float64, by a rule among `SIMILARITIES`.

    `top_k` and `options` (of soft_wpmi) count for rules that have them.
    """
    return SIMILARITIES[rule](sims, activations, **rule_options(rule, top_k, options)).double()


@validated(rule=SIMILARITIES, top_k=AT_LEAST_ONE)
def rule_options(rule: str, top_k: int = 100, options: SoftWPMIOptions = DEFAULTS) -> dict[str, float]:
    """What a rule is given in `concept_scores`."""
    known = inspect.signature(SIMILARITIES[rule]).parameters
    return ({"top_k": top_k} if "top_k" in known else {}) | (vars(options) if rule == "soft_wpmi" else {})


@validated(rule=SIMILARITIES)
def choose(scores: Tensor, statistic: Tensor, passing: Tensor, rule: str = RULE) -> Tensor:
    """The label of every neuron (n_neurons,): the first of `rank_concepts`."""
    return rank_concepts(scores, statistic, passing, top=1, rule=rule)[:, 0]


@validated(top=AT_LEAST_ONE, rule=SIMILARITIES)
def rank_concepts(scores: Tensor, statistic: Tensor, passing: Tensor, top: int = 5, rule: str = RULE) -> Tensor:
    """The best concepts of each neuron (n_neurons, top or all), of equals the first in the set.

    Parameters
    ----------
    scores : (n_neurons, n_concepts)
        By `concept_scores`.
    statistic : (n_neurons,)
        How sure it is that the neuron follows any concept: its largest evidence.
    passing : (n_neurons,) bool
        Who is better than chance. These show whether the layer is one to one, and compete there; where none passes, as if
        each class has a single image, all do.
    """
    if rule not in COMPETING:
        return _best(scores, top)
    among = passing if passing.any() else torch.ones_like(passing)
    others, reachable = scores[among], int((scores != 0).any(dim=0).sum())
    competing = (scores - others.mean(dim=0)) / others.std(dim=0, correction=0).clamp(min=SAME)
    one_to_one = sharing(_best(competing[among], 1)[:, 0], statistic[among], max(1, reachable)) == 0
    return _best(competing if one_to_one else scores, top)


@validated(n_concepts=AT_LEAST_ONE)
def sharing(labels: Tensor, statistic: Tensor, n_concepts: int) -> float:
    """Ratio of pairs of neurons with the same label to the number expected of independent labels.

    >>> sharing(torch.arange(100), torch.rand(100), 100)
    0.0
    >>> sharing(torch.zeros(100, dtype=torch.int64), torch.rand(100), 100) > 50
    True

    `labels` (n_neurons,) of `n_concepts`, and how sure they are, `statistic` (n_neurons,). 0 where there are significantly
    fewer pairs than `FEWER` of those by chance (Poisson's law, in any part of `SUREST`), otherwise the ratio in the strongest
    half, at least 1.
    """
    from scipy.special import pdtr  # Poisson's distribution

    found, expected = [], []
    for share in SUREST:
        surest = labels[statistic >= torch.quantile(statistic, 1 - share) - TIE]
        count = torch.bincount(surest).double()
        found.append(float((count * (count - 1)).sum() / 2))
        expected.append(len(surest) * (len(surest) - 1) / 2 / n_concepts)
    if (pdtr(found, FEWER * np.array(expected)) <= RARELY / len(SUREST)).any():
        return 0.0
    return max(1.0, (found[0] + 1) / (expected[0] + 1))


def _best(score: Tensor, top: int) -> Tensor:
    """Concepts by falling score, (n_neurons, top or all); among those within `SAME` of the best one left, the first."""
    left, order = score.nan_to_num(nan=-torch.inf, neginf=-torch.inf), []
    finite = score.where(left.isfinite(), torch.nan)
    same = SAME * (left.amax(dim=1) - finite.nanmedian(dim=1).values).nan_to_num(0.0)[:, None]  # 0 without finite scores
    untaken = torch.ones_like(score, dtype=torch.bool)
    for _ in range(min(top, score.shape[1])):
        best = left.where(untaken, -torch.inf).amax(dim=1, keepdim=True)
        first = (untaken & (left >= best - same)).int().argmax(dim=1, keepdim=True)
        untaken.scatter_(1, first, False)
        order.append(first)
    return torch.cat(order, dim=1)
