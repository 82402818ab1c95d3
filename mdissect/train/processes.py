"""The processes of a training: one, or several that `accelerate launch` started, each with its share of a batch."""

import os
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import TypeVar

import torch
from torch import Tensor, nn

from mdissect.models import resolve_device

LARGEST_BUCKET = 1 << 25  # numbers whose sum over the processes is asked for at a time
PATIENCE = timedelta(hours=6)  # that processes wait for the first, which may have many images to decode
Found = TypeVar("Found")


class Processes:
    """One process alone.

    Attributes
    ----------
    rank, count : int
        The number of this process from 0, and how many there are.
    device : torch.device
        Where this process computes.
    """

    rank, count = 0, 1

    def __init__(self, device: torch.device):
        self.device = device

    @property
    def first(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def share(self, items: Sequence) -> Sequence:
        """This process's items of a sequence: neighbours, as many as the others have or one less."""
        edges = [len(items) * rank // self.count for rank in range(self.count + 1)]
        return items[edges[self.rank] : edges[self.rank + 1]]

    def joined(self, rows: Tensor) -> tuple[Tensor, slice]:
        """The rows (n, d) of all processes in their order, without gradient, and which of them are one's own."""
        return rows.detach(), slice(0, len(rows))

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace each gradient by its sum over the processes."""

    def mean_statistics(self, module: nn.Module) -> None:
        """Replace each running statistic of a module by its mean over the processes."""

    def mean(self, values: dict[str, float]) -> dict[str, float]:
        """The mean of each value over the processes."""
        return values

    def written(self, write: Callable[[], Found]) -> Found | None:
        """Call a function that writes files in the first process alone, while the others wait; None in the others."""
        return write()


class Accelerated(Processes):
    """One of several processes, joined by accelerate."""

    def __init__(self, device: str):
        try:
            from accelerate import Accelerator, InitProcessGroupKwargs
        except ImportError as error:
            raise ImportError(
                "training in several processes needs the package accelerate: pip install 'mdissect[train]'"
            ) from error
        waiting = InitProcessGroupKwargs(timeout=PATIENCE)
        self.accelerator = Accelerator(cpu=device == "cpu", kwargs_handlers=[waiting])
        self.rank, self.count = self.accelerator.process_index, self.accelerator.num_processes
        super().__init__(self.accelerator.device)

    def joined(self, rows: Tensor) -> tuple[Tensor, slice]:
        rows = rows.detach().contiguous()
        counts = self.accelerator.gather(torch.tensor([len(rows)], device=self.device)).tolist()
        most = max(counts)
        padded = torch.cat([rows, rows.new_zeros(most - len(rows), *rows.shape[1:])])
        parts = self.accelerator.gather(padded).split(most)
        whole = torch.cat([part[:n] for part, n in zip(parts, counts, strict=True)])
        start = sum(counts[: self.rank])
        return whole, slice(start, start + len(rows))

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        self._reduce([p.grad for p in parameters if p.grad is not None], "sum")

    def mean_statistics(self, module: nn.Module) -> None:
        self._reduce([buffer for buffer in module.buffers() if buffer.is_floating_point()], "mean")

    def mean(self, values: dict[str, float]) -> dict[str, float]:
        if not values:
            return values
        means = self.accelerator.reduce(torch.tensor(list(values.values()), device=self.device), "mean")
        return dict(zip(values, means.tolist(), strict=True))

    def written(self, write: Callable[[], Found]) -> Found | None:
        try:
            return write() if self.first else None
        finally:
            self.accelerator.wait_for_everyone()

    @torch.no_grad()
    def _reduce(self, tensors: Sequence[Tensor], how: str) -> None:
        """Replace tensors by their sum or mean, some at a time."""
        bucket: list[Tensor] = []
        for tensor in [*tensors, None]:
            if bucket and (tensor is None or sum(map(Tensor.numel, bucket)) + tensor.numel() > LARGEST_BUCKET):
                whole = self.accelerator.reduce(torch.cat([one.reshape(-1) for one in bucket]), how)
                for one, found in zip(bucket, whole.split([one.numel() for one in bucket]), strict=True):
                    one.copy_(found.view(one.shape))
                bucket = []
            if tensor is not None:
                bucket.append(tensor)


def processes(device: str = "auto") -> Processes:
    """The processes of this training: several where `accelerate launch` (or torchrun) says so in the environment."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        return Accelerated(device)
    return Processes(resolve_device(device))
