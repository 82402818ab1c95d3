"""Tests of generated probes and of the cache that they are kept in."""

import os
import pickle
import re
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from mdissect import phantom
from mdissect.probes import Probe
from mdissect.probes.generated import GeneratedSource, load_natural, load_phantom, source_digest
from mdissect.probes.image_cache import ImageCache

SMALL = (64, 40)


@dataclass(frozen=True)
class Toy:
    """Draws flat images of their index and counts its drawings in a file."""

    log: str
    seed: int = 0
    shape: tuple = (4, 3)
    key: str = "toy"

    def draw(self, index):
        with open(self.log, "a") as file:
            file.write(f"{index}\n")
        return np.full(self.shape, index % 256, np.uint8)


@pytest.fixture
def toy(tmp_path):
    generator = Toy(str(tmp_path / "drawn"))

    def drawn():
        return sorted(int(line) for line in open(generator.log)) if os.path.exists(generator.log) else []

    def probe(n_images, start=0):
        cache = ImageCache(tmp_path / "cache", generator.shape)
        ids = [str(index) for index in range(start, start + n_images)]
        return Probe("toy", ids, [GeneratedSource(generator, start, cache)])

    probe.drawn, probe.folder = drawn, tmp_path / "cache"
    return probe


def test_warm_draws_each_image_once_and_only_what_is_asked_for(toy):
    probe = toy(20, start=250)
    probe.subset(slice(0, 5)).warm(progress=False)
    assert toy.drawn() == list(range(250, 255))
    probe.warm(progress=False)
    toy(20, start=250).warm(progress=False)
    assert toy.drawn() == list(range(250, 270))
    assert [int(image[0, 0]) for image in toy(20, start=250)] == [i % 256 for i in range(250, 270)]
    assert len(toy.drawn()) == 20
    assert sorted(path.name for path in toy.folder.iterdir()) == ["block-00000.npy", "block-00001.npy", "lock"]


@pytest.mark.slow
def test_warm_in_processes(toy):
    toy(100).warm(workers=2, progress=False)
    assert toy.drawn() == list(range(100))
    assert [int(image[0, 0]) for image in toy(100)] == list(range(100))


def test_reading_draws_what_is_not_kept(toy):
    probe = toy(3)
    assert probe[2].tolist() == [[2] * 3] * 4
    probe.subset([1]).warm(progress=False)
    assert [int(image[0, 0]) for image in probe] == [0, 1, 2]
    assert toy.drawn() == [0, 1, 2, 2]
    assert not list(toy.folder.glob(".*"))


def test_a_reader_sees_what_another_process_adds(toy):
    reader, writer = toy(2), toy(2)
    writer.subset([0]).warm(progress=False)
    reader[0]
    writer.warm(progress=False)
    reader[1]
    assert toy.drawn() == [0, 1]


def test_pickling_copies_no_images(toy):
    probe = toy(200)
    probe.warm(workers=1, progress=False)
    list(probe)
    assert len(pickle.dumps(probe)) < 10_000
    assert pickle.loads(pickle.dumps(probe))[7][0, 0] == 7


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[: len(data) // 2],
        lambda data: b"something else",
        lambda data: data[:200] + bytes(byte ^ 255 for byte in data[200:]),
    ],
    ids=["empty", "truncated", "foreign", "flipped"],
)
def test_a_damaged_cache_is_drawn_anew(toy, damage):
    toy(4).warm(progress=False)
    block = toy.folder / "block-00000.npy"
    block.write_bytes(damage(block.read_bytes()))
    assert [int(image[0, 0]) for image in toy(4)] == [0, 1, 2, 3]
    toy(4).warm(progress=False)
    before = len(toy.drawn())
    assert [int(image[0, 0]) for image in toy(4)] == [0, 1, 2, 3]
    assert len(toy.drawn()) == before


def test_a_cache_of_another_shape_is_not_read(toy):
    toy(2).warm(progress=False)
    assert ImageCache(toy.folder, (4, 4)).get(0) is None
    assert ImageCache(toy.folder, (4, 3)).get(0) is not None


