"""Receptive fields of a layer's maps, and the image patch at a map's peak."""

from dataclasses import dataclass

import numpy as np
import torch

from mdissect.arguments import SHARE, image_shape
from mdissect.localize.maps import as_maps, device_of, layer_outputs, layout_of, peaks
from mdissect.models import Target, dtype_of
from mdissect.outputs import evaluating
from mdissect.signatures import validated

NOISE_IMAGES = 4


@dataclass(frozen=True)
class Patch:
    """A part of an image: ``pixels`` is ``image[ymin:ymax, xmin:xmax]``."""

    pixels: np.ndarray
    ymin: int
    xmin: int
    ymax: int
    xmax: int


@validated(size=image_shape)
def top_patch(image: np.ndarray, heat: np.ndarray, size: tuple[int, int]) -> Patch:
    """The part of an image where a neuron responds most, in the image's full resolution.

    Parameters
    ----------
    image : array (height, width[, 3])
    heat : array (h, w)
        The neuron's map in the frame of the image, coarse or upsampled. The patch is centred at its maximum, or moved as far
        as it takes to lie within the image; at the image's centre when the map is constant.
    size : (int, int)
        Height and width in pixels, such as `ReceptiveField.in_image`; cut down to the image's.
    """
    shape = image.shape[:2]
    centre = peaks(heat, shape)
    centre = centre if (centre >= 0).all() else np.array(shape) // 2
    size = np.minimum(size, shape)
    ymin, xmin = np.clip(centre - size // 2, 0, shape - size).tolist()
    ymax, xmax = ymin + int(size[0]), xmin + int(size[1])
    return Patch(image[ymin:ymax, xmin:xmax], ymin, xmin, ymax, xmax)


@dataclass(frozen=True)
class ReceptiveField:
    """The receptive field of the middle place of a layer's map, in the prepared image.

    Attributes
    ----------
    reach : (int, int)
        Height and width of the box of all pixels that bear upon it: the whole image behind attention, squeeze-and-excite
        or any other global pooling.
    core : (int, int)
        Height and width of the smallest square about the middle, cut off by the image, that holds `share` of the influence.
    share : float
    size : (int, int)
        Height and width of the prepared image.
    """

    reach: tuple[int, int]
    core: tuple[int, int]
    share: float
    size: tuple[int, int]

    def in_image(self, image: np.ndarray) -> tuple[int, int]:
        """Height and width of the core in pixels of an image before it is prepared."""
        height, width = (
            max(round(extent * own / prepared), 1)
            for extent, own, prepared in zip(self.core, image.shape[:2], self.size, strict=True)
        )
        return height, width


@validated(share=SHARE)
def receptive_field(target: Target, layer: str, share: float = 0.9, axes: str | None = None) -> ReceptiveField:
    """Measure a layer's receptive field by gradients.

    The place in the middle of the map is traced back to the pixels of 4 images of noise (max pooling and ReLU let other
    paths through in each); a pixel's influence is the size of its gradient (Luo et al., NeurIPS 2016). Works for any
    network, whatever its paths; one backward pass per image.

    Parameters
    ----------
    share : float
        Of the influence that the core holds.
    axes : str, optional
        As for `activation_maps`.

    Raises
    ------
    ValueError
        A layer without places, or one whose middle no pixel bears upon.
    """
    generator = torch.Generator().manual_seed(0)
    height, width = size = target.preprocess.size
    influence, layout = np.zeros(size), None
    for _ in range(NOISE_IMAGES):
        noise = torch.randn((1, target.preprocess.channels, height, width), generator=generator)
        noise = noise.to(device_of(target.module), dtype_of(target.module))
        layout = layout or layout_of(target.module, layer, noise, axes)
        noise.requires_grad_()
        with torch.enable_grad(), evaluating(target.module), layer_outputs(target.module, layer) as found:
            target.module(noise)
            maps = as_maps(found, target, layer, layout, n=1)
            middle = maps[0, :, maps.shape[2] // 2, maps.shape[3] // 2]
            mix = torch.randn(middle.shape, generator=generator).to(middle)
            (gradient,) = torch.autograd.grad((middle * mix).sum(), noise)
        influence += gradient[0].abs().sum(dim=0).double().cpu().numpy()
    if not influence.any():
        raise ValueError(f"no pixel bears upon the middle of layer {layer!r}: its neurons are silent there, or cut off from it")
    reach = tuple(int(np.ptp(np.flatnonzero(influence.any(axis=axis)))) + 1 for axis in (1, 0))
    return ReceptiveField(reach, _core(influence, share), share, size)


def _core(influence: np.ndarray, share: float) -> tuple[int, int]:
    """The smallest square about the centre of the influence, cut at the image's edge, that contains a share of it."""
    total = influence.sum()
    row, column = (
        round(float(np.average(np.arange(n), weights=influence.sum(axis=1 - i)))) for i, n in enumerate(influence.shape)
    )
    for radius in range(max(influence.shape)):
        core = influence[max(row - radius, 0) : row + radius + 1, max(column - radius, 0) : column + radius + 1]
        if core.sum() >= share * total:
            return core.shape
    return influence.shape
