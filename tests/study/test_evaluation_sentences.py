"""An evaluation in sentences: the numbers are those of the table; what is missing is said."""

import pandas as pd
import pytest

from mdissect.evaluate import Evaluation, against_published
from mdissect.evaluate.result import as_table
from mdissect.study import evaluation_sentences as words


def zero(task: str, value: float, low: float, prompts: str = "bare phrase", metric: str = "auc") -> dict:
    return {"part": "zero-shot", "task": task, "prompts": prompts, "metric": metric, "value": value, "low": low,
            "high": value + 0.05, "chance": 0.5, "n": 100, "patients": 25}  # fmt: skip


def learnt(part: str, fraction: float, value: float, patients: int) -> dict:
    return zero("mass", value, value - 0.1, "") | {"part": part, "fraction": fraction, "training_patients": patients}


ROWS = [
    zero("mass", 0.9, 0.8), zero("implant", 0.7, 0.6), zero("scar", 0.45, 0.4), zero("mean of six", 0.8, 0.7),
    zero("mass", 0.88, 0.8, "five sentences"), zero("implant", 0.75, 0.6, "five sentences"),
    zero("scar", 0.48, 0.4, "five sentences"),
    *({"part": "retrieval", "task": "image to report", "metric": f"R@{k}", "value": k / 20, "low": k / 40, "high": k / 10,
       "chance": k / 100, "n": 100, "patients": 25} for k in (1, 5, 10)),
    learnt("linear probe", 0.1, 0.7, 8), learnt("linear probe", 1.0, 0.9, 80),
]  # fmt: skip
TABLE = as_table(ROWS)


def test_zero_shot():
    said = words.zero_shot_in_words(TABLE, "demo/mammo", most=2)
    assert "**2 of 3** findings have an interval above chance" in said
    assert "mean of six: **0.800** (0.700 to 0.850)" in said
    assert "best: mass, AUC 0.900 (0.800 to 0.950); implant, AUC 0.700 (0.600 to 0.750)" in said
    assert "worst: scar, AUC 0.450 (0.400 to 0.500)" in said
    assert words.zero_shot_in_words(TABLE[TABLE.part == "retrieval"], "M") == "Nothing was told from texts alone by M."


def test_ensembles():
    said = words.ensembles_in_words(TABLE)
    assert "mean AUC of **0.683**" in said
    assert "five sentences: +0.020, better for 2 of 3 findings" in said
    assert words.ensembles_in_words(TABLE[TABLE.prompts != "five sentences"]).startswith("Only one wording")


def test_retrieval():
    said = words.retrieval_in_words(TABLE)
    assert said.startswith("Among 100 images of 25 patients")
    assert "image to report: R@1 **0.050** (0.025 to 0.100), R@5 **0.250**" in said
    assert "chance 0.010, 0.050, 0.100" in said
    assert words.retrieval_in_words(TABLE[:3]) == "No reports were retrieved: the images have none."


def test_efficiency():
    said = words.efficiency_in_words(TABLE)
    assert "mass, linear probe: 10 % (8 patients) **0.700** (0.600 to 0.750), 100 % (80 patients) **0.900**" in said
    assert "50 % of the gain with 10 %" in said
    worse = as_table([learnt("fine-tune", 0.1, 0.4, 8), learnt("fine-tune", 1.0, 0.5, 80)])
    assert "gain with" not in words.efficiency_in_words(worse)  # there is none at all
    late = as_table([learnt("fine-tune", 0.1, 0.4, 8), learnt("fine-tune", 1.0, 0.8, 80)])
    assert words.efficiency_in_words(late).endswith("; no gain with 10 %")
    assert words.efficiency_in_words(TABLE[:3]) == "Nothing was learnt from labels."


def test_published():
    row = {"part": "fine-tune", "task": "mass", "fraction": 1.0, "metric": "auc", "value": 0.87, "low": 0.86, "high": 0.88}
    said = words.published_in_words(against_published(Evaluation(as_table([row | {"n": 4000}]), {"probe": "vindr"})))
    assert said.startswith("**1 of 1** published numbers lie within our intervals.")
    assert "mass, fine-tune: published 0.874, ours 0.870 (0.860 to 0.880); arXiv 2509.21102" in said
    other = words.published_in_words(against_published(Evaluation(TABLE, {"probe": "phantom"})))
    assert other.startswith("No score of ours can be compared with a published one")
    assert "the table has room for them" in other


@pytest.mark.parametrize("name", ["zero_shot_in_words", "ensembles_in_words", "retrieval_in_words", "efficiency_in_words"])
def test_wrong_tables_are_one_error(name):
    more = {"model": "M"} if name == "zero_shot_in_words" else {}
    with pytest.raises(ValueError, match="table has no column part"):
        getattr(words, name)(pd.DataFrame({"task": []}), **more)
    with pytest.raises(TypeError, match="table=3 must be a DataFrame"):
        getattr(words, name)(3, **more)
