"""Neurons held against what their labels show, the metrics of it, and classifiers of real images whose neurons have names."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, f1_score, jaccard_score, roc_auc_score

from mdissect.concepts import ConceptSet
from mdissect.dissection import Dissection
from mdissect.trust import agreement, class_accuracy, dissect_digits
from mdissect.trust.agreement import METRICS
from mdissect.trust.planted import NAMES as DIGITS
from mdissect.trust.planted import ONE, plant

pytestmark = pytest.mark.slow


def labelled() -> tuple[Dissection, pd.DataFrame, pd.DataFrame]:
    planted = plant(snr=2, n_images=300, n_concepts=6, n_neurons=8, prevalence=0.2, kinds={ONE: 1.0})
    names, ids = [f"concept {i}" for i in range(6)], [f"image {i}" for i in range(300)]
    found = Dissection(
        similarity={"deep": np.zeros((8, 6), dtype=np.float32)},
        concepts=ConceptSet.from_list(names),
        settings={},
        activations={"deep": planted.activations.numpy()},
        probe_table=pd.DataFrame(index=ids),
    )
    presence = pd.DataFrame(planted.presence, columns=names, index=ids)
    labels = pd.DataFrame({"layer": "deep", "neuron": range(8), "concept": [names[i] for i in planted.carries.argmax(axis=1)]})
    return found, labels, presence


def test_agreement_is_scikit_learns():
    found, labels, presence = labelled()
    table = agreement(found, labels, presence)
    assert table.concept.tolist() == labels.concept.tolist()
    assert (table.best_concept == table.concept).all()
    for row in table.itertuples():
        x, y = found.activations["deep"][:, row.neuron].astype(float), presence[row.concept].to_numpy()
        strongest = x >= np.sort(x)[-y.sum()]
        assert row.auc == row.best_auc == pytest.approx(roc_auc_score(y, x))
        assert row.average_precision == pytest.approx(average_precision_score(y, x))
        assert row.iou == pytest.approx(jaccard_score(y, strongest))
        assert row.f1 == pytest.approx(f1_score(y, strongest))
        assert row.pearson == pytest.approx(np.corrcoef(x, y)[0, 1])


def falls(snr: float, prevalence: float) -> pd.DataFrame:
    """Share of 150 neurons (rows: metrics) that score lower with half and with twice their concept's images."""
    rng = np.random.default_rng(1)
    shown = rng.random((2000, 150)) < prevalence
    activations = snr * shown + rng.standard_normal(shown.shape)
    hidden = shown & (rng.random(shown.shape) < 0.5)
    hidden[shown.argmax(axis=0), range(150)] = True  # none disappears
    extra = shown | (rng.random(shown.shape) < shown.mean(axis=0) / (1 - shown.mean(axis=0)))
    names = [f"concept {i}" for i in range(150)]
    labels = pd.DataFrame({"layer": "deep", "neuron": range(150), "concept": names})

    def scores(presence: np.ndarray) -> pd.DataFrame:
        table = pd.DataFrame(presence, columns=names)
        found = Dissection(
            similarity={"deep": np.zeros((150, 150), dtype=np.float32)},
            concepts=ConceptSet.from_list(names),
            settings={},
            activations={"deep": activations},
            probe_table=pd.DataFrame(index=table.index),
        )
        return agreement(found, labels, table)[list(METRICS)]

    right = scores(shown)
    return pd.DataFrame({"missing": (scores(hidden) < right).mean(), "extra": (scores(extra) < right).mean()})


def test_missing_and_extra_labels_lower_the_agreement():
    """The sanity tests of Oikarinen et al. 2025, of neurons that follow their concept clearly: AUC fails where it is rare."""
    rare, common = falls(snr=3, prevalence=0.02), falls(snr=3, prevalence=0.3)
    assert (common >= 0.95).all(axis=None)
    assert (rare.drop("auc") >= 0.9).all(axis=None)
    assert rare.extra["auc"] == 1
    assert rare.missing["auc"] < 0.85


def test_of_weak_neurons_only_pearson_passes_both():
    weak = falls(snr=1, prevalence=0.3)
    assert (weak.loc["pearson"] == 1).all()
    assert (weak.missing > 0.9).all()
    assert (weak.extra[["average_precision", "iou", "f1"]] < 0.1).all()  # chance rises with prevalence


def test_labels_of_unknown_presence_are_left_out():
    found, labels, presence = labelled()
    table = agreement(found, labels, presence[["concept 0"]])
    assert set(table.concept) <= {"concept 0"}
    assert len(agreement(found, labels, presence.assign(**{"concept 0": True})[["concept 0"]])) == 0
    found.activations = {}
    with pytest.raises(ValueError, match="the dissection has no activations"):
        agreement(found, labels, presence)


def test_outputs_of_a_classifier_of_digits_get_their_names():
    table = class_accuracy(dissect_digits(), DIGITS)
    assert table.index.tolist() == ["published", "calibrated"]
    assert (table[["named", "top_1", "top_5"]] == 1).all(axis=None)
    assert table.auc.isna().all()  # nothing wrong to tell apart


def test_the_score_tells_right_names_from_those_of_random_outputs():
    found, names = dissect_digits(n_training=100, n_random=40), DIGITS + DIGITS * 4
    table = class_accuracy(found, names)
    assert (table.top_1 < 0.5).all()
    assert (table.top_1 <= table.top_5).all()
    label = found.labels(q=0.05).concept
    assert table.top_1["calibrated"] == (label == names)[label != ""].mean()
    assert table.named["calibrated"] == (label != "").mean()
    best = found.labels()
    assert table.auc["published"] == pytest.approx(roc_auc_score(best.concept == names, best.similarity))
    assert table.auc["calibrated"] > 0.75


def test_a_neuron_that_cannot_be_named_is_not_right():
    found = dissect_digits()
    found.activations["1"] = found.activations["1"].copy()
    found.activations["1"][:, 3] = 1.0
    assert class_accuracy(found, DIGITS).named["calibrated"] == 0.9
    found.settings["similarity"] = "constant label"  # no rule that neurons can be calibrated by
    assert class_accuracy(found, DIGITS).index.tolist() == ["published"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (DIGITS[:9], "true_labels names 9 neurons, layer 1 has 10"),
        ([*DIGITS[:9], "ten"], "1 true labels are no concepts of the dissection: 'ten'"),
    ],
)
def test_true_labels_that_do_not_fit_are_named(names, message):
    with pytest.raises(ValueError, match=message):
        class_accuracy(dissect_digits(), names)
