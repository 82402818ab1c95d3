"""Convolutions on a CPU that do what stands around them too: fewer passes over a network's maps, the same numbers.

oneDNN, which torch computes convolutions with, applies an activation to what it has just computed, while that is in the cache;
and a map that is multiplied channel by channel before a 1 x 1 convolution (squeeze-and-excite) need not be written again: the
weights are multiplied instead. Weights are packed, and rounded to bf16 where that is asked for, once.
"""

from collections import Counter
from collections.abc import Collection
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from mdissect.folding import HOOKS, Flow, Run, alike, copied, folded, paths_in, seen_in, tensors_in
from mdissect.outputs import evaluating, find_layer
from mdissect.signatures import validated

_ACTIVATIONS = {nn.SiLU: "swish", nn.ReLU: "relu"}  # as oneDNN calls them
_PRODUCTS = (torch.mul, Tensor.mul, Tensor.__mul__, Tensor.__rmul__)
_MEANS = (torch.mean, Tensor.mean)
_THERE = hasattr(torch.ops.mkldnn, "_convolution_pointwise") and hasattr(torch.ops.mkldnn, "_reorder_convolution_weight")


@validated(run=lambda name, value: value)
def quick(module: nn.Module, run: Run, layers: Collection[str], device: torch.device, bf16: bool = False) -> nn.Module:
    """A copy of a network with its batch norms folded, and on a CPU its convolutions `fused`; itself where nothing can be.

    `run` and `layers` are those of `mdissect.folding.folded` and `fused`: all that is recorded is the same to 1e-5.
    """
    folding = folded(module, run, layers)
    module = module if folding is None else folding
    return fused(module, run, layers, bf16) if device.type == "cpu" else module


@validated(run=lambda name, value: value)
def fused(module: nn.Module, run: Run, layers: Collection[str] = (), bf16: bool = False) -> nn.Module:
    """A copy of a network in eval mode whose convolutions do more; the network itself where they cannot.

    >>> network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.SiLU()).eval()
    >>> fused(network, lambda module: module(torch.randn(1, 3, 16, 16)))[1]
    Identity()

    An activation moves into the convolution before it, if it is that one's only use; the product of a module's input with a
    number per channel moves into the 1 x 1 convolution that alone takes it (for one image at a time). Nothing moves that has a
    hook, or that one of `layers` gives or takes.

    Parameters
    ----------
    module : nn.Module
        With weights in float32, on the CPU.
    run : callable
        Calls a network like this one on a small image, by any way, and returns what comes out.
    layers : collection of str
        Module paths whose outputs are recorded. They, and what `run` returns, must come out of both networks within 1e-5 of
        the largest value; else the network itself comes back.
    bf16 : bool
        The copy will run under bf16 autocast: its weights are rounded once.
    """
    if not (_THERE and torch.backends.mkldnn.is_available()) or (bf16 and not _computes_bf16()):
        return module
    try:
        with evaluating(module), torch.no_grad(), torch.random.fork_rng(devices=[]):
            quick = copied(module)
            convolutions = _fuse(quick, _watch(quick, run, layers))
            if not convolutions or not alike(seen_in(module, run, layers), seen_in(quick, run, layers)):
                return module
    except Exception:  # a network that cannot be copied, or shown a small image: it runs as it is
        return module
    for conv, one in convolutions.items():
        one.settle(torch.bfloat16 if bf16 else torch.float32)
        conv.weight = nn.Parameter(conv.weight.new_empty(0), requires_grad=False)  # `one` has them
    return quick


