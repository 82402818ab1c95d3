"""Images joined to breasts and patients, against a loop over their groups."""

import numpy as np
import pytest
from predicted import breasts

from mdissect.predictions.levels import identity_of, levels_of, read_truth

pytestmark = pytest.mark.slow


def shuffled(seed: int, n_images: int = 60):
    """A probe whose images are of 12 patients in no order, some without a patient or a side."""
    rng = np.random.default_rng(seed)
    patient = np.array([f"P{i}" for i in rng.integers(0, 12, n_images)], dtype=object)
    patient[rng.random(n_images) < 0.1] = None
    side = rng.choice(["L", "R", "left", "RIGHT", ""], n_images)
    return breasts(
        n_images, patient=patient, laterality=side, row=rng.integers(0, 3, n_images), first=rng.random(n_images) < 0.4
    )


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("n_classes", [2, 3])
def test_groups_are_those_of_a_loop(seed, n_classes):
    probe = shuffled(seed)
    probability = np.random.default_rng(seed).dirichlet(np.ones(n_classes), len(probe))
    classes, column = (("no", "yes"), "first") if n_classes == 2 else (("0", "1", "2"), "row")
    labels, who = read_truth(probe, classes, column), identity_of(probe)[0]
    levels, notes = levels_of(probe)
    assert [level.name for level in levels] == ["breast", "patient"]
    assert len(notes) == 2
    for level in levels:
        keys = ["patient", "laterality"] if level.name == "breast" else ["patient"]
        known = (who[keys] != "").all(axis=1).to_numpy()
        truths, means, most, differing = [], level.joined(probability, "mean"), level.joined(probability, "max"), 0
        for number, group in enumerate(level.groups[keys].itertuples(index=False)):
            rows = np.flatnonzero(known & (who[keys] == list(group)).all(axis=1).to_numpy())
            assert level.sizes[number] == len(rows) > 0
            np.testing.assert_allclose(means[number], probability[rows].mean(axis=0))
            largest = probability[rows].max(axis=0)
            np.testing.assert_allclose(most[number], [1 - largest[1], largest[1]] if n_classes == 2 else largest)
            y = {labels.y[i] for i in rows}
            if n_classes == 2 or len(y) == 1:
                truths.append((number, max(y)))
            else:
                differing += 1
        groups, y, left_out = level.truth(labels)
        assert list(zip(groups.tolist(), y.tolist(), strict=True)) == truths
        assert left_out == differing
        assert level.sizes.sum() == known.sum()


def test_groups_stand_in_the_order_of_their_first_images():
    breast, patient = levels_of(breasts(12).subset([8, 0, 4, 2, 10]))[0]
    assert patient.groups.patient.tolist() == ["DOE-002", "DOE-000", "DOE-001"]
    assert breast.groups.values.tolist() == [
        ["DOE-002", "L"],
        ["DOE-000", "L"],
        ["DOE-001", "L"],
        ["DOE-000", "R"],
        ["DOE-002", "R"],
    ]


def test_truth_by_the_name_of_a_task():
    probe = breasts(findings=["mass; asymmetry", "", "asymmetry", "mass"] * 10)
    assert read_truth(probe, ("no mass", "mass"), "mass").y.tolist() == [1, 0, 0, 1] * 10
    assert read_truth(probe, ("0", "1"), "mass").column == "findings"


def test_a_class_that_no_image_has_has_its_column_all_the_same():
    labels = read_truth(breasts(row=[0, 2] * 20), ("0", "1", "2"), "row")
    assert set(labels.y) == {0, 2}
