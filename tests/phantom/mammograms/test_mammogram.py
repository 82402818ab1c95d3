"""The phantoms: truth that can be relied on, images that repeat, boxes that hold what they name."""

import time
from dataclasses import replace
from itertools import groupby

import numpy as np
import pytest

from mdissect.phantom.mammograms import Truth, masks, render, render_with_truth, sample_truth
from mdissect.phantom.mammograms.anatomy import Streams, shape_breast
from mdissect.phantom.mammograms.drawing import make_grid
from mdissect.phantom.mammograms.factors import (
    BENIGN_MORPHOLOGIES,
    DISTRIBUTIONS,
    FACTORS,
    FINDING_NAMES,
    SUSPICIOUS_MORPHOLOGIES,
    Calcification,
    Mass,
    birads_category,
)

pytestmark = pytest.mark.slow

LESIONS = ("mass", "calcification", "architectural distortion", "asymmetry", "biopsy clip", "surgical clips", "scar marker")


def posed(index=0, view="CC", laterality="L", density="B", **factors):
    return Truth(index, f"P{index // 4:06d}", laterality, view, density, birads_category(**factors), **factors)


@pytest.fixture(scope="module")
def many():
    return [sample_truth(3, index) for index in range(6000)]


# --- truth ------------------------------------------------------------------------------------------------------------


def test_truth_depends_on_seed_and_index_only():
    forward = [sample_truth(1, index) for index in range(40)]
    assert [sample_truth(1, index) for index in reversed(range(40))] == forward[::-1]
    assert [sample_truth(2, index) for index in range(40)] != forward


def test_four_views_of_a_patient_agree(many):
    for patient, group in groupby(many, key=lambda truth: truth.patient):
        views = list(group)
        assert patient == f"P{views[0].index // 4:06d}"
        assert [(v.laterality, v.view) for v in views] == [("L", "CC"), ("R", "CC"), ("L", "MLO"), ("R", "MLO")]
        assert len({(v.density, v.implant) for v in views}) == 1
        for cc, mlo in (views[::2], views[1::2]):
            view_dependent = {"asymmetry", "lymph_node", "pacemaker"}
            assert all(getattr(cc, name) == getattr(mlo, name) for name in set(FACTORS) - view_dependent)
            kinds = {cc.asymmetry, mlo.asymmetry}
            assert len(kinds) == 1 or kinds == {"", "asymmetry"}
            assert cc.lymph_node != "axillary"
            assert not cc.pacemaker
            assert (cc.lymph_node == "intramammary") == (mlo.lymph_node == "intramammary")
        assert not views[3].pacemaker


@pytest.mark.parametrize(
    ("share", "tolerance", "present"),
    [
        (0.36, 0.03, lambda t: t.mass),
        (0.36, 0.03, lambda t: t.calcification),
        (0.36 * 0.58, 0.03, lambda t: t.calcification and t.calcification.suspicious),
        (0.12, 0.02, lambda t: t.distortion),
        (0.12, 0.02, lambda t: t.asymmetry),
        (0.11, 0.02, lambda t: t.skin_thickening),
        (0.05, 0.02, lambda t: t.skin_retraction),
        (0.08, 0.02, lambda t: t.nipple_retraction),
        (0.15, 0.02, lambda t: t.lymph_node == "axillary"),
        (0.05, 0.02, lambda t: t.lymph_node == "intramammary"),
        (0.11, 0.03, lambda t: t.implant),
        (0.12, 0.02, lambda t: t.biopsy_clip),
        (0.05, 0.02, lambda t: t.surgical_clips),
        (0.02, 0.01, lambda t: t.pacemaker),
        (0.08, 0.02, lambda t: t.nipple_marker),
        (0.07, 0.02, lambda t: t.scar_marker),
        (0.2, 0.04, lambda t: t.density == "A"),
        (0.3, 0.04, lambda t: t.density == "B"),
        (0.2, 0.04, lambda t: t.density == "D"),
    ],
)
def test_prevalence(many, share, tolerance, present):
    assert np.mean([bool(present(truth)) for truth in many]) == pytest.approx(share, abs=tolerance)


def test_calcifications_are_described_in_the_lexicon(many):
    for calcification in filter(None, (truth.calcification for truth in many)):
        expected = SUSPICIOUS_MORPHOLOGIES if calcification.suspicious else BENIGN_MORPHOLOGIES
        assert calcification.morphology in expected
        without = calcification.morphology in ("popcorn", "rim", "vascular")
        assert calcification.distribution in (("",) if without else DISTRIBUTIONS)


def test_exclude_leaves_the_other_factors_as_they_were(many):
    for truth in many[:400]:
        left = sample_truth(3, truth.index, exclude={"distortion", "implant"})
        assert not left.distortion
        assert not left.implant
        assert replace(left, birads=0) == replace(truth, birads=0, distortion=False, implant="")


