"""Training on a layer of a target: what is encoded, what is refused, folders."""

import numpy as np
import pytest
import torch
from toys import SMALL, TinyCNN, TinyMLP, TinyViT, toy_images, toy_probe, toy_target

from mdissect.embed import PassOptions
from mdissect.files import DamagedFileError
from mdissect.probes import Probe
from mdissect.sae import SAEOptions, load_sae, save_sae, train
from mdissect.sae.fit import Fit
from mdissect.sae.inputs import Wanted, vectors_of
from mdissect.sae.saving import MANIFEST, STATE

QUICK = SAEOptions(k=2, steps=40, batch_size=128, places=3, progress=False, passing=SMALL)


@pytest.fixture(scope="module")
def cnn():
    return toy_target(TinyCNN, layers=("deep",))


def wanted(target, layer, inputs="places", places=3, seed=0) -> Wanted:
    return Wanted(target, layer, inputs, places, seed, SMALL)


@pytest.mark.parametrize(
    ("network", "layer", "inputs", "width", "n_places"),
    [
        (TinyCNN, "deep", "places", 6, 3),
        (TinyCNN, "deep", "mean", 6, 1),
        (TinyCNN, "deep", "max", 6, 1),
        (TinyViT, "blocks.1", "places", 6, 3),
        (TinyViT, "blocks.1", "cls", 6, 1),
        (TinyMLP, "first", "places", 7, 1),
    ],
)
def test_vectors_of_maps_tokens_and_plain_layers(network, layer, inputs, width, n_places):
    found = vectors_of(wanted(toy_target(network, (layer,)), layer, inputs), toy_probe(20), None, "cpu")
    assert found.values.shape == (20, n_places, width)


def test_places_are_those_of_the_map_and_the_same_in_any_probe(cnn):
    probe = toy_probe(20)
    every = vectors_of(wanted(cnn, "deep", places=9), probe, None, "cpu").values  # a map of 3 x 3 places
    with torch.inference_mode():
        x = torch.stack([cnn.preprocess(probe[i]) for i in range(20)])
        maps = cnn.module.deep(cnn.module.act(cnn.module.stem(x)))
    assert np.allclose(every, maps.flatten(2).transpose(1, 2).numpy(), atol=1e-6)
    drawn = vectors_of(wanted(cnn, "deep"), probe, None, "cpu").values
    assert all((np.abs(every[i] - row).max(axis=1) < 1e-6).any() for i in range(20) for row in drawn[i])
    few = vectors_of(wanted(cnn, "deep"), probe.subset(np.arange(5, 12)), None, "cpu").values
    assert np.allclose(few, drawn[5:12], atol=1e-6)
    assert not np.allclose(vectors_of(wanted(cnn, "deep", seed=1), probe, None, "cpu").values, drawn)


def test_a_second_pass_is_read_from_the_store(cnn, tmp_path):
    first = vectors_of(wanted(cnn, "deep"), toy_probe(20), tmp_path, "cpu").values
    runs = []
    handle = cnn.module.register_forward_hook(lambda _m, inputs, _o: runs.append(len(inputs[0])))
    again = vectors_of(wanted(cnn, "deep"), toy_probe(20), tmp_path, "cpu").values
    handle.remove()
    assert np.array_equal(first, again)
    assert max(runs) <= 3  # the axes alone


def test_what_it_gives(cnn):
    sae = train(cnn, "deep", toy_probe(40), options=QUICK)
    assert (sae.width, sae.n_latents, sae.k) == (6, 6, 2)
    assert not sae.training
    assert not any(parameter.requires_grad for parameter in sae.parameters())
    assert sae.settings["layer"] == "deep"
    assert sae.settings["target_weights"] == cnn.fingerprint
    assert sae.settings["probe_key"] == toy_probe(40).key()
    assert {"step", "loss", "explained", "l0", "dead", "held_out", "held_out_l0"} == set(sae.history[-1])
    assert train(cnn, "deep", toy_probe(40), 10, options=QUICK, kind="relu", l1=0.1).kind == "relu"


def test_whole_patients_are_held_out(cnn):
    seen, begin = [], Fit.__init__

    def spy(self, sae, x, held_out, *rest) -> None:
        seen.append((len(x), len(held_out)))
        begin(self, sae, x, held_out, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Fit, "__init__", spy)
        train(cnn, "deep", toy_probe(40), options=QUICK, held_out=0.3)  # ten patients of 4 images
        train(cnn, "deep", toy_probe(40), options=QUICK, held_out=0)
        one = Probe.from_arrays(toy_images(8), table={"patient": ["a"] * 8})
        train(cnn, "deep", one, options=QUICK, held_out=0.5)
    assert seen == [(7 * 4 * 3, 3 * 4 * 3), (120, 0), (24, 0)]


