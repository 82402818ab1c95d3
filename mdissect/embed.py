"""One pass over a probe: the activations of all layers and the image embeddings, into the store."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
import torch
from torch import Tensor

from mdissect.arguments import whole_number
from mdissect.axes import Layout, given_layouts
from mdissect.hooks import check_pool, record
from mdissect.models import Dissector, Target, dtype_of, resolve_device, weights_fingerprint
from mdissect.outputs import as_layouts, evaluating, find_layer, settle_axes
from mdissect.probes import Probe
from mdissect.store import Entry, MemoryStore, Store, StoreLike, exclusive, open_store

INTENSITY_IMAGES = 8  # whose pixel values stand for the probe's

# Images as the target sees them (or both models, if they prepare alike), and as the dissector does.
Batch = tuple[Tensor | None, Tensor | None]


@dataclass(frozen=True)
class PassOptions:
    """How a pass runs; but for `axes` and `prefix_tokens`, none of it changes the result.

    Attributes
    ----------
    batch_size : int
        Images in the model at a time.
    workers : int or None
        Processes that read images; None chooses by the number of images and cores, 0 reads in this process.
    progress : bool
        Show a bar with the image rate.
    axes : mapping of str to str, optional
        By layer, which axis of its output is which, where a pass cannot tell it: see `mdissect.hooks.record`.
    prefix_tokens : int, optional
        How many tokens stand before the patches, for ``pool="patches"`` where the network does not tell it.
    """

    batch_size: int = 32
    workers: int | None = None
    progress: bool = True
    axes: Mapping[str, str] | None = None
    prefix_tokens: int | None = None

    def __post_init__(self):
        if self.batch_size < 1:
            raise ValueError(f"batch_size={self.batch_size} must be at least 1")
        given_layouts({} if self.axes is None else self.axes)
        if self.prefix_tokens is not None:
            whole_number("prefix_tokens", self.prefix_tokens, least=0)

    def stated(self) -> dict:
        """What of this changes numbers, for the settings of a result."""
        stated = {"axes": dict(self.axes) if self.axes else None, "prefix_tokens": self.prefix_tokens}
        return {name: value for name, value in stated.items() if value is not None}

    def key(self, layer: str, pool: str) -> dict:
        """What of this changes the numbers of a layer, for the store's key."""
        key = {"axes": self.axes[layer]} if self.axes and layer in self.axes else {}
        return key | ({"prefix_tokens": self.prefix_tokens} if self.prefix_tokens is not None and pool == "patches" else {})


@dataclass(frozen=True)
class Group:
    """Images that run together: positions in the probe, all of one chunk, and what is wanted of them."""

    chunk: int
    positions: range
    record: bool
    embed: bool


@dataclass(frozen=True)
class Recording:
    """Activations and image embeddings of a probe; rows in the order of the probe's ids.

    `activations` are (n_images, n_neurons) float32 by layer, `image_embeddings` (n_images, d) float32 of unit norm.
    `intensities` are the smallest ("min"), "mean" and largest ("max") pixel value and "bits" in use over 8 images: a wrong
    scale shows here, 12 bits under a 16-bit type, or a probe far darker than the model's training images.
    """

    activations: dict[str, np.ndarray]
    image_embeddings: np.ndarray
    intensities: dict[str, float]


