"""Tests of DICOM reading, the released preparation, and the command that prepares a tree once."""

import os
import re
import shutil

import miniature
import numpy as np
import pytest
from miniature import BITS, JPEG_2000, SYNTAXES, UNCOMPRESSED, draw_breast, write_dicom
from PIL import Image, PngImagePlugin

from mdissect import __main__
from mdissect.commands.prepare import prepare_vindr
from mdissect.preprocess import resize_area
from mdissect.probes import load_probe
from mdissect.probes.image_files import ImageFileError
from mdissect.probes.mammograms import RELEASED, Preparation
from mdissect.probes.mammograms.dicom import decode_dicom, dicom_size, read_dicom
from mdissect.probes.mammograms.files import MammogramFiles, prepare_file, record_of
from mdissect.probes.mammograms.preparation import Crop, breast_crop, prepare, stretch_to_range, transfer_box

PIXELS, BREAST = draw_breast((1, 2), "L")
SMALL = Preparation(size=(38, 30))


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("syntax", SYNTAXES)
def test_every_transfer_syntax_reads_alike(tmp_path, syntax, inverted):
    path = write_dicom(tmp_path / "a.dicom", PIXELS, syntax, inverted)
    pixels, white = decode_dicom(path)
    assert (pixels.dtype, white) == (np.uint16, 4095)
    np.testing.assert_array_equal(pixels, PIXELS)
    assert dicom_size(path) == PIXELS.shape


def test_twelve_bits_are_stretched_to_the_type(tmp_path):
    image = read_dicom(write_dicom(tmp_path / "a.dcm", PIXELS))
    assert (image.dtype, image.max()) == (np.uint16, 65535)
    np.testing.assert_allclose(image, PIXELS * (65535 / 4095), atol=0.5)


def test_more_bits_than_declared_still_fit(tmp_path):
    from pydicom import dcmread

    bright = PIXELS.copy()
    bright[50, 20] = 5000
    path = write_dicom(tmp_path / "a.dcm", bright, JPEG_2000, BitsStored=16, HighBit=15)
    dataset = dcmread(path)
    dataset.BitsStored, dataset.HighBit = 12, 11
    dataset.save_as(path)
    pixels, white = decode_dicom(path)
    np.testing.assert_array_equal(pixels, bright)
    assert white == 2**13 - 1


def test_signed_values_are_shifted(tmp_path):
    pixels, white = decode_dicom(write_dicom(tmp_path / "a.dcm", PIXELS.astype(np.int16) - 2048))
    np.testing.assert_array_equal(pixels, PIXELS)
    assert white == 4095


