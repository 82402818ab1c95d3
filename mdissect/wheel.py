"""What a wheel of the package brings along, in ``mdissect/shipped``: concepts, demo models, notebooks, tables of benchmarks.

Further trainings of the demo models (`data/demo/replicates`) stay in the checkout.

Run by setuptools alone (pyproject.toml), which loads this file by itself. What users put into data/ stays out.
"""

import shutil
from pathlib import Path

from setuptools.command.build_py import build_py

MODELS = ("C1", "C2", "C3", "C4", "clip", "general", "mammo")
SHIPPED = (
    "data/README.md",
    "data/concepts/mammography.csv",
    "data/concepts/labels/vindr.csv",
    "data/demo/tokenizer.json",
    *(f"data/demo/{model}/{file}" for model in MODELS for file in ("README.md", "config.json", "model.safetensors")),
)


class BuildPy(build_py):
    """Copy them beside the modules, but not for an editable installation, which uses the checkout."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        root = Path.cwd()  # of the build: the checkout
        notebooks = [path.relative_to(root).as_posix() for path in sorted(root.glob("notebooks/[0-9][0-9]_*.ipynb"))]
        target = Path(self.build_lib) / "mdissect" / "shipped"
        shutil.rmtree(target, ignore_errors=True)
        for name in (*SHIPPED, *notebooks):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, target / name)
        for table in sorted(root.glob("tests/bench/*.json")):
            (target / "bench").mkdir(exist_ok=True)
            shutil.copy2(table, target / "bench" / table.name)
