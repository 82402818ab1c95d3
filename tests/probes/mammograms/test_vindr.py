"""Tests of the VinDr-Mammo probe on miniature trees: both kinds of images, joined tables, boxes, odd rows, bad input."""

import pickle
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from miniature import breast_row, draw_breast, finding_rows, fold_rows, vindr_tree, write_dicom, write_table
from PIL import Image

from mdissect.probes import Probe, load_probe
from mdissect.probes.image_files import ImageFileError
from mdissect.probes.mammograms.meanings import SHARED, finding_names
from mdissect.probes.mammograms.preparation import Crop, transfer_box
from mdissect.probes.mammograms.vindr_tables import BREASTS, FINDINGS, FOLDS

PNG_SIZE = (76, 60)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A tree with everything, which tests leave as it is."""
    root = tmp_path_factory.mktemp("whole") / "vindr"
    return root, vindr_tree(root, 4, images="both", png_size=PNG_SIZE)


@pytest.fixture
def tree(tmp_path):
    """A tree of PNG files for tests that change it."""
    root = tmp_path / "vindr"
    return root, vindr_tree(root, 2, images="png", png_size=PNG_SIZE)


def drop(root, *names):
    for name in names:
        (root / name).unlink()


def expected_boxes(one, size):
    """Boxes as the preparation's crop places them."""
    boxes = []
    for categories, _, edges in one.findings:
        box = dict(zip(("xmin", "ymin", "xmax", "ymax"), edges, strict=True))
        boxes += [transfer_box({"finding": name} | box, Crop(*one.breast), size) for name in finding_names(categories)]
    return boxes


@pytest.mark.parametrize(("images", "size"), [("png", PNG_SIZE), ("dicom", (1520, 912)), ("auto", PNG_SIZE)])
def test_images_of_the_test_split_in_order(whole, images, size):
    root, mammograms = whole
    probe = load_probe("vindr", path=root, images=images)
    assert probe.name == "vindr"
    assert probe.ids == [one.image for one in mammograms if one.split == "test"]
    assert [probe[position].shape for position in (0, 5)] == [size] * 2
    assert probe[0].dtype == np.uint8
    assert probe.skipped == []


def test_dicom_and_published_png_show_the_same(whole):
    root, _ = whole
    png, dicom = (load_probe("vindr", path=root, images=images, preparation=given)[1]
                  for images, given in (("png", {}), ("dicom", {"size": PNG_SIZE})))  # fmt: skip
    assert np.corrcoef(png.ravel(), dicom.ravel())[0, 1] > 0.97  # the miniature is averaged by another library


def test_the_shared_columns_come_first(whole):
    root, mammograms = whole
    table = load_probe("vindr", path=root, split="all").table
    assert tuple(table.columns[:6]) == SHARED
    assert table.index.name == "image_id"
    for one, (image, row) in zip(mammograms, table.iterrows(), strict=True):
        assert (image, row["patient"], row["laterality"], row["view"]) == (one.image, one.study, one.laterality, one.view)
        assert (f"DENSITY {row['density']}", f"BI-RADS {row['birads']}", row["split"]) == (one.density, one.birads, one.split)
        named = dict.fromkeys(name for categories, _, _ in one.findings for name in finding_names(categories))
        assert row["findings"] == "; ".join(named)
        assert row["Mass"] == int("mass" in named)
        assert (row["height"], row["width"]) == one.pixels.shape
    assert table["birads"].dtype == np.int64
    assert table["finding_birads"].dropna().isin([3, 4]).all()
    assert {"series_id", "study_id", "fold"} <= set(table.columns)


def test_duplicates_are_removed_and_counted(whole):
    root, mammograms = whole
    probe = load_probe("vindr", path=root)
    chosen = [one for one in mammograms if one.split == "test"]
    rows = sum(len(finding_rows(one)) for one in chosen)
    said = f"{rows} rows (split: test) name {len(chosen)} images, {rows - len(chosen)} duplicates removed"
    assert rows > len(chosen)
    assert probe.notes == [f"{FINDINGS}: {said}", f"{FOLDS}: {said}"]


def test_patients_and_a_random_part(whole):
    root, mammograms = whole
    probe = load_probe("vindr", path=root, split="all", n_images=5, seed=1)
    assert len(set(probe.patients) & {one.study for one in mammograms}) == len(set(probe.patients))
    order = [one.image for one in mammograms]
    assert [order.index(image) for image in probe.ids] == sorted(order.index(image) for image in probe.ids)
    assert load_probe("vindr", path=root, split="all", n_images=5, seed=1).ids == probe.ids
    assert load_probe("vindr", path=root, split="all", n_images=5, seed=2).ids != probe.ids
    with pytest.raises(ValueError, match="n_images=9 exceeds the 8 images that there are"):
        load_probe("vindr", path=root, n_images=9)


