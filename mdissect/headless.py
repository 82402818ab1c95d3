"""Run the notebooks without a browser, by papermill."""

import ast
import os
import sys
import time
from pathlib import Path

from mdissect.paths import data_dir

OWN_METADATA = ("papermill",)  # run times and paths of one machine: not for a notebook that is shared


def run_notebooks(
    profile: str = "demo",
    only: list[str] | None = None,
    settings: list[str] = (),
    output: str | os.PathLike = "build/notebooks",
    refresh: bool = False,
) -> int:
    """Execute the numbered notebooks in order; returns 0, or 1 when one failed (the others still run).

    Parameters
    ----------
    only : list of str
        Numbers ("01") of the notebooks to run; all when None.
    settings : list of "NAME=VALUE"
        Parameters for each notebook, which must know them; values as Python literals, else text.
    output : path
        Folder for the executed notebooks.
    refresh : bool
        Write the outputs into the notebooks themselves, under their default parameters.

    Raises
    ------
    ValueError
        No such notebook, a setting that is not NAME=VALUE, or one that a notebook does not have.
    """
    parameters = parse_settings(settings)
    if refresh and (parameters or profile != "demo"):
        raise ValueError("--refresh keeps the demo's default outputs; it takes neither --set nor another --profile")
    notebooks = find_notebooks(data_dir().parent / "notebooks", only)
    for notebook in notebooks:
        _check_parameters(notebook, parameters)
    failed = [notebook.name for notebook in notebooks if not _run(notebook, profile, parameters, Path(output), refresh)]
    if failed:
        print(f"{len(failed)} of {len(notebooks)} notebooks failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def parse_settings(settings: list[str]) -> dict:
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


def find_notebooks(folder: Path, only: list[str] | None = None) -> list[Path]:
    """The numbered notebooks of a folder in order, or those whose numbers are given."""
    notebooks = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    if not notebooks:
        raise ValueError(f"no numbered notebooks in {folder}")
    numbers = {notebook.name[:2]: notebook for notebook in notebooks}
    wanted = [number.zfill(2) for number in only or numbers]
    if strange := [number for number in wanted if number not in numbers]:
        raise ValueError(f"no notebook {', '.join(strange)}; there are {', '.join(numbers)}")
    return [numbers[number] for number in wanted]


def _check_parameters(notebook: Path, parameters: dict) -> None:
    import papermill

    known = papermill.inspect_notebook(str(notebook))
    if strange := sorted(set(parameters) - set(known)):
        raise ValueError(f"{notebook.name} has no parameter {', '.join(strange)}; it has {', '.join(known)}")


def _run(notebook: Path, profile: str, parameters: dict, output: Path, refresh: bool) -> bool:
    """Execute one notebook; on failure its error is printed and False returned."""
    import nbformat
    import papermill
    from papermill.exceptions import PapermillExecutionError

    target = notebook if refresh else output / notebook.name
    target.parent.mkdir(parents=True, exist_ok=True)
    given = {} if refresh else {"profile": profile, **parameters}
    started = time.monotonic()
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")  # else the kernel warns about frozen modules
    try:
        document = papermill.execute_notebook(
            str(notebook),
            None if refresh else str(target),
            given,
            cwd=str(notebook.parent),
            kernel_name="python3",
            progress_bar=False,
            log_output=False,
        )
    except PapermillExecutionError as error:
        print(f"{notebook.name}: cell {error.cell_index} failed\n{error}", file=sys.stderr)
        return False
    if refresh:
        for part in (document, *document.cells):
            for name in OWN_METADATA:
                part.metadata.pop(name, None)
        for cell in document.cells:
            cell.metadata.pop("execution", None)
        nbformat.write(document, target)
    print(f"{notebook.name}: {time.monotonic() - started:.0f} s -> {os.path.relpath(target)}")
    return True
