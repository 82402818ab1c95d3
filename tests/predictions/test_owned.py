"""Which factor a label names, and how often that one moves the neuron most: planted effects, literal loops."""

from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from measured import labelled

from mdissect.concepts import load_concepts
from mdissect.predictions import CausalEffects, compare_evidence, concept_factors, effect_matrix, own_factor_shares
from mdissect.predictions.causal import cluster_means
from mdissect.predictions.changes import CHANGES

pytestmark = pytest.mark.slow

FACTORS = ("mass", "calcification", "implant", "denser tissue")


def planted(
    effects: np.ndarray, noise: float = 0.0, seed: int = 0, patients: int = 20, evidence: str = "phantom redrawn"
) -> CausalEffects:
    """Effects (n_factors, n_neurons) of `FACTORS` in a layer "deep", one pair for each patient and factor."""
    rng = np.random.default_rng(seed)
    factors = FACTORS[: len(effects)]
    pairs = pd.DataFrame([(f, "finding", p, p) for f in factors for p in range(patients)])
    pairs.columns = ["factor", "level", "position", "patient"]
    changes = np.repeat(effects, patients, axis=0)
    changes = (changes + noise * rng.standard_normal(changes.shape)).astype(np.float32)
    rows = []
    for factor, at in pairs.groupby("factor", sort=False).indices.items():
        for neuron, (effect, low, high) in enumerate(cluster_means(changes[at], pairs.patient.to_numpy()[at]).T):
            rows.append(("deep", neuron, factor, "finding", evidence, effect, low, high, patients, patients))
    columns = ["layer", "neuron", "factor", "level", "evidence", "effect", "low", "high", "n_pairs", "n_patients"]
    return CausalEffects(pd.DataFrame(rows, columns=columns), pairs, {"deep": changes}, evidence)


@pytest.mark.parametrize(
    ("concept", "findings", "descriptors"),
    [
        ("spiculated mass", ["mass"], ["mass margin: spiculated"]),
        ("Stellate Mass", ["mass"], ["mass margin: spiculated"]),
        ("mass with calcification", ["mass", "calcification"], []),
        ("suspicious calcification", ["calcification"], ["calcification: suspicious"]),
        ("amorphous calcification", ["calcification"], ["calcification morphology: amorphous"]),
        ("grouped calcification", ["calcification"], ["calcification distribution: grouped"]),
        ("suspicious mass", ["mass"], []),
        ("architectural distortion", ["architectural distortion"], []),
        ("clip", ["biopsy clip", "surgical clips"], []),
        ("silicone implant", ["implant"], ["implant: silicone"]),
        ("dense breast", ["denser tissue"], []),
        ("fatty breast", ["fattier tissue"], []),
        ("skin change", ["skin thickening", "skin retraction"], []),
        ("suspicious lesion", ["mass", "calcification"], []),
        ("radiating lines without a mass", ["architectural distortion"], []),
        ("suspicious finding", [], []),
        ("BI-RADS 4", [], []),
        ("no mass", [], []),
        ("mediolateral oblique view", [], []),
        ("breast", [], []),
        ("a thing that nobody knows", [], []),
    ],
)
def test_the_factors_that_concepts_name(concept, findings, descriptors):
    assert concept_factors([concept]).factor.tolist() == findings
    assert concept_factors([concept], "descriptor").factor.tolist() == descriptors


def test_all_shipped_concepts_name_factors_that_can_be_changed():
    names = load_concepts("mammography").names
    for level in ("finding", "descriptor"):
        assert set(concept_factors(names, level).factor) <= {f for f, change in CHANGES.items() if change.level == level}
    assert concept_factors(names).concept.nunique() > 150
    assert concept_factors([]).columns.tolist() == ["concept", "factor"]


def test_the_findings_of_vindr():
    table = concept_factors(["mass", "asymmetry", "dense breast"], source="vindr")
    assert table.to_numpy().tolist() == [
        ["mass", "mass"], ["asymmetry", "asymmetry"], ["asymmetry", "focal asymmetry"], ["asymmetry", "global asymmetry"],
    ]  # fmt: skip


def test_shares_count_the_labels_whose_factor_is_largest():
    effects = planted(np.array([[2.0, 0.5, -3.0, 0.0], [1.0, 1.0, -1.0, 0.0]]))  # of neuron 2 none rises, of 3 nothing moves
    labels = {"a": labelled("mass", "mass", "mass", "mass"), "b": labelled("round mass", "calcification", "BI-RADS 4", "")}
    table = own_factor_shares(effects, labels, n_boot=20).set_index("rule")
    assert table.share.to_dict() == {"a": 0.25, "b": 1.0}
    assert table.n_labels.to_dict() == {"a": 4, "b": 2}
    assert table.n_without_factor.to_dict() == {"a": 0, "b": 1}
    assert (table.low.to_list(), table.high.to_list()) == ([0.25, 1.0], [0.25, 1.0])  # no noise
    assert np.isnan(table.difference["a"])
    assert table.difference["b"] == table.difference_low["b"] == 0.5
    assert table.chance.to_dict() == {"a": 0.25, "b": 0.5}


