"""Parts of the training patients: nested, by patient, with every class; the published divisions."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from evaluated import labelled, planted_probe
from hypothesis import given
from hypothesis import strategies as st

from mdissect.evaluate import EvaluationOptions, nested_subsets
from mdissect.evaluate.subsets import divided, positions_of_test, published_split
from mdissect.train.tasks import read_labels

pytestmark = pytest.mark.slow

SHARES = (0.1, 0.5, 1.0)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 12)), min_size=1, max_size=60), st.integers(0, 50))
def test_sets_are_nested_by_patient_and_hold_every_class(images, seed):
    y, patients = (np.array(one) for one in zip(*images, strict=True))
    sets = nested_subsets(y, patients, SHARES, seed)
    n_patients = len(set(patients))
    assert sets[-1].tolist() == list(range(len(y)))
    for smaller, larger in pairwise(sets):
        assert set(smaller) <= set(larger)
    for share, rows in zip(SHARES, sets, strict=True):
        chosen = set(patients[rows])
        assert np.isin(patients, list(chosen)).sum() == len(rows)  # all images of a patient, or none
        assert set(y[rows]) == set(y)
        wanted = int(np.ceil(share * n_patients - 1e-9))
        assert len(chosen) == wanted or wanted < len(chosen) <= len(set(y))


def test_classes_keep_their_shares():
    patients = np.arange(1000)
    y = (patients % 10 == 0).astype(int)
    for seed in range(10):
        tenth, half, whole = nested_subsets(y, patients, SHARES, seed)
        assert abs(y[tenth].sum() - 10) <= 1
        assert abs(y[half].sum() - 50) <= 1
        assert y[whole].sum() == 100


def test_seeds_draw_other_patients_and_the_same_again():
    patients, y = np.arange(200) // 4, np.arange(200) % 2
    first, again, other = (nested_subsets(y, patients, (0.2,), seed)[0].tolist() for seed in (0, 0, 1))
    assert first == again != other


def test_the_rare_class_is_in_the_smallest_set():
    y = np.zeros(400, dtype=int)
    y[-1] = 1
    for seed in range(8):
        assert y[nested_subsets(y, np.arange(400) // 4, (0.01,), seed)[0]].sum() == 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (([], [], SHARES), "y is empty"),
        (([0, 1], [0], SHARES), "y"),
        (([0, 1], [0, 1], ()), "fractions=[] must hold one share"),
        (([0, 1], [0, 1], (0.0,)), "fractions[0]=0.0 must be a number at least 0.001 and at most 1"),
        (([0, 1], [0, 1], (0.5, 2)), "fractions[1]=2 must be a number"),
        (([0, 1], [0, 1], ("half",)), "fractions[0]='half' must be a number"),
        (([0, 1], [0, 1], (float("nan"),)), "fractions[0]=nan must be a number"),
        (([0, 1], [0, 1], (0.5,), -1), "seed=-1 must be"),
    ],
)
def test_wrong_inputs_are_one_error(given, message):
    y, patients, *rest = given
    with pytest.raises((TypeError, ValueError)) as caught:
        nested_subsets(np.array(y, dtype=int), np.array(patients), *rest)
    assert message in str(caught.value)


def test_rsna_is_divided_by_its_folds():
    fold = np.array([0, 1, 2, 3] * 6, dtype=float)
    fold[-1] = np.nan
    probe = planted_probe(np.zeros((24, 4)), "rsna", patient=[f"p{i}" for i in range(24)], fold=fold, split="train")
    part, notes = published_split(probe)
    assert part.table.split.tolist() == ["test", "training", "training"] * 6
    assert notes == ["fold 0 is the test, folds 1 and 2 the training images, as Mammo-CLIP divides them; 6 images of other "
                     "folds are not used"]  # fmt: skip
    assert probe.table.split.tolist() == ["train"] * 24  # the probe itself is as it was
    with pytest.raises(ValueError, match="no image of the folds 0, 1 and 2"):
        published_split(probe.subset([3, 7]))
    other = planted_probe(np.zeros((4, 4)), fold=[0, 1, 2, 3])
    assert published_split(other) == (other, [])


def test_texts_are_compared_with_the_test_images():
    probe = planted_probe(np.zeros((8, 4)), split=["training"] * 4 + ["Test"] * 2 + ["test "] * 2)
    assert positions_of_test(probe).tolist() == [4, 5, 6, 7]
    assert positions_of_test(planted_probe(np.zeros((4, 4)))).tolist() == [0, 1, 2, 3]
    assert positions_of_test(planted_probe(np.zeros((4, 4)), split="training")).tolist() == [0, 1, 2, 3]


def parts(probe, **options):
    return divided(probe, read_labels(probe, "seen"), EvaluationOptions(parts="linear probe", **options))


def test_without_a_split_patients_are_divided():
    probe = labelled(80)
    split, patients = parts(probe), np.array(probe.patients)
    together = [patients[rows] for rows in (split.training, split.validation, split.test)]
    assert sum(map(len, together)) == 80
    assert all(not set(a) & set(b) for a, b in ((together[0], together[1]), (together[0], together[2]), together[1:]))


@pytest.mark.parametrize(
    ("split", "message"),
    [
        (["test"] * 80, "has no training images (it has test): classifiers need both parts; load the probe with split='all'"),
        (["training"] * 80, "has no test images (it has training)"),
        (["training"] * 78 + ["test"] * 2, "puts images of one patient into two parts"),
        (["training"] * 76 + ["later"] * 4, "has no test images (it has later, training)"),
    ],
)
def test_parts_that_are_missing_are_named(split, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        parts(labelled(80, split=split))
    assert message in str(caught.value)


def test_a_test_of_one_class_is_an_error():
    probe = labelled(80, split=["training"] * 76 + ["test"] * 4)
    probe.table["seen"] = pd.Series(np.where(np.arange(80) < 76, np.arange(80) % 4 == 0, False), index=probe.ids)
    with pytest.raises(ValueError, match="the test part of probe 'planted' has 4 images of seen with one class alone"):
        parts(probe)
