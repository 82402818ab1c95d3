"""Batch normalisation folded into the convolutions before it, in a copy of a network: the same numbers in less time.

In eval mode a batch norm multiplies and shifts each channel by constants, which the weights and the bias of the convolution
before it can do as well; the maps are then written and read once less. The network itself is not touched.
"""

import copy
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from mdissect.outputs import evaluating, find_layer
from mdissect.signatures import validated

TOLERANCE = 1e-5  # of the largest value of a layer: a network whose recorded layers differ more is not folded
SMALL = 128  # pixels: the side of the image that shows which norm follows which convolution
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
_CONVOLUTIONS = (torch.conv1d, torch.conv2d, torch.conv3d)
_FACTS = (int, bool, str, torch.Size, torch.dtype, torch.device, torch.layout)  # about a tensor: asking does not use its values
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")

Run = Callable[[nn.Module], object]


@validated()
def has_batch_norm(module: nn.Module) -> bool:
    """Whether there is anything to fold: a batch norm, and weights in float32."""
    norms = any(_after_norm(part) is not None for part in module.modules())
    return norms and all(one.dtype == torch.float32 for one in module.parameters())


@validated(run=lambda name, value: value)
def folded(module: nn.Module, run: Run, layers: Collection[str] = ()) -> nn.Module | None:
    """A copy of a network in eval mode with its batch norms folded; None where none can be.

    >>> network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU()).eval()
    >>> folded(network, lambda module: module(torch.randn(1, 3, 16, 16)))[1]
    Identity()

    Which norm takes the output of which convolution, and takes it alone, is seen in a run. A norm is left as it is if it or
    its convolution is one of `layers`, has a hook, or shares its weights; or if a layer that is watched gives or takes what
    lies between the two. The copy shares the tensors that did not change, and the hooks.

    Parameters
    ----------
    module : nn.Module
        With weights in float32.
    run : callable
        Calls a network like this one on a small image, by any way, and returns what comes out.
    layers : collection of str
        Module paths whose outputs are recorded. They, and what `run` returns, must come out of both networks within 1e-5 of
        the largest value; else nothing is folded.
    """
    if not has_batch_norm(module):
        return None
    try:
        with evaluating(module), torch.no_grad(), torch.random.fork_rng(devices=[]):
            if not (pairs := _pairs(module, run, layers)):
                return None
            folding = _folded_copy(module, pairs)
            same = alike(seen_in(module, run, layers), seen_in(folding, run, layers))
    except (
        Exception
    ):  # a network that cannot be copied, or shown a small image: it runs as it is, and says itself what is wrong
        return None
    return folding if same else None


def small_image(channels: int, size: tuple[int, int], device: torch.device) -> Tensor:
    """An image of noise (1, channels, h, w), the same each time, with sides of at most 128 pixels."""
    height, width = (min(side, SMALL) for side in size)
    noise = torch.randn(1, channels, height, width, generator=torch.Generator().manual_seed(0))
    return noise.to(device).contiguous(memory_format=torch.channels_last)


class Flow(TorchFunctionMode):
    """What convolutions give, how often that is used, and which batch norms take it."""

    def __init__(self):
        super().__init__()
        self.convolved: dict[int, tuple[Tensor, Tensor, Tensor | None]] = {}  # by id: the output (kept), weight and bias
        self.uses: Counter[int] = Counter()
        self.normed: list[tuple[int, Tensor]] = []  # the id of what a norm takes, and the norm's running mean

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if not isinstance(result, _FACTS):
            self.uses.update(id(one) for one in tensors_in((args, kwargs)) if id(one) in self.convolved)
        if func in _CONVOLUTIONS:
            given = dict(zip(("input", "weight", "bias"), args, strict=False)) | kwargs
            self.convolved[id(result)] = (result, given["weight"], given.get("bias"))
        elif func is F.batch_norm and len(args) > 1 and not kwargs.get("training", len(args) > 5 and args[5]):
            self.normed += [(id(one), args[1]) for one in args[:1] if id(one) in self.convolved]
        return result


def _pairs(module: nn.Module, run: Run, layers: Collection[str]) -> list[tuple[nn.Module, nn.Module]]:
    """Convolutions and the batch norms that alone take their output."""
    watched = {find_layer(module, layer) for layer in layers} | {
        part for part in module.modules() if any(getattr(part, hooks, None) for hooks in HOOKS)
    }
    flow, between = Flow(), set()

    def note(_module, inputs, output) -> None:  # only what is kept: the id of a tensor that is gone may come again
        between.update(id(one) for one in tensors_in((inputs, output)) if id(one) in flow.convolved)

    handles = [part.register_forward_hook(note) for part in watched]
    try:
        with flow:
            run(module)
    finally:
        for handle in handles:
            handle.remove()
    owners = _owners(module)
    convolutions = Counter(id(weight) for _, weight, _ in flow.convolved.values())
    norms = Counter(id(mean) for _, mean in flow.normed)
    pairs = []
    for taken, mean in flow.normed:
        if taken not in flow.convolved or flow.uses[taken] != 1 or taken in between:
            continue
        _, weight, bias = flow.convolved[taken]
        conv, norm = owners.get(id(weight)), owners.get(id(mean))
        if conv is None or norm is None or {conv, norm} & watched or convolutions[id(weight)] > 1 or norms[id(mean)] > 1:
            continue
        if conv.weight is weight and conv.bias is bias and _after_norm(norm) is not None:
            pairs.append((conv, norm))
    return pairs


