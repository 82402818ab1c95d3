"""Tests of the writer of files: whole or not there, checked when read, and nothing of this machine in what is handed on."""

import json
import os
import stat
import threading
from pathlib import Path

import faults
import numpy as np
import pandas as pd
import pytest
import toys

from mdissect.files import (
    DamagedFileError,
    checksum,
    read_sealed,
    read_together,
    read_whole_set,
    whole_file,
    without_folders,
    write_atomically,
    write_in_turn,
    write_sealed,
    write_together,
)


def mode(path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def flips(data: bytes):
    """The data with one bit of each byte turned."""
    return (data[:i] + bytes([data[i] ^ 1 << i % 8]) + data[i + 1 :] for i in range(len(data)))


# One file


def test_a_file_is_replaced_as_a_whole_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "table.csv"
    write_atomically(path, b"old")
    with whole_file(path) as file:
        file.write(b"half of the new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"half of the new"
    with pytest.raises(TypeError):
        write_atomically(path, "no bytes")
    assert path.read_bytes() == b"half of the new"
    write_atomically(path, memoryview(b"new"))
    assert path.read_bytes() == b"new"
    assert names(path.parent) == ["table.csv"]


def test_private_files_are_read_by_their_owner_alone(tmp_path):
    write_atomically(tmp_path / "a", b"", private=True)
    write_atomically(tmp_path / "b", b"")
    assert mode(tmp_path / "a") == 0o600
    assert mode(tmp_path / "b") == 0o666 & ~umask()
    write_atomically(tmp_path / "b", b"", private=True)
    assert mode(tmp_path / "b") == 0o600


def umask() -> int:
    found = os.umask(0)
    os.umask(found)
    return found


@pytest.mark.parametrize("write", [write_atomically, write_sealed, lambda path, data: write_in_turn({path: data})])
def test_a_full_disk_leaves_the_old_file(tmp_path, write):
    path = tmp_path / "file"
    write(path, b"old")
    before = path.read_bytes()
    with toys.full_disk(1000), pytest.raises(OSError, match=f"File too large: '{path}'"):
        write(path, bytes(5000))
    assert (names(tmp_path), path.read_bytes()) == (["file"], before)


def test_an_error_of_another_file_stays_as_it_is(tmp_path):
    def copy_nothing():
        with whole_file(tmp_path / "copy") as file:
            file.write((tmp_path / "original").read_bytes())

    with pytest.raises(FileNotFoundError, match=r"original'$"):
        copy_nothing()
    assert names(tmp_path) == []


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match=str(tmp_path / "file")):
        write_atomically(tmp_path / "file" / "below", b"")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match=f"'{tmp_path / 'folder'}'$"):
        write_atomically(tmp_path / "folder", b"")
    assert names(tmp_path) == ["file", "folder"]


