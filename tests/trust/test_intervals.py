"""Comparisons that allow for chance."""

import numpy as np
import pandas as pd
import pytest
from made_up import concept_set, dissected
from scipy.stats import false_discovery_control

from mdissect.analysis import count_concepts, enrichment, thresholds
from mdissect.concepts import ConceptSet
from mdissect.dissection import Dissection
from mdissect.trust import count_intervals, tau_intervals
from mdissect.trust.planted import plant


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
