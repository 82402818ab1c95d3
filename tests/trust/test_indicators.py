"""What tells right labels from wrong ones: the AUC of each column, and how far the first is ahead."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from mdissect.trust import indicators


def made(seed: int = 0, n: int = 60) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two layers of labels, half of them right; "good" tells them, "q" a little (falling), "blind" does not."""
    rng = np.random.default_rng(seed)
    truth = pd.DataFrame({"layer": np.repeat(["a", "b"], n), "neuron": [*range(n)] * 2, "concept": "mass"})
    right = rng.random(2 * n) < 0.5
    table = truth.drop(columns="concept").assign(
        good=right + 0.5 * rng.standard_normal(2 * n), q=-0.5 * right + rng.standard_normal(2 * n), blind=rng.random(2 * n)
    )
    return table, truth.assign(auc=np.where(right, 0.9, 0.6))


def test_auc_is_scikit_learns_averaged_over_layers():
    table, truth = made()
    found = indicators(table, truth, ["good", "q", "blind"], n_boot=50).set_index("indicator")
    for column, sign in (("good", 1), ("q", -1), ("blind", 1)):
        each = [
            roc_auc_score(truth.auc[truth.layer == layer] >= 0.8, sign * table[column][table.layer == layer]) for layer in "ab"
        ]
        assert found.auc[column] == pytest.approx(np.mean(each))
        assert found.ahead[column] == pytest.approx(found.auc["good"] - found.auc[column])
    assert found.loc["good", ["ahead", "ahead_low", "ahead_high"]].tolist() == [0, 0, 0]
    assert (found.neurons == 120).all()
    assert (found.right == (truth.auc >= 0.8).sum()).all()


@pytest.mark.slow
def test_intervals_hold_what_other_neurons_give():
    expected, covered, told = {"good": 0.921, "q": 0.638, "blind": 0.5}, [], []  # Phi(d / sqrt 2) of d = 2, 0.5, 0
    for seed in range(40):
        found = indicators(*made(seed), list(expected), n_boot=200).set_index("indicator")
        covered.append([found.low[c] <= auc <= found.high[c] for c, auc in expected.items()])
        told.append((found.ahead_low[["q", "blind"]] > 0).all())
    assert np.mean(covered) > 0.88
    assert np.mean(told) > 0.95


def test_layers_with_too_few_right_or_wrong_labels_do_not_count():
    table, truth = made()
    truth.loc[truth.layer == "b", "auc"] = 0.9
    found = indicators(table, truth, "good", n_boot=20)
    assert found.layers.tolist() == [1]
    assert found.neurons.tolist() == [60]
    none = indicators(table, truth.assign(auc=0.5), ["good", "q"], n_boot=20)
    assert none[["auc", "low", "high", "ahead"]].isna().all(axis=None)
    assert none.layers.tolist() == [0, 0]
    assert len(indicators(table.head(0), truth.head(0), ["good"], n_boot=20)) == 1


def test_neurons_count_where_all_numbers_are_known():
    table, truth = made()
    table.loc[:9, "q"] = np.nan
    found = indicators(table, truth, ["good", "q"], n_boot=20)
    assert (found.neurons == 110).all()
    assert indicators(table, truth, ["good"], n_boot=20).neurons[0] == 120


def test_mistakes_are_named():
    table, truth = made()
    with pytest.raises(ValueError, match="table has no column predicts, similarity; it has layer, neuron, good, q, blind"):
        indicators(table, truth)
    with pytest.raises(ValueError, match=r"columns=\[\] must be a list of str, at least one"):
        indicators(table, truth, [])
    with pytest.raises(ValueError, match="several rows for a neuron"):
        indicators(pd.concat([table, table]), truth, ["good"])
    with pytest.raises(ValueError, match="truth has no column auc"):
        indicators(table, truth.drop(columns="auc"), ["good"])
