"""Weights files from other sources: recognised by their content, and read without running any of their code."""

import hashlib
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from mdissect.arguments import listed, some_path
from mdissect.files import is_lfs_pointer
from mdissect.models.first_use import note_use
from mdissect.models.stand_ins import STAND_INS

LEGACY_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."


_EXPORTED = re.compile(r"exported_program|^archive_format$|^models/\w+\.json$")  # parts of a program of torch.export


class CheckpointError(ValueError):
    """A weights file that cannot be used; the message says why and what to do."""


def read_checkpoint(path: str | Path) -> object:
    """The content of a local weights file: tensors in plain containers, on the CPU.

    >>> read_checkpoint("weights.pth").keys()                       # doctest: +SKIP
    dict_keys(['model', 'epoch'])

    safetensors files and files of torch.save are recognised by their content, whatever their name. Pickles are read
    by torch's restricted reader (weights_only) alone: classes it does not know are refused, except for numpy's arrays (`Array`
    objects) and a few that often stand beside weights (`stand_ins.INERT_NAMES`), which become `Inert` objects. A file that
    changed since it was first used brings a warning (see `mdissect.models.first_use`).

    Raises
    ------
    CheckpointError
        The file is missing, empty, cut off, damaged, a web page, a git-lfs pointer, an archive, or a pickle with code in it.
    """
    path = some_path("checkpoint", path)
    content = _read(path)
    note_use(path)
    return content


def _read(path: Path) -> object:
    """The content of a weights file."""
    try:
        if is_safetensors(path):
            return load_file(path)
        with torch.serialization.safe_globals(list(STAND_INS)):
            return torch.load(path, map_location="cpu", weights_only=True)
    except CheckpointError:
        raise
    except Exception as error:  # damaged bytes end in any error of the readers, that of pickles among them
        if type(error).__name__ == "UnpicklingError":
            raise CheckpointError(_refusal(path, error)) from error
        raise CheckpointError(_damage(path, str(error).splitlines()[0] if str(error) else "it ends too early")) from error


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
        yield value.int_repr()
        yield from (value.q_per_channel_scales(), value.q_per_channel_zero_points()) if per_channel else ()
        yield value.q_per_channel_axis() if per_channel else (value.q_scale(), value.q_zero_point())
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
    """Whether a file is safetensors (True) or of torch.save (False); anything else is an error that describes the file.

    `thorough`: check the sums of a zip archive too, which reads all of it.
    """
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "is not a regular file" if path.exists() else "does not exist"
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
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror})") from error
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
    """The kind of a file with these first bytes, which are not those of weights."""
    if head.startswith(b"\x80"):
        return "is a pickle that torch.save did not write; it is not opened, because a pickle can run any program"
    if head.startswith(b"\x1f\x8b") or head[257:262] == b"ustar":
        return "is a compressed or tar archive: unpack it and give the file inside"
    if head.startswith(b"\x89HDF"):
        return "is an HDF5 file (Keras?)"
    if head.lstrip().startswith((b"{", b"[")):
        return "is a JSON file (the index of a model in several parts? give the weights, in one file)"
    if head.startswith(b"\x93NUMPY"):
        return "is one array of NumPy: put arrays into a dict by name and torch.save that"
    return f"is of an unknown kind, it starts with {head[:8]!r}"


def _check_torch_archive(path: Path, size: int, thorough: bool) -> bool:
    """False (not safetensors) when a zip archive is a complete one of torch.save."""
    if not zipfile.is_zipfile(path):
        raise CheckpointError(f"{path} is cut off after {size:,} bytes (a zip archive without its end): fetch it again")
    try:
        with zipfile.ZipFile(path) as archive:
            members = {entry.filename.split("/", 1)[-1]: entry for entry in archive.infolist()}
            packed = [name for name, entry in members.items() if entry.compress_type != zipfile.ZIP_STORED]
            whole = "data.pkl" in members and "constants.pkl" not in members and not packed
            damaged = archive.testzip() if whole and thorough else None  # torch itself does not look at the checksums
    except Exception as error:  # zipfile has no error of its own for most of what a flipped bit does
        raise CheckpointError(_damage(path, str(error) or type(error).__name__)) from error
    if "data.pkl" not in members and any(_EXPORTED.search(name) for name in members):
        raise CheckpointError(
            f"{path} is a program of torch.export, which is code, and whose layers cannot be recorded: save the module's "
            "state_dict() instead"
        )
    if "data.pkl" not in members:
        arrays = (
            " (NumPy's? put the arrays into a dict by name and torch.save that)"
            if any(n.endswith(".npy") for n in members)
            else ""
        )
        raise CheckpointError(
            f"{path} is a zip archive that torch.save did not write; it holds {listed(sorted(members))}{arrays}"
        )
    if "constants.pkl" in members:
        raise CheckpointError(
            f"{path} is a TorchScript program, which is code, and whose layers cannot be recorded: save its state_dict() "
            "instead"
        )
    if packed:  # torch.save packs nothing, and what is packed could grow beyond all bounds
        raise CheckpointError(
            f"{path} is damaged or was packed again (its part {packed[0]} is compressed): torch.save it again"
        )
    if damaged:
        raise CheckpointError(f"{path} is damaged (wrong checksum of its part {damaged}): fetch it again")
    return False


def _damage(path: Path, reason: str) -> str:
    return f"{path} is cut off or damaged ({reason}): fetch it again"


def _refusal(path: Path, error: Exception) -> str:
    """Why a pickle was refused: the names in it that are not plain data."""
    try:
        with torch.serialization.safe_globals(list(STAND_INS)):
            permitted = {name for _, name in STAND_INS}
            names = set(torch.serialization.get_unsafe_globals_in_checkpoint(path)) - permitted
    except Exception:  # files of torch < 1.6 and damaged ones cannot be listed, but the error names the first offender
        names = set(re.findall(r"GLOBAL (\S+)", str(error)))
    what = f"asks for {listed(sorted(names))}" if names else "is not plain data, or damaged"
    return (
        f"{path} is refused: the pickle in it {what}, and opening it would run that code, which could be any program. Only "
        "tensors in plain containers are read. Where the file is trusted, load it there and save model.state_dict() again "
        "(safetensors, or torch.save)"
    )
