"""The table against published numbers: room where we know none, whose numbers are compared, numbers of one's own."""

import numpy as np
import pandas as pd
import pytest

from mdissect.evaluate import PUBLISHED, Evaluation, against_published
from mdissect.evaluate.published import KEY, NOT_GIVEN
from mdissect.evaluate.result import as_table

pytestmark = pytest.mark.slow

FACTS = {  # FACTS_MODELS.md, section 6: all that is known
    ("density", "accuracy"): 0.860, ("density", "macro_f1"): 0.576, ("birads", "accuracy"): 0.795,
    ("birads", "macro_f1"): 0.523, ("mass", "auc"): 0.874, ("calcification", "auc"): 0.975,
}  # fmt: skip


def found(probe="vindr", n=4000, **row) -> Evaluation:
    given = {"part": "fine-tune", "task": "mass", "fraction": 1.0, "metric": "auc", "value": 0.9, "low": 0.85, "high": 0.93}
    zero = {"part": "zero-shot", "task": "mass", "metric": "auc", "value": 0.6, "low": 0.5, "high": 0.7, "n": n}
    rows = [given | {"n": n} | row, zero | {"prompts": "bare phrase"}, zero | {"prompts": "five sentences", "value": 0.8}]
    return Evaluation(as_table(rows), {"probe": probe})


def test_numbers_that_are_not_given_have_room_and_nothing_else():
    known = PUBLISHED[PUBLISHED.published.notna()]
    assert {(row.task, row.metric): row.published for row in known.itertuples()} == FACTS
    assert known.source.unique().tolist() == ["arXiv 2509.21102, Table 2 (Mammo-CLIP fine-tuned)"]
    room = PUBLISHED[PUBLISHED.published.isna()]
    assert set(room.source) == {NOT_GIVEN} == {"not given here; see arXiv 2405.12255"}
    learnt = room[room.part.isin(["linear probe", "fine-tune"])]
    assert set(learnt.fraction) == {0.1, 0.5, 1.0}
    assert not room.duplicated(KEY).any()


def test_scores_of_the_same_data_set_stand_beside_the_published_ones():
    table = against_published(found()).set_index(["part", "task", "fraction", "published"])
    row = table.loc[("fine-tune", "mass", 1.0, 0.874)]
    assert (row.ours, row.low, row.high, row.note) == (0.9, 0.85, 0.93, "")
    zero = against_published(found()).query("dataset == 'vindr' and part == 'zero-shot' and task == 'mass'")
    assert zero.ours.tolist() == [0.6]  # bare phrases, as published
    assert zero.source.tolist() == [NOT_GIVEN]
    rest = against_published(found()).query("task == 'calcification'")
    assert set(rest.note) == {"not evaluated"}
    assert rest.ours.isna().all()


def test_other_images_are_not_compared():
    table = against_published(found("phantom"))
    assert table.ours.isna().all()
    assert set(table[table.dataset == "vindr"].note) == {"evaluated on phantom, not on vindr: not comparable"}
    part = against_published(found(n=500)).query("published == 0.874")
    assert part.note.tolist() == ["evaluated on 500 of the 4000 test images"]


@pytest.mark.parametrize("as_file", [False, True])
def test_numbers_of_ones_own_fill_the_room(tmp_path, as_file):
    rows = [
        ("vindr", "zero-shot", "mass", np.nan, "auc", 0.5, "Table 9"),
        ("vindr", "fine-tune", "mass", 0.1, "auc", 0.4, "Table 9"),
    ]
    own = pd.DataFrame([*rows, ("vindr", "fine-tune", "mass", 0.5, "auc", np.nan, "")], columns=PUBLISHED.columns)
    if as_file:
        own.to_csv(tmp_path / "own.csv", index=False)
    table = against_published(found(), tmp_path / "own.csv" if as_file else own)
    assert len(table) == len(PUBLISHED)  # filled, not added
    zero = table.query("dataset == 'vindr' and part == 'zero-shot' and task == 'mass'").iloc[0]
    assert (zero.published, zero.source, zero.ours) == (0.5, "Table 9", 0.6)
    room = table.query("part == 'fine-tune' and task == 'mass' and fraction == 0.5")
    assert room.source.tolist() == [NOT_GIVEN]  # an empty cell fills nothing


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        (pd.DataFrame({"dataset": ["vindr"]}), "numbers has no column part, task, fraction, metric, published; it needs"),
        ("absent.csv", "absent.csv"),
        (3, "numbers=3 must be"),
        (PUBLISHED.assign(published="high"), "numbers, column 'published'"),
        (PUBLISHED.assign(fraction="all"), "numbers, column 'fraction'"),
    ],
)
def test_wrong_numbers_are_one_error(numbers, message):
    with pytest.raises((TypeError, ValueError, OSError)) as caught:
        against_published(found(), numbers)
    assert message in str(caught.value)


def test_only_an_evaluation_is_compared():
    with pytest.raises(TypeError, match="must be an Evaluation"):
        against_published(found().table)
