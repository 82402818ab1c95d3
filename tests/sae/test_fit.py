"""The training loop: a planted dictionary is found, dead latents are counted and revived, an interrupted training goes on."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from mdissect.sae import SAEOptions, SparseAutoencoder
from mdissect.sae.fit import Fit, explained
from mdissect.sae.saving import STATE
from mdissect.train import TrainingError

pytestmark = pytest.mark.slow

QUICK = {"batch_size": 256, "progress": False, "learning_rate": 5e-3, "dead_after": 50}


def planted(seed: int, n: int = 4000, width: int = 24, n_directions: int = 32, active: int = 3) -> tuple[Tensor, Tensor]:
    """Directions (n_directions, width), and vectors (n, width) that are sums of three of them about a far mean."""
    generator = torch.Generator().manual_seed(seed)
    directions = F.normalize(torch.randn(n_directions, width, generator=generator), dim=1)
    which = torch.rand(n, n_directions, generator=generator).topk(active, dim=1).indices
    weights = torch.zeros(n, n_directions).scatter(1, which, 0.5 + torch.rand(n, active, generator=generator))
    return directions, 3 * weights @ directions + 5 + 0.02 * torch.randn(n, width, generator=generator)


def fitted(x: Tensor, n_latents: int, folder=None, held_out: Tensor | None = None, **options) -> SparseAutoencoder:
    options = SAEOptions(**{**QUICK, **options})
    sae = SparseAutoencoder(x.shape[1], n_latents, options.kind, min(options.k, n_latents))
    Fit(sae, x, x[:0] if held_out is None else held_out, options.stated(), options).run(folder)
    return sae.requires_grad_(False)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [{"kind": "topk", "k": 3}, {"kind": "relu", "l1": 0.3}], ids=["topk", "relu"])
def test_a_planted_dictionary_is_found(kind):
    """Measured over seeds 0 to 7: 0.98 to 1.00 (topk), 0.97 to 0.99 (relu)."""
    found = []
    for seed in range(8):
        directions, x = planted(seed)
        sae = fitted(x, 64, steps=600, seed=seed, **kind)
        found.append(float((directions @ sae.decoder.T).amax(dim=1).mean()))
    assert min(found) >= 0.9
    assert np.mean(found) >= 0.95


def test_a_few_steps_already_lower_the_error():
    _, x = planted(1, n=600)
    sae = fitted(x[:500], 48, held_out=x[500:], steps=200, k=3)
    assert sae.history[0]["explained"] < sae.history[-1]["explained"]
    assert sae.history[-1]["held_out"] > 0.5
    assert sae.history[-1]["held_out"] == pytest.approx(explained(sae, x[500:])[0], abs=1e-6)
    assert torch.allclose(sae.decoder.norm(dim=1), torch.ones(48), atol=1e-5)
    assert [row["step"] for row in sae.history] == [100, 200]


def test_dead_latents_are_counted_on_all_inputs():
    _, x = planted(2, n=500, width=8, n_directions=4)
    sae = fitted(x, 64, steps=120, k=2, revive=False)
    expected = ~(sae.encode(x) > 0).any(dim=0)
    assert torch.equal(sae.dead, expected)
    assert 0 < sae.dead.float().mean() < 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", [{"kind": "topk", "k": 3}, {"kind": "relu", "l1": 0.1}], ids=["topk", "relu"])
def test_latents_that_begin_dead_are_revived(monkeypatch, kind):
    """Half of them begin too weak to be among the largest (topk), or below 0 (relu): 0.34 to 0.5 stay dead, or 0 to 0.03."""
    start = SparseAutoencoder.start

    def half_dead(self, x: Tensor, generator: torch.Generator) -> None:
        start(self, x, generator)
        with torch.no_grad():
            self.encoder[::2] *= 0.01 if self.kind == "topk" else 1.0
            self.bias[::2] -= 0.0 if self.kind == "topk" else 10.0

    monkeypatch.setattr(SparseAutoencoder, "start", half_dead)
    _, x = planted(0, n=800, width=16, n_directions=24)
    without, revived = (
        [
            float(fitted(x, 32, steps=200, seed=seed, dead_after=20, revive=revive, **kind).dead.float().mean())
            for seed in range(8)
        ]
        for revive in (False, True)
    )
    assert min(without) >= 0.2
    assert max(revived) <= 0.15


class Killed(Exception):
    """Stands for a process that is killed."""


@pytest.mark.parametrize("kind", [{"kind": "topk", "k": 3}, {"kind": "relu", "l1": 0.5}], ids=["topk", "relu"])
@pytest.mark.parametrize("at", [21, 58])
def test_an_interrupted_training_goes_on_to_the_same_weights(tmp_path, monkeypatch, kind, at):
    _, x = planted(3, n=700)
    options = {"steps": 60, "save_every": 10, "dead_after": 5, "seed": 4, **kind}
    straight = fitted(x, 40, held_out=x[:50], **options)
    step = Fit._step

    def until(self) -> None:
        if self.progress.step == at:
            raise Killed
        step(self)

    monkeypatch.setattr(Fit, "_step", until)
    with pytest.raises(Killed):
        fitted(x, 40, tmp_path, held_out=x[:50], **options)
    monkeypatch.setattr(Fit, "_step", step)
    torch.manual_seed(99)
    resumed = fitted(x, 40, tmp_path, held_out=x[:50], **options)
    for name, value in straight.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    assert straight.history == resumed.history


def test_the_state_of_another_training_is_refused(tmp_path):
    _, x = planted(3, n=300)
    fitted(x, 20, tmp_path, steps=40, save_every=10)
    assert (tmp_path / STATE).is_file()
    with pytest.raises(ValueError, match="of another training \\(seed: 0 there, 1 here\\)"):
        fitted(x, 20, tmp_path, steps=40, save_every=10, seed=1)


def test_the_same_seed_gives_the_same_weights_and_another_one_others():
    _, x = planted(5, n=300)
    first, again, other = (fitted(x, 30, steps=30, k=3, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first.decoder, again.decoder)
    assert not torch.allclose(first.decoder, other.decoder)


def test_gradients_stay_finite_with_more_latents_than_inputs():
    x = torch.randn(5, 8, generator=torch.Generator().manual_seed(0))
    for kind in ({"kind": "topk", "k": 64}, {"kind": "relu", "l1": 0.0}):
        sae = fitted(x, 64, steps=60, **kind)
        assert all(value.isfinite().all() for value in sae.state_dict().values())


def test_a_loss_that_is_not_finite_is_told():
    _, x = planted(0, n=100)
    with pytest.raises(TrainingError, match="the loss is"):
        fitted(x, 20, steps=50, kind="relu", learning_rate=1e30)
