"""The paper's findings held against dissections that were made up for them."""

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
from made_up import concept_set, dissected, labelled
from matplotlib.figure import Figure

from mdissect import analysis
from mdissect.concepts import OTHER
from mdissect.plots import draw_pair
from mdissect.study import claims
from mdissect.study.counting import Counting
from mdissect.study.findings import (
    on_fine_tuning,
    on_missed,
    on_mixed_images,
    on_natural_images,
    on_neurons,
    on_training,
)
from mdissect.study.pairs import LEADING, compare_pair

pytestmark = pytest.mark.slow

NAMES = [  # concept, broad category, task
    ("mass", "Findings and characterizations", ""),
    ("benign", "Interpretations", ""),
    ("nipple", "Breast anatomy or structure", ""),
    ("bird", OTHER, ""),
    ("tree", OTHER, ""),
]
TASKS = [
    ("mass", "Findings and characterizations", "mass"),
    ("benign", "Interpretations", ""),
    ("rim calcification", "Findings and characterizations", "calcification"),
    ("amorphous calcification", "Findings and characterizations", "calcification"),
    ("dense", "Findings and characterizations", "density"),
    ("fatty", "Findings and characterizations", "density"),
    ("bird", OTHER, ""),
    ("tree", OTHER, ""),
    ("house", OTHER, ""),
]


def labels_among(rows):
    """A function that makes dissections of these concepts from the labels of their layers' neurons."""
    rows = [(*row, "other" if row[1] == OTHER else "mammography") for row in rows]
    return partial(labelled, concept_set(rows, "concept", "broad_category", "tasks", "domain"))


dissection, of_tasks = labels_among(NAMES), labels_among(TASKS)
RICH = dissection(early=[("bird", 5), ("tree", 5), ("mass", 5)], late=[("bird", 5), ("tree", 5), ("nipple", 5)])
POOR = dissection(early=[("bird", 5), ("mass", 1), ("mass", 1)], late=[("bird", 5), ("mass", 1), ("tree", 1)])
MAMMO = dissection(
    early=[("mass", 6), ("benign", 6), ("nipple", 6), ("mass", 6)], late=[("mass", 6), ("benign", 6), ("bird", 6), ("bird", 6)]
)


OWN = ({"dissector_weights": "g", "dissector_aligned": False}, {"dissector_weights": "m"})


def pair(first, second, names="GM", settings=({}, {}), **options):
    """Two dissections as a pair; those of `settings` come from dissectors of their own."""
    both = {name: replace(d, settings=own) for name, d, own in zip(names, (first, second), settings, strict=True)}
    return compare_pair(both, **options)


def states(found):
    return {one.key: one.state for one in found}


def here(found):
    return {one.key: one.here for one in found}


def test_everything_that_the_paper_finds_on_natural_images():
    found = on_natural_images(pair(RICH, POOR, "AB"))
    assert [one.where for one in found] == ["Fig. 12a", "Fig. 12b", "Fig. 12b", "Fig. 12c", "Fig. 12c"]
    assert set(states(found).values()) == {"seen"}
    assert here(found)["natural both"] == "mammography: 2 against 0; other: 4 against 2"
    assert here(found)["natural tau"] == "2 of 2 layers (early: 5.00 against 2.33, late: 5.00 against 2.33)"


def test_nothing_of_it_the_other_way_round():
    assert [one.seen for one in on_natural_images(pair(POOR, RICH, "AB"))] == [False, False, True, True, False]


def test_a_threshold_above_in_some_layers_is_not_enough():
    mixed = dissection(early=[("bird", 9)], late=[("bird", 1)])
    claim, *_ = on_natural_images(pair(mixed, dissection(early=[("bird", 1)], late=[("bird", 9)]), "AB"))
    assert not claim.seen
    assert claim.here.startswith("1 of 2 layers")


