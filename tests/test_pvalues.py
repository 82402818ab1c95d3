"""p-values: valid for noise of patients whatever its distribution, over several top_k, below what rankings resolve; power."""

import numpy as np
import pandas as pd
import pytest
import torch
from clustered import FOURS, KINDS, UNEQUAL, neurons_of, probe_of
from made_up import dissected

from mdissect.calibrate import auto_top_k, calibrate, judge_neurons
from mdissect.chance import TIE, random_rankings
from mdissect.pvalues import label_p_values, p_values
from mdissect.trust.planted import NOISE, plant

MONTE_CARLO = 0.02  # what 400 rankings and 400 neurons of each of 4 seeds may add to P(p <= .05): 2.5 standard errors


def noise_p(sizes: list[int], icc: float, kind: str, seeds: range, n_null: int = 400) -> np.ndarray:
    """p-values of noise, over seeds."""
    found = []
    for seed in seeds:
        sims, patients, _ = probe_of(sizes, seed)
        null = random_rankings(sims, min(40, len(patients) // 6), n_null, seed, patients=patients)
        found.append(judge_neurons(sims, neurons_of(patients, icc, kind, 400, seed + 100), [null]).p)
    return np.concatenate(found)


def test_noise_that_varies_between_patients_is_not_better_than_chance():
    """By image, half of such noise of 150 patients has p <= .05."""
    p = noise_p(FOURS["50 x 4"], 0.6, "normal", range(2), 200)
    assert (p <= 0.05).mean() <= 0.05 + 2 * MONTE_CARLO


@pytest.mark.slow
@pytest.mark.parametrize("sizes", ["50 x 4", *UNEQUAL])
@pytest.mark.parametrize("icc", [0.0, 0.3, 0.6, 0.9])
def test_noise_is_not_named_whatever_its_share_between_patients(icc, sizes):
    p = noise_p((FOURS | UNEQUAL)[sizes], icc, "normal", range(4))
    assert (p <= 0.05).mean() <= 0.05 + MONTE_CARLO
    assert (p <= 0.005).mean() <= 0.005 + MONTE_CARLO / 3


@pytest.mark.slow
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "normal"])
@pytest.mark.parametrize("icc", [0.0, 0.6, 0.9])
def test_noise_is_not_named_whatever_its_distribution(icc, kind):
    """Where it is told from its share of variance between patients, .29 of "few patients" at .9 have p <= .05."""
    p = noise_p(FOURS["50 x 4"], icc, kind, range(4))
    assert (p <= 0.05).mean() <= 0.05 + MONTE_CARLO


@pytest.mark.slow
def test_patients_do_not_cost_the_power_to_find_what_neurons_follow():
    """SNR 1.5 at icc .6 and 150 patients of 4 images: .89 of the neurons named over 16 seeds, .02 of the noise."""
    named, noise_named = [], []
    for seed in range(4):
        sims, patients, presence = probe_of(FOURS["150 x 4"], seed)
        follows, real = np.arange(200) % presence.shape[1], np.arange(200) < 100
        activations = neurons_of(patients, 0.6, "normal", 200, seed + 100, 1.5 * real * presence[:, follows])
        table = calibrate(sims, activations, 40, 500, seed, patients=patients)
        named.append((table.label[real] >= 0).mean())
        noise_named.append((table.label[~real] >= 0).mean())
    assert np.mean(named) >= 0.8
    assert np.mean(noise_named) <= 0.05


def test_independent_images_lose_nothing_by_having_patients():
    """Each image of its own patient is as without patients."""
    planted = plant(1, n_neurons=32)
    alone = calibrate(planted.image_concept_sims, planted.activations, 40, 200)
    own = calibrate(planted.image_concept_sims, planted.activations, 40, 200, patients=[f"P{i}" for i in range(600)])
    pd.testing.assert_frame_equal(alone, own)


@pytest.mark.slow
def test_several_top_k_do_not_make_the_smallest_p_too_frequent():
    """The smallest p over top_k, against that of rankings which take part in their own null, had it five times too often."""
    reached, n, n_null = 0, 0, 99
    for seed in range(8):
        sims = plant(n_neurons=4, seed=seed).image_concept_sims
        nulls = [random_rankings(sims, k, n_null, seed) for k in auto_top_k(600)]
        noise = torch.randn(600, 300, generator=torch.Generator().manual_seed(seed))
        reached += (judge_neurons(sims, noise, nulls).p <= 1 / (1 + n_null) + 1e-9).sum()
        n += 300
    assert reached / n <= 2.5 / (1 + n_null)


@pytest.mark.slow
def test_several_top_k_find_as_much_as_one():
    planted = plant(1)
    auto, one = (calibrate(planted.image_concept_sims, planted.activations, k, 500) for k in ("auto", 40))
    real = planted.kinds != NOISE
    assert (auto.label[real] >= 0).mean() >= (one.label[real] >= 0).mean() - 0.1
    assert (auto.label[~real] >= 0).mean() <= 0.06


