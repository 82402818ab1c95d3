"""What is written may be handed on: no folder of this machine, no patient's id, and medical images for their owner alone."""

import json
import stat

import numpy as np
import pandas as pd
import pytest
import toys
from made_dicom import SECRETS, dicom_folder
from matplotlib.figure import Figure
from PIL import Image

import mdissect
from mdissect import plots
from mdissect.dissection import Dissection, shown_id
from mdissect.explorers import Notes
from mdissect.explorers.pictures import Pictures
from mdissect.method import _skipped
from mdissect.models import load_target
from mdissect.probes import Probe, load_probe

PATIENTS = [f"KOWALSKI-{1900 + i}" for i in range(12)]


@pytest.fixture
def images(tmp_path):
    """A folder whose files are named by patients, one of which cannot be read; and its table."""
    folder = tmp_path / "Jane Doe" / "images"
    folder.mkdir(parents=True)
    names = [f"{patient}_{side}.png" for patient in PATIENTS for side in "LR"]
    for name, image in zip(names, toys.toy_images(len(names)), strict=True):
        Image.fromarray((image >> 8).astype(np.uint8)).save(folder / name)
    (folder / "KOWALSKI-1850_L.png").write_bytes(b"\x89PNG\r\n\x1a\n cut off")
    table = pd.DataFrame({"file": names, "patient": np.repeat(PATIENTS, 2), "density": list("ABCD") * 6})
    return load_probe("folder", path=folder, table=table, id_column="file", on_error="skip")


@pytest.fixture
def dissection(images, tmp_path):
    target = toys.toy_target()
    notes = (f"weights at {tmp_path}/my weights/net.pt: 2 not used",)
    target = load_target(target.module, preprocess=toys.PREPROCESS, layers=["neurons"], name=f"{tmp_path}/net.pt")
    object.__setattr__(target, "notes", notes)
    return toys.toy_dissect(target, probe=images, top_k=3)


def secrets_in(folder, tmp_path, patients=True):
    """The files that hold a path of this machine, or a patient's id; and what is named by one."""
    hidden = [str(tmp_path).encode(), b"Jane Doe", *([b"KOWALSKI"] if patients else [])]
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    named = [path.name for path in files if patients and "KOWALSKI" in path.name]
    return named + [path.name for path in files if any(secret in path.read_bytes() for secret in hidden)]


def test_settings_tell_of_no_place_and_no_image(dissection):
    text = json.dumps(dissection.settings)
    assert "KOWALSKI" not in text
    assert "Jane Doe" not in text
    assert dissection.settings["target"] == "net.pt"
    assert dissection.settings["target_notes"] == ["weights at net.pt: 2 not used"]
    ((reason, count),) = dissection.settings["skipped"]
    assert count == 1
    assert reason


@pytest.mark.parametrize(
    ("skipped", "expected"),
    [
        ([], []),
        ([("a/b.png", "/data/x y/a/b.png: cut off"), ("c.png", "/data/x y/c.png: cut off")], [["cut off", 2]]),
        ([("7", "not on disk: no 7.png below /data/x y")], [["not on disk: no the image.png below x y", 1]]),
        ([("a.png", "a.png is empty"), ("b.png", "b is empty")], [["the image is empty", 2]]),
        ([("a.png", "one"), ("b.png", "two"), ("c.png", "one")], [["one", 2], ["two", 1]]),
    ],
)
def test_of_images_left_out_reasons_are_counted(skipped, expected):
    probe = Probe.from_arrays(np.zeros((1, 8, 8), np.uint8))
    probe.skipped = skipped
    assert _skipped(probe) == expected


def test_a_saved_result_names_patients_in_its_own_table_alone(dissection, tmp_path):
    dissection.save(tmp_path / "out")
    assert secrets_in(tmp_path / "out", tmp_path, patients=False) == []
    (with_patients,) = [path for path in (tmp_path / "out").iterdir() if b"KOWALSKI" in path.read_bytes()]
    assert with_patients.name.startswith("probe-")
    assert stat.S_IMODE(with_patients.stat().st_mode) == 0o600
    assert Dissection.load(tmp_path / "out").patients == dissection.patients


def test_labels_as_csv(dissection, tmp_path):
    (tmp_path / "out").mkdir()
    dissection.to_csv(tmp_path / "out" / "labels.csv")
    assert secrets_in(tmp_path / "out", tmp_path) == []


