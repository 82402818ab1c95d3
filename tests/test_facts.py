"""Tests of what a neuron's top images are said to have in common."""

import made_up
import numpy as np
import pandas as pd
import pytest

from mdissect import facts
from mdissect.facts import facts_of, in_words, shared_facts

N_IMAGES = 200
RNG = np.random.default_rng(0)


def table(**columns) -> pd.DataFrame:
    return pd.DataFrame(columns, index=[f"image {i}" for i in range(N_IMAGES)])


def dissection(activations, probe_table):
    found = made_up.dissected(RNG.standard_normal((N_IMAGES, 3)), np.asarray(activations, float), ["a", "b", "c"])
    found.probe_table = probe_table
    return found


def test_a_confound_shows_and_what_is_usual_does_not():
    machine = np.where(np.arange(N_IMAGES) % 10 == 0, "Selenia", "Lorad")
    probe = table(machine=machine, site=RNG.choice(["north", "south"], N_IMAGES), mass=RNG.random(N_IMAGES) < 0.5)
    neurons = np.stack([(machine == "Selenia") + RNG.random(N_IMAGES), RNG.random(N_IMAGES)], axis=1)
    found = shared_facts(dissection(neurons, probe), "deep")
    assert found[["neuron", "fact", "column", "in_top", "of_top", "share_all"]].to_numpy().tolist() == [
        [0, "machine Selenia", "machine", 20, 20, 0.1]
    ]
    assert in_words(found) == "machine Selenia: 20 of 20 top images, 10 % of all"
    pd.testing.assert_frame_equal(found, shared_facts(dissection(neurons, probe), "deep", 0))


