"""Named tensors out of whatever a file wraps them in; files that are made to hang or to confuse."""

import os
import re

import numpy as np
import pytest
import torch
from torch import nn

from mdissect.models import CheckpointError, load_weights, read_state_dict

WEIGHT = torch.arange(6.0).reshape(2, 3)


def saved(path, content):
    torch.save(content, path / "a.pth")
    return path / "a.pth"


def itself() -> dict:
    content = {"model": {"w": WEIGHT}}
    content["self"] = content["model"]["whole"] = content
    return content


def doubled(levels: int) -> object:
    """As many paths as 2 to the power of the levels lead to one tensor."""
    content = {"w": WEIGHT}
    for _ in range(levels):
        content = {"a": content, "b": content}
    return content


def nested(levels: int, content: object) -> object:
    for _ in range(levels):
        content = {"a": content}
    return content


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("content", "name", "notes"),
    [
        (itself(), "w", ["entries beside the weights, not used: self, whole"]),
        (doubled(50), "w", ["entries beside the weights, not used: b"]),
        (nested(60, {"w": WEIGHT}), "w", []),
        ({"model": {"w": WEIGHT}, "deep": nested(90, [1])}, "w", ["entries beside the weights, not used: deep"]),
        ({"a": {"b": {"c": {"w": WEIGHT}}}, "epoch": 3}, "w", ["entries beside the weights, not used: epoch"]),
        ({"w": WEIGHT, 3: WEIGHT, None: 1}, "w", ["entries beside the weights, not used: 3, None"]),
        ({"": {"w": WEIGHT}}, "w", []),
        ({"model": {"w": WEIGHT}, "rng": torch.zeros(3)}, "model.w", []),
        ({"w": nn.Parameter(WEIGHT)}, "w", []),
    ],
)
def test_trees_of_all_kinds(tmp_path, content, name, notes):
    state, found = read_state_dict(saved(tmp_path, content))
    assert torch.equal(state[name], WEIGHT)
    assert found == notes


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (nested(90, {"w": WEIGHT}), "holds no named tensors but a dict with the keys a"),
        ({0: {"w": WEIGHT}}, "holds no named tensors but a dict with the keys 0"),
        ({"w": [WEIGHT, WEIGHT]}, "holds no named tensors but a dict with the keys w"),
        ({"a.b": WEIGHT, "a": {"b": WEIGHT}}, r"holds two tensors named a\.b"),
        ({"w": torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])}, "w is a nested tensor"),
        (None, "holds no named tensors but a NoneType"),
        ("weights", "holds no named tensors but a str"),
    ],
)
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_files_without_usable_names(tmp_path, content, message):
    with pytest.raises(CheckpointError, match=message):
        read_state_dict(saved(tmp_path, content))


@pytest.mark.parametrize(
    "array",
    [
        WEIGHT.numpy(),
        np.asfortranarray(WEIGHT.numpy()),
        WEIGHT.numpy().astype(">f4"),
        WEIGHT.numpy().astype("<f8"),
        WEIGHT.numpy().astype(np.float16),
        WEIGHT.numpy()[:, ::-1][:, ::-1],
    ],
    ids=["plain", "by columns", "big-endian", "double", "half", "strided"],
)
def test_arrays_of_numpy_are_weights(tmp_path, array):
    state, notes = read_state_dict(
        saved(tmp_path, {"state_dict": {"weight": array, "bias": np.ones(2, np.float32)}, "epoch": 1})
    )
    module = nn.Linear(3, 2)
    assert load_weights(module, state) == []
    assert torch.equal(module.weight, WEIGHT)
    assert notes == ["entries beside the weights, not used: epoch"]


@pytest.mark.parametrize(
    "array", [np.array(["a"]), np.array([None, 1]), np.array(["2020-01-01"], dtype="M8[D]")], ids=["text", "objects", "dates"]
)
def test_arrays_of_other_things_are_no_weights(tmp_path, array):
    state, notes = read_state_dict(saved(tmp_path, {"w": WEIGHT, "names": array}))
    assert (list(state), notes) == (["w"], ["entries beside the weights, not used: names"])


def test_what_is_no_regular_file_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.pth")
    for path in (tmp_path / "pipe.pth", "/dev/zero"):
        with pytest.raises(CheckpointError, match=f"{re.escape(str(path))} is not a regular file"):
            read_state_dict(path)


@pytest.mark.parametrize(
    ("path", "error", "message"),
    [
        ("", ValueError, "checkpoint='' is empty"),
        (5, TypeError, "checkpoint=5 must be a path"),
        ({"w": WEIGHT}, TypeError, r"checkpoint=\{.* must be a path"),
    ],
)
def test_paths_that_are_none(path, error, message):
    with pytest.raises(error, match=message):
        read_state_dict(path)
