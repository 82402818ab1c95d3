"""Workbooks as rows of text: ids as typed, cells that are not known refused by sheet and cell, nothing unbounded."""

import datetime
import re
import time
import zipfile

import openpyxl
import pytest

from mdissect.concepts import load_concepts
from mdissect.tables import read_text_table
from mdissect.workbooks import read_sheets


@pytest.fixture
def workbook(tmp_path):
    """Write {sheet: {cell: value}} as a workbook and give its path."""

    def to(sheets, name="table.xlsx"):
        book = openpyxl.Workbook()
        book.remove(book.active)
        for title, cells in sheets.items():
            sheet = book.create_sheet(title)
            for place, value in cells.items():
                sheet[place] = value
        book.save(tmp_path / name)
        return tmp_path / name

    return to


def with_part(path, name, change):
    """The same archive with a part of it changed by a function of its bytes."""
    with zipfile.ZipFile(path) as old:
        parts = {entry: old.read(entry) for entry in old.namelist()}
    parts[name] = change(parts[name])
    with zipfile.ZipFile(path, "w") as new:
        for entry, content in parts.items():
            new.writestr(entry, content)
    return path


SHEET = "xl/worksheets/sheet1.xml"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (9, "9"),
        (9.0, "9"),
        (-3.0, "-3"),
        (0.1, "0.1"),
        (1e300, "1e+300"),
        ("007", "007"),
        ("9.0", "9.0"),
        ("None", "None"),
        ("N/A", "N/A"),
        (True, "True"),
        (False, "False"),
        (datetime.date(2020, 1, 31), "2020-01-31"),
        (datetime.datetime(2020, 1, 31, 8, 5), "2020-01-31 08:05:00"),
        ("two\nlines", "two\nlines"),
        (" padded ", "padded"),
        ("'quoted", "'quoted"),
        (123456789012345, "123456789012345"),
    ],
)
def test_a_cell_is_text_as_it_was_typed(workbook, value, text):
    path = workbook({"S": {"A1": "id", "B1": "value", "A2": "x", "B2": value}})
    assert read_text_table(path)["value"].tolist() == [text]


def test_zeros_that_a_format_puts_before_a_number_are_kept(workbook):
    path = workbook({"S": {"A1": "id", "A2": 7, "A3": 1234, "A4": 9}})
    book = openpyxl.load_workbook(path)
    for cell in ("A2", "A3"):
        book["S"][cell].number_format = "000"
    book.save(path)
    assert read_text_table(path)["id"].tolist() == ["007", "1234", "9"]


def test_rows_have_their_numbers_and_blank_ones_are_left_out(workbook):
    cells = {"A2": "id", "B2": "class", "A4": "x", "B4": "mass", "A9": "y", "C9": " "}
    table = read_text_table(workbook({"S": cells}), ["id"])
    assert table.index.tolist() == [4, 9]
    assert table.to_numpy().tolist() == [["x", "mass"], ["y", ""]]


def test_the_content_tells_a_workbook_not_its_name(workbook, tmp_path):
    assert read_text_table(workbook({"S": {"A1": "id", "A2": "x"}}, "table.csv"))["id"].tolist() == ["x"]
    (tmp_path / "text.xlsx").write_text("id\nx\n")
    assert read_text_table(tmp_path / "text.xlsx")["id"].tolist() == ["x"]


def test_the_sheet_with_the_needed_columns_is_meant(workbook):
    sheets = {"legend": {"A1": "words", "A2": "x"}, "data": {"A1": "ID", "B1": "id", "B2": "7"}, "empty": {}}
    path = workbook(sheets)
    assert read_text_table(path, ["id"])["id"].tolist() == ["7"]
    with pytest.raises(ValueError, match=r"2 sheets could be the table: legend, data; keep one sheet"):
        read_text_table(path)
    with pytest.raises(ValueError, match="2 sheets could be the table: a, b"):
        read_text_table(workbook({name: {"A1": "id", "A2": "x"} for name in "ab"}), ["id"])
    with pytest.raises(ValueError, match="has no cells"):
        read_text_table(workbook({"S": {}}))


def test_of_several_sheets_one_is_meant_by_its_name(workbook):
    path = workbook({name: {"A1": "id", "A2": name} for name in ("part", "All ")})
    assert read_text_table(path, ["id"], sheet="all")["id"].tolist() == ["All"]
    with pytest.raises(ValueError, match="2 sheets could be the table: part, All ; keep one sheet, or call it 'data'"):
        read_text_table(path, ["id"], sheet="data")
    alone = workbook({"part": {"A1": "id", "A2": "x"}, "data": {"A1": "words"}}, "alone.xlsx")
    assert read_text_table(alone, ["id"], sheet="data")["id"].tolist() == ["x"]


@pytest.mark.parametrize("error", ["#REF!", "#N/A", "#DIV/0!", "#NAME?", "#VALUE!", "#NUM!", "#NULL!"])
def test_an_error_value_is_named_by_its_cell(workbook, error):
    path = workbook({"S": {"A1": "concept", "A2": "mass", "A3": error}})
    for read in (read_text_table, load_concepts):
        with pytest.raises(ValueError, match=rf"table\.xlsx, sheet 'S', cell A3 is the error {re.escape(error)}"):
            read(path)


def test_a_formula_without_its_result_is_named_by_its_cell(workbook):
    path = workbook({"other": {"A1": "x"}, "S": {"A1": "concept", "A2": "mass", "A5": "=A2"}})
    for read in (read_text_table, load_concepts):
        with pytest.raises(ValueError, match=r"sheet 'S', cell A5 is a formula without its result; open and save"):
            read(path)


