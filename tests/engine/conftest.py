"""One Ray cluster of two CPUs on this machine, for all tests that need it."""

import os
import secrets

import faults
import pytest


@pytest.fixture(scope="session")
def ray():
    """Ray, joined to a cluster of its own."""
    own = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(16)}  # else one is written to the user's home
    own["RAY_worker_niceness"] = "0"  # else its workers wait for every other process of the machine
    own["PYTHONPATH"] = faults.environment()["PYTHONPATH"]  # they know the toys
    with pytest.MonkeyPatch.context() as patch:
        for name, value in own.items():
            patch.setenv(name, value)  # Ray reads them when it is imported
        ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'ray[data]'")
        pytest.importorskip("ray.data", reason="Ray Data is not installed: pip install 'ray[data]'")
        patch.delenv("RAY_ADDRESS", raising=False)
        _started(ray)
        patch.setenv("RAY_ADDRESS", ray.get_runtime_context().gcs_address)  # for processes that the tests start
        yield ray
        ray.shutdown()


def _started(ray, tries=3):
    """Start it; on a machine that is busy Ray's own limit of 15 s for its parts is too short now and then."""
    quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR"}
    for again in reversed(range(tries)):
        try:
            return ray.init(address="local", num_cpus=2, object_store_memory=300 * 2**20, **quiet)
        except Exception:
            ray.shutdown()
            if not again:
                raise


@pytest.fixture
def driver_environment(ray):
    """The environment of a process that joins the same cluster."""
    return faults.environment() | {name: os.environ[name] for name in ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN")}
