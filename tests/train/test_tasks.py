"""Labels of a probe, their split by patient, and the settings of a fine-tuning."""

import numpy as np
import pandas as pd
import pytest

from mdissect.probes import Probe, load_probe
from mdissect.train import Augment, Recipe, Running
from mdissect.train.splits import split_labels
from mdissect.train.tasks import read_labels, task_of

FAST = Recipe(validation_fraction=0.25, test_fraction=0.25)


def probe_of(**columns) -> Probe:
    n = len(next(iter(columns.values())))
    return Probe.from_arrays(np.zeros((n, 2, 2), np.uint8), table=pd.DataFrame(columns), name="toy")


def classes_of(probe: Probe, task: str, **options) -> list[str]:
    labels = read_labels(probe, task, **options)
    return [labels.task.classes[c] for c in labels.y]


@pytest.mark.parametrize(
    ("task", "column", "cells", "expected"),
    [
        ("density", "density", ["A", "DENSITY D", 2, "c"], ["A", "D", "B", "C"]),
        ("birads", "birads", [1, 5.0, "BI-RADS 3", "4a"], ["1", "5", "3", "4"]),
        ("mass", "mass", [True, False, 1, "no"], ["mass", "no mass", "mass", "no mass"]),
        ("mass", "findings", ["mass; asymmetry", "", "lymph node", "mass"], ["mass", "no mass", "no mass", "mass"]),
        (
            "calcification",
            "Suspicious_Calcification",
            [0, 1, 0, 0],
            ["no suspicious calcification", "suspicious calcification", *["no suspicious calcification"] * 2],
        ),
    ],
)
def test_the_four_tasks(task, column, cells, expected):
    assert classes_of(probe_of(**{column: cells}), task) == expected


def test_tasks_of_phantoms():
    probe = load_probe("phantom", n_images=200, seed=5, cache=False)
    for task, column in (("mass", "mass"), ("calcification", "calcification_suspicious")):
        labels = read_labels(probe, task)
        assert labels.column == column
        np.testing.assert_array_equal(labels.y.astype(bool), probe.table[column])
    assert classes_of(probe, "density") == probe.table["density"].tolist()
    assert classes_of(probe, "birads") == probe.table["birads"].astype(str).tolist()
    assert read_labels(probe, "mass").patients.tolist() == probe.patients


def test_any_column_is_a_task():
    probe = probe_of(view=["MLO", "CC", "CC", "MLO"], clip=["yes", "no", "no", "yes"], age=[70, 9, 50, 9], mass=[0, 0, 1, 1])
    view = read_labels(probe, "view")
    assert (view.task.classes, view.y.tolist(), view.task.n_outputs) == (("CC", "MLO"), [1, 0, 0, 1], 1)
    assert classes_of(probe, "clip") == ["yes", "no", "no", "yes"]
    age = read_labels(probe, "age")
    assert (age.task.classes, age.task.n_outputs) == (("9", "50", "70"), 3)
    assert classes_of(probe, "column:mass") == ["no", "no", "yes", "yes"]


def test_missing_labels_are_dropped_and_counted():
    probe = probe_of(birads=[1, np.nan, 4, 0, 6, 2])
    labels = read_labels(probe, "birads")
    assert labels.positions.tolist() == [0, 2, 5]
    assert labels.y.tolist() == [0, 3, 1]
    assert labels.n_missing == 3
    assert labels.counts() == {"1": 1, "2": 1, "3": 0, "4": 1, "5": 0}
    with pytest.raises(ValueError, match=r"3 of 6 .* have no label in column 'birads' \(3 images: toy-000001, toy-000003"):
        read_labels(probe, "birads", missing="error")
    findings = read_labels(probe_of(findings=["mass", None, ""]), "mass")
    assert (findings.y.tolist(), findings.n_missing) == ([1, 0], 1)


