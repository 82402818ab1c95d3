"""The labels dissector: images are their labels, texts the labels they name."""

import re

import numpy as np
import pandas as pd
import pytest
import torch

from mdissect.models import LabelDissector, load_dissector
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
        ("dense", "dense", [1, 0, 2 / 3, 1]),
        ("birads", "BIRADS 1", [0, 1, 1, 0]),
        ("birads", "birads=4", [1, 0, 0, 0]),
        ("birads", "2", [0, 0, 0, 1]),
        ("tags", "b", [0.5**0.5, 0, 1, 0]),
        (["findings", "implant"], "mass", [3**-0.5, 0, 1, 0]),
    ],
)
@pytest.mark.filterwarnings("ignore:column 'dense' is empty")
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
    with pytest.raises(TypeError, match=r"dissector 'labels' \(probe, column, missing, categories\): missing: probe"):
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


def oracle_of(values, column="BIRADS", **options):
    table = pd.DataFrame({column: pd.Series(values, dtype=object)})
    table.index = [f"i{number}" for number in table.index]
    probe = Probe.from_arrays(np.zeros((len(table), 2, 2), np.uint8), list(table.index), table, "toy")
    return load_dissector("labels", probe=probe, column=column, **options)


UNKNOWN = [None, np.nan, pd.NA, pd.NaT, "", "  "]


@pytest.mark.parametrize(
    ("values", "categories", "labels"),
    [
        ([0, 1, None], False, ["BIRADS"]),
        ([0, 1, None], True, ["0", "1"]),
        ([0, 1, None], "BIRADS", ["0", "1"]),
        ([0, 1, 2], False, ["0", "1", "2"]),
        ([0.0, 1.0, 2.0], ["BIRADS"], ["0", "1", "2"]),
        ([0, 0, None], True, ["0"]),
        ([1, 1], True, ["1"]),
        (["1.0", "0.0", 1], True, ["0", "1"]),
        (["1.0", "0.0"], False, ["BIRADS"]),
        ([True, False], True, ["False", "True"]),
        ([np.float32(3), np.int64(4), "5.0"], False, ["3", "4", "5"]),
        ([-1, 0, 1], False, ["-1", "0", "1"]),
        (["A", "A-", "A+"], False, ["A", "A+", "A-"]),
        (["-", "="], False, ["-", "="]),
        (["4.5", 4, "4,5"], False, ["4", "4,5", "4.5"]),
        (["0; 1", "1"], False, ["0", "1"]),
        ([["a", "b"], np.array(["b"]), {"c"}, "a;c"], False, ["a", "b", "c"]),
        (["mass;", ";", " mass ; "], False, ["mass"]),
    ],
)
@pytest.mark.filterwarnings("ignore:column")
def test_categories_do_not_hang_on_what_a_subset_holds(values, categories, labels):
    oracle = oracle_of(values, categories=categories)
    assert oracle.labels == labels
    assert oracle.embed_texts([f"BIRADS={label}" if label != "BIRADS" else label for label in labels]).argmax(
        1
    ).tolist() == list(range(len(labels)))


@pytest.mark.parametrize("empty", UNKNOWN, ids=repr)
def test_an_unknown_flag_is_neither_yes_nor_no(empty):
    with pytest.warns(UserWarning, match="column 'BIRADS' is empty for 1 of 5 images"):
        oracle = oracle_of([1, 0, empty, 0, 0])
    sims = product(oracle, ["i0", "i1", "i2", "i3", "i4"], ["BIRADS"])[:, 0]
    torch.testing.assert_close(sims, torch.tensor([1, 0, 0.25, 0, 0]))
    torch.testing.assert_close(oracle.encode_ids(["i2"]).norm(dim=1), torch.ones(1))
    assert oracle.unknown == {"BIRADS": ["i2"]}
    assert oracle.known == ["i0", "i1", "i3", "i4"]


def test_what_is_known_is_embedded_as_if_nothing_were_unknown():
    with pytest.warns(UserWarning, match="is empty"):
        oracle = oracle_of([1, 0, None, 0])
    assert torch.equal(oracle.encode_ids(["i0", "i1", "i3"]), oracle_of([1, 0, 0, 0]).encode_ids(["i0", "i1", "i3"]))


@pytest.mark.parametrize(
    ("values", "options", "note"),
    [
        ([0, 1], {}, r"column 'BIRADS' holds 0 and 1 alone: .*\(categories='BIRADS' makes a label of each value\)"),
        ([True, False], {}, "column 'BIRADS' holds false and true alone: taken as one label, which an image has or not$"),
        ([0, 1, None], {"categories": True}, "column 'BIRADS': 2 labels; 1 of 3 images without one"),
        (["BI-RADS_1", "bi rads 1", "x"], {}, "one label in several spellings: 'BI-RADS_1' = 'bi rads 1'"),
        (["a", "A", "A", "b"], {}, "'A' = 'a'"),
        (["v 1.0", "v 1"], {}, "'v 1' = 'v 1.0'"),
        (["x", "x"], {}, "every image has 'x': no contrast"),
        ([1, 1], {}, "every image has 'BIRADS': no contrast"),
        (["a; b", "b"], {}, "every image has 'b'"),
    ],
)
def test_notes_say_how_a_column_was_taken(values, options, note):
    assert any(re.search(note, one) for one in oracle_of(values, **options).notes)


@pytest.mark.parametrize("values", [[f"p{i}" for i in range(12)], [i + 0.25 for i in range(10)], [*range(20), 3]])
def test_ids_and_measurements_are_warned_of(values):
    with pytest.warns(UserWarning, match=r"column 'BIRADS' has \d+ labels for \d+ images, as ids and measurements have"):
        oracle_of(values)


def test_spellings_of_one_label_share_an_axis():
    oracle = oracle_of(["BI-RADS_1", "bi rads 1", "x"])
    assert product(oracle, ["i0", "i1", "i2"], ["BI-RADS 1", "bi_rads-1"]).tolist() == [[1, 1], [1, 1], [0, 0]]
    assert oracle.alike(["BI-RADS 1", "x", "bi rads 1", "unheard of"]) == [("BI-RADS 1", "bi rads 1")]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"categories": "x"}, ValueError, "categories='x' is not one of 'class'"),
        ({"categories": 3}, TypeError, "categories=3 must be a"),
        ({"column": 3}, TypeError, "column=3 must be a"),
        ({"column": []}, ValueError, r"column=\[\] must be a list of str, at least one"),
        ({"probe": "phantom"}, TypeError, "probe='phantom' must be a"),
    ],
)
def test_bad_options(probe, options, error, message):
    with pytest.raises(error, match=message):
        load_dissector("labels", **{"probe": probe, "column": "class"} | options)


def test_two_columns_of_one_name():
    table = pd.DataFrame([["a", 1, 2]], columns=["class", "twice", "twice"], index=["i0"])
    assert LabelDissector(table, ["class"]).labels == ["a"]
    with pytest.raises(ValueError, match="the probe's table has 2 columns 'twice'; rename them"):
        LabelDissector(table, ["twice"])


@pytest.mark.parametrize(
    ("texts", "error", "message"),
    [
        ([""], ValueError, "name no label"),
        (["  "], ValueError, "name no label"),
        ([5], TypeError, "texts must be str, found 5"),
    ],
)
def test_texts_that_are_none(texts, error, message):
    with pytest.raises(error, match=message):
        oracle_of(["a", "b"]).embed_texts(texts)
    assert oracle_of(["a", "b"]).embed_texts("a").shape == (1, 3)
