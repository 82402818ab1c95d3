"""The study on further trainings of its networks."""

from dataclasses import replace

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from made_up import concept_set, labelled
from matplotlib.text import Text
from miniature_models import demo_models

from mdissect.study import ProbeSpec, Profile, Setup, claims, open_study, trainings
from mdissect.study.claims import claim, untestable
from mdissect.study.findings import Results, on_missed
from mdissect.study.profiles import PROFILES
from mdissect.study.trainings import (
    by_training,
    further_trainings,
    recurring,
    spread_in,
    thresholds_by_training,
    varied,
    with_spread,
)

pytestmark = pytest.mark.slow

CONCEPTS = ["oval mass", "spiculated mass", "breast implant", "dense breast", "nipple marker"]
STAGES = {"stages": [["cn_r1_k3_s2_e1_c8"], ["er_r1_k3_s2_e2_c8"]], "stem": 8, "features": 12, "act": "relu", "pool": "avgmax"}
TINY = {"texts": CONCEPTS, "image": STAGES, "preprocess": {"size": [32, 20]}, "layers": ["blocks.1", "bn2"]}
NAMES = [("mass", "Findings and characterizations"), ("benign", "Interpretations"), ("nipple", "Breast anatomy or structure")]
NAMED = concept_set([(*row, "mammography") for row in NAMES], "concept", "broad_category", "domain")
RICH = labelled(NAMED, early=[("mass", 6), ("benign", 6)], late=[("nipple", 6), ("benign", 6)])
POOR = labelled(NAMED, early=[("mass", 6), ("benign", 1)], late=[("mass", 6), ("nipple", 1)])


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A study of two models, one of which was trained again from two seeds; a third is named, but not there."""
    demo_models(tmp_path / "demo", "general", "mammo", **TINY)
    demo_models(tmp_path / "demo" / "replicates", "other", "unused", "mammo-s1", "mammo-s2", **TINY)
    (tmp_path / "concepts.txt").write_text("\n".join(CONCEPTS))
    for name, folder in {"DATA": tmp_path, "STORE": tmp_path / "store", "FIGURES": tmp_path / "figures"}.items():
        monkeypatch.setenv(f"MDISSECT_{name}", str(folder))
    profile = Profile(
        name="toy",
        setups={
            "G": Setup("demo/general", "demo/general"),
            "G by M": Setup("demo/general", "demo/mammo"),
            "M": Setup("demo/mammo", "demo/mammo"),
        },
        probes={"mammograms": ProbeSpec("phantom", {"n_images": 24, "seed": 7, "size": (64, 40)})},
        concepts=str(tmp_path / "concepts.txt"),
        top_k=3,
        trainings={f"s{seed}": {"demo/mammo": f"demo/replicates/mammo-s{seed}"} for seed in (1, 2, 3)},
    )
    monkeypatch.setitem(PROFILES, "toy", profile)
    return open_study("toy", progress=False)


def test_each_further_training_is_a_study_of_the_same_setups(study):
    others = further_trainings(study)
    assert list(others) == ["s1", "s2"]
    assert {name: setup.dissector for name, setup in others["s2"].profile.setups.items()} == {
        "G": "demo/general",
        "G by M": "demo/replicates/mammo-s2",
        "M": "demo/replicates/mammo-s2",
    }
    assert others["s1"].probe() is study.probe()


def note_under(study, *setups, again=("s1", "s2")):
    """What stands under a figure of some setups."""
    fig = plt.figure()
    study.show(fig, "spread", *setups, trainings=list(again), alt="nothing")
    return " ".join(" ".join(text.get_text().split()) for text in fig.findobj(Text))


def test_a_figure_says_over_which_trainings_the_spread_of_each_setup_is(study):
    both = "least and most over trainings of the networks"
    assert f"{both} (M: the shipped one, s1, s2)." in note_under(study, "G", "M")
    assert f"{both} (G by M, M: the shipped one, s1, s2)." in note_under(study, "G", "G by M", "M")
    for unvaried in (note_under(study, "G"), note_under(study, "M", again=())):
        assert both not in unvaried
    once = {**study.profile.trainings["s1"], "demo/general": "demo/replicates/other"}
    study.profile = replace(study.profile, trainings={**study.profile.trainings, "s1": once})
    assert f"{both} (G: the shipped one, s1; M: the shipped one, s1, s2)." in note_under(study, "G", "M")


def test_thresholds_have_a_spread_where_a_training_changes_them(study):
    others, tau = further_trainings(study), study.thresholds()
    found = thresholds_by_training(study, others, tau)
    assert list(found["G"]) == list(tau["G"])
    every = [table.threshold for table in (tau["M"], *(other.thresholds()["M"] for other in others.values()))]
    expected = pd.concat(every, axis=1)
    assert found["M"].threshold_least.tolist() == expected.min(axis=1).tolist()
    assert found["M"].threshold_most.tolist() == expected.max(axis=1).tolist()
    assert (found["M"].threshold_least < found["M"].threshold_most).all()
    assert (varied(study, others, "G"), len(varied(study, others, "G by M"))) == ([], 2)


def test_without_further_trainings_nothing_is_added(study):
    study.profile = replace(study.profile, trainings={})
    tau = study.thresholds()
    assert further_trainings(study) == {}
    assert thresholds_by_training(study, {}, tau)["M"] is tau["M"]


def test_neurons_of_each_two_trainings_are_matched(study):
    table = recurring(study, further_trainings(study))
    assert list(zip(table.layer, table["first"], table.second, strict=True))[:3] == [
        ("blocks.1", "shipped", "s1"), ("blocks.1", "shipped", "s2"), ("blocks.1", "s1", "s2")]  # fmt: skip
    assert len(table) == 6
    assert table.correlation.between(-1, 1).all()


def test_claims_count_the_trainings_that_they_are_seen_in(study, monkeypatch):
    def results(dissection, seen):
        untested = untestable(["tau"], "of two dissectors", "G", "M")
        tuned = [claim("tuned mass", seen, f"C3 {15 + 2 * seen}, M 17")]
        return Results(["M"], untested, tuned, on_missed(dissection), [], [])

    others, own = further_trainings(study), results(RICH, seen=False)
    given = {
        "s1": results(POOR, seen=True),
        "s2": replace(results(RICH, seen=True), fine_tuning=untestable(["tuned mass"], "no C3")),
    }
    monkeypatch.setattr(trainings, "of_study", lambda one, *_: given[next(n for n, other in others.items() if other is one)])
    found = by_training(own, others)
    assert found.training == own.training
    assert (found.fine_tuning[0].trainings, found.fine_tuning[0].here) == ("1 of 2", "C3 15 (trainings 15 to 17), M 17")
    counted = {one.key: one.trainings for one in found.missed}
    seen = {one.key: [one.seen] for one in own.missed}
    for one in (*given["s1"].missed, *given["s2"].missed):
        seen[one.key].append(one.seen)
    testable = {one.key for one in own.missed if one.state != claims.NOT_TESTABLE}
    assert testable
    assert {key: counted[key] for key in testable} == {key: f"{sum(seen[key])} of 3" for key in testable}
    assert "seen in trainings" in claims.as_markdown(found.all())
    assert "seen in trainings" not in claims.as_markdown(own.all())
    assert claims.steadiness(own.all()) == ""
    assert "C3 captures about as many mass concepts as M (in 1 of 2)" in claims.steadiness(found.all())


@pytest.mark.parametrize(
    ("words", "others", "expected"),
    [
        ("M 12 (9 to 16) of 30", ["M 15 of 30", "M 8 of 30"], "M 12 (9 to 16; trainings 8 to 15) of 30"),
        ("2.67 (2.56 to 2.80) against 1.0", ["2.50 against 1.0"], "2.67 (2.56 to 2.80; trainings 2.50 to 2.67) against 1.0"),
        ("C4 4, M 9", ["C4 4, M 9"], "C4 4, M 9"),
        ("neuron 93 of bn2: 5 of 5", ["neuron 7 of bn2: 4 of 5"], "neuron 93 of bn2: 5 (trainings 4 to 5) of 5"),
        ("3 of 3 layers (blocks.1, bn2)", ["2 of 3 layers (bn2)"], "3 of 3 layers (blocks.1, bn2)"),
        ("blocks.3: 9", ["blocks.3: 10"], "blocks.3: 9 (trainings 9 to 10)"),
        ("16 % (13 % to 22 %) (16 (13 to 21) of 98)", ["9 % (9 of 98)"],
         "16 % (13 % to 22 %; trainings 9 % to 16 %) (16 (13 to 21; trainings 9 to 16) of 98)"),
        ("", [""], ""),
    ],
)  # fmt: skip
def test_numbers_of_a_claim_get_their_spread(words, others, expected):
    assert spread_in(words, others) == expected


def test_a_spread_is_over_the_table_and_all_others():
    table = pd.DataFrame({"layer": ["a", "b"], "threshold": [2.0, 5.0]})
    found = with_spread(table, [table.assign(threshold=[3.0, 1.0]).set_axis([7, 8])], "threshold")
    assert found.to_dict("list") == {
        "layer": ["a", "b"], "threshold": [2.0, 5.0], "threshold_least": [2.0, 1.0], "threshold_most": [3.0, 5.0]}  # fmt: skip
    assert with_spread(table, [], "threshold") is table
