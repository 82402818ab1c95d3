"""Labels asked of other patients and of other settings."""

import numpy as np
import pandas as pd
import pytest
from made_up import concept_set, dissected

from mdissect.dissection import Dissection
from mdissect.trust import fewer_patients, sensitivity, stability
from mdissect.trust.planted import NOISE, ONE, plant
from mdissect.trust.stability import KINDS

pytestmark = pytest.mark.slow

N_CONCEPTS = 40
NAMES = [f"{'round' if i % 2 else 'oval'} thing {i} {'mass' if i < 20 else 'clips'}" for i in range(N_CONCEPTS)]


def dissection(patients: bool = False, **options) -> Dissection:
    planted = plant(n_images=300, n_concepts=N_CONCEPTS, n_neurons=32, **options)
    rows = [(name, f"category {i // 10}", "low" if i < 20 else "high") for i, name in enumerate(NAMES)]
    concepts = concept_set(rows, "concept", "category", "broad_category", domain="other")
    return dissected(planted.image_concept_sims, planted.activations, concepts, per_patient=4 if patients else None)


@pytest.mark.parametrize("rule", ["calibrated", "published"])
def test_strong_neurons_keep_their_label_and_noise_does_not(rule):
    found = dissection(snr=4)
    table = stability(found, n_boot=40, rule=rule)
    assert table.neuron.tolist() == list(range(32))
    strong, noise = table[:16], table[16:]
    assert noise.same_concept.mean() < 0.5
    if rule == "calibrated":
        assert strong.same_concept.mean() > 0.97
    assert (table.same_concept <= table.same_category).all()
    assert (table.same_category <= table.same_broad_category).all()
    assert (table.same_concept <= table.same_keyword).all()
    np.testing.assert_allclose(table.score, table[list(KINDS)].mean(axis=1))


def synonyms(seed: int) -> tuple[Dissection, np.ndarray]:
    """64 neurons over 20 things, each of which has four names that the dissector sees alike; and the thing of every neuron."""
    rng = np.random.default_rng(seed)
    presence, things = rng.random((300, 20)) < 0.15, rng.integers(0, 20, 64)
    sims = 0.25 * np.repeat(presence, 4, axis=1) + 0.05 * rng.standard_normal((300, 80))
    activations = rng.standard_normal((300, 64)) + 2 * presence[:, things]
    concepts = concept_set([(f"name {i} of it", f"thing {i // 4}") for i in range(80)], "concept", "category", domain="other")
    found = dissected(sims.astype(np.float32), activations.astype(np.float32), concepts)
    return found, things


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_where_neurons_share_concepts_calibrated_labels_keep_to_the_thing(seed):
    found, things = synonyms(seed)
    calibrated, published = (stability(found, n_boot=40, rule=rule) for rule in ("calibrated", "published"))
    assert calibrated.same_category.mean() > max(0.98, published.same_category.mean())
    category = found.concepts.table.set_index("concept").category
    assert (calibrated.concept.map(category) == [f"thing {i}" for i in things]).all()


def test_keywords_are_last_words_without_their_plural():
    table = stability(dissection(snr=1.5), n_boot=30)
    pd.testing.assert_series_equal(table.same_keyword, table.same_broad_category, check_names=False)  # mass below, clips above


def test_drawings_repeat_by_their_seed():
    found = dissection(snr=1)
    first = stability(found, n_boot=20, seed=1)
    pd.testing.assert_frame_equal(first, stability(found, n_boot=20, seed=1))
    assert not first.equals(stability(found, n_boot=20, seed=2))


def test_patients_are_drawn_with_all_their_images():
    from mdissect.trust.stability import resamples

    for drawn in resamples(dissection(patients=True), 20, seed=0):
        counts = np.bincount(drawn, minlength=300).reshape(75, 4)
        assert (counts == counts[:, :1]).all()
        assert counts.max() > 1
        assert len(drawn) == 300


def test_neurons_without_a_name_are_left_out():
    found = dissection()
    found.activations["deep"] = found.activations["deep"].copy()
    found.activations["deep"][:, 3] = 1.0
    assert 3 not in stability(found, n_boot=2).neuron.tolist()


def test_the_grid_shows_what_other_settings_change():
    table = sensitivity(dissection(snr=4, kinds={ONE: 0.9, NOISE: 0.1}), "deep")
    assert len(table) == 27
    assert table[table.own][list(KINDS)].eq(1).all(axis=None)
    assert table.own.sum() == 1
    assert table[table.lam <= 1].same_concept.between(0.7, 1).all()
    assert len(sensitivity(dissection(), "deep", top_k=[10], a=[10.0], lam=[0.5, 1.0])) == 2


@pytest.mark.slow
def test_the_calibrated_rule_has_no_settings_but_needs_patients():
    found = dissection(patients=True, snr=4, kinds={ONE: 0.9, NOISE: 0.1})
    table = sensitivity(found, "deep", rule="calibrated")
    pd.testing.assert_frame_equal(table, fewer_patients(found, "deep"))
    assert table.share.tolist() == [0.25, 0.5, 0.75, 1]
    assert table.patients.tolist() == [19, 38, 56, 75]
    assert table.images.tolist() == [76, 152, 224, 300]
    assert table[table.own][list(KINDS)].eq(1).all(axis=None)
    assert table.own.tolist() == [False, False, False, True]
    assert table.same_concept.iloc[2] > 0.75
    published = fewer_patients(found, "deep", shares=[0.9], n_draws=2, rule="published")
    assert published.same_concept[0] < 1
    with pytest.raises(ValueError, match="the calibrated rule has no lam; leave it out, or give rule='published'"):
        sensitivity(found, "deep", lam=[1.0], rule="calibrated")
    with pytest.raises(ValueError, match=r"shares=0\.01 of 75 patients leaves less than two"):
        fewer_patients(found, "deep", shares=[0.01])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rule": "best"}, "rule='best' is not one of 'calibrated', 'published'"),
        ({"n_boot": 0}, "n_boot=0 must be a whole number, 1 or more"),
        ({"layers": ["late"]}, "no layer late; there are deep"),
    ],
)
def test_wrong_settings_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        stability(dissection(), **options)
