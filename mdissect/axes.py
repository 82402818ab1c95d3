"""Which axis of a layer's output is the batch, which the channels, which space or tokens."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

from torch import Tensor, nn

LETTERS = {"N": "batch", "C": "channels", "H": "height", "W": "width", "T": "tokens"}
_PREFIX_TOKENS = 8  # how many tokens without a place may stand before the others, when the network does not say it

# Of torch's own modules, the axis of their channels, whatever the image; a subclass may differ, so sizes are asked first.
_CHANNELS_SECOND = (
    nn.modules.conv._ConvNd,
    nn.modules.batchnorm._NormBase,
    nn.GroupNorm,
    nn.modules.pooling._MaxPoolNd,
    nn.modules.pooling._AvgPoolNd,
    nn.modules.pooling._AdaptiveAvgPoolNd,
    nn.modules.pooling._AdaptiveMaxPoolNd,
    nn.Upsample,
)
_CHANNELS_LAST = (nn.Linear, nn.LayerNorm, nn.RMSNorm)
_ELEMENTWISE = (nn.Identity, nn.modules.dropout._DropoutNd)
_N_CHANNELS = ("out_channels", "out_features", "num_features", "num_channels", "embed_dim", "hidden_size")
_WIDTHS = ("hidden_size", "hidden_sizes", "embed_dim", "embed_dims", "num_features")
# Parameters, in networks of any library, for tokens before the patches: (1, tokens, channels) or (channels,).
_TOKEN_NAMES = (
    *("cls_token", "class_token", "class_embedding", "dist_token", "distillation_token"),
    *("reg_token", "reg_tokens", "register_tokens"),
)


class UnsettledAxesError(ValueError):
    """The axes of a layer's output are ambiguous; the message says how to name them."""


@dataclass(frozen=True)
class Layout:
    """The meaning of a layer's axes.

    >>> Layout("TNC").places
    (0,)

    Attributes
    ----------
    letters : str
        One per axis: N batch, C channels, H and W space, T tokens.
    prefix : int or None
        How many tokens stand before those of the patches (class, distillation, registers); None where it is unknown.
    """

    letters: str
    prefix: int | None = None

    @property
    def batch(self) -> int:
        return self.letters.index("N")

    @property
    def places(self) -> tuple[int, ...]:
        """The axes of space or tokens."""
        return tuple(axis for axis, letter in enumerate(self.letters) if letter not in "NC")

    def images_first(self, pooled: Tensor) -> Tensor:
        """The shape without the places, as (n, c)."""
        return pooled if self.batch < self.letters.index("C") else pooled.T.contiguous()


@dataclass(frozen=True)
class Observation:
    """The shape of a layer's output in a pass of `n` images of a size (height, width); the size of other inputs is ().

    `neighbours`: where the channels are for modules of torch's own kinds that made this very tensor, or took it next.
    """

    n: int
    size: tuple[int, ...]
    shape: tuple[int, ...]
    neighbours: frozenset[int] = frozenset()


def given_layouts(axes: Mapping[str, str], prefix: int | None = None) -> dict[str, Layout]:
    """Layouts that a user states, checked.

    >>> given_layouts({"encoder": "TNC"})["encoder"].batch
    1
    """
    if not isinstance(axes, Mapping):
        raise TypeError(f"axes={axes!r} must be a dict from layers to letters, such as {{'encoder': 'TNC'}}")
    for layer, letters in axes.items():
        known = isinstance(letters, str) and set(letters) <= set(LETTERS)
        if not (known and len(set(letters)) == len(letters) and {"N", "C"} <= set(letters)):
            meaning = ", ".join(f"{letter} {word}" for letter, word in LETTERS.items())
            raise ValueError(
                f"axes={{{layer!r}: {letters!r}}} must be a letter per axis, N and C among them, such as 'NHWC' ({meaning})"
            )
    return {layer: Layout(letters, prefix) for layer, letters in axes.items()}


def _following(seen: Sequence[Observation]) -> set[int]:
    """The axes whose length changed between images of different sizes; the batch may be among them."""
    return {
        axis
        for first in seen
        for other in seen
        if first.size != other.size
        for axis, (one, two) in enumerate(zip(first.shape, other.shape, strict=True))
        if one != two
    }


def check_images(layer: str, shape: tuple[int, ...], layout: Layout, n: int) -> None:
    """Raise unless a layer's output has the axes of its layout, and a row for each of `n` images."""
    gives = f"layer {layer!r} gives {shape} for {n} images"
    if len(shape) != len(layout.letters):
        raise UnsettledAxesError(
            f"{gives}: {len(shape)} axes, but axes={layout.letters!r} names {len(layout.letters)}; correct it"
        )
    if shape[layout.batch] != n:
        raise UnsettledAxesError(
            f"{gives}, but under axes={layout.letters!r} it has {shape[layout.batch]}; correct it, or ask for another layer"
        )


