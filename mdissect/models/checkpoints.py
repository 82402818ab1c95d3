"""Weights from files that others made: read without running any of their code, every name accounted for."""

import hashlib
import pickle
import re
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from mdissect.arguments import listed
from mdissect.files import is_lfs_pointer

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


def read_checkpoint(path: str | Path) -> object:
    """What a local weights file holds: tensors in plain containers, on the CPU.

    >>> read_checkpoint("weights.pth").keys()                       # doctest: +SKIP
    dict_keys(['model', 'epoch'])

    safetensors files and files of torch.save are recognised by their content, whatever their name. Pickles are read
    by torch's restricted reader (weights_only) alone: classes it does not know are refused, except for a few that often
    stand beside weights (`INERT_NAMES`), which become `Inert` objects.

    Raises
    ------
    CheckpointError
        The file is missing, empty, cut off, damaged, a web page, a git-lfs pointer, an archive, or a pickle with code in it.
    """
    path = Path(path).expanduser()
    if is_safetensors(path):
        return load_file(path)
    allowed = [(_plain_dict, "collections.defaultdict"), *((Inert, name) for name in INERT_NAMES)]
    try:
        with torch.serialization.safe_globals(allowed):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(_refusal(path, allowed, error)) from error
    except (EOFError, RuntimeError, LookupError, ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(_damage(path, str(error).splitlines()[0] if str(error) else "it ends too early")) from error


def read_state_dict(path: str | Path) -> tuple[dict[str, Tensor], list[str]]:
    """The named tensors of a weights file, out of the usual wrapping, and notes on what was left aside.

    >>> state, notes = read_state_dict("weights.pth")               # doctest: +SKIP

    The weights are the file's first entry of `WRAPPER_KEYS`, nested ones included, else its top level.

    Raises
    ------
    CheckpointError
        As `read_checkpoint`, or when no named tensors are found.
    """
    content, notes = read_checkpoint(path), []
    while isinstance(content, Mapping):
        inner = next((name for name in WRAPPER_KEYS if isinstance(content.get(name), Mapping)), None)
        beside = sorted(str(name) for name, value in content.items() if name != inner and not isinstance(value, Tensor))
        if beside:
            notes.append(f"entries beside the weights, not used: {listed(beside)}")
        if inner is None:
            break
        content = content[inner]
    state = {}
    if isinstance(content, Mapping):
        state = {name: value for name, value in content.items() if isinstance(name, str) and isinstance(value, Tensor)}
    if not state:
        raise CheckpointError(f"{path} holds no named tensors but {_describe(content)}; save model.state_dict() by itself")
    return state, notes


def load_weights(
    module: nn.Module,
    state: Mapping[str, Tensor],
    *,
    schemes: Sequence[Mapping[str, str]] = (),
    unused: str = "",
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
        A prefix that all names share ("module." of parallel training, "_orig_mod." of compilation, "model.") is taken off.
    schemes : sequence of mapping of str to str, optional
        What files may call the module's weights (its own name -> the file's); the scheme that fits most names is taken, and
        messages speak of the file's names. By default the module's own names.
    unused : str, optional
        Pattern of the names that the file may have and the module not, such as r"fc\..*" for a classifier that is not wanted.
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
        Missing, unexpected or misshapen names (strict), or not a single name that fits.
    """
    own = module.state_dict()
    schemes = schemes or [{name: name for name in own}]
    state = strip_prefixes(state, schemes[0].values())
    called = max(schemes, key=lambda names: len(state.keys() & names.values()))
    own_names = {theirs: ours for ours, theirs in called.items()}
    state = {own_names.get(name, name): tensor for name, tensor in state.items()}
    extra = sorted(set(state) - set(own))
    dropped = [name for name in extra if re.fullmatch(unused, name)]
    misshapen = {name for name in set(own) & set(state) if own[name].shape != state[name].shape}
    # Counters of training steps change nothing in eval mode, and old files do not have them.
    absent = {name for name in set(own) - set(state) if not name.endswith("num_batches_tracked")}
    faults = {
        "missing in the file": [called[name] for name in absent],
        "unexpected in the file": [name for name in extra if name not in dropped],
        "of another shape": [
            f"{called[name]} (file {tuple(state[name].shape)}, model {tuple(own[name].shape)})" for name in misshapen
        ],
    }
    parts = dict.fromkeys(name.split(".")[0] for name in dropped)
    notes = [f"{len(dropped)} weights of the checkpoint not used, of {', '.join(parts)}"] if dropped else []
    reported = [f"{len(names)} weights {fault}: {listed(sorted(names))}" for fault, names in faults.items() if names]
    fitting = {name: state[name] for name in set(own) & set(state) - misshapen}
    if reported and (strict or not fitting):
        hint = "strict=False loads the rest and notes the gaps" if fitting else "it belongs to another architecture"
        raise CheckpointError(
            f"{f'{source}: ' if source else ''}the weights do not fit {type(module).__name__} "
            f"({len(fitting)} of {len(own)} do): {'; '.join(reported)}; {hint}"
        )
    module.load_state_dict(fitting, strict=False)
    return notes + [f"not loaded: {line}" for line in reported]


def fill(module: nn.Module, path: str | Path, **options) -> list[str]:
    """Fill a module with the weights in a file (`read_state_dict`, `load_weights` with these options); gives notes."""
    state, notes = read_state_dict(path)
    return notes + load_weights(module, state, source=path, **options)


def strip_prefixes(state: Mapping[str, Tensor], own: Collection[str]) -> dict[str, Tensor]:
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

    >>> weights_fingerprint(nn.Linear(2, 1)) == weights_fingerprint(nn.Linear(2, 2))
    False

    64 hexadecimal digits (SHA-256). The structure is part of it because paddings, strides and epsilons change the results and
    are no weights. Memory layout and device do not matter.
    """
    digest = hashlib.sha256(re.sub(r" at 0x[0-9a-f]+", "", repr(module)).encode())
    for name, value in sorted(module.state_dict().items()):
        for part in _plain_parts(name, value):
            if not isinstance(part, Tensor):
                digest.update(f"{name} {part!r}\n".encode())
                continue
            digest.update(f"{name} {part.dtype} {tuple(part.shape)}\n".encode())
            flat = part.detach().cpu().contiguous().reshape(-1)
            digest.update(flat.view(torch.uint8).numpy())
    return digest.hexdigest()


def _plain_parts(name: str, value: object) -> Iterator[object]:
    """A value of a state dict as tensors that have bytes, and plain values; quantised weights are taken apart."""
    if isinstance(value, Tensor) and value.is_quantized:
        per_channel = value.qscheme() in (torch.per_channel_affine, torch.per_channel_affine_float_qparams)
        scales = (value.q_per_channel_scales(), value.q_per_channel_zero_points()) if per_channel else ()
        yield from (value.int_repr(), *(scales or (value.q_scale(), value.q_zero_point())))
    elif isinstance(value, Tensor) and (value.is_meta or value.layout != torch.strided):
        what = "has no values (device meta)" if value.is_meta else f"has the layout {value.layout}"
        raise CheckpointError(f"weight {name!r} {what}: load plain, dense weights into the module first")
    elif isinstance(value, torch.ScriptObject):  # such as the packed weights of a quantised LSTM
        yield from _plain_parts(name, value.__getstate__())
    elif isinstance(value, (tuple, list, dict)):
        for part in value.items() if isinstance(value, dict) else value:
            yield from _plain_parts(name, part)
    elif isinstance(value, (Tensor, torch.dtype, str, bytes, int, float, type(None))):
        yield value
    else:
        raise CheckpointError(f"weight {name!r} is a {type(value).__name__}, whose values cannot be read: use plain weights")


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
        try:
            with safe_open(path, "pt"):  # compares the header with the size of the file
                return True
        except SafetensorError as error:
            raise CheckpointError(_damage(path, str(error))) from error
    raise CheckpointError(f"{path} {_foreign(head)} ({size:,} bytes): safetensors or a file of torch.save is needed")


def read_head(path: Path) -> bytes:
    """The first bytes of a file that exists; an error when it is empty, a git-lfs pointer or a web page."""
    with path.open("rb") as file:
        head = file.read(512)
    if not head:
        raise CheckpointError(f"{path} is empty: fetch it again")
    if is_lfs_pointer(head):
        promised = re.search(rb"size (\d+)", head)
        whole = f" (the weights have {int(promised[1]):,} bytes)" if promised else ""
        raise CheckpointError(f"{path} is a git-lfs pointer, not the weights{whole}: run `git lfs pull` or download the file")
    if head.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        raise CheckpointError(f"{path} is a web page, not weights: the download needs a login or another link")
    return head


def _foreign(head: bytes) -> str:
    """What kind of file starts with these bytes, which are not those of weights."""
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
            raise CheckpointError(f"{path} is a zip archive that torch.save did not write; it holds {listed(sorted(members))}")
        if "constants.pkl" in members:
            raise CheckpointError(f"{path} is a TorchScript program, which is code: save its state_dict() instead")
        damaged = archive.testzip() if thorough else None  # torch itself does not look at the checksums
    if damaged:
        raise CheckpointError(f"{path} is damaged (wrong checksum of its part {damaged}): fetch it again")
    return False


def _damage(path: Path, reason: str) -> str:
    return f"{path} is cut off or damaged ({reason}): fetch it again"


def _refusal(path: Path, allowed: list[tuple[Callable, str]], error: Exception) -> str:
    """Why a pickle was refused: the names in it that are no plain data."""
    try:
        with torch.serialization.safe_globals(allowed):
            permitted = {name for _, name in allowed}
            names = set(torch.serialization.get_unsafe_globals_in_checkpoint(path)) - permitted
    except ValueError:  # files of torch < 1.6 cannot be listed, but the error names the first offender
        names = set(re.findall(r"GLOBAL (\S+)", str(error)))
    what = f"asks for {listed(sorted(names))}" if names else "is no plain data"
    return (
        f"{path} is refused: the pickle in it {what}, and opening it would run that code, which could be any program. Only "
        "tensors in plain containers are read. Where the file is trusted, load it there and save model.state_dict() again "
        "(safetensors, or torch.save)"
    )


def _describe(content: object) -> str:
    if isinstance(content, Mapping):
        return f"a dict with the keys {listed(sorted(map(str, content)))}" if content else "an empty dict"
    return f"a {type(content).__name__}"
