"""Scores of one or several sets of predictions, with the same resampled patients for all of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mdissect.predictions.levels import levels_of
from mdissect.predictions.passes import interval, patient_weights
from mdissect.probes import Probe
from mdissect.train.metrics import RESAMPLED_AT_ONCE, classification_scores, resampled_scores
from mdissect.train.tasks import Labels

METRICS = ("auc", "accuracy", "macro_f1")


@dataclass(frozen=True)
class Score:
    """A score: its value, that of each set of predictions (n_sets,), and of each resample (n_boot,), the mean over the sets."""

    value: float
    of_sets: np.ndarray
    drawn: np.ndarray

    def row(self, metric: str, coverage: float) -> dict:
        """The columns of a table: metric, value, low, high, and the least and the greatest of several sets."""
        low, high = interval(self.drawn, coverage)
        row = {"metric": metric, "value": self.value, "low": float(low), "high": float(high)}
        if len(self.of_sets) > 1:
            row |= {"seeds_low": float(self.of_sets.min()), "seeds_high": float(self.of_sets.max())}
        return row


class Resamples:
    """Resamples of the patients of a probe: each with all of its images."""

    def __init__(self, patients: Sequence[str], n_boot: int, seed: int = 0):
        self.patients = np.unique(np.asarray(patients, dtype=object).astype(str))
        self._weights = patient_weights(self.patients, n_boot, seed)  # (n_boot, n_patients)

    def weights(self, patients: Sequence[str]) -> np.ndarray:
        """How often each of some images, given by their patients, counts: (n_boot, n)."""
        return self._weights[:, np.searchsorted(self.patients, np.asarray(patients, dtype=object).astype(str))]

    def scores(self, y: np.ndarray, sets: Sequence[np.ndarray], patients: Sequence[str]) -> dict[str, Score]:
        """auc, accuracy and macro_f1 of sets of probabilities, each (n, n_classes), for images' classes and patients (n,)."""
        weights = self.weights(patients)
        values = [classification_scores(y, one) for one in sets]
        drawn = {name: np.empty((len(sets), len(weights))) for name in METRICS}
        for start in range(0, len(weights), RESAMPLED_AT_ONCE):
            some = slice(start, start + RESAMPLED_AT_ONCE)
            for i, one in enumerate(sets):
                with np.errstate(invalid="ignore"):  # 0 / 0 where a resample has none of the images
                    found = resampled_scores(y, one, weights[some])
                for name in METRICS:
                    drawn[name][i, some] = found[name]
        of_sets = {name: np.array([value[name] for value in values]) for name in METRICS}
        return {name: Score(float(of_sets[name].mean()), of_sets[name], drawn[name].mean(axis=0)) for name in METRICS}

    def mean(self, values: np.ndarray, patients: Sequence[str]) -> Score:
        """The mean of values (n,) of patients' images, each image counting the same."""
        weights = self.weights(patients)
        with np.errstate(invalid="ignore"):
            drawn = weights @ values / weights.sum(axis=1)
        return Score(float(values.mean()), np.array([values.mean()]), drawn)


def mean_of(scores: Sequence[Score]) -> Score:
    """The mean of several scores on the same resamples."""
    value = float(np.mean([score.value for score in scores]))
    return Score(value, np.array([value]), np.mean([score.drawn for score in scores], axis=0))


def at_level(probe: Probe, labels: Labels, probability: np.ndarray, level: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Classes (n,), probabilities (n, n_classes) and patients (n,) of images, or of breasts by the mean over their images.

    `probability` (n_images, n_classes) is of all images of the probe.
    """
    if level == "image":
        return labels.y, probability[labels.positions], labels.patients
    found, notes = levels_of(probe)
    breasts = next((one for one in found if one.name == level), None)
    if breasts is None:
        raise ValueError(f"probe {probe.name!r} has no {level}s to score ({'; '.join(notes)}); use level='image'")
    groups, y, _ = breasts.truth(labels)
    return y, breasts.joined(probability, "mean")[groups], breasts.groups.patient.to_numpy(dtype=object)[groups]


def chance_of(y: np.ndarray) -> dict[str, float]:
    """The scores of always telling the commonest of some classes (n,), and an AUC of a half."""
    counts = np.bincount(y)
    share = counts.max() / len(y)
    return {"auc": 0.5, "accuracy": float(share), "macro_f1": float(2 * share / (1 + share) / np.count_nonzero(counts))}
