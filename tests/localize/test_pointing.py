"""Scores of maps whose place is known."""

import numpy as np
import pytest
from patches import spot, target

from mdissect.localize import (
    activation_maps,
    box_region,
    iou,
    of_finding,
    overlap_scores,
    pointing_game,
    pointing_summary,
    top_region,
)
from mdissect.probes import Probe, finding_mask, load_probe


def box(xmin, ymin, xmax, ymax, finding="mass"):
    return {"finding": finding, "xmin": xmin, "ymin": ymin, "xmax": xmax, "ymax": ymax}


def test_boxes_of_a_finding_by_a_word_of_it():
    boxes = [box(0, 0, 1, 1, name) for name in ("Suspicious Calcification", "Mass", "calcification")]
    assert of_finding(boxes, "calcification") == [boxes[0], boxes[2]]
    assert of_finding(boxes, "MASS") == [boxes[1]]
    assert of_finding(boxes, "implant") == []


def test_the_region_of_boxes():
    region = box_region([box(1, 0, 3, 2), box(2.5, 1.2, 9, 2.5), box(-5, 3, 1, 4)], (4, 5))
    assert region.astype(int).tolist() == [[0, 1, 1, 0, 0], [0, 1, 1, 1, 1], [0, 0, 1, 1, 1], [1, 0, 0, 0, 0]]


@pytest.mark.parametrize(("share", "expected"), [(0.01, 1), (0.2, 2), (0.5, 5), (1, 9)])
def test_the_top_region_is_a_share_of_the_pixels(share, expected):
    heat = np.arange(10.0).reshape(2, 5)
    assert top_region(heat, share).sum() == expected  # never the minimum
    assert top_region(heat, share)[1, 4]


def test_the_top_region_of_a_silent_neuron_is_small():
    assert not top_region(np.zeros((5, 5))).any()
    heat = np.zeros((10, 10))
    heat[3, 4] = 1
    assert np.argwhere(top_region(heat, 0.5)).tolist() == [[3, 4]]
    with pytest.raises(ValueError, match=r"share=1\.5 must be a number above 0 and at most 1"):
        top_region(heat, 1.5)


def test_intersection_over_union():
    first, second = np.array([[1, 1, 0, 0]], bool), np.array([[0, 1, 1, 0]], bool)
    assert iou(first, second) == pytest.approx(1 / 3)
    assert iou(first, first) == 1
    assert iou(first & False, first & False) == 0


@pytest.fixture
def case():
    """Two images with a bright spot; the region is the spot in the first and elsewhere in the second."""
    return [spot(16, 32), spot(40, 8)], [
        box_region([box(32, 16, 40, 24)], (64, 48)),
        box_region([box(30, 0, 48, 20)], (64, 48)),
    ]


def test_the_pointing_game_of_all_neurons(case):
    images, regions = case
    hits = pointing_game(activation_maps(target(), "signs", images), regions)
    assert hits.shape == (2, 2)
    assert hits[:, 0].tolist() == [True, False]


@pytest.mark.parametrize("orient", [None, "left"])
def test_scores_of_one_neuron(case, orient):
    images, regions = case
    maps = activation_maps(target(orient=orient), "signs", images)
    scores = overlap_scores(maps, 0, regions, share=0.005)
    assert scores.hit.tolist() == [True, False]
    assert scores.chance.tolist() == [64 / 3072, 360 / 3072]
    assert scores.inside.tolist() == [1, 0]
    assert scores.iou[0] == pytest.approx(16 / 64, abs=0.02)  # 0.5 % are 15 pixels, 16 with those of equal strength
    assert scores.iou[1] == 0


def test_the_summary_counts_who_does_better(case):
    hits = np.array([[True, False, True], [False, False, True]])
    images, regions = case
    text = pointing_summary(hits, overlap_scores(activation_maps(target(), "signs", images), 0, regions), 0)
    assert "in an annotated finding in **50 %** of 2 images" in text
    assert "neurons that do better: **1** of 3)" in text


@pytest.mark.parametrize(
    ("region", "message"),
    [
        (np.zeros((64, 48), bool), "the region of image 0 is empty"),
        (np.ones((64, 48, 3), bool), r"the region of image 0 has the shape \(64, 48, 3\)"),
    ],
)
def test_impossible_regions_are_refused(region, message):
    with pytest.raises(ValueError, match=message):
        pointing_game(activation_maps(target(), "signs", [spot(0, 0)]), [region])


def test_a_neuron_that_is_not_there_points_nowhere(case):
    images, regions = case
    with pytest.raises(IndexError, match="neuron 2 is not in the layer, whose neurons are 0 to 1"):
        overlap_scores(activation_maps(target(), "signs", images), 2, regions)


def test_the_mask_of_a_phantom_spans_its_boxes():
    probe = load_probe("phantom", n_images=24, seed=3, cache=False)
    position = int(np.flatnonzero(probe.table.calcification)[0])
    mask = finding_mask(probe, position, "calcification")
    region = box_region(of_finding(probe.boxes(position), "calcification"), mask.shape)
    assert 0 < mask.sum() <= region.sum()
    assert not (mask & ~region).any()
    assert (np.flatnonzero(mask.any(0))[[0, -1]] == np.flatnonzero(region.any(0))[[0, -1]]).all()
    lacking = int(np.flatnonzero(~probe.table.calcification)[0])
    assert not finding_mask(probe, lacking, "calcification").any()


def test_only_phantoms_have_masks():
    with pytest.raises(ValueError, match="image 'arrays-000000' is no phantom"):
        finding_mask(Probe.from_arrays(np.zeros((1, 8, 8), np.uint8)), 0, "mass")
