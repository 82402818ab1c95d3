"""Scores on resampled patients: hand-worked values, several sets, means over findings, breasts."""

import numpy as np
import pytest
from evaluated import planted_probe
from sklearn.metrics import f1_score, roc_auc_score

from mdissect.evaluate.scoring import Resamples, at_level, chance_of, mean_of
from mdissect.train.tasks import read_labels

pytestmark = pytest.mark.slow

PATIENTS = [f"p{i // 2}" for i in range(40)]


def pair(score: np.ndarray) -> np.ndarray:
    return np.stack([1 - score, score], axis=1)


def drawn(seed: int = 0, n: int = 40) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    return y, pair(np.clip(0.5 + 0.2 * (2 * y - 1) + rng.normal(0, 0.3, n), 0, 1))


def test_values_are_those_of_scikit_learn():
    y, probability = drawn()
    found = Resamples(PATIENTS, 20).scores(y, [probability], PATIENTS)
    assert found["auc"].value == pytest.approx(roc_auc_score(y, probability[:, 1]))
    assert found["accuracy"].value == pytest.approx((probability.argmax(axis=1) == y).mean())
    assert found["macro_f1"].value == pytest.approx(f1_score(y, probability.argmax(axis=1), average="macro"))


def test_resamples_are_those_of_a_literal_loop():
    y, probability = drawn()
    resamples = Resamples(PATIENTS, 30)
    found, weights = resamples.scores(y, [probability], PATIENTS)["auc"].drawn, resamples.weights(PATIENTS).astype(int)
    for value, times in zip(found, weights, strict=True):
        rows = np.repeat(np.arange(40), times)
        assert value == pytest.approx(roc_auc_score(y[rows], probability[rows, 1]))
        assert (times[::2] == times[1::2]).all()  # a patient's images together
        assert times[::2].sum() == 20


def test_parts_of_the_images_see_the_same_resamples():
    resamples, some = Resamples(PATIENTS, 30), np.array(PATIENTS)[::3]
    np.testing.assert_array_equal(resamples.weights(some), resamples.weights(PATIENTS)[:, ::3])


def test_of_several_sets_the_mean_counts():
    (y, first), (_, second) = drawn(0), drawn(1)
    resamples = Resamples(PATIENTS, 30)
    both, one, other = (resamples.scores(y, sets, PATIENTS)["auc"] for sets in ([first, second], [first], [second]))
    assert both.value == pytest.approx((one.value + other.value) / 2)
    np.testing.assert_allclose(both.drawn, (one.drawn + other.drawn) / 2)
    row = both.row("auc", 0.95)
    assert row["seeds_low"] == min(one.value, other.value) < row["seeds_high"] == max(one.value, other.value)
    assert "seeds_low" not in one.row("auc", 0.95)
    np.testing.assert_allclose(mean_of([one, other]).drawn, both.drawn)


def test_intervals_cover_the_truth_over_worlds():
    # AUC of N(1, 1) against N(0, 1): Phi(1 / sqrt(2)); 100 patients of two images.
    truth, inside = 0.7602, 0
    patients = [f"p{i // 2}" for i in range(200)]
    for seed in range(60):
        rng = np.random.default_rng(seed)
        y = rng.permutation(np.arange(200) % 2)
        score = 1 / (1 + np.exp(-(rng.normal(size=200) + y)))
        row = Resamples(patients, 200, seed).scores(y, [pair(score)], patients)["auc"].row("auc", 0.95)
        inside += row["low"] <= truth <= row["high"]
    assert inside >= 50  # of 60; 95 % are 57, and fewer than 50 have a probability of 1e-4 at 92 %


def test_one_patient_has_no_interval():
    y, probability = drawn(n=6)
    y[:2] = [0, 1]
    row = Resamples(["p"] * 6, 20).scores(y, [probability], ["p"] * 6)["auc"].row("auc", 0.95)
    assert np.isfinite(row["value"])
    assert np.isnan([row["low"], row["high"]]).all()


def test_resamples_without_the_images_are_left_out():
    resamples = Resamples(["a", "b", "c", "d"], 100)
    found = resamples.scores(np.array([0, 1]), [pair(np.array([0.2, 0.9]))], ["a", "b"])
    assert np.isnan(found["accuracy"].drawn).any()
    row = found["accuracy"].row("accuracy", 0.95)
    assert (row["value"], row["low"], row["high"]) == (1, 1, 1)
    mean = resamples.mean(np.array([1.0, 0.0]), ["a", "b"]).row("R@1", 0.95)
    assert (mean["value"], mean["low"], mean["high"]) == (0.5, 0, 1)


@pytest.mark.parametrize(
    ("y", "expected"),
    [
        ([0, 1], {"auc": 0.5, "accuracy": 0.5, "macro_f1": (2 / 3) / 2}),
        ([0, 0, 0, 1], {"auc": 0.5, "accuracy": 0.75, "macro_f1": (6 / 7) / 2}),
        ([0, 1, 1, 3], {"auc": 0.5, "accuracy": 0.5, "macro_f1": (2 / 3) / 3}),
    ],
)
def test_chance_is_the_commonest_class(y, expected):
    found = chance_of(np.array(y))
    assert found == pytest.approx(expected)
    assert found["macro_f1"] == pytest.approx(
        f1_score(y, np.full(len(y), np.bincount(y).argmax()), average="macro", labels=np.unique(y), zero_division=0)
    )


def test_breasts_are_scored_by_the_mean_over_their_images():
    probe = planted_probe(
        np.zeros((6, 4)), patient=["a", "a", "a", "b", "b", "b"], laterality=["L", "L", "R", "L", "L", "R"],
        seen=[True, True, False, False, False, True],
    )  # fmt: skip
    labels = read_labels(probe, "seen")
    score = np.array([0.2, 0.6, 0.1, 0.3, 0.4, 0.9])
    y, probability, patients = at_level(probe, labels, pair(score), "breast")
    assert y.tolist() == [1, 0, 0, 1]
    np.testing.assert_allclose(probability[:, 1], [0.4, 0.1, 0.35, 0.9])
    assert patients.tolist() == ["a", "a", "b", "b"]
    y, probability, _ = at_level(probe, labels, pair(score), "image")
    assert y.tolist() == [1, 1, 0, 0, 0, 1]
    np.testing.assert_allclose(probability[:, 1], score)


def test_a_probe_without_sides_has_no_breasts():
    probe = planted_probe(np.zeros((4, 4)), seen=[True, False, True, False])
    with pytest.raises(ValueError, match=r"has no breasts to score .the table has no laterality.*use level='image'"):
        at_level(probe, read_labels(probe, "seen"), pair(np.zeros(4)), "breast")
