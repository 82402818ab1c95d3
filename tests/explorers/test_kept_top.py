"""The explorer of a result that kept each neuron's strongest images alone (`dissect(keep="top")`)."""

from dataclasses import replace

import numpy as np
import pytest

import mdissect
from mdissect.explorers.reading import Reading
from mdissect.metrics import TopImages, strongest

pytestmark = pytest.mark.slow

KEPT = 6


@pytest.fixture
def top(dissection):
    """The result, with the 6 strongest images of each neuron in place of all activations."""
    best = {}
    for layer, values in dissection.activations.items():
        images = strongest(values, KEPT).T
        best[layer] = TopImages(images, np.take_along_axis(values.T, images, axis=1).astype(np.float32))
    return replace(dissection, activations={}, top_activations=best, settings=dissection.settings | {"top_k": KEPT})


def test_the_strongest_images_are_those_of_the_whole_result(top, dissection, probe):
    kept, whole = mdissect.explore(top, probe=probe), mdissect.explore(dissection, probe=probe)
    for neuron in (0, 4, 7):
        kept.neuron = whole.neuron = neuron
        assert [tile.image_id for tile in kept._gallery.tiles] == [tile.image_id for tile in whole._gallery.tiles][:KEPT]
    assert [tile.caption.value for tile in kept._gallery.tiles] == [tile.caption.value for tile in whole._gallery.tiles][:KEPT]


def test_the_view_says_that_no_others_were_kept(top, probe):
    explorer = mdissect.explore(top, probe=probe)
    assert "only the 6 strongest images were kept" in explorer._message.value
    assert "neither images nor histogram" not in explorer._message.value
    allowed = {name for name, button in explorer._image_controls.which.buttons.items() if not button.disabled}
    assert allowed == {"strongest"}
    explorer.images = "weakest"
    assert not explorer._gallery.tiles
    assert "None to show: only the 6 strongest images of each neuron were kept." in explorer._below.value
    explorer.images, explorer.all_images = "strongest", True
    assert len(explorer._gallery.tiles) == KEPT
    explorer.figure()


def test_an_enlarged_image_is_told_by_its_places_among_the_kept(top, probe):
    layer, neuron, images = "deep", 3, top.top_activations["deep"].images
    image = images[neuron, 1]
    explorer = mdissect.explore(top, probe=probe, state={"layer": layer, "neuron": neuron})
    explorer.enlarged = top.probe_table.index[image]
    seen = Reading(top).of_image(layer, neuron, explorer.enlarged)
    assert (seen.row["rank"], seen.row.activation) == (2, top.top_activations[layer].activations[neuron, 1])
    held = {n: int(np.flatnonzero(images[n] == image)[0]) + 1 for n in range(len(images)) if n != neuron and image in images[n]}
    assert dict(zip(seen.neurons.neuron, seen.neurons["rank"], strict=True)).items() <= held.items()
    assert list(seen.neurons["rank"]) == sorted(held.values())[:5]
    assert "number 2 of this neuron’s images" in explorer._large.facts.value
    assert "nan" not in explorer._large.facts.value
    explorer.figure()


def test_an_image_that_was_not_kept_of_a_neuron_has_no_activation(top, probe):
    kept = set(top.top_activations["deep"].images[3])
    image = next(i for i in range(len(probe)) if i not in kept)
    seen = Reading(top).of_image("deep", 3, probe.ids[image])
    assert np.isnan(seen.row.activation)
    explorer = mdissect.explore(top, probe=probe, state={"layer": "deep", "neuron": 3, "enlarged": probe.ids[image]})
    assert "activation not known" in explorer._large.facts.value


def test_what_the_top_images_share_is_that_of_the_whole_result(top, dissection):
    whole = replace(dissection, settings=top.settings)
    for neuron in range(6):
        if neuron != 2:  # constant: its images are tied
            assert Reading(top).shared("stem", neuron) == Reading(whole).shared("stem", neuron)


def test_the_enlarged_image_does_not_list_the_neuron_in_view(dissection):
    reading = Reading(dissection)
    for image in dissection.probe_table.index[:10]:
        assert 4 not in set(reading.of_image("stem", 4, image).neurons.neuron)
        assert len(reading.of_image("deep", 4, image).neurons) == 5
