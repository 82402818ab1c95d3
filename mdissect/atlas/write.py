"""Write an atlas: dissections as one HTML file that opens from disk, without Python or network."""

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from mdissect.arguments import AT_LEAST_ONE, number, some_path
from mdissect.atlas.data import Tables, tables
from mdissect.atlas.further import KINDS, OF_A_BIN
from mdissect.atlas.images import Images, chosen
from mdissect.atlas.page import CLOSING, as_json, block, opening
from mdissect.atlas.pictures import MOST_MAPS, Maps, Shots, all_maps, shots
from mdissect.concepts import TAXONOMY
from mdissect.dissection import Dissection
from mdissect.explorers.checks import consistent, of_each
from mdissect.explorers.findings import names_finding
from mdissect.explorers.heads import head_weights
from mdissect.explorers.verdicts import Notes
from mdissect.files import whole_file
from mdissect.models import Target
from mdissect.plots.style import group_style
from mdissect.probes import Probe
from mdissect.signatures import validated
from mdissect.store import StoreLike
from mdissect.wording import VERDICT_MEANINGS, VERDICTS

IMAGES_A_BLOCK, NEURONS_A_BLOCK = 100, 256
FOR_PICTURES = 0.6  # of what the table leaves; maps take the rest
FOR_FURTHER = 0.1  # of the file at most: which further images each neuron has
MAP_STEPS = range(MOST_MAPS, 0, -1)


@dataclass(frozen=True)
class Written:
    """What `write_atlas` wrote; str() says it in words."""

    path: Path
    size: int  # bytes
    neurons: int
    results: int
    pictures: int
    images: int  # that the neurons and concepts show
    unreadable: int  # images that are not in the probe or cannot be read
    maps: int  # activation maps of each neuron, at most

    @property
    def holds(self) -> str:
        """What the file holds, in words."""
        told = [f"{self.neurons:,} neurons of {self.results} result{'s' * (self.results > 1)}"]
        told.append(f"pictures of {self.pictures:,} of {self.images:,} images")
        told += [f"{self.unreadable:,} images are not in the probe or cannot be read"] if self.unreadable else []
        told += [f"activation maps in the strongest {self.maps} images of each neuron"] if self.maps else ["no activation maps"]
        return f"{self.size / 1e6:.1f} MB; {'; '.join(told)}"

    def __str__(self) -> str:
        return f"{self.path}: {self.holds}"


def _megabytes(name: str, value: float) -> float:
    return number(name, value, above=0)


