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

**Label.** Which concept the neuron is labelled with is another question, settled by `mdissect.choice`: p, q and which neurons
are named do not depend on it. `mdissect.trust.planted` measures the rule on planted neurons and on classifiers with few images
per class, `mdissect.trust.agreement` on trained neurons of known truth.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mdissect.arguments import AT_LEAST_ONE, RATE, known_option, whole_number
from mdissect.chance import Null, random_rankings
from mdissect.choice import RULE, choose, concept_scores
from mdissect.clustering import Clustering
from mdissect.pvalues import label_p_values, p_values
from mdissect.signatures import validated
from mdissect.similarity import SIMILARITIES, SoftWPMIOptions, nameable
from mdissect.store import StoreLike

AUTO = (5, 10, 20, 50, 100, 200)  # what top_k="auto" tries, up to a sixth of the probe
FDRS = ("bh", "adaptive")
NUMBERS = ["statistic", "p", "q", "p_label"]


def top_k_or_auto(name: str, value: int | str) -> int | str:
    """The check of a top_k that may be "auto"."""
    return value if isinstance(value, str) and value == "auto" else whole_number(name, value, 1)


@validated(top_k=top_k_or_auto, n_null=AT_LEAST_ONE, level=RATE, fdr=FDRS, rule=SIMILARITIES)
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
    rule: str = RULE,
    **options: float,
) -> pd.DataFrame:
    """Labels that are better than chance.

    >>> table = calibrate(torch.randn(600, 120), torch.randn(600, 64), top_k=40)
    >>> (table.label >= 0).mean() < 0.05
    True

    Tensors on a GPU are compared there; only the table comes back.

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
    rule : str
        The similarity function by which labels are chosen, of `mdissect.similarity`; those that count top images count `top_k`.
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
    return judge_neurons(sims, activations, nulls, level, fdr, rule)


@validated(level=RATE, fdr=FDRS, rule=SIMILARITIES)
def judge_neurons(
    sims: Tensor,
    activations: Tensor,
    nulls: Sequence[Null],
    level: float = 0.05,
    fdr: str = "bh",
    rule: str = RULE,
    images: np.ndarray | None = None,
) -> pd.DataFrame:
    """`calibrate` with given nulls, one for each top_k that is tried.

    `images` (n_images,) int: where `sims` and `activations` are of drawn images only, their positions in the nulls' probe.
    """
    if not nulls:
        raise ValueError("nulls=[] must be a list of Null, one at least: chance.random_rankings(...) makes one")
    finite, constant = nameable(activations)
    table = _unlabelled(nulls, finite, constant)
    if not (finite & ~constant).any():
        return table
    good = activations[:, finite & ~constant]
    found = Found(
        likelihoods=[null.likelihood(sims, good) for null in nulls],
        spread=[null.clustering(good, images) for null in nulls],
        scores=lambda null: concept_scores(sims, good, rule, null.top_k, null.options),
    )
    return _judged(table, found, nulls, level, fdr, rule)


@dataclass(frozen=True)
class Found:
    """What is found of the neurons that can be named: for each null their L (n_usable, n_concepts) and their clustering by
    patient; `scores` gives what labels are chosen by for one of the nulls, `mdissect.choice.concept_scores`.
    """

    likelihoods: Sequence[Tensor]
    spread: Sequence[Clustering]
    scores: Callable[[Null], Tensor]


@validated(level=RATE, fdr=FDRS, rule=SIMILARITIES)
def judge_found(
    nameable: tuple[Tensor, Tensor],
    find: Callable[[], Found],
    nulls: Sequence[Null],
    level: float = 0.05,
    fdr: str = "bh",
    rule: str = RULE,
) -> pd.DataFrame:
    """`judge_neurons` of a layer whose activations are not in memory: which neurons can be named, and how to find the rest.

    `nameable` are the two of `mdissect.rankings.nameable`; `find` is called where any neuron can be named.
    """
    table = _unlabelled(nulls, *nameable)
    return _judged(table, find(), nulls, level, fdr, rule) if (nameable[0] & ~nameable[1]).any() else table


def _unlabelled(nulls: Sequence[Null], finite: Tensor, constant: Tensor) -> pd.DataFrame:
    """The table of `judge_neurons` before any neuron is judged."""
    table = pd.DataFrame({"label": np.full(len(finite), -1), "candidate": -1, **dict.fromkeys(NUMBERS, np.nan)})
    unlike = [(~finite).cpu().numpy(), constant.cpu().numpy()]
    table["top_k"], table["note"] = nulls[0].top_k, np.select(unlike, ["not finite", "constant"], "")
    return table


def _judged(table: pd.DataFrame, of: Found, nulls: Sequence[Null], level: float, fdr: str, rule: str) -> pd.DataFrame:
    """The table with the neurons judged that have no note."""
    usable, spread = (table.note == "").to_numpy(), of.spread
    evidences = [null.evidence(L) for null, L in zip(nulls, of.likelihoods, strict=True)]
    each = [p_values([null], [E], [c]) for null, E, c in zip(nulls, evidences, spread, strict=True)]
    p = each[0] if len(nulls) == 1 else p_values(nulls, evidences, spread)
    named = [q_values(one.cpu().numpy(), level, fdr) <= level for one in each]
    best = int(np.argmax([n.sum() for n in named]))
    q = q_values(p.cpu().numpy(), level, fdr)
    statistic = evidences[best].amax(dim=1)
    candidate = choose(of.scores(nulls[best]), statistic, torch.from_numpy(q <= level).to(statistic.device), rule)
    p_label = label_p_values(nulls[best], evidences[best], candidate, spread[best], len(nulls))
    found, labels = [one.cpu().numpy() for one in (statistic, p, p_label)], candidate.cpu().numpy()
    found.insert(NUMBERS.index("q"), q)
    table.loc[usable, ["candidate", "label"]] = np.stack([labels, np.where(q <= level, labels, -1)], axis=1)
    table.loc[usable, NUMBERS] = np.stack(found, axis=1)
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


@validated(n_images=AT_LEAST_ONE)
def auto_top_k(n_images: int) -> list[int]:
    """What top_k="auto" tries."""
    return [k for k in AUTO if k <= n_images // 6] or [max(1, n_images // 6)]


def _tensor(x: Tensor | np.ndarray) -> Tensor:
    x = torch.as_tensor(np.array(x) if isinstance(x, np.ndarray) else x).detach().float()
    return x.cpu() if x.device.type == "mps" else x  # has no float64
