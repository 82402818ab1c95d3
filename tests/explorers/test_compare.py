"""Tests of the compare explorer without a browser: its traits are driven, its panels and tables are read."""

import json

import numpy as np
import pytest
import twins
from explored import assert_refused, drawn, run_without_models

import mdissect
from mdissect import analysis
from mdissect.dissection import Dissection
from mdissect.explorers import channels
from mdissect.explorers.changes import changes, correlation, labels_kept
from mdissect.explorers.compare import CompareExplorer
from mdissect.explorers.sides import SideBySide

pytestmark = pytest.mark.slow


@pytest.fixture
def explorer():
    return mdissect.explore_models(twins.twins(), probe=twins.probe())


def titles(explorer):
    return [panel.title for panel in explorer.panels.values()]


def seen(explorer):
    """All that is told, and which images are shown."""
    parts = [explorer._heading.value, explorer._message.value, explorer._counts.value, explorer._entries.places]
    for view in explorer._panels:
        parts += [view._title.value, view._bars.value, view._lines.value, view._caption.value, twins.ids(view.gallery)]
    return parts


def test_opens_on_the_last_layer_with_a_panel_for_each_model(explorer):
    assert isinstance(explorer, CompareExplorer)
    assert (explorer.mode, explorer.layer, explorer.neuron) == ("same channel", "deep", 0)
    assert (explorer.first, explorer.second) == ("M", "C4")
    assert titles(explorer) == ["M: implant", "C4: silicone implant"]
    for view, model in zip(explorer._panels, ("M", "C4"), strict=True):
        column = twins.twin(model).activations["deep"][:, 0]
        assert twins.ids(view.gallery) == [twins.IDS[i] for i in np.argsort(-column)[:4]]
        assert "mdissect-bars" in view._bars.value


@pytest.mark.parametrize(
    ("neuron", "expected"),
    [
        (1, "Label changed from “silicone implant”; its activations correlate with M’s by 1.00 over 30 images."),
        (0, "Label changed from “implant” within Breast implants; its activations correlate with M’s by 1.00 over 30 images."),
        (2, "Label changed from “benign mass”; its activations correlate with M’s by -1.00 over 30 images."),
        (3, "Label kept."),  # C4's does not vary: no correlation
        (4, "Label kept; its activations correlate with M’s by 1.00 over 30 images."),
    ],
)
def test_a_channel_is_told_how_it_changed(explorer, neuron, expected):
    explorer.neuron = neuron
    first, second = explorer.panels.values()
    assert len(first.lines) == 1
    assert second.lines[1] == expected
    assert expected in explorer._panels[1]._lines.value


def test_a_channel_is_held_to_the_threshold_of_both(explorer):
    explorer.neuron = 3
    assert [panel.lines[0] for panel in explorer.panels.values()] == [
        "Similarity 1.30 (below threshold 1.35).",
        "Similarity 1.40 (above threshold 1.35).",
    ]


def test_bars_of_all_models_have_one_scale(explorer):
    explorer.neuron = 5  # 1.5 in M, 1.6 in C4
    widths = [float(view._bars.value.partition("width:")[2].partition("%")[0]) for view in explorer._panels]
    assert widths == pytest.approx([100 / 1.02 * 1.5 / 1.6, 100 / 1.02], abs=0.06)


def test_a_channel_without_a_name_says_why(explorer):
    explorer.layer = "stem"
    first, second = explorer.panels.values()
    assert (first.title, first.lines, first.bars) == ("M: no label", ["constant"], [])
    assert second.lines[1].startswith("Label changed from “none”")


