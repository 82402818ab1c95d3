"""The plugin that compares notebooks' outputs: pairs of outputs, and nbval at work on a tiny notebook."""

import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import nbformat
import pytest
from nbformat import v4
from notebook_outputs import WIDGET, difference, tolerance_of

from mdissect.plots.rounding import Tolerance

TESTS = Path(__file__).parent


def shown(**data):
    return v4.new_output("display_data", {name.replace("_", "/"): value for name, value in data.items()})


def printed(text, name="stdout"):
    return v4.new_output("stream", name=name, text=text)


WIDGETS = [v4.new_output("display_data", {WIDGET: {"model_id": one}, "text/plain": f"Box({one})"}) for one in "ab"]
SAME = {
    "nothing": ([], []),
    "printed": ([printed("0.50\n")], [printed("0.51\n")]),
    "tables": ([shown(text_html="<td>1.0</td>", text_plain="  1.0")], [shown(text_html="<td>1.1</td>", text_plain=" 1.1")]),
    "finding": ([shown(text_markdown="**seen** in 38%")], [shown(text_markdown="**seen** in 39%")]),
    "pictures": ([shown(image_png="abc", text_plain="<Figure>")], [shown(image_png="xyz", text_plain="<Figure>")]),
    "widgets": (WIDGETS[:1], WIDGETS[1:]),
    "addresses": ([shown(text_plain="<Styler at 0x7f2a>")], [shown(text_plain="<Styler at 0x55d1>")]),
}
OTHER = {
    "printed": ([printed("0.50\n")], [printed("0.60\n")], "output 1 of 1, stdout: .*0.50.*0.60"),
    "tables": ([shown(text_html="<td>1</td>")], [shown(text_html="<td>2</td>")], "text/html: .*1 apart, 0 allowed"),
    "row order": ([shown(text_plain="M 1.0\nG 2.0")], [shown(text_plain="G 2.0\nM 1.0")], "text/plain"),
    "finding": ([shown(text_markdown="**seen** in 3")], [shown(text_markdown="not seen in 3")], "text/markdown: .*not seen"),
    "the second": ([printed("a"), shown(text_plain="1")], [printed("a"), shown(text_plain="2")], "output 2 of 2"),
    "one more": ([printed("a")], [printed("a"), shown(text_plain="b")], "1 outputs were committed, now there are 2"),
    "none": ([printed("a")], [], "1 outputs were committed, now there are 0: stdout; now none"),
    "no picture": ([shown(image_png="abc", text_plain="x")], [shown(text_plain="x")], "image/png, text/plain was committed"),
    "stderr": ([printed("a", "stderr")], [printed("a", "stderr")], "stderr: a"),
}


@pytest.mark.parametrize(("committed", "now"), SAME.values(), ids=SAME)
def test_outputs_that_agree(committed, now):
    assert difference(committed, now) is None


@pytest.mark.parametrize(("committed", "now", "told"), OTHER.values(), ids=OTHER)
def test_outputs_that_do_not(committed, now, told):
    assert re.search(told, difference(committed, now))


def test_tags_state_tolerances():
    assert tolerance_of([]) == tolerance_of(["parameters"]) == Tolerance()
    assert tolerance_of(["within-0.01", "counts-within-1"]) == Tolerance(within=0.01, counts=1)
    for tag in ("within-1%", "within", "counts-within-0.5"):
        with pytest.raises(ValueError, match=f"the tag '{tag}' states no tolerance; write within-0.01 or counts-within-1"):
            tolerance_of([tag])


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What nbval tells of a notebook whose cells print 0.501 and 7; committed are other numbers, some by tags allowed."""
    folder = tmp_path_factory.mktemp("notebooks")
    cells = {
        "rounding": ("0.502", []),
        "wrong": ("0.601", []),
        "allowed": ("0.511", ["within-0.01"]),
        "ignored": ("0.601", ["nbval-ignore-output"]),
    }
    notebook = v4.new_notebook(metadata={"kernelspec": {"name": "python3", "display_name": "", "language": "python"}})
    for number, (committed, tags) in enumerate(cells.values(), start=1):
        output = v4.new_output("stream", name="stdout", text=f"share {committed}, 7 neurons\n")
        source = 'print("share 0.501, 7 neurons")'
        notebook.cells.append(v4.new_code_cell(source, metadata={"tags": tags}, outputs=[output], execution_count=number))
    nbformat.write(notebook, folder / "00_listing.ipynb")
    notebook.cells = notebook.cells[:1]
    nbformat.write(notebook, folder / "01_one.ipynb")
    options = ["--nbval", "-p", "notebook_outputs", "-p", "no:cacheprovider", "--junitxml=told.xml", "--color=no"]
    paths = os.pathsep.join(filter(None, [str(TESTS), str(TESTS.parent), os.environ.get("PYTHONPATH")]))
    command, environment = [sys.executable, "-m", "pytest", *options, "."], {**os.environ, "PYTHONPATH": paths}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=folder, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    cases = {case: case.find("failure") for case in ElementTree.parse(folder / "told.xml").iter("testcase")}
    return {f"{case.get('classname')} {case.get('name')}": "" if bad is None else bad.text for case, bad in cases.items()}


@pytest.mark.slow
def test_nbval_compares_by_the_plugin(told):
    """Rounding passes, a wrong number fails, a tag may allow more, and nbval's own tag to ignore outputs does not help."""
    assert [not failure for cell, failure in told.items() if "listing" in cell] == [True, False, True, False]
    failure = told["00_listing.ipynb Cell 1"]
    assert "Cell 1: Cell outputs differ" in failure
    assert "output 1 of 1, stdout: share >>0.601<< was committed, now share >>0.501<<: 0.1 apart, 0.001 allowed" in failure


@pytest.mark.slow
def test_the_notebook_that_lists_figures_comes_last(told):
    assert next(iter(told)) == "01_one.ipynb Cell 0"
