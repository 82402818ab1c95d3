"""Lines of text files in their encoding, and rows of tables as cells.

Text is UTF-8 with or without byte order mark, UTF-16 or UTF-32 with one; other encodings are refused, since nothing in a file
says which one it is in. Cells are separated by comma, semicolon, tab or "|", whichever fits the header, or stand in the sheet
of a workbook. The kind of file is detected from its content, not its name.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from mdissect.arguments import listed, shown, some_path
from mdissect.files import is_lfs_pointer
from mdissect.workbooks import Rows, read_sheets

SEPARATORS = (",", ";", "\t", "|")
_MARKS = {  # those of UTF-32 begin like those of UTF-16
    codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16",
}  # fmt: skip
_WORKBOOK = b"PK\x03\x04"
_NO_TABLES = (
    (b"\xd0\xcf\x11\xe0", "an old (.xls) or a protected workbook", "save it as .xlsx without a password, or as CSV"),
    *(
        (start, "compressed", "unpack it")
        for start in (b"\x1f\x8b", b"BZh91AY", b"\xfd7zXZ", b"(\xb5/\xfd", b"7z\xbc\xaf", b"Rar!\x1a")
    ),
    *((start, "an image", "give the table") for start in (b"\x89PNG", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"GIF8")),
    *((start, "a binary data file", "save it as CSV") for start in (b"PAR1\x15", b"\x89HDF", b"SQLite format", b"\x93NUMPY")),
    *((start, "a web page", "download the file itself") for start in (b"<!doctype html", b"<html")),
    (b"<?xml", "an XML file", "save it as CSV"),
    (b"%pdf-", "a PDF file", "give the table"),
    (b"{\\rtf", "a formatted text", "save it as CSV"),
)


def table_lines(path: str | Path, needed: Sequence[str] = (), sheet: str | None = None) -> Iterator[tuple[int, list[str]]]:
    """The lines of a table as they are, each with the number at which it begins; a blank line has no cells.

    `needed`: columns of the header that identify the separator, or the sheet, if several are possible; of several sheets that
    have them, the one that is called `sheet`.
    """
    path = some_path("path", path)
    encoding = _encoding(path)
    if encoding is None:
        yield from _sheet_lines(path, needed, sheet)
        return
    with path.open(encoding=encoding, newline="") as file:
        begins = 1
        try:
            csv.field_size_limit(max(csv.field_size_limit(), 1 << 26))  # masks in run-length code are long
            separator, skipped = _separator(file, needed)
            file.seek(0)
            reader = csv.reader(_checked(file, path), delimiter=separator, strict=True)
            for cells in reader:
                if begins > skipped:
                    yield begins, cells
                begins = reader.line_num + 1
        except csv.Error as error:
            raise ValueError(f"{path}, line {begins}: a row that cannot be read ({error}); check its quotation marks") from None
        except UnicodeError:
            raise ValueError(_undecodable(path, encoding)) from None


def read_text(path: str | Path) -> str:
    """The text of a file, lines ended by a newline only; ValueError for other files."""
    path = Path(path)
    encoding = _encoding(path)
    if encoding is None:
        raise ValueError(f"{path} is a zip archive or a workbook, no text")
    try:
        with path.open(encoding=encoding) as file:
            return "".join(_checked(file, path))
    except UnicodeError:
        raise ValueError(_undecodable(path, encoding)) from None


def _checked(lines: Iterable[str], path: Path) -> Iterator[str]:
    for number, line in enumerate(lines, start=1):
        if "\0" in line:
            raise ValueError(
                f"{path}, line {number}: a zero byte; this is not text, or UTF-16 without a mark: save it as UTF-8"
            )
        yield line


def _encoding(path: Path) -> str | None:
    """The encoding of a text, None of a workbook; ValueError that says what else the file is."""
    if not path.exists():
        raise FileNotFoundError(f"no table {path}")
    if not path.is_file():
        raise ValueError(f"{path} is {'a folder' if path.is_dir() else 'no file'}; give the file of the table")
    with path.open("rb") as file:
        start = file.read(4096)
    if start.startswith(_WORKBOOK):
        return None
    if is_lfs_pointer(start):
        raise ValueError(f"{path} is a git-lfs pointer, not the table itself; fetch it with `git lfs pull`")
    for known, what, advice in _NO_TABLES:
        if start.startswith(known) or start.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(known):
            raise ValueError(f"{path} is {what}, no table; {advice}")
    return next((encoding for mark, encoding in _MARKS.items() if start.startswith(mark)), "utf-8")


def _undecodable(path: Path, encoding: str) -> str:
    """A message about the first bytes of a file that are not in its encoding."""
    if not encoding.startswith("utf-8"):
        return f"{path}: wrong encoding, broken {encoding.upper()}; save it as UTF-8"
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                before = line[: error.start]
                number += before.count(b"\r")  # lines of old Macs end so
                cell = re.split(rb"[,;\t|\r]", before)[-1] + re.split(rb"[,;\t|\r\n]", line[error.start :])[0]
                found = f"byte 0x{line[error.start]:02x} in {shown(cell.decode('cp1252', 'replace').strip())}"
                place = f"{path}, line {number}"
                return f"{place}: wrong encoding, not UTF-8: {found}; save it as UTF-8 (in a spreadsheet: 'CSV UTF-8')"
    return f"{path}: wrong encoding, not UTF-8; save it as UTF-8"


def _separator(file: io.TextIOBase, needed: Sequence[str]) -> tuple[str, int]:
    """The separator that fits the header, and how many lines before it only name it ("sep=;").

    Of the separators that the header holds: those that show the needed columns, then those that give all of the first rows as
    many cells as the header, then the one that gives most of them.
    """
    sample = list(islice(iter(lambda: file.readline(1 << 20), ""), 50))
    if sample and (named := re.fullmatch(r'sep=([^\w\s"]|\t)[\r\n]*', sample[0])):
        return named[1], 1
    wanted = set(map(_key, needed))

    def fit(separator: str) -> tuple[int, bool, int]:
        try:
            rows = [cells for cells in csv.reader(sample, delimiter=separator) if any(map(str.strip, cells))]
        except csv.Error:
            return 0, False, 0
        header = set(map(_key, rows[0])) if rows else set()
        even = len({len(cells) for cells in (rows[:-1] if len(rows) > 2 else rows)}) <= 1  # the last may be cut off
        return len(wanted & header), even and len(header) > 1, max(1, len(header))

    return max(SEPARATORS, key=fit), 0  # the first of those that fit as well


def _key(name: str) -> str:
    """The name of a column as it is compared, also where it is guarded from spreadsheets by an apostrophe."""
    return name.strip().lstrip("'").casefold()


def _sheet_lines(path: Path, needed: Sequence[str], title: str | None = None) -> Rows:
    """The rows of the chosen sheet, each padded to its header."""
    sheets = read_sheets(path)
    wanted = set(map(_key, needed))
    fitting = [sheet for sheet in sheets if wanted & set(map(_key, sheet.rows[0][1]))] or sheets
    if len(fitting) > 1 and title is not None:
        fitting = [sheet for sheet in fitting if _key(sheet.title) == _key(title)] or fitting
    if len(fitting) != 1:
        named = f", or call it {title!r}" if title is not None else ""
        several = f"{len(fitting)} sheets could be the table: {listed([sheet.title for sheet in fitting])}"
        raise ValueError(f"{path} has {several if fitting else 'no cells'}; keep one sheet{named}")
    (sheet,) = fitting
    width = len(sheet.rows[0][1])
    for number, cells in sheet.rows:
        if len(cells) > width:
            found = f"a cell in column {len(cells)} ({shown(cells[-1])}), beside the {width} of the header"
            raise ValueError(f"{path}, sheet {sheet.title!r}, row {number}: {found}; name its column, or clear it")
    return [(number, pad(cells, width)) for number, cells in sheet.rows]


def pad(cells: list[str], width: int) -> list[str]:
    """The cells of a sheet's row, which ends with its last filled one, up to the width of the header."""
    return cells + [""] * (width - len(cells))
