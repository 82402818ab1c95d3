"""Tests of a blind reading: nothing tells a label before the reader's own words are saved; then it is judged."""

import json

import ipywidgets as widgets
import pytest
import toys
from explored import NAMES
from traitlets import TraitError

import mdissect
from mdissect.explorers import Notes


@pytest.fixture
def notes(tmp_path):
    return Notes(tmp_path / "verdicts.csv", result="M", blind=True)


@pytest.fixture
def explorer(dissection, probe, trust, notes, tmp_path):
    return mdissect.explore(
        dissection, probe=probe, target=toys.toy_target(), trust=trust, notes=notes, export=tmp_path / "out"
    )


def words_in(widget):
    """Every text of the widgets that are in view: values, descriptions, options, tooltips."""
    if getattr(widget.layout, "display", None) == "none":
        return ""
    names = ("value", "description", "tooltip", "placeholder", "options", "columns", "rows", "later", "label")
    own = " ".join(
        str(getattr(widget, name)) for name in names if hasattr(widget, name) and not isinstance(widget, widgets.Image)
    )
    return " ".join([own, *(words_in(child) for child in getattr(widget, "children", ()))])


def tells(text):
    """The concepts and facts of the images that a text names."""
    secrets = [*NAMES, "similarity", "threshold", "mass", "density", "MLO", "stability", "image-0", "image-1", "image-2"]
    return [name for name in secrets if name in text.replace("save labels", "")]


def drawn(explorer):
    fig = explorer.figure()
    fig.canvas.draw()
    return " ".join(text.get_text() for text in fig.findobj(lambda artist: hasattr(artist, "get_text")))


def judge(explorer, reader="AB", words="white rim", verdict="right"):
    panel = explorer._verdict
    panel.reader.value, panel.words.value = reader, words
    panel.reveal.click()
    panel.verdict.value = verdict


def test_nothing_tells_a_label_before_own_words_are_saved(explorer):
    explorer.split, explorer.boxes, explorer.neuron = "density", True, 0
    for _ in range(2):
        assert explorer.hidden_label
        assert tells(words_in(explorer)) == []
        explorer.enlarged = "image-05"
        assert tells(words_in(explorer)) == []
        explorer.enlarged = ""
        explorer._verdict.reader.value = "AB"  # who has judged nothing either
    assert tells(explorer.title) == []
    assert "own words" in explorer.title


@pytest.mark.slow
def test_nothing_that_is_drawn_or_exported_tells_it(explorer):
    explorer.split, explorer.boxes = "density", True
    assert tells(drawn(explorer)) == []
    explorer.enlarged = "image-05"
    assert tells(drawn(explorer)) == []
    path = explorer.save_view()
    saved = json.loads(path.with_suffix(".json").read_text())
    assert tells(json.dumps([saved["view"], saved.get("drawn"), path.name])) == []
    with pytest.raises(ValueError, match="blind"):
        explorer.save_labels()


def test_own_words_are_saved_then_the_label_is_shown_and_judged(explorer, notes):
    panel = explorer._verdict
    assert panel.words.disabled
    panel.reader.value = "AB"
    assert not panel.words.disabled
    assert panel.reveal.disabled
    panel.words.value = "white rim"
    assert explorer.hidden_label
    assert not panel.reveal.disabled
    assert explorer._overlay.layout.display != "none"  # where the neuron responds may be seen
    explorer.overlay = True  # another change of the view leaves what was typed
    assert panel.words.value == "white rim"
    panel.reveal.click()
    assert not explorer.hidden_label
    assert "implant" in explorer.title
    assert {"implant", "similarity"} <= set(tells(words_in(explorer)))
    assert "your own words: white rim" in words_in(explorer)
    assert "Is “implant” right for these images?" in words_in(explorer)
    assert panel.own.value.index("white rim") < panel.own.value.index("implant")
    panel.verdict.value = "partly"
    row = notes.recall("deep", 0, "AB")
    assert (row.words, row.verdict, row.label, row.rule) == ("white rim", "partly", "implant", "highest similarity")
    panel.reader.value = "CD"  # has not judged it
    assert explorer.hidden_label
    assert tells(words_in(explorer)) == []


def test_labels_of_other_neurons_stay_hidden(explorer):
    judge(explorer)
    assert explorer._every.layout.display == "none"
    assert explorer._search.layout.display == explorer._hits.layout.display == explorer._save.labels.layout.display == "none"
    explorer.enlarged = "image-05"
    assert all(button.layout.display == "none" for button in explorer._large.neurons)
    explorer.enlarged = ""
    before = explorer.neuron
    explorer.query = "implant"
    assert (explorer.query, explorer.neuron) == ("", before)
    assert "a search would tell labels" in words_in(explorer)
    explorer.neuron = 3
    assert explorer.hidden_label
    assert tells(words_in(explorer)) == []


