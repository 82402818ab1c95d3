"""Record the activations of a network's layers."""

import difflib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor, nn

from mdissect.arguments import listed
from mdissect.axes import Layout, Observation, UnsettledAxesError, given_layouts, prefix_tokens, settle, settled_by_size

POOLS = ("mean", "max", "cls", "patches")


class record:
    """Collect each layer's activations, pooled to one number per neuron, while a network runs.

    >>> with record(module, ["blocks.2", "head"], pool="mean") as activations:
    ...     module(torch.zeros(8, 3, 256, 160))
    >>> activations["blocks.2"].shape
    torch.Size([8, 128])

    Which axis of a layer's output is which is settled by `settle_axes` before the first batch runs.

    Parameters
    ----------
    module : nn.Module
        Put it in eval mode first; the hooks are removed on leaving, also after an error.
    layers : sequence of str
        Module paths as in ``module.named_modules()``, such as "blocks.6.2".
    pool : {"mean", "max", "cls", "patches"}
        What becomes of a map, such as (n, channels, height, width): its spatial mean or maximum. Of tokens, such as
        (n, tokens, channels): "cls" takes the first, "mean" and "max" pool over all, "patches" is the mean without the class,
        distillation and register tokens at the start. Fully connected outputs (n, neurons) stay as they are.
    axes : mapping of str to str, optional
        By layer, a letter per axis of its output where it cannot be settled: N batch, C channels, H and W space, T tokens:
        ``{"encoder.3": "TNC"}``.
    prefix_tokens : int, optional
        How many tokens stand before the patches, for "patches" where the network does not tell it.

    Attributes
    ----------
    activations[layer] : (n, n_neurons) float32
        The batch that ran last, on the device of the module. Also reached as ``record[layer]``.

    Raises
    ------
    ValueError
        Unknown layer (the closest names are listed), pool or axes; a layer whose output holds no tensor of 2, 3 or 4 axes, or
        whose axes cannot be told; "cls" asked of a map.
    """

    def __init__(
        self,
        module: nn.Module,
        layers: Sequence[str],
        pool: str = "mean",
        axes: "Mapping[str, str | Layout] | None" = None,
        prefix_tokens: int | None = None,
    ):
        check_pool(pool)
        self.root, self.pool = module, pool
        self.modules = {layer: find_layer(module, layer) for layer in layers}
        self.layouts = as_layouts(axes or {}, layers, prefix_tokens)
        self.activations: dict[str, Tensor] = {}
        self._inputs: _Inputs | None = None  # of the pass that runs
        self._settling = False
        self._handles = []

    def __enter__(self) -> "record":
        self._handles = [
            self.root.register_forward_pre_hook(self._before, with_kwargs=True, prepend=True),
            self.root.register_forward_hook(self._after),
            *(module.register_forward_hook(self._hook(layer)) for layer, module in self.modules.items()),
        ]
        return self

    def __exit__(self, *error) -> None:
        while self._handles:
            self._handles.pop().remove()

    def __getitem__(self, layer: str) -> Tensor:
        if layer not in self.activations:
            raise KeyError(f"layer {layer!r} gave nothing: the network did not run it, or it was not recorded")
        return self.activations[layer]

    def _before(self, _module, args: tuple, kwargs: dict) -> None:
        if self._settling:
            return
        self._inputs = _Inputs(args, kwargs)
        if unsettled := self._unsettled():
            self._settling = True
            try:
                self.layouts |= _settled(self.root, unsettled, self._inputs, self.layouts, self.pool)
            finally:
                self._settling = False

    def _after(self, *_) -> None:
        if not self._settling:
            self._inputs = None

    def _unsettled(self) -> list[str]:
        return [layer for layer in self.modules if not _complete(self.layouts.get(layer), self.pool)]

    def _hook(self, layer: str):
        def hook(_module, _args, output):
            if self._settling:
                return
            output = tensor_of(output, layer)
            if not _complete(self.layouts.get(layer), self.pool):  # a part of the network runs alone, or no tiny pass worked
                n, size = (self._inputs.n, self._inputs.size) if self._inputs else (len(output), ())
                seen = [Observation(n, size, tuple(output.shape))]
                self.layouts[layer] = _layout(layer, seen, self.root, self.layouts.get(layer), self.pool)
            if self._inputs is not None:
                check_images(layer, output, self.layouts[layer], self._inputs.n)
            self.activations[layer] = pool_neurons(output, self.pool, layer, self.layouts[layer])

        return hook


