"""Tests of the installed package: a wheel built from the checkout works from any folder."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from mdissect.wheel import SHIPPED

ROOT = Path(__file__).parents[1]
DISSECT = """
import mdissect
found = mdissect.dissect(
    mdissect.load_target("demo/C1"), mdissect.load_dissector("demo/mammo"), mdissect.load_probe("phantom", n_images=40),
    mdissect.load_concepts("mammography"), layers=["bn2"], top_k=5, store=mdissect.paths.store_dir(),
)
print(mdissect.__file__, len(found.labels()), mdissect.paths.store_dir(), sep="\\n")
"""


def committed(pattern: str) -> list[str]:
    done = subprocess.run(["git", "ls-files", pattern], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("no git checkout")
    return done.stdout.split()


BENCH = committed("tests/bench/*.json")
DATA = [name for name in committed("data") if "/replicates/" not in name]  # further trainings stay in the checkout


def test_all_committed_data_but_further_trainings_are_shipped():
    assert sorted(SHIPPED) == sorted(DATA)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """A wheel built from a copy of what is committed, with a user's own files beside it."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in [
        *committed("mdissect"),
        *committed("data"),
        *committed("notebooks"),
        *BENCH,
        "pyproject.toml",
        "README.md",
        "LICENSE",
    ]:
        (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / "source" / name)
    for name in ("data/weights/own.safetensors", "data/demo/own/config.json", "data/concepts/own.csv"):
        (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "source" / name).write_text("a user's own")
    command = [sys.executable, "-m", "pip", "wheel", ".", "--no-deps", "--no-index", "--no-build-isolation", "-w", str(folder)]
    subprocess.run(command, cwd=folder / "source", check=True, capture_output=True)
    (found,) = folder.glob("*.whl")
    return found


@pytest.mark.slow
def test_a_wheel_holds_what_is_committed_and_nothing_of_the_users(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name.removeprefix("mdissect/shipped/") for name in archive.namelist() if "/shipped/" in name}
        assert set(committed("mdissect/atlas/page") + committed("mdissect/browser")) <= set(archive.namelist())
    tables = {name.removeprefix("tests/") for name in BENCH}
    assert names == {*DATA, *committed("notebooks/*.ipynb"), *tables}


@pytest.mark.slow
def test_an_installed_package_works_from_another_folder(wheel, tmp_path):
    scratch, elsewhere = tmp_path / "scratch", tmp_path / "elsewhere"
    elsewhere.mkdir()
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target", str(scratch), str(wheel)]
    subprocess.run(command, check=True, capture_output=True)
    own = {name: value for name, value in os.environ.items() if not name.startswith("MDISSECT_")}
    environment = {**own, "PYTHONPATH": str(scratch), "HOME": str(elsewhere), "XDG_CACHE_HOME": str(elsewhere / "cache")}

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments], cwd=elsewhere, env=environment, capture_output=True, text=True, timeout=250
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    place, n_labels, store = run("-c", DISSECT.replace("import mdissect", "import mdissect, mdissect.paths")).split()
    assert Path(place).is_relative_to(scratch)
    assert int(n_labels) == 256
    assert Path(store).is_relative_to(elsewhere)
    assert "00_results" in run("-m", "mdissect", "figures", "--list")
    assert re.search(r"classifier demo/C4 +\| found", run("-m", "mdissect", "doctor"))
