"""Large contrastive batches in little memory: the gradient of the whole batch, chunk by chunk (a feature cache).

Gao et al., Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup, 2021 (GradCache).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

Embed = Callable[[int], Sequence[Tensor]]  # a chunk's number -> its embeddings, (n, d) each


def backward(
    module: nn.Module,
    embed: Embed,
    n_chunks: int,
    loss_of: Callable[[list[Tensor]], Tensor],
    scaled: Callable[[Tensor], Tensor] = lambda loss: loss,
    beside: Callable[[int], Tensor] | None = None,
    gathered: Callable[[Tensor], tuple[Tensor, slice]] | None = None,
) -> Tensor:
    """Accumulate the gradient of a loss of all chunks' embeddings in the module's parameters; returns the loss.

    `embed` runs the module on a chunk; `loss_of` takes the embeddings of the whole batch, each kind joined over the chunks.
    Each chunk runs twice, the first time without gradients; random numbers (dropout) are the same, and the running statistics
    of batch norms move once. The gradient is that of one large batch; in training mode a batch norm sees a chunk, not the
    whole. `scaled` is a gradient scaler's. `beside` is called after a chunk has run and gives a further loss of it alone, added
    to the whole. With several processes `gathered` joins the rows of all and says which are one's own: the gradients of the
    processes are then to be summed.
    """
    if n_chunks == 1 and gathered is None:
        loss = loss_of(list(embed(0)))
        if beside is not None:
            loss = loss + beside(0)
        scaled(loss).backward()
        return loss.detach()
    states, parts = [], []
    with torch.no_grad(), kept_statistics(module):
        for chunk in range(n_chunks):
            states.append(_Random())
            parts.append([rows.detach() for rows in embed(chunk)])
    whole, own = [], []
    for rows in map(torch.cat, zip(*parts, strict=True)):
        joined, mine = (rows, slice(None)) if gathered is None else gathered(rows)
        whole.append(joined.requires_grad_())
        own.append(mine)
    loss = loss_of(whole)
    if loss.requires_grad:
        scaled(loss).backward()
    gradients = [
        (torch.zeros_like(rows) if rows.grad is None else rows.grad)[mine] for rows, mine in zip(whole, own, strict=True)
    ]
    found = loss.detach()
    start = [0] * len(gradients)
    for chunk in range(n_chunks):
        with states[chunk].again():
            again = embed(chunk)
        products = []
        for kind, rows in enumerate(again):
            stop = start[kind] + len(rows)
            products.append((rows * gradients[kind][start[kind] : stop]).sum())
            start[kind] = stop
        again = sum(products)
        if beside is not None:
            further = beside(chunk)
            found, again = found + further.detach(), again + scaled(further)
        again.backward()
    return found


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
        self.cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []

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
        if self.cuda:
            torch.cuda.set_rng_state_all(self.cuda)
