"""The contrastive step and loop: chunks, views and texts drawn, resuming, and losses that fall."""

import copy
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from pretraining import PREPROCESS, QUIET, RECIPE, striped, tiny_model

from mdissect.train import ContrastiveRecipe, TrainingError
from mdissect.train.contrastive import Contrastive, Material
from mdissect.train.images import SeededImages
from mdissect.train.matching import matching, retrieval
from mdissect.train.studies import read_studies

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def probe():
    return striped(24)


@pytest.fixture(scope="module")
def start():
    return tiny_model()


class Sizes(torch.nn.Module):
    """A side loss: the size of the pooled features."""

    def __init__(self):
        super().__init__()
        self.factor = torch.nn.Parameter(torch.tensor(0.5))
        self.shapes = []

    def forward(self, maps, pooled, about):
        self.shapes.append((tuple(maps.shape[:1]), tuple(pooled.shape), about))
        return {"size": self.factor * pooled.square().mean()}


def training_of(start, probe, recipe=RECIPE, texts="labels", side=None, running=QUIET) -> Contrastive:
    studies = read_studies(probe, texts)
    model = copy.deepcopy(start.model).requires_grad_(True)
    images = SeededImages(probe, PREPROCESS, recipe.augment)
    material = Material(studies, images, partial(start.tokenizer, cut=True), np.arange(len(studies)), side)
    return Contrastive(model, material, recipe, running, {"toy": texts})


def first_gradients(training: Contrastive) -> dict[str, torch.Tensor]:
    """The gradients of the first step, before they are scaled down."""
    found = {}
    training.max_grad_norm = 0.0
    training.optimizer.step = lambda: found.update(
        {name: p.grad.clone() for name, p in training.module.named_parameters() if p.grad is not None}
    )
    batch, images = next(training._batches(0, 0))
    training.losses = training.step(batch, images)
    return found


@pytest.mark.parametrize("chunk", [1, 3, 4])
@pytest.mark.parametrize("beside", [False, True])
def test_chunks_give_the_gradient_of_the_whole_batch(start, probe, chunk, beside):
    sides = [Sizes() if beside else None for _ in range(2)]
    recipe = replace(RECIPE, extra_texts=3)
    whole, parts = (
        training_of(start, probe, replace(recipe, chunk=size), side=side)
        for size, side in zip((None, chunk), sides, strict=True)
    )
    wanted, found = first_gradients(whole), first_gradients(parts)
    assert wanted.keys() == found.keys()
    assert any(name.startswith("model.text_tower") for name in wanted)
    for name in wanted:
        torch.testing.assert_close(found[name], wanted[name], rtol=1e-5, atol=1e-5)
    assert whole.losses == pytest.approx(parts.losses, rel=1e-5)
    if beside:
        assert sides[0].shapes == [((16,), (16, 64), None)]
        assert sum(shape[0][0] for shape in sides[1].shapes) == 16


def test_what_a_step_sees(start, probe):
    training = training_of(start, probe, replace(RECIPE, n_views=2, n_texts=3, extra_texts=2))
    studies = np.array([3, 0, 7])
    batch = training.drawn(studies, 5)
    assert batch.positions.shape == batch.seeds.shape == (2, 3)
    assert [sorted(view.tolist()) for view in batch.positions.T] == [[6, 7], [0, 1], [14, 15]]
    assert len(np.unique(batch.seeds)) == 6
    assert [len(slot) for slot in batch.texts] == [5, 5, 5]
    again = training.drawn(studies, 5)
    assert again.texts == batch.texts
    assert np.array_equal(again.seeds, batch.seeds)
    assert not np.array_equal(training.drawn(studies, 6).seeds, batch.seeds)
    keys = batch.keys(range(1, 3))
    assert [position for position, _ in keys] == [*batch.positions[0, 1:], *batch.positions[1, 1:]]


def test_the_temperature_starts_where_the_recipe_says_and_stays_below_the_largest(start, probe):
    assert training_of(start, probe).model.logit_scale.item() == pytest.approx(np.log(1 / 0.07))
    assert training_of(start, probe, replace(RECIPE, max_scale=4.0)).model.logit_scale.item() == pytest.approx(np.log(4))
    own = training_of(start, probe, replace(RECIPE, temperature=None))
    assert torch.equal(own.model.logit_scale, start.model.logit_scale)


def interrupt(training: Contrastive, at: int) -> None:
    """Let a training fail before a step."""
    step = training.step

    def failing(batch, images):
        if training.progress.step == at:
            raise KeyboardInterrupt
        return step(batch, images)

    training.step = failing


@pytest.fixture(scope="module")
def whole(start, probe, tmp_path_factory):
    """A training without interruption."""
    training = training_of(start, probe, side=Sizes())
    training.run(tmp_path_factory.mktemp("whole") / "state.pt")
    return training


@pytest.mark.parametrize("step", [1, 3, 4, 8])
def test_an_interrupted_training_goes_on_bit_by_bit(start, probe, tmp_path, step, whole):
    stopped = training_of(start, probe, side=Sizes())
    interrupt(stopped, step)
    with pytest.raises(KeyboardInterrupt):
        stopped.run(tmp_path / "state.pt")
    torch.manual_seed(99)  # whatever random numbers were drawn in between
    other = start if step < QUIET.save_every else tiny_model(seed=5)  # a state replaces whatever it starts from
    resumed = training_of(other, probe, side=Sizes())
    resumed.run(tmp_path / "state.pt")
    assert resumed.progress.history == whole.progress.history
    wanted, found = whole.module.state_dict(), resumed.module.state_dict()
    assert [name for name in wanted if not torch.equal(wanted[name], found[name])] == []


