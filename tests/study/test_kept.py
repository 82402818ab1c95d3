"""Kept results: computed once for the same content, read back equal, and never wrong, whatever happens to the files."""

import os
import random
import shutil
import subprocess
import sys
import warnings
from collections import OrderedDict, namedtuple
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd
import pytest
import torch
import toys
from equal import same

from mdissect.concepts import ConceptSet
from mdissect.dissection import Dissection
from mdissect.models import load_target
from mdissect.probes import Probe
from mdissect.study import Setup
from mdissect.study import kept as kept_module
from mdissect.study.contents import content_digest
from mdissect.study.kept import code_digest, kept

CALLS: list = []
Pair = namedtuple("Pair", "low high")


@dataclass(frozen=True)
class Score:
    value: float
    table: pd.DataFrame


def counted(x, factor=2, *, note="", **more):
    """A table, a dict and more; every call is noted."""
    CALLS.append(x)
    table = pd.DataFrame({"x": [factor * 1.5], "note": [note or None]})
    return {"table": table, "pair": Pair(1, (2.5, None)), "score": Score(0.5, table), "more": sorted(more)}


def something(kind, store=None):
    CALLS.append(kind)
    return {"len": len, "set": {1}, "own": OrderedDict(a=1), "generator": (i for i in ()), "dissection": dissection()}[kind]


def dissection(seed=0) -> Dissection:
    values = np.random.default_rng(seed).standard_normal((6, 4)).astype(np.float32)
    table = pd.DataFrame(
        {"patient": ["a", None, "b"] * 2, "age": [50.0, np.nan, 7] * 2}, index=[f"image {i}" for i in range(6)]
    )
    notes = {"deep": np.array(["", "tied", "", ""] + [""] * 2, dtype=object)}
    concepts = ConceptSet.from_list(["mass", "clip", "NA", "1"])
    return Dissection({"deep": values}, concepts, {"top_k": 2, "lam": 1.0}, {"deep": values}, values, notes, table)


@pytest.fixture(autouse=True)
def calls():
    CALLS.clear()
    return CALLS


@pytest.fixture
def again(tmp_path):
    return kept(counted, tmp_path)


def files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.endswith("lock"))