def embed_probe(
    target: Target,
    dissector: Dissector,
    probe: Probe,
    layers: Sequence[str],
    pool: str = "mean",
    store: StoreLike = None,
    device: str = "auto",
    options: PassOptions | None = None,
) -> Recording:
    """Show the probe to target and dissector, once, and keep their activations and embeddings.

    Only chunks of images that are missing in the store are computed; without a store all stays in memory. Each image is read
    once (a few again, for the intensities); it is prepared once when the two models share their preprocessing, and runs
    through one tower once when they share that too. A target that was trained since it was loaded is a ValueError; a store
    that cannot be written is a StoreError, finished chunks stay.
    """
    check_pool(pool)
    options = options or PassOptions()
    for layer in layers:
        find_layer(target.module, layer)
    as_layouts(options.axes or {}, layers)  # an unknown layer is an error
    if weights_fingerprint(target.module) != target.fingerprint:
        raise ValueError(
            f"the weights of target {target.name!r} changed since it was loaded; make a new target: load_target(...)"
        )
    store = open_store(store)
    seen = {"probe": probe.key(), "pool": pool, "weights": target.fingerprint, "preprocess": target.preprocess.key()}
    entries = {
        layer: store.entry(
            {"kind": "activations", "layer": layer, **seen, "versions": _versions(), **options.key(layer, pool)}, len(probe)
        )
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
            _fill(target, dissector, probe, entries, embeddings, pool, resolve_device(device), options)
    activations = {layer: entry.read() for layer, entry in entries.items()}
    return Recording(activations, embeddings.read(), _intensities(probe, store))


def embed_concepts(dissector: Dissector, concepts: Sequence[str], store: StoreLike = None) -> np.ndarray:
    """Text embeddings (n_concepts, d) of concepts as bare phrases, kept in the store."""
    store = open_store(store)
    key = {"kind": "texts", "weights": dissector.text_fingerprint, "concepts": list(concepts), "versions": _versions()}
    entry = store.entry(key, len(concepts))
    if entry.missing():
        with exclusive([entry]):
            for chunk in entry.missing():
                entry.write(chunk, dissector.embed_texts(list(concepts[entry.rows(chunk)])).float().cpu().numpy())
    return entry.read()


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
    missing = {layer: set(entry.missing()) for layer, entry in entries.items()}
    to_embed = set(embeddings.missing())
    if not dissector.needs_pixels:
        for chunk in to_embed:
            ids = [probe.ids[i] for i in range(len(probe))[embeddings.rows(chunk)]]
            embeddings.write(chunk, dissector.encode_ids(ids).float().cpu().numpy())
        to_embed = set()
    to_record = set().union(*missing.values())
    runner = _Runner(target.to(device), dissector.to(device), pool, device, options)
    groups = image_groups(embeddings, to_record, to_embed, options.batch_size)
    batches = iter(prepared_batches(target, dissector, probe, groups, options.workers))
    with evaluating(target.module), _bar(f"{target.name} on {probe.name}", groups, options.progress) as bar:
        for chunk, together in groupby(groups, key=lambda group: group.chunk):
            layers = [layer for layer in entries if chunk in missing[layer]]
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
    """The activations and embeddings (n, d) of one batch, still on the device."""

    activations: dict[str, Tensor] = field(default_factory=dict)
    embedded: Tensor | None = None


@dataclass
class _Runner:
    """Runs a batch through what is needed: the target, the dissector's image tower, or one tower for both."""

    target: Target
    dissector: Dissector
    pool: str
    device: torch.device
    options: PassOptions
    layouts: dict[str, Layout] = field(default_factory=dict)

    def run(self, batch: Batch, layers: list[str], embed: bool) -> _Part:
        part = _Part()
        seen, seen_by_dissector = (None if x is None else self._to_device(x) for x in batch)
        if layers:
            shown = seen.to(dtype_of(self.target.module))
            self._settle(layers, shown)
        if layers and embed and self._one_tower():
            with record(self.dissector.image_tower, layers, self.pool, self._of(layers)) as recorded:
                part.embedded = self.dissector.embed_images(seen)
            part.activations, embed = dict(recorded.activations), False
        others = [layer for layer in layers if layer not in part.activations]  # such as a head that embedding does not use
        if others:
            with record(self.target.module, others, self.pool, self._of(others)) as recorded:
                self._show(shown)
            part.activations |= {layer: recorded[layer] for layer in others}
            self.layouts |= recorded.layouts  # what only the batch itself could tell
        if embed:
            part.embedded = self.dissector.embed_images(seen if seen_by_dissector is None else seen_by_dissector)
        self._check(part, len(seen if seen is not None else seen_by_dissector))
        return part

    def _show(self, shown: Tensor) -> None:
        try:
            self.target.module(shown)
        except RuntimeError as error:
            if not re.search("not implemented for|dtype|scalar type|input type|data type", str(error), re.IGNORECASE):
                raise
            raise ValueError(
                f"target {self.target.name!r} does not compute in {shown.dtype}, the precision of its first weights, on "
                f"{self.device} ({str(error).splitlines()[0]}); convert all of it, such as module.float(), and load it again"
            ) from error

    def _settle(self, layers: list[str], shown: Tensor) -> None:
        """The layers' axes, once for all batches."""
        if new := [layer for layer in layers if layer not in self.layouts]:
            given = {layer: letters for layer, letters in (self.options.axes or {}).items() if layer in new}
            self.layouts |= settle_axes(self.target.module, new, shown, self.pool, given, self.options.prefix_tokens)

    def _of(self, layers: list[str]) -> dict[str, Layout]:
        return {layer: self.layouts[layer] for layer in layers if layer in self.layouts}

    def _check(self, part: _Part, n: int) -> None:
        """An error unless each image has its row."""
        for layer, rows in part.activations.items():
            if len(rows) != n:
                raise ValueError(
                    f"layer {layer!r} gives {tuple(rows.shape)} for {n} images: its rows are not images; ask for another "
                    "layer, or say which axis is which with axes="
                )
        if part.embedded is not None and len(part.embedded) != n:
            raise ValueError(
                f"dissector {self.dissector.name!r} embeds {n} images as {tuple(part.embedded.shape)}; expected (n, d)"
            )

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


def image_groups(entry: Entry, to_record: set[int], to_embed: set[int], batch_size: int) -> list[Group]:
    """The images of the missing chunks, in order."""
    groups = []
    for chunk in sorted(to_record | to_embed):
        rows = range(entry.n_rows)[entry.rows(chunk)]
        parts = [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]
        groups += [Group(chunk, part, chunk in to_record, chunk in to_embed) for part in parts]
    return groups


class _PreparedImages(torch.utils.data.Dataset):
    """Groups of images to prepared batches; each image is read once and prepared no more often than needed."""

    def __init__(self, probe: Probe, target: Target, dissector: Dissector, groups: list[Group]):
        self.probe, self.groups = probe, groups
        self.for_target, self.for_dissector = target.preprocess, dissector.preprocess
        self.alike = self.for_target == self.for_dissector

    def __len__(self) -> int:
        return len(self.groups)

    def __getitem__(self, index: int) -> Batch:
        group = self.groups[index]
        images = [self.probe[i] for i in group.positions]
        first = torch.stack([self.for_target(image) for image in images]) if group.record or self.alike else None
        second = torch.stack([self.for_dissector(image) for image in images]) if group.embed and not self.alike else None
        return first, second


def prepared_batches(
    target: Target, dissector: Dissector, probe: Probe, groups: list[Group], workers: int | None
) -> torch.utils.data.DataLoader:
    """The groups' batches, in order, read ahead by worker processes."""
    if workers is None:
        n_images = sum(len(group.positions) for group in groups)
        workers = 0 if n_images <= 128 else min(8, os.cpu_count() or 1)
    images = _PreparedImages(probe, target, dissector, groups)
    return torch.utils.data.DataLoader(images, batch_size=None, num_workers=workers)


def _intensities(probe: Probe, store: Store | MemoryStore) -> dict[str, float]:
    """`Recording.intensities`, kept in the store."""
    names = ("min", "mean", "max", "bits")
    entry = store.entry({"kind": "intensities", "probe": probe.key()}, 1)
    if entry.missing():
        summary = probe.intensity_summary(INTENSITY_IMAGES)
        with exclusive([entry]):
            entry.write(0, [[summary["min"].min(), summary["mean"].mean(), summary["max"].max(), summary["bits"].max()]])
    return dict(zip(names, entry.read()[0].round(3).tolist(), strict=True))