def _owners(module: nn.Module) -> dict[int, nn.Module]:
    """The module that owns a tensor, of those that one module owns."""
    owned: dict[int, list[nn.Module]] = {}
    for part in module.modules():
        for tensor in (*part._parameters.values(), *part._buffers.values()):
            owned.setdefault(id(tensor), []).append(part)
    return {key: parts[0] for key, parts in owned.items() if len(parts) == 1}


def _after_norm(norm: nn.Module) -> nn.Module | None:
    """What is left of a batch norm when it is folded; None for any other module."""
    if type(norm) in _NORMS and norm.track_running_stats:
        return nn.Identity()
    if type(norm).__name__ == "BatchNormAct2d" and type(norm).__module__.startswith("timm."):
        return nn.Sequential(norm.drop, norm.act)
    return None


def copied(module: nn.Module) -> nn.Module:
    """A copy of a network in eval mode that shares all tensors and hooks."""
    parts = list(module.modules())
    shared = [one for part in parts for one in (*part._parameters.values(), *part._buffers.values()) if one is not None]
    shared += [hook for part in parts for hooks in HOOKS for hook in (getattr(part, hooks, None) or {}).values()]
    copy_of = copy.deepcopy(module, {id(one): one for one in shared})
    for part in copy_of.modules():
        part.training = False
    return copy_of


def paths_in(module: nn.Module) -> dict[nn.Module, list[str]]:
    """Where each part of a network stands."""
    paths: dict[nn.Module, list[str]] = {}
    for path, part in module.named_modules(remove_duplicate=False):
        paths.setdefault(part, []).append(path)
    return paths


def _folded_copy(module: nn.Module, pairs: list[tuple[nn.Module, nn.Module]]) -> nn.Module:
    """A copy with these batch norms folded."""
    copy_of, paths = copied(module), paths_in(module)
    for conv, norm in pairs:
        _absorb(copy_of.get_submodule(paths[conv][0]), norm)
        rest = _after_norm(copy_of.get_submodule(paths[norm][0])).eval()
        for path in paths[norm]:
            copy_of.set_submodule(path, rest)
    for part in copy_of.modules():
        part.training = False
    return copy_of


def _absorb(conv: nn.Module, norm: nn.Module) -> None:
    """Give a convolution new weights that do what the norm does, worked out in float64."""
    mean, variance = norm.running_mean.double().cpu(), norm.running_var.double().cpu()
    weight = conv.weight.detach().double().cpu()
    scale = (variance + norm.eps).rsqrt()
    scale = scale if norm.weight is None else scale * norm.weight.detach().double().cpu()
    shift = (0 if conv.bias is None else conv.bias.detach().double().cpu()) - mean
    bias = shift * scale if norm.bias is None else shift * scale + norm.bias.detach().double().cpu()
    weight = weight * scale.reshape(-1, *[1] * (weight.ndim - 1))
    order = torch.channels_last if weight.ndim == 4 else torch.contiguous_format
    conv.weight = nn.Parameter(weight.to(conv.weight).contiguous(memory_format=order), requires_grad=False)
    conv.bias = nn.Parameter(bias.to(conv.weight), requires_grad=False)


def seen_in(module: nn.Module, run: Run, layers: Collection[str]) -> list[Tensor]:
    """What recorded layers give in a run, and what comes out in the end."""
    found: list[Tensor] = []

    def keep(_module, _inputs, output) -> None:
        found.extend(one.clone() for one in tensors_in(output))  # an activation in place may follow

    handles = [find_layer(module, layer).register_forward_hook(keep) for layer in layers]
    try:
        return [*tensors_in(run(module)), *found]
    finally:
        for handle in handles:
            handle.remove()


def alike(first: list[Tensor], second: list[Tensor]) -> bool:
    """Whether tensors are the same but for rounding."""
    if [one.shape for one in first] != [one.shape for one in second]:
        return False
    for a, b in zip(first, second, strict=True):
        scale = float(a.nan_to_num(0, 0, 0).abs().max()) if a.numel() else 0.0
        if not torch.allclose(a, b, rtol=0, atol=TOLERANCE * scale, equal_nan=True):
            return False
    return True


def tensors_in(value: object) -> Iterator[Tensor]:
    """The tensors in a value: itself, or those in its lists and mappings."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        yield from tensors_in(value.values())
    elif isinstance(value, Iterable) and not isinstance(value, (str, bytes)):
        for one in value:
            yield from tensors_in(one)
