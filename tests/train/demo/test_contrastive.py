"""Tests of contrastive pretraining: the loss, what texts are true of, where findings lie, the schedule."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from mdissect.train.base import Schedule
from mdissect.train.demo.contrastive import box_targets, compatibility, encode_by_length, multi_positive_loss


def embeddings(n, seed):
    return F.normalize(torch.randn(n, 16, generator=torch.Generator().manual_seed(seed)), dim=1)


def test_with_one_text_an_image_the_loss_is_that_of_clip():
    images, texts, scale = embeddings(7, 0), embeddings(7, 1), torch.tensor(5.0)
    logits = scale * images @ texts.T
    own = torch.arange(7)
    clip = (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2
    torch.testing.assert_close(multi_positive_loss(images, texts, torch.eye(7, dtype=torch.bool), scale), clip)


def literal_loss(images, texts, compatible, scale):
    """The definition, pair by pair."""
    logits = (scale * images @ texts.T).double().numpy()
    per_image, per_text = [], []
    for i in range(len(images)):
        total = np.log(np.exp(logits[i]).sum())
        per_image.append(np.mean([total - logits[i, j] for j in range(len(texts)) if compatible[i, j]]))
    for j in range(len(texts)):
        if any(compatible[:, j]):
            total = np.log(np.exp(logits[:, j]).sum())
            per_text.append(np.mean([total - logits[i, j] for i in range(len(images)) if compatible[i, j]]))
    return (np.mean(per_image) + np.mean(per_text)) / 2


def test_every_text_that_is_true_of_an_image_is_its_positive():
    images, texts = embeddings(6, 0), embeddings(11, 1)
    compatible = torch.rand(6, 11, generator=torch.Generator().manual_seed(2)) < 0.3
    compatible[torch.arange(6), torch.arange(6)] = True
    compatible[:, 10] = False  # a text that is true of no image is a negative only
    found = multi_positive_loss(images, texts, compatible, torch.tensor(4.0))
    assert float(found) == pytest.approx(literal_loss(images, texts, compatible, 4.0), rel=1e-5)


def test_equal_texts_are_no_false_negatives():
    images = embeddings(1, 0).repeat(4, 1)
    texts = images.clone()
    everything = torch.ones(4, 4, dtype=torch.bool)
    true = multi_positive_loss(images, texts, everything, torch.tensor(1.0))
    assert float(true) == pytest.approx(math.log(4))  # the least there can be
    images.requires_grad_()
    multi_positive_loss(images, texts, everything, torch.tensor(10.0)).backward()
    assert images.grad.abs().max() < 1e-5  # and nothing pulls equals apart


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 6), st.integers(1, 5), st.integers(1, 7), st.integers(0, 10**6))
def test_compatible_is_what_asserts_and_denies_nothing_wrong(n_images, n_texts, n_keys, seed):
    rng = np.random.default_rng(seed)
    facts, asserted, denied = (rng.random((n, n_keys)) < p for n, p in ((n_images, 0.6), (n_texts, 0.3), (n_texts, 0.2)))
    found = compatibility(*(torch.from_numpy(x).float() for x in (facts, asserted, denied)))
    assert found.dtype == torch.bool
    for i, j in np.ndindex(n_images, n_texts):
        true = all(facts[i, key] for key in range(n_keys) if asserted[j, key])
        denies = any(facts[i, key] for key in range(n_keys) if denied[j, key])
        assert bool(found[i, j]) == (true and not denies)


def test_texts_are_embedded_in_the_order_given():
    class Model:
        def encode_tokens(self, ids, mask):
            self.widths.append(ids.shape[1])
            return (ids * mask).sum(dim=1, keepdim=True).float()

        widths: list[int] = []  # noqa: RUF012

    def tokenizer(texts):
        width = max(map(len, texts))
        ids = torch.tensor([[ord(letter) for letter in text.ljust(width)] for text in texts])
        return ids, torch.tensor([[1] * len(text) + [0] * (width - len(text)) for text in texts])

    texts = ["ccccc", "a", "bbb", "dd", "eeeeeeee", "f", "gggg"]
    model = Model()
    for groups in (1, 2, 3, 7, 20):
        found = encode_by_length(model, tokenizer, texts, groups)
        assert found.flatten().tolist() == [sum(map(ord, text)) for text in texts]
    model.widths.clear()
    encode_by_length(model, tokenizer, texts, groups=4)
    assert model.widths == [1, 3, 5, 8]  # short texts carry little padding


def cells(box, shift=(0, 0), finding="mass"):
    """Target and weight of one box (ymin, ymax, xmin, xmax) in an image of 40 x 60 pixels on a map of 4 x 6 cells."""
    box = dict(zip(("ymin", "ymax", "xmin", "xmax"), box, strict=True), finding=finding)
    target, weight = box_targets([[box]], [shift], ["clip", "mass"], (40, 60), (4, 6))
    assert target.shape == weight.shape == (1, 2, 4, 6)
    assert not target[0, 0].any()
    assert weight[0, 0].all()
    return target[0, 1], weight[0, 1]


def grid(*rows):
    return torch.tensor([[float(cell) for cell in row] for row in rows])


@pytest.mark.parametrize(
    ("box", "shift", "target", "ignored"),
    [
        # whole cells: nothing doubtful around them
        ((10, 30, 20, 40), (0, 0), ("000000", "001100", "001100", "000000"), ("000000",) * 4),
        # cells touched without their centre do not count
        ((14, 36, 24, 47), (0, 0), ("000000", "001110", "001110", "001110"), ("000000",) * 4),
        ((6, 24, 16, 40), (0, 0), ("000000", "001100", "000000", "000000"), ("011100", "010000", "011100", "000000")),
        # smaller than a cell: the cell that holds its middle
        ((11, 13, 31, 34), (0, 0), ("000000", "000100", "000000", "000000"), ("000000",) * 4),
        ((18, 23, 28, 33), (0, 0), ("000000", "000000", "000100", "000000"), ("000000", "001100", "001000", "000000")),
        # moved with its image: down and to the right, then partly and wholly out of it
        ((10, 30, 20, 40), (10, -20), ("000000", "000000", "110000", "110000"), ("000000",) * 4),
        ((0, 20, 40, 60), (-13, 10), ("000001", "000000", "000000", "000000"), ("000000",) * 4),
        ((0, 10, 0, 10), (-10, 0), ("000000",) * 4, ("000000",) * 4),
        ((0, 10, 0, 10), (-30, 0), ("000000",) * 4, ("000000",) * 4),
        ((30, 40, 50, 60), (0, 10), ("000000",) * 4, ("000000",) * 4),
    ],
)
def test_cells_of_a_box(box, shift, target, ignored):
    found, weight = cells(box, shift)
    assert torch.equal(found, grid(*target))
    assert torch.equal(weight, 1 - grid(*ignored))


def test_a_finding_without_a_channel_leaves_no_trace():
    target, weight = cells((10, 30, 20, 40), finding="pacemaker")
    assert not target.any()
    assert weight.all()


def test_boxes_of_one_finding_do_not_hide_each_other():
    first = {"finding": "mass", "ymin": 0, "ymax": 20, "xmin": 0, "xmax": 20}
    second = {"finding": "mass", "ymin": 6, "ymax": 34, "xmin": 6, "xmax": 34}  # only touches some cells of the first
    for boxes in ([first, second], [second, first]):
        target, weight = box_targets([boxes, []], [(0, 0)] * 2, ["mass"], (40, 60), (4, 6))
        assert torch.equal(target[0, 0], grid("110000", "111000", "011000", "000000"))
        assert torch.equal(weight[0, 0], 1 - grid("001100", "000100", "100100", "111100"))
        assert not target[1].any()
        assert weight[1].all()


def test_the_rate_warms_up_and_falls_along_half_a_cosine():
    schedule = Schedule(peak=2.0, total_steps=110, warmup_steps=10, floor=0.1)
    rates = [schedule.rate(step) for step in range(111)]
    np.testing.assert_allclose(rates[:10], np.arange(1, 11) / 10 * 2)
    assert rates[10] == pytest.approx(2.0)
    assert rates[60] == pytest.approx((2.0 + 0.2) / 2)
    assert rates[110] == pytest.approx(0.2) == schedule.rate(10**6)
    assert np.diff(rates[10:]).max() < 0
    assert Schedule(peak=1.0, total_steps=5, warmup_steps=0).rate(0) == 1.0
