"""What pytest loads wherever it is started: outputs of notebooks are compared by tests/notebook_outputs.py."""

import os

import pytest

pytest_plugins = ["notebook_outputs"]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes():
    """Processes side by side take one thread each: more would wait for each other. They read this before torch is there."""
    os.environ["OMP_NUM_THREADS"] = "1"
