"""Folders that probes are read from: empty names, "~", and what is not a path."""

import inspect

import numpy as np
import pytest
from PIL import Image

from mdissect import load_probe
from mdissect.probes import probe_options

KINDS = ("folder", "vindr", "embed", "rsna", "cbis-ddsm", "cmmd", "inbreast", "mias", "cdd-cesm", "imagenette", "imagewoof")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("path", ["", " "])
def test_an_empty_path_is_not_the_working_folder(kind, path):
    with pytest.raises(ValueError, match=r"path=.* is empty; give a folder or a file"):
        load_probe(kind, path=path)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("path", [5, ["a"], b"a", True, pytest.param(16**5000, id="huge")])
def test_a_path_that_is_none(kind, path):
    with pytest.raises(TypeError, match=r"path=.* must be a path \(str or Path\)"):
        load_probe(kind, path=path)


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_that_is_not_there(kind, tmp_path):
    with pytest.raises(FileNotFoundError, match=f"no folder {tmp_path}/nowhere; .*path="):
        load_probe(kind, path=tmp_path / "nowhere")


def test_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "images").mkdir()
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "images" / "a.png")
    assert load_probe("folder", path="~/images").ids == ["a.png"]


def test_the_home_of_nobody():
    with pytest.raises(FileNotFoundError, match="no folder ~no one/images"):
        load_probe("folder", path="~no one/images")


def test_options_of_a_probe():
    assert probe_options("folder") == {
        "path": inspect.Parameter.empty,
        "table": None,
        "id_column": None,
        "on_error": "raise",
        "bits": None,
        "patient_column": None,
        "unmatched": "raise",
        "voi": False,
        "window": None,
        "preparation": None,
        "keep_ids": False,
        "files": None,
    }
    assert probe_options("imagenette") == {"path": None, "n_images": 3000, "split": "all", "seed": 0}
    assert probe_options("unknown") == {}
