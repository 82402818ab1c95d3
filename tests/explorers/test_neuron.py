"""Tests of the explorer without a browser: its traits are driven, its parts are read."""

import io
import json

import numpy as np
import pandas as pd
import pytest
import toys
from explored import N_IMAGES, assert_refused, drawn, parts
from PIL import Image

import mdissect
from mdissect.analysis import activation_auc
from mdissect.dissection import Dissection
from mdissect.explorers import Explorer, Notes
from mdissect.explorers.bars import bars_html, bars_of
from mdissect.explorers.pictures import Pictures
from mdissect.explorers.reading import Reading
from mdissect.probes import Probe


def test_opens_on_the_last_layer_with_everything_in_view(explorer):
    seen = parts(explorer)
    assert isinstance(explorer, Explorer)
    assert (explorer.layer, explorer.neuron) == ("deep", 0)
    assert "layer deep, neuron 0: implant, similarity 1.00 (below threshold 1.55)" in seen["heading"]
    assert seen["bars"].index("implant") < seen["bars"].index("1.00")
    assert len(seen["captions"]) == 8
    assert len(seen["histogram"]["edges"]) == 25


def test_a_change_of_neuron_changes_labels_images_and_histogram(explorer):
    before = parts(explorer)
    explorer.neuron = 7
    after = parts(explorer)
    assert "neuron 7: benign mass" in after["heading"]
    for part in ("heading", "bars", "histogram", "captions", "pictures"):
        assert before[part] != after[part], part
    assert explorer._picker.slider.value == explorer._picker.number.value == 7


@pytest.mark.parametrize("which", ["strongest", "weakest", "random"])
def test_shows_the_right_images_under_their_ids(explorer, dissection, probe, which):
    explorer.images = which
    column = dissection.activations["deep"][:, 0]
    order = np.argsort(column) if which == "weakest" else np.argsort(-column)
    seen = parts(explorer)
    ids = [caption.partition("</b>")[0].partition("<b>")[2] for caption in seen["captions"]]
    if which != "random":
        assert ids == [probe.ids[i] for i in order[:8]]
    for image_id, jpeg in zip(ids, seen["pictures"], strict=True):
        assert np.asarray(Image.open(io.BytesIO(jpeg))).mean() == pytest.approx(8 * probe.position(image_id), abs=2)
    assert "MLO, density" in seen["captions"][0]


def test_pictures_keep_their_aspect(dissection):
    images = [np.zeros((30, 90, 3), np.uint8), *[np.zeros((1520, 912), np.uint16)] * (N_IMAGES - 1)]
    pictures = Pictures(Probe.from_arrays(images, ids=list(dissection.probe_table.index)))
    for image_id, aspect in (("image-00", 3), ("image-01", 0.6)):
        picture = pictures.picture(image_id)
        assert picture.array.shape[1] / picture.array.shape[0] == pytest.approx(aspect, rel=0.02)
        assert picture.width_at(165) == pytest.approx(165 * aspect, rel=0.02)
        assert max(picture.array.shape[:2]) <= 320


def test_controls_and_traits_follow_each_other(explorer):
    explorer._picker.slider.value = 3
    assert explorer.neuron == 3
    explorer._layers.value = "stem"
    assert (explorer.layer, explorer.neuron, explorer._picker.slider.max) == ("stem", 3, 5)
    explorer.layer, explorer.neuron = "deep", 11
    assert explorer._picker.slider.value == 11
    explorer.layer = "stem"  # which has no neuron 11
    assert explorer.neuron == explorer._picker.slider.value == 5
    explorer._step(1)
    assert explorer.neuron == 5
    explorer._step(-1)
    assert explorer.neuron == 4


def test_search_goes_to_the_neuron_most_similar_to_a_concept_with_the_word(explorer):
    explorer.query = " IMPLANT "
    assert explorer.found.concepts == ("implant", "silicone implant")
    assert explorer.neuron == 11  # named by "silicone implant", with the highest similarity of those
    assert explorer._hits.options[0][0].startswith("11: silicone implant (2.10)")
    assert [neuron for _, neuron in explorer._hits.options][:5] == [11, 10, 6, 5, 1]
    assert "2 concepts have “IMPLANT” in them; 12 of 12 neurons are listed" in parts(explorer)["message"]
    assert "font-weight:bold" in parts(explorer)["bars"]
    explorer._hits.value = 6
    assert explorer.neuron == 6
    explorer.neuron = 6
    explorer.layer = "stem"
    assert explorer.neuron == 5


