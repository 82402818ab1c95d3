"""The paper's findings: criteria that are met or not, on tables made up for them."""

from functools import partial

import pytest
from made_up import concept_set, labelled
from matplotlib.figure import Figure

from mdissect.concepts import OTHER
from mdissect.plots import draw_pair
from mdissect.study.claims import (
    PLACES,
    as_markdown,
    claims_on_fine_tuning,
    claims_on_missed,
    claims_on_mixed_images,
    claims_on_natural_images,
    claims_on_training,
    compare_pair,
    places,
    summary,
)

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


def seen(claims):
    return [claim.seen for claim in claims]


def test_everything_that_the_paper_finds_on_natural_images():
    claims = claims_on_natural_images(compare_pair({"A": RICH, "B": POOR}))
    assert [claim.figure for claim in claims] == ["12a", "12b", "12b", "12c", "12c"]
    assert seen(claims) == [True] * 5
    assert claims[1].numbers == "mammography: 2 against 0; other: 4 against 2"
    assert claims[0].numbers == "2 of 2 layers (early: 5.00 against 2.33, late: 5.00 against 2.33)"


def test_nothing_of_it_the_other_way_round():
    assert seen(claims_on_natural_images(compare_pair({"A": POOR, "B": RICH}))) == [False, False, True, True, False]


def test_a_threshold_above_in_some_layers_is_not_enough():
    mixed = dissection(early=[("bird", 9)], late=[("bird", 1)])
    claim, *_ = claims_on_natural_images(compare_pair({"A": mixed, "B": dissection(early=[("bird", 1)], late=[("bird", 9)])}))
    assert not claim.seen
    assert claim.numbers.startswith("1 of 2 layers")


def test_everything_that_the_paper_finds_on_mixed_images():
    claims = claims_on_mixed_images(compare_pair({"C": POOR, "D": MAMMO}))
    assert [claim.figure for claim in claims] == ["13a", "13b", "13c", "13c", "13c"]
    assert seen(claims) == [True] * 5
    assert claims[2].numbers == "2 of 2 layers (early, late)"
    assert claims[4].numbers == "nothing passes"


def test_what_passes_is_named_where_nothing_should():
    claims = claims_on_mixed_images(compare_pair({"C": MAMMO, "D": RICH}))
    assert seen(claims) == [False] * 5
    assert claims[4].numbers == (
        "Findings and characterizations: 2; Interpretations: 2; Breast anatomy or structure: 1; Environmental and Natural: 1"
    )


def test_fractions_are_counted_too():
    claims = claims_on_natural_images(compare_pair({"A": RICH, "B": POOR}, count="fraction"))
    assert claims[1].numbers == "mammography: 0.667 against 0; other: 1.33 against 0.667"


@pytest.mark.parametrize(
    ("dissections", "options", "message"),
    [
        ({"A": RICH}, {}, "a pair has two setups, found 1: A"),
        ({"A": RICH, "B": POOR}, {"count": "words"}, "count='words' is not one of 'concepts', 'neurons', 'fraction'"),
        ({"A": RICH, "B": POOR}, {"rule": "best"}, "rule='best' is not one of 'top', 'all'"),
        ({"A": RICH, "B": dissection(deep=[("bird", 1)])}, {}, "the dissections have different layers"),
    ],
)
def test_pairs_that_cannot_be_compared(dissections, options, message):
    with pytest.raises(ValueError, match=message):
        compare_pair(dissections, **options)


def test_claims_in_words():
    claims = claims_on_natural_images(compare_pair({"A": POOR, "B": RICH}))
    lines = as_markdown(claims).split("\n")
    assert len(lines) == 2 + len(claims)
    assert all(line.count("|") == 6 for line in lines)
    assert "| not seen |" in lines[2]
    assert "| **seen** |" in lines[4]
    assert summary(claims).startswith(
        "**2 of 5** findings are seen here. Not seen: the threshold of A lies above that of B (Fig. 12a"
    )
    assert summary([claim for claim in claims if claim.seen]) == "**2 of 2** findings are seen here."


