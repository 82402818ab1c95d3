"""Tests of what cells of mammogram tables mean: one vocabulary for the spellings of all data sets."""

import numpy as np
import pandas as pd
import pytest

from mdissect.probes.mammograms.embed_tables import ASSESSMENTS
from mdissect.probes.mammograms.meanings import (
    ABNORMALITY,
    SHARED,
    any_of,
    as_flags,
    birads,
    cancer,
    density,
    finding_names,
    flag,
    implant,
    joined,
    laterality,
    most_abnormal,
    parse_column,
    pathology,
    shared_first,
    view,
    years,
)


@pytest.mark.parametrize(
    ("cell", "letter"),
    [("DENSITY A", "A"), ("b", "B"), ("3", "C"), ("4.0", "D"), ("ACR 2", "B"), ("acr d", "D"), ("", "")],
)
def test_densities(cell, letter):
    assert density(cell) == letter


@pytest.mark.parametrize("cell", ["E", "0", "5", "ACR", "2-3", "1.5", "dense"])
def test_no_densities(cell):
    with pytest.raises(ValueError, match=r"a density \(A to D, or 1 to 4\)"):
        density(cell)


@pytest.mark.parametrize(
    ("cell", "category"),
    [("BI-RADS 1", 1), ("4a", 4), ("4B", 4), ("BIRADS 4c", 4), ("6", 6), ("0", 0), ("2.0", 2), ("", None)],
)
def test_categories(cell, category):
    assert birads(cell) == category


@pytest.mark.parametrize("cell", ["7", "-1", "4d", "5a", "2$3", "normal"])
def test_no_categories(cell):
    with pytest.raises(ValueError, match=r"a BI-RADS category \(0 to 6\)"):
        birads(cell)


def test_the_most_abnormal_category():
    assert list(ASSESSMENTS.values()) == list(ABNORMALITY)
    assert [most_abnormal(pair) for pair in ((1, 2), (3, 6), (0, 3), (0, 4), (5, 4), (None, 1), (None,))] == [
        2, 6, 0, 4, 5, 1, None,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("cell", "word", "is_cancer"),
    [
        ("MALIGNANT", "malignant", True), ("BENIGN", "benign", False), ("Benign", "benign", False), ("M", "malignant", True),
        ("BENIGN_WITHOUT_CALLBACK", "benign without callback", False), ("B", "benign", False), ("Normal", "normal", False),
        ("", "", None),
    ],
)  # fmt: skip
def test_pathologies(cell, word, is_cancer):
    assert pathology(cell) == word
    assert cancer(cell) is is_cancer


@pytest.mark.parametrize("cell", ["MALIGN", "1", "benign?", "carcinoma", "benign; malignant"])
def test_no_pathologies(cell):
    for parse in (pathology, cancer):
        with pytest.raises(ValueError, match="a pathology"):
            parse(cell)


def test_several_flags_as_one():
    assert any_of([]) is None
    assert any_of([None]) is None
    assert any_of([None, True]) is True
    assert any_of([False, None]) is None
    assert any_of([False, False]) is False


@pytest.mark.parametrize(("cell", "found"), [("1", True), ("0.0", False), ("True", True), ("NO", False), ("", None)])
def test_flags(cell, found):
    assert flag(cell) is found
    named = implant(cell)
    assert np.isnan(named) if found is None else named == ("implant" if found else "")


@pytest.mark.parametrize("cell", ["2", "-", "y", "10", "unknown"])
def test_no_flags(cell):
    with pytest.raises(ValueError, match="yes or no"):
        flag(cell)


@pytest.mark.parametrize(
    ("cell", "age"), [("61.0", 61), ("052Y", 52), ("089", 89), ("7", 7), ("0", 0), ("120", 120), ("", None)]
)
def test_ages(cell, age):
    assert years(cell) == age


@pytest.mark.parametrize("cell", ["121", "-4", "44.5", "012M", "old", "1e2"])
def test_no_ages(cell):
    with pytest.raises(ValueError, match="an age in years"):
        years(cell)


@pytest.mark.parametrize(
    ("cell", "code"),
    [("cc", "CC"), ("Cranio-Caudal", "CC"), ("medio-lateral oblique", "MLO"), ("399162004", "CC"), ("399368009", "MLO"),
     ("LMO", "LMO"), ("", "")],
)  # fmt: skip
def test_views(cell, code):
    assert view(cell) == code


def test_sides():
    assert [laterality(cell) for cell in ("Left", "R", "right", "l", "")] == ["L", "R", "R", "L", ""]
    with pytest.raises(ValueError, match="a side"):
        laterality("B")


def test_lists_in_one_cell():
    assert joined(["b", "a", "", "b"]) == "b; a"
    assert joined([]) == ""
    assert finding_names("['Mass', 'Mass']") == ("mass",)


def test_flags_as_a_column():
    assert as_flags([True, False]).dtype == bool
    unknown = as_flags([True, None, False])
    assert unknown.dtype == object
    assert unknown[0] is True
    assert np.isnan(unknown[1])
    assert unknown[2] is False


def test_the_shared_columns_are_completed():
    table = shared_first(pd.DataFrame({"age": [50], "view": ["CC"], "patient": ["a"]}))
    assert tuple(table.columns) == (*SHARED, "age")
    assert table.iloc[0][["laterality", "density", "findings", "view"]].tolist() == ["", "", "", "CC"]
    assert np.isnan(table["birads"].iloc[0])


def test_a_cell_is_named_with_its_place():
    column = pd.Series(["MALIGNANT", "odd"], index=[2, 7], name="pathology")
    with pytest.raises(ValueError, match=r"t\.csv, line 7, column 'pathology': 'odd' is not a pathology"):
        parse_column(column, pathology, "t.csv")
