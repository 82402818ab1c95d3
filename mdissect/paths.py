"""Folders of data, notebooks and results.

Set by environment variables; else those of the checkout; else, of an installed package, the user's own folders for data and
caches, with the concepts, demo models and notebooks that the package brings along.
"""

import os
import tempfile
from pathlib import Path

import platformdirs

DATA, STORE, FIGURES, LOCATIONS = "MDISSECT_DATA", "MDISSECT_STORE", "MDISSECT_FIGURES", "MDISSECT_PATHS"
CACHE = "MDISSECT_CACHE"


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
    for variable in (DATA, STORE, FIGURES, LOCATIONS, CACHE):
        from_environment(variable)


def checkout() -> Path | None:
    """The folder with the package, notebooks/ and figures/; None where the package was installed without them."""
    root = Path(__file__).resolve().parents[1]
    return root if (root / "pyproject.toml").is_file() and (root / "notebooks").is_dir() else None


def data_dir() -> Path:
    """The folder for the user's data: MDISSECT_DATA, else data/ of the checkout, else the user's own for applications' data.

    FileNotFoundError where one of the former two is not a folder; the last need not exist.
    """
    named, root = from_environment(DATA), checkout()
    if named is None and root is None:
        return platformdirs.user_data_path("mdissect")
    folder = named or root / "data"
    if not folder.is_dir():
        raise FileNotFoundError(
            f"no data folder at {folder}{' (a file)' if folder.exists() else ''}: restore data/ of the checkout, or set {DATA} "
            "to the folder that holds the data"
        )
    return folder


def data_dirs() -> list[Path]:
    """Where concepts/ and demo/ may be, in order of precedence: the data folder, and what an installed package brings."""
    return [data_dir()] if checkout() else [data_dir(), _shipped() / "data"]


def in_data(*parts: str) -> Path:
    """The file or folder of that name in the first of `data_dirs` that has it; in the data folder where none has."""
    places = [folder.joinpath(*parts) for folder in data_dirs()]
    return next((place for place in places if place.exists()), places[0])


def notebooks_dir() -> Path:
    """notebooks/ of the checkout, or what an installed package brings; FileNotFoundError where there is neither."""
    root = checkout()
    folder = _shipped() / "notebooks" if root is None else root / "notebooks"
    if not folder.is_dir():
        raise FileNotFoundError(
            f"no notebooks in {folder}: install mdissect from a wheel (pip wheel --no-deps <checkout>) or from its checkout "
            "(pip install -e .)"
        )
    return folder


def bench_dir() -> Path:
    """Where the tables of `make bench` are: tests/bench of the checkout, or what an installed package brings."""
    root = checkout()
    return _shipped() / "bench" if root is None else root / "tests" / "bench"


def store_dir() -> Path:
    """The folder of the store; NotADirectoryError where that is a file.

    MDISSECT_STORE, else store/ of the data folder, or of the user's folder for caches where the package is installed.
    """
    return _folder(STORE) or _regenerated("store")


def cache_dir() -> Path:
    """The user's folder for caches: MDISSECT_CACHE, else as the system has it; NotADirectoryError where that is a file."""
    return _folder(CACHE) or platformdirs.user_cache_path("mdissect")


def image_cache_dir() -> Path:
    """The folder for drawn images: demo/cache/ of the data folder, or of the user's folder for caches."""
    return _regenerated("demo", "cache")


def figures_dir() -> Path:
    """The folder for figures: MDISSECT_FIGURES, else figures/ of the checkout, else of the working folder."""
    return _folder(FIGURES) or (checkout() or Path.cwd()) / "figures"


def other_figures_dir() -> Path:
    """Where figures go that have other settings than those in figures/: MDISSECT_FIGURES, else build/figures/ beside that."""
    return _folder(FIGURES) or (checkout() or Path.cwd()) / "build" / "figures"


def check_writable(folder: Path, instead: str) -> None:
    """Raise OSError unless a folder, which need not exist yet, can be written; `instead` says what to set otherwise.

    >>> check_writable(Path("/proc/figures"), "MDISSECT_FIGURES names another folder")  # doctest: +SKIP
    Traceback (most recent call last):
    OSError: cannot write to /proc/figures (No such file or directory); MDISSECT_FIGURES names another folder
    """
    try:
        with tempfile.TemporaryFile(dir=existing(folder)):
            pass
    except OSError as error:
        raise OSError(f"cannot write to {folder} ({error.strerror or error}); {instead}") from error


def _regenerated(*parts: str) -> Path:
    """A folder of what is made again when it is deleted."""
    of_user = checkout() is None and from_environment(DATA) is None
    return (cache_dir() if of_user else data_dir()).joinpath(*parts)


def _shipped() -> Path:
    """Where a wheel puts data and notebooks: see `mdissect.wheel`."""
    return Path(__file__).resolve().parent / "shipped"


def _folder(variable: str) -> Path | None:
    """The folder that an environment variable names, if it does; NotADirectoryError if a file is in its way."""
    path = from_environment(variable)
    if path is not None and not (there := existing(path)).is_dir():
        raise NotADirectoryError(f"{variable}={path} must name a folder, but {there} is a file")
    return path


def existing(path: Path) -> Path:
    """The path, or the innermost folder above it that exists."""
    path = path.absolute()
    return next((place for place in (path, *path.parents) if os.path.exists(place)), path)
