"""Weights files: good ones of every kind, and each kind of bad one with its own message."""

import argparse
import io
import json
import os
import pickle
import re
import sys
import types
import zipfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from mdissect.models import CheckpointError, load_weights, read_checkpoint, read_state_dict, weights_fingerprint


class Calls:
    """Pickles to a call of os.system."""

    def __reduce__(self):
        return os.system, ("touch hacked",)


@pytest.fixture
def linear() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(3, 2)


def saved(path, content, **options):
    torch.save(content, path, **options)
    return path


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {"model": state, "args": argparse.Namespace(lr=0.1), "best": np.float64(0.9)},
        lambda state: {"model_state_dict": {f"module.{name}": value for name, value in state.items()}},
        lambda state: {"model": {"state_dict": {f"module._orig_mod.{name}": value for name, value in state.items()}}},
    ],
    ids=["bare", "state_dict", "beside plain objects", "parallel", "nested"],
)
@pytest.mark.parametrize("legacy", [False, True])
def test_torch_files_load_out_of_their_wrapping(tmp_path, linear, wrap, legacy):
    path = saved(tmp_path / "weights.tar", wrap(linear.state_dict()), _use_new_zipfile_serialization=not legacy)
    state, _ = read_state_dict(path)
    fresh = nn.Linear(3, 2)
    assert load_weights(fresh, state) == []
    torch.testing.assert_close(fresh.state_dict(), linear.state_dict())


def test_safetensors_is_recognised_by_content(tmp_path, linear):
    save_file({name: value.half() for name, value in linear.state_dict().items()}, tmp_path / "weights.pth")
    state, notes = read_state_dict(tmp_path / "weights.pth")
    fresh = nn.Linear(3, 2)
    load_weights(fresh, state)
    assert notes == []
    assert fresh.weight.dtype == torch.float32
    torch.testing.assert_close(fresh.weight, linear.weight, atol=1e-3, rtol=1e-3)


def test_entries_beside_the_weights_are_noted(tmp_path, linear):
    optimizer = {"state": {0: {"exp_avg": torch.ones(2, 3)}}, "param_groups": [{"lr": 0.1}]}
    path = saved(tmp_path / "a.pth", {"state_dict": linear.state_dict(), "optimizer": optimizer, "epoch": 3})
    state, notes = read_state_dict(path)
    assert torch.equal(state["bias"], linear.bias)
    assert notes == ["entries beside the weights, not used: epoch, optimizer"]


@pytest.mark.parametrize("content", [{"epoch": 3}, {}, torch.zeros(2), [1, 2]])
def test_a_file_without_named_tensors(tmp_path, content):
    with pytest.raises(CheckpointError, match="holds no named tensors but a"):
        read_state_dict(saved(tmp_path / "a.pth", content))


