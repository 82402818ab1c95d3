"""Outputs of a network's layers: the layer at a path, its tensor, and its axes, found by tiny passes."""

import copy
import difflib
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn

from mdissect.arguments import listed
from mdissect.axes import (
    Layout,
    Observation,
    UnsettledAxesError,
    channel_axis,
    check_images,
    given_layouts,
    prefix_tokens,
    settle,
    settled_by_size,
)
from mdissect.signatures import validated


@validated()
def find_layer(module: nn.Module, layer: str) -> nn.Module:
    """The submodule at a path; an unknown one is an error that lists the closest.

    >>> find_layer(nn.Sequential(nn.Linear(2, 2)), "1")
    Traceback (most recent call last):
    ValueError: layer '1' is not in Sequential; closest: '0'
    """
    if isinstance(module, torch.jit.ScriptModule):
        raise ValueError(
            f"layer {layer!r} of a TorchScript program ({type(module).__name__}) cannot be watched: give the nn.Module that "
            "the program was made of"
        )
    modules = dict(module.named_modules(remove_duplicate=False))  # a module used twice has two paths
    if layer in modules and layer:
        return modules[layer]
    names = [name for name in modules if name]
    close = difflib.get_close_matches(layer, names, n=5, cutoff=0.3) or names[:5]
    raise ValueError(f"layer {layer!r} is not in {type(module).__name__}; closest: {', '.join(map(repr, close))}")


def tensor_of(output, layer: str = "output") -> Tensor:
    """The tensor of a layer's output: itself, the first of several, `last_hidden_state`, or the only one of a dict.

    An attention block returns (hidden states, weights), a transformers model an object. Anything else is a ValueError.
    """
    found = output
    if isinstance(found, Mapping):
        tensors = [value for value in found.values() if isinstance(value, Tensor)]
        found = found.get("last_hidden_state", tensors[0] if len(tensors) == 1 else None)
    elif isinstance(found, (tuple, list)) and found:
        found = tensor_of(found[0], layer) if isinstance(found[0], (Tensor, Mapping, tuple, list)) else None
    if not isinstance(found, Tensor):
        keys = f" with {listed(list(output))}" if isinstance(output, Mapping) and output else ""
        raise ValueError(
            f"layer {layer!r} gives {'None' if output is None else type(output).__name__}{keys}, which has no one tensor; "
            "expected (n, c), tokens (n, t, c) or maps (n, c, h, w): ask for a layer inside or behind it"
        )
    if found.is_quantized:
        found = found.dequantize()
    if not found.is_floating_point():
        raise ValueError(f"layer {layer!r} gives numbers of type {found.dtype}; expected activations, floats (n, c, ...)")
    return found


