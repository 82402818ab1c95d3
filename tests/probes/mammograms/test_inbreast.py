"""Tests of the INbreast probe on a miniature release: its table, outlines as boxes and masks, what is not known, bad input."""

import pickle
import plistlib
import re

import numpy as np
import pandas as pd
import pytest
from miniature import JPEG_2000, write_dicom
from PIL import Image

from mdissect.probes import load_probe
from mdissect.probes.mammograms.inbreast import ANNOTATED, RELEASE
from mdissect.probes.mammograms.inbreast_tables import ROI_NAMES, read_outlines
from mdissect.probes.mammograms.meanings import NOTHING, SHARED
from mdissect.probes.mammograms.outlines import Outline
from mdissect.trust import mapped_presence

HEADER = "Patient ID;Patient age;Laterality;View;Acquisition date;File Name;ACR;Bi-Rads"
SHAPE = (60, 50)
DIAMOND = ["(20.2, 10.1)", "(30.0, 20.4)", "(20.0, 29.6)", "(9.8, 20.0)"]
# File name, patient, side, view in the table, view in the file's name, ACR, Bi-Rads, regions (None: no file of outlines).
RELEASED = [
    ("20586908", "6c613a14b80a8591", "R", "CC", "CC", "4", "5", [("Mass", DIAMOND), ("Calcification", ["(40, 5)"])]),
    ("20586934", "6c613a14b80a8591", "L", "CC", "CC", "4", "2", []),
    ("20586960", "6c613a14b80a8591", "R", "MLO", "ML", "2", "4a", [("Asimmetry", DIAMOND), ("Cluster", DIAMOND[:2])]),
    ("20586986", "6c613a14b80a8591", "L", "MLO", "ML", "  ", "1", None),
    ("20587054", "b6a4f750c6df4f90", "R", "MLO", "MLO", "1", "3", [("", DIAMOND), ("Spiculated Region", DIAMOND)]),
    ("20587080", "b6a4f750c6df4f90", "L", "MLO", "MLO", "3", "6", None),
]  # fmt: skip


def property_list(regions, **changes):
    """The content of an XML file of OsiriX."""
    rois = [
        {"Area": 1.5, "Center": "(0.0, 0.0)", "IndexInImage": n, "Name": name, "NumberOfPoints": len(points),
         "Point_mm": ["(0.0, 0.0, 0.0)"] * len(points), "Point_px": points, "Type": 15}
        for n, (name, points) in enumerate(regions)
    ]  # fmt: skip
    return {"Images": [{"ImageIndex": 0, "NumberOfROIs": len(rois), "ROIs": rois} | changes]}


def write_outlines(root, image, document):
    path = root / "AllXML" / f"{image}.xml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(plistlib.dumps(document))
    return path


def write_csv(root, rows=RELEASED, more=()):
    lines = [f"removed;removed;{side};{view};201001;{image};{acr};{birads}" for image, _, side, view, _, acr, birads, _ in rows]
    (root / "INbreast.csv").write_text("\n".join([HEADER, *lines, *more]) + "\n")


