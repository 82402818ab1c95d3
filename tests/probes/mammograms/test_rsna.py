"""Tests of the probe of RSNA 2022 on miniature trees: both kinds of images, folds, the shared words, wrong tables."""

import csv
import pickle

import numpy as np
import pytest
from miniature import draw_breast, write_table
from miniature_public import rsna_tree

from mdissect.probes import load_probe
from mdissect.probes.mammograms.meanings import SHARED
from mdissect.probes.mammograms.preparation import Preparation, prepare
from mdissect.trust import mapped_presence


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A tree with everything, which tests leave as it is."""
    root = tmp_path_factory.mktemp("rsna")
    return root, rsna_tree(root, images="both", folds=True)


@pytest.fixture
def tree(tmp_path):
    """A tree of PNG files for tests that change it."""
    return tmp_path, rsna_tree(tmp_path, 2, images="png")


def rewrite(root, rows, name="train.csv"):
    write_table(root / name, rows)


def test_ids_are_in_the_order_of_the_table(whole):
    root, rows = whole
    probe = load_probe("rsna", path=root)
    assert probe.name == "rsna"
    assert probe.ids == [row["image_id"] for row in rows]
    assert probe.skipped == []
    assert probe[0].shape == (76, 60)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(probe))[3], probe[3])


@pytest.mark.parametrize("preparation", [{"size": (76, 60)}, {"size": (38, 30), "bits": 16}])
def test_dicom_files_are_prepared_as_they_are_read(whole, preparation):
    root, rows = whole
    probe = load_probe("rsna", path=root, images="dicom", preparation=preparation)
    for position in (0, 5):
        pixels, _ = draw_breast((5, position // 4, position % 4), rows[position]["laterality"])
        np.testing.assert_array_equal(probe[position], prepare(pixels, Preparation(**preparation)).image)


def test_dicom_as_it_is_and_the_released_preparation(whole):
    root, _ = whole
    assert load_probe("rsna", path=root, images="dicom", preparation=None)[0].shape == (152, 120)
    assert load_probe("rsna", path=root, images="dicom")[0].shape == (1520, 912)


def test_the_table_in_the_shared_words(whole):
    root, rows = whole
    table = load_probe("rsna", path=root).table
    assert tuple(table.columns[:6]) == SHARED
    for row, (image, found) in zip(rows, table.iterrows(), strict=True):
        assert (found["patient"], found["laterality"], found["view"]) == (row["patient_id"], row["laterality"], row["view"])
        assert (image, found["density"], found["split"]) == (row["image_id"], row["density"], "train")
        assert (found["cancer"], found["biopsy"], found["invasive"]) == tuple(
            bool(row[name]) for name in ("cancer", "biopsy", "invasive")
        )
        assert str(found["difficult_negative_case"]) == row["difficult_negative_case"]
        assert found["implant"] == ("implant" if row["implant"] else "")
        assert (found["machine"], found["site"]) == (str(row["machine_id"]), str(row["site_id"]))
        assert (str(found["birads"]) == row["BIRADS"]) or (row["BIRADS"] == "" and np.isnan(found["birads"]))
        assert (str(found["age"]) == row["age"]) or (row["age"] == "" and np.isnan(found["age"]))
    assert table["cancer"].dtype == bool
    assert table["cancer"].sum() == 2
    assert set(table["findings"]) == {""}


def test_presence_of_concepts(whole):
    root, _ = whole
    probe = load_probe("rsna", path=root)
    presence = mapped_presence(probe.table)
    assert presence["malignancy"].equals(probe.table["cancer"].astype(object).rename("malignancy"))
    assert presence["mass"].isna().all()  # no table says anything of masses
    assert presence["breast implant"].tolist() == [row == "implant" for row in probe.table["implant"]]
    known = probe.table["density"] != ""
    assert presence["extremely dense"][~known].isna().all()
    assert not presence["extremely dense"][known].astype(bool).any()
    assert presence["cc view"].tolist() == [view == "CC" for view in probe.table["view"]]


def test_folds(whole):
    root, rows = whole
    probe = load_probe("rsna", path=root, fold=1)
    assert set(probe.table["patient"]) == {"10007"}
    assert len(probe) == 4
    assert load_probe("rsna", path=root).table["fold"].tolist() == [position // 4 for position in range(len(rows))]
    with pytest.raises(ValueError, match="fold=7 is not one of 0, 1, 2, 3"):
        load_probe("rsna", path=root, fold=7)


def test_folds_alone_and_elsewhere(tree, tmp_path_factory):
    root, rows = tree
    (root / "train.csv").rename(root / "away.csv")
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "train_folds.csv"
    write_table(elsewhere, [row | {"fold": position % 2} for position, row in enumerate(rows)])
    assert len(load_probe("rsna", path=root, folds=elsewhere, fold=0)) == 4
    with pytest.raises(FileNotFoundError, match=r"holds no table train\.csv or train_folds\.csv; it holds away\.csv, train_"):
        load_probe("rsna", path=root)
    with pytest.raises(FileNotFoundError, match=r"nowhere\.csv"):
        load_probe("rsna", path=root, folds=root / "nowhere.csv")


def test_images_that_are_not_there(tree):
    root, rows = tree
    gone = rows[3]
    (root / "train_images_png" / gone["patient_id"] / f"{gone['image_id']}.png").unlink()
    with pytest.raises(FileNotFoundError, match=rf"1 of 8 images are not on disk \(1 image: {gone['image_id']}\); looked for"):
        load_probe("rsna", path=root)
    probe = load_probe("rsna", path=root, missing="skip")
    assert len(probe) == 7
    assert probe.skipped[0][0] == gone["image_id"]
    (root / "train_images_png" / gone["patient_id"] / "99.png").write_bytes(b"")
    noted = load_probe("rsna", path=root, missing="skip").notes
    assert any("1 file: 10006/99 that the table does not name" in note for note in noted)


def test_a_random_part(whole):
    root, _ = whole
    parts = [load_probe("rsna", path=root, n_images=5, seed=seed).ids for seed in (1, 1, 2)]
    assert parts[0] == parts[1] != parts[2]
    with pytest.raises(ValueError, match="n_images=17 exceeds the 16 images"):
        load_probe("rsna", path=root, n_images=17)


def test_the_test_images(tree):
    root, rows = tree
    needed = ("site_id", "patient_id", "image_id", "laterality", "view", "age", "implant", "machine_id")
    short = [{name: row[name] for name in needed} | {"prediction_id": f"{row['patient_id']}_L"} for row in rows[:4]]
    rewrite(root, short, "test.csv")
    (root / "train_images_png").rename(root / "test_images_png")
    probe = load_probe("rsna", path=root, split="test")
    assert len(probe) == 4
    assert "cancer" not in probe.table
    assert probe.table["birads"].isna().all()
    assert set(probe.table["split"]) == {"test"}
    with pytest.raises(ValueError, match=r"folds= was given with split='test'"):
        load_probe("rsna", path=root, split="test", folds="x.csv")
    with pytest.raises(FileNotFoundError, match=r"no folder train_images_png/ or train_images/ .*it holds test\.csv, test_im"):
        load_probe("rsna", path=root)


def test_there_are_no_boxes(tree):
    root, _ = tree
    probe = load_probe("rsna", path=root)
    with pytest.raises(LookupError, match="come without boxes"):
        probe.boxes(0)
    with pytest.raises(LookupError, match="come without masks"):
        probe.masks(0)
    assert any("says nothing of findings" in note for note in probe.notes)


@pytest.mark.parametrize(
    ("column", "cell", "message"),
    [
        ("laterality", "B", r"train\.csv, line 3, column 'laterality': 'B' is not a side"),
        ("view", "XCCL", r"column 'view': 'XCCL' is not a view \(CC, MLO, AT, LM, ML, LMO\)"),
        ("view", "", r"column 'view': '' is not a view"),
        ("BIRADS", "4", r"column 'BIRADS': '4' is not a BI-RADS category of this data set \(0, 1, 2, or empty\)"),
        ("BIRADS", "-", r"column 'BIRADS': '-' is not a BI-RADS category"),
        ("density", "E", r"column 'density': 'E' is not a density"),
        ("age", "old", r"column 'age': 'old' is not an age in years"),
        ("cancer", "2", r"column 'cancer': '2' is not yes or no"),
        ("implant", "left", r"column 'implant': 'left' is not yes or no"),
        ("difficult_negative_case", "maybe", r"column 'difficult_negative_case': 'maybe' is not yes or no"),
        ("image_id", "", r"train\.csv, line 3: no image_id"),
        ("patient_id", "", r"train\.csv, line 3: no patient_id"),
        ("image_id", "736471439", r"train\.csv, lines 2, 3: the image 736471439 stands there several times; keep one row"),
    ],
)
def test_cells_that_make_no_sense(tree, column, cell, message):
    root, rows = tree
    rows[1][column] = cell
    rewrite(root, rows)
    with pytest.raises(ValueError, match=message):
        load_probe("rsna", path=root)


@pytest.mark.parametrize("column", ["cancer", "BIRADS", "machine_id", "image_id"])
def test_missing_columns_are_named_with_those_that_are_there(tree, column):
    root, rows = tree
    rewrite(root, [{name: cell for name, cell in row.items() if name != column} for row in rows])
    with pytest.raises(ValueError, match=rf"train\.csv has no column {column}; it has .*laterality"):
        load_probe("rsna", path=root)


def test_unknown_columns_are_noted(tree):
    root, rows = tree
    rewrite(root, [row | {"reader": "me"} for row in rows])
    assert "train.csv: columns that are not used: reader" in load_probe("rsna", path=root).notes


@pytest.mark.parametrize(
    ("column", "cell"), [("cancer", "1"), ("view", "ML"), ("density", "D"), ("BIRADS", "0"), ("patient_id", "9")]
)
def test_tables_that_contradict_each_other(tree, column, cell):
    root, rows = tree
    changed = [row | {"fold": 0} for row in rows]
    changed[0] = changed[0] | {column: cell}
    write_table(root / "train_folds.csv", changed)
    with pytest.raises(ValueError, match=r"train_folds\.csv and train\.csv contradict each other about image 736471439"):
        load_probe("rsna", path=root)


def test_the_table_of_other_images(tree):
    root, rows = tree
    write_table(root / "train_folds.csv", [row | {"image_id": f"x{row['image_id']}"} for row in rows])
    with pytest.raises(ValueError, match=r"train_folds\.csv names none of the 8 images"):
        load_probe("rsna", path=root)


def test_folds_of_some_images_alone(tree):
    root, rows = tree
    write_table(root / "train_folds.csv", [row | {"fold": 2} for row in rows[:5]])
    probe = load_probe("rsna", path=root)
    assert any("train_folds.csv: no row for 3 images" in note for note in probe.notes)
    assert probe.table["fold"].isna().sum() == 3
    assert len(load_probe("rsna", path=root, fold=2)) == 5


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"split": "val"}, ValueError, "split='val' is not one of 'train', 'test'"),
        ({"images": "jpeg"}, ValueError, "images='jpeg' is not one of"),
        ({"missing": "ignore"}, ValueError, "missing='ignore' is not one of"),
        ({"fold": 0}, ValueError, r"fold=0: no table has the column fold; give Mammo-CLIP's train_folds\.csv"),
        ({"fold": -1}, ValueError, "fold=-1 must be a whole number"),
        ({"images": "dicom"}, FileNotFoundError, r"has no folder train_images/ with the images; it holds train\.csv"),
        ({"preparation": {"bits": 16}}, ValueError, "preparation= concerns DICOM files"),
        ({"preparation": {"bit": 16}}, ValueError, "preparation has no option bit"),
        ({"preparation": 3}, TypeError, "preparation=3 must be"),
        ({"n_images": 0}, ValueError, "n_images=0 must be a whole number"),
        ({"n_image": 3}, TypeError, "unknown: n_image"),
    ],
)
def test_options_that_make_no_sense(tree, options, error, message):
    with pytest.raises(error, match=message):
        load_probe("rsna", path=tree[0], **options)


def test_a_table_cut_off(tree):
    root, _ = tree
    text = (root / "train.csv").read_text()
    (root / "train.csv").write_text(text[: len(text) - 30])
    with pytest.raises(ValueError, match=r"train\.csv, line 9: \d+ cells under 14 columns"):
        load_probe("rsna", path=root)
    with (root / "train.csv").open("w", newline="") as file:
        csv.writer(file).writerow(text.splitlines()[0].split(","))
    with pytest.raises(ValueError, match="has columns, but no rows"):
        load_probe("rsna", path=root)
