"""One Ray cluster of two CPUs on this machine, for all tests that need it."""

import ctypes
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import faults
import pytest

TRIES, SECONDS = 3, 120  # to start it
UNUSED = ("metrics_agent", "metrics_export", "dashboard_agent_listen")  # ports that a node without a dashboard has not
PATIENT = {  # Ray's own limits for its parts, which a busy machine exceeds
    "RAY_agent_register_timeout_ms": "240000",
    "RAY_raylet_start_wait_time_s": "120",
    "RAY_worker_register_timeout_seconds": "240",
    "RAY_gcs_server_request_timeout_seconds": "120",
    "RAY_health_check_timeout_ms": "60000",
    "RAY_DASHBOARD_STARTUP_TIMEOUT_S": "120",
}
LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
QUIET = {"log_to_driver": False, "logging_level": "ERROR"}


@pytest.fixture(scope="session")
def ray():
    """Ray, joined to a cluster of its own; where none can be started, tests fail in CI and are skipped elsewhere."""
    own = PATIENT | {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(16),
    }  # else one is written to the user's home
    own["RAY_worker_niceness"] = "0"  # else its workers wait for every other process of the machine
    own["PYTHONPATH"] = faults.environment()["PYTHONPATH"]  # they know the toys
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        for name, value in own.items():
            patch.setenv(name, value)  # Ray reads them when it is imported
        ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'ray[data]'")
        pytest.importorskip("ray.data", reason="Ray Data is not installed: pip install 'ray[data]'")
        patch.delenv("RAY_ADDRESS", raising=False)
        patch.setenv("RAY_ADDRESS", _started(ray, stack))  # for processes that the tests start
        yield ray
        ray.shutdown()


@pytest.fixture
def driver_environment(ray):
    """The environment of a process that joins the same cluster."""
    return faults.environment() | {name: os.environ[name] for name in ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN")}


def _started(ray, stack: ExitStack) -> str:
    """The address of a cluster that this process has joined and that ends with the stack."""
    reasons = []
    for _ in range(TRIES):
        attempt = ExitStack()
        try:
            address = attempt.enter_context(_head())
            ray.init(address=address, **QUIET)
        except Exception as error:
            ray.shutdown()
            attempt.close()
            reasons.append(f"{type(error).__name__}: {error}")
        else:
            stack.enter_context(attempt.pop_all())
            return address
    told = f"no Ray cluster started on this machine in {TRIES} tries:\n" + "\n".join(reasons)
    if os.environ.get("CI"):
        pytest.fail(told)
    pytest.skip(told)


@contextmanager
def _head():
    """A cluster's first node as a process of its own; gives its address."""
    folder = Path(tempfile.mkdtemp(prefix="ray", dir="/tmp"))  # short, for the names of its sockets
    port, other = _free_ports(2)
    options = {"port": port, "runtime-env-agent-port": other, "num-cpus": 2, "object-store-memory": 300 * 2**20}
    options |= {"include-dashboard": False, "temp-dir": folder}
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--disable-usage-stats"]
    command += [f"--{name}={value}" for name, value in options.items()]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, preexec_fn=_die_with_parent)
    try:
        yield _address(folder, process)
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _address(folder: Path, process: subprocess.Popen) -> str:
    """Where the node listens, once it does.

    The ports that are not used are stated for it: it waits 15 s, which no setting changes, for its parts to start and say so.
    """
    log, end, known = folder / "log", time.monotonic() + SECONDS, None
    while not (told := re.search(r"--address='(.+)'", log.read_text())):
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"`ray start` came to nothing:\n{log.read_text()[-2000:]}")
        if not known and (known := next(folder.glob("session_2*/gcs_server_port_*"), None)):
            for name in UNUSED:
                known.with_name(known.name.replace("gcs_server", name)).write_text("-1")
        time.sleep(0.05)
    return told[1]


def _die_with_parent() -> None:
    """The cluster does not outlive tests that are killed; where the system is not Linux it may."""
    if LIBC:
        LIBC.prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def _free_ports(n: int) -> list[int]:
    with ExitStack() as stack:
        held = [stack.enter_context(socket.socket()) for _ in range(n)]
        for one in held:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in held]
