"""Tests of the store: what is there is right, what is damaged is found, and a process that dies loses one chunk at most."""

import json
import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import toys

from mdissect.many import dissect_many
from mdissect.store import CHUNK_ROWS, MemoryStore, Store, StoreError, exclusive, open_store

LONG = os.environ.get("MDISSECT_FUZZ") == "long"
KEY = {"kind": "activations", "layer": "neck", "weights": "4f"}
N_ROWS, N_COLUMNS = 3 * CHUNK_ROWS + 8, 5


@pytest.fixture
def values():
    return np.random.default_rng(0).standard_normal((N_ROWS, N_COLUMNS)).astype(np.float32)


def filled(folder, values, key=KEY):
    """A complete entry."""
    entry = Store(folder).entry(key, len(values))
    for chunk in entry.missing():
        entry.write(chunk, values[entry.rows(chunk)])
    return entry


def reopened(entry):
    return Store(entry.folder.parent).entry({k: v for k, v in entry.key.items() if k not in ("n_rows", "format")}, entry.n_rows)


def chunk_file(entry, chunk):
    return entry.folder / "array.zarr" / "c" / str(chunk) / "0"


def repaired(entry, values, chunks):
    """Write `chunks` again and see that everything is there, for the next process too."""
    for chunk in chunks:
        entry.write(chunk, values[entry.rows(chunk)])
    np.testing.assert_array_equal(entry.read(), values)
    np.testing.assert_array_equal(reopened(entry).read(), values)
    return True


def test_what_is_written_is_read_by_the_next(tmp_path, values):
    entry = Store(tmp_path / "new" / "store").entry(KEY, N_ROWS)
    assert entry.missing() == [0, 1, 2, 3]
    entry.write(2, values[entry.rows(2)])
    assert entry.missing() == [0, 1, 3]
    assert reopened(entry).missing() == [0, 1, 3]
    with pytest.raises(StoreError, match="3 of 4 chunks are not there yet"):
        entry.read()
    assert repaired(entry, values, [3, 0, 1])


def test_values_come_back_bit_by_bit(tmp_path):
    values = np.zeros((CHUNK_ROWS * 4, 2), np.float32)
    values[CHUNK_ROWS : 2 * CHUNK_ROWS] = -0.0
    values[2 * CHUNK_ROWS : 3 * CHUNK_ROWS] = -np.nan
    values[-1] = np.inf, np.nextafter(np.float32(0), np.float32(1))
    entry = reopened(filled(tmp_path, values))
    assert entry.missing() == []
    assert entry.read().tobytes() == values.tobytes()


def test_a_key_tells_what_its_values_depend_on(tmp_path, values):
    entry = filled(tmp_path, values)
    key = json.loads((entry.folder / "key.json").read_text())
    assert key.items() >= {**KEY, "n_rows": N_ROWS}.items()
    for change in ({"layer": "head"}, {"weights": "50"}, {"pool": "max"}):
        assert len(Store(tmp_path).entry(KEY | change, N_ROWS).missing()) == 4
    assert len(Store(tmp_path).entry(KEY, N_ROWS + 1).missing()) == 4
    assert Store(tmp_path).entry(dict(reversed(KEY.items())), N_ROWS).missing() == []


def test_a_chunk_of_another_size_is_refused(tmp_path, values):
    entry = Store(tmp_path).entry(KEY, N_ROWS)
    for chunk, wrong in ((0, values[:8]), (3, values[:CHUNK_ROWS]), (0, values[:CHUNK_ROWS, 0])):
        with pytest.raises(ValueError, match=rf"chunk {chunk} of activations-\w+ wants {8 if chunk == 3 else CHUNK_ROWS} rows"):
            entry.write(chunk, wrong)
    assert len(entry.missing()) == 4


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [
        flip_a_bit,
        lambda path: path.write_bytes(path.read_bytes()[:-7]),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes() * 2),
        lambda path: path.unlink(),
        lambda path: (path.unlink(), path.mkdir()),
    ],
    ids=["bit flipped", "cut short", "emptied", "doubled", "gone", "a folder"],
)
@pytest.mark.parametrize("what", ["values", "record"])
def test_a_damaged_chunk_is_found_and_made_again(tmp_path, values, damage, what):
    entry = filled(tmp_path, values)
    path = chunk_file(entry, 1) if what == "values" else entry.folder / "done" / "1"
    damage(path)
    entry = reopened(entry)
    assert entry.missing() == [1]
    if path.is_dir():
        path.rmdir()  # nothing that a crash leaves behind: only found, not mended
    assert repaired(entry, values, [1])


