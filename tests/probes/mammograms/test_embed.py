"""Tests of the EMBED probe on miniature trees: joined tables, the implant subset, files by name, regions, bad input."""

import re
import shutil

import numpy as np
import pandas as pd
import pytest
from miniature import embed_tree, write_dicom, write_table
from PIL import Image

from mdissect.probes import load_probe
from mdissect.probes.image_files import ImageFileError
from mdissect.probes.mammograms.embed_tables import CLINICAL, METADATA, regions
from mdissect.probes.mammograms.meanings import SHARED

pytestmark = pytest.mark.slow

N_PATIENTS = 6


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A tree with image and DICOM files, which tests leave as it is."""
    root = tmp_path_factory.mktemp("whole") / "embed"
    return root, *embed_tree(root, N_PATIENTS, images="both")


@pytest.fixture
def tree(tmp_path):
    """A tree of PNG files for tests that change it."""
    root = tmp_path / "embed"
    return root, *embed_tree(root, 2)


def table_path(root, names):
    return root / "tables" / names[0]


def files_of(root, row):
    return list((root / "images").rglob(row["png_filename"]))


def test_all_files_in_the_tables_order(whole):
    root, metadata, _ = whole
    probe = load_probe("embed", path=root)
    assert probe.name == "embed"
    assert probe.ids == [row["png_filename"] for row in metadata]
    assert (probe[0].shape, probe[0].dtype) == ((76, 60), np.uint16)
    assert tuple(probe.table.columns[:6]) == SHARED
    assert probe.table.index.tolist() == probe.ids
    for column, source in (("patient", "empi_anon"), ("exam", "acc_anon"), ("laterality", "ImageLateralityFinal"),
                           ("view", "ViewPosition"), ("kind", "FinalImageType"), ("manufacturer", "Manufacturer")):  # fmt: skip
        assert probe.table[column].tolist() == [row[source] for row in metadata]
    assert probe.table["special"].tolist() == [row["spot_mag"] == "1" for row in metadata]
    assert probe.patients == probe.table["patient"].tolist()


def test_dicom_files_when_asked_for_or_alone(whole, tmp_path):
    root, _, _ = whole
    png, dicom = load_probe("embed", path=root), load_probe("embed", path=root, images="dicom")
    assert (dicom.ids, dicom[0].shape, dicom[0].dtype) == (png.ids, (152, 120), np.uint16)
    np.testing.assert_allclose(dicom[1][1::2, 1::2] / 65535, png[1] / (4095 * 16), atol=1e-4)  # stored as MONOCHROME1
    assert png.key() != dicom.key()
    embed_tree(tmp_path, 1, images="dicom")
    assert load_probe("embed", path=tmp_path)[0].shape == (152, 120)
    with pytest.raises(FileNotFoundError, match="12 of 12 images are not on disk"):
        load_probe("embed", path=tmp_path, images="png")


def test_findings_are_those_of_the_exam_and_side(whole):
    root, _, _ = whole
    table = load_probe("embed", path=root).table
    left, right = (table[(table["exam"] == "20000001") & (table["laterality"] == side)].iloc[0] for side in "LR")
    assert (left["findings"], left["mass_shape"], left["birads"], left["density"]) == ("mass", "oval", 0, "A")
    assert (right["findings"], right["birads"], right["density"]) == ("calcification", 4, "A")
    assert (right["calcification_morphology"], right["calcification_distribution"]) == (
        "vascular; amorphous",
        "regional; grouped",
    )
    spiculated = table[(table["exam"] == "20000010") & (table["laterality"] == "L")].iloc[0]
    assert (spiculated["mass_shape"], spiculated["mass_margin"], spiculated["findings"]) == (
        "irregular",
        "spiculated",
        "mass; implant",
    )
    assert table.loc[table["exam"] == "20000020", "findings"].iloc[0] == "architectural distortion"
    assert table.loc[table["exam"] == "20000030", "findings"].iloc[0] == "focal asymmetry; implant"
    none = table[(table["exam"] == "20000000") & (table["laterality"] == "R")].iloc[0]
    assert (none["findings"], none["density"]) == ("", "A")
    assert np.isnan(none["birads"])


def test_codes_in_words(tree):
    root, _, clinical = tree
    rows = [row | {"side": "L"} for row in clinical[:2]]
    rows[0] |= {"massshape": "", "massmargin": "M", "massdens": "+", "calcfind": "H,V", "otherfind": "NJ"}
    rows[0] |= {"asses": "K", "tissueden": "5", "side": ""}
    rows[1] |= {"acc_anon": rows[0]["acc_anon"] + ".0", "massshape": "?Y", "calcdistri": "G", "asses": "x", "tissueden": "2"}
    write_table(table_path(root, CLINICAL), rows)
    probe = load_probe("embed", path=root)
    left, right = (probe.table[(probe.table["exam"] == rows[0]["acc_anon"]) & (probe.table["laterality"] == side)].iloc[0]
                   for side in "LR")  # fmt: skip
    assert left["findings"] == "mass; calcification; nipple retraction; skin thickening; lymph node"
    assert right["findings"] == "mass; calcification; nipple retraction; skin thickening"
    assert (left["mass_margin"], left["mass_density"]) == ("microlobulated", "high")
    assert (left["calcification_morphology"], left["calcification_distribution"]) == (
        "coarse heterogeneous; vascular",
        "grouped",
    )
    assert (left["birads"], left["density"]) == (6, "B")
    bare = [note for note in probe.notes if "no row for the exam of 18 images" in note]
    assert len(bare) == 1


def test_the_reduced_tables_serve_as_well(tree):
    root, _, _ = tree
    expected = load_probe("embed", path=root)
    for names in (METADATA, CLINICAL):
        table_path(root, names).rename(root / names[1])
    pd.testing.assert_frame_equal(load_probe("embed", path=root).table, expected.table)


def test_without_a_clinical_table(tree):
    root, metadata, _ = tree
    table_path(root, CLINICAL).unlink()
    probe = load_probe("embed", path=root)
    assert probe.notes == ["no clinical table: density, BI-RADS and findings are not known"]
    implants = [row["BreastImplantPresent"] == "YES" for row in metadata]
    assert probe.table["findings"].tolist() == ["implant" if with_implant else "" for with_implant in implants]
    assert set(probe.table["density"]) == {""}


# The implant subset


def test_the_subset_is_half_and_half_and_full_views(whole):
    root, _, _ = whole
    probe = load_probe("embed", path=root, subset="implants", n_images=12, seed=3)
    table = probe.table
    assert table["implant"].value_counts().to_dict() == {"implant": 6, "": 6}
    assert set(table["kind"]) == {"2D"}
    assert not table["special"].any()
    assert (table["findings"].str.contains("implant") == (table["implant"] == "implant")).all()
    assert "drew 6 + 6 full 2D views with and without implants from 48 (seed 3)" in probe.notes
    assert load_probe("embed", path=root, subset="implants", n_images=12, seed=3).ids == probe.ids
    assert load_probe("embed", path=root, subset="implants", n_images=12, seed=4).ids != probe.ids


def test_the_subset_has_84_images_unless_told_otherwise(whole):
    root, _, _ = whole
    with pytest.raises(
        ValueError, match="42 images are wanted of each kind, but only 24 of 48 full 2D views have BreastImplantPresent YES"
    ):
        load_probe("embed", path=root, subset="implants")


def test_images_whose_implants_are_not_known_are_not_drawn(tree):
    root, metadata, _ = tree
    write_table(table_path(root, METADATA), [row | {"BreastImplantPresent": ""} for row in metadata])
    assert load_probe("embed", path=root).table["implant"].isna().all()
    with pytest.raises(ValueError, match="only 0 of 16 full 2D views"):
        load_probe("embed", path=root, subset="implants", n_images=2)


def test_a_subset_of_what_is_on_disk(tree):
    root, metadata, _ = tree
    full = [row for row in metadata if row["FinalImageType"] == "2D" and not row["spot_mag"]]
    for row in full[1:]:
        if row["BreastImplantPresent"] == "NO":
            files_of(root, row)[0].unlink()
    probe = load_probe("embed", path=root, subset="implants", n_images=2, missing="skip")
    assert full[0]["png_filename"] in probe.ids
    assert probe.skipped == []
    with pytest.raises(FileNotFoundError, match=r"of 14 images are not on disk .*missing='skip'"):
        load_probe("embed", path=root, subset="implants", n_images=14)


def test_the_studys_list(whole):
    root, _, _ = whole
    listed = pd.read_csv(root / "implants.csv")
    probe = load_probe("embed", path=root, image_list=root / "implants.csv", subset="implants")
    assert probe.ids == listed["filename"].tolist()
    kinds = {"implant": "implant", "": "non-implant"}
    assert [kinds[implant] for implant in probe.table["implant"]] == listed["Implant_type"].tolist()
    whole_table = load_probe("embed", path=root).table
    pd.testing.assert_frame_equal(probe.table, whole_table.loc[probe.ids], check_dtype=False)
    assert probe.boxes(0) != []


def test_the_list_alone_with_files_of_any_folder(tree, tmp_path):
    root, metadata, _ = tree
    shutil.rmtree(root / "tables")
    first, second = metadata[0], metadata[6]
    rows = [{"filename": first["png_filename"].removesuffix(".png"), "Implant_type": "Non-Implant"},
            {"filename": f"elsewhere/{second['png_filename']}", "Implant_type": "implant"}]  # fmt: skip
    path = write_table(tmp_path / "list.csv", [*rows, rows[1]])
    probe = load_probe("embed", path=root, image_list=path)
    assert probe.ids == [row["filename"] for row in rows]
    assert probe.table["implant"].tolist() == probe.table["findings"].tolist() == ["", "implant"]
    assert probe.patients == probe.ids
    assert probe.notes[0] == "no metadata table: only implants are known"
    assert "list.csv: 1 rows repeat a file and are removed" in probe.notes
    assert probe[1].dtype == np.uint16
    with pytest.raises(LookupError, match="without boxes"):
        probe.boxes(0)


def test_listed_images_that_the_metadata_lack(tree, tmp_path):
    root, metadata, _ = tree
    Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4)).save(root / "mine.png")
    rows = [("mine.png", "implant"), (metadata[0]["png_filename"], "non-implant")]
    path = write_table(tmp_path / "list.csv", [{"filename": name, "Implant_type": kind} for name, kind in rows])
    probe = load_probe("embed", path=root, image_list=path)
    assert f"{METADATA[0]}: no row for 1 image: mine.png" in probe.notes
    assert probe.patients == ["mine.png", metadata[0]["empi_anon"]]
    assert probe.table["findings"].tolist() == ["implant", "mass"]
    with pytest.raises(LookupError, match="without boxes"):
        probe.boxes(0)
    assert len(probe.boxes(1)) == 1


# Regions


def test_regions_are_scaled_to_the_file(whole):
    root, metadata, _ = whole
    ((ymin, xmin, ymax, xmax),) = regions(metadata[0]["ROI_coords"])
    box = {"finding": "region of interest", "xmin": xmin, "ymin": ymin, "xmax": xmax, "ymax": ymax}
    assert load_probe("embed", path=root, images="dicom").boxes(0) == [box]
    halved = load_probe("embed", path=root).boxes(0)[0]
    assert halved == {"finding": "region of interest", "xmin": xmin // 2, "ymin": ymin // 2,
                      "xmax": -(-xmax // 2), "ymax": -(-ymax // 2)}  # fmt: skip
    assert load_probe("embed", path=root).boxes(1) == []


def test_regions_need_the_size_of_the_original(tree):
    root, metadata, _ = tree
    write_table(table_path(root, METADATA), [row | {"Rows": ""} for row in metadata])
    with pytest.raises(LookupError, match=r"its size \(Rows, Columns\) is not in the metadata"):
        load_probe("embed", path=root).boxes(0)
    rows = [{key: value for key, value in row.items() if key != "ROI_coords"} for row in metadata]
    write_table(table_path(root, METADATA), rows)
    with pytest.raises(LookupError, match="without boxes"):
        load_probe("embed", path=root).boxes(0)


# Files and bad input


def test_missing_files(tree):
    root, metadata, _ = tree
    files_of(root, metadata[1])[0].unlink()
    text = rf"1 of 24 images are not on disk \(1 image: {metadata[1]['png_filename']}\); looked for files of these names below"
    with pytest.raises(FileNotFoundError, match=text):
        load_probe("embed", path=root)
    probe = load_probe("embed", path=root, missing="skip", n_images=23)
    assert [image for image, _ in probe.skipped] == [metadata[1]["png_filename"]]
    assert len(probe) == 23


def test_the_file_whose_folders_fit_is_taken(tree):
    root, metadata, _ = tree
    (there,) = files_of(root, metadata[0])
    Image.new("L", (3, 3), color=1).save(root / metadata[0]["png_filename"])
    assert load_probe("embed", path=root)[0].shape == (76, 60)
    shutil.move(there, there.parents[2] / there.name)
    with pytest.raises(ValueError, match=rf"{metadata[0]['png_filename']} may be any of 2 files: .*; keep one of them"):
        load_probe("embed", path=root)


def test_repeated_rows_are_removed(tree):
    root, metadata, _ = tree
    write_table(table_path(root, METADATA), [*metadata, metadata[0]])
    probe = load_probe("embed", path=root)
    assert len(probe) == len(metadata)
    assert f"{METADATA[0]}: 1 rows repeat a file and are removed" in probe.notes


@pytest.mark.parametrize(
    ("names", "column", "value", "text"),
    [
        (METADATA, "ImageLateralityFinal", "?", "line 3, column 'ImageLateralityFinal': '?' is not a side (L or R)"),
        (
            METADATA,
            "ROI_coords",
            "[[1, 2]]",
            "line 3, column 'ROI_coords': '[[1, 2]]' is not a list of [ymin, xmin, ymax, xmax]",
        ),
        (METADATA, "ROI_coords", "[[1,", "line 3, column 'ROI_coords': '[[1,' is not a list of"),
        (CLINICAL, "side", "Q", "line 3, column 'side': 'Q' is not a side (L, R, B or empty)"),
        (CLINICAL, "asses", "9", "line 3, column 'asses': '9' is not an assessment (N, B, P, K, A, S, M, or X for none)"),
        (CLINICAL, "tissueden", "7", "line 3, column 'tissueden': '7' is not a density"),
    ],
)
def test_cells_that_mean_nothing_are_named(tree, names, column, value, text):
    root, *tables = tree
    rows = tables[names is CLINICAL]
    rows[1][column] = value
    write_table(table_path(root, names), rows)
    with pytest.raises(ValueError, match=re.escape(text)):
        load_probe("embed", path=root)


@pytest.mark.parametrize("names", [METADATA, CLINICAL])
def test_a_row_longer_than_the_header_is_named(tree, names):
    root, *_ = tree
    lines = table_path(root, names).read_text().splitlines()
    table_path(root, names).write_text("\n".join([lines[0], "", lines[1] + ",more", *lines[2:]]))
    with pytest.raises(ValueError, match=rf"{names[0]}, line 3: \d+ cells under \d+ columns"):
        load_probe("embed", path=root)


def test_missing_columns_tables_and_names(tree, tmp_path):
    root, metadata, _ = tree
    write_table(
        table_path(root, METADATA), [metadata[0], metadata[1] | {"png_filename": "", "png_path": "", "anon_dicom_path": ""}]
    )
    with pytest.raises(ValueError, match="line 3: neither png_filename nor anon_dicom_path names a file"):
        load_probe("embed", path=root)
    lacking = ("png_filename", "anon_dicom_path", "ViewPosition")
    write_table(table_path(root, METADATA), [{key: row[key] for key in row if key not in lacking} for row in metadata])
    with pytest.raises(
        ValueError, match="has no column png_filename or anon_dicom_path, ViewPosition; it has empi_anon, acc_anon"
    ):
        load_probe("embed", path=root)
    table_path(root, METADATA).unlink()
    with pytest.raises(
        FileNotFoundError, match=r"holds EMBED_OpenData_metadata\.csv or .*; it holds images, implants\.csv, tables"
    ):
        load_probe("embed", path=root)
    with pytest.raises(FileNotFoundError, match=r"no table .*gone\.csv"):
        load_probe("embed", path=root, image_list=tmp_path / "gone.csv")
    path = write_table(tmp_path / "list.csv", [{"filename": "a.png", "Implant_type": "maybe"}])
    with pytest.raises(ValueError, match="'maybe' is not 'implant' or 'non-implant'"):
        load_probe("embed", path=root, image_list=path)
    path = write_table(tmp_path / "list.csv", [{"file": "a.png", "Implant_type": "implant"}])
    with pytest.raises(ValueError, match=r"list\.csv has no column filename; it has file, Implant_type"):
        load_probe("embed", path=root, image_list=path)


def test_images_that_cannot_be_shown_are_named(tmp_path):
    metadata, _ = embed_tree(tmp_path, 1, images="dicom")
    (path,) = tmp_path.rglob(metadata[0]["anon_dicom_path"].split("/")[-1])
    write_dicom(path, np.zeros((20, 20), np.uint16))
    with pytest.raises(ImageFileError, match=r"\.dcm: all pixels are 0: an image without content"):
        load_probe("embed", path=tmp_path)[0]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"subset": "implant"}, "subset='implant' is not one of None, 'implants'"),
        ({"images": "jpeg"}, "images='jpeg' is not one of 'auto', 'png', 'dicom'"),
        ({"missing": "drop"}, "missing='drop' is not one of 'raise', 'skip'"),
        ({"subset": "implants", "n_images": 3}, "n_images=3 must be even"),
        ({"n_images": 99}, "n_images=99 exceeds the 24 images"),
    ],
)
def test_options_that_cannot_be(tree, options, text):
    with pytest.raises(ValueError, match=re.escape(text)):
        load_probe("embed", path=tree[0], **options)
