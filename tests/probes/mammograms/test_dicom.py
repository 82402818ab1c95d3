"""Tests of DICOM headers: windows, look-up tables, padding and bits against the standard; tags that make no sense are named."""

import os
import re

import numpy as np
import pytest
from dicom_reference import expected, lut, write
from miniature import JPEG_2000, JPEG_LS, RLE

from mdissect.probes.image_files import ImageFileError
from mdissect.probes.mammograms.dicom import decode_dicom, dicom_size, read_dicom

pytestmark = pytest.mark.filterwarnings("ignore:A value of 'None'", "ignore:The pixel data is")
VALUES = [[0, 1000, 2000, 4095]]
WINDOW = {"WindowCenter": 2000, "WindowWidth": 2000}
WINDOWED = [0, 0, 32784, 65535]
IDENTITY = list(range(4096))


def read(tmp_path, stored=VALUES, voi=True, **tags):
    return read_dicom(write(tmp_path / "a.dcm", stored, **tags), voi=voi)


# What does not count, and leaves the window


@pytest.mark.parametrize(
    "tags",
    [
        {},
        {"VOILUTSequence": [lut([4096, 0, 16])]},
        {"VOILUTSequence": [lut(data=IDENTITY)]},
        {"VOILUTSequence": [lut()]},
        {"VOILUTSequence": [lut([4096, 0, 16], data=b"", vr="OW")]},
        {"VOILUTSequence": []},
        {"ModalityLUTSequence": []},
        {"RescaleSlope": None, "RescaleIntercept": None},
        {"RescaleSlope": "", "RescaleIntercept": ""},
        {"RescaleSlope": 1, "RescaleIntercept": None},
        {"RescaleSlope": None, "RescaleIntercept": 0},
        {"RescaleIntercept": 0},
        {"RescaleSlope": 1},
        {"VOILUTFunction": ""},
        {"VOILUTFunction": None},
        {"VOILUTFunction": "LINEAR"},
        {"WindowCenter": [2000, 100], "WindowWidth": [2000, 7]},
        {"WindowCenter": [2000, 100], "WindowWidth": 2000},
        {"NumberOfFrames": 1},
        {"NumberOfFrames": None},
        {"PixelPaddingValue": None},
        {"PixelPaddingValue": 4094},
        {"PixelPaddingRangeLimit": 5},
        {"PlanarConfiguration": 1},
        {"absent": ("HighBit",)},
    ],
    ids=str,
)
def test_the_window_of_the_file_is_shown(tmp_path, tags):
    assert read(tmp_path, **WINDOW | tags).tolist() == [WINDOWED]


def test_a_complete_table_goes_before_an_incomplete_one(tmp_path):
    reverse = lut([4096, 0, 12], IDENTITY[::-1])
    assert read(tmp_path, VOILUTSequence=[lut([4096, 0, 16]), reverse], **WINDOW)[0].tolist() == [65535, 49531, 33528, 0]


# Windows


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize(("slope", "intercept"), [(1, 0), (2, -100), (-1, 4095), (0.25, 10.5)])
@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize(("center", "width"), [(2000, 2000), (40.5, 1), (2047.5, 4096), (-300, 1000), (1000, 2)])
def test_windows_are_those_of_the_standard(tmp_path, center, width, function, slope, intercept, inverted):
    stored = [[0, 1, 40, 41, 999, 1000, 1001, 2000, 2001, 4094, 4095]]
    tags = {"WindowCenter": center, "WindowWidth": width, "VOILUTFunction": function, "RescaleSlope": slope}
    photometric = "MONOCHROME1" if inverted else "MONOCHROME2"
    found = read(tmp_path, stored, RescaleIntercept=intercept, PhotometricInterpretation=photometric, **tags)
    voi = (center, width, function)
    right = [expected(value, inverted=inverted, voi=voi, slope=slope, intercept=intercept) for value in stored[0]]
    np.testing.assert_allclose(found[0], right, atol=1)


@pytest.mark.parametrize(("slope", "right"), [(1, [0, 16004, 32007, 65535]), (-2, [65535, 49531, 33528, 0])])
def test_without_a_window_the_range_is_shown_after_the_rescaling(tmp_path, slope, right):
    assert read(tmp_path, RescaleSlope=slope, RescaleIntercept=100).tolist() == [right]


