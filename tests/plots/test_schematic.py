"""The two drawings that introduce a study show its own probe and concepts."""

import numpy as np
import pytest
from made_up import concept_set
from matplotlib.figure import Figure

from mdissect import load_concepts, plots
from mdissect.study import coverage

ROWS = [  # concept, category, broad category, evidence
    ("mass", "Mass", "Findings and characterizations", "single view"),
    ("new mass", "Mass", "Findings and characterizations", "prior exam"),
    ("left breast", "Views", "Breast locations", "single view"),
    ("bird", "Natural", "Environmental and Natural", ""),
]


def small_set():
    return concept_set(ROWS, "concept", "category", "broad_category", "evidence", domain="mammography")


def test_concepts_are_counted_by_category():
    counts = coverage.concept_counts(small_set())
    assert counts.values.tolist() == [
        ["Findings and characterizations", "Mass", 2, 1],
        ["Breast locations", "Views", 1, 0],
        ["Environmental and Natural", "Natural", 1, 0],
    ]


@pytest.mark.parametrize("concepts", [small_set, lambda: load_concepts("mammography")], ids=["small", "shipped"])
def test_every_category_has_its_bar_and_number(concepts):
    fig, counts = Figure(figsize=(11, 5.8), layout="constrained"), coverage.concept_counts(concepts())
    assert plots.draw_concepts(fig, counts) is fig
    assert [label.get_text() for ax in fig.axes for label in ax.get_yticklabels()] == counts.category.tolist()
    assert [text.get_text() for ax in fig.axes for text in ax.texts] == counts.concepts.astype(str).tolist()
    assert sum(bar.get_width() for ax in fig.axes for bar in ax.patches) == counts.concepts.sum()
    assert plots.overprints(fig) == []


@pytest.mark.parametrize("n_concepts", [1, 3, 8, 800])
def test_the_method_names_its_probe_and_concepts(n_concepts):
    fig = Figure(figsize=(11, 4.8), layout="constrained")
    ax, images = fig.subplots(), [np.zeros((8, 5))] * 4
    assert plots.draw_method(ax, images, 120, [f"concept {i}" for i in range(n_concepts)]) is ax
    words = " ".join(text.get_text() for text in ax.texts)
    assert "120 images" in words
    assert f"{n_concepts} concepts:\n“concept" in words
    assert len(ax.child_axes) == 3
    assert plots.overprints(fig) == []