def settle(layer: str, seen: Sequence[Observation], root: nn.Module) -> str:
    """The letters of a layer's axes, such as "NCHW", from the shapes of its output in one or more passes.

    The axis that is as long as the batch in each pass is the batch. Of the others, those that follow the image's size are
    space or tokens, the one that stays holds the channels. Where the size says nothing (one pass only, or a network of one
    image size), what the modules say decides: the layer's own kind and number of features, then those of its parts.
    """
    last = seen[-1]
    if len({len(one.shape) for one in seen}) != 1 or not 2 <= len(last.shape) <= 4:
        expected = "expected (n, c), tokens (n, t, c) or maps (n, c, h, w)"
        raise UnsettledAxesError(_refusal(layer, last, expected, ask=len(last.shape) > 4))
    module = root.get_submodule(layer)
    second = channel_axis(module)
    if second is None and _told_by_parts(module, last.shape) == {1}:
        second = 1
    batch = [axis for axis in range(len(last.shape)) if all(one.shape[axis] == one.n for one in seen)]
    if len(batch) > 1 and second == 1 and batch[0] == 0:
        batch = [0]  # a convolution's batch comes first
    if not batch:
        raise UnsettledAxesError(
            _refusal(layer, last, "no axis is as long as the batch, so its rows are not images (windows or tokens among them)")
        )
    if len(batch) > 1:
        raise UnsettledAxesError(_refusal(layer, last, "more than one axis is as long as the batch", ask=True))
    rest = [axis for axis in range(len(last.shape)) if axis != batch[0]]
    channel = rest[0] if len(rest) == 1 else _channels(seen, rest, second, root, layer)
    if channel is None:
        raise UnsettledAxesError(_refusal(layer, last, "it is ambiguous which axis holds the channels", ask=True))
    places = iter("T" if len(rest) == 2 else "HW")
    return "".join("N" if axis == batch[0] else "C" if axis == channel else next(places) for axis in range(len(last.shape)))


def settled_by_size(seen: Sequence[Observation]) -> bool:
    """Whether the sizes of the passes determine the axes of batch and channels."""
    shape = seen[-1].shape
    batch = {axis for axis in range(len(shape)) if all(one.shape[axis] == one.n for one in seen)}
    return len(batch) == 1 and (len(shape) == 2 or len(set(range(len(shape))) - batch - _following(seen)) == 1)


def _channels(seen: Sequence[Observation], rest: list[int], known: int | None, root: nn.Module, layer: str) -> int | None:
    """The axis of the channels among the `rest`, which are not the batch; None if it is ambiguous."""
    shape = seen[-1].shape
    follow = _following(seen)
    still = [axis for axis in rest if axis not in follow]
    if len(still) <= 1:
        return still[0] if still else None
    for equally_sure in _evidence(seen, known, root, layer):
        told = {fitting[0] for axes in equally_sure if len(fitting := [axis for axis in still if axis in axes]) == 1}
        if told:
            return told.pop() if len(told) == 1 else None  # they contradict each other
    wide = [axis for axis in still if shape[axis] > 1]
    if len(wide) <= 1 and len({one.size for one in seen}) > 1:
        return wide[0] if wide else still[0]  # of a map of 1 x 1 places, the axis that is longer
    return None


def _evidence(
    seen: Sequence[Observation], known: int | None, root: nn.Module, layer: str
) -> Iterator[Sequence[Collection[int]]]:
    """Candidate axes of the channels by source of evidence, strongest evidence first, equally strong together."""
    shape, module = seen[-1].shape, root.get_submodule(layer)
    parts = list(module.modules())
    norms = {part.normalized_shape[-1] for part in parts if isinstance(part, (nn.LayerNorm, nn.RMSNorm))}
    ancestors = [root, *(root.get_submodule(layer.rsplit(".", up)[0]) for up in range(1, layer.count(".") + 1))]
    says = [one for ancestor in ancestors for one in (ancestor, getattr(ancestor, "config", None))]

    def as_long_as(numbers: Iterable[int]) -> list[int]:
        numbers = set(numbers)
        return [axis for axis, length in enumerate(shape) if length in numbers]

    yield [as_long_as(entry["num_chs"] for path, entry in _feature_info(root) if path == layer)]
    own, neighbours = [] if known is None else [known % len(shape)], set().union(*(one.neighbours for one in seen))
    yield [own, neighbours, as_long_as(_numbers(module, _N_CHANNELS)), as_long_as(norms)]
    yield [_told_by_parts(module, shape)]
    yield [as_long_as(number for part in parts for number in _numbers(part, _N_CHANNELS))]
    yield [as_long_as(number for one in says for number in _numbers(one, _WIDTHS))]
    yield [[3]] if len(shape) == 4 and str(getattr(root, "output_fmt", "")) == "NHWC" else []


def _told_by_parts(module: nn.Module, shape: tuple[int, ...]) -> set[int]:
    """Channel axes of parts of torch's own kinds, for parts whose number of channels fits one axis only."""
    told = set()
    for part in module.modules():
        axis = channel_axis(part) if len(shape) > 2 else None
        numbers = [n for n in _numbers(part, _N_CHANNELS) if axis is not None and shape[axis] == n and shape.count(n) == 1]
        told |= {axis % len(shape) for _ in numbers}
    return told


