"""Checks of the repository itself: one list of dependencies, no heavy files, notebooks as they are to be read."""

import ast
import json
import subprocess
import sys
import tempfile
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from mdissect.study import chosen

ROOT = Path(__file__).parents[1]
MOST_BYTES = 3_000_000
OWN_FOLDERS = {str(folder) for folder in (ROOT, Path.home(), sys.prefix, tempfile.gettempdir())} - {"/"}
MACHINE_PATHS = ("/root/", "/home/", "/tmp/", "/work/", "/Users/", *(f"{folder}/" for folder in OWN_FOLDERS))


def tracked(*patterns):
    """The files that git knows, as they are now."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--", *patterns]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    if found.returncode:
        pytest.skip(f"git does not tell its files: {found.stderr.strip()}", allow_module_level=True)
    return sorted(path for name in found.stdout.split("\0") if name and (path := ROOT / name).exists())


FILES = tracked()
NOTEBOOKS = {path.name: path for path in FILES if path.suffix == ".ipynb"}


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def environment():
    return yaml.safe_load((ROOT / "environment.yml").read_text())


def test_the_conda_environment_installs_the_project_and_nothing_beside_it(environment, project):
    python, pip, installed = environment["dependencies"]
    assert environment["name"] == project["name"]
    assert python.startswith("python=")
    assert pip == "pip"
    assert installed == {"pip": ["-e .[dev]"]}
    assert "dev" in project["optional-dependencies"]


def test_the_conda_environment_has_a_python_that_the_project_takes(environment, project):
    pinned = environment["dependencies"][0].partition("=")[2]
    assert SpecifierSet(project["requires-python"]).contains(pinned)


def test_there_is_one_list_of_dependencies(project):
    other_lists = ("requirements*.txt", "setup.py", "setup.cfg", "Pipfile", "poetry.lock", "environment*.yaml")
    assert tracked(*other_lists, *(f"**/{pattern}" for pattern in other_lists)) == []
    named = [Requirement(text) for text in [*project["dependencies"], *project["optional-dependencies"]["dev"]]]
    names = [requirement.name.lower() for requirement in named]
    assert len(names) == len(set(names))
    assert not [str(requirement) for requirement in named if not requirement.specifier]  # each says from which version on


def test_no_file_is_heavy():
    assert {str(path.relative_to(ROOT)): size for path in FILES if (size := path.stat().st_size) > MOST_BYTES} == {}


def test_the_shipped_demo_models_stay_small():
    demo = ROOT / "data" / "demo"
    further = [path for path in FILES if path.is_relative_to(demo / "replicates")]
    shipped = [path for path in FILES if path.is_relative_to(demo) and path not in further]
    assert sum(path.stat().st_size for path in shipped) <= 8_000_000
    assert sum(path.stat().st_size for path in further) <= 22_000_000  # 30 MB with the others


def cells(path, kind="code"):
    return [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == kind]


def texts(value):
    """All that a reader sees as text in a cell or an output; not pictures in base64."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        yield "".join(part for part in value if isinstance(part, str))
        for part in value:
            yield from () if isinstance(part, str) else texts(part)
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from () if key in ("image/png", "image/jpeg") else texts(part)


# Cells whose numbers may differ by more than their last digit, and why (tests/notebook_outputs.py). Measured between
# ATEN_CPU_CAPABILITY default, avx2 and avx512; no other cell needs it, and whole numbers never do.
TOLERANCES = {
    ("06_trust.ipynb", "few_images_scores", "within-0.005"): "one or two of the 400 planted neurons",
    ("06_trust.ipynb", "passing_share(found", "within-0.016"): "one neuron of the 64 of the smallest layer at tau",
    ("06_trust.ipynb", "Markdown(words)", "within-0.016"): "the same in a sentence",
    ("06_trust.ipynb", "most_stable(checked", "within-0.01"): "two of 200 resamples",
    ("06_trust.ipynb", "table = checked[shown]", "within-0.01"): "two of 200 resamples",
    ("09_pretraining_and_localisation.ipynb", "history = small_pretraining", "within-0.1"): "losses of a training: 0.03",
    ("09_pretraining_and_localisation.ipynb", "Markdown(words)", "within-0.1"): "the same in a sentence",
    ("09_pretraining_and_localisation.ipynb", "few = pd.concat", "within-0.05"): "rounding grows over the steps of a training",
    ("09_pretraining_and_localisation.ipynb", "Markdown(efficiency)", "within-0.05"): "the same in a sentence",
}
RECORDING = ("open_study", "save_figure", "show", "save_claims")
UNRECORDED = {  # parameters under other names in a figure's settings, or of no figure
    "02_rq2_fine_tuning.ipynb": {"closer": "of tables", "tasks": "in pairs"},
    "03_rq3_missed.ipynb": {"top_images": "of a table"},
    "04_neuron_case_studies.ipynb": {
        "layer": "the case's",
        "implant_neuron": "the case's",
        "calcification_neuron": "the case's",
        "n_localised": "in images",
    },
    "07_explorers.ipynb": {"layer": "in the state", "query": "in the state", "split": "in the state", "export": "of no figure"},
    "08_speed.ipynb": {"data_sets": "of a table", "gpu_rate": "of a table", "gpus": "of a table"},
    "09_pretraining_and_localisation.ipynb": {
        "compared": "as dissectors",
        "factor_epochs": "as epochs",
        "findings": "those that can be located",
    },
    "10_labels_and_predictions.ipynb": {"top_images": "of a sentence"},
}


