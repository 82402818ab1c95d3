"""Tests of what an explorer tells beyond the neuron: an image made large, boxes, trust, export."""

import json
import re

import ipywidgets as widgets
import numpy as np
import pandas as pd
import pytest
import toys
from explored import N_IMAGES, drawn, parts
from PIL import Image
from traitlets import TraitError

import mdissect
from mdissect.concepts import ConceptSet
from mdissect.dissection import Dissection
from mdissect.explorers.html import pointing_words
from mdissect.explorers.pictures import Picture, Pictures
from mdissect.explorers.reading import Reading
from mdissect.explorers.saving import view_name
from mdissect.probes import ArraySource, Probe

pytestmark = pytest.mark.slow


def text_of(widget):
    """All HTML of a widget and those in it."""
    own = widget.value if isinstance(widget, widgets.HTML) else ""
    return own + "".join(text_of(child) for child in getattr(widget, "children", ()))


class Marked(ArraySource):
    """Black images of 60 x 30; in each third one a bright spot with a box about it, the others unmarked or without a word."""

    def __init__(self):
        self.spots = [(10 + i, 5 + i % 10) for i in range(N_IMAGES)]
        images = np.zeros((N_IMAGES, 60, 30), np.uint8)
        for image, (row, column) in zip(images, self.spots, strict=True):
            image[row : row + 6, column : column + 6] = 255
        super().__init__(images)

    def boxes(self, position):
        if position % 3 == 2:
            raise LookupError("nobody looked")
        row, column = self.spots[position]
        box = {"finding": "mass", "xmin": column, "ymin": row, "xmax": column + 6, "ymax": row + 6}
        return [] if position % 3 else [box]


@pytest.fixture
def marked(dissection):
    return Probe("marked", list(dissection.probe_table.index), [Marked()])


# An image made large


def test_a_click_makes_an_image_large_and_close_brings_the_tiles_back(explorer):
    tile = explorer._gallery.tiles[2]
    tile.frame.button.click()
    assert explorer.enlarged == tile.image_id
    assert explorer._gallery.layout.display == "none"
    assert explorer._large.layout.display is None
    assert f"<b>{tile.image_id}</b>" in explorer._large.name.value
    assert "3 of the 8 strongest" in explorer._large.name.value
    explorer._large.back.click()
    assert explorer.enlarged == ""
    assert explorer._gallery.layout.display is None
    assert explorer._large.layout.display == "none"


def test_its_buttons_go_from_image_to_image_round_and_round(explorer):
    shown = [tile.image_id for tile in explorer._gallery.tiles]
    explorer.enlarged = shown[0]
    explorer._large.before.click()
    assert explorer.enlarged == shown[-1]
    explorer._large.after.click()
    explorer._large.after.click()
    assert explorer.enlarged == shown[1]
    explorer.enlarged = next(name for name in explorer.reading.dissection.probe_table.index if name not in shown)
    assert "not among the 8 strongest" in explorer._large.name.value
    explorer._large.after.click()
    assert explorer.enlarged == shown[0]


def test_a_large_image_tells_its_own_strongest_neurons_which_can_be_gone_to(dissection, probe):
    activations = dissection.activations["deep"]
    activations[7] = activations.mean(axis=0)
    activations[7, [4, 9]] += [50, 20]
    explorer = mdissect.explore(dissection, probe=probe, state={"enlarged": "image-07"})
    deviations = (activations[7] - activations.mean(axis=0)) / activations.std(axis=0)
    first, second = explorer._large.neurons[:2]
    assert (first.neuron, second.neuron) == (4, 9)
    assert first.description == f"4: pumpkin ({deviations[4]:+.1f} sd)"
    assert first.tooltip.endswith("this is number 1 of its strongest images")
    first.click()
    assert (explorer.neuron, explorer.enlarged) == (4, "image-07")
    assert f"activation {activations[7, 4]:.3g} ({deviations[4]:+.1f} sd), number 1 of" in text_of(explorer._large)


