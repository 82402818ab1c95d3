"""Plots of learned and missed concepts show the values of their tables."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from mdissect import plots
from mdissect.plots import against_chance, coverage_bars, margin_curves, word_columns

FINDINGS, LOCATIONS = "Findings and characterizations", "Breast locations"


def test_bars_of_learned_and_missed(ax):
    table = pd.DataFrame({"broad_category": [FINDINGS, "my own"], "learned": [5, 0], "missed": [3, 7]})
    assert coverage_bars(ax, table) is ax
    assert [bar.get_width() for bar in ax.patches] == [5, 3, 0, 7]
    assert [text.get_text() for text in ax.texts] == ["5 learned", "3 missed", "0 learned", "7 missed"]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == [FINDINGS, "my own"]
    learned, missed, *_ = ax.patches
    assert to_hex(learned.get_facecolor()) == plots.CATEGORY_COLOURS[FINDINGS].lower() == to_hex(missed.get_edgecolor())
    assert missed.get_facecolor()[3] == 0  # outlined only
    top, bottom = (bar.get_y() for bar in ax.patches[::2])
    assert ax.transData.transform((0, top))[1] > ax.transData.transform((0, bottom))[1]


def words(*rows):
    return pd.DataFrame(rows, columns=["concept", "shown_by", "broad_category"])


def shown(ax) -> list[str]:
    return [text.get_text().strip() for text in ax.texts]


def test_words_under_their_headings(ax):
    table = words(
        ("mass", "one mammogram", FINDINGS),
        ("round", "one mammogram", f"{FINDINGS}; Interpretations"),
        ("low axilla", "one mammogram", LOCATIONS),
        ("cyst", "ultrasound", ""),
    )
    assert word_columns(ax, table, n_columns=1, marked={"cyst"}) is ax
    assert shown(ax) == [
        "one mammogram (3)", f"{FINDINGS} (2)", "mass", "round", f"{LOCATIONS} (1)", "low axilla",
        "ultrasound (1)", "ungrouped (1)", "cyst *",
    ]  # fmt: skip
    colours = {text.get_text(): to_hex(text.get_color()) for text in ax.texts}
    assert colours[f"{FINDINGS} (2)"] == plots.text_colour(plots.CATEGORY_COLOURS[FINDINGS])
    assert colours["ungrouped (1)"] == plots.text_colour(plots.UNGROUPED)
    heights = [text.get_position()[1] for text in ax.texts]
    assert heights == sorted(heights, reverse=True)


@pytest.mark.parametrize("n_columns", [1, 2, 3, 4, 7])
def test_columns_hold_all_words_and_end_with_none_of_the_headings(ax, n_columns):
    groups = [FINDINGS] * 9 + [LOCATIONS] * 2 + [FINDINGS] * 12
    table = words(*((f"word {i}", "one" if i < 11 else "two", group) for i, group in enumerate(groups)))
    word_columns(ax, table, n_columns=n_columns)
    assert [text for text in shown(ax) if text.startswith("word")] == table.concept.tolist()
    columns = {}
    for text in ax.texts:
        columns.setdefault(int(text.get_position()[0] * n_columns + 1e-9), []).append(text.get_text())
    assert len(columns) <= n_columns
    assert all(column[-1].startswith("word") for column in columns.values())
    assert not any(column[0].startswith("word") for column in columns.values())


def test_long_words_are_broken(ax):
    long = "fine linear branching calcification in a segmental distribution"
    word_columns(ax, words((long, "one mammogram", FINDINGS)), n_columns=1, marked={long})
    assert " ".join(shown(ax)[2:]) == f"{long} *"
    assert len(shown(ax)) == 4


def test_no_words(ax):
    word_columns(ax, words())
    assert shown(ax) == ["no concept is left"]


def test_shares_beside_those_of_chance(ax):
    assert against_chance(ax, ["all", "some"], [0.4, 0.9], [0.25, 0.95]) is ax
    chance, found = ax.get_lines()
    assert found.get_xdata().tolist() == [0.4, 0.9]
    assert chance.get_xdata().tolist() == [0.25, 0.95]
    assert [text.get_text() for text in ax.texts] == ["40%", "25%", "90%", "95%"]
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