def test_a_record_of_odd_bytes_counts_for_nothing(tmp_path, values):
    entry = filled(tmp_path, values)
    (entry.folder / "done" / "0").write_bytes(b"\xff\xfe\x00")
    entry = reopened(entry)
    assert repaired(entry, values, entry.missing())


def test_a_foreign_chunk_is_found_also_with_its_record(tmp_path, values):
    entry, other = filled(tmp_path, values), filled(tmp_path, 2 * values, KEY | {"layer": "head"})
    shutil.copy(chunk_file(other, 2), chunk_file(entry, 2))
    assert reopened(entry).missing() == [2]
    shutil.copy(other.folder / "done" / "2", entry.folder / "done" / "2")
    assert reopened(entry).missing() == [2]
    shutil.copy(chunk_file(entry, 0), chunk_file(entry, 1))
    shutil.copy(entry.folder / "done" / "0", entry.folder / "done" / "1")
    assert reopened(entry).missing() == [1, 2]
    assert repaired(reopened(entry), values, [1, 2])


@pytest.mark.parametrize("n_columns", [N_COLUMNS, N_COLUMNS + 1])
@pytest.mark.parametrize("n_rows", [N_ROWS, N_ROWS + 100])
def test_a_foreign_array_is_found(tmp_path, values, n_rows, n_columns):
    entry, other = filled(tmp_path, values), filled(tmp_path, np.ones((n_rows, n_columns)), KEY | {"layer": "head"})
    for part in ("array.zarr", "done"):
        shutil.rmtree(entry.folder / part)
        shutil.copytree(other.folder / part, entry.folder / part)
    entry = reopened(entry)
    assert entry.missing() == [0, 1, 2, 3]
    assert repaired(entry, values, range(4))


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: "null",
        lambda text: "[]",
        lambda text: "{}",
        lambda text: "\xff",
        lambda text: text.replace("float32", "float64"),
        lambda text: text.replace("float32", "float99"),
        lambda text: text.replace(str(N_ROWS), "64"),
        lambda text: text.replace(str(N_ROWS), '"many"'),
        lambda text: text.replace('"array"', '"group"'),
        lambda text: text.replace("chunk_grid", "chunk_gird"),
        None,  # gone
    ],
)
def test_damaged_metadata_is_found_and_made_again(tmp_path, values, damage):
    entry = filled(tmp_path, values)
    path = entry.folder / "array.zarr" / "zarr.json"
    path.write_bytes(damage(path.read_text()).encode("latin1")) if damage else path.unlink()
    entry = reopened(entry)
    assert entry.missing() == [0, 1, 2, 3]
    assert repaired(entry, values, range(4))