def test_a_large_image_tells_the_concepts_that_the_dissector_finds_nearest(dissection, probe):
    dissection.image_concept_sims = np.zeros((N_IMAGES, 5), np.float32)
    dissection.image_concept_sims[:, 0] = 0.5  # near to every image alike
    dissection.image_concept_sims[3, 4] = 0.9
    seen = Reading(dissection).of_image("deep", 0, "image-03", 2)
    assert list(seen.concepts.concept) == ["pumpkin", "implant"]
    assert list(seen.concepts.similarity) == pytest.approx([0.9, 0.5])
    assert list(seen.concepts.deviations) == pytest.approx([np.sqrt(N_IMAGES - 1), 0], abs=1e-4)
    explorer = mdissect.explore(dissection, probe=probe, state={"enlarged": "image-03"})
    assert "<td>pumpkin</td><td>0.90</td>" in explorer._large.concepts.value


def test_without_image_concept_sims_no_concepts_are_told(explorer):
    explorer.enlarged = "image-03"
    assert explorer._large.concepts.value == ""


def test_neurons_that_do_not_vary_or_are_not_finite_are_not_offered(dissection):
    dissection.activations["stem"][:, 0] = 3
    dissection.activations["stem"][5, 1] = np.nan
    seen = Reading(dissection).of_image("stem", 0, "image-05", 6)
    assert set(seen.neurons.neuron) == {2, 3, 4, 5}
    assert np.isnan(seen.row.deviations)
    assert seen.neurons.set_index("neuron").concept[2] == ""


def test_a_large_view_is_shared_and_drawn(explorer, dissection, probe):
    explorer.enlarged = "image-11"
    again = mdissect.explore(dissection, probe=probe, state=json.loads(json.dumps(explorer.state)))
    assert again.enlarged == "image-11"
    assert again._large.layout.display is None
    texts = "\n".join(drawn(explorer)[1])
    assert "image-11" in texts
    assert "Most activated other neurons" in texts
    with pytest.raises(TraitError, match="image 'image-99' cannot be enlarged: it is not among the images"):
        explorer.enlarged = "image-99"
    assert explorer.enlarged == "image-11"


def test_a_large_picture_has_more_of_the_image(dissection):
    images = [np.zeros((1520, 912), np.uint8), *[np.zeros((60, 40), np.uint8)] * (N_IMAGES - 1)]
    pictures = Pictures(Probe.from_arrays(images, ids=list(dissection.probe_table.index)))
    assert pictures.picture("image-00").array.shape == (256, 154)
    assert pictures.picture("image-00", large=True).array.shape == (1040, 624)
    assert pictures.picture("image-01", large=True).array.shape == (1020, 680)


def test_the_enlarged_image_of_a_csv_result_is_none(dissection, tmp_path):
    dissection.to_csv(tmp_path / "labels.csv")
    explorer = mdissect.explore(Dissection.from_csv(tmp_path / "labels.csv"))
    with pytest.raises(TraitError, match="cannot be enlarged"):
        explorer.enlarged = "image-00"


# Boxes


def red(array):
    """How many pixels are of the boxes' red."""
    return int(((array[..., 0] > 200) & (array[..., 1] < 90) & (array[..., 2] < 90)).sum()) if array.ndim == 3 else 0


def test_boxes_are_drawn_on_request_where_there_are_any(dissection, marked):
    pictures = Pictures(marked)
    assert red(pictures.picture("image-00").array) == 0
    shown = pictures.picture("image-00", boxes=True)
    assert red(shown.array) > 50
    assert [box["finding"] for box in shown.boxes] == ["mass"]
    assert pictures.picture("image-01", boxes=True).boxes == ()
    assert pictures.picture("image-02", boxes=True).boxes is None
    rows, columns = np.nonzero((shown.array[..., 0] > 200) & (shown.array[..., 1] < 90))
    scale = shown.array.shape[0] / 60
    assert (rows.min(), rows.max()) == pytest.approx((10 * scale, 16 * scale), abs=3)
    assert (columns.min(), columns.max()) == pytest.approx((5 * scale, 11 * scale), abs=3)


def test_a_checkbox_shows_the_boxes(dissection, marked):
    explorer = mdissect.explore(dissection, probe=marked)
    plain = parts(explorer)["pictures"]
    explorer._boxes.value = True
    changed = [before != after for before, after in zip(plain, parts(explorer)["pictures"], strict=True)]
    numbers = [int(tile.image_id[-2:]) for tile in explorer._gallery.tiles]
    assert changed == [number % 3 == 0 for number in numbers]
    explorer.boxes = False
    assert parts(explorer)["pictures"] == plain


def test_boxes_need_a_probe_and_are_said_to_be_missing(dissection, probe):
    with pytest.raises(TraitError, match="boxes need the images they are in"):
        mdissect.explore(dissection, state={"boxes": True})
    explorer = mdissect.explore(dissection, probe=probe, state={"boxes": True})
    assert "These images have no annotations." in explorer._below.value


