"""The contrastive objective: worked by hand, against a literal loop and CLIP's loss, and the laws that hold for it."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from mdissect.train.objective import contrastive_loss, multi_view_losses, total
from mdissect.train.recipe import Balance


def unit(n: int, seed: int, d: int = 8) -> torch.Tensor:
    return F.normalize(torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64), dim=1)


def mask(n: int, m: int, seed: int, share: float) -> torch.Tensor:
    return torch.rand(n, m, generator=torch.Generator().manual_seed(seed)) < share


def clip(left, right, scale):
    logits, own = scale * left @ right.T, torch.arange(len(left))
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


def literal(left, right, positive, scale, ignored) -> float:
    """The definition, pair by pair."""
    logits = (scale * left @ right.T).numpy()
    positive, ignored = positive.numpy(), ignored.numpy() & ~positive.numpy()
    halves = []
    for matrix, true, left_out in ((logits, positive, ignored), (logits.T, positive.T, ignored.T)):
        rows = []
        for i in range(len(matrix)):
            chosen = [j for j in range(matrix.shape[1]) if true[i, j]]
            everyone = [j for j in range(matrix.shape[1]) if not left_out[i, j]]
            if chosen:
                rest = math.log(sum(math.exp(matrix[i, j]) for j in everyone))
                rows.append(np.mean([rest - matrix[i, j] for j in chosen]))
        halves.append(np.mean(rows) if rows else 0.0)
    return float(np.mean(halves))


def test_by_hand():
    x, y = torch.eye(2), torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    # logits ln2 * [[1, .6], [0, .8]]: rows 2 / (2 + 2^.6) and 2^.8 / (1 + 2^.8); columns 2 / (2 + 1) and 2^.8 / (2^.6 + 2^.8)
    a, b = 2**0.6, 2**0.8
    wanted = -(math.log(2 / (2 + a)) + math.log(b / (1 + b)) + math.log(2 / 3) + math.log(b / (a + b))) / 4
    found = contrastive_loss(x, y, torch.eye(2, dtype=torch.bool), torch.tensor(math.log(2)))
    assert float(found) == pytest.approx(wanted, rel=1e-6)


def test_one_view_and_one_text_give_the_loss_of_clip():
    images, texts, scale = unit(7, 0), unit(7, 1), torch.tensor(5.0)
    own = torch.eye(7, dtype=torch.bool)
    losses = multi_view_losses([images], [texts], [[(own, ~own & own)]], lambda a, b: own, scale)
    assert list(losses) == ["image-text"]
    torch.testing.assert_close(losses["image-text"], clip(images, texts, scale))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 6), st.integers(1, 8), st.integers(0, 10**6), st.floats(0.5, 20))
def test_against_a_literal_loop(n, m, seed, scale):
    positive, ignored = mask(n, m, seed, 0.4), mask(n, m, seed + 1, 0.3)
    left, right = unit(n, seed), unit(m, seed + 7)
    found = contrastive_loss(left, right, positive, torch.tensor(scale, dtype=torch.float64), ignored)
    assert float(found) == pytest.approx(literal(left, right, positive, scale, ignored), rel=1e-9, abs=1e-12)


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 6), st.integers(2, 8), st.integers(0, 10**6))
def test_order_does_not_matter(n, m, seed):
    rng = np.random.default_rng(seed)
    rows, columns = rng.permutation(n), rng.permutation(m)
    left, right, positive, ignored = unit(n, seed), unit(m, seed + 1), mask(n, m, seed, 0.4), mask(n, m, seed + 1, 0.3)
    scale = torch.tensor(3.0)
    found = contrastive_loss(left, right, positive, scale, ignored)
    again = contrastive_loss(left[rows], right[columns], positive[rows][:, columns], scale, ignored[rows][:, columns])
    torch.testing.assert_close(found, again)
    turned = contrastive_loss(right, left, positive.T, scale, ignored.T)
    torch.testing.assert_close(found, turned)


def test_equal_texts_are_no_false_negatives():
    images = unit(1, 0).repeat(4, 1)
    everything = torch.ones(4, 4, dtype=torch.bool)
    found = contrastive_loss(images, images.clone(), everything, torch.tensor(1.0))
    assert float(found) == pytest.approx(math.log(4))  # the least there can be
    images.requires_grad_()
    contrastive_loss(images, images.detach().clone(), everything, torch.tensor(10.0)).backward()
    assert images.grad.abs().max() < 1e-12  # and nothing pulls equals apart


def test_what_is_ignored_has_no_gradient_and_what_nothing_is_known_of_no_loss():
    left, right = unit(3, 0).requires_grad_(), unit(4, 1).requires_grad_()
    positive = torch.zeros(3, 4, dtype=torch.bool)
    positive[0, 0] = True
    ignored = torch.zeros_like(positive)
    ignored[:, 3] = True
    contrastive_loss(left, right, positive, torch.tensor(4.0), ignored).backward()
    assert not right.grad[3].any()
    assert left.grad[2].any()  # a negative of the first text
    assert right.grad[1].any()  # and of the first image
    nothing = contrastive_loss(left, right, torch.zeros_like(positive), torch.tensor(4.0))
    assert float(nothing) == 0
    assert torch.isfinite(left.grad).all()


def test_views_and_texts_of_studies():
    n, m, scale = 4, 6, torch.tensor(3.0)
    views, texts = [unit(n, i) for i in range(2)], [unit(m, 10 + i) for i in range(2)]
    truth = [[(mask(n, m, 2 * v + t, 0.3), mask(n, m, 9 + 2 * v + t, 0.2)) for t in range(2)] for v in range(2)]
    alike = torch.eye(n, dtype=torch.bool)
    alike[0, 2] = True
    asked = []
    losses = multi_view_losses(views, texts, truth, lambda a, b: asked.append((a, b)) or alike, scale)
    assert asked == [(0, 1)]
    pairs = [literal(views[v], texts[t], truth[v][t][0], 3.0, truth[v][t][1]) for v in range(2) for t in range(2)]
    assert float(losses["image-text"]) == pytest.approx(np.mean(pairs))
    torch.testing.assert_close(losses["image-image"], clip(*views, scale))
    # Texts of other studies that are true of a study, or may be, are no negatives of its own.
    open_ = [sum(truth[v][t][0][:, :n] | truth[v][t][1][:, :n] for v in range(2)) > 0 for t in range(2)]
    wanted = literal(texts[0][:n], texts[1][:n], alike, 3.0, open_[1] | open_[0].T)
    assert float(losses["text-text"]) == pytest.approx(wanted)
    whole = total(losses, Balance(image_image=2.0, text_text=0.25))
    parts = losses["image-text"] + 2 * losses["image-image"] + 0.25 * losses["text-text"]
    torch.testing.assert_close(whole, parts)


def test_weights_are_those_of_mammo_clip_and_checked():
    assert Balance() == Balance(1.0, 0.5)
    with pytest.raises(ValueError, match="text_text=-1 must be a number at least 0"):
        Balance(text_text=-1)
