"""Tests of columns attached to labels."""

import numpy as np
import pandas as pd
import pytest
import twins

from mdissect.dissection import Dissection


@pytest.fixture
def found() -> Dissection:
    return twins.twin("M")


def table(**columns) -> pd.DataFrame:
    return pd.DataFrame({"layer": "deep", "neuron": range(6), **columns})


def of_deep(found: Dissection, column: str, top: int = 1) -> list:
    return found.labels(top=top).query("layer == 'deep'")[column].tolist()


def test_a_neurons_value_stands_beside_each_of_its_labels(found):
    labelled = found.with_columns(table(clarity=np.arange(6.0)))
    assert of_deep(labelled, "clarity") == [0, 1, 2, 3, 4, 5]
    assert of_deep(labelled, "clarity", top=2) == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert labelled.labels().query("layer == 'stem'").clarity.isna().all()
    assert list(labelled.labels().columns[-2:]) == ["note", "clarity"]


def test_a_labels_value_stands_beside_that_label_alone(found):
    concepts = found.labels().query("layer == 'deep'").concept.tolist()
    own = found.with_columns(table(concept=concepts, predicts=np.arange(6.0)))
    assert of_deep(own, "predicts") == [0, 1, 2, 3, 4, 5]
    second = found.labels(top=2).query("layer == 'deep' and rank == 1").concept.tolist()
    np.testing.assert_array_equal(of_deep(found.with_columns(table(concept=second, predicts=1.0)), "predicts"), [np.nan] * 6)


def test_columns_add_up_and_new_ones_replace_their_namesakes(found):
    both = found.with_columns(table(a=1.0)).with_columns(table(b=list("uvwxyz"))).with_columns(table(a=2.0))
    assert of_deep(both, "a") == [2.0] * 6
    assert of_deep(both, "b") == list("uvwxyz")
    assert found.columns is None


def test_what_holds_of_neurons_and_of_labels_stands_side_by_side(found):
    concepts = found.labels().query("layer == 'deep'").concept.tolist()
    both = found.with_columns(table(clarity=3.0)).with_columns(table(concept=concepts, predicts=0.5))
    assert of_deep(both, "clarity") == [3.0] * 6
    assert of_deep(both, "predicts") == [0.5] * 6


def test_attached_columns_are_saved(found, tmp_path):
    values = [0.1 + 0.2, np.nan, 1e-300, -1.0, np.pi, 0.0]
    attached = found.with_columns(table(predicts=values, sure=[True, False] * 3, words=["a", None, "b", "", "c", "NA"]))
    attached.save(tmp_path / "saved")
    pd.testing.assert_frame_equal(Dissection.load(tmp_path / "saved").labels(), attached.labels())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("predicts", "table='predicts' must be a DataFrame"),
        (pd.DataFrame({"neuron": [0], "x": [1]}), "table has no column layer"),
        (pd.DataFrame({"x": [1]}), "no column layer and no neuron"),
        (table(), "no column to attach"),
        (table(concept=""), "no column to attach"),
        (table(q=0.1), r"labels\(\) has the column 'q' already"),
        (table(similarity=0.1), r"labels\(\) has the column 'similarity' already"),
        (table(x=1).assign(layer="top"), "table has layer 'top'; the dissection has stem, deep"),
        (table(x=1).assign(neuron=range(1, 7)), "table has neuron 6 of layer 'deep', whose neurons are 0 to 5"),
        (table(x=1).assign(neuron=-1), "table has neuron -1 of layer 'deep'"),
        (table(x=1).assign(neuron=0.5), "table has neuron 0.5 of layer 'deep'"),
        (table(x=1).assign(neuron="a"), "table has neuron a of layer 'deep'"),
        (table(x=1).assign(neuron=[0, 1, 2, 3, 4, 4]), "several rows for neuron 4 of layer 'deep'"),
        (table(concept="mass", x=1).assign(neuron=[0, 1, 2, 3, 4, 4]), "several rows for neuron 4 .* and concept 'mass'"),
        (pd.concat([table(x=1), table(x=1)[["x"]]], axis=1), "table has several columns 'x'"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(found, given, message):
    with pytest.raises((TypeError, ValueError), match=message):
        found.with_columns(given)
