"""The cache of drawn images: an image comes back as it was, or not at all."""

import os
import pickle
import random
import shutil
from pathlib import Path

import numpy as np
import pytest

from mdissect.probes.image_cache import ImageCache

SHAPE = (5, 4)
IMAGES = {i: np.random.default_rng(i).integers(0, 256, SHAPE, dtype=np.uint8) for i in (0, 1, 7, 255, 256, 300)}
LONG = os.environ.get("MDISSECT_FUZZ") == "long"


@pytest.fixture
def folder(tmp_path):
    """Of a cache that holds `IMAGES`, in two blocks."""
    ImageCache(tmp_path / "key", SHAPE).put(IMAGES)
    return tmp_path / "key"


def held(folder) -> dict[int, np.ndarray]:
    """What a cache gives, all of which must be right."""
    cache = ImageCache(folder, SHAPE)
    found = {i: image for i in (*IMAGES, 2, 254, 257, 512) if (image := cache.get(i)) is not None}
    assert found.keys() <= IMAGES.keys()
    for i, image in found.items():
        np.testing.assert_array_equal(image, IMAGES[i])
    return found


def test_images_come_back(folder):
    assert held(folder).keys() == IMAGES.keys()


@pytest.mark.parametrize("seed", range(1000 if LONG else 40))
def test_a_changed_byte_gives_no_wrong_image(folder, seed):
    rng = random.Random(seed)
    path = rng.choice(sorted(folder.glob("block-*")))
    content = bytearray(path.read_bytes())
    content[rng.randrange(min(len(content), rng.choice([128, 10**9])))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)
    assert len(held(folder)) >= 2
    ImageCache(folder, SHAPE).put(IMAGES)
    assert held(folder).keys() == IMAGES.keys()


@pytest.mark.parametrize("share", [0, 0.01, 0.3, 0.999])
def test_a_file_cut_short_holds_nothing(folder, share):
    path = folder / "block-00000.npy"
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    assert held(folder).keys() == {256, 300}


def test_images_in_the_place_of_others_are_found(folder):
    shutil.copy(folder / "block-00000.npy", folder / "block-00001.npy")
    assert held(folder).keys() == {0, 1, 7, 255}
    records = np.load(folder / "block-00000.npy", allow_pickle=False)
    records[[0, 1]] = records[[1, 0]]
    np.save(folder / "block-00000.npy", records, allow_pickle=False)
    assert held(folder).keys() == {7, 255}


def test_images_of_another_cache_are_found(folder):
    shutil.copytree(folder, folder.with_name("other key"))
    assert held(folder.with_name("other key")) == {}


class Planted:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


def test_a_planted_pickle_is_never_read(folder, tmp_path):
    planted = np.empty(1, dtype=object)
    planted[0] = Planted(tmp_path / "mark")
    np.save(folder / "block-00000.npy", planted, allow_pickle=True)
    (folder / "block-00001.npy").write_bytes(pickle.dumps(planted[0]))
    assert held(folder) == {}
    assert not (tmp_path / "mark").exists()
    np.load(folder / "block-00000.npy", allow_pickle=True)
    assert (tmp_path / "mark").exists()  # it would have
