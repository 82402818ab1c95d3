"""A network's linear head and the layer whose neurons it reads, found by running the network and checked."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from mdissect.arguments import listed, texts
from mdissect.axes import Layout, UnsettledAxesError
from mdissect.outputs import evaluating, settle_axes, tensor_of
from mdissect.predictions.resumed import Resumed, resumed
from mdissect.signatures import validated

EXACT = 1e-5  # largest error of a sum of contributions, in parts of the logits' scale, for float32
CHECKED_IMAGES = 4
_LEAST = 1e-5  # a change smaller than this part of the largest one is rounding
_MOST_TRIED = 12  # layers that are tried for a hint


class NoHeadError(ValueError):
    """A network's output is not that of a linear layer, or no given layer feeds it neuron by neuron; the message says why."""


@dataclass(frozen=True)
class Head:
    """A linear layer that gives a network's output, and the layer that it reads.

    Attributes
    ----------
    path, layer : str
        Module paths of the linear layer, and of the layer whose neurons feed it.
    weight : (n_outputs, n_inputs) float64
    bias : (n_outputs,) float64
    owner : (n_inputs,) int
        The neuron that each input depends on; -1 for none of the layer.
    n_neurons : int
        Neurons of the layer.
    """

    path: str
    layer: str
    weight: np.ndarray
    bias: np.ndarray
    owner: np.ndarray
    n_neurons: int

    def by_neuron(self, inputs: np.ndarray) -> np.ndarray:
        """Sums (..., n_neurons + 1) of values of the inputs (..., n_inputs); the last one is of no neuron of the layer."""
        if np.array_equal(self.owner, np.arange(self.n_neurons)):
            return np.concatenate([inputs, np.zeros((*inputs.shape[:-1], 1))], axis=-1)
        member = np.zeros((len(self.owner), self.n_neurons + 1))
        member[np.arange(len(self.owner)), self.owner] = 1  # -1 is the last column
        return inputs @ member


@validated(layers=texts)
def find_head(module: nn.Module, x: Tensor, layers: Sequence[str], axes: "Mapping[str, str | Layout] | None" = None) -> Head:
    """The linear layer whose output is a network's, and the last of `layers` whose neurons feed it one by one.

    >>> find_head(torchvision.models.resnet18().eval(), torch.rand(4, 3, 224, 224), ["layer3", "layer4"]).layer
    'layer4'

    Nothing goes by names: the head is the linear layer (or convolution of 1 x 1 on a pooled map) whose output equals the
    network's. A layer feeds it where each of its inputs changes with one neuron alone: the neurons are changed in sets that
    tell any two of them apart (two passes for each bit of their number), and only what stands behind the layer runs. Pooling,
    batch norm, activation and dropout keep neurons apart and become part of what a neuron hands to the head; what mixes neurons
    (convolution, layer norm, attention) is refused.

    Parameters
    ----------
    module : nn.Module
        In eval mode.
    x : (n, channels, height, width)
        Prepared images; few are enough.
    layers : sequence of str
        Layers to choose from, from shallow to deep.
    axes : mapping of str to str, optional
        As for `mdissect.hooks.record`.

    Raises
    ------
    NoHeadError
        A ValueError: no linear layer gives the network's output (what runs behind the last one is named), or none of the layers
        feeds it (what stands between is named, and which layers do).
    """
    with evaluating(module), torch.no_grad():
        x = x[:CHECKED_IMAGES]
        ran = _Leaves(module, x)
        try:
            path, head = ran.head()
        except NoHeadError as error:
            raise NoHeadError(
                f"{error}; contributions need a network that ends in one: give the part of it that returns logits, or use "
                "ablate(...), which needs none"
            ) from None
        refused = {}
        for layer in reversed(layers):
            try:
                owner, n_neurons = owners(module, layer, path, x, (axes or {}).get(layer))
            except UnsettledAxesError as error:
                refused[layer] = str(error)
                continue
            if owner is not None:
                weight = _flat(head.weight).double().cpu().numpy()
                bias = np.zeros(len(weight)) if head.bias is None else head.bias.detach().double().cpu().numpy()
                return Head(path, layer, weight, bias, owner, n_neurons)
        raise NoHeadError(_not_fed(module, ran, path, layers, x, refused))


