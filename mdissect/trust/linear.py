"""Labels of several words: a neuron as a sum of a few concepts, and whether one word explains it as well."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from mdissect.arguments import AT_LEAST_ONE, RATE, texts, whole_number
from mdissect.concepts import variant_key
from mdissect.dissection import Dissection
from mdissect.signatures import validated
from mdissect.similarity import nameable
from mdissect.trust.sparse_sums import positive_sums

COLUMNS = [
    "layer", "neuron", "explained_by", "words", "one_word", "one_word_r2", "sum_r2", "sum_low", "sum_high", "gain",
    "gain_low", "gain_high", "one_word_enough",
]  # fmt: skip
NEURONS_AT_A_TIME = 256
FLAT = 1e-6  # of its size: below this spread a concept counts as the same in all images


@validated(layers=texts, most=AT_LEAST_ONE, folds=lambda name, value: whole_number(name, value, least=2), level=RATE)
def linear_labels(
    dissection: Dissection, layers: Sequence[str] | None = None, most: int = 3, folds: int = 5, level: float = 0.95
) -> pd.DataFrame:
    """Each neuron as a sum of at most `most` concepts: "0.6 spiculated mass + 0.3 skin retraction".

    >>> sums = linear_labels(found, ["bn2"])      # doctest: +SKIP
    >>> found.with_columns(sums[["layer", "neuron", "explained_by", "one_word_enough"]]).labels()      # doctest: +SKIP

    A weight says by how many standard deviations the neuron rises where the concept's similarity rises by one, the others
    unchanged; all are above 0. Concepts are chosen one after the other by what they explain
    (`mdissect.trust.sparse_sums.positive_sums`). Of concepts that the dissector hardly tells apart on this probe, and of
    forms of one word, a sum has one.

    **How many words.** The patients are split into `folds`. Concepts and weights are chosen on all but one fold and predict
    the neuron on that one, so that R2 is of unseen patients and falls where a further word only fits noise. The sum has the
    fewest words that the best number does not beat clearly, by an interval of the difference that treats a patient's images as
    one (linearised, with Student's t). It says nothing where that interval of its own R2 reaches 0. The words printed are those
    of all images: R2 belongs to the way of choosing them.

    Oikarinen and Weng (Linear Explanations, ICML 2024) explain neurons by sums too, chosen by an elastic net without such a test.

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
    if not dissection.activations or dissection.image_concept_sims is None:
        raise ValueError("the dissection has no activations or image_concept_sims (was it read from a CSV?); dissect again")
    layers = list(dissection.activations) if layers is None else list(layers)
    if unknown := [layer for layer in layers if layer not in dissection.activations]:
        raise ValueError(f"no layer {', '.join(unknown)} with activations; there are {', '.join(dissection.activations)}")
    sims, names = np.asarray(dissection.image_concept_sims, dtype=float), dissection.concepts.names
    if not np.isfinite(sims).all():
        raise ValueError("image_concept_sims of the dissection are not all finite; dissect again")
    patients = np.unique(np.array(dissection.patients or range(len(sims)), dtype=object).astype(str), return_inverse=True)[1]
    forms = pd.factorize(np.array([variant_key(name) for name in names], dtype=object))[0]
    fits = [_Fit(sims, train, held_out, forms, most) for train, held_out in _splits(patients, folds)]
    whole, parts = _Fit(sims, np.arange(len(sims)), np.arange(0), forms, most), []
    for layer in layers:
        for neurons in np.array_split(np.arange(dissection.activations[layer].shape[1]), _n_blocks(dissection, layer)):
            activations = dissection.activations[layer][:, neurons]
            parts.append(_table(activations, whole, fits, patients, level, names).assign(layer=layer, neuron=neurons))
    return pd.concat(parts, ignore_index=True)[COLUMNS]


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
        found = self.unseen[:, chosen.clip(0)]  # (n_held_out, n_neurons, most)
        predicted = [np.einsum("ikm,km->ik", found, weights[:, step]) * spread for step in range(self.most)]
        return np.stack([error, *(error - one for one in predicted)]) ** 2


def _table(
    activations: np.ndarray, whole: _Fit, fits: Sequence[_Fit], patients: np.ndarray, level: float, names: Sequence[str]
) -> pd.DataFrame:
    """The rows of some neurons, without layer and number."""
    finite, constant = (one.numpy() for one in nameable(torch.from_numpy(np.ascontiguousarray(activations))))
    good = finite & ~constant
    table = pd.DataFrame({"explained_by": "", "words": 0, "one_word": ""}, index=range(len(good)))
    numbers = ["one_word_r2", "sum_r2", "sum_low", "sum_high", "gain", "gain_low", "gain_high"]
    table = table.assign(**dict.fromkeys(numbers, np.nan), one_word_enough=False)
    if not good.any():
        return table
    usable = activations[:, good].astype(float)
    usable = (usable - usable.mean(axis=0)) / usable.std(axis=0)
    errors = np.empty((whole.most + 1, *usable.shape))
    for fit in fits:
        errors[:, fit.held_out] = fit.errors(usable)
    chosen, weights, _, _ = whole.sums(usable)
    count, values = _judged(errors, patients, level)
    count = np.minimum(count, (chosen >= 0).sum(axis=1))
    said = [_in_words(chosen[k, :n], weights[k, n - 1], names) for k, n in enumerate(count)]
    first = [names[one] if one >= 0 else "" for one in chosen[:, 0]]
    rows = table.index[good]
    table.loc[rows, ["explained_by", "one_word"]] = np.array([said, first], dtype=object).T
    table.loc[rows, "words"], table.loc[rows, "one_word_enough"] = count, count == 1
    table.loc[rows, numbers] = values.T
    return table


def _judged(errors: np.ndarray, patients: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """How many words (n_neurons,), and the table's numbers (7, n_neurons), of squared errors as in `_Fit.errors`."""
    neurons = np.arange(errors.shape[2])
    best = errors[1:].sum(axis=1).argmin(axis=0) + 1
    of_best = errors[best, :, neurons].T
    words = best.copy()
    for fewer in range(len(errors) - 2, 0, -1):
        clear = less_error(errors[fewer], of_best, errors[0], patients, level)[1] > 0
        words = np.where((fewer < best) & ~clear, fewer, words)
    shown = errors[words, :, neurons].T
    words = np.where(less_error(errors[0], shown, errors[0], patients, level)[1] > 0, words, 0)
    whole, gain = (less_error(errors[one], of_best, errors[0], patients, level) for one in (0, 1))
    one = 1 - errors[1].sum(axis=0) / errors[0].sum(axis=0)
    return words, np.stack([one, *whole, *gain])


def less_error(
    first: np.ndarray, second: np.ndarray, of_mean: np.ndarray, patients: np.ndarray, level: float = 0.95
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """R2 of `second` minus that of `first`, and the low and high end of its interval, by squared errors (n_images, n_neurons).

    `of_mean` are those of the mean alone; `patients` (n_images,) int, whose images count as one.
    """
    from scipy.stats import t

    n_patients, total = patients.max() + 1, of_mean.sum(axis=0)
    difference = (first - second).sum(axis=0) / total
    order = np.argsort(patients, kind="stable")
    starts = np.searchsorted(patients[order], np.arange(n_patients))
    pull = np.add.reduceat((first - second - difference * of_mean)[order], starts, axis=0) / total
    width = t.ppf((1 + level) / 2, n_patients - 1) * np.sqrt(n_patients / (n_patients - 1) * (pull**2).sum(axis=0))
    return difference, difference - width, difference + width


def _splits(patients: np.ndarray, folds: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Images to fit on, and images of other patients, for each fold."""
    from sklearn.model_selection import GroupKFold

    n_patients = patients.max() + 1
    if n_patients < 2:
        raise ValueError("all images are of one patient, so that no others are left to test on; use a probe of more patients")
    return list(GroupKFold(min(folds, int(n_patients))).split(patients, groups=patients))


def _in_words(chosen: np.ndarray, weights: np.ndarray, names: Sequence[str]) -> str:
    """ "0.6 spiculated mass + 0.3 skin retraction": the greatest weight first."""
    order = np.argsort(-weights[: len(chosen)].round(6), kind="stable")
    return " + ".join(f"{weights[i]:.{1 if weights[i] >= 0.05 else 2}f} {names[chosen[i]]}" for i in order)


def _n_blocks(dissection: Dissection, layer: str) -> int:
    return max(1, -(-dissection.activations[layer].shape[1] // NEURONS_AT_A_TIME))
