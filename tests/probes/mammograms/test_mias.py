"""Tests of the MIAS probe on a miniature of it: several rows a film, circles from the bottom-left corner, bad input."""

import re

import numpy as np
import pytest
from PIL import Image

from mdissect.probes import load_probe
from mdissect.probes.image_files import ImageFileError
from mdissect.probes.mammograms.meanings import SHARED
from mdissect.probes.mammograms.mias import ANNOTATED, read_films
from mdissect.trust import mapped_presence

# As the real file has it: a blank at the end of lines, spread calcifications without a circle.
ROWS = (
    "mdb001 G CIRC B 535 425 197 ",
    "mdb002 G CALC M 522 280 69",
    "mdb002 G SPIC B 100 1000 50",
    "mdb003 D NORM ",
    "mdb004 F ARCH M 20 30 40",
    "mdb005 F CALC B",
    "mdb006 F MISC M 500 168 26",
    "mdb006 F CALC M *NOTE 3*",
    "mdb007 D ASYM B 1 1 1",
)
HEADER = "REFNUM BG CLASS SEVERITY X Y RADIUS "
FILMS = tuple(f"mdb00{number}" for number in range(1, 8))


def write_info(root, lines, name="Info.txt"):
    root.mkdir(parents=True, exist_ok=True)
    (root / name).write_text("\n".join(lines) + "\n")
    return root / name