def test_everything_that_the_paper_finds_on_mixed_images():
    found = on_mixed_images(pair(POOR, MAMMO, "CD"))
    assert set(states(found).values()) == {"seen"}
    assert here(found)["mixed steady"] == "2 of 2 layers (early, late)"
    assert here(found)["mixed none"] == "nothing passes"


def test_what_passes_is_named_where_nothing_should():
    found = on_mixed_images(pair(MAMMO, RICH, "CD"))
    assert states(found) == dict.fromkeys(
        ["mixed tau", "mixed both", "mixed steady", "mixed none"], "not seen"
    ) | {"mixed other": "seen"}  # fmt: skip
    assert here(found)["mixed none"] == (
        "Findings and characterizations: 2; Interpretations: 2; Breast anatomy or structure: 1; Environmental and Natural: 1"
    )


@pytest.mark.parametrize(
    ("judge", "names", "testable"),
    [
        (on_mixed_images, "CD", {"mixed steady", "mixed other"}),
        (on_training, "GM", {"mostly mammography", "steady"}),
        (on_natural_images, "AB", {"natural other", "natural first"}),
    ],
)
def test_similarities_of_different_dissectors_are_not_compared(judge, names, testable):
    found = judge(pair(POOR, MAMMO, names, OWN))
    assert {key for key, state in states(found).items() if state != "not testable here"} == testable
    assert found[0].why == f"the similarities of {names[0]} and {names[1]} come from different dissectors"
    assert f"| not testable here: {found[0].why} |" in claims.as_markdown(found)


def test_a_comparison_that_the_paper_does_not_make_is_marked():
    found = on_training(pair(POOR, MAMMO), " (one dissector)")
    assert {one.where for one in found} == {f"Fig. {number} (one dissector)" for number in ("4a", "4b", "4c", "5")}
    assert {one.paper for one in found} == {""}
    assert not {"steady", "mostly mammography"} & states(found).keys()  # about M alone: they stand in the other table


def test_fractions_are_counted_too():
    found = on_natural_images(pair(RICH, POOR, "AB", count="fraction"))
    assert here(found)["natural both"] == "mammography: 0.667 against 0; other: 1.33 against 0.667"


def test_numbers_stand_with_their_intervals():
    """Bounds of a sum over layers are the sums of the layers' bounds."""

    def counting(found, thresholds, by):
        table = analysis.count_concepts(found, thresholds, by)
        return table.assign(concepts_low=table.concepts - 1, concepts_high=table.concepts + 2)

    tau = {name: analysis.thresholds(d).assign(low=1.0, high=9.0) for name, d in {"A": RICH, "B": POOR}.items()}
    found = on_natural_images(pair(RICH, POOR, "AB", tau=tau, counting=Counting(counting)))
    assert here(found)["natural tau"].startswith("2 of 2 layers (early: 5.00 (1.00 to 9.00) against 2.33 (1.00 to 9.00)")
    assert here(found)["natural other"] == "4 (2 to 8) other, 2 (0 to 6) of mammography"


def drawn_labels(found, tau):
    """Three resamples: as on the probe, nothing passes, everything does."""
    names = found.concepts.names
    own = analysis.learned(found, tau)
    tables = {}
    for layer in found.layers:
        passing = set(own.concept[own.layer == layer])
        tables[layer] = np.array([[name in passing for name in names], [False] * len(names), [True] * len(names)], dtype=int)
    return tables


def test_missed_concepts_have_intervals():
    with_intervals, plain = here(on_missed(MAMMO, counting=Counting(labels=drawn_labels))), here(on_missed(MAMMO))
    assert plain["more missed"] == "4 learned, 1 missed of 5"
    assert with_intervals["more missed"] == "4 (1 to 5) learned, 1 (0 to 4) missed of 5"
    assert with_intervals["missed others"] == "1 (0 to 2) of 1"
    assert with_intervals["each category"].startswith("3 (1 to 3) of 3 categories (Findings and characterizations: 1 (")


