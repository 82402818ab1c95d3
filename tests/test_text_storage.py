"""Tests that tables do not depend on whether pyarrow is installed, which changes how pandas 3 stores text."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from mdissect.probes import Probe
from mdissect.study.contents import content_digest
from mdissect.values import pack, unpack

FREE = """
import pandas as pd
{before}
import mdissect.{module}
print(pd.get_option("mode.string_storage"))
"""


def option_after(module: str, before: str = "") -> str:
    code = FREE.format(module=module, before=before)
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.slow
@pytest.mark.parametrize("module", ["kinds", "tables", "probes.probe"])
def test_text_is_stored_as_strings_of_python(module):
    assert option_after(module) == "python"


@pytest.mark.slow
def test_what_the_user_has_set_stays():
    pytest.importorskip("pyarrow")
    assert option_after("probes.probe", "pd.set_option('mode.string_storage', 'pyarrow')") == "pyarrow"


def test_names_that_are_not_utf_8_can_be_in_tables():
    probe = Probe.from_arrays(np.zeros((2, 8, 8), np.uint8), ids=["a", "caf\udce9"], table={"name": ["a", "\udce9"]})
    assert list((probe + probe.subset([1]).__class__.from_arrays([np.ones((8, 8))], ids=["\udcff"])).table.index) == [
        "a", "caf\udce9", "\udcff"
    ]  # fmt: skip
    assert probe.table.name.map(lambda name: f"{name}!").tolist() == ["a!", "\udce9!"]


@pytest.mark.parametrize("missing", [np.nan, pd.NA])
def test_equal_text_is_equal_however_it_is_stored(missing):
    pytest.importorskip("pyarrow", reason="pyarrow is not installed: pip install 'ray[data]'")
    cells = ["a", None, "é"]
    ours, theirs = (
        pd.DataFrame({"t": pd.array(cells, dtype=pd.StringDtype(storage, na_value=missing))})
        for storage in ("python", "pyarrow")
    )
    assert content_digest(ours) == content_digest(theirs)
    pd.testing.assert_frame_equal(unpack(pack(theirs)), ours)


def test_a_table_that_was_kept_with_pyarrow_is_read_without():
    packed = pack(pd.DataFrame({"t": ["a", None]}))
    (text,) = packed.tree["DataFrame"][2]
    text["strings"][0] = "pyarrow"
    found = unpack(packed).t
    assert (found.dtype.storage, found.tolist()[0], found.isna().tolist()) == ("python", "a", [False, True])
