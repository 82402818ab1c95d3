"""Which concepts a network learned in any layer, on the probe and on resampled patients: counts with intervals."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mdissect import analysis
from mdissect.concepts import forms
from mdissect.dissection import Dissection
from mdissect.signatures import validated
from mdissect.study.counting import Resampled
from mdissect.study.numbers import Interval, interval_of


@dataclass(frozen=True)
class Learned:
    """Which concepts count as the label of some neuron. Made by `learned_of`.

    Attributes
    ----------
    names : list of str
        Of the concepts.
    own : bool array (n_concepts,)
        On the probe itself.
    drawn : bool array (n_boot, n_concepts), or None
        On resamples of its patients.
    """

    names: list[str]
    own: np.ndarray
    drawn: np.ndarray | None

    def among(self, concepts: Collection[str]) -> np.ndarray:
        """(n_concepts,) bool: those of a collection."""
        chosen = set(concepts)
        return np.array([name in chosen for name in self.names], dtype=bool)

    def count(self, member: np.ndarray, learned: bool = True) -> tuple[int, Interval]:
        """How many of some concepts, (n_concepts,) bool, are learned (or missed), and the interval of that."""
        return count_of(*((self.own, self.drawn) if learned else self.missed), member)

    @property
    def missed(self) -> tuple[np.ndarray, np.ndarray | None]:
        """The missed concepts, on the probe and on the resamples."""
        return ~self.own, None if self.drawn is None else ~self.drawn

    def distinct(self, concepts: pd.DataFrame) -> tuple[np.ndarray, np.ndarray | None]:
        """The missed concepts that are not learned in another form either; `concepts` is the concept set's table."""
        of = forms(concepts)[self.names]
        every = {one: i for i, one in enumerate(dict.fromkeys(one for own in of for one in sorted(own, key=str)))}
        has_form = np.zeros((len(self.names), len(every)), dtype=np.float32)
        for i, own in enumerate(of):
            has_form[i, [every[one] for one in own]] = 1

        def gaps(learned: np.ndarray) -> np.ndarray:
            known_forms = (learned.astype(np.float32) @ has_form > 0).astype(np.float32)
            return ~learned & ~(known_forms @ has_form.T > 0)

        return gaps(self.own), None if self.drawn is None else gaps(self.drawn)


@validated(thresholds=analysis.THRESHOLDS)
def learned_of(
    dissection: Dissection, thresholds: pd.DataFrame, resampled: Resampled = None, layer: str | None = None
) -> Learned:
    """The concepts that a dissection learned in any layer, with those of resampled patients where these are given.

    >>> learned_of(found, tau, trust.resampled_labels(found, tau)).drawn.shape  # doctest: +SKIP
    (200, 763)

    Parameters
    ----------
    resampled : mapping of layer to int array (n_boot, n_concepts), optional
        `mdissect.trust.resampled_labels` of the same dissection and thresholds.
    layer : str, optional
        Concepts of this layer alone.
    """
    names = list(dissection.concepts.names)
    table, layers = analysis.learned(dissection, thresholds), dissection.layers if layer is None else [layer]
    found = set(table.concept[table.layer.isin(layers)])
    drawn = None if resampled is None else np.any([resampled[one] > 0 for one in layers], axis=0)
    return Learned(names, np.array([name in found for name in names], dtype=bool), drawn)


def count_of(own: np.ndarray, drawn: np.ndarray | None, member: np.ndarray) -> tuple[int, Interval]:
    """How many of `member` are in `own`, (n_concepts,) bool both, and the interval; `drawn` is (n_boot, n_concepts) bool."""
    n = int((own & member).sum())
    return n, interval_of(n, None if drawn is None else (drawn & member).sum(axis=1), int(member.sum()))