@pytest.mark.parametrize("legacy", [False, True])
def test_a_pickle_with_code_is_refused_and_not_run(tmp_path, monkeypatch, legacy):
    monkeypatch.chdir(tmp_path)
    content = {"model": {"w": torch.ones(1)}, "extra": Calls()}
    path = saved(tmp_path / "evil.pth", content, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(CheckpointError, match=rf"the pickle in it asks for {os.system.__module__}\.system, and opening it"):
        read_checkpoint(path)
    (tmp_path / "evil.pkl").write_bytes(pickle.dumps(Calls()))
    with pytest.raises(CheckpointError, match=r"a pickle that torch\.save did not write"):
        read_checkpoint(tmp_path / "evil.pkl")
    assert not (tmp_path / "hacked").exists()


def test_a_whole_pickled_module_is_refused_by_name(tmp_path, linear):
    with pytest.raises(CheckpointError, match=r"asks for torch\.nn\.modules\.linear\.Linear"):
        read_checkpoint(saved(tmp_path / "whole.pt", linear))


def test_inert_objects_keep_nothing(tmp_path):
    path = saved(tmp_path / "a.pth", {"w": torch.ones(1), "args": argparse.Namespace(secret=1)})
    assert vars(read_checkpoint(path)["args"]) == {}


@pytest.mark.parametrize("legacy", [False, True])
def test_configs_of_omegaconf_are_inert(tmp_path, monkeypatch, legacy):
    """As omegaconf pickles them: objects with a state, the types they mention, a cache in a defaultdict."""
    for module, name in (("omegaconf", ""), ("omegaconf.dictconfig", "DictConfig"), ("omegaconf.base", "ContainerMetadata")):
        fake = types.ModuleType(module)
        if name:
            setattr(fake, name, type(name, (), {"__module__": module}))
        monkeypatch.setitem(sys.modules, module, fake)
    metadata = sys.modules["omegaconf.base"].ContainerMetadata()
    cache = defaultdict(dict, resolver={"a": 1})
    vars(metadata).update(ref_type=Any, object_type=dict, key_type=str, resolver_cache=cache)
    config = sys.modules["omegaconf.dictconfig"].DictConfig()
    vars(config).update(_metadata=metadata, _content={"name": "clip", "folder": Path("/tmp")})
    content = {"model": {"w": torch.ones(2)}, "config": config}
    path = saved(tmp_path / "hydra.tar", content, _use_new_zipfile_serialization=not legacy)
    state, notes = read_state_dict(path)
    assert torch.equal(state["w"], torch.ones(2))
    assert notes == ["entries beside the weights, not used: config"]
    assert vars(read_checkpoint(path)["config"]) == {}


def torch_bytes(**options) -> bytes:
    file = io.BytesIO()
    torch.save({"weight": torch.arange(2000.0)}, file, **options)
    return file.getvalue()


def safetensors_bytes() -> bytes:
    from safetensors.torch import save

    return save({"weight": torch.arange(2000.0)})


def damaged(content: bytes) -> bytes:
    at = content.index(np.arange(1000, 1010, dtype=np.float32).tobytes())
    return content[:at] + b"\xff" + content[at + 1 :]


def npz_bytes() -> bytes:
    file = io.BytesIO()
    np.savez(file, a=np.zeros(2))
    return file.getvalue()


BAD_FILES = {
    "empty": (b"", "is empty"),
    "git-lfs pointer": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 345678\n",
        "git-lfs pointer, not the weights (the weights have 345,678 bytes)",
    ),
    "web page": (b"\n<!DOCTYPE html><html><body>Sign in</body></html>", "is a web page"),
    "zip cut off": (torch_bytes()[:4000], "is cut off after 4,000 bytes"),
    "zip damaged": (damaged(torch_bytes()), "wrong checksum"),
    "legacy cut off": (torch_bytes(_use_new_zipfile_serialization=False)[:4000], "is cut off or damaged"),
    "legacy cut off early": (torch_bytes(_use_new_zipfile_serialization=False)[:40], "is cut off or damaged"),
    "safetensors cut off": (
        safetensors_bytes()[:-8],
        "is cut off or damaged (Error while deserializing header: incomplete metadata, file not fully",
    ),
    "safetensors header cut off": (safetensors_bytes()[:20], "is cut off or damaged (Error while deserializing header: "),
    "zip of others": (npz_bytes(), "a zip archive that torch.save did not write; it holds a.npy"),
    "gzip": (b"\x1f\x8b" + bytes(100), "archive: unpack it"),
    "tar": (bytes(257) + b"ustar" + bytes(250), "archive: unpack it"),
    "array of NumPy": (b"\x93NUMPY\x01\x00" + bytes(100), "one array of NumPy: put arrays into a dict by name"),
    "index of parts": (b'{"metadata": {}, "weight_map": {}}', "is a JSON file (the index of a model in several parts?"),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(100), "HDF5"),
    "text": (b"layer,unit,description\n", "unknown kind, it starts with b'layer,un'"),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_bad_files_say_what_they_are(tmp_path, kind):
    content, message = BAD_FILES[kind]
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=re.escape(message)) as caught:
        read_checkpoint(path)
    assert str(path) in str(caught.value)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(CheckpointError, match="does not exist"):
        read_checkpoint(tmp_path / "none.pth")
    with pytest.raises(CheckpointError, match="is a folder"):
        read_checkpoint(tmp_path)


def test_faults_are_told_apart_with_counts_and_examples():
    module = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2), nn.Linear(2, 2))
    state = module.state_dict()
    del state["2.bias"], state["1.num_batches_tracked"]
    state["0.weight"] = torch.zeros(5, 3)
    state |= {f"other.{i}": torch.zeros(1) for i in range(7)}
    with pytest.raises(CheckpointError) as caught:
        load_weights(module, state)
    message = str(caught.value)
    assert "1 weights missing in the file: 2.bias;" in message
    assert "7 weights unexpected in the file: other.0, other.1, other.2, other.3, other.4, ... (2 more)" in message
    assert "1 weights of another shape: 0.weight (file (5, 3), model (2, 3))" in message

    before = module[0].weight.clone()
    state["0.bias"] = torch.full((2,), 7.0)
    notes = load_weights(module, state, strict=False)
    assert len(notes) == 3
    assert notes[0] == "not loaded: 1 weights missing in the file: 2.bias"
    assert torch.equal(module[0].weight, before)
    assert torch.equal(module[0].bias, torch.full((2,), 7.0))


