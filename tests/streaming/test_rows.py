"""Blocks of arrays in memory, in a store and in scratch files."""

import errno

import numpy as np
import pytest
from streamed import in_store

from mdissect.store import StoreError
from mdissect.streaming import Rows, SomeRows, on_disk_by_column, on_disk_by_row
from mdissect.streaming.rows import rows_at_once
from mdissect.streaming.scratch import column_blocks

pytestmark = pytest.mark.slow

VALUES = np.random.default_rng(0).standard_normal((200, 7)).astype(np.float32)


@pytest.fixture(params=["array", "entry", "by column", "by row"])
def rows(request, tmp_path):
    """The same values from each kind of source."""
    if request.param == "array":
        return Rows(VALUES)
    entry = Rows(in_store(tmp_path, values=VALUES)[0])
    if request.param == "by column":
        return Rows(on_disk_by_column(entry, tmp_path, 64))
    if request.param == "by row":
        return Rows(on_disk_by_row((block for _, block in entry.blocks(64)), VALUES.shape, tmp_path))
    return entry


@pytest.mark.parametrize("size", [1, 64, 130, 1000])
def test_blocks_make_up_the_whole(rows, size):
    found = list(rows.blocks(size))
    assert [start for start, _ in found] == list(range(0, 200, size))
    np.testing.assert_array_equal(np.concatenate([block for _, block in found]), VALUES)


@pytest.mark.parametrize("positions", [[], [0], [199], [3, 64, 65, 128], list(range(200))])
def test_chosen_rows(rows, positions):
    positions = np.array(positions, dtype=int)
    np.testing.assert_array_equal(rows.take(positions, 64), VALUES[positions])


@pytest.mark.parametrize("passes", [0, 9])
@pytest.mark.parametrize("width", [1, 3, 10])
def test_chosen_columns_in_blocks(rows, width, passes, monkeypatch):
    monkeypatch.setattr("mdissect.streaming.scratch.MOST_PASSES", passes)
    chosen = np.array([0, 2, 3, 6])
    for place, block in column_blocks(rows, chosen, width, 64):
        np.testing.assert_array_equal(block, VALUES[:, chosen[place]])
        assert block.T.flags.c_contiguous


@pytest.mark.parametrize("positions", [[0], [5, 199], [3, 64, 65, 128], list(range(200)), list(range(1, 200, 3))])
@pytest.mark.parametrize("size", [1, 64, 1000])
def test_some_rows_are_an_array_of_their_own(rows, positions, size):
    some, expected = SomeRows(rows, np.array(positions)), VALUES[positions]
    assert some.shape == expected.shape
    np.testing.assert_array_equal(np.concatenate([block for _, block in some.blocks(size)]), expected)
    np.testing.assert_array_equal(some.take(np.array([0, len(positions) - 1])), expected[[0, -1]])
    for place, block in column_blocks(some, np.array([0, 2, 6]), 2, 64):
        np.testing.assert_array_equal(block, expected[:, [0, 2, 6]][:, place])
        assert block.T.flags.c_contiguous


def test_no_scratch_file_is_left(tmp_path):
    mapped = on_disk_by_row(iter([VALUES]), VALUES.shape, tmp_path)
    assert list(tmp_path.iterdir()) == []
    np.testing.assert_array_equal(mapped, VALUES)


def test_a_full_disk_says_what_to_do(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    with pytest.raises(StoreError, match=r"no scratch file of 0.0 GB in .*No space left on device. Free some space"):
        on_disk_by_column(Rows(VALUES), tmp_path, 64)


@pytest.mark.parametrize(("memory", "row_bytes", "rows"), [(2**30, 2**15, 4096), (10**6, 10**6, 64), (10**9, 1000, 124992)])
def test_rows_of_a_block_are_whole_chunks(memory, row_bytes, rows):
    assert rows_at_once(memory, row_bytes) == rows
