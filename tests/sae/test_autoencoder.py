"""The autoencoder itself: which latents are kept, decoding, first weights."""

import numpy as np
import pytest
import torch
from autoencoders import random_sae
from torch.nn import functional as F

from mdissect.sae import SparseAutoencoder
from mdissect.sae.autoencoder import geometric_median, largest


@pytest.mark.parametrize(
    ("values", "k", "kept"),
    [
        ([3.0, 1.0, 2.0], 1, [0]),
        ([3.0, 1.0, 2.0], 2, [0, 2]),
        ([3.0, 1.0, 2.0], 3, [0, 1, 2]),
        ([2.0, 2.0, 2.0, 1.0], 2, [0, 1]),  # ties: the first
        ([1.0, 2.0, 1.0, 1.0], 2, [0, 1]),
        ([-1.0, -2.0, -1.0], 1, [0]),
    ],
)
def test_the_k_largest_and_of_ties_the_first(values, k, kept):
    found = largest(torch.tensor(values), k)
    assert found.isfinite().nonzero().flatten().tolist() == kept
    assert torch.equal(found[kept], torch.tensor(values)[kept])


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("k", [1, 3, 12])
def test_topk_against_a_literal_loop(seed, k):
    sae = random_sae(seed, kind="topk", k=k)
    x = torch.randn(7, 3, 5, generator=torch.Generator().manual_seed(seed + 100))
    found = sae.encode(x)
    for i in range(7):
        for j in range(3):
            z = x[i, j] / sae.scale - sae.pre_bias
            pre = [float(sae.encoder[m] @ z + sae.bias[m]) for m in range(12)]
            best = sorted(range(12), key=lambda m, pre=pre: -pre[m])[:k]
            expected = [max(pre[m], 0.0) if m in best else 0.0 for m in range(12)]
            assert np.allclose(found[i, j], expected, atol=1e-5)
    assert ((found > 0).sum(dim=-1) <= k).all()


def test_relu_keeps_all_that_is_above_0():
    sae = random_sae(0, kind="relu")
    x = torch.randn(20, 5, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(sae.encode(x), ((x / 2.5 - sae.pre_bias) @ sae.encoder.T + sae.bias).clamp(min=0), atol=1e-5)


@pytest.mark.parametrize("kind", ["topk", "relu"])
def test_nan_is_not_taken_for_silence(kind):
    x = torch.ones(3, 5)
    x[1, 2] = torch.nan
    found = random_sae(0, kind=kind).encode(x)
    assert found[1].isnan().all()
    assert found[[0, 2]].isfinite().all()


def test_decoding_adds_directions_to_the_bias():
    sae = random_sae(3)
    latents = torch.zeros(1, 12)
    latents[0, 4], latents[0, 9] = 2.0, 0.5
    assert torch.allclose(sae.decode(latents)[0], 2.5 * (2 * sae.decoder[4] + 0.5 * sae.decoder[9] + sae.pre_bias), atol=1e-5)
    assert torch.equal(sae(torch.ones(1, 5)), sae.decode(sae.encode(torch.ones(1, 5))))


def test_each_vector_is_encoded_by_itself():
    sae = random_sae(5, k=2)
    x = torch.randn(6, 5, generator=torch.Generator().manual_seed(2))
    alone = torch.cat([sae.encode(one[None]) for one in x])
    assert torch.allclose(sae.encode(x), alone, atol=1e-6)


def test_what_does_not_fit_is_an_error():
    with pytest.raises(ValueError, match="k=9 exceeds the 8 latents; lower k"):
        SparseAutoencoder(4, 8, k=9)
    with pytest.raises(ValueError, match="kind='sigmoid' is not one of 'topk', 'relu'"):
        SparseAutoencoder(4, 8, kind="sigmoid")
    with pytest.raises(ValueError, match="x has vectors of 3 numbers, this autoencoder was made for 5"):
        random_sae(0).encode(torch.zeros(2, 3))


def test_the_geometric_median_is_not_moved_by_a_few_far_points():
    x = torch.randn(400, 3, generator=torch.Generator().manual_seed(0)) + torch.tensor([1.0, 2.0, 3.0])
    far = torch.cat([x, torch.full((20, 3), 1e4)])
    assert (geometric_median(far) - torch.tensor([1.0, 2.0, 3.0])).norm() < 0.4
    assert torch.allclose(geometric_median(torch.ones(5, 3)), torch.ones(3))


def test_first_weights():
    sae = SparseAutoencoder(6, 20, k=2)
    x = 50 + 3 * torch.randn(500, 6, generator=torch.Generator().manual_seed(0))
    sae.start(x, torch.Generator().manual_seed(1))
    assert torch.allclose(sae.decoder.norm(dim=1), torch.ones(20))
    assert torch.equal(sae.encoder, sae.decoder)
    assert float((x / sae.scale - sae.pre_bias.detach()).square().sum(dim=1).mean()) == pytest.approx(1, abs=0.01)
    with pytest.raises(ValueError, match="the same vector, up to rounding: there is nothing to encode"):
        sae.start(torch.full((9, 6), 3.0), torch.Generator())


def test_gradients_are_finite_where_nothing_is_active():
    sae = SparseAutoencoder(4, 6, k=2)
    with torch.no_grad():
        sae.bias.fill_(-1e3)
    latents = sae.encode(torch.randn(8, 4, generator=torch.Generator().manual_seed(0)))
    assert not latents.any()
    F.mse_loss(sae.decode(latents), torch.ones(8, 4)).backward()
    assert all(parameter.grad is None or parameter.grad.isfinite().all() for parameter in sae.parameters())
