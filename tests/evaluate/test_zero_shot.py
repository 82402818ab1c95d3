"""Zero-shot tasks: planted AUCs, several texts, ensembles, ties, texts of one side alone; generated and real tables."""

import numpy as np
import pytest
from evaluated import Planted, planted_probe
from scipy.stats import norm

from mdissect.concepts import Prompts
from mdissect.evaluate.known import HEADLINE, generated_kind, learnable, zero_shot_tasks
from mdissect.evaluate.scoring import Resamples
from mdissect.evaluate.zero_shot import ZeroShotTask, zero_shot_rows
from mdissect.predictions.prompts import as_prompts
from mdissect.probes import load_probe

pytestmark = pytest.mark.slow

BARE = {"bare phrase": Prompts()}


def task(y, texts=(("no finding",), ("finding",)), means=(), name="seen") -> ZeroShotTask:
    y = np.array(y)
    classes = tuple(f"class {i}" for i in range(len(texts)))
    return ZeroShotTask(name, classes, texts, np.arange(len(y)), y, np.array([f"p{i}" for i in range(len(y))]), means)


def scores(images, tasks, ensembles=BARE, dissector=None) -> dict:
    images = np.asarray(images, dtype=float)
    images = images / np.linalg.norm(images, axis=1, keepdims=True)
    tasks = [tasks] if isinstance(tasks, ZeroShotTask) else tasks
    resamples = Resamples([f"p{i}" for i in range(len(images))], 40)
    rows = zero_shot_rows(dissector or Planted(), images, tasks, ensembles, resamples, 0.95)
    return {(row["task"], row["prompts"], row["metric"]): row for row in rows}


def test_hand_worked_scores():
    images = [[1, 0, 0, 0], [0.6, 0.8, 0, 0], [-0.6, 0.8, 0, 0], [0.2, 0.2, 0, 0.9]]
    found = scores(images, task([1, 0, 0, 1]))
    assert found["seen", "bare phrase", "auc"]["value"] == pytest.approx(3 / 4)  # 1 > .6, 1 > -.6, .2 > -.6, but .2 < .6
    assert found["seen", "bare phrase", "accuracy"]["value"] == pytest.approx(3 / 4)
    assert found["seen", "bare phrase", "accuracy"]["chance"] == 0.5
    assert found["seen", "bare phrase", "macro_f1"]["value"] == pytest.approx((4 / 5 + 2 / 3) / 2)


def test_planted_aucs_are_recovered():
    for seed, separation in enumerate((0.0, 0.5, 1.0, 1.5, 2.0, 0.5, 1.0, 1.5)):
        rng = np.random.default_rng(seed)
        y = np.arange(3000) % 2
        images = rng.normal(size=(3000, 4)) * [1, 0, 0, 0] + [0, 0, 0, 100]  # cosines in the order of the first number
        images[:, 0] += separation * y
        found = scores(images, task(y))["seen", "bare phrase", "auc"]["value"]
        assert found == pytest.approx(norm.cdf(separation / np.sqrt(2)), abs=0.04)


def test_a_blind_model_has_an_auc_of_a_half():
    images = np.ones((60, 4)) + np.random.default_rng(0).normal(0, 1e-9, (60, 4))  # alike but for rounding
    found = scores(images, task(np.arange(60) % 3 == 0))
    assert found["seen", "bare phrase", "auc"]["value"] == 0.5


def test_of_one_text_there_is_the_auc_alone():
    images = np.eye(4)
    found = scores(images, task([1, 0, 0, 0], ((), ("finding",))))
    assert list(found) == [("seen", "bare phrase", "auc")]
    assert found["seen", "bare phrase", "auc"]["value"] == 1.0


def test_of_several_texts_the_mean_direction_counts():
    images = np.array([[0.9, 0, 0, 0.1], [0, 0.9, 0, 0.1], [0.5, 0.4, 0.7, 0], [0, 0, 0, 1]])
    both = scores(images, task([1, 1, 1, 0], (("nothing",), ("finding", "other"))))
    alone = scores(images, task([1, 1, 1, 0], (("nothing",), ("finding",))))
    assert both["seen", "bare phrase", "accuracy"]["value"] == 1.0
    assert alone["seen", "bare phrase", "accuracy"]["value"] == pytest.approx(3 / 4)