def test_widths_below_one_are_for_the_other_functions(tmp_path):
    found = read(tmp_path, WindowCenter=1000, WindowWidth=0.5, VOILUTFunction="LINEAR_EXACT")
    assert found.tolist() == [[0, 32768, 65535, 65535]]


# Look-up tables


@pytest.mark.parametrize(
    ("table", "right"),
    [
        (lut([4096, 0, 12], IDENTITY), [0, 16004, 32007, 65535]),
        (lut([4096, 0, 16], IDENTITY), [0, 1000, 2000, 4095]),
        (lut([2, 1000, 8], [7, 255]), [7 * 257, 7 * 257, 65535, 65535]),
        (lut([2, 1000, 8], bytes([7, 255]), "OW"), [7 * 257, 7 * 257, 65535, 65535]),
        (lut([3, 999, 8], bytes([7, 8, 9, 0]), "OW"), [7 * 257, 8 * 257, 9 * 257, 9 * 257]),
        (lut([3, 999, 8], [0x0807, 0x0009]), [7 * 257, 8 * 257, 9 * 257, 9 * 257]),
        (lut([3, 999, 8], bytes([7, 0, 8, 0, 9, 0]), "OW"), [7 * 257, 8 * 257, 9 * 257, 9 * 257]),
        (lut([1, 5, 16], [77]), [77] * 4),
        (lut([2, 1000, 10], [0, 2047]), [0, 0, 65535, 65535]),  # more bits than it says
        (lut([0, 0, 16], np.arange(65536, dtype="<u2").tobytes(), "OW"), [0, 1000, 2000, 4095]),
    ],
    ids=[
        "12 bits",
        "16 bits",
        "from 1000",
        "bytes",
        "odd bytes",
        "packed words",
        "a byte a word",
        "one entry",
        "deep",
        "65536",
    ],
)
def test_look_up_tables(tmp_path, table, right):
    assert read(tmp_path, VOILUTSequence=[table], **WINDOW).tolist() == [right]


def test_one_bit_a_pixel(tmp_path):
    from pydicom import dcmread

    path = write(tmp_path / "a.dcm", [[0] * 8] * 2)
    dataset = dcmread(path)
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelData = 1, 1, 0, b"\x81\x0f"
    dataset["PixelData"].VR = "OB"
    dataset.save_as(path)
    image = read_dicom(path)
    assert image.dtype == np.uint8
    assert image.tolist() == [[255, 0, 0, 0, 0, 0, 0, 255], [255] * 4 + [0] * 4]


def test_the_first_value_of_a_table_may_be_negative(tmp_path):
    for first in (-1000, 64536):
        table = lut([2, first, 16], [5, 6])
        found = read(tmp_path, [[-2048, -1000, -999, 2047]], PixelRepresentation=1, VOILUTSequence=[table])
        assert found.tolist() == [[5, 5, 6, 6]]
    table = lut([6, -2, 16], [5, 6, 7, 8, 9, 10])
    assert read(tmp_path, [[0, 1, 2, 3]], VOILUTSequence=[table]).tolist() == [[7, 8, 9, 10]]  # of unsigned values too


def test_a_modality_table_goes_before_the_window(tmp_path):
    table = lut([4096, 0, 12], IDENTITY[::-1])
    found = read(tmp_path, ModalityLUTSequence=[table], **WINDOW)[0]
    assert found.tolist() == [expected(4095 - value, voi=(2000, 2000)) for value in VALUES[0]]
    assert read(tmp_path, ModalityLUTSequence=[table])[0].tolist() == [65535, 49531, 33528, 0]


# Padding


