"""One pass over a probe: the activations of all layers and the image embeddings, into the store."""

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch
from torch import Tensor

from mdissect.arguments import listed, texts, true_or_false, whole_number
from mdissect.axes import given_layouts
from mdissect.concepts import ConceptSet, Prompts
from mdissect.hooks import POOLS
from mdissect.models import Dissector, Target, resolve_device, weights_fingerprint
from mdissect.outputs import as_layouts, evaluating, find_layer
from mdissect.preprocess import Preprocess
from mdissect.probes import ImageFileError, Probe
from mdissect.runner import Batch, Runner
from mdissect.signatures import validated
from mdissect.store import Entry, MemoryStore, Store, StoreLike, exclusive, open_store

LAYOUT = "settled by sizes and modules"  # activations of older rules, which went by the number of axes, are not read
NOTHING_LEFT = 1e-4  # of unit length: the rounding of float32 with a margin
INTENSITY_IMAGES = 8  # whose pixel values are taken for the whole probe


@dataclass(frozen=True)
class PassOptions:
    """How a pass runs; only `axes` and `prefix_tokens` change the result.

    Attributes
    ----------
    batch_size : int
        Images in the model at a time.
    workers : int or None
        Processes that read images; None chooses by the number of images and cores, 0 reads in this process.
    progress : bool
        Show a bar with the image rate.
    axes : mapping of str to str, optional
        By layer, the axes of its output if they are ambiguous: see `mdissect.hooks.record`.
    prefix_tokens : int, optional
        How many tokens come before the patches, for ``pool="patches"`` if the network does not declare it.
    """

    batch_size: int = 32
    workers: int | None = None
    progress: bool = True
    axes: Mapping[str, str] | None = None
    prefix_tokens: int | None = None

    def __post_init__(self):
        object.__setattr__(self, "batch_size", whole_number("batch_size", self.batch_size, 1))
        if self.workers is not None:
            object.__setattr__(self, "workers", whole_number("workers", self.workers, 0))
        object.__setattr__(self, "progress", true_or_false("progress", self.progress))
        given_layouts({} if self.axes is None else self.axes)
        if self.prefix_tokens is not None:
            object.__setattr__(self, "prefix_tokens", whole_number("prefix_tokens", self.prefix_tokens, 0))

    def stated(self) -> dict:
        """The options that change numbers, for the settings of a result."""
        stated = {"axes": dict(self.axes) if self.axes else None, "prefix_tokens": self.prefix_tokens}
        return {name: value for name, value in stated.items() if value is not None}

    def key(self, layer: str, pool: str) -> dict:
        """The options that change the numbers of a layer, for the store's key."""
        key = {"axes": self.axes[layer]} if self.axes and layer in self.axes else {}
        return key | ({"prefix_tokens": self.prefix_tokens} if self.prefix_tokens is not None and pool == "patches" else {})


@dataclass(frozen=True)
class Group:
    """A batch: positions in the probe, all of one chunk, and the outputs wanted."""

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


@validated(pool=POOLS)
def embed_probe(
    target: Target,
    dissector: Dissector,
    probe: Probe,
    layers: Sequence[str],
    pool: str = "mean",
    store: StoreLike = None,
    device: str | torch.device = "auto",
    options: PassOptions | None = None,
) -> Recording:
    """Run the probe through target and dissector once, and store activations and embeddings.

    Only chunks of images that are missing in the store are computed; without a store all stays in memory. Each image is read
    once (a few again, for the intensities); it is prepared once when the two models share their preprocessing, and runs
    through one tower once when they share that too. A target that was trained since it was loaded is a ValueError; a store
    that cannot be written is a StoreError, finished chunks stay.
    """
    options = options or PassOptions()
    store, probe_key = open_store(store), probe.key()
    entries = _activation_entries(target, probe, probe_key, layers, pool, store, options)
    embeddings = _embeddings_entry(dissector, probe, probe_key, store)
    wanted = [*entries.values(), embeddings]
    if any(entry.missing() for entry in wanted):
        with exclusive(wanted):
            _fill(target, dissector, probe, entries, embeddings, pool, resolve_device(device), options)
    activations = {layer: entry.read() for layer, entry in entries.items()}
    return Recording(activations, embeddings.read(), _intensities(probe, probe_key, store))


@validated(layers=texts, pool=POOLS)
def record_probe(
    target: Target,
    probe: Probe,
    layers: Sequence[str],
    pool: str = "mean",
    store: StoreLike = None,
    device: str | torch.device = "auto",
    options: PassOptions | None = None,
) -> dict[str, np.ndarray]:
    """Activations of a probe by layer, (n_images, n_neurons) float32, without a dissector: what `embed_probe` records.

    >>> record_probe(load_target("demo/mammo"), load_probe("phantom", n_images=8), ["bn2"])["bn2"].shape    # doctest: +SKIP
    (8, 256)

    The store, and the errors, are those of `embed_probe`.
    """
    options = options or PassOptions()
    entries = _activation_entries(target, probe, probe.key(), layers, pool, open_store(store), options)
    if any(entry.missing() for entry in entries.values()):
        with exclusive(list(entries.values())):
            _fill(target, None, probe, entries, None, pool, resolve_device(device), options)
    return {layer: entry.read() for layer, entry in entries.items()}


