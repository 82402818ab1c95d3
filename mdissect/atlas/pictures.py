"""The pictures of an atlas: images as WebP, where neurons respond as small 8-bit maps, annotations as boxes."""

import base64
import io
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import repeat

import numpy as np

from mdissect.atlas.images import Images
from mdissect.explorers.pictures import within
from mdissect.explorers.scales import Scales
from mdissect.files import without_folders
from mdissect.localize import air_level
from mdissect.models import Target
from mdissect.probes import Probe
from mdissect.store import StoreLike

STEPS = ((512, 80), (512, 60), (384, 60), (256, 65), (256, 45), (192, 45), (160, 35), (128, 25))  # height and quality
WIDER = 1.25  # than high an image may be
MAP_PLACES, MAP_SIDE = 640, 32  # 32 x 20
AT_A_TIME, MEMORY = 16, 2**28  # images in one go at least; bytes of their maps
MOST_MAPS = 10  # of a neuron
BASE64 = 4 / 3
SAMPLE = 24
MARGIN = 1.1


@dataclass
class Shots:
    """Pictures of images by their numbers: WebP in base64, boxes [finding, x, y, width, height in thousandths] and air."""

    webp: dict[int, str]
    boxes: dict[int, list]
    problems: int  # images that cannot be read, or are not in the probe
    air: dict[int, int] = field(default_factory=dict)  # the grey value (0 to 255) up to which a mammogram's pixels are air


def shots(images: Images, wanted: Sequence[int], most_bytes: float) -> Shots:
    """Pictures of the wanted images that together take at most some bytes: smaller ones where they are many."""
    with ThreadPoolExecutor(4) as pool:
        there = [number for number in wanted if images.places[number] is not None]
        first = _first_step(images, there, most_bytes, pool)
        for height, quality in STEPS[first:]:
            made = list(pool.map(_shot, repeat(images), there, repeat(height), repeat(quality)))
            if sum(len(one[0]) for one in made if one) <= most_bytes:
                break
    webp, boxes, air, used = {}, {}, {}, 0
    for number, one in zip(there, made, strict=True):
        if one is None or used + len(one[0]) > most_bytes:
            continue
        used += len(one[0])
        webp[number] = one[0]
        if one[1] is not None:
            boxes[number] = one[1]
        if one[2] is not None:
            air[number] = one[2]
    return Shots(webp, boxes, len(wanted) - len(there) + sum(one is None for one in made), air)