def settle_axes(
    module: nn.Module,
    layers: Sequence[str],
    batch: Tensor,
    pool: str = "mean",
    axes: "Mapping[str, str | Layout] | None" = None,
    prefix_tokens: int | None = None,
) -> dict[str, Layout]:
    """Which axis of each layer's output is batch, channels, space or tokens.

    >>> settle_axes(torchvision.models.swin_t(), ["features.1"], torch.zeros(8, 3, 224, 224))   # doctest: +SKIP
    {'features.1': Layout(letters='NHWC', prefix=None)}

    The first image of the batch runs twice more, as a batch of 2 and, cut to about half its size where the network takes
    that, as one of 3: what changes with the number of images is the batch, what changes with their size is space or tokens,
    the rest holds the channels. Where the size must not change, what the modules say of their features decides. `axes` and
    `prefix_tokens` are as for `record`, and are not settled but taken.

    Raises
    ------
    ValueError
        A layer whose axes cannot be told; the message names layer, shape and batch, and how to give `axes`.
    """
    given = as_layouts(axes or {}, layers, prefix_tokens)
    unsettled = [layer for layer in layers if not _complete(given.get(layer), pool)]
    return given | (_settled(module, unsettled, _Inputs((batch,), {}), given, pool) if unsettled else {})


def as_layouts(axes: "Mapping[str, str | Layout]", layers: Sequence[str], prefix: int | None = None) -> dict[str, Layout]:
    """What is given of the axes of some layers; a layer that is not recorded is an error. Without letters: the prefix alone."""
    if not isinstance(axes, Mapping):
        raise TypeError(f"axes={axes!r} must be a dict from layers to letters, such as {{'encoder': 'TNC'}}")
    if unknown := [layer for layer in axes if layer not in layers]:
        raise ValueError(f"axes has {listed(list(map(repr, unknown)))}, but the layers are {listed(list(map(repr, layers)))}")
    layouts = {layer: Layout("", prefix) for layer in layers} if prefix is not None else {}
    layouts |= given_layouts({layer: letters for layer, letters in axes.items() if not isinstance(letters, Layout)}, prefix)
    return layouts | {layer: layout for layer, layout in axes.items() if isinstance(layout, Layout)}


class _Inputs:
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
            three_quarters = tuple(-(-side * 3 // 4) for side in self.size)
            smaller = dict.fromkeys((halves, exact, three_quarters))
            yield from (
                (3, size) for size in smaller if all(a <= b for a, b in zip(size, self.size, strict=True)) and size != self.size
            )
        yield 3, self.size


def _complete(layout: Layout | None, pool: str) -> bool:
    """Whether a layout says what pooling needs: "patches" asks how many tokens stand before them."""
    return (
        layout is not None
        and bool(layout.letters)
        and not (pool == "patches" and "T" in layout.letters and layout.prefix is None)
    )


def _settled(
    module: nn.Module, layers: Sequence[str], inputs: _Inputs, given: Mapping[str, Layout], pool: str
) -> dict[str, Layout]:
    """The layouts of the layers that run in tiny passes."""
    seen: dict[str, list[Observation]] = {}
    for n, size in inputs.passes() if inputs.n else ():
        if seen and all(len(one) > 1 and settled_by_size(one) for one in seen.values()):
            break
        for layer, shapes in _shapes(module, layers, inputs, n, size).items():
            if len(shapes) > 1 and layer not in seen:
                warnings.warn(
                    f"layer {layer!r} runs {len(shapes)} times in one pass of {type(module).__name__}; the last one counts: "
                    "give each use a module of its own to record them apart",
                    stacklevel=2,
                )
            seen.setdefault(layer, []).append(Observation(n, size, shapes[-1]))
    return {layer: _layout(layer, one, module, given.get(layer), pool) for layer, one in seen.items()}


def _shapes(
    module: nn.Module, layers: Sequence[str], inputs: _Inputs, n: int, size: tuple[int, ...]
) -> dict[str, list[tuple[int, ...]]]:
    """The shapes of what layers give in a tiny pass, each time they run; nothing where the network refuses the images."""
    found: dict[str, list[tuple[int, ...]]] = {}

    def hook(layer: str):
        def keep(_module, _args, output) -> None:
            found.setdefault(layer, []).append(tuple(tensor_of(output, layer).shape))

        return keep

    device = next((one.device for one in module.parameters()), torch.device("cpu"))
    handles = [find_layer(module, layer).register_forward_hook(hook(layer)) for layer in layers]
    try:
        with warnings.catch_warnings(), evaluating(module), torch.no_grad(), _same_random_numbers(device):
            warnings.simplefilter("ignore")  # of sizes that the user did not ask for
            inputs.run(module, n, size)
    except Exception:  # a network may refuse a size by any error; what is wrong with the images shows in the pass itself
        return {}
    finally:
        for handle in handles:
            handle.remove()
    return found


def _same_random_numbers(device: torch.device):
    """The random numbers that a network draws in a tiny pass are not missing afterwards."""
    return torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])


