"""Large contrastive batches in little memory: the gradient of the whole batch, chunk by chunk (a feature cache).

Gao et al., Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup, 2021 (GradCache).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

Embed = Callable[[int], Sequence[Tensor]]  # a chunk's number -> its embeddings, (n, d) each
Joined = Callable[[Tensor], tuple[Tensor, slice]]  # rows -> those of all processes, and which are one's own


def backward(
    module: nn.Module,
    embed: Embed,
    n_chunks: int,
    loss_of: Callable[[list[Tensor]], Tensor],
    scaled: Callable[[Tensor], Tensor] = lambda loss: loss,
    beside: Callable[[int], Tensor] | None = None,
    joined: Joined | None = None,
) -> Tensor:
    """Accumulate the gradient of a loss of all chunks' embeddings in the module's parameters; returns the loss.

    `embed` runs the module on a chunk; `loss_of` takes the embeddings of the whole batch, each kind joined over the chunks. Of
    several chunks each runs twice, the first time without gradients; random numbers (dropout) are the same, and the running
    statistics of batch norms move once. The gradient is that of one large batch; in training mode a batch norm sees a chunk,
    not the whole. `scaled` is a gradient scaler's. `beside` is called after a chunk has run and gives a further loss of it
    alone, added to the whole. With several processes `joined` joins the rows of all: the gradients of the processes are then to
    be summed.
    """
    if n_chunks == 1 and joined is None:
        rows = embed(0)
        further = None if beside is None else beside(0)
        loss = loss_of(list(rows))
        loss = loss if further is None else loss + further
        scaled(loss).backward()
        return loss.detach()
    states, parts, kept = [], [], None
    if n_chunks == 1:
        kept = list(embed(0))
        parts = [kept]
    else:
        with torch.no_grad(), kept_statistics(module):
            for chunk in range(n_chunks):
                states.append(_Random())
                parts.append(embed(chunk))
    found, gradients = _gradients(parts, loss_of, scaled, joined)
    start = [0] * len(gradients)
    for chunk in range(n_chunks):
        if kept is None:
            with states[chunk].again():
                rows = embed(chunk)
        else:
            rows = kept
        part = rows[0].new_zeros(())
        for kind, some in enumerate(rows):
            part = part + (some * gradients[kind][start[kind] : start[kind] + len(some)]).sum()
            start[kind] += len(some)
        if beside is not None:
            further = beside(chunk)
            found, part = found + further.detach(), part + scaled(further)
        if part.requires_grad:
            part.backward()
    return found


def _gradients(
    parts: Sequence[Sequence[Tensor]],
    loss_of: Callable[[list[Tensor]], Tensor],
    scaled: Callable[[Tensor], Tensor],
    joined: Joined | None,
) -> tuple[Tensor, list[Tensor]]:
    """The loss of the embeddings of all chunks, and its gradient in one's own, kind by kind."""
    whole, own = [], []
    for some in map(torch.cat, zip(*parts, strict=True)):
        rows, mine = (some.detach(), slice(None)) if joined is None else joined(some)
        whole.append(rows.clone().requires_grad_())
        own.append(mine)
    loss = loss_of(whole)
    if loss.requires_grad:
        scaled(loss).backward()
    return loss.detach(), [
        (torch.zeros_like(rows) if rows.grad is None else rows.grad)[mine] for rows, mine in zip(whole, own, strict=True)
    ]


@contextmanager
def kept_statistics(module: nn.Module) -> Iterator[None]:
    """Put the buffers of a module (running statistics) back as they were."""
    before = [(buffer, buffer.clone()) for buffer in module.buffers()]
    try:
        yield
    finally:
        for buffer, value in before:
            buffer.copy_(value)


class _Random:
    """The state of torch's random numbers, to be used again."""

    def __init__(self):
        self.cpu = torch.get_rng_state()
        self.cuda = torch.cuda.get_rng_state() if torch.cuda.is_available() else None

    @contextmanager
    def again(self) -> Iterator[None]:
        after = _Random()
        self._set()
        try:
            yield
        finally:
            after._set()

    def _set(self) -> None:
        torch.set_rng_state(self.cpu)
        if self.cuda is not None:
            torch.cuda.set_rng_state(self.cuda)
