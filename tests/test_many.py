"""Tests of several targets in one pass: what `dissect` gives of each, with every image read once."""

import warnings
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import toys

import mdissect
from mdissect.embed import embed_probes
from mdissect.many import dissect_many
from mdissect.models import load_dissector, load_target
from mdissect.passing import PassOptions
from mdissect.preprocess import Preprocess
from mdissect.probes import Probe
from mdissect.store import CHUNK_ROWS, StoreError

pytestmark = pytest.mark.slow

OTHER = Preprocess(size=(toys.SIDE, toys.SIDE), scale="image", channels=1)
GIVEN = {"top_k": 16, "device": "cpu", "options": toys.SMALL}


@pytest.fixture
def targets(cnn, vit, mlp, planted):
    return {"cnn": cnn, "vit": vit, "mlp": mlp, "planted": planted}


@pytest.fixture
def counts(monkeypatch):
    """How often an image was read, and prepared in which way."""
    found = {"read": 0, toys.PREPROCESS: 0, OTHER: 0}
    read, prepare = Probe.__getitem__, Preprocess.__call__

    def count_read(self, position):
        found["read"] += 1
        return read(self, position)

    def count_prepare(self, image):
        found[self] += 1
        return prepare(self, image)

    monkeypatch.setattr(Probe, "__getitem__", count_read)
    monkeypatch.setattr(Preprocess, "__call__", count_prepare)
    return found


def many(targets, dissector, probe, **options):
    return dissect_many(targets, dissector, probe, toys.CONCEPTS, **GIVEN | options)


def one_by_one(targets, dissector, probe, **options):
    return {name: toys.toy_dissect(target, dissector, probe, **options) for name, target in targets.items()}


def assert_the_same(found, expected):
    assert list(found) == list(expected)
    for name, one in expected.items():
        assert found[name].labels().equals(one.labels())
        assert found[name].settings == one.settings
        assert found[name].layers == one.layers
        for layer in one.layers:
            for part in ("similarity", "activations", "notes"):
                np.testing.assert_array_equal(getattr(found[name], part)[layer], getattr(one, part)[layer])
        for part in ("image_concept_sims", "image_embeddings", "text_embeddings"):
            np.testing.assert_array_equal(getattr(found[name], part), getattr(one, part))


def entries(store):
    """Every file of a store's entries but the locks, with its bytes."""
    files = [path for path in store.rglob("*") if path.is_file() and path.name != "lock"]
    return {path.relative_to(store): path.read_bytes() for path in files}


@pytest.mark.parametrize("similarity", ["soft_wpmi", "wpmi", "cos_similarity"])
def test_each_dissection_is_that_of_dissect(targets, dissector, probe, similarity):
    found = mdissect.dissect_many(targets, dissector, probe, toys.CONCEPTS, similarity=similarity, **GIVEN)
    assert_the_same(found, one_by_one(targets, dissector, probe, similarity=similarity))


def test_the_store_is_the_same_file_by_file(targets, dissector, probe, tmp_path):
    many(targets, dissector, probe, store=tmp_path / "many")
    one_by_one(targets, dissector, probe, store=tmp_path / "single")
    assert entries(tmp_path / "many") == entries(tmp_path / "single")


def test_all_images_are_read_and_prepared_once(targets, probe, counts):
    targets["other"] = replace(targets["cnn"], preprocess=OTHER)
    seen = {name: toys.Seen(target.module) for name, target in targets.items() if name not in ("cnn", "other")}
    dissector = toys.RowDissector(OTHER)
    embed_probes(targets, dissector, probe, store=None, device="cpu", options=toys.SMALL)
    assert counts == {"read": len(probe) + 8, toys.PREPROCESS: len(probe), OTHER: len(probe)}  # 8 for the intensities
    assert {name: one.images for name, one in seen.items()} == {name: list(range(len(probe))) for name in seen}
    assert sum(dissector.batches) == len(probe)


@pytest.mark.parametrize("first", ["many", "single"])
def test_what_either_left_in_the_store_is_not_computed_again(targets, dissector, probe, tmp_path, counts, first):
    both = {"many": many, "single": one_by_one}
    before = both.pop(first)(targets, dissector, probe, store=tmp_path)
    counts |= dict.fromkeys(counts, 0)
    dissector.batches.clear()
    (other,) = both.values()
    assert_the_same(other(targets, dissector, probe, store=tmp_path), before)
    assert set(counts.values()) == {0}
    assert dissector.batches == []


