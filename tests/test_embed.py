"""Tests of the pass over a probe: everything once, nothing twice, and the same numbers however it is run."""

from contextlib import nullcontext
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
import toys
from emitters import Emitter

from mdissect.axes import UnsettledAxesError
from mdissect.embed import INTENSITY_IMAGES, PassOptions, embed_concepts, embed_images, embed_probe, record_probe
from mdissect.models import load_dissector, load_target, resolve_device
from mdissect.preprocess import Preprocess
from mdissect.probes import ImageFileError, Probe, load_probe
from mdissect.store import CHUNK_ROWS, Store

OTHER = Preprocess(size=(toys.SIDE, toys.SIDE), scale="image", channels=1)


@pytest.fixture
def counts(monkeypatch):
    """How often an image was read, and prepared by which contract."""
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


def embed(target, dissector, probe, layers, store=None, pool="mean", options=toys.SMALL):
    return embed_probe(target, dissector, probe, layers, pool, store, "cpu", options)


def assert_same(first, second, **tolerance):
    assert first.activations.keys() == second.activations.keys()
    for layer, activations in first.activations.items():
        np.testing.assert_allclose(activations, second.activations[layer], **tolerance)
    np.testing.assert_allclose(first.image_embeddings, second.image_embeddings, **tolerance)


def test_rows_are_the_networks_answers_in_the_order_of_the_ids(cnn, dissector, probe):
    found = embed(cnn, dissector, probe, ["stem", "deep", "head"])
    images = torch.stack([toys.PREPROCESS(probe[i]) for i in range(len(probe))])
    with torch.no_grad():
        stem, deep, head = cnn.module.stem(images), cnn.module.forward_features(images), cnn.module(images)
    assert list(found.activations) == ["stem", "deep", "head"]
    for layer, expected in (("stem", stem.mean(dim=(2, 3))), ("deep", deep.mean(dim=(2, 3))), ("head", head)):
        assert found.activations[layer].dtype == np.float32
        np.testing.assert_allclose(found.activations[layer], expected, atol=1e-6)
    np.testing.assert_allclose(found.image_embeddings, dissector.embed_images(images), atol=1e-6)


@pytest.mark.parametrize("pool", ["mean", "max", "cls"])
@pytest.mark.parametrize("network", ["vit", "mlp"])
def test_tokens_and_vectors_go_through_too(request, network, dissector, probe, pool):
    target = request.getfixturevalue(network)
    found = embed(target, dissector, probe, target.layers, pool=pool)
    assert [a.shape[0] for a in found.activations.values()] == [len(probe)] * 2


def test_all_layers_come_from_one_pass(cnn, dissector, probe, counts):
    seen = toys.Seen(cnn.module)
    embed(cnn, dissector, probe, ["stem", "act", "deep", "head"])
    assert seen.images == list(range(len(probe)))
    assert [len(batch) for batch in seen.batches] == [48, 16, 48, 16, 32]  # none spans two chunks
    assert sum(dissector.batches) == len(probe)
    assert counts == {"read": len(probe) + INTENSITY_IMAGES, toys.PREPROCESS: len(probe), OTHER: 0}


def test_models_that_prepare_differently_share_the_reading(cnn, probe, counts):
    embed(cnn, toys.RowDissector(OTHER), probe, ["stem"])
    assert counts == {"read": len(probe) + INTENSITY_IMAGES, toys.PREPROCESS: len(probe), OTHER: len(probe)}


def test_layers_added_later_run_the_target_alone(cnn, probe, tmp_path, counts):
    seen, dissector = toys.Seen(cnn.module), toys.RowDissector(OTHER)
    embed(cnn, dissector, probe, ["stem"], tmp_path)
    seen.batches.clear()
    dissector.batches.clear()
    counts |= dict.fromkeys(counts, 0)
    found = embed(cnn, dissector, probe, ["stem", "deep"], tmp_path)
    assert seen.images == list(range(len(probe)))
    assert dissector.batches == []
    assert counts == {"read": len(probe), toys.PREPROCESS: len(probe), OTHER: 0}
    seen.batches.clear()
    counts |= dict.fromkeys(counts, 0)
    again = embed(cnn, dissector, probe, ["deep", "stem"], tmp_path)
    assert seen.batches == dissector.batches == []
    assert set(counts.values()) == {0}
    assert_same(replace(again, activations={layer: again.activations[layer] for layer in ("stem", "deep")}), found, atol=0)


