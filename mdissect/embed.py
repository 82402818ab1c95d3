"""One pass over a probe: the activations of all layers and the image embeddings, into the store."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
import torch

from mdissect.arguments import listed, texts
from mdissect.concepts import ConceptSet, Prompts
from mdissect.folding import folded, small_image
from mdissect.hardware import at_once, kept_memory, memory_of, own_cores
from mdissect.hooks import POOLS
from mdissect.models import Dissector, Target, dtype_of, resolve_device, weights_fingerprint
from mdissect.outputs import as_layouts, evaluating, find_layer
from mdissect.passing import Group, PassOptions, image_groups, prepared_batches
from mdissect.probes import Probe
from mdissect.runner import Runner
from mdissect.signatures import validated
from mdissect.store import CHUNK_ROWS, Entry, MemoryStore, Store, StoreLike, exclusive, open_store

LAYOUT = "settled by sizes and modules"  # activations of older rules, which went by the number of axes, are not read
NOTHING_LEFT = 1e-4  # of unit length: the rounding of float32 with a margin
INTENSITY_IMAGES = 8  # whose pixel values are taken for the whole probe


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
    options, store, probe_key = _options_for(target, options, device), open_store(store), probe.key()
    entries = _activation_entries(target, probe, probe_key, layers, pool, store, options)
    embeddings = _embeddings_entry(dissector, probe, probe_key, store, options)
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
    options = _options_for(target, options, device)
    entries = _activation_entries(target, probe, probe.key(), layers, pool, open_store(store), options)
    if any(entry.missing() for entry in entries.values()):
        with exclusive(list(entries.values())):
            _fill(target, None, probe, entries, None, pool, resolve_device(device), options)
    return {layer: entry.read() for layer, entry in entries.items()}


@validated(layers=texts, pool=POOLS)
def recorded(
    target: Target,
    probe: Probe,
    layers: Sequence[str],
    pool: str = "mean",
    store: StoreLike = None,
    device: str | torch.device = "auto",
    options: PassOptions | None = None,
) -> dict[str, np.ndarray] | None:
    """What `record_probe` has in the store, without a pass: as that returns it, or None where anything is missing.

    >>> recorded(load_target("demo/mammo"), load_probe("phantom", n_images=8), ["bn2"]) is None    # doctest: +SKIP
    True
    """
    options = _options_for(target, options, device)
    entries = _activation_entries(target, probe, probe.key(), layers, pool, open_store(store), options)
    if any(entry.missing() for entry in entries.values()):
        return None
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
    options = (options or PassOptions()).on(resolve_device(device))
    entry = _embeddings_entry(dissector, probe, probe.key(), open_store(store), options)
    entry.keep = False
    if entry.missing():
        alone = Target(dissector.name, torch.nn.Identity(), dissector.preprocess, (), "")  # shown no image
        with exclusive([entry]):
            _fill(alone, dissector, probe, {}, entry, "mean", resolve_device(device), options)
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
    entry = store.entry(key, len(sentences), about={"model": dissector.name})
    if entry.missing():
        with exclusive([entry]):
            for chunk in entry.missing():
                entry.write(chunk, dissector.embed_texts(sentences[entry.rows(chunk)]).float().cpu().numpy())
    return entry.read()


def _unit(rows: np.ndarray) -> np.ndarray:
    """Rows of unit length, in float64."""
    rows = np.asarray(rows, dtype=float)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def _embeddings_entry(
    dissector: Dissector, probe: Probe, probe_key: str, store: Store | MemoryStore, options: PassOptions
) -> Entry:
    """The store's entry of a dissector's image embeddings."""
    return store.entry(
        {
            "kind": "images",
            "probe": probe_key,
            "weights": dissector.fingerprint,
            "versions": library_versions(),
            "preprocess": dissector.preprocess.key() if dissector.needs_pixels else None,
        }
        | (options.numerics(_own_tower(dissector), dissector.preprocess) if dissector.needs_pixels else {}),
        len(probe),
        about={"model": dissector.name, "probe": probe.name},
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
    seen |= {"layout": LAYOUT} | options.numerics(target.module, target.preprocess)
    return {
        layer: store.entry(
            {"kind": "activations", "layer": layer, **seen, "versions": library_versions(), **options.key(layer, pool)},
            len(probe),
            about={"model": target.name, "probe": probe.name},
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
    if not (to_record or to_embed):
        return
    target, dissector = target.to(device), dissector and dissector.to(device)
    stated = (options.axes or {}, options.prefix_tokens)
    running = _folded(target, dissector, list(entries), options, device)
    runner = Runner(*running, pool, device, *stated, settled_on=target.module, bf16=options.precision == "bf16")
    size = options.batch_size or _images_at_once(runner, list(entries), bool(to_embed))
    groups = image_groups(embeddings or next(iter(entries.values())), to_record, to_embed, size)
    batches = prepared_batches(target, dissector, probe, groups, options.workers)
    bar = _bar(f"{target.name} on {probe.name}", groups, options.progress)
    with evaluating(target.module), kept_memory(device), own_cores(device), bar:
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


def _options_for(target: Target, options: PassOptions | None, device: str | torch.device) -> PassOptions:
    """The options of a pass on a device; ValueError for bf16 where the target does not compute in float32."""
    options = (options or PassOptions()).on(resolve_device(device))
    if options.precision == "bf16" and (kind := dtype_of(target.module)) != torch.float32:
        raise ValueError(
            f"precision='bf16' is for networks in float32, but target {target.name!r} is in {kind}: leave precision out"
        )
    return options


def _own_tower(dissector: Dissector) -> torch.nn.Module | None:
    """The image tower of a dissector that can be given another one."""
    tower = dissector.image_tower
    return None if tower is None or dissector.with_image_tower(tower) is None else tower


def _folded(
    target: Target, dissector: Dissector | None, layers: list[str], options: PassOptions, device: torch.device
) -> tuple[Target, Dissector | None]:
    """Target and dissector with copies of their networks whose batch norms are folded, where the options ask for it."""
    if layers and options.folds(target.module, target.preprocess):
        shown = small_image(target.preprocess.channels, target.preprocess.size, device)
        module = folded(target.module, lambda network: network(shown), layers)
        target = replace(target, module=target.module if module is None else module)
    tower = _own_tower(dissector) if dissector and dissector.needs_pixels else None
    if tower is not None and options.folds(tower, dissector.preprocess):
        seen = small_image(dissector.preprocess.channels, dissector.preprocess.size, device)
        shared = layers if dissector.image_fingerprint == target.fingerprint else []
        other = folded(tower, lambda network: dissector.with_image_tower(network).embed_images(seen), shared)
        dissector = dissector if other is None else dissector.with_image_tower(other)
    return target, dissector


def _images_at_once(runner: Runner, layers: list[str], embed: bool) -> int:
    """The size of batches for the larger of the two models' images; on a GPU by the memory that one image takes."""
    seen = [runner.target.preprocess] + ([runner.dissector.preprocess] if embed else [])
    sizes = [one.size for one in seen]
    images = [torch.zeros(1, one.channels, *one.size) for one in seen]
    trial = replace(runner, layouts={})

    def show() -> None:
        alike = len(seen) < 2 or seen[0] == seen[1]
        trial.run((images[0], None if alike else images[1]), layers, embed)

    def per_image() -> int:
        show()  # the axes are settled in it
        return memory_of(show, runner.device)

    return at_once(max(sizes, key=lambda size: size[0] * size[1]), runner.device, per_image, CHUNK_ROWS)


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


def _intensities(probe: Probe, probe_key: str, store: Store | MemoryStore) -> dict[str, float]:
    """`Recording.intensities`, kept in the store."""
    names = ("min", "mean", "max", "bits")
    entry = store.entry({"kind": "intensities", "probe": probe_key}, 1, about={"probe": probe.name})
    if entry.missing():
        summary = probe.intensity_summary(INTENSITY_IMAGES)
        with exclusive([entry]):
            entry.write(0, [[summary["min"].min(), summary["mean"].mean(), summary["max"].max(), summary["bits"].max()]])
    return dict(zip(names, entry.read()[0].round(3).tolist(), strict=True))
