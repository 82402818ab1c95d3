"""Predictions on disk: tables and what produced them, without the ids of patients unless they are asked for."""

import json
import stat

import numpy as np
import pytest
import toys
from predicted import breasts, classifier

from mdissect.predictions import predict
from mdissect.tables import read_text_table

pytestmark = pytest.mark.slow


def predicted(**columns):
    probe = breasts(**columns)
    probe.notes.append("no patient of 1 image: DOE-000_0.png")
    return predict(classifier(1, classes=("no mass", "mass")), probe, truth="first", options=toys.SMALL, device="cpu")


def read(path):
    return read_text_table(path, own=True)


def test_tables_hold_what_was_predicted(tmp_path):
    found = predicted()
    files = found.save(tmp_path / "out" / "p.csv")
    assert [file.name for file in files] == ["p.csv", "p_breasts.csv", "p_patients.csv", "p.json"]
    images = read(files[0])
    assert list(images) == ["image_id", "index", "patient", "laterality", "view", "predicted",
                            "probability_no_mass", "probability_mass"]  # fmt: skip
    np.testing.assert_array_equal(images.probability_mass.astype(float), found.images.probability_mass)
    np.testing.assert_array_equal(read(files[1]).probability_mass_max.astype(float), found.breasts.probability_mass_max)
    np.testing.assert_array_equal(read(files[2]).probability_mass_mean.astype(float), found.patients.probability_mass_mean)
    assert images["index"].astype(int).tolist() == list(range(40))


def test_patients_have_pseudonyms_in_all_files(tmp_path):
    files = predicted().save(tmp_path / "p.csv")
    assert not any("DOE" in file.read_text() for file in files)
    images = read(files[0])
    assert images.patient.iloc[[0, 4, 39]].tolist() == ["1", "2", "10"]
    assert images.image_id.iloc[[0, 39]].tolist() == ["1_0.png", "10_3.png"]
    assert read(files[1]).patient.iloc[-1] == "10"


def test_ids_can_be_kept_for_ones_own_eyes(tmp_path):
    found = predicted()
    files = found.save(tmp_path / "p.csv", keep_ids=True)
    assert read(files[0]).image_id.tolist() == found.images.index.tolist()
    assert read(files[2]).patient.iloc[0] == "DOE-000"
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in files)


def test_the_json_says_what_produced_them(tmp_path):
    found = predicted()
    document = json.loads(found.save(tmp_path / "p.csv")[-1].read_text())
    assert document["command"] == "predict"
    assert document["model"] == "rows"
    assert document["model_fingerprint"] == classifier(1).fingerprint
    assert document["preprocess"] == toys.PREPROCESS.key()
    assert document["probe_key"] == breasts().key()
    assert document["classes"] == ["no mass", "mass"]
    assert {"mdissect", "torch", "timm", "transformers"} <= document["versions"].keys()
    assert [one["level"] for one in document["scores"]] == ["image", "breast", "breast", "patient", "patient"]
    assert document["scores"][0]["auc"] == found.scores.auc[0]
    assert document["scores"][0]["n_patients"] == 10


def test_texts_are_no_formulas(tmp_path):
    files = predicted(view=["=HYPERLINK(1)"] * 40).save(tmp_path / "p.csv")
    assert "'=HYPERLINK(1)" in files[0].read_text()
    assert ",=HYPERLINK" not in files[0].read_text()


def test_tables_of_an_earlier_run_do_not_stay_beside_later_ones(tmp_path):
    predicted().save(tmp_path / "p.csv")
    (tmp_path / "p_other.csv").touch()
    files = predicted(patient=None).save(tmp_path / "p.csv")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p.csv", "p.json", "p_other.csv"]
    assert [file.name for file in files] == ["p.csv", "p.json"]


def test_what_cannot_be_known_is_null_in_the_json(tmp_path):
    found = predicted(patient=["a"] * 40, laterality=["L"] * 40)  # one patient: one class of patients
    document = json.loads(found.save(tmp_path / "p.csv")[-1].read_text())
    assert document["scores"][-1]["auc"] is None
    assert found.scores.auc.isna().iloc[-1]


def test_the_summary_names_scores_notes_and_counts():
    lines = predicted(laterality=None).summary()
    assert lines[0] == "rows on breasts: 40 images, 10 patients"
    assert lines[1].startswith("first, 40 images, 10 patients: AUC ")
    assert "note: the table has no laterality: no results per breast" in lines


@pytest.mark.parametrize(
    ("path", "error", "message"),
    [
        ("p.xlsx", ValueError, r"must end in \.csv"),
        ("p", ValueError, r"must end in \.csv"),
        ("", ValueError, "path='' is empty"),
        (3, TypeError, "path=3 must be a str or Path"),
        ("folder.csv", IsADirectoryError, "is a folder; give the name of a file in it"),
    ],
)
def test_wrong_paths(tmp_path, monkeypatch, path, error, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(error, match=message):
        predicted().save(path)
    assert [one.name for one in tmp_path.iterdir()] == ["folder.csv"]


def test_a_full_disk_leaves_the_old_tables(tmp_path):
    found = predicted()
    found.save(tmp_path / "p.csv")
    before = (tmp_path / "p.csv").read_bytes()
    with toys.full_disk(100), pytest.raises(OSError, match=r"p\.csv"):
        found.save(tmp_path / "p.csv")
    assert (tmp_path / "p.csv").read_bytes() == before
    assert not list(tmp_path.glob("*.part"))