def test_figures(dissection, tmp_path):
    fig = Figure(figsize=(4, 2))
    row = dissection.top_images("neurons", 0, k=1).iloc[0]
    fig.text(0, 0, plots.caption(row))
    plots.save_figure(fig, tmp_path / "out" / "case", {"setups": {"M": dissection.settings}})
    assert secrets_in(tmp_path / "out", tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize("enlarged", [False, True])
def test_what_an_explorer_saves(dissection, images, tmp_path, enlarged):
    notes = Notes(tmp_path / "out" / "verdicts.csv")
    explorer = mdissect.explore(dissection, probe=images, export=tmp_path / "out", notes=notes)
    if enlarged:
        explorer.enlarged = images.ids[4]
    picture = explorer.save_view()
    explorer.save_labels()
    notes.record("neurons", 0, "AB", verdict="right", label="row 3")
    assert secrets_in(tmp_path / "out", tmp_path) == []
    assert stat.S_IMODE(picture.stat().st_mode) == 0o600
    if enlarged:
        assert json.loads(picture.with_suffix(".json").read_text())["view"]["enlarged"] == "patient_L.png"
        drawn = [artist.get("text", "") for artist in json.loads(picture.with_suffix(".json").read_text())["drawn"]]
        assert any("patient 3; density" in " ".join(text.split()) for text in drawn)


def test_pictures_that_cannot_be_read_say_so_without_a_folder(dissection, images, tmp_path):
    (tmp_path / "Jane Doe" / "images" / images.ids[0]).unlink()
    problem = Pictures(images, None).picture(images.ids[0]).problem
    assert problem
    assert "Jane Doe" not in problem


@pytest.mark.parametrize(
    ("image_id", "patient", "shown"),
    [
        ("P0017_L_CC.png", "P0017", "patient_L_CC.png"),
        ("a/P0017/1.png", "P0017", "a/patient/1.png"),
        ("P00171_L.png", "P0017", "P00171_L.png"),
        ("17-17.png", 17, "patient-patient.png"),
        ("a.png", "", "a.png"),
        ("a.png", None, "a.png"),
        ("nan.png", float("nan"), "nan.png"),
        ("x(1).png", "x(1)", "patient.png"),
        ("phantom-0-000003", "P000001", "phantom-0-000003"),
    ],
)
def test_an_image_is_shown_without_its_patient(image_id, patient, shown):
    assert shown_id(image_id, patient) == shown


def test_patients_have_numbers_in_the_order_of_the_images(dissection):
    assert dissection.pseudonyms == {patient: str(i) for i, patient in enumerate(PATIENTS, start=1)}
    found = Dissection({}, dissection.concepts, {}, probe_table=pd.DataFrame({"patient": ["b", None, "", "a", "b"]}))
    assert found.pseudonyms == {"b": "1", "a": "2"}
    assert Dissection({}, dissection.concepts, {}).pseudonyms == {}


def test_phantoms_are_nobody(dissection):
    table = pd.DataFrame({"patient": ["P000000", "P000001"]}, index=["phantom-0-000000", "phantom-0-000003"])
    found = Dissection({}, dissection.concepts, {}, probe_table=table)
    assert found.pseudonyms == {"P000000": "P000000", "P000001": "P000001"}


@pytest.mark.slow
def test_of_dicom_files_nothing_that_is_written_names_a_patient(tmp_path):
    root = tmp_path / "Jane Doe" / "KOWALSKI-1901"
    dicom_folder(root)
    probe = load_probe("folder", path=root)
    found = toys.toy_dissect(toys.toy_target(), probe=probe, top_k=2)
    found.save(tmp_path / "out")
    found.to_csv(tmp_path / "out" / "labels.csv")
    explorer = mdissect.explore(found, probe=probe, export=tmp_path / "out")
    explorer.enlarged = probe.ids[0]
    explorer.save_view()
    explorer.save_labels()
    assert secrets_in(tmp_path / "out", tmp_path) == []
    secrets = [secret.encode() for secret in SECRETS if len(secret) > 5]  # shorter ones are in pictures by chance
    assert not [
        path for path in (tmp_path / "out").rglob("*") if path.is_file() and any(s in path.read_bytes() for s in secrets)
    ]