def told(call):
    """What a call gives, and what it warned of."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        return call(), [str(one.message) for one in found]


def test_a_result_is_computed_once_and_comes_back_equal(again, tmp_path):
    first, second, third = again("a"), again("a"), kept(counted, tmp_path)("a")
    assert CALLS == ["a"]
    assert same(first, second)
    assert same(first, third)
    assert same(first, counted("a"))
    assert first["pair"].high == (2.5, None)


def test_a_result_is_its_readers_own(again):
    table = again("a")["table"]
    table.loc[0, "x"] = 99
    assert again("a")["table"].x[0] == 3


def test_arguments_count_however_they_are_given(again):
    for _ in range(2):
        again("a")
        again(x="a", factor=2)
        again("a", 2, note="", b=1, a=2)
        again("a", note="", a=2, b=1)
    assert CALLS == ["a", "a"]
    again("a", 3)
    again("a", 2.0)
    again("a", note="x")
    assert len(CALLS) == 5
    with pytest.raises(TypeError, match="missing a required argument: 'x'"):
        again()


def test_ignored_arguments_do_not_count(tmp_path):
    careless = kept(counted, tmp_path, ignore=["note", "more"])
    careless("a", note="x", file=open)
    careless("a", note="y")
    assert CALLS == ["a"]
    assert kept(counted, tmp_path, ignore="x")(open)
    with pytest.raises(ValueError, match=r"counted has no option nothing; it has x, factor, note, more"):
        kept(counted, tmp_path, ignore=["nothing"])
    with pytest.raises(TypeError, match="must be a function"):
        kept(3, tmp_path)


def test_what_is_kept_has_the_name_and_help_of_its_function(again):
    assert (again.__name__, again.__doc__) == ("counted", counted.__doc__)


def test_functions_without_a_signature_or_of_python_itself(tmp_path):
    assert kept(sorted, tmp_path)([3, 1]) == [1, 3]
    assert kept(max, tmp_path)(3, 1) == 3
    assert kept(max, tmp_path)(3, -4, key=abs) == -4
    assert kept(partial(counted, factor=5), tmp_path)("a")["table"].x[0] == 7.5


def test_a_dissection_read_is_as_good_as_a_new_one(tmp_path):
    found, fresh = kept(something, tmp_path)("dissection"), dissection()
    assert content_digest(found) == content_digest(fresh) != content_digest(dissection(1))
    assert found.labels().equals(fresh.labels())
    assert same(found.probe_table, fresh.probe_table)
    assert same(found.concepts.table, fresh.concepts.table)
    assert same([found.similarity, found.notes, found.settings], [fresh.similarity, fresh.notes, fresh.settings])
    read = kept(lambda d: d.probe_table, tmp_path)
    assert same(read(found), read(fresh))


@pytest.mark.parametrize(
    ("kind", "what"),
    [("len", "a builtin_function_or_method"), ("own", "a collections.OrderedDict"), ("generator", "a generator")],
)
def test_a_result_of_another_kind_is_refused(tmp_path, kind, what):
    with pytest.raises(TypeError, match=rf"the result of .*\.something cannot be kept: {what} is of no kind"):
        kept(something, tmp_path)(kind)


def test_an_argument_that_is_not_known_by_its_content_is_refused(tmp_path):
    message = r"the result of .*\.something cannot be kept, because store= a _io\.\w+ is not known by its content: .*ignore="
    with open(os.devnull) as file, pytest.raises(TypeError, match=message):
        kept(something, tmp_path)("set", store=file)
    assert CALLS == []


class Side(Enum):
    LEFT = 1
    RIGHT = 2


def probe(n=3, **columns) -> Probe:
    return Probe.from_arrays(toys.toy_images(n), table=columns or None, name="rows")


def scaled(factor):
    return lambda x: x * factor


ONE, TWO = toys.toy_target(), toys.toy_target(toys.TinyMLP, layers=("first",))
ADD, DOUBLE = (lambda x: x + 1), (lambda x: x * 2)
UNLIKE = {
    "numbers": (1, 2),
    "kinds of number": (1, 1.0),
    "true and one": (True, 1),
    "text and number": ("1", 1),
    "nothing in two ways": (None, float("nan")),
    "scalars": (np.float32(0.5), np.float64(0.5)),
    "order of a list": ([1, 2], [2, 1]),
    "list and tuple": ([1], (1,)),
    "order of a dict": ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    "nesting": ([[1], 2], [[1, 2]]),
    "bits of an array": (np.array([0.0]), np.array([-0.0])),
    "types of arrays": (np.zeros(2, np.float32), np.zeros(2)),
    "shapes": (np.zeros((2, 3)), np.zeros((3, 2))),
    "columns": (pd.DataFrame({"a": [1]}), pd.DataFrame({"b": [1]})),
    "index": (pd.DataFrame({"a": [1]}), pd.DataFrame({"a": [1]}, index=[1])),
    "missing cells": (pd.DataFrame({"a": ["", "x"]}), pd.DataFrame({"a": [None, "x"]})),
    "categories": (pd.Series(["a"], dtype="category"), pd.Series(pd.Categorical(["a"], ["a", "b"]))),
    "tensors": (torch.zeros(2), torch.zeros(2, dtype=torch.bfloat16)),
    "dissections": (dissection(), dissection(1)),
    "concepts": (ConceptSet.from_list(["a", "b"]), ConceptSet.from_list(["b", "a"])),
    "probes": (probe(), probe(4)),
    "metadata of probes": (probe(view=["a"] * 3), probe(view=["b"] * 3)),
    "targets": (ONE, TWO),
    "layers": (TWO, replace(TWO, layers=("second",))),
    "modules": (toys.seeded(toys.TinyCNN), toys.seeded(toys.TinyMLP)),
    "setups": (Setup("demo/mammo", "a"), Setup("demo/mammo", "a", target_options={"path": Path("x")})),
    "functions": (sum, max),
    "what functions enclose": (scaled(2), scaled(3)),
    "code of functions": (lambda x: x + 1, lambda x: x + 2),
    "one function twice": ([ADD, DOUBLE, ADD], [ADD, DOUBLE, DOUBLE]),
    "dtypes": (np.dtype("f4"), np.dtype("f8")),
    "defaults": (lambda x=1: x, lambda x=2: x),
    "partials": (partial(counted, 1), partial(counted, 2)),
    "methods": (dissection().labels, dissection(1).labels),
    "members": (Side.LEFT, Side.RIGHT),
    "paths": (Path("a"), Path("b")),
    "mappings": (MappingProxyType({"a": 1}), MappingProxyType({"a": 2})),
    "devices": (torch.device("cpu"), torch.device("meta")),
}


@pytest.mark.parametrize("one", UNLIKE)
def test_other_content_is_told_apart(one):
    first, second = UNLIKE[one]
    assert content_digest(first) != content_digest(second)
    assert content_digest(first) == content_digest(first)


@pytest.mark.parametrize(
    "make",
    [
        dissection,
        probe,
        lambda: load_target(toys.seeded(toys.TinyCNN), preprocess=toys.PREPROCESS, layers=["stem"]),
        lambda: scaled(2),
        lambda: {"b": 1, "a": {3, 1, 2}},
        lambda: "x".join("ab"),
        lambda: Score(1.0, pd.DataFrame({"t": ["".join("ab")] * 2})),
        lambda: np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        toys.RowDissector,
        lambda: OrderedDict(a=[1]),
    ],
)
def test_equal_content_has_equal_hashes(make):
    assert content_digest(make()) == content_digest(make())


def test_how_an_array_lies_in_memory_does_not_count():
    array = np.arange(6.0).reshape(2, 3)
    assert content_digest(array) == content_digest(np.asfortranarray(array)) == content_digest(array.repeat(2, axis=0)[::2])


def test_a_function_of_a_notebook_counts_with_the_globals_that_it_reads():
    def made(code: str, **more):
        scope = {"__name__": "__main__", "n_boot": 10, **more}
        exec(code, scope)
        return scope["f"]

    code = "def f(x):\n    return g(x) * n_boot\ndef g(x):\n    return x if x < 2 else f(x - 1)"
    assert content_digest(made(code)) == content_digest(made(code))
    assert content_digest(made(code)) == content_digest(made(f"# said\n{code}"))
    assert content_digest(made(code)) != content_digest(made(code, n_boot=11))
    assert content_digest(made(code)) != content_digest(made(code.replace("x < 2", "x < 3")))
    with open(os.devnull) as file, pytest.raises(TypeError, match=r"a _io\.\w+ is not known by its content"):
        content_digest(made("def f(x):\n    return file", file=file))


def test_other_code_computes_anew(again, monkeypatch):
    again("a")
    monkeypatch.setattr(kept_module, "version", lambda name: "0.0")
    code_digest.cache_clear()
    again("a")
    monkeypatch.undo()
    code_digest.cache_clear()
    again("a")
    assert len(CALLS) == 2


# Damage.


def flipped(content: bytes, rng: random.Random) -> bytes:
    place = rng.randrange(len(content))
    return content[:place] + bytes([content[place] ^ (1 << rng.randrange(8))]) + content[place + 1 :]


DAMAGES = {
    "a bit flipped": flipped,
    "cut short": lambda content, rng: content[: rng.randrange(len(content))],
    "emptied": lambda content, rng: b"",
    "longer": lambda content, rng: content + b"\0",
    "other bytes": lambda content, rng: rng.randbytes(len(content)),
    "other JSON": lambda content, rng: rng.choice([b"{}", b"[]", b"null", b'{"files": {}}', b'{"checksum": 1, "files": 2}']),
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("damage", DAMAGES)
def test_every_damage_is_noticed_and_computed_again(again, tmp_path, damage, seed):
    expected = again("a")
    for path in files_of(tmp_path):
        before = path.read_bytes()
        path.write_bytes(DAMAGES[damage](before, random.Random(seed)))
        times = len(CALLS)
        found, messages = told(lambda: again("a"))
        assert len(CALLS) == times + 1, path.name
        assert same(found, expected)
        assert any("computed again" in one and str(tmp_path) in one for one in messages)
        assert path.read_bytes() == before
    assert told(lambda: again("a"))[1] == []


def test_every_file_that_is_gone_is_noticed(again, tmp_path):
    expected = again("a")
    for path in files_of(tmp_path):
        path.unlink()
        times = len(CALLS)
        assert same(told(lambda: again("a"))[0], expected)
        assert len(CALLS) == times + 1


@pytest.mark.parametrize("whole", [True, False], ids=["the whole result", "a file"])
def test_the_result_of_another_call_is_noticed(again, tmp_path, whole):
    again("a")
    (ours,) = files_of(tmp_path)[0].parent.parent.iterdir()
    again("b", note="other")
    (theirs,) = set(ours.parent.iterdir()) - {ours}
    if whole:
        shutil.rmtree(ours)
        shutil.copytree(theirs, ours)
    else:
        for name in ("value", "arrays"):
            (mine,), (other,) = (list(folder.glob(f"{name}-*")) for folder in (ours, theirs))
            shutil.copy(other, mine)
    found, messages = told(lambda: again("a"))
    assert CALLS == ["a", "b", "a"]
    assert same(found, counted("a"))
    assert len(messages) == 1


def test_a_folder_in_the_place_of_a_file_costs_the_keeping_alone(again, tmp_path):
    expected = again("a")
    (manifest,) = tmp_path.rglob("result.json")
    manifest.unlink()
    manifest.mkdir()
    found, messages = told(lambda: again("a"))
    assert same(found, expected)
    assert any("results cannot be kept in" in one for one in messages)


class Planted:
    """A pickle of it makes a file when it is read."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


