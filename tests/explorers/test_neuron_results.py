"""Tests of the explorer on results as they come: of an older version, damaged, of several models, of real tables."""

import json

import numpy as np
import pandas as pd
import pytest
from explored import N_IMAGES, parts, run_without_models, similarity
from PIL import Image
from traitlets import TraitError

import mdissect
from mdissect.dissection import Dissection
from mdissect.explorers import Notes
from mdissect.explorers.reading import Reading

pytestmark = pytest.mark.slow

# Results that are not whole


def test_a_result_of_another_version_opens_and_says_so(dissection, tmp_path):
    dissection.settings["mdissect"] = "0.0.3"
    dissection.notes.clear()
    dissection.save(tmp_path)
    message = parts(mdissect.explore(Dissection.load(tmp_path)))["message"]
    assert "This result was made by mdissect 0.0.3; this is " in message
    assert "No notes on the neurons of stem, deep" in message


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda d: d.activations.update(deep=np.zeros((4, 12))), "activations of deep are 4 x 12 where 30 x 12 are expected"),
        (lambda d: d.activations.update(deep=np.zeros((30, 9))), "activations of deep are 30 x 9 where 30 x 12 are expected"),
        (lambda d: d.notes.update(deep=np.array(["", ""])), "notes on deep are 2 where 12 are expected"),
        (lambda d: setattr(d, "image_concept_sims", np.zeros((30, 4))), "image_concept_sims are 30 x 4 where 30 x 5"),
        (lambda d: d.settings.clear(), "by an unknown version of mdissect"),
        (lambda d: setattr(d, "probe_table", pd.DataFrame()), "activations of deep are 30 x 12 where 0 x 12 are expected"),
    ],
)
def test_parts_that_do_not_fit_are_left_out_and_named(dissection, probe, damage, message):
    damage(dissection)
    explorer = mdissect.explore(dissection, probe=probe)
    assert message in parts(explorer)["message"]
    explorer.layer, explorer.neuron = "stem", 4
    explorer.layer, explorer.neuron = "deep", 11
    assert "silicone implant" in parts(explorer)["heading"]
    assert explorer.figure().axes


def test_a_result_of_this_version_is_told_to_be_nothing(dissection):
    dissection.settings["mdissect"] = mdissect.__version__
    dissection.notes["deep"] = np.full(12, "", dtype=object)
    assert Reading(dissection).warnings == []


def test_images_that_another_probe_has_are_counted(dissection, probe):
    explorer = mdissect.explore(dissection, probe=probe.subset(slice(0, 20)))
    assert "10 of the 30 images of this result are not in the probe arrays" in parts(explorer)["message"]
    assert "are not in the probe" not in parts(mdissect.explore(dissection, probe=probe))["message"]


def test_a_number_beyond_the_layer_is_brought_back(explorer):
    explorer._picker.number.value = 999
    assert explorer.neuron == 11
    assert explorer._picker.steps[1].disabled
    explorer._picker.number.value = -5
    assert explorer.neuron == 0
    assert explorer._picker.steps[0].disabled
    explorer._picker.steps[1].click()
    assert explorer.neuron == 1
    assert not explorer._picker.steps[0].disabled


# Several models


@pytest.fixture
def models(dissection):
    """The same probe shown to two networks: the second has one layer "deep" of 4 neurons and no density."""
    second = Dissection(
        similarity={"deep": similarity(4, 5)},
        activations={"deep": np.random.default_rng(1).normal(size=(N_IMAGES, 4))},
        concepts=dissection.concepts,
        settings={"target": "second"},
        probe_table=dissection.probe_table.drop(columns="density"),
    )
    return {"M": dissection, "C3": second}


def test_of_several_models_one_is_in_view(models, probe):
    explorer = mdissect.explore(models, probe=probe)
    assert explorer._models.options == ("M", "C3")
    assert explorer._models.layout.display is None
    assert "M, layer deep, neuron 0: implant" in parts(explorer)["heading"]
    explorer.neuron, explorer.split = 11, "density"
    explorer._models.value = "C3"
    assert (explorer.model, explorer.layer, explorer.neuron, explorer.split) == ("C3", "deep", 3, "all images")
    assert (explorer._layers.options, explorer._picker.slider.max) == (("deep",), 3)
    assert "C3, layer deep, neuron 3: density &lt;4&gt;" in parts(explorer)["heading"]
    explorer.query = "implant"
    assert explorer.neuron == 1
    explorer._models.value = "M"
    assert (explorer.neuron, explorer._layers.options) == (11, ("stem", "deep"))
    assert mdissect.explore(models["M"])._models.layout.display == "none"


def test_a_layer_that_the_next_model_lacks_is_left(models):
    explorer = mdissect.explore(models, state={"model": "M", "layer": "stem", "neuron": 5})
    explorer.model = "C3"
    assert (explorer.layer, explorer._layers.value, explorer.neuron) == ("deep", "deep", 3)
    state = json.loads(json.dumps(explorer.state))
    assert mdissect.explore(models, state=state).state == state
    with pytest.raises(TraitError, match="no model 'C9'; there are M, C3"):
        explorer.state = {"model": "C9"}
    assert explorer.state == state


