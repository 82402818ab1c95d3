"""Retrieval of reports by images and of images by reports."""

from collections.abc import Iterator, Sequence

import numpy as np

from mdissect.embed import embed_concepts
from mdissect.evaluate.scoring import Resamples
from mdissect.metrics import found_within
from mdissect.models import Dissector
from mdissect.store import StoreLike

WITHIN = (1, 5, 10)
QUERIES_AT_ONCE = 512


def retrieval_rows(
    dissector: Dissector,
    images: np.ndarray,
    reports: Sequence[str],
    patients: Sequence[str],
    resamples: Resamples,
    coverage: float,
    store: StoreLike = None,
) -> Iterator[dict]:
    """A row for each direction and each k, of images (n, d) of unit norm with a report each.

    Candidates are all n; reports that are the same to the dissector are right for each other's images. The interval is over
    the patients who search; those that are searched stay the same.
    """
    number, texts = numbered(dissector, reports)
    embedded = embed_concepts(dissector, texts, store)[number].astype(np.float64)
    images, n = images.astype(np.float64), len(number)
    for task, queries, candidates in (("image to report", images, embedded), ("report to image", embedded, images)):
        hits = {k: np.empty(n) for k in WITHIN}
        chance = {k: np.empty(n) for k in WITHIN}
        for start in range(0, n, QUERIES_AT_ONCE):
            some = slice(start, start + QUERIES_AT_ONCE)
            relevant = number[some, None] == number[None]
            sims = queries[some] @ candidates.T
            for k in WITHIN:
                hits[k][some] = found_within(sims, relevant, k)
                chance[k][some] = found_within(np.zeros_like(sims), relevant, k)
        for k in WITHIN:
            about = {"task": task, "n": n, "patients": len(set(patients)), "chance": float(chance[k].mean())}
            yield about | resamples.mean(hits[k], patients).row(f"R@{k}", coverage)


def numbered(dissector: Dissector, reports: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """The number (n,) of each report's text, and the texts: those that are the same to the dissector are one."""
    texts = list(dict.fromkeys(reports))
    first = {text: text for text in texts}
    for group in dissector.alike(texts):
        first |= dict.fromkeys(group, group[0])
    kept = [text for text in texts if first[text] == text]
    place = {text: i for i, text in enumerate(kept)}
    return np.array([place[first[text]] for text in reports]), kept