@pytest.mark.parametrize("voi", [False, True])
@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize(
    ("stored", "tags", "padding"),
    [
        ([0, 7, 2000, 4095], {"PixelPaddingValue": 4095}, (4095, 4095)),
        ([0, 7, 2000, 4095], {"PixelPaddingValue": 0}, (0, 0)),
        ([0, 7, 2000, 4095], {"PixelPaddingValue": 0, "PixelPaddingRangeLimit": 7}, (0, 7)),
        ([0, 7, 2000, 4095], {"PixelPaddingValue": 7, "PixelPaddingRangeLimit": 0}, (0, 7)),
        ([0, 7, 2000, 65535], {"PixelPaddingValue": 65535}, (65535, 65535)),
        ([-2048, -7, 0, 2047], {"PixelPaddingValue": -2048, "PixelRepresentation": 1}, (-2048, -2048)),
        ([-32768, -7, 0, 2047], {"PixelPaddingValue": 32768, "PixelRepresentation": 1}, (-32768, -32768)),
    ],
    ids=str,
)
def test_padding_is_black(tmp_path, stored, tags, padding, inverted, voi):
    given = {"PhotometricInterpretation": "MONOCHROME1"} if inverted else {}
    raw = []
    if tags["PixelPaddingValue"] > 32767 and tags.get("PixelRepresentation"):
        raw, tags = [("PixelPaddingValue", "US", tags["PixelPaddingValue"])], {"PixelRepresentation": 1}
    found = read(tmp_path, [stored], voi=voi, raw=raw, **tags, **given, **(WINDOW if voi else {}))
    kind = {"signed": "PixelRepresentation" in tags, "inverted": inverted, "padding": padding}
    right = [expected(value, voi=(2000, 2000, "LINEAR") if voi else None, **kind) for value in stored]
    np.testing.assert_allclose(found[0], right, atol=1)
    assert 0 in right


# Bits


@pytest.mark.parametrize(
    ("tags", "stored", "pixels", "white"),
    [
        ({"BitsStored": 16}, [0, 65535], [0, 65535], 65535),
        ({"BitsStored": 1}, [0, 1], [0, 1], 1),
        ({"BitsStored": 10}, [0, 1023], [0, 1023], 1023),
        ({"BitsStored": 10}, [0, 1024], [0, 1024], 2047),  # beyond what is declared
        ({"BitsAllocated": 8, "BitsStored": 8}, [0, 255], [0, 255], 255),
        ({"BitsAllocated": 32}, [0, 4095], [0, 4095], 4095),
        ({"BitsAllocated": 32, "BitsStored": 16}, [0, 65535], [0, 65535], 65535),
        ({"PixelRepresentation": 1}, [-2048, 2047], [0, 4095], 4095),
        ({"PixelRepresentation": 1}, [0x800, 0x7FF], [0, 4095], 4095),  # two's complement of the 12 bits alone
        ({"PixelRepresentation": 1}, [-3000, 5], [5192 - 4096, 4101], 8191),  # beyond what is declared
        ({"BitsAllocated": 8, "BitsStored": 8, "PixelRepresentation": 1}, [-128, 127], [0, 255], 255),
        ({"BitsStored": 12, "raw": [(0x60000102, "US", 12)]}, [0x1005, 0x0FFF], [5, 4095], 4095),  # an overlay above
    ],
    ids=str,
)
def test_bits_in_use(tmp_path, tags, stored, pixels, white):
    found, found_white = decode_dicom(write(tmp_path / "a.dcm", [stored], **tags))
    assert (found.tolist(), found_white) == ([pixels], white)
    assert found.dtype == (np.uint8 if tags.get("BitsAllocated") == 8 else np.uint16)


@pytest.mark.parametrize("voi", [False, True])
@pytest.mark.parametrize("allocated", [8, 16, 32])
def test_images_are_uint8_or_uint16(tmp_path, allocated, voi):
    image = read(tmp_path, [[0, 100, 255]], voi=voi, BitsAllocated=allocated, BitsStored=8)
    assert image.dtype == (np.uint8 if allocated == 8 and not voi else np.uint16)
    assert image.max() == np.iinfo(image.dtype).max


# Tags that make no sense

