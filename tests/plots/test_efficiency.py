"""The picture of data efficiency: lines, intervals, draws, zero-shot and chance; wrong tables."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from mdissect.evaluate.result import as_table
from mdissect.plots import data_efficiency, efficiency_panels, overprints

TASKS = ("mass", "density")


def table(parts=("linear probe", "fine-tune"), tasks=TASKS) -> pd.DataFrame:
    zero = {"part": "zero-shot", "task": "mass", "prompts": "bare phrase", "metric": "auc", "n": 100}
    rows = [zero | {"value": 0.65, "low": 0.6, "high": 0.7}]
    for part in parts:
        for task in tasks:
            for fraction, value in ((0.1, 0.6), (0.5, 0.7), (1.0, 0.8 + 0.05 * (part == "fine-tune"))):
                row = {"part": part, "task": task, "fraction": fraction, "metric": "auc", "value": value, "chance": 0.5}
                row |= {"low": value - 0.05, "high": value + 0.05}
                rows.append(row | ({} if fraction == 1 else {"seeds_low": value - 0.02, "seeds_high": value + 0.02}))
    return as_table(rows)


@pytest.fixture
def ax():
    fig, ax = plt.subplots()
    yield ax
    plt.close(fig)


def test_lines_have_the_values(ax):
    assert data_efficiency(ax, table(), "mass") is ax
    lines = {line.get_label(): line for line in ax.get_lines()}
    assert lines["linear probe"].get_ydata().tolist() == [0.6, 0.7, 0.8]
    assert lines["fine-tune"].get_ydata().tolist() == pytest.approx([0.6, 0.7, 0.85])
    assert lines["zero-shot, no labels (100 images)"].get_ydata()[0] == 0.65
    assert lines["without looking"].get_ydata()[0] == 0.5
    assert [label.get_text() for label in ax.get_xticklabels()] == ["10 %", "50 %", "100 %"]
    assert ax.get_ylabel() == "AUC"
    bars = ax.collections[0].get_segments()
    np.testing.assert_allclose([one[:, 1] for one in bars], [[0.55, 0.65], [0.65, 0.75], [0.75, 0.85]])


def test_zero_shot_is_shown_beside_the_same_question_alone(ax):
    every = table(tasks=["calcification"])
    every.loc[0, "task"] = "calcification"  # any, where what is learnt is a suspicious one
    data_efficiency(ax, every, "calcification")
    assert not any(line.get_label().startswith("zero-shot") for line in ax.get_lines())
    every.loc[0, "task"] = "suspicious calcification"
    data_efficiency(ax, every, "calcification")
    assert any(line.get_label().startswith("zero-shot") for line in ax.get_lines())


def test_a_part_alone_and_a_task_without_zero_shot(ax):
    data_efficiency(ax, table(["linear probe"]), "density")
    assert [line.get_label() for line in ax.get_lines()] == ["linear probe", "without looking"]


def test_a_panel_for_each_task_and_one_legend():
    fig = plt.figure(figsize=(9, 4), layout="constrained")
    assert efficiency_panels(fig, table()) is fig
    assert [ax.get_title() for ax in fig.axes] == list(TASKS)
    assert [ax.get_ylabel() for ax in fig.axes] == ["AUC", ""]
    assert [text.get_text() for text in fig.legends[0].get_texts()] == [
        "linear probe", "fine-tune", "zero-shot, no labels (100 images)", "without looking",
    ]  # fmt: skip
    assert overprints(fig) == []
    plt.close(fig)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((table(), "implant"), "task='implant' has no linear probe or fine-tuning in the table; there are mass, density"),
        ((table(parts=()), "mass"), "task='mass' has no linear probe or fine-tuning in the table; there are none"),
        ((table(), "mass", "f1"), "metric='f1' is not one of 'auc', 'accuracy', 'macro_f1'"),
        ((table().drop(columns="seeds_low"), "mass"), "table has no column seeds_low"),
        ((3, "mass"), "table=3 must be a DataFrame"),
    ],
)
def test_wrong_inputs_are_one_error(ax, given, message):
    with pytest.raises((TypeError, ValueError)) as caught:
        data_efficiency(ax, *given)
    assert message in str(caught.value)


def test_panels_of_nothing_learnt():
    fig = plt.figure()
    with pytest.raises(ValueError, match="table has no linear probe and no fine-tuning"):
        efficiency_panels(fig, table(parts=()))
    plt.close(fig)