def test_unknown_factor_and_negative_seed_are_refused():
    with pytest.raises(ValueError, match=r"unknown factors \['tumour'\]; known are mass, "):
        sample_truth(0, 0, exclude=["tumour"])
    with pytest.raises(ValueError, match=r"seed=-1 and index=0 must be 0 or more"):
        sample_truth(-1, 0)


@pytest.mark.parametrize(
    ("category", "factors"),
    [
        (1, {}),
        (1, {"pacemaker": True, "nipple_marker": True}),
        (2, {"implant": "saline"}),
        (2, {"mass": Mass("oval", "circumscribed", "fat-containing"), "asymmetry": "global"}),
        (3, {"mass": Mass("oval", "circumscribed", "equal"), "biopsy_clip": True}),
        (3, {"calcification": Calcification("round", "grouped", False)}),
        (4, {"mass": Mass("oval", "circumscribed", "equal"), "distortion": True}),
        (4, {"calcification": Calcification("fine pleomorphic", "grouped", True)}),
        (5, {"calcification": Calcification("fine pleomorphic", "segmental", True)}),
        (5, {"mass": Mass("irregular", "spiculated", "high")}),
    ],
)
def test_birads_category_follows_from_the_findings(category, factors):
    assert birads_category(**factors) == category


def test_row_is_flat_and_complete():
    truth = posed(mass=Mass("oval", "obscured", "low"), lymph_node="axillary", distortion=True, view="MLO")
    row = truth.as_row()
    assert set(FACTORS) <= set(row)
    assert all(isinstance(value, str | int | bool) for value in row.values())
    assert (row["mass"], row["mass_margin"], row["calcification"], row["calcification_morphology"]) == (
        True, "obscured", False, "",
    )  # fmt: skip
    assert row["findings"] == "mass; architectural distortion; lymph node"


# --- image ------------------------------------------------------------------------------------------------------------


def test_image_repeats_alone_and_in_a_batch():
    truths = [sample_truth(5, index) for index in range(6)]
    batch = [render(truth, 5) for truth in truths]
    assert all(image.shape == (256, 160) and image.dtype == np.uint8 for image in batch)
    assert np.array_equal(render(truths[4], 5), batch[4])
    assert np.array_equal(render_with_truth(truths[2], 5)[0], batch[2])
    assert not np.array_equal(render(truths[4], 6), batch[4])


# Means over blocks of 32 x 20 pixels of images 0, 3 and 14 of seed 0, at 128 x 80.
GOLDEN = {
    0: [[54.4, 33.8, 5.6, 8.9], [86.5, 100.7, 91.4, 1.2], [118.3, 113.0, 49.2, 0.1], [37.9, 28.2, 0.8, 0.1]],
    3: [[12.4, 2.6, 55.4, 151.2], [0.1, 44.9, 94.4, 116.8], [3.8, 124.8, 161.4, 109.0], [0.1, 2.5, 30.9, 48.7]],
    14: [[136.5, 56.0, 2.2, 11.7], [143.9, 127.0, 29.7, 0.1], [120.0, 113.5, 49.8, 0.1], [30.0, 6.2, 0.1, 0.1]],
}


@pytest.mark.parametrize("index", sorted(GOLDEN))
def test_image_is_the_same_on_every_machine(index):
    image = render(sample_truth(0, index), 0, height=128, width=80).astype(float)
    blocks = image.reshape(4, 32, 4, 20).mean(axis=(1, 3))
    assert np.abs(blocks - GOLDEN[index]).max() <= 1


@pytest.mark.slow
def test_boxes_name_what_the_truth_holds_and_masks_fill_them():
    for truth in (sample_truth(7, index) for index in range(80)):
        _, boxes = render_with_truth(truth, 7)
        assert {box["finding"] for box in boxes} == set(truth.findings)
        found = masks(truth, 7)
        assert set(found) == set(truth.findings)
        for finding, mask in found.items():
            own = [box for box in boxes if box["finding"] == finding]
            inside = np.zeros_like(mask)
            for box in own:
                assert 0 <= box["xmin"] < box["xmax"] <= 160
                assert 0 <= box["ymin"] < box["ymax"] <= 256
                inside[box["ymin"] : box["ymax"], box["xmin"] : box["xmax"]] = True
            assert mask.any()
            assert not (mask & ~inside).any(), finding
            columns = np.flatnonzero(mask.any(0))
            assert (columns[0], columns[-1] + 1) == (min(b["xmin"] for b in own), max(b["xmax"] for b in own))


