"""Words of the project's prose: coined phrases, which a reader has to read twice, do not come back."""

import ast
import io
import json
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Whole phrases, as regular expressions without regard to case; beside each its plain form. Innocent words are none.
COINED = {
    r"foremost": "top",
    r"must mean nothing": "control baselines",
    r"(?:are|is|be|was|were) held against|hold(?:s|ing)? (?:it|them|a label|what is missed) against": "compared with",
    r"(?:carr(?:y|ies|ied)|called so|named|labelled) past (?:the|its|their) (?:same )?thresholds?": "above the threshold",
    r"called so past": "with this label, above",
    r"called otherwise": "other label",
    r"\(carries it\)": "this label",
    r"stands? for (?:a|the|each|every) neuron": "top images per neuron",
    r"the surest first|surest first|the surest labels": "most certain first",
    r"looked in the eye|look a neuron in the eye": "inspect a neuron",
    r"for want of": "because there are too few",
    r"the setting up": "setup",
    r"how firmly": "label stability",
    r"none was at hand": "no GPU was available",
    r"goes on where it was|go on where it was": "resumes",
    r"whatever counts, compares": "all later functions",
    r"asks other patients": "how often it returns when patients are resampled",
    r"more than the concept set's make-up explains": "over-represented",
    r"rests on chance alone": "is arbitrary",
    r"missed for want of neurons alone": "too few neurons",
    r"what training reports really said|the training reports really said": "the training reports",
    r"of the never said|the missed, never said": "never-mentioned concepts",
    r"one of the concepts is none that": "not visible on mammograms",
    r"do the labels know": "do labels separate",
    r"names every neuron, noise too": "labels every neuron, even noise",
    r"not that the axis means its word": "not that the word fits",
    r"how far do thresholds hang on|hangs? on the patients": "depend on",
    r"whether a name is right, one has to see": "look at the images",
    r"can be gone to": "click to open",
    r"what is known of the labels' worth": "evidence for each label",
    r"where it answers|neurons? answers? to|answers to the concept": "activation map; responds to",
    r"findings' boxes lie|a place drawn at random would": "annotations; by chance",
    r"neurons it moves most": "most activated neurons",
    r"nearest to it by the dissector": "closest concepts (dissector)",
    r"which (?:reaches|does not reach) the threshold \{": "above threshold",
    r"by a version of mdissect that it does not tell": "does not record its mdissect version",
    r"give your initials to keep": "enter your initials to save",
    r"nothing is missing for the demo": "demo ready",
    r"and call it so": "rename it to this",
    r"say of an \w+ which": "re-raise",
    r"nobody ever aligned|which nobody": "never aligned",
    r"an image without a patient standing for itself": "images without a patient count as their own",
    r"the parameters: what is left empty": "Parameters; empty ones take the profile's defaults",
    r"not told from chance|told the wrong way round|too few images to tell": "not better than chance",
    r"it cannot be told|cannot be told,": "is ambiguous",
    r"what it takes to carry": "what is needed to",
    r"dissect(?:ed)? anew|train(?:ed)? anew|read anew": "again",
    r"may\s+rightly be named": "correct labels",
    r"no count of concepts apart from": "the count grows with the number of patients",
    r"what was kept before is there again": "earlier verdicts are there",
    r"a search ends it|it ends a search": "replace each other",
    r"of which alone": "only those of",
    r"is (?:only )?written anew": "is replaced",
    r"says? of (?:its|their) (?:labels?|images?|neurons?)": "describes",
}
PATTERN = re.compile("|".join(f"(?P<p{i}>{phrase})" for i, phrase in enumerate(COINED)), re.IGNORECASE)
SOURCES = [path for path in sorted((ROOT / "mdissect").rglob("*.py")) if "phantom" not in path.parts]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PAGES = [ROOT / "README.md", ROOT / "data" / "README.md", ROOT / "Makefile"]


def joined(text: str) -> str:
    return " ".join(text.split())


def prose_of(path: Path) -> list[str]:
    """The texts of a file: comments and strings of Python, Markdown and strings in code of notebooks, all of other files."""
    if path.suffix == ".ipynb":
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        sources = [("".join(cell["source"]), cell["cell_type"]) for cell in cells]
        return [joined(text) for source, kind in sources for text in (prose_of_code(source) if kind == "code" else [source])]
    text = path.read_text(encoding="utf-8")
    return list(map(joined, prose_of_code(text) if path.suffix == ".py" else [text]))


def prose_of_code(source: str) -> list[str]:
    strings = [
        node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return [*strings, "\n".join(token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT)]


def coined(texts: list[str]) -> list[str]:
    """The coined phrases in some texts, each with its plain form."""
    plain = list(COINED.values())
    return [f"{found.group()!r}: {plain[int(found.lastgroup[1:])]}" for text in texts for found in PATTERN.finditer(text)]


@pytest.mark.parametrize("path", [*PAGES, *NOTEBOOKS], ids=lambda path: str(path.relative_to(ROOT)))
def test_pages_and_notebooks_are_in_plain_words(path):
    assert coined(prose_of(path)) == []


@pytest.mark.slow
def test_the_code_is_in_plain_words():
    assert {str(path.relative_to(ROOT)): found for path in SOURCES if (found := coined(prose_of(path)))} == {}


@pytest.mark.parametrize(
    "text",
    [
        "The foremost concepts of a neuron",
        "Beside what must mean nothing",
        "concepts that neurons carry past the threshold",
        "20 images that stand for a neuron",
        "labels are held against the truth",
        "the strongest images, the surest first",
        "get model.safetensors, and call it so",
        'raise ValueError("nothing is missing for the demo")',
    ],
)
def test_coined_phrases_are_found(text):
    assert len(coined([text])) == 1


@pytest.mark.parametrize(
    "text",
    [
        "a sound check; judge it by the images; nobody was asked",
        "tokens stand in rows; it carries a checksum; hold the lock",
        "the label reaches the threshold; answers of readers; what it takes as input",
    ],
)
def test_innocent_words_are_none(text):
    assert coined([text]) == []


def test_phrases_are_found_over_line_ends_in_docstrings_comments_and_cells(tmp_path):
    path = tmp_path / "a.py"
    path.write_text('"""The labels are held\n    against it."""\nx = 1  # the surest\n# first\n')
    assert len(coined(prose_of(path))) == 2
    notebook = tmp_path / "a.ipynb"
    cells = [{"cell_type": "markdown", "source": ["Neurons look\n", "ed in the eye: looked\n", "in the eye"]},
             {"cell_type": "code", "source": ["print('the foremost')"]}]  # fmt: skip
    notebook.write_text(json.dumps({"cells": cells}))
    assert len(coined(prose_of(notebook))) == 2
