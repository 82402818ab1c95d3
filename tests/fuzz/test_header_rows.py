"""Damaged DICOM headers: whatever stands in them, a row of texts and numbers, or a problem that names the file."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_dicom import header
from miniature import write_dicom

from mdissect.probes.mammograms.header_rows import COLUMNS, read_header_row
from mdissect.probes.pseudonyms import KINDS

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write_dicom(tmp_path_factory.mktemp("dicom") / "a.dcm", np.zeros((4, 4), np.uint16), **header(0, "L"))


@pytest.fixture(scope="module")
def whole(path):
    return path.read_bytes()


@settings(deadline=None)
@given(data=st.data())
def test_any_bytes_give_a_row_or_a_problem(path, whole, data):
    changed = bytearray(whole)
    for place in data.draw(st.lists(st.integers(132, len(whole) - 1), max_size=6)):
        changed[place] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(changed[: data.draw(st.integers(132, len(whole)))]))
    found = read_header_row(path)
    assert found.problem.startswith(f"{path}: ") or not found.problem
    assert set(found.row) <= set(COLUMNS)
    assert all(isinstance(value, (str, int)) for value in found.row.values())
    assert all(kind in KINDS and whole_id for kind, whole_id in found.ids.values())
