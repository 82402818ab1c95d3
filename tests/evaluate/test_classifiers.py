"""What few labels make of a tower: features, linear layers, fine-tuning into folders, the same test for all."""

import numpy as np
import pytest
import torch
from evaluated import PREPROCESS, Tower, labelled
from scipy.stats import norm

from mdissect.embed import PassOptions
from mdissect.evaluate import EvaluationOptions
from mdissect.evaluate.classifiers import Learning, classifier_rows, linear_layer, without_head
from mdissect.evaluate.scoring import Resamples
from mdissect.evaluate.subsets import divided
from mdissect.models import load_target
from mdissect.predictions.logits import probe_outputs
from mdissect.train import Recipe, Running
from mdissect.train.tasks import read_labels

pytestmark = pytest.mark.slow

QUIET = Running(device="cpu", workers=0, progress=False)
QUICK = Recipe(epochs=8, batch_size=8, learning_rate=0.05, warmup_steps=2, patience=0).changed(augment=False)


def target():
    return load_target(Tower(), preprocess=PREPROCESS, layers=["row"], name="tower")


def learning(probe, output=None, task="seen", **options) -> Learning:
    labels, options = read_labels(probe, task), EvaluationOptions(**{"n_boot": 50, "seeds": 2, "recipe": QUICK} | options)
    return Learning(target(), probe, task, labels, divided(probe, labels, options), options, output, None, QUIET)


def rows(one: Learning, part: str = "linear probe") -> dict:
    return {(row["fraction"], row["metric"]): row for row in classifier_rows(one, part, Resamples(one.probe.patients, 50))}


def test_features_are_what_a_linear_layer_would_get():
    probe = labelled(20)
    found = probe_outputs(without_head(target()), probe, probe.key(), None, "cpu", PassOptions(workers=0, progress=False))
    first = np.stack([probe[i][0] for i in range(20)]) / 65535
    np.testing.assert_allclose(found, first, atol=1e-6)


def test_a_linear_layer_finds_the_planted_direction():
    for seed in range(8):
        rng = np.random.default_rng(seed)
        y = np.arange(400) % 2
        x = rng.normal(size=(400, 6)) * [1, 100, 0.01, 1, 1, 0] + [0, 0, 0, 0, 0, 7]  # of other scales, one constant
        x[:, 2] += 0.02 * y
        tell = linear_layer(x[:200], y[:200], 2, 1.0)
        probability = tell(x[200:])
        np.testing.assert_allclose(probability.sum(axis=1), 1)
        right = (probability.argmax(axis=1) == y[200:]).mean()
        assert right == pytest.approx(norm.cdf(1), abs=0.09)  # two normal distributions, two spreads apart


def test_classes_without_training_images_have_a_probability_of_0():
    tell = linear_layer(np.array([[0.0], [1.0], [0.1], [0.9]]), np.array([0, 3, 0, 3]), 4, 1.0)
    assert tell(np.array([[0.2]]))[0, 1:3].tolist() == [0, 0]


@pytest.mark.slow
def test_more_labels_of_a_planted_finding_reach_its_auc():
    few, whole = [], []
    for seed in range(8):
        found = rows(learning(labelled(240, seed, separation=0.1), fractions=(0.1, 1.0)))
        few.append(found[0.1, "auc"]["value"])
        whole.append(found[1.0, "auc"]["value"])
        assert found[1.0, "auc"]["low"] <= whole[-1] <= found[1.0, "auc"]["high"]
    assert np.mean(whole) == pytest.approx(norm.cdf(2 / np.sqrt(2)), abs=0.06)  # two spreads apart
    assert 0.65 < np.mean(few) < np.mean(whole)


def test_rows_say_what_was_trained_and_tested_on():
    one = learning(labelled(160))
    found = rows(one)
    assert list(found) == [(share, metric) for share in (0.1, 0.5, 1.0) for metric in ("auc", "accuracy", "macro_f1")]
    row, whole = found[0.5, "auc"], found[1.0, "auc"]
    assert (row["n"], row["patients"], row["level"]) == (32, 8, "image")
    assert (row["seeds"], whole["seeds"]) == (2, 1)  # all draws of all patients are one
    assert whole["training_patients"] == 32
    assert whole["training_images"] == 128
    assert row["training_patients"] == 17  # of 27 to train and 5 to choose by, half each, rounded up
    assert row["seeds_low"] <= row["value"] <= row["seeds_high"]
    assert whole["chance"] == 0.5
    assert found[1.0, "accuracy"]["chance"] == 0.75


@pytest.mark.slow
def test_labels_that_nothing_shows_are_told_at_chance():
    values = []
    for seed in range(8):
        probe = labelled(400, seed, separation=0.0)
        values.append(rows(learning(probe, fractions=(1.0,)))[1.0, "auc"]["value"])
    assert np.mean(values) == pytest.approx(0.5, abs=0.12)


def test_breasts_are_scored_where_asked():
    probe = labelled(160, laterality=["L", "L", "R", "R"] * 40)
    assert rows(learning(probe, level="breast"))[1.0, "auc"]["n"] == 16
    assert rows(learning(probe, level="image"))[1.0, "auc"]["n"] == 32
    probe.table["cancer"] = probe.table.seen
    assert learning(probe, task="cancer").level == "breast"  # as published


@pytest.mark.slow
def test_fine_tuned_classifiers_lie_in_folders_and_are_read_again(tmp_path):
    probe = labelled(160)
    torch.manual_seed(0)
    one = learning(probe, tmp_path, fractions=(0.5, 1.0), fine_tune_seeds=2)
    first = rows(one, "fine-tune")
    assert {path.name for path in tmp_path.iterdir()} == {
        f"seen-{share}-percent-seed-{seed}" for share in (50, 100) for seed in (0, 1)
    }
    assert first[1.0, "auc"]["seeds"] == 2
    assert first[1.0, "auc"]["value"] > 0.9
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("classifier.safetensors")}
    assert len(written) == 4
    assert rows(one, "fine-tune") == first
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("classifier.safetensors")} == written
