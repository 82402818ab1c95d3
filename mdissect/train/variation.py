"""Random variations of training images: flips, affine and elastic deformations."""

import torch
from torch import Tensor
from torchvision.transforms import v2

from mdissect.preprocess import Preprocess
from mdissect.train.recipe import Augment


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
