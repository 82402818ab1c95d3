"""Tests of thresholds, counts and comparisons: tables of expected values at toy sizes."""

import made_up
import numpy as np
import pandas as pd
import pytest

from mdissect.analysis import (
    UNGROUPED,
    activation_auc,
    compare,
    count_concepts,
    find_neurons,
    group_of,
    images_showing,
    learned,
    missed,
    share_among_strongest,
    thresholds,
    top_groups,
    with_verdict,
)
from mdissect.concepts import ConceptSet
from mdissect.dissection import Dissection

MASS, IMPLANT, LADDER, BIRD = range(4)
NAN = np.nan


def concept_set():
    """Four concepts; "implant" stands in two categories, "mass" in two of one broad category; "bird" in none."""
    rows = [
        ("mass", "Mass", "Findings", "mammography", "mass;density"),
        ("mass", "Suspicious", "Findings", "mammography", "mass"),
        ("implant", "Breast implants", "Anatomy", "mammography", ""),
        ("implant", "Implants", "Interpretations", "mammography", ""),
        ("ladder", "Objects", "Natural", "other", ""),
        ("bird", "", "", "other", ""),
    ]
    return made_up.concept_set(rows, "concept", "category", "broad_category", "domain", "tasks")


def dissection(**layers):
    """A dissection from layers of (best concept, its similarity) per neuron; other similarities are 1 less, or NaN for None."""
    similarity = {}
    for layer, neurons in layers.items():
        scores = np.full((len(neurons), 4), NAN, dtype=np.float32)
        for neuron, best in enumerate(neurons):
            if best is not None:
                scores[neuron] = best[1] - 1
                scores[neuron, best[0]] = best[1]
        similarity[layer] = scores
    return Dissection(similarity=similarity, concepts=concept_set(), settings={})


@pytest.fixture
def first():
    return dissection(z_early=[(MASS, 1.0), (MASS, 3.0), (LADDER, 2.0), None], a_late=[(IMPLANT, 5.0), (BIRD, 1.0)])


@pytest.fixture
def second():
    return dissection(z_early=[(LADDER, 2.5), (MASS, 2.5), (BIRD, 1.0)], a_late=[(MASS, 4.0), (IMPLANT, 5.5), (IMPLANT, 8.5)])


def rows(table):
    return [tuple(row) for row in table.itertuples(index=False)]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("top", [("z_early", 2.0), ("a_late", 3.0)]),  # (1 + 3 + 2) / 3, (5 + 1) / 2; the neuron without a name is left out
        ("all", [("z_early", 1.25), ("a_late", 2.25)]),  # each neuron's mean is 3/4 below its top
    ],
)
def test_thresholds_by_both_rules(first, rule, expected):
    assert rows(thresholds(first, rule=rule)) == expected
    assert thresholds(first).equals(thresholds(first, rule="top"))  # the default


def test_a_shared_threshold_is_the_largest_layer_by_layer(first, second):
    assert rows(thresholds(second)) == [("z_early", 2.0), ("a_late", 6.0)]
    second.similarity["z_early"] -= 0.5
    for order in ((first, second), (second, first)):
        assert rows(thresholds(*order)) == [("z_early", 2.0), ("a_late", 6.0)]


@pytest.mark.parametrize("value", [0.1, 0.7, 2.1972246, -3.3])
@pytest.mark.parametrize("n_neurons", [1, 3, 7, 100])
def test_neurons_that_are_all_alike_pass(value, n_neurons):
    alike = dissection(layer=[(MASS, value)] * n_neurons)
    assert with_verdict(alike, thresholds(alike)).passes.all()


def test_the_mean_is_that_of_the_values():
    rng = np.random.default_rng(0)
    found = Dissection({"layer": rng.standard_normal((300, 4)).astype(np.float32)}, concept_set(), {})
    scores = found.similarity["layer"].astype(np.float64)
    assert thresholds(found, rule="top").threshold[0] == pytest.approx(scores.max(axis=1).mean(), rel=1e-12)
    assert thresholds(found, rule="all").threshold[0] == pytest.approx(scores.mean(), rel=1e-12)


def test_labels_are_judged_by_their_layers_threshold(first):
    found = with_verdict(first, pd.DataFrame({"layer": ["a_late", "z_early"], "threshold": [5.0, 2.5]}))
    assert found[["layer", "neuron", "threshold", "passes"]].values.tolist() == [
        ["z_early", 0, 2.5, False],
        ["z_early", 1, 2.5, True],
        ["z_early", 2, 2.5, False],
        ["z_early", 3, 2.5, False],  # no name, no pass
        ["a_late", 0, 5.0, True],  # the threshold itself passes
        ["a_late", 1, 5.0, False],
    ]


def test_learned_concepts_with_their_neurons_best_first(first, second):
    assert rows(learned(first, thresholds(first))) == [
        ("z_early", "mass", 1, 3.0),
        ("z_early", "ladder", 1, 2.0),
        ("a_late", "implant", 1, 5.0),
    ]
    low = thresholds(second).assign(threshold=-9)
    assert rows(learned(second, low)) == [
        ("z_early", "ladder", 1, 2.5),
        ("z_early", "mass", 1, 2.5),
        ("z_early", "bird", 1, 1.0),
        ("a_late", "implant", 2, 8.5),
        ("a_late", "mass", 1, 4.0),
    ]


