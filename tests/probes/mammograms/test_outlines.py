"""Tests of outlines: the boxes around them, what they enclose, images of which they are not known."""

import numpy as np
import pytest
from PIL import Image

from mdissect.probes.mammograms.outlines import Outline, OutlinedFiles, edges, enclosed

SQUARE = np.array([[2, 1], [5, 1], [5, 4], [2, 4]])


def test_a_polygon_is_filled_with_its_border():
    expected = np.zeros((6, 8), bool)
    expected[1:5, 2:6] = True
    assert (enclosed([SQUARE], (6, 8)) == expected).all()
    assert edges(SQUARE) == {"xmin": 2, "ymin": 1, "xmax": 6, "ymax": 5}


@pytest.mark.parametrize(
    ("points", "pixels"),
    [
        ([[3, 2]], [[2, 3]]),
        ([[1, 0], [3, 2]], [[0, 1], [1, 2], [2, 3]]),
        ([[-1, 1], [0, 1]], [[1, 0]]),  # a part beyond the edge
        ([[3, 2], [3, 2], [3, 2]], [[2, 3]]),
        ([[1, 1], [3, 1], [2, 1]], [[1, 1], [1, 2], [1, 3]]),  # without area
    ],
)
def test_points_and_lines(points, pixels):
    assert np.argwhere(enclosed([np.array(points)], (4, 5))).tolist() == pixels


def test_outlines_of_a_finding_are_one_mask(tmp_path):
    Image.fromarray(np.arange(48, dtype=np.uint8).reshape(6, 8)).save(tmp_path / "a.png")
    dot = np.array([[7, 5]])
    outlines = [Outline("mass", SQUARE), Outline("calcification", dot), Outline("mass", dot)]
    files = OutlinedFiles(tmp_path, ["a.png", "a.png", "a.png"], None, [outlines, None, []], "nobody drew it", whole=True)
    assert [box["finding"] for box in files.boxes(0)] == ["mass", "calcification", "mass"]
    mass, calcification = files.masks(0)
    assert (mass["finding"], int(mass["mask"].sum())) == ("mass", 17)
    assert np.argwhere(calcification["mask"]).tolist() == [[5, 7]]
    assert files.boxes(2) == files.masks(2) == []
    with pytest.raises(LookupError, match=r"a.png: nobody drew it"):
        files.masks(1)


@pytest.mark.parametrize(("column", "row"), [(8, 0), (0, 6), (-1, 0), (0, -1)])
def test_an_outline_outside_the_image(tmp_path, column, row):
    Image.fromarray(np.arange(48, dtype=np.uint8).reshape(6, 8)).save(tmp_path / "a.png")
    files = OutlinedFiles(tmp_path, ["a.png"], None, [[Outline("mass", np.array([[column, row]]))]], "", whole=True)
    with pytest.raises(LookupError, match=f"from column {column} to {column} and row {row} to {row} lies outside"):
        files.boxes(0)


def test_files_that_may_show_a_part_have_no_boxes(tmp_path):
    Image.fromarray(np.arange(48, dtype=np.uint8).reshape(6, 8)).save(tmp_path / "a.png")
    files = OutlinedFiles(tmp_path, ["a.png"], None, [[Outline("mass", SQUARE)]], "")
    for marked in (files.boxes, files.masks):
        with pytest.raises(LookupError, match="does not say which part of the original it shows"):
            marked(0)
