"""The feature cache: the gradient of chunks is that of the whole batch."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mdissect.train.feature_cache import backward, kept_statistics

N, D = 12, 6


class Two(nn.Module):
    """Two kinds of embeddings, with or without dropout or a batch norm."""

    def __init__(self, inner: nn.Module):
        super().__init__()
        self.left, self.right = nn.Sequential(nn.Linear(D, D), inner), nn.Linear(D, D)
        self.scale = nn.Parameter(torch.tensor(1.0))

    def forward(self, x):
        return [F.normalize(self.left(x), dim=1), F.normalize(self.right(x), dim=1)]


def model_of(inner: nn.Module) -> Two:
    torch.manual_seed(0)
    return Two(inner).double().train()


def loss_of(model: Two):
    def loss(rows):
        logits = model.scale.exp() * rows[0] @ rows[1].T
        return F.cross_entropy(logits, torch.arange(len(logits)))

    return loss


def gradients(model: Two) -> dict[str, torch.Tensor]:
    found = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad(set_to_none=True)
    return found


X = torch.randn(N, D, generator=torch.Generator().manual_seed(3)).double()


@pytest.mark.parametrize("size", [1, 3, 5, 12])
@pytest.mark.parametrize("factor", [1.0, 128.0])
def test_the_gradient_is_that_of_the_whole_batch(size, factor):
    model = model_of(nn.Identity())
    loss = loss_of(model)
    (factor * loss(model(X))).backward()
    wanted = gradients(model)
    chunks = X.split(size)
    found = backward(model, lambda i: model(chunks[i]), len(chunks), loss, lambda value: factor * value)
    torch.testing.assert_close(found, loss(model(X)).detach())
    for name, gradient in gradients(model).items():
        torch.testing.assert_close(gradient, wanted[name])


@pytest.mark.parametrize("size", [3, 12])
def test_losses_beside(size):
    model = model_of(nn.Identity())
    loss, chunks, seen = loss_of(model), X.split(size), []

    def embed(i):
        rows = model(chunks[i])
        seen[:] = rows
        return rows

    (loss(model(X)) + model(X)[0].abs().sum()).backward()
    wanted = gradients(model)
    found = backward(model, embed, len(chunks), loss, beside=lambda i: seen[0].abs().sum())
    torch.testing.assert_close(found, (loss(model(X)) + model(X)[0].abs().sum()).detach())
    for name, gradient in gradients(model).items():
        torch.testing.assert_close(gradient, wanted[name])


def test_dropout_drops_the_same_both_times():
    model = model_of(nn.Dropout(0.5))
    chunks, seen = X.split(4), [[], [], []]

    def embed(i):
        rows = model(chunks[i])
        seen[i].append(rows[0].detach())
        return rows

    torch.manual_seed(7)
    backward(model, embed, 3, loss_of(model))
    after = torch.get_rng_state()
    for first, second in seen:
        assert torch.equal(first, second)
    assert not torch.equal(seen[0][0] == 0, seen[1][0] == 0)
    torch.manual_seed(7)
    for chunk in chunks:
        model(chunk)
    assert torch.equal(after, torch.get_rng_state())  # as if each had run once


def test_running_statistics_move_once():
    model = model_of(nn.BatchNorm1d(D))
    chunks = X.split(4)
    backward(model, lambda i: model(chunks[i]), 3, loss_of(model))
    once = model_of(nn.BatchNorm1d(D))
    for chunk in chunks:
        once(chunk)
    for name, value in once.named_buffers():
        assert torch.equal(value, dict(model.named_buffers())[name]), name


def failing(model: Two) -> None:
    """Run a model, which moves its statistics, and fail."""
    with torch.no_grad(), kept_statistics(model):
        model(X)
        raise KeyboardInterrupt


def test_statistics_are_put_back_after_an_error():
    model = model_of(nn.BatchNorm1d(D))
    before = {name: value.clone() for name, value in model.named_buffers()}
    with pytest.raises(KeyboardInterrupt):
        failing(model)
    assert all(torch.equal(value, before[name]) for name, value in model.named_buffers())
    model(X)
    assert not torch.equal(model.left[1].running_mean, before["left.1.running_mean"])


def test_rows_of_other_processes_count_in_the_loss_alone():
    model, chunks = model_of(nn.Identity()), X.split(6)
    loss = loss_of(model)
    loss(model(X)).backward()
    wanted = gradients(model)
    others = [rows.detach() for rows in model(chunks[1])]
    first = [rows.detach() for rows in model(chunks[0])]
    parts = []
    for mine, (whole, rows) in enumerate(((chunks[0], others), (chunks[1], first))):
        given = iter(rows)

        def joined(own, mine=mine, given=given):
            other = next(given)
            pair = [own, other] if mine == 0 else [other, own]
            return torch.cat(pair).detach(), slice(0, 6) if mine == 0 else slice(6, 12)

        backward(model, lambda i, whole=whole: model(whole), 1, loss, joined=joined)
        parts.append(gradients(model))
    for name in wanted:
        summed = parts[0][name] + parts[1][name]
        torch.testing.assert_close(summed / (2 if name == "scale" else 1), wanted[name])
