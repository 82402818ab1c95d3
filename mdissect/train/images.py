"""Training images: preprocessed for the target and augmented, and reproducible after an interruption."""

import os
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from mdissect.preprocess import Preprocess
from mdissect.probes import Probe
from mdissect.train.recipe import Augment

MOST_WORKERS = 8


def seed_of(*numbers: int) -> int:
    """A seed for torch made of several numbers, so that random streams stay independent."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0])


class PreparedImages(torch.utils.data.Dataset):
    """Images of a probe by (epoch, position): preprocessed, and augmented unless the epoch is None."""

    def __init__(self, probe: Probe, preprocess: Preprocess, augment: Augment, seed: int):
        from mdissect.train.variation import Variation  # imports torchvision, which takes a second

        self.probe, self.preprocess, self.seed = probe, preprocess, seed
        self.vary = Variation(augment, preprocess)

    def __getitem__(self, which: tuple[int | None, int]) -> Tensor:
        epoch, position = which
        image = self.preprocess(self.probe[position])
        return image if epoch is None else self.vary(image, seed_of(self.seed, epoch, position))

    def batches(self, groups: list[np.ndarray], epoch: int | None = None, workers: int | None = None) -> Iterator[Tensor]:
        """Batches (n, channels, height, width) of the images at some positions, read ahead by worker processes."""
        if workers is None:
            workers = 0 if sum(map(len, groups)) <= 128 else min(MOST_WORKERS, os.cpu_count() or 1)
        keys = [[(epoch, int(position)) for position in group] for group in groups]
        own = torch.Generator()  # so that the loader leaves the user's random numbers alone
        loader = torch.utils.data.DataLoader(self, batch_sampler=keys, num_workers=workers, generator=own)
        for batch in loader:
            yield batch.contiguous(memory_format=torch.channels_last)


# A position in a probe, and the seed of the image's augmentation; None: as it is.
Key = tuple[int, int | None]


class SeededImages(torch.utils.data.Dataset):
    """Images of a probe by position and seed: preprocessed, and augmented by the seed unless that is None."""

    def __init__(self, probe: Probe, preprocess: Preprocess, augment: Augment):
        from mdissect.train.variation import Variation  # imports torchvision, which takes a second

        self.probe, self.preprocess, self.vary = probe, preprocess, Variation(augment, preprocess)

    def __getitem__(self, key: Key) -> Tensor:
        position, seed = key
        image = self.preprocess(self.probe[position])
        return image if seed is None else self.vary(image, seed)

    def batches(self, keys: Iterable[list[Key]], workers: int | None = 0) -> Iterator[tuple[Tensor, None]]:
        """Batches (n, channels, height, width), read ahead by worker processes; beside them what side losses know of them."""
        if workers is None:
            workers = min(MOST_WORKERS, os.cpu_count() or 1)
        own = torch.Generator()  # so that the loader leaves the user's random numbers alone
        loader = torch.utils.data.DataLoader(self, batch_sampler=keys, num_workers=workers, generator=own)
        for batch in loader:
            yield batch.contiguous(memory_format=torch.channels_last), None


def in_groups(positions: np.ndarray, size: int) -> list[np.ndarray]:
    """Positions in groups of a size; the last may be smaller."""
    return [positions[start : start + size] for start in range(0, len(positions), size)]
