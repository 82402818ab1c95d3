"""Tests of EMBED's regions: which way round they lie on DICOM files, the note that says so, and regions that make no sense."""

import re

import numpy as np
import pytest
from miniature import write_dicom, write_table
from PIL import Image

from mdissect.probes import load_probe
from mdissect.probes.mammograms.embed_tables import METADATA, regions

SHAPE = (100, 80)
COORDS = "((10, 20, 30, 40),)"
PLACED, MIRRORED = (20, 40), (40, 60)


def row(name="a", **cells):
    """A row of the metadata table: a right CC."""
    return {"empi_anon": "1", "acc_anon": "2", "anon_dicom_path": f"/mnt/{name}.dcm", "png_filename": f"{name}.png",
            "FinalImageType": "2D", "ImageLateralityFinal": "R", "ViewPosition": "CC", "ROI_coords": COORDS,
            "Rows": SHAPE[0], "Columns": SHAPE[1]} | cells  # fmt: skip


def probe_of(root, rows, kind="dicom", tags=None, **options):
    """A probe of a file per row; `tags` of all DICOM files."""
    write_table(root / METADATA[0], rows)
    pixels = np.arange(SHAPE[0] * SHAPE[1], dtype=np.uint16).reshape(SHAPE) % 4096
    for one in rows:
        stem = one["png_filename"].removesuffix(".png")
        if kind == "dicom":
            write_dicom(root / f"{stem}.dcm", pixels, **tags or {})
        else:
            Image.fromarray(pixels).save(root / f"{stem}.png")
    return load_probe("embed", path=root, **options)


def sides(probe):
    return [(box["xmin"], box["xmax"]) for box in probe.boxes(0)]


def note(probe):
    return "\n".join(line for line in probe.notes if "mirror" in line)


@pytest.mark.parametrize(
    ("tags", "cells", "expected", "why"),
    [
        ({"PatientOrientation": ["P", "L"]}, {}, MIRRORED, "1 PatientOrientation begins with P"),
        ({"PatientOrientation": ["P", "F"]}, {"ImageLateralityFinal": "L"}, MIRRORED, "1 PatientOrientation begins with P"),
        ({"PatientOrientation": ["PR", "F"]}, {}, MIRRORED, "1 PatientOrientation begins with P"),
        ({"PatientOrientation": ["A", "R"]}, {}, PLACED, "0 of 1 images"),
        ({"PatientOrientation": ["A", "P"]}, {}, PLACED, "0 of 1 images"),
        ({}, {}, MIRRORED, "1 right CC, ML or MLO without PatientOrientation"),
        ({}, {"ViewPosition": "MLO"}, MIRRORED, "1 right CC, ML or MLO"),
        ({}, {"ViewPosition": "ml"}, MIRRORED, "1 right CC, ML or MLO"),
        ({}, {"ViewPosition": "LM"}, PLACED, "0 of 1 images"),
        ({}, {"ImageLateralityFinal": "L"}, PLACED, "0 of 1 images"),
        ({"PatientOrientation": ""}, {"ImageLateralityFinal": "L"}, PLACED, "0 of 1 images"),
        ({}, {"ImageLateralityFinal": "L", "PatientOrientation": "P\\L"}, MIRRORED, "1 PatientOrientation begins with P"),
        ({}, {"PatientOrientation": "['A', 'R']"}, PLACED, "0 of 1 images"),
        ({"PatientOrientation": ["P", "L"]}, {"PatientOrientation": "A\\R"}, MIRRORED, "begins with P"),
        ({"ImageLaterality": "R"}, {"ImageLateralityFinal": ""}, MIRRORED, "1 right CC, ML or MLO"),
        ({"ImageLaterality": "L"}, {"ImageLateralityFinal": ""}, PLACED, "0 of 1 images"),
        ({"ViewPosition": "MLO"}, {"ViewPosition": ""}, MIRRORED, "1 right CC, ML or MLO"),
    ],
    ids=str,
)
def test_regions_on_dicom_files_follow_the_header_with_a_note(tmp_path, tags, cells, expected, why):
    probe = probe_of(tmp_path, [row(**cells)], tags=tags)
    assert sides(probe) == [expected]
    assert why in note(probe)
    assert "it is not proved" in note(probe)


@pytest.mark.parametrize(("mirror", "expected"), [("yes", MIRRORED), ("no", PLACED)])
@pytest.mark.parametrize("orientation", [["P", "L"], ["A", "R"]])
def test_the_option_overrides_the_header(tmp_path, mirror, expected, orientation):
    probe = probe_of(tmp_path, [row()], tags={"PatientOrientation": orientation}, mirror_boxes=mirror)
    assert sides(probe) == [expected]
    assert f"mirror_boxes={mirror!r}: regions of 1 images" in note(probe)


def test_rows_up_and_down_stay(tmp_path):
    (box,) = probe_of(tmp_path, [row()]).boxes(0)
    assert box == {"finding": "region of interest", "xmin": 40, "xmax": 60, "ymin": 10, "ymax": 30}


