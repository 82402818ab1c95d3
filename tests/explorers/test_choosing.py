"""Tests of which images of a neuron are shown, and of the findings that a label names."""

import numpy as np
import pandas as pd
import pytest
from traitlets import TraitError

import mdissect
from mdissect.explorers.choosing import between, listed_images, one_of_each, ordered, other_views, why_not
from mdissect.explorers.findings import names_finding
from mdissect.explorers.reading import BINS, Reading

VALUES = np.array([3.0, 1.0, 2.0, 5.0, 4.0, 0.0])
SHOWN = np.array([1.0, 0.0, 1.0, 0.0, np.nan, 1.0])


@pytest.mark.parametrize(
    ("which", "k", "expected"),
    [
        ("strongest", 3, [3, 4, 0]), ("weakest", 3, [5, 1, 2]), ("quantiles", 3, [3, 0, 5]),
        ("quantiles", 9, [3, 4, 0, 2, 1, 5]),
        ("hard negatives", 4, [3, 1]), ("misses", 2, [5, 2]), ("misses", 9, [5, 2, 0]), ("strongest", 0, []),
    ],
)  # fmt: skip
def test_images_are_chosen(which, k, expected):
    assert ordered(VALUES, which, k, SHOWN).tolist() == expected


def test_the_strip_is_even_over_the_range_not_over_the_images():
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.uniform(0, 0.1, 900), np.linspace(0, 10, 50)])
    taken = values[ordered(values, "quantiles", 11)]
    assert taken == pytest.approx(np.linspace(10, 0, 11), abs=0.2)
    assert (np.diff(taken) <= 0).all()


@pytest.mark.parametrize("which", ["strongest", "quantiles", "hard negatives", "misses"])
def test_what_is_no_number_is_not_shown_while_there_are_others(which):
    values = np.where(np.arange(6) == 3, np.nan, VALUES)
    assert 3 not in ordered(values, which, 3, np.where(np.isnan(SHOWN), 1.0, SHOWN))
    assert ordered(np.full(6, np.nan), "quantiles", 3).tolist() == []


def test_equal_activations_are_shown_in_the_order_of_the_images():
    assert ordered(np.ones(6), "strongest", 3).tolist() == [0, 1, 2]
    assert ordered(np.ones(6), "quantiles", 3).tolist() == [0, 1, 2]
    assert ordered(np.ones(6), "misses", 3, np.ones(6)).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("which", "expected"),
    [
        ("strongest", [0, 3, 4, 5]),
        ("quantiles", [0, 3, 4, 5]),
        ("weakest", [1, 2, 4, 5]),
        ("hard negatives", [3]),
        ("misses", [2, 5]),
    ],
)
def test_one_image_of_each_patient_is_its_strongest_or_weakest(which, expected):
    """Patients of images 4 and 5 are not known: each counts as one of its own."""
    patients = ["A", "A", "B", "B", None, ""]
    shown = np.array([0.0, 0.0, 1.0, 0.0, np.nan, 1.0])
    expected = [3, 0] if which == "hard negatives" else expected
    assert sorted(one_of_each(VALUES, which, patients, shown)) == sorted(expected)
    without = np.where(VALUES == 5, np.nan, VALUES)
    assert 3 not in one_of_each(without, which, patients, shown)


def test_the_images_of_a_bin_are_spread_over_it():
    assert between(VALUES, 1, 4, 9).tolist() == [4, 0, 2, 1]
    assert between(VALUES, 1, 4, 2).tolist() == [4, 1]
    assert between(VALUES, 6, 7, 2).tolist() == []


@pytest.mark.parametrize(
    ("which", "label", "shown", "expected"),
    [
        ("weakest", "", None, ""), ("misses", "", None, "this neuron has no label"),
        ("misses", "mass", None, "it is not known which images show “mass”"),
        ("misses", "mass", np.full(3, np.nan), "it is not known which images show “mass”"),
        ("misses", "mass", np.zeros(3), "no image shows “mass”"),
        ("hard negatives", "mass", np.ones(3), "every image shows “mass”"),
        ("misses", "mass", np.ones(3), ""), ("hard negatives", "mass", SHOWN, ""),
    ],
)  # fmt: skip
def test_why_there_are_no_such_images(which, label, shown, expected):
    assert why_not(which, label, shown) == expected