@pytest.mark.slow
def test_files_take_their_places_in_turn_once_all_are_there(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    write_in_turn({one: b"old", two: b"old"})
    found = set()
    for _ in faults.deaths(lambda: write_in_turn({one: b"new", two: b"new"})):
        found.add((one.read_bytes(), two.read_bytes()))
        write_in_turn({one: b"old", two: b"old"})
    assert found == {(b"old", b"old"), (b"new", b"old"), (b"new", b"new")}


def test_files_in_turn_are_all_old_on_a_full_disk(tmp_path):
    files = [tmp_path / name for name in ("one", "two", "three")]
    write_in_turn(dict.fromkeys(files, b"old"))
    with toys.full_disk(1000), pytest.raises(OSError, match="File too large"):
        write_in_turn(dict(zip(files, [b"new", b"new", bytes(5000)], strict=True)))
    assert {path.read_bytes() for path in files} == {b"old"}
    assert len(names(tmp_path)) == 3


# Sealed files


def test_no_byte_of_a_sealed_file_changes_unnoticed(tmp_path):
    path, data = tmp_path / "state.pt", bytes(range(40))
    write_sealed(path, data)
    assert bytes(read_sealed(path)) == data
    whole = path.read_bytes()
    for damaged in (*flips(whole), *(whole[:n] for n in range(len(whole))), whole + b"\0", data):
        path.write_bytes(damaged)
        with pytest.raises(DamagedFileError, match=r"state\.pt is damaged: it does not meet its checksum; write it again"):
            read_sealed(path)


def test_an_empty_file_can_be_sealed(tmp_path):
    write_sealed(tmp_path / "empty", b"")
    assert bytes(read_sealed(tmp_path / "empty")) == b""


# Files that belong together

FILES = {"arrays.safetensors": b"1 2 3", "probe.json": b"{}"}
DOCUMENT = {"settings": {"a": 1.5, "ä": [None, True]}, "layers": ["x"]}


@pytest.fixture
def manifest(tmp_path):
    """A set that was written."""
    path = tmp_path / "set" / "dissection.json"
    write_together(path, DOCUMENT, FILES, private=True)
    return path


def test_a_set_comes_back(manifest):
    document, read = read_together(manifest)
    assert document == DOCUMENT
    assert {name: read(name) for name in FILES} == FILES
    assert read_whole_set(manifest) == (DOCUMENT, FILES)
    assert {mode(path) for path in manifest.parent.iterdir() if path.suffix != ".lock"} == {0o600}
    assert mode(manifest.parent) == 0o700
    with pytest.raises(DamagedFileError, match=r"dissection\.json lists no other\.json"):
        read("other.json")


def test_what_was_replaced_or_never_finished_is_deleted_and_nothing_else(manifest):
    kept = ["arrays-of-mine.safetensors", "notes.txt", ".notes.txt.0123.part"]
    litter = ["arrays-0123456789ab.safetensors", ".arrays-0123456789ab.safetensors.77.part"]
    for name in (*kept, *litter):
        (manifest.parent / name).write_bytes(b"")
    write_together(manifest, DOCUMENT, {"arrays.safetensors": b"4 5 6", "probe.json": b"{}"})
    written = ["dissection.json", f"arrays-{checksum(b'4 5 6')[:12]}.safetensors", f"probe-{checksum(b'{}')[:12]}.json"]
    assert names(manifest.parent) == sorted([*written, *kept, ".dissection.json.lock"])


def test_no_byte_of_a_set_changes_unnoticed(manifest):
    for path in [path for path in manifest.parent.iterdir() if path.suffix != ".lock"]:
        whole = path.read_bytes()
        for damaged in (*flips(whole), whole[:-1], b"", whole + b" ", None):
            path.write_bytes(damaged) if damaged is not None else path.unlink()
            error = FileNotFoundError if damaged is None and path == manifest else DamagedFileError
            with pytest.raises(error, match=path.name):
                read_whole_set(manifest)
        path.write_bytes(whole)
    assert read_whole_set(manifest) == (DOCUMENT, FILES)


def test_files_of_another_set_are_noticed(manifest):
    write_together(manifest.parent / "other.json", DOCUMENT, {"arrays.safetensors": b"3 2 1"})
    ours, theirs = (manifest.parent / f"arrays-{checksum(data)[:12]}.safetensors" for data in (b"1 2 3", b"3 2 1"))
    if not ours.exists():  # one folder is for one set
        write_together(manifest, DOCUMENT, FILES)
        theirs.write_bytes(b"3 2 1")
    ours.write_bytes(theirs.read_bytes())
    with pytest.raises(DamagedFileError, match=ours.name):
        read_whole_set(manifest)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"5", b'"text"', b"\xff\xfe", b"[" * 100_000, b'{"files": {}}', b'{"checksum": ""}', b"NaN x"],
)
def test_a_manifest_that_is_none_is_named(manifest, content):
    manifest.write_bytes(content)
    with pytest.raises(DamagedFileError, match=r"dissection\.json is damaged.*; dissect again"):
        read_together(manifest, "dissect again")


def test_a_json_older_than_checksums_is_read_as_it_is(tmp_path):
    (tmp_path / "old.json").write_text('{"layers": []}')
    assert read_together(tmp_path / "old.json") == ({"layers": []}, None)
    assert read_whole_set(tmp_path / "old.json") == ({"layers": []}, None)


def test_what_is_no_file_is_not_opened(manifest):
    path = next(manifest.parent.glob("arrays-*"))
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(DamagedFileError, match=f"{path.name} is missing"):
        read_whole_set(manifest)
    manifest.unlink()
    os.mkfifo(manifest)
    with pytest.raises(FileNotFoundError, match="no file"):
        read_whole_set(manifest)


def test_a_manifest_leads_nowhere_else(manifest):
    (manifest.parent.parent / "secret").write_bytes(b"1 2 3")
    document = json.loads(manifest.read_text())
    document["files"]["arrays.safetensors"]["file"] = "../secret"
    del document["checksum"]
    text = json.dumps(document, indent=1)
    manifest.write_text(json.dumps(document | {"checksum": checksum(text.encode())}, indent=1) + "\n")
    with pytest.raises(DamagedFileError, match="secret is missing"):
        read_whole_set(manifest)


@pytest.mark.parametrize("key", ["files", "checksum"])
def test_the_manifests_own_keys_are_taken(tmp_path, key):
    with pytest.raises(ValueError, match=f"{key} cannot be a key of the document"):
        write_together(tmp_path / "set.json", {key: 1}, {})


