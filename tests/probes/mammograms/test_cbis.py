"""Tests of the probe of CBIS-DDSM on miniature trees: downloads of all kinds, swapped masks, grouped rows, wrong input."""

import csv
import pickle
import shutil

import numpy as np
import pytest
from miniature import draw_breast, write_dicom, write_table
from miniature_public import SIZE, cbis_tree
from PIL import Image

from mdissect.probes import load_probe
from mdissect.probes.mammograms.cbis import read_mask
from mdissect.probes.mammograms.cbis_tables import TABLES
from mdissect.probes.mammograms.meanings import SHARED
from mdissect.probes.mammograms.preparation import Preparation, prepare, transfer_box
from mdissect.trust import mapped_presence

pytestmark = pytest.mark.slow

MASS_TRAIN, MASS_TEST, CALC_TRAIN, CALC_TEST = TABLES
EDGES = ("xmin", "ymin", "xmax", "ymax")
FIRST = "Mass-Training_P_00001_LEFT_CC"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A tree that tests leave as it is."""
    root = tmp_path_factory.mktemp("cbis")
    return root, cbis_tree(root)


@pytest.fixture
def tree(tmp_path):
    """A tree for tests that change it."""
    return tmp_path, cbis_tree(tmp_path, "tcia", swapped=())


def load(root, **options):
    return load_probe("cbis-ddsm", path=root, **{"split": "all", "preparation": None} | options)


def rows_of(root, name):
    with (root / name).open(newline="") as file:
        return list(csv.DictReader(file))


def change(root, name, line, **cells):
    """Change cells of a row (0: the first); names with "_" for blanks."""
    rows = rows_of(root, name)
    rows[line] |= {key.replace("_", " ") if key.replace("_", " ") in rows[line] else key: cell for key, cell in cells.items()}
    write_table(root / name, rows)


def boxes(probe, image):
    return [tuple(box[edge] for edge in EDGES) for box in probe.boxes(probe.position(image))]


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("names", ["paths", "tcia", "classic", "jpeg"])
def test_every_download_gives_the_same(tmp_path, names, together):
    written = cbis_tree(tmp_path, names, together=together)
    probe = load(tmp_path)
    assert probe.ids == list(dict.fromkeys(one["image"] for one in written))
    for image in probe.ids:
        own = [one for one in written if one["image"] == image]
        assert boxes(probe, image) == [one["box"] for one in own]
        assert [box["finding"] for box in probe.boxes(probe.position(image))] == [one["finding"] for one in own]
    pixels, _ = draw_breast((9, 1, 2), "L", *SIZE)
    seen = probe[probe.position(FIRST)]
    assert seen.shape == SIZE
    assert np.corrcoef(seen.ravel(), pixels.ravel())[0, 1] > (0.98 if names == "jpeg" else 0.99999)
    noted = any("mask and crop are swapped" in note and "Mass-Training_P_00001_LEFT_MLO" in note for note in probe.notes)
    assert noted == (names == "paths" or not together)  # renamed files of one series do not say which is which


def test_masks_are_not_their_boxes(whole):
    root, written = whole
    probe = load(root)
    (found,) = probe.masks(probe.position(FIRST))
    left, top, right, bottom = written[0]["box"]
    assert found["mask"].sum() == (right - left) * (bottom - top) - 1
    assert not found["mask"][top, left]


def test_prepared_images_and_their_boxes(whole):
    root, written = whole
    probe = load(root, preparation={"size": (76, 60)})
    pixels, _ = draw_breast((9, 1, 2), "L", *SIZE)
    prepared = prepare(pixels, Preparation(size=(76, 60)))
    position = probe.position(FIRST)
    np.testing.assert_array_equal(probe[position], prepared.image)
    box = {"finding": "mass"} | dict(zip(EDGES, written[0]["box"], strict=True))
    assert probe.boxes(position) == [transfer_box(box, prepared.crop, (76, 60))]
    copied = pickle.loads(pickle.dumps(probe))
    assert copied.boxes(position) == probe.boxes(position)


def test_the_table_has_a_row_for_each_image(whole):
    root, _ = whole
    probe = load(root)
    table = probe.table
    assert tuple(table.columns[:6]) == SHARED
    two = table.loc["Mass-Training_P_00001_LEFT_MLO"]
    assert two[["patient", "laterality", "view", "density", "birads"]].tolist() == ["P_00001", "L", "MLO", "C", 0]
    assert two[["pathology", "abnormalities", "subtlety"]].tolist() == ["benign; benign without callback", 2, "2; 3"]
    assert two[["mass_shape", "mass_margin", "findings"]].tolist() == ["oval", "circumscribed; obscured", "mass"]
    assert not two["cancer"]
    first = table.loc[FIRST]
    assert first["findings"] == "mass; architectural distortion"
    assert first["mass_shape"] == "irregular; architectural distortion"
    assert first["cancer"]
    calc = table.loc["Calc-Training_P_00003_RIGHT_MLO"]
    assert calc[["calcification_morphology", "calcification_distribution", "mass_shape"]].tolist() == [
        "punctate; lucent center", "clustered", "",
    ]  # fmt: skip
    assert table["birads"].dtype == np.int64
    assert table["cancer"].dtype == bool
    assert "6 abnormalities of 5 images, one row for each image" in probe.notes


def test_a_view_with_both_kinds_has_one_cancer(whole):
    root, _ = whole
    probe = load(root)
    assert probe.table.loc["Mass-Test_P_00002_RIGHT_CC", ["pathology", "annotated"]].tolist() == ["benign", "mass"]
    assert probe.table.loc["Mass-Test_P_00002_RIGHT_CC", "cancer"]  # its calcification is malignant
    assert any("1 view: P_00002 R CC: there as two images" in note for note in probe.notes)
    presence = mapped_presence(probe.table)
    assert presence["mass"].to_dict() == {
        FIRST: True, "Mass-Training_P_00001_LEFT_MLO": True, "Mass-Test_P_00002_RIGHT_CC": True,
        "Calc-Training_P_00003_RIGHT_MLO": False, "Calc-Test_P_00002_RIGHT_CC": None,
    }  # fmt: skip
    assert presence["skin thickening"].isna().all()


@pytest.mark.parametrize(("split", "n_images"), [("train", 3), ("test", 2), ("all", 5)])
def test_splits(whole, split, n_images):
    probe = load(whole[0], split=split)
    assert len(probe) == n_images
    assert set(probe.table["split"]) == ({"train", "test"} if split == "all" else {split})
    assert probe.table["cancer"].loc[[image for image in probe.ids if "00002" in image]].all()


def test_patients_in_both_splits_are_noted(tree):
    root, _ = tree
    moved = {key: cell.replace("P_00003", "P_00001") for key, cell in rows_of(root, CALC_TRAIN)[0].items()}
    rows = [{key: cell.replace("Training", "Test") for key, cell in moved.items()}, *rows_of(root, CALC_TEST)]
    (root / CALC_TRAIN).unlink()
    write_table(root / CALC_TEST, rows)
    notes = load(root).notes
    assert "1 patient: P_00001 in train (one kind of abnormality) and in test (the other)" in notes


def test_some_tables_are_enough(tree):
    root, _ = tree
    for name in (CALC_TRAIN, CALC_TEST, MASS_TEST):
        (root / name).unlink()
    probe = load(root)
    assert probe.ids == [FIRST, "Mass-Training_P_00001_LEFT_MLO"]
    assert set(probe.table["annotated"]) == {"mass"}  # what the other tables say is not known
    assert sum(note.startswith("no table ") for note in probe.notes) == 3
    with pytest.raises(FileNotFoundError, match=r"no table mass_case_description_test_set\.csv or calc_.*; the folder holds"):
        load(root, split="test")


def test_tables_in_a_folder(tree):
    root, _ = tree
    (root / "csv").mkdir()
    for name in TABLES:
        (root / name).rename(root / "csv" / name)
    assert len(load(root)) == 5


def test_a_mask_that_is_scaled(tree):
    root, written = tree
    mask = np.zeros((SIZE[0] // 2, SIZE[1] // 2), np.uint16)
    mask[15:30, 5:20] = 255
    write_dicom(written[0]["mask"], mask, BitsStored=8, HighBit=7)
    assert boxes(load(root), FIRST) == [(10, 30, 40, 60)]


def test_a_crop_of_the_size_of_the_image_is_told_by_its_content(tree):
    root, written = tree
    crop = next(path for path in written[0]["mask"].parents[2].rglob("1-1.dcm"))
    write_dicom(crop, draw_breast((1, 1, 1), "L", *SIZE)[0])
    probe = load(root)
    assert boxes(probe, FIRST) == [written[0]["box"]]
    assert not any("swapped" in note for note in probe.notes)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("gone", r"no mask on disk \(mass_case_description_train_set\.csv, line 2: .*000001\.dcm\)"),
        ("other size", r"no file fits as a mask of 152 x 120 pixels .*: .*1-1\.dcm \(36 x 36\), .*1-2\.dcm \(40 x 90\)"),
        ("two", r"several files fit as a mask of 152 x 120 pixels"),
        ("black", r"1-2\.dcm: a mask that is black all over"),
        ("grey", r"1-2\.dcm: not a mask, which is black and white"),
        ("broken", r"its mask cannot be found: .*1-2\.dcm"),
    ],
)
def test_masks_that_are_none(tree, damage, message):
    root, written = tree
    mask = written[0]["mask"]
    crop = next(mask.parents[2].rglob("1-1.dcm"))
    grey = draw_breast((3, 3, 3), "L", *SIZE)[0]
    if damage == "gone":
        shutil.rmtree(mask.parents[2])
    elif damage == "other size":
        write_dicom(mask, np.eye(90, dtype=np.uint16)[:40])
    elif damage == "two":
        shutil.copy(mask, crop)
    elif damage == "broken":
        mask.write_bytes(b"DICM")
    else:
        write_dicom(mask, np.zeros(SIZE, np.uint16) if damage == "black" else grey)
    probe = load(root)
    position = probe.position(FIRST)
    assert probe[position].shape == SIZE
    assert len(probe.boxes(probe.position("Mass-Training_P_00001_LEFT_MLO"))) == 2
    for marks in (probe.boxes, probe.masks):
        with pytest.raises(LookupError, match=message):
            marks(position)
    noted = any(note.startswith(f"no mask is known of abnormalities of 1 image: {FIRST}") for note in probe.notes)
    assert noted == (damage not in ("black", "grey"))  # seen when they are read


def test_without_masks(tree):
    root, written = tree
    for one in written:
        shutil.rmtree(one["mask"].parents[2])
    probe = load(root, masks=False)
    assert len(probe) == 5
    with pytest.raises(LookupError, match=r"masks were left out \(masks=False\)"):
        probe.boxes(0)


def test_images_that_are_not_there(tree):
    root, written = tree
    written[0]["path"].unlink()
    with pytest.raises(FileNotFoundError, match=f"1 of 5 images are not on disk .1 image: {FIRST}.; looked for their paths"):
        load(root)
    probe = load(root, missing="skip")
    assert probe.skipped[0][0] == FIRST
    assert len(probe) == 4
    shutil.rmtree(root / "CBIS-DDSM")
    with pytest.raises(FileNotFoundError, match="5 of 5 images are not on disk"):
        load(root, missing="skip")


def test_several_files_of_an_image(tree):
    root, written = tree
    shutil.copy(written[0]["path"], written[0]["path"].with_name("copy.dcm"))
    with pytest.raises(ValueError, match=r"000000\.dcm may be any of 2 files: .*1-1\.dcm, .*copy\.dcm; keep one of them"):
        load(root)
    written[0]["path"].rename(written[0]["path"].with_name("000000.dcm"))
    assert len(load(root)) == 5


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"breast_density": "5"}, r"column 'breast_density': '5' is not a density"),
        ({"assessment": "7"}, r"mass_case_description_train_set\.csv, line 2, column 'assessment': '7' is not a BI-RADS"),
        ({"pathology": "UNSURE"}, r"column 'pathology': 'UNSURE' is not a pathology"),
        ({"left_or_right_breast": "BOTH"}, r"column 'left or right breast': 'BOTH' is not a side"),
        ({"abnormality_type": "asymmetry"}, r"column 'abnormality type': 'asymmetry' is not 'mass' or 'calcification'"),
        (
            {"abnormality_type": "calcification"},
            r"line 2: the abnormality type is calcification, but the table is that of mass",
        ),
        ({"image_file_path": ""}, r"line 2, column 'image file path': '' is not a path such as Mass-Training_P_00001_LEFT_CC/"),
        ({"image_file_path": "a/1.2.3/1.2.4/000000.dcm"}, r"'a/1\.2\.3/1\.2\.4/000000\.dcm' is not a path such as"),
        ({"image_file_path": f"{FIRST}/study/series/0.dcm"}, r"is not a path such as .*<series UID>"),
        ({"patient_id": "P_00009"}, r"line 2: the path .* contradicts the row: P_00009 \(the path says P_00001\)"),
        ({"left_or_right_breast": "RIGHT"}, r"contradicts the row: R \(the path says L\)"),
        ({"image_view": "MLO"}, r"contradicts the row: MLO \(the path says CC\)"),
    ],
)
def test_cells_that_make_no_sense(tree, cells, message):
    root, _ = tree
    change(root, MASS_TRAIN, 0, **cells)
    with pytest.raises(ValueError, match=message):
        load(root)


def test_rows_that_contradict_each_other(tree):
    root, _ = tree
    image = "Mass-Training_P_00001_LEFT_MLO"
    change(root, MASS_TRAIN, 2, breast_density="1")
    probe = load(root)
    assert probe.table.loc[image, "density"] == ""
    assert f"the density of 1 image: {image} is unknown: the rows contradict each other" in probe.notes
    change(root, MASS_TRAIN, 2, image_file_path=f"{image}/1.2.3/1.2.4/000000.dcm")
    with pytest.raises(ValueError, match=rf"line 4, mass_.*, line 6 contradict each other about the path of image {image}: "):
        load(root)


def test_rows_that_are_there_twice_count_once(tree):
    root, written = tree
    rows = rows_of(root, MASS_TRAIN)
    write_table(root / MASS_TRAIN, [*rows, rows[0]])
    probe = load(root)
    assert boxes(probe, FIRST) == [written[0]["box"]]
    assert f"{MASS_TRAIN}: 1 rows are there before in the same words and are removed" in probe.notes


def test_a_density_of_zero_is_unknown(tree):
    root, _ = tree
    change(root, MASS_TRAIN, 0, breast_density="0")
    probe = load(root)
    assert probe.table.loc[FIRST, "density"] == ""
    assert f"{MASS_TRAIN}: the density of 1 rows is 0, which counts as unknown" in probe.notes


@pytest.mark.parametrize("column", ["pathology", "ROI mask file path", "mass margins", "assessment"])
def test_missing_columns(tree, column):
    root, _ = tree
    write_table(root / MASS_TEST, [{k: v for k, v in row.items() if k != column} for row in rows_of(root, MASS_TEST)])
    with pytest.raises(ValueError, match=rf"mass_case_description_test_set\.csv has no column {column}; it has patient_id"):
        load(root)


def test_either_name_of_the_density(whole):
    root, _ = whole
    assert "breast_density" in rows_of(root, MASS_TRAIN)[0]
    assert "breast density" in rows_of(root, CALC_TRAIN)[0]
    assert load(root).table["density"].tolist() == ["C", "C", "B", "A", "B"]


def test_paths_end_with_a_newline_in_places(whole):
    root, _ = whole
    assert all(row["ROI mask file path"].endswith("\n") for row in rows_of(root, MASS_TRAIN))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"split": "val"}, ValueError, "split='val' is not one of 'train', 'test', 'all'"),
        ({"missing": "no"}, ValueError, "missing='no' is not one of"),
        ({"masks": "no"}, TypeError, "masks='no' must be True or False"),
        ({"n_images": 6}, ValueError, "n_images=6 exceeds the 5 images"),
        ({"preparation": {"size": 3}}, TypeError, "size=3 must be"),
        ({"fold": 1}, TypeError, "unknown: fold"),
    ],
)
def test_options_that_make_no_sense(whole, options, error, message):
    with pytest.raises(error, match=message):
        load(whole[0], **options)


def test_what_a_mask_is(tmp_path):
    colour = np.zeros((20, 20, 3), np.uint8)
    colour[4:9, 4:9] = (255, 0, 0)
    Image.fromarray(colour).save(tmp_path / "red.png")
    assert read_mask(tmp_path / "red.png") is None
    colour[4:9, 4:9] = 255
    Image.fromarray(colour).save(tmp_path / "white.jpg")
    np.testing.assert_array_equal(read_mask(tmp_path / "white.jpg"), colour[:, :, 0] > 0)
    few = np.zeros((20, 20), np.uint16)
    few[3, 3], few[9, 9] = 4095, 2000
    write_dicom(tmp_path / "few.dcm", few)
    assert read_mask(tmp_path / "few.dcm") is None
