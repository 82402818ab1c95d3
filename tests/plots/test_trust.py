"""Plots of intervals, paired changes and baselines show the values of their tables."""

import numpy as np
import pandas as pd
import pytest

from mdissect import plots
from mdissect.plots.trust import KIND_STYLES, OUTCOME_STYLES
from mdissect.trust.baselines import KINDS
from mdissect.trust.paired import OUTCOMES


def counts() -> pd.DataFrame:
    rows = [("a", "mammography", 5, 3, 8), ("a", "other", 2, 1, 4), ("b", "mammography", 6, 6, 7), ("b", "other", 0, 0, 1)]
    return pd.DataFrame(rows, columns=["layer", "domain", "concepts", "concepts_low", "concepts_high"])


def summary(change: float = 1.0, layers=("a", "b"), **shares: float) -> pd.DataFrame:
    values = {
        "change": change,
        "low": change - 0.5,
        "high": change + 0.25,
        "effect": 0.4,
        "effect_low": 0.1,
        "effect_high": 0.6,
        "rising": 2 / 3,
    }
    shares = dict.fromkeys(OUTCOMES, 0.0) | (shares or {"kept": 1.0})
    return pd.DataFrame([{"layer": layer, **values, **shares} for layer in layers])


def segments(ax) -> list[list[float]]:
    """x, then the two ends of every upright line of an error bar or interval, each once."""
    lines = [s for c in ax.collections if hasattr(c, "get_segments") for s in c.get_segments()]
    return sorted({(round(float(s[0, 0]), 6), *sorted(s[:, 1].round(6).tolist())) for s in lines})


def test_intervals_of_a_stack_stand_on_their_parts(ax):
    plots.interval_bars(ax, {"G": counts(), "M": counts().head(2)}, "domain")
    assert ax.get_xticks() == pytest.approx([-0.2, 0.8, 0.2, 1.2])
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["G", "G", "M", "M"]
    first, second, alone = 0.4 * 0.2, 0.4 * 0.42, 0.4 * 0.3  # to the right of the numbers
    expected = [
        (-0.2 + first, 3, 8),
        (-0.2 + second, 6, 9),  # the upper part: 5 below it
        (0.2 + first, 3, 8),
        (0.2 + second, 6, 9),
        (0.8 + alone, 6, 7),
    ]
    np.testing.assert_allclose(segments(ax), expected, atol=1e-5)


def test_lines_with_intervals_stand_beside_each_other(ax):
    table = pd.DataFrame({"layer": ["a", "b"], "threshold": [1.0, 2.0], "low": [0.5, 1.5], "high": [1.2, 2.8]})
    plots.layer_lines(ax, {"G": table, "M": table})
    np.testing.assert_allclose([line.get_xdata() for line in ax.lines], [[-0.03, 0.97], [0.03, 1.03]])
    assert segments(ax) == [(-0.03, 0.5, 1.2), (0.03, 0.5, 1.2), (0.97, 1.5, 2.8), (1.03, 1.5, 2.8)]


def test_lines_without_intervals_meet(ax):
    table = pd.DataFrame({"layer": ["a", "b"], "threshold": [1.0, 2.0]})
    plots.layer_lines(ax, {"G": table, "M": table})
    assert [line.get_xdata().tolist() for line in ax.lines] == [[0, 1], [0, 1]]
    assert not ax.collections


@pytest.mark.parametrize(("value", "at", "ends"), [("change", 1.0, (0.5, 1.25)), ("effect", 0.4, (0.1, 0.6))])
def test_effects_have_their_intervals(ax, value, at, ends):
    plots.paired_effects(ax, {"C1": summary(), "C2": summary(layers=["b"])}, value)
    marks = {line.get_label(): line for line in ax.lines if line.get_label() in ("C1", "C2")}
    assert set(marks["C1"].get_xdata()) == {at}
    assert marks["C2"].get_ydata() == pytest.approx([1.175])
    drawn = [tuple(s[:, 0]) for c in ax.collections for s in c.get_segments()]
    np.testing.assert_allclose(drawn, [ends] * 3)
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["a", "b"]


def test_outcomes_fill_the_bar(ax):
    tables = {"C1": summary(kept=0.5, changed=0.47, lost=0.03), "C2": summary(kept=1.0)}
    plots.paired_outcomes(ax, tables)
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["a  C1", "a  C2", "b  C1", "b  C2"]
    ends = [0.0] * 4
    for patch in ax.patches:
        row = round(patch.get_y() + patch.get_height() / 2)
        assert patch.get_x() == pytest.approx(ends[row])
        ends[row] += patch.get_width()
    assert ends == pytest.approx([1] * 4)
    assert sorted({text.get_text() for text in ax.texts}) == ["100 %", "47 %", "50 %"]  # 3 % has no room
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        "same concept",
        "another category",
        "label no longer counts",
    ]


def test_every_kind_and_outcome_has_a_style_of_its_own():
    assert set(KIND_STYLES) == {"model", *KINDS}
    assert set(OUTCOME_STYLES) == set(OUTCOMES)
    for styles in (KIND_STYLES, OUTCOME_STYLES):
        assert len(set(styles.values())) == len(styles)


def test_baselines_stand_below_the_model(ax):
    setups = ["M", "M untrained", "M random dissector", "M constant"]
    table = pd.DataFrame({"setup": setups, "kind": ["model", *KINDS], "better": [0.9, 0.5, 0.25, np.nan]})
    plots.baseline_bars(ax, table, "better", chance=0.05)
    assert [patch.get_width() for patch in ax.patches] == [0.9, 0.5, 0.25]
    assert [text.get_text().strip() for text in ax.texts] == ["0.90", "0.50", "0.25", "none", "chance"]
    assert ax.get_ylim() == (3.5, -0.5)
    assert [tick.get_text() for tick in ax.get_yticklabels()] == setups
