"""Runs a network again from one of its layers on: what stands before it is kept from the first pass."""

import copy
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

import torch
from torch import Tensor, nn

from mdissect.axes import Layout
from mdissect.hooks import Change, edit
from mdissect.outputs import find_layer


class Resumed:
    """A network and a batch; each call changes neurons of a layer and runs what stands behind it alone.

    >>> with resumed(module, "blocks.2", x, layout) as rerun:
    ...     silent = rerun({(3, 17): 0.0})

    In eval mode a part of a network that has ended before the layer ends gives the same whenever it gets the same: its output
    is kept, and handed out as a copy in place of running it. A layer that runs several times is run again as a whole.
    """

    def __init__(self, module: nn.Module, layer: str, x: Tensor, layout: Layout):
        self.module, self.layer, self.x, self.axes = module, layer, x, {layer: layout}
        self.kept: dict[nn.Module, list] = {}
        self.output = self._first_pass()

    def __call__(self, change: Change) -> object:
        """The network's output with neurons of the layer changed, as `mdissect.hooks.edit` does."""
        with self._standing_in(), edit(self.module, self.layer, change, self.axes):
            return self.module(self.x)

    def _first_pass(self) -> object:
        layer = find_layer(self.module, self.layer)
        outputs, last, ends = defaultdict(list), {}, []

        def hook(module, _args, output):
            ends.append(module)
            last[module] = len(ends)
            outputs[module].append(_copied(output))

        handles = [part.register_forward_hook(hook) for part in _outermost(self.module, layer)]
        try:
            output = self.module(self.x)
        finally:
            for handle in handles:
                handle.remove()
        once = ends.count(layer) == 1
        end = ends.index(layer) + (1 if once else 0) if layer in ends else 0
        self.kept = {part: outputs[part] for part in outputs if last[part] <= end}
        return output

    @contextmanager
    def _standing_in(self) -> Iterator[None]:
        """Parts hand out what they gave in the first pass."""
        own = {part: part.__dict__.get("forward") for part in self.kept}
        try:
            for part, outputs in self.kept.items():
                part.forward = _hands_out(outputs)
            yield
        finally:
            for part, forward in own.items():
                with suppress(KeyError):
                    del part.__dict__["forward"]
                if forward is not None:
                    part.forward = forward


@contextmanager
def resumed(module: nn.Module, layer: str, x: Tensor, layout: Layout) -> Iterator[Resumed]:
    """A batch's `Resumed`; what it keeps is let go afterwards."""
    found = Resumed(module, layer, x, layout)
    try:
        yield found
    finally:
        found.kept.clear()


def _hands_out(outputs: list):
    calls = iter(outputs)
    return lambda *_args, **_options: _copied(next(calls))


def _outermost(module: nn.Module, layer: nn.Module) -> list[nn.Module]:
    """The layer, and the largest parts of a network that do not hold it."""
    found: dict[nn.Module, None] = {}
    for part in module.children():
        if part is layer:
            found[part] = None
        elif layer in part.modules() or type(part).forward is nn.Module.forward:  # a list of parts is never run itself
            found |= dict.fromkeys(_outermost(part, layer))
        elif not isinstance(part, torch.jit.ScriptModule):
            found[part] = None
    return list(found)


def _copied(output):
    """An output whose tensors are copies: what runs next may write into them."""
    if isinstance(output, Tensor):
        return output.clone()
    if isinstance(output, Mapping):
        copied = copy.copy(output)
        for key, value in output.items():
            copied[key] = _copied(value)
        return copied
    if isinstance(output, (tuple, list)):
        parts = [_copied(one) for one in output]
        return type(output)(*parts) if hasattr(output, "_fields") else type(output)(parts)
    return output