def test_an_empty_search_changes_nothing(explorer):
    explorer.neuron = 4
    for empty in ("", "   "):
        explorer.query = empty
        assert explorer.neuron == 4
        assert explorer._hits.options == ()
        assert explorer._hits.disabled


def test_a_view_is_shared_and_opened_again(explorer, dissection, probe):
    explorer.layer, explorer.query = "stem", "implant"
    explorer.neuron, explorer.images, explorer.split = 3, "weakest", "density"
    state = json.loads(json.dumps(explorer.state))
    again = mdissect.explore(dissection, probe=probe, state=state)
    assert again.state == explorer.state
    assert parts(again) == parts(explorer)
    again.state = {"neuron": 1}
    assert (again.neuron, again.layer) == (1, "stem")


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"neuron": 12}, r"neuron 12 is not in layer 'deep', whose neurons are 0 to 11"),
        ({"neuron": -1}, "neuron -1 is not in layer"),
        ({"layer": "stem", "neuron": 6}, r"neuron 6 is not in layer 'stem', whose neurons are 0 to 5"),
        ({"layer": "head"}, "no layer 'head'; there are stem, deep"),
        ({"split": "shoe size"}, "no split 'shoe size'; there are all images, implant, density"),
        ({"overlay": True}, "overlay needs the network itself"),
        ({"images": "nicest"}, "strongest"),
        ({"zoom": 2}, "a view has no zoom; it has model, layer"),
    ],
)
def test_a_view_that_cannot_be_is_refused_and_the_old_one_stays(explorer, state, message):
    assert_refused(explorer, state, message, seen=parts)


def test_the_histogram_tells_the_auc_of_each_group(explorer, dissection):
    explorer.layer, explorer.neuron, explorer.split = "stem", 4, "implant"
    assert [group["auc"] for group in parts(explorer)["histogram"]["groups"]] == [0.0, 1.0]
    edges, groups = explorer.reading.histogram("stem", 4, "density")
    assert [(group.name, group.n_images) for group in groups] == [("A", 8), ("B", 8), ("C", 7), ("D", 7)]
    assert [group.shares.sum() for group in groups] == pytest.approx([1] * 4)
    assert (edges[0], edges[-1]) == (dissection.activations["stem"][:, 4].min(), dissection.activations["stem"][:, 4].max())
    assert explorer.splits == ["all images", "implant", "density", "findings: mass", "findings: skin thickening"]
    for name, group in zip("ABCD", groups, strict=True):
        shown = (dissection.probe_table.density == name).astype("boolean")
        assert group.auc == pytest.approx(activation_auc(dissection, "stem", 4, shown))


def test_images_of_an_unknown_group_are_left_out(dissection):
    dissection.probe_table["density"] = dissection.probe_table.density.mask(dissection.probe_table.density == "A")
    _, groups = Reading(dissection).histogram("deep", 0, "density")
    assert [group.name for group in groups] == ["B", "C", "D"]


def test_a_neuron_without_a_name_says_why(explorer):
    explorer.layer, explorer.neuron = "stem", 2
    seen = parts(explorer)
    assert "stem, neuron 2: cannot be named" in seen["heading"]
    assert "constant" in seen["message"]
    assert explorer.figure().axes


def test_activations_that_are_not_finite_do_not_hurt(dissection, probe):
    dissection.activations["deep"][:, 0] = np.nan
    dissection.activations["deep"][3, 1] = np.inf
    explorer = mdissect.explore(dissection, probe=probe)
    assert parts(explorer)["histogram"]["edges"] == []
    explorer.neuron = 1
    assert len(parts(explorer)["histogram"]["edges"]) == 25


def test_an_image_that_is_gone_is_a_grey_tile_with_its_id(dissection, tmp_path):
    names = list(dissection.probe_table.index)
    for i, name in enumerate(names):
        Image.fromarray(np.full((16, 8), 8 * i, np.uint8)).save(tmp_path / f"{name}.png")
    whole = mdissect.load_probe("folder", path=tmp_path)
    dissection.probe_table.index = whole.ids
    explorer = mdissect.explore(dissection, probe=whole.subset(slice(0, 20)))
    strongest = whole.ids[int(np.argmax(dissection.activations["deep"][:20, 5]))]
    (tmp_path / strongest).unlink()
    explorer.neuron = 5
    gone = [caption for caption in parts(explorer)["captions"] if f"<b>{strongest}</b>" in caption]
    assert "cannot be read" in gone[0]
    explorer.images = "random"
    beyond = [caption for caption in parts(explorer)["captions"] if "not among the images of" in caption]
    assert beyond


