"""How well detected boxes meet marked ones: average precision at an IoU, exact and with intervals by patient."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mdissect.arguments import has_keys, same_length
from mdissect.localize.pointing import EDGES, of_finding
from mdissect.localize.resampled import interval_of, resampled_counts
from mdissect.signatures import validated

IOUS = (0.25, 0.5)
Boxes = Sequence[Mapping]


@dataclass(frozen=True)
class Matched:
    """Detections of one finding over all images, the highest score first, and the marked boxes that they were matched to.

    Attributes
    ----------
    scores, images : arrays (n_detections,)
        The score, and the number of the image.
    right : bool array (n_detections,)
        Whether a marked box was free and met.
    marked : int array (n_images,)
        How many boxes each image has.
    """

    scores: np.ndarray
    images: np.ndarray
    right: np.ndarray
    marked: np.ndarray


def box_ious(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Intersection over union (n, m) of boxes (n, 4) and (m, 4), each xmin, ymin, xmax, ymax; 0 where one has no area."""
    low, high = np.maximum(first[:, None, :2], second[None, :, :2]), np.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=2)
    areas = [np.prod(np.clip(boxes[:, 2:] - boxes[:, :2], 0, None), axis=1) for boxes in (first, second)]
    union = areas[0][:, None] + areas[1][None] - shared
    return np.where(union > 0, shared / np.where(union > 0, union, 1), 0.0)


def matched(detected: Sequence[Boxes], marked: Sequence[Boxes], least_iou: float) -> Matched:
    """Match the detections of one finding to the marked boxes, image by image.

    The detection of the highest score comes first and takes, of the marked boxes that are still free and that it meets with at
    least this IoU, the one that it meets best; every further detection of a box is wrong. Of equal scores the one that meets a
    box better comes first, then the one that lies further left and up: the order in which they are given does not matter.
    """
    scores, images, right = [], [], []
    for number, (found, own) in enumerate(zip(detected, marked, strict=True)):
        ious = box_ious(_edges(found), _edges(own))
        own_scores = np.array([box["score"] for box in found], dtype=np.float64)
        keys = [*_edges(found).T[::-1], -ious.max(axis=1, initial=0), -own_scores]  # the last key sorts first
        free = np.ones(len(own), dtype=bool)
        for one in np.lexsort(keys):
            open_ious = np.where(free, ious[one], -1.0)
            best = int(open_ious.argmax()) if len(own) else -1
            met = best >= 0 and open_ious[best] >= least_iou
            if met:
                free[best] = False
            scores.append(own_scores[one])
            images.append(number)
            right.append(met)
    order = np.argsort(-np.array(scores, dtype=np.float64), kind="stable")
    counts = np.array([len(own) for own in marked], dtype=int)
    return Matched(
        np.array(scores, dtype=np.float64)[order],
        np.array(images, dtype=int)[order],
        np.array(right, dtype=bool)[order],
        counts,
    )


def average_precision(found: Matched, counts: np.ndarray | None = None) -> np.ndarray:
    """The area under the precision-recall curve, not interpolated: the sum of precision times the step of recall.

    A point of the curve for each score that occurs, so that detections of one score count together. `counts`
    (n_resamples, n_images): how often each image counts. Returns (n_resamples,), or (1,) without counts; NaN where nothing is
    marked, 0 where something is and nothing was detected.
    """
    counts = np.ones((1, len(found.marked))) if counts is None else counts.astype(np.float64)
    total = counts @ found.marked
    if not len(found.scores):
        return np.where(total > 0, 0.0, np.nan)
    ends = np.flatnonzero(np.diff(found.scores, append=-np.inf))  # the last detection of each score
    weights = counts[:, found.images]
    right, all_ = (np.cumsum(weights * kept, axis=1)[:, ends] for kept in (found.right, np.ones_like(found.right)))
    steps = np.diff(right, prepend=0, axis=1)
    area = (steps * right / np.maximum(all_, 1e-12)).sum(axis=1)
    return np.where(total > 0, area / np.maximum(total, 1e-12), np.nan)


@validated()
def detection_scores(
    detected: Sequence[Sequence[Mapping]],
    marked: Sequence[Sequence[Mapping]],
    findings: Sequence[str],
    patients: Sequence[str],
    ious: Sequence[float] = IOUS,
) -> pd.DataFrame:
    """The average precision of detected boxes for each finding, and its mean over the findings (mAP).

    >>> box = {"finding": "mass", "xmin": 0, "ymin": 0, "xmax": 10, "ymax": 10}
    >>> detection_scores([[{**box, "score": 0.9}]], [[box]], ["mass"], ["P1"], ious=[0.5]).average_precision.tolist()
    [1.0, 1.0]

    Parameters
    ----------
    detected, marked : a list of boxes per image
        Dicts finding, xmin, ymin, xmax, ymax in pixels; detected ones also score.
    findings : list of str
        What counts: boxes whose finding has the words in it (`mdissect.localize.of_finding`).
    patients : list of str
        Of each image; they are resampled for the intervals.
    ious : list of float
        A detection is right from this intersection over union on.

    Returns
    -------
    DataFrame
        finding ("mean": the mean over the findings with marked boxes), iou, n_boxes, n_detected, average_precision, low, high
        (95 %). NaN where no box is marked.

    Raises
    ------
    ValueError
        Unequal numbers of images, a box without its edges, a score that is not finite.
    """
    same_length(detected=detected, marked=marked, patients=patients)
    _check("detected", detected, "score")
    _check("marked", marked)
    counts = list(resampled_counts(patients)) if len(set(patients)) > 1 else []
    rows = []
    for least in ious:
        points, resampled = [], []
        for finding in findings:
            found = matched([of_finding(one, finding) for one in detected], [of_finding(one, finding) for one in marked], least)
            points.append(float(average_precision(found)[0]))
            resampled.append(np.concatenate([average_precision(found, some) for some in counts] or [np.zeros(0)]))
            low, high = interval_of(resampled[-1])
            rows.append((finding, least, int(found.marked.sum()), len(found.scores), points[-1], low, high))
        known = np.isfinite(points)
        mean = float(np.mean(np.array(points)[known])) if known.any() else np.nan
        low, high = interval_of(np.mean(np.array(resampled)[known], axis=0)) if known.any() else (np.nan, np.nan)
        sums = [sum(row[column] for row in rows if row[1] == least) for column in (2, 3)]
        rows.append(("mean", least, *sums, mean, low, high))
    return pd.DataFrame(rows, columns=["finding", "iou", "n_boxes", "n_detected", "average_precision", "low", "high"])


def _edges(boxes: Boxes) -> np.ndarray:
    return np.array([[box[edge] for edge in EDGES] for box in boxes], dtype=np.float64).reshape(-1, 4)


def _check(name: str, boxes: Sequence[Boxes], *further: str) -> None:
    """Raise ValueError for a box with missing keys or values that are not finite."""
    for number, of_image in enumerate(boxes):
        for box in of_image:
            has_keys(f"{name}[{number}]", box, "finding", *EDGES, *further)
            values = np.array([box[key] for key in (*EDGES, *further)], dtype=np.float64)
            if not np.isfinite(values).all():
                raise ValueError(f"{name}[{number}]={dict(box)} must have finite edges{' and score' if further else ''}")
