"""All parts of an evaluation together: the table, notes, wrong inputs, what is computed once; the cards of the demo models."""

import json
import re

import numpy as np
import pytest
from evaluated import Planted, labelled, planted_probe

from mdissect.concepts import Prompts
from mdissect.evaluate import EvaluationOptions, evaluate_dissector
from mdissect.evaluate.result import COLUMNS
from mdissect.models import load_dissector
from mdissect.paths import data_dirs
from mdissect.probes import load_probe
from mdissect.tables import read_text_table, with_numbers
from mdissect.train import Recipe, Running

pytestmark = pytest.mark.slow

QUIET = Running(device="cpu", workers=0, progress=False)
TEXTS = {"prompts": {"seen": ("finding", "no finding")}, "truth": "seen", "ensembles": {"bare phrase": Prompts()}}
LEARNT = {"tasks": ["seen"], "seeds": 2}
THREE = ("zero-shot", "retrieval", "linear probe")


def of(probe=None, dissector=None, output=None, target=None, store=None, **options):
    given = {"parts": THREE, "n_boot": 40} | TEXTS | LEARNT | options
    probe = labelled(160, report=[f"report {i}" for i in range(160)]) if probe is None else probe
    return evaluate_dissector(dissector or Planted(), probe, EvaluationOptions(**given), output, store, target, QUIET)


def test_one_table_holds_all_parts():
    found = of()
    table = found.table
    assert tuple(table.columns) == COLUMNS
    assert list(dict.fromkeys(table.part)) == list(THREE)
    assert table.groupby("part", sort=False).size().tolist() == [3, 6, 9]
    assert table[table.part == "zero-shot"].value.min() > 0.8
    assert (table.low <= table.value).all()
    assert (table.value <= table.high).all()
    assert found.settings["target"] == "planted"
    assert "160 images have one" in " ".join(found.notes)
    assert repr(found) == "Evaluation(planted on planted: zero-shot, retrieval, linear probe)"


@pytest.mark.slow
def test_the_same_again_and_in_parts(tmp_path):
    found = of(store=tmp_path / "store")
    again = of(store=tmp_path / "store")
    assert found.table.equals(again.table)
    for part in THREE:
        alone = of(parts=part, store=tmp_path / "store").table
        assert alone.equals(found.table[found.table.part == part].reset_index(drop=True))


def test_images_are_computed_once(tmp_path):
    class Counted(Planted):
        shown = 0

        def embed_images(self, batch):
            type(self).shown += len(batch)
            return super().embed_images(batch)

    of(dissector=Counted(), store=tmp_path)
    shown = Counted.shown
    of(dissector=Counted(), store=tmp_path, prompts={"seen": ("other", "nothing")})
    assert Counted.shown == shown


def test_texts_are_compared_with_the_test_images_of_a_divided_probe():
    probe = labelled(160, split=["training"] * 80 + ["test"] * 80)
    found = of(probe, parts=("zero-shot", "linear probe"))
    assert set(found.table.n) == {80}
    assert "zero-shot and retrieval use the 80 test images" in found.notes


def test_without_reports_the_others_are_evaluated():
    found = of(labelled(160))
    assert set(found.table.part) == {"zero-shot", "linear probe"}
    assert any(note.startswith("retrieval is left out: probe 'planted' has no column 'report'") for note in found.notes)


def test_images_without_a_report_are_left_out():
    reports = [f"report {i}" if i % 2 else "" for i in range(80)]
    found = of(labelled(80, text=reports), parts="retrieval", reports="text")
    assert set(found.table.n) == {40}


class Broken(Planted):
    def embed_images(self, batch):
        return super().embed_images(batch) * np.nan


class NoTower(Planted):
    def __init__(self):
        super().__init__()
        self._tower, self.image_tower = self.image_tower, None

    def embed_images(self, batch):
        self.image_tower = self._tower
        try:
            return super().embed_images(batch)
        finally:
            self.image_tower = None


WRONG = [
    ({"parts": "fine-tune"}, "the part 'fine-tune' needs output="),
    ({"parts": "zeroshot"}, "parts='zeroshot' is not one of 'zero-shot', 'retrieval', 'linear probe', 'fine-tune'"),
    ({"parts": []}, "parts=[] must be a list of str, at least one"),
    ({"parts": 3}, "parts=3 must be"),
    ({"prompts": None, "truth": None, "parts": "zero-shot"}, "has no truth for zero-shot classification"),
    ({"truth": None}, "prompts of 'seen' need the columns with their truth"),
    ({"truth": {"other": "seen"}}, "truth names 'other', but the findings are seen"),
    ({"truth": "cancer"}, "truth='cancer' is no column of probe 'planted'"),
    ({"tasks": ["cancer"]}, "no task 'cancer'"),
    ({"tasks": None, "parts": "linear probe"}, "has no labels to learn"),
    ({"tasks": []}, "tasks=[] must be a list of str"),
    ({"reports": "words"}, "reports='words' is no column of probe 'planted'; it has patient, seen"),
    ({"reports": 3}, "reports=3 must be a str"),
    ({"level": "patient"}, "level='patient' is not one of 'auto', 'image', 'breast'"),
    ({"level": "breast"}, "has no breasts to score"),
    ({"fractions": []}, "fractions=[] must hold one share"),
    ({"fractions": [0.1, 1.5]}, "fractions[1]=1.5 must be a number at least 0.001 and at most 1"),
    ({"fractions": True}, "fractions[0]=True must be a number"),
    ({"seeds": 0}, "seeds=0 must be"),
    ({"n_boot": 1}, "n_boot=1 must be"),
    ({"coverage": 1}, "coverage=1 must be a number above 0 and below 1"),
    ({"ensembles": {}}, "ensembles={} must hold one at least"),
    ({"ensembles": {"a": "a {}"}}, "ensembles['a']='a {}' must be"),
    ({"ensembles": 3}, "ensembles=3 must be"),
    ({"recipe": Recipe(test_fraction=0)}, "recipe has test_fraction=0"),
    ({"recipe": 3}, "recipe=3 must be a Recipe"),
    ({"dissector": Broken()}, "gives embeddings that are not finite, the first for image 'planted-000000'"),
    ({"dissector": NoTower(), "parts": "linear probe"}, "dissector 'planted' has no image tower to train: give target="),
    ({"dissector": "demo/mammo"}, "dissector='demo/mammo' must be a Dissector"),
    ({"probe": "phantom"}, "probe='phantom' must be a Probe"),
    ({"target": "demo/mammo"}, "target='demo/mammo' must be a Target"),
]