def test_the_pointing_is_told_beside_chance():
    picture = Picture(np.zeros((2, 2), np.uint8), b"")
    hit, miss, unmarked = (
        Picture(picture.array, b"", boxes=boxes, pointed=pointed)
        for boxes, pointed in (((1,), (True, 0.25)), ((1,), (False, 0.05)), ((), None))
    )
    told = pointing_words([hit, miss, hit, unmarked])
    assert told.startswith("The strongest place lies inside the label’s finding in 2 of 3 images where it is annotated")
    assert "(a random place: in 0.6)" in told
    assert pointing_words([hit]) == "The strongest place lies inside the label’s finding (a random place: inside in 25 %)."
    assert pointing_words([miss]).startswith("The strongest place lies outside the label’s finding")
    assert pointing_words([unmarked, picture]) == ""
    other = Picture(picture.array, b"", boxes=(1,))
    assert pointing_words([other]) == ""
    assert pointing_words([other, unmarked], overlaid=True).startswith("No annotation of these images is of a finding")
    assert pointing_words([picture]) == "These images have no annotations."


def test_the_strongest_place_is_held_against_the_boxes(cnn):
    """As the pointing game of the notebooks scores it."""
    from mdissect.localize import activation_maps, box_region, pointing_game

    toy = toys.toy_probe(24)
    source = toy._sources[0]
    found = toys.toy_dissect(cnn, probe=toy, top_k=5)
    labels = [Reading(found).label("deep", neuron) for neuron in range(len(found.similarity["deep"]))]
    neuron = next(i for i, name in enumerate(labels) if name)
    box = {"finding": f"Suspicious {labels[neuron]}", "xmin": 0, "ymin": 0, "xmax": 8, "ymax": 4}
    everywhere = {"finding": "another", "xmin": 0, "ymin": 0, "xmax": 8, "ymax": 8}  # not what the label names
    source.boxes = lambda position: [box, everywhere]
    explorer = mdissect.explore(found, probe=toy, target=cnn, state={"overlay": True, "boxes": True, "neuron": neuron})
    ids = [tile.image_id for tile in explorer._gallery.tiles]
    maps = activation_maps(cnn, explorer.layer, [toy[toy.position(image_id)] for image_id in ids])
    hits = pointing_game(maps, [box_region([box], (8, 8))] * 8)[:, neuron]
    assert f"in {hits.sum()} of 8 images where it is annotated (a random place: in 4.0)" in explorer._below.value


def test_maps_of_one_image_serve_all_neurons(cnn):
    toy = toys.toy_probe(24)
    found = toys.toy_dissect(cnn, probe=toy, top_k=5)
    explorer = mdissect.explore(found, probe=toy, target=cnn, state={"overlay": True, "images": "random"})
    explorer.neuron = 3  # its scale needs the maps of its own top images
    seen = toys.Seen(cnn.module)
    explorer.neuron = 0
    explorer.opacity, explorer.contour = 90, True
    assert seen.images == []


# Trust


def test_trust_stands_under_the_heading_and_in_the_list(dissection, trust):
    explorer = mdissect.explore(dissection, trust=trust)
    assert "q 0.020, p 0.004, stability 0.91</div>" in parts(explorer)["heading"]
    explorer.neuron = 1
    assert "no label better than chance (calibrated; q 0.800, p 0.600); the published rule says" in parts(explorer)["heading"]
    explorer.neuron = 2
    assert "mdissect-trust" not in parts(explorer)["heading"]
    explorer.query = "implant"
    told = (
        "better than chance: implant (calibrated; q 2e-4, p 1e-4, stability 0.50, flag: not better than chance); the published "
        "rule says silicone implant"
    )
    assert explorer.neuron == 11
    assert told in parts(explorer)["heading"]
    assert told in " ".join(explorer.figure().get_suptitle().split())
    assert explorer._hits.options[0][0] == "11: silicone implant (2.10)"  # q is of another label
    assert explorer._hits.options[1][0] == "10: implant (2.00)"
    assert "0: implant (1.00), q 0.020" in [words for words, _ in explorer._hits.options]


