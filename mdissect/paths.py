"""Where the shipped and the user's data lie."""

import os
from pathlib import Path


def data_dir() -> Path:
    """The data folder: the environment variable MDISSECT_DATA, else `data/` beside the package.

    Raises
    ------
    FileNotFoundError
        When MDISSECT_DATA names no folder, or the package stands without its `data/` (installed outside its checkout).
    """
    named = os.environ.get("MDISSECT_DATA")
    folder = Path(named) if named else Path(__file__).resolve().parents[1] / "data"
    if not folder.is_dir():
        raise FileNotFoundError(
            f"no data folder at {folder}: install mdissect from its checkout (pip install -e .) or set MDISSECT_DATA to "
            "the folder that holds concepts/ and demo/"
        )
    return folder
