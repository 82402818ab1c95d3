"""Prepared folders: the same probe bit for bit, without patients, whatever stops the run, and what damages them."""

import json
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_dicom import PATIENTS, SECRETS, dicom_folder
from PIL import Image

from mdissect import load_probe
from mdissect.files import DamagedFileError
from mdissect.probes import ArraySource, Probe
from mdissect.probes.prepared import BOXES, MANIFEST, TABLE, file_names, read_manifest
from mdissect.probes.preparing import prepare_probe
from mdissect.probes.pseudonyms import key_file

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    root = tmp_path_factory.mktemp("export")
    dicom_folder(root)
    return root


def prepared(probe, output, how=None, **options):
    return prepare_probe(probe, output, how or {"probe": "folder"}, **{"workers": 1, "progress": False} | options)


def same(one: Probe, other: Probe, table: bool = True) -> None:
    assert one.ids == other.ids
    for a, b in zip(one, other, strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        np.testing.assert_array_equal(a, b)
    if table:
        pd.testing.assert_frame_equal(one.table, other.table)


@pytest.mark.parametrize("keep_ids", [False, True])
@pytest.mark.parametrize("preparation", [None, {"size": (40, 30)}, {"size": (40, 30), "bits": 16}])
def test_a_folder_of_dicom_files_is_the_same_prepared(export, tmp_path, preparation, keep_ids):
    probe = load_probe("folder", path=export, preparation=preparation, keep_ids=keep_ids)
    outcome = prepared(probe, tmp_path / "out", keep_ids=keep_ids)
    assert (outcome.made, outcome.kept, outcome.failed) == (6, 0, [])
    same(load_probe("folder", path=tmp_path / "out"), probe)


def test_nothing_in_it_names_a_patient(export, tmp_path):
    own = pd.DataFrame({"file": sorted(p.relative_to(export).as_posix() for p in export.rglob("*") if p.is_file())})
    own["mrn"] = [name[:13] for name in own["file"]]
    own["patient"] = list("aabbcc")
    own["number"] = np.repeat([5550001, 5550002, 5550003], 2)
    probe = load_probe("folder", path=export, table=own, id_column="file", patient_column="patient")
    prepared(probe, tmp_path / "out")
    secrets = [secret.encode().lower() for secret in (*SECRETS, str(tmp_path), str(export))]
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert len(files) >= 8
    assert not [path for path in files if any(secret in path.read_bytes().lower() for secret in secrets)]
    assert not [path for path in files if any(secret in str(path.relative_to(tmp_path)).lower().encode() for secret in secrets)]
    assert not set(load_probe("folder", path=tmp_path / "out").table["patient"]) & {"a", "b", "c"}
    assert stat.S_IMODE((tmp_path / "out" / TABLE).stat().st_mode) == 0o600


def test_with_ids_where_they_are_asked_for(export, tmp_path):
    prepared(load_probe("folder", path=export, keep_ids=True), tmp_path / "out", keep_ids=True)
    assert set(load_probe("folder", path=tmp_path / "out").table["patient"]) == set(PATIENTS)


def test_any_probe_with_its_boxes_and_columns(tmp_path):
    table = pd.DataFrame({"patient": [17, 17, 18], "age": [17, 18, 50], "findings": ["mass; 17", "", "x"]})
    images = [np.full((5, 4), 9, np.uint8), np.arange(60, dtype=np.uint16).reshape(5, 4, 3), np.eye(3, dtype=np.uint8)]
    ids = ["17_L", "17_R", "b/18.png"]
    probe = Probe("mine", ids, [Marked(images)], table=table.set_axis(pd.Index(ids, name="image_id")))
    prepared(probe, tmp_path / "out")
    found = load_probe("folder", path=tmp_path / "out")
    assert found.name == "mine"
    assert [image_id[-2:] for image_id in found.ids] == ["_L", "_R", "ng"]
    assert not [image_id for image_id in found.ids if "17" in image_id.split("_")[0][:2]]
    assert found.table["age"].tolist() == [17, 18, 50]  # a number that happens to be the patient's stays
    assert found.table["patient"].nunique() == 2
    assert "17" not in found.table["findings"].iloc[0].split("; ")
    for i, image in enumerate(images):
        np.testing.assert_array_equal(found[i], image)
    assert found.boxes(0) == [{"finding": "mass", "xmin": 0, "ymin": 1.5, "xmax": 3, "ymax": 4}]
    assert found.boxes(1) == []
    with pytest.raises(LookupError):
        found.boxes(2)  # not known of the original either
    prepared(probe, tmp_path / "kept", keep_ids=True)
    same(load_probe("folder", path=tmp_path / "kept"), probe)


class Marked(ArraySource):
    """Images of which the first has a box, and the last may have some."""

    def boxes(self, position):
        if position == 2:
            return super().boxes(position)
        return (
            [{"finding": "mass", "xmin": 0, "ymin": np.float64(1.5), "xmax": np.int64(3), "ymax": 4}] if position == 0 else []
        )


def test_your_own_table_on_a_prepared_folder(export, tmp_path):
    probe = load_probe("folder", path=export)
    prepared(probe, tmp_path / "out")
    own = pd.DataFrame({"id": probe.ids, "density": list("AABBCC"), "view": "CC", "xmin": 1, "ymin": 2, "xmax": 3, "ymax": 4})
    found = load_probe("folder", path=tmp_path / "out", table=own, id_column="id")
    assert found.table["density"].tolist() == list("AABBCC")
    assert set(found.table["view"]) == {"CC"}
    assert found.table["patient"].tolist() == probe.table["patient"].tolist()
    assert found.boxes(5)[0]["ymax"] == 4


# Again, and after it was stopped


def test_what_is_there_is_kept_and_what_is_new_or_changed_is_made(export, tmp_path):
    root, out = tmp_path / "in", tmp_path / "out"
    shutil.copytree(export, root)
    prepared(load_probe("folder", path=root), out)
    times = {path: path.stat().st_mtime_ns for path in out.rglob("*.png")}
    changed = root / "Li_Wu" / "LIM.DICOM"
    changed.write_bytes((root / "Li_Wu" / "RIM.DICOM").read_bytes())
    shutil.copy(changed, root / "new.dcm")
    outcome = prepared(load_probe("folder", path=root), out)
    assert (outcome.made, outcome.kept) == (2, 5)
    assert sum(path.stat().st_mtime_ns == when for path, when in times.items()) == 5
    same(load_probe("folder", path=out), load_probe("folder", path=root))


def test_an_image_that_is_gone_is_no_part_any_more(export, tmp_path):
    root, out = tmp_path / "in", tmp_path / "out"
    shutil.copytree(export, root)
    prepared(load_probe("folder", path=root), out)
    (root / "Li_Wu" / "LIM.DICOM").unlink()
    prepared(load_probe("folder", path=root), out)
    assert len(load_probe("folder", path=out)) == 5


def test_images_that_cannot_be_read_are_told_and_left_out(export, tmp_path):
    root, out = tmp_path / "in", tmp_path / "out"
    shutil.copytree(export, root)
    bad = root / "KOWALSKI-1900_L_MLO.dcm"
    bad.write_bytes(bad.read_bytes()[:-3000])
    (root / "float.tif").write_bytes(b"")
    Image.fromarray(np.zeros((4, 4), np.float32)).save(root / "float.tif")
    outcome = prepared(load_probe("folder", path=root), out)
    assert (outcome.made, len(outcome.failed)) == (5, 2)
    assert any("KOWALSKI-1900_L_MLO.dcm" in problem for problem in outcome.failed)
    assert any("float32 pixels (4, 4) cannot be written as PNG" in problem for problem in outcome.failed)
    found = load_probe("folder", path=out)
    assert len(found) == 5
    assert found.skipped == [("image 1", "not prepared"), ("image 2", "not prepared")]
    assert "2 of 7 images could not be prepared" in found.notes
    assert b"KOWALSKI" not in (out / MANIFEST).read_bytes()


def test_where_nothing_can_be_read(tmp_path):
    probe = Probe("floats", ["a"], [ArraySource([np.zeros((3, 3), np.float32)])], table=pd.DataFrame(index=["a"]))
    with pytest.raises(ValueError, match="none of the 1 images can be prepared; the first: float32"):
        prepared(probe, tmp_path / "out")


SLOW = """
import sys, time
from pathlib import Path
from mdissect import load_probe
from mdissect.probes import file_source
from mdissect.probes.preparing import prepare_probe
plain = file_source.FileSource.read
def slow(self, position):
    time.sleep(0.15)
    return plain(self, position)
file_source.FileSource.read = slow
prepare_probe(load_probe("folder", path=sys.argv[1]), Path(sys.argv[2]), {"probe": "folder"}, workers=1, progress=False)
"""


@pytest.mark.slow
def test_a_run_that_was_killed_goes_on(export, tmp_path):
    out = tmp_path / "out"
    with subprocess.Popen([sys.executable, "-c", SLOW, str(export), str(out)]) as run:
        deadline = time.monotonic() + 120
        while len(list(out.rglob("*.png"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        run.send_signal(signal.SIGKILL)
    done = len(list(out.rglob("*.png")))
    assert 2 <= done < 6
    with pytest.raises(ValueError, match=r"is not complete \(6 images were to be prepared\): run .* again"):
        load_probe("folder", path=out)
    (out / "images" / ".half.png.0123.part").write_bytes(b"half")
    outcome = prepared(load_probe("folder", path=export), out)
    assert (outcome.made, outcome.kept) == (6 - done, done)
    assert not list(out.rglob("*.part"))
    same(load_probe("folder", path=out), load_probe("folder", path=export))


@pytest.mark.slow
def test_several_processes_write_the_same(export, tmp_path):
    probe = load_probe("folder", path=export)
    prepared(probe, tmp_path / "two", workers=2)
    same(load_probe("folder", path=tmp_path / "two"), probe)


def test_two_runs_at_a_time_are_refused(export, tmp_path):
    from filelock import FileLock

    (tmp_path / "out").mkdir()
    with FileLock(tmp_path / "out" / ".prepare.lock"), pytest.raises(FileExistsError, match="another process is preparing"):
        prepared(load_probe("folder", path=export), tmp_path / "out")


# Folders that are something else


def test_other_options_or_another_key_do_not_mix(export, tmp_path, monkeypatch):
    probe, out = load_probe("folder", path=export), tmp_path / "out"
    prepared(probe, out)
    with pytest.raises(FileExistsError, match=r"was prepared in another way .*name another output folder"):
        prepared(probe, out, how={"probe": "folder", "options": {"bits": "16"}})
    with pytest.raises(FileExistsError, match=r"says of its ids: pseudonyms of the key .* now they would be: kept"):
        prepared(probe, out, keep_ids=True)
    monkeypatch.setenv("MDISSECT_CACHE", str(tmp_path / "other"))
    with pytest.raises(FileExistsError, match="restore the key") as refused:
        prepared(load_probe("folder", path=export), out)
    assert str(key_file()) in str(refused.value)
    assert len(load_probe("folder", path=out)) == 6  # as it was


def test_files_of_others_are_not_replaced(export, tmp_path):
    probe = load_probe("folder", path=export)
    target = tmp_path / "out" / file_names(probe.ids)[2]
    target.parent.mkdir(parents=True)
    target.write_bytes(b"mine")
    with pytest.raises(FileExistsError, match="was not written by this command"):
        prepared(probe, tmp_path / "out")
    assert target.read_bytes() == b"mine"


def test_outputs_that_cannot_be_written(export, tmp_path):
    (tmp_path / "file").touch()
    for output in (tmp_path / "file", tmp_path / "file" / "x"):
        with pytest.raises(OSError, match="cannot write to"):
            prepared(load_probe("folder", path=export), output)
    with pytest.raises(ValueError, match="workers=0 must be a whole number, 1 or more"):
        prepared(load_probe("folder", path=export), tmp_path / "out", workers=0)


@pytest.fixture
def out(export, tmp_path):
    prepared(load_probe("folder", path=export), tmp_path / "out")
    return tmp_path / "out"


@pytest.mark.parametrize(
    "options", [{"voi": True}, {"window": (1, 5)}, {"preparation": "released"}, {"bits": 12}, {"on_error": "skip"}]
)
def test_options_of_originals_are_refused_on_prepared_ones(out, options):
    with pytest.raises(ValueError, match="holds prepared images: voi, window, preparation, bits and on_error concern"):
        load_probe("folder", path=out, **options)


def without_image(out: Path):
    next(out.rglob("*.png")).unlink()


def other_format(out: Path):
    (out / MANIFEST).write_text(json.dumps(read_manifest(out) | {"version": 9}))


def names_outside(out: Path):
    (out / TABLE).write_text((out / TABLE).read_text().replace(",images/", ",images/../../", 1))


def other_columns(out: Path):
    (out / TABLE).write_text("\n".join(line.rpartition(",")[0] for line in (out / TABLE).read_text().splitlines()))


@pytest.mark.parametrize(
    ("damage", "error", "said"),
    [
        (without_image, FileNotFoundError, "1 of 6 prepared images are missing"),
        (lambda out: (out / TABLE).unlink(), FileNotFoundError, "table.csv"),
        (lambda out: (out / TABLE).write_text("a,b\n1,2\n"), DamagedFileError, "do not fit each other .*image_id"),
        (other_columns, DamagedFileError, "do not fit each other"),
        (names_outside, DamagedFileError, "names the file 'images/../../.*not below images/"),
        (lambda out: (out / MANIFEST).write_text("{"), DamagedFileError, "is damaged"),
        (lambda out: (out / MANIFEST).write_text("[]"), DamagedFileError, "is not what `prepare` writes"),
        (other_format, DamagedFileError, "is not what `prepare` writes .*version 1"),
    ],
)
def test_damaged_folders_are_named(out, damage, error, said):
    damage(out)
    with pytest.raises(error, match=said):
        load_probe("folder", path=out)


def test_a_damaged_image_is_found_when_it_is_read(out):
    image = sorted(out.rglob("*.png"))[0]
    data = bytearray(image.read_bytes())
    data[len(data) // 2] ^= 1
    image.write_bytes(data)
    probe = load_probe("folder", path=out)
    with pytest.raises(ValueError, match="does not meet its checksum"):
        list(probe)


def test_boxes_that_are_gone(tmp_path):
    probe = Probe("mine", ["a"], [Marked([np.eye(5, dtype=np.uint8)])], table=pd.DataFrame(index=["a"]))
    prepared(probe, tmp_path / "out")
    (tmp_path / "out" / BOXES).write_text("nonsense")
    with pytest.raises(DamagedFileError, match="do not fit each other"):
        load_probe("folder", path=tmp_path / "out")


@pytest.mark.parametrize(
    ("ids", "names"),
    [
        (["a.dcm", "a.png", "A.PNG"], ["a", "a~2", "A~3"]),
        (["x/../y", "/etc/passwd", "./b"], ["x/_/y", "etc/passwd", "b"]),
        ([".hidden", "~home", "a:b?c", "..."], ["_hidden", "_home", "a_b_c", "_"]),
        (["1.2.840.5", "x" * 300], ["1.2.840.5", "x" * 120]),
    ],
)
def test_names_of_files(ids, names):
    assert file_names(ids) == [f"images/{name}.png" for name in names]


def test_chosen_files_of_a_prepared_folder(out):
    whole = load_probe("folder", path=out)
    files = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.png"))
    found = load_probe("folder", path=out, files=files[:2])
    assert len(found) == 2
    assert set(found.ids) < set(whole.ids)
    assert found.table["patient"].notna().all()
    with pytest.raises(ValueError, match=r"files= names 1 file: table\.csv that .*table\.csv does not have"):
        load_probe("folder", path=out, files=["table.csv"])
