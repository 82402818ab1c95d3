"""Record the activations of a network's layers."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from mdissect.arguments import texts
from mdissect.axes import Layout, Observation, check_images
from mdissect.outputs import Inputs, as_layouts, complete, find_layer, layout_from, settle_layers, tensor_of
from mdissect.signatures import validated

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
        self.root, self.pool = module, pool
        self.modules = {layer: find_layer(module, layer) for layer in layers}
        self.layouts = as_layouts(axes or {}, layers, prefix_tokens)
        self.activations: dict[str, Tensor] = {}
        self._inputs: Inputs | None = None  # of the pass that runs
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
                return
            output = tensor_of(output, layer)
            if not complete(self.layouts.get(layer), self.pool):  # a part of the network runs alone, or no tiny pass worked
                known = self._inputs and self._inputs.n
                n, size = (self._inputs.n, self._inputs.size) if known else (len(output) if output.ndim else 0, ())
                seen = [Observation(n, size, tuple(output.shape))]
                self.layouts[layer] = layout_from(layer, seen, self.root, self.layouts.get(layer), self.pool)
            if self._inputs and self._inputs.n:
                check_images(layer, tuple(output.shape), self.layouts[layer], self._inputs.n)
            self.activations[layer] = pool_neurons(output, self.pool, layer, self.layouts[layer])

        return hook


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
