"""What few labels make of an image tower: a linear layer on its features, or the whole network fine-tuned."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn

from mdissect.embed import PassOptions
from mdissect.evaluate.options import FINE_TUNE, LINEAR_PROBE, EvaluationOptions
from mdissect.evaluate.scoring import METRICS, Resamples, at_level, chance_of
from mdissect.evaluate.subsets import nested_subsets
from mdissect.models import Target, freeze, weights_fingerprint
from mdissect.models.heads import attach_head
from mdissect.predictions.logits import probe_outputs
from mdissect.probes import Probe
from mdissect.store import StoreLike
from mdissect.train import Running, finetune
from mdissect.train.metrics import probabilities
from mdissect.train.splits import SPLIT_COLUMN, Split
from mdissect.train.tasks import Labels

STRENGTHS = tuple(10.0**exponent for exponent in range(-4, 3))  # scikit-learn's C: the greater, the less regularised
ALIKE = 1e-9  # losses on the validation images that differ by less are equal: the more regularised layer is taken
STEPS = 2000
LEVEL_OF = {"cancer": "breast"}  # as published; others: images

# (training rows, validation rows, share, seed) -> probabilities of all test images (n_test, n_classes)
Learner = Callable[[np.ndarray, np.ndarray, float, int], np.ndarray]


@dataclass(frozen=True)
class Learning:
    """A task to be learnt by a target from a probe's labels, and where what is computed is kept."""

    target: Target
    probe: Probe
    name: str
    labels: Labels
    split: Split
    options: EvaluationOptions
    output: Path | None
    store: StoreLike
    running: Running

    @property
    def passing(self) -> PassOptions:
        return PassOptions(workers=self.running.workers, progress=self.running.progress)

    @property
    def level(self) -> str:
        return LEVEL_OF.get(self.name, "image") if self.options.level == "auto" else self.options.level

    @property
    def test(self) -> tuple[Probe, Labels]:
        """The test images, and their labels."""
        rows = self.split.test
        labels = self.labels
        test = Labels(labels.task, labels.column, np.arange(len(rows)), labels.y[rows], labels.patients[rows], 0)
        return self.probe.subset(labels.positions[rows]), test


def classifier_rows(learning: Learning, part: str, resamples: Resamples) -> Iterator[dict]:
    """A row for each share of the training patients and each score, of the mean over several draws of these patients."""
    options, (test, labels) = learning.options, learning.test
    learn = (_linear_probe if part == LINEAR_PROBE else _fine_tune)(learning)
    n_seeds = options.fine_tune_seeds if part == FINE_TUNE else options.seeds
    drawn = [_subsets(learning, seed) for seed in range(n_seeds)]
    for i, fraction in enumerate(options.fractions):
        several = drawn[:1] if part == LINEAR_PROBE and fraction == 1 else drawn  # all draws of all patients are one
        found = [learn(*subsets[i], fraction, seed) for seed, subsets in enumerate(several)]
        joined = [at_level(test, labels, probability, learning.level) for probability in found]
        y, patients = joined[0][0], joined[0][2]
        training = [np.concatenate(subsets[i]) for subsets in several]
        about = {
            "task": learning.name, "fraction": fraction, "seeds": len(several), "level": learning.level, "n": len(y),
            "patients": len(set(patients)), "training_images": round(np.mean([len(rows) for rows in training])),
            "training_patients": round(np.mean([len(set(learning.labels.patients[rows])) for rows in training])),
        }  # fmt: skip
        scores = resamples.scores(y, [one[1] for one in joined], patients)
        chance = chance_of(y)
        for metric in METRICS:
            yield about | {"chance": chance[metric]} | scores[metric].row(metric, options.coverage)


def _subsets(learning: Learning, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each share the rows to train on and those to choose by: the same share of the patients of both."""
    labels, parts = learning.labels, []
    for stream, rows in enumerate((learning.split.training, learning.split.validation)):
        nested = nested_subsets(labels.y[rows], labels.patients[rows], learning.options.fractions, 2 * seed + stream)
        parts.append([rows[some] for some in nested])
    return list(zip(*parts, strict=True))


def _linear_probe(learning: Learning) -> Learner:
    """A linear layer on standardised features (logistic regression), its regularisation chosen on the validation images."""
    from sklearn.metrics import log_loss

    labelled = learning.probe.subset(learning.labels.positions)
    where, running = learning.running.device, learning.passing
    target = without_head(learning.target)
    features = probe_outputs(target, labelled, labelled.key(), learning.store, where, running).astype(np.float64)
    y, n_classes = learning.labels.y, len(learning.labels.task.classes)

    def learn(training: np.ndarray, validation: np.ndarray, _share: float, _seed: int) -> np.ndarray:
        fitted = [linear_layer(features[training], y[training], n_classes, strength) for strength in STRENGTHS]
        losses = [log_loss(y[validation], tell(features[validation]), labels=range(n_classes)) for tell in fitted]
        best = next(i for i, loss in enumerate(losses) if loss <= min(losses) + ALIKE)
        return fitted[best](features[learning.split.test])

    return learn


def linear_layer(x: np.ndarray, y: np.ndarray, n_classes: int, strength: float) -> Callable[[np.ndarray], np.ndarray]:
    """Probabilities (m, n_classes) of features (m, n_features), by a logistic regression on features (n, n_features)."""
    from sklearn.linear_model import LogisticRegression

    mean, spread = x.mean(axis=0), x.std(axis=0)
    scale = np.where(spread > ALIKE * np.maximum(1, np.abs(mean)), spread, np.inf)  # features that do not vary tell nothing
    fit = LogisticRegression(C=strength, max_iter=STEPS).fit((x - mean) / scale, y)

    def tell(features: np.ndarray) -> np.ndarray:
        found = np.zeros((len(features), n_classes))
        found[:, fit.classes_] = fit.predict_proba((features - mean) / scale)
        return found

    return tell


def without_head(target: Target) -> Target:
    """A target whose outputs are the features that a linear layer would get."""
    classifier = attach_head(target, 1)
    classifier.module.set_submodule(classifier.head_path, nn.Identity())
    module = freeze(classifier.module)
    return Target(target.name, module, target.preprocess, classifier.layers, weights_fingerprint(module))


def _fine_tune(learning: Learning) -> Learner:
    """The whole network, trained on a share of the patients into a folder of its own: a finished one is read."""
    test, _ = learning.test
    key = test.key()

    def learn(training: np.ndarray, validation: np.ndarray, share: float, seed: int) -> np.ndarray:
        parts = {"training": training, "validation": validation, "test": learning.split.test}
        positions = np.concatenate([learning.labels.positions[rows] for rows in parts.values()])
        probe = learning.probe.subset(positions)
        probe.table[SPLIT_COLUMN] = np.repeat(list(parts), [len(rows) for rows in parts.values()])  # the subset's own table
        name = "".join(letter if letter.isalnum() else "-" for letter in learning.name)
        folder = learning.output / f"{name}-{100 * share:g}-percent-seed-{seed}"
        recipe = learning.options.recipe.changed(seed=seed)
        tuned = finetune(learning.target, probe, learning.labels.task, folder, recipe, learning.running)
        return probabilities(probe_outputs(tuned.target, test, key, learning.store, learning.running.device, learning.passing))

    return learn
