"""Plots of speed show the values of their tables."""

import numpy as np
import pandas as pd
import pytest
from benched import FLOORS, STAGES, growth, stages

from mdissect import plots

TABLE = pd.DataFrame(stages()["tables"]["By stage"])


def test_bars_are_the_stages_and_lines_their_floors(ax):
    plots.stage_bars(ax, TABLE)
    assert [tick.get_text() for tick in ax.get_yticklabels()] == list(STAGES)
    assert [bar.get_width() for bar in ax.patches] == list(STAGES.values())
    marks = [part.get_segments()[0][0, 0] for part in ax.collections]
    np.testing.assert_allclose(marks, [STAGES[name] / times for name, times in FLOORS.items()])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["floor"]


def test_without_floors_there_is_no_legend(ax):
    plots.stage_bars(ax, TABLE.assign(**{"times its floor": None}))
    assert ax.get_legend() is None
    assert not ax.collections


def test_lines_go_through_the_points_of_their_number(figure):
    axes = figure.subplots(2, 3)
    plots.growth_panels(axes.flat, pd.DataFrame(growth()))
    soft, calibrated = axes[0, 2].lines
    np.testing.assert_allclose(soft.get_xydata(), [[10, 0.2], [40, 0.8]])
    np.testing.assert_allclose(calibrated.get_xydata(), [[10, 3], [40, 12]])
    np.testing.assert_allclose(axes[1, 0].lines[0].get_xydata(), [[100, 50], [200, 50]])
    assert [tick.get_text() for tick in axes[0, 0].get_xticklabels()] == ["100", "200"]
    assert plots.overprints(figure) == []


def test_other_axes_and_tables_are_errors(figure):
    with pytest.raises(ValueError, match="axes"):
        plots.growth_panels(figure.subplots(1, 3), pd.DataFrame(growth()))
    with pytest.raises(ValueError, match="has no column stage"):
        plots.stage_bars(figure.add_subplot(), pd.DataFrame({"ms an image": [1]}))