def write_film(path, size=1024):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((size, size), np.uint8)
    pixels[size // 2 :] = 200
    Image.fromarray(pixels).save(path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A tree that tests leave as it is."""
    root = tmp_path_factory.mktemp("whole") / "mias"
    write_info(root, (HEADER, *ROWS))
    for film in FILMS:
        write_film(root / "all-mias" / f"{film}.pgm")
    return root


@pytest.fixture
def root(tmp_path):
    """A small tree for tests that change it: one film, of another size."""
    write_info(tmp_path, (HEADER, ROWS[0]))
    write_film(tmp_path / "mdb001.pgm", 32)
    return tmp_path


def test_the_table(whole):
    probe = load_probe("mias", path=whole)
    table = probe.table
    assert probe.name == "mias"
    assert probe.ids == list(FILMS)
    assert (probe[0].shape, probe[0].dtype) == ((1024, 1024), np.uint8)
    assert tuple(table.columns[:6]) == SHARED
    assert table["laterality"].tolist() == list("RLRLRLR")
    assert table["patient"].tolist()[:4] == ["mdb001-002", "mdb001-002", "mdb003-004", "mdb003-004"]
    assert table["findings"].tolist() == [
        "mass", "calcification; mass", "", "architectural distortion", "calcification", "mass; calcification", "asymmetry",
    ]  # fmt: skip
    assert (table["cancer"].dtype, table["cancer"].tolist()) == (bool, [False, True, False, True, False, True, False])
    assert table["pathology"].tolist() == [
        "benign", "malignant; benign", "normal", "malignant", "benign", "malignant", "benign",
    ]  # fmt: skip
    assert table["mass_margin"].tolist() == ["circumscribed", "spiculated", "", "", "", "ill-defined", ""]
    assert table["tissue"].tolist()[:4] == ["fatty-glandular", "fatty-glandular", "dense-glandular", "fatty"]
    assert set(table["annotated"]) == {ANNOTATED} == {"calcification; mass; architectural distortion; asymmetry"}
    assert (table["density"] == "").all()
    assert table["birads"].isna().all()


def test_notes(whole):
    assert load_probe("mias", path=whole).notes == [
        "abnormalities without a place in 2 films: mdb005, mdb006: they have no box",
        "views, densities (A to D) and BI-RADS categories are not in the table",
    ]


def test_presence_of_concepts(whole):
    presence = mapped_presence(load_probe("mias", path=whole).table)
    assert presence["mass"].tolist() == [True, True, False, False, False, True, False]
    assert presence["malignancy"].tolist() == [False, True, False, True, False, True, False]
    assert presence["dense breast"].isna().all()  # its tissue is none of the densities of BI-RADS
    assert presence["skin thickening"].isna().all()


def test_circles_are_counted_from_the_bottom(whole):
    probe = load_probe("mias", path=whole)
    assert probe.boxes(0) == [{"finding": "mass", "xmin": 338, "ymin": 402, "xmax": 732, "ymax": 796}]
    calcification, mass = probe.boxes(1)
    assert calcification == {"finding": "calcification", "xmin": 453, "ymin": 675, "xmax": 591, "ymax": 813}
    assert mass == {"finding": "mass", "xmin": 50, "ymin": 0, "xmax": 150, "ymax": 74}  # cut at the upper edge
    assert probe.boxes(3) == [{"finding": "architectural distortion", "xmin": 0, "ymin": 954, "xmax": 60, "ymax": 1024}]
    assert probe.boxes(2) == []


def test_findings_without_a_place_have_no_boxes(whole):
    probe = load_probe("mias", path=whole)
    with pytest.raises(LookupError, match=r"mdb005.pgm: the table gives no place of its findings \(calcification\)"):
        probe.boxes(4)
    assert [box["finding"] for box in probe.boxes(5)] == ["mass"]
    with pytest.raises(LookupError, match="without masks"):
        probe.masks(0)


def test_files_of_another_size_have_no_boxes(root):
    probe = load_probe("mias", path=root)
    assert probe[0].shape == (32, 32)
    with pytest.raises(LookupError, match="has 32 x 32 pixels, its findings are marked on 1024 x 1024"):
        probe.boxes(0)


def test_text_around_the_table_is_passed_over_and_told(tmp_path):
    path = write_info(tmp_path, ("INFORMATION:", "", "This file lists the films.", "", *ROWS[:2], "", "THE END"))
    films, notes = read_films(path)
    assert list(films) == ["mdb001", "mdb002"]
    assert notes == ["Info.txt: text around the table (3 lines: line 1, line 3, line 8) is passed over"]


def test_other_kinds_of_files_and_names_in_capitals(tmp_path):
    write_info(tmp_path, (HEADER, "MDB001 g circ b 535 425 197"), "info.TXT")
    write_film(tmp_path / "png" / "MDB001.PNG", 16)
    probe = load_probe("mias", path=tmp_path)
    assert (probe.ids, probe.table["findings"].item()) == (["mdb001"], "mass")


def test_missing_films_and_drawn_ones(whole, root):
    write_info(root, (HEADER, *ROWS[:2]))
    write_film(root / "mdb322.pgm", 16)
    with pytest.raises(FileNotFoundError, match=r"1 of 2 images are not on disk \(1 image: mdb002\)"):
        load_probe("mias", path=root)
    probe = load_probe("mias", path=root, missing="skip")
    assert (probe.ids, probe.skipped[0][0]) == (["mdb001"], "mdb002")
    assert probe.notes[0] == "1 film: mdb322 that Info.txt does not name"
    drawn = load_probe("mias", path=whole, n_images=3, seed=2)
    assert drawn.ids == sorted(drawn.ids)
    assert len(drawn) == 3


def test_a_broken_film_is_named_when_it_is_read(root):
    data = (root / "mdb001.pgm").read_bytes()
    (root / "mdb001.pgm").write_bytes(data[:-9])
    with pytest.raises(ImageFileError, match=r"mdb001.pgm: image file is truncated"):
        load_probe("mias", path=root)[0]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("mdb001 X CIRC B 535 425 197", "line 2: the tissue is 'X'; expected F, G, D"),
        ("mdb001 G MASS B 535 425 197", "line 2: the class of the abnormality is 'MASS'; expected CALC, CIRC"),
        ("mdb001 G", "line 2: the class of the abnormality is 'missing'; expected CALC"),
        ("mdb001", "line 2: the tissue is 'missing'"),
        ("mdb001 G CIRC", "line 2: the severity is 'missing'; expected B, M"),
        ("mdb001 G CIRC N 1 2 3", "line 2: the severity is 'N'; expected B, M"),
        ("mdb001 G NORM B", "line 2: a normal film (NORM) has more: B"),
        ("mdb001 G CIRC B 535 425", "line 2: the circle is '535 425'; expected x, y and radius in pixels, or nothing"),
        ("mdb001 G CIRC B 535 425 197 9", "line 2: the circle is '535 425 197 9'"),
        ("mdb001 G CIRC B 535 -4 197", "line 2: the circle is '535 -4 197'"),
        ("mdb001 G CIRC B 535 nan 197", "line 2: the circle is '535 nan 197'"),
        ("mdb001 G CIRC B 1535 425 197", "lies in no image of 1024 x 1024 pixels"),
        ("mdb001 G CIRC B 535 425 0", "lies in no image of 1024 x 1024 pixels"),
        ("mdb1 G CIRC B 535 425 197", "line 2: 'mdb1' is no film; expected mdb and three digits"),
        ("mb001 G CIRC B 535 425 197", "line 2: 'mb001' is no film; expected mdb and three digits"),
        ("mdb001 G NORM\nmdb001 G CIRC B 5 5 5", "lines 2, 3: mdb001 is NORM, and has 2 rows; a normal film has one"),
        ("mdb001 G NORM\nmdb001 G NORM", "lines 2, 3: mdb001 is NORM, and has 2 rows"),
        ("mdb001 G CIRC B 5 5 5\nmdb001 D CIRC B 5 5 5", "lines 2, 3: mdb001 has the tissues D, G; it can have one"),
        (
            "mdb001 G NORM\nwhat is this\nmdb002 G NORM",
            "line 3: not a film such as 'mdb001 G CIRC B 535 425 197', amid the table",
        ),
        ("", "Info.txt names no film; expected lines such as"),
    ],
)
def test_wrong_rows(root, line, said):
    write_info(root, (HEADER, line))
    with pytest.raises(ValueError, match=re.escape(said)):
        load_probe("mias", path=root)


def test_wrong_files(root, tmp_path):
    write_info(root / "copy", (HEADER, ROWS[0]))
    with pytest.raises(FileNotFoundError, match=r"several tables Info.txt \(Info.txt, copy/Info.txt\); keep one"):
        load_probe("mias", path=root)
    (root / "copy" / "Info.txt").unlink()
    write_film(root / "copy" / "mdb001.png", 16)
    with pytest.raises(ValueError, match=r"the film mdb001 may be mdb001.pgm or copy/mdb001.png; keep one of them"):
        load_probe("mias", path=root)
    (root / "Info.txt").write_bytes(b"\x89PNG\r\n")
    (root / "copy" / "mdb001.png").unlink()
    with pytest.raises(ValueError, match=r"Info.txt is an image, no table"):
        load_probe("mias", path=root)
    (root / "Info.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"holds no table Info.txt; it holds copy, mdb001.pgm"):
        load_probe("mias", path=root)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"missing": True}, "missing=True must be a str"),
        ({"n_images": 0}, "n_images=0 must be a whole number, 1 or more"),
        ({"n_images": 8}, "n_images=8 exceeds the 7 images that there are"),
        ({"images": "png"}, "options of the probe 'mias' (path, missing, n_images, seed): unknown: images"),
    ],
)
def test_wrong_options(whole, options, said):
    with pytest.raises((ValueError, TypeError), match=re.escape(said)):
        load_probe("mias", path=whole, **options)