def test_faults_are_told_in_the_names_of_the_file(linear):
    schemes = [{"weight": "weight", "bias": "bias"}, {"weight": "fc.W", "bias": "fc.b"}]
    with pytest.raises(
        CheckpointError, match=r"^a\.pth: .*missing in the file: fc\.b; 1 weights of another shape: fc\.W \(file"
    ):
        load_weights(linear, {"fc.W": torch.zeros(1, 3)}, schemes=schemes, source="a.pth")
    assert load_weights(linear, {"module.fc.W": torch.zeros(2, 3)}, schemes=schemes, strict=False) == [
        "not loaded: 1 weights missing in the file: fc.b"
    ]


def test_another_architecture_is_an_error_even_when_not_strict(linear):
    with pytest.raises(CheckpointError, match=r"do not fit Linear \(0 of 2 do\).*another architecture"):
        load_weights(linear, {"layer.weight": torch.zeros(2)}, strict=False)


def test_a_head_that_the_model_lacks_is_dropped_with_a_note(linear):
    state = linear.state_dict() | {"fc.weight": torch.zeros(5, 2), "fc.bias": torch.zeros(5)}
    assert load_weights(linear, state, unused=r"fc\..*") == ["2 weights of the checkpoint not used, of fc"]


def test_a_prefix_that_is_the_models_own_stays():
    wrapper = nn.ModuleDict({"model": nn.Linear(2, 2)})
    assert load_weights(wrapper, wrapper.state_dict()) == []
    assert load_weights(wrapper, {f"module.{name}": value for name, value in wrapper.state_dict().items()}) == []


def test_fingerprint_sees_weights_and_structure_but_not_layout():
    conv = nn.Conv2d(3, 4, 3, bias=False)
    first = weights_fingerprint(conv)
    assert weights_fingerprint(conv.to(memory_format=torch.channels_last)) == first
    padded = nn.Conv2d(3, 4, 3, bias=False, padding=1)
    padded.load_state_dict(conv.state_dict())
    assert weights_fingerprint(padded) != first
    with torch.no_grad():
        conv.weight[0, 0, 0, 0] += 1e-3
    assert weights_fingerprint(conv) != first


def rewritten(header: dict, size: int = 24) -> bytes:
    """A safetensors file with this header and data of this size."""
    text = json.dumps(header).encode() if isinstance(header, dict) else header
    return len(text).to_bytes(8, "little") + text + bytes(size)


