"""Tables of any texts come back as they were written; files of any bytes are read or refused by name."""

import io
import zipfile

import openpyxl
import pandas as pd
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mdissect.lines import SEPARATORS
from mdissect.probes.metadata import join_table
from mdissect.tables import read_text_table, with_numbers, write_table

quick = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])

SPECIAL = st.sampled_from([*"=+-@'\"\t\r\n,;| $", "\r\n", "''", "\u2028", "\ufeff", "＝", "é", "NA", "007", "sep="])
CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
TEXTS = st.lists(SPECIAL | CHARACTERS, max_size=6).map("".join)
CLEAN = st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"], exclude_characters="\ufeff"), min_size=1, max_size=8)


@st.composite
def tables(draw, cells=TEXTS, names=TEXTS):
    columns = draw(st.lists(names.filter(lambda name: name.strip("\ufeff").strip()), min_size=1, max_size=4, unique=True))
    rows = draw(st.lists(st.tuples(*[cells] * len(columns)), min_size=1, max_size=5))
    return pd.DataFrame(rows, columns=columns, dtype=object)


@quick
@given(tables())
def test_what_was_written_is_read_back(tmp_path, table):
    write_table(tmp_path / "t.csv", table)
    found = read_text_table(tmp_path / "t.csv", [name for name in table if "|" not in name], own=True)
    assert list(found.columns) == list(table.columns)
    assert found.to_numpy().tolist() == table.to_numpy().tolist()


@quick
@given(
    tables(CLEAN, CLEAN), st.sampled_from(SEPARATORS), st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]),
    st.sampled_from(["\n", "\r\n"]),
)  # fmt: skip
def test_a_table_of_others_is_read_whatever_its_separator_and_encoding(tmp_path, table, separator, encoding, end):
    data = table.to_csv(sep=separator, index=False, lineterminator=end, quoting=1).encode(encoding)
    (tmp_path / "t.csv").write_bytes(data)
    found = read_text_table(tmp_path / "t.csv", [name for name in table if "|" not in name] if separator != "|" else [])
    if len(found.columns) == len(table.columns):
        assert found.to_numpy().tolist() == table.to_numpy().tolist()


def read_or_refused(path):
    """Read a file as a table; any error but a ValueError that names it fails."""
    refusal = str(path)
    try:
        with_numbers(read_text_table(path))
    except ValueError as error:
        refusal = str(error)
    assert str(path) in refusal


MARKS = [b"a", b"1", b"=", b",", b";", b"\n", b"\r", b'"', b"\0", b"\xff", b"\xfe", b"\xc3", b"\xef\xbb\xbf"]
NOISE = st.lists(st.sampled_from(MARKS))


@quick
@given(st.binary(max_size=200) | NOISE.map(b"".join))
@example(b"\xff\xfe")
@example(b"\xff\xfe\x00\xd8,\x00")
@example(b"PK\x03\x04")
@example(b"PK\x05\x06" + bytes(18))
def test_any_bytes_are_read_or_refused_by_name(tmp_path, data):
    (tmp_path / "t.csv").write_bytes(data)
    read_or_refused(tmp_path / "t.csv")


def _workbook() -> dict[str, bytes]:
    buffer = io.BytesIO()
    book = openpyxl.Workbook()
    for row in (["id", "class"], ["007", "mass"], [9, None]):
        book.active.append(row)
    book.save(buffer)
    with zipfile.ZipFile(buffer) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


PARTS = _workbook()


@quick
@given(st.sampled_from(sorted(PARTS)), st.data())
def test_a_damaged_workbook_is_read_or_refused_by_name(tmp_path, part, data):
    content = bytearray(PARTS[part])
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with zipfile.ZipFile(tmp_path / "t.xlsx", "w") as archive:
        for name, whole in PARTS.items():
            archive.writestr(name, bytes(content) if name == part else whole)
    read_or_refused(tmp_path / "t.xlsx")


@quick
@given(st.data())
def test_a_damaged_archive_is_read_or_refused_by_name(tmp_path, data):
    with zipfile.ZipFile(tmp_path / "t.xlsx", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, whole in PARTS.items():
            archive.writestr(name, whole)
    content = bytearray((tmp_path / "t.xlsx").read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    (tmp_path / "t.xlsx").write_bytes(content[: data.draw(st.integers(1, len(content)) | st.just(len(content)))])
    read_or_refused(tmp_path / "t.xlsx")


NAMES = st.lists(
    st.sampled_from(["a", "A", "007", "7", "9.0", "/", "\\", ".png", ".dcm", " ", "é", "-", "e", ".", ""]), max_size=4
)


@given(st.lists(NAMES, min_size=1, max_size=5), st.lists(NAMES, min_size=1, max_size=5), st.sampled_from(["raise", "note"]))
def test_any_entries_are_joined_to_images_or_refused(images, entries, unmatched):
    ids = list(dict.fromkeys(f"{''.join(image).strip('/. ') or 'x'}.png" for image in images))
    table = pd.DataFrame({"image": ["".join(entry) for entry in entries], "row": range(len(entries))})
    try:
        joined = join_table(table, "image", ids, unmatched=unmatched).table
    except ValueError:
        return
    assert joined.index.tolist() == ids
    assert joined["row"].notna().any()
