"""Labels of several words: a neuron as a sum of a few concepts, and whether one word explains it as well."""

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import pandas as pd
import torch

from mdissect.arguments import AT_LEAST_ONE, RATE, texts, whole_number
from mdissect.concepts import variant_key
from mdissect.dissection import Dissection
from mdissect.labels import check_in_memory, why_none
from mdissect.signatures import validated
from mdissect.similarity import nameable
from mdissect.trust.sparse_sums import positive_sums

NUMBERS = ["one_word_r2", "sum_r2", "sum_low", "sum_high", "gain", "gain_low", "gain_high"]
COLUMNS = ["layer", "neuron", "explained_by", "words", "one_word", *NUMBERS, "one_word_enough"]
FOLDS = partial(whole_number, least=2)
NEURONS_AT_A_TIME = 256
FLAT = 1e-6  # of its size: below this spread a concept counts as the same in all images


@validated(layers=texts, most=AT_LEAST_ONE, folds=FOLDS, level=RATE)
def linear_labels(
    dissection: Dissection, layers: Sequence[str] | None = None, most: int = 3, folds: int = 5, level: float = 0.95
) -> pd.DataFrame:
    """Each neuron as a sum of at most `most` concepts: "0.6 spiculated mass + 0.3 skin retraction".

    >>> sums = linear_labels(found, ["bn2"])      # doctest: +SKIP
    >>> found.with_columns(sums[["layer", "neuron", "explained_by", "one_word_enough"]]).labels()      # doctest: +SKIP

    A weight says by how many standard deviations the neuron rises where the concept's similarity rises by one, the others
    unchanged; all are above 0. The sums are those that explain most (`mdissect.trust.sparse_sums.positive_sums`). Of concepts
    that the dissector hardly tells apart on this probe, and of forms of one word, a sum has one.

    **How many words.** The patients are split into `folds`. Concepts and weights are chosen on all but one fold and predict
    the neuron on that one, so that R2 is of unseen patients and falls where a further word only fits noise. The sum has the
    fewest words that the best number does not beat clearly, by an interval of the difference that treats a patient's images as
    one (linearised, with Student's t). It says nothing where that interval of its own R2 reaches 0. The words printed are those
    of all images: R2 belongs to the way of choosing them.

    Oikarinen and Weng (Linear Explanations, ICML 2024) explain neurons by sums too, by an elastic net without such a test.

    Parameters
    ----------
    dissection : Dissection
        With activations and image_concept_sims; its own labels do not count.
    layers : sequence of str, optional
        All of the dissection's when None.
    most : int
        Concepts in a sum.
    folds : int
        Parts of the patients (of the images where the probe names none); as many as patients if these are fewer.
    level : float
        Of the intervals.

    Returns
    -------
    DataFrame
        A row per neuron: layer, neuron; explained_by ("" for nothing), words (how many; 0 for nothing), one_word (the best
        single concept), one_word_r2, sum_r2 (held out; the latter of the best number of words), sum_low, sum_high, gain
        (sum_r2 - one_word_r2), gain_low, gain_high; one_word_enough (False where one word explains clearly less than
        several, and where nothing explains the neuron). NaN for a neuron that is constant or not finite.

    Raises
    ------
    ValueError
        A dissection without activations, an unknown layer, a single patient.
    """
    parts, names = [], dissection.concepts.names
    for layer, patients, blocks in _fitted(dissection, layers, most, folds):
        for neurons, good, errors, chosen, weights in blocks:
            table = _table(errors, chosen, weights, patients, level, names).reindex(range(len(good)))
            table.index = np.concatenate([np.flatnonzero(good), np.flatnonzero(~good)])
            parts.append(table.sort_index().assign(layer=layer, neuron=neurons))
    found = pd.concat(parts, ignore_index=True)
    filled = {"explained_by": "", "one_word": "", "words": 0, "one_word_enough": False}
    return found.fillna(filled).astype({"words": int, "one_word_enough": bool})[COLUMNS]