def test_the_key_follows_files_and_preparation(whole):
    root, _ = whole
    options = [
        {"images": "png"},
        {"images": "dicom"},
        {"preparation": {"bits": 16}},
        {"preparation": None},
        {"split": "training"},
    ]
    probes = [load_probe("vindr", **{"path": root, "images": "dicom"} | given) for given in options]
    assert len({probe.key() for probe in probes}) == len(probes)
    assert probes[1].key() == load_probe("vindr", path=root, images="dicom", preparation={}).key()
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(probes[1]))[0], probes[1][0])


def test_joins_other_probes(whole):
    root, _ = whole
    joined = load_probe("vindr", path=root) + Probe.from_arrays(np.zeros((1, 4, 4), np.uint8), table={"class": ["dog"]})
    assert joined.table["class"].tolist()[-1] == "dog"
    assert joined.boxes(1) == load_probe("vindr", path=root).boxes(1)


# Boxes


@pytest.mark.parametrize("known_by", ["folds", "dicom beside", "dicom", "prepared"])
def test_boxes_lie_in_the_prepared_image(whole, tmp_path, known_by):
    root, mammograms = whole
    shutil.copytree(root, tmp_path / "vindr")
    root, options, size = tmp_path / "vindr", {"images": "png"}, PNG_SIZE
    if known_by != "folds":
        drop(root, FOLDS)
    if known_by == "folds":
        shutil.rmtree(root / "images")
    if known_by == "dicom":
        options, size = {"images": "dicom", "preparation": {"size": (50, 40)}}, (50, 40)
    if known_by == "prepared":
        from mdissect.commands.prepare import prepare_vindr
        from mdissect.probes.mammograms import Preparation

        prepare_vindr(root, tmp_path / "out", preparation=Preparation(size=(50, 40)), workers=1, progress=False)
        root, size = tmp_path / "out", (50, 40)
    probe = load_probe("vindr", path=root, split="all", **options)
    marked = 0
    for position, one in enumerate(mammograms):
        found, expected = probe.boxes(position), expected_boxes(one, size)
        assert [box["finding"] for box in found] == [box["finding"] for box in expected]
        for box, other in zip(found, expected, strict=True):
            for edge in ("xmin", "ymin", "xmax", "ymax"):
                assert abs(box[edge] - other[edge]) <= 1
        marked += len(found)
    assert marked == sum(len(finding_names(categories)) for one in mammograms for categories, _, _ in one.findings)


def test_boxes_of_the_whole_image_stay_where_they_are(whole):
    root, mammograms = whole
    probe = load_probe("vindr", path=root, images="dicom", split="all", preparation=None)
    one = next(one for one in mammograms if len(one.findings) == 1)
    box = probe.boxes(probe.position(one.image))[0]
    xmin, ymin, xmax, ymax = one.findings[0][2]
    assert (box["xmin"], box["ymax"]) == (max(0, int(np.floor(xmin))), int(np.ceil(ymax)))
    assert probe[probe.position(one.image)].shape == one.pixels.shape
    assert (box["ymin"], box["xmax"]) == (int(np.floor(ymin)), int(np.ceil(xmax)))


def test_where_the_crop_is_not_known_there_are_no_boxes(tree):
    root, mammograms = tree
    drop(root, FOLDS)
    probe = load_probe("vindr", path=root)
    found = [bool(one.findings) for one in mammograms if one.split == "test"]
    assert probe.boxes(found.index(False)) == []
    with pytest.raises(LookupError, match=r"does not say which part of the original it shows.*; give folds="):
        probe.boxes(found.index(True))


def test_mammo_clips_boxes_serve_prepared_images_only(whole, tmp_path):
    root, mammograms = whole
    shutil.copytree(root, tmp_path / "vindr")
    drop(tmp_path / "vindr", FINDINGS, BREASTS)
    position = next(i for i, one in enumerate(mammograms) if one.findings)
    options = {"path": tmp_path / "vindr", "images": "dicom", "split": "all"}
    assert load_probe("vindr", **options).boxes(position) != []
    with pytest.raises(LookupError, match="its boxes are known for the published images only"):
        load_probe("vindr", preparation=None, **options).boxes(position)


# Tables


