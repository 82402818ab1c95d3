"""Tests of damage that decoders overlook: files filled up with zeros, holes, checksums; and no alarm over good files."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from mdissect.probes.damage import check_strips
from mdissect.probes.image_files import ImageFileError, read_image

pytestmark = pytest.mark.slow  # many small cases

Y, X = np.mgrid[:200, :160]
SMOOTH = 128 + 60 * np.sin(X / 9) + 50 * np.cos(Y / 13) + np.random.default_rng(0).normal(0, 4, X.shape)
GREY = SMOOTH.clip(0, 255).astype(np.uint8)
RGB = np.stack([GREY, GREY[::-1], GREY[:, ::-1]], axis=2)
MAMMOGRAM = np.where(60 * np.sqrt(np.clip(1 - ((Y - 100) / 90) ** 2, 0, 1)) > X, GREY, 0).astype(np.uint8)
KINDS = {
    "jpeg": ("JPEG", {}),
    "jpeg, fine": ("JPEG", {"quality": 95, "subsampling": 0}),
    "jpeg, own tables": ("JPEG", {"optimize": True}),
    "jpeg, progressive": ("JPEG", {"progressive": True}),
    "jpeg, restarts": ("JPEG", {"restart_marker_rows": 1}),
    "png": ("PNG", {}),
    "png, not compressed": ("PNG", {"compress_level": 0}),
    "lzw": ("TIFF", {"compression": "tiff_lzw"}),
    "packbits": ("TIFF", {"compression": "packbits"}),
    "deflate": ("TIFF", {"compression": "tiff_adobe_deflate"}),
    "jpeg in tiff": ("TIFF", {"compression": "jpeg"}),
}


def encoded(pixels, kind):
    file = io.BytesIO()
    name, options = KINDS[kind]
    Image.fromarray(pixels).save(file, name, **options)
    return file.getvalue()


def read(tmp_path, content):
    path = tmp_path / "a.img"
    path.write_bytes(content)
    return read_image(path)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pixels", [GREY, RGB, MAMMOGRAM, MAMMOGRAM * 0, MAMMOGRAM * 0 + 255], ids=list("grmbw"))
def test_good_files_raise_no_alarm(tmp_path, pixels, kind):
    found = read(tmp_path, encoded(pixels, kind))
    assert np.abs(found.astype(int) - pixels).mean() < 12


@pytest.mark.parametrize("large", [np.zeros((3000, 2400), np.uint8), np.tile(MAMMOGRAM, (12, 3))], ids=["black", "mammogram"])
@pytest.mark.parametrize("kind", ["jpeg", "jpeg, own tables", "jpeg, progressive"])
def test_large_black_areas_raise_no_alarm(tmp_path, large, kind):
    assert read(tmp_path, encoded(large, kind)).shape == large.shape


FILLINGS = {"zeros": b"\0", "ones": b"\xff", "letters": b"ab"}
# Nothing in LZW and PackBits tells letters from pixels.
FILLED = [(kind, filling) for kind in KINDS for filling in FILLINGS if filling == "zeros" or kind not in ("lzw", "packbits")]


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize(("kind", "filling"), FILLED)
@pytest.mark.parametrize("share", [0.3, 0.5, 0.9])
@pytest.mark.parametrize("pixels", [GREY, RGB], ids=["grey", "rgb"])
def test_a_file_that_was_cut_and_filled_up_is_found(tmp_path, pixels, kind, share, filling):
    content = encoded(pixels, kind)
    start = int(len(content) * share)
    with pytest.raises(ImageFileError, match=r"a\.img: "):
        read(tmp_path, content[:start] + (FILLINGS[filling] * len(content))[: len(content) - start])


@pytest.mark.parametrize("share", [0.4, 0.7])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "jpeg, own tables"])
def test_a_hole_is_found(tmp_path, kind, share):
    content = encoded(np.random.default_rng(1).integers(0, 256, (200, 160, 3)).astype(np.uint8), kind)
    start = int(len(content) * share)
    with pytest.raises(ImageFileError, match=r"a\.img: "):
        read(tmp_path, content[:start] + bytes(600) + content[start + 600 :])


@pytest.mark.parametrize("kind", ["png", "png, not compressed"])
@pytest.mark.parametrize("place", [12, 30, 500, 2000, -20, -14, -9])
def test_every_flipped_bit_of_a_png_is_found(tmp_path, place, kind):
    content = bytearray(encoded(GREY, kind))
    content[place] ^= 4
    with pytest.raises(ImageFileError, match=r"a\.img: "):
        read(tmp_path, bytes(content))


@pytest.mark.parametrize("level", [0, 6])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.99])
def test_every_flipped_bit_of_deflated_strips_is_found(tmp_path, share, level):
    strip = bytearray(zlib.compress(GREY.tobytes(), level))
    assert read(tmp_path, one_strip(strip)).tolist() == GREY.tolist()
    strip[int(len(strip) * share)] ^= 4
    with pytest.raises(ImageFileError, match=r"a\.img: "):
        read(tmp_path, one_strip(strip))
    with pytest.raises(ValueError, match=r"image file is (damaged|truncated)"):  # whichever library Pillow was built with
        check_strips(bytes(strip), [(0, len(strip))], compression=8)


def one_strip(strip):
    """A TIFF file of one deflated strip, grey."""
    height, width = GREY.shape
    tags = {256: width, 257: height, 258: 8, 259: 8, 262: 1, 273: 8, 277: 1, 278: height, 279: len(strip)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    start = struct.pack("<2sHI", b"II", 42, 8 + len(strip))
    return start + bytes(strip) + struct.pack("<H", len(tags)) + entries + bytes(4)


@pytest.mark.parametrize("kind", ["jpeg", "jpeg, progressive", "png"])
@pytest.mark.parametrize("after", [b"", b"\0" * 5000, b"a thumbnail, perhaps"])
def test_what_follows_the_end_does_not_matter(tmp_path, kind, after):
    content = encoded(GREY, kind)
    np.testing.assert_array_equal(read(tmp_path, content + after), read(tmp_path, content))


def test_a_thumbnails_end_is_not_the_images(tmp_path):
    small, content = encoded(GREY[:16, :16], "jpeg"), encoded(GREY, "jpeg")
    segment = b"\xff\xe2" + (len(small) + 2).to_bytes(2) + small
    whole = content[:2] + segment + content[2:]
    assert read(tmp_path, whole).shape == GREY.shape
    half = len(whole) // 2
    with pytest.raises(ImageFileError, match="no end-of-image marker"):
        read(tmp_path, whole[:half] + bytes(len(whole) - half))
