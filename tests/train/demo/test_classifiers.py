"""The command that makes the demo's classifiers, and the classifiers that are shipped."""

import json

import pytest
from miniature_models import demo_models

from mdissect import __main__
from mdissect.models import load_target
from mdissect.models.demo import CONFIG
from mdissect.paths import data_dir
from mdissect.probes import Probe, load_probe
from mdissect.train import evaluate
from mdissect.train.demo import classifiers as room
from mdissect.train.tasks import TASKS

pytestmark = pytest.mark.slow

GOALS = {"C1": ("accuracy", 0.80), "C3": ("auc", 0.90), "C4": ("auc", 0.90)}
SHIPPED = {name: data_dir() / "demo" / name for name in room.CLASSIFIERS}


def phantoms(seed: int, **options) -> Probe:
    """Drawn once, kept in memory."""
    probe = load_probe("phantom", seed=seed, cache=False, **options)
    return Probe.from_arrays(list(probe), ids=probe.ids, table=probe.table)


@pytest.fixture
def base(tmp_path, monkeypatch):
    """A data folder with a toy in place of demo/mammo."""
    monkeypatch.setenv("MDISSECT_DATA", str(tmp_path))
    demo_models(tmp_path / "demo", "mammo", preprocess={"size": [32, 20]}, layers=["bn2"])
    return tmp_path / "demo"


def test_a_classifier_with_its_card(base, monkeypatch, capsys):
    monkeypatch.setattr(room, "TRAINING_IMAGES", 60)
    monkeypatch.setattr(room, "HELD_OUT_IMAGES", 40)
    probes = {seed: phantoms(seed, n_images=60, size=(64, 40)) for seed in (room.TRAINING_SEED, room.HELD_OUT_SEED)}
    monkeypatch.setattr(room, "load_probe", lambda spec, n_images, seed, cache: probes[seed].subset(slice(n_images)))
    recipe = room.RECIPE.changed(epochs=2, validation_fraction=0.3)
    monkeypatch.setattr(room.make, "__defaults__", (recipe,))
    assert __main__.main(["pretrain", "C3"]) == 0
    assert sorted(path.name for path in (base / "C3").iterdir()) == ["README.md", "config.json", "model.safetensors"]
    config = json.loads((base / "C3" / CONFIG).read_text())
    assert (config["base"], config["task"], config["held_out"]["n_images"]) == ("demo/mammo", "mass", 40)
    held_out = probes[room.HELD_OUT_SEED].subset(slice(40))
    assert evaluate("demo/C3", held_out, "mass", device="cpu")["auc"] == pytest.approx(config["held_out"]["auc"], abs=1e-6)
    card = (base / "C3" / "README.md").read_text()
    assert card.startswith(
        "# demo/C3\n\ndemo/mammo's image tower with one linear layer, fine-tuned to tell mass (no mass, mass)"
    )
    assert f"| auc | {config['held_out']['auc']:.3f} |" in card
    assert "| epochs | 2 |" in card
    assert f"held-out: 40 images of 10 patients; auc {config['held_out']['auc']:.3f}" in capsys.readouterr().out


def test_it_needs_its_base(base, capsys):
    with pytest.raises(SystemExit):
        __main__.main(["pretrain", "C5"])
    assert "no demo model C5; there are mammo, clip, general, C1, C2, C3, C4" in capsys.readouterr().err
    (base / "mammo" / CONFIG).unlink()
    with pytest.raises(SystemExit):
        __main__.main(["pretrain", "C1"])
    assert "no demo model 'mammo'" in capsys.readouterr().err


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_classifiers_reach_their_goals(name):
    config = json.loads((SHIPPED[name] / CONFIG).read_text())
    scores, task = config["held_out"], TASKS[room.CLASSIFIERS[name]]
    assert (config["task"], tuple(config["classes"])) == (task.name, task.classes)
    assert scores["n_images"] == room.HELD_OUT_IMAGES
    if name in GOALS:
        score, goal = GOALS[name]
        assert scores[score] >= goal
    assert scores["macro_f1_interval"][0] > scores["majority"]["macro_f1"] + 0.1
    assert f"{scores['accuracy']:.3f}" in (SHIPPED[name] / "README.md").read_text()


@pytest.fixture(scope="module")
def some_held_out():
    return phantoms(room.HELD_OUT_SEED, n_images=100)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_classifiers_do_what_their_cards_say(name, some_held_out):
    config = json.loads((SHIPPED[name] / CONFIG).read_text())
    target = load_target(f"demo/{name}")
    assert target.layers == load_target("demo/mammo").layers
    found = evaluate(target, some_held_out, room.CLASSIFIERS[name], device="cpu")
    assert abs(found["accuracy"] - config["held_out"]["accuracy"]) < 0.12  # 100 of the 1,000 images
