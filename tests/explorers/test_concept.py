"""Tests of the concept explorer without a browser: its traits are driven, its parts and tables are read."""

import json

import numpy as np
import pytest
import twins
from explored import assert_refused, drawn

import mdissect
from mdissect import analysis
from mdissect.dissection import Dissection
from mdissect.explorers.bars import summary_html
from mdissect.explorers.concept import ConceptExplorer
from mdissect.explorers.sides import SideBySide

pytestmark = pytest.mark.slow


@pytest.fixture
def explorer():
    return mdissect.explore_concepts(twins.twins(), probe=twins.probe())


def carried(explorer):
    """How many neurons carry what is in view, by model and layer."""
    return {(row.model, row.layer): row.neurons for row in explorer.summary.itertuples()}


def places(explorer):
    return [f"{row.model} {row.layer} {row.neuron}" for row in explorer.neurons.itertuples()]


def rows(explorer):
    """Each row of the list: place, label, whether that counts, further words."""
    shown = explorer._list.rows
    parts = (shown[name] for name in ("model", "layer", "neuron", "label", "count", "words"))
    return [(f"{model} {layer} {neuron}", *rest) for model, layer, neuron, *rest in zip(*parts, strict=True)]


def seen(explorer):
    return explorer._heading.value, rows(explorer), twins.ids(explorer._gallery)


def test_opens_on_all_concepts_with_who_carries_any(explorer):
    assert isinstance(explorer, ConceptExplorer)
    assert carried(explorer) == {("M", "stem"): 1, ("M", "deep"): 2, ("C4", "stem"): 1, ("C4", "deep"): 3}
    assert "all concepts (6 concepts): label of 7 of 20 neurons (M 3, C4 4)" in explorer._heading.value
    assert explorer.summary.threshold.tolist() == pytest.approx([2.2333, 1.35, 2.2333, 1.35], abs=1e-4)
    assert explorer.summary.share.tolist() == pytest.approx([1 / 4, 2 / 6, 1 / 4, 3 / 6])
    assert "50.0 % (3 neurons)" in explorer._summary.value


def test_a_concept_shows_its_carriers_first_then_the_nearest_whatever_their_label(explorer):
    explorer.concept = "silicone implant"
    assert carried(explorer) == {("M", "stem"): 0, ("M", "deep"): 0, ("C4", "stem"): 0, ("C4", "deep"): 1}
    table = explorer.neurons
    assert places(explorer)[:4] == ["C4 deep 5", "M stem 1", "C4 stem 1", "M deep 1"]
    assert table.similarity[:4].tolist() == pytest.approx([1.6, 2.1, 2.1, 1.1])
    assert table.carries[:4].tolist() == [True, False, False, False]
    assert table.called[:4].tolist() == [True, True, True, True]
    assert (np.diff(table.similarity[1:]) <= 0).all()
    shown = rows(explorer)
    assert shown[0] == ("C4 deep 5", "silicone implant", "this label", "this label")
    assert shown[1][2] == "this label, below the threshold"
    assert shown[-1][2] == "other label"
    assert len(shown) == 19  # neuron 0 of M's stem cannot be named


@pytest.mark.parametrize(
    ("category", "expected"),
    [
        ("Breast implants", [0, 1, 0, 1]),
        ("Findings and characterizations", [1, 0, 1, 1]),
        ("Environmental and Natural", [0, 1, 0, 1]),
        ("Natural", [0, 0, 0, 0]),
    ],
)
def test_a_category_or_broad_category_counts_neurons_with_any_of_its_concepts(explorer, category, expected):
    explorer.category = category
    assert explorer.summary.neurons.tolist() == expected


@pytest.mark.parametrize("seed", range(5))
def test_counts_are_those_of_the_analysis(seed):
    found = {"one": twins.random_dissection(seed), "two": twins.random_dissection(seed + 100)}
    sides = SideBySide(found)
    thresholds = analysis.thresholds(*found.values())
    for by in ("category", "broad_category"):
        expected = {model: analysis.count_concepts(dissection, thresholds, by=by) for model, dissection in found.items()}
        for category in expected["one"][by].unique():
            for row in sides.summary(sides.members(category=category)).itertuples():
                table = expected[row.model]
                wanted = table[(table.layer == row.layer) & (table[by] == category)]
                assert (row.neurons, row.share) == (wanted.neurons.item(), pytest.approx(wanted.fraction.item()))


def test_what_nobody_carries_is_told_and_the_nearest_are_shown(explorer):
    explorer.category = "Natural"
    assert "Natural (1 concepts): no neuron has such a label above the threshold" in explorer._heading.value
    assert len(rows(explorer)) == 19
    assert not explorer.neurons.carries.any()
    explorer.concept = "moss"
    assert "moss: no neuron has such a label above the threshold" in explorer._heading.value