NEW = {"arrays.safetensors": b"4 5 6" * 1000, "probe.json": b"[]"}


@pytest.mark.slow
def test_a_writer_that_dies_leaves_the_old_set_or_the_new_one(manifest):
    sets, found = ({**DOCUMENT, "n": 1}, NEW), []
    for _ in faults.deaths(lambda: write_together(manifest, *sets)):
        found.append(read_whole_set(manifest))
        write_together(manifest, DOCUMENT, FILES)
        assert len(names(manifest.parent)) == 4
    assert len(found) > 10
    assert all(one in ((DOCUMENT, FILES), sets) for one in found)
    assert (found[0], found[-1]) == ((DOCUMENT, FILES), sets)


def test_a_full_disk_leaves_the_old_set_or_the_new_one(manifest):
    n_errors = 0
    for error in faults.full_disks(lambda: write_together(manifest, DOCUMENT, NEW)):
        assert error.errno == 28
        assert read_whole_set(manifest) in ((DOCUMENT, FILES), (DOCUMENT, NEW))
        write_together(manifest, DOCUMENT, FILES)
        n_errors += 1
    assert n_errors >= 6


def test_of_writers_and_readers_at_once_each_sees_a_whole_set(manifest):
    done, seen = threading.Event(), []

    def write(number: int) -> None:
        for i in range(15):
            data = f"{number} {i}".encode()
            write_together(manifest, {"n": data.decode()}, {"arrays.safetensors": data, "probe.json": data})

    def read() -> None:
        while not done.is_set():
            document, files = read_whole_set(manifest)
            seen.append({document.get("n", "1 2 3"), *(data.decode() for name, data in files.items() if name[0] == "a")})

    writers, reader = [threading.Thread(target=write, args=(n,)) for n in range(3)], threading.Thread(target=read)
    reader.start()
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    done.set()
    reader.join()
    assert {len(one) for one in seen} == {1}
    document, files = read_whole_set(manifest)
    assert set(files.values()) == {document["n"].encode()}
    assert len(names(manifest.parent)) == 4


# Nothing of this machine


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/home/jane doe/x.png: cut off, see doc/format.md", "x.png: cut off, see doc/format.md"),
        ("cannot read /home/J/a.png: expected /tmp/b/c", "cannot read a.png: expected c"),
        ("read /d/a b/x.png and /d/c/y.png", "read x.png and y.png"),
        ("load_target('t', checkpoint='/tmp/a b/c.pth')", "load_target('t', checkpoint='c.pth')"),
        ("path=/home/u/x.png", "path=x.png"),
        ("(/home/u/x), [/a/b/c]", "(x), [c]"),
        ("weights at /home/o'neil/net.pt", "weights at net.pt"),
        ("/data (1)/x [2]/y.png: bad", "y.png: bad"),
        ("/übung/ß x/a.png", "a.png"),
        ("file:///home/u/x.pt", "x.pt"),
        (r"C:\Users\me\x.png", "x.png"),
        (r"\\server\share\x", "x"),
        ("PosixPath('/tmp/x/y')", "PosixPath('y')"),
        ("see https://hub.co/a/b", "see https://hub.co/a/b"),
        ("1 / 2 and w/ mass or and/or", "1 / 2 and w/ mass or and/or"),
        ("L/MLO, ./a/b, ../c/d, ~/x", "L/MLO, ./a/b, ../c/d, ~/x"),
        ("", ""),
    ],
)
def test_of_absolute_paths_the_last_part_is_left(text, expected):
    assert without_folders(text) == expected
    assert without_folders({text: [text, {"in": (text,)}]}) == {expected: [expected, {"in": [expected]}]}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (1.5, 1.5),
        (np.float32(0.5), 0.5),
        (np.int64(3), 3),
        (np.array([[1, 2]]), [[1, 2]]),
        ((1, (2,)), [1, [2]]),
        (Path("/home/u/x.png"), "x.png"),
        (Path("a/b.png"), "a/b.png"),
        (Path("/home/jane doe"), "jane doe"),
        (pd.Timestamp("2020-01-02"), "2020-01-02 00:00:00"),
        ({1: "a"}, {"1": "a"}),
        (FileNotFoundError("no file /home/u/x.png"), "no file x.png"),
    ],
)
def test_other_values_become_those_of_json(value, expected):
    found = without_folders(value)
    assert found == expected
    assert json.loads(json.dumps(found)) == found


def test_long_texts_take_no_time():
    for text in ("/a" * 20_000, "/" + "a " * 20_000, "/ a " * 5_000 + ":", "/a'" * 20_000, "a/" * 20_000):
        without_folders(text)
