"""Retrieval of reports by images and of images by reports."""

from collections.abc import Iterator, Sequence

import numpy as np

from mdissect.arguments import AT_LEAST_ONE
from mdissect.embed import embed_concepts
from mdissect.evaluate.scoring import TIE_DECIMALS, Resamples
from mdissect.models import Dissector
from mdissect.signatures import validated
from mdissect.store import StoreLike

WITHIN = (1, 5, 10)
TIE = 10.0**-TIE_DECIMALS  # similarities that differ by less are equal
QUERIES_AT_ONCE = 512


@validated(k=AT_LEAST_ONE)
def found_within(sims: np.ndarray, relevant: np.ndarray, k: int) -> np.ndarray:
    """The probability (n_queries,) that a relevant candidate is among the k most similar, ties in random order.

    >>> found_within(np.array([[0.9, 0.5, 0.5], [0.2, 0.2, 0.2]]), np.eye(3, dtype=bool)[1:], 1).round(3)
    array([0.   , 0.333])

    Similarities that differ by less than 1e-6 are tied: a model that embeds everything alike finds what chance finds. NaN for
    a query without a relevant candidate.

    Parameters
    ----------
    sims : array (n_queries, n_candidates)
    relevant : bool array (n_queries, n_candidates)
        Several candidates may be right; one of them is enough.
    k : int

    Raises
    ------
    ValueError
        Shapes that differ, or similarities that are not finite.
    """
    if sims.shape != relevant.shape or sims.ndim != 2:
        raise ValueError(f"sims {sims.shape} and relevant {relevant.shape} must be two arrays (n_queries, n_candidates)")
    if not np.isfinite(sims).all():
        raise ValueError(f"sims has {(~np.isfinite(sims)).sum()} similarities that are not finite")
    best = np.where(relevant, sims, -np.inf).max(axis=1, initial=-np.inf)
    tied = np.abs(sims - best[:, None]) <= TIE
    before = ((sims > best[:, None]) & ~tied).sum(axis=1)
    missed = _none_of(tied.sum(axis=1), (tied & relevant).sum(axis=1), np.maximum(k - before, 0))
    return np.where(relevant.any(axis=1), 1 - missed, np.nan)


def _none_of(n: np.ndarray, right: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """The probability that none of `drawn` out of `n` is one of the `right` ones, each (n_queries,)."""
    from scipy.special import gammaln

    drawn = np.minimum(drawn, n)
    possible = n - right >= drawn
    left = np.where(possible, n - right - drawn, 0)
    log = gammaln(n - right + 1.0) + gammaln(n - drawn + 1.0) - gammaln(left + 1.0) - gammaln(n + 1.0)
    return np.where(possible, np.exp(log), 0.0)


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