def test_a_concept_shows_the_best_neurons_of_each_model(explorer):
    explorer.mode, explorer.concept = "same concept", "silicone implant"
    first, second = explorer.panels.values()
    assert first.title == "M: label of no neuron of deep; the nearest:"
    assert second.title == "C4: label of 1 of the 6 neurons of deep; the nearest:"
    assert (first.neurons[0], second.neurons[0]) == (1, 5)
    assert [bar.words for bar in second.bars[:2]] == ["this label", "this label, below the threshold"]
    assert explorer._panels[1]._bars.value == ""
    assert "silicone implant in deep" in explorer._heading.value
    column = twins.twin("C4").activations["deep"][:, 5]
    assert twins.ids(explorer._panels[1].gallery) == [twins.IDS[i] for i in np.argsort(-column)[:4]]


def test_a_neuron_of_a_concept_leads_to_that_channel_in_all_models(explorer):
    explorer.mode, explorer.concept = "same concept", "silicone implant"
    explorer._panels[1]._rows.rows[0][0].click()
    assert (explorer.mode, explorer.neuron) == ("same channel", 5)
    assert titles(explorer) == ["M: implant", "C4: silicone implant"]


def listed(table):
    return list(zip(table.change, table.layer, table.concept, table.neurons_first, table.neurons_second, strict=True))


def test_gained_lost_and_kept_concepts_are_listed(explorer):
    assert listed(explorer.changes) == [
        ("kept", "stem", "density <4>", 1, 1),
        ("gained", "deep", "density <4>", 0, 1),
        ("gained", "deep", "silicone implant", 0, 1),
        ("lost", "deep", "implant", 1, 0),
        ("kept", "deep", "pumpkin", 1, 1),
    ]
    rows = explorer._entries.rows  # the last layer first, in it those of the most neurons
    assert list(zip(rows["layer"], rows["concept"], rows["first"], rows["second"], strict=True)) == [
        ("deep", "pumpkin", 1, 1),
        ("deep", "density <4>", 0, 1),
        ("deep", "silicone implant", 0, 1),
        ("deep", "implant", 1, 0),
        ("stem", "density <4>", 1, 1),
    ]
    counts = explorer.counts
    assert counts.columns.tolist() == ["layer", "gained", "lost", "kept", "labels_kept", "channels"]
    assert counts.to_numpy().tolist() == [["stem", 0, 0, 1, 3, 3], ["deep", 2, 1, 1, 2, 6]]
    assert "2 of 6 (33 %)" in explorer._counts.value


def test_what_one_gains_the_other_loses(explorer):
    explorer.first, explorer.second = "C4", "M"
    explorer.change = "lost"
    assert [row[2] for row in listed(explorer.changes)] == ["density <4>", "silicone implant"]
    explorer.first = "M"
    assert set(changes(explorer.sides, "M", "M").change) == {"kept"}
    assert listed(explorer.changes) == []


@pytest.mark.parametrize(
    ("change", "category", "expected"),
    [
        ("gained", "", ["density <4>", "silicone implant"]),
        ("all", "Breast implants", ["silicone implant", "implant"]),
        ("lost", "Breast anatomy or structure", ["implant"]),
        ("kept", "Findings and characterizations", ["density <4>"]),
        ("all", "Natural", []),
    ],
)
def test_the_list_is_filtered(explorer, change, category, expected):
    explorer.change, explorer.category = change, category
    assert explorer.changes.concept.tolist() == expected
    assert sorted(explorer._entries.rows["concept"]) == sorted(expected)
    if category:
        assert f"Concepts of {category} that are labels" in explorer._counts.value


def test_an_entry_of_the_list_leads_to_its_concept_and_layer(explorer):
    stem, deep = (explorer._entries.places.index((layer, "density <4>")) for layer in ("stem", "deep"))
    explorer._entries.take(choose=stem)
    assert (explorer.mode, explorer.layer, explorer.concept) == ("same concept", "stem", "density <4>")
    explorer.layer = "deep"
    assert explorer._entries.chosen == deep  # which is listed too
    explorer.mode = "same channel"
    assert explorer._entries.chosen == -1