def with_tensor(output, tensor: Tensor):
    """A layer's output with another tensor in the place of the one that `tensor_of` finds; the given output stays as it is."""
    if isinstance(output, Tensor):
        return tensor
    if isinstance(output, Mapping):
        tensors = [key for key, value in output.items() if isinstance(value, Tensor)]
        key, changed = "last_hidden_state" if "last_hidden_state" in output else tensors[0], copy.copy(output)
        changed[key] = with_tensor(output[key], tensor)
        return changed
    items = [with_tensor(output[0], tensor), *output[1:]]
    return type(output)(*items) if hasattr(output, "_fields") else type(output)(items)  # a named tuple takes them one by one


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Put every part of a network into eval mode, and restore the mode afterwards."""
    training = [part for part in module.modules() if part.training]
    try:
        for part in training:
            part.training = False
        yield
    finally:
        for part in training:
            part.training = True


def settle_axes(
    module: nn.Module,
    layers: Sequence[str],
    batch: Tensor,
    pool: str = "mean",
    axes: "Mapping[str, str | Layout] | None" = None,
    prefix_tokens: int | None = None,
) -> dict[str, Layout]:
    """The axes of each layer's output: batch, channels, space or tokens.

    >>> settle_axes(torchvision.models.swin_t(), ["features.1"], torch.zeros(8, 3, 224, 224))   # doctest: +SKIP
    {'features.1': Layout(letters='NHWC', prefix=None)}

    The first image of the batch runs twice more, as a batch of 2 and, cut to about half its size where the network takes
    that, as one of 3: what changes with the number of images is the batch, what changes with their size is space or tokens,
    the rest holds the channels. Where the size must not change, the modules' declared numbers of features decide. `axes` and
    `prefix_tokens` are as for `record`, and are not settled but taken.

    Raises
    ------
    ValueError
        A layer with ambiguous axes; the message names layer, shape and batch, and how to give `axes`.
    """
    given = as_layouts(axes or {}, layers, prefix_tokens)
    unsettled = [layer for layer in layers if not complete(given.get(layer), pool)]
    return given | (settle_layers(module, unsettled, Inputs((batch,), {}), given, pool) if unsettled else {})


def as_layouts(axes: "Mapping[str, str | Layout]", layers: Sequence[str], prefix: int | None = None) -> dict[str, Layout]:
    """The axes stated for some layers; without letters: only the prefix. A layer that is not recorded is an error."""
    finished = {layer: one for layer, one in axes.items() if isinstance(one, Layout)} if isinstance(axes, Mapping) else {}
    stated = given_layouts({layer: one for layer, one in axes.items() if layer not in finished} if finished else axes, prefix)
    if unknown := [layer for layer in axes if layer not in layers]:
        raise ValueError(f"axes has {listed(list(map(repr, unknown)))}, but the layers are {listed(list(map(repr, layers)))}")
    layouts = {layer: Layout("", prefix) for layer in layers} if prefix is not None else {}
    return layouts | stated | finished


class Inputs:
    """What a network was called with, and the same with other images: a number of copies of the first, of another size."""

    def __init__(self, args: tuple, kwargs: dict):
        self.args, self.kwargs = args, kwargs
        tensors = [one for one in (*args, *kwargs.values()) if isinstance(one, Tensor) and one.ndim]
        images = next((one for one in tensors if one.ndim == 4), tensors[0] if tensors else None)
        self.n = 0 if images is None else len(images)
        self.size = tuple(images.shape[-2:]) if images is not None and images.ndim == 4 else ()

    def run(self, module: nn.Module, n: int, size: tuple[int, ...]) -> None:
        module(
            *(self._other(one, n, size) for one in self.args), **{k: self._other(v, n, size) for k, v in self.kwargs.items()}
        )

    def _other(self, given, n: int, size: tuple[int, ...]):
        if not isinstance(given, Tensor) or given.ndim == 0 or len(given) != self.n:
            return given
        other = given[:1].repeat(n, *[1] * (given.ndim - 1))
        if size and given.ndim == 4 and tuple(given.shape[-2:]) == self.size:
            other = other[..., : size[0], : size[1]].contiguous()
        return other

    def passes(self) -> Iterator[tuple[int, tuple[int, ...]]]:
        """Numbers of images and their sizes, until the axes are settled. Never larger images: positions beyond a table's end
        would be an error that a GPU does not recover from."""
        yield 2, self.size
        if self.size:
            halves = tuple(-(-side // 64) * 32 for side in self.size)  # most networks take multiples of 32 alone
            exact = tuple(-(-side // 2) for side in self.size)
            nearly = tuple(-(-side * 7 // 8) for side in self.size)
            smaller = dict.fromkeys((halves, exact, nearly))
            yield from (
                (3, size) for size in smaller if all(a <= b for a, b in zip(size, self.size, strict=True)) and size != self.size
            )
        yield 3, self.size


def complete(layout: Layout | None, pool: str) -> bool:
    """Whether a layout says what pooling needs: "patches" asks how many tokens stand before them."""
    return (
        layout is not None
        and bool(layout.letters)
        and not (pool == "patches" and "T" in layout.letters and layout.prefix is None)
    )


def settle_layers(
    module: nn.Module, layers: Sequence[str], inputs: Inputs, given: Mapping[str, Layout], pool: str
) -> dict[str, Layout]:
    """The layouts of the layers that run in tiny passes."""
    seen: dict[str, list[Observation]] = {}
    for n, size in inputs.passes() if inputs.n else ():
        if seen and all(len(one) > 1 and settled_by_size(one) for one in seen.values()):
            break
        watch = _Watch(layers)
        watch.run(module, inputs, n, size)
        for layer, shape in watch.shapes.items():
            if layer not in seen:
                watch.warn(layer, type(module).__name__)
            seen.setdefault(layer, []).append(Observation(n, size, shape, frozenset(watch.neighbours[layer])))
    return {layer: layout_from(layer, one, module, given.get(layer), pool) for layer, one in seen.items()}


class _Watch:
    """Outputs of layers in a tiny pass: shape in the last run, number of runs, and kinds of neighbouring layers."""

    def __init__(self, layers: Sequence[str]):
        self.layers = layers
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.runs: Counter[str] = Counter()
        self.several: dict[str, int] = {}
        self.neighbours: dict[str, set[int]] = {layer: set() for layer in layers}
        self._tensors: dict[str, Tensor] = {}
        self._made: tuple[Tensor, int] | None = None

    def run(self, module: nn.Module, inputs: Inputs, n: int, size: tuple[int, ...]) -> None:
        """One pass; where the network refuses the images in the end, what layers gave until then counts all the same."""
        handles = []
        for part in module.modules():
            if not any(True for _ in part.children()) and (axis := channel_axis(part)) is not None:
                handles.append(part.register_forward_pre_hook(partial(self._takes, axis)))
                handles.append(part.register_forward_hook(partial(self._makes, axis)))
        handles += [find_layer(module, layer).register_forward_hook(partial(self._gives, layer)) for layer in self.layers]
        device = next((one.device for one in module.parameters()), torch.device("cpu"))
        try:
            with warnings.catch_warnings(), evaluating(module), torch.no_grad(), _same_random_numbers(device):
                warnings.simplefilter("ignore")  # of sizes that the user did not ask for
                inputs.run(module, n, size)
        except Exception:  # a size may be refused by any error; what is wrong with the images themselves shows in the pass
            self._made = None
        finally:
            for handle in handles:
                handle.remove()

    def _gives(self, layer: str, _module, _args, output) -> None:
        tensor = tensor_of(output, layer)
        self.runs[layer] += 1
        self.shapes[layer], self._tensors[layer] = tuple(tensor.shape), tensor
        if isinstance(output, list):
            self.several[layer] = len(output)
        if self._made and self._made[0] is tensor:
            self.neighbours[layer].add(self._made[1] % tensor.ndim)

    def _makes(self, axis: int, _module, _args, output) -> None:
        self._made = (output, axis)

    def _takes(self, axis: int, _module, args: tuple) -> None:
        for layer, tensor in self._tensors.items():
            if args and args[0] is tensor:
                self.neighbours[layer].add(axis % tensor.ndim)

    def warn(self, layer: str, network: str) -> None:
        """Warn of parts of a layer's output that are ignored."""
        if self.runs[layer] > 1:
            warnings.warn(
                f"layer {layer!r} runs {self.runs[layer]} times in one pass of {network}; the last one counts: give each use a "
                "module of its own to record them apart",
                stacklevel=2,
            )
        if self.several.get(layer, 1) > 1:
            warnings.warn(f"layer {layer!r} gives a list of {self.several[layer]}; the first of them counts", stacklevel=2)


def _same_random_numbers(device: torch.device):
    """Restore the state of random numbers after a tiny pass."""
    return torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])


def layout_from(layer: str, seen: Sequence[Observation], root: nn.Module, given: Layout | None, pool: str) -> Layout:
    """A layer's stated layout, completed."""
    layout = Layout(given.letters if given and given.letters else settle(layer, seen, root), given.prefix if given else None)
    check_images(layer, seen[0].shape, layout, seen[0].n)
    if not complete(layout, pool):
        layout = replace(layout, prefix=prefix_tokens(seen, layout.letters, root))
    if not complete(layout, pool):
        n_tokens = seen[0].shape[layout.letters.index("T")]
        raise UnsettledAxesError(
            f"layer {layer!r} gives {seen[0].shape} for {seen[0].n} images: how many of its {n_tokens} tokens are no patches "
            "(class, distillation, registers) is unknown, but pool='patches' needs it; give prefix_tokens="
        )
    return layout