@pytest.mark.parametrize(("given", "message"), WRONG, ids=[message for _, message in WRONG])
def test_wrong_inputs_are_one_error(given, message):
    with pytest.raises((TypeError, ValueError)) as caught:
        of(**{"probe": labelled(40)} | given)
    assert message in str(caught.value)


def test_one_patient_and_one_class():
    alone = planted_probe(np.random.default_rng(0).normal(0, 0.1, (8, 4)), patient=["p"] * 8, seen=[True, False] * 4)
    table = of(alone, parts="zero-shot").table
    assert table.value.notna().all()
    assert table.low.isna().all()
    with pytest.raises(ValueError, match="1 patient with labels cannot be split into two parts"):
        of(alone, parts="linear probe")
    with pytest.raises(ValueError, match="has one class only"):
        of(alone.subset([0, 2]), parts="zero-shot")


@pytest.mark.slow
def test_towers_that_were_never_aligned_are_told():
    probe = load_probe("phantom", n_images=12, size=(64, 48), cache=False)
    found = evaluate_dissector(
        load_dissector("demo/general"), probe, EvaluationOptions(parts=["retrieval"], n_boot=10), running=QUIET
    )
    assert any("never aligned" in note for note in found.notes)


def test_labels_know_no_sentences_and_have_no_tower():
    probe = load_probe("phantom", n_images=40, size=(64, 48), cache=False)
    oracle = load_dissector("labels", probe=probe, column="findings")
    pair = {"prompts": {"mass": ("mass", "calcification")}, "truth": "mass"}
    found = evaluate_dissector(oracle, probe, EvaluationOptions(parts=["zero-shot"], n_boot=10, **pair), running=QUIET)
    assert "knows names of labels, no sentences" in " ".join(found.notes)
    with pytest.raises(ValueError, match="has no image tower to train"):
        evaluate_dissector(oracle, probe, EvaluationOptions(parts=["linear probe"]), running=QUIET)


def test_files_hold_the_table_and_what_produced_it(tmp_path):
    found = of()
    files = found.save(tmp_path / "scores.csv")
    assert [file.name for file in files] == ["scores.csv", "scores.json"]
    read, _ = with_numbers(read_text_table(files[0], own=True))
    np.testing.assert_allclose(read.value, found.table.value)
    assert read.part.tolist() == found.table.part.tolist()
    document = json.loads(files[1].read_text())
    assert document["options"]["fractions"] == [0.1, 0.5, 1.0]
    assert document["options"]["prompts"]["seen"] == {"positive": ["finding"], "negative": ["no finding"]}
    assert document["scores"][0]["value"] == found.table.value[0]
    assert "patient" not in files[1].read_text().replace('"patients"', "").replace("training_patients", "")
    with pytest.raises(ValueError, match=r"must end in \.csv"):
        found.save(tmp_path / "scores.txt")
    lines = found.summary()
    assert lines[0] == "planted on planted: 160 images"
    assert any(re.fullmatch(r"  seen, bare phrase: AUC [01]\.\d+ \(.*\); accuracy .*; macro F1 .*", line) for line in lines)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "probe", "aucs"), [("mammo", "phantom", 19), ("clip", "natural", 4)])
def test_the_cards_of_the_demo_models_are_met(name, probe, aucs):
    folder = next(folder for folder in data_dirs() if (folder / "demo" / name / "README.md").is_file())
    card = dict(re.findall(r"^\| ([^|]+?) \| (\d\.\d{3}) \|", (folder / "demo" / name / "README.md").read_text(), re.MULTILINE))
    options = EvaluationOptions(parts=["zero-shot"], n_boot=200, ensembles={"bare phrase": Prompts()})
    images = load_probe(probe, seed=2, n_images=240, cache=False)  # of the card's 1,000
    found = evaluate_dissector(load_dissector(f"demo/{name}"), images, options, running=QUIET)
    rows = found.table[found.table.metric == "auc"].set_index("task")
    scores = {task: float(card.get(task, card.get(task.removeprefix("mean of "), "nan"))) for task in rows.index}
    assert np.isfinite(list(scores.values())).sum() == aucs
    for task, score in scores.items():
        width = max(rows.high[task] - rows.low[task], 0.05)  # the card's images are these and others
        assert np.isnan(score) or abs(rows.value[task] - score) < width, task
