"""Record the activations of a network's layers."""

import difflib
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mdissect.arguments import texts
from mdissect.signatures import validated

POOLS = ("mean", "max", "cls")


class record:
    """Collect each layer's activations, pooled to one number per neuron, while a network runs.

    >>> with record(module, ["blocks.2", "head"], pool="mean") as activations:
    ...     module(torch.zeros(8, 3, 256, 160))
    >>> activations["blocks.2"].shape
    torch.Size([8, 128])

    Parameters
    ----------
    module : nn.Module
        Put it in eval mode first; the hooks are removed on leaving, also after an error.
    layers : sequence of str
        Module paths as in ``module.named_modules()``, such as "blocks.6.2".
    pool : {"mean", "max", "cls"}
        What becomes of a map (n, channels, height, width): its spatial mean or maximum (channels stand last where timm's
        ``module.output_fmt`` says so, as in Swin). Of tokens (n, tokens, channels):
        "cls" takes the first, "mean" and "max" pool over all. Fully connected outputs (n, neurons) stay as they are.

    Attributes
    ----------
    activations[layer] : (n, n_neurons) float32
        The batch that ran last, on the device of the module. Also reached as ``record[layer]``.

    Raises
    ------
    ValueError
        Unknown layer (the closest names are listed) or pool; a layer whose output is no tensor of 2, 3 or 4 axes; "cls"
        asked of a map.
    """

    @validated(layers=texts, pool=POOLS)
    def __init__(self, module: nn.Module, layers: Sequence[str], pool: str = "mean"):
        self.modules = {layer: find_layer(module, layer) for layer in layers}
        self.pool = pool
        self.channels_last = str(getattr(module, "output_fmt", "")) == "NHWC"
        self.activations: dict[str, Tensor] = {}
        self._handles = []

    def __enter__(self) -> "record":
        for layer, module in self.modules.items():
            self._handles.append(module.register_forward_hook(self._hook(layer)))
        return self

    def __exit__(self, *error) -> None:
        while self._handles:
            self._handles.pop().remove()

    def __getitem__(self, layer: str) -> Tensor:
        if layer not in self.activations:
            raise KeyError(f"layer {layer!r} gave nothing: the network did not run it, or it was not recorded")
        return self.activations[layer]

    def _hook(self, layer: str):
        def hook(_module, _inputs, output):
            self.activations[layer] = pool_neurons(output, self.pool, layer, self.channels_last)

        return hook


def pool_neurons(output: Tensor, pool: str, layer: str = "output", channels_last: bool = False) -> Tensor:
    """One number per image and neuron: maps (n, c, h, w), tokens (n, t, c) or vectors (n, c) to (n, c) float32.

    `channels_last`: maps come as (n, h, w, c).
    """
    if isinstance(output, (tuple, list)) and output and isinstance(output[0], Tensor):
        output = output[0]  # attention blocks return (hidden states, ...)
    if not isinstance(output, Tensor) or output.ndim not in (2, 3, 4):
        found = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise ValueError(f"layer {layer!r} gives {found}; expected (n, c), tokens (n, t, c) or maps (n, c, h, w)")
    output = output.detach()
    if output.ndim == 2:
        return output.to(torch.float32, copy=True)  # a copy: an activation in place may follow
    if pool == "cls":
        if output.ndim == 4:
            raise ValueError(f"pool='cls' needs tokens (n, t, c), but layer {layer!r} gives maps {tuple(output.shape)}")
        return output[:, 0].to(torch.float32, copy=True)
    axes = 1 if output.ndim == 3 else (1, 2) if channels_last else (2, 3)
    return output.float().mean(dim=axes) if pool == "mean" else output.amax(dim=axes).float()


@validated()
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