def test_what_another_process_draws_meanwhile_is_not_drawn_again(toy):
    cache, probe = ImageCache(toy.folder, (4, 3)), toy(6)
    waiting = threading.Thread(target=probe.warm, kwargs={"progress": False})
    with cache.exclusive():
        waiting.start()
        waiting.join(0.2)
        assert waiting.is_alive()
        cache.put({index: np.full((4, 3), index, np.uint8) for index in range(5)})
    waiting.join(20)
    assert toy.drawn() == [5]


def test_large_images_share_smaller_files(tmp_path):
    assert ImageCache(tmp_path, (256, 160)).per_block == 256
    assert ImageCache(tmp_path, (1520, 912)).per_block == 24
    assert ImageCache(tmp_path, (10_000, 10_000)).per_block == 1


def test_a_folder_that_cannot_be_written_only_warns(toy):
    toy.folder.write_text("a file where the folder should be")
    probe = toy(50)
    with pytest.warns(UserWarning, match=re.escape(f"the image cache {toy.folder} cannot be written")):
        probe.warm(progress=False)
    assert toy.drawn() == []
    assert probe[1][0, 0] == 1


def test_a_failed_write_leaves_the_cache_as_it_was(toy, monkeypatch):
    probe = toy(4)
    probe.subset([0, 1]).warm(progress=False)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mdissect.files.os.fsync", full)
    with pytest.warns(UserWarning, match="No space left on device"):
        probe.warm(progress=False)
    assert sorted(path.name for path in toy.folder.iterdir()) == ["block-00000.npy", "lock"]
    assert [int(image[0, 0]) for image in toy(4)] == [0, 1, 2, 3]


def test_phantom_probe(tmp_path):
    from mdissect.phantom.mammograms import render_with_truth, sample_truth

    probe = load_phantom(n_images=4, seed=3, start=8, size=SMALL, cache=tmp_path)
    assert probe.ids == [f"phantom-3-0000{i:02d}" for i in (8, 9, 10, 11)]
    assert probe.table.loc["phantom-3-000009", "patient"] == "P000002"
    assert probe.patients == ["P000002"] * 4
    image, boxes = render_with_truth(sample_truth(3, 9), 3, *SMALL)
    np.testing.assert_array_equal(probe[1], image)
    assert probe.boxes(1) == boxes
    assert probe.table.iloc[1].to_dict() == sample_truth(3, 9).as_row()
    probe.warm(progress=False)
    np.testing.assert_array_equal(probe[1], image)


def test_nothing_is_drawn_for_ids_table_and_key(monkeypatch, tmp_path):
    def render(*_):
        raise AssertionError("drawn")

    monkeypatch.setattr("mdissect.phantom.mammograms.render", render)
    probe = load_phantom(n_images=50, cache=tmp_path)
    assert len(set(probe.fingerprints())) == 50
    assert len(probe.table) == 50
    assert not list(tmp_path.iterdir())


def test_phantom_keys_follow_all_options(tmp_path):
    base = {"n_images": 3, "size": SMALL}
    changes = [{"seed": 1}, {"size": (80, 50)}, {"exclude": ["mass"]}, {"exclude": ["mass", "implant"]}, {"start": 1}]
    first = set(load_phantom(**base, cache=False).fingerprints())
    *others, shifted = (set(load_phantom(**base | change, cache=False).fingerprints()) for change in changes)
    assert all(first.isdisjoint(other) for other in others)
    assert len(first & shifted) == 2  # images 1 and 2 of 0-2 and 1-3
    same = [load_phantom(**base, exclude=names, cache=False).key() for names in ("mass", ("mass",), ["mass", "mass"])]
    assert len(set(same)) == 1
    assert load_phantom(**base, cache=tmp_path).key() == load_phantom(**base, cache=False).key()


def test_excluded_factors_do_not_appear():
    probe = load_phantom(n_images=60, exclude=("mass", "distortion"), cache=False)
    assert not probe.table["mass"].any()
    assert not probe.table["distortion"].any()
    assert probe.table["calcification"].any()


