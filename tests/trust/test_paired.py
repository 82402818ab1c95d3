"""The same channel before and after further training."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from made_up import concept_set, dissected
from scipy.stats import spearmanr

from mdissect.concepts import ConceptSet
from mdissect.dissection import Dissection
from mdissect.trust import paired, paired_summary
from mdissect.trust.paired import OUTCOMES
from mdissect.trust.planted import plant

N_IMAGES, N_CONCEPTS, N_NEURONS, TOP_K = 240, 12, 16, 24
PLANTED = plant(
    snr=4, n_images=N_IMAGES, n_concepts=N_CONCEPTS, n_neurons=N_NEURONS, prevalence=0.15, kinds={"one concept": 1.0}
)


def dissection(activations: np.ndarray | None = None, sims: np.ndarray | None = None, **layers) -> Dissection:
    """Concepts 0 to 3 are of category 0, 4 to 7 of category 1, the rest of none; patients have three images."""
    sims = PLANTED.image_concept_sims if sims is None else sims
    layers = layers or {"deep": PLANTED.activations.numpy() if activations is None else activations}
    rows = [(f"concept {i}", f"category {i // 4}" if i < 8 else "") for i in range(N_CONCEPTS)]
    concepts = concept_set(rows, "concept", "category", domain="other")
    found, *others = (dissected(sims, values, concepts, TOP_K, per_patient=3) for values in layers.values())
    found.similarity = {name: one.similarity["deep"] for name, one in zip(layers, (found, *others), strict=True)}
    found.activations, found.settings["dissector"] = dict(layers), "toy"
    return found


def called(*concepts: int) -> pd.DataFrame:
    """Labels of four neurons of one layer, -1 for none."""
    names = ["" if i < 0 else f"concept {i}" for i in concepts]
    return pd.DataFrame({"layer": "deep", "neuron": range(len(names)), "concept": names})


@pytest.mark.parametrize("measure", ["similarity", "evidence"])
def test_nothing_changes_between_the_same(measure):
    found = dissection()
    table = paired(found, found, measure=measure)
    assert (table.outcome == "kept").all()
    np.testing.assert_allclose(table[["correlation", "label_correlation"]], 1)
    assert (table[["change", "change_of_before", "change_of_after"]] == 0).all(axis=None)
    row = paired_summary(found, found, measure=measure, n_boot=10).iloc[0]
    assert (row[["change", "low", "high", "effect", "effect_low", "effect_high"]] == 0).all()
    assert row.kept == 1
    assert row[list(OUTCOMES)].sum() == 1


def test_exchanged_channels_are_found():
    """Two neurons of different concepts change places; the others stay as they are."""
    found = dissection()
    labels = found.labels().concept
    other = int((labels != labels[3]).idxmax())
    order = np.arange(N_NEURONS)
    order[[3, other]] = order[[other, 3]]
    table = paired(found, dissection(PLANTED.activations.numpy()[:, order]))
    moved = table.neuron[table.correlation < 0.9].tolist()
    assert sorted(moved) == sorted([3, other])
    assert (table.outcome[moved] != "kept").all()
    assert (table.outcome.drop(moved) == "kept").all()
    assert (table.concept_before[3], table.concept_after[3]) == (labels[3], labels[other])
    assert (table.change_of_before[moved] < 0).all()
    assert (table.change_of_after[moved] > 0).all()
    np.testing.assert_allclose(table.strength_after[3], table.strength_before[other], rtol=1e-5)
    assert table.change.sum() == pytest.approx(0, abs=1e-4)


def test_columns_are_what_they_say():
    rng = np.random.default_rng(1)
    before, later = (
        dissection(),
        PLANTED.activations.numpy() + 2 * rng.standard_normal((N_IMAGES, N_NEURONS)).astype(np.float32),
    )
    after = dissection(later)
    table = paired(before, after)
    first, second = before.labels().concept, after.labels().concept
    pd.testing.assert_series_equal(table.concept_after, second, check_names=False)
    for k in range(N_NEURONS):
        assert table.correlation[k] == pytest.approx(spearmanr(before.activations["deep"][:, k], later[:, k])[0])
        of_before = int(first[k].split()[1])
        change = after.similarity["deep"][k, of_before] - before.similarity["deep"][k, of_before]
        assert table.change_of_before[k] == pytest.approx(change, rel=1e-4, abs=1e-5)
        pair = before.image_concept_sims[:, [of_before, int(second[k].split()[1])]]
        assert table.label_correlation[k] == pytest.approx(np.corrcoef(pair.T)[0, 1], rel=1e-4)
    np.testing.assert_allclose(table.change, after.similarity["deep"].max(1) - before.similarity["deep"].max(1), rtol=1e-5)


def test_what_becomes_of_labels():
    found = dissection(PLANTED.activations.numpy()[:, :7])
    table = paired(found, found, labels=(called(0, 0, 0, 8, 0, -1, -1), called(0, 3, 4, 9, -1, 5, -1)))
    assert table.outcome.tolist() == ["kept", "kept_category", "changed", "changed", "lost", "gained", "neither"]
    assert table.label_correlation.notna().tolist() == [True] * 4 + [False] * 3
    row = paired_summary(found, found, labels=(called(0, 0, 0, 8, 0, -1, -1), called(0, 3, 4, 9, -1, 5, -1)), n_boot=2).iloc[0]
    assert (row[list(OUTCOMES)] * 7).round().tolist() == [1, 1, 2, 1, 1, 1]


def test_calibrated_labels_are_taken():
    found = dissection()
    noise = dissection(np.random.default_rng(0).standard_normal((N_IMAGES, N_NEURONS)).astype(np.float32))
    table = paired(found, noise, labels=(found.labels(q=0.05), noise.labels(q=0.05)), measure="evidence")
    assert (table.outcome == "lost").mean() > 0.8
    assert (table.change < 0).all()


def test_weaker_neurons_have_a_negative_effect_and_its_interval_holds_it():
    noisy = PLANTED.activations.numpy() + 4 * np.random.default_rng(2).standard_normal((N_IMAGES, N_NEURONS)).astype(np.float32)
    found, weaker = dissection(), dissection(noisy)
    row = paired_summary(found, weaker, measure="evidence", n_boot=40).iloc[0]
    change = paired(found, weaker, measure="evidence").change
    assert row.change == pytest.approx(change.mean())
    assert row.effect == pytest.approx(change.mean() / change.std())
    assert row.rising == (change > 0).mean()
    assert row.low <= row.change <= row.high < 0
    assert row.effect_low <= row.effect <= row.effect_high < 0
    back = paired_summary(weaker, found, measure="evidence", n_boot=40).iloc[0]
    np.testing.assert_allclose(back[["change", "low", "high"]].astype(float), -row[["change", "high", "low"]].astype(float))


def test_rows_are_joined_by_image_id():
    found, order = dissection(), np.random.default_rng(3).permutation(N_IMAGES)
    mixed = replace(
        found,
        activations={"deep": found.activations["deep"][order]},
        image_concept_sims=found.image_concept_sims[order],
        probe_table=found.probe_table.iloc[order],
    )
    np.testing.assert_allclose(paired(found, mixed).correlation, 1)
    assert abs(paired_summary(found, mixed, n_boot=5).change[0]) < 1e-5


def test_a_neuron_that_cannot_be_named_has_no_change():
    silent = PLANTED.activations.numpy().copy()
    silent[:, 2] = 0
    found, after = dissection(), dissection(silent)
    after.similarity["deep"][2] = np.nan
    table = paired(found, after)
    assert table[["correlation", "label_correlation", "strength_after", "change"]].loc[2].isna().all()
    assert table.outcome[2] == "lost"
    row = paired_summary(found, after, n_boot=5).iloc[0]
    assert np.isfinite(row[["change", "low", "high", "effect"]].astype(float)).all()


def test_what_cannot_be_paired():
    found, a = dissection(), PLANTED.activations.numpy()
    with pytest.raises(ValueError, match=r"layer 'deep' is not the same in both, which have deep \(16 neurons\) and deep \(9"):
        paired(found, dissection(a[:, :9]))
    with pytest.raises(ValueError, match=r"layer 'extra' is not the same in both"):
        paired(found, dissection(deep=a, extra=a))
    assert len(paired(found, dissection(deep=a, extra=a), "deep")) == N_NEURONS
    with pytest.raises(ValueError, match="layer 'top' is not the same in both"):
        paired(found, found, "top")
    with pytest.raises(ValueError, match=r"dissected with top_k=24, after with 12; dissect both alike"):
        paired(found, replace(found, settings={**found.settings, "top_k": 12}))
    with pytest.raises(ValueError, match="different concepts"):
        paired(found, replace(found, concepts=ConceptSet.from_list(["a", *found.concepts.names[1:]])))
    with pytest.raises(ValueError, match=r"different images \(240 and 240 images, 0 of them the same\)"):
        paired(found, replace(found, probe_table=found.probe_table.rename(index=str.upper)))
    with pytest.raises(ValueError, match=r"other similarities to the concepts \(dissectors: toy and toy\)"):
        paired(found, dissection(sims=found.image_concept_sims[::-1].copy()))
    with pytest.raises(ValueError, match="measure='cosine' is not one of 'similarity', 'evidence'"):
        paired(found, found, measure="cosine")
    with pytest.raises(ValueError, match="labels lack 13 neurons of deep, such as 3"):
        paired(found, found, labels=(called(0, 1, 2), None))
    with pytest.raises(ValueError, match="1 labels are not in the concept set, such as concept 99"):
        paired(found, found, labels=(None, called(*range(11), 99, 1, 1, 1, 1)))
    with pytest.raises(ValueError, match="no activations"):
        paired(found, replace(found, activations={}))