@pytest.mark.parametrize("name", NOTEBOOKS)
class TestNotebook:
    def test_all_outputs_are_compared(self, name):
        """Within the last printed digit but for the cells above, whose tags are known."""
        tags = [(tag, "".join(cell["source"])) for cell in cells(NOTEBOOKS[name]) for tag in cell["metadata"].get("tags", [])]
        stated = [(tag, source) for tag, source in tags if tag != "parameters"]
        known = [(tag, said) for where, said, tag in TOLERANCES if where == name]
        assert [tag for tag, source in stated if not any(tag == t and said in source for t, said in known)] == []
        assert len(stated) == len(known)
        assert not [source for cell in cells(NOTEBOOKS[name]) if "NBVAL_" in (source := "".join(cell["source"]).upper())]

    def test_figures_are_known_by_all_parameters_that_they_hang_on(self, name):
        """A parameter goes to open_study or to a figure's settings, else a run that changes it would write over the figure."""
        sources = ["".join(cell["source"]) for cell in cells(NOTEBOOKS[name])]
        calls = [node for source in sources for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
        known = [call for call in calls if getattr(call.func, "attr", getattr(call.func, "id", "")) in RECORDING]
        if not any(getattr(call.func, "attr", "") in RECORDING[1:] for call in known):
            return
        told = {node.id for call in known for node in ast.walk(call) if isinstance(node, ast.Name)}
        given = {target.id for node in ast.parse(sources[0]).body for target in node.targets}
        if "chosen" in told:  # open_study(**chosen(globals()))
            told |= set(chosen(dict.fromkeys(given, "")))
        assert given - told - UNRECORDED.get(name, {}).keys() == set()

    def test_ran_from_top_to_bottom(self, name):
        counts = [cell["execution_count"] for cell in cells(NOTEBOOKS[name])]
        assert counts == list(range(1, len(counts) + 1))

    def test_shows_its_results_and_no_error(self, name):
        outputs = [output for cell in cells(NOTEBOOKS[name]) for output in cell["outputs"]]
        assert [output for output in outputs if output["output_type"] == "error"] == []
        assert any({"image/png", "text/markdown"} & set(output.get("data", {})) for output in outputs)

    def test_tells_no_machine_paths(self, name):
        everything = json.loads(NOTEBOOKS[name].read_text())
        found = [text for text in texts(everything) if any(path in text for path in MACHINE_PATHS)]
        assert found == []

    def test_begins_with_the_parameters_of_the_demo(self, name):
        marked = [cell for cell in cells(NOTEBOOKS[name]) if "parameters" in cell["metadata"].get("tags", [])]
        assert marked == cells(NOTEBOOKS[name])[:1]
        assert 'profile = "demo"' in "".join(marked[0]["source"])

    def test_explains_every_step(self, name):
        """Prose before each cell, but for cells that write prose: the finding under a figure."""
        everything = json.loads(NOTEBOOKS[name].read_text())["cells"]
        assert everything[0]["cell_type"] == "markdown"
        for before, cell in pairwise(everything):
            if before["cell_type"] == cell["cell_type"] == "code":
                assert any("text/markdown" in output.get("data", {}) for output in cell["outputs"]), cell["source"]

    def test_defines_no_long_functions(self, name):
        for cell in cells(NOTEBOOKS[name]):
            tree = ast.parse("".join(cell["source"]))
            functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
            assert [node.name for node in functions if node.end_lineno - node.lineno >= 5] == []
