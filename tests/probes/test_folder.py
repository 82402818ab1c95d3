"""Tests of probes made of image files."""

import os
import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mdissect.probes.folder import load_folder
from mdissect.probes.image_files import ImageFileError

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 40, 30)).astype(np.uint8)
FILES = ("b.png", "deep/er/c.TIF", "deep/a.pgm", "x.1.2.jpg")


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "images"
    for name, image in zip(FILES, IMAGES, strict=True):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(root / name)
    return root


def write_csv(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


def test_finds_images_at_any_depth_in_order(folder):
    probe = load_folder(folder)
    assert probe.name == "images"
    assert probe.ids == sorted(FILES)
    np.testing.assert_array_equal(probe[probe.ids.index("deep/er/c.TIF")], IMAGES[1])
    np.testing.assert_array_equal(probe[probe.ids.index("b.png")], IMAGES[0])
    assert (probe.skipped, probe.notes) == ([], [])
    assert load_folder(str(folder)).key() == probe.key()


def test_passes_over_what_is_hidden_and_counts_what_is_no_image(folder):
    for name in (".DS_Store", "._b.png", ".cache/z.png", "notes.txt", "more.txt", "deep/README"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    probe = load_folder(folder)
    assert probe.ids == sorted(FILES)
    assert probe.notes == ["files that are not read for their suffix: .txt (2), no suffix (1)"]


def test_follows_links_but_not_in_circles(folder, tmp_path):
    Image.fromarray(IMAGES[0]).save(tmp_path / "linked.png")
    (folder / "link.png").symlink_to(tmp_path / "linked.png")
    (folder / "deep" / "back").symlink_to(folder)
    (tmp_path / "elsewhere").mkdir()
    Image.fromarray(IMAGES[1]).save(tmp_path / "elsewhere" / "far.png")
    (folder / "away").symlink_to(tmp_path / "elsewhere")
    assert load_folder(folder).ids == sorted([*FILES, "link.png", "away/far.png"])


def test_folders_that_give_no_probe(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no folder .*nowhere; path= must name"):
        load_folder(tmp_path / "nowhere")
    with pytest.raises(NotADirectoryError, match=r"b\.png is a file"):
        load_folder(folder / "b.png")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ValueError, match=r"holds no image \(.png, .*\) but no files at all"):
        load_folder(empty)
    for name in ("a.nii", "b.nii", "c.csv"):
        (empty / name).touch()
    with pytest.raises(ValueError, match=r"only files of other kinds: \.nii \(2\), \.csv \(1\)"):
        load_folder(empty)


def test_fingerprints_follow_the_files(folder):
    probe = load_folder(folder)
    before = probe.fingerprints()
    assert len(set(before)) == 4
    os.utime(folder / "b.png", ns=(1, 1))
    after = probe.fingerprints()
    assert [old == new for old, new in zip(before, after, strict=True)] == [name != "b.png" for name in probe.ids]
    assert load_folder(folder, bits=12).key() != probe.key()


def test_an_image_replaced_by_one_of_the_same_size_and_time_has_another_fingerprint(folder):
    probe = load_folder(folder)
    before, path = probe.key(), folder / "deep" / "a.pgm"
    status = path.stat()
    path.write_bytes(path.read_bytes()[:-3] + b"new")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (status.st_size, status.st_mtime_ns)
    assert probe.key() != before


def test_what_is_no_file_is_named_or_skipped(folder):
    os.mkfifo(folder / "pipe.png")
    (folder / "zero.png").symlink_to("/dev/zero")
    (folder / "circle.png").symlink_to(folder / "circle.png")
    (folder / "nowhere.png").symlink_to(folder / "gone")
    (folder / "folder.png").mkdir()
    Image.fromarray(IMAGES[0]).save(folder / "folder.png" / "in.png")
    probe = load_folder(folder)
    for name, reason in (("pipe", "a named pipe"), ("zero", "a device"), ("circle", "symbolic links"), ("nowhere", "No such")):
        part = probe.subset([f"{name}.png"])
        for ask in (lambda part=part: part[0], part.key):
            with pytest.raises(ImageFileError, match=rf"{name}\.png: .*{reason}"):
                ask()
    skipping = load_folder(folder, on_error="skip")
    assert skipping.ids == sorted([*FILES, "folder.png/in.png"])
    assert dict(skipping.skipped)["pipe.png"] == "pipe.png: a named pipe, not a file"
    assert set(dict(skipping.skipped)) == {"pipe.png", "zero.png", "circle.png", "nowhere.png"}


def test_a_file_that_vanished_is_named(folder):
    probe = load_folder(folder)
    (folder / "b.png").unlink()
    for ask in (lambda: probe[probe.ids.index("b.png")], probe.key):
        with pytest.raises(ImageFileError, match=r"b\.png: No such file"):
            ask()


def test_a_folder_that_cannot_be_opened_is_named_or_skipped(folder, monkeypatch):
    scan = os.scandir

    def closed(path):
        if str(path).endswith("er"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", closed)
    with pytest.raises(PermissionError, match=r"Permission denied: .*deep/er'"):
        load_folder(folder)
    skipping = load_folder(folder, on_error="skip")
    assert skipping.ids == sorted(set(FILES) - {"deep/er/c.TIF"})
    assert skipping.skipped == [("deep/er", "deep/er: Permission denied")]


def test_images_that_no_model_could_be_shown_are_skipped_too(folder):
    Image.fromarray(np.full((9, 9), np.nan, np.float32)).save(folder / "nan.tif")
    Image.fromarray(np.full((9, 9), np.inf, np.float32)).save(folder / "inf.tif")
    Image.fromarray(np.full((9, 9, 4), 9, np.uint8)).save(folder / "rgba.png")
    Image.fromarray(IMAGES[0]).save(folder / "moving.png", save_all=True, append_images=[Image.fromarray(IMAGES[1])])
    skipping = load_folder(folder, on_error="skip")
    assert skipping.ids == sorted(FILES)
    assert [image_id for image_id, _ in skipping.skipped] == ["inf.tif", "moving.png", "nan.tif", "rgba.png"]


def test_fingerprints_do_not_depend_on_where_the_folder_lies(folder, tmp_path):
    before = load_folder(folder).key()
    assert load_folder(folder.rename(tmp_path / "moved")).key() == before


def test_a_broken_file_is_named_or_skipped(folder):
    whole = (folder / "b.png").read_bytes()
    (folder / "b.png").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.png").touch()
    probe = load_folder(folder)
    assert len(probe) == 5
    with pytest.raises(ImageFileError, match=r"images/b\.png: image file is truncated"):
        probe[0]
    skipping = load_folder(folder, on_error="skip")
    assert skipping.ids == sorted(set(FILES) - {"b.png"})
    assert [image_id for image_id, _ in skipping.skipped] == ["b.png", "empty.png"]
    assert "truncated" in skipping.skipped[0][1]
    assert skipping.skipped[1][1] == "empty.png: the file is empty"
    np.testing.assert_array_equal(skipping[skipping.ids.index("deep/a.pgm")], IMAGES[2])


def test_nothing_but_broken_files(tmp_path):
    (tmp_path / "a.png").write_bytes(b"not an image")
    with pytest.raises(ValueError, match=r"none of the 1 images can be read; the first: .*a\.png: not a PNG"):
        load_folder(tmp_path, on_error="skip")


def test_bits_reach_the_reader(tmp_path):
    Image.fromarray(np.array([[0, 4095]], np.uint16)).save(tmp_path / "deep.png")
    assert load_folder(tmp_path)[0].tolist() == [[0, 4095]]
    assert load_folder(tmp_path, bits=12)[0].tolist() == [[0, 65535]]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"on_error": "ignore"}, "on_error='ignore' is not one of 'raise', 'skip'"),
        ({"bits": 8}, "bits=8 must be a whole number from 9 to 16"),
        ({"id_column": "image"}, "id_column='image' was given without a table"),
    ],
)
def test_options_that_cannot_be(folder, options, text):
    with pytest.raises(ValueError, match=re.escape(text)):
        load_folder(folder, **options)


