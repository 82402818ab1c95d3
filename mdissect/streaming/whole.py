"""A dissection from a recording that stays in the store."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from tempfile import TemporaryDirectory

import numpy as np

from mdissect.arguments import AT_LEAST_ONE
from mdissect.embed import StoredRecording
from mdissect.hardware import memory_bytes
from mdissect.passing import PassOptions
from mdissect.signatures import validated
from mdissect.similarity import SIMILARITIES
from mdissect.store import MemoryStore, Store
from mdissect.streaming.rows import Rows
from mdissect.streaming.rules import Streamed
from mdissect.streaming.scratch import on_disk_by_column, on_disk_by_row
from mdissect.streaming.sims import Sims

MANY = 20_000  # images from which on a result may not fit into memory


@validated()
def is_streamed(options: PassOptions, n_images: int, store: Store | MemoryStore) -> bool:
    """Whether a recording stays in the store, at least until its size is known."""
    return options.keep != "all" or (isinstance(store, Store) and (options.memory is not None or n_images >= MANY))


@validated(rule=SIMILARITIES, top_k=AT_LEAST_ONE)
def in_blocks(
    record: Callable[..., StoredRecording],
    store: Store | MemoryStore,
    texts: np.ndarray,
    rule: str,
    rule_options: Mapping,
    top_k: int,
    options: PassOptions,
) -> tuple[dict, bool, dict] | None:
    """Fields of a Dissection, whether the dissector distinguishes the concepts, and the probe's intensities.

    `record(store=...)` makes the recording; a store in memory is replaced by a folder that is removed afterwards. None where
    all activations are to be kept and fit into memory.
    """
    with on_disk(store) as store:
        stored, memory = record(store=store), memory_bytes("memory", options.memory)
        if options.keep == "all":
            if bytes_of(stored, len(texts)) <= memory:
                return None
            return *streamed_parts(stored, texts, rule, rule_options, memory, folder=store.folder), stored.intensities
        kept = top_k if options.keep == "top" else 0
        return *streamed_parts(stored, texts, rule, rule_options, memory, top=kept), stored.intensities


@validated()
@contextmanager
def on_disk(store: Store | MemoryStore) -> Iterator[Store]:
    """A store on disk: the one given, or in place of one in memory a folder that is removed afterwards."""
    if isinstance(store, Store):
        yield store
        return
    with TemporaryDirectory(prefix="mdissect-pass-") as folder:
        yield Store(folder)


@validated(rule=SIMILARITIES, memory=AT_LEAST_ONE)
def streamed_parts(
    stored: StoredRecording,
    texts: np.ndarray,
    rule: str,
    options: Mapping,
    memory: int,
    folder: str | os.PathLike | None = None,
    top: int = 0,
) -> tuple[dict, bool]:
    """Fields of a Dissection, and whether the dissector distinguishes the concepts; `options` are those of the rule.

    With a folder for scratch files, all activations, image_embeddings and image_concept_sims, memory-mapped; otherwise none of
    them. `top` is how many images' activations are kept of each neuron.
    """
    sims = Sims(Rows(stored.image_embeddings), texts, memory)
    parts: dict = {"similarity": {}, "notes": {}, "activations": {}, "top_activations": {}}
    for layer, entry in stored.activations.items():
        activations = Rows(entry)
        if folder is not None:
            activations = Rows(on_disk_by_column(activations, folder, sims.rows_at_once(activations.shape[1])))
            parts["activations"][layer] = activations.source
        scores, notes, best = Streamed(sims).scores(activations, rule, options, top)
        parts["similarity"][layer], parts["notes"][layer] = scores, notes
        if best is not None:
            parts["top_activations"][layer] = best
    if folder is not None:
        size = sims.rows_at_once()
        of_images = (block for _, block in sims.embeddings.blocks(size))
        parts["image_embeddings"] = on_disk_by_row(of_images, sims.embeddings.shape, folder)
        parts["image_concept_sims"] = on_disk_by_row((known.numpy() for _, _, known in sims.blocks(size)), sims.shape, folder)
    return parts, sims.has_contrast()


@validated()
def bytes_of(stored: StoredRecording, n_concepts: int) -> int:
    """What a result with all activations and similarities of a recording would take."""
    n_images, size = stored.image_embeddings.shape
    return 4 * n_images * (size + n_concepts + sum(entry.shape[1] for entry in stored.activations.values()))
