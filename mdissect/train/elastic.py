"""torchvision's elastic deformation, quick enough for images of a million pixels."""

import torch
from torchvision.transforms import v2


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