def test_natural_probe(tmp_path):
    from mdissect.phantom.scenes import render_scene, sample_scene

    probe = load_natural(n_images=3, seed=1, size=64, cache=tmp_path)
    assert probe.ids == ["natural-1-000000", "natural-1-000001", "natural-1-000002"]
    np.testing.assert_array_equal(probe[2], render_scene(sample_scene(1, 2), 1, 64))
    probe.warm(progress=False)
    np.testing.assert_array_equal(probe[2], render_scene(sample_scene(1, 2), 1, 64))
    assert probe.table.iloc[2].to_dict() == sample_scene(1, 2).as_row()
    assert set(load_natural(n_images=20, classes=["fish", "dog"], cache=False).table["object"]) == {"fish", "dog"}
    with pytest.raises(LookupError, match="without boxes"):
        probe.boxes(0)


def test_phantoms_and_scenes_join(tmp_path):
    joined = load_phantom(n_images=2, size=SMALL, cache=tmp_path) + load_natural(n_images=2, size=64, cache=tmp_path)
    assert [image.shape for image in joined] == [(64, 40), (64, 40), (64, 64, 3), (64, 64, 3)]
    assert joined.table["object"].isna().tolist() == [True, True, False, False]
    assert isinstance(joined.boxes(0), list)
    joined.warm(progress=False)
    assert len(list(tmp_path.glob("*/block-00000.npy"))) == 2


@pytest.mark.parametrize(
    ("load", "options", "text"),
    [
        (load_phantom, {"n_images": 0}, "n_images=0 must be a whole number, 1 or more"),
        (load_phantom, {"n_images": 2.5}, "n_images=2.5"),
        (load_phantom, {"n_images": True}, "n_images=True must be a whole number, 1 or more"),
        (load_phantom, {"seed": -1}, "seed=-1 must be a whole number, 0 or more"),
        (load_phantom, {"start": -4}, "start=-4"),
        (load_phantom, {"size": (256, 0)}, "size=(256, 0)"),
        (load_phantom, {"exclude": ["masses"]}, "exclude names unknown factors ['masses']"),
        (load_natural, {"size": "big"}, "size='big' must be a whole number"),
        (load_natural, {"classes": ["unicorn"]}, "unknown classes ['unicorn']"),
    ],
)
def test_options_that_cannot_be(load, options, text):
    with pytest.raises(ValueError, match=re.escape(text)):
        load(**options)


def test_a_size_that_is_no_pair():
    with pytest.raises(TypeError, match=r"size=256 must be \(height, width\) in pixels, two positive whole numbers"):
        load_phantom(size=256)


def test_the_default_cache_lies_in_the_data_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("MDISSECT_DATA", str(tmp_path))
    load_phantom(n_images=1, size=SMALL).warm(progress=False)
    assert list(tmp_path.glob("demo/cache/phantom-*-seed0-64x40/block-00000.npy"))
    monkeypatch.setenv("MDISSECT_DATA", str(tmp_path / "nowhere"))
    probe = load_phantom(n_images=1, size=SMALL)
    probe.warm(progress=False)
    assert probe[0].shape == SMALL


def test_the_version_covers_every_module_that_draws(monkeypatch, tmp_path):
    files = ("__init__.py", "text.py", "scenes/__init__.py", "scenes/top.py", "scenes/parts/deep.py", "mammograms/other.py")
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("f = 1")
    spec = type("Spec", (), {"origin": str(tmp_path / "__init__.py")})
    monkeypatch.setattr("mdissect.probes.generated.importlib.util.find_spec", lambda name: spec)
    digest = source_digest.__wrapped__
    before = digest("scenes")
    for name in files[:-1]:
        (tmp_path / name).write_text("f = 2")
        assert digest("scenes") != before, name
        (tmp_path / name).write_text("f = 1")
    (tmp_path / files[-1]).write_text("f = 2")
    assert digest("scenes") == before
    (tmp_path / "scenes/parts/deep.py").rename(tmp_path / "scenes/parts/moved.py")
    assert digest("scenes") != before


def test_what_draws_imports_nothing_that_its_version_leaves_out():
    folder = Path(phantom.__file__).parent
    for kind, other in (("mammograms", "scenes"), ("scenes", "mammograms")):
        for file in (folder / kind).rglob("*.py"):
            assert f"mdissect.phantom.{other}" not in file.read_text(), file
