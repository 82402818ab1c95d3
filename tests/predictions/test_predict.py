"""A classifier's probabilities: those of its module, by image, breast and patient, in any batch, resumed, and checked."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import toys
from predicted import RowClassifier, breasts, classifier, expected
from scipy.special import expit, softmax
from sklearn.metrics import roc_auc_score
from torch import nn

from mdissect.embed import PassOptions
from mdissect.models import load_target
from mdissect.predictions import predict
from mdissect.predictions.head import CHECKED_IMAGES, NoHeadError
from mdissect.probes import Probe, load_probe
from mdissect.store import CHUNK_ROWS

pytestmark = pytest.mark.slow

MASS = ("no mass", "mass")


def of(target, probe, **options):
    return predict(target, probe, **{"options": toys.SMALL, "device": "cpu"} | options)


def probabilities(found, *names):
    return found.images[[f"probability_{name}" for name in names]].to_numpy()


def test_one_output_is_the_probability_of_the_second_class():
    target, probe = classifier(1, classes=MASS), breasts()
    found = of(target, probe)
    p = expit(expected(target, probe)[:, 0])
    np.testing.assert_allclose(probabilities(found, "no_mass", "mass"), np.stack([1 - p, p], axis=1), atol=1e-6)
    assert found.images.index.tolist() == probe.ids
    assert found.images.predicted.tolist() == [MASS[int(one)] for one in p > 0.5]
    assert set(found.images.predicted) == set(MASS)
    assert found.notes == ()


def test_several_outputs_are_classes_that_exclude_each_other():
    target, probe = classifier(3), breasts()
    found = of(target, probe)
    np.testing.assert_allclose(probabilities(found, "0", "1", "2"), softmax(expected(target, probe), axis=1), atol=1e-6)
    assert "the target does not name its classes" in found.notes[0]
    named = of(target, probe, classes=["a", "b", "c"])
    np.testing.assert_array_equal(probabilities(named, "a", "b", "c"), probabilities(found, "0", "1", "2"))
    assert named.notes == ()


@pytest.mark.parametrize("network", [toys.TinyCNN, toys.TinyViT, toys.TinyMLP])
@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_the_same_image_gives_the_same_alone_and_in_any_batch(network, batch_size):
    target, probe = toys.toy_target(network, ("head",) if network is not toys.TinyMLP else ("second",)), toys.toy_probe(150)
    found = of(target, probe, options=PassOptions(batch_size, 0, False))
    names = map(str, range(expected(target, probe.subset([0])).shape[1]))
    np.testing.assert_allclose(probabilities(found, *names), softmax(expected(target, probe), axis=1), atol=1e-6)


def test_the_order_is_that_of_the_probes_ids():
    target, probe = classifier(2), breasts()
    turned = of(target, probe.subset(probe.ids[::-1]))
    assert turned.images.index.tolist() == probe.ids[::-1]
    straight = of(target, probe)
    np.testing.assert_array_equal(turned.images.probability_1[::-1], straight.images.probability_1)


def test_worker_processes_give_the_same():
    target, probe = classifier(2), breasts(20)
    several = of(target, probe, options=PassOptions(batch_size=3, workers=2, progress=False))
    np.testing.assert_allclose(several.images.probability_1, of(target, probe).images.probability_1, atol=1e-6)


def test_breasts_and_patients_have_the_mean_and_the_maximum_of_their_images():
    target, probe = classifier(1, classes=MASS), breasts()
    found = of(target, probe)
    p = found.images.probability_mass.to_numpy().reshape(10, 2, 2)  # patients, sides, views
    assert found.breasts[["patient", "laterality", "images"]].iloc[:2].values.tolist() == [
        ["DOE-000", "L", 2],
        ["DOE-000", "R", 2],
    ]
    np.testing.assert_allclose(found.breasts.probability_mass_mean, p.mean(axis=2).ravel())
    np.testing.assert_allclose(found.breasts.probability_mass_max, p.max(axis=2).ravel())
    np.testing.assert_allclose(found.breasts.probability_no_mass_max, 1 - p.max(axis=2).ravel())
    np.testing.assert_allclose(found.patients.probability_mass_mean, p.mean(axis=(1, 2)))
    np.testing.assert_allclose(found.patients.probability_mass_max, p.max(axis=(1, 2)))
    assert found.patients.images.tolist() == [4] * 10


def test_scores_are_those_of_scikit_learn_with_intervals_over_patients():
    target, probe = classifier(1, classes=MASS), breasts(80)
    found = of(target, probe, truth="first")
    scores = found.scores.set_index(["level", "by"])
    truth, p = probe.table["first"].to_numpy(), found.images.probability_mass.to_numpy()
    assert scores.auc["image", ""] == pytest.approx(roc_auc_score(truth, p))
    by_patient = truth.reshape(-1, 4).any(axis=1)
    assert scores.auc["patient", "max"] == pytest.approx(roc_auc_score(by_patient, p.reshape(-1, 4).max(axis=1)))
    assert scores.auc["patient", "mean"] == pytest.approx(roc_auc_score(by_patient, p.reshape(-1, 4).mean(axis=1)))
    assert scores.n.tolist() == [80, 40, 40, 20, 20]
    assert (scores.patients == 20).all()
    assert (scores.auc_low <= scores.auc).all()
    assert (scores.auc <= scores.auc_high).all()


def test_of_several_classes_groups_whose_images_differ_are_not_scored():
    rows = np.repeat(np.arange(10) % 3, 4)
    rows[1] = (rows[1] + 1) % 3
    found = of(classifier(3), breasts(row=rows), truth="row")
    scores = found.scores.set_index(["level", "by"])
    assert scores.n.to_dict() == {("image", ""): 40, ("breast", "mean"): 19, ("breast", "max"): 19,
                                  ("patient", "mean"): 9, ("patient", "max"): 9}  # fmt: skip
    assert "1 breast not scored, whose images differ in their truth" in found.notes
    assert scores.macro_f1.notna().all()


def test_images_without_truth_are_not_scored():
    first = np.array(["yes", "no"] * 20, dtype=object)
    first[:3] = ""
    found = of(classifier(1, classes=MASS), breasts(first=first), truth="first")
    assert found.scores.n.iloc[0] == 37
    assert "3 of 40 images have no truth in column 'first'" in found.notes


@pytest.mark.parametrize(
    ("columns", "levels", "note"),
    [
        ({"patient": None}, (False, False), "the table names no patients: no results per breast and per patient"),
        ({"laterality": None}, (False, True), "the table has no laterality: no results per breast"),
        (
            {"laterality": ["L"] * 30 + [""] * 10},
            (True, True),
            "10 of 40 images without patient or laterality are in no breast",
        ),
        ({"laterality": ["left"] * 39 + ["both"]}, (True, True), "column 'laterality': 1 value: 'both' of no side (L or R)"),
        ({"patient": ["a"] * 20 + [None] * 20}, (True, True), "20 of 40 images without patient are in no patient"),
        ({"laterality": None, "ImageLaterality": ["R"] * 40}, (True, True), None),
    ],
)
def test_what_can_be_given_is_given_and_the_rest_said(columns, levels, note):
    found = of(classifier(2), breasts(**columns), classes=MASS, truth="first")
    assert (found.breasts is not None, found.patients is not None) == levels
    assert note is None or any(said.startswith(note) for said in found.notes), found.notes
    assert len(found.scores) == 1 + 2 * sum(levels)


def test_images_may_be_arrays():
    found = of(classifier(2), list(toys.toy_images(5)))
    assert len(found.images) == 5
    assert found.images.columns.tolist() == ["predicted", "probability_0", "probability_1"]


def test_a_network_that_ends_in_probabilities_is_refused_until_said_so():
    target, probe = classifier(3, nn.Softmax(dim=1)), breasts()
    with pytest.raises(NoHeadError, match=r"behind the last one, 'network.fc', stands end \(Softmax\); give a classifier"):
        of(target, probe)
    found = of(target, probe, outputs="probabilities")
    np.testing.assert_allclose(probabilities(found, "0", "1", "2"), softmax(expected(classifier(3), probe), axis=1), atol=1e-6)
    one = of(classifier(1, nn.Sigmoid()), probe, outputs="probabilities", classes=MASS)
    np.testing.assert_allclose(one.images.probability_mass, expit(expected(classifier(1), probe)[:, 0]), atol=1e-6)


def test_findings_that_do_not_exclude_each_other_have_a_probability_each():
    target, probe = classifier(3), breasts(80, second=np.arange(80) % 8 == 1)
    found = of(target, probe, outputs="findings", classes=["one", "other", "third"], truth={"one": "first", "other": "second"})
    np.testing.assert_allclose(probabilities(found, "one", "other", "third"), expit(expected(target, probe)), atol=1e-6)
    assert "predicted" not in found.images
    scores = found.scores.set_index(["question", "level", "by"])
    assert scores.auc["other", "image", ""] == pytest.approx(
        roc_auc_score(probe.table["second"], found.images.probability_other)
    )
    assert len(scores) == 10
    alone = of(classifier(1), probe, outputs="findings", classes=["one"], truth="first")
    assert alone.images.columns.tolist() == ["patient", "laterality", "view", "probability_one"]


def test_a_network_of_transformers_says_that_its_classes_do_not_exclude_each_other():
    target, probe = classifier(3), breasts()
    target.module.config = SimpleNamespace(problem_type="multi_label_classification")
    found = of(target, probe)
    np.testing.assert_allclose(probabilities(found, "0", "1", "2"), expit(expected(target, probe)), atol=1e-6)
    assert "the target's settings say that its classes do not exclude each other" in found.notes


class Named(nn.Module):
    """Gives its scores by name, or of another shape."""

    def __init__(self, give):
        super().__init__()
        self.network, self.give = RowClassifier(2), give

    def forward(self, x):
        return self.give(self.network(x))


def own(give):
    return load_target(Named(give), preprocess=toys.PREPROCESS, layers=["network.rows"], name="own")


def test_outputs_by_name_and_without_an_axis_are_read():
    probe = breasts()
    by_name = of(own(lambda scores: {"logits": scores, "hidden": scores * 2}), probe)
    np.testing.assert_allclose(by_name.images.probability_1, of(classifier(2), probe).images.probability_1, atol=1e-6)
    flat = of(own(lambda scores: scores[:, 0]), probe, outputs="logits")
    np.testing.assert_allclose(flat.images.probability_1, expit(expected(classifier(2), probe)[:, 0]), atol=1e-6)


NAN = float("nan")
WRONG = [
    ({"target": "demo/C3"}, "target='demo/C3' must be a Target: load_target(...) makes one"),
    ({"probe": "phantom"}, "probe='phantom' must be a Probe, a list of arrays"),
    ({"probe": 3}, "probe=3 must be a Probe"),
    ({"target": toys.toy_target()}, "target 'Planted' gives no class scores"),
    ({"target": own(lambda scores: scores.tanh())}, "stands a function that is no module"),
    ({"target": own(lambda scores: scores[:, :, None].expand(-1, -1, 3)), "outputs": "logits"}, "gives (4, 2, 3) for 4"),
    ({"target": own(lambda scores: scores[:1]), "outputs": "logits"}, "gives (1, 2) for 4 images; expected a row of scores"),
    ({"target": own(lambda scores: scores * NAN), "outputs": "logits"}, "outputs that are not finite for 4 of 4 images"),
    ({"target": own(lambda scores: None), "outputs": "logits"}, "gives None, which has no one tensor"),
    ({"outputs": "probabilities"}, "outputs='probabilities', but target 'rows' gives ["),
    ({"outputs": "logit"}, "outputs='logit' is not one of 'auto', 'logits', 'probabilities', 'findings'"),
    ({"truth": {"mass": "first"}}, "truth={'mass': 'first'} must be a str"),
    ({"target": classifier(3), "outputs": "findings", "truth": "first"}, "truth='first' is one column for 3 findings"),
    ({"target": classifier(3), "outputs": "findings", "truth": {"x": "row"}}, "truth names 'x', but the findings are 0, 1"),
    ({"outputs": "findings"}, "2 classes (no mass, mass), but target 'rows' has 1 outputs"),
    ({"classes": ["mass"]}, "1 classes (mass), but target 'rows' has one output, for which two names are expected"),
    ({"classes": ["a", "b", "c"]}, "3 classes (a, b, c), but target 'rows' has one output"),
    ({"classes": ["no mass", "No  mass"]}, "two have the same name"),
    ({"classes": []}, "classes=[] must be a list of str, at least one"),
    ({"classes": ["a", ""]}, "none of them empty"),
    ({"target": classifier(3), "classes": MASS}, "2 classes (no mass, mass), but target 'rows' has 3 outputs"),
    ({"truth": "cancer"}, "truth='cancer' is no column of probe 'breasts' (patient, laterality, view, first, row), nor one of"),
    ({"truth": "row"}, "column 'row': '2' is not one of the classes no mass, mass, or yes or no"),
    ({"truth": "density"}, "truth='density' has the classes A, B, C, D, but the predictions no mass, mass"),
    ({"truth": "mass"}, "task 'mass' needs one of the columns mass, findings, Mass; probe 'breasts' has patient"),
    ({"truth": "view"}, "'CC' is not one of the classes no mass, mass, or yes or no"),
    ({"probe": breasts(first=[True] * 40), "truth": "first"}, "has one class only: mass (40 images)"),
    ({"truth": 1}, "truth=1 must be a str"),
    ({"store": ""}, "store='' is empty"),
    ({"device": "gpu"}, "device='gpu' must be one of 'auto', 'cpu', 'cuda'"),
    ({"options": 3}, "options=3 must be a PassOptions"),
    ({"probe": [np.zeros((8, 8, 4), np.uint8)]}, "an image of shape (8, 8, 4) was given"),
    ({"probe": [np.full((8, 8), 2.0)]}, "float pixels from 2 to 2 under scale='dtype'"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "message"), WRONG, ids=[message for _, message in WRONG])
def test_wrong_inputs_are_one_error(given, message):
    arguments = {"target": classifier(1, classes=MASS), "probe": breasts()} | given
    with pytest.raises((TypeError, ValueError)) as caught:
        of(**arguments)
    assert message in str(caught.value)


def test_a_target_that_was_trained_on_is_refused():
    target = classifier(1)
    with torch.no_grad():
        target.module.fc.bias.add_(1)
    with pytest.raises(ValueError, match="the weights of target 'rows' changed since it was loaded"):
        of(target, breasts())


def test_wrong_truth_is_told_before_an_image_is_shown():
    target = classifier(1, classes=MASS)
    seen = toys.Seen(target.module)
    with pytest.raises(ValueError, match="truth='cancer'"):
        of(target, breasts(), truth="cancer")
    assert seen.images == []
    with pytest.raises(ValueError, match="truth='cancer'"):
        of(classifier(2), breasts(), truth="cancer")


def test_a_second_run_shows_the_network_the_first_images_alone(tmp_path):
    target, probe = classifier(3), toys.toy_probe(100)
    first = of(target, probe, store=tmp_path)
    assert isinstance(target.module, RowClassifier)
    seen = toys.Seen(target.module)
    again = of(target, probe, store=tmp_path)
    assert set(seen.images) <= set(range(CHECKED_IMAGES))  # what the network ends in
    assert again.images.equals(first.images)
    of(classifier(2), probe, store=tmp_path)  # another network has its own place
    assert of(target, probe, store=tmp_path).images.equals(first.images)


@pytest.mark.slow
def test_a_run_that_is_killed_resumes_without_a_gap_or_a_double(tmp_path):
    n_images, here = 5 * CHUNK_ROWS + 10, Path(__file__).parents[1]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(here.parent), str(here)]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(here / "predicted.py"), str(tmp_path / "store"), str(tmp_path / "log"), str(n_images)]
    process = subprocess.Popen(command, env=environment)
    while len(done := [p for p in tmp_path.glob("store/outputs-*/done/*") if p.suffix == ""]) < 2:
        assert process.poll() is None, "the process ended before it could be killed"
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    done = {int(path.name) for path in tmp_path.glob("store/outputs-*/done/*") if path.suffix == ""}
    assert 2 <= len(done) < 6
    target, probe = classifier(3), toys.toy_probe(n_images)
    seen = toys.Seen(target.module)
    found = of(target, probe, store=tmp_path / "store")
    left = [i for i in range(n_images) if i // CHUNK_ROWS not in done]
    assert seen.images[-len(left) :] == left
    assert len(seen.images) <= len(left) + 2 * CHECKED_IMAGES  # and the first, for what the network ends in
    assert found.images.index.tolist() == probe.ids
    assert found.images.equals(of(target, probe).images)


@pytest.mark.slow
def test_the_demos_classifier_of_masses_on_phantoms():
    probe = load_probe("phantom", n_images=40)
    found = predict(load_target("demo/C3"), probe, truth="mass", options=toys.SMALL)
    scores = found.scores.set_index(["level", "by"])
    assert scores.auc["image", ""] > 0.95
    assert scores.n.tolist() == [40, 20, 20, 10, 10]
    truth, p = probe.table.mass.to_numpy(), found.images.probability_mass
    assert scores.auc["image", ""] == pytest.approx(roc_auc_score(truth, p))
    assert found.images.predicted.isin(["no mass", "mass"]).all()


def test_a_network_that_fails_later_keeps_what_was_done(tmp_path):
    images = toys.toy_images(3 * CHUNK_ROWS).astype(np.float64) / 65535
    images[-1, 0, 0] = 1e300  # infinite in float32
    target, probe = classifier(3), Probe.from_arrays(images)
    with pytest.raises(ValueError, match="image 'arrays-000191' of probe 'arrays'"):
        of(target, probe, store=tmp_path)
    assert len([path for path in tmp_path.glob("outputs-*/done/*") if path.suffix == ""]) == 2
