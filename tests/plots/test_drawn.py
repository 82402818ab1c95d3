"""Figures as values: what counts as changed, and SVG with few digits."""

import io
import json
import os
import re
import xml.etree.ElementTree as ET
from base64 import b64decode

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from mdissect import plots
from mdissect.plots.drawn import MOST_VALUES, drawn_values, rounded_svg, same_drawing

pytestmark = pytest.mark.slow

ENDINGS = (".png", ".svg", ".json")


def drawing(height=2.0, words="3.28 (bn2)", picture=0.5, legend="upper left", colour="C0", width=1.5, size=(5, 3)) -> Figure:
    """Bars, a line, points, a picture and words."""
    fig = Figure(figsize=size, layout="constrained")
    bars, rest = fig.subplots(1, 2)
    bars.bar(["G", "M"], [1.0, height], color=colour, hatch="//")
    bars.text(0, 0.5, words)
    rest.plot([0, 1, 2], [0.0, height, 1.0], label="M", linewidth=width)
    rest.scatter([0, 1], [height, 0.3])
    rest.imshow(np.full((12, 9), picture), extent=(0, 1, 0, 1))
    rest.legend(loc=legend)
    return fig


@pytest.mark.parametrize(
    "changes",
    [{}, {"height": 2.0000004}, {"words": "3.29 (bn2)"}, {"picture": 0.5000001}],
    ids=["nothing", "bar", "words", "picture"],
)
def test_drawings_that_agree(changes):
    assert same_drawing(drawn_values(drawing()), drawn_values(drawing(**changes)))


@pytest.mark.parametrize(
    "changes",
    [
        {"height": 2.01},
        {"words": "3.31 (bn2)"},
        {"words": "3.28 (bn1)"},
        {"picture": 0.51},
        {"legend": "lower right"},
        {"width": 1.6},
        {"colour": "C1"},
        {"size": (5, 3.2)},
    ],
)
def test_drawings_that_do_not(changes):
    assert not same_drawing(drawn_values(drawing()), drawn_values(drawing(**changes)))


def test_values_can_be_read_and_kept_as_json():
    values = drawn_values(drawing())
    assert json.loads(json.dumps(values, allow_nan=False)) == values
    heights = [max(value["y"]) for value in values if "patch" in value][:2]
    assert heights == [1.0, 2.0]
    assert {"text": "3.28 (bn2)", "style": "#000000 10", "at": [0.0, 0.5]} in values
    ticks = [value for value in values if value.get("labels") == ["G", "M"]]
    assert [value["at"] for value in ticks] == [[0.0, 1.0]]


def test_long_data_are_summed_up_and_missing_values_kept():
    fig = Figure()
    y = np.linspace(0, 1, 5000)
    fig.add_subplot().plot(y)
    (line,) = [value for value in drawn_values(fig) if "line" in value]
    assert len(line["y"]) == MOST_VALUES
    fig = Figure()
    fig.add_subplot().plot([0, 1, 2], [1, np.nan, 2])
    (line,) = [value for value in drawn_values(fig) if "line" in value]
    assert line["y"] == [1.0, None, 2.0]


def saved(folder, settings=None, **changes):
    """The bytes and times of a figure's three files after saving it there."""
    plots.save_figure(drawing(**changes), folder / "bars", settings or {"top_k": 20})
    files = [folder / f"bars{ending}" for ending in ENDINGS]
    found = [(file.read_bytes(), file.stat().st_mtime_ns) for file in files]
    for file in files:
        os.utime(file, ns=(10**18, 10**18))
    return found


def test_a_figure_that_did_not_change_is_not_written(tmp_path):
    first = saved(tmp_path)
    again = saved(tmp_path, height=2.0000004)
    assert [content for content, _ in again] == [content for content, _ in first]
    assert {time for _, time in again} == {10**18}


@pytest.mark.parametrize("changes", [{"height": 2.2}, {"settings": {"top_k": 21}}], ids=["bar", "settings"])
def test_a_figure_that_changed_is_written_as_a_whole(tmp_path, changes):
    first, second = saved(tmp_path), saved(tmp_path, **changes)
    assert all(old != new for (old, _), (new, _) in zip(first, second, strict=True))
    assert 10**18 not in {time for _, time in second}


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.slow
def test_a_missing_or_broken_file_is_made_again(tmp_path, ending):
    first = saved(tmp_path)
    (tmp_path / f"bars{ending}").unlink()
    assert [content for content, _ in saved(tmp_path)] == [content for content, _ in first]
    (tmp_path / "bars.json").write_text("{")
    assert [content for content, _ in saved(tmp_path)] == [content for content, _ in first]


def test_svg_has_few_digits_and_is_the_same_whatever_the_last_ones(tmp_path):
    for name, height in (("one", 2.0), ("other", 2.0000001)):
        saved(tmp_path / name, {"mean": 47.26100158691406}, height=height)
    one, other = ((tmp_path / name / "bars.svg").read_text() for name in ("one", "other"))
    assert one == other
    root = ET.fromstring(one)
    coordinates = [number for element in root.iter() for number in re.findall(r"\d+\.\d+", element.get("d", ""))]
    assert coordinates
    assert max(len(number.partition(".")[2]) for number in coordinates) <= 2
    assert "47.26100158691406" in one  # the settings are as they were
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    assert len(ids) == len(set(ids))
    used = {name for element in root.iter() for key, name in element.items() if key.endswith("href") and name.startswith("#")}
    used |= {f"#{name}" for name in re.findall(r"url\(#([^)]+)\)", one)}
    assert {name[1:] for name in used} <= set(ids)


def test_only_coordinates_are_rounded():
    text = (
        '<metadata>1.23456</metadata><g transform="translate(1.23456 -0.0001) scale(0.015625)"><path id="m0123456789" '
        'd="M 1.005000 2 \nL 3.14159 -4.567"/><use xlink:href="#m0123456789" x="0.12345"/><!-- 0.12345 --></g>'
    )
    assert rounded_svg(text) == (
        '<metadata>1.23456</metadata><g transform="translate(1.23 0) scale(0.015625)"><path id="m1" '
        'd="M 1 2 \nL 3.14 -4.57"/><use xlink:href="#m1" x="0.12"/><!-- 0.12345 --></g>'
    )


def test_a_picture_in_a_notebook_has_alternative_text():
    data, metadata = plots.Picture(drawing(), "Bars: two of them.")._repr_mimebundle_()
    assert data["text/plain"] == "Bars: two of them."
    assert metadata == {"image/png": {"alt": "Bars: two of them."}}
    with Image.open(io.BytesIO(b64decode(data["image/png"]))) as picture:
        assert min(picture.size) > 100
