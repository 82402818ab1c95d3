"""Run the notebooks without a browser, by papermill."""

import argparse
import json
import os
import re
import sys
import textwrap
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

from mdissect.arguments import known_option, listed, one_of, some_path, whole_number
from mdissect.commands.settings import parse_settings
from mdissect.files import write_atomically
from mdissect.paths import (
    FIGURES,
    STORE,
    check_writable,
    checkout,
    data_dir,
    figures_dir,
    from_environment,
    notebooks_dir,
    other_figures_dir,
    store_dir,
)

# Not for a shared notebook: run times and paths of one machine, and the widgets' state (a megabyte; `.figure()` is shown).
OWN_METADATA = ("papermill", "execution", "widgets")
SUMMARY = "00"  # the notebook that lists what the others made; it runs last
EXAMPLES = """\
Figures go to figures/PROFILE; with --set to build/figures/PROFILE. Examples:
  python -m mdissect figures                              all notebooks of the demo
  python -m mdissect figures --list                       the notebooks and what they draw
  python -m mdissect figures --only 01 --set n_images=500 top_k=25
"""
MOST_JOBS = 4  # demo notebooks at a time; each kernel takes about 1 GB


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.formatter_class, parser.epilog = argparse.RawDescriptionHelpFormatter, EXAMPLES
    parser.add_argument("--profile", default="demo", help="which study: demo (default) or paper")
    parser.add_argument("--list", action="store_true", dest="listing", help="list the notebooks and run nothing")
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
    """Run the notebooks, or list them; returns 0, or 1 when one failed."""
    if options.listing:
        print("\n".join(listed_notebooks(options.only)))
        return 0
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

    `only` are numbers ("01"); `settings` are "NAME=VALUE" (a Python literal, else text) of parameters that each notebook must
    have: figures of such a run go to build/figures/<profile>; those in figures/<profile> have the default parameters.
    `output` is the folder for the executed notebooks; `refresh` writes outputs into the notebooks themselves. `jobs` notebooks
    run at a time and share the store, where nothing is computed twice; None: one per core, up to four, under the demo profile;
    one under the others, whose models fill a GPU.
    """
    parameters = parse_settings(settings)
    if refresh and (parameters or profile != "demo"):
        raise ValueError("--refresh keeps the demo's default outputs; it takes neither --set nor another --profile")
    _check_profile(profile, parameters)
    if jobs is None:
        jobs = min(os.cpu_count() or 1, MOST_JOBS) if profile == "demo" else 1
    whole_number("jobs", jobs, 1)
    notebooks = find_notebooks(notebooks_dir(), only)
    _check_parameters(notebooks, parameters)
    output = None if refresh else some_path("output", output).absolute()
    figures = (other_figures_dir() if parameters else figures_dir()) / profile
    _check_places(output, figures)
    jobs = min(jobs, len(notebooks))
    print(f"running {_counted(notebooks)}{f', {jobs} at a time' if jobs > 1 else ''}", flush=True)
    if parameters and from_environment(FIGURES) is None:
        print(f"figures with these settings go to {_shown(figures)}; those in figures/ stay as they are", flush=True)
    variables = {FIGURES: str(figures.parent), "PYDEVD_DISABLE_FILE_VALIDATION": "1"}  # else kernels warn of frozen modules
    if jobs > 1:  # more threads than cores would wait for each other
        variables["OMP_NUM_THREADS"] = str(max((os.cpu_count() or 1) // jobs, 1))
    started, before = time.monotonic(), _stamps(figures)
    with _environment(variables):
        failed = _execute_all(notebooks, output, {"profile": profile, **parameters}, jobs)
    print(f"finished in {_duration(time.monotonic() - started)}\nfigures: {_changes(figures, before)}")
    if done := [notebook for notebook in notebooks if notebook.name not in failed]:
        first = min(done)  # 00, the results, where it ran
        print(f"look first at {_shown((output or first.parent) / first.name)}")
    if profile == "demo" and not (parameters or only or refresh or failed):
        print("writing the atlas (about a minute when it is new)", flush=True)
        print(f"atlas of all neurons, for any browser: {_atlas()}", flush=True)
    if failed:
        print(f"{len(failed)} of {len(notebooks)} notebooks failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def find_notebooks(folder: Path, only: Sequence[str] | None = None) -> list[Path]:
    """The numbered notebooks of a folder in order, 00 last, or those whose numbers are given ("1" and "01" are the same)."""
    notebooks = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    if not notebooks:
        raise ValueError(f"no numbered notebooks (01_*.ipynb) in {folder}")
    numbers = sorted({notebook.name[:2] for notebook in notebooks}, key=lambda number: (number == SUMMARY, number))
    wanted = list(dict.fromkeys((number.strip() or "''").zfill(2) for number in only or numbers))
    if unknown := [number for number in wanted if number not in numbers]:
        raise ValueError(f"no notebook {', '.join(unknown)}; there are {', '.join(numbers)}")
    return [notebook for number in wanted for notebook in notebooks if notebook.name[:2] == number]


def listed_notebooks(only: Sequence[str] | None = None) -> list[str]:
    """Lines that name each notebook with its first heading and the figures that it draws."""
    lines = []
    for notebook in sorted(find_notebooks(notebooks_dir(), only)):
        try:
            cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
            sources = ["".join(cell["source"]) for cell in cells]
        except (ValueError, LookupError, TypeError) as error:
            raise ValueError(f"{notebook} cannot be read as a notebook: {error}; git can restore it") from error
        heading = next((line for text in sources for line in text.splitlines() if line.startswith("# ")), "")
        drawn = dict.fromkeys(name for text in sources for name in re.findall(rf'"{notebook.name[:2]}_(\w+)"', text))
        lines.append(f"{notebook.stem}: " + re.sub(r"^# (\d\d . )?", "", heading))
        lines += textwrap.wrap(
            f"makes: {', '.join(drawn) or 'no figures'}", 100, initial_indent="    ", subsequent_indent="      "
        )
    return lines


def _check_profile(profile: str, parameters: dict) -> None:
    """Raise for a profile that is unknown, given twice or has a wrong paths.toml, before any notebook runs."""
    if "profile" in parameters:
        raise ValueError(f"--set profile={parameters['profile']}: the profile is given by --profile")
    if profile != "demo":
        from mdissect.study import with_local_paths  # takes seconds
        from mdissect.study.profiles import PROFILES

        one_of("--profile", profile, PROFILES)
        with_local_paths(PROFILES[profile])


def _check_parameters(notebooks: Sequence[Path], parameters: dict) -> None:
    from mdissect.commands.kernels import parameters_of

    for notebook in notebooks:
        known_option(notebook.name, parameters, parameters_of(notebook))


def _check_places(output: Path | None, figures: Path) -> None:
    """Raise for folders that cannot or must not be written, before any notebook runs."""
    data_dir()
    if output is None:
        if checkout() is None:
            raise ValueError("--refresh writes outputs into the notebooks of a checkout; an installed package takes --output")
        check_writable(
            notebooks_dir(), "--refresh writes outputs into the notebooks; leave it out, and --output names a folder"
        )
    elif output.resolve() == notebooks_dir():
        raise ValueError(f"--output {output} is the folder of the notebooks themselves; --refresh writes outputs into them")
    else:
        check_writable(output, "--output names another folder for executed notebooks")
    check_writable(figures, f"the environment variable {FIGURES} names another folder for figures")
    check_writable(store_dir(), f"the environment variable {STORE} names another folder for the store")


def _execute_all(notebooks: Sequence[Path], output: Path | None, parameters: dict, jobs: int) -> list[str]:
    """Execute notebooks, the summary last, and report each; returns the names of those that failed.

    `output` is None if the outputs go into the notebooks themselves.
    """
    from mdissect.commands.kernels import execute, side_by_side

    def run(notebook: Path) -> str:
        print(f"  started {notebook.name}\n", end="", flush=True)  # in one piece: other threads print too
        started, target = time.monotonic(), notebook if output is None else output / notebook.name
        if output is None:
            _keep_outputs(execute(notebook, None, {}), notebook)
        else:
            output.mkdir(parents=True, exist_ok=True)
            execute(notebook, target, parameters)
        return f"{notebook.name}: {_duration(time.monotonic() - started)} -> {_shown(target)}"

    def report(notebook: Path, done: Future) -> None:
        finished.append(notebook)
        place = f"[{len(finished)}/{len(notebooks)}]"
        if (error := done.exception()) is None:
            print(f"{place} {done.result()}\n", end="", flush=True)
            return
        failed.append(notebook.name)
        seen = output is not None and (output / notebook.name).exists()
        where = f" (see {_shown(output / notebook.name)})" if seen else ""
        print(f"{place} {notebook.name} failed: {error}{where}", file=sys.stderr, flush=True)

    failed: list[str] = []
    finished: list[Path] = []
    last = [notebook for notebook in notebooks if notebook.name.startswith(SUMMARY)]
    for group in ([notebook for notebook in notebooks if notebook not in last], last):
        side_by_side(run, group, jobs, report)
    return [notebook.name for notebook in notebooks if notebook.name in failed]


def _atlas() -> str:
    """Write the demo's atlas; says what was written, or why it could not be."""
    from mdissect.commands.atlas import demo_atlas

    try:
        return demo_atlas()
    except (OSError, ValueError, MemoryError) as error:
        return f"not written ({error})"