def test_labels_that_nothing_can_be_learnt_from():
    with pytest.raises(ValueError, match=r"column 'mass' of probe 'toy' has one class only: no mass \(3 images\)"):
        read_labels(probe_of(mass=[False] * 3), "mass")
    with pytest.raises(ValueError, match="column 'density' of probe 'toy' has no label at all"):
        read_labels(probe_of(density=["", None]), "density")
    with pytest.raises(ValueError, match="image toy-000001, column 'density': 'E' is not a density"):
        read_labels(probe_of(density=["A", "E"]), "density")
    with pytest.raises(ValueError, match="column 'mass': 'spiculated' is not yes or no"):
        read_labels(probe_of(mass=["yes", "spiculated"]), "mass")
    with pytest.raises(ValueError, match=r"no task 'mas': tasks are density, .*or a column of probe 'toy' \(mass\)"):
        read_labels(probe_of(mass=[0, 1]), "mas")
    with pytest.raises(ValueError, match=r"needs one of the columns mass, findings, Mass; probe 'toy' has view"):
        read_labels(probe_of(view=["CC", "MLO"]), "mass")
    with pytest.raises(ValueError, match=r"has 150 different values, such as 0\.5, 1\.5, 2\.5: no classes"):
        read_labels(probe_of(score=np.arange(150) + 0.5), "score")


def labelled(n_patients: int = 40, **columns) -> tuple:
    """A probe with four images a patient, every third patient with a mass; and its labels."""
    patients = np.repeat([f"P{i}" for i in range(n_patients)], 4)
    mass = np.repeat(np.arange(n_patients) % 3 == 0, 4)
    probe = probe_of(patient=patients, mass=mass, **columns)
    return probe, read_labels(probe, "mass")


def test_a_split_by_patient():
    probe, labels = labelled()
    split = split_labels(probe, labels, FAST)
    parts = [split.training, split.validation, split.test]
    assert sorted(np.concatenate(parts).tolist()) == list(range(160))
    patients = [set(labels.patients[part]) for part in parts]
    assert [len(some) for some in patients] == [22, 8, 10]
    assert not patients[0] & patients[1] | patients[0] & patients[2] | patients[1] & patients[2]
    assert all(min(labels.counts(part).values()) > 0 for part in parts)
    again, other = split_labels(probe, labels, FAST), split_labels(probe, labels, FAST.changed(seed=5))
    np.testing.assert_array_equal(again.test, split.test)
    assert other.test.tolist() != split.test.tolist()
    assert len(split_labels(probe, labels, FAST.changed(test_fraction=0.0)).test) == 0


def test_a_given_split_is_kept_to():
    given = ["training"] * 100 + ["test"] * 60
    probe, labels = labelled(split=given)
    split = split_labels(probe, labels, FAST)
    assert sorted([*split.training, *split.validation]) == list(range(100))
    assert split.test.tolist() == list(range(100, 160))
    assert not set(labels.patients[split.training]) & set(labels.patients[split.validation])
    three = ["train"] * 80 + ["val"] * 40 + ["Test"] * 40
    probe, labels = labelled(split=three)
    assert split_labels(probe, labels, FAST).validation.tolist() == list(range(80, 120))
    probe, labels = labelled(split=[None] * 160)  # as where only the other of two joined probes has a split
    assert len(split_labels(probe, labels, FAST).test)


def test_splits_that_cannot_be():
    probe, labels = labelled(split=["training"] * 98 + ["test"] * 62)
    with pytest.raises(ValueError, match=r"puts images of one patient into two parts \(1 patient: P24\)"):
        split_labels(probe, labels, FAST)
    probe, labels = labelled(split=["training"] * 100 + ["later"] * 60)
    with pytest.raises(ValueError, match="image toy-000100, column 'split': 'later' is not one of training, train, "):
        split_labels(probe, labels, FAST)
    probe, labels = labelled(split=["test"] * 160)
    with pytest.raises(ValueError, match="0 patient with labels cannot be split"):
        split_labels(probe, labels, FAST)
    table = {"patient": ["P0"] * 4 + [f"P{i}" for i in range(1, 9)], "mass": [1] * 4 + [0] * 8}
    with pytest.raises(ValueError, match=r"every class of mass in both parts \(patients of each class: no mass: 8, mass: 1\)"):
        split_labels(probe := probe_of(**table), read_labels(probe, "mass"), FAST)


