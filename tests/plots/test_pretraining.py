"""Pictures of a pretraining, of scores, of pointing, and of labels that come back."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from mdissect.plots import loss_lines, overprints, pointing_points, recurring_points, score_points

HISTORY = pd.DataFrame(
    {
        "epoch": [1, 2, 3],
        "step": [10, 20, 30],
        "learning_rate": [1e-3, 1e-3, 5e-4],
        "image-text": [3.0, 2.0, 1.5],
        "text-text": [2.0, 1.8, 1.7],
        "validation loss": [4.0, 3.0, 3.2],
        "validation image to report R@1": [0.1, 0.2, 0.3],
        "unknown": [np.nan] * 3,
    }
)


@pytest.fixture
def ax():
    fig, ax = plt.subplots(figsize=(9, 5), layout="constrained")
    yield ax
    plt.close(fig)


def lines(ax) -> dict[str, list]:
    return {line.get_label(): list(line.get_ydata()) for line in ax.get_lines() if not line.get_label().startswith("_")}


def test_losses_have_a_line_each_and_nothing_else_has(ax):
    assert loss_lines(ax, HISTORY) is ax
    assert lines(ax) == {"image-text": [3.0, 2.0, 1.5], "text-text": [2.0, 1.8, 1.7], "validation loss": [4.0, 3.0, 3.2]}
    assert ax.get_xlabel() == "epoch"


def scores(*values) -> pd.DataFrame:
    rows = [
        {"task": task, "value": v, "low": v - 0.05, "high": v + 0.05} for task, v in zip(("mass", "clip"), values, strict=False)
    ]
    return pd.DataFrame(rows)


def test_each_model_has_a_mark_for_each_task_beside_those_of_others(ax):
    score_points(ax, {"recipe": scores(0.9, 0.7), "reports": scores(0.6)})
    marks = {line.get_label(): line.get_xydata() for line in ax.get_lines() if not line.get_label().startswith("_")}
    assert marks["recipe"][:, 0].tolist() == [0.9, 0.7]
    assert marks["reports"][:, 0].tolist() == [0.6]
    assert marks["reports"][0, 1] != marks["recipe"][0, 1]
    assert round(marks["reports"][0, 1]) == 0
    assert [label.get_text() for label in ax.get_yticklabels()] == ["mass", "clip"]
    assert "dashed: chance" in ax.get_xlabel()
    assert score_points(plt.figure().subplots(), {"recipe": scores(0.4)}, "R@1", None).get_xlabel() == "R@1, with 95 % interval"
    plt.close()


def pointed() -> pd.DataFrame:
    rows = []
    for finding, chance in (("mass", 0.01), ("implant", 0.2)):
        for method, value in (("FActOR", 0.4), ("labelled neurons", np.nan if finding == "mass" else 0.9)):
            row = {"finding": finding, "method": method, "pointing": value, "pointing_low": value - 0.1, "n_images": 30}
            rows.append(row | {"pointing_high": value + 0.05, "chance": chance, "reachable": 0.95})
    return pd.DataFrame(rows)


def test_methods_point_beside_chance_and_the_most_that_is_possible(ax):
    pointing_points(ax, pointed())
    marks = {line.get_label(): line.get_xdata().tolist() for line in ax.get_lines() if not line.get_label().startswith("_")}
    assert marks == {"FActOR": [0.4, 0.4], "labelled neurons": [0.9]}
    assert [bar.get_width() for bar in ax.patches] == [0.95, 0.95]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["mass\n(30 images)", "implant\n(30 images)"]
    ax.figure.canvas.draw()
    assert overprints(ax.figure) == []


def test_labels_that_come_back_stand_beside_chance(ax):
    rows = [
        {"layer": layer, "first": a, "second": b, "same": 0.1 * i, "same_chance": 0.02, "category": 0.5, "category_chance": 0.3}
        for layer in ("early", "late")
        for i, (a, b) in enumerate([("s0", "s1"), ("s0", "s2"), ("s1", "s2")])
    ]
    recurring_points(ax, pd.DataFrame(rows))
    assert lines(ax)["same label"] == pytest.approx([0, 0.1, 0.2] * 2)
    assert lines(ax)["label of the same category"] == [0.5] * 6
    assert [label.get_text() for label in ax.get_xticklabels()] == ["early", "late"]


@pytest.mark.parametrize(
    ("draw", "table"),
    [
        (loss_lines, HISTORY.drop(columns="epoch")),
        (score_points, {"recipe": scores(0.5).drop(columns="low")}),
        (pointing_points, pointed().drop(columns="chance")),
        (recurring_points, pd.DataFrame({"layer": ["bn2"], "same": [0.1]})),
    ],
)
def test_a_table_without_its_columns_is_refused(ax, draw, table):
    with pytest.raises(ValueError, match="no column"):
        draw(ax, table)
