"""Tests of the shapes that the table of regions of CDD-CESM has."""

import json
import re

import numpy as np
import pytest
from miniature import write_table

from mdissect.probes.mammograms.cdd_cesm_regions import read_regions, shape_points
from mdissect.probes.mammograms.outlines import edges


def points(**shape):
    return shape_points(json.dumps(shape))


def test_shapes_as_points():
    assert points(name="polygon", all_points_x=[1, 2.6, 3], all_points_y=[4, 5, 6]).tolist() == [[1, 4], [3, 5], [3, 6]]
    assert points(name="polyline", all_points_x=[1], all_points_y=[4]).tolist() == [[1, 4]]
    assert points(name="rect", x=1, y=2, width=3, height=4).tolist() == [[1, 2], [4, 2], [4, 6], [1, 6]]
    assert edges(points(name="circle", cx=10, cy=20, r=5)) == {"xmin": 5, "ymin": 15, "xmax": 16, "ymax": 26}
    assert shape_points("") is shape_points("{}") is None


def test_an_ellipse_is_turned():
    straight = points(name="ellipse", cx=10, cy=20, rx=8, ry=2)
    assert edges(straight) == {"xmin": 2, "ymin": 18, "xmax": 19, "ymax": 23}
    upright = points(name="ellipse", cx=10, cy=20, rx=8, ry=2, theta=np.pi / 2)
    assert edges(upright) == {"xmin": 8, "ymin": 12, "xmax": 13, "ymax": 29}
    oblique = points(name="ellipse", cx=0, cy=0, rx=80, ry=2, theta=np.pi / 4)
    assert (np.abs(oblique[:, 0] - oblique[:, 1]) <= 4).all()  # from the upper left to the lower right


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("{", "'{' is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "'[]' is no shape; expected a name (polygon, polyline, ellipse, circle, rect, point)"),
        ('{"name": "star"}', "is no shape; expected a name"),
        ('{"name": ["point"]}', "is no shape; expected a name"),
        ('{"cx": 1, "cy": 2}', "is no shape; expected a name"),
        ('{"name": "point", "cx": 1}', "a point needs the number cy; found None"),
        ('{"name": "point", "cx": true, "cy": 1}', "a point needs the number cx; found True"),
        ('{"name": "circle", "cx": 1, "cy": 1, "r": "5"}', "a circle needs the number r; found '5'"),
        ('{"name": "circle", "cx": 1, "cy": 1, "r": -5}', "a circle needs radii that are not negative; found -5, -5"),
        ('{"name": "polygon", "all_points_x": [1], "all_points_y": [1, 2]}', "a polygon of 1 columns and 2 rows"),
        (
            '{"name": "polygon", "all_points_x": 1, "all_points_y": [1]}',
            "a polygon needs the list of numbers all_points_x; found 1",
        ),
        ('{"name": "polygon", "all_points_x": ["a"], "all_points_y": [1]}', "a polygon needs the list of numbers all_points_x"),
        ('{"name": "polygon", "all_points_x": [], "all_points_y": []}', "has no points, or some that lie in no mammogram"),
        ('{"name": "point", "cx": NaN, "cy": 1}', "has no points, or some that lie in no mammogram"),
        ('{"name": "point", "cx": 1e7, "cy": 1}', "has no points, or some that lie in no mammogram"),
        ('{"name": "point", "cx": 1' + 400 * "0" + ', "cy": 1}', "has no points, or some that lie in no mammogram"),
        ('{"name": "circle", "cx": 1, "cy": 1, "r": 1' + 400 * "0" + "}", "has no points, or some that lie in no mammogram"),
    ],
    ids=range(18),
)
def test_wrong_shapes(cell, said, tmp_path):
    path = write_table(tmp_path / "regions.csv", [{"#filename": "a.jpg", "region_shape_attributes": cell}])
    with pytest.raises(ValueError, match=re.escape("regions.csv, line 2, column 'region_shape_attributes'")) as error:
        read_regions(path)
    assert said in str(error.value)


def test_a_table_of_another_kind(tmp_path):
    path = write_table(tmp_path / "regions.csv", [{"filename": "a.jpg", "region_shape_attributes": "{}"}])
    with pytest.raises(ValueError, match="has no column #filename; it has filename"):
        read_regions(path)
