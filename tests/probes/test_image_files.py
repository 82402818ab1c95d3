"""Tests of reading image files: every value as stored, and broken files found."""

import os
import re
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageFile

from mdissect.probes.image_files import ImageFileError, file_fingerprint, image_size, read_image, stretch

RNG = np.random.default_rng(0)
GREY8 = RNG.integers(0, 256, (23, 17)).astype(np.uint8)
RGB8 = RNG.integers(0, 256, (23, 17, 3)).astype(np.uint8)
GREY16 = RNG.integers(0, 65536, (23, 17)).astype(np.uint16)
RGB16 = RNG.integers(0, 65536, (23, 17, 3)).astype(np.uint16)


def png(pixels):
    """A PNG file of 16-bit samples, which Pillow cannot write in colour."""
    height, width, channels = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    colour_type = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*one) for one in chunks)


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def tiff(pixels, order="<", compressed=False, photometric=None, bits=None, planes_apart=False):
    """A TIFF file of one strip (one per plane when they are stored apart)."""
    height, width = pixels.shape[:2]
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    bits = bits or pixels.dtype.itemsize * 8
    photometric = photometric if photometric is not None else (2 if channels == 3 else 1)
    parts = np.moveaxis(pixels, 2, 0) if planes_apart else [pixels]
    strips = [part.astype(pixels.dtype.newbyteorder(order)).tobytes() for part in parts]
    strips = [zlib.compress(strip) for strip in strips] if compressed else strips
    starts = np.cumsum([8, *map(len, strips)]).tolist()
    sample_format = {"u": 1, "i": 2, "f": 3}[pixels.dtype.kind]
    tags = {
        256: [width], 257: [height], 258: [bits] * channels, 259: [8 if compressed else 1], 262: [photometric],
        273: starts[:-1], 277: [channels], 278: [height], 279: [len(strip) for strip in strips],
        284: [2 if planes_apart else 1], 339: [sample_format] * channels,
    }  # fmt: skip
    entries, extra, extra_start = b"", b"", starts[-1] + 2 + 12 * len(tags) + 4
    for tag, values in tags.items():
        packed = struct.pack(f"{order}{len(values)}I", *values)
        if len(values) > 1:
            extra, packed = extra + packed, struct.pack(f"{order}I", extra_start + len(extra))
        entries += struct.pack(f"{order}HHI", tag, 4, len(values)) + packed
    magic = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, starts[-1])
    return magic + b"".join(strips) + struct.pack(f"{order}H", len(tags)) + entries + b"\0" * 4 + extra


def written(tmp_path, content, name="image.bin"):
    path = tmp_path / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("name", "pixels"),
    [
        ("grey.png", GREY8), ("colour.png", RGB8), ("grey16.png", GREY16), ("grey.tif", GREY8), ("colour.tiff", RGB8),
        ("grey16.tif", GREY16), ("grey.pgm", GREY8), ("grey16.pgm", GREY16), ("colour.ppm", RGB8),
        ("float.tif", GREY16.astype(np.float32) / 7),
    ],
)  # fmt: skip
def test_values_survive_as_pillow_writes_them(tmp_path, name, pixels):
    Image.fromarray(pixels).save(tmp_path / name)
    read = read_image(tmp_path / name)
    assert read.dtype == pixels.dtype
    np.testing.assert_array_equal(read, pixels)
    assert read.flags.writeable


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("pixels", [GREY8, RGB8, GREY16, RGB16], ids=["grey8", "rgb8", "grey16", "rgb16"])
def test_tiff_in_both_byte_orders(tmp_path, pixels, compressed, order):
    read = read_image(written(tmp_path, tiff(pixels, order, compressed)))
    assert read.dtype == pixels.dtype
    np.testing.assert_array_equal(read, pixels)


def test_16_bit_colour_png_keeps_its_lower_bytes(tmp_path):
    read = read_image(written(tmp_path, png(RGB16)))
    assert read.dtype == np.uint16
    np.testing.assert_array_equal(read, RGB16)


@pytest.mark.parametrize("pixels", [GREY8, GREY16])
def test_tiff_whose_zero_is_white_is_inverted(tmp_path, pixels):
    read = read_image(written(tmp_path, tiff(pixels, photometric=0)))
    np.testing.assert_array_equal(read, np.iinfo(pixels.dtype).max - pixels)


