"""The vectors that an autoencoder is trained on: a layer's pooled activations, or places drawn from its maps or tokens."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from itertools import groupby

import numpy as np
import torch
from torch import Tensor

from mdissect.arguments import listed
from mdissect.axes import Layout, check_images
from mdissect.entries import LAYOUT
from mdissect.files import checksum
from mdissect.hooks import pool_neurons
from mdissect.models import Target, dtype_of, resolve_device, weights_fingerprint
from mdissect.outputs import evaluating, find_layer, settle_axes, tensor_of
from mdissect.passing import PassOptions, image_groups, prepared_batches, quick_target, running
from mdissect.probes import Probe
from mdissect.sae.autoencoder import PLACES
from mdissect.store import Entry, StoreLike, exclusive, open_store


@dataclass(frozen=True)
class Wanted:
    """Which vectors of a layer are asked for: all that their values depend on but the images."""

    target: Target
    layer: str
    inputs: str
    places: int
    seed: int
    passing: PassOptions

    def key(self, probe: Probe) -> dict:
        """The store's key."""
        key = {"kind": "sae-inputs", "layer": self.layer, "inputs": self.inputs, "probe": probe.key(), "layout": LAYOUT}
        key |= {"weights": self.target.fingerprint, "preprocess": self.target.preprocess.key()}
        key |= self.passing.exact().numerics(self.target.module, self.target.preprocess)
        key |= {"versions": {name: version(name) for name in ("torch", "timm")}}
        drawn = {"places": self.places, "seed": self.seed} if self.inputs == PLACES else {}
        return key | drawn | self.passing.key(self.layer, self.inputs)


@dataclass(frozen=True)
class Vectors:
    """Vectors (n_images, n_places, width) of a layer, an image's own in one row, with the layer's axes."""

    values: np.ndarray
    layout: Layout


def vectors_of(wanted: Wanted, probe: Probe, store: StoreLike, device: str | torch.device) -> Vectors:
    """Run the probe through the target; only chunks of images that are missing in the store.

    ValueError for a target trained since it was loaded, an unknown layer, or activations that are not finite.
    """
    target, layer = wanted.target, wanted.layer
    find_layer(target.module, layer)
    if weights_fingerprint(target.module) != target.fingerprint:
        raise ValueError(f"the weights of target {target.name!r} changed since it was loaded; load it again: load_target(...)")
    at = resolve_device(device)
    target.to(at)
    layout, width = _layout_of(wanted, probe, at)
    entry = open_store(store).entry(wanted.key(probe), len(probe))
    if entry.missing():
        with exclusive([entry]):
            _fill(entry, wanted, probe, layout, at)
    values = entry.read()
    if broken := [probe.ids[i] for i in np.flatnonzero(~np.isfinite(values).all(axis=1))]:
        raise ValueError(
            f"layer {layer!r} of {target.name!r} gives NaN or infinity on {len(broken)} of {len(probe)} images, such as "
            f"{listed(broken, 2)}: leave these images out (Probe.subset), or take another layer"
        )
    return Vectors(values.reshape(len(probe), -1, width), layout)


@contextmanager
def watched(module: torch.nn.Module, layer: str) -> Iterator[list[Tensor]]:
    """Collect copies of what a layer gives each time it runs."""
    found: list[Tensor] = []

    def keep(_module, _inputs, output) -> None:
        found.append(tensor_of(output, layer).clone())  # an activation in place may follow

    handle = find_layer(module, layer).register_forward_hook(keep)
    try:
        yield found
    finally:
        handle.remove()


def _layout_of(wanted: Wanted, probe: Probe, device: torch.device) -> tuple[Layout, int]:
    """The layer's axes and width, settled on the first image."""
    module, layer = wanted.target.module, wanted.layer
    image = wanted.target.preprocess(probe[0])[None].to(device, dtype_of(module), memory_format=torch.channels_last)
    axes = wanted.passing.axes or {}
    given = {layer: axes[layer]} if layer in axes else {}
    layouts = settle_axes(module, [layer], image, axes=given, prefix_tokens=wanted.passing.prefix_tokens)
    if layer not in layouts:
        raise ValueError(f"layer {layer!r} gave nothing: the network did not run it")
    with torch.inference_mode(), evaluating(module), watched(module, layer) as found:
        module(image)
    return layouts[layer], found[-1].shape[layouts[layer].letters.index("C")]


@torch.inference_mode()
def _fill(entry: Entry, wanted: Wanted, probe: Probe, layout: Layout, device: torch.device) -> None:
    """Compute the missing chunks. Runs under the entry's lock."""
    from tqdm.auto import tqdm

    target, layer, passing = wanted.target, wanted.layer, wanted.passing
    quick = quick_target(target, [layer], passing.exact(), device)
    ways = dict.fromkeys(entry.missing(), (target.preprocess,))
    groups = image_groups(entry, ways, passing.images_at_once(target.preprocess, device))
    batches = prepared_batches(probe, groups, passing.workers)
    n_images = sum(len(group.positions) for group in groups)
    bar = tqdm(total=n_images, unit="image", desc=f"{layer} of {target.name}", disable=not passing.progress)
    with bar, running([target.module], device), watched(quick.module, layer) as found:
        for chunk, together in groupby(groups, key=lambda group: group.chunk):
            rows = []
            for group in together:
                seen = next(batches)[target.preprocess]
                found.clear()
                quick.module(seen.to(device, dtype_of(target.module), memory_format=torch.channels_last))
                check_images(layer, tuple(found[-1].shape), layout, len(group.positions))
                rows.append(_chosen(found[-1], wanted, [probe.ids[i] for i in group.positions], layout))
                bar.update(len(group.positions))
            entry.write(chunk, torch.cat(rows).cpu().numpy())


def _chosen(output: Tensor, wanted: Wanted, ids: list[str], layout: Layout) -> Tensor:
    """The vectors of a batch's images, (n, n_places * width) float32."""
    if wanted.inputs != PLACES or not layout.places:
        return pool_neurons(output, "mean" if wanted.inputs == PLACES else wanted.inputs, wanted.layer, layout)
    every = output.permute(layout.batch, *layout.places, layout.letters.index("C")).flatten(1, -2)
    n_places = every.shape[1]
    if n_places > wanted.places:
        drawn = np.stack([_drawn(n_places, wanted.places, wanted.seed, image_id) for image_id in ids])
        every = every.gather(1, torch.from_numpy(drawn).to(every.device)[..., None].expand(-1, -1, every.shape[2]))
    return every.flatten(1).float()


def _drawn(n_places: int, n: int, seed: int, image_id: str) -> np.ndarray:
    """Places of an image, at random: the same in any probe."""
    rng = np.random.default_rng([seed, int(checksum(image_id.encode())[:12], 16)])
    return np.sort(rng.choice(n_places, n, replace=False))
