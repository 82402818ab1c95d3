"""Tables of own images joined to a folder: patients, several rows per image, boxes, rows that find no image."""

import re

import numpy as np
import openpyxl
import pandas as pd
import pytest
from PIL import Image

from mdissect.models import load_dissector
from mdissect.probes import load_probe
from mdissect.probes.metadata import join_table

IDS = ["a.png", "b.png", "c.png"]


@pytest.fixture
def join(tmp_path):
    """Join the text of a CSV, or a DataFrame, to images."""

    def to(table, ids=IDS, id_column="image", **options):
        if isinstance(table, str):
            (tmp_path / "t.csv").write_text(table, encoding="utf-8")
            table = tmp_path / "t.csv"
        return join_table(table, id_column, ids, **options)

    return to


def test_a_whole_probe_from_a_workbook_of_several_rows_per_image(tmp_path):
    for name in IDS:
        Image.fromarray(np.full((20, 30), 7, np.uint8)).save(tmp_path / name)
    book = openpyxl.Workbook()
    for row in (
        ["image", "patient_id", "class", "age", "xmin", "ymin", "xmax", "ymax"],
        ["a", 7, "mass", 50, 1, 2, 5, 6],
        ["a", 7, "calcification", 50, 3.5, 4, 9, 8],
        ["b", 7, "None", 50, None, None, None, None],
        ["c", 8, "mass", 61, 0, 0, 30, 20],
    ):
        book.active.append(row)
    book.save(tmp_path / "table.xlsx")
    probe = load_probe("folder", path=tmp_path, table=tmp_path / "table.xlsx", id_column="image")
    assert probe.table["class"].tolist() == ["mass; calcification", "None", "mass"]
    assert probe.table["age"].tolist() == [50, 50, 61]
    assert probe.patients == ["7", "7", "8"]
    assert probe.boxes(0) == [
        {"finding": "mass", "xmin": 1, "ymin": 2, "xmax": 5, "ymax": 6},
        {"finding": "calcification", "xmin": 3.5, "ymin": 4, "xmax": 9, "ymax": 8},
    ]
    assert (probe.boxes(1), len(probe.boxes(2))) == ([], 1)
    assert "xmin" not in probe.table
    assert probe.notes[1:] == [
        "table.xlsx: column 'patient_id' is taken for the patient; patient_column= names another",
        "table.xlsx: 3 boxes of 2 images, from xmin, ymin, xmax, ymax",
        "table.xlsx: 4 rows of 3 images are merged, one each",
    ]
    assert load_dissector("labels", probe=probe, column="class").labels == ["None", "calcification", "mass"]


def test_images_without_columns_of_boxes_have_none(tmp_path):
    Image.fromarray(np.full((20, 30), 7, np.uint8)).save(tmp_path / "a.png")
    probe = load_probe("folder", path=tmp_path, table=pd.DataFrame({"image": ["a"], "xmin": [1]}), id_column="image")
    with pytest.raises(LookupError):
        probe.boxes(0)


# Cells


@pytest.mark.parametrize("word", ["None", "NA", "N/A", "null", "nan", "NaN", "n/a", "NULL"])
def test_words_for_nothing_are_classes_and_ids(join, word):
    joined = join(f"image,class\n{word},{word}\nb,mass\nc,\n", ids=[f"{word}.png", "b.png", "c.png"])
    assert joined.table["class"].iloc[0] == word
    assert joined.table["class"].isna().tolist() == [False, False, True]
    frame = pd.DataFrame({"image": [word, "b", "c"], "class": [word, "mass", np.nan]})
    assert join(frame, ids=[f"{word}.png", "b.png", "c.png"]).table["class"].iloc[0] == word


def test_types_are_those_of_the_cells(join):
    joined = join("image,age,code,density,malignant,score\na,45,007,A,True,0.5\nb,50,8,B,False,\nc,61,9,C,True,1e-3\n")
    assert joined.table.dtypes.astype(str).to_dict() | {"code": "", "density": "", "image": ""} == {
        "image": "", "age": "int64", "code": "", "density": "", "malignant": "bool", "score": "float64",
    }  # fmt: skip
    assert joined.table.code.tolist() == ["007", "8", "9"]


def test_a_comma_at_the_end_of_every_row_shifts_nothing(join):
    assert join("image,class\na,x,\nb,y,\nc,z,\n").table["class"].tolist() == ["x", "y", "z"]