def test_missed_concepts_are_those_no_layer_learned(first, second):
    found = missed(first, thresholds(first))
    assert found.concept.tolist() == ["bird"]
    assert list(found) == list(concept_set().table)
    none_passes = thresholds(first).assign(threshold=99.0)
    assert len(learned(first, none_passes)) == 0
    assert missed(first, none_passes).equals(concept_set().table)
    assert missed(second, thresholds(second)).concept.unique().tolist() == ["bird"]


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        (
            "category",
            {
                "z_early": {"Mass": (1, 2, 0.5), "Suspicious": (1, 2, 0.5), "Objects": (1, 1, 0.25)},
                "a_late": {"Breast implants": (1, 1, 0.5), "Implants": (1, 1, 0.5), UNGROUPED: (1, 1, 0.5)},
            },
        ),
        (
            "broad_category",  # "mass" stands twice in "Findings" and counts once
            {
                "z_early": {"Findings": (1, 2, 0.5), "Natural": (1, 1, 0.25)},
                "a_late": {"Anatomy": (1, 1, 0.5), "Interpretations": (1, 1, 0.5), UNGROUPED: (1, 1, 0.5)},
            },
        ),
        (
            "domain",
            {
                "z_early": {"mammography": (1, 2, 0.5), "other": (1, 1, 0.25)},
                "a_late": {"mammography": (1, 1, 0.5), "other": (1, 1, 0.5)},
            },
        ),
        ("task", {"z_early": {"mass": (1, 2, 0.5), "density": (1, 2, 0.5)}, "a_late": {}}),
    ],
)
def test_counts_of_concepts_neurons_and_fractions(first, by, expected):
    low = thresholds(first).assign(threshold=-9)
    found = count_concepts(first, low, by=by)
    groups = list(dict.fromkeys(group_of(concept_set(), by)[by]))
    assert found[["layer", by]].values.tolist() == [[layer, group] for layer in ("z_early", "a_late") for group in groups]
    for layer, group, *counts in rows(found):
        assert tuple(counts) == expected[layer].get(group, (0, 0, 0.0)), (layer, group)


def test_counts_are_those_of_passing_neurons(first):
    found = count_concepts(first, thresholds(first)).set_index(["layer", "broad_category"])
    assert found.neurons[found.neurons > 0].to_dict() == {
        ("z_early", "Findings"): 1,
        ("z_early", "Natural"): 1,
        ("a_late", "Anatomy"): 1,
        ("a_late", "Interpretations"): 1,
    }
    none_passes = count_concepts(first, thresholds(first).assign(threshold=99.0))
    assert len(none_passes) == len(found)
    assert not none_passes[["concepts", "neurons", "fraction"]].any(axis=None)


def test_the_highest_groups_of_each_layer(first):
    counts = count_concepts(first, thresholds(first).assign(threshold=-9))
    assert top_groups(counts, value="neurons", n=1)[["layer", "broad_category"]].values.tolist() == [
        ["z_early", "Findings"],
        ["a_late", "Anatomy"],  # the first of equals
    ]
    assert top_groups(counts, n=9).layer.tolist() == ["z_early"] * 2 + ["a_late"] * 3  # empty groups are left out


def test_compare_tells_who_carries_a_concept(first, second):
    found = compare(first, second, thresholds(first, second).assign(threshold=[2.0, 5.0]))
    assert rows(found) == [
        ("z_early", "ladder", 1, 1, "both"),
        ("z_early", "mass", 1, 1, "both"),
        ("a_late", "implant", 1, 2, "both"),
    ]
    found = compare(first, second, thresholds(first, second).assign(threshold=[2.7, 1.0]))
    assert rows(found) == [
        ("z_early", "mass", 1, 0, "first"),
        ("a_late", "bird", 1, 0, "first"),
        ("a_late", "implant", 1, 2, "both"),
        ("a_late", "mass", 0, 1, "second"),
    ]
    assert rows(compare(first, second, thresholds(first, second).assign(threshold=99.0))) == []


def test_a_dissection_read_from_labels_alone_knows_the_top_rule(first, tmp_path):
    first.to_csv(tmp_path / "labels.csv")
    labels_alone = Dissection.from_csv(tmp_path / "labels.csv", concept_set())
    assert thresholds(labels_alone).equals(thresholds(first))
    assert learned(labels_alone, thresholds(first)).equals(learned(first, thresholds(first)))
    with pytest.raises(ValueError, match="rule='all' needs the whole similarity matrix"):
        thresholds(labels_alone, rule="all")


def test_other_layer_names_are_compared_by_depth():
    ours = dissection(early=[(MASS, 1.0)], late=[(MASS, 5.0)])
    theirs = dissection(stem=[(MASS, 3.0)], head=[(MASS, 2.0)])
    table = thresholds(ours, theirs)
    assert table.to_dict("list") == {"layer": ["early", "stem", "late", "head"], "threshold": [3.0, 3.0, 5.0, 5.0]}
    assert with_verdict(theirs, table).passes.tolist() == [True, False]


