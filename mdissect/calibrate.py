"""Labels that are better than chance: evidence compared with random rankings, and its p- and q-values.

The published score names every neuron. Its prior is nearly the maximum over the layer's neurons, so it says which neuron is
best for a concept rather than how strong the evidence is: a concept that no neuron responds to gives one of them a high score
by luck, and a concept that several respond to gives all of them low scores. Three steps separate the two questions.

Evidence that differs by less than `TIE` is equal, and of equal concepts the first one in the set is taken: which of two exact
ties rounding puts first differs from processor to processor.

**Evidence.** Were a neuron's ranking of the probe random, L of `soft_wpmi` (before its prior) would be a sum of terms
``log(1 - w_r + w_r p[i_r, m])`` over images i_r drawn at random, and by Chernoff's inequality, for any tilt t > 0::

    P(L[k, m] >= x) <= exp(-(t x - K_m(t))),     K_m(t) = sum_r log mean_i (1 - w_r + w_r p[i, m])^t

The evidence is the best such bound, ``E[k, m] = max_t (t L[k, m] - K_m(t))`` (Cramer's rate function) in nats. It puts common
and rare concepts, sharp and vague ones, on one scale, also far out in the tail where no simulation reaches.

**p and q** are about the neuron. Its statistic is its largest evidence over all concepts; p is the share of random rankings of
the same probe, their top images spread over patients as the neuron's own are, that reach it (`mdissect.pvalues`). The q-values
are Benjamini and Hochberg's over the layer. A small q says that the neuron follows some direction of the dissector's space
rather than none: not that its label is the right word for it, nor that the dissector knows what the word means.

**p_label** is about the label: how often the best of all concepts would have as much evidence as this one has, were the
neuron's ranking random. A neuron may be named (q) by a concept without evidence of its own (a large p_label): another concept
made it pass. A concept with few images has a large p_label however well the neuron separates them.

**Label.** A concept is a candidate of a neuron when its evidence passes what the best concept of a random ranking reaches in
one case of ten, and `RIVAL` of the neuron's best concept; or when it has `ATTAINED` of the most that this concept can reach on
this probe (what one image shows can never pass the former). Two shares say how well a candidate fits:

- its *exclusiveness* X, the published score: which part of the layer's likelihood of the concept is this neuron's,
  ``log X = L - lam * log sum_k' exp L[k', m]``, summed over the neurons that pass and whose evidence for the concept is more
  than chance, so that noise does not compete;
- its *completeness*, how far the neuron gets from what is usual by chance to the concept's own images first,
  ``C = (L - mean) / (highest - mean)``: one hit is all there is to a concept of one image, and a third of one of three.

What exclusiveness is worth depends on the layer. A classifier's outputs are one to a class: a class that another neuron shows
far better is not this neuron's, however many of its images stand on top, and nothing else separates similar classes. In a
trunk many neurons share one concept, and the same competition picks among synonyms by luck. The layer itself shows which it is,
by how many pairs of its neurons with the strongest evidence, named as above, have the same name. Were n names drawn
independently among M concepts, there would be ``n (n - 1) / 2M`` pairs on average, and more if some concepts were more
popular than others. With r the observed over the expected (`sharing`):

- significantly fewer (below `FEWER`: the competition parts neurons of two concepts as well), r = 0, one to one: each concept
  with `LEAST` nats is a candidate, and the label maximises ``X C``;
- otherwise, r >= 1: candidates as above, and the label maximises ``X^w E^(1 - w) C`` with ``w = 1 / r``, which goes from
  competition to evidence the more the neurons share.

p, q and which neurons are named do not depend on this. `mdissect.trust.planted` measures the rule on planted neurons and on
classifiers with few images per class, `mdissect.trust.agreement` on trained neurons of known truth.
"""

from collections.abc import Sequence
from dataclasses import fields

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mdissect.arguments import AT_LEAST_ONE, NOT_NEGATIVE, RATE, known_option, whole_number
from mdissect.chance import TIE, Null, random_rankings
from mdissect.pvalues import label_p_values, p_values
from mdissect.signatures import validated
from mdissect.similarity import SoftWPMIOptions, nameable
from mdissect.store import StoreLike

RIVAL = 0.8  # share of the neuron's best evidence that a candidate needs
ATTAINED = 0.4  # share of its attainable evidence that makes a concept a candidate as well
LEAST = 1.0  # nats that any candidate needs
CANDIDATE_LEVEL = 0.9  # of the null's maxima
AUTO = (5, 10, 20, 50, 100, 200)  # what top_k="auto" tries, up to a sixth of the probe
SUREST = (0.5, 0.75, 1.0)  # shares of the named neurons, those of the largest evidence, whose names are compared
FAINTEST = 1e-6  # completeness whose logarithm is still taken
FEWER = 0.75  # of the expected pairs: competition parts neurons of two concepts, which may cost up to a quarter
FDRS = ("bh", "adaptive")
NUMBERS = ["statistic", "p", "q", "p_label"]
RARELY = 0.01  # how seldom independent names make so few pairs where a layer is taken for one to one


