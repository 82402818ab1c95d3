import numpy as np
import pytest

from mdissect.concepts import load_concepts
from mdissect.phantom.scenes import sample_scene
from mdissect.phantom.scenes import wording as words
from mdissect.phantom.scenes.captions import concept_truth, factor_keys, factor_vector, prompt, sample_caption, true_keys
from mdissect.phantom.scenes.landscapes import LANDSCAPES
from mdissect.phantom.scenes.palette import COLOURS
from mdissect.phantom.scenes.scenes import CATALOGUE, GROUPS, SceneTruth
from mdissect.phantom.scenes.textures import TEXTURES
from mdissect.phantom.text import Text


@pytest.fixture(scope="module")
def truths():
    return [sample_scene(0, i) for i in range(3000)]


@pytest.fixture(scope="module")
def captions(truths):
    rng = np.random.default_rng(0)
    return [sample_caption(truth, rng) for truth in truths]


def test_captions_hold_for_their_scene(truths, captions):
    for truth, caption in zip(truths, captions, strict=True):
        assert caption.holds(true_keys(truth)), (caption, truth)


def test_captions_assert_or_deny_something_known(captions):
    known = set(factor_keys())
    for caption in captions:
        assert caption.present | caption.absent
        assert caption.present | caption.absent <= known
        assert caption.text == " ".join(caption.text.split())


def test_captions_tell_scenes_apart(truths, captions):
    keys = [true_keys(truth) for truth in truths[:300]]
    compatible = np.array([[caption.holds(key) for key in keys] for caption in captions[:300]])
    assert compatible.diagonal().all()
    assert compatible.mean() < 0.2


def test_wording_varies_and_repeats_itself_with_the_seed(truths):
    def say(seed):
        rng = np.random.default_rng(seed)
        return [sample_caption(truths[5], rng) for _ in range(60)]

    assert say(1) == say(1)
    assert len({caption.text for caption in say(1)}) > 25


def test_whole_caption():
    truth = SceneTruth(0, "owl", "animal", "orange", "striped", "", "", "beach", 1, "large")
    rng = np.random.default_rng(0)
    texts = {sample_caption(truth, rng).text for _ in range(800)}
    assert "an orange striped owl on a beach" in texts
    assert "an owl" in texts
    assert not any(" a owl" in text or " a orange" in text for text in texts)


def test_many_things_are_in_the_plural():
    truth = SceneTruth(0, "butterfly", "animal", "blue", "plain", "white", "plain", "", 3, "")
    rng = np.random.default_rng(0)
    said = [caption for caption in (sample_caption(truth, rng) for _ in range(300)) if "several" in caption.present]
    assert said
    assert all("butterflies" in c.text or "insects" in c.text or "animals" in c.text or "creatures" in c.text for c in said)


def test_factors(truths):
    keys = factor_keys()
    vectors = np.array([factor_vector(truth) for truth in truths])
    assert vectors.shape == (len(truths), len(keys))
    assert vectors.dtype == bool
    assert len(keys) == len(set(keys))
    assert vectors.any(0).all(), np.array(keys)[~vectors.any(0)]
    assert [set(np.array(keys)[v]) for v in vectors[:200]] == [true_keys(truth) for truth in truths[:200]]


def test_wider_words_follow_from_the_scene():
    owl = SceneTruth(0, "owl", "animal", "orange", "wood", "", "", "forest", 1, "small")
    assert true_keys(owl) >= {"object=owl", "shows=bird", "shows=animal", "shows=tree", "shows=wood", "one", "size=small"}
    assert "shows=mammal" not in true_keys(owl)
    assert "nothing" in true_keys(SceneTruth(0, "", "", "red", "brick", "", "", "", 0, ""))


def test_concept_truth_is_within_the_factors_and_the_shipped_concepts():
    other = load_concepts("mammography").subset(domain="other").names
    shown = concept_truth(other)
    assert len(shown) >= 170
    assert set(shown) <= set(other)
    assert {key for needed in shown.values() for key in needed} <= set(factor_keys())
    assert shown["goldfish"] == ("object=fish", "colour=orange")
    assert shown["brick wall"] == ("shows=brick",)
    assert not concept_truth(load_concepts("mammography").subset(domain="mammography").names).keys() & {"breast", "mass"}


def test_captions_use_the_shipped_concepts(captions):
    shown = concept_truth(load_concepts("mammography").subset(domain="other").names)
    said = " | ".join(caption.text for caption in captions)
    assert sum(name in said for name in shown) >= 0.9 * len(shown)


def test_concept_names_are_read_in_any_case():
    assert concept_truth(["Fish", "axillary lymph node"]) == {"Fish": ("object=fish",)}


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("object=owl", "an owl"),
        ("object=sunglasses", "sunglasses"),
        ("colour=orange", "an orange object"),
        ("texture=wood", "a wooden object"),
        ("background=red", "a red background"),
        ("background_texture=dotted", "a dotted background"),
        ("landscape=beach", "beach"),
    ],
)
def test_prompts(key, words):
    assert prompt(key) == words


def test_prompt_of_another_family():
    with pytest.raises(ValueError, match="several"):
        prompt("several")


def test_words_name_what_exists():
    kinds = {kind for entry in CATALOGUE.values() for kind in (*entry.kinds, entry.group)}
    assert set(words.KINDS) | {"object", "nature"} >= kinds | set(GROUPS)
    assert set(words.NOUNS) <= set(CATALOGUE)
    assert set(words.WIDE_NAMES) <= set(CATALOGUE) & set(words.KINDS)
    assert set(words.COLOUR_WORDS) <= set(COLOURS)
    assert set(words.TEXTURE_NOUNS) == set(TEXTURES) >= set(words.TEXTURE_ADJECTIVES)
    assert set(words.LANDSCAPE_NOUNS) == set(words.LANDSCAPE_PLACES) == set(LANDSCAPES)
    assert {key for needed in words.JOINT.values() for key in needed} <= set(factor_keys())


def test_text_with_a_contradiction():
    with pytest.raises(ValueError, match="asserts and denies"):
        Text("a fish and no fish", frozenset({"object=fish"}), frozenset({"object=fish"}))
