"""Latents against channels: figures against literal ones, planted differences, paired intervals."""

import numpy as np
import pandas as pd
import pytest
from made_up import dissected

from mdissect import trust
from mdissect.sae import compare

pytestmark = pytest.mark.slow

N_IMAGES, N_CONCEPTS = 120, 12


def test_figures_are_those_of_trust(monkeypatch):
    found, layer = two_layers(3, 0.3)
    shown = pd.DataFrame(found.image_concept_sims > 0.2, columns=found.concepts.names, index=found.probe_table.index)
    monkeypatch.setitem(compare.__wrapped__.__globals__, "known_presence", lambda _dissection: shown)
    table = compare(found, layer, n_splits=3, n_boot=2, seed=5).set_index("measure")
    for name, one in (("channels", layer), ("latents", f"{layer}:sae")):
        own = trust.predicts(found, [one], rule="rising", n_splits=3, seed=5)
        assert table[name]["predicts"] == pytest.approx(own.predicts.mean(), abs=1e-9)
        auc = trust.held_out_auc(found, [one], ["rising"], presence=shown, n_splits=3, seed=5).iloc[0]
        assert table.loc["auc", [name, f"{name}_low"]].tolist() == pytest.approx([auc.auc, auc.low], abs=0.01)


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


def test_presence_of_concepts_that_the_dissection_lacks_does_not_count(monkeypatch):
    found, layer = two_layers(0, 0.5)
    shown = pd.DataFrame({"another word": found.image_concept_sims[:, 0] > 0}, index=found.probe_table.index)
    monkeypatch.setitem(compare.__wrapped__.__globals__, "known_presence", lambda _dissection: shown)
    assert np.isnan(compare(found, layer, n_splits=1, n_boot=5).set_index("measure").channels["auc"])


def test_what_cannot_be_compared_is_told():
    found, layer = two_layers(0, 1.0)
    with pytest.raises(ValueError, match="layer='nowhere' is not one of"):
        compare(found, "nowhere")
    with pytest.raises(ValueError, match="q=5 must be a number above 0 and below 1"):
        compare(found, layer, q=5)
    with pytest.raises(ValueError, match="rule='best' is not one of"):
        compare(found, layer, rule="best")
    found.probe_table["patient"] = "one"
    with pytest.raises(ValueError, match="all 120 images are of one patient"):
        compare(found, layer)
