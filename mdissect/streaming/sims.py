"""Similarities of images and concepts that are computed where they are needed, from embeddings."""

from collections.abc import Iterator
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from mdissect.arguments import AT_LEAST_ONE
from mdissect.signatures import validated
from mdissect.similarity import FEW_IMAGES, SAME_SIMS, has_contrast
from mdissect.streaming.rows import Rows, rows_at_once
from mdissect.streaming.sums import Moments

COPIES = 5  # of a block of similarities in float64 that a rule holds
NEURONS_AT_A_TIME = 64  # whose top images' similarities are held together


class Sims:
    """``image_concept_sims`` (n_images, n_concepts), from image embeddings (n_images, d) and text embeddings (n_concepts, d).

    >>> sims = Sims(Rows(np.eye(3, dtype=np.float32)), np.eye(3, dtype=np.float32)[:2], memory=10**8)
    >>> [block.tolist() for _, _, block in sims.blocks(3)]
    [[[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]]

    `memory` in bytes is what all blocks together may take.
    """

    @validated(memory=AT_LEAST_ONE)
    def __init__(self, embeddings: Rows, texts: np.ndarray, memory: int):
        self.embeddings, self.memory = embeddings, memory
        self.texts = torch.from_numpy(np.ascontiguousarray(texts, dtype=np.float32))
        self.shape = (len(embeddings), len(texts))

    def __len__(self) -> int:
        return self.shape[0]

    @validated()
    def rows_at_once(self, n_neurons: int = 0) -> int:
        """Images of a block, beside activations of so many neurons."""
        return rows_at_once(self.memory, 8 * COPIES * self.shape[1] + 12 * self.embeddings.shape[1] + 8 * n_neurons + 1)

    def blocks(self, size: int) -> Iterator[tuple[int, Tensor, Tensor]]:
        """First row, embeddings (n_rows, d) and similarities (n_rows, n_concepts) of each block of images."""
        for start, block in self.embeddings.blocks(size):
            embeddings = torch.from_numpy(block)
            yield start, embeddings, embeddings @ self.texts.T

    def of(self, order: Tensor) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """For groups of neurons: which they are, the similarities of their top images, and the rows of these.

        `order` (n_neurons, top_k) are positions in the probe; the rows (n_group, top_k) are positions in the similarities.
        """
        n_neurons, top_k = order.shape
        held = max(1, self.memory // 4 // (top_k * self.embeddings.shape[1] * 4))  # neurons whose embeddings fit
        at_once = max(1, min(NEURONS_AT_A_TIME, self.memory // 4 // (top_k * self.shape[1] * 8 * COPIES)))
        for first in range(0, n_neurons, held):
            images, rows = np.unique(order[first : first + held].numpy(), return_inverse=True)
            embeddings, rows = torch.from_numpy(self.embeddings.take(images)), torch.from_numpy(rows).view(-1, top_k)
            for start in range(0, len(rows), at_once):
                used, own = rows[start : start + at_once].unique(return_inverse=True)
                place = slice(first + start, first + start + len(own))
                yield place, embeddings[used] @ self.texts.T, own

    @cached_property
    def moments(self) -> Moments:
        """Mean and variance of each concept over the images."""
        moments = Moments()
        for _, _, sims in self.blocks(self.rows_at_once()):
            moments.add(sims)
        return moments

    def has_contrast(self) -> bool:
        """`mdissect.similarity.has_contrast`."""
        if min(self.shape) == 1 or has_contrast(next(self.blocks(FEW_IMAGES))[2]):
            return True
        for _, _, sims in self.blocks(self.rows_at_once()):
            apart = sims.double() - self.moments.mean
            if (apart - apart.mean(dim=1, keepdim=True)).abs().max() > SAME_SIMS:
                return True
        return False
