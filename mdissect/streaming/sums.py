"""Means and variances over images from blocks of images."""

import torch
from torch import Tensor


class Moments:
    """Mean and variance (n,) float64 of columns, from blocks of rows that come one after the other.

    >>> moments = Moments()
    >>> for block in (torch.tensor([[1.0], [2.0]]), torch.tensor([[6.0]])):
    ...     moments.add(block)
    >>> moments.mean.tolist(), moments.variance.tolist()
    ([3.0], [4.666666666666667])

    Blocks are merged by the differences of their means (Chan, Golub and LeVeque, 1979), which loses no digits.
    """

    def __init__(self):
        self.n, self.mean, self._squares = 0, torch.zeros(()), torch.zeros(())

    def add(self, block: Tensor) -> None:
        """Take in a block (n_rows, n)."""
        block = block.double()
        n, mean = len(block), block.mean(dim=0)
        squares = (block - mean).square_().sum(dim=0)
        total = self.n + n
        apart = mean - self.mean
        self._squares = self._squares + squares + apart**2 * (self.n * n / total)
        self.mean = self.mean + apart * (n / total)
        self.n = total

    @property
    def variance(self) -> Tensor:
        return self._squares / self.n

    @property
    def spread(self) -> Tensor:
        """Standard deviation."""
        return self.variance.sqrt()
