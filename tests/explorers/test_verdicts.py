"""Tests of readers' verdicts: kept as typed, resumed, and compared."""

import threading

import numpy as np
import pandas as pd
import pytest

from mdissect.explorers import Notes
from mdissect.explorers.verdicts import COLUMNS, VERDICTS, reader_agreement


@pytest.fixture
def notes(tmp_path):
    return Notes(tmp_path / "deep" / "verdicts.csv", result="M")


def verdicts(**readers):
    """A table from reader="apd-" texts: agree, partly, disagree, can't tell (c), none (-), a letter per neuron."""
    names = {verdict[0]: verdict for verdict in VERDICTS} | {"-": ""}
    rows = [("deep", i, who, names[letter]) for who, letters in readers.items() for i, letter in enumerate(letters)]
    return pd.DataFrame(rows, columns=["layer", "neuron", "reader", "verdict"])


def test_a_verdict_is_in_the_file_at_once_and_resumes(notes):
    notes.record("deep", 3, "AB", verdict="partly", label="implant")
    notes.record("deep", 3, "AB", text='two of five, "saline"\nnot the rest', label="implant")
    again = Notes(notes.path, result="M").recall("deep", 3, "AB")
    assert (again.verdict, again.text, again.label) == ("partly", 'two of five, "saline"\nnot the rest', "implant")
    assert pd.read_csv(notes.path).columns.tolist() == COLUMNS


def test_a_verdict_can_be_changed_and_taken_back(notes):
    for verdict in ("agree", "can't tell", ""):
        notes.record("deep", 3, "AB", verdict=verdict)
        assert notes.recall("deep", 3, "AB").verdict == verdict
    assert len(notes.table) == 1


def test_readers_layers_and_results_are_kept_apart(notes):
    other = Notes(notes.path, result="G")
    for who, layer, verdict, where in (
        ("AB", "deep", "agree", notes),
        ("CD", "deep", "disagree", notes),
        ("AB", "deep", "partly", other),
    ):
        where.record(layer, 1, who, verdict=verdict)
    assert notes.recall("deep", 1, "AB").verdict == "agree"
    assert notes.recall("deep", 1, "CD").verdict == "disagree"
    assert other.recall("deep", 1, "AB").verdict == "partly"
    assert notes.recall("stem", 1, "AB").verdict == ""


def test_two_readers_writing_at_once_lose_nothing(notes):
    def read(reader):
        mine = Notes(notes.path, result="M")
        for neuron in range(15):
            mine.record("deep", neuron, reader, verdict="agree")

    threads = [threading.Thread(target=read, args=(reader,)) for reader in ("AB", "CD")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(notes.table) == 30
    assert not list(notes.path.parent.glob("*.part"))


def test_texts_that_look_like_missing_values_stay_texts(notes):
    notes.record("deep", 0, "NA", verdict="agree", text="null", label="None")
    assert notes.recall("deep", 0, "NA").text == "null"
    assert notes.table.reader.tolist() == ["NA"]


def test_texts_that_look_like_formulas_are_guarded_and_come_back(notes):
    texts = ["=1+1", "+SUM(A1)", "-", "@x", "'=1", "''-2", "'plain", "-5", "\t=1", "\r=1"]
    for neuron, text in enumerate(texts):
        notes.record("deep", neuron, "=AB", verdict="agree", text=text, label=text)
    assert notes.table.text.tolist() == notes.table.label.tolist() == texts
    assert notes.table.reader.unique().tolist() == ["=AB"]
    assert "\nM,deep,0,'=AB,'=1+1" in notes.path.read_text().replace('"', "")


def test_only_the_owner_can_read_the_verdicts(notes):
    notes.record("deep", 0, "AB", verdict="agree")
    assert notes.path.stat().st_mode & 0o777 == 0o600


def test_a_file_saved_again_by_a_spreadsheet_is_read(notes):
    notes.record("deep", 3, "AB", verdict="partly", text="two; of five", label="implant")
    rows = pd.read_csv(notes.path, dtype=str)
    rows.to_csv(notes.path, sep=";", index=False, encoding="utf-8-sig")
    assert notes.recall("deep", 3, "AB").text == "two; of five"


def test_bad_input_is_named(notes):
    with pytest.raises(ValueError, match="verdict='yes' is not one of '', 'agree'"):
        notes.record("deep", 0, "AB", verdict="yes")
    with pytest.raises(ValueError, match="initials"):
        notes.record("deep", 0, " ", verdict="agree")
    assert not notes.path.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty; expected a table"),
        ("layer,neuron\n", "has no column result, reader, label, verdict, text; it has layer, neuron"),
        (",".join([*COLUMNS, "seen"]) + "\n", "expected the columns result, layer.*; found seen too"),
        (",".join(COLUMNS) + '\nM,deep,1,AB,,agree,"two\nlines"\nM,deep,x,AB,,agree,\n', "line 4, column neuron: 'x'"),
        (",".join(COLUMNS) + "\nM,deep,1,AB,,agree,\n\nM,deep,1,AB,,partly,\n", "line 4: a second row of M, deep, 1, AB"),
        (",".join(COLUMNS) + "\nM,deep,1,AB,,agree,good,really\n", "line 2: 8 cells under 7 columns"),
        (",".join(COLUMNS) + "\nM,deep,x,AB,,agree,\n", "line 2, column neuron: 'x'"),
        (",".join(COLUMNS) + "\nM,deep,1,AB,,maybe,\n", "line 2, column verdict: 'maybe'"),
    ],
)
def test_a_file_that_holds_no_verdicts_is_refused_and_left_alone(tmp_path, content, message):
    path = tmp_path / "other.csv"
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        Notes(path)
    assert path.read_text() == content