@pytest.mark.parametrize("seed", range(6))
def test_changes_are_those_of_the_analysis(seed):
    found = {"one": twins.random_dissection(seed), "two": twins.random_dissection(seed + 50)}
    table = changes(SideBySide(found), "one", "two")
    expected = analysis.compare(*found.values(), analysis.thresholds(*found.values()))
    kinds = {"both": "kept", "first": "lost", "second": "gained"}
    ours = {(row.layer, row.concept): (row.change, row.neurons_first, row.neurons_second) for row in table.itertuples()}
    assert len(table) == len(expected) == len(ours)
    for row in expected.rename(columns={"in": "where"}).itertuples():
        assert ours[row.layer, row.concept] == (kinds[row.where], row.neurons_first, row.neurons_second)


def test_changes_of_calibrated_dissections_are_those_of_the_analysis():
    found = {"one": twins.random_dissection(1), "two": twins.random_dissection(2)}
    rng = np.random.default_rng(0)
    for dissection in found.values():
        table = dissection.labels()
        dissection.trusted = table.assign(concept=rng.choice([*twins.NAMES, ""], len(table)), p=0.01, q=0.01)
    table = changes(SideBySide(found), "one", "two")
    expected = analysis.compare(*found.values(), analysis.thresholds(*found.values()))
    assert len(table) == len(expected) > 0
    both = table.merge(expected, on=["layer", "concept"])
    assert both.neurons_first_x.tolist() == both.neurons_first_y.tolist()
    assert both.neurons_second_x.tolist() == both.neurons_second_y.tolist()
    explorer = mdissect.explore_models(found)
    assert "that are labels better than chance: what changes from one to two" in explorer._counts.value
    explorer.neuron = int(np.flatnonzero(found["one"].trusted.query("layer == 'deep'").concept != "")[0])
    assert explorer.panels["one"].lines[0].endswith("; the label is better than chance.")


def test_correlation_finds_images_by_their_ids():
    found = twins.twins()
    expected = np.corrcoef(found["M"].activations["deep"][:20, 1], found["M"].activations["deep"][:20, 2])[0, 1]
    order = np.random.default_rng(0).permutation(20)  # C4 saw the first 20 images alone, in another order
    for layer, values in found["C4"].activations.items():
        found["C4"].activations[layer] = values[order]
    found["C4"].probe_table = found["C4"].probe_table.iloc[order]
    found["M"].activations["deep"][:, 2] = found["M"].activations["deep"][:, 1]
    r, n_images = correlation(SideBySide(found), "M", "C4", "deep", 2)
    assert (r, n_images) == (pytest.approx(-expected, abs=1e-6), 20)
    found["C4"].activations["deep"][:5, 1] = np.nan
    assert correlation(SideBySide(found), "M", "C4", "deep", 1) == (pytest.approx(1), 15)
    found["C4"].activations["deep"][:, 1] = np.nan
    r, n_images = correlation(SideBySide(found), "M", "C4", "deep", 1)
    assert (np.isnan(r), n_images) == (True, 0)


def test_channels_tell_labels_and_correlations_of_a_layer():
    sides = SideBySide(twins.twins())
    table = channels(sides, "M", "C4", "deep")
    assert table.kept.tolist() == [False, False, False, True, True, False]
    assert table.label_first.tolist() == [twins.NAMES[i] for i in (0, 1, 2, 3, 4, 0)]
    assert table.correlation.tolist() == pytest.approx([1, 1, -1, np.nan, 1, 1], nan_ok=True)
    assert channels(sides, "M", "C4", "stem").kept.tolist() == [False, True, True, True]
    assert (table.kept.sum(), len(table)) == labels_kept(sides, "M", "C4", "deep")


