"""Training images: preprocessed for the target and augmented, and reproducible after an interruption."""

import os
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms import v2

from mdissect.preprocess import Preprocess
from mdissect.probes import Probe
from mdissect.train.recipe import Augment

MOST_WORKERS = 8


def seed_of(*numbers: int) -> int:
    """A seed for torch made of several numbers, so that random streams stay independent."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0])


class Variation:
    """Applies an `Augment` to preprocessed images (channels, height, width)."""

    def __init__(self, augment: Augment, preprocess: Preprocess):
        black = [-mean / std for mean, std in zip(preprocess.mean, preprocess.std, strict=True)]
        steps = [{"horizontal": v2.RandomHorizontalFlip, "vertical": v2.RandomVerticalFlip}[flip]() for flip in augment.flips]
        if augment.degrees or augment.shift or augment.shear or augment.scale != (1, 1):
            affine = v2.RandomAffine(
                augment.degrees,
                translate=(augment.shift, augment.shift),
                scale=augment.scale,
                shear=augment.shear,
                interpolation=v2.InterpolationMode.BILINEAR,
                fill=black,
            )
            steps.append(affine)
        if augment.elastic_alpha:
            steps.append(_elastic(augment, preprocess.size, black))
        self.steps = steps

    def __call__(self, image: Tensor, seed: int) -> Tensor:
        """The image augmented; it depends on image and seed alone."""
        if not self.steps:
            return image
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            for step in self.steps:
                image = step(image)
        return image


def _elastic(augment: Augment, size: tuple[int, int], fill: list[float]) -> torch.nn.Module:
    needed = kernel_width(augment.elastic_sigma) // 2 + 1
    if min(size) < needed:
        raise ValueError(
            f"elastic_sigma={augment.elastic_sigma:g} needs images of {needed} pixels a side or more, the target's have "
            f"{size[0]} x {size[1]}: lower it, or turn the deformation off with elastic_alpha=0"
        )
    return SeparableElastic(augment.elastic_alpha, augment.elastic_sigma, fill=fill)


class PreparedImages(torch.utils.data.Dataset):
    """Images of a probe by (epoch, position): preprocessed, and augmented unless the epoch is None."""

    def __init__(self, probe: Probe, preprocess: Preprocess, augment: Augment, seed: int):
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


def kernel_width(sigma: float) -> int:
    """Pixels that torchvision's smoothing of the deformation spans: the next odd number from 8 sigma + 1."""
    return int(8 * sigma + 1) // 2 * 2 + 1


class SeparableElastic(v2.ElasticTransform):
    """v2.ElasticTransform whose noise is smoothed along one axis after the other.

    The same deformation up to rounding: torchvision's two-dimensional kernel of 121 x 121 taps (sigma 15) costs seconds an
    image. One strength and one smoothness for both axes.
    """

    def make_params(self, flat_inputs: list) -> dict:
        height, width = v2.functional.get_size(flat_inputs[0])
        kernel, sigma = kernel_width(self.sigma[0]), [self.sigma[0]] * 2
        displacements = []
        for size in (width, height):
            noise = torch.rand(1, 1, height, width) * 2 - 1
            smooth = v2.functional.gaussian_blur(noise, [kernel, 1], sigma)
            smooth = v2.functional.gaussian_blur(smooth, [1, kernel], sigma)
            displacements.append(smooth * self.alpha[0] / size)
        return {"displacement": torch.concat(displacements, 1).permute(0, 2, 3, 1)}