def test_p_over_several_top_k_is_the_share_of_rankings_written_out():
    planted = plant(1, n_neurons=12)
    nulls = [random_rankings(planted.image_concept_sims, k, n_null=30) for k in (10, 40)]
    evidences = [null.evidence(null.likelihood(planted.image_concept_sims, planted.activations)) for null in nulls]
    found = p_values(nulls, evidences, [null.clustering(planted.activations) for null in nulls])
    own, rankings = (np.stack(each, axis=1) for each in ([E.amax(1) for E in evidences], [null.maxima for null in nulls]))
    for k in range(12):
        together = np.vstack([rankings, own[k]])
        standard = [(x - together.mean(0)) / together.std(0) for x in (rankings, own[k] - TIE)]
        reaching = (standard[0].max(axis=1) >= standard[1].max()).sum()
        bound = 2 * 120 * np.exp(-own[k].max())
        assert found[k] == pytest.approx((1 + reaching) / 31 if reaching else min(1 / 31, bound))


@pytest.mark.slow
def test_few_real_neurons_of_many_are_named():
    """35 of 2,048: 1,000 rankings alone resolve no q below .0585."""
    planted = plant(3, n_neurons=2048, kinds={"one concept": 35 / 2048, NOISE: 1 - 35 / 2048})
    patients = np.repeat(np.arange(150), 4)
    for who in (None, patients):
        table = calibrate(planted.image_concept_sims, planted.activations, 40, n_null=300, patients=who)
        named = table.label >= 0
        assert named[planted.kinds != NOISE].mean() >= 0.95
        assert named[planted.kinds == NOISE].mean() <= 0.002
        assert (table.p > 0).all()


@pytest.mark.parametrize("icc", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("sizes", ["50 x 4", *UNEQUAL])
def test_the_bound_is_a_p_value_of_noise(sizes, icc):
    """exp(-E / b) of each concept; without b, whole patients pass it at .01 more often than they may."""
    sims, patients, _ = probe_of((FOURS | UNEQUAL)[sizes], 0)
    null = random_rankings(sims, 33, n_null=1, patients=patients)
    noise = neurons_of(patients, icc, "normal", 400, 1)
    evidence, most = null.evidence(null.likelihood(sims, noise)), null.clustering(noise).most
    for level in (0.1, 0.01, 0.001):
        assert ((-evidence / most[:, None]).exp() <= level).double().mean() <= level
    assert icc < 1 or ((-evidence).exp() <= 0.01).double().mean() > 0.01


def test_a_label_has_its_own_p():
    """That of the neuron where the label has the most evidence, never less; for any label of noise, a p-value."""
    planted = plant(1)
    null = random_rankings(planted.image_concept_sims, 40, 400)
    evidence, found = (
        null.evidence(null.likelihood(planted.image_concept_sims, planted.activations)),
        null.clustering(planted.activations),
    )
    best, other = evidence.topk(2, dim=1).indices.T
    p = p_values([null], [evidence], [found])
    np.testing.assert_array_equal(label_p_values(null, evidence, best, found), p)
    np.testing.assert_array_equal(label_p_values(null, evidence, best, found, tried=6), (6 * p).clamp(max=1))
    second = label_p_values(null, evidence, other, found)
    assert (second >= p).all()
    assert (second[planted.kinds == NOISE] <= 0.05).double().mean() <= 0.05
    reaching = int((null.maxima >= evidence[200, other[200]] - TIE).sum())
    assert second[200] == pytest.approx((1 + reaching) / 401)


def test_labels_of_a_dissection_show_their_own_p():
    planted = plant(n_neurons=64)
    found = dissected(planted.image_concept_sims, planted.activations, [f"concept {i}" for i in range(120)], top_k=40)
    labels = found.labels(q=0.05)
    named = labels.concept != ""
    assert labels.p_label[~named].isna().all()
    assert (labels.p_label[named] <= 0.05).mean() >= 0.95
    assert ((labels.p_label[named] > 0) & (labels.p_label[named] <= 1)).all()


def test_the_order_of_images_does_not_name_neurons_that_respond_to_few():
    """A neuron that responds to five images: its other top images are tied, and the first of the probe share a concept."""
    rng = np.random.default_rng(0)
    sims = 0.05 * rng.standard_normal((600, 60))
    sims[:80, 7] += 0.25
    activations = np.zeros((600, 50))
    for k in range(50):
        activations[rng.choice(600, 5, replace=False), k] = rng.random(5) + 1
    table = calibrate(torch.tensor(sims).float(), torch.tensor(activations).float(), 40)
    assert (table.label == -1).all()


def test_activations_of_other_images_are_refused():
    planted = plant(n_neurons=4)
    null = random_rankings(planted.image_concept_sims, 40, n_null=9)
    with pytest.raises(ValueError, match="activations of 500 images, the null is of a probe of 600"):
        null.clustering(planted.activations[:500])


def test_a_patient_drawn_twice_counts_as_two():
    sims, patients, _ = probe_of(FOURS["15 x 4"], 0)
    null, noise = random_rankings(sims, 10, n_null=1, patients=patients), neurons_of(patients, 1.0, "normal", 20, 1)
    twice = np.concatenate([np.flatnonzero(patients < 8)] * 2)
    found = null.clustering(noise[twice], twice)
    assert found.most.max() <= 4
    relabelled = np.concatenate([patients[patients < 8], patients[patients < 8] + 8])
    again = random_rankings(sims[twice], 10, n_null=1, patients=relabelled)
    np.testing.assert_array_equal(found.most, again.clustering(noise[twice]).most)
