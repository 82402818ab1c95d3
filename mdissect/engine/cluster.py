"""A pass over a probe on a Ray cluster: Ray Data reads, a pool of actors runs the models, this process collects."""

from __future__ import annotations

import gc
import json
import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any

import torch

from mdissect.engine.pool import Node, Pool, pool_of
from mdissect.engine.worker import (
    CarriedError,
    Chunk,
    Reading,
    Running,
    Travelling,
    Worker,
    images_at_once,
    parts_of,
    read,
    versions,
)
from mdissect.hardware import n_cores
from mdissect.passing import HOW_TO_RAY, Group
from mdissect.probes import Probe
from mdissect.runner import Part

if TYPE_CHECKING:
    from mdissect.filling import Step

BLOCK = 16 * 2**20  # bytes of images that go to a worker at a time, at least a batch: small, so that all workers have some
STARTS_AGAIN = 3  # workers in a row that die before they are ready, before the pass gives up
QUIET = {"log_to_driver": False, "logging_level": logging.ERROR}


@dataclass(frozen=True)
class Cluster:
    """A Ray cluster that this process has joined, and the workers that it will run there."""

    pool: Pool

    @classmethod
    def joined(cls, workers: int | None, device: str | torch.device) -> Cluster:
        """Join the cluster of this machine, or of RAY_ADDRESS; start one here, with a warning, where there is none.

        Raises
        ------
        ImportError
            Ray Data is not installed.
        ConnectionError
            RAY_ADDRESS names a cluster that does not answer.
        ValueError
            The cluster has not what is asked for: see `pool_of`.
        """
        ray = _ray()
        if not ray.is_initialized():
            _join(ray)
        return cls(pool_of(_nodes(ray), workers, device if device == "auto" else torch.device(device).type))

    @property
    def device(self) -> str:
        """Where the workers run the models."""
        return "cuda" if self.pool.gpus else "cpu"

    def __str__(self) -> str:
        each = "on a GPU" if self.pool.gpus else f"with {self.pool.threads} thread{'s' if self.pool.threads > 1 else ''}"
        return f"{self.pool.size} Ray worker{'s' if self.pool.size > 1 else ''} {each}"

    def images_at_once(self, steps: Sequence[Step]) -> int:
        """The size of batches where the user states none; measured on one of the cluster's GPUs, if those run the models."""
        if not self.pool.gpus:
            return min(step.images_at_once() for step in steps)
        ray = _ray()
        measure = ray.remote(num_gpus=self.pool.gpus, num_cpus=0)(images_at_once)
        return ray.get(measure.remote(Travelling(ray.put(_running(steps))), self.device))

    def run(self, steps: Sequence[Step], probe: Probe, groups: Sequence[Group], bar: Any) -> Iterator[tuple[int, list]]:
        """Chunks as they come out, in any order, each with the parts of every network; `bar` counts the images.

        Raises
        ------
        Exception
            What a reader or a worker met, as it would be raised here; chunks that came before are done.
        """
        from ray.exceptions import RayTaskError

        failure = None
        try:
            yield from self._chunks(steps, probe, groups, bar)
        except RayTaskError as error:
            failure = _cause(error)
        finally:
            gc.collect()  # Ray ends the workers when nothing refers to them; an error may refer to them by its frames
        if failure:
            raise failure

    def _chunks(self, steps: Sequence[Step], probe: Probe, groups: Sequence[Group], bar: Any) -> Iterator[tuple[int, list]]:
        chunks = [_chunk(list(together)) for _, together in groupby(groups, key=lambda group: group.chunk)]
        sizes = {one.first.chunk: one.stop - one.first.positions.start for one in chunks}
        parts: dict[int, dict[int, list[list[Part]]]] = {}
        told: set[str] = set()
        with _quiet_data() as data:
            for row in self._rows(data, steps, Reading(probe.without_table(), chunks, _ways(chunks))):
                chunk, start, note = int(row["chunk"]), int(row["start"]), json.loads(row["note"])
                _warn(note["warnings"], told)
                bar.update(len(row["values"]))
                parts.setdefault(chunk, {})[start] = parts_of(steps, chunk, row["values"], note["widths"])
                sizes[chunk] -= len(row["values"])
                if not sizes[chunk]:
                    in_order = [found for _, found in sorted(parts.pop(chunk).items())]
                    yield chunk, [[part for found in in_order for part in found[i]] for i in range(len(steps))]

    def _rows(self, data: Any, steps: Sequence[Step], reading: Reading) -> Iterator[dict]:
        """The workers' answers, a row a batch."""
        ray, pool = _ray(), self.pool
        read_by, run_by = (Travelling(ray.put(one)) for one in (reading, _running(steps)))
        numbers = [{"id": number} for number in range(len(reading.chunks))]
        prepared = data.from_items(numbers, override_num_blocks=len(numbers)).map_batches(
            partial(read, reading=read_by),
            batch_size=1,
            batch_format="numpy",
            compute=data.TaskPoolStrategy(size=pool.readers),
            num_cpus=0,  # unlike the workers: of two alike Ray Data would make one, which reads between its batches
        )
        answers = prepared.map_batches(
            Worker,
            batch_size=1,
            batch_format="numpy",
            compute=data.ActorPoolStrategy(size=pool.size),
            num_cpus=pool.cpus,
            num_gpus=pool.gpus or None,
            fn_constructor_args=(run_by, reading.ways, self.device, pool.threads),
        )
        for rows in answers.iter_batches(batch_size=None, batch_format="numpy", prefetch_batches=0):
            for i in range(len(rows["chunk"])):
                yield {name: column[i] for name, column in rows.items()}