def channel_axis(module: nn.Module) -> int | None:
    """The axis of the channels of torch's own kinds of layers; of a Sequential, of its last that is not elementwise."""
    if isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward:
        parts = [part for part in module if not (isinstance(part, _ELEMENTWISE) or _is_activation(part))]
        return channel_axis(parts[-1]) if parts else None
    if isinstance(module, _CHANNELS_SECOND):
        return 1
    return -1 if type(module) in _CHANNELS_LAST else None  # timm's LayerNorm2d is a LayerNorm too, of channels first


def _is_activation(module: nn.Module) -> bool:
    return type(module).__module__ == "torch.nn.modules.activation" and not any(True for _ in module.parameters())


def _feature_info(root: nn.Module) -> Iterator[tuple[str, Mapping]]:
    """timm's descriptions of stages, by the stages' paths."""
    for path, module in root.named_modules():
        info = getattr(module, "feature_info", None)
        for entry in info if isinstance(info, list) else ():
            if isinstance(entry, Mapping) and {"module", "num_chs"} <= set(entry):
                yield f"{path}.{entry['module']}".lstrip("."), entry


def _numbers(thing: object, names: Iterable[str]) -> Iterator[int]:
    """The whole numbers that an object has under these names, alone or in a list."""
    for name in names:
        found = getattr(thing, name, None)
        yield from (one for one in (found if isinstance(found, (list, tuple)) else [found]) if type(one) is int)


def prefix_tokens(seen: Sequence[Observation], letters: str, root: nn.Module) -> int | None:
    """How many tokens of a layer (letters with a T) come before its patches; None if unknown.

    Two sizes of the image show it: the number of patches changes with the area, the others stay. Otherwise the number that
    the network declares, if the rest fits a grid of patches of the image's shape.
    """
    axis, first = letters.index("T"), seen[0]
    n_tokens, told = first.shape[axis], _told_prefix(root)
    found = None
    for other in seen[1:]:
        if len(first.size) == len(other.size) == 2 and first.size != other.size:
            ratio = other.size[0] * other.size[1] / (first.size[0] * first.size[1])
            fixed = (other.shape[axis] - ratio * n_tokens) / (1 - ratio)
            if abs(fixed - round(fixed)) < 1e-6 and token_grid(n_tokens - round(fixed), first.size, 0, most=0):
                found = round(fixed)
    if found is None and len(first.size) == 2:
        patches = [n for n in declared(root, "num_patches") if 0 <= n_tokens - n <= _PREFIX_TOKENS]
        grids = [n for n in (told, 0) if n is not None and token_grid(n_tokens - n, first.size, 0, most=0)]
        found = n_tokens - patches[0] if patches else grids[0] if grids and told is not None else None
    elsewhere = told is not None and found not in (0, told)  # as the detection tokens of YOLOS, which come last
    return None if elsewhere else found


def _told_prefix(root: nn.Module) -> int | None:
    """Tokens before the patches as timm declares them, else from the network's parameters for such tokens."""
    for number in declared(root, "num_prefix_tokens"):
        return number
    found = {
        name: 1 if parameter.ndim == 1 else parameter.shape[-2]
        for name, parameter in ((path.rpartition(".")[2], one) for path, one in root.named_parameters())
        if name in _TOKEN_NAMES
    }
    return sum(found.values()) if found else None


def declared(root: nn.Module, name: str) -> Iterator[int]:
    """The whole number that a network's modules have under a name."""
    return (number for module in root.modules() for number in _numbers(module, (name,)))


def token_grid(n_tokens: int, size: tuple[int, int], prefix: int | None, most: int = _PREFIX_TOKENS) -> tuple[int, int] | None:
    """Rows and columns of the square patches of tokens, after those without a place; None if none fit.

    >>> token_grid(197, (224, 224), None)    # a class token and 14 x 14 patches
    (14, 14)

    `prefix` is tried first, then 0 to `most` tokens before the patches.
    """
    height, width = size
    for extra in dict.fromkeys((prefix or 0, *range(most + 1))):
        n = n_tokens - extra
        rows = round(sqrt(max(n, 0) * height / width))
        if n > 1 and rows and n % rows == 0 and height * (n // rows) == width * rows:
            return rows, n // rows
    return None


def _refusal(layer: str, seen: Observation, reason: str, ask: bool = False) -> str:
    size = f" of {' x '.join(map(str, seen.size))}" if seen.size else ""
    example = {2: "CN", 3: "NTC", 4: "NHWC"}.get(len(seen.shape), "NTHWC")
    meaning = ", ".join(f"{letter} {word}" for letter, word in LETTERS.items())
    advice = f"say it with axes={{{layer!r}: {example!r}}} or the like ({meaning})" if ask else "ask for another layer"
    return f"layer {layer!r} gives {seen.shape} for {seen.n} images{size}: {reason}; {advice}"
