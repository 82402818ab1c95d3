"""Zero-shot scores on worlds whose truth is known."""

import numpy as np
import pytest

from mdissect.metrics import auc
from mdissect.phantom.mammograms import reports, sample_truth
from mdissect.phantom.scenes import captions
from mdissect.train.demo.zeroshot import (
    FEWEST_POSITIVES,
    GOAL,
    MAMMOGRAM_PROMPTS,
    SCENE_FAMILIES,
    intervals,
    mammogram_scores,
    retrieval,
    scene_scores,
)

N_IMAGES = 800


class Facts:
    """A world without pixels: what `zeroshot` reads of one."""

    def __init__(self, keys: list[str], facts: np.ndarray):
        self.keys, self.facts = keys, facts

    def __len__(self) -> int:
        return len(self.facts)

    def fact(self, key: str) -> np.ndarray:
        return self.facts[:, self.keys.index(key)]


@pytest.fixture(scope="module")
def mammograms() -> Facts:
    truths = [sample_truth(2, index) for index in range(N_IMAGES)]
    return Facts(reports.factor_keys(), np.stack([reports.factor_vector(truth) for truth in truths]))


TEXT_OF = {
    text: key for yes, no, yes_text, no_text in MAMMOGRAM_PROMPTS.values() for key, text in ((yes, yes_text), (no, no_text))
}


def test_prompts_speak_of_facts_that_reports_know():
    keys = set(reports.factor_keys())
    used = {key for yes, no, _, _ in MAMMOGRAM_PROMPTS.values() for key in (yes, no) if key}
    assert used <= keys
    assert set(GOAL) <= set(MAMMOGRAM_PROMPTS)
    texts = [text for _, _, *pair in MAMMOGRAM_PROMPTS.values() for text in pair if text]
    truth = reports.concept_truth(texts)
    for finding, (yes, _, yes_text, _) in MAMMOGRAM_PROMPTS.items():
        assert truth.get(yes_text, (yes,)) == (yes,), finding  # the text says what is counted as present


def test_a_model_that_knows_scores_one(mammograms):
    def similarity(text: str) -> np.ndarray:
        return mammograms.fact(TEXT_OF[text]).astype(float) if TEXT_OF[text] else np.zeros(N_IMAGES)

    scores = mammogram_scores(mammograms, similarity)
    assert list(scores) == ["mean of six", *MAMMOGRAM_PROMPTS]
    assert scores == dict.fromkeys(scores, 1.0)


def test_a_model_that_knows_nothing_scores_a_half(mammograms):
    scores = mammogram_scores(mammograms, lambda text: np.full(N_IMAGES, 0.3))
    assert scores == dict.fromkeys(scores, 0.5)


def test_the_denial_is_taken_off(mammograms):
    """A direction that all images share counts in the text and in its denial, and cancels."""
    rng = np.random.default_rng(0)
    shared = 10 * rng.standard_normal(N_IMAGES)
    mass = mammograms.fact("mass")
    scores = mammogram_scores(mammograms, lambda text: shared + (mass if text == "mass" else 0))
    assert scores["mass"] == pytest.approx(1.0)
    assert scores["nipple marker"] == pytest.approx(auc(mammograms.fact("nipple_marker"), shared))  # it has no denial


def test_of_two_only_their_images_count(mammograms):
    """Density D against A: images of density B and C have no say."""
    value = mammograms.fact("density=D") + 5.0 * (mammograms.fact("density=B") | mammograms.fact("density=C"))
    scores = mammogram_scores(mammograms, lambda text: value if text == "extremely dense breast" else 0 * value)
    assert scores["density D vs A"] == 1.0


def test_the_headline_is_the_mean_of_six(mammograms):
    rng = np.random.default_rng(1)
    noise = {text: rng.standard_normal(N_IMAGES) for text in TEXT_OF}
    scores = mammogram_scores(mammograms, noise.__getitem__)
    assert scores["mean of six"] == pytest.approx(np.mean([scores[finding] for finding in GOAL]))


def test_scenes_by_family():
    keys = ["object=ball", "object=cat", "object=rare", "colour=red", "count=2", "outdoor"]
    facts = np.zeros((40, len(keys)), dtype=bool)
    facts[:10, 0] = facts[10:20, 1] = facts[: FEWEST_POSITIVES - 1, 2] = facts[::2, 3] = facts[:20, 4] = facts[:20, 5] = True
    world = Facts(keys, facts)
    right, wrong = facts[:, 0].astype(float), -facts[:, 1].astype(float)
    score_of = {"object=ball": right, "object=cat": wrong, "object=rare": -right, "colour=red": np.zeros(40)}
    assert scene_scores(world, score_of | {"count=2": right, "outdoor": right}) == {"object": 0.5, "colour": 0.5}
    assert scene_scores(world, {"object=rare": right}) == {}  # too few positives to say anything


def test_scene_families_are_those_of_the_captions():
    families = {key.partition("=")[0] for key in captions.factor_keys()}
    assert set(SCENE_FAMILIES) <= families
    key = next(key for key in captions.factor_keys() if key.startswith("object="))
    assert isinstance(captions.prompt(key), str)


def test_retrieval():
    texts = [f"report {i}" for i in range(20)]
    found = retrieval(np.eye(20), np.eye(20), texts)
    assert [hits.mean() for hits in found.values()] == [1, 1, 1]
    shifted = retrieval(np.eye(20), np.eye(20) + 2 * np.roll(np.eye(20), 1, axis=0), texts)  # another comes first, always
    assert [hits.mean() for hits in shifted.values()] == [0, 1, 1]
    said_twice = retrieval(np.eye(20), np.eye(20)[[0, 0, *range(2, 20)]], ["report 0", "report 0", *texts[2:]])
    np.testing.assert_allclose(said_twice["report found within 1"], [1, 2 / 20, *[1] * 18])  # of 20 ties two are right
    rng = np.random.default_rng(0)
    images, texts = rng.standard_normal((2, 400, 8))
    chance = retrieval(images, texts, [str(i) for i in range(400)])
    assert chance["report found within 10"].mean() == pytest.approx(10 / 400, abs=0.03)


def test_intervals_are_over_patients():
    hits = np.repeat(np.random.default_rng(0).random(100) < 0.3, 4).astype(float)  # four images of each patient, all alike

    def scored(weights):
        return {"share": float(np.average(hits, weights=weights))}

    low, high = intervals(scored, np.repeat(np.arange(100), 4))["share"]
    assert low < scored(None)["share"] < high
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(hits.mean() * (1 - hits.mean()) / 100), rel=0.15)
    within = intervals(scored, np.arange(400))["share"]
    assert within[1] - within[0] == pytest.approx((high - low) / 2, rel=0.2)


def test_a_resample_without_a_finding_is_left_out():
    present, score = np.arange(40) == 0, np.arange(40) % 3.0

    def scored(weights):
        return {"auc": auc(present, score, weights)}

    low, high = intervals(scored, np.arange(40))["auc"]
    assert low <= scored(None)["auc"] <= high