def test_mammo_clips_table_alone_is_enough(tree, whole):
    root, mammograms = tree
    expected = load_probe("vindr", path=root, split="all")
    drop(root, BREASTS, FINDINGS)
    probe = load_probe("vindr", path=root, split="all")
    assert probe.ids == expected.ids == [one.image for one in mammograms]
    shared = [*SHARED, "split", "finding_birads", "fold"]
    pd.testing.assert_frame_equal(probe.table[shared], expected.table[shared])
    assert [probe.boxes(i) for i in range(8)] == [expected.boxes(i) for i in range(8)]


def test_mammo_clips_table_from_elsewhere(tree, tmp_path):
    root, _ = tree
    shutil.move(root / FOLDS, tmp_path / "mine.csv")
    assert "fold" in load_probe("vindr", path=root, folds=tmp_path / "mine.csv").table
    with pytest.raises(FileNotFoundError, match=r"no table .*gone\.csv"):
        load_probe("vindr", path=root, folds=tmp_path / "gone.csv")


def test_flags_and_class_numbers_are_understood(tree):
    root, mammograms = tree
    drop(root, BREASTS, FINDINGS)
    rows = [row for one in mammograms for row in fold_rows(one)]
    for row in rows:
        del row["finding_categories"], row["breast_birads"]
        row["density"] = "ABCD".index(row.pop("breast_density")[-1])
    write_table(root / FOLDS, rows)
    table = load_probe("vindr", path=root, split="all").table
    assert [f"DENSITY {letter}" for letter in table["density"]] == [one.density for one in mammograms]
    for one, findings in zip(mammograms, table["findings"], strict=True):
        assert set(findings.split("; ")) - {""} == {n for c, _, _ in one.findings for n in finding_names(c)}
    assert table["birads"].isna().all()


def test_breast_level_table_alone_leaves_findings_out(tree):
    root, _ = tree
    drop(root, FINDINGS, FOLDS)
    probe = load_probe("vindr", path=root)
    assert "findings" not in probe.table
    assert probe.notes == ["no table of findings: the column 'findings' is missing, and there are no boxes"]
    with pytest.raises(LookupError, match="without boxes"):
        probe.boxes(0)


def test_odd_cells(tree):
    root, mammograms = tree
    rows = [breast_row(one) for one in mammograms]
    rows[0] |= {"breast_birads": "bi-rads 4a", "breast_density": "Density c", "laterality": "left", "view_position": "cc"}
    rows[1] |= {"breast_birads": "", "breast_density": "", "laterality": "", "split": "Test"}
    rows[2] |= {"breast_birads": "5", "breast_density": "4"}
    write_table(root / BREASTS, rows)
    findings = [row for one in mammograms for row in finding_rows(one)]
    findings[0] |= {"finding_categories": "[]"}
    findings[1] |= {"finding_categories": "['Mass', 'Mass', 'No Finding']", "finding_birads": "BI-RADS 5", "xmax": ""}
    write_table(root / FINDINGS, findings)
    probe = load_probe("vindr", path=root)
    rows = probe.table.head(3)
    assert rows["density"].tolist() == ["C", "", "D"]
    assert rows["birads"].tolist()[::2] == [4, 5]
    assert np.isnan(rows["birads"].iloc[1])
    assert rows["laterality"].tolist()[:2] == ["L", ""]
    assert rows["findings"].tolist()[:2] == ["", "mass"]
    assert rows["finding_birads"].iloc[1] == 5
    assert f"{FINDINGS}: 1 row: line 3 with edges (xmin ...) that make no box" in probe.notes


@pytest.mark.parametrize(
    ("name", "column", "value", "text"),
    [
        (
            BREASTS,
            "breast_birads",
            "BI-RADS 9",
            "line 3, column 'breast_birads': 'BI-RADS 9' is not a BI-RADS category (0 to 6)",
        ),
        (BREASTS, "breast_density", "DENSITY E", "line 3, column 'breast_density': 'DENSITY E' is not a density (A to D"),
        (BREASTS, "laterality", "X", "line 3, column 'laterality': 'X' is not a side (L or R)"),
        (BREASTS, "image_id", " ", "line 3: no image_id"),
        (FINDINGS, "xmin", "left", "line 3, column 'xmin': 'left' is not a number"),
        (FINDINGS, "finding_birads", "?", "line 3, column 'finding_birads': '?' is not a BI-RADS category"),
    ],
)
def test_cells_that_mean_nothing_are_named(tree, name, column, value, text):
    root, mammograms = tree
    rows = [(breast_row if name == BREASTS else lambda one: finding_rows(one)[0])(one) for one in mammograms]
    rows[1][column] = value
    write_table(root / name, rows)
    with pytest.raises(ValueError, match=re.escape(text)):
        load_probe("vindr", path=root)