@pytest.mark.parametrize(("count", "shares"), [("concepts", [2 / 3, 0.0, 2 / 5]), ("neurons", [2 / 3, 0.0, 2 / 5])])
def test_the_share_of_others_has_an_interval(count, shares):
    """Of the last layer of RICH two of three concepts are others; on the resamples as many, none of none, two of five."""
    both = pair(POOR, RICH, count=count, counting=Counting(labels=drawn_labels))
    low, high = both.last_other["M"]
    expected = np.quantile(shares, [0.025, 0.975]) - np.mean(shares) + 2 / 3
    np.testing.assert_allclose([low, high], [min(expected[0], 2 / 3), min(max(expected[1], 2 / 3), 1)])
    assert low <= both.last_share("M") <= high
    words = here(on_training(both))["words"]
    assert f"M 67 % ({100 * low:.0f} % to {100 * high:.0f} %) (2" in words
    assert here(on_training(pair(POOR, RICH, count=count)))["words"].endswith("M 67 % (2 of 3)")


@pytest.mark.parametrize(
    ("dissections", "options", "message"),
    [
        ({"A": RICH}, {}, "a pair has two setups, found 1: A"),
        ({"A": RICH, "B": POOR}, {"count": "words"}, "count='words' is not one of"),
        ({"A": RICH, "B": POOR}, {"rule": "best"}, "rule='best'"),
        ({"A": RICH, "B": dissection(deep=[("bird", 1)])}, {}, "the dissections have different layers"),
    ],
)
def test_pairs_that_cannot_be_compared(dissections, options, message):
    with pytest.raises(ValueError, match=message):
        compare_pair(dissections, **options)


def test_claims_in_words(tmp_path):
    found = [*on_natural_images(pair(POOR, RICH, "AB")), *on_training(pair(POOR, MAMMO, settings=OWN))]
    lines = claims.as_markdown(found).split("\n")
    assert len(lines) == 2 + len(found)
    assert all(line.count("|") == 7 for line in lines)
    assert lines[2].endswith("| not seen |")
    assert lines[4].endswith("| **seen** |")
    total = "**4 of 7** testable findings of the paper are seen here; 5 more cannot be tested."
    assert claims.summary(found) == total
    assert claims.unseen(found).startswith("- Fig. 12a: the threshold of A lies above that of B (0 of 2 layers")
    assert len(claims.unseen(found).split("\n")) == 3
    claims.write(found, tmp_path / "results.json")
    document = json.loads((tmp_path / "results.json").read_text())
    assert document["total"] == total.replace("*", "")
    assert [claims.Claim(**row) for row in document["claims"]] == found


def test_the_answer_is_short():
    """At most three findings with their numbers, without intervals, and the total."""
    found = [*on_natural_images(pair(POOR, RICH, "AB")), *on_training(pair(POOR, MAMMO))]
    text = claims.in_short(found)
    assert text.endswith(claims.summary(found))
    assert text.count(" (") <= 3


def test_reasons_of_what_cannot_be_tested():
    found = on_training(pair(POOR, MAMMO, settings=OWN))
    lines = claims.untested(found).split("\n")
    assert lines[0].startswith("- The similarities of G and M come from different dissectors: Fig. 4a (the threshold of M lies")
    assert len(lines) == 2
    assert claims.untested(on_natural_images(pair(RICH, POOR, "AB"))) == "None."


def test_the_drawing_of_a_pair():
    fig = draw_pair(Figure(), pair(RICH, POOR, "AB"))
    lines, domains, broad = fig.axes
    assert [line.get_ydata().tolist() for line in lines.get_lines()] == [[5, 5], [pytest.approx(7 / 3)] * 2]
    assert sum(bar.get_height() for bar in domains.patches) == sum(bar.get_height() for bar in broad.patches) == 8


TRAINED = of_tasks(
    early=[("mass", 5), ("benign", 5)], late=[("mass", 5), ("benign", 5), ("bird", 5), ("dense", 5), ("fatty", 5)]
)
UNTRAINED = of_tasks(early=[("mass", 4), ("mass", 1)], late=[("bird", 4), ("tree", 1), ("tree", 1), ("tree", 1), ("tree", 1)])


