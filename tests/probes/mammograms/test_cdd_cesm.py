"""Tests of the CDD-CESM probe on a miniature of it: its workbook, several values in a cell, names with blanks, bad input."""

import json
import re
import shutil

import numpy as np
import pytest
from miniature import write_table
from PIL import Image

from mdissect.probes import load_probe
from mdissect.probes.mammograms.cdd_cesm import ANNOTATED, TABLES
from mdissect.probes.mammograms.cdd_cesm_regions import TABLE as REGIONS
from mdissect.probes.mammograms.meanings import NOTHING, SHARED
from mdissect.trust import mapped_presence

LOW, SUBTRACTED = "Low energy images of CDD-CESM", "Subtracted images of CDD-CESM"
COLUMNS = ("Image_name", "Patient_ID", "Side", "Type", "Age", "Breast density (ACR)", "BIRADS", "Findings", "View", "Tags",
           "Machine", "Pathology Classification/ Follow up")  # fmt: skip
ROWS = (
    ("P1_L_DM_MLO ", 1, "L", "DM", 52, "C", 4, "architectural distortion", "MLO", "a$b", 1, "Benign"),
    ("P1_L_CM_MLO", 1, "L", "CESM", 52, "_", 4, "non_mass enhancement", "MLO", "", 1, "Benign"),
    ("P1_R_DM_CC", 1, "R", "DM", 52, "C", 1, "normal", "CC", "", 1, "Normal"),
    ("P2_R_DM_CC", 2, "R", "DM", 61, "b", "3$5$2", "Mass$Calcifications$mass ", "CC", "", 2, "Malignant"),
    ("P2_R_CM_CC ", 2, "R", "CESM", 61, "_", "5", "", "CC", "", 2, "Malignant"),
    ("P3_L_DM_CC", 3, "L", "DM", "", "A", "0", "Mass$post operative", "CC", "", 2, ""),
)
FIRST = dict(zip(COLUMNS, ROWS[0], strict=True))


def write_book(path, rows=ROWS, title="all"):
    """The workbook: the table, and sheets that describe findings of the same images."""
    import openpyxl

    book = openpyxl.Workbook()
    book.active.title = title
    for row in (COLUMNS, *rows):
        book.active.append(row)
    for name in ("mass_description", "calcifications"):
        sheet = book.create_sheet(name)
        for row in (("Image_name", "Patient_ID", "Mass shape"), ("P2_R_DM_CC", 2, "oval")):
            sheet.append(row)
    path.parent.mkdir(parents=True, exist_ok=True)
    book.save(path)


def write_image(path, size=(12, 9)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.arange(size[0] * size[1], dtype=np.uint8).reshape(size)).save(path)


