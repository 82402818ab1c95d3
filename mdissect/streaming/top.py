"""The strongest images of every neuron, found in one pass over the images."""

import numpy as np
import torch
from torch import Tensor

from mdissect.arguments import AT_LEAST_ONE
from mdissect.signatures import validated

MERGED_BYTES = 64 << 20  # of the candidates of a group of neurons that are sorted together
LEAST_ROWS = 256  # whose activations are compared together with what was found before


class RunningTop:
    """The top images of neurons, from blocks of activations that come one after the other.

    >>> top = RunningTop(1, 2)
    >>> for start, block in ((0, [[1.0], [3.0]]), (2, [[2.0], [3.0]])):
    ...     top.add(np.array(block, dtype=np.float32), np.arange(start, start + 2))
    >>> top.images.tolist(), top.activations.tolist()
    ([[1, 3]], [[3.0, 3.0]])

    Of tied activations the one at the smaller position comes first. NaN is never among the top.
    """

    @validated(n_neurons=AT_LEAST_ONE, top_k=AT_LEAST_ONE)
    def __init__(self, n_neurons: int, top_k: int):
        self.activations = np.full((n_neurons, top_k), -np.inf, dtype=np.float32)
        self.images = np.full((n_neurons, top_k), np.iinfo(np.int64).max)  # positions

    def add(self, activations: np.ndarray, positions: np.ndarray) -> None:
        """Take in activations (n_rows, n_neurons) of images at positions (n_rows,)."""
        step = max(LEAST_ROWS, 2 * self.images.shape[1])
        for start in range(0, len(positions), step):
            self._add(np.ascontiguousarray(activations[start : start + step].T), positions[start : start + step])

    def _add(self, by_neuron: np.ndarray, positions: np.ndarray) -> None:
        """The same for a few rows, activations (n_neurons, n_rows)."""
        weakest, last = self.activations[:, -1:], self.images[:, -1:]
        entering = by_neuron > weakest
        tied = by_neuron == weakest
        if tied.any():
            entering |= tied & (positions < last)
        neurons = np.flatnonzero(entering.any(axis=1))
        count = entering.sum(axis=1)
        top_k = self.images.shape[1]
        group = max(1, MERGED_BYTES // (32 * (top_k + int(count.max(initial=0)) + 1)))
        for start in range(0, len(neurons), group):
            self._merge(neurons[start : start + group], by_neuron, positions, entering, count)

    def _merge(
        self, neurons: np.ndarray, by_neuron: np.ndarray, positions: np.ndarray, entering: np.ndarray, count: np.ndarray
    ) -> None:
        """Sort the images that enter in among those that were found."""
        top_k = self.images.shape[1]
        row, image = np.nonzero(entering[neurons])
        own = count[neurons]
        slot = top_k + np.arange(len(row)) - np.repeat(np.cumsum(own) - own, own)
        width = top_k + int(own.max())
        values = np.full((len(neurons), width), -np.inf, dtype=np.float32)
        places = np.full((len(neurons), width), np.iinfo(np.int64).max)
        values[:, :top_k], places[:, :top_k] = self.activations[neurons], self.images[neurons]
        values[row, slot], places[row, slot] = by_neuron[neurons[row], image], positions[image]
        order = np.lexsort((places, -values), axis=1)[:, :top_k]
        self.activations[neurons] = np.take_along_axis(values, order, axis=1)
        self.images[neurons] = np.take_along_axis(places, order, axis=1)

    def order(self, neurons: np.ndarray, top_k: int) -> Tensor:
        """Positions of the top images of some neurons, (n, top_k) int64."""
        return torch.from_numpy(self.images[neurons, :top_k])

    def tied(self, top_k: int) -> np.ndarray:
        """(n_neurons,) bool: the choice of the top_k was arbitrary (`mdissect.rankings.tied_neurons`); needs one more."""
        if self.images.shape[1] <= top_k:
            return np.zeros(len(self.images), dtype=bool)
        return self.activations[:, top_k - 1] == self.activations[:, top_k]
