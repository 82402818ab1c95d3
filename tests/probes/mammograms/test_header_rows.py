"""What is taken from a DICOM header: columns, ids that must not be shown, and odd values."""

import numpy as np
import pytest
from made_dicom import header
from miniature import write_dicom
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from mdissect.probes.mammograms.header_rows import COLUMNS, read_header_row, read_header_rows

PIXELS = np.zeros((4, 4), np.uint16)


def row(tmp_path, **tags):
    return read_header_row(write_dicom(tmp_path / "a.dcm", PIXELS, **tags))


def coded(**words) -> Sequence:
    """A sequence of one item: CodeValue and CodeMeaning, or further sequences."""
    item = Dataset()
    for tag, value in words.items():
        setattr(item, tag, value)
    return Sequence([item])


def test_a_mammogram_of_a_machine(tmp_path):
    found = row(tmp_path, **header(2, "R"))
    assert found.row == {
        "patient": "0017", "study": "1.2.826.0.2", "laterality": "R", "view": "MLO", "age": 52, "manufacturer": "ACME",
        "machine": "Mammo 3000", "implant": "implant",
    }  # fmt: skip
    assert set(found.row) < set(COLUMNS)
    assert (found.odd, found.problem, found.is_index) == ({}, "", False)


def test_ids_and_parts_of_the_name(tmp_path):
    ids = row(tmp_path, **header(2, "R")).ids
    assert ids["0017"] == ids["Li"] == ids["Wu"] == ("P", "0017")
    assert ids["ACC-772"] == ("A", "ACC-772")
    assert ids["1.2.826.0.2"][0] == "S"
    assert ids["1.2.826.0.2.1.2"] == ("I", "1.2.826.0.2.1.2")
    nameless = row(tmp_path, PatientName="Doe^J^^Dr", PatientID="").ids
    assert nameless["Doe"] == nameless["Dr"] == ("P", "Doe^J^^Dr")
    assert "J" not in nameless  # would be found in any name


@pytest.mark.parametrize(
    ("tags", "column", "value"),
    [
        ({"PatientAge": "052Y"}, "age", 52),
        ({"PatientAge": "018M"}, "age", 1),
        ({"PatientAge": "100W"}, "age", 1),
        ({"PatientAge": "900D"}, "age", 2),
        ({"PatientAge": "000Y"}, "age", 0),
        ({"Laterality": "L"}, "laterality", "L"),
        ({"Laterality": "L", "ImageLaterality": "R"}, "laterality", "R"),
        ({"ViewPosition": "MLO"}, "view", "MLO"),
        ({"ViewPosition": "XCCL"}, "view", "XCCL"),
        ({"ViewCodeSequence": coded(CodeValue="399162004")}, "view", "CC"),
        ({"ViewCodeSequence": coded(CodeValue="R-10226", CodeMeaning="x")}, "view", "MLO"),
        ({"ViewCodeSequence": coded(CodeValue="Q-1", CodeMeaning="cranio-caudal")}, "view", "CC"),
        ({"BreastImplantPresent": "NO"}, "implant", ""),
        ({"BreastImplantPresent": "YES"}, "implant", "implant"),
        ({"ManufacturerModelName": " Mammo  3000 "}, "machine", "Mammo 3000"),
    ],
    ids=str,
)
def test_columns(tmp_path, tags, column, value):
    assert row(tmp_path, **tags).row[column] == value


@pytest.mark.parametrize(
    ("words", "letter"),
    [
        ("Almost entirely fat", "A"),
        ("Scattered fibroglandular densities", "B"),
        ("Heterogeneously dense", "C"),
        ("Extremely dense", "D"),
        ("something else", None),
    ],
)
def test_density_where_the_context_of_the_acquisition_gives_it(tmp_path, words, letter):
    context = coded(
        ConceptNameCodeSequence=coded(CodeMeaning="Breast composition"), ConceptCodeSequence=coded(CodeMeaning=words)
    )
    assert row(tmp_path, AcquisitionContextSequence=context).row.get("density") == letter


@pytest.mark.filterwarnings("ignore:Invalid value for VR AS")
@pytest.mark.parametrize(
    ("tag", "value"),
    [("PatientAge", "200Y"), ("PatientAge", "old"), ("ImageLaterality", "B"), ("BreastImplantPresent", "MAYBE")],
)
def test_odd_values_are_no_columns(tmp_path, tag, value):
    found = row(tmp_path, **{tag: value})
    assert found.odd == {tag: value}
    assert found.row == {}


def test_headers_are_read_again_only_when_a_file_changes(tmp_path, monkeypatch):
    path = write_dicom(tmp_path / "a.dcm", PIXELS, PatientID="1")
    assert read_header_rows([path])[0] is read_header_rows([path])[0]
    write_dicom(path, PIXELS, PatientID="another")
    assert read_header_rows([path])[0].row["patient"] == "another"


@pytest.mark.parametrize("content", [None, b"", b"PNG", b"\0" * 128 + b"DICM\x02\0"])
def test_what_is_no_header_is_a_problem_that_names_the_file(tmp_path, content):
    path = tmp_path / "a.dcm"
    if content is not None:
        path.write_bytes(content)
    found = read_header_row(path)
    assert found.problem.startswith(f"{path}: ")
    assert found.row == {}
