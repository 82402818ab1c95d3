"""How long the fuzz tests look: quickly in every run, with the same inputs each time; for long with MDISSECT_FUZZ=long."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("quick", max_examples=60, deadline=None, derandomize=True)
settings.register_profile("long", max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("MDISSECT_FUZZ", "quick"))


def pytest_collection_modifyitems(items):
    """`make check` leaves all of them to `make test`."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slow)
