"""From a file of concepts to clean rows: one reader per format, one check for all of them."""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from mdissect.concepts.vocabulary import (
    BROAD_CATEGORY_OF,
    COLUMNS,
    DOMAINS,
    EVIDENCE,
    OTHER,
    TASKS,
    TAXONOMY,
    closest,
    name_key,
    spelling_key,
    variant_key,
)
from mdissect.lines import pad, read_text, table_lines
from mdissect.workbooks import Sheet, read_sheets

# What a format may hold without being refused; it is put right, which the notes say, or kept.
TOLERATED = {
    ".csv": frozenset({"column"}),
    ".txt": frozenset({"variant"}),
    ".xlsx": frozenset({"column", "whitespace", "empty", "duplicate", "case", "domain", "variant", "second file"}),
}
_TREATMENT = {
    "column": "ignored",
    "whitespace": "read without it",
    "empty": "left out",
    "duplicate": "read once",
    "case": "read in that case",
    "domain": "counted as 'other'",
    "variant": "both kept",
    "second file": "kept without one",
}
_ERRORS_SHOWN = 10


@dataclass(frozen=True)
class Row:
    """A row: its place ("mine.csv, row 3"), and its cells by column (only the columns of the file)."""

    where: str
    cells: dict[str, str]


@dataclass
class Findings:
    """Problems of a file: (kind, place and value, what to do)."""

    items: list[tuple[str, str, str]] = field(default_factory=list)

    def add(self, kind: str, where: str, what: str, remedy: str) -> None:
        self.items.append((kind, f"{where}: {what}", remedy))

    def settle(self, source: str, tolerated: frozenset[str]) -> tuple[str, ...]:
        """The tolerated problems as notes; ValueError that lists the others."""
        errors = [f"{what}; {remedy}" for kind, what, remedy in self.items if kind not in tolerated]
        if errors:
            listed = "\n  ".join(errors[:_ERRORS_SHOWN])
            more = f"\n  ... and {len(errors) - _ERRORS_SHOWN} more" if len(errors) > _ERRORS_SHOWN else ""
            raise ValueError(f"{source}: {len(errors)} to put right in this concept set\n  {listed}{more}")
        return tuple(f"{what}: {_TREATMENT[kind]}" for kind, what, _ in self.items)


# Reading: rows as they are


def read_list(path: Path, findings: Findings) -> list[Row]:
    """One concept a line."""
    lines = read_text(path).removesuffix("\n").split("\n")
    return [Row(f"{path.name}, row {number}", {"concept": line}) for number, line in enumerate(lines, start=1)]


def read_csv(path: Path, findings: Findings) -> list[Row]:
    """A table with a header."""
    return _table_rows(path.name, list(table_lines(path, ["concept"])), findings)


def read_workbook(path: Path, findings: Findings) -> list[Row]:
    """Sheets are broad categories and their columns categories; or a sheet is a table with a column `concept`."""
    rows = []
    for sheet in read_sheets(path):
        where = f"{path.name}, sheet {sheet.title!r}"
        header = [name_key(cell) for cell in sheet.rows[0][1]]
        if "concept" in header:
            rows += _table_rows(where, [(number, pad(cells, len(header))) for number, cells in sheet.rows], findings)
        else:
            rows += _sheet_rows(sheet, where, findings)
    return rows


def _sheet_rows(sheet: Sheet, source: str, findings: Findings) -> list[Row]:
    """Rows of a sheet with one column per category, column by column; columns may differ in length."""
    from openpyxl.utils import get_column_letter

    broad = _clean(sheet.title, source, findings)
    (first, header), *others = sheet.rows
    columns: dict[int, list[tuple[int, str]]] = {column: [] for column, cell in enumerate(header) if cell}
    for number, cells in others:
        for column, cell in enumerate(cells):
            if cell:
                columns.setdefault(column, []).append((number, cell))
    rows = []
    for column, filled in sorted(columns.items()):
        where = f"{source}, column {get_column_letter(column + 1)}"
        category = _clean(header[column] if column < len(header) else "", f"{where}, row {first}", findings)
        known = {"category": category, "broad_category": broad}
        rows += [Row(f"{where}, row {number}", known | {"concept": cell}) for number, cell in filled]
    return rows


def _table_rows(source: str, lines: list[tuple[int, list[str]]], findings: Findings) -> list[Row]:
    """Rows of a table; their numbers are the lines of the file, or those of the sheet."""
    first, names = lines[0] if lines else (1, [])
    where = f"{source}, row {first}"
    header = [_clean(cell, where, findings).casefold() for cell in names]
    if "concept" not in header:
        raise ValueError(f"{where}: expected a header with the column 'concept', found {header}; add it")
    for name in header:
        if header.count(name) > 1:
            raise ValueError(f"{where}: the column {name!r} stands there {header.count(name)} times; keep one")
        if name not in COLUMNS and (like := closest(name, COLUMNS)):
            raise ValueError(f"{where}: unknown column {name!r}{like}; rename or remove it")
        if name not in COLUMNS:
            findings.add("column", where, f"unknown column {name!r}", "remove it")
    rows, width = [], len(header)
    if all(not line or (len(line) > width and not any(line[width:])) for _, line in lines[1:]):  # a comma at the end of each
        lines = [(number, line[:width]) for number, line in lines]
    for number, line in lines[1:]:
        cells = line or [""] * len(header)  # a blank line
        if len(cells) == len(header):
            named = dict(zip(header, cells, strict=True))
            rows.append(Row(f"{source}, row {number}", {name: named[name] for name in COLUMNS if name in named}))
        else:
            what = f"{len(cells)} cells under {len(header)} columns: {cells}"
            findings.add("cells", f"{source}, row {number}", what, "fill the row up, quote cells that hold a comma")
    return rows


