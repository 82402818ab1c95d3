"""Where the shipped and the user's data lie."""

import os
from pathlib import Path

FIGURES = "MDISSECT_FIGURES"


def data_dir() -> Path:
    """The data folder: MDISSECT_DATA, else `data/` beside the package; FileNotFoundError where that is no folder."""
    named = os.environ.get("MDISSECT_DATA")
    folder = Path(named) if named else Path(__file__).resolve().parents[1] / "data"
    if not folder.is_dir():
        raise FileNotFoundError(
            f"no data folder at {folder}: install mdissect from its checkout (pip install -e .) or set MDISSECT_DATA to "
            "the folder that holds concepts/ and demo/"
        )
    return folder


def figures_dir() -> Path:
    """Where figures go: the environment variable MDISSECT_FIGURES, else figures/ beside data/."""
    return Path(os.environ.get(FIGURES) or data_dir().parent / "figures")


def other_figures_dir() -> Path:
    """Where figures go that have other settings than those in figures/: MDISSECT_FIGURES, else build/figures/ beside data/."""
    return Path(os.environ.get(FIGURES) or data_dir().parent / "build" / "figures")
