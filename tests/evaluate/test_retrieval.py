"""Retrieval: hand-worked ranks, ties in random order, several right candidates, reports that are one."""

from itertools import permutations

import numpy as np
import pytest
from evaluated import Planted, planted_probe

from mdissect.embed import embed_images
from mdissect.evaluate import found_within
from mdissect.evaluate.retrieval import WITHIN, numbered, retrieval_rows
from mdissect.evaluate.scoring import Resamples

pytestmark = pytest.mark.slow

CASES = [  # similarities of one query, which are right, k, expected
    ([0.9, 0.5, 0.1], [1, 0, 0], 1, 1.0),
    ([0.9, 0.5, 0.1], [0, 1, 0], 1, 0.0),
    ([0.9, 0.5, 0.1], [0, 1, 0], 2, 1.0),
    ([0.9, 0.5, 0.1], [0, 0, 1], 2, 0.0),
    ([0.9, 0.5, 0.1], [0, 0, 1], 3, 1.0),
    ([0.9, 0.5, 0.1], [0, 1, 1], 2, 1.0),  # the better of two right ones counts
    ([0.5, 0.5], [1, 0], 1, 1 / 2),
    ([0.5, 0.5, 0.5], [0, 0, 1], 1, 1 / 3),
    ([0.5, 0.5, 0.5], [0, 0, 1], 2, 2 / 3),
    ([0.5, 0.5, 0.5], [0, 1, 1], 1, 2 / 3),
    ([0.9, 0.5, 0.5], [0, 0, 1], 1, 0.0),
    ([0.9, 0.5, 0.5], [0, 0, 1], 2, 1 / 2),
    ([0.5, 0.5 + 1e-8, 0.1], [1, 0, 0], 1, 1 / 2),  # a difference of rounding
    ([0.5, 0.5 + 1e-4, 0.1], [1, 0, 0], 1, 0.0),
    ([0.5], [1], 1, 1.0),
    ([0.5, 0.1], [1, 0], 10, 1.0),  # k beyond the candidates
    ([0.5, 0.1], [0, 0], 1, np.nan),
    ([-0.5, -0.9], [1, 0], 1, 1.0),
]


@pytest.mark.parametrize(("sims", "relevant", "k", "expected"), CASES)
def test_hand_worked_ranks(sims, relevant, k, expected):
    found = found_within(np.array([sims]), np.array([relevant], dtype=bool), k)
    np.testing.assert_allclose(found, [expected], atol=1e-12)


def test_ties_are_the_mean_over_all_orders():
    rng = np.random.default_rng(0)
    for _ in range(20):
        sims = rng.integers(0, 3, 6) / 2
        relevant = rng.random(6) < 0.4
        relevant[0] = True
        for k in (1, 2, 4):
            hits = []
            for order in permutations(range(6)):
                ranked = sorted(order, key=lambda i: -sims[i])  # stable: ties as they come
                hits.append(relevant[ranked[:k]].any())
            assert found_within(sims[None], relevant[None], k)[0] == pytest.approx(np.mean(hits))


def test_the_order_of_the_candidates_changes_nothing():
    rng = np.random.default_rng(1)
    sims, relevant, order = rng.normal(size=(5, 9)).round(1), rng.random((5, 9)) < 0.3, rng.permutation(9)
    np.testing.assert_allclose(found_within(sims, relevant, 3), found_within(sims[:, order], relevant[:, order], 3))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((np.zeros((2, 3)), np.zeros((3, 2), bool), 1), "must be two arrays (n_queries, n_candidates)"),
        ((np.full((1, 2), np.nan), np.ones((1, 2), bool), 1), "2 similarities that are not finite"),
        ((np.zeros((1, 2)), np.ones((1, 2), bool), 0), "k=0 must be"),
        ((np.zeros((1, 2)), np.ones((1, 2), bool), 1.5), "k=1.5 must be"),
        (([[1]], np.ones((1, 1), bool), 1), "sims=[[1]] must be"),
    ],
)
def test_wrong_inputs_are_one_error(given, message):
    with pytest.raises((TypeError, ValueError)) as caught:
        found_within(*given)
    assert message in str(caught.value)


def rows_of(dissector, reports, images, patients=None):
    patients = patients or [f"p{i}" for i in range(len(reports))]
    found = retrieval_rows(dissector, images, reports, patients, Resamples(patients, 50), 0.95)
    return {(row["task"], row["metric"]): row for row in found}


def reported(n: int, noise: float = 0.0):
    """Images that look as their reports say."""
    reports = [f"report {i}" for i in range(n)]
    rows = np.array([Planted.direction(text) for text in reports])
    rows = 0.4 * rows / np.linalg.norm(rows, axis=1, keepdims=True)
    probe = planted_probe(rows + noise * np.random.default_rng(0).normal(size=rows.shape))
    return reports, np.concatenate(list(embed_images(Planted(), probe, device="cpu")))


def test_images_that_look_as_their_reports_say_find_them():
    reports, images = reported(30)
    found = rows_of(Planted(), reports, images)
    assert {key: row["value"] for key, row in found.items()} == {
        (task, f"R@{k}"): 1.0 for task in ("image to report", "report to image") for k in WITHIN
    }
    assert found["image to report", "R@5"]["chance"] == pytest.approx(5 / 30)
    assert {row["n"] for row in found.values()} == {30}


def test_a_blind_model_finds_what_chance_finds():
    reports, _ = reported(30)
    found = rows_of(Planted(), reports, np.tile([1.0, 0, 0, 0], (30, 1)))
    for k in WITHIN:
        row = found["report to image", f"R@{k}"]
        assert row["value"] == pytest.approx(k / 30) == row["chance"]
        assert found["image to report", f"R@{k}"]["value"] == pytest.approx(k / 30)


def test_equal_reports_are_right_for_each_others_images():
    found = rows_of(Planted(), ["finding", "other", "other", "nothing"], np.eye(4))
    # The third image is as far from all four texts, two of which are right.
    assert found["image to report", "R@1"]["value"] == pytest.approx((1 + 1 + 1 / 2 + 1) / 4)
    assert found["report to image", "R@1"]["value"] == 1.0
    assert found["report to image", "R@1"]["chance"] == pytest.approx((1 + 2 + 2 + 1) / 4 / 4)


def test_reports_that_are_one_to_the_dissector_are_one():
    class Alike(Planted):
        def alike(self, texts):
            return [tuple(text for text in texts if text.casefold() == "finding")]

    number, texts = numbered(Alike(), ["Finding", "other", "finding", "Finding"])
    assert number.tolist() == [0, 1, 0, 0]
    assert texts == ["Finding", "other"]


def test_the_interval_is_over_patients():
    reports, images = reported(40, noise=0.15)
    found = rows_of(Planted(), reports, images, [f"p{i // 4}" for i in range(40)])
    row = found["image to report", "R@1"]
    assert row["patients"] == 10
    assert 0 < row["low"] < row["value"] < row["high"] < 1
    alone = rows_of(Planted(), reports, images, ["p"] * 40)["image to report", "R@1"]
    assert np.isnan([alone["low"], alone["high"]]).all()
