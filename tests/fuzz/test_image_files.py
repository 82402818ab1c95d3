"""Image files cut off, filled up, flipped or made of noise: the image as it was, or an error that names the file."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mdissect.probes.image_files import ImageFileError, read_image

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
PIXELS = np.random.default_rng(0).integers(0, 256, (31, 23, 3)).astype(np.uint8)
SMOOTH = np.add.outer(np.arange(64), np.arange(48)).astype(np.uint8)
KINDS = {
    "png": (PIXELS, "PNG", {}),
    "grey png": (SMOOTH, "PNG", {}),
    "deep png": (SMOOTH.astype(np.uint16) * 257, "PNG", {}),
    "jpeg": (PIXELS, "JPEG", {}),
    "smooth jpeg": (SMOOTH, "JPEG", {"optimize": True}),
    "progressive jpeg": (SMOOTH, "JPEG", {"progressive": True}),
    "pgm": (SMOOTH, "PPM", {}),
    "ppm": (PIXELS, "PPM", {}),
    "deflated tiff": (PIXELS, "TIFF", {"compression": "tiff_adobe_deflate"}),
}
FILES = {}
for name, (pixels, kind, options) in KINDS.items():
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    FILES[name] = file.getvalue()
RAW = ("pgm", "ppm")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("images") / "a.png"


def read(path, content):
    """The image; None where an error names the file."""
    path.write_bytes(content)
    try:
        return read_image(path)
    except ImageFileError as error:
        assert_names(error, path)
        return None


def assert_names(error, path):
    assert str(error).startswith(f"{path}: ")
    assert len(str(error)) > len(f"{path}: ") + 3


def assert_as_it_was(path, name, content):
    found = read(path, content)
    if found is not None:
        np.testing.assert_array_equal(found, read(path, FILES[name]))


@settings(deadline=None)
@given(st.sampled_from(list(FILES)), st.floats(0, 1))
def test_cut_off(path, name, share):
    assert_as_it_was(path, name, FILES[name][: int(len(FILES[name]) * share)])


@settings(deadline=None)
@given(st.sampled_from([name for name in FILES if name not in RAW]), st.floats(0, 1), st.sampled_from([0, 255, 65]))
def test_cut_off_and_filled_up(path, name, share, filling):
    content = FILES[name]
    start = int(len(content) * share)
    assert_as_it_was(path, name, content[:start] + bytes([filling]) * (len(content) - start))


@settings(deadline=None)
@given(st.sampled_from([name for name in FILES if "png" in name]), st.data())
def test_flipped_bytes_of_a_png(path, name, data):
    content = bytearray(FILES[name])
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=3)):
        content[place] ^= data.draw(st.integers(1, 255))
    assert_as_it_was(path, name, bytes(content))


@settings(deadline=None)
@given(st.sampled_from(list(FILES)), st.data())
def test_flipped_bytes_give_an_image_or_a_clear_error(path, name, data):
    content = bytearray(FILES[name])
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=3)):
        content[place] = data.draw(st.integers(0, 255))
    found = read(path, bytes(content))
    assert found is None or (found.dtype in (np.uint8, np.uint16, np.float32) and np.isfinite(found).all())


STARTS = [
    b"",
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff",
    b"II*\0",
    b"MM\0*",
    b"P5 3 3 255\n",
    b"P2 ",
    b"P4 9 9\n",
    b"Pf\n1 1\n-1\n",
    b"P7\n",
]


@settings(deadline=None)
@given(st.sampled_from(STARTS), st.binary(max_size=300))
def test_noise(path, start, noise):
    found = read(path, start + noise)
    assert found is None or (found.size > 0 and np.isfinite(found).all())
