"""Fills the chunks that the store lacks: one pass over a probe for any number of targets and dissectors."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
import torch

from mdissect.arguments import listed
from mdissect.engine import Cluster
from mdissect.entries import own_tower
from mdissect.folding import small_image
from mdissect.fusing import quick
from mdissect.hardware import at_once, memory_of
from mdissect.models import Dissector, Target, resolve_device
from mdissect.passing import Group, PassOptions, image_groups, prepared_batches, quick_target, running
from mdissect.preprocess import Preprocess
from mdissect.probes import Probe
from mdissect.runner import Batch, Part, Runner, one_tower
from mdissect.store import CHUNK_ROWS, Entry, entry_name, exclusive


@dataclass(frozen=True)
class Recorded:
    """A target, and by layer the entry that its activations go to."""

    target: Target
    entries: dict[str, Entry]


@dataclass(frozen=True)
class Embedded:
    """A dissector, and the entry that its image embeddings go to."""

    dissector: Dissector
    entry: Entry


def complete(
    recorded: Sequence[Recorded],
    embedded: Sequence[Embedded],
    probe: Probe,
    pool: str,
    device: str | torch.device,
    options: PassOptions,
) -> None:
    """Compute what is missing of all entries, in one pass; processes that want the same wait for each other."""
    recorded, embedded = _once(recorded), list({entry_name(one.entry.key): one for one in embedded}.values())
    wanted = entries_of(recorded, embedded)
    if any(entry.missing() for entry in wanted):
        with exclusive(wanted):
            fill(recorded, embedded, probe, pool, device, options)


def entries_of(recorded: Sequence[Recorded], embedded: Sequence[Embedded]) -> list[Entry]:
    """All entries of a pass."""
    return [entry for one in recorded for entry in one.entries.values()] + [one.entry for one in embedded]


def _once(recorded: Sequence[Recorded]) -> list[Recorded]:
    """Each network once, with all its layers."""
    found: dict[tuple, Recorded] = {}
    for one in recorded:
        network = (one.target.fingerprint, one.target.preprocess)
        before = found.get(network, one)
        found[network] = replace(before, entries=before.entries | one.entries)
    return list(found.values())


@torch.inference_mode()
def fill(
    recorded: Sequence[Recorded],
    embedded: Sequence[Embedded],
    probe: Probe,
    pool: str,
    device: str | torch.device,
    options: PassOptions,
) -> None:
    """Compute the missing chunks of all entries; each image is read once. Runs under the entries' locks."""
    for one in embedded:
        if not one.dissector.needs_pixels:
            _embed_ids(one, probe)
    steps = _steps(recorded, [one for one in embedded if one.dissector.needs_pixels], pool, options)
    if not steps:
        return
    cluster = Cluster.joined(options.workers, device) if options.engine == "ray" else None
    if not cluster:  # whose workers make the networks ready
        steps = [step.on(resolve_device(device)) for step in steps]
    groups = groups_of(steps, options.batch_size or (cluster.images_at_once(steps) if cluster else None))
    names = [step.runner.target.name for step in steps if step.entries] or [steps[0].runner.target.name]
    label = f"{listed(names, 3)} on {probe.name}" + (f", {cluster}" if cluster else "")
    with _bar(label, groups, options.progress) as bar:
        chunks = cluster.run(steps, probe, groups, bar) if cluster else _here(steps, probe, groups, options.workers, bar)
        with closing(chunks):
            for chunk, parts in chunks:
                for step, found in zip(steps, parts, strict=True):
                    step.write(chunk, found)


def _here(steps: Sequence["Step"], probe: Probe, groups: list[Group], workers: int | None, bar) -> Iterator[tuple[int, list]]:
    """Chunks in order, each with the parts of every network, computed in this process; `bar` counts the images."""
    batches = prepared_batches(probe, groups, workers)
    with running([step.runner.settled_on for step in steps], steps[0].runner.device):
        for chunk, together in groupby(groups, key=lambda group: group.chunk):
            parts: list[list[Part]] = [[] for _ in steps]
            for group in together:
                batch = next(batches)
                for step, found in zip(steps, parts, strict=True):
                    found += step.run(batch, chunk)
                bar.update(len(group.positions))
            yield chunk, parts