def _stamps(folder: Path) -> dict[str, tuple[int, int]]:
    """When each figure file of a folder was written, and its size; an unchanged figure is not written again."""
    return {path.name: (path.stat().st_mtime_ns, path.stat().st_size) for path in folder.glob("*.*") if path.is_file()}


def _changes(folder: Path, before: Mapping[str, tuple[int, int]]) -> str:
    """Where the figures are, and which were rewritten: "figures/demo (40 unchanged)"."""
    after = _stamps(folder)
    names = {name.rpartition(".")[0] for name in after}
    changed = sorted({name.rpartition(".")[0] for name, stamp in after.items() if before.get(name) != stamp})
    new = f"{len(changed)} new or changed: {listed(changed)}; " if changed else ""
    return f"{_shown(folder)} ({new}{len(names) - len(changed)} unchanged)"


def _shown(path: Path) -> str:
    """A path relative to the working folder where it is below that, else absolute."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith(os.pardir) else relative


def _counted(notebooks: Sequence[Path]) -> str:
    return f"{len(notebooks)} notebook{'s' * (len(notebooks) != 1)}"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds // 60:.0f} min {seconds % 60:.0f} s"


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for the kernels started meanwhile, except those that are set already."""
    given = {name: value for name, value in values.items() if not os.environ.get(name, "").strip()}
    os.environ.update(given)
    try:
        yield
    finally:
        for name in given:
            del os.environ[name]


def _keep_outputs(document, notebook: Path) -> None:
    """Replace a notebook by its executed version, without run times and papermill's metadata."""
    import nbformat

    for part in (document, *document.cells):
        for name in OWN_METADATA:
            part.metadata.pop(name, None)
    for cell in document.cells:
        if not cell.metadata.get("tags"):
            cell.metadata.pop("tags", None)
    text = nbformat.writes(document)
    write_atomically(notebook, (text if text.endswith("\n") else f"{text}\n").encode())