def test_small_integers_of_32_bits_fit(tmp_path):
    read = read_image(written(tmp_path, tiff(GREY16.astype(np.int32))))
    assert read.dtype == np.uint16
    np.testing.assert_array_equal(read, GREY16)


def test_jpeg(tmp_path):
    smooth = np.add.outer(np.arange(64), np.arange(48)).astype(np.uint8)
    Image.fromarray(smooth).save(tmp_path / "grey.jpg", quality=95)
    Image.fromarray(np.stack([smooth] * 3, axis=2)).save(tmp_path / "colour.jpeg", quality=95)
    assert np.abs(read_image(tmp_path / "grey.jpg").astype(int) - smooth).max() < 4
    assert read_image(tmp_path / "colour.jpeg").shape == (64, 48, 3)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"P5 2 1 4095\n\x00\x00\x0f\xff", np.array([[0, 65535]], np.uint16)),
        (b"P5\n# by hand\n2 1\n#more\n100 \x00\x32", np.array([[0, 128]], np.uint8)),
        (b"P2 3 1 255\n0 7 255\n", np.array([[0, 7, 255]], np.uint8)),
        (b"P2 2 1 1023\n0 1023", np.array([[0, 65535]], np.uint16)),
        (b"P6 1 1 65535\n\x00\x01\x00\x02\x01\x00", np.array([[[1, 2, 256]]], np.uint16)),
        (b"P3 1 1 255 1 2 3", np.array([[[1, 2, 3]]], np.uint8)),
        (b"P4 8 1\n\x0f", np.array([[255] * 4 + [0] * 4], np.uint8)),
    ],
)
def test_pnm(tmp_path, content, expected):
    read = read_image(written(tmp_path, content))
    assert read.dtype == expected.dtype
    np.testing.assert_array_equal(read, expected)