def test_a_dissector_added_later_runs_alone(cnn, dissector, probe, tmp_path, counts):
    embed(cnn, dissector, probe, ["stem"], tmp_path)
    seen, other = toys.Seen(cnn.module), toys.RowDissector(OTHER)
    counts |= dict.fromkeys(counts, 0)
    embed(cnn, other, probe, ["stem"], tmp_path)
    assert seen.batches == []
    assert sum(other.batches) == len(probe)
    assert counts == {"read": len(probe), toys.PREPROCESS: 0, OTHER: len(probe)}


def test_only_missing_chunks_are_computed(cnn, dissector, probe, tmp_path):
    embed(cnn, dissector, probe, ["stem", "deep"], tmp_path)
    damaged = next(folder for folder in tmp_path.glob("activations-*") if '"stem"' in (folder / "key.json").read_text())
    (damaged / "done" / "1").unlink()
    (next(tmp_path.glob("images-*")) / "done" / "2").unlink()
    seen = toys.Seen(cnn.module)
    dissector.batches.clear()
    found = embed(cnn, dissector, probe, ["stem", "deep"], tmp_path)
    assert seen.images == list(range(CHUNK_ROWS, 2 * CHUNK_ROWS))
    assert sum(dissector.batches) == len(probe) - 2 * CHUNK_ROWS
    assert_same(found, embed(cnn, dissector, probe, ["stem", "deep"]), atol=0)


def other_weights(target, dissector, probe):
    module = deepcopy(target.module)
    with torch.no_grad():
        module.stem.bias[0] += 1
    return load_target(module, preprocess=target.preprocess, layers=target.layers), dissector, probe


def other_target_preprocess(target, dissector, probe):
    return replace(target, preprocess=OTHER), dissector, probe


def other_dissector_preprocess(target, dissector, probe):
    return target, toys.RowDissector(OTHER), probe


def other_dissector_weights(target, dissector, probe):
    dissector.fingerprint = "rows, trained further"
    return target, dissector, probe


def one_pixel(target, dissector, probe):
    images = toys.toy_images(len(probe))
    images[3, 0, 0] += 1
    return target, dissector, Probe.from_arrays(images, ids=probe.ids)


def other_order(target, dissector, probe):
    return target, dissector, probe.subset(np.arange(len(probe))[::-1])


def other_ids(target, dissector, probe):
    return target, dissector, Probe.from_arrays(toys.toy_images(len(probe)), name="others")


def same_images(target, dissector, probe):
    return target, dissector, Probe.from_arrays(toys.toy_images(len(probe)), ids=probe.ids, name="renamed")


@pytest.mark.parametrize(
    ("change", "runs"),
    [
        (other_weights, ["target"]),
        (other_target_preprocess, ["target"]),
        (other_dissector_preprocess, ["dissector"]),
        (other_dissector_weights, ["dissector"]),
        (one_pixel, ["target", "dissector"]),
        (other_order, ["target", "dissector"]),
        (other_ids, ["target", "dissector"]),
        (same_images, []),
    ],
)
def test_the_store_serves_only_what_nothing_changed_for(cnn, dissector, probe, tmp_path, change, runs):
    embed(cnn, dissector, probe, ["stem"], tmp_path)
    target, dissector, probe = change(cnn, dissector, probe)
    seen = toys.Seen(target.module)
    dissector.batches.clear()
    found = embed(target, dissector, probe, ["stem"], tmp_path)
    assert [name for name, ran in (("target", seen.batches), ("dissector", dissector.batches)) if ran] == runs
    assert_same(found, embed(target, dissector, probe, ["stem"]), atol=0)


def test_another_pool_is_another_entry(cnn, dissector, probe, tmp_path):
    mean = embed(cnn, dissector, probe, ["stem"], tmp_path, pool="mean")
    maximum = embed(cnn, dissector, probe, ["stem"], tmp_path, pool="max")
    assert (maximum.activations["stem"] > mean.activations["stem"]).all()


def test_other_library_versions_are_other_entries(cnn, dissector, probe, tmp_path, monkeypatch):
    embed(cnn, dissector, probe, ["stem"], tmp_path)
    monkeypatch.setattr("importlib.metadata.version", lambda name: "0.0")
    seen = toys.Seen(cnn.module)
    embed(cnn, dissector, probe, ["stem"], tmp_path)
    assert seen.images == list(range(len(probe)))


def test_a_tower_that_both_share_runs_once(cnn, probe):
    shared = toys.SharedTower(cnn)
    apart = embed(cnn, toys.RowDissector(), probe, ["stem", "deep"])
    seen = toys.Seen(cnn.module.stem)
    found = embed(cnn, shared, probe, ["stem", "deep"])
    assert seen.images == list(range(len(probe)))
    for layer in ("stem", "deep"):
        np.testing.assert_allclose(found.activations[layer], apart.activations[layer], atol=1e-6)
    expected = found.activations["deep"] / np.linalg.norm(found.activations["deep"], axis=1, keepdims=True)
    np.testing.assert_allclose(found.image_embeddings, expected, atol=1e-6)


