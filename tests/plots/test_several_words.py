"""Plots of several words and of prompts show the values of their tables."""

import numpy as np
import pandas as pd
import pytest

from mdissect import plots
from mdissect.plots.several_words import WORD_PARTS

LAYERS = pd.DataFrame({"layer": ["a", "b"], "one_word": [0.2, 0.03], "several": [0.7, 0.97], "nothing": [0.1, 0.0]})


def test_the_parts_of_a_bar_are_the_shares(ax):
    plots.word_count_bars(ax, {"M": LAYERS, "C1": LAYERS.head(1)})
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["M, a", "M, b", "C1, a"]
    widths = np.array([[bar.get_width() for bar in part] for part in ax.containers])
    np.testing.assert_allclose(widths, [[0.2, 0.03, 0.2], [0.7, 0.97, 0.7], [0.1, 0.0, 0.1]])
    assert [text.get_text() for text in ax.texts] == ["20 %", "20 %", "70 %", "97 %", "70 %", "10 %", "10 %"]  # 3 % has no room
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [words for words, _, _ in WORD_PARTS.values()]


def test_prompts_stand_with_intervals_and_their_change(figure):
    rows = [("bare phrase", 0.88, 0.87, 0.89, np.nan), ("one sentence", 0.79, 0.78, 0.81, -0.09)]
    card = pd.DataFrame(rows, columns=["prompts", "auc", "low", "high", "change"])
    ax = plots.prompt_points(figure.add_subplot(), card.assign(change_low=-0.1, change_high=-0.08))
    assert [text.get_text() for text in ax.texts] == ["-0.090 (-0.100 to -0.080)"]
    ends = [part.get_segments()[0][:, 0].tolist() for part in ax.collections]
    assert ends == [[0.87, 0.89], [0.78, 0.81]]
    assert plots.overprints(figure) == []
    alone = plots.prompt_points(figure.add_subplot(), card)
    assert [text.get_text() for text in alone.texts] == ["-0.090"]


def test_a_table_without_its_columns_is_an_error(ax):
    with pytest.raises(ValueError, match="has no column several"):
        plots.word_count_bars(ax, {"M": LAYERS.drop(columns="several")})
    with pytest.raises(ValueError, match="card has no column auc"):
        plots.prompt_points(ax, pd.DataFrame({"prompts": ["a"], "low": 0, "high": 1, "change": 0}))
