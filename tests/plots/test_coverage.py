"""Plots of learned and missed concepts show the values of their tables."""

import numpy as np
import pandas as pd
from matplotlib.colors import to_hex

from mdissect import plots
from mdissect.plots import against_chance, learned_shares, margin_curves, missed_bars

FINDINGS, LOCATIONS = "Findings and characterizations", "Breast locations"


def test_shares_of_the_learned(ax):
    table = pd.DataFrame({"broad_category": [FINDINGS, "my own"], "learned": [6, 0], "missed": [2, 7], "total": [8, 7]})
    assert learned_shares(ax, table) is ax
    assert [bar.get_width() for bar in ax.patches] == [1, 0.75, 1, 0]
    assert [text.get_text() for text in ax.texts][:2] == ["6 of 8 learned", "0 of 7 learned"]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == [FINDINGS, "my own"]
    every, learned, *_ = ax.patches
    assert to_hex(learned.get_facecolor()) == plots.CATEGORY_COLOURS[FINDINGS].lower() == to_hex(every.get_edgecolor())
    assert every.get_facecolor()[3] == 0  # outlined only
    top, bottom = (bar.get_y() for bar in ax.patches[::2])
    assert ax.transData.transform((0, top))[1] > ax.transData.transform((0, bottom))[1]
    assert plots.overprints(ax.figure) == []


def test_missed_concepts_by_what_shows_them(ax):
    rows = [(FINDINGS, "one", 3), (FINDINGS, "none", 1), (LOCATIONS, "one", 0), (LOCATIONS, "none", 2)]
    assert missed_bars(ax, pd.DataFrame(rows, columns=["broad_category", "shown_by", "n"])) is ax
    assert [bar.get_width() for bar in ax.patches] == [3, 0, 1, 2]
    assert [bar.get_x() for bar in ax.patches] == [0, 0, 3, 0]
    assert [text.get_text() for text in ax.texts] == ["3", "1", "2"]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["one (3)", "none (3)"]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == [FINDINGS, LOCATIONS]


def test_intervals_of_the_learned_and_the_missed(ax):
    bounds = {"learned_low": [4], "learned_high": [7]}
    learned_shares(ax, pd.DataFrame({"broad_category": [FINDINGS], "learned": [6], "missed": [2], "total": [8], **bounds}))
    assert ax.texts[0].get_text() == "6 of 8 learned (4 to 7)"
    ends = ax.collections[0].get_segments()[0]
    assert ends[:, 0].tolist() == [0.5, 0.875]
    other = ax.figure.add_subplot()
    rows = [(FINDINGS, "one", 3, 2, 5), (FINDINGS, "none", 4, 3, 6), (LOCATIONS, "one", 1, np.nan, np.nan)]
    missed_bars(other, pd.DataFrame(rows, columns=["broad_category", "shown_by", "n", "low", "high"]))
    spans = [tuple(one.get_segments()[0][:, 0]) for one in other.collections[::2]]
    assert spans == [(2, 5), (6, 9)]  # from the left edge of each part


def test_low_parts_have_their_numbers_beside_them(ax):
    rows = [(FINDINGS, "one", 300), (FINDINGS, "some", 2), (FINDINGS, "none", 1), (LOCATIONS, "none", 1)]
    missed_bars(ax, pd.DataFrame(rows, columns=["broad_category", "shown_by", "n"]))
    assert sorted(text.get_text() for text in ax.texts if text.get_text()) == ["1", "1", "2", "300"]
    assert plots.overprints(ax.figure) == []


def test_shares_beside_those_of_chance(ax):
    assert against_chance(ax, ["all", "some"], [0.4, 0.9], [0.25, 0.95]) is ax
    chance, found = ax.get_lines()
    assert found.get_xdata().tolist() == [0.4, 0.9]
    assert chance.get_xdata().tolist() == [0.25, 0.95]
    assert [text.get_text() for text in ax.texts] == ["40 %", "25 %", "90 %", "95 %"]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["all", "some"]
    bottom, top = ax.get_ylim()
    assert bottom > top  # the first at the top


def test_a_margin_curve_is_the_share_at_or_above(ax):
    margins = {"said": pd.Series([0.5, -1.0, 2.0, 0.0]), "never said": [-1.0, -1.0]}
    assert margin_curves(ax, margins) is ax
    curve = ax.get_lines()[0]
    x, y = curve.get_xdata(), curve.get_ydata()
    expected = {-1.5: 1.0, -1.0: 1.0, -0.5: 0.75, 0.0: 0.75, 0.5: 0.5, 1.0: 0.25, 2.0: 0.25, 2.5: 0.0}
    for margin, share in expected.items():
        at = np.searchsorted(x, margin, side="left")  # a step "pre" holds the value of the next point
        assert (y[at] if at < len(y) else 0.0) == share, margin
    assert ax.get_legend_handles_labels()[1] == ["said (4)", "never said (2)"]


def test_the_spread_over_trainings_is_drawn_and_told(ax):
    table = pd.DataFrame({"broad_category": ["Findings and characterizations"], "learned": [5], "missed": [15], "total": [20]})
    learned_shares(ax, table.assign(learned_least=[3], learned_most=[8]))
    assert [0.15, 0.4] in [list(line.get_xdata()) for line in ax.get_lines()]
    assert "5 of 20 learned\ntrainings 3 to 8" in [text.get_text() for text in ax.texts]


def test_a_threshold_s_spread_over_trainings_has_a_line_from_the_least_to_the_most(ax):
    tau = pd.DataFrame({"layer": ["bn1", "bn2"], "threshold": [2.0, 3.0]})
    plots.layer_lines(ax, {"M": tau.assign(threshold_least=[1.5, 2.5], threshold_most=[2.0, 3.5]), "G": tau})
    (spread,) = [one for one in ax.collections if one.get_label() == "_nolegend_" or len(one.get_segments()) == 2]
    assert [sorted(segment[:, 1]) for segment in spread.get_segments()] == [[1.5, 2.0], [2.5, 3.5]]