def test_several_classes_are_told_by_the_most_similar_text():
    texts = (("finding",), ("other",), ("nothing",))
    found = scores([[1, 0.1, 0, 0], [0.1, 1, 0, 0], [0, 0, 0.1, 1], [1, 0.2, 0, 0]], task([0, 1, 2, 1], texts))
    assert found["seen", "bare phrase", "accuracy"]["value"] == pytest.approx(3 / 4)


def test_ensembles_are_means_over_sentences():
    class Sentences(Planted):
        @staticmethod
        def direction(text):
            base = {"finding": [1, 0, 0, 0], "no finding": [0, 1, 0, 0]}
            word = next((word for word in ("no finding", "finding") if word in text), None)
            added = [0, 0, 0.5 if text.startswith("a") else -0.5, 0] if text != word else [0] * 4
            return np.add(base.get(word, [0] * 4), added).tolist()

    ensembles = {"two": Prompts(("a {}", "b {}")), "subtracted": Prompts(("a {}", "b {}"), subtract_empty=True)} | BARE
    rng = np.random.default_rng(0)
    images, y = rng.normal(size=(50, 4)), np.arange(50) % 2
    found = scores(images, task(y), ensembles, Sentences())
    unit = images / np.linalg.norm(images, axis=1, keepdims=True)
    order = np.round(unit[:, 0] - unit[:, 1], 6)  # what the opposite halves of the two sentences leave
    expected = np.mean([np.sign(a - b) / 2 + 0.5 for a in order[y == 1] for b in order[y == 0]])
    for name in ensembles:
        assert found["seen", name, "auc"]["value"] == pytest.approx(expected, abs=0.02)


def test_means_are_over_the_tasks_that_name_them():
    images = [[1, 0, 0, 0], [0.6, 0.8, 0, 0], [-0.6, 0.8, 0, 0], [0.2, 0.2, 0, 0.9]]
    tasks = [task([1, 0, 0, 1], means=("mean of both",), name="a"), task([0, 0, 1, 1], means=("mean of both",), name="b")]
    found = scores(images, [*tasks, task([0, 1, 0, 1], name="c")])
    a, b = (found[name, "bare phrase", "auc"]["value"] for name in "ab")
    assert found["mean of both", "bare phrase", "auc"]["value"] == pytest.approx((a + b) / 2)


def test_texts_that_are_one_or_cancel_out_are_an_error():
    class Alike(Planted):
        def alike(self, texts):
            return [("finding", "no finding")]

    with pytest.raises(ValueError, match="prompts of 'seen': 'finding' and 'no finding' are the same to dissector 'planted'"):
        scores(np.eye(4), task([0, 1, 0, 1]), dissector=Alike())
    with pytest.raises(ValueError, match="prompts of 'seen': the embeddings of one side cancel out"):
        scores(np.eye(4), task([0, 1, 0, 1], (("other",), ("finding", "no finding"))))


def test_phantoms_are_asked_what_the_cards_ask():
    probe = load_probe("phantom", n_images=400, seed=2, cache=False)
    tasks, notes = zero_shot_tasks(probe, None, None)
    mass = next(one for one in tasks if one.name == "mass")
    assert mass.y.tolist() == probe.table.mass.astype(int).tolist()
    assert mass.texts == (("no mass",), ("mass",))
    assert sum(HEADLINE in one.means for one in tasks) == 6
    suspicious = next(one for one in tasks if one.name == "suspicious vs benign calcification")
    assert len(suspicious.y) == probe.table.calcification.sum()
    asked = {one.name for one in tasks} | {note.split(", ")[1].split(":")[0] for note in notes}
    assert {"mass", "implant", "saline vs silicone (gap)"} <= asked
    few, notes = zero_shot_tasks(probe.subset(slice(2)), None, None)
    assert all(0 < one.y.sum() < len(one.y) for one in few)
    assert any(note.endswith("of 2 images show it") for note in notes)


