"""Weights files with random damage and random names: loaded as they were, or one CheckpointError."""

import io
import os

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save
from torch import nn

from mdissect.models import CheckpointError, load_weights, read_state_dict

pytestmark = pytest.mark.filterwarnings("ignore")  # what torch says of the pickles that the damage makes
LONG = os.environ.get("MDISSECT_FUZZ") == "long"
some = settings(
    max_examples=3000 if LONG else 60,
    deadline=None,
    derandomize=not LONG,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
MODULE = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
STATE = {name: torch.full_like(value, 3) for name, value in MODULE.state_dict().items()}


def of_torch(**options) -> bytes:
    file = io.BytesIO()
    torch.save({"model": STATE, "epoch": 3}, file, **options)
    return file.getvalue()


COUNTER = "1.num_batches_tracked"


# How far into the file every flipped bit can be noticed: safetensors have no checksum over their data.
FILES = {"torch": (of_torch(), None), "safetensors": ((bytes_ := save(STATE)), 8 + int.from_bytes(bytes_[:8], "little"))}


def load(path) -> dict:
    fresh = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    load_weights(fresh, read_state_dict(path)[0], source=path)
    return fresh.state_dict() | {COUNTER: STATE[COUNTER]}  # which need not be there


def loads_right_or_says_so(path) -> None:
    try:
        found = load(path)
    except CheckpointError as error:
        assert str(path) in str(error)  # noqa: PT017
    else:
        torch.testing.assert_close(found, STATE, rtol=0, atol=0)


@pytest.mark.parametrize("kind", FILES)
@some
@given(data=st.data())
def test_flipped_bits(tmp_path, kind, data):
    content, end = FILES[kind]
    flipped = bytearray(content)
    for bit in data.draw(st.lists(st.integers(0, 8 * (end or len(content)) - 1), min_size=1, max_size=3)):
        flipped[bit // 8] ^= 1 << bit % 8
    (tmp_path / "a.pth").write_bytes(flipped)
    loads_right_or_says_so(tmp_path / "a.pth")


@pytest.mark.parametrize("kind", FILES)
@some
@given(data=st.data())
def test_cut_off_and_filled_with_zeros(tmp_path, kind, data):
    content, _ = FILES[kind]
    at = data.draw(st.integers(0, len(content) - 1))
    cut = data.draw(st.sampled_from([content[:at], content[at:], content[:at] + bytes(len(content) - at)]))
    (tmp_path / "a.pth").write_bytes(cut)
    try:
        load(tmp_path / "a.pth")
    except CheckpointError as error:
        assert str(tmp_path) in str(error)  # noqa: PT017


@some
@given(junk=st.binary(max_size=300), head=st.sampled_from([b"", b"PK\x03\x04", b"\x80\x02", b"\x40" + bytes(7) + b"{"]))
def test_bytes_of_anything(tmp_path, junk, head):
    (tmp_path / "a.pth").write_bytes(head + junk)
    with pytest.raises(CheckpointError):
        read_state_dict(tmp_path / "a.pth")


@some
@given(data=st.data())
def test_old_files_of_torch(tmp_path, data):
    """They have no checksums: damage may be read, but nothing else than a CheckpointError comes of it."""
    content = bytearray(of_torch(_use_new_zipfile_serialization=False))
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    (tmp_path / "a.pth").write_bytes(content)
    try:
        load(tmp_path / "a.pth")
    except CheckpointError as error:
        assert str(tmp_path) in str(error)  # noqa: PT017


NAMES = st.sampled_from(["model", "module", "net", "_orig_mod", "image_encoder", "ema", "a", "state_dict", "0", "x y", ""])
LEFTOVERS = st.dictionaries(
    st.sampled_from(["criterion.weight", "loss", "head.bias", "epoch", "queue", "net.other.weight"]),
    st.sampled_from([torch.ones(1), torch.ones(5, 5), torch.arange(3), "text", 3, None]),
    max_size=4,
)


@some
@given(
    wrapped=st.lists(NAMES, max_size=4), dotted=st.lists(NAMES.filter(bool), max_size=4), beside=LEFTOVERS, copy=st.booleans()
)
def test_names_under_any_prefix_with_anything_beside(tmp_path, wrapped, dotted, beside, copy):
    content = {"".join(f"{name}." for name in dotted) + name: value for name, value in STATE.items()} | {
        name: value for name, value in beside.items() if isinstance(value, torch.Tensor)
    }
    if copy:
        content |= {f"momentum.{name}": value + 1 for name, value in STATE.items()}
    for name in wrapped:
        content = {name: content, "beside": 3}
    torch.save(content, tmp_path / "a.pth")
    if copy:
        with pytest.raises(CheckpointError, match="2 sets of weights fit Sequential"):
            load(tmp_path / "a.pth")
    else:
        torch.testing.assert_close(load(tmp_path / "a.pth"), STATE, rtol=0, atol=0)