def test_near_numbers_are_noted(join):
    assert join("image,age\na,45\nb,NA\nc,50\n").notes == [
        "t.csv: column 'age' holds numbers and 'NA' (1): kept as text; leave cells empty where nothing is known"
    ]


# Patients


@pytest.mark.parametrize(
    "column",
    ["patient_id", "PatientID", "Patient ID", "patientId", "empi_anon", "anon_patientid", "ClientID", "subject_id", "PATIENT",
     "MRN", "Patient Number", "participant-id"],
)  # fmt: skip
def test_a_column_that_says_patient_is_taken_for_it_and_said(join, column):
    joined = join(f"image,{column},class\na,01,x\nb,01,y\nc,2,z\n")
    assert joined.table["patient"].tolist() == ["01", "01", "2"]
    assert joined.table[column].tolist() == ["01", "01", "2"]
    assert joined.notes == [f"t.csv: column {column!r} is taken for the patient; patient_column= names another"]


@pytest.mark.parametrize("column", ["study_id", "case", "AccAnon", "exam_id", "pid"])
def test_a_column_that_may_be_the_patient_is_only_noted(join, column):
    joined = join(f"image,{column}\na,1\nb,1\nc,2\n")
    assert "patient" not in joined.table
    assert [f"patient_column={column!r} may be it" in note for note in joined.notes] == [True]


@pytest.mark.parametrize("column", ["patient_age", "patients", "PatientOrientation", "idpatient2", "class"])
def test_other_columns_are_no_patients(join, column):
    joined = join(f"image,{column}\na,1\nb,1\nc,2\n")
    assert "patient" not in joined.table
    assert joined.notes == []


def test_the_patient_is_the_column_that_is_named(join):
    text = "image,patient_id,woman\na,1,007\nb,2,007\nc,3,\n"
    joined = join(text, patient_column="woman")
    assert joined.table["patient"].tolist()[:2] == ["007", "007"]
    assert joined.table["patient"].isna().tolist() == [False, False, True]
    assert joined.notes == ["t.csv: no patient of 1 image: c.png, each counts as its own"]
    assert join(text.replace("woman", "patient")).notes == joined.notes


def test_a_word_for_nobody_is_a_patient_and_noted(join):
    joined = join("image,patient\na,NA\nb,NA\nc,1\n")
    assert joined.table["patient"].tolist() == ["NA", "NA", "1"]
    assert joined.notes == ["t.csv: 'NA' counts as a patient; leave cells empty where none is known"]