def test_settings_of_a_recipe():
    recipe = Recipe().changed(epochs=3, shear=0.0, flips="vertical", seed=4)
    assert (recipe.epochs, recipe.augment.shear, recipe.augment.flips, recipe.seed) == (3, 0.0, ("vertical",), 4)
    assert recipe.augment.degrees == 20
    assert Recipe().changed(augment=False).augment == Augment.off()
    assert Recipe.linear_probe(seed=2).changed(epochs=5) == Recipe.linear_probe(seed=2, epochs=5)
    with pytest.raises(ValueError, match=r"no setting epoch; there are balance, batch_size, degrees, .*epochs"):
        Recipe().changed(epoch=3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 0}, "epochs=0 must be a whole number, 1 or more"),
        ({"batch_size": 2.5}, "batch_size=2.5 must be a whole number"),
        ({"patience": True}, "patience=True must be a whole number, 0 or more"),
        ({"learning_rate": "1e-3"}, "learning_rate='1e-3' must be a number above 0"),
        ({"validation_fraction": 1.5}, "validation_fraction=1.5 must be a number at least 0.01 and at most 0.9"),
        ({"balance": "some"}, "balance='some' is not one of 'binary', 'all', 'none'"),
        ({"scale": (1.2, 0.8)}, r"scale=\(1.2, 0.8\) must be two numbers, the least and the greatest"),
        ({"scale": 1.0}, "scale=1.0 must be two numbers"),
        ({"flips": ("left",)}, "'left' is not one of 'horizontal', 'vertical'"),
        ({"elastic_sigma": 0}, "elastic_sigma=0 must be a number above 0"),
    ],
)
def test_values_that_a_setting_cannot_have(settings, message):
    with pytest.raises(ValueError, match=message):
        Recipe().changed(**settings)


def test_how_it_runs():
    with pytest.raises(ValueError, match="save_every=0 must be a whole number, 1 or more"):
        Running(save_every=0)
    with pytest.raises(ValueError, match="workers=-1 must be a whole number, 0 or more"):
        Running(workers=-1)


@pytest.mark.parametrize(
    ("classes", "column", "cells", "found"),
    [
        (("no mass", "mass"), "Mass", ["1", "0", "yes", "No Mass", "mass", "", True], [1, 0, 1, 0, 1, 1]),
        (("benign", "malignant"), "pathology", ["MALIGNANT", "benign", "Malignant"], [1, 0, 1]),
        (("A", "B", "C", "D"), "breast_density", ["DENSITY C", "b", "4", ""], [2, 1, 3]),
        (("1", "2", "3", "4", "5"), "assessment", ["BI-RADS 4", "5", "0", 1.0], [3, 4, 0]),
        (("0", "1", "2"), "grade", [2.0, "0", 1], [2, 0, 1]),
        (("no mass", "mass"), "findings", ["mass; asymmetry", "", "asymmetry"], [1, 0, 0]),
        (("no asymmetry", "Asymmetry"), "findings", ["mass; asymmetry", "", "mass"], [1, 0, 0]),
        (("a", "A"), "x", ["a", "A", "A"], [0, 1, 1]),
    ],
)
def test_truth_for_given_classes(classes, column, cells, found):
    labels = read_labels(probe_of(**{column: pd.Series(cells, dtype=object)}), task_of(classes, column))
    assert labels.y.tolist() == found


@pytest.mark.parametrize(
    ("classes", "cell", "message"),
    [
        (("no mass", "mass"), "maybe", "'maybe' is not one of the classes no mass, mass, or yes or no"),
        (("a", "b", "c"), "1", "'1' is not one of the classes a, b, c"),
        (("A", "B", "C", "D"), "E", "'E' is not a density"),
    ],
)
def test_truth_that_is_none_of_the_classes(classes, cell, message):
    with pytest.raises(ValueError, match=message):
        read_labels(probe_of(x=[classes[0], cell]), task_of(classes, "x"))