class Planted:
    """A pickle of it makes a file when it is read."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


V2 = {"zarr_format": 2, "shape": [N_ROWS, N_COLUMNS], "chunks": [CHUNK_ROWS, N_COLUMNS], "dtype": "<f4", "fill_value": 0}
V2 |= {"order": "C", "compressor": None, "filters": [{"id": "pickle", "protocol": 5}]}


@pytest.mark.parametrize("codec", ["numcodecs.pickle", "pickle", "numcodecs.json2", "gzip", "sharding_indexed", 3, None])
@pytest.mark.parametrize("version", [2, 3])
def test_a_planted_codec_is_never_run(tmp_path, values, version, codec):
    entry = filled(tmp_path / "store", values)
    planted, path = pickle.dumps(Planted(tmp_path / "mark")), entry.folder / "array.zarr" / "zarr.json"
    if version == 3:
        plain = json.loads(path.read_text())
        path.write_text(json.dumps(plain | {"codecs": [*plain["codecs"], {"name": codec, "configuration": {}}]}))
    else:
        path.unlink()
        (path.parent / ".zarray").write_text(json.dumps(V2))
    for place in (chunk_file(entry, 0), path.parent / "0.0", entry.folder / "done" / "1", entry.folder / "key.json"):
        place.write_bytes(planted)
    entry = reopened(entry)
    assert entry.missing() == [0, 1, 2, 3]
    assert repaired(entry, values, range(4))
    assert not (tmp_path / "mark").exists()
    assert pickle.loads(planted) is None
    assert (tmp_path / "mark").exists()  # it would have


@pytest.mark.parametrize("damage", [b"", b"{}", b"\xff", None])
def test_what_people_read_of_an_entry_is_put_right(tmp_path, values, damage):
    path = filled(tmp_path, values).folder / "key.json"
    before = path.read_bytes()
    path.write_bytes(damage) if damage is not None else path.unlink()
    np.testing.assert_array_equal(Store(tmp_path).entry(KEY, N_ROWS).read(), values)
    assert path.read_bytes() == before


def test_a_full_disk_is_told_and_the_store_still_reads(tmp_path, values):
    entry = Store(tmp_path).entry(KEY, N_ROWS)
    entry.write(0, values[entry.rows(0)])
    message = r"cannot use the store at .*activations.*: File too large\. Free some space or make the folder writable"
    with toys.full_disk(1000), pytest.raises(StoreError, match=message):
        entry.write(1, values[entry.rows(1)])
    assert reopened(entry).missing() == [1, 2, 3]


def test_a_disk_that_is_full_for_a_record_leaves_no_litter(tmp_path, values, monkeypatch):
    entry = filled(tmp_path, values[: 2 * CHUNK_ROWS])

    def no_space(source, target):
        if Path(source).suffix == ".part":
            raise OSError(28, "No space left on device")
        rename(source, target)

    rename = os.replace
    monkeypatch.setattr(os, "replace", no_space)
    with pytest.raises(StoreError, match="No space left on device") as caught:
        entry.write(1, values[:CHUNK_ROWS])
    assert caught.value.errno == 28
    with pytest.raises(StoreError, match="No space left on device"):
        Store(tmp_path).entry(KEY | {"layer": "head"}, N_ROWS)
    assert not list(tmp_path.rglob("*.part"))
    assert reopened(entry).missing() == [1]


@pytest.fixture
def write_protect():
    """A folder to fill and the function that takes away the right to write in it, from root as well."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)

    def protect():
        for path in [folder, *folder.rglob("*")]:
            path.chmod(0o555 if path.is_dir() else 0o444)
        if os.geteuid() == 0:
            os.seteuid(65534)

    yield folder, protect
    os.seteuid(os.getuid())
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o755)
    shutil.rmtree(folder)


def test_a_read_only_store_is_read_and_says_that_it_cannot_be_written(write_protect, values):
    folder, protect = write_protect
    whole = filled(folder, values)
    part = Store(folder).entry(KEY | {"layer": "head"}, N_ROWS)
    part.write(0, values[part.rows(0)])
    with exclusive([whole, part]):
        protect()
    np.testing.assert_array_equal(reopened(whole).read(), values)
    assert reopened(part).missing() == [1, 2, 3]
    message = r"cannot use the store at .*: Permission denied\. Free .* give another one \(store=\.\.\., MDISSECT_STORE\)"
    with pytest.raises(StoreError, match=message):
        part.write(1, values[part.rows(1)])
    with pytest.raises(StoreError, match=message), exclusive([reopened(part)]):
        pass
    with pytest.raises(StoreError, match=message):
        Store(folder).entry(KEY | {"layer": "tail"}, N_ROWS)
    with pytest.raises(StoreError, match=message):
        Store(folder / "new")
    assert reopened(part).missing() == [1, 2, 3]


def test_a_store_cannot_lie_under_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "store"):
        with pytest.raises(StoreError, match=r"cannot use the store at .*file.*: (File exists|Not a directory)"):
            Store(folder)