def top_k_or_auto(name: str, value: int | str) -> int | str:
    """The check of a top_k that may be "auto"."""
    return value if isinstance(value, str) and value == "auto" else whole_number(name, value, 1)


@validated(top_k=top_k_or_auto, n_null=AT_LEAST_ONE, level=RATE, fdr=FDRS)
def calibrate(
    image_concept_sims: Tensor | np.ndarray,
    activations: Tensor | np.ndarray,
    top_k: int | str = 100,
    n_null: int = 1000,
    seed: int = 0,
    level: float = 0.05,
    store: StoreLike = None,
    patients: Sequence | None = None,
    fdr: str = "bh",
    **options: float,
) -> pd.DataFrame:
    """Labels that are better than chance.

    >>> table = calibrate(torch.randn(600, 120), torch.randn(600, 64), top_k=40)
    >>> (table.label >= 0).mean() < 0.05
    True

    Parameters
    ----------
    image_concept_sims : (n_images, n_concepts)
    activations : (n_images, n_neurons)
        All neurons of one layer.
    top_k : int or "auto"
        Top images per neuron. "auto" tries those of `AUTO` up to a sixth of the probe, compares each neuron's most
        unusual evidence with the most unusual one of random rankings, and labels with the top_k that names the most neurons.
    n_null : int
        Random rankings that a neuron is compared with. p between 1 / (1 + n_null) and 1 has a Monte Carlo error of
        ``sqrt(p (1 - p) / n_null)``: .0069 at p = .05 with 1,000 of them.
    level : float
        A neuron with q above it gets no label.
    store : path or store, optional
        Where the null is kept.
    patients : (n_images,) sequence, optional
        Whose image it is. Random rankings are then drawn from independent images to whole patients, and a neuron is compared
        with those whose top images come from as few patients as its own: what holds of a patient's one image holds of the
        others mostly, and ten patients who agree with a concept are less than forty images. Without patients, images are
        taken for independent; if they are not, noise is named.
    fdr : {"bh", "adaptive"}
        How q-values are made: see `q_values`.
    **options
        a, lam, p_start, p_end, min_prob as in `soft_wpmi`.

    Returns
    -------
    DataFrame
        A row per neuron: label (index of the concept, -1 for none), candidate (the label it would have, whatever q is; -1
        where the neuron cannot be named), statistic (largest evidence, in nats), p, q, p_label (of the candidate, see the
        module's docstring), top_k, note ("", "constant" or "not finite"; p, q and p_label are NaN there).

    Raises
    ------
    ValueError
        Shapes that do not fit, top_k, n_null, level or an option out of range, unknown fdr, or a single patient.
    """
    sims, activations = _tensor(image_concept_sims), _tensor(activations)
    known_option("calibrate", options, [field.name for field in fields(SoftWPMIOptions)])
    options = SoftWPMIOptions(**options)
    tried = auto_top_k(len(sims)) if top_k == "auto" else [top_k]
    nulls = [random_rankings(sims, k, n_null, seed, store, patients, options) for k in tried]
    return judge_neurons(sims, activations, nulls, level, fdr)


@validated(level=RATE, fdr=FDRS)
def judge_neurons(
    sims: Tensor,
    activations: Tensor,
    nulls: Sequence[Null],
    level: float = 0.05,
    fdr: str = "bh",
    images: np.ndarray | None = None,
) -> pd.DataFrame:
    """`calibrate` with given nulls, one for each top_k that is tried.

    `images` (n_images,) int: where `sims` and `activations` are of drawn images only, their positions in the nulls' probe.
    """
    if not nulls:
        raise ValueError("nulls=[] must be a list of Null, one at least: chance.random_rankings(...) makes one")
    finite, constant = nameable(activations)
    usable = finite & ~constant
    unknown = dict.fromkeys(NUMBERS, np.nan)
    table = pd.DataFrame({"label": np.full(len(usable), -1), "candidate": -1, **unknown})
    table["top_k"], table["note"] = nulls[0].top_k, np.select([~finite, constant], ["not finite", "constant"], "")
    if not usable.any():
        return table
    good = activations[:, usable]
    likelihoods = [null.likelihood(sims, good) for null in nulls]
    evidences = [null.evidence(L) for null, L in zip(nulls, likelihoods, strict=True)]
    spread = [null.clustering(good, images) for null in nulls]  # over patients
    each = [p_values([null], [E], [c]) for null, E, c in zip(nulls, evidences, spread, strict=True)]
    p = each[0] if len(nulls) == 1 else p_values(nulls, evidences, spread)
    named = [q_values(one.numpy(), level, fdr) <= level for one in each]
    best = int(np.argmax([n.sum() for n in named]))
    q = q_values(p.numpy(), level, fdr)
    candidate = choose(nulls[best], likelihoods[best], evidences[best], torch.from_numpy(q <= level))
    p_label = label_p_values(nulls[best], evidences[best], candidate, spread[best], len(nulls))
    found, labels = [evidences[best].amax(dim=1).numpy(), p, q, p_label], candidate.numpy()
    table.loc[usable.numpy(), ["candidate", "label"]] = np.stack([labels, np.where(q <= level, labels, -1)], axis=1)
    table.loc[usable.numpy(), NUMBERS] = np.stack(found, axis=1)
    return table.assign(top_k=nulls[best].top_k)


