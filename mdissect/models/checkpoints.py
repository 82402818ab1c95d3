"""Weights from files that others made: read without running any of their code, every name accounted for."""

import hashlib
import json
import pickle
import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

WRAPPER_KEYS = ("state_dict", "model_state_dict", "model", "module", "network", "net", "weights")
WRAPPER_PREFIXES = ("module.", "_orig_mod.", "model.")
LEGACY_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
# Objects that often stand beside weights: arguments, numpy metrics, configurations of hydra (omegaconf) and the types and
# paths that these mention.
INERT_NAMES = (
    "argparse.Namespace",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "numpy.core.multiarray._reconstruct",
    "numpy._core.multiarray._reconstruct",
    "numpy.ndarray",
    "numpy.dtype",
    "omegaconf.dictconfig.DictConfig",
    "omegaconf.listconfig.ListConfig",
    "omegaconf.nodes.InterpolationResultNode",
    "pathlib.PosixPath",
    "typing.Any",
    *(f"omegaconf.base.{name}" for name in ("ContainerMetadata", "Metadata", "UnionNode")),
    *(f"omegaconf.nodes.{kind}Node" for kind in ("Any", "Boolean", "Bytes", "Enum", "Float", "Integer", "Path", "String")),
    *(f"builtins.{name}" for name in ("bool", "dict", "float", "int", "list", "str", "tuple")),
)


class CheckpointError(ValueError):
    """A weights file that cannot be used; the message says what it is and what to do."""


class Inert:
    """Stands in for a harmless object beside the weights (training arguments, a metric): accepts anything, keeps nothing."""

    def __init__(self, *args, **kwargs):
        pass

    def __setstate__(self, state):
        pass


def _plain_dict(*_) -> dict:
    """Stands in for collections.defaultdict."""
    return {}


def read_checkpoint(path: str | Path, inert: tuple[str, ...] = ()) -> object:
    """What a weights file holds: tensors in plain containers, on the CPU.

    safetensors files and files of torch.save are told apart by their content, whatever they are called. Pickles are read
    by torch's restricted reader (weights_only) alone: classes it does not know are refused, except for a few that often
    stand beside weights (`INERT_NAMES`), which become `Inert` objects.

    Parameters
    ----------
    path : path
        A local file.
    inert : tuple of str
        Full names of further classes to be replaced by `Inert` objects.

    Raises
    ------
    CheckpointError
        The file is missing, empty, cut off, damaged, a web page, a git-lfs pointer, an archive, or a pickle with code in it.
    """
    path = Path(path).expanduser()
    if is_safetensors(path):
        from safetensors.torch import load_file

        return load_file(path)
    allowed = [(_plain_dict, "collections.defaultdict"), *((Inert, name) for name in (*INERT_NAMES, *inert))]
    try:
        with torch.serialization.safe_globals(allowed):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(_refusal(path, allowed, error)) from error
    except (EOFError, RuntimeError, LookupError, ValueError, TypeError, AttributeError) as error:
        reason = str(error).splitlines()[0] if str(error) else "it ends too early"
        raise CheckpointError(f"{path} is cut off or damaged ({reason}): fetch it again") from error


def read_state_dict(path: str | Path, key: str | None = None) -> tuple[dict[str, Tensor], list[str]]:
    """The named tensors of a weights file, out of the usual wrapping.

    Parameters
    ----------
    path : path
        A local file, see `read_checkpoint`.
    key : str, optional
        Which entry of the file holds the weights, such as "state_dict_ema". By default the first of `WRAPPER_KEYS`,
        nested ones included, else the file's top level.

    Returns
    -------
    state : dict of str to Tensor
    notes : list of str
        What was left aside.

    Raises
    ------
    CheckpointError
        As `read_checkpoint`, or when no named tensors are found.
    """
    content, notes = read_checkpoint(path), []
    if key is not None:
        if not isinstance(content, Mapping) or key not in content:
            raise CheckpointError(f"{path} has no entry {key!r}; it holds {_describe(content)}")
        content = content[key]
    while isinstance(content, Mapping):
        inner = next((name for name in WRAPPER_KEYS if isinstance(content.get(name), Mapping)), None)
        beside = sorted(str(name) for name, value in content.items() if name != inner and not isinstance(value, Tensor))
        if beside:
            notes.append(f"entries beside the weights, not used: {_examples(beside)}")
        if inner is None:
            break
        content = content[inner]
    state = {}
    if isinstance(content, Mapping):
        state = {name: value for name, value in content.items() if isinstance(name, str) and isinstance(value, Tensor)}
    if not state:
        raise CheckpointError(
            f"{path} holds no named tensors but {_describe(content)}; name the entry with the weights, or save "
            "model.state_dict() by itself"
        )
    return state, notes


