"""Fills the chunks of a pass that the store lacks."""

from dataclasses import replace
from itertools import groupby

import torch

from mdissect.entries import own_tower
from mdissect.folding import folded, small_image
from mdissect.hardware import at_once, kept_memory, memory_of, own_cores
from mdissect.models import Dissector, Target
from mdissect.outputs import evaluating
from mdissect.passing import Group, PassOptions, image_groups, prepared_batches
from mdissect.probes import Probe
from mdissect.runner import Runner
from mdissect.store import CHUNK_ROWS, Entry


@torch.inference_mode()
def fill(
    target: Target,
    dissector: Dissector | None,
    probe: Probe,
    entries: dict[str, Entry],
    embeddings: Entry | None,
    pool: str,
    device: torch.device,
    options: PassOptions,
) -> None:
    """Compute the missing chunks, of activations alone without a dissector. Runs under the entries' locks."""
    missing = {layer: set(entry.missing()) for layer, entry in entries.items()}
    to_embed = set(embeddings.missing()) if embeddings else set()
    if dissector and not dissector.needs_pixels:
        for chunk in to_embed:
            ids = [probe.ids[i] for i in range(len(probe))[embeddings.rows(chunk)]]
            embeddings.write(chunk, dissector.encode_ids(ids).float().cpu().numpy())
        to_embed = set()
    to_record = set().union(*missing.values())
    if not (to_record or to_embed):
        return
    target, dissector = target.to(device), dissector and dissector.to(device)
    stated = (options.axes or {}, options.prefix_tokens)
    running = _folded(target, dissector, list(entries), options, device)
    runner = Runner(*running, pool, device, *stated, settled_on=target.module, bf16=options.precision == "bf16")
    size = options.batch_size or _images_at_once(runner, list(entries), bool(to_embed))
    groups = image_groups(embeddings or next(iter(entries.values())), to_record, to_embed, size)
    batches = prepared_batches(target, dissector, probe, groups, options.workers)
    bar = _bar(f"{target.name} on {probe.name}", groups, options.progress)
    with evaluating(target.module), kept_memory(device), own_cores(device), bar:
        for chunk, together in groupby(groups, key=lambda group: group.chunk):
            layers = [layer for layer in entries if chunk in missing[layer]]
            parts = []
            for group in together:
                parts.append(runner.run(next(batches), layers, group.embed))
                bar.update(len(group.positions))
            for layer in layers:
                entries[layer].write(chunk, torch.cat([part.activations[layer] for part in parts]).cpu().numpy())
            if chunk in to_embed:
                embeddings.write(chunk, torch.cat([part.embedded for part in parts]).float().cpu().numpy())


def _folded(
    target: Target, dissector: Dissector | None, layers: list[str], options: PassOptions, device: torch.device
) -> tuple[Target, Dissector | None]:
    """Target and dissector with copies of their networks whose batch norms are folded, where the options ask for it."""
    if layers and options.folds(target.module, target.preprocess):
        shown = small_image(target.preprocess.channels, target.preprocess.size, device)
        module = folded(target.module, lambda network: network(shown), layers)
        target = replace(target, module=target.module if module is None else module)
    tower = own_tower(dissector) if dissector and dissector.needs_pixels else None
    if tower is not None and options.folds(tower, dissector.preprocess):
        seen = small_image(dissector.preprocess.channels, dissector.preprocess.size, device)
        shared = layers if dissector.image_fingerprint == target.fingerprint else []
        other = folded(tower, lambda network: dissector.with_image_tower(network).embed_images(seen), shared)
        dissector = dissector if other is None else dissector.with_image_tower(other)
    return target, dissector


def _images_at_once(runner: Runner, layers: list[str], embed: bool) -> int:
    """The size of batches for the larger of the two models' images; on a GPU by the memory that one image takes."""
    seen = [runner.target.preprocess] + ([runner.dissector.preprocess] if embed else [])
    sizes = [one.size for one in seen]
    images = [torch.zeros(1, one.channels, *one.size) for one in seen]
    trial = replace(runner, layouts={})

    def show() -> None:
        alike = len(seen) < 2 or seen[0] == seen[1]
        trial.run((images[0], None if alike else images[1]), layers, embed)

    def per_image() -> int:
        show()  # the axes are settled in it
        return memory_of(show, runner.device)

    return at_once(max(sizes, key=lambda size: size[0] * size[1]), runner.device, per_image, CHUNK_ROWS)


def _bar(label: str, groups: list[Group], shown: bool):
    """A progress bar of images, hidden if there are none."""
    from tqdm.auto import tqdm

    n_images = sum(len(group.positions) for group in groups)
    return tqdm(total=n_images, unit="image", desc=label, disable=not (shown and n_images))