def test_search_finds_the_very_name_first_then_what_most_neurons_carry(explorer):
    explorer.query = " IMPLANT "
    assert explorer.offered == ["implant", "silicone implant"]
    assert explorer.concept == ""
    assert "“IMPLANT” (2 concepts): label of 2 of 20 neurons (M 1, C4 1)" in explorer._heading.value
    assert "2 concepts have “IMPLANT” in them" in explorer._message.value
    assert [name for _, name in explorer._concepts.options] == ["", "implant", "silicone implant"]
    explorer.concept = "silicone implant"
    assert (explorer.query, explorer.neurons.carries.sum()) == (" IMPLANT ", 1)
    explorer.query = "pumpkins"
    assert explorer.concept == "pumpkin"  # the only one


def test_a_search_ends_a_category_and_a_category_a_search(explorer):
    explorer.category = "Mass"
    explorer.query = "implant"
    assert (explorer.category, explorer.concept) == ("", "")
    explorer.category = "Mass"
    assert (explorer.query, explorer.concept) == ("", "")
    assert explorer.offered == ["benign mass"]
    explorer.concept = "pumpkin"
    assert explorer.category == ""
    explorer.category = "Environmental and Natural"
    assert (explorer.concept, explorer.offered) == ("pumpkin", ["pumpkin", "moss"])


def test_words_that_no_concept_has_change_nothing_and_are_told(explorer):
    explorer.concept = "pumpkin"
    explorer.query = "implent"
    assert explorer.concept == "pumpkin"
    assert "None of the 6 concepts has “implent” in it; did you mean “implant”?" in explorer._message.value
    explorer.query = "   "
    assert explorer.concept == "pumpkin"
    assert "None of" not in explorer._message.value


def test_the_images_most_similar_to_a_concept_are_shown_under_their_ids(explorer):
    explorer.concept = "benign mass"
    sims = twins.twin("M").image_concept_sims[:, 2]
    assert twins.ids(explorer._gallery) == [twins.IDS[i] for i in np.argsort(-sims, kind="stable")[:8]]
    assert "Images that toy finds most similar to “benign mass”" in explorer._caption.value
    assert f"similarity {sims.max():.3g}" in twins.captions(explorer._gallery)[0]


def test_a_neuron_of_the_list_shows_its_strongest_images_until_those_of_the_concept_are_asked_for(explorer):
    explorer.concept = "silicone implant"
    similar = twins.ids(explorer._gallery)
    explorer._list.take(choose=0)
    assert explorer.neuron == ["C4", "deep", 5]
    column = twins.twin("C4").activations["deep"][:, 5]
    assert twins.ids(explorer._gallery) == [twins.IDS[i] for i in np.argsort(-column)[:8]]
    assert "Strongest images of C4, deep, neuron 5: silicone implant" in explorer._caption.value
    assert explorer._list.chosen == 0
    explorer._similar.click()
    assert (explorer.neuron, twins.ids(explorer._gallery)) == ([], similar)


def test_of_a_category_the_images_are_those_of_the_first_neuron(explorer):
    explorer.category = "Breast implants"
    assert "Strongest images of C4, deep, neuron 5: silicone implant" in explorer._caption.value


def test_model_and_layer_choose_what_is_listed(explorer):
    explorer.concept = "pumpkin"
    explorer.model, explorer.layer = "C4", "deep"
    assert places(explorer)[0] == "C4 deep 4"
    assert {place[:7] for place in places(explorer)} == {"C4 deep"}
    assert len(places(explorer)) == 6


