"""Tests of made-up readers: their truth from the images' content, and the errors that were asked for."""

import numpy as np
import pandas as pd
import pytest

from mdissect.study import made_up_readers, true_verdicts
from mdissect.study import simulated as home
from mdissect.trust import reader_agreement
from mdissect.trust.readers import VERDICTS


class Known:
    """Stands in for a dissection: four neurons of which three labels are known of the images."""

    def labels(self):
        return pd.DataFrame({"layer": "deep", "neuron": range(5), "concept": ["implant", "mass", "clip", "nipple", ""]})


def test_the_true_verdict_follows_from_the_top_images(monkeypatch):
    shares = pd.DataFrame({"layer": "deep", "neuron": [0, 1, 2], "precision": [14 / 20, 7 / 20, 6 / 20]})
    monkeypatch.setattr(home, "label_precision", lambda *_: shares)
    monkeypatch.setattr(home, "known_presence", lambda _: None)
    places = [("deep", 3), ("deep", 0), ("deep", 1), ("deep", 4), ("deep", 2)]
    found = true_verdicts.__wrapped__(Known(), places)
    assert found.values.tolist() == [
        ["deep", 3, "nipple", "cannot tell"],
        ["deep", 0, "implant", "right"],
        ["deep", 1, "mass", "partly"],
        ["deep", 4, "", "cannot tell"],
        ["deep", 2, "clip", "wrong"],
    ]


@pytest.fixture
def truth():
    return pd.DataFrame({"layer": "deep", "neuron": range(600), "label": "x", "verdict": [VERDICTS[i % 4] for i in range(600)]})


@pytest.mark.parametrize("seed", range(8))
def test_readers_err_as_often_as_was_asked(truth, seed):
    found = made_up_readers(truth, {"A": 0.0, "B": 0.2, "C": 1.0}, seed)
    for reader, share in (("A", 0.0), ("B", 0.2), ("C", 1.0)):
        wrong = found[found.reader == reader].verdict.to_numpy() != truth.verdict.to_numpy()
        assert wrong.mean() == pytest.approx(share, abs=0.08)  # five standard deviations of 600 draws
    assert reader_agreement(found[found.reader != "C"], n_boot=10).share == pytest.approx(0.8, abs=0.08)


def test_no_readers_and_wrong_errors(truth):
    assert made_up_readers(truth, {}).columns.tolist() == ["layer", "neuron", "reader", "label", "verdict"]
    with pytest.raises(ValueError, match=r"errors\['A'\]=1.5"):
        made_up_readers(truth, {"A": 1.5})
    assert np.array_equal(made_up_readers(truth, {"A": 0.3}).verdict, made_up_readers(truth, {"A": 0.3}).verdict)
