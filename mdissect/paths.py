"""Folders of data, notebooks and results: in the checkout, or set by environment variables."""

import os
import tempfile
from pathlib import Path

DATA, STORE, FIGURES, LOCATIONS = "MDISSECT_DATA", "MDISSECT_STORE", "MDISSECT_FIGURES", "MDISSECT_PATHS"


def from_environment(variable: str) -> Path | None:
    """The absolute path that an environment variable names, with "~" resolved; None where it is unset or empty.

    A relative path is resolved once and exported: the kernels of notebooks, which run in another folder, find the same place.
    """
    value = os.environ.get(variable, "")
    if not value.strip():
        return None
    path = Path(os.path.expanduser(value)).absolute()
    os.environ[variable] = str(path)
    return path


def export_absolute() -> None:
    """Make the paths in mdissect's environment variables absolute, for all child processes."""
    for variable in (DATA, STORE, FIGURES, LOCATIONS):
        from_environment(variable)


def checkout() -> Path | None:
    """The folder with the package, notebooks/ and figures/; None where the package was installed without them."""
    root = Path(__file__).resolve().parents[1]
    return root if (root / "pyproject.toml").is_file() and (root / "notebooks").is_dir() else None


def data_dir() -> Path:
    """The data folder: MDISSECT_DATA, else `data/` beside the package; FileNotFoundError where that is not a folder."""
    folder = from_environment(DATA) or Path(__file__).resolve().parents[1] / "data"
    if not folder.is_dir():
        raise FileNotFoundError(
            f"no data folder at {folder}{' (a file)' if folder.exists() else ''}: install mdissect from its checkout "
            f"(pip install -e .) or set {DATA} to the folder that holds concepts/ and demo/"
        )
    return folder


def notebooks_dir() -> Path:
    """notebooks/ of the checkout; FileNotFoundError where the package was installed without it."""
    root = checkout()
    if root is None:
        raise FileNotFoundError(
            f"no notebooks beside the package in {Path(__file__).resolve().parent}: they come with a checkout of the "
            "repository, installed by pip install -e ."
        )
    return root / "notebooks"


def store_dir() -> Path:
    """The folder of the store: MDISSECT_STORE, else data/store; NotADirectoryError where that is a file."""
    return _folder(STORE) or data_dir() / "store"


def figures_dir() -> Path:
    """The folder for figures: MDISSECT_FIGURES, else figures/ of the checkout (beside data/ where there is none)."""
    return _folder(FIGURES) or (checkout() or data_dir().parent) / "figures"


def other_figures_dir() -> Path:
    """Where figures go that have other settings than those in figures/: MDISSECT_FIGURES, else build/figures/ beside that."""
    return _folder(FIGURES) or (checkout() or data_dir().parent) / "build" / "figures"


def check_writable(folder: Path, instead: str) -> None:
    """Raise OSError unless a folder, which need not exist yet, can be written; `instead` says what to set otherwise.

    >>> check_writable(Path("/proc/figures"), "MDISSECT_FIGURES names another folder")  # doctest: +SKIP
    Traceback (most recent call last):
    OSError: cannot write to /proc/figures (No such file or directory); MDISSECT_FIGURES names another folder
    """
    try:
        with tempfile.TemporaryFile(dir=_standing(folder)):
            pass
    except OSError as error:
        raise OSError(f"cannot write to {folder} ({error.strerror or error}); {instead}") from error


def _folder(variable: str) -> Path | None:
    """The folder that an environment variable names, if it does; NotADirectoryError if a file is in its way."""
    path = from_environment(variable)
    if path is not None and not (there := _standing(path)).is_dir():
        raise NotADirectoryError(f"{variable}={path} must name a folder, but {there} is a file")
    return path


def _standing(path: Path) -> Path:
    """The path, or the innermost folder above it that exists."""
    path = path.absolute()
    return next((place for place in (path, *path.parents) if os.path.exists(place)), path)