def test_planted_pickles_are_never_read(again, tmp_path):
    import pickle

    planted, mark = pickle.dumps(Planted(tmp_path / "mark")), tmp_path / "mark"
    again("a")
    old = tmp_path / code_digest() / "joblib" / "tests" / "study" / "test_kept" / "counted" / "0123"
    old.mkdir(parents=True)
    names = [
        *files_of(tmp_path),
        old / "output.pkl",
        *(files_of(tmp_path)[0].parent / name for name in ("output.pkl", "value.pkl")),
    ]
    for path in names:
        path.write_bytes(planted)
        found, _ = told(lambda: again("a"))
        assert same(found, counted("a"))
        assert not mark.exists()
    pickle.loads(planted)
    assert mark.exists()  # it would have


# Disks and other processes.


def test_a_full_disk_costs_the_keeping_alone(again, tmp_path):
    with toys.full_disk(10):
        found, messages = told(lambda: again("a"))
    assert same(found, counted("a"))
    assert len(messages) == 1
    assert messages[0].startswith(f"results cannot be kept in {tmp_path} (File too large)")
    assert "MDISSECT_STORE" in messages[0]
    assert files_of(tmp_path) == []
    CALLS.clear()
    again("a")
    again("a")
    assert CALLS == ["a"]


@pytest.mark.parametrize("after", [0, 1, 2])
def test_a_result_half_written_is_not_there(again, tmp_path, monkeypatch, after):
    """The disk is full, or the process dies, after so many of the three files."""
    rename, done = os.replace, []

    def no_space(source, target):
        if len(done) == after:
            raise OSError(28, "No space left on device")
        done.append(target)
        rename(source, target)

    monkeypatch.setattr(os, "replace", no_space)
    assert "No space left on device" in told(lambda: again("a"))[1][0]
    monkeypatch.undo()
    assert len(files_of(tmp_path)) == after
    again("a")
    again("a")
    assert CALLS == ["a", "a"]