def _ray():
    """Ray with its data sets; ImportError that says how to get it."""
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise ImportError(f"engine='ray' needs Ray Data ({error}): {HOW_TO_RAY}") from error
    return ray


def _join(ray: Any) -> None:
    """Join a cluster, or start one on this machine."""
    try:
        ray.init(address="auto", **QUIET)
        return
    except ConnectionError as error:
        if address := os.environ.get("RAY_ADDRESS"):
            raise ConnectionError(
                f"the Ray cluster at RAY_ADDRESS={address} does not answer: start it, or unset RAY_ADDRESS"
            ) from error
    warnings.warn(
        "no Ray cluster runs on this machine, and RAY_ADDRESS names none: one was started here, for this process alone",
        stacklevel=2,
    )
    ray.init(address="local", num_cpus=n_cores(), include_dashboard=False, **QUIET)


def _nodes(ray: Any) -> list[Node]:
    given = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return [Node(one.get("CPU", 0), one.get("GPU", 0), one.get("memory", float("inf"))) for one in given]


def _running(steps: Sequence[Step]) -> Running:
    """The networks, without the entries of the store, which stay here."""
    return Running([replace(step, entries=dict.fromkeys(step.entries), embeddings=None) for step in steps], versions())


def _chunk(groups: Sequence[Group]) -> Chunk:
    return Chunk(groups[0], groups[-1].positions.stop)


def _ways(chunks: Sequence[Chunk]) -> list:
    return list(dict.fromkeys(way for chunk in chunks for way in chunk.first.contracts))


def _warn(messages: Sequence[str], told: set[str]) -> None:
    """Give here, once each, the warnings that workers met."""
    for message in messages:
        if message not in told:
            told.add(message)
            warnings.warn(message, stacklevel=4)


def _cause(error: Exception) -> Exception:
    """What was raised in another process, to be raised as if it had been in this one."""
    cause = getattr(error, "cause", None)
    cause = cause.args[0] if isinstance(cause, CarriedError) else cause
    return cause.with_traceback(None) if isinstance(cause, Exception) else RuntimeError(str(error))


@contextmanager
def _quiet_data() -> Iterator[Any]:
    """Ray Data without bars and logs of its own, which hands on errors as they are and outlives workers that die."""
    data, logger = _ray().data, logging.getLogger("ray.data")
    context, level = data.DataContext.get_current().copy(), logger.level
    context.enable_progress_bars = context.print_on_execution_start = False
    context.execution_no_progress_timeout_s = -1  # another pass may have all CPUs, for as long as it takes
    context.target_max_block_size = BLOCK
    context.raise_original_map_exception = True
    context.max_consecutive_actor_init_deaths = STARTS_AGAIN
    logger.setLevel(logging.CRITICAL)
    try:
        with data.DataContext.current(context):
            yield data
    finally:
        logger.setLevel(level)
