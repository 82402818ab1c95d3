"""What notebook 09 shows, on a few phantoms and the demo's models."""

from dataclasses import replace

import numpy as np
import pytest

from mdissect.study import ProbeSpec, evaluated, fine_tuned, localised, open_study, small_pretraining, studies_shown

FINDINGS = ["mass", "calcification"]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("MDISSECT_STORE", str(tmp_path_factory.mktemp("store")))
        yield open_study("demo", setups=["M"], n_images=200, progress=False)


def test_studies_have_two_views_and_two_texts_of_one_breast(study):
    table = study.probe().table
    shown = studies_shown(study.probe(), 2)
    assert len(shown) == 2
    for one in shown:
        rows = table.iloc[one["images"]]
        assert len(set(one["images"])) == 2
        assert rows.patient.nunique() == rows.laterality.nunique() == 1
        assert len(one["texts"]) == 2
    assert studies_shown(study.probe(), 2) == shown


@pytest.mark.slow
def test_a_small_pretraining_is_kept(study, monkeypatch):
    history = small_pretraining(study, epochs=1, n_images=120)
    assert list(history.epoch) == [1]
    assert np.isfinite(history["image-text"]).all()
    monkeypatch.setattr("mdissect.train.pretrain", None)
    assert small_pretraining(study, epochs=1, n_images=120).equals(history)


@pytest.mark.slow
def test_models_that_are_not_there_are_left_out(study):
    tables = evaluated(study, ["demo/not-there"])
    assert list(tables) == ["demo/mammo"]
    assert set(tables["demo/mammo"].part) == {"zero-shot", "retrieval", "linear probe"}


@pytest.mark.slow
def test_a_demo_tower_is_fine_tuned_on_shares_of_the_patients(study, monkeypatch):
    table = fine_tuned(study, ["mass"], epochs=1)
    auc = table[table.metric == "auc"]
    assert set(table.part) == {"fine-tune"}
    assert list(auc.fraction) == [0.1, 0.5, 1.0]
    assert auc.training_images.is_monotonic_increasing
    assert (auc.value > auc.low).all() & (auc.value < auc.high).all()
    monkeypatch.setattr("mdissect.evaluate.evaluate_dissector", None)
    assert fine_tuned(study, ["mass"], epochs=1).equals(table)


def test_only_demo_towers_are_fine_tuned_here(study, monkeypatch):
    real = replace(study.profile.setups["M"], dissector="mammo-clip")
    monkeypatch.setattr(study, "profile", replace(study.profile, setups={"M": real}))
    assert fine_tuned(study, ["mass"]).empty


@pytest.mark.slow
def test_findings_are_seen_in_images_that_have_them(study):
    training = {"training": ProbeSpec("phantom", {"n_images": 120, "seed": 5})}
    study.profile = replace(study.profile, probes={**study.profile.probes, **training})
    seen = localised(study, [*FINDINGS, "no such finding"], epochs=1)
    probe = study.probe()
    assert seen.findings == FINDINGS
    for image, boxes, heats in zip(seen.image_ids, seen.boxes, seen.heats, strict=True):
        assert boxes
        assert heats.shape == (2, *probe[probe.ids.index(image)].shape[:2])
        assert np.isfinite(heats[0]).all()
    assert set(seen.table.finding) == set(FINDINGS)
