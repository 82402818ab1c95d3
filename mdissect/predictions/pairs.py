"""The pairs of images of the causal test: an original of a probe, and the same with one factor changed."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd

from mdissect.arguments import counted
from mdissect.phantom.mammograms import Truth, truth_of_row
from mdissect.predictions.changes import CHANGES, FINDING, redrawable
from mdissect.predictions.filling import FILLING_VERSION, fill_boxes
from mdissect.probes import ImageSource, Probe, redrawn_phantoms

REDRAWN, FILLED = EVIDENCE = ("phantom redrawn", "box filled")
MOST_FILLED = 0.25  # share of an image that its boxes may cover: nothing could be told from what is left around larger ones


class NothingToChangeError(ValueError):
    """No image of a probe shows what is to be changed; the message says what was looked for."""


@dataclass(frozen=True)
class Pairs:
    """Pairs of images.

    `table` has a row per pair: factor, level, position (of the original in the probe), patient (a number), adds (whether it is
    the changed image that has the factor), changed (the position of the changed image in `changed`).
    """

    table: pd.DataFrame
    changed: Probe


@dataclass(frozen=True)
class _Boxes:
    """The boxes of one image that are filled: (finding, xmin, ymin, xmax, ymax)."""

    position: int
    boxes: tuple[tuple, ...]


def redrawn_pairs(probe: Probe, factors: Sequence[str] | None, n_pairs: int, keep: Path | str | bool) -> Pairs:
    """Phantoms of a probe and their redrawn ones; the same changed image is drawn once for all factors."""
    changes = [CHANGES[factor] for factor in (CHANGES if factors is None else redrawable("factors", factors))]
    truths = _truths(probe)
    patients = _numbered(probe)
    rows, drawn = [], {}
    for change in changes:
        found = {position: new for position, (_, truth) in truths.items() if (new := change.apply(truth)) is not None}
        for position in spread_over(list(found), patients)[:n_pairs]:
            changed = drawn.setdefault((position, found[position]), len(drawn))
            rows.append((change.factor, change.level, position, patients[position], change.adds, changed))
    if not rows:
        raise NothingToChangeError(
            f"no image of probe {probe.name!r} shows {' or '.join(one.factor for one in changes)}; take more images"
        )
    seeds = [truths[position][0] for position, _ in drawn]
    ids = [f"{probe.ids[position]}, change {number}" for number, (position, _) in enumerate(drawn)]
    size = _one_size(probe, sorted({position for position, _ in drawn}))
    return Pairs(_as_table(rows), redrawn_phantoms([truth for _, truth in drawn], seeds, ids, size, keep))


def filled_pairs(probe: Probe, factors: Sequence[str] | None, n_pairs: int, _keep: Path | str | bool = False) -> Pairs:
    """Images with boxes, and the same with the boxes of one finding filled."""
    patients, found = _numbered(probe), {}
    for position in range(len(probe)):
        for box in probe.boxes(position):
            corners = tuple(int(box[side]) for side in ("xmin", "ymin", "xmax", "ymax"))
            found.setdefault(str(box["finding"]).lower(), {}).setdefault(position, []).append(corners)
    if unknown := sorted(set(factors or ()) - set(found)):
        raise ValueError(f"factors has {counted(unknown, 'finding')} without any box; there are {', '.join(sorted(found))}")
    rows, filled, shape_of = [], {}, cache(lambda position: probe[position].shape)
    for finding in found if factors is None else factors:
        small = (
            position
            for position in spread_over(list(found[finding]), patients)
            if _share(found[finding][position], shape_of(position)) <= MOST_FILLED
        )
        for position in islice(small, n_pairs):
            changed = filled.setdefault(_Boxes(position, tuple(found[finding][position])), len(filled))
            rows.append((finding, FINDING, position, patients[position], False, changed))
    if not rows:
        raise NothingToChangeError(
            f"no image of probe {probe.name!r} has a box that can be filled: take more images, or smaller boxes"
        )
    ids = [f"{probe.ids[one.position]}, filled {number}" for number, one in enumerate(filled)]
    return Pairs(_as_table(rows), Probe(f"{probe.name}, boxes filled", ids, [FilledImages(probe, tuple(filled))]))


class FilledImages(ImageSource):
    """Images of a probe with some of their boxes filled."""

    def __init__(self, probe: Probe, filled: Sequence[_Boxes]):
        self._probe, self._filled = probe, filled

    def read(self, position: int) -> np.ndarray:
        one = self._filled[position]
        return fill_boxes(self._probe[one.position], one.boxes)

    def fingerprint(self, position: int) -> str:
        one = self._filled[position]
        original = self._probe.subset([one.position]).fingerprints()[0]
        return hashlib.sha256(repr((FILLING_VERSION, original, one.boxes)).encode()).hexdigest()


def spread_over(positions: Sequence[int], patients: np.ndarray) -> list[int]:
    """The positions in another order: the first image of each patient, then the second ones."""
    places = pd.DataFrame({"position": list(positions), "patient": patients[list(positions)]})
    turn = places.groupby("patient").cumcount()
    return places.position[turn.sort_values(kind="stable").index].tolist()


def _truths(probe: Probe) -> dict[int, tuple[int, Truth]]:
    """Seed and truth of each phantom of a probe, by position."""
    named = [re.fullmatch(r"phantom-(\d+)-\d+", image_id) for image_id in probe.ids]
    if not any(named):
        raise ValueError(
            f"probe {probe.name!r} holds no phantoms, whose ids are phantom-<seed>-<index>: only these can be redrawn; use "
            f"evidence={FILLED!r} for images with boxes"
        )
    positions = [position for position, name in enumerate(named) if name]
    rows = probe.table.iloc[positions].astype({"index": int, "birads": int}).to_dict("records")
    return {p: (int(named[p][1]), truth_of_row(row)) for p, row in zip(positions, rows, strict=True)}


def _one_size(probe: Probe, positions: Sequence[int]) -> tuple[int, int]:
    """Height and width of some images; ValueError where they differ."""
    shown = probe.subset(positions)
    shown.warm(progress=False)
    if len(sizes := sorted({image.shape for image in shown})) > 1:
        raise ValueError(f"the phantoms of probe {probe.name!r} have several sizes ({sizes}); give those of one size")
    return sizes[0]


def _numbered(probe: Probe) -> np.ndarray:
    """The patient of each image, as a number."""
    return pd.factorize(np.asarray(probe.patients, dtype=object))[0]


def _share(boxes: Sequence[tuple], shape: tuple[int, ...]) -> float:
    """The share of an image in boxes, those that overlap counted twice."""
    return sum((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in boxes) / (shape[0] * shape[1])


def _as_table(rows: list[tuple]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["factor", "level", "position", "patient", "adds", "changed"])
