"""The classifiers of a study, each with the scores it carries or those measured on the probe."""

import json
from functools import partial
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from torch import nn

from mdissect.models import Target
from mdissect.preprocess import Preprocess
from mdissect.probes import Probe
from mdissect.study import Setup, Study, classifier_scores, in_words
from mdissect.train import evaluate

PREPROCESS = Preprocess(size=(4, 4), scale="dtype", channels=1)


class Brightness(nn.Module):
    """One logit: positive for bright images."""

    def forward(self, x):
        return 20 * (x.mean(dim=(1, 2, 3))[:, None] - 0.5)


@pytest.fixture
def study(monkeypatch, tmp_path):
    """Two setups with the target "toy"; eight images of as many patients, the four with a mass bright but for one."""
    monkeypatch.setattr("mdissect.study.scores.load_target", lambda spec, **_: Target(spec, Brightness(), PREPROCESS, (), ""))
    bright = np.array([0, 0, 0, 0, 1, 1, 1, 0])
    images = (bright[:, None, None] * np.ones((8, 4, 4)) * 255).astype(np.uint8)
    table = {"mass": [False] * 4 + [True] * 4, "patient": [f"P{i}" for i in range(8)]}
    probe = Probe.from_arrays(images, table=table, name="squares")
    setups = {"C3": Setup("toy", "toy"), "C4": Setup("toy", "toy")}
    kept = partial(Study.kept, SimpleNamespace(store=tmp_path / "store"))
    stub = Study.__new__(Study)
    vars(stub).update(profile=SimpleNamespace(setups=setups), probe=lambda name: probe, kept=kept)
    return stub


def test_scores_on_the_probe(study):
    found = classifier_scores(study, {"C3": "mass", "C4": "calcification", "C9": "mass"}).set_index("setup")
    assert found.index.tolist() == ["C3", "C4"]  # the study has no C9
    c3, c4 = found.loc["C3"], found.loc["C4"]
    assert (c3.images, c3.classes, c3.measured_on) == (8, 2, "the probe squares")
    assert c3.accuracy == pytest.approx(7 / 8)
    assert c3.auc == pytest.approx(7 / 8)
    assert c3.accuracy_low <= c3.accuracy <= c3.accuracy_high
    assert c4.measured_on.startswith("not measured: ")
    assert np.isnan(c4.accuracy)
    assert c4.images == 0


def test_a_network_is_measured_once_for_the_same_labels(study, monkeypatch):
    measured = []

    def counted(target, probe, task):
        measured.append(task)
        return evaluate(target, probe, task)

    monkeypatch.setattr("mdissect.study.scores.evaluate", counted)
    first, again = (classifier_scores(study, {"C3": "mass"}) for _ in range(2))
    assert measured == ["mass"]
    pd.testing.assert_frame_equal(first, again)
    study.probe("").table["mass"] = [True, False] * 4
    assert classifier_scores(study, {"C3": "mass"}).accuracy[0] != first.accuracy[0]


def test_scores_in_words(study):
    table = in_words(classifier_scores(study, {"C3": "mass", "C4": "calcification"}))
    assert table.index.tolist() == ["C3", "C4"]
    assert table.accuracy["C3"].startswith("0.875 (")
    assert list(table) == ["task", "target", "images", "measured on", "accuracy", "macro F1", "AUC"]
    assert table.AUC["C4"] == ""


def test_a_demo_classifier_carries_its_scores(study, monkeypatch, tmp_path):
    monkeypatch.setenv("MDISSECT_DATA", str(tmp_path))
    scores = {"n_images": 1000, "classes": ["no mass", "mass"], "auc": 0.95, "auc_interval": [0.9, 0.97]}
    for name, config in (("C3", {"held_out": scores}), ("C4", {})):
        (tmp_path / "demo" / name).mkdir(parents=True)
        (tmp_path / "demo" / name / "config.json").write_text(json.dumps(config))
        study.profile.setups[name] = Setup(f"demo/{name}", "toy")
    found = classifier_scores(study, {"C3": "mass", "C4": "mass"}).set_index("setup")
    c3 = found.loc["C3"]
    assert (c3.auc, c3.auc_low, c3.auc_high, c3.images, c3.classes) == (0.95, 0.9, 0.97, 1000, 2)
    assert c3.measured_on.startswith("held-out images")
    assert found.measured_on["C4"] == "the probe squares"  # an older config has none