@dataclass
class Step:
    """A network of a pass, a target or a dissector, or one that is both, with the entries to be filled from it.

    `missing`: the chunks that are, by layer; `to_embed`: those of the embeddings; `options`: of the pass.
    """

    runner: Runner
    entries: dict[str, Entry]
    embeddings: Entry | None
    missing: dict[str, set[int]]
    to_embed: set[int]
    options: PassOptions

    def on(self, device: torch.device) -> "Step":
        """The same on a device, with the copies of its networks that are quick there."""
        networks = _quick(self.runner.target, self.runner.dissector, list(self.entries), self.options, device)
        return replace(self, runner=replace(self.runner, target=networks[0], dissector=networks[1], device=device))

    @property
    def chunks(self) -> set[int]:
        """The chunks for which it runs."""
        return self.to_embed.union(*self.missing.values())

    def layers(self, chunk: int) -> list[str]:
        """The layers that are missing of a chunk."""
        return [layer for layer, chunks in self.missing.items() if chunk in chunks]

    def ways(self, chunk: int) -> list[Preprocess]:
        """How a chunk's images are to be prepared for it."""
        of_target = [self.runner.target.preprocess] if self.layers(chunk) else []
        return of_target + ([self.runner.dissector.preprocess] if chunk in self.to_embed else [])

    def run(self, batch: Batch, chunk: int) -> list[Part]:
        """What is missing of a batch of a chunk: one part, or none."""
        if chunk not in self.chunks:
            return []
        return [self.runner.run({way: batch[way] for way in self.ways(chunk)}, self.layers(chunk), chunk in self.to_embed)]

    def write(self, chunk: int, parts: list[Part]) -> None:
        """Keep a chunk of which these are all the parts."""
        for layer in self.layers(chunk):
            self.entries[layer].write(chunk, joined(part.activations[layer] for part in parts))
        if chunk in self.to_embed:
            self.embeddings.write(chunk, joined(part.embedded for part in parts))

    def images_at_once(self) -> int:
        """The size of its batches; on a GPU by the memory that one image takes."""
        layers, embed = list(self.entries), bool(self.to_embed)
        ways = ([self.runner.target.preprocess] if layers else []) + ([self.runner.dissector.preprocess] if embed else [])
        image = {way: torch.zeros(1, way.channels, *way.size) for way in ways}
        trial, device = replace(self.runner, layouts={}), self.runner.device

        def per_image() -> int:
            trial.run(image, layers, embed)  # the axes are settled in it
            return memory_of(lambda: trial.run(image, layers, embed), device)

        return at_once(max((way.size for way in ways), key=lambda size: size[0] * size[1]), device, per_image, CHUNK_ROWS)


def groups_of(steps: Sequence[Step], batch_size: int | None) -> list[Group]:
    """The batches of a pass, in order; each holds as many images as suit the network that takes the fewest."""
    if not steps:
        return []
    chunks = sorted(set().union(*(step.chunks for step in steps)))
    ways = {chunk: tuple(dict.fromkeys(way for step in steps for way in step.ways(chunk))) for chunk in chunks}
    size = batch_size or min(step.images_at_once() for step in steps)
    first = next(iter(steps[0].entries.values()), steps[0].embeddings)
    return image_groups(first, ways, size)


def joined(parts: Iterable[torch.Tensor]) -> np.ndarray:
    """The rows of several batches (n, columns), float32, in this machine's memory."""
    return torch.cat(list(parts)).float().cpu().numpy()


def _embed_ids(embedded: Embedded, probe: Probe) -> None:
    """Embeddings of images that are known by their ids alone."""
    for chunk in embedded.entry.missing():
        ids = [probe.ids[i] for i in range(len(probe))[embedded.entry.rows(chunk)]]
        embedded.entry.write(chunk, embedded.dissector.encode_ids(ids).float().cpu().numpy())


def _steps(recorded: Sequence[Recorded], embedded: Sequence[Embedded], pool: str, options: PassOptions) -> list[Step]:
    """The networks that have something to do; a dissector whose tower is a target's runs with it."""
    left = list(embedded)
    steps = []
    for one in recorded:
        shared = next((other for other in left if one_tower(one.target, other.dissector)), None)
        left = [other for other in left if other is not shared]
        steps.append(_step(one.target, one.entries, shared, pool, options))
    for one in left:
        alone = Target(one.dissector.name, torch.nn.Identity(), one.dissector.preprocess, (), "")  # shown no image
        steps.append(_step(alone, {}, one, pool, options))
    return [step for step in steps if step is not None]


def _step(target: Target, entries: dict[str, Entry], embedded: Embedded | None, pool: str, options: PassOptions) -> Step | None:
    """A network as it stands; None where nothing is missing."""
    missing = {layer: set(entry.missing()) for layer, entry in entries.items()}
    to_embed = set(embedded.entry.missing()) if embedded else set()
    if not to_embed.union(*missing.values()):
        return None
    networks, bf16 = (target, embedded.dissector if to_embed else None), options.precision == "bf16"
    axes = options.of(entries).axes or {}
    runner = Runner(*networks, pool, torch.device("cpu"), axes, options.prefix_tokens, settled_on=target.module, bf16=bf16)
    return Step(runner, entries, embedded and embedded.entry, missing, to_embed, options)


def _quick(
    target: Target, dissector: Dissector | None, layers: list[str], options: PassOptions, device: torch.device
) -> tuple[Target, Dissector | None]:
    """Target and dissector on a device, with folded copies of their networks where the options ask for it."""
    tower = own_tower(dissector.to(device)) if dissector else None
    folds = tower is not None and options.folds(tower, dissector.preprocess)
    same = folds and one_tower(target, dissector)
    if layers and not same:
        target = quick_target(target, layers, options, device)
    if folds:
        seen = small_image(dissector.preprocess.channels, dissector.preprocess.size, device)

        def embed(network: torch.nn.Module) -> torch.Tensor:
            return dissector.with_image_tower(network).embed_images(seen)

        tower = quick(tower, embed, layers if same else [], device, options.precision == "bf16")
        dissector = dissector.with_image_tower(tower)
        target = replace(target, module=tower) if same else target  # one copy for both
    return target, dissector


def _bar(label: str, groups: list[Group], shown: bool):
    """A progress bar of images."""
    from tqdm.auto import tqdm

    return tqdm(total=sum(len(group.positions) for group in groups), unit="image", desc=label, disable=not shown)