@pytest.mark.slow
def test_lesions_lie_in_the_breast_and_not_over_muscle_or_implant():
    grid = make_grid(256, 160)
    crowded = [replace(sample_truth(8, index), implant=("", "silicone")[index % 2]) for index in range(120)]
    for truth in crowded:
        breast = shape_breast(truth, Streams(8, truth), grid)
        found = masks(truth, 8)
        forbidden = (breast.muscle > 0.5) | (breast.inside < 0.5)
        forbidden = forbidden[:, ::-1] if truth.laterality == "R" else forbidden
        forbidden = forbidden | found.get("implant", False)
        for finding in set(LESIONS) & set(found):
            assert (found[finding] & forbidden).sum() <= 0.25 * found[finding].sum(), (truth.index, finding)


@pytest.mark.parametrize("laterality", ["L", "R"])
@pytest.mark.parametrize("view", ["CC", "MLO"])
def test_chest_wall_and_marker_are_on_their_sides(laterality, view):
    image = render(posed(12, view, laterality), 0)
    image = image if laterality == "L" else image[:, ::-1]
    assert image[100:160, :30].mean() > 40
    assert image[100:160, -8:].mean() < 5
    assert image[:40, 100:].max() > 200  # the burnt-in marker


def test_density_brightens_the_breast():
    brightness = [np.mean([render(posed(index, density=density), 0) for index in range(0, 32, 4)]) for density in "ABCD"]
    assert np.all(np.diff(brightness) > 5)


def test_an_added_mass_changes_its_surroundings_only():
    plain, with_mass = posed(20), posed(20, mass=Mass("round", "circumscribed", "high"))
    image, (box,) = render_with_truth(with_mass, 0)
    change = np.abs(image.astype(int) - render(plain, 0))
    rows, columns = slice(box["ymin"], box["ymax"]), slice(box["xmin"], box["xmax"])
    assert change[rows, columns].mean() > 30
    change[max(0, box["ymin"] - 12) : box["ymax"] + 12, max(0, box["xmin"] - 12) : box["xmax"] + 12] = 0
    assert change.max() == 0


@pytest.mark.parametrize(
    ("factors", "finding", "sign"),
    [
        ({"mass": Mass("round", "circumscribed", "fat-containing")}, "mass", -1),
        ({"mass": Mass("irregular", "spiculated", "equal")}, "mass", 1),
        ({"asymmetry": "focal"}, "asymmetry", 1),
        ({"asymmetry": "global"}, "asymmetry", 1),
        ({"skin_thickening": True}, "skin thickening", 1),
        ({"calcification": Calcification("amorphous", "grouped", True)}, "calcification", 1),
        ({"distortion": True}, "architectural distortion", 1),
    ],
)
def test_findings_can_be_seen(factors, finding, sign):
    """Within its mask every finding changes the plain image, in dense tissue on average over some breasts."""
    changes = []
    for index in range(0, 24, 4):
        truth = posed(index, density="C", **factors)
        mask = masks(truth, 0)[finding]
        changes.append((render(truth, 0).astype(float) - render(posed(index, density="C"), 0))[mask].mean())
    assert sign * np.mean(changes) > 5


@pytest.mark.parametrize("factor", ["nipple_retraction", "skin_retraction"])
def test_retraction_pulls_the_outline_in(factor):
    for index in range(0, 24, 4):
        truth = posed(index, density="C", **{factor: True})
        image, (box,) = render_with_truth(truth, 0)
        rows = slice(box["ymin"], box["ymax"])
        air, air_before = ((drawn[rows] < 12).sum() for drawn in (image, render(posed(index, density="C"), 0)))
        assert air > air_before + 80


def test_silicone_is_brighter_than_saline():
    levels = {}
    for kind in ("saline", "silicone"):
        truth = posed(40, implant=kind)
        levels[kind] = render(truth, 0)[masks(truth, 0)["implant"]].mean()
    assert levels["silicone"] > levels["saline"] + 50


def test_other_sizes_and_too_small_ones():
    everything = posed(
        8, "MLO", mass=Mass("oval", "obscured", "low"), calcification=Calcification("vascular", "", False), distortion=True,
        asymmetry="global", skin_thickening=True, skin_retraction=True, nipple_retraction=True, lymph_node="axillary",
        implant="saline", biopsy_clip=True, surgical_clips=True, pacemaker=True, nipple_marker=True, scar_marker=True,
    )  # fmt: skip
    for height, width in ((64, 40), (97, 61), (320, 200)):
        image, boxes = render_with_truth(everything, 0, height, width)
        assert image.shape == (height, width)
        assert {box["finding"] for box in boxes} == set(FINDING_NAMES.values())
    with pytest.raises(ValueError, match=r"height=32, width=20: phantoms need at least 64 x 40 pixels"):
        render(everything, 0, 32, 20)


@pytest.mark.benchmark
def test_speed():
    truths = [sample_truth(9, index) for index in range(60)]
    render(truths[0], 9)  # fills the caches
    start = time.process_time()
    for truth in truths:
        render(truth, 9)
    rate = len(truths) / (time.process_time() - start)
    print(f"{rate:.0f} phantoms per second and core")
    assert rate >= 40