def _first_step(images: Images, there: Sequence[int], most_bytes: float, pool: ThreadPoolExecutor) -> int:
    """The first step at which a sample of the images is small enough."""
    sample = there[:: max(len(there) // SAMPLE, 1)]
    for step, (height, quality) in enumerate(STEPS[:-1]):
        sizes = [len(one[0]) for one in pool.map(_webp, repeat(images), sample, repeat(height), repeat(quality)) if one]
        if not sizes or np.mean(sizes) * MARGIN * len(there) <= most_bytes:
            return step
    return len(STEPS) - 1


def _shot(images: Images, number: int, height: int, quality: int) -> tuple[str, list | None, int | None] | None:
    """An image's WebP in base64, its boxes (None: not marked) and the level of its air; None where it cannot be read."""
    made = _webp(images, number, height, quality)
    if made is None:
        return None
    webp, small = made
    level = air_level(small)
    boxes = [] if images.without[number] else _boxes(*images.places[number])
    return webp, boxes, None if level is None else int(np.ceil(level))


def _webp(images: Images, number: int, height: int, quality: int) -> tuple[str, np.ndarray] | None:
    from PIL import Image

    probe, position = images.places[number]
    try:
        image = probe[position]
    except (OSError, ValueError, LookupError, RuntimeError):
        return None
    buffer = io.BytesIO()
    size = min(round(height * WIDER), image.shape[1]), min(height, image.shape[0])  # the browser enlarges small ones itself
    small = within(image, size)
    Image.fromarray(small).save(buffer, "WEBP", quality=quality, method=2)
    return base64.b64encode(buffer.getvalue()).decode(), small


def _boxes(probe: Probe, position: int) -> list | None:
    """An image's boxes; None where nobody marked any."""
    try:
        marked, (height, width) = probe.boxes(position), probe[position].shape[:2]
    except (LookupError, OSError, ValueError):
        return None
    rows = []
    for box in marked:
        left, right = (1000 * box[edge] / width for edge in ("xmin", "xmax"))
        top, bottom = (1000 * box[edge] / height for edge in ("ymin", "ymax"))
        rows.append([str(box.get("finding", "")), *(round(v) for v in (left, top, right - left, bottom - top))])
    return rows


@dataclass
class Maps:
    """Where the neurons of a layer respond in their strongest images: (n_neurons, k, h, w) uint8, 255 at each `highest`."""

    values: np.ndarray
    highest: np.ndarray  # (n_neurons,)
    exact: bool = False  # whether that is the largest value over the probe, not only in these images

    def row(self, neuron: int, most: int) -> list:
        """Number of maps, height, width, the activation at 255, the maps in base64 (at most `most`), and `exact` as 0 or 1."""
        some = self.values[neuron, :most]
        packed = base64.b64encode(some.tobytes()).decode()
        return [*some.shape, float(f"{self.highest[neuron]:.4g}"), packed, int(self.exact)]

    def size(self, most: int) -> float:
        """Bytes of all rows."""
        n, k, height, width = self.values.shape
        return n * (min(k, most) * height * width * BASE64 + 30)


def layer_maps(
    target: Target,
    layer: str,
    probe: Probe,
    positions: np.ndarray,
    most: int = MOST_MAPS,
    highest: np.ndarray | None = None,
) -> Maps:
    """The maps of a layer's neurons in their strongest images, whose positions in the probe are (n_neurons, k); -1: none.

    Only positive activations show; each neuron has one scale, from 0 to its `highest` value over the probe (n_neurons,), or,
    where that is not known, in these images.

    ValueError: the layer has no places.
    """
    from mdissect.localize import activation_maps

    positions = positions[:, :most]
    needed = np.unique(positions[positions >= 0])
    kept: np.ndarray | None = None
    start, at_a_time = 0, AT_A_TIME
    while start < len(needed):
        some = needed[start : start + at_a_time]
        start += len(some)
        for position, own in zip(some, activation_maps(target, layer, [probe[int(i)] for i in some]), strict=True):
            neurons, ranks = np.nonzero(positions == position)
            small = _reduced(own[neurons])
            at_a_time = max(AT_A_TIME, MEMORY // own.nbytes)
            if kept is None:
                kept = np.zeros((*positions.shape, *small.shape[1:]), dtype=np.float32)
            kept[neurons, ranks] = small
    if kept is None:
        kept = np.zeros((*positions.shape, 1, 1), dtype=np.float32)
    kept = np.nan_to_num(np.maximum(kept, 0), posinf=0)
    exact = highest is not None
    highest = np.maximum(highest, 0) if exact else kept.max(axis=(1, 2, 3), initial=0)
    scale = np.where(highest > 0, 255 / np.maximum(highest, 1e-30), 0)
    return Maps(np.rint(np.minimum(kept * scale[:, None, None, None], 255)).astype(np.uint8), highest, exact)


def _reduced(maps: np.ndarray) -> np.ndarray:
    """Maps (n, h, w) of at most 640 places and 32 a side: means of their parts."""
    import torch
    from torch.nn.functional import adaptive_avg_pool2d

    height, width = maps.shape[1:]
    share = min(1.0, MAP_SIDE / height, MAP_SIDE / width, (MAP_PLACES / (height * width)) ** 0.5)
    if share == 1:
        return maps
    size = max(int(height * share), 1), max(int(width * share), 1)
    return adaptive_avg_pool2d(torch.from_numpy(maps)[None], size)[0].numpy()


def all_maps(
    found: Mapping,
    targets: Mapping[str, Target | None],
    probes: Mapping[str, Probe | None],
    images: Images,
    lists: Sequence,
    store: StoreLike = None,
) -> tuple[list[Maps | None], list[str]]:
    """The maps of every layer of every model, None where there are none; and remarks on the layers without places.

    Their scales are those over the probe where a result's own activations are such, or with a store, which keeps them.
    """
    maps, remarks, lists = [], [], iter(lists)
    for model, dissection in found.items():
        target, probe = targets[model], probes[model]
        mapped, why = _layers_with_places(dissection, target, probe)
        remarks += [f"{model}, layer {layer}: no activation maps ({words})." for layer, words in why.items()]
        highest = {} if store is None or not mapped else _highest(dissection, target, mapped, probe, store)
        at = np.array([-1 if place is None or place[0] is not probe else place[1] for place in images.places], dtype=int)
        for layer in dissection.layers:
            numbers = next(lists)
            there = layer in mapped and numbers.shape[1]
            maps.append(layer_maps(target, layer, probe, at[numbers], highest=highest.get(layer)) if there else None)
    return maps, remarks


def _layers_with_places(dissection, target: Target | None, probe: Probe | None) -> tuple[list[str], dict[str, str]]:
    """The layers whose neurons have maps, and why the others have none; no layer at all without a target, images or lists."""
    from mdissect.localize import activation_maps

    mapped, why = [], {}
    for layer in dissection.layers if target is not None and probe is not None and len(probe) else ():
        if layer not in dissection.activations:
            continue
        try:
            activation_maps(target, layer, [probe[0]])
            mapped.append(layer)
        except ValueError as error:
            why[layer] = without_folders(str(error))
    return mapped, why


def _highest(dissection, target: Target, layers: Sequence[str], probe: Probe, store: StoreLike) -> dict[str, np.ndarray]:
    """The largest value of each neuron's maps over the probe by layer: kept in the store, where they are computed once."""
    scales = Scales(dissection, probe, target, lambda *_: None, store)
    if missing := [layer for layer in layers if not scales.measured(layer)]:
        scales.measure(missing)
    return {
        layer: np.array([scales.of(layer, n).highest for n in range(len(dissection.similarity[layer]))]) for layer in layers
    }
