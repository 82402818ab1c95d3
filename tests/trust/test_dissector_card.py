"""Concepts against random axes: words that the neurons follow, words on the wrong directions, and a literal loop."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from made_up import dissected

from mdissect.dissection import Dissection
from mdissect.following import following, mean_ranks, top_weights
from mdissect.trust import against_random_axes, dissector_card
from mdissect.trust.dissector_card import _wilson
from mdissect.trust.random_axes import _directions, _Moments, compared

DIMENSIONS, N_CONCEPTS = 12, 40


def space(seed: int, knows: bool, n_images: int = 240, n_neurons: int = 48) -> Dissection:
    """Neurons that each follow a concept of a space; where the dissector does not know the words, its texts are turned."""
    rng = np.random.default_rng(seed)
    images, texts = rng.standard_normal((n_images, DIMENSIONS)), rng.standard_normal((N_CONCEPTS, DIMENSIONS))
    meant = images @ texts[rng.integers(0, N_CONCEPTS, n_neurons)].T
    activations = meant / meant.std(axis=0) + 0.5 * rng.standard_normal((n_images, n_neurons))
    if not knows:
        texts = texts @ np.linalg.qr(rng.standard_normal((DIMENSIONS, DIMENSIONS)))[0]
    names = [f"concept {i}" for i in range(N_CONCEPTS)]
    sims = (0.1 * images @ texts.T).astype(np.float32)
    return dissected(sims, activations.astype(np.float32), names, per_patient=4)


@pytest.mark.slow
def test_words_that_neurons_follow_pass_and_turned_words_do_not():
    known = pd.concat([dissector_card(space(seed, True, 160, 32), n_draws=40) for seed in range(8)])
    assert (known.share > 0.4).all()
    assert (known.p <= 0.05).all()
    assert (known.low > known.random_share).mean() > 0.8
    turned = pd.concat([dissector_card(space(seed, False, 160, 32), n_draws=40) for seed in range(16)])
    assert turned.share.mean() < 0.1
    assert (turned.p <= 0.05).mean() <= 3 / 16
    assert turned.p.between(0, 1, inclusive="right").all()


def test_an_axis_has_the_mean_and_the_covariance_of_the_concepts():
    found = space(0, True)
    sims, weights = (
        found.image_concept_sims.astype(float),
        top_weights(torch.from_numpy(found.activations["deep"]).double()).numpy(),
    )
    sets = compared(found, "deep", 19, 3)
    own = np.corrcoef(weights.T, sims.T)[:48, 48:]
    assert sets.reached[0] == pytest.approx(own.max(axis=1), abs=1e-5)
    assert (sets.best == own.argmax(axis=1)).all()
    middle = sims.mean(axis=1)
    rng, best = np.random.default_rng(0), []
    for _ in range(200):
        mixed = (sims - middle[:, None]) @ rng.standard_normal((N_CONCEPTS, N_CONCEPTS)) / np.sqrt(N_CONCEPTS)
        best.append(np.corrcoef(weights.T, (mixed + middle[:, None]).T)[:48, 48:].max(axis=1))
    many = compared(found, "deep", 200, 3).reached[1:]
    assert many.mean(axis=0) == pytest.approx(np.mean(best, axis=0), abs=0.02)


def test_p_counts_the_sets_that_reach_the_concepts():
    found = space(1, True)
    table, sets = against_random_axes(found, n_draws=19), compared(found, "deep", 19, 0)
    for neuron in range(48):
        reaching = sum(one >= sets.reached[0, neuron] - 1e-5 for one in sets.reached[:, neuron])
        assert table.p[neuron] == pytest.approx(reaching / 20)
    card = dissector_card(found, n_draws=19).iloc[0]
    assert card.share == pytest.approx((table.p <= 0.05 + 1e-9).mean())
    assert card.neurons == 48
    assert card.following == pytest.approx(table.following.median())


def test_what_is_left_out_counts_as_if_it_had_never_been_there():
    found = space(2, True, n_neurons=24)
    activations = np.maximum(found.activations["deep"], 0)  # zeros: ties of most ranks
    activations[:, 12:] = np.random.default_rng(2).standard_normal((240, 12))
    activations[:, 0] = np.where(np.arange(240) < 12, activations[:, 0] + 1, 0)  # silent without these
    left_out = [np.arange(12), np.arange(100, 120)]
    shares = compared(replace(found, activations={"deep": activations}), "deep", 60, 0, left_out).shares_left_out
    sims = torch.from_numpy(found.image_concept_sims)
    directions = _directions(sims)
    for share, images in zip(shares, left_out, strict=True):
        kept = np.setdiff1d(np.arange(240), images)
        varies = np.ptp(activations[kept], axis=0) > 0
        part = torch.from_numpy(activations[kept][:, varies])
        its = _Moments.of(sims[kept], part, mean_ranks(part.double()).float(), torch.arange(len(kept)), directions)
        rng, reaching = np.random.default_rng(0), np.ones(varies.sum())
        for _ in range(60):
            reaching += its.best(rng.standard_normal((directions.shape[1], N_CONCEPTS), dtype=np.float32)) >= its.own - 1e-5
        assert share == pytest.approx((reaching <= 0.05 * 61).mean())
        assert 0 < share < 1
        assert its.own == pytest.approx(following(sims[kept], part).amax(dim=1).numpy(), abs=1e-5)


def test_a_dissector_without_contrast_passes_none():
    found = space(0, True)
    same = np.repeat(found.image_concept_sims[:, :1], N_CONCEPTS, axis=1)
    card = dissector_card(replace(found, image_concept_sims=same), n_draws=19).iloc[0]
    assert card.share == 0
    assert card.p == 1
    flat = dissector_card(replace(found, image_concept_sims=np.full_like(same, 0.5)), n_draws=19).iloc[0]
    assert flat.share == 0


def test_neurons_that_do_not_vary_are_left_out():
    found = space(0, True)
    activations = found.activations["deep"].copy()
    activations[:, 0], activations[3, 1] = 7, np.nan
    table = against_random_axes(replace(found, activations={"deep": activations}), n_draws=19)
    assert table.p.isna().tolist() == [True, True] + [False] * 46
    assert (table.concept[:2] == "").all()
    nothing = dissector_card(replace(found, activations={"deep": activations[:, :1]}), n_draws=19).iloc[0]
    assert nothing.neurons == 0
    assert nothing[["share", "low", "high", "p"]].isna().all()


@pytest.mark.parametrize(("share", "spread"), [(0.0, 0.0), (1.0, 0.0), (0.5, 0.0), (0.5, 0.05), (0.01, 0.001)])
def test_intervals_hold_the_share_and_widen_with_the_spread(share, spread):
    left_out = np.clip(share + spread * np.linspace(-1, 1, 20), 0, 1)
    low, high = _wilson(share, 100, left_out)
    assert -1e-9 <= low <= share + 1e-9
    assert share - 1e-9 <= high <= 1 + 1e-9
    assert high - low >= _wilson(share, 100, np.full(20, share))[1] - _wilson(share, 100, np.full(20, share))[0] - 1e-9
    assert high - low > 0.02


def test_mistakes_are_named():
    found = space(0, True)
    with pytest.raises(ValueError, match="n_draws=10 must be a whole number, 19 or more"):
        dissector_card(found, n_draws=10)
    with pytest.raises(ValueError, match="no layer shallow; there are deep"):
        dissector_card(found, ["shallow"])
    with pytest.raises(ValueError, match="all 240 images are of one patient"):
        dissector_card(replace(found, probe_table=found.probe_table.assign(patient="P")))
    with pytest.raises(ValueError, match="the dissection has one concept"):
        dissector_card(replace(found, image_concept_sims=found.image_concept_sims[:, :1]), n_draws=19)