def test_a_tile_that_has_only_a_number_enlarges_its_image(explorer):
    shown = explorer._rows().image.tolist()
    assert [tile.image_id for tile in explorer._gallery.tiles] == [f"image {i}" for i in range(1, 9)]
    explorer._gallery.tiles[2].frame.button.click()
    assert explorer.enlarged == shown[2]
    assert "3 of the 8 strongest" in words_in(explorer)


def test_progress_and_the_next_unjudged(explorer, notes, dissection):
    panel, order = explorer._verdict, notes.places(dissection, "AB")
    assert len(order) == 18
    assert panel.following.disabled
    panel.reader.value = "AB"
    assert "0 of 18 judged" in panel.progress.value
    seen = []
    for i in range(18):
        seen.append((explorer.layer, explorer.neuron))
        judge(explorer)
        assert f"{i + 1} of 18 judged" in panel.progress.value
        panel.following.click()
    start = order.index(seen[0])
    assert seen == [*order[start:], *order[:start]]
    assert panel.following.disabled


def test_only_the_studys_neurons_count(dissection, tmp_path):
    notes = Notes(tmp_path / "verdicts.csv", neurons=[("stem", 4), ("deep", 11)])
    explorer = mdissect.explore(dissection, notes=notes)
    assert (explorer.layer, explorer.neuron) == ("deep", 11)  # it begins with one of the study
    assert [i for i, words in enumerate(explorer._table.rows["study"]) if words] == [11]
    explorer.neuron = 3
    panel = explorer._verdict
    panel.reader.value = "AB"
    assert "not among those of the study" in panel.message.value
    panel.verdict.value = "wrong"
    assert "0 of 2 judged" in panel.progress.value
    for _ in range(2):
        panel.following.click()
        panel.verdict.value = "right"
    assert "2 of 2 judged" in panel.progress.value
    assert panel.following.disabled
    with pytest.raises(ValueError, match="no neuron 12 of 'deep'"):
        mdissect.explore(dissection, notes=Notes(tmp_path / "v.csv", neurons=[("deep", 12)]))


def test_named_neurons_are_those_whose_label_counts(dissection, tmp_path):
    explorer = mdissect.explore(dissection, notes=Notes(tmp_path / "verdicts.csv", named=True))
    reading, places = explorer.reading, explorer._places("AB")
    counts = lambda layer, n: max(dissection.similarity[layer][n]) >= reading.threshold(layer)  # noqa: E731
    assert sorted(places) == sorted(
        (layer, n) for layer in ("stem", "deep") for n in range(reading.n_neurons(layer)) if counts(layer, n)
    )
    assert 0 < len(places) < 18


def test_the_toggle_hides_what_was_not_judged_and_clears_a_search(dissection, probe, tmp_path):
    explorer = mdissect.explore(dissection, probe=probe, notes=Notes(tmp_path / "verdicts.csv"))
    explorer.query = "implant"
    explorer._verdict.reader.value = "AB"
    explorer._verdict.verdict.value = "right"
    judged = explorer.neuron
    explorer._verdict.blind_box.value = True
    assert (explorer.query, explorer.neuron, explorer.hidden_label) == ("", judged, False)  # its label was seen
    explorer.neuron = (judged + 1) % 12
    assert explorer.hidden_label
    explorer.blind = False
    assert not explorer.hidden_label
    assert tells(words_in(explorer)) != []
    with pytest.raises(TraitError, match="needs notes"):
        mdissect.explore(dissection).blind = True


def test_a_verdict_on_another_label_is_told(dissection, tmp_path):
    notes = Notes(tmp_path / "verdicts.csv", result="M")
    notes.of(dissection).record("deep", 0, "AB", verdict="right", label="mass")
    explorer = mdissect.explore(dissection, notes=notes)
    explorer._verdict.reader.value = "AB"
    assert "given on another label, “mass”" in explorer._verdict.message.value
    dissection.settings["target"] = "another"
    explorer = mdissect.explore(dissection, notes=notes)
    explorer._verdict.reader.value = "AB"
    assert "has 1 verdicts on another result of this name" in explorer._verdict.message.value
    assert explorer._verdict.verdict.value == "no verdict"


def test_kinds_of_images_that_tell_the_label_wait_until_it_is_shown(explorer):
    buttons = explorer._image_controls.which.buttons
    assert {name for name, button in buttons.items() if button.disabled} == {"hard negatives", "misses"}
    strongest = [tile.frame.image.value for tile in explorer._gallery.tiles]
    explorer.images = "misses"  # set by code, or kept from a neuron that was judged
    assert [tile.frame.image.value for tile in explorer._gallery.tiles] == strongest
    assert "misses are those of the label, which is hidden" in explorer._below.value


def test_there_is_nothing_to_list_without_a_search(dissection, tmp_path):
    explorer = mdissect.explore(dissection, notes=Notes(tmp_path / "v.csv", "M"))
    assert explorer._every.layout.display == "none"
    explorer.neuron = 1
    assert explorer._every.layout.display == "none"