def write_regions(root, drawn):
    """The table of regions as the VGG Image Annotator writes it."""
    rows = [
        {"#filename": name, "file_size": 7, "file_attributes": "{}", "region_count": 1, "region_id": 0,
         "region_shape_attributes": json.dumps(shape), "region_attributes": "{}"} for name, shape in drawn
    ]  # fmt: skip
    return write_table(root / REGIONS, rows)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A tree that tests leave as it is."""
    root = tmp_path_factory.mktemp("whole") / "cdd-cesm"
    write_book(root / TABLES[0])
    for name, _, _, kind, *_ in ROWS:
        write_image(root / (LOW if kind == "DM" else SUBTRACTED) / f"{name.strip()}.jpg")
    (root / LOW / "P3_L_DM_CC.jpg").rename(root / LOW / "P3_L_DM_ CC .jpg")
    return root


@pytest.fixture
def root(tmp_path):
    """A tree of a table and one image, for tests that change it."""
    write_table(tmp_path / "Radiology-manual-annotations.csv", [FIRST])
    write_image(tmp_path / "images" / "P1_L_DM_MLO.jpg")
    return tmp_path


def change(root, **cells):
    names = {"density": "Breast density (ACR)", "pathology": COLUMNS[-1]}
    write_table(root / "Radiology-manual-annotations.csv", [FIRST | {names.get(key, key): cell for key, cell in cells.items()}])


def test_low_energy_images_unless_told_otherwise(whole):
    probe = load_probe("cdd-cesm", path=whole)
    table = probe.table
    assert probe.name == "cdd-cesm"
    assert probe.ids == ["P1_L_DM_MLO", "P1_R_DM_CC", "P2_R_DM_CC", "P3_L_DM_CC"]
    assert (probe[0].shape, probe[0].dtype) == ((12, 9), np.uint8)
    assert tuple(table.columns[:6]) == SHARED
    assert table["patient"].tolist() == ["1", "1", "2", "3"]
    assert table["laterality"].tolist() == list("LRRL")
    assert table["view"].tolist() == ["MLO", "CC", "CC", "CC"]
    assert table["density"].tolist() == ["C", "C", "B", "A"]
    assert (table["birads"].dtype, table["birads"].tolist()) == (np.int64, [4, 1, 5, 0])
    assert table["findings"].tolist() == ["architectural distortion", "", "mass; calcification", "mass; post operative"]
    assert table["cancer"].tolist()[:3] == [False, False, True]
    assert np.isnan(table["cancer"].iloc[3])
    assert table["pathology"].tolist() == ["benign", "normal", "malignant", ""]
    assert table["age"].tolist()[:3] == [52, 52, 61]
    assert np.isnan(table["age"].iloc[3])
    assert table["tags"].tolist() == ["a; b", "", "", ""]
    assert table["machine"].tolist() == ["1", "1", "2", "2"]
    assert set(table["type"]) == {"low energy"}
    assert table["annotated"].tolist() == [ANNOTATED] * 3 + [NOTHING]


def test_notes_say_what_keeps_its_name(whole):
    assert load_probe("cdd-cesm", path=whole).notes == [
        "findings that keep the table's words: post operative",
        f"no table {REGIONS}: there are no boxes",
        "what is not named in the findings of 1 of 4 images is not known",
    ]


def test_subtracted_images_have_the_density_of_the_breast(whole):
    table = load_probe("cdd-cesm", path=whole, images="CESM").table
    assert table.index.tolist() == ["P1_L_CM_MLO", "P2_R_CM_CC"]
    assert table["density"].tolist() == ["C", "B"]
    assert table["findings"].tolist() == ["non mass enhancement", ""]
    assert table["annotated"].tolist() == [NOTHING, NOTHING]
    assert len(load_probe("cdd-cesm", path=whole, images="all")) == 6


def test_presence_of_concepts(whole):
    presence = mapped_presence(load_probe("cdd-cesm", path=whole).table)
    assert presence["mass"].tolist() == [False, False, True, True]
    assert presence["architectural distortion"].tolist() == [True, False, False, None]
    assert presence["malignancy"].tolist() == [False, False, True, None]
    assert presence["suspicious calcification"].tolist() == [None] * 4
    assert presence["asymmetry"].tolist() == [False, False, False, None]
    assert presence["focal asymmetry"].tolist() == [None] * 4  # an asymmetry may be one


def test_without_regions_there_are_no_boxes(whole):
    with pytest.raises(LookupError, match=f"P1_L_DM_MLO.jpg: without {REGIONS} there are no boxes"):
        load_probe("cdd-cesm", path=whole).boxes(0)


def test_boxes_and_masks_are_the_regions(whole, tmp_path):
    root = shutil.copytree(whole, tmp_path / "cdd-cesm")
    drawn = [
        ("P1_L_DM_MLO.jpg", {"name": "polygon", "all_points_x": [2, 5.4, 2], "all_points_y": [1, 1, 4]}),
        ("P1_L_DM_MLO .jpg", {"name": "point", "cx": 8, "cy": 11}),
        ("P1_R_DM_CC.jpg", {}),
        ("P2_R_DM_CC.jpg", {"name": "rect", "x": -1, "y": 3, "width": 3, "height": 2}),
        ("P1_L_CM_MLO.jpg", {"name": "point", "cx": 0, "cy": 0}),
        ("P7_R_DM_CC.jpg", {"name": "circle", "cx": 3, "cy": 3, "r": 1}),
    ]
    write_regions(root, drawn)
    probe = load_probe("cdd-cesm", path=root)
    assert probe.boxes(0) == [
        {"finding": "architectural distortion", "xmin": 2, "ymin": 1, "xmax": 6, "ymax": 5},
        {"finding": "architectural distortion", "xmin": 8, "ymin": 11, "xmax": 9, "ymax": 12},
    ]
    (mask,) = probe.masks(0)
    assert (mask["finding"], mask["mask"].shape) == ("architectural distortion", (12, 9))
    assert mask["mask"][1].tolist() == [False] * 2 + [True] * 4 + [False] * 3
    assert mask["mask"][11].tolist() == [False] * 8 + [True]
    assert probe.boxes(1) == probe.masks(1) == []  # a normal one
    # Of two findings it is not known which one a region is.
    assert probe.boxes(2) == [{"finding": "region of interest", "xmin": 0, "ymin": 3, "xmax": 3, "ymax": 6}]
    with pytest.raises(LookupError, match=f"{REGIONS} has no region of it"):
        probe.boxes(3)
    assert probe.notes[1:3] == [
        f"{REGIONS}: no region of 1 image: P3_L_DM_CC that the table does not call normal",
        f"{REGIONS}: regions of 1 image: P7_R_DM_CC that the table does not name",
    ]
    assert load_probe("cdd-cesm", path=root, images="CESM").boxes(0)[0]["finding"] == "non mass enhancement"


def test_a_region_outside_the_image_is_an_error(root):
    write_regions(root, [("P1_L_DM_MLO.jpg", {"name": "point", "cx": 9, "cy": 0})])
    with pytest.raises(LookupError, match="from column 9 to 9 and row 0 to 0 lies outside the image of 12 x 9 pixels"):
        load_probe("cdd-cesm", path=root).masks(0)


@pytest.mark.parametrize("name", ["Radiology manual annotations.xlsx", "Radiology_manual_annotations.xlsx"])
def test_other_names_of_the_table(whole, root, name):
    (root / "Radiology-manual-annotations.csv").unlink()
    shutil.copy(whole / TABLES[0], root / name)
    assert load_probe("cdd-cesm", path=root, missing="skip").ids == ["P1_L_DM_MLO"]


def test_the_sheet_is_chosen_by_its_name(root):
    (root / "Radiology-manual-annotations.csv").unlink()
    write_book(root / TABLES[0], title="Sheet1")
    with pytest.raises(ValueError, match=r"3 sheets could be the table: Sheet1, mass_description, .*or call it 'all'"):
        load_probe("cdd-cesm", path=root)


def test_several_rows_of_an_image_become_one(root):
    second = FIRST | {
        "Image_name": "P1_L_DM_ MLO",
        "BIRADS": "2$5",
        "Findings": "mass",
        "Tags": "b$c",
        COLUMNS[-1]: "Malignant",
    }
    write_table(root / "Radiology-manual-annotations.csv", [FIRST, second])
    probe = load_probe("cdd-cesm", path=root)
    row = probe.table.iloc[0]
    assert probe.notes[:1] == ["Radiology-manual-annotations.csv: 2 rows of 1 images are merged, one each"]
    assert (row["findings"], row["birads"], row["cancer"]) == ("architectural distortion; mass", 5, True)
    assert (row["pathology"], row["tags"], row["annotated"]) == ("benign; malignant", "a; b; c", ANNOTATED)
    write_table(root / "Radiology-manual-annotations.csv", [FIRST, second | {"Side": "R", "Age": 53}])
    with pytest.raises(ValueError, match="lines 2, 3: P1_L_DM_MLO has several values of laterality: L, R; correct the table"):
        load_probe("cdd-cesm", path=root)


def test_missing_images_and_drawn_ones(whole, root):
    write_table(root / "Radiology-manual-annotations.csv", [FIRST, FIRST | {"Image_name": "P9_L_DM_CC"}])
    with pytest.raises(FileNotFoundError, match=r"1 of 2 images are not on disk \(1 image: P9_L_DM_CC\)"):
        load_probe("cdd-cesm", path=root)
    assert load_probe("cdd-cesm", path=root, missing="skip").skipped[0][0] == "P9_L_DM_CC"
    assert len(load_probe("cdd-cesm", path=whole, n_images=2, seed=1)) == 2


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ({"Image_name": ""}, "line 2: no Image_name"),
        ({"Side": ""}, "line 2, column 'Side': '' is not a side (L or R)"),
        ({"Side": "both"}, "line 2, column 'Side': 'both' is not a side"),
        ({"Type": "MRI"}, "line 2, column 'Type': 'MRI' is not a type (DM, CESM)"),
        ({"Type": "CESM"}, "line 2: P1_L_DM_MLO is low energy by its name, but subtracted by its Type; correct the table"),
        ({"Age": "young"}, "line 2, column 'Age': 'young' is not an age in years"),
        ({"density": "E"}, "column 'Breast density (ACR)': 'E' is not a density (A to D, or 1 to 4)"),
        ({"density": "A$B"}, "column 'Breast density (ACR)': 'A$B' is not a density"),
        ({"BIRADS": "3$9"}, "column 'BIRADS': '3$9' is not a BI-RADS category (0 to 6)"),
        ({"View": "ML"}, "column 'View': 'ML' is not a view (CC, MLO)"),
        ({"pathology": "Suspicious"}, "column 'Pathology Classification/ Follow up': 'Suspicious' is not a pathology"),
        ({"pathology": "Benign$?"}, "'Benign$?' is not a pathology (malignant, benign"),
    ],
)
def test_wrong_cells(root, cells, said):
    change(root, **cells)
    with pytest.raises(ValueError, match=re.escape(said)):
        load_probe("cdd-cesm", path=root)


@pytest.mark.parametrize("column", ["Image_name", "Patient_ID", "Side", "Type", "BIRADS", "Findings", COLUMNS[-1]])
def test_a_missing_column_is_named_with_those_there(root, column):
    write_table(root / "Radiology-manual-annotations.csv", [{key: cell for key, cell in FIRST.items() if key != column}])
    with pytest.raises(ValueError, match=f"has no column .*{re.escape(column)}.*; it has .*Breast density"):
        load_probe("cdd-cesm", path=root)


def test_wrong_files(root):
    with pytest.raises(ValueError, match=r"Radiology-manual-annotations.csv has no image of the Type CESM"):
        load_probe("cdd-cesm", path=root, images="CESM")
    write_image(root / "copy" / "P1_L_DM_ MLO.png")
    with pytest.raises(ValueError, match=r"the image P1_L_DM_MLO may be .*P1_L_DM_.*MLO.* or .*; keep one of them"):
        load_probe("cdd-cesm", path=root)
    (root / "Radiology-manual-annotations.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"no table Radiology-manual-annotations.xlsx .*; it holds copy, images"):
        load_probe("cdd-cesm", path=root)
    (root / TABLES[0]).write_bytes(b"PK\x03\x04 nonsense")
    with pytest.raises(ValueError, match="is not a workbook that can be read"):
        load_probe("cdd-cesm", path=root)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"images": "CM"}, "images='CM' is not one of 'DM', 'CESM', 'all'"),
        ({"missing": None}, "missing=None"),
        ({"n_images": 1.5}, "n_images=1.5 must be a whole number"),
        ({"split": "test"}, "unknown: split"),
    ],
)
def test_wrong_options(whole, options, said):
    with pytest.raises((ValueError, TypeError), match=re.escape(said)):
        load_probe("cdd-cesm", path=whole, **options)