def test_a_mirrored_box_covers_the_mirrored_pixels(tmp_path):
    coords = str([[3, 5, 20, 31], [50, 0, 70, 80], [90, 79, 100, 80]])
    probe = probe_of(tmp_path, [row(ROI_coords=coords)])
    image = probe[0]
    for box, (ymin, xmin, ymax, xmax) in zip(probe.boxes(0), regions(coords), strict=True):
        part = image[box["ymin"] : box["ymax"], box["xmin"] : box["xmax"]]
        edges = [int(edge) for edge in (ymin, ymax, xmin, xmax)]
        np.testing.assert_array_equal(part[:, ::-1], image[:, ::-1][edges[0] : edges[1], edges[2] : edges[3]])


@pytest.mark.parametrize("mirror", ["auto", "yes", "no"])
def test_image_files_are_never_mirrored_by_their_own_columns(tmp_path, mirror):
    probe = probe_of(tmp_path, [row(PatientOrientation="P\\L")], kind="png", mirror_boxes=mirror)
    assert sides(probe) == [PLACED]
    assert note(probe) == ""


OTHER = "((10, 50, 30, 70),)"


@pytest.mark.parametrize(
    ("kind", "cells", "expected", "noted"),
    [
        ("png", {"PNG_ROI_coords": COORDS, "DCM_ROI_coords": OTHER}, (20, 40), False),
        ("dicom", {"PNG_ROI_coords": COORDS, "DCM_ROI_coords": OTHER}, (50, 70), False),
        ("dicom", {"ROI_coords": COORDS, "DCM_ROI_coords": OTHER}, (50, 70), False),
        ("png", {"ROI_coords": OTHER, "PNG_ROI_coords": COORDS}, (20, 40), False),
        ("dicom", {"PNG_ROI_coords": COORDS}, MIRRORED, True),
        ("png", {"DCM_ROI_coords": COORDS}, MIRRORED, True),
        ("dicom", {"DCM_ROI_coords": COORDS}, PLACED, False),
    ],
)
def test_the_column_of_the_files_taken_counts(tmp_path, kind, cells, expected, noted):
    bare = {name: cell for name, cell in row().items() if name != "ROI_coords"}
    probe = probe_of(tmp_path, [bare | cells], kind=kind)
    assert sides(probe) == [expected]
    assert bool(note(probe)) == noted


def test_the_note_counts_images(tmp_path):
    rows = [row(name, ImageLateralityFinal=side) for name, side in zip("abcd", "RRLL", strict=True)]
    rows[1]["ROI_coords"] = "[]"
    assert "regions of 1 of 3 images" in note(probe_of(tmp_path, rows))


def test_an_image_that_cannot_be_read_does_not_stop_the_others(tmp_path):
    probe = probe_of(tmp_path, [row("a"), row("b")])
    (tmp_path / "a.dcm").write_bytes(b"broken")
    probe = load_probe("embed", path=tmp_path)
    assert sides(probe.subset([1])) == [MIRRORED]


@pytest.mark.parametrize(
    "cell",
    ["[[1, 2]]", "[[1,", "nothing", "[10, 20, 30, 40]", "[[10, 20, 30, 'x']]", "['abcd']", "[[1, 2, 3, 1e999]]",
     "[[10 20 30 40]]", "{'a': 1}", "7", "[[1, 2, 3, None]]", "(" * 500, "[[1, 2, 3, 4, 5]]", "__import__('os')"],
)  # fmt: skip
@pytest.mark.parametrize("column", ["ROI_coords", "PNG_ROI_coords", "DCM_ROI_coords"])
def test_cells_that_are_no_regions_are_named(tmp_path, cell, column):
    text = f"line 3, column {column!r}: {cell!r} is not a list of [ymin, xmin, ymax, xmax]"
    with pytest.raises(ValueError, match=re.escape(text)):
        probe_of(tmp_path, [row("a", **{column: COORDS}), row("b", **{column: cell})])


@pytest.mark.parametrize("cell", ["((30, 20, 10, 40),)", "((10, 40, 30, 20),)", "((10, 20, 10, 40),)"])
def test_regions_without_area_are_left_out_with_a_note(tmp_path, cell):
    probe = probe_of(tmp_path, [row("a", ROI_coords=cell), row("b", ROI_coords=cell), row("c")])
    assert [probe.boxes(i) == [] for i in range(3)] == [True, True, False]
    assert f"{METADATA[0]}: regions without area of 2 images: a.png, b.png are left out" in probe.notes


@pytest.mark.parametrize("cell", ["((10, 90, 30, 99),)", "((110, 20, 130, 40),)", "((-9, -9, -1, -1),)"])
@pytest.mark.parametrize("kind", ["png", "dicom"])
def test_regions_outside_the_image_are_named(tmp_path, cell, kind):
    probe = probe_of(tmp_path, [row(ROI_coords=cell)], kind=kind)
    with pytest.raises(LookupError, match=r"a\.\w+: region \[.*\] lies outside the image of 100 x 80 pixels"):
        probe.boxes(0)


def test_regions_over_the_edge_are_cut(tmp_path):
    (box,) = probe_of(tmp_path, [row(ROI_coords="((-5, 70, 10, 95),)")], kind="png").boxes(0)
    assert (box["xmin"], box["xmax"], box["ymin"], box["ymax"]) == (70, 80, 0, 10)


def test_an_unknown_option(tmp_path):
    with pytest.raises(ValueError, match="mirror_boxes='left' is not one of 'auto', 'yes', 'no'"):
        probe_of(tmp_path, [row()], mirror_boxes="left")
