"""Plots of contributions and ablations show the values of their tables, and nothing over each other."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.patches import Rectangle

from mdissect import plots


def steps(values, start=-0.5) -> pd.DataFrame:
    ends = start + np.cumsum([0, *values])
    rows = [("start", "bias", 0, start, 0.0, start)]
    rows += [
        ("group", f"a concept {i}", i + 1, v, a, b) for i, (v, a, b) in enumerate(zip(values, ends, ends[1:], strict=False))
    ]
    rows += [("end", "logit", 0, ends[-1], 0.0, ends[-1])]
    return pd.DataFrame(rows, columns=["kind", "group", "neurons", "contribution", "start", "end"])


def ablated(n=4, **columns) -> pd.DataFrame:
    rows = {"group": [f"group {i}" for i in range(n)], "neurons": range(1, n + 1), "metric": "auc"}
    rows |= {"change": -0.01 * np.arange(n), "low": -0.01 * np.arange(n) - 0.01, "high": 0.005}
    rows |= {"random": -0.001, "random_low": -0.004, "random_high": 0.002}
    return pd.DataFrame(rows | columns)


def bars(ax) -> list[tuple[float, float]]:
    found = [one for one in ax.patches if isinstance(one, Rectangle)]
    return [(round(one.get_x(), 6), round(one.get_x() + one.get_width(), 6)) for one in found]


def words(ax) -> list[str]:
    return [label.get_text() for label in ax.get_yticklabels()]


@pytest.mark.parametrize("values", [[2.0, -0.75, 0.25], [-1.0], [], [0.0, 0.0], [1e-6, 300.0]])
def test_a_waterfall_has_a_bar_from_the_start_to_the_end_of_every_step(figure, values):
    ax, table = figure.add_subplot(), steps(values)
    plots.waterfall(ax, table, "logit of mass")
    assert bars(ax) == [(min(r.start, r.end).__round__(6), max(r.start, r.end).__round__(6)) for r in table.itertuples()]
    assert words(ax) == ["bias", *(f"a concept {i} ({i + 1})" for i in range(len(values))), "logit"]
    assert ax.get_xlabel() == "logit of mass: sum of weight times activation"
    assert plots.overprints(figure) == []
    low, high = ax.get_xlim()
    assert all(low <= left and right <= high for left, right in bars(ax))


def test_what_raises_and_what_lowers_look_different(ax):
    plots.waterfall(ax, steps([2.0, -1.0]))
    up, down = ax.patches[1], ax.patches[2]
    assert up.get_facecolor() != down.get_facecolor()
    assert up.get_hatch() != down.get_hatch()


def test_a_forest_shows_changes_intervals_and_the_band_of_random_sets(figure):
    ax = figure.add_subplot()
    plots.ablation_forest(ax, ablated())
    assert bars(ax) == [(-0.004, 0.002)] * 4
    lines = [one.get_segments()[0][:, 0].tolist() for one in ax.collections]
    assert lines == [pytest.approx([-0.01 * i - 0.01, 0.005]) for i in range(4)]
    assert words(ax) == [f"group {i} ({i + 1})" for i in range(4)]
    assert "change of the AUC" in ax.get_xlabel()
    assert plots.overprints(figure) == []


def test_several_classifiers_are_named_and_look_as_in_every_figure(figure):
    ax = figure.add_subplot()
    plots.ablation_forest(ax, ablated(setup=["C1", "C1", "C3", "C3"], task=["density"] * 2 + ["mass"] * 2))
    assert words(ax)[0] == "C1, density: group 0 (1)"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["C1", "C3", "95 % of the random sets"]
    assert plots.overprints(figure) == []


def test_one_patients_change_has_no_interval(ax):
    plots.ablation_forest(ax, ablated(1, low=np.nan, high=np.nan))
    assert len(ax.collections) == 0


def test_other_tables_are_refused(ax):
    with pytest.raises(ValueError, match="table has no column kind"):
        plots.waterfall(ax, ablated())
    with pytest.raises(ValueError, match="table has no column metric"):
        plots.ablation_forest(ax, steps([1.0]))
