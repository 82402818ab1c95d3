"""Tests of the stratified samples of ImageNette and ImageWoof."""

import os
import re
import shutil
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from miniature import IMAGENETTE, IMAGEWOOF, imagenette_tree
from PIL import Image

from mdissect.probes import load_probe
from mdissect.probes.image_files import ImageFileError
from mdissect.probes.imagenette import CLASSES, quotas


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    root = tmp_path_factory.mktemp("whole") / "imagenette2"
    return root, imagenette_tree(root, per_class=4)


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "imagenette2"
    return root, imagenette_tree(root, per_class=2)


def test_as_many_images_of_each_class(whole):
    root, paths = whole
    probe = load_probe("imagenette", path=root, n_images=30, seed=1)
    assert probe.name == "imagenette"
    assert Counter(probe.table["class"]) == dict.fromkeys((CLASSES[name] for name in IMAGENETTE), 3)
    assert set(probe.ids) <= set(paths)
    assert probe.table["split"].tolist() == [image.split("/")[0] for image in probe.ids]
    assert probe.table["folder"].tolist() == [image.split("/")[1] for image in probe.ids]
    assert {probe[i].ndim for i in range(len(probe))} <= {2, 3}
    assert load_probe("imagenette", path=root, n_images=30, seed=1).ids == probe.ids
    assert load_probe("imagenette", path=root, n_images=30, seed=2).ids != probe.ids


def test_numbers_that_do_not_come_out_even(whole):
    counts = Counter(load_probe("imagenette", path=whole[0], n_images=23).table["class"])
    assert Counter(counts.values()) == {2: 7, 3: 3}
    assert len(Counter(load_probe("imagenette", path=whole[0], n_images=4).table["class"])) == 4


def test_splits_and_all_images(whole):
    root, paths = whole
    assert sorted(load_probe("imagenette", path=root, n_images=None).ids) == sorted(paths)
    for split, count in (("train", 40), ("val", 10)):
        probe = load_probe("imagenette", path=root, n_images=None, split=split)
        assert len(probe) == count
        assert set(probe.table["split"]) == {split}


def test_folders_of_classes_without_splits(tmp_path, whole):
    shutil.copytree(whole[0] / "train", tmp_path / "own")
    (tmp_path / "own" / IMAGENETTE[0]).rename(tmp_path / "own" / "a fish")
    probe = load_probe("imagenette", path=tmp_path / "own", n_images=10)
    assert set(probe.table["class"]) == {"a fish", *(CLASSES[name] for name in IMAGENETTE[1:])}
    assert set(probe.table["split"]) == {""}
    assert probe.ids[0].count("/") == 1


def test_a_class_with_fewer_images_gives_all(tree):
    root, paths = tree
    for path in paths:
        if IMAGENETTE[4] in path and "val" not in path:
            (root / path).unlink()
    counts = Counter(load_probe("imagenette", path=root, n_images=28).table["folder"])
    assert counts.pop(IMAGENETTE[4]) == 1
    assert set(counts.values()) == {3}
    with pytest.raises(ValueError, match=r"n_images=29 exceeds the 28 images of .*imagenette2 that can be drawn"):
        load_probe("imagenette", path=root, n_images=29)


def test_the_studys_mixture(tmp_path, monkeypatch):
    monkeypatch.setenv("MDISSECT_DATA", str(tmp_path))
    imagenette_tree(tmp_path / "imagenette2", per_class=1)
    imagenette_tree(tmp_path / "imagewoof2", per_class=1, classes=IMAGEWOOF)
    with pytest.raises(ValueError, match="n_images=3000 exceeds the 20 images"):
        load_probe("imagenette")
    with pytest.raises(ValueError, match="n_images=2000 exceeds the 20 images"):
        load_probe("imagewoof")
    both = load_probe("imagenette", n_images=10) + load_probe("imagewoof", n_images=20)
    assert len(set(both.table["class"])) == 20
    assert both.name == "imagenette + imagewoof"
    assert {both.table["class"].iloc[i] for i in range(10)} == {CLASSES[name] for name in IMAGENETTE}