def check_linear_end(module: nn.Module, x: Tensor) -> None:
    """Raise NoHeadError unless a linear layer gives a network's output for prepared images (n, channels, height, width)."""
    with evaluating(module), torch.no_grad():
        _Leaves(module, x[:CHECKED_IMAGES]).head()


def head_inputs(output: Tensor) -> Tensor:
    """What a head gets, as (n, n_inputs)."""
    return output.flatten(1)


def logits_of(output: object) -> Tensor:
    """A network's logits (n, n_outputs): its output, or those that it calls so."""
    output = output["logits"] if isinstance(output, Mapping) and "logits" in output else output
    tensor = tensor_of(output, "the network's output")
    return tensor.reshape(len(tensor), -1)


def owners(
    module: nn.Module, layer: str, head: str, x: Tensor, letters: "str | Layout | None" = None
) -> tuple[np.ndarray | None, int]:
    """The neuron of a layer that each input of a head depends on, -1 for none; None where one depends on several.

    Also the number of the layer's neurons.
    """
    x = x if len(x) > 1 else x.repeat(2, *[1] * (x.ndim - 1))
    layouts = settle_axes(module, [layer], x, axes=None if letters is None else {layer: letters})
    if layer not in layouts:
        raise UnsettledAxesError(f"layer {layer!r} does not run in {type(module).__name__}")
    with resumed(module, layer, x, layouts[layer]) as rerun:
        watch = _Inputs(module, head)
        before, n_neurons = watch.of(rerun, lambda a: a), watch.n_neurons
        bits = range(max((n_neurons - 1).bit_length(), 1))
        number = torch.arange(n_neurons, device=x.device)
        sets = [number.bitwise_right_shift(bit) % 2 == value for bit in bits for value in (1, 0)]
        changes = torch.stack([(watch.of(rerun, _shaken(one)) - before).abs().amax(dim=0) for one in sets])
    return _decoded(changes, before, n_neurons, torch.finfo(watch.dtype).eps), n_neurons


def _shaken(neurons: Tensor):
    """A change of a layer that moves a set of neurons far up in every other image, and far down in the rest."""

    def change(activations: Tensor) -> Tensor:
        size = activations.double().abs().mean().to(activations.dtype) + 1
        noise = torch.rand(activations.shape, generator=torch.Generator().manual_seed(0)).to(activations)
        sign = torch.ones(len(activations)).to(activations)
        sign[1::2] = -1
        moved = size * (1 + noise) * sign.view(-1, *[1] * (activations.ndim - 1))
        return torch.where(neurons, moved, activations)

    return change


def _decoded(changes: Tensor, before: Tensor, n_neurons: int, eps: float) -> np.ndarray | None:
    """Owners from how far each input moved, (2 n_bits, n_inputs): with the neurons of a bit, and with the others, in turn."""
    largest = changes.amax(dim=0)
    rounding = 8 * eps * before.abs().amax(dim=0)
    moved = changes > torch.maximum(_LEAST * largest, rounding)
    with_bit, without = moved[0::2], moved[1::2]
    if (with_bit & without).any():
        return None
    known = (with_bit | without).all(dim=0)
    weights = 2 ** torch.arange(len(with_bit), device=moved.device)
    owner = torch.where(known, (with_bit * weights[:, None]).sum(dim=0), -1).cpu().numpy()
    same = np.arange(len(owner))
    if len(owner) == n_neurons and (owner[owner >= 0] == same[owner >= 0]).all() and (owner >= 0).any():
        return same  # an input that nothing moves, behind a dead neuron or a weight of zero, is in its place
    return owner if (owner >= 0).any() and owner.max() < n_neurons else None


class _Inputs:
    """What a head gets while a layer is changed."""

    def __init__(self, module: nn.Module, head: str):
        self.head, self.found, self.n_neurons, self.dtype = module.get_submodule(head), None, 0, torch.float32

    def of(self, rerun: Resumed, change) -> Tensor:
        def noticing(activations: Tensor) -> Tensor:
            self.n_neurons = activations.shape[-1]
            return change(activations)

        handle = self.head.register_forward_pre_hook(self._keep)
        try:
            rerun(noticing)
        finally:
            handle.remove()
        return self.found

    def _keep(self, _module, args: tuple) -> None:
        self.found, self.dtype = head_inputs(args[0]).double(), args[0].dtype


