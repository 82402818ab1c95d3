"""Where a text is seen, by a Mammo-FActOR, over the images of the neuron explorer."""

import numpy as np
import pytest
import torch
import toys
from boxed import Words
from explored import assert_refused, parts
from patches import Patches, spot, target

import mdissect
from mdissect.localize import FactorModel
from mdissect.localize.factor import FactorMapper
from mdissect.probes import Probe

pytestmark = pytest.mark.slow

ATTRIBUTES = {"bright spot": "bright spot", "implant": "an implant"}
IDS = [f"image-{i}" for i in range(12)]


def factor(of) -> FactorModel:
    """Bright spots are seen where channel 0, the brightness, is high, implants where channel 1, its negative, is."""
    module = FactorMapper(Words().embed_texts(list(ATTRIBUTES.values())), 48, 2)
    module.peaks, module.spread = torch.tensor([[0], [1]]), torch.ones(2)
    return FactorModel(of, Words(), "signs", dict(ATTRIBUTES), module.eval().requires_grad_(False))


@pytest.fixture
def explorer():
    """Twelve images with a spot in another column each, and the network of patches."""
    images = [spot(8 * (i % 4), 8 * (i % 5)) // (1 + i % 3) for i in range(12)]
    probe, network = Probe.from_arrays(images, ids=IDS), target()
    concepts = mdissect.concepts.ConceptSet.from_list(list(ATTRIBUTES))
    sims = toys.toy_dissect(network, Named(), probe, concepts, top_k=3)
    return mdissect.explore(sims, probe=probe, target=network, factor=factor(network))


class Named(toys.RowDissector):
    """Knows the attributes by name."""

    def embed_texts(self, texts):
        return torch.eye(8)[: len(texts)]


def heats(explorer) -> list[np.ndarray]:
    """The heat over each tile's image, before it is drawn."""
    place = explorer._place()
    return [explorer.pictures._heat(image, place) for image in explorer._rows().image]


def test_the_overlay_of_a_text_is_where_that_text_is_seen(explorer):
    explorer.state = {"overlay": True, "query": "bright spot"}
    of_neuron = parts(explorer)["pictures"]
    explorer.overlay_of = "text"
    assert parts(explorer)["pictures"] != of_neuron
    for image, heat in zip(explorer._rows().image, heats(explorer), strict=True):
        i = IDS.index(image)
        assert heat.shape == (64, 48)
        row, column = np.unravel_index(heat.argmax(), heat.shape)
        assert abs(row - 8 * (i % 4) - 3.5) < 5
        assert abs(column - 8 * (i % 5) - 3.5) < 5
    assert "where “bright spot” is seen" in explorer._images_title()


def test_the_colour_bar_says_how_the_text_was_read(explorer):
    explorer.state = {"overlay": True, "overlay_of": "text", "query": "implant"}
    assert explorer._place() == "implant"
    assert "its greatest in this image; read as 'implant'" in explorer._image_controls.scale.value.replace("&#x27;", "'")


def test_without_a_search_the_label_is_shown(explorer):
    explorer.state = {"overlay": True, "overlay_of": "text", "neuron": 0}
    assert explorer._place() == explorer._label() != ""


def test_a_text_that_cannot_be_read_is_no_picture_with_a_map(explorer):
    explorer.pictures.factor.__dict__["dissector"] = None
    explorer.state = {"overlay": True, "overlay_of": "text", "query": "pumpkin seeds"}
    assert all("no activation to show" in caption for caption in parts(explorer)["captions"])


def test_an_enlarged_image_has_the_same_heat(explorer):
    explorer.state = {"overlay": True, "overlay_of": "text", "query": "bright spot", "enlarged": IDS[0]}
    over = explorer._closely().over
    assert over.highest == 1
    assert over.heat.max() == 255


def test_without_a_factor_there_is_no_such_overlay(explorer):
    alone = mdissect.explore(explorer.reading.dissection, probe=explorer.pictures.probe, target=explorer.pictures.target)
    assert alone._image_controls.overlay_of.layout.display == "none"
    assert explorer._image_controls.overlay_of.layout.display is None
    assert_refused(alone, {"overlay_of": "text"}, "give explore", parts)


def test_a_factor_of_another_network_is_refused(explorer):
    other = Patches()
    with torch.no_grad():
        other.signs.weight[:] = 2
    with pytest.raises(ValueError, match="other weights"):
        mdissect.explore(
            explorer.reading.dissection,
            probe=explorer.pictures.probe,
            target=explorer.pictures.target,
            factor=factor(target(other)),
        )