def test_models_with_other_numbers_of_neurons_say_so(explorer):
    small = twins.twin("C4")
    for part in (small.similarity, small.notes):
        part["deep"] = part["deep"][:4]
    small.activations["deep"] = small.activations["deep"][:, :4]
    explorer = mdissect.explore_models({"M": twins.twin("M"), "small": small}, probe=twins.probe())
    assert "Numbers of neurons differ in deep (6 in M, 4 in small)" in explorer._message.value
    assert explorer._picker.slider.max == 5
    explorer.neuron = 5
    assert titles(explorer) == ["M: implant", "small: no neuron 5"]
    assert explorer.panels["small"].lines == ["deep has neurons 0 to 3 here."]
    assert twins.captions(explorer._panels[1].gallery) == []
    assert labels_kept(explorer.sides, "M", "small", "deep") == (1, 4)
    explorer.first = "small"
    assert explorer.panels["M"].lines[1] == "small has no such neuron."
    assert explorer.figure().axes


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"neuron": 6}, "neuron 6 is not in layer 'deep' of any model, whose neurons are 0 to 5"),
        ({"neuron": -1}, "neuron -1 is not in layer"),
        ({"layer": "stem", "neuron": 4}, "neuron 4 is not in layer 'stem' of any model, whose neurons are 0 to 3"),
        ({"layer": "head"}, "no layer 'head'; there are stem, deep"),
        ({"mode": "same concept", "concept": "pumpkins"}, r"no concept 'pumpkins' \(closest: pumpkin\)"),
        ({"concept": ""}, "no concept ''"),
        ({"second": "C1"}, "no model 'C1'"),
        ({"category": "Masses"}, r"closest: Mass\)"),
        ({"change": "stolen"}, "gained"),
        ({"zoom": 2}, "a view has no zoom; it has mode"),
    ],
)
def test_a_view_that_cannot_be_is_refused_and_the_old_one_stays(explorer, state, message):
    explorer.neuron = 5
    assert_refused(explorer, state, message, seen)


def test_an_unknown_concept_that_is_typed_is_told_not_raised(explorer):
    explorer.mode = "same concept"
    box = explorer._concept
    box.value = "pumpkni"
    assert explorer.concept == box.value == "density <4>"  # the concept that most neurons carry
    assert "None of the 6 concepts has “pumpkni” in it; did you mean “pumpkin”?" in explorer._message.value
    box.value = "pumpkin"
    assert explorer.concept == "pumpkin"
    assert "did you mean" not in explorer._message.value


def test_controls_and_traits_follow_each_other(explorer):
    explorer._picker.slider.value = 4
    assert (explorer.neuron, explorer._picker.number.value) == (4, 4)
    explorer._picker.number.value = 5
    assert (explorer.neuron, explorer._picker.slider.value) == (5, 5)
    explorer._controls["layer"][0].value = "stem"
    assert (explorer.layer, explorer.neuron, explorer._picker.slider.max) == ("stem", 3, 3)
    explorer._step(1)
    assert explorer.neuron == 3
    explorer._step(-1)
    assert explorer.neuron == 2
    assert explorer._picker.layout.display is None
    explorer._controls["mode"][0].value = "same concept"
    assert explorer._picker.layout.display == "none"
    assert explorer._concept.layout.display is None


def test_a_view_is_shared_and_opened_again(explorer):
    explorer.layer, explorer.mode, explorer.concept = "stem", "same concept", "benign mass"
    explorer.change, explorer.category = "kept", "Breast density"
    state = json.loads(json.dumps(explorer.state))
    again = mdissect.explore_models(twins.twins(), probe=twins.probe(), state=state)
    assert again.state == explorer.state
    assert seen(again) == seen(explorer)


def test_three_models_are_held_to_one_threshold_and_against_the_first():
    found = {**twins.twins(), "again": twins.twin("C4")}
    explorer = mdissect.explore_models(found)
    assert titles(explorer) == ["M: implant", "C4: silicone implant", "again: silicone implant"]
    explorer.first, explorer.second = "C4", "again"
    assert set(explorer.changes.change) == {"kept"}
    assert explorer.panels["again"].lines[1].startswith("Label kept; its activations correlate with C4’s by 1.00")
    assert explorer.figure().axes


