"""Notebooks run without a browser: a tree of tiny ones."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import faults
import nbformat
import pytest
from nbformat import v4

from mdissect.__main__ import main
from mdissect.commands import figures
from mdissect.commands.figures import _keep_outputs, find_notebooks, run_notebooks

pytestmark = pytest.mark.slow

PARAMETERS = 'profile = "demo"\nn_images = 600\nprobe = ""'


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A checkout with data/ and notebooks/, where the tests stand; a function that writes notebooks into it."""
    for name in ("data", "notebooks"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr("mdissect.paths.checkout", lambda: tmp_path)
    monkeypatch.setenv("MDISSECT_DATA", str(tmp_path / "data"))
    for name in ("MDISSECT_FIGURES", "MDISSECT_STORE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("mdissect.commands.figures._atlas", lambda: "written")

    def write(name: str, *sources: str, parameters: str = PARAMETERS):
        cells = [v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}), *map(v4.new_code_cell, sources)]
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        path = tmp_path / "notebooks" / f"{name}.ipynb"
        nbformat.write(v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)
        return path

    write.root = tmp_path
    return write


def printed(path) -> list[str]:
    """What the cells of an executed notebook printed."""
    cells = nbformat.read(path, as_version=4).cells
    return [output.text for cell in cells for output in cell.get("outputs", []) if output.output_type == "stream"]


def test_notebooks_by_number(tmp_path):
    for name in ("02_b", "01_a", "10_c", "02_a", "notes", "3_d"):
        (tmp_path / f"{name}.ipynb").touch()
    (tmp_path / "04_script.py").touch()
    assert [path.stem for path in find_notebooks(tmp_path)] == ["01_a", "02_a", "02_b", "10_c"]
    assert [path.stem for path in find_notebooks(tmp_path, ["10", "1", "01"])] == ["10_c", "01_a"]
    (tmp_path / "00_summary.ipynb").touch()
    assert [path.stem for path in find_notebooks(tmp_path)] == ["01_a", "02_a", "02_b", "10_c", "00_summary"]
    assert [path.stem for path in find_notebooks(tmp_path, ["2"])] == ["02_a", "02_b"]
    with pytest.raises(ValueError, match="no notebook 03, 07; there are 01, 02, 10, 00"):
        find_notebooks(tmp_path, ["3", "01", "07"])
    for none in ("", " ", "1.0", "-1", "01,02", "0x1", "١"):
        with pytest.raises(ValueError, match=f"no notebook .*{none.strip()}.*; there are 01, 02, 10, 00"):
            find_notebooks(tmp_path, [none])
    with pytest.raises(ValueError, match=r"no numbered notebooks \(01_\*\.ipynb\) in .*nothing"):
        find_notebooks(tmp_path / "nothing")


def test_parameters_reach_the_notebook(tree, capfd):
    source = tree("01_first", "import os\nprint(profile, n_images + 1, probe, os.path.basename(os.getcwd()))")
    tree("02_second", "print('second')")
    before = source.read_bytes()
    assert main(["figures", "--only", "01", "--set", "n_images=500", "--set", "probe=folder", "--output", "out"]) == 0
    assert printed(tree.root / "out" / "01_first.ipynb") == ["demo 501 folder notebooks\n"]
    assert [path.name for path in (tree.root / "out").iterdir()] == ["01_first.ipynb"]
    assert source.read_bytes() == before
    told = capfd.readouterr()
    assert re.fullmatch(
        "running 1 notebook\n"
        "figures with these settings go to build/figures/demo; those in figures/ stay as they are\n"
        "  started 01_first.ipynb\n"
        r"\[1/1\] 01_first\.ipynb: \d+ s -> out/01_first\.ipynb\n"
        r"finished in \d+ s\nfigures: build/figures/demo \(0 unchanged\)\n"
        "look first at out/01_first.ipynb\n",
        told.out,
    )
    assert "encryption" not in told.err  # the kernel warns of its local port unless it is told not to


@pytest.mark.slow
def test_the_demo_with_its_defaults_ends_with_the_atlas(tree, capfd):
    tree("01_first", "print('first')")
    for options, expected in (({}, 1), ({"only": ["01"]}, 0), ({"settings": ["n_images=5"]}, 0)):
        assert run_notebooks(output=tree.root / "out", **options) == 0
        assert capfd.readouterr().out.count("atlas of all neurons, for any browser: written\n") == expected


SAVES = (
    "from mdissect.paths import FIGURES, figures_dir\nimport os\n"
    "print(FIGURES in os.environ, figures_dir().relative_to(os.environ['ROOT']))"
)


