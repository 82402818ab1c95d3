"""Where in an image a neuron responds: activation maps in the image's own frame, patches, receptive fields.

A layer's map is coarse (16 x 10 places, say) and belongs to the prepared image. Since `Preprocess` stretches an image but never
crops it, each place of the map is a rectangle of the image as it was read, mirrored back where it had been mirrored.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import islice

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mdissect.arguments import INTEGER, image_shape
from mdissect.axes import Layout, check_images, declared, token_grid
from mdissect.hardware import at_once
from mdissect.models import Target, dtype_of
from mdissect.outputs import evaluating, find_layer, settle_axes, tensor_of
from mdissect.preprocess import Preprocess
from mdissect.signatures import validated

IMAGES_AT_A_TIME = 16  # in the network together, at the most


@validated()
def activation_maps(target: Target, layer: str, images: Iterable[np.ndarray], axes: str | None = None) -> list[np.ndarray]:
    """The maps of all neurons of a layer, one image after the other.

    >>> maps = activation_maps(load_target("demo/mammo"), "bn2", [probe[0]])    # doctest: +SKIP
    >>> maps[0].shape                                                           # doctest: +SKIP
    (256, 8, 5)

    Parameters
    ----------
    layer : str
        One with places: its output is a map, or the tokens of a grid of patches.
    images : iterable of arrays (height, width[, 3])
        As a probe gives them.
    axes : str, optional
        Which axis of its output is which, such as "NHWC" or "TNC", if ambiguous: see `mdissect.hooks.record`.

    Returns
    -------
    list of float32 arrays (n_neurons, h, w)
        In the frame of the image: mirrored back where preparing it had mirrored it. The mean over h and w is the neuron's
        activation under ``pool="mean"`` (of tokens: but for those without a place).

    Raises
    ------
    ValueError
        Unknown layer, or one without places.
    """
    maps, images, layout = [], iter(images), None
    n = min(IMAGES_AT_A_TIME, at_once(target.preprocess.size, device_of(target.module)))
    while some := list(islice(images, n)):
        prepared = torch.stack([target.preprocess(image) for image in some])
        prepared = prepared.to(device_of(target.module), dtype_of(target.module), memory_format=torch.channels_last)
        layout = layout or layout_of(target.module, layer, prepared, axes)
        with torch.inference_mode(), evaluating(target.module), layer_outputs(target.module, layer) as found:
            target.module(prepared)
        for image, own in zip(some, as_maps(found, target, layer, layout, len(some)).float().cpu().numpy(), strict=True):
            maps.append(np.ascontiguousarray(own[..., ::-1] if _mirrored(image, target.preprocess) else own))
    return maps


@validated(neuron=INTEGER)
def activation_map(target: Target, layer: str, neuron: int, image: np.ndarray, axes: str | None = None) -> np.ndarray:
    """Where in an image (height, width[, 3]) a neuron responds: float32 array (height, width).

    `axes` is as for `activation_maps`.

    Raises
    ------
    ValueError
        Unknown layer, or one without places.
    IndexError
        No such neuron.
    """
    (maps,) = activation_maps(target, layer, [image], axes)
    check_neuron(neuron, len(maps), layer)
    return upsample(maps[neuron], image.shape[:2])


@validated(shape=image_shape)
def upsample(maps: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Maps (..., h, w) at the size of their image, (..., height, width), bilinear between the centres of the places."""
    planes = torch.from_numpy(np.ascontiguousarray(maps)).reshape(1, -1, *maps.shape[-2:])
    large = F.interpolate(planes, size=shape, mode="bilinear", align_corners=False)
    return large.reshape(*maps.shape[:-2], *shape).numpy()