def test_models_may_have_other_layers_and_metadata(models, probe):
    other = models["C3"]
    other.similarity["features.3"], other.activations["features.3"] = (
        other.similarity.pop("deep"),
        other.activations.pop("deep"),
    )
    explorer = mdissect.explore(models, probe=probe, state={"layer": "stem", "split": "density", "neuron": 4, "boxes": True})
    explorer.enlarged = explorer._gallery.tiles[0].image_id
    explorer.model = "C3"
    assert (explorer.layer, explorer._layers.value, explorer._layers.options) == ("features.3", "features.3", ("features.3",))
    assert (explorer.neuron, explorer._picker.slider.value, explorer.split, explorer._split.value) == (
        3,
        3,
        "all images",
        "all images",
    )
    explorer._models.value = "M"
    assert (explorer.layer, explorer._layers.value, explorer.neuron) == ("deep", "deep", 3)
    explorer._split.value = "density"
    assert all(group["auc"] is not None for group in parts(explorer)["histogram"]["groups"])


def test_each_model_has_its_own_trust_verdicts_and_labels(models, trust, tmp_path):
    notes = Notes(tmp_path / "verdicts.csv")
    explorer = mdissect.explore(models, trust={"M": trust}, notes=notes)
    explorer._verdict.reader.value = "AB"
    explorer._verdict.verdict.value = "right"
    assert "q 0.020" in parts(explorer)["heading"]
    explorer.model = "C3"
    assert "mdissect-trust" not in parts(explorer)["heading"]
    assert explorer._verdict.verdict.value == "no verdict"
    assert len(Notes(notes.path, result="M").table) == 1
    table = pd.read_csv(explorer.save_labels(tmp_path / "labels.csv"))
    assert table.model.value_counts().to_dict() == {"M": 18, "C3": 4}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"trust": pd.DataFrame()}, "trust belongs to one model; give a mapping from model to trust: {'M': ...}"),
        ({"target": {"C9": None}}, "target is given for C9, of which there is no dissection; there are M, C3"),
    ],
)
def test_what_belongs_to_one_model_is_told_which(models, options, message):
    with pytest.raises(ValueError, match=message):
        mdissect.explore(models, **options)
    with pytest.raises(ValueError, match="nothing to explore"):
        mdissect.explore({})


# Tables as real ones are


def test_the_images_of_vindr_are_split_by_density_view_and_findings(dissection):
    i = np.arange(N_IMAGES)
    dissection.probe_table = pd.DataFrame(
        {
            "patient": [f"s{n // 4}" for n in i],
            "laterality": np.array(list("LR"))[i % 2],
            "view": np.array(["CC", "MLO"])[i // 2 % 2],
            "density": np.array([*"ABCD", None], dtype=object)[i % 5],
            "birads": np.array([1, 2, 3, 4, 5])[i % 5],
            "findings": np.where(i % 6 == 0, "mass; suspicious calcification", np.where(i % 6 == 1, "mass", "")),
            "study_id": [f"s{n // 4}" for n in i],
            "split": "test",
        },
        index=dissection.probe_table.index,
    )
    reading = Reading(dissection)
    assert list(reading.splits) == [
        "laterality", "view", "density", "birads", "findings: mass", "findings: suspicious calcification",
    ]  # fmt: skip
    _, groups = reading.histogram("deep", 3, "density")
    assert [(group.name, group.n_images) for group in groups] == [("A", 6), ("B", 6), ("C", 6), ("D", 6)]
    _, groups = reading.histogram("deep", 3, "findings: mass")
    assert [(group.name, group.n_images) for group in groups] == [("with it", 10), ("without", 20)]
    assert groups[0].auc == pytest.approx(1 - groups[1].auc)
    dissection.activations["deep"][:, 3] = np.where(i % 6 == 0, 2.0, np.where(i % 6 == 1, 1.0, 0.0))
    _, groups = reading.histogram("deep", 3, "findings: suspicious calcification")
    assert [group.auc for group in groups] == [1, 0]
    _, groups = reading.histogram("deep", 3, "findings: mass")
    assert [group.auc for group in groups] == [1, 0]


@pytest.mark.slow
def test_a_saved_result_is_explored_without_any_model(dissection, tmp_path):
    dissection.save(tmp_path / "result")
    (tmp_path / "images").mkdir()
    for name in dissection.probe_table.index:
        Image.fromarray(np.zeros((16, 8), np.uint8)).save(tmp_path / "images" / f"{name}.png")
    out = run_without_models(
        tmp_path,
        "found = mdissect.Dissection.load('result')",
        "found.probe_table.index = [f'{name}.png' for name in found.probe_table.index]",
        "explorer = mdissect.explore(found, probe=mdissect.load_probe('folder', path='images'))",
        "explorer.query, explorer.split, explorer.enlarged = 'implant', 'density', 'image-03.png'",
        "explorer.save_labels('labels.csv')",
        "loaded('torch', 'timm', 'transformers', 'sklearn')",
        "explorer.figure()",
        "loaded('timm', 'transformers', 'sklearn')",
    )
    assert out == "[]\n[]\n"