NO_SENSE = [
    ({"absent": ("BitsStored",)}, "no BitsStored in its header"),
    ({"absent": ("BitsAllocated",)}, "no BitsAllocated in its header"),
    ({"absent": ("Rows",)}, "no Rows in its header"),
    ({"absent": ("Columns",)}, "no Columns in its header"),
    ({"absent": ("PixelRepresentation",)}, "no PixelRepresentation in its header"),
    ({"absent": ("SamplesPerPixel",)}, "no SamplesPerPixel in its header"),
    ({"absent": ("PhotometricInterpretation",)}, "no PhotometricInterpretation in its header"),
    ({"BitsStored": None}, "no BitsStored in its header"),
    ({"PhotometricInterpretation": ""}, "no PhotometricInterpretation in its header"),
    ({"PhotometricInterpretation": "PALETTE COLOR"}, "photometric interpretation PALETTE COLOR"),
    ({"SamplesPerPixel": 3, "PlanarConfiguration": 0}, "its header says SamplesPerPixel=3; 1 is expected"),
    ({"Rows": 0}, "its header says Rows=0; 1 or more is expected"),
    ({"Columns": 5}, "its PixelData have 8 bytes, but Rows x Columns = 1 x 5 of 16 bits are 10"),
    ({"Columns": 3}, "its PixelData have 8 bytes, but Rows x Columns = 1 x 3 of 16 bits are 6"),
    ({"Rows": 2}, "its PixelData have 8 bytes, but Rows x Columns = 2 x 4"),
    ({"Rows": 65535, "Columns": 65535}, "more pixels than an image has"),
    ({"Rows": [1, 1]}, "its header says Rows=[1, 1]"),
    ({"BitsStored": 0, "HighBit": 11}, "its header says BitsStored=0; 1 to 16 is expected"),
    ({"BitsStored": 17}, "its header says BitsStored=17; 1 to 16 is expected"),
    ({"BitsAllocated": 8, "BitsStored": 12}, "its header says BitsStored=12; 1 to 8 is expected"),
    ({"BitsAllocated": 32, "BitsStored": 32}, "its header says BitsStored=32; 1 to 16 is expected"),
    ({"BitsAllocated": 12}, "its header says BitsAllocated=12; 1, 8, 16 or 32 is expected"),
    ({"BitsAllocated": 1}, "its header says BitsStored=12; 1 is expected"),
    ({"HighBit": 15}, "its header says HighBit=15; 11 is expected"),
    ({"PixelRepresentation": 2}, "its header says PixelRepresentation=2; 0 to 1 is expected"),
    ({"NumberOfFrames": 3}, "3 frames (tomosynthesis?)"),
    ({"NumberOfFrames": -1}, "its header says NumberOfFrames=-1; 0 or more is expected"),
    ({"raw": [("NumberOfFrames", "LO", "many")]}, "its header says NumberOfFrames='many'"),
    ({"raw": [("BitsStored", "LO", "twelve")]}, "its header says BitsStored='twelve'; 1 to 16 is expected"),
    ({"raw": [("PixelPaddingValue", "LO", "black")]}, "its header says PixelPaddingValue='black'"),
    ({"raw": [("PixelPaddingValue", "US", [1, 2])]}, "its header says PixelPaddingValue=[1, 2]"),
]
NO_WINDOW = [
    ({"WindowWidth": 0}, "its header says WindowWidth=0; 1 or more is expected"),
    ({"WindowWidth": -5}, "its header says WindowWidth=-5; 1 or more is expected"),
    ({"WindowWidth": 0.5}, "its header says WindowWidth=0.5; 1 or more is expected"),
    ({"WindowWidth": 0, "VOILUTFunction": "SIGMOID"}, "its header says WindowWidth=0; a number above 0 is expected"),
    ({"WindowWidth": -1, "VOILUTFunction": "LINEAR_EXACT"}, "WindowWidth=-1; a number above 0"),
    ({"raw": [("WindowWidth", "FD", float("nan"))]}, "its header says WindowWidth=nan; a number is expected"),
    ({"raw": [("WindowCenter", "FD", float("inf"))]}, "its header says WindowCenter=inf; a number is expected"),
    ({"raw": [("WindowWidth", "LO", "wide")]}, "its header says WindowWidth='wide'; a number is expected"),
    ({"WindowWidth": None}, "its header has a WindowCenter without a WindowWidth"),
    ({"absent": ("WindowCenter",)}, "its header has a WindowWidth without a WindowCenter"),
    ({"VOILUTFunction": "CUBIC"}, "VOILUTFunction=CUBIC; LINEAR, LINEAR_EXACT or SIGMOID is expected"),
    ({"RescaleSlope": 0}, "RescaleSlope=0, which makes all pixels the same"),
    ({"raw": [("RescaleSlope", "FD", float("nan"))]}, "its header says RescaleSlope=nan; a number is expected"),
    ({"raw": [("RescaleIntercept", "FD", [1.0, 2.0])]}, "its header says RescaleIntercept=[1.0, 2.0]"),
    ({"VOILUTSequence": [lut([4096, 0, 16], [1, 2])]}, "VOILUTSequence: LUTData has 2 entries, its LUTDescriptor says 4096"),
    ({"VOILUTSequence": [lut([2, 0, 16], [1, 2, 3])]}, "VOILUTSequence: LUTData has 3 entries, its LUTDescriptor says 2"),
    ({"VOILUTSequence": [lut([2, 0, 0], [1, 2])]}, "VOILUTSequence: LUTDescriptor [2, 0, 0] must be"),
    ({"VOILUTSequence": [lut([2, 0, 17], [1, 2])]}, "VOILUTSequence: LUTDescriptor [2, 0, 17] must be"),
    ({"VOILUTSequence": [lut([2, 0], [1, 2])]}, "VOILUTSequence: LUTDescriptor [2, 0] must be"),
    ({"ModalityLUTSequence": [lut([2, 0, 16], [1])]}, "ModalityLUTSequence: LUTData has 1 entries"),
    ({"ModalityLUTSequence": [lut()]}, "ModalityLUTSequence in its header lacks"),
    ({"raw": [("VOILUTSequence", "LO", "table")]}, "VOILUTSequence in its header is not a sequence"),
]


