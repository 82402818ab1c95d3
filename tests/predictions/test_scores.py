"""Scores of several sets at once are those of each, averaged."""

import numpy as np
import pytest

from mdissect.predictions.scores import METRICS, mean_scores
from mdissect.train.metrics import resampled_scores

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("n_classes", [2, 4])
def test_the_same_as_one_by_one(metric, n_classes):
    rng = np.random.default_rng(0)
    y, weights = rng.integers(0, n_classes, 50), rng.integers(0, 3, (20, 50)).astype(float)
    probability = rng.dirichlet(np.ones(n_classes), (7, 50)).round(1)  # with ties
    expected = np.mean([resampled_scores(y, one, weights)[metric] for one in probability], axis=0)
    np.testing.assert_allclose(mean_scores(y, probability, weights, metric), expected, rtol=1e-6)


def test_a_resample_without_a_class_has_no_auc():
    y, probability = np.array([0, 0, 1]), np.array([[[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]]])
    found = mean_scores(y, probability, np.array([[1.0, 1, 0], [1, 1, 1]]), "auc")
    assert np.isnan(found[0])
    assert found[1] == 1
