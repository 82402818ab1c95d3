"""Scores of classifiers against tables worked out by hand, and their intervals."""

import numpy as np
import pytest

from mdissect.train.metrics import classification_scores, evaluation, probabilities, resampled_scores

# Six images of two classes: the positive class's probability.
Y = np.array([0, 0, 0, 1, 1, 1])
P = np.array([0.1, 0.4, 0.8, 0.3, 0.6, 0.9])
TWO = np.stack([1 - P, P], axis=1)
NAMES = ("no mass", "mass")


def test_two_classes_by_hand():
    found = classification_scores(Y, TWO)
    # Pairs in the right order: 0.3 beats 0.1; 0.6 beats 0.1 and 0.4; 0.9 beats all three: 6 of 9.
    assert found["auc"] == pytest.approx(6 / 9)
    # Predicted 0, 0, 1, 0, 1, 1: four right; precision and recall are 2/3 in both classes.
    assert found["accuracy"] == pytest.approx(4 / 6)
    assert found["macro_f1"] == pytest.approx(2 / 3)


def test_several_classes_by_hand():
    y = np.array([0, 0, 1, 2])
    probability = np.array([[0.8, 0.1, 0.1], [0.3, 0.4, 0.3], [0.2, 0.6, 0.2], [0.1, 0.7, 0.2]])
    found = classification_scores(y, probability)
    assert found["accuracy"] == pytest.approx(2 / 4)
    # F1: class 0 precision 1, recall 1/2; class 1 precision 1/3, recall 1; class 2 never named.
    assert found["macro_f1"] == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)
    # Each against all others: class 0 4 of 4 pairs; class 1 (0.6) beats 0.1 and 0.4; class 2 (0.2) beats 0.1, ties with 0.2.
    assert found["auc"] == pytest.approx((1 + 2 / 3 + 1.5 / 3) / 3)


def test_weights_count_images_several_times():
    times = np.array([1, 0, 3, 2, 1, 0])
    again = np.repeat(np.arange(6), times)
    weighted, repeated = classification_scores(Y, TWO, times.astype(float)), classification_scores(Y[again], TWO[again])
    assert weighted == pytest.approx(repeated)


@pytest.mark.parametrize("n_classes", [2, 4])
def test_many_weightings_at_once(n_classes):
    rng = np.random.default_rng(n_classes)
    y, logits = rng.integers(0, n_classes, 30), rng.integers(0, 3, (30, n_classes)).astype(float)  # with ties
    probability = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    weights = rng.integers(0, 3, (40, 30)).astype(float)
    weights[0, y != 1] = 0
    together = resampled_scores(y, probability, weights)
    one_by_one = [classification_scores(y, probability, row) for row in weights]
    for name, values in together.items():
        np.testing.assert_allclose(values, [one[name] for one in one_by_one], err_msg=name)
    assert np.isnan(together["auc"][0])


def test_an_absent_class_neither_helps_nor_hurts():
    y, probability = np.array([0, 0, 1, 1]), np.eye(5)[[0, 0, 1, 0]]
    found = classification_scores(y, probability)
    assert found["macro_f1"] == pytest.approx((4 / 5 + 2 / 3) / 2)
    assert np.isnan(classification_scores(np.zeros(3, int), TWO[:3])["auc"])


def test_probabilities_of_logits():
    np.testing.assert_allclose(probabilities(np.array([[0.0], [np.log(3)]])), [[0.5, 0.5], [0.25, 0.75]])
    np.testing.assert_allclose(probabilities(np.log([[1.0, 2.0, 5.0]])), [[1 / 8, 2 / 8, 5 / 8]])
    assert np.isfinite(probabilities(np.array([[1000.0], [-1000.0]]))).all()


def test_an_evaluation():
    found = evaluation(Y, TWO, NAMES, list("aabbcc"), n_bootstrap=50)
    assert (found["n_images"], found["n_patients"], found["classes"]) == (6, 3, list(NAMES))
    assert found["confusion"] == [[2, 1], [1, 2]]
    assert found["majority"] == {"accuracy": pytest.approx(0.5), "macro_f1": pytest.approx(1 / 3)}
    for name in ("auc", "accuracy", "macro_f1"):
        low, high = found[f"{name}_interval"]
        assert 0 <= low <= found[name] <= high <= 1
    assert found == evaluation(Y, TWO, NAMES, list("aabbcc"), n_bootstrap=50)
    assert "auc_interval" not in evaluation(Y, TWO, NAMES, list("aabbcc"), n_bootstrap=0)


def test_intervals_draw_patients_not_images():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 60)
    p = np.clip(0.5 + (y - 0.5) * 0.4 + rng.normal(0, 0.3, 60), 0.01, 0.99)
    once = evaluation(y, np.stack([1 - p, p], axis=1), NAMES, [str(i) for i in range(60)], n_bootstrap=300)
    copies = np.repeat(np.arange(60), 4)  # four views that say the same are no more evidence than one
    p4 = p[copies]
    four = evaluation(y[copies], np.stack([1 - p4, p4], axis=1), NAMES, [str(i) for i in copies], n_bootstrap=300)
    assert four["auc"] == pytest.approx(once["auc"])
    np.testing.assert_allclose(four["auc_interval"], once["auc_interval"], atol=0.02)
    naive = evaluation(y[copies], np.stack([1 - p4, p4], axis=1), NAMES, [str(i) for i in range(240)], n_bootstrap=300)
    width, naive_width = (np.diff(found["auc_interval"])[0] for found in (four, naive))
    assert naive_width < 0.7 * width


def test_one_class_only_has_no_auc():
    found = evaluation(Y[:3], TWO[:3], NAMES, list("abc"), n_bootstrap=20)
    assert np.isnan(found["auc"])
    assert np.isnan(found["auc_interval"]).all()
    assert found["accuracy"] == pytest.approx(2 / 3)


def test_what_does_not_belong_together():
    with pytest.raises(ValueError, match="6 labels, 6 predictions and 2 patients do not match"):
        evaluation(Y, TWO, NAMES, list("ab"))
    broken = TWO.copy()
    broken[2] = np.nan
    with pytest.raises(ValueError, match="1 of 6 predictions are not finite"):
        evaluation(Y, broken, NAMES, list("aabbcc"))


def test_fewer_resamples_at_a_time_give_the_same(monkeypatch):
    expected = evaluation(Y, TWO, NAMES, list("aabbcc"), n_bootstrap=250)
    monkeypatch.setattr("mdissect.train.metrics.MOST_WEIGHTS", 7 * len(Y))
    assert evaluation(Y, TWO, NAMES, list("aabbcc"), n_bootstrap=250) == expected