@pytest.mark.parametrize(
    "names",
    [FILES, ("b", "deep/er/c", "deep/a", "x.1.2"), ("b.png", "c.TIF", "a.pgm", "x.1.2.jpg"), ("b", "c", "a", "x.1.2"),
     ("./b.png", r"deep\er\c.TIF", " a ", "x.1.2")],
    ids=["paths", "paths without suffix", "names", "stems", "mixed"],
)  # fmt: skip
def test_a_table_is_joined_in_any_form_of_the_id(folder, tmp_path, names):
    rows = "\n".join(f"{name},{i}" for i, name in enumerate(names))
    table = write_csv(tmp_path / "labels.csv", f"image,number\n{rows}\n", encoding="utf-8-sig")
    probe = load_folder(folder, table=table, id_column="image")
    assert probe.table.index.tolist() == probe.ids
    assert probe.table["number"].to_dict() == dict(zip(FILES, range(4), strict=True))
    assert probe.notes == []


def test_a_data_frame_and_a_tab_separated_file(folder, tmp_path):
    frame = pd.DataFrame({"stem": ["a", "b", "c", "x.1.2"], "class": list("ABCX")})
    frame.to_csv(tmp_path / "labels.tsv", sep="\t", index=False)
    for table in (frame, tmp_path / "labels.tsv"):
        assert load_folder(folder, table=table, id_column="stem").table.loc["deep/a.pgm", "class"] == "A"


def test_ids_are_text(tmp_path):
    for name in ("007.png", "7.png"):
        Image.fromarray(IMAGES[0]).save(tmp_path / name)
    table = write_csv(tmp_path / "labels.csv", "image,class\n007,x\n7,y\n")
    probe = load_folder(tmp_path, table=table, id_column="image")
    assert probe.table["class"].to_dict() == {"007.png": "x", "7.png": "y"}


def test_accents_match_however_they_are_composed(tmp_path):
    Image.fromarray(IMAGES[0]).save(tmp_path / "me\u0301.png")
    table = pd.DataFrame({"image": ["m\u00e9"], "class": ["x"]})
    assert load_folder(tmp_path, table=table, id_column="image").table["class"].tolist() == ["x"]


