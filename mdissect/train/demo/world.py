"""Training worlds: many phantoms or scenes at once, with their facts, texts and the places of what they show."""

import json
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from mdissect.files import write_atomically
from mdissect.phantom.mammograms import GENERATOR_VERSION, render_with_truth, reports, sample_truth
from mdissect.phantom.scenes import SCENES_VERSION, captions, render_scene, sample_scene
from mdissect.phantom.text import Text

BLOCK = 250


@dataclass
class World:
    """A set of generated images and what is true of them.

    Attributes
    ----------
    name : str
    images : (n, height, width[, 3]) uint8, memory-mapped; mammograms with the chest wall to the left
    facts : (n, n_keys) bool
        Which of `keys` hold for an image.
    keys : list of str
    boxes : list of list of dict
        Per image the boxes of its findings (finding, xmin, ymin, xmax, ymax), in the image as stored.
    sample_text : callable (position, rng) -> Text
    """

    name: str
    images: np.ndarray
    facts: np.ndarray
    keys: list[str]
    boxes: list[list[dict]]
    sample_text: Callable[[int, np.random.Generator], Text]

    def __len__(self) -> int:
        return len(self.images)

    def fact(self, key: str) -> np.ndarray:
        """For which images a fact holds, (n,) bool."""
        return self.facts[:, self.keys.index(key)]


def mammogram_world(n_images: int, seed: int, cache: Path, exclude: tuple[str, ...] = ("distortion",)) -> World:
    """Mammogram phantoms 0 to n_images - 1 of a seed, without the excluded factors, drawn once and kept under `cache`."""
    truths = [sample_truth(seed, index, exclude) for index in range(n_images)]
    name = f"mammograms-v{GENERATOR_VERSION}-s{seed}-n{n_images}-without-{'-'.join(exclude) or 'nothing'}"
    images, boxes = _drawn(cache / name, n_images, partial(_mammogram, seed=seed, exclude=exclude))
    return World(
        name=name,
        images=images,
        boxes=boxes,
        keys=reports.factor_keys(),
        facts=np.stack([reports.factor_vector(truth) for truth in truths]),
        sample_text=lambda position, rng: reports.sample_text(truths[position], rng),
    )


def scene_world(n_images: int, seed: int, cache: Path) -> World:
    """Natural scenes 0 to n_images - 1 of a seed, drawn once and kept under `cache`; they have no boxes."""
    truths = [sample_scene(seed, index) for index in range(n_images)]
    name = f"scenes-v{SCENES_VERSION}-s{seed}-n{n_images}"
    images, boxes = _drawn(cache / name, n_images, partial(_scene, seed=seed))
    return World(
        name=name,
        images=images,
        boxes=boxes,
        keys=captions.factor_keys(),
        facts=np.stack([captions.factor_vector(truth) for truth in truths]),
        sample_text=lambda position, rng: captions.sample_caption(truths[position], rng),
    )


def _mammogram(index: int, seed: int, exclude: tuple[str, ...]) -> tuple[np.ndarray, list[dict]]:
    """One phantom with its chest wall to the left, and its boxes there."""
    truth = sample_truth(seed, index, exclude)
    image, boxes = render_with_truth(truth, seed)
    if truth.laterality == "L":
        return image, boxes
    width = image.shape[1]
    mirrored = [{**box, "xmin": width - box["xmax"], "xmax": width - box["xmin"]} for box in boxes]
    return image[:, ::-1], mirrored


def _scene(index: int, seed: int) -> tuple[np.ndarray, list[dict]]:
    return render_scene(sample_scene(seed, index), seed), []


def _block(start: int, n_images: int, draw: Callable) -> tuple[int, np.ndarray, list]:
    pairs = [draw(index) for index in range(start, min(start + BLOCK, n_images))]
    return start, np.stack([image for image, _ in pairs]), [boxes for _, boxes in pairs]


def _drawn(path: Path, n_images: int, draw: Callable) -> tuple[np.ndarray, list[list[dict]]]:
    """Images and boxes of a world: read from `path`, or drawn by all cores and written there."""
    from tqdm.auto import tqdm

    images_file, boxes_file = path.with_suffix(".npy"), path.with_suffix(".json")
    if not boxes_file.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        blocks, boxes = None, [[] for _ in range(n_images)]
        part = images_file.with_suffix(".part.npy")
        with ProcessPoolExecutor(os.cpu_count()) as pool, tqdm(total=n_images, unit="image", desc=f"draw {path.name}") as bar:
            for start, images, found in pool.map(
                _block, range(0, n_images, BLOCK), *([value] * -(-n_images // BLOCK) for value in (n_images, draw))
            ):
                if blocks is None:
                    shape = (n_images, *images.shape[1:])
                    blocks = np.lib.format.open_memmap(part, mode="w+", dtype=np.uint8, shape=shape)
                blocks[start : start + len(images)] = images
                boxes[start : start + len(images)] = found
                bar.update(len(images))
        blocks.flush()
        os.replace(part, images_file)
        write_atomically(boxes_file, json.dumps(boxes).encode())
    return np.load(images_file, mmap_mode="r"), json.loads(boxes_file.read_text())