class Convolution:
    """What a convolution computes, with the activation behind it and a factor per channel before it."""

    def __init__(self, conv: nn.Conv2d, activation: str = "none"):
        self.place = (conv.padding, conv.stride, conv.dilation, conv.groups)
        self.weight, self.bias, self.activation = conv.weight.detach(), conv.bias, activation
        self.gate: Tensor | None = None  # (1, channels, 1, 1), of the image that comes next
        self.gated = False  # whether there may be one
        self.dtype: torch.dtype | None = None  # once settled, that of all it computes
        self.packed = False

    def settle(self, dtype: torch.dtype) -> None:
        """Compute in one precision from now on."""
        self.dtype = dtype
        self.bias = None if self.bias is None else self.bias.detach().to(dtype)

    def __call__(self, x: Tensor, *_) -> Tensor:
        x, gate, self.gate = x.to(self.dtype or x.dtype), self.gate, None
        if self.dtype and not (self.packed or self.gated):
            weight = self.weight.to(self.dtype)
            self.weight = torch.ops.mkldnn._reorder_convolution_weight(weight, *self.place, input_size=list(x.shape))
            self.packed = True
        weight = self.weight if gate is None else self.weight * gate.to(self.weight.dtype)
        weight = weight if self.packed else weight.to(x.dtype)
        return torch.ops.mkldnn._convolution_pointwise(x, weight, self.bias, *self.place, self.activation, [], "")


class Gate(nn.Module):
    """A module that multiplies its input channel by channel; of one image, the convolution behind it does so."""

    def __init__(self, module: nn.Module, convolution: Convolution):
        super().__init__()
        self.module, self.convolution = module, convolution

    def forward(self, x: Tensor) -> Tensor:
        """The input, with the factors handed on; of several images, their product."""
        if len(x) != 1:
            return self.module(x)
        with _Factors(x) as found:
            out = self.module(x)
        if out is x:
            self.convolution.gate = found.factors
        return out


class _Factors(TorchFunctionMode):
    """Keeps the factors of a map instead of multiplying it, and takes its mean without a copy in float32."""

    def __init__(self, x: Tensor):
        super().__init__()
        self.x, self.factors = x, None

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func in _PRODUCTS and (factors := _factors(args, self.x)) is not None:
            self.factors = factors
            return self.x
        kwargs = kwargs or {}
        if func in _MEANS and args[0] is self.x and self.x.dtype == torch.bfloat16 and kwargs.get("keepdim"):
            dim = args[1] if len(args) > 1 else kwargs.get("dim")
            if isinstance(dim, (tuple, list)) and {one % 4 for one in dim} == {2, 3}:
                rows = F.avg_pool2d(self.x, (1, self.x.shape[3]))  # in two steps, for the sake of rounding
                return F.avg_pool2d(rows, (self.x.shape[2], 1))
        return func(*args, **kwargs)


def _factors(args: tuple, x: Tensor) -> Tensor | None:
    """The other factor of a product with a map (1, channels, h, w), where it is a number per channel."""
    others = [one for one in args if one is not x]
    if len(args) != 2 or len(others) != 1 or not isinstance(others[0], Tensor) or x.ndim != 4:
        return None
    return others[0] if others[0].shape == (1, x.shape[1], 1, 1) else None


