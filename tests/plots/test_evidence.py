"""Plots of prediction, indicators, held-out truth and the dissector's card show the values of their tables."""

import numpy as np
import pandas as pd
import pytest

from mdissect import plots
from mdissect.plots.evidence import PREDICTORS


def marks(ax) -> dict[str, tuple[list[float], list[float]]]:
    """x and y of each labelled mark."""
    return {
        line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in ax.lines if line.get_marker() != "None"
    }


def test_ranges_are_the_quantiles_over_neurons(ax):
    values = np.linspace(0, 1, 11)
    tables = {name: pd.DataFrame({"neuron": range(11), **dict.fromkeys(PREDICTORS, values)}) for name in ("M", "G")}
    tables["G"].loc[0, "ridge"] = np.nan
    plots.predicted_ranges(ax, tables)
    assert set(marks(ax)) == {words for words, _, _ in PREDICTORS.values()}
    x, y = marks(ax)["label"]
    assert x == pytest.approx([0.5, 0.5])
    assert np.diff(y) == pytest.approx([1])
    assert marks(ax)["all concepts (ridge)"][0] == pytest.approx([0.5, 0.55])
    ends = [tuple(s[:, 0]) for c in ax.collections for s in c.get_segments()]
    assert ends[0] == pytest.approx((0.1, 0.9))
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["M", "G"]


def test_a_setup_without_labels_has_no_marks(ax):
    plots.predicted_ranges(ax, {"M": pd.DataFrame({"neuron": [0], **{one: [np.nan] for one in PREDICTORS}})})
    assert all(len(x) == 0 for x, _ in marks(ax).values())


def test_indicators_stand_in_rows_with_their_intervals(ax):
    table = pd.DataFrame({"indicator": ["predicts", "q"], "auc": [0.9, 0.7], "low": [0.85, 0.6], "high": [0.95, 0.8]})
    plots.indicator_points(ax, {"M": table, "G": table.tail(1)})
    assert marks(ax)["M"][0] == [0.9, 0.7]
    assert marks(ax)["G"][0] == [0.7]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["prediction of unseen patients", "q against chance"]
    ends = sorted(tuple(s[:, 0]) for c in ax.collections for s in c.get_segments())
    assert ends == [(0.6, 0.8), (0.6, 0.8), (0.85, 0.95)]


def test_held_out_truth_has_a_mark_for_each_rule(ax):
    rows = [("a", "published", 0.7), ("a", "best concept", 0.9), ("b", "published", 0.6), ("b", "best concept", 0.8)]
    table = pd.DataFrame(rows, columns=["layer", "rule", "auc"]).assign(low=0.5, high=1.0)
    plots.held_out_points(ax, table)
    assert marks(ax)["published"] == ([0.7, 0.6], pytest.approx([-0.2, 0.8]))
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["a", "b"]


def test_cards_show_the_share_and_what_random_axes_reach(ax):
    table = pd.DataFrame({"layer": ["a"], "share": [0.5], "low": [0.4], "high": [0.6], "random_share": [0.1]})
    plots.dissector_cards(ax, {"M": table, "M random dissector": table.assign(share=0.0)})
    assert marks(ax)["M"][0] == [0.5]
    ends = sorted(tuple(s[:, 0]) for c in ax.collections for s in c.get_segments())
    assert ends == [(0, 0.1), (0, 0.1), (0.4, 0.6), (0.4, 0.6)]
    assert ax.get_xlim() == (0, 1)
