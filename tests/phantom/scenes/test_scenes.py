import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mdissect.phantom.scenes import SCENES_VERSION, render_scene, sample_scene
from mdissect.phantom.scenes.landscapes import LANDSCAPES
from mdissect.phantom.scenes.palette import COLOURS, INKS, distance
from mdissect.phantom.scenes.scenes import CATALOGUE, GROUPS, SceneTruth, places
from mdissect.phantom.scenes.shapes import BODY, Plane, union
from mdissect.phantom.scenes.textures import NATURAL_COLOURS, TEXTURES, grid, surface

# Two sets of ten classes for probes like ImageNette (easy to tell apart) and ImageWoof (similar).
CLASS_GROUPS = {
    "nette": ("fish", "dog", "cassette player", "ball", "church", "guitar", "truck", "gas pump", "parachute", "camera"),
    "woof": ("bear", "bird", "cat", "dog", "duck", "owl", "penguin", "pig", "rabbit", "turtle"),
}
GOLDEN = json.loads((Path(__file__).parent / "golden_scenes.json").read_text())


def scene(name="star", colour="red", texture="plain", background="white", **fields):
    plain = SceneTruth(3, name, CATALOGUE[name].group, colour, texture, background, "plain", "", 1, "large")
    return replace(plain, **fields)


def scene_mask(truth, seed, size=128):
    """Where the thing's own colour and texture are seen, (size, size) bool."""
    mask = np.zeros((size, size), bool)
    for window, plane, _ in places(truth, seed, size) if truth.object else ():
        for part in CATALOGUE[truth.object].draw(plane):
            inside = part.distance < 0
            mask[window] = mask[window] & ~inside if part.ink != BODY else mask[window] | inside
    return mask


def nearest(rgb):
    """The name of the colour nearest to an RGB colour (3,) in [0, 1]."""
    return min(COLOURS, key=lambda name: float(np.linalg.norm(np.subtract(COLOURS[name], rgb))))


def block_means(image, blocks=4):
    side = len(image) // blocks
    return image.reshape(blocks, side, blocks, side, 3).mean((1, 3))


def golden_entry(index):
    """What golden_scenes.json beside it keeps of a scene; write it anew from this when SCENES_VERSION changes."""
    truth = sample_scene(GOLDEN["seed"], index)
    means = block_means(render_scene(truth, GOLDEN["seed"]))
    return {"index": index, "truth": truth.as_row(), "block_means": means.round(2).tolist()}


@pytest.mark.parametrize("kept", GOLDEN["scenes"], ids=lambda kept: str(kept["index"]))
def test_scenes_are_the_same_on_every_machine(kept):
    assert GOLDEN["version"] == SCENES_VERSION
    now = golden_entry(kept["index"])
    assert now["truth"] == kept["truth"]
    assert np.abs(np.subtract(now["block_means"], kept["block_means"])).max() <= 1


def test_a_scene_is_the_same_alone_and_in_any_order():
    alone = render_scene(sample_scene(4, 17), 4)
    for order in (range(15, 19), reversed(range(15, 19))):
        assert np.array_equal({i: render_scene(sample_scene(4, i), 4) for i in order}[17], alone)


def test_seed_and_index_matter():
    first = sample_scene(0, 0)
    assert first.as_row() != sample_scene(0, 1).as_row() | {"index": 0}
    assert first != sample_scene(1, 0)
    assert not np.array_equal(render_scene(first, 0), render_scene(first, 1))


@pytest.mark.parametrize("size", [64, 96, 128, 130])
def test_form_of_a_scene(size):
    for truth in [*(sample_scene(0, i) for i in range(4)), *(sample_scene(0, 0, [name]) for name in CLASS_GROUPS["nette"])]:
        image = render_scene(truth, 0, size)
        assert (image.shape, image.dtype) == ((size, size, 3), np.uint8)
        mask = scene_mask(truth, 0, size)
        assert mask.any() == bool(truth.object)
        assert not mask.all()


def test_everything_can_be_drawn():
    truths = [sample_scene(0, i) for i in range(3000)]
    assert {t.object for t in truths} == {*CATALOGUE, ""}
    assert {t.group for t in truths} == {*GROUPS, ""}
    assert {t.colour for t in truths} == {*COLOURS, ""} == {t.background for t in truths}
    assert {t.texture for t in truths} == {*TEXTURES, ""} == {t.background_texture for t in truths}
    assert {t.landscape for t in truths} == {*LANDSCAPES, ""}
    assert {(t.count, t.size) for t in truths} == {(0, ""), (1, "large"), (1, "small"), (2, ""), (3, ""), (4, "")}


def test_truths_are_consistent():
    for truth in (sample_scene(2, i) for i in range(500)):
        if not truth.object:
            assert bool(truth.texture) != bool(truth.landscape)
            assert not truth.background
            continue
        assert bool(truth.background) == bool(truth.background_texture) != bool(truth.landscape)
        behind = truth.background or LANDSCAPES[truth.landscape].colour
        assert distance(truth.colour, behind) >= 0.45
        assert truth.texture == "plain" or not CATALOGUE[truth.object].thin


