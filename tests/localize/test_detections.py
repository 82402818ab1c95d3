"""Average precision of detected boxes: worked by hand, against scikit-learn, and on degenerate input."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from mdissect.localize import detection_scores
from mdissect.localize.detections import average_precision, box_ious, matched
from mdissect.localize.resampled import resampled_counts


def box(left, score=None, top=0, side=10, finding="mass"):
    edges = {"finding": finding, "xmin": left, "ymin": top, "xmax": left + side, "ymax": top + side}
    return edges if score is None else {**edges, "score": score}


def area(detected, marked, least=0.5):
    return float(average_precision(matched(detected, marked, least))[0])


@pytest.mark.parametrize(
    ("detected", "marked", "expected"),
    [
        ([[box(0, 0.9)]], [[box(0)]], 1.0),
        ([[box(50, 0.9)]], [[box(0)]], 0.0),
        ([[]], [[box(0)]], 0.0),
        ([[]], [[]], np.nan),
        ([[box(0, 0.9)]], [[]], np.nan),
        ([[box(0, 0.9), box(1, 0.8)]], [[box(0)]], 1.0),  # a second detection of one box is wrong, but comes later
        ([[box(0, 0.8), box(1, 0.9)]], [[box(0)]], 1.0),  # ... and the first takes the box, though it meets it less well
        ([[box(50, 0.9), box(0, 0.8)]], [[box(0)]], 0.5),
        ([[box(0, 0.9), box(50, 0.8), box(20, 0.7)]], [[box(0), box(20)]], 0.5 * 1 + 0.5 * 2 / 3),
        ([[box(0, 0.9)]], [[box(0), box(20)]], 0.5),  # one of two found
        ([[box(0, 0.9)], [box(0, 0.95)]], [[box(0)], []], 0.5),  # a stronger detection in an image without any
        ([[box(0, 0.5), box(50, 0.5)]], [[box(0)]], 0.5),  # equal scores count together
        ([[box(0, 0.5)], [box(0, 0.5)], [box(0, 0.5)]], [[box(0)], [], [box(0)]], 2 / 3),
    ],
)
def test_by_hand(detected, marked, expected):
    assert area(detected, marked) == pytest.approx(expected, nan_ok=True)


def test_a_detection_takes_the_free_box_that_it_meets_best():
    marked = [[box(0), box(4)]]
    assert matched([[box(3, 0.9), box(4, 0.8)]], marked, 0.25).right.tolist() == [True, True]
    assert matched([[box(4, 0.9), box(4, 0.8), box(4, 0.7)]], marked, 0.25).right.tolist() == [True, True, False]
    assert matched([[box(4, 0.9), box(4, 0.8)]], marked, 0.5).right.tolist() == [True, False]


def test_the_least_iou_is_included():
    half = {**box(0, 0.9), "xmax": 5}  # half of the box
    assert area([[half]], [[box(0)]], 0.5) == 1
    assert area([[half]], [[box(0)]], 0.51) == 0


def test_ious_by_hand():
    first = np.array([[0, 0, 10, 10], [0, 0, 0, 10]], float)
    second = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30]], float)
    np.testing.assert_allclose(box_ious(first, second), [[1, 1 / 3, 0], [0, 0, 0]])


@pytest.mark.parametrize("seed", range(8))
def test_as_scikit_learn_has_it_times_the_recall(seed):
    """Also with ties, and whatever the order in which boxes are given."""
    rng = np.random.default_rng(seed)
    marked = [[box(30 * i) for i in range(rng.integers(0, 4))] for _ in range(12)]
    detected = [
        [box(30 * i + rng.integers(0, 9), float(rng.integers(1, 6)) / 5) for i in range(rng.integers(0, 5))] for _ in marked
    ]
    found = matched(detected, marked, 0.25)
    recall = found.right.sum() / found.marked.sum()
    expected = average_precision_score(found.right, found.scores) * recall if found.right.any() else 0.0
    assert average_precision(found)[0] == pytest.approx(expected)
    shuffled = [[own[i] for i in rng.permutation(len(own))] for own in detected]
    assert area(shuffled, marked, 0.25) == pytest.approx(expected)
    order = rng.permutation(len(marked))
    assert area([detected[i] for i in order], [marked[i] for i in order], 0.25) == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(8))
def test_images_that_count_twice_are_two_images(seed):
    rng = np.random.default_rng(seed)
    marked = [[box(30 * i) for i in range(rng.integers(0, 3))] for _ in range(6)]
    detected = [[box(30 * i + rng.integers(0, 9), float(rng.random())) for i in range(rng.integers(0, 4))] for _ in marked]
    times = rng.integers(0, 3, 6)
    repeated = [i for i, n in enumerate(times) for _ in range(n)]
    expected = area([detected[i] for i in repeated], [marked[i] for i in repeated], 0.5)
    found = average_precision(matched(detected, marked, 0.5), times[None])[0]
    assert found == pytest.approx(expected, nan_ok=True)


def test_the_table():
    marked = [[box(0), box(40, finding="Suspicious Calcification")], [box(0)], []]
    detected = [[box(0, 0.9)], [box(30, 0.5)], [box(0, 0.4, finding="calcification")]]
    table = detection_scores(detected, marked, ["mass", "calcification", "implant"], ["A", "B", "C"], [0.25, 0.5])
    at = table[table["iou"] == 0.25].set_index("finding")
    expected = {"mass": 0.5, "calcification": 0.0, "implant": np.nan, "mean": 0.25}
    assert at["average_precision"].to_dict() == pytest.approx(expected, nan_ok=True)
    assert at["n_boxes"].to_dict() == {"mass": 2, "calcification": 1, "implant": 0, "mean": 3}
    assert (at.loc["mass", "low"], at.loc["mass", "high"]) == (0.0, 1.0)
    alone = detection_scores(detected[:1], marked[:1], ["mass"], ["A"], [0.25])
    assert np.isnan(alone["low"]).all()  # one patient cannot be resampled
    assert alone["average_precision"].tolist() == [1.0, 1.0]


def test_a_patients_images_are_drawn_together():
    for counts in resampled_counts(["A", "B", "A", "C"], 50):
        assert (counts[:, 0] == counts[:, 2]).all()
        assert (counts[:, [0, 1, 3]].sum(axis=1) == 3).all()


@pytest.mark.parametrize(
    ("detected", "message"),
    [
        ([[box(0)]], r"detected\[0\]=.* must have .*score; it lacks score"),
        ([[box(0, float("nan"))]], r"detected\[0\]=.* must have finite edges and score"),
        ([[], []], "detected has 2, marked 1, patients 1"),
    ],
)
def test_what_cannot_be_scored(detected, message):
    with pytest.raises(ValueError, match=message):
        detection_scores(detected, [[box(0)]], ["mass"], ["A"])