def test_cohens_kappa_of_two_readers():
    found = reader_agreement(verdicts(AB="aaaaappddd-", CD="aaaapppddaa"))
    # from the margins: AB a5 p2 d3, CD a5 p3 d2
    chance = (5 * 5 + 2 * 3 + 3 * 2) / 100
    assert (found.method, found.neurons, found.readers) == ("Cohen", 10, ("AB", "CD"))
    assert found.share == pytest.approx(0.8)
    assert found.kappa == pytest.approx((0.8 - chance) / (1 - chance))


def test_fleiss_kappa_of_three_readers():
    found = reader_agreement(verdicts(AB="aapp", CD="aapd", EF="aaad"))
    # pairs alike: 1, 1, 1/3, 1/3; verdicts: 7 agree, 3 partly, 2 disagree of 12
    alike, chance = (1 + 1 + 1 / 3 + 1 / 3) / 4, (49 + 9 + 4) / 144
    assert found.method == "Fleiss"
    assert found.share == pytest.approx(alike)
    assert found.kappa == pytest.approx((alike - chance) / (1 - chance))


def test_perfect_agreement_is_one_and_none_beyond_chance_is_undefined():
    assert reader_agreement(verdicts(AB="apdc", CD="apdc")).kappa == pytest.approx(1)
    assert reader_agreement(verdicts(AB="apdc", CD="apdc", EF="apdc")).kappa == pytest.approx(1)
    assert np.isnan(reader_agreement(verdicts(AB="aaa", CD="aaa")).kappa)
    assert np.isnan(reader_agreement(verdicts(AB="aaa", CD="aaa", EF="aaa")).kappa)
    nothing_shared = reader_agreement(verdicts(AB="aa--", CD="--pp"))
    assert nothing_shared.neurons == 0
    assert np.isnan(nothing_shared.kappa)


def test_agreement_needs_two_readers():
    with pytest.raises(ValueError, match="two readers at least; there are those of AB"):
        reader_agreement(verdicts(AB="aa", CD="--"))


def test_agreement_of_a_result_leaves_others_out(notes):
    for reader in ("AB", "CD"):
        notes.record("deep", 0, reader, verdict="agree")
        notes.record("deep", 1, reader, verdict="disagree")
    Notes(notes.path, result="G").record("deep", 2, "EF", verdict="agree")
    assert notes.agreement().readers == ("AB", "CD")
    assert notes.agreement().kappa == pytest.approx(1)


def test_verdicts_of_another_file_are_merged(tmp_path):
    ours, theirs = Notes(tmp_path / "ours.csv", result="M"), Notes(tmp_path / "theirs.csv", result="M")
    for notes in (ours, theirs):
        notes.record("bn2", 1, "AB", verdict="agree", label="implant")
    ours.record("bn2", 2, "AB", verdict="agree")
    theirs.record("bn2", 2, "AB", verdict="disagree")
    theirs.record("bn2", 2, "CD", verdict="partly", text='=why, "so"\nnext')
    Notes(theirs.path, result="C4").record("bn2", 2, "AB", verdict="can't tell")
    assert ours.merge(theirs.path) == {"new": 2, "changed": 1, "same": 1}
    assert ours.recall("bn2", 2, "AB").verdict == "disagree"
    assert ours.recall("bn2", 2, "CD").text == '=why, "so"\nnext'
    assert Notes(ours.path, result="C4").recall("bn2", 2, "AB").verdict == "can't tell"
    assert ours.merge(theirs.path) == {"new": 0, "changed": 0, "same": 4}


def test_a_file_that_is_no_table_of_verdicts_is_not_merged(tmp_path):
    notes = Notes(tmp_path / "ours.csv", result="M")
    notes.record("bn2", 1, "AB", verdict="agree")
    before = notes.path.read_bytes()
    other = tmp_path / "other.csv"
    with pytest.raises(FileNotFoundError, match="no verdicts at"):
        notes.merge(other)
    head = "result,layer,neuron,reader,label,verdict,text\n"
    for text, message in [
        ("a,b\n1,2\n", "other.csv"),
        (head + "M,bn2,x,AB,,agree,\n", "column neuron"),
        (head + "M,bn2,1,AB,,yes,\n", "column verdict"),
        (head + "M,bn2,1,,,agree,\n", "row 1 has no reader"),
        (head + "M,bn2,1,AB,,agree,\nM,bn2,1,AB,,partly,\n", "a second row"),
    ]:
        other.write_text(text)
        with pytest.raises(ValueError, match=message):
            notes.merge(other)
    assert notes.path.read_bytes() == before