@pytest.mark.parametrize(("tags", "text"), NO_SENSE, ids=str)
@pytest.mark.parametrize("voi", [False, True])
def test_tags_that_make_no_sense_are_named(tmp_path, tags, text, voi):
    path = write(tmp_path / "a.dcm", VALUES, **WINDOW | tags)
    with pytest.raises(ImageFileError, match=re.escape(f"{path}: ") + ".*" + re.escape(text)):
        read_dicom(path, voi=voi)


@pytest.mark.parametrize(("tags", "text"), NO_WINDOW, ids=str)
def test_windows_and_tables_that_make_no_sense_are_named(tmp_path, tags, text):
    path = write(tmp_path / "a.dcm", VALUES, **WINDOW | tags)
    with pytest.raises(ImageFileError, match=re.escape(f"{path}: ") + ".*" + re.escape(text)):
        read_dicom(path, voi=True)
    assert read_dicom(path).tolist() == [[0, 16004, 32007, 65535]]  # without it, they do not matter


def test_an_incomplete_table_alone(tmp_path):
    with pytest.raises(ImageFileError, match="VOILUTSequence in its header lacks LUTDescriptor or LUTData, and no window"):
        read(tmp_path, VOILUTSequence=[lut([4096, 0, 16])])


@pytest.mark.filterwarnings("ignore:Invalid value for VR DS")
def test_numbers_that_cannot_be_read(tmp_path):
    path = write(tmp_path / "a.dcm", VALUES, WindowCenter="2000", WindowWidth="1234")
    path.write_bytes(path.read_bytes().replace(b"1234", b"12x4"))
    with pytest.raises(ImageFileError, match=r"a\.dcm: .*WindowWidth"):
        read_dicom(path, voi=True)


def test_spare_bytes_at_the_end_are_no_mismatch(tmp_path):
    path = write(tmp_path / "a.dcm", [[1, 2, 3, 4]] * 4)
    from pydicom import dcmread

    dataset = dcmread(path)
    dataset.PixelData += bytes(6)
    dataset.save_as(path)
    assert decode_dicom(path)[0].tolist() == [[1, 2, 3, 4]] * 4
    dataset.PixelData += bytes(2)
    dataset.save_as(path)
    with pytest.raises(ImageFileError, match="its PixelData have 40 bytes"):
        decode_dicom(path)


# Compressed pixels

NOISE = np.random.default_rng(3).integers(0, 4096, (50, 40)).tolist()


def edited(path, change, **tags):
    """Change the compressed frame of a file, and tags."""
    from pydicom import dcmread
    from pydicom.encaps import encapsulate, get_frame

    dataset = dcmread(path)
    dataset.PixelData = encapsulate([change(get_frame(dataset.PixelData, 0, number_of_frames=1))])
    dataset["PixelData"].is_undefined_length = True
    for keyword, value in tags.items():
        setattr(dataset, keyword, value)
    dataset.save_as(path)
    return path