def release(root, rows=RELEASED):
    """A miniature release; its images are 60 x 50 and brightest in the middle."""
    root.mkdir(parents=True, exist_ok=True)
    write_csv(root, rows)
    pixels = np.zeros(SHAPE, np.uint16)
    pixels[8:52, 7:45] = np.arange(44 * 38).reshape(44, 38) % 4096 + 1000
    for image, patient, side, _, file_view, _, _, regions in rows:
        write_dicom(root / "AllDICOMs" / f"{image}_{patient}_MG_{side}_{file_view}_ANON.dcm", pixels, JPEG_2000)
        if regions is not None:
            write_outlines(root, image, property_list(regions))
    return root


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A release that tests leave as it is."""
    return release(tmp_path_factory.mktemp("whole") / "inbreast")


@pytest.fixture
def root(tmp_path):
    """A release of one image, for tests that change it."""
    return release(tmp_path / "inbreast", RELEASED[:1])


def test_the_table(whole):
    probe = load_probe("inbreast", path=whole)
    table = probe.table
    assert probe.name == "inbreast"
    assert probe.ids == [row[0] for row in RELEASED]
    assert tuple(table.columns[:6]) == SHARED
    assert table["patient"].tolist() == [row[1] for row in RELEASED]
    assert table["laterality"].tolist() == list("RLRLRL")
    assert table["view"].tolist() == ["CC", "CC", "MLO", "MLO", "MLO", "MLO"]
    assert table["density"].tolist() == ["D", "D", "B", "", "A", "C"]
    assert (table["birads"].dtype, table["birads"].tolist()) == (np.int64, [5, 2, 4, 1, 3, 6])
    assert table["findings"].tolist() == [
        "mass; calcification", "", "asymmetry; calcification", "", "other; spiculated region", "",
    ]  # fmt: skip
    assert table["annotated"].tolist() == [ANNOTATED] * 4 + [NOTHING] * 2
    assert table["age"].isna().all()
    assert "cancer" not in table
    assert probe.skipped == []


def test_notes_say_what_is_not_known(whole):
    assert load_probe("inbreast", path=whole).notes == [
        "images of BI-RADS 1 without a file in AllXML/: 1; they count as without findings",
        "no file in AllXML/ of 1 image: 20587080 of other BI-RADS categories: nothing is known of them",
        "regions whose name does not say what they are: 1, 'other' in findings",
        "no pathology: what is cancer is not known",
    ]


def test_presence_of_concepts(whole):
    presence = mapped_presence(load_probe("inbreast", path=whole).table)
    assert presence["mass"].tolist() == [True, False, False, False, None, None]
    assert presence["asymmetry"].tolist() == [False, False, True, False, None, None]
    assert presence["suspicious calcification"].tolist() == [None] * 6  # the release does not say which are
    assert presence["dense breast"].tolist() == [True, True, False, None, False, True]


def test_boxes_and_masks_of_the_whole_image(whole):
    probe = load_probe("inbreast", path=whole, preparation=None)
    assert probe[0].shape == SHAPE
    assert probe.boxes(0) == [
        {"finding": "mass", "xmin": 10, "ymin": 10, "xmax": 31, "ymax": 31},
        {"finding": "calcification", "xmin": 40, "ymin": 5, "xmax": 41, "ymax": 6},
    ]
    mass, calcification = probe.masks(0)
    assert (mass["finding"], mass["mask"].shape, mass["mask"].dtype) == ("mass", SHAPE, bool)
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    inside = np.abs(rows - 20) + np.abs(columns - 20)
    assert mass["mask"][inside <= 9].all()
    assert not mass["mask"][inside > 10].any()
    assert np.argwhere(calcification["mask"]).tolist() == [[5, 40]]
    assert probe.boxes(1) == probe.masks(1) == probe.boxes(3) == []
    line = probe.masks(2)[1]["mask"]  # two points
    assert line[10, 20]
    assert line[20, 30]
    assert line.sum() == 11
    with pytest.raises(LookupError, match=r"20587080_.*no file of its outlines in AllXML/"):
        probe.boxes(5)


def test_boxes_and_masks_follow_the_preparation(whole):
    probe = load_probe("inbreast", path=whole, preparation={"size": (88, 76), "border": 2})
    assert probe[0].shape == (88, 76)  # rows 8 to 51 and columns 7 to 44 of the original, twice as large
    assert probe.boxes(0) == [{"finding": "mass", "xmin": 6, "ymin": 4, "xmax": 48, "ymax": 46}]
    (mass,) = probe.masks(0)
    expected = load_probe("inbreast", path=whole, preparation=None).masks(0)[0]["mask"][8:52, 7:45]
    assert (mass["mask"] == expected.repeat(2, axis=0).repeat(2, axis=1)).all()


def test_png_files_are_taken_first_and_as_they_are(root):
    (dicom,) = (root / "AllDICOMs").iterdir()
    (root / "images_png").mkdir()
    Image.fromarray(np.arange(80, dtype=np.uint8).reshape(10, 8)).save(root / "images_png" / f"{dicom.stem}.png")
    probe = load_probe("inbreast", path=root)
    assert (probe[0].shape, probe.table["patient"].item()) == ((10, 8), RELEASED[0][1])
    assert load_probe("inbreast", path=root, images="dicom")[0].shape == (1520, 912)
    with pytest.raises(LookupError, match="does not say which part of the original it shows"):
        probe.boxes(0)
    with pytest.raises(ValueError, match=r"preparation= concerns DICOM files, but the images are those of .*images_png"):
        load_probe("inbreast", path=root, preparation=None)


def test_a_png_file_that_records_its_crop_has_boxes_and_masks(root):
    from mdissect.probes.mammograms import Preparation
    from mdissect.probes.mammograms.files import prepare_file

    (dicom,) = (root / "AllDICOMs").iterdir()
    prepare_file(dicom, root / "images_png" / f"{dicom.stem}.png", Preparation(size=(88, 76), border=2))
    probe = load_probe("inbreast", path=root)
    direct = load_probe("inbreast", path=root, images="dicom", preparation={"size": (88, 76), "border": 2})
    assert (probe[0] == direct[0]).all()
    assert probe.boxes(0) == direct.boxes(0)
    assert (probe.masks(0)[0]["mask"] == direct.masks(0)[0]["mask"]).all()


def test_files_without_the_patient_in_their_names(root):
    (dicom,) = (root / "AllDICOMs").iterdir()
    dicom.rename(dicom.with_name("20586908.DCM"))
    probe = load_probe("inbreast", path=root)
    assert probe.patients == ["20586908"]
    assert "no patient of 1 image: 20586908, each counts as its own" in probe.notes
    text = (root / "INbreast.csv").read_text()
    (root / "INbreast.csv").write_text(text.replace("removed;removed", "17;061Y"))
    table = load_probe("inbreast", path=root).table
    assert (table["patient"].item(), table["age"].item()) == ("17", 61)


def test_the_folder_that_the_release_was_unpacked_in(tmp_path):
    release(tmp_path / RELEASE, RELEASED[:2])
    assert len(load_probe("inbreast", path=tmp_path)) == 2


def test_without_outlines_nothing_is_known_of_findings(root):
    (root / "AllXML" / "20586908.xml").unlink()
    (root / "AllXML").rmdir()
    probe = load_probe("inbreast", path=root)
    assert (probe.table["findings"].item(), probe.table["annotated"].item()) == ("", NOTHING)
    assert probe.notes[0] == f"no folder {root / 'AllXML'}: findings are not known, nor boxes and masks"
    assert mapped_presence(probe.table)["mass"].tolist() == [None]
    with pytest.raises(LookupError, match="no file of its outlines"):
        probe.masks(0)


def test_the_workbook_with_its_rows_below(root):
    import openpyxl

    book = openpyxl.Workbook()
    book.active.append(HEADER.split(";"))
    book.active.append(["removed", "removed", "R", "CC", 201001, 20586908, 4, "5"])
    book.active.append([None] * 6 + [2.5])
    book.active.append(["notes of the authors"])
    (root / "INbreast.csv").unlink()
    book.save(root / "INbreast.xlsx")
    probe = load_probe("inbreast", path=root)
    assert probe.ids == ["20586908"]
    assert probe.table["density"].item() == "D"
    assert probe.notes[0] == "INbreast.xlsx: 2 rows: line 3, line 4 below the last image, which name none"


def test_missing_images_and_drawn_ones(whole, tmp_path):
    root = release(tmp_path, RELEASED[:3])
    next((root / "AllDICOMs").glob("20586934*")).unlink()
    (root / "AllDICOMs" / "99.dcm").write_bytes(b"")
    with pytest.raises(FileNotFoundError, match=r"1 of 3 images are not on disk \(1 image: 20586934\)"):
        load_probe("inbreast", path=root)
    probe = load_probe("inbreast", path=root, missing="skip")
    assert (probe.ids, [image for image, _ in probe.skipped]) == (["20586908", "20586960"], ["20586934"])
    assert probe.notes[0] == f"{root / 'AllDICOMs'}: 1 file: 99.dcm that the table does not name"
    assert len(load_probe("inbreast", path=whole, n_images=3, seed=1)) == 3


def test_a_file_whose_name_contradicts_the_table(tmp_path):
    root = release(tmp_path, RELEASED[:2])
    text = (root / "INbreast.csv").read_text()
    (root / "INbreast.csv").write_text(text.replace("L;CC", "R;MLO"))
    said = "_MG_L_CC_ANON.dcm is L CC by its name, but R MLO in the table"
    with pytest.raises(ValueError, match=re.escape(said) + ".*leave out 1 such image: 20586934"):
        load_probe("inbreast", path=root)
    probe = load_probe("inbreast", path=root, missing="skip")
    assert probe.ids == ["20586908"]
    assert probe.skipped[0][0] == "20586934"
    assert said in probe.skipped[0][1]
    (root / "INbreast.csv").write_text(text.replace(";CC;", ";MLO;"))
    with pytest.raises(ValueError, match="probe 'inbreast' has no images"):
        load_probe("inbreast", path=root, missing="skip")


def test_a_name_that_is_not_known_can_be_told(root):
    write_outlines(root, "20586908", property_list([("Point 2", DIAMOND)]))
    with pytest.raises(ValueError, match=r"20586908.xml: ROIs\[0\] is called 'Point 2'; known: mass, .*roi_names=\{'Point 2'"):
        load_probe("inbreast", path=root)
    table = load_probe("inbreast", path=root, roi_names={"Point 2": "calcification"}).table
    assert table["findings"].item() == "calcification"


def test_names_of_regions(tmp_path):
    path = write_outlines(tmp_path, "1", property_list([(" ESPICULATED Region ", ["(1e1, 2.5)"]), ("unnamed", ["(-3,4)"])]))
    first, second = read_outlines(path, ROI_NAMES)
    assert (first.finding, first.points.tolist()) == ("spiculated region", [[10, 2]])
    assert (second.finding, second.points.tolist()) == ("other", [[-3, 4]])
    assert isinstance(first, Outline)


def test_a_probe_can_be_pickled_for_workers(whole):
    probe = pickle.loads(pickle.dumps(load_probe("inbreast", path=whole, preparation=None)))
    assert probe.boxes(0)[0]["finding"] == "mass"


def test_an_outline_outside_the_image_is_an_error(root):
    write_outlines(root, "20586908", property_list([("Mass", ["(60, 10)", "(70, 20)", "(60, 30)"])]))
    probe = load_probe("inbreast", path=root)
    with pytest.raises(LookupError, match=r"\(mass\) from column 60 to 70 and row 10 to 30 lies outside the image of 60 x 50"):
        probe.boxes(0)


# Wrong tables


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (";4;5", ";5;5", "line 2, column 'ACR': '5' is not a density (A to D, or 1 to 4)"),
        (";4;5", ";4;7", "line 2, column 'Bi-Rads': '7' is not a BI-RADS category (0 to 6)"),
        (";4;5", ";4;4d", "column 'Bi-Rads': '4d' is not a BI-RADS category"),
        ("R;CC", "X;CC", "line 2, column 'Laterality': 'X' is not a side (L or R)"),
        ("R;CC", ";CC", "line 2, column 'Laterality': '' is not a side (L or R)"),
        ("R;CC", "R;LM", "line 2, column 'View': 'LM' is not a view (CC, MLO, ML)"),
        ("removed;removed", "removed;old", "line 2, column 'Patient age': 'old' is not an age in years"),
        ("20586908", "film 1", "no row has the number of a file in the column 'File Name', such as 22678622"),
        ("File Name", "file", "has no column File Name; it has Patient ID"),
        (";5\n", ";5;\n", "column"),
    ],
)
def test_wrong_cells(root, old, new, said):
    text = (root / "INbreast.csv").read_text()
    (root / "INbreast.csv").write_text(text.replace(old, new))
    if said == "column":  # a separator at the end of every line is none
        assert len(load_probe("inbreast", path=root)) == 1
        return
    with pytest.raises(ValueError, match=re.escape(said)):
        load_probe("inbreast", path=root)


def test_a_row_without_a_file_amid_the_table_and_too_many_below(root):
    first, second = (";".join(["removed", "removed", "R", "CC", "201001", image, "4", "5"]) for image in ("", "20586909"))
    write_csv(root, RELEASED[:1], [first, second])
    with pytest.raises(ValueError, match="line 3, column 'File Name': '' is not the number of a file; only the last 2 rows"):
        load_probe("inbreast", path=root)
    write_csv(root, RELEASED[:1], [first] * 3)
    with pytest.raises(ValueError, match="line 3, column 'File Name'"):
        load_probe("inbreast", path=root)


def test_an_image_that_is_named_twice(root):
    write_csv(root, RELEASED[:1] * 2)
    with pytest.raises(ValueError, match="lines 2, 3: the image 20586908 stands there several times; keep one row"):
        load_probe("inbreast", path=root)


def test_the_old_workbook_is_refused_with_a_way_out(root):
    (root / "INbreast.csv").unlink()
    (root / "INbreast.xls").write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500))
    with pytest.raises(ValueError, match=r"old workbook \(.xls\).*save it as INbreast.xlsx.*soffice.*INbreast.csv"):
        load_probe("inbreast", path=root)


def test_wrong_folders(root, tmp_path):
    (root / "AllDICOMs").rename(root / "DICOM")
    with pytest.raises(FileNotFoundError, match=r"no folder images_png/ or AllDICOMs/ with the images; it holds AllXML, DICOM"):
        load_probe("inbreast", path=root)
    (root / "INbreast.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"holds no table INbreast.csv or INbreast.xlsx; it holds AllXML, DICOM"):
        load_probe("inbreast", path=root)
    with pytest.raises(FileNotFoundError, match=r"no folder .*nowhere"):
        load_probe("inbreast", path=tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"images": "jpg"}, "images='jpg' is not one of 'auto', 'png', 'dicom'"),
        ({"missing": "ignore"}, "missing='ignore' is not one of 'raise', 'skip'"),
        ({"n_images": 9}, "n_images=9 exceeds the 1 images that there are"),
        ({"preparation": {"sise": (1, 1)}}, "preparation has no option sise"),
        ({"roi_names": {"Point 2": 3}}, "roi_names['Point 2']"),
    ],
)
def test_wrong_options(root, options, said):
    with pytest.raises((ValueError, TypeError), match=re.escape(said)):
        load_probe("inbreast", path=root, **options)


def test_two_files_of_one_image(root):
    write_dicom(root / "AllDICOMs" / "20586908.dcm", np.ones((9, 9), np.uint16))
    with pytest.raises(ValueError, match=r"the image 20586908 may be 20586908.dcm or 20586908_.*; keep one of them"):
        load_probe("inbreast", path=root)


# Wrong files of outlines

BOMB = b"""<?xml version="1.0"?>
<!DOCTYPE plist [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>
<plist version="1.0"><dict><key>Images</key><string>&b;</string></dict></plist>"""


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (BOMB, "no property list in XML that can be read (InvalidFileException: XML entity declarations are not supported"),
        (b"", "no property list in XML that can be read"),
        (b"bplist00" + bytes(40), "no property list in XML that can be read"),
        (plistlib.dumps(property_list([]))[:-30], "no property list in XML that can be read (ExpatError"),
        (b"<plist><integer>" + b"9" * 5000 + b"</integer></plist>", "no property list in XML that can be read (ValueError"),
        (plistlib.dumps([1]), "holds a list; expected a dict with Images"),
        (plistlib.dumps({"Pictures": []}), "the file has no Images; it has Pictures"),
        (plistlib.dumps({"Images": "none"}), "Images='none' is a str; expected a list"),
        (plistlib.dumps({"Images": []}), "Images has 0 entries; expected one, for one mammogram"),
        (plistlib.dumps({"Images": ["a"]}), "Images[0] is a str; expected a dict with ROIs"),
        (plistlib.dumps(property_list([], NumberOfROIs=2)), "Images[0] has 0 ROIs, but NumberOfROIs is 2; the file is damaged"),
        (plistlib.dumps(property_list([], NumberOfROIs=True)), "NumberOfROIs=True is a bool; expected a int"),
        (plistlib.dumps(property_list([("Mass", [])])), "ROIs[0] ('Mass') has no points"),
        (plistlib.dumps(property_list([("Mass", ["(1, 2, 3)"])])), "ROIs[0]: the point '(1, 2, 3)' is not '(x, y)' in pixels"),
        (plistlib.dumps(property_list([("Mass", ["(nan, 2)"])])), "the point '(nan, 2)' is not"),
        (plistlib.dumps(property_list([("Mass", [7])])), "the point 7 is not"),
        (plistlib.dumps(property_list([("Mass", ["(1e300, 2)"])])), "a point at 1e+300 pixels lies in no mammogram"),
        (plistlib.dumps(property_list([("Tumour", ["(1, 2)"])])), "ROIs[0] is called 'Tumour'; known: mass"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "content",
)
def test_wrong_outlines(root, content, said):
    (root / "AllXML" / "20586908.xml").write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(said)) as error:
        load_probe("inbreast", path=root)
    assert "20586908.xml" in str(error.value)


def test_a_huge_file_of_outlines_is_not_read(root):
    with (root / "AllXML" / "20586908.xml").open("wb") as file:
        file.truncate(1 << 27)
    with pytest.raises(ValueError, match=r"20586908.xml has 134,217,728 bytes; .* at most 67,108,864"):
        load_probe("inbreast", path=root)


def test_numbers_of_points_are_compared(root):
    document = property_list([("Mass", DIAMOND)])
    document["Images"][0]["ROIs"][0]["NumberOfPoints"] = 5
    write_outlines(root, "20586908", document)
    with pytest.raises(ValueError, match=re.escape("ROIs[0] has 4 Point_px, but NumberOfPoints is 5; the file is damaged")):
        load_probe("inbreast", path=root)


def test_the_table_does_not_depend_on_the_kind_of_images(root):
    expected = load_probe("inbreast", path=root).table
    (root / "images_png").mkdir()
    Image.fromarray(np.arange(80, dtype=np.uint8).reshape(10, 8)).save(root / "images_png" / "20586908.png")
    found = load_probe("inbreast", path=root, images="png").table
    pd.testing.assert_frame_equal(found.drop(columns="patient"), expected.drop(columns="patient"))
