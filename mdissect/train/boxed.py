"""Training images with the boxes of their findings: prepared, and augmented together."""

import os
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torchvision import tv_tensors

from mdissect.localize.detect import in_prepared
from mdissect.localize.maps import mirrored
from mdissect.localize.pointing import of_finding
from mdissect.preprocess import Preprocess
from mdissect.probes import Probe
from mdissect.train.images import MOST_WORKERS, seed_of
from mdissect.train.recipe import Augment
from mdissect.train.variation import Variation

LEAST_SIDE = 2.0  # pixels of a box after augmentation; smaller ones lie outside the image
Boxed = tuple[Tensor, list[dict]]


class BoxedImages(torch.utils.data.Dataset):
    """Images of a probe with their boxes (`boxes`, of each image) by (epoch, position); unchanged where the epoch is None."""

    def __init__(
        self,
        probe: Probe,
        boxes: list[list[dict]],
        preprocess: Preprocess,
        findings: tuple[str, ...],
        augment: Augment,
        seed: int,
    ):
        self.probe, self.boxes, self.preprocess, self.findings, self.seed = probe, boxes, preprocess, findings, seed
        self.vary = Variation(augment, preprocess)

    def __getitem__(self, which: tuple[int | None, int]) -> tuple[Tensor, Tensor, Tensor]:
        epoch, position = which
        image = self.probe[position]
        flipped = mirrored(image, self.preprocess)
        edges, labels = [], []
        for label, finding in enumerate(self.findings):
            own = of_finding(self.boxes[position], finding)
            for box in in_prepared(own, image.shape[:2], self.preprocess.size, flipped):
                edges.append([box["xmin"], box["ymin"], box["xmax"], box["ymax"]])
                labels.append(label)
        boxes = torch.tensor(edges, dtype=torch.float32).reshape(-1, 4)
        return self._varied(self.preprocess(image), boxes, torch.tensor(labels, dtype=torch.int64), epoch, position)

    def _varied(self, image: Tensor, boxes: Tensor, labels: Tensor, epoch: int | None, position: int):
        """The image and its boxes after the same steps; boxes that left the image are dropped."""
        if epoch is not None and self.vary.steps:
            around = tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=tuple(image.shape[-2:]))
            image = tv_tensors.Image(image)
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed_of(self.seed, epoch, position))
                for step in self.vary.steps:
                    image, around = step(image, around)
            image, boxes = image.as_subclass(Tensor), around.as_subclass(Tensor)
        height, width = image.shape[-2:]
        inside = torch.stack([boxes[:, i].clamp(0, most) for i, most in enumerate((width, height) * 2)], dim=1)
        kept = ((inside[:, 2:] - inside[:, :2]) >= LEAST_SIDE).all(dim=1) if epoch is not None else (
            (inside[:, 2:] > inside[:, :2]).all(dim=1)
        )  # fmt: skip
        return image, inside[kept], labels[kept]

    def batches(self, groups: list[np.ndarray], epoch: int | None = None, workers: int | None = None) -> Iterator[Boxed]:
        """Batches of images (n, channels, height, width) with a dict of boxes and labels for each."""
        if workers is None:
            workers = 0 if sum(map(len, groups)) <= 128 else min(MOST_WORKERS, os.cpu_count() or 1)
        keys = [[(epoch, int(position)) for position in group] for group in groups]
        own = torch.Generator()  # so that the loader leaves the user's random numbers alone
        loader = torch.utils.data.DataLoader(self, batch_sampler=keys, num_workers=workers, generator=own, collate_fn=_together)
        yield from loader


def _together(samples: list[tuple[Tensor, Tensor, Tensor]]) -> Boxed:
    images = torch.stack([image for image, _, _ in samples])
    return images, [{"boxes": boxes, "labels": labels} for _, boxes, labels in samples]