def load_weights(
    module: nn.Module,
    state: Mapping[str, Tensor],
    *,
    strict: bool = True,
    droppable: tuple[str, ...] = (),
    called: Mapping[str, str] | None = None,
) -> list[str]:
    """Fill a module with weights; every name that does not fit is told.

    Parameters
    ----------
    module : nn.Module
        Changed in place.
    state : mapping of str to Tensor
        A prefix that all names share ("module." of parallel training, "_orig_mod." of compilation, "model.") is taken off.
    strict : bool
        False: load what fits and say in the notes what was left out.
    droppable : tuple of str
        Beginnings of names that the file may have and the module not, such as ("fc.",) for a classifier that is not wanted.
    called : mapping of str to str, optional
        What the file calls the module's weights, where `state` was renamed: messages then speak of the file's names.

    Returns
    -------
    list of str
        Notes: what was ignored, with counts and examples.

    Raises
    ------
    CheckpointError
        Missing, unexpected or misshapen names (strict), or not a single name that fits.

    Examples
    --------
    >>> load_weights(nn.Linear(2, 1), {"module.weight": torch.ones(1, 2), "module.bias": torch.zeros(1)})
    []
    """
    own = module.state_dict()
    called = called or {}
    state = strip_prefixes(state, own)
    extra = sorted(set(state) - set(own))
    dropped = [name for name in extra if droppable and name.startswith(droppable)]
    misshapen = {name for name in set(own) & set(state) if own[name].shape != state[name].shape}
    # Counters of training steps change nothing in eval mode, and old files lack them.
    absent = {name for name in set(own) - set(state) if not name.endswith("num_batches_tracked")}
    faults = {
        "missing in the file": [called.get(name, name) for name in absent],
        "unexpected in the file": [name for name in extra if name not in dropped],
        "of another shape": [
            f"{called.get(name, name)} (file {tuple(state[name].shape)}, model {tuple(own[name].shape)})" for name in misshapen
        ],
    }
    notes = [f"{len(dropped)} weights of a head the model does not have: {_examples(dropped)}"] if dropped else []
    told = [f"{len(names)} weights {fault}: {_examples(names)}" for fault, names in faults.items() if names]
    fitting = {name: state[name] for name in set(own) & set(state) - misshapen}
    if told and (strict or not fitting):
        hint = "strict=False loads the rest and notes the gaps" if fitting else "it belongs to another architecture"
        raise CheckpointError(
            f"the weights do not fit {type(module).__name__} ({len(fitting)} of {len(own)} do): {'; '.join(told)}; {hint}"
        )
    module.load_state_dict(fitting, strict=False)
    return notes + [f"not loaded: {line}" for line in told]


def strip_prefixes(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Take wrapper prefixes off that every name of `state` has and the module's `own` names do not all have."""
    state, stripped = dict(state), True
    while stripped:
        stripped = False
        for prefix in WRAPPER_PREFIXES:
            everywhere = all(name.startswith(prefix) for name in state)
            if state and everywhere and not all(name.startswith(prefix) for name in own):
                state = {name.removeprefix(prefix): value for name, value in state.items()}
                stripped = True
    return state


def weights_fingerprint(module: nn.Module) -> str:
    """A hash of a module: its printed structure, and the names, types, shapes and bytes of its weights and buffers.

    The structure is part of it because paddings, strides and epsilons change the answers and are no weights. Memory layout and
    device do not matter.

    Returns
    -------
    str
        64 hexadecimal digits (SHA-256).
    """
    digest = hashlib.sha256(re.sub(r" at 0x[0-9a-f]+", "", repr(module)).encode())
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy())
    return digest.hexdigest()


def is_safetensors(path: Path, thorough: bool = True) -> bool:
    """Whether a file is safetensors (True) or of torch.save (False); anything else is an error that says what it is.

    `thorough`: check the sums of a zip archive too, which reads all of it.
    """
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise CheckpointError(f"{path} {what}: give the path of a .safetensors, .pth, .pt or .tar file with weights")
    size, head = path.stat().st_size, read_head(path)
    if head.startswith(b"PK"):
        return _check_torch_archive(path, size, thorough)
    if head.startswith(LEGACY_TORCH):
        return False
    if head[8:9] == b"{":
        return _check_safetensors(path, size, int.from_bytes(head[:8], "little"))
    raise CheckpointError(f"{path} {_foreign(head)} ({size:,} bytes): safetensors or a file of torch.save is needed")


