"""Rules of the whole probe and of top images: against literal loops, ties, rounding, and degenerate neurons."""

import math

import numpy as np
import pytest
import torch

from mdissect import following as module
from mdissect.similarity import SIMILARITIES, contrastive, following, rising, top_auc
from mdissect.trust.planted import few_images_per_class, plant

WHOLE_PROBE = ["following", "rising"]


def inputs(n_images=40, n_concepts=7, n_neurons=5, seed=0, dtype=torch.float64):
    """Similarities of unequal spread; activations that are partly rectified, so that many are tied at 0."""
    rng = np.random.default_rng(seed)
    sims = rng.normal(0.2, rng.uniform(0.02, 0.2, n_concepts), (n_images, n_concepts))
    activations = np.sinh(rng.normal(0, 1.5, (n_images, n_neurons)))
    activations[:, ::2] = activations[:, ::2].clip(min=0)
    return torch.tensor(sims, dtype=dtype), torch.tensor(activations, dtype=dtype)


def z(values: list[float]) -> list[float]:
    mean = sum(values) / len(values)
    spread = math.sqrt(sum((x - mean) ** 2 for x in values) / len(values))
    return [(x - mean) / spread for x in values]


def mean_rank(values: list[float], x: float) -> float:
    return sum(y < x for y in values) + (sum(y == x for y in values) + 1) / 2


def literal_following(a: list[float], p: list[float]) -> float:
    n = len(a)
    rise = z([max(x, 0) ** 2 for x in z(a)])
    savage = z([math.log((n - mean_rank(a, x) + 0.5) / n) ** 2 for x in a])
    weights = z([0.5 * r + 0.5 * s for r, s in zip(rise, savage, strict=True)])
    return sum(w * x for w, x in zip(weights, z(p), strict=True)) / n


def literal_rising(a: list[float], p: list[float], median: float) -> float:
    mean = sum(a) / len(a)
    spread = sum(abs(x - mean) for x in a) / len(a)
    weights = z([math.log(1 + (max(x - mean, 0) / spread) ** 2 / 6) for x in a])
    rises = z([min(max(x, 0), 5) ** 2 for x in z(p)])
    spread = float(np.std(p))
    return sum(w * x for w, x in zip(weights, rises, strict=True)) / len(a) * spread / (spread + median / 3)


def literal_contrastive(a: list[float], p: list[float], top_k: int) -> float:
    top = sorted(range(len(a)), key=lambda i: -a[i])[:top_k]
    return sum(p[i] for i in top) / top_k - sum(p) / len(p)


def literal_top_auc(a: list[float], p: list[float], top_k: int) -> float:
    order = sorted(range(len(a)), key=lambda i: -a[i])
    pairs = [(p[i] > p[j]) + 0.5 * (p[i] == p[j]) for i in order[:top_k] for j in order[top_k:]]
    return sum(pairs) / len(pairs)


@pytest.mark.parametrize("seed", range(4))
def test_equal_literal_loops(seed):
    sims, activations = inputs(seed=seed)
    sims[:, 2] = sims[:, 2].round(decimals=1)  # ties among similarities
    median = float(np.median(sims.std(dim=0, correction=0)))
    found = {"following": following(sims, activations), "rising": rising(sims, activations)}
    found |= {"contrastive": contrastive(sims, activations, 6), "top_auc": top_auc(sims, activations, 6)}
    for k, c in np.ndindex(5, 7):
        a, p = activations[:, k].tolist(), sims[:, c].tolist()
        assert found["following"][k, c] == pytest.approx(literal_following(a, p), abs=1e-6)
        assert found["rising"][k, c] == pytest.approx(literal_rising(a, p, median), abs=1e-9)
        assert found["contrastive"][k, c] == pytest.approx(literal_contrastive(a, p, 6), abs=1e-9)
        assert found["top_auc"][k, c] == pytest.approx(literal_top_auc(a, p, 6), abs=1e-9)


@pytest.mark.parametrize("name", WHOLE_PROBE)
def test_correlations_lie_between_minus_one_and_one(name):
    sims, activations = inputs(dtype=torch.float32)
    activations[:, 0], activations[:, 1] = sims[:, 3], -sims[:, 3]
    found = SIMILARITIES[name](sims, activations)
    assert found.dtype == torch.float32
    assert found.abs().max() <= 1
    assert found[0].argmax() == 3
    assert found[0, 3] > 0.2
    assert found[1, 3] < 0


