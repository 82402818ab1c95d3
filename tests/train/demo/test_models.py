"""From a seed to a demo model with its card: worlds, the training command, the card; all of it tiny."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mdissect import __main__
from mdissect.concepts import load_concepts
from mdissect.models import WordPieceTexts, load_dissector, load_target
from mdissect.phantom.mammograms import render_with_truth, reports, sample_truth
from mdissect.phantom.scenes import captions, render_scene, sample_scene
from mdissect.train.base import Progress
from mdissect.train.demo import models
from mdissect.train.demo.card import write_model_card
from mdissect.train.demo.names import Name, parse_name, replicates
from mdissect.train.demo.trainer import DemoRecipe
from mdissect.train.demo.world import World, mammogram_world, scene_world
from mdissect.train.demo.zeroshot import GOAL
from mdissect.train.recipe import Augment, ContrastiveRecipe

pytestmark = pytest.mark.slow

N_IMAGES = 24
ONE = ContrastiveRecipe(epochs=1, batch_size=4, extra_texts=2, augment=Augment.off(), validation_fraction=0)
SINGLE = replace(ONE, n_views=1, n_texts=1)
RECIPES = {
    "mammo": DemoRecipe(N_IMAGES, ONE, place_weight=1.0),
    "clip": DemoRecipe(N_IMAGES, SINGLE),
    "general": DemoRecipe(N_IMAGES, replace(SINGLE, n_texts=0)),
}
NAMES = (*RECIPES, "mammo-s1", "mammo-reports")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("worlds")


def test_mammograms_face_left_with_their_boxes(cache):
    world = mammogram_world(N_IMAGES, models.TRAINING_SEED, cache)
    assert world.images.shape == (N_IMAGES, 256, 160)
    assert world.images.dtype == np.uint8
    for index in range(8):
        truth = sample_truth(models.TRAINING_SEED, index, ("distortion",))
        image, boxes = render_with_truth(truth, models.TRAINING_SEED)
        if truth.laterality == "R":
            image = image[:, ::-1]
            boxes = [{**box, "xmin": 160 - box["xmax"], "xmax": 160 - box["xmin"]} for box in boxes]
        assert np.array_equal(world.images[index], image)
        assert world.boxes[index] == boxes
        assert world.facts[index].tolist() == reports.factor_vector(truth).tolist()
    assert not world.fact("distortion").any()
    assert len(world) == N_IMAGES


def test_worlds_are_drawn_once(cache, monkeypatch):
    first = mammogram_world(N_IMAGES, models.TRAINING_SEED, cache)
    monkeypatch.setattr("mdissect.train.demo.world.ProcessPoolExecutor", lambda: pytest.fail("drawn again"))
    again = mammogram_world(N_IMAGES, models.TRAINING_SEED, cache)
    assert np.array_equal(again.images, first.images)
    assert (again.name, again.boxes) == (first.name, first.boxes)


def test_worlds_have_names_of_their_own(cache):
    names = {mammogram_world(4, 2, cache, ()).name, mammogram_world(4, 2, cache).name, scene_world(4, 2, cache).name}
    assert len(names) == 3
    assert mammogram_world(4, 2, cache).name == "mammograms-v2-s2-n4-without-distortion"


def test_texts_of_a_world_are_true(cache):
    world = mammogram_world(N_IMAGES, models.TRAINING_SEED, cache)
    rng = np.random.default_rng(0)
    for position in range(N_IMAGES):
        text = world.sample_text(position, rng)
        assert text.text
        assert all(world.fact(key)[position] for key in text.present)
        assert not any(world.fact(key)[position] for key in text.absent)


def test_scenes(cache):
    world = scene_world(N_IMAGES, 3, cache)
    assert world.images.shape == (N_IMAGES, 128, 128, 3)
    assert np.array_equal(world.images[5], render_scene(sample_scene(3, 5), 3))
    assert world.boxes == [[]] * N_IMAGES


@pytest.fixture(scope="module")
def trained(cache, tmp_path_factory):
    """The data folder with the three models that the command made, and what it printed of each."""
    data = tmp_path_factory.mktemp("data")
    tokenizer = WordPieceTexts.train([*reports.corpus(60, 5), "red blue green object scene"], vocab_size=220)
    small = {**models.PREPROCESS, "size": [64, 40]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "RECIPES", RECIPES)
        patch.setattr(models, "VARIANTS", {"reports": replace(RECIPES["mammo"], fact_weight=0.0, place_weight=0.0)})
        patch.setattr(models, "PREPROCESS", small)
        patch.setattr(models, "STAGES", [["cn_r1_k3_s2_e1_c8"], ["er_r1_k3_s2_e2_c8"]])
        patch.setattr(models, "LAYERS", ["blocks.0", "bn2"])
        patch.setattr(models, "HELD_OUT_IMAGES", N_IMAGES)
        patch.setattr(models, "make_tokenizer", lambda: tokenizer)
        assert __main__.main(["pretrain", *NAMES, "--output", str(data / "demo"), "--cache", str(cache)]) == 0
    return data


def test_trained_models_load(trained, monkeypatch):
    monkeypatch.setenv("MDISSECT_DATA", str(trained))
    for name in NAMES:
        target, dissector = load_target(f"demo/{name}"), load_dissector(f"demo/{name}")
        assert target.layers == ("blocks.0", "bn2")
        assert target.fingerprint == dissector.image_fingerprint
        assert dissector.aligned == (name != "general")
        assert dissector.embed_texts(["spiculated mass"]).shape == (1, 128)


def test_general_has_the_text_tower_of_mammo(trained, monkeypatch):
    monkeypatch.setenv("MDISSECT_DATA", str(trained))
    mammo, general, clip = (load_dissector(f"demo/{name}").model for name in ("mammo", "general", "clip"))
    words = "embeddings.word_embeddings.weight"
    assert torch.equal(general.text_tower.state_dict()[words], mammo.text_tower.state_dict()[words])
    assert not torch.equal(clip.text_tower.state_dict()[words], mammo.text_tower.state_dict()[words])
    assert not torch.equal(general.image_projection.weight, mammo.image_projection.weight)


def test_cards_state_data_recipe_losses_and_scores(trained):
    card = (trained / "demo" / "mammo" / "README.md").read_text()
    parts = [
        *(
            "# demo/mammo",
            "Not for any clinical use",
            "Two gaps are planted",
            "| epochs | 1 |",
            "| text-text | ",
            "| places | ",
        ),
        "The filling of implants is not among them",
        f"mammograms-v2-s1-n{N_IMAGES}-without-distortion`: {N_IMAGES} images",
        f"({N_IMAGES} images of another seed)",
        *("| mean of six | ", "| report found within 10 | ", *(f"| {finding} | " for finding in GOAL)),
    ]
    for part in parts:
        assert part in card, part
    replicate, reports_alone = ((trained / "demo" / name / "README.md").read_text() for name in NAMES[-2:])
    assert "A replicate of the shipped model's training, from seed 1." in replicate
    assert "on a CPU, seed 1; towers in" in replicate
    assert "It was trained on reports alone" in reports_alone
    assert "| places |" not in reports_alone
    general = (trained / "demo" / "general" / "README.md").read_text()
    assert "never aligned" in general
    assert "Two gaps" not in general
    assert "contrastive" not in general


def test_replicates_are_trainings_of_their_own(trained, monkeypatch):
    monkeypatch.setenv("MDISSECT_DATA", str(trained))
    prints = {load_target(f"demo/{name}").fingerprint for name in ("mammo", "mammo-s1", "mammo-reports")}
    assert len(prints) == 3


def test_names():
    models_, classifiers, variants = ("mammo", "clip"), ("C1", "C4"), ("reports", "published")
    cases = {
        "mammo": Name("mammo"),
        "mammo-s2": Name("mammo", seed=2),
        "mammo-reports": Name("mammo", "reports"),
        "mammo-reports-s12": Name("mammo", "reports", 12),
        "C4-s0": Name("C4", seed=0),
        "clip-s1": Name("clip", seed=1),
    }
    for text, name in cases.items():
        assert parse_name(text, models_, classifiers, variants) == name
        assert str(name) == text
        assert name.plain == (text == "mammo")
    for wrong in ("mamo", "mammo-", "mammo-other", "mammo-s", "clip-reports", "C2", "mammo-s1-reports", ""):
        with pytest.raises(ValueError, match=r"no demo model .*; there are mammo, clip, C1, C4"):
            parse_name(wrong, models_, classifiers, variants)
    assert list(map(str, replicates(3, classifiers))) == ["mammo-s0", "mammo-s1", "C1-s0", "C4-s0", "C1-s1", "C4-s1"]
    assert len(replicates(5, classifiers)) == 4 + 2 * 2
    assert list(map(str, replicates(2, classifiers))) == ["mammo-s0", "C1-s0", "C4-s0"]


def test_general_needs_mammo_first(tmp_path):
    with pytest.raises(FileNotFoundError, match="general takes its text tower from mammo; train mammo first"):
        models._take_text_tower(None, tmp_path / "mammo")


def test_unknown_models_are_refused(capsys):
    with pytest.raises(SystemExit) as stopped:
        __main__.main(["pretrain", "mamo"])
    assert stopped.value.code == 2
    assert "no demo model mamo; there are mammo, clip, general, C1" in capsys.readouterr().err


def test_the_shipped_recipes():
    assert not models.VARIANTS["reports"].fact_weight
    assert not models.VARIANTS["reports"].place_weight
    assert models.recipe_of(Name("mammo", "pairs", 3)).contrastive.seed == 3
    assert models.recipe_of(Name("mammo")) == models.RECIPES["mammo"]
    assert list(models.RECIPES).index("mammo") < list(models.RECIPES).index("general")  # which takes its text tower
    assert models.TRAINING_SEED != models.HELD_OUT_SEED
    words = load_concepts("mammography")
    for name, texts in (("mammo", reports), ("clip", captions)):
        foreign = words.subset(domain=models.RECIPES[name].foreign_domain).names
        assert texts.concept_truth(foreign) == {}  # true of no image, as the recipe says


def test_a_card_shows_first_and_last_losses(tmp_path):
    world = World("toy", np.zeros((3, 1, 1), np.uint8), np.zeros((3, 0), bool), [], [[]] * 3, None, ([], np.array([])))
    losses = [{"epoch": 1, "facts": 0.9}, {"epoch": 2, "facts": 0.5}, {"epoch": 3, "facts": 0.25}]
    done = SimpleNamespace(recipe=RECIPES["general"], progress=Progress(seconds=90.0, history=losses), world=world)
    write_model_card(tmp_path / "README.md", Name("general"), done, {"object": 0.98765}, {"object": (0.9, 1)}, 7)
    card = (tmp_path / "README.md").read_text()
    for part in (
        "World `toy`: 3 images",
        "| facts | 0.900 | 0.250 | naming the facts",
        "| object | 0.988 | 0.900 to 1.000 |",
        "in 2 minutes",
    ):
        assert part in card, part
