"""Tests of the probe of CMMD on miniature trees: headers joined to the table by breast, unlisted breasts, wrong input."""

import pickle
import shutil

import numpy as np
import pytest
from miniature import write_table
from miniature_public import CMMD_ROWS, cmmd_file, cmmd_tree

from mdissect.probes import load_probe
from mdissect.probes.image_files import ImageFileError
from mdissect.probes.mammograms.meanings import SHARED
from mdissect.trust import mapped_presence

CSV = "CMMD_clinicaldata_revision.csv"
SMALL = {"size": (76, 60)}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A tree that tests leave as it is."""
    root = tmp_path_factory.mktemp("cmmd")
    return root, cmmd_tree(root)


@pytest.fixture
def tree(tmp_path):
    """A tree with a CSV file, for tests that change it."""
    return tmp_path, cmmd_tree(tmp_path, workbook=False)


def first_file(root, image):
    return root / "CMMD" / f"{image}.dcm"


@pytest.mark.parametrize("preparation", [SMALL, None])
def test_images_with_side_and_view_of_their_headers(whole, preparation):
    root, written = whole
    probe = load_probe("cmmd", path=root, preparation=preparation)
    assert probe.name == "cmmd"
    assert list(zip(probe.ids, probe.table["laterality"], probe.table["view"], strict=True)) == written
    assert probe[0].shape == ((152, 120) if preparation is None else (76, 60))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(probe))[1], probe[1])
    with pytest.raises(LookupError, match="come without boxes"):
        probe.boxes(0)


def test_the_table_by_breast(whole):
    root, _ = whole
    probe = load_probe("cmmd", path=root)
    table = probe.table
    assert tuple(table.columns[:6]) == SHARED
    own = {(row["ID1"], row["LeftRight"]): row for row in CMMD_ROWS}
    findings = {"both": "mass; calcification"}
    for _, row in table.iterrows():
        said = own.get((row["patient"], row["laterality"]))
        if said is None:
            assert (row["findings"], row["pathology"], row["annotated"], row["subtype"]) == ("", "", "nothing", "")
            assert np.isnan(row["cancer"])
            continue
        assert row["findings"] == findings.get(said["abnormality"], said["abnormality"])
        assert row["pathology"] == said["classification"].lower()
        assert row["cancer"] is (said["classification"] == "Malignant")
        assert row["subtype"] == said["subtype"]
        assert row["annotated"] == "mass; calcification"
    assert table.groupby("patient")["age"].unique().map(list).to_dict() == {"D1-0001": [44], "D1-0002": [40], "D2-0003": [61]}
    assert set(table["machine"]) == {"GE"}
    assert table["birads"].isna().all()
    presence = mapped_presence(table)
    assert presence["mass"].tolist() == [None, None, False, False, True, True, None, None, True, True, True, True]
    assert presence["malignancy"].tolist()[2:6] == [False, False, True, True]
    assert presence["skin thickening"].isna().all()
    assert any("no row for the breast of 4 images: D1-0001/" in note for note in probe.notes)


def test_unlisted_breasts_as_normal(whole):
    probe = load_probe("cmmd", path=whole[0], unlisted="normal")
    assert probe.table["cancer"].dtype == bool
    assert (probe.table["pathology"] == "normal").sum() == 4
    assert mapped_presence(probe.table)["mass"].tolist()[:4] == [False] * 4
    assert any("taken as normal" in note for note in probe.notes)


def test_a_table_as_csv_and_the_copy_of_others(tree):
    root, _ = tree
    found = load_probe("cmmd", path=root).table
    (root / CSV).rename(root / "cmmd_raw_label.csv")
    assert load_probe("cmmd", path=root).table.equals(found)


def test_images_beside_the_table(tree):
    root, written = tree
    for patient in (root / "CMMD").iterdir():
        shutil.move(patient, root / patient.name)
    (root / "CMMD").rmdir()
    assert load_probe("cmmd", path=root).ids == [image for image, *_ in written]


def test_a_random_part(whole):
    parts = [load_probe("cmmd", path=whole[0], n_images=5, seed=seed).ids for seed in (0, 0, 1)]
    assert parts[0] == parts[1] != parts[2]
    with pytest.raises(ValueError, match="n_images=13 exceeds the 12 images"):
        load_probe("cmmd", path=whole[0], n_images=13)


def test_patients_without_files(tree):
    root, _ = tree
    shutil.rmtree(root / "CMMD" / "D1-0002")
    with pytest.raises(
        FileNotFoundError, match=r"1 of 3 patients have no files \(1 patient: D1-0002\); looked for .*CMMD/<ID1>"
    ):
        load_probe("cmmd", path=root)
    probe = load_probe("cmmd", path=root, missing="skip")
    assert len(probe) == 8
    assert probe.skipped == [("D1-0002", f"not on disk: no {root}/CMMD/D1-0002")]


def test_files_of_patients_that_are_not_in_the_table(tree):
    root, _ = tree
    cmmd_file(root / "CMMD" / "D9-0009" / "1.2" / "1.3" / "1-1.dcm", "D9-0009", "L", "CC")
    probe = load_probe("cmmd", path=root, unlisted="normal")
    assert probe.table.iloc[-1]["patient"] == "D9-0009"
    assert probe.table.iloc[-1]["age"] == 47  # of its header


def test_several_rows_of_a_breast_are_one(tree):
    root, _ = tree
    second = dict(CMMD_ROWS[2]) | {"abnormality": "calcification", "classification": "Benign", "subtype": ""}
    write_table(root / CSV, [*CMMD_ROWS, second])
    row = load_probe("cmmd", path=root).table.query("patient == 'D2-0003' and laterality == 'L'").iloc[0]
    assert row[["findings", "pathology", "subtype"]].tolist() == ["mass; calcification", "malignant; benign", "HER2-enriched"]
    assert row["cancer"] is True
    write_table(root / CSV, [*CMMD_ROWS, second | {"Age": 30}])
    with pytest.raises(ValueError, match=r"D2-0003 has 2 rows of side L with the ages \[30, 61\]; keep one"):
        load_probe("cmmd", path=root)


def test_headers_without_side_or_view(tree):
    root, written = tree
    cmmd_file(first_file(root, written[2][0]), "D1-0001", "R", "", ImageLaterality="")
    probe = load_probe("cmmd", path=root, unlisted="normal")
    row = probe.table.loc[written[2][0]]
    assert row[["laterality", "view", "annotated", "pathology"]].tolist() == ["", "", "nothing", ""]
    assert np.isnan(row["cancer"])
    assert sum(note.startswith("no side in the header of 1 image") for note in probe.notes) == 1
    assert sum(note.startswith("no view in the header of 1 image") for note in probe.notes) == 1


def test_other_tags_for_side_and_view(tree):
    root, written = tree
    image = written[3][0]
    cmmd_file(first_file(root, image), "D1-0001", "R", "", ImageLaterality="", Laterality="R", ViewPosition="MLO")
    assert load_probe("cmmd", path=root).table.loc[image, ["laterality", "view"]].tolist() == ["R", "MLO"]


@pytest.mark.parametrize(
    ("view", "tags", "message"),
    [
        ("399260004", {}, r"1-1\.dcm: its view is 399260004 \(another view\); expected 399162004 \(CC\) or 399368009 \(MLO\)"),
        ("CC", {"ImageLaterality": "B"}, r"1-1\.dcm: its ImageLaterality is B; expected L or R"),
        ("CC", {"PatientAge": "012M"}, r"1-1\.dcm: an age in years"),
        ("CC", {"PatientID": "D1-0002"}, r"D1-0001/.*/1-1: its header says PatientID=D1-0002, another patient of CMMD_"),
    ],
)
def test_headers_that_make_no_sense(tree, view, tags, message):
    root, written = tree
    cmmd_file(first_file(root, written[0][0]), "D1-0001", "L", view, **tags)
    with pytest.raises(ValueError, match=message):
        load_probe("cmmd", path=root)


def test_a_file_that_is_no_dicom(tree):
    root, written = tree
    first_file(root, written[0][0]).write_bytes(b"no image")
    with pytest.raises(ImageFileError, match=r"1-1\.dcm: no header that can be read"):
        load_probe("cmmd", path=root)


@pytest.mark.parametrize(
    ("column", "cell", "message"),
    [
        ("LeftRight", "B", rf"{CSV}, line 2, column 'LeftRight': 'B' is not a side"),
        ("LeftRight", "", r"column 'LeftRight': '' is not a side"),
        ("Age", "old", r"column 'Age': 'old' is not an age"),
        ("abnormality", "asymmetry", r"column 'abnormality': 'asymmetry' is not an abnormality \(mass, calcification, both\)"),
        ("abnormality", "", r"column 'abnormality': '' is not an abnormality"),
        ("classification", "Unclear", r"column 'classification': 'Unclear' is not a pathology"),
        ("ID1", "", rf"{CSV}, line 2: no ID1"),
    ],
)
def test_cells_that_make_no_sense(tree, column, cell, message):
    root, _ = tree
    write_table(root / CSV, [CMMD_ROWS[0] | {column: cell}, *CMMD_ROWS[1:]])
    with pytest.raises(ValueError, match=message):
        load_probe("cmmd", path=root)


def test_missing_columns_tables_and_files(tree):
    root, _ = tree
    write_table(root / CSV, [{k: v for k, v in row.items() if k != "classification"} for row in CMMD_ROWS])
    with pytest.raises(ValueError, match=rf"{CSV} has no column classification; it has ID1, LeftRight"):
        load_probe("cmmd", path=root)
    (root / CSV).unlink()
    with pytest.raises(FileNotFoundError, match=r"holds no table CMMD_clinicaldata_revision\.csv or .*; it holds CMMD"):
        load_probe("cmmd", path=root)
    (root / "CMMD_clinicaldata_revision.xlsx").write_bytes(b"\xd0\xcf\x11\xe0 an old workbook")
    with pytest.raises(ValueError, match=rf"where the workbook cannot be read, save its sheet as {CSV}"):
        load_probe("cmmd", path=root)


def test_folders_that_are_not_those_of_the_table(tree):
    root, _ = tree
    write_table(root / CSV, [row | {"ID1": f"{row['ID1']}x"} for row in CMMD_ROWS])
    with pytest.raises(
        ValueError, match=rf"none of the folders .*D1-0001, D1-0002, D2-0003\) is a patient of {CSV} \(D1-0001x"
    ):
        load_probe("cmmd", path=root)
    shutil.rmtree(root / "CMMD")
    with pytest.raises(FileNotFoundError, match="holds no DICOM files <ID1>/<study>/<series>"):
        load_probe("cmmd", path=root)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"unlisted": "benign"}, ValueError, "unlisted='benign' is not one of 'unknown', 'normal'"),
        ({"missing": "no"}, ValueError, "missing='no' is not one of"),
        ({"split": "test"}, TypeError, "unknown: split"),
        ({"preparation": "released"}, TypeError, "preparation='released' must be"),
        ({"seed": -1}, ValueError, "seed=-1 must be a whole number"),
    ],
)
def test_options_that_make_no_sense(whole, options, error, message):
    with pytest.raises(error, match=message):
        load_probe("cmmd", path=whole[0], **options)