@pytest.mark.slow
def test_figures_of_other_parameters_go_elsewhere(tree, monkeypatch, capfd):
    """Defaults write to figures/ whatever stands there; an explicit folder holds for all."""
    monkeypatch.setenv("ROOT", str(tree.root))
    tree("01_first", SAVES)
    made = tree.root / "out" / "01_first.ipynb"
    assert run_notebooks(output=made.parent) == 0
    assert printed(made) == ["True figures\n"]
    assert "these settings go to" not in capfd.readouterr().out
    assert run_notebooks(settings=["n_images=5"], output=made.parent) == 0
    assert printed(made) == ["True build/figures\n"]
    assert "MDISSECT_FIGURES" not in os.environ
    monkeypatch.setenv("MDISSECT_FIGURES", str(tree.root / "mine"))
    assert run_notebooks(settings=["n_images=5"], output=made.parent) == 0
    assert printed(made) == ["True mine\n"]
    assert os.environ["MDISSECT_FIGURES"] == str(tree.root / "mine")


@pytest.mark.slow
def test_the_list_of_figures_is_made_when_all_others_are_done(tree):
    listing = "import pathlib\nprint(sorted(path.name for path in pathlib.Path('..').glob('*.done')))"
    tree("00_list", listing)
    for number in ("01", "02", "03"):
        tree(f"{number}_some", f"import pathlib, time\ntime.sleep(1)\npathlib.Path('../{number}.done').touch()")
    assert run_notebooks(output=tree.root / "out", jobs=2) == 0
    assert printed(tree.root / "out" / "00_list.ipynb") == ["['01.done', '02.done', '03.done']\n"]


@pytest.mark.slow
def test_the_others_run_when_one_fails(tree, capfd):
    tree("01_bad", "print('before')", "1 / 0", "print('after')")
    tree("02_dead", "import os\nos._exit(1)")
    tree("03_good", "print(profile)")
    assert run_notebooks("paper", output=tree.root / "out") == 1
    assert printed(tree.root / "out" / "03_good.ipynb") == ["paper\n"]
    assert printed(tree.root / "out" / "01_bad.ipynb") == ["before\n"]
    errors = capfd.readouterr().err
    assert "01_bad.ipynb failed" in errors
    assert "ZeroDivisionError" in errors
    assert "02_dead.ipynb failed: Kernel died" in errors
    assert "2 of 3 notebooks failed: 01_bad.ipynb, 02_dead.ipynb" in errors


def test_unknown_parameters_are_named_before_anything_runs(tree, capsys):
    tree("01_first", "print(1)")
    tree("02_second", "print(2)", parameters="other = 1")
    with pytest.raises(ValueError, match=r"02_second\.ipynb has no option n_images; it has other$"):
        run_notebooks(settings=["n_images=5"], output=tree.root / "out")
    assert not (tree.root / "out").exists()
    with pytest.raises(SystemExit) as stopped:
        main(["figures", "--only", "01", "--set", "n_image=5", "top=3"])
    assert stopped.value.code == 2
    assert "error: 01_first.ipynb has no option n_image, top; it has profile, n_images, probe" in capsys.readouterr().err


def test_a_run_counts_its_notebooks_and_names_the_figures_that_changed(tree, capfd):
    folder = tree.root / "figures" / "demo"
    folder.mkdir(parents=True)
    for name in ("01_old.png", "01_old.svg", "02_kept.png"):
        (folder / name).write_text("old")
    write = "from mdissect.paths import figures_dir\nfolder = figures_dir() / 'demo'\n"
    tree("01_first", write + "(folder / '01_old.png').write_text('other')\n(folder / '01_new.json').write_text('{}')")
    tree("02_bad", "1 / 0")
    assert run_notebooks(output="out", jobs=2) == 1
    told = capfd.readouterr()
    assert told.out.splitlines()[0] == "running 2 notebooks, 2 at a time"
    assert "figures: figures/demo (2 new or changed: 01_new, 01_old; 1 unchanged)\n" in told.out
    assert told.out.splitlines()[-1] == "look first at out/01_first.ipynb"
    assert sorted(re.findall(r"\[(\d)/2\]", told.out + told.err)) == ["1", "2"]