def test_a_finished_one_is_read_and_another_refused(cnn, tmp_path):
    first = train(cnn, "deep", toy_probe(40), folder=tmp_path / "sae", options=QUICK)
    assert sorted(path.name.partition("-")[0] for path in (tmp_path / "sae").iterdir() if path.name[0] != ".") == [
        MANIFEST,
        "weights",
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Fit, "_step", None)
        again = train(cnn, "deep", toy_probe(40), folder=tmp_path / "sae", options=QUICK)
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in first.state_dict().items())
    assert again.history == first.history
    assert again.settings == first.settings
    with pytest.raises(ValueError, match="of another training \\(steps: 40 there, 41 here\\)"):
        train(cnn, "deep", toy_probe(40), folder=tmp_path / "sae", options=QUICK, steps=41)


def test_a_killed_training_goes_on_in_its_folder(cnn, tmp_path):
    options = {"steps": 60, "save_every": 20}
    straight = train(cnn, "deep", toy_probe(40), options=QUICK, **options)
    step = Fit._step

    def until(self) -> None:
        if self.progress.step == 50:
            raise KeyboardInterrupt
        step(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Fit, "_step", until)
        with pytest.raises(KeyboardInterrupt):
            train(cnn, "deep", toy_probe(40), folder=tmp_path, options=QUICK, **options)
    with pytest.raises(FileNotFoundError, match="an unfinished training: the same call of"):
        load_sae(tmp_path)
    resumed = train(cnn, "deep", toy_probe(40), folder=tmp_path, options=QUICK, **options)
    assert all(torch.equal(value, resumed.state_dict()[name]) for name, value in straight.state_dict().items())
    assert not (tmp_path / STATE).exists()
    assert not list(tmp_path.glob("training-*"))


def test_how_it_runs_changes_nothing(cnn):
    first, again = (
        train(
            cnn,
            "deep",
            toy_probe(40),
            options=QUICK,
            save_every=n,
            passing=PassOptions(batch_size=n, workers=0, progress=False),
        )
        for n in (7, 40)
    )
    assert torch.allclose(first.decoder, again.decoder, atol=1e-5)
    assert first.settings == again.settings


def test_nan_is_refused():
    with pytest.raises(ValueError, match="layer 'neurons' of 'Planted' gives NaN or infinity on 16 of 16 images"):
        train(toy_target(), "neurons", toy_probe(16), options=QUICK)


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ({"layer": "dep"}, "layer 'dep' is not in TinyCNN; closest: 'deep'"),
        ({"n_latents": 0}, "n_latents=0 must be a whole number, 1 or more"),
        ({"n_latents": 1}, "k=2 exceeds the 1 latents; lower k"),
        ({"kk": 3}, "train has no option kk; it has"),
        ({"kind": "gated"}, "kind='gated' is not one of 'topk', 'relu'"),
        ({"inputs": "sum"}, "inputs='sum' is not one of 'places', 'mean', 'max', 'cls'"),
        ({"steps": 2.5}, "steps=2.5 must be a whole number, 1 or more"),
        ({"held_out": 1.0}, "held_out=1.0 must be a number at least 0 and at most 0.9"),
        ({"revive": "no"}, "revive='no' must be True or False"),
        ({"passing": {"batch_size": 2}}, "passing={'batch_size': 2} must be a PassOptions"),
        ({"target": "demo/mammo"}, "target='demo/mammo' must be a Target"),
        ({"options": {"k": 3}}, "options={'k': 3} must be a SAEOptions"),
    ],
)
def test_what_is_wrong_is_named(cnn, others, message):
    given = {"target": cnn, "layer": "deep", "probe": toy_probe(12), "options": QUICK}
    with pytest.raises((TypeError, ValueError)) as caught:
        train(**{**given, **others})
    assert message in str(caught.value)


def test_equal_images_are_refused(cnn):
    with pytest.raises(ValueError, match="are the same vector, up to rounding"):
        train(cnn, "deep", Probe.from_arrays(np.zeros((6, 8, 8), dtype=np.uint16)), options=QUICK, inputs="mean")


def test_a_target_trained_since_is_refused():
    target = toy_target(TinyCNN, ("deep",))
    with torch.no_grad():
        target.module.stem.bias.add_(1)
    with pytest.raises(ValueError, match="the weights of target 'TinyCNN' changed since it was loaded"):
        train(target, "deep", toy_probe(12), options=QUICK)


def test_damage_is_noticed(cnn, tmp_path):
    sae = train(cnn, "deep", toy_probe(16), options=QUICK)
    save_sae(sae, tmp_path)
    assert torch.equal(load_sae(str(tmp_path)).decoder, sae.decoder)
    weights = next(tmp_path.glob("weights-*"))
    data = bytearray(weights.read_bytes())
    data[-3] ^= 1
    weights.write_bytes(data)
    with pytest.raises(DamagedFileError, match="does not meet its checksum"):
        load_sae(tmp_path)
    weights.unlink()
    with pytest.raises(DamagedFileError, match="is missing"):
        load_sae(tmp_path)
    with pytest.raises(FileNotFoundError, match="holds no sparse autoencoder"):
        load_sae(tmp_path / "nowhere")
