"""Tests of the record of weights files: a file that changed since it was first used is noticed."""

import hashlib
import json
import os
import stat
import subprocess
import sys
import warnings

import pytest
import torch
from safetensors.torch import save_file

from mdissect.commands.doctor import verify
from mdissect.models import read_checkpoint
from mdissect.models.first_use import note_use, record_file, verify_used


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache folder."""
    monkeypatch.setenv("MDISSECT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def weights(tmp_path):
    """A file of weights."""
    path = tmp_path / "weights.safetensors"
    save_file({"a": torch.zeros(3)}, path)
    return path


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def silent(path):
    """Use a file; any warning is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        note_use(path)


def test_reading_weights_records_them(weights, cache):
    read_checkpoint(weights)
    (name, known), *others = json.loads((cache / "weights.json").read_text()).items()
    assert not others
    assert (name, known["sha256"], known["size"]) == (str(weights), sha256(weights), weights.stat().st_size)
    assert stat.S_IMODE(record_file().stat().st_mode) == 0o600
    silent(weights)


def test_a_changed_file_is_told_once_with_both_hashes(weights):
    note_use(weights)
    first = sha256(weights)
    save_file({"a": torch.ones(3)}, weights)
    with pytest.warns(UserWarning, match=f"first used on .* SHA-256 was {first}, now it is {sha256(weights)}"):
        read_checkpoint(weights)
    silent(weights)


def test_the_same_content_written_again_is_the_same_file(weights):
    note_use(weights)
    weights.write_bytes(weights.read_bytes())
    os.utime(weights, ns=(1, 1))
    silent(weights)


def test_what_mdissect_writes_itself_brings_no_warning(weights):
    note_use(weights)
    save_file({"a": torch.ones(3)}, weights)
    note_use(weights, vouched=True)
    silent(weights)


def test_verifying_finds_a_change_that_size_and_time_hide(weights, capsys, tmp_path):
    note_use(weights)
    save_file({"gone": torch.ones(2)}, tmp_path / "gone.safetensors")
    note_use(tmp_path / "gone.safetensors")
    (tmp_path / "gone.safetensors").unlink()
    assert [problem.partition(" ")[0] for _, problem in verify_used()] == ["gone", ""]
    state, before = weights.stat(), sha256(weights)
    save_file({"a": torch.ones(3)}, weights)
    os.utime(weights, ns=(state.st_atime_ns, state.st_mtime_ns))
    silent(weights)
    assert verify() == 1
    printed = capsys.readouterr().out
    assert f"{weights}: changed: SHA-256 was {before}" in printed
    assert f"now it is {sha256(weights)}" in printed
    assert "0 of 2 weights files are unchanged" in printed


def test_nothing_was_used_yet(capsys):
    assert verify() == 0
    assert "no weights file has been used yet" in capsys.readouterr().out


@pytest.mark.parametrize("content", ["", "{", "[]", '{"a": 1}', '{"a": {"size": 1}}', "\udcff"])
def test_a_damaged_record_is_told_and_begun_anew(weights, cache, content):
    cache.mkdir()
    record_file().write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.warns(UserWarning, match=r"weights\.json is damaged: .* recorded anew"):
        note_use(weights)
    silent(weights)


def test_weights_are_read_where_no_record_can_be_kept(weights, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("MDISSECT_CACHE", str(tmp_path / "file"))
    with pytest.warns(UserWarning, match="is not recorded: MDISSECT_CACHE=.* must name a folder"):
        assert read_checkpoint(weights)["a"].tolist() == [0, 0, 0]
    with pytest.warns(UserWarning, match="is not recorded"):
        note_use(weights, vouched=True)


@pytest.mark.slow
def test_processes_side_by_side_lose_no_entry(tmp_path):
    code = "import sys; from pathlib import Path; from mdissect.models.first_use import note_use\n"
    code += "for path in sys.argv[1:]: note_use(Path(path))"
    paths = [tmp_path / f"{i}.safetensors" for i in range(40)]
    for i, path in enumerate(paths):
        path.write_bytes(bytes([i]))
    running = [subprocess.Popen([sys.executable, "-c", code, *map(str, paths[i::4])]) for i in range(4)]
    assert [one.wait(60) for one in running] == [0] * 4
    assert {path for path, problem in verify_used() if not problem} == set(paths)
