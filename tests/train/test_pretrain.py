"""Pretraining as a whole: what comes out, how it resumes after a kill, splits, saved and published forms, the command."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pretraining
import pytest
import torch
from miniature_models import demo_models, text_model
from pretraining import QUIET, RECIPE, striped, tiny_model

from mdissect import __main__
from mdissect.files import DamagedFileError
from mdissect.models import CheckpointError, load_dissector, load_target, new_model, weights_fingerprint
from mdissect.preprocess import Preprocess
from mdissect.probes import Probe
from mdissect.train import TrainingError, pretrain, write_published
from mdissect.train import base as base_room
from mdissect.train.contrastive import Contrastive
from mdissect.train.saving import alone_in
from mdissect.train.splits import split_studies
from mdissect.train.studies import read_studies

pytestmark = pytest.mark.slow
room = sys.modules["mdissect.train.pretrain"]  # the function has the module's name
REPORTS = ["findings_text", "impression"]
FILES = ["config.json", "losses.csv", "metrics.json", "model.safetensors", "tokenizer.json"]


@pytest.fixture(scope="module")
def probe():
    return striped(24)


@pytest.fixture(scope="module")
def start():
    return tiny_model()


@pytest.fixture(scope="module")
def whole(start, probe, tmp_path_factory):
    """A pretraining without interruption."""
    return pretrain(start, probe, tmp_path_factory.mktemp("whole") / "out", REPORTS, RECIPE, QUIET)


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != ".lock")


def same(one, other) -> bool:
    """Whether two results are the same, bit by bit, apart from the time they took and their names."""
    metrics = [
        {name: value for name, value in done.metrics.items() if name not in ("seconds", "loading", "checksum", "files")}
        for done in (one, other)
    ]
    weights = [weights_fingerprint(done.dissector.model) for done in (one, other)]
    return metrics[0] == metrics[1] and weights[0] == weights[1] and one.history.equals(other.history)


def test_what_comes_out(start, probe, whole):
    assert files(whole.folder) == FILES
    assert json.loads((whole.folder / "metrics.json").read_text()) == whole.metrics
    assert whole.metrics["studies"] == {"training": 19, "validation": 5, "test": 0}
    assert whole.metrics["images"] == {"training": 38, "validation": 10, "test": 0}
    columns = list(whole.history)
    assert columns[:7] == ["epoch", "step", "learning_rate", "image-text", "image-image", "text-text", "validation loss"]
    assert columns[7:9] == ["validation image to report R@1", "validation image to report R@5"]
    assert whole.history["step"].tolist() == [2, 4, 6]
    best = whole.history["validation loss"].argmin()
    assert whole.metrics["best epoch"] == best + 1
    assert whole.metrics["validation"]["loss"] == pytest.approx(whole.history["validation loss"][best], rel=1e-6)
    dissector, target = load_dissector(whole.folder), load_target(str(whole.folder))
    assert dissector.aligned
    assert not start.aligned
    assert target.fingerprint == dissector.image_fingerprint
    assert target.layers == start.architecture.layers
    assert "pretrained from timm/test_vit + small on striped, 19 studies; epoch" in dissector.notes[0]
    assert weights_fingerprint(start.model) == weights_fingerprint(tiny_model().model)  # unchanged
    assert not any(p.requires_grad for p in dissector.model.parameters())
    assert dissector.embed_texts(["Standing stripes"]).shape == (1, 16)


def test_a_finished_pretraining_is_only_read(start, probe, whole, monkeypatch):
    monkeypatch.setattr(Contrastive, "step", lambda *_: pytest.fail("trained again"))
    assert same(whole, pretrain(start, probe, whole.folder, REPORTS, RECIPE, QUIET))
    with pytest.raises(ValueError, match=r"metrics\.json is of another training \(epochs: 3 there, 4 here\); choose"):
        pretrain(start, probe, whole.folder, REPORTS, replace(RECIPE, epochs=4), QUIET)
    with pytest.raises(ValueError, match="studies and texts: "):
        pretrain(start, probe, whole.folder, "labels", RECIPE, QUIET)


def test_damaged_files_are_named(start, probe, tmp_path):
    recipe = replace(RECIPE, epochs=1)
    pretrain(start, probe, tmp_path, REPORTS, recipe, QUIET)
    text = (tmp_path / "losses.csv").read_text()
    (tmp_path / "losses.csv").write_text(text + "1")
    with pytest.raises(DamagedFileError, match=r"losses\.csv is not the one that this training wrote; take a whole copy"):
        pretrain(start, probe, tmp_path, REPORTS, recipe, QUIET)
    (tmp_path / "losses.csv").write_text(text)
    data = bytearray((tmp_path / "model.safetensors").read_bytes())
    data[-5] ^= 1
    (tmp_path / "model.safetensors").write_bytes(data)
    with pytest.raises(CheckpointError, match=r"model\.safetensors is damaged, or of another training than its config"):
        load_dissector(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match=r"no whole image-text model: tokenizer\.json missing"):
        load_target(tmp_path)


@pytest.mark.parametrize("step", [1, 2, 5])
def test_an_interrupted_pretraining_goes_on_bit_by_bit(start, probe, whole, tmp_path, monkeypatch, step):
    wanted = Contrastive.step

    def failing(self, batch, images):
        if self.progress.step == step:
            raise KeyboardInterrupt
        return wanted(self, batch, images)

    monkeypatch.setattr(Contrastive, "step", failing)
    output = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        pretrain(start, probe, output, REPORTS, RECIPE, QUIET)
    monkeypatch.undo()
    torch.manual_seed(99)
    assert same(whole, pretrain(start, probe, output, REPORTS, RECIPE, QUIET))
    assert files(output) == FILES


def test_killed_between_model_and_state(start, probe, whole, tmp_path, monkeypatch):
    save = base_room.torch_bytes

    def killed(state):
        if state["progress"]["step"] == 4:
            raise KeyboardInterrupt
        return save(state)

    monkeypatch.setattr(base_room, "torch_bytes", killed)
    with pytest.raises(KeyboardInterrupt):
        pretrain(start, probe, tmp_path / "out", REPORTS, RECIPE, QUIET)
    monkeypatch.undo()
    assert same(whole, pretrain(start, probe, tmp_path / "out", REPORTS, RECIPE, QUIET))


def test_killed_by_the_system(start, probe, whole, tmp_path):
    """SIGKILL in the midst of an epoch, at whatever instruction it is."""
    script = (
        "import torch; torch.set_num_threads(1)\n"
        "from pretraining import QUIET, RECIPE, striped, tiny_model\nfrom mdissect.train import pretrain\n"
        f"pretrain(tiny_model(), striped(24), {str(tmp_path / 'out')!r}, {REPORTS!r}, RECIPE, QUIET)\n"
    )
    root = Path(pretraining.__file__).parent
    paths = os.pathsep.join([str(root.parent), str(root), os.environ.get("PYTHONPATH", "")])
    running = subprocess.Popen([sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": paths})
    deadline = time.monotonic() + 120
    while not (tmp_path / "out" / "state.pt").exists() and running.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert (tmp_path / "out" / "state.pt").exists() or (tmp_path / "out" / "metrics.json").exists()
    assert same(whole, pretrain(start, probe, tmp_path / "out", REPORTS, RECIPE, QUIET))


def test_the_epoch_of_the_least_validation_loss_is_kept(start, probe, tmp_path, monkeypatch):
    found, whole_matching = iter([3.0, 1.0, 2.0]), room.matching
    kept = []

    def matching(training, studies):
        scores = whole_matching(training, studies)
        if training.progress.step and len(training.progress.history) < 3:
            kept.append(weights_fingerprint(training.model))
            return scores | {"loss": next(found)}
        return scores

    monkeypatch.setattr(room, "matching", matching)
    done = pretrain(start, probe, tmp_path, REPORTS, RECIPE, QUIET)
    assert done.metrics["best epoch"] == 2
    assert weights_fingerprint(done.dissector.model) == kept[1]


def test_without_validation_the_last_epoch_is_kept(start, probe, tmp_path):
    done = pretrain(start, probe, tmp_path, REPORTS, replace(RECIPE, validation_fraction=0), QUIET)
    assert done.metrics["best epoch"] == 3
    assert "validation" not in done.metrics
    assert "validation loss" not in done.history


def test_a_loss_that_is_no_number_leaves_the_best_model(start, probe, tmp_path, monkeypatch):
    monkeypatch.setattr(Contrastive, "step", nan_step(Contrastive.step))
    with pytest.raises(TrainingError, match=r"at step 3 \(epoch 2\); the best model, of epoch 1, and the last saved state"):
        pretrain(start, probe, tmp_path / "out", REPORTS, RECIPE, QUIET)
    assert load_dissector(tmp_path / "out").aligned


def nan_step(step):
    """A step that spoils a weight before step 3."""

    def spoilt(self, batch, images):
        if self.progress.step == 3:
            with torch.no_grad():
                self.model.text_projection.bias.fill_(torch.nan)
        return step(self, batch, images)

    return spoilt


def test_one_at_a_time_in_a_folder(start, probe, tmp_path):
    with alone_in(tmp_path), pytest.raises(ValueError, match="another process trains into"):
        pretrain(start, probe, tmp_path, REPORTS, RECIPE, QUIET)


def split_of(probe: Probe, **settings):
    return split_studies(probe, read_studies(probe), RECIPE.changed(**settings))


def test_splits_are_by_patient():
    probe = striped(30, laterality=["L", "R"] * 30)
    for seed in range(5):
        split = split_of(probe, seed=seed, validation_fraction=0.2)
        patients = [set(read_studies(probe).patients[rows]) for rows in vars(split).values()]
        assert [len(own) for own in patients] == [24, 6, 0]
        assert not patients[0] & patients[1]
        assert sorted(np.concatenate(list(vars(split).values()))) == list(range(60))
    assert not np.array_equal(split_of(probe, seed=0).validation, split_of(probe, seed=1).validation)


def test_a_column_of_the_table_splits():
    parts = np.repeat(["training", "test", "val"], [40, 12, 8])
    split = split_of(striped(30, split=parts))
    assert {name: rows.tolist() for name, rows in vars(split).items()} == {
        "training": list(range(20)), "validation": [26, 27, 28, 29], "test": list(range(20, 26)),
    }  # fmt: skip
    only = split_of(striped(30, split=np.repeat(["training", "test"], 30)))
    assert [len(rows) for rows in vars(only).values()] == [12, 3, 15]
    with pytest.raises(ValueError, match="puts images of one patient into two parts"):
        split_of(striped(30, split=["training", "test"] * 30))
    with pytest.raises(ValueError, match="the validation part has 1 patient; it needs 2 or more"):
        split_of(striped(30, split=np.repeat(["training", "val"], [58, 2])))
    with pytest.raises(ValueError, match="batch_size=8 studies of different patients, but the training part has 4 patients"):
        split_of(striped(6))


def test_test_studies_are_scored(start, tmp_path):
    probe = striped(30, split=np.repeat(["training", "test"], [44, 16]))
    done = pretrain(start, probe, tmp_path, "labels", replace(RECIPE, epochs=1), QUIET)
    assert done.metrics["studies"] == {"training": 18, "validation": 4, "test": 8}
    assert done.metrics["test"].keys() == done.metrics["validation"].keys()


def test_it_goes_on_from_a_demo_model_and_from_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("MDISSECT_DATA", str(tmp_path))
    texts = [*pretraining.WORDS.values(), *pretraining.BRIGHT]
    demo_models(tmp_path / "demo", "mammo", preprocess={"size": [32, 32]}, texts=texts)
    recipe = RECIPE.changed(epochs=1, augment=False)
    first = pretrain("demo/mammo", striped(24), tmp_path / "a", REPORTS, recipe, QUIET)
    assert first.dissector.model.image_pool == load_dissector("demo/mammo").model.image_pool
    assert load_target(tmp_path / "a").layers == load_target("demo/mammo").layers
    second = pretrain(tmp_path / "a", striped(24), tmp_path / "b", REPORTS, recipe, QUIET)
    assert "pretrained from a on striped" in second.dissector.notes[0]


def test_what_has_no_towers_is_refused(probe, tmp_path):
    with pytest.raises(TypeError, match=r"dissector 'labels of striped .* has no towers"):
        pretrain(load_dissector("labels", probe=probe, column="findings"), probe, tmp_path, recipe=RECIPE, running=QUIET)


def test_the_published_layout_is_read_by_its_reader(tmp_path):
    texts = text_model(tmp_path / "bert")
    probe = striped(6, seed=1)
    preprocess = Preprocess(size=(64, 48), scale="image", mean=0.3, std=0.25)
    start = new_model("mammo-clip/b2", texts, preprocess=preprocess)
    recipe = RECIPE.changed(epochs=1, batch_size=2, augment=False, n_texts=1)
    done = pretrain(start, probe, tmp_path / "out", REPORTS, recipe, QUIET)
    path = write_published(tmp_path / "out", tmp_path / "mine.tar")
    again = load_dissector("mammo-clip/b2", checkpoint=path, text_model=texts, preprocess=preprocess)
    x = torch.randn(2, 3, 64, 48, generator=torch.Generator().manual_seed(0))
    assert torch.equal(again.embed_images(x), done.dissector.embed_images(x))
    assert torch.equal(again.embed_texts(["a mass"]), done.dissector.embed_texts(["a mass"]))
    assert load_target("mammo-clip", checkpoint=path).fingerprint == done.dissector.image_fingerprint
    assert "image_encoder._conv_stem.weight" in torch.load(path, weights_only=True)["model"]


def test_other_towers_have_no_place_in_the_published_layout(whole, tmp_path):
    with pytest.raises(ValueError, match="has no place in the published layout, which is that of mammo-clip/b5"):
        write_published(whole.folder, tmp_path / "mine.tar")


@pytest.fixture
def folder(tmp_path):
    """A folder of images with a table, for the command."""
    from PIL import Image

    probe = striped(20)
    (tmp_path / "images").mkdir()
    for name, image in zip(probe.ids, probe, strict=True):
        Image.fromarray(image).save(tmp_path / "images" / f"{name}.png")
    table = probe.table.assign(image_id=[f"{name}.png" for name in probe.ids])
    pd.DataFrame(table).to_csv(tmp_path / "images" / "table.csv", index=False)
    return tmp_path


def test_the_command(folder, capsys):
    images = folder / "images"
    command = [
        "pretrain", "--probe", "folder", "--probe-set", f"path={images}", f"table={images / 'table.csv'}", "id_column=image_id",
        "--image", "timm/test_vit", "--model-set", "img_size=32", "embed_dim=16", "--text", "small", "--texts", *REPORTS,
        "--output", str(folder / "out"), "--set", "epochs=1", "batch_size=8", "augment=False", "device=cpu", "workers=0",
        "progress=False", "text_text=0.25",
    ]  # fmt: skip
    assert __main__.main(command) == 0
    said = capsys.readouterr().out
    assert "best epoch 1 of 1" in said
    assert "validation: 2 studies; loss" in said
    dissector = load_dissector(folder / "out")
    assert dissector.preprocess.size == (32, 32)
    assert json.loads((folder / "out" / "metrics.json").read_text())["what"]["balance"]["text_text"] == 0.25


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--image timm/resnet18", "--image belong to --probe"),
        ("--probe phantom", "--probe needs --output"),
        ("--probe phantom --output o", "--probe needs --image and --text, the towers of a new model, or --model"),
        (
            "--probe phantom --output o --model demo/mammo --image timm/resnet18 --text small",
            "--probe needs --image and --text",
        ),
        ("mammo --probe phantom --output o", "--probe pretrains on images of one's own"),
        ("--replicates 1", "--replicates takes a number, 2 or more"),
        ("mammo --replicates 2", "--replicates takes a number, 2 or more, and no names"),
        ("clip-reports", "no demo model clip-reports; there are mammo, clip"),
    ],
)
def test_wrong_arguments_of_the_command(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        __main__.main(["pretrain", *arguments.split()])
    assert message in capsys.readouterr().err
