"""The committed figures can be read: nothing printed over anything, enough contrast, alternative text; all results are told."""

import json
from itertools import pairwise
from pathlib import Path

import pytest
from matplotlib.colors import to_hex, to_rgba

from mdissect.plots import contrast
from mdissect.plots.style import READABLE
from mdissect.study import claims

ROOT = Path(__file__).parents[1]
FIGURES = {path.stem: path for path in sorted((ROOT / "figures" / "demo").glob("*.json")) if path.stem != "00_results"}


def drawn(name):
    return json.loads(FIGURES[name].read_text(encoding="utf-8"))


def on_white(colour: str) -> str:
    """A colour, which may be translucent, as it looks on white."""
    *parts, alpha = to_rgba(colour)
    return to_hex([alpha * part + 1 - alpha for part in parts])


def too_pale(artists: list[dict]) -> list[str]:
    """The texts of a drawing with too little contrast on white; bright ones may stand on pictures and heat maps."""
    starts = [i for i, artist in enumerate(artists) if "axes" in artist] + [len(artists)]
    parts = [artists[: starts[0]], *(artists[start:end] for start, end in pairwise(starts))]
    found = []
    for part in parts:
        on_picture, on_cells = (any(name in artist for artist in part) for name in ("picture", "shapes"))
        bright = [
            one for one in part if "at" in one and (on_picture or (on_cells and one.get("style", "").startswith("#ffffff ")))
        ]
        texts = [artist for artist in part if "text" in artist and artist not in bright]
        found += [one["text"] for one in texts if contrast(on_white(one["style"].split()[0])) < READABLE]
    return found


def test_there_are_figures():
    assert len(FIGURES) > 20


@pytest.mark.parametrize("name", FIGURES)
class TestFigure:
    def test_its_three_files_are_there(self, name):
        assert [ending for ending in (".png", ".svg") if not FIGURES[name].with_suffix(ending).is_file()] == []

    def test_no_text_is_printed_over_another(self, name):
        assert drawn(name)["overprints"] == []

    def test_its_texts_can_be_read(self, name):
        assert too_pale(drawn(name)["drawn"]) == []

    def test_it_has_alternative_text(self, name):
        alt = drawn(name)["alt"]
        assert len(alt.split()) >= 4
        assert "**" not in alt


@pytest.mark.parametrize(
    ("artists", "pale"),
    [
        ([{"text": "a", "style": "#000000 8"}], []),
        ([{"text": "a", "style": "#e69f00 8"}], ["a"]),
        ([{"text": "a", "style": "#00000040 8"}], ["a"]),
        ([{"axes": ""}, {"picture": [2, 2]}, {"text": "a", "style": "#ffffff 8", "at": [0, 0]}], []),
        ([{"axes": ""}, {"picture": [2, 2]}, {"axes": ""}, {"text": "a", "style": "#ffffff 8", "at": [0, 0]}], ["a"]),
        ([{"axes": ""}, {"picture": [2, 2]}, {"text": "a", "style": "#ffffff 8"}], ["a"]),
        ([{"axes": ""}, {"shapes": [2, 2]}, {"text": "a", "style": "#ffffff 8", "at": [0, 0]}], []),
        ([{"axes": ""}, {"shapes": [2, 2]}, {"text": "a", "style": "#e69f00 8", "at": [0, 0]}], ["a"]),
    ],
)
def test_pale_texts_are_found(artists, pale):
    assert too_pale(artists) == pale


def test_the_results_page_has_every_finding_of_the_paper():
    """Each row of the claims file, and with it each finding that is stated, stands in notebook 00 with what came of it."""
    written = json.loads((ROOT / "figures" / "demo" / "00_results.json").read_text(encoding="utf-8"))
    rows = [claims.Claim(**row) for row in written["claims"]]
    notebook = json.loads((ROOT / "notebooks" / "00_results.ipynb").read_text(encoding="utf-8"))
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    page = "\n".join("".join(output["data"].get("text/markdown", "")) for output in outputs if "data" in output)
    assert {one.key for one in rows} == set(claims.STATED)
    shown = [line for line in claims.as_markdown(rows).split("\n")[2:] if line not in page]
    assert shown == []
    assert claims.summary(rows) in page
    assert claims.summary(rows).replace("*", "") == written["total"]
    assert written["settings"]["profile"] == "demo"