def test_the_drawing_of_a_pair():
    fig = draw_pair(Figure(), compare_pair({"A": RICH, "B": POOR}))
    lines, domains, broad = fig.axes
    assert [line.get_ydata().tolist() for line in lines.get_lines()] == [[5, 5], [pytest.approx(7 / 3)] * 2]
    assert sum(bar.get_height() for bar in domains.patches) == sum(bar.get_height() for bar in broad.patches) == 8


TRAINED = of_tasks(
    early=[("mass", 5), ("benign", 5)], late=[("mass", 5), ("benign", 5), ("bird", 5), ("dense", 5), ("fatty", 5)]
)
UNTRAINED = of_tasks(early=[("mass", 4), ("mass", 1)], late=[("bird", 4), ("tree", 1), ("tree", 1), ("tree", 1), ("tree", 1)])


def test_what_the_paper_finds_on_training():
    found = claims_on_training(compare_pair({"G": UNTRAINED, "M": TRAINED}))
    assert seen(found) == [True, True, True, False]
    assert found[-1].numbers == "last layer: no label passes the shared threshold"


def test_the_other_way_round_it_is_not_seen():
    found = claims_on_training(compare_pair({"G": TRAINED, "M": UNTRAINED}))
    assert seen(found) == [False, False, False, True]


def test_what_the_paper_finds_on_fine_tuning():
    base = of_tasks(early=[("mass", 5), ("mass", 5)], late=[("mass", 1), ("dense", 7), ("fatty", 7)])
    more = of_tasks(early=[("mass", 6), ("rim calcification", 6)], late=[("amorphous calcification", 6), ("mass", 6)])
    less = of_tasks(early=[("mass", 6), ("benign", 6)], late=[("mass", 6), ("dense", 6)])
    claims = claims_on_fine_tuning(base, {"C1": less, "C2": less, "C3": less, "C4": more})
    assert seen(claims[:3]) == [True, True, True]
    assert claims[2].numbers == "C1 1, M 2"
    assert claims[0].numbers == "C1: 2 of 2 layers; C2: 2 of 2 layers; C3: 2 of 2 layers; C4: 2 of 2 layers"


def test_a_concept_set_that_tells_no_tasks_gets_them_by_category():
    """As the published one."""
    rows = [
        ("dense", "Breast density", "Findings and characterizations"),
        ("rim", "Benign calcifications", "Findings and characterizations"),
        ("round mass", "Mass", "Findings and characterizations"),
    ]
    concepts = concept_set(rows, "concept", "category", "broad_category", domain="mammography")
    found = labelled(concepts, late=[("dense", 9), ("rim", 9), ("round mass", 9)])
    claims = claims_on_fine_tuning(found, dict.fromkeys(("C1", "C2", "C3", "C4"), found))
    assert [claim.numbers for claim in claims[1:]] == ["C4 1, M 1", "C1 1, M 1", "C3 1, M 1"]
    same = claims_on_fine_tuning(TRAINED, dict.fromkeys(("C1", "C2", "C3", "C4"), TRAINED))
    assert seen(same) == [False, False, False, True]


def test_what_the_paper_finds_missed():
    more_than_half, mostly_other = claims_on_missed(of_tasks(only=[("mass", 1), ("benign", 1)]))
    assert more_than_half.seen
    assert more_than_half.numbers == "2 learned, 7 missed of 9"
    assert not mostly_other.seen
    assert mostly_other.numbers == "3 of 7"


def test_places_name_the_files_that_are_there(tmp_path):
    (tmp_path / "02_fig8_threshold.png").touch()
    table = places(tmp_path).set_index("in the paper")
    assert table.files["Fig. 8"] == "02_fig8_threshold.png"
    assert table.files["Fig. 4a"] == ""
    assert len(table) == len(PLACES)