@validated()
def embed_images(
    dissector: Dissector,
    probe: Probe,
    store: StoreLike = None,
    device: str | torch.device = "auto",
    options: PassOptions | None = None,
) -> Iterator[np.ndarray]:
    """Image embeddings of a probe, (n_rows, d) float32 of unit norm, chunk by chunk in the order of its images.

    >>> np.concatenate(list(embed_images(load_dissector("demo/mammo"), probe)))                  # doctest: +SKIP

    They are those of `embed_probe`, in the same place of the store; with one on disk only a chunk at a time is in memory.
    """
    entry = _embeddings_entry(dissector, probe, probe.key(), open_store(store))
    entry.keep = False
    if entry.missing():
        alone = Target(dissector.name, torch.nn.Identity(), dissector.preprocess, (), "")  # shown no image
        with exclusive([entry]):
            _fill(alone, dissector, probe, {}, entry, "mean", resolve_device(device), options or PassOptions())
    return entry.chunks()


@validated(concepts=lambda name, value: value if isinstance(value, ConceptSet) else texts(name, value))
def embed_concepts(dissector: Dissector, concepts: ConceptSet | Sequence[str], store: StoreLike = None) -> np.ndarray:
    """Text embeddings (n_concepts, d) of unit norm, kept in the store; a warning for concepts that are one.

    A list of str is embedded as bare phrases, a ConceptSet by its templates (see `mdissect.concepts.Prompts`).

    Raises
    ------
    ValueError
        A text that the dissector refuses, templates for a dissector that knows concepts by their names alone, or a concept
        of which nothing is left where the empty template is subtracted.
    """
    prompts = concepts.prompts if isinstance(concepts, ConceptSet) else Prompts()
    concepts = list(concepts)
    if groups := [" = ".join(map(repr, group)) for group in dissector.alike(concepts)]:
        warnings.warn(
            f"concepts that are one to {dissector.name}, which gives them the same similarities (the first is the label): "
            f"{listed(groups)}",
            stacklevel=3,
        )
    store = open_store(store)
    if not prompts.templates:
        return _embed_texts(dissector, concepts, store)
    return _embed_prompts(dissector, concepts, prompts, store)


def _embed_prompts(dissector: Dissector, concepts: list[str], prompts: Prompts, store: Store | MemoryStore) -> np.ndarray:
    """Text embeddings (n_concepts, d) by templates."""
    if not dissector.reads_sentences:
        raise ValueError(
            f"dissector {dissector.name!r} knows concepts by their names alone, so that templates mean nothing to it; use "
            "concepts without templates (concepts.with_templates(None))"
        )
    sentences = zip(*map(prompts.filled, concepts), strict=True)
    total = sum(_unit(_embed_texts(dissector, list(of_template), store)) for of_template in sentences)
    if prompts.subtract_empty:
        total = total - _unit(_embed_texts(dissector, prompts.empty(), store)).sum(axis=0)
    left = np.linalg.norm(total, axis=1) / len(prompts.templates)
    if (nothing := left < NOTHING_LEFT).any():
        lost = [repr(concepts[i]) for i in np.flatnonzero(nothing)]
        raise ValueError(
            f"{len(lost)} concepts leave nothing of their templates' embeddings: {listed(lost)}; drop them, or use other "
            "templates"
        )
    return _unit(total).astype(np.float32)


def _embed_texts(dissector: Dissector, sentences: list[str], store: Store | MemoryStore) -> np.ndarray:
    """The dissector's embeddings of texts (n, d), kept in the store."""
    key = {"kind": "texts", "weights": dissector.text_fingerprint, "concepts": sentences, "versions": library_versions()}
    entry = store.entry(key, len(sentences))
    if entry.missing():
        with exclusive([entry]):
            for chunk in entry.missing():
                entry.write(chunk, dissector.embed_texts(sentences[entry.rows(chunk)]).float().cpu().numpy())
    return entry.read()


def _unit(rows: np.ndarray) -> np.ndarray:
    """Rows of unit length, in float64."""
    rows = np.asarray(rows, dtype=float)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def _embeddings_entry(dissector: Dissector, probe: Probe, probe_key: str, store: Store | MemoryStore) -> Entry:
    """The store's entry of a dissector's image embeddings."""
    return store.entry(
        {
            "kind": "images",
            "probe": probe_key,
            "weights": dissector.fingerprint,
            "versions": library_versions(),
            "preprocess": dissector.preprocess.key() if dissector.needs_pixels else None,
        },
        len(probe),
    )


