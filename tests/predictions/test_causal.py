"""Effects of factors are the literal means over pairs of images, in units of the neurons' spread, with the right sign."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from measured import SIZE, measure, measured, measuring, phantoms
from scipy.stats import t
from toys import SMALL

from mdissect.phantom.mammograms import render, sample_truth
from mdissect.predictions import causal_effects
from mdissect.predictions.causal import cluster_means, spread
from mdissect.predictions.changes import CHANGES

pytestmark = pytest.mark.slow


def effects_of(probe, factors, **options):
    target = options.pop("target", None) or measuring()
    found = options.pop("found", None) or measured(phantoms(), target)
    return causal_effects(target, found, probe, factors, options=SMALL, cache=False, **options)


@pytest.mark.slow
def test_effects_are_the_means_of_a_literal_loop():
    probe, found = phantoms(40, start=80), measured(phantoms(40))
    table = effects_of(probe, ["mass", "denser tissue"], found=found, n_pairs=1000).table
    scale = found.activations["measured"][:, :3].std(axis=0)
    for factor, sign in {"mass": 1, "denser tissue": -1}.items():
        expected = []
        for index in range(80, 120):
            truth = sample_truth(3, index)
            changed = CHANGES[factor].apply(truth)
            if changed is not None:
                difference = measure(render(truth, 3, *SIZE)) - measure(render(changed, 3, *SIZE))
                expected.append(sign * difference[:3] / scale)
        rows = table[table.factor == factor].sort_values("neuron")
        np.testing.assert_allclose(rows.effect[:3], np.mean(expected, axis=0), atol=1e-4)
        assert set(rows.n_pairs) == {len(expected)}


@pytest.mark.slow
def test_a_denser_breast_and_an_implant_are_brighter_and_a_constant_neuron_has_no_effect():
    table = effects_of(phantoms(160), ["denser tissue", "fattier tissue", "implant"]).table.set_index(["factor", "neuron"])
    for factor, sign in {"denser tissue": 1, "fattier tissue": -1, "implant": 1}.items():
        mean, darkness = table.loc[(factor, 0)], table.loc[(factor, 1)]
        assert np.sign(mean.effect) == sign
        assert darkness.effect == pytest.approx(-mean.effect, abs=1e-5)
        assert darkness.low == pytest.approx(-mean.high, abs=1e-5)
    assert table.loc["denser tissue"].low[0] > 0
    assert table.xs(3, level="neuron")[["effect", "low", "high"]].isna().all(axis=None)


@pytest.mark.slow
def test_a_finding_is_filled_with_its_surrounding():
    probe = phantoms(60)
    table = effects_of(probe, None, evidence="box filled", n_pairs=12).table
    assert set(table.evidence) == {"box filled"}
    assert table[(table.factor == "mass") & (table.neuron == 0)].effect.item() > 0  # most masses are bright
    assert "denser tissue" not in set(table.factor)


def test_each_patient_gives_one_pair_before_any_gives_a_second():
    few = effects_of(phantoms(160), ["mass"], n_pairs=5)
    assert few.pairs.patient.nunique() == len(few.pairs) == 5
    assert few.changes["measured"].shape == (5, 4)


def test_a_single_patient_has_no_interval():
    index = next(i for i in range(0, 400, 4) if sample_truth(3, i).mass)
    table = effects_of(phantoms(1, start=index), ["mass"]).table
    assert table.effect[:3].notna().all()
    assert table[["low", "high"]].isna().all(axis=None)


def test_errors_say_what_to_do():
    target, probe = measuring(), phantoms(8)
    found = measured(probe, target)
    with pytest.raises(ValueError, match="has 1 factor: mas that cannot be redrawn \\(closest: mass"):
        causal_effects(target, found, probe, ["mas"])
    with pytest.raises(ValueError, match="no activations"):
        causal_effects(target, replace(found, activations={}), probe)
    other = replace(found, settings=found.settings | {"target_weights": "f" * 64})
    with pytest.raises(ValueError, match=r"not the one that was dissected .*ffffffffff"):
        causal_effects(target, other, probe)
    with pytest.raises(ValueError, match="shows pacemaker; take more images"):
        causal_effects(target, found, phantoms(40, exclude=["pacemaker"]), ["pacemaker"])
    with pytest.raises(ValueError, match="evidence='guess' is not one of 'phantom redrawn', 'box filled'"):
        causal_effects(target, found, probe, evidence="guess")


def test_intervals_of_means_by_the_formula_of_clusters():
    values, clusters = np.array([[1.0], [3.0], [2.0], [6.0]]), np.array([0, 0, 1, 2])
    mean, low, high = cluster_means(values, clusters)[:, 0]
    deviations = [(1 - 3) + (3 - 3), 2 - 3, 6 - 3]  # summed by cluster
    width = t.ppf(0.975, 2) * np.sqrt(3 / 2 * sum(d**2 for d in deviations)) / 4
    assert (mean, low, high) == pytest.approx((3, 3 - width, 3 + width))


@pytest.mark.parametrize("per_cluster", [1, 3])
def test_intervals_cover_the_truth(per_cluster):
    """4,000 means over 25 clusters; by image the coverage of three alike would be 0.72."""
    rng = np.random.default_rng(0)
    own, shared = rng.standard_normal((25 * per_cluster, 4000)), rng.standard_normal((25, 4000))
    clusters = np.repeat(np.arange(25), per_cluster)
    _, low, high = cluster_means(0.3 * own + shared[clusters], clusters)
    assert 0.93 < ((low < 0) & (high > 0)).mean() < 0.97


def test_spread_is_unknown_where_there_is_none():
    activations = np.array([[1, 5, np.nan], [3, 5, 1]], np.float32)
    np.testing.assert_allclose(spread(activations), [1, np.nan, np.nan])
    assert torch.tensor(spread(activations)).dtype == torch.float64
