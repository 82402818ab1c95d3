"""Clarity, polysemanticity and redundancy: by their literal definitions, and on neurons of known kinds."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from mdissect.concepts import ConceptSet
from mdissect.dissection import Dissection
from mdissect.trust import clarity, clarity_by_layer

TOP = 12


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def world(seed: int, n_patients: int = 40) -> Dissection:
    """Images of three kinds, 4 per patient; neurons: kind 0, kind 0 again, kind 1 or 2, noise, a constant one."""
    rng = np.random.default_rng(seed)
    n = 4 * n_patients
    kind, centres = rng.integers(0, 6, n), 5 * np.eye(6, 24)  # kinds at right angles
    embeddings = unit(centres[kind] + 0.6 * rng.standard_normal((n, 24))).astype(np.float32)
    signals = [kind == 0, kind == 0, (kind == 1) | (kind == 2), np.zeros(n), np.zeros(n)]
    neurons = 4 * np.stack(signals, axis=1) + rng.standard_normal((n, 5))
    neurons[:, 4] = 1
    table = pd.DataFrame({"patient": [f"P{i // 4}" for i in range(n)]}, index=[f"image {i}" for i in range(n)])
    parts = {"activations": {"deep": neurons.astype(np.float32)}, "image_embeddings": embeddings, "probe_table": table}
    names = ConceptSet.from_list(["mass", "clip"])
    return Dissection({"deep": np.zeros((5, 2), np.float32)}, names, {}, image_concept_sims=embeddings[:, :2], **parts)


@pytest.fixture(scope="module")
def found() -> Dissection:
    return world(0)


def test_the_values_are_those_of_the_definitions(found):
    table, embeddings = clarity(found, top=TOP, n_boot=2), found.image_embeddings.astype(float)
    means = []
    for neuron in range(4):
        own = embeddings[np.argsort(-found.activations["deep"][:, neuron], kind="stable")[:TOP]]
        pairs = (own @ own.T)[~np.eye(TOP, dtype=bool)]
        assert table.clarity[neuron] == pytest.approx(pairs.mean())
        means.append(own.mean(axis=0))
    alike = unit(np.array(means)) @ unit(np.array(means)).T - 2 * np.eye(4)
    assert table.redundancy[:4].tolist() == pytest.approx(alike.max(axis=1).tolist())
    assert table.nearest.tolist() == [*alike.argmax(axis=1), -1]
    probe = (embeddings @ embeddings.T)[~np.eye(len(embeddings), dtype=bool)].mean()
    assert table.probe_clarity.tolist() == pytest.approx([probe] * 5)


def test_the_centres_of_two_kinds_make_a_neuron_polysemantic(found):
    embeddings, activations = found.image_embeddings.astype(float), found.activations["deep"]
    order = np.argsort(-activations[:, 2], kind="stable")[:TOP]
    groups = [embeddings[order][np.isin(order, np.flatnonzero(of))] for of in kinds_of(found)]
    centres = unit(np.array([group.mean(axis=0) for group in groups]))
    assert clarity(found, top=TOP, n_boot=2).polysemanticity[2] == pytest.approx(1 - centres[0] @ centres[1], abs=0.02)


def kinds_of(found: Dissection) -> tuple[np.ndarray, np.ndarray]:
    kind = np.random.default_rng(0).integers(0, 6, len(found.image_embeddings))
    return kind == 1, kind == 2


def test_kinds_of_neurons_are_told_apart_over_seeds():
    """Of one kind: clear and redundant with its twin; of two: not clear, polysemantic; measured with twice these margins."""
    for seed in range(8):
        table = clarity(world(seed), top=TOP, n_boot=2)
        assert min(table.clarity[:2]) > max(table.clarity[2:4]) + 0.1
        assert table.polysemanticity[2] > table.polysemanticity[:2].max() + 0.15
        assert table.nearest[:2].tolist() == [1, 0]
        assert table.redundancy[0] > 0.9


def test_a_single_strange_image_is_no_second_group():
    """Nine equal images and one of another kind: 1 minus the mean cosine with the mean of all."""
    embeddings = np.zeros((30, 3), dtype=np.float32)
    embeddings[:, 2], embeddings[:10, 2], embeddings[:9, 0], embeddings[9, 1] = 1, 0, 1, 1
    neuron = np.linspace(1, 0, 30, dtype=np.float32)[:, None]
    parts = {"activations": {"deep": neuron}, "image_embeddings": embeddings, "image_concept_sims": embeddings[:, :2]}
    one = Dissection({"deep": np.zeros((1, 2))}, ConceptSet.from_list(["mass", "clip"]), {}, **parts)
    table = clarity(one, top=10, n_boot=2)
    with_mean = (9 * 0.9 + 0.1) / 10 / np.hypot(0.9, 0.1)
    assert table.polysemanticity[0] == pytest.approx(1 - with_mean)
    assert table.clarity[0] == pytest.approx(72 / 90)
    assert np.isnan(table.redundancy[0])
    assert table.nearest[0] == -1


def test_intervals_hold_their_values_and_shrink_with_patients(found):
    few, many = (clarity(world(0, n), top=TOP, n_boot=40) for n in (20, 200))
    for name in ("clarity", "polysemanticity", "redundancy"):
        assert (many[f"{name}_low"][:4] <= many[name][:4]).all()
        assert (many[name][:4] <= many[f"{name}_high"][:4]).all()
    width = [(table.clarity_high - table.clarity_low)[:4].mean() for table in (few, many)]
    assert 0 < width[1] < width[0]


def test_a_constant_neuron_has_no_values(found):
    row = clarity(found, top=TOP, n_boot=2).iloc[4]
    assert row[["clarity", "clarity_low", "polysemanticity", "redundancy_high"]].isna().all()
    assert (row.nearest, row.top_patients) == (-1, 0)


def test_a_layer_has_the_means_of_its_neurons(found):
    row, table = clarity_by_layer(found, top=TOP, n_boot=20).iloc[0], clarity(found, top=TOP, n_boot=2)
    assert row.neurons == 4
    for name in ("clarity", "polysemanticity", "redundancy"):
        assert row[name] == pytest.approx(table[name].mean())
        assert row[f"{name}_low"] < row[name] < row[f"{name}_high"]


def test_labels_show_clarity(found):
    table = clarity(found, top=TOP, n_boot=2)
    labels = found.with_columns(table[["layer", "neuron", "clarity", "nearest"]]).labels()
    assert labels.nearest.tolist() == table.nearest.tolist()


def test_top_patients_counts_the_patients_of_the_top_images(found):
    order = np.argsort(-found.activations["deep"][:, 0], kind="stable")[:TOP]
    assert clarity(found, top=TOP, n_boot=2).top_patients[0] == len(set(order // 4))


@pytest.mark.parametrize(
    ("change", "given", "message"),
    [
        ({"image_embeddings": None}, {}, "no activations or image_embeddings"),
        ({"activations": {}}, {}, "no activations or image_embeddings"),
        ({}, {"top": 161}, "top=161 exceeds the 160 probe images"),
        ({}, {"top": 2}, "top=2 must be a whole number, 3 or more"),
        ({}, {"layers": "shallow"}, "no layer shallow with activations"),
        ({}, {"n_boot": 0}, "n_boot=0 must be a whole number"),
        ({"probe_table": pd.DataFrame({"patient": ["P"] * 160})}, {}, "all 160 images are of one patient"),
    ],
)
def test_errors_say_what_to_do(found, change, given, message):
    with pytest.raises(ValueError, match=message):
        clarity(replace(found, **change), **given)
