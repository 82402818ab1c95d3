"""Tests of what a fine-tuning leaves on the disk: damage is noticed, and a killed run goes on where it was."""

import json
import random

import faults
import numpy as np
import pytest
import toys
from miniature_models import demo_config

from mdissect.files import DamagedFileError
from mdissect.models import CheckpointError, build_image_text, load_target, save_demo
from mdissect.models.tokens import WordPieceTexts
from mdissect.train import loop as loop_room
from mdissect.train.loop import Loop

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A fine-tuning without interruption."""
    return faults.tune(tmp_path_factory.mktemp("tuned") / "toy")


def same(one, other) -> bool:
    """Whether two results are the same, bit by bit, apart from the time they took."""
    timeless = [result.metrics | {"seconds": 0, "loading": ""} for result in (one, other)]
    return (
        one.target.fingerprint == other.target.fingerprint and timeless[0] == timeless[1] and one.history.equals(other.history)
    )


@pytest.fixture
def copy(whole, tmp_path):
    """A finished fine-tuning, to be damaged."""
    for path in whole.folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def flipped(data: bytes, place: float) -> bytes:
    at = int(place * len(data))
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize("name", ["classifier.safetensors", "losses.csv", "metrics.json"])
@pytest.mark.parametrize("place", [0, 0.3, 0.6, 0.9, "end missing", "gone"])
def test_damage_of_a_finished_one_is_noticed(copy, whole, name, place):
    path = copy / name
    if place == "gone":
        path.unlink()
    else:
        data = path.read_bytes()
        path.write_bytes(data[:-3] if place == "end missing" else flipped(data, place))
    if place == "gone" and name != "losses.csv":
        assert same(faults.tune(copy), whole)  # there is no finished one, so it trains
    else:
        with pytest.raises(DamagedFileError, match=rf"{name} is .*; take a whole copy of the folder, or delete it and train"):
            faults.tune(copy)


def test_metrics_older_than_checksums_are_read(copy, whole):
    metrics = json.loads((copy / "metrics.json").read_text())
    del metrics["checksum"], metrics["files"]
    (copy / "metrics.json").write_text(json.dumps(metrics))
    assert faults.tune(copy).target.fingerprint == whole.target.fingerprint


@pytest.fixture
def interrupted(tmp_path, monkeypatch):
    """The folder of a fine-tuning that was interrupted before its tenth step."""
    step = Loop._step

    def failing(self, x, y):
        if self.progress.step == 10:
            raise KeyboardInterrupt
        return step(self, x, y)

    with monkeypatch.context() as patched:
        patched.setattr(Loop, "_step", failing)
        with pytest.raises(KeyboardInterrupt):
            faults.tune(tmp_path)
    return tmp_path


@pytest.mark.parametrize("place", [*np.linspace(0, 0.999, 9), "end missing", "emptied"])
def test_damage_of_the_state_is_noticed(interrupted, place):
    path = interrupted / "state.pt"
    data = path.read_bytes()
    damage = {"end missing": data[:-1], "emptied": b""}
    path.write_bytes(damage[place] if place in damage else flipped(data, float(place)))
    message = r"state\.pt is damaged: it does not meet its checksum; delete it to train from the start"
    with pytest.raises(DamagedFileError, match=message):
        faults.tune(interrupted)


def test_a_best_checkpoint_that_is_another_one_is_not_passed_off_as_it(interrupted, whole, monkeypatch):
    monkeypatch.setattr(loop_room, "classification_scores", lambda *_: {"auc": 0.0, "accuracy": 0.0, "macro_f1": 0.0})
    path = interrupted / "classifier.safetensors"  # of an epoch that no later one beats
    path.write_bytes(flipped(path.read_bytes(), 0.99))
    with pytest.raises(DamagedFileError, match=r"classifier\.safetensors is not the one that this training wrote; take"):
        faults.tune(interrupted)


@pytest.mark.parametrize("moment", range(faults.MOMENTS))
def test_a_killed_run_goes_on_where_it_was(tmp_path, whole, moment):
    faults.killed("finetune", tmp_path, random.Random(moment), length=1.5)
    assert same(faults.tune(tmp_path), whole)
    assert {path.name for path in tmp_path.iterdir()} <= {"classifier.safetensors", "losses.csv", "metrics.json", ".lock"}


def test_no_folder_and_no_patient_is_written(whole):
    written = {path.name: path.read_bytes() for path in whole.folder.iterdir()}
    for secret in (str(whole.folder.parent).encode(), b"P17"):
        assert [name for name, data in written.items() if secret in data] == []


# Demo models: two files


@pytest.fixture
def demo(tmp_path, monkeypatch):
    """A function that saves one of two demo models, which differ in weights and layers."""
    tokenizer = WordPieceTexts.train(["a mass", "no mass"], vocab_size=60)
    tokenizer.save(tmp_path / "demo")
    monkeypatch.setenv("MDISSECT_DATA", str(tmp_path))

    def write(number: int) -> None:
        import torch

        torch.manual_seed(number)
        config = demo_config(tokenizer.vocab_size, embed_dim=8)
        save_demo(build_image_text(config), tmp_path / "demo" / "toy", config | {"aligned": bool(number)})

    return write


def test_a_demo_model_of_two_trainings_is_noticed(demo):
    def state():
        try:
            target = load_target("demo/toy")
        except CheckpointError as error:
            assert "is damaged, or of another training than its config.json" in str(error)  # noqa: PT017
            return "noticed"
        return target.fingerprint

    demo(0)
    old = state()
    found = []
    for _ in faults.deaths(lambda: demo(1)):
        found.append(state())
        demo(0)
    demo(1)
    new = state()
    assert set(found) == {old, "noticed", new}


def test_a_flipped_weight_of_a_demo_model_is_noticed(demo, tmp_path):
    demo(0)
    path = tmp_path / "demo" / "toy" / "model.safetensors"
    path.write_bytes(flipped(path.read_bytes(), 0.9))
    with pytest.raises(CheckpointError, match=r"model\.safetensors is damaged, or of another training than its config\.json"):
        load_target("demo/toy")


def test_a_full_disk_while_saving_a_demo_model(demo):
    demo(0)
    old = load_target("demo/toy").fingerprint
    with toys.full_disk(500), pytest.raises(OSError, match="File too large"):
        demo(1)
    assert load_target("demo/toy").fingerprint == old
