"""The store's command: what is kept is listed and verified, and nothing that the store did not write is removed."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from mdissect import __main__
from mdissect.commands import store as command
from mdissect.entries import LAYOUT, library_versions
from mdissect.store import CHUNK_ROWS, Store, exclusive
from mdissect.study.kept import code_digest, kept

pytestmark = pytest.mark.slow

N_ROWS = CHUNK_ROWS + 6


def key(kind="activations", **changes):
    layout = {"layout": LAYOUT} if kind == "activations" else {}
    return {"kind": kind, "weights": "4f" * 32, "probe": "9a" * 32, "versions": library_versions(), **layout, **changes}


def put(folder, changed, about=None, chunks=(0, 1)):
    entry = Store(folder).entry(changed, N_ROWS, about=about)
    for chunk in chunks:
        rows = entry.rows(chunk)
        entry.write(chunk, np.ones((rows.stop - rows.start, 5), np.float32))
    return entry.folder


def squared(x):
    return x * x


@pytest.fixture
def folder(tmp_path):
    """A store with two entries, one of older libraries, one of an older layout, an unfinished one, and results."""
    store = tmp_path / "store"
    put(store, key(layer="bn2"), {"model": "demo/mammo", "probe": "phantom"})
    put(store, key("images"), {"model": "demo/clip", "probe": "phantom"})
    put(store, key(layer="old", versions={**library_versions(), "torch": "1.0"}))
    put(store, key(layer="older", layout="by axes"))
    put(store, key(layer="half"), chunks=(0,))
    kept(squared, store / "results")(3)
    former = store / "results" / ("0a" * 10)
    kept(squared, store / "results")(4)
    (store / "results" / code_digest()).rename(former)
    kept(squared, store / "results")(5)
    return store


@pytest.fixture
def call(folder, capsys):
    """Runs the command on the store; gives the status and what was told."""

    def run(*arguments):
        try:
            status = __main__.main(["store", *arguments, "--store", str(folder)])
        except SystemExit as end:
            status = end.code
        told = capsys.readouterr()
        return status, told.out + told.err

    return run


def states(folder):
    return {(one.shown["kind"], one.shown.get("layer", "")): one.state for one in command.kept_in(folder)}


NOW = f"code {code_digest()[:8]}"
ALL = {
    ("activations", "bn2"): "whole",
    ("images", ""): "whole",
    ("activations", "old"): "old",
    ("activations", "older"): "old",
    ("activations", "half"): "unfinished",
    ("results", "code 0a0a0a0a"): "old",
    ("results", NOW): "whole",
}


def test_what_is_kept_is_listed(folder, call):
    assert states(folder) == ALL
    before = sorted((path, path.stat().st_mtime_ns) for path in folder.rglob("*"))
    status, told = call("ls")
    assert status == 0
    lines = [line.split() for line in told.splitlines()]
    assert lines[0] == ["kind", "layer", "model", "probe", "rows", "size", "date", "state"]
    named = next(line for line in lines if "bn2" in line)
    assert named[:5] == ["activations", "bn2", "demo/mammo", "phantom", "70"]
    assert named[-1] == "whole"
    assert next(line for line in lines if "old" in line[:2])[2:4] == ["4f4f4f4f", "9a9a9a9a"]
    assert "7 folders" in told
    assert sorted((path, path.stat().st_mtime_ns) for path in folder.rglob("*")) == before


@pytest.mark.parametrize(
    ("patterns", "layers"),
    [
        (["--layer", "bn*"], {"bn2"}),
        (["--model", "demo/*"], {"bn2", ""}),
        (["--model", "4F4F*"], {"old", "older", "half"}),
        (["--probe", "phantom", "--kind", "images"], {""}),
        (["--kind", "results"], {"code 0a0a0a0a", NOW}),
        (["--kind", "nothing"], set()),
    ],
)
@pytest.mark.parametrize("action", ["ls", "rm"])
def test_patterns_choose(folder, call, patterns, layers, action):
    if action == "ls":
        status, told = call("ls", *patterns)
        assert status == 0
        assert all((f" {layer} " in told) == (layer in layers) for _, layer in ALL if layer)
    else:
        assert call("rm", *patterns, "--yes")[0] == 0
        assert set(states(folder)) == {one for one in ALL if one[1] not in layers}


def test_old_and_unfinished_ones_are_removed(folder, call):
    status, told = call("rm", "--old", "--yes")
    assert (status, "removed 4 folders" in told) == (0, True)
    assert states(folder) == {one: state for one, state in ALL.items() if state == "whole"}
    assert call("rm", "--old", "--yes") == (0, f"{folder}: nothing to remove\n")


def test_everything_is_removed_but_what_is_not_of_the_store(folder, call, tmp_path):
    outside = put(tmp_path / "other", key(layer="outside"))
    link = folder / outside.name
    link.symlink_to(outside)
    inside = put(folder, key(layer="linked"))
    (inside / "array.zarr" / "c" / "x").symlink_to(outside)
    mixed = put(folder, key(layer="mixed"))
    (mixed / "thesis.docx").write_text("mine")
    mine = "notes.txt", "photos/1.png", "activations-xyz/key.json", "results/mine/a.txt", f"results/{'1b' * 10}/a.txt"
    for name in mine:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("mine")
    status, told = call("rm", "--all", "--yes")
    assert status == 0
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [link.name, mixed.name, "notes.txt", "photos", "activations-xyz", "results"]
    )
    assert sorted(path.name for path in (folder / "results").iterdir()) == ["1b" * 10, "mine"]
    assert told.count("left: ") == 7
    assert Store(outside.parent).entry(key(layer="outside"), N_ROWS).missing() == []


@pytest.mark.parametrize(("extra", "state"), [(None, "old"), ("thesis.docx", "unknown")])
def test_results_of_former_versions_are_known_by_their_files(folder, extra, state):
    place = folder / "results" / ("2c" * 10) / "mdissect" / "study" / "function" / ("9b" * 16)
    place.mkdir(parents=True)
    for name in filter(None, ("output.pkl", "metadata.json", extra)):
        (place / name).touch()
    (folder / "results" / ("2c" * 10) / ".gitignore").touch()
    assert states(folder)["results", "code 2c2c2c2c"] == state


def test_a_planted_key_does_not_lead_outside(folder, call):
    where = put(folder, key(layer="x"))
    (where / "key.json").write_text(json.dumps({"kind": "../../x", "n_rows": 5}))
    assert call("rm", "--all", "--yes")[0] == 0
    assert where.exists()


@pytest.mark.parametrize(("answer", "gone"), [("y", True), ("YES", True), ("n", False), ("", False), ("no", False)])
def test_it_asks_before(folder, call, monkeypatch, answer, gone):
    monkeypatch.setattr("builtins.input", lambda question: answer)
    status, told = call("rm", "--layer", "bn2")
    assert (status == 0) == gone == (("activations", "bn2") not in states(folder))
    assert ("nothing was removed" in told) != gone


def test_nobody_to_ask_is_an_error(folder, call, monkeypatch):
    def closed(question):
        raise EOFError

    monkeypatch.setattr("builtins.input", closed)
    status, told = call("rm", "--all")
    assert status == 2
    assert "nobody is there to be asked: --yes removes without asking" in told
    assert states(folder) == ALL


@pytest.mark.parametrize("by", ["this process", "another"])
def test_what_a_running_process_fills_is_left(folder, call, by):
    entry = Store(folder).entry(key(layer="half"), N_ROWS)
    if by == "another":
        script = "import sys, filelock\nwith filelock.FileLock(sys.argv[1]):\n print('held', flush=True)\n sys.stdin.read()"
        with subprocess.Popen(
            [sys.executable, "-c", script, entry.folder / "lock"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout.readline() == "held\n"
            status, told = call("rm", "--all", "--yes")
            process.stdin.close()
    else:
        with exclusive([entry]):
            status, told = call("rm", "--all", "--yes")
    assert status == 1
    assert f"left: {entry.folder.name}: in use by a running process" in told
    assert states(folder) == {("activations", "half"): "unfinished"}
    assert call("rm", "--all", "--yes")[0] == 0
    assert states(folder) == {}


def test_results_that_are_being_written_are_left(folder, call):
    from filelock import FileLock

    place = next((folder / "results" / ("0a" * 10)).iterdir())
    with FileLock(place / "lock"):
        status, told = call("rm", "--kind", "results", "--yes")
    assert status == 1
    assert "in use" in told
    assert place.exists()
    assert not (folder / "results" / code_digest()).exists()


def test_an_interrupted_removal_is_ended(folder, call):
    (folder / next(one.path.name for one in command.kept_in(folder) if one.shown.get("layer") == "bn2")).rename(
        folder / ".removed-7-activations-x"
    )
    assert call("rm", "--old", "--yes")[0] == 0
    assert [path.name for path in folder.iterdir() if path.name.startswith(".removed")] == []


def test_a_whole_store_is_verified(call):
    status, told = call("verify")
    assert status == 0
    assert "7 folders of the store verified, 0 problems" in told


@pytest.mark.parametrize(
    ("damage", "told_of"),
    [
        (lambda entry, results: flip(entry / "array.zarr" / "c" / "0" / "0"), "1 of its chunks (0)"),
        (lambda entry, results: flip(entry / "done" / "0"), "1 of its chunks (0)"),
        (lambda entry, results: (entry / "array.zarr" / "c" / "0" / "0").unlink(), "1 of its chunks (0)"),
        (lambda entry, results: (entry / "array.zarr" / "zarr.json").write_text("{"), "2 of its chunks (0, 1)"),
        (lambda entry, results: (entry / "key.json").write_text("{}"), "its key.json is not what was written"),
        (lambda entry, results: flip(entry / "key.json"), "its key.json is not what was written"),
        (lambda entry, results: flip(next(results.glob("*/value-*"))), "squared"),
        (lambda entry, results: flip(next(results.glob("*/result.json"))), "squared"),
        (lambda entry, results: next(results.glob("*/value-*")).unlink(), "squared"),
    ],
)
def test_damage_is_found(folder, call, damage, told_of):
    entry = next(one.path for one in command.kept_in(folder) if one.shown.get("layer") == "bn2")
    damage(entry, folder / "results" / code_digest())
    status, told = call("verify")
    assert status == 1
    assert told_of in next(line for line in told.splitlines() if line.startswith("damaged: "))
    assert ", 1 problems" in told
    assert entry.exists()


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rm"], "rm removes what is asked for: --old, --all, or --kind, --layer, --model, --probe"),
        (["rm", "--yes"], "rm removes what is asked for"),
        (["rm", "--old", "--all"], "--old and --all: give one of them"),
        (["ls", "--old"], "--old, --all and --yes are for rm, not for ls"),
        (["verify", "--yes"], "are for rm, not for verify"),
        (["list"], "invalid choice: 'list'"),
        ([], "the following arguments are required: action"),
        (["ls", "--size", "3"], "unrecognized arguments"),
    ],
)
def test_mistakes(folder, call, arguments, message):
    status, told = call(*arguments)
    assert status == 2
    assert message in told
    assert states(folder) == ALL


def test_a_store_that_is_not_there_is_empty_and_not_made(tmp_path, capsys):
    for action in (["ls"], ["verify"], ["rm", "--all"]):
        assert __main__.main(["store", *action, "--store", str(tmp_path / "none")]) == 0
    assert "nothing is kept there" in capsys.readouterr().out
    assert not (tmp_path / "none").exists()


def test_a_file_is_no_store(tmp_path, capsys):
    (tmp_path / "x").touch()
    with pytest.raises(SystemExit):
        __main__.main(["store", "ls", "--store", str(tmp_path / "x")])
    assert "is a file; give the folder of a store" in capsys.readouterr().err


def test_the_store_of_the_environment(folder, monkeypatch, capsys):
    monkeypatch.setenv("MDISSECT_STORE", str(folder))
    assert __main__.main(["store", "ls"]) == 0
    assert os.fspath(folder) in capsys.readouterr().out
