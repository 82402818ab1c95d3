"""Plots of the causal test show the values of their tables."""

import numpy as np
import pandas as pd
import pytest

from mdissect import plots


def shares(**columns) -> pd.DataFrame:
    rows = {"rule": ["published", "calibrated"], "share": [0.5, 0.75], "low": [0.4, 0.7], "high": [0.6, 0.8]}
    return pd.DataFrame(rows | {"chance": [0.2, 0.3]} | columns)


def test_a_grid_writes_strong_effects_and_frames_what_labels_name(ax):
    matrix = pd.DataFrame({"mass (3)": [1.2, -0.4], "implant (5)": [0.01, np.nan]}, index=["mass", "implant"])
    plots.effect_grid(ax, matrix)
    assert sorted(text.get_text() for text in ax.texts) == ["1.2", "−0.4"]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["mass (3)", "implant (5)"]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["mass", "implant"]
    frames = {(line.get_xdata().mean().round(), line.get_ydata().mean().round()) for line in ax.lines}
    assert len(frames) == len(ax.lines) == 2
    assert ax.images[0].get_clim() == (-1.2, 1.2)


@pytest.mark.parametrize("matrix", [pd.DataFrame({"mass (1)": [0.0]}, index=["mass"]), pd.DataFrame(index=["mass"])])
def test_a_grid_without_any_effect(ax, matrix):
    assert plots.effect_grid(ax, matrix) is ax


def test_bars_have_intervals_and_chance(ax):
    plots.own_factor_bars(ax, {"M": shares(), "C1": shares(share=[0.1, np.nan])})
    assert sorted(round(patch.get_height(), 3) for patch in ax.patches) == [0.1, 0.5, 0.75]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["M", "C1"]
    assert sorted(text.get_text() for text in ax.texts) == ["10 %", "50 %", "75 %", "?"]
    ends = {tuple(segment[:, 1].round(6)) for lines in ax.collections for segment in lines.get_segments()}
    assert ends == {(0.4, 0.6), (0.7, 0.8), (0.2, 0.2), (0.3, 0.3)}
    words = [text.get_text() for text in ax.get_legend().get_texts()]
    assert words == ["SoftWPMI (published)", "calibrated (this project)", "shuffled labels"]


def test_any_rule_has_a_bar(ax):
    table = shares(rule=["published", "mine"])
    plots.own_factor_bars(ax, {"M": table})
    assert "mine" in [text.get_text() for text in ax.get_legend().get_texts()]
    with pytest.raises(ValueError, match="chance"):
        plots.own_factor_bars(ax, {"M": table.drop(columns="chance")})