def test_a_lock_makes_others_wait_and_look_again(tmp_path, values):
    ours, theirs = (Store(tmp_path).entry(KEY, N_ROWS) for _ in range(2))
    found = []

    def other():
        with exclusive([theirs]):
            found.append(theirs.missing())

    with exclusive([ours]):
        waiting = threading.Thread(target=other)
        waiting.start()
        ours.write(0, values[ours.rows(0)])
        time.sleep(0.1)
        assert found == []
        ours.write(1, values[ours.rows(1)])
    waiting.join()
    assert found == [[2, 3]]


def test_without_a_folder_everything_stays_in_memory(values):
    store = open_store(None)
    entry = store.entry(KEY, N_ROWS)
    assert isinstance(store, MemoryStore)
    with exclusive([entry]):
        for chunk in entry.missing():
            entry.write(chunk, values[entry.rows(chunk)])
    np.testing.assert_array_equal(entry.read(), values)
    assert len(store.entry(KEY, N_ROWS).missing()) == 4
    assert open_store(store) is store


# Whole processes, filling one store with a dissection.

N_IMAGES = 6 * CHUNK_ROWS + 20
EXPECTED = [list(range(start, min(start + CHUNK_ROWS, N_IMAGES))) for start in range(0, N_IMAGES, CHUNK_ROWS)]


def start(store, log, go, *several):
    """A process that dissects the toys into a store once the file `go` is there (tests/toys.py); "many": several of them."""
    here = Path(__file__).parent
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(here.parent), str(here)]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(here / "toys.py"), str(store), str(log), str(go), str(N_IMAGES), *several]
    return subprocess.Popen(command, env=environment)


def shown(*logs):
    """The numbers of the images that the target was shown, as the processes logged them."""
    return [int(number) for log in logs if log.exists() for number in log.read_text().split()]


def finished_chunks(store):
    """Chunks with a record, for the target's activations."""
    return sorted(int(path.name) for path in Path(store).glob("activations-*/done/*") if path.suffix == "")


def toy_dissection(store=None, n_images=N_IMAGES):
    target = toys.toy_target()
    seen = toys.Seen(target.module)
    return toys.toy_dissect(target, probe=toys.toy_probe(n_images), store=store), seen.images


@pytest.fixture(scope="module")
def expected():
    """The dissection without a store."""
    return toy_dissection()[0]


def same_dissection(found, expected):
    assert found.similarity["neurons"].tobytes() == expected.similarity["neurons"].tobytes()
    return found.labels().equals(expected.labels())


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20 if LONG else 3))
def test_a_run_killed_at_any_moment_goes_on_where_it_was(tmp_path, expected, seed):
    store, log, go, rng = tmp_path / "store", tmp_path / "log", tmp_path / "go", random.Random(seed)
    go.touch()
    process, wait_for = start(store, log, go), rng.randrange(len(EXPECTED) - 2)
    while len(finished_chunks(store)) < wait_for or not log.exists():
        assert process.poll() is None, "the process ended before it could be killed"
        time.sleep(0.002)
    time.sleep(rng.uniform(0, 0.05))
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    finished = finished_chunks(store)
    assert wait_for <= len(finished) < len(EXPECTED)
    found, images = toy_dissection(store)
    assert images == [number for chunk in range(len(EXPECTED)) if chunk not in finished for number in EXPECTED[chunk]]
    again, images = toy_dissection(store)
    assert images == []
    assert same_dissection(found, expected)
    assert same_dissection(again, expected)


def toy_dissections(store=None):
    targets = toys.toy_targets()
    seen = toys.Seen(targets["planted"].module)
    found = dissect_many(
        targets, toys.RowDissector(), toys.toy_probe(N_IMAGES), toys.CONCEPTS, top_k=16, store=store, options=toys.SMALL
    )
    return found, seen.images


def same_dissections(found, expected):
    arrays = [(found[name].similarity[layer], one.similarity[layer]) for name, one in expected.items() for layer in one.layers]
    return all(own.tobytes() == other.tobytes() for own, other in arrays) and all(
        found[name].labels().equals(one.labels()) for name, one in expected.items()
    )


@pytest.fixture(scope="module")
def expected_of_many():
    """The dissections of several targets, without a store."""
    return toy_dissections()[0]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10 if LONG else 3))
