"""Labels measured on patients that they were not chosen on: planted neurons, a literal loop, intervals that cover."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from made_up import dissected

from mdissect.concepts import ConceptSet
from mdissect.dissection import Dissection
from mdissect.trust import predicts
from mdissect.trust.correlation import correlations
from mdissect.trust.halves import halves_of, naming
from mdissect.trust.planted import NOISE, ONE, plant

RULE = "cos_similarity_cubed"


def planted(seed: int = 0, snr: float = 3, per_patient: int | None = 4, n_images: int = 400) -> tuple[Dissection, np.ndarray]:
    """Sixteen neurons that follow one of ten concepts, and as many of noise; whether a neuron follows one."""
    made = plant(snr, n_images, n_concepts=10, n_neurons=32, prevalence=0.2, seed=seed, kinds={ONE: 0.5, NOISE: 0.5})
    names = [f"concept {i}" for i in range(10)]
    return dissected(made.image_concept_sims, made.activations, names, 20, per_patient), made.kinds == ONE


def test_it_is_the_mean_correlation_over_halves():
    found, _ = planted()
    table, name, sims = predicts(found, rule=RULE, n_splits=3, seed=5), naming(found, RULE), found.image_concept_sims
    for neuron in (0, 7, 20):
        column, expected, floors = found.activations["deep"][:, neuron], [], []
        for choose, test in halves_of(found, 3, 5).both_ways:
            labels = name("deep", choose)
            each = [np.corrcoef(column[test], sims[test, label])[0, 1] for label in labels]
            expected.append(each[neuron])
            floors.append(np.mean(np.delete(each, neuron)))
        row = table.loc[neuron]
        assert row.predicts == pytest.approx(np.mean(expected), abs=1e-6)
        assert row.floor == pytest.approx(np.mean(floors), abs=1e-6)
        assert row.in_sample == pytest.approx(np.corrcoef(column, sims[:, int(row.concept[-1])])[0, 1], abs=1e-6)
        assert row.halves == 6


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["published", "calibrated", RULE])
def test_labels_of_neurons_that_follow_a_concept_predict_and_those_of_noise_do_not(rule):
    table, follows = pd.concat([predicts(planted(seed)[0], rule=rule, n_splits=2) for seed in range(8)]), planted()[1]
    follows = np.tile(follows, 8)
    assert (table.predicts_low > 0.3)[follows].mean() > 0.95
    assert (table.predicts_low > 0)[~follows].mean() < 0.1
    assert abs(table.predicts[~follows].mean()) < 0.02
    assert abs(table.floor.mean()) < 0.05
    assert table.ridge[follows].mean() > table.predicts[follows].mean() - 0.02
    assert table.same[follows].mean() > 0.95 > 0.8 > table.same[~follows].mean()
    assert table.in_sample[~follows].mean() > table.corrected[~follows].mean() + 0.01  # the choice flatters


def test_halves_part_patients():
    halves = halves_of(planted()[0], 4, 0)
    for first, second in halves.splits:
        assert sorted([*first, *second]) == list(range(400))
        assert not set(halves.patient[first]) & set(halves.patient[second])
        assert len(first) == len(second)
    assert halves.n_patients == 100
    assert halves_of(planted(per_patient=None)[0], 1, 0).n_patients == 400


@pytest.mark.slow
def test_by_default_the_rule_is_that_of_the_labels_shown():
    found, _ = planted()
    for shown, rule in ((found, "published"), (found.calibrated(), "calibrated")):
        pd.testing.assert_frame_equal(predicts(shown, n_splits=1), predicts(shown, rule=rule, n_splits=1))
        table = shown.with_columns(predicts(shown, n_splits=1)).labels()
        assert table.predicts[table.concept != ""].notna().all()


def test_given_labels_are_kept():
    found, _ = planted()
    labels = found.labels().assign(concept="concept 3").head(4)
    table = predicts(found, labels=labels, n_splits=2)
    assert table.concept.tolist() == ["concept 3"] * 4 + [""] * 28
    assert table.predicts.isna().tolist() == [False] * 4 + [True] * 28
    assert np.allclose(table.predicts[:4], table.in_sample[:4], atol=0.05)
    assert np.allclose(table.corrected[:4], table.in_sample[:4])  # nothing was chosen: both ways cancel


def test_a_second_dissector_measures_instead():
    found, follows = planted()
    blind = replace(found, image_concept_sims=np.random.default_rng(0).standard_normal((400, 10)).astype(np.float32))
    pd.testing.assert_frame_equal(predicts(found, rule=RULE, dissector=found), predicts(found, rule=RULE))
    table = predicts(found, rule=RULE, dissector=blind, n_splits=2)
    assert (table.concept == predicts(found, rule=RULE, n_splits=2).concept).all()
    assert table.predicts[follows].abs().mean() < 0.06
    order = np.random.default_rng(1).permutation(400)
    shuffled = replace(found, image_concept_sims=found.image_concept_sims[order], probe_table=found.probe_table.iloc[order])
    again = predicts(found, rule=RULE, dissector=shuffled, n_splits=2)
    pd.testing.assert_frame_equal(again, predicts(found, rule=RULE, n_splits=2))


def test_a_second_dissector_may_lack_concepts():
    found, _ = planted()
    fewer = replace(
        found, concepts=ConceptSet.from_list(["concept 1", "concept 0"]), image_concept_sims=found.image_concept_sims[:, [1, 0]]
    )
    table = predicts(found, rule=RULE, dissector=fewer, n_splits=2)
    stable = table[table.same == 1]
    known = stable.concept.isin(["concept 0", "concept 1"])
    assert 0 < known.sum() < len(stable)
    assert stable.predicts.notna().equals(known)


def test_constant_and_broken_neurons_are_unknown_and_change_nothing_else():
    found, _ = planted()
    activations = found.activations["deep"].copy()
    activations[:, 0], activations[7, 1], activations[8, 2] = 3.25, np.nan, np.inf
    activations[:, 3] = 0
    activations[:4, 3] = [1, 2, 3, 4]  # varies in one patient alone: never on both halves
    broken = replace(found, activations={"deep": activations})
    for rule in (RULE, "published"):
        table = predicts(broken, rule=rule, n_splits=2)
        assert table.predicts[:4].isna().all()
        assert (table.halves[:4] == 0).all()
        assert table.loc[4:, ["predicts", "ceiling", "ridge"]].notna().all(axis=None)
    same = predicts(found, rule=RULE, n_splits=2)
    assert np.allclose(table.ridge[4:], same.ridge[4:])


def test_two_patients_are_enough_and_one_is_not():
    found, _ = planted(per_patient=200)
    table = predicts(found, n_splits=2)
    assert ((table.predicts_low <= table.predicts) & (table.predicts <= table.predicts_high)).all()
    with pytest.raises(ValueError, match="all 400 images are of one patient"):
        predicts(planted(per_patient=400)[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layers": ["shallow"]}, "no layer shallow; there are deep"),
        ({"rule": "best"}, "rule='best' is not one of 'calibrated', 'published', 'soft_wpmi'"),
        ({"labels": pd.DataFrame({"layer": ["deep"], "neuron": [0], "concept": ["mass"]})}, "1 labels are no concepts"),
        (
            {"labels": pd.DataFrame({"layer": "deep", "neuron": [0, 0], "concept": "concept 1"})},
            "names neuron 0 of layer deep twice",
        ),
        (
            {"labels": pd.DataFrame({"layer": "deep", "neuron": [99], "concept": "concept 1"})},
            "neurons up to 99, layer deep has 32",
        ),
        ({"n_splits": 0}, "n_splits=0 must be a whole number, 1 or more"),
        ({"dissector": "demo/general"}, "dissector='demo/general' must be a Dissection"),
    ],
)
def test_mistakes_are_named(change, message):
    with pytest.raises((TypeError, ValueError)) as caught:
        predicts(planted()[0], **change)
    assert message in str(caught.value)


def test_other_images_and_no_activations_are_refused():
    found, _ = planted()
    with pytest.raises(ValueError, match="dissector= lacks 200 of the images, such as image 200, image 201"):
        predicts(found, dissector=planted(n_images=200)[0])
    with pytest.raises(ValueError, match="has none of the dissection's concepts"):
        predicts(found, dissector=replace(found, concepts=ConceptSet.from_list([f"other {i}" for i in range(10)])))
    with pytest.raises(ValueError, match="no activations or image_concept_sims"):
        predicts(replace(found, activations={}))


def population(rng: np.random.Generator, n_patients: int, icc: float) -> tuple[np.ndarray, np.ndarray]:
    """Similarities to 12 concepts, pairs of them synonyms, and 8 neurons, on four images of each patient; icc within these."""
    patient = np.repeat(np.arange(n_patients), 4)

    def latent(k: int) -> np.ndarray:
        shared, own = rng.standard_normal((n_patients, k))[patient], rng.standard_normal((len(patient), k))
        return np.sqrt(icc) * shared + np.sqrt(1 - icc) * own

    factors = latent(6)
    sims = factors[:, np.arange(12) % 6] + 0.8 * rng.standard_normal((len(patient), 12))
    return sims, factors[:, np.arange(8) % 6] * np.linspace(0, 1.2, 8) + latent(8)


@pytest.mark.slow
@pytest.mark.parametrize(("n_patients", "icc", "least"), [(15, 0.6, 0.93), (50, 0.6, 0.91), (150, 0, 0.91)])
def test_intervals_cover_the_labels_that_were_chosen(n_patients, icc, least):
    sims, activations = population(np.random.default_rng(99), 20_000, icc)
    true, covered = correlations(activations, sims), []
    for seed in range(60):
        sims, activations = (x.astype(np.float32) for x in population(np.random.default_rng(seed), n_patients, icc))
        found = dissected(sims, activations, [f"concept {i}" for i in range(12)], 5, per_patient=4)
        table, name = predicts(found, rule=RULE, n_splits=3, seed=seed), naming(found, RULE)
        chosen = np.array([name("deep", choose) for choose, _ in halves_of(found, 3, seed).both_ways])
        target = true[np.arange(8), chosen].mean(axis=0)
        covered.append((table.predicts_low <= target) & (target <= table.predicts_high))
    assert least < np.mean(covered) < 0.995
