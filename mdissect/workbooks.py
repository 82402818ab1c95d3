"""The sheets of an .xlsx workbook as rows of text; gaps between cells cost nothing."""

from __future__ import annotations

import datetime
import re
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from openpyxl.cell import Cell

Rows = list[tuple[int, list[str]]]

# A workbook of 100,000 rows of 20 columns has 60 MB of XML and 2 million cells.
MOST_BYTES, MOST_CELLS, MOST_ROWS = 1 << 30, 50_000_000, 1_048_576
_ADVICE = "save it again as .xlsx, or as CSV"
_FORMULA, _MERGED = re.compile(rb"<(?:\w+:)?f[\s>/]"), re.compile(rb'<(?:\w+:)?mergeCell\s[^>]*ref="([A-Z0-9:]+)"')


@dataclass(frozen=True)
class Sheet:
    """A sheet: its rows with content, by number (from 1), each up to its last filled cell."""

    title: str
    rows: Rows


def read_sheets(path: Path) -> list[Sheet]:
    """The sheets with cells; a cell is text as it was typed: 9 is "9", also where the file says 9.0, and 007 is "007".

    Raises
    ------
    ValueError
        No workbook, or one whose cells are not all known: a formula that was never calculated, an error such as #REF!, merged
        cells; the message names file, sheet and cell.
    """
    from openpyxl.reader.excel import ExcelReader

    class Reader(ExcelReader):
        def read_chartsheet(self, sheet, rel) -> None:
            """Skip it: it has no cells, and openpyxl cannot read it without a drawing."""

    def opened(data_only: bool):
        reader = Reader(file, read_only=True, data_only=data_only, keep_links=False)
        reader.read()
        return closing(reader.wb)

    uncalculated = _check_archive(path)
    try:
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of styles and lists of choices that openpyxl does not know
            with opened(data_only=True) as book:
                sheets = [Sheet(sheet.title, list(_rows(sheet, path))) for sheet in book.worksheets]
            if uncalculated:
                with opened(data_only=False) as book:
                    for sheet, read in zip(book.worksheets, sheets, strict=True):
                        _check_formulas(sheet, read, path)
    except _CellError:
        raise
    except Exception as error:  # openpyxl raises many kinds for a broken file: KeyError, TypeError, ParseError, zlib.error
        raise ValueError(f"{path} is not a workbook that can be read ({type(error).__name__}: {error}); {_ADVICE}") from error
    return [sheet for sheet in sheets if sheet.rows]


class _CellError(ValueError):
    """A cell that cannot be read, by file, sheet and cell."""


def _check_archive(path: Path) -> bool:
    """Raise ValueError unless the file is a workbook of a size that can be read; whether it contains formulas."""
    formulas = False
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if "xl/workbook.xml" not in names:
                kinds = (("content.xml", "an OpenDocument file"), ("xl/workbook.bin", "a binary workbook (.xlsb)"))
                what = next((what for name, what in kinds if name in names), f"a zip archive of {len(names)} files")
                raise _CellError(f"{path} is {what}, no table; {'unpack it' if 'zip' in what else _ADVICE}")
            if (size := sum(entry.file_size for entry in archive.infolist())) > MOST_BYTES:
                raise _CellError(f"{path} unpacks to {size / 2**30:.1f} GB; save it as CSV")
            for name in names:
                if name.startswith("xl/worksheets/") and name.endswith(".xml"):
                    text = archive.read(name)
                    formulas = formulas or bool(_FORMULA.search(text))
                    if merged := _MERGED.search(text):
                        raise _CellError(f"{path}: cells {merged[1].decode()} are merged; unmerge them and fill in each")
    except _CellError:
        raise
    except Exception as error:  # BadZipFile, zlib.error, RuntimeError (a password), NotImplementedError, ...
        raise ValueError(f"{path} is not a workbook that can be read ({error}); {_ADVICE}") from error
    return formulas


def _rows(sheet, path: Path) -> Iterator[tuple[int, list[str]]]:
    """Rows with content; gaps between them are skipped without reading row by row."""
    sheet.reset_dimensions()  # the size in the file may be wrong, and every row would be padded to it
    n_cells = 0
    for number, row in enumerate(sheet.iter_rows(), start=1):
        if number > MOST_ROWS or n_cells > MOST_CELLS:
            raise _CellError(f"{path}, sheet {sheet.title!r}, row {number}: more rows or cells than a table has; {_ADVICE}")
        if not row:
            continue
        n_cells += len(row)
        cells = ["" if cell.value is None else _text(cell, sheet.title, path) for cell in row]
        while cells and not cells[-1].strip():
            cells.pop()
        if cells:
            yield number, cells


def _text(cell: Cell, sheet: str, path: Path) -> str:
    """A cell as it was typed."""
    value = cell.value
    if isinstance(value, str):
        if cell.data_type == "e":
            raise _CellError(
                f"{path}, sheet {sheet!r}, cell {cell.coordinate} is the error {value}; correct it in the workbook"
            )
        return value
    if isinstance(value, datetime.datetime) and value.time() == datetime.time():
        return value.date().isoformat()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        value = int(value)
    if type(value) is int and re.fullmatch("0+", cell.number_format):  # shown as 007, kept as 7
        return str(value).zfill(len(cell.number_format))
    return str(value)


def _check_formulas(sheet, read: Sheet, path: Path) -> None:
    """Raise ValueError for a formula without a stored result."""
    known = dict(read.rows)
    sheet.reset_dimensions()
    for number, row in enumerate(sheet.iter_rows(), start=1):
        cells = known.get(number, [])
        for column, cell in enumerate(row):
            if cell.data_type == "f" and not "".join(cells[column : column + 1]):
                raise _CellError(
                    f"{path}, sheet {sheet.title!r}, cell {cell.coordinate} is a formula without its result; open and save the "
                    "workbook in a spreadsheet, or write the value"
                )
