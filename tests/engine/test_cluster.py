"""Tests of a pass on a Ray cluster: the same numbers, whatever dies on the way, and the errors of a local pass."""

import signal
import subprocess
import sys
import time
import types
from dataclasses import replace

import numpy as np
import pytest
import torch
import toy_passes
import toys
from PIL import Image

from mdissect.embed import PassOptions, embed_probe
from mdissect.engine import cluster
from mdissect.engine.pool import Node
from mdissect.models import load_target
from mdissect.preprocess import Preprocess
from mdissect.probes import ImageFileError, Probe, load_probe

OTHER = Preprocess(size=(toys.SIDE, toys.SIDE), scale="image", channels=1)
LOCAL = replace(toys.SMALL, batch_size=16)


def on_ray(**changes):
    return replace(LOCAL, engine="ray", **{"workers": 2, **changes})


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def folder_of(path, images):
    path.mkdir()
    for i, image in enumerate(images):
        Image.fromarray(image).save(path / f"{i:03d}.png")
    return path


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_worker_that_is_killed_changes_nothing(ray, tmp_path, one_thread):
    images = toys.toy_images(120)
    images[7] = images[5]  # twice the same image
    probe = load_probe("folder", path=folder_of(tmp_path / "images", images)) + load_probe(
        "phantom", n_images=20, cache=tmp_path / "cache"
    )
    probe += Probe.from_arrays(toys.toy_images(20), name="rows")
    mark = tmp_path / "killed"
    target, dissector = toy_passes.target_of(toy_passes.Mortal(mark)), toys.RowDissector(OTHER)
    layers, store = ["inner.stem", "inner.deep", "inner.head"], tmp_path / "store"
    with pytest.warns(UserWarning, match="image 3 is odd"):
        found = embed_probe(target, dissector, probe, layers, store=store, device="cpu", options=on_ray(fold=True))
    assert int(mark.read_text()), "no worker was killed"
    with pytest.warns(UserWarning, match="image 3 is odd"):
        expected = embed_probe(target, dissector, probe, layers, device="cpu", options=replace(LOCAL, fold=True))
    for layer in layers:
        np.testing.assert_array_equal(found.activations[layer], expected.activations[layer])
    np.testing.assert_array_equal(found.image_embeddings, expected.image_embeddings)
    np.testing.assert_array_equal(found.activations["inner.deep"][7], found.activations["inner.deep"][5])
    seen = toys.Seen(target.module)
    embed_probe(target, dissector, probe, layers, store=store, device="cpu", options=replace(LOCAL, fold=True))
    assert seen.batches == [], "the store of one engine does not serve the other"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_labels_are_those_of_the_local_engine(ray, tmp_path, one_thread):
    target, probe = toys.toy_target(), toys.toy_probe()
    found = toys.toy_dissect(target, probe=probe, store=tmp_path, options=replace(LOCAL, workers=1), engine="ray")
    expected = toys.toy_dissect(target, probe=probe, options=LOCAL)
    np.testing.assert_array_equal(found.similarity["neurons"], expected.similarity["neurons"])
    assert found.labels().equals(expected.labels())
    assert found.settings == expected.settings


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_errors_are_those_of_the_local_engine(ray, tmp_path):
    folder = folder_of(tmp_path / "images", toys.toy_images(80))
    probe = load_probe("folder", path=folder)
    (folder / "070.png").write_bytes((folder / "070.png").read_bytes()[:60])
    whole = toys.toy_probe(80)
    for target, shown, kind in (
        (toys.toy_target(toys.TinyCNN, layers=("stem",)), probe, ImageFileError),
        (toy_passes.target_of(toy_passes.Failing()), whole, ValueError),
    ):
        messages = []
        for options in (LOCAL, on_ray(workers=1)):
            with pytest.raises(kind) as error:
                embed_probe(
                    target, toys.RowDissector(), shown, target.layers[:1], store=tmp_path, device="cpu", options=options
                )
            messages.append(str(error.value))
        assert messages[0] == messages[1]
        assert "70" in messages[0]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_network_that_the_workers_do_not_know_is_told(ray, tmp_path, monkeypatch, probe):
    (tmp_path / "only_here.py").write_text("from toys import TinyCNN\n\nclass Unknown(TinyCNN):\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    import only_here

    target = load_target(toys.seeded(only_here.Unknown), preprocess=toys.PREPROCESS, layers=["stem"])
    with pytest.raises(RuntimeError, match=r"of the Ray cluster cannot unpack the models or the probe \(.*only_here"):
        embed_probe(target, toys.RowDissector(), probe, ["stem"], device="cpu", options=on_ray(workers=1))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_driver_that_is_killed_resumes(ray, driver_environment, tmp_path, one_thread):
    with subprocess.Popen([sys.executable, toy_passes.__file__, str(tmp_path)], env=driver_environment) as process:
        while len(list(tmp_path.glob("activations-*/done/*"))) < 4:
            assert process.poll() is None, "the pass came to an end before it was killed"
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    target, probe = toy_passes.target_of(toy_passes.Slow()), toys.toy_probe(640)
    done = {path.parent.parent.name: path.read_bytes() for path in tmp_path.glob("activations-*/done/0")}
    before = len(list(tmp_path.glob("activations-*/done/*")))
    assert 4 <= before < 20
    found = embed_probe(
        target, toys.RowDissector(), probe, target.layers, store=tmp_path, device="cpu", options=on_ray(batch_size=48)
    )
    assert done == {path.parent.parent.name: path.read_bytes() for path in tmp_path.glob("activations-*/done/0")}
    inner = load_target(toys.seeded(toys.TinyCNN), preprocess=toys.PREPROCESS)
    expected = embed_probe(inner, toys.RowDissector(), probe, ["stem", "deep"], device="cpu", options=toys.SMALL)
    for layer in ("stem", "deep"):
        np.testing.assert_array_equal(found.activations[f"inner.{layer}"], expected.activations[layer])
    np.testing.assert_array_equal(found.image_embeddings, expected.image_embeddings)


def test_an_unknown_engine_is_refused(cnn, dissector, probe):
    with pytest.raises(ValueError, match="engine='dask' is not one of 'local', 'ray'"):
        PassOptions(engine="dask")
    with pytest.raises(ValueError, match="engine='dask' is not one of 'local', 'ray'"):
        toys.toy_dissect(cnn, dissector, probe, engine="dask")


def test_without_ray_the_error_says_how_to_get_it(monkeypatch, cnn, dissector, probe):
    monkeypatch.setattr("mdissect.passing.find_spec", lambda name: None if name == "ray" else object())
    with pytest.raises(ImportError, match=r"engine='ray' needs ray, not installed here: pip install 'ray\[data\]'"):
        toys.toy_dissect(cnn, dissector, probe, engine="ray")
    assert dissector.texts == []
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError, match=r"engine='ray' needs Ray Data \(.*\): pip install 'ray\[data\]'"):
        cluster.Cluster.joined(None, "auto")