def test_layers_that_embedding_does_not_run_are_still_recorded(cnn, probe):
    found = embed(cnn, toys.SharedTower(cnn), probe, ["deep", "head"])
    expected = embed(cnn, toys.RowDissector(), probe, ["deep", "head"])
    for layer in ("deep", "head"):
        np.testing.assert_allclose(found.activations[layer], expected.activations[layer], atol=1e-6)


def test_a_shared_tower_runs_twice_where_the_images_are_prepared_differently(cnn, probe):
    shared = toys.SharedTower(cnn)
    shared.preprocess = OTHER
    seen = toys.Seen(cnn.module.stem)
    embed(cnn, shared, probe, ["deep"])
    assert len(seen.images) == 2 * len(probe)


def test_a_dissector_of_labels_needs_no_pixels(cnn, probe, tmp_path, counts):
    labels = load_dissector("labels", probe=probe, column="row")
    found = embed(cnn, labels, probe, [], tmp_path)
    assert counts["read"] == INTENSITY_IMAGES
    assert found.activations == {}
    np.testing.assert_array_equal(found.image_embeddings[:, :8], np.eye(8)[probe.table.row])
    shuffled = probe.subset(np.random.default_rng(0).permutation(len(probe)))
    by_id = embed(cnn, labels, shuffled, ["stem"], tmp_path).image_embeddings
    np.testing.assert_array_equal(by_id[:, :8], np.eye(8)[shuffled.table.row])
    assert counts == {"read": len(probe) + 2 * INTENSITY_IMAGES, toys.PREPROCESS: len(probe), OTHER: 0}


@pytest.mark.parametrize(("batch_size", "workers"), [(1, 0), (7, 2), (CHUNK_ROWS, 1), (1000, 0)])
def test_batches_and_workers_change_nothing(cnn, probe, batch_size, workers):
    dissector = toys.RowDissector(OTHER)
    options = PassOptions(batch_size=batch_size, workers=workers, progress=False)
    expected = embed(cnn, dissector, probe, ["deep", "head"])
    assert_same(embed(cnn, dissector, probe, ["deep", "head"], options=options), expected, atol=1e-6)


def test_rows_follow_the_images_in_any_order(cnn, dissector, probe):
    order = np.random.default_rng(1).permutation(len(probe))[:100]
    whole, part = (embed(cnn, dissector, one, ["deep"]) for one in (probe, probe.subset(order)))
    np.testing.assert_allclose(part.activations["deep"], whole.activations["deep"][order], atol=1e-6)
    np.testing.assert_allclose(part.image_embeddings, whole.image_embeddings[order], atol=1e-6)


def test_models_run_in_eval_and_inference_mode(cnn, dissector, probe):
    expected = embed(cnn, dissector, probe, ["deep", "head"])
    modes = []
    cnn.module.train().requires_grad_(True)
    cnn.module.register_forward_pre_hook(lambda module, _: modes.append((module.training, torch.is_inference_mode_enabled())))
    dissector.embed_images = lambda batch: modes.append((False, torch.is_inference_mode_enabled())) or batch.flatten(1)
    found = embed(cnn, dissector, probe, ["deep", "head"])
    assert set(modes) == {(False, True)}
    for layer in ("deep", "head"):
        np.testing.assert_array_equal(found.activations[layer], expected.activations[layer])


@pytest.mark.parametrize("error", [None, "row 100 is broken"])
def test_a_target_in_training_stays_in_training(cnn, dissector, probe, monkeypatch, error):
    cnn.module.train()
    cnn.module.deep[1].eval()  # a norm that was frozen
    before = [part.training for part in cnn.module.modules()]
    read = Probe.__getitem__

    def broken(self, position):
        if error and position == 100:
            raise OSError(error)
        return read(self, position)

    monkeypatch.setattr(Probe, "__getitem__", broken)
    with pytest.raises(OSError, match=error) if error else nullcontext():
        embed(cnn, dissector, probe, ["deep"])
    assert [part.training for part in cnn.module.modules()] == before


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_targets_of_any_precision_are_recorded_in_single(cnn, dissector, probe, dtype):
    expected = embed(cnn, dissector, probe, ["stem", "deep", "head"])
    other = load_target(deepcopy(cnn.module).to(dtype), preprocess=cnn.preprocess, layers=cnn.layers)
    found = embed(other, dissector, probe, ["stem", "deep", "head"])
    for layer, activations in found.activations.items():
        assert activations.dtype == np.float32
        np.testing.assert_allclose(activations, expected.activations[layer], rtol=0.05, atol=0.02)
    np.testing.assert_array_equal(found.image_embeddings, expected.image_embeddings)


