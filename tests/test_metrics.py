"""Areas under the ROC curve against pairs counted one by one, their intervals, and the strongest of some values."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from mdissect.metrics import auc, auc_interval, auc_matrix, auc_p_value, strongest


def test_the_strongest_come_first_of_ties_the_earlier_and_nan_last():
    values = np.array([1.0, np.nan, 3.0, 1.0, 3.0])
    assert strongest(values, 3).tolist() == [2, 4, 0]
    assert strongest(values, 9).tolist() == [2, 4, 0, 3, 1]
    table = np.array([[1.0, 2.0], [3.0, 0.0], [2.0, 2.0]])
    assert strongest(table, 2).tolist() == [[1, 0], [2, 2]]
    assert strongest(table, 1, axis=1).tolist() == [[1], [0], [0]]


def test_areas_are_the_share_of_pairs_in_the_right_order():
    rng = np.random.default_rng(3)
    activations, presence = np.round(rng.standard_normal((50, 4)), 1), rng.random((50, 3)) < 0.4  # with ties
    areas = auc_matrix(activations, presence)
    expected = [[roc_auc_score(presence[:, m], activations[:, k]) for m in range(3)] for k in range(4)]
    np.testing.assert_allclose(areas, expected, rtol=1e-12)
    assert auc(presence[:, 1], activations[:, 2]) == pytest.approx(expected[2][1])


def test_area_by_hand():
    present = np.array([True, False, True, False])
    assert auc(present, np.array([0.9, 0.1, 0.4, 0.5])) == 0.75
    assert auc(present, -np.array([0.9, 0.1, 0.4, 0.5])) == 0.25
    assert auc(present, np.array([0.9, 0.1, 0.4, 0.5]), weights=np.array([1, 1, 0, 1])) == 1.0


@pytest.mark.parametrize("present", [True, False])
def test_one_class_alone_has_no_area(present):
    assert np.isnan(auc(np.full(4, present), np.arange(4.0)))


def test_the_interval_is_delongs_where_every_image_stands_for_itself():
    """Against DeLong's variance written out pair by pair, and the quantile of Student's t with 18 degrees of freedom."""
    rng = np.random.default_rng(1)
    y = rng.random(60) < 0.4
    score = np.round(rng.standard_normal(60) + 0.8 * y, 1)  # with ties
    pairs = (score[y][:, None] > score[~y]) + 0.5 * (score[y][:, None] == score[~y])
    variance = pairs.mean(axis=1).var(ddof=1) / y.sum() + pairs.mean(axis=0).var(ddof=1) / (~y).sum()
    auc, low, high = auc_interval(y, score, np.arange(60))
    assert auc == pytest.approx(pairs.mean())
    width = 2.100922 * np.sqrt(variance) / (auc * (1 - auc))
    odds = np.log(auc / (1 - auc)) + np.array([-width, width])
    np.testing.assert_allclose([low, high], 1 / (1 + np.exp(-odds)), rtol=1e-6)


def test_the_interval_covers_the_truth_when_patients_repeat():
    """A patient's four images share presence and score; taken as independent they would promise too much."""
    rng, clusters = np.random.default_rng(2), np.repeat(np.arange(60), 4)
    covered, covered_as_if_independent = 0, 0
    for _ in range(300):
        y = np.arange(60) < 25
        score = rng.standard_normal(60) + 0.7 * y
        y, score = y[clusters], score[clusters] + 0.05 * rng.standard_normal(240)
        truth = 0.6895  # Phi(0.7 / sqrt 2), the repeated part decides
        for groups in (clusters, np.arange(240)):
            _, low, high = auc_interval(y, score, groups)
            if groups is clusters:
                covered += low <= truth <= high
            else:
                covered_as_if_independent += low <= truth <= high
    assert 0.9 <= covered / 300 <= 0.99
    assert covered_as_if_independent / 300 < 0.8


@pytest.mark.parametrize("present", [5, 8, 15])
def test_few_positives_do_not_make_intervals_too_narrow(present):
    """Of 300 chance concepts, as many lie above 0.5 as promised (.025; the normal quantile: .05 with 5) or fewer."""
    rng, who = np.random.default_rng(present), np.repeat(np.arange(100), 2)
    y, found = who < present, []
    for _ in range(300):
        score = rng.standard_normal(100)[who] + rng.standard_normal(200)
        (_, low, high), p = auc_interval(y, score, who), auc_p_value(y, score, who)
        assert (p < 0.05) == (not low <= 0.5 <= high)  # the p-value and the interval are one test
        found.append(low > 0.5)
    assert np.mean(found) <= 0.025 + 2.5 * np.sqrt(0.025 * 0.975 / 300)


@pytest.mark.parametrize(
    ("score", "area", "p"),
    [
        ("in order", 1, 2 / 125_970),  # of the 125,970 sets of 8 of 20
        ("in reverse", 0, 2 / 125_970),
        ("all alike", 0.5, 1),
    ],
)
def test_orders_without_spread_have_no_width(score, area, p):
    y = np.arange(20) < 8
    score = {"in order": y.astype(float), "in reverse": -y.astype(float), "all alike": np.ones(20)}[score]
    assert auc_interval(y, score, np.arange(20)) == (area, area, area)
    assert auc_p_value(y, score, np.arange(20)) == pytest.approx(p)