def test_what_a_label_needs_stands_beside_it(dissection, probe):
    table = dissection.concepts.table
    dissection.concepts = ConceptSet(
        table.assign(evidence=["prior exam" if name == "implant" else "" for name in table.concept])
    )
    explorer = mdissect.explore(dissection, probe=probe)
    label = explorer.reading.label("deep", 0)
    assert label == "implant"
    assert "needs prior exam</div>" in parts(explorer)["heading"]
    assert "needs prior exam" in explorer.figure().get_suptitle()
    models = mdissect.explore_models({"M": dissection, "C4": dissection}, state={"neuron": 0})
    assert "Needs prior exam." in models.panels["M"].lines
    concepts = mdissect.explore_concepts({"M": dissection, "C4": dissection}, state={"concept": "implant"})
    assert all("needs prior exam" in bar.words for _, bar, _ in concepts._lines(concepts.neurons) if bar.name == "implant")


def test_where_widgets_do_not_run_a_text_stands_for_them(explorer, dissection):
    assert repr(explorer) == "Explorer: run this cell in JupyterLab to use it; a static view follows (.figure())"
    assert repr(mdissect.explore_concepts(dissection)).startswith("ConceptExplorer: run this cell")


def test_the_calibrated_labels_of_a_dissection_are_such_a_table():
    toy = toys.toy_probe(80)
    found = toys.toy_dissect(toys.toy_target(), probe=toy, top_k=8)
    calibrated = found.calibrated(n_null=100)
    explorer = mdissect.explore(calibrated)
    assert re.search(r"q [0-9.e-]+, p [0-9.e-]+", parts(explorer)["heading"])
    assert parts(explorer) == parts(mdissect.explore(found, trust=calibrated.trusted))
    explorer.neuron = toys.CONSTANT
    assert "cannot be named" in parts(explorer)["heading"]


def attach(found):
    """What trust.predicts and trust.clarity make of neuron 0 as implant and neuron 11 as another label than the one shown."""
    predicts = pd.DataFrame({"layer": "deep", "neuron": [0, 11], "concept": ["implant", "implant"], "predicts": [0.584, -0.1]})
    predicts["predicts_low"], predicts["predicts_high"] = [0.51, -0.2], [0.64, 0.0]
    words = pd.DataFrame({"layer": "deep", "neuron": [0, 1], "explained_by": ["0.6 implant + 0.3 mass", ""]})
    words["one_word_enough"] = [False, True]
    clarity = pd.DataFrame({"layer": "deep", "neuron": [0, 2], "clarity": [0.712, np.nan]})
    return found.with_columns(predicts).with_columns(words).with_columns(clarity)


def test_attached_columns_stand_below_the_label(dissection, trust):
    trust["rule"], trust["p_label"] = "rising", [0.003, np.nan, 0.2]
    explorer = mdissect.explore(attach(dissection), trust=trust)
    told = (
        "predicts unseen patients: r 0.58 (0.51 to 0.64); explained by 0.6 implant + 0.3 mass (one word explains clearly "
        "less); clarity 0.71"
    )
    assert f"q 0.020, p 0.004, p of the label 0.003, rule rising, stability 0.91<br>{told}</div>" in parts(explorer)["heading"]
    assert told in " ".join(explorer.figure().get_suptitle().split())
    explorer.neuron = 1
    assert all(word not in parts(explorer)["heading"] for word in ("rule rising", "of the label", "explained", "<br>"))
    explorer.neuron = 2  # no clarity is known of it
    assert "mdissect-trust" not in parts(explorer)["heading"]
    explorer.neuron = 11
    assert "predicts unseen patients (as implant): r -0.10 (-0.20 to 0.00)</div>" in parts(explorer)["heading"]


def test_attached_columns_are_told_without_a_trust_table_and_beside_other_models(dissection):
    found = attach(dissection)
    assert "predicts unseen patients: r 0.58 (0.51 to 0.64)" in parts(mdissect.explore(found))["heading"]
    models = mdissect.explore_models({"M": found, "C4": dissection}, state={"neuron": 0})
    assert any(line.startswith("Predicts unseen patients: r 0.58") for line in models.panels["M"].lines)
    assert not any("redicts" in line for line in models.panels["C4"].lines)
    concepts = mdissect.explore_concepts({"M": found, "C4": dissection}, state={"concept": "implant"})
    rows = concepts._list.rows
    assert {"predicts", "clarity"} <= {column["key"] for column in concepts._list.columns}
    told = [
        (*place, value) for *place, value in zip(rows["model"], rows["layer"], rows["neuron"], rows["predicts"], strict=True)
    ]
    assert [one for one in told if one[3] is not None] == [("M", "deep", 0, 0.584)]  # of 11, of a label that it does not show