def test_a_missing_column_is_named_with_those_found(tree):
    root, mammograms = tree
    rows = [breast_row(one) for one in mammograms]
    for row in rows:
        del row["split"], row["view_position"]
    write_table(root / BREASTS, rows)
    text = "has no column view_position or view, split; it has study_id, series_id, image_id, laterality, height, width"
    with pytest.raises(ValueError, match=text):
        load_probe("vindr", path=root)
    drop(root, BREASTS)
    rows = [{key: value for key, value in finding_rows(one)[0].items() if key != "xmin"} for one in mammograms]
    write_table(root / FINDINGS, rows)
    with pytest.raises(ValueError, match=rf"{FINDINGS} has no column xmin; it has study_id"):
        load_probe("vindr", path=root)


def test_tables_that_are_none(tree):
    root, _ = tree
    (root / BREASTS).write_bytes("image_id,é\n".encode("latin-1"))
    with pytest.raises(ValueError, match="line 1: wrong encoding, not UTF-8: byte 0xe9"):
        load_probe("vindr", path=root)
    (root / BREASTS).write_text("study_id,image_id,laterality,view_position,breast_density,split\n")
    with pytest.raises(ValueError, match="has columns, but no rows"):
        load_probe("vindr", path=root)
    drop(root, BREASTS, FINDINGS, FOLDS)
    with pytest.raises(FileNotFoundError, match=rf"holds none of the tables {BREASTS}, .*; it holds images_png"):
        load_probe("vindr", path=root)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: [*lines[:2], lines[2] + ",more", *lines[3:]], r"line 3: \d+ cells under \d+ columns"),
        (lambda lines: [lines[0], "", *lines[1:3], "", lines[3].rpartition(",")[0], *lines[4:]], r"line 6: \d+ cells under"),
        (
            lambda lines: [lines[0], "", "", re.sub("DENSITY .", "DENSITY X", lines[1]), *lines[2:]],
            "line 4, column 'breast_density'",
        ),
        (
            lambda lines: [lines[0] + ",laterality", *(line + ",L" for line in lines[1:])],
            "the column 'laterality' stands there 2",
        ),
    ],
)
def test_lines_that_are_no_rows_are_named(tree, change, message):
    root, _ = tree
    lines = (root / BREASTS).read_text().splitlines()
    (root / BREASTS).write_text("\n".join(change(lines)))
    with pytest.raises(ValueError, match=rf"{BREASTS}.*{message}"):
        load_probe("vindr", path=root)


def test_a_table_that_a_spreadsheet_saved_again_is_the_same(tree):
    root, _ = tree
    before = load_probe("vindr", path=root).table
    for name in (BREASTS, FINDINGS):
        rows = pd.read_csv(root / name, dtype=str, keep_default_na=False)
        rows.to_csv(root / name, sep=";", index=False, encoding="utf-16")
    pd.testing.assert_frame_equal(load_probe("vindr", path=root).table, before)


def test_repeated_and_contradictory_rows(tree):
    root, mammograms = tree
    rows = [breast_row(one) for one in mammograms]
    write_table(root / BREASTS, [*rows, rows[0]])
    probe = load_probe("vindr", path=root)
    assert probe.ids == [one.image for one in mammograms if one.split == "test"]
    assert f"{BREASTS}: 5 rows (split: test) name 4 images, 1 duplicate removed" in probe.notes
    write_table(root / BREASTS, [*rows, rows[0] | {"breast_density": "DENSITY D"}])
    with pytest.raises(ValueError, match=rf"lines 2, 10 contradict each other about image {rows[0]['image_id']} in density"):
        load_probe("vindr", path=root)


def test_rows_of_unknown_images_are_noted(tree):
    root, mammograms = tree
    write_table(root / BREASTS, [breast_row(one) for one in mammograms[:-1]])
    stranger = mammograms[-1]
    notes = load_probe("vindr", path=root).notes
    assert f"{FINDINGS}: 1 image: {stranger.image} not in {BREASTS}" in notes
    assert any(note.endswith(f"1 file: {stranger.study}/{stranger.image} that no table names") for note in notes)


# Files


