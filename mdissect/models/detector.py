"""RetinaNet on a tower's own maps: a small pyramid of them, and torchvision's head for boxes and findings."""

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.retinanet import RetinaNet
from torchvision.ops import FeaturePyramidNetwork

from mdissect.models.target import Target, dtype_of, stage_paths
from mdissect.outputs import evaluating, find_layer

FINEST_STRIDE = 8  # of the layers that are taken by default
MOST_LEVELS = 3
ANCHORS_PER_OCTAVE = 3
ASPECTS = (0.5, 1.0, 2.0)


class Pyramid(nn.Module):
    """Maps of some layers of a tower, from fine to coarse, brought to one width by a feature pyramid.

    The tower is always in eval mode: the statistics of its batch norms stay. `frozen`: it has no gradients.
    """

    def __init__(self, tower: nn.Module, layers: Sequence[str], widths: Sequence[int], width: int, frozen: bool):
        super().__init__()
        self.tower, self.layers, self.frozen, self.out_channels = tower, tuple(layers), frozen, width
        self.fpn = FeaturePyramidNetwork(list(widths), width)
        tower.requires_grad_(not frozen)
        tower.eval()

    def train(self, mode: bool = True) -> "Pyramid":
        super().train(mode)
        self.tower.eval()
        return self

    def forward(self, images: Tensor) -> OrderedDict[str, Tensor]:
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            maps = maps_of(self.tower, self.layers, images)
        return self.fpn(OrderedDict((str(level), one.contiguous()) for level, one in enumerate(maps)))


class AsPrepared(nn.Module):
    """In the place of RetinaNet's own resizing and scaling: prepared images as they are."""

    def forward(self, images: Tensor, targets: list[dict] | None = None) -> tuple[ImageList, list[dict] | None]:
        return ImageList(images, [tuple(images.shape[-2:])] * len(images)), targets

    def postprocess(self, result: list[dict], image_shapes: list, original_image_sizes: list) -> list[dict]:
        return result


def build_detector(
    target: Target, tower: nn.Module, layers: Sequence[str], n_findings: int, width: int, anchor_scale: float, frozen: bool
) -> RetinaNet:
    """RetinaNet on a tower, the target's own or a copy of it, with new pyramid and head.

    Its labels are 0 to n_findings - 1. The smallest anchors of a level are `anchor_scale` strides wide. ValueError: a layer
    that gives no maps, or layers that do not run from fine to coarse.
    """
    shapes = _shapes(target, layers)
    heights = [shape[2] for shape in shapes]
    if sorted(set(heights), reverse=True) != heights:
        raise ValueError(f"layers={list(layers)} have maps {heights} places high; name them from fine to coarse, each once")
    strides = [target.preprocess.size[0] / height for height in heights]
    octave = [2 ** (step / ANCHORS_PER_OCTAVE) for step in range(ANCHORS_PER_OCTAVE)]
    sizes = tuple(tuple(anchor_scale * stride * part for part in octave) for stride in strides)
    anchors = AnchorGenerator(sizes, (ASPECTS,) * len(sizes))
    pyramid = Pyramid(tower, layers, [shape[1] for shape in shapes], width, frozen)
    module = RetinaNet(pyramid, n_findings, anchor_generator=anchors, detections_per_img=100)
    module.transform = AsPrepared()
    return module


def pyramid_layers(target: Target) -> tuple[str, ...]:
    """The last stage of each resolution of a target's network, at most three, from a stride of 8 on where there is one."""
    height = target.preprocess.size[0]
    paths = stage_paths(target.module)
    last = {}
    for path, shape in zip(paths, _shapes(target, paths, needed=False), strict=True):
        if shape is not None and len(shape) == 4 and shape[2] > 1:
            last[shape[2]] = path
    if not last:
        raise ValueError(
            f"target {target.name!r} has no layers with maps (n, c, h, w); a detector takes a convolutional network"
        )
    coarse = {n: path for n, path in last.items() if height / n >= FINEST_STRIDE} or last
    return tuple(coarse[n] for n in sorted(coarse, reverse=True)[:MOST_LEVELS])


def maps_of(tower: nn.Module, layers: Sequence[str], images: Tensor) -> list[Tensor]:
    """What some layers give for prepared images, in the order of the layers."""
    found: dict[str, Tensor] = {}
    handles = [
        find_layer(tower, layer).register_forward_hook(
            lambda _, __, output, layer=layer: found.__setitem__(layer, _kept(output))
        )
        for layer in layers
    ]
    try:
        tower(images)
    finally:
        for handle in handles:
            handle.remove()
    if absent := [layer for layer in layers if layer not in found]:
        raise ValueError(f"layer {absent[0]!r} gave nothing: the network did not run it")
    return [found[layer] for layer in layers]


def _kept(output: object) -> object:
    """An output, safe from an activation in place that may follow."""
    return output.clone() if isinstance(output, Tensor) else output


@torch.inference_mode()
def _shapes(target: Target, layers: Sequence[str], needed: bool = True) -> list[tuple[int, ...] | None]:
    """The shape of what each layer gives for a black image; ValueError for one that gives no maps, if they are needed."""
    parameter = next(target.module.parameters(), torch.empty(0))
    black = torch.zeros(1, target.preprocess.channels, *target.preprocess.size, dtype=dtype_of(target.module))
    with evaluating(target.module):
        found = maps_of(target.module, layers, black.to(parameter.device))
    shapes = [tuple(one.shape) if isinstance(one, Tensor) else None for one in found]
    for layer, shape in zip(layers, shapes, strict=True):
        if needed and (shape is None or len(shape) != 4):
            raise ValueError(f"layer {layer!r} of {target.name!r} gives no maps (n, c, h, w) but {shape or 'no tensor'}")
    return shapes