@validated(layers=texts, most=AT_LEAST_ONE, folds=FOLDS, level=RATE)
def linear_by_layer(
    dissection: Dissection, layers: Sequence[str] | None = None, most: int = 3, folds: int = 5, level: float = 0.95
) -> pd.DataFrame:
    """How many words a layer's neurons need (`linear_labels`), and what `most` words explain beyond one.

    >>> linear_by_layer(found)[["layer", "several", "gain", "gain_low", "gain_high"]]      # doctest: +SKIP

    Returns
    -------
    DataFrame
        A row per layer: layer, neurons (neither constant nor infinite), nothing, one_word and several
        (shares of these that no sum, one word, or only several words explain), one_word_r2, sum_r2 (means over these neurons,
        of unseen patients; the latter of sums of up to `most` words for every neuron, so that nothing is chosen by it), gain
        (their difference), gain_low, gain_high (its interval: other patients, the same neurons). Parameters and errors as for
        `linear_labels`.
    """
    rows = []
    for layer, patients, blocks in _fitted(dissection, layers, most, folds):
        words, one, gain, pull = [], [], [], np.zeros(patients.max() + 1)
        for _, _, errors, chosen, _ in blocks:
            words.append(_at_most(_judged(errors, patients, level)[0], chosen))
            one.append(1 - errors[1].sum(axis=0) / errors[0].sum(axis=0))
            more, of_patients = less_error(errors[1], errors[-1], errors[0], patients)
            gain.append(more)
            pull += of_patients.sum(axis=1)
        words, one, gain = map(np.concatenate, (words, one, gain))
        n = len(words)
        shares = {"nothing": words == 0, "one_word": words == 1, "several": words > 1}
        row = {"layer": layer, "neurons": n} | {name: float(of.mean()) if n else np.nan for name, of in shares.items()}
        means = [float(of.mean()) if n else np.nan for of in (one, one + gain, gain)]
        low, high = _ends(means[2], pull[:, None] / max(n, 1), level)
        row |= dict(zip(("one_word_r2", "sum_r2", "gain"), means, strict=True))
        rows.append(row | {"gain_low": float(low[0]) if n else np.nan, "gain_high": float(high[0]) if n else np.nan})
    return pd.DataFrame(rows)


def _fitted(
    dissection: Dissection, layers: Sequence[str] | None, most: int, folds: int
) -> Iterator[tuple[str, np.ndarray, Iterator[tuple]]]:
    """Each layer with the patients' codes (n_images,) and blocks of its neurons.

    A block: neurons (n,), which are usable (n,) bool, and of the usable ones the squared errors of `_Fit.errors`, and the
    concepts and weights of `positive_sums` on all images.
    """
    if not dissection.activations or dissection.image_concept_sims is None:
        raise ValueError(f"the dissection has no activations or image_concept_sims ({why_none(dissection)}")
    check_in_memory(dissection, "a regression on all concepts")
    layers = list(dissection.activations) if layers is None else list(layers)
    if unknown := [layer for layer in layers if layer not in dissection.activations]:
        raise ValueError(f"no layer {', '.join(unknown)} with activations; there are {', '.join(dissection.activations)}")
    sims = np.asarray(dissection.image_concept_sims, dtype=float)
    if not np.isfinite(sims).all():
        raise ValueError("image_concept_sims of the dissection are not all finite; dissect again")
    patients = pd.factorize(np.array(dissection.patients or range(len(sims)), dtype=object))[0]
    forms = pd.factorize(np.array([variant_key(name) for name in dissection.concepts.names], dtype=object))[0]
    fits = [_Fit(sims, train, held_out, forms, most) for train, held_out in _splits(patients, folds)]
    whole = _Fit(sims, np.arange(len(sims)), np.arange(0), forms, most)
    for layer in layers:
        yield layer, patients, _blocks(dissection.activations[layer], whole, fits)


def _blocks(activations: np.ndarray, whole: "_Fit", fits: Sequence["_Fit"]) -> Iterator[tuple]:
    """The blocks of a layer, see `_fitted`."""
    for start in range(0, max(activations.shape[1], 1), NEURONS_AT_A_TIME):
        some = np.ascontiguousarray(activations[:, start : start + NEURONS_AT_A_TIME])
        finite, constant = (one.numpy() for one in nameable(torch.from_numpy(some)))
        good = finite & ~constant
        usable = some[:, good].astype(float)
        usable = (usable - usable.mean(axis=0)) / usable.std(axis=0)
        errors = np.empty((whole.most + 1, *usable.shape))
        for fit in fits:
            errors[:, fit.held_out] = fit.errors(usable)
        yield np.arange(start, start + len(good)), good, errors, *whole.sums(usable)[:2]


