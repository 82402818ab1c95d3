"""Notebooks executed by papermill, several at a time, each in its own kernel; stopping the command ends all kernels."""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import papermill
from jupyter_client import AsyncKernelManager
from papermill.exceptions import PapermillExecutionError

SWEEP = 0.05  # seconds between two looks for kernels that are to end
THREADS = "notebook"  # how the names of threads that run one begin
logging.getLogger("papermill").addHandler(logging.NullHandler())  # failures are reported once, by the caller


class Kernel(AsyncKernelManager):
    """A notebook's kernel, ended by `end_all`."""

    started: ClassVar[list["Kernel"]] = []

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        Kernel.started.append(self)

    @classmethod
    def end_all(cls) -> None:
        """Kill the kernels that run, with the processes that they started: each leads a group of its own."""
        for kernel in list(cls.started):
            if kernel.has_kernel:
                with suppress(OSError):
                    os.killpg(kernel.provisioner.pid, signal.SIGKILL)


def parameters_of(notebook: Path) -> list[str]:
    """Names of the parameters of a notebook; ValueError for a file that is not a notebook."""
    try:
        return list(papermill.inspect_notebook(_unformatted(notebook)))
    except Exception as error:  # of any kind
        raise ValueError(f"{notebook} cannot be read as a notebook: {error}; git can restore it") from error


def execute(notebook: Path, output: Path | None, parameters: dict) -> Any:
    """The executed notebook (nbformat), run in its own folder and written to `output` cell by cell.

    Raises
    ------
    RuntimeError
        The failure in one line: a cell, by its number in the executed notebook, or the kernel.
    """
    try:
        return papermill.execute_notebook(
            _unformatted(notebook),
            None if output is None else _unformatted(output),
            parameters,
            kernel_name="python3",
            progress_bar=False,
            log_output=False,
            kernel_manager_class=Kernel,
            resources={"metadata": {"path": str(notebook.parent)}},  # papermill's cwd= is that of all threads
            extra_arguments=["--log-level=CRITICAL"],  # otherwise the kernel logs its port and its end
        )
    except PapermillExecutionError as error:
        raise RuntimeError(f"In [{error.exec_count}]: {error.ename}: {' '.join(str(error.evalue).split())}") from error
    except Exception as error:  # a dead kernel, a full disk, ...
        raise RuntimeError(" ".join(str(error).split()) or type(error).__name__) from error


def _unformatted(path: Path) -> str:
    """A path with its braces doubled, as papermill would fill parameters into them."""
    return str(path).replace("{", "{{").replace("}", "}}")


def side_by_side(
    run: Callable[[Path], Any], notebooks: Sequence[Path], jobs: int, report: Callable[[Path, Future], None]
) -> None:
    """Run notebooks, `jobs` at a time; `report` is called with each one as it finishes.

    When this is stopped, by a signal or an error, no further notebook starts and the kernels are killed.
    """
    with ThreadPoolExecutor(jobs, thread_name_prefix=THREADS) as pool:
        try:
            running = {pool.submit(run, notebook): notebook for notebook in notebooks}
            for done in as_completed(running):
                report(running[done], done)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            while any(thread.name.startswith(THREADS) for thread in threading.enumerate()):
                Kernel.end_all()
                time.sleep(SWEEP)
            raise