def test_one_pass_for_many_killed_at_any_moment_goes_on_where_it_was(tmp_path, expected_of_many, seed):
    """At random within the whole pass, also between the entries of one chunk."""
    store, log, go, rng = tmp_path / "store", tmp_path / "log", tmp_path / "go", random.Random(100 + seed)
    go.touch()
    process, wait_for = start(store, log, go, "many"), rng.randrange(5 * (len(EXPECTED) - 2))
    while len(finished_chunks(store)) < wait_for or not log.exists():
        assert process.poll() is None, "the process ended before it could be killed"
        time.sleep(0.001)
    time.sleep(rng.uniform(0, 0.05))
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    before = len(finished_chunks(store))
    assert wait_for <= before < 5 * len(EXPECTED)  # five layers
    found, _ = toy_dissections(store)
    again, images = toy_dissections(store)
    assert images == []
    assert same_dissections(found, expected_of_many)
    assert same_dissections(again, expected_of_many)
    for name, target in toys.toy_targets().items():  # `dissect` finds the same there
        alone = toys.toy_dissect(target, probe=toys.toy_probe(N_IMAGES), store=store)
        assert same_dissections({name: alone}, {name: expected_of_many[name]})


@pytest.mark.slow
@pytest.mark.parametrize("writers", [2, 4])
def test_several_processes_share_one_pass_for_many(tmp_path, expected_of_many, writers):
    """Half of them dissect all targets, the others one of these alone."""
    store, go, logs = tmp_path / "store", tmp_path / "go", [tmp_path / f"log {i}" for i in range(writers)]
    processes = [start(store, log, go, *["many"][: (i + 1) % 2]) for i, log in enumerate(logs)]
    go.touch()
    assert [process.wait() for process in processes] == [0] * writers
    assert sorted(shown(*logs)) == list(range(N_IMAGES))
    found, images = toy_dissections(store)
    assert images == []
    assert same_dissections(found, expected_of_many)


@pytest.mark.parametrize("room", [100, 3000])
def test_one_pass_for_many_that_the_disk_had_no_room_for_goes_on_later(tmp_path, expected_of_many, room):
    with toys.full_disk(room), pytest.raises(StoreError, match=r"cannot use the store at .*MDISSECT_STORE"):
        toy_dissections(tmp_path / "store")
    assert same_dissections(toy_dissections(tmp_path / "store")[0], expected_of_many)


@pytest.mark.slow
@pytest.mark.parametrize("writers", [2, 4])
def test_several_processes_share_a_store_and_the_work(tmp_path, expected, writers):
    store, go, logs = tmp_path / "store", tmp_path / "go", [tmp_path / f"log {i}" for i in range(writers)]
    processes = [start(store, log, go) for log in logs]
    go.touch()
    assert [process.wait() for process in processes] == [0] * writers
    assert sorted(shown(*logs)) == list(range(N_IMAGES))
    found, images = toy_dissection(store)
    assert images == []
    assert same_dissection(found, expected)


@pytest.mark.parametrize("room", [0, 100, 1000, 3000])
def test_a_dissection_that_the_disk_had_no_room_for_goes_on_later(tmp_path, expected, room):
    with toys.full_disk(room), pytest.raises(StoreError, match=r"cannot use the store at .*MDISSECT_STORE"):
        toy_dissection(tmp_path / "store")
    assert same_dissection(toy_dissection(tmp_path / "store")[0], expected)


def flipped(content, rng):
    place = rng.randrange(len(content))
    return content[:place] + bytes([content[place] ^ (1 << rng.randrange(8))]) + content[place + 1 :]