def test_what_finds_no_partner_is_counted(folder, tmp_path):
    table = write_csv(tmp_path / "labels.csv", "image,class\nb,x\nz1,y\nz2,y\n")
    with pytest.raises(ValueError, match=r"2 rows: z1, z2 \(no such image\); no row for 3 images: .*pass unmatched='note'"):
        load_folder(folder, table=table, id_column="image")
    probe = load_folder(folder, table=table, id_column="image", unmatched="note")
    assert probe.notes == [
        "labels.csv: 2 rows: z1, z2 (no such image)",
        "labels.csv: no row for 3 images: deep/a.pgm, deep/er/c.TIF, x.1.2.jpg",
    ]
    assert len(probe) == 4
    assert probe.table["class"].isna().tolist() == [False, True, True, True]


def test_rows_of_skipped_images_are_no_mistake(folder, tmp_path):
    (folder / "b.png").write_bytes(b"broken")
    table = write_csv(tmp_path / "labels.csv", "image,class\nb,x\na,y\nc,z\nx.1.2,z\n")
    probe = load_folder(folder, table=table, id_column="image", on_error="skip")
    assert probe.notes == []
    assert probe.table["class"].tolist() == ["y", "z", "z"]


@pytest.mark.parametrize(
    ("text", "id_column", "message"),
    [
        ("image,class\nb,x\n", "img", "labels.csv has no column img; it has image, class"),
        ("image,class\nb,x\n", None, "labels.csv: which column names the image? pass id_column="),
        ("image,class\nz,x\n", "image", "none of its 1 rows names an image: entries such as 'z', images such as 'b.png'"),
        ("image,class\n", "image", "labels.csv has columns, but no rows"),
        ("image,class\nb,x\n,y\n", "image", "labels.csv, column 'image': line 3 is empty"),
        ("image,class\nb,x\nc,y,z,w\n", "image", "labels.csv, line 3: 4 cells under 2 columns: ['c', 'y', 'z', 'w']"),
        ("", "image", "labels.csv is empty"),
    ],
)
def test_tables_that_cannot_be_joined(folder, tmp_path, text, id_column, message):
    table = write_csv(tmp_path / "labels.csv", text)
    with pytest.raises(ValueError, match=re.escape(message)):
        load_folder(folder, table=table, id_column=id_column)


def test_a_table_of_another_encoding_or_none_at_all(folder, tmp_path):
    table = write_csv(tmp_path / "labels.csv", "image,class\nb,é\n", encoding="latin-1")
    with pytest.raises(ValueError, match="line 2: wrong encoding, not UTF-8: byte 0xe9 in 'é'"):
        load_folder(folder, table=table, id_column="image")
    with pytest.raises(FileNotFoundError, match=r"no table .*gone\.csv"):
        load_folder(folder, table=tmp_path / "gone.csv", id_column="image")


def test_an_entry_that_fits_several_images(folder, tmp_path):
    Image.fromarray(IMAGES[0]).save(folder / "deep" / "b.png")
    table = write_csv(tmp_path / "labels.csv", "image,class\nb.png,x\nb,y\n")  # both name the one that is exactly so called
    probe = load_folder(folder, table=table, id_column="image", unmatched="note")
    assert probe.table["class"].dropna().to_dict() == {"b.png": "x; y"}
    Image.fromarray(IMAGES[0]).save(folder / "deep" / "er" / "a.png")
    table = write_csv(tmp_path / "labels.csv", "image,class\na,y\n")
    message = "line 2, 'a', fits 2 images: deep/a.pgm, deep/er/a.png; give their paths"
    with pytest.raises(ValueError, match=re.escape(message)):
        load_folder(folder, table=table, id_column="image")


def test_chosen_files_alone_are_read_in_their_order(folder):
    (folder / "locked.png").symlink_to(folder / "nowhere.png")  # which is not looked at
    probe = load_folder(folder, files=["x.1.2.jpg", "deep/a.pgm"])
    assert probe.ids == ["x.1.2.jpg", "deep/a.pgm"]
    np.testing.assert_array_equal(probe[1], IMAGES[2])
    whole = load_folder(folder, files=sorted(FILES))
    assert whole.key() == load_folder(folder, files=sorted(FILES)).key()


@pytest.mark.parametrize(
    ("files", "error", "message"),
    [
        (["b.png", "c.png"], FileNotFoundError, r"no file .*c\.png; files= names images by their paths in"),
        (["deep"], FileNotFoundError, "no file .*deep"),
        (["notes.txt"], ValueError, r"notes\.txt is no image by its suffix"),
        (["b.png", "b.png"], ValueError, r"has 1 duplicate id: b\.png"),
        ([], ValueError, r"files=\[\] must be a list of str, at least one"),
        ([3], TypeError, "must be a list of str"),
    ],
)
def test_wrong_chosen_files(folder, files, error, message):
    (folder / "notes.txt").touch()
    with pytest.raises(error, match=message):
        load_folder(folder, files=files)