ENTRY = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "content",
    [
        rewritten({"w": ENTRY | {"dtype": "F99"}}),
        rewritten({"w": ENTRY | {"shape": [2, 4]}}),
        rewritten({"w": ENTRY | {"shape": [-2, 3]}}),
        rewritten({"w": ENTRY | {"shape": [2**40, 2**40]}}),
        rewritten({"w": ENTRY | {"shape": "2, 3"}}),
        rewritten({"w": ENTRY | {"data_offsets": [0, 240]}}),
        rewritten({"w": ENTRY | {"data_offsets": [24, 0]}}),
        rewritten({"w": ENTRY, "v": ENTRY}),
        rewritten({"w": {"dtype": "F32"}}),
        rewritten({"w": 3}),
        rewritten(b'{"w": ' + json.dumps(ENTRY).encode() + b', "w": ' + json.dumps(ENTRY).encode() + b"}", 48),
        rewritten(b'{"w": {"shape": ' + b"[" * 100_000),
        rewritten(b'{"w"' + bytes(20)),
        (2**40).to_bytes(8, "little") + b"{" + bytes(100),
        (0).to_bytes(8, "little") + b"{" + bytes(100),
    ],
    ids=[
        *("unknown type", "larger shape", "negative", "overflow", "text", "beyond the end", "backwards", "overlapping"),
        *("fields missing", "no fields", "two of a name", "deep", "broken", "huge header", "no header"),
    ],
)
def test_wrong_headers_of_safetensors_name_the_file(tmp_path, content):
    (tmp_path / "a.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"a\.safetensors (is cut off or damaged|holds no named)"):
        read_state_dict(tmp_path / "a.safetensors")


def rezipped(content: bytes, change) -> bytes:
    """A file of torch.save whose archive was written anew by `change(archive, name, data)`."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(file, "w") as new:
        for name in old.namelist():
            change(new, name, old.read(name))
    return file.getvalue()


def packed(archive, name, data):
    archive.writestr(name, data, zipfile.ZIP_DEFLATED)


def without_tensors(archive, name, data):
    if "/data/" not in name:
        archive.writestr(name, data)


def other_pickle(archive, name, data):
    archive.writestr(name, b"\x80\x02}q\x00(X" if name.endswith("data.pkl") else data)


@pytest.mark.parametrize(
    ("change", "message"), [(packed, "is compressed"), (without_tensors, "damaged"), (other_pickle, "damaged")]
)
def test_archives_written_anew(tmp_path, change, message):
    (tmp_path / "a.pth").write_bytes(rezipped(torch_bytes(), change))
    with pytest.raises(CheckpointError, match=rf"a\.pth .*{message}"):
        read_checkpoint(tmp_path / "a.pth")


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    saved(tmp_path / "a.pth", {"w": torch.ones(1)})

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(CheckpointError, match=r"a\.pth cannot be read \(Permission denied\)"):
        read_checkpoint(tmp_path / "a.pth")


def quantised(seed, dtype=torch.qint8):
    torch.manual_seed(seed)
    module = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Flatten(), nn.Linear(8, 3), nn.Linear(3, 2))
    return torch.ao.quantization.quantize_dynamic(module, {nn.Linear}, dtype=dtype)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:torch.quantize_per_tensor")
def test_quantised_weights_have_fingerprints_of_their_own():
    found = [weights_fingerprint(quantised(seed, dtype)) for seed in (0, 1) for dtype in (torch.qint8, torch.float16)]
    assert len(set(found)) == 4
    assert weights_fingerprint(quantised(0)) == found[0]
    other = quantised(0)
    weight, bias = other[3].weight(), other[3].bias()
    other[3].set_weight_bias(weight, bias + 1e-3)
    assert weights_fingerprint(other) != found[0]
    scaled = torch._make_per_tensor_quantized_tensor(weight.int_repr(), weight.q_scale() * 2, weight.q_zero_point())
    other[3].set_weight_bias(scaled, bias)
    assert weights_fingerprint(other) not in (found[0], None)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:torch.quantize_per_tensor")
def test_quantised_recurrent_layers_have_fingerprints_too():
    def lstm(seed):
        torch.manual_seed(seed)
        return torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.LSTM(4, 4)), {nn.LSTM})

    assert weights_fingerprint(lstm(0)) == weights_fingerprint(lstm(0)) != weights_fingerprint(lstm(1))


class Extra(nn.Linear):
    """A layer with a state of its own kind."""

    def __init__(self, state):
        super().__init__(2, 2)
        nn.init.ones_(self.weight)
        nn.init.zeros_(self.bias)
        self.state = state

    def get_extra_state(self):
        return self.state


def test_extra_states_are_part_of_the_fingerprint():
    states = [{"step": 1}, {"step": 2}, {"step": torch.ones(1)}, (1, "a"), None, torch.float32, b"1"]
    assert len({weights_fingerprint(Extra(state)) for state in states}) == len(states)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nn.Linear(2, 2, device="meta"), r"weight 'bias' has no values \(device meta\): load plain, dense weights"),
        (Extra(object()), "weight '_extra_state' is a object, whose values cannot be read: use plain weights"),
        (
            Extra(torch.ones(2, 2).to_sparse()),
            "weight '_extra_state' has the layout torch.sparse_coo: load plain, dense weights",
        ),
    ],
)
def test_weights_without_plain_values_are_named(module, message):
    with pytest.raises(CheckpointError, match=message):
        weights_fingerprint(module)


def test_fingerprints_of_plain_weights_are_those_of_stores_that_stand():
    module = nn.Linear(2, 1)
    nn.init.zeros_(module.weight)
    nn.init.zeros_(module.bias)
    assert weights_fingerprint(module) == "abb58f58551d1ba044aae26a6e1b61136a4a9f2313a59d1fe39866191345f275"