def test_only_what_is_missing_of_a_target_runs(targets, dissector, probe, tmp_path):
    expected = many(targets, dissector, probe, store=tmp_path)
    for folder in tmp_path.glob("activations-*"):
        if f'"{targets["vit"].fingerprint}"' in (folder / "key.json").read_text():
            (folder / "done" / "1").unlink()
    seen = {name: toys.Seen(target.module) for name, target in targets.items()}
    dissector.batches.clear()
    assert_the_same(many(targets, dissector, probe, store=tmp_path), expected)
    chunk = list(range(CHUNK_ROWS, 2 * CHUNK_ROWS))
    assert {name: one.images for name, one in seen.items()} == {"cnn": [], "vit": chunk, "mlp": [], "planted": []}
    assert dissector.batches == []


def test_a_target_that_is_the_dissectors_tower_shares_its_pass(cnn, vit, probe):
    targets, shared = {"vit": vit, "cnn": cnn}, toys.SharedTower(cnn)
    seen = toys.Seen(cnn.module.stem)
    found = dissect_many(targets, shared, probe, toys.CONCEPTS[:6], **GIVEN)
    assert seen.images == list(range(len(probe)))
    expected = {name: toys.toy_dissect(one, shared, probe, toys.CONCEPTS[:6]) for name, one in targets.items()}
    assert_the_same(found, expected)


def test_the_same_network_twice_runs_once_with_the_layers_of_both(cnn, dissector, probe, tmp_path):
    seen = toys.Seen(cnn.module)
    layers = {"a": ["stem", "deep"], "b": ["deep", "head"]}
    found = many({"a": cnn, "b": cnn}, dissector, probe, layers=layers, store=tmp_path)
    assert seen.images == list(range(len(probe)))
    for name, own in layers.items():
        assert found[name].layers == own
        assert_the_same({name: found[name]}, {name: toys.toy_dissect(cnn, dissector, probe, layers=own)})


def test_a_copy_of_a_network_is_the_same_network(cnn, dissector, probe, tmp_path):
    copied = load_target(deepcopy(cnn.module), preprocess=cnn.preprocess, layers=cnn.layers, name="copy")
    seen = toys.Seen(copied.module)
    found = many({"own": cnn, "copy": copied}, dissector, probe, store=tmp_path)
    assert seen.images == []
    np.testing.assert_array_equal(found["own"].similarity["deep"], found["copy"].similarity["deep"])
    assert found["copy"].settings["target"] == "copy"


def test_a_dissector_of_labels_needs_no_pixels(cnn, vit, probe):
    labels, names = load_dissector("labels", probe=probe, column="row"), [str(row) for row in range(8)]
    found = dissect_many({"cnn": cnn, "vit": vit}, labels, probe, names, **GIVEN)
    assert_the_same(found, {name: toys.toy_dissect(one, labels, probe, names) for name, one in (("cnn", cnn), ("vit", vit))})


def test_axes_hold_for_the_layers_of_that_name(cnn, vit, dissector, probe):
    options = replace(toys.SMALL, axes={"deep": "NCHW"})
    found = many({"cnn": cnn, "vit": vit}, dissector, probe, options=options)
    assert found["cnn"].settings["axes"] == {"deep": "NCHW"}
    assert "axes" not in found["vit"].settings
    with pytest.raises(ValueError, match=r"axes.*\['nowhere'\]|nowhere"):
        many({"cnn": cnn, "vit": vit}, dissector, probe, options=replace(toys.SMALL, axes={"nowhere": "NCHW"}))


class Rough(torch.nn.Module):
    """Its neurons are of the size of bf16's rounding, on top of a large number: their labels in bf16 are others."""

    def __init__(self):
        super().__init__()
        self.rows = torch.nn.AdaptiveAvgPool2d((toys.SIDE, 1))
        self.linear, self.neurons = torch.nn.Linear(toys.SIDE, 8), torch.nn.Identity()
        with torch.no_grad():
            self.linear.weight.copy_(torch.eye(8) * 1e-3)
            self.linear.bias.fill_(1)

    def forward(self, x):
        return self.neurons(self.linear(self.rows(x).flatten(1)))