def test_what_the_paper_finds_on_training():
    found = on_training(pair(UNTRAINED, TRAINED))
    assert {key for key, state in states(found).items() if state == "not seen"} == {"words"}  # nothing of G passes there
    assert here(found)["words"] == "G none, M 20 % (1 of 5)"
    assert here(found)["drift"] == f"last layer: {OTHER}"
    assert here(found)["mostly mammography"] == "6 of mammography, 1 others"


def test_the_other_way_round_it_is_not_seen():
    found = on_training(pair(TRAINED, UNTRAINED))
    assert [key for key, state in states(found).items() if state == "seen"] == ["drift", "unsteady"]


def test_what_the_paper_finds_on_fine_tuning():
    base = of_tasks(early=[("mass", 5), ("mass", 5)], late=[("mass", 1), ("dense", 7), ("fatty", 7)])
    more = of_tasks(early=[("mass", 6), ("rim calcification", 6)], late=[("amorphous calcification", 6), ("mass", 6)])
    less = of_tasks(early=[("mass", 6), ("benign", 6)], late=[("mass", 6), ("dense", 6)])
    found = on_fine_tuning(base, {"C1": less, "C2": less, "C3": less, "C4": more})
    assert [key for key in states(found) if states(found)[key] == "seen"][:3] == [
        "tuned tau", "tuned calcification", "tuned density",
    ]  # fmt: skip
    assert here(found)["tuned density"] == "late: C1 1, M 2"
    assert here(found)["tuned tau"] == (
        "C1: 2 of 2 layers; C2: 2 of 2 layers; C3: 2 of 2 layers; C4: 2 of 2 layers; "
        "last layer: M 5.00, C1 6.00, C2 6.00, C3 6.00, C4 6.00"
    )
    assert states(found)["scores"] == "not testable here"


@pytest.mark.parametrize(("worst", "state"), [(0.81, "seen"), (0.79, "not seen")])
def test_scores_are_seen_where_every_network_has_a_good_one(worst, state):
    tuned = dict.fromkeys(("C1", "C2", "C3", "C4"), TRAINED)
    ends = {"accuracy_low": 0.6, "accuracy_high": 0.8, "auc_low": 0.8, "auc_high": 0.9}
    rows = [{"setup": name, "auc": 0.9, "accuracy": 0.7, **ends} for name in tuned]
    rows[2]["auc"] = worst
    claim = next(one for one in on_fine_tuning(TRAINED, tuned, scores=pd.DataFrame(rows)) if one.key == "scores")
    assert claim.state == state
    assert claim.here.startswith("C1 accuracy 0.700 (0.600 to 0.800), C2")
    assert claim.here.endswith(f"lowest AUC: C3 {worst:.3f}")


def test_a_concept_set_that_tells_no_tasks_gets_them_by_category():
    """As the published one."""
    rows = [
        ("dense", "Breast density", "Findings and characterizations"),
        ("rim", "Calcifications morphology", "Findings and characterizations"),
        ("benign rim", "Benign calcifications", "Interpretations"),
        ("round mass", "Mass", "Findings and characterizations"),
    ]
    concepts = concept_set(rows, "concept", "category", "broad_category", domain="mammography")
    tuned = labelled(concepts, late=[("dense", 9), ("rim", 9), ("round mass", 9), ("benign rim", 9)])
    base = labelled(concepts, late=[("dense", 9), ("rim", 1), ("round mass", 9), ("benign rim", 1)])
    found = here(on_fine_tuning(base, dict.fromkeys(("C1", "C2", "C3", "C4"), tuned)))
    assert found["tuned calcification"] == "late: C4 2, M 0"
    assert found["morphology"] == "C4 1, M 0"
    assert found["suspicious"] == "C4 0, M 0"
    assert found["only morphology"] == "M: 0 of 0 of other categories; C4: 1 of 2 of other categories"
    twice = {"late": np.array([[1, 1, 1, 1], [1, 1, 0, 1]])}  # "benign rim" is of another category, once
    again = here(
        on_fine_tuning(base, dict.fromkeys(("C1", "C2", "C3", "C4"), tuned), counting=Counting(labels=lambda *_: twice))
    )
    assert again["only morphology"] == "M: 0 (0 to 1) of 0 of other categories; C4: 1 (0 to 1) of 2 of other categories"


