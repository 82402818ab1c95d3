"""What an entry of a table names, and what it nearly names."""

import pandas as pd
import pytest

from mdissect.probes.matching import hints, match_rows, near_misses

IDS = ["deep/a.png", "007.png", "9.png", "12.tif", "Case_001/L CC.PNG", "mdb001.pgm", "é.png"]


@pytest.mark.parametrize(
    ("entry", "image"),
    [
        ("9.0", "9.png"),
        ("9.", "9.png"),
        ("7", "007.png"),
        ("7.0", "007.png"),
        ("0007", "007.png"),
        ("09", "9.png"),
        ("1.2e+01", "12.tif"),
        ("9.dcm", "9.png"),
        ("12.TIFF", "12.tif"),
        ("12.nii.gz", "12.tif"),
        ("images/9.png", "9.png"),
        ("/data/images/9.png", "9.png"),
        (r"C:\images\9.png", "9.png"),
        ("https://host/9.png", "9.png"),
        ("other/a.png", "deep/a.png"),
        ("A.PNG", "deep/a.png"),
        ("Deep/A", "deep/a.png"),
        ("'9.png'", "9.png"),
        ("９", "9.png"),
        ("9 .png", "9.png"),
        ("l_cc.png", "Case_001/L CC.PNG"),
        ("case_1/l-cc", "Case_001/L CC.PNG"),
        ("MDB1", "mdb001.pgm"),
        ("mdb001.png", "mdb001.pgm"),
        ("É", "é.png"),
        ("\u200b9.png", "9.png"),
    ],
)
def test_a_near_miss_names_its_image(entry, image):
    assert match_rows(pd.Series([entry]), IDS, str) == [None]
    assert near_misses([entry], IDS) == {entry: [image]}


@pytest.mark.parametrize("entry", ["90", "70", "1", "b", "a1", "007b", "9.5", "mdb", ".png", "deep"])
def test_what_is_something_else_is_no_near_miss(entry):
    assert near_misses([entry], IDS) == {}


@pytest.mark.parametrize("entry", ["9", "9.png", " 9.png ", "./9.png", "deep/a", r"deep\a.png", "a", "e\u0301"])
def test_exact_forms_are_matched(entry):
    assert match_rows(pd.Series([entry]), IDS, str)[0] is not None


def test_hints_name_both_sides():
    missed = near_misses(["7", "x", "A"], ["007.png", "0007.png", "a.png"])
    assert hints(missed) == "'7' for '007.png' or '0007.png', 'A' for 'a.png'"


def test_the_folder_tells_which_of_several_is_meant():
    ids = ["p1/LEFT_CC/1.png", "p1/LEFT_MLO/1.png"]
    assert near_misses(["P1/left_mlo/1.dcm", "x/1.dcm"], ids) == {"P1/left_mlo/1.dcm": ids[1:], "x/1.dcm": ids}
