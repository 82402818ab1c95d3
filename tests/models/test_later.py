"""Networks that are built when they are first needed: what is known before, and that it stays true."""

import copy
import json
import pickle
from functools import partial

import pytest
import torch
from torch import nn

from mdissect.models import CheckpointError, Target, load_dissector, load_target, weights_fingerprint
from mdissect.models import later as records
from mdissect.models.demo import _read_classifier, _read_demo
from mdissect.models.later import Later, on_record, put_on_record, record_key
from mdissect.models.untrained import untrained
from mdissect.preprocess import Preprocess
from mdissect.study.contents import content_digest

CONTRACT = Preprocess(size=(8, 8))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache folder, and no model loaded before."""
    monkeypatch.setenv("MDISSECT_CACHE", str(tmp_path / "cache"))
    for read in (_read_demo, _read_classifier):
        read.cache_clear()
    yield tmp_path / "cache" / records.FOLDER
    for read in (_read_demo, _read_classifier):
        read.cache_clear()


def network():
    return nn.Sequential(nn.Linear(2, 2), nn.ReLU())


def target_of(module):
    return Target("toy", module, CONTRACT, ("0",), "4f")


def refused():
    pytest.fail("built")


def again():
    """As another process finds the models."""
    for read in (_read_demo, _read_classifier):
        read.cache_clear()


def test_a_network_is_built_once_and_on_its_device():
    one = Later(network)
    assert not one.built
    assert one.to("meta")() is one()
    assert one.built
    assert next(one().parameters()).is_meta


def test_a_network_that_a_pass_builds_still_has_gradients():
    """The first to need it may be a pass in inference mode, the next one a receptive field."""
    network = Later(lambda: nn.Linear(2, 1))
    with torch.inference_mode():
        network()(torch.ones(1, 2))
    x = torch.ones(1, 2, requires_grad=True)
    network()(x).sum().backward()
    assert torch.equal(x.grad, network().weight)


def test_a_part_is_built_with_its_network():
    whole = Later(network)
    part = whole.part("0")
    assert not part.built
    assert part() is whole()[0]
    assert whole.built


def test_a_target_is_changed_moved_and_copied_without_building():
    target = target_of(Later(refused))
    other = target.to("cpu").changed(name="other", layers=("1",))
    assert (other.name, other.layers, other.fingerprint, other.built) == ("other", ("1",), "4f", False)
    assert copy.copy(target).present_fingerprint() == "4f"
    assert content_digest(target) != content_digest(other)


def test_changed_targets_share_one_network():
    target = target_of(Later(network))
    assert target.changed(name="other").module is target.module
    assert isinstance(target.module, nn.Sequential)


def test_a_target_travels_to_another_process_unbuilt():
    other = pickle.loads(pickle.dumps(target_of(Later(partial(nn.Linear, 2, 1)))))
    assert not other.built
    assert other.module.in_features == 2


def test_a_built_network_is_looked_at_again():
    target = target_of(network())
    assert target.built
    assert target.present_fingerprint() == weights_fingerprint(target.module)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"fingerprint": 3}', "[" * 100_000])
def test_a_damaged_record_is_none(cache, content):
    cache.mkdir(parents=True)
    (cache / "key.json").write_text(content)
    assert on_record("key", {"fingerprint": str}) is None


def test_a_record_that_turns_out_wrong_is_removed():
    put_on_record("key", {"fingerprint": "a"})
    put_on_record("key", {"fingerprint": "a"})
    with pytest.raises(CheckpointError, match=r"told another network .* it was removed: run this again"):
        put_on_record("key", {"fingerprint": "b"})
    assert on_record("key", {"fingerprint": str}) is None


def test_where_nothing_can_be_written_nothing_is_on_record(cache):
    cache.parent.mkdir(parents=True)
    cache.write_text("a file in the place of the folder")
    put_on_record("key", {"fingerprint": "a"})
    assert on_record("key", {"fingerprint": str}) is None


def test_records_go_by_files_code_and_libraries(monkeypatch):
    keys = [record_key("a"), record_key("b")]
    monkeypatch.setattr(records, "version", lambda name: "0")
    records._builders.cache_clear()
    keys.append(record_key("a"))
    records._builders.cache_clear()
    assert len(set(keys)) == 3


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mammo", "C4"])
def test_a_demo_target_is_known_before_it_is_built(name):
    first = load_target(f"demo/{name}")
    assert first.built
    again()
    second = load_target(f"demo/{name}")
    assert not second.built
    assert (second.fingerprint, second.layers, second.classes) == (first.fingerprint, first.layers, first.classes)
    assert weights_fingerprint(second.module) == second.fingerprint
    assert content_digest(second) == content_digest(first)


@pytest.mark.slow
def test_a_demo_dissector_is_known_before_it_is_built():
    first = load_dissector("demo/mammo")
    again()
    second, target = load_dissector("demo/mammo"), load_target("demo/mammo")
    for one in ("fingerprint", "image_fingerprint", "text_fingerprint"):
        assert getattr(second, one) == getattr(first, one)
    assert second.alike(["mass", "mass "]) == first.alike(["mass", "mass "])
    assert not second.network.built
    assert torch.equal(second.embed_texts(["mass"]), first.embed_texts(["mass"]))
    assert target.module is second.image_tower


@pytest.mark.slow
def test_an_untrained_demo_target_is_known_before_it_is_built():
    first = untrained(load_target("demo/mammo"), 3)
    again()
    second = untrained(load_target("demo/mammo"), 3)
    assert not second.built
    assert (second.name, second.fingerprint, second.notes) == (first.name, first.fingerprint, first.notes)
    assert weights_fingerprint(second.module) == second.fingerprint
    assert untrained(load_target("demo/mammo"), 4).fingerprint != second.fingerprint


@pytest.mark.slow
def test_a_false_record_of_a_demo_model_is_an_error_once(cache):
    first = load_target("demo/C4").fingerprint
    again()
    (path,) = cache.glob("*.json")
    path.write_text(json.dumps({"fingerprint": "0" * 64}))
    with pytest.raises(CheckpointError, match="run this again"):
        load_target("demo/C4").module  # noqa: B018  # builds it
    again()
    assert load_target("demo/C4").fingerprint == first
