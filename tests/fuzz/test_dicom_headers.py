"""Random DICOM headers, valid and not: the standard's values pixel by pixel, or an error that names the file."""

import math

import numpy as np
import pytest
from dicom_reference import expected, lut, write
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mdissect.probes.image_files import ImageFileError
from mdissect.probes.mammograms.dicom import decode_dicom, dicom_size, read_dicom

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
ROWS, COLUMNS = 3, 4
quarters = st.integers(-(2**14), 2**14).map(lambda n: n / 4)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("dicom") / "a.dcm"


@st.composite
def stored_images(draw):
    """Tags of a valid file, and its stored values, all within the bits in use."""
    allocated = draw(st.sampled_from([8, 16, 16, 32]))
    bits = draw(st.integers(1, min(allocated, 16)))
    signed, inverted = draw(st.booleans()), draw(st.booleans())
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    values = draw(st.lists(st.integers(low, high), min_size=ROWS * COLUMNS, max_size=ROWS * COLUMNS))
    tags = {"BitsAllocated": allocated, "BitsStored": bits, "PixelRepresentation": int(signed)}
    tags["PhotometricInterpretation"] = "MONOCHROME1" if inverted else "MONOCHROME2"
    padding = draw(st.none() | st.lists(st.integers(low, high), min_size=1, max_size=2))
    if padding:
        tags |= dict(zip(("PixelPaddingValue", "PixelPaddingRangeLimit"), padding, strict=False))
    return tags, values, {"bits": bits, "signed": signed, "inverted": inverted, "padding": padding}


def assert_shown(path, tags, values, right, voi, tolerance):
    stored = [values[start : start + COLUMNS] for start in range(0, len(values), COLUMNS)]
    image = read_dicom(write(path, stored, **tags), voi=voi)
    assert image.dtype == (np.uint8 if tags["BitsAllocated"] == 8 and not voi else np.uint16)
    assert image.shape == dicom_size(path) == (ROWS, COLUMNS)
    np.testing.assert_allclose(image.ravel().astype(int), right, atol=tolerance)


@settings(deadline=None)
@given(stored_images())
def test_stored_values(path, made):
    tags, values, kind = made
    full = 255 if tags["BitsAllocated"] == 8 else 65535
    assert_shown(path, tags, values, [expected(value, **kind, full=full) for value in values], False, 0)


@settings(deadline=None)
@given(
    stored_images(),
    quarters,
    st.integers(1, 2**14).map(lambda n: n / 4),
    st.sampled_from(["LINEAR", "LINEAR_EXACT", "SIGMOID", "", None]),
    st.sampled_from([None, 1, -1, 2, 0.25, -3.5]),
    st.none() | quarters,
    st.booleans(),
)
def test_windows(path, made, center, width, function, slope, intercept, windowed):
    tags, values, kind = made
    width = max(width, 1) if function in ("LINEAR", "", None) else width
    tags |= {"RescaleSlope": slope, "RescaleIntercept": intercept, "VOILUTFunction": function}
    tags |= {"WindowCenter": [center, 1], "WindowWidth": [width, 2]} if windowed else {"WindowCenter": None}
    voi = (center, width, function or "LINEAR") if windowed else "range"
    given_slope, given_intercept = slope or 1, intercept or 0
    right = [expected(value, **kind, voi=voi, slope=given_slope, intercept=given_intercept) for value in values]
    assert_shown(path, tags, values, right, True, 1)


@settings(deadline=None)
@given(stored_images(), st.data())
def test_look_up_tables(path, made, data):
    tags, values, kind = made
    bits = data.draw(st.integers(1, 16))
    entries = data.draw(st.lists(st.integers(0, 2**bits - 1), min_size=2, max_size=40))
    first = data.draw(st.integers(-20 if kind["signed"] else 0, 20))
    form = data.draw(st.sampled_from(["words", "bytes", "packed"] if bits <= 8 else ["words", "bytes"]))
    raw = bytes(entries) + bytes(len(entries) % 2) if form == "packed" else np.array(entries, "<u2").tobytes()
    table = lut([len(entries), first, bits], entries if form == "words" else raw, "US" if form == "words" else "OW")

    def shown(value):
        if kind["padding"] and min(kind["padding"]) <= value <= max(kind["padding"]):
            return 0
        level = round(entries[min(max(value - first, 0), len(entries) - 1)] / (2**bits - 1) * 65535)
        return 65535 - level if kind["inverted"] else level

    tags |= {"VOILUTSequence": [table], "WindowCenter": 3, "WindowWidth": 5}
    assert_shown(path, tags, values, [shown(value) for value in values], True, 1)