READERS = {".csv": read_csv, ".txt": read_list, ".xlsx": read_workbook}


# Checking: clean rows


def clean_rows(rows: Iterable[Row], findings: Findings) -> list[Row]:
    """Rows with all of `COLUMNS`, each concept-category pair once; all that had to be changed is a finding."""
    classified = []
    for row in rows:
        cells = {column: _clean(cell, row.where, findings) for column, cell in row.cells.items()}
        if cells["concept"]:
            classified.append(_classify(Row(row.where, cells), findings))
        else:
            findings.add("empty", row.where, f"the concept is empty {row.cells['concept']!r}", "write it or delete the row")
    unique = _without_repeats(classified, findings)
    _find_variants(unique, findings)
    return _with_one_domain(unique, findings)


def _clean(value: str, where: str, findings: Findings) -> str:
    """The value with single spaces inside and none around it."""
    clean = " ".join(value.split())
    if clean != value:
        findings.add("whitespace", where, f"stray whitespace in {value!r}", f"write {clean!r}")
    if _is_garbled(clean):
        findings.add("encoding", where, f"wrong encoding: {value!r} holds characters of a broken conversion", "type it again")
    return clean


def _is_garbled(text: str) -> bool:
    """Whether the text holds invisible or replacement characters, or is UTF-8 once read as Windows-1252 ('cafÃ©')."""
    if text.isascii() and text.isprintable():
        return False
    if "\ufffd" in text or any(unicodedata.category(c) in ("Cc", "Cf", "Co") for c in text):
        return True
    try:
        text.encode("cp1252").decode("utf-8")
    except UnicodeError:
        return False
    return True


def _classify(row: Row, findings: Findings) -> Row:
    """The row with names spelt as in the vocabulary, and what follows from its category filled in."""
    cells = dict.fromkeys(COLUMNS, "") | row.cells
    choices = {"category": BROAD_CATEGORY_OF, "broad_category": TAXONOMY, "domain": DOMAINS, "evidence": EVIDENCE}
    for column, known in choices.items():
        if cells[column] or (column == "category" and column in row.cells):
            cells[column] = _choose(cells[column], column, known, row.where, findings)
    tasks = [task for task in re.split(r"\s*;\s*", cells["tasks"]) if task]
    cells["tasks"] = ";".join(_choose(task, "tasks", TASKS, row.where, findings) for task in tasks)
    broad = BROAD_CATEGORY_OF.get(cells["category"], cells["broad_category"])
    domain = (DOMAINS[1] if broad == OTHER else DOMAINS[0]) if broad else cells["domain"]
    for column, implied in (("broad_category", broad), ("domain", domain)):
        if cells[column] not in ("", implied):
            what = f"{column} {cells[column]!r} does not go with {cells['category'] or broad!r}"
            findings.add("category", row.where, what, f"write {implied!r}")
    return Row(row.where, cells | {"broad_category": broad, "domain": domain})


def _choose(value: str, column: str, known: Iterable[str], where: str, findings: Findings) -> str:
    """The known name that is meant, whatever its case; else a finding and the empty string."""
    meant = {name_key(name): name for name in known}.get(name_key(value), "")
    if not meant:
        what = f"unknown {column} {value!r}{closest(value, known)}"
        findings.add("category", where, what, f"expected one of: {', '.join(known)}")
    return meant


def _without_repeats(rows: Iterable[Row], findings: Findings) -> list[Row]:
    """Each concept-category pair once, a concept in the same case everywhere (that of its first row)."""
    first: dict[str, Row] = {}
    pairs: dict[tuple[str, str], Row] = {}
    for row in rows:
        name, category = row.cells["concept"], row.cells["category"]
        known = first.setdefault(name.casefold(), row)
        same = known.cells["concept"]
        if name != same:
            findings.add("case", row.where, f"{name!r} is a duplicate of {same!r} ({known.where}) in another case", "keep one")
        earlier = pairs.setdefault((same, category), Row(row.where, row.cells | {"concept": same}))
        if earlier.where != row.where and name == same:
            findings.add("duplicate", row.where, f"{name!r} is a duplicate of the one at {earlier.where}", "keep one")
    return list(pairs.values())


def _find_variants(rows: Iterable[Row], findings: Findings) -> None:
    """A problem for each concept that differs from an earlier one only in spelling or number."""
    first: dict[str, Row] = {}
    for row in rows:
        name = row.cells["concept"]
        earlier = first.setdefault(variant_key(name), row)
        other = earlier.cells["concept"]
        if name != other:
            how = "spelling" if spelling_key(name) == spelling_key(other) else "number (singular, plural)"
            what = f"{name!r} is a duplicate of {other!r} ({earlier.where}) in another {how}"
            findings.add("variant", row.where, what, "keep one")


def _with_one_domain(rows: list[Row], findings: Findings) -> list[Row]:
    """Rows of a concept of both domains as 'other': the word alone does not describe a breast."""
    others = {row.cells["concept"]: row.where for row in rows if row.cells["domain"] == DOMAINS[1]}
    settled = []
    for row in rows:
        name = row.cells["concept"]
        if name in others and row.cells["domain"] == DOMAINS[0]:
            findings.add("domain", row.where, f"{name!r} is of domain 'other' too ({others[name]})", "give it one domain")
            row = Row(row.where, row.cells | {"domain": DOMAINS[1]})
        settled.append(row)
    return settled