def test_bits_stretch_what_the_file_does_not_declare(tmp_path):
    deep = (GREY16 >> 4).astype(np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    np.testing.assert_array_equal(read_image(tmp_path / "deep.png"), deep)
    stretched = read_image(tmp_path / "deep.png", bits=12)
    np.testing.assert_array_equal(stretched, np.rint(deep / 4095 * 65535))
    Image.fromarray(GREY8).save(tmp_path / "flat.png")
    np.testing.assert_array_equal(read_image(tmp_path / "flat.png", bits=12), GREY8)
    with pytest.raises(ImageFileError, match=r"deep.png: pixel values reach \d+, above the white of 1023 \(10 bits\)"):
        read_image(tmp_path / "deep.png", bits=10)


@pytest.mark.parametrize("white", [1, 100, 255, 4095, 65534, 65535])
def test_stretch_rounds_to_nearest(white):
    dtype = np.uint8 if white < 256 else np.uint16
    values = np.unique(np.linspace(0, white, 50).astype(dtype))
    np.testing.assert_array_equal(stretch(values, white), np.floor(values / white * np.iinfo(dtype).max + 0.5))


def test_palette_bilevel_and_opaque_alpha(tmp_path):
    Image.fromarray(RGB8).quantize(16).save(tmp_path / "palette.png")
    palette = Image.open(tmp_path / "palette.png")
    np.testing.assert_array_equal(read_image(tmp_path / "palette.png"), palette.convert("RGB"))
    Image.fromarray(GREY8 > 99).save(tmp_path / "bilevel.png")
    np.testing.assert_array_equal(read_image(tmp_path / "bilevel.png"), (GREY8 > 99) * 255)
    opaque = np.concatenate([RGB8, np.full((23, 17, 1), 255, np.uint8)], axis=2)
    Image.fromarray(opaque).save(tmp_path / "opaque.png")
    np.testing.assert_array_equal(read_image(tmp_path / "opaque.png"), RGB8)


def test_transparency_and_other_colour_models_are_refused(tmp_path):
    Image.fromarray(RNG.integers(0, 255, (4, 4, 4)).astype(np.uint8)).save(tmp_path / "clear.png")
    with pytest.raises(ImageFileError, match=r"clear\.png: has transparent pixels; flatten"):
        read_image(tmp_path / "clear.png")
    Image.new("CMYK", (4, 4)).save(tmp_path / "print.jpg")
    with pytest.raises(ImageFileError, match=r"print\.jpg: colour model CMYK; save it as"):
        read_image(tmp_path / "print.jpg")
    with pytest.raises(ImageFileError, match="more than 8 bits per sample in an unusual layout"):
        read_image(written(tmp_path, tiff(RGB16, planes_apart=True)))


@pytest.mark.parametrize("pixels", [GREY16[:, :, None], RGB16], ids=["grey", "rgb"])
def test_16_bit_alpha_is_dropped_where_it_is_opaque(tmp_path, pixels):
    opaque = np.dstack([pixels, np.full(GREY16.shape, 65535, np.uint16)])
    read = read_image(written(tmp_path, png(opaque)))
    assert read.dtype == np.uint16
    np.testing.assert_array_equal(read, pixels.squeeze())
    opaque[5, 5, -1] = 65534
    with pytest.raises(ImageFileError, match="has transparent pixels"):
        read_image(written(tmp_path, png(opaque)))


@pytest.mark.parametrize(
    ("pixels", "key"),
    [(GREY8, int(GREY8[3, 4])), (RGB8, tuple(RGB8[3, 4].tolist())), (GREY16, int(GREY16[3, 4]))],
    ids=["grey", "rgb", "grey16"],
)
def test_a_colour_that_is_declared_transparent_is_refused_where_it_occurs(tmp_path, pixels, key):
    Image.fromarray(pixels).save(tmp_path / "key.png", transparency=key)
    with pytest.raises(ImageFileError, match=r"key\.png: has transparent pixels"):
        read_image(tmp_path / "key.png")
    unused = np.where((pixels == key).reshape(*pixels.shape[:2], -1).all(axis=2).T, 7, pixels.T).T.astype(pixels.dtype)
    Image.fromarray(unused).save(tmp_path / "key.png", transparency=key)
    assert read_image(tmp_path / "key.png").shape == pixels.shape


def test_palettes_with_transparency(tmp_path):
    palette = Image.fromarray(RGB8).quantize(16)
    palette.save(tmp_path / "opaque.png", transparency=b"\xff" * 16)
    np.testing.assert_array_equal(read_image(tmp_path / "opaque.png"), palette.convert("RGB"))
    palette.save(tmp_path / "clear.png", transparency=0)
    with pytest.raises(ImageFileError, match=r"clear\.png: has transparent pixels"):
        read_image(tmp_path / "clear.png")


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "LAB"])
def test_other_colour_models_are_refused(tmp_path, mode):
    Image.new(mode, (5, 4)).save(tmp_path / "a.tif")
    with pytest.raises(ImageFileError, match=rf"a\.tif: colour model {mode}; save it as plain"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_pixels_that_are_no_numbers_are_refused(tmp_path, odd):
    pixels = GREY8.astype(np.float32)
    pixels[4, 5] = odd
    Image.fromarray(pixels).save(tmp_path / "a.tif")
    with pytest.raises(ImageFileError, match=r"a\.tif: has pixels that are NaN or infinite"):
        read_image(tmp_path / "a.tif")


def test_exif_orientation_is_not_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    Image.fromarray(GREY8).save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "turned.png"), GREY8)


@pytest.mark.parametrize(
    ("name", "options"),
    [("a.png", {"format": "PNG"}), ("b.png", {"format": "PNG", "default_image": True}), ("c.jpg", {"format": "MPO"})],
)
def test_several_frames_are_refused(tmp_path, name, options):
    frames = [Image.fromarray(one) for one in (RGB8, RGB8[::-1].copy())]
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], **options)
    with pytest.raises(ImageFileError, match=rf"{name}: 2 frames; save each as a file of its own"):
        read_image(tmp_path / name)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "BMP"])