def test_what_the_paper_finds_missed():
    found = on_missed(of_tasks(only=[("mass", 1), ("benign", 1)]))
    assert states(found) == {
        "more missed": "seen",
        "missed others": "not seen",
        "each category": "not seen",
        "distortion": "not testable here",
        "other means": "not testable here",
    }
    assert here(found)["more missed"] == "2 learned, 7 missed of 9"
    assert here(found)["missed others"] == "3 of 7"
    assert here(found)["each category"] == (
        "1 of 2 categories (Findings and characterizations: 1 of 5 learned; Interpretations: 1 of 1 learned)"
    )


def test_what_needs_ultrasound_is_missed_more_often():
    rows = [
        ("mass", "mammography", "single view"),
        ("architectural distortion", "mammography", "single view"),
        ("shadowing", "mammography", "ultrasound"),
    ]
    concepts = concept_set(rows, "concept", "domain", "evidence", category="Mass", broad_category=LEADING[0])
    found = on_missed(labelled(concepts, only=[("mass", 1)]))
    assert here(found)["other means"] == "1 of 2 missed, 0 of 1 learned"
    assert here(found)["distortion"] == "1 of 1 missed"
    assert {one.key for one in found if one.seen} >= {"other means", "distortion"}


@pytest.mark.parametrize(("shown", "seen"), [(5, True), (4, True), (3, False)])
def test_a_neuron_detects_what_its_concepts_and_images_are_about(shown, seen):
    rng = np.random.default_rng(0)
    names = [*(f"implant {i}" for i in range(5)), *(f"mass {i}" for i in range(5))]
    found = dissected(rng.standard_normal((40, 10)), np.arange(40, 0, -1.0)[:, None], names)
    found.similarity["deep"] = np.arange(10, 0, -1.0)[None]
    found.probe_table["implant"] = [i < shown for i in range(40)]
    (claim,) = on_neurons({"implant": found})
    assert claim.seen == seen
    assert claim.here == f"neuron 0 of deep: 5 of 5 and {shown} of 5"
    drawn = np.array([[0, 1, 2, 3, 4], [0, 1, 2, 5, 6]]), np.array([[0, 1, 2, 3, 4]] * 2)  # of the concepts, of the images
    (again,) = on_neurons({"implant": found}, Counting(neuron=lambda *_, top: drawn))
    assert again.here == f"neuron 0 of deep: 5 (4 to 5) of 5 and {shown} ({shown} to {shown}) of 5"
    (unknown,) = on_neurons({"calcification": found})
    assert unknown.why == "no concept has the word calcification"


def test_places_name_the_files_that_are_there(tmp_path):
    (tmp_path / "02_fig8_threshold.png").touch()
    table = claims.places(tmp_path).set_index("in the paper")
    assert table.files["Fig. 8"] == "02_fig8_threshold.png"
    assert table.files["Fig. 4a"] == ""
    assert len(table) == len(claims.PLACES)


def test_every_finding_is_held_against_something():
    setups = dict.fromkeys(("C1", "C2", "C3", "C4"), TRAINED)
    judged = [
        *on_training(pair(POOR, MAMMO)), *on_natural_images(pair(POOR, MAMMO)), *on_mixed_images(pair(POOR, MAMMO)),
        *on_fine_tuning(TRAINED, setups), *on_missed(TRAINED), *on_neurons({"implant": TRAINED, "calcification": TRAINED}),
    ]  # fmt: skip
    assert [one.key for one in judged if one.key not in claims.STATED] == []
    assert {one.key for one in judged} == set(claims.STATED)