def test_images_of_two_kinds_are_no_phantoms():
    phantoms, scenes = load_probe("phantom", n_images=4, cache=False), load_probe("natural", n_images=4, cache=False)
    assert [generated_kind(probe) for probe in (phantoms, scenes, phantoms + scenes)] == ["phantom", "natural", ""]
    tasks, _ = zero_shot_tasks(phantoms + scenes, None, None)
    assert {"mass"} <= {one.name for one in tasks} <= {"mass", "suspicious calcification", "density"}


def test_scenes_are_asked_one_value_against_all_others():
    probe = load_probe("natural", n_images=120, cache=False)
    tasks, _ = zero_shot_tasks(probe, None, None)
    red = next(one for one in tasks if one.name == "colour=red")
    assert red.texts == ((), ("a red object",))
    assert red.y.tolist() == [int(colour == "red") for colour in probe.table.colour]
    assert min(one.y.sum() for one in tasks) >= 5
    assert {mean for one in tasks for mean in one.means} <= {
        f"mean of {f}" for f in ("object", "colour", "texture", "background")
    }


def test_real_tables_are_asked_what_was_published():
    findings = ["mass; suspicious calcification", "", "suspicious calcification", ""]
    probe = planted_probe(np.zeros((4, 4)), "vindr", findings=findings, density=["A", "B", "C", "D"])
    tasks, notes = zero_shot_tasks(probe, None, None)
    found = {one.name: (one.texts[-1][0], one.y.tolist()) for one in tasks}
    assert found == {
        "mass": ("mass", [1, 0, 0, 0]),
        "suspicious calcification": ("suspicious calcification", [1, 0, 1, 0]),
        "density": ("extremely dense breast", [0, 1, 2, 3]),
    }
    assert notes == [
        "zero-shot, malignancy: no column cancer",
        "zero-shot, density: texts in the words of BI-RADS, since no prompts for it were published",
    ]
    rsna = planted_probe(np.zeros((4, 4)), "rsna", cancer=[True, False, False, True])
    assert [(one.name, one.y.tolist()) for one in zero_shot_tasks(rsna, None, None)[0]] == [("malignancy", [1, 0, 0, 1])]


def test_prompts_of_ones_own_need_their_truth():
    probe = planted_probe(np.zeros((4, 4)), seen=[True, False, True, False], kind=["a", "b", "a", "b"])
    pairs = as_prompts("prompts", {"seen": ("finding", "no finding"), "more": (["other", "nothing"], "finding")})
    tasks, notes = zero_shot_tasks(probe, pairs, {"seen": "seen"})
    assert [one.y.tolist() for one in tasks] == [[1, 0, 1, 0]]
    assert notes == ["zero-shot, more: no truth was given"]
    with pytest.raises(ValueError, match="prompts of 'seen', 'more' need the columns with their truth"):
        zero_shot_tasks(probe, pairs, None)
    with pytest.raises(ValueError, match="'a' is not one of the classes"):
        zero_shot_tasks(probe, pairs[:1], "kind")


def test_what_can_be_learnt():
    probe = planted_probe(np.zeros((4, 4)), mass=[True, False, True, False], density=["A", "A", "A", "A"], cancer=[0, 1, 0, 1])
    found, notes = learnable(probe, None)
    assert list(found) == ["mass", "cancer"]
    assert notes == [
        "not learnt: calcification (no column calcification_suspicious or findings or Suspicious_Calcification)",
        "not learnt: density (column 'density' of probe 'planted' has one class only: A (4 images); a classifier needs two "
        "classes or more)",
    ]
    with pytest.raises(ValueError, match="has one class only: A"):
        learnable(probe, ["density"])
    unreadable = planted_probe(np.zeros((4, 4)), mass=["yes", "no", "maybe", "no"])
    for ask in (lambda: learnable(unreadable, None), lambda: zero_shot_tasks(unreadable, None, None)):
        with pytest.raises(ValueError, match="'maybe' is not yes or no"):  # a mistake, and no missing label
            ask()
