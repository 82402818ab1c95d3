"""Labels measured on held-out patients where activations are on disk and memory is small: the same numbers as in memory."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from made_up import dissected

from mdissect.concepts import ConceptSet
from mdissect.dissection import Dissection
from mdissect.trust import held_out_auc, predicts
from mdissect.trust.large_halves import LargeHalves
from mdissect.trust.planted import NOISE, ONE, plant

N_IMAGES, N_CONCEPTS, N_NEURONS = 2000, 10, 20
NAMES = [f"concept {i}" for i in range(N_CONCEPTS)]
LITTLE = 10**6  # bytes
RULE = "cos_similarity_cubed"


def whole(seed: int = 0, per_patient: int | None = 4) -> tuple[Dissection, np.ndarray]:
    """A result in memory with embeddings, and which images show which concepts; some neurons are broken."""
    made = plant(3, N_IMAGES, N_CONCEPTS, N_NEURONS, prevalence=0.2, seed=seed, kinds={ONE: 0.5, NOISE: 0.5})
    sims = made.image_concept_sims.float().numpy()
    found = dissected(sims, made.activations, NAMES, 20, per_patient)
    activations = made.activations.numpy().copy()
    activations[:, 0], activations[7, 1], activations[8, 2] = 3.25, np.nan, np.inf
    activations[:, 3] = 0
    activations[:4, 3] = [1, 2, 3, 4]
    activations[:, 4] = activations[:, 4].round(0)  # ties
    embedded = {"image_embeddings": sims, "text_embeddings": np.eye(N_CONCEPTS, dtype=np.float32)}
    return replace(found, activations={"deep": activations}, **embedded), made.presence


def on_disk(found: Dissection, folder) -> Dissection:
    found.save(folder)
    mapped = Dissection.load(folder, lazy=True)
    assert isinstance(mapped.activations["deep"], np.memmap)
    return mapped


@pytest.fixture(autouse=True)
def large(monkeypatch):
    """So that these small results count as larger than the least memory that can be asked for."""
    monkeypatch.setattr("mdissect.labels.IN_FLOAT64", 10)


@pytest.fixture
def in_blocks(monkeypatch):
    """The blocks of neurons that are read."""
    seen, original = [], LargeHalves._block

    def block(self, place):
        seen.append(place)
        return original(self, place)

    monkeypatch.setattr(LargeHalves, "_block", block)
    return seen


def check_same(table: pd.DataFrame, expected: pd.DataFrame) -> None:
    """But for rounding: a ridge regression in memory is computed in float32."""
    for one in (table, expected):
        assert list(one) == list(expected)
    pd.testing.assert_frame_equal(table.drop(columns="ridge"), expected.drop(columns="ridge"), rtol=0, atol=1e-6)
    np.testing.assert_allclose(table.ridge, expected.ridge, rtol=0, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(("rule", "per_patient"), [("published", 4), ("calibrated", 4), (RULE, None)])
def test_predicts_is_the_same(tmp_path, rule, per_patient, in_blocks):
    found, _ = whole(per_patient=per_patient)
    expected = predicts(found, rule=rule, n_splits=2)
    assert not in_blocks
    table = predicts(on_disk(found, tmp_path), rule=rule, n_splits=2, memory=LITTLE)
    assert {(one.start, one.stop) for one in in_blocks} > {(0, 15), (15, N_NEURONS), (0, 1), (1, 2)}
    check_same(table, expected)
    assert expected.predicts.notna().sum() == N_NEURONS - (4 if per_patient else 3)  # one varies in a single patient


@pytest.mark.slow
def test_a_second_dissector_measures_in_blocks(tmp_path, in_blocks):
    found, _ = whole()
    order = np.random.default_rng(1).permutation(N_IMAGES)
    chosen = [3, 1, 2, 9]
    other = replace(
        found,
        concepts=ConceptSet.from_list([NAMES[i] for i in chosen]),
        image_concept_sims=found.image_concept_sims[order][:, chosen] + np.float32(0.1),
        probe_table=found.probe_table.iloc[order],
    )
    expected = predicts(found, rule=RULE, dissector=other, n_splits=2)
    mapped = on_disk(found, tmp_path)
    check_same(predicts(mapped, rule=RULE, dissector=other, n_splits=2, memory=LITTLE), expected)
    labels = found.labels().head(9)
    given = predicts(mapped, labels=labels, n_splits=1, memory=LITTLE)
    check_same(given, predicts(found, labels=labels, n_splits=1))
    assert in_blocks


@pytest.mark.slow
def test_a_few_patients(tmp_path, in_blocks):
    """A half of a single patient has no second part to choose a penalty on."""
    found, _ = whole(per_patient=N_IMAGES // 2)
    expected = predicts(found, rule=RULE, n_splits=1)
    check_same(predicts(on_disk(found, tmp_path), rule=RULE, n_splits=1, memory=LITTLE), expected)
    assert in_blocks


@pytest.mark.slow
def test_the_truth_is_the_same(tmp_path):
    found, shown = whole()
    presence = pd.DataFrame(shown, columns=NAMES, index=found.probe_table.index).iloc[:, 1:]  # one concept is not known
    expected = held_out_auc(found, rules=[RULE, "published"], presence=presence, n_splits=2)
    found_again = held_out_auc(
        on_disk(found, tmp_path), rules=[RULE, "published"], presence=presence, n_splits=2, memory=LITTLE
    )
    pd.testing.assert_frame_equal(found_again, expected, rtol=0, atol=1e-6)


def test_top_k_beyond_a_half_is_refused_in_blocks_too(tmp_path):
    found = on_disk(whole()[0], tmp_path)
    found.settings["top_k"] = N_IMAGES // 2 + 1
    with pytest.raises(ValueError, match="top_k=1001 exceeds the 1000 probe images; lower top_k"):
        predicts(found, rule="published", n_splits=1, memory=LITTLE)


def test_without_embeddings_nothing_can_be_read_in_blocks(tmp_path, monkeypatch):
    found = replace(on_disk(whole()[0], tmp_path), image_embeddings=None, text_embeddings=None)
    monkeypatch.setattr("mdissect.labels.free_memory", lambda: 10)
    with pytest.raises(ValueError, match="a comparison of halves of the patients reads all activations and similarities"):
        predicts(found, memory=LITTLE)