def emptied(start, stop):
    """A part of the bytes replaced by zeros."""

    def change(frame):
        first, last = int(len(frame) * start), int(len(frame) * stop)
        return frame[:first] + bytes(last - first) + frame[last:]

    return change


@pytest.mark.parametrize("syntax", [JPEG_2000, JPEG_LS])
@pytest.mark.parametrize(("start", "stop"), [(0.5, 1), (0.2, 1), (0.9, 1)])
def test_frames_filled_up_with_zeros_are_found(tmp_path, syntax, start, stop):
    path = write(tmp_path / "a.dcm", NOISE, syntax=syntax)
    assert decode_dicom(path)[0].tolist() == NOISE
    with pytest.raises(ImageFileError, match=r"a\.dcm: image file is truncated"):
        read_dicom(edited(path, emptied(start, stop)))


@pytest.mark.parametrize("syntax", [JPEG_2000, JPEG_LS])
def test_holes_in_frames_are_found(tmp_path, syntax):
    stored = np.random.default_rng(4).integers(0, 4096, (100, 80)).tolist()
    path = edited(write(tmp_path / "a.dcm", stored, syntax=syntax), emptied(0.3, 0.6))
    with pytest.raises(ImageFileError, match=r"a\.dcm: image file is damaged: a hole of zeros at byte"):
        read_dicom(path)


OTHER_SIZES = [(syntax, tags) for syntax in (JPEG_2000, JPEG_LS, RLE) for tags in ({"Rows": 20}, {"Columns": 41})]
# RLE does not say the image's size, so that rows and columns can be swapped there.
OTHER_SIZES += [(syntax, {"Rows": 40, "Columns": 50}) for syntax in (JPEG_2000, JPEG_LS)]


@pytest.mark.parametrize(("syntax", "tags"), OTHER_SIZES, ids=str)
def test_frames_of_another_size_are_found(tmp_path, syntax, tags):
    path = edited(write(tmp_path / "a.dcm", NOISE, syntax=syntax), lambda frame: frame, **tags)
    with pytest.raises(ImageFileError, match=r"a\.dcm: "):
        read_dicom(path)


def test_run_lengths_of_another_size_are_found_in_every_part(tmp_path):
    def lengthened(frame):
        return frame[:-2] + bytes([0x81, 7]) * 2  # 128 pixels too many, twice, in the lower bytes alone

    path = edited(write(tmp_path / "a.dcm", NOISE, syntax=RLE), lengthened)
    with pytest.raises(ImageFileError, match="its pixels are not as many as Rows x Columns = 50 x 40"):
        read_dicom(path)


def test_several_frames_behind_a_header_that_says_one(tmp_path):
    from pydicom import dcmread
    from pydicom.encaps import encapsulate, get_frame

    path = write(tmp_path / "a.dcm", NOISE, syntax=JPEG_LS)
    dataset = dcmread(path)
    dataset.PixelData = encapsulate([get_frame(dataset.PixelData, 0, number_of_frames=1)] * 2)
    dataset.save_as(path)
    with pytest.raises(ImageFileError, match="PixelData holds several frames"):
        read_dicom(path)


# Files that are none


@pytest.mark.parametrize("reading", [read_dicom, dicom_size])
def test_what_is_no_file_is_not_opened(tmp_path, reading):
    os.mkfifo(tmp_path / "pipe.dcm")
    (tmp_path / "zero.dcm").symlink_to("/dev/zero")
    (tmp_path / "folder.dcm").mkdir()
    for name, text in (("pipe", "a named pipe"), ("zero", "a device"), ("folder", "a folder"), ("gone", "No such file")):
        with pytest.raises(ImageFileError, match=rf"{name}\.dcm: .*{text}"):
            reading(tmp_path / f"{name}.dcm")


def test_floating_point_pixels_are_refused(tmp_path):
    from pydicom import dcmread

    path = write(tmp_path / "a.dcm", VALUES)
    dataset = dcmread(path)
    del dataset.PixelData
    dataset.FloatPixelData = np.zeros(4, np.float32).tobytes()
    dataset.save_as(path)
    with pytest.raises(ImageFileError, match=r"a\.dcm: floating-point pixels"):
        read_dicom(path)
