"""Comparisons that allow for chance."""

import numpy as np
import pandas as pd
import pytest
from made_up import concept_set, dissected
from scipy.stats import false_discovery_control

from mdissect.analysis import count_concepts, enrichment, thresholds
from mdissect.concepts import ConceptSet
from mdissect.dissection import Dissection
from mdissect.trust import (
    count_interval,
    count_intervals,
    resampled_labels,
    resampled_margins,
    resampled_neuron,
    tau_intervals,
    with_count_intervals,
)
from mdissect.trust.planted import plant
from mdissect.trust.stability import resamples

pytestmark = pytest.mark.slow


def concepts() -> ConceptSet:
    """Four of ten concepts are breasts, six are barns."""
    rows = [(f"concept {i}", "breast" if i < 4 else "barn") for i in range(10)]
    return concept_set(rows, "concept", "broad_category", domain="other")


def test_groups_are_held_against_the_concept_set():
    labels = pd.DataFrame(
        {"layer": ["deep"] * 6, "concept": ["concept 0", "concept 0", "concept 1", "concept 2", "concept 9", ""]}
    )
    table = enrichment(labels, concepts()).set_index("broad_category")
    assert table.concepts.to_dict() == {"breast": 3, "barn": 1}
    assert (table.of == 4).all()
    assert table.base_rate.to_dict() == pytest.approx({"breast": 0.4, "barn": 0.6})
    assert table.ratio["breast"] == pytest.approx(0.75 / 0.4)
    assert table.p["breast"] == pytest.approx((4 * 6 + 1) / 210)  # three or four of the four breasts among four of ten
    np.testing.assert_allclose(table.q, false_discovery_control(table.p))


def test_strange_labels_are_named():
    with pytest.raises(ValueError, match="1 labels are not in the concept set, such as tree"):
        enrichment(pd.DataFrame({"layer": ["deep"], "concept": ["tree"]}), concepts())


def planted_dissection(n_images: int = 200, **options) -> Dissection:
    planted = plant(n_images=n_images, n_concepts=10, n_neurons=24, **options)
    return dissected(planted.image_concept_sims, planted.activations, concepts(), per_patient=4)


def test_thresholds_have_intervals_over_patients():
    found = planted_dissection()
    wide, narrow = tau_intervals(found, n_boot=60).iloc[0], tau_intervals(found, n_boot=60, level=0.5).iloc[0]
    assert wide.threshold == pytest.approx(thresholds(found).threshold[0], rel=1e-5)
    assert wide.low < narrow.low < wide.threshold < narrow.high < wide.high


@pytest.mark.parametrize("rule", ["top", "all"])
@pytest.mark.parametrize("by", ["broad_category", "domain"])
def test_counts_with_intervals_are_the_counts(rule, by):
    found = planted_dissection(snr=1)
    tau = thresholds(found, rule=rule)
    table = count_intervals(found, rule, by=by, n_boot=40)
    pd.testing.assert_frame_equal(table[["layer", by, "concepts", "neurons", "fraction"]], count_concepts(found, tau, by=by))
    pd.testing.assert_frame_equal(count_intervals(found, tau, by=by, n_boot=40), table)
    for name in ("concepts", "neurons", "fraction"):
        assert (table[f"{name}_low"] <= table[name]).all()
        assert (table[name] <= table[f"{name}_high"]).all()
        assert (table[f"{name}_low"] >= 0).all()
    assert (table.fraction_high <= 1).all()
    assert (table.concepts_high <= pd.Series([4, 6] if by == "broad_category" else [10])).all()
    assert (table[["concepts_low", "neurons_high"]] % 1 == 0).all(axis=None)
    if rule == "top":
        assert (table.neurons_high - table.neurons_low).max() > 1


def test_calibrated_counts_have_intervals_too():
    found = planted_dissection(snr=3, n_images=400)
    table = count_intervals(found.calibrated(0.05, n_null=200), by="domain", n_boot=40)
    named = found.labels(q=0.05, n_null=200).query("concept != ''")
    assert (table.neurons[0], table.concepts[0]) == (len(named), named.concept.nunique())
    assert table.neurons_low[0] <= len(named) <= table.neurons_high[0] <= 24
    assert table.neurons_low[0] > 5


def test_more_patients_narrow_the_intervals():
    def width(n_images: int) -> float:
        found = planted_dissection(n_images, snr=1)
        found.settings["top_k"] = n_images // 10
        table = count_intervals(found, by="domain", n_boot=60).iloc[0]
        tau = tau_intervals(found, n_boot=60).iloc[0]
        return table.fraction_high - table.fraction_low, (tau.high - tau.low) / tau.threshold

    few, many = width(100), width(1600)
    assert many[0] < few[0]
    assert many[1] < 0.6 * few[1]


@pytest.mark.parametrize("function", [tau_intervals, count_intervals])
def test_one_patient_cannot_be_resampled(function):
    found = planted_dissection(snr=1)
    found.probe_table = pd.DataFrame({"patient": ["P0"] * 200})
    with pytest.raises(ValueError, match="all 200 images are of one patient, so that nothing can be resampled"):
        function(found, n_boot=3)