def test_a_target_that_bf16_changes_goes_back_to_float32_alone(planted, dissector, probe):
    rough = load_target(Rough().eval(), preprocess=toys.PREPROCESS, layers=["neurons"], name="rough")
    fine = load_target(deepcopy(planted.module), preprocess=toys.PREPROCESS, layers=["neurons"], name="fine")
    options = replace(toys.SMALL, precision="bf16")
    with pytest.warns(UserWarning, match="runs in float32"):
        found = many({"rough": rough, "fine": fine}, dissector, probe, options=options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = one_by_one({"rough": rough, "fine": fine}, dissector, probe, options=options)
    assert_the_same(found, expected)
    assert "precision" not in found["rough"].settings
    assert found["fine"].settings["precision"] == "bf16"


@pytest.mark.parametrize(("batch_size", "workers"), [(13, 0), (30, 2), (1000, 0)])
def test_batches_and_workers_change_nothing(targets, probe, batch_size, workers):
    options = PassOptions(batch_size=batch_size, workers=workers, progress=False)
    found = embed_probes(targets, toys.RowDissector(OTHER), probe, device="cpu", options=options)
    expected = embed_probes(targets, toys.RowDissector(OTHER), probe, device="cpu", options=toys.SMALL)
    for name, one in expected.items():
        np.testing.assert_allclose(found[name].image_embeddings, one.image_embeddings, atol=1e-6)
        for layer, values in one.activations.items():
            np.testing.assert_allclose(found[name].activations[layer], values, atol=1e-6)


@pytest.mark.parametrize("n_images", [2, 3])
def test_tiny_probes_work(targets, dissector, n_images):
    with pytest.warns(UserWarning, match="half or more"):
        found = many(targets, dissector, toys.toy_probe(n_images), top_k=n_images)
    assert [len(one.image_embeddings) for one in found.values()] == [n_images] * len(targets)


class OneAnswer(toys.RowDissector):
    """It embeds all images alike."""

    fingerprint = "all alike"

    def embed_images(self, batch):
        return torch.eye(toys.SIDE)[[0] * len(batch)]


def test_a_dissector_without_contrast_labels_no_target(targets, probe):
    with pytest.warns(UserWarning, match="tells none of the 8 concepts from the others") as told:
        found = many(targets, OneAnswer(), probe)
    assert all((one.labels().concept == "").all() for one in found.values())
    assert {Path(one.filename).name for one in told} == {"test_many.py"}


def test_a_full_disk_is_told_and_the_rest_goes_on_later(targets, dissector, probe, tmp_path):
    with toys.full_disk(3000), pytest.raises(StoreError, match=r"cannot use the store at .*MDISSECT_STORE"):
        many(targets, dissector, probe, store=tmp_path)
    assert_the_same(many(targets, dissector, probe, store=tmp_path), one_by_one(targets, dissector, probe))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"targets": {}}, ValueError, "targets is empty; give one at least"),
        ({"targets": []}, TypeError, "targets=.* must be a Mapping"),
        ({"targets": {"M": "demo/mammo"}}, TypeError, r"targets\['M'\]='demo/mammo' must be a Target: load_target"),
        ({"targets": {3: None}}, TypeError, "a key of targets=3"),
        ({"layers": ["stem"]}, TypeError, r"layers=.* must be a mapping of targets to their layers"),
        ({"layers": {"cmn": ["stem"]}}, ValueError, "cmn"),
        ({"layers": {"cnn": []}}, ValueError, r"layers\['cnn'\]=.* at least one"),
        ({"layers": {"cnn": ["stern"]}}, ValueError, "stern.*stem"),
        ({"similarity": "best"}, ValueError, "similarity='best' is not one of"),
        ({"top_k": 161}, ValueError, "top_k=161 exceeds the 160 probe images"),
        ({"lam": "much"}, ValueError, "lam='much' must be a number"),
        ({"speed": 3}, (TypeError, ValueError), "speed"),
        ({"pool": "median"}, ValueError, "pool='median' is not one of"),
        ({"concepts": []}, ValueError, "concept"),
        ({"device": "tpu"}, ValueError, "device='tpu' must be one of"),
        ({"dissector": "clip"}, TypeError, "dissector='clip' must be a Dissector"),
        ({"probe": None}, TypeError, "probe=None must be a Probe"),
    ],
)
def test_a_wrong_argument_is_told(cnn, vit, dissector, probe, change, error, message):
    given = {"targets": {"cnn": cnn, "vit": vit}, "dissector": dissector, "probe": probe, "concepts": toys.CONCEPTS}
    with pytest.raises(error, match=message):
        dissect_many(**given | GIVEN | change)


def test_a_target_that_was_trained_is_told_before_any_image_is_read(targets, dissector, probe, counts):
    with torch.no_grad():
        targets["mlp"].module.first.bias += 1
    with pytest.raises(ValueError, match="the weights of target 'TinyMLP' changed since it was loaded"):
        many(targets, dissector, probe)
    assert counts["read"] == 0


def test_an_error_of_an_image_names_it(targets, dissector, probe, monkeypatch):
    read = Probe.__getitem__
    monkeypatch.setattr(Probe, "__getitem__", lambda self, i: np.full((4, 4), "x") if i == 100 else read(self, i))
    with pytest.raises(TypeError, match=r"image '.*100' of probe 'rows'"):
        many(targets, dissector, probe)
