"""Record the activations of a network's layers, or change those of chosen neurons, while it runs."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from mdissect.arguments import number, shown, texts, whole_number
from mdissect.axes import Layout, Observation, check_images
from mdissect.outputs import Inputs, as_layouts, complete, find_layer, layout_from, settle_layers, tensor_of, with_tensor
from mdissect.signatures import validated

POOLS = ("mean", "max", "cls", "patches")

Neurons = int | tuple[int, ...]
Change = Callable[[Tensor], Tensor] | Mapping[Neurons, float | Sequence[float]]


class _Watching:
    """Hooks on layers whose axes are settled before the first batch runs; removed on leaving, also after an error."""

    def __init__(self, module: nn.Module, layers: Sequence[str], pool: str, axes: Mapping | None, prefix_tokens: int | None):
        self.root, self.pool = module, pool
        self.modules = {layer: find_layer(module, layer) for layer in layers}
        self.layouts = as_layouts(axes or {}, layers, prefix_tokens)
        self._inputs: Inputs | None = None  # of the pass that runs
        self._settling = False
        self._handles = []

    def _seen(self, layer: str, output: object, layout: Layout) -> object:
        """What is done with a layer's output; anything but None takes its place."""
        raise NotImplementedError

    def __enter__(self):
        self._handles = [
            self.root.register_forward_pre_hook(self._before, with_kwargs=True, prepend=True),
            self.root.register_forward_hook(self._after),
            *(module.register_forward_hook(self._hook(layer)) for layer, module in self.modules.items()),
        ]
        return self

    def __exit__(self, *error) -> None:
        while self._handles:
            self._handles.pop().remove()

    def _before(self, _module, args: tuple, kwargs: dict) -> None:
        if self._settling:
            return
        self._inputs = Inputs(args, kwargs)
        if unsettled := self._unsettled():
            self._settling = True
            try:
                self.layouts |= settle_layers(self.root, unsettled, self._inputs, self.layouts, self.pool)
            finally:
                self._settling = False

    def _after(self, *_) -> None:
        if not self._settling:
            self._inputs = None

    def _unsettled(self) -> list[str]:
        return [layer for layer in self.modules if not complete(self.layouts.get(layer), self.pool)]

    def _hook(self, layer: str):
        def hook(_module, _args, output):
            if self._settling:
                return None
            tensor = tensor_of(output, layer)
            if not complete(self.layouts.get(layer), self.pool):  # a part of the network runs alone, or no tiny pass worked
                known = self._inputs and self._inputs.n
                n, size = (self._inputs.n, self._inputs.size) if known else (len(tensor) if tensor.ndim else 0, ())
                seen = [Observation(n, size, tuple(tensor.shape))]
                self.layouts[layer] = layout_from(layer, seen, self.root, self.layouts.get(layer), self.pool)
            if self._inputs and self._inputs.n:
                check_images(layer, tuple(tensor.shape), self.layouts[layer], self._inputs.n)
            return self._seen(layer, output, self.layouts[layer])

        return hook


