"""Training worlds: phantoms or scenes with their facts, texts and boxes."""

import json
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from mdissect.files import write_atomically
from mdissect.phantom import Text
from mdissect.phantom.mammograms import GENERATOR_VERSION, render_with_truth, reports, sample_truth
from mdissect.phantom.scenes import SCENES_VERSION, captions, render_scene, sample_scene

DRAWN_AT_ONCE = 50


@dataclass
class World:
    """Generated images and their facts."""

    name: str
    images: np.ndarray  # (n, height, width[, 3]) uint8, memory-mapped; mammograms with the chest wall to the left
    facts: np.ndarray  # (n, n_keys) bool: which of `keys` hold for an image
    keys: list[str]
    boxes: list[list[dict]]  # per image the boxes of its findings (finding, xmin, ymin, xmax, ymax), in the image as stored
    sample_text: Callable[[int, np.random.Generator], Text]  # of the image at a position
    studies: tuple[list[np.ndarray], np.ndarray]  # the images of each study (the views of one breast), and its patient

    def __len__(self) -> int:
        return len(self.images)

    def fact(self, key: str) -> np.ndarray:
        """The images for which a fact holds, (n,) bool."""
        return self.facts[:, self.keys.index(key)]

    @property
    def patients(self) -> np.ndarray:
        """The patient of each image, (n,)."""
        groups, patients = self.studies
        return np.repeat(patients, list(map(len, groups)))[np.argsort(np.concatenate(groups))]


def mammogram_world(n_images: int, seed: int, cache: Path, exclude: tuple[str, ...] = ("distortion",)) -> World:
    """Mammogram phantoms 0 to n_images - 1 of a seed, without the excluded factors, generated once and kept under `cache`."""
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
        studies=_breasts(truths),
    )


def scene_world(n_images: int, seed: int, cache: Path) -> World:
    """Natural scenes 0 to n_images - 1 of a seed, generated once and kept under `cache`; they have no boxes."""
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
        studies=([np.array([position]) for position in range(n_images)], np.arange(n_images)),
    )


def _breasts(truths: list) -> tuple[list[np.ndarray], np.ndarray]:
    """The images of each breast, and its patient."""
    groups: dict[tuple[str, str], list[int]] = {}
    for position, truth in enumerate(truths):
        groups.setdefault((truth.patient, truth.laterality), []).append(position)
    return [np.array(group) for group in groups.values()], np.array([patient for patient, _ in groups])


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


def _drawn(path: Path, n_images: int, draw: Callable) -> tuple[np.ndarray, list[list[dict]]]:
    """Images and boxes of a world: read from `path`, or generated on all cores and written there."""
    from tqdm.auto import tqdm

    images_file, boxes_file = path.with_suffix(".npy"), path.with_suffix(".json")
    if not boxes_file.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = images_file.with_suffix(".part.npy")
        first, _ = draw(0)
        images = np.lib.format.open_memmap(part, mode="w+", dtype=np.uint8, shape=(n_images, *first.shape))
        boxes = []
        with ProcessPoolExecutor() as pool:
            pairs = pool.map(draw, range(n_images), chunksize=DRAWN_AT_ONCE)
            for i, (image, found) in enumerate(
                tqdm(pairs, total=n_images, unit="image", desc=f"draw {path.name}", disable=None)
            ):
                images[i] = image
                boxes.append(found)
        images.flush()
        os.replace(part, images_file)
        write_atomically(boxes_file, json.dumps(boxes).encode())
    return np.load(images_file, mmap_mode="r", allow_pickle=False), json.loads(boxes_file.read_text())
