"""Probes for the tests of streaming: neurons of every kind, in memory and in a store, and a budget that makes many blocks."""

import inspect
from pathlib import Path

import numpy as np
import torch

from mdissect.similarity import SIMILARITIES
from mdissect.store import Entry, Store

TIGHT = 10**6  # bytes: blocks of 64 images


def world(seed: int, n_images: int = 300, n_neurons: int = 24, n_concepts: int = 14, size: int = 8) -> tuple:
    """Image embeddings, text embeddings and activations: some neurons follow a concept, the first ones are peculiar."""
    rng = np.random.default_rng(seed)
    images, texts = (_unit(rng.standard_normal((n, size), dtype=np.float32)) for n in (n_images, n_concepts))
    texts[-1] = texts[0]  # a concept in two words
    followed = texts[rng.integers(0, n_concepts, n_neurons)]
    activations = images @ followed.T * 2 + rng.standard_normal((n_images, n_neurons), dtype=np.float32) / 2
    activations[:, 0] = 3  # constant
    activations[n_images // 2, 1] = np.nan
    activations[n_images // 3, 2] = np.inf
    activations[n_images // 3, 3] = -np.inf
    activations[:, 4] = np.maximum(activations[:, 4] - 2, 0)  # responds to a few images
    activations[:, 5] = np.round(activations[:, 5])  # ties
    activations[:, 6] = np.arange(n_images) == n_images - 1  # responds to one
    activations[:, 7] = np.arange(n_images) // 3  # every image is among the top when it comes
    activations[:, 8] = np.maximum(activations[:, 8], -0.0)
    return images, texts, activations


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def in_store(folder: Path, **arrays: np.ndarray) -> list[Entry]:
    """Arrays as entries of a store."""
    found = []
    for name, values in arrays.items():
        entry = Store(folder).entry({"kind": name}, len(values))
        entry.keep = False
        for chunk in entry.missing():
            entry.write(chunk, values[entry.rows(chunk)])
        found.append(entry)
    return found


def rule_given(rule: str, top_k: int) -> dict:
    """A rule's options with this top_k, if it has one."""
    return {"top_k": top_k} if "top_k" in inspect.signature(SIMILARITIES[rule]).parameters else {}


def sims_of(images: np.ndarray, texts: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(images) @ torch.from_numpy(texts).T


def same_labels(first: np.ndarray, second: np.ndarray, within: float = 1e-5) -> bool:
    """Whether the best concept by one table of similarities is, up to ties, the best by the other."""
    rows = np.flatnonzero(~np.isnan(first).all(axis=1))
    scale = np.maximum(1, np.abs(first[rows]).max(axis=1))
    chosen = np.nan_to_num(second[rows], nan=-np.inf).argmax(axis=1)
    return bool((first[rows, chosen] >= np.nanmax(first[rows], axis=1) - within * scale).all())
