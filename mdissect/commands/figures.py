"""Run the notebooks without a browser, by papermill."""

import argparse
import ast
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from mdissect.arguments import whole_number
from mdissect.files import write_atomically
from mdissect.paths import FIGURES, data_dir, figures_dir, other_figures_dir

# Run times and paths of one machine, and the widgets' state (a megabyte; their `.figure()` is there to be read): not for a
# notebook that is shared.
OWN_METADATA = ("papermill", "execution", "widgets")
SUMMARY = "00"  # the notebook that lists what the others made, and so comes last
MOST_JOBS = 4  # demo notebooks at a time; each kernel takes about 1 GB


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("--profile", default="demo", help="which study: demo (default) or paper")
    parser.add_argument("--only", nargs="+", action="extend", metavar="NN", help="numbers of notebooks, such as 01")
    parser.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="NAME=VALUE", dest="settings", help="notebook parameters"
    )
    parser.add_argument("--output", default="build/notebooks", help="where the executed notebooks go")
    parser.add_argument(
        "--refresh", action="store_true", help="write the outputs into the notebooks themselves (demo defaults)"
    )
    parser.add_argument("--jobs", type=int, help="notebooks at a time (default: one per core, up to 4; paper profile: 1)")


def run(options: argparse.Namespace) -> int:
    """Run the notebooks; returns 0, or 1 when one failed."""
    return run_notebooks(options.profile, options.only, options.settings, options.output, options.refresh, options.jobs)


def run_notebooks(
    profile: str = "demo",
    only: Sequence[str] | None = None,
    settings: Sequence[str] = (),
    output: str | os.PathLike = "build/notebooks",
    refresh: bool = False,
    jobs: int | None = None,
) -> int:
    """Execute the numbered notebooks, 00 last; returns 0, or 1 when one failed (the others still run).

    `only` are numbers ("01"), `settings` "NAME=VALUE" (a Python literal, else text) of parameters that each notebook must
    know: figures of such a run go to build/figures/<profile>, those in figures/<profile> are of the default parameters.
    `output` is for the executed notebooks; `refresh` writes outputs into the notebooks themselves. `jobs` notebooks at a time
    share the store, where nothing is computed twice; None: one per core, up to four, under the demo profile, one under the
    others, whose models fill a GPU.
    """
    parameters = parse_settings(settings)
    if refresh and (parameters or profile != "demo"):
        raise ValueError("--refresh keeps the demo's default outputs; it takes neither --set nor another --profile")
    notebooks = find_notebooks(data_dir().parent / "notebooks", only)
    for notebook in notebooks:
        _check_parameters(notebook, parameters)
    if jobs is None:
        jobs = min(os.cpu_count() or 1, MOST_JOBS) if profile == "demo" else 1
    whole_number("jobs", jobs, 1)
    run = partial(_run, profile=profile, parameters=parameters, output=Path(output), refresh=refresh)
    last = [notebook for notebook in notebooks if notebook.name.startswith(SUMMARY)]
    notebooks = [notebook for notebook in notebooks if notebook not in last] + last
    with _figures_of(profile, parameters):
        if min(jobs, len(notebooks)) == 1:
            done = [run(notebook) for notebook in notebooks]
        else:
            threads, spawn = max((os.cpu_count() or 1) // jobs, 1), multiprocessing.get_context("spawn")
            with ProcessPoolExecutor(jobs, mp_context=spawn, initializer=_share_cores, initargs=(threads,)) as pool:
                done = list(pool.map(run, notebooks[: len(notebooks) - len(last)]))
                done += pool.map(run, last)
    failed = [notebook.name for notebook, fine in zip(notebooks, done, strict=True) if not fine]
    if failed:
        print(f"{len(failed)} of {len(notebooks)} notebooks failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def parse_settings(settings: Sequence[str]) -> dict:
    """["n_images=500", "probe=folder"] as {"n_images": 500, "probe": "folder"}."""
    parsed = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not name.isidentifier():
            raise ValueError(f"--set {setting!r} is not NAME=VALUE, such as n_images=500")
        try:
            parsed[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            parsed[name] = value
    return parsed


def find_notebooks(folder: Path, only: Sequence[str] | None = None) -> list[Path]:
    """The numbered notebooks of a folder in order, 00 last, or those whose numbers are given ("1" and "01" are the same)."""
    notebooks = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    if not notebooks:
        raise ValueError(f"no numbered notebooks (01_*.ipynb) in {folder}")
    numbers = sorted({notebook.name[:2] for notebook in notebooks}, key=lambda number: (number == SUMMARY, number))
    wanted = list(dict.fromkeys(number.zfill(2) for number in only or numbers))
    if unknown := [number for number in wanted if number not in numbers]:
        raise ValueError(f"no notebook {', '.join(unknown)}; there are {', '.join(numbers)}")
    return [notebook for number in wanted for notebook in notebooks if notebook.name[:2] == number]


def _check_parameters(notebook: Path, parameters: dict) -> None:
    import papermill

    known = papermill.inspect_notebook(str(notebook))
    if unknown := sorted(set(parameters) - set(known)):
        raise ValueError(f"{notebook.name} has no parameter {', '.join(unknown)}; it has {', '.join(known) or 'none'}")


def _run(notebook: Path, profile: str, parameters: dict, output: Path, refresh: bool) -> bool:
    """Execute one notebook; what goes wrong in it is printed and gives False."""
    import papermill
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    target = notebook if refresh else output / notebook.name
    target.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")  # else the kernel warns about frozen modules
    try:
        document = papermill.execute_notebook(
            str(notebook),
            None if refresh else str(target),
            {} if refresh else {"profile": profile, **parameters},
            cwd=str(notebook.parent),
            kernel_name="python3",
            progress_bar=False,
            log_output=False,
            extra_arguments=["--log-level=CRITICAL"],  # of the kernel, which else reports its local port and its end
        )
        if refresh:
            _keep_outputs(document, notebook)
    except (PapermillExecutionError, DeadKernelError) as error:
        print(f"{notebook.name} failed: {error}", file=sys.stderr)
        return False
    print(f"{notebook.name}: {time.monotonic() - started:.0f} s -> {os.path.relpath(target)}")
    return True


@contextmanager
def _figures_of(profile: str, parameters: dict) -> Iterator[None]:
    """Kernels started here write over the figures in figures/ when they run with their defaults, else into build/figures."""
    if os.environ.get(FIGURES):
        yield
        return
    if parameters:
        print(f"figures with these settings go to {os.path.relpath(other_figures_dir() / profile)}, not over those in figures/")
    os.environ[FIGURES] = str((other_figures_dir() if parameters else figures_dir()).resolve())
    try:
        yield
    finally:
        del os.environ[FIGURES]


def _share_cores(threads: int) -> None:
    """Let the kernels that this process starts use so many threads: more than there are cores wait for each other."""
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))


def _keep_outputs(document, notebook: Path) -> None:
    """Write an executed notebook in its own place, without run times and papermill's notes."""
    import nbformat

    for part in (document, *document.cells):
        for name in OWN_METADATA:
            part.metadata.pop(name, None)
    for cell in document.cells:
        if not cell.metadata.get("tags"):
            cell.metadata.pop("tags", None)
    text = nbformat.writes(document)
    write_atomically(notebook, (text if text.endswith("\n") else f"{text}\n").encode())