@pytest.mark.parametrize("ids", [[7, 7, 8], [7.0, 7.0, 8.0], ["7", "7", "8"]])
def test_patients_of_a_data_frame_are_text(join, ids):
    joined = join(pd.DataFrame({"image": IDS, "PatientID": ids}))
    assert joined.table["patient"].tolist() == ["7", "7", "8"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,patient,woman\na,1,2\n", "t.csv has a column 'patient' beside patient_column='woman'; rename or remove it"),
        ("image,class\na,1\n", "t.csv has no column 'woman'; its columns are image, class"),
    ],
)
def test_a_patient_column_that_cannot_be(join, text, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        join(text, ids=["a.png"], patient_column="woman")


def test_a_patient_column_without_a_table(tmp_path):
    Image.fromarray(np.full((20, 30), 7, np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match="patient_column='woman' was given without a table"):
        load_probe("folder", path=tmp_path, patient_column="woman")


# Several rows of an image


@pytest.mark.parametrize(
    ("cells", "merged"),
    [
        (["mass", "mass"], "mass"),
        (["mass", "calcification"], "mass; calcification"),
        (["mass", ""], "mass"),
        (["", "mass"], "mass"),
        (["mass; scar", "scar; mass"], "mass; scar"),
        (["None", "mass"], "None; mass"),
        (["True", "False"], True),
        (["false", "FALSE"], False),
        (["45", "45"], 45),
        (["2", "3"], "2; 3"),
        (["007", "8"], "007; 8"),
    ],
)
def test_rows_of_one_image_are_merged(join, cells, merged):
    other = cells[0] if isinstance(merged, (bool, int)) else "other"
    joined = join(f"image,c\na,{cells[0]}\na.png,{cells[1]}\nb,{other}\n", ids=["a.png", "b.png"])
    assert joined.table.loc["a.png", "c"] == merged
    assert joined.table["image"].tolist() == ["a", "b"]
    assert joined.notes == ["t.csv: 3 rows of 2 images are merged, one each"]


def test_flags_are_true_where_one_row_says_so(join):
    joined = join("image,mass,calc\na,1,0\na,0,0\nb,0,1\nc,0,\n")
    assert joined.table["mass"].tolist() == [1, 0, 0]
    assert joined.table["calc"].tolist()[:2] == [0, 1]


def test_rows_of_a_data_frame_are_merged(join):
    frame = pd.DataFrame({"image": ["a", "b", "a"], "n": [1, 5, 2], "age": [50, 60, 50], "tags": [["x"], ["y"], ["z"]]})
    joined = join(frame, ids=["a.png", "b.png"])
    assert joined.table["n"].tolist() == ["1; 2", 5]
    assert joined.table["age"].tolist() == [50, 60]
    assert joined.table["tags"].tolist() == ["x; z", ["y"]]


def test_an_image_has_one_patient(join):
    with pytest.raises(ValueError, match=r"t\.csv, lines 2, 4 name different patients for the image 'a\.png'"):
        join("image,patient\na,p1\nb,p1\na,p2\nc,p1\n")


# Boxes


@pytest.mark.parametrize("box", ["5,1,2,6", "1,5,2,5", "1,1,,6", "x,1,2,6", "-1,0,2,6", "1,1,inf,6", "nan,1,2,6"])
def test_a_row_that_is_no_box_is_named(join, box):
    with pytest.raises(ValueError, match=r"t\.csv, line 3: XMin, ymin, xmax, ymax = .* is not a box in pixels"):
        join(f"image,XMin,ymin,xmax,ymax\na,1,1,2,2\nb,{box}\nc,,,,\n")


# Rows and images that find no partner


@pytest.mark.parametrize(
    ("table", "ids", "message"),
    [
        (pd.DataFrame({"image": [7, 12, 100]}), ["007.png", "012.png", "100.png"], "near misses: '7' for '007.png', '12' for"),
        (pd.DataFrame({"image": [9.0, 10.0]}), ["9.png", "10.png"], "near misses: '9.0' for '9.png', '10.0' for '10.png'"),
        ("image\n7\n012\n", ["007.png", "012.png"], "1 row: 7 (no such image); no row for 1 image: 007.png; near misses"),
        ("image\nimages/a.png\n", ["a.png"], "near misses: 'images/a.png' for 'a.png'"),
        ("image\na.dcm\nb.png\nc.png\n", IDS, "near misses: 'a.dcm' for 'a.png'"),
        ("image\nA.png\nb\nc\n", IDS, "near misses: 'A.png' for 'a.png'"),
        ("image\n/home/me/images/a.png\nb\nc\n", IDS, "for 'a.png'. Write the entries as the images are called"),
        ("image\nx\n", IDS, "none of its 1 rows names an image: entries such as 'x', images such as 'a.png'"),
        ("image\na\nx\ny\n", IDS, "2 rows: x, y (no such image); no row for 2 images: b.png, c.png"),
    ],
)  # fmt: skip
def test_lost_rows_are_an_error_that_names_both_sides(join, table, ids, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        join(table, ids)


def test_a_table_of_more_images_than_the_folder_holds_is_ordinary(join):
    joined = join("image\n" + "\n".join([*"abc", *map(str, range(100)), "A"]) + "\n")
    assert joined.notes == ["t.csv: 101 rows: 0, 1, 2, 3, 4, ... (96 more) (no such image)"]


def test_lost_rows_are_noted_on_request(join):
    joined = join("image\na\nB\nx\n", unmatched="note")
    assert joined.notes == [
        "t.csv: 2 rows: B, x (no such image)",
        "t.csv: no row for 2 images: b.png, c.png",
        "t.csv: near misses: 'B' for 'b.png'",
    ]
    with pytest.raises(ValueError, match="unmatched='drop' is not one of 'raise', 'note'"):
        join("image\na\n", unmatched="drop")


def test_what_is_no_table_is_said(join):
    with pytest.raises(TypeError, match=r"table=\['a'\] must be a str or Path or DataFrame"):
        join(["a"])
    with pytest.raises(ValueError, match="the table: the column 'image' stands there more than once"):
        join(pd.DataFrame([["a", "b"]], columns=["image", "image"]))
    with pytest.raises(ValueError, match="the table has no rows"):
        join(pd.DataFrame({"image": []}))
