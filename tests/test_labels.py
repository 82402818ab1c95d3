"""A calibrated dissection: what counts, compares and tells of labels goes by those that are better than chance."""

import pandas as pd
import pytest
from made_up import concept_set, dissected

from mdissect import analysis
from mdissect.dissection import Dissection
from mdissect.study import coverage
from mdissect.trust import passing_share
from mdissect.trust.planted import NOISE, plant


@pytest.fixture(scope="module")
def published() -> Dissection:
    """64 planted neurons, half of them noise, and 40 concepts of two domains."""
    planted = plant(snr=3, n_images=300, n_concepts=40, n_neurons=64)
    rows = [(f"concept {i}", "mammography" if i < 20 else "other") for i in range(40)]
    found = dissected(planted.image_concept_sims, planted.activations, concept_set(rows, "concept", "domain"))
    found.planted = planted
    return found


@pytest.fixture(scope="module")
def calibrated(published) -> Dissection:
    return published.calibrated(n_null=500)


def test_labels_are_those_better_than_chance(published, calibrated):
    expected = published.labels(q=0.05, n_null=500)
    pd.testing.assert_frame_equal(calibrated.labels(), expected)
    assert calibrated.settings == {**published.settings, "calibrated": {"q": 0.05, "n_null": 500, "rule": "rising"}}
    named = (calibrated.labels().concept != "").to_numpy()
    noise = published.planted.kinds == NOISE
    assert named[~noise].mean() > 0.9
    assert named[noise].mean() < 0.1


def test_the_published_labels_are_still_there(published, calibrated):
    pd.testing.assert_frame_equal(calibrated.published.labels(), published.labels())
    pd.testing.assert_frame_equal(calibrated.labels(top=3), published.labels(top=3))
    pd.testing.assert_frame_equal(calibrated.top_concepts(1), published.labels())
    assert "calibrated" not in calibrated.published.settings
    shares = passing_share({"it": calibrated}, n_null=500)
    pd.testing.assert_frame_equal(shares, passing_share({"it": published}, n_null=500))


def test_what_has_a_label_passes_whatever_the_threshold(published, calibrated):
    tau = analysis.thresholds(calibrated)
    pd.testing.assert_frame_equal(tau, analysis.thresholds(published))
    judged = analysis.with_verdict(calibrated, tau.assign(threshold=1e9))
    assert (judged.passes == (judged.concept != "")).all()
    assert not analysis.with_verdict(published, tau.assign(threshold=1e9)).passes.any()
    named = calibrated.labels().query("concept != ''")
    assert analysis.passing(calibrated, tau).to_dict("records") == [
        {"layer": "deep", "neurons": 64, "passing": len(named), "share": len(named) / 64}
    ]
    assert set(analysis.learned(calibrated, tau).concept) == set(named.concept)
    assert set(analysis.missed(calibrated, tau).concept) == set(calibrated.concepts.names) - set(named.concept)
    counts = analysis.count_concepts(calibrated, tau, by="domain").set_index("domain")
    assert counts.neurons.sum() == len(named)
    assert counts.concepts.sum() == named.concept.nunique()
    assert coverage.covered(calibrated, tau, by="domain").learned.sum() == named.concept.nunique()


def test_one_without_labels_carries_nothing_that_the_other_does_not(calibrated):
    nothing = calibrated.calibrated(q=1e-250, n_null=500)
    tau = analysis.thresholds(calibrated)
    assert (analysis.compare(calibrated, nothing, tau)["in"] == "first").all()
    assert analysis.passing(nothing, tau).passing.tolist() == [0]


def test_top_concepts_of_a_neuron_are_found_by_similarity(published, calibrated):
    tau = analysis.thresholds(calibrated)
    by_similarity, found = (analysis.find_neurons(d, "concept 7", 3, tau).set_index("neuron") for d in (published, calibrated))
    assert set(found.index) == set(by_similarity.index)
    pd.testing.assert_series_equal(found.matches.sort_index(), by_similarity.matches.sort_index())
    assert (found.passes == (found.label != "")).all()


def test_it_is_saved_and_loaded(calibrated, tmp_path):
    calibrated.save(tmp_path)
    again = Dissection.load(tmp_path)
    pd.testing.assert_frame_equal(again.labels(), calibrated.labels(), check_dtype=False)
    assert again.settings == calibrated.settings
    calibrated.published.save(tmp_path)
    assert Dissection.load(tmp_path).trusted is None
