"""What runs on a cluster's machines: reading and preparing images, and the models."""

from __future__ import annotations

import json
import platform
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mdissect import __version__
from mdissect.entries import library_versions
from mdissect.hardware import kept_memory
from mdissect.outputs import evaluating
from mdissect.passing import Group, PreparedImages
from mdissect.preprocess import Preprocess
from mdissect.probes import Probe
from mdissect.runner import Part

if TYPE_CHECKING:
    from mdissect.filling import Step

Rows = dict[str, np.ndarray]  # of a data set, by column


@dataclass(frozen=True)
class Chunk:
    """A chunk of the store that is missing, as its first batch and the row behind its last image."""

    first: Group
    stop: int

    def groups(self) -> list[Group]:
        """Its batches, in order."""
        start, size = self.first.positions.start, len(self.first.positions)
        rows = [range(at, min(at + size, self.stop)) for at in range(start, self.stop, size)]
        return [replace(self.first, positions=positions) for positions in rows]


@dataclass(frozen=True)
class Reading:
    """What those who read need: the probe, without its table, the missing chunks, and every way of preparing an image."""

    probe: Probe
    chunks: Sequence[Chunk]
    ways: Sequence[Preprocess]


@dataclass(frozen=True)
class Running:
    """What those who run the models need: the networks, and the versions of the libraries that the store's keys name."""

    steps: Sequence[Step]
    versions: dict[str, str]


class CarriedError(Exception):
    """Carries what was raised on another machine, its only argument, to this one: Ray adds words of its own to other errors."""


@contextmanager
def carried() -> Iterator[None]:
    """Errors that are raised inside leave as a `CarriedError`."""
    try:
        yield
    except Exception as error:
        raise CarriedError(error) from None


def versions() -> dict[str, str]:
    """What must be the same on all machines: the values that they compute are kept under one key."""
    return library_versions() | {"mdissect": __version__}


@dataclass(frozen=True)
class Travelling:
    """A thing in Ray's memory, by its reference; called, it is the thing."""

    reference: Any

    def __call__(self) -> Any:
        import ray
        from ray.exceptions import RaySystemError

        try:
            return ray.get(self.reference)
        except RaySystemError as error:  # Ray would try it again, for ever
            reason = str(error).strip().splitlines()[-1]
        raise RuntimeError(
            f"{platform.node()} of the Ray cluster cannot unpack the models or the probe ({reason}): install there what they "
            "are made of, or name its folder in PYTHONPATH before the cluster starts"
        )


def read(rows: Rows, reading: Callable[[], Reading]) -> Iterator[Rows]:
    """The batches of some chunks, a row each: chunk, first position, and the images in each way that they are prepared."""
    with carried():
        given = once(reading)
        for number in rows["id"].tolist():
            groups = given.chunks[number].groups()
            images = PreparedImages(given.probe, groups)
            for at, group in enumerate(groups):
                batch = images[at]
                prepared = {way_name(i): _array(batch, way)[None] for i, way in enumerate(given.ways)}
                yield {"chunk": np.array([group.chunk]), "start": np.array([group.positions.start]), **prepared}


class Worker:
    """Runs the models on batches that `read` made; made once in each worker process."""

    def __init__(self, running: Callable[[], Running], ways: Sequence[Preprocess], device: str, threads: int):
        self.ways, self.threads = ways, threads
        self.steps: Sequence[Step] = ()
        self.failure: Exception | None = None
        try:
            self._prepare(running(), torch.device(device))
        except Exception as error:
            self.failure = error  # told with the first batch: an error on the way up would be taken for a worker that died

    def _prepare(self, running: Running, device: torch.device) -> None:
        if (here := versions()) != running.versions:
            raise RuntimeError(
                f"{platform.node()} of the Ray cluster has {_listed(here)}, but this process has {_listed(running.versions)}: "
                "install the same versions everywhere"
            )
        self.steps = [step.on(device) for step in running.steps]
        stack = ExitStack()  # for the life of the process
        stack.enter_context(kept_memory(device))
        for step in self.steps:
            stack.enter_context(evaluating(step.runner.settled_on))
        self._stack = stack

    def __call__(self, rows: Rows) -> Rows:
        """One batch: the rows of all that is missing of it, one beside the other; their widths; and the warnings given."""
        with carried():
            return self._run(rows)

    def _run(self, rows: Rows) -> Rows:
        if self.failure:
            raise self.failure
        chunk = int(rows["chunk"][0])
        images = (np.array(rows[way_name(i)][0]) for i in range(len(self.ways)))  # copied: Ray's memory is read only
        batch = {way: torch.from_numpy(one) for way, one in zip(self.ways, images, strict=True) if len(one)}
        torch.set_num_threads(self.threads)
        with warnings.catch_warnings(record=True) as given, torch.inference_mode():
            warnings.simplefilter("default")
            found = [tensor for step in self.steps for part in step.run(batch, chunk) for tensor in _outputs(step, chunk, part)]
        note = {
            "widths": [tensor.shape[1] for tensor in found],
            "warnings": [str(one.message) for one in given if issubclass(one.category, UserWarning)],
        }
        values = torch.cat([tensor.float().cpu() for tensor in found], dim=1).numpy()
        return {"chunk": rows["chunk"], "start": rows["start"], "values": values[None], "note": np.array([json.dumps(note)])}


def parts_of(steps: Sequence[Step], chunk: int, values: np.ndarray, widths: Sequence[int]) -> list[list[Part]]:
    """A batch's parts as `Step.write` takes them, of what a `Worker` gave."""
    columns, parts = iter(torch.from_numpy(np.array(values)).split(list(widths), dim=1)), []
    for step in steps:
        layers, embed = step.layers(chunk), chunk in step.to_embed
        found = Part({layer: next(columns) for layer in layers}, next(columns) if embed else None)
        parts.append([found] if layers or embed else [])
    return parts


def images_at_once(running: Callable[[], Running], device: str) -> int:
    """The size of batches that suits all networks on a device."""
    return min(step.on(torch.device(device)).images_at_once() for step in running().steps)


def way_name(number: int) -> str:
    """The column of the images that were prepared in one way."""
    return f"images {number}"


@lru_cache(maxsize=1)
def once(made: Callable[[], Reading]) -> Reading:
    """What travelled to this process, unpacked once."""
    return made()


def _array(batch: dict[Preprocess, torch.Tensor], way: Preprocess) -> np.ndarray:
    """The images (n, channels, h, w) prepared in one way; none where they are not asked for."""
    return batch[way].numpy() if way in batch else np.zeros((0, way.channels, *way.size), np.float32)


def _outputs(step: Step, chunk: int, part: Part) -> list[torch.Tensor]:
    """What is missing of a batch, in the order of `parts_of`."""
    return [part.activations[layer] for layer in step.layers(chunk)] + ([part.embedded] if chunk in step.to_embed else [])


def _listed(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())