@validated(images=AT_LEAST_ONE, megabytes=_megabytes)
def write_atlas(
    dissection: Dissection | Mapping[str, Dissection],
    probe: Probe | Mapping[str, Probe] | None = None,
    *,
    path: str | os.PathLike = "atlas.html",
    target: Target | Mapping[str, Target] | None = None,
    trust: pd.DataFrame | Mapping[str, pd.DataFrame] | None = None,
    images: int = 8000,
    megabytes: float = 60.0,
    title: str = "",
    store: StoreLike = None,
    notes: Notes | None = None,
) -> Written:
    """Write dissections as one HTML file: a table of all neurons, a gallery, a map, a page per neuron and per concept.

    >>> print(mdissect.write_atlas({"M": found, "C4": tuned}, probe, path="atlas.html"))    # doctest: +SKIP
    atlas.html: 14.2 MB; 896 neurons of 2 results; pictures of 800 of 800 images; no activation maps

    The file needs neither Python nor network. It has no patient ids, but holds the images' pixels as they are: whoever gets the
    file can see them. Only its owner can read it. Verdicts that a reader saves there are read by `Notes.merge`.

    Parameters
    ----------
    dissection : Dissection, or mapping of name to Dissection
        Several results stand side by side.
    probe : Probe, or mapping of name to Probe, optional
        The images; without it the atlas has no pictures.
    path : path
        The file; its folder is made.
    target : Target, or mapping of name to Target, optional
        Shows where in an image a neuron responds, and a neuron's weight in a classifier's scores.
    trust : DataFrame, or mapping of name to DataFrame, optional
        What ``dissection.labels(q=0.05, ...)`` returns: shows q, p, stability and flag. Not needed for a dissection that
        `Dissection.calibrated` made.
    images : int
        At most so many pictures: every neuron's strongest image first, then every neuron's second, ...
    megabytes : float
        The file's largest size, in millions of bytes: pictures get smaller, then activation maps fewer.
    title : str
        By default the names of the targets.
    store : Store or path, optional
        With it, one pass over the probe, kept there, gives each neuron's activation maps the scale of the whole probe; without
        it, they have that of the neuron's strongest images. The page says which.
    notes : Notes, optional
        A reader study (`mdissect.explorers.Notes`): whether it is blind, its neurons, and the name of a single result. The
        verdicts in its file are not shown.

    Raises
    ------
    ValueError
        No dissection; a part for a result that is not there; a target of other weights, or a table of other neurons; a table
        of neurons that alone is larger than `megabytes`; notes on neurons that a result does not have.
    OSError
        The file cannot be written; the previous one is untouched.
    """
    path = some_path("path", path)
    if isinstance(dissection, Mapping):
        named = dict(dissection)
    else:
        result = notes.result if notes is not None else ""
        named = {result or str(dissection.settings.get("target", "model")): dissection}
    parts = {name: of_each(named, name, part) for name, part in (("probe", probe), ("target", target), ("trust", trust))}
    found, remarks = _consistent(named)
    gathered = Images(found, parts["probe"])
    heads = {model: head_weights(one, parts["target"][model], parts["probe"][model]) for model, one in found.items()}
    made = tables(found, gathered, parts["trust"], heads)
    made.plain["remarks"] = [*remarks, *made.plain["remarks"]]
    maps, more = all_maps(found, parts["target"], parts["probe"], gathered, made.lists, store)
    made.plain["remarks"] += more
    made.plain |= {"title": title or " · ".join(found), "groups": _groups(made), "verdicts": list(VERDICTS)}
    made.plain["meant"] = VERDICT_MEANINGS
    made.plain["study"] = _study(made, found, notes)
    made.plain["key"] = hashlib.sha256(as_json([made.plain[k] for k in ("models", "title", "study")]).encode()).hexdigest()[:12]
    return _write(path, made, maps, images, megabytes * 1e6, len(found))


def _study(made: Tables, found: Mapping[str, Dissection], notes: Notes | None) -> dict:
    """What readers are asked: `neurons` by their numbers in the atlas, None for all."""
    if notes is None:
        return {"blind": False, "seed": 0, "neurons": None}
    numbers: list[int] = []
    for model in made.plain["models"]:
        first = {layer["name"]: layer["start"] for layer in model["layers"]}
        own, name = found[model["name"]], model["name"]
        passes = made.plain["neurons"]["passes"]
        counting = [(la["name"], k) for la in model["layers"] for k in range(la["n"]) if passes[la["start"] + k]]
        numbers += [first[layer] + neuron for layer, neuron in notes.of(own, name).places(own, counting=counting)]
    everything = len(numbers) == len(made.plain["neurons"]["label"])
    return {"blind": notes.blind, "seed": notes.seed, "neurons": None if everything else sorted(numbers)}


def _consistent(named: Mapping[str, Dissection]) -> tuple[dict[str, Dissection], list[str]]:
    found, remarks = {}, []
    for model, one in named.items():
        found[model], warnings = consistent(one)
        remarks += [f"{model}: {warning}" for warning in warnings]
    return found, remarks


def _groups(made: Tables) -> dict[str, str]:
    """The colours of the broad categories, in the order of the figures."""
    there = {part for broad in made.plain["concepts"]["broad"] for part in broad.split("; ") if part}
    ordered = [group for group in TAXONOMY if group in there] + sorted(there - set(TAXONOMY))
    return {group: group_style(group)["facecolor"] for group in ordered}