@validated(level=RATE, fdr=FDRS)
def q_values(p: np.ndarray, level: float = 0.05, fdr: str = "bh") -> np.ndarray:
    """False discovery rate (n_neurons,) at which each neuron of a layer is just named, from p (n_neurons,).

    `fdr` "bh": Benjamini and Hochberg, 1995. "adaptive": the two-stage procedure of Benjamini, Krieger and Yekutieli
    (Biometrika 93, 2006, definition 6) for the rate `level`, which estimates how many neurons follow nothing and spends the
    whole level on these: more neurons of rare concepts are named, and more noise.
    """
    from scipy.stats import false_discovery_control

    q = false_discovery_control(p)
    if fdr == "bh":
        return q
    first_stage = level / (1 + level)
    following_nothing = (len(q) - (q <= first_stage).sum()) / len(q)
    return np.minimum(q * following_nothing * (1 + level), 1)


@validated()
def choose(null: Null, likelihood: Tensor, evidence: Tensor, passing: Tensor) -> Tensor:
    """The label of every neuron (n_neurons,): the first of `rank_concepts`."""
    return rank_concepts(null, likelihood, evidence, passing, top=1)[:, 0]


@validated(top=AT_LEAST_ONE)
def rank_concepts(null: Null, likelihood: Tensor, evidence: Tensor, passing: Tensor, top: int = 5) -> Tensor:
    """The best concepts of each neuron (n_neurons, top or all), by the rule of the module's docstring.

    `likelihood` and `evidence` are L and E, (n_neurons, n_concepts). Candidates come by falling score, then the other
    concepts by falling evidence; of equals (`TIE`) the first in the set. The `passing` neurons (n_neurons,) bool are better
    than chance: they compete, with the weight lam among the null's options, and show how far neurons share concepts.
    """
    usual = _ranking_score(null, likelihood, evidence, passing, 1.0)
    if not passing.any():
        return _best(usual, top)
    reachable = int((null.attainable >= LEAST - TIE).sum())
    shared = sharing(_best(usual[passing], 1)[:, 0], evidence[passing].amax(dim=1), reachable)
    score = usual if shared == 1 else _ranking_score(null, likelihood, evidence, passing, shared)
    return _best(score, top)


@validated(rival=NOT_NEGATIVE)
def candidates(null: Null, evidence: Tensor, rival: float = RIVAL) -> Tensor:
    """(n_neurons, n_concepts) bool: the concepts that a neuron may be named by.

    With `rival` 0: those it may respond to, however much better it responds to others.
    """
    level = float(torch.quantile(null.maxima, CANDIDATE_LEVEL))
    against_rivals = (rival * evidence.amax(dim=1, keepdim=True)).clamp(min=level)
    by_its_own = (ATTAINED * null.attainable).clamp(min=LEAST)
    return evidence >= torch.minimum(against_rivals, by_its_own) - TIE


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
        expected.append(len(surest) * (len(surest) - 1) / 2 / max(1, n_concepts))
    if (pdtr(found, FEWER * np.array(expected)) <= RARELY / len(SUREST)).any():
        return 0.0
    return max(1.0, (found[0] + 1) / (expected[0] + 1))


def _ranking_score(null: Null, likelihood: Tensor, evidence: Tensor, passing: Tensor, shared: float) -> Tensor:
    """(n_neurons, n_concepts): the score of candidates; below all of these, the evidence of the others."""
    own = evidence >= LEAST - TIE if shared == 0 else candidates(null, evidence, rival=0)
    chosen_from = own if shared == 0 else candidates(null, evidence)
    total = torch.logsumexp(torch.where(own & passing[:, None], likelihood, -torch.inf), dim=0)
    exclusive = likelihood - null.options.lam * total.where(total.isfinite(), 0.0)
    weight = 1 / max(1.0, shared)
    complete = null.completeness(likelihood).clamp(min=FAINTEST)
    score = weight * exclusive + (1 - weight) * evidence.clamp(min=LEAST).log() + complete.log()
    return torch.where(chosen_from, score, score.amin() - 2 * TIE + evidence - evidence.amax())


def _best(score: Tensor, top: int) -> Tensor:
    """Concepts by falling score, (n_neurons, top or all); among those within `TIE` of the best one left, the first."""
    left, order = score.clone(), []
    for _ in range(min(top, score.shape[1])):
        best = (left >= left.amax(dim=1, keepdim=True) - TIE).int().argmax(dim=1, keepdim=True)  # the first of the largest
        left.scatter_(1, best, -torch.inf)
        order.append(best)
    return torch.cat(order, dim=1)


@validated(n_images=AT_LEAST_ONE)
def auto_top_k(n_images: int) -> list[int]:
    """What top_k="auto" tries."""
    return [k for k in AUTO if k <= n_images // 6] or [max(1, n_images // 6)]


def _tensor(x: Tensor | np.ndarray) -> Tensor:
    return torch.as_tensor(np.array(x) if isinstance(x, np.ndarray) else x).detach().cpu().float()
