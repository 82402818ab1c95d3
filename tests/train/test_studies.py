"""Studies and their texts: which are true of which images, groups without a patient twice, errors."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mdissect.probes import Probe
from mdissect.train.studies import LabelledStudies, ReportStudies, content, corpus, read_studies
from mdissect.train.templates import Facts, Sentence

IMAGES = [np.array([2 * i, 2 * i + 1]) for i in range(4)]
PATIENTS = np.array(["a", "b", "c", "d"])


def probe_of(**columns) -> Probe:
    n = len(next(iter(columns.values())))
    return Probe.from_arrays([np.zeros((4, 4), np.uint8)] * n, table=columns, name="toy")


def studies_of(*facts: Facts) -> LabelledStudies:
    n = len(facts)
    return LabelledStudies([np.array([i]) for i in range(n)], np.array([str(i) for i in range(n)]), list(facts))


def test_texts_that_are_true_false_and_unknown():
    mass, none, unread = (
        Facts(frozenset({"mass"}), absent=frozenset({"implant"}), side="left", density="A"),
        Facts(absent=frozenset({"mass", "implant"}), side="right", density="A"),
        Facts(density="D"),
    )
    texts = [
        Sentence("", frozenset({"mass"})),
        Sentence("", frozenset(), frozenset({"mass"})),
        Sentence("", frozenset({"density=A"})),
        Sentence("", frozenset({"density=D", "mass"})),
        Sentence("", frozenset({"side=left"}), frozenset({"implant"})),
        Sentence("", frozenset({"normal"})),
    ]
    true, unknown = studies_of(mass, none, unread).truth(np.arange(3), np.arange(3), texts)
    assert true.int().tolist() == [[1, 0, 1, 0, 1, 0], [0, 1, 1, 0, 0, 1], [0, 0, 0, 0, 0, 0]]
    assert unknown.int().tolist() == [[0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0], [1, 1, 0, 1, 1, 1]]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_a_study_s_own_texts_are_true_of_it(seed):
    rng = np.random.default_rng(seed)
    names = np.array(["mass", "implant", "asymmetry", "focal asymmetry"])
    facts = []
    for _ in range(5):
        state = rng.integers(3, size=4)
        present, absent = (frozenset(names[state == k].tolist()) for k in (1, 2))
        facts.append(
            Facts(present, frozenset(), absent, rng.choice(["left", ""]), rng.choice(list("AB")), int(rng.integers(7)))
        )
    studies = studies_of(*facts)
    texts = [studies.text(i, rng) for i in range(5)]
    true, unknown = studies.truth(np.arange(5), np.arange(5), texts)
    assert true.diagonal().all()
    assert not (true & unknown).any()


def test_reports_that_say_the_same_in_another_order_are_true_of_both():
    reports = [("A mass. No clip.", "BI-RADS 4."), ("no clip. A MASS.", ""), ("A mass.",), ("BI-RADS 4.",)]
    studies = ReportStudies(IMAGES, PATIENTS, [tuple(filter(None, own)) for own in reports])
    texts = [Sentence("A mass. No clip."), Sentence("BI-RADS 4."), Sentence("A mass.")]
    true, unknown = studies.truth(np.arange(4), np.arange(4), texts)
    assert true.int().tolist() == [[1, 1, 0], [1, 0, 0], [0, 0, 1], [0, 1, 0]]  # its impression, not drawn here, says it too
    assert not unknown.any()
    assert studies.alike(texts, [texts[0], texts[0], texts[1]]).int().tolist() == [[1, 1, 0], [0, 1, 1], [0, 0, 1]]


def test_sentences_are_shuffled_and_texts_differ_as_long_as_there_are_others():
    findings, impression = "One mass. Two clips! Is it a node? Yes.", "Benign."
    studies = ReportStudies(IMAGES, PATIENTS, [(findings, impression)] * 4)
    seen = set()
    for seed in range(30):
        two = [text.text for text in studies.texts(0, 2, np.random.default_rng(seed))]
        assert sorted(map(content, two)) == sorted(map(content, (findings, impression)))
        seen |= set(two)
    assert len(seen) > 10
    still = ReportStudies(IMAGES, PATIENTS, [(findings, impression)] * 4, shuffle=False)
    assert {text.text for seed in range(9) for text in still.texts(0, 2, np.random.default_rng(seed))} == {findings, impression}
    assert len(studies.texts(0, 3, np.random.default_rng(0))) == 3
    assert still.whole_text(0) == f"{findings} {impression}"


def test_same_meaning_in_other_words():
    studies = studies_of(Facts(frozenset({"mass"})), Facts(frozenset({"mass"})))
    said = [Sentence("Mass.", frozenset({"mass"})), Sentence("No mass.", frozenset(), frozenset({"mass"}))]
    others = [Sentence("There is a mass.", frozenset({"mass"})), Sentence("A mass is seen.", frozenset({"mass"}))]
    assert studies.alike(said, others).int().tolist() == [[1, 1], [0, 1]]


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 40), st.integers(2, 6), st.integers(0, 10**6))
def test_no_patient_twice_in_a_group_and_no_study_twice(n, size, seed):
    rng = np.random.default_rng(seed)
    patients = rng.integers(max(size, n // 2), size=n).astype(str)
    studies = ReportStudies([np.array([i]) for i in range(n)], patients, [("x",)] * n)
    if len(set(patients)) < size:
        with pytest.raises(ValueError, match="studies of different patients, but there are"):
            studies.groups(size, rng)
        return
    groups = studies.groups(size, rng)
    assert groups
    assert all(len(group) == size == len(set(patients[group])) for group in groups)
    used = np.concatenate(groups)
    assert len(set(used.tolist())) == len(used)


def test_views_are_different_images_as_long_as_there_are_some():
    studies = ReportStudies(IMAGES, PATIENTS, [("x",)] * 4)
    for seed in range(5):
        assert sorted(studies.views(1, 2, np.random.default_rng(seed)).tolist()) == [2, 3]
        assert set(studies.views(1, 3, np.random.default_rng(seed)).tolist()) == {2, 3}


def test_studies_of_a_table():
    table = {
        "patient": ["p", "p", "p", "q", None],
        "laterality": ["L", "R", "L", "L", "L"],
        "findings": ["mass", "", "", "implant", ""],
        "impression": ["Mass.", "Normal.", "Mass.", None, "Normal."],
    }
    labelled = read_studies(probe_of(**table))
    assert [rows.tolist() for rows in labelled.images] == [[0, 2], [1], [3], [4]]
    assert labelled.patients.tolist() == ["p", "p", "q", "image 4"]
    assert labelled.facts[0].findings == {"mass"}
    assert (labelled.facts[0].side, labelled.facts[1].side) == ("left", "right")
    reports = read_studies(probe_of(**table), "impression")
    assert [rows.tolist() for rows in reports.images] == [[0, 2], [1], [4]]
    by_study = read_studies(probe_of(**table, study=["1", "1", "2", "1", "1"]), ["impression"])
    assert [rows.tolist() for rows in by_study.images] == [[0], [1], [2], [4]]
    assert labelled.digest() != reports.digest()
    assert labelled.digest() == read_studies(probe_of(**table)).digest()
    texts = corpus(reports, 2)
    assert len(texts) == 4
    assert corpus(reports, 2) == texts


@pytest.mark.parametrize(
    ("columns", "texts", "message"),
    [
        ({"patient": ["p", "p"]}, "report", "probe 'toy' has no column 'report'; texts= names columns with reports, or is"),
        ({"patient": ["p", "p"], "report": ["a", "b"]}, "report", "images of one study have 2 different texts in 'report'"),
        ({"report": ["", None]}, "report", "no image of probe 'toy' has a text in 'report'"),
        ({"patient": ["p", "q"]}, "labels", "no image has a finding, a density or a BI-RADS category"),
    ],
)
def test_tables_without_texts(columns, texts, message):
    with pytest.raises(ValueError, match=message):
        read_studies(probe_of(**columns), texts)


def test_the_truth_of_no_texts_and_a_table_of_missing_values():
    studies = read_studies(probe_of(report=["a", "b"]), "report")
    true, _ = studies.truth(np.arange(2), np.arange(2), [])
    assert true.shape == (2, 0)
    assert true.dtype == torch.bool
    vague = read_studies(probe_of(findings=["mass", pd.NA], density=[pd.NA, "B"], birads=[np.nan, 2]))
    assert [one.density for one in vague.facts] == ["", "B"]