def _write(path: Path, made: Tables, maps: Sequence[Maps | None], images: int, most: float, results: int) -> Written:
    further = _further(made, FOR_FURTHER * most)
    most -= sum(map(len, further))
    others = [*made.nearest, *(one.images for one in made.further if further)]
    wanted = chosen(made.lists, others, images)
    needed = len(chosen(made.lists, others, len(made.images)))
    empty = Shots({}, {}, 0)
    left = most - len(_start(made, empty, 0)) - len(wanted) * 92  # bytes for numbers of pictures, boxes and air
    if left < 0:
        raise ValueError(
            f"megabytes={most / 1e6:g}: the table of {len(made.plain['neurons']['label'])} neurons alone takes "
            f"{(most - left) / 1e6:.1f} MB; give more, or fewer results"
        )
    has_maps = any(one is not None for one in maps)
    pictures = shots(made.images, wanted, left * (FOR_PICTURES if has_maps else 1)) if wanted else empty
    start = _start(made, pictures, 0)
    left = most - len(start) - sum(map(len, pictures.webp.values())) - 4 * len(pictures.webp) - 1000
    sizes = {k: sum(one.size(k) + 100 for one in maps if one is not None) for k in MAP_STEPS} if has_maps else {}
    most_maps = next((k for k, size in sizes.items() if size <= left), 0)
    size = 0
    with whole_file(path, private=True) as file:
        for text in [_start(made, pictures, most_maps), *_blocks(pictures, maps, most_maps, made.lists), *further, CLOSING]:
            size += file.write(text.encode())
    counts = len(made.plain["neurons"]["label"]), results, len(pictures.webp), needed, pictures.problems
    return Written(path, size, *counts, most_maps)


def _further(made: Tables, most: float) -> list[str]:
    """The blocks of the neurons' further images, numbered as the neurons; none where they take more than some bytes."""
    blocks, first = [], 0
    for one in made.further:
        for start in range(0, len(one.images), NEURONS_A_BLOCK) if one.images.shape[1] else ():
            end = min(start + NEURONS_A_BLOCK, len(one.images))
            blocks.append(block("further", first + start, [one.row(neuron) for neuron in range(start, end)]))
        first += len(one.images)
    if (size := sum(map(len, blocks))) > most:
        remark = (
            f"Which images are weak or in between would take {size / 1e6:.1f} MB: each neuron has its strongest ones alone."
        )
        made.plain["remarks"] = [*made.plain["remarks"], remark]
        blocks = []
    made.plain["further"] = {"kinds": list(KINDS), "bin": OF_A_BIN} if blocks else None
    return blocks


def _start(made: Tables, pictures: Shots, most_maps: int) -> str:
    """The page up to the pictures; `images.picture` numbers those that there are, in the order of the blocks."""
    order = {number: i for i, number in enumerate(pictures.webp)}
    numbered = [order.get(i, -1) for i in range(len(made.images))]
    boxes = {str(number): rows for number, rows in pictures.boxes.items() if rows}
    own = made.plain["images"] | {"picture": numbered, "boxes": boxes, "marked": bool(pictures.boxes)}
    own |= {"air": {str(number): level for number, level in pictures.air.items()}}
    own |= {"named": _named(pictures, made.plain["concepts"]["name"])}
    data = made.plain | {"images": own, "block": IMAGES_A_BLOCK, "maps": most_maps}
    return opening(made.plain["title"], data)


def _named(pictures: Shots, concepts: Sequence[str]) -> dict[str, list[int]]:
    """The numbers of the concepts that name each annotated finding."""
    findings = {str(row[0]) for rows in pictures.boxes.values() for row in rows}
    return {one: [i for i, name in enumerate(concepts) if names_finding(name, one)] for one in sorted(findings)}


def _blocks(pictures: Shots, maps: Sequence[Maps | None], most_maps: int, lists: Sequence[np.ndarray]) -> Iterator[str]:
    """The pictures' and the maps' blocks; maps are numbered as their neurons."""
    webp = list(pictures.webp.values())
    for first in range(0, len(webp), IMAGES_A_BLOCK):
        yield block("pictures", first, webp[first : first + IMAGES_A_BLOCK])
    first = 0
    for one, n in zip(maps, map(len, lists), strict=True):
        for start in range(0, n, NEURONS_A_BLOCK) if one is not None and most_maps else ():
            rows = [one.row(neuron, most_maps) for neuron in range(start, min(start + NEURONS_A_BLOCK, n))]
            yield block("maps", first + start, rows)
        first += n