def test_list_shows_headings_and_what_notebooks_make(tree, capsys):
    path = tree("01_first", "study.show(fig, '', 'M')", 'show(fig, "01_words"); show(fig, "01_bars")')
    notebook = nbformat.read(path, 4)
    notebook.cells.insert(0, v4.new_markdown_cell("# 01 · What does it learn?\n\nText"))
    nbformat.write(notebook, path)
    tree("02_second", "1 / 0")
    assert main(["figures", "--list"]) == 0
    assert capsys.readouterr().out == (
        "01_first: What does it learn?\n    makes: words, bars\n02_second: \n    makes: no figures\n"
    )
    assert main(["figures", "--list", "--only", "2"]) == 0
    assert capsys.readouterr().out.startswith("02_second")
    assert one_line(capsys, "--list", "--only", "7") == "no notebook 07; there are 01, 02"


def test_places_outside_the_working_folder_are_absolute(tree):
    assert figures._shown(tree.root / "out" / "01.ipynb") == "out/01.ipynb"
    assert figures._shown(tree.root.parent / "out") == str(tree.root.parent / "out")


@pytest.mark.parametrize(("seconds", "said"), [(0.2, "0 s"), (119, "119 s"), (120, "2 min 0 s"), (3599.4, "59 min 59 s")])
def test_durations(seconds, said):
    assert figures._duration(seconds) == said


@pytest.mark.slow
def test_notebooks_at_a_time_share_the_cores(tree, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("mdissect.commands.figures.os.cpu_count", lambda: 6)
    for number in ("01", "02"):
        tree(f"{number}_one", "import os\nprint(os.environ['OMP_NUM_THREADS'])")
    assert run_notebooks(output=tree.root / "out", jobs=2) == 0
    assert [printed(path) for path in sorted((tree.root / "out").iterdir())] == [["3\n"], ["3\n"]]


@pytest.mark.slow
def test_several_notebooks_at_a_time(tree):
    """Two wait for each other's file: one after the other, neither would end."""
    wait = (
        "import time, pathlib\nend = time.monotonic() + 60\n"
        "while not pathlib.Path({!r}).exists():\n    assert time.monotonic() < end\n    time.sleep(0.05)"
    )
    for own, other in (("a", "b"), ("b", "a")):
        mine, theirs = (str(tree.root / name) for name in (own, other))
        tree(
            f"0{1 + (own == 'b')}_{own}", f"import pathlib\npathlib.Path({mine!r}).touch()", wait.format(theirs), "print('met')"
        )
    assert run_notebooks(output=tree.root / "out", jobs=2) == 0
    assert [printed(path) for path in sorted((tree.root / "out").iterdir())] == [["met\n"], ["met\n"]]
    with pytest.raises(ValueError, match="jobs=0 must be a whole number, 1 or more"):
        run_notebooks(jobs=0)


@pytest.mark.slow
def test_refresh_keeps_outputs_and_nothing_of_the_machine(tree):
    path = tree("01_first", "print(n_images)")
    assert main(["figures", "--refresh"]) == 0
    notebook = nbformat.read(path, as_version=4)
    assert printed(path) == ["600\n"]
    assert [cell.source for cell in notebook.cells] == [PARAMETERS, "print(n_images)"]
    assert [cell.metadata for cell in notebook.cells] == [{"tags": ["parameters"]}, {}]
    assert sorted(notebook.metadata) == ["kernelspec", "language_info"]
    assert str(tree.root) not in path.read_text()
    assert sorted(path.name for path in tree.root.iterdir()) == ["data", "notebooks"]  # no copies elsewhere
    again = path.read_bytes()
    assert run_notebooks(refresh=True) == 0
    assert path.read_bytes() == again


@pytest.mark.slow
@pytest.mark.slow
def test_a_refresh_that_dies_leaves_the_old_notebook_or_the_new_one(tmp_path):
    path, found = tmp_path / "01_one.ipynb", set()
    old, new = (v4.new_notebook(cells=[v4.new_code_cell("1 + 1", id=f"cell{i}") for i in range(n)]) for n in (1, 2))
    nbformat.write(old, path)
    for _ in faults.deaths(lambda: _keep_outputs(new, path)):
        found.add(len(nbformat.read(path, 4).cells))
        nbformat.write(old, path)
    assert found == {1, 2}
    _keep_outputs(new, path)
    assert path.read_text() == nbformat.writes(new) + "\n"


def test_refresh_leaves_a_notebook_that_fails(tree, capfd):
    bad = tree("02_bad", "1 / 0")
    before = bad.read_bytes()
    assert run_notebooks(refresh=True) == 1
    assert bad.read_bytes() == before
    assert "02_bad.ipynb failed: " in capfd.readouterr().err


def test_refresh_takes_the_defaults_only(tree):
    tree("01_first", "print(1)")
    for options in ({"settings": ["n_images=5"]}, {"profile": "paper"}):
        with pytest.raises(ValueError, match="it takes neither --set nor another --profile"):
            run_notebooks(refresh=True, **options)


def one_line(capsys, *arguments: str) -> str:
    """What the command says of wrong arguments, before anything runs."""
    with pytest.raises(SystemExit) as stopped:
        main(["figures", *arguments])
    assert stopped.value.code == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
    return told.err.removeprefix("python -m mdissect figures: error: ").strip()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--only="], "no notebook ''; there are 01, 00"),
        (["--only", "1", ""], "no notebook ''; there are 01, 00"),
        (["--only", "2"], "no notebook 02; there are 01, 00"),
        (["--profile", "papers"], "--profile='papers' is not one of 'demo', 'paper'"),
        (["--profile="], "--profile='' is not one of 'demo', 'paper'"),
        (["--set", "profile=paper"], "--set profile=paper: the profile is given by --profile"),
        (["--set", "n_images"], "--set 'n_images' is not NAME=VALUE, such as n_images=500"),
        (["--set", "n_images={5}"], "--set n_images='{5}' holds a set"),
        (["--set", "n_images=5", "n_images=6"], "--set gives n_images twice: 5 and '6'"),
        (["--set", "n_images=5", "--refresh"], "--refresh keeps the demo's default outputs"),
        (["--only", "01", "--set", "__builtins__=5"], "01_first.ipynb has no option __builtins__"),
        (["--jobs", "0"], "jobs=0 must be a whole number, 1 or more"),
        (["--jobs", "-3"], "jobs=-3 must be a whole number, 1 or more"),
        (["--output="], "output='' is empty"),
        (["--output", "file"], "cannot write to {root}/file (Not a directory); --output names another folder"),
        (["--output", "file/x"], "cannot write to {root}/file/x (Not a directory); --output names another folder"),
        (
            ["--output", "notebooks"],
            "--output {root}/notebooks is the folder of the notebooks themselves; --refresh writes outputs",
        ),
        (["--output", "data/../notebooks"], "--output {root}/data/../notebooks is the folder of the notebooks themselves"),
    ],
)
def test_wrong_arguments_are_one_line(arguments, said, tree, capsys):
    for name in ("00_list", "01_first"):
        tree(name, "1 / 0")
    (tree.root / "file").touch()
    assert one_line(capsys, *arguments).startswith(said.replace("{root}", str(tree.root)))
    assert sorted(path.name for path in tree.root.iterdir()) == ["data", "file", "notebooks"]


