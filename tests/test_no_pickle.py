"""No code that a file holds is ever run: nothing in mdissect or the notebooks reads pickles or evaluates text."""

import ast
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "mdissect").rglob("*.py"))
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

MODULES = {
    "pickle",
    "_pickle",
    "cPickle",
    "pickle5",
    "dill",
    "cloudpickle",
    "shelve",
    "marshal",
    "jsonpickle",
    "klepto",
    "diskcache",
}
NAMES = {
    *(f"{module}{name}" for module in ("", "builtins.") for name in ("eval", "exec", "compile", "__import__")),
    *(f"joblib.{name}" for name in ("Memory", "memory", "load", "dump", "hash", "numpy_pickle", "externals")),
    *(f"pandas.{name}" for name in ("read_pickle", "read_hdf", "HDFStore")),
    *(f"torch.{name}" for name in ("jit.load", "hub.load", "package", "serialization.pickle", "storage._load_from_bytes")),
    *(f"yaml.{name}" for name in ("load", "load_all", "unsafe_load", "full_load", "Loader", "UnsafeLoader")),
    *("numcodecs.Pickle", "numcodecs.pickles", "numpy.core.numeric.load", "runpy", "code.interact"),
}
ATTRIBUTES = {"to_pickle", "read_pickle", "allow_pickle", "object_codec", "__reduce__", "__reduce_ex__"}
#: What may be called with one argument set only.
CALLS = {
    "numpy.load": ("allow_pickle", False),
    "numpy.save": ("allow_pickle", False),
    "numpy.lib.format.read_array": ("allow_pickle", False),
    "torch.load": ("weights_only", True),
}
#: Where torch.save, which pickles, may write: the saved steps of a training, read with weights_only=True.
MAY_SAVE = {"mdissect/train/base.py"}


def findings(code: str, may_save: bool = False) -> list[str]:
    """What in a piece of code reads or runs code that comes from elsewhere, a sentence each."""
    tree = ast.parse(code)
    names = dict(_imported(tree))
    allowed, found = set(), []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            wholes = [f"{getattr(node, 'module', '')}.{one.name}".lstrip(".") for one in node.names]
            found += [(node.lineno, f"imports {one}") for one in wholes if _forbidden(one)]
        elif isinstance(node, ast.Call):
            called = _dotted(node.func, names)
            keywords = {one.arg: one.value for one in node.keywords}
            name, wanted = CALLS.get(called, ("", None))
            if name and isinstance(keywords.get(name), ast.Constant) and keywords[name].value is wanted:
                allowed.add(node.func)
            if may_save and called == "torch.save":
                allowed.add(node.func)
            if isinstance(node.func, ast.Attribute) and node.func.attr in ("eval", "query") and not _plain(node):
                found.append((node.lineno, f"evaluates text by .{node.func.attr}"))
            if called == "importlib.import_module" and node.args and _forbidden(getattr(node.args[0], "value", "")):
                found.append((node.lineno, f"imports {node.args[0].value}"))
            found += [(node.lineno, f"sets {key}") for key, to in keywords.items() if key in ATTRIBUTES and not _off(to)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Name) and node not in allowed:
            name = _dotted(node, names)
            if name in NAMES or name in CALLS or name == "torch.save" or name.rpartition(".")[2] in ATTRIBUTES:
                found.append((node.lineno, f"uses {name}"))
        elif isinstance(node, ast.FunctionDef) and node.name in ATTRIBUTES:
            found.append((node.lineno, f"defines {node.name}"))
    return [f"line {line} {what}" for line, what in sorted(set(found))]


def _imported(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Names of a module and what they stand for, by import."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for one in node.names:
                yield (one.asname, one.name) if one.asname else (one.name.partition(".")[0],) * 2
        elif isinstance(node, ast.ImportFrom):
            for one in node.names:
                yield one.asname or one.name, f"{node.module}.{one.name}"


def _dotted(node: ast.AST, names: dict[str, str]) -> str:
    """A name in full, such as "numpy.load" for np.load; "" before the last part of what is not a plain name."""
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value, names)}.{node.attr}"
    return names.get(node.id, node.id) if isinstance(node, ast.Name) else ""


def _forbidden(name: str) -> bool:
    parts = str(name).split(".")
    return (
        bool(MODULES.intersection(parts))
        or any(".".join(parts[:n]) in NAMES for n in range(1, len(parts) + 1))
        or name in CALLS
    )


def _plain(call: ast.Call) -> bool:
    """Whether a call of eval or query has no argument, or a text that stands in the code."""
    return not call.args or isinstance(call.args[0], ast.Constant)


def _off(value: ast.AST) -> bool:
    return isinstance(value, ast.Constant) and value.value is False


