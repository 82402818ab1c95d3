"""One pass over a probe: the activations of all layers and the image embeddings, into the store."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from mdissect.arguments import listed, texts
from mdissect.concepts import ConceptSet, Prompts
from mdissect.entries import activation_entries, embeddings_entry, library_versions, target_entries
from mdissect.filling import Embedded, Recorded, complete, entries_of
from mdissect.hooks import POOLS
from mdissect.models import Dissector, Target, dtype_of, resolve_device
from mdissect.passing import PassOptions
from mdissect.probes import Probe
from mdissect.signatures import validated
from mdissect.store import Entry, MemoryStore, Store, StoreLike, exclusive, open_store

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
    return embed_probes({"": target}, dissector, probe, {"": layers}, pool, store, device, options)[""]


@validated(pool=POOLS)
def embed_probes(
    targets: Mapping[str, Target],
    dissector: Dissector,
    probe: Probe,
    layers: Mapping[str, Sequence[str]] | None = None,
    pool: str = "mean",
    store: StoreLike = None,
    device: str | torch.device = "auto",
    options: PassOptions | None = None,
) -> dict[str, Recording]:
    """Run the probe through several targets and a dissector once: a recording per target, as `embed_probe` makes it.

    >>> embed_probes({"M": m, "C1": c1}, load_dissector("demo/mammo"), probe)["C1"].activations.keys()     # doctest: +SKIP

    Each image is read once for all, and prepared once in each way that a model asks for. What the store holds of a target is
    not computed again; what is computed stands there as if each target had run alone.

    Parameters
    ----------
    targets : mapping of str to Target
    layers : mapping of str to sequence of str, optional
        By target, its layers; the target's own choice where none are given.
    options : PassOptions, optional
        Its `axes` hold for the layers of that name of every target.

    Raises
    ------
    ValueError
        No target, layers of one that is not there, an unknown layer, a target that was trained since it was loaded.
    StoreError
        A store that cannot be written; finished chunks stay.
    """
    options, store, probe_key = _options_for(targets, options, device), open_store(store), probe.key()
    entries = target_entries(targets, layers or {}, probe, probe_key, pool, store, options)
    embeddings = embeddings_entry(dissector, probe, probe_key, store, options)
    recorded = [Recorded(targets[name], own) for name, own in entries.items()]
    complete(recorded, [Embedded(dissector, embeddings)], probe, pool, device, options)
    intensities, embedded = _intensities(probe, probe_key, store), embeddings.read()
    return {
        name: Recording({layer: entry.read() for layer, entry in own.items()}, embedded, intensities)
        for name, own in entries.items()
    }


@validated(pool=POOLS)
def fill_store(
    targets: Mapping[str, Target],
    dissectors: Sequence[Dissector],
    probe: Probe,
    layers: Mapping[str, Sequence[str]],
    store: StoreLike,
    pool: str = "mean",
    device: str | torch.device = "auto",
    options: PassOptions | None = None,
) -> None:
    """Compute in one pass what the store lacks of several targets and dissectors, so that `embed_probe` of any two finds it.

    Arguments and errors are those of `embed_probes`.
    """
    options, store, probe_key = _options_for(targets, options, device), open_store(store), probe.key()
    entries = target_entries(targets, layers, probe, probe_key, pool, store, options)
    recorded = [Recorded(targets[name], own) for name, own in entries.items()]
    embedded = [Embedded(one, embeddings_entry(one, probe, probe_key, store, options)) for one in dissectors]
    for entry in entries_of(recorded, embedded):
        entry.keep = False
    complete(recorded, embedded, probe, pool, device, options)


@dataclass(frozen=True)
class StoredRecording:
    """A `Recording` whose arrays are entries of the store, in which nothing is missing.

    `activations` have (n_images, n_neurons) float32 by layer, `image_embeddings` (n_images, d) float32 of unit norm.
    """

    activations: dict[str, Entry]
    image_embeddings: Entry
    intensities: dict[str, float]


@validated(pool=POOLS)
def store_probe(
    target: Target,
    dissector: Dissector,
    probe: Probe,
    layers: Sequence[str],
    pool: str = "mean",
    store: StoreLike = None,
    device: str | torch.device = "auto",
    options: PassOptions | None = None,
) -> StoredRecording:
    """`embed_probe` whose arrays stay in the store; a chunk at a time is in memory. Its errors are those of that."""
    options, store, probe_key = _options_for({"": target}, options, device), open_store(store), probe.key()
    entries = activation_entries(target, probe, probe_key, layers, pool, store, options)
    embeddings = embeddings_entry(dissector, probe, probe_key, store, options)
    for entry in (*entries.values(), embeddings):
        entry.keep = False
    complete([Recorded(target, entries)], [Embedded(dissector, embeddings)], probe, pool, device, options)
    return StoredRecording(entries, embeddings, _intensities(probe, probe_key, store))


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
    options = _options_for({"": target}, options, device)
    entries = activation_entries(target, probe, probe.key(), layers, pool, open_store(store), options)
    complete([Recorded(target, entries)], [], probe, pool, device, options)
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
    options = _options_for({"": target}, options, device)
    entries = activation_entries(target, probe, probe.key(), layers, pool, open_store(store), options)
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
    entry = embeddings_entry(dissector, probe, probe.key(), open_store(store), options)
    entry.keep = False
    complete([], [Embedded(dissector, entry)], probe, "mean", device, options)
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


def _options_for(targets: Mapping[str, Target], options: PassOptions | None, device: str | torch.device) -> PassOptions:
    """The options of a pass on a device; ValueError for bf16 where a target does not compute in float32."""
    options = (options or PassOptions()).on(resolve_device(device))
    for target in targets.values():
        if options.precision == "bf16" and (kind := dtype_of(target.module)) != torch.float32:
            raise ValueError(
                f"precision='bf16' is for networks in float32, but target {target.name!r} is in {kind}: leave precision out"
            )
    return options


def _intensities(probe: Probe, probe_key: str, store: Store | MemoryStore) -> dict[str, float]:
    """`Recording.intensities`, kept in the store."""
    names = ("min", "mean", "max", "bits")
    entry = store.entry({"kind": "intensities", "probe": probe_key}, 1, about={"probe": probe.name})
    if entry.missing():
        summary = probe.intensity_summary(INTENSITY_IMAGES)
        with exclusive([entry]):
            entry.write(0, [[summary["min"].min(), summary["mean"].mean(), summary["max"].max(), summary["bits"].max()]])
    return dict(zip(names, entry.read()[0].round(3).tolist(), strict=True))