def test_controls_and_traits_follow_each_other(explorer):
    controls = {trait: control for trait, (control,) in explorer._controls.items()}
    controls["category"].value = "Mass"
    assert explorer.category == "Mass"
    controls["concept"].value = "benign mass"
    assert explorer.concept == "benign mass"
    controls["query"].value = "pumpkin"
    assert (explorer.concept, explorer.category, controls["category"].value) == ("pumpkin", "", "")
    explorer.model, explorer.layer = "M", "stem"
    assert (controls["model"].value, controls["layer"].value) == ("M", "stem")


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"concept": "implent"}, r"no concept 'implent' \(closest: implant\); there are implant, silicone implant"),
        ({"category": "mass"}, r"no category 'mass' \(closest: Mass\)"),
        ({"model": "C1"}, "no model 'C1'"),
        ({"layer": "head"}, "no layer 'head'; there are stem, deep"),
        ({"page": 2}, "a view has no page"),
        ({"overlay": True}, "overlay needs the networks themselves"),
        ({"opened": {"neuron": 99}}, "neuron 99 is not in layer"),
        ({"opened": {"zoom": 1}}, "a view has no zoom"),
        ({"neuron": ["C4", "deep", 6]}, "neuron 6 is not in layer 'deep' of C4, whose neurons are 0 to 5"),
        ({"neuron": ["C4", "deep", "1"]}, "neuron 1 is not in layer"),
        ({"neuron": ["C4", "head", 1]}, "no layer 'head'"),
        ({"neuron": [3]}, r"neuron=\[3\] is not \[model, layer, number\]"),
        ({"zoom": 2}, "a view has no zoom; it has query, category, concept"),
        ({"category": "Mass", "concept": "mosss"}, r"closest: moss"),
    ],
)
def test_a_view_that_cannot_be_is_refused_and_the_old_one_stays(explorer, state, message):
    explorer.query = "implant"
    explorer.concept = "silicone implant"
    explorer.neuron = ["C4", "deep", 5]
    assert_refused(explorer, state, message, seen)


def test_a_view_is_shared_and_opened_again(explorer):
    explorer.category, explorer.concept, explorer.model = "Mass", "benign mass", "C4"
    explorer.neuron = ["M", "stem", 2]
    state = json.loads(json.dumps(explorer.state))
    again = mdissect.explore_concepts(twins.twins(), probe=twins.probe(), state=state)
    assert again.state == explorer.state
    assert seen(again) == seen(explorer)
    again.state = {"query": "pumpkin"}
    assert again.concept == "pumpkin"


def test_a_result_from_csv_shows_what_it_knows(tmp_path):
    twins.twin("C4").to_csv(tmp_path / "labels.csv")
    found = Dissection.from_csv(tmp_path / "labels.csv", concepts=twins.concept_set())
    explorer = mdissect.explore_concepts({"M": twins.twin("M"), "file": found})
    explorer.concept = "silicone implant"
    assert carried(explorer)["file", "deep"] == 1
    assert "file: no activations (read from a CSV)" in explorer._message.value
    explorer.model = "file"
    assert places(explorer) == ["file deep 5", "file stem 1", "file deep 0"]  # of the others no similarity is known
    assert "The similarity of images to the concept is not known" in explorer._caption.value
    explorer.concept = "moss"
    assert rows(explorer) == []
    assert "not known" in explorer._summary.value
    assert explorer.figure().axes


def test_images_that_are_gone_are_grey_tiles():
    explorer = mdissect.explore_concepts(twins.twins(), probe=twins.probe(3))
    explorer.concept = "implant"
    told = twins.captions(explorer._gallery)
    assert sum("not among the images of" in words for words in told) == len(told) - len(
        set(twins.ids(explorer._gallery)) & set(twins.IDS[:3])
    )
    assert len(told) == 8
    assert all("no probe was given" in words for words in twins.captions(mdissect.explore_concepts(twins.twins())._gallery))


def test_texts_from_outside_are_escaped():
    found = {"<b>M": twins.twin("M"), "C4": twins.twin("C4")}
    explorer = mdissect.explore_concepts(found)
    explorer.concept = "density <4>"
    for part in (
        explorer._heading,
        explorer._summary,
        explorer._caption,
        explorer._message,
    ):
        assert "<4>" not in part.value
        assert "<b>M" not in part.value
    assert "density &lt;4&gt;" in explorer._heading.value
    assert "&lt;b&gt;M" in explorer._summary.value


def test_one_dissection_will_do():
    explorer = mdissect.explore_concepts(twins.twin("M"))
    assert set(explorer.summary.model) == {"toy/M"}
    assert explorer.summary.threshold.tolist() == analysis.thresholds(twins.twin("M")).threshold.tolist()


def test_layers_of_other_names_are_compared_by_depth():
    explorer = mdissect.explore_concepts({"M": twins.twin("M"), "C4": twins.twin("C4", layers=("first", "last"))})
    assert explorer.layers == ["stem / first", "deep / last"]
    assert explorer.summary.threshold.tolist() == pytest.approx([2.2333, 1.35, 2.2333, 1.35], abs=1e-4)
    explorer.concept = "silicone implant"
    assert places(explorer)[:2] == ["C4 last 5", "M stem 1"]
    explorer._list.take(choose=0)
    assert explorer.neuron == ["C4", "last", 5]
    explorer.layer = "stem / first"
    assert set(explorer.neurons.layer) == {"stem", "first"}
    assert "compared by depth" in explorer._message.value