@pytest.mark.parametrize("name", WHOLE_PROBE)
@pytest.mark.parametrize("level", [0.0, 1000.1, -3e-20])
def test_constant_neurons_and_concepts_get_0(name, level):
    sims, activations = inputs(dtype=torch.float32)
    activations[:, 1], sims[:, 4] = level, 0.3
    activations[7, 1] += level * 1e-7  # rounding
    found = SIMILARITIES[name](sims, activations)
    assert (found[1] == 0).all()
    assert (found[:, 4] == 0).all()
    assert (found[[0, 2, 3, 4]][:, [0, 1, 2, 3, 5, 6]] != 0).all()
    assert (SIMILARITIES[name](torch.full((40, 2), 0.3), activations) == 0).all()  # no concept varies
    assert (SIMILARITIES[name](sims[:1], activations[:1]) == 0).all()  # a single image


@pytest.mark.parametrize("name", WHOLE_PROBE)
def test_rescaling_changes_nothing(name):
    """Activations have no unit; nor has the similarity, as long as all concepts' change alike."""
    sims, activations = inputs()
    expected = SIMILARITIES[name](sims, activations)
    np.testing.assert_allclose(SIMILARITIES[name](0.1 * sims - 0.5, 7 * activations + 3), expected, atol=1e-9)


def test_ties_share_their_mean_rank_up_to_rounding():
    rng = np.random.default_rng(0)
    activations = torch.tensor(rng.normal(0, 1, (600, 50)), dtype=torch.float32).clamp(min=0.5)  # two thirds tied, not at 0
    shaken = activations * (1 + 2e-7 * torch.randn(600, 50, generator=torch.Generator().manual_seed(0)))
    assert not shaken.equal(activations)
    ranks, again = module.mean_ranks(activations.double()), module.mean_ranks(shaken.double())
    assert (ranks - again).abs().max() <= 1  # two strong images may be as close as the noise
    tied = activations == 0.5
    assert ranks[tied].equal(((tied.sum(dim=0) + 1) / 2).double().expand(600, 50)[tied])
    order = torch.tensor(rng.permutation(600))
    assert module.mean_ranks(activations[order].double()).equal(ranks[order])


@pytest.mark.parametrize("name", WHOLE_PROBE)
@pytest.mark.parametrize("seed", range(3))
def test_rounding_flips_no_label(name, seed):
    for planted in (plant(snr=1.0, seed=seed), few_images_per_class(n_classes=100, n_families=10, seed=seed)):
        inputs, noise = (planted.image_concept_sims, planted.activations.clamp(min=0)), torch.Generator().manual_seed(seed)
        before = SIMILARITIES[name](*inputs)
        after = SIMILARITIES[name](*(x * (1 + 1e-6 * torch.randn(x.shape, generator=noise)) for x in inputs))
        assert after.argmax(dim=1).equal(before.argmax(dim=1))
        # two of the strongest images may be as close as the noise: whether they are tied moves following by up to 9e-5
        assert (after - before).abs().max() < (2e-6 if name == "rising" else 3e-4)


@pytest.mark.parametrize("name", ["following", "rising", "contrastive", "top_auc"])
def test_the_size_of_blocks_changes_nothing(name, monkeypatch):
    sims, activations = inputs(n_neurons=23)
    options = {} if name in WHOLE_PROBE else {"top_k": 6}
    whole = SIMILARITIES[name](sims, activations, **options)
    monkeypatch.setattr(module, "NEURONS_AT_A_TIME", 2)
    np.testing.assert_allclose(SIMILARITIES[name](sims, activations, **options), whole, atol=1e-12)


@pytest.mark.parametrize("name", WHOLE_PROBE)
def test_no_images_more_are_held_than_a_block_of_neurons(name, monkeypatch):
    """What a rule holds per image grows with the concepts and a block of neurons, not with all neurons."""
    widths, standardised = [], module._standardised

    def watched(x, *rest):
        widths.append(x.shape[1])
        return standardised(x, *rest)

    monkeypatch.setattr(module, "_standardised", watched)
    monkeypatch.setattr(module, "NEURONS_AT_A_TIME", 8)
    SIMILARITIES[name](*inputs(n_neurons=100))
    assert max(widths) == 8


def test_long_tails_do_not_decide_alone():
    """Noise of Student's t with 2.1 degrees of freedom."""
    planted = plant(snr=3, n_neurons=128)
    rng = np.random.default_rng(0)
    stray = torch.tensor(rng.standard_t(2.1, planted.activations.shape), dtype=torch.float32)
    label = rising(planted.image_concept_sims, planted.activations + stray).argmax(dim=1)
    assert planted.carries[range(128), label][planted.carries.any(axis=1)].mean() >= 0.85


def test_without_other_images_there_is_no_area():
    sims, activations = inputs()
    with pytest.raises(ValueError, match="top_k=40 leaves none of the 40 probe images to compare the top images with"):
        top_auc(sims, activations, 40)
    with pytest.raises(ValueError, match="top_k=41 exceeds the 40 probe images"):
        contrastive(sims, activations, 41)
    assert contrastive(sims, activations, 40).abs().max() < 1e-12