class record(_Watching):
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
        How many tokens come before the patches, for "patches" if the network does not declare it.

    Attributes
    ----------
    activations[layer] : (n, n_neurons) float32
        The batch that ran last, on the device of the module. Also reached as ``record[layer]``.

    Raises
    ------
    ValueError
        Unknown layer (the closest names are listed), pool or axes; a layer whose output holds no tensor of 2, 3 or 4 axes, or
        whose axes are ambiguous; "cls" for a map.
    """

    @validated(layers=texts, pool=POOLS)
    def __init__(
        self,
        module: nn.Module,
        layers: Sequence[str],
        pool: str = "mean",
        axes: "Mapping[str, str | Layout] | None" = None,
        prefix_tokens: int | None = None,
    ):
        super().__init__(module, layers, pool, axes, prefix_tokens)
        self.activations: dict[str, Tensor] = {}

    def __getitem__(self, layer: str) -> Tensor:
        if layer not in self.activations:
            raise KeyError(f"layer {layer!r} gave nothing: the network did not run it, or it was not recorded")
        return self.activations[layer]

    def _seen(self, layer: str, output: object, layout: Layout) -> None:
        self.activations[layer] = pool_neurons(output, self.pool, layer, layout)


class edit(_Watching):
    """Set chosen neurons of a layer to a value while a network runs; all others keep every bit.

    >>> with edit(module, "blocks.2", {(3, 17): 0.0, 5: 1.2}):       # neurons 3 and 17 silent, neuron 5 at 1.2
    ...     logits = module(x)
    >>> with edit(module, "blocks.2", lambda a: a.clamp(min=0)):      # a (n, height, width, neurons)
    ...     logits = module(x)

    A neuron is a channel: of maps and tokens it gets the value at every place. What runs behind the layer sees the change; the
    axes are settled as `record` does.

    Parameters
    ----------
    module : nn.Module
        Put it in eval mode first; the hooks are removed on leaving, also after an error.
    layer : str
        Module path as in ``module.named_modules()``.
    change : mapping or function
        A mapping from a neuron, or a tuple of them, to a number, or to as many numbers as neurons. A function takes the
        layer's activations (n, ..., n_neurons), images first and neurons last, and returns as many; what it does to the
        tensor that it gets is not seen elsewhere. Values are rounded to the precision of the layer.
    axes : mapping of str to str, optional
        As for `record`.

    Attributes
    ----------
    n_edits : int
        How often the layer ran and was changed: 0 after a pass says that the network does not use the layer.

    Raises
    ------
    ValueError
        Unknown layer, axes that are ambiguous, a neuron named twice, values that are not finite or not as many as neurons, a
        function that returns another shape.
    IndexError
        While the network runs: a neuron that the layer does not have.
    """

    @validated(layer=lambda name, value: texts(name, value)[0], change=lambda name, value: _as_change(name, value))
    def __init__(self, module: nn.Module, layer: str, change: Change, axes: "Mapping[str, str | Layout] | None" = None):
        super().__init__(module, [layer], "mean", axes, None)
        self.change, self.n_edits = change, 0

    def _seen(self, layer: str, output: object, layout: Layout) -> object:
        old = tensor_of(output, layer)
        channel = layout.letters.index("C")
        if isinstance(self.change, tuple):
            neurons, values = self.change
            if neurons and max(neurons) >= old.shape[channel]:
                raise IndexError(
                    f"neuron {max(neurons)} is not in layer {layer!r}, whose neurons are 0 to {old.shape[channel] - 1}"
                )
            new = old.clone()
            new.movedim(channel, -1)[..., list(neurons)] = old.new_tensor(values)
        else:
            new = _back(self.change(_images_first(old.clone(), layout)), old, layout, layer)
        self.n_edits += 1
        return with_tensor(output, new)


def _as_change(name: str, value: object) -> Callable | tuple[tuple[int, ...], tuple[float, ...]]:
    """A change as a function, or as neurons and a value for each."""
    if callable(value):
        return value
    if not isinstance(value, Mapping):
        raise TypeError(f"{name}={shown(value)} must be a mapping of neurons to values, such as {{3: 0.0}}, or a function")
    values: dict[int, float] = {}
    for key, given in value.items():
        neurons = [whole_number(f"a neuron of {name}", one, least=0) for one in (key if isinstance(key, tuple) else (key,))]
        several = given.tolist() if isinstance(given, (Tensor, np.ndarray)) else given
        several = list(several) if isinstance(several, (list, tuple)) else [several] * len(neurons)
        if len(several) != len(neurons):
            raise ValueError(f"{name}[{shown(key)}] has {len(several)} values for {len(neurons)} neurons; give as many of each")
        if twice := [one for i, one in enumerate(neurons) if one in values or one in neurons[:i]]:
            raise ValueError(f"{name} names neuron {twice[0]} twice; give it one value")
        values |= {one: number(f"{name}[{one}]", v) for one, v in zip(neurons, several, strict=True)}
    return tuple(values), tuple(values.values())


def _images_first(tensor: Tensor, layout: Layout) -> Tensor:
    """A layer's output as (n, ..., n_neurons)."""
    return tensor.permute(layout.batch, *layout.places, layout.letters.index("C"))


def _back(changed: object, old: Tensor, layout: Layout, layer: str) -> Tensor:
    """What a function made of `_images_first`, with the axes of the layer."""
    expected = _images_first(old, layout).shape
    if not isinstance(changed, Tensor) or changed.shape != expected:
        found = tuple(changed.shape) if isinstance(changed, Tensor) else type(changed).__name__
        raise ValueError(f"change returned {found} for layer {layer!r}; expected a tensor {tuple(expected)}")
    order = (layout.batch, *layout.places, layout.letters.index("C"))
    back = changed.to(old).permute(*(order.index(axis) for axis in range(len(order))))
    return torch.empty_like(old).copy_(back)  # in the memory order that what follows expects


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
