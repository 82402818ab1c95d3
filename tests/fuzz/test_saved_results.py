"""Saved results with damage drawn at random: it is noticed each time, and the error names the file."""

import os
import shutil

import made_up
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mdissect.dissection import Dissection
from mdissect.files import DamagedFileError

LONG = os.environ.get("MDISSECT_FUZZ") == "long"
some = settings(max_examples=5000 if LONG else 150, deadline=None, derandomize=not LONG)
KINDS = ("dissection.json", "arrays-*", "concepts-*", "probe-*")
WHERE = st.floats(0, 1, exclude_max=True)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A saved result, and a copy to be damaged."""
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("results")
    made_up.dissected(rng.random((40, 3), np.float32), rng.random((40, 6), np.float32), ["a", "b", "c"], 5, 2).save(
        folder / "whole"
    )
    return folder / "whole", folder / "damaged"


def damaged(whole, kind, damage):
    """The path of a damaged file in a copy of the result; None where the damage changed nothing."""
    original, copy = whole
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(original, copy)
    (path,) = copy.glob(kind)
    before = path.read_bytes()
    path.write_bytes(after := damage(before))
    return None if after == before else path


def refused(path):
    with pytest.raises(DamagedFileError) as caught:
        Dissection.load(path.parent)
    assert str(path) in str(caught.value)


@some
@given(kind=st.sampled_from(KINDS), at=WHERE, bit=st.integers(0, 7))
@example(kind="dissection.json", at=0.0, bit=0)
@example(kind="arrays-*", at=0.999999, bit=7)
def test_one_bit(whole, kind, at, bit):
    def flip(data):
        place = int(at * len(data))
        return data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :]

    refused(damaged(whole, kind, flip))


@some
@given(kind=st.sampled_from(KINDS), keep=WHERE)
def test_the_end_is_missing(whole, kind, keep):
    refused(damaged(whole, kind, lambda data: data[: int(keep * len(data))]))


@some
@given(kind=st.sampled_from(KINDS), at=WHERE, removed=st.integers(0, 40), put=st.binary(max_size=40))
def test_a_piece_is_another(whole, kind, at, removed, put):
    def replaced(data):
        place = int(at * len(data))
        return data[:place] + put + data[place + removed :]

    if path := damaged(whole, kind, replaced):
        refused(path)