@pytest.mark.parametrize("content", ["", "[]", "null", "{}", "{'a'", '{"cells": 5, "nbformat": 4}', "<<<<<<< HEAD", "\0"])
def test_a_notebook_that_is_none(content, tree, capsys):
    tree("01_first", "1 / 0").write_text(content)
    said = one_line(capsys)
    assert said.startswith(f"{tree.root}/notebooks/01_first.ipynb cannot be read as a notebook: ")
    assert said.endswith("; git can restore it")


@pytest.mark.parametrize(
    ("variable", "place"),
    [("MDISSECT_STORE", "data/store"), ("MDISSECT_FIGURES", "figures/demo"), ("--output", "build/notebooks")],
)
def test_a_read_only_checkout(variable, place, tree, capsys, monkeypatch):
    def refuse(folder, instead):
        if folder == tree.root / place:
            raise OSError(f"cannot write to {folder} (Permission denied); {instead}")

    tree("01_first", "1 / 0")
    monkeypatch.setattr(figures, "check_writable", refuse)
    said = one_line(capsys)
    assert said.startswith(f"cannot write to {tree.root / place} (Permission denied); ")
    assert f"{variable} names another folder" in said


def test_a_wrong_paths_file_is_told_once_and_before_all(tree, capsys):
    tree("01_first", "1 / 0")
    (tree.root / "data" / "paths.toml").write_text("[models.clip]\npth = 'x'")
    assert one_line(capsys, "--profile", "paper").startswith(
        f"{tree.root}/data/paths.toml: [models.clip] has pth; its loaders take"
    )


CHECKS = "if n_images < 1:\n    raise ValueError(f'n_images={n_images} must be\\n   a whole number')"


def test_an_error_of_a_cell_is_one_line(tree, capfd):
    """In [1] has the defaults, In [2] what is given instead."""
    tree("01_first", CHECKS)
    assert main(["figures", "--set", "n_images=0", "--output", "out"]) == 1
    told = capfd.readouterr()
    assert told.err == (
        "[1/1] 01_first.ipynb failed: In [3]: ValueError: n_images=0 must be a whole number (see out/01_first.ipynb)\n"
        "1 of 1 notebooks failed: 01_first.ipynb\n"
    )
    assert "look first" not in told.out


