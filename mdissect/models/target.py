"""Targets: the models that are dissected, always in eval mode."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import torch
from torch import nn

from mdissect.arguments import shown, texts
from mdissect.models.checkpoints import weights_fingerprint
from mdissect.models.later import Later
from mdissect.preprocess import Preprocess
from mdissect.signatures import validated


class _Module:
    """The attribute `module` of a target, which is built when it is first read if it was given as `Later`."""

    def __get__(self, target: "Target | None", cls: type) -> nn.Module:
        if target is None:
            raise AttributeError("module")  # a field without a default
        found = target.__dict__["module"]
        return found() if isinstance(found, Later) else found

    def __set__(self, target: "Target", module: nn.Module | Later) -> None:
        target.__dict__["module"] = module


@dataclass(frozen=True)
class Target:
    """A vision model to be dissected.

    Attributes
    ----------
    module : nn.Module
        In eval mode; called with a batch (n, channels, height, width) that `preprocess` made. It may be given as
        `mdissect.models.later.Later`: then it is built when it is first read.
    layers : tuple of str
        The module paths that are dissected unless others are asked for.
    fingerprint : str
        Hash of structure and weights, see `mdissect.models.weights_fingerprint`.
    notes : tuple of str
        What one should know about how it was made.
    classes : tuple of str
        The names of a classifier's outputs, where they are known; two names where one output stands for the second of them.
    """

    name: str
    module: nn.Module = _Module()  # no default: see there
    preprocess: Preprocess
    layers: tuple[str, ...]
    fingerprint: str
    notes: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()

    def to(self, device: torch.device | str) -> "Target":
        """Move the module to a device (in place) and return the target."""
        self.__dict__["module"].to(device)
        return self

    @property
    def from_files(self) -> bool:
        """Whether the module was given as `Later`, so that files and code of mdissect say all about it."""
        return isinstance(self.__dict__["module"], Later)

    @property
    def built(self) -> bool:
        """Whether the module is there, and not to be built when it is first read."""
        return not self.from_files or self.__dict__["module"].built

    def changed(self, **fields) -> "Target":
        """The target with other values of some attributes; its module is not built for that."""
        return replace(self, **{"module": self.__dict__["module"]} | fields)

    def present_fingerprint(self) -> str:
        """The hash of structure and weights as they are now: they may have changed since the target was made."""
        return weights_fingerprint(self.module) if self.built else self.fingerprint


@validated()
def dtype_of(module: nn.Module) -> torch.dtype:
    """The precision that a module takes its images in: that of its first weights; float32 where it has none of its own."""
    numbers = (tensor.dtype for tensor in chain(module.parameters(), module.buffers()))
    return next((dtype for dtype in numbers if dtype.is_floating_point), torch.float32)


@validated()
def freeze(module: nn.Module) -> nn.Module:
    """Put a module of mdissect into eval mode, without gradients, in channels-last order (faster on CPUs too)."""
    return module.eval().requires_grad_(False).to(memory_format=torch.channels_last)


def as_layers(layers: str | Sequence[str]) -> tuple[str, ...]:
    """Module paths as a tuple, one at least; a single path may come as a string."""
    return texts("layers", layers)


@validated()
def default_layers(module: nn.Module) -> tuple[str, ...]:
    """The ends of the first, second and last third of a network's stages.

    >>> default_layers(timm.create_model("resnet18"))        # stages act1, layer1, ..., layer4
    ('layer1', 'layer3', 'layer4')

    Stages are those that timm lists in `feature_info`. Other modules: the children that hold weights, without the heads, those
    that are lists of parts (or little more than one) counting as their parts.
    """
    stages = [path for path, _ in _stages(module)]
    if not stages:
        raise ValueError(f"{type(module).__name__} has no layers to choose from; give layers=[...] with module paths")
    ends = sorted({-(-len(stages) * third // 3) - 1 for third in (1, 2, 3)})
    return tuple(stages[end] for end in ends)


def stage_paths(module: nn.Module) -> tuple[str, ...]:
    """The module paths of a network's stages, in order, as `default_layers` finds them."""
    return tuple(path for path, _ in _stages(module))


# Children that make a network's answer of its features, as torchvision, timm and transformers call them; some never run.
_HEADS = re.compile(r"aux\w*|\w*classifier|_?fc|(?!_?conv)(\w*_)?heads?(_\w+)?|\w*pooler|logits", re.IGNORECASE)
_MAINLY = 0.5  # share of the weights in lists of parts, from which on a module counts as its stages

Stages = list[tuple[str, nn.Module]]


def _stages(module: nn.Module, path: str = "") -> Stages:
    """The stages of a network in order, heads left out."""
    info = getattr(module, "feature_info", [])
    listed = [entry.get("module") for entry in info if isinstance(entry, Mapping)] if isinstance(info, list) else []
    named = dict(module.named_modules())
    listed = [name for name in dict.fromkeys(listed) if name in named]
    if listed and not any(_is_uncalled(named[name]) for name in listed):
        return [(path + name, named[name]) for name in listed]
    children = _without_heads([(name, child) for name, child in module.named_children() if n_weights(child)])
    lists = [(name, child) for name, child in children if _is_list(child)]
    children = lists if lists and listed else _without_side_lists(children)  # timm names a list of CoaT, whose stages all are
    if len(children) == 1 and any(True for _ in children[0][1].children()):
        return _stages(children[0][1], f"{path}{children[0][0]}.")
    kinds = Counter(type(child) for _, child in children)
    return [stage for name, child in children for stage in _parts(f"{path}{name}", child, kinds[type(child)] == 1)]


