"""The answers of a study's classifiers: of tasks with two classes, of heads that a layer feeds."""

from functools import partial
from types import SimpleNamespace

import nets
import numpy as np
import pytest
from matplotlib.figure import Figure
from torch import nn

from mdissect import plots
from mdissect.study import Setup, Study, answers, explained

pytestmark = pytest.mark.slow


def study_of(monkeypatch, tmp_path, outputs: int = 1, layer: str = "2") -> Study:
    """A setup of a toy classifier, dissected at a layer."""
    target = nets.target(nets.net(nn.ReLU(), nets.AvgMax(), nn.Linear(6, outputs)), layer)
    monkeypatch.setattr(answers, "load_target", lambda spec, **_: target)
    stub = Study.__new__(Study)
    vars(stub).update(
        profile=SimpleNamespace(setups={"C3": Setup("toy", "toy")}), probe=lambda name: nets.probe(),
        kept=partial(Study.kept, SimpleNamespace(store=tmp_path)), dissect=lambda name: nets.dissection(target),
        pass_options=nets.QUIET,
    )  # fmt: skip
    return stub


@pytest.mark.parametrize("outputs", [1, 2])
def test_the_image_looked_at_has_the_largest_logit_of_those_with_the_finding(monkeypatch, tmp_path, outputs):
    found, without = explained(study_of(monkeypatch, tmp_path, outputs), {"C3": "bright", "C9": "bright"})
    one = found["C3"]
    assert without == {}
    assert one.present[one.image]
    assert one.found.logit[one.image] == one.found.logit[one.present].max()
    if outputs == 2:
        np.testing.assert_allclose(one.found.logit, one.found.logits[:, 1] - one.found.logits[:, 0])
    assert one.waterfall().end.iloc[-1] == pytest.approx(one.found.logit[one.image])
    np.testing.assert_array_equal(one.pixels, nets.probe()[one.image])
    whole = one.found.logit[one.present].mean() - one.found.logit[~one.present].mean()
    assert one.compared(n_boot=10).difference.sum() == pytest.approx(whole, abs=1e-4)


def test_a_head_that_no_dissected_layer_feeds_is_told(monkeypatch, tmp_path):
    found, without = explained(study_of(monkeypatch, tmp_path, layer="0"), {"C3": "bright"})
    assert found == {}
    assert "feed" in without["C3"]


def test_the_figure_shows_the_image_and_the_steps(monkeypatch, tmp_path):
    found, _ = explained(study_of(monkeypatch, tmp_path), {"C3": "bright"})
    fig = plots.answer_panels(Figure(figsize=(10, 4), layout="constrained"), found)
    left, right = fig.axes
    assert len(left.images) == 1
    assert right.get_title() == "C3: bright, neurons of 2 by their label"
    assert right.get_xlabel() == "logit of bright: sum of weight times activation"