@validated()
def overlay(heat: np.ndarray, highest: float | None = None) -> np.ndarray:
    """A map (height, width) brought to [0, 1], for drawing.

    >>> overlay(np.array([[-1.0, 1.0, 2.0]]), highest=4)
    array([[0.  , 0.25, 0.5 ]])

    Parameters
    ----------
    highest : float, optional
        What becomes 1, such as a neuron's maximum over several images, so that these can be compared; activations below 0
        become 0. When None, the map's own range is stretched; 0 everywhere when it is constant.
    """
    if highest is not None:
        return np.clip(heat / highest, 0, 1) if highest > 0 else np.zeros_like(heat)
    low, high = heat.min(), heat.max()
    return (heat - low) / (high - low) if high > low else np.zeros_like(heat)


@validated(shape=image_shape)
def peaks(maps: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The pixel in the middle of each map's strongest place.

    Parameters
    ----------
    maps : array (..., h, w)
        Coarse or upsampled.
    shape : (int, int)
        Height and width of the image.

    Returns
    -------
    int array (..., 2)
        Row and column in the image; -1 and -1 for a map that is constant and thus points nowhere.
    """
    flat = maps.reshape(*maps.shape[:-2], -1)
    places = np.stack(np.unravel_index(flat.argmax(axis=-1), maps.shape[-2:]), axis=-1)
    pixels = ((places + 0.5) * shape / maps.shape[-2:]).astype(int)
    pixels[flat.max(axis=-1) == flat.min(axis=-1)] = -1
    return pixels


@validated(neuron=INTEGER)
def check_neuron(neuron: int, n_neurons: int, layer: str = "") -> None:
    """An IndexError unless the layer has such a neuron."""
    if not 0 <= neuron < n_neurons:
        where = f"layer {layer!r}" if layer else "the layer"
        raise IndexError(f"neuron {neuron} is not in {where}, whose neurons are 0 to {n_neurons - 1}")


@contextmanager
def layer_outputs(module: nn.Module, layer: str) -> Iterator[list[Tensor]]:
    """Collect what a layer gives, unpooled, each time it runs."""
    found: list[Tensor] = []
    handle = find_layer(module, layer).register_forward_hook(partial(_keep, found, layer))
    try:
        yield found
    finally:
        handle.remove()


def _keep(found: list, layer: str, _module: nn.Module, _inputs: tuple, output) -> None:
    found.append(tensor_of(output, layer).clone())  # an activation in place may follow


def layout_of(module: nn.Module, layer: str, prepared: Tensor, axes: str | None = None) -> Layout:
    """Which axis of a layer's output is which, settled on prepared images (n, channels, height, width)."""
    settled = settle_axes(module, [layer], prepared, axes={layer: axes} if axes else None)
    if layer not in settled:
        raise ValueError(f"layer {layer!r} gave nothing: the network did not run it")
    return settled[layer]


def as_maps(found: list[Tensor], target: Target, layer: str, layout: Layout, n: int) -> Tensor:
    """What a layer gave last, for `n` images, as maps (n, n_neurons, h, w)."""
    output = found[-1]
    check_images(layer, tuple(output.shape), layout, n)
    order = [layout.letters.index(letter) for letter in ("N", "C")]
    maps = output.permute(*order, *layout.places)
    if maps.ndim == 4 and maps.shape[2] * maps.shape[3] > 1:
        return maps
    if maps.ndim == 3:
        prefix = next(iter(declared(target.module, "num_prefix_tokens")), None)
        if grid := token_grid(maps.shape[2], target.preprocess.size, prefix):
            return maps[:, :, -grid[0] * grid[1] :].unflatten(2, grid)
    raise ValueError(
        f"layer {layer!r} gives {tuple(output.shape)}, which has no places in the image; ask for a layer with maps "
        "(n, c, h, w) or with the tokens of a grid of patches"
    )


def _mirrored(image: np.ndarray, preprocess: Preprocess) -> bool:
    """Whether preparing the image mirrors it."""
    return preprocess.orient is not None and not torch.equal(preprocess(image), replace(preprocess, orient=None)(image))


def device_of(module: nn.Module) -> torch.device:
    return next((parameter.device for parameter in module.parameters()), torch.device("cpu"))