@pytest.mark.slow
def test_relative_places_are_the_same_for_the_kernels(tree, monkeypatch, tmp_path_factory):
    """Notebooks, which run in another folder, find them; with the data on another disk too."""
    elsewhere = tmp_path_factory.mktemp("disk")
    (elsewhere / "däta of mine").mkdir()
    monkeypatch.chdir(elsewhere)
    monkeypatch.setenv("MDISSECT_DATA", "däta of mine")
    monkeypatch.setenv("MDISSECT_STORE", "kept")
    tree("01_first", "from mdissect import paths\nprint(paths.data_dir(), paths.store_dir(), paths.figures_dir(), sep='\\n')")
    assert main(["figures", "--output", "out"]) == 0
    places = [elsewhere / "däta of mine", elsewhere / "kept", tree.root / "figures"]
    assert printed(elsewhere / "out" / "01_first.ipynb") == ["".join(f"{place}\n" for place in places)]
    monkeypatch.setenv("MDISSECT_FIGURES", "pictures")
    assert main(["figures", "--output", "out {of} é"]) == 0
    assert printed(elsewhere / "out {of} é" / "01_first.ipynb")[0].endswith(f"\n{elsewhere / 'pictures'}\n")


PROGRAM = (
    "import sys\nfrom pathlib import Path\nfrom mdissect import paths\nfrom mdissect.__main__ import main\n"
    "paths.checkout = lambda: Path(sys.argv[1])\nsys.exit(main(sys.argv[2:]))"
)


def started(tree, *arguments: str) -> subprocess.Popen:
    """The command in a process group of its own, over the tests' notebooks."""
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tree.root), "figures", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=heed_signals,
        text=True,
    )


def heed_signals() -> None:
    """Undo what the tests may have inherited: a shell ignores SIGINT for what runs in the background, nohup SIGHUP."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def wait_for(ready, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


WAITS = (
    "import os, pathlib, subprocess, time\nchild = subprocess.Popen(['sleep', '600'])\n"
    "part = pathlib.Path('../{number}.part')\npart.write_text(f'{os.getpid()} {child.pid}')\n"
    "part.rename(part.with_suffix('.pids'))\ntime.sleep(600)"
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "group", "jobs"), [(signal.SIGINT, True, 2), (signal.SIGINT, False, 1), (signal.SIGTERM, False, 2)]
)
def test_a_signal_ends_all_kernels_and_starts_no_further_notebook(number, group, jobs, tree):
    for name in ("01", "02", "03", "04"):
        tree(f"{name}_waits", WAITS.replace("{number}", name))
    process = started(tree, "--jobs", str(jobs))
    wait_for(lambda: len(list(tree.root.glob("*.pids"))) == jobs)
    pids = [int(pid) for file in tree.root.glob("*.pids") for pid in file.read_text().split()]
    (os.killpg if group else os.kill)(process.pid, number)
    out, told = process.communicate(timeout=20)
    assert process.returncode == 128 + number
    assert out.splitlines()[0] == f"running 4 notebooks{f', {jobs} at a time' if jobs > 1 else ''}"
    assert out.count("  started ") == jobs
    assert told == f"mdissect: stopped by {number.name}\n"
    wait_for(lambda: not any(map(alive, pids)), 5)
    assert len(list(tree.root.glob("*.pids"))) == jobs


@pytest.mark.slow
def test_a_kill_leaves_notebooks_whole(tree):
    """Old or new, at whichever moment of a --refresh; 20 moments under MDISSECT_FUZZ=long."""
    path, long = tree("01_first", "print('x' * 3_000_000)"), os.environ.get("MDISSECT_FUZZ") == "long"
    before = path.read_bytes()
    for moment in range(20 if long else 3):
        process = started(tree, "--refresh")
        time.sleep(1.5 + 2 * moment / (20 if long else 3))
        process.kill()
        process.communicate()
        assert path.read_bytes() == before or len(printed(path)[0]) == 3_000_001
        path.write_bytes(before)


def test_no_widget_stands_in_a_notebook_that_is_not_about_them():
    """Shown as HTML, they would ask the network for their scripts."""
    for path in Path(figures.__file__).parents[2].glob("notebooks/0[0-6]_*.ipynb"):
        assert "application/vnd.jupyter.widget-view+json" not in path.read_text(encoding="utf-8"), path.name
