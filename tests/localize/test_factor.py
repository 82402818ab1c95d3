"""Mammo-FActOR's mapper against a literal loop, the ranking of its channels, heatmaps, and its files."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from boxed import Words
from patches import spot, target

from mdissect.files import DamagedFileError
from mdissect.localize import FactorModel, attribute_scores, heatmaps, load_factor, overlay_source, save_factor
from mdissect.localize.factor import TEMPERATURE, FactorMapper, best_channels, stretched

pytestmark = pytest.mark.slow

ATTRIBUTES = {"bright spot": "bright spot", "implant": "an implant"}


def mapper(n_places=6, hidden=3, width=5, n_channels=4, own=True, seed=0) -> FactorMapper:
    torch.manual_seed(seed)
    scale = torch.stack([torch.randn(n_channels if own else 1), torch.rand(n_channels if own else 1) + 0.5])
    return FactorMapper(torch.randn(2, width), n_places, hidden, scale, n_channels if own else None)


def literal(module: FactorMapper, image: torch.Tensor, attribute: int, channel: int) -> float:
    """The cosine of one channel's map (n_places,), step by step."""
    own = channel if module.scale.shape[1] > 1 else 0
    hidden = torch.relu((image - module.scale[0, own]) / module.scale[1, own] @ module.first[attribute]
                        + module.first_bias[attribute, channel if module.first_bias.shape[1] > 1 else 0])  # fmt: skip
    mapped = hidden @ module.second[attribute] + module.second_bias[attribute, 0]
    return float(mapped @ module.texts[attribute] / mapped.norm())


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("width", [3, 16])  # fewer and more than hidden + 1: with and without the change of directions
def test_cosines_and_scores_are_those_of_a_loop(own, width):
    module, maps = mapper(width=width, own=own), torch.randn(3, 4, 6)
    with torch.no_grad():
        expected = np.array([[[literal(module, maps[i, c], a, c) for c in range(4)] for a in range(2)] for i in range(3)])
        np.testing.assert_allclose(module.cosines(maps), expected, atol=1e-5)
        np.testing.assert_allclose(module.scores(maps), expected.max(axis=2) / TEMPERATURE, atol=1e-4)


@pytest.mark.parametrize("own", [True, False])
def test_the_gradient_is_that_of_the_maximum_over_all_channels(own):
    module, maps = mapper(own=own), torch.randn(3, 4, 6)
    module.scores(maps).sum().backward()
    found = [parameter.grad.clone() for parameter in module.parameters()]
    module.zero_grad()
    channels, attributes = torch.arange(4).repeat(3), torch.zeros(12, dtype=torch.int64)
    every = [module.cosines_of(maps.flatten(0, 1), channels, attributes + a).view(3, 4).amax(dim=1) for a in range(2)]
    (torch.stack(every).sum() / TEMPERATURE).backward()
    for one, parameter in zip(found, module.parameters(), strict=True):
        torch.testing.assert_close(one, parameter.grad, atol=1e-4, rtol=1e-4)


def test_channels_that_share_a_mapper_may_change_places():
    module, maps, order = mapper(own=False), torch.randn(3, 4, 6), [2, 0, 3, 1]
    torch.testing.assert_close(module.cosines(maps)[..., order], module.cosines(maps[:, order]))
    torch.testing.assert_close(module.scores(maps), module.scores(maps[:, order]))


@pytest.mark.parametrize("seed", range(8))
def test_the_ranking_takes_channels_that_tell_images_apart_by_a_bright_map(seed):
    """Channel 1 is bright with the attribute, 0 dark, 2 and 3 are noise; the mapper reads the size of the mean."""
    rng = np.random.default_rng(seed)
    present = rng.random(60) < 0.4
    maps = rng.normal(size=(60, 4, 6)).astype(np.float32) * 0.1
    maps[:, 1] += present[:, None]
    maps[:, 0] -= present[:, None]
    module = FactorMapper(torch.tensor([[1.0, 0.0]]), 6, 2)
    with torch.no_grad():  # towards the text as far as the mean is from 0, the one way or the other
        module.first[0] = torch.tensor([[1.0, -1.0]] * 6) / 6
        module.first_bias.zero_()
        module.second[0] = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
        module.second_bias[0, 0] = torch.tensor([0.0, 0.3])
    module.rank(torch.from_numpy(maps).half(), present[:, None])
    assert module.ranking[0, 0] == 1
    assert module.ranking[0].tolist().index(0) >= 1
    assert module.peaks[0, 0] == 1
    np.testing.assert_allclose(module.spread, maps.std(axis=(0, 2)), rtol=0.01)
    assert best_channels(module, 0, torch.zeros(5, 4), 2, "attribute").shape == (5, 2)


