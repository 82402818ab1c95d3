"""Several processes compute what one does."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import joined_step
import numpy as np
import pytest
import torch
from pretraining import QUIET, RECIPE, striped, tiny_model

from mdissect.models import load_dissector
from mdissect.train import pretrain
from mdissect.train.processes import Processes, processes

pytestmark = pytest.mark.slow
SCRIPT = Path(joined_step.__file__)
ALONE = Processes(torch.device("cpu"))


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def run_in_two(folder: Path, chunk: int) -> None:
    """The script in two processes on the CPU, as torchrun starts them."""
    paths = os.pathsep.join([str(SCRIPT.parents[1]), str(SCRIPT.parent), os.environ.get("PYTHONPATH", "")])
    shared = {**os.environ, "PYTHONPATH": paths, "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
    shared |= {"MASTER_PORT": str(free_port()), "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(SCRIPT), str(folder), str(chunk)]
    started = [
        subprocess.Popen(
            command, env={**shared, "RANK": str(i), "LOCAL_RANK": str(i)}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        for i in range(2)
    ]
    said = [process.communicate(timeout=250)[0].decode() for process in started]
    assert [process.returncode for process in started] == [0, 0], "\n".join(said)


@pytest.mark.parametrize("chunk", [0, 3])
def test_two_processes_take_the_step_of_one(tmp_path, chunk):
    pytest.importorskip("accelerate")
    run_in_two(tmp_path, chunk)
    alone = joined_step.first_step(None, ALONE)
    for rank in range(2):
        found = torch.load(tmp_path / f"step-{rank}.pt", weights_only=True)
        assert found["losses"] == pytest.approx(alone["losses"], rel=1e-5)
        assert found["matching"] == pytest.approx(alone["matching"], rel=1e-5)
        for name, wanted in alone["gradients"].items():
            torch.testing.assert_close(found["gradients"][name], wanted, rtol=1e-5, atol=1e-5)
    if chunk:
        return
    together = load_dissector(tmp_path / "model")
    done = pretrain(tiny_model(), striped(24), tmp_path / "one", joined_step.LABELS, RECIPE.changed(epochs=2), QUIET)
    x = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    alike = (together.embed_images(x) * done.dissector.embed_images(x)).sum(dim=1)
    assert alike.min() > 0.99  # rounding differs, and grows from step to step


@pytest.mark.parametrize(("n", "count"), [(8, 2), (7, 3), (2, 3)])
def test_shares_are_neighbours_and_together_all(n, count):
    shares = []
    for rank in range(count):
        one = Processes(torch.device("cpu"))
        one.rank, one.count = rank, count
        shares.append(list(one.share(range(n))))
    assert [item for share in shares for item in share] == list(range(n))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_one_process_alone():
    rows = torch.ones(3, 2, requires_grad=True)
    joined, own = ALONE.joined(rows)
    assert not joined.requires_grad
    assert torch.equal(joined[own], rows)
    assert ALONE.first
    assert ALONE.mean({"a": 2.0}) == {"a": 2.0}
    assert ALONE.written(lambda: 3) == 3
    assert processes("cpu").count == 1


def test_without_accelerate(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(ImportError, match=r"needs the package accelerate: pip install 'mdissect\[train\]'"):
        processes("cpu")


def test_batches_are_shared_evenly(tmp_path):
    three = Processes(torch.device("cpu"))
    three.count = 3
    with pytest.raises(ValueError, match="batch_size=8 must be a multiple of the 3 processes"):
        joined_step.first_step(None, three)
    assert np.isfinite(joined_step.first_step(4, ALONE)["losses"]["size"])
