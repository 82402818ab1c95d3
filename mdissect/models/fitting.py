"""Loads weights into a module: the matching part of a checkpoint, with every name accounted for."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import torch
from torch import Tensor, nn

from mdissect.arguments import listed, true_or_false
from mdissect.models.checkpoints import CheckpointError
from mdissect.models.state_dicts import branch, levels, read_state_dict

# Counters of training steps change nothing in eval mode, and old files do not have them; the others are left by profilers.
_COUNTERS = re.compile(r"(.*\.)?(num_batches_tracked|total_ops|total_params)")


@dataclass(frozen=True)
class Part:
    """The weights under one prefix of a checkpoint's names that a module also has.

    `called` is what the file calls the module's weights there (own name -> the file's, without the prefix); `named` are the
    module's own names that the file has, `fitting` those of them that have the same shape.
    """

    prefix: str
    called: Mapping[str, str]
    named: frozenset[str]
    fitting: frozenset[str]

    def place(self, name: str) -> str:
        """The file's full name of one of the module's weights."""
        return self.prefix + self.called[name]


def load_weights(
    module: nn.Module,
    state: Mapping[str, Tensor],
    *,
    schemes: Sequence[Mapping[str, str]] = (),
    unused: str = "",
    refused: str = "",
    strict: bool = True,
    source: str | Path | None = None,
) -> list[str]:
    r"""Fill a module with weights; every name that does not fit is reported.

    >>> load_weights(nn.Linear(2, 1), {"module.weight": torch.ones(1, 2), "module.bias": torch.zeros(1)})
    []

    Parameters
    ----------
    module : nn.Module
        Changed in place.
    state : mapping of str to Tensor
        The names may begin with anything ("module." of parallel training, "model.", "image_encoder."): the part under one
        prefix that fits the module is taken, and the notes name what is left over (a loss, a projector, another model).
    schemes : sequence of mapping of str to str, optional
        What files may call the module's weights (its own name -> the file's); the scheme that fits most names is taken, and
        messages speak of the file's names. By default the module's own names.
    unused : str, optional
        Pattern of the names that the file may have and the module not, such as r"fc\..*" for a classifier that is not wanted.
    refused : str, optional
        Pattern of the names that mark the file as one of another model, though it may hold all that the module needs.
    strict : bool
        False: load what fits and say in the notes what was left out.
    source : path, optional
        The file, for messages.

    Returns
    -------
    list of str
        Notes: what was not used or not loaded, with counts and examples.

    Raises
    ------
    CheckpointError
        Missing, unexpected or misshapen names (strict), not a single name that fits, several parts that fit (a model and its
        running mean, a student and a teacher), or values that are no weights (NaN, infinite, complex, quantised, sparse).
    """
    true_or_false("strict", strict)
    own, origin = module.state_dict(), f"{source}: " if source else ""
    part = find_part(module, state, schemes=schemes, strict=strict, source=source)
    faults, dropped = _compare(own, state, part, unused, refused)
    groups = dict.fromkeys(branch(name, part.prefix) for name in dropped)
    notes = [f"{len(dropped)} weights of the checkpoint not used, of {', '.join(groups)}"] if dropped else []
    reported = [f"{len(names)} weights {fault}: {listed(sorted(names))}" for fault, names in faults.items() if names]
    if reported and (strict or not part.fitting):
        hints = ["strict=False loads the rest and notes the gaps"] if part.fitting else []
        hints += ["it belongs to another architecture"] if 2 * len(part.fitting) < len(own) else []
        raise CheckpointError(
            f"{origin}the weights do not fit {type(module).__name__} "
            f"({len(part.fitting)} of {len(own)} do): {'; '.join(reported)}; {', or '.join(reversed(hints))}"
        )
    fitting = {name: _usable(state[part.place(name)], own[name], part.place(name), origin) for name in part.fitting}
    module.load_state_dict(fitting, strict=False)
    return notes + [f"not loaded: {line}" for line in reported]


def fill(module: nn.Module, path: str | Path, weights: str | None = None, **options) -> list[str]:
    """Fill a module with the weights in a file (`read_state_dict`, `load_weights` with these options); gives notes."""
    state, notes = read_state_dict(path, weights)
    return notes + load_weights(module, state, source=path, **options)


def find_part(
    module: nn.Module,
    state: Mapping[str, Tensor],
    *,
    schemes: Sequence[Mapping[str, str]] = (),
    strict: bool = True,
    source: str | Path | None = None,
) -> Part:
    """The part of a checkpoint that fits a module completely, else best (for the report); see `load_weights`.

    CheckpointError where several fit alike and differ.
    """
    own = module.state_dict()
    parts = _parts(own, state, schemes)
    whole = [part for part in parts if all(n in part.fitting or _COUNTERS.fullmatch(n) for n in own)]
    if not whole:
        # A few names fit by chance in any file; a prefix counts where it holds most of the module, or all of the file.
        likely = [part for part in parts if 2 * len(part.fitting) >= len(own) or all(n.startswith(part.prefix) for n in state)]
        best = max((_rank(part) for part in likely), default=(0, 0))
        whole = [part for part in likely if _rank(part) == best]
        if not whole or not best[0] or strict:
            nothing = Part(_shared_prefix(state), next(iter(schemes), {n: n for n in own}), frozenset(), frozenset())
            return whole[0] if whole else nothing
    if getattr(state, "chosen", False):
        whole = [part for part in whole if not part.prefix] or whole
    rivals = [part for part in whole[1:] if not _same(part, whole[0], state)]
    if rivals:
        names = [getattr(state, "path", "") + part.prefix for part in (whole[0], *rivals)]
        candidates = ", ".join(repr(name.rstrip(".")) for name in names)
        raise CheckpointError(
            f"{f'{source}: ' if source else ''}{len(names)} sets of weights fit {type(module).__name__}: {candidates}; choose "
            f"one with weights={names[0].rstrip('.')!r} or another of them"
        )
    return whole[0]


def _compare(
    own: Mapping[str, Tensor], state: Mapping[str, Tensor], part: Part, unused: str, refused: str
) -> tuple[dict[str, list[str]], list[str]]:
    """The problems of a part of a checkpoint, by kind, and the full names of unused weights."""
    extra = sorted({name.removeprefix(part.prefix) for name in state if name.startswith(part.prefix)} - {*part.called.values()})
    unneeded = {name for name in extra if re.fullmatch(unused, name) or _COUNTERS.fullmatch(name)}
    absent = [part.called[name] for name in set(own) - part.named if not _COUNTERS.fullmatch(name)]
    misshapen = [
        f"{part.called[name]} (file {tuple(state[part.place(name)].shape)}, model {tuple(own[name].shape)})"
        for name in part.named - part.fitting
    ]
    if not absent and not misshapen:  # a whole model: what has no relation to it is not missed
        others = (name for name in extra if not re.fullmatch(refused, name))
        unneeded |= {name for name in others if not _related(name, state[part.prefix + name], part)}
    faults = {
        "missing in the file": absent,
        "unexpected in the file": [name if part.named else part.prefix + name for name in extra if name not in unneeded],
        "of another shape": misshapen,
    }
    outside = [name for name in state if not name.startswith(part.prefix)]
    return faults, [part.prefix + name for name in sorted(unneeded)] + outside


def _parts(own: Mapping[str, Tensor], state: Mapping[str, Tensor], schemes: Sequence[Mapping[str, str]]) -> list[Part]:
    """Every prefix behind which the file has names of the module, shortest first; none that an optimizer keeps."""
    parts: dict[frozenset, Part] = {}
    for called in chain.from_iterable(map(_unwrapped, schemes or [{name: name for name in own}])):
        ours, found = {theirs: name for name, theirs in called.items()}, defaultdict(set)
        for name in state:
            for at in levels(name):
                if name[at:] in ours:
                    found[name[:at]].add(ours[name[at:]])
        for prefix in sorted(found, key=lambda prefix: (prefix.count("."), prefix)):
            named = found[prefix]
            fitting = {name for name in named if state[prefix + called[name]].shape == own[name].shape}
            if not any(one.lower().startswith("optim") for one in prefix.split(".")):
                files = frozenset(prefix + called[name] for name in named)
                parts.setdefault(files, Part(prefix, called, frozenset(named), frozenset(fitting)))
    return sorted(parts.values(), key=lambda part: part.prefix.count("."))


def _unwrapped(called: Mapping[str, str]) -> list[Mapping[str, str]]:
    """A scheme, and the same without each beginning that all its names share: the module may be wrapped, the file not."""
    schemes, names = [called], list(called.values())
    while names and all("." in name for name in names) and len({name.split(".")[0] for name in names}) == 1:
        names = [name.split(".", 1)[1] for name in names]
        schemes.append(dict(zip(called, names, strict=True)))
    return schemes


def _shared_prefix(state: Mapping[str, Tensor]) -> str:
    """What all names begin with, up to a dot."""
    first, last = min(state, default=""), max(state, default="")
    shared = [at for at in levels(first) if last.startswith(first[:at])]
    return first[: shared[-1]]


def _rank(part: Part) -> tuple[int, int]:
    return len(part.fitting), len(part.named)


def _same(one: Part, other: Part, state: Mapping[str, Tensor]) -> bool:
    """Whether two parts have the same values, as in a model saved under two names."""
    pairs = [(state[one.place(name)], state[other.place(name)]) for name in one.named & other.named]
    plain = all(tensor.layout == torch.strided and not tensor.is_meta for pair in pairs for tensor in pair)
    return one.named == other.named and plain and all(torch.equal(*pair) for pair in pairs)


def _related(name: str, tensor: Tensor, part: Part) -> bool:
    """Whether a further weight belongs to the parts that the module has, as with a deeper network of the same family.

    What is no weight (an index table, a mask) does not; nor do parts whose name, without its number, the module has not.
    """
    if not (tensor.is_floating_point() or tensor.is_complex()):
        return False
    families = {re.sub(r"\d+$", "", theirs.split(".")[0]) for theirs in part.called.values()}
    return re.sub(r"\d+$", "", name.split(".")[0]) in families


def _usable(tensor: Tensor, own: Tensor, name: str, origin: str) -> Tensor:
    """A tensor of the file, if its values can be the weights of this one of the module's."""
    (kind, wanted), fault = (str(one.dtype).removeprefix("torch.") for one in (tensor, own)), ""
    if tensor.is_quantized or tensor.layout != torch.strided:
        fault = f"is {'quantised' if tensor.is_quantized else 'sparse'}, plain values are needed"
    elif tensor.is_meta:
        fault = "has a shape but no values (it was saved from the meta device)"
    elif tensor.is_complex() or (own.is_floating_point() and not tensor.is_floating_point()):
        fault = f"holds values of type {kind}, {wanted} is needed{'' if tensor.is_complex() else ' (a quantised model?)'}"
    elif own.is_floating_point():
        tensor = tensor.to(own.dtype)
        finite = tensor.float().isfinite()
        if not finite.all() and own.isfinite().all():  # an attention mask is infinite in the module too
            fault = f"is broken: {int((~finite).sum())} of {finite.numel()} values are NaN or infinite as {wanted}"
    if fault:
        raise CheckpointError(f"{origin}weight {name!r} {fault}; the state_dict() of a whole, finite float model is needed")
    return tensor
