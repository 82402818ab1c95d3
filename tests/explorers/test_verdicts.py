"""Tests of readers' verdicts: kept as typed, resumed, and compared."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mdissect.concepts import ConceptSet
from mdissect.dissection import Dissection
from mdissect.explorers import Notes
from mdissect.explorers.verdicts import COLUMNS


@pytest.fixture
def notes(tmp_path):
    return Notes(tmp_path / "deep" / "verdicts.csv", result="M")


def test_a_verdict_is_in_the_file_at_once_and_resumes(notes):
    notes.record("deep", 3, "AB", verdict="partly", label="implant")
    notes.record("deep", 3, "AB", text='two of five, "saline"\nnot the rest', label="implant")
    again = Notes(notes.path, result="M").recall("deep", 3, "AB")
    assert (again.verdict, again.text, again.label) == ("partly", 'two of five, "saline"\nnot the rest', "implant")
    assert pd.read_csv(notes.path).columns.tolist() == COLUMNS


def test_a_verdict_can_be_changed_and_taken_back(notes):
    for verdict in ("right", "cannot tell", ""):
        notes.record("deep", 3, "AB", verdict=verdict)
        assert notes.recall("deep", 3, "AB").verdict == verdict
    assert len(notes.table) == 1


def test_readers_layers_and_results_are_kept_apart(notes):
    other = Notes(notes.path, result="G")
    for who, layer, verdict, where in (
        ("AB", "deep", "right", notes),
        ("CD", "deep", "wrong", notes),
        ("AB", "deep", "partly", other),
    ):
        where.record(layer, 1, who, verdict=verdict)
    assert notes.recall("deep", 1, "AB").verdict == "right"
    assert notes.recall("deep", 1, "CD").verdict == "wrong"
    assert other.recall("deep", 1, "AB").verdict == "partly"
    assert notes.recall("stem", 1, "AB").verdict == ""


def test_two_readers_writing_at_once_lose_nothing(notes):
    def read(reader):
        mine = Notes(notes.path, result="M")
        for neuron in range(15):
            mine.record("deep", neuron, reader, verdict="right")

    threads = [threading.Thread(target=read, args=(reader,)) for reader in ("AB", "CD")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(notes.table) == 30
    assert not list(notes.path.parent.glob("*.part"))


def test_texts_that_look_like_missing_values_stay_texts(notes):
    notes.record("deep", 0, "NA", verdict="right", text="null", label="None")
    assert notes.recall("deep", 0, "NA").text == "null"
    assert notes.table.reader.tolist() == ["NA"]


def test_texts_that_look_like_formulas_are_guarded_and_come_back(notes):
    texts = ["=1+1", "+SUM(A1)", "-", "@x", "'=1", "''-2", "'plain", "-5", "\t=1", "\r=1"]
    for neuron, text in enumerate(texts):
        notes.record("deep", neuron, "=AB", verdict="right", text=text, label=text)
    assert notes.table.text.tolist() == notes.table.label.tolist() == texts
    assert notes.table.reader.unique().tolist() == ["=AB"]
    assert "\nM,,deep,0,'=AB,'=1+1" in notes.path.read_text().replace('"', "")


def test_only_the_owner_can_read_the_verdicts(notes):
    notes.record("deep", 0, "AB", verdict="right")
    assert notes.path.stat().st_mode & 0o777 == 0o600


def test_a_file_saved_again_by_a_spreadsheet_is_read(notes):
    notes.record("deep", 3, "AB", verdict="partly", text="two; of five", label="implant")
    rows = pd.read_csv(notes.path, dtype=str)
    rows.to_csv(notes.path, sep=";", index=False, encoding="utf-8-sig")
    assert notes.recall("deep", 3, "AB").text == "two; of five"


def test_bad_input_is_named(notes):
    with pytest.raises(ValueError, match="verdict='yes' is not one of '', 'right'"):
        notes.record("deep", 0, "AB", verdict="yes")
    with pytest.raises(ValueError, match="initials"):
        notes.record("deep", 0, " ", verdict="right")
    assert not notes.path.exists()


SEVEN = ["result", "layer", "neuron", "reader", "label", "verdict", "text"]  # a file may lack the others
HEAD = ",".join(SEVEN) + "\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty; expected a table"),
        ("layer,neuron\n", "has no column result, reader, label, verdict, text; it has layer, neuron"),
        (",".join([*COLUMNS, "seen"]) + "\n", "expected the columns result, digest.*; found seen too"),
        (HEAD + 'M,deep,1,AB,,right,"two\nlines"\nM,deep,x,AB,,right,\n', "line 4, column neuron: 'x'"),
        (HEAD + "M,deep,1,AB,,right,\n\nM,deep,1,AB,,partly,\n", "line 4: a second row of M, deep, 1, AB"),
        (HEAD + "M,deep,1,AB,,right,good,really\n", "line 2: 8 cells under 7 columns"),
        (HEAD + "M,deep,x,AB,,right,\n", "line 2, column neuron: 'x'"),
        (HEAD + "M,deep,1,AB,,maybe,\n", "line 2, column verdict: 'maybe'"),
    ],
)
def test_a_file_that_holds_no_verdicts_is_refused_and_left_alone(tmp_path, content, message):
    path = tmp_path / "other.csv"
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        Notes(path)
    assert path.read_text() == content


def test_agreement_of_a_result_leaves_others_out(notes):
    for reader in ("AB", "CD"):
        notes.record("deep", 0, reader, verdict="right")
        notes.record("deep", 1, reader, verdict="wrong")
    Notes(notes.path, result="G").record("deep", 2, "EF", verdict="right")
    assert notes.agreement().readers == ("AB", "CD")
    assert notes.agreement().kappa == pytest.approx(1)


def test_verdicts_of_another_file_are_merged(tmp_path):
    ours, theirs = Notes(tmp_path / "ours.csv", result="M"), Notes(tmp_path / "theirs.csv", result="M")
    for notes in (ours, theirs):
        notes.record("bn2", 1, "AB", verdict="right", label="implant")
    ours.record("bn2", 2, "AB", verdict="right")
    theirs.record("bn2", 2, "AB", verdict="wrong")
    theirs.record("bn2", 2, "CD", verdict="partly", text='=why, "so"\nnext')
    Notes(theirs.path, result="C4").record("bn2", 2, "AB", verdict="cannot tell")
    assert ours.merge(theirs.path) == {"new": 2, "changed": 1, "same": 1}
    assert ours.recall("bn2", 2, "AB").verdict == "wrong"
    assert ours.recall("bn2", 2, "CD").text == '=why, "so"\nnext'
    assert Notes(ours.path, result="C4").recall("bn2", 2, "AB").verdict == "cannot tell"
    assert ours.merge(theirs.path) == {"new": 0, "changed": 0, "same": 4}


def test_a_file_that_is_no_table_of_verdicts_is_not_merged(tmp_path):
    notes = Notes(tmp_path / "ours.csv", result="M")
    notes.record("bn2", 1, "AB", verdict="right")
    before = notes.path.read_bytes()
    other = tmp_path / "other.csv"
    with pytest.raises(FileNotFoundError, match="no verdicts at"):
        notes.merge(other)
    head = "result,layer,neuron,reader,label,verdict,text\n"
    for text, message in [
        ("a,b\n1,2\n", "other.csv"),
        (head + "M,bn2,x,AB,,right,\n", "column neuron"),
        (head + "M,bn2,1,AB,,yes,\n", "column verdict"),
        (head + "M,bn2,1,,,right,\n", "row 1 has no reader"),
        (head + "M,bn2,1,AB,,right,\nM,bn2,1,AB,,partly,\n", "a second row"),
    ]:
        other.write_text(text)
        with pytest.raises(ValueError, match=message):
            notes.merge(other)
    assert notes.path.read_bytes() == before


# Two processes, and one that is killed

ROOT = Path(__file__).parents[2]
WRITER = """
import sys
from mdissect.explorers import Notes
notes = Notes(sys.argv[1], result="M")
print("ready", flush=True)
for neuron in range(int(sys.argv[3])):
    notes.record("deep", neuron, sys.argv[2], verdict="right", text="x" * 200)
