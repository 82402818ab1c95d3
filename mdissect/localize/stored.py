"""A layer's maps of a whole probe, computed once and kept in the store."""

from dataclasses import dataclass
from importlib.metadata import version

import numpy as np
import torch
from torch.nn import functional as F

from mdissect.arguments import counted
from mdissect.localize.maps import network_maps
from mdissect.models import Target, resolve_device, weights_fingerprint
from mdissect.outputs import find_layer
from mdissect.probes import Probe
from mdissect.store import Entry, StoreLike, exclusive, open_store

KEPT_AS = "float16"
LARGEST = float(np.finfo(KEPT_AS).max)


@dataclass(frozen=True)
class MapsWanted:
    """What maps are asked for; `grid`: height and width to which larger maps are averaged, None for the layer's own."""

    target: Target
    layer: str
    grid: tuple[int, int] | None = None
    axes: str | None = None


def stored_maps(
    wanted: MapsWanted, probe: Probe, store: StoreLike = None, device: str | torch.device = "auto"
) -> tuple[np.ndarray, tuple[int, int, int]]:
    """The maps of a probe's images as float16 (n_images, n_neurons * h * w), and their (n_neurons, h, w).

    In the frame of the prepared images. They are in memory: n_images x n_neurons x h x w x 2 bytes; `grid` bounds it.

    Raises
    ------
    ValueError
        A target that was trained since it was loaded, an unknown layer or one without places, and maps that are not finite or
        beyond float16.
    """
    target = wanted.target
    find_layer(target.module, wanted.layer)
    if weights_fingerprint(target.module) != target.fingerprint:
        raise ValueError(f"the weights of target {target.name!r} changed since it was loaded; load it again: load_target(...)")
    target.to(resolve_device(device))
    (first,) = _maps(wanted, probe, range(1))
    key = {
        "kind": "maps",
        "layer": wanted.layer,
        "weights": target.fingerprint,
        "preprocess": target.preprocess.key(),
        "probe": probe.key(),
        "grid": list(wanted.grid) if wanted.grid else None,
        "axes": wanted.axes,
        "versions": {name: version(name) for name in ("torch", "timm")},
    }
    about = {"model": target.name, "probe": probe.name, "layer": wanted.layer}
    entry = open_store(store).entry(key, len(probe), KEPT_AS, about)
    if entry.missing():
        with exclusive([entry]):
            _fill(entry, wanted, probe)
    return entry.read(), first.shape


def on_grid(maps: torch.Tensor, grid: tuple[int, int] | None) -> torch.Tensor:
    """Maps (n, n_neurons, h, w) averaged to a grid where they are larger than it."""
    if grid is None:
        return maps
    size = tuple(min(own, most) for own, most in zip(maps.shape[2:], grid, strict=True))
    return maps if size == tuple(maps.shape[2:]) else F.adaptive_avg_pool2d(maps, size)


def _fill(entry: Entry, wanted: MapsWanted, probe: Probe) -> None:
    """Compute the missing chunks, each in turn. Runs under the entry's lock."""
    for chunk in entry.missing():
        rows = range(len(probe))[entry.rows(chunk)]
        maps = np.stack(_maps(wanted, probe, rows)).reshape(len(rows), -1)
        usable = (np.abs(maps) <= LARGEST).all(axis=1)  # False for NaN too
        if not usable.all():
            broken = [probe.ids[row] for row, fine in zip(rows, usable, strict=True) if not fine]
            raise ValueError(
                f"layer {wanted.layer!r} of {wanted.target.name!r} gives NaN, infinity or values beyond {LARGEST:g} on "
                f"{counted(broken, 'image')}: leave these out (Probe.subset), or take another layer"
            )
        entry.write(chunk, maps)


def _maps(wanted: MapsWanted, probe: Probe, rows: range) -> list[np.ndarray]:
    """The maps (n_neurons, h, w) of some images, float32."""
    images = (probe[row] for row in rows)
    found = network_maps(wanted.target, [wanted.layer], images, wanted.axes)
    return [own for _, maps in found for own in on_grid(maps[wanted.layer].float(), wanted.grid).cpu().numpy()]
