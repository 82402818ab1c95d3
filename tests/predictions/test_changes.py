"""Each change leaves everything but its factor as it was, in the truth and in the image."""

from dataclasses import fields

import numpy as np
import pytest
from measured import SIZE
from scipy import ndimage

from mdissect.phantom.mammograms import masks, render, sample_truth
from mdissect.predictions.changes import CHANGES, DESCRIPTOR, FINDING, redrawable

pytestmark = pytest.mark.slow

TRUTHS = [sample_truth(5, i) for i in range(1200)]


def of(factor: str, most: int = 3):
    """The first few truths that a change applies to, and the changed ones."""
    pairs = ((truth, CHANGES[factor].apply(truth)) for truth in TRUTHS)
    return [pair for pair in pairs if pair[1] is not None][:most]


@pytest.mark.parametrize("factor", CHANGES)
def test_one_field_changes_and_the_assessment_that_follows_from_it(factor):
    pairs = of(factor, most=1200)
    assert len(pairs) >= 3
    for before, after in pairs:
        differ = {f.name for f in fields(before) if getattr(before, f.name) != getattr(after, f.name)} - {"birads"}
        assert len(differ) == 1
    render(after, 5, *SIZE)  # it can be drawn


def test_levels():
    assert [name for name, change in CHANGES.items() if change.level == FINDING][:3] == [
        "mass", "calcification", "architectural distortion",
    ]  # fmt: skip
    assert CHANGES["mass margin: spiculated"].level == DESCRIPTOR


@pytest.mark.parametrize("factor", ["mass", "calcification", "biopsy clip", "lymph node", "pacemaker", "nipple marker"])
def test_the_rest_of_the_image_stays_pixel_by_pixel(factor):
    """Strokes reach beyond a mask by a little; what is further away is the same."""
    for before, after in of(factor):
        if before.mass and before.mass.margin == "spiculated" and factor == "mass":
            continue  # spicules reach far
        near = ndimage.binary_dilation(masks(before, 5)[factor], iterations=24)
        one, other = render(before, 5), render(after, 5)
        if factor == "pacemaker":
            near[: one.shape[0] // 2] = True  # its lead
        assert (one == other)[~near].mean() > 0.999
        assert (one != other)[near].any()


@pytest.mark.parametrize("factor", ["implant", "skin retraction", "nipple retraction"])
def test_what_moves_others_is_removed_only_where_nothing_would_move(factor):
    for before, _ in of(factor, most=50):
        moved = (before.mass, before.calcification, before.biopsy_clip, before.lymph_node, before.asymmetry)
        assert not any(moved)


def test_density_goes_one_step():
    for factor, step in {"denser tissue": 1, "fattier tissue": -1}.items():
        for before, after in of(factor, most=100):
            assert "ABCD".index(after.density) - "ABCD".index(before.density) == step


def test_suspicion_follows_the_morphology():
    for before, after in of("calcification: suspicious", most=50):
        assert before.calcification.suspicious
        assert not after.calcification.suspicious
        assert after.calcification.distribution == before.calcification.distribution
    assert all(after.calcification.distribution for _, after in of("calcification morphology: popcorn"))


def test_factors_are_known_ones():
    assert redrawable("factors", ["mass", "implant", "mass"]) == ("mass", "implant")
    with pytest.raises(ValueError, match="factors has 1 factor: mammogram that cannot be redrawn"):
        redrawable("factors", ["mammogram"])


def test_the_same_seed_gives_the_same_images():
    before, after = of("mass")[0]
    assert np.array_equal(render(after, 5, *SIZE), render(CHANGES["mass"].apply(before), 5, *SIZE))