def made_up_ray(found: bool, nodes=()):
    """A stand-in for Ray that knows, or does not know, of a running cluster."""
    asked = []

    def init(address, **options):
        asked.append((address, options.get("num_cpus")))
        if address == "auto" and not found:
            raise ConnectionError("no cluster")

    return types.SimpleNamespace(init=init, asked=asked, nodes=lambda: nodes, is_initialized=lambda: False)


def test_a_cluster_that_runs_is_joined(monkeypatch):
    given = {"CPU": 16.0, "memory": 2.0**36}
    ray = made_up_ray(True, [{"Alive": True, "Resources": given}, {"Alive": False, "Resources": given}])
    monkeypatch.setattr(cluster, "_ray", lambda: ray)
    joined = cluster.Cluster.joined(None, torch.device("cpu"))
    assert ray.asked == [("auto", None)]
    assert cluster._nodes(ray) == [Node(16, 0, 2**36)]
    assert (joined.pool.size, joined.device, str(joined)) == (16, "cpu", "16 Ray workers with 1 thread")


def test_without_a_cluster_one_is_started_and_told(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    ray = made_up_ray(False)
    with pytest.warns(UserWarning, match="no Ray cluster runs on this machine, and RAY_ADDRESS names none: one was started"):
        cluster._join(ray)
    assert [address for address, _ in ray.asked] == ["auto", "local"]
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    with pytest.raises(ConnectionError, match=r"the Ray cluster at RAY_ADDRESS=10\.0\.0\.1:6379 does not answer"):
        cluster._join(ray)
