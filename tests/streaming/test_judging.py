"""Calibrated labels, and the null they are compared with, from blocks against those in memory."""

import numpy as np
import pandas as pd
import pytest
import torch
from streamed import TIGHT, in_store, sims_of, world

from mdissect.calibrate import judge_neurons
from mdissect.chance import random_rankings
from mdissect.similarity import SoftWPMIOptions
from mdissect.streaming import Rows, Sims, judge_large, large_null

pytestmark = pytest.mark.slow

PATIENTS = {"none": None, "fours": np.arange(300) // 4, "uneven": np.sqrt(np.arange(300)).astype(int)}


def compare(
    images, texts, activations, of_images, of_neurons, patients=None, tops=(20,), rule="rising", memory=TIGHT, **options
):
    sims, large = sims_of(images, texts), Sims(Rows(of_images), texts, memory)
    given = {"n_null": 49, "patients": patients, "options": SoftWPMIOptions(**options)}
    nulls, many = ([make(of, k, **given) for k in tops] for make, of in ((random_rankings, sims), (large_null, large)))
    for one, other in zip(nulls, many, strict=True):
        for part in ("moments", "maxima", "effects", "weights"):
            torch.testing.assert_close(getattr(other, part), getattr(one, part), rtol=1e-6, atol=1e-6)
    expected = judge_neurons(sims, torch.from_numpy(activations), nulls, rule=rule)
    found = judge_large(large, Rows(of_neurons), many, rule=rule)
    pd.testing.assert_frame_equal(found, expected, rtol=1e-5, atol=1e-5)
    return found


@pytest.mark.parametrize("patients", PATIENTS)
def test_labels_and_p_are_those_in_memory(patients, tmp_path):
    images, texts, activations = world(1)
    table = compare(images, texts, activations, *in_store(tmp_path, i=images, a=activations), PATIENTS[patients])
    assert (table.label >= 0).sum() > 8
    assert table.note.tolist()[:4] == ["constant", *["not finite"] * 3]


@pytest.mark.parametrize("rule", ["following", "soft_wpmi", "top_auc", "contrastive", "cos_similarity"])
def test_by_every_kind_of_rule_and_several_top_k(rule):
    images, texts, activations = world(2)
    compare(images, texts, activations, images, activations, tops=(5, 30), rule=rule, a=5.0, p_end=0.9)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_over_many_seeds(seed):
    images, texts, activations = world(200 + seed, 700, 50, 30)
    compare(images, texts, activations, images, activations, np.arange(700) // 3)


def test_a_probe_of_few_images():
    images, texts, activations = world(4, 9)
    compare(images, texts, activations, images, activations, tops=(2,))


def test_a_layer_of_which_nothing_can_be_named():
    images, texts, _ = world(5, 70)
    table = compare(images, texts, np.ones((70, 3), np.float32), images, np.ones((70, 3), np.float32), tops=(5,))
    assert table.note.tolist() == ["constant"] * 3


def test_rankings_of_many_patients_are_drawn_in_parts():
    """With room for the patients' numbers of 83 of the 250 rankings at a time."""
    images, texts, activations = world(6)
    compare(images, texts, activations, images, activations, PATIENTS["fours"], memory=200_000)


def test_the_null_is_kept_and_read_again(tmp_path, monkeypatch):
    images, texts, _ = world(7)
    first = large_null(Sims(Rows(images), texts, TIGHT), 10, 50, store=tmp_path)
    monkeypatch.setattr("mdissect.streaming.nulls._maxima_and_effects", lambda *_: pytest.fail("computed again"))
    second = large_null(Sims(Rows(images), texts, TIGHT), 10, 50, store=tmp_path)
    torch.testing.assert_close(first.maxima, second.maxima, rtol=0, atol=0)
    with pytest.raises(ValueError, match="top_k=301 exceeds the 300 probe images"):
        large_null(Sims(Rows(images), texts, TIGHT), 301)
