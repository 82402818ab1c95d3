"""Notebooks run without a browser: a tree of tiny ones."""

import os
import re

import faults
import nbformat
import pytest
from nbformat import v4

from mdissect.__main__ import main
from mdissect.commands.figures import _keep_outputs, find_notebooks, parse_settings, run_notebooks

PARAMETERS = 'profile = "demo"\nn_images = 600\nprobe = ""'


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A checkout with data/ and notebooks/, where the tests stand; a function that writes notebooks into it."""
    for name in ("data", "notebooks"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("MDISSECT_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("MDISSECT_FIGURES", raising=False)
    monkeypatch.chdir(tmp_path)

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


def test_settings_are_literals_or_text():
    given = ["n_images=500", "lam=0.5", "probe=folder", "names=['a', 'b']", "layers=None", "path=a=b", "empty="]
    assert parse_settings(given) == {
        "n_images": 500,
        "lam": 0.5,
        "probe": "folder",
        "names": ["a", "b"],
        "layers": None,
        "path": "a=b",
        "empty": "",
    }
    assert parse_settings([]) == {}


@pytest.mark.parametrize("setting", ["n_images", "=5", "n images=5", "2n=5", ""])
def test_settings_that_are_none(setting):
    with pytest.raises(ValueError, match="is not NAME=VALUE, such as n_images=500"):
        parse_settings([setting])


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
    where = "figures with these settings go to build/figures/demo, not over those in figures/"
    assert re.fullmatch(rf"{where}\n01_first\.ipynb: \d+ s -> out/01_first\.ipynb\n", told.out)
    assert "encryption" not in told.err  # the kernel warns of its local port unless it is told not to


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
    assert "go to" not in capfd.readouterr().out
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
    with pytest.raises(ValueError, match=r"02_second\.ipynb has no parameter n_images; it has other$"):
        run_notebooks(settings=["n_images=5"], output=tree.root / "out")
    assert not (tree.root / "out").exists()
    with pytest.raises(SystemExit) as stopped:
        main(["figures", "--only", "01", "--set", "n_image=5", "top=3"])
    assert stopped.value.code == 2
    assert "error: 01_first.ipynb has no parameter n_image, top; it has profile, n_images, probe" in capsys.readouterr().err


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