@pytest.mark.parametrize(
    ("found", "error", "message"),
    [
        ({}, ValueError, "no dissection was given"),
        ({"M": 3}, TypeError, "must be a Dissection: dissect"),
        ([1], TypeError, "must be a Mapping or Dissection: dissect"),
        (
            {"M": twins.twin("M"), "C4": twins.twin("C4", layers=("deep", "stem"))},
            ValueError,
            "the same layers in another order",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused(found, error, message):
    with pytest.raises(error, match=message):
        mdissect.explore_concepts(found)


def test_models_with_different_numbers_of_layers_are_refused():
    one = twins.twin("C4")
    del one.similarity["stem"]
    with pytest.raises(ValueError, match="different numbers of layers"):
        mdissect.explore_concepts({"M": twins.twin("M"), "C4": one})


def test_what_makes_a_comparison_unfair_is_told():
    other = twins.random_dissection(0, n_neurons=(4, 9), n_concepts=5)
    other.settings["dissector"] = "another"
    message = mdissect.explore_concepts({"M": twins.twin("M"), "other": other})._message.value
    assert "different dissectors (M by toy, other by another)" in message
    assert "1 of 6 concepts are not in every model" in message
    assert "Numbers of neurons differ in deep (6 in M, 9 in other)" in message
    assert "in stem" not in message


def calibrated(model):
    """A twin whose labels are trusted in its deep layer alone: neuron 0 as it is, 1 as moss."""
    found = twins.twin(model)
    table = found.labels().assign(concept="", p=0.5, q=0.5)
    deep = table.layer == "deep"
    table.loc[deep & (table.neuron == 0), "concept"] = "implant"
    table.loc[deep & (table.neuron == 1), "concept"] = "moss"
    found.trusted = table
    return found


def test_calibrated_labels_count_whatever_the_threshold():
    explorer = mdissect.explore_concepts({"M": calibrated("M"), "C4": calibrated("C4")})
    assert carried(explorer) == {("M", "stem"): 0, ("M", "deep"): 2, ("C4", "stem"): 0, ("C4", "deep"): 2}
    explorer.concept = "moss"
    assert sorted(places(explorer)[:2]) == ["C4 deep 1", "M deep 1"]
    assert explorer.neurons.carries.tolist() == [True, True] + [False] * 17
    assert "with such a label better than chance" in explorer._summary.value
    explorer.concept = "pumpkin"
    assert "pumpkin: no neuron has such a label better than chance" in explorer._heading.value
    assert rows(explorer)[0][1] == "no label"
    with pytest.raises(ValueError, match="of M, C4 only C4 are calibrated"):
        mdissect.explore_concepts({"M": twins.twin("M"), "C4": calibrated("C4")})


def test_a_layer_that_nobody_could_name_has_no_threshold():
    found = twins.twins()
    for dissection in found.values():
        dissection.similarity["stem"][:] = np.nan
    explorer = mdissect.explore_concepts(found)
    assert carried(explorer)["M", "stem"] == 0
    assert "nothing named" in explorer._summary.value
    assert explorer.figure().axes


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_neurons_does_not_matter(seed):
    found = twins.random_dissection(seed)
    order = np.random.default_rng(seed).permutation(14)
    mixed = twins.random_dissection(seed)
    mixed.similarity["deep"] = mixed.similarity["deep"][order]
    for name in twins.NAMES:
        one, two = (SideBySide(d).neurons(SideBySide(d).members(name), depth="deep", n=99)[0] for d in (found, mixed))
        assert one.neuron.tolist() == order[two.neuron].tolist()
        assert one.similarity.tolist() == two.similarity.tolist()


def test_bars_are_as_long_as_shares_and_similarities():
    table = SideBySide(twins.twins()).summary(SideBySide(twins.twins()).members(category="Breast implants"))
    html = summary_html(table, "Breast anatomy or structure", "past the threshold")
    assert html.count("width:100.0%") == 2  # both models carry it in one of their six deep neurons
    assert html.count("width:92.2%;background:#0072B2") == 2  # 2.1 in both stems, on a scale to 1.02 times 2.2333
    assert html.count("2px dashed") == 4  # a threshold in each lower bar


def test_the_figure_is_the_same_view(explorer):
    explorer.concept = "silicone implant"
    fig, texts = drawn(explorer)
    assert "silicone implant: label of 1 of 20 neurons (M 0, C4 1)" in fig.get_suptitle()
    assert "C4 · deep · 5" in texts
    assert "silicone implant" in texts
    assert sum(text.startswith("similarity ") and "image-" in text for text in texts) == 8
    assert "Breast anatomy or structure" in texts