def test_workers_and_random_numbers_outside_change_nothing(start, probe, tmp_path, whole):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    other = training_of(start, probe, side=Sizes(), running=replace(QUIET, workers=1, save_every=100))
    other.run(tmp_path / "state.pt")
    assert other.progress.history == whole.progress.history
    assert torch.equal(torch.get_rng_state(), before)


def test_losses_fall_on_planted_pairs(start, tmp_path):
    training = training_of(start, striped(48), RECIPE.changed(epochs=12, augment=False))
    training.run(tmp_path / "state.pt")
    first, last = training.progress.history[0], training.progress.history[-1]
    assert [row["step"] for row in training.progress.history] == [6 * (i + 1) for i in range(12)]
    assert list(first) == ["epoch", "step", "learning_rate", "image-text", "image-image", "text-text"]
    assert last["image-text"] < 0.8 * first["image-text"]
    assert last["image-image"] < 0.9 * first["image-image"]
    found = matching(training, np.arange(24))
    assert found["loss"] < 0.8 * matching(training_of(start, striped(48)), np.arange(24))["loss"]


def test_one_view_without_texts_trains_by_its_side_loss_alone(start, probe, tmp_path):
    recipe = RECIPE.changed(epochs=1, n_views=1, n_texts=0)
    training = training_of(start, probe, recipe, side=Sizes())
    before = training.model.text_projection.weight.clone()
    training.run(tmp_path / "state.pt")
    assert list(training.progress.history[0]) == ["epoch", "step", "learning_rate", "size"]
    assert torch.equal(training.model.text_projection.weight, before)


def test_a_loss_that_is_no_number(start, probe, tmp_path):
    training = training_of(start, probe)
    step = training.step

    def damaged(batch, images):
        if training.progress.step == 4:
            with torch.no_grad():
                training.model.text_projection.bias.fill_(torch.nan)
        return step(batch, images)

    training.step = damaged
    with pytest.raises(TrainingError, match=r"the loss is nan at step 4 \(epoch 2\); the last saved state is kept"):
        training.run(tmp_path / "state.pt")
    again = training_of(start, probe)
    again.resume(tmp_path / "state.pt")
    assert len(again.progress.history) == 1


def test_mixed_precision_on_a_cpu(start, probe, tmp_path):
    lower, full = (training_of(start, probe, replace(RECIPE, precision=one)) for one in ("bfloat16", "float32"))
    small, whole = first_gradients(lower), first_gradients(full)
    assert lower.losses == pytest.approx(full.losses, rel=0.03)
    assert lower.losses != full.losses
    for name in ("model.image_projection.weight", "model.text_projection.weight"):
        assert small[name].dtype == torch.float32
        assert torch.cosine_similarity(small[name].flatten(), whole[name].flatten(), dim=0) > 0.97
    trained = training_of(start, probe, RECIPE.changed(epochs=1, precision="bfloat16"))
    trained.run(tmp_path / "state.pt")
    assert {p.dtype for p in trained.model.parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 1}, "batch_size=1 must be a whole number, 2 or more"),
        ({"chunk": 0}, "chunk=0 must be a whole number, 1 or more"),
        ({"temperature": 0}, "temperature=0 must be a number above 0"),
        ({"betas": (0.9,)}, "betas=.* must be two numbers"),
        ({"text_text": -1}, "text_text=-1 must be a number at least 0"),
        ({"precision": "half"}, "precision='half' is not one of"),
        ({"epoch": 3}, "no setting epoch; there are .*text_text"),
    ],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(ValueError, match=message):
        ContrastiveRecipe().changed(**settings)


def test_retrieval_by_hand():
    sims = np.array([[0.9, 0.1, 0.5], [0.2, 0.3, 0.6], [0.4, 0.7, 0.7], [0.1, 0.2, 0.0]])
    found = retrieval(sims, np.array([0, 1, 2, 0]), np.array([0, 1, 2]))
    # the first image finds its own, the third shares the first place with another
    assert found["image to report R@1"] == pytest.approx(1.5 / 4)
    assert found["image to report R@5"] == 1
    # reports: image 0 first; the best of report 1 is the third image's 0.7 before 0.3; report 2 has its own first
    assert found["report to image R@1"] == pytest.approx(2 / 3)
    equal = retrieval(np.array([[0.1, 0.9], [0.8, 0.2]]), np.array([0, 0]), np.array([0, 0]))
    assert equal["image to report R@1"] == equal["report to image R@1"] == 1  # both reports say the same


def test_retrieval_by_chance():
    shares = []
    for seed in range(30):
        sims = np.random.default_rng(seed).random((40, 40))
        shares.append(retrieval(sims, np.arange(40), np.arange(40))["image to report R@10"])
    assert np.mean(shares) == pytest.approx(0.25, abs=0.05)
    constant = retrieval(np.ones((40, 40)), np.arange(40), np.arange(40))
    assert constant["image to report R@10"] == pytest.approx(0.25)  # of ties each is as likely: no luck of the order