def test_other_formats_are_refused_whatever_they_are_called(tmp_path, kind):
    Image.fromarray(GREY8).save(tmp_path / "a.png", format=kind)
    with pytest.raises(ImageFileError, match=r"a\.png: not a PNG, JPEG, TIFF"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize(
    "content",
    [
        b"P5 2 1 255\nabP5 2 1 255\ncd",
        b"P5 2 1 255\nab\nP5 2 1 255\ncd",
        b"P6 1 1 255\nabcdef",
        b"P2 2 1 9 1 2 3",
        b"P3 1 1 9 1 2 3 P3 1 1 9 1 2 3",
        b"P4 8 1\n\x0fP4 8 1\n\xf0",
        b"P5 1 1 999\n\0\1\0",
        b"Pf\n1 1\n-1.0\n\0\0\0\0Pf",
    ],
)
def test_more_than_one_image_in_a_file_is_refused(tmp_path, content):
    with pytest.raises(ImageFileError, match="several images in one file"):
        read_image(written(tmp_path, content))


def test_several_pages_are_refused(tmp_path):
    pages = [Image.fromarray(GREY8)] * 3
    pages[0].save(tmp_path / "book.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(ImageFileError, match=r"book\.tif: 3 pages"):
        read_image(tmp_path / "book.tif")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "the file is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "git lfs pull"),
        (b"<html>not found</html>", "TIFF or PGM/PPM image that can be read (starts with b'<html>no')"),
        (b"\x89PNG\r\n\x1a\n and so on", "truncated"),
        (b"\xff\xd8\xff\xe0 and so on", "no end-of-image marker"),
        (b"P5 0 4 255\n", "0 x 4 pixels"),
        (b"P5 99999999999 99999999999 255\n123", "truncated: 3 of 9999999999800000000001"),
        (b"P2 99999999999 99999999999 255\n1 2 3", "truncated"),
        (b"P5 1 1 70000\n\0\0", "a maximum of 70000"),
        (b"P5 1 1 100\n\xff", "pixel values from 255 to 255 with a maximum of 100"),
        (b"P2 2 1 255\n0 seven", "seven"),
        (tiff(GREY16.astype(np.int32) * 2), "do not fit into 16 bits"),
    ],
)
def test_files_that_are_no_image(tmp_path, content, text):
    with pytest.raises(ImageFileError, match=re.escape(f"{tmp_path / 'image.bin'}: ") + ".*" + re.escape(text)):
        read_image(written(tmp_path, content))


def test_missing_file(tmp_path):
    with pytest.raises(ImageFileError, match=r"gone\.png: No such file"):
        read_image(tmp_path / "gone.png")


@pytest.mark.parametrize("reading", [read_image, image_size, lambda path: file_fingerprint(path.parent, path.name, None)])
def test_what_is_no_file_is_not_opened(tmp_path, reading):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "circle.png").symlink_to(tmp_path / "circle.png")
    reasons = {"pipe": "a named pipe", "zero": "a device", "folder": "a folder", "circle": "symbolic links", "gone": "No such"}
    for name, reason in reasons.items():
        with pytest.raises(ImageFileError, match=rf"{name}\.png: .*{reason}"):
            reading(tmp_path / f"{name}.png")


def test_a_file_larger_than_any_image(tmp_path):
    with (tmp_path / "hollow.png").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(ImageFileError, match=r"hollow\.png: the file has 1,099,511,627,776 bytes"):
        read_image(tmp_path / "hollow.png")


def test_a_header_of_more_pixels_than_an_image_has(tmp_path):
    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b""))
    content = b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*one) for one in chunks)
    with pytest.raises(ImageFileError, match=r"image\.bin: Image size \(10000000000 pixels\) exceeds"):
        read_image(written(tmp_path, content))


def files(tmp_path):
    """One file of every kind, of noise, so that no part of it is dispensable."""
    image = Image.fromarray(RNG.integers(0, 256, (64, 48, 3)).astype(np.uint8))
    for name in ("a.png", "a.jpg", "a.ppm", "a.tif"):
        image.save(tmp_path / name)
        yield (tmp_path / name).read_bytes()
    image.save(tmp_path / "lzw.tif", compression="tiff_lzw")
    yield (tmp_path / "lzw.tif").read_bytes()
    yield from (png(RGB16), tiff(RGB16), tiff(RGB16, compressed=True), tiff(GREY16), b"P2 4 1 255 " + b"1 2 3 4")


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow first warns, then raises
def test_truncated_files_are_found(tmp_path):
    for content in files(tmp_path):
        assert read_image(written(tmp_path, content)).size
        for share in (0.02, 0.3, 0.6, 0.9):
            with pytest.raises(ImageFileError):
                read_image(written(tmp_path, content[: int(len(content) * share)]))


def test_pillow_must_not_overlook_truncation(tmp_path, monkeypatch):
    Image.fromarray(GREY8).save(tmp_path / "grey.png")
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with pytest.raises(RuntimeError, match="LOAD_TRUNCATED_IMAGES is set"):
        read_image(tmp_path / "grey.png")