def test_a_folder_that_cannot_be_written_costs_the_keeping_alone(again, tmp_path):
    (tmp_path / code_digest()).write_text("in the way")
    found, messages = told(lambda: again("a"))
    assert same(found, counted("a"))
    assert len(messages) == 1
    assert messages[0].startswith("results cannot be kept in")


def test_a_store_that_cannot_be_written_is_read(again, tmp_path, monkeypatch):
    def read_only(*args, **options):
        raise OSError(30, "Read-only file system")

    expected = again("a")
    for name in ("mkdir", "open"):
        monkeypatch.setattr(os, name, read_only)
    found, messages = told(lambda: again("a"))
    assert same(found, expected)
    assert (messages, CALLS) == ([], ["a"])
    assert told(lambda: again("b"))[1] == [
        f"results cannot be kept in {tmp_path} (Read-only file system): they are computed in every run. "
        "Free some space, make the folder writable, or choose another store with MDISSECT_STORE"
    ]


WRITER = """
import sys, time
from pathlib import Path
from mdissect.study.kept import kept

def slow(n, log):
    with open(log, "a") as file:
        file.write("once\\n")
    time.sleep(0.2)
    return {"n": list(range(n)), "text": "x" * n}

while not Path(sys.argv[3]).exists():
    time.sleep(0.01)
found = kept(slow, Path(sys.argv[1]), ignore=["log"])(1000, sys.argv[2])
assert found == {"n": list(range(1000)), "text": "x" * 1000}
"""


@pytest.mark.slow
@pytest.mark.parametrize("writers", [2, 4])
def test_several_writers_compute_once(tmp_path, writers):
    command = [sys.executable, "-c", WRITER, str(tmp_path / "store"), str(tmp_path / "log"), str(tmp_path / "go")]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    processes = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) for _ in range(writers)]
    (tmp_path / "go").touch()
    assert [process.communicate()[1] for process in processes] == [b""] * writers
    assert (tmp_path / "log").read_text() == "once\n"
