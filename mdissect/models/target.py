"""Targets: the models that are dissected, always in eval mode."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import torch
from torch import nn

from mdissect.preprocess import Preprocess


@dataclass(frozen=True)
class Target:
    """A vision model to be dissected.

    Attributes
    ----------
    module : nn.Module
        In eval mode; called with a batch (n, channels, height, width) that `preprocess` made.
    layers : tuple of str
        The module paths that are dissected unless others are asked for.
    fingerprint : str
        Hash of structure and weights, see `mdissect.models.weights_fingerprint`.
    notes : tuple of str
        What one should know about how it was made.
    """

    name: str
    module: nn.Module
    preprocess: Preprocess
    layers: tuple[str, ...]
    fingerprint: str
    notes: tuple[str, ...] = ()

    def to(self, device: torch.device | str) -> "Target":
        """Move the module to a device (in place) and return the target."""
        self.module.to(device)
        return self


def dtype_of(module: nn.Module) -> torch.dtype:
    """The precision that a module takes its images in: that of its first weights; float32 where it has none of its own."""
    numbers = (tensor.dtype for tensor in chain(module.parameters(), module.buffers()))
    return next((dtype for dtype in numbers if dtype.is_floating_point), torch.float32)


def freeze(module: nn.Module) -> nn.Module:
    """Put a module that is ours into eval mode, without gradients, in channels-last order (faster on CPUs too)."""
    return module.eval().requires_grad_(False).to(memory_format=torch.channels_last)


def as_layers(layers: str | Sequence[str]) -> tuple[str, ...]:
    """Module paths as a tuple; a single path may come as a string."""
    return (layers,) if isinstance(layers, str) else tuple(layers)


def default_layers(module: nn.Module) -> tuple[str, ...]:
    """The ends of the first, second and last third of a network's stages.

    >>> default_layers(timm.create_model("resnet18"))        # stages act1, layer1, ..., layer4
    ('layer1', 'layer3', 'layer4')

    Stages are those that timm lists in `feature_info`. Other modules: the children that hold weights, a container of
    children counting as its parts, without a fully connected layer at the end.
    """
    names = set(dict(module.named_modules()))
    info = getattr(module, "feature_info", [])
    stages = [entry["module"] for entry in info if entry.get("module") in names] if isinstance(info, list) else []
    stages = stages or _children_with_weights(module)
    if not stages:
        raise ValueError(f"{type(module).__name__} has no layers to choose from; give layers=[...] with module paths")
    ends = sorted({-(-len(stages) * third // 3) - 1 for third in (1, 2, 3)})
    return tuple(stages[end] for end in ends)


def _children_with_weights(module: nn.Module, path: str = "") -> list[str]:
    children = [(f"{path}{name}", child) for name, child in module.named_children() if any(True for _ in child.parameters())]
    if len(children) > 1 and isinstance(children[-1][1], nn.Linear):
        children = children[:-1]
    if len(children) == 1 and any(True for _ in children[0][1].children()):
        return _children_with_weights(children[0][1], f"{children[0][0]}.")
    names = []
    for name, child in children:
        parts = isinstance(child, (nn.Sequential, nn.ModuleList)) and len(child) > 0
        names += [f"{name}.{i}" for i in range(len(child))] if parts else [name]
    return names


def resolve_device(device: str = "auto") -> torch.device:
    """ "auto" to CUDA, MPS or the CPU, whichever is there first; anything else as torch names it."""
    if device != "auto":
        return torch.device(device)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