def test_mistakes_are_named(first, second):
    with pytest.raises(ValueError, match="rule='median' is not one of 'top', 'all'"):
        thresholds(first, rule="median")
    with pytest.raises(ValueError, match=r"thresholds\(\) needs at least one dissection"):
        thresholds()
    with pytest.raises(ValueError, match=r"different layers, \('z_early', 'a_late'\) and \('z_early',\); dissect as many"):
        thresholds(first, dissection(z_early=[(MASS, 1.0)]))
    with pytest.raises(ValueError, match="in the same order"):
        thresholds(dissection(one=[(MASS, 1.0)], two=[(MASS, 1.0)]), dissection(two=[(MASS, 1.0)], one=[(MASS, 1.0)]))
    with pytest.raises(ValueError, match="no neuron of layer 'dead' could be named; leave the layer out"):
        thresholds(dissection(dead=[None, None]))
    with pytest.raises(ValueError, match="no threshold for layer a_late; there are z_early"):
        learned(first, thresholds(second).iloc[:1])
    with pytest.raises(ValueError, match="by='colour' is not one of 'category', 'broad_category', 'domain', 'task'"):
        count_concepts(first, thresholds(first), by="colour")
    with pytest.raises(ValueError, match="the concept set names no tasks"):
        group_of(ConceptSet.from_list(["mass"]), "task")


class TestFindNeurons:
    @pytest.fixture
    def found(self):
        """Of the four concepts, mass is best in the first neuron, implant in the second; the third is silent."""
        scores = np.array([[4, 3, 1, 0], [1, 5, 2, 0], [NAN] * 4, [0, 1, 3, 2]], dtype=np.float32)
        return Dissection(similarity={"deep": scores}, concepts=concept_set(), settings={})

    def test_ranks_by_matches_and_then_similarity(self, found):
        columns = ["neuron", "matches", "similarity", "label", "label_similarity"]
        assert rows(find_neurons(found, "IMPLANT", top=2)[columns]) == [(1, 1, 5, "implant", 5), (0, 1, 3, "mass", 4)]
        assert rows(find_neurons(found, "a", top=2)[["neuron", "matches"]]) == [(1, 2), (0, 2), (3, 1)]  # ladder, implant, mass

    def test_tells_who_passes(self, found):
        tau = pd.DataFrame({"layer": ["deep"], "threshold": [4.5]})
        assert rows(find_neurons(found, "implant", top=2, thresholds=tau)[["neuron", "passes"]]) == [(1, True), (0, False)]

    def test_nobody_has_the_word(self, found):
        assert find_neurons(found, "bird", top=1).empty

    @pytest.mark.parametrize(
        ("word", "message"), [(" ", "word is empty"), ("implnt", r"has 'implnt' in it \(closest: implant\)")]
    )
    def test_refuses_words_without_a_concept(self, found, word, message):
        with pytest.raises(ValueError, match=message):
            find_neurons(found, word)


class TestImagesShowing:
    table = pd.DataFrame(
        {"Implant": ["saline", "", None], "mass": [True, False, True], "findings": ["implant; Mass", "Suspicious Mass", None]},
        index=["a", "b", "c"],
    )

    def test_by_the_column_of_that_name(self):
        assert images_showing(self.table, "implant").tolist() == [True, False, pd.NA]
        assert images_showing(self.table, "mass").tolist() == [True, False, True]

    def test_by_the_findings_otherwise(self):
        assert images_showing(self.table, "suspicious").tolist() == [False, True, pd.NA]

    def test_nothing_is_known_without_either(self):
        shown = images_showing(self.table[["mass"]], "implant")
        assert shown.isna().all()
        assert shown.index.equals(self.table.index)


def test_the_auc_leaves_out_what_is_not_known():
    activations = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.5, 0.5]], dtype=np.float32)
    found = Dissection(similarity={}, activations={"deep": activations}, concepts=concept_set(), settings={})
    shown = pd.Series([True, True, False, pd.NA], dtype="boolean")
    assert activation_auc(found, "deep", 0, shown) == 1
    assert activation_auc(found, "deep", 1, shown) == 0
    assert np.isnan(activation_auc(found, "deep", 0, pd.Series([True] * 4, dtype="boolean")))


def test_the_share_of_marked_images_among_the_strongest():
    activations = np.array([[4, 1], [3, 2], [2, 3], [1, 4]], dtype=np.float32)
    table = pd.DataFrame(index=list("abcd"))
    found = Dissection(similarity={}, activations={"deep": activations}, concepts=concept_set(), settings={}, probe_table=table)
    marked = pd.Series([True, False, True, False], index=list("dcba"))  # b and d
    assert rows(share_among_strongest(found, marked, top=1)) == [("deep", 0, 0.0), ("deep", 1, 1.0)]
    assert share_among_strongest(found, marked, top=2).share.tolist() == [0.5, 0.5]