def test_without_a_probe_tiles_stand_for_the_images(dissection):
    seen = parts(mdissect.explore(dissection))
    assert len(seen["pictures"]) == 8
    assert all("no probe was given" in caption for caption in seen["captions"])


def test_a_result_from_csv_shows_what_it_knows(dissection, tmp_path):
    dissection.to_csv(tmp_path / "labels.csv")
    explorer = mdissect.explore(Dissection.from_csv(tmp_path / "labels.csv"))
    explorer.query = "implant"
    seen = parts(explorer)
    assert explorer.neuron == 11
    assert "neuron 11: silicone implant" in seen["heading"]
    assert "no activations (it was read from a CSV)" in seen["message"]
    assert (seen["captions"], seen["histogram"]["edges"]) == ([], [])
    assert explorer.figure().axes


def test_overlays_are_computed_for_what_is_seen_and_once(probe, cnn):
    toy = toys.toy_probe(24)
    found = toys.toy_dissect(cnn, probe=toy, top_k=5)
    explorer = mdissect.explore(found, probe=toy, target=cnn)
    seen = toys.Seen(cnn.module)
    plain = parts(explorer)["pictures"]
    assert seen.images == []
    explorer.overlay = True
    shown = parts(explorer)
    assert len(seen.images) == 8
    assert shown["pictures"] != plain
    explorer.overlay = False
    assert parts(explorer)["pictures"] == plain
    explorer.overlay = True
    assert len(seen.images) == 8


def test_a_layer_without_places_says_so(mlp):
    toy = toys.toy_probe(24)
    found = toys.toy_dissect(mlp, probe=toy, top_k=5)
    explorer = mdissect.explore(found, probe=toy, target=mlp, state={"overlay": True})
    assert "no activation to show" in parts(explorer)["captions"][0]


def test_texts_from_outside_are_escaped(explorer):
    explorer.neuron = 3
    assert "density &lt;4&gt;" in parts(explorer)["bars"]
    assert "density <4>" not in parts(explorer)["heading"]


def test_bars_of_negative_similarities_begin_at_zero():
    concepts = pd.DataFrame({"concept": ["a", "b"], "similarity": [0.5, -0.5], "broad_category": "ungrouped"})
    html = bars_html(bars_of(concepts), 0.25)
    assert "left:49.0%;width:49.0%" in html
    assert "left:0.0%;width:49.0%" in html


@pytest.mark.slow
def test_the_figure_is_the_same_view(explorer):
    explorer.query, explorer.split = "implant", "implant"
    fig, texts = drawn(explorer)
    assert "deep, neuron 11: silicone implant, similarity 2.10" in fig.get_suptitle()
    assert "silicone\nimplant" in texts or "silicone implant" in texts
    assert sum("activation " in text for text in texts) == 8
    assert any(text.startswith("yes\n10 images\nAUC 0.") for text in texts)


def test_verdicts_are_kept_as_they_are_given_and_shown_again(dissection, tmp_path):
    notes = Notes(tmp_path / "verdicts.csv", result="M")
    panel = (explorer := mdissect.explore(dissection, notes=notes))._verdict
    assert panel.verdict.disabled
    panel.reader.value = "AB"
    assert not panel.verdict.disabled
    panel.verdict.value, panel.text.value = "partly", "two of five"
    kept = notes.recall("deep", 0, "AB")
    assert (kept.verdict, kept.text, kept.label) == ("partly", "two of five", "implant")
    explorer.neuron = 1
    assert (panel.verdict.value, panel.text.value) == ("no verdict", "")
    explorer.neuron = 0
    assert (panel.verdict.value, panel.text.value) == ("partly", "two of five")
    panel.reader.value = "CD"
    assert panel.verdict.value == "no verdict"
    panel.verdict.value = "right"
    assert len(notes.table) == 2
    assert mdissect.explore(dissection, notes=Notes(notes.path, result="M"))._verdict.verdict.value == "no verdict"


def test_a_verdict_that_cannot_be_kept_says_so(dissection, tmp_path):
    panel = mdissect.explore(dissection, notes=Notes(tmp_path / "verdicts.csv"))._verdict
    panel.reader.value = "AB"
    (tmp_path / "verdicts.csv").write_text("something else")
    panel.verdict.value = "right"
    assert "could not be kept: " in panel.message.value
    assert (tmp_path / "verdicts.csv").read_text() == "something else"