def _activation_entries(
    target: Target,
    probe: Probe,
    probe_key: str,
    layers: Sequence[str],
    pool: str,
    store: Store | MemoryStore,
    options: PassOptions,
) -> dict[str, Entry]:
    """The store's entries of a target's layers on a probe; an error for what cannot be recorded."""
    for layer in layers:
        find_layer(target.module, layer)
    as_layouts(options.axes or {}, layers)  # an unknown layer is an error
    check_unchanged(target)
    seen = {"probe": probe_key, "pool": pool, "weights": target.fingerprint, "preprocess": target.preprocess.key()}
    seen |= {"layout": LAYOUT}
    return {
        layer: store.entry(
            {"kind": "activations", "layer": layer, **seen, "versions": library_versions(), **options.key(layer, pool)},
            len(probe),
        )
        for layer in layers
    }


@torch.inference_mode()
def _fill(
    target: Target,
    dissector: Dissector | None,
    probe: Probe,
    entries: dict[str, Entry],
    embeddings: Entry | None,
    pool: str,
    device: torch.device,
    options: PassOptions,
) -> None:
    """Compute the missing chunks, of activations alone without a dissector. Runs under the entries' locks."""
    missing = {layer: set(entry.missing()) for layer, entry in entries.items()}
    to_embed = set(embeddings.missing()) if embeddings else set()
    if dissector and not dissector.needs_pixels:
        for chunk in to_embed:
            ids = [probe.ids[i] for i in range(len(probe))[embeddings.rows(chunk)]]
            embeddings.write(chunk, dissector.encode_ids(ids).float().cpu().numpy())
        to_embed = set()
    to_record = set().union(*missing.values())
    stated = (options.axes or {}, options.prefix_tokens)
    runner = Runner(target.to(device), dissector and dissector.to(device), pool, device, *stated)
    groups = image_groups(embeddings or next(iter(entries.values())), to_record, to_embed, options.batch_size)
    batches = prepared_batches(target, dissector, probe, groups, options.workers)
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


def _bar(label: str, groups: list[Group], shown: bool):
    """A progress bar of images, hidden if there are none."""
    from tqdm.auto import tqdm

    n_images = sum(len(group.positions) for group in groups)
    return tqdm(total=n_images, unit="image", desc=label, disable=not (shown and n_images))


def check_unchanged(target: Target) -> None:
    """Raise ValueError for a target whose weights are no longer those that its fingerprint is of."""
    if weights_fingerprint(target.module) != target.fingerprint:
        raise ValueError(
            f"the weights of target {target.name!r} changed since it was loaded; make a new target: load_target(...)"
        )


def library_versions() -> dict[str, str]:
    """Versions of the libraries that the stored values depend on."""
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
    """Groups of images to prepared batches; each image is read once and prepared at most once per model."""

    def __init__(self, probe: Probe, target: Target, dissector: Dissector | None, groups: list[Group]):
        self.probe, self.groups = probe, groups
        self.for_target, self.for_dissector = target.preprocess, (dissector or target).preprocess
        self.alike = self.for_target == self.for_dissector

    def __len__(self) -> int:
        return len(self.groups)

    def __getitem__(self, index: int) -> Batch | Exception:
        group = self.groups[index]
        first = self.for_target if group.record or self.alike else None
        second = self.for_dissector if group.embed and not self.alike else None
        try:
            prepared = [self._prepared(position, (first, second)) for position in group.positions]
            return tuple(None if images[0] is None else torch.stack(images) for images in zip(*prepared, strict=True))
        except Exception as error:
            if torch.utils.data.get_worker_info() is None:
                raise
            return error  # raised by a worker process, it would be buried under that one's traceback

    def _prepared(self, position: int, contracts: Sequence[Preprocess | None]) -> list[Tensor | None]:
        """An image prepared for each of the models; errors name it."""
        try:
            image = self.probe[position]
            return [None if prepare is None else prepare(image) for prepare in contracts]
        except ImageFileError:
            raise
        except (TypeError, ValueError) as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(f"image {self.probe.ids[position]!r} of probe {self.probe.name!r}: {error}") from error


def prepared_batches(
    target: Target, dissector: Dissector | None, probe: Probe, groups: list[Group], workers: int | None
) -> Iterator[Batch]:
    """The groups' batches, in order, read ahead by worker processes."""
    if workers is None:
        n_images = sum(len(group.positions) for group in groups)
        workers = 0 if n_images <= 128 else min(8, os.cpu_count() or 1)
    images = _PreparedImages(probe, target, dissector, groups)
    for batch in torch.utils.data.DataLoader(images, batch_size=None, num_workers=workers):
        if isinstance(batch, Exception):
            raise batch
        yield batch


def _intensities(probe: Probe, probe_key: str, store: Store | MemoryStore) -> dict[str, float]:
    """`Recording.intensities`, kept in the store."""
    names = ("min", "mean", "max", "bits")
    entry = store.entry({"kind": "intensities", "probe": probe_key}, 1)
    if entry.missing():
        summary = probe.intensity_summary(INTENSITY_IMAGES)
        with exclusive([entry]):
            entry.write(0, [[summary["min"].min(), summary["mean"].mean(), summary["max"].max(), summary["bits"].max()]])
    return dict(zip(names, entry.read()[0].round(3).tolist(), strict=True))
