"""One pass over a probe: the activations of all layers and the image embeddings, into the store."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
import torch
from torch import Tensor

from mdissect.checkpoints import weights_fingerprint
from mdissect.hooks import check_pool, find_layer, record
from mdissect.models import Dissector, Target
from mdissect.probes import Probe
from mdissect.reading import Batch, Group, PassOptions, image_groups, prepared_batches
from mdissect.store import Entry, Store, exclusive, open_store


@dataclass(frozen=True)
class Recording:
    """What target and dissector made of a probe; rows in the order of the probe's ids.

    Attributes
    ----------
    activations : dict of layer to (n_images, n_neurons) float32
    image_embeddings : (n_images, d) float32, unit norm
    """

    activations: dict[str, np.ndarray]
    image_embeddings: np.ndarray


def embed_probe(
    target: Target,
    dissector: Dissector,
    probe: Probe,
    layers: Sequence[str],
    pool: str = "mean",
    store: Store | str | os.PathLike | None = None,
    device: str = "auto",
    options: PassOptions | None = None,
) -> Recording:
    """Show the probe to target and dissector, once, and keep what they answer.

    Only chunks of images that the store lacks are computed. Each image is read once; it is prepared once when the two
    models share their preprocessing, and runs through one tower once when they share that too.

    Parameters
    ----------
    layers : sequence of str
        Module paths of the target.
    pool : {"mean", "max", "cls"}
        See `mdissect.hooks.record`.
    store : Store, path or None
        None keeps everything in memory.
    device : str
        "auto" takes CUDA, then Apple's MPS, then the CPU.

    Returns
    -------
    Recording

    Raises
    ------
    ValueError
        Unknown layer or pool, or a target that was trained since it was loaded.
    StoreError
        The store cannot be written; finished chunks stay.
    """
    check_pool(pool)
    for layer in layers:
        find_layer(target.module, layer)
    if weights_fingerprint(target.module) != target.fingerprint:
        raise ValueError(
            f"the weights of target {target.name!r} changed since it was loaded; make a new target: load_target(...)"
        )
    store = open_store(store)
    seen = {"probe": probe.key(), "pool": pool, "weights": target.fingerprint, "preprocess": target.preprocess.key()}
    entries = {
        layer: store.entry({"kind": "activations", "layer": layer, **seen, "versions": _versions()}, len(probe))
        for layer in layers
    }
    embeddings = store.entry(
        {
            "kind": "images",
            "probe": probe.key(),
            "weights": dissector.fingerprint,
            "versions": _versions(),
            "preprocess": dissector.preprocess.key() if dissector.needs_pixels else None,
        },
        len(probe),
    )
    wanted = [*entries.values(), embeddings]
    if any(entry.missing() for entry in wanted):
        with exclusive(wanted):
            _fill(target, dissector, probe, entries, embeddings, pool, resolve_device(device), options or PassOptions())
    return Recording({layer: entry.read() for layer, entry in entries.items()}, embeddings.read())


def embed_concepts(dissector: Dissector, concepts: Sequence[str], store: Store | str | os.PathLike | None = None) -> np.ndarray:
    """Text embeddings (n_concepts, d) of concepts as bare phrases, kept in the store."""
    store = open_store(store)
    key = {"kind": "texts", "weights": dissector.text_fingerprint, "concepts": list(concepts), "versions": _versions()}
    entry = store.entry(key, len(concepts))
    if entry.missing():
        with exclusive([entry]):
            for chunk in entry.missing():
                entry.write(chunk, dissector.embed_texts(list(concepts[entry.rows(chunk)])).float().cpu().numpy())
    return entry.read()


def resolve_device(device: str = "auto") -> torch.device:
    """ "auto" to CUDA, MPS or the CPU, whichever is there first; anything else as torch names it."""
    if device != "auto":
        return torch.device(device)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


@torch.inference_mode()
def _fill(
    target: Target,
    dissector: Dissector,
    probe: Probe,
    entries: dict[str, Entry],
    embeddings: Entry,
    pool: str,
    device: torch.device,
    options: PassOptions,
) -> None:
    """Compute the missing chunks. Runs under the entries' locks."""
    lacking = {layer: set(entry.missing()) for layer, entry in entries.items()}
    to_embed = set(embeddings.missing())
    if not dissector.needs_pixels:
        for chunk in to_embed:
            ids = [probe.ids[i] for i in range(len(probe))[embeddings.rows(chunk)]]
            embeddings.write(chunk, dissector.encode_ids(ids).float().cpu().numpy())
        to_embed = set()
    to_record = set().union(*lacking.values())
    runner = _Runner(target.to(device), dissector.to(device), pool, device)
    groups = image_groups(embeddings, to_record, to_embed, options.batch_size)
    batches = iter(prepared_batches(target, dissector, probe, groups, options.workers))
    with _bar(f"{target.name} on {probe.name}", groups, options.progress) as bar:
        for chunk, together in groupby(groups, key=lambda group: group.chunk):
            layers = [layer for layer in entries if chunk in lacking[layer]]
            parts = []
            for group in together:
                parts.append(runner.run(next(batches), layers, group.embed))
                bar.update(len(group.positions))
            for layer in layers:
                entries[layer].write(chunk, torch.cat([part.activations[layer] for part in parts]).cpu().numpy())
            if chunk in to_embed:
                embeddings.write(chunk, torch.cat([part.embedded for part in parts]).float().cpu().numpy())


@dataclass
class _Part:
    """One batch's answers, still on the device."""

    activations: dict[str, Tensor] = field(default_factory=dict)
    embedded: Tensor | None = None


@dataclass
class _Runner:
    """Runs a batch through what is needed: the target, the dissector's image tower, or one tower for both."""

    target: Target
    dissector: Dissector
    pool: str
    device: torch.device

    def __post_init__(self):
        self.target.module.eval()  # it may have been trained since it was loaded

    def run(self, batch: Batch, layers: list[str], embed: bool) -> _Part:
        part = _Part()
        seen, seen_by_dissector = (None if x is None else self._to_device(x) for x in batch)
        if layers and embed and self._one_tower():
            with record(self.dissector.image_tower, layers, self.pool) as recorded:
                part.embedded = self.dissector.embed_images(seen)
            part.activations, embed = dict(recorded.activations), False
        lacking = [layer for layer in layers if layer not in part.activations]  # such as a head that embedding does not use
        if lacking:
            with record(self.target.module, lacking, self.pool) as recorded:
                self.target.module(seen)
            part.activations |= {layer: recorded[layer] for layer in lacking}
        if embed:
            part.embedded = self.dissector.embed_images(seen if seen_by_dissector is None else seen_by_dissector)
        return part

    def _one_tower(self) -> bool:
        return (
            self.dissector.image_tower is not None
            and self.dissector.image_fingerprint == self.target.fingerprint
            and self.dissector.preprocess == self.target.preprocess
        )

    def _to_device(self, x: Tensor) -> Tensor:
        return x.to(self.device, non_blocking=True).contiguous(memory_format=torch.channels_last)


def _bar(label: str, groups: list[Group], shown: bool):
    """A bar that counts images, hidden where there are none."""
    from tqdm.auto import tqdm

    n_images = sum(len(group.positions) for group in groups)
    return tqdm(total=n_images, unit="image", desc=label, disable=not (shown and n_images))


def _versions() -> dict[str, str]:
    """The libraries whose numerics the stored values depend on."""
    from importlib.metadata import version

    return {name: version(name) for name in ("torch", "timm", "transformers")}
