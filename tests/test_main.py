"""The command line: its arguments, how quick it is, and what the doctor sees."""

import json
import subprocess
import sys

import pytest
from miniature_models import demo_models

from mdissect import __main__
from mdissect.commands import doctor, figures
from mdissect.paths import data_dir

HEAVY = ("torch", "timm", "transformers", "matplotlib", "pandas", "zarr", "papermill", "wordcloud")


@pytest.fixture
def calls(monkeypatch) -> list:
    """What run_notebooks was called with; it runs nothing."""
    made = []
    monkeypatch.setattr(figures, "run_notebooks", lambda *given: made.append(given) or 0)
    return made


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ("", ("demo", None, [], "build/notebooks", False, None)),
        (
            "--profile paper --only 01 3 --set a=1 b=x --output out --refresh --jobs 3",
            ("paper", ["01", "3"], ["a=1", "b=x"], "out", True, 3),
        ),
        (
            "--set a=1 --only 01 --set b=2 c=3 --only 02",  # given again, they add up
            ("demo", ["01", "02"], ["a=1", "b=2", "c=3"], "build/notebooks", False, None),
        ),
    ],
)
def test_options_of_figures(calls, argv, expected):
    assert __main__.main(["figures", *argv.split()]) == 0
    __main__.main(["figures", "--set", "d=4"])  # the next call begins anew
    assert calls == [expected, ("demo", None, ["d=4"], "build/notebooks", False, None)]


@pytest.mark.parametrize("argv", [[], ["figure"], ["figures", "--onyl", "01"], ["figures", "--set"]])
def test_wrong_arguments(argv, capsys):
    with pytest.raises(SystemExit) as stopped:
        __main__.main(argv)
    assert stopped.value.code == 2
    assert "usage: python -m mdissect" in capsys.readouterr().err


def test_the_status_of_the_notebooks_is_that_of_the_command(monkeypatch):
    monkeypatch.setattr(figures, "run_notebooks", lambda *given: 1)
    assert __main__.main(["figures"]) == 1


def test_what_the_user_got_wrong_is_one_line(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("MDISSECT_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(SystemExit) as stopped:
        __main__.main(["figures"])
    assert stopped.value.code == 2
    assert f"error: no data folder at {tmp_path / 'nowhere'}" in capsys.readouterr().err


def python(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True, cwd=data_dir().parent)


def test_help_and_import_are_quick():
    shown = python("-X", "importtime", "-m", "mdissect", "figures", "--help")
    assert "--only NN [NN ...]" in shown.stdout
    imported = {line.rpartition("|")[2].strip() for line in shown.stderr.splitlines() if line.startswith("import time:")}
    assert "mdissect" in imported
    assert not imported & set(HEAVY)
    loaded = python("-c", "import sys, json, mdissect; dir(mdissect); print(json.dumps(sorted(sys.modules)))")
    assert not set(json.loads(loaded.stdout)) & {*HEAVY, "numpy"}


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout with concepts and a notebook, but without models; a function that saves toy models into it."""
    from shutil import copytree

    copytree(data_dir() / "concepts", tmp_path / "data" / "concepts")
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "01_first.ipynb").touch()
    monkeypatch.setattr("mdissect.paths.checkout", lambda: tmp_path)
    monkeypatch.setenv("MDISSECT_DATA", str(tmp_path / "data"))
    for name in ("MDISSECT_STORE", "MDISSECT_FIGURES", "MDISSECT_PATHS"):
        monkeypatch.delenv(name, raising=False)

    def save(name: str, aligned: bool = True):
        demo_models(tmp_path / "data" / "demo", name, aligned=aligned)

    save.root = tmp_path
    return save


def test_a_healthy_installation(checkout, capsys):
    for name in doctor.DEMO_MODELS:
        checkout(name, aligned=name != "general")
    (checkout.root / "data" / "store").mkdir()
    (checkout.root / "data" / "store" / "kept").write_bytes(bytes(2_500_000))
    assert __main__.main(["doctor"]) == 0
    told = capsys.readouterr().out
    for line in ("mdissect 0.1.0, Python 3.", "torch 2.", "device: ", "concepts: mammography, 7", "notebooks: 01_first",
                 "disk: store 2.5 MB, cache of drawn images empty, ", "next: nothing is missing for the demo"):  # fmt: skip
        assert line in told, line
    lines = {line.partition(":")[0]: line for line in told.splitlines()}
    assert lines["demo/mammo"].endswith(", aligned")
    assert lines["demo/general"].endswith(", not aligned")


def test_without_demo_models(checkout, capsys):
    checkout("clip")
    (checkout.root / "data" / "demo" / "clip" / "model.safetensors").write_bytes(b"broken")
    assert __main__.main(["doctor"]) == 1
    told = capsys.readouterr().out
    assert "demo/mammo: not usable: no demo model 'mammo'" in told
    assert "demo/clip: not usable: " in told
    assert "  - restore data/demo, or train the models: python -m mdissect pretrain mammo clip general\n" in told


def test_without_data(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("MDISSECT_DATA", str(tmp_path / "nowhere"))
    assert __main__.main(["doctor"]) == 1
    told = capsys.readouterr().out
    assert "concepts: mammography missing or damaged" in told
    assert told.count("no data folder at") >= 3
    assert "  - restore data/concepts/mammography.csv: no data folder at " in told


def test_without_a_library(checkout, monkeypatch, capsys):
    version = doctor.importlib.metadata.version

    def found(name: str) -> str:
        if name in ("torch", "wordcloud"):
            raise doctor.importlib.metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(doctor.importlib.metadata, "version", found)
    monkeypatch.setitem(sys.modules, "torch", None)  # importing it fails
    assert doctor.report() == 1
    told = capsys.readouterr().out
    assert "  missing: torch, wordcloud\n" in told
    assert "device: unknown, as import of torch halted" in told
    assert "  - install torch, wordcloud (pip install -e . brings all libraries)\n" in told
    assert told.count("mend the installation") == 1


def test_with_a_full_disk(checkout, monkeypatch, capsys):
    monkeypatch.setattr(doctor, "LITTLE_SPACE", 10**18)
    assert doctor.report() == 1
    assert "  - free some disk space; " in capsys.readouterr().out
