"""Reading ahead of the models: the images of a pass in groups, each image read once and prepared as the models want it."""

import os
from dataclasses import dataclass

import torch
from torch import Tensor

from mdissect.models import Dissector, Target
from mdissect.probes import Probe
from mdissect.store import Entry, MemoryStore, Store, exclusive

# Images as the target sees them (or both models, if they prepare alike), and as the dissector does.
Batch = tuple[Tensor | None, Tensor | None]


@dataclass(frozen=True)
class PassOptions:
    """How a pass runs; none of it changes the result.

    Attributes
    ----------
    batch_size : int
        Images in the model at a time.
    workers : int or None
        Processes that read images; None chooses by the number of images and cores, 0 reads in this process.
    progress : bool
        Show a bar with the image rate.
    """

    batch_size: int = 32
    workers: int | None = None
    progress: bool = True

    def __post_init__(self):
        if self.batch_size < 1:
            raise ValueError(f"batch_size={self.batch_size} must be at least 1")


@dataclass(frozen=True)
class Group:
    """Images that run together: positions in the probe, all of one chunk, and what is wanted of them."""

    chunk: int
    positions: range
    record: bool
    embed: bool


def image_groups(entry: Entry, to_record: set[int], to_embed: set[int], batch_size: int) -> list[Group]:
    """The images of the missing chunks, in order."""
    groups = []
    for chunk in sorted(to_record | to_embed):
        rows = range(entry.n_rows)[entry.rows(chunk)]
        parts = [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]
        groups += [Group(chunk, part, chunk in to_record, chunk in to_embed) for part in parts]
    return groups


class _PreparedImages(torch.utils.data.Dataset):
    """Groups of images to prepared batches; each image is read once and prepared no more often than needed."""

    def __init__(self, probe: Probe, target: Target, dissector: Dissector, groups: list[Group]):
        self.probe, self.groups = probe, groups
        self.for_target, self.for_dissector = target.preprocess, dissector.preprocess
        self.alike = self.for_target == self.for_dissector

    def __len__(self) -> int:
        return len(self.groups)

    def __getitem__(self, index: int) -> Batch:
        group = self.groups[index]
        images = [self.probe[i] for i in group.positions]
        first = torch.stack([self.for_target(image) for image in images]) if group.record or self.alike else None
        second = torch.stack([self.for_dissector(image) for image in images]) if group.embed and not self.alike else None
        return first, second


def prepared_batches(
    target: Target, dissector: Dissector, probe: Probe, groups: list[Group], workers: int | None
) -> torch.utils.data.DataLoader:
    """The groups' batches, in order, read ahead by worker processes."""
    if workers is None:
        n_images = sum(len(group.positions) for group in groups)
        workers = 0 if n_images <= 128 else min(8, os.cpu_count() or 1)
    images = _PreparedImages(probe, target, dissector, groups)
    return torch.utils.data.DataLoader(images, batch_size=None, num_workers=workers)


def intensities(probe: Probe, store: Store | MemoryStore) -> dict[str, float]:
    """Smallest, mean and largest pixel value and bits in use over 8 images of the probe, kept in the store.

    A wrong scale shows here: 12 bits under a 16-bit type, or a probe far darker than the model's training images.
    """
    names = ("min", "mean", "max", "bits")
    entry = store.entry({"kind": "intensities", "probe": probe.key()}, 1)
    if entry.missing():
        summary = probe.intensity_summary(8)
        with exclusive([entry]):
            entry.write(0, [[summary["min"].min(), summary["mean"].mean(), summary["max"].max(), summary["bits"].max()]])
    return dict(zip(names, entry.read()[0].round(3).tolist(), strict=True))
