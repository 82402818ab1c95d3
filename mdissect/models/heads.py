"""A linear layer on any network: a classifier."""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mdissect.models.target import Target

BODY, HEAD = "body", "head"


@dataclass(frozen=True)
class Classifier:
    """A network with one linear layer on its features."""

    module: nn.Module  # from images (n, channels, height, width) to logits (n, n_outputs)
    head_path: str  # module path of the linear layer
    layers: tuple[str, ...]  # the target's default layers, by their names in `module`
    notes: tuple[str, ...] = ()

    @property
    def head(self) -> nn.Linear:
        return self.module.get_submodule(self.head_path)

    def features(self, x: Tensor) -> Tensor:
        """The linear layer's inputs for images, (n, n_features)."""
        recorded = []
        handle = self.head.register_forward_pre_hook(lambda _, inputs: recorded.append(inputs[0]))
        try:
            self.module(x)
        finally:
            handle.remove()
        return recorded[0]


class WithHead(nn.Module):
    """A network, the mean over the positions of its map or over its tokens, and a linear layer."""

    def __init__(self, body: nn.Module, width: int, n_outputs: int):
        super().__init__()
        self.body = body
        self.head = nn.Linear(width, n_outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(pooled(self.body(x)))


def pooled(features: Tensor) -> Tensor:
    """Features (n, c), maps (n, c, h, w) or tokens (n, t, c) as (n, c)."""
    if features.ndim == 4:
        return features.mean(dim=(2, 3))
    return features.mean(dim=1) if features.ndim == 3 else features


def attach_head(target: Target, n_outputs: int, seed: int = 0) -> Classifier:
    """A copy of a target's network that ends in a new linear layer of `n_outputs` outputs, initialised from a seed.

    The new layer replaces a linear layer (an old head) or an identity at the network's end, and all layers keep their names.
    Any other network becomes the `body` of one that pools its output and has a `head`. TypeError or ValueError for a network
    whose output is not a tensor or cannot be pooled.
    """
    module = copy.deepcopy(target.module).eval()
    output, path, old = _end(module, target)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if path is None:
            module = WithHead(module, pooled(output).shape[1], n_outputs)
            head_path, layers = HEAD, tuple(f"{BODY}.{layer}" for layer in target.layers)
            notes = (f"the network became the part {BODY!r} of one with a linear layer: its layers are called {BODY}.<name>",)
        else:
            module.set_submodule(path, nn.Linear(old.shape[1], n_outputs))
            head_path, layers, notes = path, target.layers, (f"the linear layer stands at {path!r}",)
    if hasattr(module, "num_classes"):
        module.num_classes = n_outputs  # timm's networks state their number of outputs in it
    device = next((parameter.device for parameter in module.parameters()), torch.device("cpu"))
    module.requires_grad_(True).to(device=device, memory_format=torch.channels_last)
    return Classifier(module, head_path, layers, notes)


@torch.inference_mode()
def _end(module: nn.Module, target: Target) -> tuple[Tensor, str | None, Tensor | None]:
    """The output of one black image, and the linear or empty layer that gave it: its path and input, or None."""
    ran = []
    handles = [
        part.register_forward_hook(lambda _, inputs, output, path=path: ran.append((path, inputs[0], output)))
        for path, part in module.named_modules()
        if path and isinstance(part, (nn.Linear, nn.Identity))
    ]
    parameter = next(module.parameters(), torch.empty(0))
    height, width = target.preprocess.size
    try:
        output = module(parameter.new_zeros(1, target.preprocess.channels, height, width))
    finally:
        for handle in handles:
            handle.remove()
    if not isinstance(output, Tensor):
        raise TypeError(f"target {target.name!r} gives a {type(output).__name__}, not a tensor: wrap it in a module that does")
    if output.ndim not in (2, 3, 4):
        raise ValueError(
            f"target {target.name!r} gives a tensor of shape {tuple(output.shape)}; expected features (n, c), tokens (n, t, c) "
            "or maps (n, c, h, w)"
        )
    last = [(path, given) for path, given, result in ran if result is output and output.ndim == 2 and given.ndim == 2]
    return (output, *last[-1]) if last else (output, None, None)
