"""Latents against channels: figures against literal ones, planted differences, paired intervals."""

import numpy as np
import pandas as pd
import pytest
from made_up import dissected
from scipy.stats import pearsonr

from mdissect.metrics import auc_matrix
from mdissect.sae import compare
from mdissect.sae.compare import _areas, _correlations

N_IMAGES, N_CONCEPTS = 120, 12


@pytest.mark.parametrize("seed", range(8))
def test_weighted_figures_are_those_of_repeated_images(seed):
    rng = np.random.default_rng(seed)
    activations, sims = rng.standard_normal((30, 6)).round(1), rng.standard_normal((30, 6))
    activations[:, 0] = np.maximum(activations[:, 0], 0)  # ties
    shown = rng.random((30, 6)) < 0.4
    times = rng.integers(0, 3, (30, 4))
    r, areas = _correlations(activations, sims, times), _areas(activations, shown, times)
    for b in range(4):
        images = np.repeat(np.arange(30), times[:, b])
        for k in range(6):
            assert r[k, b] == pytest.approx(pearsonr(activations[images, k], sims[images, k])[0], abs=1e-9)
            expected = auc_matrix(activations[images][:, [k]], shown[images][:, [k]])[0, 0]
            assert areas[k, b] == pytest.approx(expected, abs=1e-9)


def test_constant_columns_and_missing_classes_are_not_known():
    activations, weights = np.ones((5, 1)), np.ones((5, 1))
    assert np.isnan(_correlations(activations, np.arange(5.0)[:, None], weights)).all()
    assert np.isnan(_areas(np.arange(5.0)[:, None], np.ones((5, 1), dtype=bool), weights)).all()


def two_layers(seed: int, latent_noise: float, channel_noise: float = 1.0, n_silent: int = 0):
    """A layer of 24 noisy followers of concepts and its "latents", 36 of another noise, some of them silent."""
    rng = np.random.default_rng(seed)
    sims = rng.standard_normal((N_IMAGES, N_CONCEPTS)).astype(np.float32)

    def followers(n: int, noise: float) -> np.ndarray:
        own = sims[:, rng.integers(0, N_CONCEPTS, n)]
        return (own + noise * rng.standard_normal((N_IMAGES, n))).astype(np.float32)

    latents = followers(36, latent_noise)
    latents[:, :n_silent] = 0
    names = [f"concept {i}" for i in range(N_CONCEPTS)]
    found = dissected(sims, followers(24, channel_noise), names, top_k=20, per_patient=2)
    first = found.layers[0]
    found.activations[f"{first}:sae"] = latents
    found.similarity[f"{first}:sae"] = np.zeros((36, N_CONCEPTS), dtype=np.float32)
    return found, first


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch):
    """Whether images show these made-up concepts is not looked up in the shipped tables, which takes a second."""
    monkeypatch.setitem(
        compare.__wrapped__.__globals__, "known_presence", lambda found: pd.DataFrame(index=found.probe_table.index)
    )


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_planted_differences_have_their_sign(seed):
    cleaner, worse = (compare(*two_layers(seed, noise), n_splits=2, n_boot=8).set_index("measure") for noise in (0.3, 6.0))
    for measure in ("predicts", "predicts_named"):
        assert cleaner.low[measure] > 0
    assert worse.high["predicts"] < 0
    assert worse.high["named"] < 0
    assert (cleaner.low <= cleaner.difference).loc[["named", "predicts"]].all()


def test_a_layer_against_itself_differs_by_nothing():
    found, layer = two_layers(0, 1.0)
    table = compare(found, layer, layer, n_splits=2, n_boot=5)
    known = table[table.channels.notna()]
    assert (known.difference == 0).all()
    assert (known.low == 0).all()
    assert (known.high == 0).all()
    assert table[table.measure.isin(["auc", "best_auc"])].channels.isna().all()  # nothing is known of these images


def test_silent_latents_count_among_all_but_are_not_measured():
    found, layer = two_layers(1, 0.3, n_silent=12)
    table = compare(found, layer, n_splits=2, n_boot=5).set_index("measure")
    assert table.n_latents["named"] == 36
    assert table.n_latents["predicts"] == 24
    assert table.latents["named"] <= 24 / 36


def test_known_presence_is_used(monkeypatch):
    found, layer = two_layers(2, 0.3)
    shown = pd.DataFrame(found.image_concept_sims > 0.5, columns=found.concepts.names, index=found.probe_table.index)
    monkeypatch.setitem(compare.__wrapped__.__globals__, "known_presence", lambda _dissection: shown)
    table = compare(found, layer, n_splits=2, n_boot=8).set_index("measure")
    for measure in ("auc", "auc_named", "best_auc"):
        assert table.latents[measure] > table.channels[measure] > 0.5
    assert table.n_channels["best_auc"] == N_CONCEPTS
    again = compare(found, layer, n_splits=2, n_boot=8).set_index("measure")
    pd.testing.assert_frame_equal(table, again)


def test_what_cannot_be_compared_is_told():
    found, layer = two_layers(0, 1.0)
    with pytest.raises(ValueError, match="layer='nowhere' is not one of"):
        compare(found, "nowhere")
    with pytest.raises(ValueError, match="q=5 must be a number above 0 and below 1"):
        compare(found, layer, q=5)
    with pytest.raises(ValueError, match="rule='best' is not one of"):
        compare(found, layer, rule="best")
    found.probe_table["patient"] = "one"
    with pytest.raises(ValueError, match="all images are of one patient"):
        compare(found, layer)