def test_a_target_of_mixed_precision_is_told_so(cnn, dissector, probe):
    mixed = load_target(cnn.module, preprocess=cnn.preprocess)
    mixed.module.deep.double()
    mixed = load_target(mixed.module, preprocess=cnn.preprocess)
    with pytest.raises(
        ValueError, match=r"target 'TinyCNN' does not compute in torch.float32, the precision of its first weights"
    ):
        embed(mixed, dissector, probe, ["stem"])


def test_what_overflows_is_noted_as_not_finite(cnn, dissector, probe):
    with torch.no_grad():
        cnn.module.stem.weight[0] = 60000
    half = load_target(cnn.module.half(), preprocess=cnn.preprocess, layers=["stem"])
    found = toys.toy_dissect(half, dissector, probe)
    assert found.notes["stem"][0] == "not finite"
    assert "not finite" not in found.notes["stem"][1:]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:torch.quantize_per_tensor")
def test_a_dynamically_quantised_target_works(mlp, dissector, probe):
    expected = embed(mlp, dissector, probe, ["first", "second"])
    quantised = torch.ao.quantization.quantize_dynamic(deepcopy(mlp.module), {torch.nn.Linear})
    found = embed(load_target(quantised, preprocess=mlp.preprocess), dissector, probe, ["first", "second"])
    for layer, activations in expected.activations.items():
        np.testing.assert_allclose(found.activations[layer], activations, atol=0.02)


def emitter(letters, **options):
    return load_target(Emitter(letters, **options), preprocess=Preprocess(size=(8, 8)), layers=["out"], name="emitter")


