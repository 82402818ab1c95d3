"""What all figures share: texts as they are."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from mdissect.explorers.figures import draw_neuron
from mdissect.plots import concept_bars, mammogram, save_figure
from mdissect.plots.style import percent_axis

NAMES = ["cost $5 to $6", r"$\frac{$", r"a$_b$c", "$$", r"\$ 5", "x^2", "a_b {c} % #"]


def rendered(fig: Figure) -> dict[str, bool]:
    """The texts of a figure that was drawn, and whether any was taken for a formula."""
    fig.draw_without_rendering()
    return {text.get_text(): text.get_parse_math() for text in fig.findobj(Text) if text.get_text()}


@pytest.mark.parametrize("name", NAMES)
def test_a_concept_is_no_formula(name):
    concepts = pd.DataFrame({"concept": [name], "similarity": [1.0], "broad_category": ["Mass"], "shown_by": ["early"]})
    figures = [Figure() for _ in range(2)]
    concept_bars(figures[0].subplots(), concepts)
    mammogram(figures[1].subplots(), np.zeros((4, 4)), name)
    figures.append(draw_neuron(name, concepts.assign(has_word=True), None, [], (np.arange(2), [], "")))
    for fig in figures:
        assert rendered(fig).get(name) is False


def test_a_saved_figure_has_no_formula_in_its_title(tmp_path):
    fig = Figure()
    fig.subplots().set_title(r"$\frac{$")
    save_figure(fig, tmp_path / "figure", {})
    assert rendered(fig)[r"$\frac{$"] is False


@pytest.mark.parametrize(
    ("most", "ticks"),
    [
        (0.2, ["0.0 %", "2.5 %", "5.0 %", "7.5 %"]),
        (1.0, ["0 %", "20 %", "40 %", "60 %"]),
        (0.04, ["0.0 %", "0.5 %", "1.0 %", "1.5 %"]),
    ],
)
def test_an_axis_in_per_cent_says_where_its_ticks_are(most, ticks):
    ax = Figure(figsize=(6, 4)).subplots()
    ax.set_ylim(0, most)
    percent_axis(ax.yaxis)
    ax.figure.draw_without_rendering()
    assert [label.get_text() for label in ax.get_yticklabels()][:4] == ticks
