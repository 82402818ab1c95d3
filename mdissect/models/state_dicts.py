"""The named tensors of a weights file, without their wrappers."""

import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path

from torch import Tensor

from mdissect.arguments import listed
from mdissect.models.checkpoints import CheckpointError, read_checkpoint
from mdissect.models.stand_ins import Array


class NoSuchWeightsError(CheckpointError):
    """A file has no weights of the name that was asked for, or several."""


DEEPEST = 64  # levels of nesting that are looked into


class NamedTensors(dict):
    """Names and tensors of a file.

    `path` is what all their names began with ("" or "model."), taken off. `chosen`: the caller said which weights are meant,
    so that those directly here go before others further down.
    """

    def __init__(self, tensors: Mapping[str, Tensor], path: str = "", chosen: bool = False):
        super().__init__(tensors)
        self.path, self.chosen = path, chosen


def read_state_dict(path: str | Path, weights: str | None = None) -> tuple[NamedTensors, list[str]]:
    """The named tensors of a weights file, without wrappers, and notes on ignored parts.

    >>> state, notes = read_state_dict("weights.pth", weights="state_dict_ema")      # doctest: +SKIP

    Nested dicts are joined to dotted names ("model.layer1.0.conv1.weight"); a dict that holds all tensors is taken off as a
    wrapper. Which part of them is the model's is decided where the model is known: `mdissect.models.load_weights`.

    Parameters
    ----------
    path : path
    weights : str, optional
        Of several sets of weights in the file, the one under this name: "model_ema", "model.student"; "" for those at its top.

    Raises
    ------
    CheckpointError
        As `read_checkpoint`, or when no named tensors are found, or no weights of that name.
    """
    return named_tensors(read_checkpoint(path), path, weights)


def named_tensors(content: object, path: str | Path, weights: str | None = None) -> tuple[NamedTensors, list[str]]:
    """The named tensors in the content of a weights file (of `read_checkpoint`); the rest as `read_state_dict`."""
    tensors, beside = _flattened(content, path)
    if not tensors:
        raise CheckpointError(f"{path} holds no named tensors but {_describe(content)}; save model.state_dict() by itself")
    prefix = _wrapper(content, tensors) if weights is None else _prefix_of(weights, tensors, path)
    state = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    beside += sorted({branch(name, prefix) for name in tensors if not name.startswith(prefix)} - set(beside))
    notes = [f"entries beside the weights, not used: {listed(sorted(beside))}"] if beside else []
    return NamedTensors(state, prefix, chosen=weights is not None), notes


def levels(name: str) -> Iterator[int]:
    """Where the parts of a dotted name begin: 0, and after each dot."""
    yield 0
    at = -1
    for _ in range(DEEPEST):
        at = name.find(".", at + 1)
        if at < 0:
            return
        yield at + 1


def branch(name: str, prefix: str) -> str:
    """The part of a file to which a name outside the prefix belongs, as short as distinguishes the two.

    >>> branch("model.teacher.norm.weight", "model.student.")
    'model.teacher'
    """
    parts, taken, shared = name.split("."), prefix.split("."), 0
    while shared < min(len(taken), len(parts) - 1) and parts[shared] == taken[shared]:
        shared += 1
    return ".".join(parts[: shared + 1])


def _flattened(content: object, path: str | Path) -> tuple[dict[str, Tensor], list[str]]:
    """All tensors under str keys by their dotted names, and the entries of the outer dicts that hold none."""
    tensors, beside, seen = {}, {}, set()
    waiting = [("", content)] if isinstance(content, Mapping) else []
    while waiting:
        prefix, mapping = waiting.pop(0)
        if id(mapping) in seen or prefix.count(".") > DEEPEST:  # one that holds itself, or the same one under two names
            continue
        seen.add(id(mapping))
        for key, value in mapping.items():
            value = value.tensor() if isinstance(value, Array) else value
            name = f"{prefix}{key}"
            if isinstance(value, Tensor) and isinstance(key, str):
                if name in tensors:
                    raise CheckpointError(f"{path} holds two tensors named {name}; save model.state_dict() by itself")
                if value.is_nested:  # has no shape to compare
                    raise CheckpointError(f"{path}: {name} is a nested tensor; weights are plain ones")
                tensors[name] = value
            elif isinstance(value, Mapping) and isinstance(key, str):
                waiting.append((f"{name}.", value))
            beside[name] = (prefix, str(key))
    holding = {name[:at] for name in tensors for at in levels(name)}
    empty = (
        key for name, (prefix, key) in beside.items() if prefix in holding and name not in tensors and f"{name}." not in holding
    )
    return tensors, list(dict.fromkeys(empty))


def _wrapper(content: Mapping, tensors: Mapping[str, Tensor]) -> str:
    """The dotted path of the innermost dict that holds all tensors."""
    prefix, inner = "", content
    while inner is not None:
        dicts = [key for key, value in inner.items() if isinstance(key, str) and isinstance(value, Mapping)]
        holding = [key for key in dicts if any(name.startswith(f"{prefix}{key}.") for name in tensors)]
        inner = inner[holding[0]] if len(holding) == 1 else None
        if inner is not None and all(name.startswith(f"{prefix}{holding[0]}.") for name in tensors):
            prefix = f"{prefix}{holding[0]}."
        else:
            inner = None
    return prefix


def _prefix_of(weights: str, tensors: Mapping[str, Tensor], path: str | Path) -> str:
    """The beginning of the names that `weights` means: from the file's top, or further down where there is one such place."""
    if not isinstance(weights, str):
        raise CheckpointError(f"weights={weights!r} must be a str, the name of one set of weights in {path}")
    wanted = f"{weights.strip('. ')}." if weights.strip(". ") else ""
    places = {name[: at + len(wanted)] for name in tensors for at in levels(name) if name.startswith(wanted, at)}
    if wanted in places or not wanted:
        return wanted
    if len(places) != 1:
        known = dict.fromkeys(name[: at - 1] for name in tensors for at in levels(name) if at)
        outer = [name for name in known if "." not in name]
        close = difflib.get_close_matches(weights, outer, n=3) or difflib.get_close_matches(weights, list(known), n=3)
        candidates = sorted(place.rstrip(".") for place in places) or close or outer or list(tensors)
        found = "several" if places else "no"
        raise NoSuchWeightsError(f"{path} has {found} weights {weights!r}; it has {listed(candidates, 8)}")
    return places.pop()


def _describe(content: object) -> str:
    if isinstance(content, Mapping):
        return f"a dict with the keys {listed(sorted(map(str, content)))}" if content else "an empty dict"
    return f"a {type(content).__name__}"
