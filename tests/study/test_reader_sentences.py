"""Tests of the agreement of readers in sentences."""

import pandas as pd

from mdissect.study.reader_sentences import agreed
from mdissect.trust import reader_agreement
from mdissect.trust.readers import VERDICTS


def told(**readers):
    names = {verdict[0]: verdict for verdict in VERDICTS}
    rows = [("deep", i, who, names[letter], "implant", "") for who, text in readers.items() for i, letter in enumerate(text)]
    table = pd.DataFrame(rows, columns=["layer", "neuron", "reader", "verdict", "label", "words"])
    return table, agreed(reader_agreement(table, n_boot=100))


def test_no_verdict_yet():
    assert told()[1].startswith("No verdict has been saved yet")


def test_one_reader():
    table, words = told(AB="rrpw")
    assert "1 reader (AB): agreement needs two." in words
    assert "AB finds **50 %** (15 % to 85 %) of 4 labels right." in words
    table["words"] = "implants"
    assert "right; own words name the label on 4 of 4." in agreed(reader_agreement(table, n_boot=10))


def test_two_readers_and_what_is_not_known():
    _, words = told(AB="r" * 10 + "w" * 10, CD="r" * 11 + "w" * 9)
    assert "2 readers (AB, CD) on 20 neurons: the same verdict in 95 % (76 % to 99 %), Cohen’s kappa **0.90** (" in words
    assert "they differ on **1** neurons" in words
    assert "Most of the readers find **50 %**" in words
    assert "kappa is not defined (3 neurons)" in told(AB="rrr", CD="rrr")[1]
    assert "Fleiss’ kappa **" in told(AB="rrpw", CD="rrpw", EF="rrww")[1]
    assert "fewer than 10 neurons: no interval of kappa" in told(AB="rrpw", CD="rrpp")[1]
