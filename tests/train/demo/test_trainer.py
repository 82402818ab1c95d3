"""The training loop of the demo models on a toy world."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from miniature_models import demo_config

from mdissect.concepts import load_concepts
from mdissect.models import WordPieceTexts, build_image_text
from mdissect.phantom.mammograms import render_with_truth, reports, sample_truth
from mdissect.preprocess import Preprocess
from mdissect.train.demo.trainer import DemoRecipe, Trainer, fact_boxes, shifted
from mdissect.train.demo.world import World

pytestmark = pytest.mark.slow

SIZE = (64, 40)
PREPROCESS = Preprocess(size=SIZE, scale="image", mean=0.2, std=0.25, interpolation="bilinear")
RECIPE = DemoRecipe(
    n_images=96, epochs=2, place_weight=1.0, batch_size=24, extra_texts=8, learning_rate=0.02, shift=(4, 2), seed=3
)  # so few steps are all warm-up: hence the high rate


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
    step, first = trainer._step, epoch * trainer.steps_per_epoch

    def failing(positions):
        if trainer.progress.step > first:
            raise with_error
        return step(positions)

    trainer._step = failing


def test_a_training_that_was_stopped_goes_on_bit_by_bit(trainer_of, tmp_path):
    whole = trainer_of()
    whole.run(tmp_path / "whole.state")
    stopped = trainer_of()
    interrupt_in(stopped, epoch=1)
    with pytest.raises(KeyboardInterrupt):
        stopped.run(tmp_path / "stopped.state")
    resumed = trainer_of(init=99)  # whatever it starts from, the state replaces
    resumed.run(tmp_path / "stopped.state")
    assert len(resumed.progress.history) == RECIPE.epochs
    assert resumed.progress.history == whole.progress.history
    wanted, found = whole.module.state_dict(), resumed.module.state_dict()
    assert [name for name in wanted if not torch.equal(wanted[name], found[name])] == []
    assert not torch.equal(wanted["model.image_projection.weight"], trainer_of().model.image_projection.weight)


def test_a_finished_training_is_only_read(trainer_of, tmp_path):
    first = trainer_of(replace(RECIPE, epochs=1))
    first.run(tmp_path / "a.state")
    again = trainer_of(replace(RECIPE, epochs=1), init=99)
    interrupt_in(again, epoch=-1)
    again.run(tmp_path / "a.state")
    assert again.progress.history == first.progress.history
    assert torch.equal(again.fact_head.weight, first.fact_head.weight)
    assert [path.name for path in tmp_path.iterdir()] == ["a.state"]


def test_the_state_of_another_training_is_refused(trainer_of, world, tmp_path):
    short = replace(RECIPE, epochs=1)
    trainer_of(short).run(tmp_path / "a.state")
    before = (tmp_path / "a.state").read_bytes()
    others = {
        "weight_decay: 0.05 there, 0.1 here": trainer_of(replace(short, weight_decay=0.1)),
        "world: 'toy' there, 'another' here": trainer_of(short, seen=replace(world, name="another")),
        "preprocess: ": trainer_of(short, preprocess=replace(PREPROCESS, interpolation="area")),
    }
    for difference, other in others.items():
        with pytest.raises(ValueError, match=rf"a\.state is of another training \({difference}"):
            other.run(tmp_path / "a.state")
    assert (tmp_path / "a.state").read_bytes() == before


def test_losses_fall(trainer_of, tmp_path):
    trainer = trainer_of(replace(RECIPE, epochs=5))
    trainer.run(tmp_path / "a.state")
    assert len(trainer.progress.history) == 5
    first, last = trainer.progress.history[0], trainer.progress.history[-1]
    assert set(first) == {"texts", "facts", "places"}
    for name in first:
        assert last[name] < 0.97 * first[name], name


def test_only_the_losses_of_the_recipe(trainer_of, tmp_path):
    trainer = trainer_of(replace(RECIPE, epochs=1, texts=False, place_weight=0.0))
    before = trainer.model.text_projection.weight.clone()
    trainer.run(tmp_path / "a.state")
    assert list(trainer.progress.history[0]) == ["facts"]
    assert torch.equal(trainer.model.text_projection.weight, before)  # no loss, no weight decay either


def test_foreign_texts_are_true_of_no_image(trainer_of, monkeypatch):
    trainer = trainer_of(replace(RECIPE, foreign_texts=5, foreign_domain="other"))
    names = load_concepts("mammography").subset(domain="other").names
    assert trainer.foreign == names[::2]
    seen = []
    monkeypatch.setattr("mdissect.train.demo.trainer.multi_positive_loss", lambda *given: seen.append(given) or given[0].sum())
    trainer._step(np.arange(24))
    _, words, compatible, _ = seen[0]
    assert len(words) == compatible.shape[1] == 24 + RECIPE.extra_texts + 5
    assert not compatible[:, -5:].any()
    assert compatible[:, :24].diagonal().all()  # each image's own text


def test_a_loss_that_is_no_number(trainer_of, tmp_path):
    trainer = trainer_of()
    step = trainer._step

    def damaged(positions):
        if trainer.progress.step == trainer.steps_per_epoch + 1:
            with torch.no_grad():
                trainer.fact_head.bias.fill_(torch.nan)
        return step(positions)

    trainer._step = damaged
    with pytest.raises(FloatingPointError, match=r"the loss is nan at step 5 \(epoch 2\); the last finished epoch is kept"):
        trainer.run(tmp_path / "a.state")
    resumed = trainer_of()
    resumed.resume(tmp_path / "a.state")
    assert len(resumed.progress.history) == 1
    assert torch.isfinite(resumed.fact_head.bias).all()


class Still:
    """A random generator that neither moves nor brightens."""

    def integers(self, low, high=None, size=None):
        return 0

    def uniform(self, low, high, size):
        return np.zeros(size)


def test_images_are_those_of_the_contract(trainer_of, world):
    trainer = trainer_of()
    trainer.rng = Still()
    positions = np.array([5, 0, 17])
    x, shifts = trainer._images(positions)
    assert shifts == [(0, 0)] * 3
    wanted = torch.stack([PREPROCESS(world.images[i]) for i in positions])
    rounding = 0.5 / 255 / 0.25
    torch.testing.assert_close(x, wanted, atol=1.01 * rounding, rtol=0)
    assert x.is_contiguous(memory_format=torch.channels_last)


def test_colour_images_and_another_size(trainer_of, world):
    rng = np.random.default_rng(0)
    coloured = replace(world, images=rng.integers(0, 256, (96, 48, 48, 3), dtype=np.uint8))
    preprocess = replace(PREPROCESS, mean=(0.1, 0.2, 0.3), std=(0.2, 0.3, 0.4))
    trainer = trainer_of(seen=coloured, preprocess=preprocess)
    trainer.rng = Still()
    x, _ = trainer._images(np.arange(3))
    wanted = torch.stack([preprocess(image) for image in coloured.images[:3]])
    torch.testing.assert_close(x, wanted, atol=1.01 * 0.5 / 255 / 0.2, rtol=0)


def test_moved_images_stay_in_range_and_tell_by_how_much(trainer_of):
    trainer = trainer_of()
    x, shifts = trainer._images(np.arange(24))
    assert {abs(down) <= 4 and abs(right) <= 2 for down, right in shifts} == {True}
    assert len(set(shifts)) > 5
    low, high = (0 - 0.2) / 0.25, (1 - 0.2) / 0.25
    assert low - 1e-5 <= x.min() <= x.max() <= high + 1e-5


def test_shifted_repeats_the_edge():
    x = torch.arange(12, dtype=torch.uint8).view(1, 3, 4)
    assert shifted(x, 1, 0)[0].tolist() == [[0, 1, 2, 3], [0, 1, 2, 3], [4, 5, 6, 7]]
    assert shifted(x, 0, -2)[0].tolist() == [[2, 3, 3, 3], [6, 7, 7, 7], [10, 11, 11, 11]]
    assert torch.equal(shifted(x, 0, 0), x)


def test_places_say_all_that_is_true_of_what_lies_there(world):
    keys = ["mass", "mass_margin=spiculated", "mass_shape=oval", "no_mass", "lymph_node=axillary", "density=D", "skin_change"]
    held = {"mass", "mass_margin=spiculated", "lymph_node=axillary", "density=D", "skin_change"}
    toy = World("toy", world.images[:1], np.array([[key in held for key in keys]]), keys, [[]], world.sample_text)
    corners = {"xmin": 1, "ymin": 2, "xmax": 3, "ymax": 4}
    found = fact_boxes([{"finding": "mass", **corners}, {"finding": "lymph node", **corners}], toy, 0)
    assert [box["finding"] for box in found] == ["mass", "mass_margin=spiculated", "lymph_node=axillary"]
    assert all(box.items() >= corners.items() for box in found)


def test_what_is_named_and_placed_varies(trainer_of, world):
    trainer = trainer_of()
    named = {world.keys[i] for i in trainer.named}
    assert {"mass", "density=D", "view=CC"} <= named
    assert not any(key.startswith("no_") or key.startswith("distortion") for key in named)
    assert trainer.fact_head.out_features == len(named)
    assert {"mass", "implant"} <= set(trainer.findings)
    assert trainer.place_head.out_channels == len(trainer.findings)