def _parts(path: str, module: nn.Module, open_up: bool) -> Stages:
    """A list's parts, or the module itself; lists that no network calls are taken apart again.

    `open_up`: a module that mainly consists of lists counts as its stages, as an encoder does; one block of many does not.
    """
    if not _is_list(module):
        return (_inside(path, module) if open_up else None) or [(path, module)]
    parts = [(f"{path}.{name}", part) for name, part in module.named_children()]
    return [part for one in parts for part in (_parts(*one, False) if _is_uncalled(one[1]) else [one])]


def _inside(path: str, module: nn.Module) -> Stages | None:
    """The stages of a module most of whose weights stand in lists, however deep; None where there are none."""
    while True:
        children, enough = list(module.named_children()), _MAINLY * n_weights(module)
        if sum(n_weights(child) for _, child in children if _is_list(child)) >= enough:
            return _stages(module, f"{path}.")
        name, child = max(children, key=lambda one: n_weights(one[1]), default=("", None))
        if child is None or n_weights(child) < enough:
            return None
        path, module = f"{path}.{name}", child


def _without_side_lists(children: Stages) -> Stages:
    """Of lists of equal length that are visited in turn (embeddings, blocks, norms), the one with the most weights."""
    lists = [child for _, child in children if _is_uncalled(child)]
    most = max(lists, key=n_weights, default=None)
    side = [one for one in lists if one is not most and len(one) == len(most) and 2 * n_weights(one) < n_weights(most)]
    return [(name, child) for name, child in children if not any(child is one for one in side)]


def _is_uncalled(module: nn.Module) -> bool:
    """Whether a module only holds others: a ModuleList or ModuleDict without a forward pass."""
    return isinstance(module, (nn.ModuleList, nn.ModuleDict)) and type(module).forward is nn.Module.forward


def _is_list(module: nn.Module) -> bool:
    return isinstance(module, nn.Sequential) or _is_uncalled(module)


def _without_heads(children: Stages) -> Stages:
    """A network's children without its heads: those named so, else the last ones that end in a fully connected layer."""
    bodies = [(name, child) for name, child in children if not _HEADS.fullmatch(name)]
    if bodies and len(bodies) < len(children):
        return bodies
    width = None
    while len(children) > 1 and _is_head(children[-1][1], children[-2][1]):
        linear = [part for part in children[-1][1].modules() if _is_linear(part)]
        if width is not None and (linear[0].in_features != width or linear[-1].out_features == width):
            break  # not a head beside the last one, but what feeds it
        width, children = linear[0].in_features, children[:-1]
    return children


def _is_head(module: nn.Module, before: nn.Module) -> bool:
    """Whether a module is fully connected layers and norms alone, the last of them not back at the width of the first."""
    leaves = [part for part in module.modules() if not any(True for _ in part.children())]
    weighted = [part for part in leaves if n_weights(part)]
    linear = [part for part in weighted if _is_linear(part)]
    ends = [part for part in leaves if not isinstance(part, (nn.Identity, nn.modules.dropout._DropoutNd, *_ANSWERS))]
    if not linear or ends[-1] is not linear[-1] or sum(map(n_weights, weighted)) != n_weights(module):
        return False
    if _is_linear(module):
        return True
    norms = (nn.LayerNorm, nn.RMSNorm, nn.BatchNorm1d)
    returns = len(linear) > 1 and linear[0].in_features == linear[-1].out_features  # a block of a network of tokens
    flat = all(_is_linear(part) or isinstance(part, norms) for part in weighted)
    return flat and not (returns or _repeated(module, before))


_ANSWERS = (nn.Softmax, nn.LogSoftmax, nn.Sigmoid, nn.Flatten)


def _repeated(module: nn.Module, before: nn.Module) -> bool:
    """Whether a module is one more of the same kind of block."""
    return repr(module) == repr(before) or (type(module) is type(before) and not isinstance(module, nn.Sequential))


def n_weights(module: nn.Module) -> int:
    """The number of weights of a module, including those of quantised layers, which are not parameters."""
    packed = (part.weight for part in module.modules() if callable(getattr(part, "weight", None)))
    return sum(parameter.numel() for parameter in module.parameters()) + sum(weight().numel() for weight in packed)


def _is_linear(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear) or (hasattr(module, "in_features") and hasattr(module, "out_features"))


def resolve_device(device: str | torch.device = "auto") -> torch.device:
    """ "auto" to CUDA, MPS or the CPU, the first available; anything else as torch names it."""
    if device != "auto":
        return _named_device(device)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def _named_device(device: str | torch.device) -> torch.device:
    """A device by torch's name for it; ValueError for an unsupported or unavailable device."""
    expected = f"device={shown(str(device))} must be one of 'auto', 'cpu', 'cuda', 'cuda:<number>', 'mps'"
    try:
        found = None if isinstance(device, (bool, int)) else torch.device(device)
    except (RuntimeError, TypeError, ValueError) as error:
        raise ValueError(expected) from error
    if found is None or found.type not in ("cpu", "cuda", "mps"):
        raise ValueError(expected)
    n_there = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}[found.type]
    if (found.index or 0) >= n_there:
        raise ValueError(
            f"device={shown(str(device))} is not there: torch finds {n_there} of {found.type}; 'auto' takes what is"
        )
    return found