def _layout(layer: str, seen: Sequence[Observation], root: nn.Module, given: Layout | None, pool: str) -> Layout:
    """What is given of a layer's layout, completed."""
    layout = Layout(given.letters if given and given.letters else settle(layer, seen, root), given.prefix if given else None)
    if not _complete(layout, pool):
        layout = replace(layout, prefix=prefix_tokens(seen, layout.letters, root))
    if not _complete(layout, pool):
        n_tokens = seen[0].shape[layout.letters.index("T")]
        raise UnsettledAxesError(
            f"layer {layer!r} gives {seen[0].shape} for {seen[0].n} images: how many of its {n_tokens} tokens are no patches "
            "(class, distillation, registers) cannot be told, as pool='patches' needs it; give prefix_tokens="
        )
    return layout


def check_images(layer: str, output: Tensor, layout: Layout, n: int) -> None:
    """An error unless a layer's output has as many rows as there are images."""
    gives = f"layer {layer!r} gives {tuple(output.shape)} for {n} images"
    if output.ndim != len(layout.letters):
        raise UnsettledAxesError(
            f"{gives}: {output.ndim} axes, but {layout.letters!r} stands for {len(layout.letters)}; correct axes="
        )
    if output.shape[layout.batch] != n:
        raise UnsettledAxesError(
            f"{gives}: under {layout.letters!r} that is {output.shape[layout.batch]} images; correct axes=, or ask for another "
            "layer"
        )


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Every part of a network in eval mode, and afterwards in the mode that it was found in."""
    training = [part for part in module.modules() if part.training]
    try:
        for part in training:
            part.training = False
        yield
    finally:
        for part in training:
            part.training = True


def check_pool(pool: str) -> None:
    """An error unless `pool` is known."""
    if pool not in POOLS:
        raise ValueError(f"pool={pool!r} is unknown; use one of {', '.join(POOLS)}")


def tensor_of(output, layer: str = "output") -> Tensor:
    """The tensor of a layer's output: itself, the first of several, `last_hidden_state`, or the only one of a dict.

    An attention block returns (hidden states, weights), a transformers model an object. Anything else is a ValueError.
    """
    found = output
    if isinstance(found, Mapping):
        tensors = [value for value in found.values() if isinstance(value, Tensor)]
        found = found.get("last_hidden_state", tensors[0] if len(tensors) == 1 else None)
    elif isinstance(found, (tuple, list)) and found:
        found = tensor_of(found[0], layer) if isinstance(found[0], (Tensor, Mapping)) else None
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


def pool_neurons(output, pool: str, layer: str = "output", layout: Layout | None = None) -> Tensor:
    """One number per image and neuron: maps, tokens or vectors to (n, c) float32.

    `layout`: their axes; by default (n, c, h, w), (n, t, c) or (n, c).
    """
    output = tensor_of(output, layer).detach()
    layout = layout or Layout({2: "NC", 3: "NTC", 4: "NCHW"}.get(output.ndim, ""))
    if len(layout.letters) != output.ndim or output.ndim < 2:
        found = tuple(output.shape)
        raise ValueError(f"layer {layer!r} gives {found}; expected (n, c), tokens (n, t, c) or maps (n, c, h, w)")
    if "T" in layout.letters and pool in ("cls", "patches"):
        axis = layout.letters.index("T")
        if pool == "cls":
            return layout.images_first(output.select(axis, 0).to(torch.float32, copy=True))
        prefix = layout.prefix or 0
        output = output.narrow(axis, prefix, output.shape[axis] - prefix)
    if not layout.places:
        return layout.images_first(output.to(torch.float32, copy=True))  # a copy: an activation in place may follow
    if pool == "cls":
        raise ValueError(f"pool='cls' needs tokens (n, t, c), but layer {layer!r} gives maps {tuple(output.shape)}")
    pooled = output.amax(dim=layout.places).float() if pool == "max" else output.float().mean(dim=layout.places)
    return layout.images_first(pooled)


def find_layer(module: nn.Module, layer: str) -> nn.Module:
    """The submodule at a path; an unknown one is an error that lists the closest.

    >>> find_layer(nn.Sequential(nn.Linear(2, 2)), "1")
    Traceback (most recent call last):
    ValueError: layer '1' is not in Sequential; closest: '0'
    """
    modules = dict(module.named_modules(remove_duplicate=False))  # a module used twice has two paths
    if layer in modules and layer:
        return modules[layer]
    names = [name for name in modules if name]
    close = difflib.get_close_matches(layer, names, n=5, cutoff=0.3) or names[:5]
    raise ValueError(f"layer {layer!r} is not in {type(module).__name__}; closest: {', '.join(map(repr, close))}")