def cells(notebook: Path) -> str:
    """The code of a notebook, without lines for IPython."""
    code = [cell["source"] for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    lines = [line for source in code for line in "".join(source).splitlines()]
    return "\n".join("" if line.startswith(("%", "!")) else line for line in lines)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_runs_code_from_files(path):
    may_save = path.relative_to(ROOT).as_posix() in MAY_SAVE
    assert findings(path.read_text(encoding="utf-8"), may_save) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_no_notebook_runs_code_from_files(path):
    assert findings(cells(path)) == []


@pytest.mark.parametrize(
    ("code", "what"),
    [
        ("import pickle", "imports pickle"),
        ("import pickle as p\np.loads(b'')", "imports pickle"),
        ("def f():\n    from pickle import loads", "imports pickle.loads"),
        ("import _pickle, json", "imports _pickle"),
        ("import cPickle", "imports cPickle"),
        ("import dill", "imports dill"),
        ("from cloudpickle import load", "imports cloudpickle.load"),
        ("import shelve", "imports shelve"),
        ("import marshal", "imports marshal"),
        ("from joblib.externals import cloudpickle", "imports joblib.externals.cloudpickle"),
        ("from pandas.io import pickle", "imports pandas.io.pickle"),
        ("import importlib\nimportlib.import_module('pickle')", "imports pickle"),
        ("__import__('pickle')", "uses __import__"),
        ("import joblib\njoblib.Memory('x')", "uses joblib.Memory"),
        ("from joblib import Memory", "imports joblib.Memory"),
        ("import joblib as j\nj.load('x')", "uses joblib.load"),
        ("import joblib\njoblib.dump(1, 'x')", "uses joblib.dump"),
        ("import numpy as np\nnp.load('x')", "uses numpy.load"),
        ("import numpy as np\nnp.load('x', allow_pickle=True)", "sets allow_pickle"),
        ("import numpy as np\nnp.load('x', None, yes)", "uses numpy.load"),
        ("from numpy import load as read\nread('x')", "imports numpy.load"),
        ("import numpy as np\nread = np.load", "uses numpy.load"),
        ("import numpy as np\nnp.save('x', a)", "uses numpy.save"),
        ("import numpy\nnumpy.lib.format.read_array(f)", "uses numpy.lib.format.read_array"),
        ("options = dict(allow_pickle=True)", "sets allow_pickle"),
        ("import pandas as pd\npd.read_pickle('x')", "uses pandas.read_pickle"),
        ("table.to_pickle('x')", "uses table.to_pickle"),
        ("import pandas as pd\npd.read_hdf('x')", "uses pandas.read_hdf"),
        ("import torch\ntorch.load('x')", "uses torch.load"),
        ("import torch\ntorch.load('x', weights_only=False)", "uses torch.load"),
        ("import torch\ntorch.load('x', weights_only=flag)", "uses torch.load"),
        ("import torch\nlist(map(torch.load, paths))", "uses torch.load"),
        ("import torch\ntorch.jit.load('x')", "uses torch.jit.load"),
        ("import torch\ntorch.hub.load('x', 'y')", "uses torch.hub.load"),
        ("import torch\ntorch.save(1, 'x')", "uses torch.save"),
        ("eval('1')", "uses eval"),
        ("list(map(eval, texts))", "uses eval"),
        ("exec(code)", "uses exec"),
        ("compile(text, '', 'eval')", "uses compile"),
        ("import builtins\nbuiltins.eval('1')", "uses builtins.eval"),
        ("table.eval(text)", r"evaluates text by \.eval"),
        ("table.query(f'{column} > 1')", r"evaluates text by \.query"),
        ("import yaml\nyaml.load(f)", "uses yaml.load"),
        ("import zarr\nzarr.create(3, dtype=object, object_codec=c)", "sets object_codec"),
        ("import numcodecs\nnumcodecs.Pickle()", "uses numcodecs.Pickle"),
        ("class A:\n    def __reduce__(self): pass", "defines __reduce__"),
    ],
)
def test_what_is_planted_is_found(code, what):
    found = findings(code)
    assert len(found) >= 1
    assert any(one.endswith(what.replace("\\", "")) for one in found), found


@pytest.mark.parametrize(
    "code",
    [
        "model.eval()",
        "table.query('q <= 0.05 and layer == @layer')",
        "import re\nre.compile('a')",
        "import json\njson.load(f)\njson.loads(t)",
        "import torch\ntorch.load('x', map_location='cpu', weights_only=True)",
        "import numpy as np\nnp.load('x', mmap_mode='r', allow_pickle=False)",
        "import joblib\njoblib.Parallel(2)(joblib.delayed(f)(x) for x in xs)",
        "from safetensors.numpy import load\nload(data)",
        "from mdissect import load_probe",
        "import ast\nast.literal_eval(text)",
        "import yaml\nyaml.safe_load(f)",
    ],
)
def test_what_is_harmless_is_let_be(code):
    assert findings(code) == []