@pytest.mark.parametrize("letters", ["NHWC", "TNC", "NCT", "CN"])
@pytest.mark.parametrize("n_images", [16, 17, 50])
def test_axes_are_settled_whatever_the_number_of_images(dissector, letters, n_images):
    target, probe = emitter(letters), toys.toy_probe(n_images)
    found = embed(target, dissector, probe, ["out"]).activations["out"]
    x = torch.stack([target.preprocess(probe[i]) for i in range(n_images)])
    np.testing.assert_allclose(found, target.module.expected(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("options", "pool"), [({"axes": {"out": "TNC"}}, "mean"), ({"prefix_tokens": 1}, "patches")])
def test_what_is_stated_of_tokens_is_part_of_the_key_where_it_counts(dissector, probe, tmp_path, options, pool):
    target = emitter("TNC", prefix=1)
    plain, stated = toys.SMALL, replace(toys.SMALL, **options)
    assert plain.key("out", pool) == {}
    assert stated.key("out", pool) == ({"axes": "TNC"} if "axes" in options else options)
    assert stated.key("other", "mean") == {}
    embed(target, dissector, probe, ["out"], tmp_path, pool, plain)
    seen = toys.Seen(target.module)
    embed(target, dissector, probe, ["out"], tmp_path, pool, stated)
    assert seen.batches
    assert stated.stated() == options
    assert plain.stated() == {}


def test_stated_axes_reach_the_result(dissector, probe):
    target = emitter("TNC", channels=16, fixed=8)
    with pytest.raises(
        UnsettledAxesError, match=r"layer 'out' gives \(16, 3, 16\) for 3 images of 8 x 8: it is ambiguous which"
    ):
        toys.toy_dissect(target, dissector, probe)
    found = toys.toy_dissect(target, dissector, probe, axes={"out": "TNC"})
    assert found.similarity["out"].shape[0] == 16
    assert found.settings["axes"] == {"out": "TNC"}
    with pytest.raises(ValueError, match="axes has 'outt', but the layers are 'out'"):
        toys.toy_dissect(target, dissector, probe, axes={"outt": "TNC"})


class Flattened(Emitter):
    """Its rows are tokens."""

    def forward(self, x):
        return self.out(super().forward(x).flatten(0, 1))


@pytest.mark.parametrize("n_images", [3, 160])
def test_rows_that_are_no_images_are_noticed_on_the_first_batch(dissector, tmp_path, n_images):
    target = load_target(Flattened("NTC"), preprocess=Preprocess(size=(8, 8)), layers=["out"])
    with (
        pytest.warns(UserWarning, match="'out' runs 2 times"),
        pytest.raises(UnsettledAxesError, match=r"layer 'out' gives \("),
    ):
        embed(target, dissector, toys.toy_probe(n_images), ["out"], tmp_path)
    assert dissector.batches == []


def test_a_dissector_that_loses_images_is_noticed(cnn, dissector, probe):
    dissector.embed_images = lambda batch: batch.flatten(1)[:-1]
    with pytest.raises(ValueError, match=r"dissector 'rows' embeds 48 images as \(47, 64\); expected \(n, d\)"):
        embed(cnn, dissector, probe, ["stem"])


def test_axes_are_settled_once_in_a_pass(cnn, dissector, probe):
    shapes = []
    cnn.module.register_forward_pre_hook(lambda _, inputs: shapes.append(tuple(inputs[0].shape)))
    embed(cnn, dissector, probe, ["stem", "deep"])
    assert [shape for shape in shapes if shape[0] < 16] == [(2, 1, 8, 8), (3, 1, 4, 4)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"axes": "NHWC"}, "axes='NHWC' must be a dict from layers to letters"),
        ({"axes": {"out": "NHW"}}, "must be a letter per axis, N and C among them"),
        ({"prefix_tokens": -1}, "prefix_tokens=-1 must be a whole number, 0 or more"),
        ({"prefix_tokens": 1.5}, "prefix_tokens=1.5 must be a whole number, 0 or more"),
    ],
)
def test_what_is_stated_of_axes_is_checked_at_once(options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        PassOptions(**options)


def test_embeddings_of_reduced_precision_are_kept_as_single(cnn, dissector, probe):
    dissector.embed_images = lambda batch: batch.flatten(1).bfloat16()
    assert embed(cnn, dissector, probe, ["stem"]).image_embeddings.dtype == np.float32


def test_an_image_that_cannot_be_read_stops_the_pass_and_keeps_what_was_done(cnn, dissector, probe, tmp_path, monkeypatch):
    read = Probe.__getitem__

    def broken(self, position):
        if position == 100:
            raise OSError("rows-000100 is truncated")
        return read(self, position)

    with monkeypatch.context() as patch:
        patch.setattr(Probe, "__getitem__", broken)
        with pytest.raises(OSError, match="rows-000100 is truncated"):
            embed(cnn, dissector, probe, ["stem"], tmp_path)
    seen = toys.Seen(cnn.module)
    embed(cnn, dissector, probe, ["stem"], tmp_path)
    assert seen.images == list(range(CHUNK_ROWS, len(probe)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": ["stem", "stemm"]}, "layer 'stemm' is not in TinyCNN; closest: 'stem'"),
        ({"layers": ["stem"], "pool": "median"}, "pool='median' is not one of 'mean', 'max', 'cls'"),
    ],
)
def test_mistakes_are_told_before_anything_is_stored(cnn, dissector, probe, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        embed(cnn, dissector, probe, store=tmp_path, **options)
    assert list(tmp_path.iterdir()) == dissector.batches == []


def test_a_target_that_was_trained_further_is_not_taken_for_the_old_one(cnn, dissector, probe, tmp_path):
    embed(cnn, dissector, probe, ["stem"], tmp_path)
    with torch.no_grad():
        cnn.module.stem.bias += 1
    with pytest.raises(ValueError, match="the weights of target 'TinyCNN' changed since it was loaded; make a new target"):
        embed(cnn, dissector, probe, ["stem"], tmp_path)


def test_a_batch_needs_an_image():
    with pytest.raises(ValueError, match="batch_size=0 must be a whole number, 1 or more"):
        PassOptions(batch_size=0)


def test_a_bar_shows_the_rate_while_something_runs(cnn, dissector, probe, tmp_path, capfd):
    for shown in (True, False):
        embed(cnn, dissector, probe, ["stem"], tmp_path, options=PassOptions(workers=0))
        told = capfd.readouterr().err
        assert ("TinyCNN on rows: 100%" in told and "160/160" in told and "image/s" in told) == shown
        assert bool(told) == shown


def test_texts_are_embedded_once_in_their_order(dissector, tmp_path):
    concepts = [toys.CONCEPTS[i] for i in (3, 0, 5)]
    for _ in range(2):
        found = embed_concepts(dissector, concepts, tmp_path)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, np.eye(8)[[3, 0, 5]])
    assert dissector.texts == concepts
    np.testing.assert_array_equal(embed_concepts(dissector, concepts[::-1], Store(tmp_path)), np.eye(8)[[5, 0, 3]])
    np.testing.assert_array_equal(embed_concepts(dissector, concepts), np.eye(8)[[3, 0, 5]])
    assert dissector.texts == concepts + concepts[::-1] + concepts


@pytest.mark.parametrize(("cuda", "mps", "expected"), [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")])
def test_auto_takes_the_fastest_device_there_is(monkeypatch, cuda, mps, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert resolve_device("auto").type == expected
    assert resolve_device("cpu").type == "cpu"


# Images that cannot be shown


def among_others(tmp_path, image):
    """Eleven good images and one other among them, as a probe."""
    images = [np.full((16, 16), i / 11, np.float32) for i in range(11)]
    return Probe.from_arrays([*images[:7], image, *images[7:]], ids=[f"i{i}" for i in range(12)], name="mine")


ODD = {
    "nan": (np.full((16, 16), np.nan, np.float32), "NaN"),
    "one infinite": (np.where(np.eye(16) > 0, np.inf, 1).astype(np.float32), "infinit"),
    "rgba": (np.zeros((16, 16, 4), np.uint8), "shape"),
    "no pixels": (np.zeros((0, 16), np.uint8), "no pixels"),
    "int64": (np.zeros((16, 16), np.int64), "dtype int64"),
    "a row": (np.zeros(16, np.uint8), "shape"),
}


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(("image", "reason"), ODD.values(), ids=ODD)
def test_an_image_that_cannot_be_shown_is_named_in_one_line(cnn, dissector, tmp_path, image, reason, workers):
    options = PassOptions(workers=workers, batch_size=5, progress=False)
    with pytest.raises((ValueError, TypeError), match=rf"^image 'i7' of probe 'mine': .*{reason}") as caught:
        embed_probe(cnn, dissector, among_others(tmp_path, image), ["stem"], options=options)
    assert "Traceback" not in str(caught.value)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_file_that_cannot_be_read_is_named_in_one_line(cnn, dissector, tmp_path, workers):
    from PIL import Image

    for i in range(6):
        Image.fromarray(np.full((16, 16), i, np.uint8)).save(tmp_path / f"{i}.png")
    (tmp_path / "3.png").write_bytes((tmp_path / "3.png").read_bytes()[:60])
    options = PassOptions(workers=workers, batch_size=2, progress=False)
    with pytest.raises(ImageFileError, match=r"^\S+/3\.png: image file is truncated[^\n]*$"):
        embed_probe(cnn, dissector, load_probe("folder", path=tmp_path), ["stem"], options=options)


def test_concepts_that_are_one_to_the_dissector_are_warned_of_each_time(dissector, tmp_path, monkeypatch):
    monkeypatch.setattr(dissector, "alike", lambda texts: [tuple(texts[:2])])
    concepts = ["row 3", "row 0", "row 5"]
    for _ in range(2):  # the second time the embeddings come from the store
        with pytest.warns(UserWarning, match=r"concepts that are one to .*: 'row 3' = 'row 0'$"):
            embed_concepts(dissector, concepts, tmp_path)


def test_activations_alone_are_those_of_the_pass_with_a_dissector(cnn, dissector, probe, tmp_path):
    both = embed(cnn, dissector, probe, cnn.layers).activations
    alone = record_probe(cnn, probe, cnn.layers, store=tmp_path, options=toys.SMALL)
    assert list(alone) == list(both)
    for layer, values in alone.items():
        np.testing.assert_allclose(values, both[layer], rtol=1e-5, atol=1e-7)
    seen = toys.Seen(cnn.module)
    embed(cnn, dissector, probe, cnn.layers, store=tmp_path)  # finds them in the store
    record_probe(cnn, probe, cnn.layers, store=tmp_path, options=toys.SMALL)
    assert not seen.images


# How a pass computes


@pytest.fixture
def normed(cnn):
    """A target whose batch norm does something."""
    with torch.no_grad():
        norm = cnn.module.deep[1]
        norm.running_mean.uniform_(-0.5, 0.5)
        norm.running_var.uniform_(0.5, 2)
        norm.weight.uniform_(0.5, 1.5)
    return load_target(cnn.module, preprocess=cnn.preprocess, layers=cnn.layers)


FOLDED = replace(toys.SMALL, fold=True)


@pytest.mark.parametrize("layers", [["stem", "deep", "head"], ["deep.1"], ["deep.0", "deep.2"]])
def test_folding_gives_the_same_activations_and_leaves_the_target(normed, dissector, probe, tmp_path, layers):
    before = deepcopy(normed.module.state_dict())
    plain = embed(normed, dissector, probe, layers, tmp_path)
    found = embed(normed, dissector, probe, layers, tmp_path, options=FOLDED)
    assert_same(found, plain, atol=1e-5, rtol=1e-5)
    assert all(torch.equal(value, normed.module.state_dict()[name]) for name, value in before.items())
    assert isinstance(normed.module.deep[1], torch.nn.BatchNorm2d)


def test_folding_is_part_of_the_key_where_there_is_a_norm(normed, mlp, dissector, probe, tmp_path):
    for target, again in ((normed, True), (mlp, False)):
        embed(target, dissector, probe, target.layers, tmp_path)
        seen = toys.Seen(target.module)
        embed(target, dissector, probe, target.layers, tmp_path, options=FOLDED)
        assert bool(seen.batches) == again
        del seen.batches[:]
        embed(target, dissector, probe, target.layers, tmp_path, options=FOLDED)
        embed(target, dissector, probe, target.layers, tmp_path, options=replace(toys.SMALL, fold=False))
        assert not seen.batches


@pytest.mark.parametrize(("size", "fold", "folds"), [(8, None, False), (8, True, True), (512, None, True), (512, False, False)])
def test_large_images_are_folded_unless_stated(cnn, size, fold, folds):
    prepare = Preprocess(size=(size, size), channels=1)
    assert PassOptions(fold=fold).folds(cnn.module, prepare) == folds
    assert not PassOptions(fold=fold).folds(torch.nn.Conv2d(1, 1, 1), prepare)
    assert not PassOptions(fold=fold).folds(None, prepare)


def test_a_tower_of_both_is_folded_too(normed, probe, tmp_path):
    shared = toys.SharedTower(normed)  # it cannot be given another tower: it runs as it is
    plain = embed(normed, shared, probe, ["deep", "head"])
    found = embed(normed, shared, probe, ["deep", "head"], options=FOLDED)
    assert_same(found, plain, atol=1e-5, rtol=1e-5)


def test_both_towers_of_a_dissector_share_its_folded_copy(probe):
    dissector = load_dissector("demo/mammo")
    target = load_target("demo/mammo")
    images = load_probe("phantom", n_images=4)
    plain, found = (
        embed_probe(target, dissector, images, target.layers, "mean", None, "cpu", options)
        for options in (replace(toys.SMALL, fold=False), FOLDED)
    )
    assert_same(found, plain, atol=2e-5, rtol=1e-4)
    assert dissector.image_tower is dissector.model.image_tower
    other = dissector.with_image_tower(deepcopy(dissector.image_tower))
    assert other.fingerprint == dissector.fingerprint
    assert other.text_fingerprint == dissector.text_fingerprint
    assert other.model.image_tower is other.image_tower is not dissector.image_tower


@pytest.mark.parametrize("most", [1, 5, 47])
@pytest.mark.parametrize("error", [torch.OutOfMemoryError, MemoryError])
def test_a_batch_without_enough_memory_is_halved(cnn, dissector, probe, most, error):
    expected = embed(cnn, dissector, probe, ["stem", "head"])
    sizes = []

    def short(_module, inputs):
        sizes.append(len(inputs[0]))
        if len(inputs[0]) > max(most, 3):
            raise error("CUDA out of memory. Tried to allocate 9.00 GiB")

    cnn.module.register_forward_pre_hook(short)
    found = embed(cnn, dissector, probe, ["stem", "head"])
    assert_same(found, expected, atol=1e-6)
    assert sum(size > max(most, 3) for size in sizes) <= 5  # those that follow are as small


def test_one_image_without_enough_memory_is_told(cnn, dissector, probe):
    def short(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9.00 GiB\nmore")

    cnn.module.deep.register_forward_pre_hook(short)
    message = r"memory of cpu does not suffice for one image of 8 x 8 pixels in target 'TinyCNN' \(CUDA out .* 9.00 GiB\): free"
    with pytest.raises(MemoryError, match=message):
        embed(cnn, dissector, probe, ["stem"], options=replace(toys.SMALL, axes={"stem": "NCHW"}))


def test_other_errors_of_a_network_are_its_own(cnn, dissector, probe):
    def broken(*_):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    cnn.module.deep.register_forward_pre_hook(broken)
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        embed(cnn, dissector, probe, ["stem"], options=replace(toys.SMALL, axes={"stem": "NCHW"}))


def test_bf16_is_kept_apart_and_is_near(cnn, dissector, probe, tmp_path):
    plain = embed(cnn, dissector, probe, ["stem", "deep", "head"], tmp_path)
    rough = embed(cnn, dissector, probe, ["stem", "deep", "head"], tmp_path, options=replace(toys.SMALL, precision="bf16"))
    again = embed(cnn, dissector, probe, ["stem", "deep", "head"], tmp_path)
    assert_same(again, plain, atol=0)
    assert all(values.dtype == np.float32 for values in rough.activations.values())
    assert not np.array_equal(rough.activations["deep"], plain.activations["deep"])
    assert_same(rough, plain, atol=0.02, rtol=0.05)


@pytest.mark.parametrize(("fast", "expected"), [(True, "bf16"), (False, "float32")])
def test_auto_takes_bf16_where_it_is_fast(monkeypatch, fast, expected):
    monkeypatch.setattr("mdissect.passing.has_fast_bf16", lambda device: fast)
    options = PassOptions(precision="auto")
    assert options.on(torch.device("cpu")).precision == expected
    assert PassOptions().on(torch.device("cpu")).precision == "float32"


def test_bf16_of_another_precision_is_refused(cnn, dissector, probe):
    double = load_target(cnn.module.double(), preprocess=cnn.preprocess, layers=cnn.layers)
    with pytest.raises(ValueError, match=r"precision='bf16' is for networks in float32, but target .* is in torch\.float64"):
        embed(double, dissector, probe, ["stem"], options=PassOptions(precision="bf16", progress=False))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "half"}, "precision='half' is not one of 'float32', 'bf16', 'auto'"),
        ({"precision": None}, "precision=None is not one of"),
        ({"precision": "BF16"}, "precision='BF16' is not one of"),
        ({"fold": "yes"}, "fold='yes' must be True or False"),
        ({"fold": 2}, "fold=2 must be True or False"),
        ({"batch_size": 0}, "batch_size=0 must be a whole number, 1 or more"),
        ({"batch_size": "all"}, "batch_size='all' must be a whole number"),
        ({"workers": 1.5}, "workers=1.5 must be a whole number, 0 or more"),
    ],
)
def test_options_are_checked_at_once(options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        PassOptions(**options)


def test_the_batch_is_chosen_by_the_size_of_images(cnn, dissector, probe):
    found = []
    cnn.module.register_forward_pre_hook(lambda _, inputs: found.append(len(inputs[0])))
    embed(cnn, dissector, probe, ["stem"], options=PassOptions(workers=0, progress=False))
    assert max(found) == 32


class OfOneSize(torch.nn.Module):
    """It takes images of one size alone, behind a convolution that takes any."""

    def __init__(self, side):
        super().__init__()
        self.side, self.stem, self.patches = side, torch.nn.Conv2d(1, 4, 8, stride=8), torch.nn.LayerNorm(4)

    def forward(self, x):
        tokens = self.stem(x).flatten(2).transpose(1, 2)
        if x.shape[-1] != self.side:
            raise ValueError(f"expected {self.side} pixels")
        return self.patches(tokens)


@pytest.mark.parametrize("side", [256, 600])
def test_axes_of_large_images_are_settled_on_a_part_where_the_network_takes_it(dissector, side):
    target = load_target(OfOneSize(side), preprocess=Preprocess(size=(side, side), channels=1), layers=["stem", "patches"])
    probe, sizes = toys.toy_probe(4), []
    target.module.stem.register_forward_pre_hook(lambda _, inputs: sizes.append(inputs[0].shape[-1]))
    found = embed(target, dissector, probe, ["stem", "patches"], options=PassOptions(workers=0, progress=False))
    assert min(sizes) < side
    images = torch.stack([target.preprocess(probe[i]) for i in range(4)])
    with torch.no_grad():
        expected = {"stem": target.module.stem(images).mean(dim=(2, 3)), "patches": target.module(images).mean(dim=1)}
    for layer, values in expected.items():
        np.testing.assert_allclose(found.activations[layer], values, rtol=1e-3, atol=1e-5)


def test_images_alone_are_embedded_as_with_a_target(tmp_path, probe, dissector, planted):
    alone = list(embed_images(dissector, probe, tmp_path, "cpu", toys.SMALL))
    assert [len(chunk) for chunk in alone] == [CHUNK_ROWS, CHUNK_ROWS, len(probe) - 2 * CHUNK_ROWS]
    dissector.batches.clear()
    both = embed_probe(planted, dissector, probe, ["neurons"], store=tmp_path, device="cpu", options=toys.SMALL)
    assert dissector.batches == []
    np.testing.assert_array_equal(np.concatenate(alone), both.image_embeddings)
    in_memory = embed_images(dissector, probe, device="cpu", options=toys.SMALL)
    np.testing.assert_array_equal(np.concatenate(list(in_memory)), both.image_embeddings)


def test_images_known_by_their_ids_are_embedded_without_pixels(probe):
    oracle = load_dissector("labels", probe=probe, column="row")
    rows = np.concatenate(list(embed_images(oracle, probe, device="cpu", options=toys.SMALL)))
    np.testing.assert_array_equal(rows, oracle.encode_ids(probe.ids).numpy())
