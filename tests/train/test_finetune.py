"""Fine-tuning of toy networks: what is learnt, how an interrupted run resumes, and what goes wrong."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import toys

from mdissect.models import weights_fingerprint
from mdissect.probes import Probe
from mdissect.train import Augment, Recipe, Running, SavingError, TrainingError, evaluate, finetune
from mdissect.train import base as base_room
from mdissect.train import loop as loop_room
from mdissect.train.finetune import predict
from mdissect.train.loop import Loop, Material, resolve_precision, weighted_loss
from mdissect.train.saving import alone_in
from mdissect.train.splits import split_labels
from mdissect.train.tasks import read_labels

pytestmark = pytest.mark.slow

RECIPE = Recipe(
    epochs=3,
    batch_size=8,
    learning_rate=0.02,
    warmup_steps=2,
    augment=Augment(degrees=10, elastic_alpha=0),
    validation_fraction=0.25,
    test_fraction=0.25,
)
QUIET = Running(device="cpu", workers=0, save_every=2, progress=False)
N_PATIENTS = 32


@pytest.fixture(scope="module")
def bars() -> Probe:
    """Images of standing stripes, lying stripes or none; two images a patient."""
    rng = np.random.default_rng(0)
    images = rng.uniform(0, 120, (2 * N_PATIENTS, 8, 8))
    kinds = np.repeat(np.arange(N_PATIENTS) % 3, 2)
    images[kinds == 0, :, ::2] += 60
    images[kinds == 1, ::2] += 60
    table = {
        "patient": np.repeat([f"P{i}" for i in range(N_PATIENTS)], 2),
        "shape": np.array(["standing", "lying", "none"])[kinds],
        "standing": kinds == 0,
    }
    return Probe.from_arrays(images.astype(np.uint8), table=table, name="bars")


@pytest.fixture
def interrupted(monkeypatch):
    """A function that lets training fail before a step, for the length of the test."""

    def at(step: int, error: BaseException) -> None:
        whole = Loop._step

        def failing(self, x, y):
            if self.progress.step == step:
                raise error
            return whole(self, x, y)

        monkeypatch.setattr(Loop, "_step", failing)

    return at


def tune(cnn, bars, folder, task="standing", recipe=RECIPE, running=QUIET):
    return finetune(cnn, bars, task, folder, recipe, running)


def files(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != ".lock")


def same(one, other) -> bool:
    """Whether two results are the same, bit by bit, apart from the time they took."""
    timeless = [result.metrics | {"seconds": 0, "loading": ""} for result in (one, other)]
    metrics = [json.dumps(found, sort_keys=True) for found in timeless]
    return one.target.fingerprint == other.target.fingerprint and metrics[0] == metrics[1] and one.history.equals(other.history)


def test_it_learns_two_classes_and_several(cnn, bars, tmp_path):
    recipe = RECIPE.changed(epochs=20, augment=False)
    two = tune(cnn, bars, tmp_path / "two", recipe=recipe)
    assert two.metrics["test"]["auc"] > 0.95
    three = tune(cnn, bars, tmp_path / "three", task="shape", recipe=recipe)
    assert three.task.classes == ("lying", "none", "standing")
    assert three.metrics["test"]["auc"] > 0.95
    assert three.history["training_loss"].iloc[-1] < 0.7 * three.history["training_loss"].iloc[0]


def test_what_comes_out(cnn, bars, tmp_path):
    before = weights_fingerprint(cnn.module)
    tuned = tune(cnn, bars, tmp_path / "out")
    assert weights_fingerprint(cnn.module) == before == cnn.fingerprint
    assert files(tuned.folder) == ["classifier.safetensors", "losses.csv", "metrics.json"]
    metrics = json.loads((tuned.folder / "metrics.json").read_text())
    assert metrics == tuned.metrics
    n_images = {part: sum(counts.values()) for part, counts in metrics["images"].items()}
    assert n_images == {"training": 36, "validation": 12, "test": 16}
    assert list(tuned.history) == [
        "epoch", "step", "learning_rate", "training_loss", "validation_loss",
        "validation_auc", "validation_accuracy", "validation_macro_f1",
    ]  # fmt: skip
    assert tuned.history["step"].tolist() == [4, 8, 12]
    assert metrics["best epoch"] == tuned.history["validation_auc"].argmax() + 1
    assert metrics["validation"]["auc"] == pytest.approx(tuned.history["validation_auc"].max())
    assert (tuned.target.layers, tuned.target.module.training) == (cnn.layers, False)
    assert not any(parameter.requires_grad for parameter in tuned.target.module.parameters())
    assert "fine-tuned to tell standing" in tuned.target.notes[0]


def test_the_scores_are_those_of_the_target_that_is_returned(cnn, bars, tmp_path):
    tuned = tune(cnn, bars, tmp_path)
    labels = read_labels(bars, "standing")
    found = evaluate(tuned.target, bars.subset(split_labels(bars, labels, RECIPE).test), "standing", device="cpu")
    assert found == tuned.metrics["test"]
    with pytest.raises(ValueError, match=r"outputs of shape \(1,\); a classifier of shape \(lying, none, standing\) has 3"):
        evaluate(tuned.target, bars, "shape", device="cpu")


@pytest.fixture(scope="module", params=[False, True], ids=["all layers", "frozen"])
def whole(request, bars, tmp_path_factory):
    """A recipe, and its training without interruption."""
    recipe = replace(RECIPE, frozen=request.param)
    cnn = toys.toy_target(toys.TinyCNN, layers=("stem", "deep"))
    return recipe, tune(cnn, bars, tmp_path_factory.mktemp("whole"), recipe=recipe)


@pytest.mark.parametrize("step", [1, 2, 4, 7, 11])
def test_an_interrupted_training_goes_on_bit_by_bit(cnn, bars, tmp_path, interrupted, monkeypatch, step, whole):
    recipe, undisturbed = whole
    with monkeypatch.context():
        interrupted(step, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            tune(cnn, bars, tmp_path / "stopped", recipe=recipe)
    monkeypatch.undo()
    torch.manual_seed(99)  # whatever random numbers were drawn in between
    resumed = tune(cnn, bars, tmp_path / "stopped", recipe=recipe)
    assert same(undisturbed, resumed)
    assert not (tmp_path / "stopped" / "state.pt").exists()


def test_killed_between_checkpoint_and_state(cnn, bars, tmp_path, monkeypatch):
    whole = tune(cnn, bars, tmp_path / "whole")
    save = base_room.torch_bytes

    def killed(state):
        if state.get("progress", {}).get("step") == 8:
            raise KeyboardInterrupt
        return save(state)

    monkeypatch.setattr(base_room, "torch_bytes", killed)
    with pytest.raises(KeyboardInterrupt):
        tune(cnn, bars, tmp_path / "stopped")
    monkeypatch.undo()
    assert same(whole, tune(cnn, bars, tmp_path / "stopped"))


def test_workers_and_savings_do_not_change_the_result(cnn, bars, tmp_path):
    one = tune(cnn, bars, tmp_path / "one")
    state = torch.get_rng_state()
    two = tune(cnn, bars, tmp_path / "two", running=replace(QUIET, workers=1, save_every=100))
    assert same(one, two)
    assert torch.equal(torch.get_rng_state(), state)
    assert not same(one, tune(cnn, bars, tmp_path / "three", recipe=replace(RECIPE, seed=1)))


def test_a_finished_fine_tuning_is_only_read(cnn, bars, tmp_path, interrupted):
    first = tune(cnn, bars, tmp_path)
    interrupted(0, AssertionError("trained again"))
    assert same(first, tune(cnn, bars, tmp_path))
    np.testing.assert_array_equal(predict(first.target, bars, "cpu"), predict(tune(cnn, bars, tmp_path).target, bars, "cpu"))
    with pytest.raises(ValueError, match=r"metrics\.json is of another training \(epochs: 3 there, 4 here\); choose"):
        tune(cnn, bars, tmp_path, recipe=replace(RECIPE, epochs=4))


def test_the_state_of_another_fine_tuning_is_refused(cnn, bars, tmp_path, interrupted):
    interrupted(3, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        tune(cnn, bars, tmp_path)
    with pytest.raises(ValueError, match=r"state\.pt is of another training \(learning_rate: 0\.02 there, 0\.01 here\)"):
        tune(cnn, bars, tmp_path, recipe=replace(RECIPE, learning_rate=0.01))
    changed = bars.table.assign(standing=~bars.table["standing"])
    other = Probe.from_arrays([bars[i] for i in range(len(bars))], table=changed, name="bars")
    with pytest.raises(ValueError, match="images and labels: "):
        tune(cnn, other, tmp_path)


def test_one_at_a_time_in_a_folder(cnn, bars, tmp_path):
    with alone_in(tmp_path), pytest.raises(ValueError, match=r"another process trains into .*; wait for it, or choose"):
        tune(cnn, bars, tmp_path)
    (tmp_path / ".state.pt.0123.part").write_text("half-written by a process that was killed")
    tune(cnn, bars, tmp_path)
    assert files(tmp_path) == ["classifier.safetensors", "losses.csv", "metrics.json"]


def test_early_stopping_keeps_the_best_epoch(cnn, bars, tmp_path, monkeypatch):
    found = iter([0.6, 0.8, 0.7, 0.8, 0.9, 1.0])
    monkeypatch.setattr(loop_room, "classification_scores", lambda *_: {"auc": next(found), "accuracy": 0.0, "macro_f1": 0.0})
    tuned = tune(cnn, bars, tmp_path, recipe=RECIPE.changed(epochs=6, patience=2))
    assert tuned.metrics["best epoch"] == 2
    assert tuned.history["validation_auc"].tolist() == [0.6, 0.8, 0.7, 0.8]


def nan_loss(loop, loss):
    return loss * float("nan") if loop.progress.step == 6 and loop.module.training else loss


def infinite_weights(loop, loss):
    if loop.progress.step == 6:  # now the state is due
        with torch.no_grad():
            loop.classifier.head.bias.fill_(torch.inf)
    return loss


@pytest.mark.parametrize(
    ("method", "damage", "message"),
    [
        (
            "_loss",
            nan_loss,
            r"the loss is nan at step 6 \(epoch 2\); the best checkpoint, of epoch 1, is intact in .*classifier\.s",
        ),
        ("_step", infinite_weights, r"the weights head\.bias are not finite at step 6 \(epoch 2\); the best"),
    ],
)
def test_what_is_no_number_replaces_nothing(cnn, bars, tmp_path, monkeypatch, method, damage, message):
    whole = getattr(Loop, method)
    monkeypatch.setattr(Loop, method, lambda self, *given: damage(self, whole(self, *given)))
    with pytest.raises(TrainingError, match=message):
        tune(cnn, bars, tmp_path)
    monkeypatch.undo()
    assert same(tune(cnn, bars, tmp_path), tune(cnn, bars, tmp_path / "undisturbed"))


def test_a_full_disk(cnn, bars, tmp_path, monkeypatch):
    whole, epoch = tune(cnn, bars, tmp_path / "whole"), Loop._epoch
    with (
        toys.full_disk(500),
        pytest.raises(SavingError, match=r"File too large.*no checkpoint was written yet.*Free some space"),
    ):
        tune(cnn, bars, tmp_path / "full")
    assert files(tmp_path / "full") == []

    def second_without_room(self):
        if self.progress.step < self.steps_per_epoch:
            return epoch(self)
        with toys.full_disk(500):
            return epoch(self)

    monkeypatch.setattr(Loop, "_epoch", second_without_room)
    message = r"cannot write .*state\.pt \(File too large\); the best checkpoint, of epoch 1, is intact"
    with pytest.raises(SavingError, match=message):
        tune(cnn, bars, tmp_path / "full")
    monkeypatch.undo()
    assert files(tmp_path / "full") == ["classifier.safetensors", "losses.csv", "state.pt"]
    assert same(whole, tune(cnn, bars, tmp_path / "full"))


def test_a_linear_probe_trains_its_layer_alone(cnn, bars, tmp_path, monkeypatch):
    read, whole = [], Probe.__getitem__
    monkeypatch.setattr(Probe, "__getitem__", lambda self, position: read.append(position) or whole(self, position))
    tuned = tune(cnn, bars, tmp_path, recipe=Recipe.linear_probe(epochs=5, validation_fraction=0.25, test_fraction=0.25))
    assert read == list(range(len(bars)))  # once, for all epochs
    before, after = cnn.module.state_dict(), tuned.target.module.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before if not name.startswith("head."))
    assert tuned.metrics["epochs"] == 5


def test_images_without_label_are_counted(cnn, bars, tmp_path):
    table = bars.table.assign(standing=bars.table["standing"].astype(object))
    table.iloc[:4, table.columns.get_loc("standing")] = None
    probe = Probe.from_arrays([bars[i] for i in range(len(bars))], table=table, name="bars")
    assert tune(cnn, probe, tmp_path / "a").metrics["without label"] == 4
    with pytest.raises(ValueError, match=r"4 of 64 images .* have no label"):
        tune(cnn, probe, tmp_path / "b", recipe=replace(RECIPE, missing="error"))
    assert not (tmp_path / "b").exists()


def test_the_loss_weighs_rare_classes():
    y = np.array([0] * 6 + [1] * 2 + [2] * 4)
    rows = np.arange(8)

    def loss(recipe, n_classes, rows=rows):
        return weighted_loss(Material(None, y, rows, rows, n_classes), recipe)

    assert loss(Recipe(), 2).pos_weight.item() == 3  # 6 negatives, 2 positives
    assert loss(replace(Recipe(), balance="none"), 2).pos_weight is None
    assert loss(Recipe(), 3).weight is None
    weights = loss(replace(Recipe(), balance="all"), 3, np.arange(12)).weight
    torch.testing.assert_close(weights, torch.tensor([12 / 18, 12 / 6, 12 / 12]))


def test_the_learning_rate(cnn, bars, tmp_path):
    history = tune(cnn, bars, tmp_path, recipe=RECIPE.changed(epochs=4, head_learning_rate=1.0)).history
    done = (history["step"] - 1 - 2) / (16 - 2)  # two steps of warm-up
    np.testing.assert_allclose(history["learning_rate"], 0.02 * np.cos(np.pi / 2 * done) ** 2, atol=1e-12)


def test_the_new_layer_may_learn_at_a_rate_of_its_own(cnn, bars, tmp_path):
    tuned = tune(cnn, bars, tmp_path, recipe=RECIPE.changed(epochs=1, learning_rate=1e-12, head_learning_rate=0.1))
    before, after = cnn.module.state_dict(), dict(tuned.target.module.named_parameters())
    assert all((after[name] - before[name]).abs().max() < 1e-9 for name in after if not name.startswith("head."))
    assert after["head.weight"].abs().max() > 0.2


def test_precisions():
    cpu = torch.device("cpu")
    assert resolve_precision("auto", cpu) is torch.float32
    assert resolve_precision("bfloat16", cpu) is torch.bfloat16


def test_mixed_precision_on_a_cpu(cnn, bars, tmp_path):
    lower = tune(cnn, bars, tmp_path / "a", recipe=replace(RECIPE, precision="bfloat16"))
    assert lower.metrics["precision"] == "bfloat16"
    assert {value.dtype for value in lower.target.module.state_dict().values()} == {torch.float32, torch.int64}
    full = tune(cnn, bars, tmp_path / "b")
    np.testing.assert_allclose(lower.history["training_loss"], full.history["training_loss"], rtol=0.05)
    assert not lower.history.equals(full.history)
