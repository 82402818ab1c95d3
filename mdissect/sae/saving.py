"""Sparse autoencoders on disk: safetensors with a JSON manifest, no pickle."""

from pathlib import Path

import torch
from torch import Tensor

from mdissect.files import DamagedFileError, read_whole_set, without_folders, write_together
from mdissect.sae.autoencoder import SparseAutoencoder
from mdissect.signatures import validated

MANIFEST, WEIGHTS = "sae.json", "weights.safetensors"
STATE, STATE_WEIGHTS = "training.json", "training.safetensors"
ADVICE = "take a whole copy of the folder, or train again"


@validated()
def load_sae(path: str | Path) -> SparseAutoencoder:
    """The sparse autoencoder in a folder, as `train` or `save_sae` wrote it.

    >>> target = attach(load_target("demo/mammo"), "bn2", load_sae("out/bn2"))                   # doctest: +SKIP

    FileNotFoundError: there is none. DamagedFileError: it is not what was written.
    """
    folder = Path(path)
    manifest = folder / MANIFEST
    if not manifest.is_file():
        there = " (an unfinished training: the same call of mdissect.sae.train goes on)" if (folder / STATE).is_file() else ""
        raise FileNotFoundError(f"{folder} holds no sparse autoencoder (no {MANIFEST}){there}; mdissect.sae.train makes one")
    document, tensors = _read(manifest, WEIGHTS)
    try:
        sae = SparseAutoencoder(document["width"], document["n_latents"], document["kind"], document["k"])
        sae.load_state_dict(tensors)
        sae.settings, sae.history = dict(document["settings"]), list(document["history"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise DamagedFileError(f"{manifest} does not describe the weights beside it ({error}); {ADVICE}") from error
    return sae.eval().requires_grad_(False)


@validated()
def save_sae(sae: SparseAutoencoder, path: str | Path) -> None:
    """Write an autoencoder into a folder, for `load_sae`; an earlier one there is replaced, completely or not at all."""
    document = {"width": sae.width, "n_latents": sae.n_latents, "kind": sae.kind, "k": sae.k}
    document |= {"settings": without_folders(sae.settings), "history": sae.history}
    write_together(Path(path) / MANIFEST, document, {WEIGHTS: _bytes(sae.state_dict())})


def write_state(folder: Path, document: dict, tensors: dict[str, Tensor]) -> None:
    """Write the state of a training, completely or not at all."""
    write_together(folder / STATE, document, {STATE_WEIGHTS: _bytes(tensors)})


def read_state(folder: Path) -> tuple[dict, dict[str, Tensor]] | None:
    """What `write_state` wrote; None if nothing. DamagedFileError where it is not what was written."""
    return _read(folder / STATE, STATE_WEIGHTS) if (folder / STATE).is_file() else None


def drop_state(folder: Path) -> None:
    """Remove the state of a training that has ended."""
    for path in (*folder.glob("training-*.safetensors"), folder / STATE, folder / f".{STATE}.lock"):
        path.unlink(missing_ok=True)


def _read(manifest: Path, name: str) -> tuple[dict, dict[str, Tensor]]:
    from safetensors.torch import load

    document, files = read_whole_set(manifest, ADVICE)
    if files is None or name not in files:
        raise DamagedFileError(f"{manifest} lists no {name}; {ADVICE}")
    return document, load(files[name])


def _bytes(tensors: dict[str, Tensor]) -> bytes:
    from safetensors.torch import save

    return save({name: torch.as_tensor(value).detach().cpu().contiguous() for name, value in tensors.items()})