def test_a_patient_counts_once():
    implant = np.arange(N_IMAGES) < 20  # all images of one patient
    neuron = implant[:, None] + RNG.random((N_IMAGES, 1))
    alone = shared_facts(dissection(neuron, table(implant=implant)), "deep", 0)
    one = shared_facts(dissection(neuron, table(implant=implant, patient=np.arange(N_IMAGES) // 20)), "deep", 0, q=None)
    assert alone.p.item() < 1e-12
    assert (one.patients.item(), one.in_top.item()) == (1, 20)
    assert one.p.item() == pytest.approx(0.1)  # one patient of ten has it


def test_one_side_of_every_patient_is_a_fact_too():
    side = np.where(np.arange(N_IMAGES) % 2 == 0, "L", "R")
    neuron = (side == "R")[:, None] + RNG.random((N_IMAGES, 1))
    found = shared_facts(dissection(neuron, table(laterality=side, patient=np.arange(N_IMAGES) // 4)), "deep", 0)
    assert found.fact.tolist() == ["right breast"]


def test_facts_of_all_kinds_of_columns():
    every = np.arange(N_IMAGES)
    facts = facts_of(
        table(
            index=every,
            patient=every // 4,
            findings=np.where(every % 4 == 0, "mass; skin thickening", ""),
            skin_thickening=every % 4 == 0,
            birads=np.where(every % 3 == 0, 4.0, np.nan),
            density=every % 2,
            age=every * 0.25,
            constant="same",
            lists=[["clip"] if i < 3 else [] for i in every],
            rare=["yes"] * 2 + [""] * (N_IMAGES - 2),
        )
    )
    assert facts.names == ["mass", "density 0", "density 1", "age 0 to 12.25", "age 12.5 to 24.75", "age 25 to 37.25",
                           "age 37.5 to 49.75", "lists clip"]  # fmt: skip
    assert facts.held.sum(axis=0).tolist() == [50, 100, 100, 50, 50, 50, 50, 3]


@pytest.mark.parametrize(
    ("column", "words"),
    [
        ({"birads": np.where(np.arange(N_IMAGES) < 22, 4, 1)}, "BI-RADS 4: 20 of 20 top images, 11 % of all"),
        ({"finding_birads": np.where(np.arange(N_IMAGES) < 22, 4.0, np.nan)}, ""),
        ({"density": np.where(np.arange(N_IMAGES) < 20, "D", "A")}, "density D: 20 of 20 top images, 10 % of all"),
        ({"age": np.arange(N_IMAGES)}, "age 0 to 49: 20 of 20 top images, 25 % of all"),
        ({"skin_thickening": np.arange(N_IMAGES) < 20}, "skin thickening: 20 of 20 top images, 10 % of all"),
        (
            {"findings": np.where(np.arange(N_IMAGES) < 20, "mass; skin thickening", "mass")},
            "skin thickening: 20 of 20 top images, 10 % of all",
        ),
        (
            {"lists": [["clip", "scar"] if i < 20 else ["scar"] for i in range(N_IMAGES)]},
            "lists clip: 20 of 20 top images, 10 % of all",
        ),
        ({"laterality": np.where(np.arange(N_IMAGES) < 20, "L", "R")}, "left breast: 20 of 20 top images, 10 % of all"),
    ],
)
def test_facts_of_any_column_in_words(column, words):
    neuron = -np.arange(N_IMAGES)[:, None]  # the first images are the strongest
    assert in_words(shared_facts(dissection(neuron, table(**column)), "deep", 0), 1) == words


def test_a_rare_fact_is_not_called_absent():
    rows = pd.DataFrame({"fact": ["clip"], "in_top": [3], "of_top": [20], "share_all": [0.004]})
    assert in_words(rows) == "clip: 3 of 20 top images, under 1 % of all"


def test_unknown_is_neither_yes_nor_no():
    known = np.arange(N_IMAGES) < 100
    marker = pd.Series([i % 10 == 0 if known[i] else None for i in range(N_IMAGES)], dtype=object)
    neuron = np.array([2.0 if value else 0.0 for value in marker])[:, None] + np.linspace(0, 1, N_IMAGES)[:, None]
    found = shared_facts(dissection(neuron, table(marker=marker.to_numpy())), "deep", 0)
    assert found[["in_top", "of_top", "share_all"]].to_numpy().tolist() == [[10, 10, 0.1]]


@pytest.mark.slow
def test_random_neurons_share_nothing():
    probe = table(**{f"fact {i}": RNG.random(N_IMAGES) < 0.3 for i in range(30)}, patient=np.arange(N_IMAGES) // 4)
    by_patient = RNG.standard_normal((N_IMAGES // 4, 300))[np.arange(N_IMAGES) // 4]
    for neurons in (RNG.standard_normal((N_IMAGES, 300)), by_patient + 0.3 * RNG.standard_normal((N_IMAGES, 300))):
        found = shared_facts(dissection(neurons, probe), "deep", q=0.05)
        assert found.neuron.nunique() / 300 < 0.09  # 0.05 wanted, and three standard errors


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"layer": "deeper"}, "no activations of layer 'deeper'"),
        ({"neuron": 7}, "neuron 7 is not in layer"),
        ({"top": 0}, "top=0 must be a whole number from 1 to 200"),
        ({"q": 5}, "q=5 must be a number above 0 and at most 1"),
    ],
)
def test_options_out_of_range_are_named(arguments, said):
    with pytest.raises((ValueError, LookupError), match=said):
        shared_facts(dissection(np.zeros((N_IMAGES, 1)), table(mass=[True] * N_IMAGES)), **{"layer": "deep", **arguments})


def test_tails_and_q_values_are_those_of_scipy():
    from scipy.stats import binom, false_discovery_control

    rng = np.random.default_rng(0)
    n, share = rng.integers(0, 40, 500), rng.uniform(0, 1, 500)
    hits = np.minimum(rng.integers(0, 41, 500), n)
    share[:4], n[4:6], hits[4:6] = [0, 0, 1, 1], 0, 0
    p = facts._at_least(hits, n, share)
    np.testing.assert_allclose(p, binom.sf(hits - 1, n, share), rtol=1e-10, atol=1e-300)
    np.testing.assert_allclose(facts._false_discovery(p), false_discovery_control(p), rtol=1e-12)
    assert facts._false_discovery(np.array([])).size == 0
