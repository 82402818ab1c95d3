"""The labels dissector: images are their labels, texts the labels they name."""

import numpy as np
import pandas as pd
import pytest
import torch

from mdissect.models import load_dissector
from mdissect.probes import Probe


@pytest.fixture
def probe() -> Probe:
    table = pd.DataFrame(
        {
            "class": ["church", "garbage_truck", "church", None],
            "findings": ["mass; calcification", "", "mass", np.nan],
            "implant": [True, False, False, False],
            "dense": [1.0, 0.0, np.nan, 1.0],
            "birads": [4, 1, 1, 2],
            "tags": [["a", "b"], [], ["b"], None],
            "empty": ["", None, np.nan, ""],
        },
        index=["p0", "p1", "p2", "p3"],
    )
    return Probe.from_arrays(np.zeros((4, 2, 2), np.uint8), list(table.index), table, "toy")


def product(dissector, ids, texts) -> torch.Tensor:
    return dissector.encode_ids(ids) @ dissector.embed_texts(texts).T


def test_one_hot_columns(probe):
    oracle = load_dissector("labels", probe=probe, column="class")
    assert oracle.labels == ["church", "garbage_truck"]
    sims = product(oracle, ["p0", "p1", "p2", "p3"], ["Church", "garbage truck", "GARBAGE-TRUCK"])
    assert sims.tolist() == [[1, 0, 0], [0, 1, 1], [1, 0, 0], [0, 0, 0]]
    torch.testing.assert_close(oracle.encode_ids(probe.ids).norm(dim=1), torch.ones(4))
    torch.testing.assert_close(oracle.embed_texts(["church"]).norm(dim=1), torch.ones(1))
    assert not oracle.needs_pixels
    assert oracle.aligned
    assert oracle.preprocess is None


@pytest.mark.parametrize(
    ("column", "text", "expected"),
    [
        ("findings", "mass", [0.5**0.5, 0, 1, 0]),
        ("findings", "calcification", [0.5**0.5, 0, 0, 0]),
        ("implant", "implant", [1, 0, 0, 0]),
        ("dense", "dense", [1, 0, 0, 1]),
        ("birads", "BIRADS 1", [0, 1, 1, 0]),
        ("birads", "birads=4", [1, 0, 0, 0]),
        ("birads", "2", [0, 0, 0, 1]),
        ("tags", "b", [0.5**0.5, 0, 1, 0]),
        (["findings", "implant"], "mass", [3**-0.5, 0, 1, 0]),
    ],
)
def test_kinds_of_values(probe, column, text, expected):
    oracle = load_dissector("labels", probe=probe, column=column)
    torch.testing.assert_close(product(oracle, probe.ids, [text])[:, 0], torch.tensor(expected).float())


def test_ids_are_looked_up_not_counted(probe):
    oracle = load_dissector("labels", probe=probe, column="class")
    assert torch.equal(oracle.encode_ids(["p1", "p0"]), oracle.encode_ids(probe.ids)[[1, 0]])
    with pytest.raises(ValueError, match=r"2 of 3 image ids are not in the table of labels of toy.*: x, y;"):
        oracle.encode_ids(["x", "p0", "y"])


def test_a_text_that_names_no_label(probe):
    with pytest.raises(ValueError, match=r"1 of 2 concepts name no label.*'tench'; its labels: church, garbage_truck\. Use"):
        load_dissector("labels", probe=probe, column="class").embed_texts(["church", "tench"])
    zero = load_dissector("labels", probe=probe, column="class", missing="zero")
    assert zero.embed_texts(["tench"]).abs().sum() == 0
    with pytest.raises(ValueError, match="missing='drop' is not one of 'raise', 'zero'"):
        load_dissector("labels", probe=probe, column="class", missing="drop")


def test_a_label_of_two_columns_must_be_told_apart(probe):
    probe.table["other"] = ["church", "", "", ""]
    oracle = load_dissector("labels", probe=probe, column=["class", "other"])
    with pytest.raises(ValueError, match="labels of several columns are called church: write 'column=label'"):
        oracle.embed_texts(["church"])
    assert product(oracle, ["p2"], ["class=church", "other=church"]).tolist() == [[1, 0]]


def test_bad_columns(probe):
    with pytest.raises(ValueError, match=r"no column 'clas' in the probe's table; it has class, .*closest: class"):
        load_dissector("labels", probe=probe, column="clas")
    with pytest.raises(ValueError, match="no labels in column 'empty': all 4 values are empty or false"):
        load_dissector("labels", probe=probe, column="empty")
    with pytest.raises(TypeError, match=r"dissector 'labels' \(probe, column, missing\): missing: probe"):
        load_dissector("labels", column="class")
    with pytest.raises(ValueError, match="name the column with column="):
        load_dissector("labels/class", probe=probe, column="class")
    probe.table.index = ["p0", "p1", "p1", "p3"]
    with pytest.raises(ValueError, match="the table has several rows for 1 image id: p1"):
        load_dissector("labels", probe=probe, column="class")


def test_it_sees_no_pixels(probe):
    with pytest.raises(TypeError, match="sees no pixels: use encode_ids"):
        load_dissector("labels", probe=probe, column="class").embed_images(torch.zeros(1, 3, 8, 8))


def test_fingerprints_follow_the_labels(probe):
    first = load_dissector("labels", probe=probe, column="class")
    again = load_dissector("labels", probe=probe, column="class")
    assert (first.fingerprint, first.text_fingerprint) == (again.fingerprint, again.text_fingerprint)
    probe.table.loc["p3", "class"] = "church"
    changed = load_dissector("labels", probe=probe, column="class")
    assert changed.fingerprint != first.fingerprint
    assert changed.text_fingerprint == first.text_fingerprint
    others = load_dissector("labels", probe=probe, column=["class", "implant"])
    assert others.text_fingerprint != first.text_fingerprint