class _Fit:
    """Sums fitted on some images, and their errors on others."""

    def __init__(self, sims: np.ndarray, train: np.ndarray, held_out: np.ndarray, forms: np.ndarray, most: int):
        mean, spread = sims[train].mean(axis=0), sims[train].std(axis=0)
        scale = np.where(spread > FLAT * np.abs(sims[train]).max(axis=0, initial=0), spread, np.inf)
        self.train, self.held_out, self.forms, self.most = train, held_out, forms, most
        self.seen, self.unseen = (sims[train] - mean) / scale, (sims[held_out] - mean) / scale
        self.gram = self.seen.T @ self.seen / len(train)

    def sums(self, activations: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """`positive_sums` of neurons (n_images, n_neurons), and the mean and spread of their activations."""
        mean, spread = activations[self.train].mean(axis=0), activations[self.train].std(axis=0)
        scaled = (activations[self.train] - mean) / np.where(spread > 0, spread, np.inf)
        return *positive_sums(self.gram, self.seen.T @ scaled / len(self.train), self.most, self.forms), mean, spread

    def errors(self, activations: np.ndarray) -> np.ndarray:
        """Squared errors (1 + most, n_held_out, n_neurons): of the mean, and of sums of 1, 2, ... concepts."""
        chosen, weights, mean, spread = self.sums(activations)
        error = activations[self.held_out] - mean
        errors = [error]
        for row in range(self.most):
            found = self.unseen[:, chosen[:, row].clip(0)]  # (n_held_out, n_neurons, most)
            errors.append(error - np.einsum("ikm,km->ik", found, weights[:, row]) * spread)
        return np.stack(errors) ** 2


def _table(
    errors: np.ndarray, chosen: np.ndarray, weights: np.ndarray, patients: np.ndarray, level: float, names: Sequence[str]
) -> pd.DataFrame:
    """The rows of some neurons, without layer and number."""
    words, numbers = _judged(errors, patients, level)
    words = _at_most(words, chosen)
    table = pd.DataFrame(numbers, columns=NUMBERS)
    table["explained_by"] = [_in_words(chosen[k, n - 1], weights[k, n - 1], names) if n else "" for k, n in enumerate(words)]
    table["one_word"] = [names[one] if one >= 0 else "" for one in chosen[:, 0, 0]]
    return table.assign(words=words, one_word_enough=words == 1)


def _judged(errors: np.ndarray, patients: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """How many words (n_neurons,), and `NUMBERS` (n_neurons, 7), of squared errors as in `_Fit.errors`."""
    neurons = np.arange(errors.shape[2])

    def better(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        difference, pull = less_error(first, second, errors[0], patients)
        return difference, *_ends(difference, pull, level)

    best = errors[1:].sum(axis=1).argmin(axis=0) + 1
    of_best = errors[best, :, neurons].T
    words = best.copy()
    for fewer in range(len(errors) - 2, 0, -1):
        words = np.where((fewer < best) & (better(errors[fewer], of_best)[1] <= 0), fewer, words)
    words = np.where(better(errors[0], errors[words, :, neurons].T)[1] > 0, words, 0)
    one = 1 - errors[1].sum(axis=0) / errors[0].sum(axis=0)
    return words, np.stack([one, *better(errors[0], of_best), *better(errors[1], of_best)], axis=1)


@validated()
def less_error(
    first: np.ndarray, second: np.ndarray, of_mean: np.ndarray, patients: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """R2 of `second` minus that of `first`, (n_neurons,), by squared errors (n_images, n_neurons), and each patient's pull.

    `of_mean` are the errors of the mean alone, `patients` (n_images,) int. The pull (n_patients, n_neurons) is how far a
    patient with all images moves the difference: the linearised ratio of sums (Cochran, Sampling Techniques, 1977, 6.3).
    """
    total = of_mean.sum(axis=0)
    difference = (first - second).sum(axis=0) / total
    order = np.argsort(patients, kind="stable")
    starts = np.searchsorted(patients[order], np.arange(patients.max() + 1))
    return difference, np.add.reduceat((first - second - difference * of_mean)[order], starts, axis=0) / total


def _ends(value: np.ndarray | float, pull: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """The interval of a value, by how far each patient moves it (n_patients, ...): Student's t."""
    from scipy.stats import t

    n = len(pull)
    width = t.ppf((1 + level) / 2, n - 1) * np.sqrt(n / (n - 1) * (pull**2).sum(axis=0))
    return value - width, value + width


def _splits(patients: np.ndarray, folds: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Images to fit on, and images of other patients, for each fold."""
    from sklearn.model_selection import GroupKFold

    n_patients = patients.max() + 1
    if n_patients < 2:
        raise ValueError("all images are of one patient, so that no others are left to test on; use a probe of more patients")
    return list(GroupKFold(min(folds, int(n_patients))).split(patients, groups=patients))


def _in_words(chosen: np.ndarray, weights: np.ndarray, names: Sequence[str]) -> str:
    """ "0.6 spiculated mass + 0.3 skin retraction": the greatest weight first."""
    order = [i for i in np.argsort(-weights.round(6), kind="stable") if chosen[i] >= 0]
    return " + ".join(f"{weights[i]:.{1 if weights[i] >= 0.05 else 2}f} {names[chosen[i]]}" for i in order)


def _at_most(words: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """The number of words, no more than the sums on all images have."""
    return np.minimum(words, (chosen[:, -1] >= 0).sum(axis=1))