def test_colour_models_that_nothing_reads_are_passed_over(tree):
    root, paths = tree
    printed = [path for path in paths if path.startswith(f"train/{IMAGENETTE[2]}")]
    for path in printed:
        Image.new("CMYK", (8, 8)).save(root / path)
    probe = load_probe("imagenette", path=root, n_images=20)
    assert not set(printed) & set(probe.ids)
    counts = Counter(probe.table["folder"])
    assert (len(probe), counts.pop(IMAGENETTE[2]), Counter(counts.values())) == (20, 1, {2: 8, 3: 1})
    assert len(probe.notes) == 1
    assert re.search(rf"left out 2 files: {re.escape(', '.join(sorted(printed)))}, neither grey nor RGB", probe.notes[0])
    assert [probe[i].dtype for i in range(len(probe))] == [np.uint8] * 20


def test_a_broken_file_is_named(tree):
    root, paths = tree
    (root / paths[0]).write_bytes(b"broken")
    with pytest.raises(ImageFileError, match=re.escape(paths[0])):
        load_probe("imagenette", path=root, n_images=None)


@pytest.mark.parametrize("kind", ["pipe", "folder", "endless"])
def test_what_is_no_file_is_named(tree, kind):
    root, paths = tree
    (root / paths[0]).unlink()
    make = {"pipe": os.mkfifo, "folder": os.mkdir, "endless": lambda path: path.symlink_to("/dev/zero")}
    make[kind](root / paths[0])
    with pytest.raises(ImageFileError, match=re.escape(paths[0])):
        load_probe("imagenette", path=root, n_images=None)


def test_an_image_replaced_by_one_of_the_same_size_and_time_changes_the_key(tree):
    root, paths = tree
    before, path = load_probe("imagenette", path=root, n_images=None).key(), root / paths[0]
    status, content = path.stat(), path.read_bytes()
    path.write_bytes(content[:-5] + bytes([content[-5] ^ 1]) + content[-4:])
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert load_probe("imagenette", path=root, n_images=None).key() != before


def test_other_files_are_passed_over(tree):
    root, paths = tree
    for name in (".DS_Store", "._a.JPEG", "notes.txt"):
        (root / "train" / IMAGENETTE[0] / name).touch()
    assert sorted(load_probe("imagenette", path=root, n_images=None).ids) == sorted(paths)


def test_folders_that_hold_no_classes(tmp_path, tree):
    with pytest.raises(FileNotFoundError, match=r"no folder .*nowhere; path= \(--path\) must name the folder"):
        load_probe("imagenette", path=tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"has no folders of images, one per class .*; it holds nothing"):
        load_probe("imagewoof", path=tmp_path / "empty")
    shutil.rmtree(tree[0] / "val")
    with pytest.raises(ValueError, match=r"\(split: val\); it holds noisy_imagenette\.csv, train"):
        load_probe("imagenette", path=tree[0], split="val")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"split": "test"}, "split='test' is not one of 'all', 'train', 'val'"),
        ({"n_images": 0}, "n_images=0 must be a whole number, 1 or more"),
        ({"seed": 0.5}, "seed=0.5 must be a whole number, 0 or more"),
    ],
)
def test_options_that_cannot_be(whole, options, text):
    with pytest.raises(ValueError, match=re.escape(text)):
        load_probe("imagenette", path=whole[0], **options)


@given(st.lists(st.integers(0, 30), min_size=1, max_size=8), st.data())
@pytest.mark.slow
def test_quotas_are_level(available, data):
    n_images = data.draw(st.integers(0, sum(available)))
    order = data.draw(st.permutations(range(len(available))))
    taken = quotas(available, n_images, order)
    assert sum(taken) == n_images
    assert all(0 <= one <= there for one, there in zip(taken, available, strict=True))
    most = max(taken)
    assert all(one >= most - 1 or one == there for one, there in zip(taken, available, strict=True))
