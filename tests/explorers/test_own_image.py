"""An image of one's own: which neurons and concepts are found for it, what is wrong with it, and where it does not stay."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import made_dicom
import numpy as np
import pytest
import toys
from PIL import Image

import mdissect
from mdissect.dissection import Dissection
from mdissect.explorers.own_image import UNLIKE, Given, _ranked, near_concepts, responses
from mdissect.explorers.reading import Reading
from mdissect.probes import own_image

pytestmark = pytest.mark.slow

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def target():
    return toys.toy_target()


@pytest.fixture(scope="module")
def found(target):
    return toys.toy_dissect(target)


@pytest.fixture(scope="module")
def given(found, target):
    return Given(Reading(found), target, toys.RowDissector(), toys.toy_probe())


@pytest.fixture
def explorer(found, target):
    return mdissect.explore(found, probe=toys.toy_probe(), target=target, dissector=toys.RowDissector())


def upload(panel, content, name="mine.png"):
    file = {"name": name, "type": "", "size": len(content), "content": memoryview(content), "last_modified": NOW}
    panel.upload.value = (file,)


@pytest.mark.parametrize("i", [0, 17, 63, 140])
def test_an_image_of_the_probe_ranks_as_it_does_there(given, found, i):
    layer, image = found.layers[0], toys.toy_images(160)[i]
    table = responses(given, image, k=1000)
    values = found.activations[layer]
    for row in table.itertuples():
        column = values[:, row.neuron]
        alike = np.abs(column - column[i]) <= 1e-5 * np.abs(column).max()
        expected = 100 * (np.sum((column < column[i]) & ~alike) + alike.sum() / 2) / len(column)
        assert row.percentile == pytest.approx(expected)
        assert row.activation == pytest.approx(column[i], rel=1e-4, abs=1e-5)
        assert row.deviations == pytest.approx((column[i] - column.mean()) / column.std(), abs=1e-3)
        assert row.concept == given.reading.label(layer, row.neuron)
    assert table.percentile.round(3).is_monotonic_decreasing


@pytest.mark.parametrize("seed", range(8))
def test_the_concept_of_an_image_made_for_it_is_nearest(given, seed):
    image = np.random.default_rng(seed).uniform(0, 6000, (8, 8))
    image[seed] = 50000
    table = near_concepts(given, image.astype(np.uint16))
    assert table.concept[0] == given.reading.names[seed]
    known = given.reading.dissection.image_concept_sims[:, seed]
    assert table.deviations[0] == pytest.approx((table.similarity[0] - known.mean()) / known.std(), abs=1e-4)


def test_constant_and_broken_neurons_are_left_out(given, found):
    layer = found.layers[0]
    values = found.activations[layer].copy()
    values[:, 0], values[3, 1], values[:, 2] = 2.0, np.nan, -np.inf
    broken = replace(given, reading=Reading(replace(found, activations={layer: values})))
    table = responses(broken, toys.toy_images(8)[0], k=1000)
    assert not {0, 1, 2} & set(table.neuron)
    named = ~np.isin(found.notes[layer].astype(str), ["constant", "not finite"])
    assert set(table.neuron) == set(np.flatnonzero(named)) - {0, 1, 2}


def test_the_view_goes_to_a_neuron_that_is_chosen(explorer):
    explorer.own_image.take(toys.toy_images(8)[3])
    assert explorer.own_image.responses.groupby("layer").size().max() == 5
    before = explorer.state
    assert "own" not in json.dumps(before)
    buttons = [one for one in explorer.own_image.neurons.children if hasattr(one, "click")]
    buttons[2].click()
    assert explorer.neuron == explorer.own_image.responses.neuron[2]
    explorer.own_image.remove.click()
    assert explorer.own_image.responses is None
    assert explorer.own_image._image is None
    assert explorer.own_image.upload.layout.display is None
    assert explorer.own_image.picture.jpeg == b""


def png(folder, array, name="mine.png"):
    Image.fromarray(array).save(folder / name)
    return folder / name


@pytest.mark.parametrize("kind", ["array", "path", "str", "upload"])
def test_an_image_may_be_given_in_many_ways(found, target, tmp_path, kind):
    image = (toys.toy_images(8)[2] // 257).astype(np.uint8)
    path = png(tmp_path, image)
    before = sorted(tmp_path.rglob("*"))
    of = {"array": image, "path": path, "str": str(path)}.get(kind)
    parts = {"probe": toys.toy_probe(), "target": target, "dissector": toys.RowDissector()}
    explorer = mdissect.explore(found, query_image=of, **parts)
    if kind == "upload":
        upload(explorer.own_image, path.read_bytes())
        assert explorer.own_image.upload.value == ()
    assert explorer.own_image.concepts.concept[0] == found.concepts.names[2]
    assert len(explorer.own_image.responses)
    assert sorted(tmp_path.rglob("*")) == before
    held = explorer.own_image.picture.get_state()
    assert not any(isinstance(value, (bytes, memoryview)) and len(value) for value in held.values())


def test_dicom_is_known_by_its_content(tmp_path, found, target):
    pixels = made_dicom.dicom_folder(tmp_path)
    name, expected = next(iter(pixels.items()))
    (path,) = [file for file in tmp_path.rglob("*") if file.is_file() and name in str(file)][:1]
    np.testing.assert_array_equal(own_image(path.read_bytes(), name="mine.png"), own_image(path))
    assert own_image(path).shape == expected.shape
    explorer = mdissect.explore(found, target=target, query_image=path)
    assert len(explorer.own_image.responses)


def test_it_is_read_as_the_probe_reads_its_own(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(3):
        png(tmp_path, rng.integers(0, 4096, (9, 7), dtype=np.uint16), f"{i}.png")
    twelve = mdissect.load_probe("folder", path=tmp_path, bits=12)
    np.testing.assert_array_equal(own_image(tmp_path / "1.png", twelve), twelve[twelve.position("1.png")])
    assert own_image(tmp_path / "1.png").max() < 4096  # as stored


BAD = [
    (b"", "mine.png: the file is empty"),
    (b"not an image", "mine.png: not a PNG, JPEG, TIFF or PGM/PPM image"),
    (b"\x89PNG\r\n\x1a\n broken", "mine.png: "),
    (b"\0" * 128 + b"DICM", "mine.png: "),
    (b"%PDF-1.4 ...", "mine.png: not a PNG"),
    (b"<svg></svg>", "mine.png: not a PNG"),
    (b"\xff\xd8\xff\xe0 cut", "mine.png: "),
]


@pytest.mark.parametrize(("content", "message"), BAD)
def test_a_wrong_file_is_told_and_changes_nothing(explorer, content, message):
    before = explorer.state
    upload(explorer.own_image, content)
    assert f"This file cannot be used: {message}" in explorer.own_image.message.value
    assert explorer.own_image.responses is None
    assert explorer.state == before


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        ("nowhere/mine.png", ValueError, "^mine.png: No such file"),
        (np.zeros((4, 4, 4), np.uint8), ValueError, "flatten RGBA"),
        (np.zeros((0, 4), np.uint8), ValueError, "no pixels"),
        (np.full((4, 4), np.nan), ValueError, "NaN"),
        (np.zeros((4, 4), np.int64), TypeError, "dtype int64"),
        (5, TypeError, "query_image"),
        ([[1, 2]], TypeError, "query_image"),
    ],
)
def test_a_wrong_query_image_is_one_error(found, target, image, error, message):
    with pytest.raises(error, match=message):
        mdissect.explore(found, target=target, query_image=image)


def test_what_is_missing_is_told(found, target, tmp_path):
    image = toys.toy_images(8)[0]
    panel = mdissect.explore(found, query_image=image).own_image
    assert "give the explorer its target=" in panel.message.value
    assert "give the explorer a dissector=" in panel.message.value
    assert (panel.responses, panel.concepts, panel.upload.disabled) == (None, None, True)
    panel = mdissect.explore(found, dissector=toys.RowDissector(), query_image=image).own_image
    assert "target=" in panel.message.value
    assert "dissector=" not in panel.message.value
    assert panel.concepts is not None
    found.to_csv(tmp_path / "labels.csv")
    panel = mdissect.explore(Dissection.from_csv(tmp_path / "labels.csv"), target=target, query_image=image).own_image
    assert "this result has no activations to compare the image with" in panel.message.value


def test_models_of_another_result_are_refused(given):
    image = toys.toy_images(8)[0]
    other = replace(given, target=replace(given.target, fingerprint="other"))
    with pytest.raises(ValueError, match="target 'Planted' is not the one of this result"):
        responses(other, image)
    given.dissector.__dict__["fingerprint"] = "other"
    with pytest.raises(ValueError, match="is not the one of this result"):
        near_concepts(given, image)
    del given.dissector.__dict__["fingerprint"]
    given.dissector.__dict__["needs_pixels"] = False
    with pytest.raises(ValueError, match="knows the images of its probe alone"):
        near_concepts(given, image)
    del given.dissector.__dict__["needs_pixels"]


def test_of_several_models_each_has_its_own_answer(found, target, cnn):
    other = toys.toy_dissect(cnn)
    explorer = mdissect.explore(
        {"one": found, "two": other}, target={"one": target, "two": cnn}, query_image=toys.toy_images(8)[0]
    )
    assert set(explorer.own_image.responses.layer) == set(found.layers)
    explorer.model = "two"
    assert set(explorer.own_image.responses.layer) == set(other.layers)


def test_how_far_a_layer_is_from_its_means_is_told(given, found):
    layer = found.layers[0]
    mean, spread = given.reading.moments(layer)
    for far in (0.5, 9.0):
        assert _ranked(given.reading, layer, mean + far * spread, 3).usual.to_numpy() == pytest.approx(far, rel=1e-3)


@pytest.mark.parametrize(("far", "warned"), [(1.0, False), (UNLIKE - 0.1, False), (UNLIKE + 0.1, True), (60.0, True)])
def test_an_image_unlike_the_probe_is_told(explorer, monkeypatch, far, warned):
    found = responses(explorer.own_image._given, toys.toy_images(8)[2]).assign(usual=far)
    monkeypatch.setattr("mdissect.explorers.own_image.responses", lambda *_: found)
    explorer.own_image.take(toys.toy_images(8)[2])
    assert ("unlike the probe" in explorer.own_image.message.value) == warned


def test_a_dropped_file_is_taken_as_one_that_is_chosen(explorer, tmp_path):
    panel = explorer.own_image
    Image.fromarray((toys.toy_images(8)[2] // 257).astype("uint8")).save(tmp_path / "mine.png")
    content = (tmp_path / "mine.png").read_bytes()
    panel.dropped._handle_custom_msg({"name": "mine.png"}, [memoryview(content)])
    by_drop = panel.responses
    upload(panel, content)
    assert by_drop.equals(panel.responses)
    panel.dropped._handle_custom_msg({"name": "no.png"}, [memoryview(b"no image")])
    assert panel.responses is None
    assert "This file cannot be used: no.png" in panel.message.value
    assert not {"content", "value"} & set(panel.dropped.get_state())  # nothing of it is in what a notebook may save
    assert not panel.dropped.disabled


def test_without_networks_nothing_can_be_dropped(found):
    assert mdissect.explore(found).own_image.dropped.disabled
