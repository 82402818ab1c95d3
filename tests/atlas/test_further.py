"""Further images of neurons: those of each kind are the explorers', those of a bin lie in it."""

import base64
from dataclasses import replace

import numpy as np
import pytest

from mdissect.atlas.further import BINS, KINDS, OF_A_BIN, OF_A_KIND, binned, further_images
from mdissect.atlas.images import Images, top_images
from mdissect.explorers.choosing import ordered
from mdissect.metrics import TopImages, strongest


def kinds_of(found, layer="stem"):
    labels = {name: ["mass"] * len(scores) for name, scores in found.similarity.items()}
    return dict(zip(found.layers, further_images(found, Images({"M": found}, {"M": None}), "M", labels), strict=True))[layer]


def test_each_kind_is_that_of_the_explorers(found):
    made, column = kinds_of(found), found.activations["stem"][:, 3]
    for i, kind in enumerate(KINDS[:2]):
        own = made.images[3, i * OF_A_KIND : (i + 1) * OF_A_KIND]
        np.testing.assert_array_equal(own, ordered(column, kind, OF_A_KIND))


def test_images_of_a_bin_lie_in_it_and_the_row_tells_them(found):
    made, column = kinds_of(found), found.activations["stem"][:, 3]
    low, high, bins = binned(column)
    counts = np.bincount(bins, minlength=BINS)
    parts = made.images[3, len(KINDS) * OF_A_KIND :].reshape(BINS, OF_A_BIN)
    for i, part in enumerate(parts):
        assert (part >= 0).sum() == min(counts[i], OF_A_BIN)
        assert (bins[part[part >= 0]] == i).all()
    row = made.row(3)
    numbers = np.frombuffer(base64.b64decode(row[1]), "<u4")
    np.testing.assert_array_equal(np.frombuffer(base64.b64decode(row[2]), "<f4"), column[numbers])
    assert sum(int(n) for n in row[0] if n != "?") == len(numbers)
    assert (low, high) == (column.min(), column.max())


@pytest.mark.parametrize("column", [np.zeros(40), np.full(40, np.nan), np.where(np.arange(40) < 3, 1.0, np.nan)])
def test_constant_and_unknown_activations(found, column):
    odd = replace(found, activations={"stem": np.repeat(column[:, None].astype(np.float32), 6, axis=1)})
    made = kinds_of(odd)
    there = made.images >= 0
    assert np.isfinite(made.activations[there]).all()
    assert there[:, OF_A_KIND : 2 * OF_A_KIND].sum(axis=1).tolist() == [min(OF_A_KIND, np.isfinite(column).sum())] * 6
    assert kinds_of(odd, "deep/2").images.shape == (12, 0)


def test_a_result_that_kept_its_top_images_shows_them(found):
    values = found.activations["stem"]
    order = strongest(values, 10)
    kept = TopImages(order.T, np.take_along_axis(values, order, axis=0).T)
    top = top_images(replace(found, activations={}, top_activations={"stem": kept}), "stem")
    full = top_images(found, "stem")
    np.testing.assert_array_equal(top.images, full.images)
    np.testing.assert_array_equal(top.activations, full.activations)
    assert top_images(replace(found, activations={}), "stem") is None


def test_patients_with_several_images_are_numbered(found):
    images = Images({"M": found}, {"M": None})
    assert images.patients == [i // 4 for i in range(40)]
    alone = replace(found, probe_table=found.probe_table.assign(patient=[f"P{i}" for i in range(39)] + [None]))
    assert set(Images({"M": alone}, {"M": None}).patients) == {-1}
