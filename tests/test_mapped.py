"""Arrays in files: written block by block as safetensors writes them, and mapped."""

import json

import numpy as np
import pytest
from safetensors.numpy import load, save

from mdissect.mapped import array_bytes, is_by_column, is_on_disk, mapped_arrays, release

ARRAYS = {
    "single": np.arange(6, dtype=np.float32).reshape(2, 3),
    "double": np.arange(3, dtype=np.float64),
    "positions": np.array([[5, -1]]),
    "flags": np.array([True, False, True]),
    "by column": np.asfortranarray(np.arange(12, dtype=np.float32).reshape(3, 4)),
    "none": np.zeros((0, 4), dtype=np.float32),
    "one": np.array(2.5, dtype=np.float32),
}


@pytest.mark.parametrize("block", [1, 16, 1 << 20])
def test_safetensors_reads_what_is_written(block, monkeypatch):
    monkeypatch.setattr("mdissect.mapped.BLOCK_BYTES", block)
    found = load(b"".join(array_bytes(ARRAYS)()))
    assert set(found) == set(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype


@pytest.mark.parametrize("write", [save, lambda arrays: b"".join(array_bytes(arrays)())])
def test_what_is_written_is_mapped(write, tmp_path):
    arrays = {name: np.ascontiguousarray(array) for name, array in ARRAYS.items() if array.ndim}
    (tmp_path / "arrays").write_bytes(write(arrays))
    found = mapped_arrays(tmp_path / "arrays")
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert is_on_disk(found[name]) == (array.size > 0)
    assert is_on_disk(found["single"].T)
    assert not any(map(is_on_disk, (found["single"][[0, 1]], found["single"] * 2, arrays["single"])))
    before = (tmp_path / "arrays").read_bytes()
    found["single"][0, 0] = 99
    release(found["single"])
    assert (tmp_path / "arrays").read_bytes() == before


def test_the_parts_can_be_had_twice():
    parts = array_bytes(ARRAYS)
    assert b"".join(parts()) == b"".join(parts())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x01",
        (10**9).to_bytes(8, "little") + b"{}",
        (2).to_bytes(8, "little") + b"[]",
        (4).to_bytes(8, "little") + b"{no}",
    ],
)
def test_a_file_of_another_kind_is_refused(data, tmp_path):
    (tmp_path / "arrays").write_bytes(data)
    with pytest.raises((ValueError, AttributeError)):
        mapped_arrays(tmp_path / "arrays")


@pytest.mark.parametrize(("shape", "offsets"), [([4], [0, 16]), ([2], [0, 16]), ([2], [-8, 0]), ([2], [4, 12])])
def test_an_array_beyond_the_file_is_refused(shape, offsets, tmp_path):
    header = json.dumps({"a": {"dtype": "F32", "shape": shape, "data_offsets": offsets}}).encode()
    (tmp_path / "arrays").write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    with pytest.raises(ValueError, match="a is said to be where the file has no room for it"):
        mapped_arrays(tmp_path / "arrays")


def test_columns_in_one_piece_are_told():
    assert is_by_column(ARRAYS["by column"])
    assert not is_by_column(ARRAYS["single"])
    assert not is_by_column(np.zeros((3, 1)))
    assert not is_by_column(ARRAYS["double"])