def test_attached_columns_are_saved_with_the_labels_and_outlast_a_file(dissection, trust, tmp_path):
    attach(dissection).save(tmp_path / "result")
    found = mdissect.Dissection.load(tmp_path / "result")
    path = mdissect.explore(found, trust=trust).save_labels(tmp_path / "all.csv")
    table = pd.read_csv(path, keep_default_na=False).set_index(["layer", "neuron"])
    assert list(table.loc[("deep", 0), ["predicts", "explained_by", "clarity"]]) == ["0.584", "0.6 implant + 0.3 mass", "0.712"]
    assert table.loc[("deep", 11), "predicts"] == "-0.1"  # that of its calibrated label
    assert list(table.loc[("deep", 3), ["predicts", "explained_by", "clarity"]]) == ["", "", ""]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="q"), "trust has no column q .*dissection.labels"),
        (lambda t: t.assign(layer="head"), "trust has a row for neuron 0 of 'head', which this dissection does not have"),
        (lambda t: t.assign(neuron=t.neuron + 1), "trust has a row for neuron 12 of 'deep'"),
        (lambda t: pd.concat([t, t]), "trust has two rows for neuron 0 of 'deep'"),
    ],
)
def test_a_trust_table_of_something_else_is_refused(dissection, trust, change, message):
    with pytest.raises(ValueError, match=message):
        mdissect.explore(dissection, trust=change(trust))


# Export


@pytest.mark.slow
def test_the_view_is_saved_as_picture_and_settings(explorer, tmp_path):
    explorer.split = "density"
    path = explorer.save_view(tmp_path / "new")
    assert path == tmp_path / "new" / "deep-0-strongest-by-density.png"
    assert sorted(p.suffix for p in path.parent.iterdir()) == [".json", ".png", ".svg"]
    with Image.open(path) as picture:
        assert picture.width > 1000
    assert json.loads(path.with_suffix(".json").read_text())["view"] == explorer.state


def test_labels_are_saved_with_what_is_known_of_them(dissection, trust, tmp_path):
    path = mdissect.explore(dissection, trust=trust).save_labels(tmp_path / "all.csv")
    table = pd.read_csv(path, keep_default_na=False).set_index(["layer", "neuron"])
    assert len(table) == 18
    assert list(table.loc[("deep", 11), ["concept", "passes", "calibrated_concept", "flag"]]) == [
        "silicone implant", True, "implant", "not better than chance",
    ]  # fmt: skip
    assert float(table.q[("deep", 0)]) == 0.02
    assert list(table.loc[("stem", 2), ["concept", "note", "q"]]) == ["", "constant", ""]
    plain = pd.read_csv(mdissect.explore(dissection).save_labels(tmp_path / "plain.csv"))
    assert list(plain.columns)[-2:] == ["threshold", "passes"]


@pytest.mark.slow
def test_buttons_tell_where_it_went_or_why_not(dissection, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    explorer = mdissect.explore(dissection)
    explorer._save.labels.click()
    assert "saved as exports/labels.csv" in explorer._save.message.value
    explorer._save.view.click()
    assert "saved as exports/deep-0-strongest.png" in explorer._save.message.value
    assert (tmp_path / "exports" / "deep-0-strongest.svg").is_file()
    (tmp_path / "taken").write_text("a file")
    refused = mdissect.explore(dissection, export="taken")
    for button, what in ((refused._save.labels, "labels"), (refused._save.view, "view")):
        button.click()
        assert f"The {what} could not be saved: " in refused._save.message.value
    assert (tmp_path / "taken").read_text() == "a file"


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({}, "blocks.1-7-weakest"),
        ({"overlay": True, "boxes": True}, "blocks.1-7-weakest-overlay-boxes"),
        ({"split": "findings: mass"}, "blocks.1-7-weakest-by-findings-mass"),
        ({"model": "M", "layer": "../etc", "enlarged": "a/b.png"}, "M-..-etc-7-weakest-image-a-b.png"),
    ],
)
def test_files_are_named_by_what_they_show(change, name):
    state = {"layer": "blocks.1", "neuron": 7, "images": "weakest", "overlay": False, "boxes": False, "split": "all images"}
    assert view_name(state | change) == name
