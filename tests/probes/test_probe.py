"""Tests of probes: arrays, parts, joins, keys, and what is refused."""

import pickle
import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mdissect.probes import ImageSource, Probe, load_probe
from mdissect.probes.load import LOADERS

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 6, 4)).astype(np.uint8)


def toy(n=5, name="toy", **table):
    return Probe.from_arrays(IMAGES[:n], table=table or None, name=name)


def test_from_arrays():
    probe = toy()
    assert probe.ids == [f"toy-00000{i}" for i in range(5)]
    assert len(probe) == 5
    assert repr(probe) == "Probe('toy', 5 images)"
    np.testing.assert_array_equal(np.stack(list(probe)), IMAGES)
    np.testing.assert_array_equal(probe[-1], IMAGES[4])
    np.testing.assert_array_equal(probe[np.int64(2)], IMAGES[2])
    assert list(probe.table.columns) == []
    assert list(probe.table.index) == probe.ids
    with pytest.raises(IndexError):
        probe[5]
    with pytest.raises(TypeError):
        probe[1:3]


def test_images_are_handed_out_as_copies():
    probe = toy()
    probe[0][:] = 0
    np.testing.assert_array_equal(probe[0], IMAGES[0])


def test_a_table_is_joined_by_id_or_by_order():
    by_order = Probe.from_arrays(IMAGES[:3], ids=["a", "b", "c"], table={"class": [1, 2, 3]})
    by_id = Probe.from_arrays(IMAGES[:3], ids=["a", "b", "c"], table=pd.DataFrame({"class": [3, 1, 2]}, index=["c", "a", "b"]))
    pd.testing.assert_frame_equal(by_order.table, by_id.table)
    assert by_id.table["class"].to_dict() == {"a": 1, "b": 2, "c": 3}
    assert by_id.table.index.name == "image_id"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"ids": ["a", "b"]}, "2 ids were given for 5 images"),
        ({"ids": list("abcab")}, "2 duplicate ids: a, b; every image needs its own"),
        ({"table": {"x": [1]}}, "the table has 1 rows for 5 images"),
        ({"ids": list("abcde"), "table": pd.DataFrame({"x": 1}, index=list("abcdz"))}, "1 unknown id: z"),
        ({"ids": list("abcde"), "table": pd.DataFrame({"x": 1}, index=list("abcda"))}, "several rows for 1 id: a"),
    ],
)
def test_arrays_that_do_not_fit_together(options, text):
    with pytest.raises(ValueError, match=re.escape(text)):
        Probe.from_arrays(IMAGES, **options)


def test_no_images():
    with pytest.raises(ValueError, match="probe 'arrays' has no images"):
        Probe.from_arrays([])
    with pytest.raises(ValueError, match="no images"):
        toy().subset([])


@pytest.mark.parametrize(
    "which", [[3, 1], ["toy-000003", "toy-000001"], np.array([3, -4]), pd.Index(["toy-000003", "toy-000001"]), slice(3, 0, -2)]
)
def test_subset(which):
    part = toy(column=list("abcde")).subset(which)
    assert part.ids == ["toy-000003", "toy-000001"]
    np.testing.assert_array_equal(part[0], IMAGES[3])
    assert part.table["column"].tolist() == ["d", "b"]
    assert part.subset([1]).ids == ["toy-000001"]


def test_subset_by_mask():
    probe = toy(column=[1, 2, 3, 4, 5])
    assert probe.subset((probe.table["column"] > 3).to_numpy()).ids == ["toy-000003", "toy-000004"]
    assert probe.subset(probe.table["column"] > 3).ids == ["toy-000003", "toy-000004"]


@pytest.mark.parametrize(
    ("which", "error", "text"),
    [
        (["toy-000001", "x"], KeyError, "probe 'toy' has no image of 1 id: x"),
        ([7], IndexError, "7"),
        ([True, False], IndexError, "boolean"),
        ([0, 0], ValueError, "1 duplicate id: toy-000000"),
        ([0.5], TypeError, "float64"),
    ],
)
def test_subsets_that_cannot_be(which, error, text):
    with pytest.raises(error, match=text):
        toy().subset(which)


def test_position():
    assert toy().position("toy-000002") == 2
    with pytest.raises(KeyError, match="1 id: nobody"):
        toy().position("nobody")


def test_join_reads_from_both_and_outer_joins_the_tables():
    first, second = toy(2, x=[1, 2], both=["a", "b"]), toy(3, "other", both=["c", "d", "e"], y=[True] * 3)
    joined = first + second
    assert joined.name == "toy + other"
    assert joined.ids == first.ids + second.ids
    for image, expected in zip(joined, [*IMAGES[:2], *IMAGES[:3]], strict=True):
        np.testing.assert_array_equal(image, expected)
    assert joined.table["both"].tolist() == list("abcde")
    assert joined.table["x"].isna().tolist() == [False, False, True, True, True]
    assert joined.fingerprints() == first.fingerprints() + second.fingerprints()
    part = (joined + toy(1, "third")).subset([5, 3, 0])
    assert part.ids == ["third-000000", "other-000001", "toy-000000"]
    np.testing.assert_array_equal(part[1], IMAGES[1])