KEYWORDS = (
    "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel", "PhotometricInterpretation", "Rows",
    "Columns", "NumberOfFrames", "PlanarConfiguration", "PixelPaddingValue", "PixelPaddingRangeLimit", "WindowCenter",
    "WindowWidth", "VOILUTFunction", "RescaleSlope", "RescaleIntercept", "VOILUTSequence", "ModalityLUTSequence",
)  # fmt: skip
small = st.integers(0, 40) | st.sampled_from([255, 4095, 32768, 65535])
odd_elements = st.one_of(
    st.tuples(st.just("US"), small | st.lists(small, max_size=3)),
    st.tuples(st.just("SS"), st.integers(-40, 40)),
    st.tuples(st.just("FD"), st.floats() | st.lists(st.floats(), max_size=2)),
    st.tuples(st.just("DS"), st.integers(-9, 99).map(str) | st.just("")),
    st.tuples(st.just("IS"), st.integers(-9, 99).map(str) | st.just("")),
    st.tuples(st.just("LO"), st.text("ab0 \\", max_size=4)),
    st.tuples(st.just("CS"), st.sampled_from(["MONOCHROME1", "RGB", "SIGMOID", "LINEAR", ""])),
    st.tuples(st.just("OB"), st.binary(max_size=4)),
    st.tuples(st.just("SQ"), st.lists(st.builds(lut, st.lists(small, max_size=4), st.lists(small, max_size=5)), max_size=2)),
)


@settings(deadline=None)
@given(
    st.dictionaries(st.sampled_from(KEYWORDS), odd_elements, max_size=3),
    st.sets(st.sampled_from(KEYWORDS), max_size=1),
    st.booleans(),
)
def test_any_tags_give_an_image_or_an_error_that_names_the_file(path, odd, absent, voi):
    stored = [[0, 1, 2000, 4095], [5, 6, 7, 8], [9, 10, 11, 12]]
    elements = [(keyword, vr, value) for keyword, (vr, value) in odd.items()]
    try:
        write(path, stored, absent=absent, raw=elements, WindowCenter=2000, WindowWidth=2000)
    except Exception:
        assume(False)  # it cannot be written
    try:
        image = read_dicom(path, voi=voi)
    except ImageFileError as error:
        assert_names(error, path)
    else:
        assert image.dtype in (np.uint8, np.uint16)
        assert image.shape == dicom_size(path)


@settings(deadline=None)
@given(st.data(), st.booleans())
def test_flipped_and_missing_bytes_give_an_image_or_an_error_that_names_the_file(path, data, voi):
    content = bytearray(write(path, [[0, 1, 2000, 4095]] * 3, WindowCenter=2000, WindowWidth=2000).read_bytes())
    for place in data.draw(st.lists(st.integers(128, len(content) - 1), max_size=3)):
        content[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content[: data.draw(st.sampled_from([len(content)] * 3 + [130, 200, 300, len(content) - 1]))])
    try:
        pixels, white = decode_dicom(path, voi=voi)
    except ImageFileError as error:
        assert_names(error, path)
    else:
        assert pixels.dtype in (np.uint8, np.uint16)
        assert pixels.max() <= white
        assert math.log2(white + 1) in range(1, 17)


def assert_names(error, path):
    """One line that begins with the file, and is not a raw error of Python's."""
    text = str(error)
    assert text.startswith(f"{path}: ")
    assert len(text) > len(f"{path}: ") + 3
    assert "\n" not in text
    assert "object has no attribute" not in text
