"""The columns that `trust.evidence` attaches: the measures' own numbers, where explorers and the atlas find them."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from made_up import dissected

from mdissect.trust import clarity, evidence, predicts

TOP = 12


@pytest.fixture(scope="module")
def found():
    """Four images of each of 20 patients; six neurons, one of them constant."""
    rng = np.random.default_rng(0)
    images, texts = (rng.normal(size=(n, 8)).astype(np.float32) for n in (80, 5))
    images, texts = (one / np.linalg.norm(one, axis=1, keepdims=True) for one in (images, texts))
    activations = (images @ rng.normal(size=(8, 5))).astype(np.float32)
    made = dissected(images @ texts.T, activations, ["mass", "clip", "implant", "nipple", "vessel"], TOP, per_patient=4)
    similarity = np.concatenate([made.similarity["deep"], np.full((1, 5), np.nan, np.float32)])
    activations = np.concatenate([activations, np.ones((80, 1), np.float32)], axis=1)
    made = replace(made, similarity={"deep": similarity}, activations={"deep": activations})
    return replace(made, image_embeddings=images, text_embeddings=texts)


def test_it_attaches_what_the_measures_say(found):
    shown = found.with_columns(evidence(found, n_boot=5)).labels()
    expected = predicts(found).set_index(["layer", "neuron"])
    alike = clarity(found, top=TOP, n_boot=5).set_index(["layer", "neuron"])
    shown = shown.set_index(["layer", "neuron"])
    for name in ("predicts", "predicts_low", "predicts_high", "corrected"):
        pd.testing.assert_series_equal(shown[name].astype(float), expected[name][shown.index], check_names=False)
    for name in ("clarity", "clarity_low", "clarity_high"):
        pd.testing.assert_series_equal(shown[name].astype(float), alike[name][shown.index], check_names=False)


def test_clarity_stays_with_a_neuron_whose_shown_label_is_another(found):
    table = evidence(found, n_boot=2)
    assert set(table[table.clarity.notna()].concept) == {""}
    assert "" not in set(table[table.predicts.notna()].concept)
    assert not table.duplicated(["layer", "neuron", "concept"]).any()


def test_what_cannot_be_measured_is_left_out_and_said(found):
    without = replace(found, image_embeddings=None)
    with pytest.warns(UserWarning, match=r"is shown without clarity: .*image_embeddings"):
        table = evidence(without)
    assert "clarity" not in table
    assert "predicts" in table


def test_errors(found):
    with pytest.raises(ValueError, match="no layer nowhere"):
        evidence(found, ["nowhere"])
    bare = replace(found, activations={}, image_embeddings=None, image_concept_sims=None)
    with pytest.raises(ValueError, match=r"no evidence can be measured\. predicts: "):
        evidence(bare)