def test_layers_of_other_names_are_compared_by_depth():
    explorer = mdissect.explore_models({"M": twins.twin("M"), "C4": twins.twin("C4", layers=("first", "last"))})
    assert explorer.layer == "deep / last"
    assert explorer.counts[["gained", "lost", "kept"]].to_numpy().tolist() == [[0, 0, 1], [2, 1, 1]]
    assert [panel.caption for panel in explorer.panels.values()] == [
        "Strongest images of M, deep, neuron 0",
        "Strongest images of C4, last, neuron 0",
    ]


def test_a_result_from_csv_shows_what_it_knows(tmp_path):
    twins.twin("C4").to_csv(tmp_path / "labels.csv")
    found = Dissection.from_csv(tmp_path / "labels.csv", concepts=twins.concept_set())
    explorer = mdissect.explore_models({"M": twins.twin("M"), "file": found}, probe=twins.probe())
    assert "file: no activations (read from a CSV)" in explorer._message.value
    assert explorer.counts[["gained", "lost", "kept"]].to_numpy().tolist() == [[0, 0, 1], [2, 1, 1]]
    explorer.neuron = 4
    assert explorer.panels["file"].lines[1] == "Label kept."
    assert twins.captions(explorer._panels[1].gallery) == []
    explorer.mode, explorer.concept = "same concept", "moss"
    assert titles(explorer)[1] == "file: the similarity of “moss” to deep is not known"
    assert explorer.figure().axes


def test_one_model_alone_is_refused():
    with pytest.raises(ValueError, match="two dissections at least"):
        mdissect.explore_models({"M": twins.twin("M")})


def test_images_that_are_gone_are_grey_tiles():
    explorer = mdissect.explore_models(twins.twins(), probe=twins.probe(1))
    told = [words for view in explorer._panels for words in twins.captions(view.gallery)]
    assert len(told) == 8
    assert sum("not among the images of" in words for words in told) >= 6


def test_texts_from_outside_are_escaped():
    found = {"<b>M": twins.twin("M"), "C4": twins.twin("C4", layers=("<i>stem", "<i>deep"))}
    explorer = mdissect.explore_models(found)
    explorer.neuron = 3
    html = [part.value for view in explorer._panels for part in (view._title, view._bars, view._lines, view._caption)]
    html += [explorer._heading.value, explorer._message.value, explorer._counts.value]
    explorer.mode, explorer.concept = "same concept", "density <4>"
    html += [words.value for view in explorer._panels for _, words in view._rows.rows]
    html += [explorer._heading.value, *(view._title.value for view in explorer._panels)]
    for text in html:
        assert not any(wild in text for wild in ("<4>", "<i>stem", "<i>deep", "<b>M"))
    assert any("density &lt;4&gt;" in text for text in html)


def test_the_figure_is_the_same_view(explorer):
    explorer.neuron, explorer.change = 5, "gained"
    fig, texts = drawn(explorer)
    assert fig.get_suptitle() == "deep, neuron 5"
    assert any(
        "C4: silicone implant" in text and "Label changed from “implant” within Breast implants" in text for text in texts
    )
    assert sum(text.startswith("activation ") for text in texts) == 8
    assert "gained: density <4>, silicone implant" in texts
    assert "deep\nlabel kept by\n2 of 6 neurons" in texts
    assert "Findings and characterizations" in texts


@pytest.mark.slow
def test_saved_results_are_compared_without_any_model(tmp_path):
    for model, found in twins.twins().items():
        found.save(tmp_path / model)
    out = run_without_models(
        tmp_path,
        "found = {model: mdissect.Dissection.load(model) for model in ('M', 'C4')}",
        "mdissect.explore_concepts(found).query = 'implant'",
        "mdissect.explore_models(found).neuron = 5",
        "loaded('torch', 'timm', 'transformers', 'sklearn')",
    )
    assert out == "[]\n"