@pytest.mark.parametrize("seed", range(8))
def test_the_peak_chooses_the_channel_that_points_where_the_mapper_looks_elsewhere(seed):
    """Channel 0 has a bright place with the attribute; the mean of channel 1, of which the mapper takes note, rises evenly."""
    rng = np.random.default_rng(seed)
    present = rng.random(80) < 0.4
    maps = rng.normal(size=(80, 3, 6)).astype(np.float32) * 0.1
    maps[np.flatnonzero(present), 0, rng.integers(0, 6, present.sum())] += 2
    maps[:, 0] -= maps[:, 0].mean(axis=1, keepdims=True)
    maps[:, 1] += 0.15 * present[:, None]
    module = FactorMapper(torch.tensor([[1.0, 0.0]]), 6, 2)
    with torch.no_grad():  # towards the text as far as the mean is above 0
        module.first[0] = torch.tensor([[1.0, -1.0]] * 6) / 6
        module.first_bias.zero_()
        module.second[0] = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
        module.second_bias[0, 0] = torch.tensor([0.0, 0.3])
    module.rank(torch.from_numpy(maps), present[:, None])
    assert module.ranking[0, 0] == 1
    assert module.peaks[0, 0] == 0
    cosines = torch.zeros(4, 3)
    assert [best_channels(module, 0, cosines, 1, way)[0, 0].item() for way in ("peak", "attribute")] == [0, 1]


def test_a_constant_channel_is_ranked_last_and_has_no_part():
    maps = torch.zeros(10, 2, 6)
    maps[:5, 1] = 1.0
    module = mapper(n_channels=2)
    module.rank(maps, np.array([[True, True], [True, False]] * 2 + [[True, False]] + [[False, True]] * 5))
    assert module.spread.tolist()[0] == 1.0
    assert module.ranking.shape == (2, 2)
    assert stretched(torch.tensor([[2.0, 2.0], [1.0, 3.0]])).tolist() == [[0.0, 0.0], [0.0, 1.0]]


@pytest.fixture
def model() -> FactorModel:
    """A mapper for the network of patches whose channel 0, the brightness, is the first of both attributes."""
    module = FactorMapper(Words().embed_texts(list(ATTRIBUTES.values())), 48, 2)
    module.ranking, module.peaks = torch.tensor([[0, 1], [0, 1]]), torch.tensor([[0, 1], [0, 1]])
    module.spread = torch.ones(2)
    module.eval().requires_grad_(False)
    return FactorModel(target(orient="left"), Words(), "signs", dict(ATTRIBUTES), module)


@pytest.mark.parametrize("column", [0, 32])
def test_heat_lies_where_the_channel_responds_also_in_a_mirrored_image(model, column):
    found = heatmaps(model, [spot(16, column)], "bright spot", n_channels=1)
    (heat,) = found.maps
    assert heat.shape == (64, 48)
    assert heat[20, column + 4] >= 0.85  # bilinear: the middle lies between pixels
    assert heat.max() <= 1
    assert heat[40, 24] == 0
    assert found.channels.tolist() == [[0]]
    np.testing.assert_allclose(found.scores, attribute_scores(model, [spot(16, column)])[:, 0])
    np.testing.assert_array_equal(overlay_source(model)(spot(16, column), "bright spot"),
                                  heatmaps(model, [spot(16, column)], "bright spot").maps[0])  # fmt: skip


def test_images_alone_and_together_and_none(model):
    images = [spot(8 * (i % 7), 8 * (i % 5)) for i in range(19)]
    together = heatmaps(model, images, "implant", chosen_by="image")
    alone = heatmaps(model, images[-1:], "implant", chosen_by="image")
    np.testing.assert_allclose(together.maps[-1], alone.maps[0], atol=1e-6)
    none = heatmaps(model, [], "implant")
    assert (none.maps, none.scores.shape) == ([], (0,))
    assert heatmaps(model, [np.zeros((64, 48), np.uint8)], "implant").maps[0].max() == 0  # points nowhere


@pytest.mark.parametrize(
    ("sentence", "attribute", "exact"),
    [("Bright Spot", "bright spot", True), ("an implant", "implant", True), ("a dark spot", "bright spot", False)],
)
def test_a_sentence_is_read_as_the_nearest_attribute(model, sentence, attribute, exact):
    found = model.read(sentence)
    assert found.attribute == attribute
    assert (found.cosine == 1.0) == exact
    assert attribute in str(found)


def test_without_a_dissector_only_the_attributes_are_read(model):
    blind = replace(model, dissector=None)
    assert blind.read("implant").attribute == "implant"
    with pytest.raises(ValueError, match=r"sentence='dark' is none of the attributes \(bright spot, implant\)"):
        blind.read("dark")


def test_a_saved_one_is_read_again(model, tmp_path):
    save_factor(model, tmp_path)
    images = [spot(16, 8), spot(40, 32)]
    again = load_factor(tmp_path, model.target, model.dissector)
    before, after = heatmaps(model, images, "implant"), heatmaps(again, images, "implant")
    np.testing.assert_array_equal(before.maps[1], after.maps[1])
    np.testing.assert_array_equal(before.scores, after.scores)
    with pytest.raises(FileNotFoundError, match="holds no Mammo-FActOR"):
        load_factor(tmp_path / "nothing")
    with pytest.raises(ValueError, match="has other weights or another preprocessing"):
        load_factor(tmp_path, target(size=(16, 12)), model.dissector)
    (weights,) = tmp_path.glob("mapper-*.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(DamagedFileError):
        load_factor(tmp_path, model.target, model.dissector)


def test_other_maps_than_in_the_training(model):
    with pytest.raises(ValueError, match="gives maps of 4 x 3 places, the mapper was trained on 48"):
        heatmaps(replace(model, target=target(size=(16, 12))), [spot(0, 0)], "implant")