def test_the_patients_other_views():
    table = pd.DataFrame(
        {"patient": ["a", "a", "a", "b", None, ""], "laterality": ["L", "R", "L", "L", "L", "L"]}, index=list("uvwxyz")
    )
    assert other_views(table, "u").tolist() == [2, 1]  # the same side first
    assert other_views(table, "x").tolist() == []
    assert other_views(table, "y").tolist() == other_views(table, "z").tolist() == []
    assert other_views(table.drop(columns="laterality"), "u").tolist() == [1, 2]
    assert other_views(table.drop(columns="patient"), "u").tolist() == []


@pytest.mark.parametrize(
    ("label", "finding", "named"),
    [
        ("increasing calcification", "Suspicious Calcification", True), ("calcifications", "calcification", True),
        ("oval mass", "mass", True), ("spiculated masses", "Mass", True), ("axillary lymph node", "lymph node", True),
        ("skin thickening", "mass", False), ("skin thickening", "skin calcification", False),
        ("trabecular thickening", "Skin Thickening", False), ("thickened skin", "Skin Thickening", True),
        ("breast skin", "Skin Thickening", False), ("implant-displaced view", "implant", True),
        ("distortion", "Architectural Distortion", True), ("asymmetry", "Focal Asymmetry", True),
        ("focal asymmetry", "Global Asymmetry", False), ("inverted nipple", "Nipple Retraction", True),
        ("", "mass", False), ("mass", "", False), ("mass", "  ", False), ("mass", "suspicious", False),
    ],
)  # fmt: skip
def test_a_label_names_a_finding(label, finding, named):
    assert names_finding(label, finding) is named


def test_hard_negatives_and_misses_of_a_neuron_follow_the_truth_of_the_images(dissection, probe):
    """Neuron 0 of "stem" is labelled implant, which the column implant tells."""
    has = dissection.probe_table.implant.copy()
    dissection.probe_table["implant"] = np.where(has, "implant", "")
    explorer = mdissect.explore(dissection, probe=probe, state={"layer": "stem", "neuron": 0})
    column = pd.Series(dissection.activations["stem"][:, 0], index=has.index)
    for which, present in (("hard negatives", False), ("misses", True)):
        explorer.images = which
        expected = column[has == present].sort_values(ascending=present).index[:8]
        assert [tile.image_id for tile in explorer._gallery.tiles] == list(expected)
        assert TITLES_OF[which] in explorer._below.value
    explorer.neuron = 4  # pumpkin, of which nothing is known
    assert explorer._gallery.tiles == []
    assert "None to show: it is not known which images show “pumpkin”." in explorer._below.value
    buttons = explorer._image_controls.which.buttons
    assert (buttons["hard negatives"].disabled, buttons["misses"].disabled) == (True, False)  # the pressed one can be left
    assert "it is not known which images show" in buttons["hard negatives"].tooltip
    assert "No hard negatives or misses: it is not known" in explorer._image_controls.reason.value
    buttons["strongest"].click()
    assert explorer.images == "strongest"
    assert len(explorer._gallery.tiles) == 8


TITLES_OF = {"hard negatives": "Hard negatives: strong activation", "misses": "Misses: weak activation"}


def test_all_images_of_the_label_are_shown_on_request(dissection, probe):
    dissection.settings["top_k"] = 12
    explorer = mdissect.explore(dissection, probe=probe)
    assert explorer._image_controls.all.description == "show all 12"
    explorer._image_controls.all.value = True
    ids = [tile.image_id for tile in explorer._gallery.tiles]
    order = np.argsort(-dissection.activations["deep"][:, 0], kind="stable")[:12]
    assert ids == [f"image-{i:02d}" for i in order]
    explorer.all_images = False
    assert len(explorer._gallery.tiles) == 8


