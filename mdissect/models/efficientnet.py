"""The EfficientNets of Mammo-CLIP as timm models: with their original padding, and names of their weights in other libraries.

The released networks come from the efficientnet_pytorch code base, which works "same" padding out once, for a nominal input
size, and keeps it for every other size. timm pads symmetrically or computes the padding again for each input; with either,
the released weights give other numbers (relative errors of some percent).
"""

import re
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor, nn
from torch.nn import functional as F

BATCH_NORM_EPS = 1e-3  # as in the original TensorFlow networks


@dataclass(frozen=True)
class Variant:
    """One size of EfficientNet, "b2" or "b5".

    `nominal_size` is the side of the square input that its padding is worked out for (pixels), `depths` are the MBConv blocks
    of each of its 7 stages, `features` the channels of its last feature map.
    """

    name: str
    nominal_size: int
    depths: tuple[int, ...]
    features: int

    @property
    def n_blocks(self) -> int:
        """MBConv blocks of all stages together."""
        return sum(self.depths)

    @property
    def default_layers(self) -> tuple[str, ...]:
        """The last blocks of stages 1, 4 and 7: in B5 the study's blocks 2, 19 and 38."""
        return tuple(f"blocks.{stage}.{self.depths[stage] - 1}" for stage in (0, 3, 6))

    def block_path(self, number: int) -> str:
        """Where the block with this number, counted from 0 over all stages, stands in the timm model.

        >>> [VARIANTS["b5"].block_path(number) for number in (2, 19, 38)]
        ['blocks.0.2', 'blocks.3.6', 'blocks.6.2']
        """
        if not 0 <= number < self.n_blocks:
            raise ValueError(f"block {number} is not one of the {self.n_blocks} of EfficientNet-{self.name.upper()}, from 0")
        ends = list(accumulate(self.depths))
        stage = next(i for i, end in enumerate(ends) if number < end)
        return f"blocks.{stage}.{number - ends[stage] + self.depths[stage]}"

    def layer_paths(self, layers: "str | int | list[str | int] | tuple[str | int, ...] | None") -> tuple[str, ...]:
        """Layers as module paths: numbers are blocks counted over all stages, strings stay, None takes the default."""
        if layers is None:
            return self.default_layers
        layers = [layers] if isinstance(layers, (str, int)) else layers
        return tuple(self.block_path(layer) if isinstance(layer, int) else layer for layer in layers)


VARIANTS = {
    "b2": Variant("b2", nominal_size=260, depths=(2, 3, 3, 4, 4, 5, 2), features=1408),
    "b5": Variant("b5", nominal_size=456, depths=(3, 5, 5, 7, 7, 9, 3), features=2048),
}

# timm's names of the parts -> efficientnet_pytorch's.
_ENDS = {"conv_stem": "_conv_stem", "bn1": "_bn0", "conv_head": "_conv_head", "bn2": "_bn1", "classifier": "_fc"}
_SQUEEZE = {"conv_dw": "_depthwise_conv", "se.conv_reduce": "_se_reduce", "se.conv_expand": "_se_expand"}
_FIRST_STAGE = _SQUEEZE | {"bn1": "_bn1", "conv_pw": "_project_conv", "bn2": "_bn2"}
_OTHER_STAGES = _SQUEEZE | {"conv_pw": "_expand_conv", "bn1": "_bn0", "bn2": "_bn1", "conv_pwl": "_project_conv", "bn3": "_bn2"}


class PaddedConv2d(nn.Conv2d):
    """`conv` behind a fixed zero padding, which may differ: `before` at the top and left, `after` at the bottom and right."""

    def __init__(self, conv: nn.Conv2d, before: int, after: int):
        super().__init__(
            conv.in_channels,
            conv.out_channels,
            conv.kernel_size,
            stride=conv.stride,
            groups=conv.groups,
            bias=conv.bias is not None,
            device="meta",
        )
        self.weight, self.bias = conv.weight, conv.bias
        self.zeros = (before, after, before, after)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, self.zeros))

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, zeros={self.zeros}"


def build_tower(variant: Variant, num_classes: int = 0) -> nn.Module:
    """timm's EfficientNet with random weights and the static padding of the released networks.

    Block i of stage s is the module `blocks.<s>.<i>`; `forward_features` gives the last map (n, features, h, w). `num_classes`
    are outputs of a linear classifier on the pooled features; 0 leaves it out.
    """
    import timm

    tower = timm.create_model(f"efficientnet_{variant.name}", num_classes=num_classes, bn_eps=BATCH_NORM_EPS)
    pad_statically(tower, variant.nominal_size)
    return tower


def pad_statically(network: nn.Module, nominal_size: int) -> None:
    """Give the convolutions with a stride the "same" padding of a square input of `nominal_size` pixels, in place.

    The modules must stand in the order in which they run, and one after the other, as in timm's EfficientNets. Convolutions
    without stride need nothing: there "same" is symmetric, whatever the size.
    """
    size = nominal_size
    for path, conv in list(network.named_modules()):
        if not isinstance(conv, nn.Conv2d) or conv.stride[0] == 1:
            continue
        kernel, stride = conv.kernel_size[0], conv.stride[0]
        smaller = -(-size // stride)
        zeros = max((smaller - 1) * stride + kernel - size, 0)
        if zeros % 2:
            network.set_submodule(path, PaddedConv2d(conv, before=zeros // 2, after=zeros - zeros // 2))
        else:
            conv.padding = (zeros // 2, zeros // 2)
        size = smaller


def released_name(name: str, variant: Variant) -> str:
    """The name of a weight of `build_tower`'s network in efficientnet_pytorch and the released checkpoints.

    >>> released_name("blocks.3.6.conv_dw.weight", VARIANTS["b5"])
    '_blocks.19._depthwise_conv.weight'
    """
    inside = re.fullmatch(r"blocks\.(\d+)\.(\d+)\.(.+)\.(\w+)", name)
    if inside is None:
        part, leaf = name.rsplit(".", 1)
        return f"{_ENDS[part]}.{leaf}"
    stage, block, part, leaf = int(inside[1]), int(inside[2]), inside[3], inside[4]
    parts = _OTHER_STAGES if stage else _FIRST_STAGE
    return f"_blocks.{sum(variant.depths[:stage]) + block}.{parts[part]}.{leaf}"


def recognise(names_and_shapes: dict[str, torch.Size]) -> Variant | None:
    """The variant whose weights these are, known by the width of the last convolution, else by the number of blocks.

    Names may be timm's or efficientnet_pytorch's, with any prefix. None: neither B2 nor B5.
    """
    heads = [shape for name, shape in names_and_shapes.items() if re.search(r"(^|[._])conv_head\.weight$", name)]
    found = [variant for variant in VARIANTS.values() if heads and heads[0][0] == variant.features]
    if not heads:
        flat = {match[1] for name in names_and_shapes if (match := re.search(r"(?:^|\.)_blocks\.(\d+)\.", name))}
        staged = {match[1] for name in names_and_shapes if (match := re.search(r"(?:^|\.)blocks\.(\d+\.\d+)\.", name))}
        found = [variant for variant in VARIANTS.values() if variant.n_blocks == len(flat | staged)]
    return found[0] if found else None
