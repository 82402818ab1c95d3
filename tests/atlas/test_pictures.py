"""Pictures: their size is limited, and maps show where a neuron responds."""

import base64
import io

import numpy as np
import pytest
import toys
from PIL import Image

from mdissect.atlas.images import Images
from mdissect.atlas.pictures import _reduced, all_maps, layer_maps, shots
from mdissect.localize import activation_maps
from mdissect.models import load_target
from mdissect.probes import Probe

pytestmark = pytest.mark.slow


def tiny():
    return load_target(toys.TinyCNN(), preprocess=toys.PREPROCESS, layers=["stem", "deep"])


def test_pictures_are_webp_of_their_images_with_boxes_in_thousandths(found, probe):
    made = shots(Images({"M": found}, {"M": probe}), [0, 1, 5], 1e6)
    assert list(made.webp) == [0, 1, 5]
    picture = Image.open(io.BytesIO(base64.b64decode(made.webp[0])))
    assert picture.format == "WEBP"
    assert picture.size[1] / picture.size[0] == pytest.approx(1.5, rel=0.02)
    assert made.boxes[5][0][1:] == [250, 250, 500, 500]
    assert made.boxes[1] == []
    assert made.problems == 0


def test_pictures_get_smaller_and_then_fewer(found, probe):
    images = Images({"M": found}, {"M": probe})
    wanted = list(range(40))
    large, small = shots(images, wanted, 1e7), shots(images, wanted, 80_000)
    assert len(large.webp) == len(small.webp) == 40
    assert sum(map(len, small.webp.values())) <= 80_000 < sum(map(len, large.webp.values()))
    few = shots(images, wanted, 10_000)
    assert 0 < len(few.webp) < 40
    assert sum(map(len, few.webp.values())) <= 10_000


def test_images_that_are_gone_or_cannot_be_read_are_counted(found, probe):
    class Broken(Probe):
        def __getitem__(self, position):
            if position == 1:
                raise OSError("damaged")
            return super().__getitem__(position)

    part = Probe.from_arrays([probe[i] for i in range(3)], ids=probe.ids[:3])
    part.__class__ = Broken
    made = shots(Images({"M": found}, {"M": part}), [0, 1, 2, 3], 1e6)
    assert list(made.webp) == [0, 2]
    assert made.problems == 2


def test_maps_are_those_of_the_network_on_one_scale_per_neuron():
    target, probe = tiny(), toys.toy_probe()
    positions = np.array([[0, 1], [2, -1], [1, 0], [3, 4]])
    maps = layer_maps(target, "stem", probe, positions)
    own = np.maximum(activation_maps(target, "stem", [probe[0], probe[1]]), 0)
    highest = max(own[0][0].max(), own[1][0].max())
    assert maps.highest[0] == pytest.approx(highest, rel=1e-5)
    np.testing.assert_allclose(maps.values[0, 1] / 255 * highest, own[1][0], atol=highest / 255)
    assert maps.values[1, 1].max() == 0
    assert maps.row(0, 1)[:3] == [1, 8, 8]
    assert len(base64.b64decode(maps.row(0, 2)[4])) == 128


def test_a_layer_without_places_is_refused():
    with pytest.raises(ValueError, match="head"):
        layer_maps(tiny(), "head", toys.toy_probe(), np.zeros((5, 2), dtype=int))


@pytest.mark.parametrize("shape", [(8, 5), (32, 20), (100, 60), (20, 400), (500, 500), (1, 1)])
def test_large_maps_are_reduced_to_means(shape):
    maps = np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32) + 3
    small = _reduced(maps)
    assert max(small.shape[1:]) <= 32
    assert small.shape[1] * small.shape[2] <= 640
    np.testing.assert_allclose(small.mean(axis=(1, 2)), maps.mean(axis=(1, 2)), rtol=0.05)


def test_maps_on_the_scale_of_the_probe(found):
    """The largest value over the probe is 255, wherever it lies; larger values than a given one are cut off."""
    target, positions = tiny(), np.arange(8).reshape(4, 2)
    own = layer_maps(target, "stem", toys.toy_probe(), positions)
    assert not own.exact
    assert own.row(0, 2)[-1] == 0
    on_probe = layer_maps(target, "stem", toys.toy_probe(), positions, highest=2 * own.highest)
    assert on_probe.exact
    assert on_probe.row(0, 2)[-1] == 1
    assert on_probe.highest == pytest.approx(2 * own.highest)
    assert on_probe.values.astype(int) == pytest.approx(own.values / 2, abs=0.51)
    cut = layer_maps(target, "stem", toys.toy_probe(), positions, highest=own.highest / 2)
    assert cut.values.max() == 255
    assert (cut.values >= own.values).all()


def test_the_store_gives_the_scale_of_the_whole_probe(tmp_path):
    toy, target = toys.toy_probe(24), toys.toy_target(toys.TinyCNN, layers=("stem", "deep"))
    found = toys.toy_dissect(target, probe=toy, top_k=5)
    images = Images({"M": found}, {"M": toy})
    lists = [images.of("M", np.zeros((len(scores), 2), dtype=int)) for scores in found.similarity.values()]
    maps, remarks = all_maps({"M": found}, {"M": target}, {"M": toy}, images, lists, tmp_path)
    of_all = activation_maps(target, "deep", [toy[i] for i in range(24)])
    assert remarks == []
    assert [one.exact for one in maps] == [True, True]
    assert maps[1].highest == pytest.approx(np.maximum(np.stack(of_all).max(axis=(0, 2, 3)), 0), rel=1e-5)
    maps, _ = all_maps({"M": found}, {"M": target}, {"M": toy}, images, lists)
    assert [one.exact for one in maps] == [False, False]


def test_the_air_of_mammograms_is_told_and_of_others_not(found):
    rng = np.random.default_rng(0)
    breast = np.where(np.arange(40)[None] < 25, rng.integers(60, 200, (60, 40)), 0).astype(np.uint8)
    noise = rng.integers(0, 255, (60, 40), dtype=np.uint8)
    ids = list(found.probe_table.index)
    made = shots(Images({"M": found}, {"M": Probe.from_arrays([breast, noise], ids=ids[:2])}), [0, 1], 1e6)
    assert list(made.air) == [0]
    assert 0 < made.air[0] < 60