class _Watch(Flow):
    """What becomes of convolutions' outputs, and of products, in a run; and which modules see them."""

    def __init__(self, watched: set[nn.Module]):
        super().__init__()
        self.watched, self.calls = watched, Counter()
        self.between: set[int] = set()  # what watched modules give or take
        self.products: dict[int, tuple[Tensor, Tensor]] = {}  # by id: the product (kept), and the map in it
        self.made: dict[int, nn.Conv2d] = {}  # by the id of its output: a convolution that can be replaced
        self.activated: list[tuple[nn.Module, int, bool]] = []  # an activation, what it took, whether it was in place and alone
        self.scaled: dict[int, nn.Module] = {}  # by the id of the product: the module that multiplies its input
        self.takers: dict[int, nn.Conv2d] = {}  # by the id of a product: the 1 x 1 convolution that takes it

    def __torch_function__(self, func, types, args=(), kwargs=None):
        result = super().__torch_function__(func, types, args, kwargs)
        self.uses.update(id(one) for one in tensors_in((args, kwargs or {})) if id(one) in self.products)
        maps = [one for one in args if isinstance(one, Tensor) and _factors(args, one) is not None] if func in _PRODUCTS else []
        if maps and isinstance(result, Tensor):
            self.products[id(result)] = (result, maps[0])
        return result

    def convolve(self, conv: nn.Conv2d, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """In the place of `conv._conv_forward`."""
        result = nn.Conv2d._conv_forward(conv, x, weight, bias)
        if weight is conv.weight and bias is conv.bias and weight.dtype == torch.float32:
            self.made[id(result)] = conv
        return result

    def note(self, part: nn.Module, inputs: tuple, output: object) -> None:
        """The hook of every module."""
        self.calls[part] += 1
        known = self.convolved.keys() | self.products.keys()
        if part in self.watched:
            self.between.update(id(one) for one in tensors_in((inputs, output)) if id(one) in known)
        if not (inputs and isinstance(inputs[0], Tensor) and isinstance(output, Tensor)):
            return
        taken = id(inputs[0])
        if type(part) in _ACTIVATIONS and taken in self.convolved:
            self.activated.append((part, taken, output is inputs[0] and self.uses[taken] == 1))
        if taken in self.products and isinstance(part, nn.Conv2d) and _is_pointwise(part):
            self.takers[taken] = part
        if id(output) in self.products and self.products[id(output)][1] is inputs[0]:
            self.scaled.setdefault(id(output), part)

    def free(self, *parts: nn.Module) -> bool:
        """Whether modules ran once and are not watched."""
        return all(self.calls[part] == 1 and part not in self.watched for part in parts)


def _is_pointwise(conv: nn.Conv2d) -> bool:
    return (conv.kernel_size, conv.stride, conv.padding, conv.groups) == ((1, 1), (1, 1), (0, 0), 1)


def _watch(network: nn.Module, run: Run, layers: Collection[str]) -> _Watch:
    """A run of a copy of a network, watched."""
    parts = list(network.modules())
    watched = {find_layer(network, layer) for layer in layers}
    flow = _Watch(watched | {part for part in parts if any(getattr(part, hooks, None) for hooks in HOOKS)})
    convolutions = [
        part for part in parts
        if isinstance(part, nn.Conv2d) and part.padding_mode == "zeros" and not isinstance(part.padding, str)
        and type(part)._conv_forward is nn.Conv2d._conv_forward
    ]  # fmt: skip
    for conv in convolutions:
        conv._conv_forward = partial(flow.convolve, conv)
    handles = [part.register_forward_hook(flow.note) for part in parts]
    try:
        with flow:
            run(network)
    finally:
        for handle in handles:
            handle.remove()
        for conv in convolutions:
            del conv._conv_forward
    return flow


def _fuse(network: nn.Module, flow: _Watch) -> dict[nn.Conv2d, Convolution]:
    """Replace what can be, in a copy of a network; the convolutions, and what computes them now."""
    paths = paths_in(network)
    found = {conv: Convolution(conv) for conv in flow.made.values() if flow.calls[conv] == 1}
    for activation, taken, in_place in flow.activated:
        conv = flow.made.get(taken)
        alone = (in_place or flow.uses[taken] == 1) and taken not in flow.between
        if alone and conv in found and flow.free(conv, activation):
            found[conv].activation = _ACTIVATIONS[type(activation)]
            for path in paths[activation]:
                network.set_submodule(path, nn.Identity())
    for product, part in flow.scaled.items():
        conv = flow.takers.get(product)
        if conv in found and flow.uses[product] == 1 and product not in flow.between and flow.free(conv, part):
            found[conv].gated = True
            for path in paths[part]:
                network.set_submodule(path, Gate(part, found[conv]))
    for conv, one in found.items():
        conv._conv_forward = one
    return found


def _computes_bf16() -> bool:
    """Whether oneDNN's convolutions take bf16 on this processor."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
