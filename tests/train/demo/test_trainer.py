"""The training loop of the demo models on a toy world."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from miniature_models import demo_config

from mdissect.concepts import load_concepts
from mdissect.models import WordPieceTexts, build_image_text
from mdissect.phantom.mammograms import render_with_truth, reports, sample_truth
from mdissect.preprocess import Preprocess
from mdissect.train.demo.places import fact_boxes, shifted
from mdissect.train.demo.trainer import DemoRecipe, Trainer, WorldStudies
from mdissect.train.demo.world import World, _breasts
from mdissect.train.images import in_groups
from mdissect.train.recipe import Augment, ContrastiveRecipe
from mdissect.train.templates import Sentence

pytestmark = pytest.mark.slow

SIZE = (64, 40)
PREPROCESS = Preprocess(size=SIZE, scale="image", mean=0.2, std=0.25, interpolation="bilinear")
RATE = {"learning_rate": 0.02, "weight_decay": 0.05, "precision": "bfloat16", "max_scale": 6.0}  # so few steps are all warm-up
ONE = ContrastiveRecipe(epochs=2, batch_size=12, extra_texts=8, augment=Augment.off(), validation_fraction=0, seed=3, **RATE)
RECIPE = DemoRecipe(96, ONE, place_weight=1.0, shift=(4, 2))
SINGLE = replace(RECIPE, contrastive=replace(ONE, batch_size=12, n_views=1, n_texts=1))


def changed(recipe: DemoRecipe = RECIPE, **settings) -> DemoRecipe:
    """A recipe with other settings, those of its contrastive part by their names."""
    own = {name: value for name, value in settings.items() if name in DemoRecipe.__dataclass_fields__}
    within = {name: value for name, value in settings.items() if name not in own}
    return replace(recipe, **own, contrastive=recipe.contrastive.changed(**within))


@pytest.fixture(scope="module")
def world() -> World:
    truths = [sample_truth(11, index, ("distortion",)) for index in range(96)]
    drawn = [render_with_truth(truth, 11, *SIZE) for truth in truths]
    return World(
        name="toy",
        images=np.stack([image for image, _ in drawn]),
        boxes=[boxes for _, boxes in drawn],
        keys=reports.factor_keys(),
        facts=np.stack([reports.factor_vector(truth) for truth in truths]),
        sample_text=lambda position, rng: reports.sample_text(truths[position], rng),
        studies=_breasts(truths),
    )


@pytest.fixture(scope="module")
def tokenizer() -> WordPieceTexts:
    return WordPieceTexts.train(reports.corpus(60, 5), vocab_size=250)


@pytest.fixture
def trainer_of(world, tokenizer):
    """A function that makes a trainer of a fresh model."""

    def make(recipe: DemoRecipe = RECIPE, init: int = 0, preprocess: Preprocess = PREPROCESS, seen: World = world) -> Trainer:
        torch.manual_seed(init)
        model = build_image_text(demo_config(tokenizer.vocab_size, embed_dim=16)).to(memory_format=torch.channels_last)
        return Trainer(model, tokenizer, seen, recipe, preprocess)

    return make


def interrupt_in(trainer: Trainer, epoch: int, with_error: type[BaseException] = KeyboardInterrupt) -> None:
    """Let a trainer fail in the second step of an epoch."""
    training = trainer.training
    step, first = training.step, epoch * training.steps_per_epoch

    def failing(batch, images):
        if training.progress.step > first:
            raise with_error
        return step(batch, images)

    training.step = failing


def test_a_training_that_was_stopped_goes_on_bit_by_bit(trainer_of, tmp_path):
    whole = trainer_of()
    whole.run(tmp_path / "whole.state")
    stopped = trainer_of()
    interrupt_in(stopped, epoch=1)
    with pytest.raises(KeyboardInterrupt):
        stopped.run(tmp_path / "stopped.state")
    resumed = trainer_of(init=99)  # whatever it starts from, the state replaces
    resumed.run(tmp_path / "stopped.state")
    assert len(resumed.progress.history) == 2
    assert resumed.progress.history == whole.progress.history
    wanted, found = whole.training.module.state_dict(), resumed.training.module.state_dict()
    assert [name for name in wanted if not torch.equal(wanted[name], found[name])] == []
    assert not torch.equal(wanted["model.image_projection.weight"], trainer_of().model.image_projection.weight)


def test_a_finished_training_is_only_read(trainer_of, tmp_path):
    first = trainer_of(changed(epochs=1))
    first.run(tmp_path / "a.state")
    again = trainer_of(changed(epochs=1), init=99)
    interrupt_in(again, epoch=-1)
    again.run(tmp_path / "a.state")
    assert again.progress.history == first.progress.history
    assert torch.equal(again.side.fact_head.weight, first.side.fact_head.weight)
    assert [path.name for path in tmp_path.iterdir()] == ["a.state"]


def test_the_state_of_another_training_is_refused(trainer_of, world, tmp_path):
    short = changed(epochs=1)
    trainer_of(short).run(tmp_path / "a.state")
    before = (tmp_path / "a.state").read_bytes()
    others = {
        "weight_decay: 0.05 there, 0.1 here": trainer_of(changed(short, weight_decay=0.1)),
        "world: 'toy' there, 'another' here": trainer_of(short, seen=replace(world, name="another")),
        "preprocess: ": trainer_of(short, preprocess=replace(PREPROCESS, interpolation="area")),
    }
    for difference, other in others.items():
        with pytest.raises(ValueError, match=rf"a\.state is of another training \({difference}"):
            other.run(tmp_path / "a.state")
    assert (tmp_path / "a.state").read_bytes() == before


def test_losses_fall(trainer_of, tmp_path):
    trainer = trainer_of(changed(epochs=5))
    trainer.run(tmp_path / "a.state")
    assert len(trainer.progress.history) == 5
    first, last = trainer.progress.history[0], trainer.progress.history[-1]
    losses = {"image-text", "image-image", "text-text", "facts", "places"}
    assert set(first) == losses | {"epoch", "step", "learning_rate"}
    for name in ("image-text", "facts", "places"):
        assert last[name] < 0.97 * first[name], name


def test_only_the_losses_of_the_recipe(trainer_of, tmp_path):
    trainer = trainer_of(changed(SINGLE, epochs=1, n_texts=0, place_weight=0.0))
    before = trainer.model.text_projection.weight.clone()
    trainer.run(tmp_path / "a.state")
    assert list(trainer.progress.history[0]) == ["epoch", "step", "learning_rate", "facts"]
    assert torch.equal(trainer.model.text_projection.weight, before)  # no loss, no weight decay either
    alone = trainer_of(changed(epochs=1, fact_weight=0.0, place_weight=0.0))
    alone.run(tmp_path / "b.state")
    assert set(alone.progress.history[0]) == {"epoch", "step", "learning_rate", "image-text", "image-image", "text-text"}


def test_foreign_texts_are_true_of_no_image(trainer_of):
    trainer = trainer_of(changed(SINGLE, foreign_texts=5, foreign_domain="other"))
    names = load_concepts("mammography").subset(domain="other").names
    studies = trainer.training.material.studies
    assert studies.foreign == names[::2]
    chosen = np.arange(12)
    batch = trainer.training.drawn(chosen, 0)
    (slot,) = batch.texts
    assert len(slot) == 12 + 8 + 5
    true, unknown = studies.truth(batch.positions[0], chosen, slot)
    assert not true[:, -5:].any()
    assert not unknown.any()


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 6), st.integers(1, 5), st.integers(1, 7), st.integers(0, 10**6))
def test_true_is_what_asserts_and_denies_nothing_wrong(n_images, n_texts, n_keys, seed):
    rng = np.random.default_rng(seed)
    facts = rng.random((n_images, n_keys)) < 0.6
    keys = [f"k{i}" for i in range(n_keys)]
    toy = World("toy", np.zeros((n_images, 1, 1)), facts, keys, [[]] * n_images, None, ([], np.array([])))
    said = []
    for _ in range(n_texts):
        asserted, denied = (frozenset(np.array(keys)[rng.random(n_keys) < p].tolist()) for p in (0.3, 0.2))
        said.append(Sentence("", asserted, denied))
    images = np.arange(n_images)
    found, unknown = WorldStudies(toy, [], images, [], 0).truth(images, images, said)
    for i, j in np.ndindex(n_images, n_texts):
        holding = {key for key, holds in zip(keys, facts[i], strict=True) if holds}
        assert bool(found[i, j]) == (said[j].present <= holding and not said[j].absent & holding)
    assert not unknown.any()


@pytest.mark.parametrize("recipe", [RECIPE, SINGLE])
def test_the_texts_of_a_batch_are_true_of_the_images_it_shows(trainer_of, recipe):
    training = trainer_of(recipe).training
    studies, chosen = training.material.studies, np.arange(10)
    for step in range(8):
        batch = training.drawn(chosen, step)
        for slot, positions in zip(batch.texts, batch.positions, strict=True):
            assert studies.truth(positions, chosen, slot[:10])[0].diagonal().all()


def test_an_epoch_is_told(trainer_of, tmp_path):
    trainer, rows = trainer_of(changed(epochs=2)), []
    trainer.run(tmp_path / "a.state", rows.append)
    assert [row["epoch"] for row in rows] == [1, 2]
    assert rows[1]["facts"] == trainer.progress.history[1]["facts"]


def test_a_loss_that_is_no_number(trainer_of, tmp_path):
    trainer = trainer_of()
    training = trainer.training
    step = training.step

    def damaged(batch, images):
        if training.progress.step == training.steps_per_epoch + 1:
            with torch.no_grad():
                trainer.side.fact_head.bias.fill_(torch.nan)
        return step(batch, images)

    training.step = damaged
    with pytest.raises(FloatingPointError, match=r"the loss is nan at step \d+ \(epoch 2\); the last saved state is kept"):
        trainer.run(tmp_path / "a.state")
    resumed = trainer_of()
    resumed.training.resume(tmp_path / "a.state")
    assert len(resumed.progress.history) == 1
    assert torch.isfinite(resumed.side.fact_head.bias).all()


def shown(trainer: Trainer, positions, seeds) -> tuple:
    """Images of a trainer and what is known of them."""
    (found,) = trainer.training.material.images.batches([list(zip(positions, seeds, strict=True))])
    return found


def test_images_are_those_of_the_contract(trainer_of, world):
    positions = np.array([5, 0, 17])
    x, seen = shown(trainer_of(), positions, [None] * 3)
    assert seen.shifts == [(0, 0)] * 3
    assert seen.positions.tolist() == [5, 0, 17]
    wanted = torch.stack([PREPROCESS(world.images[i]) for i in positions])
    rounding = 0.5 / 255 / 0.25
    torch.testing.assert_close(x, wanted, atol=1.01 * rounding, rtol=0)
    assert x.is_contiguous(memory_format=torch.channels_last)


def test_colour_images_and_another_size(trainer_of, world):
    rng = np.random.default_rng(0)
    coloured = replace(world, images=rng.integers(0, 256, (96, 48, 48, 3), dtype=np.uint8))
    preprocess = replace(PREPROCESS, mean=(0.1, 0.2, 0.3), std=(0.2, 0.3, 0.4))
    x, _ = shown(trainer_of(seen=coloured, preprocess=preprocess), np.arange(3), [None] * 3)
    wanted = torch.stack([preprocess(image) for image in coloured.images[:3]])
    torch.testing.assert_close(x, wanted, atol=1.01 * 0.5 / 255 / 0.2, rtol=0)


def test_moved_images_stay_in_range_and_depend_on_their_seed_alone(trainer_of):
    trainer, seeds = trainer_of(), list(range(24))
    x, seen = shown(trainer, np.arange(24), seeds)
    assert {abs(down) <= 4 and abs(right) <= 2 for down, right in seen.shifts} == {True}
    assert len(set(seen.shifts)) > 5
    low, high = (0 - 0.2) / 0.25, (1 - 0.2) / 0.25
    assert low - 1e-5 <= x.min() <= x.max() <= high + 1e-5
    parts = [shown(trainer, part, [seeds[i] for i in part])[0] for part in in_groups(np.arange(24), 7)]
    torch.testing.assert_close(torch.cat(parts), x, atol=0, rtol=0)


def test_shifted_repeats_the_edge():
    x = torch.arange(12, dtype=torch.uint8).view(1, 3, 4)
    assert shifted(x, 1, 0)[0].tolist() == [[0, 1, 2, 3], [0, 1, 2, 3], [4, 5, 6, 7]]
    assert shifted(x, 0, -2)[0].tolist() == [[2, 3, 3, 3], [6, 7, 7, 7], [10, 11, 11, 11]]
    assert torch.equal(shifted(x, 0, 0), x)


def test_places_say_all_that_is_true_of_what_lies_there(world):
    keys = ["mass", "mass_margin=spiculated", "mass_shape=oval", "no_mass", "lymph_node=axillary", "density=D", "skin_change"]
    held = {"mass", "mass_margin=spiculated", "lymph_node=axillary", "density=D", "skin_change"}
    toy = World(
        "toy", world.images[:1], np.array([[key in held for key in keys]]), keys, [[]], world.sample_text, world.studies
    )
    corners = {"xmin": 1, "ymin": 2, "xmax": 3, "ymax": 4}
    found = fact_boxes([{"finding": "mass", **corners}, {"finding": "lymph node", **corners}], toy, 0)
    assert [box["finding"] for box in found] == ["mass", "mass_margin=spiculated", "lymph_node=axillary"]
    assert all(box.items() >= corners.items() for box in found)


def test_what_is_named_and_placed_varies_and_leaves_out_the_filling_of_implants(trainer_of, world):
    side = trainer_of().side
    named = {world.keys[i] for i in side.named}
    assert {"mass", "density=D", "view=CC", "implant"} <= named
    assert any(key.startswith("implant=") for key in world.keys)
    for names in (named, side.findings):
        assert not any(key.startswith(("no_", "distortion", "implant=")) for key in names)
    assert side.fact_head.out_features == len(named)
    assert {"mass", "implant"} <= set(side.findings)
    assert side.place_head.out_channels == len(side.findings)