def test_missing_images_are_counted_and_named(tree):
    root, mammograms = tree
    for one in mammograms[:3]:
        (root / "images_png" / one.study / f"{one.image}.png").unlink()
    named = ", ".join(one.image for one in mammograms[:3])
    text = rf"3 of 4 images are not on disk \(3 images: {named}\); looked for .*images_png/<study_id>/<image_id>\.png; fetch"
    with pytest.raises(FileNotFoundError, match=text):
        load_probe("vindr", path=root)
    probe = load_probe("vindr", path=root, missing="skip")
    assert probe.ids == [mammograms[3].image]
    assert [image for image, _ in probe.skipped] == [one.image for one in mammograms[:3]]
    assert "not on disk" in probe.skipped[0][1]
    assert load_probe("vindr", path=root, split="training").skipped == []
    drop(root / "images_png" / mammograms[3].study, f"{mammograms[3].image}.png")
    with pytest.raises(FileNotFoundError, match=r"4 of 4 images are not on disk"):
        load_probe("vindr", path=root, missing="skip")


def test_images_that_no_table_names_are_noted(tree):
    root, mammograms = tree
    Image.new("L", (4, 4)).save(root / "images_png" / mammograms[0].study / "extra.png")
    (root / "images_png" / "readme.txt").touch()
    (root / "images_png" / mammograms[0].study / "._extra.png").touch()
    notes = load_probe("vindr", path=root).notes
    assert any(note.endswith(f"images_png: 1 file: {mammograms[0].study}/extra that no table names") for note in notes)


def test_images_that_cannot_be_shown_are_named(tree):
    root, mammograms = tree
    paths = [root / "images_png" / one.study / f"{one.image}.png" for one in mammograms[:2]]
    Image.new("L", (4, 4), color=7).save(paths[0])
    paths[1].write_bytes(paths[1].read_bytes()[:200])
    probe = load_probe("vindr", path=root)
    with pytest.raises(ImageFileError, match=rf"{mammograms[0].image}\.png: all pixels are 7: an image without content"):
        probe[0]
    with pytest.raises(ImageFileError, match=rf"{mammograms[1].image}\.png: .*truncated"):
        probe[1]


def test_an_all_black_dicom_is_named(tmp_path):
    (one, *_) = vindr_tree(tmp_path, 1, images="dicom")
    write_dicom(tmp_path / "images" / one.study / f"{one.image}.dicom", np.zeros_like(draw_breast((0,), "L")[0]))
    for preparation in ({}, None):
        with pytest.raises(ImageFileError, match=r"\.dicom: all pixels are 0: an image without content"):
            load_probe("vindr", path=tmp_path, preparation=preparation)[0]


def test_folders_that_hold_no_tree(tmp_path, tree, monkeypatch):
    root, _ = tree
    with pytest.raises(FileNotFoundError, match=r"no folder .*nowhere; path= \(--path\) must name the folder .*data/README.md"):
        load_probe("vindr", path=tmp_path / "nowhere")
    with pytest.raises(NotADirectoryError, match="is a file; path= must name"):
        load_probe("vindr", path=root / BREASTS)
    with pytest.raises(FileNotFoundError, match=r"has no folder images/ with the images; it holds breast-level.*images_png"):
        load_probe("vindr", path=root, images="dicom")
    monkeypatch.setenv("MDISSECT_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"no folder .*vindr-mammo; give path="):
        load_probe("vindr")
    root.rename(tmp_path / "vindr-mammo")
    assert len(load_probe("vindr")) == 4


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"images": "jpeg"}, "images='jpeg' is not one of 'auto', 'png', 'dicom'"),
        ({"missing": "ignore"}, "missing='ignore' is not one of 'raise', 'skip'"),
        ({"split": "train"}, "split='train' is not one of 'test', 'training', 'all'"),
        ({"n_images": 0}, "n_images=0 must be a whole number, 1 or more"),
        ({"n_images": 2, "seed": -1}, "seed=-1 must be a whole number, 0 or more"),
        ({"preparation": {"bits": 16}}, "preparation= concerns DICOM files, but the images are those of"),
        ({"images": "dicom", "preparation": {"sise": (4, 4)}}, "preparation has no option sise; it has size, bits"),
        ({"images": "dicom", "preparation": {"voi": 1}}, "voi=1 must be True or False"),
        ({"images": "dicom", "preparation": "released"}, "preparation='released' must be a Preparation"),
        ({"path": ""}, "path='' is empty"),
        ({"images": "dicom", "preparation": {"bits": 9}}, "bits=9 is not one of 8, 16"),
    ],
)
def test_options_that_cannot_be(tree, options, text):
    with pytest.raises((ValueError, TypeError), match=re.escape(text)):
        load_probe("vindr", **{"path": tree[0]} | options)
