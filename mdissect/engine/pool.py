"""How many workers run the models in a cluster, and what each of them takes of it."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mdissect.signatures import validated

BYTES_A_WORKER = 4 * 2**30  # that a worker on CPUs may count on: a B5 at 1520 x 912 takes half of it
CORES_A_READER = 4  # where CPUs run the models
_TINY = 1e-9  # of rounding


@dataclass(frozen=True)
class Node:
    """A machine of a cluster: what it gives to work, memory in bytes."""

    cpus: float
    gpus: float = 0
    memory: float = math.inf


@dataclass(frozen=True)
class Pool:
    """Workers that run the models.

    Attributes
    ----------
    size : int
        How many there are.
    threads : int
        On which each computes.
    cpus, gpus : float
        What each takes of a machine, as Ray counts.
    readers : int
        How many tasks read images at a time. They take no CPU of Ray's count: there may be none left, with two passes on one
        cluster, and both would wait for ever.
    """

    size: int
    threads: int
    cpus: float
    gpus: float
    readers: int


@validated(nodes=lambda name, value: value)
def pool_of(nodes: Sequence[Node], workers: int | None = None, device: str = "auto") -> Pool:
    """The workers for a cluster: one for each GPU, or else one for each core.

    >>> pool_of([Node(cpus=2)])
    Pool(size=2, threads=1, cpus=1, gpus=0, readers=1)

    Parameters
    ----------
    nodes : sequence of Node
    workers : int, optional
        How many are wanted. None: one for each GPU; on CPUs one for each core, or for several cores where there is less
        than 4 GiB of memory for each.
    device : {"auto", "cpu", "cuda"}
        "auto": the GPUs where the cluster has any.

    Raises
    ------
    ValueError
        GPUs are wanted and there are none, no machine gives a CPU, or `workers` is 0.
    """
    nodes = [node for node in nodes if node.cpus > 0]
    if workers == 0:
        raise ValueError("workers=0 must be 1 or more with engine='ray': as many run the models; None chooses by the cluster")
    if not nodes:
        raise ValueError("no machine of the Ray cluster gives a CPU to work: start its workers first (`ray status` lists them)")
    gpus = [node.gpus for node in nodes if node.gpus >= 1]
    if device == "cuda" and not gpus:
        raise ValueError("device='cuda', but no machine of the Ray cluster gives a GPU; 'auto' takes what is there")
    cores = int(sum(node.cpus for node in nodes))
    if gpus and device != "cpu":
        size = workers or int(sum(map(math.floor, gpus)))
        return Pool(size, 1, 0, _counted(share(gpus, size, 1)), max(1, cores - size))
    if workers is None:
        threads = max(map(_threads_for_memory, nodes))
        size = max(1, sum(int(node.cpus // threads) for node in nodes))
    else:
        size, threads = workers, max(1, min(cores // workers, int(max(node.cpus for node in nodes))))
    return Pool(
        size, threads, _counted(share([node.cpus for node in nodes], size, threads)), 0, max(1, cores // CORES_A_READER)
    )


def share(free: Sequence[float], size: int, most: float) -> float:
    """The largest share, `most` at the most, of which machines that have `free` hold as many as `size` together.

    >>> share([1.0], 2, 1), share([3.0, 7.0], 5, 1), share([3.0, 7.0], 5, 4)
    (0.5, 1, 1.75)
    """
    return max(one for one in {most, *_parts(free, size)} if one <= most and _held(free, one) >= size)


def _parts(free: Sequence[float], size: int) -> Iterator[float]:
    """Each machine's room cut into equal parts: the shares that may be the largest."""
    for room in set(free):
        yield from (room / n for n in range(1, size + 1))


def _held(free: Sequence[float], one: float) -> int:
    return sum(int(room / one + _TINY) for room in free)


def _threads_for_memory(node: Node) -> int:
    """Threads of a worker, so that memory suffices for all of a machine's workers."""
    fit = max(1, node.memory // BYTES_A_WORKER) if math.isfinite(node.memory) else node.cpus
    return max(1, math.ceil(node.cpus / min(fit, node.cpus)))


def _counted(amount: float) -> float:
    """A share in Ray's units: whole above 1, else in steps of 0.0001."""
    return math.floor(amount) if amount >= 1 else math.floor(amount * 10_000 + _TINY) / 10_000