"""


def writer(path, reader, n):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", WRITER, str(path), reader, str(n)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_two_processes_writing_at_once_lose_nothing(notes):
    processes = [writer(notes.path, reader, 25) for reader in ("AB", "CD")]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    assert notes.table.groupby("reader").neuron.apply(sorted).tolist() == [list(range(25))] * 2


@pytest.mark.slow
def test_a_killed_process_leaves_a_whole_file_and_no_lock(notes):
    process = writer(notes.path, "AB", 1_000_000)
    process.stdout.readline()
    until = time.monotonic() + 60
    while len(notes.table) < 20 and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=30)
    process.stdout.close()
    kept = notes.table
    assert kept.neuron.tolist() == list(range(len(kept)))  # in their order, none half
    assert len(kept) >= 20
    notes.record("deep", len(kept), "CD", verdict="wrong")
    assert len(notes.table) == len(kept) + 1


# Results of the same name, words, and studies


def result(labels=("implant", "mass"), target="toy", n=4):
    scores = np.zeros((n, len(labels)))
    return Dissection(
        {"stem": scores, "deep": np.zeros((2 * n, len(labels)))}, ConceptSet.from_list(list(labels)), {"target": target}
    )


def test_verdicts_on_another_result_of_the_same_name_are_kept_apart(notes):
    one, other = notes.of(result()), notes.of(result(target="other"))
    one.record("deep", 1, "AB", verdict="right", label="implant")
    other.record("deep", 1, "AB", verdict="wrong", label="mass")
    assert (one.recall("deep", 1, "AB").verdict, other.recall("deep", 1, "AB").verdict) == ("right", "wrong")
    assert (len(one.table), one.others, len(notes.table)) == (1, 1, 2)
    for known_to_neither in (lambda: notes.recall("deep", 1, "AB"), notes.agreement):
        with pytest.raises(ValueError, match="verdicts on different results called 'M'"):
            known_to_neither()
    assert one.agreement().readers == ("AB",)


def test_a_row_without_a_digest_is_taken_over(notes):
    notes.record("deep", 1, "AB", verdict="right", label="implant")
    one = notes.of(result())
    assert one.recall("deep", 1, "AB").verdict == "right"
    one.record("deep", 1, "AB", text="sure", label="implant")
    assert len(notes.table) == 1
    assert notes.table.digest.tolist() == [one.digest]


def test_the_digest_says_what_was_dissected_and_no_number_of_it():
    same = result()
    same.similarity["deep"][:] = 1
    assert Notes("x").of(same).digest == Notes("x").of(result()).digest
    for other in (result(target="b"), result(labels=("mass", "implant")), result(n=5)):
        assert Notes("x").of(other).digest != Notes("x").of(same).digest


def test_own_words_stay_as_they_were_saved_and_come_before_a_blind_verdict(tmp_path):
    blind = Notes(tmp_path / "verdicts.csv", "M", blind=True)
    with pytest.raises(ValueError, match="AB has to save own words on neuron 1 of deep before a verdict"):
        blind.record("deep", 1, "AB", verdict="right")
    assert not blind.path.exists()
    blind.record("deep", 1, "AB", words="white rim", label="implant")
    blind.record("deep", 1, "AB", verdict="right", label="implant")
    blind.record("deep", 1, "AB", words="white rim", label="implant")
    with pytest.raises(ValueError, match="they stay"):
        blind.record("deep", 1, "AB", words="implant", label="implant")
    row = blind.recall("deep", 1, "AB")
    assert (row.words, row.verdict, row.label) == ("white rim", "right", "implant")


def test_a_study_of_some_neurons(tmp_path):
    found = result()
    for given, expected in (
        (None, 12), (3, 6), (6, 10), ([("deep", 7), ("stem", 0), ("deep", 7)], 2),
        (pd.DataFrame({"layer": ["deep"], "neuron": [3], "label": ["x"]}), 1),
    ):  # fmt: skip
        places = Notes(tmp_path / "a.csv", neurons=given).places(found, "AB")
        assert len(places) == len(set(places)) == expected
    counting = [("deep", 0), ("deep", 5), ("stem", 1)]
    assert sorted(Notes(tmp_path / "a.csv", named=True).places(found, "AB", counting)) == counting
    assert Notes(tmp_path / "a.csv", named=True).places(found, "AB", []) == []
    for wrong, error, message in (
        (0, ValueError, "neurons=0"), ([], ValueError, "is empty"), ("deep", TypeError, "neurons='deep' must be a number"),
        ([3], TypeError, r"neurons holds 3; expected \(layer, neuron\)"), ([("deep", -1)], ValueError, "neuron=-1"),
        (pd.DataFrame({"neuron": [1]}), ValueError, "neurons has no column layer"), (2.5, ValueError, "neurons=2.5"),
    ):  # fmt: skip
        with pytest.raises(error, match=message):
            Notes(tmp_path / "a.csv", neurons=wrong)
    with pytest.raises(ValueError, match=r"no neuron 8 of 'deep'; it has stem \(0 to 3\), deep \(0 to 7\)"):
        Notes(tmp_path / "a.csv", neurons=[("deep", 8)]).places(found)