@pytest.mark.parametrize("seed", range(20 if LONG else 3))
@pytest.mark.parametrize(
    "damage",
    [flipped, lambda content, rng: content[: rng.randrange(len(content))], None],
    ids=["a bit flipped", "cut short", "gone"],
)
def test_damage_to_any_file_of_a_store_changes_no_result(tmp_path, damage, seed):
    """Every file of it, all at once; what is computed again is there again byte by byte."""
    expected, _ = toy_dissection(tmp_path, 100)
    rng, before = random.Random(seed), {}
    for path in sorted(path for path in tmp_path.rglob("*") if path.is_file() and path.name != "lock"):
        before[path] = path.read_bytes()
        path.write_bytes(damage(before[path], rng)) if damage else path.unlink()
    found, images = toy_dissection(tmp_path, 100)
    assert sorted(images) == list(range(100))
    assert same_dissection(found, expected)
    harmless = {path for path in before if path.name == "zarr.json"}  # what is wrong there shows in the chunks, or nowhere
    assert {path for path in before if path.read_bytes() != before[path]} <= harmless
    assert toy_dissection(tmp_path, 100)[1] == []


@pytest.mark.parametrize("seed", range(200 if LONG else 30))
def test_damage_to_one_file_of_a_store_is_noticed(tmp_path, values, seed):
    """In whole chunks: zarr fills up the last one on the disk with zeros that nobody reads."""
    values, rng = values[: 3 * CHUNK_ROWS], random.Random(seed)
    entry = filled(tmp_path, values)
    path = rng.choice(sorted(path for path in entry.folder.rglob("*") if path.is_file() and path.name != "zarr.json"))
    before, chunk = path.read_bytes(), (path if path.parent.name == "done" else path.parent).name
    path.write_bytes(flipped(before, rng))
    entry = reopened(entry)
    assert entry.missing() == ([] if path.name == "key.json" else [int(chunk)])
    for chunk in entry.missing():
        entry.write(chunk, values[entry.rows(chunk)])
    assert path.read_bytes() == before


@pytest.mark.parametrize("seed", range(200 if LONG else 30))
def test_damage_to_the_metadata_of_a_store_gives_no_wrong_value(tmp_path, values, seed):
    rng, entry = random.Random(seed), filled(tmp_path, values)
    path = entry.folder / "array.zarr" / "zarr.json"
    path.write_bytes(flipped(path.read_bytes(), rng))
    entry = reopened(entry)
    if missing := entry.missing():
        assert missing == [0, 1, 2, 3]
    assert repaired(entry, values, missing)


@pytest.mark.parametrize("keep", [True, False])
def test_chunks_are_read_one_by_one(tmp_path, values, keep):
    entry = reopened(filled(tmp_path, values))
    entry.keep = keep
    assert entry.missing() == []
    np.testing.assert_array_equal(np.concatenate(list(entry.chunks())), values)
    np.testing.assert_array_equal(entry.read(), values)
    assert len(entry._verified) == (entry.n_chunks if keep else 0)
    (entry.folder / "done" / "2").unlink()
    if not keep:
        with pytest.raises(StoreError, match="chunk 2 of 4 is not there yet"):
            list(entry.chunks())
        entry.write(2, values[entry.rows(2)])
        assert not entry._verified
        np.testing.assert_array_equal(next(iter(entry.chunks())), values[entry.rows(0)])


@pytest.mark.parametrize(("share", "packed"), [(0.0, False), (0.6, False), (0.75, True), (1.0, True)])
def test_chunks_are_compressed_where_they_are_mostly_zeros(tmp_path, share, packed):
    values = np.ones((130, 20), dtype=np.float32)
    values[:, : round(20 * share)] = 0
    entry = Store(tmp_path).entry({"kind": "a"}, 130)
    for chunk in entry.missing():
        entry.write(chunk, values[entry.rows(chunk)])
    metadata = json.loads((entry.folder / "array.zarr" / "zarr.json").read_text())
    assert [codec["name"] for codec in metadata["codecs"]] == (["bytes", "zstd"] if packed else ["bytes"])
    again = Store(tmp_path).entry({"kind": "a"}, 130)
    assert again.folder == entry.folder
    np.testing.assert_array_equal(again.read(), values)
    np.testing.assert_array_equal(again.block(60, 129), values[60:129])
    assert again.shape == (130, 20)


def test_a_block_of_nothing_is_an_error(tmp_path):
    entry = Store(tmp_path).entry({"kind": "a"}, 130)
    with pytest.raises(StoreError, match="no chunk is there yet"):
        entry.block(0, 10)