@pytest.mark.parametrize("group", CLASS_GROUPS)
def test_classes(group):
    classes = CLASS_GROUPS[group]
    assert len(set(classes)) == 10
    assert {sample_scene(0, i, classes).object for i in range(200)} == set(classes)


def test_unknown_class_is_named():
    with pytest.raises(ValueError, match="unicorn"):
        sample_scene(0, 0, ["fish", "unicorn"])


@pytest.mark.parametrize("name", CATALOGUE)
def test_things_fill_their_frame(name):
    thing = CATALOGUE[name]
    u, v = grid(96)
    parts = thing.draw(Plane((u - 64) / 50, (v - 64) / 50))
    inside = union(*[part.distance for part in parts]) < 0
    assert all(np.isfinite(part.distance).all() and part.distance.shape == u.shape for part in parts)
    assert all(part.ink in INKS or part.ink == BODY for part in parts)
    assert set(thing.colours) <= set(COLOURS)
    assert max(np.ptp(u[inside]), np.ptp(v[inside])) > 70, "smaller than its frame"
    assert max(abs(u[inside] - 64).max(), abs(v[inside] - 64).max()) < 57.5, "larger than its frame"
    assert scene_mask(scene(name), 0).mean() > (0.05 if thing.thin else 0.09), "too little of its own colour is seen"


def test_a_polygon_does_not_leak_along_its_corners():
    rng = np.random.default_rng(0)
    heights = rng.uniform(-0.9, 0.9, (200, 3)).astype(np.float32)
    for a, b, c in heights:
        u, v = np.meshgrid(np.array([-1.4, 1.4], np.float32), np.array([a, b, c]))
        assert (Plane(u, v).polygon((-0.5, float(a)), (0.1, float(b)), (0.6, float(c))) > 0).all()


def test_things_differ_in_outline():
    u, v = grid(64)
    plane = Plane((u - 64) / 56, (v - 64) / 56)
    parts = [union(*[part.distance for part in thing.draw(plane)]) < 0 for thing in CATALOGUE.values()]
    flat = np.array(parts).reshape(len(parts), -1).astype(float)
    shared = flat @ flat.T
    overlap = shared / (flat.sum(1)[:, None] + flat.sum(1) - shared) - np.eye(len(flat))
    assert overlap.max() < 0.96


def test_pixels_have_the_named_colours():
    right, total = 0, 0
    for colour in COLOURS:
        for name in ("fish", "circle", "house"):
            background = max(COLOURS, key=lambda other, colour=colour: distance(colour, other))
            truth = scene(name, colour, background=background, index=total)
            image = render_scene(truth, 1) / 255
            right += (nearest(np.median(image[scene_mask(truth, 1)], 0)) == colour) + (
                nearest(image[:, :3].mean((0, 1))) == background
            )
            total += 2
    assert right / total > 0.97


def test_the_thing_stands_out_of_its_background():
    for truth in (sample_scene(6, i, CLASS_GROUPS["nette"]) for i in range(60)):
        if truth.texture == truth.background_texture == "plain":
            image, mask = render_scene(truth, 6) / 255, scene_mask(truth, 6)
            edge = np.concatenate([image[:3].reshape(-1, 3), image[-3:].reshape(-1, 3)])
            assert np.linalg.norm(np.median(image[mask], 0) - np.median(edge, 0)) > 0.2, truth


@pytest.mark.parametrize("texture", TEXTURES)
def test_textures_keep_their_colour_and_can_be_seen(texture):
    assert set(NATURAL_COLOURS.get(texture, ())) <= set(COLOURS)
    for colour in NATURAL_COLOURS.get(texture, ("red", "blue", "white", "black")):
        rgb = np.array(COLOURS[colour])
        image = surface(rgb, texture, 128, np.random.default_rng(0))
        assert image.min() >= 0
        assert image.max() <= 1
        assert np.linalg.norm(image.mean((0, 1)) - rgb) < 0.5
        if texture == "plain":
            assert np.ptp(image, (0, 1)).max() == 0
        else:
            assert image.std((0, 1)).max() > 0.04
        calm = surface(rgb, texture, 128, np.random.default_rng(0), strength=0.5)
        assert np.allclose(calm - rgb, 0.5 * (image - rgb), atol=1e-5)


def test_landscapes_have_the_named_colour_in_their_middle():
    for name, landscape in LANDSCAPES.items():
        bare = SceneTruth(0, "", "", "", "", "", "", name, 0, "")
        middle = render_scene(bare, 0)[56:104].reshape(-1, 3).mean(0) / 255
        assert np.linalg.norm(middle - COLOURS[landscape.colour]) < 0.45, name


def test_dark_things_show_their_details():
    black = render_scene(scene("pig", "black"), 0) / 255
    assert black[scene_mask(scene("pig", "black"), 0)].std() < 0.15
    assert (np.abs(black - 0.5).max(-1) < 0.1).sum() > 100