@pytest.mark.parametrize("seed", range(8))
def test_resampled_labels_as_one_resample_at_a_time(seed):
    """Each resample as a probe of its own, its threshold moved with its mean top similarity."""
    found = planted_dissection(120, snr=1, seed=seed)
    tau, samples = thresholds(found), resamples(found, 6, seed)
    labels, margins = resampled_labels(found, tau, 6, seed)["deep"], resampled_margins(found, tau, 6, seed)
    above_mean = tau.threshold[0] - found.similarity["deep"].max(axis=1).mean(dtype=float)
    for images, counted, margin in zip(samples, labels, margins, strict=True):
        own = dissected(found.image_concept_sims[images], found.activations["deep"][images], concepts()).similarity["deep"]
        top, label = own.max(axis=1), own.argmax(axis=1)
        moved = top.mean(dtype=float) + above_mean
        expected = np.bincount(label[top >= moved], minlength=10)
        assert np.abs(expected - counted).sum() <= 1  # one at the threshold itself may fall to either side
        np.testing.assert_allclose(margin, own.max(axis=0) - moved, atol=1e-4)


def test_a_resample_that_draws_every_patient_once_is_the_probe(monkeypatch):
    found = planted_dissection(snr=1)
    monkeypatch.setattr("mdissect.trust.intervals.resamples", lambda *_: [np.arange(200)])
    tau = thresholds(found)
    own = count_concepts(found, tau, by="domain")
    drawn = with_count_intervals(found, tau, "domain", resampled_labels(found, tau, 1))
    pd.testing.assert_frame_equal(drawn[own.columns], own)
    assert drawn[["concepts_low", "concepts_high"]].to_numpy().tolist() == [[own.concepts[0]] * 2]
    positions, images = resampled_neuron(found, "deep", 3, 5, 1)
    assert positions[0].tolist() == np.argsort(-found.similarity["deep"][3], kind="stable")[:5].tolist()
    assert images[0].tolist() == np.argsort(-found.activations["deep"][:, 3], kind="stable")[:5].tolist()


def test_a_neuron_on_resamples_keeps_what_it_surely_responds_to():
    found = planted_dissection(400, snr=4)
    concept = found.similarity["deep"].argmax(axis=1)
    kept = [(resampled_neuron(found, "deep", n, 1, 20)[0] == concept[n]).mean() for n in range(8)]
    assert np.mean(kept) > 0.8
    shorter = planted_dissection(40)
    assert resampled_neuron(shorter, "deep", 0, 100, 2)[0].shape == (2, 10)  # no more than there are


def test_a_neuron_that_cannot_be_named_is_not_resampled():
    found = planted_dissection()
    found.activations["deep"][:, 3] = 1.0
    with pytest.raises(ValueError, match="neuron=3 of layer 'deep' cannot be named"):
        resampled_neuron(found, "deep", 3, n_boot=2)
    with pytest.raises(ValueError, match="layer='deeper' has no activations"):
        resampled_neuron(found, "deeper", 3, n_boot=2)


def test_counts_of_equal_resamples_have_no_width():
    low, high = count_interval(np.array([3.0]), np.full((30, 1), 0.1 + 0.2), np.array([5.0]))
    assert (low.item(), high.item()) == (3, 3)


@pytest.mark.slow
def test_intervals_of_counts_cover_what_other_probes_count():
    """The same neurons on many probes of 40 patients: their average count lies in about 95 % of the intervals."""
    n_patients, per_patient, n_neurons = 40, 3, 24
    fixed = np.random.default_rng(0)
    carried, snr = fixed.integers(0, 10, n_neurons), fixed.choice([0.5, 1.0, 2.0, 3.0], n_neurons)

    def probe(seed: int) -> Dissection:
        rng = np.random.default_rng(seed)
        present = np.repeat(rng.random((n_patients, 10)) < 0.2, per_patient, axis=0)
        sims = 0.25 * present + 0.05 * rng.standard_normal(present.shape)
        own = np.repeat(rng.standard_normal((n_patients, n_neurons)), per_patient, axis=0)
        activations = 0.7 * own + 0.7 * rng.standard_normal(own.shape) + snr * present[:, carried]
        return dissected(sims.astype(np.float32), activations.astype(np.float32), concepts(), 10, per_patient)

    others = [probe(seed) for seed in range(1000, 1080)]
    expected = np.mean([count_concepts(d, thresholds(d), by="domain")[["concepts", "neurons"]].iloc[0] for d in others], axis=0)
    covered = []
    for seed in range(25):
        row = count_intervals(probe(seed), by="domain", n_boot=50, seed=seed).iloc[0]
        covered.append(
            [row[f"{n}_low"] <= e <= row[f"{n}_high"] for n, e in zip(("concepts", "neurons"), expected, strict=True)]
        )
    assert (np.mean(covered, axis=0) >= 0.85).all()


def test_what_cannot_be_drawn_anew():
    found = planted_dissection()
    with pytest.raises(ValueError, match="thresholds='best' is not one of 'top', 'all'"):
        count_intervals(found, "best")
    with pytest.raises(ValueError, match="by='size' is not one of 'category'"):
        count_intervals(found, by="size")
    with pytest.raises(ValueError, match="no activations or image_concept_sims"):
        count_intervals(Dissection({}, concepts(), {}))
