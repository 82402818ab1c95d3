"""Tests of findings marked in pixels of the original: masks and boxes through every preparation, and unknown ones."""

import numpy as np
import pytest
from miniature import draw_breast, write_dicom
from PIL import Image

from mdissect.probes import ImageFileError, Probe
from mdissect.probes.mammograms.files import prepare_file
from mdissect.probes.mammograms.marked import MarkedFiles, resized_mask
from mdissect.probes.mammograms.preparation import Preparation, prepare, transfer_box

SMALL = Preparation(size=(76, 60))


class Marked(MarkedFiles):
    """One finding, a triangle, in every image."""

    def __init__(self, *arguments, size=None):
        super().__init__(*arguments)
        self.known = size

    def original_masks(self, position):
        return [{"finding": "mass", "mask": triangle()}]

    def original_size(self, position):
        return self.known


def triangle():
    mask = np.zeros((152, 120), bool)
    for row in range(40):
        mask[50 + row, 20 : 21 + row // 2] = True
    return mask


@pytest.fixture
def pixels():
    return draw_breast((1, 2, 3), "L")[0]


def probe_of(root, name, preparation=None, **options):
    return Probe("marked", [name], [Marked(root, [name], preparation, **options)])


def test_dicom_as_it_is(tmp_path, pixels):
    write_dicom(tmp_path / "a.dcm", pixels)
    probe = probe_of(tmp_path, "a.dcm")
    assert probe.boxes(0) == [{"finding": "mass", "xmin": 20, "ymin": 50, "xmax": 40, "ymax": 90}]
    np.testing.assert_array_equal(probe.masks(0)[0]["mask"], triangle())


@pytest.mark.parametrize("size", [(76, 60), (300, 100)])
def test_dicom_files_that_are_prepared(tmp_path, pixels, size):
    write_dicom(tmp_path / "a.dcm", pixels)
    preparation = Preparation(size=size)
    probe = probe_of(tmp_path, "a.dcm", preparation)
    crop = prepare(pixels, preparation).crop
    whole = {"finding": "mass", "xmin": 20, "ymin": 50, "xmax": 40, "ymax": 90}
    assert probe.boxes(0) == [transfer_box(whole, crop, size)]
    (found,) = probe.masks(0)
    assert found["finding"] == "mass"
    assert found["mask"].shape == probe[0].shape == size
    box = probe.boxes(0)[0]
    outside = found["mask"].copy()
    outside[box["ymin"] : box["ymax"], box["xmin"] : box["xmax"]] = False
    assert not outside.any()
    scale = size[0] * size[1] / ((crop.bottom - crop.top) * (crop.right - crop.left))
    assert found["mask"].sum() == pytest.approx(triangle().sum() * scale, rel=0.1)


def test_prepared_files_tell_their_crop(tmp_path, pixels):
    write_dicom(tmp_path / "a.dcm", pixels)
    prepare_file(tmp_path / "a.dcm", tmp_path / "a.png", SMALL)
    prepared, direct = probe_of(tmp_path, "a.png"), probe_of(tmp_path, "a.dcm", SMALL)
    np.testing.assert_array_equal(prepared[0], direct[0])
    assert prepared.boxes(0) == direct.boxes(0)
    np.testing.assert_array_equal(prepared.masks(0)[0]["mask"], direct.masks(0)[0]["mask"])


def test_image_files_that_show_the_whole(tmp_path, pixels):
    Image.fromarray((pixels // 16).astype(np.uint8)).save(tmp_path / "a.png")
    assert probe_of(tmp_path, "a.png", size=(152, 120)).boxes(0)[0]["xmin"] == 20
    with pytest.raises(LookupError, match="152 x 120 pixels, its findings are marked on 300 x 240; which part"):
        probe_of(tmp_path, "a.png", size=(300, 240)).boxes(0)
    for marks in (Probe.boxes, Probe.masks):
        with pytest.raises(LookupError, match=r"a\.png does not say which part of the original it shows.*images='dicom'"):
            marks(probe_of(tmp_path, "a.png"), 0)


def test_what_lies_outside_the_crop_is_not_shown(tmp_path, pixels):
    write_dicom(tmp_path / "a.dcm", pixels)
    source = Marked(tmp_path, ["a.dcm"], SMALL)
    corner = np.zeros((152, 120), bool)
    corner[:5, :5] = True
    source.original_masks = lambda position: [{"finding": "mass", "mask": corner}]
    assert source.boxes(0) == source.masks(0) == []


def test_without_findings_no_file_is_read(tmp_path):
    source = Marked(tmp_path, ["nowhere.dcm"], SMALL)
    source.original_masks = lambda position: []
    assert source.boxes(0) == source.masks(0) == []
    with pytest.raises(ImageFileError, match=r"nowhere\.dcm"):
        Marked(tmp_path, ["nowhere.dcm"], SMALL).boxes(0)


def test_a_class_without_masks_has_none(tmp_path):
    for marks in ("boxes", "masks"):
        with pytest.raises(LookupError, match="come without masks"):
            getattr(MarkedFiles(tmp_path, ["a.png"]), marks)(0)


@pytest.mark.parametrize("size", [(4, 6), (2, 3), (8, 12), (3, 5), (1, 1)])
def test_masks_of_other_sizes(size):
    mask = np.zeros((4, 6), bool)
    mask[1:3, 2:5] = True
    expected = [
        [mask[min(3, int((row + 0.5) * 4 / size[0])), min(5, int((column + 0.5) * 6 / size[1]))] for column in range(size[1])]
        for row in range(size[0])
    ]
    np.testing.assert_array_equal(resized_mask(mask, size), expected)