class _Leaves:
    """The parts of a network without parts of their own that a pass ran, in order."""

    def __init__(self, module: nn.Module, x: Tensor):
        self.names, self.order, self.linear = {}, [], []
        handles = []
        for path, part in module.named_modules():
            if part is not module:
                self.names.setdefault(part, path)
                handles.append(part.register_forward_hook(self._hook))
        try:
            self.logits = logits_of(module(x))
        finally:
            for handle in handles:
                handle.remove()

    def _hook(self, part: nn.Module, _args: tuple, output: object) -> None:
        self.order.append(part)
        if is_linear(part) and isinstance(output, Tensor) and output.ndim > 1 and output[0].numel() == output.shape[1]:
            self.linear.append((part, output.detach().flatten(1).clone()))  # one place only: not a layer on maps or tokens

    def head(self) -> tuple[str, nn.Module]:
        """Path and module of the linear layer whose output is the network's."""
        eps = torch.finfo(self.logits.dtype).eps
        scale = self.logits.double().abs().max().clamp(min=1e-12)
        for part, output in reversed(self.linear):
            if output.shape == self.logits.shape:
                error = (output.double() - self.logits.double()).abs().max()
                if error <= max(EXACT, 4 * eps) * scale:
                    return self.names[part], part
        last = self.linear[-1][0] if self.linear else None
        raise NoHeadError(
            f"no linear layer gives this network's output {tuple(self.logits.shape)}"
            + (f": behind the last one, {self.names[last]!r}, {self._behind(last)}" if last else ", it has none")
        )

    def _behind(self, last: nn.Module) -> str:
        behind = [part for part in self.between(last, None) if not _passes(part)]
        return f"stands {_described(self.names, behind)}" if behind else "stands a function that is no module (a softmax?)"

    def between(self, first: nn.Module | None, last: nn.Module | None) -> list[nn.Module]:
        """The leaves that ran behind the last run of one part and before the last run of another."""
        places = {part: i for i, part in enumerate(self.order)}
        start, end = places.get(first, -1), places.get(last, len(self.order))
        return [part for part in self.order[start + 1 : end] if not any(True for _ in part.children())]


def is_linear(part: nn.Module) -> bool:
    """Whether a module is fully connected, or a convolution that reads one place with all channels."""
    if isinstance(part, nn.Linear):
        return True
    plain = isinstance(part, (nn.Conv1d, nn.Conv2d)) and part.groups == 1
    return plain and set(part.kernel_size) == {1} and set(part.stride) == {1} and not _padded(part)


def _padded(part: nn.Module) -> bool:
    return part.padding not in ("valid", "same") and any(part.padding)


def _flat(weight: Tensor) -> Tensor:
    return weight.detach().flatten(1)


def _passes(part: nn.Module) -> bool:
    return isinstance(part, (nn.Identity, nn.modules.dropout._DropoutNd))


def _described(names: Mapping[nn.Module, str], parts: Sequence[nn.Module]) -> str:
    return listed([f"{names[part]} ({type(part).__name__})" for part in dict.fromkeys(parts)], 6)


def _not_fed(module: nn.Module, ran: _Leaves, head: str, layers: Sequence[str], x: Tensor, refused: Mapping[str, str]) -> str:
    """Why no layer feeds the head, what stands between the last one and it, and which layers would do."""
    last = module.get_submodule(layers[-1])
    between = [part for part in ran.between(last, module.get_submodule(head)) if not _passes(part)]
    behind = list(dict.fromkeys(ran.names[part] for part in reversed(between)))
    fitting = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of parts that run several times: they are only tried
        for path in behind[:_MOST_TRIED]:
            try:
                if owners(module, path, head, x)[0] is None:
                    break
                fitting.append(path)
            except ValueError:
                continue
    why = f"between them stands {_described(ran.names, between)}" if between else "their neurons do not reach it one by one"
    also = f" ({refused[layers[-1]]})" if layers[-1] in refused else ""
    advice = f"dissect layer {' or '.join(map(repr, fitting))}" if fitting else "use ablate(...), which needs no such layer"
    return (
        f"none of the layers {listed(list(map(repr, layers)))} feeds the head {head!r} neuron by neuron: {why}{also}, which "
        f"mixes neurons; {advice}"
    )