def test_eight_bits(tmp_path):
    eight = (PIXELS // 16).astype(np.uint8)
    image = read_dicom(write_dicom(tmp_path / "a.dcm", eight, BitsAllocated=8, BitsStored=8, HighBit=7))
    np.testing.assert_array_equal(image, eight)
    assert image.dtype == np.uint8


@pytest.mark.parametrize("inverted", [False, True])
def test_a_window_is_applied_only_when_asked_for(tmp_path, inverted):
    path = write_dicom(tmp_path / "a.dcm", PIXELS, inverted=inverted, WindowCenter=2000, WindowWidth=1001)
    assert decode_dicom(path)[0].max() == PIXELS.max()
    image = read_dicom(path, voi=True)
    stored = 4095 - PIXELS.astype(int) if inverted else PIXELS.astype(int)
    unit = np.clip((stored - 1999.5) / 1000 + 0.5, 0, 1)  # DICOM PS3.3, C.11.2.1.2.1
    np.testing.assert_allclose(image, 65535 * (1 - unit if inverted else unit), atol=1)


def test_a_lookup_table_goes_before_a_window(tmp_path):
    from pydicom.dataset import Dataset

    table = Dataset()
    table.LUTDescriptor = [4096, 0, 10]
    table.add_new("LUTData", "US", [min(value // 2, 1023) for value in range(4096)])
    path = write_dicom(tmp_path / "a.dcm", PIXELS, VOILUTSequence=[table], WindowCenter=1, WindowWidth=2)
    np.testing.assert_allclose(read_dicom(path, voi=True), np.minimum(PIXELS // 2, 1023) * (65535 / 1023), atol=1)


def test_without_a_window_the_whole_range_is_shown(tmp_path):
    path = write_dicom(tmp_path / "a.dcm", PIXELS, RescaleSlope=2, RescaleIntercept=-100)
    np.testing.assert_allclose(read_dicom(path, voi=True), PIXELS * (65535 / 4095), atol=1)


@pytest.mark.filterwarnings("ignore:End of file reached before delimiter")
@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("share", [0.02, 0.5, 0.99])
def test_a_truncated_file_is_named(tmp_path, syntax, share):
    path = write_dicom(tmp_path / "cut.dicom", PIXELS, syntax)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ImageFileError, match=r"cut\.dicom: "):
        read_dicom(path)


def test_files_that_are_no_mammogram(tmp_path):
    path = tmp_path / "a.dicom"
    cases = {
        b"": "the file is empty",
        b"version https://git-lfs.github.com/spec/v1\n": "a git-lfs pointer",
        b"\x89PNG and so on": r"not a DICOM file \(starts with b'\\x89PNG",
    }
    for content, text in cases.items():
        path.write_bytes(content)
        with pytest.raises(ImageFileError, match=rf"a\.dicom: {text}"):
            read_dicom(path)
    with pytest.raises(ImageFileError, match=r"gone\.dcm: No such file"):
        read_dicom(tmp_path / "gone.dcm")
    with pytest.raises(ImageFileError, match=r"a\.dicom: no header that can be read"):
        dicom_size(path)


@pytest.mark.parametrize(
    ("elements", "text"),
    [
        ({"PhotometricInterpretation": "RGB"}, "photometric interpretation RGB; a grey image"),
        ({"NumberOfFrames": 12}, r"12 frames \(tomosynthesis\?\)"),
    ],
)
def test_images_of_other_kinds(tmp_path, elements, text):
    with pytest.raises(ImageFileError, match=text):
        read_dicom(write_dicom(tmp_path / "a.dcm", PIXELS, **elements))


@pytest.mark.parametrize(
    ("syntax", "text"),
    [
        ("1.2.840.10008.1.2.4.70", r"JPEG Lossless.*needs a package to decode it: pip install pylibjpeg pylibjpeg-libjpeg"),
        ("1.2.840.10008.1.2.4.102", r"MPEG-4.*is not supported; convert the file"),
    ],
)
def test_an_unsupported_transfer_syntax_says_what_to_install(tmp_path, syntax, text):
    from pydicom import dcmread
    from pydicom.encaps import encapsulate
    from pydicom.pixels import get_decoder

    if syntax.endswith(".70") and get_decoder(syntax).is_available:
        pytest.skip("a package that decodes lossless JPEG is installed")
    path = write_dicom(tmp_path / "a.dcm", PIXELS)
    dataset = dcmread(path)
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.PixelData = encapsulate([b"\xff\xd8" + bytes(64)])
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(path)
    with pytest.raises(ImageFileError, match=text):
        read_dicom(path)


def test_area_averages_by_hand():
    pixels = np.array([[0, 3, 6], [6, 9, 12]], np.float32)
    assert resize_area(pixels[:, :, None], (1, 1)).tolist() == [[[6]]]
    np.testing.assert_allclose(resize_area(pixels[:, :, None], (2, 2)), [[[1, 5], [7, 11]]])
    assert resize_area(pixels[:, :, None], (4, 3))[0, ::2].tolist() == pixels.tolist()


def as_released(pixels):
    """The released steps up to the crop, literally: one line of the image at a time."""
    data = pixels[5:-5, 5:-5].astype(float)
    data = data - data.min()
    data = (data / data.max() * 255).astype(np.uint8)
    flat = np.where(data <= 40, 0, data)

    def longest(lines):
        runs, start = [], None
        for i, line in enumerate([*lines, None]):
            varies = line is not None and len(set(line.tolist())) > 1
            if varies and start is None:
                start = i
            elif not varies and start is not None:
                runs.append((start - i, start, i))
                start = None
        return min(runs)[1:]

    height = len(flat)
    left, right = longest(flat[height // 2 - int(height * 0.4) : height // 2 + int(height * 0.4)].T)
    flat, width = flat[:, left:right], right - left
    top, bottom = longest(flat[:, width // 2 - int(width * 0.4) : width // 2 + int(width * 0.4)])
    return data, (top, left, bottom, right)


@pytest.mark.parametrize("seed", range(8))
def test_the_crop_is_that_of_the_released_steps(seed):
    pixels, breast = draw_breast((seed,), "LR"[seed % 2])
    data, (top, left, bottom, right) = as_released(pixels)
    image, crop = prepare(pixels, Preparation(size=(bottom - top, right - left)))
    assert crop == Crop(top + 5, left + 5, bottom + 5, right + 5) == breast
    np.testing.assert_array_equal(image, data[top:bottom, left:right])  # the size it has: nothing is averaged


def test_default_size_and_bits():
    image, crop = prepare(PIXELS)
    assert (image.shape, image.dtype, crop) == ((1520, 912), np.uint8, BREAST)
    deep, deep_crop = prepare(PIXELS, Preparation(bits=16))
    assert (deep.dtype, deep_crop) == (np.uint16, crop)
    np.testing.assert_allclose(deep / 257, image, atol=1.5)
    assert len(np.unique(deep)) > 10 * len(np.unique(image))


def test_inversion_and_units_change_nothing(tmp_path):
    expected = prepare(PIXELS, SMALL)
    for number, (syntax, inverted) in enumerate([(UNCOMPRESSED, True), (JPEG_2000, False)]):
        pixels, _ = decode_dicom(write_dicom(tmp_path / f"{number}.dcm", PIXELS, syntax, inverted))
        np.testing.assert_array_equal(prepare(pixels, SMALL).image, expected.image)
    np.testing.assert_array_equal(prepare(PIXELS * 16, SMALL).image, expected.image)


def test_stretch_to_range():
    pixels = np.array([100, 101, 355], np.uint16)
    assert stretch_to_range(pixels, bits=8).tolist() == [0, 1, 255]
    assert stretch_to_range(pixels, bits=16).tolist() == [0, 257, 65535]
    assert stretch_to_range(np.array([0, 2, 3], np.uint8), bits=8).tolist() == [0, 170, 255]


def test_breast_crop_takes_the_longest_run():
    image = np.zeros((20, 20), np.uint8)
    image[5:15, 1:4] = image[5:15, 6:12] = np.arange(100, 200, 10)[:, None]
    image[5:15, [2, 9]] = 220
    image[:2, 17:] = 255  # a marker outside of the middle
    assert breast_crop(image) == (5, 6, 15, 12)
    image[8, 4:6] = 41
    assert breast_crop(image) == (5, 1, 15, 12)
    image[8, 4:6] = 40
    assert breast_crop(image) == (5, 6, 15, 12)
    assert breast_crop(np.zeros((20, 30), np.uint8)) == (0, 0, 20, 30)
    assert breast_crop(np.array([[0, 255]], np.uint8)) == (0, 0, 1, 2)


@pytest.mark.parametrize(
    ("pixels", "error", "text"),
    [
        (np.zeros((40, 40), np.uint16), ValueError, "all pixels are 0: an image without content"),
        (np.ones((10, 40), np.uint8), ValueError, "10 x 40 pixels and would lose 5 on every side"),
        (np.ones((40, 40)), TypeError, "2-dimensional float64 pixels were given; expected"),
        (np.ones((40, 40, 3), np.uint8), TypeError, "3-dimensional uint8"),
    ],
)
def test_images_that_cannot_be_prepared(pixels, error, text):
    with pytest.raises(error, match=text):
        prepare(pixels)


@pytest.mark.parametrize(
    "fields", [{"bits": 12}, {"size": (0, 4)}, {"size": 5}, {"border": -1}, {"border": 0.5}, {"background": 255}]
)
def test_preparations_that_cannot_be(fields):
    with pytest.raises((ValueError, TypeError), match=f"{next(iter(fields))}="):
        Preparation(**fields)


def test_the_key_tells_preparations_apart():
    keys = {preparation.key() for preparation in (RELEASED, SMALL, Preparation(bits=16), Preparation(voi=True))}
    assert len(keys) == 4
    assert Preparation(size=[1520, 912]).key() == RELEASED.key()


def test_boxes_move_with_the_crop():
    box = {"finding": "mass", "xmin": 30.0, "ymin": 20.0, "xmax": 40.0, "ymax": 30.5}
    crop = Crop(10, 20, 110, 70)
    assert transfer_box(box, crop, (200, 100)) == {"finding": "mass", "xmin": 20, "ymin": 20, "xmax": 40, "ymax": 41}
    assert transfer_box(box | {"xmin": -6.25}, crop, (100, 50))["xmin"] == 0
    assert transfer_box(box | {"xmax": 500.0}, crop, (100, 50))["xmax"] == 50
    assert transfer_box(box, Crop(0, 50, 100, 100), (100, 50)) is None


def test_a_prepared_file_remembers_its_crop(tmp_path):
    original = write_dicom(tmp_path / "a.dicom", PIXELS)
    target = tmp_path / "deep" / "er" / "a.png"
    assert prepare_file(original, target, SMALL) == ("made", "")
    assert record_of(target)["crop"] == BREAST
    files = MammogramFiles(tmp_path, ["deep/er/a.png", "a.dicom"], SMALL)
    np.testing.assert_array_equal(files.read(0), files.read(1))
    assert files.size(0) == files.size(1) == SMALL.size
    assert MammogramFiles(tmp_path, ["a.dicom"]).size(0) == PIXELS.shape
    assert [path.name for path in target.parent.iterdir()] == ["a.png"]


def test_what_was_made_in_the_same_way_is_kept(tmp_path):
    original, target = write_dicom(tmp_path / "a.dicom", PIXELS), tmp_path / "a.png"
    assert prepare_file(original, target, SMALL)[0] == "made"
    assert prepare_file(original, target, SMALL)[0] == "kept"
    assert prepare_file(original, target, Preparation(SMALL.size, bits=16))[0] == "made"
    assert prepare_file(original, target, SMALL)[0] == "made"
    os.utime(original, ns=(1, 1))
    assert prepare_file(original, target, SMALL)[0] == "made"


def test_a_file_of_others_is_never_replaced(tmp_path):
    original, target = write_dicom(tmp_path / "a.dicom", PIXELS), tmp_path / "a.png"
    Image.new("L", (3, 3)).save(target)
    with pytest.raises(FileExistsError, match=r"a\.png was not written by this command"):
        prepare_file(original, target, SMALL)
    assert record_of(target) is None


def replaced(path, pixels):
    """Another image in a file's place, of its size and time."""
    status = path.stat()
    write_dicom(path, pixels)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (status.st_size, status.st_mtime_ns)


def test_an_original_replaced_by_one_of_the_same_size_and_time_is_prepared_again(tmp_path):
    original, target = write_dicom(tmp_path / "a.dicom", PIXELS), tmp_path / "out" / "a.png"
    assert [prepare_file(original, target, SMALL)[0] for _ in range(2)] == ["made", "kept"]
    source = MammogramFiles(tmp_path, ["a.dicom"])
    before = source.fingerprint(0)
    replaced(original, PIXELS[::-1])
    assert source.fingerprint(0) != before
    assert prepare_file(original, target, SMALL)[0] == "made"


@pytest.mark.parametrize("name", ["pipe.dicom", "gone.dicom"])
def test_an_original_that_is_no_file_is_a_failure_that_names_it(tmp_path, name):
    os.mkfifo(tmp_path / "pipe.dicom")
    outcome, reason = prepare_file(tmp_path / name, tmp_path / "out" / "a.png", SMALL)
    assert (outcome, name in reason) == ("failed", True)
    with pytest.raises(ImageFileError, match=name):
        MammogramFiles(tmp_path, [name]).fingerprint(0)


@pytest.mark.parametrize("record", ["[]", "7", "{}", '{"crop": 1}', '{"crop": [1, 2]}', '{"crop": ["a", 1, 2, 3]}', "no JSON"])
def test_records_of_another_make_are_none(tmp_path, record):
    texts = PngImagePlugin.PngInfo()
    texts.add_text("mdissect", record)
    Image.new("L", (4, 4)).save(tmp_path / "a.png", pnginfo=texts)
    assert record_of(tmp_path / "a.png") is None


def test_what_is_no_file_has_no_record_and_no_size(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    assert record_of(tmp_path / "pipe.png") is None
    with pytest.raises(ImageFileError, match=r"pipe\.png: a named pipe"):
        MammogramFiles(tmp_path, ["pipe.png"]).size(0)


def test_an_unfinished_file_leaves_nothing_behind(tmp_path, monkeypatch):
    original, target = write_dicom(tmp_path / "a.dicom", PIXELS), tmp_path / "out" / "a.png"
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space left"):
        prepare_file(original, target, SMALL)
    assert list(target.parent.iterdir()) == []


@pytest.fixture
def tree(tmp_path):
    return tmp_path / "vindr", miniature.vindr_tree(tmp_path / "vindr", 2, images="dicom")


def test_the_command_prepares_a_tree_that_a_probe_reads(tree, tmp_path, capsys):
    root, mammograms = tree
    assert __main__.main(["prepare", "vindr", "--path", str(root), "--output", str(tmp_path / "out"), "--workers", "1"]) == 0
    assert "8 images prepared, 0 already there, 0 failed" in capsys.readouterr().out
    made, direct = (load_probe("vindr", path=path, split="all") for path in (tmp_path / "out", root))
    assert made.ids == direct.ids == [one.image for one in mammograms]
    for position, one in enumerate(mammograms):
        np.testing.assert_array_equal(made[position], direct[position])
        assert made.boxes(position) == direct.boxes(position)
        assert record_of(tmp_path / "out" / "images_png" / one.study / f"{one.image}.png")["crop"] == one.breast


@pytest.mark.slow
def test_a_second_run_goes_on_where_the_first_was(tree):
    root, mammograms = tree
    assert prepare_vindr(root, split="test", preparation=SMALL, workers=1, progress=False).made == 4
    again = prepare_vindr(root, preparation=SMALL, workers=2, progress=False)
    assert (again.made, again.kept, again.failed) == (4, 4, [])
    assert again.output == root
    assert len(list((root / "images_png").rglob("*.png"))) == len(mammograms)


def test_failures_are_reported_at_the_end(tree, tmp_path, capsys):
    root, mammograms = tree
    first = root / "images" / mammograms[0].study / f"{mammograms[0].image}.dicom"
    first.write_bytes(first.read_bytes()[:1000])
    black = root / "images" / mammograms[1].study / f"{mammograms[1].image}.dicom"
    write_dicom(black, np.zeros_like(PIXELS))
    arguments = ["prepare", "vindr", "--path", str(root), "--output", str(tmp_path / "out"), "--bits", "16", "--workers", "1"]
    assert __main__.main(arguments) == 1
    printed = capsys.readouterr().out
    assert "6 images prepared, 0 already there, 2 failed" in printed
    assert re.search(rf"{mammograms[0].image}\.dicom: its PixelData have \d+ bytes, but Rows x Columns = 152 x 120", printed)
    assert re.search(rf"{mammograms[1].image}\.dicom: all pixels are 0: an image without content", printed)
    probe = load_probe("vindr", path=tmp_path / "out", split="all", missing="skip")
    assert (len(probe), probe[0].dtype) == (6, np.uint16)
    assert [image for image, _ in probe.skipped] == [one.image for one in mammograms[:2]]


def test_splits_that_are_none_and_folders_without_images(tree, tmp_path, capsys):
    root, _ = tree
    with pytest.raises(ValueError, match="split='train' is not one of 'test', 'training', 'all'"):
        prepare_vindr(root, split="train")
    shutil.rmtree(root / "images")
    with pytest.raises(SystemExit):
        __main__.main(["prepare", "vindr", "--path", str(root)])
    assert "has no folder images/ with the images; it holds breast-level" in capsys.readouterr().err
    with pytest.raises(FileNotFoundError, match=r"no folder .*nowhere; path= \(--path\) must name the folder"):
        prepare_vindr(tmp_path / "nowhere")


def test_bits_of_the_miniature():
    assert PIXELS.max() == 2**BITS - 1
