"""Neurons with planted, known concepts, on which any labelling rule can be measured.

A planted probe has concepts with known presence, a dissector that sees them through noise, and neurons that follow them at a
set signal-to-noise ratio. Beside it stands the other extreme, a classifier's outputs over many classes with few images each.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mdissect.arguments import AT_LEAST_ONE, NOT_NEGATIVE, RATE, SHARE, whole_number
from mdissect.calibrate import calibrate, top_k_or_auto
from mdissect.choice import concept_scores, rank_concepts
from mdissect.dissection import Dissection
from mdissect.embed import PassOptions
from mdissect.method import dissect
from mdissect.metrics import strongest
from mdissect.models import LabelDissector, load_dissector, load_target
from mdissect.preprocess import Preprocess
from mdissect.probes import Probe
from mdissect.signatures import ANYTHING, validated
from mdissect.similarity import SIMILARITIES
from mdissect.store import MemoryStore

ONE, TWO, NEGATIVE, NOISE = "one concept", "two concepts", "a concept's absence", "noise"
HALF_NOISE = {ONE: 0.5, NOISE: 0.5}
ALL_KINDS = {ONE: 0.25, TWO: 0.25, NEGATIVE: 0.25, NOISE: 0.25}
PER_CATEGORY = 10  # planted concepts in a category
PRESENT, BLUR = 0.25, 0.05  # cosine that a concept's presence adds, and the spread of the dissector's noise


@dataclass(frozen=True)
class Planted:
    """A probe, the dissector's similarities, and neurons of known meaning.

    `image_concept_sims` float32 and `presence` bool are (n_images, n_concepts), `activations` (n_images, n_neurons) float32,
    `kinds` (n_neurons,) str, `categories` (n_concepts,) int. `carries` (n_neurons, n_concepts) bool marks the
    correct labels of each neuron: none for noise and for neurons that fall where their concept is present.
    """

    image_concept_sims: Tensor
    activations: Tensor
    presence: np.ndarray
    carries: np.ndarray
    kinds: np.ndarray
    categories: np.ndarray


@validated(n_images=AT_LEAST_ONE, n_concepts=AT_LEAST_ONE, n_neurons=AT_LEAST_ONE, prevalence=SHARE)
def plant(
    snr: float = 2.0,
    n_images: int = 600,
    n_concepts: int = 120,
    n_neurons: int = 256,
    prevalence: float = 0.08,
    seed: int = 0,
    kinds: Mapping[str, float] = HALF_NOISE,
) -> Planted:
    """Neurons that follow concepts: each rises by `snr` standard deviations of its noise where its concept is present.

    `prevalence` is the share of the images that show a concept, drawn image by image. `kinds` are shares of the neurons,
    which sum to 1 (else ValueError): "one concept", "two concepts" (either of them makes the neuron rise), "a concept's
    absence" (the neuron falls where the concept is), "noise".
    """
    if unknown := sorted(set(kinds) - {ONE, TWO, NEGATIVE, NOISE}):
        raise ValueError(f"unknown kinds of neurons {unknown}; known: {[ONE, TWO, NEGATIVE, NOISE]}")
    if abs(sum(kinds.values()) - 1) > 1e-9:
        raise ValueError(f"the shares of kinds sum to {sum(kinds.values()):g}, not to 1: {dict(kinds)}")
    rng = np.random.default_rng(seed)
    presence = rng.random((n_images, n_concepts)) < prevalence
    sims = PRESENT * presence + BLUR * rng.standard_normal((n_images, n_concepts))
    ends = np.round(np.cumsum(list(kinds.values())) * n_neurons).astype(int)
    kind = np.repeat(np.array(list(kinds), dtype=object), np.diff(ends, prepend=0))
    first, second = rng.integers(0, n_concepts, (2, n_neurons))
    both = presence[:, first] | presence[:, second]
    sign = np.select([kind == NOISE, kind == NEGATIVE], [0.0, -1.0], 1.0)
    activations = rng.standard_normal((n_images, n_neurons))
    activations += snr * sign * np.where(kind == TWO, both, presence[:, first])
    carries = np.zeros((n_neurons, n_concepts), dtype=bool)
    carries[np.flatnonzero(sign > 0), first[sign > 0]] = True
    carries[np.flatnonzero(kind == TWO), second[kind == TWO]] = True
    return Planted(_float(sims), _float(activations), presence, carries, kind, np.arange(n_concepts) // PER_CATEGORY)


@validated(n_classes=AT_LEAST_ONE, n_families=AT_LEAST_ONE, noise=NOT_NEGATIVE)
def few_images_per_class(n_classes: int = 400, n_families: int = 40, noise: float = 0.72, seed: int = 0) -> Planted:
    """A classifier's output neurons over many similar classes with one to three images each, through the labels dissector.

    Classes come in families of similar prototypes of 64 features; an image is its class's prototype in noise, an output the
    linear score of its class, learnt with an error of its own. A class's category is its family.
    """
    rng = np.random.default_rng(seed)
    centres, families = rng.standard_normal((n_families, 64)), rng.integers(0, n_families, n_classes)
    prototypes = centres[families]
    prototypes += 0.55 * rng.standard_normal(prototypes.shape)
    classes = np.repeat(np.arange(n_classes), rng.choice((1, 2, 3), n_classes, p=(0.2, 0.3, 0.5)))
    images = prototypes[classes] + noise * rng.standard_normal((len(classes), 64))
    weights = prototypes + 0.25 * rng.standard_normal(prototypes.shape)
    activations = images @ weights.T - 0.5 * (weights**2).sum(axis=1)
    names = [f"class {i:04d}" for i in range(n_classes)]
    table = pd.DataFrame({"class": [names[i] for i in classes]}, index=[f"image {i}" for i in range(len(classes))])
    oracle = LabelDissector(table, ["class"])
    sims = oracle.encode_ids(list(table.index)) @ oracle.embed_texts(names).T
    presence = classes[:, None] == np.arange(n_classes)
    kinds = np.full(n_classes, ONE, dtype=object)
    return Planted(_float(sims), _float(activations), presence, np.eye(n_classes, dtype=bool), kinds, families)


@validated(top_k=top_k_or_auto, level=RATE)
def score_rules(
    planted: Planted, top_k: int | str = 40, level: float = 0.05, similarities: Sequence[str] = tuple(SIMILARITIES)
) -> pd.DataFrame:
    """Accuracy of the rules, a row for "calibrated" and each similarity function; shares, NaN without such neurons.

    - named: of the neurons with a concept, those that get a label;
    - right, right_in_category, right_in_5: of these, those whose label is correct, of a correct category,
      correct among their five best;
    - right_of_two: of those with two concepts that get a label, those whose label is one of the two;
    - false_labels, negative_labels, noise_labels: of the neurons without a concept, of those of them that fall at a
      concept, of noise, those that get a label.

    The published rules label every neuron; a label counts as given where its similarity reaches the mean of all neurons' top
    similarities (tau) for neurons without a concept, and always for the others. "soft_wpmi, same neurons" is the published
    score on the neurons that calibration names.
    """
    store = MemoryStore()
    found = calibrate(planted.image_concept_sims, planted.activations, top_k, level=level, store=store)
    named, used = found.label.to_numpy() >= 0, int(found.top_k.iloc[0])
    scores = concept_scores(planted.image_concept_sims, planted.activations)
    order = rank_concepts(scores, torch.from_numpy(found.statistic.to_numpy(copy=True)), torch.from_numpy(named)).numpy()
    rows = [_row("calibrated", planted, order, named, named)]
    for name in similarities:
        scores = concept_scores(planted.image_concept_sims, planted.activations, name, used).numpy()
        top, order = scores.max(axis=1), strongest(scores, 5, axis=1)
        rows.append(_row(name, planted, order, np.ones(len(top), dtype=bool), top >= top.mean()))
        if name == "soft_wpmi":
            rows.append(_row("soft_wpmi, same neurons", planted, order, named, np.zeros(0, dtype=bool)))
    return pd.DataFrame(rows)


@validated(top_k=top_k_or_auto)
def few_images_scores(top_k: int | str, similarities: Sequence[str] = ("soft_wpmi",), **options) -> pd.DataFrame:
    """`score_rules` of `few_images_per_class`, whose options follow."""
    return score_rules(few_images_per_class(**options), top_k, similarities=similarities)


@validated(vary=("snr", "n_images", "n_concepts", "n_neurons", "prevalence", "top_k"), values=ANYTHING, top_k=top_k_or_auto)
def curve(vary: str, values: Sequence[float], seeds: Sequence[int] = (0, 1), top_k: int | str = 40, **options) -> pd.DataFrame:
    """`score_rules` over a range of snr, n_images, prevalence or top_k: its columns, mean over the seeds, and `vary`.

    `options` are those of `plant`: with ``kinds=ALL_KINDS`` the columns for two concepts and for negative neurons are filled.
    """
    parts = []
    for value in values:
        settings = {**options, **({} if vary == "top_k" else {vary: value})}
        k = value if vary == "top_k" else top_k
        each = [score_rules(plant(seed=seed, **settings), k) for seed in seeds]
        mean = pd.concat(each).groupby("rule", sort=False).mean(numeric_only=True).reset_index()
        parts.append(mean.assign(**{vary: value}))
    return pd.concat(parts, ignore_index=True)


def _row(rule: str, planted: Planted, order: np.ndarray, named: np.ndarray, passing: np.ndarray) -> dict:
    """One row of `score_rules` from each neuron's best concepts, order (n_neurons, top), and who gets a label.

    `named` counts for neurons with a concept, `passing` (empty: nothing to say) for those without.
    """
    hits, with_concept = np.take_along_axis(planted.carries, order, axis=1), planted.carries.any(axis=1)
    in_category = planted.categories[order[:, :1]] == planted.categories
    labelled, two = named & with_concept, planted.kinds == TWO

    def share(values: np.ndarray) -> float:
        return float(values.mean()) if len(values) else np.nan

    def labels(kind: np.ndarray) -> float:
        return share(passing[kind]) if len(passing) else np.nan

    return {
        "rule": rule,
        "named": share(named[with_concept]),
        "right": share(hits[labelled, 0]),
        "right_in_category": share((in_category & planted.carries).any(axis=1)[labelled]),
        "right_in_5": share(hits[labelled].any(axis=1)),
        "right_of_two": share(hits[labelled & two, 0]),
        "false_labels": labels(~with_concept),
        "negative_labels": labels(planted.kinds == NEGATIVE),
        "noise_labels": labels(planted.kinds == NOISE),
    }


def _float(x) -> Tensor:
    return torch.as_tensor(x, dtype=torch.float32)


NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


@validated(n_training=partial(whole_number, least=100, most=900))
def dissect_digits(n_training: int = 900, n_random: int = 0) -> Dissection:
    """The outputs of a linear classifier of digits, named through the labels of images that it did not learn from.

    Parameters
    ----------
    n_training : int
        Of 1,797 images of 8 x 8 pixels; at most 900: the other 897 are the probe.
    n_random : int
        Further output neurons with random weights, without a class.

    Returns
    -------
    Dissection
        Layer "1" with the neurons of `NAMES` and then the random ones; the concepts are `NAMES`.
    """
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression

    data, rng = load_digits(), np.random.default_rng(0)
    images, order = np.round(data.images / 16 * 255).astype(np.uint8), rng.permutation(len(data.images))
    seen, probed = order[:n_training], order[900:]
    fit = LogisticRegression(max_iter=1000).fit(images[seen].reshape(len(seen), -1) / 255, data.target[seen])
    linear = torch.nn.Linear(64, 10 + n_random)
    weights = [fit.coef_, rng.standard_normal((n_random, 64))], [fit.intercept_, np.zeros(n_random)]
    linear.weight.data, linear.bias.data = (torch.tensor(np.concatenate(w), dtype=torch.float32) for w in weights)
    probe = Probe.from_arrays(list(images[probed]), table={"digit": [NAMES[i] for i in data.target[probed]]})
    contract = Preprocess(size=(8, 8), scale="dtype", channels=1)
    target = load_target(torch.nn.Sequential(torch.nn.Flatten(), linear), preprocess=contract, layers=["1"])
    dissector = load_dissector("labels", probe=probe, column="digit")
    return dissect(target, dissector, probe, NAMES, top_k=50, options=PassOptions(progress=False))