def test_a_label_of_two_findings_is_right_with_either():
    effects = planted(np.array([[2.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 2.0]]))
    table = own_factor_shares(effects, {"": labelled(*["mass with calcification"] * 3)}, n_boot=5)
    assert table.share.item() == pytest.approx(2 / 3)


def test_chance_is_the_mean_over_all_permutations():
    rng = np.random.default_rng(0)
    effects = planted(rng.standard_normal((4, 4)))
    concepts = ["mass", "dense breast", "mass with calcification", "implant"]
    every = [own_factor_shares(effects, {"": labelled(*order)}, n_boot=1).share.item() for order in permutations(concepts)]
    found = own_factor_shares(effects, {"": labelled(*concepts)}, n_boot=1)
    assert found.chance.item() == pytest.approx(np.mean(every))
    assert found.above_chance.item() == pytest.approx(found.share.item() - np.mean(every))


def test_planted_effects_are_found_and_shuffled_labels_are_not_above_chance():
    """Over 12 seeds: a signal of 1 with noise of 1 over 20 patients; labels at random miss 0 no more often than they should."""
    missed = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        truth = rng.integers(0, 4, 80)
        effects = planted(np.eye(4)[:, truth], noise=1.0, seed=seed)
        names = np.array(["mass", "calcification", "implant", "dense breast"])
        labels = {"true": labelled(*names[truth]), "shuffled": labelled(*names[rng.permutation(truth)])}
        table = own_factor_shares(effects, labels, n_boot=100).set_index("rule")
        assert table.share["true"] > 0.9
        assert table.above_low["true"] > 0.5
        assert table.difference_high["shuffled"] < 0
        missed.append(abs(table.above_chance["shuffled"]))
    assert np.mean(missed) < 0.1


def test_intervals_hold_the_share_of_many_patients():
    """The share that 4,000 patients give lies within most 95 % intervals of 30 patients (at least 17 of 20 seeds)."""
    inside = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        truth = rng.integers(0, 3, 60)
        means = np.eye(3)[:, truth] * rng.uniform(0, 0.6, 60)
        names = np.array(["mass", "calcification", "implant"])
        labels = {"": labelled(*names[truth])}
        found = own_factor_shares(planted(means, 1.0, seed, 30), labels, n_boot=200).iloc[0]
        expected = _expected_share(means, truth, 30, seed)
        inside += found.low <= expected <= found.high
    assert inside >= 17


def _expected_share(means: np.ndarray, truth: np.ndarray, patients: int, seed: int) -> float:
    """The mean share over many probes with so many patients."""
    noise = np.random.default_rng(1000 + seed).standard_normal((400, *means.shape)) / np.sqrt(patients)
    return float(((means + noise).argmax(axis=1) == truth).mean())


def test_factors_of_few_patients_and_labels_without_a_factor():
    few = planted(np.ones((2, 2)), patients=4)
    row = own_factor_shares(few, {"": labelled("mass", "calcification")}, n_boot=3).iloc[0]
    assert np.isnan([row.share, row.chance, row.above_low]).all()
    assert (row.n_labels, row.n_without_factor) == (0, 2)
    none = own_factor_shares(planted(np.ones((2, 2))), {"": labelled("", "BI-RADS 4")}, n_boot=3).iloc[0]
    assert np.isnan(none.share)
    assert (none.n_labels, none.n_without_factor) == (0, 1)


def test_the_matrix_of_what_is_changed_by_what_is_named():
    effects = planted(np.array([[2.0, 1.0, 0.5], [0.0, 3.0, 0.25]]))
    matrix = effect_matrix(effects, labelled("mass", "mass with calcification", "BI-RADS 4"), "deep")
    assert matrix.index.tolist() == ["mass", "calcification"]
    assert matrix.to_dict() == {
        "mass (2)": {"mass": 1.5, "calcification": 1.5},
        "calcification (1)": {"mass": 1.0, "calcification": 3.0},
    }
    assert effect_matrix(effects, labelled("BI-RADS 4"), "deep").shape == (2, 0)


def test_the_same_effects_agree_and_opposite_ones_do_not():
    rng = np.random.default_rng(0)
    values = rng.standard_normal((3, 30))
    redrawn = planted(values)
    for factor, expected in ((0.5, 1), (-2.0, -1)):
        table = compare_evidence(redrawn, planted(values * factor, evidence="box filled"), n_boot=20).set_index("factor")
        assert list(table.index) == ["all", "mass", "calcification", "implant"]
        np.testing.assert_allclose(table.correlation, expected)
        np.testing.assert_allclose(table.slope, factor, rtol=1e-5)
        np.testing.assert_allclose(table.same_sign, expected > 0)
    other = compare_evidence(redrawn, planted(rng.standard_normal((2, 30))), n_boot=50).set_index("factor")
    assert "implant" not in other.index  # only one of them has it
    assert other.low["all"] < 0.2
    assert abs(other.correlation["all"]) < 0.4