@pytest.mark.parametrize(("top_k", "n"), [(12, 12), (500, 30), ("?", 20), (0, 20)])
def test_how_many_images_a_label_rests_on(dissection, top_k, n):
    dissection.settings["top_k"] = top_k
    assert listed_images(dissection) == n


def test_a_chosen_bin_shows_its_images_until_something_else_is_chosen(explorer, dissection):
    edges, _ = explorer.reading.histogram("deep", 0)
    explorer._histogram.chosen = [edges[3], edges[9]]
    column = dissection.activations["deep"][:, 0]
    shown = [tile.image_id for tile in explorer._gallery.tiles]
    assert shown == [f"image-{i:02d}" for i in between(column, edges[3], edges[9], 8)]
    assert all(edges[3] <= mark <= edges[9] for mark in explorer._histogram.marks)
    assert "with an activation from" in explorer._below.value
    explorer.images = "weakest"
    assert (explorer.span, explorer._histogram.chosen) == ([], [])
    explorer._histogram.chosen = [0.0, 1.0]
    explorer.neuron = 3
    assert explorer.span == []
    again = mdissect.explore(dissection, state=explorer.state | {"span": [0.0, 1.0]})
    assert again.span == [0.0, 1.0]


@pytest.mark.parametrize("values", [[1.0, 1.0 + 1e-9], [1e-30, 2e-30], [5.0, 5.0], [1e30, 1.0000001e30], [-1e38, 1e38]])
def test_histograms_of_almost_equal_activations_do_not_fail(dissection, values):
    dissection.activations["stem"] = np.resize(np.array(values, dtype=np.float32), dissection.activations["stem"].shape)
    edges, (group,) = Reading(dissection).histogram("stem", 0)
    assert len(edges) in (2, BINS + 1)
    assert group.shares.sum() == pytest.approx(1)


def test_one_image_of_each_patient_in_the_gallery(dissection, probe):
    dissection.probe_table["patient"] = [f"P{i // 3}" for i in range(len(dissection.probe_table))]
    explorer = mdissect.explore(dissection, probe=probe)
    control = explorer._image_controls.each
    assert control.layout.display is None
    control.value = True
    assert explorer.each_patient
    ids = [tile.image_id for tile in explorer._gallery.tiles]
    column = pd.Series(dissection.activations["deep"][:, 0], index=dissection.probe_table.index)
    best = column.groupby(dissection.probe_table.patient).idxmax()
    assert ids == column[best].sort_values(ascending=False).index[:8].tolist()
    explorer.span = [float(column.min()), float(column.max())]
    assert len({dissection.probe_table.patient[tile.image_id] for tile in explorer._gallery.tiles}) == 8


def test_without_patients_there_is_no_choice_of_one_of_each(explorer):
    assert explorer._image_controls.each.layout.display == "none"
    with pytest.raises(TraitError, match="no patient is known to have several images"):
        explorer.each_patient = True


def test_what_the_label_rests_on_is_told(dissection, probe):
    dissection.settings["top_k"] = 12
    has = dissection.probe_table.implant.copy()
    dissection.probe_table["implant"] = np.where(has, "implant", "")
    dissection.probe_table["patient"] = [f"P{i // 3}" for i in range(len(has))]
    explorer = mdissect.explore(dissection, probe=probe, state={"layer": "stem", "neuron": 0})
    order = np.argsort(-dissection.activations["stem"][:, 0], kind="stable")[:12]
    n_patients, n_with = len(set(order // 3)), int(has.iloc[order].sum())
    said = (
        f"Of the 12 images that the label rests on, of {n_patients} patients, {n_with} show “implant” (33 % of all images do)"
    )
    assert said in explorer._below.value
    explorer.neuron = 4  # pumpkin, of which nothing is known
    n_patients = len(set(np.argsort(-dissection.activations["stem"][:, 4], kind="stable")[:12] // 3))
    assert f"The label rests on 12 images of {n_patients} patients." in explorer._below.value
    explorer.images = "weakest"
    assert "rests on" not in explorer._below.value