def test_join_names_duplicates():
    with pytest.raises(ValueError, match=re.escape("has 5 duplicate ids: toy-000000, toy-000001")):
        toy() + toy()
    with pytest.raises(TypeError):
        toy() + 1


def test_join_keeps_what_was_skipped_and_noted():
    source = [ImageSource()]
    first = Probe("a", ["1"], source, skipped=[("2", "broken")], notes=["one"])
    joined = first + Probe("b", ["3"], source, notes=["two"])
    assert joined.skipped == [("2", "broken")]
    assert joined.notes == ["one", "two"]
    assert repr(joined) == "Probe('a + b', 2 images, 1 skipped)"


def test_key_follows_ids_order_and_content():
    probe = toy()
    assert probe.key() == toy().key()
    assert len(probe.key()) == 64
    changed = IMAGES.copy()
    changed[4, 0, 0] ^= 1
    others = [
        toy(4),
        toy(name="other"),
        probe.subset([1, 0, 2, 3, 4]),
        Probe.from_arrays(changed, ids=probe.ids),
        Probe.from_arrays(IMAGES.astype(np.uint16), ids=probe.ids),
        Probe.from_arrays(IMAGES.reshape(5, 4, 6), ids=probe.ids),
    ]
    keys = {probe.key(), *(other.key() for other in others)}
    assert len(keys) == 1 + len(others)
    assert toy(column=[1] * 5).key() == probe.key()
    assert probe.subset(slice(None)).key() == probe.key()


def test_pickles():
    probe = pickle.loads(pickle.dumps(toy(column=list("abcde")) + toy(1, "other")))
    np.testing.assert_array_equal(probe[5], IMAGES[0])
    assert probe.table.shape == (6, 1)


def test_works_under_a_data_loader():
    from torch.utils.data import DataLoader

    batches = list(DataLoader(toy(4), batch_size=2, num_workers=1, collate_fn=np.stack))
    np.testing.assert_array_equal(np.concatenate(batches), IMAGES[:4])


def test_patients():
    assert toy(2).patients == toy(2).ids
    assert (toy(2, patient=["P1", "P1"]) + toy(1, "other")).patients == ["P1", "P1", "other-000000"]


def test_arrays_have_no_boxes():
    with pytest.raises(LookupError, match="without boxes"):
        toy().boxes(0)


def test_intensity_summary_shows_a_wrong_scale():
    bright, dark = np.full((4, 4), 255, np.uint8), np.zeros((4, 4), np.uint8)
    deep = np.full((2, 4, 4), 4095, np.uint16)
    probe = Probe.from_arrays([bright, dark]) + Probe.from_arrays(deep, name="deep")
    probe += Probe.from_arrays([np.ones((2, 2, 3))], name="float")
    summary = probe.intensity_summary()
    assert summary.index.tolist() == ["uint8", "uint16", "float64"]
    assert summary["images"].tolist() == [2, 2, 1]
    assert summary["channels"].tolist() == ["1", "1", "3"]
    assert summary["mean"].tolist() == [127.5, 4095, 1]
    assert summary["max"].tolist() == [255, 4095, 1]
    assert summary["min"].tolist() == [0, 4095, 1]
    assert summary["bits"].tolist()[:2] == [8, 12]
    assert pd.isna(summary["bits"].iloc[2])
    assert probe.intensity_summary(n=1)["images"].tolist() == [1]
    with pytest.raises(ValueError, match="n=0"):
        probe.intensity_summary(n=0)


def test_load_probe_passes_a_probe_through():
    probe = toy()
    assert load_probe(probe) is probe
    with pytest.raises(TypeError, match="options seed were given for a probe that is already loaded"):
        load_probe(probe, seed=1)


def test_load_probe_explains_itself(tmp_path):
    known = (
        r"unknown probe 'phantoms'; known: .*embed, folder, .* natural, phantom, .*vindr, or a Probe .*did you mean phantom\?"
    )
    with pytest.raises(ValueError, match=known):
        load_probe("phantoms")
    options = (
        "options of the probe 'folder' (path, table, id_column, on_error, bits, patient_column, unmatched, voi, window, "
        "preparation, keep_ids, files): missing: path"
    )
    with pytest.raises(TypeError, match=re.escape(options)):
        load_probe("folder")
    with pytest.raises(TypeError, match="unknown: pth; missing: path"):
        load_probe("folder", pth=tmp_path)
    Image.fromarray(IMAGES[0]).save(tmp_path / "a.png")
    assert load_probe("folder", path=tmp_path).ids == ["a.png"]


@pytest.mark.parametrize("spec", LOADERS.entries)
def test_every_loader_is_there(spec):
    with pytest.raises(TypeError, match="unknown: nonsense"):
        load_probe(spec, nonsense=1)