def test_a_formula_with_its_result_is_its_result(workbook):
    path = workbook({"S": {"A1": "concept", "A2": "mass", "A3": "=A2"}})
    with_part(path, SHEET, lambda text: re.sub(rb"<v ?/>|<v></v>", b"<v>5</v>", text))
    assert read_text_table(path)["concept"].tolist() == ["mass", "5"]


def test_merged_cells_are_named(workbook):
    path = workbook({"S": {"A1": "patient", "A2": "p1", "B1": "id", "B2": "x", "B3": "y"}})
    book = openpyxl.load_workbook(path)
    book["S"].merge_cells("A2:A3")
    book.save(path)
    with pytest.raises(ValueError, match=r"cells A2:A3 are merged; unmerge them"):
        read_text_table(path)


@pytest.mark.parametrize("cell", ["A1048576", "XFD1", "XFD1048576"])
def test_a_cell_far_away_costs_little(workbook, cell):
    path = workbook({"S": {"A1": "concept", "A2": "mass", cell: "ladder" if cell != "XFD1" else "category"}})
    start = time.perf_counter()
    if cell == "A1048576":
        assert read_text_table(path)["concept"].tolist() == load_concepts(path).names == ["mass", "ladder"]
    elif cell == "XFD1":
        assert list(read_text_table(path).columns) == ["concept", "category"]
    else:
        with pytest.raises(ValueError, match=r"row 1048576: a cell in column 16384 \('ladder'\), beside the 1 of the header"):
            read_text_table(path)
    assert time.perf_counter() - start < 10


def test_many_far_cells_and_rows_beyond_a_sheet_are_bounded(workbook, monkeypatch):
    monkeypatch.setattr("mdissect.workbooks.MOST_CELLS", 100_000)
    path = workbook({"S": {f"XFD{row}": 1 for row in range(1, 20)}})
    with pytest.raises(ValueError, match="more rows or cells than a table has"):
        read_sheets(path)
    path = workbook({"S": {"A1": "a", "A2": "b"}})
    with_part(path, SHEET, lambda text: text.replace(b'r="2"', b'r="99999999999"').replace(b'r="A2"', b'r="A99999999999"'))
    with pytest.raises(ValueError, match=r"table\.xlsx"):
        read_sheets(path)


def test_what_a_sheet_says_of_its_size_is_not_believed(workbook):
    path = workbook({"S": {"A1": "id", "A2": "x"}})
    with_part(path, SHEET, lambda text: re.sub(rb'<dimension ref="[^"]*"', b'<dimension ref="A1:XFD1048576"', text))
    assert read_text_table(path)["id"].tolist() == ["x"]


def test_an_archive_that_unpacks_to_too_much_is_refused(workbook, monkeypatch):
    path = workbook({"S": {"A1": "id", "A2": "x"}})
    monkeypatch.setattr("mdissect.workbooks.MOST_BYTES", 100)
    with pytest.raises(ValueError, match=r"unpacks to .* GB; save it as CSV"):
        read_sheets(path)


def test_a_sheet_of_a_chart_is_passed_over(workbook):
    path = workbook({"S": {"A1": "concept", "A2": "mass"}})
    book = openpyxl.load_workbook(path)
    book.create_chartsheet("chart", 0)
    book.save(path)
    assert read_text_table(path)["concept"].tolist() == load_concepts(path).names == ["mass"]


def test_a_workbook_of_a_chart_alone_has_no_cells(tmp_path):
    book = openpyxl.Workbook()
    book.remove(book.active)
    book.create_chartsheet("chart")
    book.save(tmp_path / "chart.xlsx")
    for read in (read_text_table, load_concepts):
        with pytest.raises(ValueError, match=r"chart\.xlsx.*(no cells|not a workbook|holds no concepts)"):
            read(tmp_path / "chart.xlsx")


@pytest.mark.parametrize(
    ("part", "change"),
    [
        (SHEET, lambda text: text[: len(text) // 2]),
        (SHEET, lambda text: b"no xml"),
        (SHEET, lambda text: b""),
        (SHEET, lambda text: text.replace(b'r="A2"', b'r="2A"')),
        (SHEET, lambda text: re.sub(rb't="inlineStr"><is>.*?</is>', b't="s"><v>99</v>', text)),
        ("xl/workbook.xml", lambda text: text[:100]),
        ("xl/workbook.xml", lambda text: re.sub(rb'r:id="\w+"', b'r:id="rId99"', text)),
        ("xl/styles.xml", lambda text: b"<styleSheet>"),
        ("[Content_Types].xml", lambda text: b""),
    ],
)
def test_broken_parts_are_one_error_that_names_the_file(workbook, part, change):
    path = with_part(workbook({"S": {"A1": "concept", "A2": "mass"}}), part, change)
    for read in (read_text_table, load_concepts):
        with pytest.raises(ValueError, match=r"table\.xlsx"):
            read(path)


@pytest.mark.parametrize(
    ("names", "what"),
    [
        (["mimetype", "content.xml"], "an OpenDocument file, no table; save it again"),
        (["xl/workbook.bin"], "a binary workbook"),
        (["a.csv", "b.csv"], "a zip archive of 2 files, no table; unpack it"),
    ],
)
def test_archives_that_are_no_workbooks(tmp_path, names, what):
    with zipfile.ZipFile(tmp_path / "table.csv", "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    with pytest.raises(ValueError, match=what):
        read_text_table(tmp_path / "table.csv")
