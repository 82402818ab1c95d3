"""What the training texts never said, and whether "missed" tells it."""

import re

import numpy as np
import pytest
from made_up import labelled

from mdissect import analysis
from mdissect.concepts import load_concepts
from mdissect.dissection import Dissection
from mdissect.phantom.mammograms import sample_truth
from mdissect.phantom.mammograms.reports import corpus, speaks_of
from mdissect.probes import load_probe
from mdissect.study import GAPS, against_texts, gap_check, missed_against_texts, said_in_texts
from mdissect.study.gaps import AS_SUCH, NEVER, WITHIN

CONCEPTS = load_concepts("mammography").subset(domain="mammography")


@pytest.fixture(scope="module")
def texts():
    """Training texts as they were drawn, in lower case."""
    return [text.casefold() for text in corpus(1500, seed=1)]


@pytest.mark.parametrize(
    ("concept", "said"),
    [
        ("mass", AS_SUCH),
        ("Spiculated Mass", AS_SUCH),
        ("eggshell calcifications", AS_SUCH),
        ("no mass", AS_SUCH),
        ("implant", AS_SUCH),
        ("small mass", WITHIN),
        ("small masses", WITHIN),
        ("fibroadenoma", WITHIN),
        ("architectural distortion", NEVER),
        ("no architectural distortion", NEVER),
        ("straightened cooper's ligament", NEVER),
        ("saline implant", NEVER),
        ("silicone", NEVER),
        ("anechoic mass", NEVER),
        ("oval calcification", NEVER),  # both words are said, but not together
        ("all", NEVER),  # within "small" is not within other words
    ],
)
def test_what_the_texts_can_say(concept, said):
    assert said_in_texts([concept]).said.tolist() == [said]


def test_texts_told_to_keep_silent_about_nothing_speak_of_distortion():
    assert said_in_texts(["architectural distortion"], exclude=()).said.tolist() == [AS_SUCH]
    assert said_in_texts(["saline implant"], exclude=()).said.tolist() == [NEVER]


def test_drawn_texts_bear_it_out(texts):
    table = said_in_texts(CONCEPTS.names)
    everything = "|".join(texts)
    never = table.concept[table.said == NEVER]
    assert [concept for concept in never if re.search(rf"\b{re.escape(concept)}\b", everything)] == []
    common = ["mass", "calcification", "extremely dense breast", "left craniocaudal view", "axillary lymph node", "implant"]
    assert set(common) <= set(table.concept[table.said == AS_SUCH])
    assert all(concept in everything for concept in common)
    assert len(never) < len(table) / 2


def test_the_planted_gaps():
    table = said_in_texts(CONCEPTS.names).set_index("concept")
    gaps = table[table.gap != ""]
    assert set(gaps.gap) == set(GAPS)
    assert (gaps.said == NEVER).all()
    assert gaps.gap["saline implant"] == gaps.gap["silicone implant"] == "filling of an implant"
    distortion = CONCEPTS.subset(category="Architectural distortion").names
    assert (gaps.gap[distortion] == "architectural distortion").all()
    assert gaps.gap["no architectural distortion"] == "architectural distortion"
    assert "implant" not in gaps.index
    assert "surgical scar" not in gaps.index


def test_what_a_key_speaks_of():
    assert speaks_of("distortion", {"distortion"})
    assert speaks_of("no_distortion", {"distortion"})
    assert speaks_of("foreign_body", {"implant"})  # which it is made of
    assert not speaks_of("foreign_body", {"distortion"})
    assert not speaks_of("implant", {"implant=saline"})
    assert not speaks_of("mass", {"mass_margin"})


def dissection(labels, n_images=40) -> Dissection:
    """A layer whose neurons have these labels with similarity 1 (all others 0) and answer to late images."""
    found = labelled(CONCEPTS, deep=labels)
    found.activations = {"deep": np.repeat(np.arange(n_images, dtype=np.float32)[:, None], len(labels), axis=1)}
    found.probe_table = load_probe("phantom", n_images=n_images, seed=3, cache=False).table
    return found


def test_missed_and_never_said_alike():
    table = said_in_texts(CONCEPTS.names)
    said = table.concept[table.said != NEVER].tolist()
    found = missed_against_texts(perfect := dissection(said), analysis.thresholds(perfect))
    assert found[["among", "counted"]].drop_duplicates().shape == (4, 2)
    whole = found.iloc[0]
    n, silent = len(table), len(table) - len(said)
    assert (whole.concepts, whole.missed, whole.never_said, whole.both) == (n, silent, silent, silent)
    assert (whole.precision, whole.recall, whole.auc) == (1, 1, 1)
    assert whole.precision_by_chance == whole.recall_by_chance == silent / n
    assert whole.p < 1e-50
    wrong = missed_against_texts(
        opposite := dissection(table.concept[table.said == NEVER].tolist()), analysis.thresholds(opposite)
    )
    assert wrong.iloc[0][["both", "precision", "recall", "auc"]].tolist() == [0, 0, 0, 0]
    assert wrong.p[0] == 1


def test_other_forms_do_not_count_as_missed():
    one = dissection(["mass", "saline implant"])
    found = missed_against_texts(one, analysis.thresholds(one)).set_index(["among", "counted"])
    counts = found.missed["all of mammography"]
    assert counts["missed"] == len(CONCEPTS) - 2
    assert counts["missed in every form"] == len(CONCEPTS) - 3  # "breast mass"
    assert found.both["all of mammography", "missed"] == found.never_said["all of mammography", "missed"] - 1


def test_concepts_against_the_texts():
    found = against_texts(one := dissection(["saline implant", "mass"]), analysis.thresholds(one)).set_index("concept")
    assert found.index.tolist() == CONCEPTS.names
    assert found.group.loc[["mass", "saline implant", "anechoic mass"]].tolist() == ["said", "planted gap", "never said"]
    assert found.margin["saline implant"] == 0
    assert found.margin["anechoic mass"] == -1
    assert found.neuron[["saline implant", "mass"]].tolist() == [0, 1]


def test_the_gaps_concept_by_concept():
    labels = ["saline implant", "saline implant", "architectural distortion", "mass"]
    one = dissection(labels)
    one.similarity["deep"][2] *= 0.5
    found = gap_check(one, analysis.thresholds(one).assign(threshold=0.75), top=40).set_index("concept")
    assert set(found.gap) == set(GAPS)
    assert found.loc["saline implant", ["verdict", "named", "passing"]].tolist() == ["learned", 2, 2]
    assert found.loc["architectural distortion", ["verdict", "named", "passing"]].tolist() == ["missed", 1, 0]
    assert found.loc["silicone implant", ["verdict", "named", "passing"]].tolist() == ["missed", 0, 0]
    distorted = np.mean([sample_truth(3, index).distortion for index in range(40)])
    assert found.shown["architectural distortion"] == pytest.approx(distorted)
    assert found.prevalence["architectural distortion"] == pytest.approx(distorted)
    assert found.shown.isna()["silicone implant"]
