"""Tests of the one scale of a neuron's activation maps."""

import numpy as np
import pytest
import toys
from explored import drawn

import mdissect
from mdissect.embed import record_probe, recorded
from mdissect.explorers.pictures import Look, Pictures
from mdissect.explorers.scales import TOP, Scale
from mdissect.localize import activation_maps

pytestmark = pytest.mark.slow


@pytest.fixture
def toy():
    return toys.toy_probe(40)


@pytest.fixture
def found(cnn, toy):
    return toys.toy_dissect(cnn, probe=toy, top_k=5)


@pytest.fixture
def maps(cnn, toy):
    """(n_images, n_neurons, h, w) of the layer "deep"."""
    return np.stack(activation_maps(cnn, "deep", [toy[i] for i in range(len(toy))]))


def test_without_a_pass_the_scale_ends_at_the_maximum_of_the_top_images(found, toy, cnn, maps):
    pictures = Pictures(toy, cnn, found)
    for neuron in range(maps.shape[1]):
        best = np.argsort(-found.activations["deep"][:, neuron], kind="stable")[:TOP]
        scale = pictures.scale(("deep", neuron))
        assert scale == Scale(pytest.approx(maps[best, neuron].max()), f"at one place, largest over its {TOP} strongest images")


def test_a_pass_makes_it_exact_and_the_store_keeps_it(found, toy, cnn, maps, tmp_path):
    pictures = Pictures(toy, cnn, found, tmp_path / "store")
    before = pictures.picture(toy.ids[0], ("deep", 1)).array
    assert not pictures.scales.measured("deep")
    pictures.measure("deep")
    expected = maps.max(axis=(0, 2, 3))
    for neuron in range(maps.shape[1]):
        assert pictures.scale(("deep", neuron)) == Scale(
            pytest.approx(expected[neuron]), "at one place, largest over all images", True
        )
    assert before.shape == pictures.picture(toy.ids[0], ("deep", 1)).array.shape
    seen = toys.Seen(cnn.module)
    again = Pictures(toy, cnn, found, tmp_path / "store")
    assert again.scales.measured("deep")
    assert seen.images == []
    assert not again.scales.measured("stem")


def test_what_is_recorded_is_told_without_a_pass(toy, cnn, tmp_path):
    assert recorded(cnn, toy, ["deep"], pool="max", store=tmp_path) is None
    made = record_probe(cnn, toy, ["deep"], pool="max", store=tmp_path)
    assert (recorded(cnn, toy, ["deep"], pool="max", store=tmp_path)["deep"] == made["deep"]).all()
    assert recorded(cnn, toy, ["deep"], pool="mean", store=tmp_path) is None


def test_a_result_of_maxima_is_exact_at_once(toy, cnn, maps):
    found = toys.toy_dissect(cnn, probe=toy, top_k=5, pool="max")
    scale = Pictures(toy, cnn, found).scale(("deep", 2))
    assert scale == Scale(pytest.approx(maps[:, 2].max(), rel=1e-5), "at one place, largest over all images", True)


def test_images_share_a_scale_so_that_weak_ones_stay_dark(found, toy, cnn, maps):
    """Where each image had its own scale, the brightest place of each was as bright."""
    neuron = int(maps.max(axis=(0, 2, 3)).argmax())
    pictures = Pictures(toy, cnn, found)
    highest = pictures.scale(("deep", neuron)).highest
    for i in range(len(toy)):
        over = pictures.over(toy.ids[i], ("deep", neuron))
        expected = np.clip(255 * maps[i, neuron] / highest, 0, 255)
        assert over.highest == highest
        assert over.heat == pytest.approx(expected, abs=0.51)


def test_opacity_and_contours_change_what_is_drawn(found, toy, cnn):
    pictures, place = Pictures(toy, cnn, found), ("deep", 1)
    looks = [Look(opacity=5), Look(opacity=60), Look(opacity=60, contour=True)]
    faint, plain, lines = (pictures.picture(toy.ids[0], place, look=look).array.astype(int) for look in looks)
    own = pictures.picture(toy.ids[0]).array
    own = own if own.ndim == 3 else np.repeat(own[..., None], 3, axis=2)
    assert np.abs(faint - own).sum() < np.abs(plain - own).sum()
    assert (lines != plain).any()


def test_the_colour_bar_says_which_scale_it_is_and_a_button_makes_it_exact(found, toy, cnn):
    explorer = mdissect.explore(found, probe=toy, target=cnn, state={"layer": "deep"})
    controls = explorer._image_controls
    assert (controls.scale.value, controls.measure.layout.display) == ("", "none")
    explorer.overlay = True
    assert f"(at one place, largest over its {TOP} strongest images)" in controls.scale.value
    assert controls.measure.description == "scale over all 40 images"
    controls.measure.click()
    assert "(at one place, largest over all images)" in controls.scale.value
    assert controls.measure.layout.display == "none"
    explorer.overlay = False
    assert controls.scale.value == ""


def test_a_layer_without_places_and_a_constant_neuron_have_a_scale_of_their_own(mlp, cnn, toy):
    found = toys.toy_dissect(mlp, probe=toy, top_k=5)
    pictures = Pictures(toy, mlp, found)
    assert pictures.scale((found.layers[0], 0)) is None
    assert "no activation to show" in pictures.picture(toy.ids[0], (found.layers[0], 0)).problem
    assert Pictures(toy, cnn).scale(("deep", 0)) is None  # no dissection


def test_a_static_figure_has_the_colour_bar_and_says_what_its_end_is(found, toy, cnn):
    explorer = mdissect.explore(found, probe=toy, target=cnn, state={"layer": "deep", "overlay": True})
    for enlarged in ("", toy.ids[3]):
        explorer.enlarged = enlarged
        texts = "\n".join(drawn(explorer)[1])
        highest = explorer.pictures.scale(("deep", 0)).highest
        assert f"activation, 0 to {highest:.3g} (at one place, largest over its {TOP} strongest images)" in texts
    explorer.overlay = False
    assert "at one place" not in "\n".join(drawn(explorer)[1])