def read_head(path: Path) -> bytes:
    """The first bytes of a file that exists; an error when it is empty, a git-lfs pointer or a web page."""
    with path.open("rb") as file:
        head = file.read(512)
    if not head:
        raise CheckpointError(f"{path} is empty: fetch it again")
    if head.startswith(b"version https://git-lfs"):
        promised = re.search(rb"size (\d+)", head)
        whole = f" (the weights have {int(promised[1]):,} bytes)" if promised else ""
        raise CheckpointError(f"{path} is a git-lfs pointer, not the weights{whole}: run `git lfs pull` or download the file")
    if head.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        raise CheckpointError(f"{path} is a web page, not weights: the download needs a login or another link")
    return head


def _foreign(head: bytes) -> str:
    """What a file is that holds no weights of ours, told from its first bytes."""
    if head.startswith(b"\x80"):
        return "is a pickle that torch.save did not write; it is not opened, because a pickle can run any program"
    if head.startswith(b"\x1f\x8b") or head[257:262] == b"ustar":
        return "is a compressed or tar archive: unpack it and give the file inside"
    if head.startswith(b"\x89HDF"):
        return "is an HDF5 file (Keras?)"
    return f"is of an unknown kind, it starts with {head[:8]!r}"


def _check_torch_archive(path: Path, size: int, thorough: bool) -> bool:
    """False (not safetensors) when a zip archive is a whole one of torch.save."""
    if not zipfile.is_zipfile(path):
        raise CheckpointError(f"{path} is cut off after {size:,} bytes (a zip archive without its end): fetch it again")
    with zipfile.ZipFile(path) as archive:
        members = {name.split("/", 1)[-1] for name in archive.namelist()}
        if "data.pkl" not in members:
            raise CheckpointError(f"{path} is a zip archive that torch.save did not write; it holds {_examples(members)}")
        if "constants.pkl" in members:
            raise CheckpointError(f"{path} is a TorchScript program, which is code: save its state_dict() instead")
        damaged = archive.testzip() if thorough else None  # torch itself does not look at the checksums
    if damaged:
        raise CheckpointError(f"{path} is damaged (wrong checksum of its part {damaged}): fetch it again")
    return False


def _check_safetensors(path: Path, size: int, header_size: int) -> bool:
    """True when a safetensors file has all the bytes that its header announces."""
    with path.open("rb") as file:
        file.seek(8)
        header = file.read(min(header_size, size))
    try:
        entries = {name: entry for name, entry in json.loads(header).items() if name != "__metadata__"}
        announced = 8 + header_size + max((entry["data_offsets"][1] for entry in entries.values()), default=0)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CheckpointError(f"{path} has a damaged or cut off safetensors header ({size:,} bytes): fetch it again") from error
    if announced != size:
        raise CheckpointError(f"{path} has {size:,} bytes where its header announces {announced:,}: fetch it again")
    return True


def _refusal(path: Path, allowed: list[tuple[Callable, str]], error: Exception) -> str:
    """Why a pickle was refused: the names in it that are no plain data."""
    try:
        with torch.serialization.safe_globals(allowed):
            permitted = {name for _, name in allowed}
            names = set(torch.serialization.get_unsafe_globals_in_checkpoint(path)) - permitted
    except ValueError:  # files of torch < 1.6 cannot be listed, but the error names the first offender
        names = set(re.findall(r"GLOBAL (\S+)", str(error)))
    what = f"asks for {_examples(names)}" if names else "is no plain data"
    return (
        f"{path} is refused: the pickle in it {what}, and opening it would run that code, which could be any program. Only "
        "tensors in plain containers are read. Where the file is trusted, load it there and save model.state_dict() again "
        "(safetensors, or torch.save)"
    )


def _describe(content: object) -> str:
    if isinstance(content, Mapping):
        return f"a dict with the keys {_examples(map(str, content))}" if content else "an empty dict"
    return f"a {type(content).__name__}"


def _examples(names, shown: int = 5) -> str:
    """The first few names and how many more there are."""
    names = sorted(names)
    more = f", ... ({len(names) - shown} more)" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more
