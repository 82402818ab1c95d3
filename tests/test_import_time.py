"""What is imported when: which heavy packages a fresh process holds, by name; no time is measured.

Seconds of the processor that each takes to import (an Intel Xeon, torch being there): transformers with BERT 2.4, timm
1.6, torchvision 1.2, scikit-learn 1.0, seaborn 0.8, scipy.stats 0.6, zarr 0.2.
"""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from toys import toy_dissect, toy_target

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
MODELS = {"timm", "transformers", "tokenizers", "huggingface_hub", "torchvision", "open_clip"}
RARE = {"sklearn", "seaborn", "scipy.stats", "zarr", "wordcloud", "openpyxl", "pydicom", "ipywidgets", "torch._dynamo"}
DRAWING = {"matplotlib"}
GROUND = {"torch", "pandas", "numpy", "scipy"}
HEAVY = MODELS | RARE | DRAWING | GROUND
NUMBERS = ("00", "01", "02", "03", "04", "05", "06", "07", "08", "09", "10")  # of the notebooks
N_CELLS = {"01": 2}  # that are run: the first after the parameters, which loads all models, where nothing else is said
WITHOUT_MODELS = {"08"}  # it draws tables
USED = {"07": {"ipywidgets"}, "10": {"scipy.stats", "zarr"}}  # 10 reads the null and p-values of the store
FIRST_CELLS = """
import json, pathlib, sys
document = json.loads(pathlib.Path({notebook!r}).read_text())
parameters, *cells = ["".join(cell["source"]) for cell in document["cells"] if cell["cell_type"] == "code"]
names = {{}}
exec(parameters, names)
small = {{"setups": ["M"], "compared": ["M"], "n_images": 40, "top_k": 5, "n_boot": 2}}
names.update({{name: value for name, value in small.items() if name in names}})
for cell in cells[:{n_cells}]:
    exec(cell, names)
"""


def held(code: str, *arguments: str, **environment: str) -> set[str]:
    """The heavy packages that a fresh process holds after some code."""
    told = f"{code}\nimport sys\nprint('\\n' + ' '.join(name for name in {sorted(HEAVY)} if name in sys.modules))"
    command = [sys.executable, "-c", told, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | environment, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


def test_the_package_itself_needs_nothing():
    assert held("import mdissect; dir(mdissect); mdissect.__version__") == set()


@pytest.mark.parametrize(
    "face", ["study", "trust", "predictions", "sae", "train", "plots", "explorers", "models", "localize", "concepts", "probes"]
)
def test_a_folder_s_face_needs_nothing(face):
    assert held(f"import mdissect.{face} as face; dir(face)") == set()


@pytest.mark.slow
@pytest.mark.parametrize(
    "code",
    [
        "from mdissect import dissect, load_probe, load_target, load_dissector, load_concepts",
        "from mdissect.study import open_study, claims, findings, compare_pair",
        "from mdissect.trust import predicts, stability, report_card, linear_labels, paired",
        "from mdissect.predictions import predict, ablate, contributions, zero_shot, causal_effects",
        "from mdissect import sae, train; sae.train; train.finetune",
        "from mdissect import calibrate, similarity, analysis; calibrate.calibrate; similarity.soft_wpmi; analysis.compare",
    ],
)
def test_functions_are_there_without_models_and_rare_packages(code):
    drawing = set() if "study" in code else DRAWING  # a study saves figures
    assert held(code) & (MODELS | RARE | drawing) == set()


@pytest.mark.slow
def test_a_saved_result_is_opened_and_listed_without_models(tmp_path):
    toy_dissect(toy_target()).save(tmp_path / "result")
    code = "import sys, mdissect; print(mdissect.Dissection.load(sys.argv[1]).labels())"
    assert held(code, str(tmp_path / "result")) & (MODELS | RARE | DRAWING) == set()


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("number", NUMBERS)
def test_a_notebook_whose_store_is_warm_imports_no_models(tmp_path, number):
    """What its first cells computed, a second kernel reads; of the rare packages it imports what it uses."""
    (notebook,) = NOTEBOOKS.glob(f"{number}_*.ipynb")
    code = FIRST_CELLS.format(notebook=str(notebook), n_cells=N_CELLS.get(number, 1))
    folders = {name: str(tmp_path / name.lower()) for name in ("MDISSECT_STORE", "MDISSECT_FIGURES", "MDISSECT_CACHE")}
    places = folders | {"MPLBACKEND": "agg"}
    first = held(code, **places)
    assert {"timm", "transformers"} <= first or number in WITHOUT_MODELS
    assert held(code, **places) & (MODELS | RARE) <= USED.get(number, set())


@pytest.mark.slow
def test_a_function_keeps_its_name_where_its_module_has_the_same():
    """Where the module is imported first, `mdissect.trust.predicts` is the function and `import_module` finds the module."""
    code = """
import importlib, inspect, sys
for path in ["trust.predicts", "trust.stability", "predictions.predict", "sae.train", "train.finetune"]:
    folder, name = path.split(".")
    module = importlib.import_module(f"mdissect.{folder}.{name}")
    face = sys.modules[f"mdissect.{folder}"]
    assert inspect.isfunction(getattr(face, name)), name
    assert getattr(face, name) is getattr(module, name) and inspect.ismodule(module), name
"""
    held(code)


def test_every_notebook_is_tried():
    assert sorted(NUMBERS) == sorted(path.name[:2] for path in NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))


def test_the_names_are_of_packages_that_could_be_imported():
    """A misspelt name would never be found."""
    optional = {"open_clip"}
    assert [name for name in sorted(HEAVY - optional) if importlib.util.find_spec(name) is None] == []


def test_notebooks_leave_heavy_imports_to_mdissect():
    for notebook in NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"):
        cells = json.loads(notebook.read_text())["cells"]
        source = "".join("".join(cell["source"]) + "\n" for cell in cells if cell["cell_type"] == "code")
        assert not [name for name in MODELS | RARE if f"import {name}" in source or f"from {name}" in source], notebook.name
